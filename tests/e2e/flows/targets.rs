//! Flows that push to a CRM and to people, and pushes that go by what flows chose.

use leadline_fakes::{Fake, hubspot::Hubspot, slack::Slack};

use super::*;

const PATH: &str = "/services/T1/B1/abcdefghijklmnop";

#[tokio::test]
async fn a_flow_pushes_to_a_crm_and_to_slack_and_keeps_the_others_away() {
    let scene = Scene::start().await;
    let hubspot = Fake::start(Hubspot::default()).await.unwrap();
    let slack = Fake::start(Slack::new(PATH)).await.unwrap();
    let hook = format!("https://hooks.slack.com{PATH}");
    let mut ids = Vec::new();
    for (connector, url, credentials) in [
        ("hubspot", hubspot.url(), json!({"token": "pat-eu1-good"})),
        ("slack", slack.url(), json!({"webhook_url": hook})),
    ] {
        let request = v1::CreateIntegrationRequest {
            request_id: request_id(),
            company: "7".into(),
            connector: connector.into(),
            name: connector.into(),
            config: json!({ "base_url": url }).to_string(),
            credentials: credentials.to_string(),
            routing: v1::Routing::Flows.into(),
            ..Default::default()
        };
        let made = scene.operator.integrations().create_integration(request).await.unwrap().into_inner();
        ids.push(made.integration.unwrap().id);
    }
    scene.flow("large", "lead.guest_count >= 100", &["hubspot", "slack"], &[]).await;
    scene.flow("weddings", "lead.event_type == 'wedding'", &["slack"], &[]).await;
    let large = scene.post_new(&[(GUESTS, "\"guest_count\": 100"), ("\"wedding\"", "\"corporate\"")]).await;
    assert_eq!([state(&large, &ids[0]), state(&large, &ids[1])], [pending(), pending()]);
    let wedding = scene.post_new(&[("sarah@example.com", "ann@example.com")]).await;
    assert_eq!(
        [state(&wedding, &ids[0]), state(&wedding, &ids[1])],
        [skipped("flow \"large\" not met"), pending()]
    );
    let neither = scene.post_new(&[("\"wedding\"", "\"other\"")]).await;
    assert_eq!(state(&neither, &ids[1]), skipped("flows \"large\", \"weddings\" not met"));
    wait_until("both are told what is theirs", async || {
        hubspot.with(|it| (it.contacts.len(), it.notes.len())) == (1, 1)
            && slack.with(|it| it.messages.len()) == 2
    })
    .await;
    let addresses = hubspot.with(|it| format!("{:?}", it.contacts));
    assert!(addresses.contains("sarah@example.com") && !addresses.contains("ann@example.com"), "{addresses}");
    scene.end().await;
    hubspot.stop().await;
    slack.stop().await;
}

#[tokio::test]
async fn all_unsynced_leads_go_to_what_flows_chose_and_nowhere_else() {
    let scene = Scene::start().await;
    scene.receiver.set(Behaviour::RefuseAll(422, "no".into()));
    let large = scene.integration("large", &["--routing", "flows"]).await;
    let small = scene.integration("small", &["--routing", "flows"]).await;
    scene.flow("large", "lead.guest_count >= 100", &["large"], &[]).await;
    scene.flow("small", "lead.guest_count < 100", &["small"], &[]).await;
    let first = scene.post_new(&[]).await;
    let chosen = if state(&first, &large).0 == "pending" { &large } else { &small };
    let badge = async || scene.operator.badge(chosen).await == "failing";
    wait_until("the push was refused", badge).await;
    scene.receiver.set(Behaviour::Good);
    let before = scene.receiver.count();
    let plan = scene.cli.json(&["lead", "push", "--company", "7", "--unsynced", "--dry-run"]).await;
    assert_eq!(plan["count"], 1, "{plan}");
    let job = scene.cli.json(&["lead", "push", "--company", "7", "--unsynced"]).await;
    assert_eq!((&job["leads"], &job["delivered"]), (&json!(1), &json!(1)), "{job}");
    assert_eq!(scene.receiver.count(), before + 1);
    let kept = if chosen == &large { &small } else { &large };
    let states: Vec<_> = scene
        .operator
        .deliveries_of(kept)
        .await
        .into_iter()
        .map(|delivery| delivery.state().word())
        .collect();
    assert_eq!(states, ["skipped"], "the flow kept it away");
    scene.end().await;
}
