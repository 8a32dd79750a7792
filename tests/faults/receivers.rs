//! Receivers that are silent or close their connections: others notice nothing.

use std::time::Duration;

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{ChildDaemon, Operator, figure, post_lead, wait_until};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

/// What is being pushed when the daemon dies.
const SILENT: usize = 6;
const HEALTHY: usize = 50;

async fn post(daemon: &ChildDaemon, key: &str, n: usize) {
    let (status, answer) = post_lead(&daemon.url("/v1/leads"), key, sample_lead(n).to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

async fn dead(operator: &Operator) -> Vec<v1::Delivery> {
    let filter = v1::DeliveryFilter { states: vec![v1::DeliveryState::Dead.into()], ..Default::default() };
    let request = v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() };
    operator.deliveries().list_deliveries(request).await.unwrap().into_inner().deliveries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_receiver_and_two_kills_stop_nobody_else() {
    let _machine = crate::shared().await;
    let case = "silent receiver with two kills";
    let mut daemon = ChildDaemon::start_private(&[]).await;
    let operator = Operator::new(daemon.control().await);
    let silent = Receiver::start(Behaviour::Hang).await.unwrap();
    let good = Receiver::start(Behaviour::Good).await.unwrap();
    let keys = [operator.company(1).await, operator.company(2).await];
    operator.webhook(1, "crm", &good.url("/"), json!({})).await;
    operator.webhook(2, "crm", &silent.url("/"), json!({})).await;
    for n in 0..SILENT {
        post(&daemon, &keys[1], n).await;
    }
    for kills in 1..=2 {
        silent.wait_for(kills * SILENT).await;
        daemon.kill().await;
        daemon.restart().await;
    }
    // The first suspect is on its way, and is not answered for half a minute.
    silent.wait_for(2 * SILENT + 1).await;
    let mut slowest = Duration::ZERO;
    for n in 0..HEALTHY {
        let posted = Instant::now();
        post(&daemon, &keys[0], 100 + n).await;
        good.wait_for(n + 1).await;
        slowest = slowest.max(posted.elapsed());
    }
    figure(case, "seconds until a neighbour's lead has arrived, at most", slowest.as_secs_f64(), 3.0);
    figure(case, "suspects pushed meanwhile", (silent.count() - 2 * SILENT) as f64, 1.0);
    let operator = Operator::new(daemon.control().await);
    figure(case, "deliveries taken for poison", dead(&operator).await.len() as f64, 0.0);
    daemon.kill().await;
    silent.stop().await;
    good.stop().await;
}

/// Answers 200 to whatever it reads; to what is posted to `/closing` it then closes the connection, without a word.
async fn answer(mut stream: TcpStream) {
    let mut read = Vec::new();
    loop {
        while !read.ends_with(b"}") {
            match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let closes = read.starts_with(b"POST /closing");
        read.clear();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() || closes {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_closes_its_connections_costs_nobody_a_push() {
    let _machine = crate::shared().await;
    let case = "closing neighbour";
    let daemon = ChildDaemon::start_private(&[]).await;
    let operator = Operator::new(daemon.control().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            connections.spawn(answer(listener.accept().await.unwrap().0));
        }
    });
    let key = operator.company(1).await;
    let mut integrations = Vec::new();
    for name in ["closing", "a", "b", "c", "d", "e", "f"] {
        let created = operator.webhook(1, name, &format!("http://{address}/{name}"), json!({})).await;
        integrations.push(created.integration.unwrap().id);
    }
    for n in 0..HEALTHY {
        post(&daemon, &key, n).await;
    }
    let mut failed = [0, 0];
    for (at, integration) in integrations.iter().enumerate() {
        wait_until("every push has arrived", async || {
            let deliveries = operator.deliveries_of(integration).await;
            deliveries.len() == HEALTHY
                && deliveries.iter().all(|delivery| delivery.state().word() == "delivered")
        })
        .await;
        let health = operator.integration(integration).await.health.unwrap();
        failed[usize::from(at > 0)] += health.failure_count;
    }
    figure(case, "pushes to neighbours that failed", failed[1] as f64, 0.0);
    // A close that crosses a request on its way cannot be told from one behind it.
    figure(case, "pushes to the closing one that failed", failed[0] as f64, 3.0);
}
