//! What can be copied from where, and the text of it.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::refuse;
use crate::model::Model;
use crate::model::data::{Attempt, Call, Detail, Integration};
use crate::model::dialog::{Clip, Item, Menu, Pick};
use crate::msg::Effect;

const OF_INTEGRATION: [(&str, &str, Clip); 4] = [
    ("n", "name", Clip::Name),
    ("i", "integration id", Clip::IntegrationId),
    ("e", "last error", Clip::LastError),
    ("Y", "everything as JSON", Clip::Json),
];
const OF_ATTEMPT: [(&str, &str, Clip); 9] = [
    ("i", "attempt id", Clip::AttemptId),
    ("l", "lead", Clip::Lead),
    ("d", "delivery id", Clip::DeliveryId),
    ("e", "error", Clip::Error),
    ("u", "URL", Clip::Url),
    ("b", "request body", Clip::RequestBody),
    ("r", "response body", Clip::ResponseBody),
    ("c", "request as curl, credentials left out", Clip::Curl),
    ("Y", "everything as JSON", Clip::Json),
];

/// The copy menu of the screen on top.
pub(super) fn menu(model: &Model) -> Menu {
    let attempt = model.open.as_ref().and_then(|open| open.current());
    let clips: &[_] = if attempt.is_some() { &OF_ATTEMPT } else { &OF_INTEGRATION };
    let items = clips
        .iter()
        .map(|(key, label, clip)| Item {
            key: (*key).to_owned(),
            label: (*label).to_owned(),
            pick: Pick::Copy(*clip),
            reason: text(model, *clip).is_none().then(|| "there is none".to_owned()),
        })
        .collect();
    Menu { title: "Copy", items, selected: 0, query: None, opened_at: model.now }
}

/// Copies it.
pub(super) fn effect(model: &mut Model, clip: Clip) -> Vec<Effect> {
    let label = OF_ATTEMPT.iter().chain(&OF_INTEGRATION).find(|(_, _, other)| *other == clip);
    let what = label.map_or("it", |(_, label, _)| label).to_owned();
    match text(model, clip) {
        Some(text) => vec![Effect::Copy { what, text: Zeroizing::new(text) }],
        None => refuse(model, &format!("there is no {what}")),
    }
}

fn text(model: &Model, clip: Clip) -> Option<String> {
    let open = model.open.as_ref();
    let attempt = open.and_then(|open| open.current());
    let detail = open.and_then(|open| open.detail()).and_then(|detail| detail.as_ref().ok());
    let body = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = match clip {
        Clip::Name => model.current()?.name.clone(),
        Clip::IntegrationId => model.current()?.id.clone(),
        Clip::LastError => model.current()?.last_error.clone(),
        Clip::AttemptId => attempt?.id.clone(),
        Clip::Lead => attempt?.lead.clone(),
        Clip::DeliveryId => attempt?.delivery.clone(),
        Clip::Error => attempt?.error.clone(),
        Clip::Url => detail?.url.clone(),
        Clip::RequestBody => body(&detail?.request_body),
        Clip::ResponseBody => body(&detail?.response_body),
        Clip::Curl => curls(detail?),
        Clip::Json => match attempt {
            Some(attempt) => pretty(&attempt_json(attempt, detail)),
            None => pretty(&integration_json(model.current()?)),
        },
    };
    Some(text).filter(|text| !text.is_empty())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn integration_json(it: &Integration) -> Value {
    json!({
        "id": it.id, "name": it.name, "connector": it.connector, "enabled": it.enabled,
        "badge": it.badge.word().to_lowercase(), "last_pushed_at": it.last_pushed_at,
        "failure_count": it.failures, "dead": it.dead, "held": it.held, "pending": it.pending,
        "last_error": Some(&it.last_error).filter(|error| !error.is_empty()),
    })
}

fn attempt_json(it: &Attempt, detail: Option<&Detail>) -> Value {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let headers = |pairs: &[(String, String)]| {
        Value::Object(pairs.iter().map(|(n, v)| (n.clone(), Value::from(v.clone()))).collect::<Map<_, _>>())
    };
    let wire = detail.map(|d| {
        json!({
            "method": d.method, "url": d.url,
            "request_headers": headers(&d.request_headers),
            "request_body": String::from_utf8_lossy(&d.request_body),
            "response_headers": headers(&d.response_headers),
            "response_body": String::from_utf8_lossy(&d.response_body),
        })
    });
    json!({
        "id": it.id, "delivery_id": some(&it.delivery), "lead": some(&it.lead), "number": it.number,
        "trigger": it.trigger, "state": it.state.word(), "status_code": it.status,
        "failure_class": some(&it.class), "error": some(&it.error), "started_at": it.started_at,
        "duration_ms": it.duration_ms, "detail": wire,
    })
}

/// Each call as a command line, in the order in which they were made.
fn curls(detail: &Detail) -> String {
    let only = |detail: &Detail| {
        let body = String::from_utf8_lossy(&detail.request_body);
        curl(&detail.method, &detail.url, &detail.request_headers, &body)
    };
    let of = |call: &Call| curl(&call.method, &call.url, &call.request_headers, &call.request_body);
    match &detail.calls[..] {
        [] | [_] => only(detail),
        calls => calls.iter().map(of).collect::<Vec<_>>().join("\n\n"),
    }
}

/// The request as a command line. What identifies us is left out: it is shortened anyway, and must not spread.
fn curl(method: &str, url: &str, headers: &[(String, String)], body: &str) -> String {
    let private = |name: &str| {
        let name = name.to_lowercase();
        ["authorization", "cookie", "signature", "api-key", "token"].iter().any(|part| name.contains(part))
    };
    let mut parts = vec![format!("curl -X {method} {}", quote(url))];
    let named = headers.iter().filter(|(name, _)| {
        !private(name) && !["host", "content-length"].contains(&name.to_lowercase().as_str())
    });
    parts.extend(named.map(|(name, value)| format!("-H {}", quote(&format!("{name}: {value}")))));
    if !body.is_empty() {
        parts.push(format!("--data-binary {}", quote(body)));
    }
    parts.join(" \\\n  ")
}

/// A word for the shell: nothing in it can end the quotes.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_can_be_pasted_and_carries_no_credentials() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let detail = Detail {
            method: "POST".to_owned(),
            url: "https://x.test/a?b=c".to_owned(),
            request_headers: vec![
                header("content-type", "application/json"),
                header("Authorization", "Bearer 12…"),
                header("webhook-signature", "v1,abc"),
            ],
            request_body: b"{\"n\":\"O'Neil $(x)\"}".to_vec(),
            ..Detail::default()
        };
        let expected = "curl -X POST 'https://x.test/a?b=c' \\\n  -H 'content-type: application/json' \\\n  \
                        --data-binary '{\"n\":\"O'\\''Neil $(x)\"}'";
        assert_eq!(curls(&detail), expected);
    }
}
