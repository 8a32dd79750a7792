//! Every vendor there is a connector for, how it is connected to, and what it must hold afterwards.

use std::{collections::BTreeMap, time::Duration};

use leadline_fakes::{
    Fake, Vendor,
    activecampaign::ActiveCampaign,
    airtable::Airtable,
    brevo::Brevo,
    discord::Discord,
    dynamics::Dynamics,
    google_sheets::GoogleSheets,
    hooks::{Hooks, Product},
    hubspot::Hubspot,
    klaviyo::Klaviyo,
    mail::{House, MailServer},
    mailchimp::Mailchimp,
    pipedrive::Pipedrive,
    rest::Rest,
    salesforce::Salesforce,
    slack::Slack,
    teams::Teams,
    zoho::Zoho,
};
use serde_json::{Value, json};

use super::{Lead, chaos::Chaos};
use crms::column;

mod crms;

/// Short, so that late answers are soon too late.
pub(super) const TIMEOUT_SECONDS: u64 = 2;

const SLACK: &str = "/services/T1/B1/abcdefghijklmnop";
const DISCORD: (&str, &str) = ("123456789", "abcdefghijklmnop-token");
const TEAMS: &str = "/powerautomate/automations/direct/workflows/0f1e/triggers/manual/paths/invoke";
const ZAPIER: &str = "/hooks/catch/123456/abcdefghijkl/";
const MAKE: &str = "/abcdefghijklmnopqrstuvwxyz";
const N8N: &str = "/webhook/abcdefghijkl-leads";
const WEBHOOK: &str = "/webhook/own";

pub(super) struct Vendors {
    hubspot: Fake<Hubspot>,
    pipedrive: Fake<Pipedrive>,
    salesforce: Fake<Salesforce>,
    airtable: Fake<Airtable>,
    google_sheets: Fake<GoogleSheets>,
    brevo: Fake<Brevo>,
    discord: Fake<Discord>,
    teams: Fake<Teams>,
    activecampaign: Fake<ActiveCampaign>,
    zoho: Fake<Zoho>,
    dynamics: Fake<Dynamics>,
    klaviyo: Fake<Klaviyo>,
    mailchimp: Fake<Mailchimp>,
    rest: Fake<Rest>,
    slack: Fake<Slack>,
    zapier: Fake<Hooks>,
    make: Fake<Hooks>,
    n8n: Fake<Hooks>,
    /// A receiver of plain webhooks takes what n8n takes.
    webhook: Fake<Hooks>,
    email: MailServer,
}

/// An account.
async fn fake<V: Vendor>(vendor: V) -> Fake<V> {
    Fake::start(vendor).await.unwrap()
}

impl Vendors {
    pub(super) async fn start() -> Self {
        let vendors = Self {
            hubspot: fake(Hubspot::default()).await,
            pipedrive: fake(Pipedrive::default()).await,
            salesforce: fake(Salesforce::default()).await,
            airtable: fake(Airtable::new()).await,
            google_sheets: fake(GoogleSheets::default()).await,
            brevo: fake(Brevo::default()).await,
            discord: fake(Discord::new(DISCORD.0, DISCORD.1)).await,
            teams: fake(Teams::new(TEAMS, "0123456789abcdef")).await,
            activecampaign: fake(ActiveCampaign::default()).await,
            zoho: fake(Zoho::default()).await,
            dynamics: fake(Dynamics::default()).await,
            klaviyo: fake(Klaviyo::default()).await,
            mailchimp: fake(Mailchimp::new()).await,
            rest: fake(Rest::new()).await,
            slack: fake(Slack::new(SLACK)).await,
            zapier: fake(Hooks::new(Product::Zapier, ZAPIER)).await,
            make: fake(Hooks::new(Product::Make, MAKE)).await,
            n8n: fake(Hooks::new(Product::N8n, N8N)).await,
            webhook: fake(Hooks::new(Product::N8n, WEBHOOK)).await,
            email: MailServer::start(House::default()).await.unwrap(),
        };
        let url = vendors.salesforce.url();
        vendors.salesforce.with(|salesforce| salesforce.instance_url = url);
        let url = vendors.zoho.url();
        vendors.zoho.with(|zoho| {
            (zoho.api_domain, zoho.takes) = (url, Duration::from_millis(30));
            zoho.search_lag = Duration::from_secs(3);
        });
        vendors.pipedrive.with(|pipedrive| pipedrive.search_lag = Duration::from_secs(3));
        vendors.mailchimp.with(|mailchimp| mailchimp.takes = Duration::from_millis(30));
        // Google raised it, so that a thousand leads need no hour.
        vendors.google_sheets.with(|google| (google.reads.calls, google.writes.calls) = (300, 300));
        vendors.rest.with(|rest| rest.keys = Some(BTreeMap::new()));
        vendors
    }

    /// Connector, configuration and credentials of an integration for each.
    pub(super) fn integrations(&self) -> Vec<(&'static str, Value, Value)> {
        let at = |url: String, more: Value| {
            let mut config = json!({"base_url": url, "timeout_seconds": TIMEOUT_SECONDS, "retries": 2});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            config
        };
        let app = json!({"client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1"});
        let client = json!({"client_id": "client-1", "client_secret": "secret-1"});
        let own = json!({"client_id": "leadline", "client_secret": "0123456789abcdef"});
        let hook = |host: &str, path: &str| json!({"hook_url": format!("{host}{path}")});
        let (base, token) = self.airtable.with(|airtable| (airtable.base.clone(), airtable.token.clone()));
        let (list, key) =
            self.mailchimp.with(|mailchimp| (mailchimp.list.clone(), mailchimp.api_key.clone()));
        let brevo_key = self.brevo.with(|brevo| brevo.api_key.clone());
        let (spreadsheet, key_file) =
            self.google_sheets.with(|google| (google.spreadsheet.clone(), google.key_file()));
        let sheet = json!({"spreadsheet_id": spreadsheet, "sheet": "Leads", "calls_per_minute": 300});
        let rest = json!({
            "path": "/leads", "auth": "client_credentials", "token_url": format!("{}/token", self.rest.url()),
            "body": "{\"ref\": {{ lead.uuid }}, \"email\": {{ lead.email }}}",
            "success": {"pointer": "/status", "equals": "ok"}, "id_pointer": "/data/id", "update_path": "/leads/{id}",
        });
        let mail = json!({"host": "127.0.0.1", "port": self.email.port(), "tls": "none",
            "from": "leads@barn.example", "to": "sales@barn.example"});
        let mut email = at(String::new(), mail);
        email["base_url"].take();
        let mut webhook = at(String::new(), json!({"url": format!("{}{WEBHOOK}", self.webhook.url())}));
        webhook["base_url"].take();
        let mut all = vec![
            ("hubspot", at(self.hubspot.url(), json!({})), app.clone()),
            ("pipedrive", at(self.pipedrive.url(), json!({})), app),
            ("salesforce", at(self.salesforce.url(), json!({"login_url": self.salesforce.url()})), client),
            (
                "airtable",
                at(self.airtable.url(), json!({"base_id": base, "table": "Leads"})),
                json!({"token": token}),
            ),
            ("google_sheets", at(self.google_sheets.url(), sheet), key_file),
            ("brevo", at(self.brevo.url(), json!({"list_ids": "3"})), json!({"api_key": brevo_key})),
            (
                "discord",
                at(self.discord.url(), json!({})),
                json!({"webhook_url": format!("https://discord.com/api/webhooks/{}/{}", DISCORD.0, DISCORD.1)}),
            ),
            (
                "teams",
                at(self.teams.url(), json!({})),
                json!({"workflow_url": format!("https://a.environment.api.powerplatform.com{TEAMS}?sig=0123456789abcdef")}),
            ),
            (
                "mailchimp",
                at(self.mailchimp.url(), json!({"list_id": list, "tags": "Wedding"})),
                json!({"api_key": key}),
            ),
            ("rest", at(self.rest.url(), rest), own),
            (
                "slack",
                at(self.slack.url(), json!({})),
                json!({"webhook_url": format!("https://hooks.slack.com{SLACK}")}),
            ),
            ("zapier", at(self.zapier.url(), json!({})), hook("https://hooks.zapier.com", ZAPIER)),
            ("make", at(self.make.url(), json!({})), hook("https://hook.eu2.make.com", MAKE)),
            ("n8n", at(self.n8n.url(), json!({})), hook("https://n8n.example.com", N8N)),
            ("webhook", webhook, Value::Null),
            ("email", email, Value::Null),
        ];
        all.extend(self.crm_integrations(at));
        all
    }

    /// Lets everything go wrong now and then.
    pub(super) fn rage(&self, chaos: &mut Chaos) {
        chaos.over("hubspot", &self.hubspot);
        chaos.over("pipedrive", &self.pipedrive);
        chaos.over("salesforce", &self.salesforce);
        chaos.over("airtable", &self.airtable);
        chaos.over("google_sheets", &self.google_sheets);
        chaos.over("brevo", &self.brevo);
        chaos.over("discord", &self.discord);
        chaos.over("teams", &self.teams);
        chaos.over("activecampaign", &self.activecampaign);
        chaos.over("zoho", &self.zoho);
        chaos.over("dynamics", &self.dynamics);
        chaos.over("klaviyo", &self.klaviyo);
        chaos.over("mailchimp", &self.mailchimp);
        chaos.over("rest", &self.rest);
        chaos.over("slack", &self.slack);
        chaos.over("zapier", &self.zapier);
        chaos.over("make", &self.make);
        chaos.over("n8n", &self.n8n);
        chaos.over("webhook", &self.webhook);
    }

    /// What a moment of the storm brings beside calls that go wrong: a mail that does, and logins that run out.
    pub(super) fn trouble(&self, chaos: &mut Chaos) {
        if chaos.strikes(4) && self.email.faults_left() == 0 {
            chaos.over_mail(&self.email);
        }
        if chaos.strikes(200) {
            let names = ["hubspot", "pipedrive", "salesforce", "rest", "google_sheets", "zoho", "dynamics"];
            names.into_iter().for_each(|name| chaos.ran_out(name));
            self.google_sheets.with(|google| google.tokens.clear());
            self.hubspot.with(|hubspot| hubspot.keys.clear());
            self.pipedrive.with(|pipedrive| pipedrive.tokens.clear());
            self.salesforce.with(|salesforce| salesforce.sessions.clear());
            self.zoho.with(|zoho| zoho.tokens.clear());
            self.dynamics.with(|dynamics| dynamics.tokens.clear());
            self.rest.with(|rest| rest.tokens.clear());
        }
    }

    /// Nothing goes wrong from now on.
    pub(super) fn calm(&self) {
        self.hubspot.chaos(None);
        self.pipedrive.chaos(None);
        self.salesforce.chaos(None);
        self.airtable.chaos(None);
        self.google_sheets.chaos(None);
        self.brevo.chaos(None);
        self.discord.chaos(None);
        self.teams.chaos(None);
        self.activecampaign.chaos(None);
        self.zoho.chaos(None);
        self.dynamics.chaos(None);
        self.klaviyo.chaos(None);
        self.mailchimp.chaos(None);
        self.rest.chaos(None);
        self.slack.chaos(None);
        for hooks in [&self.zapier, &self.make, &self.n8n, &self.webhook] {
            hooks.chaos(None);
        }
        self.email.calm();
    }

    /// How many messages are in Slack.
    pub(super) fn messages(&self) -> usize {
        self.slack.with(|slack| slack.messages.len())
    }

    /// Every vendor holds every lead, once where that can be had, and no quota was exceeded.
    pub(super) fn check(&self, leads: &[Lead]) {
        self.check_quotas();
        self.check_crms(leads);
        let counts = [
            ("rest", self.rest.with(|rest| column(rest.leads.values(), "/ref"))),
            (
                "google_sheets",
                column(self.google_sheets.with(|google| google.sheet().values("Lead ID")).iter(), ""),
            ),
            ("airtable", column(self.airtable.with(|airtable| airtable.values("Lead ID")).iter(), "")),
        ];
        for (vendor, counts) in &counts {
            let is_once =
                leads.iter().all(|lead| counts.get(lead.uuid.to_ascii_lowercase().as_str()) == Some(&1));
            assert!(is_once && counts.len() == leads.len(), "{vendor}: {counts:?}");
        }
        let messages = self.slack.with(|slack| slack.messages.iter().map(Value::to_string).collect());
        let mails = self.email.taken().into_iter().map(|taken| taken.message.replace("=\r\n", "")).collect();
        let runs =
            |hooks: &Fake<Hooks>| hooks.with(|hooks| hooks.events().iter().map(Value::to_string).collect());
        let posted = self.discord.with(|discord| discord.messages.iter().map(Value::to_string).collect());
        let cards = self.teams.with(|teams| teams.cards.iter().map(Value::to_string).collect());
        assert_eq!(self.teams.with(|teams| teams.failed.clone()), [""; 0], "cards that Teams could not show");
        let told: [(&str, Vec<String>); 8] = [
            ("slack", messages),
            ("discord", posted),
            ("teams", cards),
            ("email", mails),
            ("zapier", runs(&self.zapier)),
            ("make", runs(&self.make)),
            ("n8n", runs(&self.n8n)),
            ("webhook", runs(&self.webhook)),
        ];
        for (vendor, texts) in &told {
            let missing: Vec<_> = leads
                .iter()
                .map(|lead| &lead.email)
                // Discord's texts are escaped, in JSON twice.
                .filter(|email| !texts.iter().any(|text| text.replace('\\', "").contains(*email)))
                .collect();
            assert!(missing.is_empty(), "{vendor} lacks {missing:?}: {:?}", texts.first());
        }
    }

    /// Every quota is one that Leadline can keep by itself, so no vendor ever had to refuse a call for it. What counts is
    /// what arrived, answered or not.
    fn check_quotas(&self) {
        let (second, ten) = (Duration::from_secs(1), Duration::from_secs(10));
        let refused = [
            self.hubspot.with(|hubspot| hubspot.quota.refused),
            self.pipedrive.with(|pipedrive| pipedrive.quota.refused),
            self.pipedrive.with(|pipedrive| pipedrive.searches.refused),
            self.airtable.with(|airtable| airtable.quota.refused),
            self.slack.with(|slack| slack.quota.refused),
            self.zapier.with(|zapier| zapier.quota.refused),
            self.make.with(|make| make.quota.refused),
            self.mailchimp.with(|mailchimp| mailchimp.crowded),
            self.google_sheets.with(|google| google.reads.refused + google.writes.refused),
            self.brevo.with(|brevo| brevo.quota.refused),
            self.discord.with(|discord| discord.quota.refused),
            self.activecampaign.with(|account| account.quota.refused),
            self.zoho.with(|zoho| zoho.crowded),
            self.dynamics.with(|dynamics| dynamics.quota.refused),
            self.klaviyo.with(|klaviyo| klaviyo.calls.refused),
            self.klaviyo.with(|klaviyo| klaviyo.additions.refused),
        ];
        assert_eq!(refused, [0; 16], "calls over a quota");
        let busiest = [
            self.hubspot.busiest(ten),
            self.pipedrive.busiest(2 * second),
            self.airtable.busiest(second),
            self.slack.busiest(second),
            self.zapier.busiest(second),
            self.make.busiest(ten),
            self.klaviyo.busiest(3 * second),
            self.activecampaign.busiest(second),
        ];
        let allowed = [100, 10, 4, 1, 30, 300, 20, 4];
        let is_kept = busiest.iter().zip(allowed).all(|(busiest, allowed)| *busiest <= allowed);
        assert!(is_kept, "the busiest stretches had {busiest:?} calls, allowed are {allowed:?}");
        println!("the busiest stretches had {busiest:?} calls, allowed are {allowed:?}");
    }

    pub(super) async fn stop(self) {
        self.hubspot.stop().await;
        self.pipedrive.stop().await;
        self.salesforce.stop().await;
        self.airtable.stop().await;
        self.google_sheets.stop().await;
        self.brevo.stop().await;
        self.discord.stop().await;
        self.teams.stop().await;
        self.activecampaign.stop().await;
        self.zoho.stop().await;
        self.dynamics.stop().await;
        self.klaviyo.stop().await;
        self.mailchimp.stop().await;
        self.rest.stop().await;
        self.slack.stop().await;
        for hooks in [self.zapier, self.make, self.n8n, self.webhook] {
            hooks.stop().await;
        }
        self.email.stop().await;
    }
}
