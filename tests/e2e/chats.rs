//! Discord and Teams: what people get to read, whatever goes wrong on the way.

use std::time::Duration;

use leadline_fakes::{
    Fake, Fault, Reply,
    discord::Discord,
    sample_lead,
    teams::{State, Teams},
};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::EventKind,
    outcome::{FailureClass, Outcome},
};
use serde_json::{Value, json};

use super::vendors::{Scene, class_and_error};

const TOKEN: &str = "abcdefghijklmnop-secret";
const WORKFLOW: &str = "/powerautomate/automations/direct/workflows/0f1e/triggers/manual/paths/invoke";
const SHORT: Duration = Duration::from_millis(400);

fn discord_login() -> Value {
    json!({"webhook_url": format!("https://discord.com/api/webhooks/123456789/{TOKEN}")})
}

fn teams_login() -> Value {
    json!({"workflow_url": format!("https://default01.4b.environment.api.powerplatform.com{WORKFLOW}?api-version=1&sig={TOKEN}")})
}

async fn discord() -> (Fake<Discord>, Value) {
    let fake = Fake::start(Discord::new("123456789", TOKEN)).await.unwrap();
    let config = json!({"base_url": fake.url()});
    (fake, config)
}

async fn teams() -> (Fake<Teams>, Value) {
    let fake = Fake::start(Teams::new(WORKFLOW, TOKEN)).await.unwrap();
    let config = json!({"base_url": fake.url()});
    (fake, config)
}

fn lead() -> Value {
    let mut lead = sample_lead(1);
    lead["lead"]["name"] = json!("@everyone [click](https://evil.example)");
    lead
}

/// What an attempt came to: class and error, empty if it was delivered.
async fn attempt(pushing: &mut Pushing, bringing: &mut Bringing) -> (&'static str, String) {
    match pushing.attempt(bringing).await {
        Outcome::Delivered => ("delivered", String::new()),
        Outcome::Failed(failure) => (failure.class.as_str(), failure.error),
    }
}

/// Each fault with what the first attempt comes to, and how many messages are there after the second.
fn faults(said: &str) -> Vec<(Fault, &'static str, usize)> {
    let answer = |status| Fault::Answer(Reply::status(status).body(said.to_owned()));
    vec![
        (answer(500), "transient", 1),
        (answer(502), "transient", 1),
        (Fault::Answer(Reply::status(429).header("Retry-After", "3")), "throttled", 1),
        (Fault::Close, "unknown", 1),
        (Fault::ActThenClose, "unknown", 2),
        (Fault::ActThenHang, "unknown", 2),
    ]
}

#[tokio::test]
async fn each_message_comes_at_least_once_whatever_goes_wrong() {
    for (fault, class, messages) in faults("<html>") {
        let (fake, config) = discord().await;
        let mut pushing = Pushing::unchecked("discord", config, discord_login(), Value::Null, SHORT);
        let mut bringing = Bringing::new(EventKind::Created, &lead());
        fake.fault("POST", fault.clone());
        let (found, error) = attempt(&mut pushing, &mut bringing).await;
        assert!(found == class && !error.contains(TOKEN), "{fault:?}: {found} {error}");
        for _ in 0..2 {
            assert_eq!(attempt(&mut pushing, &mut bringing).await.0, "delivered", "{fault:?}");
        }
        fake.with(|discord| {
            assert_eq!(discord.messages.len(), messages, "{fault:?}");
            assert!(discord.messages.iter().all(|message| *message == discord.messages[0]));
            assert_eq!(discord.pings(), Vec::<String>::new());
        });
        fake.stop().await;
    }
    for (fault, class, cards) in faults("<html>") {
        let (fake, config) = teams().await;
        let mut pushing = Pushing::unchecked("teams", config, teams_login(), Value::Null, SHORT);
        let mut bringing = Bringing::new(EventKind::Created, &lead());
        fake.fault("POST", fault.clone());
        let (found, error) = attempt(&mut pushing, &mut bringing).await;
        assert!(found == class && !error.contains(TOKEN), "{fault:?}: {found} {error}");
        assert_eq!(attempt(&mut pushing, &mut bringing).await.0, "delivered", "{fault:?}");
        fake.with(|teams| assert_eq!((teams.cards.len(), teams.failed.len()), (cards, 0), "{fault:?}"));
        fake.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_discord_garbles_is_no_second_message() {
    let (fake, config) = discord().await;
    let mut pushing = Pushing::unchecked("discord", config, discord_login(), Value::Null, SHORT);
    fake.fault("POST", Fault::ActThenGarble);
    let mut bringing = Bringing::new(EventKind::Created, &lead());
    assert_eq!(attempt(&mut pushing, &mut bringing).await.0, "delivered");
    assert_eq!(fake.with(|discord| discord.messages.len()), 1);
    fake.stop().await;
}

#[tokio::test]
async fn what_is_gone_says_what_to_do() {
    type Change = fn(&mut Discord);
    let cases: [(Change, FailureClass, &str); 3] = [
        (
            |discord| discord.webhooks.clear(),
            FailureClass::Credentials,
            "make another and set the credentials",
        ),
        (
            |discord| discord.webhooks.get_mut("123456789").unwrap().token = "other".into(),
            FailureClass::Credentials,
            "50027",
        ),
        (
            |discord| discord.webhooks.get_mut("123456789").unwrap().is_forum = true,
            FailureClass::Rejected,
            "add ?thread_id=",
        ),
    ];
    for (change, class, advice) in cases {
        let (fake, config) = discord().await;
        fake.with(change);
        let mut pushing = Pushing::unchecked("discord", config, discord_login(), Value::Null, SHORT);
        let (found, error) =
            class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead())).await);
        assert!(found == class && error.contains(advice), "{advice}: {found:?} {error}");
        fake.stop().await;
    }
    for (state, advice) in [
        (State::Off, "switch it on"),
        (State::Deleted, "make another"),
        (State::ForMembers, "let anyone trigger it"),
    ] {
        let (fake, config) = teams().await;
        fake.with(|teams| teams.state = state);
        let mut pushing = Pushing::unchecked("teams", config, teams_login(), Value::Null, SHORT);
        let (found, error) =
            class_and_error(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead())).await);
        assert!(found == FailureClass::Credentials && error.contains(advice), "{state:?}: {found:?} {error}");
        fake.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_is_tested_silently_and_never_too_fast() {
    let (fake, config) = discord().await;
    let scene = Scene::with("discord", config, discord_login()).await;
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    assert_eq!(fake.with(|discord| discord.messages.len()), 0);
    assert_eq!(scene.operator.integration(&scene.integration).await.account, "Leads (server 77)");
    for n in 0..7 {
        scene.post(n, |_| {}).await;
    }
    scene.wait_for(7, "delivered").await;
    fake.with(|discord| assert_eq!((discord.messages.len(), discord.quota.refused), (7, 0)));
    scene.end().await;
    fake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_teams_posts_a_sample() {
    let (fake, config) = teams().await;
    let scene = Scene::with("teams", config, teams_login()).await;
    assert_eq!(scene.operator.test(&scene.integration).await.state().word(), "delivered");
    let reported = |card: &Value| card["body"][0]["inlines"][0]["text"].as_str().unwrap().to_owned();
    assert!(fake.with(|teams| reported(&teams.cards[0])).starts_with("Test lead: "));
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;
    fake.with(|teams| assert_eq!((teams.cards.len(), teams.failed.len()), (2, 0)));
    scene.end().await;
    fake.stop().await;
}
