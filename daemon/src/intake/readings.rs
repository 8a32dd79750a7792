//! Writes into the audit who read which lead, before it is told: one statement for all that are read meanwhile.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    intake_store::{IntakeStore, StoreFailure},
    views::KeyMatch,
};
use crate::{domain::ids::LeadId, store::operator::audit::Reading};

/// The most readings of one statement.
const BATCH: usize = 256;
/// The most that wait to be written; beyond it readers are told to come back.
const QUEUE_CAP: usize = 1024;

/// Where readings are handed in.
#[derive(Debug)]
pub(super) struct Readings(mpsc::Sender<WaitingReading>);

#[derive(Debug)]
pub(super) struct WaitingReading {
    reading: Reading,
    answer: oneshot::Sender<Result<(), StoreFailure>>,
}

impl Readings {
    pub(super) fn new() -> (Self, mpsc::Receiver<WaitingReading>) {
        let (sender, queue) = mpsc::channel(QUEUE_CAP);
        (Self(sender), queue)
    }

    /// Waits until the line is there, or tells why it is not.
    pub(super) async fn note(&self, matched: &KeyMatch, lead: LeadId) -> Result<(), StoreFailure> {
        let operator = format!("intake key {}", matched.prefix());
        let reading = Reading { company: matched.view.id, lead, operator };
        let (answer, written) = oneshot::channel();
        self.0.try_send(WaitingReading { reading, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreFailure::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreFailure::Failed,
        })?;
        written.await.unwrap_or(Err(StoreFailure::Failed))
    }
}

/// Writes what was handed in; ends when every [`Readings`] is gone.
pub(super) async fn write<S: IntakeStore>(store: Arc<S>, mut queue: mpsc::Receiver<WaitingReading>) {
    let mut taken = Vec::new();
    while queue.recv_many(&mut taken, BATCH).await > 0 {
        let (readings, waiting): (Vec<_>, Vec<_>) =
            taken.drain(..).map(|waiting| (waiting.reading, waiting.answer)).unzip();
        let written = store.note_read(&readings).await;
        for answer in waiting {
            if answer.send(written).is_err() {
                tracing::debug!("a reader left before the answer");
            }
        }
    }
}
