//! The connection that a statement which is carried out all the time keeps.

use std::time::Duration;

use leadlined::{
    domain::{fanout::Fate, ids::LeadId, integration::EventKind},
    store::lead::intake::{Flushed, NewEvent},
};
use tokio::time::timeout;

use super::bench::{Bench, wait_for_lock};

impl Bench {
    async fn arriving(&mut self) -> NewEvent {
        self.event(self.company, LeadId::generate(), EventKind::Created, &Fate::Pending).await
    }

    /// Takes a lead in; the processes of the server that are there for it then.
    async fn taken_in_by(&mut self) -> Vec<i32> {
        let event = self.arriving().await;
        assert_eq!(self.store.accept(&[event]).await.unwrap(), [Flushed::Created]);
        self.servers("intake").await
    }

    async fn servers(&self, name: &str) -> Vec<i32> {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
        )
        .bind(format!("leadlined {name}"))
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_connection_is_kept_as_long_as_its_server_answers_and_no_longer() {
    let mut bench = Bench::new().await;
    let first = bench.taken_in_by().await;
    assert_eq!((first.len(), bench.taken_in_by().await), (1, first.clone()));

    // Refused is answered, too: a statement cannot touch a lead twice.
    let twice = bench.arriving().await;
    let again = NewEvent { event: bench.arriving().await.event, ..twice.clone() };
    bench.store.accept(&[twice, again]).await.unwrap_err();
    assert_eq!(bench.taken_in_by().await, first);

    // Nobody knows what an answer is about that came after its asker left.
    let event = bench.arriving().await;
    let mut lock = bench.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE lead").execute(&mut *lock).await.unwrap();
    let store = bench.store.clone();
    timeout(Duration::from_millis(100), store.accept(&[event])).await.unwrap_err();
    lock.rollback().await.unwrap();
    let second = bench.taken_in_by().await;
    assert!(second.iter().any(|pid| !first.contains(pid)), "{first:?} {second:?}");

    // A server that has ended is found out once.
    sqlx::query("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid")
        .bind(&second)
        .execute(&bench.pool)
        .await
        .unwrap();
    let event = bench.arriving().await;
    bench.store.accept(&[event]).await.unwrap_err();
    let third = bench.taken_in_by().await;
    assert!(third.iter().all(|pid| !second.contains(pid)), "{second:?} {third:?}");
}

#[tokio::test]
async fn who_sends_one_lead_waits_behind_no_file() {
    let mut bench = Bench::new().await;
    let [file, lead] = [bench.arriving().await, bench.arriving().await];
    // The file waits for somebody who has written one of its leads already.
    let mut other = bench.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO lead (company_id, id, uuid, event_id, digest) VALUES ($1, $2, $3, $4, sha256('x'))",
    )
    .bind(bench.company.0)
    .bind(file.lead.uuid())
    .bind(&file.uuid)
    .bind(file.event.uuid())
    .execute(&mut *other)
    .await
    .unwrap();
    let store = bench.store.clone();
    let beside = async {
        wait_for_lock(&bench.pool).await;
        assert_eq!(bench.store.accept(&[lead]).await.unwrap(), [Flushed::Created]);
        other.rollback().await.unwrap();
    };
    let (written, ()) = tokio::join!(store.accept_file(std::slice::from_ref(&file)), beside);
    assert_eq!(written.unwrap(), [Flushed::Created]);
}
