//! Enabling: what was held meanwhile is kept, released or skipped, in batches before the switch is turned.

use leadline_proto::v1;
use serde_json::Value;
use tonic::Request;

use super::{
    super::{Control, Reply, company::plan_allows, mutate, words},
    save,
};
use crate::{
    domain::{delivery::Reason, ids::JobId},
    store::{
        integration::LockedIntegration,
        operator::command::{Command, Refusal},
        queue::release::BATCH,
    },
};

impl Control {
    pub(in super::super) async fn enable(
        &self,
        request: Request<v1::EnableIntegrationRequest>,
    ) -> Reply<v1::EnableIntegrationResponse> {
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        let choice = words::read_held(request.held)?.unwrap_or(v1::HeldChoice::Keep);
        let job = (choice == v1::HeldChoice::Skip).then(JobId::generate);
        let mut moved = 0;
        // While it is disabled nothing is pushed, so whatever breaks off in between can be asked for again.
        loop {
            let mut command = self.store.batch(&call).await?;
            // Only the last transaction changes what intake decides on.
            let integration = command.integration_held(&request.integration).await?;
            if !integration.enabled {
                plan_allows(&mut command, &integration.company, &integration.connector, "").await?;
            }
            let batch = move_held(&mut command, &integration, choice, job).await?;
            if batch < BATCH {
                // Fewer than a batch: dropping this one leaves them to the last transaction.
                break;
            }
            command.commit().await?;
            moved += batch as u64;
        }
        if choice == v1::HeldChoice::Keep {
            // Before the company is locked, at which intake would wait for the count.
            let lane = self.store.find_integration(None, &request.integration).await?;
            moved =
                self.store.count_held(lane.company, lane.integration, &Reason::IntegrationDisabled).await?;
        }
        self.carry_out(&call, |mut command| async move {
            let (before, integration) = enabled(&mut command, &request.integration).await?;
            loop {
                let batch = move_held(&mut command, &integration, choice, job).await?;
                moved += batch as u64;
                if batch < BATCH {
                    break;
                }
            }
            command.write_integration(&integration).await?;
            save::audit(&mut command, &integration, Some(before)).await?;
            let view = command.integration_view(integration.lane()).await?;
            let job_id = job.filter(|_| moved > 0).map(|job| job.to_string()).unwrap_or_default();
            let integration = Some(view.into());
            Ok((command, v1::EnableIntegrationResponse { integration, held: moved, job_id }))
        })
        .await
    }
}

/// Locks an integration and says it is enabled, if the plan allows it; it is not written yet. Answers what the audit
/// keeps of it as it was, too.
async fn enabled(command: &mut Command, reference: &str) -> Result<(Value, LockedIntegration), Refusal> {
    let mut integration = command.integration(reference).await?;
    let before = integration.audited();
    if !integration.enabled {
        plan_allows(command, &integration.company, &integration.connector, "").await?;
        integration.enabled = true;
    }
    Ok((before, integration))
}

/// Does to a batch of held deliveries what was chosen. Fewer than a batch in the answer: none are left.
async fn move_held(
    command: &mut Command,
    integration: &LockedIntegration,
    choice: v1::HeldChoice,
    job: Option<JobId>,
) -> Result<usize, Refusal> {
    let (company, id, reason) = (integration.company.id, integration.id, Reason::IntegrationDisabled);
    match choice {
        v1::HeldChoice::Release => command.release_held_for(company, id, &reason).await,
        v1::HeldChoice::Skip => command.skip_held_for(company, id, &reason, job).await,
        v1::HeldChoice::Keep | v1::HeldChoice::Unspecified => Ok(0),
    }
}
