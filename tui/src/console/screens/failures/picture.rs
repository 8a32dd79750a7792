//! The picture of failures: causes above, the leads of the selected one and what to do about it below.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use super::columns::COLUMNS;
use super::{FailuresPane, FailuresScreen, ListedCauses};
use crate::console::data::Cause;
use crate::console::data::cause::Remedy;
use crate::console::keymap::{Action, Keymap};
use crate::console::screen::View;
use crate::console::screens::integration::DELIVERIES;
use crate::console::screens::pages::{none_found, note};
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind, guide};
use crate::console::widgets::draw::{pane, trouble};
use crate::console::widgets::time;

/// Draws the screen.
pub(super) fn draw(it: &FailuresScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let rows = u16::try_from(it.causes.rows.len()).unwrap_or(u16::MAX).saturating_add(3).max(5);
    let most = if view.shared.is_wide() { area.height / 2 } else { area.height * 2 / 5 };
    let [top, bottom] =
        Layout::vertical([Constraint::Length(rows.min(most)), Constraint::Min(0)]).areas(area);
    causes(it, view, frame, top);
    if view.shared.is_wide() {
        let halves = [Constraint::Percentage(52), Constraint::Percentage(48)];
        let [left, right] = Layout::horizontal(halves).areas(bottom);
        leads(it, view, frame, left);
        advice(it, view, frame, right);
    } else if it.pane == FailuresPane::Leads {
        leads(it, view, frame, bottom);
    } else {
        advice(it, view, frame, bottom);
    }
}

fn causes(it: &FailuresScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let theme = view.theme;
    let mut title = vec![
        theme.span(Role::Strong, "Failures by cause"),
        theme.span(Role::Quiet, it.causes.note(&COLUMNS, view.shared.now)),
    ];
    if let Some(ListedCauses { snoozed, more, .. }) = &it.fetch.value {
        let behind = if *more { ", and more behind them" } else { "" };
        let snoozed = match snoozed {
            0 => String::new(),
            snoozed => {
                let how = view.shared.setup.keymap.hint(Action::Layout, ": ", " shows them");
                format!("  {snoozed} snoozed{how}")
            }
        };
        title.push(theme.span(Role::Quiet, format!("{behind}{snoozed}")));
    }
    let error = it.fetch.error.as_deref();
    title.push(trouble(error, area.width, theme));
    let block = pane(title, it.pane == FailuresPane::Causes, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if it.pane == FailuresPane::Causes {
        it.rows.set(usize::from(inner.height).saturating_sub(1));
    }
    let empty = "Nothing is dead, and nothing waits for a retry.";
    it.causes.draw(&COLUMNS, &view.look_at(error), empty, frame, inner);
}

fn leads(it: &FailuresScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let theme = view.theme;
    let title = vec![
        theme.span(Role::Strong, "Leads of this cause"),
        theme.span(Role::Quiet, it.deliveries.note(&DELIVERIES, view.shared.now)),
        theme.span(Role::Quiet, note(&it.listed, &view.shared.setup)),
        trouble(it.listed.error(), area.width, theme),
    ];
    let block = pane(title, it.pane == FailuresPane::Leads, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if it.pane == FailuresPane::Leads {
        it.rows.set(usize::from(inner.height).saturating_sub(1));
    }
    let none = if it.of.is_none() { "No cause is selected." } else { "None of them is dead any more." };
    let empty = none_found(&it.listed, &view.shared.setup, none);
    it.deliveries.draw(&DELIVERIES, &view.look_at(it.listed.error()), &empty, frame, inner);
}

fn advice(it: &FailuresScreen, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let doc = it.causes.current().map(|cause| describe(cause, view)).unwrap_or_default();
    let title = vec![view.theme.span(Role::Strong, "What it is, and what to do")];
    it.guide.draw(doc, title, it.pane == FailuresPane::Guide, view, frame, area);
}

/// The key of what mends a cause, and what it does.
fn remedy_line(remedy: Remedy, keymap: &Keymap) -> (&str, String) {
    let (action, does) = match remedy {
        Remedy::ReplaceCredentials => (Action::Credentials, "replace the credentials"),
        Remedy::EditMapping => (Action::Mapping, "edit the mapping, with a preview"),
        Remedy::EditConfig => (Action::Settings, "change the settings"),
        Remedy::Test => (Action::Test, "test push"),
        Remedy::Retry => (Action::Retry, "retry all of them"),
        Remedy::RetryReRendered => (Action::Retry, "retry all of them, rendered anew"),
        Remedy::Wait => return ("", "wait: it is retried by itself".to_owned()),
        Remedy::Skip => {
            let keys = [Action::Pane, Action::Actions].map(|action| keymap.shown(action));
            return ("", format!("{}, then {}: skip those that will never do", keys[0], keys[1]));
        }
    };
    (keymap.shown(action), does.to_owned())
}

/// A cause in words: what it means, what to press, what changed before it began, the newest error.
fn describe(it: &Cause, view: View<'_>) -> Doc {
    let zone = &view.shared.setup.zone;
    let mut doc = Doc::default();
    doc.push(Kind::Strong, &it.text);
    let keymap = &view.shared.setup.keymap;
    let (meaning, next) = guide(&it.class, it.dead > 0, keymap).unwrap_or_default();
    doc.field("means", meaning);
    doc.field("do next", if it.advice.is_empty() { &next } else { &it.advice });
    for remedy in &it.remedies {
        let (key, does) = remedy_line(*remedy, keymap);
        doc.push(Kind::Text, &format!("  {key:<2} {does}"));
    }
    // Nothing else takes a cause off the list that waits for others, or for the target.
    let snooze = if it.snoozed_until.is_some() { "wake it" } else { "snooze it, if it waits for others" };
    doc.push(Kind::Text, &format!("  {:<2} {snooze}", keymap.shown(Action::Snooze)));
    doc.gap();
    let counts = format!("{} dead, {} retrying, {} leads", it.dead, it.retrying(), it.leads());
    doc.field("how many", &counts);
    doc.field("quoted", &it.money());
    for place in it.places.iter().take(6) {
        doc.field("where", &format!("{} / {}: {}", place.company, place.name, place.deliveries));
    }
    let moment = |at: Option<jiff::Timestamp>| at.map(|at| time::moment(at, zone)).unwrap_or_default();
    doc.field("began", &moment(it.first_at));
    doc.field("last", &moment(it.last_at));
    doc.field(
        "snoozed",
        &it.snoozed_until.map(|at| format!("until {}", moment(Some(at)))).unwrap_or_default(),
    );
    doc.section("changed in the hour before it began");
    if it.changed_before.is_empty() {
        doc.push(Kind::Quiet, "Nobody changed anything there.");
    }
    for act in &it.changed_before {
        let at = act.at.map(|at| time::stamp(at, zone)).unwrap_or_default();
        doc.push(Kind::Text, &format!("{at}  {} {} {}", act.operator, act.verb, act.object));
    }
    doc.section("newest error, as it came");
    doc.push(Kind::Error, &it.sample);
    doc
}
