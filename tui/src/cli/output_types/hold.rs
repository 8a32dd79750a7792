//! What became of deliveries that were held, released or skipped, and why one stands where it does.

use leadline_client::seconds;
use leadline_proto::v1;
use serde::Serialize;

use super::{Delivery, shapes, text};

/// `delivery hold`, `release` and `skip`, or what they would do.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    count: u64,
    pub(crate) running: u64,
    seconds: f64,
    sample: Vec<Delivery>,
    pub(crate) job_id: Option<String>,
}

impl From<v1::HoldDeliveriesResponse> for Moved {
    fn from(it: v1::HoldDeliveriesResponse) -> Self {
        Self { count: it.count, running: it.running, seconds: 0.0, sample: shapes(it.sample), job_id: None }
    }
}

impl From<v1::ReleaseDeliveriesResponse> for Moved {
    fn from(it: v1::ReleaseDeliveriesResponse) -> Self {
        let seconds = it.estimated_duration.map_or(0.0, seconds);
        Self { count: it.count, running: it.running, seconds, sample: shapes(it.sample), job_id: None }
    }
}

impl From<v1::SkipDeliveriesResponse> for Moved {
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
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    id: String,
    state: &'static str,
    why: String,
}

impl From<v1::ExplainDeliveryResponse> for Explained {
    fn from(it: v1::ExplainDeliveryResponse) -> Self {
        Self { state: it.state().word(), id: it.id, why: it.why }
    }
}
