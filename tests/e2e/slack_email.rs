//! Slack and mail: what people get to read, whatever goes wrong on the way.

use std::time::Duration;

use leadline_fakes::{
    Fake, Fault, Reply,
    mail::{House, MailFault, MailServer, Stage, Taken},
    sample_lead,
    slack::{Channel, Slack},
};
use leadline_tests::{Bringing, Pushing, Scene, wait_until};
use leadlined::domain::{integration::EventKind, outcome::Outcome};
use serde_json::{Value, json};

const HOOK: &str = "https://hooks.slack.com/services/T1/B1/abcdefghijklmnop";
const PATH: &str = "/services/T1/B1/abcdefghijklmnop";
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(20);

/// Pushes of one event without a daemon, for the many ways in which a call can fail.
struct Pushes {
    pushing: Pushing,
    bringing: Bringing,
}

impl Pushes {
    fn new(connector: &str, config: Value, credentials: Value, timeout: Duration) -> Self {
        let pushing = Pushing::unchecked(connector, config, credentials, Value::Null, timeout);
        Self { pushing, bringing: Bringing::new(EventKind::Created, &sample_lead(1)) }
    }

    /// One attempt: class and error, empty if it was delivered.
    async fn attempt(&mut self) -> (&'static str, String, Option<Duration>) {
        match self.pushing.attempt(&mut self.bringing).await {
            Outcome::Delivered => ("delivered", String::new(), None),
            Outcome::Failed(failure) => (failure.class.as_str(), failure.error, failure.retry_after),
        }
    }
}

/// A configuration for a server in the clear on loopback.
fn mail_config(server: &MailServer) -> Value {
    json!({"host": "127.0.0.1", "port": server.port(), "tls": "none", "from": "The Old Barn <leads@barn.example>",
        "to": "sales@barn.example, Ann <ann@barn.example>"})
}

fn house() -> House {
    House { login: Some(("leads".into(), "secret-password".into())), ..House::default() }
}

fn login() -> Value {
    json!({"username": "leads", "password": "secret-password"})
}

#[tokio::test]
async fn mail_that_fails_before_the_final_dot_is_not_there_and_comes_with_the_next_attempt() {
    use MailFault::{ActThenHang, Close, Say};
    let (leads, sales) = ("MAIL FROM leads@barn.example", "RCPT TO sales@barn.example");
    for (stage, fault, class, error) in [
        (
            Stage::Greeting,
            Say("421 4.3.2 too busy"),
            "transient",
            "email 421 4.3.2 too busy (greeting)".to_owned(),
        ),
        (
            Stage::Greeting,
            Say("554 5.7.1 not you"),
            "rejected",
            "email 554 5.7.1 not you (greeting)".to_owned(),
        ),
        (Stage::Greeting, Close, "transient", "greeting failed".to_owned()),
        (Stage::Greeting, ActThenHang, "transient", "greeting did not end within".to_owned()),
        (Stage::Ehlo, Say("421 4.3.2 no"), "transient", "email 421 4.3.2 no (greeting)".to_owned()),
        (Stage::Auth, Say("454 4.7.0 later"), "transient", "email 454 4.7.0 later (AUTH)".to_owned()),
        (Stage::Auth, Say("535 5.7.8 no"), "credentials", "email 535 5.7.8 no (AUTH)".to_owned()),
        (Stage::Auth, Close, "transient", "AUTH failed".to_owned()),
        (Stage::MailFrom, Say("451 4.3.0 later"), "transient", format!("email 451 4.3.0 later ({leads})")),
        (
            Stage::MailFrom,
            Say("553 5.7.1 not yours"),
            "rejected",
            format!("email 553 5.7.1 not yours ({leads})"),
        ),
        (Stage::MailFrom, Close, "transient", format!("{leads} failed")),
        (
            Stage::RcptTo,
            Say("450 4.2.0 greylisted"),
            "transient",
            format!("email 450 4.2.0 greylisted ({sales})"),
        ),
        (Stage::RcptTo, ActThenHang, "transient", format!("{sales} did not end within")),
        (Stage::Data, Say("451 4.3.0 later"), "transient", "email 451 4.3.0 later (DATA)".to_owned()),
        (Stage::Data, Say("554 5.5.1 no"), "rejected", "email 554 5.5.1 no (DATA)".to_owned()),
        (Stage::Data, Close, "transient", "DATA failed".to_owned()),
        (Stage::Message, Say("452 4.3.1 full"), "transient", "email 452 4.3.1 full (the message)".to_owned()),
        (
            Stage::Message,
            Say("552 5.3.4 too big"),
            "rejected",
            "email 552 5.3.4 too big (the message)".to_owned(),
        ),
    ] {
        let server = MailServer::start(house()).await.unwrap();
        let timeout = if matches!(fault, ActThenHang) { SHORT } else { LONG };
        let mut pushes = Pushes::new("email", mail_config(&server), login(), timeout);
        server.fault(stage, fault);
        let (found, reported, _) = pushes.attempt().await;
        assert!(found == class && reported.contains(&error), "{stage:?} {error}: {found} {reported}");
        assert!(!reported.contains("secret-password"), "{reported}");
        assert_eq!((server.taken().len(), server.faults_left()), (0, 0), "{stage:?} {error}");
        pushes.pushing.timeout = LONG;
        assert_eq!(pushes.attempt().await.0, "delivered", "{stage:?} {error}");
        assert_eq!(server.taken().len(), 1);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_reply_that_is_lost_behind_the_final_dot_may_mean_two_of_one_id() {
    for (fault, timeout, taken) in
        [(MailFault::ActThenClose, LONG, 2), (MailFault::ActThenHang, SHORT, 2), (MailFault::Close, LONG, 1)]
    {
        let server = MailServer::start(house()).await.unwrap();
        let mut pushes = Pushes::new("email", mail_config(&server), login(), timeout);
        server.fault(Stage::Message, fault.clone());
        let (class, error, _) = pushes.attempt().await;
        assert!(class == "unknown" && error.contains("to the message"), "{fault:?}: {class} {error}");
        pushes.pushing.timeout = LONG;
        assert_eq!(pushes.attempt().await.0, "delivered");
        let messages = server.taken();
        assert_eq!(messages.len(), taken, "{fault:?}");
        assert_eq!(
            messages[0].message,
            messages[taken - 1].message,
            "the same bytes under the same Message-ID"
        );
        assert_eq!(messages[0].to, ["sales@barn.example", "ann@barn.example"]);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_grey_list_is_waited_out_and_a_stranger_keeps_nobody_else_from_it() {
    let mut grey = house();
    grey.is_grey = true;
    let server = MailServer::start(grey).await.unwrap();
    let mut pushes = Pushes::new("email", mail_config(&server), login(), LONG);
    for _ in 0..2 {
        let (class, error, wait) = pushes.attempt().await;
        assert_eq!((class, wait), ("transient", Some(Duration::from_secs(2))), "{error}");
    }
    assert_eq!(pushes.attempt().await.0, "delivered", "both recipients are known now");
    server.stop().await;

    let mut strange = house();
    strange.strangers = ["ann@barn.example".to_owned()].into();
    let server = MailServer::start(strange).await.unwrap();
    let mut pushes = Pushes::new("email", mail_config(&server), login(), LONG);
    assert_eq!(pushes.attempt().await.0, "delivered");
    assert_eq!(server.taken()[0].to, ["sales@barn.example"], "who can get it gets it");
    let note = pushes.pushing.note.as_deref().unwrap_or_default();
    assert!(note.contains("ann@barn.example"), "who was refused is named: {note:?}");
    server.stop().await;

    let mut strange = house();
    strange.strangers = ["ann@barn.example".to_owned(), "sales@barn.example".to_owned()].into();
    let server = MailServer::start(strange).await.unwrap();
    let mut pushes = Pushes::new("email", mail_config(&server), login(), LONG);
    let (class, error, _) = pushes.attempt().await;
    assert_eq!(class, "rejected");
    assert!(error.ends_with("there is no such user (RCPT TO ann@barn.example)"), "{error}");
    assert_eq!(server.taken().len(), 0);
    server.stop().await;
}

#[tokio::test]
async fn mail_in_the_clear_or_to_private_addresses_is_for_those_the_daemon_allows() {
    let server = MailServer::start(house()).await.unwrap();
    let mut config = mail_config(&server);
    for (host, tls, error) in [
        ("10.1.2.3", "starttls", "10.1.2.3 is not a public address"),
        ("93.184.216.34", "none", "93.184.216.34 may not be mailed without TLS"),
        ("127.0.0.1", "starttls", "offers no STARTTLS, and nothing is sent in the clear"),
    ] {
        config["host"] = host.into();
        config["tls"] = tls.into();
        let (class, reported, _) = Pushes::new("email", config.clone(), login(), LONG).attempt().await;
        assert!(class == "blocked" && reported.contains(error), "{host} {tls}: {class} {reported}");
    }
    assert!(
        !server.said().iter().any(|said| said.starts_with("AUTH") || said.starts_with("MAIL")),
        "{:?}",
        server.said()
    );
    server.stop().await;
}

#[tokio::test]
async fn slack_gets_each_message_at_least_once_whatever_goes_wrong() {
    for (fault, class, error, messages) in [
        (Fault::Answer(Reply::status(500).body("rollup_error")), "transient", "slack rollup_error", 1),
        (
            Fault::Answer(Reply::status(429).header("Retry-After", "3").body("rate_limited")),
            "throttled",
            "slack rate_limited",
            1,
        ),
        (
            Fault::Answer(Reply::status(403).body("action_prohibited")),
            "credentials",
            "slack action_prohibited",
            1,
        ),
        (Fault::Close, "unknown", "no answer", 1),
        (Fault::ActThenClose, "unknown", "no answer", 2),
        (Fault::ActThenHang, "unknown", "no answer within", 2),
    ] {
        let fake = Fake::start(Slack::new(PATH)).await.unwrap();
        fake.with(|slack| slack.quota.calls = 100);
        let timeout = if matches!(fault, Fault::ActThenHang) { SHORT } else { LONG };
        let config = json!({"base_url": fake.url()});
        let mut pushes = Pushes::new("slack", config, json!({"webhook_url": HOOK}), timeout);
        fake.fault("POST", fault);
        let (found, reported, _) = pushes.attempt().await;
        assert!(found == class && reported.contains(error), "{error}: {found} {reported}");
        assert!(!reported.contains("abcdefghijklmnop"), "{reported}");
        pushes.pushing.timeout = LONG;
        assert_eq!(pushes.attempt().await.0, "delivered", "{error}");
        let posted = fake.with(|slack| slack.messages.clone());
        assert_eq!(posted.len(), messages, "{error}");
        assert!(posted.iter().all(|message| *message == posted[0]), "a repeat is the same message");
        fake.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_tested_silently_told_in_order_and_never_too_fast() {
    let fake = Fake::start(Slack::new(PATH)).await.unwrap();
    let credentials = json!({"webhook_url": HOOK});
    let scene = Scene::set().connector("slack", json!({"base_url": fake.url()}), credentials).start().await;
    let test = scene.operator.test(&scene.integration).await;
    assert_eq!((test.state().word(), fake.with(|slack| slack.messages.len())), ("delivered", 0));
    for n in 0..3 {
        scene.post(n).await;
    }
    wait_until("three messages", async || fake.with(|slack| slack.messages.len()) == 3).await;
    assert_eq!(fake.with(|slack| slack.quota.refused), 0, "the quota was kept");
    let markup = fake.with(|slack| slack.markup());
    assert!(markup.iter().all(|text| !text.contains("<!")), "{markup:?}");

    fake.with(|slack| slack.webhooks.clear());
    scene.post(3).await;
    scene.wait_for_badge("credentials").await;
    let attempt = scene.operator.finished(&scene.integration).await.pop().unwrap();
    assert_eq!((attempt.status_code, attempt.failure_class().word()), (Some(404), "credentials"));
    assert!(attempt.error.starts_with("slack no_service"), "{}", attempt.error);
    assert!(!format!("{attempt:?}").contains("abcdefghijklmnop"), "{attempt:?}");

    let wrong = json!({"webhook_url": "https://hooks.slack.com/services/T1/B1/another-wrong-one"});
    assert_eq!(scene.operator.set_credentials(&scene.integration, wrong).await.state().word(), "failed");
    fake.with(|slack| slack.webhooks.insert("/services/T1/B2/new".into(), Channel::Open));
    let right = json!({"webhook_url": "https://hooks.slack.com/services/T1/B2/new"});
    assert_eq!(scene.operator.set_credentials(&scene.integration, right).await.state().word(), "delivered");
    scene.post(4).await;
    wait_until("the fourth message", async || fake.with(|slack| slack.messages.len()) == 4).await;
    scene.end().await;
    fake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_tested_silently_and_told_once() {
    let server = MailServer::start(house()).await.unwrap();
    let wrong = json!({"username": "leads", "password": "another-password"});
    let scene = Scene::set().connector("email", mail_config(&server), wrong).start().await;
    let test = scene.operator.test(&scene.integration).await;
    assert_eq!((test.failure_class().word(), test.status_code), ("credentials", Some(535)), "{}", test.error);
    assert!(!format!("{test:?}").contains("another-password"), "{test:?}");
    assert_eq!(scene.operator.set_credentials(&scene.integration, login()).await.state().word(), "delivered");
    assert_eq!(scene.operator.integration(&scene.integration).await.account, "leads at 127.0.0.1");
    server.fault(Stage::RcptTo, MailFault::Say("451 4.3.0 one moment"));
    scene.post(1).await;
    let messages = server.wait_for(1).await;
    scene.wait_for_states(&["delivered"]).await;
    assert_eq!((messages.len(), server.taken().len()), (1, 1));
    let message = &messages[0];
    assert_eq!((message.login.as_deref(), message.from.as_str()), (Some("leads"), "leads@barn.example"));
    let lead = sample_lead(1);
    assert_eq!(message.header("Reply-To").as_deref(), lead["lead"]["email"].as_str());
    assert_eq!(message.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    let delivery = scene.deliveries().await.remove(0);
    let id = format!("<{}.{}@barn.example>", delivery.id, scene.integration);
    assert_eq!(message.header("Message-ID"), Some(id));
    let attempts = scene.operator.finished(&scene.integration).await;
    assert!(!format!("{attempts:?}").contains("secret-password"), "{attempts:?}");
    scene.end().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mails_of_one_lead_are_one_conversation() {
    let server = MailServer::start(house()).await.unwrap();
    let scene = Scene::set().connector("email", mail_config(&server), login()).start().await;
    let mut lead = sample_lead(1);
    for guests in [80, 120, 99] {
        lead["lead"]["guest_count"] = json!(guests);
        // What the subject of its own would be changes, too.
        lead["lead"]["event_date"] = json!(format!("2027-06-{:02}", guests % 28 + 1));
        scene.post_lead(&lead).await;
        wait_until("it is delivered", async || {
            scene.deliveries().await.iter().all(|delivery| delivery.state().word() == "delivered")
        })
        .await;
    }
    let [first, second, third] = &server.taken()[..] else { panic!("{:?}", server.taken()) };
    let of = |mail: &Taken, header: &str| mail.header(header);
    let root = of(first, "Message-ID");
    assert_eq!((of(first, "In-Reply-To"), of(first, "References")), (None, None));
    let subject = of(first, "Subject").unwrap();
    assert!(subject.starts_with("New lead: "), "{subject}");
    for mail in [second, third] {
        assert_ne!(of(mail, "Message-ID"), root);
        assert_eq!((of(mail, "In-Reply-To"), of(mail, "References")), (root.clone(), root.clone()));
        assert_eq!(of(mail, "Subject"), Some(format!("Re: {subject}")));
        assert!(mail.text().starts_with("Lead updated: "), "{}", mail.text());
    }
    scene.end().await;
    server.stop().await;
}
