//! Group commit: whatever queued while the last flush ran is committed with the next one.
//!
//! There is no window to wait for, so a lone lead is committed at once and a crowd shares its commits.

use std::{collections::HashSet, sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot};

use super::intake_store::{IntakeStore, StoreFailure};
use crate::store::lead::intake::{Flushed, NewEvent};

/// The most leads of one flush.
const FLUSH_CAP: usize = 500;
/// The most leads that wait for a flush; beyond it senders are told to come back.
const QUEUE_CAP: usize = 4096;

/// The end of the queue at which requests wait for their commit.
#[derive(Clone, Debug)]
pub(super) struct CommitQueue(mpsc::Sender<WaitingEvent>);

#[derive(Debug)]
struct WaitingEvent {
    event: NewEvent,
    answer: oneshot::Sender<Result<Flushed, StoreFailure>>,
}

impl CommitQueue {
    /// Waits until the event is committed, or tells why it is not.
    pub(super) async fn commit(&self, event: NewEvent) -> Result<Flushed, StoreFailure> {
        let (answer, committed) = oneshot::channel();
        self.0.try_send(WaitingEvent { event, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreFailure::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreFailure::Failed,
        })?;
        committed.await.unwrap_or(Err(StoreFailure::Failed))
    }
}

/// The one that commits; it ends when every [`CommitQueue`] is gone and all that waited has its answer.
#[derive(Debug)]
pub(super) struct Flusher<S> {
    store: Arc<S>,
    queue: mpsc::Receiver<WaitingEvent>,
    /// Events whose lead stood in the last flush already.
    deferred: Vec<WaitingEvent>,
}

impl<S: IntakeStore> Flusher<S> {
    pub(super) fn new(store: Arc<S>) -> (CommitQueue, Self) {
        let (sender, queue) = mpsc::channel(QUEUE_CAP);
        (CommitQueue(sender), Self { store, queue, deferred: Vec::new() })
    }

    pub(super) async fn run(mut self) {
        while let Some(flush) = self.next().await {
            self.flush(flush).await;
        }
    }

    /// What the next flush commits: never a lead twice, because one statement cannot insert and then update it.
    async fn next(&mut self) -> Option<Vec<WaitingEvent>> {
        let mut taken = std::mem::take(&mut self.deferred);
        if taken.is_empty() && self.queue.recv_many(&mut taken, FLUSH_CAP).await == 0 {
            return None;
        }
        while taken.len() < FLUSH_CAP
            && let Ok(waiting) = self.queue.try_recv()
        {
            taken.push(waiting);
        }
        let mut leads = HashSet::with_capacity(taken.len());
        let (flush, deferred) = taken
            .into_iter()
            // A sender who left was never answered, and will send the lead again.
            .filter(|waiting| !waiting.answer.is_closed())
            .partition(|waiting| leads.insert((waiting.event.company, waiting.event.lead)));
        self.deferred = deferred;
        Some(flush)
    }

    async fn flush(&self, flush: Vec<WaitingEvent>) {
        if flush.is_empty() {
            return;
        }
        let (events, waiting): (Vec<_>, Vec<_>) =
            flush.into_iter().map(|waiting| (waiting.event, waiting.answer)).unzip();
        metrics::histogram!("leadline_intake_flush_leads").record(events.len() as f64);
        let started = Instant::now();
        let answers = self.commit(&events).await;
        metrics::histogram!("leadline_intake_flush_seconds").record(started.elapsed());
        for (waiting, answer) in waiting.into_iter().zip(answers) {
            if waiting.send(answer).is_err() {
                tracing::debug!("a sender left before the answer to its lead");
            }
        }
    }

    async fn commit(&self, events: &[NewEvent]) -> Vec<Result<Flushed, StoreFailure>> {
        match self.store.accept(events).await {
            Ok(flushed) => flushed.into_iter().map(Ok).collect(),
            Err(StoreFailure::Failed | StoreFailure::Busy) if events.len() > 1 => {
                self.commit_each(events).await
            }
            Err(failure) => vec![Err(failure); events.len()],
        }
    }

    /// One bad lead must not fail the others of its flush.
    async fn commit_each(&self, events: &[NewEvent]) -> Vec<Result<Flushed, StoreFailure>> {
        let mut answers = Vec::with_capacity(events.len());
        for event in events {
            let answer = match self.store.accept(std::slice::from_ref(event)).await {
                Ok(flushed) => flushed.into_iter().next().ok_or(StoreFailure::Failed),
                Err(failure) => Err(failure),
            };
            let is_away = answer == Err(StoreFailure::Away);
            answers.push(answer);
            if is_away {
                break;
            }
        }
        answers.resize(events.len(), Err(StoreFailure::Away));
        answers
    }
}
