//! What is kept for a time only: whole days of attempts, what outlives its day, jobs, and the partitions to come.

use std::time::Duration;

use leadlined::{
    domain::{delivery::Transition, ids::DeliveryId},
    store::{Store, delivery::retention::Pruned, ensure_partitions},
};

use super::bench::{Bench, dead, exhausted, retry, wait_for};

/// So many attempts of a lane stay however old they are.
const LAST: i64 = 50;
const OLD_DAY: &str = "(now() AT TIME ZONE 'UTC' - interval '40 days')::date";

/// Deliveries that ended, that wait, that the sweep comes back to, and that are left to operators.
struct Kept {
    delivered: DeliveryId,
    pending: DeliveryId,
    swept: DeliveryId,
    dead: DeliveryId,
}

impl Bench {
    async fn kept(&mut self) -> Kept {
        let mut ids = Vec::new();
        for how in [Transition::Delivered, dead(), exhausted(), retry()] {
            ids.push(self.pending().await.deliveries[0]);
            self.push(&how).await;
        }
        let [delivered, dead, swept, pending] = ids[..] else { panic!("four were pushed") };
        Kept { delivered, pending, swept, dead }
    }

    /// Attempts of a delivery on the old day, whose ids begin with this one and are older than all others'.
    async fn old_attempts(&self, of: DeliveryId, from: i64, count: i64) {
        self.sql(&format!(
            "INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger, delivered,
                 class, error, started_at, duration_ms, config_version)
             SELECT d.company_id, d.integration_id, lpad(to_hex(n), 32, '0')::uuid, d.id, d.lead_id, d.event, 1, 'first',
                 false, 'rejected', 'no', {OLD_DAY} + interval '1 hour', 1, 1
             FROM delivery d, generate_series({from}, {from} + {count} - 1) n WHERE d.id = '{}'",
            of.uuid()
        ))
        .await;
    }

    /// One attempt of each that stays, the oldest of all, and sixty of one that has ended.
    async fn old_ones(&self, kept: &Kept) {
        self.old_attempts(kept.pending, 1, 1).await;
        self.old_attempts(kept.swept, 2, 1).await;
        self.old_attempts(kept.dead, 3, 1).await;
        self.old_attempts(kept.delivered, 4, 60).await;
    }

    async fn old_partition(&self) {
        self.sql(&format!(
            "DO $$ BEGIN EXECUTE format('CREATE TABLE attempt_%s PARTITION OF attempt FOR VALUES FROM (%L) TO (%L)',
                 to_char({OLD_DAY}, 'YYYYMMDD'), {OLD_DAY}::text || ' 00:00+00', ({OLD_DAY} + 1)::text || ' 00:00+00');
             END $$"
        ))
        .await;
    }

    async fn partitions(&self) -> i64 {
        self.count("pg_inherits WHERE inhparent = 'attempt'::regclass").await
    }

    async fn prune(&self) -> Pruned {
        self.prune_as(&self.store).await
    }

    async fn prune_as(&self, store: &Store) -> Pruned {
        // A turn ends with its connection, of whose end the server hears a moment later.
        let is_free = "NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                       WHERE l.locktype = 'advisory' AND d.datname = current_database())";
        wait_for(&self.pool, is_free).await;
        store.prune().await.unwrap()
    }
}

const OLD: &str = "attempt WHERE started_at < now() - interval '30 days'";

#[tokio::test]
async fn of_a_day_that_is_over_the_last_ones_and_those_that_matter_stay() {
    for has_partition in [false, true] {
        let mut bench = Bench::new().await;
        let kept = bench.kept().await;
        let young = bench.count("attempt").await;
        if has_partition {
            bench.old_partition().await;
        }
        bench.old_ones(&kept).await;
        let before = bench.partitions().await;
        // The last fifty of the lane, and two that are older: of one that waits, and of one that is swept.
        let stay = LAST - young + 2;
        let pruned = bench.prune().await;
        if has_partition {
            assert_eq!((pruned.days, pruned.attempts), (1, 0));
            assert_eq!(bench.partitions().await, before - 1, "the day is gone");
            assert_eq!(bench.count("attempt_rest").await, stay, "what outlives it moved");
        } else {
            assert_eq!((pruned.days, pruned.attempts), (0, (63 - stay).unsigned_abs()));
        }
        assert_eq!(bench.count(OLD).await, stay);
        for (id, is_there) in [(kept.pending, true), (kept.swept, true), (kept.dead, false)] {
            let of = format!("{OLD} AND delivery_id = '{}'", id.uuid());
            assert_eq!(bench.count(&of).await > 0, is_there);
        }
        assert_eq!(bench.prune().await, Pruned::default(), "nothing is left to remove");
        assert_eq!(bench.count("attempt").await, stay + young);
    }
}

#[tokio::test]
async fn a_day_that_somebody_reads_goes_the_next_time() {
    let mut bench = Bench::new().await;
    let kept = bench.kept().await;
    bench.old_partition().await;
    bench.old_ones(&kept).await;
    let mut reader = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM attempt").execute(&mut *reader).await.unwrap();
    let pruned = bench.prune().await;
    assert_eq!((pruned.days, pruned.postponed, pruned.attempts), (0, 1, 0));
    assert_eq!(bench.count(OLD).await, 63);
    reader.rollback().await.unwrap();
    assert_eq!(bench.prune().await.days, 1);
}

#[tokio::test]
async fn a_day_of_which_much_stays_is_thinned_where_it_is() {
    let mut bench = Bench::new().await;
    let kept = bench.kept().await;
    bench.old_partition().await;
    bench.old_attempts(kept.pending, 1000, 2001).await;
    bench.old_attempts(kept.delivered, 1, 7).await;
    let before = bench.partitions().await;
    let pruned = bench.prune().await;
    assert_eq!((pruned.days, pruned.postponed, pruned.attempts), (0, 0, 7));
    assert_eq!((bench.partitions().await, bench.count(OLD).await), (before, 2001));
}

#[tokio::test]
async fn what_a_claim_points_to_stays() {
    let mut bench = Bench::new().await;
    let kept = bench.kept().await;
    bench.old_ones(&kept).await;
    bench.claim_one().await;
    bench.sql("UPDATE claim SET claimed_at = now() - interval '41 days'").await;
    assert_eq!(bench.prune().await, Pruned::default());
    bench.sql("UPDATE claim SET claimed_at = now()").await;
    assert!(bench.prune().await.attempts > 0);
}

#[tokio::test]
async fn attempts_are_kept_for_as_long_as_is_set() {
    let mut bench = Bench::new().await;
    let kept = bench.kept().await;
    bench.old_ones(&kept).await;
    for (days, is_removed) in [(50, false), (39, true)] {
        let store = bench.store.clone().keeping(Duration::from_secs(days * 86_400), None);
        assert_eq!(bench.prune_as(&store).await.attempts > 0, is_removed, "{days}");
    }
}

#[tokio::test]
async fn jobs_go_when_they_are_over_in_all_their_lanes_for_long_enough() {
    let bench = Bench::new().await;
    let other = bench.integration(bench.company, "other").await;
    let job = |lane: leadlined::domain::ids::IntegrationId, n: u8, finished: &str| {
        format!(
            "INSERT INTO job (company_id, id, integration_id, operator, filter, re_render, kind, state, total, last_id,
                 finished_at)
             VALUES ({}, lpad('{n}', 32, '0')::uuid, '{}', 'ann', '{{}}', false, 'retry',
                 CASE WHEN {finished} IS NULL THEN 'running' ELSE 'done' END, 1, gen_random_uuid(), {finished})",
            bench.company,
            lane.uuid()
        )
    };
    let (old, young, never) =
        ("now() - interval '40 days'", "now() - interval '20 days'", "NULL::timestamptz");
    // Each job with how its two lanes ended.
    for (n, (first, second)) in (1..).zip([(old, old), (old, young), (old, never), (young, young)]) {
        bench.sql(&job(bench.crm, n, first)).await;
        bench.sql(&job(other, n, second)).await;
    }
    assert_eq!(bench.prune().await.jobs, 2, "both lanes of the first");
    assert_eq!(bench.count("job").await, 6);
    assert_eq!(bench.count("job WHERE id = lpad('1', 32, '0')::uuid").await, 0);
}

#[tokio::test]
async fn partitions_are_made_ahead_and_take_what_stands_in_the_rest() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&Transition::Delivered).await;
    let made = bench.partitions().await;
    ensure_partitions(&bench.pool).await.unwrap();
    assert_eq!(bench.partitions().await, made, "they are there already");
    // One is missing, and an attempt of its day had to go elsewhere.
    bench
        .sql(
            "DO $$ BEGIN EXECUTE 'DROP TABLE attempt_'
                 || to_char((now() AT TIME ZONE 'UTC' + interval '3 days')::date, 'YYYYMMDD'); END $$;
             UPDATE attempt SET started_at = started_at + interval '3 days'",
        )
        .await;
    assert_eq!((bench.partitions().await, bench.count("attempt_rest").await), (made - 1, 1));
    let (one, other) = tokio::join!(ensure_partitions(&bench.pool), ensure_partitions(&bench.pool));
    one.unwrap();
    other.unwrap();
    assert_eq!((bench.partitions().await, bench.count("attempt_rest").await), (made, 0));
    assert_eq!(bench.count("attempt").await, 1);
}
