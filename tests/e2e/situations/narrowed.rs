//! One company is picked, and everything narrows to it: what is seen, what is counted, what is pushed.

use super::*;

#[tokio::test]
async fn a_cause_at_two_companies_is_that_of_one_while_one_is_looked_at() {
    let refusal = json!({ "error": "no such list" }).to_string();
    let scene = Scene::set().behaviour(Behaviour::RefuseAll(422, refusal)).webhook("crm", "/seven");
    let scene = scene.start().await;
    let other = scene.operator.company(8).await;
    let two = scene.operator.webhook(8, "crm", &scene.receiver.url("/eight"), json!({})).await;
    let two = two.integration.unwrap().id;
    for n in 2..5 {
        post(&scene.daemon, &other, n).await;
    }
    scenes::die(&scene, 0..2).await;
    wait_state(&scene, &two, "dead", 3).await;
    scene.receiver.set(Behaviour::Good);
    let before = scene.receiver.count();

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("2").await;
    keys.sees(&["Failures by cause", "✗ 5", "Leads of this cause 5"]).await;
    keys.press("c").await;
    keys.sees(&["One company only"]).await;
    keys.types("7").await;
    keys.press("Enter").await;
    keys.sees(&["[The Old Barn]", "✗ 2", "Leads of this cause 2"]).await;
    keys.press("r").await;
    keys.sees(&["Retry all dead deliveries of this cause of The Old Barn?", "2 deliveries"]).await;
    keys.press("y").await;
    wait_state(&scene, &scene.integration, "delivered", 2).await;
    keys.console.wait_for_none(&["✗ 2"]).await;
    let paths: Vec<String> =
        scene.receiver.requests().into_iter().skip(before).map(|request| request.path).collect();
    assert_eq!(paths, ["/seven", "/seven"], "the other company's were left alone");
    wait_state(&scene, &two, "dead", 3).await;
    // The job is that company's alone, and says what it was.
    keys.press("4").await;
    keys.sees(&["Jobs of this company alone 1", "retry dead of cause"]).await;
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn what_a_bulk_skip_left_out_is_put_back_as_a_whole() {
    let scene = Scene::set().behaviour(Behaviour::RefuseAll(422, "no".into())).webhook("crm", "/hook");
    let scene = scene.start().await;
    scenes::die(&scene, 0..12).await;
    let skipped = scene.cli.json(&["delivery", "skip", "--integration", "7/crm", "--yes"]).await;
    assert_eq!(skipped["count"], 12, "{skipped}");

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("4").await;
    keys.sees(&["skip pending, held"]).await;
    keys.press("a").await;
    keys.sees(&["Actions", "put back what was skipped"]).await;
    keys.press("u").await;
    keys.sees(&["Put back all 12 that this job skipped?", "Type 12 to confirm"]).await;
    keys.types("12").await;
    keys.press("Enter").await;
    wait_state(&scene, &scene.integration, "dead", 12).await;
    keys.sees(&["12 deliveries"]).await;
    drop(keys);
    scene.end().await;
}
