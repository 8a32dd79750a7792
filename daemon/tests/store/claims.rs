//! Claiming, giving back, and taking over from daemons that died.

use std::time::{Duration, Instant};

use leadlined::{
    domain::{
        delivery::{LaneKind, Transition, Trigger},
        moment::Moment,
    },
    store::queue::{
        claim::Ask,
        daemons::{Waits, Wake},
    },
};

use super::bench::{Bench, dead, retry};

#[tokio::test]
async fn the_oldest_due_rows_of_lanes_with_room_are_taken_once() {
    let mut bench = Bench::new().await;
    let leads = [bench.pending().await, bench.pending().await, bench.pending().await];
    let reported = bench.reported();
    assert!(reported.iter().all(|hint| (hint.lane, hint.kind) == (bench.lane(), LaneKind::First)));
    assert_eq!(reported.len(), 3);
    let items = bench.claim(2).await;
    let taken: Vec<_> = items.iter().map(|item| item.delivery).collect();
    assert_eq!(taken, [leads[0].deliveries[0], leads[1].deliveries[0]]);
    assert!(items.iter().all(|item| item.trigger == Trigger::First && !item.is_adopted));
    let pending = items[0].pending.as_ref().unwrap();
    assert_eq!((pending.lead, &pending.body[..], pending.attempts), (leads[0].id, &b"{}"[..], 0));
    assert_eq!(bench.claim(9).await.len(), 1);
    assert!(bench.claim(9).await.is_empty());
    assert_eq!((bench.count("due").await, bench.count("claim").await), (0, 2));
}

#[tokio::test]
async fn a_closed_lane_and_what_is_not_due_give_nothing() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    for (close, open) in [
        ("integration SET enabled = false", "integration SET enabled = true"),
        (
            "integration SET throttled_until = now() + interval '1 hour'",
            "integration SET throttled_until = NULL",
        ),
        ("company SET paused_at = now()", "company SET paused_at = NULL"),
        ("due SET due_at = due_at + interval '1 hour'", "due SET due_at = due_at - interval '1 hour'"),
    ] {
        bench.sql(&format!("UPDATE {close}")).await;
        assert!(bench.claim(9).await.is_empty(), "{close}");
        bench.sql(&format!("UPDATE {open}")).await;
    }
    let ask = Ask { watermark: Moment::from_micros(i64::MAX / 4), ..bench.ask(LaneKind::First, 9) };
    assert!(bench.claimer.claim(bench.daemon, &[ask]).await.unwrap().1.is_empty(), "behind the watermark");
    assert!(bench.claimer.claim(bench.daemon, &[bench.ask(LaneKind::Retry, 9)]).await.unwrap().1.is_empty());
    assert_eq!(bench.claim(9).await.len(), 1);
}

#[tokio::test]
async fn a_claimed_delivery_that_is_no_longer_pending_has_nothing_to_push() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.sql("UPDATE delivery SET state = 'skipped', reason_code = 'erased', finished_at = now()").await;
    assert!(bench.claim_one().await.pending.is_none());
}

#[tokio::test]
async fn what_is_due_is_found_without_hints_and_asked_for_by_time() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&retry()).await;
    bench.pending().await;
    let mut found = bench.store.discover().await.unwrap();
    found.sort_by_key(|hint| hint.kind);
    assert_eq!(found.iter().map(|hint| hint.kind).collect::<Vec<_>>(), LaneKind::ALL);
    let lanes = LaneKind::ALL.map(|kind| (bench.lane(), kind));
    assert_eq!(bench.store.next_due(&lanes, Moment::EPOCH).await.unwrap().len(), 2);
    let last = found.iter().map(|hint| hint.due_at).max().unwrap();
    assert!(bench.store.next_due(&lanes, last).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lane_is_told_its_pause_and_its_breaker() {
    let bench = Bench::new().await;
    let lane = bench.lane();
    let stops = bench.store.stops(lane).await.unwrap();
    assert_eq!((stops.throttled_until, stops.breaker_until), (None, None));
    bench.sql("UPDATE integration SET throttled_until = now() + interval '1 hour'").await;
    bench.sql("UPDATE integration_stat SET breaker_until = now() - interval '1 hour'").await;
    let stops = bench.store.stops(lane).await.unwrap();
    assert!(stops.throttled_until.is_some() && stops.breaker_until.is_some(), "half-open is told too");
    bench.sql("UPDATE integration SET throttled_until = now() - interval '1 hour'").await;
    assert_eq!(bench.store.stops(lane).await.unwrap().throttled_until, None);
}

#[tokio::test]
async fn what_was_not_begun_goes_back_as_it_was() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.pending().await;
    let items = bench.claim(2).await;
    bench.reported();
    let back = |at: usize| [items[at].attempt.uuid()];
    assert!(
        bench
            .store
            .give_back(bench.daemon, &[items[0].claim], &back(0), Duration::ZERO)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(bench.reported().len(), 1);
    assert!(
        bench.holds("(SELECT array_length(attempts, 1) FROM claim) = 1").await,
        "the other stays claimed"
    );
    let again = bench.claim_one().await;
    assert_eq!(
        (again.delivery, again.due_at, again.trigger),
        (items[0].delivery, items[0].due_at, Trigger::First)
    );
    // What was held meanwhile does not come back.
    let mut command = bench.command().await;
    let reason = leadlined::domain::delivery::Reason::HeldByOperator("ann".into());
    command.hold(bench.company, &[items[1].delivery.uuid()], &reason).await.unwrap();
    command.commit().await.unwrap();
    assert!(
        bench
            .store
            .give_back(bench.daemon, &[items[1].claim], &back(1), Duration::ZERO)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!((bench.count("due").await, bench.count("claim").await), (0, 1));
}

#[tokio::test]
async fn a_daemon_that_stops_gives_everything_back_as_repeats() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.pending().await;
    }
    let items = bench.claim(3).await;
    // One was finished; its claim is open for the others.
    let done = [super::bench::ended(&items[0], &Transition::Delivered)];
    bench.store.finish(bench.daemon, &done, &[]).await.unwrap();
    assert_eq!(bench.store.release(bench.daemon).await.unwrap(), 2);
    assert_eq!((bench.count("claim").await, bench.count("due WHERE trigger = 'retry'").await), (0, 2));
}

#[tokio::test]
async fn claims_of_the_dead_are_taken_over_once() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.pending().await;
    let items = bench.claim(2).await;
    let done = [super::bench::ended(&items[0], &dead())];
    bench.store.finish(bench.daemon, &done, &[]).await.unwrap();
    assert!(bench.store.orphans().await.unwrap().is_empty(), "its daemon lives");
    bench.store.leave(bench.daemon).await.unwrap();
    let heir = bench.store.enroll(600.0).await.unwrap();
    let orphans = bench.store.orphans().await.unwrap();
    assert_eq!(orphans, [items[0].claim]);
    for _ in 0..2 {
        // Once more after its answer was lost.
        let adopted = bench.store.adopt(heir, &orphans).await.unwrap();
        let open: Vec<_> = adopted.iter().filter(|item| item.pending.is_some()).collect();
        assert_eq!((adopted.len(), open.len()), (2, 1), "what was recorded has nothing left to do");
        assert_eq!((open[0].delivery, open[0].is_adopted), (items[1].delivery, true));
    }
    let other = bench.store.enroll(600.0).await.unwrap();
    assert!(bench.store.adopt(other, &orphans).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_that_ran_out_is_seen_by_all() {
    let bench = Bench::new().await;
    let other = bench.store.enroll(600.0).await.unwrap();
    let beat = bench.store.beat(bench.daemon, 600.0).await.unwrap();
    assert_eq!((beat.is_alive, beat.living), (true, vec![bench.daemon, other]));
    bench
        .sql(&format!("UPDATE daemon SET lease_until = now() - interval '1 second' WHERE id = {other}"))
        .await;
    assert_eq!(bench.store.beat(bench.daemon, 600.0).await.unwrap().living, [bench.daemon]);
    assert_eq!(bench.store.remove_expired(bench.daemon, false).await.unwrap(), 1);
    assert!(!bench.store.beat(other, 600.0).await.unwrap().is_alive);
}

#[tokio::test]
async fn a_beat_tells_what_waits_for_any_daemon() {
    let bench = Bench::new().await;
    let waits = async || bench.store.beat(bench.daemon, 600.0).await.unwrap().waits;
    assert_eq!(waits().await, Waits::default());
    let expected = Waits { tasks: true, ..Waits::default() };
    bench.sql("UPDATE integration_stat SET sweep_at = now()").await;
    assert_eq!(waits().await, expected);
    let expected = Waits { notices: true, ..expected };
    bench.sql("UPDATE integration SET notices = true").await;
    assert_eq!(waits().await, expected);
    let expected = Waits { probes: true, ..expected };
    bench
        .sql(
            "INSERT INTO probe (company_id, id, integration_id, operator)
             SELECT company_id, gen_random_uuid(), id, 'ann' FROM integration LIMIT 1",
        )
        .await;
    assert_eq!(waits().await, expected);
    let expected = Waits { expired: true, ..expected };
    let other = bench.store.enroll(-1.0).await.unwrap();
    assert_eq!(waits().await, expected);
    let expected = Waits { expired: false, orphans: true, ..expected };
    bench
        .sql(&format!("INSERT INTO claim (daemon_id, items, attempts) VALUES ({other}, '{{}}', '{{}}')"))
        .await;
    bench.store.leave(other).await.unwrap();
    assert_eq!(waits().await, expected);
}

#[tokio::test]
async fn a_beat_reads_no_claims_of_those_that_live() {
    let bench = Bench::new().await;
    bench
        .sql(&format!(
            "INSERT INTO claim (daemon_id, items, attempts) SELECT {}, '{{}}', '{{}}' FROM generate_series(1, 100)",
            bench.daemon
        ))
        .await;
    // As the planner knows them when a daemon has worked for a while.
    bench.sql("VACUUM ANALYZE claim").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    // A connection reports its statistics once a second.
    while !bench
        .holds("(SELECT idx_scan > 2 FROM pg_stat_user_indexes WHERE indexrelname = 'claim_daemon')")
        .await
    {
        assert!(Instant::now() < deadline, "the index of daemons is not used");
        assert!(!bench.store.beat(bench.daemon, 600.0).await.unwrap().waits.orphans);
    }
    let read =
        "(SELECT t.seq_tup_read = 0 AND i.idx_tup_read = 0 FROM pg_stat_user_tables t, pg_stat_user_indexes i
                 WHERE t.relname = 'claim' AND i.indexrelname = 'claim_daemon')";
    assert!(bench.holds(read).await);
}

#[tokio::test]
async fn a_claim_waits_for_anybody_whose_daemon_is_gone_wherever_its_id_stands() {
    let bench = Bench::new().await;
    let (gone, last) = (bench.store.enroll(600.0).await.unwrap(), bench.store.enroll(600.0).await.unwrap());
    bench.store.leave(gone).await.unwrap();
    let first = bench.daemon;
    let cases = [(first - 1, true), (first, false), (gone, true), (last, false), (last + 1, true)];
    for (id, is_orphaned) in cases {
        bench
            .sql(&format!("INSERT INTO claim (daemon_id, items, attempts) VALUES ({id}, '{{}}', '{{}}')"))
            .await;
        let waits = bench.store.beat(first, 600.0).await.unwrap().waits;
        assert_eq!(waits.orphans, is_orphaned, "{id} beside {first} and {last}");
        bench.sql("DELETE FROM claim").await;
    }
}

#[tokio::test]
async fn daemons_tell_each_other_in_order() {
    let bench = Bench::new().await;
    let wake =
        |seq| Wake { due: vec![(7, bench.crm.uuid(), 1, Moment::from_micros(seq))], ..Wake::default() };
    for seq in 1..=3 {
        bench.store.publish(bench.daemon, seq, &wake(seq)).await.unwrap();
    }
    let heard = bench.store.hear(bench.daemon, &[(bench.daemon, 1)]).await.unwrap().wakes;
    assert_eq!(heard.iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), [2, 3]);
    assert!(
        heard.iter().all(|(_, seq, wake)| wake.hints().all(|hint| hint.due_at == Moment::from_micros(*seq)))
    );
    // A kind of a newer daemon is left to the scan.
    let strange = Wake { due: vec![(7, bench.crm.uuid(), 9, Moment::EPOCH)], ..Wake::default() };
    assert_eq!(strange.hints().count(), 0);
    bench.sql("UPDATE wake SET at = now() - interval '2 minutes'").await;
    bench.store.forget_wakes().await.unwrap();
    assert_eq!(bench.count("wake").await, 0);
}
