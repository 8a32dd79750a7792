//! Batches: answers in order, memory that does not grow, and an end when the daemon stops.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::body::{Body, BodyDataStream};
use futures::{StreamExt, stream};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    fake::key,
    http::{TestIntake, intake},
};
use crate::{domain::ids::LeadId, intake::intake_store::StoreFailure};

fn line(uuid: &str, guests: usize) -> String {
    let lead = json!({"lead": {
        "uuid": uuid, "name": "Sarah Patel", "email": "sarah@example.com", "event_type": "wedding",
        "event_date": "2026-09-12", "guest_count": guests, "gdpr_consent": true,
    }});
    format!("{lead}\n")
}

fn posted(body: Body) -> Request<Body> {
    let request = Request::post("/v1/leads/batch").header("authorization", format!("Bearer {}", key('a')));
    request.header("content-type", "application/x-ndjson").body(body).unwrap()
}

async fn post(intake: &TestIntake, body: Body) -> (StatusCode, BodyDataStream) {
    let response = intake.router.clone().oneshot(posted(body)).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    (response.status(), response.into_body().into_data_stream())
}

async fn answers(intake: &TestIntake, body: impl Into<Body>) -> Vec<Value> {
    let (status, mut chunks) = post(intake, body.into()).await;
    assert_eq!(status, StatusCode::OK);
    let mut text = Vec::new();
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_line_has_its_answer_in_order() {
    let intake = intake();
    let (one, two) = (LeadId::generate().to_string(), LeadId::generate().to_string());
    let large = line(&one, 80).replace("Sarah", &"x".repeat(256 * 1024));
    let body = [
        &*line(&one, 80),
        "\n",
        "{\"lead\": \n",
        &*large,
        &*line(&two, 0),
        &*line(&one, 81),
        &*line(&one, 82),
        &*line(&one, 82),
        line(&two, 5).trim_end(),
    ]
    .concat();
    let reported = answers(&intake, body).await;
    let seen: Vec<_> = reported
        .iter()
        .map(|reported| (reported["line"].as_u64().unwrap(), reported["status"].clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (1, json!("accepted")),
            (3, json!(400)),
            (4, json!(413)),
            (5, json!(422)),
            (6, json!("updated")),
            (7, json!("updated")),
            (8, json!("duplicate")),
            (9, json!("accepted")),
        ]
    );
    assert_eq!(reported[0]["lead"], one);
    assert_eq!(reported[0]["deliveries"].as_array().unwrap().len(), 2);
    assert_eq!(reported[2]["detail"], "the line is larger than 256 KiB: send one lead a line");
    assert_eq!(reported[3]["errors"][0]["pointer"], "/lead/guest_count");
    // The refusals are kept, and what was not read of them is not.
    crate::intake::tests::until(|| intake.store.with(|state| state.refused.len() == 2)).await;
    let refused = intake.store.with(|state| state.refused.clone());
    assert!(refused.iter().all(|refusal| refusal.path == "/v1/leads/batch" && refusal.body.is_some()));
}

#[tokio::test]
async fn a_batch_of_any_length_needs_the_same_memory() {
    const LINES: usize = 100_000;
    let intake = intake();
    let given = Arc::new(AtomicUsize::new(0));
    let giving = Arc::clone(&given);
    let bad = line("01j8h6kqh4yg3xr8rwm6t6xfqe", 0);
    // Most lines are refused, so that this is about reading and answering.
    let body = stream::iter(0..LINES).map(move |n| {
        giving.store(n + 1, Ordering::SeqCst);
        let text = if n % 1000 == 0 { line(&LeadId::generate().to_string(), 80) } else { bad.clone() };
        Ok::<_, Infallible>(text)
    });
    let (_, mut chunks) = post(&intake, Body::from_stream(body)).await;
    let (mut read, mut furthest) = (0, 0);
    while let Some(chunk) = chunks.next().await {
        read += chunk.unwrap().iter().filter(|byte| **byte == b'\n').count();
        furthest = furthest.max(given.load(Ordering::SeqCst) - read);
    }
    assert_eq!((read, given.load(Ordering::SeqCst)), (LINES, LINES));
    assert!(furthest <= 100, "{furthest} lines were read ahead of their answers");
    assert_eq!(intake.store.with(|state| state.leads.len()), LINES / 1000);
}

#[tokio::test]
async fn a_sender_who_does_not_read_keeps_no_lead_from_its_commit() {
    let intake = intake();
    let body: String = (0..20).map(|_| line(&LeadId::generate().to_string(), 80)).collect();
    let (_, mut chunks) = post(&intake, Body::from(body)).await;
    chunks.next().await.unwrap().unwrap();
    crate::intake::tests::until(|| intake.store.with(|state| state.leads.len() == 20)).await;
}

#[tokio::test]
async fn a_batch_ends_when_the_daemon_stops() {
    let intake = intake();
    let first = line(&LeadId::generate().to_string(), 80);
    let body = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
    let (_, mut chunks) = post(&intake, Body::from_stream(body)).await;
    let mut text = chunks.next().await.unwrap().unwrap().to_vec();
    intake.stop.cancel();
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    let reported: Vec<Value> =
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(
        (reported.len(), &reported[0]["status"], &reported[1]["status"]),
        (2, &json!("accepted"), &json!(503))
    );
    assert_eq!(
        reported[1]["detail"],
        "the daemon stops, this line and what follows it was not accepted: send it again"
    );
}

#[tokio::test]
async fn what_concerns_the_whole_batch_is_said_before_its_first_line() {
    let intake = intake();
    let ask = async |headers: [(&str, &str); 2]| {
        let mut request = Request::post("/v1/leads/batch").header("authorization", headers[0].1);
        request = request.header(headers[1].0, headers[1].1);
        intake.ask(request.body(Body::from(line("x", 1))).unwrap()).await
    };
    let bearer = format!("Bearer {}", key('a'));
    let ndjson = ("content-type", "application/x-ndjson");
    ask([("", "Bearer llk_7_x"), ndjson]).await.problem(401);
    let reported = ask([("", &bearer), ("content-type", "application/json")]).await.problem(415);
    assert_eq!(
        reported["detail"],
        "the body must be NDJSON, a lead event a line: send it with the header Content-Type: application/x-ndjson"
    );
    intake
        .store
        .change(|company| company.keys.push((key('s'), Some("whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=".into()))));
    let reported = ask([("", &format!("Bearer {}", key('s'))), ndjson]).await.problem(403);
    assert_eq!(
        reported["detail"],
        "this intake key requires signed bodies, which a batch cannot have: post each lead to /v1/leads, or use another key"
    );
    intake.store.with(|state| state.failure = Some(StoreFailure::Away));
    intake.store.change(|_| {});
    ask([("", &bearer), ndjson]).await.problem(503);
}

#[tokio::test]
async fn a_rate_slows_a_batch_and_refuses_none_of_it() {
    let intake = intake();
    intake.store.change(|company| company.rate_per_second = Some(50.0));
    let body: String = (0..70).map(|_| line(&LeadId::generate().to_string(), 80)).collect();
    let reported = answers(&intake, body).await;
    assert_eq!(reported.iter().filter(|reported| reported["status"] == "accepted").count(), 70);
}

#[tokio::test]
async fn a_key_that_is_revoked_meanwhile_opens_nothing_more() {
    let intake = intake();
    let lines = [line(&LeadId::generate().to_string(), 80), line(&LeadId::generate().to_string(), 80)];
    let (more, given) = tokio::sync::mpsc::unbounded_channel::<String>();
    let given = stream::unfold(given, async |mut given| {
        given.recv().await.map(|line| (Ok::<_, Infallible>(line), given))
    });
    let (_, mut chunks) = post(&intake, Body::from_stream(given)).await;
    let mut answer =
        async || -> Value { serde_json::from_slice(&chunks.next().await.unwrap().unwrap()).unwrap() };
    more.send(lines[0].clone()).unwrap();
    assert_eq!(answer().await["status"], "accepted");
    intake.store.change(|company| company.keys.clear());
    more.send(lines[1].clone()).unwrap();
    assert_eq!(answer().await["status"], 401);
    assert_eq!(intake.store.with(|state| state.leads.len()), 1);
}

#[tokio::test]
async fn who_prefers_little_is_answered_without_deliveries() {
    let intake = intake();
    for (prefer, is_short) in
        [("return=minimal", true), ("respond-async, Return=Minimal", true), ("return=representation", false)]
    {
        let mut request = posted(Body::from(line(&LeadId::generate().to_string(), 80)));
        request.headers_mut().insert("prefer", prefer.parse().unwrap());
        let response = intake.router.clone().oneshot(request).await.unwrap();
        let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let reported: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&reported["status"], reported["lead"].is_string()),
            (&json!("accepted"), true),
            "{reported}"
        );
        assert_eq!(reported.get("deliveries").is_none(), is_short, "{prefer}: {reported}");
    }
}

#[tokio::test]
async fn a_key_has_sixteen_batches_under_way_and_the_next_is_sent_away_until_one_ends() {
    let intake = intake();
    let mut open = Vec::new();
    for _ in 0..16 {
        let first = line(&LeadId::generate().to_string(), 80);
        let body = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
        let (status, mut chunks) = post(&intake, Body::from_stream(body)).await;
        assert_eq!(status, StatusCode::OK);
        chunks.next().await.unwrap().unwrap();
        open.push(chunks);
    }
    let next = async || {
        let request = posted(Body::from(line(&LeadId::generate().to_string(), 80)));
        intake.router.clone().oneshot(request).await.unwrap()
    };
    let refused = next().await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    drop(open.pop());
    while next().await.status() == StatusCode::SERVICE_UNAVAILABLE {
        tokio::task::yield_now().await;
    }
}
