//! Situations that a support engineer meets, each from what is known at its start to the end: fixed, and known to be.
//! All are played amid a crowd (`situations/crowd.rs`). Keys are counted from the overview; text that is typed is not.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use leadline_fakes::{Behaviour, Fake, Judge, Receiver, hubspot::Hubspot, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Daemon, Operator, Pty, Scene, http, key, leadline, post_lead, request_id, wait_until};
use leadlined::domain::signing;
use scenes::Crm;
use serde_json::{Value, json};

mod commands;
mod crowd;
mod narrowed;
mod scenes;
mod settings;

const SIZE: (u16, u16) = (120, 36);
const TOKEN: &str = "pat-eu1-good";
const GUIDE: &str = include_str!("../../docs/triage.md");

/// A console whose keys are counted.
struct Keys {
    console: Pty,
    pressed: Vec<String>,
}

impl Keys {
    async fn start(daemon: &Daemon) -> Self {
        let server = format!("unix:{}", daemon.socket().display());
        let mut console = Pty::start(leadline(), &["--server", &server], SIZE);
        console.wait_for_all(&["LIVE", "[1 Overview]"]).await;
        Self { console, pressed: Vec::new() }
    }

    /// Presses one key, late enough to count in a dialog.
    async fn press(&mut self, name: &str) {
        self.pressed.push(name.to_owned());
        self.console.answer(&key(name)).await;
    }

    /// Types a text, which is no key of its own.
    async fn types(&mut self, text: &str) {
        self.console.answer(text).await;
    }

    /// Lets an act be done to what is named, whatever is selected.
    async fn acts_on(&mut self, act: &str) {
        self.press(":").await;
        self.sees(&["Tab completes"]).await;
        self.types(act).await;
        self.press("Enter").await;
    }

    async fn sees(&mut self, texts: &[&str]) {
        self.console.wait_for_all(texts).await;
    }

    /// Waits until one line has all of these.
    async fn sees_line(&mut self, texts: &[&str]) {
        let has_all = |line: &str| texts.iter().all(|text| line.contains(text));
        self.console
            .wait_for(&format!("a line of {texts:?}"), |shown| shown.text().lines().any(has_all))
            .await;
    }

    /// Copies the secret that is shown once, and says that it is stored.
    async fn takes_the_secret(&mut self) -> String {
        self.sees(&["One-time secret"]).await;
        self.press("y").await;
        self.sees(&["copied the secret"]).await;
        let secret = clipboard(self.console.shown().raw()).expect("it was copied");
        self.press(" ").await;
        self.press("Enter").await;
        self.console.wait_for_none(&["One-time secret"]).await;
        secret
    }

    /// Says how many keys it took, which are those of the guide and no more than a situation may take.
    fn took(&self, situation: &str) {
        let of_guide = keys_of_guide(situation);
        let pressed: Vec<String> = self.pressed.iter().map(|key| in_guide(key)).collect();
        println!("{situation}: {} keys ({})", pressed.len(), pressed.join(" "));
        assert_eq!(
            (of_guide.0, of_guide.1),
            (pressed.len(), pressed),
            "{situation}: the guide says otherwise"
        );
        let most = if ["a", "g"].contains(&situation) { 6 } else { 9 };
        assert!(self.pressed.len() <= most, "{situation}: {:?}", self.pressed);
    }
}

/// How many keys the guide counts for a situation, and which.
fn keys_of_guide(situation: &str) -> (usize, Vec<String>) {
    let rows = GUIDE.split("Key by key").nth(1).unwrap();
    let row = rows.lines().find(|line| line.starts_with(&format!("| {situation} |"))).unwrap();
    let count = row.split('|').nth(2).unwrap().trim().parse().unwrap();
    (count, row.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// A key as the guide writes it.
fn in_guide(key: &str) -> String {
    match key {
        "Enter" => "⏎".to_owned(),
        "Down" => "↓".to_owned(),
        "Shift-Tab" => "⇧Tab".to_owned(),
        " " => "space".to_owned(),
        key => key.replace("Ctrl-", "^"),
    }
}

/// An integration with HubSpot, of the largest account: nothing waits for its quota.
async fn hubspot(
    operator: &Operator,
    fake: &Fake<Hubspot>,
    company: i64,
    token: &str,
    mapping: Value,
) -> String {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: company.to_string(),
        connector: "hubspot".into(),
        name: "HubSpot".into(),
        config: json!({ "base_url": fake.url(), "calls_per_10_seconds": 10_000 }).to_string(),
        credentials: json!({ "token": token }).to_string(),
        mapping: if mapping.is_null() { String::new() } else { mapping.to_string() },
        ..Default::default()
    };
    operator.integrations().create_integration(request).await.unwrap().into_inner().integration.unwrap().id
}

async fn post(daemon: &Daemon, key: &str, n: usize) -> Value {
    let lead = sample_lead(n);
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), key, lead.to_string()).await;
    assert_eq!(status, 202, "{answer}");
    lead
}

/// Posts leads in one batch.
async fn post_all(daemon: &Daemon, key: &str, leads: Range<usize>) {
    let count = leads.len();
    let lines: String = leads.map(|n| format!("{}\n", sample_lead(n))).collect();
    let request = http().post(daemon.url("/v1/leads/batch")).bearer_auth(key).body(lines);
    let answer = request.header("content-type", "application/x-ndjson").send().await.unwrap();
    let answer = answer.text().await.unwrap();
    assert_eq!(answer.matches("\"accepted\"").count(), count, "{answer}");
}

/// Waits until so many deliveries of an integration are in this state.
async fn wait_state(scene: &Scene, integration: &str, state: &str, count: usize) {
    let integration = ulid::Ulid::from_string(integration).map(uuid::Uuid::from).unwrap();
    wait_until(&format!("{count} are {state}"), async || {
        let counted = "SELECT count(*) FROM delivery WHERE integration_id = $1 AND state = $2";
        let counted = sqlx::query_scalar(counted).bind(integration).bind(state);
        let found: i64 = counted.fetch_one(&scene.pool).await.unwrap();
        usize::try_from(found).unwrap() == count
    })
    .await;
}

#[tokio::test]
async fn a_person_who_is_missing_in_the_crm_is_found_explained_and_brought_there() {
    let scene = Crm::start().await;
    let other = scene.other().await;
    scene.missed_a_property(0..3, Some((&other, 20..23))).await;
    scene.somebody_of_the_same_name().await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("3").await;
    keys.sees(&["Find a lead"]).await;
    keys.types("sarah patel").await;
    keys.sees(&["Found 6 "]).await;
    keys.sees_line(&["▶", "Sarah Patel", "Rosewood"]).await;
    keys.press("Down").await;
    keys.sees_line(&["▶", "Sarah Patel", "The Old"]).await;
    keys.press("Enter").await;
    keys.sees(&["It is dead since", "firstname"]).await;
    keys.press("r").await;
    keys.sees(&["Retry Sarah Patel to", "1 delivery"]).await;
    keys.press("y").await;
    keys.sees(&["complete"]).await;
    keys.sees_line(&["HubSpot", "✓ delivered"]).await;
    keys.took("a");
    wait_state(&scene, &scene.integration, "delivered", 1).await;
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn what_an_outage_left_is_pushed_slowly_stopped_midway_and_resumed() {
    let scene = scenes::outage(7, 3).await;
    let before = scene.receiver.count();

    let mut keys = Keys::start(&scene.daemon).await;
    keys.sees_line(&["▶", "archive", "✗ FAILING", "45"]).await;
    keys.sees_line(&["hook", "✗ FAILING", "7"]).await;
    keys.acts_on("push what waits 7/hook").await;
    keys.sees(&["(x) what waits and what died", "Type 10 to confirm", "as many as it takes"]).await;
    keys.types("10").await;
    keys.press("Shift-Tab").await;
    keys.types("60").await;
    keys.press("Enter").await;
    scene.receiver.wait_for(before + 1).await;
    keys.press("4").await;
    keys.sees(&["running", "/10"]).await;
    keys.press("X").await;
    keys.sees(&["Cancel this job: "]).await;
    keys.press("y").await;
    keys.sees(&["cancelled"]).await;
    let gone = scene.receiver.count() - before;
    assert!((1..10).contains(&gone), "it is stopped midway: {gone}");
    keys.press("X").await;
    keys.sees(&["Resume this job: "]).await;
    keys.press("y").await;
    wait_state(&scene, &scene.integration, "delivered", 10).await;
    keys.sees(&["done", "10/10"]).await;
    keys.took("d");
    assert_eq!(scene.receiver.count() - before, 10, "nothing went twice");
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn one_cause_among_others_is_retried_as_a_whole_and_nothing_else() {
    let (scene, other) = Crm::one_cause_among_others().await;
    let before = scene.receiver.count();

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("2").await;
    keys.sees(&["Failures by cause 7"]).await;
    keys.sees_line(&["▶", "✗ 312", "PROPERTY_DOESNT_EXIST"]).await;
    keys.press("r").await;
    keys.sees(&["Retry all dead deliveries of this cause?", "Type 312 to confirm"]).await;
    keys.types("312").await;
    keys.press("Enter").await;
    wait_state(&scene, &scene.integration, "delivered", 200).await;
    wait_state(&scene, &other.integration, "delivered", 112).await;
    keys.console.wait_for_none(&["✗ 312", "PROPERTY_DOESNT_EXIST"]).await;
    keys.took("e");
    assert!(scene.holds(scenes::FORMS_REFUSED).await, "the other causes were left alone");
    assert_eq!(scene.receiver.count(), before);
    drop(keys);
    scene.end().await;
}

/// The last text that the console put on the clipboard of its terminal.
fn clipboard(raw: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(raw).into_owned();
    let start = text.rfind("\x1b]52;c;")? + "\x1b]52;c;".len();
    let end = text[start..].find(['\x07', '\x1b'])? + start;
    String::from_utf8(STANDARD.decode(&text[start..end]).ok()?).ok()
}

#[tokio::test]
async fn evidence_for_a_ticket_is_on_the_clipboard() {
    let (scene, lead) = scenes::refused(2).await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("3").await;
    keys.sees(&["Find a lead"]).await;
    keys.types(lead["lead"]["email"].as_str().unwrap()).await;
    keys.sees(&["Sarah Patel", "Found 1 "]).await;
    keys.press("Enter").await;
    keys.sees(&["It is dead since"]).await;
    keys.press("x").await;
    keys.sees(&["Copy evidence of Sarah Patel"]).await;
    keys.press("Enter").await;
    keys.sees(&["copied the evidence"]).await;
    keys.took("g");
    let document = clipboard(keys.console.shown().raw()).expect("it was copied");
    let uuid = lead["lead"]["uuid"].as_str().unwrap();
    for part in [uuid, "400", "the date is in the past", "/hook"] {
        assert!(document.contains(part), "no {part} in {document}");
    }
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn a_flow_that_kept_a_lead_away_is_seen_changed_and_passed_by() {
    let scene = scenes::kept_away().await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.press("3").await;
    keys.sees(&["Find a lead"]).await;
    keys.types("sarah patel").await;
    keys.sees_line(&["▶", "Sarah Patel", ".0@example.com"]).await;
    keys.press("Enter").await;
    // The condition, and the lead's own value below it.
    keys.sees(&["» skipped", "big weddings", "lead.guest_count > 150", "lead.guest_count is 20"]).await;
    keys.press("E").await;
    let sent = scenes::with_more_guests(150);
    keys.sees(&[&format!("Of the last 500 leads {sent} would go, {} would not", 500 - sent)]).await;
    keys.press("Ctrl-u").await;
    keys.types("lead.guest_count > 10").await;
    keys.press("Enter").await;
    keys.sees(&["Of the last 500 leads 500 would go, 0 would not"]).await;
    keys.press("Ctrl-s").await;
    keys.sees(&["flow big weddings: done"]).await;
    keys.press("P").await;
    keys.sees(&["Push Sarah Patel to The Old Barn / planner?"]).await;
    keys.press("y").await;
    scene.receiver.wait_for(1).await;
    keys.sees_line(&["planner", "✓ delivered"]).await;
    keys.took("i");
    drop(keys);
    scene.end().await;
}

#[tokio::test]
async fn a_company_that_fell_silent_is_seen_without_being_looked_for() {
    let scene = scenes::silent().await;

    let mut keys = Keys::start(&scene.daemon).await;
    keys.sees(&["1 company silent (6)"]).await;
    keys.press("6").await;
    keys.sees(&["Companies 5", "5h 00m"]).await;
    keys.press("Enter").await;
    // The last lead, the posts that were refused since and why, and the key that they came with.
    keys.sees(&["SILENT: no lead for longer than the usual 4 hours", "5h 00m ago", "1 refused"]).await;
    keys.sees(&["422", "/lead/email", &scene.key[..8]]).await;
    keys.took("j");
    drop(keys);
    scene.end().await;
}
