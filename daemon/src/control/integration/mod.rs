//! Integrations: created, changed, enabled and deleted under their company's lock; tests are left to dispatch.

use std::time::Instant;

use leadline_proto::v1::{self, integration_service_server::IntegrationService};
use serde_json::json;
use tonic::{Request, Response};

use super::{Control, Reply, check, convert::trend_point, mutate, watch::IntegrationStream, words};
use crate::{
    domain::{ids::IntegrationId, lane::LaneId},
    store::{Error, integration::read::IntegrationFilter},
};

mod enable;
mod probes;
mod save;
mod secrets;
mod skipped;

pub(super) use skipped::SkippedCounts;

impl Control {
    /// Tells of integrations how many deliveries are skipped, which is too much to be told with every change to
    /// everybody. What was counted within a minute is told again, whoever asked.
    pub(super) async fn count_skipped(&self, integrations: &mut [v1::Integration]) -> Result<(), Error> {
        let begun = Instant::now();
        let mut known = self.skipped.of(&ids_of(integrations), begun);
        if !known.unknown.is_empty() {
            let counted = self.store.for_lists().await.count_skipped(&known.unknown).await?;
            self.skipped.keep(&known, &counted, begun);
            known.counts.extend(counted);
        }
        for integration in integrations {
            let count = integration.id.parse().ok().and_then(|id: IntegrationId| known.counts.get(&id));
            if let Some(health) = &mut integration.health {
                health.skipped = count.map(|count| count.unsigned_abs());
            }
        }
        Ok(())
    }

    /// Tells of integrations when their deliveries died.
    async fn fill_in_trends(&self, integrations: &mut [v1::Integration]) -> Result<(), Error> {
        let mut trends = self.store.for_lists().await.integration_trends(&ids_of(integrations)).await?;
        for integration in integrations {
            let trend = integration.id.parse().ok().and_then(|id: IntegrationId| trends.remove(&id));
            if let Some(health) = &mut integration.health {
                health.trend = trend.unwrap_or_default().into_iter().map(trend_point).collect();
            }
        }
        Ok(())
    }
}

fn ids_of(integrations: &[v1::Integration]) -> Vec<IntegrationId> {
    integrations.iter().filter_map(|it| it.id.parse().ok()).collect()
}

#[tonic::async_trait]
impl IntegrationService for Control {
    async fn create_integration(
        &self,
        request: Request<v1::CreateIntegrationRequest>,
    ) -> Reply<v1::CreateIntegrationResponse> {
        self.mutate(request, |command, request| save::create(self, command, request)).await
    }

    async fn list_integrations(
        &self,
        request: Request<v1::ListIntegrationsRequest>,
    ) -> Reply<v1::ListIntegrationsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let after = check::behind(after)?;
        let badges = words::read_badges(&request.badges)?;
        // A badge is made of many things: it is looked for among all.
        let page = badges.is_empty().then_some(limit);
        let filter = IntegrationFilter { company, ids: None, after, limit: page };
        let mut integrations = self.store.integration_views(&filter).await?;
        integrations.retain(|view| badges.is_empty() || badges.contains(&view.health.badge));
        integrations.truncate(usize::try_from(limit).unwrap_or_default());
        let next_page_token = words::next_page(&integrations, limit, |view| view.id.to_string());
        let mut integrations: Vec<_> = integrations.into_iter().map(v1::Integration::from).collect();
        self.count_skipped(&mut integrations).await?;
        if request.with_trends {
            self.fill_in_trends(&mut integrations).await?;
        }
        Ok(Response::new(v1::ListIntegrationsResponse { integrations, next_page_token }))
    }

    async fn get_integration(
        &self,
        request: Request<v1::GetIntegrationRequest>,
    ) -> Reply<v1::GetIntegrationResponse> {
        let view = self.store.integration_view(&request.get_ref().integration).await?;
        let proposals = self.store.proposals(LaneId { company: view.company, integration: view.id }).await?;
        let proposals = proposals.into_iter().map(Into::into).collect();
        let integration = Some(v1::Integration { proposals, ..view.into() });
        Ok(Response::new(v1::GetIntegrationResponse { integration }))
    }

    async fn update_integration(
        &self,
        request: Request<v1::UpdateIntegrationRequest>,
    ) -> Reply<v1::UpdateIntegrationResponse> {
        self.mutate(request, |command, request| save::update(self, command, request)).await
    }

    async fn enable_integration(
        &self,
        request: Request<v1::EnableIntegrationRequest>,
    ) -> Reply<v1::EnableIntegrationResponse> {
        self.enable(request).await
    }

    async fn disable_integration(
        &self,
        request: Request<v1::DisableIntegrationRequest>,
    ) -> Reply<v1::DisableIntegrationResponse> {
        self.mutate(request, |mut command, request| async move {
            let mut integration = command.integration(&request.integration).await?;
            let before = integration.audited();
            integration.enabled = false;
            command.write_integration(&integration).await?;
            save::audit(&mut command, &integration, Some(before)).await?;
            let view = command.integration_view(integration.lane()).await?;
            Ok((command, v1::DisableIntegrationResponse { integration: Some(view.into()) }))
        })
        .await
    }

    async fn delete_integration(
        &self,
        request: Request<v1::DeleteIntegrationRequest>,
    ) -> Reply<v1::DeleteIntegrationResponse> {
        if request.get_ref().dry_run {
            let lane = self.store.find_integration(None, &request.get_ref().integration).await?;
            return Ok(Response::new(self.store.removal(lane).await?.into()));
        }
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        // Before the company is locked, at which intake would wait for the counts.
        let lane = self.store.find_integration(None, &request.integration).await?;
        let removal = self.store.removal(lane).await?;
        let answer = self
            .carry_out(&call, |mut command| async move {
                let integration = command.integration(&lane.integration.to_string()).await?;
                command.delete_integration(&integration).await?;
                let after = json!({ "deliveries": removal.deliveries, "attempts": removal.attempts });
                let target = format!("integration {}", integration.id);
                let before = Some(integration.audited());
                command.audit(integration.company.id, &target, before, Some(after)).await?;
                Ok((command, removal.into()))
            })
            .await?;
        self.clean_up_deletions();
        Ok(answer)
    }

    async fn reset_integration(
        &self,
        request: Request<v1::ResetIntegrationRequest>,
    ) -> Reply<v1::ResetIntegrationResponse> {
        self.mutate(request, |mut command, request| async move {
            let (lane, lifted) = command.reset_integration(&request.integration).await?;
            let after = json!({ "failure_count": 0 });
            let target = format!("integration {}", lane.integration);
            command.audit(lane.company, &target, Some(lifted.audited()), Some(after)).await?;
            let view = command.integration_view(lane).await?;
            let lifted = Some(lifted.into());
            Ok((command, v1::ResetIntegrationResponse { integration: Some(view.into()), lifted }))
        })
        .await
    }

    async fn test_integration(
        &self,
        request: Request<v1::TestIntegrationRequest>,
    ) -> Reply<v1::TestIntegrationResponse> {
        self.mutate(request, probes::test).await
    }

    async fn check_integration(
        &self,
        request: Request<v1::CheckIntegrationRequest>,
    ) -> Reply<v1::CheckIntegrationResponse> {
        self.mutate(request, probes::check).await
    }

    async fn set_credentials(
        &self,
        request: Request<v1::SetCredentialsRequest>,
    ) -> Reply<v1::SetCredentialsResponse> {
        self.mutate(request, |command, request| probes::set_credentials(self, command, request)).await
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Reply<v1::RotateSecretResponse> {
        self.mutate(request, secrets::rotate).await
    }

    async fn cut_over(&self, request: Request<v1::CutOverRequest>) -> Reply<v1::CutOverResponse> {
        self.cut_over_secret(request).await
    }

    async fn revoke_secret(
        &self,
        request: Request<v1::RevokeSecretRequest>,
    ) -> Reply<v1::RevokeSecretResponse> {
        self.revoke_secrets(request).await
    }

    type WatchIntegrationsStream = IntegrationStream;

    async fn watch_integrations(
        &self,
        request: Request<v1::WatchIntegrationsRequest>,
    ) -> Reply<Self::WatchIntegrationsStream> {
        self.integrations_as_they_change(request).await
    }

    async fn preview_integration(
        &self,
        request: Request<v1::PreviewIntegrationRequest>,
    ) -> Reply<v1::PreviewIntegrationResponse> {
        self.preview(request).await
    }
}
