//! The way of a lead from its body to its commit.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    App,
    ledger::{Ledger, Trouble},
    problem::Problem,
    views::{Credential, Opened},
};
use crate::{
    domain::{
        ids::LeadId,
        integration::EventKind,
        lead::{self, AcceptContext, Accepted, Refusal, SaveLead},
    },
    store::{
        LOCK_GAP, LOCK_PATIENCE,
        lead::{
            Again,
            intake::{AcceptedDelivery, CompanyView, Flushed, NewEvent},
            save::{SaveKey, Saved},
        },
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
    fn new(status: &'static str, lead: String, deliveries: Vec<AcceptedDelivery>) -> Self {
        let deliveries = deliveries
            .into_iter()
            .map(|delivery| ReceiptDelivery {
                integration_id: delivery.integration.to_string(),
                delivery_id: delivery.id.to_string(),
                state: delivery.state,
                reason: delivery.reason,
            })
            .collect();
        Self { lead, status, deliveries }
    }
}

/// What shape a lead comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The canonical event.
    Leads,
    /// The flat one, found again by its address.
    SaveLead,
}

impl Door {
    /// Where it is.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Leads => "/v1/leads",
            Self::SaveLead => "/v1/save_lead",
        }
    }
}

/// Decides on a lead and commits it. If the company changed meanwhile, the key may be revoked and the integrations
/// others, so all of it is decided again.
pub(super) async fn accept<L: Ledger>(
    app: &App<L>,
    door: Door,
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
        let context = AcceptContext { company: view.id, company_name: &view.name, new_id };
        let committed = match door {
            Door::Leads => commit(app, view, &lead::accept(body, &context)?).await?,
            Door::SaveLead => save(app, view, &SaveLead::parse(body)?, &context).await?,
        };
        if let Some(receipt) = committed {
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
) -> Result<Option<Receipt>, Problem> {
    let created = NewEvent::decide(view, accepted, EventKind::Created);
    let deliveries = created.deliveries.iter().map(AcceptedDelivery::from).collect();
    let uuid = accepted.uuid.clone();
    Ok(match commit_once_free(app, created).await? {
        Flushed::Locked => return Err(Trouble::Busy.into()),
        Flushed::Created => Some(Receipt::new("accepted", uuid, deliveries)),
        Flushed::Stale => None,
        Flushed::Known => {
            let update = NewEvent::decide(view, accepted, EventKind::Updated);
            match app.ledger.accept_again(&update).await? {
                Again::Duplicate(deliveries) => Some(Receipt::new("duplicate", uuid, deliveries)),
                Again::Updated(deliveries) => Some(Receipt::new("updated", uuid, deliveries)),
                Again::Erased => return Err(Refusal::erased().into()),
                Again::Stale => None,
            }
        }
    })
}

/// Commits when nobody holds the company any more. Other companies' leads do not wait meanwhile.
async fn commit_once_free<L: Ledger>(app: &App<L>, event: NewEvent) -> Result<Flushed, Trouble> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let flushed = app.queue.commit(event.clone()).await?;
        if flushed != Flushed::Locked || Instant::now() >= deadline {
            return Ok(flushed);
        }
        sleep(LOCK_GAP).await;
    }
}

/// Merges a flat lead into the one of its address. None if the view is too old to commit on.
async fn save<L: Ledger>(
    app: &App<L>,
    view: &CompanyView,
    lead: &SaveLead,
    context: &AcceptContext<'_>,
) -> Result<Option<Receipt>, Problem> {
    let key = SaveKey {
        company: view.id,
        version: view.version,
        email_hash: lead.email_hash(),
        new_id: context.new_id,
    };
    let decide = |current: Option<Bytes>| {
        let accepted = lead.merge(current.as_deref(), context)?;
        let kind = if current.is_some() { EventKind::Updated } else { EventKind::Created };
        Ok(NewEvent::decide(view, &accepted, kind))
    };
    Ok(match app.ledger.save(&key, decide).await?? {
        Saved::Created(uuid, deliveries) => Some(Receipt::new("accepted", uuid, deliveries)),
        Saved::Duplicate(uuid, deliveries) => Some(Receipt::new("duplicate", uuid, deliveries)),
        Saved::Updated(uuid, deliveries) => Some(Receipt::new("updated", uuid, deliveries)),
        Saved::Stale => None,
    })
}
