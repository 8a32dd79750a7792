//! What somebody tries who should not: its line in the log says who it was, as far as that is known, and holds no secret.

use leadline_fakes::sample_lead;
use leadline_proto::v1::{
    self, delivery_service_client::DeliveryServiceClient,
    integration_service_client::IntegrationServiceClient, lead_service_client::LeadServiceClient,
    system_service_client::SystemServiceClient,
};
use leadline_tests::{
    ChildDaemon, Database, Operator, control, http, left_out, post_lead, request_id, wait_until,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    access::{Authority, connect_from, show, walk::reason},
    auth::{NOBODY, relay},
};

/// What the lines of the security log say, without when and from where.
fn attempts(daemon: &ChildDaemon) -> Vec<Value> {
    let lines = daemon.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let lines = lines.filter(|line| line["event"] == "security_attempt");
    lines
        .map(|line| {
            let client = if line["uid"].is_null() { "127.0.0.1" } else { "socket" };
            assert_eq!((&line["client"], &line["target"]), (&json!(client), &json!("leadline::security")));
            let who = if line["uid"].is_null() { &line["token"] } else { &line["uid"] };
            json!([line["message"], line["company"], line["key"], who, line["times"]])
        })
        .collect()
}

/// What a viewer of one company tries beyond that. Answers the token's id.
async fn beyond_what_it_may(operator: &Operator, channel: &Channel) -> String {
    let request = v1::CreateTokenRequest {
        request_id: request_id(),
        role: v1::Role::Viewer.into(),
        company: "7".to_owned(),
        name: "ann".to_owned(),
        ..Default::default()
    };
    let token = operator.tokens().create_token(request).await.unwrap().into_inner();
    let wire = show(channel.clone(), Some(&token.token));
    let reset = v1::ResetIntegrationRequest { request_id: request_id(), ..Default::default() };
    let told = IntegrationServiceClient::new(wire.clone()).reset_integration(reset).await.unwrap_err();
    assert_eq!(reason(&told), "NEEDS_ROLE");
    let told = SystemServiceClient::new(wire.clone()).get_system(v1::GetSystemRequest {}).await.unwrap_err();
    assert_eq!(reason(&told), "SPANS_COMPANIES");
    let filter = Some(v1::DeliveryFilter { error: "zeb".to_owned(), ..Default::default() });
    let list = v1::ListDeliveriesRequest { filter, ..Default::default() };
    let told = DeliveryServiceClient::new(wire).list_deliveries(list).await.unwrap_err();
    assert_eq!(reason(&told), "PEOPLE_MASKED");
    token.id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_certificate_that_is_asked_for_is_told_of() {
    let [authority, clients, others] = [(); 3].map(|()| Authority::new());
    let strangers = others.certify("theirs", "console");
    let tls = authority.certify("control", "localhost");
    let files = [&tls.cert, &tls.key, &clients.file()].map(|file| file.display().to_string());
    let args = [
        "--control-listen=127.0.0.1:0".to_owned(),
        format!("--control-tls-cert={}", files[0]),
        format!("--control-tls-key={}", files[1]),
        format!("--control-client-ca={}", files[2]),
    ];
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &args.each_ref().map(String::as_str)).await;
    let port = control_port(&daemon);
    for identity in [None, Some(&strangers)] {
        let connected = connect_from([127, 0, 0, 1].into(), port, &authority.file(), identity).await;
        if let Ok(channel) = connected {
            let mut leads = LeadServiceClient::new(show(channel, None));
            assert!(leads.list_leads(v1::ListLeadsRequest::default()).await.is_err());
        }
    }
    let expected = json!(["missing or foreign client certificate", null, null, null, 1]);
    wait_until("it is logged", async || !attempts(&daemon).is_empty()).await;
    assert_eq!(attempts(&daemon), [expected], "once, however often it is tried within some seconds");
    assert_eq!(daemon.stop().await, Some(0));
}

/// The port of a daemon's control API on the network.
fn control_port(daemon: &ChildDaemon) -> u16 {
    let address = std::fs::read_to_string(daemon.dir().join("control.addr")).unwrap();
    address.trim().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Another user of the machine calls, without a token and with one that nobody made; what is to be told of that.
async fn a_stranger_calls(daemon: &ChildDaemon) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(dir.path()).unwrap()) != 0 {
        left_out("LEADLINE_ROOT_REQUIRED", "root, who alone can be another user");
        return Vec::new();
    }
    let _relay = relay(dir.path(), &daemon.socket(), NOBODY).await;
    let stranger = control(&dir.path().join("relay.sock")).await;
    let wrong = LeadServiceClient::new(show(stranger.clone(), Some("llt_unknown")));
    for mut leads in [LeadServiceClient::new(show(stranger, None)), wrong] {
        assert!(leads.list_leads(v1::ListLeadsRequest::default()).await.is_err());
    }
    vec![
        json!(["control call by a user who is no operator", null, null, NOBODY, 1]),
        json!(["wrong control token", null, null, NOBODY, 1]),
    ]
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
    let channel =
        connect_from([127, 0, 0, 1].into(), control_port(&daemon), &authority.file(), None).await.unwrap();
    for shown in [None, Some("llt_unknown"), Some(&*token.token)] {
        let mut leads = LeadServiceClient::new(show(channel.clone(), shown));
        assert!(leads.list_leads(v1::ListLeadsRequest::default()).await.is_err());
    }
    let known = beyond_what_it_may(&operator, &channel).await;
    let mut expected = json!([
        ["wrong intake key", 7, null, null, 1],
        ["missing or wrong signature", 7, signed.id, null, 1],
        ["read with a key that may not read", 7, signed.id, null, 1],
        ["control call without a token", null, null, null, 1],
        ["wrong control token", null, null, null, 1],
        ["wrong control token", null, null, token.id, 1],
        ["control call beyond its role", 7, null, known, 1],
        ["control call beyond its company", 7, null, known, 1],
        ["control call for people who are masked", 7, null, known, 1],
    ]);
    let expected = expected.as_array_mut().unwrap();
    expected.extend(a_stranger_calls(&daemon).await);
    wait_until("all of it is logged", async || attempts(&daemon).len() >= expected.len()).await;
    assert_eq!(json!(attempts(&daemon)), json!(expected));
    assert_eq!(daemon.stop().await, Some(0));
    let log = daemon.log().join("\n");
    for secret in [&wrong[6..], &signed.key[6..], &token.token] {
        assert!(!log.contains(secret), "{secret} is logged");
    }
}
