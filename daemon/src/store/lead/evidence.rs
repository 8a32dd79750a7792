//! Everything that happened to a lead, read for a document.

use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::{
        cause::Values,
        evidence::{AttemptEvidence, CallEvidence, DeliveryEvidence, EventEvidence, Evidence},
        ids::{CompanyId, DeliveryId, EventId, LeadId},
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

/// All that is kept of a lead, but what its targets call its things.
#[derive(Debug)]
pub struct KeptLead {
    pub evidence: Evidence,
    /// Its events as they came, oldest first.
    pub events: Vec<Vec<u8>>,
    /// What deliveries would push again, where it differs from the event: kept for longer than attempts.
    pub rendered: Vec<(DeliveryId, Vec<u8>)>,
}

/// How many attempts of a delivery are read at once.
const PAGE: usize = 200;

impl Store {
    /// What happened to the lead that a uuid means, without the records, and its own values, by which it is masked.
    pub async fn evidence(
        &self,
        company: Option<&str>,
        uuid: &str,
    ) -> Result<(LeadId, Evidence, Values), Refusal> {
        let status = self.lead_view(company, uuid).await?;
        let values = Values::of(&Json::parse(&status.event).unwrap_or(Json::Null));
        Ok((status.lead.id, self.evidence_of(status).await?, values))
    }

    /// Everything that is kept of a lead, without the records; none if it is gone.
    pub async fn kept_of_lead(&self, company: CompanyId, lead: LeadId) -> Result<Option<KeptLead>, Error> {
        let Some(status) = self.lead_status(company, lead).await? else { return Ok(None) };
        let events = sqlx::query_scalar!(
            "SELECT body FROM event WHERE company_id = $1 AND lead_id = $2 ORDER BY id",
            company.0,
            lead.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let rendered = sqlx::query!(
            r#"SELECT id, body AS "body!" FROM delivery
               WHERE company_id = $1 AND lead_id = $2 AND body IS NOT NULL ORDER BY id"#,
            company.0,
            lead.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let rendered = rendered.into_iter().map(|row| (DeliveryId::from(row.id), row.body)).collect();
        Ok(Some(KeptLead { evidence: self.evidence_of(status).await?, events, rendered }))
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
            deliveries.push(self.delivery_evidence(delivery).await?);
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

    async fn delivery_evidence(&self, delivery: DeliveryView) -> Result<DeliveryEvidence, Error> {
        let attempts = self.all_attempts(AttemptsOf::Delivery(delivery.company, delivery.id)).await?;
        let connector = sqlx::query_scalar!(
            "SELECT connector FROM integration WHERE company_id = $1 AND id = $2",
            delivery.company.0,
            delivery.integration.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let mut evidence = DeliveryEvidence {
            id: delivery.id.to_string(),
            integration_id: delivery.integration.to_string(),
            integration: delivery.integration_name,
            connector: connector.unwrap_or_default(),
            event: delivery.event.as_str().to_owned(),
            state: delivery.state.to_string(),
            reason: delivery.reason,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
            records: Vec::new(),
            attempts: Vec::new(),
        };
        for attempt in attempts.into_iter().rev() {
            evidence.add(self.attempt_evidence(attempt).await?);
        }
        Ok(evidence)
    }

    /// All of them, newest first: the sweep alone makes three hundred in three days.
    async fn all_attempts(&self, of: AttemptsOf) -> Result<Vec<AttemptView>, Error> {
        let mut all = self.attempts(of, None, PAGE as i64).await?;
        let mut read = all.len();
        while read == PAGE {
            let page = self.attempts(of, all.last().map(|oldest| oldest.id), PAGE as i64).await?;
            read = page.len();
            all.extend(page);
        }
        Ok(all)
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
            failure_class: finished.and_then(|finished| Some(finished.class.as_ref()?.to_string())),
            error: finished.and_then(|finished| finished.error.clone()),
            method: detail.method,
            url: detail.url,
            status_code: finished.and_then(|finished| finished.status_code),
            response_body: Some(body).filter(|body| !body.is_empty()),
            calls: detail.calls.into_iter().map(|made| call(made, attempt.started_at)).collect(),
        })
    }
}

/// A call of an attempt that started at a time, as a document tells it.
fn call(call: CallRecord, started_at: Timestamp) -> CallEvidence {
    let after = SignedDuration::from_millis(call.after_ms.into());
    let cut = |bytes: u64, body: &Option<String>| {
        let kept = body.as_ref().and_then(|body| u64::try_from(body.len()).ok());
        Some(bytes).filter(|bytes| kept.is_some_and(|kept| kept < *bytes))
    };
    CallEvidence {
        method: call.method,
        url: call.url,
        status: call.status,
        started_at: started_at.checked_add(after).unwrap_or(started_at),
        duration_ms: call.duration_ms,
        request_bytes: cut(call.request_bytes, &call.request_body),
        response_bytes: cut(call.response_bytes, &call.response_body),
        request_body: call.request_body,
        sent_by_attempt: None,
        response_body: call.response_body,
        error: call.error,
    }
}
