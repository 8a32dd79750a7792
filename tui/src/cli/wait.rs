//! Starts pushes and waits for what becomes of them: `integration test` and `delivery retry`.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use leadline_client::{Client, ClientError, PAGE_MAX};
use leadline_proto::v1;
use serde_json::json;

use super::{
    CliError, Context,
    output_types::{Attempt, Job, RetryPlan, shapes},
    progress::Progress,
    watch::ended,
};
use crate::jobs::JobProgress;

/// How many outcomes are waited for at the same time.
const WAITS_MAX: usize = 16;

/// Pushes a sample and prints what came of it.
pub(crate) async fn test(
    context: &Context,
    client: &Client,
    integration: String,
    no_wait: bool,
) -> Result<(), CliError> {
    let request = v1::TestIntegrationRequest { request_id: String::new(), integration };
    let attempt = client.test_integration(request).await?.attempt_id;
    if no_wait {
        return context.out.object(&json!({ "attempt_id": attempt }));
    }
    let outcome = outcome(client, v1::AwaitAttemptRequest { attempt, ..Default::default() }).await?;
    let printed = context.out.object(&Attempt::from(outcome.clone()));
    result_of(&[outcome]).and(printed)
}

/// Counts what a retry would push, and says how long that takes.
pub(crate) async fn dry_run(
    context: &Context,
    client: &Client,
    request: v1::RetryDeliveriesRequest,
) -> Result<(), CliError> {
    let request = v1::RetryDeliveriesRequest { dry_run: true, ..request };
    context.out.object(&RetryPlan::from(client.retry_deliveries(request).await?))
}

/// Pushes again without waiting.
pub(crate) async fn start(
    context: &Context,
    client: &Client,
    request: v1::RetryDeliveriesRequest,
) -> Result<(), CliError> {
    context.out.object(&RetryPlan::from(client.retry_deliveries(request).await?))
}

/// Pushes again and prints the attempt of each. One delivery that was named gives one object.
pub(crate) async fn retry(
    context: &Context,
    client: &Client,
    request: v1::RetryDeliveriesRequest,
) -> Result<(), CliError> {
    let single = request.ids.len() == 1;
    let outcomes = push_again(client, request).await?;
    let printed = match outcomes.as_slice() {
        [outcome] if single => context.out.object(&Attempt::from(outcome.clone())),
        outcomes => {
            let attempts: Vec<Attempt> = shapes(outcomes.to_vec());
            context.out.list(&attempts)
        }
    };
    result_of(&outcomes).and(printed)
}

async fn push_again(
    client: &Client,
    request: v1::RetryDeliveriesRequest,
) -> Result<Vec<v1::Attempt>, CliError> {
    // With their number of attempts before the retry: what comes behind it is ours.
    let shown = request.ids.iter().map(|id| client.get_delivery(v1::GetDeliveryRequest { id: id.clone() }));
    let found: Vec<_> = stream::iter(shown).buffered(WAITS_MAX).try_collect().await?;
    let waiting: Vec<_> = found.into_iter().filter_map(|answer| answer.delivery).collect();
    let numbers: HashMap<_, _> = waiting.iter().map(|it| (it.id.clone(), it.attempts)).collect();
    let mut pushed = Vec::new();
    for chunk in waiting.chunks(PAGE_MAX as usize) {
        let ids: Vec<_> = chunk.iter().map(|delivery| delivery.id.clone()).collect();
        let again = v1::RetryDeliveriesRequest {
            ids: ids.clone(),
            re_render: request.re_render,
            ..Default::default()
        };
        let answer = client.retry_deliveries(again).await?;
        // What is rendered anew has another id.
        pushed.extend(if request.re_render { answer.pushed } else { ids });
    }
    let outcomes = pushed.into_iter().map(|delivery| {
        let after_number = numbers.get(&delivery).copied().unwrap_or(0);
        outcome(client, v1::AwaitAttemptRequest { attempt: String::new(), delivery, after_number })
    });
    stream::iter(outcomes).buffered(WAITS_MAX).try_collect().await
}

/// Waits for the first attempts of new deliveries and prints them.
pub(crate) async fn outcomes(
    context: &Context,
    client: &Client,
    deliveries: Vec<String>,
) -> Result<(), CliError> {
    let first = deliveries.into_iter().map(|delivery| {
        outcome(client, v1::AwaitAttemptRequest { attempt: String::new(), delivery, after_number: 0 })
    });
    let outcomes: Vec<v1::Attempt> = stream::iter(first).buffered(WAITS_MAX).try_collect().await?;
    let attempts: Vec<Attempt> = shapes(outcomes.clone());
    let printed = context.out.list(&attempts);
    result_of(&outcomes).and(printed)
}

/// Pushes again what a filter finds, as a job, and follows it to its end. Whoever breaks that off cancels the job.
pub(crate) async fn retry_found(
    context: &Context,
    client: &Client,
    request: v1::RetryDeliveriesRequest,
) -> Result<(), CliError> {
    let job = client.retry_deliveries(request).await?.job_id;
    if job.is_empty() {
        context.out.note("Nothing to retry: no delivery meets the filter.");
        let nothing = v1::Job {
            kind: v1::JobKind::Retry.into(),
            state: v1::JobState::Done.into(),
            ..Default::default()
        };
        return context.out.object(&Job::from(nothing));
    }
    follow_job(context, client, &job, true).await
}

/// Follows a job to its end and prints what came of it.
pub(crate) async fn follow_job(
    context: &Context,
    client: &Client,
    id: &str,
    cancels: bool,
) -> Result<(), CliError> {
    let left = |error| left(client, error, goes_on(id));
    let mut changes = client.watch_job(id).await.map_err(left)?;
    let progress = Progress::new();
    let mut last = None;
    loop {
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c(), if cancels => {
                interrupted.map_err(|error| CliError::Failed(format!("signals cannot be received: {error}")))?;
                let request = v1::CancelJobRequest { request_id: String::new(), id: id.to_owned() };
                last = Some(client.cancel_job(request).await?);
                break;
            }
            change = changes.next() => match change {
                Some(job) => {
                    let job = job.map_err(left)?;
                    progress.show(&how_far(&job));
                    last = Some(job);
                }
                None => break,
            },
        }
    }
    drop(progress);
    let job = last.ok_or_else(|| client.gone())?;
    let printed = context.out.object(&Job::from(job.clone()));
    job_result(&job).and(printed)
}

/// What becomes of a job that the daemon went away from.
fn goes_on(id: &str) -> String {
    format!("job {id} goes on with the daemon: `leadline job show {id} --wait` follows it")
}

/// Why something is waited for no longer; where the daemon went away, with what becomes of it.
fn left(client: &Client, error: ClientError, rest: String) -> CliError {
    match ended(client, error) {
        error if error.is_away() => CliError::Left { error, rest },
        error => error.into(),
    }
}

fn how_far(job: &v1::Job) -> String {
    let v1::Job { total, delivered, dead, pending, .. } = job;
    format!(
        "{delivered} of {total} delivered, {dead} failed, {pending} in the queue; Ctrl-C brings back no more"
    )
}

fn job_result(job: &v1::Job) -> Result<(), CliError> {
    let v1::Job { id, released, pending, dead, .. } = job;
    let rest = JobProgress::of(job).rest();
    match (job.state(), dead) {
        (v1::JobState::Done, 0) => Ok(()),
        (v1::JobState::Done, _) => Err(CliError::Failed(format!(
            "{dead} of {released} pushes failed; `leadline delivery list --job {id} --state dead` shows them"
        ))),
        _ => Err(CliError::Failed(format!(
            "broken off: {rest} were not brought back, {pending} are in the queue and go on by themselves; see \
             `leadline job show {id}`"
        ))),
    }
}

pub(super) async fn outcome(
    client: &Client,
    request: v1::AwaitAttemptRequest,
) -> Result<v1::Attempt, CliError> {
    let what = if request.delivery.is_empty() {
        format!("`leadline attempt show {}`", request.attempt)
    } else {
        format!("`leadline delivery show {}`", request.delivery)
    };
    match client.await_attempt(request).await {
        Ok(answer) => Ok(answer.attempt.unwrap_or_default()),
        Err(ClientError::Silent { after, .. }) => Err(CliError::Failed(format!(
            "the push is not finished after {} s and goes on without us; see {what}",
            after.as_secs()
        ))),
        Err(error) => Err(left(client, error, format!("{what} says what becomes of it"))),
    }
}

/// Whether what was waited for arrived. A push that failed fails the command, whether or not somebody reads what was printed.
fn result_of(outcomes: &[v1::Attempt]) -> Result<(), CliError> {
    let failed: Vec<_> =
        outcomes.iter().filter(|attempt| attempt.state() != v1::AttemptState::Delivered).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [attempt] if outcomes.len() == 1 => Err(CliError::Failed(format!(
            "the push failed ({}): {}; `leadline attempt show {}` has what came back",
            attempt.failure_class().word(),
            attempt.error,
            attempt.id
        ))),
        [first, ..] => Err(CliError::Failed(format!(
            "{} of {} pushes failed; `leadline attempt show {}` has what came back to the first",
            failed.len(),
            outcomes.len(),
            first.id
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use leadline_client::Why;

    use super::*;
    use crate::fake::FakeDaemon;

    fn attempt(state: v1::AttemptState) -> v1::Attempt {
        v1::Attempt {
            id: "A".into(),
            state: state.into(),
            failure_class: v1::FailureClass::Rejected.into(),
            error: "no such list".into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn a_retry_waits_for_the_attempt_behind_the_last_one() {
        let daemon = FakeDaemon::start().await;
        let named = |ids: &[&str]| v1::RetryDeliveriesRequest {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Default::default()
        };
        let outcomes = push_again(&daemon.client, named(&["D1", "bad"])).await.unwrap();
        let reported: Vec<_> =
            outcomes.iter().map(|it| (it.delivery_id.as_str(), it.state().word(), it.number)).collect();
        assert_eq!(reported, [("D1", "delivered", 5), ("bad", "failed", 5)]);

        let many: Vec<String> = (0..=PAGE_MAX).map(|id| id.to_string()).collect();
        let found = v1::RetryDeliveriesRequest { ids: many, ..Default::default() };
        assert_eq!(push_again(&daemon.client, found).await.unwrap().len(), PAGE_MAX as usize + 1);

        let missing = push_again(&daemon.client, named(&["missing"])).await.unwrap_err();
        assert_eq!((missing.exit_code(), missing.to_string().as_str()), (1, "no delivery 'missing'"));

        let dead = daemon.client.all_deliveries(&v1::DeliveryFilter::default()).await.unwrap();
        assert_eq!(dead.len(), FakeDaemon::DEAD, "page by page");

        let retried = daemon.stop().await;
        let counts: Vec<_> = retried.iter().map(|request| request.ids.len()).collect();
        assert_eq!(counts, [2, PAGE_MAX as usize, 1]);
        let ids: HashSet<_> = retried.iter().map(|request| request.request_id.as_str()).collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| id.len() == 26), "every mutation has its own id");
    }

    #[tokio::test]
    async fn a_job_that_the_daemon_went_away_from_is_not_over() {
        let daemon = FakeDaemon::start().await;
        let refused = |code, message: &str| ClientError::Refused {
            code,
            message: message.to_owned(),
            credential: false,
            why: Why::default(),
        };
        let address = daemon.client.address().clone();
        let told = left(&daemon.client, refused("unavailable", "the daemon stops"), goes_on("J"));
        assert_eq!(
            (told.exit_code(), told.to_string()),
            (
                69,
                format!(
                    "no daemon answers at {address} (the daemon stops); start `leadlined`, or say where it is with --server \
             unix:PATH or https://HOST:PORT; job J goes on with the daemon: `leadline job show J --wait` follows it"
                )
            )
        );
        let other = left(&daemon.client, refused("not_found", "no job J"), goes_on("J"));
        assert_eq!((other.exit_code(), &*other.to_string()), (1, "no job J"));
        let client = daemon.client.clone();
        daemon.stop().await;
        let request = v1::AwaitAttemptRequest { delivery: "D1".into(), ..Default::default() };
        let gone = outcome(&client, request).await.unwrap_err();
        let told = gone.to_string();
        assert!(told.ends_with("; `leadline delivery show D1` says what becomes of it"), "{told}");
        assert_eq!(gone.exit_code(), 69);
    }

    #[test]
    fn a_job_fails_the_command_if_a_push_failed_or_it_was_broken_off() {
        let job = |state: v1::JobState, dead| v1::Job {
            id: "J".into(),
            state: state.into(),
            total: 9,
            released: 5,
            left_alone: 1,
            pending: 2,
            dead,
            ..Default::default()
        };
        assert!(job_result(&job(v1::JobState::Done, 0)).is_ok());
        let failed = job_result(&job(v1::JobState::Done, 2)).unwrap_err().to_string();
        assert_eq!(failed, "2 of 5 pushes failed; `leadline delivery list --job J --state dead` shows them");
        for state in [v1::JobState::Cancelled, v1::JobState::Running] {
            let broken_off = job_result(&job(state, 0)).unwrap_err().to_string();
            assert_eq!(
                broken_off,
                "broken off: 3 were not brought back, 2 are in the queue and go on by themselves; see `leadline job show J`"
            );
        }
    }

    #[test]
    fn a_push_that_failed_fails_the_command() {
        use v1::AttemptState::{Delivered, Failed};
        let message = |states: &[v1::AttemptState]| {
            let outcomes: Vec<_> = states.iter().map(|state| attempt(*state)).collect();
            result_of(&outcomes).err().map(|error| (error.exit_code(), error.to_string()))
        };
        assert_eq!(message(&[]), None);
        assert_eq!(message(&[Delivered, Delivered]), None);
        for (states, reported) in [
            (
                &[Failed][..],
                "the push failed (rejected): no such list; `leadline attempt show A` has what came back",
            ),
            (
                &[Delivered, Failed],
                "1 of 2 pushes failed; `leadline attempt show A` has what came back to the first",
            ),
        ] {
            assert_eq!(message(states), Some((1, reported.to_owned())));
        }
    }
}
