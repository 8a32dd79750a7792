//! Who guesses keys, and who holds connections of one key open, costs nobody else anything: `make attack`.

use std::{env, net::Ipv4Addr, time::Duration};

use leadline_fakes::sample_lead;
use leadline_tests::{ChildDaemon, Database, Operator, figure, post_lead};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// So many wrong keys are tried, by so many at once.
const WRONG_KEYS: usize = 1000;
const GUESSERS: usize = 50;
/// How many wrong keys of an address are looked up at most, and then one a second.
const LOOKED_UP: f64 = 61.0;
/// How many connections of one key dribble, unless the environment says otherwise.
const DRIBBLING: usize = 128;
const DRIBBLING_VARIABLE: &str = "LEADLINE_ATTACK_CONNECTIONS";
/// So many of them come from one address: fewer than an address may have.
const OF_ADDRESS: usize = 200;
/// How many posts of others are measured each time.
const MEASURED: usize = 200;
/// A faster answer is no promise: below it the machine's own work decides.
const FLOOR: f64 = 0.010;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_wrong_keys_are_slowed_down_and_cost_others_nothing() {
    let _machine = crate::alone().await;
    let case = "a thousand wrong keys";
    let database = Database::create().await;
    let daemon = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(daemon.control().await);
    let key = operator.company(7).await;
    let url = daemon.url("/v1/leads");
    let (mut guessers, began) = (JoinSet::new(), Instant::now());
    for guesser in 0..GUESSERS {
        let url = url.clone();
        guessers.spawn(async move {
            let mut answers = Vec::new();
            for n in 0..WRONG_KEYS / GUESSERS {
                let wrong = format!("llk_7_{:043}", guesser * WRONG_KEYS + n);
                answers.push(post_lead(&url, &wrong, sample_lead(1).to_string()).await.0);
            }
            answers
        });
    }
    let beside = p99(&daemon, &key, 0).await;
    let answers = guessers.join_all().await.concat();
    let took = began.elapsed().as_secs_f64();
    let of = |status: u16| answers.iter().filter(|it| **it == status).count();
    assert_eq!((of(401) + of(429), answers.len()), (WRONG_KEYS, WRONG_KEYS), "{answers:?}");
    figure(case, "keys that opened something", of(202) as f64, 0.0);
    figure(case, "keys that were looked up", of(401) as f64, LOOKED_UP + took);
    let lines = daemon.log().iter().filter(|line| line.contains("security_attempt")).count();
    figure(case, "lines of the log", lines as f64, 2.0 + took / 10.0);
    // Wrong ones wait for a second.
    figure(case, "seconds that a good key's posts from the same address take, p99", beside, 1.0);
}

/// The p99 of posts with a good key, in seconds.
async fn p99(daemon: &ChildDaemon, key: &str, round: usize) -> f64 {
    let mut times = Vec::new();
    for n in 0..MEASURED {
        let (lead, posted) = (sample_lead(round * MEASURED + n).to_string(), Instant::now());
        let (status, answer) = post_lead(&daemon.url("/v1/leads"), key, lead).await;
        assert_eq!(status, 202, "{answer}");
        times.push(posted.elapsed());
    }
    times.sort_unstable();
    times[MEASURED * 99 / 100].as_secs_f64()
}

/// A post whose body comes byte by byte. Who is turned away comes again.
async fn dribble(
    daemon: std::net::SocketAddr,
    from: Ipv4Addr,
    key: String,
    stop: CancellationToken,
) -> usize {
    let mut turned_away = 0;
    while !stop.is_cancelled() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let Ok(mut stream) = socket.connect(daemon).await else { continue };
        let head = format!(
            "POST /v1/leads HTTP/1.1\r\nHost: leads\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            continue;
        }
        if stop.run_until_cancelled(dribble_body(&mut stream)).await.is_some() {
            turned_away += 1;
        }
    }
    turned_away
}

/// Goes on until an answer comes, or the connection ends.
async fn dribble_body(stream: &mut TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let mut byte = [0; 1];
    let write = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        _ = reader.read(&mut byte) => {}
        () = write => {}
    }
    // One that is refused at once would else come again as fast as the machine can.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_key_that_dribble_keep_nobody_waiting() {
    let _machine = crate::alone().await;
    let case = "dribbling connections of one key";
    let dribbling = env::var(DRIBBLING_VARIABLE).map_or(DRIBBLING, |text| text.parse().unwrap());
    let database = Database::create().await;
    let daemon = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(daemon.control().await);
    let [key, theirs] = [operator.company(7).await, operator.company(8).await];
    let alone = p99(&daemon, &key, 0).await;
    let (mut connections, stop) = (JoinSet::new(), CancellationToken::new());
    for n in 0..dribbling {
        let host = u8::try_from(2 + n / OF_ADDRESS).unwrap();
        let from = Ipv4Addr::new(127, 0, 0, host);
        connections.spawn(dribble(daemon.intake(), from, theirs.clone(), stop.clone()));
    }
    let beside = p99(&daemon, &key, 1).await;
    let beside = beside.max(p99(&daemon, &key, 2).await);
    stop.cancel();
    let turned_away: usize = connections.join_all().await.into_iter().sum();
    println!("{case}: {dribbling} at once, turned away {turned_away} times");
    let alone = alone.max(p99(&daemon, &key, 3).await);
    println!("{case}: p99 {:.1} ms beside them, {:.1} ms without", beside * 1000.0, alone * 1000.0);
    figure(case, "p99 of another key's posts, times its own", beside / alone.max(FLOOR), 2.0);
}
