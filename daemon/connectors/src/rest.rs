//! The custom CRM: one call of the operator's making, with a login, a rule for success and the id that comes back.
//!
//! Nothing is known of the CRM, so each push carries an idempotency key, and a look-up can be configured for repeats.
//! With neither, a lead whose answer was lost may arrive twice.

mod auth;
mod fields;
mod settings;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Answer, Connector, Conversation, Found, Login, Manifest, Prepared, Push, Request, RequestHeader,
    Response, Token, config, crm, vendor,
    webhook::{Webhook, url::UrlTemplate},
};
use auth::{Auth, Key};
use fields::{CREDENTIALS, FIELDS};
use leadline_domain::{
    address::EgressPolicy,
    brand::Brand,
    ids::CompanyId,
    integration::{EventKind, Integration, ProbeKind},
    lead,
    outcome::{Failure, FailureClass},
    template::{Context, percent_encode},
};
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
            .map_err(|error| vec![error.to_string()])
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

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        self.settings.body(push).map(Some)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        self.key()?;
        let is_update = push.event == EventKind::Updated;
        let mut there = ctx.id(ID).filter(|_| is_update);
        if let (Some(id), Some((method, target))) = (&there, &self.settings.update) {
            let answer = ctx.send(self.send(push, method, target, Some(id))?).await?;
            // What the CRM has deleted is looked for, and made anew.
            if !answer.is_one_of(&[404, 410]) {
                return self.conclude(&answer, ctx).await;
            }
            there = None;
        }
        let may_be_there = if is_update { there.is_none() } else { push.is_repeat };
        if let Some(find) = self.settings.find.as_ref().filter(|_| may_be_there)
            && let Some(id) = self.found(&ctx.send(self.look_up(find, push)?).await?, ctx.now)?
        {
            ctx.keep(&[(ID, &id)]).await;
            // Only a repeat looks for what it creates: an earlier attempt has brought it.
            if !is_update {
                return Ok(());
            }
            there = Some(id);
        }
        let request = match (&self.settings.update, &there) {
            (Some((method, target)), Some(id)) => self.send(push, method, target, Some(id))?,
            _ => self.send(push, &self.settings.method, &self.settings.target, None)?,
        };
        let answer = ctx.send(request).await?;
        self.conclude(&answer, ctx).await
    }

    fn login(&self) -> Option<&dyn Login> {
        matches!(self.settings.auth, Auth::ClientCredentials(_)).then_some(self)
    }

    fn keeps_ids(&self) -> bool {
        self.settings.id.is_some() || self.settings.find.is_some()
    }

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        if kind == ProbeKind::Mapping {
            return Ok(());
        }
        self.key()?;
        let Some(test) = &self.settings.test else {
            let answer = ctx.send(self.sample(Method::OPTIONS, &self.settings.target)?).await?;
            return self.options(&answer, ctx.now, found);
        };
        let answer = ctx.send(self.sample(Method::GET, test)?).await?;
        if answer.is_good() { Ok(()) } else { Err(self.failure(&answer, ctx.now)) }
    }
}

impl Login for Ready {
    fn request(&self, _now: i64, _refresh: Option<&SecretString>) -> Result<Request, Failure> {
        let key = self.key()?;
        self.settings.auth.login(key).ok_or_else(|| config::no_credentials("client_id"))
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        auth::token(answer, now)
    }
}

impl Ready {
    fn key(&self) -> Result<&Key, Failure> {
        self.key.as_ref().map_err(|missing| config::no_credentials(missing))
    }

    fn look_up(&self, find: &Find, push: &Push<'_>) -> Result<Request, Failure> {
        let event = crm::event(push)?;
        let context = Context::new(&event, push.event, push.id);
        Ok(self.logged_in(self.request(Method::GET, &find.target, &context, None)?))
    }

    fn send(
        &self,
        push: &Push<'_>,
        method: &Method,
        target: &UrlTemplate,
        id: Option<&String>,
    ) -> Result<Request, Failure> {
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
        Ok(self.logged_in(request))
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

    fn logged_in(&self, request: Request) -> Request {
        match &self.key {
            Ok(key) => self.settings.auth.apply(request, key),
            Err(_) => request,
        }
    }

    /// A request for a probe: the placeholders are filled from the sample lead.
    fn sample(&self, method: Method, target: &UrlTemplate) -> Result<Request, Failure> {
        let event = lead::sample(CompanyId(1), "The Old Barn");
        let context = Context::new(&event, EventKind::Test, "01J8H6KQH4YG3XR8RWM6T6XFQE");
        Ok(self.logged_in(self.request(method, target, &context, None)?))
    }

    /// The id that a look-up found, if it found one.
    fn found(&self, answer: &Response, now: i64) -> Result<Option<String>, Failure> {
        match &self.settings.find {
            _ if answer.status == 404 => Ok(None),
            Some(find) if answer.is_good() => match answer.json() {
                Some(body) => Ok(id_at(&body, &find.id)),
                None => Err(vendor::by_status(NAME, answer, now)),
            },
            _ => Err(self.failure(answer, now)),
        }
    }

    /// What the push came to.
    async fn conclude(&self, answer: &Response, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let is_known = self.settings.conflict_is_ok && answer.status == 409;
        if !is_known && !answer.is_good() {
            return Err(self.failure(answer, ctx.now));
        }
        if !is_known {
            self.obey(answer)?;
        }
        let body = answer.json().unwrap_or(Value::Null);
        if let Some(id) = self.settings.id.as_ref().and_then(|pointer| id_at(&body, pointer)) {
            ctx.keep(&[(ID, &id)]).await;
        }
        Ok(())
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
        Err(vendor::told(NAME, FailureClass::Rejected, &code, &self.reason(response)))
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

    fn failure(&self, response: &Response, now: i64) -> Failure {
        let by_status = vendor::by_status(NAME, response, now);
        if self.settings.error.is_none() || response.status < 400 {
            return by_status;
        }
        let code = response.status.to_string();
        let error = vendor::told(NAME, by_status.class, &code, &self.reason(response)).error;
        Failure { error, ..by_status }
    }

    /// What OPTIONS came to: that the host answers, and whether it let us in. Few servers say more by it.
    fn options(&self, answer: &Response, now: i64, found: &mut Found) -> Result<(), Failure> {
        match answer.status {
            200..=299 | 400 | 404..=407 | 409..=424 | 426..=428 => {
                let finding = "test_path is not set: the host answers, but whether the login is right shows only when a lead is pushed";
                found.findings.push(finding.to_owned());
                Ok(())
            }
            _ => Err(self.failure(answer, now)),
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

/// The id that stands there: a text or a number.
fn id_at(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(vendor::id_of)
}

#[cfg(test)]
mod tests;
