//! Snoozing what nothing has died of.

use jiff::{SignedDuration, Timestamp};
use leadlined::store::failure::list::FailureFilter;

use super::bench::{Bench, retry};

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
        "until 2026-01-02T03:04:05Z is over: name a time to come, as in --until 18:00 or --for 2h"
    );
}
