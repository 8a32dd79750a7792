//! From the control API's messages to our own types.

use jiff::Timestamp;
use leadline_proto::v1;
use prost_types::Timestamp as ProtoTimestamp;

use crate::model::data::{Attempt, AttemptState, Badge, Call, Detail, Estimate, Integration};

/// A time beyond what we can show counts as absent.
fn time(at: Option<ProtoTimestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

pub(super) fn integration(it: v1::Integration) -> Integration {
    let health = it.health.unwrap_or_default();
    Integration {
        id: it.id,
        name: it.name,
        company: it.company_name,
        connector: it.connector,
        enabled: it.enabled,
        badge: Badge::parse(&health.badge),
        last_pushed_at: time(health.last_pushed_at),
        failures: health.failure_count,
        last_error: health.last_error,
        last_error_at: time(health.last_error_at),
        dead: health.dead,
        held: health.held,
        pending: health.pending,
        next_retry_at: time(health.next_retry_at),
        throttled_until: time(health.throttled_until),
        grace_until: time(it.grace_until),
        secret_version: it.secret_version,
        staged_version: it.staged_secret_version,
        awaits_cut_over: it.awaits_cut_over,
        paused: it.company_paused_at.is_some(),
    }
}

pub(super) fn attempt(it: v1::Attempt) -> Attempt {
    Attempt {
        id: it.id,
        delivery: it.delivery_id,
        lead: it.lead,
        number: it.number,
        trigger: it.trigger,
        state: AttemptState::parse(&it.state),
        status: it.status_code,
        class: it.failure_class,
        error: it.error,
        started_at: time(it.started_at),
        duration_ms: it.duration_ms,
        event: it.event,
    }
}

pub(super) fn detail(it: v1::AttemptDetail) -> Detail {
    let pairs =
        |headers: Vec<v1::Header>| headers.into_iter().map(|header| (header.name, header.value)).collect();
    let call = |it: v1::AttemptCall| Call {
        method: it.method,
        url: it.url,
        request_headers: pairs(it.request_headers),
        request_body: it.request_body.unwrap_or_default(),
        status: it.status,
        response_headers: pairs(it.response_headers),
        response_body: it.response_body.unwrap_or_default(),
        duration_ms: it.duration_ms,
        error: it.error,
    };
    Detail {
        calls: it.calls.into_iter().map(call).collect(),
        note: it.note,
        method: it.method,
        url: it.url,
        request_headers: pairs(it.request_headers),
        request_body: it.request_body,
        response_headers: pairs(it.response_headers),
        response_body: it.response_body,
        response_bytes: it.response_bytes,
        secret_version: it.secret_version,
        mapping_version: it.mapping_version,
        operator: it.operator,
    }
}

pub(super) fn estimate(it: &v1::RetryDeliveriesResponse) -> Estimate {
    Estimate { count: it.count, seconds: it.seconds }
}
