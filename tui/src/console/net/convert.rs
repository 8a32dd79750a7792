//! From the control API's messages to our own types.

use jiff::Timestamp;
use leadline_client::millis;
use leadline_proto::v1;
use prost_types::Timestamp as ProtoTimestamp;

mod system;

pub(super) use system::{company, job, key, refused, system};

use crate::acts;
use crate::console::data::cause::{Place, Remedy};
use crate::console::data::change::Lifted;
use crate::console::data::integration::{Figures, Proposal};
use crate::console::data::lead::{Explained, Record, Said};
use crate::console::data::query::{Connector, Field};
use crate::console::data::system::What;
use crate::console::data::{
    Activity, Attempt, AttemptState, AuditEntry, Badge, Call, Cause, Delivery, DeliveryState, Detail, Flow,
    Integration, Lead, Step, Wait, Who,
};
use crate::moment::reported as time;

pub(super) fn timestamp(at: Timestamp) -> ProtoTimestamp {
    ProtoTimestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

pub(super) fn integration(it: v1::Integration) -> Integration {
    let routing = it.routing().word().to_owned();
    let health = it.health.unwrap_or_default();
    let breaker = health.breaker.clone().unwrap_or_default();
    let wait = Wait::parse(health.lane.as_ref().map_or("", |lane| lane.waits_for().word()));
    Integration {
        id: it.id,
        name: it.name,
        company_id: it.company_id,
        company: it.company_name,
        connector: it.connector,
        enabled: it.enabled,
        badge: Badge::parse(health.badge().word()),
        last_pushed_at: time(health.last_pushed_at),
        failures: health.failure_count,
        last_error: health.last_error,
        last_error_at: time(health.last_error_at),
        dead: health.dead,
        held: health.held,
        pending: health.pending,
        next_retry_at: time(health.next_retry_at),
        throttled_until: time(health.throttled_until),
        throttle: health.throttle_why,
        breaker: if breaker.state() == v1::BreakerState::Closed { String::new() } else { breaker.why },
        breaker_until: time(breaker.until),
        grace_until: time(it.grace_until),
        secret_version: it.secret_version,
        staged_version: it.staged_secret_version,
        wait,
        paused: it.company_paused_at.is_some(),
        has_credentials: it.has_credentials,
        lacks_credentials: false,
        account: it.account,
        checked_at: time(it.checked_at),
        findings: it.findings,
        proposals: it.proposals.into_iter().map(proposal).collect(),
        mapping: it.mapping,
        config: it.config,
        routing,
        figures: None,
    }
}

pub(super) fn figures(it: v1::Health) -> Figures {
    Figures { skipped: it.skipped.unwrap_or_default(), trend: trend(it.trend) }
}

fn trend(points: Vec<v1::TrendPoint>) -> Vec<(Timestamp, u64)> {
    points.into_iter().filter_map(|point| Some((time(point.at)?, point.deliveries))).collect()
}

pub(super) fn proposal(it: v1::MappingProposal) -> Proposal {
    Proposal { field: it.field, rule: it.rule, why: it.why }
}

/// The name of a person, or the address of one without.
fn person(name: String, email: String) -> String {
    if name.is_empty() { email } else { name }
}

pub(super) fn attempt(it: v1::Attempt) -> Attempt {
    Attempt {
        trigger: it.trigger().word().to_owned(),
        state: AttemptState::parse(it.state().word()),
        class: it.failure_class().word().to_owned(),
        event: it.event().word().to_owned(),
        id: it.id,
        delivery: it.delivery_id,
        lead: it.lead,
        lead_name: person(it.lead_name, it.lead_email),
        integration_id: it.integration_id,
        integration: it.integration_name,
        company_id: it.company_id,
        company: it.company_name,
        number: it.number,
        status: it.status_code,
        error: it.error,
        started_at: time(it.started_at),
        duration_ms: it.duration.map(millis),
    }
}

fn pairs(headers: Vec<v1::Header>) -> Vec<(String, String)> {
    headers.into_iter().map(|header| (header.name, header.value)).collect()
}

fn call(it: v1::AttemptCall) -> Call {
    Call {
        method: it.method,
        url: it.url,
        request_headers: pairs(it.request_headers),
        request_body: it.request_body.unwrap_or_default().into(),
        request_bytes: it.request_bytes,
        status: it.status,
        response_headers: pairs(it.response_headers),
        response_body: it.response_body.unwrap_or_default().into(),
        response_bytes: it.response_bytes,
        duration_ms: it.duration.map(millis),
        error: it.error,
    }
}

pub(super) fn detail(attempt: &Attempt, it: v1::AttemptDetail) -> Detail {
    let earlier = it.calls.len().saturating_sub(1);
    let sent = it.calls.last().map_or(0, |last| last.request_bytes);
    let mut calls: Vec<Call> = it.calls.into_iter().take(earlier).map(call).collect();
    // The last one's answer is told whole.
    calls.push(Call {
        method: it.method,
        url: it.url,
        request_headers: pairs(it.request_headers),
        request_bytes: sent.max(it.request_body.len() as u64),
        request_body: it.request_body,
        status: attempt.status,
        response_headers: pairs(it.response_headers),
        response_body: it.response_body,
        response_bytes: it.response_bytes,
        duration_ms: attempt.duration_ms,
        error: attempt.error.clone(),
    });
    Detail {
        calls,
        secret_version: it.secret_version,
        mapping_version: it.mapping_version,
        operator: it.operator,
    }
}

pub(super) fn delivery(it: v1::Delivery) -> Delivery {
    Delivery {
        class: it.failure_class().word().to_owned(),
        event: it.event().word().to_owned(),
        state: DeliveryState::parse(it.state().word()),
        id: it.id,
        company_id: it.company_id,
        company: it.company_name,
        lead: it.lead,
        lead_name: person(it.lead_name, it.lead_email),
        integration_id: it.integration_id,
        integration: it.integration_name,
        reason: it.reason,
        reason_flows: it.reason_flows,
        error: it.error,
        attempts: it.attempts,
        due_at: time(it.due_at),
        running: it.running,
        created_at: time(it.created_at),
        finished_at: time(it.finished_at),
    }
}

pub(super) fn lead(it: v1::Lead) -> Lead {
    Lead {
        state: it.state().word().to_owned(),
        uuid: it.uuid,
        company_id: it.company_id,
        company: it.company_name,
        name: it.name,
        email: it.email,
        phone: it.phone,
        received_at: time(it.received_at),
        undelivered: it.undelivered,
        said: None,
    }
}

pub(super) fn lead_that_says(it: v1::LeadMatch) -> Lead {
    let said = Some(Said { pointer: it.pointer, value: it.value });
    Lead { said, ..lead(it.lead.unwrap_or_default()) }
}

pub(super) fn step(it: v1::TraceStep) -> Step {
    let state = match it.attempt_state() {
        v1::AttemptState::Unspecified => it.delivery_state().word(),
        state => state.word(),
    };
    let tried = |it: &v1::TraceStep| Attempt {
        id: it.attempt_id.clone(),
        delivery: it.delivery_id.clone(),
        lead: String::new(),
        lead_name: String::new(),
        integration_id: it.integration_id.clone(),
        integration: it.integration_name.clone(),
        company_id: 0,
        company: String::new(),
        number: it.number,
        trigger: it.attempt_trigger().word().to_owned(),
        state: AttemptState::parse(state),
        status: it.status_code,
        class: it.failure_class().word().to_owned(),
        error: it.error.clone(),
        started_at: time(it.at),
        duration_ms: it.duration.map(millis),
        event: it.event().word().to_owned(),
    };
    Step {
        at: time(it.at),
        what: it.kind().word().to_owned(),
        attempt: (!it.attempt_id.is_empty()).then(|| Box::new(tried(&it))),
        integration: it.integration_name,
        state: state.to_owned(),
        reason: it.reason,
    }
}

pub(super) fn record(it: v1::Record) -> Record {
    Record { kind: it.kind, id: it.id, url: it.url, integration_id: it.integration_id }
}

/// A delivery with why it stands where it does, and with what moves it in the console's words.
pub(super) fn explained(it: v1::Delivery, reply: v1::ExplainDeliveryResponse) -> Explained {
    let steps: Vec<String> =
        reply.next_steps.iter().filter_map(|step| next(step.act(), &step.id, &it)).collect();
    // Either lets it go.
    let is_either = reply.next_steps.iter().any(|step| step.act() == v1::NextAct::AskFlowsAgain);
    let between = if is_either { ", or " } else { ", then " };
    let why = match steps.is_empty() {
        true => reply.why,
        false => format!("{}: {}.", reply.why.trim_end_matches('.'), steps.join(between)),
    };
    Explained { delivery: delivery(it), why }
}

/// What somebody can do about a delivery; none where another line or screen shows it already. What the console cannot do
/// is told as a command.
fn next(act: v1::NextAct, id: &str, delivery: &v1::Delivery) -> Option<String> {
    Some(match act {
        v1::NextAct::Unspecified | v1::NextAct::ExplainDelivery | v1::NextAct::ShowIntegration => {
            return None;
        }
        v1::NextAct::RetryDelivery if delivery.state() == v1::DeliveryState::Dead => "retry it".to_owned(),
        v1::NextAct::RetryDelivery => "retry it to push it now".to_owned(),
        v1::NextAct::ReleaseDelivery if id == delivery.id => "release it".to_owned(),
        v1::NextAct::ReleaseDelivery => "release that one".to_owned(),
        v1::NextAct::EnableIntegration if delivery.state() == v1::DeliveryState::Held => {
            "enable it, and release what is held".to_owned()
        }
        v1::NextAct::EnableIntegration => "enable it".to_owned(),
        v1::NextAct::SetCredentials => "replace the credentials".to_owned(),
        v1::NextAct::CorrectMapping => "edit the mapping".to_owned(),
        v1::NextAct::CutOverSecret => "cut over".to_owned(),
        v1::NextAct::ResumeCompany => "resume the company".to_owned(),
        v1::NextAct::AskFlowsAgain => format!("`leadline flow ask-again --company {id}`"),
    })
}

pub(super) fn act(it: v1::AuditLine) -> AuditEntry {
    let (verb, object) = acts::verb_and_object(&it);
    AuditEntry {
        verb,
        object,
        id: it.id,
        at: time(it.at),
        operator: it.operator,
        action: it.action,
        target: it.target,
        before: it.before,
        after: it.after,
    }
}

pub(super) fn cause(it: v1::Failure) -> Cause {
    let remedies = it.actions().filter_map(remedy).collect();
    let place = |it: v1::FailureIntegration| Place {
        integration: it.id,
        name: it.name,
        company: it.company_name,
        deliveries: it.deliveries,
    };
    let class = it.failure_class().word().to_owned();
    Cause {
        id: it.cause,
        connector: it.connector,
        class,
        text: it.text,
        sample: it.sample_error,
        deliveries: it.deliveries,
        dead: it.dead,
        retrying: it.retrying,
        deliveries_exact: it.deliveries_exact,
        leads: it.leads,
        leads_exact: it.leads_exact,
        money: it.money.into_iter().map(|money| (money.currency, money.amount)).collect(),
        places: it.integrations.into_iter().map(place).collect(),
        first_at: time(it.first_at),
        last_at: time(it.last_at),
        trend: trend(it.trend),
        changed_before: it.changed_before.into_iter().map(act).collect(),
        advice: it.advice,
        remedies,
        snoozed_until: time(it.snoozed_until),
    }
}

const fn remedy(it: v1::FailureAction) -> Option<Remedy> {
    Some(match it {
        v1::FailureAction::Unspecified => return None,
        v1::FailureAction::ReplaceCredentials => Remedy::ReplaceCredentials,
        v1::FailureAction::EditMapping => Remedy::EditMapping,
        v1::FailureAction::EditConfig => Remedy::EditConfig,
        v1::FailureAction::Test => Remedy::Test,
        v1::FailureAction::Retry => Remedy::Retry,
        v1::FailureAction::RetryReRendered => Remedy::RetryReRendered,
        v1::FailureAction::Wait => Remedy::Wait,
        v1::FailureAction::Skip => Remedy::Skip,
    })
}

pub(super) fn activity(it: v1::Activity) -> Option<Activity> {
    let (id, what) = match it.what? {
        v1::activity::What::Attempt(told) => (told.id.clone(), What::Attempt(Box::new(attempt(*told)))),
        v1::activity::What::Act(told) => (told.id.clone(), What::Act(Box::new(act(told)))),
    };
    Some(Activity { id, at: time(it.at), company: it.company_name, what })
}

pub(super) fn lifted(it: v1::Lifted) -> Lifted {
    Lifted {
        failures: it.failure_count,
        throttled_until: time(it.throttled_until),
        breaker_until: time(it.breaker_until),
    }
}

pub(super) fn flow(it: v1::Flow) -> Flow {
    let targets = it.then.into_iter().map(|target| (target.integration_id, target.integration_name));
    Flow {
        targets: targets.collect(),
        id: it.id,
        company_id: it.company_id,
        name: it.name,
        when: it.when,
        enabled: it.enabled,
    }
}

pub(super) fn connector(it: v1::Connector) -> Connector {
    let fields = |fields: Vec<v1::ConfigField>| fields.into_iter().map(field).collect();
    Connector {
        name: it.name,
        summary: it.summary,
        config: fields(it.config),
        credentials: fields(it.credentials),
    }
}

fn field(it: v1::ConfigField) -> Field {
    let kind = it.kind().word().to_owned();
    let v1::ConfigField { name, help, default_value: default, required, secret, words, .. } = it;
    Field { name, kind, help, default, required, secret, words }
}

/// Who we are to the daemon.
pub(super) fn who(it: v1::WhoAmIResponse) -> Who {
    let role = match it.role() {
        v1::Role::Unspecified => "nobody",
        role => role.word(),
    };
    Who {
        role: role.to_owned(),
        operator: it.operator,
        company: it.company_name,
        masked: it.masked,
        may: it.may_call.into_iter().collect(),
    }
}
