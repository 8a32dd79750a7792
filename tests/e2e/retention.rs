//! Retention: attempts go by the day, the last ones of an integration and those of open deliveries stay, and no push
//! waits for it.

use std::{sync::Arc, time::Duration};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{Cli, Daemon, Database, Operator, Scene, post_lead, wait_until};
use leadlined::{
    postgres::setup,
    store::{Store, WakeUps, delivery::retention::Pruned, lead::keep::Positions},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::timeout;

/// So many attempts of a lane at so many days before now, with ids from this number on.
const ATTEMPTS: &str = "
    INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger, delivered, started_at,
        duration_ms, config_version)
    SELECT 7, $1::uuid, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, coalesce($2::uuid, gen_random_uuid()),
        gen_random_uuid(), 'lead.created', 1, 'first', true, now() - $3 * interval '1 day' - n * interval '1 millisecond', 1, 1
    FROM generate_series($4, $4 + $5 - 1) n";

async fn write(pool: &PgPool, lane: &str, delivery: Option<&str>, days: i32, ids: std::ops::Range<i32>) {
    let insert = sqlx::query(ATTEMPTS).bind(lane).bind(delivery).bind(days).bind(ids.start);
    insert.bind(ids.end - ids.start).execute(pool).await.unwrap();
}

async fn sql(pool: &PgPool, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(pool).await.unwrap();
}

async fn count(pool: &PgPool, what: &str) -> i64 {
    let text = format!("SELECT count(*) FROM {what}");
    sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(pool).await.unwrap()
}

/// The partition of a day before now, made if need be.
async fn day(pool: &PgPool, days: i32) -> String {
    let at = format!("((now() - interval '{days} days') AT TIME ZONE 'UTC')::date");
    let ask = format!("SELECT to_char({at}, 'YYYYMMDD'), {at}::text, ({at} + 1)::text");
    let (name, from, to): (String, String, String) =
        sqlx::query_as(AssertSqlSafe(ask)).fetch_one(pool).await.unwrap();
    sql(
        pool,
        &format!(
            "CREATE TABLE IF NOT EXISTS attempt_{name} PARTITION OF attempt
             FOR VALUES FROM ('{from} 00:00+00') TO ('{to} 00:00+00')"
        ),
    )
    .await;
    format!("attempt_{name}")
}

async fn exists(pool: &PgPool, table: &str) -> bool {
    count(pool, &format!("pg_class WHERE relname = '{table}'")).await == 1
}

/// A store beside the daemon's, on the same database.
async fn store(database: &Database) -> Store {
    let pool = setup::connect(database.options()).await.unwrap();
    let sealer = setup::unseal(&pool, database.master_key()).await.unwrap();
    Store::new(pool, sealer, Arc::new(WakeUps::new().0))
}

fn uuid(id: &str) -> String {
    ulid::Ulid::from_string(id).map(uuid::Uuid::from).unwrap().to_string()
}

/// What is dead is known although its attempts are not.
async fn check_dead_without_attempts(cli: &Cli, pool: &PgPool, dead: &str) {
    sql(pool, "DELETE FROM attempt WHERE trigger = 'first' AND started_at > now() - interval '1 day'").await;
    let why = cli.json(&["delivery", "why", dead]).await;
    assert!(why["why"].as_str().unwrap().contains("rejected"), "{why}");
    let found = cli.json(&["delivery", "list", "--undelivered", "--class", "rejected"]).await;
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    let again = cli.run(&["delivery", "retry", dead, "--re-render"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        count(pool, &format!("delivery WHERE id = '{}' AND reason_code = 'replaced'", uuid(dead))).await,
        1,
        "it may have been sent under its id, so that other bytes need another one"
    );
}

#[tokio::test]
async fn after_weeks_a_daemon_drops_old_days_keeps_what_must_stay_and_goes_on() {
    let database = Database::create().await;
    let pool = database.pool().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::RefuseAll(422, "no such field".into())).await.unwrap();
    let key = operator.company(7).await;
    let mut lanes = Vec::new();
    for name in ["busy", "idle", "off"] {
        let made = operator.webhook(7, name, &receiver.url(&format!("/{name}")), json!({})).await;
        lanes.push(made.integration.unwrap().id);
    }
    let cli = Cli::new(daemon.socket());
    cli.json(&["integration", "disable", "off"]).await;
    post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    wait_until("both are dead", async || count(&pool, "delivery WHERE state = 'dead'").await == 2).await;
    let dead = operator.deliveries_of(&lanes[0]).await.remove(0).id;
    let held = operator.deliveries_of(&lanes[2]).await.remove(0).id;
    daemon.stop().await;

    // Nobody was there for weeks: the days that were made ahead are over, and those of today are missing.
    let made: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relispartition AND relkind = 'r' AND relname ~ '^attempt_2'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for table in made {
        sql(&pool, &format!("DROP TABLE {table}")).await;
    }
    let [busy, idle, off] = [0, 1, 2].map(|n| uuid(&lanes[n]));
    let (old, older, young) = (day(&pool, 32).await, day(&pool, 40).await, day(&pool, 29).await);
    write(&pool, &busy, None, 40, 1000..1060).await;
    write(&pool, &busy, Some(&uuid(&dead)), 32, 2000..2003).await;
    write(&pool, &busy, None, 29, 3000..3060).await;
    write(&pool, &busy, None, 60, 100..110).await;
    write(&pool, &idle, None, 40, 1000..1040).await;
    write(&pool, &idle, None, 32, 2000..2040).await;
    write(&pool, &off, Some(&uuid(&held)), 60, 100..170).await;

    let daemon = Daemon::start_on(&database).await;
    let kept = async |lane: &str, days: &str| {
        let of = format!(
            "attempt WHERE integration_id = '{lane}' AND started_at < now() - interval '{days} days'"
        );
        count(&pool, &of).await
    };
    wait_until("the old days are gone", async || {
        !exists(&pool, &old).await && !exists(&pool, &older).await && kept(&busy, "45").await == 0
    })
    .await;
    assert_eq!(kept(&busy, "31").await, 0, "newer ones are enough, and a dead delivery is no open one");
    assert_eq!(kept(&busy, "28").await, 60, "their day is not over for long enough");
    assert!(exists(&pool, &young).await);
    assert_eq!(kept(&idle, "31").await, 50, "the last ones stay");
    assert_eq!(kept(&idle, "36").await, 10, "the last ones, not any");
    assert_eq!(kept(&off, "45").await, 70, "their delivery is held");
    assert_eq!(count(&pool, "attempt_rest").await, 120);

    receiver.set(Behaviour::Good);
    check_dead_without_attempts(&Cli::new(daemon.socket()), &pool, &dead).await;
    let today = day(&pool, 0).await;
    assert!(count(&pool, &today).await > 0, "{today} was there in time");
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn who_reads_an_old_day_delays_its_end_and_no_push() {
    let Scene { daemon, receiver, pool, key, .. } = Scene::with(Behaviour::Good).await;
    let old = day(&pool, 40).await;
    write(&pool, "00000000-0000-0000-0000-000000000001", None, 40, 1..500).await;
    let store = store(daemon.database()).await;

    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM attempt").execute(&mut *reader).await.unwrap();
    let pruned = async |expected: Pruned| {
        wait_until("it was this one's turn", async || store.prune().await.unwrap() == expected).await;
    };
    let push = async |leads: std::ops::Range<usize>| {
        for n in leads.clone() {
            let (status, _) = post_lead(&daemon.url("/v1/leads"), &key, sample_lead(n).to_string()).await;
            assert_eq!(status, 202);
        }
        wait_until("they are delivered", async || {
            count(&pool, "delivery WHERE state = 'delivered'").await == i64::try_from(leads.end).unwrap()
        })
        .await;
    };
    let postponed = Pruned { postponed: 1, ..Pruned::default() };
    // Any other statement waits for a lock for ten seconds, and whoever comes later waits behind it.
    let (_, in_time) = tokio::join!(push(0..40), timeout(Duration::from_secs(8), pruned(postponed)));
    in_time.unwrap();
    assert!(exists(&pool, &old).await, "somebody reads it");
    reader.rollback().await.unwrap();
    tokio::join!(push(40..80), pruned(Pruned { days: 1, ..Pruned::default() }));
    assert!(!exists(&pool, &old).await);
    assert_eq!(count(&pool, "attempt_rest").await, 50);
    assert_eq!(store.prune().await.unwrap(), Pruned::default(), "nothing is left to do");
    store.close().await;
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_day_of_which_much_stays_is_thinned_and_goes_when_little_is_left() {
    let database = Database::create().await;
    let (pool, store) = (database.pool().await, store(&database).await);
    let lane = |n: usize| format!("00000000-0000-0000-0000-{n:012}");
    let old = day(&pool, 40).await;
    for n in 0..45 {
        write(&pool, &lane(n), None, 40, 1..61).await;
    }
    assert_eq!(store.prune().await.unwrap(), Pruned { attempts: 450, ..Pruned::default() });
    assert_eq!(count(&pool, &old).await, 45 * 50);
    for n in 0..10 {
        write(&pool, &lane(n), None, 1, 100..150).await;
    }
    assert_eq!(store.prune().await.unwrap(), Pruned { days: 1, ..Pruned::default() });
    assert_eq!(count(&pool, "attempt_rest").await, 35 * 50);
    assert_eq!(count(&pool, "attempt").await, 45 * 50);
    store.close().await;
}

#[tokio::test]
async fn jobs_and_notices_go_with_the_attempts_of_their_time() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    let id = operator.webhook(7, "crm", "https://example.com/", json!({})).await.integration.unwrap().id;
    daemon.stop().await;
    let (pool, store) = (database.pool().await, store(&database).await);
    let lane = uuid(&id);
    // Job 1 ended long ago, 2 lately, 3 in one of its lanes, 4 runs.
    for (job, other, ended) in
        [(1, 0, Some(31)), (2, 0, Some(29)), (3, 0, Some(31)), (3, 1, None), (4, 0, None)]
    {
        let ended = ended.map_or("NULL".to_owned(), |days| format!("now() - interval '{days} days'"));
        let state = if ended == "NULL" { "running" } else { "done" };
        sql(
            &pool,
            &format!(
                "INSERT INTO job (company_id, id, integration_id, kind, operator, filter, re_render, state, total, last_id,
                     finished_at)
                 SELECT 7, lpad('{job}', 32, '0')::uuid, lpad('{other}', 32, '0')::uuid, 'retry', 'ann', '{{}}', false,
                     '{state}', 1, '{lane}', {ended}"
            ),
        )
        .await;
    }
    for (days, state, finished) in
        [(31, "pending", "NULL"), (31, "delivered", "now()"), (29, "dead", "now()")]
    {
        sql(
            &pool,
            &format!(
                "INSERT INTO notice (company_id, id, integration_id, kind, body, state, created_at, finished_at)
                 SELECT 7, gen_random_uuid(), '{lane}', 'integration.failing', '', '{state}',
                     now() - interval '{days} days', {finished}"
            ),
        )
        .await;
    }
    assert_eq!(store.prune().await.unwrap(), Pruned { jobs: 1, notices: 2, ..Pruned::default() });
    assert_eq!(count(&pool, "(SELECT DISTINCT id FROM job) j").await, 3);
    store.close().await;
}

#[tokio::test]
async fn erasing_finds_an_error_whose_attempt_is_no_longer_kept() {
    let Scene { daemon, operator, receiver, pool, key, integration: id, .. } =
        Scene::with(Behaviour::RefuseAll(422, "ann@example.com is taken".into())).await;
    let leads = [1, 2].map(sample_lead);
    for lead in &leads {
        post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
    }
    wait_until("they are dead", async || count(&pool, "delivery WHERE state = 'dead'").await == 2).await;
    let error = async || operator.integration(&id).await.health.unwrap().last_error;
    let cli = Cli::new(daemon.socket());
    let erase = async |lead: &Value| {
        let uuid = lead["lead"]["uuid"].as_str().unwrap();
        cli.json(&["lead", "erase", uuid, "--yes"]).await;
    };
    sql(&pool, "DELETE FROM attempt").await;
    erase(&leads[0]).await;
    assert!(error().await.contains("ann@example.com"), "it is young, and none of this lead's");
    sql(&pool, "UPDATE integration_stat SET last_error_at = now() - interval '31 days'").await;
    erase(&leads[1]).await;
    assert_eq!(error().await, "erased");
    daemon.stop().await;
    receiver.stop().await;
}

/// What of a lead's person stands anywhere in the database, be it as text or as bytes.
async fn personal(database: &Database, lead: &Value) -> Vec<String> {
    let person = ["name", "email", "phone"].map(|field| lead["lead"][field].as_str().unwrap());
    database.settled().await;
    let dump = database.dump().await.to_lowercase();
    let forms = person.into_iter().flat_map(|text| [text.to_lowercase(), hex::encode(text)]);
    forms.filter(|form| dump.contains(form)).collect()
}

#[tokio::test]
async fn leads_whose_time_is_over_are_erased_unless_somebody_still_has_to_act() {
    let database = Database::create().await;
    let daemon = Daemon::start_on(&database).await;
    let operator = Operator::new(daemon.control().await);
    let (good, bad) = (
        Receiver::start(Behaviour::Good).await.unwrap(),
        Receiver::start(Behaviour::RefuseAll(422, String::new())).await.unwrap(),
    );
    let keys = [operator.company(7).await, operator.company(8).await];
    let config = json!({"body": "Dear {{ lead.name }}", "query": {"email": "{{ lead.email }}"}});
    operator.webhook(7, "crm", &good.url("/"), config).await;
    let stuck = operator.webhook(8, "crm", &bad.url("/"), json!({})).await.integration.unwrap().id;
    let mut leads = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let (_, posted) = post_lead(&daemon.url("/v1/leads"), key, sample_lead(n).to_string()).await;
        leads.push(posted["lead"].as_str().unwrap().to_owned());
    }
    let (_, refused) = post_lead(&daemon.url("/v1/leads"), &keys[0], "{}".to_owned()).await;
    assert_eq!(refused["status"], 422, "{refused}");
    wait_until("one arrives, one is dead", async || {
        good.count() == 1 && operator.badge(&stuck).await == "failing"
    })
    .await;
    let pool = database.pool().await;
    wait_until("the refusal is kept", async || count(&pool, "refusal").await == 1).await;
    assert_eq!(
        count(&pool, "delivery WHERE body IS NOT NULL").await,
        1,
        "what was rendered of the one is kept"
    );
    assert!(!personal(&database, &sample_lead(0)).await.is_empty(), "else this would show nothing");

    let cli = Cli::new(daemon.socket());
    let store = store(&database).await;
    let forget = async |kept: Option<u64>| {
        let store = store.clone().keeping(Duration::from_secs(86_400), kept.map(Duration::from_secs));
        store.forget_refusals().await.unwrap();
        store.forget_leads(&mut Positions::default()).await.unwrap()
    };
    assert_eq!(forget(None).await, 0, "for ever, unless somebody says otherwise");
    assert_eq!(forget(Some(3600)).await, 0, "not before their time");
    assert_eq!(count(&pool, "refusal").await, 1);
    // Refused posts are not kept for ever, whatever is said of leads.
    sqlx::query("UPDATE refusal SET at = now() - interval '91 days'").execute(&pool).await.unwrap();
    assert_eq!(forget(None).await, 0);
    assert_eq!(count(&pool, "refusal").await, 0);
    post_lead(&daemon.url("/v1/leads"), &keys[0], "{}".to_owned()).await;
    wait_until("another refusal is kept", async || count(&pool, "refusal").await == 1).await;
    wait_until("the delivered one is erased", async || forget(Some(0)).await == 1).await;
    assert_eq!(forget(Some(0)).await, 0);
    assert_eq!(count(&pool, "refusal").await, 0);
    let names = async |uuid: &str| cli.json(&["lead", "show", uuid]).await["event"]["lead"]["name"].clone();
    assert_eq!(names(&leads[0]).await, Value::Null);
    assert_eq!(
        personal(&database, &sample_lead(0)).await,
        [""; 0],
        "bodies and attempts hold nothing of the person either"
    );
    assert_eq!(count(&pool, "delivery WHERE body IS NOT NULL").await, 0);
    assert!(names(&leads[1]).await.is_string(), "it is dead: somebody still has to act");
    let audit = cli.json(&["audit", "list", "--company", "7", "--limit", "1"]).await;
    assert_eq!((&audit[0]["action"], &audit[0]["after"]["erased"]), (&json!("ForgetLeads"), &json!(1)));
    daemon.stop().await;
    good.stop().await;
    bad.stop().await;
}
