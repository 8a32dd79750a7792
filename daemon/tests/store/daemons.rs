//! Claims and the daemons that make them, arm by arm: whose turn it is, what is in nobody's way, and what a lost answer
//! leaves behind.

use std::time::Duration;

use leadlined::{
    domain::{
        delivery::{LaneKind, Transition, Trigger},
        fanout::Fate,
        ids::LeadId,
        integration::EventKind,
        lane::LaneId,
        moment::Moment,
    },
    store::{
        Error,
        queue::claim::{Ask, Claimer},
    },
};

use super::{
    bench::{Bench, ended, retry, wait_for},
    invariants::check_invariants,
};

impl Bench {
    /// Claims what these lanes have, this much of each kind.
    async fn claim_of(&mut self, lanes: &[LaneId], first: i32, retries: i32) -> Vec<(LaneId, LaneKind)> {
        let asks: Vec<Ask> = lanes
            .iter()
            .flat_map(|lane| {
                [(LaneKind::First, first), (LaneKind::Retry, retries)].map(|(kind, room)| Ask {
                    lane: *lane,
                    kind,
                    room,
                    watermark: Moment::EPOCH,
                })
            })
            .collect();
        let (_, items) = self.claimer.claim(self.daemon, &asks).await.unwrap();
        let mut claimed: Vec<_> = items.into_iter().map(|item| (item.lane, item.kind)).collect();
        claimed.sort();
        claimed
    }
}

#[tokio::test]
async fn each_lane_gives_no_more_of_each_kind_than_it_has_room_for() {
    let mut bench = Bench::new().await;
    let crm = bench.lane();
    let mail = LaneId::new(bench.company, bench.integration(bench.company, "mail").await);
    for _ in 0..3 {
        bench.pending().await;
        bench.push(&retry()).await;
        bench.sql("UPDATE due SET due_at = now() + interval '1 hour' WHERE kind = 1").await;
    }
    for _ in 0..3 {
        bench.pending().await;
    }
    bench.sql("UPDATE due SET due_at = now() WHERE kind = 1").await;
    let (first, again) = (LaneKind::First, LaneKind::Retry);
    assert_eq!(bench.claim_of(&[crm], 2, 1).await, [(crm, first), (crm, first), (crm, again)]);
    assert_eq!(bench.claim_of(&[crm], 0, 9).await, [(crm, again), (crm, again)]);
    let mut both = vec![(crm, first), (mail, first), (mail, first)];
    both.sort();
    assert_eq!(bench.claim_of(&[crm, mail], 2, 9).await, both);
    assert_eq!(bench.claim_of(&[], 9, 9).await, []);
    let nowhere = LaneId::new(bench.company, leadlined::domain::ids::IntegrationId::generate());
    assert_eq!(bench.claim_of(&[nowhere], 9, 9).await, []);
    // The company of a lane is asked for, too.
    let strange = LaneId::new(bench.add_company("The Mill").await, mail.integration);
    assert_eq!(bench.claim_of(&[strange], 9, 9).await, []);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn two_that_claim_at_once_get_what_is_due_once() {
    let mut bench = Bench::new().await;
    for _ in 0..6 {
        bench.pending().await;
    }
    let another = bench.store.enroll(600.0).await.unwrap();
    let mut other = Claimer::new(bench.store.clone());
    let asks = [bench.ask(LaneKind::First, 4)];
    let daemon = bench.daemon;
    let (one, two) = tokio::join!(bench.claimer.claim(daemon, &asks), other.claim(another, &asks));
    let mut claimed: Vec<_> =
        [one.unwrap().1, two.unwrap().1].concat().into_iter().map(|item| item.delivery).collect();
    let count = claimed.len();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), count, "none twice");
    assert!(count >= 4, "{count}");
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn a_due_row_that_somebody_holds_is_in_nobodys_way() {
    let mut bench = Bench::new().await;
    let first = bench.pending().await.deliveries[0];
    let second = bench.pending().await.deliveries[0];
    let mut other = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM due WHERE delivery_id = $1 FOR UPDATE")
        .bind(first.uuid())
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(bench.claim(9).await.into_iter().map(|item| item.delivery).collect::<Vec<_>>(), [second]);
    other.rollback().await.unwrap();
    assert_eq!(bench.claim_one().await.delivery, first);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_given_back_before_the_next() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    let mut hasty = Claimer::new(bench.store.clone().silent_at_most(Duration::from_millis(200)));
    let asks = LaneKind::ALL.map(|kind| bench.ask(kind, 9));
    let mut silence = bench.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE claim IN EXCLUSIVE MODE").execute(&mut *silence).await.unwrap();
    let lost = hasty.claim(bench.daemon, &asks).await;
    assert!(matches!(lost, Err(Error::Away(_))), "{lost:?}");
    silence.commit().await.unwrap();
    // Whether the server has carried it out all the same is known once it has ended.
    let is_over =
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                   AND pid <> pg_backend_pid())";
    wait_for(&bench.pool, is_over).await;
    let items = loop {
        match hasty.claim(bench.daemon, &asks).await {
            Ok((_, items)) => break items,
            // On a slow machine its answer, too, may come too late.
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    };
    assert_eq!(items.iter().map(|item| item.delivery).collect::<Vec<_>>(), [id]);
    assert_eq!(bench.count("claim").await, 1, "of the first one nothing is left");
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn what_is_given_back_for_a_while_is_due_no_earlier_than_it_was() {
    for (due_in, wait, expected) in [("0", 60, 60), ("3600", 60, 3600), ("0", 0, 0)] {
        let mut bench = Bench::new().await;
        bench.pending().await;
        let item = bench.claim_one().await;
        bench
            .sql(&format!(
                "UPDATE claim SET items = ARRAY(SELECT ROW(company_id, integration_id, kind, now() + interval '{due_in} seconds',
                     delivery_id, trigger, operator)::claimed_item FROM unnest(items) i)"
            ))
            .await;
        let (claims, attempts) = ([item.claim], [item.attempt.uuid()]);
        bench.store.give_back(bench.daemon, &claims, &attempts, Duration::from_secs(wait)).await.unwrap();
        let due = format!(
            "due WHERE due_at BETWEEN now() + interval '{expected} seconds' - interval '30 seconds' AND now() + interval '{expected} seconds'"
        );
        assert_eq!(bench.count(&due).await, 1, "{due_in} {wait}");
        assert_eq!(bench.due_trigger().await, Trigger::First.as_str());
        // Lists say the same.
        assert_eq!(
            bench.count("delivery d JOIN due q ON q.delivery_id = d.id AND q.due_at = d.due_at").await,
            1
        );
    }
}

impl Bench {
    async fn due_trigger(&self) -> String {
        sqlx::query_scalar("SELECT trigger FROM due").fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn nobody_gives_back_what_is_anothers_was_recorded_or_is_gone() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.pending().await;
    }
    let items = bench.claim(3).await;
    let claims = [items[0].claim];
    let attempts: Vec<_> = items.iter().map(|item| item.attempt.uuid()).collect();
    let another = bench.store.enroll(600.0).await.unwrap();
    assert!(bench.store.give_back(another, &claims, &attempts, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!((bench.count("due").await, bench.count("claim").await), (0, 1));
    bench.store.finish(bench.daemon, &[ended(&items[0], &Transition::Delivered)], &[]).await.unwrap();
    bench.sql(&format!("DELETE FROM delivery WHERE id = '{}'", items[1].delivery.uuid())).await;
    assert!(
        bench.store.give_back(bench.daemon, &claims, &attempts, Duration::ZERO).await.unwrap().is_empty()
    );
    assert_eq!((bench.count("due").await, bench.count("claim").await), (1, 0));
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn one_that_gets_a_claim_of_its_own_leaves_the_others_together() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.pending().await;
    }
    let items = bench.claim(3).await;
    let own = bench.store.isolate(bench.daemon, items[1].claim, items[1].attempt).await.unwrap().unwrap();
    assert!(bench.holds(&format!("(SELECT cardinality(items) = 1 AND attempts = ARRAY['{}'::uuid] FROM claim WHERE id = {own})", items[1].attempt.uuid())).await);
    assert!(
        bench
            .holds(&format!("(SELECT cardinality(items) = 2 FROM claim WHERE id = {})", items[0].claim))
            .await
    );
    assert!(
        bench.holds("(SELECT count(DISTINCT claimed_at) = 1 FROM claim)").await,
        "begun when the first was"
    );
    let again = bench.store.isolate(bench.daemon, items[1].claim, items[1].attempt).await.unwrap();
    assert_eq!(again, None, "it is not there any more");
    check_invariants(&bench.pool).await;
    // One that stands alone stays where it is.
    bench.pending().await;
    let alone = bench.claim_one().await;
    assert_eq!(
        bench.store.isolate(bench.daemon, alone.claim, alone.attempt).await.unwrap(),
        Some(alone.claim)
    );
    // Whoever takes over is told which were isolated: one claim that holds one item is, another is not.
    bench.pending().await;
    let unmarked = bench.claim_one().await;
    bench.store.leave(bench.daemon).await.unwrap();
    let heir = bench.store.enroll(600.0).await.unwrap();
    let claims = [items[0].claim, own, alone.claim, unmarked.claim];
    let adopted = bench.store.adopt(heir, &claims).await.unwrap();
    let isolated: Vec<_> = adopted.iter().filter(|item| item.is_isolated).map(|item| item.delivery).collect();
    assert_eq!((adopted.len(), isolated.len()), (5, 2));
    assert!(isolated.contains(&items[1].delivery) && isolated.contains(&alone.delivery));
}

#[tokio::test]
async fn orphans_are_told_oldest_first_and_so_many_at_a_time() {
    let bench = Bench::new().await;
    bench
        .sql(
            "INSERT INTO claim (daemon_id, items, attempts) SELECT 0, '{}', '{}' FROM generate_series(1, 60)",
        )
        .await;
    let orphans = bench.store.orphans().await.unwrap();
    assert_eq!(orphans.len(), 50);
    assert!(orphans.is_sorted());
    bench.store.adopt(bench.daemon, &orphans).await.unwrap();
    assert_eq!(bench.store.orphans().await.unwrap().len(), 10);
}

#[tokio::test]
async fn what_an_heir_finds_is_as_it_was_when_the_other_died() {
    let mut bench = Bench::new().await;
    for _ in 0..4 {
        bench.pending().await;
    }
    let items = bench.claim(4).await;
    // One was recorded, one was held, one is gone, one is as it was.
    bench.store.finish(bench.daemon, &[ended(&items[0], &retry())], &[]).await.unwrap();
    let mut command = bench.command().await;
    let held = leadlined::domain::delivery::Reason::HeldByOperator("ann".into());
    command.hold(bench.company, &[items[1].delivery.uuid()], &held).await.unwrap();
    command.commit().await.unwrap();
    bench.sql(&format!("DELETE FROM delivery WHERE id = '{}'", items[2].delivery.uuid())).await;
    bench.store.leave(bench.daemon).await.unwrap();
    let heir = bench.store.enroll(600.0).await.unwrap();
    let adopted = bench.store.adopt(heir, &[items[0].claim]).await.unwrap();
    let mut open: Vec<_> =
        adopted.iter().map(|item| (item.delivery, item.pending.is_some(), item.is_adopted)).collect();
    open.sort();
    let mut expected: Vec<_> = items
        .iter()
        .zip([false, true, false, true])
        .map(|(item, is_open)| (item.delivery, is_open, true))
        .collect();
    expected.sort();
    assert_eq!(open, expected, "one that was held is finished, too: its push ran");
    assert!(adopted.iter().all(|item| item.daemon == heir && item.claimed_at == items[0].claimed_at));
}

#[tokio::test]
async fn a_newcomer_learns_what_others_still_push_once_they_have_heard_of_it() {
    const LEASE: Duration = Duration::from_secs(10);
    let mut bench = Bench::new().await;
    bench.store.beat(bench.daemon, LEASE.as_secs_f64()).await.unwrap();
    bench.pending().await;
    bench.pending().await;
    assert_eq!(bench.claim(2).await.len(), 2);
    let newcomer = bench.store.enroll(LEASE.as_secs_f64()).await.unwrap();
    let joined = bench.store.beat(newcomer, LEASE.as_secs_f64()).await.unwrap().now;
    let elsewhere = async || bench.store.in_flight_elsewhere(newcomer, joined, LEASE).await.unwrap();
    assert_eq!(elsewhere().await, None, "the other has not beaten since");
    bench.store.beat(bench.daemon, LEASE.as_secs_f64()).await.unwrap();
    assert_eq!(elsewhere().await, Some([(bench.lane(), 2)].into()));
    // What cannot be written keeps its claim for good, and takes no room for good.
    bench.sql("UPDATE claim SET claimed_at = claimed_at - interval '11 minutes'").await;
    assert_eq!(elsewhere().await, Some([].into()));
    bench.sql("UPDATE claim SET claimed_at = now()").await;
    bench
        .sql(&format!("UPDATE daemon SET lease_until = now() - interval '1 s' WHERE id = {}", bench.daemon))
        .await;
    assert_eq!(elsewhere().await, Some([].into()), "it died, and is waited for no more");
}

#[tokio::test]
async fn a_daemon_whose_lease_ran_out_is_removed_by_another_and_not_by_itself() {
    let bench = Bench::new().await;
    let [expired, living] =
        [bench.store.enroll(-1.0).await.unwrap(), bench.store.enroll(600.0).await.unwrap()];
    assert_eq!(bench.store.remove_expired(expired, false).await.unwrap(), 0, "it beats, and goes on");
    assert_eq!(bench.store.remove_expired(bench.daemon, false).await.unwrap(), 1);
    assert_eq!(bench.store.remove_expired(bench.daemon, true).await.unwrap(), 1, "all others");
    assert_eq!(bench.store.beat(bench.daemon, 600.0).await.unwrap().living, [bench.daemon]);
    let beat = bench.store.beat(living, 600.0).await.unwrap();
    assert_eq!((beat.is_alive, beat.living), (false, vec![bench.daemon]));
}

#[tokio::test]
async fn a_beat_tells_only_of_what_is_there_and_due() {
    let bench = Bench::new().await;
    let waits = async || bench.store.beat(bench.daemon, 600.0).await.unwrap().waits;
    for (change, is_told) in [
        ("UPDATE integration SET notices = true, deleted_at = now()", false),
        ("UPDATE integration SET deleted_at = NULL", true),
        ("UPDATE integration SET notices = false", false),
        (
            "INSERT INTO notice (company_id, id, integration_id, kind, body, due_at)
          SELECT company_id, gen_random_uuid(), id, 'k', '', now() + interval '1 hour' FROM integration",
            false,
        ),
        ("UPDATE notice SET due_at = now()", true),
        ("UPDATE notice SET state = 'dead', finished_at = now()", false),
    ] {
        bench.sql(change).await;
        assert_eq!(waits().await.notices, is_told, "{change}");
    }
    let probe = "INSERT INTO probe (company_id, id, integration_id, operator, daemon_id)
                 SELECT company_id, gen_random_uuid(), id, 'ann', {daemon} FROM integration";
    bench.sql(&probe.replace("{daemon}", &bench.daemon.to_string())).await;
    assert!(!waits().await.probes, "somebody is at it");
    bench.sql(&probe.replace("{daemon}", "0")).await;
    assert!(waits().await.probes, "its daemon is gone");
    for (change, is_told) in [
        ("UPDATE integration_stat SET sweep_at = now() + interval '1 hour'", false),
        ("UPDATE integration_stat SET sweep_at = now()", true),
        ("UPDATE integration_stat SET sweep_at = NULL", false),
        (
            "INSERT INTO sweep (company_id, integration_id, canary_id) SELECT company_id, id, id FROM integration",
            true,
        ),
    ] {
        bench.sql(change).await;
        assert_eq!(waits().await.tasks, is_told, "{change}");
    }
}

#[tokio::test]
async fn the_next_due_row_of_each_lane_is_found_by_company_and_kind() {
    let mut bench = Bench::new().await;
    let mail = LaneId::new(bench.company, bench.integration(bench.company, "mail").await);
    let crm = bench.lane();
    bench.pending().await;
    bench.sql("UPDATE due SET due_at = now() + interval '1 hour'").await;
    let other = bench.add_company("The Mill").await;
    let mill = LaneId::new(other, bench.integration(other, "mill").await);
    let event = bench.event(other, LeadId::generate(), EventKind::Created, &Fate::Pending).await;
    bench.store.accept(&[event]).await.unwrap();
    let mut found: Vec<_> =
        bench.store.discover().await.unwrap().iter().map(|hint| (hint.lane, hint.kind)).collect();
    found.sort();
    let mut expected = vec![(crm, LaneKind::First), (mail, LaneKind::First), (mill, LaneKind::First)];
    expected.sort();
    assert_eq!(found, expected, "those that are due later, too");
    // One that only a newer daemon knows keeps no lane from being found.
    bench
        .sql(
            "ALTER TABLE due DROP CONSTRAINT due_kind_check;
             INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
             SELECT company_id, integration_id, 7, due_at, delivery_id, trigger FROM due",
        )
        .await;
    assert_eq!(bench.store.discover().await.unwrap().len(), 3);
    bench.sql("DELETE FROM due WHERE kind = 7").await;
    let next =
        async |lanes: &[(LaneId, LaneKind)]| bench.store.next_due(lanes, Moment::EPOCH).await.unwrap().len();
    assert_eq!(next(&[(crm, LaneKind::First), (mill, LaneKind::First)]).await, 2);
    assert_eq!(next(&[(crm, LaneKind::Retry)]).await, 0);
    assert_eq!(next(&[]).await, 0);
    bench.sql("DELETE FROM due").await;
    assert!(bench.store.discover().await.unwrap().is_empty());
}
