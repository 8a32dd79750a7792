//! What became of deliveries that were held, released or skipped, and why one stands where it does.

use leadline_client::seconds;
use leadline_proto::v1;
use serde::Serialize;

use super::{Delivery, shapes, text};
use crate::cli::hint;

/// `delivery hold`, `release` and `skip`, or what they would do.
#[derive(Debug, Serialize)]
pub(crate) struct MoveResult {
    count: u64,
    pub(crate) running: u64,
    seconds: f64,
    sample: Vec<Delivery>,
    pub(crate) job_id: Option<String>,
}

impl From<v1::HoldDeliveriesResponse> for MoveResult {
    fn from(it: v1::HoldDeliveriesResponse) -> Self {
        Self { count: it.count, running: it.running, seconds: 0.0, sample: shapes(it.sample), job_id: None }
    }
}

impl From<v1::ReleaseDeliveriesResponse> for MoveResult {
    fn from(it: v1::ReleaseDeliveriesResponse) -> Self {
        let seconds = it.estimated_duration.map_or(0.0, seconds);
        Self { count: it.count, running: it.running, seconds, sample: shapes(it.sample), job_id: None }
    }
}

impl From<v1::SkipDeliveriesResponse> for MoveResult {
    fn from(it: v1::SkipDeliveriesResponse) -> Self {
        let (sample, job_id) = (shapes(it.sample), text(it.job_id));
        Self { count: it.count, running: it.running, seconds: 0.0, sample, job_id }
    }
}

/// `delivery unskip`.
#[derive(Debug, Serialize)]
pub(crate) struct Unskipped {
    count: u64,
    left_alone: u64,
}

impl From<v1::UnskipDeliveriesResponse> for Unskipped {
    fn from(it: v1::UnskipDeliveriesResponse) -> Self {
        Self { count: it.count, left_alone: it.left_alone }
    }
}

/// `delivery why`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explained {
    id: String,
    state: &'static str,
    /// With the commands that move it.
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_steps: Option<Vec<NextStep>>,
}

impl Explained {
    /// The sentence says all of it.
    pub(crate) fn for_people(self) -> Self {
        Self { next_steps: None, ..self }
    }
}

/// What somebody can do about it.
#[derive(Clone, Debug, Serialize)]
struct NextStep {
    act: &'static str,
    id: String,
}

impl From<v1::ExplainDeliveryResponse> for Explained {
    fn from(it: v1::ExplainDeliveryResponse) -> Self {
        let why = hint::explained(&it);
        let state = it.state().word();
        let step = |step: v1::NextStep| NextStep { act: step.act().word(), id: step.id };
        Self { id: it.id, state, why, next_steps: Some(it.next_steps.into_iter().map(step).collect()) }
    }
}
