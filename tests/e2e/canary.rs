//! Credentials never show: every connector is given some that can be known again, its target refuses them and quotes them
//! back, and then they are looked for wherever somebody may read.

use std::{collections::BTreeMap, fs, time::Duration};

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use leadline_fakes::{
    Behaviour, Connection, Fake, Receiver, Reply, Request, google_sheets,
    mail::{House, MailServer, Stage},
    open_account, sample_lead,
    vendor::{Route, Vendor},
};
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Cli, Database, Operator, http, post_lead, request_id, wait_until};
use leadlined::connectors;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    access::{
        reads::{Subjects, everything_read},
        show,
    },
    traces::Collector,
};

/// What a daemon logs at most.
const EVERYTHING: [&str; 1] = ["--log-level=trace"];
/// Where machines read figures.
const ADMIN: &str = "--admin-listen=127.0.0.1:0";

/// An integration whose target refuses it, and the secrets among its credentials.
struct Case {
    connector: &'static str,
    made: Connection,
    secrets: Vec<String>,
}

/// A configuration that has everything called at this base URL.
fn config(base: &str, more: Value) -> Value {
    let mut config = json!({"base_url": base, "retries": 0, "timeout_seconds": 5});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

/// Mail by an app: the login that gets its token is what is refused.
fn mail(base: &str) -> Connection {
    Connection {
        config: config(
            base,
            json!({"host": "mail.example.com", "tls": "none", "from": "a@example.com", "to": "b@example.com"}),
        ),
        credentials: json!({"username": "a@example.com", "client_id": "an-app", "client_secret": "canary-email-5f2c",
            "refresh_token": "canary-refresh-5f2c", "token_url": format!("{base}/token")}),
    }
}

/// An integration of a connector with an account whose calls all go to this base URL; none if it has no secrets.
async fn case(connector: &'static str, base: &str) -> Option<Case> {
    let mut made = match connector {
        "email" => mail(base),
        _ => open_account(connector).await.unwrap().with(|account| account.connection(base)),
    };
    made.config = config(base, made.config);
    let secret = connectors::find(connector)
        .unwrap()
        .manifest()
        .credentials
        .iter()
        .filter(|field| field.secret && field.name != "client_id");
    let secrets = secret.filter_map(|field| made.credentials[field.name].as_str());
    // A key of several lines signs and is never sent, so that nobody can quote it. Of a URL its end is what nobody guesses.
    let secrets =
        secrets.filter(|secret| !secret.contains('\n')).filter_map(|secret| match secret.split_once("://") {
            Some((_, url)) => url.split(['/', '=']).rfind(|part| !part.is_empty()),
            None => Some(secret),
        });
    let secrets = secrets.map(str::to_owned).collect();
    (!made.credentials.is_null()).then_some(Case { connector, made, secrets })
}

/// The secrets that are our own, of which some are used: the master key, a token, an intake key, and what bodies and pushes
/// are signed with.
async fn own_secrets(operator: &Operator, database: &Database, key: &str, url: &str) -> Vec<String> {
    let created = operator.webhook(7, "signed", url, json!({})).await;
    let token = v1::CreateTokenRequest {
        request_id: request_id(),
        role: v1::Role::Admin.into(),
        name: "canary".to_owned(),
        ..Default::default()
    };
    let token = operator.tokens().create_token(token).await.unwrap().into_inner().token;
    let signed = v1::CreateIntakeKeyRequest {
        request_id: request_id(),
        company: "7".to_owned(),
        require_signature: true,
        ..Default::default()
    };
    let signed = operator.keys().create_intake_key(signed).await.unwrap().into_inner();
    let master = fs::read_to_string(database.master_key()).unwrap();
    let master = master.trim();
    let raw = STANDARD.encode(hex::decode(master).unwrap()).trim_end_matches('=').to_owned();
    let mut secrets = vec![key.to_owned(), token, signed.key, master.to_owned(), raw];
    for secret in [created.signing_secret, signed.signing_secret] {
        let (_, bare) = secret.split_once('_').unwrap();
        secrets.extend([bare.to_owned(), hex::encode(STANDARD.decode(bare).unwrap())]);
    }
    assert!(secrets.iter().all(|secret| secret.len() > 20), "{secrets:?}");
    secrets
}

/// A secret in every form in which it might be written down.
fn forms(secret: &str) -> [String; 3] {
    [secret.to_owned(), hex::encode(secret), STANDARD.encode(secret).trim_end_matches('=').to_owned()]
}

/// Everything that there is to be asked about.
async fn ids(operator: &Operator, integrations: &[String]) -> BTreeMap<&'static str, Vec<String>> {
    let (mut attempts, mut deliveries) = (Vec::new(), Vec::new());
    for id in integrations {
        let finished = operator.finished(id).await;
        deliveries.extend(finished.iter().map(|attempt| attempt.delivery_id.clone()));
        attempts.extend(finished.into_iter().map(|attempt| attempt.id));
    }
    deliveries.retain(|id| !id.is_empty());
    let keys = v1::ListIntakeKeysRequest { company: "7".to_owned(), ..Default::default() };
    let keys = operator.keys().list_intake_keys(keys).await.unwrap().into_inner().keys;
    BTreeMap::from([
        ("COMPANY", vec!["7".to_owned()]),
        ("INTEGRATION", integrations.to_vec()),
        ("INTAKE_KEY", keys.into_iter().map(|key| key.id).collect()),
        ("ATTEMPT", attempts),
        ("DELIVERY", deliveries),
    ])
}

/// What operators and machines may read of a daemon: every list and look of the control API, and the metrics.
async fn everything_to_read(
    daemon: &ChildDaemon,
    ids: BTreeMap<&'static str, Vec<String>>,
    lead: &str,
) -> String {
    let things = ids.values().map(Vec::len).sum::<usize>();
    let asked = Subjects { ids, texts: vec![("uuid", lead), ("lead", lead), ("text", "sample")] };
    let told = everything_read(&show(daemon.control().await, None), &asked).await;
    let answered = told.values().map(Vec::len).sum::<usize>();
    assert!(answered > 35 + 2 * things, "only {answered} calls about {things} things had anything to say");
    let told = told.into_values().flatten().collect::<String>();
    told + &http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap()
}

/// Everything that may be read once every integration has refused the lead, asked of a daemon beside the one that pushed:
/// what that one logs of a call is a line for each frame, and as telling of one call as of a thousand.
async fn read_beside(
    database: &Database,
    pushing: &ChildDaemon,
    integrations: &[String],
    lead: &str,
) -> (String, Vec<String>) {
    let mut daemon = ChildDaemon::start(Some(database), &[ADMIN]).await;
    let (operator, cli) = (Operator::new(daemon.control().await), Cli::new(&daemon.socket()));
    let mut shown = String::new();
    for id in integrations {
        shown += &cli.json(&["integration", "show", id]).await.to_string();
        for attempt in operator.finished(id).await {
            shown += &cli.json(&["attempt", "show", &attempt.id]).await.to_string();
        }
    }
    assert!(shown.matches("who is ••••").count() > 15, "what targets quote is kept, without the secret");
    let mut ids = ids(&operator, integrations).await;
    shown += &everything_to_read(&daemon, ids.clone(), lead).await;
    ids.values_mut().for_each(|ids| ids.truncate(1));
    shown += &everything_to_read(pushing, ids, lead).await;
    assert!(shown.contains("leadline_integration_attempts_total{"), "metrics are read");
    assert_eq!(daemon.stop().await, Some(0));
    (shown, daemon.log())
}

/// Fails if a secret stands in a text, in any form.
fn assert_nowhere(secrets: &[String], texts: [(&str, &str); 3]) {
    let forms: Vec<_> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    let any = AhoCorasick::new(&forms).unwrap();
    for (what, text) in texts {
        if let Some(found) = any.find(text) {
            let form = &forms[found.pattern().as_usize()];
            panic!("{form} is {what}: {}", around(text, form));
        }
    }
    // Else this would show nothing.
    assert!(any.is_match(&format!("a text with {} in it", forms[forms.len() - 1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_written_or_shown_anywhere() {
    let database = Database::create().await;
    let (collector, mut tasks) = (Collector::default(), JoinSet::new());
    let endpoint = format!("--otlp-endpoint=http://{}", collector.start(&mut tasks).await);
    let mut daemon = ChildDaemon::start(Some(&database), &[EVERYTHING[0], ADMIN, &endpoint]).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let good = Receiver::start(Behaviour::Good).await.unwrap();
    let (mut receivers, mut secrets) =
        (Vec::new(), own_secrets(&operator, &database, &key, &good.url("/")).await);
    for connector in connectors::ALL.iter().map(|connector| connector.manifest().name) {
        let receiver = Receiver::start(Behaviour::Good).await.unwrap();
        let case = case(connector, receiver.url("").trim_end_matches('/')).await;
        let Some(Case { connector, made, secrets: own }) = case else { continue };
        receiver.set(Behaviour::RefuseAll(401, format!("who is {}?", own.join(" or "))));
        let id = operator.connect(7, connector, made.config, made.credentials.clone()).await.id;
        let tried = operator.set_credentials(&id, made.credentials).await;
        assert!(tried.state().word() == "failed" || tried.status_code.is_none(), "{connector}: {tried:?}");
        receivers.push((connector, id, receiver));
        secrets.extend(own);
    }
    let mut lead = sample_lead(1);
    lead["lead"]["gdpr_consent"] = true.into();
    let (status, posted) = post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
    assert_eq!(status, 202, "{posted}");
    good.wait_for(1).await;
    for (connector, id, receiver) in &receivers {
        wait_until(&format!("{connector} has refused the lead"), async || {
            operator.finished(id).await.iter().any(|attempt| !attempt.delivery_id.is_empty())
        })
        .await;
        assert!(receiver.count() > 0, "{connector} was called");
    }
    let integrations: Vec<_> = receivers.iter().map(|(_, id, _)| id.clone()).collect();
    let lead = posted["lead"].as_str().unwrap();
    let (mut shown, beside) = read_beside(&database, &daemon, &integrations, lead).await;
    assert_eq!(daemon.stop().await, Some(0));
    let spans = collector.spans();
    assert!(spans.len() > receivers.len(), "{spans:#?}");
    shown += &format!("{spans:?}");
    secrets.extend(google_sheets::KEY.lines().nth(1).map(str::to_owned));
    let dumped = database.dump().await;
    let logged = [daemon.log(), beside].concat().join("\n") + &database.server_log();
    assert_nowhere(&secrets, [("shown", &shown), ("stored", &dumped), ("logged", &logged)]);
    for receiver in receivers.into_iter().map(|(_, _, receiver)| receiver).chain([good]) {
        receiver.stop().await;
    }
}

/// One login serves all who wait for it: what it came to is told to each of them, who made no call themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_many_wait_for_gives_no_credential_away() {
    const SECRET: &str = "canary-shared-5f2c";
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &EVERYTHING).await;
    let operator = Operator::new(daemon.control().await);
    let cli = Cli::new(&daemon.socket());
    let key = operator.company(7).await;
    let slow = Reply::status(401).body(format!("who is {SECRET}?")).after(Duration::from_secs(2));
    let receiver = Receiver::start(Behaviour::Script(vec![slow])).await.unwrap();
    let base = receiver.url("");
    let base = base.trim_end_matches('/');
    let credentials = json!({"client_id": "an-app", "client_secret": SECRET});
    let id =
        operator.connect(7, "salesforce", config(base, json!({"login_url": base})), credentials).await.id;
    for n in 1..=4 {
        let lead = sample_lead(n).to_string();
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead).await.0, 202);
    }
    wait_until("several have waited for the login", async || {
        let refused = operator.finished(&id).await;
        refused.iter().filter(|attempt| attempt.error.contains("who is")).count() > 1
    })
    .await;
    let mut everywhere = cli.json(&["integration", "show", &id]).await.to_string();
    for attempt in operator.finished(&id).await {
        everywhere += &cli.json(&["attempt", "show", &attempt.id]).await.to_string();
    }
    assert_eq!(daemon.stop().await, Some(0));
    everywhere += &[database.dump().await, daemon.log().join("\n")].join("\n");
    assert!(everywhere.contains("who is ••••"), "what the target quotes is kept");
    assert!(!everywhere.contains(SECRET), "{}", around(&everywhere, SECRET));
    receiver.stop().await;
}

/// Sends everybody away, with what they came with.
struct Quoting;

impl Vendor for Quoting {
    fn handle(&mut self, request: &Request) -> Reply {
        let query: Vec<String> = Route::of(request).query.into_values().collect();
        let there = format!("https://elsewhere.example{}", request.path);
        Reply::status(302).header("Location", &there).body(format!("{} {}", request.path, query.join(" ")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_quotes_the_url_gives_no_credential_away() {
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &EVERYTHING).await;
    let operator = Operator::new(daemon.control().await);
    let cli = Cli::new(&daemon.socket());
    let key = operator.company(7).await;
    let fake = Fake::start(Quoting).await.unwrap();
    let base = fake.url();
    let rest = json!({"base_url": base, "method": "POST", "path": "/leads", "auth": "query"});
    let webhook = json!({"url": format!("{base}/leads"), "query": {"key": "canary+hook/5f2c=="}});
    let zapier = json!({"hook_url": "https://hooks.zapier.com/hooks/catch/987123/zqk5f/"});
    let mut shown = String::new();
    for (connector, config, credentials) in [
        ("rest", rest, json!({"key": "canary+rest/5f2c=="})),
        ("webhook", webhook, Value::Null),
        ("zapier", json!({"base_url": base}), zapier),
    ] {
        let id = operator.connect(7, connector, config, credentials).await.id;
        let lead = sample_lead(1);
        post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
        wait_until(&format!("{connector} was sent away"), async || {
            operator.finished(&id).await.iter().any(|attempt| attempt.failure_class().word() == "blocked")
        })
        .await;
        shown += &cli.json(&["integration", "show", &id]).await.to_string();
        for attempt in operator.finished(&id).await {
            shown += &cli.json(&["attempt", "show", &attempt.id]).await.to_string();
        }
    }
    assert!(shown.matches("elsewhere.example").count() >= 3, "where it leads is kept: {shown}");
    assert_eq!(daemon.stop().await, Some(0));
    let everywhere = [shown, database.dump().await, daemon.log().join("\n")].join("\n");
    for secret in [
        "canary+rest/5f2c==",
        "canary%2Brest%2F5f2c",
        "canary+hook/5f2c==",
        "canary%2Bhook%2F5f2c",
        "987123",
        "zqk5f",
    ] {
        assert!(!everywhere.contains(secret), "{secret}: {}", around(&everywhere, secret));
    }
    fake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_quotes_a_login_tells_nobody() {
    const PASSWORD: &str = "canary-mail-5f2c";
    // As it is put on the wire.
    let auth = STANDARD.encode(format!("\0leads\0{PASSWORD}"));
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &EVERYTHING).await;
    let operator = Operator::new(daemon.control().await);
    let cli = Cli::new(&daemon.socket());
    let mut shown = String::new();
    for (company, stage) in [(7, Stage::Auth), (8, Stage::MailFrom), (9, Stage::RcptTo)] {
        let login = Some(("leads".to_owned(), PASSWORD.to_owned()));
        let server =
            MailServer::start(House { login, quotes_at: Some(stage), ..House::default() }).await.unwrap();
        let config = json!({"host": "127.0.0.1", "port": server.port(), "tls": "none", "retries": 0,
            "from": "leads@barn.example", "to": "sales@barn.example"});
        let credentials = json!({"username": "leads", "password": PASSWORD});
        let key = operator.company(company).await;
        let id = operator.connect(company, "email", config, credentials.clone()).await.id;
        let tried = operator.set_credentials(&id, credentials).await;
        assert_eq!(tried.state().word() == "failed", stage == Stage::Auth, "{tried:?}");
        assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await.0, 202);
        wait_until("the lead is refused", async || operator.finished(&id).await.len() > 1).await;
        shown += &cli.json(&["integration", "show", &id]).await.to_string();
        for attempt in operator.finished(&id).await {
            shown += &cli.json(&["attempt", "show", &attempt.id]).await.to_string();
        }
        server.stop().await;
    }
    shown += &cli.json(&["audit", "list"]).await.to_string();
    shown += &cli.json(&["integration", "list"]).await.to_string();
    assert!(
        shown.matches("who is leads ••••").count() > 3,
        "the refusal is kept, without the secret: {shown}"
    );
    assert_eq!(daemon.stop().await, Some(0));
    let everywhere = [shown, database.dump().await, daemon.log().join("\n")].join("\n");
    for form in forms(PASSWORD).iter().chain(&forms(&auth)) {
        assert!(!everywhere.contains(form), "{form}: {}", around(&everywhere, form));
    }
}

/// Where it stands, for whoever must mend it.
fn around<'a>(text: &'a str, what: &str) -> &'a str {
    let at = text.find(what).unwrap_or(0);
    let start = (0..=at.saturating_sub(200)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let end = (at + what.len()..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[start..end]
}
