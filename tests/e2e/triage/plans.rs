//! What lists cost: a page of any list reads a page of each table, however much there is; counts agree with what they
//! count.

use std::sync::Arc;

use leadline_tests::Database;
use leadlined::{
    domain::delivery::State,
    postgres::setup,
    store::{
        Store, WakeUps,
        delivery::read::{DeliveryFilter, Order},
        failure::list::FailureFilter,
    },
};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// As many deliveries of an integration as make the planner choose.
const MANY: i64 = 100;
/// To name what a delivery died of takes a debug build a millisecond.
const FEW: i64 = 10;

/// A store on a database with fifty integrations of ten companies, each with so many dead, and as many that were delivered,
/// of which the planner knows nothing.
async fn filled(each: i64) -> (Store, PgPool, Database) {
    let database = Database::create().await;
    let pool = database.pool().await;
    let fill = format!(
        "INSERT INTO company (id, name, plan) SELECT n, 'c' || n, 'pro' FROM generate_series(1, 10) n;
         INSERT INTO integration (company_id, id, name, connector, enabled, config, sealed_config, mapping, events, payload, routing)
         SELECT 1 + n % 10, lpad(to_hex(n), 32, '0')::uuid, 'i' || n, 'webhook', true, '{{}}', '', '{{}}', '{{lead.created}}', 'v1', 'all'
         FROM generate_series(1, 50) n;
         INSERT INTO integration_stat (company_id, integration_id, dead) SELECT company_id, id, {each} FROM integration;
         INSERT INTO lead (company_id, id, uuid, event_id, digest)
         SELECT i.company_id, lpad(to_hex(n), 32, '1')::uuid, lpad(n::text, 26, '0'), lpad(to_hex(n), 32, '2')::uuid, decode(repeat('00', 32), 'hex')
         FROM integration i, generate_series(1, 1) n ON CONFLICT DO NOTHING;
         INSERT INTO event (company_id, id, lead_id, kind, body) SELECT company_id, event_id, id, 'lead.created', '{{}}' FROM lead;
         INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state, attempts, finished_at)
         SELECT i.company_id, gen_random_uuid(), i.id, lpad(to_hex(1), 32, '1')::uuid, lpad(to_hex(1), 32, '2')::uuid, 'lead.created',
             false, CASE WHEN n <= {each} THEN 'dead' ELSE 'delivered' END, 1, now()
         FROM integration i, generate_series(1, 2 * {each}) n;
         INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error)
         SELECT company_id, integration_id, id, lead_id, 'dead', 'rejected', '422 no ' || (ascii(substr(id::text, 1, 1)) % 5)
         FROM delivery WHERE state = 'dead';"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    let daemons = setup::connect(database.options()).await.unwrap();
    let sealer = setup::unseal(&daemons, database.master_key()).await.unwrap();
    (Store::new(daemons, sealer, Arc::new(WakeUps::new().0)), pool, database)
}

#[tokio::test]
async fn a_page_of_a_list_reads_a_page_of_each_table() {
    let (store, pool, _database) = filled(MANY).await;
    // One is named, and the others with it: they differ in digits only.
    store.name_causes_behind(Uuid::nil(), 1).await.unwrap();
    sqlx::query("UPDATE undelivered SET cause_id = (SELECT id FROM cause)").execute(&pool).await.unwrap();
    let failures = store.failures(&FailureFilter::default(), 0, 50).await.unwrap();
    let cause = failures.page[0].cause;
    for analysed in [false, true] {
        if analysed {
            sqlx::raw_sql("ANALYZE").execute(&pool).await.unwrap();
        }
        for (what, filter) in [
            (
                "undelivered",
                DeliveryFilter {
                    states: vec![State::Pending, State::Held, State::Dead],
                    ..Default::default()
                },
            ),
            ("dead", DeliveryFilter { states: vec![State::Dead], ..Default::default() }),
            ("held", DeliveryFilter { states: vec![State::Held], ..Default::default() }),
            (
                "a cause",
                DeliveryFilter { cause: Some(cause), states: vec![State::Dead], ..Default::default() },
            ),
            ("any", DeliveryFilter::default()),
        ] {
            let plan = store.list_plan(&filter, 50).await.unwrap();
            let reads_all = plan.iter().find(|line| {
                ["Seq Scan on delivery", "Seq Scan on undelivered"].iter().any(|scan| line.contains(scan))
            });
            assert!(reads_all.is_none(), "{what}, analysed {analysed}:\n{}", plan.join("\n"));
        }
    }
}

#[tokio::test]
async fn a_page_is_in_order_and_the_next_goes_on() {
    let (store, _pool, _database) = filled(FEW).await;
    let dead =
        DeliveryFilter { states: vec![State::Pending, State::Held, State::Dead], ..Default::default() };
    let (mut ids, mut after) = (Vec::new(), None);
    for _ in 0..3 {
        let page = store.delivery_views(&dead, Order::OldestFirst, after, Some(30)).await.unwrap();
        after = page.last().map(|delivery| delivery.id);
        ids.extend(page.into_iter().map(|delivery| delivery.id.uuid()));
    }
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((ids.len(), &ids), (90, &sorted));
}

#[tokio::test]
async fn counts_of_causes_follow_the_rows_and_are_mended() {
    let (store, pool, _database) = filled(FEW).await;
    store.name_causes().await.unwrap();
    let dead = async || {
        let all = store.failures(&FailureFilter::default(), 0, 50).await.unwrap();
        (all.page.len(), all.deliveries)
    };
    let rows = 50 * FEW;
    assert_eq!(dead().await, (1, rows), "they differ in digits only");
    assert_eq!(store.check_causes().await.unwrap(), 0);
    let gone = sqlx::query(
        "DELETE FROM undelivered WHERE integration_id IN (SELECT id FROM integration WHERE company_id = 1)",
    );
    let gone = i64::try_from(gone.execute(&pool).await.unwrap().rows_affected()).unwrap();
    assert_eq!(dead().await, (1, rows - gone));
    // Another error is another cause.
    let other = "UPDATE undelivered SET error = '404 no list' WHERE integration_id IN (SELECT id FROM integration WHERE company_id = 2)";
    let other = i64::try_from(sqlx::query(other).execute(&pool).await.unwrap().rows_affected()).unwrap();
    assert_eq!(dead().await, (1, rows - gone - other));
    store.name_causes().await.unwrap();
    assert_eq!(dead().await, (2, rows - gone));
    assert_eq!(store.check_causes().await.unwrap(), 0);
    sqlx::query("UPDATE cause_count SET deliveries = deliveries + 5").execute(&pool).await.unwrap();
    assert!(store.check_causes().await.unwrap() > 0);
    assert_eq!((dead().await, store.check_causes().await.unwrap()), ((2, rows - gone), 0));
}
