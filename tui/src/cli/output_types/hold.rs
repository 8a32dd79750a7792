//! What became of deliveries that were held, released or skipped, and why one stands where it does.

use leadline_proto::v1;
use serde::Serialize;

use super::{Delivery, shapes, text};

/// `delivery hold`, `release` and `skip`, or what they would do.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    count: u64,
    running: u64,
    seconds: f64,
    sample: Vec<Delivery>,
    job_id: Option<String>,
}

impl From<v1::MovedDeliveriesResponse> for Moved {
    fn from(it: v1::MovedDeliveriesResponse) -> Self {
        Self {
            count: it.count,
            running: it.running,
            seconds: it.seconds,
            sample: shapes(it.sample),
            job_id: text(it.job_id),
        }
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
    state: String,
    why: String,
}

impl From<v1::ExplainDeliveryResponse> for Explained {
    fn from(it: v1::ExplainDeliveryResponse) -> Self {
        Self { id: it.id, state: it.state, why: it.why }
    }
}
