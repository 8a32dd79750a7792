//! Zapier, Make and n8n: signed events at their doors, and what happens when a door is shut.

use leadline_fakes::{
    Fake, Fault, Reply,
    hooks::{Hooks, Product, Scenario},
    sample_lead,
};
use leadline_proto::v1;
use leadline_tests::{Operator, Scene, check_invariants, post_lead, request_id, wait_until};
use leadlined::domain::signing::verify_simple;
use serde_json::{Value, json};

const PRODUCTS: [(Product, &str, &str, &str); 3] = [
    (Product::Zapier, "zapier", "https://hooks.zapier.com", "/hooks/catch/123456/abcdefghijkl/"),
    (Product::Make, "make", "https://hook.eu2.make.com", "/abcdefghijklmnopqrstuvwxyz"),
    (Product::N8n, "n8n", "https://n8n.example.com", "/webhook/abcdefghijkl-leads"),
];

/// What the integration is created with. The answer has its signing secret.
async fn create(
    operator: &Operator,
    connector: &str,
    config: Value,
    credentials: Value,
) -> Result<v1::CreateIntegrationResponse, tonic::Status> {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: connector.into(),
        name: connector.into(),
        config: config.to_string(),
        credentials: credentials.to_string(),
        ..Default::default()
    };
    operator.integrations().create_integration(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_product_gets_signed_events_that_it_can_tell_apart() {
    let Scene { daemon, operator, key, .. } = Scene::set().no_webhook().start().await;
    for (n, (product, connector, host, path)) in PRODUCTS.into_iter().enumerate() {
        let fake = Fake::start(Hooks::new(product, path)).await.unwrap();
        let credentials = json!({"hook_url": format!("{host}{path}")});
        let created =
            create(&operator, connector, json!({"base_url": fake.url()}), credentials).await.unwrap();
        let (integration, secret) = (created.integration.unwrap().id, created.signing_secret);

        assert_eq!(operator.test(&integration).await.state().word(), "delivered");
        fake.fault("POST", Fault::Answer(Reply::status(502).body("bad gateway")));
        let lead = sample_lead(n + 1).to_string();
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead).await.0, 202);
        wait_until("sample and lead are there", async || fake.with(|hooks| hooks.runs.len()) == 2).await;
        wait_until("it is delivered", async || operator.badge(&integration).await == "ok").await;

        let (runs, events) = fake.with(|hooks| (hooks.runs.clone(), hooks.events()));
        assert_eq!((&events[0]["event"], &events[0]["test"]), (&json!("webhook.test"), &json!(true)));
        let delivery = operator.deliveries_of(&integration).await.remove(0);
        assert_eq!(events[1]["event_id"], json!(delivery.id));
        assert_eq!(events[1].get("test"), None);
        for run in &runs {
            let signature = run.header("x-leadline-signature").unwrap();
            assert!(verify_simple(&secret, &run.body, signature), "{connector}");
        }
        let requests = fake.requests();
        let [.., first, repeat] = requests.as_slice() else { panic!("too few") };
        assert_eq!(first.body, repeat.body, "a repeat is the same bytes");
        let attempts = operator.finished(&integration).await;
        let reported = format!("{attempts:?}");
        assert!(!reported.contains("abcdefghijkl"), "{reported}");
        operator
            .integrations()
            .disable_integration(v1::DisableIntegrationRequest { request_id: request_id(), integration })
            .await
            .unwrap();
        fake.stop().await;
    }
    let pool = daemon.database().pool().await;
    daemon.stop().await;
    check_invariants(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shut_door_is_said_in_words_that_help() {
    let Scene { daemon, operator, .. } = Scene::set().no_webhook().start().await;
    for (product, connector, host, path) in PRODUCTS {
        let fake = Fake::start(Hooks::new(product, path)).await.unwrap();
        fake.with(|hooks| hooks.hooks.clear());
        let credentials = json!({"hook_url": format!("{host}{path}")});
        let created =
            create(&operator, connector, json!({"base_url": fake.url()}), credentials).await.unwrap();
        let integration = created.integration.unwrap().id;
        let test = operator.test(&integration).await;
        // A workflow of n8n is away for some seconds while it is saved.
        let class = if connector == "n8n" { "transient" } else { "rejected" };
        assert_eq!((test.failure_class().word(), test.status_code), (class, Some(404)), "{}", test.error);
        assert!(test.error.starts_with(&format!("{connector} 404 ")), "{}", test.error);
        assert!(!format!("{test:?}").contains("abcdefghijkl"), "{test:?}");
        fake.with(|hooks| hooks.hooks.insert(path.to_owned(), Scenario::Full));
        let test = operator.test(&integration).await;
        assert!(["throttled", "transient"].contains(&test.failure_class().word()), "{}", test.error);
        fake.with(|hooks| hooks.hooks.insert(path.to_owned(), Scenario::On));
        assert_eq!(operator.test(&integration).await.state().word(), "delivered");
        fake.stop().await;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn urls_that_are_not_the_products_are_refused_with_a_hint() {
    let Scene { daemon, operator, .. } = Scene::set().no_webhook().start().await;
    for (connector, credentials, hint) in [
        (
            "zapier",
            json!({"hook_url": "https://example.com/hooks/catch/1/a/"}),
            "hooks.zapier.com/hooks/catch",
        ),
        ("make", json!({"hook_url": "https://example.com/abcdef"}), "hook.ZONE.make.com"),
        ("n8n", json!({"hook_url": "https://n8n.example.com/webhook-test/abc"}), "production URL"),
        ("slack", json!({"webhook_url": "https://example.com/services/a"}), "hooks.slack.com/services"),
        ("email", json!({"username": "only"}), "username and password"),
    ] {
        let config = if connector == "email" {
            json!({"host": "smtp.example.com", "from": "a@b.example", "to": "c@d.example"})
        } else {
            json!({})
        };
        let status = create(&operator, connector, config, credentials).await.unwrap_err();
        assert!(status.message().contains(hint), "{connector}: {}", status.message());
    }
    daemon.stop().await;
}
