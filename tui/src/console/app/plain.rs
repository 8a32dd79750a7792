//! A screen that is read out: the terminal's cursor stands where one is, on the selected row, in the line that is typed or
//! on the button that has the focus, and nothing is drawn that is only to be looked at.

use ratatui::Frame;
use ratatui::buffer::Cell;
use ratatui::layout::Position;
use ratatui::style::Modifier;

use crate::console::theme::{FOCUSED, SELECTED};

/// Puts the cursor of the terminal where one is, and takes the signs away that said so.
pub(super) fn put_cursor(frame: &mut Frame<'_>, is_typing: bool) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let find = |from: Position, is_wanted: &dyn Fn(&Cell) -> bool| {
        let mut places =
            (from.y..area.bottom()).flat_map(|y| (from.x..area.right()).map(move |x| Position { x, y }));
        places.find(|place| is_wanted(&buffer[*place]))
    };
    let is_reversed = |cell: &Cell| cell.modifier.contains(Modifier::REVERSED);
    // Below the header, which counts what fails in reversed text.
    let top = Position { x: area.x, y: area.y + 1 };
    let focus = find(top, &|cell: &Cell| cell.symbol() == FOCUSED);
    let from = focus.unwrap_or(top);
    let row = find(from, &|cell: &Cell| cell.symbol() == SELECTED);
    let place = match is_typing {
        true => find(top, &is_reversed),
        false => row.or_else(|| find(from, &is_reversed)),
    };
    let place = place.or(focus).unwrap_or(top);
    for cell in &mut buffer.content {
        match cell.symbol() {
            SELECTED => {
                cell.set_symbol(">");
            }
            FOCUSED => {
                cell.set_symbol(" ");
            }
            _ => {}
        }
    }
    frame.set_cursor_position(place);
}
