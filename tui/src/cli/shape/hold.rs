//! What became of deliveries that were held, released or skipped, and why one stands where it does.

use leadline_proto::v1;
use serde::Serialize;

use super::{Delivery, shapes};

/// `delivery hold`, `release` and `skip`, or what they would do.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    count: u64,
    running: u64,
    seconds: f64,
    sample: Vec<Delivery>,
}

impl From<v1::MovedDeliveriesResponse> for Moved {
    fn from(it: v1::MovedDeliveriesResponse) -> Self {
        Self { count: it.count, running: it.running, seconds: it.seconds, sample: shapes(it.sample) }
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
