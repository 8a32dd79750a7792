//! What somebody may try who copied a post on its way, against a running daemon.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Cli, Daemon, Operator, Scene, http, request_id, wait_until};
use serde_json::{Value, json};

#[tokio::test]
async fn a_signed_post_that_is_sent_again_makes_nothing_and_pushes_nothing() {
    let scene = Scene::with(Behaviour::Good).await;
    let request = v1::CreateIntakeKeyRequest {
        request_id: request_id(),
        company: "7".to_owned(),
        require_signature: true,
        ..Default::default()
    };
    let key = scene.operator.keys().create_intake_key(request).await.unwrap().into_inner();
    // Without a uuid of its own, so that nothing but the signature's id tells the copies from new leads.
    let mut lead = sample_lead(1);
    lead["lead"].as_object_mut().unwrap().remove("uuid");
    let (body, now) = (lead.to_string(), unix_now());
    let webhook = standardwebhooks::Webhook::new(&key.signing_secret).unwrap();
    let signature = webhook.sign("msg_1", now, body.as_bytes()).unwrap();
    let post = async |at: i64, body: &str| {
        let post = http().post(scene.daemon.url("/v1/leads")).bearer_auth(&key.key);
        let post = post.header("content-type", "application/json").header("webhook-id", "msg_1");
        let post = post.header("webhook-timestamp", at).header("webhook-signature", &signature);
        let answer = post.body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = post(now, &body).await;
    assert_eq!((status, &first["status"]), (202, &json!("accepted")), "{first}");
    scene.receiver.wait_for(1).await;
    for _ in 0..50 {
        let (status, again) = post(now, &body).await;
        assert_eq!((status, &again["status"], &again["lead"]), (202, &json!("duplicate"), &first["lead"]));
    }
    assert_eq!(post(now + 1, &body).await.0, 401, "another time is another signature");
    assert_eq!(
        post(now, &body.replace("sample", "other").replacen(':', ": ", 1)).await.0,
        401,
        "another body, too"
    );
    scene.wait_for_states(&["delivered"]).await;
    assert!(scene.holds("(SELECT count(*) = 1 FROM lead)").await);
    assert_eq!(scene.receiver.count(), 1);
    println!("51 equal posts: one lead, one push");
    scene.end().await;
}

#[tokio::test]
async fn secrets_that_somebody_swaps_in_the_database_open_nowhere_and_their_pushes_say_so() {
    let scene = Scene::with(Behaviour::Good).await;
    let other = scene.operator.webhook(7, "other", &scene.receiver.url("/other"), json!({})).await;
    let other = other.integration.unwrap().id;
    for sql in [
        "UPDATE signing_secret s SET sealed = o.sealed FROM signing_secret o WHERE o.integration_id <> s.integration_id",
        "UPDATE integration SET version = version + 1",
    ] {
        sqlx::query(sql).execute(&scene.pool).await.unwrap();
    }
    scene.post(1).await;
    for integration in [&scene.integration, &other] {
        wait_until("its push has failed", async || {
            scene
                .operator
                .integration(integration)
                .await
                .health
                .unwrap()
                .last_error
                .contains("cannot be loaded")
        })
        .await;
    }
    let tested = scene.cli.run(&["integration", "test", "crm"]).await;
    assert_eq!(tested.code, 1, "{tested:?}");
    assert!(tested.stdout.contains("cannot be loaded"), "{tested:?}");
    assert_eq!(scene.receiver.count(), 0, "nothing was signed with another's secret, nor sent without");
    scene.end().await;
}

#[tokio::test]
async fn sealed_values_of_another_company_or_column_open_nowhere() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let cli = Cli::new(daemon.socket());
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let config = json!({"base_url": receiver.url(""), "method": "POST", "path": "/leads", "auth": "query"});
    let mut integrations = Vec::new();
    for company in [7, 8] {
        operator.company(company).await;
        let credentials = json!({"key": format!("the key of {company}")});
        integrations.push(operator.connect(company, "rest", config.clone(), credentials).await.id);
    }
    let pool = daemon.database().pool().await;
    let run = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        sqlx::raw_sql("UPDATE integration SET version = version + 1").execute(&pool).await.unwrap();
    };
    run("CREATE TABLE before AS SELECT id, sealed_config, sealed_credentials FROM integration").await;
    let whole: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM before WHERE sealed_config IS NOT NULL AND sealed_credentials IS NOT NULL",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(whole, 2, "there is something to exchange");
    for swap in [
        "UPDATE integration i SET sealed_config = o.sealed_config FROM before o WHERE o.id <> i.id",
        "UPDATE integration i SET sealed_credentials = o.sealed_credentials FROM before o WHERE o.id <> i.id",
        "UPDATE integration SET sealed_config = sealed_credentials",
        "UPDATE integration SET sealed_credentials = sealed_config",
    ] {
        run(swap).await;
        let pushed = receiver.count();
        for id in &integrations {
            let tested = cli.run(&["integration", "test", id]).await;
            assert!(tested.code == 1 && tested.stdout.contains("cannot be loaded"), "{swap}: {tested:?}");
        }
        assert_eq!(receiver.count(), pushed, "{swap}");
        run("UPDATE integration i SET sealed_config = b.sealed_config, sealed_credentials = b.sealed_credentials
             FROM before b WHERE b.id = i.id")
        .await;
        for id in &integrations {
            let tested = cli.run(&["integration", "test", id]).await;
            assert_eq!(tested.code, 0, "{tested:?}");
        }
    }
    daemon.stop().await;
    receiver.stop().await;
}

fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}
