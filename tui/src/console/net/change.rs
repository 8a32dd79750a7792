//! Changes to be made by the daemon, and the dry runs of those that move many deliveries.

use std::time::Duration;

use leadline_client::{Client, seconds, span};
use leadline_proto::v1;

use super::{CallFailure, convert, save};
use crate::console::data::change::{NewIntegration, Skipped, Snooze};
use crate::console::data::{BulkTarget, Done, Estimate, Integration, Mutation, Secret, SecretEntry};
use crate::jobs::JobProgress;

/// What a bulk act is about, as the daemon is told: ids, or a filter.
fn select(target: BulkTarget) -> (Vec<String>, Option<v1::DeliveryFilter>) {
    let of = |integration: String, state: v1::DeliveryState| v1::DeliveryFilter {
        integration,
        states: vec![state.into()],
        ..Default::default()
    };
    let filter = match target {
        BulkTarget::Ids(ids) => return (ids, None),
        BulkTarget::Dead { integration } => of(integration, v1::DeliveryState::Dead),
        BulkTarget::Waiting { integration } => {
            v1::DeliveryFilter { integration, waiting: true, ..Default::default() }
        }
        BulkTarget::Undelivered { integration } => v1::DeliveryFilter {
            integration,
            states: vec![v1::DeliveryState::Pending.into(), v1::DeliveryState::Dead.into()],
            ..Default::default()
        },
        BulkTarget::HeldOf { integration } => of(integration, v1::DeliveryState::Held),
        BulkTarget::Cause { cause, company } => {
            let company = company.map(|id| id.to_string()).unwrap_or_default();
            v1::DeliveryFilter { cause, company, ..Default::default() }
        }
    };
    (Vec::new(), Some(filter))
}

fn per_second(per_minute: Option<u32>) -> Option<f64> {
    per_minute.map(|rate| f64::from(rate) / 60.0)
}

/// How many deliveries it is about, and some of their people.
pub(super) async fn estimate(client: &Client, mutation: Mutation) -> Result<Estimate, CallFailure> {
    let (count, span, sample) = match mutation {
        Mutation::Retry { target, re_render, per_minute } => {
            let (ids, filter) = select(target);
            let per_second = per_second(per_minute);
            let request = v1::RetryDeliveriesRequest {
                ids,
                filter,
                re_render,
                per_second,
                dry_run: true,
                ..Default::default()
            };
            let reply = client.retry_deliveries(request).await?;
            (reply.count, reply.estimated_duration, reply.sample)
        }
        mutation => move_deliveries(client, mutation, String::new(), true).await?,
    };
    let seconds = span.map_or(0.0, seconds);
    let sample = sample.into_iter().map(|it| convert::delivery(it).person().to_owned()).collect();
    Ok(Estimate { count, seconds, sample })
}

/// How many, how long pushing them takes where they are released, and some of them.
async fn move_deliveries(
    client: &Client,
    mutation: Mutation,
    request_id: String,
    dry_run: bool,
) -> Result<(u64, Option<prost_types::Duration>, Vec<v1::Delivery>), CallFailure> {
    Ok(match mutation {
        Mutation::Hold(target) => {
            let (ids, filter) = select(target);
            let request = v1::HoldDeliveriesRequest { request_id, ids, filter, dry_run };
            let reply = client.hold_deliveries(request).await?;
            (reply.count, None, reply.sample)
        }
        Mutation::Release(target) => {
            let (ids, filter) = select(target);
            let request = v1::ReleaseDeliveriesRequest { request_id, ids, filter, dry_run };
            let reply = client.release_deliveries(request).await?;
            (reply.count, reply.estimated_duration, reply.sample)
        }
        Mutation::Skip(target) => {
            let (ids, filter) = select(target);
            let request = v1::SkipDeliveriesRequest { request_id, ids, filter, dry_run };
            let reply = client.skip_deliveries(request).await?;
            (reply.count, None, reply.sample)
        }
        _ => return Err(CallFailure::Refused("this change has no dry run".to_owned())),
    })
}

fn known(it: Option<v1::Integration>) -> Result<Box<Integration>, CallFailure> {
    it.map(|it| Box::new(convert::integration(it)))
        .ok_or_else(|| CallFailure::Incompatible("the daemon's answer names no integration".to_owned()))
}

fn changed(it: v1::Integration) -> Done {
    Done::Changed(Box::new(convert::integration(it)))
}

/// Carries a change out. The same id may come again: the daemon does it once.
pub(super) async fn mutate(
    client: &Client,
    request_id: String,
    mutation: Mutation,
) -> Result<Done, CallFailure> {
    match mutation {
        Mutation::PutBack(back) => save::put_back(client, request_id, *back).await,
        Mutation::Mapping { .. } | Mutation::Settings { .. } | Mutation::FlowWhen { .. } => {
            save::save(client, request_id, mutation).await
        }
        other => send(client, request_id, other).await,
    }
}

/// Asks the daemon for a change.
pub(super) async fn send(
    client: &Client,
    request_id: String,
    mutation: Mutation,
) -> Result<Done, CallFailure> {
    Ok(match mutation {
        Mutation::Retry { target, re_render, per_minute } => {
            let (ids, filter) = select(target);
            let per_second = per_second(per_minute);
            let request =
                v1::RetryDeliveriesRequest { request_id, ids, filter, re_render, per_second, dry_run: false };
            let reply = client.retry_deliveries(request).await?;
            Done::Moved { count: reply.count, job: reply.job_id }
        }
        Mutation::Hold(_) | Mutation::Release(_) | Mutation::Skip(_) => {
            let (count, ..) = move_deliveries(client, mutation, request_id, false).await?;
            Done::Moved { count, job: String::new() }
        }
        Mutation::Unskip(skipped) => unskip(client, request_id, skipped).await?,
        Mutation::SetPlan { .. } | Mutation::PauseCompany { .. } => {
            company(client, request_id, mutation).await?
        }
        Mutation::Push { lead, company, integration } => {
            let company = if company == 0 { String::new() } else { company.to_string() };
            let integration = integration.unwrap_or_default();
            let request =
                v1::PushLeadsRequest { request_id, lead, company, integration, ..Default::default() };
            let reply = client.push_leads(request).await?;
            Done::Moved { count: reply.pushed.len() as u64, job: reply.job_id }
        }
        Mutation::Snooze { cause, until } => {
            let (until, span) = match until {
                Snooze::Hours(hours) => (None, Some(span(Duration::from_secs(u64::from(hours) * 3600)))),
                Snooze::Until(at) => (Some(convert::timestamp(at)), None),
                Snooze::End => (None, None),
            };
            client.snooze_failure(v1::SnoozeFailureRequest { request_id, cause, until, span }).await?;
            Done::Noted(Vec::new())
        }
        Mutation::CancelJob { job } => {
            let reply = client.cancel_job(v1::CancelJobRequest { request_id, id: job }).await?;
            let rest = JobProgress::of(&reply).rest();
            Done::Noted(vec![format!(
                "{rest} stay as they were; {} are in the queue or pushed",
                reply.released
            )])
        }
        Mutation::ResumeJob { job } => {
            client.resume_job(v1::ResumeJobRequest { request_id, id: job }).await?;
            Done::Noted(Vec::new())
        }
        Mutation::FlowWhen { flow, when } => {
            let request = v1::UpdateFlowRequest { request_id, flow, when: Some(when), ..Default::default() };
            Done::Noted(client.update_flow(request).await?.warnings)
        }
        Mutation::FlowEnabled { flow, enabled } => {
            let request =
                v1::UpdateFlowRequest { request_id, flow, enabled: Some(enabled), ..Default::default() };
            Done::Noted(client.update_flow(request).await?.warnings)
        }
        other => integration(client, request_id, other).await?,
    })
}

/// Puts back what was skipped; of a whole job, what had to stay is said.
async fn unskip(client: &Client, request_id: String, skipped: Skipped) -> Result<Done, CallFailure> {
    let (ids, job_id) = match skipped {
        Skipped::Ids(ids) => (ids, String::new()),
        Skipped::Job(job) => (Vec::new(), job),
    };
    let request = v1::UnskipDeliveriesRequest { request_id, ids, job_id };
    let reply = client.unskip_deliveries(request).await?;
    if reply.left_alone == 0 {
        return Ok(Done::Moved { count: reply.count, job: String::new() });
    }
    Ok(Done::Noted(vec![format!(
        "{} stand again where they stood; {} stay skipped, because something newer of their lead went there since",
        reply.count, reply.left_alone
    )]))
}

/// Changes of a company.
async fn company(client: &Client, request_id: String, mutation: Mutation) -> Result<Done, CallFailure> {
    match mutation {
        Mutation::SetPlan { company, plan } => {
            let request = v1::SetPlanRequest {
                request_id,
                company: company.to_string(),
                plan: v1::Plan::from_word(plan).unwrap_or_default().into(),
                disable: Vec::new(),
            };
            client.set_plan(request).await?;
        }
        Mutation::PauseCompany { company, paused } => {
            let (company, paused) = (company.to_string(), Some(paused));
            client
                .update_company(v1::UpdateCompanyRequest {
                    request_id,
                    company,
                    paused,
                    ..Default::default()
                })
                .await?;
        }
        _ => return Err(CallFailure::Refused("this is no change of a company".to_owned())),
    }
    Ok(Done::Noted(Vec::new()))
}

/// Changes of an integration itself.
async fn integration(client: &Client, request_id: String, mutation: Mutation) -> Result<Done, CallFailure> {
    Ok(match mutation {
        Mutation::Enable { integration, held } => {
            let held = v1::HeldChoice::from_word(held.word()).unwrap_or_default().into();
            let request = v1::EnableIntegrationRequest { request_id, integration, held };
            let reply = client.enable_integration(request).await?;
            Done::Enabled { integration: known(reply.integration)?, held: reply.held }
        }
        Mutation::Disable { integration } => {
            let request = v1::DisableIntegrationRequest { request_id, integration };
            changed(client.disable_integration(request).await?)
        }
        Mutation::Reset { integration } => {
            let request = v1::ResetIntegrationRequest { request_id, integration };
            let reply = client.reset_integration(request).await?;
            let lifted = convert::lifted(reply.lifted.unwrap_or_default());
            Done::Reset { integration: known(reply.integration)?, lifted }
        }
        Mutation::CutOver { integration } => {
            changed(client.cut_over(v1::CutOverRequest { request_id, integration }).await?)
        }
        Mutation::Revoke { integration } => {
            changed(client.revoke_secret(v1::RevokeSecretRequest { request_id, integration }).await?)
        }
        Mutation::Test { integration } => test(client, request_id, integration).await?,
        Mutation::Credentials { integration, json } => {
            credentials(client, request_id, integration, json).await?
        }
        Mutation::Mapping { integration, json } => mapping(client, request_id, integration, json).await?,
        Mutation::Settings { integration, name, config } => {
            let request =
                v1::UpdateIntegrationRequest { request_id, integration, name, config, ..Default::default() };
            changed(client.update_integration(request).await?)
        }
        Mutation::Create(new) => create(client, request_id, *new).await?,
        Mutation::Rotate { integration, entry } => rotate(client, request_id, integration, entry).await?,
        _ => return Err(CallFailure::Refused("this is no change of an integration".to_owned())),
    })
}

async fn create(client: &Client, request_id: String, new: NewIntegration) -> Result<Done, CallFailure> {
    let request = v1::CreateIntegrationRequest {
        request_id,
        company: new.company.to_string(),
        connector: new.connector,
        name: new.name,
        config: new.config,
        credentials: new.credentials.map(|json| json.reveal().to_owned()).unwrap_or_default(),
        disabled: new.is_disabled,
        ..Default::default()
    };
    let reply = client.create_integration(request).await?;
    let secret = Some(reply.signing_secret).filter(|secret| !secret.is_empty()).map(Secret::new);
    Ok(Done::Created { integration: known(reply.integration)?, secret })
}

async fn rotate(
    client: &Client,
    request_id: String,
    integration: String,
    entry: SecretEntry,
) -> Result<Done, CallFailure> {
    let (grace, staged, hold) = match entry {
        SecretEntry::Now { grace_seconds } => {
            (Some(span(Duration::from_secs(grace_seconds.into()))), false, false)
        }
        SecretEntry::Staged { hold } => (None, true, hold),
    };
    let signing_secret = String::new();
    let request = v1::RotateSecretRequest { request_id, integration, grace, signing_secret, staged, hold };
    let reply = client.rotate_secret(request).await?;
    let secret = Some(reply.signing_secret).filter(|secret| !secret.is_empty()).map(Secret::new);
    Ok(Done::Rotated { integration: known(reply.integration)?, secret })
}

/// The attempt of a test or a probe, once it has finished.
async fn finished(client: &Client, attempt: String) -> Result<crate::console::data::Attempt, CallFailure> {
    let request = v1::AwaitAttemptRequest { attempt, ..Default::default() };
    Ok(convert::attempt(client.await_attempt(request).await?.attempt.unwrap_or_default()))
}

async fn test(client: &Client, request_id: String, integration: String) -> Result<Done, CallFailure> {
    let request = v1::TestIntegrationRequest { request_id, integration: integration.clone() };
    let reply = client.test_integration(request).await?;
    let attempt = finished(client, reply.attempt_id).await?;
    Ok(Done::Tested {
        integration,
        state: attempt.state,
        status: attempt.status,
        duration_ms: attempt.duration_ms,
        error: attempt.error,
    })
}

/// Credentials are tried, and kept if the target takes them.
async fn credentials(
    client: &Client,
    request_id: String,
    integration: String,
    json: Secret,
) -> Result<Done, CallFailure> {
    let credentials = json.reveal().to_owned();
    let request = v1::SetCredentialsRequest { request_id, integration: integration.clone(), credentials };
    let reply = client.set_credentials(request).await?;
    let attempt = finished(client, reply.attempt_id).await?;
    let is_kept = attempt.state == crate::console::data::AttemptState::Delivered;
    let error = match (is_kept, attempt.error.is_empty()) {
        (true, _) => String::new(),
        (false, false) => attempt.error,
        (false, true) => "the target did not take them".to_owned(),
    };
    Ok(Done::Credentials { integration, error })
}

/// A mapping is saved, then compared with what the target knows: a field that it does not have is said at once.
async fn mapping(
    client: &Client,
    request_id: String,
    integration: String,
    json: String,
) -> Result<Done, CallFailure> {
    let request = v1::UpdateIntegrationRequest {
        request_id,
        integration: integration.clone(),
        mapping: Some(json),
        ..Default::default()
    };
    let saved = client.update_integration(request).await?;
    // Where there is nothing to compare with, or it fails, the saved one stands.
    let compared: Result<v1::Integration, CallFailure> = async {
        let check =
            v1::CheckIntegrationRequest { request_id: String::new(), integration: integration.clone() };
        let reply = client.check_integration(check).await?;
        finished(client, reply.attempt_id).await?;
        let it = client.get_integration(v1::GetIntegrationRequest { integration }).await?;
        Ok(it)
    }
    .await;
    Ok(changed(compared.unwrap_or(saved)))
}
