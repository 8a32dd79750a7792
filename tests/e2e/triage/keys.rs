//! The JSON of what triage asks, key for key: others rely on these names.

use leadline_fakes::Behaviour;
use leadline_tests::{Scene, wait_until};
use serde_json::{Value, json};

use crate::commands::{attempt_shape, shape, with};

const LEAD: &str = include_str!("../../fixtures/lead.json");

/// What operators did: what stood before and stands after is whatever they changed.
fn act(line: &Value) -> Value {
    let mut line = line.clone();
    for key in ["before", "after"] {
        assert!(line.as_object().unwrap().contains_key(key), "{line}");
        line[key].take();
    }
    shape(&line)
}

fn act_shape() -> Value {
    json!({ "id": "id", "company_id": "integer", "at": "time", "operator": "text", "action": "text", "target": "text",
        "target_name": "text", "before": null, "after": null, "done": "text" })
}

fn failure_shape() -> Value {
    json!({
        "cause": "text", "connector": "text", "failure_class": "text", "text": "text",
        "deliveries": "integer", "dead": "integer", "retrying": "integer", "leads": "integer",
        "deliveries_exact": "bool", "leads_exact": "bool",
        "money": [{ "currency": "text", "minor": "integer", "amount": "text" }],
        "integrations": [{ "id": "id", "name": "text", "company": "text", "company_id": "integer",
            "deliveries": "integer" }],
        "first_at": "time", "last_at": "time", "trend": [{ "at": "time", "deliveries": "integer" }],
        "sample_delivery_id": "id", "sample_error": "text", "changed_before": [act_shape()],
        "advice": "text", "actions": "text", "snoozed_until": null,
    })
}

fn failure(failure: &Value) -> Value {
    let mut told = failure.clone();
    let acts: Vec<Value> = told["changed_before"].as_array().unwrap().iter().map(act).collect();
    assert!(acts.iter().all(|line| *line == act_shape()), "{failure}");
    let actions = told["actions"].as_array().unwrap();
    assert!(!actions.is_empty() && actions.iter().all(Value::is_string), "{failure}");
    told["changed_before"] = json!([]);
    told["actions"] = json!("one of the actions");
    let mut told = shape(&told);
    // At least its own creation stands before what fails of an integration.
    told["changed_before"] = acts.into_iter().take(1).collect();
    told
}

fn evidence_shape() -> Value {
    let call = json!({ "method": "text", "url": "text", "status": "integer", "started_at": "time",
        "duration_ms": "integer", "request_body": "text", "sent_by_attempt": null, "response_body": "text",
        "request_bytes": null, "response_bytes": null, "error": null });
    json!({
        "lead": "id", "company_id": "integer", "company": "text", "state": "text", "received_at": "time",
        "updated_at": null, "name": "text", "email": "text", "phone": "text", "masked": "bool",
        "events": [{ "event": "text", "at": "time" }],
        "deliveries": [{
            "id": "id", "integration_id": "id", "integration": "text", "connector": "text", "event": "text",
            "state": "text", "reason": "text", "created_at": "time", "finished_at": "time", "records": [],
            "attempts": [{
                "id": "id", "number": "integer", "trigger": "text", "state": "text", "operator": null,
                "started_at": "time", "duration_ms": "integer", "failure_class": "text", "error": "text",
                "method": "text", "url": "text", "status_code": "integer", "response_body": "text",
                "calls": [call],
            }],
        }],
    })
}

fn system_shape() -> Value {
    json!({
        "version": "text", "panics": "integer", "log_lines_lost": "integer", "at": "time",
        "daemons": [{ "id": "integer", "version": "text", "started_at": "time", "lease_until": "time",
            "running": "integer", "lanes": "integer" }],
        "queue": { "due": "integer", "later": "integer", "running": "integer", "held": "integer", "dead": "integer",
            "lanes": "integer", "oldest_due_at": null, "oldest_undelivered_at": "time", "is_estimate": "bool" },
        "rates": { "span_seconds": "number", "leads": "integer", "attempts": "integer", "failed": "integer",
            "p50_ms": "number", "p95_ms": "number", "p99_ms": "number" },
        "database": { "version": "text", "schema_version": "integer", "bytes": "integer", "connections": "integer",
            "connections_max": "integer", "has_trigrams": "bool", "oldest_transaction_seconds": null },
        "refused": [],
    })
}

#[tokio::test]
async fn triage_key_for_key() {
    let scene = Scene::with(Behaviour::RefuseAll(422, "no such field".into())).await;
    let cli = &scene.cli;
    scene.post_lead(&serde_json::from_str(LEAD).unwrap()).await;
    let listed = async || cli.json(&["failure", "list"]).await;
    wait_until("it is a cause with a trend", async || {
        listed().await.get(0).is_some_and(|one| one["trend"] != json!([]))
    })
    .await;
    let failures = listed().await;
    assert_eq!(failures.as_array().map(Vec::len), Some(1), "{failures}");
    assert_eq!(failure(&failures[0]), failure_shape());
    let cause = failures[0]["cause"].as_str().unwrap();
    assert_eq!(failure(&cli.json(&["failure", "show", cause]).await), failure_shape());
    let deliveries = scene.deliveries().await;
    assert_eq!(failures[0]["sample_delivery_id"], json!(deliveries[0].id));

    let found = cli.json(&["lead", "find", "sarah"]).await;
    let lead = json!({ "uuid": "id", "company_id": "integer", "company": "text", "name": "text", "email": "text",
        "phone": "text", "state": "text", "undelivered": "integer", "received_at": "time", "updated_at": null });
    assert_eq!(shape(&found), json!([lead]));
    let uuid = found[0]["uuid"].as_str().unwrap();
    let anywhere = cli.json(&["lead", "find", "wedding", "--anywhere"]).await;
    assert_eq!(shape(&anywhere), json!([with(lead, json!({ "pointer": "text", "value": "text" }))]));
    let evidence = cli.json(&["lead", "evidence", uuid, "--format", "json"]).await;
    assert_eq!(shape(&evidence), evidence_shape());

    let mut system = cli.json(&["system", "show"]).await;
    let oldest = system["database"]["oldest_transaction_seconds"].take();
    assert!(oldest.is_null() || oldest.is_f64(), "{oldest}");
    assert_eq!(shape(&system), system_shape());

    let printed = cli.run(&["activity", "-o", "json"]).await.stdout;
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whose = json!({ "at": "time", "company_id": "integer", "company": "text" });
    let failed = json!({ "failure_class": "text", "error": "text" });
    let attempt = json!({ "integration": "text", "attempt": with(attempt_shape(), failed) });
    assert_eq!(shape(&lines[0]), with(whose.clone(), attempt));
    let mut done = lines.iter().find(|line| line["act"]["action"] == "CreateIntegration").unwrap().clone();
    done["act"] = act(&done["act"]);
    let mut told = shape(&done);
    told["act"] = done["act"].take();
    assert_eq!(told, with(whose, json!({ "act": act_shape() })));

    let snoozed = cli.json(&["failure", "snooze", cause, "--for", "4h"]).await;
    assert_eq!(shape(&snoozed), json!({ "cause": "text", "snoozed_until": "time" }));
    let listed = cli.json(&["failure", "list", "--snoozed"]).await;
    assert!(listed[0]["snoozed_until"].is_string(), "{listed}");
    scene.end().await;
}
