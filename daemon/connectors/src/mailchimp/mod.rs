//! Mailchimp: a member of an audience for each lead that consented, then tags if there are any to give.
//!
//! Only `status_if_new` is ever said, never `status`: who is a member already stays what they are, so that nobody who
//! left is subscribed again. A lead without consent is skipped before it comes here, and refused if it comes.
//! Titles of errors are from recorded answers and memory, so the status decides wherever one is not known.

mod config;
mod error;
mod plan;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::prelude::*;
use config::{Config, Credentials};
use plan::Member;

const NAME: &str = "mailchimp";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// Mailchimp takes ten connections at once for each user, all programs together.
const CONNECTIONS: u32 = 4;
/// Under which the number is kept that the vendor's own pages know a member by.
const WEB_ID: &str = "_web_id";

/// The connector `mailchimp`.
#[derive(Debug)]
pub(super) struct Mailchimp;

impl TypedConnector for Mailchimp {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Adds each lead that consented to a Mailchimp audience, or brings its details up to date there",
        config::own_mapping,
    )
    .for_consent()
    .connections(CONNECTIONS);

    /// Whoever maps the name itself, or something else to the merge fields for it, has it split no more.
    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        let given = crm::read_mapping(&Value::Null, operators)?;
        let mut own = config::own_mapping();
        for (field, tag) in config::NAMES {
            if !(given.mentions("lead.name") || given.targets().any(|(_, target)| target == tag)) {
                own[field] = tag.into();
            }
        }
        crm::read_mapping(&own, operators)
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let login = match setup.credentials.api_key.0 {
            Some(key) => {
                let base = setup.common.base_or(&format!("https://{}.api.mailchimp.com", key.centre));
                Some(Login { base: base.map_err(crm::unrenderable)?, key: key.key })
            }
            None => None,
        };
        Ok(Box::new(Compiled {
            login,
            list: setup.config.list_id,
            member: Member {
                status_if_new: setup.config.status_if_new,
                mapping: setup.mapping,
                tags: setup.config.tags.0,
                groups: setup.config.groups.0,
                permissions: setup.config.marketing_permissions.0,
                notes: setup.config.notes == Flag::Yes,
            },
        }))
    }
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
struct Compiled {
    login: Option<Login>,
    list: String,
    member: Member,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        self.member.plan(&crm::consented(NAME, push)?, push).map(|plan| Some(crm::kept(plan)))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        self.bring(push, ctx).await
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let host = self.login.as_ref().and_then(|login| login.base.host_str());
        let centre = host.and_then(|host| host.strip_suffix(".api.mailchimp.com"));
        named_as(&["member", "note"], things, |kind, _| {
            let id = things.get(WEB_ID).filter(|_| kind == "member")?;
            Some(format!("https://{}.admin.mailchimp.com/lists/members/view?id={id}", centre?))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CONNECTIONS, per: Duration::ZERO })
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        probe::look(self, kind, ctx).await
    }
}
