//! The demo without a console: every lead and every push as a line, until nothing is left to do.

use std::{collections::HashSet, time::Duration};

use futures::{
    StreamExt as _,
    stream::{BoxStream, SelectAll},
};
use leadline_client::{Client, ClientError, PAGE_MAX, millis};
use leadline_proto::v1;
use serde_json::Value;
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::{DemoOptions, HEADLESS_LEADS, intake::Intake, scene::Scene};
use crate::{
    cli::{CliError, print},
    text::display_text,
};

/// All retries of a delivery take about 25 s; this leaves room for a slow machine.
const SETTLE_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);

type Attempts = SelectAll<BoxStream<'static, (String, Result<v1::WatchAttemptsResponse, ClientError>)>>;

/// Prints what happens and ends once every delivery is delivered or dead.
pub(super) async fn run(
    client: &Client,
    scene: &Scene,
    intake: &Intake,
    options: &DemoOptions,
) -> Result<(), CliError> {
    let leads = options.leads.unwrap_or(HEADLESS_LEADS);
    let mut attempts = watch(client, scene).await?;
    let mut reported = HashSet::new();
    let streaming = intake.stream(leads, options.rate(), report_lead);
    tokio::pin!(streaming);
    let mut look = interval(LOOK);
    let mut deadline = None;
    loop {
        tokio::select! {
            streamed = &mut streaming, if deadline.is_none() => {
                streamed?;
                deadline = Some(Instant::now() + SETTLE_MAX);
            }
            Some((name, batch)) = attempts.next() => report_attempts(&name, &batch?, &mut reported)?,
            _ = look.tick(), if deadline.is_some() => {
                if unsettled(client, 1).await?.is_empty() {
                    break;
                }
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Err(stuck(&unsettled(client, PAGE_MAX).await?));
            }
        }
    }
    // What has just finished may still be on its way to us.
    while let Ok(Some((name, batch))) = timeout(LOOK, attempts.next()).await {
        report_attempts(&name, &batch?, &mut reported)?;
    }
    summary(client, scene, leads).await
}

async fn watch(client: &Client, scene: &Scene) -> Result<Attempts, CliError> {
    let mut all = SelectAll::new();
    for (integration, _) in &scene.integrations {
        let name = integration.name.clone();
        let attempts = client.watch_attempts(&integration.id).await?;
        all.push(attempts.map(move |batch| (name.clone(), batch)).boxed());
    }
    Ok(all)
}

fn report_lead(lead: &Value) -> Result<(), CliError> {
    let lead = &lead["lead"];
    let text = |key: &str| lead[key].as_str().unwrap_or_default();
    print(&format!(
        "lead  {}  accepted: {}, {} on {}, {} guests\n",
        text("uuid"),
        text("name"),
        text("event_type"),
        text("event_date"),
        lead["guest_count"]
    ))
}

/// An attempt is told once, when it is finished; a watch may bring it again.
fn report_attempts(
    name: &str,
    batch: &v1::WatchAttemptsResponse,
    reported: &mut HashSet<String>,
) -> Result<(), CliError> {
    for attempt in batch.attempts.iter().rev() {
        if attempt.state() != v1::AttemptState::Running && reported.insert(attempt.id.clone()) {
            print(&attempt_line(name, attempt))?;
        }
    }
    Ok(())
}

fn attempt_line(name: &str, attempt: &v1::Attempt) -> String {
    let mut line =
        format!("push  {}  {name:<8} attempt {} {}", attempt.lead, attempt.number, attempt.state().word());
    if let Some(status) = attempt.status_code {
        line.push_str(&format!(" {status}"));
    }
    if let Some(milliseconds) = attempt.duration.map(millis) {
        line.push_str(&format!(" in {milliseconds} ms"));
    }
    if attempt.failure_class() != v1::FailureClass::Unspecified {
        let class = attempt.failure_class().word();
        line.push_str(&format!(" ({class}: {})", display_text(&attempt.error)));
    }
    line.push('\n');
    line
}

/// Deliveries that are neither delivered nor dead.
async fn unsettled(client: &Client, limit: u32) -> Result<Vec<v1::Delivery>, CliError> {
    let states = vec![v1::DeliveryState::Pending.into(), v1::DeliveryState::Held.into()];
    let filter = Some(v1::DeliveryFilter { states, ..Default::default() });
    let request = v1::ListDeliveriesRequest { filter, page_size: limit, ..Default::default() };
    Ok(client.list_deliveries(request).await?.deliveries)
}

fn stuck(deliveries: &[v1::Delivery]) -> CliError {
    let some: Vec<_> = deliveries
        .iter()
        .take(5)
        .map(|it| {
            format!(
                "{} to {} is {} after {} attempts",
                it.id,
                it.integration_name,
                it.state().word(),
                it.attempts
            )
        })
        .collect();
    CliError::Failed(format!(
        "{} deliveries are not finished after {} s: {}",
        deliveries.len(),
        SETTLE_MAX.as_secs(),
        some.join(", ")
    ))
}

async fn summary(client: &Client, scene: &Scene, leads: usize) -> Result<(), CliError> {
    print(&format!("\n{leads} leads, and what became of each delivery:\n"))?;
    for (integration, receiver) in &scene.integrations {
        let filter = v1::DeliveryFilter { integration: integration.id.clone(), ..Default::default() };
        let deliveries = client.all_deliveries(&filter).await?;
        let dead: Vec<_> =
            deliveries.iter().filter(|delivery| delivery.state() == v1::DeliveryState::Dead).collect();
        let delivered =
            deliveries.iter().filter(|delivery| delivery.state() == v1::DeliveryState::Delivered).count();
        let skipped =
            deliveries.iter().filter(|delivery| delivery.state() == v1::DeliveryState::Skipped).count();
        let name = &integration.name;
        let mut line = format!("{name:<11} {delivered} delivered, {} dead", dead.len());
        if skipped > 0 {
            line.push_str(&format!(", {skipped} skipped"));
        }
        if let Some(receiver) = receiver {
            line.push_str(&format!(", {} requests", receiver.count()));
        }
        if let Some(first) = dead.first() {
            line.push_str(&format!("; {}", display_text(&why(client, first).await?)));
        }
        print(&format!("{line}\n"))?;
    }
    if let Some(vendors) = &scene.vendors {
        print(&format!("\nwhat the vendors hold:\n{}\n", vendors.tally().join("\n")))?;
    }
    Ok(())
}

/// Why a delivery is dead: in its own words, else in those of its last attempt.
async fn why(client: &Client, delivery: &v1::Delivery) -> Result<String, CliError> {
    let request = v1::GetDeliveryRequest { id: delivery.id.clone() };
    let attempts = client.get_delivery(request).await?.attempts;
    match attempts.first() {
        Some(last) if last.failure_class() != v1::FailureClass::Unspecified => {
            Ok(format!("{}: {}", last.failure_class().word(), last.error))
        }
        _ if !delivery.reason.is_empty() => Ok(delivery.reason.clone()),
        _ => Err(CliError::Failed(format!("delivery {} is dead without a reason", delivery.id))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_a_line() {
        let failed = v1::Attempt {
            lead: "L".into(),
            number: 2,
            state: v1::AttemptState::Failed.into(),
            status_code: Some(500),
            duration: Some(prost_types::Duration { seconds: 0, nanos: 7_000_000 }),
            failure_class: v1::FailureClass::Transient.into(),
            error: "it said \x1b[2J".into(),
            ..Default::default()
        };
        let line = "push  L  flaky    attempt 2 failed 500 in 7 ms (transient: it said \\u{1b}[2J)\n";
        assert_eq!(attempt_line("flaky", &failed), line);
        let lost = v1::Attempt {
            state: v1::AttemptState::Failed.into(),
            failure_class: v1::FailureClass::Unknown.into(),
            ..Default::default()
        };
        assert_eq!(attempt_line("slow", &lost), "push    slow     attempt 0 failed (unknown: )\n");
    }

    #[test]
    fn what_is_stuck_is_named() {
        let delivery = v1::Delivery {
            id: "D".into(),
            integration_name: "slow".into(),
            state: v1::DeliveryState::Held.into(),
            ..Default::default()
        };
        let error = stuck(&vec![delivery; 7]).to_string();
        assert!(error.starts_with("7 deliveries are not finished after 120 s: D to slow is held"), "{error}");
        assert_eq!(error.matches("D to slow").count(), 5);
    }
}
