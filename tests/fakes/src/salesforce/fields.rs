//! The fields of a Lead: what they take, and how Salesforce describes them.

use serde_json::{Value, json};

use super::{Salesforce, error, members};
use crate::receiver::Reply;

/// What texts the standard fields take.
const LIMITS: [(&str, usize); 6] = [
    ("FirstName", 40),
    ("LastName", 80),
    ("Email", 80),
    ("Phone", 40),
    ("Company", 255),
    ("Description", 32_000),
];

/// What the picklists have that take other words, too.
const OPEN: [(&str, &[&str]); 2] = [
    ("LeadSource", &["Web", "Phone Inquiry"]),
    ("Status", &["Open - Not Contacted", "Working - Contacted", "Closed - Not Converted"]),
];

/// What the restricted picklists take.
const RESTRICTED: [&str; 3] = ["Trade Show", "Wedding Fair", "Other"];

impl Salesforce {
    /// Why a Lead's fields are refused.
    pub(super) fn wrong(&self, body: &Value, is_new: bool) -> Option<Reply> {
        let fields = members(body);
        for (name, value) in &fields {
            let fits = match self.fields.get(name) {
                None => {
                    let message = format!("No such column '{name}' on sobject of type Lead");
                    return Some(error(400, "INVALID_FIELD", &message, &[]));
                }
                Some(&"double") => value.is_number(),
                Some(&"boolean") => value.is_boolean(),
                Some(&"formula") => {
                    let message = format!(
                        "Unable to create/update fields: {name}. Please check the security settings of this field and verify that it is read/write for your profile or permission set."
                    );
                    return Some(error(400, "INVALID_FIELD_FOR_INSERT_UPDATE", &message, &[name]));
                }
                Some(&"restricted") if !RESTRICTED.iter().any(|own| value == own) => {
                    let message = format!(
                        "{name}: bad value for restricted picklist field: {}",
                        value.as_str().unwrap_or_default()
                    );
                    return Some(error(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", &message, &[name]));
                }
                Some(_) => value.is_string(),
            };
            if !fits {
                let message = format!("Cannot deserialize instance of {name} from {value}");
                return Some(error(400, "JSON_PARSER_ERROR", &message, &[]));
            }
            let limit = LIMITS.iter().find(|(field, _)| field == name).map_or(255, |(_, limit)| *limit);
            if let Some(text) = value.as_str().filter(|text| text.encode_utf16().count() > limit) {
                let message = format!("{name}: data value too large: {text} (max length={limit})");
                return Some(error(400, "STRING_TOO_LONG", &message, &[name]));
            }
        }
        if fields.get("Email").and_then(Value::as_str).is_some_and(|email| !email.contains('@')) {
            return Some(error(400, "INVALID_EMAIL_ADDRESS", "Email: invalid email address", &["Email"]));
        }
        let missing = self.required.iter().find(|name| is_new && !fields.contains_key(*name));
        missing.map(|name| {
            let message = format!("Required fields are missing: [{name}]");
            error(400, "REQUIRED_FIELD_MISSING", &message, &[name])
        })
    }

    /// Every field, with what can be done to it.
    pub(super) fn describe(&self) -> Reply {
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|(name, kind)| {
                let is_own = name == "Id" || *kind == "formula";
                let is_restricted = *kind == "restricted";
                let kind = if is_restricted { "picklist" } else { *kind };
                let choice = |word: &&str| json!({ "value": word, "label": word, "active": true });
                let open = OPEN.iter().filter(|(field, _)| field == name).flat_map(|(_, words)| words.iter());
                let choices: Vec<Value> =
                    RESTRICTED.iter().filter(|_| is_restricted).chain(open).map(choice).collect();
                json!({ "name": name, "label": name, "type": kind, "restrictedPicklist": is_restricted,
                    "picklistValues": choices, "createable": !is_own, "updateable": !is_own,
                    "nillable": !(is_own || self.required.contains(name)), "defaultedOnCreate": is_own,
                    "externalId": name == self.external_field })
            })
            .collect();
        Reply::json(200, &json!({ "name": "Lead", "createable": true, "updateable": true, "fields": fields }))
    }
}
