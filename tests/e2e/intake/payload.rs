//! Payloads of integrations that would not push them.

use leadline_proto::v1;
use leadline_tests::{Scene, request_id};
use serde_json::{Value, json};
use tonic::Code;

#[tokio::test]
async fn a_connector_that_makes_its_own_shape_takes_no_other_payload() {
    let Scene { daemon, operator, .. } = Scene::set().no_webhook().start().await;
    let refused = |connector: &str| {
        format!(
            "payload \"save_lead\": connector {connector} makes a shape of its own; leave it out, or use one of make, n8n, \
             zapier, webhook"
        )
    };
    let config = json!({"host": "smtp.example.com", "from": "a@example.com", "to": "b@example.com"});
    let create = |connector: &str, config: &Value| v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: connector.into(),
        name: connector.into(),
        config: config.to_string(),
        payload: v1::Payload::SaveLead.into(),
        ..Default::default()
    };
    for (connector, config) in [
        ("slack", json!({})),
        ("email", config.clone()),
        ("hubspot", json!({})),
        ("rest", json!({"base_url": "https://crm.example.com", "path": "/leads"})),
    ] {
        let answer =
            operator.integrations().create_integration(create(connector, &config)).await.unwrap_err();
        assert_eq!((answer.code(), answer.message()), (Code::InvalidArgument, refused(connector).as_str()));
    }
    let id = operator.connect(7, "email", config, Value::Null).await.id;
    let update = |payload: v1::Payload| v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: id.clone(),
        payload: Some(payload.into()),
        ..Default::default()
    };
    let answer = operator.integrations().update_integration(update(v1::Payload::SaveLead)).await.unwrap_err();
    assert_eq!(answer.message(), refused("email"));
    let preview = v1::PreviewIntegrationRequest {
        integration: id.clone(),
        payload: Some(v1::Payload::SaveLead.into()),
        ..Default::default()
    };
    let answer = operator.integrations().preview_integration(preview).await.unwrap_err();
    assert_eq!(answer.message(), refused("email"));
    // What changes nothing is no mistake.
    operator.integrations().update_integration(update(v1::Payload::V1)).await.unwrap();
    daemon.stop().await;
}
