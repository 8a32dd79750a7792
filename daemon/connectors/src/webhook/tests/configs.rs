//! Configurations as they are refused and shown.

use super::*;

fn check(config: Value, mapping: Value) -> Vec<String> {
    testkit::refused(&Webhook, &config, &mapping)
}

#[test]
fn everything_wrong_with_a_configuration_is_said_at_once() {
    let problems = check(
        json!({"urll": "x", "method": "PSOT", "headers": {"Host": "x", "content-length": "1", "webhook-id": "x",
            "X-Innkept-Foo": "x", "Proxy-Authorization": "x", "TE": "x", "bad name": "x", "X-A": 1, "x-b": {"value": "y", "publik": true},
            "x-c": "é", "X-D": "1", "x-d": "2", "X-E": "{{ lead.emial }}"},
            "query": {"q": [], "r": "{{ x }}"}, "body": "{{ lead.fone }}", "retries": 99, "timeout_seconds": "30", "base_url": "https://x/y"}),
        json!({"lead.nme": "x"}),
    );
    assert_eq!(
        problems,
        [
            "unknown key urll; did you mean url?",
            "url is required: Where to push to; a template after the host, as https://example.com/leads/{{ lead.uuid }}",
            "method PSOT is not one of POST, GET, PUT, PATCH, DELETE; did you mean POST?",
            "timeout_seconds must be a number",
            "retries must be from 0 to 20",
            "base_url must be scheme, host and port only, as https://sandbox.example.com",
            "header Host: is reserved for the delivery itself; remove it",
            "header content-length: is reserved for the delivery itself; remove it",
            "header webhook-id: is reserved for the delivery itself; remove it",
            "header X-Innkept-Foo: is reserved for the delivery itself; remove it",
            "header Proxy-Authorization: is reserved for the delivery itself; remove it",
            "header TE: is reserved for the delivery itself; remove it",
            "header bad name: is not a header's name",
            "header X-A: must be text, or {\"value\": text, \"public\": true or false}",
            "header x-b: unknown key publik; did you mean public?",
            "header x-c: a header takes printable ASCII only",
            "header x-d: is there twice; case does not count",
            "header X-E: {{ lead.emial }}: unknown variable lead.emial; did you mean lead.email?",
            "body: {{ lead.fone }}: unknown variable lead.fone; did you mean lead.phone?",
            "unknown field lead.nme; did you mean lead.name?",
        ]
    );
    assert_eq!(check(json!([]), Value::Null), ["the configuration must be an object"]);
    assert_eq!(check(json!({"url": 5}), Value::Null), ["url must be text"]);
    assert!(check(json!({"url": " "}), Value::Null)[0].starts_with("url is required: "));
    for (url, expected) in [
        ("example.com/x", "url: must begin with https:// and a host, or base_url must be there"),
        ("ftp://example.com/x", "url: must begin with https:// and a host, or base_url must be there"),
        (
            "https://{{ lead.name }}.example.com/",
            "url: scheme, host and port take no templates; put them behind the host",
        ),
        (
            "https://example.com:{{ lead.name }}",
            "url: scheme, host and port take no templates; put them behind the host",
        ),
        ("https://example.com\n.evil/", "url: holds a line end or another control character; take it out"),
        ("https://example.com/a#b", "url: what follows # is never sent; remove it"),
        (
            "https://example.com/../a",
            "url: the path /../a has a segment of dots, which would change where it leads",
        ),
        ("https://example.com/?{{ lead.name }}=1", "url: the query name {{ lead.name }} takes no template"),
        ("https://exa mple.com/", "url: invalid international domain name"),
        (
            "https://example.com/{{ lead.emial }}",
            "url: {{ lead.emial }}: unknown variable lead.emial; did you mean lead.email?",
        ),
    ] {
        assert_eq!(check(json!({"url": url}), Value::Null), [expected], "{url}");
    }
    assert_eq!(
        check(json!({"url": "/x/{{ '?#' }}", "base_url": "https://example.com"}), json!({})),
        Vec::<String>::new()
    );
}

#[test]
fn credentials_are_shown_shortened() {
    let config = json!({
        "url": "https://user:pass@example.com/a/{{ lead.uuid }}?key=abcdefghijklmnop&type={{ event.type }}&k=short&flag",
        "headers": {"Authorization": "Bearer sk_live_123", "X-Id": "{{ lead.uuid }}", "X-P": {"value": "open to all", "public": true},
            "X-S": {"value": "not so public", "public": false}},
        "query": {"token": "0123456789abcdef", "n": 5, "t": "{{ event.type }}"}, "body": "b", "concurrency": 3,
    });
    let expected = json!({
        "url": "https://…@example.com/a/{{ lead.uuid }}?key=abcd…&type={{ event.type }}&k=…&flag",
        "headers": {"Authorization": "Bear…", "X-Id": "{{ lead.uuid }}", "X-P": {"value": "open to all", "public": true},
            "X-S": {"value": "not …", "public": false}},
        "query": {"token": "0123…", "n": "…", "t": "{{ event.type }}"}, "body": "b", "concurrency": 3,
    });
    assert_eq!(Webhook.shown(&config), expected);
    assert_eq!(Webhook.shown(&json!({"url": 5})), json!({"url": 5}));
}

#[test]
fn what_success_is_must_be_statuses() {
    let told = r#"success must be {"statuses": ["2xx", 302]}: statuses, or classes of them"#;
    for wrong in [
        json!({}),
        json!({"statuses": []}),
        json!({"statuses": ["9xx"]}),
        json!({"statuses": [99]}),
        json!({"status": [302]}),
    ] {
        let config = json!({"url": "https://example.com/", "success": wrong});
        assert_eq!(check(config.clone(), Value::Null), [told], "{config}");
    }
}
