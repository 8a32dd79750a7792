//! Attempts by integration, within a bound: each series costs this process and Prometheus memory for good.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::domain::lane::LaneId;

/// How many integrations have series of their own.
const BOUND: usize = 500;

/// Those that have.
#[derive(Debug, Default)]
struct KnownLanes(HashSet<LaneId>);

static KNOWN: Mutex<Option<KnownLanes>> = Mutex::new(None);

impl KnownLanes {
    /// Whether this one has a series of its own: the first ones have.
    fn admits(&mut self, lane: LaneId) -> bool {
        let is_room = self.0.len() < BOUND;
        self.0.contains(&lane) || (is_room && self.0.insert(lane))
    }
}

/// Counts an attempt of an integration.
pub(crate) fn count_attempt(lane: LaneId, outcome: &'static str) {
    let is_own = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().admits(lane);
    let (company, integration) = if is_own {
        (lane.company.0.to_string(), lane.integration.to_string())
    } else {
        ("other".to_owned(), "other".to_owned())
    };
    // Both outcomes are there from the first attempt on: one that came into being later would show no increase.
    for (one, count) in [("delivered", 0), ("failed", 0), (outcome, 1)] {
        metrics::counter!(
            "leadline_integration_attempts_total",
            "company" => company.clone(), "integration" => integration.clone(), "outcome" => one
        )
        .increment(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CompanyId, IntegrationId};

    #[test]
    fn integrations_beyond_the_bound_share_a_series() {
        let mut known = KnownLanes::default();
        let lanes: Vec<LaneId> = (0..BOUND + 2)
            .map(|_| LaneId { company: CompanyId(1), integration: IntegrationId::generate() })
            .collect();
        let own = lanes.iter().filter(|lane| known.admits(**lane)).count();
        assert_eq!(own, BOUND);
        assert!(known.admits(lanes[0]) && !known.admits(lanes[BOUND + 1]), "it stays as it was");
    }
}
