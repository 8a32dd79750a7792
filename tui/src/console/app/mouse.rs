//! The mouse, where one is wanted: the wheel moves as the arrows do, and a click selects. Neither ever acts.

use crossterm::event::KeyCode;
use ratatui::layout::Position;

use super::App;
use super::shared::Tone;
use crate::console::dialogs::Dialog;
use crate::console::keymap::{Action, Press};
use crate::console::msg::{Effect, Mouse};

/// How far a notch of the wheel moves.
const NOTCH: usize = 3;

impl App {
    pub(super) fn mouse(&mut self, mouse: Mouse, effects: &mut Vec<Effect>) {
        if !self.secrets.is_empty() || !self.shared.is_usable() {
            return;
        }
        let (action, code) = match mouse {
            Mouse::WheelUp => (Action::Up, KeyCode::Up),
            Mouse::WheelDown => (Action::Down, KeyCode::Down),
            Mouse::Click { column, row } => return self.click(Position { x: column, y: row }, effects),
        };
        for _ in 0..NOTCH {
            match &mut self.dialog {
                // A move in a menu chooses nothing.
                Some(Dialog::Menu(menu)) => drop(menu.key(Press::plain(code))),
                Some(_) => {}
                None => self.on_top(effects, |screen, cx| screen.perform(action, cx)),
            }
        }
    }

    fn click(&mut self, place: Position, effects: &mut Vec<Effect>) {
        if self.dialog.is_some() {
            return;
        }
        self.on_top(effects, |screen, cx| {
            let now = cx.shared.now;
            if let Some(mut list) = screen.list() {
                list.click(now, place);
            }
        });
    }

    /// Listens to the mouse, or leaves it to the terminal.
    pub(super) fn turn_mouse(&mut self, effects: &mut Vec<Effect>) {
        let is_on = !self.shared.setup.mouse;
        self.shared.setup.mouse = is_on;
        effects.push(Effect::Mouse(is_on));
        self.shared.say(
            Tone::Good,
            if is_on {
                "the mouse is on: the wheel moves, a click selects; Shift (Option on a Mac) selects text"
            } else {
                "the mouse is off: it selects text again"
            },
        );
    }
}
