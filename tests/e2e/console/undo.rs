//! The way back from a save, in front of a real daemon: it is taken, and not over what somebody else saved since.

use leadline_proto::v1;
use leadline_tests::request_id;

use super::{Behaviour, ENTER, Scene, WIDE};

const BEFORE: &str = "lead.guest_count > 15";

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
    console.press("\x13");
    console.wait_for_all(&["Z undoes it"]).await;
    assert_eq!(when(&scene, &flow).await, "lead.guest_count > 150");

    save(&scene, &flow, "lead.guest_count > 99").await;
    let question = ["Put the flow big weddings back as before?", "again: lead.guest_count > 15"];
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
    assert_eq!(when(&scene, &flow).await, BEFORE);
    scene.end().await;
}
