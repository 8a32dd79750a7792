//! The columns of attempts and of deliveries.

use serde_json::json;

use crate::columns::{attempt, delivery};
use crate::console::data::{Attempt, Delivery, DeliveryState};
use crate::console::screens::attempt::whose;
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::draw::{short_error, without_phrase};
use crate::console::widgets::time;

/// Attempts, the most important first.
pub const ATTEMPTS: [TableColumn<Attempt>; 9] = [
    shows(attempt::STARTED, |it: &Attempt, look| {
        plain(it.started_at.map(|at| time::clock(at, look.zone)).unwrap_or_default())
    })
    .value(|it: &Attempt| json!(it.started_at))
    .by(|a, b| b.started_at.cmp(&a.started_at)),
    shows(attempt::LEAD, |it: &Attempt, _| whose(it))
        .value(|it: &Attempt| json!(it.person()))
        .by(|a, b| a.person().cmp(b.person())),
    shows(attempt::STATE, |it: &Attempt, look| {
        let (glyph, role) = look.theme.attempt(it.state);
        styled(role, format!("{glyph} {}", it.state.word()))
    })
    .value(|it: &Attempt| json!(it.state.word()))
    .by(|a, b| a.state.word().cmp(b.state.word())),
    shows(attempt::STATUS, |it: &Attempt, _| {
        plain(it.status.map_or_else(|| "-".to_owned(), |status| status.to_string()))
    })
    .value(|it: &Attempt| json!(it.status))
    .by(|a, b| a.status.cmp(&b.status)),
    shows(attempt::DURATION, |it: &Attempt, _| {
        plain(it.duration_ms.map_or_else(|| "-".to_owned(), time::millis))
    })
    .value(|it: &Attempt| json!(it.duration_ms))
    .by(|a, b| b.duration_ms.cmp(&a.duration_ms)),
    shows(attempt::NUMBER, |it: &Attempt, _| plain(it.number.to_string()))
        .value(|it: &Attempt| json!(it.number))
        .by(|a, b| b.number.cmp(&a.number)),
    shows(attempt::TRIGGER, |it: &Attempt, _| plain(&*it.trigger)).by(|a, b| a.trigger.cmp(&b.trigger)),
    shows(attempt::CLASS, |it: &Attempt, _| plain(&*it.class)).by(|a, b| a.class.cmp(&b.class)),
    shows(attempt::ERROR, |it: &Attempt, _| {
        // The code stands in a column of its own.
        plain(without_phrase(&it.error).map_or(it.error.as_str(), |(_, reported)| reported))
    })
    .value(|it: &Attempt| json!(it.error)),
];

/// Deliveries, the most important first.
pub const DELIVERIES: [TableColumn<Delivery>; 8] = [
    shows(delivery::LEAD, |it: &Delivery, _| plain(it.person())).by(|a, b| a.person().cmp(b.person())),
    shows(delivery::INTEGRATION, |it: &Delivery, _| plain(&*it.integration))
        .integration()
        .by(|a, b| a.integration.cmp(&b.integration)),
    shows(delivery::COMPANY, |it: &Delivery, _| plain(&*it.company))
        .company()
        .by(|a, b| a.company.cmp(&b.company)),
    shows(delivery::STATE, |it: &Delivery, look| {
        let (glyph, role) = look.theme.delivery(it.state);
        let word = if it.running { "running" } else { it.state.word() };
        styled(role, format!("{glyph} {word}"))
    })
    .value(|it: &Delivery| json!(it.state.word()))
    .by(|a, b| a.state.cmp(&b.state)),
    shows(delivery::SINCE, |it: &Delivery, look| plain(time::age(look.now, it.at())))
        .value(|it: &Delivery| json!(it.at()))
        .by(|a, b| b.at().cmp(&a.at())),
    shows(delivery::ATTEMPTS, |it: &Delivery, _| plain(it.attempts.to_string()))
        .value(|it: &Delivery| json!(it.attempts))
        .by(|a, b| b.attempts.cmp(&a.attempts)),
    shows(delivery::DUE, |it: &Delivery, look| match (it.state, it.due_at) {
        (DeliveryState::Pending, Some(at)) => plain(time::until(look.now, at)),
        (DeliveryState::Dead, Some(at)) => {
            styled(Role::Quiet, format!("sweep {}", time::until(look.now, at)))
        }
        _ => plain("-"),
    })
    .value(|it: &Delivery| json!(it.due_at)),
    shows(delivery::WHY, |it: &Delivery, _| plain(short_error(it.because())))
        .value(|it: &Delivery| json!(it.because())),
];
