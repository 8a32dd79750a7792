//! The engine where it is easiest to lose or double something: late beats, commands beside a finish, stops in mid-push.

use std::time::Duration;

use leadline_fakes::{Behaviour, Reply, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Cli, Daemon, Scene, check_invariants, http, post_lead, request_id, wait_until};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgTransaction};

/// More leads than two batches.
const MANY: usize = 1_100;

async fn post_many(scene: &Scene) {
    let mut posts = tokio::task::JoinSet::new();
    for client in 0..10 {
        let (url, key) = (scene.daemon.url("/v1/leads"), scene.key.clone());
        posts.spawn(async move {
            let http = http();
            for n in (client..MANY).step_by(10) {
                let post = http.post(&url).bearer_auth(&key).header("content-type", "application/json");
                let answer = post.body(sample_lead(n).to_string()).send().await.unwrap();
                assert_eq!(answer.status().as_u16(), 202);
            }
        });
    }
    posts.join_all().await;
}

async fn all_delivered(scene: &Scene) {
    scene.wait_until("SELECT NOT EXISTS (SELECT FROM delivery WHERE state <> 'delivered')").await;
    scene.wait_until("SELECT NOT EXISTS (SELECT FROM claim) AND NOT EXISTS (SELECT FROM due)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_comes_back_in_batches_and_intake_decides_anew_once() {
    let scene = Scene::with(Behaviour::Good).await;
    let integration = scene.integration.clone();
    let disable = v1::DisableIntegrationRequest { request_id: request_id(), integration };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    let held = MANY;
    post_many(&scene).await;
    let version = "SELECT config_version FROM company WHERE id = 7";
    let before: i64 = sqlx::query_scalar(version).fetch_one(&scene.pool).await.unwrap();
    let enable = v1::EnableIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        held: v1::HeldChoice::Release.into(),
    };
    let answer = scene.operator.integrations().enable_integration(enable).await.unwrap().into_inner();
    assert_eq!(answer.held, held as u64);
    let after: i64 = sqlx::query_scalar(version).fetch_one(&scene.pool).await.unwrap();
    assert_eq!(after - before, 1);
    all_delivered(&scene).await;
    scene.end().await;
}

/// The last delivery of a state, held by somebody until this ends.
async fn hold_last(scene: &Scene, of: &str) -> PgTransaction<'static> {
    let mut held = scene.pool.begin().await.unwrap();
    let last = format!("SELECT FROM delivery WHERE state = '{of}' ORDER BY id DESC LIMIT 1 FOR UPDATE");
    sqlx::raw_sql(AssertSqlSafe(last)).execute(&mut *held).await.unwrap();
    held
}

async fn somebody_waits_for_it(scene: &Scene) {
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock' AND query LIKE '%ORDER BY id FOR UPDATE%')";
    scene.wait_until(waits).await;
}

/// Ctrl-C, an error, a row that somebody holds: what was done by then stands in the audit, and a skip is undone as one.
async fn acts_that_are_cut_off_are_known_and_undone(scene: &Scene, cli: &Cli) {
    let held = hold_last(scene, "held").await;
    let integration = scene.integration.clone();
    let filter = Some(v1::DeliveryFilter { integration, ..Default::default() });
    let skip = v1::SkipDeliveriesRequest { request_id: request_id(), filter, ..Default::default() };
    let mut deliveries = scene.operator.deliveries();
    tokio::select! {
        answer = deliveries.skip_deliveries(skip) => panic!("nothing kept it: {answer:?}"),
        () = somebody_waits_for_it(scene) => {}
    }
    held.rollback().await.unwrap();
    assert!(scene.holds("SELECT count(*) = 1000 FROM delivery WHERE state = 'skipped'").await, "two batches");
    let job = cli.json(&["job", "list"]).await[0].clone();
    assert_eq!((&job["total"], &job["state"]), (&json!(1000), &json!("done")), "as far as it came");
    let audited = cli.json(&["audit", "list"]).await[0].clone();
    assert_eq!(
        (&audited["target"], &audited["after"]["job"], &audited["after"]["filter"]["integration"]),
        (&json!(format!("{MANY} deliveries")), &job["id"], &json!(scene.integration))
    );
    let job = job["id"].as_str().unwrap();
    let held = hold_last(scene, "skipped").await;
    let unskip = v1::UnskipDeliveriesRequest {
        request_id: request_id(),
        job_id: job.to_owned(),
        ..Default::default()
    };
    tokio::select! {
        answer = deliveries.unskip_deliveries(unskip) => panic!("nothing kept it: {answer:?}"),
        () = somebody_waits_for_it(scene) => {}
    }
    held.rollback().await.unwrap();
    let told = "SELECT EXISTS (SELECT FROM audit WHERE action = 'UnskipDeliveries'
                    AND after ->> 'count' = '500' AND after ->> 'cut_off' = 'true')";
    scene.wait_until(told).await;
    let undone = cli.json(&["delivery", "unskip", "--job", job]).await;
    assert_eq!(undone, json!({"count": 500, "left_alone": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_moves_any_number_of_deliveries() {
    let scene = Scene::with(Behaviour::Good).await;
    let integration = scene.integration.clone();
    let disable = v1::DisableIntegrationRequest { request_id: request_id(), integration };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    post_many(&scene).await;
    let cli = Cli::new(scene.daemon.socket());
    acts_that_are_cut_off_are_known_and_undone(&scene, &cli).await;
    for (verb, state) in [("release", "pending"), ("hold", "held"), ("skip", "skipped")] {
        let command = ["delivery", verb, "--integration", "crm"];
        let dry = cli.json(&[&command[..], &["--dry-run"]].concat()).await;
        let sure: &[&str] = if verb == "skip" { &["--yes"] } else { &[] };
        let done = cli.json(&[&command[..], sure].concat()).await;
        assert_eq!((&dry["count"], &done["count"]), (&json!(MANY), &json!(MANY)), "{verb}");
        let moved: i64 = sqlx::query_scalar("SELECT count(*) FROM delivery WHERE state = $1")
            .bind(state)
            .fetch_one(&scene.pool)
            .await
            .unwrap();
        assert_eq!(moved, MANY as i64, "{verb}");
        check_invariants(&scene.pool).await;
    }
    let audited = "SELECT count(*) = 4 FROM audit WHERE target = '1100 deliveries'";
    assert!(scene.holds(audited).await, "one line for each command, and for the one that was cut off");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_claimed_while_the_beat_is_late_is_pushed_later() {
    let scene = Scene::with(Behaviour::Good).await;
    // The beat waits past the daemon's trust in its lease, but not past the lease; the claim begins before that.
    let mut beat = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE daemon IN SHARE MODE").execute(&mut *beat).await.unwrap();
    let mut claim = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE claim IN SHARE MODE").execute(&mut *claim).await.unwrap();
    scene
        .wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND query LIKE '%lease_until%')",
        )
        .await;
    scene.post(1).await;
    scene
        .wait_until(
            "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND (query LIKE '%picked AS%'
                     OR query LIKE '%lease_until%' AND query_start < clock_timestamp() - interval '7.6 s')",
        )
        .await;
    claim.commit().await.unwrap();
    scene.wait_until("SELECT EXISTS (SELECT FROM due) AND NOT EXISTS (SELECT FROM claim)").await;
    check_invariants(&scene.pool).await;
    assert_eq!(scene.receiver.count(), 0, "another daemon may have had it");
    beat.commit().await.unwrap();
    scene.receiver.wait_for(1).await;
    all_delivered(&scene).await;
    assert_eq!(scene.receiver.count(), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_the_database_past_the_lease_is_pushed_later() {
    let scene = Scene::with(Behaviour::Good).await;
    scene.post(1).await;
    all_delivered(&scene).await;
    // Claimed in time, and then the integration, which has changed, cannot be loaded.
    sqlx::query("UPDATE integration SET version = version + 1").execute(&scene.pool).await.unwrap();
    let mut load = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE signing_secret IN ACCESS EXCLUSIVE MODE").execute(&mut *load).await.unwrap();
    scene.post(2).await;
    scene
        .wait_until(
            "SELECT EXISTS (SELECT FROM claim) AND EXISTS (SELECT FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%signing_secret%')",
        )
        .await;
    let mut beat = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE daemon IN SHARE MODE").execute(&mut *beat).await.unwrap();
    scene
        .wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND query LIKE '%lease_until%'
                 AND query_start < clock_timestamp() - interval '7.6 s')",
        )
        .await;
    load.commit().await.unwrap();
    scene.wait_until("SELECT EXISTS (SELECT FROM due) AND NOT EXISTS (SELECT FROM claim)").await;
    assert_eq!(scene.receiver.count(), 1, "another daemon may have had it");
    beat.commit().await.unwrap();
    scene.receiver.wait_for(2).await;
    all_delivered(&scene).await;
    assert_eq!(scene.receiver.count(), 2);
    scene.end().await;
}

#[tokio::test]
async fn an_update_that_came_while_disabled_is_pushed_once_when_released() {
    let scene =
        Scene::with(Behaviour::Script(vec![Reply::status(200).after(Duration::from_millis(500))])).await;
    let mut lead = sample_lead(1);
    lead["uuid"] = json!("01j8h6kqh4yg3xr8rwm6t6xfqe");
    scene.post_lead(&lead).await;
    scene.receiver.wait_for(1).await;
    let request =
        v1::DisableIntegrationRequest { request_id: request_id(), integration: scene.integration.clone() };
    scene.operator.integrations().disable_integration(request).await.unwrap();
    lead["name"] = json!("Somebody Else");
    scene.post_lead(&lead).await;
    scene.wait_until("SELECT EXISTS (SELECT FROM delivery WHERE state = 'delivered')").await;
    check_invariants(&scene.pool).await;
    let request = v1::EnableIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        held: v1::HeldChoice::Release.into(),
    };
    scene.operator.integrations().enable_integration(request).await.unwrap();
    all_delivered(&scene).await;
    assert_eq!(scene.receiver.count(), 2);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_beside_a_finish_waits_without_a_deadlock() {
    let scene = Scene::with(Behaviour::RefuseAll(400, String::new())).await;
    scene.post(1).await;
    scene.wait_until("SELECT EXISTS (SELECT FROM delivery WHERE state = 'dead')").await;
    scene.receiver.set(Behaviour::Good);
    // As a finish: first the delivery, then the counts.
    let mut finish = scene.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM delivery FOR UPDATE").execute(&mut *finish).await.unwrap();
    let filter = v1::DeliveryFilter { integration: scene.integration.clone(), ..Default::default() };
    let request =
        v1::RetryDeliveriesRequest { request_id: request_id(), filter: Some(filter), ..Default::default() };
    let mut deliveries = scene.operator.deliveries();
    let retry = deliveries.retry_deliveries(request);
    let rest = async {
        scene
            .wait_until(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock')",
            )
            .await;
        sqlx::query("UPDATE integration_stat SET updated_at = now()").execute(&mut *finish).await.unwrap();
        finish.commit().await.unwrap();
    };
    let (retried, ()) = tokio::join!(retry, rest);
    assert_eq!(retried.unwrap().into_inner().count, 1);
    all_delivered(&scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_deleted_integration_goes_although_a_test_of_it_was_asked_for() {
    let scene = Scene::with(Behaviour::Good).await;
    sqlx::raw_sql(
        "UPDATE integration SET enabled = false, deleted_at = now();
         INSERT INTO probe (company_id, id, integration_id, operator)
         SELECT company_id, gen_random_uuid(), id, 'test' FROM integration",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
    scene.wait_until("SELECT NOT EXISTS (SELECT FROM probe)").await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_come_in_while_a_deletion_counts_what_goes() {
    let scene = Scene::with(Behaviour::Good).await;
    // However many attempts there are to count.
    let mut lock = scene.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE attempt IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let request = v1::DeleteIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        dry_run: false,
    };
    let mut integrations = scene.operator.integrations();
    let delete = integrations.delete_integration(request.clone());
    let rest = async {
        scene
            .wait_until(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock' AND query LIKE '%count(*) FROM attempt%')",
            )
            .await;
        scene.post(1).await;
        lock.commit().await.unwrap();
    };
    let (deleted, ()) = tokio::join!(delete, rest);
    let repeated = scene.operator.integrations().delete_integration(request).await.unwrap().into_inner();
    assert_eq!(deleted.unwrap().into_inner(), repeated, "a repeat gets the first answer");
    scene.wait_until("SELECT NOT EXISTS (SELECT FROM integration)").await;
    scene.end().await;
}

#[tokio::test]
async fn a_deletion_under_way_does_not_keep_the_daemon_from_stopping() {
    let Scene { daemon, operator, receiver, pool, key, integration, .. } = Scene::with(Behaviour::Good).await;
    let (status, _) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    assert_eq!(status, 202);
    let holds = async |condition: &'static str| -> bool {
        sqlx::query_scalar(condition).fetch_one(&pool).await.unwrap()
    };
    let delivered = "SELECT EXISTS (SELECT FROM delivery WHERE state = 'delivered')
                     AND NOT EXISTS (SELECT FROM claim)";
    wait_until(delivered, async || holds(delivered).await).await;
    // However long the deletion takes.
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM delivery FOR UPDATE").execute(&mut *lock).await.unwrap();
    let request = v1::DeleteIntegrationRequest { request_id: request_id(), integration, dry_run: false };
    operator.integrations().delete_integration(request).await.unwrap();
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock' AND query LIKE '%DELETE FROM delivery%')";
    wait_until(waits, async || holds(waits).await).await;
    let database = daemon.database().clone();
    daemon.stop().await;
    // The next one goes on with it as soon as it starts.
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let daemon = Daemon::start_on(&database).await;
    wait_until(waits, async || holds(waits).await).await;
    daemon.stop().await;
    lock.commit().await.unwrap();
    let daemon = Daemon::start_on(&database).await;
    let gone = "SELECT NOT EXISTS (SELECT FROM integration) AND NOT EXISTS (SELECT FROM delivery)";
    wait_until(gone, async || holds(gone).await).await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn only_a_suspect_whose_claim_was_its_own_is_taken_for_poison_and_none_stops_others() {
    let scene = Scene::with(Behaviour::Good).await;
    let request =
        v1::DisableIntegrationRequest { request_id: request_id(), integration: scene.integration.clone() };
    scene.operator.integrations().disable_integration(request).await.unwrap();
    // One that stood alone may have waited for its turn all the same: its claim says whether it was pushed.
    for (leads, is_isolated, died) in [(1..=3, false, 0), (4..=4, false, 0), (5..=5, true, 1)] {
        for n in leads {
            scene.post(n).await;
        }
        // A daemon that is gone had claimed them, each after two crashes.
        let mut dead = scene.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!(
            "UPDATE delivery SET state = 'pending', reason_code = NULL, crashes = 2 WHERE state = 'held';
             WITH gone AS (DELETE FROM undelivered WHERE state = 'held' RETURNING *)
             INSERT INTO claim (daemon_id, items, attempts, is_isolated)
             SELECT 0, array_agg(ROW(company_id, integration_id, 0, now(), delivery_id, 'first', NULL)::claimed_item),
                array_agg(gen_random_uuid()), {is_isolated}
             FROM gone"
        )))
        .execute(&mut *dead)
        .await
        .unwrap();
        dead.commit().await.unwrap();
        scene.wait_until("SELECT NOT EXISTS (SELECT FROM claim)").await;
        check_invariants(&scene.pool).await;
        let poisoned: i64 = sqlx::query_scalar("SELECT count(*) FROM delivery WHERE state = 'dead'")
            .fetch_one(&scene.pool)
            .await
            .unwrap();
        assert_eq!(poisoned, died);
    }
    let request = v1::EnableIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        held: v1::HeldChoice::Keep.into(),
    };
    scene.operator.integrations().enable_integration(request).await.unwrap();
    // One goes; the others let their lane go on, and take their turns a minute apart.
    scene.wait_until("SELECT count(*) = 1 FROM delivery WHERE state = 'delivered' AND attempts = 1").await;
    scene.wait_until("SELECT count(*) = 3 FROM due WHERE due_at > now() + interval '20 seconds'").await;
    scene.post(6).await;
    scene.wait_until("SELECT count(*) = 2 FROM delivery WHERE state = 'delivered'").await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_the_database_refuses_strands_no_lead_and_repeats_no_push() {
    for (behaviour, stands) in [
        (Behaviour::Good, "SELECT count(*) = 1 FROM delivery WHERE state = 'delivered'"),
        (
            Behaviour::RefuseAll(500, "later".into()),
            "SELECT count(*) = 1 FROM delivery d JOIN undelivered u ON u.delivery_id = d.id AND u.state = d.state
             WHERE d.state = 'dead' AND d.reason_code = 'unwritten'",
        ),
    ] {
        let scene = Scene::with(behaviour).await;
        let refuse = "ALTER TABLE attempt ADD CONSTRAINT refused CHECK (false) NOT VALID";
        sqlx::raw_sql(refuse).execute(&scene.pool).await.unwrap();
        scene.post(1).await;
        scene.wait_until(stands).await;
        scene.wait_until("SELECT NOT EXISTS (SELECT FROM claim) AND NOT EXISTS (SELECT FROM due)").await;
        scene.daemon.stop().await;
        assert_eq!(scene.receiver.count(), 1, "nothing is pushed again by itself");
    }
}
