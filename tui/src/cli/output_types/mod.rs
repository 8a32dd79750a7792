//! The JSON that scripts rely on: one type per thing, with exactly the field names of the contract.
//! What does not apply is null; times are UTC.

mod attempt;
mod audit;
mod company;
mod delivery;
mod failure;
mod flow;
mod form;
mod hold;
mod intake;
mod integration;
mod preview;
mod system;
mod token;

use serde_json::value::RawValue;

pub(crate) use attempt::{Attempt, AttemptShown};
pub(crate) use audit::{AuditLine, Notice};
pub(crate) use company::{Company, CompanyCreated, CompanyPage, IntakeKey, KeyCreated};
pub(crate) use delivery::{
    Delivery, DeliveryShown, Found, FoundAnywhere, Job, Lead, LeadShown, PushPlan, RetryPlan,
};
pub(crate) use failure::{Failure, Snoozed};
pub(crate) use flow::{Flow, FlowDeleted, FlowTest, FlowsAsked};
pub(crate) use form::{Form, FormDeleted};
pub(crate) use hold::{Explained, MoveResult, Unskipped};
pub(crate) use intake::{Erased, ErasedPerson, Imported, Refused, Trace};
pub(crate) use integration::{
    ConfigField, Deleted, Enabled, Integration, IntegrationCreated, Reset, SecretRotated, WatchLine,
};
pub(crate) use preview::Preview;
pub(crate) use system::{Activity, System};
pub(crate) use token::{Caller, Revealed, Token, TokenCreated};

use crate::moment::reported as time;

/// Each thing in its shape.
pub(crate) fn shapes<P, S: From<P>>(items: Vec<P>) -> Vec<S> {
    items.into_iter().map(S::from).collect()
}

fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The word of an enum's value; none for what says nothing, or is newer than this program.
fn word(word: &'static str) -> Option<&'static str> {
    (!word.is_empty()).then_some(word)
}

fn body(bytes: &[u8]) -> Option<String> {
    text(String::from_utf8_lossy(bytes).into_owned())
}

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;
    use leadline_proto::v1;

    #[track_caller]
    fn check(value: &impl Serialize, expected: serde_json::Value) {
        assert_eq!(serde_json::to_value(value).unwrap(), expected);
    }

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn a_reset_says_what_it_lifts() {
        let lifted = v1::Lifted { failure_count: 3, throttled_until: at(0), ..Default::default() };
        let reset = Reset::from(v1::ResetIntegrationResponse { lifted: Some(lifted), integration: None });
        assert_eq!(
            reset.sentence(|at| at.to_string()),
            "Failures forgotten: 3; the wait for the target until 1970-01-01T00:00:00Z is lifted; open breaker: none."
        );
    }

    #[test]
    fn companies_and_keys() {
        let company = v1::Company {
            id: 7,
            name: "The Old Barn".into(),
            plan: v1::Plan::Pro.into(),
            ..Default::default()
        };
        check(
            &CompanyCreated::from(company.clone()),
            json!({"id": 7, "name": "The Old Barn", "plan": "pro"}),
        );
        check(
            &Company::from(v1::Company { created_at: at(0), ..company }),
            json!({"id": 7, "name": "The Old Barn", "plan": "pro", "brand": null, "created_at": "1970-01-01T00:00:00Z",
                "paused_at": null, "quiet_hours": null, "last_lead_at": null, "time_zone": null, "locale": null, "lead_url": null}),
        );
        let key = v1::CreateIntakeKeyResponse { id: "K".into(), key: "llk_x".into(), ..Default::default() };
        check(&KeyCreated::from(key.clone()), json!({"id": "K", "key": "llk_x"}));
        check(
            &KeyCreated::from(v1::CreateIntakeKeyResponse { signing_secret: "whsec_y".into(), ..key }),
            json!({"id": "K", "key": "llk_x", "signing_secret": "whsec_y"}),
        );
    }

    #[test]
    fn integrations() {
        let it = v1::Integration {
            id: "I".into(),
            company_id: 7,
            name: "hook".into(),
            connector: "webhook".into(),
            enabled: true,
            config: r#"{"timeout_seconds": 1.50}"#.into(),
            mapping: "{}".into(),
            rotation: v1::Rotation::Grace.into(),
            grace_until: at(60),
            health: Some(v1::Health {
                badge: v1::Badge::Failing.into(),
                dead: 2,
                failure_count: 4,
                ..Default::default()
            }),
            ..Default::default()
        };
        let created = json!({"id": "I", "name": "hook", "connector": "webhook", "enabled": true, "signing_secret": "s"});
        check(&IntegrationCreated::new(it.clone(), "s".into()), created.clone());
        let mut brought = created.clone();
        brought["signing_secret"] = json!(null);
        check(&IntegrationCreated::new(it.clone(), String::new()), brought);
        let mut rotated = created;
        rotated["rotation"] = json!("grace");
        rotated["grace_until"] = json!("1970-01-01T00:01:00Z");
        check(&SecretRotated::new(it.clone(), "s".into()), rotated);

        let shown = serde_json::to_string(&Integration::from(it.clone())).unwrap();
        assert!(shown.contains(r#""config":{"timeout_seconds": 1.50}"#), "numbers keep their text: {shown}");
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        for (key, value) in [
            ("badge", json!("failing")),
            ("dead", json!(2)),
            ("failure_count", json!(4)),
            ("last_pushed_at", json!(null)),
            ("last_error", json!(null)),
            ("rotation", json!("grace")),
        ] {
            assert_eq!(shown[key], value, "{key}");
        }
        let enabled = Enabled::from(v1::EnableIntegrationResponse {
            integration: Some(it),
            held: 3,
            job_id: "J".into(),
        });
        let enabled = serde_json::to_value(&enabled).unwrap();
        assert_eq!(
            (&enabled["id"], &enabled["were_held"], &enabled["job_id"]),
            (&json!("I"), &json!(3), &json!("J"))
        );
        let removed = WatchLine::Removed { id: "I".into() };
        check(&removed, json!({"change": "removed", "id": "I"}));
    }

    #[test]
    fn flows_and_previews() {
        let then = vec![v1::FlowTarget { integration_id: "I".into(), integration_name: "crm".into() }];
        let flow = v1::Flow {
            id: "F".into(),
            company_id: 7,
            name: "vip".into(),
            when: "true".into(),
            then,
            enabled: true,
            position: 1,
            ..Default::default()
        };
        check(
            &Flow::from(flow),
            json!({"id": "F", "company_id": 7, "name": "vip", "position": 1, "enabled": true, "stop": false,
                "when": "true", "then": ["I"], "then_names": ["crm"], "created_at": null, "warnings": []}),
        );
        let report = v1::TestFlowResponse {
            tested: 3,
            sent: 1,
            kept_away: 1,
            failed: 1,
            sample: vec!["L".into()],
            when: "true".into(),
            errors: vec![v1::FlowTestError { lead: "M".into(), error: "e".into() }],
        };
        check(
            &FlowTest::from(report),
            json!({"when": "true", "tested": 3, "sent": 1, "kept_away": 1, "failed": 1, "sample": ["L"],
                "errors": [{"lead": "M", "error": "e"}]}),
        );
        let headers = vec![v1::Header { name: "a".into(), value: "b".into() }];
        let request =
            v1::PreviewRequest { method: "POST".into(), url: "u".into(), headers, body: b"x".to_vec() };
        let preview = v1::PreviewIntegrationResponse {
            canonical: b"{\"n\": 1.0}".to_vec(),
            request: Some(request),
            plan: b"{}".to_vec(),
            ..Default::default()
        };
        check(
            &Preview::from(preview),
            json!({"canonical": {"n": 1.0}, "request": {"method": "POST", "url": "u", "headers": [["a", "b"]], "body": "x"},
                "outcome": null, "error": null, "plan": "{}"}),
        );
    }

    #[test]
    fn leads_and_deliveries() {
        let delivery = v1::Delivery {
            id: "D".into(),
            lead: "L".into(),
            integration_id: "I".into(),
            event: v1::Event::LeadCreated.into(),
            state: v1::DeliveryState::Held.into(),
            reason: "integration disabled".into(),
            attempts: 1,
            ..Default::default()
        };
        let listed = json!({"id": "D", "lead": "L", "integration_id": "I", "event": "lead.created", "state": "held",
            "reason": "integration disabled", "attempts": 1, "due_at": null, "integration": "", "company": "",
            "lead_name": null, "lead_email": null, "failure_class": null, "error": null, "cause": null, "job_id": null});
        check(&Delivery::from(delivery.clone()), listed.clone());
        let lead = v1::Lead {
            uuid: "L".into(),
            state: v1::LeadState::Pushed.into(),
            received_at: at(1),
            ..Default::default()
        };
        let shown = LeadShown::from(v1::GetLeadResponse {
            lead: Some(lead),
            event: br#"{"n": 100000000000000000000.5}"#.to_vec(),
            deliveries: vec![delivery.clone()],
        });
        assert!(serde_json::to_string(&shown).unwrap().contains("100000000000000000000.5"));
        let keys: Vec<_> =
            serde_json::to_value(&shown).unwrap().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["uuid", "state", "received_at", "event", "deliveries"]);
        let plan = v1::RetryDeliveriesResponse {
            count: 1,
            estimated_duration: Some(prost_types::Duration { seconds: 0, nanos: 500_000_000 }),
            sample: vec![delivery],
            ..Default::default()
        };
        check(&RetryPlan::from(plan), json!({"count": 1, "seconds": 0.5, "sample": [listed]}));
    }

    #[test]
    fn found_leads_and_failures() {
        let lead = v1::Lead {
            uuid: "L".into(),
            company_id: 7,
            company_name: "The Old Barn".into(),
            name: "Sarah".into(),
            email: "s@x.org".into(),
            state: v1::LeadState::Unsynced.into(),
            undelivered: 2,
            ..Default::default()
        };
        check(
            &Found::from(lead.clone()),
            json!({"uuid": "L", "company_id": 7, "company": "The Old Barn", "name": "Sarah", "email": "s@x.org",
                "phone": null, "state": "unsynced", "received_at": null, "updated_at": null, "undelivered": 2}),
        );
        let said =
            v1::LeadMatch { lead: Some(lead), pointer: "/lead/message".into(), value: "a big tent".into() };
        check(
            &FoundAnywhere::from(said),
            json!({"uuid": "L", "company_id": 7, "company": "The Old Barn", "name": "Sarah", "email": "s@x.org",
                "phone": null, "state": "unsynced", "received_at": null, "updated_at": null, "undelivered": 2,
                "pointer": "/lead/message", "value": "a big tent"}),
        );
        let place = v1::FailureIntegration {
            id: "I".into(),
            name: "hook".into(),
            company_id: 7,
            company_name: "The Old Barn".into(),
            deliveries: 3,
        };
        let failure = v1::Failure {
            cause: "C".into(),
            connector: "webhook".into(),
            failure_class: v1::FailureClass::Rejected.into(),
            text: "422".into(),
            deliveries: 3,
            dead: 2,
            retrying: 1,
            leads: 2,
            leads_exact: true,
            money: vec![v1::Money { currency: "KWD".into(), minor: 125_000, amount: "125.000".into() }],
            integrations: vec![place],
            first_at: at(0),
            last_at: at(1),
            sample_delivery_id: "D".into(),
            advice: "Look.".into(),
            actions: vec![v1::FailureAction::EditMapping.into()],
            ..Default::default()
        };
        check(
            &Failure::from(failure),
            json!({"cause": "C", "connector": "webhook", "failure_class": "rejected", "text": "422", "deliveries": 3,
                "dead": 2, "retrying": 1, "deliveries_exact": false, "leads": 2, "leads_exact": true, "money": [{"currency": "KWD", "minor": 125_000, "amount": "125.000"}],
                "integrations": [{"id": "I", "name": "hook", "company": "The Old Barn", "company_id": 7, "deliveries": 3}],
                "first_at": "1970-01-01T00:00:00Z", "last_at": "1970-01-01T00:00:01Z", "trend": [],
                "sample_delivery_id": "D", "sample_error": null, "changed_before": [], "advice": "Look.",
                "actions": ["edit_mapping"], "snoozed_until": null}),
        );
    }

    #[test]
    fn attempts() {
        let test = v1::Attempt {
            id: "A".into(),
            number: 1,
            trigger: v1::AttemptTrigger::Test.into(),
            state: v1::AttemptState::Failed.into(),
            status_code: Some(500),
            failure_class: v1::FailureClass::Transient.into(),
            error: "500".into(),
            started_at: at(0),
            duration: Some(prost_types::Duration { seconds: 0, nanos: 12_000_000 }),
            ..Default::default()
        };
        check(
            &Attempt::from(test),
            json!({"id": "A", "delivery_id": null, "lead": null, "number": 1, "trigger": "test", "state": "failed",
                "status_code": 500, "failure_class": "transient", "error": "500",
                "started_at": "1970-01-01T00:00:00Z", "duration_ms": 12, "integration": "", "company": "",
                "lead_name": null, "lead_email": null}),
        );
    }
}
