//! What is known of an environment of Dynamics 365 as of an account at any vendor.

use serde_json::{Value, json};

use super::{CAMPAIGN, Dynamics, text, throttled};
use crate::{
    account::{Account, Connection, Deed, Misnamed, Record, Rule, Trap, members},
    receiver::Reply,
    vendor::Quota,
};

const ALIKE: [(&str, &str); 5] = [
    ("firstname", "first name"),
    ("lastname", "last name"),
    ("telephone1", "phone"),
    ("new_guests", "guests"),
    ("new_event_date", "event date"),
];

impl Account for Dynamics {
    fn connector(&self) -> &'static str {
        "dynamics"
    }

    fn connection(&self, url: &str) -> Connection {
        let (id, secret) = &self.app;
        Connection {
            config: json!({"environment_url": url, "login_url": url, "tenant_id": self.tenant}),
            credentials: json!({"client_id": id, "client_secret": secret}),
        }
    }

    fn work(&self) -> [&'static str; 3] {
        ["companyname", "jobtitle", "websiteurl"]
    }

    fn records(&self) -> Vec<Record> {
        let leads = self.leads.iter().map(|(id, lead)| {
            Record::new("lead", id, text(&lead.fields, "emailaddress1"))
                .with_all(members(&lead.fields), &ALIKE)
                .with("owner", lead.owner.clone())
                .with(
                    "status",
                    ["open", "qualified", "disqualified"][usize::try_from(lead.state).unwrap_or(0)],
                )
        });
        let notes = self.notes.iter().map(|(id, note)| {
            let of = self.leads.get(&note.lead).map_or("", |lead| text(&lead.fields, "emailaddress1"));
            Record::new("note", id, of).with("on", note.lead.clone())
        });
        leads.chain(notes).collect()
    }

    fn ways(&self) -> Vec<Value> {
        vec![json!({"alternate_key": self.key}), json!({"campaign_id": CAMPAIGN})]
    }

    fn later(&self) -> Vec<Reply> {
        vec![throttled(5)]
    }

    fn refused(&self) -> usize {
        self.quota.refused
    }

    fn lift_quotas(&mut self) {
        self.quota = Quota::unlimited();
    }

    fn end_logins(&mut self) -> bool {
        self.tokens.clear();
        true
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("telephone1")
    }

    fn misnamed(&self) -> Vec<Misnamed> {
        let other = "5fd3c9a0-0000-4000-8000-000000000009";
        vec![(
            json!({"campaign_id": CAMPAIGN, "lead_source": 7}),
            json!({"campaign_id": other, "lead_source": 99}),
            vec![
                "lead_source: leadsourcecode has no option 99; it has 1 (Advertisement), 2 (Employee Referral), 3 (External Referral), 4 (Partner), 5 (Public Relations), 6 (Seminar), 7 (Trade Show), 8 (Web), 9 (Word of Mouth), 10 (Other)",
                "campaign_id: dynamics 0x80040217 campaign With Id = 5fd3c9a0-0000-4000-8000-000000000009 Does Not Exist",
            ],
        )]
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        let state = match deed {
            Deed::Close => 2,
            Deed::Convert => 1,
            Deed::Correct | Deed::Rename => {
                let is_phone = deed == Deed::Correct;
                let (name, text) =
                    if is_phone { ("telephone1", Deed::PHONE) } else { ("lastname", Deed::LAST_NAME) };
                self.leads.values_mut().for_each(|lead| {
                    lead.fields.insert(name.to_owned(), json!(text));
                });
                return true;
            }
            Deed::ChangeOwner => {
                self.leads.values_mut().for_each(|lead| lead.owner = Deed::OWNER.to_owned());
                return true;
            }
            Deed::Delete => {
                self.leads.clear();
                self.notes.clear();
                return true;
            }
            // The one that is merged into another is disqualified, its notes go to the other.
            Deed::Merge => {
                let Some((old, lead)) = self.leads.iter().next().map(|(id, lead)| (id.clone(), lead.clone()))
                else {
                    return false;
                };
                let kept = self.id();
                self.notes.values_mut().for_each(|note| note.lead = kept.clone());
                self.leads.insert(kept, lead);
                if let Some(lead) = self.leads.get_mut(&old) {
                    lead.state = 2;
                }
                return true;
            }
            _ => return false,
        };
        self.leads.values_mut().for_each(|lead| lead.state = state);
        true
    }

    fn crowd(&mut self) {
        self.colleagues = 5_001;
    }

    fn owner(&self) -> Option<(&'static str, Value)> {
        Some(("ownerid", json!("41")))
    }

    fn proposed(&mut self) -> Value {
        let offered = vec![(100_000_000, "Wedding Fair"), (100_000_001, "Other")];
        self.columns.push(("new_event_type".to_owned(), "Picklist"));
        self.choices.insert("new_event_type".to_owned(), offered);
        let values = json!({"wedding": 100_000_000, "*": 100_000_001, "other": 100_000_001});
        json!({"lead.uuid": "new_leadref", "lead.event_date": "new_event_date", "lead.guest_count": "new_guests",
            "lead.event_type": {"to": "new_event_type", "values": values}})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::Choice => {
                Trap::mapped("lead.event_type", json!({"to": "leadsourcecode", "values": {"*": 99}}))
            }
            Rule::Short => {
                self.columns.push(("new_wishes".to_owned(), "String"));
                self.lengths.insert("new_wishes", 100);
                Trap::long("new_wishes")
            }
            Rule::Duplicate => {
                let fields = json!({"emailaddress1": "sarah@example.com", "lastname": "Patel"});
                let fields = fields.as_object().cloned().unwrap_or_default();
                let id = self.id();
                self.leads.insert(id, super::Lead { fields, owner: "app".to_owned(), state: 1 });
                Some(Trap { config: json!({"duplicates": "respect"}), ..Trap::default() })
            }
            Rule::ReadOnly => {
                self.columns.push(("new_score".to_owned(), "String"));
                self.computed.insert("new_score".to_owned());
                Trap::mapped("lead.event_type", "new_score")
            }
            // A form's required columns bind forms, not programs.
            Rule::Required => None,
        }
    }
}
