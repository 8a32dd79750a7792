//! Notices: what operators should hear of, as events about no lead. Each change is told once.

use std::{borrow::Cow, time::Duration};

use serde_json::{Value, json};

use super::{badge::Badge, delivery::gap, outcome::FailureClass};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    IntegrationFailing,
    IntegrationRecovered,
    CredentialsRefused,
    /// The grace of an old secret ends.
    SecretExpiring,
    /// No lead came for as long as the company says.
    NoLeads,
    LeadsAgain,
}

/// How long a notice is tried again.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// The gaps after the automatic retries; the last one repeats.
const LATER: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];

impl Notice {
    /// Every notice.
    pub const ALL: [Self; 6] = [
        Self::IntegrationFailing,
        Self::IntegrationRecovered,
        Self::CredentialsRefused,
        Self::SecretExpiring,
        Self::NoLeads,
        Self::LeadsAgain,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntegrationFailing => "notice.integration_failing",
            Self::IntegrationRecovered => "notice.integration_recovered",
            Self::CredentialsRefused => "notice.credentials_refused",
            Self::SecretExpiring => "notice.secret_expiring",
            Self::NoLeads => "notice.no_leads",
            Self::LeadsAgain => "notice.leads_again",
        }
    }

    /// The notice of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == word)
    }
}

/// What of a subject is watched, and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// An integration's health.
    Health(Badge),
    /// Which version of its signing secret stops being good soon.
    Secret(Option<i32>),
    /// Whether a company's leads have stopped to come in.
    Leads { is_quiet: bool },
}

impl Aspect {
    /// The state of an aspect of which nothing is to be told.
    pub const OK: &'static str = "ok";

    /// The health of an integration that is enabled; what is tried again is no news.
    #[must_use]
    pub fn health(last_class: Option<FailureClass>, failing: bool) -> Self {
        Self::Health(Badge::of(true, last_class, failing, false))
    }

    /// The word that is kept of what is watched.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Health(_) => "health",
            Self::Secret(_) => "secret",
            Self::Leads { .. } => "leads",
        }
    }

    /// The word that is kept of how it stands: another one than what was told last is news.
    #[must_use]
    pub fn state(self) -> Cow<'static, str> {
        match self {
            Self::Health(badge @ (Badge::Credentials | Badge::Failing)) => badge.as_str().into(),
            Self::Secret(Some(version)) => format!("version {version}").into(),
            Self::Leads { is_quiet: true } => "quiet".into(),
            Self::Health(_) | Self::Secret(None) | Self::Leads { is_quiet: false } => Self::OK.into(),
        }
    }

    /// What is told when it has come to stand so; none if nobody need hear of it.
    #[must_use]
    pub const fn notice(self) -> Option<Notice> {
        match self {
            Self::Health(Badge::Credentials) => Some(Notice::CredentialsRefused),
            Self::Health(Badge::Failing) => Some(Notice::IntegrationFailing),
            Self::Health(_) => Some(Notice::IntegrationRecovered),
            Self::Secret(Some(_)) => Some(Notice::SecretExpiring),
            Self::Secret(None) => None,
            Self::Leads { is_quiet: true } => Some(Notice::NoLeads),
            Self::Leads { is_quiet: false } => Some(Notice::LeadsAgain),
        }
    }
}

/// Where a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeState {
    Pending,
    Delivered,
    Dead,
}

impl NoticeState {
    /// Every state there is.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What a notice is about.
#[derive(Clone, Debug)]
pub struct Subject {
    pub company: i64,
    pub company_name: String,
    /// None if it is about the company itself.
    pub integration: Option<SubjectIntegration>,
    /// When the change was seen, RFC 3339.
    pub at: String,
    pub quiet_hours: Option<i32>,
}

/// The integration that a notice is about.
#[derive(Clone, Debug)]
pub struct SubjectIntegration {
    pub id: String,
    pub name: String,
    pub connector: String,
    pub dead: i64,
    pub last_error: Option<String>,
    /// When the grace of its old secret ends.
    pub grace_until: Option<String>,
}

/// What is pushed, JSON.
#[must_use]
pub fn body(notice: Notice, subject: &Subject) -> String {
    let integration = subject.integration.as_ref().map(|it| {
        json!({
            "id": it.id,
            "name": it.name,
            "connector": it.connector,
            "dead": it.dead,
            "last_error": it.last_error,
            "grace_until": it.grace_until,
        })
    });
    let body: Value = json!({
        "event": notice.as_str(),
        "version": "v1",
        "at": subject.at,
        "message": message(notice, subject),
        "company": { "id": subject.company, "name": subject.company_name },
        "integration": integration,
    });
    body.to_string()
}

/// The sentence for people.
fn message(notice: Notice, subject: &Subject) -> String {
    let of = &subject.company_name;
    let name = subject.integration.as_ref().map_or("", |it| &it.name);
    let error =
        subject.integration.as_ref().and_then(|it| it.last_error.as_deref()).unwrap_or("no error is known");
    let dead = subject.integration.as_ref().map_or(0, |it| it.dead);
    match notice {
        Notice::IntegrationFailing => {
            format!("Integration {name:?} of {of} is failing: {error}. Deliveries that wait dead: {dead}.")
        }
        Notice::IntegrationRecovered => {
            format!("Integration {name:?} of {of} delivers again. Deliveries that wait dead: {dead}.")
        }
        Notice::CredentialsRefused => format!(
            "Integration {name:?} of {of} is refused for its credentials: {error}. Give it new ones, then retry."
        ),
        Notice::SecretExpiring => {
            let until =
                subject.integration.as_ref().and_then(|it| it.grace_until.as_deref()).unwrap_or("soon");
            format!(
                "The old signing secret of integration {name:?} of {of} signs until {until}: receivers that do not know \
                 the new one refuse from then on."
            )
        }
        Notice::NoLeads => {
            let hours = subject.quiet_hours.unwrap_or_default();
            format!("No lead of {of} came in for {hours} hours: look whether its forms still work.")
        }
        Notice::LeadsAgain => format!("Leads of {of} come in again."),
    }
}

/// The wait before the next attempt after so many failed ones, or none if the notice is given up.
#[must_use]
pub fn next(attempts: i32, age: Duration, jitter: f64) -> Option<Duration> {
    if age > PATIENCE {
        return None;
    }
    let failed = usize::try_from(attempts).unwrap_or_default().max(1) - 1;
    if failed < 3 {
        return Some(gap(u32::try_from(failed).unwrap_or_default(), jitter));
    }
    LATER.get(failed - 3).or(LATER.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(integration: bool) -> Subject {
        Subject {
            company: 7,
            company_name: "The Old Barn".into(),
            integration: integration.then(|| SubjectIntegration {
                id: "I".into(),
                name: "crm".into(),
                connector: "webhook".into(),
                dead: 2,
                last_error: Some("422 no such field".into()),
                grace_until: Some("2026-06-04T14:00:00Z".into()),
            }),
            at: "2026-06-04T13:00:00Z".into(),
            quiet_hours: Some(48),
        }
    }

    #[test]
    fn every_change_has_its_notice() {
        let health = Aspect::health;
        let leads = |is_quiet| Aspect::Leads { is_quiet };
        for (aspect, name, state, word) in [
            (health(None, true), "health", "failing", Some("notice.integration_failing")),
            (
                health(Some(FailureClass::Credentials), true),
                "health",
                "credentials",
                Some("notice.credentials_refused"),
            ),
            (health(None, false), "health", "ok", Some("notice.integration_recovered")),
            (
                health(Some(FailureClass::Transient), false),
                "health",
                "ok",
                Some("notice.integration_recovered"),
            ),
            (Aspect::Secret(Some(2)), "secret", "version 2", Some("notice.secret_expiring")),
            (Aspect::Secret(None), "secret", "ok", None),
            (leads(true), "leads", "quiet", Some("notice.no_leads")),
            (leads(false), "leads", "ok", Some("notice.leads_again")),
        ] {
            assert_eq!((aspect.name(), &*aspect.state()), (name, state));
            assert_eq!(aspect.notice().map(Notice::as_str), word);
        }
        for notice in Notice::ALL {
            assert_eq!(Notice::parse(notice.as_str()), Some(notice));
        }
    }

    #[test]
    fn a_notice_says_what_and_about_whom() {
        let reported: Value =
            serde_json::from_str(&body(Notice::IntegrationFailing, &subject(true))).unwrap();
        assert_eq!(
            reported,
            json!({
                "event": "notice.integration_failing",
                "version": "v1",
                "at": "2026-06-04T13:00:00Z",
                "message": "Integration \"crm\" of The Old Barn is failing: 422 no such field. Deliveries that wait dead: 2.",
                "company": {"id": 7, "name": "The Old Barn"},
                "integration": {"id": "I", "name": "crm", "connector": "webhook", "dead": 2,
                    "last_error": "422 no such field", "grace_until": "2026-06-04T14:00:00Z"},
            })
        );
        let reported: Value = serde_json::from_str(&body(Notice::NoLeads, &subject(false))).unwrap();
        assert_eq!(reported["integration"], Value::Null);
        assert_eq!(
            reported["message"],
            "No lead of The Old Barn came in for 48 hours: look whether its forms still work."
        );
    }

    #[test]
    fn a_notice_is_tried_for_a_day() {
        let seconds = |attempts| next(attempts, Duration::ZERO, 0.0).unwrap().as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 100].map(seconds), [1, 4, 15, 60, 300, 900, 900, 900]);
        assert_eq!(next(1, PATIENCE + Duration::from_secs(1), 0.0), None);
    }

    #[test]
    fn every_state_is_read_back_and_no_other() {
        for state in NoticeState::ALL {
            assert_eq!(NoticeState::parse(state.as_str()), Some(state));
        }
        assert_eq!(NoticeState::parse("held"), None);
    }
}
