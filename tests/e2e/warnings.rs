//! What the daemon's log says of failed pushes, and what it does not say.

use leadline_fakes::{Behaviour, Receiver};
use leadline_tests::{ChildDaemon, Database, Operator, post_lead, wait_until};
use serde_json::{Value, json};

const LEAD: &str = include_str!("../fixtures/lead.json");

fn warned(daemon: &ChildDaemon) -> Vec<Value> {
    let entries = daemon.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    entries.filter(|entry| entry["message"] == "a push failed").collect()
}

#[tokio::test]
async fn a_failed_push_is_a_warning_without_anybodys_data() {
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(daemon.control().await);
    let refusal = "sarah@example.com is taken".to_owned();
    let receiver = Receiver::start(Behaviour::RefuseAll(422, refusal)).await.unwrap();
    let key = operator.company(7).await;
    let id = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.integration.unwrap().id;
    let (_, answer) = post_lead(&daemon.url("/v1/leads"), &key, LEAD).await;
    wait_until("the warning is there", async || !warned(&daemon).is_empty()).await;
    let warning = warned(&daemon).remove(0);
    let delivery = answer["deliveries"][0]["delivery_id"].clone();
    assert_eq!(warning["level"], "WARN");
    assert_eq!(
        (&warning["integration"], &warning["delivery"], &warning["class"]),
        (&json!(id), &delivery, &json!("rejected"))
    );
    assert_eq!(daemon.stop().await, Some(0));
    assert_eq!(warned(&daemon).len(), 1, "one for each failure");
    for line in daemon.log() {
        assert!(!line.contains("sarah") && !line.contains("Sarah"), "{line}");
    }
    receiver.stop().await;
}
