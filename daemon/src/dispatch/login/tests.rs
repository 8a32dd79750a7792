//! Logins that are late, short of time, or whose push is given up. No database is asked anything.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{
    connectors::{self, Conversation, Pace, Prepared, Push, Request},
    dispatch::{
        quota::Quotas,
        session::{Session, login_hash},
    },
    domain::{
        address::EgressPolicy,
        ids::{CompanyId, IntegrationId},
        integration::{Integration, Policy},
    },
    push::{Client, PUSH_CAP, Pool},
    secrets::SealError,
    store::Store,
};

/// A login of Pipedrive's that notes that its answer was read.
struct Noting {
    pipedrive: Box<dyn Prepared>,
    is_read: Arc<AtomicBool>,
}

#[async_trait]
impl Prepared for Noting {
    async fn push(&self, _: &Push<'_>, _: &mut Conversation<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn login(&self) -> Option<&dyn Login> {
        Some(self)
    }
}

impl Login for Noting {
    fn request(&self, now: Moment, refresh: Option<&SecretString>) -> Result<Request, Failure> {
        self.pipedrive.login().unwrap().request(now, refresh)
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.pipedrive.login().unwrap().refresh_token()
    }

    fn token(&self, answer: &CallAnswer, now: Moment) -> Result<Token, Failure> {
        self.is_read.store(true, Ordering::Relaxed);
        self.pipedrive.login().unwrap().token(answer, now)
    }
}

fn integration(connector: &str, config: Value, credentials: Value) -> Integration {
    Integration {
        company: CompanyId(7),
        company_name: "Barn".into(),
        id: IntegrationId::generate(),
        name: "crm".into(),
        connector: connector.into(),
        enabled: true,
        config,
        credentials,
        mapping: json!({}),
        payload: "v1".into(),
        version: 1,
        credentials_for: None,
        brand: None,
        telling: Default::default(),
        secrets: Vec::new(),
    }
}

/// An integration whose account takes one call at a time, each of its own in no time at all.
struct Scene {
    target: TcpListener,
    context: Arc<PushContext>,
    ready: Arc<PreparedIntegration>,
    is_read: Arc<AtomicBool>,
}

impl Scene {
    async fn new(login: Option<[u8; 32]>) -> Self {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", target.local_addr().unwrap());
        let credentials = json!({ "client_id": "id", "client_secret": "secret", "refresh_token": "own" });
        let integration = integration("pipedrive", json!({ "base_url": url }), credentials);
        let pipedrive = connectors::find("pipedrive").unwrap().prepare(&integration, "Test").unwrap();
        let is_read = Arc::new(AtomicBool::new(false));
        let pace = Some(Pace { calls: 1, per: Duration::from_secs(3600) });
        let ready = PreparedIntegration {
            prepared: Ok(Box::new(Noting { pipedrive, is_read: Arc::clone(&is_read) })),
            policy: Policy { timeout: Duration::ZERO, ..Policy::default() },
            template_weight: 0,
            session: Arc::new(Session::default()),
            login,
            is_tried: false,
            quota: Quotas::default().of("pipedrive", "account", pace, None),
            pool: Arc::new(Pool::new(1)),
            integration,
        };
        let client = Client::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap();
        let context = Arc::new(PushContext::of(client, Store::unconnected()));
        Self { target, context, ready: Arc::new(ready), is_read }
    }

    fn login(&self) -> &dyn Login {
        self.ready.prepared.as_ref().unwrap().login().unwrap()
    }

    fn run(&self) -> LoginRun {
        LoginRun {
            context: Arc::clone(&self.context),
            ready: Arc::clone(&self.ready),
            now: Moment::EPOCH,
            cap: PUSH_CAP,
            began: Instant::now(),
            refused: None,
            lease: None,
            trace: None,
            permit: None,
            turn: None,
            made: Vec::new(),
            is_void: false,
        }
    }

    /// A run whose turn began so long ago.
    fn begun(&self, ago: Duration) -> LoginRun {
        let asked = Instant::now().checked_sub(ago).unwrap();
        LoginRun { turn: Some(OpenTurn { number: 1, asked }), ..self.run() }
    }

    fn call(&self) -> Call {
        Call::from(self.login().request(Moment::EPOCH, None).unwrap())
    }

    /// Answers a request.
    async fn answer(&self) {
        let (mut connection, _) = self.target.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(connection.read_buf(&mut request).await.unwrap() > 0);
        }
        let body = r#"{"access_token": "token", "refresh_token": "newer"}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A login that another version, or another daemon, knew by another hash would begin with a token that is spent.
#[test]
fn a_login_is_known_by_the_same_hash_in_every_version() {
    let hash = |connector, config: &Value, credentials: &Value| {
        let integration = integration(connector, config.clone(), credentials.clone());
        let prepared = connectors::find(connector).unwrap().prepare(&integration, "Test").unwrap();
        login_hash(&integration, prepared.login()).map(|hash| hex::encode(&hash[..16]))
    };
    let app = json!({ "client_id": "id", "client_secret": "secret", "refresh_token": "own" });
    for (connector, config, known) in [
        ("hubspot", json!({}), "514453403fa5677fcf419dccc749aecd"),
        ("pipedrive", json!({}), "5dbcb6a3aea385ffc66ca7cc211d2bcc"),
        (
            "salesforce",
            json!({ "login_url": "https://barn.my.salesforce.com" }),
            "c6b4ada1f286952085405930b4c85d7c",
        ),
        ("zoho", json!({ "accounts_url": "https://accounts.zoho.eu" }), "f8d817622b0edb1f82017f650cd101b8"),
    ] {
        assert_eq!(hash(connector, &config, &app).as_deref(), Some(known), "{connector}");
    }
    // Whoever knows less than all of it shares none of it, nor does who sends what it gives elsewhere.
    let mut other = app.clone();
    other["client_secret"] = json!("guessed");
    let (config, elsewhere) = (json!({}), json!({ "base_url": "https://elsewhere.example/" }));
    let all = [hash("pipedrive", &config, &app), hash("pipedrive", &config, &other)];
    assert!(all[0] != all[1] && !all.contains(&hash("pipedrive", &elsewhere, &app)), "{all:?}");
    assert_eq!(hash("pipedrive", &config, &json!({ "api_token": "plain" })), None);
}

#[tokio::test]
async fn a_login_may_make_its_call_before_its_turn_begins() {
    let scene = Scene::new(Some([7; 32])).await;
    // The database does not answer: neither comes further than to ask it.
    let mut first = Box::pin(scene.run().finish(scene.login()));
    assert!((&mut first).now_or_never().is_none());
    assert_eq!(scene.context.logins.len(), 1);
    let mut second = Box::pin(scene.run().finish(scene.login()));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(scene.context.logins.len(), 1, "it waits until the account takes a call");
}

#[tokio::test]
async fn a_stop_waits_for_no_login_that_has_not_begun() {
    let scene = Scene::new(Some([7; 32])).await;
    scene.context.abandon.cancel();
    let (got, run) = scene.run().finish(scene.login()).await;
    assert_eq!(got.unwrap_err().error, "nothing was sent: the daemon stops");
    assert!(run.unwrap().made.is_empty());
}

#[test]
fn a_login_that_cannot_be_read_says_what_to_do() {
    let failure = cannot_begin(&Error::Seal(SealError));
    assert_eq!(failure.class, FailureClass::Transient);
    let said =
        "nothing was sent: the newest refresh token of this login cannot be read, give new credentials: ";
    assert!(failure.error.starts_with(said), "{}", failure.error);
    assert!(!cannot_begin(&Error::Locked).error.contains("give new credentials"));
}

#[tokio::test]
async fn a_daemon_that_stood_still_in_its_turn_sends_nothing() {
    let scene = Scene::new(Some([7; 32])).await;
    let mut run = scene.begun(TURN - TIMEOUT);
    let failure = run.call(&scene.call()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!(failure.error, "nothing was sent: the turn to log in was over before that");
    assert!(run.made.is_empty());
    assert!(scene.target.accept().now_or_never().is_none(), "it was sent");
}

#[tokio::test]
async fn a_login_that_others_share_has_its_own_time() {
    let scene = Scene::new(Some([7; 32])).await;
    let (mut run, call) = (scene.begun(Duration::ZERO), scene.call());
    let (answer, ()) = tokio::join!(run.call(&call), scene.answer());
    assert_eq!(answer.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_login_goes_on_to_its_end_though_its_push_is_given_up() {
    let mut scene = Scene::new(None).await;
    Arc::get_mut(&mut scene.ready).unwrap().policy.timeout = TIMEOUT;
    let mut push = Box::pin(scene.run().finish(scene.login()));
    assert!((&mut push).now_or_never().is_none());
    assert_eq!(scene.context.logins.len(), 1, "it has begun");
    drop(push);
    scene.answer().await;
    scene.context.logins.close();
    scene.context.logins.wait().await;
    assert!(scene.is_read.load(Ordering::Relaxed));
}

#[test]
fn what_cannot_be_kept_yet_is_waited_for() {
    let missing = crate::secrets::MissingKey::InUse { file: "master.key".into(), source: None };
    assert!(is_awaited(&Error::MasterKey(missing)) && is_awaited(&Error::Locked));
    assert!(!is_awaited(&Error::Seal(SealError)) && !is_awaited(&Error::Corrupt("token")));
}
