//! The columns of attempts and of deliveries.

use serde_json::json;

use crate::console::data::{Attempt, Delivery, DeliveryState};
use crate::console::theme::Role;
use crate::console::widgets::columns::{Column, Width, column, plain, styled};
use crate::console::widgets::draw::without_phrase;
use crate::console::widgets::time;

/// Attempts, the most important first.
pub const ATTEMPTS: [Column<Attempt>; 8] = [
    column("time", "TIME", Width::Fixed(8), 0, |it: &Attempt, look| {
        plain(it.started_at.map(|at| time::clock(at, look.zone)).unwrap_or_default())
    })
    .value(|it: &Attempt| json!(it.started_at))
    .by(|a, b| b.started_at.cmp(&a.started_at)),
    column("lead", "LEAD", Width::Share(10, 24), 1, |it: &Attempt, _| plain(it.person()))
        .by(|a, b| a.person().cmp(b.person())),
    column("state", "STATE", Width::Fixed(11), 0, |it: &Attempt, look| {
        let (glyph, role) = look.theme.attempt(it.state);
        styled(role, format!("{glyph} {}", it.state.word()))
    })
    .value(|it: &Attempt| json!(it.state.word()))
    .by(|a, b| a.state.word().cmp(b.state.word())),
    column("code", "CODE", Width::Fixed(4), 0, |it: &Attempt, _| {
        plain(it.status.map_or_else(|| "-".to_owned(), |status| status.to_string()))
    })
    .value(|it: &Attempt| json!(it.status))
    .by(|a, b| a.status.cmp(&b.status)),
    column("took", "TOOK", Width::Fixed(5), 3, |it: &Attempt, _| {
        plain(it.duration_ms.map_or_else(|| "-".to_owned(), time::millis))
    })
    .value(|it: &Attempt| json!(it.duration_ms))
    .right()
    .by(|a, b| b.duration_ms.cmp(&a.duration_ms)),
    column("try", "TRY", Width::Fixed(8), 2, |it: &Attempt, _| {
        plain(format!("{} {}", it.number, it.trigger))
    }),
    column("class", "CLASS", Width::Fixed(11), 4, |it: &Attempt, _| plain(&*it.class))
        .by(|a, b| a.class.cmp(&b.class)),
    column("error", "ERROR", Width::Share(12, 200), 1, |it: &Attempt, _| {
        // The code stands in a column of its own.
        plain(without_phrase(&it.error).map_or(it.error.as_str(), |(_, reported)| reported))
    })
    .value(|it: &Attempt| json!(it.error)),
];

/// Deliveries, the most important first.
pub const DELIVERIES: [Column<Delivery>; 8] = [
    column("lead", "LEAD", Width::Share(10, 24), 0, |it: &Delivery, _| plain(it.person()))
        .by(|a, b| a.person().cmp(b.person())),
    column("integration", "INTEGRATION", Width::Share(10, 20), 2, |it: &Delivery, _| plain(&*it.integration))
        .integration()
        .by(|a, b| a.integration.cmp(&b.integration)),
    column("company", "COMPANY", Width::Share(9, 18), 4, |it: &Delivery, _| plain(&*it.company))
        .company()
        .by(|a, b| a.company.cmp(&b.company)),
    column("state", "STATE", Width::Fixed(11), 0, |it: &Delivery, look| {
        let (glyph, role) = look.theme.delivery(it.state);
        let word = if it.running { "running" } else { it.state.word() };
        styled(role, format!("{glyph} {word}"))
    })
    .value(|it: &Delivery| json!(it.state.word()))
    .by(|a, b| a.state.cmp(&b.state)),
    column("since", "SINCE", Width::Fixed(7), 2, |it: &Delivery, look| plain(time::age(look.now, it.at())))
        .value(|it: &Delivery| json!(it.at()))
        .by(|a, b| b.at().cmp(&a.at())),
    column("tries", "TRIES", Width::Fixed(5), 3, |it: &Delivery, _| plain(it.attempts.to_string()))
        .value(|it: &Delivery| json!(it.attempts))
        .right()
        .by(|a, b| b.attempts.cmp(&a.attempts)),
    column("next", "NEXT", Width::Fixed(8), 3, |it: &Delivery, look| match (it.state, it.due_at) {
        (DeliveryState::Pending, Some(at)) => plain(time::until(look.now, at)),
        (DeliveryState::Dead, Some(at)) => {
            styled(Role::Quiet, format!("sweep {}", time::until(look.now, at)))
        }
        _ => plain("-"),
    })
    .value(|it: &Delivery| json!(it.due_at)),
    column("why", "WHY", Width::Share(20, 200), 1, |it: &Delivery, _| plain(it.because())),
];
