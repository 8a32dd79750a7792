//! One account, several daemons on one database: its quota is kept, its newest refresh token is used once, and somebody
//! whose leads come in through both is one person there. So it is for several integrations.

use leadline_fakes::{Fake, pipedrive::Pipedrive, sample_lead};
use leadline_tests::{
    ChildDaemon, Daemon, Database, Operator, check_invariants, http, post_lead, wait_until,
};
use serde_json::{Value, json};

/// The nth lead; of four, three are of one person.
async fn post(daemon: &ChildDaemon, key: &str, n: usize) {
    let mut lead = sample_lead(n);
    let who = if n.is_multiple_of(4) { format!("guest{n}") } else { "ada".to_owned() };
    lead["lead"]["email"] = json!(format!("{who}@example.com"));
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), key, lead.to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

async fn wait_for_notes(fake: &Fake<Pipedrive>, count: usize) {
    let what = format!("{count} leads are there");
    wait_until(&what, async || fake.with(|pipedrive| pipedrive.notes.len()) == count).await;
}

/// Until then each takes every integration for its own.
async fn knows_two(daemon: &ChildDaemon) {
    wait_until("it knows that they are two", async || {
        let metrics = http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap();
        metrics.lines().any(|line| line == "leadline_daemons 2")
    })
    .await;
}

/// What an account's administrator hands out once.
fn login() -> Value {
    json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" })
}

#[tokio::test]
async fn two_integrations_of_one_login_use_each_refresh_token_once() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    // A login ends the token of the one before, as with many vendors whose refresh tokens rotate.
    fake.with(|pipedrive| pipedrive.rotates = true);
    let mut keys = Vec::new();
    for company in [7, 8] {
        keys.push(operator.company(company).await);
        operator.connect(company, "pipedrive", json!({ "base_url": fake.url() }), login()).await;
    }
    let url = daemon.url("/v1/leads");
    let post = async |n: usize| {
        for key in &keys {
            let (status, answer) = post_lead(&url, key, sample_lead(n).to_string()).await;
            assert_eq!(status, 202, "{answer}");
        }
        wait_for_notes(&fake, 2 * n).await;
    };
    post(1).await;
    fake.with(|pipedrive| pipedrive.tokens.clear());
    post(2).await;
    assert_eq!(fake.with(|pipedrive| (pipedrive.logins, pipedrive.reused)), (2, 0), "one for both");
    daemon.stop().await;

    // A restart goes on with the token that is there.
    let daemon = Daemon::start_on(&database).await;
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), &keys[1], sample_lead(3).to_string()).await;
    assert_eq!(status, 202, "{answer}");
    wait_for_notes(&fake, 5).await;
    assert_eq!(fake.with(|pipedrive| (pipedrive.logins, pipedrive.reused)), (2, 0));
    daemon.stop().await;
    fake.stop().await;
}

#[tokio::test]
async fn two_daemons_with_integrations_of_one_login_use_each_refresh_token_once() {
    let database = Database::create().await;
    let start = async || ChildDaemon::start(Some(&database), &["--admin-listen=127.0.0.1:0"]).await;
    let (mut first, mut second) = (start().await, start().await);
    knows_two(&first).await;
    knows_two(&second).await;
    let operator = Operator::new(first.control().await);
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| pipedrive.rotates = true);
    // Each of the daemons has some of them.
    let mut keys = Vec::new();
    for company in 7..11 {
        keys.push(operator.company(company).await);
        operator.connect(company, "pipedrive", json!({ "base_url": fake.url() }), login()).await;
    }
    let round = async |n: usize, daemons: [&ChildDaemon; 2]| {
        // All are refused at once.
        fake.with(|pipedrive| pipedrive.tokens.clear());
        for (at, key) in keys.iter().enumerate() {
            post(daemons[at % 2], key, n).await;
        }
        wait_for_notes(&fake, keys.len() * n).await;
    };
    for n in 1..=4 {
        round(n, [&first, &second]).await;
    }
    assert_eq!(second.stop().await, Some(0));
    round(5, [&first, &first]).await;
    assert_eq!(fake.with(|pipedrive| pipedrive.reused), 0, "refresh tokens used twice");
    let pool = database.pool().await;
    assert_eq!(first.stop().await, Some(0));
    check_invariants(&pool).await;
    fake.stop().await;
}

#[tokio::test]
async fn two_daemons_keep_an_accounts_quota_its_login_and_its_people() {
    let database = Database::create().await;
    let start = async || ChildDaemon::start(Some(&database), &["--admin-listen=127.0.0.1:0"]).await;
    let (mut first, mut second) = (start().await, start().await);
    knows_two(&first).await;
    knows_two(&second).await;
    let operator = Operator::new(first.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| (pipedrive.rotates, pipedrive.quota.calls) = (true, 10));
    let made = operator.connect(7, "pipedrive", json!({ "base_url": fake.url() }), login()).await;
    for n in 1..=8_usize {
        post(if n.is_multiple_of(2) { &first } else { &second }, &key, n).await;
    }
    wait_for_notes(&fake, 8).await;
    let seen = |pipedrive: &mut Pipedrive| (pipedrive.persons.len(), pipedrive.deals.len(), pipedrive.reused);
    assert_eq!(fake.with(seen), (3, 8, 0), "persons, deals, and refresh tokens used twice");

    // Whichever of them pushed, it is gone: the other one goes on with the newest refresh token, for the same people.
    fake.with(|pipedrive| pipedrive.tokens.clear());
    assert_eq!(second.stop().await, Some(0));
    for n in 9..=12 {
        post(&first, &key, n).await;
    }
    wait_for_notes(&fake, 12).await;
    assert_eq!(fake.with(seen), (4, 12, 0));
    assert_eq!(fake.with(|pipedrive| pipedrive.quota.refused + pipedrive.searches.refused), 0);
    assert_eq!(operator.badge(&made.id).await, "ok");
    let pool = database.pool().await;
    assert_eq!(first.stop().await, Some(0));
    check_invariants(&pool).await;
    fake.stop().await;
}
