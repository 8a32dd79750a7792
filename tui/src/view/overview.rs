//! The first screen: every integration with its health, as cards where there is room, else as a list with a strip.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::widgets::{badge, column, counted, cut, error_text, pad, pane, safe, standstill};
use crate::model::data::{Conn, Integration};
use crate::model::layout::{CARD_ROWS, STRIP_ROWS, window_start};
use crate::model::{Model, time};
use crate::theme::{Role, Theme};

/// Draws the screen.
pub(super) fn draw(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let visible = model.visible();
    let at = visible.iter().position(|it| Some(&it.id) == model.overview.selected.as_ref());
    if visible.is_empty() {
        let text: Vec<Line<'_>> =
            nothing(model).into_iter().map(|line| Line::from(theme.spell(&format!(" {line}")))).collect();
        let block = pane(vec![Span::raw("Integrations")], false, theme);
        frame.render_widget(Paragraph::new(text).block(block), area);
    } else if model.size.is_wide() {
        cards(model, &visible, at.unwrap_or(0), theme, frame, area);
    } else {
        list(model, &visible, at.unwrap_or(0), theme, frame, area);
    }
}

fn nothing(model: &Model) -> Vec<&'static str> {
    let text: &[_] = match (&model.conn, model.loaded, model.integrations.is_empty()) {
        (_, true, false) => &["No integration passes the filter.", "Esc clears it, F shows all again."],
        (_, true, true) => &[
            "There is no integration yet.",
            "Make one:  leadline integration create --company ID --connector webhook --name NAME --config '{…}'",
        ],
        (Conn::Connecting | Conn::Live, ..) => &["Connecting…"],
        _ => &["Nothing is known yet: the daemon has not answered."],
    };
    [""].into_iter().chain(text.iter().copied()).collect()
}

/// How many there are, in which order, and how many of them the screen has no room for.
pub(super) fn note(model: &Model, theme: Theme) -> [Span<'static>; 2] {
    let all = model.visible().len();
    let (size, selected) = (model.size, model.overview.selected.as_ref());
    let seen = if size.is_wide() {
        let (columns, rows) = (size.card_columns(), all.div_ceil(size.card_columns()));
        let at = model.visible().iter().position(|it| Some(&it.id) == selected).unwrap_or(0);
        let start = window_start(at / columns, size.card_rows(), rows);
        (all - start * columns).min(size.card_rows() * columns)
    } else {
        all.min(size.list_rows())
    };
    let noun = if all == 1 { "integration" } else { "integrations" };
    let order = match all - seen {
        0 => ", failing first".to_owned(),
        more => format!(", failing first, {more} out of sight"),
    };
    [theme.span(Role::Strong, format!("{all} {noun}")), theme.span(Role::Quiet, order)]
}

fn cards(model: &Model, all: &[&Integration], at: usize, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let columns = model.size.card_columns();
    let seen = model.size.card_rows();
    let rows = all.len().div_ceil(columns);
    let start = window_start(at / columns, seen, rows);
    let lines = Layout::vertical(vec![Constraint::Length(CARD_ROWS); seen]).split(area);
    for (row, line) in lines.iter().enumerate() {
        let line = line.intersection(area);
        let cells = Layout::horizontal(vec![Constraint::Ratio(1, columns as u32); columns]).split(line);
        for (column, cell) in cells.iter().enumerate() {
            let index = (start + row) * columns + column;
            if let Some(it) = all.get(index) {
                card(model, it, index == at, theme, frame, *cell);
            }
        }
    }
}

fn card(model: &Model, it: &Integration, selected: bool, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width).saturating_sub(4);
    let mark = if selected { theme.pick("▶ ", "> ") } else { "" };
    let kind = safe(&it.connector, 12, theme);
    let name = safe(&it.name, width.saturating_sub(kind.len() + mark.len() + 3), theme);
    let title = vec![
        theme.span(Role::Accent, mark),
        theme.span(Role::Strong, name),
        theme.span(Role::Quiet, format!("  {kind}")),
    ];
    let field = |label: &str, value: String| {
        Line::from(vec![
            theme.span(Role::Quiet, format!("{label:<8}")),
            Span::raw(cut(&value, width.saturating_sub(8), theme)),
        ])
    };
    let text = vec![
        Line::from(badge(it, theme)),
        field("pushed", pushed(model, it)),
        field("error", error(model, it, width, theme)),
        Line::from(waiting(it, theme)),
        field("retry", retry(model, it)),
    ];
    let block = pane(title, selected, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Paragraph::new(text), inner);
}

fn pushed(model: &Model, it: &Integration) -> String {
    it.last_pushed_at.map_or_else(|| "never".to_owned(), |at| time::ago(model.now, at))
}

fn retry(model: &Model, it: &Integration) -> String {
    if let Some(told) = standstill(it) {
        return told.to_owned();
    }
    match (it.next_retry_at, it.throttled_until) {
        (_, Some(until)) if until > model.now => format!("{}, throttled", time::until(model.now, until)),
        (Some(at), _) => time::until(model.now, at),
        (None, _) => "-".to_owned(),
    }
}

fn error(model: &Model, it: &Integration, width: usize, theme: Theme) -> String {
    if it.last_error.is_empty() {
        return "none".to_owned();
    }
    let age = it.last_error_at.map(|at| format!("  {}", time::ago(model.now, at))).unwrap_or_default();
    let room = width.saturating_sub(8 + age.len());
    format!("{}{age}", error_text(&it.last_error, room.max(8), theme))
}

/// The deliveries that wait; dead ones stand out, because a green badge must not hide them.
fn waiting(it: &Integration, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = vec![theme.span(Role::Quiet, format!("{:<8}", "waiting"))];
    let parts = [
        (it.dead.to_string(), "dead", Role::Bad),
        (counted(it.held), "held", Role::Plain),
        (counted(it.pending), "pending", Role::Plain),
    ];
    for (count, word, role) in parts.into_iter().filter(|(count, ..)| count != "0") {
        let gap = if spans.len() > 1 { ", " } else { "" };
        spans.extend([Span::raw(gap), theme.span(role, format!("{count} {word}"))]);
    }
    if spans.len() == 1 {
        spans.push(Span::raw("nothing"));
    }
    spans
}

fn list(model: &Model, all: &[&Integration], at: usize, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let [top, strip] = Layout::vertical([Constraint::Min(0), Constraint::Length(STRIP_ROWS)]).areas(area);
    let title = note(model, theme).to_vec();
    let block = pane(title, true, theme);
    let inner = block.inner(top);
    frame.render_widget(block, top);
    let width = usize::from(inner.width);
    // Mark, glyph, state, the three numbers and the age are fixed; the name and the error share the rest.
    let name = (width / 5).clamp(12, 24);
    let error = width.saturating_sub(name + 42);
    let head = format!(
        "   {}{:<12}{:>5}{:>5}{:>5}  {:<9}LAST ERROR",
        pad("NAME".to_owned(), name + 1),
        "STATE",
        "FAIL",
        "DEAD",
        "HELD",
        "PUSHED"
    );
    let mut lines = vec![Line::from(theme.span(Role::Quiet, cut(&head, width, theme)))];
    let rows = usize::from(inner.height).saturating_sub(1);
    let start = window_start(at, rows, all.len());
    for (index, it) in all.iter().enumerate().skip(start).take(rows) {
        lines.push(row(model, it, index == at, (name, error), theme));
    }
    frame.render_widget(Paragraph::new(lines), inner);
    if let Some(it) = all.get(at) {
        detail(model, it, theme, frame, strip);
    }
}

fn row(
    model: &Model,
    it: &Integration,
    selected: bool,
    (name, error): (usize, usize),
    theme: Theme,
) -> Line<'static> {
    let (glyph, role) = theme.badge(it.badge);
    let mark = if selected { theme.pick("▶", ">") } else { " " };
    let pushed = it
        .last_pushed_at
        .map_or_else(|| "never".to_owned(), |at| time::span(model.now.duration_since(at).as_secs().max(0)));
    let dead = if it.dead > 0 { Role::Bad } else { Role::Plain };
    let line = Line::from(vec![
        Span::raw(mark),
        theme.span(role, format!("{glyph} ")),
        theme.span(if selected { Role::Strong } else { Role::Plain }, column(&it.name, name, theme)),
        Span::raw(" "),
        theme.span(role, format!("{:<12}", it.badge.word())),
        Span::raw(format!("{:>5}", it.failures)),
        theme.span(dead, format!("{:>5}", it.dead)),
        Span::raw(format!("{:>5}  {pushed:<9}", counted(it.held))),
        match standstill(it) {
            Some(told) => theme.span(Role::Warn, told),
            None => Span::raw(error_text(&it.last_error, error, theme)),
        },
    ]);
    if selected { line.style(theme.style(Role::Selected)) } else { line }
}

fn detail(model: &Model, it: &Integration, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let mut title = vec![theme.span(Role::Strong, safe(&it.name, 30, theme))];
    title.push(theme.span(
        Role::Quiet,
        format!("  {}, {}", safe(&it.connector, 12, theme), safe(&it.company, 24, theme)),
    ));
    let block = pane(title, false, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let width = usize::from(inner.width);
    let state = badge(it, theme);
    let push = format!("{:<8}{}   next retry {}", "pushed", pushed(model, it), retry(model, it));
    let lines = vec![
        Line::from(state),
        Line::from(cut(&push, width, theme)),
        Line::from(waiting(it, theme)),
        Line::from(vec![
            theme.span(Role::Quiet, format!("{:<8}", "error")),
            Span::raw(error(model, it, width, theme)),
        ]),
    ];
    frame.render_widget(Paragraph::new(lines), inner);
}
