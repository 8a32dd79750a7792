//! What is known of an organization at Salesforce as of an account at any vendor.

use serde_json::{Value, json};

use super::{CAMPAIGN, Salesforce, locked_row, over_limit};
use crate::{
    account::{Account, Connection, Deed, Misnamed, Record, Rule, Trap},
    receiver::Reply,
};

const ALIKE: [(&str, &str); 6] = [
    ("FirstName", "first name"),
    ("LastName", "last name"),
    ("Phone", "phone"),
    ("Status", "status"),
    ("Guests__c", "guests"),
    ("Event_Date__c", "event date"),
];

impl Account for Salesforce {
    fn connector(&self) -> &'static str {
        "salesforce"
    }

    fn connection(&self, url: &str) -> Connection {
        let (id, secret) = &self.client;
        Connection {
            config: json!({"base_url": url, "login_url": url}),
            credentials: json!({"client_id": id, "client_secret": secret}),
        }
    }

    fn stands_at(&mut self, url: &str) {
        url.clone_into(&mut self.instance_url);
    }

    fn work(&self) -> [&'static str; 3] {
        ["Company", "Title", "Website"]
    }

    fn records(&self) -> Vec<Record> {
        let email = |id: &str| {
            let lead = self.leads.get(id);
            lead.and_then(|lead| lead.fields.get("Email")).and_then(Value::as_str).unwrap_or_default()
        };
        let leads = self.leads.iter().map(|(id, lead)| {
            let fields = lead.fields.iter().map(|(name, value)| (name, value.clone()));
            let record = Record::new("Lead", id, email(id)).with_all(fields, &ALIKE);
            let record = record.with("owner", lead.owner.clone());
            if lead.is_converted { record.with("status", "converted") } else { record }
        });
        let tasks = self
            .tasks
            .iter()
            .map(|(id, task)| Record::new("Task", id, email(task["WhoId"].as_str().unwrap_or_default())));
        let members = self.members.iter();
        let members = members.map(|(lead, status)| {
            Record::new("CampaignMember", lead, email(lead)).with("status", status.clone())
        });
        leads.chain(tasks).chain(members).collect()
    }

    fn ways(&self) -> Vec<Value> {
        vec![
            json!({"external_id_field": self.external_field}),
            json!({"campaign_id": CAMPAIGN}),
            json!({"campaign_id": CAMPAIGN, "campaign_status": "Responded"}),
        ]
    }

    fn later(&self) -> Vec<Reply> {
        vec![over_limit(), locked_row()]
    }

    fn end_logins(&mut self) -> bool {
        self.sessions.clear();
        true
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("Phone")
    }

    fn misnamed(&self) -> Vec<Misnamed> {
        vec![(
            json!({"reopen_status": "Working - Contacted", "assignment_rule": "01Q000000000001"}),
            json!({"lead_source": "Fair", "reopen_status": "Working", "closed_statuses": "Unqualified, Dead",
                "assignment_rule": "01Q000000000009"}),
            vec![
                "lead_source: LeadSource has no option Fair; it has Web, Phone Inquiry",
                "reopen_status: Status has no option Working; it has Open - Not Contacted, Working - Contacted, Closed - Not Converted",
                "closed_statuses: Status has no option Dead; it has Open - Not Contacted, Working - Contacted, Closed - Not Converted",
                "assignment_rule: Leads have no rule 01Q000000000009",
            ],
        )]
    }

    fn putting(&self) -> Option<(Value, &'static [&'static str])> {
        Some((json!({"campaign_id": CAMPAIGN, "campaign_status": "Responded"}), &["Responded"]))
    }

    fn places(&self) -> Vec<String> {
        self.members.values().cloned().collect()
    }

    fn take_out(&mut self) {
        self.members.clear();
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        let set = |leads: &mut std::collections::BTreeMap<String, super::Lead>, name: &str, text: &str| {
            leads.values_mut().for_each(|lead| {
                lead.fields.insert(name.to_owned(), json!(text));
            });
        };
        match deed {
            Deed::Correct => set(&mut self.leads, "Phone", Deed::PHONE),
            Deed::Rename => set(&mut self.leads, "LastName", Deed::LAST_NAME),
            Deed::Move => {
                self.members.values_mut().for_each(|status| *status = "Interested".to_owned());
                return !self.members.is_empty();
            }
            Deed::Close => set(&mut self.leads, "Status", "Unqualified"),
            Deed::ChangeOwner => self.leads.values_mut().for_each(|lead| lead.owner = Deed::OWNER.to_owned()),
            Deed::Convert => self.leads.values_mut().for_each(|lead| lead.is_converted = true),
            Deed::Delete => {
                self.leads.clear();
                self.tasks.clear();
                self.members.clear();
            }
            // The one that is merged into another is deleted, its Tasks go to the other.
            Deed::Merge => {
                let Some((_, lead)) = self.leads.pop_first() else { return false };
                let (owner, kept) = (lead.owner.clone(), self.insert(lead.fields));
                self.tasks.values_mut().for_each(|task| task["WhoId"] = json!(kept));
                if let Some(lead) = self.leads.get_mut(&kept) {
                    lead.owner = owner;
                }
            }
            Deed::Archive | Deed::Leave => return false,
        }
        true
    }

    fn owner(&self) -> Option<(&'static str, Value)> {
        Some(("OwnerId", json!("005000000000041AAA")))
    }

    fn proposed(&mut self) -> Value {
        self.fields.insert("Event_Type__c".to_owned(), "restricted");
        let values = json!({"wedding": "Wedding Fair", "*": "Other", "other": "Other"});
        json!({
            "lead.uuid": "Lead_Ref__c", "lead.event_date": "Event_Date__c", "lead.guest_count": "Guests__c",
            "lead.event_type": {"to": "Event_Type__c", "values": values},
        })
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::Required => {
                self.required.insert("Region__c".to_owned());
                Trap::bare()
            }
            Rule::Choice => {
                self.fields.insert("Kind__c".to_owned(), "restricted");
                Trap::mapped("lead.event_type", "Kind__c")
            }
            Rule::Short => {
                self.fields.insert("Wishes__c".to_owned(), "string");
                Trap::long("Wishes__c")
            }
            Rule::ReadOnly => {
                self.fields.insert("Score__c".to_owned(), "formula");
                Trap::mapped("lead.event_type", "Score__c")
            }
            Rule::Duplicate => {
                self.blocks_duplicates = true;
                let known = self.add_lead("sarah@example.com");
                if let Some(lead) = self.leads.get_mut(&known) {
                    lead.is_converted = true;
                }
                Trap::bare()
            }
        }
    }
}
