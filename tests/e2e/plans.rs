//! What each plan allows, counted in integrations.

use leadline_proto::v1;
use leadline_tests::{Cli, Daemon, Operator, request_id};
use serde_json::{Value, json};
use tonic::{Code, Status};

async fn create(
    operator: &Operator,
    company: &str,
    connector: &str,
    name: &str,
    config: Value,
) -> Result<(), Status> {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: company.into(),
        connector: connector.into(),
        name: name.into(),
        config: config.to_string(),
        ..Default::default()
    };
    operator.integrations().create_integration(request).await.map(drop)
}

async fn connect(operator: &Operator, company: &str, name: &str) -> Result<(), Status> {
    create(operator, company, "webhook", name, json!({ "url": "https://example.com/" })).await
}

#[tokio::test]
async fn plans_allow_none_one_or_any_number() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    for (plan, allowed) in [("free", 0), ("starter", 1), ("pro", 5), ("multi", 5)] {
        let request = v1::CreateCompanyRequest {
            request_id: request_id(),
            name: plan.into(),
            plan: v1::Plan::from_word(plan).unwrap().into(),
            ..Default::default()
        };
        operator.companies().create_company(request).await.unwrap();
        for n in 0..allowed {
            connect(&operator, plan, &format!("hook-{n}")).await.unwrap();
        }
        if allowed < 5 {
            let refused = connect(&operator, plan, "one-too-many").await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            for part in [&*format!("plan {plan} allows"), "create it disabled", "change the plan"] {
                assert!(refused.message().contains(part), "{part}: {refused}");
            }
        }
        let request = v1::ListIntegrationsRequest { company: plan.into(), ..Default::default() };
        let there = operator.integrations().list_integrations(request).await.unwrap().into_inner();
        assert_eq!(there.integrations.len(), allowed, "{plan}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn email_never_counts() {
    let daemon = Daemon::start().await;
    let (operator, cli) = (Operator::new(daemon.control().await), Cli::new(daemon.socket()));
    let mail = json!({"host": "mail.example.com", "from": "leads@barn.example", "to": "ann@barn.example"});
    for (plan, hooks) in [("free", 0), ("starter", 1)] {
        cli.json(&["company", "create", "--name", plan, "--plan", plan]).await;
        for name in ["mail", "more mail"] {
            create(&operator, plan, "email", name, mail.clone()).await.unwrap();
        }
        for n in 0..hooks {
            connect(&operator, plan, &format!("hook-{n}")).await.unwrap();
        }
        connect(&operator, plan, "one-too-many").await.unwrap_err();
        // At the limit it may be enabled again too.
        let shown = cli.json(&["integration", "list", "--company", plan]).await;
        let first = shown.as_array().unwrap().iter().find(|it| it["name"] == "mail").unwrap()["id"].clone();
        let id = first.as_str().unwrap();
        cli.json(&["integration", "disable", id]).await;
        assert_eq!(cli.json(&["integration", "enable", id]).await["enabled"], true, "{plan}");
    }
    // A downgrade asks for no mail to be disabled.
    cli.json(&["company", "set-plan", "starter", "--plan", "pro"]).await;
    assert_eq!(cli.json(&["company", "set-plan", "starter", "--plan", "starter"]).await["plan"], "starter");
    let refused = cli.run(&["company", "set-plan", "starter", "--plan", "free"]).await;
    assert!(
        refused.error(1).starts_with("plan free allows no enabled integration and \"hook-0\" is enabled: "),
        "{refused:?}"
    );
    let disabling = ["company", "set-plan", "starter", "--plan", "free", "--disable", "hook-0"];
    assert_eq!(cli.json(&disabling).await["plan"], "free");
    let enabled = cli.json(&["integration", "list", "--company", "starter"]).await;
    let enabled: Vec<_> =
        enabled.as_array().unwrap().iter().filter(|it| it["enabled"] == true).map(|it| &it["name"]).collect();
    assert_eq!(enabled, [&json!("more mail"), &json!("mail")]);
    daemon.stop().await;
}
