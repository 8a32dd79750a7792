//! How many leads fail: each once, however many integrations it fails at.

use leadline_fakes::{Behaviour, sample_lead};
use leadline_proto::v1::{self, failure_service_client::FailureServiceClient};
use leadline_tests::{Cli, Scene, wait_until};
use serde_json::json;

use super::uuid_of;

#[tokio::test]
async fn a_lead_that_dies_at_one_integration_and_waits_at_another_counts_once() {
    let scene = Scene::set().behaviour(Behaviour::RefuseAll(503, "down".into())).webhook("crm", "/hook");
    let scene = scene.config(json!({ "retries": 0 })).start().await;
    let url = scene.receiver.url("/other");
    scene.operator.webhook(7, "other", &url, json!({ "retries": 5, "url": url })).await;
    let cli = Cli::new(scene.daemon.socket());
    scene.post(1).await;
    let counts = async |list: &[&str]| {
        let it = cli.json(list).await[0].clone();
        [it["dead"].clone(), it["retrying"].clone(), it["leads"].clone(), it["leads_exact"].clone()]
    };
    let list = ["failure", "list"];
    wait_until("one is dead and one waits", async || {
        counts(&list).await == [json!(1), json!(1), json!(1), json!(true)]
    })
    .await;
    let quoted = sample_lead(1)["quote"]["total_pence"].clone();
    assert_eq!(cli.json(&list).await[0]["money"][0]["minor"], quoted, "and its quote once");
    let mut failures = FailureServiceClient::new(scene.daemon.control().await);
    let total = failures.list_failures(v1::ListFailuresRequest::default()).await.unwrap().into_inner();
    assert_eq!((total.deliveries, total.leads, total.leads_exact), (2, 1, true));
    // Where each of two causes has the same lead, the total has it once.
    scene.receiver.set(Behaviour::RefuseAll(422, "no such field".into()));
    scene.operator.webhook(7, "third", &scene.receiver.url("/third"), json!({})).await;
    cli.run(&["lead", "push", uuid_of(&sample_lead(1)), "--integration", "third"]).await;
    wait_until("there are two causes", async || {
        cli.json(&list).await.as_array().is_some_and(|causes| causes.len() == 2)
    })
    .await;
    let total = failures.list_failures(v1::ListFailuresRequest::default()).await.unwrap().into_inner();
    assert_eq!((total.leads, total.leads_exact), (1, true), "{total:?}");
    scene.end().await;
}
