//! Keys while a dialog is open. The only place that lets a change leave for the daemon.

use crossterm::event::KeyCode;
use jiff::SignedDuration;
use zeroize::Zeroizing;

use super::{act, copy, edit, refuse};
use crate::keymap::Press;
use crate::model::dialog::{Ask, Confirm, Dialog, Focus, Menu, OneTime, Pick};
use crate::model::{Model, Pending, Tone};
use crate::msg::{Command, Effect};

/// How long a secret is shown in clear.
const SHOWN: SignedDuration = SignedDuration::from_secs(30);

/// What a dialog makes of a key.
enum Then {
    Stay,
    Close,
    Confirm,
    Pick(Pick),
    Refuse(String),
}

/// A key for the dialog.
pub(super) fn key(model: &mut Model, press: Press) -> Vec<Effect> {
    let now = model.now;
    let then = match &mut model.dialog {
        Some(Dialog::Confirm(_)) if press.code == KeyCode::Esc => Then::Close,
        Some(Dialog::Confirm(confirm)) if confirm.settled(now) => confirm_key(confirm, press),
        Some(Dialog::Menu(menu)) => menu_key(menu, press),
        Some(Dialog::Help { scroll }) => help_key(scroll, press),
        Some(Dialog::Confirm(_)) | None => Then::Stay,
    };
    match then {
        Then::Stay => Vec::new(),
        Then::Close => {
            model.dialog = None;
            Vec::new()
        }
        Then::Confirm => run(model),
        Then::Refuse(reason) => refuse(model, &reason),
        Then::Pick(pick) => {
            model.dialog = None;
            match pick {
                Pick::Act(action) => act::perform(model, action),
                Pick::Copy(clip) => copy::effect(model, clip),
            }
        }
    }
}

/// Pasted text, if the dialog has a line for it.
pub(super) fn paste(model: &mut Model, text: &str) {
    if let Some(secret) = model.secrets.front_mut() {
        if let Some(path) = &mut secret.path {
            path.paste(text);
        }
        return;
    }
    match &mut model.dialog {
        Some(Dialog::Menu(Menu { query: Some(query), selected, .. })) => {
            query.paste(text);
            *selected = 0;
        }
        // A name that is pasted was not thought about; it is asked for to be typed.
        Some(Dialog::Menu(_) | Dialog::Confirm(_) | Dialog::Help { .. }) | None => {}
    }
}

fn confirm_key(confirm: &mut Confirm, press: Press) -> Then {
    match (press.code, confirm.focus) {
        (KeyCode::Tab | KeyCode::Down, _) => confirm.turn(true),
        (KeyCode::BackTab | KeyCode::Up, _) => confirm.turn(false),
        (_, _) if press.repeat && press.code == KeyCode::Enter => {}
        (KeyCode::Enter, Focus::Cancel) => return Then::Close,
        (KeyCode::Enter, Focus::Confirm) => return Then::Confirm,
        (KeyCode::Enter, Focus::Input) if confirm.obstacle().is_none() => confirm.focus = Focus::Confirm,
        (KeyCode::Enter, Focus::Choice) => confirm.turn(true),
        (_, Focus::Input) => edit(&mut confirm.input, press),
        (KeyCode::Char('y'), _) if !press.ctrl && !press.repeat => return Then::Confirm,
        (KeyCode::Char('n' | 'q'), _) => return Then::Close,
        (KeyCode::Left | KeyCode::Char('h'), Focus::Choice) => choose(confirm, false),
        (KeyCode::Right | KeyCode::Char('l' | ' '), Focus::Choice) => choose(confirm, true),
        (KeyCode::Left | KeyCode::Right, _) => {
            let other = if confirm.focus == Focus::Cancel { Focus::Confirm } else { Focus::Cancel };
            confirm.focus = other;
        }
        _ => {}
    }
    Then::Stay
}

fn choose(confirm: &mut Confirm, forward: bool) {
    let Some(choice) = confirm.choice() else { return };
    let len = choice.options.len();
    confirm.choice = (confirm.choice + if forward { 1 } else { len - 1 }) % len;
}

/// Sends the change that the open dialog asks about, unless something stands in the way.
fn run(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Confirm(confirm)) = &model.dialog else { return Vec::new() };
    let reason = if model.size.is_usable() {
        model.locked().or_else(|| confirm.obstacle().map(str::to_owned))
    } else {
        Some("the dialog cannot be seen, make the window larger".to_owned())
    };
    if let Some(reason) = reason {
        return refuse(model, &reason);
    }
    let (mutation, what) = (confirm.mutation(), headline(&confirm.ask));
    model.dialog = None;
    if let Some(open) = &mut model.open {
        open.marks.clear();
    }
    let ticket = model.ticket();
    model.pending.insert(ticket, Pending { what, delayed: false });
    vec![Effect::Net(Command::Mutate { ticket, mutation })]
}

/// What is being done, for status line and toasts.
fn headline(ask: &Ask) -> String {
    match ask {
        Ask::Retry { of, .. } => format!("retry {of}"),
        Ask::Enable { name, .. } => format!("enable {name}"),
        Ask::Disable { name, .. } => format!("disable {name}"),
        Ask::Test { name, .. } => format!("test {name}"),
        Ask::Reset { name, .. } => format!("reset {name}"),
        Ask::Rotate { name, .. } => format!("rotate the secret of {name}"),
        Ask::CutOver { name, .. } => format!("cut over {name}"),
        Ask::Revoke { name, staged: true, .. } => format!("cancel the staged secret of {name}"),
        Ask::Revoke { name, .. } => format!("revoke the old secret of {name}"),
    }
}

fn menu_key(menu: &mut Menu, press: Press) -> Then {
    let len = menu.visible().len();
    match press.code {
        KeyCode::Esc => return Then::Close,
        KeyCode::Up => menu.selected = menu.selected.saturating_sub(1),
        KeyCode::Down => menu.selected = (menu.selected + 1).min(len.saturating_sub(1)),
        KeyCode::Enter if !press.repeat => return pick(menu, menu.selected),
        _ => match &mut menu.query {
            Some(query) => {
                edit(query, press);
                menu.selected = 0;
            }
            None => return hotkey(menu, press),
        },
    }
    Then::Stay
}

/// In a menu without a query a letter moves, closes, or picks the line that shows it.
fn hotkey(menu: &mut Menu, press: Press) -> Then {
    let KeyCode::Char(c) = press.code else { return Then::Stay };
    let letter = c.to_string();
    if let Some(at) = menu.items.iter().position(|item| item.key == letter) {
        return if press.repeat { Then::Stay } else { pick(menu, at) };
    }
    match c {
        'q' => return Then::Close,
        'k' => menu.selected = menu.selected.saturating_sub(1),
        'j' => menu.selected = (menu.selected + 1).min(menu.items.len().saturating_sub(1)),
        _ => {}
    }
    Then::Stay
}

fn pick(menu: &Menu, at: usize) -> Then {
    match menu.visible().get(at) {
        None => Then::Stay,
        Some(item) => match &item.reason {
            Some(reason) => Then::Refuse(reason.clone()),
            None => Then::Pick(item.pick.clone()),
        },
    }
}

fn help_key(scroll: &mut u16, press: Press) -> Then {
    match press.code {
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?' | 'q') => return Then::Close,
        KeyCode::Down | KeyCode::Char('j') => *scroll = (*scroll + 1).min(60),
        KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
        KeyCode::PageDown | KeyCode::Char(' ') => *scroll = (*scroll + 10).min(60),
        KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
        _ => {}
    }
    Then::Stay
}

/// A key for the secret that is shown once.
pub(super) fn secret_key(model: &mut Model, press: Press) -> Vec<Effect> {
    let (now, usable) = (model.now, model.size.is_usable());
    let Some(secret) = model.secrets.front_mut() else { return Vec::new() };
    if !secret.settled(now) || !usable || press.repeat {
        return Vec::new();
    }
    if secret.path.is_some() {
        return path_key(secret, press);
    }
    match press.code {
        KeyCode::Char('v') => {
            secret.shown_until = if secret.shown_until.is_some() { None } else { Some(now + SHOWN) };
        }
        KeyCode::Char('y') => {
            let text = Zeroizing::new(secret.secret.reveal().to_owned());
            return vec![Effect::Copy { what: "the secret".to_owned(), text }];
        }
        KeyCode::Char('w') => {
            secret.path = Some(crate::model::input::Input::with(secret.suggested_path()));
        }
        KeyCode::Char(' ') => secret.stored = !secret.stored,
        KeyCode::Enter | KeyCode::Esc | KeyCode::Char('q') => return close_secret(model, press.code),
        _ => {}
    }
    Vec::new()
}

fn path_key(secret: &mut OneTime, press: Press) -> Vec<Effect> {
    let Some(path) = &mut secret.path else { return Vec::new() };
    match press.code {
        KeyCode::Esc => secret.path = None,
        KeyCode::Enter => {
            let path = path.text().trim().to_owned();
            secret.path = None;
            if !path.is_empty() {
                return vec![Effect::Save { path, secret: secret.secret.clone() }];
            }
        }
        _ => edit(path, press),
    }
    Vec::new()
}

/// Done needs the tick; Esc without it warns once, because the secret is gone afterwards.
fn close_secret(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    let Some(secret) = model.secrets.front_mut() else { return Vec::new() };
    if !secret.stored {
        if code == KeyCode::Enter || !secret.warned {
            secret.warned = code != KeyCode::Enter || secret.warned;
            secret.note = Some(if code == KeyCode::Enter {
                "tick the box first: space".to_owned()
            } else {
                "not ticked: it cannot be read again. Press Esc once more to throw it away".to_owned()
            });
            return Vec::new();
        }
        model.toast(Tone::Plain, "the secret was thrown away; rotate again for another one");
    }
    model.secrets.pop_front();
    // The old cells must not survive in the terminal.
    vec![Effect::Redraw]
}
