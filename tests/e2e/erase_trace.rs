//! One person: the whole story of a lead, and its end when it is erased.

use std::time::Duration;

use leadline_fakes::{Behaviour, Receiver};
use leadline_tests::{Cli, Daemon, Operator, Scene, check_invariants, post_lead, wait_until};
use serde_json::{Value, json};

const LEAD: &str = include_str!("../fixtures/lead.json");
const UUID: &str = "01j8h6kqh4yg3xr8rwm6t6xfqe";

/// What of the person stands anywhere in the database, be it as text or as bytes, and in its server's log.
async fn personal(daemon: &Daemon) -> Vec<String> {
    daemon.database().settled().await;
    of_person(&(daemon.database().dump().await + &daemon.database().server_log()))
}

/// What of the person stands in the statistics that the planner keeps of all tables.
async fn in_statistics(daemon: &Daemon) -> Vec<String> {
    let pool = daemon.database().pool().await;
    sqlx::query("ANALYZE").execute(&pool).await.unwrap();
    let statistics = "SELECT string_agg(s::text, chr(10)) FROM pg_stats s WHERE schemaname = 'public'";
    let statistics: String = sqlx::query_scalar(statistics).fetch_one(&pool).await.unwrap();
    assert!(statistics.contains("lead.created"), "else this would show nothing");
    of_person(&statistics)
}

/// Has the server refuse to change rows of the person, as a fault of a daemon's would.
async fn rows_are_refused(daemon: &Daemon) {
    let pool = daemon.database().pool().await;
    let mut refused = 0;
    for table in ["lead_recent", "lead_person"] {
        let statement = sqlx::AssertSqlSafe(format!("UPDATE {table} SET company_id = NULL"));
        refused += usize::from(sqlx::query(statement).execute(&pool).await.is_err());
    }
    assert!(refused > 0, "the person stands nowhere");
    let log = daemon.database().server_log();
    assert!(log.contains("violates not-null constraint"), "else this would show nothing: {log}");
    assert_eq!(of_person(&log), [""; 0], "the server's log quotes rows");
}

fn of_person(text: &str) -> Vec<String> {
    quoted(text, &["sarah", "patel", "447700900123", "9f3axj", "theoldbarn.co.uk", "summer_weddings"])
}

/// Which of these texts stand in another, be it as text or as bytes.
fn quoted(text: &str, wanted: &[&str]) -> Vec<String> {
    let contents = text.to_lowercase();
    let forms = wanted.iter().flat_map(|text| [(*text).to_owned(), hex::encode(text)]);
    forms.filter(|form| contents.contains(form)).collect()
}

fn whats(trace: &Value) -> Vec<&str> {
    trace["steps"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_leads_whole_story_is_told_in_order() {
    let Scene { daemon, cli, receiver, key, integration: hook, .. } = Scene::set()
        .behaviour(Behaviour::RefuseAll(422, "no such list".into()))
        .webhook("hook", "/")
        .start()
        .await;
    post_lead(&daemon.url("/v1/leads"), &key, LEAD).await;
    let trace = async || cli.json(&["lead", "trace", UUID]).await;
    wait_until("it is dead", async || whats(&trace().await).contains(&"final")).await;
    receiver.set(Behaviour::Good);
    post_lead(&daemon.url("/v1/leads"), &key, LEAD.replacen("\"guest_count\": 80", "\"guest_count\": 81", 1))
        .await;
    wait_until("the update is there", async || {
        whats(&trace().await).iter().filter(|what| **what == "final").count() == 2
    })
    .await;
    let reported = trace().await;
    assert_eq!(
        (&reported["uuid"], &reported["company_id"], &reported["state"]),
        (&json!(UUID), &json!(7), &json!("complete"))
    );
    assert_eq!(
        whats(&reported),
        ["received", "delivery", "attempt", "event", "delivery", "attempt", "final", "final"]
    );
    let failed = &reported["steps"][2];
    assert_eq!(
        (&failed["state"], &failed["number"], &failed["integration"]),
        (&json!("failed"), &json!(1), &json!("hook"))
    );
    assert!(failed["reason"].as_str().unwrap().starts_with("first: rejected: "), "{failed}");
    assert_eq!(failed["integration_id"], json!(hook));
    assert_eq!(
        (&reported["steps"][3]["event"], &reported["steps"][5]["reason"]),
        (&json!("lead.updated"), &json!("first: 200"))
    );
    // The update was pushed, so that the dead one is no longer of use.
    let mut ends = [6, 7].map(|at| reported["steps"][at]["state"].as_str().unwrap());
    ends.sort_unstable();
    assert_eq!(ends, ["delivered", "skipped"]);
    let table = cli.run(&["lead", "trace", UUID, "-o", "table"]).await;
    assert!(table.stdout.contains("steps:") && table.stdout.contains("received"), "{table:?}");
    let unknown = cli.run(&["lead", "trace", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).await;
    assert!(unknown.error(1).starts_with("no lead 01ARZ3NDEKTSV4RRFFQ69G5FAV"), "{unknown:?}");
    daemon.stop().await;
    receiver.stop().await;
}

/// Every delivery says why nothing is left of it, and is counted as before.
async fn counts_stay(operator: &Operator, cli: &Cli, dead: &str) {
    let deliveries = cli.json(&["delivery", "list", "--lead", UUID]).await;
    let mut states: Vec<_> = deliveries
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["state"].as_str().unwrap().to_owned(), one["reason"].as_str().unwrap_or("").to_owned())
        })
        .collect();
    states.sort();
    let of = |state: &str| states.iter().filter(|it| **it == (state.to_owned(), "erased".to_owned())).count();
    assert_eq!((of("delivered"), of("skipped"), states.len()), (3, 4, 7), "{states:?}");
    let health = operator.integration(dead).await.health.unwrap();
    assert_eq!((health.dead, health.failure_count, &*health.last_error), (0, 2, "erased"));
    let shown = cli.json(&["lead", "show", UUID]).await;
    assert_eq!(shown["event"], json!({"version": "v1", "lead": {"uuid": UUID}}));
    assert_eq!(
        whats(&cli.json(&["lead", "trace", UUID]).await).iter().filter(|what| **what == "erased").count(),
        1
    );
}

/// Neither the sender nor a retry brings it back, and erasing again does no harm.
async fn it_stays_gone(daemon: &Daemon, cli: &Cli, key: &str) {
    let (status, refused) = post_lead(&daemon.url("/v1/leads"), key, LEAD).await;
    assert_eq!(
        (status, &refused["detail"]),
        (422, &json!("/lead/uuid: was erased: send a new lead under a new uuid"))
    );
    let retried = cli.json(&["delivery", "retry", "--lead", UUID, "--state", "delivered", "--no-wait"]).await;
    assert_eq!(retried["count"], 0, "{retried}");
    assert_eq!(cli.json(&["lead", "erase", UUID, "--yes"]).await["skipped"], 0);
    let audit = "SELECT count(*) FROM audit WHERE action = 'EraseLead' AND target = 'lead 01J8H6KQH4YG3XR8RWM6T6XFQE'";
    let pool = daemon.database().pool().await;
    assert_eq!(sqlx::query_scalar::<_, i64>(audit).fetch_one(&pool).await.unwrap(), 2);
}

#[tokio::test]
async fn an_erased_person_is_nowhere_and_the_counts_stay() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let cli = Cli::new(daemon.socket());
    let good = Receiver::start(Behaviour::Good).await.unwrap();
    let quoting = "sarah@example.com of Sarah Patel is not valid";
    let bad = Receiver::start(Behaviour::RefuseAll(422, quoting.into())).await.unwrap();
    let slow = Receiver::start(Behaviour::Slow(Duration::from_secs(3))).await.unwrap();
    let key = operator.company(7).await;
    let hook = async |name: &str, url: String, config: Value| {
        operator.webhook(7, name, &url, config).await.integration.unwrap().id
    };
    let shaped = json!({"body": "Dear {{ lead.name }}", "query": {"email": "{{ lead.email }}"}});
    let delivered = hook("good", good.url("/"), shaped.clone()).await;
    let dead = hook("bad", bad.url("/{{ lead.name }}"), shaped.clone()).await;
    let held = hook("held", good.url("/"), json!({})).await;
    cli.json(&["integration", "disable", &held]).await;
    let url = daemon.url("/v1/leads");
    post_lead(&url, &key, LEAD).await;
    wait_until("one is delivered, one is dead", async || {
        let badges = [operator.badge(&delivered).await, operator.badge(&dead).await];
        badges == ["ok", "failing"] && good.count() == 1
    })
    .await;
    assert!(personal(&daemon).await.contains(&"sarah".to_owned()), "else this would show nothing");
    rows_are_refused(&daemon).await;
    assert_eq!(in_statistics(&daemon).await, [""; 0]);
    let running = hook("slow", slow.url("/"), shaped).await;
    post_lead(&url, &key, LEAD.replacen("\"guest_count\": 80", "\"guest_count\": 81", 1)).await;
    slow.wait_for(1).await;
    wait_until("the update is through", async || good.count() == 2 && bad.count() == 2).await;
    wait_until("what came of it is written", async || {
        operator.finished(&delivered).await.len() == 2 && operator.finished(&dead).await.len() == 2
    })
    .await;

    let asked = cli.run(&["lead", "erase", UUID]).await;
    assert!(asked.error(2).ends_with("Add --yes to do so"), "{asked:?}");
    let reported = cli.json(&["lead", "erase", UUID, "--yes"]).await;
    assert_eq!(
        (&reported["uuid"], &reported["erased"], &reported["deliveries"]),
        (&json!(UUID), &json!(true), &json!(7))
    );
    // Two that are dead, two that are held and the one that is being pushed.
    assert_eq!(
        (&reported["skipped"], &reported["attempts"], &reported["running"]),
        (&json!(5), &json!(4), &json!(1)),
        "{reported}"
    );
    wait_until("the push under way is cleaned up", async || {
        let pool = daemon.database().pool().await;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM erasure").fetch_one(&pool).await.unwrap();
        left == 0
    })
    .await;
    assert_eq!(operator.finished(&running).await.len(), 1);
    assert_eq!(personal(&daemon).await, [""; 0]);

    counts_stay(&operator, &cli, &dead).await;
    let pushed = good.count();
    it_stays_gone(&daemon, &cli, &key).await;
    assert_eq!(good.count(), pushed);
    let pool = daemon.database().pool().await;
    check_invariants(&pool).await;
    daemon.stop().await;
    for receiver in [good, bad, slow] {
        receiver.stop().await;
    }
}

/// What is kept of commands, for good or for a repeat, names nobody: it needs no erasing.
#[tokio::test]
async fn commands_keep_nobody_in_the_audit_or_in_their_answers() {
    let quoting = "sarah@example.com of Sarah Patel is not valid, call +447700900123";
    let scene =
        Scene::set().behaviour(Behaviour::RefuseAll(422, quoting.into())).webhook("hook", "/").start().await;
    post_lead(&scene.daemon.url("/v1/leads"), &scene.key, LEAD).await;
    scene.wait_for_states(&["dead"]).await;
    let reset = scene.cli.json(&["integration", "reset", "hook"]).await;
    assert!(reset["lifted"]["last_error"].as_str().unwrap().contains("Sarah Patel"), "{reset}");
    let retried = scene.cli.json(&["delivery", "retry", "--integration", "hook", "--no-wait"]).await;
    assert_eq!(retried["count"], 1, "{retried}");
    wait_until("it has failed again", async || scene.operator.finished(&scene.integration).await.len() == 2)
        .await;
    scene.wait_for_states(&["dead"]).await;
    let skipped = scene.cli.json(&["delivery", "skip", "--integration", "hook", "--yes"]).await;
    assert_eq!(skipped["count"], 1, "{skipped}");
    scene.daemon.database().settled().await;
    let kept = "SELECT string_agg(a::text, chr(10)) FROM audit a \
                UNION ALL SELECT string_agg(r::text, chr(10)) FROM request r";
    let kept: Vec<String> = sqlx::query_scalar(kept).fetch_all(&scene.pool).await.unwrap();
    assert!(kept[0].contains("ResetIntegration"), "{kept:?}");
    assert_eq!(kept.iter().flat_map(|text| of_person(text)).collect::<Vec<_>>(), [""; 0]);
    scene.cli.json(&["lead", "erase", UUID, "--yes"]).await;
    assert_eq!(personal(&scene.daemon).await, [""; 0]);
    scene.end().await;
}

#[tokio::test]
async fn an_erased_address_makes_a_new_lead() {
    let Scene { daemon, cli, key, .. } = Scene::set().no_webhook().start().await;
    let url = daemon.url("/v1/save_lead");
    let body = r#"{"data": {"email": "sarah@example.com", "first_name": "Sarah"}}"#;
    let first = post_lead(&url, &key, body).await.1["lead"].as_str().unwrap().to_owned();
    // No integration, so no delivery names the event that is replaced here.
    post_lead(&url, &key, r#"{"data": {"email": "sarah@example.com", "score": 5}}"#).await;
    cli.json(&["lead", "erase", &first, "--yes"]).await;
    assert_eq!(personal(&daemon).await, [""; 0]);
    let again = post_lead(&url, &key, body).await.1;
    assert_eq!(again["status"], "accepted");
    assert_ne!(again["lead"], json!(first));
    daemon.stop().await;
}

#[tokio::test]
async fn what_a_target_answered_a_test_with_goes_with_the_person() {
    let scene = Scene::set().webhook("hook", "/").start().await;
    // Not whom the body of a test names.
    let lead = LEAD.replace("Sarah Patel", "Quentin Quokka").replace("sarah@", "quentin@");
    let lead = lead.replace("+447700900123", "+447700900987");
    let quoting = [
        "quentin@example.com is known",
        "QUENTIN@EXAMPLE.COM is known",
        "/contacts?email=quentin%40example.com",
        "{\"phone\": \"447700900987\"}",
        "Quentin Quokka is known",
        "{\"lastname\": \"QUOKKA\", \"firstname\": \"Quentin\"}",
        "+44 7700 900-987 is taken",
        "quokka\\u0040old.example is known",
        "bob@example.com is known",
    ];
    for answer in quoting {
        scene.receiver.set(Behaviour::RefuseAll(409, answer.into()));
        scene.operator.test(&scene.integration).await;
    }
    let found = async || {
        scene.daemon.database().settled().await;
        quoted(&scene.daemon.database().dump().await, &["quentin", "quokka", "447700900987"])
    };
    assert!(found().await.contains(&"quentin".to_owned()), "else this would show nothing");
    scene.receiver.set(Behaviour::Good);
    // By an older address a target may still know them.
    let older = lead.replace("quentin@example.com", "quokka@old.example");
    for lead in [older, lead] {
        assert_eq!(post_lead(&scene.daemon.url("/v1/leads"), &scene.key, lead).await.0, 202);
    }
    scene.wait_for_states(&["delivered", "delivered"]).await;
    scene.cli.json(&["lead", "erase", UUID, "--yes"]).await;
    scene.wait_until("SELECT NOT EXISTS (SELECT FROM erasure)").await;
    assert_eq!(found().await, [""; 0]);
    let left =
        "SELECT error, convert_from(response_body, 'UTF8') FROM attempt WHERE trigger = 'test' ORDER BY id";
    let left: Vec<(String, Option<String>)> = sqlx::query_as(left).fetch_all(&scene.pool).await.unwrap();
    let (others, of_person) = left.split_last().unwrap();
    assert_eq!(others.1.as_deref(), Some("bob@example.com is known"), "it is about somebody else");
    assert_eq!(of_person, vec![("erased".to_owned(), None); quoting.len() - 1]);
    scene.end().await;
}
