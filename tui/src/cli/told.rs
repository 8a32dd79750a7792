//! Values within values, as people read them in a cell: `The Barn/HubSpot`, `GBP 1250.00`, `state open, until 14:05`.
//! JSON that operators write themselves stays JSON, so that it can be copied.

use serde_json::{Map, Value};

/// The keys of JSON that is the operators' or the senders' own.
const DOCUMENTS: [&str; 12] = [
    "after",
    "before",
    "body",
    "canonical",
    "config",
    "event",
    "mapping",
    "request_body",
    "request_headers",
    "response_body",
    "response_headers",
    "rule",
];

/// Whether the value of this key is one of ours, made of fields.
pub(super) fn is_fields(key: &str, value: &Value) -> bool {
    value.is_object() && !DOCUMENTS.contains(&key)
}

/// Whether it is amounts, which fit into a line.
pub(super) fn is_money(value: &Value) -> bool {
    let is_amount = |item: &Value| item.get("currency").is_some() && item.get("amount").is_some();
    value.as_array().is_some_and(|items| items.iter().all(is_amount))
}

/// An object in a line, and each of its values as `cell` shows it; none if it stays JSON.
pub(super) fn line(key: &str, value: &Value, cell: &impl Fn(&str, &Value) -> String) -> Option<String> {
    match value {
        _ if DOCUMENTS.contains(&key) => None,
        Value::Object(fields) => Some(object(fields, cell)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let lines = items.iter().map(|item| match item {
                Value::Object(fields) => object(fields, cell),
                other => cell("", other),
            });
            Some(lines.collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}

fn object(fields: &Map<String, Value>, cell: &impl Fn(&str, &Value) -> String) -> String {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let (Some(currency), Some(amount)) = (text("currency"), text("amount")) {
        return format!("{} {}", cell("", &currency.into()), cell("", &amount.into()));
    }
    if let Some(name) = text("name") {
        let name = cell("", &name.into());
        return match text("company") {
            Some(company) => format!("{}/{name}", cell("", &company.into())),
            None => name,
        };
    }
    let said = fields.iter().filter(|(_, value)| !value.is_null());
    let pairs = said.map(|(key, value)| format!("{} {}", key.replace('_', " "), cell(key, value)));
    pairs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_within_values_are_told_in_words() {
        let cell = |_: &str, value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for (key, value, expected) in [
            (
                "money",
                json!([{"currency": "GBP", "minor": 125_005, "amount": "1250.05"},
                    {"currency": "JPY", "minor": -5, "amount": "-5"}]),
                Some("GBP 1250.05, JPY -5"),
            ),
            (
                "integrations",
                json!([{"id": "A", "name": "HubSpot", "company": "The Barn"}, {"name": "crm"}]),
                Some("The Barn/HubSpot, crm"),
            ),
            (
                "breaker",
                json!({"state": "open", "why": null, "streak_count": 5}),
                Some("state open, streak count 5"),
            ),
            ("config", json!({"url": "x"}), None),
            ("mapping", json!([{"name": "x"}]), None),
            ("events", json!(["a", "b"]), None),
            ("name", json!("a"), None),
        ] {
            assert_eq!(line(key, &value, &cell).as_deref(), expected, "{key}");
        }
    }
}
