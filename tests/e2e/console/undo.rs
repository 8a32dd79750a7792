//! The way back from a save, in front of a real daemon: it is taken, and not over what somebody else saved since.

use leadline_proto::v1;
use leadline_tests::request_id;
use serde_json::{Value, json};

use super::{Behaviour, ENTER, Scene, WIDE};

const BEFORE: &str = "lead.guest_count > 15";
/// What somebody else saves while the form is open.
const MEANWHILE: &str = "lead.guest_count > 42";

async fn when(scene: &Scene, flow: &str) -> String {
    let request = v1::GetFlowRequest { flow: flow.to_owned() };
    scene.set.operator.flows().get_flow(request).await.unwrap().into_inner().flow.unwrap().when
}

/// Somebody else saves a condition.
async fn save(scene: &Scene, flow: &str, when: &str) {
    let request = v1::UpdateFlowRequest {
        request_id: request_id(),
        flow: flow.to_owned(),
        when: Some(when.to_owned()),
        ..Default::default()
    };
    scene.set.operator.flows().update_flow(request).await.unwrap();
}

#[tokio::test]
async fn a_condition_is_put_back_unless_somebody_has_changed_it_since() {
    let mut scene = Scene::set(Behaviour::Good, WIDE).await;
    let request = v1::CreateFlowRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "big weddings".into(),
        when: BEFORE.into(),
        then: vec![scene.set.integration.clone()],
        ..Default::default()
    };
    let made = scene.set.operator.flows().create_flow(request).await.unwrap().into_inner();
    let flow = made.flow.unwrap().id;
    let console = &mut scene.console;
    console.wait_for_all(&["LIVE", "crm-of-barn"]).await;
    console.press("C");
    console.wait_for_all(&["big weddings", BEFORE]).await;
    console.press("E");
    console.wait_for_all(&["Flow big weddings", "cannot be decided"]).await;
    console.press("0");
    console.wait_for_all(&["Changed since it was asked"]).await;
    console.press(ENTER);
    console.wait_for_all(&["cannot be decided"]).await;
    // While the form is open somebody else saves another one: that is what the save replaces.
    save(&scene, &flow, MEANWHILE).await;
    let console = &mut scene.console;
    console.press("\x13");
    console.wait_for_all(&["Z undoes it"]).await;
    assert_eq!(when(&scene, &flow).await, "lead.guest_count > 150");

    save(&scene, &flow, "lead.guest_count > 99").await;
    let question =
        ["Put the flow big weddings back as before?", "again: lead.guest_count > 42", "instead of: "];
    scene.console.press("Z");
    scene.console.wait_for_all(&question).await;
    scene.console.answer("y").await;
    scene
        .console
        .wait_for_all(&["it is not what you saved: somebody has changed it since, and that would be lost"])
        .await;
    assert_eq!(when(&scene, &flow).await, "lead.guest_count > 99");

    save(&scene, &flow, "lead.guest_count > 150").await;
    scene.console.press("Z");
    scene.console.wait_for_all(&question).await;
    scene.console.answer("y").await;
    scene.console.wait_for_all(&["Z undoes it"]).await;
    assert_eq!(when(&scene, &flow).await, MEANWHILE);
    scene.end().await;
}

/// Somebody else changes the integration.
async fn update(scene: &Scene, mapping: Option<&str>, config: Option<Value>) {
    let request = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.set.integration.clone(),
        mapping: mapping.map(str::to_owned),
        config: config.map(|config| config.to_string()),
        ..Default::default()
    };
    scene.set.operator.integrations().update_integration(request).await.unwrap();
}

#[tokio::test]
async fn what_stood_just_before_a_save_is_put_back_whoever_had_saved_that() {
    let mut scene = Scene::set(Behaviour::Good, WIDE).await;
    scene.console.wait_for_all(&["LIVE", "crm-of-barn"]).await;
    scene.console.press("m");
    scene.console.wait_for_all(&["Mapping of The Old Barn", "webhook.test"]).await;
    update(&scene, Some(r#"{"lead.name":"theirs"}"#), None).await;
    scene.console.press("\x0b");
    scene.console.press(r#"{"lead.name":"ours"}"#);
    scene.console.wait_for_all(&[r#""lead.name":"ours""#]).await;
    scene.console.press("\x13");
    scene.console.wait_for_all(&["mapping of The Old Barn / crm-of-barn: done; Z undoes it"]).await;
    scene.console.press("Z");
    scene
        .console
        .wait_for_all(&[r#"again: {"lead.name":"theirs"}"#, r#"instead of: {"lead.name":"ours"}"#])
        .await;
    scene.console.answer("y").await;
    scene.console.wait_for_all(&["as before: done"]).await;
    let mapping = |it: &v1::Integration| serde_json::from_str::<Value>(&it.mapping).unwrap();
    let now = scene.set.operator.integration(&scene.set.integration).await;
    assert_eq!(mapping(&now), json!({ "lead.name": "theirs" }));

    // And so it is with settings.
    let url = |path: &str| scene.set.receiver.url(path);
    let (theirs, ours) = (url("/theirs"), url("/ours"));
    scene.console.press(",");
    scene.console.wait_for_all(&["Settings of The Old Barn", "Enter saves them"]).await;
    update(&scene, None, Some(json!({ "url": theirs }))).await;
    scene.console.press("\t\x15");
    scene.console.press(&ours);
    scene.console.wait_for_all(&[&ours]).await;
    scene.console.press(ENTER);
    scene.console.wait_for_all(&["settings of The Old Barn / crm-of-barn: done; Z undoes it"]).await;
    scene.console.press("Z");
    scene.console.wait_for_all(&[&format!("again: url {theirs}"), &format!("instead of: url {ours}")]).await;
    scene.console.answer("y").await;
    scene.console.wait_for_all(&["crm-of-barn as before: done"]).await;
    let now = scene.set.operator.integration(&scene.set.integration).await;
    let config: Value = serde_json::from_str(&now.config).unwrap();
    assert_eq!(config["url"], json!(theirs), "{config}");
    scene.end().await;
}
