//! Accounts that several daemons call: one has it at a time, gives it away with what it knows, and loses it with its life.

use std::time::Duration;

use leadlined::store::account::{AccountHash, AccountMemory, Before};

use super::bench::{Bench, wait_for_lock};

const ACCOUNT: AccountHash = [7; 32];
const LEASE_SECONDS: f64 = 600.0;

impl Bench {
    async fn take(&self, daemon: i64) -> Option<Before> {
        self.store.take_account(&ACCOUNT, daemon).await.unwrap()
    }

    async fn give(&self, daemon: i64, memory: Option<&AccountMemory>) {
        self.store.give_account(&ACCOUNT, daemon, memory).await.unwrap();
    }

    async fn asked(&self, daemon: i64) -> Vec<AccountHash> {
        self.store.hear(daemon, &[]).await.unwrap().asked
    }

    /// Moves times of the account into the past.
    async fn ago(&self, column: &str, seconds: u32) {
        self.sql(&format!("UPDATE account_hold SET {column} = {column} - interval '{seconds} seconds'"))
            .await;
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
    let (two, three) =
        (bench.store.enroll(LEASE_SECONDS).await.unwrap(), bench.store.enroll(LEASE_SECONDS).await.unwrap());
    assert_eq!(bench.take(one).await, Some(Before::Own));
    assert_eq!(bench.take(one).await, Some(Before::Own), "it has it already");
    assert_eq!(bench.store.take_account(&[8; 32], two).await.unwrap(), Some(Before::Own), "another account");
    assert!(bench.asked(one).await.is_empty());
    assert_eq!((bench.take(two).await, bench.take(three).await), (None, None));
    assert_eq!(bench.asked(one).await, [ACCOUNT], "once, whoever waits");
    assert!(bench.asked(two).await.is_empty());

    let memory = AccountMemory { ended: vec![Duration::from_secs(1), Duration::from_secs(90)], met: None };
    bench.give(two, None).await;
    bench.give(one, Some(&memory)).await;
    assert_eq!(bench.take(three).await, None, "it is kept for who asked first");
    assert_eq!(bench.take(one).await, None);
    let Some(Before::Given(known)) = bench.take(two).await else { panic!("it is not told what is known") };
    let is_older = |(now, then): (&Duration, &Duration)| is_about(*now, *then);
    assert!(known.ended.iter().zip(&memory.ended).all(is_older), "{known:?}");
    assert_eq!((known.ended.len(), known.met), (2, None));

    // Whoever asked and does not come keeps nobody waiting.
    assert_eq!(bench.take(three).await, None);
    bench.give(two, Some(&AccountMemory { ended: vec![], met: Some(Duration::from_secs(5)) })).await;
    assert_eq!(bench.take(one).await, None);
    bench.ago("given_at", 2).await;
    let Some(Before::Given(known)) = bench.take(one).await else {
        panic!("it waits for a daemon that is not there")
    };
    assert!(known.ended.is_empty() && is_about(known.met.unwrap(), Duration::from_secs(7)), "{known:?}");
}

#[tokio::test]
async fn what_a_dead_daemon_had_is_free_and_what_it_did_is_unknown() {
    let bench = Bench::new().await;
    let dead = bench.store.enroll(LEASE_SECONDS).await.unwrap();
    assert_eq!(bench.take(dead).await, Some(Before::Own));
    assert_eq!(bench.take(bench.daemon).await, None);
    bench
        .sql(&format!("UPDATE daemon SET lease_until = now() - interval '1 second' WHERE id = {dead}"))
        .await;
    assert_eq!(bench.take(bench.daemon).await, Some(Before::Unknown(Duration::ZERO)));
    assert!(bench.asked(bench.daemon).await.is_empty(), "nobody waits any more");

    // Nor does one that lives and never gives it away keep it for ever.
    let patient = bench.store.enroll(LEASE_SECONDS).await.unwrap();
    assert_eq!(bench.take(patient).await, None);
    bench.ago("asked_at", 590).await;
    assert_eq!(bench.take(patient).await, None);
    bench.ago("asked_at", 20).await;
    assert_eq!(bench.take(patient).await, Some(Before::Unknown(Duration::ZERO)));
    bench.give(bench.daemon, None).await;
    assert_eq!(bench.take(patient).await, Some(Before::Own), "it cannot give what it has no more");
}

#[tokio::test]
async fn what_nobody_calls_any_more_is_forgotten() {
    let bench = Bench::new().await;
    let gone = bench.store.enroll(LEASE_SECONDS).await.unwrap();
    assert_eq!(bench.take(gone).await, Some(Before::Own));
    bench.store.leave(gone).await.unwrap();
    bench.store.forget_accounts().await.unwrap();
    bench.ago("given_at", 3500).await;
    bench.store.forget_accounts().await.unwrap();
    let Some(Before::Unknown(age)) = bench.take(bench.daemon).await else {
        panic!("it was called not long ago")
    };
    assert!(is_about(age, Duration::from_secs(3500)));
    bench.store.forget_accounts().await.unwrap();
    assert_eq!(bench.count("account_hold").await, 1, "this one lives");
    bench.give(bench.daemon, None).await;
    bench.ago("given_at", 3700).await;
    bench.store.forget_accounts().await.unwrap();
    assert_eq!(bench.count("account_hold").await, 0);
}

#[tokio::test]
async fn of_two_that_take_an_account_at_once_one_has_it() {
    let bench = Bench::new().await;
    let (one, two) = (bench.daemon, bench.store.enroll(LEASE_SECONDS).await.unwrap());
    assert_eq!(bench.take(two).await, Some(Before::Own));
    bench.give(two, Some(&AccountMemory::default())).await;
    let mut other = bench.pool.begin().await.unwrap();
    let taken = format!("UPDATE account_hold SET daemon_id = {one}, given_at = NULL");
    sqlx::query(sqlx::AssertSqlSafe(taken)).execute(&mut *other).await.unwrap();
    let commit = async {
        wait_for_lock(&bench.pool).await;
        other.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(bench.take(two), commit);
    assert_eq!(answer, None, "what it saw is not so any more");
    assert_eq!(bench.take(two).await, None);
    assert_eq!(bench.asked(one).await, [ACCOUNT]);
}
