//! From the store's words to those of the API, and back for filters. Pure.

use leadline_proto::v1;
use prost_types::Timestamp;

use super::{check, words};
use crate::{
    connectors::{
        ConfigField, Connector,
        config::{Common, Settings as _},
    },
    domain::{
        breaker, delivery::State, lane::LaneStatus, moment::Moment, outcome::FailureClass, rotation::Rotation,
    },
    store::{
        company::{Company, key::IntakeKey},
        delivery::{
            attempts::{AttemptDetail, AttemptView},
            calls::CallRecord,
            read::DeliveryView,
        },
        integration::{
            probe::Proposed,
            read::{Health, IntegrationView},
            removal::Removal,
            reset::Lifted,
        },
        lead::read::LeadView,
        operator::command::Refusal,
        shown::Shown,
    },
};

pub(super) fn time(at: jiff::Timestamp) -> Timestamp {
    // A time before 1970 counts its nanoseconds backwards in jiff and forwards in the API.
    let nanos = at.subsec_nanosecond();
    if nanos < 0 {
        Timestamp { seconds: at.as_second() - 1, nanos: nanos + 1_000_000_000 }
    } else {
        Timestamp { seconds: at.as_second(), nanos }
    }
}

/// A time of a request.
pub(super) fn read_time(field: &str, at: Option<&Timestamp>) -> Result<Option<jiff::Timestamp>, Refusal> {
    at.map(|at| {
        jiff::Timestamp::new(at.seconds, at.nanos)
            .map_err(|_| Refusal::Invalid(format!("{field}: give a time in the years 0 to 9999")))
    })
    .transpose()
}

/// How many died in a quarter of an hour.
pub(super) fn trend_point((at, deliveries): (jiff::Timestamp, i64)) -> v1::TrendPoint {
    v1::TrendPoint { at: Some(time(at)), deliveries: count(deliveries) }
}

pub(super) fn count(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}

pub(super) fn small(number: i32) -> u32 {
    number.max(0).unsigned_abs()
}

impl From<Company> for v1::Company {
    fn from(company: Company) -> Self {
        Self {
            id: company.id.0,
            name: company.name,
            plan: words::plan(company.plan).into(),
            brand: company.brand.unwrap_or_default(),
            created_at: Some(time(company.created_at)),
            paused_at: company.paused_at.map(time),
            quiet_after: company.quiet_hours.map(|hours| words::seconds(f64::from(hours) * 3600.0)),
            last_lead_at: None,
            time_zone: company.time_zone.unwrap_or_default(),
            locale: company.locale.unwrap_or_default(),
            lead_url: company.lead_url.unwrap_or_default(),
        }
    }
}

impl From<IntakeKey> for v1::IntakeKey {
    fn from(key: IntakeKey) -> Self {
        Self {
            id: key.id.to_string(),
            company_id: key.company.0,
            prefix: key.prefix,
            require_signature: key.require_signature,
            created_at: Some(time(key.created_at)),
            revoked_at: key.revoked_at.map(time),
            rate_per_second: key.rate_per_second,
            may_read: key.may_read,
            signature: if key.require_signature {
                v1::SignatureKind::from_word(key.signature.as_str()).unwrap_or_default().into()
            } else {
                0
            },
            allow_origins: key.allow_origins,
            last_used_at: key.last_used_at.map(time),
        }
    }
}

impl From<IntegrationView> for v1::Integration {
    fn from(view: IntegrationView) -> Self {
        Self {
            id: view.id.to_string(),
            company_id: view.company.0,
            name: view.name,
            connector: view.connector,
            enabled: view.enabled,
            config: view.config.to_string(),
            mapping: view.mapping.to_string(),
            events: view
                .events
                .iter()
                .map(|event| v1::Event::from_word(event.as_str()).unwrap_or_default().into())
                .collect(),
            payload: v1::Payload::from_word(&view.payload).unwrap_or_default().into(),
            routing: v1::Routing::from_word(view.routing.as_str()).unwrap_or_default().into(),
            created_at: Some(time(view.created_at)),
            health: Some(view.health.into()),
            rotation: words::rotation(Rotation::of(
                view.staged_version.is_some(),
                view.grace_until.is_some(),
            ))
            .into(),
            grace_until: view.grace_until.map(time),
            secret_version: view.secret_version.map_or(0, small),
            company_name: view.company_name,
            has_credentials: view.has_credentials,
            account: view.account.unwrap_or_default(),
            findings: view.findings,
            checked_at: view.checked_at.map(time),
            staged_secret_version: view.staged_version.map_or(0, small),
            awaits_cut_over: view.awaits_cut_over,
            company_paused_at: view.company_paused_at.map(time),
            notices: view.notices,
            proposals: Vec::new(),
        }
    }
}

impl From<Lifted> for v1::Lifted {
    fn from(it: Lifted) -> Self {
        Self {
            failure_count: count(it.failure_count),
            last_error: it.last_error.unwrap_or_default(),
            throttled_until: it.throttled_until.map(time),
            breaker_until: it.breaker_until.map(time),
        }
    }
}

impl From<Proposed> for v1::MappingProposal {
    fn from(one: Proposed) -> Self {
        Self { field: one.field, rule: one.rule.to_string(), why: one.why }
    }
}

impl From<Health> for v1::Health {
    fn from(health: Health) -> Self {
        let breaker = breaker(&health);
        let lane = lane(&health.lane);
        let (last_error, last_error_at) = health.last_error.unzip();
        Self {
            badge: words::badge(health.badge).into(),
            last_pushed_at: health.last_pushed_at.map(time),
            failure_count: count(health.failure_count),
            last_error: last_error.unwrap_or_default(),
            last_error_at: last_error_at.map(time),
            dead: count(health.dead),
            held: count(health.held),
            pending: count(health.pending),
            oldest_undelivered_at: health.oldest_undelivered_at.map(time),
            throttled_until: health.throttled_until.map(time),
            next_retry_at: health.next_retry_at.map(time),
            breaker: Some(breaker),
            lane: Some(lane),
            sweep_at: health.sweep_at.map(time),
            skipped: health.skipped.map(count),
            trend: Vec::new(),
            throttle_why: health.throttle_error.unwrap_or_default(),
        }
    }
}

fn breaker(health: &Health) -> v1::Breaker {
    let state = breaker::BreakerState::at(health.lane.holds.breaker_until, health.lane.now);
    let why = || breaker::why(health.streak, health.breaker_error.as_deref());
    v1::Breaker {
        state: words::breaker_state(state).into(),
        why: if state == breaker::BreakerState::Closed { String::new() } else { why() },
        until: health.lane.holds.breaker_until.filter(|_| state == breaker::BreakerState::Open).map(moment),
    }
}

fn lane(lane: &LaneStatus) -> v1::Lane {
    let waits = lane.waits();
    v1::Lane {
        running: u32::try_from(lane.running).unwrap_or(u32::MAX),
        concurrency: lane.concurrency,
        rate_per_second: lane.rate_per_second,
        waits_for: waits.map_or(v1::LaneWait::Unspecified, |(wait, _)| words::lane_wait(wait)).into(),
        waits_until: waits.and_then(|(_, until)| until).map(moment),
    }
}

fn moment(at: Moment) -> Timestamp {
    time(at.into())
}

impl From<LeadView> for v1::Lead {
    fn from(lead: LeadView) -> Self {
        Self {
            uuid: lead.uuid,
            company_id: lead.company.0,
            state: words::lead_state(lead.state).into(),
            received_at: Some(time(lead.received_at)),
            updated_at: lead.updated_at.map(time),
            company_name: lead.company_name,
            name: lead.person.name,
            email: lead.person.email,
            phone: lead.person.phone,
            undelivered: u32::try_from(lead.undelivered).unwrap_or_default(),
        }
    }
}

pub(super) fn failure_class(class: Option<&Shown<FailureClass>>) -> i32 {
    class.and_then(|class| v1::FailureClass::from_word(class.as_str())).unwrap_or_default().into()
}

impl From<DeliveryView> for v1::Delivery {
    fn from(delivery: DeliveryView) -> Self {
        Self {
            id: delivery.id.to_string(),
            company_id: delivery.company.0,
            lead: delivery.lead,
            integration_id: delivery.integration.to_string(),
            integration_name: delivery.integration_name,
            event: v1::Event::from_word(delivery.event.as_str()).unwrap_or_default().into(),
            state: v1::DeliveryState::from_word(delivery.state.as_str()).unwrap_or_default().into(),
            reason: delivery.reason.unwrap_or_default(),
            reason_code: words::delivery_reason(delivery.reason_code.as_deref()).into(),
            reason_flows: delivery.reason_flows,
            attempts: small(delivery.attempts),
            due_at: delivery.due_at.map(time),
            running: delivery.running,
            created_at: Some(time(delivery.created_at)),
            finished_at: delivery.finished_at.map(time),
            company_name: delivery.company_name,
            lead_name: delivery.lead_name,
            lead_email: delivery.lead_email,
            failure_class: failure_class(delivery.class.as_ref()),
            error: delivery.error.unwrap_or_default(),
            cause: delivery.cause.map(|cause| cause.to_string()).unwrap_or_default(),
            job_id: delivery.job.map(|job| job.to_string()).unwrap_or_default(),
        }
    }
}

impl From<AttemptView> for v1::Attempt {
    fn from(attempt: AttemptView) -> Self {
        let finished = attempt.finished.as_ref();
        let state = match finished {
            None => v1::AttemptState::Running,
            Some(finished) if finished.delivered => v1::AttemptState::Delivered,
            Some(_) => v1::AttemptState::Failed,
        };
        Self {
            id: attempt.id.to_string(),
            delivery_id: attempt.delivery.map(|id| id.to_string()).unwrap_or_default(),
            lead: attempt.lead.unwrap_or_default(),
            integration_id: attempt.integration.to_string(),
            number: small(attempt.number),
            trigger: v1::AttemptTrigger::from_word(attempt.trigger.as_str()).unwrap_or_default().into(),
            state: state.into(),
            status_code: finished.and_then(|finished| finished.status_code).map(|code| small(code.into())),
            failure_class: failure_class(finished.and_then(|finished| finished.class.as_ref())),
            error: finished.and_then(|finished| finished.error.clone()).unwrap_or_default(),
            started_at: Some(time(attempt.started_at)),
            duration: finished.map(|finished| words::millis(small(finished.duration_ms))),
            event: v1::Event::from_word(attempt.event.as_str()).unwrap_or_default().into(),
            company_id: attempt.company.0,
            company_name: attempt.company_name,
            integration_name: attempt.integration_name,
            operator: attempt.operator.unwrap_or_default(),
            lead_name: attempt.lead_name,
            lead_email: attempt.lead_email,
        }
    }
}

impl From<Removal> for v1::DeleteIntegrationResponse {
    fn from(removal: Removal) -> Self {
        Self { deliveries: removal.deliveries, attempts: removal.attempts }
    }
}

/// An attempt with its detail.
pub(super) fn attempt_answer(
    attempt: AttemptView,
    detail: AttemptDetail,
) -> (v1::Attempt, v1::AttemptDetail) {
    let headers = |pairs: Vec<(String, String)>| {
        pairs.into_iter().map(|(name, value)| v1::Header { name, value }).collect()
    };
    // What an older version wrote tells no sizes.
    let whole = |bytes: u64, kept: Option<&String>| {
        bytes.max(kept.and_then(|kept| u64::try_from(kept.len()).ok()).unwrap_or_default())
    };
    let call = |call: CallRecord| v1::AttemptCall {
        request_bytes: whole(call.request_bytes, call.request_body.as_ref()),
        response_bytes: whole(call.response_bytes, call.response_body.as_ref()),
        method: call.method,
        url: call.url,
        request_headers: headers(call.request_headers),
        request_body: call.request_body,
        status: call.status.map(u32::from),
        response_headers: headers(call.response_headers),
        response_body: call.response_body,
        started_at: attempt
            .started_at
            .checked_add(jiff::SignedDuration::from_millis(call.after_ms.into()))
            .ok()
            .map(time),
        duration: Some(words::millis(call.duration_ms)),
        error: call.error.unwrap_or_default(),
    };
    let calls = detail.calls.into_iter().map(call).collect();
    let detail = v1::AttemptDetail {
        calls,
        note: detail.note.unwrap_or_default(),
        method: detail.method.unwrap_or_default(),
        url: detail.url.unwrap_or_default(),
        request_headers: headers(detail.request_headers),
        request_body: detail.request_body.into(),
        response_headers: headers(detail.response_headers),
        response_body: detail.response_body.into(),
        response_bytes: count(detail.response_bytes),
        secret_version: detail.secret_version.map_or(0, small),
        mapping_version: small(detail.config_version),
        operator: attempt.operator.clone().unwrap_or_default(),
    };
    (attempt.into(), detail)
}

/// A connector as help and forms read it.
pub(super) fn connector(connector: &dyn Connector) -> v1::Connector {
    let manifest = connector.manifest();
    let config = manifest.fields.iter().chain(Common::FIELDS);
    v1::Connector {
        name: manifest.name.to_owned(),
        summary: manifest.summary.to_owned(),
        config: config.copied().map(config_field).collect(),
        credentials: manifest.credentials.iter().copied().map(config_field).collect(),
    }
}

fn config_field(field: ConfigField) -> v1::ConfigField {
    v1::ConfigField {
        name: field.name.to_owned(),
        kind: words::field_kind(field.kind).into(),
        required: field.required,
        default_value: field.default.to_owned(),
        help: field.help.to_owned(),
        secret: field.secret,
        words: field.words.iter().map(ToString::to_string).collect(),
    }
}

/// The states that a filter asks for.
pub(super) fn states(filter: &v1::DeliveryFilter) -> Result<Vec<State>, Refusal> {
    match (filter.undelivered, filter.states.is_empty()) {
        (true, true) => Ok(State::UNDELIVERED.to_vec()),
        (true, false) => check::invalid("undelivered means pending, held and dead: send either it or states"),
        (false, _) => words::read_delivery_states(&filter.states),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            delivery::Trigger,
            ids::{AttemptId, CompanyId, IntegrationId},
            integration::EventKind,
            outcome::FailureClass,
        },
        store::delivery::attempts::AttemptEnd,
    };

    #[test]
    fn times_keep_their_nanoseconds() {
        for (text, seconds, nanos) in
            [("1970-01-01T00:00:01.5Z", 1, 500_000_000), ("1969-12-31T23:59:58.5Z", -2, 500_000_000)]
        {
            let at: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(time(at), Timestamp { seconds, nanos });
            assert_eq!(read_time("since", Some(&time(at))).unwrap(), Some(at));
        }
        let far = Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(read_time("since", Some(&far)).is_err());
    }

    #[test]
    fn an_attempt_has_a_state_and_says_only_what_is_known() {
        let running = AttemptView {
            id: AttemptId::generate(),
            company: CompanyId(7),
            company_name: "The Old Barn".into(),
            integration: IntegrationId::generate(),
            integration_name: "hook".into(),
            delivery: None,
            lead: None,
            lead_id: None,
            lead_name: String::new(),
            lead_email: String::new(),
            event: Shown::read(EventKind::Test.as_str(), EventKind::parse),
            number: 1,
            trigger: Shown::read(Trigger::Test.as_str(), Trigger::parse),
            operator: Some("mara".into()),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            finished: None,
        };
        let failed = |class: Option<FailureClass>| AttemptView {
            finished: Some(AttemptEnd {
                delivered: class.is_none(),
                class: class.map(|class| Shown::read(class.as_str(), FailureClass::parse)),
                error: None,
                status_code: Some(500),
                duration_ms: 3,
            }),
            ..running.clone()
        };
        let state = |attempt: AttemptView| v1::Attempt::from(attempt).state();
        assert_eq!(state(failed(None)), v1::AttemptState::Delivered);
        assert_eq!(state(failed(Some(FailureClass::Transient))), v1::AttemptState::Failed);
        let (attempt, detail) = attempt_answer(running, AttemptDetail::default());
        assert_eq!((attempt.state(), attempt.duration), (v1::AttemptState::Running, None));
        assert_eq!((&*attempt.delivery_id, &*detail.operator), ("", "mara"));
    }

    #[test]
    fn filters_are_read_in_known_words() {
        let filter = |undelivered, states: &[i32]| v1::DeliveryFilter {
            undelivered,
            states: states.to_vec(),
            ..v1::DeliveryFilter::default()
        };
        let dead = v1::DeliveryState::Dead as i32;
        assert_eq!(states(&filter(true, &[])).unwrap(), State::UNDELIVERED);
        assert_eq!(states(&filter(false, &[dead])).unwrap(), [State::Dead]);
        assert!(states(&filter(true, &[dead])).is_err());
        let refusal = states(&filter(false, &[9])).unwrap_err().to_string();
        assert_eq!(refusal, "state 9: use a value of DeliveryState");
    }
}
