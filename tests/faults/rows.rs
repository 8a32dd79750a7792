//! Rows that somebody holds in the database, and operators who hold and release while pushes arrive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use leadline_fakes::{Behaviour, Receiver, Reply, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Daemon, Database, Scene, check_invariants, figure, post_lead, request_id, wait_until};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgTransaction};
use tokio::{task::JoinSet, time::Instant};

/// How long a healthy company may wait for its answer and its push while another one's rows are held, in seconds.
const OTHERS_WITHIN: f64 = 1.0;
/// How long the held company itself may wait for its refusal: a lock is waited for a second.
const REFUSED_WITHIN: f64 = 1.5;
/// So many senders of the held company come again and again.
const SENDERS: usize = 24;
/// For so long: a daemon that cannot beat meanwhile stops pushing after 7.5 s.
const HELD: Duration = Duration::from_secs(10);

/// Holds rows as a transaction that hangs.
async fn hold(scene: &Scene, rows: &str) -> PgTransaction<'static> {
    let mut tx = scene.pool.begin().await.unwrap();
    let locked =
        sqlx::query(AssertSqlSafe(format!("SELECT FROM {rows} FOR UPDATE"))).execute(&mut *tx).await.unwrap();
    assert!(locked.rows_affected() > 0, "{rows}");
    tx
}

/// Another company, of which nobody holds a row: its receiver, which takes everything, its key and its integration.
async fn neighbour(scene: &Scene) -> (Receiver, String, String) {
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let key = scene.operator.company(8).await;
    let made = scene.operator.webhook(8, "healthy", &receiver.url("/"), json!({})).await;
    (receiver, key, made.integration.unwrap().id)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_locked_by_somebody() {
    let _machine = crate::shared().await;
    let scene = Scene::with(Behaviour::Slow(Duration::from_millis(1500))).await;
    let (healthy, other, _) = neighbour(&scene).await;
    let mut n = 0;
    for (what, rows) in [
        ("a company", "company WHERE id = 7"),
        ("a delivery", "delivery WHERE company_id = 7 AND state = 'pending'"),
        ("an integration's counts", "integration_stat WHERE company_id = 7"),
    ] {
        // A push of the company is under way, and cannot be written while the rows are held.
        scene.post(n).await;
        n += 1;
        let lock = hold(&scene, rows).await;
        let case = format!("{what} is locked");
        let arrived = healthy.count();
        let started = Instant::now();
        let (status, _) = post_lead(&scene.daemon.url("/v1/leads"), &other, sample_lead(n).to_string()).await;
        assert_eq!(status, 202);
        figure(
            &case,
            "seconds until another company's lead is accepted",
            started.elapsed().as_secs_f64(),
            OTHERS_WITHIN,
        );
        wait_until("another company's lead arrives", async || healthy.count() > arrived).await;
        figure(
            &case,
            "seconds until another company's lead has arrived",
            started.elapsed().as_secs_f64(),
            OTHERS_WITHIN,
        );
        if rows.starts_with("company ") {
            let started = Instant::now();
            let (status, _) =
                post_lead(&scene.daemon.url("/v1/leads"), &scene.key, sample_lead(900).to_string()).await;
            assert_eq!(status, 503, "its own lead is to come again");
            figure(
                &case,
                "seconds until its own lead is refused",
                started.elapsed().as_secs_f64(),
                REFUSED_WITHIN,
            );
        }
        lock.rollback().await.unwrap();
        n += 1;
    }
    wait_until("everything is delivered", async || {
        scene.deliveries().await.iter().all(|delivery| delivery.state().word() == "delivered")
    })
    .await;
    healthy.stop().await;
    scene.end().await;
}

/// Brings changes of what is held until it is told to stop. Answers how long the slowest refusal took, and how many there
/// were.
async fn bring_changes(
    url: String,
    key: String,
    change: impl Fn(usize) -> Value,
    stop: Arc<AtomicBool>,
) -> (f64, usize) {
    let (mut slowest, mut refused) = (0.0, 0);
    while !stop.load(Ordering::Relaxed) {
        let posted = Instant::now();
        let (status, answer) = post_lead(&url, &key, change(refused).to_string()).await;
        assert_eq!(status, 503, "{answer}");
        slowest = posted.elapsed().as_secs_f64().max(slowest);
        refused += 1;
    }
    (slowest, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_for_leads_whose_deliveries_are_locked() {
    let _machine = crate::alone().await;
    let case = "a delivery is locked, and changes of its lead come";
    // As many connections as a daemon has unless it is told otherwise.
    let daemon = Daemon::start_with(&Database::create().await, |config| config.connections_max = 16).await;
    let scene = Scene::on(daemon, Behaviour::Slow(Duration::from_secs(3)), json!({})).await;
    let (healthy, other, _) = neighbour(&scene).await;
    let (leads, save_lead) = (scene.daemon.url("/v1/leads"), scene.daemon.url("/v1/save_lead"));
    let flat =
        |name: &str, n: usize| json!({ "data": { "email": format!("{name}@example.com"), "score": n } });
    let mut theirs = sample_lead(1);
    assert_eq!(post_lead(&leads, &other, theirs.to_string()).await.0, 202);
    // What is being pushed cannot be written while its row is held.
    let mine = sample_lead(0);
    scene.post_lead(&mine).await;
    assert_eq!(post_lead(&save_lead, &scene.key, flat("held", 0).to_string()).await.0, 202);
    let lock = hold(&scene, "delivery WHERE company_id = 7 AND state = 'pending'").await;

    let (stop, mut senders) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for sender in 0..SENDERS {
        let (key, stop, mine) = (scene.key.clone(), Arc::clone(&stop), mine.clone());
        if sender % 2 == 0 {
            let change = move |n: usize| {
                let mut change = mine.clone();
                change["lead"]["notes"] = format!("{sender}.{n}").into();
                change
            };
            senders.spawn(bring_changes(leads.clone(), key, change, stop));
        } else {
            let change = move |n| flat("held", 1 + sender + n * SENDERS);
            senders.spawn(bring_changes(save_lead.clone(), key, change, stop));
        }
    }
    let (mut answered, mut arrived, since) = (0.0_f64, 0.0_f64, Instant::now());
    let mut n = 2;
    while since.elapsed() < HELD {
        let (before, posted) = (healthy.count(), Instant::now());
        theirs["lead"]["notes"] = n.to_string().into();
        for (url, body) in
            [(&leads, sample_lead(n)), (&leads, theirs.clone()), (&save_lead, flat("theirs", n))]
        {
            let posted = Instant::now();
            assert_eq!(post_lead(url, &other, body.to_string()).await.0, 202);
            answered = posted.elapsed().as_secs_f64().max(answered);
        }
        let asked = Instant::now();
        scene.operator.badge(&scene.integration).await;
        answered = asked.elapsed().as_secs_f64().max(answered);
        wait_until("the neighbour's leads arrive", async || healthy.count() >= before + 3).await;
        arrived = posted.elapsed().as_secs_f64().max(arrived);
        n += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let ended: Vec<(f64, usize)> = senders.join_all().await;
    let slowest = ended.iter().map(|(slowest, _)| *slowest).fold(0.0, f64::max);
    println!("{} changes were refused", ended.iter().map(|(_, refused)| refused).sum::<usize>());
    figure(case, "seconds until others have their answers", answered, OTHERS_WITHIN);
    figure(case, "seconds until others' leads have arrived", arrived, OTHERS_WITHIN);
    figure(case, "seconds until a change is refused", slowest, REFUSED_WITHIN);
    lock.rollback().await.unwrap();
    assert_eq!(post_lead(&save_lead, &scene.key, flat("held", 0).to_string()).await.0, 202);
    wait_until("everything is delivered", async || {
        scene.deliveries().await.iter().all(|delivery| delivery.state().word() == "delivered")
    })
    .await;
    healthy.stop().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_of_leads_whose_dead_deliveries_are_locked() {
    let _machine = crate::alone().await;
    let case = "dead deliveries are locked, and changes of their leads arrive";
    let scene = Scene::with(Behaviour::Good).await;
    let (healthy, other, theirs) = neighbour(&scene).await;
    let mut leads: Vec<Value> = (0..8).map(sample_lead).collect();
    scene.receiver.set(Behaviour::Script(vec![Reply::status(400); leads.len()]));
    for lead in &leads {
        scene.post_lead(lead).await;
    }
    scene.wait_for_states(&["dead"; 8]).await;
    let lock = hold(&scene, "delivery WHERE company_id = 7 AND state = 'dead'").await;
    // Each push that arrives ends what is dead before it.
    let pushed = scene.receiver.count();
    for lead in &mut leads {
        lead["lead"]["notes"] = "changed".into();
        scene.post_lead(lead).await;
    }
    scene.receiver.wait_for(pushed + leads.len()).await;
    let mut slowest = 0.0_f64;
    for n in 0..20 {
        let posted = Instant::now();
        let (status, _) =
            post_lead(&scene.daemon.url("/v1/leads"), &other, sample_lead(100 + n).to_string()).await;
        assert_eq!(status, 202);
        wait_until("another company's push is written", async || {
            let delivered = scene.operator.deliveries_of(&theirs).await;
            delivered.iter().filter(|delivery| delivery.state().word() == "delivered").count() > n
        })
        .await;
        slowest = posted.elapsed().as_secs_f64().max(slowest);
    }
    figure(case, "seconds until another company's push is written", slowest, OTHERS_WITHIN);
    lock.rollback().await.unwrap();
    wait_until("what was dead is superseded", async || {
        let mut states: Vec<_> = scene.deliveries().await.iter().map(|it| it.state().word()).collect();
        states.sort_unstable();
        states == [["delivered"; 8], ["skipped"; 8]].concat()
    })
    .await;
    healthy.stop().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_hold_and_release_while_pushes_arrive() {
    let _machine = crate::shared().await;
    let case = "hold and release in a loop";
    let scene = Scene::with(Behaviour::Slow(Duration::from_millis(20))).await;
    let storm = async {
        for _ in 0..40 {
            let filter = v1::DeliveryFilter { company: "7".into(), ..v1::DeliveryFilter::default() };
            let hold = v1::HoldDeliveriesRequest {
                request_id: request_id(),
                filter: Some(filter.clone()),
                ..v1::HoldDeliveriesRequest::default()
            };
            let release = v1::ReleaseDeliveriesRequest {
                request_id: request_id(),
                filter: Some(filter),
                ..v1::ReleaseDeliveriesRequest::default()
            };
            let channel = scene.daemon.control().await;
            let mut operator = v1::delivery_service_client::DeliveryServiceClient::new(channel);
            operator.hold_deliveries(hold).await.unwrap();
            operator.release_deliveries(release).await.unwrap();
        }
    };
    let leads = async {
        for n in 0..200 {
            scene.post(n).await;
        }
    };
    tokio::join!(storm, leads);
    wait_until("what is held is released", async || {
        let filter = v1::DeliveryFilter { company: "7".into(), ..v1::DeliveryFilter::default() };
        let release = v1::ReleaseDeliveriesRequest {
            request_id: request_id(),
            filter: Some(filter),
            ..v1::ReleaseDeliveriesRequest::default()
        };
        let channel = scene.daemon.control().await;
        let mut operator = v1::delivery_service_client::DeliveryServiceClient::new(channel);
        operator.release_deliveries(release).await.unwrap();
        scene.deliveries().await.iter().all(|delivery| delivery.state().word() == "delivered")
    })
    .await;
    let ghosts: i64 =
        sqlx::query_scalar("SELECT count(*) FROM undelivered").fetch_one(&scene.pool).await.unwrap();
    figure(case, "deliveries that are listed as held though they arrived", ghosts as f64, 0.0);
    check_invariants(&scene.pool).await;
    scene.end().await;
}
