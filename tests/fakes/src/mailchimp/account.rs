//! What is known of an audience at Mailchimp as of an account at any vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Mailchimp, Member, note_id};
use crate::{
    account::{Account, Connection, Deed, Record, Rule, Trap, members},
    receiver::Reply,
};

const ALIKE: [(&str, &str); 3] = [("FNAME", "first name"), ("LNAME", "last name"), ("PHONE", "phone")];

impl Account for Mailchimp {
    fn connector(&self) -> &'static str {
        "mailchimp"
    }

    fn connection(&self, url: &str) -> Connection {
        Connection {
            config: json!({"base_url": url, "list_id": self.list, "tags": "Wedding"}),
            credentials: json!({"api_key": self.api_key}),
        }
    }

    fn records(&self) -> Vec<Record> {
        let members = self.members.iter().map(|(id, member)| {
            Record::new("member", id, &member.email)
                .with_all(members(&member.fields), &ALIKE)
                .with("status", member.status.clone())
                .with("tags", member.tags.iter().cloned().collect::<Vec<_>>().join(", "))
                .with("choices", chosen(member))
        });
        let notes = self.members.iter().flat_map(|(id, member)| {
            let note = move |n| Record::new("note", note_id(id, n), &member.email);
            (0..member.notes.len()).map(note)
        });
        members.chain(notes).collect()
    }

    fn ways(&self) -> Vec<Value> {
        vec![json!({"groups": "9143cf3bd1", "marketing_permissions": "c9a1d2e3f4"}), json!({"notes": "no"})]
    }

    /// A throttle without a word.
    fn later(&self) -> Vec<Reply> {
        vec![Reply::status(403), Reply::status(429)]
    }

    fn refused(&self) -> usize {
        self.crowded
    }

    fn slow_down(&mut self) {
        self.takes = Duration::from_millis(30);
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("PHONE")
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        let settings = json!({"groups": "9143cf3bd1", "marketing_permissions": "c9a1d2e3f4", "tags": "Barn"});
        Some((settings, &["9143cf3bd1", "c9a1d2e3f4", "Barn"]))
    }

    fn places(&self) -> Vec<String> {
        let chosen = self.members.values().flat_map(|member| &member.choices);
        let chosen = chosen.filter(|(_, is_chosen)| **is_chosen).map(|(id, _)| id.clone());
        chosen.chain(self.members.values().flat_map(|member| member.tags.clone())).collect()
    }

    fn take_out(&mut self) {
        self.members.values_mut().for_each(|member| {
            member.choices.clear();
            member.tags.clear();
        });
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Correct => self.members.values_mut().for_each(|member| {
                member.fields.insert("PHONE".to_owned(), json!(Deed::PHONE));
            }),
            Deed::Rename => self.members.values_mut().for_each(|member| {
                member.fields.insert("LNAME".to_owned(), json!(Deed::LAST_NAME));
            }),
            // Deleted for good, an address never comes back.
            Deed::Delete => {
                let emails = self.members.values().map(|member| member.email.to_lowercase());
                self.forgotten.extend(emails);
                self.members.clear();
            }
            Deed::Archive => {
                self.members.values_mut().for_each(|member| member.status = "archived".to_owned());
            }
            Deed::Leave => {
                self.members.values_mut().for_each(|member| member.status = "unsubscribed".to_owned());
            }
            _ => return false,
        }
        true
    }

    fn proposed(&mut self) -> Value {
        let own = [("GUESTS", "number"), ("EVENT_TYPE", "dropdown")];
        self.merge_fields.extend(own.map(|(tag, kind)| (tag.to_owned(), kind.to_owned())));
        let values = json!({"wedding": "Wedding Fair", "*": "Other", "other": "Other"});
        json!({"lead.guest_count": "GUESTS", "lead.event_type": {"to": "EVENT_TYPE", "values": values}})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        let field = |tag: &str, kind: &str| (tag.to_owned(), kind.to_owned());
        match rule {
            Rule::Required => {
                self.merge_fields.push(field("BUDGET", "text"));
                self.required.insert("BUDGET".to_owned());
                Trap::bare()
            }
            Rule::Choice => {
                self.merge_fields.push(field("KIND", "dropdown"));
                Trap::mapped("lead.event_type", "KIND")
            }
            Rule::Short => {
                self.merge_fields.push(field("NOTES", "text"));
                Trap::long("NOTES")
            }
            Rule::ReadOnly | Rule::Duplicate => None,
        }
    }
}

/// The ids of the groups that somebody is in and of the permissions that they gave.
fn chosen(member: &Member) -> String {
    let chosen = member.choices.iter().filter(|(_, is_chosen)| **is_chosen);
    chosen.map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ")
}
