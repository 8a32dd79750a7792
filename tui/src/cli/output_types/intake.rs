//! What came in, and what did not.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{delivery::Record, shapes, text, time, word};
use crate::cli::columns::{Column, ListRow, column, id};

/// A request that the intake refused, nobody's data in it.
#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    id: String,
    at: Option<Timestamp>,
    path: String,
    status: u32,
    detail: String,
    errors: Vec<FieldProblem>,
    body: Option<Body>,
}

/// A field that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct FieldProblem {
    pointer: String,
    detail: String,
}

/// JSON stays JSON; what is none, or was cut, is text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Json(Box<RawValue>),
    Text(String),
}

impl From<v1::FieldProblem> for FieldProblem {
    fn from(it: v1::FieldProblem) -> Self {
        Self { pointer: it.pointer, detail: it.detail }
    }
}

impl ListRow for Refused {
    const COLUMNS: &'static [Column<'static>] =
        &[id("id"), column("at"), column("path").rank(1), column("status"), column("detail").cut(12)];
}

impl From<v1::Refused> for Refused {
    fn from(it: v1::Refused) -> Self {
        let body = text(it.body).map(|body| match serde_json::from_str(&body) {
            Ok(json) => Body::Json(json),
            Err(_) => Body::Text(body),
        });
        Self {
            id: it.id,
            at: time(it.at),
            path: it.path,
            status: it.status,
            detail: it.detail,
            errors: shapes(it.errors),
            body,
        }
    }
}

/// `lead trace`.
#[derive(Debug, Serialize)]
pub(crate) struct Trace {
    uuid: String,
    company_id: i64,
    state: &'static str,
    received_at: Option<Timestamp>,
    steps: Vec<Step>,
    records: Vec<Record>,
}

/// Something that happened to a lead.
#[derive(Debug, Serialize)]
struct Step {
    at: Option<Timestamp>,
    what: &'static str,
    event: Option<&'static str>,
    integration: Option<String>,
    number: Option<u32>,
    state: Option<&'static str>,
    reason: Option<String>,
    delivery_id: Option<String>,
    integration_id: Option<String>,
    attempt_id: Option<String>,
}

impl From<v1::TraceStep> for Step {
    fn from(it: v1::TraceStep) -> Self {
        Self {
            what: it.kind().word(),
            event: word(it.event().word()),
            state: word(it.delivery_state().word()).or_else(|| word(it.attempt_state().word())),
            at: time(it.at),
            integration: text(it.integration_name),
            number: (it.number > 0).then_some(it.number),
            reason: text(it.reason),
            delivery_id: text(it.delivery_id),
            integration_id: text(it.integration_id),
            attempt_id: text(it.attempt_id),
        }
    }
}

impl From<v1::TraceLeadResponse> for Trace {
    fn from(it: v1::TraceLeadResponse) -> Self {
        let lead = it.lead.unwrap_or_default();
        Self {
            state: lead.state().word(),
            uuid: lead.uuid,
            company_id: lead.company_id,
            received_at: time(lead.received_at),
            steps: shapes(it.steps),
            records: shapes(it.records),
        }
    }
}

/// `lead erase`.
#[derive(Debug, Serialize)]
pub(crate) struct Erased {
    uuid: String,
    erased: bool,
    skipped: u64,
    deliveries: u64,
    attempts: u64,
    running: u64,
}

/// `lead erase --email`: all leads of a person.
#[derive(Debug, Serialize)]
pub(crate) struct ErasedPerson {
    uuids: Vec<String>,
    skipped: u64,
    deliveries: u64,
    attempts: u64,
    running: u64,
}

impl From<v1::ErasePersonResponse> for ErasedPerson {
    fn from(it: v1::ErasePersonResponse) -> Self {
        Self {
            uuids: it.uuids,
            skipped: it.skipped,
            deliveries: it.deliveries,
            attempts: it.attempts,
            running: it.running,
        }
    }
}

impl From<v1::EraseLeadResponse> for Erased {
    fn from(it: v1::EraseLeadResponse) -> Self {
        Self {
            uuid: it.uuid,
            erased: true,
            skipped: it.skipped,
            deliveries: it.deliveries,
            attempts: it.attempts,
            running: it.running,
        }
    }
}

/// `lead import`: counts, and the first problems.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Imported<P = LineProblem> {
    #[serde(flatten)]
    counts: LineCounts,
    problems: Vec<P>,
}

/// What became of the lines of a file.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct LineCounts {
    lines: u64,
    accepted: u64,
    duplicate: u64,
    updated: u64,
    refused: u64,
    dry_run: bool,
}

/// What is wrong with a line.
#[derive(Debug, Default, Serialize)]
pub(crate) struct LineProblem {
    line: u64,
    errors: Vec<FieldProblem>,
}

/// The same as a sentence, as people read it.
#[derive(Debug, Serialize)]
pub(crate) struct LineSentence {
    line: u64,
    problem: String,
}

impl Imported {
    /// Nothing yet.
    pub(crate) fn new(dry_run: bool) -> Self {
        Self { counts: LineCounts { dry_run, ..LineCounts::default() }, problems: Vec::new() }
    }

    /// How many lines were read.
    pub(crate) fn lines(&self) -> u64 {
        self.counts.lines
    }

    /// How many of them are refused.
    pub(crate) fn refused(&self) -> u64 {
        self.counts.refused
    }

    /// How many lines are refused without standing among the problems.
    pub(crate) fn hidden_problems(&self) -> u64 {
        self.counts.refused.saturating_sub(self.problems.len() as u64)
    }

    /// Counts what became of a line.
    pub(crate) fn count(&mut self, line: v1::ImportedLine, problems_max: usize) {
        self.counts.lines += 1;
        match line.status() {
            v1::ImportStatus::Accepted => self.counts.accepted += 1,
            v1::ImportStatus::Duplicate => self.counts.duplicate += 1,
            v1::ImportStatus::Updated => self.counts.updated += 1,
            v1::ImportStatus::Refused | v1::ImportStatus::Unspecified => self.counts.refused += 1,
        }
        if !line.problems.is_empty() {
            self.note(line.number, shapes(line.problems), problems_max);
        }
    }

    /// Counts a line that was not even sent.
    pub(crate) fn refuse(&mut self, line: u64, detail: String, problems_max: usize) {
        self.counts.lines += 1;
        self.counts.refused += 1;
        self.note(line, vec![FieldProblem { pointer: String::new(), detail }], problems_max);
    }

    fn note(&mut self, line: u64, errors: Vec<FieldProblem>, problems_max: usize) {
        if self.problems.len() < problems_max {
            let at = self.problems.partition_point(|problem| problem.line <= line);
            self.problems.insert(at, LineProblem { line, errors });
        }
    }

    /// The same with sentences.
    pub(crate) fn for_people(&self) -> Imported<LineSentence> {
        let sentence = |it: &LineProblem| {
            let parts: Vec<_> = it.errors.iter().map(FieldProblem::sentence).collect();
            LineSentence { line: it.line, problem: parts.join("; ") }
        };
        Imported { counts: self.counts, problems: self.problems.iter().map(sentence).collect() }
    }
}

impl FieldProblem {
    fn sentence(&self) -> String {
        let place =
            self.pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
        format!("{place} {}", self.detail).trim_start().to_owned()
    }
}
