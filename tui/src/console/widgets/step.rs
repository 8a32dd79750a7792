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

#[cfg(test)]
mod tests {
    use super::*;

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
