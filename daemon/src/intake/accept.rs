//! The way of a lead from its body to its commit.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{
    App,
    ledger::{Ledger, Trouble},
    problem::Problem,
    views::{Credential, Opened},
};
use crate::{
    domain::{
        fanout::fan_out,
        ids::{DeliveryId, EventId, LeadId},
        integration::EventKind,
        lead::{self, AcceptContext, Accepted},
    },
    store::{
        intake::{AcceptedDelivery, CompanyView, Flushed, NewDelivery, NewEvent},
        lead::Again,
    },
};

/// How often a lead is decided on before its sender is asked to come back, while an operator changes the company.
const DECISIONS: usize = 5;

/// What the sender of a lead is told, after the commit.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    lead: String,
    pub(super) status: &'static str,
    deliveries: Vec<ReceiptDelivery>,
}

#[derive(Debug, Serialize)]
struct ReceiptDelivery {
    integration_id: String,
    delivery_id: String,
    state: String,
    reason: Option<String>,
}

impl Receipt {
    fn new(status: &'static str, accepted: &Accepted, deliveries: Vec<AcceptedDelivery>) -> Self {
        let deliveries = deliveries
            .into_iter()
            .map(|delivery| ReceiptDelivery {
                integration_id: delivery.integration.to_string(),
                delivery_id: delivery.id.to_string(),
                state: delivery.state,
                reason: delivery.reason,
            })
            .collect();
        Self { lead: accepted.uuid.clone(), status, deliveries }
    }
}

/// Decides on a lead and commits it. If the company changed meanwhile, the key may be revoked and the integrations
/// others, so all of it is decided again.
pub(super) async fn accept<L: Ledger>(
    app: &App<L>,
    credential: &Credential,
    mut opened: Opened,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Receipt, Problem> {
    let new_id = LeadId::generate();
    for _ in 0..DECISIONS {
        if !opened.admits(headers, body, jiff::Timestamp::now().as_second()) {
            return Err(Problem::unsigned());
        }
        let view = &*opened.view;
        let accepted =
            lead::accept(body, &AcceptContext { company: view.id, company_name: &view.name, new_id })?;
        if let Some(receipt) = commit(app, view, &accepted).await? {
            return Ok(receipt);
        }
        let newer = app.views.open_newer(credential, Some(view.version)).await?;
        opened = newer.ok_or_else(Problem::unauthorized)?;
    }
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the company is being changed, nothing was accepted: send the lead again after Retry-After seconds",
    ))
}

/// None if the view is too old to commit on.
async fn commit<L: Ledger>(
    app: &App<L>,
    view: &CompanyView,
    accepted: &Accepted,
) -> Result<Option<Receipt>, Trouble> {
    let created = decide(view, accepted, EventKind::Created);
    let deliveries = created.deliveries.iter().map(as_committed).collect();
    Ok(match app.queue.commit(created).await? {
        Flushed::Created => Some(Receipt::new("accepted", accepted, deliveries)),
        Flushed::Stale => None,
        Flushed::Known => match app.ledger.accept_again(&decide(view, accepted, EventKind::Updated)).await? {
            Again::Duplicate(deliveries) => Some(Receipt::new("duplicate", accepted, deliveries)),
            Again::Updated(deliveries) => Some(Receipt::new("updated", accepted, deliveries)),
            Again::Stale => None,
        },
    })
}

fn decide(view: &CompanyView, accepted: &Accepted, kind: EventKind) -> NewEvent {
    NewEvent {
        company: view.id,
        version: view.version,
        lead: accepted.lead,
        uuid: accepted.uuid.clone(),
        digest: accepted.digest,
        event: EventId::generate(),
        kind,
        body: accepted.body(kind),
        deliveries: fan_out(&view.integrations, kind, DeliveryId::generate),
    }
}

fn as_committed(delivery: &NewDelivery) -> AcceptedDelivery {
    AcceptedDelivery {
        integration: delivery.integration,
        id: delivery.id,
        state: if delivery.held.is_some() { "held" } else { "pending" }.into(),
        reason: delivery.held.clone(),
    }
}
