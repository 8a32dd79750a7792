//! The picture of an integration.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::{ATTEMPTS, DELIVERIES, IntegrationPane, IntegrationScreen};
use crate::console::data::{Delivery, DeliveryState, Integration};
use crate::console::keymap::Action;
use crate::console::screen::View;
use crate::console::screens::attempt::document;
use crate::console::screens::overview::{gates, looked_at, pushed, retry};
use crate::console::screens::pages::{none_found, note};
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind, guide};
use crate::console::widgets::draw::{badge, counted, fresh, line_width, pane, safe, trouble};
use crate::console::widgets::page::draw_plain;
use crate::console::widgets::time;

/// From this width on, request and response of the selected attempt stand side by side.
const THREE_COLUMNS: u16 = 180;
/// The rows of the strip below a list.
const STRIP: u16 = 8;

/// Draws the screen.
pub(super) fn draw(it: &IntegrationScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let [head, rest] = Layout::vertical([Constraint::Length(4), Constraint::Min(0)]).areas(area);
    health(it, view, frame, head);
    if view.shared.is_wide() {
        let share = if rest.width >= THREE_COLUMNS { 40 } else { 54 };
        let halves = [Constraint::Percentage(share), Constraint::Min(0)];
        let [left, right] = Layout::horizontal(halves).areas(rest);
        list(it, view, frame, left);
        side(it, view, frame, right);
    } else {
        let strip_rows = if rest.height > 16 { STRIP } else { rest.height.saturating_sub(8).min(6) };
        let [top, strip] = Layout::vertical([Constraint::Min(0), Constraint::Length(strip_rows)]).areas(rest);
        list(it, view, frame, top);
        if strip_rows > 2 {
            below(it, view, frame, strip);
        }
    }
}

fn health(screen: &IntegrationScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let theme = view.theme;
    let mut title = vec![theme.span(Role::Strong, safe(&screen.name, 40, theme))];
    let found = screen.it(view.shared);
    if let Some(it) = found {
        let of = format!("  {}, {}", safe(&it.company, 24, theme), safe(&it.connector, 12, theme));
        title.push(theme.span(Role::Quiet, of));
        for text in looked_at(it, view.shared.now) {
            let text = format!(", {}", safe(&text, 48, theme));
            // Half an account would be another one.
            if line_width(&title) + text.width() + 4 <= usize::from(area.width) {
                title.push(theme.span(Role::Quiet, text));
            }
        }
    }
    let block = pane(title, false, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let lines = match found {
        Some(it) => vec![summary(it, view, inner.width), state(it, view, usize::from(inner.width))],
        None => vec![Line::from(theme.span(Role::Bad, "This integration has been deleted."))],
    };
    frame.render_widget(Paragraph::new(lines), inner);
}

fn summary(it: &Integration, view: View<'_>, width: u16) -> Line<'static> {
    let (theme, now) = (view.theme, view.shared.now);
    let quiet = |text: &str| theme.span(Role::Quiet, text.to_owned());
    let mut spans = badge(it, theme);
    if let Some(label) = it.pause_label() {
        spans.extend([Span::raw("   "), theme.span(Role::Warn, label)]);
    }
    let dead = if it.dead > 0 { Role::Bad } else { Role::Plain };
    spans.extend([quiet("   dead "), theme.span(dead, it.dead.to_string())]);
    spans.extend([quiet("  held "), Span::raw(counted(it.held))]);
    spans.extend([quiet("  pending "), Span::raw(counted(it.pending))]);
    spans.extend([quiet("   next retry "), Span::raw(retry(now, it))]);
    if width >= 100 {
        spans.extend([quiet("   pushed "), Span::raw(pushed(now, it))]);
    }
    Line::from(spans)
}

/// The last error, or the state of credentials and secrets where nothing is wrong.
fn state(it: &Integration, view: View<'_>, width: usize) -> Line<'static> {
    let (theme, now) = (view.theme, view.shared.now);
    let zone = &view.shared.setup.zone;
    let mut notes: Vec<String> = gates(now, it).iter().map(|gate| gate.text(now, zone)).collect();
    if it.staged_version > 0 {
        let how = view.shared.setup.keymap.hint(Action::Actions, ": ", ", then cut over");
        notes.push(format!("secret v{} staged{how}", it.staged_version));
    } else if it.secret_version > 0 {
        notes.push(format!("secret v{}", it.secret_version));
    }
    if let Some(until) = it.grace_until {
        notes.push(format!("the old secret until {}", time::moment(until, zone)));
    }
    notes.extend(it.findings.first().map(|finding| format!("check: {finding}")));
    let notes = notes.join("   ");
    let notes = safe(&notes, width / 2, theme);
    let age = it.last_error_at.map(|at| time::ago(now, at)).unwrap_or_default();
    let room = width.saturating_sub(14 + age.len() + notes.chars().count());
    let error = if it.last_error.is_empty() { "none".to_owned() } else { safe(&it.last_error, room, theme) };
    Line::from(vec![
        theme.span(Role::Quiet, "error "),
        Span::raw(error),
        theme.span(Role::Quiet, format!("  {age}   ")),
        theme.span(Role::Warn, notes),
    ])
}

fn list(it: &IntegrationScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let block = pane(title(it, view, area.width), it.pane == IntegrationPane::List, view.theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    it.rows.set(usize::from(inner.height).saturating_sub(1));
    let mut look = view.look_at(it.listed.error().filter(|_| it.shows_deliveries));
    (look.is_one_company, look.is_one_integration) = (true, true);
    if it.shows_deliveries {
        let none = "Everything that came here has been delivered.";
        let empty = none_found(&it.listed, &view.shared.setup, none);
        it.deliveries.draw(&DELIVERIES, &look, &empty, frame, inner);
    } else {
        let keymap = &view.shared.setup.keymap;
        let how = keymap.hint(Action::Layout, "\n", " shows what waits, is held or was skipped, and why.");
        let empty = format!("No attempt yet: nothing has been pushed here.{how}");
        it.attempts.draw(&ATTEMPTS, &look, &empty, frame, inner);
    }
}

fn title(it: &IntegrationScreen, view: View<'_>, width: u16) -> Vec<Span<'static>> {
    let (theme, now) = (view.theme, view.shared.now);
    let mut spans = Vec::new();
    if it.shows_deliveries {
        spans.push(theme.span(Role::Strong, "Not delivered"));
        spans.push(theme.span(Role::Quiet, it.deliveries.note(&DELIVERIES, now)));
        spans.push(theme.span(Role::Quiet, note(&it.listed, &view.shared.setup)));
        spans.push(trouble(it.listed.error(), width, theme));
    } else {
        spans.push(theme.span(Role::Strong, "Attempts"));
        spans.push(theme.span(Role::Quiet, it.attempts.note(&ATTEMPTS, now)));
        if !it.attempts.is_moved {
            spans.push(theme.span(Role::Quiet, "  following"));
        } else if it.fresh > 0 {
            spans.push(theme.span(Role::Accent, fresh(it.fresh, &view.shared.setup.keymap, theme)));
        }
    }
    if view.shared.stale_since.is_some() {
        spans.push(theme.span(Role::Warn, "  STALE"));
    }
    spans
}

fn side(it: &IntegrationScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let (theme, has_focus) = (view.theme, it.pane == IntegrationPane::Page);
    let title = |text: &str| vec![theme.span(Role::Strong, text.to_owned())];
    if it.shows_deliveries {
        let doc = it.deliveries.current().map(|delivery| describe(delivery, view)).unwrap_or_default();
        return it.page.draw(doc, title("Delivery"), has_focus, view, frame, area);
    }
    let Some(attempt) = it.attempts.current() else {
        return it.page.draw(Doc::default(), title("Attempt"), has_focus, view, frame, area);
    };
    let detail = it.details.of(&attempt.id);
    match detail.filter(|_| area.width >= 100) {
        Some(detail) => {
            let head = document::summary(attempt, &view.shared.setup.keymap);
            let rows = u16::try_from(head.0.len()).unwrap_or(4) + 1;
            let [top, body] =
                Layout::vertical([Constraint::Length(rows.min(7)), Constraint::Min(0)]).areas(area);
            let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
            let [left, right] = Layout::horizontal(halves).areas(body);
            draw_plain(head, theme, frame, Rect { x: top.x + 2, width: top.width.saturating_sub(4), ..top });
            let request = document::requests(attempt, detail, &view.shared.setup.zone);
            it.page.draw(request, title("Request"), has_focus, view, frame, left);
            it.answer.draw(
                document::responses(attempt, detail),
                title("Response"),
                has_focus,
                view,
                frame,
                right,
            );
        }
        None => {
            let doc = document::whole(attempt, detail, it.details.error(&attempt.id), view.shared);
            it.page.draw(doc, title("Attempt"), has_focus, view, frame, area);
        }
    }
}

/// What came of the selected one, what to do about it, and what the target wrote, as far as there is room.
fn below(it: &IntegrationScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let (theme, has_focus) = (view.theme, it.pane == IntegrationPane::Page);
    let (name, doc) = if it.shows_deliveries {
        ("Delivery", it.deliveries.current().map(|delivery| describe(delivery, view)).unwrap_or_default())
    } else {
        let doc = it.attempts.current().map(|attempt| {
            document::whole(attempt, it.details.of(&attempt.id), it.details.error(&attempt.id), view.shared)
        });
        ("Attempt", doc.unwrap_or_default())
    };
    it.page.draw(doc, vec![theme.span(Role::Strong, name)], has_focus, view, frame, area);
}

/// A delivery in words.
pub(super) fn describe(it: &Delivery, view: View<'_>) -> Doc {
    let zone = &view.shared.setup.zone;
    let moment = |at: Option<jiff::Timestamp>| at.map(|at| time::moment(at, zone)).unwrap_or_default();
    let mut doc = Doc::default();
    doc.push(Kind::Delivery(it.state), it.state.word());
    if !it.because().is_empty() {
        doc.push(Kind::Error, it.because());
    }
    if it.reason != it.because() {
        doc.field("reason", &it.reason);
    }
    let is_dead = it.state == DeliveryState::Dead;
    if let Some((meaning, next)) = guide(&it.class, is_dead, &view.shared.setup.keymap) {
        doc.field("means", meaning);
        doc.field("do next", &next);
    }
    doc.gap();
    doc.field("lead", &format!("{} {}", it.lead_name, it.lead));
    doc.field("event", &it.event);
    doc.field("tries", &it.attempts.to_string());
    doc.field("since", &moment(it.at()));
    doc.field("next", &moment(it.due_at));
    doc.field("delivery", &it.id);
    doc
}
