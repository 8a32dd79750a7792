//! Holds of one daemon among others, against a row in memory.

use std::cell::Cell;

use futures::{FutureExt as _, poll};

use super::*;
use crate::{
    dispatch::{
        holding::{AccountRows as _, fake::FakeDaemon},
        person_lock::PersonLocks,
    },
    domain::ids::{CompanyId, IntegrationId},
};

const ACCOUNT: AccountHash = [7; 32];
/// Another daemon.
const OTHER: i64 = 2;

fn lane() -> LaneId {
    LaneId::new(CompanyId(7), IntegrationId::generate())
}

fn new_hold(daemon: &FakeDaemon) -> AccountHold {
    AccountHold::new(ACCOUNT, daemon.holding.clone())
}

async fn held(hold: &AccountHold) -> HeldAccount {
    match hold.wait(lane(), false, |_| {}).await {
        Hold::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

/// Whether it is there at once: whoever finds no place at the first look waits.
fn is_waited_for(hold: &AccountHold) -> bool {
    held(hold).now_or_never().is_none()
}

/// Whether a daemon has it once it asked.
async fn ask(daemon: &FakeDaemon, who: i64) -> bool {
    daemon.rows.take(&ACCOUNT, who, None, &[]).await.unwrap().is_some()
}

#[tokio::test]
async fn whoever_has_the_account_and_waits_for_a_person_ends_before_it_is_given_away() {
    let daemon = FakeDaemon::new();
    let (hold, people) = (new_hold(&daemon), PersonLocks::default());
    let first = held(&hold).await;
    let ada = people.alone("ada").await;
    let second = hold.at_once().unwrap();
    assert!(!ask(&daemon, OTHER).await);
    let waits = async {
        let ada = people.alone("ada").await;
        assert_eq!(daemon.rows.holder(), Some(1), "it is not given away under it");
        drop((ada, second));
    };
    let ends = async {
        // From when it is about to be given away nobody begins.
        while hold.at_once().is_some() {
            sleep(Duration::from_millis(1)).await;
        }
        drop((ada, first));
    };
    tokio::join!(hold.give(1, AccountMemory::default), waits, ends);
    assert_eq!((daemon.rows.holder(), daemon.rows.line()), (None, vec![OTHER]));
    assert!(is_waited_for(&hold), "it is the other's turn");
    assert!(ask(&daemon, OTHER).await);
    assert!(daemon.news.held(1).is_empty());
}

#[tokio::test]
async fn the_line_is_left_once_the_last_who_waited_is_gone() {
    let mut daemon = FakeDaemon::new();
    let hold = new_hold(&daemon);
    assert!(ask(&daemon, OTHER).await);
    let (mut leaves, mut stays) = (Box::pin(held(&hold)), Box::pin(held(&hold)));
    assert!(poll!(&mut leaves).is_pending() && poll!(&mut stays).is_pending());
    drop(leaves);
    assert!(daemon.tasks.try_recv().is_err(), "another waits yet");
    drop(stays);
    assert_eq!(
        (daemon.rows.line(), daemon.tasks.try_recv().unwrap()),
        (vec![1], AccountTask::LeaveLine(ACCOUNT))
    );

    // If one came meanwhile, it stays; one that got it is in no line.
    let mut waits = Box::pin(held(&hold));
    assert!(poll!(&mut waits).is_pending());
    assert!(hold.leave_line().now_or_never().is_none());
    assert_eq!(daemon.rows.line(), [1]);
    daemon.rows.take_away(None);
    drop(waits.await);
    assert!(daemon.tasks.try_recv().is_err());
    daemon.rows.take_away(Some(OTHER));
    hold.give(3, AccountMemory::default).await;
    assert!(is_waited_for(&hold));
    hold.leave_line().await;
    assert!(daemon.rows.line().is_empty());
}

#[tokio::test]
async fn under_a_new_lease_an_account_is_taken_anew_once_what_began_under_the_old_one_has_ended() {
    let daemon = FakeDaemon::new();
    let hold = new_hold(&daemon);
    let old = held(&hold).await;
    assert_eq!(daemon.news.held(1), [(ACCOUNT, 1)]);
    daemon.lease.restart(3);
    daemon.rows.take_away(None);
    assert!(hold.at_once().is_none());
    let has_ended = Cell::new(false);
    let import = |prior| {
        assert_eq!(prior, PriorCalls::Unknown(Duration::ZERO));
        assert!(has_ended.get(), "both call it");
    };
    let ends = async {
        has_ended.set(true);
        drop(old);
    };
    let (new, ()) = tokio::join!(hold.wait(lane(), false, import), ends);
    assert!(matches!(new, Hold::Held(_)), "{new:?}");
    assert!(hold.at_once().is_some());
    assert_eq!((daemon.news.held(1).len(), daemon.news.held(3)), (0, vec![(ACCOUNT, 3)]));
}

#[tokio::test]
async fn a_daemon_whose_account_was_taken_away_begins_nothing_there() {
    let daemon = FakeDaemon::new();
    let hold = new_hold(&daemon);
    drop(held(&hold).await);
    daemon.rows.take_away(Some(OTHER));
    assert!(hold.at_once().is_some(), "it does not know yet");
    hold.give(1, AccountMemory::default).await;
    assert!(hold.at_once().is_none());
    assert_eq!(daemon.rows.holder(), Some(OTHER), "it had nothing to give");
    daemon.rows.take_away(None);
    drop(held(&hold).await);
    hold.give(1, AccountMemory::default).await;
    assert!(hold.at_once().is_some(), "what it hears late is of another time");
    assert_eq!(daemon.rows.holder(), Some(1));
}

#[tokio::test]
async fn who_waits_looks_as_soon_as_it_hears_that_nobody_has_it() {
    let daemon = FakeDaemon::new();
    let hold = new_hold(&daemon);
    assert!(ask(&daemon, OTHER).await);
    let mut waits = Box::pin(held(&hold));
    while hold.shown.lock().unwrap().is_empty() {
        assert!(poll!(&mut waits).is_pending());
        sleep(Duration::from_millis(1)).await;
    }
    let asked = daemon.rows.asked();
    for looks in 1..=5 {
        daemon.news.may_take();
        assert!(poll!(&mut waits).is_pending());
        assert!(daemon.rows.asked() >= asked + looks, "it looks once a second");
    }
    daemon.rows.take_away(None);
    daemon.news.may_take();
    assert!(poll!(&mut waits).is_ready());
    assert!(hold.shown.lock().unwrap().is_empty(), "the card says so no more");
}

#[tokio::test]
async fn a_daemon_that_stops_waits_for_no_account_with_what_it_can_give_back() {
    let daemon = FakeDaemon::new();
    let hold = new_hold(&daemon);
    assert!(ask(&daemon, OTHER).await);
    let stops = async { daemon.stopping.cancel() };
    let (waited, ()) = tokio::join!(hold.wait(lane(), true, |_| {}), stops);
    assert!(matches!(waited, Hold::Stopping), "{waited:?}");
    assert!(is_waited_for(&hold), "what has begun waits");
    // What the database does not let be known is called all the same.
    daemon.rows.fail(true);
    assert!(matches!(hold.wait(lane(), false, |_| {}).await, Hold::Without));
}
