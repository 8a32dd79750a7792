//! What triage asks: who is it, what fails and why, what became of it, what happens now.

use leadline_fakes::{Behaviour, Fake, pipedrive::Pipedrive, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Cli, Scene, post_lead, request_id, wait_until};
use serde_json::{Value, json};

mod anywhere;
mod commands;
mod counts;
mod keys;
mod plans;

/// A lead of a person, with a quote.
fn lead_of(n: usize, name: &str, email: &str, phone: &str) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["name"] = json!(name);
    lead["lead"]["email"] = json!(email);
    lead["lead"]["phone"] = json!(phone);
    lead
}

fn uuid_of(lead: &Value) -> &str {
    lead["lead"]["uuid"].as_str().unwrap()
}

async fn find(cli: &Cli, text: &str) -> Vec<String> {
    let found = cli.json(&["lead", "find", text]).await;
    found.as_array().unwrap().iter().map(|lead| lead["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_lead_is_found_by_any_part_of_who_it_is() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let zoe = lead_of(1, "Zoë Müller", "zoe.m@example.com", "+44 7700 900123");
    let hundred = lead_of(2, "100%_Sure", "sure@example.org", "+44 7700 900999");
    for lead in [&zoe, &hundred] {
        scene.post_lead(lead).await;
    }
    // The same, whether a row is still where the flush wrote it or has been moved to the index.
    let texts = ["zoe", "MULLER", "müller zoë", "zoe.m@", "07700 900123", "900123", &uuid_of(&zoe)[8..20]];
    for moved in [false, true] {
        if moved {
            scene.wait_until("SELECT NOT EXISTS (SELECT FROM lead_recent)").await;
        }
        for text in texts {
            assert_eq!(find(&cli, text).await, ["Zoë Müller"], "{text}");
        }
        assert_eq!(find(&cli, "%_").await, ["100%_Sure"], "what SQL gives a meaning is meant as typed");
        assert!(find(&cli, "nobody").await.is_empty());
    }
    let found = cli.json(&["lead", "find", "zoe"]).await;
    for (key, value) in [
        ("uuid", json!(uuid_of(&zoe))),
        ("company_id", json!(7)),
        ("company", json!("The Old Barn")),
        ("email", json!("zoe.m@example.com")),
        ("phone", json!("+44 7700 900123")),
        ("state", json!("complete")),
        ("undelivered", json!(0)),
    ] {
        assert_eq!(found[0][key], value, "{key}");
    }
    let reported = cli.run(&["lead", "find", "z"]).await;
    let expected = "text: give two characters or more of a name, an e-mail address, a phone number or a uuid";
    assert!(reported.error(1).contains(expected), "{reported:?}");
    let reported = cli.run(&["lead", "find", &"x".repeat(101)]).await;
    assert!(reported.error(1).contains("text: at most 100 characters"), "{reported:?}");

    // An update is found by what it says now.
    let mut changed = zoe.clone();
    changed["lead"]["name"] = json!("Zoë Smith");
    scene.post_lead(&changed).await;
    assert_eq!(find(&cli, "zoe").await, ["Zoë Smith"]);
    assert!(find(&cli, "muller").await.is_empty());
    // Names stand in lists too.
    let listed = cli.json(&["delivery", "list"]).await;
    assert!(listed.as_array().unwrap().iter().any(|it| it["lead_name"] == "Zoë Smith"), "{listed}");
    let attempts = cli.json(&["attempt", "list", "--lead", uuid_of(&zoe)]).await;
    assert!(attempts.as_array().unwrap().iter().all(|it| it["lead_email"] == "zoe.m@example.com"));
    scene.end().await;
}

#[tokio::test]
async fn many_are_found_newest_first_and_more_behind_them() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    for n in 0..5 {
        scene.post_lead(&lead_of(n, &format!("Guest {n}"), &format!("g{n}@example.com"), "")).await;
    }
    assert_eq!(find(&cli, "guest").await, ["Guest 4", "Guest 3", "Guest 2", "Guest 1", "Guest 0"]);
    let page = cli.json(&["lead", "find", "guest", "--limit", "2"]).await;
    let last = page[1]["uuid"].as_str().unwrap();
    let next = cli.json(&["lead", "find", "guest", "--limit", "2", "--after", last]).await;
    assert_eq!((&next[0]["name"], &next[1]["name"]), (&json!("Guest 2"), &json!("Guest 1")));
    scene.end().await;
}

#[tokio::test]
async fn a_person_is_exported_and_erased_by_e_mail_address() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let of_sarah = [1, 2].map(|n| lead_of(n, "Sarah Patel", "Sarah@Example.com", "+44 7700 900123"));
    let other = lead_of(3, "Sarah Other", "sarah@example.com.au", "+44 7700 900124");
    let letter = json!({"body": "Dear {{ lead.name }}"});
    scene.operator.webhook(7, "letter", &scene.receiver.url("/letter"), letter).await;
    for lead in of_sarah.iter().chain([&other]) {
        scene.post_lead(lead).await;
    }
    scene.wait_until("SELECT count(*) = 6 FROM delivery WHERE state = 'delivered'").await;
    let exported = cli.run(&["lead", "export", "--email", "sarah@example.com"]).await.json();
    assert_eq!(exported["email"], "sarah@example.com");
    let leads = exported["leads"].as_array().unwrap();
    assert_eq!(leads.len(), 2, "{exported}");
    for lead in leads {
        assert_eq!(lead["bodies"][0]["lead"]["name"], "Sarah Patel", "{lead}");
        assert_eq!(lead["deliveries"][0]["attempts"][0]["state"], "delivered", "{lead}");
        // It is kept for longer than the attempt that pushed it.
        assert_eq!(lead["rendered"].as_array().unwrap().len(), 1, "{lead}");
        assert!(lead["rendered"][0]["body"].as_str().unwrap().contains("Dear Sarah Patel"), "{lead}");
    }
    let refused = cli.run(&["lead", "export", "--email", "nobody@example.com"]).await;
    let reported =
        "no lead has the e-mail address \"nobody@example.com\": `leadline lead find` finds parts of it";
    assert!(refused.error(1).contains(reported), "{refused:?}");
    let refused = cli.run(&["lead", "export", "--email", "sarah"]).await;
    assert!(refused.error(1).contains("email \"sarah\": give the whole address of a person"), "{refused:?}");

    let erased = cli.json(&["lead", "erase", "--email", "sarah@example.com", "--yes"]).await;
    assert_eq!(
        (erased["uuids"].as_array().unwrap().len(), &erased["deliveries"]),
        (2, &json!(4)),
        "{erased}"
    );
    assert_eq!(find(&cli, "sarah").await, ["Sarah Other"]);
    let rows = scene.daemon.database().rows().await;
    assert!(!rows.contains("Sarah Patel") && !rows.contains("Sarah@Example.com"), "{rows}");
    // What the planner knows quotes nobody.
    sqlx::raw_sql("ANALYZE").execute(&scene.pool).await.unwrap();
    let quoted = "SELECT NOT EXISTS (SELECT FROM pg_stats WHERE schemaname = 'public'
        AND concat(most_common_vals::text, histogram_bounds::text) ILIKE '%other%')";
    assert!(scene.holds(quoted).await);
    scene.end().await;
}

#[tokio::test]
async fn evidence_tells_what_happened_and_hides_who_it_was() {
    let answer = r#"{"error": "sarah@example.com is taken"}"#;
    let scene = Scene::with(Behaviour::RefuseAll(422, answer.into())).await;
    let cli = Cli::new(scene.daemon.socket());
    let lead = lead_of(1, "Sarah Patel", "sarah@example.com", "+44 7700 900123");
    scene.post_lead(&lead).await;
    scene.wait_for_states(&["dead"]).await;
    let uuid = uuid_of(&lead);
    let reported = cli.run(&["lead", "evidence", uuid]).await.stdout;
    for part in [
        &format!("# Lead {uuid}"),
        "Sarah Patel",
        "## `crm` (webhook): dead",
        "### Attempt 1: failed (rejected)",
        answer,
    ] {
        assert!(reported.contains(part), "no {part:?} in\n{reported}");
    }
    let reported = cli.run(&["lead", "evidence", uuid, "--mask"]).await.stdout;
    assert!(!reported.to_lowercase().contains("sarah") && reported.contains("xxxxx xxxxx"), "{reported}");
    let json = cli.run(&["lead", "evidence", uuid, "--format", "json"]).await.json();
    assert_eq!(json["deliveries"][0]["attempts"][0]["status_code"], 422, "{json}");
    scene.end().await;
}

/// However long it was tried, and more than a message of the control API holds unless clients allow it.
#[tokio::test]
async fn evidence_of_hundreds_of_attempts_is_told_whole() {
    let refusing = Behaviour::RefuseAll(422, "x".repeat(4000));
    let Scene { daemon, cli, receiver, pool, key, .. } = Scene::with(refusing).await;
    let lead = lead_of(1, "Sarah Patel", "sarah@example.com", "+44 7700 900123");
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await.0, 202);
    let evidence = async || cli.run(&["lead", "evidence", uuid_of(&lead), "--format", "json"]).await.json();
    wait_until("it is dead", async || evidence().await["deliveries"][0]["state"] == "dead").await;
    let more = "CREATE TEMP TABLE more AS SELECT a.* FROM attempt a CROSS JOIN generate_series(1, 650);
                UPDATE more SET id = (left(id::text, 13) || right(gen_random_uuid()::text, 23))::uuid;
                INSERT INTO attempt SELECT * FROM more";
    sqlx::raw_sql(more).execute(&pool).await.unwrap();
    assert_eq!(evidence().await["deliveries"][0]["attempts"].as_array().unwrap().len(), 651);
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn evidence_tells_each_call_of_a_push_and_where_its_records_are_seen() {
    let fake = Fake::start(Pipedrive::default()).await.unwrap();
    let login = json!({ "api_token": "pipedrive-good" });
    let scene = Scene::set().connector("pipedrive", json!({ "base_url": fake.url() }), login).start().await;
    let mut lead = lead_of(1, "Sarah Patel", "sarah@example.com", "+44 7700 900123");
    lead["lead"]["profile"] = json!({ "notes": "é".repeat(20_000) });
    scene.post_lead(&lead).await;
    scene.wait_for_states(&["delivered"]).await;
    let uuid = uuid_of(&lead);
    let json = scene.cli.json(&["lead", "evidence", uuid, "--format", "json"]).await;
    let delivery = &json["deliveries"][0];
    let calls = delivery["attempts"][0]["calls"].as_array().unwrap();
    let posts: Vec<&Value> = calls.iter().filter(|call| call["method"] == "POST").collect();
    assert!(calls.len() > posts.len() && posts.len() == 3, "a search, then person, deal and note: {json}");
    for (call, sent) in posts.iter().zip(["sarah@example.com", "person_id", "content"]) {
        let (body, answer) =
            (call["request_body"].as_str().unwrap(), call["response_body"].as_str().unwrap());
        assert!(body.contains(sent) && answer.contains("\"success\":true"), "{call}");
        assert!(call["started_at"].is_string(), "{call}");
    }
    let deal = fake.with(|pipedrive| *pipedrive.deals.keys().next().unwrap());
    let records = delivery["records"].as_array().unwrap();
    let record = records.iter().find(|record| record["kind"] == "deal").unwrap();
    assert_eq!(record["id"], deal.to_string(), "{json}");
    assert!(record["url"].as_str().is_some_and(|url| url.ends_with(&format!("/deal/{deal}"))), "{record}");
    let told = scene.cli.run(&["lead", "evidence", uuid]).await.stdout;
    assert_eq!(told.matches("\nSent:\n").count(), 2, "{told}");
    let whole = posts[2]["request_bytes"].as_u64().unwrap();
    let kept = posts[2]["request_body"].as_str().unwrap().len();
    assert!(whole > 20_000 && (16 * 1024 - 1..=16 * 1024).contains(&kept), "{kept} of {whole}");
    assert!(told.contains(&format!("\nSent (of {whole} bytes the first are kept):\n")), "{told}");
    let shown = scene.cli.json(&["attempt", "list", "--integration", &scene.integration]).await;
    let shown = scene.cli.json(&["attempt", "show", shown[0]["id"].as_str().unwrap()]).await;
    let last = shown["calls"].as_array().unwrap().last().unwrap();
    assert_eq!(last["request_bytes"], whole, "{last}");
    assert_eq!(told.matches("\nAnswer").count(), calls.len(), "{told}");
    scene.end().await;
    fake.stop().await;
}

/// What is listed of the cause that killed the first three leads.
fn is_the_cause_of_three(first: &Value) {
    for (key, value) in [
        ("failure_class", json!("rejected")),
        ("text", json!("422 Unprocessable Entity: contact <n> refused")),
        ("deliveries", json!(3)),
        ("dead", json!(3)),
        ("leads", json!(3)),
        ("sample_error", json!("422 Unprocessable Entity: contact 88123 refused")),
        ("snoozed_until", json!(null)),
        ("actions", json!(["edit_mapping", "retry_re_rendered", "skip"])),
    ] {
        assert_eq!(first[key], value, "{key} of {first}");
    }
    let pence: i64 = (1..=3).map(|n| sample_lead(n)["quote"]["total_pence"].as_i64().unwrap()).sum();
    assert_eq!(
        first["money"],
        json!([{ "currency": "GBP", "minor": pence, "amount": format!("{}.{:02}", pence / 100, pence % 100) }])
    );
    let place = &first["integrations"][0];
    assert_eq!((&place["name"], &place["company"]), (&json!("crm"), &json!("The Old Barn")));
    let change = &first["changed_before"][0];
    assert_eq!((&change["action"], &change["target_name"]), (&json!("UpdateIntegration"), &json!("crm")));
    assert!(change["done"].as_str().unwrap().starts_with("updated crm: "), "{change}");
    let died: i64 =
        first["trend"].as_array().unwrap().iter().map(|it| it["deliveries"].as_i64().unwrap()).sum();
    assert_eq!(died, 3);
}

#[tokio::test]
async fn failures_are_grouped_by_cause_until_they_are_mended() {
    let scene = Scene::with(Behaviour::RefuseAll(422, "contact 1 refused".into())).await;
    let cli = Cli::new(scene.daemon.socket());
    // What an operator changed just before it began.
    let update = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: scene.integration.clone(),
        mapping: Some(r#"{"lead.event_date": "lead.date"}"#.into()),
        ..Default::default()
    };
    scene.operator.integrations().update_integration(update).await.unwrap();
    for n in 1..=2 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 2]).await;
    scene.receiver.set(Behaviour::RefuseAll(422, "contact 88123 refused".into()));
    scene.post(3).await;
    scene.wait_for_states(&["dead"; 3]).await;
    scene.receiver.set(Behaviour::RefuseAll(404, "no such list".into()));
    scene.post(4).await;
    scene.wait_for_states(&["dead"; 4]).await;
    scene.wait_until("SELECT NOT EXISTS (SELECT FROM undelivered WHERE cause_id IS NULL)").await;

    let listed = cli.json(&["failure", "list"]).await;
    let (first, second) = (&listed[0], &listed[1]);
    assert_eq!((listed.as_array().unwrap().len(), &second["deliveries"]), (2, &json!(1)), "{listed}");
    is_the_cause_of_three(first);
    let cause = first["cause"].as_str().unwrap();
    let dead = cli.json(&["delivery", "list", "--cause", cause]).await;
    assert_eq!(dead.as_array().unwrap().len(), 3);
    assert!(
        dead.as_array().unwrap().iter().all(|it| it["cause"] == cause && it["failure_class"] == "rejected")
    );
    let filtered = async |option: &[&str]| {
        cli.json(&[&["failure", "list"], option].concat()).await.as_array().unwrap().len()
    };
    assert_eq!(filtered(&["--company", "7", "--since", "1h", "--class", "rejected"]).await, 2);
    assert_eq!(filtered(&["--class", "credentials"]).await, 0);
    assert_eq!(filtered(&["--integration", "crm", "--limit", "1"]).await, 1);

    cli.json(&["failure", "snooze", cause, "--for", "4h"]).await;
    assert_eq!((filtered(&[]).await, filtered(&["--snoozed"]).await), (1, 2));
    let shown = cli.json(&["failure", "show", cause]).await;
    assert!(shown["snoozed_until"].is_string(), "{shown}");
    cli.json(&["failure", "snooze", cause, "--end"]).await;
    assert_eq!(filtered(&[]).await, 2);

    scene.receiver.set(Behaviour::Good);
    let plan = cli.json(&["delivery", "retry", "--cause", cause, "--dry-run"]).await;
    assert_eq!(plan["count"], 3, "{plan}");
    let job = cli.run(&["delivery", "retry", "--cause", cause, "-o", "json"]).await;
    assert_eq!(job.code, 0, "{job:?}");
    let left = cli.json(&["failure", "list"]).await;
    assert_eq!((left.as_array().unwrap().len(), &left[0]["cause"]), (1, &second["cause"]), "{left}");
    let jobs = cli.json(&["job", "list"]).await;
    let touched = cli.json(&["delivery", "list", "--job", jobs[0]["id"].as_str().unwrap()]).await;
    assert_eq!(touched.as_array().unwrap().len(), 3, "{touched}");
    let gone = cli.run(&["failure", "show", cause]).await;
    let reported = format!("nothing fails of cause {cause} now: `leadline failure list` shows what does");
    assert!(gone.error(1).contains(&reported), "{gone:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_waits_for_its_retry_is_a_failure_too() {
    let scene = Scene::with(Behaviour::RefuseAll(500, "down".into())).await;
    let cli = Cli::new(scene.daemon.socket());
    scene.post(1).await;
    wait_until("it fails", async || {
        let listed = cli.json(&["failure", "list"]).await;
        listed[0]["retrying"] == 1 && listed[0]["failure_class"] == "transient"
    })
    .await;
    scene.receiver.set(Behaviour::Good);
    let job = cli.run(&["delivery", "retry", "--waiting", "--integration", "crm"]).await;
    assert_eq!(job.code, 0, "{job:?}");
    scene.wait_for_states(&["delivered"]).await;
    assert_eq!(cli.json(&["failure", "list"]).await, json!([]));
    scene.end().await;
}

#[tokio::test]
async fn wrong_causes_and_pages_are_refused() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    for (args, reported) in [
        (
            &["failure", "show", "x"][..],
            "cause \"x\" is not the id of a cause: twelve letters and digits, as `failure list` shows them",
        ),
        (
            &["failure", "snooze", "0123456789ab", "--for", "1h"],
            "nothing fails of cause 0123456789ab now: `leadline failure list` shows what does",
        ),
        (
            &["failure", "list", "--after", "x"],
            "page_token \"x\": give the next_page_token of the page before, or the last id on it",
        ),
    ] {
        let refused = cli.run(args).await;
        assert!(refused.error(1).contains(reported), "{refused:?}");
    }
    let request = v1::GetEvidenceRequest { uuid: String::new(), format: 9, ..Default::default() };
    assert!(scene.operator.leads().get_evidence(request).await.is_err());
    scene.end().await;
}

#[tokio::test]
async fn activity_and_the_system_are_told_as_they_are() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let request = v1::WatchActivityRequest { company: "7".into() };
    let mut watch = v1::activity_service_client::ActivityServiceClient::new(scene.daemon.control().await);
    let mut reported = watch.watch_activity(request).await.unwrap().into_inner();
    // What operators did so far.
    let first = reported.message().await.unwrap().unwrap();
    assert!(first.activities.iter().all(|it| matches!(it.what, Some(v1::activity::What::Act(_)))));
    scene.post(1).await;
    let next = reported.message().await.unwrap().unwrap();
    let Some(v1::activity::What::Attempt(attempt)) = &next.activities[0].what else { panic!("{next:?}") };
    assert_eq!((attempt.state().word(), attempt.integration_name.as_str()), ("delivered", "crm"));
    assert_eq!(next.activities[0].company_name, "The Old Barn");

    let printed = cli.run(&["activity", "-o", "json"]).await.stdout;
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["attempt"]["state"], "delivered", "{printed}");
    assert!(lines.iter().any(|line| line["act"]["done"] == "created crm"), "{printed}");
    let system = cli.json(&["system", "show"]).await;
    assert_eq!(system["daemons"].as_array().unwrap().len(), 1, "{system}");
    assert_eq!((&system["rates"]["leads"], &system["queue"]["due"]), (&json!(1), &json!(0)), "{system}");
    assert_eq!(system["database"]["has_trigrams"], true, "{system}");
    let badge = async |badge| cli.json(&["integration", "list", "--badge", badge]).await;
    assert_eq!(
        (badge("failing,disabled").await, &badge("ok").await[0]["company"]),
        (json!([]), &json!("The Old Barn"))
    );
    let page = cli.json(&["company", "show", "7"]).await;
    assert_eq!((&page["leads_24h"], &page["integrations"][0]["name"]), (&json!(1), &json!("crm")), "{page}");
    assert!(page["last_lead_at"].is_string(), "{page}");
    let listed = async |span| cli.json(&["company", "list", "--silent", span]).await;
    assert_eq!(listed("5h").await, json!([]));
    assert_eq!(listed("0s").await[0]["id"], 7);
    let failed = cli.json(&["attempt", "list", "--company", "7", "--state", "failed"]).await;
    assert_eq!(failed, json!([]));
    let delivered =
        cli.json(&["attempt", "list", "--state", "delivered", "--status", "200", "--since", "1h"]).await;
    assert_eq!(delivered.as_array().unwrap().len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_company_without_leads_is_silent_since_it_was_made() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let key = scene.operator.company(8).await;
    let (status, _) = post_lead(&scene.daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    assert_eq!(status, 202);
    let silent = cli.json(&["company", "list", "--silent", "0s"]).await;
    let ids: Vec<_> = silent.as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [7, 8]);
    let rest = cli.json(&["company", "list", "--silent", "0s", "--after", "7"]).await;
    assert_eq!(rest[0]["id"], 8);
    scene.end().await;
}
