//! Leads from files.

use std::path::PathBuf;

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1::{self, intake_service_client::IntakeServiceClient};
use leadline_tests::{Cli, Daemon, Operator, check_invariants, request_id};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A daemon with a company and an integration, and a place for files.
struct Scene {
    daemon: Daemon,
    receiver: Receiver,
    cli: Cli,
    dir: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let daemon = Daemon::start().await;
        let operator = Operator::new(daemon.control().await);
        let receiver = Receiver::start(Behaviour::Good).await.unwrap();
        operator.company(7).await;
        operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
        let cli = Cli::new(daemon.socket());
        Self { daemon, receiver, cli, dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn count(&self, table: &'static str) -> i64 {
        let pool = self.daemon.database().pool().await;
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
    }

    async fn end(self) {
        check_invariants(&self.daemon.database().pool().await).await;
        self.daemon.stop().await;
        self.receiver.stop().await;
    }
}

#[tokio::test]
async fn events_of_a_file_come_in_once_however_often_it_is_imported() {
    let scene = Scene::start().await;
    let mut lines: Vec<String> = (0..450).map(|n| sample_lead(n).to_string()).collect();
    lines[3] = lines[3].replacen("\"email\":\"", "\"email\":\"@", 1);
    lines[4] = "{".into();
    // One lead twice in the file, changed on the way; and one that brings no uuid.
    let mut changed: Value = serde_json::from_str(&lines[0]).unwrap();
    changed["lead"]["guest_count"] = json!(5);
    lines.push(changed.to_string());
    let mut nameless = sample_lead(1000);
    nameless["lead"].as_object_mut().unwrap().remove("uuid");
    lines.push(nameless.to_string());
    let file = scene.file("leads.ndjson", &lines.join("\n"));
    let import = async |more: &[&str]| {
        let args =
            [&["lead", "import", file.to_str().unwrap(), "--company", "7", "-o", "json"], more].concat();
        scene.cli.run(&args).await
    };
    let before = scene.daemon.database().contents().await;
    let dry = import(&["--dry-run"]).await;
    let told: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!((&told["lines"], &told["refused"], &told["dry_run"]), (&json!(452), &json!(2), &json!(true)));
    assert_eq!(
        told["problems"][0],
        json!({"line": 4, "pointer": "/lead/email", "detail": "must be an e-mail address"})
    );
    assert_eq!(told["problems"][1]["line"], 5);
    assert!(
        dry.code == 1 && dry.stderr.contains("2 of 452 lines are refused: correct them"),
        "{}",
        dry.stderr
    );
    assert_eq!(scene.daemon.database().contents().await, before, "a dry run changes nothing");

    let told = import(&[]).await.json();
    let counts =
        |told: &Value| ["accepted", "updated", "duplicate", "refused"].map(|key| told[key].as_u64().unwrap());
    assert_eq!(counts(&told), [449, 1, 0, 2]);
    assert_eq!(scene.count("lead").await, 449);
    scene.receiver.wait_for(449).await;
    let again = import(&[]).await.json();
    // The lead that stands there twice is changed back and forth: that is what the file says.
    assert_eq!(counts(&again), [0, 2, 448, 2]);
    assert_eq!(scene.count("lead").await, 449);
    assert_eq!(scene.count("audit WHERE action = 'ImportLeads' AND target = '450 lines'").await, 0);
    assert_eq!(scene.count("audit WHERE action = 'ImportLeads' AND target = '452 lines'").await, 2);
    scene.end().await;
}

#[tokio::test]
async fn rows_of_a_table_become_leads() {
    let scene = Scene::start().await;
    let table = "\
E-Mail;Name;Wedding day;Guests;Remarks
ann@example.com;\"Lee; Ann\";2026-09-12;80;\"called
twice\"
bob@example.com;Bob;12/09/2026;many;
bob@example.com;Bob;2026-09-13
";
    let file = scene.file("leads.csv", table);
    let path = file.to_str().unwrap();
    let base = ["lead", "import", path, "--company", "7"];
    let refused = scene.cli.run(&base).await;
    assert_eq!(
        refused.error(1),
        "column \"Wedding day\" is called like no field: add it to the map, with null to leave it out; \
         column \"Guests\" is called like no field: add it to the map, with null to leave it out; \
         column \"Remarks\" is called like no field: add it to the map, with null to leave it out"
    );
    let map = r#"{"Wedding day": "lead.event_date", "Guests": "lead.guest_count", "Remarks": "lead.profile.notes"}"#;
    let set = r#"{"lead.event_type": "wedding", "lead.gdpr_consent": true}"#;
    let ran = scene.cli.run(&[&base[..], &["--map", map, "--set", set, "-o", "json"]].concat()).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = ran.json();
    assert_eq!((&told["accepted"], &told["refused"]), (&json!(1), &json!(2)), "{told}");
    let problems: Vec<_> = told["problems"].as_array().unwrap().iter().collect();
    assert!(
        problems.contains(&&json!({"line": 5, "pointer": "", "detail": "has 3 columns, the heading has 5"}))
    );
    assert!(problems.contains(
        &&json!({"line": 4, "pointer": "/Guests", "detail": "must be a whole number for lead.guest_count"})
    ));
    let request = scene.receiver.wait_for(1).await.remove(0);
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    let lead = &event["lead"];
    assert_eq!((&lead["name"], &lead["guest_count"]), (&json!("Lee; Ann"), &json!(80)));
    assert_eq!((&lead["profile"]["notes"], &lead["gdpr_consent"]), (&json!("called\ntwice"), &json!(true)));
    assert!(lead["uuid"].as_str().unwrap().starts_with("0000000000"), "made of the row");

    let wrong = scene.cli.run(&[&base[..], &["--map", r#"{"Guest": "lead.guests"}"#]].concat()).await;
    assert!(wrong.error(1).contains("map: unknown column Guest; did you mean Guests?"), "{wrong:?}");
    assert!(wrong.error(1).contains("unknown field lead.guests"), "{wrong:?}");
    let other = scene.file("leads.txt", table);
    let ran = scene.cli.run(&["lead", "import", other.to_str().unwrap(), "--company", "7"]).await;
    assert!(ran.error(2).ends_with("must end in .csv or .ndjson, which says how to read it"));
    let ran = scene.cli.run(&["lead", "import", path, "--company", "8"]).await;
    assert!(ran.error(1).contains("company"), "{ran:?}");
    scene.end().await;
}

#[tokio::test]
async fn an_import_that_is_asked_for_again_tells_what_it_came_to() {
    let scene = Scene::start().await;
    let mut intake = IntakeServiceClient::new(scene.daemon.control().await);
    let start = v1::ImportStart { request_id: request_id(), company: "7".into(), ..Default::default() };
    let messages = |lead: usize| {
        let line = v1::ImportLine { number: 1, json: sample_lead(lead).to_string().into_bytes() };
        let start = v1::ImportLeadsRequest { start: Some(start.clone()), lines: Vec::new() };
        futures::stream::iter([start, v1::ImportLeadsRequest { start: None, lines: vec![line] }])
    };
    let mut summaries = Vec::new();
    for lead in [1, 2] {
        let mut answers = intake.import_leads(messages(lead)).await.unwrap().into_inner();
        while let Some(answer) = answers.message().await.unwrap() {
            summaries.extend(answer.summary);
        }
    }
    assert_eq!(summaries[0].accepted, 1);
    assert_eq!(summaries[0], summaries[1]);
    assert_eq!(scene.count("lead").await, 1);
    let nothing = futures::stream::iter([v1::ImportLeadsRequest::default()]);
    let refused = intake.import_leads(nothing).await.unwrap_err();
    assert_eq!(refused.message(), "start: the first message must have it");
    scene.end().await;
}
