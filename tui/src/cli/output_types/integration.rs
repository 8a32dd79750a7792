//! Integrations and what becomes of them.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{raw, text, time, word};
use crate::cli::columns::{Column, ListRow, id};
use crate::columns::integration;

/// `integration create`: the one time, beside `rotate-secret`, that the signing secret is seen.
#[derive(Debug, Serialize)]
pub(crate) struct IntegrationCreated {
    id: String,
    name: String,
    connector: String,
    enabled: bool,
    signing_secret: Option<String>,
}

impl IntegrationCreated {
    /// Joins the integration with its secret.
    pub(crate) fn new(it: v1::Integration, signing_secret: String) -> Self {
        let v1::Integration { id, name, connector, enabled, .. } = it;
        Self { id, name, connector, enabled, signing_secret: text(signing_secret) }
    }
}

/// `integration rotate-secret`.
#[derive(Debug, Serialize)]
pub(crate) struct SecretRotated {
    #[serde(flatten)]
    integration: IntegrationCreated,
    rotation: &'static str,
    grace_until: Option<Timestamp>,
}

impl SecretRotated {
    /// Joins the integration with its new secret.
    pub(crate) fn new(it: v1::Integration, signing_secret: String) -> Self {
        let (rotation, grace_until) = (it.rotation().word(), time(it.grace_until));
        Self { integration: IntegrationCreated::new(it, signing_secret), rotation, grace_until }
    }
}

/// An integration with its health.
#[derive(Debug, Serialize)]
pub(crate) struct Integration {
    id: String,
    name: String,
    connector: String,
    enabled: bool,
    company_id: i64,
    company: String,
    badge: &'static str,
    last_pushed_at: Option<Timestamp>,
    failure_count: u64,
    dead: u64,
    held: u64,
    pending: u64,
    skipped: Option<u64>,
    last_error: Option<String>,
    last_error_at: Option<Timestamp>,
    oldest_undelivered_at: Option<Timestamp>,
    throttled_until: Option<Timestamp>,
    throttle_why: Option<String>,
    next_retry_at: Option<Timestamp>,
    waits: Option<Waits>,
    sweep_at: Option<Timestamp>,
    breaker: Breaker,
    lane: Lane,
    rotation: &'static str,
    grace_until: Option<Timestamp>,
    secret_version: Option<u32>,
    has_credentials: bool,
    account: Option<String>,
    findings: Vec<String>,
    proposals: Vec<Proposal>,
    checked_at: Option<Timestamp>,
    staged_secret_version: Option<u32>,
    awaits_cut_over: bool,
    company_paused_at: Option<Timestamp>,
    notices: bool,
    config: Option<Box<RawValue>>,
    mapping: Option<Box<RawValue>>,
    events: Vec<&'static str>,
    payload: &'static str,
    routing: &'static str,
    created_at: Option<Timestamp>,
}

impl ListRow for Integration {
    const COLUMNS: &'static [Column<'static>] = &[
        id("id"),
        id("company_id"),
        integration::COMPANY,
        integration::NAME,
        integration::CONNECTOR,
        integration::BADGE,
        integration::PUSHED,
        integration::FAILURES,
        integration::DEAD,
        integration::LAST_ERROR,
        integration::WAITS,
    ];
}

impl From<v1::Integration> for Integration {
    fn from(it: v1::Integration) -> Self {
        let health = it.health.clone().unwrap_or_default();
        let waits = Waits::of(&health);
        Self {
            waits,
            rotation: it.rotation().word(),
            events: it.events().map(v1::Event::word).collect(),
            payload: it.payload().word(),
            routing: it.routing().word(),
            id: it.id,
            name: it.name,
            connector: it.connector,
            enabled: it.enabled,
            company_id: it.company_id,
            company: it.company_name,
            badge: health.badge().word(),
            last_pushed_at: time(health.last_pushed_at),
            failure_count: health.failure_count,
            dead: health.dead,
            held: health.held,
            pending: health.pending,
            skipped: health.skipped,
            last_error: text(health.last_error),
            last_error_at: time(health.last_error_at),
            oldest_undelivered_at: time(health.oldest_undelivered_at),
            throttled_until: time(health.throttled_until),
            throttle_why: text(health.throttle_why),
            next_retry_at: time(health.next_retry_at),
            sweep_at: time(health.sweep_at),
            breaker: health.breaker.unwrap_or_default().into(),
            lane: health.lane.unwrap_or_default().into(),
            grace_until: time(it.grace_until),
            secret_version: (it.secret_version > 0).then_some(it.secret_version),
            has_credentials: it.has_credentials,
            account: text(it.account),
            findings: it.findings,
            proposals: it.proposals.into_iter().map(Into::into).collect(),
            checked_at: time(it.checked_at),
            staged_secret_version: (it.staged_secret_version > 0).then_some(it.staged_secret_version),
            awaits_cut_over: it.awaits_cut_over,
            company_paused_at: time(it.company_paused_at),
            notices: it.notices,
            config: raw(it.config.as_bytes()),
            mapping: raw(it.mapping.as_bytes()),
            created_at: time(it.created_at),
        }
    }
}

/// What the lane waits for, as the daemon says it.
#[derive(Debug, Serialize)]
pub(crate) struct Waits {
    /// disabled | company paused | cut over | throttled | concurrency | rate | breaker
    #[serde(rename = "for")]
    wait: &'static str,
    until: Option<Timestamp>,
    why: Option<String>,
}

impl Waits {
    fn of(health: &v1::Health) -> Option<Self> {
        let lane = health.lane.as_ref()?;
        let wait = lane.waits_for();
        let why = match wait {
            v1::LaneWait::Throttled => text(health.throttle_why.clone()),
            v1::LaneWait::Breaker => text(health.breaker.clone().unwrap_or_default().why),
            _ => None,
        };
        Some(Self { wait: word(wait.word())?, until: time(lane.waits_until), why })
    }
}

/// What could be added to the mapping.
#[derive(Debug, Serialize)]
pub(crate) struct Proposal {
    field: String,
    rule: Option<Box<RawValue>>,
    why: String,
}

impl From<v1::MappingProposal> for Proposal {
    fn from(it: v1::MappingProposal) -> Self {
        Self { field: it.field, rule: raw(it.rule.as_bytes()), why: it.why }
    }
}

/// What holds retries and sweeps back while a target seems to be down.
#[derive(Debug, Serialize)]
pub(crate) struct Breaker {
    state: &'static str,
    why: Option<String>,
    until: Option<Timestamp>,
}

impl From<v1::Breaker> for Breaker {
    fn from(it: v1::Breaker) -> Self {
        Self { state: it.state().word(), why: text(it.why), until: time(it.until) }
    }
}

/// What an integration's own queue does, and what it waits for.
#[derive(Debug, Serialize)]
pub(crate) struct Lane {
    running: u32,
    concurrency: u32,
    rate_per_second: Option<f64>,
    waits_for: Option<&'static str>,
    waits_until: Option<Timestamp>,
}

impl From<v1::Lane> for Lane {
    fn from(it: v1::Lane) -> Self {
        Self {
            running: it.running,
            concurrency: it.concurrency,
            rate_per_second: it.rate_per_second,
            waits_for: word(it.waits_for().word()),
            waits_until: time(it.waits_until),
        }
    }
}

/// `integration enable`: how many deliveries were held, and thus kept, released or skipped.
#[derive(Debug, Serialize)]
pub(crate) struct Enabled {
    #[serde(flatten)]
    integration: Integration,
    were_held: u64,
    /// The job of what was skipped, by which that can be undone.
    pub(crate) job_id: Option<String>,
}

impl From<v1::EnableIntegrationResponse> for Enabled {
    fn from(it: v1::EnableIntegrationResponse) -> Self {
        let integration = it.integration.unwrap_or_default().into();
        Self { integration, were_held: it.held, job_id: text(it.job_id) }
    }
}

/// `integration reset`: with what was forgotten and lifted.
#[derive(Debug, Serialize)]
pub(crate) struct Reset {
    #[serde(flatten)]
    integration: Integration,
    lifted: Lifted,
}

#[derive(Debug, Serialize)]
struct Lifted {
    failure_count: u64,
    last_error: Option<String>,
    throttled_until: Option<Timestamp>,
    breaker_until: Option<Timestamp>,
}

impl From<v1::ResetIntegrationResponse> for Reset {
    fn from(it: v1::ResetIntegrationResponse) -> Self {
        let lifted = it.lifted.unwrap_or_default();
        Self {
            integration: it.integration.unwrap_or_default().into(),
            lifted: Lifted {
                failure_count: lifted.failure_count,
                last_error: text(lifted.last_error),
                throttled_until: time(lifted.throttled_until),
                breaker_until: time(lifted.breaker_until),
            },
        }
    }
}

impl Reset {
    /// What it did, in a sentence.
    pub(crate) fn sentence(&self, say: impl Fn(Timestamp) -> String) -> String {
        let gate = |what: &str, at: Option<Timestamp>| {
            at.map_or_else(|| format!("{what}: none"), |at| format!("the {what} until {} is lifted", say(at)))
        };
        format!(
            "Failures forgotten: {}; {}; {}.",
            self.lifted.failure_count,
            gate("wait for the target", self.lifted.throttled_until),
            gate("open breaker", self.lifted.breaker_until),
        )
    }
}

/// `integration delete`: what went with it.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    id: String,
    deliveries: u64,
    attempts: u64,
}

impl Deleted {
    /// Joins the id with the counts.
    pub(crate) fn new(id: String, it: &v1::DeleteIntegrationResponse) -> Self {
        Self { id, deliveries: it.deliveries, attempts: it.attempts }
    }
}

/// One field of a connector's configuration.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConfigField {
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    name: String,
    kind: &'static str,
    required: bool,
    default: Option<String>,
    words: Vec<String>,
    secret: bool,
    help: String,
}

impl From<v1::ConfigField> for ConfigField {
    fn from(it: v1::ConfigField) -> Self {
        let kind = it.kind().word();
        let default = text(it.default_value);
        Self {
            part: None,
            kind,
            name: it.name,
            required: it.required,
            default,
            words: it.words,
            secret: it.secret,
            help: it.help,
        }
    }
}

impl ConfigField {
    /// With the name of what it is part of, where there is more than the configuration.
    pub(crate) fn of(self, part: &str) -> Self {
        Self { part: Some(part.to_owned()), ..self }
    }
}

/// A line of `watch`.
#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum WatchLine {
    /// How an integration stood when the watch began.
    Snapshot { integration: Box<Integration> },
    /// How an integration stands now.
    Changed { integration: Box<Integration> },
    /// An integration is gone.
    Removed { id: String },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_lane_waits_for_is_the_daemons_word() {
        let waits = |wait: v1::LaneWait, until| {
            let lane = v1::Lane { waits_for: wait.into(), waits_until: until, ..Default::default() };
            let breaker = v1::Breaker { why: "20 failed".to_owned(), ..Default::default() };
            let health = v1::Health {
                lane: Some(lane),
                breaker: Some(breaker),
                throttle_why: "429".to_owned(),
                ..Default::default()
            };
            serde_json::to_value(Waits::of(&health)).unwrap()
        };
        let at = Some(prost_types::Timestamp { seconds: 60, nanos: 0 });
        for (wait, word, why) in [
            (v1::LaneWait::Disabled, "disabled", None),
            (v1::LaneWait::Paused, "company paused", None),
            (v1::LaneWait::CutOver, "cut over", None),
            (v1::LaneWait::Throttled, "throttled", Some("429")),
            (v1::LaneWait::Concurrency, "concurrency", None),
            (v1::LaneWait::Rate, "rate", None),
            (v1::LaneWait::Breaker, "breaker", Some("20 failed")),
        ] {
            let expected = json!({ "for": word, "until": "1970-01-01T00:01:00Z", "why": why });
            assert_eq!(waits(wait, at), expected);
        }
        assert_eq!(waits(v1::LaneWait::Unspecified, None), json!(null));
    }
}
