//! What pages of browsers may do: post forms, and use the keys that were made for them.

use axum::body::Body;
use futures::future::join_all;
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::json;
use sha2::Digest as _;

use super::{
    fake::{FakeForm, key},
    http::{Answer, TestIntake, UUID, intake, lead, posted},
    until,
};
use crate::{
    domain::{form::Form, ids::FormId},
    intake::intake_store::StoreFailure,
};

const FORM: &str = "01J8H6KQH4YG3XR8RWM6T6XFQF";
pub(super) const URLENCODED: &str = "application/x-www-form-urlencoded";
pub(super) const GOOD: &str = "name=Sarah+Patel&your-email=sarah%40example.com&event_date=2026-09-12&guest_count=80&gdpr_consent=on&website=";

pub(super) fn with_form(redirect: Option<&str>, allow_origins: &[&str]) -> TestIntake {
    let intake = intake();
    let map = json!({"your-email": "lead.email"});
    let form = FakeForm {
        id: FORM.parse::<FormId>().unwrap(),
        form: Form::new(&map, &json!({"lead.event_type": "wedding"}), Some("website")).unwrap(),
        redirect: redirect.map(str::to_owned),
        allow_origins: allow_origins.iter().map(|&origin| origin.to_owned()).collect(),
    };
    intake.store.with(|state| state.forms.push(form));
    intake
}

pub(super) async fn post(intake: &TestIntake, kind: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(format!("/v1/forms/{FORM}")).header("content-type", kind);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    intake.ask(request.body(Body::from(body.to_owned())).unwrap()).await
}

const PERSON: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn only_lead(intake: &TestIntake) -> String {
    intake.store.with(|state| {
        assert_eq!(state.leads.len(), 1);
        state.leads.values().map(|event| String::from_utf8_lossy(&event.body).into_owned()).collect()
    })
}

#[tokio::test]
async fn a_form_becomes_a_lead_and_says_nothing_of_it() {
    let intake = with_form(None, &[]);
    let answer = post(&intake, URLENCODED, GOOD, &[]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.text, r#"{"status":"accepted","redirect":null}"#);
    let lead = only_lead(&intake);
    for part in [
        r#""email":"sarah@example.com""#,
        r#""guest_count":80"#,
        r#""gdpr_consent":true"#,
        r#""event_type":"wedding""#,
    ] {
        assert!(lead.contains(part), "{part} in {lead}");
    }
    assert!(!lead.contains("website"), "{lead}");
}

#[tokio::test]
async fn a_browser_is_sent_where_the_form_says_or_thanked() {
    let intake = with_form(Some("https://example.com/thanks"), &[]);
    let answer = post(&intake, URLENCODED, GOOD, &[PERSON, ("referer", "https://example.com/book")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers[header::LOCATION], "https://example.com/thanks");
    assert!(only_lead(&intake).contains(r#""source_url":"https://example.com/book""#));
    let intake = with_form(None, &[]);
    let answer = post(&intake, URLENCODED, GOOD, &[PERSON]).await;
    assert_eq!(
        (answer.status, answer.headers[header::CONTENT_TYPE].as_bytes()),
        (StatusCode::OK, &b"text/html; charset=utf-8"[..])
    );
    assert!(answer.text.contains("<h1>Thank you</h1>"), "{}", answer.text);
    assert!(answer.text.contains("<p>Your message has arrived.</p>"), "{}", answer.text);
    assert_eq!(
        answer.headers[header::CONTENT_SECURITY_POLICY],
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    );
}

#[tokio::test]
async fn multipart_is_taken_and_files_are_not() {
    let part = |name: &str, more: &str, text: &str| {
        format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{text}\r\n")
    };
    let fields = [
        part("name", "", "Sarah Patel"),
        part("your-email", "", "sarah@example.com"),
        part("event_date", "", "2026-09-12"),
        part("guest_count", "", "80"),
        part("message", "", "Two\r\nlines & more"),
        part("nothing", "; filename=\"\"\r\nContent-Type: application/octet-stream", ""),
    ];
    let intake = with_form(None, &[]);
    let kind = "multipart/form-data; boundary=xx";
    let body = format!("{}--xx--\r\n", fields.concat());
    assert_eq!(post(&intake, kind, &body, &[]).await.status, StatusCode::ACCEPTED);
    assert!(only_lead(&intake).contains(r#""message":"Two\r\nlines & more""#));
    let file = part("cv", "; filename=\"cv.pdf\"", "%PDF");
    let body = format!("{}{file}--xx--\r\n", fields.concat());
    post(&intake, kind, &body, &[])
        .await
        .refused(422, "cv: files are not taken: take the field out of the form");
    let cut = post(&intake, kind, &fields.concat(), &[]).await.problem(400);
    assert!(cut["detail"].as_str().unwrap().starts_with("the form cannot be read: "), "{cut}");
}

#[tokio::test]
async fn what_is_wrong_is_told_by_the_fields_of_the_page() {
    let intake = with_form(None, &[]);
    let bad = GOOD.replace("sarah%40example.com", "sarah").replace("guest_count=80", "guest_count=many");
    let problem = post(&intake, URLENCODED, &bad, &[]).await.problem(422);
    assert_eq!(problem["detail"], "2 fields are not valid: correct those that `errors` names");
    assert_eq!(
        problem["errors"][0],
        json!({"pointer": "/your-email", "detail": "must be an e-mail address"})
    );
    assert_eq!(problem["errors"][1]["pointer"], "/guest_count");
    let page = post(&intake, URLENCODED, &bad, &[PERSON]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for reported in [
        "<h1>That did not work</h1>",
        "<p>your-email: must be an e-mail address</p>",
        "<p>Please go back, correct it and send it once more.</p>",
    ] {
        assert!(page.text.contains(reported), "{}", page.text);
    }
    let many = "a=1&".repeat(201);
    post(&intake, URLENCODED, &many, &[]).await.refused(400, "the form cannot be read: more than 200 fields");
    post(&intake, URLENCODED, "name=%00", &[]).await.refused(400, "the form cannot be read: a NUL character");
    let reported =
        "a form is posted as application/x-www-form-urlencoded or multipart/form-data, not compressed";
    post(&intake, "text/plain", "name=A", &[]).await.refused(415, reported);
    post(&intake, URLENCODED, GOOD, &[("content-encoding", "gzip")]).await.refused(415, reported);
    until(|| intake.store.with(|state| state.refused.len() == 4)).await;
    let refused = intake.store.with(|state| state.refused.clone());
    assert!(refused.iter().all(|one| one.path == "/v1/forms/{form}"), "{refused:?}");
}

#[tokio::test]
async fn a_bot_is_thanked_and_forgotten() {
    let intake = with_form(None, &[]);
    let bot = GOOD.replace("website=", "website=https://spam.example");
    let answer = post(&intake, URLENCODED, &bot, &[]).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::ACCEPTED, r#"{"status":"accepted","redirect":null}"#)
    );
    assert!(intake.store.with(|state| state.leads.is_empty()));
    until(|| intake.store.with(|state| state.refused.len() == 1)).await;
    let kept = intake.store.with(|state| state.refused[0].clone());
    let reported =
        "the field that people do not see was filled in: the sender was thanked, and nothing was kept";
    assert_eq!((kept.status, kept.detail.as_str()), (200, reported));
}

#[tokio::test]
async fn a_form_that_is_not_there_and_one_that_is_posted_too_often() {
    let intake = with_form(None, &["https://example.com"]);
    let reported =
        "there is no such form, or it takes nothing in now: check the address that the page posts to";
    for path in ["/v1/forms/01J8H6KQH4YG3XR8RWM6T6XFQG", "/v1/forms/contact"] {
        let request = Request::post(path).header("content-type", URLENCODED).body(Body::from(GOOD)).unwrap();
        intake.ask(request).await.refused(404, reported);
    }
    let reported = "this form may not be posted by pages of this origin: ask whoever runs Leadline to add the origin to the form";
    post(&intake, URLENCODED, GOOD, &[("origin", "https://evil.example")]).await.refused(403, reported);
    let answer = post(&intake, URLENCODED, GOOD, &[("origin", "https://EXAMPLE.com")]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://EXAMPLE.com");
    let reported = "this form was posted too often from your address: wait a little, then send it once more";
    let refused = loop {
        let answer = post(&intake, URLENCODED, GOOD, &[]).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
    };
    refused.refused(429, reported);
    intake.store.change(|_| {});
    intake.store.with(|state| state.forms.clear());
    let gone = post(&intake, URLENCODED, GOOD, &[]).await;
    assert!([404, 429].contains(&gone.status.as_u16()), "{}", gone.text);
}

#[tokio::test]
async fn a_page_uses_a_key_only_if_the_key_allows_it() {
    let intake = intake();
    let from = |origin: &str| {
        let mut request = posted(&key('a'), lead(UUID));
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    let reported = "this intake key may not be used by a browser's page of this origin: post from your server, use a form \
                (/v1/forms/{form}), or ask whoever runs Leadline for a key that pages of this origin may use";
    let refused = intake.ask(from("https://example.com")).await;
    assert_eq!(
        refused.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://example.com",
        "so that the page can tell"
    );
    refused.refused(403, reported);
    intake.store.change(|company| company.allow_origins = vec!["https://example.com".into()]);
    let accepted = intake.ask(from("https://example.com")).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    assert_eq!(accepted.headers[header::VARY], "origin");
    intake.ask(from("null")).await.refused(403, reported);
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/v1/leads")
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let allowed = intake.ask(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://example.com");
    assert_eq!(allowed.headers[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, POST");
    assert_eq!(
        allowed.headers[header::ACCESS_CONTROL_ALLOW_HEADERS],
        "authorization, content-type, prefer, webhook-id, webhook-timestamp, webhook-signature, x-leadline-signature"
    );
}

#[tokio::test]
async fn who_shows_no_key_is_told_where_it_goes() {
    let intake = intake();
    let usual = "no live intake key: send the header Authorization: Bearer llk_… with a key of this company";
    for (name, value, hint) in [
        (
            "content-type",
            URLENCODED,
            "; a page of a browser posts its form to /v1/forms/{form}, where no key stands in the page",
        ),
        ("x-api-key", "llk_7_x", "; X-Api-Key is not read"),
        ("authorization", "Basic bGxrOng=", ""),
        ("authorization", "Bearer llk_7_x", ""),
        ("x-nothing", "x", ""),
    ] {
        let request = Request::post("/v1/leads").header(name, value).body(Body::empty()).unwrap();
        intake.ask(request).await.refused(401, &format!("{usual}{hint}"));
    }
    let mut request = posted(&key('a'), "name=A");
    request.headers_mut().insert("content-type", "text/plain;charset=UTF-8".parse().unwrap());
    let reported = "a page of a browser cannot post its form here: post JSON from your server, or the form to /v1/forms/{form}";
    intake.ask(request).await.refused(415, reported);
}

#[tokio::test]
async fn only_a_key_that_may_read_reads_and_the_audit_knows() {
    let intake = intake();
    intake.post(lead(UUID)).await;
    let path = format!("/v1/leads/{UUID}");
    let line = ("intake key llk_7_aa".to_owned(), UUID.parse().unwrap());
    let read = || intake.store.with(|state| state.read.clone());
    for times in 1..=3 {
        assert_eq!(intake.get(&path).await.status, StatusCode::OK);
        assert_eq!(read(), vec![line.clone(); times], "a line for each answer, and before it");
    }
    for answer in join_all((0..20).map(|_| intake.get(&path))).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(read().len(), 23, "however many read at once");
    assert_eq!(intake.get("/v1/leads/01J8H6KQH4YG3XR8RWM6T6XFQG").await.status, StatusCode::NOT_FOUND);
    intake.store.with(|state| state.failure = Some(StoreFailure::Away));
    let away = "the database is away, nothing was accepted: send the request again after Retry-After seconds";
    intake.get(&path).await.refused(503, away);
    intake.store.with(|state| state.failure = None);
    assert_eq!(read().len(), 23, "nobody is told what has no line");
    intake.store.change(|company| company.rate_per_second = Some(1.0));
    let refused = loop {
        let answer = intake.get(&path).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
    };
    refused
        .refused(429, "this intake key reads too many leads a second: ask again after Retry-After seconds");
    intake.store.change(|company| company.may_read = false);
    let reported = "this intake key may not read leads: ask whoever runs Leadline for one that may, and use it on a server of yours";
    for path in [&path, "/v1/leads/01J8H6KQH4YG3XR8RWM6T6XFQG", "/v1/leads/x"] {
        intake.get(path).await.refused(403, reported);
    }
}

#[tokio::test]
async fn a_key_is_not_told_the_uuid_of_another_keys_lead() {
    let intake = intake();
    intake.store.change(|company| {
        company.may_read = false;
        company.keys.push((key('b'), None));
    });
    let save = |letter: char, phone: &str| {
        let flat = json!({"data": {"email": "victim@example.com", "phone": phone}});
        let (mut parts, body) = posted(&key(letter), flat).into_parts();
        parts.uri = "/v1/save_lead".parse().unwrap();
        intake.ask(Request::from_parts(parts, body))
    };
    let made = save('a', "1").await.json();
    assert_eq!(made["status"], "accepted");
    assert_eq!(save('a', "1").await.json()["lead"], made["lead"], "its own");
    for (phone, status) in [("1", "duplicate"), ("2", "updated")] {
        let other = save('b', phone).await.json();
        assert_eq!(other, json!({"lead": null, "status": status, "deliveries": []}));
    }
    intake.store.change(|company| drop(company.keys.remove(0)));
    assert_eq!(save('b', "3").await.json()["lead"], made["lead"], "the key that made it was replaced");
}

fn signed(id: &str, body: &str, secret: &str, at: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let signature = crate::domain::signing::standard(
        secret,
        id,
        crate::domain::moment::Moment::from_seconds(at),
        body.as_bytes(),
    );
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", &at.to_string()), ("webhook-signature", &signature)]
    {
        headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

#[tokio::test]
async fn a_signed_post_that_comes_once_more_makes_nothing_new() {
    let intake = intake();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    intake.store.change(|company| company.keys[0].1 = Some(secret.to_owned()));
    let body = lead(UUID).to_string().replace(&format!("\"uuid\":\"{UUID}\","), "");
    let now = jiff::Timestamp::now().as_second();
    let post = |headers: HeaderMap, body: &str| {
        let mut request = posted(&key('a'), body);
        request.headers_mut().extend(headers);
        intake.ask(request)
    };
    let first = post(signed("msg_1", &body, secret, now), &body).await.json();
    assert_eq!(first["status"], "accepted");
    // A repeat has its own time, and so another signature.
    for at in [now, now + 1] {
        let again = post(signed("msg_1", &body, secret, at), &body).await.json();
        assert_eq!((&again["status"], &again["lead"]), (&json!("duplicate"), &first["lead"]));
    }
    assert_eq!(post(signed("msg_2", &body, secret, now), &body).await.json()["status"], "accepted");
    assert_eq!(intake.store.with(|state| state.leads.len()), 2);
    // What was refused may be put right under the same id.
    post(signed("msg_3", "{}", secret, now), "{}").await.problem(422);
    assert_eq!(post(signed("msg_3", &body, secret, now), &body).await.json()["status"], "accepted");
    intake.store.with(|state| state.signed.insert(sha2::Sha256::digest("msg_4").into(), None));
    let reported = "this webhook-id is being worked on: send it again after Retry-After seconds";
    post(signed("msg_4", &body, secret, now), &body).await.refused(503, reported);
}

#[tokio::test]
async fn a_key_may_want_one_kind_of_signature() {
    use crate::domain::signing::{self, SignatureKind};
    let intake = intake();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = lead(UUID).to_string();
    let standard = signed("msg_1", &body, secret, jiff::Timestamp::now().as_second());
    let mut simple = HeaderMap::new();
    let signature = signing::simple(secret, body.as_bytes());
    simple.insert("x-leadline-signature", signature.parse().unwrap());
    for (kind, takes, wanted) in [
        (SignatureKind::Any, [true, true, false], "X-Leadline-Signature or webhook-signature"),
        (
            SignatureKind::Standard,
            [true, false, false],
            "webhook-id, webhook-timestamp and webhook-signature",
        ),
        (SignatureKind::Simple, [false, true, false], "X-Leadline-Signature"),
    ] {
        intake.store.change(|company| {
            company.keys[0].1 = Some(secret.to_owned());
            company.signature = Some(kind);
        });
        let reported =
            format!("this intake key requires a signed body: send {wanted}, made with its signing secret");
        for (headers, is_taken) in [standard.clone(), simple.clone(), HeaderMap::new()].into_iter().zip(takes)
        {
            let mut request = posted(&key('a'), &body);
            request.headers_mut().extend(headers);
            let answer = intake.ask(request).await;
            if is_taken {
                assert_eq!(answer.status, StatusCode::ACCEPTED, "{kind:?} {}", answer.text);
            } else {
                answer.refused(401, &reported);
            }
        }
        // A request without a body signs the empty text.
        let read =
            Request::get(format!("/v1/leads/{UUID}")).header("authorization", format!("Bearer {}", key('a')));
        intake.ask(read.body(Body::empty()).unwrap()).await.refused(401, &reported);
    }
    intake.store.change(|company| company.signature = Some(SignatureKind::Simple));
    let read = Request::get(format!("/v1/leads/{UUID}"))
        .header("authorization", format!("Bearer {}", key('a')))
        .header("x-leadline-signature", signing::simple(secret, b""));
    assert_eq!(intake.ask(read.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
}
