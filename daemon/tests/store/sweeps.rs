//! The sweep's own statements: what is too old for it, whom it passes over, and how fast a lane goes.

use leadlined::{domain::lane::LaneId, store::queue::sweep::LaneWork};

use super::bench::{Bench, COMMANDS, dead, exhausted};

#[tokio::test]
async fn what_is_too_old_is_left_to_operators() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&exhausted()).await;
    bench.sql("UPDATE delivery SET created_at = created_at - interval '73 hours'").await;
    bench.sql("UPDATE integration_stat SET sweep_at = now()").await;
    bench.store.start_sweep(bench.lane()).await.unwrap();
    assert_eq!((bench.count("sweep").await, bench.count("due").await), (0, 0));
    assert_eq!(bench.state(lead.deliveries[0]).await, "dead");
    assert!(bench.holds("(SELECT due_at IS NULL FROM undelivered)").await, "it is in no run any more");
    assert!(bench.holds("(SELECT sweep_at IS NULL FROM integration_stat)").await, "no run is due");
}

#[tokio::test]
async fn what_no_sweep_can_mend_or_a_later_push_waits_behind_is_passed_over() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&dead()).await;
    let superseded = bench.pending().await;
    bench.push(&exhausted()).await;
    bench.update(superseded.id).await;
    bench.sql("UPDATE integration_stat SET sweep_at = now()").await;
    assert_eq!(bench.store.tasks().await.unwrap()[0].work, LaneWork::StartSweep);
    bench.store.start_sweep(bench.lane()).await.unwrap();
    assert_eq!(bench.count("sweep").await, 0, "neither is a canary");
    assert!(bench.holds("(SELECT sweep_at > now() FROM integration_stat)").await, "one may be, later");
}

#[tokio::test]
async fn one_run_at_a_time_goes_through_a_lane_and_only_where_it_may_push() {
    let mut bench = Bench::new().await;
    for _ in 0..2 {
        bench.pending().await;
        bench.push(&exhausted()).await;
    }
    bench.sql("UPDATE integration_stat SET sweep_at = now()").await;
    let throttle = (
        "integration SET throttled_until = now() + interval '1 hour'",
        "integration SET throttled_until = now() - interval '1 second'",
    );
    for (close, open) in COMMANDS.into_iter().chain([throttle]) {
        bench.sql(&format!("UPDATE {close}")).await;
        assert!(bench.store.tasks().await.unwrap().is_empty(), "{close}");
        bench.sql(&format!("UPDATE {open}")).await;
        assert_eq!(bench.store.tasks().await.unwrap()[0].work, LaneWork::StartSweep, "{open}");
    }
    for _ in 0..2 {
        bench.store.start_sweep(bench.lane()).await.unwrap();
    }
    assert_eq!((bench.count("sweep").await, bench.count("due").await), (1, 1));
    // What died behind the beginning of a run is left to the next.
    bench.sql("UPDATE undelivered SET since = now() + interval '1 minute'").await;
    assert_eq!(bench.store.release_swept(bench.lane(), 9).await.unwrap(), 0);
    bench.store.end_sweep(bench.lane()).await.unwrap();
    assert!(bench.holds("(SELECT sweep_at IS NOT NULL FROM integration_stat)").await, "another run comes");
}

#[tokio::test]
async fn a_lane_goes_as_fast_as_its_limits_and_its_last_pushes_say() {
    let mut bench = Bench::new().await;
    let pace = bench.store.pace(bench.lane()).await.unwrap().unwrap();
    assert_eq!(pace.recent_seconds, 0.1, "nothing is known yet");
    bench.pending().await;
    bench.push(&dead()).await;
    bench.sql("UPDATE attempt SET duration_ms = 2000").await;
    let pace = bench.store.pace(bench.lane()).await.unwrap().unwrap();
    assert_eq!((pace.recent_seconds, pace.seconds(32)), (2.0, 4.0));
    assert_eq!(pace.batch(), 40, "five seconds' worth of sixteen at once");
    let gone = LaneId::new(bench.company, leadlined::domain::ids::IntegrationId::generate());
    assert!(bench.store.pace(gone).await.unwrap().is_none());
}
