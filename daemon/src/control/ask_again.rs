//! Asking flows again about what they hold: once a condition is mended, its leads go where it says.

use std::sync::Arc;

use leadline_proto::v1;
use serde_json::json;
use tonic::{Request, Response};

use super::{
    Control, Reply, mutate,
    pending_audit::{AuditEntry, PendingAudit},
};
use crate::{
    domain::{
        fanout::{Fate, fan_out},
        ids::{CompanyId, DeliveryId},
        json::Json,
    },
    store::{
        flow::held::{HeldByFlow, Settled},
        lead::intake::CompanyView,
        operator::command::Refusal,
    },
};

/// How many are read and settled at once: an event may have 256 KiB.
const BATCH: i64 = 20;

impl Control {
    pub(super) async fn ask_again(
        &self,
        request: Request<v1::AskFlowsAgainRequest>,
    ) -> Reply<v1::AskFlowsAgainResponse> {
        let (call, request) = mutate::call(request).await?;
        let company = self.store.find_company(&request.company).await?;
        if !request.dry_run
            && let Some(answer) = self.answered(&call).await?
        {
            return Ok(answer);
        }
        let mut report = v1::AskFlowsAgainResponse::default();
        let mut pending = PendingAudit::of(self, &call);
        let mut after = None;
        loop {
            let view = self.store.company_view(company).await?;
            let view = Arc::new(view.ok_or_else(|| Refusal::unknown("company", company))?);
            let held = self.store.held_by_flows(company, after, BATCH).await?;
            let Some(last) = held.last().map(|one| one.delivery) else { break };
            let of = Arc::clone(&view);
            let decided = self.compute.run(company, move || decide(&of, &held)).await;
            let settled = decided
                .map_err(|error| Refusal::State(format!("flows could not be asked: {error}; try again")))?;
            if request.dry_run {
                add(&mut report, &settled);
            } else {
                let mut command = self.store.batch(&call).await?;
                if !command.settle_held_by_flows(company, view.version, &settled).await? {
                    // An operator has just changed the company: its flows are asked as they are now.
                    continue;
                }
                add(&mut report, &settled);
                // Before the commit, as the call may be cut off within it.
                pending.remember(vec![entry(company, &report)]);
                command.commit().await?;
            }
            after = Some(last);
        }
        if request.dry_run {
            return Ok(Response::new(report));
        }
        let told = entry(company, &report);
        let answer = self.carry_out(&call, |mut command| async {
            told.write(&mut command).await?;
            Ok((command, report))
        });
        let answer = answer.await?;
        pending.forget();
        Ok(answer)
    }
}

fn add(report: &mut v1::AskFlowsAgainResponse, settled: &Settled) {
    report.released += settled.released.len() as u64;
    report.skipped += settled.skipped.len() as u64;
    report.held += settled.held.len() as u64;
}

/// What the audit is told.
fn entry(company: CompanyId, report: &v1::AskFlowsAgainResponse) -> AuditEntry {
    let after = json!({ "released": report.released, "skipped": report.skipped, "held": report.held });
    AuditEntry { company, target: format!("company {company}"), after }
}

/// What flows say now. What is no longer subscribed, and what cannot be read, stays as it is.
fn decide(view: &CompanyView, held: &[HeldByFlow]) -> Settled {
    let mut settled = Settled::default();
    for one in held {
        let integration = view.integrations.iter().find(|integration| integration.id == one.integration);
        let (Some(integration), Ok(event)) = (integration, Json::parse(&one.body)) else { continue };
        let only = std::slice::from_ref(integration);
        let Some(decided) = fan_out(only, &view.flows, one.kind, &event, DeliveryId::generate).pop() else {
            continue;
        };
        match decided.fate {
            Fate::Pending => settled.released.push((one.delivery, one.event)),
            Fate::Skipped(reason) => settled.skipped.push((one.delivery, reason)),
            Fate::Held(reason) => settled.held.push((one.delivery, reason)),
        }
    }
    settled
}
