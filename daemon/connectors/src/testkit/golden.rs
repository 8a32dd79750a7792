//! Golden requests: what a connector sends, compared with what was looked at and kept.

use serde_json::{Value, json};

use super::{Call, NOW, Played, Response};
use leadline_domain::{json::Json, moment::Moment, outcome::Failure};

/// Fails with the calls that are made now, fit to replace the file if they are right.
pub(crate) fn assert_golden(name: &str, golden: &str, played: &Played) {
    assert_goldens(&[(name, golden, played)]);
}

/// The same for several pushes, so that all that differs is told at once.
pub(crate) fn assert_goldens(pushes: &[(&str, &str, &Played)]) {
    let differing = pushes.iter().filter_map(|(name, golden, played)| {
        let calls: Vec<Value> = played.calls.iter().map(shown).collect();
        differing(name, golden, &serde_json::to_string_pretty(&calls).unwrap())
    });
    let told: Vec<String> = differing.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

fn shown(call: &Call) -> Value {
    let Call::Http(request) = call else { return Value::Null };
    let body = serde_json::from_slice(&request.body)
        .unwrap_or_else(|_| json!(String::from_utf8_lossy(&request.body)));
    let mut told = json!({ "method": request.method.as_str(), "url": request.url.as_str(), "body": body });
    // What holds a credential is shown shortened.
    if request.shown_url != request.url.as_str() {
        told["shown"] = json!(request.shown_url);
    }
    told
}

impl Played {
    /// Compares the requests with a fixture: numbers count by their text, white space and order do not.
    pub(crate) fn assert_is(&self, fixture: &str) {
        let made = Json::Array(self.requests.iter().map(whole).collect());
        let wanted = Json::parse(fixture.as_bytes()).unwrap_or(Json::Null);
        assert!(made.digest() == wanted.digest(), "the requests were\n{made}");
    }
}

/// A request as fixtures have it; the user agent changes with every version and is left out.
fn whole(request: &super::Request) -> Json {
    let headers =
        request.headers.iter().filter(|header| header.name != http::header::USER_AGENT).map(|header| {
            let value = if header.secret { "secret" } else { header.value.to_str().unwrap() };
            Value::from(format!("{}: {value}", header.name))
        });
    let headers = Value::from_iter(headers).to_string();
    let body = match request.body.as_ref() {
        b"" => Json::Null,
        body => Json::parse(body).unwrap_or_else(|_| Json::string(&String::from_utf8_lossy(body))),
    };
    Json::object([
        ("method", Json::string(request.method.as_str())),
        ("url", Json::string(request.url.as_str())),
        ("headers", Json::parse(headers.as_bytes()).unwrap()),
        ("body", body),
    ])
}

/// A call as fixtures have it, without the user agent, which changes with every version.
pub(crate) fn seen(call: &Call) -> Value {
    let Call::Http(request) = call else { panic!("{call:?}") };
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .filter(|header| {
            header.name != http::header::USER_AGENT && !header.name.as_str().contains("signature")
        })
        .map(|header| {
            let value = if header.secret { "secret" } else { header.value.to_str().unwrap() };
            (header.name.to_string(), value.into())
        })
        .collect();
    let body: Value = serde_json::from_slice(&request.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&request.body).into_owned().into());
    json!({"method": request.method.as_str(), "url": request.url.as_str(), "shown": request.shown_url,
        "headers": headers, "body": body})
}

/// What is made now, fit to replace the fixture if it is right and differs.
pub(crate) fn differing(name: &str, fixture: &str, made: &str) -> Option<String> {
    (fixture.trim_end() != made.trim_end()).then(|| format!("GOLDEN {name}\n{made}\nEND GOLDEN"))
}

/// Fails unless each error of the table is read as it says.
pub(crate) fn assert_errors(table: &str, read: fn(&Response, Moment) -> Failure) {
    let rows: Vec<Value> = serde_json::from_str(table).unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let body = match &row["body"] {
            Value::Null => String::new(),
            Value::String(page) => page.clone(),
            json => json.to_string(),
        };
        let headers = row["headers"].as_object().unwrap().iter();
        let headers =
            headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let status = row["status"].as_u64().unwrap().try_into().unwrap();
        let failure = read(&Response { status, headers, body: body.into(), truncated: false }, NOW);
        let told = json!({ "class": failure.class.as_str(), "wait": failure.retry_after.map(|wait| wait.as_secs()),
            "error": failure.error });
        let expected = json!({ "class": row["class"], "wait": row["wait"], "error": row["error"] });
        assert_eq!(told, expected, "{row}");
    }
    assert_quotes(read);
}

/// What stands between us and a vendor refuses in words of its own, not in the vendor's JSON: the error quotes them.
fn assert_quotes(read: fn(&Response, Moment) -> Failure) {
    for status in [400, 401, 403, 404, 409, 422, 429, 500, 502, 503] {
        let body = "says gateway 36;".into();
        let failure = read(&Response { status, headers: Vec::new(), body, truncated: false }, NOW);
        let quotes =
            failure.error.contains("says gateway 36;") && failure.error.contains(&status.to_string());
        assert!(quotes, "{status} is told as {:?}", failure.error);
    }
}
