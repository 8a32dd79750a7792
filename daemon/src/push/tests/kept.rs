//! Connections that are kept for the next call: what they save, and what they must not be trusted with.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LONG, assert_failed, listen, local, pool, read_request, request};
use crate::{
    connectors::CallErrorKind,
    push::{PUSH_CAP, Pool},
};

#[tokio::test]
async fn a_connection_is_used_again() {
    let (listener, address) = listen().await;
    let client = local();
    let request = request(&format!("http://{address}/"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    };
    let pool = pool();
    let calls = async {
        client.http(&pool, &request, LONG, PUSH_CAP).await.unwrap();
        client.http(&pool, &request, LONG, PUSH_CAP).await.unwrap();
    };
    tokio::join!(calls, receiver);
}

#[tokio::test]
async fn an_idle_connection_that_its_target_closed_costs_no_failure() {
    let (listener, address) = listen().await;
    let (client, pool) = (local(), pool());
    let request = request(&format!("http://{address}/"));
    let closed = tokio::sync::Notify::new();
    let receiver = async {
        for _ in 0..50 {
            let mut stream = listener.accept().await.unwrap().0;
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            // Closed without a word, as many servers do with a connection that was idle for too long.
            drop(stream);
            closed.notify_one();
        }
    };
    let calls = async {
        for n in 0..50 {
            let answer = client.http(&pool, &request, LONG, PUSH_CAP).await;
            assert_eq!(answer.unwrap_or_else(|error| panic!("call {n}: {error:?}")).status, 200);
            closed.notified().await;
        }
    };
    tokio::join!(calls, receiver);
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_request_is_no_answer_however_often_it_was_used() {
    let (listener, address) = listen().await;
    let (client, pool) = (local(), pool());
    let request = request(&format!("http://{address}/"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        // It has read the request and may have acted on it.
        read_request(&mut stream).await;
    };
    let calls = async {
        assert_eq!(client.http(&pool, &request, LONG, PUSH_CAP).await.unwrap().status, 200);
        let answer = client.http(&pool, &request, LONG, PUSH_CAP).await;
        assert_failed(answer, CallErrorKind::NoAnswer, "no answer from 127.0.0.1:");
    };
    tokio::join!(calls, receiver);
}

#[tokio::test]
async fn what_a_target_says_unasked_is_not_taken_for_an_answer() {
    let (listener, address) = listen().await;
    let (client, pool) = (local(), pool());
    let request = request(&format!("http://{address}/"));
    let receiver = async {
        for status in [200, 201] {
            let mut stream = listener.accept().await.unwrap().0;
            read_request(&mut stream).await;
            let answer = format!("HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n");
            // The second answer belongs to no request.
            stream.write_all(answer.repeat(2).as_bytes()).await.unwrap();
        }
    };
    let calls = async {
        for status in [200, 201] {
            assert_eq!(client.http(&pool, &request, LONG, PUSH_CAP).await.unwrap().status, status);
        }
    };
    tokio::join!(calls, receiver);
}

#[tokio::test]
async fn a_pool_holds_no_more_than_its_size_wherever_they_lead() {
    let ((one, here), (two, there)) = (listen().await, listen().await);
    let (client, pool) = (local(), Pool::new(1));
    let closed = tokio::sync::Notify::new();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let first = async {
        let mut stream = one.accept().await.unwrap().0;
        read_request(&mut stream).await;
        stream.write_all(answer).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed for the other");
        closed.notify_one();
    };
    let second = async {
        let mut stream = two.accept().await.unwrap().0;
        read_request(&mut stream).await;
        closed.notified().await;
        stream.write_all(answer).await.unwrap();
    };
    let calls = async {
        for address in [here, there] {
            let request = request(&format!("http://{address}/"));
            assert_eq!(client.http(&pool, &request, LONG, PUSH_CAP).await.unwrap().status, 200);
        }
    };
    tokio::join!(first, second, calls);
}
