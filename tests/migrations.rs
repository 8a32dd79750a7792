//! The schema: what migrations leave behind, and that they may run at any time, together and again.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::{collections::BTreeSet, fs, path::Path};

use leadline_tests::{Database, wait_until};
use leadlined::{postgres::setup, store::ensure_partitions};
use sqlx::{AssertSqlSafe, PgPool};

/// Partitions are told by the table they belong to, and `_sqlx_migrations` is not ours.
const OURS: &str = "c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
                    AND NOT c.relispartition AND c.relname NOT LIKE '\\_sqlx%'";

async fn names(pool: &PgPool, sql: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.unwrap()
}

/// Every table, column, index and constraint in words.
async fn schema(pool: &PgPool) -> Vec<String> {
    let columns = "SELECT format('%s.%s %s %s', c.relname, a.attname, a.atttypid::regtype, a.attnotnull) \
                   FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                   WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 ORDER BY 1";
    let constraints = "SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint \
                       WHERE connamespace = 'public'::regnamespace ORDER BY 1";
    let applied = "SELECT format('%s %s', version, installed_on) FROM _sqlx_migrations ORDER BY 1";
    [names(pool, columns).await, names(pool, constraints).await, names(pool, applied).await].concat()
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is_for() {
    let pool = Database::create().await.pool().await;
    let tables = format!("SELECT c.relname::text FROM pg_class c WHERE {OURS}");
    assert!(names(&pool, &tables).await.len() > 10);
    let silent = format!("{tables} AND obj_description(c.oid, 'pg_class') IS NULL");
    assert_eq!(names(&pool, &silent).await, [""; 0], "tables without a comment");
    let silent = format!(
        "SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL"
    );
    assert_eq!(names(&pool, &silent).await, [""; 0], "columns without a comment");
}

#[tokio::test]
async fn four_at_once_and_one_more_leave_the_same_schema() {
    let database = Database::empty().await;
    let migrate = || setup::migrate(database.options());
    let (a, b, c, d) = tokio::join!(migrate(), migrate(), migrate(), migrate());
    for migrated in [a, b, c, d] {
        migrated.unwrap();
    }
    let pool = database.pool().await;
    let before = schema(&pool).await;
    setup::migrate(database.options()).await.unwrap();
    assert_eq!(schema(&pool).await, before);
}

#[tokio::test]
async fn a_database_of_a_newer_daemon_is_refused() {
    let database = Database::create().await;
    let pool = database.pool().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999999, 'from the future', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = setup::migrate(database.options()).await.unwrap_err().to_string();
    assert!(error.contains("run the newest leadlined"), "{error}");
}

#[tokio::test]
async fn partitions_are_made_ahead_by_several_at_once_and_again() {
    let database = Database::empty().await;
    setup::migrate(database.options()).await.unwrap();
    let pool = database.pool().await;
    let ensure = || ensure_partitions(&pool);
    let (a, b, c) = tokio::join!(ensure(), ensure(), ensure());
    for made in [a, b, c, ensure().await] {
        made.unwrap();
    }
    let partitions = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'attempt'::regclass \
                      AND inhrelid <> 'attempt_rest'::regclass ORDER BY 1";
    let expected = "SELECT to_char((now() AT TIME ZONE 'UTC')::date + day, '\"attempt_\"YYYYMMDD') \
                    FROM generate_series(-1, 7) AS day";
    assert_eq!(names(&pool, partitions).await, names(&pool, expected).await);
}

#[tokio::test]
async fn attempts_that_came_before_their_partition_move_into_it() {
    let database = Database::empty().await;
    setup::migrate(database.options()).await.unwrap();
    let pool = database.pool().await;
    let insert = "INSERT INTO attempt (company_id, integration_id, id, event, number, trigger, delivered, started_at, \
                  duration_ms, config_version) SELECT 7, gen_random_uuid(), gen_random_uuid(), 'webhook.test', 1, \
                  'test', true, now() + make_interval(days => day), 1, 1 FROM generate_series(-40, 40, 8) AS day";
    sqlx::query(insert).execute(&pool).await.unwrap();
    ensure_partitions(&pool).await.unwrap();
    sqlx::query(insert).execute(&pool).await.unwrap();
    let count = async |table: &str| names(&pool, &format!("SELECT count(*)::text FROM {table}")).await;
    let mut today = names(&pool, "SELECT to_char(now() AT TIME ZONE 'UTC', '\"attempt_\"YYYYMMDD')").await;
    let today = today.remove(0);
    for (table, expected) in [("attempt", "22"), ("attempt_rest", "20"), (today.as_str(), "2")] {
        assert_eq!(count(table).await, [expected], "{table}");
    }
    // The indexes of the table came along.
    let indexes = format!("SELECT count(*)::text FROM pg_index WHERE indrelid = '{today}'::regclass");
    assert_eq!(names(&pool, &indexes).await, ["2"]);
}

/// What a later version may have to do, with rows there: PostgreSQL refuses it for a table whose row type is in use.
#[tokio::test]
async fn every_table_can_get_another_column() {
    let pool = Database::create().await.pool().await;
    for table in names(&pool, &format!("SELECT c.relname::text FROM pg_class c WHERE {OURS}")).await {
        let column = format!("ALTER TABLE {table} ADD COLUMN next integer NOT NULL DEFAULT 0");
        sqlx::query(AssertSqlSafe(column)).execute(&pool).await.unwrap();
    }
}

/// A dump reads every table for as long as it takes. Whoever waits for a table makes all others wait behind it.
#[tokio::test]
async fn a_migration_that_must_wait_keeps_nobody_waiting() {
    let database = Database::empty().await;
    let pool = database.pool().await;
    let newest = setup::MIGRATIONS.iter().last().unwrap().version;
    // The last one that needs the table alone.
    let alters = setup::MIGRATIONS.iter().filter(|it| it.sql.as_str().contains("ALTER TABLE daemon"));
    let waits = alters.map(|it| it.version).max().unwrap();
    let before = setup::MIGRATIONS.iter().map(|it| it.version).filter(|it| *it < waits).max().unwrap();
    setup::MIGRATIONS.run_to(before, &pool).await.unwrap();
    let mut dump = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM daemon").execute(&mut *dump).await.unwrap();
    let migrated = setup::migrate(database.options());
    let others = async {
        let waiting =
            "SELECT count(*)::text FROM pg_locks WHERE relation = 'daemon'::regclass AND NOT granted";
        wait_until("the migration waits", async || names(&pool, waiting).await != ["0"]).await;
        let mut other = pool.acquire().await.unwrap();
        sqlx::query("SET statement_timeout = '15s'").execute(&mut *other).await.unwrap();
        sqlx::query("SELECT FROM daemon").execute(&mut *other).await.unwrap();
        dump.commit().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(migrated, others);
    migrated.unwrap();
    assert_eq!(names(&pool, "SELECT max(version)::text FROM _sqlx_migrations").await, [newest.to_string()]);
}

/// Each migration meets rows of every table that the versions before it have: `fixtures/rows` holds, by version, what a
/// daemon of that version may have written. A new table without a row there fails this test.
#[tokio::test]
async fn every_migration_meets_rows_of_the_version_before() {
    let pool = Database::empty().await.pool().await;
    for migration in setup::MIGRATIONS.iter() {
        let applied = sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str().to_owned())).execute(&pool).await;
        applied.unwrap_or_else(|error| panic!("migration {}: {error}", migration.version));
        let rows =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/rows/{:04}.sql", migration.version));
        // One without may add no column, constraint or table: there is nothing new to write.
        if !rows.exists() {
            let words = ["ADD ", "CREATE TABLE"];
            let adds = words.iter().any(|word| migration.sql.as_str().contains(word));
            assert!(!adds, "version {} brings what {} does not write", migration.version, rows.display());
        }
        if let Ok(rows) = fs::read_to_string(&rows) {
            let inserted = sqlx::raw_sql(AssertSqlSafe(rows)).execute(&pool).await;
            inserted.unwrap_or_else(|error| panic!("rows of version {}: {error}", migration.version));
        }
        let mut empty = BTreeSet::new();
        for table in names(&pool, &format!("SELECT c.relname::text FROM pg_class c WHERE {OURS}")).await {
            let any = format!("SELECT exists(SELECT FROM {table})::text");
            if names(&pool, &any).await == ["false"] {
                empty.insert(table);
            }
        }
        assert!(empty.is_empty(), "fixtures/rows/{:04}.sql has no row of {empty:?}", migration.version);
    }
}

/// Nobody who read a lead is lost, however often, and what was changed stays in the audit.
#[tokio::test]
async fn readings_that_were_lines_of_the_audit_are_counted_by_the_hour() {
    let pool = Database::empty().await.pool().await;
    let rows = |version: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/rows/{version}.sql"));
        AssertSqlSafe(fs::read_to_string(path).unwrap())
    };
    setup::MIGRATIONS.run_to(17, &pool).await.unwrap();
    sqlx::raw_sql(rows("0017")).execute(&pool).await.unwrap();
    let changed = "INSERT INTO audit (company_id, id, operator, action, target) \
                   VALUES (7, gen_random_uuid(), 'ann', 'Reveal', 'lead 01J8H6KQH4YG3XR8RWM6T6XFQE')";
    sqlx::query(changed).execute(&pool).await.unwrap();
    setup::MIGRATIONS.run_to(18, &pool).await.unwrap();
    let read = "SELECT format('%s %s %s: %s, %s to %s, %s', operator, target, to_char(hour AT TIME ZONE 'UTC', 'HH24:MI'), \
                times, to_char(first_at AT TIME ZONE 'UTC', 'HH24:MI'), to_char(last_at AT TIME ZONE 'UTC', 'HH24:MI'), \
                right(id::text, 4)) FROM reading ORDER BY id";
    let lead = "lead 01J8H6KQH4YG3XR8RWM6T6XFQE";
    assert_eq!(
        names(&pool, read).await,
        [
            format!("intake key llk_7_aaaa {lead} 10:00: 3, 10:00 to 10:50, 0170"),
            format!("intake key llk_7_bbbb {lead} 11:00: 1, 11:15 to 11:15, 0173"),
        ]
    );
    assert_eq!(names(&pool, "SELECT action FROM audit").await, ["Reveal"]);
}

/// What a target said of a person goes from the audit, which nothing else takes out of it.
#[tokio::test]
async fn resets_that_were_audited_with_an_error_are_kept_without_it() {
    let pool = Database::empty().await.pool().await;
    setup::MIGRATIONS.run_to(18, &pool).await.unwrap();
    let audited = r#"INSERT INTO audit (company_id, id, operator, action, target, before, after) VALUES
        (7, '01890000-0000-7000-8000-000000000211', 'ann', 'ResetIntegration', 'integration 01J8H6KQH4YG3XR8RWM6T6XFQE',
         '{"failure_count": 2, "last_error": "zeb@example.com is known"}', '{"failure_count": 0, "last_error": null}'),
        (7, '01890000-0000-7000-8000-000000000212', 'ann', 'ResetIntegration', 'integration 01J8H6KQH4YG3XR8RWM6T6XFQE',
         NULL, NULL),
        (7, '01890000-0000-7000-8000-000000000213', 'ann', 'UpdateFlow', 'flow 01J8H6KQH4YG3XR8RWM6T6XFQE',
         '{"name": "big"}', '{"name": "large"}')"#;
    sqlx::query(audited).execute(&pool).await.unwrap();
    setup::MIGRATIONS.run_to(21, &pool).await.unwrap();
    assert_eq!(
        names(&pool, "SELECT format('%s %s', before, after) FROM audit ORDER BY id").await,
        [r#"{"failure_count": 2} {"failure_count": 0}"#, " ", r#"{"name": "big"} {"name": "large"}"#,]
    );
}

/// A database in use may hold every reason that the first version wrote as a sentence.
#[tokio::test]
async fn reasons_that_were_sentences_become_codes() {
    let pool = Database::empty().await.pool().await;
    let migrations: Vec<_> = setup::MIGRATIONS.iter().collect();
    sqlx::raw_sql(AssertSqlSafe(migrations[0].sql.as_str().to_owned())).execute(&pool).await.unwrap();
    let rows = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rows/0001.sql");
    sqlx::raw_sql(AssertSqlSafe(fs::read_to_string(rows).unwrap())).execute(&pool).await.unwrap();
    let known = [
        ("held", "integration disabled", "integration_disabled", "null"),
        ("held", "rotation: held until cut over", "rotation", "null"),
        ("skipped", "consent", "no_consent", "null"),
        ("skipped", "erased", "erased", "null"),
        ("skipped", "flow: none sends leads here", "no_flow", "null"),
        ("skipped", "superseded by a later push", "superseded", "null"),
        ("skipped", "superseded", "superseded", "null"),
        ("pending", "waits for 01J8H6KQH4YG3XR8RWM6T6XFQE", "waits_for", "\"01J8H6KQH4YG3XR8RWM6T6XFQE\""),
        (
            "skipped",
            "superseded by 01J8H6KQH4YG3XR8RWM6T6XFQE",
            "superseded",
            "\"01J8H6KQH4YG3XR8RWM6T6XFQE\"",
        ),
        ("skipped", "replaced by 01J8H6KQH4YG3XR8RWM6T6XFQE", "replaced", "\"01J8H6KQH4YG3XR8RWM6T6XFQE\""),
        ("held", "operator: held by ann", "held_by_operator", "\"ann\""),
        (
            "skipped",
            "operator: skipped by ann",
            "skipped_by_operator",
            r#"{"was": "pending", "operator": "ann"}"#,
        ),
        (
            "held",
            "flow \"VIP\" cannot be evaluated: no such field",
            "flow_fails",
            r#"{"flow": "VIP", "problem": "no such field"}"#,
        ),
        ("skipped", "flow \"VIP\" is not met", "flow_not_met", r#"{"flows": ["VIP"]}"#),
        ("dead", "poison: three daemons died", "crashed", "3"),
        ("dead", "transient: the sweep failed too", "sweep_failed", "\"transient\""),
        (
            "dead",
            "transient: 3 automatic retries failed",
            "retries_failed",
            r#"{"class": "transient", "retries": 3}"#,
        ),
        ("pending", "unknown, maybe delivered", "maybe_delivered", "null"),
        ("dead", "unknown, maybe delivered", "failed", "\"unknown\""),
        ("dead", "rejected", "failed", "\"rejected\""),
        ("held", "ann", "held_by_operator", "\"ann\""),
    ];
    sqlx::query("DELETE FROM delivery").execute(&pool).await.unwrap();
    for (n, (state, sentence, ..)) in known.iter().enumerate() {
        let insert = "INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state, reason, due_at, finished_at) \
            SELECT 7, ('01890000-0000-7000-8000-0000000006' || lpad($1::text, 2, '0'))::uuid, \
                '01890000-0000-7000-8000-000000000011', '01890000-0000-7000-8000-000000000021', \
                '01890000-0000-7000-8000-000000000031', 'lead.created', false, $2, $3, now(), \
                CASE WHEN $2 IN ('delivered', 'dead', 'skipped') THEN now() END";
        sqlx::query(insert).bind(n as i32).bind(state).bind(sentence).execute(&pool).await.unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(migrations[1].sql.as_str().to_owned())).execute(&pool).await.unwrap();
    let codes =
        "SELECT reason_code || ' ' || coalesce(reason_detail::text, 'null') FROM delivery ORDER BY id";
    let expected = known.map(|(_, _, code, detail)| format!("{code} {detail}"));
    assert_eq!(names(&pool, codes).await, expected);
}

/// A column that must have a value gets one for the rows that are there, or the migration fails on every database in use.
#[test]
fn new_columns_that_must_have_a_value_bring_one() {
    let mut findings = Vec::new();
    for migration in setup::MIGRATIONS.iter() {
        findings.extend(
            bare_columns(migration.sql.as_str())
                .into_iter()
                .map(|line| format!("{}: {line}", migration.version)),
        );
    }
    assert!(findings.is_empty(), "NOT NULL without DEFAULT:\n{}", findings.join("\n"));
    for (sql, expected) in [
        ("ALTER TABLE lead ADD COLUMN a text NOT NULL;", 1),
        ("alter table lead add a numeric(5, 2) not null, ADD b text NOT NULL DEFAULT 'x, y';", 1),
        ("ALTER TABLE lead\n    ADD a text,\n    ADD b text NOT NULL CHECK (b IN ('c', 'd'));", 1),
        ("ALTER TABLE lead ALTER COLUMN a SET NOT NULL;", 1),
        ("ALTER TABLE lead ADD a text NOT NULL DEFAULT ''; CREATE TABLE t (a text NOT NULL);", 0),
        (
            "ALTER TABLE lead ADD CHECK (a IS NOT NULL); ALTER TABLE lead ADD c int; -- ADD d text NOT NULL;",
            0,
        ),
    ] {
        assert_eq!(bare_columns(sql).len(), expected, "{sql}");
    }
}

/// The columns that `ALTER TABLE` adds with `NOT NULL` and without `DEFAULT` or `GENERATED`, or that it makes so.
fn bare_columns(sql: &str) -> Vec<String> {
    let code: String = sql.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for statement in top_level(&code, ';') {
        if !statement.trim().to_uppercase().starts_with("ALTER TABLE") {
            continue;
        }
        for part in top_level(&statement, ',') {
            let words: Vec<_> = part.split_whitespace().map(str::to_uppercase).collect();
            let added = words.iter().position(|word| word == "ADD").map_or(&[][..], |at| &words[at + 1..]);
            let is_column = added.first().is_some_and(|word| {
                !["CHECK", "CONSTRAINT", "FOREIGN", "PRIMARY", "UNIQUE", "EXCLUDE"].contains(&word.as_str())
                    && !word.starts_with("CHECK(")
            });
            let says = |word: &str| added.iter().any(|said| said == word);
            let is_bare = is_column && says("NOT") && says("NULL") && !says("DEFAULT") && !says("GENERATED");
            // Rows that are there may have none.
            if is_bare || part.to_uppercase().contains("SET NOT NULL") {
                found.push(part.trim().to_owned());
            }
        }
    }
    found
}

/// What stands between separators, those within parentheses and quotes aside.
fn top_level(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if c == separator && depth == 0 && !quoted {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    parts
}
