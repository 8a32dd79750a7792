//! Keeps what is refused, beside the way of the leads: nobody waits for it, and under a flood most of it is let go.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{intake_store::IntakeStore, problem::ProblemDetails, views::KeyMatch};
use crate::{
    domain::{
        ids::RefusalId,
        redact::{redact, redact_detail, redact_pointer},
    },
    store::company::refusal::NewRefusal,
};

/// The most refusals that wait to be kept; what comes beyond it would soon be pushed out anyway.
const QUEUE_CAP: usize = 256;
/// The most errors that are kept of a refusal.
const ERRORS_MAX: usize = 50;

/// Where refusals are handed in.
#[derive(Clone, Debug)]
pub(super) struct Refusals(mpsc::Sender<NewRefusal>);

impl Refusals {
    pub(super) fn new() -> (Self, mpsc::Receiver<NewRefusal>) {
        let (sender, queue) = mpsc::channel(QUEUE_CAP);
        (Self(sender), queue)
    }

    /// Keeps a refusal that is the sender's to put right.
    pub(super) fn keep(
        &self,
        matched: &KeyMatch,
        path: &'static str,
        problem: &ProblemDetails,
        body: Option<&[u8]>,
    ) {
        let Ok(room) = self.0.try_reserve() else {
            tracing::debug!("a refusal is not kept: too many come at once");
            return;
        };
        let errors = problem.errors().iter().take(ERRORS_MAX);
        room.send(NewRefusal {
            id: RefusalId::generate(),
            company: matched.view.id,
            key: matched.key_id(),
            path,
            status: i16::try_from(problem.status().as_u16()).unwrap_or_default(),
            detail: redact_detail(problem.detail()),
            errors: errors
                .map(|error| (redact_pointer(&error.pointer), redact_detail(&error.detail)))
                .collect(),
            body: body.map(redact),
        });
    }
}

/// Writes what was handed in; ends when every [`Refusals`] is gone.
pub(super) async fn write<S: IntakeStore>(store: Arc<S>, mut queue: mpsc::Receiver<NewRefusal>) {
    let mut taken = Vec::new();
    while queue.recv_many(&mut taken, QUEUE_CAP).await > 0 {
        if store.refused(&taken).await.is_err() {
            tracing::debug!(lost = taken.len(), "refusals could not be kept");
        }
        taken.clear();
    }
}
