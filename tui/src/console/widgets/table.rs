//! A list that one moves through, marks, filters and sorts. Selection and marks are by id, so that live changes never
//! shift them under the hand.

mod drawn;

use std::cell::Cell;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use ratatui::layout::Rect;

use super::columns::TableColumn;
use super::filter::{Filter, RowTexts};
use super::step::step;
use crate::console::keymap::Action;

/// What a row must tell of itself.
pub trait TableRow {
    /// Unique in its list, and the same for as long as the row means the same.
    fn id(&self) -> &str;
    /// What a filter looks at.
    fn fields(&self) -> RowTexts<'_>;
    /// What `died:<2h` looks at.
    fn at(&self) -> Option<Timestamp> {
        None
    }
    /// Whether it stays where only what is wrong is shown.
    fn is_bad(&self) -> bool {
        false
    }
}

/// Rows that no longer belong to what is selected elsewhere are drawn faint from then on: an answer is quicker as a rule.
const FAINT: SignedDuration = SignedDuration::from_millis(150);

/// The state of a list.
#[derive(Clone, Debug)]
pub struct Table<R> {
    /// In the order that its screen gives them.
    pub rows: Vec<R>,
    pub selected: Option<String>,
    /// False while nobody has moved: the first row, which is the worst or the newest, stays selected.
    pub is_moved: bool,
    /// Which row was selected after the last message, and where it stood among those that are seen.
    placed: Option<String>,
    place: usize,
    /// The first row in the window.
    first: Cell<usize>,
    pub marks: BTreeSet<String>,
    anchor: Option<String>,
    pub filter: Filter,
    pub bad_only: bool,
    /// The key of a column, and whether its order is turned round.
    pub sort: Option<(&'static str, bool)>,
    /// False until the daemon has answered.
    pub is_loaded: bool,
    /// Since when its rows are those of something else, until the right ones come: they are seen, and nothing more.
    stale_since: Option<Timestamp>,
    /// Where its rows were drawn last, and which was the first.
    drawn: Cell<(Rect, usize)>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            selected: None,
            is_moved: false,
            placed: None,
            place: 0,
            first: Cell::default(),
            marks: BTreeSet::new(),
            anchor: None,
            filter: Filter::default(),
            bad_only: false,
            sort: None,
            is_loaded: false,
            stale_since: None,
            drawn: Cell::default(),
        }
    }
}

impl<R: TableRow> Table<R> {
    /// Replaces the rows.
    pub fn set(&mut self, rows: Vec<R>) {
        self.rows = rows;
        self.is_loaded = true;
        self.stale_since = None;
    }

    /// Something else is listed from now on: what is shown stays until that comes, so that the screen is not drawn empty
    /// and full again, but nothing of it is selected, marked or acted on. Marks, filter and order go; what is being
    /// typed of a filter stays.
    pub fn outdate(&mut self, now: Timestamp) {
        let rows = if self.is_loaded { std::mem::take(&mut self.rows) } else { Vec::new() };
        let is_loaded = !rows.is_empty();
        let stale_since = self.stale_since.or(Some(now)).filter(|_| is_loaded);
        let filter = self.filter.for_others();
        *self = Self { rows, is_loaded, stale_since, filter, ..Self::default() };
    }

    /// Takes rows of something else away; a filter stays, as it was typed for those that did not come.
    pub fn give_up(&mut self) {
        *self = Self { filter: std::mem::take(&mut self.filter), ..Self::default() };
    }

    /// Whether what is shown is of something else.
    pub const fn is_stale(&self) -> bool {
        self.stale_since.is_some()
    }

    /// When it turns faint; none once it is.
    pub fn faint_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.stale_since.map(|at| at + FAINT).filter(|at| *at > now)
    }

    fn is_faint(&self, now: Timestamp) -> bool {
        self.is_stale() && self.faint_at(now).is_none()
    }

    /// The rows that the filter leaves, in the order asked for.
    pub fn visible<'t>(&'t self, columns: &[TableColumn<R>], now: Timestamp) -> Vec<&'t R> {
        let mut rows: Vec<&R> = if self.is_fuzzy(now) {
            self.nearly(now)
        } else {
            self.meant().filter(|row| self.passes(row, now)).collect()
        };
        if let Some((key, turned)) = self.sort
            && let Some(order) = columns.iter().find(|c| c.spec.key == key).and_then(|c| c.order)
        {
            rows.sort_by(|a, b| order(a, b));
            if turned {
                rows.reverse();
            }
        }
        rows
    }

    /// All of them, or only what is wrong.
    fn meant(&self) -> impl Iterator<Item = &R> {
        self.rows.iter().filter(|row| !self.bad_only || row.is_bad())
    }

    fn passes(&self, row: &R, now: Timestamp) -> bool {
        self.filter.passes(&row.fields(), row.at(), now)
    }

    /// Whether the letters of the filter's words are enough. Found once for a text: when the last row that has the words
    /// goes away, none that lacks them may come under the hand.
    fn is_fuzzy(&self, now: Timestamp) -> bool {
        let is_fuzzy = || !self.meant().any(|row| self.passes(row, now));
        !self.filter.is_empty() && self.filter.decided().unwrap_or_else(is_fuzzy)
    }

    /// The rows that nearly have the words of the filter, nearest first.
    fn nearly(&self, now: Timestamp) -> Vec<&R> {
        let distance = |row: &R| self.filter.distance(&row.fields(), row.at(), now);
        let mut rows: Vec<(usize, &R)> =
            self.meant().filter_map(|row| distance(row).map(|distance| (distance, row))).collect();
        rows.sort_by_key(|(distance, _)| *distance);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// The selected row.
    pub fn current(&self) -> Option<&R> {
        let id = self.selected.as_ref()?;
        self.rows.iter().find(|row| row.id() == id)
    }

    /// The marked rows, else the selected one.
    pub fn chosen(&self) -> Vec<&R> {
        let is_chosen = |row: &&R| {
            if self.marks.is_empty() {
                self.selected.as_deref() == Some(row.id())
            } else {
                self.marks.contains(row.id())
            }
        };
        self.rows.iter().filter(is_chosen).collect()
    }

    /// Puts the selection on a row that is seen; answers how many marks were dropped with their rows.
    pub fn normalize(&mut self, columns: &[TableColumn<R>], now: Timestamp) -> usize {
        // Rows of something else decide nothing, not even what a filter means.
        if self.is_stale() {
            return 0;
        }
        let visible: Vec<String> = self.visible(columns, now).iter().map(|row| row.id().to_owned()).collect();
        let is_fuzzy = self.is_fuzzy(now);
        self.filter.is_fuzzy = !visible.is_empty() && is_fuzzy;
        if !visible.is_empty() {
            self.filter.decide(is_fuzzy);
        }
        let before = self.marks.len();
        if before > 0 {
            let seen: BTreeSet<&str> = visible.iter().map(String::as_str).collect();
            self.marks.retain(|id| seen.contains(id.as_str()));
        }
        let place = self.place_among(&visible);
        self.selected = visible.get(place).cloned();
        if self.selected == self.placed {
            // What comes or goes above it moves the list, not the row under the hand.
            self.first.set((self.first.get() + place).saturating_sub(self.place));
        }
        (self.place, self.placed) = (place, self.selected.clone());
        before - self.marks.len()
    }

    /// Where the selection is now: on its row, or on the one that has come into the place of a row that went away. What a
    /// filter hides did not go: then the first of those that it leaves is meant.
    fn place_among(&self, visible: &[String]) -> usize {
        let Some(id) = self.selected.as_ref().filter(|_| self.is_moved) else { return 0 };
        match visible.iter().position(|other| other == id) {
            Some(at) => at,
            None if self.rows.iter().any(|row| row.id() == id) => 0,
            None => self.place.min(visible.len().saturating_sub(1)),
        }
    }

    /// Selects the row with this id, as if one had moved there.
    pub fn select(&mut self, id: String) {
        self.selected = Some(id);
        self.is_moved = true;
    }

    /// Leaves the selected row selected, whichever comes first by then: somebody goes on from it.
    pub fn hold(&mut self) {
        self.is_moved = true;
    }

    /// Carries out a move, a mark or an order; `line` is how many rows a step down passes, `page` a page.
    pub fn perform(
        &mut self,
        columns: &[TableColumn<R>],
        now: Timestamp,
        action: Action,
        line: usize,
        page: usize,
    ) {
        match action {
            // A filter may be typed for those that are on their way: the letters would be keys otherwise.
            _ if self.is_stale() && action != Action::Filter => {}
            Action::Mark => self.mark(columns, now),
            Action::Range => self.mark_range(columns, now),
            Action::MarkAll => {
                self.is_moved = true;
                self.marks = self.visible(columns, now).iter().map(|row| row.id().to_owned()).collect();
            }
            Action::ClearMarks => self.marks.clear(),
            Action::Filter => self.filter.editing = true,
            Action::FailingOnly => self.bad_only = !self.bad_only,
            Action::SortLeft | Action::SortRight => self.turn_sort(columns, action == Action::SortRight),
            Action::Invert => self.sort = self.sort.map(|(key, turned)| (key, !turned)),
            _ => {
                let ids: Vec<&str> = self.visible(columns, now).iter().map(|row| row.id()).collect();
                let at = self.selected.as_deref().and_then(|id| ids.iter().position(|other| *other == id));
                let sideways = usize::from(line > 1);
                let next = step(at, ids.len(), action, line, sideways, page)
                    .and_then(|next| ids.get(next).map(|id| (*id).to_owned()));
                if let Some(id) = next {
                    self.select(id);
                }
            }
        }
    }

    fn mark(&mut self, columns: &[TableColumn<R>], now: Timestamp) {
        let Some(id) = self.selected.clone() else { return };
        self.is_moved = true;
        if !self.marks.remove(&id) {
            self.marks.insert(id.clone());
        }
        self.anchor = Some(id);
        self.perform(columns, now, Action::Down, 1, 1);
    }

    /// Marks everything between the last mark and the selected row.
    fn mark_range(&mut self, columns: &[TableColumn<R>], now: Timestamp) {
        let ids: Vec<String> = self.visible(columns, now).iter().map(|row| row.id().to_owned()).collect();
        let place = |id: &Option<String>| id.as_ref().and_then(|id| ids.iter().position(|other| other == id));
        let Some(here) = place(&self.selected) else { return };
        let from = place(&self.anchor).unwrap_or(here);
        self.marks.extend(ids[from.min(here)..=from.max(here)].iter().cloned());
        self.is_moved = true;
    }

    fn turn_sort(&mut self, columns: &[TableColumn<R>], forward: bool) {
        let keys: Vec<&'static str> =
            columns.iter().filter(|c| c.order.is_some()).map(|c| c.spec.key).collect();
        // Place 0 is the order of the screen itself.
        let at =
            self.sort.and_then(|(key, _)| keys.iter().position(|other| *other == key)).map_or(0, |at| at + 1);
        let places = keys.len() + 1;
        let next = (at + if forward { 1 } else { places - 1 }) % places;
        self.sort = next.checked_sub(1).and_then(|at| keys.get(at)).map(|key| (*key, false));
    }

    /// Whether only what is wrong is shown, in a word or two.
    pub fn only(&self, what: &str) -> Option<String> {
        self.bad_only.then(|| format!("{what} only"))
    }

    /// Esc: clears the filter, shows all again, then clears the marks; false if there was none of these.
    pub fn back(&mut self) -> bool {
        if !self.filter.is_empty() {
            self.filter.input.clear();
            return true;
        }
        if std::mem::take(&mut self.bad_only) {
            return true;
        }
        let had = !self.marks.is_empty();
        self.marks.clear();
        had
    }

    /// How many there are, how many are seen, what is marked, and the order, for the head of the pane.
    pub fn note(&self, columns: &[TableColumn<R>], now: Timestamp) -> String {
        if self.is_stale() {
            // How many there will be is not known yet.
            return String::new();
        }
        let (all, seen) = (self.rows.len(), self.visible(columns, now).len());
        let mut note = if all == seen { format!(" {all}") } else { format!(" {seen} of {all}") };
        if !self.marks.is_empty() {
            note.push_str(&format!("  {} marked", self.marks.len()));
        }
        if let Some((key, turned)) = self.sort {
            let head = columns.iter().find(|c| c.spec.key == key).map(|c| c.spec.shown(true).to_lowercase());
            let turned = if turned { ", turned" } else { "" };
            note.push_str(&format!("  by {}{turned}", head.unwrap_or_default()));
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::columns::{plain, shows};
    use super::super::input::Input;
    use super::*;
    use crate::columns::column;

    impl TableRow for (String, u8) {
        fn id(&self) -> &str {
            &self.0
        }

        fn fields(&self) -> RowTexts<'_> {
            vec![("name", Cow::Borrowed(&self.0))]
        }

        fn is_bad(&self) -> bool {
            self.1 > 1
        }
    }

    const COLUMNS: [TableColumn<(String, u8)>; 2] = [
        shows(column("name").fixed(4, 0), |row: &(String, u8), _| plain(&*row.0)),
        shows(column("count").fixed(5, 0), |row: &(String, u8), _| plain(row.1.to_string()))
            .by(|a, b| a.1.cmp(&b.1)),
    ];
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn table(rows: &[(&str, u8)]) -> Table<(String, u8)> {
        let mut table = Table::default();
        table.set(rows.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect());
        assert_eq!(table.normalize(&COLUMNS, NOW), 0);
        table
    }

    #[test]
    fn the_first_row_stays_selected_until_somebody_moves() {
        let mut table = table(&[("a", 1), ("b", 2)]);
        assert_eq!(table.selected.as_deref(), Some("a"));
        table.set(vec![("z".to_owned(), 9), ("a".to_owned(), 1)]);
        table.normalize(&COLUMNS, NOW);
        assert_eq!(table.selected.as_deref(), Some("z"), "the worst one came to the top");
        table.perform(&COLUMNS, NOW, Action::Down, 1, 10);
        table.set(vec![("y".to_owned(), 9), ("z".to_owned(), 9), ("a".to_owned(), 1)]);
        table.normalize(&COLUMNS, NOW);
        assert_eq!(table.selected.as_deref(), Some("a"), "it is under the hand");
    }

    #[test]
    fn where_the_selected_row_goes_away_the_one_in_its_place_is_selected() {
        let mut table = table(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
        let without = |table: &mut Table<(String, u8)>, gone: &str| {
            table.rows.retain(|row| row.0 != gone);
            table.normalize(&COLUMNS, NOW);
            table.selected.clone().unwrap_or_default()
        };
        table.select("c".to_owned());
        table.normalize(&COLUMNS, NOW);
        assert_eq!(without(&mut table, "c"), "d");
        assert_eq!(without(&mut table, "d"), "b", "there is none behind it");
        // One that a filter hides did not go: the first that it leaves is what was looked for.
        table.set(["xa", "xb", "c"].map(|id| (id.to_owned(), 1)).to_vec());
        table.select("c".to_owned());
        table.normalize(&COLUMNS, NOW);
        table.filter.input = Input::with("x");
        table.normalize(&COLUMNS, NOW);
        assert_eq!(table.selected.as_deref(), Some("xa"));
    }

    #[test]
    fn what_is_being_typed_of_a_filter_stays_when_something_else_is_listed() {
        let mut table = table(&[("exv", 1)]);
        (table.filter.input, table.filter.editing) = (Input::with("ev"), true);
        table.normalize(&COLUMNS, NOW);
        assert!(table.filter.is_fuzzy);
        table.outdate(NOW);
        assert!(table.filter.editing, "the next letter would be a key");
        table.set(["eve", "exv"].map(|id| (id.to_owned(), 1)).to_vec());
        table.normalize(&COLUMNS, NOW);
        assert_eq!(table.note(&COLUMNS, NOW), " 1 of 2", "one of these has the word itself");
        // Nothing comes: what was typed for it stays until something else is listed.
        table.filter.editing = false;
        table.give_up();
        assert_eq!(table.filter.input.text(), "ev");
        table.outdate(NOW);
        assert!(table.filter.is_empty());
    }

    #[test]
    fn ten_thousand_marks_cost_no_key_a_second() {
        let mut table: Table<(String, u8)> = Table::default();
        table.set((0..10_000).map(|n| (format!("{n:05}"), 1)).collect());
        table.perform(&COLUMNS, NOW, Action::MarkAll, 1, 10);
        let began = std::time::Instant::now();
        assert_eq!(table.normalize(&COLUMNS, NOW), 0);
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(table.marks.len(), 10_000);
    }

    #[test]
    fn marks_are_by_id_and_go_with_their_rows() {
        let mut table = table(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
        table.perform(&COLUMNS, NOW, Action::Mark, 1, 10);
        table.perform(&COLUMNS, NOW, Action::Down, 1, 10);
        table.perform(&COLUMNS, NOW, Action::Range, 1, 10);
        let marks: Vec<&str> = table.marks.iter().map(String::as_str).collect();
        assert_eq!(marks, ["a", "b", "c"]);
        table.bad_only = true;
        assert_eq!(table.normalize(&COLUMNS, NOW), 1);
        assert_eq!(table.chosen().len(), 2);
        assert!(
            table.back() && !table.bad_only && table.marks.len() == 2,
            "first what restricts, then the marks"
        );
        assert!(table.back() && table.marks.is_empty());
        assert!(!table.back());
    }

    #[test]
    fn an_order_is_taken_turned_and_left() {
        let mut table = table(&[("a", 3), ("b", 1), ("c", 2)]);
        let order = |table: &Table<(String, u8)>| -> String {
            table.visible(&COLUMNS, NOW).iter().map(|row| row.0.as_str()).collect()
        };
        assert_eq!(order(&table), "abc");
        table.perform(&COLUMNS, NOW, Action::SortRight, 1, 10);
        assert_eq!(order(&table), "bca");
        table.perform(&COLUMNS, NOW, Action::Invert, 1, 10);
        assert_eq!(order(&table), "acb");
        table.perform(&COLUMNS, NOW, Action::SortRight, 1, 10);
        assert_eq!(order(&table), "abc");
    }

    #[test]
    fn a_filter_whose_words_were_there_never_turns_fuzzy() {
        let rows = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Vec<_>>();
        let mut table = table(&[("hubspot", 1), ("h-u-b", 1)]);
        table.filter.input = Input::with("hub");
        table.normalize(&COLUMNS, NOW);
        assert_eq!(table.selected.as_deref(), Some("hubspot"));
        table.set(rows(&["h-u-b"]));
        table.normalize(&COLUMNS, NOW);
        assert!(table.visible(&COLUMNS, NOW).is_empty() && table.current().is_none());
        assert!(!table.filter.is_fuzzy);
        // Other words are looked for anew; what they nearly are stays when one comes that has them.
        table.filter.input = Input::with("hb");
        table.normalize(&COLUMNS, NOW);
        table.select("h-u-b".to_owned());
        table.set(rows(&["h-u-b", "hb"]));
        table.normalize(&COLUMNS, NOW);
        assert_eq!(table.selected.as_deref(), Some("h-u-b"));
        assert_eq!(table.visible(&COLUMNS, NOW)[0].0, "hb", "it is the nearest");
    }
}
