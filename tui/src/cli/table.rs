//! Tables for people, which never wrap, and tab-separated lines for pipes.

use std::{cmp::Reverse, iter};

use unicode_width::UnicodeWidthStr as _;

use super::columns::Column;
use crate::text::fit;

/// What is left at least of a text that is cut although nobody allowed it.
const CELL_MIN: usize = 4;
const GAP: &str = "  ";
const NOTE_MAX: usize = 80;

/// Columns in text, and those for which there was no room.
pub(super) struct TextTable<'a> {
    pub(super) text: String,
    pub(super) left_out: Vec<&'a str>,
}

impl<'a> TextTable<'a> {
    /// A table of these columns, as many of them as there is room for.
    pub(super) fn new(mut columns: Vec<Cells<'a>>, room: Option<usize>) -> Self {
        let rows = columns.first().map_or(0, |column| column.cells.len());
        if rows < 2 {
            return Self { text: "none\n".to_owned(), left_out: Vec::new() };
        }
        let left_out = room.map(|room| narrow(&mut columns, room)).unwrap_or_default();
        let line = |at: usize| columns.iter().map(|column| column.cells[at].clone()).collect();
        Self { text: aligned(&(0..rows).map(line).collect::<Vec<_>>()), left_out }
    }

    /// What tells people that there is more: on one line of the narrowest terminal, with as many names as it takes.
    pub(super) fn note(&self) -> String {
        let all = self.left_out.len();
        let note = |named: usize| {
            let names = self.left_out[..named].join(", ").replace('_', " ");
            let more = if named < all { format!(" and {} more", all - named) } else { String::new() };
            format!("Left out: {names}{more}; -o json has all")
        };
        let fits = (1..=all).rev().map(note).find(|note| note.width() <= NOTE_MAX);
        fits.unwrap_or_else(|| note(all.min(1)))
    }

    /// The text, and under it what is left out.
    pub(super) fn with_note(self) -> String {
        if self.left_out.is_empty() { self.text } else { format!("{}{}\n", self.text, self.note()) }
    }
}

/// A column with its heading and what stands under it.
pub(super) struct Cells<'a> {
    column: Column<'a>,
    cells: Vec<String>,
}

impl<'a> Cells<'a> {
    /// Values under the column's heading.
    pub(super) fn new(column: Column<'a>, values: impl Iterator<Item = String>) -> Self {
        let heading = column.head.to_uppercase().replace('_', " ");
        Self { column, cells: iter::once(heading).chain(values).collect() }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width()).max().unwrap_or(0)
    }

    fn width_min(&self) -> usize {
        self.column.cut.map_or(self.width(), |min| self.width().min(min))
    }

    fn cut(&mut self, width: usize) {
        for cell in &mut self.cells {
            *cell = fit(cell, width).into_owned();
        }
    }
}

/// Leaves out columns and cuts texts until the rest fits: first those that may be left out, then texts that may be cut,
/// then whatever is widest. Answers what is left out.
fn narrow<'a>(columns: &mut Vec<Cells<'a>>, room: usize) -> Vec<&'a str> {
    let mut left_out = Vec::new();
    while taken(columns, Cells::width_min) > room {
        let easiest = columns.iter().enumerate().max_by_key(|(at, it)| (it.column.rank, Reverse(*at)));
        let Some((at, _)) = easiest.filter(|(_, it)| it.column.rank > 0) else { break };
        left_out.push(columns.remove(at).column.head);
    }
    for is_allowed in [true, false] {
        while let too_much @ 1.. = taken(columns, Cells::width).saturating_sub(room) {
            let least = |it: &Cells<'_>| if is_allowed { it.width_min() } else { it.width().min(CELL_MIN) };
            let slack = |it: &Cells<'_>| it.width().saturating_sub(least(it));
            let Some(widest) = columns.iter_mut().filter(|it| slack(it) > 0).max_by_key(|it| it.width())
            else {
                break;
            };
            let width = widest.width().saturating_sub(too_much).max(least(widest));
            widest.cut(width);
        }
    }
    left_out
}

/// What columns of these widths take, with the gaps between them.
fn taken<'a>(columns: &[Cells<'a>], width: fn(&Cells<'a>) -> usize) -> usize {
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
    use super::{
        super::columns::{column, id},
        *,
    };

    #[test]
    fn a_narrow_terminal_gets_what_matters_most() {
        let name = "01J8H6KQH4YG3XR8RWM6T6XFQE";
        let error = "the answer was 500: out of order, come back later";
        let row = [
            (id("id"), name),
            (column("lead").rank(2), name),
            (column("state"), "failed"),
            (column("started_at").rank(1), "2026-06-04 15:00:00 BST"),
            (column("error").cut(12), error),
        ];
        for (room, left_out, widest) in [
            (None, &[][..], 138),
            (Some(200), &[], 138),
            (Some(110), &[], 110),
            (Some(80), &["lead"], 80),
            (Some(60), &["lead", "started_at"], 60),
            (Some(40), &["lead", "started_at"], 40),
            (Some(20), &["lead", "started_at"], 20),
            (Some(5), &["lead", "started_at"], 16),
        ] {
            let columns = row.map(|(column, value)| Cells::new(column, iter::once(value.to_owned())));
            let table = TextTable::new(columns.into(), room);
            let width = table.text.lines().map(|line| line.width()).max().unwrap();
            assert_eq!((&*table.left_out, width), (left_out, widest), "{}", table.text);
        }
    }
}
