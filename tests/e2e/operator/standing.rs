//! What an operator is shown of that which waits: how much, since when, and what lets it go.

use leadline_tests::http;

use super::*;

impl Scene {
    async fn card(&self) -> Value {
        self.cli.json(&["integration", "show", "hook"]).await
    }
}

#[tokio::test]
async fn the_intake_shows_a_lead_as_lead_show_does() {
    let scene = Scene::start(Behaviour::RefuseAll(500, "out of order".into()), json!({"retries": 0})).await;
    scene.operator.webhook(7, "held", &scene.receiver.url("/"), json!({})).await;
    scene.cli.json(&["integration", "disable", "held"]).await;
    let mut lead = sample_lead(1);
    scene.post(&lead).await;
    let uuid = lead["lead"]["uuid"].as_str().unwrap().to_owned();
    wait_until("one is dead", async || scene.card().await["dead"] == 1).await;
    lead["lead"]["guest_count"] = json!(99);
    scene.post(&lead).await;
    wait_until("both are dead", async || scene.card().await["dead"] == 2).await;
    let url = scene.daemon.url(&format!("/v1/leads/{uuid}"));
    let told: Value = http().get(url).bearer_auth(&scene.key).send().await.unwrap().json().await.unwrap();
    assert_eq!(told, scene.cli.json(&["lead", "show", &uuid]).await);
    let deliveries = told["deliveries"].as_array().unwrap();
    assert_eq!((deliveries.len(), &deliveries[0]["event"]), (4, &json!("lead.updated")), "newest first");
    let swept = deliveries.iter().filter(|it| it["state"] == "dead" && it["due_at"].is_string()).count();
    assert_eq!(swept, 2, "the sweep's visit is told: {told}");
    scene.end().await;
}
