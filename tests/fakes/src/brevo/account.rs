//! What is known of an account at Brevo as of one at any vendor.

use serde_json::{Value, json};

use super::Brevo;
use crate::{
    account::{Account, Connection, Deed, Misnamed, Record, Rule, Trap, members},
    receiver::Reply,
    vendor::Quota,
};

const ALIKE: [(&str, &str); 4] =
    [("FIRSTNAME", "first name"), ("LASTNAME", "last name"), ("SMS", "phone"), ("GUESTS", "guests")];

impl Account for Brevo {
    fn connector(&self) -> &'static str {
        "brevo"
    }

    fn connection(&self, url: &str) -> Connection {
        Connection {
            config: json!({"base_url": url, "list_ids": "3"}),
            credentials: json!({"api_key": self.api_key}),
        }
    }

    fn records(&self) -> Vec<Record> {
        let contacts = self.contacts.iter().map(|(id, contact)| {
            let status = match () {
                () if contact.is_blocked => "unsubscribed",
                () if !contact.left.is_empty() => "unsubscribed",
                () if !contact.lists.is_empty() => "on the list",
                () => "on no list",
            };
            Record::new("contact", id, &contact.email)
                .with_all(members(&contact.attributes), &ALIKE)
                .with("status", status)
        });
        let events = self.events.iter().enumerate();
        contacts.chain(events.map(|(n, (email, _))| Record::new("event", n, email))).collect()
    }

    fn later(&self) -> Vec<Reply> {
        let refused = json!({"code": "too_many_requests", "message": "The expected rate limit is exceeded."});
        vec![Reply::json(429, &refused).header("x-sib-ratelimit-reset", "1")]
    }

    fn refused(&self) -> usize {
        self.quota.refused + self.event_quota.refused
    }

    fn lift_quotas(&mut self) {
        (self.quota, self.event_quota) = (Quota::unlimited(), Quota::unlimited());
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("SMS")
    }

    fn misnamed(&self) -> Vec<Misnamed> {
        let page = "https://example.com/thanks";
        let confirming =
            |template: u64| json!({"confirm_template_id": template, "confirm_redirect_url": page});
        let mut wrong = confirming(4);
        wrong["list_ids"] = json!("3, 99");
        let (unlisted, kind) =
            ("list_ids: there is no list 99", "confirm_template_id: template 4 is none for double opt-in");
        let gone = "confirm_template_id: brevo document_not_found Template ID does not exist";
        vec![(confirming(3), wrong, vec![unlisted, kind]), (json!({}), confirming(5), vec![gone])]
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        Some((json!({"list_ids": "3"}), &["Leads"]))
    }

    fn places(&self) -> Vec<String> {
        let lists = self.contacts.values().flat_map(|contact| &contact.lists);
        lists.filter_map(|list| self.lists.get(list).cloned()).collect()
    }

    fn take_out(&mut self) {
        self.contacts.values_mut().for_each(|contact| contact.lists.clear());
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Correct => self.contacts.values_mut().for_each(|contact| {
                contact.attributes.insert("SMS".to_owned(), json!(Deed::PHONE));
            }),
            Deed::Rename => self.contacts.values_mut().for_each(|contact| {
                contact.attributes.insert("LASTNAME".to_owned(), json!(Deed::LAST_NAME));
            }),
            Deed::Delete => {
                self.contacts.clear();
                self.events.clear();
            }
            Deed::Leave => self.contacts.values_mut().for_each(|contact| {
                contact.left = std::mem::take(&mut contact.lists);
            }),
            _ => return false,
        }
        true
    }

    fn proposed(&mut self) -> Value {
        json!({"lead.guest_count": "GUESTS"})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        let own = match rule {
            Rule::Choice => "category",
            Rule::ReadOnly => "calculated",
            Rule::Duplicate => return Some(self.give_number_away()),
            Rule::Required | Rule::Short => return None,
        };
        self.attributes.push(("KIND".to_owned(), own.to_owned()));
        Trap::mapped("lead.event_type", "KIND")
    }
}

impl Brevo {
    /// A number is one contact's.
    fn give_number_away(&mut self) -> Trap {
        let attributes = json!({"SMS": "+442079460000"});
        let other = super::Contact {
            email: "other@example.com".to_owned(),
            attributes: attributes.as_object().cloned().unwrap_or_default(),
            ..super::Contact::default()
        };
        self.contacts.insert(7, other);
        Trap::default()
    }
}
