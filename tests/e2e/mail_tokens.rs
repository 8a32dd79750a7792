//! Mail through a mailbox that tokens open: got once for all pushes, renewed when the server refuses them.

use leadline_fakes::{
    Fake,
    mail::{House, MailServer},
    rest::Rest,
};
use serde_json::{Value, json};

use crate::vendors::Scene;

const MAILBOX: &str = "leads@barn.example";

/// The nth token that is given.
fn token(n: usize) -> String {
    format!("token-{n}-0123456789")
}

async fn server(takes_tokens: bool) -> MailServer {
    let login = Some((MAILBOX.to_owned(), "secret-password".to_owned()));
    MailServer::start(House { login, takes_tokens, ..House::default() }).await.unwrap()
}

async fn scene(server: &MailServer, credentials: Value) -> Scene {
    let config = json!({"host": "127.0.0.1", "port": server.port(), "tls": "none", "from": MAILBOX,
        "to": "sales@barn.example"});
    Scene::with("email", config, credentials).await
}

/// An app at the fake that gives tokens, with what is asked for beside.
fn app(identity: &Fake<Rest>, more: &Value) -> Value {
    let (id, secret) = identity.with(|vendor| vendor.client.clone());
    let mut app = json!({"username": MAILBOX, "client_id": id, "client_secret": secret,
        "token_url": format!("{}/token", identity.url())});
    for (key, value) in more.as_object().unwrap() {
        app[key] = value.clone();
    }
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_all_mail_and_is_renewed_once_when_it_is_refused() {
    let (server, identity) = (server(true).await, Fake::start(Rest::new()).await.unwrap());
    let on_behalf = app(&identity, &json!({"refresh_token": "refresh-0123456789"}));
    server.set_tokens([token(1)]);
    let scene = scene(&server, on_behalf.clone()).await;
    for n in 0..6 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(6, "delivered").await;
    assert_eq!(identity.with(|vendor| vendor.logins), 1);
    assert!(server.taken().iter().all(|taken| taken.login.as_deref() == Some(MAILBOX)));

    server.set_tokens([token(2)]);
    for n in 6..12 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(12, "delivered").await;
    assert_eq!((identity.with(|vendor| vendor.logins), server.taken().len()), (2, 12));
    let attempts = scene.operator.finished(&scene.integration).await;
    assert!(
        attempts.iter().all(|attempt| attempt.state().word() == "delivered"),
        "a renewed token is no failure"
    );

    server.set_tokens([]);
    scene.post(12, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let reported = "refused with a fresh token too: 535: 5.7.8 user name or password not accepted";
    assert_eq!(scene.last_failure().await, ("credentials".into(), reported.into()));

    identity.with(|vendor| vendor.refresh_token = "refresh-9876543210".into());
    scene.post(13, |_| {}).await;
    scene.wait_for(2, "dead").await;
    let revoked = "email login refused: invalid_grant the token was revoked";
    assert_eq!(scene.last_failure().await, ("credentials".into(), revoked.into()));
    let tried = scene.operator.set_credentials(&scene.integration, on_behalf).await;
    assert_eq!((tried.failure_class().word(), tried.error.as_str()), ("credentials", revoked));

    server.set_tokens((1..20).map(token));
    let right = app(&identity, &json!({"refresh_token": "refresh-9876543210"}));
    assert_eq!(scene.operator.set_credentials(&scene.integration, right).await.state().word(), "delivered");
    assert_eq!(
        scene.operator.integration(&scene.integration).await.account,
        format!("{MAILBOX} at 127.0.0.1")
    );
    let shown = format!("{:?}", scene.operator.finished(&scene.integration).await);
    for secret in ["token-", "refresh-", "0123456789abcdef"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    scene.end().await;
    server.stop().await;
    identity.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_brought_or_got_by_an_app_on_its_own() {
    let (server, identity) = (server(true).await, Fake::start(Rest::new()).await.unwrap());
    // New credentials are tried with a login of their own.
    server.set_tokens([token(1), token(2), "brought-along".to_owned()]);
    let scene = scene(&server, json!({"username": MAILBOX, "access_token": "brought-along"})).await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;

    let on_its_own = app(&identity, &json!({"scope": "https://outlook.office365.com/.default"}));
    assert_eq!(
        scene.operator.set_credentials(&scene.integration, on_its_own).await.state().word(),
        "delivered"
    );
    scene.post(2, |_| {}).await;
    scene.wait_for(2, "delivered").await;
    let form = String::from_utf8(identity.requests()[0].body.to_vec()).unwrap();
    let expected = "grant_type=client_credentials&scope=https%3A%2F%2Foutlook.office365.com%2F.default\
        &client_id=leadline&client_secret=0123456789abcdef";
    assert_eq!(form, expected);

    // Nothing renews a token that was brought along.
    let over = json!({"username": MAILBOX, "access_token": "it-has-run-out"});
    let tried = scene.operator.set_credentials(&scene.integration, over).await;
    let refused = "email 535 5.7.8 user name or password not accepted (AUTH)";
    assert_eq!((tried.failure_class().word(), tried.error.as_str()), ("credentials", refused));
    scene.end().await;
    server.stop().await;
    identity.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_tokens_is_told_none() {
    let server = server(false).await;
    let scene = scene(&server, json!({"username": MAILBOX, "access_token": "brought-along"})).await;
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "dead").await;
    let reported = "email 504 5.5.4 there is no such AUTH here (AUTH)";
    assert_eq!(scene.last_failure().await, ("credentials".into(), reported.into()));
    scene.end().await;
    server.stop().await;
}
