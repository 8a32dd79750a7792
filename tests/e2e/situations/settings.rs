//! Situations that end with other settings: credentials, a mapping, a signing secret, a new integration.

use super::*;

#[tokio::test]
async fn a_mapping_to_an_unknown_property_is_corrected_with_a_preview_and_rendered_anew() {
    let scene = Crm::mapped(json!({ "lead.guest_count": "no_such_property" })).await;
    scenes::die(&scene, 0..12).await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.sees_line(&["HubSpot", "The Old Barn", "✗ FAILING", "12"]).await;
    keys.acts_on("edit mapping 7/hubspot").await;
    keys.sees(&["Mapping of The Old Barn / HubSpot", "\"no_such_property\"", "What is sent for"]).await;
    keys.press("Down").await;
    keys.press("Ctrl-k").await;
    keys.types("\"lead.guest_count\": \"guests\"").await;
    keys.sees(&["\"guests\":"]).await;
    keys.press("Ctrl-s").await;
    keys.console.wait_for_none(&["Mapping of The Old Barn"]).await;
    keys.sees(&["mapping of The Old Barn / HubSpot: done"]).await;
    keys.acts_on("retry 7/hubspot").await;
    keys.sees(&["(x) rendered anew", "Type 12 to confirm"]).await;
    keys.types("12").await;
    keys.press("Enter").await;
    wait_until("all of them arrived with the new mapping", async || scene.guests() == 12).await;
    keys.sees_line(&["HubSpot", "The Old Barn", "✓ ok"]).await;
    keys.took("c");
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn a_leaked_secret_is_rotated_now_and_another_as_planned() {
    let scene = scenes::hook().await;
    let knows = scenes::knows_one_secret(&scene);

    let mut keys = Keys::start(&scene.daemon).await;
    keys.sees(&["40, worst first"]).await;
    keys.acts_on("rotate 7/hook").await;
    keys.sees(&["Rotate the signing secret of The Old Barn / hook?", "24 hours"]).await;
    keys.types("hook").await;
    keys.press("Enter").await;
    let leaked = keys.takes_the_secret().await;
    keys.took("f, leaked");
    knows.only(&leaked);
    scene.post(0).await;
    scene.receiver.wait_for(1).await;
    wait_state(&scene, &scene.integration, "delivered", 1).await;

    keys.pressed.clear();
    keys.acts_on("stage 7/hook").await;
    keys.sees(&["Stage a new signing secret for The Old Barn / hook?", "pushes wait"]).await;
    keys.types("hook").await;
    keys.press("Enter").await;
    let planned = keys.takes_the_secret().await;
    scene.post(1).await;
    wait_state(&scene, &scene.integration, "held", 1).await;
    // The receiver is changed: from now on it refuses what the old one signed.
    knows.only(&planned);
    keys.acts_on("cut over 7/hook").await;
    keys.sees(&["Cut over The Old Barn / hook to the staged secret?"]).await;
    keys.press("y").await;
    scene.receiver.wait_for(2).await;
    assert_ne!(planned, leaked);
    keys.took("f, as planned");
    wait_state(&scene, &scene.integration, "delivered", 2).await;
    assert_eq!((scene.receiver.count(), knows.refused()), (2, 0), "no push was refused");
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn a_full_plan_is_met_knowingly_by_a_new_integration() {
    let scene = scenes::full_plan().await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("c").await;
    keys.sees(&["One company only"]).await;
    keys.types("rosewood").await;
    keys.press("Enter").await;
    keys.sees(&["[Rosewood Hall]"]).await;
    keys.press("n").await;
    keys.sees(&["which target?", "webhook"]).await;
    keys.types("webhook").await;
    keys.press("Enter").await;
    keys.sees(&["New webhook of Rosewood Hall", "url *", "[ ] disabled"]).await;
    keys.types(&scene.receiver.url("/second")).await;
    keys.press("Enter").await;
    // What was typed is still there, and the way out is named.
    keys.sees(&["plan starter", "/second", "[ ] disabled"]).await;
    keys.press("Ctrl-d").await;
    keys.sees(&["[x] disabled"]).await;
    keys.press("Enter").await;
    keys.sees(&["One-time secret", "The secret of Rosewood Hall / webhook"]).await;
    keys.press(" ").await;
    keys.press("Enter").await;
    keys.sees(&["new integration Rosewood Hall / webhook: done", "disabled"]).await;
    keys.took("h");
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_what_it_stopped_is_delivered() {
    let scene = Crm::start().await;
    scene.revoke_token();
    scenes::die(&scene, 0..40).await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.sees_line(&["HubSpot", "The Old Barn", "! CREDENTIALS", "40"]).await;
    keys.acts_on("replace credentials 7/hubspot").await;
    keys.sees(&["New credentials of The Old Barn / HubSpot", "token"]).await;
    keys.types("pat-eu1-second").await;
    keys.press("Enter").await;
    keys.sees(&["The new credentials work", "Type 40 to confirm"]).await;
    assert!(!keys.console.shown().text().contains("pat-eu1"), "it is never shown");
    keys.types("40").await;
    keys.press("Enter").await;
    wait_state(&scene, &scene.integration, "delivered", 40).await;
    keys.sees_line(&["HubSpot", "The Old Barn", "✓ ok"]).await;
    keys.console.wait_for_none(&["CREDENTIALS"]).await;
    keys.took("b");
    assert_eq!(scene.fake.with(|hubspot| hubspot.notes.len()), 40);
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn a_wrong_address_is_corrected_in_the_form_and_its_secret_header_stays() {
    let judge = Judge::new(|request| if request.path.starts_with("/right") { 200 } else { 404 });
    let secret = "a-secret-that-is-never-shown-whole";
    let scene = Scene::set().behaviour(Behaviour::Judged(judge)).webhook("hook", "/wrong");
    let scene = scene.config(json!({ "headers": { "X-Api-Key": secret } })).start().await;
    scenes::die(&scene, 0..1).await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.sees(&["hook", "1 dead"]).await;
    keys.press(",").await;
    keys.sees(&["Settings of The Old Barn / hook", "/wrong"]).await;
    assert!(!keys.console.shown().text().contains(secret), "it is shown shortened");
    keys.press("Down").await;
    keys.press("Ctrl-u").await;
    keys.types(&scene.receiver.url("/right")).await;
    keys.press("Enter").await;
    keys.sees(&["settings of The Old Barn / hook: done"]).await;
    keys.press("r").await;
    keys.sees(&["Retry every dead delivery", "1 delivery"]).await;
    keys.press("y").await;
    wait_state(&scene, &scene.integration, "delivered", 1).await;
    assert!(keys.pressed.len() <= 9, "{:?}", keys.pressed);
    let sent = scene.receiver.requests().pop().unwrap();
    assert_eq!((sent.path.as_str(), sent.header("x-api-key")), ("/right", Some(secret)));
    // It does not go along to another host.
    let request = v1::GetIntegrationRequest { integration: scene.integration.clone() };
    let found = scene.operator.integrations().get_integration(request).await.unwrap().into_inner();
    let mut config: Value = serde_json::from_str(&found.integration.unwrap().config).unwrap();
    assert!(config["headers"]["X-Api-Key"].as_str().unwrap().ends_with('…'), "{config}");
    config["url"] = json!("http://localhost:9/right");
    let update = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        config: Some(config.to_string()),
        ..Default::default()
    };
    let refused = scene.operator.integrations().update_integration(update).await.unwrap_err();
    assert!(refused.message().contains("X-Api-Key: this is the credential as it is shown"), "{refused:?}");
    drop(keys);
    scene.end().await;
}
