//! The vendors of `leadline demo --crm`: servers on loopback that keep state and enforce their contracts as the real ones do.

use std::io;

use leadline_fakes::{
    Fake, airtable::Airtable, hubspot::Hubspot, klaviyo::Klaviyo, mailchimp::Mailchimp, pipedrive::Pipedrive,
    salesforce::Salesforce,
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
    klaviyo: Fake<Klaviyo>,
}

impl Vendors {
    /// Starts them all.
    pub(super) async fn start() -> io::Result<Self> {
        let salesforce = Fake::start(Salesforce::default()).await?;
        let url = salesforce.url();
        salesforce.with(|vendor| vendor.instance_url = url);
        Ok(Self {
            hubspot: Fake::start(Hubspot::default()).await?,
            pipedrive: Fake::start(Pipedrive::default()).await?,
            salesforce,
            airtable: Fake::start(Airtable::new()).await?,
            mailchimp: Fake::start(Mailchimp::new()).await?,
            klaviyo: Fake::start(Klaviyo::default()).await?,
        })
    }

    /// What to create an integration of each with: connector, configuration, credentials.
    pub(super) fn integrations(&self) -> [(&'static str, Value, Value); 6] {
        let token = self.hubspot.with(|vendor| vendor.keys.keys().next().cloned());
        let api_token = self.pipedrive.with(|vendor| vendor.api_token.clone());
        let (client_id, client_secret) = self.salesforce.with(|vendor| vendor.client.clone());
        let (base, table, pat) =
            self.airtable.with(|vendor| (vendor.base.clone(), vendor.table.clone(), vendor.token.clone()));
        let (klaviyo, private) = self.klaviyo.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
        let (list, key) = self.mailchimp.with(|vendor| (vendor.list.clone(), vendor.api_key.clone()));
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
                "klaviyo",
                json!({"base_url": self.klaviyo.url(), "list_id": klaviyo}),
                json!({"api_key": private}),
            ),
        ]
    }

    /// What they hold now, a line each.
    pub(super) fn tally(&self) -> [String; 6] {
        let hubspot = self.hubspot.with(|vendor| (vendor.contacts.len(), vendor.notes.len()));
        let pipedrive =
            self.pipedrive.with(|vendor| (vendor.persons.len(), vendor.deals.len(), vendor.notes.len()));
        let klaviyo = self.klaviyo.with(|vendor| (vendor.profiles.len(), vendor.events.len()));
        [
            format!("hubspot     {} contacts, {} notes", hubspot.0, hubspot.1),
            format!("pipedrive   {} persons, {} deals, {} notes", pipedrive.0, pipedrive.1, pipedrive.2),
            format!("salesforce  {} leads", self.salesforce.with(|vendor| vendor.leads.len())),
            format!("airtable    {} records", self.airtable.with(|vendor| vendor.records.len())),
            format!("mailchimp   {} members", self.mailchimp.with(|vendor| vendor.members.len())),
            format!("klaviyo     {} profiles, {} events", klaviyo.0, klaviyo.1),
        ]
    }
}
