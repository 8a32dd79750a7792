//! The CRMs of the storm: how the newer ones are connected to, and what all of them must hold afterwards.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Lead, Vendors};

impl Vendors {
    /// What is added to the integrations: `at` makes the configuration for a URL.
    pub(super) fn crm_integrations(
        &self,
        at: impl Fn(String, Value) -> Value,
    ) -> Vec<(&'static str, Value, Value)> {
        vec![
            (
                "activecampaign",
                at(self.activecampaign.url(), json!({"api_url": self.activecampaign.url(), "list_id": "3"})),
                json!({"api_token": "0123456789abcdef-activecampaign"}),
            ),
            (
                "dynamics",
                at(
                    self.dynamics.url(),
                    json!({"environment_url": self.dynamics.url(), "login_url": self.dynamics.url(),
                        "tenant_id": self.dynamics.with(|vendor| vendor.tenant.clone())}),
                ),
                json!({"client_id": "client-1", "client_secret": "secret-1"}),
            ),
            (
                "zoho",
                at(self.zoho.url(), json!({"accounts_url": self.zoho.url()})),
                json!({"client_id": "1000.CLIENT", "client_secret": "secret-1", "refresh_token": "1000.refresh"}),
            ),
            (
                "klaviyo",
                at(self.klaviyo.url(), json!({"list_id": "Y6nRLr"})),
                json!({"api_key": "pk_0123456789abcdef"}),
            ),
        ]
    }

    /// A person is made of each lead, and whatever hangs on a person is there once.
    pub(super) fn check_crms(&self, leads: &[Lead]) {
        let emails = |held: BTreeMap<String, usize>, vendor: &str| {
            let is_once = leads.iter().all(|lead| held.get(&lead.email) == Some(&1));
            assert!(is_once && held.len() == leads.len(), "{vendor}: {held:?}");
        };
        self.hubspot.with(|hubspot| {
            emails(
                counted(hubspot.contacts.values().map(|contact| contact.properties["email"].clone())),
                "hubspot",
            );
            let notes = counted(hubspot.notes.values().map(|note| note.contact.to_string()));
            assert!(notes.len() == leads.len() && notes.values().all(|count| *count == 1), "{notes:?}");
        });
        self.pipedrive.with(|pipedrive| {
            emails(column(pipedrive.persons.values(), "/emails/0/value"), "pipedrive");
            for (records, of) in [(&pipedrive.deals, "/person_id"), (&pipedrive.notes, "/deal_id")] {
                let counts = column(records.values(), of);
                assert!(
                    counts.len() == leads.len() && counts.values().all(|count| *count == 1),
                    "{counts:?}"
                );
            }
        });
        self.salesforce.with(|salesforce| {
            emails(column(salesforce.leads.values().map(|lead| &lead.fields["Email"]), ""), "salesforce");
        });
        self.brevo.with(|brevo| {
            emails(counted(brevo.contacts.values().map(|contact| contact.email.clone())), "brevo");
            assert!(brevo.contacts.values().all(|contact| contact.lists.len() == 1));
        });
        self.activecampaign.with(|account| {
            emails(counted(account.contacts.values().map(|contact| contact.email.clone())), "activecampaign");
            assert!(account.contacts.values().all(|contact| contact.lists.len() == 1));
            let notes = counted(account.notes.values().map(|note| note.contact.to_string()));
            assert!(notes.len() == leads.len() && notes.values().all(|count| *count == 1), "{notes:?}");
        });
        self.dynamics.with(|dynamics| {
            emails(column(dynamics.leads.values().map(|lead| &lead.fields["emailaddress1"]), ""), "dynamics");
            let notes = counted(dynamics.notes.values().map(|note| note.lead.clone()));
            assert!(notes.len() == leads.len() && notes.values().all(|count| *count == 1), "{notes:?}");
        });
        self.zoho.with(|zoho| {
            emails(column(zoho.leads.values().map(|lead| &lead.fields["Email"]), ""), "zoho");
            let notes = counted(zoho.notes.values().map(|note| note.lead.clone()));
            assert!(notes.len() == leads.len() && notes.values().all(|count| *count == 1), "{notes:?}");
        });
        self.klaviyo.with(|klaviyo| {
            emails(
                column(klaviyo.profiles.values().map(|profile| &profile.attributes["email"]), ""),
                "klaviyo",
            );
            assert!(klaviyo.profiles.values().all(|profile| profile.lists.len() == 1));
            let events = counted(klaviyo.events.iter().map(|event| event.profile.clone()));
            assert!(events.len() == leads.len() && events.values().all(|count| *count == 1), "{events:?}");
        });
        self.mailchimp.with(|mailchimp| {
            emails(counted(mailchimp.members.values().map(|member| member.email.clone())), "mailchimp");
            assert!(mailchimp.members.values().all(|member| member.tags.len() == 1));
        });
    }
}

/// How often each text is there.
fn counted(texts: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    counts
}

/// How often each value is there, in lower case.
pub(super) fn column<'a>(records: impl Iterator<Item = &'a Value>, pointer: &str) -> BTreeMap<String, usize> {
    counted(records.map(|record| {
        let value = record.pointer(pointer).unwrap_or(&Value::Null);
        value.as_str().map_or_else(|| value.to_string(), str::to_lowercase)
    }))
}
