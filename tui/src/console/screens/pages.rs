//! A list that comes in pages. More of it is shown on demand, and what is shown is read again as a whole: a row does not
//! go, and neither selection nor marks with it, because only the first page was asked for.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::console::app::shared::{Setup, Shared, Tone};
use crate::console::data::query::Page;
use crate::console::data::{Answer, Query};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch};
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;

/// So many pages at most are shown: what is further behind is for a filter, or for a command.
const MOST: usize = 25;

/// A list that is read page by page.
#[derive(Debug)]
pub struct Pages<T> {
    fetch: Fetch<Page<T>>,
    /// The rows of the reading that is under way.
    rows: Vec<T>,
    /// How many pages of it have come, and how many are wanted.
    read: usize,
    wanted: usize,
    /// The page behind those that are shown.
    next: String,
    /// How far it was looked, where that is not all yet.
    reached: Option<Timestamp>,
    is_loaded: bool,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self {
            fetch: Fetch::default(),
            rows: Vec::new(),
            read: 0,
            wanted: 1,
            next: String::new(),
            reached: None,
            is_loaded: false,
        }
    }
}

impl<T: TableRow + Clone> Pages<T> {
    /// Reads what is shown again, unless that is under way.
    pub fn load(&mut self, query: impl FnOnce(String) -> Query, cx: &mut Cx<'_>) {
        if !self.fetch.is_waiting() && cx.shared.is_live() {
            (self.rows, self.read) = (Vec::new(), 0);
            self.fetch.ask(query(String::new()), cx);
        }
    }

    /// Shows a page more, or says why not.
    pub fn more(&mut self, query: impl FnOnce(String) -> Query, cx: &mut Cx<'_>) {
        match (self.has_more(), self.is_full()) {
            (true, false) => {
                self.wanted += 1;
                // A reading that is under way goes on to it; else all is read again, so that the pages fit each other.
                self.load(query, cx);
            }
            (true, true) => {
                cx.say(
                    Tone::Plain,
                    format!("no more than {MOST} pages are shown: a filter finds what is wanted"),
                );
            }
            (false, _) if self.is_loaded => cx.say(Tone::Plain, "that is all there is"),
            (false, _) => {}
        }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether more is behind what is shown.
    pub const fn has_more(&self) -> bool {
        !self.next.is_empty()
    }

    /// Whether even more could be shown.
    pub const fn is_full(&self) -> bool {
        self.wanted >= MOST
    }

    /// Whether the list has come at all.
    pub const fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Why it could not be read.
    pub fn error(&self) -> Option<&str> {
        self.fetch.error.as_deref()
    }

    /// Takes a page in, and asks for the next one that is wanted; all rows, once they are there.
    pub fn take(
        &mut self,
        event: &Event<'_>,
        read: impl FnOnce(&Answer) -> Option<Page<T>>,
        query: impl FnOnce(String) -> Query,
        cx: &mut Cx<'_>,
    ) -> Option<Vec<T>> {
        if !self.fetch.take(event, read) {
            return None;
        }
        let Page { rows, next, reached } = self.fetch.value.take()?;
        // What came in meanwhile has moved the rest by as many places.
        let known: BTreeSet<&str> = self.rows.iter().map(TableRow::id).collect();
        let new: Vec<T> = rows.into_iter().filter(|row| !known.contains(row.id())).collect();
        self.rows.extend(new);
        self.read += 1;
        if self.read < self.wanted && !next.is_empty() {
            self.fetch.ask(query(next), cx);
            return None;
        }
        self.wanted = self.read.max(1);
        (self.next, self.reached, self.is_loaded) = (next, reached, true);
        Some(std::mem::take(&mut self.rows))
    }
}

/// Says that all that is shown is marked, and that this is not all there is.
pub fn marked<T: TableRow + Clone>(pages: &Pages<T>, marks: usize, cx: &mut Cx<'_>) {
    if pages.has_more() {
        let how = cx.shared.setup.keymap.hint(Action::Older, ": ", " shows more");
        cx.say(Tone::Plain, format!("{marks} are marked; what follows behind them is not{how}"));
    }
}

/// Takes rows of something else away where none will take their place soon.
pub fn clear_stale<T: TableRow + Clone>(table: &mut Table<T>, pages: &Pages<T>, shared: &Shared) {
    if table.is_stale() && (pages.error().is_some() || !shared.is_live()) {
        table.give_up();
    }
}

/// What stands behind the count in the head of a list's pane.
pub fn note<T: TableRow + Clone>(pages: &Pages<T>, setup: &Setup) -> String {
    let reached = pages.reached.map(|at| time::stamp(at, &setup.zone));
    match (pages.has_more(), pages.is_full(), reached) {
        (false, ..) => String::new(),
        (true, false, None) => format!("  more{}", setup.keymap.hint(Action::Older, ": ", "")),
        (true, true, None) => "  and more, for a filter or a command".to_owned(),
        (true, false, Some(at)) => {
            format!("  looked back to {at}{}", setup.keymap.hint(Action::Older, "; ", " looks further"))
        }
        (true, true, Some(at)) => format!("  looked back to {at}; a command looks further"),
    }
}

/// What stands where a list has no row: that there is none, unless it was not looked far enough to know.
pub fn none_found<T: TableRow + Clone>(pages: &Pages<T>, setup: &Setup, none: &str) -> String {
    match pages.reached.filter(|_| pages.has_more()) {
        None => none.to_owned(),
        Some(at) => {
            let further = setup.keymap.hint(Action::Older, "\n", " looks further back.");
            format!("None was found back to {}.{further}", time::stamp(at, &setup.zone))
        }
    }
}
