//! One integration: its health, its last attempts, and beside or below them the selected one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::attempt;
use super::widgets::{badge, column, counted, cut, pane, safe, standstill, without_phrase};
use crate::model::data::{Attempt, AttemptState, Integration};
use crate::model::layout::{STRIP_ROWS, side_split, window_start};
use crate::model::open::{Open, Pane};
use crate::model::{Model, time};
use crate::theme::{Role, Theme};

/// Draws the screen.
pub(super) fn draw(model: &Model, open: &Open, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    if model.size.is_wide() {
        let [head, rest] = Layout::vertical([Constraint::Length(4), Constraint::Min(0)]).areas(area);
        let list = Constraint::Length(side_split(rest.width));
        let [left, right] = Layout::horizontal([list, Constraint::Min(0)]).areas(rest);
        health(model, open, theme, frame, head);
        attempts(model, open, theme, frame, left);
        attempt::draw(model, open, theme, frame, right, false);
    } else {
        let [top, strip] = Layout::vertical([Constraint::Min(0), Constraint::Length(STRIP_ROWS)]).areas(area);
        attempts(model, open, theme, frame, top);
        attempt::strip(model, open, theme, frame, strip);
    }
}

fn health(model: &Model, open: &Open, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let mut title = vec![theme.span(Role::Strong, safe(&open.name, 60, theme))];
    if let Some(it) = model.current() {
        let of = format!("  {}, {}", safe(&it.connector, 12, theme), safe(&it.company, 24, theme));
        title.push(theme.span(Role::Quiet, of));
    }
    let block = pane(title, false, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let width = usize::from(inner.width);
    let lines = match model.current() {
        Some(it) => vec![summary(model, it, theme), errors(model, it, width, theme)],
        None => vec![Line::from(theme.span(Role::Bad, "This integration has been deleted."))],
    };
    frame.render_widget(Paragraph::new(lines), inner);
}

fn summary(model: &Model, it: &Integration, theme: Theme) -> Line<'static> {
    let quiet = |text: &str| theme.span(Role::Quiet, text.to_owned());
    let mut spans = badge(it, theme);
    if let Some(told) = standstill(it) {
        spans.extend([Span::raw("   "), theme.span(Role::Warn, told)]);
    }
    let pushed = it.last_pushed_at.map_or_else(|| "never".to_owned(), |at| time::ago(model.now, at));
    spans.extend([quiet("   last pushed "), Span::raw(pushed)]);
    let dead = if it.dead > 0 { Role::Bad } else { Role::Plain };
    spans.extend([quiet("   dead "), theme.span(dead, it.dead.to_string())]);
    spans.extend([quiet("  held "), Span::raw(counted(it.held))]);
    spans.extend([quiet("  pending "), Span::raw(counted(it.pending))]);
    if let Some(at) = it.next_retry_at {
        spans.extend([quiet("   next retry "), Span::raw(time::until(model.now, at))]);
    }
    if it.secret_version > 0 {
        spans.extend([quiet("   secret "), Span::raw(format!("v{}", it.secret_version))]);
    }
    if it.staged_version > 0 {
        spans.push(Span::raw(format!(", v{} staged (c)", it.staged_version)));
    }
    if let Some(until) = it.grace_until {
        spans.push(Span::raw(format!(", the old one until {}", time::moment(until, &model.setup.zone))));
    }
    Line::from(spans)
}

fn errors(model: &Model, it: &Integration, width: usize, theme: Theme) -> Line<'static> {
    let age = it.last_error_at.map(|at| time::ago(model.now, at)).unwrap_or_default();
    let error = match it.last_error.as_str() {
        "" => "none".to_owned(),
        error => safe(error, width.saturating_sub(14 + age.len()), theme),
    };
    Line::from(vec![
        theme.span(Role::Quiet, "last error  "),
        Span::raw(error),
        theme.span(Role::Quiet, format!("  {age}")),
    ])
}

fn attempts(model: &Model, open: &Open, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let block = pane(title(model, open, theme), open.pane == Pane::List, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let visible = open.visible();
    let width = usize::from(inner.width);
    if visible.is_empty() {
        let text = match (open.loaded, open.attempts.is_empty()) {
            (false, _) => "Loading…",
            (true, true) => "No attempt yet: nothing has been pushed here.",
            (true, false) => "No attempt passes the filter; Esc clears it.",
        };
        frame.render_widget(
            Paragraph::new(vec![Line::default(), Line::from(theme.spell(&format!(" {text}")))]),
            inner,
        );
        return;
    }
    let at = visible.iter().position(|a| Some(&a.id) == open.selected.as_ref()).unwrap_or(0);
    let columns = Columns::of(width);
    let mut lines = vec![Line::from(theme.span(Role::Quiet, cut(&columns.head(), width, theme)))];
    let rows = usize::from(inner.height).saturating_sub(1);
    let start = window_start(at, rows, visible.len());
    for (index, it) in visible.iter().enumerate().skip(start).take(rows) {
        lines.push(columns.row(model, open, it, index == at, theme));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn title(model: &Model, open: &Open, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = vec![];
    if !model.size.is_wide() {
        match model.current() {
            Some(it) => {
                spans.extend(badge(it, theme));
                if let Some(told) = standstill(it) {
                    spans.extend([Span::raw("   "), theme.span(Role::Warn, told)]);
                }
            }
            None => spans.push(theme.span(Role::Bad, "deleted")),
        }
        spans.push(Span::raw("  "));
    }
    spans.push(theme.span(Role::Strong, format!("Attempts {}", open.attempts.len())));
    if open.follow {
        spans.push(theme.span(Role::Quiet, "  following"));
    } else if open.fresh > 0 {
        spans.push(theme.span(Role::Accent, format!("  {} {} new (f)", theme.pick("▲", "^"), open.fresh)));
    }
    if model.stale_since.is_some() {
        spans.push(theme.span(Role::Warn, "  STALE"));
    }
    spans
}

/// The widths of the columns that vary; narrow lists go without some.
struct Columns {
    lead: usize,
    class: usize,
    error: usize,
}

/// Mark, time, state, code, duration, try and the gaps between them.
const FIXED: usize = 3 + 9 + 12 + 5 + 6 + 9;

impl Columns {
    fn of(width: usize) -> Self {
        let room = width.saturating_sub(FIXED);
        let lead = if room >= 20 { 9 } else { 0 };
        let class = if room >= 34 { 12 } else { 0 };
        Self { lead, class, error: room.saturating_sub(lead + class) }
    }

    fn head(&self) -> String {
        let lead = if self.lead > 0 { "LEAD     " } else { "" };
        let class = if self.class > 0 { "CLASS       " } else { "" };
        format!("   TIME     {lead}STATE       CODE DUR   TRY      {class}ERROR")
    }

    fn row(&self, model: &Model, open: &Open, it: &Attempt, selected: bool, theme: Theme) -> Line<'static> {
        let (glyph, role) = theme.attempt(it.state);
        let marked = open.marks.contains(&it.id);
        let pointer = if selected { theme.pick("▶", ">") } else { " " };
        let at = it.started_at.map(|at| time::clock(at, &model.setup.zone)).unwrap_or_default();
        let code = it.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let taken = it.duration_ms.map_or_else(|| "-".to_owned(), time::millis);
        let by = format!("{} {}", it.number, it.trigger);
        // The end of an id tells leads apart; the beginning is the time they share.
        let tail = it.lead.chars().count().saturating_sub(8);
        let lead: String = it.lead.chars().skip(tail).collect();
        let mut spans = vec![
            Span::raw(format!("{pointer}{} ", if marked { "*" } else { " " })),
            Span::raw(format!("{at:<9}")),
        ];
        if self.lead > 0 {
            spans.push(Span::raw(column(&lead, self.lead, theme)));
        }
        spans.push(theme.span(role, format!("{glyph} {:<10}", it.state.word())));
        spans.push(Span::raw(format!("{code:<5}{taken:<6}{}", column(&by, 9, theme))));
        if self.class > 0 {
            spans.push(Span::raw(column(&it.class, self.class, theme)));
        }
        let error = if it.state == AttemptState::Running { "in flight" } else { beside_code(it) };
        spans.push(Span::raw(column(error, self.error, theme)));
        let line = Line::from(spans);
        if selected { line.style(theme.style(Role::Selected)) } else { line }
    }
}

/// The error less what the column of the code says already: what the target wrote, else the words of the status.
fn beside_code(it: &Attempt) -> &str {
    let code = it.status.map(|status| format!("{status} ")).unwrap_or_default();
    let words = || it.error.strip_prefix(&code).unwrap_or(&it.error);
    without_phrase(&it.error).filter(|_| !code.is_empty()).map_or_else(words, |(_, told)| told)
}
