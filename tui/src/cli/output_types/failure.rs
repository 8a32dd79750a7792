//! Failures by cause.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;

use super::{AuditLine, shapes, text, time};
use crate::cli::columns::{Column, ListRow, column};
use crate::columns::cause;

/// A cause in `failure list` and `failure show`.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    cause: String,
    connector: String,
    failure_class: &'static str,
    text: String,
    deliveries: u64,
    dead: u64,
    retrying: u64,
    deliveries_exact: bool,
    leads: u64,
    leads_exact: bool,
    money: Vec<Money>,
    integrations: Vec<Place>,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    trend: Vec<Quarter>,
    sample_delivery_id: Option<String>,
    sample_error: Option<String>,
    changed_before: Vec<AuditLine>,
    advice: String,
    actions: Vec<&'static str>,
    snoozed_until: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Money {
    currency: String,
    minor: i64,
    /// With as many decimal places as the currency has.
    amount: String,
}

#[derive(Debug, Serialize)]
struct Place {
    id: String,
    name: String,
    company: String,
    company_id: i64,
    deliveries: u64,
}

#[derive(Debug, Serialize)]
struct Quarter {
    at: Option<Timestamp>,
    deliveries: u64,
}

impl ListRow for Failure {
    const COLUMNS: &'static [Column<'static>] = &[
        column("cause"),
        cause::DELIVERIES,
        cause::LEADS,
        cause::CLASS,
        cause::TEXT,
        cause::PLACES,
        cause::FIRST,
        cause::LAST,
    ];
}

impl From<v1::Failure> for Failure {
    fn from(it: v1::Failure) -> Self {
        Self {
            failure_class: it.failure_class().word(),
            actions: it.actions().map(v1::FailureAction::word).collect(),
            cause: it.cause,
            connector: it.connector,
            text: it.text,
            deliveries: it.deliveries,
            dead: it.dead,
            retrying: it.retrying,
            deliveries_exact: it.deliveries_exact,
            leads: it.leads,
            leads_exact: it.leads_exact,
            money: shapes(it.money),
            integrations: shapes(it.integrations),
            first_at: time(it.first_at),
            last_at: time(it.last_at),
            trend: shapes(it.trend),
            sample_delivery_id: text(it.sample_delivery_id),
            sample_error: text(it.sample_error),
            changed_before: shapes(it.changed_before),
            advice: it.advice,
            snoozed_until: time(it.snoozed_until),
        }
    }
}

impl From<v1::Money> for Money {
    fn from(it: v1::Money) -> Self {
        Self { currency: it.currency, minor: it.minor, amount: it.amount }
    }
}

impl From<v1::FailureIntegration> for Place {
    fn from(it: v1::FailureIntegration) -> Self {
        Self {
            id: it.id,
            name: it.name,
            company: it.company_name,
            company_id: it.company_id,
            deliveries: it.deliveries,
        }
    }
}

impl From<v1::TrendPoint> for Quarter {
    fn from(it: v1::TrendPoint) -> Self {
        Self { at: time(it.at), deliveries: it.deliveries }
    }
}

/// `failure snooze`.
#[derive(Debug, Serialize)]
pub(crate) struct Snoozed {
    cause: String,
    snoozed_until: Option<Timestamp>,
}

impl From<v1::SnoozeFailureResponse> for Snoozed {
    fn from(it: v1::SnoozeFailureResponse) -> Self {
        Self { cause: it.cause, snoozed_until: time(it.snoozed_until) }
    }
}
