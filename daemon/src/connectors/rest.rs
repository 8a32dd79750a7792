//! The custom CRM: one call of the operator's making, with a login, a rule for success and the id that comes back.
//!
//! Nothing is known of the CRM, so each push carries an idempotency key, and a look-up can be configured for repeats.
//! With neither, a lead whose answer was lost may arrive twice.

mod auth;
mod fields;
mod settings;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde_json::Value;

use super::{
    Call, Connector, Exchange, Ids, Manifest, Prepared, Probe, ProbeStep, Push, Request, RequestHeader,
    Response, Step, Token, config, crm, reading, verdict,
    webhook::{Webhook, url::UrlTemplate},
};
use crate::domain::{
    address::EgressPolicy,
    brand::Brand,
    ids::CompanyId,
    integration::{EventKind, Integration, ProbeKind},
    lead,
    outcome::{Failure, FailureClass, Outcome},
    template::{Context, percent_encode},
};
use auth::{Auth, Key};
use fields::{CREDENTIALS, FIELDS};
use settings::{Find, ID_IN_PATH, Settings};

const NAME: &str = "rest";
/// Under which the CRM's id of a lead is kept.
const ID: &str = "id";

/// The connector `rest`.
#[derive(Debug)]
pub(super) struct Rest;

static MANIFEST: Manifest =
    Manifest::new(NAME, "Calls the REST API of a CRM of your own for each lead", FIELDS, CREDENTIALS);

impl Connector for Rest {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, brand: &str) -> Vec<String> {
        let read = Brand::parse(brand)
            .map_err(|problem| vec![problem])
            .and_then(|brand| Settings::read(config, mapping, &brand));
        match read {
            Ok(settings) => settings.try_out(egress),
            Err(problems) => problems,
        }
    }

    fn shown(&self, config: &Value) -> Value {
        let mut shown = Webhook.shown(config);
        for key in ["path", "update_path", "find_path", "test_path", "token_url"] {
            if let Some(url) = config::text(config, key) {
                shown[key] = super::webhook::url::shown(url).into();
            }
        }
        shown
    }

    fn prepare(&self, integration: &Integration, brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let brand = Brand::parse(integration.brand.as_deref().unwrap_or(brand)).map_err(crm::unrenderable)?;
        let settings =
            Settings::read(&integration.config, &integration.mapping, &brand).map_err(|problems| {
                crm::unrenderable(format!("the configuration is not usable: {}", problems.join("; ")))
            })?;
        let key = settings.auth.key(&integration.credentials);
        Ok(Box::new(Ready { settings, key }))
    }
}

/// A custom CRM that is ready to get leads.
#[derive(Debug)]
struct Ready {
    settings: Settings,
    /// Or the credential that is missing.
    key: Result<Key, &'static str>,
}

impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        self.settings.body(push).map(Some)
    }

    fn step(&self, push: &Push<'_>, exchanges: &[Exchange]) -> Step {
        self.next(push, exchanges).unwrap_or_else(|failure| Step::Done(Outcome::Failed(failure)))
    }

    fn login(&self, _now: i64) -> Option<Result<Request, Failure>> {
        match &self.key {
            Ok(key) => self.settings.auth.login(key).map(Ok),
            Err(missing) => matches!(self.settings.auth, Auth::ClientCredentials(_))
                .then(|| Err(config::no_credentials(missing))),
        }
    }

    fn token(&self, exchange: &Exchange, now: i64) -> Result<Token, Failure> {
        auth::token(exchange, now)
    }

    fn keeps_ids(&self) -> bool {
        self.settings.id.is_some() || self.settings.find.is_some()
    }

    fn probe(&self, probe: &Probe<'_>, exchanges: &[Exchange]) -> ProbeStep {
        if probe.kind == ProbeKind::Mapping {
            return verdict::reached(None, Vec::new());
        }
        match (exchanges.last(), &self.settings.test) {
            (Some(exchange), _) if self.is_expired(exchange) => ProbeStep::Renew,
            (Some(exchange), Some(_)) => match reading::read(exchange, probe.now) {
                Outcome::Delivered => verdict::reached(None, Vec::new()),
                Outcome::Failed(_) => verdict::failed(None, self.failure(exchange, probe.now)),
            },
            (Some(exchange), None) => self.options(exchange, probe.now),
            (None, test) => {
                let method = if test.is_some() { Method::GET } else { Method::OPTIONS };
                match self.sample(method, test.as_ref().unwrap_or(&self.settings.target), probe.token) {
                    Ok(request) => ProbeStep::Call(request.into()),
                    Err(failure) => verdict::failed(None, failure),
                }
            }
        }
    }
}

impl Ready {
    fn next(&self, push: &Push<'_>, exchanges: &[Exchange]) -> Result<Step, Failure> {
        if let Err(missing) = &self.key {
            return Err(config::no_credentials(missing));
        }
        let known = push.ids.get(ID);
        let is_gone = known.is_some() && self.is_gone(push, exchanges);
        let mut there = known.filter(|_| !is_gone);
        match exchanges.last() {
            Some(exchange) if self.is_expired(exchange) => return Ok(Step::Renew),
            Some(exchange) if is_look_up(exchange) => match self.found(exchange, push.now)? {
                Some(id) if known != Some(&id) => return Ok(keep(id)),
                // Only a repeat looks for what it creates: an earlier attempt has brought it.
                Some(_) if push.event != EventKind::Updated => return Ok(Step::Done(Outcome::Delivered)),
                Some(_) => there = known,
                None => {}
            },
            Some(exchange) if !is_gone || exchanges.len() > 1 => return self.conclude(push, exchange),
            _ => {
                let may_be_there = match push.event {
                    EventKind::Updated => there.is_none(),
                    _ => push.is_repeat,
                };
                if let Some(find) = self.settings.find.as_ref().filter(|_| may_be_there) {
                    return self.look_up(find, push);
                }
            }
        }
        match (&self.settings.update, there) {
            (Some((method, target)), Some(id)) if push.event == EventKind::Updated => {
                self.send(push, method, target, Some(id))
            }
            _ => self.send(push, &self.settings.method, &self.settings.target, None),
        }
    }

    /// Whether the CRM has deleted what this update went to first: then it is looked for, and made anew.
    fn is_gone(&self, push: &Push<'_>, exchanges: &[Exchange]) -> bool {
        let is_update = push.event == EventKind::Updated && self.settings.update.is_some();
        let first = exchanges.first().filter(|first| is_update && !is_look_up(first));
        first.is_some_and(|first| matches!(status(first), Some(404 | 410)))
    }

    fn look_up(&self, find: &Find, push: &Push<'_>) -> Result<Step, Failure> {
        let event = crm::event(push)?;
        let context = Context::new(&event, push.event, push.id);
        let request = self.request(Method::GET, &find.target, &context, None)?;
        Ok(Step::Call(self.logged_in(request, push.token).into()))
    }

    fn send(
        &self,
        push: &Push<'_>,
        method: &Method,
        target: &UrlTemplate,
        id: Option<&String>,
    ) -> Result<Step, Failure> {
        let event = crm::event(push)?;
        let context = Context::new(&event, push.event, push.id);
        let mut request = self.request(method.clone(), target, &context, id)?;
        request.body = push.rendered.cloned().unwrap_or_default();
        let lead = event.at("lead.uuid").map(crm::text).unwrap_or_default().to_ascii_uppercase();
        let own = [
            (header::CONTENT_TYPE, self.settings.content_type().to_owned()),
            (HeaderName::from_static("idempotency-key"), idempotency_key(&lead, push)),
            (HeaderName::from_static("x-lead-id"), lead),
        ];
        for (name, value) in own {
            let value = HeaderValue::try_from(value)
                .map_err(|error| crm::unrenderable(format!("{name}: {error}")))?;
            // The operator's own goes before ours.
            if request.headers.iter().all(|header| header.name != name) {
                request = request.header(name, value);
            }
        }
        Ok(Step::Call(self.logged_in(request, push.token).into()))
    }

    fn request(
        &self,
        method: Method,
        target: &UrlTemplate,
        context: &Context<'_>,
        id: Option<&String>,
    ) -> Result<Request, Failure> {
        let mut target = target.render(context).map_err(crm::unrenderable)?;
        if let Some(id) = id {
            let mut encoded = String::new();
            percent_encode(id, &mut encoded);
            if matches!(id.as_str(), "" | "." | "..") {
                return Err(crm::unrenderable(format!("the CRM's id {id:?} cannot stand in a path")));
            }
            let path = target.url.path().replace(ID_IN_PATH, &encoded);
            target.url.set_path(&path);
            target.shown = target.shown.replace(ID_IN_PATH, &encoded);
        }
        let mut request = Request { shown_url: target.shown, ..Request::new(method, target.url) };
        for custom in &self.settings.headers {
            let value = custom.render(context).map_err(crm::unrenderable)?;
            request.headers.retain(|own| own.name != custom.name);
            request.headers.push(RequestHeader { name: custom.name.clone(), value, secret: custom.secret });
        }
        Ok(request)
    }

    fn logged_in(&self, request: Request, token: Option<&Token>) -> Request {
        match &self.key {
            Ok(key) => self.settings.auth.apply(request, key, token),
            Err(_) => request,
        }
    }

    /// A request for a probe: the placeholders are filled from the sample lead.
    fn sample(
        &self,
        method: Method,
        target: &UrlTemplate,
        token: Option<&Token>,
    ) -> Result<Request, Failure> {
        if let Err(missing) = &self.key {
            return Err(config::no_credentials(missing));
        }
        let event = lead::sample(CompanyId(1), "The Old Barn");
        let context = Context::new(&event, EventKind::Test, "01J8H6KQH4YG3XR8RWM6T6XFQE");
        Ok(self.logged_in(self.request(method, target, &context, None)?, token))
    }

    /// Whether another token may help.
    fn is_expired(&self, exchange: &Exchange) -> bool {
        matches!(self.settings.auth, Auth::ClientCredentials(_)) && status(exchange) == Some(401)
    }

    /// The id that a look-up found, if it found one.
    fn found(&self, exchange: &Exchange, now: i64) -> Result<Option<String>, Failure> {
        match (&exchange.answer, &self.settings.find) {
            (Ok(response), _) if response.status == 404 => Ok(None),
            (Ok(response), Some(find)) if (200..300).contains(&response.status) => match response.json() {
                Some(body) => Ok(id_at(&body, &find.id)),
                None => Err(verdict::by_status(NAME, exchange, now)),
            },
            _ => Err(self.failure(exchange, now)),
        }
    }

    /// What the push came to.
    fn conclude(&self, push: &Push<'_>, exchange: &Exchange) -> Result<Step, Failure> {
        let is_known = self.settings.conflict_is_ok && status(exchange) == Some(409);
        let response = match &exchange.answer {
            Ok(response) if is_known || (200..300).contains(&response.status) => response,
            _ => return Err(self.failure(exchange, push.now)),
        };
        if !is_known {
            self.obey(response)?;
        }
        let body = response.json().unwrap_or(Value::Null);
        match self.settings.id.as_ref().and_then(|pointer| id_at(&body, pointer)) {
            Some(id) if push.ids.get(ID) != Some(&id) => Ok(keep(id)),
            _ => Ok(Step::Done(Outcome::Delivered)),
        }
    }

    /// Whether a 2xx says what it must say.
    fn obey(&self, response: &Response) -> Result<(), Failure> {
        let Some(rule) = &self.settings.success else { return Ok(()) };
        let body = response.json();
        if body.is_none() && response.truncated {
            let error = format!("{NAME} {}: the answer was cut before it could be read", response.status);
            return Err(Failure::new(FailureClass::Unknown, error));
        }
        let body = body.unwrap_or(Value::Null);
        let there = body.pointer(&rule.pointer).unwrap_or(&Value::Null);
        let (is_met, wanted) = match &rule.equals {
            Some(equals) => (there == equals, equals.to_string()),
            None => (!there.is_null(), "there".to_owned()),
        };
        if is_met {
            return Ok(());
        }
        let code = format!("{}: {} is {there}, not {wanted}:", response.status, rule.pointer);
        Err(verdict::told(NAME, FailureClass::Rejected, &code, &self.reason(response)))
    }

    /// Why the CRM refuses, in its own words.
    fn reason(&self, response: &Response) -> String {
        let pointed = self.settings.error.as_ref().and_then(|pointer| {
            let body = response.json()?;
            let reason = body.pointer(pointer)?;
            Some(reason.as_str().map_or_else(|| reason.to_string(), str::to_owned))
        });
        pointed.unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned())
    }

    fn failure(&self, exchange: &Exchange, now: i64) -> Failure {
        let by_status = verdict::by_status(NAME, exchange, now);
        match &exchange.answer {
            Ok(response) if self.settings.error.is_some() && response.status >= 400 => {
                let code = response.status.to_string();
                let error = verdict::told(NAME, by_status.class, &code, &self.reason(response)).error;
                Failure { error, ..by_status }
            }
            _ => by_status,
        }
    }

    /// What OPTIONS came to: that the host answers, and whether it let us in. Few servers say more by it.
    fn options(&self, exchange: &Exchange, now: i64) -> ProbeStep {
        match status(exchange) {
            Some(200..=299 | 400 | 404..=407 | 409..=424 | 426..=428) => {
                let finding = "test_path is not set: the host answers, but whether the login is right shows only when a lead is pushed";
                verdict::reached(None, vec![finding.to_owned()])
            }
            _ => verdict::failed(None, self.failure(exchange, now)),
        }
    }
}

/// The same on each repeat. Two updates of a lead are two things to do, so theirs has the delivery too.
fn idempotency_key(lead: &str, push: &Push<'_>) -> String {
    match push.event {
        EventKind::Updated => format!("{lead}:{}:{}", push.event.as_str(), push.id),
        event => format!("{lead}:{}", event.as_str()),
    }
}

fn keep(id: String) -> Step {
    Step::Keep(Ids::from([(ID.to_owned(), id)]))
}

/// The id that stands there: a text or a number.
fn id_at(body: &Value, pointer: &str) -> Option<String> {
    match body.pointer(pointer)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn status(exchange: &Exchange) -> Option<u16> {
    exchange.answer.as_ref().ok().map(|response| response.status)
}

/// Nothing but a look-up is a GET.
fn is_look_up(exchange: &Exchange) -> bool {
    matches!(&exchange.call, Call::Http(request) if request.method == Method::GET)
}

#[cfg(test)]
mod tests;
