//! Situations that a support engineer meets, each from what is known at its start to the end: fixed, and known to be.
//! Keys are counted from the overview; text that is typed is not.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use leadline_fakes::{Behaviour, Fake, Judge, Receiver, hubspot::Hubspot, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Daemon, Operator, Pty, leadline, post_lead, request_id, wait_until};
use leadlined::domain::signing;
use serde_json::{Value, json};

mod commands;
mod narrowed;
mod settings;

const SIZE: (u16, u16) = (120, 36);
const TOKEN: &str = "pat-eu1-good";

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
        let bytes = match name {
            "Enter" => "\r",
            "Down" => "\x1b[B",
            "Ctrl-d" => "\x04",
            "Ctrl-k" => "\x0b",
            "Ctrl-s" => "\x13",
            "Tab" => "\t",
            "Shift-Tab" => "\x1b[Z",
            "Ctrl-u" => "\x15",
            other => other,
        };
        self.pressed.push(name.to_owned());
        self.console.answer(bytes).await;
    }

    /// Types a text, which is no key of its own.
    async fn types(&mut self, text: &str) {
        self.console.answer(text).await;
    }

    async fn sees(&mut self, texts: &[&str]) {
        self.console.wait_for_all(texts).await;
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

    /// Says how many keys it took, and checks that it took no more than that.
    fn took(&self, situation: &str, most: usize) {
        println!("{situation}: {} keys ({})", self.pressed.len(), self.pressed.join(" "));
        assert!(self.pressed.len() <= most, "{situation}: {:?}", self.pressed);
    }
}

async fn hubspot(operator: &Operator, fake: &Fake<Hubspot>, company: i64, mapping: Value) -> String {
    let request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: company.to_string(),
        connector: "hubspot".into(),
        name: "HubSpot".into(),
        config: json!({ "base_url": fake.url() }).to_string(),
        credentials: json!({ "token": TOKEN }).to_string(),
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

/// Waits until so many deliveries of an integration are in this state.
async fn wait_state(operator: &Operator, integration: &str, state: &str, count: usize) {
    let what = format!("{count} are {state}");
    wait_until(&what, async || {
        let deliveries = operator.deliveries_of(integration).await;
        deliveries.iter().filter(|delivery| delivery.state().word() == state).count() == count
    })
    .await;
}

#[tokio::test]
async fn a_person_who_is_missing_in_the_crm_is_found_explained_and_brought_there() {
    let (daemon, fake) = (Daemon::start().await, Fake::start(Hubspot::default()).await.unwrap());
    let operator = Operator::new(daemon.control().await);
    let (key, other) = (operator.company(7).await, operator.company(8).await);
    let id = hubspot(&operator, &fake, 7, Value::Null).await;
    hubspot(&operator, &fake, 8, Value::Null).await;
    let kind = fake.with(|hubspot| hubspot.properties.remove("firstname")).unwrap();
    for n in 0..3 {
        post(&daemon, &key, n).await;
        post(&daemon, &other, n + 20).await;
    }
    wait_state(&operator, &id, "dead", 3).await;
    fake.with(|hubspot| hubspot.properties.insert("firstname".to_owned(), kind));

    let mut keys = Keys::start(&daemon).await;
    keys.press("3").await;
    keys.sees(&["Find a lead"]).await;
    keys.types("sarah patel").await;
    keys.sees(&["Sarah Patel", "The Old"]).await;
    keys.press("Enter").await;
    keys.sees(&["It is dead since", "firstname"]).await;
    keys.press("r").await;
    keys.sees(&["Retry Sarah Patel to", "1 delivery"]).await;
    keys.press("y").await;
    keys.sees(&["✓ delivered", "complete"]).await;
    keys.took("a: a person is missing", 6);
    wait_state(&operator, &id, "delivered", 1).await;
    drop(keys);
    daemon.stop().await;
    fake.stop().await;
}

#[tokio::test]
async fn what_an_outage_left_is_pushed_slowly_stopped_midway_and_resumed() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let receiver = Receiver::start(Behaviour::RefuseAll(503, "down".into())).await.unwrap();
    let id = operator.webhook(7, "hook", &receiver.url("/hook"), json!({ "retries": 0 })).await;
    let id = id.integration.unwrap().id;
    for n in 0..8 {
        post(&daemon, &key, n).await;
    }
    wait_state(&operator, &id, "dead", 8).await;
    let patient = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: id.clone(),
        config: Some(json!({ "url": receiver.url("/hook"), "retries": 3 }).to_string()),
        ..Default::default()
    };
    operator.integrations().update_integration(patient).await.unwrap();
    for n in 8..14 {
        post(&daemon, &key, n).await;
    }
    // Those wait for their retry, however long the outage lasts.
    let pool = daemon.database().pool().await;
    wait_until("six wait", async || {
        let tried = "SELECT count(*) FROM due WHERE kind = 1";
        let waiting: i64 = sqlx::query_scalar(tried).fetch_one(&pool).await.unwrap();
        waiting == 6
    })
    .await;
    let far = "UPDATE due SET due_at = due_at + interval '1 hour'";
    sqlx::query(far).execute(&pool).await.unwrap();
    receiver.set(Behaviour::Good);
    let before = receiver.count();

    let mut keys = Keys::start(&daemon).await;
    keys.sees(&["✗ FAILING", "8 dead"]).await;
    keys.press("W").await;
    keys.sees(&["(x) what waits and what died", "14 deliveries", "as many as it takes"]).await;
    keys.press("Shift-Tab").await;
    keys.types("1").await;
    keys.press("Tab").await;
    keys.types("14").await;
    keys.press("Enter").await;
    receiver.wait_for(before + 1).await;
    keys.press("4").await;
    keys.sees(&["running", "1/14"]).await;
    keys.press("X").await;
    keys.sees(&["Cancel this job: 13 of 14"]).await;
    keys.press("y").await;
    keys.sees(&["cancelled"]).await;
    assert_eq!(receiver.count() - before, 1, "one a minute");
    sqlx::query("UPDATE job SET per_second = NULL, paced_until = NULL").execute(&pool).await.unwrap();
    keys.press("X").await;
    keys.sees(&["Resume this job: 13 of 14"]).await;
    keys.press("y").await;
    wait_state(&operator, &id, "delivered", 14).await;
    keys.sees(&["done", "14/14"]).await;
    keys.took("d: an outage is over", 9);
    assert_eq!(receiver.count() - before, 14, "nothing went twice");
    drop(keys);
    daemon.stop().await;
    receiver.stop().await;
    pool.close().await;
}

#[tokio::test]
async fn one_cause_among_others_is_retried_as_a_whole_and_nothing_else() {
    let (daemon, fake) = (Daemon::start().await, Fake::start(Hubspot::default()).await.unwrap());
    let operator = Operator::new(daemon.control().await);
    let (key, other) = (operator.company(7).await, operator.company(8).await);
    let (one, two) =
        (hubspot(&operator, &fake, 7, Value::Null).await, hubspot(&operator, &fake, 8, Value::Null).await);
    let refusal = json!({ "error": "the form is closed" }).to_string();
    let receiver = Receiver::start(Behaviour::RefuseAll(422, refusal)).await.unwrap();
    let closed = operator.webhook(8, "form", &receiver.url("/hook"), json!({})).await.integration.unwrap().id;
    let kind = fake.with(|hubspot| hubspot.properties.remove("firstname")).unwrap();
    for n in 0..8 {
        post(&daemon, &key, n).await;
    }
    for n in 0..4 {
        post(&daemon, &other, n + 20).await;
    }
    wait_state(&operator, &one, "dead", 8).await;
    wait_state(&operator, &two, "dead", 4).await;
    wait_state(&operator, &closed, "dead", 4).await;
    fake.with(|hubspot| hubspot.properties.insert("firstname".to_owned(), kind));

    let mut keys = Keys::start(&daemon).await;
    keys.press("2").await;
    keys.sees(&["Failures by cause", "✗ 12", "PROPERTY_DOESNT_EXIST"]).await;
    keys.press("r").await;
    keys.sees(&["Retry all dead deliveries of this cause?", "Type 12 to confirm"]).await;
    keys.types("12").await;
    keys.press("Enter").await;
    wait_state(&operator, &one, "delivered", 8).await;
    wait_state(&operator, &two, "delivered", 4).await;
    keys.console.wait_for_none(&["✗ 12", "PROPERTY_DOESNT_EXIST"]).await;
    keys.took("e: one cause among others", 9);
    assert_eq!(receiver.count(), 4, "the other cause was left alone");
    drop(keys);
    daemon.stop().await;
    fake.stop().await;
    receiver.stop().await;
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
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let refusal = json!({ "error": "the date is in the past" }).to_string();
    let receiver = Receiver::start(Behaviour::RefuseAll(400, refusal)).await.unwrap();
    let id = operator.webhook(7, "crm", &receiver.url("/hook"), json!({})).await.integration.unwrap().id;
    let lead = post(&daemon, &key, 0).await;
    post(&daemon, &key, 1).await;
    wait_state(&operator, &id, "dead", 2).await;

    let mut keys = Keys::start(&daemon).await;
    keys.press("3").await;
    keys.sees(&["Find a lead"]).await;
    keys.types(lead["lead"]["email"].as_str().unwrap()).await;
    keys.sees(&["Sarah Patel", "Found 1"]).await;
    keys.press("Enter").await;
    keys.sees(&["It is dead since"]).await;
    keys.press("x").await;
    keys.sees(&["Copy evidence of Sarah Patel"]).await;
    keys.press("Enter").await;
    keys.sees(&["copied the evidence"]).await;
    keys.took("g: evidence for a ticket", 6);
    let document = clipboard(keys.console.shown().raw()).expect("it was copied");
    let uuid = lead["lead"]["uuid"].as_str().unwrap();
    for part in [uuid, "400", "the date is in the past", "/hook"] {
        assert!(document.contains(part), "no {part} in {document}");
    }
    drop(keys);
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_flow_that_kept_a_lead_away_is_seen_changed_and_passed_by() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let id = operator.webhook(7, "planner", &receiver.url("/hook"), json!({})).await.integration.unwrap().id;
    let routing = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: id.clone(),
        routing: Some(v1::Routing::Flows.into()),
        ..Default::default()
    };
    operator.integrations().update_integration(routing).await.unwrap();
    let flow = v1::CreateFlowRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "big weddings".into(),
        when: "lead.guest_count > 150".into(),
        then: vec![id.clone()],
        ..Default::default()
    };
    operator.flows().create_flow(flow).await.unwrap();
    for n in 0..4 {
        post(&daemon, &key, n).await;
    }
    wait_state(&operator, &id, "skipped", 4).await;

    let mut keys = Keys::start(&daemon).await;
    keys.press("3").await;
    keys.sees(&["Find a lead"]).await;
    keys.types("sarah").await;
    keys.sees(&["Sarah Patel"]).await;
    keys.press("Enter").await;
    // The condition, and the lead's own value beside it.
    keys.sees(&["» skipped", "big weddings", "lead.guest_count > 150", "\"guest_count\": 20"]).await;
    keys.press("E").await;
    keys.sees(&["Of the last 4 leads 0 would go, 4 would not"]).await;
    keys.press("Ctrl-u").await;
    keys.types("lead.guest_count > 10").await;
    keys.press("Enter").await;
    keys.sees(&["Of the last 4 leads 4 would go, 0 would not"]).await;
    keys.press("Ctrl-s").await;
    keys.sees(&["flow big weddings: done"]).await;
    keys.press("P").await;
    keys.sees(&["Push Sarah Patel to The Old Barn / planner?"]).await;
    keys.press("y").await;
    receiver.wait_for(1).await;
    keys.sees(&["✓ delivered"]).await;
    keys.took("i: a flow kept a lead away", 9);
    drop(keys);
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_company_that_fell_silent_is_seen_without_being_looked_for() {
    let daemon = Daemon::start().await;
    let operator = Operator::new(daemon.control().await);
    let (key, other) = (operator.company(7).await, operator.company(8).await);
    for company in ["7", "8"] {
        let quiet = v1::UpdateCompanyRequest {
            request_id: request_id(),
            company: company.into(),
            quiet_after: Some(prost_types::Duration { seconds: 4 * 3600, nanos: 0 }),
            ..Default::default()
        };
        operator.companies().update_company(quiet).await.unwrap();
    }
    post(&daemon, &key, 0).await;
    post(&daemon, &other, 1).await;
    let pool = daemon.database().pool().await;
    let aged = "UPDATE lead SET received_at = received_at - interval '5 hours' WHERE company_id = 7";
    sqlx::query(aged).execute(&pool).await.unwrap();
    pool.close().await;
    let mut broken = sample_lead(2);
    broken["lead"]["email"] = json!("no address");
    let (status, _) = post_lead(&daemon.url("/v1/leads"), &key, broken.to_string()).await;
    assert_eq!(status, 422);

    let mut keys = Keys::start(&daemon).await;
    keys.sees(&["1 company silent (6)"]).await;
    keys.press("6").await;
    keys.sees(&["Companies 2", "5h 00m"]).await;
    keys.press("Enter").await;
    // The last lead, the posts that were refused since and why, and the key that they came with.
    keys.sees(&["SILENT: no lead for longer than the usual 4 hours", "5h 00m ago", "1 refused"]).await;
    keys.sees(&["422", "/lead/email", &key[..8]]).await;
    keys.took("j: a company fell silent", 9);
    drop(keys);
    daemon.stop().await;
}
