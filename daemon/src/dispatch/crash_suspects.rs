//! Crash suspects: deliveries during whose pushes daemons died. One that kills the daemon must not take others with it, so it
//! is pushed under a claim of its own; one that was merely in flight must not stop others, so nothing waits for it.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::{delivery::CRASHES_SUSPECT, lane::LaneId},
    store::queue::claim::Claimed,
};

/// A daemon that has just begun lets none go: where daemons die one after the other for some other reason, a suspect
/// that is pushed again at once would be in flight each time, and be taken for what kills them.
const CALM: Duration = Duration::from_secs(10);
/// In one lane they go no more often than this.
const LANE_GAP: Duration = Duration::from_secs(60);
/// While one is pushed, another is asked for again after this.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Whether daemons died during an item's pushes, so often that it may be why.
pub(super) fn is_crash_suspect(item: &Claimed) -> bool {
    item.pending.as_ref().is_some_and(|pending| pending.crashes >= CRASHES_SUSPECT)
}

/// Whether a daemon may have died of an item that it left behind. A crash suspect is pushed once it is isolated; before that it
/// only waited for its turn.
pub(super) fn was_pushed(item: &Claimed) -> bool {
    item.is_isolated || !is_crash_suspect(item)
}

/// Which crash suspect may be pushed now.
#[derive(Debug)]
pub(super) struct CrashSuspects {
    /// When the daemon did.
    began: Instant,
    is_pushing: bool,
    /// When the last one of each lane went.
    last: HashMap<LaneId, Instant>,
}

impl CrashSuspects {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, is_pushing: false, last: HashMap::new() }
    }

    /// Lets one go, or says how long it has to wait.
    pub(super) fn start(&mut self, lane: LaneId, now: Instant) -> Result<(), Duration> {
        let calm = (self.began + CALM).duration_since(now);
        if !calm.is_zero() {
            return Err(calm);
        }
        self.last.retain(|_, at| now.duration_since(*at) < LANE_GAP);
        if let Some(at) = self.last.get(&lane) {
            return Err((*at + LANE_GAP).duration_since(now));
        }
        if self.is_pushing {
            return Err(BUSY_WAIT);
        }
        self.is_pushing = true;
        self.last.insert(lane, now);
        Ok(())
    }

    /// The one that went has ended.
    pub(super) const fn ended(&mut self) {
        self.is_pushing = false;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        domain::{
            delivery::{LaneKind, Trigger},
            ids::{CompanyId, IntegrationId},
        },
        store::queue::claim::PendingDelivery,
    };

    /// What a daemon that died left behind.
    fn left(crashes: Option<i16>, is_isolated: bool) -> Claimed {
        let lane = LaneId::new(CompanyId(1), IntegrationId::generate());
        let pending =
            |crashes| PendingDelivery { attempts: 2, crashes, ..PendingDelivery::new(Bytes::new()) };
        Claimed {
            is_adopted: true,
            is_isolated,
            kind: LaneKind::Retry,
            trigger: Trigger::Retry,
            ..Claimed::first(lane, crashes.map(pending))
        }
    }

    #[test]
    fn a_suspect_that_waited_for_its_turn_is_not_what_a_daemon_died_of() {
        for (crashes, is_isolated, expected) in [
            (Some(0), false, true),
            (Some(CRASHES_SUSPECT - 1), false, true),
            // Alone in its claim, and put back: the daemon died before that was written.
            (Some(CRASHES_SUSPECT), false, false),
            (Some(CRASHES_SUSPECT), true, true),
            // It is final by now.
            (None, false, true),
        ] {
            assert_eq!(was_pushed(&left(crashes, is_isolated)), expected, "{crashes:?} {is_isolated}");
        }
    }

    #[test]
    fn one_goes_at_a_time_and_one_a_minute_in_a_lane() {
        let (one, two) = [(); 2].map(|()| LaneId::new(CompanyId(1), IntegrationId::generate())).into();
        let began = Instant::now();
        let mut suspects = CrashSuspects::new(began);
        assert_eq!(suspects.start(one, began), Err(CALM), "the daemon has just begun");
        let at = |seconds| began + CALM + Duration::from_secs(seconds);
        assert_eq!(suspects.start(one, at(0)), Ok(()));
        assert_eq!(suspects.start(two, at(1)), Err(BUSY_WAIT));
        suspects.ended();
        assert_eq!(suspects.start(one, at(2)), Err(Duration::from_secs(58)));
        assert_eq!(suspects.start(two, at(2)), Ok(()));
        suspects.ended();
        assert_eq!(suspects.start(one, at(60)), Ok(()));
    }
}
