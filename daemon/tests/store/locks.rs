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
    store::{
        Error,
        lead::{Reaccepted, intake::Flushed},
        queue::{claim::Claimed, finish::ListedArrivals},
    },
};
use sqlx::{AssertSqlSafe, PgTransaction};

use super::{
    bench::{Bench, dead, ended, wait_for, wait_for_lock},
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

/// Half a minute of a forgotten transaction: whoever wants to change what it holds comes again, and nobody else waits.
#[tokio::test]
async fn changes_of_what_is_held_leave_connections_to_the_others() {
    let mut bench = Bench::new().await;
    let other = bench.other_company().await;
    let (mine, theirs) = (bench.pending().await.id, LeadId::generate());
    let created = bench.event(other, theirs, EventKind::Created, &Fate::Pending).await;
    bench.store.accept(&[created]).await.unwrap();
    let lock = bench.hold_rows(&format!("delivery WHERE company_id = {}", bench.company)).await;
    let mut changes = Vec::new();
    for _ in 0..32 {
        changes.push(bench.event(bench.company, mine, EventKind::Updated, &Fate::Pending).await);
    }
    let change = bench.event(other, theirs, EventKind::Updated, &Fate::Pending).await;
    let started = Instant::now();
    let refused = futures::future::join_all(changes.iter().map(|change| bench.store.accept_again(change)));
    let others = async {
        wait_for_lock(&bench.pool).await;
        let beat = bench.store.beating().beat(bench.daemon, 600.0).await.unwrap();
        let changed = bench.store.accept_again(&change).await.unwrap();
        assert!(beat.is_alive && matches!(changed, Reaccepted::Updated(_)), "{changed:?}");
    };
    let (refused, ()) = tokio::join!(refused, others);
    assert!(refused.iter().all(|answer| matches!(answer, Err(Error::Locked))), "{refused:?}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    lock.rollback().await.unwrap();
    assert!(matches!(bench.store.accept_again(&changes[0]).await.unwrap(), Reaccepted::Updated(_)));
    check_invariants(&bench.pool).await;
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
    assert_eq!(bench.stands(update).await, ("pending".into(), None), "it waits for nothing any more");
    assert_eq!(bench.count("delivery d JOIN due q ON q.delivery_id = d.id AND q.due_at = d.due_at").await, 1);
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

/// A flush that is written while somebody holds what lists its push.
async fn written_while_listed(bench: &Bench, item: &Claimed) -> ListedArrivals {
    let started = Instant::now();
    let mut flushed = bench.end(std::slice::from_ref(item), &Transition::Delivered).await;
    assert!(started.elapsed() < SOON, "the flush waits for it: {:?}", started.elapsed());
    assert_eq!((flushed.recorded, flushed.listed.len()), (1, 1));
    assert_eq!((&*bench.state(item.delivery).await, bench.count("undelivered").await), ("delivered", 1));
    flushed.listed.remove(0)
}

#[tokio::test]
async fn what_lists_an_arrived_push_is_taken_away_once_its_lock_is_free() {
    let mut bench = Bench::new().await;
    let item = held_in_flight(&mut bench).await;
    // Somebody holds the row that lists it, which the flush itself does not touch.
    let other = bench.hold_rows("undelivered").await;
    let listed = written_while_listed(&bench, &item).await;
    let (store, pool) = (bench.store.clone(), bench.pool.clone());
    let rest = async {
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
        other.rollback().await.unwrap();
    };
    let (forgotten, ()) = tokio::join!(store.forget_arrived(&listed), rest);
    forgotten.unwrap();
    assert_eq!(bench.count("undelivered").await, 0);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn whoever_counts_while_what_arrived_is_taken_away_is_not_in_its_way() {
    let mut bench = Bench::new().await;
    let item = held_in_flight(&mut bench).await;
    // Somebody holds the row that lists it, and asks for the count that is locked before that: each waits for the other.
    let mut other = bench.hold_rows("undelivered").await;
    let listed = written_while_listed(&bench, &item).await;
    let (store, pool) = (bench.store.clone(), bench.pool.clone());
    let rest = async {
        wait_for_lock(&pool).await;
        sqlx::query("UPDATE integration_stat SET dead = 7").execute(&mut *other).await.unwrap();
        other.commit().await.unwrap();
    };
    let (forgotten, ()) = tokio::join!(store.forget_arrived(&listed), rest);
    forgotten.unwrap();
    assert_eq!(bench.count("undelivered").await, 0);
    assert_eq!(bench.count("integration_stat WHERE dead = 7").await, 1, "neither change is lost");
}

/// What a finish changes beside its own delivery: whoever waits behind it, and what died before it.
#[tokio::test]
async fn a_finish_does_not_wait_for_what_changes_with_it() {
    for is_dead in [false, true] {
        let mut bench = Bench::new().await;
        let mail = bench.integration(bench.company, "mail").await;
        let lead = bench.pending().await;
        let other = if is_dead {
            bench.push(&dead()).await;
            bench.update(lead.id).await;
            lead.deliveries[0]
        } else {
            bench.update(lead.id).await
        };
        let mut items = bench.claim(9).await;
        bench.crm = mail;
        items.extend(bench.claim(9).await);
        let lock = bench.hold_rows(&format!("delivery WHERE id = '{}'", other.uuid())).await;
        let before = bench.stands(other).await;
        let started = Instant::now();
        let flushed = bench.end(&items, &Transition::Delivered).await;
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        assert_eq!((flushed.recorded, &flushed.left[..]), (1, &[items[0].attempt][..]), "dead: {is_dead}");
        assert_eq!(bench.stands(other).await, before);
        lock.rollback().await.unwrap();
        let flushed = bench.end(&items[..1], &Transition::Delivered).await;
        assert_eq!((flushed.recorded, flushed.left.len(), bench.count("claim").await), (1, 0, 0));
        let expected = if is_dead {
            ("skipped".to_owned(), Some("superseded".to_owned()))
        } else {
            ("pending".to_owned(), None)
        };
        assert_eq!(bench.stands(other).await, expected);
        assert!(flushed.listed.is_empty());
        check_invariants(&bench.pool).await;
    }
}
