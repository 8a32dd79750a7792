//! Probes: taken by one daemon, what they found and replaced, and what becomes of those of whom nothing is left.

use leadlined::{
    domain::{integration::ProbeKind, outcome::Outcome},
    store::{
        integration::probe::{ProbeFindings, Proposed},
        queue::finish::AttemptResult,
    },
};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::bench::Bench;

#[tokio::test]
async fn a_probe_is_taken_once_and_good_new_credentials_replace_the_old() {
    let bench = Bench::new().await;
    let mut command = bench.command().await;
    let (lane, connector) = command.probed("crm").await.unwrap();
    assert_eq!((lane, &*connector), (bench.lane(), "webhook"));
    let candidate = json!({"token": "new"});
    let id = command.request_probe(lane, ProbeKind::Credentials, Some(&candidate)).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.store.probed_integration(id).await.unwrap(), Some(bench.crm));
    let taken = bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes;
    assert_eq!((taken.len(), taken[0].attempt, &*taken[0].operator), (1, id, "ann"));
    assert_eq!(taken[0].candidate.as_ref().unwrap().expose_secret(), &candidate.to_string());
    assert!(bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes.is_empty());
    let proposed =
        Proposed { field: "lead.phone".to_owned(), rule: json!("tel"), why: "tel is free".to_owned() };
    let found = ProbeFindings {
        account: Some("Barn (1)".to_owned()),
        findings: vec!["no field x".to_owned()],
        proposals: vec![proposed.clone()],
    };
    let mut result = AttemptResult::without_call(Outcome::Delivered);
    result.body = Some(b"asked".as_slice().into());
    bench.store.finish_probe(&taken[0], &result, 3, Some(&found), ("", None)).await.unwrap();
    assert_eq!(bench.count("probe").await, 0);
    let integration = bench.store.integration(lane).await.unwrap().unwrap();
    assert_eq!(integration.credentials, candidate);
    let view = bench.store.integration_view("crm").await.unwrap();
    assert_eq!((view.account.as_deref(), view.findings), (Some("Barn (1)"), vec!["no field x".to_owned()]));
    assert_eq!(bench.store.proposals(lane).await.unwrap(), [proposed]);
    let (_, detail) = bench.store.attempt(id).await.unwrap().unwrap();
    assert_eq!(detail.config_version, 3);
    assert_eq!(bench.count("attempt WHERE request_body = 'asked'").await, 1);
    bench.store.finish_probe(&taken[0], &result, 3, None, ("", None)).await.unwrap();
    assert_eq!(bench.count("attempt WHERE trigger = 'test'").await, 1, "it ends once");
}

/// Whoever writes the database puts no credentials in force that no target has taken.
#[tokio::test]
async fn credentials_that_are_still_tried_open_nowhere_else() {
    let bench = Bench::new().await;
    let mut command = bench.command().await;
    let candidate = json!({"token": "new"});
    command.request_probe(bench.lane(), ProbeKind::Credentials, Some(&candidate)).await.unwrap();
    command.commit().await.unwrap();
    bench.sql("UPDATE integration i SET sealed_credentials = p.sealed_candidate, credentials_for = '', version = i.version + 1 FROM probe p").await;
    assert!(bench.store.integration(bench.lane()).await.is_err());
    // Once it is tried it stands there, sealed for that place, and in the place of one that is tried it is read as a daemon
    // of the version before had it.
    let taken = bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes.remove(0);
    let result = AttemptResult::without_call(Outcome::Delivered);
    bench.store.finish_probe(&taken, &result, 1, None, ("", None)).await.unwrap();
    let integration = bench.store.integration(bench.lane()).await.unwrap().unwrap();
    assert_eq!(integration.credentials, candidate);
    let mut command = bench.command().await;
    command
        .request_probe(bench.lane(), ProbeKind::Credentials, Some(&json!({"token": "newer"})))
        .await
        .unwrap();
    command.commit().await.unwrap();
    bench.sql("UPDATE probe p SET sealed_candidate = i.sealed_credentials FROM integration i").await;
    let taken = bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes.remove(0);
    assert_eq!(taken.candidate.unwrap().expose_secret(), &candidate.to_string());
}

#[tokio::test]
async fn a_probe_of_what_is_gone_is_dropped() {
    let bench = Bench::new().await;
    let mut command = bench.command().await;
    let id = command.request_probe(bench.lane(), ProbeKind::Test, None).await.unwrap();
    command.commit().await.unwrap();
    let probe = bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes.remove(0);
    bench.store.drop_probe(&probe).await.unwrap();
    assert_eq!(bench.store.probed_integration(id).await.unwrap(), None);
}

#[tokio::test]
async fn a_probe_is_left_to_the_daemon_of_its_lane_for_a_while() {
    let bench = Bench::new().await;
    let mut command = bench.command().await;
    let id = command.request_probe(bench.lane(), ProbeKind::Test, None).await.unwrap();
    command.commit().await.unwrap();
    let take = async |is_own| {
        let taken = bench.store.take_probes(bench.daemon, |_| is_own).await.unwrap();
        (taken.probes.iter().map(|probe| probe.attempt).collect::<Vec<_>>(), taken.is_some_left)
    };
    assert_eq!(take(false).await, (Vec::new(), true), "the others are told");
    assert_eq!(take(true).await, (vec![id], false));
    assert_eq!(take(true).await, (Vec::new(), false), "it is being carried out");
    bench.sql("UPDATE probe SET daemon_id = NULL, requested_at = now() - interval '1 minute'").await;
    assert_eq!(take(false).await, (vec![id], false), "nobody whose it was took it");
}

#[tokio::test]
async fn a_probe_that_cannot_be_read_does_not_stop_the_others() {
    let bench = Bench::new().await;
    let mut command = bench.command().await;
    let candidate = json!({"token": "new"});
    command.request_probe(bench.lane(), ProbeKind::Credentials, Some(&candidate)).await.unwrap();
    let good = command.request_probe(bench.lane(), ProbeKind::Test, None).await.unwrap();
    command.commit().await.unwrap();
    bench.sql("UPDATE probe SET sealed_candidate = 'x' WHERE sealed_candidate IS NOT NULL").await;
    let taken = bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes;
    assert_eq!(taken.iter().map(|probe| probe.attempt).collect::<Vec<_>>(), [good]);
}
