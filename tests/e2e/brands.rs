//! A brand that is changed: what it would break is refused, and what it breaks all the same says so.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{Cli, Daemon, Database, Operator, Scene, post_lead, wait_until};
use leadlined::domain::brand::Brand;
use serde_json::json;

#[tokio::test]
async fn a_company_takes_no_brand_that_its_integrations_headers_are_reserved_for() {
    let Scene { daemon, operator, cli, receiver, key, .. } = Scene::set().no_webhook().start().await;
    let headers = |name: &str| json!({"headers": {name: "s3cr3t-token"}});
    for (name, header) in [("crm", "X-Leadpush-Token"), ("fine", "X-Token"), ("old", "x-leadpush-key")] {
        operator.webhook(7, name, &receiver.url("/"), headers(header)).await;
    }
    let before = daemon.database().contents().await;
    let refused = cli.run(&["company", "update", "7", "--brand", "Leadpush/2.0"]).await;
    assert_eq!(
        refused.error(1),
        "brand \"Leadpush/2.0\" does not go with integration \"crm\" (header X-Leadpush-Token: is reserved for the \
         delivery itself; remove it) and integration \"old\" (header x-leadpush-key: is reserved for the delivery \
         itself; remove it): change that first, or choose another brand; `leadline integration update ID --config …` \
         changes it"
    );
    assert_eq!(daemon.database().contents().await, before, "a refusal changed something");
    for name in ["crm", "old"] {
        let mut config = headers("X-Token");
        config["url"] = json!(receiver.url("/"));
        cli.json(&["integration", "update", name, "--config", &config.to_string()]).await;
    }
    assert_eq!(
        cli.json(&["company", "update", "7", "--brand", "Leadpush/2.0"]).await["brand"],
        "Leadpush/2.0"
    );
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    assert_eq!(status, 202, "{answer}");
    for request in receiver.wait_for(3).await {
        assert_eq!(request.header("x-leadpush-event"), Some("lead.created"));
        assert_eq!(request.header("x-token"), Some("s3cr3t-token"));
    }
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_daemon_of_another_brand_names_the_header_that_it_cannot_push() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(7).await;
    let more = json!({"headers": {"X-Innkept-Token": "s3cr3t-token"}});
    operator.webhook(7, "crm", &receiver.url("/"), more).await;
    daemon.stop().await;
    let daemon =
        Daemon::start_with(&database, |config| config.brand = Brand::parse("Innkept/1.0").unwrap()).await;
    let cli = Cli::new(daemon.socket());
    // The first command may have to be built.
    cli.json(&["company", "list"]).await;
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    assert_eq!(status, 202, "{answer}");
    let delivery = answer["deliveries"][0]["delivery_id"].as_str().unwrap();
    wait_until("it is dead", async || cli.json(&["delivery", "show", delivery]).await["state"] == "dead")
        .await;
    assert_eq!(cli.json(&["delivery", "show", delivery]).await["reason"], "mapping");
    let card = cli.json(&["integration", "show", "crm"]).await;
    assert_eq!(
        card["last_error"],
        "the configuration is not usable: header X-Innkept-Token: is reserved for the delivery itself; remove it"
    );
    assert_eq!(receiver.count(), 0);
    daemon.stop().await;
    receiver.stop().await;
}
