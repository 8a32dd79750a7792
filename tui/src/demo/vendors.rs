//! The vendors of `leadline demo --crm`: servers on loopback that keep state and enforce their contracts as the real ones do.

use std::io;

use leadline_fakes::{
    Fake, airtable::Airtable, brevo::Brevo, google_sheets::GoogleSheets, hubspot::Hubspot,
    mailchimp::Mailchimp, pipedrive::Pipedrive, salesforce::Salesforce,
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
        Ok(Self {
            hubspot: Fake::start(Hubspot::default()).await?,
            pipedrive: Fake::start(Pipedrive::default()).await?,
            salesforce,
            airtable: Fake::start(Airtable::new()).await?,
            mailchimp: Fake::start(Mailchimp::new()).await?,
            google_sheets,
            brevo: Fake::start(Brevo::default()).await?,
        })
    }

    /// What to create an integration of each with: connector, configuration, credentials.
    pub(super) fn integrations(&self) -> [(&'static str, Value, Value); 7] {
        let token = self.hubspot.with(|vendor| vendor.keys.keys().next().cloned());
        let api_token = self.pipedrive.with(|vendor| vendor.api_token.clone());
        let (client_id, client_secret) = self.salesforce.with(|vendor| vendor.client.clone());
        let (base, table, pat) =
            self.airtable.with(|vendor| (vendor.base.clone(), vendor.table.clone(), vendor.token.clone()));
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
        ]
    }

    /// What they hold now, a line each.
    pub(super) fn tally(&self) -> [String; 7] {
        let hubspot = self.hubspot.with(|vendor| (vendor.contacts.len(), vendor.notes.len()));
        let pipedrive =
            self.pipedrive.with(|vendor| (vendor.persons.len(), vendor.deals.len(), vendor.notes.len()));
        [
            format!("hubspot     {} contacts, {} notes", hubspot.0, hubspot.1),
            format!("pipedrive   {} persons, {} deals, {} notes", pipedrive.0, pipedrive.1, pipedrive.2),
            format!("salesforce  {} leads", self.salesforce.with(|vendor| vendor.leads.len())),
            format!("airtable    {} records", self.airtable.with(|vendor| vendor.records.len())),
            format!("mailchimp   {} members", self.mailchimp.with(|vendor| vendor.members.len())),
            format!("brevo       {} contacts", self.brevo.with(|vendor| vendor.contacts.len())),
            format!("google_sheets {} rows", self.google_sheets.with(|vendor| vendor.sheet().leads())),
        ]
    }
}
