//! Draws the model, and nothing else: no state, no clock, no network. What is untrusted goes through `widgets`.

mod attempt;
mod chrome;
mod dialog;
mod help;
mod integration;
mod overview;
mod secret;
#[cfg(test)]
mod tests;
mod widgets;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::Line;

use crate::model::dialog::Dialog;
use crate::model::{Model, Screen};
use crate::theme::{Role, Theme};

/// Draws the whole screen.
pub fn draw(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    if !model.size.is_usable() {
        too_small(model, theme, frame);
        return;
    }
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
        Constraint::Length(1),
    ];
    let [header, crumbs, body, status, keys] = Layout::vertical(rows).areas(area);
    frame.render_widget(chrome::header(model, *theme, header.width), header);
    chrome::crumbs(model, *theme, frame, crumbs);
    match (model.screen(), &model.open) {
        (Screen::Attempt, Some(open)) => attempt::draw(model, open, *theme, frame, body, true),
        (Screen::Integration, Some(open)) => integration::draw(model, open, *theme, frame, body),
        _ => overview::draw(model, *theme, frame, body),
    }
    frame.render_widget(chrome::status(model, *theme, status.width), status);
    frame.render_widget(chrome::keys(model, *theme, keys.width), keys);
    if let Some(secret) = model.secrets.front() {
        secret::draw(model, secret, *theme, frame, area);
        return;
    }
    match &model.dialog {
        Some(Dialog::Confirm(confirm)) => dialog::confirm(model, confirm, *theme, frame, area),
        Some(Dialog::Menu(menu)) => dialog::menu(menu, *theme, frame, area),
        Some(Dialog::Help { scroll }) => help::draw(model, *scroll, *theme, frame, area),
        None => {}
    }
}

fn too_small(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let state = chrome::connection_word(model);
    let text = [
        Line::from(theme.span(Role::Strong, format!(" leadline {state}"))),
        Line::from(format!(" {}x{} is too small: 60x15 at least", area.width, area.height)),
        Line::from(format!(" {} failing; q quits", model.count(|badge| badge.is_bad()))),
    ];
    frame.render_widget(ratatui::widgets::Paragraph::new(text.to_vec()), area);
}
