//! Notes when keys were used, once a minute each, beside the way of the leads: nobody waits for it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{intake_store::IntakeStore, rates::Rates, views::KeyMatch};
use crate::domain::ids::{CompanyId, KeyId};

/// The most keys that wait to be noted; one that finds no room is noted with its next use.
const QUEUE_CAP: usize = 256;
/// How often a second a key is noted.
const PER_SECOND: f64 = 1.0 / 60.0;

/// Where uses are handed in.
#[derive(Debug)]
pub(super) struct UsedKeys {
    lately: Rates<KeyId>,
    queue: mpsc::Sender<(CompanyId, KeyId)>,
}

impl UsedKeys {
    pub(super) fn new() -> (Self, mpsc::Receiver<(CompanyId, KeyId)>) {
        let (queue, used) = mpsc::channel(QUEUE_CAP);
        (Self { lately: Rates::default(), queue }, used)
    }

    /// Notes that a key has opened the intake, unless that was noted within the last minute.
    pub(super) fn note(&self, matched: &KeyMatch) {
        let Ok(room) = self.queue.try_reserve() else { return };
        if self.lately.admit_some(matched.key_id(), PER_SECOND, 1).is_ok() {
            room.send((matched.view.id, matched.key_id()));
        }
    }
}

/// Writes what was handed in; ends when every [`UsedKeys`] is gone.
pub(super) async fn write<S: IntakeStore>(store: Arc<S>, mut queue: mpsc::Receiver<(CompanyId, KeyId)>) {
    let mut taken = Vec::new();
    while queue.recv_many(&mut taken, QUEUE_CAP).await > 0 {
        if store.keys_used(&taken).await.is_err() {
            tracing::debug!(lost = taken.len(), "uses of keys could not be noted");
        }
        taken.clear();
    }
}
