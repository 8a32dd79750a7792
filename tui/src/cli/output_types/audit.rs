//! What operators changed, and what notices told.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{raw, text, time};
use crate::{
    acts,
    cli::columns::{Column, ListRow, column, id},
};

/// A line of `audit list`.
#[derive(Debug, Serialize)]
pub(crate) struct AuditLine {
    id: String,
    /// Null for what is about all companies.
    company_id: Option<i64>,
    at: Option<Timestamp>,
    operator: String,
    action: String,
    target: String,
    /// Null for what has no name.
    target_name: Option<String>,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    /// What was done to what, in words.
    done: String,
}

impl ListRow for AuditLine {
    const COLUMNS: &'static [Column<'static>] = &[
        id("id"),
        column("at"),
        column("company_id").head("company").rank(1),
        column("operator").cut(8),
        id("action"),
        id("target"),
        column("done").head("what was done").place(101).cut(20),
    ];
}

impl AuditLine {
    /// What was done, in a line.
    pub(crate) fn sentence(&self) -> String {
        format!("{} {}", self.operator, self.done)
    }
}

impl From<v1::AuditLine> for AuditLine {
    fn from(it: v1::AuditLine) -> Self {
        Self {
            done: acts::done(&it),
            id: it.id,
            company_id: (it.company_id > 0).then_some(it.company_id),
            at: time(it.at),
            operator: it.operator,
            action: it.action,
            target: it.target,
            target_name: text(it.target_name),
            before: raw(it.before.as_bytes()),
            after: raw(it.after.as_bytes()),
        }
    }
}

/// A line of `notice list`.
#[derive(Debug, Serialize)]
pub(crate) struct Notice {
    id: String,
    company_id: i64,
    integration_id: String,
    event: &'static str,
    state: &'static str,
    attempts: u32,
    error: Option<String>,
    created_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// What it says to people; it stands in the body.
    message: Option<String>,
    body: Option<Box<RawValue>>,
}

impl ListRow for Notice {
    const COLUMNS: &'static [Column<'static>] = &[
        id("id"),
        column("created_at").place(1),
        column("company_id").head("company").rank(2),
        id("integration_id"),
        column("event").rank(1),
        column("state"),
        column("attempts").rank(3),
        column("error").cut(12),
        column("message").place(2).cut(30),
    ];
}

impl From<v1::Notice> for Notice {
    fn from(it: v1::Notice) -> Self {
        Self {
            event: it.event().word(),
            state: it.state().word(),
            id: it.id,
            company_id: it.company_id,
            integration_id: it.integration_id,
            attempts: it.attempts,
            error: text(it.error),
            created_at: time(it.created_at),
            finished_at: time(it.finished_at),
            message: message(&it.body),
            body: raw(&it.body),
        }
    }
}

/// The sentence of a notice.
fn message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["message"].as_str().map(str::to_owned)
}
