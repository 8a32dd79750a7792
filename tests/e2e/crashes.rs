//! Daemons that die, and daemons that share a database.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leadline_fakes::{
    Behaviour, Fake, Fault, Receiver,
    mail::{House, MailFault, MailServer, Stage},
    sample_lead,
    slack::Slack,
};
use leadline_tests::{
    ChildDaemon, Daemon, Database, Operator, check_invariants, http, post_lead, wait_until,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

const KILLS: usize = 20;
const INTEGRATIONS: usize = 2;
/// What a lane may have in flight.
const CONCURRENCY: usize = 4;

/// Posts leads until told to stop, and notes those that were answered 2xx. What is not answered is posted again.
async fn post_leads(
    url: String,
    key: String,
    from: usize,
    acknowledged: Arc<Mutex<HashSet<String>>>,
    stop: Arc<AtomicBool>,
) {
    let client = http();
    let mut pace = interval(Duration::from_millis(20));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut n = from;
    while !stop.load(Ordering::Relaxed) {
        let lead = sample_lead(n);
        let request = client.post(&url).bearer_auth(&key).header("content-type", "application/json");
        match request.body(lead.to_string()).timeout(Duration::from_secs(5)).send().await {
            Ok(response) if response.status().is_success() => {
                let answer: Value = response.json().await.unwrap_or_default();
                if let Some(uuid) = answer["lead"].as_str() {
                    acknowledged.lock().unwrap().insert(uuid.to_owned());
                }
                n += 1;
            }
            // The next daemon needs the processor more.
            _ => drop(pace.tick().await),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_under_load_every_acknowledged_lead_arrives() {
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let receiver = Receiver::start(Behaviour::Slow(Duration::from_millis(5))).await.unwrap();
    for n in 0..INTEGRATIONS {
        let config = json!({"concurrency": CONCURRENCY});
        operator.webhook(7, &format!("crm {n}"), &receiver.url(&format!("/{n}")), config).await;
    }
    let (acknowledged, stop) = (Arc::new(Mutex::new(HashSet::new())), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for n in 0..4 {
        let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        clients.spawn(post_leads(daemon.url("/v1/leads"), key.clone(), n * 1_000_000, acknowledged, stop));
    }
    for kill in 0..KILLS {
        // Killed in the middle of pushing: some dozens have arrived since the last time.
        let arrived = receiver.count();
        receiver.wait_for(arrived + 20 + 7 * kill % 30).await;
        daemon.kill().await;
        daemon.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    let missing = || {
        let mut arrived: HashMap<(String, String), usize> = HashMap::new();
        for request in receiver.requests() {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let uuid = body["lead"]["uuid"].as_str().unwrap().to_owned();
            *arrived.entry((uuid, request.path)).or_default() += 1;
        }
        let wanted = acknowledged
            .iter()
            .flat_map(|uuid| (0..INTEGRATIONS).map(move |n| (uuid.clone(), format!("/{n}"))));
        let missing = wanted.filter(|pair| !arrived.contains_key(pair)).count();
        (missing, arrived.values().map(|count| count - 1).sum::<usize>())
    };
    let operator = Operator::new(daemon.control().await);
    let undelivered = async || {
        let filter = leadline_proto::v1::DeliveryFilter { undelivered: true, ..Default::default() };
        let request =
            leadline_proto::v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() };
        operator.deliveries().list_deliveries(request).await.unwrap().into_inner().deliveries
    };
    // A delivery during which two daemons died takes its turn, one a minute in each lane; a third one that dies during
    // that push takes it for what killed them: it ends visibly, with that reason.
    let is_left = |it: &leadline_proto::v1::Delivery| it.state().word() == "dead" || it.attempts >= 2;
    wait_until("only suspects are left to do", async || undelivered().await.iter().all(is_left)).await;
    let suspects = undelivered().await;
    let poison: Vec<_> = suspects.iter().filter(|it| it.state().word() == "dead").collect();
    assert!(poison.iter().all(|it| it.reason.starts_with("poison")), "{poison:?}");
    assert!(poison.len() <= KILLS / 3, "each took three kills: {poison:?}");
    // What a kill meets is in flight, or has ended and is not yet written; the target refuses nothing, so each attempt of
    // what is left was such a meeting. They pile up: a daemon pushes no suspect in its first ten seconds.
    let met = KILLS * INTEGRATIONS * 2 * CONCURRENCY;
    let crashes: u32 = suspects.iter().map(|it| it.attempts).sum();
    assert!(crashes as usize <= met, "kills met no more than that: {suspects:?}");
    let arrived = "every acknowledged lead has arrived everywhere, suspects aside";
    wait_until(arrived, async || missing().0 <= suspects.len()).await;
    let (_, duplicates) = missing();
    println!(
        "{} leads acknowledged, {duplicates} duplicates and {} suspects after {KILLS} kills",
        acknowledged.len(),
        suspects.len()
    );
    assert!(acknowledged.len() > KILLS * 10, "there was load");
    assert!(duplicates <= met, "{duplicates} duplicates are more than were in flight or not yet written");
    assert_eq!(daemon.stop().await, Some(0));
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_on_one_database_push_each_delivery_once() {
    let database = Database::create().await;
    let (one, two) = tokio::join!(Daemon::start_on(&database), Daemon::start_on(&database));
    let operator = Operator::new(one.control().await);
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let mut posts = JoinSet::new();
    // What a company has is pushed by one of them.
    for company in 5..=8 {
        let key = operator.company(company).await;
        for n in 0..2 {
            let url = receiver.url(&format!("/{company}/{n}"));
            operator.webhook(company, &format!("crm {n}"), &url, json!({})).await;
        }
        for n in 0..100 {
            let url = if n % 2 == 0 { one.url("/v1/leads") } else { two.url("/v1/leads") };
            let key = key.clone();
            posts.spawn(async move { post_lead(&url, &key, sample_lead(n).to_string()).await.0 });
        }
    }
    assert!(posts.join_all().await.into_iter().all(|status| status == 202));
    let requests = receiver.wait_for(800).await;
    wait_until("both have nothing left to do", async || {
        let pool = database.pool().await;
        let open: i64 =
            sqlx::query_scalar("SELECT (SELECT count(*) FROM due) + (SELECT count(*) FROM claim)")
                .fetch_one(&pool)
                .await
                .unwrap();
        open == 0
    })
    .await;
    let ids: HashSet<_> =
        requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!((ids.len(), receiver.count()), (800, 800));
    one.stop().await;
    two.stop().await;
    check_invariants(&database.pool().await).await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_daemon_was_pushing_another_takes_over() {
    let database = Database::create().await;
    let mut dying = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(dying.control().await);
    let key = operator.company(7).await;
    let receiver = Receiver::start(Behaviour::Hang).await.unwrap();
    let id = operator.webhook(7, "crm", &receiver.url("/"), json!({})).await.integration.unwrap().id;
    post_lead(&dying.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    receiver.wait_for(1).await;
    dying.kill().await;
    receiver.set(Behaviour::Good);
    let heir = Daemon::start_on(&database).await;
    receiver.wait_for(2).await;
    let operator = Operator::new(heir.control().await);
    wait_until("it is delivered", async || operator.badge(&id).await == "ok").await;
    let attempts = operator.finished(&id).await;
    let seen: Vec<_> =
        attempts.iter().map(|a| (a.number, a.state().word(), a.failure_class().word())).collect();
    assert_eq!(seen, [(1, "failed", "unknown"), (2, "delivered", "")]);
    heir.stop().await;
    check_invariants(&database.pool().await).await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_were_being_told_when_the_daemon_was_killed_they_are_told_again() {
    const HOOK: &str = "/services/T1/B1/abcdefghijklmnop";
    let slack = Fake::start(Slack::new(HOOK)).await.unwrap();
    slack.fault("POST", Fault::ActThenHang);
    let server = MailServer::start(House::default()).await.unwrap();
    server.fault(Stage::Message, MailFault::ActThenHang);
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let hook = json!({ "webhook_url": format!("https://hooks.slack.com{HOOK}") });
    let mail = json!({ "host": "127.0.0.1", "port": server.port(), "tls": "none", "from": "leads@barn.example",
        "to": "sales@barn.example" });
    let ids = [
        operator.connect(7, "slack", json!({ "base_url": slack.url() }), hook).await.id,
        operator.connect(7, "email", mail, Value::Null).await.id,
    ];
    post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await;
    let reported = || (slack.with(|slack| slack.messages.clone()), server.taken());
    wait_until("both were told and have not said so", async || {
        let (messages, mails) = reported();
        (messages.len(), mails.len()) == (1, 1)
    })
    .await;
    daemon.kill().await;
    daemon.restart().await;
    let operator = Operator::new(daemon.control().await);
    for id in &ids {
        wait_until("it is delivered", async || {
            operator.deliveries_of(id).await[0].state().word() == "delivered"
        })
        .await;
        let attempts = operator.finished(id).await;
        let seen: Vec<_> =
            attempts.iter().map(|a| (a.number, a.trigger().word(), a.failure_class().word())).collect();
        assert_eq!(seen, [(1, "first", "unknown"), (2, "retry", "")], "{attempts:?}");
        assert!(attempts[0].error.ends_with("maybe delivered"), "{}", attempts[0].error);
    }
    let (messages, mails) = reported();
    assert_eq!((messages.len(), mails.len()), (2, 2), "at least once is all there is");
    // A mailbox knows the second by its id.
    assert_eq!((&messages[0], mails[0].header("Message-ID")), (&messages[1], mails[1].header("Message-ID")));
    assert_eq!(daemon.stop().await, Some(0));
    slack.stop().await;
    server.stop().await;
}
