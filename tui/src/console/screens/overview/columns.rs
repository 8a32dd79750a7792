//! The columns of the list of integrations, and the words that cards and strip share with it.

use std::borrow::Cow;

use jiff::{Timestamp, tz::TimeZone};
use ratatui::text::Span;

use serde_json::json;

use crate::columns::integration;
use crate::console::data::{Badge, Integration, Wait};
use crate::console::theme::{Role, Theme};
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::draw::{counted, line_width, short_error};
use crate::console::widgets::{time, trend};

/// The columns, the most important first.
pub const COLUMNS: [TableColumn<Integration>; 13] = [
    shows(integration::NAME, |it: &Integration, _| plain(&*it.name)).by(|a, b| a.name.cmp(&b.name)),
    shows(integration::COMPANY, |it: &Integration, _| plain(&*it.company))
        .company()
        .by(|a, b| (&a.company, &a.name).cmp(&(&b.company, &b.name))),
    shows(integration::BADGE, |it: &Integration, look| {
        let (glyph, role) = look.theme.badge(it.badge);
        styled(role, format!("{glyph} {}", it.badge.word()))
    })
    .value(|it: &Integration| json!(it.badge.word().to_lowercase()))
    .by(|a, b| a.badge.cmp(&b.badge)),
    shows(integration::FAILURES, |it: &Integration, _| plain(it.failures.to_string()))
        .value(|it: &Integration| json!(it.failures))
        .by(|a, b| b.failures.cmp(&a.failures)),
    shows(integration::DEAD, |it: &Integration, _| {
        styled(if it.dead > 0 { Role::Bad } else { Role::Plain }, it.dead.to_string())
    })
    .value(|it: &Integration| json!(it.dead))
    .by(|a, b| b.dead.cmp(&a.dead)),
    shows(integration::HELD, |it: &Integration, _| plain(counted(it.held)))
        .value(|it: &Integration| json!(it.held))
        .by(|a, b| b.held.cmp(&a.held)),
    shows(integration::PENDING, |it: &Integration, _| plain(counted(it.pending)))
        .value(|it: &Integration| json!(it.pending))
        .by(|a, b| b.pending.cmp(&a.pending)),
    shows(integration::SKIPPED, |it: &Integration, _| {
        plain(it.figures.as_ref().map(|it| it.skipped.to_string()).unwrap_or_default())
    })
    .value(|it: &Integration| json!(it.figures.as_ref().map(|it| it.skipped)))
    .by(|a, b| skipped(b).cmp(&skipped(a))),
    shows(integration::TREND, |it: &Integration, look| plain(trend(it, 6, look.now, look.theme)))
        .value(|it: &Integration| json!(it.figures.as_ref().map(|it| it.died())))
        .by(|a, b| died(b).cmp(&died(a))),
    shows(integration::PUSHED, |it: &Integration, look| plain(time::age(look.now, it.last_pushed_at)))
        .value(|it: &Integration| json!(it.last_pushed_at))
        .by(|a, b| b.last_pushed_at.cmp(&a.last_pushed_at)),
    shows(integration::NEXT_RETRY, |it: &Integration, look| plain(retry(look.now, it)))
        .value(|it: &Integration| json!(it.next_retry_at))
        .by(|a, b| next(a).cmp(&next(b))),
    shows(integration::CONNECTOR, |it: &Integration, _| plain(&*it.connector))
        .by(|a, b| a.connector.cmp(&b.connector)),
    shows(integration::LAST_ERROR, |it: &Integration, look| match it.pause_label() {
        Some(label) => styled(Role::Warn, label),
        None => match gates(look.now, it).first() {
            // How long comes first: where room is short, that stays.
            Some(gate) => styled(Role::Warn, format!("{}: {}", retry(look.now, it), gate.brief())),
            None => plain(short_error(&it.last_error)),
        },
    })
    .value(|it: &Integration| json!(it.last_error))
    .by(|a, b| (a.last_error.is_empty(), &a.last_error).cmp(&(b.last_error.is_empty(), &b.last_error))),
];

fn skipped(it: &Integration) -> Option<u64> {
    it.figures.as_ref().map(|it| it.skipped)
}

fn died(it: &Integration) -> Option<u64> {
    it.figures.as_ref().map(|it| it.died())
}

/// How many died in the last day, as so many bars; empty until it is known, and where the daemon tells of none: an older
/// one tells of none ever.
pub(super) fn trend(it: &Integration, bars: usize, now: Timestamp, theme: Theme) -> String {
    let figures = it.figures.as_ref().filter(|it| !it.trend.is_empty());
    figures.map(|it| trend::bars(&it.trend, bars, now, theme)).unwrap_or_default()
}

/// When something goes on there; those that wait for no time stand behind those that do.
fn next(it: &Integration) -> (bool, Option<Timestamp>) {
    let at = it.next_retry_at.or(it.throttled_until).or(it.breaker_until);
    (at.is_none(), at)
}

/// What is to be known of credentials and secrets, in a few words each.
pub(super) fn notes(it: &Integration) -> Vec<String> {
    let mut notes = Vec::new();
    if it.lacks_credentials || (!it.has_credentials && it.badge == Badge::Credentials) {
        notes.push("no credentials".to_owned());
    }
    if it.staged_version > 0 {
        notes.push(format!("secret v{} staged", it.staged_version));
    } else if it.grace_until.is_some() {
        notes.push("two secrets".to_owned());
    }
    notes
}

/// Whose account it is at the target, and when the mapping was last compared with it, as far as either is known.
pub fn looked_at(it: &Integration, now: Timestamp) -> Vec<String> {
    let account = (!it.account.is_empty()).then(|| format!("account {}", it.account));
    let checked = it.checked_at.map(|at| format!("checked {}", time::ago(now, at)));
    account.into_iter().chain(checked).collect()
}

/// What keeps pushes or retries back there besides an operator.
pub struct Gate<'a> {
    what: &'static str,
    /// None if it opens for the next one.
    until: Option<Timestamp>,
    why: Cow<'a, str>,
}

impl Gate<'_> {
    /// `throttled until 14:05:00: 429 Too Many Requests`.
    pub fn text(&self, now: Timestamp, zone: &TimeZone) -> String {
        format!("{}: {}", self.head(now, zone), self.why)
    }

    /// What the target wrote, without our words about it.
    fn brief(&self) -> Cow<'_, str> {
        let last = self.why.split_once(" the last one so: ").map_or(&*self.why, |(_, error)| error);
        short_error(last)
    }

    /// The same without the reason.
    pub fn head(&self, now: Timestamp, zone: &TimeZone) -> String {
        match self.until {
            Some(until) => format!("{} until {}", self.what, time::until_when(now, until, zone)),
            None => format!("{} tries one", self.what),
        }
    }
}

/// The gates that are shut, the one that counts first; none where an operator keeps it from pushing.
pub fn gates(now: Timestamp, it: &Integration) -> Vec<Gate<'_>> {
    if it.wait.is_command() {
        return Vec::new();
    }
    let ahead = |until: Option<Timestamp>| until.filter(|until| *until > now);
    let throttle = ahead(it.throttled_until).map(|until| Gate {
        what: "throttled",
        until: Some(until),
        why: if it.throttle.is_empty() {
            "the target asked us to wait".into()
        } else {
            (&*it.throttle).into()
        },
    });
    let breaker = (!it.breaker.is_empty()).then(|| Gate {
        what: "breaker",
        until: ahead(it.breaker_until),
        why: (&*it.breaker).into(),
    });
    throttle.into_iter().chain(breaker).collect()
}

/// When it last pushed something.
pub fn pushed(now: Timestamp, it: &Integration) -> String {
    it.last_pushed_at.map_or_else(|| "never".to_owned(), |at| time::ago(now, at))
}

/// When the next retry goes out, or what it waits for: a time is named only if it will be so.
pub fn retry(now: Timestamp, it: &Integration) -> String {
    let ahead = |until: Option<Timestamp>| until.filter(|until| *until > now);
    if let Some(label) = it.pause_label() {
        return label.to_owned();
    }
    if it.wait == Wait::Disabled {
        return "when enabled".to_owned();
    }
    match (ahead(it.throttled_until), it.breaker.is_empty(), it.next_retry_at) {
        (Some(until), ..) => format!("{}, throttled", time::until(now, until)),
        (None, false, _) => match ahead(it.breaker_until) {
            Some(until) => format!("{}, breaker open", time::until(now, until)),
            None => "breaker tries one".to_owned(),
        },
        (None, true, Some(at)) => time::until(now, at),
        (None, true, None) => "-".to_owned(),
    }
}

/// The deliveries that wait, and behind them how many are skipped where there is room; dead ones stand out, because a
/// green badge must not hide them.
pub fn waiting(it: &Integration, width: usize, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = vec![theme.span(Role::Quiet, format!("{:<8}", "waiting"))];
    let parts = [
        (it.dead.to_string(), "dead", Role::Bad),
        (counted(it.held), "held", Role::Plain),
        (counted(it.pending), "pending", Role::Plain),
    ];
    for (count, word, role) in parts.into_iter().filter(|(count, ..)| count != "0") {
        let gap = if spans.len() > 1 { ", " } else { "" };
        spans.extend([Span::raw(gap), theme.span(role, format!("{count} {word}"))]);
    }
    if spans.len() == 1 {
        spans.push(Span::raw("nothing"));
    }
    if let Some(text) = skips(it).filter(|text| line_width(&spans) + 2 + text.len() <= width) {
        spans.push(theme.span(Role::Quiet, format!("; {text}")));
    }
    spans
}

/// Whether these words of what waits have room for how many are skipped.
pub(super) fn tells_skips(waiting: &[Span<'_>]) -> bool {
    waiting.iter().any(|span| span.content.ends_with(" skipped"))
}

/// How many are skipped, in words; none if nothing is, or that is not known yet.
pub(super) fn skips(it: &Integration) -> Option<String> {
    skipped(it).filter(|count| *count > 0).map(|count| format!("{count} skipped"))
}
