//! What each plan allows, counted in integrations.

use leadline_proto::v1;
use leadline_tests::{Daemon, Operator, request_id};
use serde_json::json;
use tonic::{Code, Status};

async fn connect(operator: &Operator, company: &str, name: &str) -> Result<(), Status> {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: company.into(),
        connector: "webhook".into(),
        name: name.into(),
        config: json!({ "url": "https://example.com/" }).to_string(),
        ..Default::default()
    };
    operator.integrations().create_integration(request).await.map(drop)
}

#[tokio::test]
async fn plans_allow_none_one_or_any_number() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    for (plan, allowed) in [("free", 0), ("starter", 1), ("pro", 5), ("multi", 5)] {
        let request = v1::CreateCompanyRequest {
            request_id: request_id(),
            name: plan.into(),
            plan: plan.into(),
            ..Default::default()
        };
        operator.companies().create_company(request).await.unwrap();
        for n in 0..allowed {
            connect(&operator, plan, &format!("hook-{n}")).await.unwrap();
        }
        if allowed < 5 {
            let refused = connect(&operator, plan, "one-too-many").await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            for part in [&*format!("plan {plan} allows"), "--disabled", "set-plan"] {
                assert!(refused.message().contains(part), "{part}: {refused}");
            }
        }
        let request = v1::ListIntegrationsRequest { company: plan.into(), page: None };
        let there = operator.integrations().list_integrations(request).await.unwrap().into_inner();
        assert_eq!(there.integrations.len(), allowed, "{plan}");
    }
    daemon.stop().await;
}
