//! How the parts of one daemon hear of each other's commits: hints only, the rows are the truth.

use tokio::sync::{Notify, broadcast, mpsc};

use crate::domain::{delivery::LaneKind, lane::LaneId, moment::Moment};

/// A lane that has deliveries due.
#[derive(Clone, Copy, Debug)]
pub struct DueHint {
    pub lane: LaneId,
    pub kind: LaneKind,
    /// When the earliest of them is due.
    pub due_at: Moment,
}

/// Something about an integration changed: its row, its health, its deliveries or attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    pub lane: LaneId,
    /// Its configuration changed, or it was enabled: a lane that stood still may go on.
    pub config: bool,
}

/// The daemon's own wake-ups.
#[derive(Debug)]
pub struct WakeUps {
    due: mpsc::UnboundedSender<Vec<DueHint>>,
    changes: broadcast::Sender<Change>,
    /// The changes of configuration among them, apart: who must not miss one is not drowned by the others.
    configs: broadcast::Sender<Change>,
    /// A probe waits.
    pub probes: Notify,
    /// Somebody is to be told of what changes, or a notice is due.
    pub notices: Notify,
    /// A sweep is due, or a job waits.
    pub tasks: Notify,
    /// Leads came in.
    pub leads: Notify,
}

impl WakeUps {
    /// Wake-ups, and the end at which dispatch listens for due deliveries.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Vec<DueHint>>) {
        // Without a bound, for a commit must not wait for dispatch: a message for each flush and command since its last
        // claim, and flushes wait for the same database.
        let (due, listener) = mpsc::unbounded_channel();
        let (changes, configs) = (broadcast::Sender::new(4096), broadcast::Sender::new(4096));
        (
            Self {
                due,
                changes,
                configs,
                probes: Notify::new(),
                notices: Notify::new(),
                tasks: Notify::new(),
                leads: Notify::new(),
            },
            listener,
        )
    }

    /// Tells dispatch that lanes have deliveries due. Nobody listens while dispatch stops, and that is fine.
    pub fn due(&self, hints: Vec<DueHint>) {
        if !hints.is_empty() && self.due.send(hints).is_err() {
            tracing::debug!("dispatch has stopped; the next daemon's scan finds these deliveries");
        }
    }

    /// Tells whoever watches.
    pub fn changed(&self, change: Change) {
        if change.config && self.configs.send(change).is_err() {
            tracing::debug!("dispatch has stopped; the next daemon reads the configuration anew");
        }
        if self.changes.send(change).is_err() {
            tracing::trace!("nobody watches");
        }
    }

    /// Listens to changes from now on. A listener that lags must read everything anew.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Listens to changes of configuration from now on.
    #[must_use]
    pub fn watch_configs(&self) -> broadcast::Receiver<Change> {
        self.configs.subscribe()
    }
}
