//! Handover: a daemon that joins others takes lanes over from them, and no lane may exceed its concurrency meanwhile. So
//! it is where a lane's account changes, by which it is another daemon's.
//!
//! The newcomer starts nothing in a lane until every other daemon has beaten since it enrolled, for whoever beats hears
//! who lives and lets the lane go. Pushes that were begun before that count as the newcomer's own until they end.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    engine::{Engine, Event, send},
    integration_cache::PreparedIntegration,
    lanes::Move,
    living::Living,
    membership::{BEAT, LEASE},
    tasks::caught,
};
use crate::{
    domain::{delivery::LaneKind, lane::LaneId, moment::Moment},
    store::{DueHint, queue::daemons::Wake},
    telemetry,
};

/// How often the others are looked at.
const LOOK: Duration = Duration::from_millis(200);

impl Engine {
    /// Whether a lane is this daemon's; none as long as its account must be known for that, and is not.
    pub(super) fn owns(&self, id: LaneId) -> Option<bool> {
        let account = match self.lanes.account(id) {
            Some(account) => account,
            None if self.living.asks_for_accounts() => return None,
            None => None,
        };
        Some(self.living.is_owner(self.lease.id(), id, account))
    }

    /// Takes in which daemons live: they say which lanes are this one's, and what new ones did is unknown.
    pub(super) fn meet(&mut self, living: Living) {
        let me = self.lease.id();
        let are_several = living.daemons.len() > 1;
        let has_joined = are_several && living.daemons.contains(&me) && !self.living.daemons.contains(&me);
        let is_other_rule = living.by_account != self.living.by_account;
        let are_divided_anew = is_other_rule && are_several && self.living.daemons.len() > 1;
        if has_joined || are_divided_anew {
            let joined = self.lease.now();
            self.lanes.take_over(joined);
            self.start_handover(joined);
        }
        self.lanes.own(|id, account| living.is_owner(me, id, account), self.lease.now());
        let (now, before) = (&living.daemons, &self.living.daemons);
        let is_new = |id: &i64| *id != me && !(now.contains(id) && before.contains(id));
        if now.iter().chain(before).any(is_new) {
            // Those that lose a lane hear of it a beat later at most.
            self.integrations.meet_others(Instant::now() + BEAT);
        }
        self.living = living;
        metrics::gauge!("leadline_daemons").set(self.living.daemons.len() as f64);
        self.start_discover();
    }

    /// Says whose a lane is by what was loaded of it. One that came over is known to its former daemon as its own until
    /// that has loaded it too.
    pub(super) fn assign(&mut self, id: LaneId, ready: Option<&PreparedIntegration>, now: Moment) {
        let account = ready.and_then(|ready| ready.account);
        let version = ready.map_or(0, |ready| ready.integration.version);
        let is_own = self.living.is_owner(self.lease.id(), id, account);
        match self.lanes.assign(id, version, account, is_own) {
            Move::Here => {
                if let Some(ready) = ready {
                    ready.quota.meet_others(Instant::now() + BEAT);
                }
                self.start_handover(now);
            }
            Move::Away => {
                // Its daemon may not have heard of the change.
                let mut wake = Wake::of_change(id);
                LaneKind::ALL
                    .into_iter()
                    .for_each(|kind| wake.add_due(DueHint { lane: id, kind, due_at: now }));
                self.tell_others(wake);
            }
            Move::No => {}
        }
    }

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
