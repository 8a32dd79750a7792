//! What is shown of what happened: stretches in which nothing is missing, newest first. Each knows where the daemon goes on
//! behind it; where another one follows, more happened between them than was reported, and a line says so.

use std::collections::{BTreeSet, VecDeque};

use crate::console::data::Activity;
use crate::console::data::system::What;

/// So many lines are kept at most.
pub(super) const KEPT: usize = 1000;

/// A page as it was reported, newest first.
#[derive(Clone, Debug)]
pub(super) struct ActivityPage {
    pub rows: Vec<Activity>,
    /// Asks for what is behind it; empty behind the last. No time would do: lines of one moment may be on both pages.
    pub next: String,
}

/// Why no older lines can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoOlder {
    #[error("no more than {kept} lines are kept here; older: `leadline activity --limit {kept}`", kept = KEPT)]
    Full,
    #[error("nothing older is known")]
    Unknown,
}

/// What happened, newest first, with nothing missing.
#[derive(Clone, Debug)]
struct Stretch {
    rows: Vec<Activity>,
    /// Asks for what is behind it; empty where nothing is.
    next: String,
    /// Whether its end was dropped, so that what is behind it cannot be asked for.
    is_cut: bool,
}

/// What was reported now, and what was known: both in the order in which the daemon reported it, which alone knows it. A line that
/// only the latter has stands before the one that it stood before.
fn merged(reported: Vec<Activity>, known: Vec<Activity>) -> Vec<Activity> {
    let ids: BTreeSet<String> = reported.iter().map(|it| it.id.clone()).collect();
    let mut rows = Vec::with_capacity(reported.len() + known.len());
    let mut left: BTreeSet<String> = known.iter().map(|it| it.id.clone()).collect();
    let mut known = VecDeque::from(known);
    for it in reported {
        while left.contains(&it.id)
            && let Some(old) = known.pop_front()
        {
            left.remove(&old.id);
            if !ids.contains(&old.id) {
                rows.push(old);
            }
        }
        rows.push(it);
    }
    rows.extend(known.into_iter().filter(|old| !ids.contains(&old.id)));
    rows
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    stretches: Vec<Stretch>,
}

/// The line that stands for what is behind a stretch.
fn gap(of: &Stretch) -> Activity {
    let last = of.rows.last();
    Activity {
        id: format!("gap behind {}", last.map_or("", |it| &it.id)),
        at: last.and_then(|it| it.at),
        company: String::new(),
        what: What::Gap,
    }
}

impl Tail {
    /// The lines, with one where more happened.
    pub(super) fn rows(&self) -> Vec<Activity> {
        let last = self.stretches.len().saturating_sub(1);
        let of = |(at, it): (usize, &Stretch)| {
            let gap = (at < last).then(|| gap(it));
            it.rows.iter().cloned().chain(gap).collect::<Vec<_>>()
        };
        self.stretches.iter().enumerate().flat_map(of).collect()
    }

    /// How many lines are kept, those aside that say that there is more.
    pub(super) fn len(&self) -> usize {
        self.stretches.iter().map(|it| it.rows.len()).sum()
    }

    /// Whether no older ones are kept.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= KEPT || self.stretches.last().is_some_and(|last| last.is_cut)
    }

    /// Whether more happened than is shown.
    pub(super) fn has_gap(&self) -> bool {
        self.stretches.len() > 1
    }

    /// What asks for the lines that this one stands for.
    pub(super) fn behind(&self, id: &str) -> Option<&str> {
        self.stretches.iter().find(|it| gap(it).id == id).map(|it| it.next.as_str())
    }

    /// What asks for older ones than are shown, or why there are none.
    pub(super) fn older(&self) -> Result<&str, NoOlder> {
        match self.stretches.last() {
            // What was asked for would be dropped again.
            _ if self.is_full() => Err(NoOlder::Full),
            Some(last) if !last.next.is_empty() => Ok(&last.next),
            _ => Err(NoOlder::Unknown),
        }
    }

    /// Takes in a page that was asked for by this token; an empty one asked for the newest. Answers whether it says
    /// anything new.
    pub(super) fn take(&mut self, token: &str, page: ActivityPage) -> bool {
        if token.is_empty() && self.stretches.first().is_some_and(|it| it.rows.starts_with(&page.rows)) {
            return false;
        }
        let ids: BTreeSet<String> = page.rows.iter().map(|it| it.id.clone()).collect();
        let next = page.next.clone();
        let at = if token.is_empty() {
            self.stretches.insert(0, Stretch { rows: page.rows, next: page.next, is_cut: false });
            0
        } else {
            // It may have been reached by another page meanwhile.
            let Some(at) = self.stretches.iter().position(|it| it.next == token) else {
                return false;
            };
            let Some(grown) = self.stretches.get_mut(at) else { return false };
            grown.rows.retain(|it| !ids.contains(&it.id));
            grown.rows.extend(page.rows);
            grown.next = page.next;
            at
        };
        self.join(at, &ids, next.is_empty());
        self.cut();
        true
    }

    /// Joins a stretch whose end is this page with what the page reaches: whatever it has a line of, and all there is
    /// where nothing is behind it.
    fn join(&mut self, at: usize, page: &BTreeSet<String>, is_last: bool) {
        let has_line = |it: &Stretch| it.rows.iter().any(|row| page.contains(&row.id));
        let reached = if is_last {
            self.stretches.len() - 1
        } else {
            self.stretches.iter().rposition(has_line).unwrap_or(at)
        };
        if reached <= at {
            return;
        }
        let mut joined = self.stretches.drain(at..=reached);
        let Some(reported) = joined.next() else { return };
        let mut known: Vec<Activity> = Vec::new();
        let (mut next, mut is_cut, mut end) = (String::new(), false, None);
        for it in joined {
            end = it.rows.last().map(|it| it.id.clone());
            known.extend(it.rows);
            (next, is_cut) = (it.next, it.is_cut);
        }
        if is_last || end.is_some_and(|id| page.contains(&id)) {
            (next, is_cut) = (reported.next, false);
        }
        self.stretches.insert(at, Stretch { rows: merged(reported.rows, known), next, is_cut });
    }

    /// Drops the oldest lines where there are too many.
    fn cut(&mut self) {
        let mut room = KEPT;
        for it in &mut self.stretches {
            if it.rows.len() > room {
                it.rows.truncate(room);
                it.is_cut = true;
            }
            room -= it.rows.len();
        }
        // What is left of none is behind the one before.
        self.stretches.retain(|it| !it.rows.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use jiff::Timestamp;

    use super::*;
    use crate::console::data::AuditEntry;

    /// The lines with these numbers, each of its second; or all of the same one.
    fn lines(numbers: impl Iterator<Item = i64>, second: Option<i64>) -> Vec<Activity> {
        let of = |number| {
            let act = AuditEntry {
                id: String::new(),
                at: Timestamp::from_second(second.unwrap_or(number)).ok(),
                operator: String::new(),
                action: String::new(),
                target: String::new(),
                verb: String::new(),
                object: String::new(),
                before: String::new(),
                after: String::new(),
            };
            let (at, company) = (act.at, String::new());
            Activity { id: format!("{number:04}"), at, company, what: What::Act(Box::new(act)) }
        };
        numbers.map(of).collect()
    }

    fn is_gap(it: &Activity) -> bool {
        it.what == What::Gap
    }

    /// A page of these seconds; what is behind it is asked for by the last of them.
    fn page(seconds: Range<i64>) -> ActivityPage {
        ActivityPage { next: seconds.start.to_string(), rows: lines(seconds.rev(), None) }
    }

    fn last_page(seconds: Range<i64>) -> ActivityPage {
        ActivityPage { next: String::new(), ..page(seconds) }
    }

    /// A page of one moment, in this order; what is behind it is asked for by the last of them.
    fn of_a_moment(numbers: &[i64]) -> ActivityPage {
        let next = numbers.last().map(ToString::to_string).unwrap_or_default();
        ActivityPage { next, rows: lines(numbers.iter().copied(), Some(7)) }
    }

    /// The numbers that are shown, and a dash for each line that says that there is more.
    fn said(tail: &Tail) -> String {
        let word = |it: &Activity| {
            if is_gap(it) { "-".to_owned() } else { it.id.trim_start_matches('0').to_owned() }
        };
        tail.rows().iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// What the first line that says that there is more asks for.
    fn asks(tail: &Tail) -> Option<String> {
        let gap = tail.rows().into_iter().find(is_gap)?;
        tail.behind(&gap.id).map(str::to_owned)
    }

    #[test]
    fn more_than_a_page_in_a_second_is_said_until_it_is_reported() {
        let mut tail = Tail::default();
        tail.take("", page(1..4));
        assert_eq!(said(&tail), "3 2 1", "what is behind the first page is older than what is followed");
        tail.take("", page(3..6));
        assert_eq!(said(&tail), "5 4 3 2 1");
        tail.take("", page(20..23));
        assert_eq!((said(&tail), tail.has_gap()), ("22 21 20 - 5 4 3 2 1".to_owned(), true));
        // It goes on, and the line stays.
        tail.take("", page(21..24));
        assert_eq!(said(&tail), "23 22 21 20 - 5 4 3 2 1");
        // A page of what is missing, then the rest of it.
        assert_eq!(asks(&tail).as_deref(), Some("20"));
        tail.take("20", page(17..20));
        assert_eq!(said(&tail), "23 22 21 20 19 18 17 - 5 4 3 2 1");
        assert_eq!(asks(&tail).as_deref(), Some("17"));
        tail.take("17", page(4..17));
        assert_eq!(
            said(&tail),
            "23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1",
            "it reaches what was known"
        );
        assert_eq!((tail.has_gap(), tail.older()), (false, Ok("1")), "what is behind it is as it was");
        assert!(!tail.take("17", page(90..99)), "nobody asks for that any more");
        assert!(!tail.take("", page(21..24)), "it is known");
    }

    #[test]
    fn lines_of_one_moment_are_reported_to_the_last() {
        let mut tail = Tail::default();
        tail.take("", of_a_moment(&[2, 1]));
        tail.take("", of_a_moment(&[9, 8]));
        assert_eq!(said(&tail), "9 8 - 2 1");
        tail.take("8", of_a_moment(&[7, 6]));
        assert_eq!(said(&tail), "9 8 7 6 - 2 1", "they are as old as what is missing still");
        tail.take("6", of_a_moment(&[5, 4]));
        assert_eq!(said(&tail), "9 8 7 6 5 4 - 2 1");
        tail.take("4", of_a_moment(&[3, 2]));
        assert_eq!(said(&tail), "9 8 7 6 5 4 3 2 1");
    }

    #[test]
    fn lines_stand_in_the_order_in_which_the_daemon_tells_them() {
        let mut tail = Tail::default();
        tail.take("", of_a_moment(&[3, 9]));
        tail.take("", of_a_moment(&[5, 3, 9]));
        assert_eq!(said(&tail), "5 3 9", "as reported, not by time and id");
        tail.take("", of_a_moment(&[2, 8]));
        tail.take("8", of_a_moment(&[7, 6, 3]));
        assert_eq!(said(&tail), "2 8 7 6 5 3 9", "what was known stands before what it stood before");
        // A line that moved is where it was reported last.
        tail.take("", of_a_moment(&[6, 2, 8, 7]));
        assert_eq!(said(&tail), "6 2 8 7 5 3 9");
    }

    #[test]
    fn a_second_gap_leaves_the_first_and_a_page_over_both_closes_them() {
        let mut tail = Tail::default();
        tail.take("", page(1..3));
        tail.take("", page(10..12));
        tail.take("", page(20..22));
        assert_eq!(said(&tail), "21 20 - 11 10 - 2 1");
        tail.take("20", page(8..20));
        assert_eq!(said(&tail), "21 20 19 18 17 16 15 14 13 12 11 10 9 8 - 2 1", "it goes over the second");
        assert_eq!(asks(&tail).as_deref(), Some("8"));
        tail.take("", last_page(1..30));
        assert!(!tail.has_gap() && tail.older().is_err());
    }

    #[test]
    fn older_ones_are_put_behind_and_a_page_that_is_the_last_leaves_nothing_out() {
        let mut tail = Tail::default();
        assert_eq!(tail.older(), Err(NoOlder::Unknown));
        tail.take("", page(10..12));
        assert_eq!(tail.older(), Ok("10"));
        tail.take("10", page(8..10));
        assert_eq!((said(&tail), tail.older()), ("11 10 9 8".to_owned(), Ok("8")));
        tail.take("", last_page(20..22));
        assert_eq!(said(&tail), "21 20 11 10 9 8");
    }

    #[test]
    fn no_more_is_kept_than_can_be_read_and_what_was_dropped_is_not_skipped_silently() {
        let mut tail = Tail::default();
        tail.take("", page(500..600));
        tail.take("500", page(1..500));
        tail.take("", page(550..1050));
        assert_eq!(tail.rows().len(), KEPT);
        assert_eq!(tail.older(), Err(NoOlder::Full));
        let reason = "no more than 1000 lines are kept here; older: `leadline activity --limit 1000`";
        assert_eq!(NoOlder::Full.to_string(), reason);
        // A stretch that has no room left is behind the line of the one before it.
        let mut tail = Tail::default();
        tail.take("", page(1..100));
        tail.take("", page(5000..6000));
        assert_eq!((tail.rows().len(), tail.has_gap()), (KEPT, false));
        // There is no room for what is behind it, either: asking for that would show nothing.
        assert_eq!(tail.older(), Err(NoOlder::Full));
    }
}
