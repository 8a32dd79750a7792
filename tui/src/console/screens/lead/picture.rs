//! The picture of a lead.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{COLUMNS, LeadScreen};
use crate::console::data::{AttemptState, DeliveryState, LeadPage};
use crate::console::screen::View;
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind, guide};
use crate::console::widgets::draw::{pane, safe, trouble};
use crate::console::widgets::time;
use crate::moment::retold;

/// Draws the screen.
pub(super) fn draw(it: &LeadScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let theme = view.theme;
    let [head, rest] = Layout::vertical([Constraint::Length(4), Constraint::Min(0)]).areas(area);
    who(it, view, frame, head);
    let wanted = u16::try_from(it.table.rows.len()).unwrap_or(u16::MAX).saturating_add(3).max(5);
    let list_rows = wanted.min(rest.height / 2).max(4);
    let [top, bottom] = Layout::vertical([Constraint::Length(list_rows), Constraint::Min(0)]).areas(rest);
    let title = vec![
        theme.span(Role::Strong, "Integrations"),
        theme.span(Role::Quiet, it.table.note(&COLUMNS, view.shared.now)),
        // What was told before stays below; why it is not told anew, as of a lead that was erased, stands here.
        trouble(it.fetch.error.as_deref().filter(|_| it.fetch.value.is_some()), area.width, theme),
    ];
    let block = pane(title, !it.has_page, theme);
    let inner = block.inner(top);
    frame.render_widget(block, top);
    it.rows.set(usize::from(inner.height).saturating_sub(1));
    let empty = match &it.fetch.error {
        Some(error) => safe(error, usize::from(inner.width), theme),
        None => {
            "No integration is to get this lead: there is none, or none was enabled when it came.".to_owned()
        }
    };
    if it.fetch.value.is_some() || it.fetch.error.is_none() {
        it.table.draw(&COLUMNS, &view.look(), &empty, frame, inner);
    } else {
        frame.render_widget(Line::from(theme.span(Role::Bad, empty)), inner);
    }
    let Some(page) = &it.fetch.value else { return };
    let doc = if it.shows_all { story(it, page, view, Doc::default()) } else { selected(it, page, view) };
    let name = match it.table.current() {
        Some(current) if !it.shows_all => current.delivery.integration.clone(),
        _ => "What happened".to_owned(),
    };
    let title = vec![theme.span(Role::Strong, safe(&name, 40, theme))];
    if view.shared.is_wide() {
        let halves = [Constraint::Percentage(58), Constraint::Percentage(42)];
        let [left, right] = Layout::horizontal(halves).areas(bottom);
        it.page.draw(doc, title, it.has_page, view, frame, left);
        let mut event = Doc::default();
        event.body(&page.event);
        it.event.draw(event, vec![theme.span(Role::Strong, "The lead")], it.has_page, view, frame, right);
    } else {
        let mut doc = doc;
        doc.section("the lead");
        doc.body(&page.event);
        it.page.draw(doc, title, it.has_page, view, frame, bottom);
    }
}

fn who(it: &LeadScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let theme = view.theme;
    let width = usize::from(area.width).saturating_sub(4);
    let block =
        pane(vec![theme.span(Role::Strong, safe(it.name(), width.saturating_sub(4), theme))], false, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let Some(page) = &it.fetch.value else {
        let text = it.fetch.error.clone().unwrap_or_else(|| view.shared.waits().to_owned());
        return frame.render_widget(Line::from(safe(&theme.spell(&text), width, theme)), inner);
    };
    let lead = &page.lead;
    let at = lead.received_at.map(|at| time::moment(at, &view.shared.setup.zone)).unwrap_or_default();
    let contact = [lead.company.as_str(), lead.email.as_str(), lead.phone.as_str()];
    let contact: Vec<&str> = contact.into_iter().filter(|text| !text.is_empty()).collect();
    let quiet = |text: &str| theme.span(Role::Quiet, text.to_owned());
    let role = if lead.state == "complete" { Role::Good } else { Role::Warn };
    let lines = vec![
        Line::from(safe(&contact.join("   "), width, theme)),
        Line::from(vec![
            quiet("received "),
            Span::raw(at),
            quiet("   "),
            theme.span(role, safe(&lead.state, 20, theme)),
            quiet(&format!("   {}", safe(&lead.uuid, 40, theme))),
        ]),
    ];
    frame.render_widget(Paragraph::new(lines), inner);
}

/// The selected delivery: why it is where it is, what to do, and what happened, in the order of time.
fn selected(it: &LeadScreen, page: &LeadPage, view: View<'_>) -> Doc {
    let mut doc = Doc::default();
    if let Some(current) = it.table.current() {
        let delivery = &current.delivery;
        doc.push(Kind::Delivery(delivery.state), delivery.state.word());
        if current.why.is_empty() {
            doc.push(Kind::Text, delivery.because());
        } else {
            let zone = &view.shared.setup.zone;
            doc.push(Kind::Strong, &retold(&current.why, |at| time::moment(at, zone)));
        }
        if !delivery.error.is_empty() && !current.why.contains(&delivery.error) {
            doc.push(Kind::Error, &delivery.error);
        }
        let is_dead = delivery.state == DeliveryState::Dead;
        if let Some((meaning, next)) = guide(&delivery.class, is_dead, &view.shared.setup.keymap) {
            doc.field("means", meaning);
            doc.field("do next", &next);
        }
        if let Some(flow) = it.flow() {
            doc.field("flow", &format!("{}: {}", flow.name, flow.when));
            if matches!(delivery.state, DeliveryState::Skipped | DeliveryState::Held) {
                page.says_where(&flow.when).iter().for_each(|said| doc.field("", said));
            }
        }
    }
    let mut records = it.records(page).peekable();
    if records.peek().is_some() {
        doc.section("what it is called there");
    }
    for record in records {
        doc.push(Kind::Text, &format!("{} {}   {}", record.kind, record.id, record.url));
    }
    doc.section("what happened");
    story(it, page, view, doc)
}

/// What happened, in the order of time; at all integrations, where that is wanted, each with its name.
fn story(it: &LeadScreen, page: &LeadPage, view: View<'_>, mut doc: Doc) -> Doc {
    let zone = &view.shared.setup.zone;
    let places = page.steps.iter().map(|step| step.integration.chars().count()).max().unwrap_or_default();
    for step in it.steps(page) {
        let at = step.at.map(|at| time::stamp(at, zone)).unwrap_or_default();
        let number = step.attempt.as_ref().map(|it| format!(" {}", it.number)).unwrap_or_default();
        let place =
            if it.shows_all { format!("{:<1$}  ", step.integration, places.min(24)) } else { String::new() };
        let parts = [step.state.as_str(), step.reason.as_str()];
        let rest: Vec<&str> = parts.into_iter().filter(|text| !text.is_empty()).collect();
        let kind = match (step.what.as_str(), AttemptState::parse(&step.state)) {
            ("attempt", AttemptState::Failed) => Kind::Error,
            _ => Kind::Text,
        };
        doc.push(kind, &format!("{at}  {place}{}{number}  {}", step.what, rest.join("  ")));
    }
    doc
}
