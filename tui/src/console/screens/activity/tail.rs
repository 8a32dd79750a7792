//! What is shown of what happened: page by page, and where more happened than was told, a line that says so.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::console::data::Activity;
use crate::console::data::system::What;

/// So many lines are kept at most.
const KEPT: usize = 1000;

/// A page as it was told, newest first.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub rows: Vec<Activity>,
    /// Whether more is behind it.
    pub more: bool,
}

/// Whether the line stands for what was not told.
pub(super) fn is_gap(it: &Activity) -> bool {
    it.what == What::Gap
}

/// Puts a page among what is shown. `before` is the time behind which it was asked for; none for the newest. Where it
/// does not reach what is shown of older times, there may be more between them: a line says so, until a page that is
/// asked for there closes it.
pub(super) fn joined(shown: Vec<Activity>, told: Told, before: Option<Timestamp>) -> Vec<Activity> {
    let Told { rows: page, more } = told;
    let new: BTreeSet<String> = page.iter().map(|it| it.id.clone()).collect();
    let oldest = page.last().and_then(|it| it.at);
    let gap = (more && !reaches(&shown, &new, oldest)).then(|| Activity {
        id: format!("gap behind {}", page.last().map_or("", |it| &it.id)),
        at: oldest,
        company: String::new(),
        what: What::Gap,
    });
    // What lies within the page is told whole.
    let is_told = |it: &Activity| {
        new.contains(&it.id)
            || is_gap(it) && it.at >= oldest && before.is_none_or(|before| it.at <= Some(before))
    };
    let mut rows: Vec<Activity> = shown.into_iter().filter(|it| !is_told(it)).collect();
    rows.extend(page);
    rows.extend(gap);
    // The line stands below what happened at its time.
    rows.sort_by(|a, b| (b.at, is_gap(a), &b.id).cmp(&(a.at, is_gap(b), &a.id)));
    rows.truncate(KEPT);
    rows
}

/// Whether a page joins what is shown of older times, if anything is.
fn reaches(shown: &[Activity], page: &BTreeSet<String>, oldest: Option<Timestamp>) -> bool {
    let is_real = |it: &&Activity| !is_gap(it);
    match shown.iter().rposition(|it| page.contains(&it.id)) {
        // It ends where something was known; what follows there follows still.
        Some(at) => {
            let older = &shown[at + 1..];
            !older.first().is_some_and(is_gap) || older.iter().filter(is_real).count() == 0
        }
        None => !shown.iter().filter(is_real).any(|it| it.at < oldest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::data::Act;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What happened in these seconds, newest first.
    fn told(seconds: impl DoubleEndedIterator<Item = i64>, more: bool) -> Told {
        let act = |second| Act {
            id: String::new(),
            at: Some(at(second)),
            operator: String::new(),
            action: String::new(),
            target: String::new(),
            verb: String::new(),
            object: String::new(),
            before: String::new(),
            after: String::new(),
        };
        let of = |second| Activity {
            id: format!("{second:03}"),
            at: Some(at(second)),
            company: String::new(),
            what: What::Act(Box::new(act(second))),
        };
        Told { rows: seconds.rev().map(of).collect(), more }
    }

    /// The seconds that are shown, and a dash for each line that says that there is more.
    fn said(rows: &[Activity]) -> String {
        let word = |it: &Activity| {
            if is_gap(it) { "-".to_owned() } else { it.id.trim_start_matches('0').to_owned() }
        };
        rows.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn more_than_a_page_in_a_second_is_said_until_it_is_told() {
        let first = joined(Vec::new(), told(1..4, true), None);
        assert_eq!(said(&first), "3 2 1", "what is behind the first page is older than what is followed");
        let next = joined(first, told(3..6, true), None);
        assert_eq!(said(&next), "5 4 3 2 1");
        let missed = joined(next, told(20..23, true), None);
        assert_eq!(said(&missed), "22 21 20 - 5 4 3 2 1");
        // It goes on, and the line stays.
        let on = joined(missed, told(21..24, true), None);
        assert_eq!(said(&on), "23 22 21 20 - 5 4 3 2 1");
        // A page of what is missing, then the rest of it.
        let part = joined(on, told(17..20, true), Some(at(20)));
        assert_eq!(said(&part), "23 22 21 20 19 18 17 - 5 4 3 2 1");
        let rest = joined(part, told(4..17, true), Some(at(17)));
        assert_eq!(
            said(&rest),
            "23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1",
            "it reaches what was known"
        );
    }

    #[test]
    fn a_second_gap_leaves_the_first_and_a_page_over_both_closes_them() {
        let shown = joined(Vec::new(), told(1..3, true), None);
        let shown = joined(shown, told(10..12, true), None);
        let shown = joined(shown, told(20..22, true), None);
        assert_eq!(said(&shown), "21 20 - 11 10 - 2 1");
        let shown = joined(shown, told(8..20, true), Some(at(20)));
        assert_eq!(said(&shown), "21 20 19 18 17 16 15 14 13 12 11 10 9 8 - 2 1", "it goes over the second");
        assert_eq!(said(&joined(shown, told(1..30, false), None)).matches('-').count(), 0);
    }

    #[test]
    fn older_ones_are_put_behind_and_a_page_that_is_the_last_leaves_nothing_out() {
        let shown = joined(Vec::new(), told(10..12, true), None);
        let shown = joined(shown, told(8..10, true), Some(at(10)));
        assert_eq!(said(&shown), "11 10 9 8");
        assert_eq!(said(&joined(shown, told(20..22, false), None)), "21 20 11 10 9 8");
    }
}
