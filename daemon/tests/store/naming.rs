//! How the causes of many deliveries that died are named.

use leadlined::domain::outcome::FailureClass;
use uuid::Uuid;

use super::bench::Bench;

/// A few of many are taken first, whatever the planner believes of the rest: it joined all that died for each few of
/// them, seconds long at four hundred thousand.
#[tokio::test]
async fn whoever_names_a_few_of_many_reads_the_leads_of_these_few() {
    const MANY: i64 = 5000;
    const COMPANIES: i64 = 20;
    const FEW: i64 = 10;
    let mut bench = Bench::new().await;
    bench.dies("Ann", "alpha").await;
    let (company, integration) = (bench.company, bench.lane().integration.uuid());
    bench
        .sql(&format!(
            "INSERT INTO company SELECT (jsonb_populate_record(c, jsonb_build_object('id', 100 + k, 'name', 'c' || k))).*
             FROM company c, generate_series(1, {COMPANIES}) k WHERE c.id = {company};
             INSERT INTO integration SELECT (jsonb_populate_record(i, jsonb_build_object(
                 'company_id', 100 + k, 'id', ('b' || lpad(to_hex(k * 16 + n), 31, '0'))::uuid, 'name', 'i' || n))).*
             FROM integration i, generate_series(1, {COMPANIES}) k, generate_series(0, 4) n WHERE i.id = '{integration}';
             CREATE TEMP TABLE made AS SELECT n, 101 + n % {COMPANIES} AS company_id,
                 ('b' || lpad(to_hex((1 + n % {COMPANIES}) * 16 + n / {COMPANIES} % 5), 31, '0'))::uuid AS integration_id
             FROM generate_series(1, {MANY}) n;
             INSERT INTO event (company_id, id, lead_id, kind, body)
             SELECT m.company_id, ('e' || lpad(to_hex(n), 31, '0'))::uuid, ('a' || lpad(to_hex(n), 31, '0'))::uuid, kind, body
             FROM event, made m;
             INSERT INTO lead (company_id, id, uuid, event_id, digest)
             SELECT m.company_id, ('a' || lpad(to_hex(n), 31, '0'))::uuid, lpad(n::text, 26, '0'),
                 ('e' || lpad(to_hex(n), 31, '0'))::uuid, digest FROM lead, made m;
             INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error)
             SELECT m.company_id, m.integration_id, ('d' || lpad(to_hex(n), 31, '0'))::uuid,
                 ('a' || lpad(to_hex(n), 31, '0'))::uuid, state, class, error FROM undelivered, made m;
             ANALYZE"
        ))
        .await;
    let statement = concat!(
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ",
        include_str!("../../src/store/failure/unnamed.sql")
    );
    let classes: Vec<_> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
    let plan: Vec<String> = sqlx::query_scalar(statement)
        .bind(FEW)
        .bind(classes)
        .bind(Uuid::nil())
        .fetch_all(&bench.pool)
        .await
        .unwrap();
    let read = |table: &str| -> f64 {
        let line = plan.iter().find(|line| line.contains(&format!(" on {table} "))).unwrap();
        let number = |before: &str| {
            let from = line.find(before).unwrap() + before.len();
            line[from..].split([' ', ')']).next().unwrap().parse::<f64>().unwrap()
        };
        number("rows=") * number("loops=")
    };
    for table in ["lead l", "event e"] {
        assert!(read(table) <= FEW as f64, "{}", plan.join("\n"));
    }
    assert!(bench.store.name_causes_behind(Uuid::nil(), FEW).await.unwrap().is_some());
    assert_eq!(bench.count("undelivered WHERE cause_id IS NOT NULL").await, FEW);
    // Those whose lead is gone are passed over, and end nothing.
    bench.sql("DELETE FROM lead").await;
    bench.store.name_causes().await.unwrap();
    assert_eq!(bench.count("undelivered WHERE cause_id IS NOT NULL").await, FEW);
}
