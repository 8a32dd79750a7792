//! Suspects: deliveries during whose pushes daemons died. One that kills the daemon must not take others with it, so it
//! is pushed under a claim of its own; one that was merely in flight must not stop others, so nothing waits for it.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::domain::lane::LaneId;

/// In one lane they go no more often than this.
const LANE_GAP: Duration = Duration::from_secs(60);
/// While one is pushed, another is asked for again after this.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Which suspect may be pushed now.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    is_pushing: bool,
    /// When the last one of each lane went.
    last: HashMap<LaneId, Instant>,
}

impl Suspects {
    /// Lets one go, or says how long it has to wait.
    pub(super) fn start(&mut self, lane: LaneId, now: Instant) -> Result<(), Duration> {
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
    use super::*;
    use crate::domain::ids::{CompanyId, IntegrationId};

    #[test]
    fn one_goes_at_a_time_and_one_a_minute_in_a_lane() {
        let (one, two) = [(); 2].map(|()| LaneId::new(CompanyId(1), IntegrationId::generate())).into();
        let mut suspects = Suspects::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(suspects.start(one, at(0)), Ok(()));
        assert_eq!(suspects.start(two, at(1)), Err(BUSY_WAIT));
        suspects.ended();
        assert_eq!(suspects.start(one, at(2)), Err(Duration::from_secs(58)));
        assert_eq!(suspects.start(two, at(2)), Ok(()));
        suspects.ended();
        assert_eq!(suspects.start(one, at(60)), Ok(()));
    }
}
