//! What somebody tries who should not: its line in the log says who it was, as far as that is known, and holds no secret.

use leadline_fakes::sample_lead;
use leadline_proto::v1::{self, lead_service_client::LeadServiceClient};
use leadline_tests::{ChildDaemon, Database, Operator, http, post_lead, request_id, wait_until};
use serde_json::{Value, json};

use super::access::{Authority, connect_from, show};

/// What the lines of the security log say, without when and from where.
fn attempts(daemon: &ChildDaemon) -> Vec<Value> {
    let lines = daemon.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let lines = lines.filter(|line| line["event"] == "security_attempt");
    lines
        .map(|line| {
            assert_eq!(
                (&line["client"], &line["target"]),
                (&json!("127.0.0.1"), &json!("leadline::security"))
            );
            json!([line["message"], line["company"], line["key"], line["token"], line["times"]])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_names_company_key_or_token_and_no_secret() {
    let (authority, database) = (Authority::new(), Database::create().await);
    let tls = authority.certify("control", "localhost");
    let [cert, key] = [tls.cert.display(), tls.key.display()];
    let tls = [format!("--control-tls-cert={cert}"), format!("--control-tls-key={key}")];
    let remote = ["--control-listen=127.0.0.1:0", &tls[0], &tls[1]];
    let mut daemon = ChildDaemon::start(Some(&database), &remote).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    let request = v1::CreateIntakeKeyRequest {
        request_id: request_id(),
        company: "7".to_owned(),
        require_signature: true,
        ..Default::default()
    };
    let signed = operator.keys().create_intake_key(request).await.unwrap().into_inner();

    let (url, lead) = (daemon.url("/v1/leads"), sample_lead(1).to_string());
    let wrong = format!("llk_7_{}", "a".repeat(43));
    for key in [&wrong, &wrong, &signed.key] {
        assert_eq!(post_lead(&url, key, lead.clone()).await.0, 401);
    }
    let read = format!("{url}/{}", sample_lead(1)["lead"]["uuid"].as_str().unwrap());
    let refused = http().get(read).bearer_auth(&signed.key).send().await.unwrap();
    assert_eq!(refused.status(), 403);

    let request = v1::CreateTokenRequest {
        request_id: request_id(),
        role: v1::Role::Viewer.into(),
        name: "mara".to_owned(),
        ..Default::default()
    };
    let token = operator.tokens().create_token(request).await.unwrap().into_inner();
    let revoke = v1::RevokeTokenRequest { request_id: request_id(), id: token.id.clone() };
    operator.tokens().revoke_token(revoke).await.unwrap();
    let address = std::fs::read_to_string(daemon.dir().join("control.addr")).unwrap();
    let port = address.trim().rsplit_once(':').unwrap().1.parse().unwrap();
    let channel = connect_from([127, 0, 0, 1].into(), port, &authority.file(), None).await.unwrap();
    for shown in [None, Some("llt_unknown"), Some(&*token.token)] {
        let mut leads = LeadServiceClient::new(show(channel.clone(), shown));
        assert!(leads.list_leads(v1::ListLeadsRequest::default()).await.is_err());
    }
    let expected = json!([
        ["wrong intake key", 7, null, null, 1],
        ["missing or wrong signature", 7, signed.id, null, 1],
        ["read with a key that may not read", 7, signed.id, null, 1],
        ["control call without a token", null, null, null, 1],
        ["wrong control token", null, null, null, 1],
        ["wrong control token", null, null, token.id, 1],
    ]);
    wait_until("all of it is logged", async || attempts(&daemon).len() >= 6).await;
    assert_eq!(json!(attempts(&daemon)), expected);
    assert_eq!(daemon.stop().await, Some(0));
    let log = daemon.log().join("\n");
    for secret in [&wrong[6..], &signed.key[6..], &token.token] {
        assert!(!log.contains(secret), "{secret} is logged");
    }
}
