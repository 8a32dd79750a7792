//! What is known of an account at ActiveCampaign as of one at any vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ActiveCampaign, Field, throttled};
use crate::{
    account::{Account, Connection, Deed, Misnamed, Record, Rule, Trap},
    receiver::Reply,
    vendor::Quota,
};

const ALIKE: [(&str, &str); 2] = [("firstName", "first name"), ("lastName", "last name")];

impl Account for ActiveCampaign {
    fn connector(&self) -> &'static str {
        "activecampaign"
    }

    fn connection(&self, url: &str) -> Connection {
        Connection {
            config: json!({"api_url": url, "list_id": self.list, "tags": "Wedding"}),
            credentials: json!({"api_token": self.api_token}),
        }
    }

    fn records(&self) -> Vec<Record> {
        let contacts = self.contacts.iter().map(|(id, contact)| {
            let text = |(name, value): (_, &String)| (name, Value::from(value.clone()));
            let status = contact.lists.get(&self.list).map(|status| match status.as_str() {
                "1" => "on the list",
                "2" => "unsubscribed",
                _ => "not reached",
            });
            Record::new("contact", id, &contact.email)
                .with_all(contact.own.iter().map(text), &ALIKE)
                .with_all(contact.fields.iter().map(text), &[("5", "guests"), ("6", "event date")])
                .with("status", status)
        });
        let notes = self.notes.iter().map(|(id, note)| {
            let of = self.contacts.get(&note.contact).map_or("", |contact| &contact.email);
            Record::new("note", id, of)
        });
        contacts.chain(notes).collect()
    }

    fn later(&self) -> Vec<Reply> {
        vec![throttled(1)]
    }

    fn refused(&self) -> usize {
        self.quota.refused
    }

    fn pace(&self) -> Option<(usize, Duration)> {
        Some((4, Duration::from_secs(1)))
    }

    fn lift_quotas(&mut self) {
        self.quota = Quota::unlimited();
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("phone")
    }

    fn misnamed(&self) -> Vec<Misnamed> {
        let gone = "list_id: activecampaign 404 No Result found for SubscriberList with id 99";
        vec![(json!({}), json!({"list_id": "99"}), vec![gone])]
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        Some((json!({"tags": "Barn, Fair"}), &["Barn", "Fair"]))
    }

    fn places(&self) -> Vec<String> {
        let tags = self.contacts.values().flat_map(|contact| &contact.tags);
        tags.filter_map(|tag| self.tags.get(tag).cloned()).collect()
    }

    fn take_out(&mut self) {
        self.contacts.values_mut().for_each(|contact| contact.tags.clear());
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        let list = self.list.clone();
        match deed {
            Deed::Correct => self.contacts.values_mut().for_each(|contact| {
                contact.own.insert("phone".to_owned(), Deed::PHONE.to_owned());
            }),
            Deed::Rename => self.contacts.values_mut().for_each(|contact| {
                contact.own.insert("lastName".to_owned(), Deed::LAST_NAME.to_owned());
            }),
            Deed::Delete => {
                self.contacts.clear();
                self.notes.clear();
            }
            Deed::Leave => self.contacts.values_mut().for_each(|contact| {
                contact.lists.insert(list.clone(), "2".to_owned());
            }),
            _ => return false,
        }
        true
    }

    fn proposed(&mut self) -> Value {
        let options = &["Wedding Fair", "Other"][..];
        self.fields.push(Field { id: "7", tag: "EVENT_TYPE", kind: "dropdown", options });
        json!({
            "lead.event_date": "EVENT_DATE", "lead.guest_count": "GUESTS",
            "lead.event_type": {"to": "EVENT_TYPE", "values": {"wedding": "Wedding Fair", "*": "Other", "other": "Other"}},
        })
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            // The account names no length, so that ours is what is cut to.
            Rule::Short => Trap::long("%GUESTS%"),
            // Another word is kept all the same, and shown nowhere.
            Rule::Choice => {
                let options = &["Trade Show", "Wedding Fair"][..];
                self.fields.push(Field { id: "7", tag: "KIND", kind: "dropdown", options });
                Trap::mapped("lead.event_type", "KIND")
            }
            _ => None,
        }
    }
}
