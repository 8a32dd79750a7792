//! A text to read and to copy: the command for what is shown.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::Then;
use crate::console::keymap::Press;
use crate::console::screen::View;
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind, fit};
use crate::console::widgets::draw::popup;

/// A text over the screen.
#[derive(Clone, Debug)]
pub struct TextDialog {
    pub title: &'static str,
    pub text: String,
    pub hint: &'static str,
}

impl TextDialog {
    /// Any key closes it; `y` copies it first.
    pub fn key(&self, press: Press) -> Then {
        match press.code {
            KeyCode::Char('y') if !press.ctrl => {
                Then::Copy { what: "the command".to_owned(), text: self.text.clone() }
            }
            _ if press.repeat => Then::Stay,
            _ => Then::Close,
        }
    }

    pub fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let width = area.width.min(100);
        let mut doc = Doc::default();
        self.text.lines().for_each(|line| doc.push(Kind::Text, line));
        let text = fit(doc.0, usize::from(width).saturating_sub(6), true);
        let mut lines = vec![Line::default()];
        lines.extend(text.into_iter().map(|line| Line::from(view.theme.span(Role::Strong, line.text))));
        lines.extend([Line::default(), Line::from(view.theme.span(Role::Quiet, self.hint))]);
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
        let inner = popup(frame, area, self.title, (width, height), view.theme);
        frame.render_widget(Paragraph::new(lines), inner);
    }
}
