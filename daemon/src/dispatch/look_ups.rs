//! What the engine asks the database beside its claims. Each look-up runs on its own and answers with an event.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    engine::{AWAY_WAIT, Engine, Event, spawn},
    integration_cache::{IntegrationCache, PreparedIntegration},
    lanes::LaneId,
};
use crate::store::{DueHint, Error, Store, queue::claim::Stops};

const AWAY_MICROS: i64 = 250_000;

impl Engine {
    pub(super) fn start_load(&self, id: LaneId) {
        let (store, integrations, events) =
            (self.store.clone(), Arc::clone(&self.integrations), self.events.clone());
        self.spawn(async move {
            let loaded = loop {
                match load(&store, &integrations, id).await {
                    Ok(loaded) => break loaded,
                    Err(error) if error.is_passing() => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a lane waits for the database");
                        tokio::time::sleep(AWAY_WAIT).await;
                    }
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, integration = %id.1, "a lane cannot be loaded");
                        return;
                    }
                }
            };
            send(&events, Event::Loaded(id, loaded));
        });
    }

    /// Asks when the next row after a time is due, where rows may wait that no hint told of.
    pub(super) fn start_peek(&self, asked: Vec<(LaneId, u8)>, after: i64) {
        let (store, events) = (self.store.clone(), self.events.clone());
        self.spawn(async move {
            let lanes: Vec<_> =
                asked.iter().map(|((company, integration), kind)| (*company, *integration, *kind)).collect();
            let hints = store.next_due(&lanes, after).await.unwrap_or_else(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the look for the next due rows failed; trying again"
                );
                let due_at = after + AWAY_MICROS;
                lanes
                    .iter()
                    .map(|&(company, integration, kind)| DueHint { company, integration, kind, due_at })
                    .collect()
            });
            send(&events, Event::Peeked { asked, hints });
        });
    }

    pub(super) fn start_discover(&self) {
        let (store, events) = (self.store.clone(), self.events.clone());
        self.spawn(async move {
            match store.discover().await {
                Ok(hints) => send(&events, Event::Discovered(hints)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the scan for due lanes failed")
                }
            }
        });
    }

    pub(super) fn start_probes(&self) {
        let (store, pusher, daemon) = (self.store.clone(), Arc::clone(&self.pusher), self.lease.id());
        let (tracker, abandon) = (self.tracker.clone(), self.abandon.clone());
        self.spawn(async move {
            match store.take_probes(daemon).await {
                Ok(probes) => {
                    for probe in probes {
                        let pusher = Arc::clone(&pusher);
                        spawn(&tracker, &abandon, async move { pusher.probe(probe).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "probes could not be taken")
                }
            }
        });
    }
}

async fn load(
    store: &Store,
    integrations: &IntegrationCache,
    id: LaneId,
) -> Result<Option<(Arc<PreparedIntegration>, Stops)>, Error> {
    let Some(ready) = integrations.load(id).await? else { return Ok(None) };
    Ok(Some((ready, store.stops(id).await?)))
}

fn send(events: &mpsc::UnboundedSender<Event>, event: Event) {
    if events.send(event).is_err() {
        tracing::debug!("the engine has stopped");
    }
}
