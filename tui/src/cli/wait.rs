//! Starts pushes and waits for what becomes of them: `integration test` and `delivery retry`.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use leadline_proto::v1;
use serde_json::json;

use super::{
    CliError, Context,
    shape::{Attempt, RetryPlan, shapes},
};
use crate::client::{Client, ClientError, PAGE_MAX};

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
    context.out.object(&Attempt::from(outcome.clone()))?;
    verdict(&[outcome])
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
    match outcomes.as_slice() {
        [outcome] if single => context.out.object(&Attempt::from(outcome.clone()))?,
        outcomes => {
            let attempts: Vec<Attempt> = shapes(outcomes.to_vec());
            let columns = ["id", "delivery_id", "number", "state", "status_code", "failure_class", "error"];
            context.out.list(&attempts, &columns)?;
        }
    }
    verdict(&outcomes)
}

async fn push_again(
    client: &Client,
    request: v1::RetryDeliveriesRequest,
) -> Result<Vec<v1::Attempt>, CliError> {
    let waiting = before(client, request).await?;
    for chunk in waiting.chunks(PAGE_MAX as usize) {
        let ids = chunk.iter().map(|delivery| delivery.id.clone()).collect();
        client.retry_deliveries(v1::RetryDeliveriesRequest { ids, ..Default::default() }).await?;
    }
    let outcomes = waiting.into_iter().map(|delivery| {
        let (delivery, after_number) = (delivery.id, delivery.attempts);
        outcome(client, v1::AwaitAttemptRequest { attempt: String::new(), delivery, after_number })
    });
    stream::iter(outcomes).buffered(WAITS_MAX).try_collect().await
}

/// The deliveries meant, with their number of attempts before the retry: what comes behind it is ours.
async fn before(client: &Client, request: v1::RetryDeliveriesRequest) -> Result<Vec<v1::Delivery>, CliError> {
    let Some(filter) = request.filter else {
        let shown = request.ids.into_iter().map(|id| client.get_delivery(v1::GetDeliveryRequest { id }));
        let found: Vec<_> = stream::iter(shown).buffered(WAITS_MAX).try_collect().await?;
        return Ok(found.into_iter().filter_map(|answer| answer.delivery).collect());
    };
    Ok(client.all_deliveries(&filter).await?)
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
        Err(error) => Err(error.into()),
    }
}

fn verdict(outcomes: &[v1::Attempt]) -> Result<(), CliError> {
    let failed: Vec<_> = outcomes.iter().filter(|attempt| attempt.state != "delivered").collect();
    match failed.as_slice() {
        [] => Ok(()),
        [attempt] if outcomes.len() == 1 => Err(CliError::Failed(format!(
            "the push failed ({}): {}; `leadline attempt show {}` has what came back",
            attempt.failure_class, attempt.error, attempt.id
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

    use super::*;
    use crate::client::fake::FakeDaemon;

    fn attempt(state: &str) -> v1::Attempt {
        v1::Attempt {
            id: "A".into(),
            state: state.into(),
            failure_class: "rejected".into(),
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
        let told: Vec<_> =
            outcomes.iter().map(|it| (it.delivery_id.as_str(), it.state.as_str(), it.number)).collect();
        assert_eq!(told, [("D1", "delivered", 5), ("bad", "failed", 5)]);

        let filter = Some(v1::DeliveryFilter { states: vec!["dead".to_owned()], ..Default::default() });
        let found = v1::RetryDeliveriesRequest { filter, ..Default::default() };
        assert_eq!(push_again(&daemon.client, found).await.unwrap().len(), FakeDaemon::DEAD);

        let missing = push_again(&daemon.client, named(&["missing"])).await.unwrap_err();
        assert_eq!((missing.exit_code(), missing.to_string().as_str()), (1, "no delivery 'missing'"));

        let retried = daemon.stop().await;
        let counts: Vec<_> = retried.iter().map(|request| request.ids.len()).collect();
        assert_eq!(counts, [2, PAGE_MAX as usize, 1]);
        let ids: HashSet<_> = retried.iter().map(|request| request.request_id.as_str()).collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| id.len() == 26), "every mutation has its own id");
    }

    #[test]
    fn a_push_that_failed_fails_the_command() {
        let message = |states: &[&str]| {
            let outcomes: Vec<_> = states.iter().map(|state| attempt(state)).collect();
            verdict(&outcomes).err().map(|error| (error.exit_code(), error.to_string()))
        };
        assert_eq!(message(&[]), None);
        assert_eq!(message(&["delivered", "delivered"]), None);
        let (code, text) = message(&["failed"]).unwrap();
        assert!(code == 1 && text.contains("(rejected)") && text.contains("attempt show A"), "{text}");
        let (code, text) = message(&["delivered", "failed"]).unwrap();
        assert!(code == 1 && text.starts_with("1 of 2 pushes failed"), "{text}");
    }
}
