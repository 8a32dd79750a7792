//! Nobody keeps others out: a key that floods, a client that guesses, conditions and bodies that take their time.

use std::{collections::HashSet, sync::Arc};

use axum::body::Body;
use futures::StreamExt as _;
use http::{Request, StatusCode, header};
use serde_json::json;

use super::{
    fake::{key, neighbours_key},
    http::{TestIntake, UUID, intake, lead, posted},
};
use crate::domain::{
    fanout::Routing,
    flow::{Condition, Flow, Flows},
    ids::{FlowId, LeadId},
};

/// A post that does not end: its place stays taken until this is dropped.
async fn hang(intake: &TestIntake, path: &str, kind: &str) -> tokio::task::JoinSet<()> {
    let body =
        futures::stream::iter([Ok::<_, std::convert::Infallible>("{")]).chain(futures::stream::pending());
    let request = Request::post(path)
        .header("authorization", format!("Bearer {}", key('a')))
        .header("content-type", kind)
        .body(Body::from_stream(body))
        .unwrap();
    let router = intake.router.clone();
    let mut hanging = tokio::task::JoinSet::new();
    hanging.spawn(async move {
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        drop(axum::body::to_bytes(response.into_body(), usize::MAX).await);
    });
    hanging
}

#[tokio::test]
async fn a_key_has_its_share_of_the_places_and_others_have_theirs() {
    let intake = intake();
    intake.store.change(|company| company.keys.push((key('b'), None)));
    for (path, kind, most, what) in [
        ("/v1/leads/batch", "application/x-ndjson", 16, "batches"),
        ("/v1/leads", "application/json", 256, "requests"),
    ] {
        let mut held = Vec::new();
        for _ in 0..most {
            held.push(hang(&intake, path, kind).await);
        }
        let told = format!(
            "this intake key has as many {what} under way as may be, {most}, or all places are taken: send this one \
             again after Retry-After seconds"
        );
        let post = |letter: char| {
            let request = Request::post(path)
                .header("authorization", format!("Bearer {}", key(letter)))
                .header("content-type", kind)
                .body(Body::from(lead(UUID).to_string()));
            intake.ask(request.unwrap())
        };
        let refused = loop {
            // Until all of them have taken their places.
            let answer = post('a').await;
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                break answer;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(refused.headers[header::RETRY_AFTER], "1");
        refused.refused(503, &told);
        assert!(post('b').await.status.is_success(), "another key is let in");
        drop(held);
        while !post('a').await.status.is_success() {
            // Until those who left are gone.
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn who_guesses_keys_is_slowed_down_and_not_looked_up_any_more() {
    let intake = intake();
    intake.post(lead(UUID)).await;
    let intake = &intake;
    let guess = |n: usize| async move { intake.ask(posted(&format!("llk_7_{n:0>43}"), "{}")).await };
    for n in 0..10 {
        guess(n).await.problem(401);
    }
    // All at once, because each answer waits.
    let mut answers = futures::future::join_all((10..70).map(guess)).await;
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, StatusCode::UNAUTHORIZED);
    let refused = answers.pop().unwrap();
    let told = "too many wrong intake keys came from this address: check the key, and come back after Retry-After seconds";
    refused.refused(429, told);
    assert_eq!(refused.headers[header::RETRY_AFTER], "10");
    let loaded = intake.store.with(|state| state.views_loaded);
    guess(70).await.problem(429);
    assert_eq!(intake.store.with(|state| state.views_loaded), loaded);
    assert_eq!(
        intake.post(lead(UUID)).await.status,
        StatusCode::ACCEPTED,
        "a key that is known is not its neighbour's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_conditions_and_bodies_leave_healthy_posts_their_answers() {
    let intake = Arc::new(intake());
    let long_list = format!("[1]{}", ".map(a, [a,a,a,a,a,a,a,a])".repeat(12));
    intake.store.with(|state| {
        let integration = &mut state.company.integrations[0];
        integration.routing = Routing::Flows;
        let flow = Flow {
            id: FlowId::generate(),
            name: "hostile".into(),
            when: Condition::compile(&format!("lead.name == 'Sarah Patel' || {long_list} == {long_list}")),
            then: HashSet::from([integration.id]),
            stop: false,
        };
        state.flows = Arc::new(Flows(vec![flow]));
    });
    let keys: Vec<String> = (0..900).map(|n| format!("\"{}{n}\":0", "\\u006b".repeat(40))).collect();
    let wide = lead("").to_string().replace("\"uuid\":\"\",", "").replace("\"unknown\":1.1", &keys.join(","));
    let many = format!("{{\"x\":[{}0]}}", "0,".repeat(120_000));
    let mut hostile = tokio::task::JoinSet::new();
    for n in 0..60 {
        let intake = Arc::clone(&intake);
        let body = match n % 3 {
            0 => wide.clone(),
            1 => many.clone(),
            _ => json!({"lead": {"name": "Eve", "email": "e@example.com", "event_type": "other",
                "event_date": "2026-09-12", "guest_count": 1, "gdpr_consent": true}})
            .to_string(),
        };
        hostile.spawn(async move { (n % 3, intake.post(body).await) });
    }
    for _ in 0..20 {
        let answer = intake.ask(posted(&neighbours_key(), lead(&LeadId::generate().to_string()))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json()["deliveries"][0]["state"], "pending");
    }
    while let Some(one) = hostile.join_next().await {
        let (kind, answer) = one.unwrap();
        match (kind, answer.status.as_u16()) {
            // Its company may keep its share of places and threads busy.
            (_, 503) => {}
            (1, _) => {
                let detail = answer.problem(400)["detail"].as_str().unwrap().to_owned();
                assert!(detail.starts_with("more than 10000 values at line 1, column "), "{detail}");
            }
            (2, _) => {
                let delivery = &answer.json()["deliveries"][0];
                assert_eq!(delivery["state"], "held");
                let reason = delivery["reason"].as_str().unwrap();
                let told =
                    "flow \"hostile\" cannot be evaluated: the condition takes too many steps for this lead";
                assert!(reason.starts_with(told), "{reason}");
            }
            _ => assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text),
        }
    }
}
