//! What all calls of a push to Salesforce are made from. Numbers keep their text: no amount is ever rounded.

use std::borrow::Cow;

use bytes::Bytes;

use super::config::{Config, OptOut};
use crate::{Push, Result, config::Flag, crm, summary};
use leadline_domain::{
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// How many characters the standard fields take; an organization says it of its own. An address is not cut: half of one
/// is another's.
const LIMITS: &[(&str, usize)] = &[
    ("FirstName", 40),
    ("LastName", 80),
    ("Phone", 40),
    ("MobilePhone", 40),
    ("Company", 255),
    ("Title", 128),
    ("Website", 255),
    ("LeadSource", 255),
    ("Description", 32_000),
    ("Subject", 255),
];

/// The longest text that is read back when a push is repeated, in bytes.
const BYTES_MAX: usize = 60_000;

/// A push, rendered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The key of the Lead: trimmed and in lower case.
    pub(super) email: String,
    pub(super) lead: String,
    pub(super) create: Json,
    /// Without what only a new Lead needs, and without what sales may have written there.
    pub(super) update: Json,
    /// What keeps the enquiry of somebody who has a Lead already.
    pub(super) task: Option<Json>,
}

impl Plan {
    pub(super) fn make(mapping: &Mapping, config: &Config, push: &Push<'_>) -> Result<Self> {
        let event = crm::event(push)?;
        let text = |path: &str| event.at(path).and_then(Json::as_str).unwrap_or_default().trim().to_owned();
        let email = text("lead.email").to_lowercase();
        if email.is_empty() {
            return Err(crm::unrenderable("the lead has no email, and it is what Leads are found by"));
        }
        let mut fields = crm::fields(mapping, &event, push)?;
        crm::add_names(&mut fields, mapping, &event);
        crm::drop_made_name(&mut fields, mapping, &event);
        let mut update = Json::Object(Vec::new());
        let mut create = Json::Object(Vec::new());
        for (name, value) in &fields {
            // What shall be emptied is in no new Lead, and a Lead is never without its last name.
            if !value.is_null() {
                create.insert(usize::MAX, name, limited(name, value));
            }
            let is_kept = mapping.is_for_new(name) || (value.is_null() && name == "LastName");
            if !is_kept {
                update.insert(usize::MAX, name, limited(name, value));
            }
        }
        update.insert(usize::MAX, "Email", Json::string(&email));
        create.insert(usize::MAX, "Email", Json::string(&email));
        // A Lead needs a last name, and nothing else of a name. Only a new one may be given a name that is made up:
        // half a name is never written over a whole one.
        if create.get("LastName").is_none() {
            let first = create.take_at("FirstName");
            update.take_at("FirstName");
            let made = first.unwrap_or_else(|| Json::string(&text("lead.name")));
            let made = if crm::text(&made).is_empty() { Json::string(&email) } else { made };
            create.insert(usize::MAX, "LastName", limited("LastName", &made));
        }
        let told = crm::plain(&event, push);
        add(&mut create, "Description", &Json::string(&told));
        // And a company: somebody who has none stands for one.
        let name = Some(text("lead.name")).filter(|name| !name.is_empty()).unwrap_or_else(|| email.clone());
        add(&mut create, "Company", &Json::string(&name));
        add(&mut create, "LeadSource", &Json::string(&config.lead_source));
        if config.opt_out == OptOut::WithoutConsent
            && event.at("lead.gdpr_consent") == Some(&Json::Bool(false))
        {
            create.insert(usize::MAX, "HasOptedOutOfEmail", Json::Bool(true));
        }
        // What is the key in the URL must not be in the body.
        if let Some(field) = &config.external_id_field {
            create.take_at(&field.0);
            update.take_at(&field.0);
        }
        let task = (config.tasks == Flag::Yes).then(|| task(&event, push, &told));
        Ok(Self { email, lead: text("lead.uuid"), create, update, task })
    }

    pub(super) fn bytes(&self) -> Bytes {
        Json::object([
            ("email", Json::string(&self.email)),
            ("lead", Json::string(&self.lead)),
            ("create", self.create.clone()),
            ("update", self.update.clone()),
            ("task", self.task.clone().unwrap_or(Json::Null)),
        ])
        .to_bytes()
    }

    /// What was rendered for this delivery.
    pub(super) fn read(push: &Push<'_>) -> Result<Self> {
        let read = || {
            let plan = Json::parse(push.rendered?).ok()?;
            let text = |key: &str| plan.get(key).and_then(Json::as_str).map(Cow::into_owned);
            let object = |key: &str| plan.get(key).cloned();
            Some(Self {
                email: text("email")?,
                lead: text("lead")?,
                create: object("create")?,
                update: object("update")?,
                task: object("task").filter(|task| !task.is_null()),
            })
        };
        read().ok_or_else(|| {
            Failure::new(FailureClass::Mapping, "what was rendered for Salesforce earlier cannot be read")
        })
    }
}

/// The enquiry as a Task. The delivery's id is what one whose answer was lost is found by.
fn task(event: &Json, push: &Push<'_>, told: &str) -> Json {
    let subject = summary::headline(event, push);
    let description = format!("Delivery: {}\n{told}", push.id);
    Json::object([
        ("Subject", limited("Subject", &Json::string(&subject))),
        ("Description", limited("Description", &Json::string(&description))),
    ])
}

/// Adds a field, unless the mapping has given it.
fn add(fields: &mut Json, name: &str, value: &Json) {
    if fields.get(name).is_none() {
        fields.insert(usize::MAX, name, limited(name, value));
    }
}

/// The value as the field takes it.
fn limited(name: &str, value: &Json) -> Json {
    let limit = LIMITS.iter().find(|(field, _)| *field == name).map(|(_, limit)| *limit);
    match (value.as_str(), limit) {
        (Some(text), Some(limit)) => Json::string(&crm::cut_bytes(&crm::cut(&text, limit), BYTES_MAX)),
        _ => value.clone(),
    }
}
