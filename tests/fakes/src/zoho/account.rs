//! What is known of an organization at Zoho CRM as of an account at any vendor.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Lead, Zoho, too_many};
use crate::{
    account::{Account, Connection, Deed, Misnamed, Record, Rule, Trap, members},
    receiver::Reply,
};

const ALIKE: [(&str, &str); 6] = [
    ("First_Name", "first name"),
    ("Last_Name", "last name"),
    ("Phone", "phone"),
    ("Lead_Status", "status"),
    ("Guests", "guests"),
    ("Event_Date", "event date"),
];

impl Account for Zoho {
    fn connector(&self) -> &'static str {
        "zoho"
    }

    fn connection(&self, url: &str) -> Connection {
        let (id, secret, refresh) = &self.app;
        Connection {
            config: json!({"base_url": url, "accounts_url": url}),
            credentials: json!({"client_id": id, "client_secret": secret, "refresh_token": refresh}),
        }
    }

    fn stands_at(&mut self, url: &str) {
        url.clone_into(&mut self.api_domain);
    }

    fn work(&self) -> [&'static str; 3] {
        ["Company", "Designation", "Website"]
    }

    fn records(&self) -> Vec<Record> {
        let email = |id: &str| {
            let lead = self.leads.get(id);
            lead.and_then(|lead| lead.fields.get("Email")).and_then(Value::as_str).unwrap_or_default()
        };
        let leads = self.leads.iter().map(|(id, lead)| {
            let record = Record::new("Lead", id, email(id)).with_all(members(&lead.fields), &ALIKE);
            let record = record.with("owner", lead.owner.clone());
            let record = record.with("tags", lead.tags.iter().cloned().collect::<Vec<_>>().join(", "));
            if lead.is_converted { record.with("status", "converted") } else { record }
        });
        let notes = self.notes.iter().map(|(id, note)| Record::new("note", id, email(&note.lead)));
        leads.chain(notes).collect()
    }

    fn ways(&self) -> Vec<Value> {
        vec![json!({"tags": "Website, Barn"})]
    }

    fn later(&self) -> Vec<Reply> {
        vec![too_many()]
    }

    fn refused(&self) -> usize {
        self.crowded
    }

    fn slow_down(&mut self) {
        self.takes = Duration::from_millis(30);
        self.search_lag = Duration::from_secs(3);
    }

    fn end_logins(&mut self) -> bool {
        self.tokens.clear();
        true
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("Phone")
    }

    fn misnamed(&self) -> Vec<Misnamed> {
        vec![(
            json!({"reopen_status": "Not Contacted", "assignment_rule": "4876876000000387001"}),
            json!({"reopen_status": "Open", "assignment_rule": "7"}),
            vec![
                "assignment_rule: Leads have no rule 7",
                "reopen_status: Lead_Status has no option Open; it has Not Contacted, Contacted, Junk Lead, Lost Lead",
            ],
        )]
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        Some((json!({"tags": "Barn, Fair, Form, Website"}), &["Barn", "Fair", "Form", "Website"]))
    }

    fn places(&self) -> Vec<String> {
        self.leads.values().flat_map(|lead| lead.tags.clone()).collect()
    }

    fn take_out(&mut self) {
        self.leads.values_mut().for_each(|lead| lead.tags.clear());
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        let set = |leads: &mut BTreeMap<String, Lead>, name: &str, text: &str| {
            leads.values_mut().for_each(|lead| {
                lead.fields.insert(name.to_owned(), json!(text));
            });
        };
        match deed {
            Deed::Correct => set(&mut self.leads, "Phone", Deed::PHONE),
            Deed::Rename => set(&mut self.leads, "Last_Name", Deed::LAST_NAME),
            Deed::Close => set(&mut self.leads, "Lead_Status", "Lost Lead"),
            Deed::ChangeOwner => self.leads.values_mut().for_each(|lead| lead.owner = Deed::OWNER.to_owned()),
            Deed::Convert => self.leads.values_mut().for_each(|lead| lead.is_converted = true),
            Deed::Delete => {
                self.leads.clear();
                self.notes.clear();
            }
            // The one that is merged into another is gone, its notes go to the other.
            Deed::Merge => {
                let Some((_, lead)) = self.leads.pop_first() else { return false };
                let kept = self.id();
                self.notes.values_mut().for_each(|note| note.lead = kept.clone());
                self.leads.insert(kept, lead);
            }
            Deed::Move | Deed::Archive | Deed::Leave => return false,
        }
        true
    }

    fn crowd(&mut self) {
        self.colleagues = 201;
    }

    fn owner(&self) -> Option<(&'static str, Value)> {
        Some(("Owner", json!("41")))
    }

    fn proposed(&mut self) -> Value {
        json!({"lead.event_date": "Event_Date", "lead.guest_count": "Guests"})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::Required => {
                self.required.insert("Guests".to_owned());
                Trap::bare()
            }
            Rule::Short => {
                self.fields.push(("Wishes".to_owned(), "text"));
                Trap::long("Wishes")
            }
            // One has the address, another the number.
            Rule::Duplicate => {
                self.unique.insert("Phone".to_owned());
                let phone =
                    json!({"Email": "other@example.com", "Last_Name": "Jones", "Phone": "+442079460000"});
                for fields in [json!({"Email": "sarah@example.com", "Last_Name": "Patel"}), phone] {
                    let fields = fields.as_object().cloned().unwrap_or_default();
                    let (id, owner) = (self.id(), "api user".to_owned());
                    let (tags, made) = (BTreeSet::new(), Instant::now());
                    self.leads.insert(id, Lead { fields, owner, is_converted: false, tags, made });
                }
                Trap::bare()
            }
            Rule::ReadOnly => {
                self.fields.push(("Score".to_owned(), "formula"));
                Trap::mapped("lead.event_type", "Score")
            }
            // Whether a word that is no option is refused is not documented.
            Rule::Choice => None,
        }
    }
}
