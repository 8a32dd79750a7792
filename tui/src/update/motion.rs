//! Moving: through cards, rows and pages. Selections move by id, so that live changes never shift them.

use crate::keymap::Action;
use crate::model::document;
use crate::model::open::{Open, Pane};
use crate::model::{Model, Screen};

/// Carries out a move on the screen on top.
pub(super) fn perform(model: &mut Model, action: Action) {
    match model.screen() {
        Screen::Overview => in_overview(model, action),
        Screen::Integration => {
            let rows = model.size.list_rows();
            let page = usize::from(model.size.detail(false).1);
            match model.open.as_mut() {
                Some(open) if open.pane == Pane::Detail => scroll(open, action, page),
                Some(open) => in_list(open, action, rows),
                None => {}
            }
        }
        Screen::Attempt => {
            let page = usize::from(model.size.detail(true).1);
            match (model.open.as_mut(), action) {
                (Some(open), Action::Left) => in_list(open, Action::Up, 1),
                (Some(open), Action::Right) => in_list(open, Action::Down, 1),
                (Some(open), _) => scroll(open, action, page),
                (None, _) => {}
            }
        }
    }
}

/// Holds the scroll position inside the page that is shown.
pub(super) fn clamp_scroll(model: &mut Model) {
    let size = model.size;
    let zone = &model.setup.zone;
    let Some(open) = model.open.as_mut() else { return };
    if open.scroll == 0 {
        return;
    }
    let (width, height) = size.detail(open.full);
    let lines = open.current().map_or(0, |attempt| {
        let page = document::page(attempt, open.detail(), zone);
        document::fit(page, usize::from(width), open.wrap).len()
    });
    open.scroll = open.scroll.min(lines.saturating_sub(usize::from(height)));
}

fn in_overview(model: &mut Model, action: Action) {
    let ids: Vec<String> = model.visible().iter().map(|it| it.id.clone()).collect();
    let at = model.overview.selected.as_ref().and_then(|id| ids.iter().position(|other| other == id));
    let size = model.size;
    let (line, page) = if size.is_wide() {
        (size.card_columns(), size.card_columns() * size.card_rows())
    } else {
        (1, size.list_rows())
    };
    let sideways = usize::from(size.is_wide());
    if let Some(next) = step(at, ids.len(), action, line, sideways, page) {
        model.overview.selected = ids.get(next).cloned();
    }
}

fn in_list(open: &mut Open, action: Action, rows: usize) {
    let ids: Vec<String> = open.visible().iter().map(|a| a.id.clone()).collect();
    let at = open.selected.as_ref().and_then(|id| ids.iter().position(|other| other == id));
    if let Some(next) = step(at, ids.len(), action, 1, 0, rows) {
        open.follow = false;
        if next == 0 {
            open.fresh = 0;
        }
        open.select(ids.get(next).cloned());
    }
}

/// The next place, if the action moves at all and there is anything.
fn step(
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

fn scroll(open: &mut Open, action: Action, page: usize) {
    open.follow = false;
    let at = open.scroll;
    open.scroll = match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => at.saturating_add(1),
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => at.saturating_add(page),
        Action::First => 0,
        // The end is where `clamp_scroll` stops.
        Action::Last => usize::MAX,
        _ => at,
    };
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
