//! Group commit: what shares a flush, and whose failure is whose.

use std::sync::Arc;

use futures::{FutureExt, future::join_all};
use tokio::task::JoinSet;

use super::fake::{Fake, event};
use crate::{
    domain::ids::LeadId,
    intake::{
        flusher::{CommitQueue, Flusher},
        intake_store::StoreFailure,
    },
    store::lead::intake::Flushed,
};

fn started(store: &Arc<Fake>) -> (CommitQueue, JoinSet<()>) {
    let (queue, flusher) = Flusher::new(Arc::clone(store));
    let mut running = JoinSet::new();
    running.spawn(flusher.run());
    (queue, running)
}

async fn commit_all(queue: &CommitQueue, leads: &[LeadId]) -> Vec<Result<Flushed, StoreFailure>> {
    join_all(leads.iter().map(|lead| queue.commit(event(*lead)))).await
}

fn leads<const N: usize>() -> [LeadId; N] {
    std::array::from_fn(|_| LeadId::generate())
}

#[tokio::test]
async fn what_queues_during_a_flush_is_committed_with_the_next() {
    let store = Fake::new();
    store.gate.forget_permits(usize::MAX);
    let (queue, _running) = started(&store);
    let [a, b, c, d] = leads();
    let first = queue.commit(event(a));
    let others = async {
        while store.with(|state| state.flushes.is_empty()) {
            tokio::task::yield_now().await;
        }
        let leads = [b, c, d];
        let others = commit_all(&queue, &leads);
        let release = async { store.gate.add_permits(2) };
        tokio::join!(others, release).0
    };
    let (first, others) = tokio::join!(first, others);
    assert_eq!((first, others), (Ok(Flushed::Created), vec![Ok(Flushed::Created); 3]));
    assert_eq!(store.with(|state| state.flushes.clone()), [vec![a], vec![b, c, d]]);
}

#[tokio::test]
async fn a_lead_that_comes_twice_stands_in_two_flushes() {
    let store = Fake::new();
    let (queue, _running) = started(&store);
    let [a, b] = leads();
    let answers = commit_all(&queue, &[a, a, b, a]).await;
    let (created, known) = (Ok(Flushed::Created), Ok(Flushed::Known));
    assert_eq!(answers, [created.clone(), known.clone(), created, known]);
    assert_eq!(store.with(|state| state.flushes.clone()), [vec![a, b], vec![a], vec![a]]);
}

#[tokio::test]
async fn a_bad_lead_fails_alone() {
    let store = Fake::new();
    let [a, bad, b] = leads();
    store.with(|state| state.poison = Some(bad));
    let (queue, _running) = started(&store);
    let answers = commit_all(&queue, &[a, bad, b]).await;
    assert_eq!(answers, [Ok(Flushed::Created), Err(StoreFailure::Failed), Ok(Flushed::Created)]);
    let flushes = store.with(|state| state.flushes.clone());
    assert_eq!(flushes, [vec![a, bad, b], vec![a], vec![bad], vec![b]]);
}

#[tokio::test]
async fn a_database_that_is_away_fails_the_flush_once_for_all() {
    let store = Fake::new();
    store.with(|state| state.failure = Some(StoreFailure::Away));
    let (queue, _running) = started(&store);
    assert_eq!(commit_all(&queue, &leads::<3>()).await, vec![Err(StoreFailure::Away); 3]);
    assert_eq!(store.with(|state| state.flushes.len()), 1);
}

#[tokio::test]
async fn a_flush_has_a_cap() {
    let store = Fake::new();
    let (queue, _running) = started(&store);
    let answers = commit_all(&queue, &leads::<1200>()).await;
    assert_eq!(answers, vec![Ok(Flushed::Created); 1200]);
    let sizes: Vec<_> = store.with(|state| state.flushes.iter().map(Vec::len).collect());
    assert_eq!(sizes, [500, 500, 200]);
}

#[tokio::test]
async fn a_full_queue_sends_away_and_what_nobody_waits_for_is_not_committed() {
    let store = Fake::new();
    let (queue, flusher) = Flusher::new(Arc::clone(&store));
    let waiting =
        std::iter::from_fn(|| queue.commit(event(LeadId::generate())).now_or_never().is_none().then_some(()));
    assert_eq!(waiting.count(), 4096);
    let refused = queue.commit(event(LeadId::generate())).now_or_never();
    assert_eq!(refused, Some(Err(StoreFailure::Busy)));
    drop(queue);
    flusher.run().await;
    assert!(store.with(|state| state.leads.is_empty() && state.flushes.is_empty()));
}

#[tokio::test]
async fn the_flusher_ends_after_the_last_answer() {
    let store = Fake::new();
    let (queue, mut running) = started(&store);
    let [a] = leads();
    let commit = async {
        let answer = queue.commit(event(a)).await;
        drop(queue);
        answer
    };
    let (answer, ended) = tokio::join!(commit, running.join_next());
    assert_eq!(answer, Ok(Flushed::Created));
    assert!(ended.is_some_and(|ended| ended.is_ok()));
}
