//! Attempts, with what was sent and what came back.

use jiff::Timestamp;
use leadline_client::millis;
use leadline_proto::v1;
use serde::Serialize;

use super::{body, shapes, text, time, word};
use crate::cli::columns::{Column, ListRow, id};
use crate::columns::attempt;

/// An attempt. A test has neither delivery nor lead.
#[derive(Debug, Serialize)]
pub(crate) struct Attempt {
    id: String,
    delivery_id: Option<String>,
    lead: Option<String>,
    number: u32,
    trigger: &'static str,
    state: &'static str,
    status_code: Option<u32>,
    failure_class: Option<&'static str>,
    error: Option<String>,
    started_at: Option<Timestamp>,
    duration_ms: Option<u32>,
    integration: String,
    company: String,
    lead_name: Option<String>,
    lead_email: Option<String>,
}

impl ListRow for Attempt {
    const COLUMNS: &'static [Column<'static>] = &[
        id("id"),
        id("lead"),
        attempt::NUMBER,
        attempt::TRIGGER,
        attempt::STATE,
        attempt::STATUS,
        attempt::CLASS,
        attempt::DURATION,
        attempt::STARTED,
        attempt::ERROR,
        attempt::LEAD,
        attempt::INTEGRATION,
        attempt::COMPANY,
    ];
}

impl Attempt {
    /// What came of it, in a line.
    pub(crate) fn sentence(&self) -> String {
        let lead = self.lead_name.as_deref().or(self.lead.as_deref()).unwrap_or("test");
        let class = self.failure_class.map(|class| format!(" {class}")).unwrap_or_default();
        let error = self.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        format!("{lead} attempt {} {}{class}{error}", self.number, self.state)
    }
}

impl From<v1::Attempt> for Attempt {
    fn from(it: v1::Attempt) -> Self {
        Self {
            trigger: it.trigger().word(),
            state: it.state().word(),
            failure_class: word(it.failure_class().word()),
            id: it.id,
            delivery_id: text(it.delivery_id),
            lead: text(it.lead),
            number: it.number,
            status_code: it.status_code,
            error: text(it.error),
            started_at: time(it.started_at),
            duration_ms: it.duration.map(millis),
            integration: it.integration_name,
            company: it.company_name,
            lead_name: text(it.lead_name),
            lead_email: text(it.lead_email),
        }
    }
}

/// `attempt show`: with what was sent and what came back. Bodies that are no UTF-8 lose what is not.
#[derive(Debug, Serialize)]
pub(crate) struct AttemptShown {
    #[serde(flatten)]
    attempt: Attempt,
    integration_id: String,
    event: &'static str,
    method: Option<String>,
    url: Option<String>,
    request_headers: Vec<Header>,
    request_body: Option<String>,
    response_headers: Vec<Header>,
    response_body: Option<String>,
    response_bytes: u64,
    secret_version: Option<u32>,
    mapping_version: Option<u32>,
    operator: Option<String>,
    note: Option<String>,
    calls: Vec<Call>,
}

/// A call of an attempt, as it was made.
#[derive(Debug, Serialize)]
struct Call {
    method: String,
    url: String,
    request_headers: Vec<Header>,
    request_body: Option<String>,
    request_bytes: u64,
    status: Option<u32>,
    response_headers: Vec<Header>,
    response_body: Option<String>,
    response_bytes: u64,
    started_at: Option<Timestamp>,
    duration_ms: u32,
    error: Option<String>,
}

impl From<v1::AttemptCall> for Call {
    fn from(it: v1::AttemptCall) -> Self {
        Self {
            method: it.method,
            url: it.url,
            request_headers: shapes(it.request_headers),
            request_body: it.request_body,
            request_bytes: it.request_bytes,
            status: it.status,
            response_headers: shapes(it.response_headers),
            response_body: it.response_body,
            response_bytes: it.response_bytes,
            started_at: time(it.started_at),
            duration_ms: it.duration.map(millis).unwrap_or_default(),
            error: text(it.error),
        }
    }
}

#[derive(Debug, Serialize)]
struct Header {
    name: String,
    value: String,
}

impl From<v1::Header> for Header {
    fn from(it: v1::Header) -> Self {
        Self { name: it.name, value: it.value }
    }
}

impl From<v1::GetAttemptResponse> for AttemptShown {
    fn from(it: v1::GetAttemptResponse) -> Self {
        let attempt = it.attempt.unwrap_or_default();
        let detail = it.detail.unwrap_or_default();
        Self {
            integration_id: attempt.integration_id.clone(),
            event: attempt.event().word(),
            attempt: attempt.into(),
            method: text(detail.method),
            url: text(detail.url),
            request_headers: shapes(detail.request_headers),
            request_body: body(&detail.request_body),
            response_headers: shapes(detail.response_headers),
            response_body: body(&detail.response_body),
            response_bytes: detail.response_bytes,
            secret_version: (detail.secret_version > 0).then_some(detail.secret_version),
            mapping_version: (detail.mapping_version > 0).then_some(detail.mapping_version),
            operator: text(detail.operator),
            note: text(detail.note),
            calls: shapes(detail.calls),
        }
    }
}
