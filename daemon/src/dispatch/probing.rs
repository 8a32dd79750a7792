//! Probes: looks at a target that push no lead, and sample leads pushed to see whether they arrive.

use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    attempt::{PushRequest, probe},
    integration_cache::PreparedIntegration,
    pusher::{Pusher, cannot_be_loaded, settled},
    tasks::caught,
};
use crate::{
    connectors::{self, Report},
    domain::{
        integration::{EventKind, Integration, ProbeKind},
        lead,
        moment::Moment,
        origins::origins,
        outcome::{Failure, FailureClass, Outcome},
        schema::Proposal,
    },
    store::{
        Error,
        integration::{
            probe::{Probe, ProbeFindings, Proposed},
            refresh::LoginHash,
        },
        queue::finish::AttemptResult,
    },
    telemetry,
};

impl Pusher {
    /// Carries out a probe and writes what it came to.
    pub(super) async fn probe(&self, probe: Probe) {
        let (mut result, report, version, target) = match self.load(&probe).await {
            Ok(Some(ready)) => {
                let looked = caught("probe", self.look(&probe, &ready)).await;
                let (result, report) = looked.unwrap_or_else(|| (AttemptResult::nothing(panicked()), None));
                let report = report.map(|report| {
                    let proposals = proposed(&ready.integration, &report);
                    (report, proposals)
                });
                let target = (origins(&ready.integration.config), ready.login);
                (result, report, ready.integration.version, target)
            }
            // Its row would keep the integration from being removed.
            Ok(None) => return self.drop_probe(&probe).await,
            Err(error) => (AttemptResult::nothing(cannot_be_loaded(&error)), None, 0, Default::default()),
        };
        let found = report.map(|(report, proposals)| ProbeFindings {
            account: report.account,
            proposals,
            // Nobody waits for the look that follows a save: why it failed must stand where it is seen.
            findings: match (result.outcome.failure(), probe.kind) {
                (Some(failure), ProbeKind::Mapping) => vec![failure.error.clone()],
                _ => report.findings,
            },
        });
        if let Err(error) = self.write_probe(&probe, &result, version, found.as_ref(), &target).await {
            tracing::error!(event = "probe_written_in_part", error = telemetry::causes(&error), attempt = %probe.attempt, "a probe is written without what was sent and received");
            result.strip();
            result.body = None;
            if let Err(error) = self.write_probe(&probe, &result, version, found.as_ref(), &target).await {
                tracing::error!(event = "probe_not_written", error = telemetry::causes(&error), attempt = %probe.attempt, "a probe could not be written");
            }
        }
    }

    async fn load(&self, probe: &Probe) -> Result<Option<Arc<PreparedIntegration>>, Error> {
        let lane = probe.lane;
        loop {
            let loaded = match &probe.candidate {
                None => self.integrations.load(lane).await,
                Some(candidate) => {
                    let credentials = serde_json::from_str(candidate.expose_secret()).unwrap_or(Value::Null);
                    self.integrations.load_with(lane, credentials).await.map(|ready| ready.map(Arc::new))
                }
            };
            if let Some(loaded) = settled(loaded).await {
                return loaded;
            }
        }
    }

    async fn look(&self, asked: &Probe, ready: &Arc<PreparedIntegration>) -> (AttemptResult, Option<Report>) {
        let now = self.lease.now();
        match probe(&self.context, ready, asked.kind, now).await {
            Some((result, report)) => (result, Some(report)),
            None if asked.kind == ProbeKind::Test => (self.push_sample(asked, ready, now).await, None),
            // There is no way to try them that pushes nothing: they are taken as they are.
            None => {
                let outcome =
                    ready.prepared.as_ref().err().cloned().map_or(Outcome::Delivered, Outcome::Failed);
                (AttemptResult::without_call(outcome), None)
            }
        }
    }

    async fn push_sample(
        &self,
        probe: &Probe,
        ready: &Arc<PreparedIntegration>,
        now: Moment,
    ) -> AttemptResult {
        let sample = lead::sample(probe.lane.company, &ready.integration.company_name);
        let body = lead::event_text(&sample, EventKind::Test);
        let request = PushRequest::unclaimed(probe.attempt.to_string(), EventKind::Test, body, now);
        self.push_unclaimed(ready, request).await
    }

    async fn write_probe(
        &self,
        probe: &Probe,
        result: &AttemptResult,
        version: i32,
        found: Option<&ProbeFindings>,
        (origins, login): &(String, Option<LoginHash>),
    ) -> Result<(), Error> {
        let target = (origins.as_str(), login.as_ref());
        loop {
            let written = self.store.finish_probe(probe, result, version, found, target).await;
            if let Some(answer) = settled(written).await {
                return answer;
            }
        }
    }

    async fn drop_probe(&self, probe: &Probe) {
        loop {
            match settled(self.store.drop_probe(probe).await).await {
                None => {}
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    tracing::error!(event = "probe_not_dropped", error = telemetry::causes(&error), attempt = %probe.attempt, "a probe could not be dropped");
                    return;
                }
            }
        }
    }
}

/// What could be added to the mapping, going by the fields that the target has.
fn proposed(integration: &Integration, report: &Report) -> Vec<Proposed> {
    let Some(connector) = connectors::find(&integration.connector) else { return Vec::new() };
    let proposals = connector.propose(&integration.mapping, &report.targets);
    let kept = |one: Proposal| Proposed { field: one.field, rule: one.rule, why: one.why };
    proposals.into_iter().map(kept).collect()
}

fn panicked() -> Failure {
    let error = "this test ended by a fault of the daemon: please report it with the daemon's log";
    Failure::new(FailureClass::Unknown, error)
}
