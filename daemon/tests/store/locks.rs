//! Rows that somebody holds: the others do not wait for them.

use std::time::{Duration, Instant};

use leadlined::{
    domain::{
        delivery::{Reason, Transition},
        fanout::Fate,
        ids::{CompanyId, LeadId},
        integration::EventKind,
        plan::Plan,
    },
    store::{Error, lead::intake::Flushed, queue::claim::Claimed},
};
use sqlx::{AssertSqlSafe, PgTransaction};

use super::{
    bench::{Bench, ended, wait_for, wait_for_lock},
    invariants::check_invariants,
};

/// So long a lock is waited for at most, with room for a busy machine.
const SOON: Duration = Duration::from_secs(8);

impl Bench {
    /// Holds rows, as an operator's transaction that hangs.
    async fn hold_rows(&self, rows: &str) -> PgTransaction<'static> {
        let mut tx = self.pool.begin().await.unwrap();
        let sql = AssertSqlSafe(format!("SELECT FROM {rows} FOR UPDATE"));
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx
    }

    async fn other_company(&self) -> CompanyId {
        let mut command = self.command().await;
        let other = command.create_company(None, "The Mill", Plan::Pro, None).await.unwrap().id;
        command.commit().await.unwrap();
        self.integration(other, "mail").await;
        other
    }
}

#[tokio::test]
async fn a_company_that_is_held_keeps_its_own_leads_alone() {
    let mut bench = Bench::new().await;
    let other = bench.other_company().await;
    let lock = bench.hold_rows(&format!("company WHERE id = {}", bench.company)).await;
    let (mine, theirs) = (bench.company, other);
    let events = [
        bench.event(mine, LeadId::generate(), EventKind::Created, &Fate::Pending).await,
        bench.event(theirs, LeadId::generate(), EventKind::Created, &Fate::Pending).await,
    ];
    let started = Instant::now();
    assert_eq!(bench.store.accept(&events).await.unwrap(), [Flushed::Locked, Flushed::Created]);
    // An update waits a little, and then is told to come again.
    let update = bench.event(mine, LeadId::generate(), EventKind::Updated, &Fate::Pending).await;
    assert!(matches!(bench.store.accept_again(&update).await, Err(Error::Locked)));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    lock.rollback().await.unwrap();
    assert_eq!(bench.store.accept(&events[..1]).await.unwrap(), [Flushed::Created]);
}

#[tokio::test]
async fn a_held_delivery_or_count_keeps_its_own_lane_alone() {
    for rows in ["delivery WHERE id = '{delivery}'", "integration_stat WHERE integration_id = '{lane}'"] {
        let mut bench = Bench::new().await;
        let mail = bench.integration(bench.company, "mail").await;
        let lead = bench.pending().await;
        let mut items = bench.claim(9).await;
        bench.crm = mail;
        items.extend(bench.claim(9).await);
        let rows = rows
            .replace("{delivery}", &lead.deliveries[0].uuid().to_string())
            .replace("{lane}", &items[0].lane.integration.uuid().to_string());
        let lock = bench.hold_rows(&rows).await;
        let started = Instant::now();
        let flushed = bench.end(&items, &Transition::Delivered).await;
        assert!(started.elapsed() < SOON, "{rows}: {:?}", started.elapsed());
        assert_eq!((flushed.recorded, &flushed.left[..]), (1, &[items[0].attempt][..]), "{rows}");
        assert_eq!(bench.state(lead.deliveries[0]).await, "pending");
        assert_eq!(bench.state(lead.deliveries[1]).await, "delivered");
        assert_eq!(bench.count("claim").await, 1, "{rows}: what is left stays claimed");
        lock.rollback().await.unwrap();
        let flushed = bench.end(&items[..1], &Transition::Delivered).await;
        assert_eq!((flushed.recorded, flushed.left.len(), bench.count("claim").await), (1, 0, 0), "{rows}");
        assert_eq!(bench.count("attempt").await, 2);
    }
}

#[tokio::test]
async fn of_a_lane_with_a_held_delivery_the_others_are_written_one_by_one() {
    let mut bench = Bench::new().await;
    let leads = [bench.pending().await, bench.pending().await];
    let items = bench.claim(2).await;
    let lock = bench.hold_rows(&format!("delivery WHERE id = '{}'", leads[0].deliveries[0].uuid())).await;
    let flushed = bench.end(&items, &Transition::Delivered).await;
    assert_eq!((flushed.recorded, flushed.left.len()), (0, 2), "its counts are of all or none");
    let one = [ended(&items[1], &Transition::Delivered)];
    assert_eq!(bench.store.finish(bench.daemon, &one, &[]).await.unwrap().recorded, 1);
    assert_eq!(bench.state(leads[1].deliveries[0]).await, "delivered");
    drop(lock);
}

#[tokio::test]
async fn what_is_held_stays_claimed_when_it_is_given_back() {
    let mut bench = Bench::new().await;
    let leads = [bench.pending().await, bench.pending().await];
    let items = bench.claim(2).await;
    let lock = bench.hold_rows(&format!("delivery WHERE id = '{}'", leads[0].deliveries[0].uuid())).await;
    let attempts: Vec<_> = items.iter().map(|item| item.attempt.uuid()).collect();
    let claims: Vec<_> = items.iter().map(|item| item.claim).collect();
    let left = bench.store.give_back(bench.daemon, &claims, &attempts, Duration::ZERO).await.unwrap();
    assert_eq!(left, [items[0].attempt.uuid()]);
    assert_eq!((bench.count("due").await, bench.count("claim").await), (1, 1));
    // A daemon that stops leaves it behind, to be taken over.
    assert_eq!(bench.store.release(bench.daemon).await.unwrap(), 0);
    lock.rollback().await.unwrap();
    assert_eq!(bench.store.release(bench.daemon).await.unwrap(), 1);
    assert_eq!((bench.count("due").await, bench.count("claim").await), (2, 0));
}

#[tokio::test]
async fn a_push_that_arrives_while_it_is_held_leaves_no_ghost() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    let item = bench.claim_one().await;
    // The finish has begun and waits for a lock of its fence when the operator's hold is committed.
    let fence = bench.hold_rows("claim").await;
    let (store, daemon) = (bench.store.clone(), bench.daemon);
    let done = [ended(&item, &Transition::Delivered)];
    let finish = async { store.finish(daemon, &done, &[item.claim]).await };
    let hold = async {
        wait_for_lock(&bench.pool).await;
        let mut command = bench.command().await;
        command.hold(bench.company, &[id.uuid()], &Reason::HeldByOperator("ann".into())).await.unwrap();
        command.commit().await.unwrap();
        fence.rollback().await.unwrap();
    };
    let (finished, ()) = tokio::join!(finish, hold);
    // On a slow machine the finish gave up on the lock before; then it comes again.
    if finished.is_err() {
        store.finish(daemon, &done, &[item.claim]).await.unwrap();
    }
    assert_eq!(bench.state(id).await, "delivered");
    assert_eq!(bench.count("undelivered").await, 0);
}

#[tokio::test]
async fn an_update_that_is_committed_while_a_finish_waits_for_its_lock_is_handed_on() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let item = bench.claim_one().await;
    // The finish has its snapshot, and waits at the fence, when the update is linked behind what it ends.
    let mut fence = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM claim FOR UPDATE").execute(&mut *fence).await.unwrap();
    let (store, daemon) = (bench.store.clone(), bench.daemon);
    let done = [ended(&item, &Transition::Delivered)];
    let finish = async { store.finish(daemon, &done, &[item.claim]).await };
    let pool = bench.pool.clone();
    let rest = async {
        wait_for_lock(&pool).await;
        let update = bench.update(lead.id).await;
        fence.rollback().await.unwrap();
        update
    };
    let (finished, update) = tokio::join!(finish, rest);
    if finished.is_err() {
        // On a slow machine the lock did not come in time.
        store.finish(daemon, &done, &[item.claim]).await.unwrap();
    }
    check_invariants(&bench.pool).await;
    assert_eq!(bench.claim_one().await.delivery, update);
}

/// A push that was held in flight and arrives: the flush is written, and what lists it is taken away behind it.
async fn held_in_flight(bench: &mut Bench) -> Claimed {
    let item = bench.claimed(1).await.remove(0);
    let mut command = bench.command().await;
    let reason = Reason::HeldByOperator("ann".into());
    command.hold(bench.company, &[item.delivery.uuid()], &reason).await.unwrap();
    command.commit().await.unwrap();
    item
}

#[tokio::test]
async fn what_lists_an_arrived_push_is_taken_away_once_its_lock_is_free() {
    let mut bench = Bench::new().await;
    let item = held_in_flight(&mut bench).await;
    // Somebody holds the row that lists it, which the flush itself does not touch.
    let mut other = bench.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM undelivered FOR UPDATE").execute(&mut *other).await.unwrap();
    let (store, daemon, pool) = (bench.store.clone(), bench.daemon, bench.pool.clone());
    let done = [ended(&item, &Transition::Delivered)];
    let rest = async {
        wait_for(&pool, "EXISTS (SELECT FROM delivery WHERE state = 'delivered')").await;
        wait_for_lock(&pool).await;
        // It gives up before long, and comes again.
        let first = "SELECT max(xact_start)::text FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let first: Option<String> = sqlx::query_scalar(first).fetch_one(&pool).await.unwrap();
        let again = format!(
            "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                 AND xact_start > '{}'::timestamptz)",
            first.unwrap_or_else(|| "-infinity".to_owned())
        );
        wait_for(&pool, &again).await;
        let listed: i64 =
            sqlx::query_scalar("SELECT count(*) FROM undelivered").fetch_one(&pool).await.unwrap();
        other.rollback().await.unwrap();
        listed
    };
    let finish = async { store.finish(daemon, &done, &[item.claim]).await };
    let (flushed, listed) = tokio::join!(finish, rest);
    assert_eq!((flushed.unwrap().recorded, listed, bench.count("undelivered").await), (1, 1, 0));
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn a_deadlock_between_a_flush_and_what_it_takes_away_is_tried_again() {
    let mut bench = Bench::new().await;
    let item = held_in_flight(&mut bench).await;
    // Somebody holds the row that lists it, and asks for the count that is locked before that: each waits for the other.
    let mut other = bench.pool.begin().await.unwrap();
    // Whoever began to wait first finds the deadlock, and gives way.
    sqlx::query("SET LOCAL deadlock_timeout = '1h'").execute(&mut *other).await.unwrap();
    sqlx::query("SELECT FROM undelivered FOR UPDATE").execute(&mut *other).await.unwrap();
    let (store, daemon, pool) = (bench.store.clone(), bench.daemon, bench.pool.clone());
    let done = [ended(&item, &Transition::Delivered)];
    let rest = async {
        wait_for(&pool, "EXISTS (SELECT FROM delivery WHERE state = 'delivered')").await;
        wait_for_lock(&pool).await;
        sqlx::query("UPDATE integration_stat SET dead = 7").execute(&mut *other).await.unwrap();
        other.commit().await.unwrap();
    };
    let finish = async { store.finish(daemon, &done, &[item.claim]).await };
    let (flushed, ()) = tokio::join!(finish, rest);
    assert_eq!((flushed.unwrap().recorded, bench.count("undelivered").await), (1, 0));
    assert_eq!(bench.count("integration_stat WHERE dead = 7").await, 1, "neither change is lost");
}
