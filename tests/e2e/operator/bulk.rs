//! Acts on many deliveries: whose they are must be said, what was asked for is kept, and a skip can be undone for a day.

use leadline_proto::v1::{self, delivery_service_client::DeliveryServiceClient};
use leadline_tests::{post_lead, request_id};
use tonic::Code;

use super::*;

/// What clients of all kinds may send: no filter, an empty one, and one that says no more than states.
async fn the_daemon_takes_no_act_without_a_scope(scene: &Scene) {
    let mut client = DeliveryServiceClient::new(scene.daemon.control().await);
    let states = vec![v1::DeliveryState::Dead.into()];
    let by_state = v1::DeliveryFilter { states, ..Default::default() };
    let filters = [
        (None, "INVALID_REQUEST"),
        (Some(v1::DeliveryFilter::default()), "NO_SCOPE"),
        (Some(by_state), "NO_SCOPE"),
    ];
    for ((filter, reason), dry_run) in filters.into_iter().flat_map(|it| [(it.clone(), true), (it, false)]) {
        macro_rules! refused {
            ($method:ident $request:ident) => {{
                let filter = filter.clone();
                let request =
                    v1::$request { request_id: request_id(), filter, dry_run, ..Default::default() };
                let what = format!("{request:?}");
                (what, client.$method(request).await.map(drop).unwrap_err())
            }};
        }
        for (what, status) in [
            refused!(hold_deliveries HoldDeliveriesRequest),
            refused!(release_deliveries ReleaseDeliveriesRequest),
            refused!(retry_deliveries RetryDeliveriesRequest),
            refused!(skip_deliveries SkipDeliveriesRequest),
        ] {
            assert_eq!(status.code(), Code::InvalidArgument, "{what}");
            let details = tonic_types::StatusExt::get_error_details(&status);
            assert_eq!(details.error_info().unwrap().reason, reason, "{what}");
        }
    }
}

#[tokio::test]
async fn no_bulk_act_means_every_company_by_mistake() {
    let scene = Scene::start(Behaviour::RefuseAll(422, "no such field".into()), json!({})).await;
    let delivery = scene.post(&sample_lead(1)).await;
    scene.wait_for(&delivery, "dead").await;
    let before = scene.contents().await;
    for verb in ["retry", "hold", "release", "skip"] {
        let ran = scene.cli.run(&["delivery", verb, "--integration", "", "--state", "dead"]).await;
        assert!(ran.error(2).starts_with("--integration has an empty value"), "{ran:?}");
        let ran = scene.cli.run(&["delivery", verb, "--state", "dead"]).await;
        assert!(ran.error(2).ends_with("--all means every one"), "{ran:?}");
    }
    let ran = scene.cli.run(&["delivery", "skip", "--integration", "hook"]).await;
    assert!(
        ran.error(2).ends_with("This skips 1 deliveries: they are not pushed any more. Add --yes to do so")
    );
    the_daemon_takes_no_act_without_a_scope(&scene).await;
    assert_eq!(scene.contents().await, before, "a refusal changed something");

    let found = scene.cli.json(&["delivery", "hold", "--all", "--dry-run"]).await;
    assert_eq!(found["count"], 0);
    scene.cli.json(&["delivery", "skip", "--all", "--state", "dead", "--yes"]).await;
    let audit = scene.cli.json(&["audit", "list", "--since", "1h"]).await;
    assert_eq!(audit[0]["after"]["filter"], json!({"all": true, "states": ["dead"]}), "{audit}");
    scene.end().await;
}

#[tokio::test]
async fn an_integration_is_named_within_its_company() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    scene.operator.company(8).await;
    let other = scene.operator.webhook(8, "hook", &scene.receiver.url("/"), json!({})).await;
    let other = other.integration.unwrap().id;
    let shown = async |name: &str| scene.cli.json(&["integration", "show", name]).await["id"].clone();
    assert_eq!(shown("7/hook").await, json!(scene.integration));
    assert_eq!(shown("8/hook").await, json!(other));
    let ran = scene.cli.run(&["integration", "show", "The Old Barn/hook"]).await;
    assert!(ran.error(1).starts_with("several companies are named \"The Old Barn\""), "{ran:?}");
    scene.cli.json(&["company", "update", "8", "--name", "The Mill / East"]).await;
    assert_eq!(shown("The Mill / East/hook").await, json!(other));
    let ran = scene.cli.run(&["integration", "show", "hook"]).await;
    assert!(
        ran.error(1).starts_with("several integrations are named \"hook\": use one of the ids"),
        "{ran:?}"
    );
    let ran = scene.cli.run(&["integration", "show", "9/hook"]).await;
    assert_eq!(ran.error(1), "no integration \"9/hook\": `leadline integration list` shows those there are");
    let ran = scene.cli.run(&["integration", "show", "9/hook", "-o", "json"]).await;
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["reason"], "UNKNOWN");
    scene.end().await;
}

/// What tells how a delivery came where it stands; its cause is named a little later, both times.
const TELLS_OF_THE_WAY: [&str; 3] = ["due_at", "job_id", "cause"];

#[tokio::test]
async fn a_skip_is_undone_to_where_each_stood() {
    let scene = Scene::start(Behaviour::RefuseAll(422, "no such field".into()), json!({})).await;
    let cli = &scene.cli;
    let dead = scene.post(&sample_lead(1)).await;
    scene.wait_for(&dead, "dead").await;
    cli.json(&["company", "pause", "7"]).await;
    let (held, pending) = (scene.post(&sample_lead(2)).await, scene.post(&sample_lead(3)).await);
    cli.json(&["delivery", "hold", &held]).await;
    let all = [&dead, &held, &pending];
    let mut stood = Vec::new();
    for id in all {
        let mut shown = scene.show(id).await;
        for key in TELLS_OF_THE_WAY {
            shown[key].take();
        }
        stood.push(shown);
    }
    // A count is kept for a minute, and what an operator does is seen at once.
    let listed = async || cli.json(&["integration", "list"]).await[0]["skipped"].clone();
    assert_eq!(listed().await, 0);
    let skipped = cli.json(&["delivery", "skip", "--integration", "hook", "--yes"]).await;
    assert_eq!(skipped["count"], 3);
    assert_eq!(listed().await, 3);
    let job = skipped["job_id"].as_str().unwrap();
    let listed = cli.json(&["job", "show", job]).await;
    assert_eq!(
        (&listed["kind"], &listed["state"], &listed["total"]),
        (&json!("skip"), &json!("done"), &json!(3))
    );
    scene.check().await;
    assert_eq!(scene.operator.integration(&scene.integration).await.health.unwrap().dead, 0);

    let undone = cli.json(&["delivery", "unskip", "--job", job]).await;
    assert_eq!(undone, json!({"count": 3, "left_alone": 0}));
    for (id, before) in all.into_iter().zip(&stood) {
        let mut shown = scene.show(id).await;
        for key in TELLS_OF_THE_WAY {
            shown[key].take();
        }
        assert_eq!(&shown, before, "{id}");
    }
    assert_eq!(scene.operator.integration(&scene.integration).await.health.unwrap().dead, 1);
    scene.check().await;
    let ran = cli.run(&["delivery", "unskip", "--job", job]).await;
    assert_eq!(
        ran.error(1),
        format!("job {job} skipped nothing that can still be undone: a skip can for 24 hours")
    );
    let ran = cli.run(&["delivery", "unskip", &dead]).await;
    let state = "dead";
    assert_eq!(ran.error(1), format!("delivery {dead} is {state} and not skipped: there is nothing to undo"));

    // Named ones too; and what was pending is pushed once it may be.
    cli.json(&["delivery", "skip", &pending]).await;
    cli.json(&["delivery", "unskip", &pending]).await;
    scene.receiver.set(Behaviour::Good);
    cli.json(&["company", "resume", "7"]).await;
    scene.wait_for(&pending, "delivered").await;
    scene.check().await;
    scene.end().await;
}

#[tokio::test]
async fn what_is_older_than_what_went_stays_skipped() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let cli = &scene.cli;
    let (_, created, updated) = scene.waiting_pair().await;
    let old = scene.post(&sample_lead(2)).await;
    cli.json(&["delivery", "skip", &created]).await;
    cli.json(&["delivery", "skip", &old]).await;
    cli.json(&["company", "resume", "7"]).await;
    scene.wait_for(&updated, "delivered").await;
    let ran = cli.run(&["delivery", "unskip", &created]).await;
    assert_eq!(
        ran.error(1),
        format!(
            "the skip of {} cannot be undone: no operator skipped it in the last 24 hours, or something newer of its \
             lead went there since",
            format_args!("delivery {created}")
        )
    );
    let pool = scene.daemon.database().pool().await;
    sqlx::query("UPDATE delivery SET finished_at = now() - interval '25 hours' WHERE state = 'skipped'")
        .execute(&pool)
        .await
        .unwrap();
    let ran = cli.run(&["delivery", "unskip", &old]).await;
    assert!(ran.error(1).contains("cannot be undone"), "{ran:?}");
    let ran = cli.run(&["delivery", "unskip", &old, &created]).await;
    let left = 2;
    assert!(ran.error(1).contains(&format!("{left} of these {} deliveries", 2)), "{ran:?}");
    let mut holds = DeliveryServiceClient::new(scene.daemon.control().await);
    for (ids, job_id, reported) in [
        (vec![], String::new(), "name deliveries, or the job of a bulk skip"),
        (vec![old.clone()], old.clone(), "send either ids or a job, not both"),
    ] {
        let request = v1::UnskipDeliveriesRequest { request_id: request_id(), ids, job_id };
        assert_eq!(holds.unskip_deliveries(request).await.unwrap_err().message(), reported);
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_named_at_two_companies_is_done_as_a_whole_or_not_at_all() {
    let scene = Scene::start(Behaviour::RefuseAll(422, "no such field".into()), json!({})).await;
    let cli = &scene.cli;
    let (key, url) = (scene.operator.company(8).await, scene.daemon.url("/v1/leads"));
    scene.operator.webhook(8, "crm", &scene.receiver.url("/eight"), json!({})).await;
    let ours = scene.post(&sample_lead(1)).await;
    let mut lead = sample_lead(2);
    let (status, posted) = post_lead(&url, &key, lead.to_string()).await;
    assert_eq!(status, 202, "{posted}");
    let older = posted["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned();
    for dead in [&ours, &older] {
        scene.wait_for(dead, "dead").await;
    }
    for company in ["7", "8"] {
        cli.json(&["company", "pause", company]).await;
    }
    lead["lead"]["guest_count"] = json!(99);
    assert_eq!(post_lead(&url, &key, lead.to_string()).await.0, 202);

    let ran = cli.run(&["delivery", "retry", &ours, &older]).await;
    assert!(
        ran.error(1).starts_with(&format!("delivery {older} is older than an update of its lead")),
        "{ran:?}"
    );
    assert_eq!(scene.show(&ours).await["state"], "dead");
    cli.json(&["delivery", "skip", &ours, &older, "--yes"]).await;
    let ran = cli.run(&["delivery", "unskip", &ours, &older]).await;
    assert!(ran.error(1).starts_with(&format!("the skip of delivery {older} cannot be undone")), "{ran:?}");
    assert_eq!(scene.show(&ours).await["state"], "skipped");
    let actions = cli.json(&["audit", "list", "--company", "7"]).await;
    assert!(actions[0]["action"] == "SkipDeliveries", "{actions}");
    scene.check().await;
    scene.end().await;
}
