//! What is known of an account at Pipedrive as of one at any vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Pipedrive, emails, is_there, over_burst, over_day, shut_out};
use crate::{
    account::{Account, Connection, Deed, Record, Rule, Trap},
    receiver::Reply,
    vendor::Quota,
};

impl Pipedrive {
    /// Whose a person is.
    fn address(&self, person: &Value) -> String {
        let person = person.as_u64().and_then(|id| self.persons.get(&id));
        person.and_then(|person| emails(person).next()).unwrap_or_default().to_owned()
    }
}

impl Account for Pipedrive {
    fn connector(&self) -> &'static str {
        "pipedrive"
    }

    fn connection(&self, url: &str) -> Connection {
        let (client, secret, refresh) = &self.app;
        Connection {
            config: json!({"base_url": url}),
            credentials: json!({"client_id": client, "client_secret": secret, "refresh_token": refresh}),
        }
    }

    fn keys(&self) -> Value {
        json!({"api_token": self.api_token})
    }

    fn records(&self) -> Vec<Record> {
        let persons = self.persons.iter().filter(|(_, person)| is_there(person)).map(|(id, person)| {
            let phones = person["phones"].as_array().into_iter().flatten();
            let phones: Vec<&str> = phones.filter_map(|phone| phone["value"].as_str()).collect();
            Record::new("person", id, self.address(&json!(id)))
                .with("name", person["name"].clone())
                .with("phone", phones.join(", "))
                .with("owner", person["owner_id"].clone())
        });
        let deals = self.deals.iter().filter(|(_, deal)| is_there(deal)).map(|(id, deal)| {
            let status = if deal["is_archived"] == true { json!("archived") } else { deal["status"].clone() };
            Record::new("deal", id, self.address(&deal["person_id"]))
                .with("title", deal["title"].clone())
                .with("value", deal["value"].clone())
                .with("status", status)
                .with("pipeline", deal["pipeline_id"].clone())
                .with("stage", deal["stage_id"].clone())
                .with("value", deal["value"].clone())
                .with("owner", deal["owner_id"].clone())
        });
        let notes = self.notes.iter().map(|(id, note)| {
            let deal = note["deal_id"].as_u64().and_then(|id| self.deals.get(&id));
            let person = deal.map_or(&note["person_id"], |deal| &deal["person_id"]);
            Record::new("note", id, self.address(person))
        });
        let named = |one: &Value| one["name"].as_str().unwrap_or_default().to_owned();
        let organizations = self.organizations.iter();
        let organizations = organizations.map(|(id, one)| Record::new("organization", id, named(one)));
        persons.chain(organizations).chain(deals).chain(notes).collect()
    }

    fn ways(&self) -> Vec<Value> {
        vec![
            json!({"lead_field": "a".repeat(40)}),
            json!({"organizations": "yes", "pipeline": "Weddings", "stage": "New"}),
        ]
    }

    fn later(&self) -> Vec<Reply> {
        vec![over_burst(), over_day(), shut_out()]
    }

    fn refused(&self) -> usize {
        self.quota.refused + self.searches.refused
    }

    fn pace(&self) -> Option<(usize, Duration)> {
        Some((10, Duration::from_secs(2)))
    }

    fn lift_quotas(&mut self) {
        (self.quota, self.searches) = (Quota::unlimited(), Quota::unlimited());
    }

    fn slow_down(&mut self) {
        self.search_lag = Duration::from_secs(3);
    }

    fn end_logins(&mut self) -> bool {
        self.tokens.clear();
        true
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("person.phone")
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Correct => self.persons.values_mut().for_each(|person| {
                person["phones"] = json!([{"value": Deed::PHONE, "primary": true, "label": "work"}]);
            }),
            Deed::Rename => self.persons.values_mut().for_each(|person| person["name"] = json!(Deed::NAME)),
            Deed::Move => self.deals.values_mut().for_each(|deal| {
                (deal["stage_id"], deal["value"]) = (json!(6), json!(Deed::VALUE));
            }),
            Deed::ChangeOwner => {
                let records = self.persons.values_mut().chain(self.deals.values_mut());
                records.for_each(|record| record["owner_id"] = json!(Deed::OWNER));
            }
            Deed::Close => self.deals.values_mut().for_each(|deal| deal["status"] = json!("lost")),
            Deed::Archive => self.deals.values_mut().for_each(|deal| deal["is_archived"] = json!(true)),
            Deed::Delete => {
                let records = self.persons.values_mut().chain(self.deals.values_mut());
                records.for_each(|record| record["is_deleted"] = json!(true));
                self.notes.clear();
            }
            // The one that is merged into another is deleted, its deals go to the other.
            Deed::Merge => {
                let Some((old, person)) = self.persons.iter().next().map(|(id, it)| (*id, it.clone())) else {
                    return false;
                };
                let kept = self.id();
                let mut person = person;
                person["id"] = json!(kept);
                self.persons.insert(kept, person);
                if let Some(person) = self.persons.get_mut(&old) {
                    person["is_deleted"] = json!(true);
                }
                self.deals.values_mut().for_each(|deal| deal["person_id"] = json!(kept));
            }
            Deed::Convert | Deed::Leave => return false,
        }
        true
    }

    fn owner(&self) -> Option<(&'static str, Value)> {
        Some(("deal.owner_id", json!(41)))
    }

    fn proposed(&mut self) -> Value {
        let kind = "d".repeat(40);
        self.custom.insert(kind.clone(), "enum");
        self.labels.insert(kind.clone(), "Type of event");
        let values = json!({"wedding": 1, "*": 2, "other": 2});
        json!({"lead.event_type": {"to": format!("person.{kind}"), "values": values}})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::Choice => {
                self.custom.insert("d".repeat(40), "enum");
                Trap::mapped("lead.event_type", format!("deal.{}", "d".repeat(40)))
            }
            Rule::Short => Trap::long(format!("deal.{}", "a".repeat(40))),
            // Fields that an administrator requires bind forms, not programs.
            Rule::Required | Rule::ReadOnly | Rule::Duplicate => None,
        }
    }
}
