//! What somebody tries who should not: counted, logged with the client's address or user and without anybody's data, and slowed
//! down. A flood of it writes few lines.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::telemetry;

/// How long a client's repeats of one thing are only counted.
const QUIET: Duration = Duration::from_secs(10);
/// The most lines in that time, of all clients together.
const LINES_MAX: usize = 20;
/// So many clients are remembered, and no more.
const CLIENTS_CAP: usize = 10_000;
/// How often room is made among them at most: it takes a look at each.
const CLEANED_EVERY: Duration = Duration::from_secs(1);
/// How many wrong things of a kind cost a client nothing: somebody tries an old key.
const FREE: f64 = 10.0;
/// From how many on what it shows is not even looked up.
const MANY: f64 = 60.0;
/// How many are forgotten in a second.
const FORGOTTEN: f64 = 1.0;
/// How long an answer waits that a client has had too many of.
const SLOWED: Duration = Duration::from_secs(1);

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempted {
    WrongKey,
    WrongSignature,
    ReadWithoutRight,
    ForeignOrigin,
    UnknownForm,
    NoToken,
    WrongToken,
    ForeignUser,
    BeyondRole,
    ForeignCompany,
    MaskedPeople,
    ForeignCertificate,
}

impl Attempted {
    /// All of them, for the catalogue of metrics.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::WrongKey,
        Self::WrongSignature,
        Self::ReadWithoutRight,
        Self::ForeignOrigin,
        Self::UnknownForm,
        Self::NoToken,
        Self::WrongToken,
        Self::ForeignUser,
        Self::BeyondRole,
        Self::ForeignCompany,
        Self::MaskedPeople,
        Self::ForeignCertificate,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::WrongKey => "wrong intake key",
            Self::WrongSignature => "missing or wrong signature",
            Self::ReadWithoutRight => "read with a key that may not read",
            Self::ForeignOrigin => "page of another origin",
            Self::UnknownForm => "unknown form",
            Self::NoToken => "control call without a token",
            Self::WrongToken => "wrong control token",
            Self::ForeignUser => "control call by a user who is no operator",
            Self::BeyondRole => "control call beyond its role",
            Self::ForeignCompany => "control call beyond its company",
            Self::MaskedPeople => "control call for people who are masked",
            Self::ForeignCertificate => "missing or foreign client certificate",
        }
    }
}

/// Who tried it, as far as what was shown tells: ids as people read them, never a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptedBy {
    /// What a wrong key says itself, or the only one that a token opens.
    pub company: Option<i64>,
    /// An intake key or form that there is.
    pub key: Option<String>,
    /// A token that there is or was.
    pub token: Option<String>,
    /// A user of the machine.
    pub uid: Option<u32>,
}

/// What becomes of a client's next key, token or form that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It is answered at once.
    Full,
    /// Its answer waits.
    Short(Duration),
    /// It is not even looked up.
    None,
}

/// What was tried lately.
#[derive(Debug, Default)]
pub struct Security(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    seen: HashMap<Attempt, Seen>,
    /// Each kind apart: who guesses keys keeps nobody behind the same address from a form.
    wrong: HashMap<(Attempted, IpAddr), Wrong>,
    lines: usize,
    lines_since: Option<Instant>,
    cleaned: Option<Instant>,
}

/// How many wrong things of a kind a client showed that were not forgotten at a moment.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    level: f64,
    at: Instant,
}

impl Wrong {
    fn level(self, now: Instant) -> f64 {
        (self.level - now.saturating_duration_since(self.at).as_secs_f64() * FORGOTTEN).max(0.0)
    }
}

/// What counts as the same thing again: what a key says of itself does not make it another.
type Attempt = (Option<IpAddr>, Attempted, Option<String>, Option<String>, Option<u32>);

#[derive(Debug)]
struct Seen {
    reported: Instant,
    since: u64,
}

impl Security {
    /// Notes that a client tried something; on the socket it has no address.
    pub fn note(&self, what: Attempted, client: impl Into<Option<IpAddr>>, by: AttemptedBy) {
        metrics::counter!("leadline_security_total", "what" => what.as_str()).increment(1);
        let client = client.into();
        let AttemptedBy { company, key, token, uid } = by;
        let attempt = (client, what, key.clone(), token.clone(), uid);
        if let Some(times) = self.lately(|lately| lately.note(attempt, Instant::now())) {
            let client = client.map_or_else(|| "socket".to_owned(), |client| client.to_string());
            tracing::warn!(
                target: telemetry::SECURITY, event = "security_attempt", %client, company, key, token, uid, times, "{}",
                what.as_str()
            );
        }
    }

    /// Notes a wrong key, token or form, and says how patient to be with the client's next from now on.
    pub fn wrong(&self, what: Attempted, client: IpAddr, by: AttemptedBy) -> Patience {
        self.note(what, client, by);
        self.lately(|lately| {
            let now = Instant::now();
            patience(lately.wrong(what, client, now))
        })
    }

    /// How patient to be with what a client shows of a kind.
    pub fn patience(&self, what: Attempted, client: IpAddr) -> Patience {
        self.lately(|lately| patience(lately.level(what, client, Instant::now())))
    }

    fn lately<T>(&self, look: impl FnOnce(&mut Lately) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn patience(level: f64) -> Patience {
    match level {
        ..=FREE => Patience::Full,
        ..=MANY => Patience::Short(SLOWED),
        _ => Patience::None,
    }
}

impl Lately {
    /// How often it happened since the last line, if there is to be one now.
    fn note(&mut self, attempt: Attempt, now: Instant) -> Option<u64> {
        self.make_room(now);
        if self.lines_since.is_none_or(|since| now.duration_since(since) >= QUIET) {
            (self.lines, self.lines_since) = (0, Some(now));
        }
        let is_full = self.lines >= LINES_MAX;
        let is_crowded = self.seen.len() >= CLIENTS_CAP;
        match self.seen.get_mut(&attempt) {
            Some(seen) if is_full || now.duration_since(seen.reported) < QUIET => {
                seen.since += 1;
                return None;
            }
            None if is_full || is_crowded => return None,
            _ => {}
        }
        self.lines += 1;
        let before = self.seen.insert(attempt, Seen { reported: now, since: 0 });
        Some(1 + before.map_or(0, |seen| seen.since))
    }

    /// Counts something wrong of a client's, and tells how much it has had by now. What is refused without a look costs
    /// nothing more: else a flood would shut its address for as many seconds as it had keys. One for which there is no
    /// room begins anew each time: with so many of them none of them gets far.
    fn wrong(&mut self, what: Attempted, client: IpAddr, now: Instant) -> f64 {
        self.make_room(now);
        let before = self.level(what, client, now);
        let level = if before > MANY { before } else { before + 1.0 };
        if self.wrong.len() < CLIENTS_CAP || self.wrong.contains_key(&(what, client)) {
            self.wrong.insert((what, client), Wrong { level, at: now });
        }
        level
    }

    /// How much of what was wrong of a client's is not forgotten yet.
    fn level(&self, what: Attempted, client: IpAddr, now: Instant) -> f64 {
        self.wrong.get(&(what, client)).map_or(0.0, |seen| seen.level(now))
    }

    /// Forgets clients that tried nothing lately, where there are too many. Each look is at all of them, so that it must
    /// not come with each request of a flood.
    fn make_room(&mut self, now: Instant) {
        let is_full = self.seen.len() >= CLIENTS_CAP || self.wrong.len() >= CLIENTS_CAP;
        if !is_full || self.cleaned.is_some_and(|at| now.saturating_duration_since(at) < CLEANED_EVERY) {
            return;
        }
        self.cleaned = Some(now);
        self.seen.retain(|_, seen| now.saturating_duration_since(seen.reported) < QUIET);
        self.wrong.retain(|_, seen| seen.level(now) > 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, n])
    }

    #[test]
    fn a_flood_writes_few_lines_and_they_count_it() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let tried = |n| (Some(client(n)), Attempted::WrongKey, None, None, None);
        assert_eq!(lately.note(tried(1), start), Some(1));
        for _ in 0..1500 {
            assert_eq!(lately.note(tried(1), start), None);
        }
        let unsigned =
            |key: &str| (Some(client(1)), Attempted::WrongSignature, Some(key.to_owned()), None, None);
        assert_eq!(lately.note(unsigned("one"), start), Some(1), "another thing");
        assert_eq!(lately.note(unsigned("other"), start), Some(1), "another key");
        assert_eq!(lately.note(unsigned("one"), start), None);
        let lines = (2..200).filter(|n| lately.note(tried(*n), start).is_some()).count();
        assert_eq!(lines, LINES_MAX - 3);
        assert_eq!(lately.note(tried(1), start + QUIET), Some(1501));
    }

    #[test]
    fn wrong_keys_use_up_the_patience_and_time_brings_it_back() {
        let security = Security::default();
        let mut seen = Vec::new();
        for _ in 0..70 {
            seen.push(security.wrong(Attempted::WrongKey, client(1), AttemptedBy::default()));
        }
        assert_eq!(seen[0], Patience::Full);
        assert_eq!(seen[20], Patience::Short(SLOWED));
        assert_eq!(seen[69], Patience::None);
        assert_eq!(security.patience(Attempted::WrongKey, client(1)), Patience::None);
        assert_eq!(security.patience(Attempted::WrongKey, client(2)), Patience::Full);
        assert_eq!(security.patience(Attempted::UnknownForm, client(1)), Patience::Full, "a debt of its own");
        let later = Instant::now() + Duration::from_secs(90);
        let level = security.lately(|lately| lately.level(Attempted::WrongKey, client(1), later));
        assert_eq!(patience(level), Patience::Full);
    }

    #[test]
    fn a_flood_shuts_its_address_no_longer_than_its_answers_say() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..1000 {
            lately.wrong(Attempted::WrongKey, client(1), start);
        }
        assert_eq!(patience(lately.level(Attempted::WrongKey, client(1), start)), Patience::None);
        assert!(lately.level(Attempted::WrongKey, client(1), after(11)) <= MANY);
        // While it goes on, one a second is looked up.
        let mut looked_up = 0;
        for second in 1..=100 {
            for _ in 0..50 {
                let level = lately.level(Attempted::WrongKey, client(1), after(second));
                looked_up += usize::from(patience(level) != Patience::None);
                lately.wrong(Attempted::WrongKey, client(1), after(second));
            }
        }
        assert_eq!(looked_up, 100);
    }

    #[test]
    fn so_many_clients_are_remembered_and_room_is_made_once_a_second() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let of = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
        let wrong = |lately: &mut Lately, n, at| lately.wrong(Attempted::WrongKey, of(n), at);
        let cap = u32::try_from(CLIENTS_CAP).unwrap();
        for n in 0..2 * cap {
            assert!((wrong(&mut lately, n, start) - 1.0).abs() < f64::EPSILON);
            lately.note((Some(of(n)), Attempted::WrongKey, None, None, None), start);
        }
        assert_eq!(lately.wrong.len(), CLIENTS_CAP);
        assert!(lately.seen.len() <= CLIENTS_CAP);
        // Who is known is counted on, whoever else comes.
        assert!(wrong(&mut lately, 0, start) > 1.5);
        assert!(wrong(&mut lately, 2 * cap, start) < 1.5);
        // All but the first one have been forgotten, but somebody has looked a moment ago.
        let later = start + Duration::from_millis(1100);
        lately.cleaned = Some(later);
        wrong(&mut lately, 2 * cap, later);
        assert_eq!(lately.wrong.len(), CLIENTS_CAP);
        wrong(&mut lately, 2 * cap, later + CLEANED_EVERY);
        assert_eq!(lately.wrong.len(), 1, "the one that came");
    }

    #[test]
    fn what_was_tried_is_named_in_log_and_metric() {
        for (what, name) in [
            (Attempted::WrongKey, "wrong intake key"),
            (Attempted::WrongSignature, "missing or wrong signature"),
            (Attempted::ReadWithoutRight, "read with a key that may not read"),
            (Attempted::ForeignOrigin, "page of another origin"),
            (Attempted::UnknownForm, "unknown form"),
            (Attempted::NoToken, "control call without a token"),
            (Attempted::WrongToken, "wrong control token"),
            (Attempted::ForeignUser, "control call by a user who is no operator"),
            (Attempted::BeyondRole, "control call beyond its role"),
            (Attempted::ForeignCompany, "control call beyond its company"),
            (Attempted::MaskedPeople, "control call for people who are masked"),
            (Attempted::ForeignCertificate, "missing or foreign client certificate"),
        ] {
            assert_eq!(what.as_str(), name);
        }
    }
}
