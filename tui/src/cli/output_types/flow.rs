//! Flows, and what a test of one found.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;

use super::time;
use crate::cli::columns::{Column, ListRow, column, id};

#[derive(Debug, Serialize)]
pub(crate) struct Flow {
    id: String,
    company_id: i64,
    name: String,
    position: u32,
    enabled: bool,
    stop: bool,
    when: String,
    /// The ids of the integrations.
    then: Vec<String>,
    /// Their names, in the same order.
    then_names: Vec<String>,
    created_at: Option<Timestamp>,
    warnings: Vec<String>,
}

impl ListRow for Flow {
    const COLUMNS: &'static [Column<'static>] = &[
        column("id").rank(2).place(104),
        column("company_id").head("company").rank(3),
        column("position").rank(4),
        column("name").place(1).cut(12),
        column("enabled").rank(1),
        column("stop").rank(5),
        column("when").cut(12),
        id("then").place(104),
        column("then_names").head("then").cut(12),
    ];
}

impl From<v1::Flow> for Flow {
    fn from(it: v1::Flow) -> Self {
        let targets = it.then.into_iter().map(|target| (target.integration_id, target.integration_name));
        let (then, then_names) = targets.unzip();
        Self {
            id: it.id,
            company_id: it.company_id,
            name: it.name,
            position: it.position,
            enabled: it.enabled,
            stop: it.stop,
            when: it.when,
            then,
            then_names,
            created_at: time(it.created_at),
            warnings: it.warnings,
        }
    }
}

/// `flow delete`.
#[derive(Debug, Serialize)]
pub(crate) struct FlowDeleted {
    pub(crate) id: String,
}

/// `flow ask-again`: how many deliveries were let go, skipped, and are held on.
#[derive(Debug, Serialize)]
pub(crate) struct FlowsAsked {
    released: u64,
    skipped: u64,
    held: u64,
}

impl From<v1::AskFlowsAgainResponse> for FlowsAsked {
    fn from(it: v1::AskFlowsAgainResponse) -> Self {
        Self { released: it.released, skipped: it.skipped, held: it.held }
    }
}

/// What `flow test` answers.
#[derive(Debug, Serialize)]
pub(crate) struct FlowTest {
    when: String,
    tested: u32,
    sent: u32,
    kept_away: u32,
    failed: u32,
    /// The newest leads that would have been sent.
    sample: Vec<String>,
    errors: Vec<FlowTestError>,
}

/// A lead for which the condition cannot be evaluated.
#[derive(Debug, Serialize)]
pub(crate) struct FlowTestError {
    lead: String,
    error: String,
}

impl From<v1::TestFlowResponse> for FlowTest {
    fn from(it: v1::TestFlowResponse) -> Self {
        let errors = it.errors.into_iter().map(|one| FlowTestError { lead: one.lead, error: one.error });
        Self {
            when: it.when,
            tested: it.tested,
            sent: it.sent,
            kept_away: it.kept_away,
            failed: it.failed,
            sample: it.sample,
            errors: errors.collect(),
        }
    }
}
