//! Filters of lists, each alone and each two together, held against what they say of every row that there is.

use std::fmt::Debug;

/// One thing that a filter may restrict.
pub(crate) struct Arm<F, R> {
    /// What it sets: two arms of one field cannot be set together.
    field: &'static str,
    name: String,
    set: Box<dyn Fn(&mut F)>,
    takes: Box<dyn Fn(&R) -> bool>,
}

pub(crate) fn arm<F, R>(
    field: &'static str,
    what: impl Debug,
    set: impl Fn(&mut F) + 'static,
    takes: impl Fn(&R) -> bool + 'static,
) -> Arm<F, R> {
    Arm { field, name: format!("{field} {what:?}"), set: Box::new(set), takes: Box::new(takes) }
}

/// Holds what a list answers against the rows, which stand in the order of the list. An arm that takes all of them, or
/// none, would show nothing.
pub(crate) async fn check_arms<F: Default, R, K: Debug + PartialEq>(
    arms: &[Arm<F, R>],
    rows: &[R],
    key: impl Fn(&R) -> K,
    list: impl AsyncFn(F) -> Vec<K>,
) {
    let all = list(F::default()).await;
    assert_eq!(all, rows.iter().map(&key).collect::<Vec<_>>(), "without a filter");
    for (at, first) in arms.iter().enumerate() {
        let taken = rows.iter().filter(|row| (first.takes)(row)).count();
        assert!(taken > 0 && taken < rows.len(), "{} takes {taken} of {} rows", first.name, rows.len());
        for second in std::iter::once(first).chain(&arms[at + 1..]) {
            if first.field == second.field && first.name != second.name {
                continue;
            }
            let mut filter = F::default();
            (first.set)(&mut filter);
            (second.set)(&mut filter);
            let taken = rows.iter().filter(|row| (first.takes)(row) && (second.takes)(row));
            let expected: Vec<K> = taken.map(&key).collect();
            assert_eq!(list(filter).await, expected, "{} and {}", first.name, second.name);
        }
    }
}
