//! The store's words as the API's enums, and back. Pure.

use leadline_proto::v1;

use super::check;
use crate::{
    domain::{badge::Badge, delivery::LeadState, outcome::FailureClass, role::Role},
    store::operator::command::Refusal,
};

/// The state of a lead.
pub(super) const fn lead_state(state: LeadState) -> v1::LeadState {
    match state {
        LeadState::Unsynced => v1::LeadState::Unsynced,
        LeadState::Pushed => v1::LeadState::Pushed,
        LeadState::Complete => v1::LeadState::Complete,
    }
}

/// The state of a lead that a request asks for; none for any.
pub(super) fn read_lead_state(state: i32) -> Result<Option<LeadState>, Refusal> {
    match v1::LeadState::try_from(state) {
        Ok(v1::LeadState::Unspecified) => Ok(None),
        Ok(v1::LeadState::Unsynced) => Ok(Some(LeadState::Unsynced)),
        Ok(v1::LeadState::Pushed) => Ok(Some(LeadState::Pushed)),
        Ok(v1::LeadState::Complete) => Ok(Some(LeadState::Complete)),
        Err(_) => check::invalid(format!("state {state}: use a value of LeadState")),
    }
}

/// A caller's role.
pub(super) const fn role(role: Role) -> v1::Role {
    match role {
        Role::Viewer => v1::Role::Viewer,
        Role::Operator => v1::Role::Operator,
        Role::Admin => v1::Role::Admin,
    }
}

/// The class of a failure.
pub(super) const fn failure_class(class: FailureClass) -> v1::FailureClass {
    match class {
        FailureClass::Mapping => v1::FailureClass::Mapping,
        FailureClass::Blocked => v1::FailureClass::Blocked,
        FailureClass::Throttled => v1::FailureClass::Throttled,
        FailureClass::Transient => v1::FailureClass::Transient,
        FailureClass::Credentials => v1::FailureClass::Credentials,
        FailureClass::Rejected => v1::FailureClass::Rejected,
        FailureClass::Unknown => v1::FailureClass::Unknown,
    }
}

/// The classes that a request asks for; none for any.
pub(super) fn read_failure_classes(classes: &[i32]) -> Result<Vec<FailureClass>, Refusal> {
    let class = |word: &i32| {
        let known = FailureClass::ALL.into_iter().find(|class| failure_class(*class) as i32 == *word);
        known.ok_or_else(|| Refusal::Invalid(format!("failure class {word}: use a value of FailureClass")))
    };
    classes.iter().map(class).collect()
}

/// The badges that a request asks for; none for any.
pub(super) fn read_badges(badges: &[i32]) -> Result<Vec<Badge>, Refusal> {
    let badge = |word: &i32| match v1::Badge::try_from(*word) {
        Ok(v1::Badge::Disabled) => Ok(Badge::Disabled),
        Ok(v1::Badge::Credentials) => Ok(Badge::Credentials),
        Ok(v1::Badge::Failing) => Ok(Badge::Failing),
        Ok(v1::Badge::Retrying) => Ok(Badge::Retrying),
        Ok(v1::Badge::Ok) => Ok(Badge::Ok),
        Ok(v1::Badge::Unspecified) | Err(_) => check::invalid(format!("badge {word}: use a value of Badge")),
    };
    badges.iter().map(badge).collect()
}

/// The states of attempts that a request asks for.
pub(super) fn read_attempt_states(states: &[i32]) -> Result<Vec<v1::AttemptState>, Refusal> {
    let state = |word: &i32| match v1::AttemptState::try_from(*word) {
        Ok(v1::AttemptState::Unspecified) | Err(_) => {
            check::invalid(format!("state {word}: use a value of AttemptState"))
        }
        Ok(state) => Ok(state),
    };
    states.iter().map(state).collect()
}

/// A page of this size; 0 means 50.
pub(super) fn page_size(size: u32) -> Result<i64, Refusal> {
    match size {
        0 => Ok(50),
        size @ 1..=1000 => Ok(size.into()),
        size => {
            check::invalid(format!("page_size {size}: at most 1000; take the next page with `page_token`"))
        }
    }
}

/// The token of the page behind a full one: the id of its last row.
pub(super) fn next_page<T>(rows: &[T], limit: i64, id: impl Fn(&T) -> String) -> String {
    match rows.last() {
        Some(last) if i64::try_from(rows.len()).is_ok_and(|count| count >= limit) => id(last),
        _ => String::new(),
    }
}

/// A span of the API.
pub(super) fn duration(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
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

    #[test]
    fn every_class_has_a_value_and_comes_back() {
        let all = FailureClass::ALL.map(|class| failure_class(class) as i32);
        assert_eq!(read_failure_classes(&all).unwrap(), FailureClass::ALL);
        for state in LeadState::ALL {
            assert_eq!(read_lead_state(lead_state(state) as i32).unwrap(), Some(state));
        }
        assert_eq!(read_lead_state(0).unwrap(), None);
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
        assert_eq!(read_badges(&[3, 5]).unwrap(), [Badge::Failing, Badge::Ok]);
        assert_eq!(refused(read_attempt_states(&[0]).unwrap_err()), "state 0: use a value of AttemptState");
        assert_eq!(
            refused(page_size(1001).unwrap_err()),
            "page_size 1001: at most 1000; take the next page with `page_token`"
        );
        let long = prost_types::Duration { seconds: 400 * 24 * 60 * 60, nanos: 0 };
        assert_eq!(
            refused(read_duration("span", Some(&long)).unwrap_err()),
            "span: give a span of 0 seconds to 366 days"
        );
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let id = |row: &i32| row.to_string();
        assert_eq!(next_page(&[1, 2], 2, id), "2");
        assert_eq!(next_page(&[1, 2], 3, id), "");
        assert_eq!(next_page(&[], 3, id), "");
    }
}
