//! A page that one scrolls, wraps and jumps through, drawn in a pane.

use std::cell::{Cell, RefCell};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::document::{self, Doc, FIELD, Kind};
use super::draw::pane;
use crate::console::keymap::Action;
use crate::console::screen::View;
use crate::console::theme::{Role, Theme};

/// Where one is on a page.
#[derive(Clone, Debug)]
pub struct PageScroll {
    scroll: usize,
    pub wrap: bool,
    /// What the last drawing measured: the farthest scroll, and the rows that were seen.
    most: Cell<usize>,
    rows: Cell<usize>,
    /// Where its sections begin.
    sections: RefCell<Vec<usize>>,
}

impl Default for PageScroll {
    fn default() -> Self {
        Self { scroll: 0, wrap: true, most: Cell::new(0), rows: Cell::new(1), sections: RefCell::default() }
    }
}

impl PageScroll {
    /// Goes back to the first line.
    pub fn rewind(&mut self) {
        self.scroll = 0;
    }

    /// Scrolls, jumps or wraps.
    pub fn perform(&mut self, action: Action) {
        let (at, page) = (self.scroll.min(self.most.get()), self.rows.get().max(1));
        self.scroll = match action {
            Action::Up => at.saturating_sub(1),
            Action::Down => at + 1,
            Action::PageUp => at.saturating_sub(page),
            Action::PageDown => at + page,
            Action::First => 0,
            Action::Last => usize::MAX,
            Action::NextSection => {
                self.sections.borrow().iter().copied().find(|line| *line > at).unwrap_or(at)
            }
            Action::PreviousSection => {
                self.sections.borrow().iter().rev().copied().find(|line| *line < at).unwrap_or(0)
            }
            Action::Wrap => {
                self.wrap = !self.wrap;
                at
            }
            _ => at,
        };
    }

    /// Draws the page in a pane. `title` is what it is; where one is stands behind.
    pub fn draw(
        &self,
        doc: Doc,
        mut title: Vec<Span<'static>>,
        has_focus: bool,
        view: View<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
    ) {
        let theme = view.theme;
        let width = usize::from(area.width).saturating_sub(4);
        let lines = document::fit(doc.0, width, self.wrap);
        let rows = usize::from(area.height).saturating_sub(2);
        let most = lines.len().saturating_sub(rows);
        self.most.set(most);
        self.rows.set(rows);
        let start = self.scroll.min(most);
        let sections =
            lines.iter().enumerate().filter(|(_, line)| line.kind == Kind::Section).map(|(at, _)| at);
        self.sections.replace(sections.collect());
        if most > 0 {
            title.push(
                theme.span(Role::Quiet, format!("  {}/{}", (start + rows).min(lines.len()), lines.len())),
            );
        }
        if !self.wrap {
            let how = view.shared.setup.keymap.hint(Action::Wrap, " (", " wraps)");
            title.push(theme.span(Role::Quiet, format!("  cut{how}")));
        }
        let block = pane(title, has_focus, theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let shown: Vec<Line<'_>> =
            lines.into_iter().skip(start).take(rows).map(|line| styled(line, width, theme)).collect();
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        frame.render_widget(Paragraph::new(shown), inner);
    }
}

/// The lines of a page without a pane, as far as there is room.
pub fn draw_plain(doc: Doc, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let lines = document::fit(doc.0, width, true).into_iter().take(usize::from(area.height));
    let lines: Vec<Line<'_>> = lines.map(|line| styled(line, width, theme)).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn styled(line: document::DocumentLine, width: usize, theme: Theme) -> Line<'static> {
    let text = if theme.ascii { line.text.replace('…', "...") } else { line.text };
    match line.kind {
        Kind::State(state) => {
            let (glyph, role) = theme.attempt(state);
            Line::from(theme.span(role, format!("{glyph} {text}")))
        }
        Kind::Delivery(state) => {
            let (glyph, role) = theme.delivery(state);
            Line::from(theme.span(role, format!("{glyph} {text}")))
        }
        Kind::Section => {
            let rule = theme.rule();
            let rest = width.saturating_sub(text.chars().count() + 4);
            Line::from(vec![
                theme.span(Role::Quiet, format!("{rule}{rule} ")),
                theme.span(Role::Strong, text),
                theme.span(Role::Quiet, format!(" {}", rule.repeat(rest))),
            ])
        }
        Kind::Field => labelled(&text, FIELD, theme),
        Kind::Header => labelled(&text, text.find(' ').unwrap_or(0), theme),
        Kind::Error => Line::from(theme.span(Role::Bad, text)),
        Kind::Quiet => Line::from(theme.span(Role::Quiet, text)),
        Kind::Strong => Line::from(theme.span(Role::Strong, text)),
        Kind::Gone => Line::from(theme.span(Role::Bad, format!("- {text}"))),
        Kind::New => Line::from(theme.span(Role::Good, format!("+ {text}"))),
        Kind::Text | Kind::Body => Line::from(text),
    }
}

fn labelled(text: &str, end: usize, theme: Theme) -> Line<'static> {
    match text.split_at_checked(end) {
        Some((label, value)) => {
            Line::from(vec![theme.span(Role::Quiet, label.to_owned()), Span::raw(value.to_owned())])
        }
        None => Line::from(text.to_owned()),
    }
}
