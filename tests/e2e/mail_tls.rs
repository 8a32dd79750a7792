//! Mail over TLS: certificates that are trusted and that are not, and somebody in between.

use std::{fs, sync::Arc};

use leadline_fakes::{
    mail::{House, MailFault, MailServer, Stage},
    sample_lead,
};
use leadline_tests::{ChildDaemon, Database, Operator, post_lead};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

/// A certificate of 127.0.0.1, as text and at work.
fn certificate() -> (String, TlsAcceptor) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (cert.pem(), TlsAcceptor::from(Arc::new(config)))
}

fn house(tls: &TlsAcceptor, is_implicit: bool) -> House {
    let login = Some(("leads".to_owned(), "secret-password".to_owned()));
    House { tls: Some(tls.clone()), is_implicit, login, ..House::default() }
}

fn config(server: &MailServer, tls: &str) -> Value {
    json!({"host": "127.0.0.1", "port": server.port(), "tls": tls, "from": "leads@barn.example",
        "to": "sales@barn.example", "timeout_seconds": 5})
}

fn login() -> Value {
    json!({"username": "leads", "password": "secret-password"})
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_tls_to_servers_that_prove_who_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let ((trusted, ours), (_, theirs)) = (certificate(), certificate());
    let file = dir.path().join("trusted.pem");
    fs::write(&file, trusted).unwrap();
    let env = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let daemon = ChildDaemon::start_in(Some(&Database::create().await), &[], &env).await;
    let operator = Operator::new(daemon.control().await);
    for (company, tls, is_implicit) in [(7, "starttls", false), (8, "tls", true)] {
        let key = operator.company(company).await;
        let server = MailServer::start(house(&ours, is_implicit)).await.unwrap();
        let id = operator.connect(company, "email", config(&server, tls), login()).await.id;
        let test = operator.test(&id).await;
        assert_eq!(test.state().word(), "delivered", "{tls}: {}", test.error);
        let lead = sample_lead(1).to_string();
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead).await.0, 202);
        let message = server.wait_for(1).await.remove(0);
        assert!(message.is_secure && message.login.as_deref() == Some("leads"), "{message:?}");
        server.stop().await;

        let stranger = MailServer::start(house(&theirs, is_implicit)).await.unwrap();
        operator.company(company + 10).await;
        let id = operator.connect(company + 10, "email", config(&stranger, tls), login()).await.id;
        let test = operator.test(&id).await;
        assert_eq!(test.failure_class().word(), "transient", "{tls}: {}", test.error);
        assert!(test.error.contains("certificate"), "{tls}: {}", test.error);
        assert!(!stranger.said().iter().any(|said| said == "AUTH"), "{:?}", stranger.said());
        stranger.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_puts_behind_the_reply_to_starttls_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (trusted, ours) = certificate();
    let file = dir.path().join("trusted.pem");
    fs::write(&file, trusted).unwrap();
    let env = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let daemon = ChildDaemon::start_in(Some(&Database::create().await), &[], &env).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    let server = MailServer::start(house(&ours, false)).await.unwrap();
    let id = operator.connect(7, "email", config(&server, "starttls"), login()).await.id;
    server.fault(Stage::StartTls, MailFault::Inject("250-evil.example\r\n250 AUTH PLAIN"));
    let test = operator.test(&id).await;
    assert_eq!(test.failure_class().word(), "transient", "{}", test.error);
    assert!(test.error.contains("STARTTLS"), "{}", test.error);
    assert!(!server.said().iter().any(|said| said == "AUTH"), "{:?}", server.said());
    assert_eq!(operator.test(&id).await.state().word(), "delivered", "alone it is fine");

    let bare = MailServer::start(House::default()).await.unwrap();
    let change = v1_update(&id, &config(&bare, "starttls"));
    operator.integrations().update_integration(change).await.unwrap();
    let test = operator.test(&id).await;
    assert_eq!(
        test.failure_class().word(),
        "credentials",
        "another server gets no login of this one: {}",
        test.error
    );
    let test = operator.set_credentials(&id, login()).await;
    assert_eq!(test.failure_class().word(), "blocked", "{}", test.error);
    assert_eq!(bare.said().iter().filter(|said| !said.starts_with("EHLO") && *said != "QUIT").count(), 0);
    server.stop().await;
    bare.stop().await;
}

fn v1_update(integration: &str, config: &Value) -> leadline_proto::v1::UpdateIntegrationRequest {
    leadline_proto::v1::UpdateIntegrationRequest {
        request_id: leadline_tests::request_id(),
        integration: integration.to_owned(),
        config: Some(config.to_string()),
        ..Default::default()
    }
}
