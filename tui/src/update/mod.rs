//! The one way to change the model: a message comes in with its time, effects go out. No clock, no I/O, no surprise.

mod act;
mod copy;
mod dialog;
mod motion;
mod network;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crossterm::event::KeyCode;
use jiff::Timestamp;

pub use act::obstacle;

use crate::keymap::{self, Action, Press};
use crate::model::data::{AttemptState, Conn};
use crate::model::input::Input;
use crate::model::{Model, Screen, Tone};
use crate::msg::{Command, Effect, Msg};

/// Takes in what happened at `now` and says what is to be done about it.
pub fn update(model: &mut Model, now: Timestamp, msg: Msg) -> Vec<Effect> {
    model.now = model.now.max(now);
    expire(model);
    let mut effects = match msg {
        Msg::Key(press) => key(model, press),
        Msg::Paste(text) => {
            paste(model, &text);
            Vec::new()
        }
        Msg::Resize(width, height) => {
            model.size.width = width;
            model.size.height = height;
            Vec::new()
        }
        Msg::Tick => Vec::new(),
        Msg::Resumed => vec![Effect::Redraw],
        other => network::apply(model, other),
    };
    let dropped = model.settle();
    act::report_dropped_marks(model, dropped);
    motion::clamp_scroll(model);
    effects.extend(wanted_detail(model));
    effects
}

fn expire(model: &mut Model) {
    let now = model.now;
    model.toasts.retain(|toast| toast.until > now);
    for secret in &mut model.secrets {
        secret.shown_until = secret.shown_until.filter(|until| *until > now);
    }
}

fn key(model: &mut Model, press: Press) -> Vec<Effect> {
    match keymap::lookup(model.screen(), press) {
        Some(Action::QuitNow) => return vec![Effect::Quit],
        Some(Action::Suspend) => return vec![Effect::Suspend],
        Some(Action::Redraw) => return vec![Effect::Redraw],
        _ => {}
    }
    if !model.secrets.is_empty() {
        return dialog::secret_key(model, press);
    }
    if model.dialog.is_some() {
        return dialog::key(model, press);
    }
    if filter(model).is_some_and(|filter| filter.editing) {
        filter_key(model, press);
        return Vec::new();
    }
    keymap::lookup(model.screen(), press).map(|action| act::perform(model, action)).unwrap_or_default()
}

/// The filter of the screen on top.
fn filter(model: &mut Model) -> Option<&mut crate::model::filter::Filter> {
    match model.screen() {
        Screen::Overview => Some(&mut model.overview.filter),
        Screen::Integration => model.open.as_mut().map(|open| &mut open.filter),
        Screen::Attempt => None,
    }
}

fn filter_key(model: &mut Model, press: Press) {
    match press.code {
        KeyCode::Up => motion::perform(model, Action::Up),
        KeyCode::Down => motion::perform(model, Action::Down),
        code => {
            let Some(filter) = filter(model) else { return };
            match code {
                KeyCode::Enter => filter.editing = false,
                KeyCode::Esc => {
                    filter.input.clear();
                    filter.editing = false;
                }
                _ => edit(&mut filter.input, press),
            }
        }
    }
}

/// What a key does in a line of text.
fn edit(input: &mut Input, press: Press) {
    match press.code {
        KeyCode::Char('u') if press.ctrl => input.clear(),
        KeyCode::Char('a') if press.ctrl => input.home(),
        KeyCode::Char('e') if press.ctrl => input.end(),
        KeyCode::Char(c) if !press.ctrl => input.insert(c),
        KeyCode::Backspace => input.backspace(),
        KeyCode::Left => input.left(),
        KeyCode::Right => input.right(),
        KeyCode::Home => input.home(),
        KeyCode::End => input.end(),
        _ => {}
    }
}

/// Pasted text goes into a line of text or nowhere: it must never be read as keys.
fn paste(model: &mut Model, text: &str) {
    if !model.secrets.is_empty() || model.dialog.is_some() {
        dialog::paste(model, text);
    } else if let Some(filter) = filter(model).filter(|filter| filter.editing) {
        filter.input.paste(text);
    }
}

/// Asks for the request and response of the selected attempt, once.
fn wanted_detail(model: &mut Model) -> Option<Effect> {
    if model.conn != Conn::Live {
        return None;
    }
    let open = model.open.as_mut()?;
    let attempt = open.current().filter(|a| a.state != AttemptState::Running)?.id.clone();
    if open.details.contains_key(&attempt) || open.asked.as_ref() == Some(&attempt) {
        return None;
    }
    open.asked = Some(attempt.clone());
    Some(Effect::Net(Command::Detail { attempt }))
}

/// Says why an act is not possible.
fn refuse(model: &mut Model, reason: &str) -> Vec<Effect> {
    model.toast(Tone::Bad, format!("not possible: {reason}"));
    Vec::new()
}
