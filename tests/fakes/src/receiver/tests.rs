//! Each behaviour as a client on the wire sees it.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::*;

const SOON: Duration = Duration::from_secs(5);
const NEVER: Duration = Duration::from_millis(100);

async fn connect(receiver: &Receiver) -> TcpStream {
    TcpStream::connect(receiver.address()).await.unwrap()
}

async fn post(receiver: &Receiver, body: &str) -> String {
    let mut stream = connect(receiver).await;
    let head = format!("POST /hook?a=1 HTTP/1.1\r\nX-Test: Yes\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn it_keeps_what_arrived_and_answers_as_told() {
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    assert_eq!(status(&post(&receiver, "{\"n\": 1.0}").await), "200");
    let [request] = &receiver.wait_for(1).await[..] else { panic!() };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?a=1"));
    assert_eq!((request.header("x-test"), &request.body[..]), (Some("Yes"), &b"{\"n\": 1.0}"[..]));

    receiver.set(Behaviour::RefuseAll(422, "no such field".to_owned()));
    let answer = post(&receiver, "").await;
    assert!(status(&answer) == "422" && answer.ends_with("\r\n\r\nno such field"), "{answer}");

    receiver.set(Behaviour::Flaky(3));
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(status(&post(&receiver, "").await).to_owned());
    }
    assert_eq!(seen, ["200", "200", "500", "200", "200", "500"]);
    assert_eq!(receiver.count(), 8);
    receiver.stop().await;
}

#[tokio::test]
async fn a_script_goes_reply_by_reply_and_ends_well() {
    let script = vec![
        Reply::status(429).header("Retry-After", "3").body("slow down"),
        Reply::close(),
        Reply::cut("0123456789"),
        Reply::status(200).after(Duration::from_millis(20)),
    ];
    let receiver = Receiver::start(Behaviour::Script(script)).await.unwrap();
    let answer = post(&receiver, "").await;
    assert!(status(&answer) == "429" && answer.contains("Retry-After: 3\r\n"), "{answer}");
    assert_eq!(post(&receiver, "").await, "");
    let answer = post(&receiver, "").await;
    assert!(answer.contains("Content-Length: 10") && answer.ends_with("\r\n\r\n01234"), "{answer}");
    assert_eq!(status(&post(&receiver, "").await), "200");
    assert_eq!(status(&post(&receiver, "").await), "200");
    receiver.stop().await;
}

#[tokio::test]
async fn chunks_and_a_second_request_on_one_connection() {
    let receiver = Receiver::start(Behaviour::Good).await.unwrap();
    let mut stream = connect(&receiver).await;
    let chunked = "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
    stream.write_all(format!("{chunked}GET /b HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    let requests = timeout(SOON, receiver.wait_for(2)).await.unwrap();
    assert_eq!((requests[0].path.as_str(), &requests[0].body[..]), ("/a", &b"abcde"[..]));
    assert_eq!((requests[1].path.as_str(), requests[1].body.len()), ("/b", 0));
    receiver.stop().await;
}

#[tokio::test]
async fn stopping_ends_what_hangs_and_frees_the_port() {
    let receiver = Receiver::start(Behaviour::Hang).await.unwrap();
    let mut stream = connect(&receiver).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    timeout(SOON, receiver.wait_for(1)).await.unwrap();
    let mut answer = Vec::new();
    assert!(timeout(NEVER, stream.read_to_end(&mut answer)).await.is_err());
    let address = receiver.address();
    receiver.stop().await;
    assert!(timeout(SOON, stream.read_to_end(&mut answer)).await.is_ok_and(|_| answer.is_empty()));
    assert!(TcpStream::connect(address).await.is_err());
    let back = Receiver::start_on(address, Behaviour::Good).await.unwrap();
    assert_eq!(status(&post(&back, "").await), "200");
    back.stop().await;
}
