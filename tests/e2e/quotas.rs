//! Quotas that vendors count by account: two integrations share them, and a restart does not forget them.

use leadline_fakes::{Fake, pipedrive::Pipedrive, sample_lead};
use leadline_tests::{Daemon, Database, Operator, post_lead, wait_until};
use serde_json::json;

/// Posts sample leads to a company with this key.
async fn post(daemon: &Daemon, key: &str, leads: std::ops::Range<usize>) {
    for n in leads {
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }
}

/// Connects a company to the account, and gives its key.
async fn connect(operator: &Operator, company: i64, fake: &Fake<Pipedrive>) -> String {
    let key = operator.company(company).await;
    let credentials = json!({ "api_token": "pipedrive-good" });
    operator.connect(company, "pipedrive", json!({ "base_url": fake.url() }), credentials).await;
    key
}

async fn wait_for_notes(fake: &Fake<Pipedrive>, count: usize) {
    let what = format!("{count} leads are there");
    wait_until(&what, async || fake.with(|pipedrive| pipedrive.notes.len()) == count).await;
}

/// An account on which nothing else is allowed than what Leadline keeps to.
async fn fake() -> Fake<Pipedrive> {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| pipedrive.quota.calls = 10);
    fake
}

fn refused(fake: &Fake<Pipedrive>) -> usize {
    fake.with(|pipedrive| pipedrive.quota.refused + pipedrive.searches.refused)
}

#[tokio::test]
async fn two_integrations_of_one_account_share_its_quota() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let fake = fake().await;
    let keys = [connect(&operator, 7, &fake).await, connect(&operator, 8, &fake).await];
    tokio::join!(post(&daemon, &keys[0], 0..4), post(&daemon, &keys[1], 4..8));
    wait_for_notes(&fake, 8).await;
    assert_eq!(refused(&fake), 0);
    daemon.stop().await;
    fake.stop().await;
}

#[tokio::test]
async fn a_daemon_that_comes_back_keeps_to_what_the_one_before_left() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let fake = fake().await;
    let key = connect(&Operator::new(daemon.control().await), 7, &fake).await;
    post(&daemon, &key, 0..2).await;
    wait_for_notes(&fake, 2).await;
    daemon.stop().await;
    let daemon = Daemon::start_on(&database).await;
    post(&daemon, &key, 2..4).await;
    wait_for_notes(&fake, 4).await;
    assert_eq!(refused(&fake), 0);
    daemon.stop().await;
    fake.stop().await;
}
