//! What a change of its target means for an integration, what a reset lifts, which logins are kept, and what goes with
//! it; and how the whole is counted.

use std::time::Duration;

use leadlined::{
    domain::{
        delivery::Transition, fanout::Fate, ids::IntegrationId, integration::ProbeKind, lane::LaneId,
        plan::Plan,
    },
    store::queue::retry::LanePace,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{
    bench::{Bench, dead, ended},
    crowd::crowd,
    invariants::check_invariants,
};

impl Bench {
    /// Writes another configuration of the first integration.
    async fn configure(&self, config: &Value) {
        let mut command = self.command().await;
        let mut locked = command.integration(&self.crm.to_string()).await.unwrap();
        (locked.config, locked.shown) = (config.clone(), config.clone());
        command.write_integration(&locked).await.unwrap();
        command.commit().await.unwrap();
    }

    /// The lane waits for its target, which was found to be somebody's.
    async fn in_trouble(&self) {
        self.sql(
            "UPDATE integration SET throttled_until = now() + interval '1 hour', account = 'Barn', ids_from = NULL;
             UPDATE integration_stat SET streak = 20, trips = 1, breaker_until = now() + interval '1 hour',
                 breaker_error = 'down'",
        )
        .await;
    }

    async fn lane_is(&self, condition: &str) -> bool {
        self.holds(&format!(
            "(SELECT {condition} FROM integration i JOIN integration_stat s ON s.integration_id = i.id WHERE i.id = '{}')",
            self.crm.uuid()
        ))
        .await
    }
}

#[tokio::test]
async fn another_target_owes_nothing_that_the_old_one_asked_for() {
    let before = json!({"base_url": "https://a.example", "path": "/x", "concurrency": 4});
    for (config, is_same, is_same_account) in [
        (before.clone(), true, true),
        // How fast it goes is no other target.
        (
            json!({"base_url": "https://a.example", "path": "/x", "concurrency": 9, "rate_per_second": 2}),
            true,
            true,
        ),
        (json!({"base_url": "https://a.example", "path": "/y", "concurrency": 4}), false, true),
        (json!({"base_url": "https://b.example", "path": "/x", "concurrency": 4}), false, false),
        (
            json!({"base_url": "https://a.example", "path": "https://c.example/x", "concurrency": 4}),
            false,
            false,
        ),
        (
            json!({"base_url": "https://a.example", "login_url": "https://d.example", "path": "/x"}),
            false,
            false,
        ),
    ] {
        let bench = Bench::new().await;
        bench.configure(&before).await;
        bench.in_trouble().await;
        bench.configure(&config).await;
        let is_waiting = "i.throttled_until IS NOT NULL AND s.streak = 20 AND s.breaker_until IS NOT NULL";
        assert_eq!(bench.lane_is(is_waiting).await, is_same, "{config}");
        let is_free =
            "i.throttled_until IS NULL AND s.streak = 0 AND s.trips = 0 AND s.breaker_error IS NULL";
        assert_eq!(bench.lane_is(is_free).await, !is_same, "{config}");
        let is_known = "i.account = 'Barn' AND i.ids_from IS NULL";
        assert_eq!(bench.lane_is(is_known).await, is_same_account, "{config}");
    }
}

#[tokio::test]
async fn whoever_lifts_a_pause_lifts_the_waits_that_it_asked_for_and_no_other() {
    let mut bench = Bench::new().await;
    let mut ids = Vec::new();
    for (waits, seconds) in [(1, 3600), (0, 3600)] {
        ids.push(bench.pending().await.deliveries[0]);
        let how =
            Transition::Retry { after: Duration::from_secs(seconds), retries: 1, waits, throttle: false };
        bench.push(&how).await;
    }
    bench.in_trouble().await;
    let mut command = bench.command().await;
    command.reset_integration("crm").await.unwrap();
    command.commit().await.unwrap();
    let claimed: Vec<_> = bench.claim(9).await.into_iter().map(|item| item.delivery).collect();
    assert_eq!(claimed, ids[..1], "a retry on its own schedule keeps its time");
    assert_eq!(bench.count("delivery WHERE waits = 0").await, 2);
    check_invariants(&bench.pool).await;
}

/// A watermark cuts a lane anywhere only if no two rows of it are due at the same time.
#[tokio::test]
async fn waits_that_are_lifted_together_come_due_a_microsecond_apart() {
    let mut bench = Bench::new().await;
    let mut ids = Vec::new();
    for seconds in [3600, 7200, 1800] {
        ids.push(bench.pending().await.deliveries[0]);
        let after = Duration::from_secs(seconds);
        bench.push(&Transition::Retry { after, retries: 0, waits: 1, throttle: false }).await;
    }
    bench.in_trouble().await;
    let mut command = bench.command().await;
    command.reset_integration("crm").await.unwrap();
    command.commit().await.unwrap();
    let apart = "(SELECT array_agg(q.gap ORDER BY q.n) = ARRAY[NULL, '1 us', '1 us']::interval[] FROM (
        SELECT row_number() OVER w AS n, due_at - lag(due_at) OVER w AS gap FROM due WINDOW w AS (ORDER BY due_at)) q)";
    assert!(bench.holds(apart).await);
    let as_in_lists =
        "NOT EXISTS (SELECT FROM due q JOIN delivery d ON d.id = q.delivery_id WHERE d.due_at <> q.due_at)";
    assert!(bench.holds(as_in_lists).await);
    let claimed: Vec<_> = bench.claim(9).await.into_iter().map(|item| item.delivery).collect();
    assert_eq!(claimed, [ids[2], ids[0], ids[1]], "in the order in which they waited");
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn the_newest_logins_of_a_few_credentials_are_kept() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    let own = |n: usize| SecretString::from(format!("own {n}"));
    for n in 0..5 {
        bench.store.begin_refresh(lane, &own(n)).await.unwrap().unwrap();
        bench.store.end_refresh(lane, &own(n), Some(&format!("given {n}").into())).await.unwrap();
    }
    for (n, expected) in [(0, "own 0"), (1, "given 1"), (4, "given 4")] {
        let token = bench.store.begin_refresh(lane, &own(n)).await.unwrap().unwrap();
        assert_eq!(token.expose_secret(), expected);
        bench.store.end_refresh(lane, &own(n), None).await.unwrap();
    }
    let kept = "(SELECT position('given'::bytea IN sealed_refresh) = 0 FROM integration)";
    assert!(bench.holds(kept).await, "they are sealed");
    let gone = LaneId::new(bench.company, IntegrationId::generate());
    assert!(bench.store.begin_refresh(gone, &own(0)).await.unwrap().is_none());
}

#[tokio::test]
async fn integrations_with_one_token_take_turns_and_each_has_the_newest() {
    let bench = Bench::new().await;
    let (first, own) = (bench.lane(), SecretString::from("own"));
    let second = LaneId::new(bench.company, bench.integration(bench.company, "second").await);
    let begin = async |lane: LaneId| {
        let token = bench.store.begin_refresh(lane, &own).await.unwrap();
        token.map(|token| token.expose_secret().to_owned())
    };
    let end = async |lane: LaneId, given: &str| {
        bench.store.end_refresh(lane, &own, Some(&given.into())).await.unwrap();
    };
    assert_eq!(begin(first).await.as_deref(), Some("own"));
    assert_eq!(begin(second).await, None, "the other one is logging in");
    end(first, "newer").await;
    assert_eq!(begin(second).await.as_deref(), Some("newer"));
    end(second, "newest").await;
    assert_eq!(begin(first).await.as_deref(), Some("newest"));
    end(first, "last").await;
    // What one of them keeps goes with it.
    bench.sql("UPDATE integration SET sealed_refresh = NULL WHERE name = 'crm'").await;
    assert_eq!(begin(second).await.as_deref(), Some("last"));
    let other = {
        let mut command = bench.command().await;
        let company = command.create_company(None, "The Mill", Plan::Pro, None).await.unwrap().id;
        command.commit().await.unwrap();
        LaneId::new(company, bench.integration(company, "crm").await)
    };
    assert_eq!(begin(other).await.as_deref(), Some("own"), "another company waits for nobody");
}

#[tokio::test]
async fn a_kept_token_that_no_key_opens_keeps_nobody_else_away() {
    let bench = Bench::new().await;
    let (first, own) = (bench.lane(), SecretString::from("own"));
    let second = LaneId::new(bench.company, bench.integration(bench.company, "second").await);
    bench.sql(r"UPDATE integration SET sealed_refresh = '\x00' WHERE name = 'second'").await;
    for expected in ["own", "newer"] {
        let token = bench.store.begin_refresh(first, &own).await.unwrap().unwrap();
        assert_eq!(token.expose_secret(), expected);
        bench.store.end_refresh(first, &own, Some(&"newer".into())).await.unwrap();
    }
    bench.store.begin_refresh(second, &own).await.unwrap_err();
}

#[tokio::test]
async fn nothing_of_a_deleted_integration_stays_once_nobody_pushes_or_probes() {
    let mut bench = Bench::new().await;
    let kept = bench.integration(bench.company, "kept").await;
    bench.lead(Fate::Pending).await;
    bench.push(&dead()).await;
    bench
        .sql(
            "INSERT INTO vendor_id (company_id, integration_id, lead_id, ids)
             SELECT company_id, integration_id, lead_id, '{}' FROM delivery;
             INSERT INTO signing_secret (company_id, integration_id, version, sealed)
             SELECT company_id, id, 1, '' FROM integration;
             INSERT INTO notice_told (company_id, subject, aspect, state)
             SELECT company_id, id, 'health', 'failing' FROM integration",
        )
        .await;
    let mut command = bench.command().await;
    command.request_probe(bench.lane(), ProbeKind::Test, None).await.unwrap();
    let locked = command.integration("crm").await.unwrap();
    command.delete_integration(&locked).await.unwrap();
    command.commit().await.unwrap();
    let probe = bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes.remove(0);
    assert_eq!(bench.store.finish_deletions().await.unwrap(), 1, "it is being probed");
    bench.store.drop_probe(&probe).await.unwrap();
    assert_eq!(bench.store.finish_deletions().await.unwrap(), 0);
    for (table, key) in [
        ("integration", "id"),
        ("integration_stat", "integration_id"),
        ("delivery", "integration_id"),
        ("attempt", "integration_id"),
        ("vendor_id", "integration_id"),
        ("signing_secret", "integration_id"),
        ("notice_told", "subject"),
        ("due", "integration_id"),
    ] {
        let of = |id: IntegrationId| format!("{table} WHERE {key} = '{}'", id.uuid());
        assert_eq!(bench.count(&of(bench.crm)).await, 0, "{table}");
        let others = if table == "attempt" { 0 } else { 1 };
        assert_eq!(bench.count(&of(kept)).await, others, "{table}: another's stays");
    }
    // Its name is free.
    bench.integration(bench.company, "crm").await;
}

#[tokio::test]
async fn a_lane_goes_as_fast_as_its_last_fifty_pushes() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&Transition::Delivered).await;
    bench
        .sql(
            "UPDATE attempt SET duration_ms = 9000;
             INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger, delivered,
                 started_at, duration_ms, config_version)
             SELECT company_id, integration_id, ('ffffffff' || lpad(to_hex(n), 24, '0'))::uuid, delivery_id, lead_id, event,
                 number, trigger, delivered, started_at, 200, config_version FROM attempt, generate_series(1, 50) n",
        )
        .await;
    let pace: LanePace = bench.store.pace(bench.lane()).await.unwrap().unwrap();
    assert!((pace.recent_seconds - 0.2).abs() < 1e-9, "{pace:?}");
}

#[tokio::test]
async fn the_whole_counts_what_lives_and_happened_lately() {
    let crowd = crowd().await;
    let bench = &crowd.bench;
    bench.sql("UPDATE attempt SET duration_ms = 40; UPDATE attempt SET duration_ms = 900 WHERE id = (SELECT max(id::text)::uuid FROM attempt)").await;
    bench
        .sql(
            "INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger, delivered,
                 class, started_at, duration_ms, config_version)
             SELECT a.company_id, g.id, a.id, a.delivery_id, a.lead_id, a.event, a.number, a.trigger, a.delivered,
                 a.class, a.started_at, 9000, a.config_version FROM attempt a, integration g WHERE g.name = 'gone'",
        )
        .await;
    let system = bench.store.system().await.unwrap();
    let (queue, rates) = (&system.queue, &system.rates);
    let due = bench.count("due WHERE due_at <= now()").await;
    assert_eq!((queue.due, queue.later), (due, bench.count("due WHERE due_at > now()").await));
    assert_eq!(queue.running, crowd.running.len() as i64);
    assert_eq!(queue.held, bench.count("undelivered WHERE state = 'held'").await);
    assert_eq!(queue.dead, bench.count("undelivered WHERE state = 'dead'").await);
    assert!(queue.oldest_due_at.is_some() && queue.oldest_undelivered_at.is_some());
    // Those of a deleted integration happened to nobody.
    let attempts = "attempt a JOIN integration i ON i.id = a.integration_id AND i.deleted_at IS NULL";
    assert_eq!(rates.attempts, bench.count(attempts).await);
    assert_eq!(rates.failed, bench.count(&format!("{attempts} WHERE NOT a.delivered")).await);
    let [half, most, nearly_all] = rates.percentiles.unwrap();
    assert_eq!((half, most.max(nearly_all)), (Duration::from_millis(40), Duration::from_millis(900)));
    // A daemon whose lease is over works on nothing.
    bench.sql("UPDATE daemon SET lease_until = now() - interval '1 second'").await;
    assert!(bench.store.system().await.unwrap().daemons.is_empty());
    bench.store.leave(bench.daemon).await.unwrap();
    assert_eq!(bench.store.system().await.unwrap().queue.running, 0);
    // What its ids say was made more than a minute ago is no longer lately.
    bench.sql("UPDATE attempt SET id = ('00000000' || substr(id::text, 9))::uuid; UPDATE event SET id = ('00000000' || substr(id::text, 9))::uuid").await;
    let rates = bench.store.system().await.unwrap().rates;
    assert_eq!((rates.attempts, rates.failed, rates.leads, rates.percentiles), (0, 0, 0, None));
}

#[tokio::test]
async fn cards_tell_what_waits_runs_and_is_held_for_each_lane() {
    let mut bench = Bench::new().await;
    let other = bench.integration(bench.company, "other").await;
    let lead = bench.pending().await;
    bench.update(lead.id).await;
    bench.held().await;
    let item = bench.claim_one().await;
    let card = async |id: IntegrationId| {
        let filter = leadlined::store::integration::read::IntegrationFilter {
            ids: Some(vec![id]),
            ..Default::default()
        };
        bench.store.integration_views(&filter).await.unwrap().remove(0).health
    };
    let (first, second) = (card(bench.crm).await, card(other).await);
    // One is pushed and one waits behind it; at the other nothing has begun.
    assert_eq!((first.pending, first.held, first.lane.running), (2, 1, 1));
    assert_eq!((second.pending, second.held, second.lane.running), (2, 1, 0));
    bench.store.finish(bench.daemon, &[ended(&item, &Transition::Delivered)], &[item.claim]).await.unwrap();
    let first = card(bench.crm).await;
    assert_eq!((first.pending, first.lane.running), (1, 0));
    bench.store.leave(bench.daemon).await.unwrap();
}
