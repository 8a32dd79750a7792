//! Who writes the WAL: a flood at fan-out 1, 5 and 20, and by relation and kind of record what it left in the log.

use std::{collections::HashMap, path::Path};

use sqlx::{AssertSqlSafe, PgConnection};

use super::load::{CLIENTS, SMALL};
use crate::{
    Options, Report,
    http::Receiver,
    leadline::{CONCURRENCY, Leadline},
    load,
};

/// So many kinds of records are named; the rest is one sum.
const NAMED: usize = 40;

/// The first flood after a checkpoint writes whole pages, and is told of apart.
pub(super) async fn written(executable: &Path, options: &Options, report: &mut Report) {
    let leadline = Leadline::start(executable).await;
    let receiver = Receiver::start().await;
    let mut database = leadline.database().await;
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_walinspect").execute(&mut database).await.unwrap();
    for (company, fan_out) in (1..).zip([1, 5, 20]) {
        let urls: Vec<_> = (0..fan_out).map(|n| format!("http://{}/{n}", receiver.address())).collect();
        let target = leadline.company(company, &urls, CONCURRENCY).await;
        report.section(&format!("{CLIENTS} closed-loop clients, fan-out {fan_out}: the WAL"));
        let (from, arrived) = (position(&mut database).await, receiver.count());
        let (before, written) = (updates(&mut database).await, leadline.written().await);
        receiver.arrived();
        let run = load::flood(&leadline, &target, CLIENTS, SMALL, options.time()).await;
        let deliveries = (receiver.count() - arrived) as f64;
        report.each_once(run.leads * fan_out, receiver.arrived());
        let to = position(&mut database).await;
        let rows = records(&mut database, &from, &to).await;
        let sum = |of: fn(&Record) -> i64| rows.iter().map(of).sum::<i64>() as f64 / deliveries;
        report.figure("WAL per delivery", sum(|row| row.bytes), "bytes");
        report.figure("  of it whole pages", sum(|row| row.pages), "bytes");
        report.figure("deliveries", deliveries, "");
        for row in rows.iter().take(NAMED) {
            report.figure(&format!("  {}", row.name), row.bytes as f64 / deliveries, "bytes");
            report.figure("      records", row.count as f64 / deliveries, "");
        }
        let rest: i64 = rows.iter().skip(NAMED).map(|row| row.bytes).sum();
        report.figure("  the rest", rest as f64 / deliveries, "bytes");
        leadline.written_since(&written, run.leads * fan_out).await;
        for (table, after) in updates(&mut database).await {
            let before = before.get(&table).copied().unwrap_or_default();
            let (all, hot) = (after.0 - before.0, after.1 - before.1);
            if all > 0 {
                report.figure(&format!("updates of {table}"), all as f64 / deliveries, "");
                report.figure("  of them in place", hot as f64 / all as f64, "");
            }
        }
    }
    leadline.stop().await;
}

/// What the records of one kind in one relation come to.
#[derive(sqlx::FromRow)]
struct Record {
    name: String,
    count: i64,
    bytes: i64,
    pages: i64,
}

async fn position(database: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text").fetch_one(database).await.unwrap()
}

/// A record counts for the first relation it names.
async fn records(database: &mut PgConnection, from: &str, to: &str) -> Vec<Record> {
    let sql = format!(
        "WITH record AS (
             SELECT resource_manager || ' ' || record_type AS kind, record_length::bigint AS bytes, fpi_length::bigint AS pages,
                 substring(block_ref FROM 'rel [0-9]+/[0-9]+/([0-9]+)')::bigint AS node
             FROM pg_get_wal_records_info('{from}', '{to}')
         )
         SELECT coalesce(c.relname, '-') || ': ' || r.kind AS name, count(*) AS count, sum(r.bytes)::bigint AS bytes,
             sum(r.pages)::bigint AS pages
         FROM record r LEFT JOIN pg_class c ON pg_relation_filenode(c.oid) = r.node
         GROUP BY 1 ORDER BY 3 DESC"
    );
    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(database).await.unwrap()
}

/// Updates of each table so far, and how many of them touched no index.
async fn updates(database: &mut PgConnection) -> HashMap<String, (i64, i64)> {
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT relname::text, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables")
            .fetch_all(database)
            .await
            .unwrap();
    rows.into_iter().map(|(table, all, hot)| (table, (all, hot))).collect()
}
