//! What daemons tell each other, and that none waits for a server that says nothing.

use std::time::Duration;

use leadlined::{
    domain::moment::Moment,
    store::{Error, queue::daemons::Wake},
};

use super::bench::Bench;

#[tokio::test]
async fn daemons_hear_what_they_have_not_heard_and_so_much_at_a_time() {
    let bench = Bench::new().await;
    let other = bench.store.enroll(600.0).await.unwrap();
    let lane = bench.lane();
    for seq in 1..=3 {
        bench.store.publish(bench.daemon, seq, &Wake::of_change(lane)).await.unwrap();
        bench.store.publish(other, seq, &Wake::of_change(lane)).await.unwrap();
    }
    let heard = async |from: &[(i64, i64)]| {
        let told = bench.store.hear(bench.daemon, from).await.unwrap();
        told.wakes.into_iter().map(|(daemon, seq, _)| (daemon, seq)).collect::<Vec<_>>()
    };
    assert_eq!(heard(&[(bench.daemon, 2), (other, 1)]).await, [(bench.daemon, 3), (other, 2), (other, 3)]);
    assert_eq!(heard(&[(other, 3)]).await, []);
    assert_eq!(heard(&[]).await, []);
    // One that nobody can read keeps those behind it from nobody.
    let spoil = format!("UPDATE wake SET body = '{{\"due\": 1}}' WHERE daemon_id = {other} AND seq = 2");
    bench.sql(&spoil).await;
    assert_eq!(heard(&[(other, 1)]).await, [(other, 2), (other, 3)]);
    let told = bench.store.hear(bench.daemon, &[(other, 2)]).await.unwrap().wakes.remove(0).2;
    assert_eq!((told.changes().collect::<Vec<_>>(), told.hints().count()), (vec![lane], 0));
    bench
        .sql(&format!(
            "INSERT INTO wake (daemon_id, seq, body) SELECT {other}, n, '{{}}' FROM generate_series(4, 250) n"
        ))
        .await;
    let many = heard(&[(other, 0)]).await;
    assert_eq!((many.len(), many[199]), (200, (other, 200)), "the rest the next time");
    bench.sql("UPDATE wake SET at = now() - interval '59 seconds'").await;
    bench.store.forget_wakes().await.unwrap();
    assert_eq!(bench.count("wake").await, 253);
}

#[tokio::test]
async fn a_daemon_waits_for_no_server_that_is_silent() {
    let bench = Bench::new().await;
    let (patient, daemon) = (bench.store.clone(), bench.daemon);
    let hasty = patient.clone().silent_at_most(Duration::from_millis(50));
    let (wake, other) = (Wake::of_probes(), [(daemon + 1, 0)]);
    let mut silence = bench.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE daemon, wake IN ACCESS EXCLUSIVE MODE").execute(&mut *silence).await.unwrap();
    let mut seq = 0;
    // More often than the pool has connections: none is kept for a server that says nothing.
    for _ in 0..8 {
        seq += 1;
        let answers = [
            hasty.enroll(600.0).await.map(drop),
            hasty.hear(daemon, &other).await.map(drop),
            hasty.publish(daemon, seq, &wake).await,
            hasty.forget_wakes().await,
            hasty.remove_expired(daemon, false).await.map(drop),
            hasty.in_flight_elsewhere(daemon, Moment::EPOCH, Duration::from_secs(10)).await.map(drop),
        ];
        for (at, answer) in answers.into_iter().enumerate() {
            assert!(matches!(answer, Err(Error::Away(_))), "{at}: {answer:?}");
        }
    }
    silence.commit().await.unwrap();
    // Whether the server did in the end what it was told is unknown.
    patient.publish(daemon, seq + 1, &wake).await.unwrap();
    let heard = patient.hear(daemon, &[(daemon, seq)]).await.unwrap();
    assert!(heard.wakes.iter().any(|(_, told, _)| *told == seq + 1));
}
