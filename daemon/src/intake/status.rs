//! What became of a lead: the JSON of `lead show`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::ledger::Trouble;
use crate::store::lead::{LeadDelivery, LeadStatus};

/// The answer to `GET /v1/leads/{uuid}`.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    uuid: String,
    state: &'static str,
    received_at: Timestamp,
    /// The stored text, so that numbers and unknown fields stay as they are.
    event: Box<RawValue>,
    deliveries: Vec<ShownDelivery>,
}

#[derive(Debug, Serialize)]
struct ShownDelivery {
    id: String,
    lead: String,
    integration_id: String,
    event: String,
    state: String,
    reason: Option<String>,
    attempts: i32,
    due_at: Option<Timestamp>,
}

impl Shown {
    pub(super) fn new(status: LeadStatus) -> Result<Self, Trouble> {
        let event =
            String::from_utf8(status.event.into()).ok().and_then(|text| RawValue::from_string(text).ok());
        let event = event.ok_or_else(|| {
            tracing::error!(lead = status.uuid, "the stored event of a lead is no JSON");
            Trouble::Failed
        })?;
        let lead = status.uuid.clone();
        let deliveries = status.deliveries.into_iter().map(|delivery| shown(delivery, &lead)).collect();
        Ok(Self {
            uuid: status.uuid,
            state: status.state,
            received_at: status.received_at,
            event,
            deliveries,
        })
    }
}

fn shown(delivery: LeadDelivery, lead: &str) -> ShownDelivery {
    ShownDelivery {
        id: delivery.id.to_string(),
        lead: lead.to_owned(),
        integration_id: delivery.integration.to_string(),
        event: delivery.event,
        state: delivery.state,
        reason: delivery.reason,
        attempts: delivery.attempts,
        due_at: delivery.due_at,
    }
}
