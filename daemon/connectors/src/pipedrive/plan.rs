//! What all calls of a push to Pipedrive are made from. Numbers keep their text: a deal's value is never rounded.

use super::{
    config::{Config, Deals, is_custom},
    requests::number,
};
use crate::{plan::plan, prelude::*, vendor::CLOCKS_DIFFER};

/// The longest name or title, in characters.
const TEXT_MAX: usize = 255;
/// The longest note that is written, in characters: four bytes each stay within the longest string that is read back.
const NOTE_MAX: usize = 16_000;

plan! {
    /// A push, rendered.
    pub(super) struct Plan {
        /// The key of the person: trimmed and in lower case.
        pub(super) email: String,
        pub(super) lead: String,
        /// Whose organization the person is to belong to, by its name.
        pub(super) employer: Option<String>,
        /// The organization that the employer is.
        pub(super) organization: Option<String>,
        /// A deal that was made earlier than this is another lead's.
        pub(super) since: Moment,
        phone: Option<String>,
        /// The person without its addresses and numbers.
        person: Json,
        /// The person's name was made from its address: it is for a new one only.
        is_made_name: bool,
        pub(super) deal: Option<Json>,
        /// What of these only a new person or deal gets, as a mapping calls it.
        new: Vec<String>,
        pub(super) note: Option<String>,
    }
}

impl Plan {
    pub(super) fn make(mapping: &Mapping, config: &Config, push: &Push<'_>) -> Result<Self> {
        let event = crm::event(push)?;
        let text = |path: &str| event.at(path).and_then(Json::as_str).unwrap_or_default().trim().to_owned();
        let new = mapping.targets().filter(|(rule, _)| rule.is_for_new());
        let mut plan = Self {
            email: text("lead.email").to_lowercase(),
            lead: text("lead.uuid"),
            employer: Some(text("lead.profile.company"))
                .filter(|name| config.organizations == Flag::Yes && !name.is_empty())
                .map(|name| crm::cut(&name, TEXT_MAX).into_owned()),
            organization: None,
            since: push.since.before(CLOCKS_DIFFER),
            phone: None,
            person: Json::Object(Vec::new()),
            is_made_name: crm::is_made_name(&event),
            deal: None,
            new: new.map(|(_, to)| to.to_owned()).collect(),
            note: None,
        };
        let mut deal = Json::object([("title", Json::string(&crm::deal_title(&event, TEXT_MAX)))]);
        let mut has_value = false;
        for (target, value) in crm::fields(mapping, &event, push)? {
            match target.split_once('.') {
                // A person's name, address and number are never emptied.
                Some(("person", "name" | "email" | "phone")) if value.is_null() => {}
                Some(("person", "email")) => plan.email = crm::text(&value).trim().to_lowercase(),
                Some(("person", "phone")) => {
                    plan.phone = Some(crm::cut(&crm::text(&value), TEXT_MAX).into_owned())
                }
                Some(("person", name)) => put(&mut plan.person, name, value),
                Some((_, name)) => {
                    has_value |= name == "value";
                    put(&mut deal, name, value);
                }
                None => {}
            }
        }
        if plan.email.is_empty() {
            return Err(crm::unrenderable("the lead has no email, and it is what persons are found by"));
        }
        if !has_value {
            // A currency alone would be that of nothing.
            deal.take_at("currency");
        }
        if let Some(field) = &config.lead_field {
            put(&mut deal, &field.0, Json::string(&plan.lead));
        }
        plan.deal = (has_value || config.deals == Deals::Always).then_some(deal);
        plan.note = (config.notes == Flag::Yes).then(|| crm::html_note(&event, push, NOTE_MAX));
        Ok(plan)
    }

    /// The same push, the employer being this organization.
    pub(super) fn employed_by(self, organization: Option<&str>) -> Self {
        Self { organization: organization.map(str::to_owned), ..self }
    }

    /// The person as a new one.
    pub(super) fn new_person(&self) -> Json {
        let mut person = self.person.clone();
        if let Some(organization) = &self.organization {
            person.set_at("org_id", number(organization));
        }
        person.set_at("emails", Json::Array(vec![entry(&self.email, true)]));
        if let Some(phone) = &self.phone {
            person.set_at("phones", Json::Array(vec![entry(phone, true)]));
        }
        person
    }

    /// What is new about a person that is there; its addresses and numbers are added to. None if nothing is.
    pub(super) fn person_changes(&self, there: &Value) -> Option<Json> {
        let mut changes = self.person.clone();
        self.leave_to_new("person.", &mut changes);
        let name = changes.get("name").map(crm::text).unwrap_or_default();
        if self.is_made_name || crm::is_part_of(&name, there["name"].as_str().unwrap_or_default()) {
            changes.take_at("name");
        }
        if let Some(emails) = added(&there["emails"], &self.email, str::to_lowercase) {
            changes.set_at("emails", emails);
        }
        let digits = |phone: &str| phone.chars().filter(char::is_ascii_digit).collect::<String>();
        let phone = self.phone.as_ref().filter(|_| !self.new.iter().any(|name| name == "person.phone"));
        if let Some(phone) = phone
            && let Some(phones) = added(&there["phones"], phone, digits)
        {
            changes.set_at("phones", phones);
        }
        // Sales know better whom somebody works for.
        if let Some(organization) = self.organization.as_ref().filter(|_| there["org_id"].is_null()) {
            changes.set_at("org_id", number(organization));
        }
        matches!(&changes, Json::Object(members) if !members.is_empty()).then_some(changes)
    }

    /// What is written to a person and a deal, all in one.
    pub(super) fn written(&self) -> Json {
        let phone = self.phone.as_deref().map_or(Json::Null, Json::string);
        let deal = self.deal.clone().unwrap_or(Json::Null);
        Json::object([("person", self.person.clone()), ("phone", phone), ("deal", deal)])
    }

    /// The same push with what of its person says anything new.
    pub(super) fn with_news(&self, written: &Written) -> Self {
        let news = written.news(&self.written());
        let phone = self.phone.clone().filter(|_| news.get("phone").is_some());
        let person = news.get("person").cloned().unwrap_or(Json::Object(Vec::new()));
        Self { phone, person, ..self.clone() }
    }

    /// What an update writes to a deal: sales people rename deals, so the title stays theirs.
    pub(super) fn deal_changes(&self, written: &Written) -> Json {
        let mut changes =
            written.news(&self.written()).get("deal").cloned().unwrap_or(Json::Object(Vec::new()));
        changes.take_at("title");
        self.leave_to_new("deal.", &mut changes);
        changes
    }

    /// Takes out what only a new person or deal gets.
    fn leave_to_new(&self, of: &str, record: &mut Json) {
        for name in self.new.iter().filter_map(|name| name.strip_prefix(of)) {
            record.take_at(&placed(name));
        }
    }
}

/// Puts a value where it belongs: the account's own fields have a place of their own.
fn put(record: &mut Json, name: &str, value: Json) {
    let value = match (name, value.as_str()) {
        ("name" | "title", Some(text)) => Json::string(&crm::cut(&text, TEXT_MAX)),
        _ => value,
    };
    record.set_at(&placed(name), value);
}

fn placed(name: &str) -> String {
    if is_custom(name) { format!("custom_fields.{name}") } else { name.to_owned() }
}

fn entry(value: &str, is_primary: bool) -> Json {
    Json::object([
        ("value", Json::string(value)),
        ("primary", Json::Bool(is_primary)),
        ("label", Json::string("work")),
    ])
}

/// The entries with one more; none if it is among them.
fn added(there: &Value, value: &str, key: impl Fn(&str) -> String) -> Option<Json> {
    let entries = there.as_array().map_or(&[][..], Vec::as_slice);
    if entries.iter().filter_map(|entry| entry["value"].as_str()).any(|other| key(other) == key(value)) {
        return None;
    }
    let mut all: Vec<Json> =
        entries.iter().filter_map(|entry| Json::parse(entry.to_string().as_bytes()).ok()).collect();
    all.push(entry(value, entries.is_empty()));
    Some(Json::Array(all))
}
