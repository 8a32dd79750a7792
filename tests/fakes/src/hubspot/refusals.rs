//! What HubSpot refuses, in its words.

use serde_json::{Value, json};

use crate::receiver::Reply;

/// The longest text that a property takes.
const TEXT_MAX: usize = 65_536;

pub(super) fn mistyped(kind: &str, text: &str) -> Option<&'static str> {
    match kind {
        "number" if text.parse::<f64>().is_err() => Some("INVALID_INTEGER"),
        "date" if text.len() != 10 => Some("INVALID_DATE"),
        "enumeration" if !["wedding", "other"].contains(&text) => Some("INVALID_OPTION"),
        "string" if text.encode_utf16().count() > TEXT_MAX => Some("VALUE_TOO_LONG"),
        "bool" | "booleancheckbox" if !["true", "false"].contains(&text) => Some("INVALID_OPTION"),
        _ => None,
    }
}

pub(super) fn error(status: u16, category: &str, message: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "status": "error", "message": message, "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
                 "category": category }),
    )
}

pub(super) fn invalid_option(property: &str, message: &str) -> Reply {
    Reply::json(
        400,
        &json!({ "status": "error", "message": "Property values were not valid", "category": "VALIDATION_ERROR",
                 "errors": [{ "message": message, "code": "INVALID_OPTION", "context": { "propertyName": [property] } }] }),
    )
}

pub(super) fn conflict(owner: u64) -> Reply {
    error(409, "CONFLICT", &format!("Contact already exists. Existing ID: {owner}"))
}

pub(super) fn missing_scope(scope: &str) -> Reply {
    Reply::json(
        403,
        &json!({ "status": "error", "category": "MISSING_SCOPES",
                 "message": "This app hasn't been granted all required scopes to make this call.",
                 "errors": [{ "message": "One or more of the following scopes are required.", "code": "MISSING_SCOPES",
                              "context": { "requiredGranularScopes": [scope] } }] }),
    )
}

/// What HubSpot says when an application calls too often.
#[must_use]
pub fn rate_limited(policy: &str) -> Reply {
    Reply::json(
        429,
        &json!({ "status": "error", "message": "You have reached your ten_secondly_rolling limit.",
                 "errorType": "RATE_LIMIT", "policyName": policy }),
    )
}

/// The other thing that HubSpot says then.
#[must_use]
pub fn secondly_limited() -> Reply {
    error(429, "RATE_LIMITS", "You have reached your secondly limit.")
}

pub(super) fn invalid(wrong: &[(&String, &str, String)]) -> Reply {
    let within: Vec<Value> = wrong
        .iter()
        .map(|(name, code, message)| {
            json!({ "isValid": false, "message": message, "error": code, "name": name })
        })
        .collect();
    error(400, "VALIDATION_ERROR", &format!("Property values were not valid: {}", json!(within)))
}
