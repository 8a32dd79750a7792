//! Mailchimp: a member of an audience for each lead that consented, then tags if there are any to give.
//!
//! Only `status_if_new` is ever said, never `status`: who is a member already stays what they are, so that nobody who
//! left is subscribed again. A lead without consent is skipped before it comes here, and refused if it comes.
//! Titles of errors are from recorded answers and memory, so the status decides wherever one is not known.

mod member;
mod reading;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{
    ConfigField, Connector, Exchange, Ids, Manifest, Pace, Prepared, Probe, ProbeStep, Push, Request, Step,
    config, crm, verdict,
};
use crate::domain::{
    address::EgressPolicy,
    fanout::has_consent,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass, Outcome},
};
use member::Member;

const NAME: &str = "mailchimp";
/// Mailchimp takes ten connections at once for each user, all programs together.
const CONNECTIONS: u32 = 4;
const STATUSES: [&str; 2] = ["pending", "subscribed"];

/// The connector `mailchimp`.
#[derive(Debug)]
pub(super) struct Mailchimp;

const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "list_id",
        "text",
        "The audience's id, as in Audience > Settings > Audience name and defaults",
    ),
    ConfigField::optional(
        "status_if_new",
        "text",
        "pending",
        "pending asks new members by mail to confirm, subscribed does not; who is a member already stays as they are",
    ),
    ConfigField::optional("tags", "text", "", "Tags that members get, with commas between them"),
];

const CREDENTIALS: &[ConfigField] =
    &[ConfigField::required("api_key", "text", "An API key with its data centre at the end, as …-us21")];

/// First and last name go to FNAME and LNAME beside this, unless the operator maps the name.
fn own_mapping() -> Value {
    json!({ "lead.phone": "PHONE" })
}

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    needs_consent: true,
    connections_max: Some(CONNECTIONS),
    ..Manifest::new(
        NAME,
        "Adds each lead that consented to a Mailchimp audience, or brings its details up to date there",
        FIELDS,
        CREDENTIALS,
    )
};

impl Connector for Mailchimp {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, _egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let mut problems = read_mapping(mapping).err().unwrap_or_default();
        if config::text(config, "status_if_new").is_some_and(|status| !STATUSES.contains(&status)) {
            problems.push("status_if_new must be pending or subscribed".to_owned());
        }
        problems
    }

    fn credential_problems(&self, credentials: &Value, _egress: &EgressPolicy) -> Vec<String> {
        let key = config::credential(credentials, "api_key");
        if key.is_none_or(|key| data_centre(&key).is_some()) {
            return Vec::new();
        }
        vec!["api_key must end in its data centre, as -us21: copy the whole key".to_owned()]
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        let key = config::credential(&integration.credentials, "api_key");
        let login = match key.and_then(|key| data_centre(&key).map(|centre| (centre, key))) {
            Some((centre, key)) => {
                let base = config::base_or(config, &format!("https://{centre}.api.mailchimp.com"));
                Some(Login { base: base.map_err(crm::unrenderable)?, key })
            }
            None => None,
        };
        let mapping = read_mapping(&integration.mapping)
            .map_err(|problems| crm::unrenderable(format!("mapping: {}", problems.join("; "))))?;
        let tags = config::text(config, "tags").unwrap_or_default().split(',').map(str::trim);
        Ok(Box::new(Ready {
            login,
            list: config::text(config, "list_id").unwrap_or_default().trim().to_owned(),
            member: Member {
                status_if_new: config::text(config, "status_if_new").unwrap_or("pending").to_owned(),
                splits_name: integration.mapping.get("lead.name").is_none(),
                mapping,
                tags: tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            },
        }))
    }
}

/// The mapping with the operator's laid over ours.
fn read_mapping(mapping: &Value) -> Result<Mapping, Vec<String>> {
    match mapping {
        Value::Null | Value::Object(_) => Mapping::parse(&crm::overlay(&own_mapping(), mapping)),
        other => Mapping::parse(other),
    }
}

/// The data centre at the end of a key. It becomes part of a host, so nothing but letters and digits will do.
fn data_centre(key: &SecretString) -> Option<String> {
    let (_, centre) = key.expose_secret().rsplit_once('-')?;
    let letters = centre.bytes().take_while(u8::is_ascii_lowercase).count();
    let digits = centre.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
    let is_one = (2..=3).contains(&letters) && (1..=4).contains(&digits) && letters + digits == centre.len();
    is_one.then(|| centre.to_owned())
}

/// Where to call, and as whom.
#[derive(Debug)]
struct Login {
    base: Url,
    key: SecretString,
}

impl Login {
    fn request(&self, method: Method, segments: &[&str], query: &str) -> Request {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("3.0").extend(segments);
        }
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        Request::new(method, url)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .basic("leadline", &self.key)
    }
}

/// An audience that is ready to get members.
#[derive(Debug)]
struct Ready {
    login: Option<Login>,
    list: String,
    member: Member,
}

impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        let event = consented(push)?;
        self.member.plan(&event, push).map(|plan| Some(plan.to_bytes()))
    }

    fn step(&self, push: &Push<'_>, exchanges: &[Exchange]) -> Step {
        let Some(login) = &self.login else {
            return Step::Done(Outcome::Failed(config::no_credentials("api_key")));
        };
        let plan = match consented(push).and_then(|_| plan_of(push)) {
            Ok(plan) => plan,
            Err(failure) => return Step::Done(Outcome::Failed(failure)),
        };
        let kept = format!("member.{}", push.id);
        let has_tags = plan.get("tags").is_some();
        let is_member = push.ids.contains_key(&kept);
        match exchanges.last() {
            // An earlier attempt made the member, and it is gone since.
            Some(exchange) if is_tagging(exchange) && exchanges.len() == 1 && is_missing(exchange) => {
                self.put(login, &plan)
            }
            Some(exchange) if !reading::is_done(exchange) => {
                Step::Done(Outcome::Failed(reading::failure(exchange, push.now)))
            }
            Some(exchange) if !has_tags || is_tagging(exchange) => Step::Done(Outcome::Delivered),
            // The member is there: an attempt that breaks off at the tags goes on with them.
            Some(_) if !is_member => Step::Keep(Ids::from([(kept, hash_of(&plan))])),
            None if !is_member => self.put(login, &plan),
            _ => self.tag(login, &plan),
        }
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CONNECTIONS, per: Duration::ZERO })
    }

    fn probe(&self, probe: &Probe<'_>, exchanges: &[Exchange]) -> ProbeStep {
        let Some(login) = &self.login else {
            return verdict::failed(None, config::no_credentials("api_key"));
        };
        let get = |segments: &[&str], fields: &str| {
            ProbeStep::Call(login.request(Method::GET, segments, fields).into())
        };
        let mut answers = exchanges.iter();
        let mut account = None;
        if probe.kind != ProbeKind::Mapping {
            let Some(root) = answers.next() else { return get(&[""], "fields=account_name,login_id") };
            let Some(user) = verdict::success(root) else {
                return verdict::failed(None, reading::failure(root, probe.now));
            };
            let name = verdict::word(&user, "account_name").unwrap_or("?").to_owned();
            let Some(list) = answers.next() else {
                return get(&["lists", &self.list], "fields=id,name,stats.member_count");
            };
            let Some(audience) = verdict::success(list) else {
                return verdict::failed(Some(name), reading::failure(list, probe.now));
            };
            account = Some(reading::account(&name, &audience));
        }
        let Some(fields) = answers.next() else {
            let query = "count=1000&fields=merge_fields.tag,merge_fields.type";
            return get(&["lists", &self.list, "merge-fields"], query);
        };
        match verdict::success(fields) {
            Some(schema) => verdict::reached(account, self.member.findings(&schema)),
            None => verdict::failed(account, reading::failure(fields, probe.now)),
        }
    }
}

impl Ready {
    fn put(&self, login: &Login, plan: &Json) -> Step {
        let segments = ["lists", &self.list, "members", &hash_of(plan)];
        // A merge field that is required in forms must not keep a lead out.
        let request = login.request(Method::PUT, &segments, "skip_merge_validation=true");
        let body = plan.get("member").map(Json::to_bytes).unwrap_or_default();
        Step::Call(request.json(body).into())
    }

    fn tag(&self, login: &Login, plan: &Json) -> Step {
        let segments = ["lists", &self.list, "members", &hash_of(plan), "tags"];
        let tags = plan.get("tags").cloned().unwrap_or(Json::Null);
        let body = Json::object([("tags", tags)]).to_bytes();
        Step::Call(login.request(Method::POST, &segments, "").json(body).into())
    }
}

/// The event, if the lead agreed to be written to.
fn consented(push: &Push<'_>) -> Result<Json, Failure> {
    let event = crm::event(push)?;
    if has_consent(&event) {
        return Ok(event);
    }
    let error = format!("{NAME} was not called: the lead gave no consent");
    Err(Failure::new(FailureClass::Rejected, error))
}

fn plan_of(push: &Push<'_>) -> Result<Json, Failure> {
    let rendered = push.rendered.map(Bytes::as_ref).unwrap_or_default();
    Json::parse(rendered)
        .map_err(|error| crm::unrenderable(format!("what was rendered cannot be read: {error}")))
}

fn hash_of(plan: &Json) -> String {
    plan.get("hash").map(crm::text).unwrap_or_default()
}

fn is_missing(exchange: &Exchange) -> bool {
    exchange.answer.as_ref().is_ok_and(|response| response.status == 404)
}

fn is_tagging(exchange: &Exchange) -> bool {
    matches!(&exchange.call, super::Call::Http(request) if request.method == Method::POST)
}

#[cfg(test)]
mod tests;
