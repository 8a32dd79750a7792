//! What each action does, and why it may not be possible now.

use std::collections::BTreeSet;

use super::{copy, filter, motion, refuse};
use crate::keymap::{Action, BINDINGS};
use crate::model::data::{AttemptState, Conn, Retry};
use crate::model::dialog::{Ask, Confirm, Dialog, DryRun, Item, Menu, Pick};
use crate::model::input::Input;
use crate::model::open::{Open, Pane};
use crate::model::{Model, Screen, Tone};
use crate::msg::{Command, Effect};

/// Why the action is not possible now; `None` if it is.
pub fn obstacle(model: &Model, action: Action) -> Option<String> {
    if action.is_mutating()
        && let Some(reason) = model.locked()
    {
        return Some(reason);
    }
    let no = |reason: &str| Some(reason.to_owned());
    let open = model.open.as_ref();
    match action {
        Action::Retry if open.is_some_and(|open| open.chosen().is_empty()) => {
            no("no attempt of a delivery is selected")
        }
        Action::Retry if open.is_none() && model.current().is_some_and(|it| it.dead == 0) => {
            no("no delivery is dead")
        }
        Action::Retry
        | Action::Toggle
        | Action::Test
        | Action::Reset
        | Action::Rotate
        | Action::CutOver
        | Action::Revoke
        | Action::Copy
            if model.current().is_none() =>
        {
            no("no integration is selected")
        }
        Action::Rotate if model.current().is_some_and(|it| it.secret_version == 0) => {
            no("this connector signs nothing")
        }
        Action::Rotate if model.current().is_some_and(|it| it.staged_version > 0) => {
            no("a secret is staged: cut over or cancel it first")
        }
        Action::CutOver if model.current().is_some_and(|it| it.staged_version == 0) => {
            no("no secret is staged")
        }
        Action::Revoke
            if model.current().is_some_and(|it| it.staged_version == 0 && it.grace_until.is_none()) =>
        {
            no("there is one secret only")
        }
        Action::Reset if model.current().is_some_and(|it| it.failures == 0 && it.last_error.is_empty()) => {
            no("there is no failure to forget")
        }
        Action::Open if open.is_none() && model.current().is_none() => no("no integration is selected"),
        Action::Open | Action::Mark | Action::Pane if open.is_some_and(|open| open.current().is_none()) => {
            no("no attempt is selected")
        }
        Action::ClearMarks if open.is_none_or(|open| open.marks.is_empty()) => no("nothing is marked"),
        Action::Reconnect if model.conn == Conn::Live => no("the connection is live"),
        _ => None,
    }
}

/// Carries the action out, or says why not.
pub(super) fn perform(model: &mut Model, action: Action) -> Vec<Effect> {
    if let Some(reason) = obstacle(model, action) {
        return refuse(model, &reason);
    }
    match action {
        Action::Quit if model.screen() == Screen::Overview => return vec![Effect::Quit],
        Action::QuitNow => return vec![Effect::Quit],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Redraw => return vec![Effect::Redraw],
        Action::Reconnect => return vec![Effect::Net(Command::Reconnect)],
        Action::Open => return open(model),
        Action::Back | Action::Quit => return back(model, action),
        Action::Retry => return ask_retry(model),
        Action::Toggle | Action::Test | Action::Reset | Action::Rotate | Action::CutOver | Action::Revoke => {
            ask(model, action)
        }
        Action::Filter => {
            if let Some(filter) = filter(model) {
                filter.editing = true;
            }
        }
        Action::FailingOnly => match &mut model.open {
            Some(open) => open.failed_only = !open.failed_only,
            None => model.overview.failing_only = !model.overview.failing_only,
        },
        Action::Actions => model.dialog = Some(Dialog::Menu(actions_menu(model))),
        Action::Palette => model.dialog = Some(Dialog::Menu(palette(model))),
        Action::Copy => model.dialog = Some(Dialog::Menu(copy::menu(model))),
        Action::Help => model.dialog = Some(Dialog::Help { scroll: 0 }),
        Action::Follow
        | Action::Wrap
        | Action::Pane
        | Action::Mark
        | Action::MarkAll
        | Action::ClearMarks => {
            if let Some(open) = &mut model.open {
                in_open(open, action);
            }
        }
        _ => motion::perform(model, action),
    }
    Vec::new()
}

fn in_open(open: &mut Open, action: Action) {
    match action {
        Action::Follow => {
            open.follow = !open.follow;
            open.fresh = 0;
        }
        Action::Wrap => open.wrap = !open.wrap,
        Action::Pane => {
            open.pane = match open.pane {
                Pane::List => Pane::Detail,
                Pane::Detail => Pane::List,
            };
        }
        Action::Mark => {
            open.follow = false;
            let Some(id) = open.selected.clone() else { return };
            if !open.marks.remove(&id) {
                open.marks.insert(id);
            }
            open.pane = Pane::List;
            let ids: Vec<String> = open.visible().iter().map(|a| a.id.clone()).collect();
            let next = ids.iter().position(|id| Some(id) == open.selected.as_ref()).map_or(0, |at| at + 1);
            if let Some(id) = ids.get(next) {
                open.select(Some(id.clone()));
            }
        }
        Action::MarkAll => {
            open.follow = false;
            open.marks = open.visible().iter().map(|a| a.id.clone()).collect();
        }
        Action::ClearMarks => open.marks.clear(),
        _ => {}
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
    if let Some(open) = &mut model.open {
        open.full = true;
        open.follow = false;
        return Vec::new();
    }
    let Some((id, name)) = model.current().map(|it| (it.id.clone(), it.name.clone())) else {
        return Vec::new();
    };
    model.open = Some(Open::new(id.clone(), name));
    vec![Effect::Net(Command::Follow(Some(id)))]
}

/// Undoes the last step inwards: a filter, a full screen, a pane, a screen. Esc never quits.
fn back(model: &mut Model, action: Action) -> Vec<Effect> {
    let filtered = filter(model).filter(|filter| !filter.is_empty());
    if let Some(filter) = filtered.filter(|_| action == Action::Back) {
        filter.input.clear();
        return Vec::new();
    }
    match &mut model.open {
        None => {}
        Some(open) if open.full => open.full = false,
        Some(open) if open.pane == Pane::Detail => open.pane = Pane::List,
        Some(open) if !open.marks.is_empty() && action == Action::Back => open.marks.clear(),
        Some(_) => {
            model.open = None;
            return vec![Effect::Net(Command::Follow(None))];
        }
    }
    Vec::new()
}

fn ask_retry(model: &mut Model) -> Vec<Effect> {
    let (retry, of, delivered) = match &model.open {
        Some(open) => {
            let chosen = open.chosen();
            let ids: BTreeSet<&String> = chosen.iter().map(|a| &a.delivery).collect();
            let arrived: BTreeSet<&String> =
                chosen.iter().filter(|a| a.state == AttemptState::Delivered).map(|a| &a.delivery).collect();
            let of = match ids.len() {
                1 => format!("one delivery of {}", open.name),
                many => format!("{many} deliveries of {}", open.name),
            };
            (Retry::Deliveries(ids.into_iter().cloned().collect()), of, arrived.len())
        }
        None => {
            let Some(it) = model.current() else { return Vec::new() };
            (Retry::DeadOf { integration: it.id.clone() }, format!("every dead delivery of {}", it.name), 0)
        }
    };
    let ticket = model.ticket();
    let ask = Ask::Retry { retry: retry.clone(), of, delivered };
    model.dialog = Some(Dialog::Confirm(Confirm::new(ask, model.now, DryRun::Waiting(ticket))));
    vec![Effect::Net(Command::Estimate { ticket, retry })]
}

fn ask(model: &mut Model, action: Action) {
    let Some(it) = model.current() else { return };
    let (id, name) = (it.id.clone(), it.name.clone());
    let ask = match action {
        Action::Toggle if it.enabled => Ask::Disable { id, name, pending: it.pending },
        Action::Toggle => Ask::Enable { id, name, held: it.held },
        Action::Test => Ask::Test { id, name },
        Action::Reset => Ask::Reset { id, name, failures: it.failures },
        Action::Rotate => Ask::Rotate { id, name, pending: it.pending },
        Action::CutOver => Ask::CutOver { id, name, held: it.held },
        Action::Revoke => Ask::Revoke { id, name, staged: it.staged_version > 0 },
        _ => return,
    };
    model.dialog = Some(Dialog::Confirm(Confirm::new(ask, model.now, DryRun::NotNeeded)));
}

fn item(model: &Model, action: Action) -> Option<Item> {
    let binding = BINDINGS.iter().find(|b| b.action == action)?;
    let label = match action {
        Action::Toggle => match model.current() {
            Some(it) if it.enabled => format!("disable {}", it.name),
            Some(it) => format!("enable {}", it.name),
            None => binding.label.to_owned(),
        },
        _ => binding.label.to_owned(),
    };
    let key = binding.shown.to_owned();
    Some(Item { key, label, pick: Pick::Act(action), reason: obstacle(model, action) })
}

fn actions_menu(model: &Model) -> Menu {
    let actions = [
        Action::Retry,
        Action::Test,
        Action::Toggle,
        Action::Reset,
        Action::Rotate,
        Action::CutOver,
        Action::Revoke,
    ];
    let items = actions.into_iter().filter_map(|action| item(model, action)).collect();
    Menu { title: "Actions", items, selected: 0, query: None, opened_at: model.now }
}

fn palette(model: &Model) -> Menu {
    let items = BINDINGS
        .iter()
        .filter(|b| b.place.covers(model.screen()) && !b.action.is_move() && b.action != Action::Palette)
        .filter_map(|b| item(model, b.action))
        .collect();
    Menu { title: "Command", items, selected: 0, query: Some(Input::default()), opened_at: model.now }
}

/// Says that marks went with their rows.
pub(super) fn report_dropped_marks(model: &mut Model, dropped: usize) {
    if dropped > 0 {
        let rows = if dropped == 1 { "mark" } else { "marks" };
        model.toast(Tone::Plain, format!("{dropped} {rows} dropped: the rows are filtered out"));
    }
}
