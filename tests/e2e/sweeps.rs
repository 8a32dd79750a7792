//! What comes back later: the sweep, the breaker, jobs and what is rendered anew.

use std::time::Duration;

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1::{self, job_service_client::JobServiceClient};
use leadline_tests::{Daemon, Database, Scene, request_id, wait_until};
use serde_json::{Value, json};

mod filters;
mod pushes;

const INTERVAL: Duration = Duration::from_millis(400);

fn refusing() -> Behaviour {
    Behaviour::RefuseAll(500, "out of order".into())
}

async fn daemon(database: &Database, interval: Duration) -> Daemon {
    Daemon::start_with(database, |config| config.sweep.interval = interval).await
}

async fn scene_of(behaviour: Behaviour, more: Value, interval: Duration) -> Scene {
    Scene::on(daemon(&Database::create().await, interval).await, behaviour, more).await
}

/// A retry of all that is dead at the integration.
fn all_dead(scene: &Scene) -> v1::RetryDeliveriesRequest {
    let filter = v1::DeliveryFilter { integration: scene.integration.clone(), ..Default::default() };
    v1::RetryDeliveriesRequest { filter: Some(filter), ..Default::default() }
}

#[tokio::test]
async fn the_sweep_sends_one_canary_and_the_rest_only_when_it_arrives() {
    let scene = scene_of(refusing(), json!({ "retries": 0 }), INTERVAL).await;
    for n in 1..=4 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 4]).await;
    let swept = async || -> Vec<v1::Attempt> {
        let mut attempts = scene.operator.finished(&scene.integration).await;
        attempts.retain(|attempt| attempt.trigger().word() == "sweep");
        attempts
    };
    wait_until("the sweep came three times", async || swept().await.len() >= 3).await;
    let oldest = scene.deliveries().await.remove(0).id;
    let before = swept().await;
    assert!(before.iter().all(|attempt| attempt.delivery_id == oldest), "only the canary goes: {before:#?}");
    assert!(before.iter().all(|attempt| attempt.state().word() == "failed"), "one try for each visit");
    scene.receiver.set(Behaviour::Good);
    scene.wait_for_states(&["delivered"; 4]).await;
    let arrived: Vec<_> = swept()
        .await
        .into_iter()
        .filter(|it| it.state().word() == "delivered")
        .map(|it| it.delivery_id)
        .collect();
    assert_eq!((arrived.len(), &arrived[0]), (4, &oldest));
    wait_until("nothing is left to sweep", async || scene.health().await.sweep_at.is_none()).await;
    assert_eq!(scene.health().await.dead, 0);
    scene.end().await;
}

#[tokio::test]
async fn of_two_daemons_one_sweeps_a_lane() {
    let database = Database::create().await;
    let other = daemon(&database, INTERVAL).await;
    let scene = Scene::on(daemon(&database, INTERVAL).await, refusing(), json!({ "retries": 0 })).await;
    for n in 1..=3 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 3]).await;
    let pool = database.pool().await;
    wait_until("the sweep came four times", async || {
        let swept: i64 = sqlx::query_scalar("SELECT count(*) FROM attempt WHERE trigger = 'sweep'")
            .fetch_one(&pool)
            .await
            .unwrap();
        swept >= 4
    })
    .await;
    let gaps: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY started_at))::float8
         FROM attempt WHERE trigger = 'sweep' ORDER BY started_at OFFSET 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    // Two that visit at once do so within milliseconds; how late one visit begins is the machine's.
    assert!(gaps.iter().all(|gap| *gap >= 0.05), "two visits at once: {gaps:?}");
    scene.receiver.set(Behaviour::Good);
    scene.wait_for_states(&["delivered"; 3]).await;
    scene.end().await;
    other.stop().await;
}

#[tokio::test]
async fn what_is_not_swept_says_so() {
    let database = Database::create().await;
    let daemon = Daemon::start_with(&database, |config| config.sweep.age = Duration::from_secs(600)).await;
    let scene = Scene::on(daemon, refusing(), json!({ "retries": 0 })).await;
    scene.post(1).await;
    scene.wait_for_states(&["dead"]).await;
    let dead = scene.deliveries().await.remove(0);
    assert_eq!(
        (dead.due_at, scene.health().await.sweep_at),
        (None, None),
        "the next visit would be too late"
    );
    scene.end().await;

    let scene = scene_of(refusing(), json!({ "retries": 0 }), Duration::from_secs(900)).await;
    scene.post(1).await;
    scene.wait_for_states(&["dead"]).await;
    let visit = scene.health().await.sweep_at.unwrap();
    assert_eq!(scene.deliveries().await[0].due_at, Some(visit), "the visit is told");
    scene.receiver.set(Behaviour::RefuseAll(422, "no such date".into()));
    let retried = scene.deliveries().await.remove(0).id;
    scene.retry(v1::RetryDeliveriesRequest { ids: vec![retried], ..Default::default() }).await;
    wait_until("it is dead for good", async || {
        let delivery = scene.deliveries().await.remove(0);
        delivery.reason == "rejected" && delivery.due_at.is_none()
    })
    .await;
    scene.end().await;
}

#[tokio::test]
async fn the_breaker_holds_retries_back_until_the_target_answers() {
    let scene = scene_of(refusing(), json!({ "retries": 3 }), Duration::from_secs(900)).await;
    for n in 1..=25 {
        scene.post(n).await;
    }
    wait_until("the breaker is open", async || {
        scene.health().await.breaker.unwrap().state().word() == "open"
    })
    .await;
    let breaker = scene.health().await.breaker.unwrap();
    assert!(breaker.until.is_some());
    assert!(
        breaker.why.contains("in a row failed") && breaker.why.contains("out of order"),
        "{}",
        breaker.why
    );
    scene.post(26).await;
    wait_until("a new lead has its first attempt all the same", async || {
        let attempts = scene.operator.finished(&scene.integration).await;
        attempts.iter().filter(|attempt| attempt.trigger().word() == "first").count() == 26
    })
    .await;
    wait_until("retries wait for it", async || {
        scene.health().await.lane.unwrap().waits_for().word() == "breaker"
    })
    .await;
    scene.receiver.set(Behaviour::Good);
    scene.post(27).await;
    scene.wait_for_states(&["delivered"; 27]).await;
    let closed = scene.health().await.breaker.unwrap();
    assert_eq!((closed.state().word(), closed.why.as_str(), closed.until), ("closed", "", None));
    scene.end().await;
}

#[tokio::test]
async fn what_waits_for_the_breaker_is_pushed_now_if_an_operator_says_so() {
    let scene = scene_of(refusing(), json!({ "retries": 3 }), Duration::from_secs(900)).await;
    for n in 1..=25 {
        scene.post(n).await;
    }
    wait_until("retries wait for the breaker", async || {
        scene.health().await.lane.unwrap().waits_for().word() == "breaker"
    })
    .await;
    scene.receiver.set(Behaviour::Good);
    let mut waiting = all_dead(&scene);
    waiting.filter.as_mut().unwrap().waiting = true;
    let asked = scene.retry(waiting).await;
    assert!(asked.count > 0 && !asked.job_id.is_empty(), "{asked:?}");
    // No new lead opens the breaker, and its own time is far away.
    scene.wait_for_states(&["delivered"; 25]).await;
    scene.end().await;
}

#[tokio::test]
async fn a_job_brings_the_dead_back_oldest_first_and_tells_how_far_it_is() {
    let scene =
        scene_of(refusing(), json!({ "retries": 0, "concurrency": 1 }), Duration::from_secs(900)).await;
    for n in 1..=12 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 12]).await;
    scene.receiver.set(Behaviour::Good);
    let started = scene.retry(all_dead(&scene)).await;
    assert_eq!((started.count, started.sample.len()), (12, 10));
    let mut jobs = JobServiceClient::new(scene.daemon.control().await);
    let request = v1::WatchJobRequest { id: started.job_id.clone() };
    let mut changes = jobs.watch_job(request).await.unwrap().into_inner();
    let mut reported = Vec::new();
    while let Some(told) = changes.message().await.unwrap() {
        reported.push(told.job.unwrap());
    }
    let last = reported.pop().unwrap();
    assert_eq!((last.state().word(), last.total, last.released, last.delivered), ("done", 12, 12, 12));
    assert!(reported.iter().all(|job| job.state().word() == "running"));
    let pushed: Vec<_> = scene.receiver.requests()[12..]
        .iter()
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect();
    let ids: Vec<_> = scene.deliveries().await.into_iter().map(|delivery| delivery.id).collect();
    assert_eq!(pushed, ids, "oldest first");
    let list = jobs.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert_eq!((list.len(), &list[0].id), (1, &started.job_id));
    scene.end().await;
}

#[tokio::test]
async fn a_cancelled_job_leaves_the_others_as_they_are() {
    let limited = json!({ "retries": 0, "rate_per_second": 1000 });
    let scene = scene_of(refusing(), limited, Duration::from_secs(900)).await;
    for n in 1..=30 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 30]).await;
    // From now on one push every two seconds: a batch is a few of them.
    let request = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(
            json!({ "url": scene.receiver.url("/"), "retries": 0, "rate_per_second": 0.5 }).to_string(),
        ),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(request).await.unwrap();
    scene.receiver.set(Behaviour::Good);
    let started = scene.retry(all_dead(&scene)).await;
    let mut jobs = JobServiceClient::new(scene.daemon.control().await);
    wait_until("the first ones are back", async || {
        scene.deliveries().await.iter().any(|delivery| delivery.state().word() != "dead")
    })
    .await;
    let cancel = v1::CancelJobRequest { request_id: request_id(), id: started.job_id.clone() };
    let job = jobs.cancel_job(cancel).await.unwrap().into_inner().job.unwrap();
    assert_eq!((job.state().word(), job.total), ("cancelled", 30));
    assert!((1..30).contains(&job.released), "{job:?}");
    let dead =
        scene.deliveries().await.iter().filter(|delivery| delivery.state().word() == "dead").count() as u64;
    assert_eq!(dead, 30 - job.released, "what it had not brought back is dead still");
    scene.end().await;
}

#[tokio::test]
async fn rendered_anew_it_is_another_delivery_and_the_old_one_says_so() {
    let templated = |body: &str| json!({ "retries": 0, "body": body });
    let scene = scene_of(
        Behaviour::RefuseAll(422, "who?".into()),
        templated(r#"{"who": "{{ lead.email }}"}"#),
        Duration::from_secs(900),
    )
    .await;
    scene.post(1).await;
    scene.wait_for_states(&["dead"]).await;
    let old = scene.deliveries().await.remove(0);
    let mut config = templated(r#"{"name": "{{ lead.name }}"}"#);
    config["url"] = json!(scene.receiver.url("/"));
    let request = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(config.to_string()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(request).await.unwrap();
    let named =
        |ids: Vec<String>, re_render| v1::RetryDeliveriesRequest { ids, re_render, ..Default::default() };
    scene.retry(named(vec![old.id.clone()], false)).await;
    let requests = scene.receiver.wait_for(2).await;
    assert_eq!(requests[0].body, requests[1].body, "a retry repeats the same bytes");
    scene.wait_for_states(&["dead"]).await;

    scene.receiver.set(Behaviour::Good);
    let pushed = scene.retry(named(vec![old.id.clone()], true)).await.pushed;
    scene.wait_for_states(&["skipped", "delivered"]).await;
    let requests = scene.receiver.wait_for(3).await;
    assert!(requests[2].body.starts_with(b"{\"name\""), "{:?}", requests[2].body);
    assert_eq!(requests[2].header("webhook-id"), Some(pushed[0].as_str()));
    let deliveries = scene.deliveries().await;
    assert_eq!((&deliveries[0].id, &deliveries[1].id), (&old.id, &pushed[0]));
    assert_eq!(deliveries[0].reason, format!("replaced by {}", pushed[0]));
    assert_eq!(scene.health().await.dead, 0);
    scene.end().await;
}

#[tokio::test]
async fn once_a_newer_event_was_pushed_the_older_dead_one_is_superseded() {
    let scene = scene_of(
        Behaviour::RefuseAll(422, "no such date".into()),
        json!({ "retries": 0 }),
        Duration::from_secs(900),
    )
    .await;
    let mut lead = sample_lead(1);
    scene.post_lead(&lead).await;
    scene.wait_for_states(&["dead"]).await;
    scene.receiver.set(Behaviour::Good);
    let of = if lead.get("lead").is_some() { &mut lead["lead"] } else { &mut lead };
    of["guest_count"] = json!(77);
    scene.post_lead(&lead).await;
    scene.wait_for_states(&["skipped", "delivered"]).await;
    let old = scene.deliveries().await.remove(0);
    assert_eq!(old.reason, "superseded by a later push");
    assert_eq!(scene.health().await.dead, 0);
    scene.end().await;
}
