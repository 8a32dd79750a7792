//! Whom an integration's credentials go to: the origins that its configuration names. Credentials were given for these,
//! and are sent to no others until they are given again.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use url::Url;

/// Settings that are data which is sent, though they are written as addresses.
const DATA: [&str; 1] = ["confirm_redirect_url"];

/// The origins of a configuration, sorted, as one text; blank where only the vendor's own are meant.
#[must_use]
pub fn origins(config: &Value) -> String {
    let Some(config) = config.as_object() else { return String::new() };
    let named =
        config.iter().filter(|(key, _)| is_place(key)).filter_map(|(_, value)| origin(value.as_str()?));
    named.chain(mail_server(config)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

/// Why credentials that were given for some origins may not be used with a configuration, as a sentence; none if they may.
#[must_use]
pub fn suspension(given_for: &str, config: &Value) -> Option<String> {
    let now = origins(config);
    let named = |origins: &str| match origins {
        "" => "the vendor's own address".to_owned(),
        origins => origins.replace(' ', " and "),
    };
    (now != given_for).then(|| {
        format!(
            "the credentials were given for {} and are not sent to {}: give them again",
            named(given_for),
            named(&now)
        )
    })
}

/// Whether a setting may say where calls go.
#[must_use]
pub fn is_place(key: &str) -> bool {
    let is_address = ["url", "path"]
        .iter()
        .any(|end| key.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('_')));
    is_address && !DATA.contains(&key)
}

/// Scheme, host and port. What is no absolute URL is below the one of another setting.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web.then(|| url.origin().ascii_serialization())
}

/// The server that mail goes to, and how it is secured: a login in the clear is another place, too.
fn mail_server(config: &Map<String, Value>) -> Option<String> {
    let host = config.get("host")?.as_str()?.to_lowercase();
    let port = config.get("port").map_or_else(|| "-".to_owned(), Value::to_string);
    let tls = config.get("tls").and_then(Value::as_str).unwrap_or("starttls");
    Some(format!("smtp://{host}:{port} ({tls})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_for_the_vendor_is_not_sent_to_a_sandbox() {
        let sandbox = json!({"base_url": "https://sandbox.example.com"});
        assert_eq!(suspension(&origins(&sandbox), &sandbox), None);
        assert_eq!(
            suspension("", &sandbox).unwrap(),
            "the credentials were given for the vendor's own address and are not sent to https://sandbox.example.com: \
             give them again"
        );
    }

    #[test]
    fn whatever_setting_names_another_host_names_another_origin() {
        for (config, expected) in [
            (json!({"list_id": "1"}), ""),
            (json!({"base_url": "https://Sandbox.example.com/"}), "https://sandbox.example.com"),
            (json!({"base_url": "https://sandbox.example.com:443"}), "https://sandbox.example.com"),
            (json!({"base_url": "http://sandbox.example.com"}), "http://sandbox.example.com"),
            (
                json!({"path": "https://crm.example.com/{{ lead.uuid }}?a=1", "find_path": "/leads",
                       "token_url": "https://login.example.com/token"}),
                "https://crm.example.com https://login.example.com",
            ),
            (json!({"login_url": "https://test.salesforce.com"}), "https://test.salesforce.com"),
            (json!({"environment_url": "https://a.crm.dynamics.com"}), "https://a.crm.dynamics.com"),
            (
                json!({"host": "Mail.example.com", "port": 587, "from": "a@example.com"}),
                "smtp://mail.example.com:587 (starttls)",
            ),
            (json!({"host": "mail.example.com", "tls": "none"}), "smtp://mail.example.com:- (none)"),
            (json!({"confirm_redirect_url": "https://thanks.example.com"}), ""),
            (json!({"body": "https://example.com", "headers": {"url": "https://example.com"}}), ""),
        ] {
            assert_eq!(origins(&config), expected, "{config}");
        }
    }
}
