//! Keys: all that open nothing get one answer, and a change of them counts at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use http::{StatusCode, header};

use super::{
    fake::key,
    http::{UUID, intake, lead, posted},
};
use crate::domain::ids::LeadId;

#[tokio::test]
async fn every_wrong_key_gets_the_same_answer() {
    let intake = intake();
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED);
    let mut texts = BTreeSet::new();
    let other_company = key('a').replace("llk_7_", "llk_8_");
    for authorization in [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some(format!("Basic {}", key('a'))),
        Some(format!("Bearer {}", key('b'))),
        Some(format!("Bearer {}x", key('a'))),
        Some(format!("Bearer {}", key('a').replace("llk_7", "llk_07"))),
        Some(format!("Bearer {}", key('a').replace("llk_7", "llk_+7"))),
        Some(format!("Bearer {}", key('a').replace("llk_7", "llk_99999999999999999999"))),
        Some(format!("Bearer {other_company}")),
    ] {
        let mut request = posted("", lead(UUID));
        request.headers_mut().remove("authorization");
        if let Some(value) = &authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let answer = intake.ask(request).await;
        answer.problem(401);
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
        texts.insert(answer.text);
    }
    assert_eq!(texts.len(), 1);
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_minute() {
    let intake = intake();
    for _ in 0..5 {
        assert_eq!(intake.post(lead(&LeadId::generate().to_string())).await.status, StatusCode::ACCEPTED);
    }
    intake.ask(posted(&key('b'), lead(UUID))).await.problem(401);
    intake.store.change(|company| company.keys = vec![(key('a'), None), (key('b'), None)]);
    assert_eq!(intake.ask(posted(&key('b'), lead(UUID))).await.status, StatusCode::ACCEPTED);
    while intake.store.with(|state| state.used.len()) < 2 {
        tokio::task::yield_now().await;
    }
    let used = intake.store.with(|state| state.used.clone());
    assert_eq!(used.len(), 2, "{used:?}");
    assert_ne!(used[0].1, used[1].1);
}

#[tokio::test]
async fn a_new_key_works_at_once_and_a_revoked_one_no_more() {
    let intake = intake();
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED);
    intake.store.change(|company| company.keys = vec![(key('b'), None)]);
    intake.get(&format!("/v1/leads/{UUID}")).await.problem(401);
    assert_eq!(intake.ask(posted(&key('b'), lead(UUID))).await.status, StatusCode::ACCEPTED);
    intake.store.change(|company| company.keys = vec![(key('c'), None)]);
    // The old view still knows this key; the commit finds out.
    intake.ask(posted(&key('b'), lead(UUID))).await.problem(401);
    intake.ask(posted(&key('b'), lead(&LeadId::generate().to_string()))).await.problem(401);
    assert_eq!(intake.store.with(|state| state.leads.len()), 1);
}

#[tokio::test]
async fn wrong_keys_cost_no_more_than_a_look_at_the_version() {
    let intake = intake();
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED);
    let reported =
        "no live intake key: send the header Authorization: Bearer llk_… with a key of this company";
    intake.ask(posted(&key('b'), lead(UUID))).await.refused(401, reported);
    join_all((0..20).map(|_| intake.ask(posted(&key('b'), lead(UUID))))).await;
    assert_eq!(intake.store.with(|state| state.views_loaded), 1);
}

#[tokio::test]
async fn what_a_key_of_a_newer_daemon_asks_for_is_not_guessed() {
    let intake = intake();
    let reported = "this daemon is too old to check what this intake key asks for: send the lead again after Retry-After seconds";
    for secret in [None, Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())] {
        intake.store.change(|company| {
            company.keys[0].1 = secret;
            company.signature = None;
        });
        let answer = intake.post(lead(UUID)).await;
        answer.refused(503, reported);
        assert_eq!(answer.headers[header::RETRY_AFTER], "10");
        assert!(intake.store.with(|state| state.leads.is_empty()));
    }
}
