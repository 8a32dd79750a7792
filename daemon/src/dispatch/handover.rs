//! Handover: a daemon that joins others takes lanes over from them, and no lane may exceed its concurrency meanwhile.
//!
//! The newcomer starts nothing in a lane until every other daemon has beaten since it enrolled, for whoever beats hears
//! who lives and lets the lane go. Pushes that were begun before that count as the newcomer's own until they end. Accounts,
//! to which lanes of several daemons may push, go over when somebody asks for them (`account_hold`).

use std::time::Duration;

use super::{
    engine::{Engine, Event, send},
    membership::LEASE,
    tasks::caught,
};
use crate::{domain::moment::Moment, telemetry};

/// How often the others are looked at.
const LOOK: Duration = Duration::from_millis(200);

impl Engine {
    /// Waits until the others have heard of this daemon, and tells what they still push.
    pub(super) fn start_handover(&self, joined: Moment) {
        let (store, events, daemon) = (self.store.clone(), self.events.clone(), self.lease.id());
        self.tasks.spawn("handover", async move {
            loop {
                tokio::time::sleep(LOOK).await;
                match caught("handover", store.in_flight_elsewhere(daemon, joined, LEASE)).await {
                    Some(Ok(Some(elsewhere))) => {
                        return send(&events, Event::HandedOver { joined, elsewhere });
                    }
                    Some(Ok(None)) | None => {}
                    Some(Err(error)) => tracing::warn!(
                        event = "handover_waits",
                        error = telemetry::causes(&error),
                        "the lanes of other daemons wait for the database"
                    ),
                }
            }
        });
    }
}
