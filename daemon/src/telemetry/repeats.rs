//! Holds back log lines that repeat: a database that is away or full would otherwise write one for each post.
//!
//! A place in the code may log some lines at once and then one every few seconds; how many were left out is reported.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// How many lines a place may log at once.
const BURST: u32 = 2;
/// How long it takes until it may log one more.
const EVERY: Duration = Duration::from_secs(10);
/// What the report itself is logged under.
const REPORT: &str = "leadlined::log";
/// What is told under these is held back by whoever tells it: by clients, of which a place in the code knows nothing.
const HELD_BACK_BEFORE: [&str; 2] = [REPORT, super::SECURITY];

/// What each place in the code has logged lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<HashMap<Identifier, CallSite>>>);

#[derive(Debug)]
struct CallSite {
    /// How many lines it may log now.
    room: u32,
    /// When it last got room for one more.
    since: Instant,
    left_out: u64,
    /// What the first line that was left out said.
    message: String,
}

impl CallSite {
    fn new(now: Instant) -> Self {
        Self { room: BURST, since: now, left_out: 0, message: String::new() }
    }

    /// Whether it may log a line now.
    fn admits(&mut self, now: Instant) -> bool {
        while self.room < BURST && now.duration_since(self.since) >= EVERY {
            self.room += 1;
            self.since += EVERY;
        }
        if self.room == BURST {
            self.since = now;
        }
        let admits = self.room > 0;
        self.room = self.room.saturating_sub(1);
        admits
    }
}

impl Repeats {
    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        // What is done is worth a line each time, and whoever asks for more than is usual wants all of it.
        if *metadata.level() > Level::WARN || HELD_BACK_BEFORE.contains(&metadata.target()) {
            return true;
        }
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(metadata.callsite()).or_insert_with(|| CallSite::new(now));
        let admits = place.admits(now);
        if !admits {
            if place.left_out == 0 {
                event.record(&mut MessageText(&mut place.message));
            }
            place.left_out += 1;
        }
        admits
    }

    /// Reports what was left out, each place at most once in a while.
    pub(super) fn report(&self, now: Instant) {
        let mut reports = Vec::new();
        {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for place in places.values_mut() {
                if place.left_out > 0 && now.duration_since(place.since) >= EVERY {
                    reports.push((std::mem::take(&mut place.left_out), std::mem::take(&mut place.message)));
                }
            }
        }
        for (lines, message) in reports {
            metrics::counter!("leadline_log_lines_repeated_total").increment(lines);
            tracing::warn!(target: REPORT, event = "log_lines_repeated", lines, like = message, "lines that repeat were left out");
        }
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event, Instant::now())
    }
}

/// Reads the message of an event.
struct MessageText<'a>(&'a mut String);

impl Visit for MessageText<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_place_has_room_for_some_lines_and_then_for_one_every_few_seconds() {
        let start = Instant::now();
        let mut place = CallSite::new(start);
        let mut passed = 0;
        for tenth in 0..600 {
            if place.admits(start + Duration::from_millis(100) * tenth) {
                passed += 1;
            }
        }
        assert_eq!(passed, 2 + 5, "600 lines in a minute");
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| place.admits(later)).count(), 2, "a quiet hour gives all room back");
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        let (repeats, lines) = (Repeats::default(), Captured::default());
        let written = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || written.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(layer).with(repeats.clone());
        tracing::subscriber::with_default(subscriber, || {
            for post in 0..100 {
                tracing::warn!(post, "the database is full");
                tracing::debug!("asked for");
            }
            repeats.report(Instant::now());
            repeats.report(Instant::now() + EVERY);
            repeats.report(Instant::now() + EVERY);
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.matches("the database is full").count(), 3, "{lines}");
        assert_eq!(lines.matches("asked for").count(), 100);
        let report = "lines that repeat were left out event=\"log_lines_repeated\" lines=98 like=\"the database is full\"";
        assert!(lines.contains(report), "{lines}");
    }

    #[test]
    fn what_many_clients_try_is_a_line_for_each() {
        use crate::doors::security::{Attempted, AttemptedBy, Security};
        let written = Captured::default();
        let to = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || to.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(layer).with(Repeats::default());
        tracing::subscriber::with_default(subscriber, || {
            let security = Security::default();
            for n in 1..=9 {
                let (client, by) = (std::net::IpAddr::from([203, 0, 113, n]), AttemptedBy::default());
                security.note(Attempted::WrongKey, client, by.clone());
                security.note(Attempted::WrongKey, client, by);
            }
        });
        let lines = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        for n in 1..=9 {
            assert_eq!(lines.matches(&format!("client=203.0.113.{n} ")).count(), 1, "{lines}");
        }
    }

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
