//! Everything that happened to a lead, read for a document.

use serde_json::Value;

use crate::{
    domain::{
        cause::Values,
        evidence::{
            AttemptEvidence, CallEvidence, DeliveryEvidence, EventEvidence, Evidence, RecordEvidence,
        },
        ids::{CompanyId, EventId, LeadId},
        json::Json,
    },
    store::{
        Error, Store,
        delivery::{
            attempts::{AttemptView, AttemptsOf},
            calls::CallRecord,
            read::DeliveryView,
        },
        lead::read::LeadStatus,
        operator::command::Refusal,
    },
};

/// How many attempts of a delivery are told.
const ATTEMPTS_MAX: i64 = 200;

impl Store {
    /// What happened to the lead that a uuid means; with `mask`, its own values by their form.
    pub async fn evidence(&self, company: Option<&str>, uuid: &str, mask: bool) -> Result<Evidence, Refusal> {
        let status = self.lead_view(company, uuid).await?;
        let values = Values::of(&Json::parse(&status.event).unwrap_or(Json::Null));
        let evidence = self.evidence_of(status).await?;
        Ok(if mask { evidence.mask(&values) } else { evidence })
    }

    /// What happened to a lead, and its events as they were kept, oldest first; none if it is gone.
    pub async fn kept_of_lead(
        &self,
        company: CompanyId,
        lead: LeadId,
    ) -> Result<Option<(Evidence, Vec<Vec<u8>>)>, Error> {
        let Some(status) = self.lead_status(company, lead).await? else { return Ok(None) };
        let events = sqlx::query_scalar!(
            "SELECT body FROM event WHERE company_id = $1 AND lead_id = $2 ORDER BY id",
            company.0,
            lead.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Some((self.evidence_of(status).await?, events)))
    }

    async fn evidence_of(&self, status: LeadStatus) -> Result<Evidence, Error> {
        let lead = status.lead;
        let events = sqlx::query!(
            "SELECT id, kind FROM event WHERE company_id = $1 AND lead_id = $2 ORDER BY id",
            lead.company.0,
            lead.id.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let events = events
            .into_iter()
            .map(|event| EventEvidence { event: event.kind, at: EventId::from(event.id).made_at().into() });
        let events = events.collect();
        let mut deliveries = Vec::with_capacity(status.deliveries.len());
        for delivery in status.deliveries.into_iter().rev() {
            deliveries.push(self.delivery_evidence(lead.id, delivery).await?);
        }
        Ok(Evidence {
            lead: lead.uuid,
            company_id: lead.company.0,
            company: lead.company_name,
            state: lead.state.as_str().to_owned(),
            received_at: lead.received_at,
            updated_at: lead.updated_at,
            name: lead.person.name,
            email: lead.person.email,
            phone: lead.person.phone,
            masked: false,
            events,
            deliveries,
        })
    }

    async fn delivery_evidence(
        &self,
        lead: LeadId,
        delivery: DeliveryView,
    ) -> Result<DeliveryEvidence, Error> {
        let of = AttemptsOf::Delivery(delivery.company, delivery.id);
        let mut attempts = Vec::new();
        for attempt in self.attempts(of, None, ATTEMPTS_MAX).await?.into_iter().rev() {
            attempts.push(self.attempt_evidence(attempt).await?);
        }
        let row = sqlx::query!(
            "SELECT i.connector, v.ids AS \"ids?\" FROM integration i
             LEFT JOIN vendor_id v ON v.company_id = i.company_id AND v.integration_id = i.id AND v.lead_id = $3
             WHERE i.company_id = $1 AND i.id = $2",
            delivery.company.0,
            delivery.integration.uuid(),
            lead.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let (connector, ids) = row.map(|row| (row.connector, row.ids)).unwrap_or_default();
        Ok(DeliveryEvidence {
            id: delivery.id.to_string(),
            integration_id: delivery.integration.to_string(),
            integration: delivery.integration_name,
            connector,
            event: delivery.event.as_str().to_owned(),
            state: delivery.state.to_string(),
            reason: delivery.reason,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
            records: ids.map(records).unwrap_or_default(),
            attempts,
        })
    }

    async fn attempt_evidence(&self, attempt: AttemptView) -> Result<AttemptEvidence, Error> {
        let detail = match attempt.finished {
            Some(_) => self.attempt_detail(attempt.company, attempt.integration, attempt.id).await?,
            None => Default::default(),
        };
        let body = String::from_utf8_lossy(&detail.response_body).into_owned();
        let state = attempt
            .finished
            .as_ref()
            .map_or("running", |finished| if finished.delivered { "delivered" } else { "failed" });
        let finished = attempt.finished.as_ref();
        Ok(AttemptEvidence {
            id: attempt.id.to_string(),
            number: attempt.number,
            trigger: attempt.trigger.to_string(),
            state: state.to_owned(),
            operator: attempt.operator,
            started_at: attempt.started_at,
            duration_ms: finished.map(|finished| finished.duration_ms),
            failure_class: finished
                .and_then(|finished| finished.class)
                .map(|class| class.as_str().to_owned()),
            error: finished.and_then(|finished| finished.error.clone()),
            method: detail.method,
            url: detail.url,
            status_code: finished.and_then(|finished| finished.status_code),
            response_body: Some(body).filter(|body| !body.is_empty()),
            calls: if detail.calls.len() > 1 {
                detail.calls.into_iter().map(call).collect()
            } else {
                Vec::new()
            },
        })
    }
}

/// What a target calls the lead's things now; names that begin with an underscore are the connector's own notes, and
/// those that end in a delivery's id say what is done of it.
fn records(ids: Value) -> Vec<RecordEvidence> {
    let Value::Object(ids) = ids else { return Vec::new() };
    let shown = ids.into_iter().filter(|(kind, _)| !kind.starts_with('_') && !kind.contains('.'));
    let text = |id: Value| id.as_str().map_or_else(|| id.to_string(), ToOwned::to_owned);
    shown.map(|(kind, id)| RecordEvidence { kind, id: text(id) }).collect()
}

/// A call as a document tells it.
fn call(call: CallRecord) -> CallEvidence {
    CallEvidence {
        method: call.method,
        url: call.url,
        status: call.status,
        duration_ms: call.duration_ms,
        response_body: call.response_body,
        error: call.error,
    }
}
