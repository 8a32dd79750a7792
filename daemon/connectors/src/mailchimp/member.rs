//! The member that a lead becomes.

use md5::{Digest, Md5};
use serde_json::Value;

use crate::{
    Push, crm,
    field_kind::{Kind, kind_of},
    vendor::word,
};
use leadline_domain::{
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// The longest text of a merge field, in bytes; from memory.
const FIELD_MAX: usize = 255;
/// The merge fields that every new audience has for the name.
const NAMES: [&str; 2] = ["FNAME", "LNAME"];

/// How members are made.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) status_if_new: String,
    /// First and last name go to the merge fields of every new audience.
    pub(super) splits_name: bool,
    pub(super) mapping: Mapping,
    pub(super) tags: Vec<String>,
}

impl Member {
    /// What all calls are made from: the member's key, its body, and its tags if there are any.
    pub(super) fn plan(&self, event: &Json, push: &Push<'_>) -> Result<Json, Failure> {
        let email = event.at("lead.email").map(crm::text).unwrap_or_default().trim().to_owned();
        if email.is_empty() {
            return Err(Failure::new(
                FailureClass::Rejected,
                "mailchimp was not called: the lead has no email",
            ));
        }
        let mut member = Json::object([
            ("email_address", Json::string(&email)),
            ("status_if_new", Json::string(&self.status_if_new)),
        ]);
        member.insert(2, "merge_fields", self.merge_fields(event, push)?);
        let mut plan = Json::object([("hash", Json::string(&key(&email))), ("member", member)]);
        if !self.tags.is_empty() {
            let tag = |name: &String| {
                Json::object([("name", Json::string(name)), ("status", Json::string("active"))])
            };
            plan.insert(2, "tags", Json::Array(self.tags.iter().map(tag).collect()));
        }
        Ok(plan)
    }

    fn merge_fields(&self, event: &Json, push: &Push<'_>) -> Result<Json, Failure> {
        let mut fields = Json::Object(Vec::new());
        let mut mapped = crm::fields(&self.mapping, event, push)?;
        crm::drop_made_name(&mut mapped, &self.mapping, event);
        for (tag, value) in mapped {
            let value = match value {
                Json::Number(_) => value,
                other => Json::string(&crm::cut_bytes(&crm::text(&other), FIELD_MAX)),
            };
            fields.insert(usize::MAX, &tag, value);
        }
        if self.splits_name && !crm::is_made_name(event) {
            let text = |path: &str| event.at(path).filter(|value| !value.is_null()).map(crm::text);
            let name = text("lead.name").unwrap_or_default();
            let (first, last) = crm::split_name(&name);
            let first = text("lead.profile.first_name").unwrap_or_else(|| first.to_owned());
            let last = text("lead.profile.last_name").unwrap_or_else(|| last.to_owned());
            for (tag, value) in NAMES.into_iter().zip([first, last]) {
                if fields.get(tag).is_none() && !value.is_empty() {
                    fields.insert(usize::MAX, tag, Json::string(&crm::cut_bytes(&value, FIELD_MAX)));
                }
            }
        }
        Ok(fields)
    }

    /// What is wrong with the mapping, given the audience's merge fields.
    pub(super) fn findings(&self, schema: &Value) -> Vec<String> {
        let fields = schema.get("merge_fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let tags: Vec<String> =
            fields.iter().filter_map(|field| word(field, "tag")).map(str::to_owned).collect();
        let mut findings = crm::unknown_targets(&self.mapping, "merge field", &tags);
        if self.splits_name {
            let missing = NAMES.iter().filter(|name| !tags.iter().any(|tag| tag == *name));
            findings.extend(missing.map(|name| {
                format!("lead.name: the audience has no merge field {name}; map lead.name to one that it has, or to null")
            }));
        }
        for rule in self.mapping.rules() {
            let Some(target) = rule.to.as_deref() else { continue };
            let field = fields.iter().find(|field| word(field, "tag") == Some(target));
            let kind = field.and_then(|field| word(field, "type")).unwrap_or_default();
            let format = field.and_then(|field| word(field.get("options")?, "phone_format"));
            if kind == "phone" && format == Some("US") {
                findings.push(format!(
                    "{}: merge field {target} takes numbers of the US only and refuses all others; set its phone format to international",
                    rule.field
                ));
            }
            let own = kind_of(rule.field);
            if !fits(kind, own, rule.is_computed()) {
                findings.push(format!(
                    "{}: merge field {target} is of type {kind}, and this is {own}",
                    rule.field
                ));
            }
        }
        findings
    }
}

/// Whether a merge field takes a value of this kind; a template's may be of any.
fn fits(field: &str, own: Kind, is_computed: bool) -> bool {
    match field {
        // It takes an object, which no mapping makes.
        "address" => false,
        "number" => is_computed || own == Kind::Number,
        "date" => is_computed || own == Kind::Date,
        // A day without a year is what no lead has.
        "birthday" => is_computed,
        _ => true,
    }
}

/// The key of a member: the MD5 of its address in small letters.
fn key(email: &str) -> String {
    hex::encode(Md5::digest(email.to_lowercase().as_bytes()))
}
