//! What no index has is looked for within bounds: a page reads so many rows whatever its filter, says how far it looked, and
//! the pages behind it come to the whole list.

use std::{fmt::Debug, sync::Arc};

use leadline_tests::{Database, wait_until};
use leadlined::{
    domain::{
        delivery::{LeadState, State},
        ids::DeliveryId,
        outcome::FailureClass,
    },
    postgres::setup,
    store::{
        Store, WakeUps,
        bounded::{ListPage, ROWS_MAX},
        delivery::{
            attempt_list::{AttemptFilter, AttemptState},
            read::{DeliveryFilter, Order},
        },
        failure::list::FailureFilter,
    },
};
use sqlx::{AssertSqlSafe, PgPool};

/// How many leads, deliveries and attempts there are: more than a page may read.
const ROWS: i64 = 32_000;
/// So many rows a page may read of what it looks through: its keys, the rows themselves, and spans that turn out to hold too
/// many.
const READ_MAX: i64 = 4 * ROWS_MAX as i64;

/// A database on which pages are measured.
struct Crowded {
    database: Database,
    pool: PgPool,
}

/// So many leads of four companies, a second apart, each with one delivery and its attempt: two companies have theirs, of
/// the others all are dead. Of a few of the oldest the delivery was skipped after it had failed, and of a few dead ones the
/// error is another.
const FILL: &str = "
    INSERT INTO company (id, name, plan) SELECT n, 'c' || n, 'pro' FROM generate_series(1, 4) n;
    INSERT INTO integration (company_id, id, name, connector, enabled, config, sealed_config, mapping, events, payload, routing)
    SELECT 1 + n % 4, lpad(to_hex(n), 32, '0')::uuid, 'i' || n, 'webhook', true, '{}', '', '{}', '{lead.created}', 'v1', 'all'
    FROM generate_series(0, 7) n;
    CREATE UNLOGGED TABLE made AS
    SELECT n, 1 + n % 4 AS company_id, lpad(to_hex(n % 8), 32, '0')::uuid AS integration_id,
        now() - make_interval(secs => $ROWS - n) AS at,
        (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - ($ROWS - n) * 1000), 12, '0') || lpad(to_hex(n), 20, '0'))::uuid AS id
    FROM generate_series(1, $ROWS) n;
    INSERT INTO lead (company_id, id, uuid, event_id, digest, received_at)
    SELECT company_id, id, lpad(n::text, 26, '0'), id, decode(repeat('00', 32), 'hex'), at FROM made;
    INSERT INTO event (company_id, id, lead_id, kind, body) SELECT company_id, id, id, 'lead.created', '{}' FROM made;
    INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state, reason_code, attempts, created_at, finished_at)
    SELECT company_id, id, integration_id, id, id, 'lead.created', true,
        CASE WHEN n % 2 = 0 THEN 'dead' WHEN n < 8 THEN 'skipped' ELSE 'delivered' END, 'failed', 1, at, at
    FROM made;
    INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger, delivered, class,
        error, status_code, response_headers, started_at, duration_ms, config_version)
    SELECT company_id, integration_id, id, id, id, 'lead.created', 1, 'first', n % 2 > 0 AND n >= 8,
        CASE WHEN n % 2 = 0 THEN 'transient' WHEN n < 8 THEN 'credentials' END, CASE WHEN n < 8 THEN 'no key' END,
        CASE WHEN n < 8 THEN 401 ELSE 200 END, '[]', at, 5, 1
    FROM made;
    INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, since)
    SELECT company_id, integration_id, id, id, 'dead', 'transient', CASE WHEN n < 8 THEN 'Gone away' ELSE 'busy' END, at
    FROM made WHERE n % 2 = 0;";

impl Crowded {
    async fn new(rows: i64) -> Self {
        let database = Database::create().await;
        let pool = database.pool().await;
        let fill = FILL.replace("$ROWS", &rows.to_string());
        sqlx::raw_sql(AssertSqlSafe(fill)).execute(&pool).await.unwrap();
        Self { database, pool }
    }

    /// What work comes to, and how many rows and entries of indexes it read of each of these tables. The server counts them
    /// when the connections that did it end.
    async fn measured<const N: usize, T>(
        &self,
        tables: [&str; N],
        work: impl AsyncFnOnce(&Store) -> T,
    ) -> (T, [i64; N]) {
        let before = self.read(tables).await;
        let pool = setup::connect(self.database.options()).await.unwrap();
        let sealer = setup::unseal(&pool, self.database.master_key()).await.unwrap();
        let store = Store::new(pool.clone(), sealer, Arc::new(WakeUps::new().0));
        let done = work(&store).await;
        store.close().await;
        pool.close().await;
        wait_until("the connections are gone", async || self.connections().await == 0).await;
        let after = self.read(tables).await;
        (done, std::array::from_fn(|at| after[at] - before[at]))
    }

    /// How many connections a store has.
    async fn connections(&self) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'leadlined%'";
        sqlx::query_scalar(count).fetch_one(&self.pool).await.unwrap()
    }

    async fn read<const N: usize>(&self, tables: [&str; N]) -> [i64; N] {
        let read = "SELECT coalesce(sum(n), 0)::bigint FROM (
                SELECT relid, seq_tup_read AS n FROM pg_stat_user_tables
                UNION ALL SELECT relid, idx_tup_read FROM pg_stat_user_indexes) read
            WHERE relid = $1::regclass OR relid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::regclass)";
        let mut counts = [0; N];
        for (count, table) in counts.iter_mut().zip(tables) {
            *count = sqlx::query_scalar(read).bind(table).fetch_one(&self.pool).await.unwrap();
        }
        counts
    }

    /// How many rows the pages of a list have, each of which is read within bounds, and how many pages those are.
    async fn all<T, P: Copy + PartialEq + Debug>(
        &self,
        what: &str,
        page: impl AsyncFn(&Store, Option<P>) -> ListPage<T, P>,
    ) -> (usize, usize) {
        let (mut rows, mut pages, mut after) = (0, 0, None);
        loop {
            let tables = ["lead", "delivery", "undelivered", "attempt"];
            let (found, read) = self.measured(tables, async |store| page(store, after).await).await;
            let is_bounded = read.iter().all(|read| *read <= READ_MAX);
            assert!(is_bounded, "{what}: page {pages} reads {read:?} rows of {tables:?}");
            (rows, pages) = (rows + found.rows.len(), pages + 1);
            match found.stopped {
                Some(place) => assert_ne!(after.replace(place), Some(place), "{what}: page {pages}"),
                None => return (rows, pages),
            }
        }
    }
}

/// As many pages as the rows are worth.
const PAGES_MIN: usize = ROWS as usize / (2 * ROWS_MAX);

#[tokio::test]
async fn leads_of_a_state_are_looked_for_within_bounds() {
    let crowded = Crowded::new(ROWS).await;
    for company in [None, Some("1")] {
        let page = async |store: &Store, after| {
            store.lead_views(company, Some(LeadState::Pushed), after, 50).await.unwrap()
        };
        let (rows, pages) = crowded.all("pushed", page).await;
        assert_eq!(rows, 0);
        assert!(pages >= PAGES_MIN.div_ceil(4), "{pages}");
    }
}

#[tokio::test]
async fn attempts_that_came_to_something_are_looked_for_within_bounds() {
    let crowded = Crowded::new(ROWS).await;
    for analysed in [false, true] {
        if analysed {
            sqlx::raw_sql("ANALYZE").execute(&crowded.pool).await.unwrap();
        }
        for (what, expected, filter) in [
            ("a class", 4, AttemptFilter { classes: vec![FailureClass::Credentials], ..Default::default() }),
            ("a status", 7, AttemptFilter { status: Some(401), ..Default::default() }),
            (
                "a class that delivered",
                0,
                AttemptFilter {
                    classes: vec![FailureClass::Rejected],
                    states: vec![AttemptState::Failed],
                    ..Default::default()
                },
            ),
        ] {
            let page = async |store: &Store, after| {
                let filter = AttemptFilter { after, ..filter.clone() };
                store.attempt_list(&filter, 50).await.unwrap()
            };
            let (rows, pages) = crowded.all(what, page).await;
            assert_eq!(rows, expected, "{what}");
            assert!(pages >= PAGES_MIN, "{what}: {pages}");
        }
    }
}

#[tokio::test]
async fn deliveries_that_no_index_has_are_looked_for_within_bounds() {
    let crowded = Crowded::new(ROWS).await;
    let class = |states: &[State]| DeliveryFilter {
        states: states.to_vec(),
        class: Some(FailureClass::Credentials),
        ..Default::default()
    };
    let error = |states: &[State]| DeliveryFilter {
        states: states.to_vec(),
        error: Some("gone".into()),
        ..Default::default()
    };
    for analysed in [false, true] {
        if analysed {
            sqlx::raw_sql("ANALYZE").execute(&crowded.pool).await.unwrap();
        }
        for (what, expected, order, filter) in [
            (
                "skipped",
                4,
                Order::NewestFirst,
                DeliveryFilter { states: vec![State::Skipped], ..Default::default() },
            ),
            ("a class", 4, Order::NewestFirst, class(&[])),
            ("an error", 3, Order::NewestFirst, error(&[State::Dead])),
            ("an error, oldest first", 3, Order::OldestFirst, error(&State::UNDELIVERED)),
        ] {
            let page = async |store: &Store, after: Option<DeliveryId>| {
                store.delivery_page(&filter, order, after, 50).await.unwrap()
            };
            let (rows, pages) = crowded.all(what, page).await;
            assert_eq!(rows, expected, "{what}");
            assert!(pages >= PAGES_MIN.div_ceil(2), "{what}: {pages}");
        }
    }
}

#[tokio::test]
async fn a_long_queue_is_told_about_and_many_causes_are_counted_within_bounds() {
    // More than are counted one by one.
    const ROWS: i64 = 60_000;
    let crowded = Crowded::new(ROWS).await;
    let fill = "INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
                SELECT company_id, integration_id, 0, now() + (n % 4 - 1) * interval '1 hour', id, 'first' FROM made, generate_series(1, 2);
                INSERT INTO cause (id, connector, class, text) SELECT n, 'webhook', 'transient', 'busy' || n FROM generate_series(1, 6) n;
                UPDATE undelivered SET cause_id = 1 + get_byte(uuid_send(delivery_id), 15) % 6";
    sqlx::raw_sql(fill).execute(&crowded.pool).await.unwrap();
    let (system, [read]) = crowded.measured(["due"], async |store| store.system().await.unwrap()).await;
    assert!(read < ROWS, "a look at the system reads {read} rows of the queue");
    let queue = system.queue;
    assert!(queue.is_estimate);
    let is_about = |count: i64, expected: i64| (count - expected).abs() < expected / 4;
    assert!(is_about(queue.due, ROWS) && is_about(queue.later, ROWS), "{queue:?}");
    assert_eq!(queue.lanes, 8);
    assert!(queue.oldest_due_at.is_some_and(|at| at < system.at));
    let filter = FailureFilter::default();
    let page = async |store: &Store| store.failures(&filter, 0, 50).await.unwrap();
    let (failures, [read]) = crowded.measured(["undelivered"], page).await;
    assert_eq!(failures.deliveries, ROWS / 2);
    assert!(read < 25_000, "a page of causes reads {read} rows of {}", ROWS / 2);
}
