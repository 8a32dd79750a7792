//! The client against raw receivers on loopback, which answer badly, slowly or not at all.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use url::Url;

use super::{Client, PUSH_CAP, Pool};
use crate::{
    connectors::{CallError, CallErrorKind, Request, RequestHeader, Response},
    domain::address::EgressPolicy,
};

mod kept;
mod secured;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(1);

fn local() -> Client {
    Client::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])).unwrap()
}

fn pool() -> Pool {
    Pool::new(4)
}

/// A call on a connection of its own.
async fn call(client: &Client, request: &Request, deadline: Duration) -> Result<Response, CallError> {
    client.http(&pool(), request, deadline, PUSH_CAP).await
}

fn request(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(url).unwrap(),
        shown_url: url.into(),
        headers: vec![RequestHeader {
            name: "x-leadline-event".parse().unwrap(),
            value: "lead.created".parse().unwrap(),
            secret: false,
        }],
        body: Bytes::from_static(b"{}"),
        secret_version: None,
        is_secret: false,
        is_long: false,
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads a request up to its body `{}`.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        let read = stream.read_buf(&mut text).await.unwrap();
        assert!(read > 0, "the client left early: {}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap()
}

/// One call against a receiver that reads the request, writes this and closes.
async fn answered(bytes: &[u8], deadline: Duration) -> Result<Response, CallError> {
    let (listener, address) = listen().await;
    let client = local();
    let request = request(&format!("http://{address}/hook?token=geheim"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_request(&mut stream).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    tokio::join!(call(&client, &request, deadline), receiver).0
}

/// One call against a receiver that reads the request, writes this and then stays silent.
async fn stalled(bytes: &[u8]) -> Result<Response, CallError> {
    let (listener, address) = listen().await;
    let client = local();
    let request = request(&format!("http://{address}/hook"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_request(&mut stream).await;
        stream.write_all(bytes).await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = call(&client, &request, SHORT) => answer,
        () = receiver => unreachable!("the receiver never ends"),
    }
}

fn assert_failed(answer: Result<Response, CallError>, kind: CallErrorKind, message: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind, kind, "{error:?}");
    assert!(error.message.contains(message), "{error:?}");
    assert!(!error.message.contains("geheim") && !error.message.contains('\n'), "{error:?}");
}

#[tokio::test]
async fn a_request_arrives_as_given_and_its_answer_comes_back() {
    let (listener, address) = listen().await;
    let client = local();
    let request = request(&format!("http://{address}/hook?a=b"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        let text = read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nx-a: \xe9\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
        text
    };
    let (answer, text) = tokio::join!(call(&client, &request, LONG), receiver);
    let answer = answer.unwrap();
    assert_eq!((answer.status, &*answer.body, answer.truncated), (201, b"ok".as_slice(), false));
    let repeated: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "x-a").collect();
    assert_eq!(repeated.len(), 2);
    let text = text.to_lowercase();
    assert!(text.starts_with("post /hook?a=b http/1.1\r\n"), "{text}");
    for header in ["x-leadline-event: lead.created", "content-length: 2", "accept-encoding: identity"] {
        assert!(text.contains(&format!("\r\n{header}\r\n")), "{header} in {text}");
    }
}

#[tokio::test]
async fn an_empty_post_tells_its_length_and_an_empty_get_does_not() {
    for (method, told) in [(Method::POST, true), (Method::GET, false)] {
        let (listener, address) = listen().await;
        let client = local();
        let request = Request { method, body: Bytes::new(), ..request(&format!("http://{address}/")) };
        let receiver = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut text = Vec::new();
            while !text.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut text).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(text).unwrap().to_lowercase()
        };
        let (answer, text) = tokio::join!(call(&client, &request, LONG), receiver);
        assert_eq!(answer.unwrap().status, 204);
        assert_eq!(text.matches("content-length: 0").count(), usize::from(told), "{text}");
        assert_eq!(text.matches("content-length").count(), usize::from(told), "{text}");
    }
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    // Bound and not listening: nobody else can take the port meanwhile.
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let answer = call(&local(), &request(&format!("http://{address}/?token=geheim")), LONG).await;
    let message = format!("connect to {address} failed: connection refused");
    assert_failed(answer, CallErrorKind::NotSent, &message);
}

#[tokio::test]
async fn silence_before_the_tls_handshake_was_not_sent() {
    let (_listener, address) = listen().await;
    let answer = call(&local(), &request(&format!("https://{address}/")), SHORT).await;
    assert_failed(answer, CallErrorKind::NotSent, "failed: no connection within 1 s");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_was_not_sent() {
    let (listener, address) = listen().await;
    let client = local();
    let request = request(&format!("https://{address}/"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    };
    let (answer, _) = tokio::join!(call(&client, &request, LONG), receiver);
    assert_failed(answer, CallErrorKind::NotSent, &format!("connect to {address} failed: "));
}

#[tokio::test]
async fn silence_after_the_request_is_no_answer() {
    assert_failed(stalled(b"").await, CallErrorKind::NoAnswer, "no answer within 1 s");
    assert_failed(stalled(b"HTTP/1.1 200 OK\r\nA: ").await, CallErrorKind::NoAnswer, "no answer within 1 s");
}

#[tokio::test]
async fn the_deadline_is_for_the_whole_call_however_steadily_bytes_come() {
    const SLOW: Duration = Duration::from_millis(100);
    for (head, slow, status) in [
        ("HTTP/1.1 200 OK\r\nA: ", "x", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", "x", Some(200)),
    ] {
        let (listener, address) = listen().await;
        let client = local();
        let request = request(&format!("http://{address}/hook"));
        let receiver = async {
            let mut stream = listener.accept().await.unwrap().0;
            read_request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            // Five seconds in all: far beyond the deadline, and never silent for long.
            for _ in 0..50 {
                tokio::time::sleep(SLOW).await;
                if stream.write_all(slow.as_bytes()).await.is_err() {
                    return;
                }
            }
            drop(stream.write_all(b"\r\n\r\n").await);
        };
        let (answer, ()) = tokio::join!(call(&client, &request, SHORT), receiver);
        match status {
            None => assert_failed(answer, CallErrorKind::NoAnswer, "no answer within 1 s"),
            Some(status) => {
                let answer = answer.unwrap();
                assert_eq!((answer.status, answer.truncated), (status, true));
            }
        }
    }
}

#[tokio::test]
async fn a_close_or_nonsense_after_the_request_is_no_answer() {
    for bytes in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 302 Found\r\nContent-Length: x\r\n\r\n",
    ] {
        let answer = answered(bytes.as_bytes(), LONG).await;
        assert_failed(answer, CallErrorKind::NoAnswer, "no answer from 127.0.0.1:");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_still_an_answer() {
    for answer in [
        stalled(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await,
        answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", LONG).await,
        answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", LONG).await,
    ] {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &*answer.body, answer.truncated), (200, b"half".as_slice(), true));
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_the_cap_and_not_a_byte_further() {
    for (length, truncated) in [(PUSH_CAP, false), (PUSH_CAP + 1, true)] {
        let mut bytes = format!("HTTP/1.1 500 Oops\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        let answer = answered(&bytes, LONG).await.unwrap();
        assert_eq!((answer.status, answer.body.len(), answer.truncated), (500, PUSH_CAP, truncated));
    }
    let (listener, address) = listen().await;
    let (client, list) = (local(), request(&format!("http://{address}/")).long());
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_request(&mut stream).await;
        let length = 2 * PUSH_CAP;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(call(&client, &list, LONG), receiver);
    let answer = answer.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (2 * PUSH_CAP, false), "a list may be longer");
}

#[tokio::test]
async fn an_endless_body_is_cut_and_the_connection_closed() {
    let (listener, address) = listen().await;
    let client = local();
    let request = request(&format!("http://{address}/"));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    };
    let (answer, ()) = tokio::join!(call(&client, &request, LONG), receiver);
    let answer = answer.unwrap();
    assert_eq!((answer.body.len(), answer.truncated), (PUSH_CAP, true));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (elsewhere, there) = listen().await;
    let bytes = format!("HTTP/1.1 302 Found\r\nLocation: http://{there}/\r\nContent-Length: 0\r\n\r\n");
    let answer = tokio::select! {
        answer = answered(bytes.as_bytes(), LONG) => answer.unwrap(),
        _ = elsewhere.accept() => panic!("the redirect was followed"),
    };
    assert_eq!(answer.status, StatusCode::FOUND.as_u16());
    assert!(answer.headers.contains(&("location".into(), format!("http://{there}/"))));
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_never_connected_to() {
    let (listener, address) = listen().await;
    let port = address.port();
    let strict = Client::new(EgressPolicy::default()).unwrap();
    let elsewhere = Client::new(EgressPolicy::new(vec!["192.0.2.0/24".parse().unwrap()])).unwrap();
    for (client, url, message) in [
        (&strict, format!("http://127.0.0.1:{port}/"), "--allow-egress 127.0.0.1/32"),
        (&strict, format!("https://127.0.0.1:{port}/"), "--allow-egress 127.0.0.1/32"),
        (&strict, format!("https://localhost:{port}/"), "--allow-egress 127.0.0.1/32"),
        (&elsewhere, format!("http://localhost:{port}/"), "--allow-egress 127.0.0.1/32"),
        (&elsewhere, format!("http://93.184.216.34:{port}/"), "--allow-egress 93.184.216.34/32"),
    ] {
        let request = request(&url);
        let answer = tokio::select! {
            answer = call(client, &request, LONG) => answer,
            _ = listener.accept() => panic!("{url} was connected to"),
        };
        assert_failed(answer, CallErrorKind::Blocked, message);
    }
}

#[tokio::test]
async fn a_name_that_is_none_was_not_sent() {
    let answer = call(&local(), &request("http://crm.invalid/?token=geheim"), LONG).await;
    assert_failed(answer, CallErrorKind::NotSent, "look-up of crm.invalid failed: ");
}

#[tokio::test]
async fn headers_are_read_as_leniently_as_browsers_read_them() {
    for odd in ["X-Foo : bar", "X-Foo: bar\r\n baz", "no header at all", "X Foo: bar"] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{odd}\r\nContent-Length: 2\r\n\r\nok");
        let answer = answered(bytes.as_bytes(), LONG).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (200, b"ok".as_slice()), "{odd:?}");
    }
}

#[tokio::test]
async fn an_answer_that_says_success_and_cannot_be_read_on_is_an_answer() {
    for rest in ["Content-Length: many", "Content-Length: 1\r\nContent-Length: 2", "X-Foo: a\x00b"] {
        let answer = answered(format!("HTTP/1.1 201 Made\r\n{rest}\r\n\r\n").as_bytes(), LONG).await.unwrap();
        assert_eq!((answer.status, answer.truncated), (201, true), "{rest}");
    }
}

#[tokio::test]
async fn a_name_with_an_underscore_is_looked_up_as_it_is() {
    let answer = call(&local(), &request("https://my_crm.invalid/"), LONG).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::NotSent);
    assert!(error.message.starts_with("look-up of my_crm.invalid failed: "), "{error:?}");
    assert!(!error.message.to_lowercase().contains("malformed"), "{error:?}");
}

#[tokio::test]
async fn of_a_name_that_has_an_allowed_address_only_that_one_is_used() {
    let (listener, address) = listen().await;
    // Where the system's own names give `::1` too, that one is passed over.
    let client = Client::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap();
    let request = request(&format!("http://localhost:{}/", address.port()));
    let receiver = async {
        let mut stream = listener.accept().await.unwrap().0;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    };
    let pool = pool();
    let (answer, ()) = tokio::join!(client.http(&pool, &request, LONG, PUSH_CAP), receiver);
    assert_eq!(answer.unwrap().status, 200);
}

#[test]
fn a_call_is_small_enough_to_be_moved() {
    fn size_of_call<'a, F: Future + 'a>(
        _: impl Fn(&'a Client, &'a Pool, &'a crate::connectors::Call, Duration, usize) -> F,
    ) -> usize {
        size_of::<F>()
    }
    let size = size_of_call(Client::call);
    assert!(size <= 4096, "a call takes {size} bytes");
}
