//! Connectors: the code that speaks one kind of integration, as straight code that does no I/O of its own.
//!
//! A connector says what to send and reads what comes back; [`runtime`] drives it, and a transport carries its calls.
//! Adding one takes a folder here and two lines below; how it is written stands in [`runtime`] and CONTRIBUTING.

mod activecampaign;
mod airtable;
mod brevo;
mod call;
mod chat;
pub mod config;
mod connector;
pub mod crm;
mod discord;
mod dynamics;
mod email;
mod google_sheets;
mod hook_url;
mod hooks;
mod hubspot;
mod klaviyo;
mod leads;
mod mailchimp;
mod oauth;
#[cfg(test)]
mod pages;
mod pipedrive;
mod plan;
mod prelude;
pub mod reading;
mod rest;
pub mod runtime;
mod salesforce;
mod slack;
mod stages;
mod summary;
mod teams;
#[cfg(test)]
mod testkit;
mod told;
mod vendor;
mod webhook;
mod written;
mod zoho;

pub use call::{
    Answer, Call, CallError, CallErrorKind, Mail, MailLogin, MailSecurity, Request, RequestHeader, Response,
};
pub use config::{ConfigField, Problem, joined};
pub use connector::{Connector, Given, Manifest, Setup, TypedConnector};
pub use runtime::{Conversation, Driven, LoginTransport, RefreshTurn, Transport, drive, log_in, probe};

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use leadline_domain::{
    integration::{EventKind, Policy, ProbeKind},
    moment::Moment,
    outcome::{Failure, Outcome},
    schema::TargetField,
    telling::Telling,
};

/// What may fail as a push does.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// An integration ready to push.
#[async_trait]
pub trait Prepared: Send + Sync {
    /// What every call of a push is made from, where a push takes more than one. It is kept with the delivery and comes
    /// back as `rendered` on every repeat. None: the body of the one call is what is kept.
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        let _ = push;
        Ok(None)
    }
    /// Brings the event to the target. Without an error it is there.
    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()>;
    /// How calls get a token that runs out, if they need one.
    fn login(&self) -> Option<&dyn Login> {
        None
    }
    /// What it does beside bringing events.
    fn abilities(&self) -> Abilities {
        Abilities::RECORDS
    }
    /// The things that the target made, out of what is kept of them: `contact` → `12345`.
    fn records(&self, things: &Ids, account: Option<&str>) -> Vec<Record> {
        let _ = account;
        named(things, |_, _| None)
    }
    /// How many calls the target takes; all pushes to one account wait for each other.
    fn pace(&self) -> Option<Pace> {
        None
    }
    /// What a good answer says of a quota that the target counts for all its callers and that is all but used: then
    /// later pushes fail so, without a call, until the failure's wait has passed.
    fn exhausted(&self, response: &Response) -> Option<Failure> {
        let _ = response;
        None
    }
    /// A look at the target that pushes no lead. Without an error pushes would arrive, but for what is found.
    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        let _ = (kind, ctx);
        Ok(())
    }
}

/// What an integration does beside bringing events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The ids that the target gave are kept for the lead, so that a push may go on where it stopped.
    pub keeps_ids: bool,
    /// People are told of an update, who want to hear what it changed.
    pub tells_changes: bool,
    /// Which probes it has.
    pub probes: Probes,
}

/// The probes of an integration, which push no lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probes {
    /// Nothing: a test pushes a sample lead.
    #[default]
    None,
    /// Whether it lets us in.
    Access,
    /// That, and whether its fields fit the mapping.
    AccessAndMapping,
}

impl Abilities {
    const RECORDS: Self = Self { keeps_ids: true, tells_changes: true, probes: Probes::AccessAndMapping };
    const MESSAGES: Self = Self { keeps_ids: false, tells_changes: true, probes: Probes::Access };

    fn can_probe(self, kind: ProbeKind) -> bool {
        match self.probes {
            Probes::None => false,
            Probes::Access => kind != ProbeKind::Mapping,
            Probes::AccessAndMapping => true,
        }
    }
}

/// A login that gives tokens. The runtime puts them into calls, shares them among pushes and renews them.
pub trait Login: Send + Sync {
    /// The call that gets a token. `refresh` is the newest refresh token, if it has one.
    fn request(&self, now: Moment, refresh: Option<&SecretString>) -> Result<Request>;
    /// The refresh token of the credentials. A login may answer with another that replaces it.
    fn refresh_token(&self) -> Option<&SecretString> {
        None
    }
    /// Reads what the login answered.
    fn token(&self, answer: &Answer, now: Moment) -> Result<Token>;
    /// The word before the token in `Authorization`.
    fn scheme(&self) -> &'static str {
        "Bearer"
    }
    /// Whether an answer to a call with a token says that it is the token that was refused.
    fn refuses(&self, response: &Response) -> bool {
        response.status == 401
    }
}

/// What the target calls things, for one lead at one integration: `contact` → `12345`.
pub type Ids = BTreeMap<String, String>;

/// A thing that the target made of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// In the target's words: `contact`, `deal`.
    pub kind: String,
    pub id: String,
    /// Where people see it, if that is known.
    pub url: Option<String>,
}

/// What the target calls the things of a lead, as far as that is kept: those of one delivery, or the lead's as they are
/// now. `account` is whose account it is, as a probe found it.
#[must_use]
pub fn records(
    prepared: Option<&dyn Prepared>,
    ids: &Ids,
    delivery: Option<&str>,
    account: Option<&str>,
) -> Vec<Record> {
    let mut things = Ids::new();
    for (key, id) in ids {
        match key.split_once('.') {
            None => drop(things.entry(key.clone()).or_insert_with(|| id.clone())),
            // Between them may stand what it hangs on: `note.501.01J…`.
            Some((kind, of)) if of.rsplit('.').next() == delivery => {
                things.insert(kind.to_owned(), id.clone());
            }
            Some(_) => {}
        }
    }
    things.retain(|_, id| id.as_str() != vendor::TOLD);
    match prepared {
        Some(prepared) => prepared.records(&things, account),
        None => named(&things, |_, _| None),
    }
}

/// Each thing with where it is seen.
fn named(things: &Ids, url: impl Fn(&str, &str) -> Option<String>) -> Vec<Record> {
    // A connector's own notes begin with an underscore.
    let shown = things.iter().filter(|(kind, _)| !kind.starts_with('_'));
    shown.map(|(kind, id)| Record { kind: kind.clone(), id: id.clone(), url: url(kind, id) }).collect()
}

/// The things of these kinds, in this order, each with where it is seen.
fn named_as(kinds: &[&str], things: &Ids, url: impl Fn(&str, &str) -> Option<String>) -> Vec<Record> {
    let of = |kind: &&str| {
        let id = things.get(*kind)?;
        Some(Record { kind: (*kind).to_owned(), id: id.clone(), url: url(kind, id) })
    };
    kinds.iter().filter_map(of).collect()
}

/// The header of a mail server's answer that names a recipient whom it refused though it took the message.
pub const REFUSED: &str = "refused";

/// Under which it is kept where a login directs calls to, and people find what was made.
const SITE: &str = "_site";

/// One push: what to bring, and under which id.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The delivery's id, or a test's attempt id: the same on every repeat.
    pub id: &'a str,
    pub event: EventKind,
    /// The canonical event, as JSON text, its `event` set to what happened.
    pub body: &'a Bytes,
    /// What an earlier attempt rendered, to be repeated byte for byte.
    pub rendered: Option<&'a Bytes>,
    /// An earlier attempt, of this delivery or of another of the lead that ended undelivered, may have reached the
    /// target: what is not idempotent is looked up first.
    pub is_repeat: bool,
    /// Under which other ids the same event may be there already.
    pub same: &'a [String],
    /// No attempt that may have reached the target began before.
    pub since: Moment,
    /// What was kept of earlier pushes of this lead to this integration.
    pub ids: &'a Ids,
    /// The event as it was before an update, where that is known and told to people.
    pub before: Option<&'a Bytes>,
    /// How the company's people are told things.
    pub telling: &'a Telling,
    /// By the database's clock.
    pub now: Moment,
}

impl Push<'_> {
    /// The oldest of the ids that the event was brought under: the same for every delivery of it.
    fn first_id(&self) -> &str {
        self.same.iter().map(String::as_str).chain([self.id]).min().unwrap_or(self.id)
    }

    /// Whether a text of the target's tells of this event: it names one of the ids that it was brought under.
    fn is_told_by(&self, text: &str) -> bool {
        std::iter::once(self.id).chain(self.same.iter().map(String::as_str)).any(|id| text.contains(id))
    }
}

/// What a login gave.
#[derive(Clone, Debug)]
pub struct Token {
    pub secret: SecretString,
    /// When it runs out; none if the target does not say.
    pub expires_at: Option<Moment>,
    /// Where to call from now on, if the target says.
    pub base: Option<Url>,
    /// The refresh token that takes the place of the one that was used, if the target gave another.
    pub refresh: Option<SecretString>,
    /// It was got earlier, by another push or daemon: who is refused with it logs in.
    pub is_kept: bool,
}

/// So many calls at most in any stretch of so much time; in no time, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub calls: u32,
    pub per: Duration,
}

/// What a probe finds on its way.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Whose account it is, in the target's words. Another account differs before the first parenthesis.
    pub account: Option<String>,
    /// What is wrong with the mapping or missing at the target, each in a sentence with the nearest existing name.
    pub findings: Vec<String>,
    /// The fields that the target has of its own, where its schema tells.
    pub targets: Vec<TargetField>,
}

/// What a probe came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    /// As in [`Found`].
    pub account: Option<String>,
    /// As in [`Found`]; none where the probe failed.
    pub findings: Vec<String>,
    /// As in [`Found`].
    pub targets: Vec<TargetField>,
}

impl Report {
    /// Nothing could be looked at.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self { outcome: Outcome::Failed(failure), account: None, findings: Vec::new(), targets: Vec::new() }
    }
}

/// Every connector there is.
pub static ALL: &[&dyn Connector] = &[
    &activecampaign::ActiveCampaign,
    &airtable::Airtable,
    &brevo::Brevo,
    &discord::Discord,
    &dynamics::Dynamics,
    &email::Email,
    &google_sheets::GoogleSheets,
    &hooks::MAKE,
    &hooks::N8N,
    &hooks::ZAPIER,
    &hubspot::Hubspot,
    &klaviyo::Klaviyo,
    &mailchimp::Mailchimp,
    &pipedrive::Pipedrive,
    &rest::Rest,
    &salesforce::Salesforce,
    &slack::Slack,
    &teams::Teams,
    &webhook::Webhook,
    &zoho::Zoho,
];

/// The connector of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Connector> {
    ALL.iter().copied().find(|connector| connector.manifest().name == name)
}

/// What an integration's configuration sets, within what its connector allows.
#[must_use]
pub fn policy(connector: &str, config: &Value) -> Policy {
    find(connector).map_or_else(Policy::default, |connector| connector.policy(config))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::config::Settings as _;
    use leadline_domain::origins;

    #[test]
    fn what_is_not_set_has_its_default() {
        let policy = policy("webhook", &serde_json::json!({ "url": "https://example.com/" }));
        assert_eq!((policy.timeout, policy.concurrency), (Duration::from_secs(30), 16));
        assert_eq!((policy.rate_per_second, policy.retries), (None, 3));
    }

    #[test]
    fn a_connector_limits_what_a_configuration_sets() {
        let many = serde_json::json!({ "concurrency": 64 });
        assert_eq!(policy("webhook", &many).concurrency, 64);
        assert_eq!(
            Some(policy("mailchimp", &many).concurrency),
            mailchimp::Mailchimp.manifest().connections_max
        );
    }

    #[test]
    fn every_connector_is_found_by_a_name_of_its_own() {
        for connector in ALL {
            let own = connector.manifest();
            assert_eq!(ALL.iter().filter(|other| other.manifest().name == own.name).count(), 1);
            assert_eq!(find(own.name).map(|found| found.manifest().summary), Some(own.summary));
            for field in own.fields {
                assert!(
                    config::Common::FIELDS.iter().all(|common| common.name != field.name),
                    "{}",
                    field.name
                );
            }
        }
        assert!(find("fax").is_none());
    }

    #[test]
    fn a_setting_that_names_an_address_counts_as_whom_credentials_are_given_to() {
        let common = config::Common::FIELDS.iter().map(|field| ("every connector", field));
        let own = ALL.iter().flat_map(|connector| {
            let manifest = connector.manifest();
            manifest.fields.iter().map(|field| (manifest.name, field))
        });
        for (connector, field) in common.chain(own) {
            // An account of the vendor's that is named by a word is at the vendor's own address.
            let is_address = ["url", "path", "host", "server", "endpoint", "proxy", "domain", "region"]
                .iter()
                .any(|word| field.name.split('_').any(|part| part == *word));
            let is_data = field.name == "confirm_redirect_url";
            let counts = origins::is_place(field.name) || field.name == "host";
            assert_eq!(is_address && !is_data, counts, "{connector}: {}", field.name);
        }
    }

    #[test]
    fn every_connector_has_golden_requests_of_every_kind() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for connector in ALL {
            let name = connector.manifest().name;
            for kind in ["create", "update", "repeat", "minimal", "maximal"] {
                let json = format!("{kind}.json");
                let files =
                    [(name, json), (name, format!("{kind}.eml")), ("hooks", format!("{name}_{kind}.json"))];
                let is_compared = |(folder, file): &(&str, String)| {
                    let tests = fs::read_to_string(here.join(folder).join("tests.rs")).unwrap_or_default();
                    tests.contains(&format!("include_str!(\"fixtures/{file}\")"))
                };
                assert!(files.iter().any(is_compared), "{name}: no test compares fixtures/{kind}");
            }
        }
    }

    /// The connector, its configuration and credentials, whose account it is, what is kept of a lead, its record first, and
    /// where that is seen.
    const SEEN: [[&str; 6]; 15] = [
        [
            "activecampaign",
            r#"{"api_url": "https://innkept.api-us1.com", "list_id": "3"}"#,
            "{}",
            "",
            "contact=7",
            "https://innkept.activehosted.com/app/contacts/7",
        ],
        [
            "airtable",
            r#"{"base_id": "app1", "table": "tbl2"}"#,
            "{}",
            "",
            "record=rec3",
            "https://airtable.com/app1/tbl2/rec3",
        ],
        ["brevo", r#"{"list_ids": "3"}"#, "{}", "", "contact=5", "https://app.brevo.com/contact/index/5"],
        [
            "discord",
            "{}",
            r#"{"webhook_url": "https://discord.com/api/webhooks/1/a"}"#,
            "Leads (server 123)",
            "message=5 _channel=9",
            "https://discord.com/channels/123/9/5",
        ],
        [
            "dynamics",
            r#"{"environment_url": "https://innkept.crm4.dynamics.com", "tenant_id": "innkept.example"}"#,
            "{}",
            "",
            "lead=a1",
            "https://innkept.crm4.dynamics.com/main.aspx?etn=lead&id=a1&pagetype=entityrecord",
        ],
        [
            "google_sheets",
            r#"{"spreadsheet_id": "1abcdefghijklmnopqrstuvwxyz0123456789", "sheet": "Leads"}"#,
            "{}",
            "",
            "row=7 _sheet=0",
            "https://docs.google.com/spreadsheets/d/1abcdefghijklmnopqrstuvwxyz0123456789/edit#gid=0&range=7:7",
        ],
        [
            "hubspot",
            "{}",
            "{}",
            "HubSpot account 123 (app-eu1.hubspot.com)",
            "contact=501",
            "https://app-eu1.hubspot.com/contacts/123/record/0-1/501",
        ],
        [
            "hubspot",
            "{}",
            "{}",
            "HubSpot account 123 (app.hubspot.com)",
            "deal=9",
            "https://app.hubspot.com/contacts/123/record/0-3/9",
        ],
        [
            "hubspot",
            "{}",
            "{}",
            "HubSpot account 123 (app.hubspot.com)",
            "company=8",
            "https://app.hubspot.com/contacts/123/record/0-2/8",
        ],
        [
            "klaviyo",
            r#"{"list_id": "Y6nRLr"}"#,
            "{}",
            "",
            "profile=01K",
            "https://www.klaviyo.com/profile/01K",
        ],
        [
            "mailchimp",
            r#"{"list_id": "a1"}"#,
            r#"{"api_key": "0123456789abcdef-us21"}"#,
            "",
            "member=5d41 _web_id=77",
            "https://us21.admin.mailchimp.com/lists/members/view?id=77",
        ],
        ["pipedrive", "{}", "{}", "", "person=1", "https://app.pipedrive.com/person/1"],
        [
            "pipedrive",
            "{}",
            "{}",
            "",
            "deal=9 _site=https://acme.pipedrive.com/",
            "https://acme.pipedrive.com/deal/9",
        ],
        [
            "salesforce",
            "{}",
            "{}",
            "",
            "lead=00Q1 _site=https://acme.my.salesforce.com/",
            "https://acme.my.salesforce.com/lightning/r/Lead/00Q1/view",
        ],
        [
            "zoho",
            "{}",
            "{}",
            "",
            "lead=5 _site=https://www.zohoapis.eu",
            "https://crm.zoho.eu/crm/tab/Leads/5",
        ],
    ];

    #[test]
    fn each_record_is_seen_where_its_link_leads() {
        for [name, config, credentials, account, kept, link] in SEEN {
            let [config, credentials] = [config, credentials].map(|text| serde_json::from_str(text).unwrap());
            let integration = testkit::integration(name, config, credentials, Value::Null);
            let ready = find(name).unwrap().prepare(&integration, "Leadline").unwrap();
            let kept = kept.split(' ').map(|one| one.split_once('=').unwrap());
            let (kind, _) = kept.clone().next().unwrap();
            let ids: Ids = kept.map(|(key, id)| (key.to_owned(), id.to_owned())).collect();
            let shown = records(Some(ready.as_ref()), &ids, None, Some(account));
            let seen: Vec<_> = shown.iter().map(|one| (&*one.kind, one.url.as_deref())).collect();
            assert_eq!(seen, [(kind, Some(link))], "{name}");
        }
        let of_records = ALL.iter().map(|connector| connector.manifest()).filter(|own| own.checks_mapping);
        for own in of_records {
            assert!(SEEN.iter().any(|[name, ..]| *name == own.name), "{}: where is a record seen?", own.name);
        }
    }
}
