//! What is known of an account at HubSpot as of one at any vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Hubspot, rate_limited, secondly_limited};
use crate::{
    account::{Account, Connection, Deed, Record, Rule, Trap},
    receiver::Reply,
    vendor::Quota,
};

const ALIKE: [(&str, &str); 5] = [
    ("firstname", "first name"),
    ("lastname", "last name"),
    ("hubspot_owner_id", "owner"),
    ("hs_lead_status", "status"),
    ("lifecyclestage", "stage"),
];
const OF_DEALS: [(&str, &str); 2] = [("dealstage", "stage"), ("amount", "value")];

impl Account for Hubspot {
    fn connector(&self) -> &'static str {
        "hubspot"
    }

    fn connection(&self, url: &str) -> Connection {
        let (refresh, client, secret) = &self.app;
        Connection {
            config: json!({"base_url": url}),
            credentials: json!({"client_id": client, "client_secret": secret, "refresh_token": refresh}),
        }
    }

    fn keys(&self) -> Value {
        json!({"token": self.keys.keys().next()})
    }

    fn work(&self) -> [&'static str; 3] {
        ["company", "jobtitle", "website"]
    }

    fn records(&self) -> Vec<Record> {
        let email = |id: &u64| {
            let contact = self.contacts.get(self.merged.get(id).unwrap_or(id));
            contact.and_then(|contact| contact.properties.get("email")).map_or("", String::as_str)
        };
        let contacts = self.contacts.iter().map(|(id, contact)| {
            let properties = contact.properties.iter();
            let properties = properties.map(|(name, text)| (name, Value::from(text.clone())));
            Record::new("contact", id, email(id)).with_all(properties, &ALIKE)
        });
        let notes = self.notes.iter().map(|(id, note)| Record::new("note", id, email(&note.contact)));
        let members = self.lists.iter().flat_map(|(list, own)| own.members.iter().map(move |id| (list, id)));
        let members =
            members.map(|(list, id)| Record::new("place on a list", format!("{list} {id}"), email(id)));
        let deals = self.deals.iter().map(|(id, deal)| {
            let properties = deal.properties.iter().filter(|(name, _)| *name != "description");
            let properties = properties.map(|(name, text)| (name, Value::from(text.clone())));
            Record::new("deal", id, email(&deal.contact)).with_all(properties, &OF_DEALS)
        });
        let companies = self.companies.iter().flat_map(|(id, own)| {
            let properties = own.properties.iter().map(|(name, text)| (name, Value::from(text.clone())));
            let company = Record::new("company", id, "").with_all(properties, &[]);
            own.contacts
                .iter()
                .map(move |contact| Record { of: Some(email(contact).to_lowercase()), ..company.clone() })
        });
        contacts.chain(notes).chain(deals).chain(companies).chain(members).collect()
    }

    fn ways(&self) -> Vec<Value> {
        vec![
            json!({"list_ids": "7"}),
            json!({"deal_pipeline": "Weddings"}),
            json!({"deal_pipeline": "Weddings", "deal_stage": "New enquiry"}),
            json!({"companies": "yes"}),
        ]
    }

    fn later(&self) -> Vec<Reply> {
        let others = [423, 477].map(Reply::status);
        [rate_limited("TEN_SECONDLY_ROLLING"), secondly_limited()].into_iter().chain(others).collect()
    }

    fn refused(&self) -> usize {
        self.quota.refused
    }

    fn pace(&self) -> Option<(usize, Duration)> {
        Some((100, Duration::from_secs(10)))
    }

    fn lift_quotas(&mut self) {
        self.quota = Quota::unlimited();
    }

    fn end_logins(&mut self) -> bool {
        self.keys.clear();
        true
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("phone")
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        Some((json!({"list_ids": "7, #8"}), &["Enquiries", "Weddings"]))
    }

    fn places(&self) -> Vec<String> {
        let used = self.lists.values().filter(|list| !list.members.is_empty());
        used.map(|list| list.name.to_owned()).collect()
    }

    fn take_out(&mut self) {
        self.lists.values_mut().for_each(|list| list.members.clear());
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        let (name, text) = match deed {
            Deed::Correct => ("phone", Deed::PHONE),
            Deed::Rename => ("lastname", Deed::LAST_NAME),
            Deed::ChangeOwner => ("hubspot_owner_id", Deed::OWNER),
            Deed::Close => {
                self.deals.values_mut().for_each(|deal| deal.go_on(true));
                ("hs_lead_status", "UNQUALIFIED")
            }
            Deed::Convert => ("lifecyclestage", "customer"),
            Deed::Move => {
                self.deals.values_mut().for_each(|deal| {
                    deal.go_on(false);
                    deal.properties.insert("amount".to_owned(), Deed::VALUE.to_string());
                });
                return !self.deals.is_empty();
            }
            // What is archived is in the recycle bin, where no call finds it.
            Deed::Delete => {
                self.contacts.clear();
                self.notes.clear();
                self.deals.clear();
                return true;
            }
            // A new contact takes the place of both; the old ids lead to it.
            Deed::Merge => {
                let Some((old, contact)) = self.contacts.pop_first() else { return false };
                self.next += 1;
                self.merged.insert(old, self.next);
                self.contacts.insert(self.next, contact);
                return true;
            }
            Deed::Archive | Deed::Leave => return false,
        };
        self.contacts.values_mut().for_each(|contact| {
            contact.properties.insert(name.to_owned(), text.to_owned());
        });
        true
    }

    fn crowd(&mut self) {
        self.colleagues = 501;
    }

    fn owner(&self) -> Option<(&'static str, Value)> {
        Some(("hubspot_owner_id", json!("41")))
    }

    fn proposed(&mut self) -> Value {
        json!({
            "lead.event_date": "wedding_date", "lead.guest_count": "guests",
            "lead.event_type": {"to": "kind_of_event", "values": {"wedding": "wedding", "other": "other", "*": "other"}},
        })
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::Choice => Trap::mapped("lead.event_type", "kind_of_event"),
            Rule::ReadOnly => Trap::mapped("lead.guest_count", "hs_object_id"),
            Rule::Short => {
                self.properties.insert("wishes".to_owned(), "string");
                Trap::long("wishes")
            }
            Rule::Duplicate => {
                self.add_contact("first@example.com", &["sarah@example.com"]);
                Trap::bare()
            }
            // Its newest version asks for properties that an administrator requires, ours does not.
            Rule::Required => None,
        }
    }
}
