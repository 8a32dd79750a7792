//! The storm: many leads through every connector at once while vendors fail at random, logins run out and the daemon is
//! killed. Afterwards every lead is where it should be, once wherever that can be had, and no quota was exceeded.

mod chaos;
mod vendors;

use std::{collections::BTreeMap, env, time::Duration};

use leadline_fakes::sample_lead;
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Database, Operator, check_invariants, http, request_id};
use leadlined::connectors;
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use chaos::{Chaos, Wrong};
use vendors::Vendors;

/// How many leads, unless the environment says; `make storm` says a thousand.
const LEADS: usize = 8;
/// What goes wrong unless the environment says.
const SEED: u64 = 17;
/// So many rounds of manual retries bring home what died, now that nothing fails any more.
const ROUNDS: usize = 3;
/// A breaker that opened again and again waits for five minutes: the storm is stuck if nothing at all moves for longer.
const PATIENCE: Duration = Duration::from_secs(400);

/// So long a storm of a thousand leads may take.
const AT_MOST: Duration = Duration::from_secs(30 * 60);

/// A lead as it was posted.
pub(crate) struct Lead {
    email: String,
    uuid: String,
}

struct Storm {
    daemon: ChildDaemon,
    pool: PgPool,
    leads: Vec<Lead>,
    vendors: Vendors,
    /// Connectors by the ids of their integrations.
    connectors: BTreeMap<String, &'static str>,
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lead_comes_through_the_storm() {
    let asked = setting("LEADLINE_STORM_LEADS");
    let count = asked.map_or(LEADS, |leads| leads.try_into().unwrap());
    // What every run of all tests goes through is the same; whoever asks for a storm gets a new one.
    let seed = setting("LEADLINE_STORM_SEED").unwrap_or_else(|| match asked {
        Some(_) => ulid::Ulid::generate().random() as u64,
        None => SEED,
    });
    println!("{count} leads; repeat with LEADLINE_STORM_SEED={seed}");
    let began = Instant::now();
    let database = Database::create().await;
    let mut chaos = Chaos::new(seed);
    let mut storm = Storm::begin(&database, count, &mut chaos).await;
    // The daemon dies when a third of the messages are there: most lanes are in the midst of their work.
    storm.rage(&mut chaos, Some(count / 3)).await;
    storm.daemon.kill().await;
    storm.daemon.restart().await;
    storm.rage(&mut chaos, None).await;
    let dead = storm.check_reasons(&chaos.wrong()).await;
    println!("{} calls went wrong, {dead} deliveries died", chaos.wrong().len());

    storm.vendors.calm();
    for _ in 0..ROUNDS {
        if storm.retry_dead().await == 0 {
            break;
        }
        storm.rage(&mut Chaos::none(), None).await;
    }
    assert_eq!(storm.ledger().await, [("delivered".to_owned(), (count * connectors::ALL.len()) as i64)]);
    storm.vendors.check(&storm.leads);
    check_invariants(&storm.pool).await;
    assert_eq!(storm.daemon.stop().await, Some(0));
    let elapsed = began.elapsed();
    println!("{count} leads took {} s", elapsed.as_secs());
    // However many tests run beside one of a few leads; who asks for a storm lets it run alone.
    assert!(asked.is_none() || elapsed <= AT_MOST, "{count} leads took {} s", elapsed.as_secs());
}

impl Storm {
    /// Every connector has its integration, and all leads are posted.
    async fn begin(database: &Database, count: usize, chaos: &mut Chaos) -> Self {
        let daemon = ChildDaemon::start(Some(database), &[]).await;
        let operator = Operator::new(daemon.control().await);
        let key = operator.company(7).await;
        let vendors = Vendors::start().await;
        let mut connectors = BTreeMap::new();
        for (connector, made) in vendors.integrations() {
            let integration = operator.connect(7, connector, made.config, made.credentials).await;
            connectors.insert(integration.id, connector);
        }
        let all: Vec<_> = connectors::ALL.iter().map(|connector| connector.manifest().name).collect();
        assert_eq!(connectors.values().filter(|name| all.contains(name)).count(), all.len());
        vendors.rage(chaos);
        let leads: Vec<Value> = (0..count).map(sample_lead).collect();
        let lines: String = leads.iter().map(|lead| format!("{lead}\n")).collect();
        let request = http().post(daemon.url("/v1/leads/batch")).bearer_auth(key).body(lines);
        let answer = request.header("content-type", "application/x-ndjson").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap().matches("\"accepted\"").count(), count);
        let text = |lead: &Value, key: &str| lead["lead"][key].as_str().unwrap().to_owned();
        let leads = leads.iter().map(|lead| Lead { email: text(lead, "email"), uuid: text(lead, "uuid") });
        let leads = leads.collect();
        Self { daemon, pool: database.pool().await, leads, vendors, connectors }
    }

    async fn operator(&self) -> Operator {
        Operator::new(self.daemon.control().await)
    }

    /// Lets the storm rage until so many messages are in Slack, which is the slowest, or until nothing is left to do.
    async fn rage(&self, chaos: &mut Chaos, messages: Option<usize>) {
        let mut last = (String::new(), Instant::now());
        loop {
            let sql =
                "SELECT count(*) FILTER (WHERE finished_at IS NULL), sum(attempts)::bigint FROM delivery";
            let (open, attempts): (i64, i64) = sqlx::query_as(sql).fetch_one(&self.pool).await.unwrap();
            let is_over = match messages {
                Some(messages) => self.vendors.messages() >= messages,
                None => open == 0,
            };
            if is_over {
                return;
            }
            let seen = format!("{open} deliveries are open after {attempts} attempts");
            if seen != last.0 {
                last = (seen, Instant::now());
            }
            assert!(last.1.elapsed() < PATIENCE, "the storm is stuck: {}", last.0);
            self.vendors.trouble(chaos);
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many deliveries are in each state.
    async fn ledger(&self) -> Vec<(String, i64)> {
        let sql = "SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state";
        sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// What is dead died of what its vendor did to a call for this lead, or of the kill. The answer is how many died.
    async fn check_reasons(&self, wrong: &[Wrong]) -> usize {
        let operator = self.operator().await;
        let filter = v1::DeliveryFilter {
            company: "7".into(),
            states: vec![v1::DeliveryState::Dead.into()],
            ..Default::default()
        };
        let mut request =
            v1::ListDeliveriesRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
        let mut dead = Vec::new();
        loop {
            let page = operator.deliveries().list_deliveries(request.clone()).await.unwrap().into_inner();
            dead.extend(page.deliveries);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        for delivery in &dead {
            let lead = self.leads.iter().find(|lead| lead.uuid.eq_ignore_ascii_case(&delivery.lead)).unwrap();
            let connector = self.connectors[&delivery.integration_id];
            let request = v1::GetDeliveryRequest { id: delivery.id.clone() };
            let last =
                operator.deliveries().get_delivery(request).await.unwrap().into_inner().attempts.remove(0);
            let is_its_own = wrong.iter().any(|wrong| wrong.explains(connector, &lead.email, &last));
            // A busy machine may let any answer come too late.
            let is_ours =
                last.error.starts_with("the daemon died") || last.error.starts_with("no answer within");
            let is_true = is_its_own || is_ours;
            assert!(is_true, "{connector} died of {:?}, which nobody said: {last:?}", last.error);
        }
        dead.len()
    }

    /// Retries what is dead. The answer is how many.
    async fn retry_dead(&self) -> u64 {
        let filter = v1::DeliveryFilter { company: "7".into(), ..Default::default() };
        let request = v1::RetryDeliveriesRequest {
            request_id: request_id(),
            filter: Some(filter),
            ..Default::default()
        };
        let found =
            self.operator().await.deliveries().retry_deliveries(request).await.unwrap().into_inner().count;
        // The job brings them back batch by batch, each lane as fast as its quota and its breaker let it.
        let mut last = (i64::MAX, Instant::now());
        loop {
            let ledger = self.ledger().await;
            let dead = ledger.iter().find(|(state, _)| state == "dead").map_or(0, |(_, count)| *count);
            if dead == 0 {
                break;
            }
            if dead != last.0 {
                last = (dead, Instant::now());
            }
            assert!(last.1.elapsed() < PATIENCE, "{dead} deliveries do not come back");
            sleep(Duration::from_millis(100)).await;
        }
        found
    }
}
