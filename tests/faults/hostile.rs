//! What one company writes into its conditions, templates and leads costs no other company's senders their answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use leadline_fakes::sample_lead;
use leadline_proto::v1;
use leadline_tests::{Cast, ChildDaemon, Operator, deviation, figure, post_lead, request_id, wait_until};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// How many hostile leads come at least, and how many senders bring them at once.
const HOSTILE: usize = 1000;
const SENDERS: usize = 8;
/// What no other lead has, the samples that a condition is tried with among them.
const HEAVY: usize = 7001;
/// How many healthy posts are measured at least, each time.
const MEASURED: usize = 300;

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64()
}

/// What any company sends.
fn harmless(n: usize) -> String {
    sample_lead(2_000_000 + n).to_string()
}

fn harmless_save(n: usize) -> String {
    json!({ "data": { "email": format!("harmless{n}@example.com"), "notes": n.to_string() } }).to_string()
}

/// A lead that is long, wide, or both, so that whatever reads it has work. The company's condition is heavy for every
/// third: it stands behind what this one says of itself.
fn hostile(n: usize) -> String {
    let mut lead: Value = sample_lead(n);
    lead["lead"]["profile"] = json!({ "score": heaviness(n) });
    match n % 3 {
        0 => lead["lead"]["text"] = "ß".repeat(30_000).into(),
        1 => return with_escaped_keys(&lead),
        _ => lead["lead"]["numbers"] = vec![0; 9_000].into(),
    }
    lead.to_string()
}

/// The same for the door that merges: nine posts in ten change a lead that is known.
fn hostile_save(n: usize) -> String {
    let mut data = json!({
        "email": format!("hostile{}@example.com", n % 100),
        "notes": n.to_string(),
        "score": heaviness(n),
    });
    match n % 3 {
        0 => data["text"] = "ß".repeat(30_000).into(),
        1 => data["more"] = "\u{1}".repeat(10_000).into(),
        _ => data["numbers"] = vec![0; 9_000].into(),
    }
    json!({ "data": data }).to_string()
}

/// `HEAVY` in a third of each shape of body: for these the condition goes on.
const fn heaviness(n: usize) -> usize {
    HEAVY + n / 3 % 3
}

/// As many keys as may be, which are not known to differ until their escapes are read.
fn with_escaped_keys(lead: &Value) -> String {
    let (text, within) = (lead.to_string(), "\"lead\":{");
    let keys: String = (0..900).map(|key| format!("\"{}{key}\":0,", "\\u006b".repeat(40))).collect();
    assert!(text.contains(within), "{text}");
    text.replacen(within, &format!("{within}{keys}"), 1)
}

/// A company whose flow and whose integration take as much work as they may.
async fn hostile_company(operator: &Operator, url: &str) -> String {
    let key = operator.company(2).await;
    let filters = " | upper | lower".repeat(30);
    let body = format!("{{{{ lead[\"text\"]{filters} | length }}}}").repeat(7);
    let created = operator.webhook(2, "hostile", url, json!({ "body": body })).await;
    let integration = created.integration.unwrap().id;
    // One that takes every lead asks no flow.
    let only_by_flows = v1::UpdateIntegrationRequest {
        request_id: request_id(),
        integration: integration.clone(),
        routing: Some(v1::Routing::Flows.into()),
        ..Default::default()
    };
    operator.integrations().update_integration(only_by_flows).await.unwrap();
    let list = format!("[1]{}", ".map(a, [a,a,a,a,a,a,a,a])".repeat(12));
    let request = v1::CreateFlowRequest {
        request_id: request_id(),
        company: "2".to_owned(),
        name: "hostile".to_owned(),
        when: format!("lead.profile.score == {HEAVY} && {list} == {list}"),
        then: vec![integration],
        ..Default::default()
    };
    operator.flows().create_flow(request).await.unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_content_of_one_company_delays_no_other() {
    let _machine = crate::alone().await;
    delays_no_other("hostile conditions, templates and bodies", "/v1/leads", [harmless, hostile]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_content_that_is_merged_delays_no_other() {
    let _machine = crate::alone().await;
    delays_no_other("the same at the door that merges", "/v1/save_lead", [harmless_save, hostile_save]).await;
}

/// How much longer a healthy post may take at its p99.
const TIMES_MAX: f64 = 2.0;

/// One company that is healthy, and one whose content is hostile.
struct Scene {
    daemon: ChildDaemon,
    cast: Cast,
    hostile_key: String,
    door: &'static str,
    posted: usize,
}

impl Scene {
    /// How long a healthy post takes.
    async fn healthy(&mut self) -> Duration {
        let lead = sample_lead(1_000_000 + self.posted).to_string();
        self.posted += 1;
        let posted = Instant::now();
        let (status, answer) = post_lead(&self.daemon.url("/v1/leads"), &self.cast.key, lead).await;
        assert_eq!(status, 202, "{answer}");
        posted.elapsed()
    }

    /// How long healthy posts take while the other company's senders bring these leads over and over, and how many of
    /// those are refused.
    async fn beside(&mut self, bodies: &Arc<[String]>) -> (Vec<Duration>, usize) {
        let (brought, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (url, key) = (self.daemon.url(self.door), self.hostile_key.clone());
            senders.spawn(bring(url, key, Arc::clone(bodies), Arc::clone(&brought), stop.clone()));
        }
        let mut times = Vec::new();
        while times.len() < MEASURED || brought.load(Ordering::Relaxed) < bodies.len() {
            times.push(self.healthy().await);
        }
        stop.cancel();
        (times, senders.join_all().await.into_iter().sum())
    }

    async fn hostile_deliveries(&self, state: v1::DeliveryState) -> Vec<v1::Delivery> {
        let states = vec![state.into()];
        let filter = v1::DeliveryFilter { company: "2".into(), states, ..v1::DeliveryFilter::default() };
        let request =
            v1::ListDeliveriesRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
        self.cast.operator.deliveries().list_deliveries(request).await.unwrap().into_inner().deliveries
    }
}

/// Brings leads until it is told to stop. How many were refused.
async fn bring(
    url: String,
    key: String,
    bodies: Arc<[String]>,
    brought: Arc<AtomicUsize>,
    stop: CancellationToken,
) -> usize {
    let mut refused = 0;
    while !stop.is_cancelled() {
        let n = brought.fetch_add(1, Ordering::Relaxed) % bodies.len();
        match post_lead(&url, &key, bodies[n].clone()).await {
            (202, _) => {}
            // Its own share of places and threads may be busy.
            (503, _) => refused += 1,
            (status, answer) => {
                panic!("a lead is hostile only where it is taken in: lead {n}: {status} {answer}")
            }
        }
    }
    refused
}

/// What a machine does for as many harmless leads slows a healthy post, too: it is measured beside those, before and
/// after, so that the figure is what hostility costs.
async fn delays_no_other(case: &str, door: &'static str, bodies: [fn(usize) -> String; 2]) {
    let daemon = ChildDaemon::start_private(&[]).await;
    let cast = leadline_tests::Scene::set().cast(daemon.control().await).await;
    let hostile_key = hostile_company(&cast.operator, &cast.receiver.url("/hostile")).await;
    let mut scene = Scene { daemon, cast, hostile_key, door, posted: 0 };

    // To write them takes longer than to send them.
    let [harmless, hostile] = bodies.map(|of| (0..HOSTILE).map(of).collect());
    let mut idle = Vec::new();
    while idle.len() < MEASURED {
        idle.push(scene.healthy().await);
    }
    let (mut own, _) = scene.beside(&harmless).await;
    let (beside, refused) = scene.beside(&hostile).await;
    wait_until("the hostile leads are done with", async || {
        scene.hostile_deliveries(v1::DeliveryState::Pending).await.is_empty()
    })
    .await;
    own.extend(scene.beside(&harmless).await.0);

    // Where the condition was carried out, it ran out of steps and the lead is held; where it was not, it says no.
    let held = scene.hostile_deliveries(v1::DeliveryState::Held).await;
    let undecided = held.iter().filter(|delivery| delivery.reason.contains("cannot be evaluated")).count();
    assert!(undecided > 0, "no heavy condition was carried out");
    let [idle, own, beside] = [idle, own, beside].map(p99);
    let ms = |seconds: f64| (seconds * 1e3).round();
    println!("{case}: p99 {} ms idle, {} ms beside harmless ones, {} ms", ms(idle), ms(own), ms(beside));
    println!("{case}: {refused} were refused");
    figure(case, "p99 of a healthy post, times that beside harmless ones", beside / own, TIMES_MAX);
    let figure_of_idle = "p99 of a healthy post, times that of an idle machine";
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores > SENDERS {
        figure(case, figure_of_idle, beside / idle, TIMES_MAX);
    } else {
        let why = format!(
            "{SENDERS} senders share {cores} cores with the daemon: harmless leads alone make a post take {:.1} times as long",
            own / idle
        );
        deviation(case, figure_of_idle, beside / idle, TIMES_MAX, &why);
    }
    scene.daemon.kill().await;
    scene.cast.receiver.stop().await;
}
