//! The server on a real socket: what hyper and the kernel add.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    fake::{Fake, key},
    http::settings,
};
use crate::intake::{IntakeError, Listeners, run};

struct Served {
    address: SocketAddr,
    store: Arc<Fake>,
    stop: CancellationToken,
    running: JoinSet<Result<(), IntakeError>>,
}

async fn served() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Fake::new();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    let listeners = Listeners { public: listener, tls: None, admin: None };
    running.spawn(run(listeners, Arc::clone(&store), settings(Arc::new(|| true)), stop.clone()));
    Served { address, store, stop, running }
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
    served.store.gate.forget_permits(usize::MAX);
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(format!("{}{LEAD}", head(&key('a'), LEAD.len())).as_bytes()).await.unwrap();
    while served.store.with(|state| state.flushes.is_empty()) {
        tokio::task::yield_now().await;
    }
    served.stop.cancel();
    // An idle connection is closed at once, and its end shows that the stop was seen.
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(served.running.try_join_next().is_none());
    served.store.gate.add_permits(1);
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
        crate::intake::IntakeError.to_string(),
        "the intake cannot commit leads any more: restart the daemon; its log says what happened"
    );
}

#[tokio::test]
async fn a_line_that_ends_in_a_line_feed_alone_is_refused() {
    let served = served().await;
    let good = format!("{}{LEAD}", head(&key('a'), LEAD.len()));
    let keep = format!("{good}{}", good.replace("Host: leads\r\n", "Host: leads\n"));
    for (request, statuses) in [
        (good.replace("HTTP/1.1\r\n", "HTTP/1.1\n"), &[400][..]),
        (good.replacen("\r\n\r\n", "\r\n\n", 1), &[400]),
        (good.replace("Content-Length", "Transfer-Encoding: chunked\r\nContent-Length"), &[400]),
        (keep, &[202, 400]),
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let seen: Vec<u16> =
            answer.split("HTTP/1.1 ").skip(1).filter_map(|one| one.split(' ').next()?.parse().ok()).collect();
        assert_eq!(seen, statuses, "{request:?} {answer}");
    }
}

#[tokio::test]
async fn connections_that_only_hold_places_keep_nobody_out() {
    let served = served().await;
    let mut idle = Vec::new();
    // As many as one address may have.
    for _ in 0..crate::intake::places::REQUESTS_OF_ONE {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(served.address).await.unwrap();
    let mut answer = String::new();
    one_more.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"), "{answer}");
    // Any other address of this machine is somebody else.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(served.address).await.unwrap();
    other.write_all(format!("{}{LEAD}", head(&key('a'), LEAD.len())).as_bytes()).await.unwrap();
    let mut status = [0; 12];
    other.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 202");
}
