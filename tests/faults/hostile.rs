//! What one company writes into its conditions, templates and leads costs no other company's senders their answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Operator, figure, post_lead, request_id};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

/// How many hostile leads come, and how many senders bring them at once.
const HOSTILE: usize = 1000;
const SENDERS: usize = 8;
/// What no other lead has, the samples that a condition is tried with among them.
const HEAVY: usize = 7001;
/// How many healthy posts are measured at least.
const MEASURED: usize = 200;

/// How long a healthy post takes.
async fn healthy(daemon: &ChildDaemon, key: &str, n: usize) -> Duration {
    let lead = sample_lead(n).to_string();
    let posted = Instant::now();
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), key, lead).await;
    assert_eq!(status, 202, "{answer}");
    posted.elapsed()
}

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64()
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
        1 => data["more"] = "\u{1}".repeat(20_000).into(),
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
    delays_no_other("hostile conditions, templates and bodies", "/v1/leads", hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_content_that_is_merged_delays_no_other() {
    delays_no_other("the same at the door that merges", "/v1/save_lead", hostile_save).await;
}

/// How many deliveries of the hostile company the condition could not decide about.
async fn undecided(operator: &Operator) -> usize {
    let states = vec![v1::DeliveryState::Held.into()];
    let filter = v1::DeliveryFilter { company: "2".into(), states, ..v1::DeliveryFilter::default() };
    let request = v1::ListDeliveriesRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
    let listed = operator.deliveries().list_deliveries(request).await.unwrap().into_inner();
    listed.deliveries.iter().filter(|delivery| delivery.reason.contains("cannot be evaluated")).count()
}

async fn delays_no_other(case: &str, door: &str, hostile: fn(usize) -> String) {
    let mut daemon = ChildDaemon::start(None, &[]).await;
    let operator = Operator::new(daemon.control().await);
    let good = Receiver::start(Behaviour::Good).await.unwrap();
    let key = operator.company(1).await;
    operator.webhook(1, "crm", &good.url("/"), json!({})).await;
    let hostile_key = hostile_company(&operator, &good.url("/hostile")).await;

    let mut own = Vec::new();
    for n in 0..MEASURED {
        own.push(healthy(&daemon, &key, n).await);
    }
    let (url, next) = (daemon.url(door), Arc::new(AtomicUsize::new(0)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (url, key, next) = (url.clone(), hostile_key.clone(), Arc::clone(&next));
        senders.spawn(async move {
            let (mut refused, mut wrong) = (0, Vec::new());
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= HOSTILE {
                    return (refused, wrong);
                }
                let (status, answer) = post_lead(&url, &key, hostile(n)).await;
                match status {
                    202 => {}
                    // Its own share of places and threads may be busy.
                    503 => refused += 1,
                    _ => wrong.push(format!("lead {n}: {status} {answer}")),
                }
            }
        });
    }
    let mut beside = Vec::new();
    while beside.len() < MEASURED || next.load(Ordering::Relaxed) < HOSTILE {
        beside.push(healthy(&daemon, &key, MEASURED + beside.len()).await);
    }
    let mut refused = 0;
    for (busy, wrong) in senders.join_all().await {
        assert_eq!(wrong, [] as [String; 0], "a lead is hostile only where it is taken in");
        refused += busy;
    }
    // What else the machine does meanwhile slows the one as the other: its own time is measured before and after.
    for n in 0..MEASURED {
        own.push(healthy(&daemon, &key, 1_000_000 + n).await);
    }
    // Where the condition was carried out, it ran out of steps and the lead is held; where it was not, it says no.
    assert!(undecided(&operator).await > 0, "no heavy condition was carried out");
    figure(case, "hostile leads refused, of a thousand", refused as f64, HOSTILE as f64);
    figure(case, "p99 of a healthy post, times its own", p99(beside) / p99(own), 2.0);
    daemon.kill().await;
    good.stop().await;
}
