//! One account, several daemons on one database: its quota is kept, its newest refresh token is used once, and somebody
//! whose leads come in through both is one person there, all through however many integrations of a company.

use leadline_fakes::{Fake, pipedrive::Pipedrive, sample_lead};
use leadline_tests::{ChildDaemon, Database, Operator, check_invariants, http, post_lead, wait_until};
use serde_json::json;

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

/// Two daemons that know each other: until then each takes every company for its own.
async fn two(database: &Database) -> (ChildDaemon, ChildDaemon) {
    let start = async || ChildDaemon::start(Some(database), &["--admin-listen=127.0.0.1:0"]).await;
    let both = (start().await, start().await);
    for daemon in [&both.0, &both.1] {
        wait_until("it knows that they are two", async || {
            let metrics =
                http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap();
            metrics.lines().any(|line| line == "leadline_daemons 2")
        })
        .await;
    }
    both
}

#[tokio::test]
async fn two_daemons_keep_an_accounts_quota_its_login_and_its_people() {
    let database = Database::create().await;
    let (mut first, mut second) = two(&database).await;
    let operator = Operator::new(first.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| (pipedrive.rotates, pipedrive.quota.calls) = (true, 10));
    let login = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" });
    let made = operator.connect(7, "pipedrive", json!({ "base_url": fake.url() }), login).await;
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

#[tokio::test]
async fn integrations_of_one_account_keep_its_quota_and_its_people_together() {
    let database = Database::create().await;
    let (mut first, mut second) = two(&database).await;
    let operator = Operator::new(first.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| pipedrive.quota.calls = 10);
    let login = json!({ "api_token": fake.with(|pipedrive| pipedrive.api_token.clone()) });
    for n in 1..=4 {
        let (name, config) = (format!("crm {n}"), json!({ "base_url": fake.url() }));
        operator.connect_as(7, "pipedrive", &name, config, login.clone()).await;
    }
    post(&first, &key, 1).await;
    post(&second, &key, 2).await;
    wait_for_notes(&fake, 8).await;
    assert_eq!(fake.with(|pipedrive| (pipedrive.persons.len(), pipedrive.deals.len())), (1, 8));
    assert_eq!(fake.with(|pipedrive| pipedrive.quota.refused + pipedrive.searches.refused), 0);
    assert_eq!(second.stop().await, Some(0));
    assert_eq!(first.stop().await, Some(0));
    check_invariants(&database.pool().await).await;
    fake.stop().await;
}

#[tokio::test]
async fn integrations_of_one_app_log_in_with_its_newest_refresh_token() {
    let database = Database::create().await;
    let (mut first, mut second) = two(&database).await;
    let operator = Operator::new(first.control().await);
    let key = operator.company(7).await;
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    fake.with(|pipedrive| pipedrive.rotates = true);
    let login = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "refresh-1" });
    for n in 1..=2 {
        let (name, config) = (format!("crm {n}"), json!({ "base_url": fake.url() }));
        operator.connect_as(7, "pipedrive", &name, config, login.clone()).await;
    }
    post(&first, &key, 1).await;
    wait_for_notes(&fake, 2).await;

    // Both have to log in again, and maybe at another daemon.
    fake.with(|pipedrive| pipedrive.tokens.clear());
    assert_eq!(second.stop().await, Some(0));
    post(&first, &key, 2).await;
    wait_for_notes(&fake, 4).await;
    assert_eq!(fake.with(|pipedrive| (pipedrive.persons.len(), pipedrive.reused)), (1, 0));
    assert_eq!(first.stop().await, Some(0));
    check_invariants(&database.pool().await).await;
    fake.stop().await;
}
