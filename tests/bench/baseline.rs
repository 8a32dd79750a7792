//! What the machine could do without us: rows into PostgreSQL in batches, and posts to the receiver.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{http::Client, leads::lead};

/// The batch that one of our flushes makes with so many clients.
fn rows(count: usize) -> (Vec<uuid::Uuid>, Vec<Vec<u8>>) {
    let body = lead(&ulid::Ulid::generate().to_string()).into_bytes();
    ((0..count).map(|_| ulid::Ulid::generate().into()).collect(), vec![body; count])
}

/// Lead-sized rows by `INSERT … SELECT unnest`, a batch for each commit, from one connection as our flusher has.
pub(crate) async fn batched_insert(url: &str, batch: usize, time: Duration) -> f64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query("CREATE TABLE bare (id uuid PRIMARY KEY, body bytea NOT NULL)")
        .execute(&mut connection)
        .await
        .unwrap();
    let started = Instant::now();
    let mut inserted = 0;
    while started.elapsed() < time {
        let (ids, bodies) = rows(batch);
        sqlx::query("INSERT INTO bare SELECT * FROM unnest($1::uuid[], $2::bytea[])")
            .bind(ids)
            .bind(bodies)
            .execute(&mut connection)
            .await
            .unwrap();
        inserted += batch;
    }
    let rate = inserted as f64 / started.elapsed().as_secs_f64();
    sqlx::query("DROP TABLE bare").execute(&mut connection).await.unwrap();
    rate
}

/// Posts the same body straight to the receiver, from as many clients.
pub(crate) async fn post_loop(address: SocketAddr, clients: usize, time: Duration) -> f64 {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(async move {
            let mut client = Client::connect(address, "/", "none").await;
            let body = lead(&ulid::Ulid::generate().to_string());
            let mut posted = 0_usize;
            while started.elapsed() < time {
                assert_eq!(client.post(&body).await, 200);
                posted += 1;
            }
            posted
        });
    }
    let posted: usize = tasks.join_all().await.into_iter().sum();
    posted as f64 / started.elapsed().as_secs_f64()
}
