//! What the engine asks the database beside its claims. Each look-up runs on its own and answers with an event.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    engine::{AWAY_WAIT, Engine, Event, send},
    integration_cache::{IntegrationCache, PreparedIntegration},
    tasks::caught,
};
use crate::{
    domain::{delivery::LaneKind, lane::LaneId, moment::Moment},
    store::{
        DueHint, Error, Store,
        queue::{claim::Stops, daemons::Wake},
    },
    telemetry,
};

impl Engine {
    pub(super) fn start_load(&self, id: LaneId) {
        let (store, integrations, events) =
            (self.store.clone(), Arc::clone(&self.integrations), self.events.clone());
        let known = self.lanes.pauses_written(id);
        self.tasks.spawn("load of a lane", async move {
            let loaded = loop {
                match load(&store, &integrations, id).await {
                    Ok(loaded) => break loaded,
                    Err(error) if error.is_passing() => {
                        tracing::warn!(event = "lane_waits", error = telemetry::causes(&error), "a lane waits for the database");
                        tokio::time::sleep(AWAY_WAIT).await;
                    }
                    Err(error) => {
                        tracing::error!(event = "lane_not_loaded", error = telemetry::causes(&error), integration = %id.integration, "a lane cannot be loaded");
                        return send(&events, Event::NotLoadable(id, store.stops(id).await.unwrap_or_default()));
                    }
                }
            };
            send(&events, Event::Loaded { lane: id, loaded, known });
        });
    }

    /// Asks when the next row after a time is due, where rows may wait that no hint told of.
    pub(super) fn start_peek(&self, asked: Vec<(LaneId, LaneKind)>, after: Moment) {
        let (store, events) = (self.store.clone(), self.events.clone());
        self.tasks.spawn("look for due rows", async move {
            let found = caught("look for due rows", store.next_due(&asked, after)).await;
            let hints =
                found.and_then(|found| found.map_err(|error| report(&error)).ok()).unwrap_or_else(|| {
                    let due_at = after + AWAY_WAIT;
                    asked.iter().map(|&(lane, kind)| DueHint { lane, kind, due_at }).collect()
                });
            send(&events, Event::Peeked { asked, hints });
        });
    }

    pub(super) fn start_discover(&self) {
        let (store, events) = (self.store.clone(), self.events.clone());
        self.tasks.spawn("scan for lanes", async move {
            match store.discover().await {
                Ok(hints) => send(&events, Event::Discovered(hints)),
                Err(error) => {
                    tracing::warn!(
                        event = "due_scan_failed",
                        error = telemetry::causes(&error),
                        "the scan for due lanes failed"
                    )
                }
            }
        });
    }

    /// Takes the probes of this daemon's lanes: the quota, the login and the people of an integration are kept where it
    /// is pushed to. `others` is told if more are waiting.
    pub(super) fn start_probes(&self, others: Option<mpsc::UnboundedSender<Wake>>) {
        let (store, pusher, lease) = (self.store.clone(), Arc::clone(&self.pusher), Arc::clone(&self.lease));
        let tasks = self.tasks.clone();
        self.tasks.spawn("look for probes", async move {
            match store.take_probes(lease.id(), |lane| lease.owns(lane)).await {
                Ok(taken) => {
                    for probe in taken.probes {
                        let pusher = Arc::clone(&pusher);
                        tasks.spawn("probe", async move { pusher.probe(probe).await });
                    }
                    if let Some(others) = others.filter(|_| taken.is_some_left)
                        && others.send(Wake::of_probes()).is_err()
                    {
                        tracing::debug!("the membership has ended");
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        event = "probes_not_taken",
                        error = telemetry::causes(&error),
                        "probes could not be taken"
                    )
                }
            }
        });
    }
}

fn report(error: &Error) {
    tracing::warn!(
        event = "due_look_failed",
        error = telemetry::causes(error),
        "the look for the next due rows failed; trying again"
    );
}

async fn load(
    store: &Store,
    integrations: &IntegrationCache,
    id: LaneId,
) -> Result<Option<(Arc<PreparedIntegration>, Stops)>, Error> {
    let Some(ready) = integrations.load(id).await? else { return Ok(None) };
    Ok(Some((ready, store.stops(id).await?)))
}
