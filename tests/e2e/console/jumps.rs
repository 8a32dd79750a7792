//! Jumping by id to what no screen has loaded, in front of a real daemon.

use leadline_proto::v1;
use leadline_tests::request_id;

use super::{Behaviour, ENTER, Scene, WIDE};

#[tokio::test]
async fn whatever_has_an_id_is_opened_by_it() {
    let mut scene = Scene::set(Behaviour::RefuseAll(400, "no such field".into()), WIDE).await;
    scene.console.wait_for_all(&["LIVE", "crm-of-barn"]).await;
    let request = v1::CreateFlowRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "all of them".into(),
        when: "true".into(),
        then: vec![scene.set.integration.clone()],
        ..Default::default()
    };
    let made = scene.set.operator.flows().create_flow(request).await.unwrap().into_inner();
    scene.set.post(1).await;
    scene.set.wait_for_states(&["dead"]).await;
    let delivery = scene.set.deliveries().await.remove(0);
    let attempt = scene.set.operator.finished(&scene.set.integration).await.remove(0);
    for (jump, expected) in [
        (format!("delivery {}", delivery.id), ["Integrations", "✗ dead"]),
        (format!("lead {}", delivery.lead), ["Integrations", "✗ dead"]),
        (format!("attempt {}", attempt.id.to_lowercase()), ["no such field", "Request"]),
        (format!("flow {}", made.flow.unwrap().id), ["all of them: true", "intake keys"]),
        (format!("delivery {}", attempt.id), ["no delivery", &attempt.id]),
    ] {
        scene.console.press(":");
        scene.console.wait_for_all(&["Command"]).await;
        scene.console.press(&jump);
        scene.console.wait_for_all(&[": open it"]).await;
        scene.console.press(ENTER);
        scene.console.wait_for_all(&expected).await;
        scene.console.press("[");
        scene.console.wait_for_all(&["[1 Overview]"]).await;
    }
    scene.end().await;
}
