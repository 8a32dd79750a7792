//! Tables for people, which fit the terminal, and tab-separated lines for pipes.

use std::iter;

use unicode_width::UnicodeWidthStr as _;

use crate::text::fit;

/// What a list does without where the terminal is narrow, the first to go first; `-o json` has it all.
const DISPENSABLE: [&str; 18] = [
    "rate_per_second",
    "require_signature",
    "updated_at",
    "created_at",
    "event",
    "duration_ms",
    "connector",
    "company_id",
    "integration_id",
    "delivery_id",
    "lead",
    "number",
    "trigger",
    "started_at",
    "last_pushed_at",
    "attempts",
    "failure_count",
    "due_at",
];
/// Texts that may be cut where the terminal is narrow, and what is left of them at least.
const ELASTIC: [&str; 3] = ["error", "last_error", "reason"];
const ELASTIC_MIN: usize = 12;
const GAP: &str = "  ";

/// Columns in text, and those for which there was no room.
pub(super) struct Table<'a> {
    pub(super) text: String,
    pub(super) left_out: Vec<&'a str>,
}

impl<'a> Table<'a> {
    /// A table of these columns, as many of them as there is room for.
    pub(super) fn new(mut columns: Vec<Column<'a>>, room: Option<usize>) -> Self {
        let rows = columns.first().map_or(0, |column| column.cells.len());
        if rows < 2 {
            return Self { text: "none\n".to_owned(), left_out: Vec::new() };
        }
        let left_out = room.map(|room| narrow(&mut columns, room)).unwrap_or_default();
        let line = |at: usize| columns.iter().map(|column| column.cells[at].clone()).collect();
        Self { text: aligned(&(0..rows).map(line).collect::<Vec<_>>()), left_out }
    }
}

/// A heading and what stands under it.
pub(super) struct Column<'a> {
    key: &'a str,
    cells: Vec<String>,
}

impl<'a> Column<'a> {
    /// The values of a key under its heading.
    pub(super) fn new(key: &'a str, values: impl Iterator<Item = String>) -> Self {
        Self { key, cells: iter::once(key.to_uppercase().replace('_', " ")).chain(values).collect() }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width()).max().unwrap_or(0)
    }

    fn is_elastic(&self) -> bool {
        ELASTIC.contains(&self.key)
    }

    fn width_min(&self) -> usize {
        if self.is_elastic() { self.width().min(ELASTIC_MIN) } else { self.width() }
    }
}

/// Leaves out columns and cuts texts until the rest fits, as far as that can be. Answers what is left out.
fn narrow<'a>(columns: &mut Vec<Column<'a>>, room: usize) -> Vec<&'a str> {
    let mut left_out = Vec::new();
    for key in DISPENSABLE {
        if taken(columns, Column::width_min) <= room {
            break;
        }
        left_out.extend(columns.extract_if(.., |column| column.key == key).map(|column| column.key));
    }
    let too_much = taken(columns, Column::width).saturating_sub(room);
    if let Some(column) = columns.iter_mut().find(|column| column.is_elastic()) {
        let width = column.width().saturating_sub(too_much).max(column.width_min());
        for cell in &mut column.cells {
            *cell = fit(cell, width).into_owned();
        }
    }
    left_out
}

/// What columns of these widths take, with the gaps between them.
fn taken<'a>(columns: &[Column<'a>], width: fn(&Column<'a>) -> usize) -> usize {
    columns.iter().map(|column| width(column) + GAP.len()).sum::<usize>().saturating_sub(GAP.len())
}

/// Lines of cells for pipes.
pub(super) fn tabbed(lines: &[Vec<String>]) -> String {
    lines.iter().map(|line| line.join("\t") + "\n").collect()
}

/// Lines of cells under each other, for people.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.width()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(cell);
            row.extend(iter::repeat_n(' ', width - cell.width()));
            row.push_str(GAP);
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_what_matters_most() {
        let id = "01J8H6KQH4YG3XR8RWM6T6XFQE";
        let error = "the answer was 500: out of order, come back later";
        let row = [
            ("id", id),
            ("lead", id),
            ("state", "failed"),
            ("started_at", "2026-06-04 15:00:00 BST"),
            ("error", error),
        ];
        for (room, left_out, widest) in [
            (None, &[][..], 138),
            (Some(200), &[], 138),
            (Some(110), &[], 110),
            (Some(80), &["lead"], 80),
            (Some(60), &["lead", "started_at"], 60),
            (Some(20), &["lead", "started_at"], 48),
        ] {
            let columns = row.map(|(key, value)| Column::new(key, iter::once(value.to_owned())));
            let table = Table::new(columns.into(), room);
            let width = table.text.lines().map(|line| line.width()).max().unwrap();
            assert_eq!((&*table.left_out, width), (left_out, widest), "{}", table.text);
            assert!(table.text.contains(id));
        }
    }
}
