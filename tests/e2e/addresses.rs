//! Wherever a setting says where calls go, what can lead nowhere, or elsewhere than it reads, is refused on save, and the
//! refusal names the cause: nobody waits three days for a name that cannot be looked up.

use leadline_fakes::VENDORS;
use leadlined::{
    connectors::{self, ConfigField, Connector, Problem},
    domain::{address::EgressPolicy, origins::is_place},
};
use serde_json::{Map, Value, json};

/// What is told of an address that is not in one piece.
const BROKEN: &str = "holds a line end or another control character; take it out";

/// Scheme, host and port, and what is told of them.
fn wrong() -> Vec<(String, &'static str)> {
    vec![
        ("https://example.com:0".to_owned(), "nothing listens on port 0"),
        ("https://${HOST}".to_owned(), "${host} is no host that can be looked up"),
        ("https://*.example.com".to_owned(), "*.example.com is no host that can be looked up"),
        (format!("https://{}.example.com", "x".repeat(64)), "may have 1 to 63 letters"),
        ("https://exa\tmple.com".to_owned(), BROKEN),
        ("https://example.com\n.evil".to_owned(), BROKEN),
    ]
}

/// The settings that are whole addresses: a path below another is none.
fn places(fields: &[ConfigField]) -> impl Iterator<Item = &'static str> {
    // Google's keys come with the addresses of certificates, which nobody calls.
    let is_called = |name: &&str| is_place(name) && !name.ends_with("path") && !name.ends_with("cert_url");
    fields.iter().map(|field| field.name).filter(is_called)
}

/// A whole configuration of the connector, or whole credentials, with this value.
fn with(whole: &Value, key: &str, value: &str) -> Value {
    let mut members: Map<String, Value> = whole.as_object().cloned().unwrap_or_default();
    members.insert(key.to_owned(), json!(value));
    members.into()
}

/// Products that know their own addresses say first that a host is none of theirs, whatever else is wrong with it.
const STRANGERS: [(&str, &str); 5] = [
    ("discord", "webhook_url: must be the URL of a webhook: https://discord.com/api/webhooks/…"),
    ("make", "hook_url: must be the URL of a custom webhook: https://hook.ZONE.make.com/…"),
    ("slack", "webhook_url: must be the URL of an incoming webhook: https://hooks.slack.com/services/…"),
    ("teams", "workflow_url: must be the URL that the workflow shows: https://….api.powerplatform.com/…"),
    ("zapier", "hook_url: must be the URL of a Catch Hook: https://hooks.zapier.com/hooks/catch/…"),
];

fn check_refused(connector: &dyn Connector, key: &str, told: &str, problems: &[Problem]) {
    let about = problems.iter().find(|problem| problem.pointer == format!("/{key}"));
    let text = about.map_or("", |problem| problem.text.as_str());
    let name = connector.manifest().name;
    // A line end is no part of any host.
    let strangers = STRANGERS
        .iter()
        .find(|(own, text)| *own == name && text.starts_with(&format!("{key}: ")) && told != BROKEN);
    let is_refused = strangers.map_or_else(|| text.contains(told), |(_, strangers)| text == *strangers);
    assert!(is_refused, "{name}: {key}, {told}: {problems:?}");
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_refused_on_save_and_says_why() {
    let egress = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let mut checked = Vec::new();
    for (name, open) in VENDORS {
        let connector = connectors::find(name).unwrap();
        let mut made = open().await.unwrap().connection();
        if name == "email" {
            made.credentials = json!({"username": "a@example.com", "client_id": "i", "client_secret": "s"});
        }
        assert_eq!(connector.check(&made.config, &Value::Null, &egress, "Leadline"), [], "{name}");
        for (address, told) in wrong() {
            for key in places(connector.manifest().fields).chain(["base_url"]) {
                let config = with(&made.config, key, &format!("{address}/"));
                check_refused(
                    connector,
                    key,
                    told,
                    &connector.check(&config, &Value::Null, &egress, "Leadline"),
                );
                checked.push(key);
            }
            for key in places(connector.manifest().credentials) {
                let credentials = with(&made.credentials, key, &format!("{address}/webhook/a1"));
                check_refused(connector, key, told, &connector.check_credentials(&credentials, &egress));
                checked.push(key);
            }
        }
    }
    for key in ["url", "api_url", "environment_url", "accounts_url", "login_url", "token_url", "hook_url"] {
        assert!(checked.contains(&key), "{key}: {checked:?}");
    }
}

#[test]
fn a_mail_server_that_cannot_be_looked_up_is_refused_on_save() {
    let connector = connectors::find("email").unwrap();
    let config = json!({"host": "smtp.example.com", "from": "a@example.com", "to": "b@example.com"});
    let check = |host: &str| {
        let problems =
            connector.check(&with(&config, "host", host), &Value::Null, &EgressPolicy::default(), "Leadline");
        problems.into_iter().map(|problem| problem.text).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(check("smtp.example.com"), "");
    let long = format!("{}.example.com", "x".repeat(64));
    for (host, told) in [
        ("${HOST}", "host: ${host} is no host that can be looked up"),
        ("*.example.com", "host: *.example.com is no host that can be looked up"),
        (long.as_str(), "may have 1 to 63 letters, digits, - and _"),
        ("example.com\n.evil", "host must be a name, as smtp.example.com, without port or path"),
        ("smtp.example.com:0", "host must be a name, as smtp.example.com, without port or path"),
    ] {
        let refused = check(host);
        assert!(refused.contains(told), "{host:?}: {refused}");
    }
}
