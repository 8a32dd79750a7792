//! Causes that somebody snoozed.

use jiff::{SignedDuration, Timestamp};
use leadlined::{domain::cause::CauseId, store::failure::list::FailureFilter};

use super::{
    bench::{Bench, exhausted, retry},
    causes::in_an_hour,
};

impl Bench {
    async fn snooze(&self, cause: CauseId, until: Option<Timestamp>) {
        let mut command = self.command().await;
        command.snooze_cause(cause, until).await.unwrap();
        command.commit().await.unwrap();
    }
}

#[tokio::test]
async fn what_only_retries_can_be_snoozed_and_no_time_that_is_over() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push_in(bench.lane(), &retry(), "no such field").await;
    let listed = async || bench.store.failures(&FailureFilter::default(), 0, 9).await.unwrap().page;
    let cause = listed().await[0].cause;
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    let mut command = bench.command().await;
    let snoozed = command.snooze_cause(cause, Some(until)).await.unwrap();
    assert_eq!((snoozed.before, snoozed.companies), (None, vec![bench.company]));
    command.commit().await.unwrap();
    assert!(listed().await.is_empty());
    let past: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut command = bench.command().await;
    assert_eq!(
        command.snooze_cause(cause, Some(past)).await.unwrap_err().to_string(),
        "until 2026-01-02T03:04:05Z is over: name a time to come"
    );
}

#[tokio::test]
async fn a_snoozed_cause_stays_off_the_list_whatever_waits_of_it() {
    let mut bench = Bench::new().await;
    let lane = bench.lane();
    bench.fails(lane, &exhausted(), "Ann", 100, "gateway down").await;
    bench.name_all_causes().await;
    let cause = bench.only_failure().await.cause;
    bench.snooze(cause, in_an_hour()).await;
    let listed = async |bench: &Bench, include_snoozed| {
        let failures = bench.failures(&FailureFilter { include_snoozed, ..Default::default() }).await;
        (failures.page.len(), failures.snoozed)
    };
    assert_eq!((listed(&bench, false).await, listed(&bench, true).await), ((0, 1), (1, 1)));
    // The sweep brings it back, and it fails as before: nothing is dead of the cause, and it is snoozed still.
    bench.retry_dead().await;
    bench.sql("UPDATE due SET due_at = now()").await;
    bench.push_in(lane, &retry(), "gateway down").await;
    bench.sql("UPDATE due SET trigger = 'retry'").await;
    assert_eq!((listed(&bench, false).await, listed(&bench, true).await), ((0, 1), (1, 1)));
    bench.sql("UPDATE cause SET snoozed_until = now() - interval '1 s'").await;
    assert_eq!(listed(&bench, false).await, (1, 0), "its time is over");
}

#[tokio::test]
async fn a_snoozed_cause_is_remembered_until_its_time() {
    let mut bench = Bench::new().await;
    bench.dies("Ann", "alpha").await;
    bench.name_all_causes().await;
    let cause = bench.only_failure().await.cause;
    bench.snooze(cause, in_an_hour()).await;
    bench.retry_dead().await;
    bench.sql("UPDATE cause SET created_at = now() - interval '31 days'").await;
    bench.store.check_causes().await.unwrap();
    assert_eq!(bench.count("cause").await, 1);
    bench.snooze(cause, None).await;
    bench.store.check_causes().await.unwrap();
    assert_eq!(bench.count("cause").await, 0);
}
