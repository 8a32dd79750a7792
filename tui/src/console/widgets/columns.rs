//! What `columns` describes, as a screen shows it: with a cell and an order, and as many columns as there is room for.

use std::cmp::Ordering;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::columns::{Column as Spec, Width};
use crate::console::theme::{Role, Theme};

/// What a cell may depend on besides its row.
#[derive(Clone, Copy)]
pub struct CellContext<'a> {
    pub now: Timestamp,
    pub zone: &'a TimeZone,
    pub theme: Theme,
    /// Everything shown is of one company, so that nobody need be told which.
    pub is_one_company: bool,
    /// And of one integration.
    pub is_one_integration: bool,
    /// What stands in a list that has not come yet.
    pub waits: &'static str,
    /// Why it could not be read, where that was tried.
    pub error: Option<&'a str>,
}

/// A text in a meaning; made safe when it is drawn.
pub struct Cell {
    pub text: String,
    pub role: Role,
}

/// Plain text.
pub fn plain(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), role: Role::Plain }
}

/// Text in a meaning.
pub fn styled(role: Role, text: impl Into<String>) -> Cell {
    Cell { text: text.into(), role }
}

/// A column of a list of `R`, with its cell and its order.
pub struct TableColumn<R: 'static> {
    pub spec: Spec<'static>,
    pub cell: fn(&R, &CellContext<'_>) -> Cell,
    pub order: Option<fn(&R, &R) -> Ordering>,
    /// What a file gets where the cell says less or says it in signs.
    pub value: Option<fn(&R) -> Value>,
    /// Left out where everything is of one company, or of one integration.
    pub is_company: bool,
    pub is_integration: bool,
}

/// From this priority on a column gives way to one that wants more than it needs.
const GIVES_WAY: u8 = 3;

/// A column that nobody sorts by.
pub const fn shows<R>(spec: Spec<'static>, cell: fn(&R, &CellContext<'_>) -> Cell) -> TableColumn<R> {
    TableColumn { spec, cell, order: None, value: None, is_company: false, is_integration: false }
}

impl<R> TableColumn<R> {
    /// The same, and one can sort by it.
    pub const fn by(mut self, order: fn(&R, &R) -> Ordering) -> Self {
        self.order = Some(order);
        self
    }

    /// The same, and files get this of it.
    pub const fn value(mut self, value: fn(&R) -> Value) -> Self {
        self.value = Some(value);
        self
    }

    /// What a file gets of a row.
    pub fn exported(&self, row: &R, look: &CellContext<'_>) -> Value {
        self.value.map_or_else(|| Value::from((self.cell)(row, look).text), |value| value(row))
    }

    /// The same, left out where everything is of one company.
    pub const fn company(mut self) -> Self {
        self.is_company = true;
        self
    }

    /// The same, left out where everything is of one integration.
    pub const fn integration(mut self) -> Self {
        self.is_integration = true;
        self
    }

    const fn least(&self) -> usize {
        match self.spec.width {
            Width::Fixed(width) | Width::Share(width, _) => width as usize,
        }
    }
}

/// The columns that fit into `width`, each with its own; one blank stands between two.
pub fn fitting<R>(
    columns: &[TableColumn<R>],
    width: usize,
    is_one_company: bool,
    is_one_integration: bool,
) -> Vec<(&TableColumn<R>, usize)> {
    let is_needed =
        |c: &&TableColumn<R>| !(c.is_company && is_one_company || c.is_integration && is_one_integration);
    let mut shown: Vec<&TableColumn<R>> = columns.iter().filter(is_needed).collect();
    let least =
        |shown: &[&TableColumn<R>]| shown.iter().map(|c| c.least() + 1).sum::<usize>().saturating_sub(1);
    while least(&shown) > width {
        let Some(at) = (0..shown.len()).max_by_key(|at| (shown[*at].spec.priority, *at)) else { break };
        if shown[at].spec.priority == 0 {
            break;
        }
        shown.remove(at);
    }
    let missing = |c: &&TableColumn<R>| usize::from(c.spec.wanted).saturating_sub(c.least());
    let whole = |shown: &[&TableColumn<R>]| least(shown) + shown.iter().map(missing).sum::<usize>();
    // What one wants it gets whole, or not at all.
    let lasting: Vec<&TableColumn<R>> =
        shown.iter().copied().filter(|c| c.spec.priority < GIVES_WAY).collect();
    let is_met = whole(&lasting) <= width;
    while is_met && whole(&shown) > width {
        let Some(at) = (0..shown.len()).max_by_key(|at| (shown[*at].spec.priority, *at)) else { break };
        shown.remove(at);
    }
    let mut left = width.saturating_sub(least(&shown));
    let mut widths: Vec<usize> = shown.iter().map(|c| c.least()).collect();
    for (column, width) in shown.iter().zip(&mut widths) {
        let more = if is_met { left.min(missing(column)) } else { 0 };
        *width += more;
        left -= more;
    }
    // Those that give way last are the first to grow.
    let mut order: Vec<usize> = (0..shown.len()).collect();
    order.sort_by_key(|at| shown[*at].spec.priority);
    for at in order {
        if let Width::Share(least, most) = shown[at].spec.width {
            let grown = widths[at].saturating_sub(usize::from(least));
            let more = left.min(usize::from(most.saturating_sub(least)).saturating_sub(grown));
            widths[at] += more;
            left -= more;
        }
    }
    shown.into_iter().zip(widths).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::column;

    const COLUMNS: [TableColumn<u8>; 4] = [
        shows(column("name").share(6, 10, 0), |_, _| plain("")),
        shows(column("company").fixed(8, 1), |_, _| plain("")).company(),
        shows(column("age").fixed(4, 2), |_, _| plain("")),
        shows(column("error").share(5, 99, 1), |_, _| plain("")),
    ];

    #[test]
    fn what_matters_least_gives_way_first() {
        let keys = |width, one| -> Vec<(&str, usize)> {
            fitting(&COLUMNS, width, one, false).into_iter().map(|(c, width)| (c.spec.key, width)).collect()
        };
        assert_eq!(keys(40, false), [("name", 10), ("company", 8), ("age", 4), ("error", 15)]);
        assert_eq!(keys(22, false), [("name", 7), ("company", 8), ("error", 5)]);
        assert_eq!(keys(14, false), [("name", 10)], "what is left goes to what is shown");
        assert_eq!(keys(22, true), [("name", 10), ("age", 4), ("error", 6)]);
        assert_eq!(keys(2, false), [("name", 6)], "the drawing cuts");
    }

    const WANTING: [TableColumn<u8>; 4] = [
        shows(column("name").share(6, 10, 1), |_, _| plain("")),
        shows(column("age").fixed(4, 2), |_, _| plain("")),
        shows(column("took").fixed(4, 4), |_, _| plain("")),
        shows(column("error").share(5, 99, 1).wants(20), |_, _| plain("")),
    ];

    #[test]
    fn one_that_wants_room_gets_it_before_those_of_a_high_priority_have_any() {
        let keys = |width| -> Vec<(&str, usize)> {
            fitting(&WANTING, width, false, false).into_iter().map(|(c, width)| (c.spec.key, width)).collect()
        };
        assert_eq!(keys(40), [("name", 9), ("age", 4), ("took", 4), ("error", 20)]);
        assert_eq!(keys(36), [("name", 10), ("age", 4), ("error", 20)]);
        assert_eq!(keys(26), [("name", 10), ("age", 4), ("took", 4), ("error", 5)], "it would not be enough");
    }
}
