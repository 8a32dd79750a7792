//! Who read who leads are: lines of the audit for what somebody asked to see, counts by the hour for what keys read.

use std::time::{Duration, Instant};

use leadlined::{
    domain::ids::{AuditId, CompanyId, LeadId},
    store::{
        Error,
        delivery::retention::Pruned,
        operator::{
            audit::{AuditFilter, AuditView},
            reading::Reading,
        },
    },
};
use serde_json::Value;
use sqlx::FromRow;
use ulid::Ulid;
use uuid::Uuid;

use super::{
    bench::{Bench, wait_for},
    matrix::{Arm, arm, check_arms},
};

const HOUR: i64 = 3_600_000;

fn by(company: CompanyId, operator: &str, lead: LeadId) -> Reading {
    Reading { company, lead, operator: operator.to_owned() }
}

impl Bench {
    async fn read(&self, filter: AuditFilter) -> Vec<AuditView> {
        self.store.readings(&AuditFilter { limit: 100, ..filter }).await.unwrap()
    }

    /// An hour in which a key read a lead, so long ago; answers its id.
    async fn read_ago(&self, millis: i64, lead: LeadId) -> Uuid {
        let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM now()) * 1000)::bigint")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let id = Uuid::from(Ulid::from_parts(u64::try_from(now - millis).unwrap(), rand(lead)));
        sqlx::query(
            "INSERT INTO reading (company_id, id, hour, operator, target, times, first_at, last_at)
             SELECT $1, $2, date_trunc('hour', at, 'UTC'), 'key lk_1234', $3, 2, at, at
             FROM (SELECT to_timestamp($4::bigint / 1000.0) AS at) t",
        )
        .bind(self.company.0)
        .bind(id)
        .bind(format!("lead {lead}"))
        .bind(now - millis)
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }
}

/// What tells ids of one moment apart.
fn rand(lead: LeadId) -> u128 {
    lead.uuid().as_u128() & ((1 << 80) - 1)
}

#[tokio::test]
async fn what_is_revealed_or_exported_stands_in_the_audit() {
    let bench = Bench::new().await;
    let lead = LeadId::generate();
    bench.store.note_readings(&[by(bench.company, "mara", lead)], "ExportPerson").await.unwrap();
    assert_eq!(bench.count("audit WHERE operator = 'mara' AND action = 'ExportPerson'").await, 1);
    let twice = [by(bench.company, "mara", lead), by(bench.company, "mara", lead)];
    bench.store.note_readings(&twice, "Reveal").await.unwrap();
    let audit = format!("audit WHERE target = 'lead {lead}' AND operator = 'mara' AND action = 'Reveal'");
    assert_eq!(bench.count(&audit).await, 2, "one for each reading");
    bench.store.note_readings(&[], "ExportPerson").await.unwrap();
    let of_lead = AuditFilter { lead: Some(lead), limit: 10, ..AuditFilter::default() };
    assert_eq!(bench.store.audit_lines(&of_lead).await.unwrap().len(), 3);
    let of_other = AuditFilter { lead: Some(LeadId::generate()), ..of_lead };
    assert!(bench.store.audit_lines(&of_other).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_keys_read_is_counted_by_the_hour_and_nobody_is_left_out() {
    let bench = Bench::new().await;
    let (lead, other) = (LeadId::generate(), LeadId::generate());
    let several = [
        by(bench.company, "key lk_1234", lead),
        by(bench.company, "key lk_1234", lead),
        by(bench.company, "key lk_1234", other),
        by(bench.company, "key lk_5678", lead),
    ];
    bench.store.count_readings(&several).await.unwrap();
    bench.store.count_readings(&[]).await.unwrap();
    // That they are counted together is no matter of the hour that it happens to be.
    bench
        .sql("UPDATE reading SET hour = date_trunc('hour', now(), 'UTC'), first_at = first_at - interval '1 second'")
        .await;
    bench.store.count_readings(&several[..1]).await.unwrap();
    assert_eq!(bench.count("audit").await, 0, "the audit is for what was changed");
    let mut read = bench.read(AuditFilter::default()).await;
    assert!(read.is_sorted_by(|newer, older| newer.id > older.id));
    read.sort_by_key(|line| (line.operator.clone(), line.target != format!("lead {lead}")));
    let counted = read.iter().map(|line| {
        let after = line.after.as_ref().unwrap();
        let first: jiff::Timestamp = after["first_at"].as_str().unwrap().parse().unwrap();
        assert!(first < line.at && line.action == "ReadLead", "{line:?}");
        (&*line.operator, line.target == format!("lead {lead}"), &after["times"])
    });
    let expected = [("key lk_1234", true, 3), ("key lk_1234", false, 1), ("key lk_5678", true, 1)];
    let expected = expected.map(|(operator, is_lead, times)| (operator, is_lead, Value::from(times)));
    assert_eq!(counted.collect::<Vec<_>>(), expected.each_ref().map(|(a, b, c)| (*a, *b, c)));
    // An hour later it is another row.
    bench.sql("UPDATE reading SET hour = hour - interval '1 hour'").await;
    bench.store.count_readings(&several[..1]).await.unwrap();
    assert_eq!(bench.count("reading").await, 4);
    assert_eq!(bench.count("reading WHERE last_at >= first_at AND times > 0").await, 4);
}

/// What a test knows of a line.
#[derive(Debug, FromRow)]
struct Line {
    id: Uuid,
    company_id: i64,
    operator: String,
    target: String,
    first: i64,
    last: i64,
}

const LINES: &str = "SELECT id, company_id, operator, target, (extract(epoch FROM first) * 1000000)::bigint AS first,
        (extract(epoch FROM last) * 1000000)::bigint AS last
    FROM (SELECT id, company_id, operator, target, first_at AS first, last_at AS last FROM reading
        UNION ALL SELECT id, company_id, operator, target, at, at FROM audit WHERE action <> 'Test') l ORDER BY id DESC";

#[tokio::test]
async fn each_restriction_of_readings_restricts_alone_and_with_each_other() {
    let bench = Bench::new().await;
    let (mill, leads) = (bench.add_company("The Mill").await, [LeadId::generate(), LeadId::generate()]);
    for company in [bench.company, mill] {
        for operator in ["key lk_1234", "Key lk_1234"] {
            for lead in leads {
                bench.store.count_readings(&[by(company, operator, lead)]).await.unwrap();
            }
        }
        bench.store.note_readings(&[by(company, "mara", leads[0])], "Reveal").await.unwrap();
        bench.store.note_readings(&[by(company, "mara", leads[1])], "ExportPerson").await.unwrap();
        // As a daemon of the version before writes it.
        bench.store.note_readings(&[by(company, "key lk_1234", leads[0])], "ReadLead").await.unwrap();
    }
    bench.sql("UPDATE reading SET last_at = last_at + interval '1 second' WHERE operator LIKE 'Key%'").await;
    // What was changed is no reading.
    let mut command = bench.command().await;
    command.audit(bench.company, "lead", None, None).await.unwrap();
    command.commit().await.unwrap();
    let rows: Vec<Line> = sqlx::query_as(LINES).fetch_all(&bench.pool).await.unwrap();
    let mut arms: Vec<Arm<AuditFilter, Line>> = Vec::new();
    for company in [bench.company, mill] {
        let set = move |filter: &mut AuditFilter| filter.company = Some(company);
        arms.push(arm("company", company, set, move |row: &Line| row.company_id == company.0));
    }
    for operator in ["key lk_1234", "mara"] {
        let set = move |filter: &mut AuditFilter| filter.operator = Some(operator.to_owned());
        arms.push(arm("operator", operator, set, move |row: &Line| row.operator == operator));
    }
    for lead in leads {
        let set = move |filter: &mut AuditFilter| filter.lead = Some(lead);
        arms.push(arm("lead", lead, set, move |row: &Line| row.target == format!("lead {lead}")));
    }
    let time = |micros| jiff::Timestamp::from_microsecond(micros).unwrap();
    let (at, after) = (rows[rows.len() / 2].first, rows[4].id);
    let set = move |filter: &mut AuditFilter| filter.since = Some(time(at));
    arms.push(arm("since", at, set, move |row: &Line| row.last >= at));
    let set = move |filter: &mut AuditFilter| filter.until = Some(time(at));
    arms.push(arm("until", at, set, move |row: &Line| row.first < at));
    let set = move |filter: &mut AuditFilter| filter.after = Some(AuditId::from(after));
    arms.push(arm("after", after, set, move |row: &Line| row.id < after));
    let list = async |filter: AuditFilter| {
        bench.read(filter).await.into_iter().map(|line| line.id.uuid()).collect::<Vec<_>>()
    };
    check_arms(&arms, &rows, |row| row.id, list).await;
    let some = AuditFilter { limit: 3, ..AuditFilter::default() };
    assert_eq!(bench.store.readings(&some).await.unwrap().len(), 3, "of all companies together");
    let changed =
        bench.store.audit_lines(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
    assert!(changed.iter().all(|line| line.action != "ReadLead") && changed.len() == 5, "{changed:?}");
}

#[tokio::test]
async fn readings_are_found_by_the_hour_and_forgotten_when_their_time_is_over() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for hours in [1, 26, 24 * 100] {
        ids.push(bench.read_ago(hours * HOUR, LeadId::generate()).await);
    }
    let ago =
        |hours: i64| jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(hours)).unwrap();
    let found = async |since: Option<i64>, until: Option<i64>| {
        let filter = AuditFilter { since: since.map(ago), until: until.map(ago), ..AuditFilter::default() };
        bench.read(filter).await.into_iter().map(|line| line.id.uuid()).collect::<Vec<_>>()
    };
    assert_eq!(found(None, None).await, ids);
    assert_eq!(found(Some(24), None).await, ids[..1]);
    assert_eq!(found(Some(27), Some(25)).await, ids[1..2]);
    assert_eq!(found(None, Some(48)).await, ids[2..]);
    let prune = async |kept: u64| {
        // A turn ends with its connection, of whose end the server hears a moment later.
        let is_free = "NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                       WHERE l.locktype = 'advisory' AND d.datname = current_database())";
        wait_for(&bench.pool, is_free).await;
        bench.store.clone().keeping_readings(Duration::from_secs(kept)).prune().await.unwrap()
    };
    assert_eq!(prune(u64::MAX).await, Pruned::default(), "for ever");
    assert_eq!(prune(101 * 86_400).await, Pruned::default());
    assert_eq!(prune(99 * 86_400).await, Pruned { readings: 1, ..Pruned::default() });
    assert_eq!(found(None, None).await, ids[..2]);
    assert_eq!(prune(1).await, Pruned { readings: 2, ..Pruned::default() });
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_given_up_in_a_moment_and_others_are_written() {
    let bench = Bench::new().await;
    let mill = bench.add_company("The Mill").await;
    let lead = LeadId::generate();
    let (mine, theirs) = ([by(bench.company, "key lk_1234", lead)], [by(mill, "key lk_1234", lead)]);
    // Whatever the hour becomes meanwhile: nobody gets by a lock of all that is the company's.
    bench
        .sql(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM FROM company WHERE id = new.company_id FOR UPDATE; RETURN new; END $$;
             CREATE TRIGGER wait BEFORE INSERT ON reading FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        .await;
    let mut held = bench.pool.begin().await.unwrap();
    let sql = "SELECT FROM company WHERE id = $1 FOR UPDATE";
    sqlx::query(sql).bind(bench.company.0).execute(&mut *held).await.unwrap();
    let began = Instant::now();
    let (given_up, written) =
        tokio::join!(bench.store.count_readings(&mine), bench.store.count_readings(&theirs));
    written.unwrap();
    let error = given_up.unwrap_err();
    assert!(matches!(error, Error::Locked) && error.is_passing(), "{error:?}");
    // The pool gives up a connection after five seconds, a statement after thirty.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    held.rollback().await.unwrap();
    bench.store.count_readings(&mine).await.unwrap();
    assert_eq!(bench.count("reading WHERE times = 1").await, 2);
    // What is slow for another reason is given up, too.
    bench
        .sql(
            "CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   PERFORM pg_sleep(6); RETURN new; END $$",
        )
        .await;
    let began = Instant::now();
    let error = bench.store.count_readings(&mine).await.unwrap_err();
    assert!(matches!(error, Error::Away(_)) && began.elapsed() < Duration::from_secs(5), "{error:?}");
}
