//! Nobody keeps others out: a key that floods, a client that guesses, conditions and bodies that take their time.

use std::{collections::HashSet, convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Instant};

use axum::body::Body;
use futures::{StreamExt as _, future::join_all, stream};
use http::{Request, StatusCode, header};
use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    fake::{COMPANY, NEIGHBOUR, key, neighbours_key},
    forms::{self, GOOD, URLENCODED, with_form},
    http::{Answer, TestIntake, UUID, intake, lead, posted},
};
use crate::domain::{
    fanout::Routing,
    flow::{Condition, Flow, Flows},
    ids::{FlowId, FormId, KeyId, LeadId},
};
use crate::intake::{
    body::BODY_CAP, client::HttpPeer, connections::Connections, places::Places, problem::ProblemDetails,
};

#[tokio::test]
async fn a_key_has_its_share_of_the_places_and_others_have_theirs() {
    let intake = intake();
    intake.store.change(|company| company.keys.push((key('b'), None)));
    intake.post(lead(UUID)).await;
    let flooding = intake.store.with(|state| state.key_ids[&key('a')]);
    let places = &intake.app.places;
    for (path, kind, most, what) in [
        ("/v1/leads/batch", "application/x-ndjson", 16, "batches"),
        ("/v1/leads", "application/json", 256, "requests"),
    ] {
        let take = || match what {
            "batches" => places.batch(flooding, COMPANY),
            _ => places.request(flooding, COMPANY),
        };
        let held: Vec<_> = (0..most).map(|_| take().unwrap()).collect();
        let reported = format!(
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
        let refused = post('a').await;
        assert_eq!(refused.headers[header::RETRY_AFTER], "1");
        refused.refused(503, &reported);
        assert!(post('b').await.status.is_success(), "another key is let in");
        drop(held);
        assert!(post('a').await.status.is_success(), "places come back");
    }
}

#[tokio::test]
async fn who_is_refused_and_dribbles_on_holds_no_place() {
    let intake = intake();
    intake.store.change(|company| company.rate_per_second = Some(0.01));
    intake.post(lead(UUID)).await;
    let flooding = intake.store.with(|state| state.key_ids[&key('a')]);
    let places = &intake.app.places;
    let mut held: Vec<_> = (0..256).map(|_| places.request(flooding, COMPANY).unwrap()).collect();
    for (path, why) in [
        ("/v1/leads", "the places of its key"),
        ("/v1/leads/batch", "its type"),
        ("/v1/forms/none", "no form"),
        ("/v1/leads", "its size"),
        ("/v1/leads", "its rate"),
    ] {
        // Its key has a place for that one, which it takes and gives back.
        if why == "its rate" {
            held.pop();
        }
        let [one, other] = [[198, 51, 100, 1], [198, 51, 100, 2]].map(IpAddr::from);
        let (connections, stop) = (Connections::new(1, 1), CancellationToken::new());
        let connection = connections.enter(one, false, &stop).unwrap();
        // What is too large is seen only while it is read, with a place of another key.
        let (sender, begin) = match why {
            "its size" => (neighbours_key(), " ".repeat(BODY_CAP + 1)),
            _ => (key('a'), "{".to_owned()),
        };
        let (dribble, is_read) = dribbling(begin);
        let request = Request::post(path)
            .header("authorization", format!("Bearer {sender}"))
            .header("content-type", "application/json")
            .extension(HttpPeer::new(one, connection.request()))
            .body(dribble);
        let mut asking = pin!(intake.ask(request.unwrap()));
        tokio::select! {
            answer = &mut asking => panic!("{path}, {why}: nothing was read before the answer: {}", answer.text),
            read = is_read => read.unwrap(),
        }
        let clients = (0..512).map_while(|_| places.client(one).ok()).collect::<Vec<_>>();
        assert_eq!(clients.len(), 512, "{path}, {why}: its address lacks a place");
        let of_key = places.request(flooding, COMPANY);
        assert_eq!(of_key.is_ok(), why == "its rate", "{path}, {why}: its key lacks a place");
        assert!(connections.enter(other, false, &stop).is_some(), "{path}, {why}: its connection is busy");
    }
}

/// A body that begins and does not end, and what tells that it is read.
fn dribbling(text: String) -> (Body, oneshot::Receiver<()>) {
    let (reading, is_read) = oneshot::channel();
    let begin = stream::once(async {
        reading.send(()).unwrap();
        Ok::<_, Infallible>(text)
    });
    (Body::from_stream(begin.chain(stream::pending())), is_read)
}

#[test]
fn a_company_and_an_address_have_their_shares() {
    let places = Places::default();
    let keys: Vec<KeyId> = (0..4).map(|_| KeyId::generate()).collect();
    let mut held = Vec::new();
    let reported = |refused: ProblemDetails, who: &str, most: usize, what: &str| {
        let reported = format!(
            "{who} has as many {what} under way as may be, {most}, or all places are taken: send this one again after \
             Retry-After seconds"
        );
        assert_eq!((refused.status().as_u16(), refused.detail()), (503, reported.as_str()));
    };
    for n in 0..512 {
        held.push(places.request(keys[n % 3], COMPANY).unwrap());
    }
    reported(places.request(keys[3], COMPANY).unwrap_err(), "this company", 512, "requests");
    assert!(places.request(keys[3], NEIGHBOUR).is_ok());
    for n in 0..32 {
        held.push(places.batch(keys[n % 3], COMPANY).unwrap());
    }
    reported(places.batch(keys[3], COMPANY).unwrap_err(), "this company", 32, "batches");
    assert!(places.batch(keys[3], NEIGHBOUR).is_ok());
    let [one, other] = [[198, 51, 100, 1], [198, 51, 100, 2]].map(IpAddr::from);
    let clients: Vec<_> = (0..512).map(|_| places.client(one).unwrap()).collect();
    reported(places.client(one).unwrap_err(), "this address", 512, "requests");
    assert!(places.client(other).is_ok());
    drop((held, clients));
    assert!(places.client(one).is_ok() && places.request(keys[0], COMPANY).is_ok());
}

/// Tries keys of a company that is not there, so that each look-up loads its view.
async fn guess(intake: &TestIntake, n: usize) -> Answer {
    intake.ask(posted(&format!("llk_9_{n:0>43}"), "{}")).await
}

#[tokio::test]
async fn who_guesses_keys_is_slowed_down_and_not_looked_up_any_more() {
    let intake = intake();
    intake.post(lead(UUID)).await;
    let loaded = || intake.store.with(|state| state.views_loaded);
    let (before, began) = (loaded(), Instant::now());
    for n in 0..10 {
        guess(&intake, n).await.problem(401);
    }
    // All at once, because each answer waits.
    let mut answers = join_all((10..1000).map(|n| guess(&intake, n))).await;
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, StatusCode::UNAUTHORIZED);
    let refused = answers.pop().unwrap();
    let reported = "too many wrong intake keys came from this address: check the key, and come back after Retry-After seconds";
    refused.refused(429, reported);
    assert_eq!(refused.headers[header::RETRY_AFTER], "10");
    let looked_up = loaded() - before;
    let most = 62.0 + began.elapsed().as_secs_f64();
    assert!(looked_up >= 60 && (looked_up as f64) < most, "{looked_up} of at most {most} were looked up");
    assert_eq!(
        intake.post(lead(UUID)).await.status,
        StatusCode::ACCEPTED,
        "a key that is known is not its neighbour's"
    );
}

#[tokio::test]
async fn wrong_keys_keep_nobody_behind_their_address_from_a_form() {
    for is_known in [true, false] {
        let intake = with_form(None, &[]);
        let visit = async || forms::post(&intake, URLENCODED, GOOD, &[]).await.status;
        if is_known {
            assert_eq!(visit().await, StatusCode::ACCEPTED);
        }
        let answers = join_all((0..1000).map(|n| guess(&intake, n))).await;
        assert!(answers.iter().any(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(visit().await, StatusCode::ACCEPTED, "a form that was posted before: {is_known}");
    }
}

#[tokio::test]
async fn who_tries_forms_that_are_not_there_is_slowed_down_alone() {
    let intake = with_form(None, &[]);
    let visit = async || forms::post(&intake, URLENCODED, GOOD, &[]).await.status;
    assert_eq!(visit().await, StatusCode::ACCEPTED);
    let unknown =
        || Request::post(format!("/v1/forms/{}", FormId::generate())).body(Body::from(GOOD)).unwrap();
    let mut answers = join_all((0..1000).map(|_| intake.ask(unknown()))).await;
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, StatusCode::NOT_FOUND);
    let refused = answers.pop().unwrap();
    let reported = "too many posts to forms that are not there came from this address: check the address that the page posts to, \
                    and come back after Retry-After seconds";
    refused.refused(429, reported);
    assert_eq!(refused.headers[header::RETRY_AFTER], "10");
    assert_eq!(visit().await, StatusCode::ACCEPTED, "a form that is known");
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED, "keys are counted apart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_conditions_and_bodies_leave_healthy_posts_their_answers() {
    let intake = Arc::new(intake());
    let long_list = format!("[1]{}", ".map(a, [a,a,a,a,a,a,a,a])".repeat(12));
    intake.store.with(|state| {
        let integration = &mut state.company.integrations[0];
        integration.routing = Some(Routing::Flows);
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
                let reported =
                    "flow \"hostile\" cannot be evaluated: the condition takes too many steps for this lead";
                assert!(reason.starts_with(reported), "{reason}");
            }
            _ => assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text),
        }
    }
}
