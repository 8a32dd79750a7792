//! The field reference of the canonical event, at the door: what is taken and pushed, what is refused.

use leadline_fakes::{Behaviour, Receiver};
use leadline_tests::{Daemon, Scene, post_lead};
use serde_json::{Value, json};

const LEAD: &str = include_str!("../fixtures/lead.json");

/// The sample lead under a uuid of its own, with another value (or none) at a pointer.
fn lead_with(n: usize, pointer: &str, value: Option<Value>) -> Value {
    let mut lead: Value = serde_json::from_str(LEAD).unwrap();
    lead["lead"]["uuid"] = json!(format!("01j8h6kqh4yg3xr8rwm6t6{n:04}"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = lead.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    lead
}

/// A company whose leads all go to one receiver: where to post them, with which key.
async fn door() -> (Daemon, Receiver, String, String) {
    let Scene { daemon, receiver, key, .. } = Scene::with(Behaviour::Good).await;
    let url = daemon.url("/v1/leads");
    (daemon, receiver, url, key)
}

#[tokio::test]
async fn what_the_field_reference_allows_is_pushed_as_it_came() {
    let (daemon, receiver, url, key) = door().await;
    let mut taken = Vec::new();
    for (pointer, value) in [
        ("/lead/phone", Some(Value::Null)),
        ("/lead/phone", None),
        ("/lead/phone", Some(json!("020 7946 0018"))),
        ("/lead/name", Some(json!("łukasz  O'BRIEN-García"))),
        ("/lead/event_date", Some(json!("1999-12-31"))),
        ("/quote/currency", Some(json!("EUR"))),
        ("/lead/source_url", Some(Value::Null)),
        ("/lead/source_url", None),
        ("/lead/utm", Some(Value::Null)),
        ("/lead/utm", None),
        ("/lead/event_type", Some(json!("corporate"))),
        ("/lead/event_type", Some(json!("private_dining"))),
        ("/lead/event_type", Some(json!("birthday"))),
        ("/lead/event_type", Some(json!("other"))),
        ("/lead/guest_count", Some(json!(1))),
        ("/lead/guest_count", Some(json!(5000))),
        ("/lead/gdpr_consent", Some(json!(false))),
        ("/viewing", None),
        ("/quote", None),
        ("/quote/items", Some(json!([]))),
        ("/location", None),
    ] {
        let lead = lead_with(taken.len(), pointer, value);
        let (status, answer) = post_lead(&url, &key, lead.to_string()).await;
        assert_eq!(status, 202, "{pointer}: {answer}");
        taken.push(lead);
    }
    // A discount, and a viewing without an end: one hour is what receivers get.
    let mut discount = lead_with(taken.len(), "/viewing/ends_at", None);
    discount["quote"]["rules_pence"] = json!(-138_000);
    discount["quote"]["total_pence"] = json!(920_000 - 138_000 + 211_600);
    assert_eq!(post_lead(&url, &key, discount.to_string()).await.0, 202);
    discount["viewing"]["ends_at"] = json!("2026-06-04T15:00:00+01:00");
    taken.push(discount);

    let requests = receiver.wait_for(taken.len()).await;
    let pushed: Vec<Value> = requests.iter().map(|it| serde_json::from_slice(&it.body).unwrap()).collect();
    assert_eq!(pushed.len(), taken.len());
    for lead in &taken {
        let of_lead = |it: &&Value| it["lead"]["uuid"] == lead["lead"]["uuid"];
        assert_eq!(pushed.iter().find(of_lead), Some(lead));
    }
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn what_the_field_reference_does_not_allow_is_refused_by_name() {
    let (daemon, receiver, url, key) = door().await;
    for (pointer, value) in [
        ("/lead/uuid", Some(json!("01j8h6kqh4yg3xr8rwm6t6xfq"))),
        ("/lead/uuid", Some(json!("81j8h6kqh4yg3xr8rwm6t6xfqe"))),
        ("/lead/name", None),
        ("/lead/email", Some(json!("sarah at example.com"))),
        ("/lead/phone", Some(json!(447_700_900_123_u64))),
        ("/lead/event_type", Some(json!("party"))),
        ("/lead/event_date", Some(json!("12/09/2026"))),
        ("/lead/guest_count", Some(json!(0))),
        ("/lead/guest_count", Some(json!(5001))),
        ("/lead/guest_count", Some(json!("80"))),
        ("/lead/gdpr_consent", Some(json!("yes"))),
        ("/quote/subtotal_pence", Some(json!(9200.00))),
        ("/quote/total_pence", Some(json!(1))),
        ("/quote/items", Some(json!({}))),
        ("/viewing/starts_at", Some(json!("2026-06-04T14:00:00"))),
        ("/location/id", Some(json!("12"))),
        ("/company/id", Some(json!(8))),
        ("/version", Some(json!("v2"))),
    ] {
        let lead = lead_with(0, pointer, value.clone());
        let (status, answer) = post_lead(&url, &key, lead.to_string()).await;
        assert_eq!(status, 422, "{pointer} {value:?}: {answer}");
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
    }
    assert_eq!(post_lead(&url, &key, LEAD).await.0, 202);
    assert_eq!(receiver.wait_for(1).await.len(), 1, "nothing that was refused is pushed");
    daemon.stop().await;
    receiver.stop().await;
}
