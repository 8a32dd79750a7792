//! One attempt as a page: beside the list, in the strip below it, or filling the screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::widgets::pane;
use crate::model::document::{self, FIELD, Kind};
use crate::model::open::{Open, Pane};
use crate::model::{Model, time};
use crate::theme::{Role, Theme};

/// Draws the selected attempt into the area.
pub(super) fn draw(model: &Model, open: &Open, theme: Theme, frame: &mut Frame<'_>, area: Rect, full: bool) {
    let Some(attempt) = open.current() else {
        frame.render_widget(pane(vec![Span::raw("Attempt")], false, theme), area);
        return;
    };
    let inner_width = usize::from(area.width).saturating_sub(4);
    let page = document::page(attempt, open.detail(), &model.setup.zone);
    let lines = document::fit(page, inner_width, open.wrap);
    let rows = usize::from(area.height).saturating_sub(2);
    let start = open.scroll.min(lines.len().saturating_sub(rows));
    let at = attempt.started_at.map(|at| time::clock(at, &model.setup.zone)).unwrap_or_default();
    let mut title = vec![theme.span(Role::Strong, "Attempt"), theme.span(Role::Quiet, format!("  {at}"))];
    if lines.len() > rows {
        let last = (start + rows).min(lines.len());
        title.push(theme.span(Role::Quiet, format!("  {last}/{}", lines.len())));
    }
    if !open.wrap {
        title.push(theme.span(Role::Quiet, "  cut (w wraps)"));
    }
    let block = pane(title, full || open.pane == Pane::Detail, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let shown: Vec<Line<'_>> =
        lines.into_iter().skip(start).take(rows).map(|line| styled(line, inner_width, theme)).collect();
    frame.render_widget(Paragraph::new(shown), inner);
}

fn styled(line: document::Line, width: usize, theme: Theme) -> Line<'static> {
    let text = if theme.ascii { line.text.replace('…', "...") } else { line.text };
    match line.kind {
        Kind::State(state) => {
            let (glyph, role) = theme.attempt(state);
            Line::from(theme.span(role, format!("{glyph} {text}")))
        }
        Kind::Section => {
            let rule = theme.pick("─", "-");
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

/// Draws the selected attempt in a few lines: what came of it, what to do about it, and whose it is.
pub(super) fn strip(model: &Model, open: &Open, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width).saturating_sub(4);
    let block = pane(vec![theme.span(Role::Strong, "Attempt")], open.pane == Pane::Detail, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let Some(attempt) = open.current() else { return };
    // What does not fit is cut off at the end, so the lead comes last.
    let place = |line: &document::Line| match line.kind {
        Kind::State(_) => Some(0),
        Kind::Error => Some(1),
        Kind::Field => {
            ["do next", "lead "].iter().position(|label| line.text.starts_with(label)).map(|at| at + 2)
        }
        _ => None,
    };
    let page = document::page(attempt, None, &model.setup.zone);
    let mut told: Vec<_> = page.into_iter().filter(|line| place(line).is_some()).collect();
    told.sort_by_key(place);
    let lines = document::fit(told, width, true).into_iter().take(usize::from(inner.height));
    let lines: Vec<Line<'_>> = lines.map(|line| styled(line, width, theme)).collect();
    frame.render_widget(Paragraph::new(lines), inner);
}
