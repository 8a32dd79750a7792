//! Mailchimp: a member of an audience for each lead that consented, then tags if there are any to give.
//!
//! Only `status_if_new` is ever said, never `status`: who is a member already stays what they are, so that nobody who
//! left is subscribed again. A lead without consent is skipped before it comes here, and refused if it comes.
//! Titles of errors are from recorded answers and memory, so the status decides wherever one is not known.

mod error;
mod member;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{
    ConfigField, Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record, Request,
    Response, config, crm, named_as,
    vendor::{Vendor, id_of, word},
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::Failure,
};
use member::Member;

const NAME: &str = "mailchimp";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// Mailchimp takes ten connections at once for each user, all programs together.
const CONNECTIONS: u32 = 4;
/// So often a member is put without the merge fields that were refused.
const REFUSALS_MAX: usize = 3;
/// Under which the number is kept that the vendor's own pages know a member by.
const WEB_ID: &str = "_web_id";
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

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        let event = crm::consented(NAME, push)?;
        self.member.plan(&event, push).map(|plan| Some(plan.to_bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let login = self.login()?;
        crm::consented(NAME, push)?;
        let plan = crm::rendered(push)?;
        let kept = format!("member.{}", push.id);
        let has_tags = plan.get("tags").is_some();
        if ctx.id(&kept).is_some() {
            let tagged = ctx.send(self.tag(login, &plan)).await?;
            // An earlier attempt made the member, and it may be gone since.
            if tagged.status != 404 {
                return done(&tagged, ctx.now);
            }
        }
        self.join(login, &plan, ctx).await?;
        if !has_tags {
            return Ok(());
        }
        // The member is there: an attempt that breaks off at the tags goes on with them.
        ctx.keep(&[(&kept, &hash_of(&plan))]).await;
        done(&ctx.send(self.tag(login, &plan)).await?, ctx.now)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let host = self.login.as_ref().and_then(|login| login.base.host_str());
        let centre = host.and_then(|host| host.strip_suffix(".api.mailchimp.com"));
        named_as(&["member"], things, |_, _| {
            let id = things.get(WEB_ID)?;
            Some(format!("https://{}.admin.mailchimp.com/lists/members/view?id={id}", centre?))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CONNECTIONS, per: Duration::ZERO })
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
        let login = self.login()?;
        let get = |segments: &[&str], query: &str| login.request(Method::GET, segments, query);
        if kind != ProbeKind::Mapping {
            let user = VENDOR.json(ctx, get(&[""], "fields=account_name,login_id")).await?;
            let name = word(&user, "account_name").unwrap_or("?").to_owned();
            found.account = Some(name.clone());
            let list = get(&["lists", &self.list], "fields=id,name,stats.member_count");
            found.account = Some(error::account(&name, &VENDOR.json(ctx, list).await?));
        }
        let query = "count=1000&fields=merge_fields.tag,merge_fields.type,merge_fields.options";
        let schema = VENDOR.json(ctx, get(&["lists", &self.list, "merge-fields"], query)).await?;
        found.findings = self.member.findings(&schema);
        Ok(())
    }
}

impl Ready {
    fn login(&self) -> Result<&Login, Failure> {
        self.login.as_ref().ok_or_else(|| config::no_credentials("api_key"))
    }

    /// Puts the member. A merge field that the audience refuses keeps nobody out: it is left out, and noted.
    async fn join(&self, login: &Login, plan: &Json, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let mut plan = plan.clone();
        let mut answer = ctx.send(self.put(login, &plan)).await?;
        for _ in 0..REFUSALS_MAX {
            let mut is_smaller = false;
            for (field, reason) in error::refused_fields(&answer) {
                if plan.take_at(&format!("member.merge_fields.{field}")).is_some() {
                    ctx.note(format!("merge field {field} was left out: {reason}"));
                    is_smaller = true;
                }
            }
            if !is_smaller {
                break;
            }
            answer = ctx.send(self.put(login, &plan)).await?;
        }
        done(&answer, ctx.now)?;
        let web_id = answer.json().as_ref().and_then(|member| id_of(&member["web_id"]));
        if let Some(web_id) = web_id {
            ctx.keep(&[("member", &hash_of(&plan)), (WEB_ID, &web_id)]).await;
        }
        Ok(())
    }

    fn put(&self, login: &Login, plan: &Json) -> Request {
        let segments = ["lists", &self.list, "members", &hash_of(plan)];
        // A merge field that is required in forms must not keep a lead out.
        let request = login.request(Method::PUT, &segments, "skip_merge_validation=true");
        request.json(plan.get("member").map(Json::to_bytes).unwrap_or_default())
    }

    fn tag(&self, login: &Login, plan: &Json) -> Request {
        let segments = ["lists", &self.list, "members", &hash_of(plan), "tags"];
        let tags = plan.get("tags").cloned().unwrap_or(Json::Null);
        login.request(Method::POST, &segments, "").json(Json::object([("tags", tags)]).to_bytes())
    }
}

fn done(answer: &Response, now: i64) -> Result<(), Failure> {
    if error::is_done(answer) { Ok(()) } else { Err(error::failure(answer, now)) }
}

fn hash_of(plan: &Json) -> String {
    plan.get("hash").map(crm::text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
