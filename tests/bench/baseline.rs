//! What the machine could do without us: rows into PostgreSQL in batches, and posts to the receiver.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::http::Client;

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

/// A lead as forms send it, under this uuid.
pub(crate) fn lead(uuid: &str) -> String {
    format!(
        r#"{{"event":"lead.created","version":"v1","lead":{{"uuid":"{uuid}","name":"Sarah Patel","email":"sarah@example.com","phone":"+447700900123","event_type":"wedding","event_date":"2026-09-12","guest_count":80,"gdpr_consent":true,"source_url":"https://theoldbarn.example/book","utm":{{"source":"google","medium":"cpc","campaign":"summer_weddings_2026"}}}},"quote":{{"uuid":"01j8h6kqh5gqp8m8t9wnf8c2y0","proposal_url":"https://quote.example/p/9f3aXjh2z6kQpTu1mVeR","subtotal_pence":920000,"rules_pence":138000,"vat_pence":211600,"total_pence":1269600,"currency":"GBP","items":[{{"name":"Exclusive venue hire","quantity":1,"unit_pence":350000,"total_pence":350000}},{{"name":"Wedding feast, main course","quantity":80,"unit_pence":4500,"total_pence":360000}}]}},"viewing":{{"starts_at":"2026-06-04T14:00:00+01:00","ends_at":"2026-06-04T15:00:00+01:00"}},"location":{{"id":12,"name":"The Old Barn"}}}}"#
    )
}

/// The same with a long message: about so many bytes.
pub(crate) fn long_lead(uuid: &str, bytes: usize) -> String {
    let message = "We would love to see the barn in spring. ".repeat(bytes / 41);
    lead(uuid).replacen(r#""name":"#, &format!(r#""message":"{message}","name":"#), 1)
}
