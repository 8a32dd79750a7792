//! One account, several daemons on one database: its quota is kept, its newest refresh token is used once, and somebody
//! whose leads come in through both is one person there. So it is for several integrations.

use std::time::{Duration, Instant};

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

/// An integration of the account, and which of two daemons pushes to it while both live.
struct Place {
    key: String,
    integration: String,
    daemon: usize,
}

/// Two daemons, and integrations of one account that are divided among them.
struct Pair {
    database: Database,
    daemons: [ChildDaemon; 2],
    operator: Operator,
    fake: Fake<Pipedrive>,
    places: Vec<Place>,
}

impl Pair {
    async fn start() -> Self {
        let database = Database::create().await;
        let start = async || ChildDaemon::start(Some(&database), &["--admin-listen=127.0.0.1:0"]).await;
        let daemons = [start().await, start().await];
        for daemon in &daemons {
            knows_two(daemon).await;
        }
        let operator = Operator::new(daemons[0].control().await);
        let fake = Fake::start(Pipedrive::default()).await.unwrap();
        // A search that lags makes two of one person whom two daemons push for side by side.
        fake.with(|pipedrive| {
            (pipedrive.rotates, pipedrive.quota.calls) = (true, 10);
            pipedrive.search_lag = Duration::from_millis(500);
        });
        let mut pair = Self { database, daemons, operator, fake, places: Vec::new() };
        pair.connect().await;
        pair
    }

    /// Connects companies to the account until each daemon has pushed for one of them.
    async fn connect(&mut self) {
        let mut before = [0.0; 2];
        // So many are one daemon's once in a million runs.
        for company in 7..27 {
            let key = self.operator.company(company).await;
            let config = json!({ "base_url": self.fake.url() });
            let integration = self.operator.connect(company, "pipedrive", config, login()).await.id;
            post(&self.daemons[0], &key, 1).await;
            let mut now = before;
            wait_until("it was pushed", async || {
                now = [pushes(&self.daemons[0]).await, pushes(&self.daemons[1]).await];
                now != before
            })
            .await;
            self.places.push(Place { key, integration, daemon: usize::from(now[1] > before[1]) });
            before = now;
            if before.iter().all(|pushes| *pushes > 0.0) {
                return wait_for_notes(&self.fake, self.places.len()).await;
            }
        }
        panic!("one daemon pushes for all");
    }

    fn place_of(&self, daemon: usize) -> &Place {
        self.places.iter().find(|place| place.daemon == daemon).unwrap()
    }

    /// Posts the nth lead of every company, all through one daemon.
    async fn post_everywhere(&self, n: usize) {
        for place in &self.places {
            post(&self.daemons[0], &place.key, n).await;
        }
    }

    /// Persons, deals, spent refresh tokens, and calls over the quota.
    fn seen(&self) -> (usize, usize, usize, usize) {
        self.fake.with(|pipedrive| {
            let refused = pipedrive.quota.refused + pipedrive.searches.refused;
            (pipedrive.persons.len(), pipedrive.deals.len(), pipedrive.reused, refused)
        })
    }

    async fn stop(mut self) {
        let pool = self.database.pool().await;
        for daemon in &mut self.daemons {
            assert_eq!(daemon.stop().await, Some(0));
        }
        check_invariants(&pool).await;
        self.fake.stop().await;
    }
}

/// Whether the vendor counts calls, and ends a refresh token with each login.
fn keep_to_quota(fake: &Fake<Pipedrive>, is_strict: bool) {
    let calls = if is_strict { 10 } else { 1000 };
    fake.with(|pipedrive| {
        pipedrive.rotates = is_strict;
        (pipedrive.quota.calls, pipedrive.searches.calls) = (calls, calls);
    });
}

/// How many pushes a daemon has made.
async fn pushes(daemon: &ChildDaemon) -> f64 {
    let metrics = http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap();
    let counts = metrics.lines().filter(|line| line.starts_with("leadline_attempts_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn integrations_on_two_daemons_share_an_accounts_quota_its_login_and_its_people() {
    let pair = Pair::start().await;
    let all = pair.places.len();
    for n in 2..=3 {
        pair.post_everywhere(n).await;
    }
    wait_for_notes(&pair.fake, 3 * all).await;
    assert_eq!(pair.seen(), (1, 3 * all, 0, 0));

    // A daemon that stands still keeps the account for as long as its lease, and what it did then is not known.
    pair.daemons[1].signal("STOP").await;
    for n in 5..=6 {
        pair.post_everywhere(n).await;
    }
    wait_for_notes(&pair.fake, 5 * all).await;
    assert_eq!(pair.seen(), (1, 5 * all, 0, 0));
    pair.daemons[1].signal("CONT").await;
    knows_two(&pair.daemons[0]).await;
    pair.post_everywhere(7).await;
    wait_for_notes(&pair.fake, 6 * all).await;
    assert_eq!(pair.seen(), (1, 6 * all, 0, 0));
    pair.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_keeps_its_account_no_longer_than_its_lease() {
    let mut pair = Pair::start().await;
    let (all, own, other) = (pair.places.len(), pair.place_of(0), pair.place_of(1));
    let (own, other) = ((own.key.clone(), own.integration.clone()), other.key.clone());
    let is_waiting = async |pair: &Pair| {
        let lane = pair.operator.integration(&own.1).await.health.unwrap().lane.unwrap();
        lane.waits_for().word() == "account"
    };
    post(&pair.daemons[0], &other, 2).await;
    wait_for_notes(&pair.fake, all + 1).await;
    // Old credentials and new ones are two accounts here, and one at the vendor.
    keep_to_quota(&pair.fake, false);
    pair.daemons[1].kill().await;
    let died = Instant::now();
    post(&pair.daemons[0], &own.0, 3).await;
    post(&pair.daemons[0], &other, 4).await;
    wait_until("the card says what it waits for", async || is_waiting(&pair).await).await;

    // Its push is under way when it gets other credentials. That account nobody has.
    let again = json!({ "client_id": "client-1", "client_secret": "secret-1", "refresh_token": "again" });
    let given = pair.fake.with(|pipedrive| {
        pipedrive.app.2 = "again".to_owned();
        pipedrive.tokens.clone()
    });
    let tried = pair.operator.set_credentials(&own.1, again.clone()).await;
    assert_eq!(tried.state().word(), "delivered", "{tried:?}");
    pair.fake.with(|pipedrive| pipedrive.tokens.extend(given));
    post(&pair.daemons[0], &own.0, 5).await;
    wait_until("what came later is there", async || pair.seen().1 >= all + 2).await;
    wait_for_notes(&pair.fake, all + 4).await;
    // The lease, a beat until others know that it is over, and the vendor's window; the rest is for a busy machine.
    assert!(died.elapsed() < Duration::from_secs(30), "waited for {:?}", died.elapsed());
    wait_until("the card says so no more", async || !is_waiting(&pair).await).await;
    for place in &pair.places {
        let tried = pair.operator.set_credentials(&place.integration, again.clone()).await;
        assert_eq!(tried.state().word(), "delivered", "{tried:?}");
    }
    assert_eq!((pair.seen().0, pair.seen().1, pair.seen().2), (2, all + 4, 0));

    // It comes back, and takes its part in the new account.
    pair.daemons[1].restart().await;
    for daemon in &pair.daemons {
        knows_two(daemon).await;
    }
    keep_to_quota(&pair.fake, true);
    for n in 6..=7 {
        pair.post_everywhere(n).await;
    }
    wait_for_notes(&pair.fake, 3 * all + 4).await;
    assert_eq!(pair.seen(), (2, 3 * all + 4, 0, 0));
    pair.stop().await;
}

#[tokio::test]
async fn a_daemon_that_has_an_account_asks_nobody_for_it_again() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    let key = operator.company(7).await;
    operator.connect(7, "pipedrive", json!({ "base_url": fake.url() }), login()).await;
    let post = async |n: usize| {
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
        assert_eq!(status, 202, "{answer}");
    };
    post(1).await;
    wait_for_notes(&fake, 1).await;
    // Nobody reads or writes these any more: a push that did would wait.
    let pool = database.pool().await;
    let mut alone = pool.begin().await.unwrap();
    let lock = "LOCK TABLE account_hold, account_wait IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *alone).await.unwrap();
    for n in 2..=12 {
        post(n).await;
    }
    wait_for_notes(&fake, 12).await;
    alone.rollback().await.unwrap();
    daemon.stop().await;
    fake.stop().await;
}
