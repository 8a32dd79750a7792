//! The way of a lead from its body to its commit.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    IntakeApp,
    intake_store::{IntakeStore, StoreFailure},
    problem::ProblemDetails,
    views::{Credential, KeyMatch, Signed},
};
use crate::{
    compute::ComputeError,
    domain::{
        delivery::State,
        ids::LeadId,
        integration::EventKind,
        lead::{self, AcceptContext, Accepted, LeadRefusal, SaveLead},
        trace::TraceContext,
    },
    store::{
        LOCK_GAP, LOCK_PATIENCE,
        lead::{
            Reaccepted,
            intake::{AcceptedDelivery, CompanyView, Flushed, NewEvent},
            read::LeadStatus,
            save::{SaveKey, Saved},
        },
        shown::Shown,
    },
};

/// How often a lead is decided on before its sender is asked to come back, while an operator changes the company.
const DECISIONS: usize = 5;
/// Up to here a body is read where its request is: that is quicker than to hand it over.
pub(super) const SMALL: usize = 8 * 1024;

/// What the sender of a lead is told, after the commit.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    /// None where the sender may not know it.
    lead: Option<String>,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<Vec<ReceiptDelivery>>,
}

#[derive(Debug, Serialize)]
struct ReceiptDelivery {
    integration_id: String,
    delivery_id: String,
    state: Shown<State>,
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
        Self { lead: Some(lead), status, deliveries: Some(deliveries) }
    }

    /// What is said of a lead that another key brought: that it is known, and not by which uuid.
    fn of_another(status: &'static str) -> Self {
        Self { lead: None, status, deliveries: Some(Vec::new()) }
    }

    /// Of a request that was taken in before.
    pub(super) fn repeated(status: LeadStatus) -> Self {
        let deliveries = status.deliveries.into_iter().map(|delivery| AcceptedDelivery {
            integration: delivery.integration,
            id: delivery.id,
            state: delivery.state,
            reason: delivery.reason,
        });
        Self::new("duplicate", status.lead.uuid, deliveries.collect())
    }

    /// The lead, if it may be told.
    pub(super) fn id(&self) -> Option<LeadId> {
        self.lead.as_ref()?.parse().ok()
    }

    /// Without its deliveries, for those who did not ask for them.
    pub(super) fn short(self) -> Self {
        Self { deliveries: None, ..self }
    }
}

/// What shape a lead comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The canonical event.
    Leads,
    /// The flat one, found again by its address.
    SaveLead,
}

impl Endpoint {
    /// Where it is.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Leads => "/v1/leads",
            Self::SaveLead => "/v1/save_lead",
        }
    }
}

/// A post as it came: to which endpoint, by which credential, and what was sent.
#[derive(Clone, Copy)]
pub(super) struct Post<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) credential: &'a Credential,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}

impl Post<'_> {
    /// How it is signed as a key wants it; none if it is not.
    pub(super) fn signed(&self, matched: &KeyMatch) -> Option<Signed> {
        matched.admits(self.headers, self.body, jiff::Timestamp::now().into())
    }
}

/// Decides on a lead and commits it. If the company changed meanwhile, the key may be revoked and the integrations
/// others, so all of it is decided again.
pub(super) async fn accept<S: IntakeStore>(
    app: &IntakeApp<S>,
    post: Post<'_>,
    matched: KeyMatch,
) -> Result<Receipt, ProblemDetails> {
    let mut span = app.settings.traces.intake(post.endpoint.path(), traceparent(post.headers));
    span.set("leadline.company", matched.view.id.0);
    let accepted = accept_traced(app, post, matched, span.context()).await;
    match &accepted {
        Ok(receipt) => span.set("leadline.status", receipt.status),
        Err(problem) if problem.status().is_server_error() => span.fail("server_error"),
        Err(_) => span.fail("refused"),
    }
    accepted
}

/// What a sender that traces says of its trace.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent").and_then(|value| value.to_str().ok())
}

async fn accept_traced<S: IntakeStore>(
    app: &IntakeApp<S>,
    post: Post<'_>,
    mut matched: KeyMatch,
    trace: Option<TraceContext>,
) -> Result<Receipt, ProblemDetails> {
    let new_id = LeadId::generate();
    for _ in 0..DECISIONS {
        if post.signed(&matched).is_none() {
            return Err(matched.unsigned());
        }
        let view = &matched.view;
        let committed = match post.endpoint {
            Endpoint::Leads => {
                let accepted = read(app, view, post.body, new_id, lead::accept).await?;
                commit(app, view, Arc::new(accepted), trace).await?
            }
            Endpoint::SaveLead => {
                let lead = read(app, view, post.body, new_id, |body, _| SaveLead::parse(body)).await?;
                save(app, &matched, Arc::new(lead), new_id, trace).await?
            }
        };
        if let Some(receipt) = committed {
            return Ok(receipt);
        }
        let newer = app.views.open_newer(post.credential, Some(view.version)).await?;
        matched = newer.ok_or_else(|| post.credential.unknown())?;
    }
    Err(ProblemDetails::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the company is being changed, nothing was accepted: send the lead again after Retry-After seconds",
    ))
}

/// Reads a body against the company; a long one beside the async workers, because reading takes time in proportion.
async fn read<S: IntakeStore, T: Send + 'static>(
    app: &IntakeApp<S>,
    view: &Arc<CompanyView>,
    body: &Bytes,
    new_id: LeadId,
    read: fn(&[u8], &AcceptContext<'_>) -> Result<T, LeadRefusal>,
) -> Result<T, ProblemDetails> {
    let (of, bytes) = (Arc::clone(view), body.clone());
    let work = move || {
        let context = AcceptContext { company: of.id, company_name: &of.name, new_id };
        read(&bytes, &context)
    };
    let done = if body.len() <= SMALL { work() } else { app.settings.compute.run(view.id, work).await? };
    Ok(done?)
}

/// Decides which deliveries an event makes. Conditions are asked beside the async workers; flows that give no answer in
/// time cost the deliveries they decide about their push, and no more.
async fn decide<S: IntakeStore>(
    app: &IntakeApp<S>,
    view: &Arc<CompanyView>,
    accepted: &Arc<Accepted>,
    kind: EventKind,
    trace: Option<TraceContext>,
) -> Result<NewEvent, ProblemDetails> {
    let event = if view.asks_flows() {
        let (of, about) = (Arc::clone(view), Arc::clone(accepted));
        match app.settings.compute.run(view.id, move || NewEvent::decide(&of, &about, kind)).await {
            Ok(event) => event,
            Err(error @ ComputeError::Busy) => return Err(error.into()),
            Err(error) => NewEvent::without_flows(view, accepted, kind, &error.to_string()),
        }
    } else {
        NewEvent::decide(view, accepted, kind)
    };
    Ok(NewEvent { trace, ..event })
}

/// None if the view is too old to commit on.
async fn commit<S: IntakeStore>(
    app: &IntakeApp<S>,
    view: &Arc<CompanyView>,
    accepted: Arc<Accepted>,
    trace: Option<TraceContext>,
) -> Result<Option<Receipt>, ProblemDetails> {
    let created = decide(app, view, &accepted, EventKind::Created, trace).await?;
    let deliveries = created.deliveries.iter().map(AcceptedDelivery::from).collect();
    let uuid = accepted.uuid.clone();
    Ok(match commit_once_free(app, created).await? {
        Flushed::Locked => return Err(StoreFailure::Busy.into()),
        Flushed::Created => Some(Receipt::new("accepted", uuid, deliveries)),
        Flushed::Stale => None,
        Flushed::Known => {
            let update = decide(app, view, &accepted, EventKind::Updated, trace).await?;
            match app.store.accept_again(&update).await? {
                Reaccepted::Duplicate(deliveries) => Some(Receipt::new("duplicate", uuid, deliveries)),
                Reaccepted::Updated(deliveries) => Some(Receipt::new("updated", uuid, deliveries)),
                Reaccepted::Erased => return Err(LeadRefusal::erased().into()),
                Reaccepted::Stale => None,
            }
        }
    })
}

/// Commits when nobody holds the company any more. Other companies' leads do not wait meanwhile.
async fn commit_once_free<S: IntakeStore>(
    app: &IntakeApp<S>,
    event: NewEvent,
) -> Result<Flushed, StoreFailure> {
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
async fn save<S: IntakeStore>(
    app: &IntakeApp<S>,
    matched: &KeyMatch,
    lead: Arc<SaveLead>,
    new_id: LeadId,
    trace: Option<TraceContext>,
) -> Result<Option<Receipt>, ProblemDetails> {
    let view = &matched.view;
    let key = SaveKey {
        company: view.id,
        version: view.version,
        email_hash: lead.email_hash(),
        key: matched.key_id(),
        new_id,
    };
    let merged = move |current: Option<Bytes>| {
        let lead = Arc::clone(&lead);
        async move {
            let kind = if current.is_some() { EventKind::Updated } else { EventKind::Created };
            let merge = {
                let view = Arc::clone(view);
                let current = current.clone();
                move || {
                    let context = AcceptContext { company: view.id, company_name: &view.name, new_id };
                    lead.merge(current.as_deref(), &context)
                }
            };
            let is_small = current.is_none_or(|current| current.len() <= SMALL);
            let accepted = if is_small { merge() } else { app.settings.compute.run(view.id, merge).await? };
            decide(app, view, &Arc::new(accepted?), kind, trace).await
        }
    };
    Ok(match app.store.save(&key, merged).await?? {
        Saved::Created(uuid, deliveries) => Some(Receipt::new("accepted", uuid, deliveries)),
        Saved::Duplicate(uuid, deliveries, made_with) if matched.knows(made_with) => {
            Some(Receipt::new("duplicate", uuid, deliveries))
        }
        Saved::Updated(uuid, deliveries, made_with) if matched.knows(made_with) => {
            Some(Receipt::new("updated", uuid, deliveries))
        }
        Saved::Duplicate(..) => Some(Receipt::of_another("duplicate")),
        Saved::Updated(..) => Some(Receipt::of_another("updated")),
        Saved::Stale => None,
    })
}
