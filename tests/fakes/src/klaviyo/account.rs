//! What is known of an account at Klaviyo as of one at any vendor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Klaviyo, Profile, throttled};
use crate::{
    account::{Account, Connection, Deed, Misnamed, Record, Rule, Trap, members},
    receiver::Reply,
    vendor::Quota,
};

const ALIKE: [(&str, &str); 3] =
    [("first_name", "first name"), ("last_name", "last name"), ("phone_number", "phone")];

fn email(profile: &Profile) -> &str {
    profile.attributes.get("email").and_then(Value::as_str).unwrap_or_default()
}

impl Account for Klaviyo {
    fn connector(&self) -> &'static str {
        "klaviyo"
    }

    fn connection(&self, url: &str) -> Connection {
        Connection {
            config: json!({"base_url": url, "list_id": self.list}),
            credentials: json!({"api_key": self.api_key}),
        }
    }

    fn work(&self) -> [&'static str; 3] {
        ["organization", "title", ""]
    }

    fn records(&self) -> Vec<Record> {
        let profiles = self.profiles.iter().map(|(id, profile)| {
            let own = profile.attributes.iter().filter(|(name, _)| *name != "properties");
            let own = own.map(|(name, value)| (name, value.clone()));
            let properties = profile.attributes.get("properties").and_then(Value::as_object);
            let status = if profile.suppressed.is_empty() {
                if profile.lists.is_empty() { "on no list" } else { "on the list" }
            } else {
                "unsubscribed"
            };
            Record::new("profile", id, email(profile))
                .with_all(own, &ALIKE)
                .with_all(properties.into_iter().flat_map(members), &[])
                .with("status", status)
        });
        let events =
            self.events.iter().enumerate().map(|(n, event)| {
                Record::new("event", n, self.profiles.get(&event.profile).map_or("", email))
            });
        profiles.chain(events).collect()
    }

    fn later(&self) -> Vec<Reply> {
        vec![throttled(1)]
    }

    fn refused(&self) -> usize {
        self.calls.refused + self.additions.refused
    }

    fn pace(&self) -> Option<(usize, Duration)> {
        Some((20, Duration::from_secs(3)))
    }

    fn lift_quotas(&mut self) {
        (self.calls, self.additions) = (Quota::unlimited(), Quota::unlimited());
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("phone_number")
    }

    fn misnamed(&self) -> Vec<Misnamed> {
        let gone = "list_id: klaviyo not_found A list with id NoList does not exist.";
        vec![(json!({}), json!({"list_id": "NoList"}), vec![gone])]
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        Some((json!({"list_id": self.list}), &["Y6nRLr"]))
    }

    fn places(&self) -> Vec<String> {
        self.profiles.values().flat_map(|profile| profile.lists.clone()).collect()
    }

    /// They stay subscribed: people clean up a list.
    fn take_out(&mut self) {
        self.profiles.values_mut().for_each(|profile| profile.lists.clear());
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Correct => self.profiles.values_mut().for_each(|profile| {
                profile.attributes.insert("phone_number".to_owned(), json!(Deed::PHONE));
            }),
            Deed::Rename => self.profiles.values_mut().for_each(|profile| {
                profile.attributes.insert("last_name".to_owned(), json!(Deed::LAST_NAME));
            }),
            Deed::Delete => {
                self.profiles.clear();
                self.events.clear();
            }
            // Its events go to the profile that is kept.
            Deed::Merge => {
                let Some((_, profile)) = self.profiles.pop_first() else { return false };
                self.next += 1;
                let kept = format!("01GDDKASAP8TKDDA2GRZDSV{:03}", self.next);
                self.events.iter_mut().for_each(|event| event.profile = kept.clone());
                self.profiles.insert(kept, profile);
            }
            Deed::Leave => self.profiles.values_mut().for_each(|profile| {
                profile.consent = "UNSUBSCRIBED".to_owned();
                profile.suppressed = vec!["UNSUBSCRIBE".to_owned()];
                profile.lists.clear();
            }),
            _ => return false,
        }
        true
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::ReadOnly => Trap::mapped("lead.event_type", "subscriptions"),
            Rule::Short => Trap::long("properties.wishes"),
            Rule::Duplicate => {
                let other = json!({"email": "other@example.com", "phone_number": "+442079460000"});
                self.add(other, "NEVER_SUBSCRIBED", &[]);
                Trap::bare()
            }
            _ => None,
        }
    }
}
