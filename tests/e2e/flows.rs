//! Flows: which leads go where, why others do not, and what an operator learns before it is so.

mod refused;
mod targets;

use std::collections::BTreeMap;

use leadline_fakes::Behaviour;
use leadline_proto::v1;
use leadline_tests::{post_lead, request_id, wait_until};
use serde_json::{Value, json};
use tonic::Code;

const LEAD: &str = include_str!("../fixtures/lead.json");

/// A daemon, and a company whose integrations take only what flows send.
struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn start() -> Self {
        Self(leadline_tests::Scene::set().no_webhook().start().await)
    }

    /// An integration with more of the command line; the answer is its id.
    async fn integration(&self, name: &str, more: &[&str]) -> String {
        let config = json!({ "url": self.receiver.url(&format!("/{name}")) }).to_string();
        let new = ["integration", "create", "--company", "7", "--connector", "webhook", "--name", name];
        let made = self.cli.json(&[&new[..], &["--config", &config], more].concat()).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn flow(&self, name: &str, when: &str, then: &[&str], more: &[&str]) -> Value {
        let new = ["flow", "create", "--company", "7", "--name", name, "--when", when, "--then"];
        self.cli.json(&[&new[..], then, more].concat()).await
    }

    /// Posts a lead that differs from the fixture in these texts. The answer's deliveries by integration.
    async fn post(&self, changes: &[(&str, &str)]) -> BTreeMap<String, Value> {
        let mut lead = LEAD.to_owned();
        for (from, to) in changes {
            assert!(lead.contains(from), "{from}");
            lead = lead.replacen(from, to, 1);
        }
        let (status, answer) = post_lead(&self.daemon.url("/v1/leads"), &self.key, lead).await;
        assert_eq!(status, 202, "{answer}");
        let deliveries = answer["deliveries"].as_array().unwrap().clone();
        let by_id = |one: Value| (one["integration_id"].as_str().unwrap().to_owned(), one);
        deliveries.into_iter().map(by_id).collect()
    }

    /// As [`Scene::post`], with a uuid of its own.
    async fn post_new(&self, changes: &[(&str, &str)]) -> BTreeMap<String, Value> {
        let uuid = request_id();
        self.post(&[&[("01j8h6kqh4yg3xr8rwm6t6xfqe", &*uuid)], changes].concat()).await
    }

    async fn end(self) {
        self.0.end().await;
    }
}

fn state(deliveries: &BTreeMap<String, Value>, integration: &str) -> (String, Option<String>) {
    let delivery = deliveries.get(integration).unwrap_or_else(|| panic!("{integration} in {deliveries:?}"));
    (delivery["state"].as_str().unwrap().to_owned(), delivery["reason"].as_str().map(ToOwned::to_owned))
}

fn pending() -> (String, Option<String>) {
    ("pending".into(), None)
}

fn skipped(reason: &str) -> (String, Option<String>) {
    ("skipped".into(), Some(reason.into()))
}

const GUESTS: &str = "\"guest_count\": 80";

#[tokio::test]
async fn flows_send_keep_away_or_hold_and_every_row_says_why() {
    let scene = Scene::start().await;
    let all = scene.integration("all", &[]).await;
    let crm = scene.integration("crm", &["--routing", "flows"]).await;
    let mail = scene.integration("mail", &["--routing", "flows", "--disabled"]).await;
    let idle = scene.integration("idle", &["--routing", "flows"]).await;
    scene.flow("large", "lead.guest_count >= 100", &["crm", "mail"], &[]).await;
    scene.flow("rich", "quote.total_pence > 1000000", &["crm"], &[]).await;

    let large = scene
        .post_new(&[
            (GUESTS, "\"guest_count\": 100"),
            ("1269600", "1000000"),
            ("211600", "0"),
            ("138000", "80000"),
        ])
        .await;
    assert_eq!(state(&large, &all), pending());
    assert_eq!(state(&large, &crm), pending(), "one flow that sends is enough");
    assert_eq!(state(&large, &mail), ("held".into(), Some("integration disabled".into())));
    assert_eq!(state(&large, &idle), skipped("flow: none sends leads here"));

    let small = scene.post_new(&[("1269600", "1000000"), ("211600", "0"), ("138000", "80000")]).await;
    assert_eq!(state(&small, &all), pending());
    assert_eq!(state(&small, &crm), skipped("flows \"large\", \"rich\" not met"));
    assert_eq!(state(&small, &mail), skipped("flow \"large\" not met"), "also where it would be held");

    let start = LEAD.find("\"quote\"").unwrap();
    let end = LEAD.find("\"viewing\"").unwrap();
    let unclear = scene.post_new(&[(&LEAD[start..end], "")]).await;
    assert_eq!(state(&unclear, &all), pending(), "a lead is never refused for a flow");
    let (held, reason) = state(&unclear, &crm);
    assert_eq!(held, "held");
    assert_eq!(
        reason.unwrap(),
        "flow \"rich\" cannot be evaluated: quote is null and has no fields".replace(
            "quote is null and has no fields",
            "quote.total_pence is absent (line 1, column 1); ask has(quote.total_pence) first"
        )
    );

    scene.receiver.wait_for(4).await;
    let mut paths: Vec<_> = scene.receiver.requests().iter().map(|request| request.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, ["/all", "/all", "/all", "/crm"]);
    let lead = unclear[&crm]["delivery_id"].as_str().unwrap();
    let shown = scene.cli.json(&["delivery", "show", lead]).await;
    assert!(shown["reason"].as_str().unwrap().starts_with("flow \"rich\" cannot be evaluated"), "{shown}");
    scene.end().await;
}

#[tokio::test]
async fn an_update_is_asked_about_anew_and_arrives_as_new_where_it_never_was() {
    let scene = Scene::start().await;
    let both = scene.integration("both", &["--routing", "flows"]).await;
    let created = scene.integration("created", &["--routing", "flows", "--events", "lead.created"]).await;
    let other = scene.integration("other", &["--routing", "flows"]).await;
    scene.flow("large", "lead.guest_count >= 100", &["both", "created"], &[]).await;
    scene.flow("small", "lead.guest_count < 100", &["other"], &[]).await;
    let delivered = async |deliveries: &BTreeMap<String, Value>, integration: &str| {
        let id = deliveries[integration]["delivery_id"].as_str().unwrap().to_owned();
        wait_until("it is delivered", async || {
            scene.cli.json(&["delivery", "show", &id]).await["state"] == "delivered"
        })
        .await;
    };

    let first = scene.post(&[]).await;
    assert_eq!(state(&first, &both), skipped("flow \"large\" not met"));
    assert_eq!(state(&first, &created), skipped("flow \"large\" not met"));
    assert_eq!(state(&first, &other), pending());
    delivered(&first, &other).await;

    let second = scene.post(&[(GUESTS, "\"guest_count\": 101")]).await;
    assert_eq!(state(&second, &both), pending());
    assert_eq!(state(&second, &created), pending());
    assert_eq!(state(&second, &other), skipped("flow \"small\" not met"), "it keeps what it has");
    delivered(&second, &both).await;
    delivered(&second, &created).await;

    let third = scene.post(&[(GUESTS, "\"guest_count\": 102")]).await;
    assert_eq!(state(&third, &both), pending());
    assert!(!third.contains_key(&created), "it takes no updates, and has had the lead");
    delivered(&third, &both).await;

    let fourth = scene.post(&[(GUESTS, "\"guest_count\": 9")]).await;
    assert_eq!(state(&fourth, &both), skipped("flow \"large\" not met"));
    assert_eq!(state(&fourth, &other), pending());
    delivered(&fourth, &other).await;

    let reported = |path: &str| -> Vec<(String, String, i64)> {
        let requests = scene.receiver.requests();
        let of_path = requests.iter().filter(|request| request.path == path);
        of_path
            .map(|request| {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let header = request.header("x-leadline-event").unwrap().to_owned();
                (
                    header,
                    body["event"].as_str().unwrap().to_owned(),
                    body["lead"]["guest_count"].as_i64().unwrap(),
                )
            })
            .collect()
    };
    let event = |word: &str, guests| (format!("lead.{word}"), format!("lead.{word}"), guests);
    assert_eq!(reported("/both"), [event("created", 101), event("updated", 102)]);
    assert_eq!(reported("/created"), [event("created", 101)]);
    assert_eq!(reported("/other"), [event("created", 80), event("updated", 9)]);
    scene.end().await;
}

#[tokio::test]
async fn every_change_of_a_flow_counts_from_the_next_lead_on() {
    let scene = Scene::start().await;
    let crm = scene.integration("crm", &["--routing", "flows"]).await;
    let rest = scene.integration("rest", &["--routing", "flows"]).await;
    let none = scene.post_new(&[]).await;
    assert_eq!(state(&none, &crm), skipped("flow: none sends leads here"));

    let made = scene.flow("vip", "lead.guest_count > 50", &["crm"], &["--stop"]).await;
    assert_eq!(
        made["warnings"],
        json!(["no flow sends leads to integration \"rest\", which takes only what flows send"])
    );
    scene.flow("rest", "true", &["rest"], &[]).await;
    let stopped = scene.post_new(&[]).await;
    assert_eq!(state(&stopped, &crm), pending());
    assert_eq!(state(&stopped, &rest), skipped("flow \"vip\" took the lead and stops"));

    scene.cli.json(&["flow", "update", "vip", "--position", "2"]).await;
    assert_eq!(state(&scene.post_new(&[]).await, &rest), pending(), "it is asked before the one that stops");
    let listed = scene.cli.json(&["flow", "list", "--company", "7"]).await;
    let order: Vec<_> =
        listed.as_array().unwrap().iter().map(|flow| (&flow["name"], &flow["position"])).collect();
    assert_eq!(order, [(&json!("rest"), &json!(1)), (&json!("vip"), &json!(2))]);

    scene.cli.json(&["flow", "update", "vip", "--when", "lead.guest_count > 80", "--no-stop"]).await;
    assert_eq!(state(&scene.post_new(&[]).await, &crm), skipped("flow \"vip\" not met"));
    scene.cli.json(&["flow", "update", "vip", "--when", "true", "--disable"]).await;
    assert_eq!(state(&scene.post_new(&[]).await, &crm), skipped("flow: none sends leads here"));
    scene.cli.json(&["flow", "update", "vip", "--enable", "--then", "crm", "rest", "--name", "all"]).await;
    assert_eq!(state(&scene.post_new(&[]).await, &crm), pending());
    scene.cli.json(&["integration", "update", "rest", "--routing", "all"]).await;
    let deleted = scene.cli.json(&["flow", "delete", "all"]).await;
    assert_eq!(deleted["id"], made["id"]);
    let last = scene.post_new(&[]).await;
    assert_eq!(state(&last, &crm), skipped("flow: none sends leads here"));
    assert_eq!(state(&last, &rest), pending(), "it takes every lead now");

    scene.flow("again", "true", &["crm"], &[]).await;
    scene.cli.json(&["integration", "delete", "crm", "--yes"]).await;
    let shown = scene.cli.json(&["flow", "show", "again"]).await;
    assert_eq!(shown["then"], json!([]), "an integration that is gone is nobody's target");
    scene.end().await;
}

#[tokio::test]
async fn a_condition_is_tried_on_stored_leads_before_it_is_saved() {
    let scene = Scene::start().await;
    let crm = scene.integration("crm", &["--routing", "flows", "--disabled"]).await;
    let start = LEAD.find("\"quote\"").unwrap();
    let end = LEAD.find("\"viewing\"").unwrap();
    for guests in 1..=40 {
        let count = format!("\"guest_count\": {guests}");
        let uuid = request_id();
        let mut lead = LEAD.replacen("01j8h6kqh4yg3xr8rwm6t6xfqe", &uuid, 1).replacen(GUESTS, &count, 1);
        if guests % 10 == 0 {
            lead = lead.replacen(&LEAD[start..end], "", 1);
        }
        assert_eq!(post_lead(&scene.daemon.url("/v1/leads"), &scene.key, lead).await.0, 202);
    }
    let before = scene.daemon.database().contents().await;
    let test = async |more: &[&str]| scene.cli.json(&[&["flow", "test"], more].concat()).await;
    let report = test(&["--company", "7", "--when", "lead.guest_count > 30"]).await;
    let counts =
        |report: &Value| ["tested", "sent", "kept_away", "failed"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(counts(&report), [40, 10, 30, 0]);
    assert_eq!(report["sample"].as_array().unwrap().len(), 10);
    let report = test(&["--company", "7", "--when", "quote.total_pence > 1", "--last", "35"]).await;
    assert_eq!(counts(&report), [35, 31, 0, 4]);
    let error = &report["errors"][0];
    assert!(
        error["error"].as_str().unwrap().starts_with("quote.total_pence is absent (line 1, column 1)"),
        "{error}"
    );
    let lead = scene.cli.json(&["lead", "show", error["lead"].as_str().unwrap()]).await;
    assert!(lead["event"]["quote"].is_null());
    assert_eq!(scene.daemon.database().contents().await, before, "a test changes nothing");

    scene.flow("half", "lead.guest_count > 20", &["crm"], &[]).await;
    assert_eq!(counts(&test(&["half"]).await), [40, 20, 20, 0]);
    assert_eq!(counts(&test(&["half", "--when", "lead.guest_count > 39"]).await), [40, 1, 39, 0]);
    let ran = scene.cli.run(&["flow", "test", "half", "--when", "lead.guests > 1"]).await;
    assert!(ran.error(1).contains("unknown field lead.guests"), "{ran:?}");
    drop(crm);
    scene.end().await;
}

#[tokio::test]
async fn ten_flows_over_two_hundred_integrations_leave_a_row_for_each() {
    const INTEGRATIONS: usize = 200;
    const LEADS: usize = 10;
    let scene = Scene::start().await;
    let names: Vec<String> = (0..INTEGRATIONS).map(|n| format!("i{n}")).collect();
    for name in &names {
        let request = v1::CreateIntegrationRequest {
            request_id: request_id(),
            company: "7".into(),
            connector: "webhook".into(),
            name: name.clone(),
            config: json!({ "url": scene.receiver.url("/") }).to_string(),
            routing: v1::Routing::Flows.into(),
            ..Default::default()
        };
        scene.operator.integrations().create_integration(request).await.unwrap();
    }
    for n in 0..10 {
        let then = names.iter().skip(n).step_by(10).cloned().collect();
        let request = v1::CreateFlowRequest {
            request_id: request_id(),
            company: "7".into(),
            name: format!("tens {n}"),
            when: format!("lead.guest_count % 10 == {n} || quote.items.exists(i, i.quantity == {n}00)"),
            then,
            ..Default::default()
        };
        scene.operator.flows().create_flow(request).await.unwrap();
    }
    for n in 0..LEADS {
        let posted = scene.post_new(&[(GUESTS, &format!("\"guest_count\": {}", n + 1))]).await;
        assert_eq!(posted.len(), INTEGRATIONS);
        let sent = posted.values().filter(|one| one["state"] == "pending").count();
        assert_eq!(sent, INTEGRATIONS / 10);
        assert!(
            posted.values().all(|one| one["state"] == "pending"
                || one["reason"].as_str().unwrap().starts_with("flow \"tens "))
        );
    }
    let pool = scene.daemon.database().pool().await;
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT CASE WHEN state IN ('pending', 'delivered') THEN 'sent' ELSE state END, count(*) FROM delivery GROUP BY 1 ORDER BY 1")
            .fetch_all(&pool)
            .await
            .unwrap();
    let all = i64::try_from(LEADS * INTEGRATIONS).unwrap();
    assert_eq!(rows, [("sent".to_owned(), all / 10), ("skipped".to_owned(), all - all / 10)]);
    scene.end().await;
}

#[tokio::test]
async fn the_commands_print_the_same_keys_always() {
    let scene = Scene::start().await;
    let crm = scene.integration("crm", &[]).await;
    let made = scene.flow("large", "lead.guest_count >= 100", &["crm"], &["--disabled"]).await;
    let expected = json!({"id": made["id"], "company_id": 7, "name": "large", "position": 1, "enabled": false,
        "stop": false, "when": "lead.guest_count >= 100", "then": [crm], "then_names": ["crm"],
        "created_at": made["created_at"], "warnings": ["integration \"crm\" takes every lead, whatever flows say: set its routing to flows to leave it to them"]});
    assert_eq!(made, expected);
    let mut shown = expected.clone();
    shown["warnings"] = json!([]);
    assert_eq!(scene.cli.json(&["flow", "show", "large"]).await, shown);
    assert_eq!(scene.cli.json(&["flow", "list"]).await, json!([shown]));
    let again = scene.flow("absent", "quote.total_pence > 1", &["crm"], &[]).await;
    let warning = again["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("when: for a lead without optional fields this cannot be evaluated"),
        "{warning}"
    );
    scene.end().await;
}

#[tokio::test]
async fn what_a_flow_held_goes_its_way_once_the_condition_is_mended() {
    let scene = Scene::start().await;
    let crm = scene.integration("crm", &["--routing", "flows"]).await;
    let mail = scene.integration("mail", &["--routing", "flows"]).await;
    scene.flow("rich", "quote.total_pence > 1000000", &["crm", "mail"], &[]).await;
    let start = LEAD.find("\"quote\"").unwrap();
    let end = LEAD.find("\"viewing\"").unwrap();
    let mut held = Vec::new();
    for guests in [5, 500] {
        let guests = format!("\"guest_count\": {guests}");
        held.push(scene.post_new(&[(&LEAD[start..end], ""), (GUESTS, &guests)]).await);
    }
    let delivery = async |n: usize, integration: &str| {
        let id = held[n][integration]["delivery_id"].as_str().unwrap();
        let shown = scene.cli.json(&["delivery", "show", id]).await;
        (shown["state"].as_str().unwrap().to_owned(), shown["reason"].as_str().map(ToOwned::to_owned))
    };
    let ask = async |more: &[&str]| {
        scene.cli.json(&[&["flow", "ask-again", "--company", "7"], more].concat()).await
    };
    assert_eq!(ask(&[]).await, json!({"released": 0, "skipped": 0, "held": 4}), "nothing has changed");

    let when = "has(quote.total_pence) ? quote.total_pence > 1000000 : lead.guest_count > 100";
    scene.cli.json(&["flow", "update", "rich", "--when", when, "--then", "crm"]).await;
    scene.flow("other", "location.id == 12 && lead[\"budget\"] > 1", &["mail"], &[]).await;
    let before = scene.daemon.database().contents().await;
    assert_eq!(ask(&["--dry-run"]).await, json!({"released": 1, "skipped": 1, "held": 2}));
    assert_eq!(scene.daemon.database().contents().await, before);
    assert_eq!(ask(&[]).await, json!({"released": 1, "skipped": 1, "held": 2}));
    assert_eq!(delivery(0, &crm).await, skipped("flow \"rich\" not met"));
    let requests = scene.receiver.wait_for(1).await;
    assert_eq!(requests[0].path, "/crm");
    wait_until("the mended flow's lead is delivered", async || delivery(1, &crm).await.0 == "delivered")
        .await;
    let (state, reason) = delivery(0, &mail).await;
    assert_eq!(state, "held");
    assert!(reason.unwrap().starts_with("flow \"other\" cannot be evaluated: lead[\"budget\"] is absent"));
    scene.end().await;
}
