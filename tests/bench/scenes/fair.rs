//! Others beside a neighbour in trouble: a lane with a huge backlog, lanes that hang, a reader that holds a snapshot.

use std::{path::Path, time::Duration};

use leadline_proto::v1;
use leadline_tests::request_id;
use serde_json::json;
use sqlx::{Connection, Executor as _};
use tokio::time::{Instant, sleep};

use crate::{
    Options, Report,
    figures::Budget,
    http::{Arrived, Receiver},
    leadline::{CONCURRENCY, Leadline, Target},
    load::{self, Latency},
};

/// How many leads a second come in for others.
const RATE: f64 = 100.0;
/// How many lanes share a tenth of the backlog.
const OTHERS: usize = 20;
/// Deliveries of one lane, each of a lead of its own, due a microsecond after one another.
const BACKLOG: &str = "
    WITH one AS (SELECT company_id, event_id FROM delivery WHERE company_id = $1 LIMIT 1), many AS (
        INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state, due_at)
        SELECT company_id, gen_random_uuid(), $2, gen_random_uuid(), event_id, 'lead.created', false, 'pending',
            now() + n * interval '1 microsecond'
        FROM one, generate_series(1, $3) n
        RETURNING company_id, id, integration_id, due_at
    )
    INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
    SELECT company_id, integration_id, 0, due_at, id, 'first' FROM many";

/// A company of its own for the measured leads, and one for the trouble.
struct Street {
    leadline: Leadline,
    receiver: Receiver,
    measured: Target,
}

impl Street {
    async fn start(executable: &Path) -> Self {
        let leadline = Leadline::start(executable).await;
        let receiver = Receiver::start().await;
        let urls = [format!("http://{}/", receiver.address())];
        let measured = leadline.company(1, &urls, CONCURRENCY).await;
        let street = Self { leadline, receiver, measured };
        street.trickle(Duration::from_secs(2)).await;
        street
    }

    async fn trickle(&self, time: Duration) -> Latency {
        load::trickle(&self.leadline, &self.measured, RATE, time, &self.receiver).await
    }

    /// Measures once more, and tells the ratio to what was without the trouble.
    async fn beside(&self, before: &Latency, time: Duration, report: &mut Report) {
        let metrics = self.leadline.metrics().await;
        let beside = self.trickle(time).await;
        report.each_once(before.leads + beside.leads, before.arrived + beside.arrived);
        report.figure("due → arrival p50 of others, alone", before.due.quantile(0.5), "ms");
        report.figure("due → arrival p50 of others, beside it", beside.due.quantile(0.5), "ms");
        report.figure("due → arrival p99 of others, alone", before.due.quantile(0.99), "ms");
        report.figure("due → arrival p99 of others, beside it", beside.due.quantile(0.99), "ms");
        let ratio = beside.due.quantile(0.99) / before.due.quantile(0.99);
        report.held_to(Budget::AtMost(1.5), "p99, beside over alone", ratio, "ratio");
        let claims = self.leadline.metrics().await.p99(&metrics, "leadline_claim_seconds") * 1e3;
        report.held_to(Budget::AtMost(20.0), "claims p99", claims, "ms");
    }
}

/// Many due rows of which one lane owns nine in ten; it pushes to a slow target, four at a time, and then to one that
/// answers at once, as fast as the cores allow.
pub(super) async fn backlog(executable: &Path, options: &Options, report: &mut Report) {
    let rows = options.rows.unwrap_or(1_000_000);
    report.section(&format!("{rows} due, one lane owns 90 %"));
    let street = Street::start(executable).await;
    let address = street.receiver.address();
    // The others hang, so that what is due of them stays due and costs nothing beside the backlog.
    let url =
        |n| if n == 0 { format!("http://{address}/slow") } else { format!("http://{address}/hang/{n}") };
    let urls: Vec<_> = (0..=OTHERS).map(url).collect();
    let hog = street.leadline.company(2, &urls, 4).await;
    // The event of which the backlog is.
    load_one(&street.leadline, &hog).await;
    let before = street.trickle(options.time()).await;
    let mut database = street.leadline.database().await;
    for (n, integration) in hog.integrations.iter().enumerate() {
        let integration: ulid::Ulid = integration.parse().unwrap();
        let count = if n == 0 { rows * 9 / 10 } else { rows / 10 / OTHERS as i64 };
        let insert = sqlx::query(BACKLOG).bind(hog.company).bind(uuid::Uuid::from(integration)).bind(count);
        insert.execute(&mut database).await.unwrap();
    }
    database.execute("CHECKPOINT").await.unwrap();
    street.receiver.arrived();
    // One lead tells the daemon of the lane.
    let arrived = street.receiver.count();
    load_one(&street.leadline, &hog).await;
    while street.receiver.count() < arrived + 100 {
        sleep(Duration::from_millis(20)).await;
    }
    street.beside(&before, options.time(), report).await;
    report.memory(street.leadline.memory_mib());
    report.figure("most pushes of the lanes at once", street.receiver.slow_most() as f64, "");
    report.section(&format!("{rows} due, the lane that owns 90 % is pushed as fast as it goes"));
    let (arrived, started) = (street.receiver.count(), Instant::now());
    let config = json!({ "url": format!("http://{address}/fast"), "concurrency": CONCURRENCY }).to_string();
    let integration = hog.integrations[0].clone();
    let update = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration,
        config: Some(config),
        ..Default::default()
    };
    street.leadline.operator().await.integrations().update_integration(update).await.unwrap();
    while street.receiver.count() < arrived + (rows as usize / 10).min(5000) {
        sleep(Duration::from_millis(20)).await;
    }
    street.beside(&before, options.time(), report).await;
    let pushed = (street.receiver.count() - arrived) as f64;
    report.figure("deliveries meanwhile", pushed / started.elapsed().as_secs_f64(), "deliveries/s");
    // The backlog is longer than the scene, so none of it can be missed.
    let again = street.receiver.arrived().again;
    report.figure("of the backlog pushed twice", again as f64, "");
    assert!(!report.is_held || again == 0, "{again} deliveries of the backlog were pushed twice");
}

/// A lead into a company whose deliveries nobody waits for.
async fn load_one(leadline: &Leadline, target: &Target) {
    let address = leadline.intakes()[0];
    let mut client = crate::http::Client::connect(address, "/v1/leads", &target.key).await;
    let uuid = ulid::Ulid::generate().to_string();
    assert_eq!(client.post(&crate::leads::lead(&uuid)).await, 202);
}

/// Nineteen of twenty lanes hang, each with as many pushes as it may have.
pub(super) async fn hung(executable: &Path, options: &Options, report: &mut Report) {
    report.section("19 of 20 lanes hang");
    let street = Street::start(executable).await;
    let before = street.trickle(options.time()).await;
    let hang = |n| format!("http://{}/hang/{n}", street.receiver.address());
    let urls: Vec<_> = (0..19).map(hang).collect();
    let hung = street.leadline.company(2, &urls, CONCURRENCY).await;
    let arrived = street.receiver.count();
    for _ in 0..CONCURRENCY {
        load_one(&street.leadline, &hung).await;
    }
    while street.receiver.count() < arrived + 19 * CONCURRENCY as usize {
        sleep(Duration::from_millis(20)).await;
    }
    street.beside(&before, options.time(), report).await;
}

/// A reader holds a snapshot while leads go on, so that nothing of what dies is cleaned up.
pub(super) async fn snapshot(executable: &Path, options: &Options, report: &mut Report) {
    let held = options.hold;
    let street = Street::start(executable).await;
    let before = street.trickle(options.time()).await;
    let mut reader = street.leadline.database().await;
    let mut tx = reader.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    tx.execute("SELECT count(*) FROM due").await.unwrap();
    let until = Instant::now() + held;
    let urls: Vec<_> = (0..5).map(|n| format!("http://{}/{n}", street.receiver.address())).collect();
    let crowd = street.leadline.company(2, &urls, CONCURRENCY).await;
    let (mut leads, mut arrived) = (0, Arrived::default());
    street.receiver.arrived();
    while Instant::now() < until {
        let run = load::flood(&street.leadline, &crowd, 4, 1000, Duration::from_secs(5).min(held)).await;
        leads += run.leads;
        arrived = arrived + street.receiver.arrived();
    }
    report.section(&format!("what was pushed while a snapshot was held for {} s", held.as_secs()));
    report.figure("deliveries meanwhile", (leads * 5) as f64, "");
    report.each_once(leads * 5, arrived);
    report.section(&format!("a snapshot held for {} s", held.as_secs()));
    street.beside(&before, options.time(), report).await;
    tx.rollback().await.unwrap();
}
