//! What is known of a base at Airtable as of an account at any vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::Airtable;
use crate::{
    account::{Account, Connection, Deed, Record, Rule, Trap, members},
    receiver::Reply,
    vendor::Quota,
};

const ALIKE: [(&str, &str); 4] =
    [("Name", "name"), ("Phone", "phone"), ("Guests", "guests"), ("Event date", "event date")];

impl Account for Airtable {
    fn connector(&self) -> &'static str {
        "airtable"
    }

    fn connection(&self, url: &str) -> Connection {
        Connection {
            config: json!({"base_url": url, "base_id": self.base, "table": self.table}),
            credentials: json!({"token": self.token}),
        }
    }

    fn work(&self) -> [&'static str; 3] {
        ["Company", "Position", "Website"]
    }

    fn records(&self) -> Vec<Record> {
        let record = |(id, fields): &(String, serde_json::Map<String, Value>)| {
            let lead = fields.get("Lead ID").and_then(Value::as_str).unwrap_or_default();
            Record::new("record", id, lead).with_all(members(fields), &ALIKE)
        };
        self.records.iter().map(record).collect()
    }

    fn later(&self) -> Vec<Reply> {
        vec![Reply::json(
            429,
            &json!({"errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded."}]}),
        )]
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
        Some("Phone")
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Correct => self.records.iter_mut().for_each(|(_, fields)| {
                fields.insert("Phone".to_owned(), json!(Deed::PHONE));
            }),
            Deed::Rename => self.records.iter_mut().for_each(|(_, fields)| {
                fields.insert("Name".to_owned(), json!(Deed::NAME));
            }),
            Deed::Delete => self.records.clear(),
            _ => return false,
        }
        true
    }

    fn proposed(&mut self) -> Value {
        self.columns.push(("UTM term".to_owned(), "singleLineText".to_owned()));
        json!({"lead.utm.term": "UTM term"})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            // An unknown choice is made where values are converted, which is asked for.
            Rule::Choice => {
                self.columns.push(("Kind".to_owned(), "singleSelect".to_owned()));
                Trap::mapped("lead.event_type", "Kind")
            }
            Rule::Short => {
                self.columns.push(("Wishes".to_owned(), "multilineText".to_owned()));
                Trap::long("Wishes")
            }
            Rule::ReadOnly => {
                self.columns.push(("Score".to_owned(), "formula".to_owned()));
                Trap::mapped("lead.event_type", "Score")
            }
            _ => None,
        }
    }
}
