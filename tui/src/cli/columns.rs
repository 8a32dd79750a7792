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

/// A row of a list.
pub(crate) trait Row: serde::Serialize {
    /// Its columns in the order of plain lines.
    const COLUMNS: &'static [Column<'static>];
}
