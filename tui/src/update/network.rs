//! What the connection tells: its state, the daemon's data, and the answers to what we asked.

use super::refuse;
use crate::model::data::{AttemptState, Conn, Done, Integration};
use crate::model::dialog::{Confirm, Dialog, DryRun, Focus, OneTime};
use crate::model::{Model, Tone, time};
use crate::msg::{Effect, Msg, Ticket};

/// Takes in a message that is neither a key nor time.
pub(super) fn apply(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Conn(conn) => connection(model, conn),
        Msg::Snapshot { version, integrations } => {
            model.daemon_version = version;
            model.integrations = integrations;
            model.loaded = true;
        }
        Msg::Changes { changed, removed } => {
            model.integrations.retain(|it| !removed.contains(&it.id));
            changed.into_iter().for_each(|it| upsert(model, it));
        }
        Msg::Attempts { integration, attempts, first } => {
            if let Some(open) = model.open.as_mut().filter(|open| open.id == integration) {
                open.apply(attempts, first);
            }
        }
        Msg::Detail { attempt, detail } => {
            if let Some(open) = &mut model.open {
                open.remember(attempt, detail);
            }
        }
        Msg::Estimated { ticket, estimate } => {
            if let Some(Dialog::Confirm(confirm)) = &mut model.dialog {
                estimated(confirm, ticket, estimate.map_or_else(DryRun::Failed, DryRun::Told));
            }
        }
        Msg::Delayed { ticket } => {
            if let Some(pending) = model.pending.get_mut(&ticket) {
                pending.delayed = true;
            }
        }
        Msg::Answered { ticket, done } => answered(model, ticket, done),
        Msg::Refused(reason) => model.toast(Tone::Bad, reason),
        Msg::Copied(told) | Msg::Saved(told) => return note(model, told),
        Msg::Key(_) | Msg::Paste(_) | Msg::Resize(..) | Msg::Tick | Msg::Resumed => {}
    }
    Vec::new()
}

fn connection(model: &mut Model, conn: Conn) {
    if conn == Conn::Live {
        model.stale_since = None;
        if let Some(open) = &mut model.open {
            open.details.retain(|_, detail| detail.is_ok());
            open.asked = None;
        }
    } else if model.loaded && model.stale_since.is_none() {
        model.stale_since = Some(model.now);
    }
    model.conn = conn;
}

fn upsert(model: &mut Model, new: Integration) {
    match model.integrations.iter_mut().find(|it| it.id == new.id) {
        Some(old) => *old = new,
        None => model.integrations.push(new),
    }
}

fn estimated(confirm: &mut Confirm, ticket: Ticket, told: DryRun) {
    if confirm.dry_run != DryRun::Waiting(ticket) {
        return;
    }
    confirm.dry_run = told;
    if confirm.expected().is_some() {
        confirm.focus = Focus::Input;
    }
}

fn answered(model: &mut Model, ticket: Ticket, done: Result<Done, String>) {
    let what = model.pending.remove(&ticket).map_or_else(|| "request".to_owned(), |pending| pending.what);
    let done = match done {
        Ok(done) => done,
        Err(error) => return model.toast(Tone::Bad, format!("{what}: {error}")),
    };
    match done {
        Done::Retried { count } => {
            let deliveries = if count == 1 { "delivery is" } else { "deliveries are" };
            model.toast(Tone::Good, format!("{what}: {count} {deliveries} due now"));
        }
        Done::Enabled { integration, held } => {
            let held = if held == 0 { String::new() } else { format!(", {held} deliveries were held") };
            model.toast(Tone::Good, format!("{what}: done{held}"));
            upsert(model, integration);
        }
        Done::Changed(integration) => {
            model.toast(Tone::Good, format!("{what}: done"));
            upsert(model, integration);
        }
        Done::Tested { state, status, duration_ms, error } => {
            let status = status.map(|s| format!(" {s}")).unwrap_or_default();
            let taken = duration_ms.map(|ms| format!(" in {}", time::millis(ms))).unwrap_or_default();
            let error = if error.is_empty() { error } else { format!(": {error}") };
            let tone = if state == AttemptState::Delivered { Tone::Good } else { Tone::Bad };
            model.toast(tone, format!("{what}: {}{status}{taken}{error}", state.word()));
        }
        Done::Rotated { integration, secret } => {
            match secret {
                Some(secret) => {
                    let (name, grace) = (integration.name.clone(), integration.grace_until);
                    let staged = integration.staged_version > 0;
                    let shown = OneTime { staged, ..OneTime::new(name, secret, grace, model.now) };
                    model.secrets.push_back(shown);
                }
                None => model.toast(
                    Tone::Bad,
                    format!("{what}: rotated, but the secret was already shown; rotate again if it is lost"),
                ),
            }
            upsert(model, integration);
        }
    }
}

fn note(model: &mut Model, told: Result<String, String>) -> Vec<Effect> {
    match (model.secrets.front_mut(), told) {
        (Some(secret), Ok(text) | Err(text)) => secret.note = Some(text),
        (None, Ok(text)) => model.toast(Tone::Good, text),
        (None, Err(text)) => return refuse(model, &text),
    }
    Vec::new()
}
