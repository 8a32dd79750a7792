//! The columns of tables that are no list of a noun, and what a row of a list must say.

pub(crate) use crate::columns::{Column, column, id};

/// The attempts of one delivery.
pub(crate) const HISTORY: &[Column<'static>] = &[
    id("id"),
    column("number").rank(3),
    column("trigger").rank(4),
    column("state"),
    column("status_code").head("status").rank(1),
    column("failure_class").head("class"),
    column("started_at").rank(2),
    column("duration_ms").rank(5),
    column("error").cut(12),
];

/// What happened to a lead.
pub(crate) const STEPS: &[Column<'static>] = &[
    column("at"),
    column("what"),
    column("integration").cut(10),
    column("number").head("try").rank(3),
    column("state"),
    column("event").rank(4),
    column("reason").cut(12),
    id("delivery_id"),
    id("integration_id"),
    id("attempt_id"),
];

/// The integrations of a company.
pub(crate) const CARDS: &[Column<'static>] = &[
    id("id"),
    column("name").cut(10),
    column("connector").rank(4),
    column("badge"),
    column("dead"),
    column("held").rank(1),
    column("pending").rank(2),
    column("last_pushed_at").head("last pushed").rank(3),
    column("last_error").cut(12),
];

/// The calls of an attempt; what they carried stands in JSON.
pub(crate) const CALLS: &[Column<'static>] = &[
    column("method"),
    column("url").cut(12),
    column("status"),
    column("started_at").rank(2),
    column("duration_ms").rank(1),
    column("error").cut(12),
];

/// The keys and forms whose posts are refused.
pub(crate) const REFUSED: &[Column<'static>] = &[
    column("company").cut(10),
    id("company_id"),
    id("key_id"),
    Column { or: Some("form"), ..column("key") },
    column("refused"),
    column("last_at").rank(1),
    column("status").rank(2),
    column("detail").cut(12),
];

/// A row of a list.
pub(crate) trait ListRow: serde::Serialize {
    /// Its columns in the order of plain lines.
    const COLUMNS: &'static [Column<'static>];
}
