//! The vendors of `leadline demo --crm`: servers on loopback that keep state and enforce their contracts as the real ones do.

use std::io;

use leadline_fakes::{
    Fake, activecampaign::ActiveCampaign, airtable::Airtable, brevo::Brevo, dynamics::Dynamics,
    google_sheets::GoogleSheets, hubspot::Hubspot, klaviyo::Klaviyo, mailchimp::Mailchimp,
    pipedrive::Pipedrive, salesforce::Salesforce, zoho::Zoho,
};
use serde_json::{Value, json};

/// One of each.
#[derive(Debug)]
pub(super) struct Vendors {
    hubspot: Fake<Hubspot>,
    pipedrive: Fake<Pipedrive>,
    salesforce: Fake<Salesforce>,
    airtable: Fake<Airtable>,
    mailchimp: Fake<Mailchimp>,
    google_sheets: Fake<GoogleSheets>,
    brevo: Fake<Brevo>,
    klaviyo: Fake<Klaviyo>,
    activecampaign: Fake<ActiveCampaign>,
    zoho: Fake<Zoho>,
    dynamics: Fake<Dynamics>,
}

impl Vendors {
    /// Starts them all.
    pub(super) async fn start() -> io::Result<Self> {
        let salesforce = Fake::start(Salesforce::default()).await?;
        let google_sheets = Fake::start(GoogleSheets::default()).await?;
        // As much as the demo pushes in a minute.
        google_sheets.with(|vendor| (vendor.reads.calls, vendor.writes.calls) = (300, 300));
        let url = salesforce.url();
        salesforce.with(|vendor| vendor.instance_url = url);
        let zoho = Fake::start(Zoho::default()).await?;
        let url = zoho.url();
        zoho.with(|vendor| vendor.api_domain = url);
        Ok(Self {
            hubspot: Fake::start(Hubspot::default()).await?,
            pipedrive: Fake::start(Pipedrive::default()).await?,
            salesforce,
            airtable: Fake::start(Airtable::new()).await?,
            mailchimp: Fake::start(Mailchimp::new()).await?,
            google_sheets,
            brevo: Fake::start(Brevo::default()).await?,
            klaviyo: Fake::start(Klaviyo::default()).await?,
            activecampaign: Fake::start(ActiveCampaign::default()).await?,
            zoho,
            dynamics: Fake::start(Dynamics::default()).await?,
        })
    }

    /// What to create an integration of each with: connector, configuration, credentials.
    pub(super) fn integrations(&self) -> [(&'static str, Value, Value); 11] {
        let token = self.hubspot.with(|vendor| vendor.keys.keys().next().cloned());
        let api_token = self.pipedrive.with(|vendor| vendor.api_token.clone());
        let (client_id, client_secret) = self.salesforce.with(|vendor| vendor.client.clone());
        let (base, table, pat) =
            self.airtable.with(|vendor| (vendor.base.clone(), vendor.table.clone(), vendor.token.clone()));
        let (klaviyo, private) = self.klaviyo.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
        let (list_of, token_of) =
            self.activecampaign.with(|vendor| (vendor.list.clone(), vendor.api_token.clone()));
        let (tenant, microsoft) = self.dynamics.with(|vendor| (vendor.tenant.clone(), vendor.app.clone()));
        let app = self.zoho.with(|vendor| vendor.app.clone());
        let (list, key) = self.mailchimp.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
        let (spreadsheet, key_file) =
            self.google_sheets.with(|vendor| (vendor.spreadsheet.clone(), vendor.key_file()));
        [
            ("hubspot", json!({"base_url": self.hubspot.url()}), json!({"token": token})),
            ("pipedrive", json!({"base_url": self.pipedrive.url()}), json!({"api_token": api_token})),
            (
                "salesforce",
                json!({"base_url": self.salesforce.url(), "login_url": self.salesforce.url()}),
                json!({"client_id": client_id, "client_secret": client_secret}),
            ),
            (
                "airtable",
                json!({"base_url": self.airtable.url(), "base_id": base, "table": table}),
                json!({"token": pat}),
            ),
            (
                "mailchimp",
                json!({"base_url": self.mailchimp.url(), "list_id": list}),
                json!({"api_key": key}),
            ),
            (
                "google_sheets",
                json!({"base_url": self.google_sheets.url(), "spreadsheet_id": spreadsheet, "sheet": "Leads", "calls_per_minute": 300}),
                key_file,
            ),
            (
                "brevo",
                json!({"base_url": self.brevo.url(), "list_ids": "3"}),
                json!({"api_key": self.brevo.with(|vendor| vendor.api_key.clone())}),
            ),
            (
                "klaviyo",
                json!({"base_url": self.klaviyo.url(), "list_id": klaviyo}),
                json!({"api_key": private}),
            ),
            (
                "activecampaign",
                json!({"api_url": self.activecampaign.url(), "list_id": list_of, "tags": "Wedding"}),
                json!({"api_token": token_of}),
            ),
            (
                "dynamics",
                json!({"environment_url": self.dynamics.url(), "login_url": self.dynamics.url(), "tenant_id": tenant}),
                json!({"client_id": microsoft.0, "client_secret": microsoft.1}),
            ),
            (
                "zoho",
                json!({"accounts_url": self.zoho.url()}),
                json!({"client_id": app.0, "client_secret": app.1, "refresh_token": app.2}),
            ),
        ]
    }

    /// What they hold now, a line each.
    pub(super) fn tally(&self) -> [String; 11] {
        let hubspot = self.hubspot.with(|vendor| (vendor.contacts.len(), vendor.notes.len()));
        let pipedrive =
            self.pipedrive.with(|vendor| (vendor.persons.len(), vendor.deals.len(), vendor.notes.len()));
        let klaviyo = self.klaviyo.with(|vendor| (vendor.profiles.len(), vendor.events.len()));
        let active = self.activecampaign.with(|vendor| (vendor.contacts.len(), vendor.notes.len()));
        let zoho = self.zoho.with(|vendor| (vendor.leads.len(), vendor.notes.len()));
        [
            format!("hubspot     {} contacts, {} notes", hubspot.0, hubspot.1),
            format!("pipedrive   {} persons, {} deals, {} notes", pipedrive.0, pipedrive.1, pipedrive.2),
            format!("salesforce  {} leads", self.salesforce.with(|vendor| vendor.leads.len())),
            format!("airtable    {} records", self.airtable.with(|vendor| vendor.records.len())),
            format!("mailchimp   {} members", self.mailchimp.with(|vendor| vendor.members.len())),
            format!("brevo       {} contacts", self.brevo.with(|vendor| vendor.contacts.len())),
            format!("google_sheets {} rows", self.google_sheets.with(|vendor| vendor.sheet().leads())),
            format!("klaviyo     {} profiles, {} events", klaviyo.0, klaviyo.1),
            format!("activecampaign  {} contacts, {} notes", active.0, active.1),
            format!("dynamics    {} leads", self.dynamics.with(|vendor| vendor.leads.len())),
            format!("zoho        {} leads, {} notes", zoho.0, zoho.1),
        ]
    }
}
