//! Clients that are not ours: Python's gRPC, which learns the whole API from the daemon by reflection, and Node's, which
//! reads our files. `scripts/client-check` runs these tests with the newest of both.

use std::process::Stdio;

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{Scene, left_out, post_lead, wait_until};
use serde_json::{Value, json};
use tokio::process::Command;

/// The first Python that has gRPC; the system's packages serve the system's own, which need not come first.
async fn python() -> Option<String> {
    let wanted = std::env::var("LEADLINE_TEST_PYTHON").ok();
    for python in wanted.into_iter().chain(["python3".to_owned(), "/usr/bin/python3".to_owned()]) {
        let mut command = Command::new(&python);
        command.args(["-c", "import grpc, google.protobuf"]).stderr(Stdio::null());
        if command.status().await.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    None
}

#[tokio::test]
async fn a_client_that_knows_only_the_socket_does_an_operators_work() {
    let Some(python) = python().await else {
        let lacks = "Python with gRPC; `./run-tests` installs it where the system packages it";
        return left_out("LEADLINE_CLIENTS_REQUIRED", lacks);
    };
    let Scene { daemon, operator, receiver, key, integration: id, .. } =
        Scene::with(Behaviour::RefuseAll(422, String::new())).await;
    post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    wait_until("a delivery is dead", async || operator.badge(&id).await == "failing").await;
    receiver.set(Behaviour::Good);

    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/control.py"))
        .arg(daemon.socket())
        .arg(receiver.url("/script"))
        .output()
        .await
        .unwrap();
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{reported}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let services: Vec<_> = seen["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for service in ["Company", "IntakeKey", "Integration", "Lead", "Delivery", "Attempt", "Connector"] {
        assert!(services.contains(&&*format!("leadline.control.v1.{service}Service")), "{services:?}");
    }
    assert!(services.contains(&"grpc.health.v1.Health"), "{services:?}");
    let but_reflection = |names: &Value| -> Vec<String> {
        let names = names.as_array().unwrap().iter().filter_map(Value::as_str);
        names.filter(|name| !name.starts_with("grpc.reflection.")).map(ToOwned::to_owned).collect()
    };
    assert_eq!(
        but_reflection(&seen["services"]),
        but_reflection(&seen["services_before"]),
        "v1alpha tells the same"
    );
    assert_eq!(
        (&seen["company"]["name"], &seen["company"]["plan"]),
        (&json!("The Mill"), &json!("PLAN_PRO"))
    );
    assert!(seen["signing_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!((&seen["listed"], &seen["test"]), (&json!(["script"]), &json!("ATTEMPT_STATE_DELIVERED")));
    assert_eq!((&seen["retried"], &seen["outcomes"]), (&json!(1), &json!(["ATTEMPT_STATE_DELIVERED"])));
    assert_eq!(seen["snapshot"], json!(["crm", "script"]));
    assert_eq!(seen["refusal"]["code"], "NOT_FOUND");
    assert!(receiver.requests().iter().any(|request| request.path == "/script"));
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn nodes_client_reads_our_files_lists_what_there_is_and_watches() {
    // The system packages no such client: it is where `scripts/client-check` says.
    let Ok(modules) = std::env::var("LEADLINE_TEST_NODE_MODULES") else {
        return left_out(
            "LEADLINE_CLIENTS_REQUIRED",
            "Node with @grpc/grpc-js; `scripts/client-check` fetches it",
        );
    };
    let Scene { daemon, receiver, .. } = Scene::with(Behaviour::Good).await;
    let output = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/control.cjs"))
        .arg(daemon.socket())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto"))
        .env("NODE_PATH", modules)
        .output()
        .await
        .unwrap();
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{reported}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["companies"], json!(["The Old Barn"]));
    assert_eq!(seen["refusal"]["code"], 5, "NOT_FOUND");
    assert_eq!((&seen["refusal"]["reason"], &seen["health"]), (&json!("UNKNOWN"), &json!("SERVING")));
    let services: Vec<_> = seen["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for service in ["leadline.control.v1.CompanyService", "grpc.health.v1.Health"] {
        assert!(services.contains(&service), "reflection: {services:?}");
    }
    assert_eq!(seen["snapshot"], json!(["crm"]), "a stream's first message");
    daemon.stop().await;
    receiver.stop().await;
}
