//! Leads from files.

use std::{path::PathBuf, process::Stdio};

use leadline_fakes::sample_lead;
use leadline_proto::v1::{self, lead_service_client::LeadServiceClient};
use leadline_tests::{request_id, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

/// A daemon with a company and an integration, and a place for files.
struct Scene(leadline_tests::Scene, TempDir);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn start() -> Self {
        Self(leadline_tests::Scene::set().start().await, tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.1.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn count(&self, table: &'static str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    async fn end(self) {
        self.0.end().await;
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
    let reported: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(
        (&reported["lines"], &reported["refused"], &reported["dry_run"]),
        (&json!(452), &json!(2), &json!(true))
    );
    assert_eq!(
        reported["problems"][0],
        json!({"line": 4, "errors": [{"pointer": "/lead/email", "detail": "must be an e-mail address"}]})
    );
    assert_eq!(reported["problems"][1]["line"], 5);
    assert!(
        dry.code == 1 && dry.stderr.contains("2 of 452 lines would be refused: correct them"),
        "{}",
        dry.stderr
    );
    assert_eq!(scene.daemon.database().contents().await, before, "a dry run changes nothing");

    let reported = import(&[]).await.json();
    let counts = |reported: &Value| {
        ["accepted", "updated", "duplicate", "refused"].map(|key| reported[key].as_u64().unwrap())
    };
    assert_eq!(counts(&reported), [449, 1, 0, 2]);
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
;;;;
";
    let file = scene.file("leads.csv", table);
    let path = file.to_str().unwrap();
    let base = ["lead", "import", path, "--company", "7"];
    let refused = scene.cli.run(&[&base[..], &["--strict"]].concat()).await;
    let reported = |column: &str| {
        format!("column {column:?} is called like no field: add it to the map, with null to leave it out")
    };
    let columns = ["Wedding day", "Guests", "Remarks"].map(reported).join("; ");
    assert!(refused.code == 1 && refused.stderr.contains(&columns), "{refused:?}");
    let map = r#"{"Wedding day": "lead.event_date", "Guests": "lead.guest_count", "Remarks": "lead.profile.notes"}"#;
    let set = r#"{"lead.event_type": "wedding", "lead.gdpr_consent": true}"#;
    let ran = scene.cli.run(&[&base[..], &["--map", map, "--set", set, "-o", "json"]].concat()).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let reported = ran.json();
    assert_eq!((&reported["accepted"], &reported["refused"]), (&json!(1), &json!(2)), "{reported}");
    let problems: Vec<_> = reported["problems"].as_array().unwrap().iter().collect();
    let of_line = |line: u64| &problems.iter().find(|problem| problem["line"] == line).unwrap()["errors"];
    let guests = of_line(4).as_array().unwrap();
    assert!(
        guests.contains(
            &json!({"pointer": "/Guests", "detail": "must be a whole number for lead.guest_count"})
        )
    );
    assert!(
        guests[0]["detail"].as_str().unwrap().starts_with("12/09/2026 may be 12 September or 9 December")
    );
    assert_eq!(of_line(5), &json!([{"pointer": "/lead/guest_count", "detail": "is required"}]));
    let request = scene.receiver.wait_for(1).await.remove(0);
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    let lead = &event["lead"];
    assert_eq!((&lead["name"], &lead["guest_count"]), (&json!("Lee; Ann"), &json!(80)));
    assert_eq!((&lead["profile"]["notes"], &lead["gdpr_consent"]), (&json!("called\ntwice"), &json!(true)));
    assert!(lead["uuid"].as_str().unwrap().starts_with("0000000000"), "made of the row");

    let wrong = scene.cli.run(&[&base[..], &["--map", r#"{"Guest": "lead.nmae"}"#]].concat()).await;
    assert!(wrong.stderr.contains("map: unknown column Guest; did you mean Guests?"), "{wrong:?}");
    assert!(wrong.stderr.contains("unknown field lead.nmae; did you mean lead.name?"), "{wrong:?}");
    let other = scene.file("leads.txt", table);
    let ran = scene.cli.run(&["lead", "import", other.to_str().unwrap(), "--company", "7"]).await;
    assert!(ran.error(2).ends_with("add --format csv or --format ndjson"));
    let ran = scene.cli.run(&["lead", "import", path, "--company", "8"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("no company \"8\": `leadline company list`"), "{ran:?}");
    scene.end().await;
}

const HEADING: &str = "name,email,event type,event date,guest count,GDPR consent";

/// The bytes of a text as UTF-16 with its mark.
fn wide(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The bytes of a text whose characters are all in Latin 1.
fn narrow(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[tokio::test]
async fn what_spreadsheets_write_goes_in() {
    let scene = Scene::start().await;
    let row = |n: usize, date: &str| format!("Zoë {n},z{n}@example.com,Wedding,{date},80,TRUE");
    let semicolons = |text: String| text.replace(',', ";");
    for (name, bytes, read_as) in [
        // Google Sheets, and Numbers.
        ("sheets.csv", format!("{HEADING}\r\n{}", row(1, "2026-09-12")).into_bytes(), "UTF-8"),
        // Excel: with a mark, for a country that writes decimals with commas, old, and as "Unicode text".
        ("excel.csv", format!("\u{feff}{HEADING}\r\n{}\r\n", row(2, "22/09/2026")).into_bytes(), "UTF-8"),
        (
            "german.csv",
            narrow(&semicolons(format!("sep=;\r\n{HEADING}\r\n{}\r\n", row(3, "04.05.2026")))),
            "windows-1252, values separated by semicolons",
        ),
        (
            "unicode.csv",
            wide(&format!("{HEADING}\r\n{}\r\n", row(4, "9/22/2026")).replace(',', "\t")),
            "UTF-16LE, values separated by tabs",
        ),
        // LibreOffice: every text quoted; empty rows and columns, which are all its sheet has.
        (
            "office.csv",
            format!(
                "\"{}\",,\n\"{}\",,\n,,,,,,,\n",
                HEADING.replace(',', "\",\""),
                row(5, "12 Sep 2026").replace(',', "\",\"")
            )
            .into_bytes(),
            "UTF-8",
        ),
    ] {
        let path = scene.1.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let ran = scene.cli.run(&["lead", "import", path.to_str().unwrap(), "--company", "7"]).await;
        // What everybody expects is said to people at a terminal only.
        let said = if read_as == "UTF-8" { String::new() } else { format!("Read as {read_as}.\n") };
        assert_eq!((ran.code, ran.stderr), (0, said), "{name}");
        let ran =
            scene.cli.run(&["lead", "import", path.to_str().unwrap(), "--company", "7", "-o", "json"]).await;
        assert_eq!(ran.json()["duplicate"], 1, "{name}: {ran:?}");
    }
    let mut names: Vec<String> = Vec::new();
    for request in scene.receiver.wait_for(5).await {
        let event: Value = serde_json::from_slice(&request.body).unwrap();
        names.push(event["lead"]["name"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["Zoë 1", "Zoë 2", "Zoë 3", "Zoë 4", "Zoë 5"]);

    let piped = format!("{HEADING}\n{}\n", row(6, "2026-09-12"));
    let base = ["lead", "import", "-", "--company", "7", "-o", "json"];
    assert_eq!(scene.cli.run_with(&piped, &base).await.json()["accepted"], 1);
    assert_eq!(scene.cli.run_with(&sample_lead(1).to_string(), &base).await.json()["accepted"], 1);
    // One mark too many costs one row.
    let broken = format!("{HEADING}\n\"{}\n{}\n", row(7, "2026-09-12"), row(8, "2026-09-12"));
    let ran = scene.cli.run_with(&broken, &base).await;
    let reported = ran.json();
    assert_eq!(
        (&reported["lines"], &reported["accepted"], &reported["refused"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(reported["problems"][0]["line"], 2, "{reported}");
    let long = format!("{}\n", "column,".repeat(700_000));
    let ran = scene.cli.run_with(&long, &base).await;
    assert!(ran.code == 1 && ran.stderr.contains("the heading, is larger than 256 KiB"), "{}", ran.stderr);
    scene.end().await;
}

#[tokio::test]
async fn a_key_keeps_a_repeat_harmless_and_own_columns_go_in() {
    let scene = Scene::start().await;
    let row = |more: &str| format!("Ann,ann@example.com,wedding,2026-09-12,80,yes,17{more}");
    let base = ["lead", "import", "-", "--company", "7", "-o", "json", "--key", "Order no"];
    let first = scene.cli.run_with(&format!("{HEADING},Order no\n{}\n", row("")), &base).await;
    assert_eq!(first.json()["accepted"], 1, "{first:?}");
    let note: Value = serde_json::from_str(first.stderr.trim_end()).unwrap();
    let named = r#"Column "Order no" is called like no field and goes in as lead.order_no."#;
    assert_eq!(note, json!({ "note": named }));
    let again = scene.cli.run_with(&format!("{HEADING},Order no\n{}\n", row("")), &base).await;
    assert_eq!(again.json()["duplicate"], 1);
    let wider = format!("{HEADING},Order no,Wedding budget\n{}\n{}\n", row(",£5k"), row(",£6k"));
    let ran = scene.cli.run_with(&wider, &base).await;
    let reported = ran.json();
    assert_eq!((&reported["updated"], &reported["refused"]), (&json!(1), &json!(1)), "{reported}");
    assert_eq!(
        reported["problems"][0]["errors"][0]["detail"],
        "has the key of line 2: give each lead a key of its own"
    );
    assert_eq!(scene.count("lead").await, 1);
    let requests = scene.receiver.wait_for(2).await;
    let event: Value = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!((&event["event"], &event["lead"]["wedding_budget"]), (&json!("lead.updated"), &json!("£5k")));
    let mut intake = LeadServiceClient::new(scene.daemon.control().await);
    let start = v1::ImportStart {
        request_id: request_id(),
        company: "7".into(),
        date_order: 9,
        ..Default::default()
    };
    let start = v1::ImportLeadsRequest { start: Some(start), lines: Vec::new() };
    let refused = intake.import_leads(futures::stream::iter([start])).await.unwrap_err();
    assert_eq!(refused.message(), "date_order 9: use a value of DateOrder");
    scene.end().await;
}

#[tokio::test]
async fn an_import_that_is_asked_for_again_tells_what_it_came_to() {
    let scene = Scene::start().await;
    let mut intake = LeadServiceClient::new(scene.daemon.control().await);
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

#[tokio::test]
async fn an_import_that_is_cut_off_stands_in_the_audit() {
    let scene = Scene::start().await;
    let mut command = scene.cli.command(&["lead", "import", "-", "--company", "7"]);
    let mut import = command.stdin(Stdio::piped()).spawn().unwrap();
    // It goes on until its input ends, and sends 200 lines at a time.
    let lines = (0..1000).fold(String::new(), |lines, n| lines + &sample_lead(n).to_string() + "\n");
    let mut input = import.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).await.unwrap();
    wait_until("some are taken in", async || scene.count("lead").await >= 200).await;
    import.kill().await.unwrap();
    let audited =
        "audit WHERE action = 'ImportLeads' AND target LIKE '%00 lines' AND after ->> 'cut_off' = 'true'";
    wait_until("the audit says how far it was", async || scene.count(audited).await == 1).await;
    scene.end().await;
}

#[tokio::test]
async fn a_lead_that_somebody_holds_costs_its_own_line() {
    let scene = Scene::start().await;
    let known = sample_lead(1);
    scene.post_lead(&known).await;
    let mut changed = known.clone();
    changed["lead"]["guest_count"] = json!(5);
    let file = format!("{changed}\n{}\n", sample_lead(2));
    let base = ["lead", "import", "-", "--company", "7", "-o", "json"];
    let mut held = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM lead FOR UPDATE").execute(&mut *held).await.unwrap();
    let reported = scene.cli.run_with(&file, &base).await.json();
    held.rollback().await.unwrap();
    assert_eq!((&reported["accepted"], &reported["refused"]), (&json!(1), &json!(1)), "{reported}");
    assert_eq!(
        reported["problems"][0]["errors"][0]["detail"],
        "somebody holds this lead in the database: import the file again in a moment"
    );
    let again = scene.cli.run_with(&file, &base).await.json();
    assert_eq!((&again["updated"], &again["duplicate"]), (&json!(1), &json!(1)), "{again}");
    scene.end().await;
}
