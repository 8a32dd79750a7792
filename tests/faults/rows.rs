//! Rows that somebody holds in the database, and operators who hold and release while pushes arrive.

use std::time::Duration;

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Scene, check_invariants, figure, post_lead, request_id, wait_until};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgTransaction};
use tokio::time::Instant;

/// How long a healthy company may wait for its answer and its push while another one's rows are held, in seconds.
const OTHERS_WITHIN: f64 = 3.0;

/// Holds rows as a transaction that hangs.
async fn hold(scene: &Scene, rows: &str) -> PgTransaction<'static> {
    let mut tx = scene.pool.begin().await.unwrap();
    let locked =
        sqlx::query(AssertSqlSafe(format!("SELECT FROM {rows} FOR UPDATE"))).execute(&mut *tx).await.unwrap();
    assert!(locked.rows_affected() > 0, "{rows}");
    tx
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_locked_by_somebody() {
    let scene = Scene::with(Behaviour::Slow(Duration::from_millis(1500))).await;
    let healthy = Receiver::start(Behaviour::Good).await.unwrap();
    let other = scene.operator.company(8).await;
    scene.operator.webhook(8, "healthy", &healthy.url("/"), json!({})).await;
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
                OTHERS_WITHIN,
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

#[tokio::test(flavor = "multi_thread")]
async fn operators_hold_and_release_while_pushes_arrive() {
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
