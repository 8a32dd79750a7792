//! One company is picked, and everything narrows to it: what is seen, what is counted, what is pushed.

use super::*;

#[tokio::test]
async fn a_cause_at_two_companies_is_that_of_one_while_one_is_looked_at() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let (key, other) = (operator.company(7).await, operator.company(8).await);
    let refusal = json!({ "error": "no such list" }).to_string();
    let receiver = Receiver::start(Behaviour::RefuseAll(422, refusal)).await.unwrap();
    let one = operator.webhook(7, "crm", &receiver.url("/seven"), json!({})).await.integration.unwrap().id;
    let two = operator.webhook(8, "crm", &receiver.url("/eight"), json!({})).await.integration.unwrap().id;
    for n in 0..2 {
        post(&daemon, &key, n).await;
    }
    for n in 2..5 {
        post(&daemon, &other, n).await;
    }
    wait_state(&operator, &one, "dead", 2).await;
    wait_state(&operator, &two, "dead", 3).await;
    receiver.set(Behaviour::Good);
    let before = receiver.count();

    let mut keys = Keys::start(&daemon).await;
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
    wait_state(&operator, &one, "delivered", 2).await;
    keys.console.wait_for_none(&["✗ 2"]).await;
    let paths: Vec<String> =
        receiver.requests().into_iter().skip(before).map(|request| request.path).collect();
    assert_eq!(paths, ["/seven", "/seven"], "the other company's were left alone");
    wait_state(&operator, &two, "dead", 3).await;
    // The job is that company's alone, and says what it was.
    keys.press("4").await;
    keys.sees(&["Jobs of this company alone 1", "retry dead of cause"]).await;
    drop(keys);
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn what_a_bulk_skip_left_out_is_put_back_as_a_whole() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let receiver = Receiver::start(Behaviour::RefuseAll(422, "no".into())).await.unwrap();
    let id = operator.webhook(7, "crm", &receiver.url("/hook"), json!({})).await.integration.unwrap().id;
    for n in 0..12 {
        post(&daemon, &key, n).await;
    }
    wait_state(&operator, &id, "dead", 12).await;
    let cli = leadline_tests::Cli::new(daemon.socket());
    let skipped = cli.json(&["delivery", "skip", "--integration", "7/crm", "--yes"]).await;
    assert_eq!(skipped["count"], 12, "{skipped}");

    let mut keys = Keys::start(&daemon).await;
    keys.press("4").await;
    keys.sees(&["skip pending, held"]).await;
    keys.press("a").await;
    keys.sees(&["Actions", "put back what was skipped"]).await;
    keys.press("u").await;
    keys.sees(&["Put back all 12 that this job skipped?", "Type 12 to confirm"]).await;
    keys.types("12").await;
    keys.press("Enter").await;
    wait_state(&operator, &id, "dead", 12).await;
    keys.sees(&["12 deliveries"]).await;
    drop(keys);
    daemon.stop().await;
    receiver.stop().await;
}
