//! Where one is among rows or cards: where a move leads, and which of them are seen then.

use crate::console::keymap::Action;

/// The next place, if the action moves at all and there is anything.
pub fn step(
    at: Option<usize>,
    len: usize,
    action: Action,
    line: usize,
    sideways: usize,
    page: usize,
) -> Option<usize> {
    let last = len.checked_sub(1)?;
    let at = at.unwrap_or(0);
    let back = |by: usize| at.checked_sub(by);
    let page = page.max(1);
    Some(match action {
        // Leaving the grid upwards or downwards stays in its column.
        Action::Up => back(line).unwrap_or(at),
        Action::Down if at + line > last && at / line < last / line => last,
        Action::Down => Some(at + line).filter(|next| *next <= last).unwrap_or(at),
        Action::Left => at.saturating_sub(sideways),
        Action::Right => (at + sideways).min(last),
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => (at + page).min(last),
        Action::First => 0,
        Action::Last => last,
        _ => return None,
    })
}

/// Where a window of `rows` starts so that `selected` is seen, as near the middle as the ends allow.
pub fn window_start(selected: usize, rows: usize, len: usize) -> usize {
    selected.saturating_sub(rows / 2).min(len.saturating_sub(rows))
}

/// Where such a window starts that began at `first`: there, as long as the selected row is seen. Where it is left, it moves
/// by most of itself: a list that moved with each key would be painted anew with each.
pub fn window_from(first: usize, selected: usize, rows: usize, len: usize) -> usize {
    let last = len.saturating_sub(rows);
    let (first, margin) = (first.min(last), rows / 4);
    let start = if selected < first {
        (selected + 1 + margin).saturating_sub(rows)
    } else if selected >= first + rows {
        selected.saturating_sub(margin)
    } else {
        first
    };
    start.min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_moves_by_most_of_itself_once_it_is_left() {
        // Eight rows out of a hundred.
        for (first, selected, start) in [
            (0, 7, 0),
            (0, 8, 6),
            (6, 13, 6),
            (6, 14, 12),
            (6, 5, 0),
            (20, 19, 14),
            (20, 99, 92),
            (99, 95, 92),
            (92, 0, 0),
        ] {
            let found = window_from(first, selected, 8, 100);
            assert_eq!(found, start, "{first} {selected}");
            assert!((found..found + 8).contains(&selected), "{first} {selected}");
        }
        assert_eq!((window_from(3, 2, 8, 5), window_from(0, 0, 0, 0)), (0, 0));
    }

    #[test]
    fn moving_in_a_grid_stays_inside() {
        // Three columns, seven cards: 0 1 2 / 3 4 5 / 6.
        let cases = [
            (0, Action::Up, 0),
            (0, Action::Down, 3),
            (4, Action::Down, 6),
            (6, Action::Down, 6),
            (5, Action::Right, 6),
            (6, Action::Right, 6),
            (3, Action::Left, 2),
            (0, Action::Left, 0),
            (1, Action::PageDown, 6),
            (6, Action::First, 0),
            (0, Action::Last, 6),
            (6, Action::Up, 3),
        ];
        for (at, action, next) in cases {
            assert_eq!(step(Some(at), 7, action, 3, 1, 6), Some(next), "{at} {action:?}");
        }
        assert_eq!(step(None, 0, Action::Down, 3, 1, 6), None);
    }
}
