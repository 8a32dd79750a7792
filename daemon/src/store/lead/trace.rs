//! One lead's whole story, in the order of time.

use jiff::Timestamp;

use crate::{
    domain::{
        delivery::{State, Trigger},
        ids::{AttemptId, DeliveryId, EventId, IntegrationId},
        integration::EventKind,
        outcome::FailureClass,
    },
    store::{
        Store,
        company::find_optional_company,
        delivery::{attempts::AttemptEnd, read::DeliveryView},
        lead::read::{LeadStatus, LeadView, find_lead},
        operator::command::Refusal,
        shown::Shown,
    },
};

/// What happened to a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    Received,
    /// It was changed.
    Event,
    /// A delivery of it came to be.
    Delivery,
    Attempt,
    /// A delivery of it came to its end.
    Final,
    Erased,
}

impl StepKind {
    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Event => "event",
            Self::Delivery => "delivery",
            Self::Attempt => "attempt",
            Self::Final => "final",
            Self::Erased => "erased",
        }
    }
}

/// How a delivery stood, or what an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    Delivery(Shown<State>),
    Arrived,
    Failed,
}

/// An attempt in the story of its lead.
#[derive(Clone, Debug)]
pub struct TracedAttempt {
    pub id: AttemptId,
    pub number: i32,
    pub trigger: Shown<Trigger>,
    pub end: AttemptEnd,
}

/// Something that happened to a lead.
#[derive(Clone, Debug)]
pub struct TraceStep {
    pub at: Timestamp,
    pub what: StepKind,
    pub event: Option<Shown<EventKind>>,
    pub delivery: Option<(DeliveryId, IntegrationId, String)>,
    pub attempt: Option<TracedAttempt>,
    pub state: Option<StepState>,
    /// Why, or what went wrong.
    pub reason: Option<String>,
}

impl TraceStep {
    fn new(at: Timestamp, what: StepKind) -> Self {
        Self { at, what, event: None, delivery: None, attempt: None, state: None, reason: None }
    }

    fn of(at: Timestamp, what: StepKind, delivery: &DeliveryView) -> Self {
        Self {
            event: Some(delivery.event.clone()),
            delivery: Some((delivery.id, delivery.integration, delivery.integration_name.clone())),
            ..Self::new(at, what)
        }
    }
}

impl Store {
    /// A lead with all that happened to it.
    pub async fn trace(
        &self,
        company: Option<&str>,
        uuid: &str,
    ) -> Result<(LeadView, Vec<TraceStep>), Refusal> {
        let mut db = self.pool.acquire().await?;
        let company = find_optional_company(&mut db, company).await?;
        let (company, id) = find_lead(&mut db, company, uuid).await?;
        let events = sqlx::query!(
            "SELECT id, kind FROM event WHERE company_id = $1 AND lead_id = $2 ORDER BY id",
            company.0,
            id.uuid(),
        )
        .fetch_all(&mut *db)
        .await?;
        let erased_at = sqlx::query_scalar!(
            "SELECT erased_at FROM lead WHERE company_id = $1 AND id = $2",
            company.0,
            id.uuid(),
        )
        .fetch_one(&mut *db)
        .await?;
        drop(db);
        let LeadStatus { lead, deliveries, .. } = self.lead_view(Some(&company.0.to_string()), uuid).await?;
        let mut steps = vec![TraceStep::new(lead.received_at, StepKind::Received)];
        for event in events {
            let kind = Shown::read(&event.kind, EventKind::parse);
            if kind != EventKind::Created {
                let step = TraceStep::new(EventId::from(event.id).made_at().into(), StepKind::Event);
                steps.push(TraceStep { event: Some(kind), ..step });
            }
        }
        steps.extend(deliveries.iter().rev().flat_map(steps_of));
        steps.extend(self.attempts_of(company.0, &deliveries).await?);
        steps.extend(erased_at.map(|at| TraceStep::new(at.to_jiff(), StepKind::Erased)));
        // What happened at once stays in the order of cause: it was put there so, and the sort is stable.
        steps.sort_by_key(|step| step.at);
        Ok((lead, steps))
    }

    async fn attempts_of(
        &self,
        company: i64,
        deliveries: &[DeliveryView],
    ) -> Result<Vec<TraceStep>, Refusal> {
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id.uuid()).collect();
        let rows = sqlx::query!(
            "SELECT id, delivery_id, number, trigger, delivered, class, error, status_code, started_at, duration_ms
             FROM attempt WHERE company_id = $1 AND delivery_id = ANY($2) ORDER BY started_at, number",
            company,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut steps = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(of) = deliveries.iter().find(|delivery| Some(delivery.id.uuid()) == row.delivery_id)
            else {
                continue;
            };
            let end = AttemptEnd {
                delivered: row.delivered,
                class: row.class.map(|class| Shown::read(&class, FailureClass::parse)),
                error: row.error,
                status_code: row.status_code,
                duration_ms: row.duration_ms,
            };
            let trigger = Shown::read(&row.trigger, Trigger::parse);
            steps.push(TraceStep {
                state: Some(if end.delivered { StepState::Arrived } else { StepState::Failed }),
                reason: Some(format!("{trigger}: {}", came_to(&end))),
                attempt: Some(TracedAttempt { id: row.id.into(), number: row.number, trigger, end }),
                ..TraceStep::of(row.started_at.to_jiff(), StepKind::Attempt, of)
            });
        }
        Ok(steps)
    }
}

/// What an attempt came to, in a line.
fn came_to(end: &AttemptEnd) -> String {
    let class = end.class.as_ref().map(|class| class.as_str().to_owned());
    let status = end.status_code.filter(|_| end.delivered).map(|code| code.to_string());
    [class, end.error.clone(), status].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// How a delivery came to be, and how it ended if it has.
fn steps_of(delivery: &DeliveryView) -> Vec<TraceStep> {
    let begun = TraceStep::of(delivery.created_at, StepKind::Delivery, delivery);
    let state = Some(StepState::Delivery(delivery.state.clone()));
    match delivery.finished_at {
        Some(at) => {
            let ended = TraceStep::of(at, StepKind::Final, delivery);
            vec![begun, TraceStep { state, reason: delivery.reason.clone(), ..ended }]
        }
        None => {
            let running = delivery.running.then(|| "is being pushed".to_owned());
            let due = delivery.due_at.map(|at| format!("due at {at}"));
            let reported: Vec<String> = delivery.reason.clone().into_iter().chain(running.or(due)).collect();
            let reason = (!reported.is_empty()).then(|| reported.join(", "));
            vec![TraceStep { state, reason, ..begun }]
        }
    }
}
