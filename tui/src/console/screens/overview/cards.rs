//! Integrations as cards.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::columns::{gates, notes, pushed, retry, skips, tells_skips, trend, waiting};
use super::{LEAST, put};
use crate::console::data::Integration;
use crate::console::screen::View;
use crate::console::theme::Role;
use crate::console::widgets::draw::{badge, cut, error_text, line_width, pane, safe};
use crate::console::widgets::step::window_start;
use crate::console::widgets::time;

/// The rows of a card, its border included.
const ROWS: u16 = 7;
/// A reason that is cut to fewer columns says nothing.
const WHY_LEAST: usize = 10;

/// Draws them; answers how many stand in a line, and how many there is room for.
pub(super) fn draw(
    all: &[&Integration],
    at: usize,
    view: View<'_>,
    frame: &mut Frame<'_>,
    area: Rect,
) -> (usize, usize) {
    let columns = usize::from((area.width / 38).max(1));
    let seen = usize::from((area.height / ROWS).max(1));
    let rows = all.len().div_ceil(columns);
    let start = window_start(at / columns, seen, rows);
    let lines = Layout::vertical(vec![Constraint::Length(ROWS); seen]).split(area);
    for (row, line) in lines.iter().enumerate() {
        let line = line.intersection(area);
        let cells = Layout::horizontal(vec![Constraint::Ratio(1, columns as u32); columns]).split(line);
        for (column, cell) in cells.iter().enumerate() {
            let index = (start + row) * columns + column;
            if let Some(it) = all.get(index) {
                card(it, index == at, view, frame, *cell);
            }
        }
    }
    let hidden = all.len().saturating_sub((start + seen) * columns);
    if hidden > 0 {
        let text = format!(" {hidden} more below ");
        let width = u16::try_from(text.len()).unwrap_or(area.width).min(area.width);
        let spot = Rect { x: area.right() - width, y: area.bottom().saturating_sub(1), width, height: 1 };
        frame.render_widget(Line::from(view.theme.span(Role::Quiet, text)), spot.intersection(area));
    }
    (columns, columns * seen)
}

/// One card. What is selected is a sign and a reversed name: the border stays, so that a move costs few bytes.
fn card(it: &Integration, is_selected: bool, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let (theme, now) = (view.theme, view.shared.now);
    let width = usize::from(area.width).saturating_sub(4);
    let mark = if is_selected { theme.pick("▶ ", "> ") } else { "" };
    let company =
        if view.look().is_one_company { String::new() } else { safe(&it.company, width / 2, theme) };
    let name = safe(&it.name, width.saturating_sub(company.chars().count() + 6), theme);
    let title = vec![
        theme.span(Role::Accent, mark),
        theme.span(if is_selected { Role::Selected } else { Role::Strong }, name),
        theme.span(Role::Quiet, format!("  {company}")),
    ];
    let field = |label: &str, value: String| {
        Line::from(vec![
            theme.span(Role::Quiet, format!("{label:<8}")),
            Span::raw(cut(&value, width.saturating_sub(8), theme)),
        ])
    };
    let notes = notes(it).join(", ");
    let mut next = field("retry", next_retry(it, notes.is_empty(), width.saturating_sub(8), view));
    let room = width.saturating_sub(line_width(&next.spans) + 3);
    if !notes.is_empty() && room >= LEAST {
        next.spans.extend([Span::raw("   "), theme.span(Role::Warn, safe(&notes, room, theme))]);
    }
    // What has no room beside what waits stands a line below.
    let mut waits = waiting(it, width, theme);
    if let Some(text) = skips(it).filter(|_| !tells_skips(&waits)) {
        let room = width.saturating_sub(line_width(&next.spans) + 3);
        if room >= LEAST {
            next.spans.extend([Span::raw("   "), theme.span(Role::Quiet, cut(&text, room, theme))]);
        }
    }
    let died = trend(it, 6, now, theme);
    if !died.is_empty() {
        // Beside the dead: they are whom the bars tell of.
        put(vec![Span::raw("  "), Span::raw(died)], [&mut waits, &mut next.spans], width);
    }
    let mut pushes = field("pushed", pushed(now, it));
    let room = width.saturating_sub(line_width(&pushes.spans) + 2);
    if room >= 6 {
        let connector = safe(&it.connector, 12, theme);
        pushes.spans.extend([Span::raw("  "), Span::raw(cut(&connector, room, theme))]);
    }
    let text = vec![
        Line::from(badge(it, theme)),
        pushes,
        field("error", error(it, width, view)),
        Line::from(waits),
        next,
    ];
    let block = pane(title, false, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Paragraph::new(text), inner);
}

/// When the next retry goes out, or until when and why none does; without the reason where something else has to be said,
/// or where there is no room for any of it: the error stands above.
fn next_retry(it: &Integration, is_whole: bool, width: usize, view: View<'_>) -> String {
    let (now, zone) = (view.shared.now, &view.shared.setup.zone);
    match gates(now, it).first() {
        Some(gate) => {
            let head = gate.head(now, zone);
            if is_whole && head.len() + WHY_LEAST <= width {
                safe(&gate.text(now, zone), width, view.theme)
            } else {
                head
            }
        }
        None => retry(now, it),
    }
}

fn error(it: &Integration, width: usize, view: View<'_>) -> String {
    if it.last_error.is_empty() {
        return "none".to_owned();
    }
    let age = it.last_error_at.map(|at| format!("  {}", time::ago(view.shared.now, at))).unwrap_or_default();
    let room = width.saturating_sub(8 + age.len());
    format!("{}{age}", error_text(&it.last_error, room.max(8), view.theme))
}
