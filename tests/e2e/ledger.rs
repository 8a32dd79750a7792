//! The ledger of a large company: 200 integrations with flows, holds and a plan, and exactly one row for each lead and
//! integration, in a state that somebody can explain.
//!
//! `make ledger` takes ten thousand leads; without it they are few enough for every run.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use leadline_fakes::{Behaviour, Receiver, Reply, sample_lead};
use leadline_proto::v1::{self, delivery_service_client::DeliveryServiceClient};
use leadline_tests::{Daemon, Database, check_invariants, http, post_lead, request_id, wait_until};
use leadlined::domain::{delivery::Reason, ids::DeliveryId};
use serde_json::{Value, json};
use tokio::time::sleep;
use tonic::Code;

/// How many integrations there are of each group.
const GROUPS: [(&str, usize); 10] = [
    ("live", 4),
    ("refused", 1),
    ("down", 1),
    ("busy", 1),
    ("off", 60),
    ("rotating", 10),
    ("unclear", 10),
    ("consent", 10),
    ("unmet", 79),
    ("nowhere", 24),
];
/// So few leads that all rules of the queue can be asked of all rows.
const FEW: usize = 1000;

fn leads() -> usize {
    std::env::var("LEADLINE_LEDGER_LEADS").ok().and_then(|leads| leads.parse().ok()).unwrap_or(120)
}

/// The nth lead: some without consent, some without a quote.
fn lead(n: usize) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["gdpr_consent"] = json!(has_consent(n));
    if !has_quote(n) {
        lead.as_object_mut().unwrap().remove("quote");
    }
    lead
}

const fn has_consent(n: usize) -> bool {
    n % 10 != 3
}

const fn has_quote(n: usize) -> bool {
    n % 10 != 7
}

/// How often the nth lead is changed.
const fn updates(n: usize) -> usize {
    match n % 100 {
        9 => 1,
        57 => 2,
        _ => 0,
    }
}

/// What an operator did to the nth lead at the integration that is busy.
const fn moved(n: usize) -> Option<&'static str> {
    match n % 40 {
        11 => Some("held"),
        12 => Some("skipped"),
        _ => None,
    }
}

/// State and reason of what the nth lead's creation (0), or a later change of it, came to.
fn expected(group: &str, n: usize, change: usize) -> (&'static str, &'static str) {
    let is_last = change == updates(n);
    match group {
        "live" => ("delivered", ""),
        "refused" => ("dead", "rejected"),
        "down" if sample_lead(n)["lead"]["guest_count"] == 57 => ("dead", "transient"),
        "down" => ("skipped", "flow \"down\" not met"),
        // Only the newest of the updates that wait is left, and of those that are held; a creation is never replaced.
        _ if change > 0 && !is_last && matches!(group, "busy" | "off" | "rotating") => {
            ("skipped", "superseded by ")
        }
        "busy" if change > 0 => ("pending", "waits for "),
        "busy" => match moved(n) {
            Some("held") => ("held", "operator: held by "),
            Some(_) => ("skipped", "operator: skipped by "),
            None => ("pending", ""),
        },
        "off" => ("held", "integration disabled"),
        "rotating" => ("held", "rotation: held until cut over"),
        "unclear" if has_quote(n) => ("skipped", "flow \"rich\" not met"),
        "unclear" if change > 0 && !is_last => ("skipped", "superseded by "),
        "unclear" => ("held", "flow \"rich\" cannot be evaluated: "),
        "consent" if !has_consent(n) => ("skipped", "consent"),
        "consent" if change > 0 && !is_last => ("skipped", "superseded by "),
        "consent" => ("held", "integration disabled"),
        "unmet" => ("skipped", "flow \"huge\" not met"),
        _ => ("skipped", "flow: none sends leads here"),
    }
}

struct Scene {
    /// Its receiver is that of the live integrations.
    set: leadline_tests::Scene,
    /// Those of the others.
    receivers: BTreeMap<&'static str, Receiver>,
}

leadline_tests::stands_on_scene!(Scene, set);

impl Scene {
    async fn start() -> Self {
        let database = Database::create().await;
        // No visit of the sweep comes in between.
        let daemon =
            Daemon::start_with(&database, |config| config.sweep.interval = Duration::from_secs(86_400)).await;
        let set = leadline_tests::Scene::set().daemon(daemon).no_webhook().start().await;
        let busy = Reply::status(429).header("Retry-After", "36000");
        let mut receivers = BTreeMap::new();
        for (group, behaviour) in [
            ("refused", Behaviour::RefuseAll(422, "no such field".into())),
            ("down", Behaviour::RefuseAll(500, "out of order".into())),
            ("busy", Behaviour::Script(vec![busy])),
        ] {
            receivers.insert(group, Receiver::start(behaviour).await.unwrap());
        }
        let scene = Self { set, receivers };
        scene.set_plan("starter").await.unwrap();
        scene
    }

    /// All integrations with their flows; the plan is the small one until it has to be another.
    async fn set_up(&self) {
        self.integration("live", 0).await.unwrap();
        let refused = self.integration("live", 1).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(
            refused.message().contains("plan starter allows")
                && refused.message().contains("change the plan")
        );
        for n in 0..60 {
            self.integration("off", n).await.unwrap();
        }
        self.set_plan("pro").await.unwrap();
        for (group, count) in GROUPS.into_iter().filter(|(group, _)| *group != "off") {
            for n in usize::from(group == "live")..count {
                let id = self.integration(group, n).await.unwrap();
                if group == "rotating" {
                    self.stage(id).await;
                }
            }
        }
        for (name, when, group) in [
            ("down", "lead.guest_count == 57", "down"),
            ("rich", "quote.total_pence > 100000000000", "unclear"),
            ("huge", "lead.guest_count > 4999", "unmet"),
        ] {
            let count = GROUPS.iter().find(|(other, _)| *other == group).unwrap().1;
            let request = v1::CreateFlowRequest {
                request_id: request_id(),
                company: "7".into(),
                name: name.into(),
                when: when.into(),
                then: (0..count).map(|n| format!("{group} {n}")).collect(),
                ..Default::default()
            };
            self.operator.flows().create_flow(request).await.unwrap();
        }
    }

    async fn integration(&self, group: &str, n: usize) -> Result<String, tonic::Status> {
        let is_mailchimp = group == "consent";
        let url = self.receivers.get(group).unwrap_or(&self.receiver).url("/");
        let config = match group {
            "consent" => json!({ "base_url": url.trim_end_matches('/'), "list_id": "a1b2c3d4e5" }),
            "busy" => json!({ "url": url, "retries": 0, "concurrency": 1 }),
            _ => json!({ "url": url, "retries": 0 }),
        };
        let by_flows = matches!(group, "down" | "unclear" | "unmet" | "nowhere");
        let request = v1::CreateIntegrationRequest {
            request_id: request_id(),
            company: "7".into(),
            connector: if is_mailchimp { "mailchimp" } else { "webhook" }.into(),
            name: format!("{group} {n}"),
            config: config.to_string(),
            routing: if by_flows { v1::Routing::Flows } else { v1::Routing::All }.into(),
            disabled: is_mailchimp || group == "off",
            ..Default::default()
        };
        let made = self.operator.integrations().create_integration(request).await?.into_inner();
        Ok(made.integration.unwrap().id)
    }

    async fn stage(&self, integration: String) {
        let request = v1::RotateSecretRequest {
            request_id: request_id(),
            integration,
            staged: true,
            hold: true,
            ..Default::default()
        };
        self.operator.integrations().rotate_secret(request).await.unwrap();
    }

    async fn set_plan(&self, plan: &str) -> Result<v1::Company, tonic::Status> {
        let request = v1::SetPlanRequest {
            request_id: request_id(),
            company: "7".into(),
            plan: v1::Plan::from_word(plan).unwrap().into(),
            ..Default::default()
        };
        Ok(self.operator.companies().set_plan(request).await?.into_inner().company.unwrap())
    }

    /// Posts leads as one batch, each of which must come to this with so many deliveries. What a busy daemon asks to be
    /// sent again is sent again.
    async fn post(&self, leads: &[&Value], status: &str, deliveries: usize) {
        let mut left = leads.to_vec();
        wait_until("every lead is answered for good", async || {
            let answers = self.answers(&left).await;
            assert_eq!(answers.len(), left.len());
            let mut refused = Vec::new();
            for line in &answers {
                let answer: Value = serde_json::from_str(line).unwrap();
                if answer["status"] == 503 {
                    refused.push(left[usize::try_from(answer["line"].as_u64().unwrap()).unwrap() - 1]);
                    continue;
                }
                assert_eq!(answer["status"], status, "{line}");
                assert_eq!(line.matches("\"delivery_id\"").count(), deliveries, "{line}");
            }
            left = refused;
            left.is_empty()
        })
        .await;
    }

    /// A line for each lead of a batch.
    async fn answers(&self, leads: &[&Value]) -> Vec<String> {
        let lines: Vec<_> = leads.iter().map(|lead| Ok::<_, std::io::Error>(format!("{lead}\n"))).collect();
        let answer = http()
            .post(self.daemon.url("/v1/leads/batch"))
            .bearer_auth(&self.key)
            .header("content-type", "application/x-ndjson")
            .body(reqwest::Body::wrap_stream(futures::stream::iter(lines)))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until nothing is under way, as long as something goes on.
    async fn settle(&self) {
        const OPEN: &str = "SELECT (SELECT count(*) FROM claim) + (SELECT count(*) FROM due q JOIN integration i
                                ON i.company_id = q.company_id AND i.id = q.integration_id WHERE i.name <> 'busy 0')";
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let open: i64 = sqlx::query_scalar(OPEN).fetch_one(&self.pool).await.unwrap();
            match open {
                0 => return,
                _ if open != last => (last, since) = (open, Instant::now()),
                _ => assert!(since.elapsed() < Duration::from_secs(60), "{open} stay open"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// An operator holds some of the deliveries that wait at the busy integration, and skips others.
    async fn move_some(&self, leads: &[Value]) {
        let id = self.integration_id("busy 0").await;
        let mut ids: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (n, lead) in leads.iter().enumerate() {
            let Some(how) = moved(n) else { continue };
            let filter = v1::DeliveryFilter {
                integration: id.clone(),
                lead: lead["lead"]["uuid"].as_str().unwrap().to_owned(),
                ..Default::default()
            };
            let request = v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() };
            let found = self.operator.deliveries().list_deliveries(request).await.unwrap().into_inner();
            ids.entry(how).or_default().extend(found.deliveries.into_iter().map(|delivery| delivery.id));
        }
        let mut holds = DeliveryServiceClient::new(self.daemon.control().await);
        let hold = v1::HoldDeliveriesRequest {
            request_id: request_id(),
            ids: ids.remove("held").unwrap(),
            ..Default::default()
        };
        holds.hold_deliveries(hold).await.unwrap();
        let skip = v1::SkipDeliveriesRequest {
            request_id: request_id(),
            ids: ids.remove("skipped").unwrap(),
            ..Default::default()
        };
        holds.skip_deliveries(skip).await.unwrap();
    }

    async fn integration_id(&self, name: &str) -> String {
        self.operator.integration(name).await.id
    }

    /// How many rows there are of each group, change, state and reason, each with one of them.
    async fn rows(&self) -> Vec<(String, usize, String, String, usize, String)> {
        // Ids within reasons differ.
        const ROWS: &str = "
            SELECT split_part(i.name, ' ', 1), e.change, d.state, d.reason_code, d.reason_detail, d.id::text
            FROM delivery d JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id
            JOIN (SELECT company_id, id, row_number() OVER (PARTITION BY lead_id ORDER BY id) - 1 AS change FROM event) e
                ON e.company_id = d.company_id AND e.id = d.event_id
            ORDER BY d.id DESC";
        type Row = (String, i64, String, Option<String>, Option<Value>, String);
        let rows: Vec<Row> = sqlx::query_as(ROWS).fetch_all(&self.pool).await.unwrap();
        let mut groups = BTreeMap::new();
        for (group, change, state, code, detail, id) in rows {
            let reason = Reason::read(code, detail).map(|reason| reason.text()).unwrap_or_default();
            let reason: Vec<&str> =
                reason.split(' ').filter(|word| word.parse::<DeliveryId>().is_err()).collect();
            let ends = if reason.last().is_some_and(|word| ["by", "for"].contains(word)) { " " } else { "" };
            let key = (group, usize::try_from(change).unwrap(), state, reason.join(" ") + ends);
            let (count, first) = groups.entry(key).or_insert((0, id.clone()));
            (*count, *first) = (*count + 1, id);
        }
        groups.into_iter().map(|((a, change, b, c), (count, id))| (a, change, b, c, count, id)).collect()
    }

    async fn why(&self, id: &str) -> String {
        let id = ulid::Ulid::from(id.parse::<uuid::Uuid>().unwrap()).to_string();
        let request = v1::ExplainDeliveryRequest { id };
        DeliveryServiceClient::new(self.daemon.control().await)
            .explain_delivery(request)
            .await
            .unwrap()
            .into_inner()
            .why
    }

    async fn end(self) {
        let leadline_tests::Scene { daemon, receiver, .. } = self.set;
        daemon.stop().await;
        receiver.stop().await;
        for receiver in self.receivers.into_values() {
            receiver.stop().await;
        }
    }
}

/// What a delivery's sentence must say.
fn reported(state: &str, reason: &str) -> String {
    match (state, reason) {
        ("delivered", _) => "It was delivered at ".into(),
        ("dead", "rejected") => "; nothing returns to it by itself".into(),
        ("dead", _) => "the sweep comes back to it at ".into(),
        ("skipped", _) => format!(" ({reason}"),
        ("held", "integration disabled") => "is disabled".into(),
        ("held", "rotation: held until cut over") => "is being rotated".into(),
        ("held", _) => format!(" ({reason}"),
        ("pending", "") => "asked us to wait; then it is pushed by itself".into(),
        _ => "for the earlier event of its lead, delivery ".into(),
    }
}

#[tokio::test]
async fn two_hundred_integrations_have_one_explained_row_for_each_lead() {
    let integrations: usize = GROUPS.iter().map(|(_, count)| count).sum();
    assert_eq!(integrations, 200);
    let scene = Scene::start().await;
    scene.set_up().await;
    let mut leads: Vec<Value> = (0..leads()).map(lead).collect();

    let begun = Instant::now();
    scene.post(&leads.iter().collect::<Vec<_>>(), "accepted", integrations).await;
    let taken = begun.elapsed();
    scene.settle().await;
    eprintln!("{} leads taken in within {taken:?}, pushed within {:?}", leads.len(), begun.elapsed());
    let again: Vec<&Value> = leads.iter().step_by(20).collect();
    let begun = Instant::now();
    scene.post(&again, "duplicate", integrations).await;
    eprintln!("{} duplicates within {:?}", again.len(), begun.elapsed());
    scene.move_some(&leads).await;

    for change in 1..=2 {
        let (mut taken, mut count) = (Duration::ZERO, 0);
        for (n, lead) in leads.iter_mut().enumerate().filter(|(n, _)| updates(*n) >= change) {
            lead["lead"]["name"] = json!(format!("Changed {change}"));
            let begun = Instant::now();
            let (status, answer) =
                post_lead(&scene.daemon.url("/v1/leads"), &scene.key, lead.to_string()).await;
            taken += begun.elapsed();
            count += 1;
            assert_eq!((status, &answer["status"]), (202, &json!("updated")), "lead {n}: {answer}");
            assert_eq!(answer["deliveries"].as_array().unwrap().len(), integrations);
        }
        eprintln!("{count} updates took {:?} each", taken / count.max(1));
        scene.settle().await;
    }
    let refused = scene.set_plan("starter").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

    check_ledger(&scene, leads.len()).await;
    if leads.len() <= FEW {
        check_invariants(&scene.pool).await;
    }
    scene.end().await;
}

/// Compares the rows with what they are to be, and asks one of each kind why it stands there.
async fn check_ledger(scene: &Scene, leads: usize) {
    let mut wanted: BTreeMap<(String, usize, &str, &str), usize> = BTreeMap::new();
    for n in 0..leads {
        for change in 0..=updates(n) {
            for (group, count) in GROUPS {
                let (state, reason) = expected(group, n, change);
                *wanted.entry((group.to_owned(), change, state, reason)).or_default() += count;
            }
        }
    }
    let mut found = BTreeMap::new();
    for (group, change, state, reason, count, id) in scene.rows().await {
        let is_meant = |key: &&(String, usize, &'static str, &'static str)| {
            key.0 == group
                && key.1 == change
                && key.2 == state
                && match key.3 {
                    open if open.ends_with(' ') => reason.starts_with(open),
                    whole => reason == whole,
                }
        };
        let Some(key) = wanted.keys().find(is_meant) else {
            panic!("{count} of {group:?}, change {change}, are {state} ({reason:?}), such as {id}");
        };
        *found.entry(key.clone()).or_default() += count;
        let (why, reported) = (scene.why(&id).await, reported(&state, key.3));
        assert!(why.contains(&reported) && why.ends_with('.'), "no {reported:?} in {why:?}");
    }
    assert_eq!(found, wanted);
}
