//! Leads, their deliveries and the attempts of those.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Attempt, raw, shapes, text, time, word};
use crate::cli::columns::{Column, ListRow, column, id};
use crate::columns::{delivery, job, lead};
use crate::jobs::{JobProgress, JobSummary};

/// A lead in a list.
#[derive(Debug, Serialize)]
pub(crate) struct Lead {
    uuid: String,
    company_id: i64,
    company: String,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    state: &'static str,
    undelivered: u32,
    received_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl ListRow for Lead {
    const COLUMNS: &'static [Column<'static>] =
        &[id("uuid"), lead::NAME, lead::EMAIL, lead::COMPANY, lead::STATE, lead::UNDELIVERED, lead::RECEIVED];
}

impl From<v1::Lead> for Lead {
    fn from(it: v1::Lead) -> Self {
        Self {
            state: it.state().word(),
            uuid: it.uuid,
            company_id: it.company_id,
            company: it.company_name,
            name: text(it.name),
            email: text(it.email),
            phone: text(it.phone),
            undelivered: it.undelivered,
            received_at: time(it.received_at),
            updated_at: time(it.updated_at),
        }
    }
}

/// A lead that was found: told apart by its phone number, too.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Found(Lead);

impl ListRow for Found {
    const COLUMNS: &'static [Column<'static>] = &[
        id("uuid"),
        lead::NAME,
        lead::EMAIL,
        lead::PHONE,
        lead::COMPANY,
        lead::STATE,
        lead::UNDELIVERED,
        lead::RECEIVED,
    ];
}

impl From<v1::Lead> for Found {
    fn from(it: v1::Lead) -> Self {
        Self(it.into())
    }
}

/// A lead that says a text, and where: `lead find --anywhere`.
#[derive(Debug, Serialize)]
pub(crate) struct FoundAnywhere {
    #[serde(flatten)]
    lead: Lead,
    pointer: String,
    value: String,
}

impl ListRow for FoundAnywhere {
    const COLUMNS: &'static [Column<'static>] = &[
        id("uuid"),
        lead::NAME,
        lead::COMPANY,
        lead::POINTER,
        lead::VALUE,
        lead::UNDELIVERED,
        lead::RECEIVED,
    ];
}

impl From<v1::LeadMatch> for FoundAnywhere {
    fn from(it: v1::LeadMatch) -> Self {
        Self { lead: it.lead.unwrap_or_default().into(), pointer: it.pointer, value: it.value }
    }
}

/// `lead show`: the event is carried as text, so that no number in it changes.
#[derive(Debug, Serialize)]
pub(crate) struct LeadShown {
    uuid: String,
    state: &'static str,
    received_at: Option<Timestamp>,
    event: Option<Box<RawValue>>,
    deliveries: Vec<Delivery>,
}

impl From<v1::GetLeadResponse> for LeadShown {
    fn from(it: v1::GetLeadResponse) -> Self {
        let lead = it.lead.unwrap_or_default();
        Self {
            state: lead.state().word(),
            uuid: lead.uuid,
            received_at: time(lead.received_at),
            event: raw(&it.event),
            deliveries: shapes(it.deliveries),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    id: String,
    lead: String,
    integration_id: String,
    event: &'static str,
    state: &'static str,
    reason: Option<String>,
    attempts: u32,
    due_at: Option<Timestamp>,
    integration: String,
    company: String,
    lead_name: Option<String>,
    lead_email: Option<String>,
    failure_class: Option<&'static str>,
    error: Option<String>,
    cause: Option<String>,
    job_id: Option<String>,
}

impl ListRow for Delivery {
    const COLUMNS: &'static [Column<'static>] = &[
        id("id"),
        id("lead"),
        id("integration_id"),
        delivery::EVENT,
        delivery::STATE,
        delivery::REASON,
        delivery::ATTEMPTS,
        delivery::DUE,
        delivery::LEAD,
        delivery::COMPANY,
        delivery::INTEGRATION,
        delivery::ERROR,
    ];
}

impl From<v1::Delivery> for Delivery {
    fn from(it: v1::Delivery) -> Self {
        Self {
            failure_class: word(it.failure_class().word()),
            event: it.event().word(),
            state: it.state().word(),
            id: it.id,
            lead: it.lead,
            integration_id: it.integration_id,
            reason: text(it.reason),
            attempts: it.attempts,
            due_at: time(it.due_at),
            integration: it.integration_name,
            company: it.company_name,
            lead_name: text(it.lead_name),
            lead_email: text(it.lead_email),
            error: text(it.error),
            cause: text(it.cause),
            job_id: text(it.job_id),
        }
    }
}

/// `delivery show`: with the attempts, newest first, as its history.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryShown {
    #[serde(flatten)]
    delivery: Delivery,
    company_id: i64,
    integration_name: String,
    running: bool,
    created_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    history: Vec<Attempt>,
    records: Vec<Record>,
}

/// A thing that the target made of a lead.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    kind: String,
    id: String,
    url: Option<String>,
    integration: String,
}

impl From<v1::Record> for Record {
    fn from(it: v1::Record) -> Self {
        Self { kind: it.kind, id: it.id, url: text(it.url), integration: it.integration_name }
    }
}

impl From<v1::GetDeliveryResponse> for DeliveryShown {
    fn from(it: v1::GetDeliveryResponse) -> Self {
        let delivery = it.delivery.unwrap_or_default();
        Self {
            company_id: delivery.company_id,
            integration_name: delivery.integration_name.clone(),
            running: delivery.running,
            created_at: time(delivery.created_at),
            finished_at: time(delivery.finished_at),
            delivery: delivery.into(),
            history: shapes(it.attempts),
            records: shapes(it.records),
        }
    }
}

/// `delivery retry --dry-run`, or what a retry set going.
#[derive(Debug, Serialize)]
pub(crate) struct RetryPlan {
    count: u64,
    seconds: f64,
    sample: Vec<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
}

impl From<v1::RetryDeliveriesResponse> for RetryPlan {
    fn from(it: v1::RetryDeliveriesResponse) -> Self {
        let seconds = estimated(it.estimated_duration);
        Self { count: it.count, seconds, sample: shapes(it.sample), job_id: text(it.job_id) }
    }
}

/// `lead push --dry-run`, or what a push set going; the counts are of leads.
#[derive(Debug, Serialize)]
pub(crate) struct PushPlan {
    count: u64,
    seconds: f64,
    sample: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deliveries: Vec<String>,
}

impl From<v1::PushLeadsResponse> for PushPlan {
    fn from(it: v1::PushLeadsResponse) -> Self {
        Self {
            count: it.count,
            seconds: estimated(it.estimated_duration),
            sample: it.sample,
            job_id: text(it.job_id),
            deliveries: it.pushed,
        }
    }
}

/// An estimate in tenths of a second: more digits would say more than anybody knows.
fn estimated(span: Option<prost_types::Duration>) -> f64 {
    (span.map_or(0.0, leadline_client::seconds) * 10.0).round() / 10.0
}

/// How far a job is.
#[derive(Debug, Serialize)]
pub(crate) struct Job {
    id: Option<String>,
    kind: &'static str,
    state: &'static str,
    leads: Option<u64>,
    operator: Option<String>,
    re_render: bool,
    per_second: Option<f64>,
    /// What it was asked to do, in words.
    about: String,
    integrations: Vec<JobIntegration>,
    #[serde(flatten)]
    progress: JobProgress,
}

/// An integration that a job goes through.
#[derive(Debug, Serialize)]
struct JobIntegration {
    id: String,
    name: Option<String>,
    company: String,
    company_id: i64,
    total: u64,
}

impl From<v1::JobIntegration> for JobIntegration {
    fn from(it: v1::JobIntegration) -> Self {
        Self {
            id: it.id,
            name: text(it.name),
            company: it.company_name,
            company_id: it.company_id,
            total: it.total,
        }
    }
}

impl ListRow for Job {
    const COLUMNS: &'static [Column<'static>] = &[
        column("id"),
        job::STATE,
        job::ABOUT,
        job::OPERATOR,
        job::TOTAL,
        job::RELEASED,
        job::PENDING,
        job::DELIVERED,
        job::DEAD,
        job::CREATED,
    ];
}

impl From<v1::Job> for Job {
    fn from(it: v1::Job) -> Self {
        Self {
            kind: it.kind().word(),
            state: it.state().word(),
            about: JobSummary::of(&it).sentence(|at| at.to_string()),
            progress: JobProgress::of(&it),
            integrations: shapes(it.integrations),
            id: text(it.id),
            leads: it.leads,
            operator: text(it.operator),
            re_render: it.re_render,
            per_second: it.per_second,
        }
    }
}
