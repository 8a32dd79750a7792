//! Accounts that several daemons call: one has it at a time, gives it away with what it knows, and loses it with its life.
//! Whoever waits gets it in its turn, whatever becomes of the others.

use std::time::Duration;

use leadlined::{
    domain::{
        lane::{LaneId, Wait},
        outcome::{Failure, FailureClass},
    },
    store::account::{AccountHash, AccountMemory, PriorCalls, TakenAccount},
};

use super::bench::{Bench, wait_for_lock};

const ACCOUNT: AccountHash = [7; 32];
const LEASE_SECONDS: f64 = 600.0;

impl Bench {
    async fn other_daemon(&self) -> i64 {
        self.store.enroll(LEASE_SECONDS).await.unwrap()
    }

    async fn take(&self, daemon: i64) -> Option<TakenAccount> {
        self.store.take_account(&ACCOUNT, daemon, None, &[self.lane()]).await.unwrap()
    }

    async fn prior(&self, daemon: i64) -> Option<PriorCalls> {
        self.take(daemon).await.map(|taken| taken.prior)
    }

    /// Gives it as the one that has it under this term.
    async fn give(&self, daemon: i64, term: i64, memory: Option<&AccountMemory>) {
        self.store.give_account(&ACCOUNT, daemon, term, memory).await.unwrap();
    }

    async fn asked(&self, daemon: i64) -> Vec<(AccountHash, i64)> {
        self.store.hear(daemon, &[]).await.unwrap().asked
    }

    async fn hears_that_it_may_take(&self, daemon: i64) -> bool {
        self.store.hear(daemon, &[]).await.unwrap().may_take
    }

    /// Moves times of accounts into the past.
    async fn ago(&self, table: &str, column: &str, seconds: u32) {
        self.sql(&format!("UPDATE {table} SET {column} = {column} - interval '{seconds} seconds'")).await;
    }

    async fn awaits_account(&self) -> bool {
        let view = self.store.integration_view(&self.crm.to_string()).await.unwrap();
        view.health.lane.waits() == Some((Wait::Account, None))
    }
}

/// Whether a time has gone on from this, and not for long.
fn is_about(age: Duration, from: Duration) -> bool {
    age >= from && age < from + Duration::from_secs(30)
}

#[tokio::test]
async fn one_daemon_has_an_account_until_it_gives_it_to_the_one_that_asked() {
    let bench = Bench::new().await;
    let one = bench.daemon;
    let (two, three) = (bench.other_daemon().await, bench.other_daemon().await);
    assert_eq!(bench.take(one).await, Some(TakenAccount { term: 1, prior: PriorCalls::Own }));
    let other = bench.store.take_account(&[8; 32], two, None, &[]).await.unwrap().unwrap();
    assert_eq!(other.prior, PriorCalls::Own, "another account");
    assert!(bench.asked(one).await.is_empty());
    assert_eq!((bench.take(two).await, bench.take(three).await), (None, None));
    assert_eq!(bench.take(two).await, None, "asked once, it stands where it stood");
    assert_eq!(bench.asked(one).await, [(ACCOUNT, 1)], "once, whoever waits");
    assert!(bench.asked(two).await.is_empty());

    let exhausted =
        Failure::new(FailureClass::Throttled, "HubSpot: quota: 3 of the day's 1000 calls are left");
    let memory = AccountMemory {
        ended: vec![Duration::from_secs(1), Duration::from_secs(90)],
        last_push: None,
        exhausted: Some(Failure { retry_after: Some(Duration::from_secs(900)), ..exhausted.clone() }),
    };
    bench.give(two, 1, None).await;
    bench.give(one, 2, None).await;
    assert_eq!(bench.take(two).await, None, "neither who has it not nor another term gives it away");
    assert!(!bench.hears_that_it_may_take(two).await);
    bench.give(one, 1, Some(&memory)).await;
    assert!(bench.hears_that_it_may_take(two).await && !bench.hears_that_it_may_take(one).await);
    assert_eq!(bench.take(three).await, None, "it is kept for who asked first");
    assert_eq!(bench.take(one).await, None);
    let taken = bench.take(two).await.unwrap();
    let PriorCalls::Given(known) = taken.prior else { panic!("it is not told what is known") };
    let is_older = |(now, then): (&Duration, &Duration)| is_about(*now, *then);
    assert!(known.ended.iter().zip(&memory.ended).all(is_older), "{known:?}");
    assert_eq!((taken.term, known.ended.len(), known.last_push), (3, 2, None));
    let left = known.exhausted.unwrap();
    assert_eq!((left.class, &left.error), (exhausted.class, &exhausted.error));
    assert!(is_about(Duration::from_secs(901), left.retry_after.unwrap()), "{left:?}");

    // Those that asked later get it in their turn.
    assert_eq!(bench.asked(two).await, [(ACCOUNT, 3)]);
    bench.give(two, 3, Some(&AccountMemory::default())).await;
    assert_eq!((bench.take(two).await, bench.take(one).await), (None, None));
    assert_eq!(bench.prior(three).await, Some(PriorCalls::Given(AccountMemory::default())));
    assert_eq!(bench.count("account_wait").await, 2);
}

#[tokio::test]
async fn whoever_asked_and_does_not_come_keeps_nobody_waiting() {
    let bench = Bench::new().await;
    let one = bench.daemon;
    let (absent, two) = (bench.other_daemon().await, bench.other_daemon().await);
    bench.take(one).await.unwrap();
    assert_eq!((bench.take(absent).await, bench.take(two).await), (None, None));
    let memory = AccountMemory { last_push: Some(Duration::from_secs(5)), ..AccountMemory::default() };
    bench.give(one, 1, Some(&memory)).await;
    assert_eq!(bench.take(two).await, None);
    bench.ago("account_hold", "given_at", 4).await;
    let Some(PriorCalls::Given(known)) = bench.prior(two).await else {
        panic!("it waits for a daemon that is not there")
    };
    assert!(is_about(known.last_push.unwrap(), Duration::from_secs(9)), "{known:?}");
    assert!(bench.asked(two).await.is_empty(), "who did not come stands in the line no more");

    // Nor do those that have died meanwhile.
    assert_eq!((bench.take(absent).await, bench.take(one).await), (None, None));
    bench.store.leave(absent).await.unwrap();
    bench.give(two, 3, None).await;
    assert!(matches!(bench.prior(one).await, Some(PriorCalls::Unknown(_))));

    // It may also have come back for its own: nobody else's turn is lost by that.
    assert_eq!(bench.take(two).await, None);
    bench.take(one).await.unwrap();
    assert_eq!(bench.asked(one).await, [(ACCOUNT, 6)]);
}

#[tokio::test]
async fn what_a_dead_daemon_had_is_free_and_what_it_did_is_unknown() {
    let bench = Bench::new().await;
    let dead = bench.other_daemon().await;
    bench.take(dead).await.unwrap();
    assert_eq!(bench.take(bench.daemon).await, None);
    bench
        .sql(&format!("UPDATE daemon SET lease_until = now() - interval '1 second' WHERE id = {dead}"))
        .await;
    assert_eq!(bench.take(bench.daemon).await, None, "it may yet beat, and has it then");
    bench.store.remove_expired(bench.daemon, false).await.unwrap();
    assert_eq!(bench.prior(bench.daemon).await, Some(PriorCalls::Unknown(Duration::ZERO)));
    assert!(bench.asked(bench.daemon).await.is_empty(), "nobody waits any more");
    bench.give(dead, 1, Some(&AccountMemory::default())).await;
    assert_eq!(bench.take(dead).await, None, "what comes late from there changes nothing");

    bench.store.leave(bench.daemon).await.unwrap();
    let heir = bench.other_daemon().await;
    assert_eq!(bench.take(heir).await.map(|taken| taken.term), Some(3));
}

#[tokio::test]
async fn a_daemon_that_never_gives_an_account_away_loses_it_and_hears_of_that() {
    let bench = Bench::new().await;
    let (one, two, three) = (bench.daemon, bench.other_daemon().await, bench.other_daemon().await);
    bench.take(one).await.unwrap();
    assert_eq!((bench.take(two).await, bench.take(three).await), (None, None));
    bench.ago("account_hold", "taken_at", 3600).await;
    bench.ago("account_wait", "asked_at", 590).await;
    assert_eq!((bench.take(two).await, bench.take(three).await), (None, None));
    bench.ago("account_wait", "asked_at", 20).await;
    let held = [(ACCOUNT, 1)];
    assert!(bench.store.lost_accounts(one, &held).await.unwrap().is_empty());
    assert_eq!(bench.prior(two).await, Some(PriorCalls::Unknown(Duration::ZERO)));
    assert_eq!(bench.store.lost_accounts(one, &held).await.unwrap(), held);
    bench.give(one, 1, None).await;
    assert_eq!(bench.count("account_hold WHERE daemon_id IS NULL").await, 0, "it has it no more to give");

    // Whoever stood behind that one has waited for as long, but not for it.
    assert_eq!(bench.take(three).await, None);
    assert_eq!(bench.asked(two).await, [(ACCOUNT, 2)]);
    bench.ago("account_hold", "taken_at", 590).await;
    assert_eq!(bench.take(three).await, None);
    bench.ago("account_hold", "taken_at", 20).await;
    assert!(bench.take(three).await.is_some());
    let held = [(ACCOUNT, 2), ([8; 32], 7)];
    assert_eq!(bench.store.lost_accounts(two, &held).await.unwrap().len(), 2, "nor has anybody that one");
    assert!(bench.store.lost_accounts(three, &[(ACCOUNT, 3)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_waits_no_more_is_not_waited_for() {
    let bench = Bench::new().await;
    let (one, two, three) = (bench.daemon, bench.other_daemon().await, bench.other_daemon().await);
    bench.take(one).await.unwrap();
    assert_eq!((bench.take(two).await, bench.take(three).await), (None, None));
    bench.store.leave_account_line(&ACCOUNT, two).await.unwrap();
    bench.give(one, 1, None).await;
    assert!(bench.take(three).await.is_some(), "its turn is that of the next");
    bench.store.leave_account_line(&ACCOUNT, three).await.unwrap();
    assert!(bench.asked(three).await.is_empty());
    assert_eq!(bench.take(one).await, None, "that it waits no more gives nothing away");
}

#[tokio::test]
async fn what_a_daemon_did_under_a_term_that_it_does_not_know_is_unknown() {
    let bench = Bench::new().await;
    let (one, two) = (bench.daemon, bench.other_daemon().await);
    let again = async |known| {
        let taken = bench.store.take_account(&ACCOUNT, one, known, &[]).await.unwrap().unwrap();
        (taken.term, taken.prior)
    };
    bench.take(one).await.unwrap();
    assert_eq!(again(Some(1)).await, (2, PriorCalls::Own), "that it gave it away was not written");
    bench.give(one, 1, None).await;
    assert_eq!(bench.take(two).await, None, "nor is it when it arrives late");
    bench.give(one, 2, None).await;
    bench.take(two).await.unwrap();
    assert_eq!(bench.take(one).await, None);
    bench.give(two, 4, Some(&AccountMemory::default())).await;
    // The answer to this one is lost, and what the other knew with it.
    bench.take(one).await.unwrap();
    assert_eq!(again(Some(2)).await, (7, PriorCalls::Unknown(Duration::ZERO)));
}

#[tokio::test]
async fn what_nobody_calls_any_more_is_forgotten() {
    let bench = Bench::new().await;
    let gone = bench.other_daemon().await;
    bench.take(gone).await.unwrap();
    let waits = bench.other_daemon().await;
    assert_eq!(bench.take(waits).await, None);
    for daemon in [gone, waits] {
        bench.store.leave(daemon).await.unwrap();
    }
    bench.store.forget_accounts().await.unwrap();
    assert_eq!(bench.count("account_wait").await, 0);
    bench.ago("account_hold", "given_at", 3500).await;
    bench.store.forget_accounts().await.unwrap();
    let Some(PriorCalls::Unknown(age)) = bench.prior(bench.daemon).await else {
        panic!("it was called not long ago")
    };
    assert!(is_about(age, Duration::from_secs(3500)));
    bench.store.forget_accounts().await.unwrap();
    assert_eq!(bench.count("account_hold").await, 1, "this one lives");
    bench.give(bench.daemon, 3, None).await;
    bench.ago("account_hold", "given_at", 3700).await;
    bench
        .sql("INSERT INTO account_wait (account_hash, daemon_id, integrations) SELECT '\\x07', id, '{}' FROM daemon")
        .await;
    bench.store.forget_accounts().await.unwrap();
    assert_eq!((bench.count("account_hold").await, bench.count("account_wait").await), (0, 0));
}

#[tokio::test]
async fn of_two_that_take_an_account_at_once_one_has_it() {
    let bench = Bench::new().await;
    let (one, two) = (bench.daemon, bench.other_daemon().await);
    // Its first.
    let (a, b) = tokio::join!(bench.take(one), bench.take(two));
    assert!(a.is_some() != b.is_some(), "{a:?} {b:?}");
    let (has, wants) = if a.is_some() { (one, two) } else { (two, one) };
    bench.give(has, 1, Some(&AccountMemory::default())).await;
    bench.sql("DELETE FROM account_wait").await;
    let mut other = bench.pool.begin().await.unwrap();
    let taken = format!("UPDATE account_hold SET daemon_id = {has}, given_at = NULL, term = term + 1");
    sqlx::query(sqlx::AssertSqlSafe(taken)).execute(&mut *other).await.unwrap();
    let commit = async {
        wait_for_lock(&bench.pool).await;
        other.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(bench.take(wants), commit);
    assert_eq!(answer, None, "what it saw is not so any more");
    assert_eq!(bench.take(wants).await, None);
    assert_eq!(bench.asked(has).await, [(ACCOUNT, 3)]);
}

#[tokio::test]
async fn an_integration_whose_pushes_wait_for_the_account_says_so() {
    let bench = Bench::new().await;
    let (holder, lane) = (bench.other_daemon().await, bench.lane());
    bench.take(holder).await.unwrap();
    assert_eq!(bench.take(bench.daemon).await, None);
    assert!(!bench.awaits_account().await, "not for what takes no time");
    bench.ago("account_wait", "asked_at", 2).await;
    assert!(bench.awaits_account().await);
    let twin = LaneId::new(bench.company, bench.integration(bench.company, "twin").await);
    bench.store.take_account(&ACCOUNT, bench.daemon, None, &[twin]).await.unwrap();
    assert!(!bench.awaits_account().await, "others do now");
    bench.store.take_account(&ACCOUNT, bench.daemon, None, &[twin, lane]).await.unwrap();
    assert!(bench.awaits_account().await, "its turn is no later for that");
    bench.give(holder, 1, None).await;
    bench.take(bench.daemon).await.unwrap();
    assert!(!bench.awaits_account().await);
}
