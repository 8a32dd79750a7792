//! The server on a real socket: what hyper and the kernel add.

use std::{net::SocketAddr, sync::Arc};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, key};
use crate::intake::{ServeError, run};

struct Served {
    address: SocketAddr,
    ledger: Arc<Fake>,
    stop: CancellationToken,
    running: JoinSet<Result<(), ServeError>>,
}

async fn served() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ledger = Fake::new();
    let stop = CancellationToken::new();
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let mut running = JoinSet::new();
    running.spawn(run(listener, Arc::clone(&ledger), metrics, Arc::new(|| true), stop.clone()));
    Served { address, ledger, stop, running }
}

fn head(key: &str, length: usize) -> String {
    format!(
        "POST /v1/leads HTTP/1.1\r\nHost: leads\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

const LEAD: &str = r#"{"lead": {"name": "Sarah Patel", "email": "sarah@example.com", "event_type": "wedding",
    "event_date": "2026-09-12", "guest_count": 80, "gdpr_consent": true}}"#;

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let mut served = served().await;
    served.ledger.gate.forget_permits(usize::MAX);
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(format!("{}{LEAD}", head(&key('a'), LEAD.len())).as_bytes()).await.unwrap();
    while served.ledger.with(|state| state.flushes.is_empty()) {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    // An idle connection is closed at once, and its end shows that the stop was seen.
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(served.running.try_join_next().is_none());
    served.ledger.gate.add_permits(1);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 Accepted\r\n"), "{answer}");
    assert!(served.running.join_next().await.unwrap().unwrap().is_ok());
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_sender_who_writes_all_before_reading_learns_why_it_is_refused() {
    let served = served().await;
    for (key, length, status) in [(key('b'), 200_000, 401), (key('a'), 900_000, 413)] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head(&key, length).as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
}

#[test]
fn an_intake_that_ends_says_what_to_do() {
    assert_eq!(
        crate::intake::ServeError.to_string(),
        "the intake cannot commit leads any more: restart the daemon; its log says what happened"
    );
}
