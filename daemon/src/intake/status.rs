//! What became of a lead: the JSON of `lead show`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::intake_store::StoreFailure;
use crate::{
    domain::{
        delivery::{LeadState, State},
        outcome::FailureClass,
    },
    store::{delivery::read::DeliveryView, lead::read::LeadStatus, shown::Shown},
};

/// The answer to `GET /v1/leads/{uuid}`.
#[derive(Debug, Serialize)]
pub(super) struct LeadAnswer {
    uuid: String,
    state: LeadState,
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
    state: Shown<State>,
    reason: Option<String>,
    attempts: i32,
    due_at: Option<Timestamp>,
    integration: String,
    company: String,
    lead_name: Option<String>,
    lead_email: Option<String>,
    failure_class: Option<Shown<FailureClass>>,
    error: Option<String>,
    cause: Option<String>,
    job_id: Option<String>,
}

impl LeadAnswer {
    pub(super) fn new(status: LeadStatus) -> Result<Self, StoreFailure> {
        let LeadStatus { lead, event, deliveries } = status;
        let event = String::from_utf8(event.into()).ok().and_then(|text| RawValue::from_string(text).ok());
        let event = event.ok_or_else(|| {
            tracing::error!(
                event = "stored_event_unreadable",
                lead = lead.uuid,
                "the stored event of a lead is no JSON"
            );
            StoreFailure::Failed
        })?;
        Ok(Self {
            uuid: lead.uuid,
            state: lead.state,
            received_at: lead.received_at,
            event,
            deliveries: deliveries.into_iter().map(ShownDelivery::from).collect(),
        })
    }
}

impl From<DeliveryView> for ShownDelivery {
    fn from(delivery: DeliveryView) -> Self {
        Self {
            id: delivery.id.to_string(),
            lead: delivery.lead,
            integration_id: delivery.integration.to_string(),
            event: delivery.event.as_str().to_owned(),
            state: delivery.state,
            reason: delivery.reason,
            attempts: delivery.attempts,
            due_at: delivery.due_at,
            integration: delivery.integration_name,
            company: delivery.company_name,
            lead_name: Some(delivery.lead_name).filter(|name| !name.is_empty()),
            lead_email: Some(delivery.lead_email).filter(|email| !email.is_empty()),
            failure_class: delivery.class,
            error: delivery.error,
            cause: delivery.cause.map(|cause| cause.to_string()),
            job_id: delivery.job.map(|job| job.to_string()),
        }
    }
}
