//! The domain's words as the API's enums, and back. Pure.

use std::fmt::Display;

use leadline_proto::v1;

use super::check;
use crate::{
    connectors::config::SettingKind,
    domain::{
        badge::Badge,
        breaker::BreakerState,
        delivery::{LeadState, State},
        fanout::Routing,
        import::DateOrder,
        integration::EventKind,
        lane::Wait,
        outcome::FailureClass,
        payload,
        plan::Plan,
        role::Role,
        rotation::Rotation,
        signing::SignatureKind,
        why::NextAct,
    },
    store::{bounded::ListPage, operator::command::Refusal},
};

/// A value of the domain as the API's value of the same word.
macro_rules! reported {
    ($($name:ident: $domain:ty => $api:ident;)*) => {$(
        pub(super) fn $name(value: $domain) -> v1::$api {
            v1::$api::from_word(value.as_str()).unwrap_or_default()
        }
    )*};
}

reported! {
    event: EventKind => Event;
    badge: Badge => Badge;
    breaker_state: BreakerState => BreakerState;
    delivery_state: State => DeliveryState;
    failure_class: FailureClass => FailureClass;
    field_kind: SettingKind => ConfigFieldKind;
    lane_wait: Wait => LaneWait;
    lead_state: LeadState => LeadState;
    next_act: NextAct => NextAct;
    plan: Plan => Plan;
    role: Role => Role;
    rotation: Rotation => Rotation;
}

/// What a request names, as the domain's value of the same word; none for what is unspecified.
macro_rules! read {
    ($($name:ident: $what:literal $api:ident => $domain:ty, $parse:expr;)*) => {$(
        pub(super) fn $name(number: i32) -> Result<Option<$domain>, Refusal> {
            let value = v1::$api::try_from(number).ok();
            if value == Some(v1::$api::Unspecified) {
                return Ok(None);
            }
            let known = value.and_then(|value| $parse(value.word()));
            known.map(Some).ok_or_else(|| unknown($what, number, stringify!($api)))
        }
    )*};
}

read! {
    read_date_order: "date_order" DateOrder => DateOrder, |word| DateOrder::parse(word).flatten();
    read_event: "event" Event => EventKind, EventKind::parse;
    read_failure_class: "failure class" FailureClass => FailureClass, FailureClass::parse;
    read_lead_state: "state" LeadState => LeadState, |word| named(&LeadState::ALL, LeadState::as_str, word);
    read_payload: "payload" Payload => &'static str, |word| payload::find(word).map(|payload| payload.name);
    read_plan: "plan" Plan => Plan, Plan::parse;
    read_routing: "routing" Routing => Routing, Routing::parse;
    read_signature: "signature" SignatureKind => SignatureKind, SignatureKind::parse;
    read_delivery_state: "state" DeliveryState => State, State::parse;
    read_badge: "badge" Badge => Badge, |word| named(&Badge::ALL, Badge::as_str, word);
    read_attempt_state: "state" AttemptState => v1::AttemptState, v1::AttemptState::from_word;
    read_held: "held" HeldChoice => v1::HeldChoice, v1::HeldChoice::from_word;
}

fn unknown(what: &str, number: i32, of: &str) -> Refusal {
    Refusal::Invalid(format!("{what} {number}: use a value of {of}"))
}

fn named<T: Copy>(all: &[T], word_of: impl Fn(T) -> &'static str, word: &str) -> Option<T> {
    all.iter().copied().find(|value| word_of(*value) == word)
}

/// Each value of a list, of which none may be unspecified.
fn each<T>(
    numbers: &[i32],
    read: impl Fn(i32) -> Result<Option<T>, Refusal>,
    (what, of): (&str, &str),
) -> Result<Vec<T>, Refusal> {
    numbers.iter().map(|number| read(*number)?.ok_or_else(|| unknown(what, *number, of))).collect()
}

/// Why a delivery stands where it does; unspecified for none, and for one that only a newer daemon knows.
pub(super) fn delivery_reason(code: Option<&str>) -> v1::DeliveryReason {
    code.and_then(v1::DeliveryReason::from_word).unwrap_or_default()
}

/// The classes that a request asks for; none for any.
pub(super) fn read_failure_classes(classes: &[i32]) -> Result<Vec<FailureClass>, Refusal> {
    each(classes, read_failure_class, ("failure class", "FailureClass"))
}

/// The badges that a request asks for; none for any.
pub(super) fn read_badges(badges: &[i32]) -> Result<Vec<Badge>, Refusal> {
    each(badges, read_badge, ("badge", "Badge"))
}

/// The states of deliveries that a request asks for; none for any.
pub(super) fn read_delivery_states(states: &[i32]) -> Result<Vec<State>, Refusal> {
    each(states, read_delivery_state, ("state", "DeliveryState"))
}

/// The states of attempts that a request asks for.
pub(super) fn read_attempt_states(states: &[i32]) -> Result<Vec<v1::AttemptState>, Refusal> {
    each(states, read_attempt_state, ("state", "AttemptState"))
}

/// The token of the page behind a full one: the id of its last row.
pub(super) fn next_page<T>(rows: &[T], limit: i64, id: impl Fn(&T) -> String) -> String {
    match rows.last() {
        Some(last) if i64::try_from(rows.len()).is_ok_and(|count| count >= limit) => id(last),
        _ => String::new(),
    }
}

/// The token of what lies behind a page that may have stopped before it was full.
pub(super) fn next_of<T, P: Display>(page: &ListPage<T, P>, limit: i64, place: impl Fn(&T) -> P) -> String {
    match &page.stopped {
        Some(place) => place.to_string(),
        None => next_page(&page.rows, limit, |row| place(row).to_string()),
    }
}

/// A span of the API.
pub(super) fn duration(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

/// A span of so many seconds; one that is none counts as the longest.
pub(super) fn seconds(seconds: f64) -> prost_types::Duration {
    duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or(std::time::Duration::MAX))
}

/// A span of so many milliseconds.
pub(super) fn millis(millis: u32) -> prost_types::Duration {
    duration(std::time::Duration::from_millis(millis.into()))
}

/// A span that a request names, at most a year.
pub(super) fn read_duration(
    field: &str,
    span: Option<&prost_types::Duration>,
) -> Result<Option<std::time::Duration>, Refusal> {
    const YEAR: i64 = 366 * 24 * 60 * 60;
    span.map(|span| match (u64::try_from(span.seconds), u32::try_from(span.nanos)) {
        (Ok(seconds), Ok(nanos)) if span.seconds <= YEAR && nanos < 1_000_000_000 => {
            Ok(std::time::Duration::new(seconds, nanos))
        }
        _ => check::invalid(format!("{field}: give a span of 0 seconds to 366 days")),
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        delivery::{Reason, Trigger},
        job::{JobKind, JobState},
        notice::{Notice, NoticeState},
        why::Waiting,
    };

    #[test]
    fn every_word_has_a_value_and_comes_back() {
        let all = FailureClass::ALL.map(|class| failure_class(class) as i32);
        assert_eq!(read_failure_classes(&all).unwrap(), FailureClass::ALL);
        let all = State::ALL.map(|state| delivery_state(state) as i32);
        assert_eq!(read_delivery_states(&all).unwrap(), State::ALL);
        let all = Badge::ALL.map(|it| badge(it) as i32);
        assert_eq!(read_badges(&all).unwrap(), Badge::ALL);
        for state in LeadState::ALL {
            assert_eq!(read_lead_state(lead_state(state) as i32).unwrap(), Some(state));
        }
        for it in Plan::ALL {
            assert_eq!(read_plan(plan(it) as i32).unwrap(), Some(it));
        }
        for it in [Routing::All, Routing::Flows] {
            assert_eq!(read_routing(v1::Routing::from_word(it.as_str()).unwrap() as i32).unwrap(), Some(it));
        }
        for it in [SignatureKind::Any, SignatureKind::Standard, SignatureKind::Simple] {
            assert_eq!(
                read_signature(v1::SignatureKind::from_word(it.as_str()).unwrap() as i32).unwrap(),
                Some(it)
            );
        }
        for kind in [EventKind::Created, EventKind::Updated, EventKind::Test] {
            assert_eq!(read_event(event(kind) as i32).unwrap(), Some(kind));
        }
        for it in v1::DateOrder::ALL {
            assert!(read_date_order(*it as i32).unwrap().is_some());
        }
        for it in v1::Payload::ALL {
            assert_eq!(read_payload(*it as i32).unwrap(), Some(it.word()));
        }
        assert_eq!(read_lead_state(0).unwrap(), None);
    }

    #[test]
    fn what_is_only_answered_has_a_value_too() {
        let told: [i32; 15] = [
            breaker_state(BreakerState::Closed).into(),
            breaker_state(BreakerState::Open).into(),
            breaker_state(BreakerState::HalfOpen).into(),
            field_kind(SettingKind::Integer).into(),
            field_kind(SettingKind::Object).into(),
            lane_wait(Wait::Breaker).into(),
            lane_wait(Wait::Concurrency).into(),
            lane_wait(Wait::CutOver).into(),
            lane_wait(Wait::Disabled).into(),
            lane_wait(Wait::Paused).into(),
            lane_wait(Wait::Rate).into(),
            lane_wait(Wait::Throttled).into(),
            rotation(Rotation::Grace).into(),
            rotation(Rotation::None).into(),
            rotation(Rotation::Staged).into(),
        ];
        assert!(!told.contains(&0), "{told:?}");
        // What rows are shown with goes by its word alone.
        let triggers = [Trigger::First, Trigger::Retry, Trigger::Sweep, Trigger::Manual, Trigger::Test];
        assert!(triggers.iter().all(|it| v1::AttemptTrigger::from_word(it.as_str()).is_some()));
        let kinds = [JobKind::Push, JobKind::Retry, JobKind::Skip];
        assert!(kinds.iter().all(|it| v1::JobKind::from_word(it.as_str()).is_some()));
        let states = [JobState::Cancelled, JobState::Done, JobState::Running];
        assert!(states.iter().all(|it| v1::JobState::from_word(it.as_str()).is_some()));
        assert!(Notice::ALL.iter().all(|it| v1::NoticeEvent::from_word(it.as_str()).is_some()));
        assert!(NoticeState::ALL.iter().all(|it| v1::NoticeState::from_word(it.as_str()).is_some()));
        assert!(
            [Routing::All, Routing::Flows].iter().all(|it| v1::Routing::from_word(it.as_str()).is_some())
        );
        let signatures = [SignatureKind::Any, SignatureKind::Standard, SignatureKind::Simple];
        assert!(signatures.iter().all(|it| v1::SignatureKind::from_word(it.as_str()).is_some()));
    }

    #[test]
    fn every_reason_of_a_delivery_has_its_value() {
        let codes = Reason::CODES.into_iter().chain(Waiting::CODES);
        let told: Vec<v1::DeliveryReason> = codes.map(|code| delivery_reason(Some(code))).collect();
        assert!(v1::DeliveryReason::ALL.iter().all(|it| told.contains(it)), "{told:?}");
        assert!(!told.contains(&v1::DeliveryReason::Unspecified), "{told:?}");
        assert_eq!(delivery_reason(Some("embargo")), v1::DeliveryReason::Unspecified);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let refused = |refusal: Refusal| refusal.to_string();
        assert_eq!(
            refused(read_failure_classes(&[9]).unwrap_err()),
            "failure class 9: use a value of FailureClass"
        );
        assert_eq!(refused(read_lead_state(9).unwrap_err()), "state 9: use a value of LeadState");
        assert_eq!(refused(read_badges(&[9]).unwrap_err()), "badge 9: use a value of Badge");
        assert_eq!(refused(read_attempt_states(&[0]).unwrap_err()), "state 0: use a value of AttemptState");
        let long = prost_types::Duration { seconds: 400 * 24 * 60 * 60, nanos: 0 };
        assert_eq!(
            refused(read_duration("span", Some(&long)).unwrap_err()),
            "span: give a span of 0 seconds to 366 days"
        );
    }

    #[test]
    fn spans_keep_their_fractions() {
        assert_eq!(millis(1500), prost_types::Duration { seconds: 1, nanos: 500_000_000 });
        assert_eq!(seconds(0.5), millis(500));
        assert_eq!(seconds(f64::INFINITY).seconds, i64::MAX);
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let id = |row: &i32| row.to_string();
        assert_eq!(next_page(&[1, 2], 2, id), "2");
        assert_eq!(next_page(&[1, 2], 3, id), "");
        assert_eq!(next_page(&[], 3, id), "");
        let stopped = ListPage { rows: vec![1], stopped: Some(7) };
        assert_eq!(next_of(&stopped, 3, |row| *row), "7", "what lies behind was not looked at");
        assert_eq!(next_of(&ListPage { rows: vec![1], stopped: None }, 1, |row| *row), "1");
    }
}
