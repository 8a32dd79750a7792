//! Pushes whose templates may take long are carried out beside the async workers, all others where they are.
//!
//! Most mappings and templates name values and no more: to hand those over would cost more than to render them. What an
//! expression costs grows with its length and with the event it is asked about; the product of both says where it goes.

use std::sync::Arc;

use futures::FutureExt as _;

use super::{
    attempt::{PushRequest, attempt, lease_ran_out},
    integration_cache::PreparedIntegration,
    pusher::Pusher,
};
use crate::{
    compute::{ComputeError, Unfinished},
    domain::outcome::{Failure, FailureClass},
    store::{delivery::vendor_id::Past, queue::finish::AttemptResult},
};

/// The most work that is done where it is, in bytes of expressions times bytes of the event: at worst some milliseconds,
/// and many times what a usual template asks for.
const WORK_MAX: usize = 256 * 1024;
/// No less than the events that templates are tried out with.
const SAMPLE_BYTES: usize = 4 * 1024;

/// Whether templates of this weight cost little for an event of so many bytes.
pub(super) fn is_light(weight: usize, bytes: usize) -> bool {
    weight.saturating_mul(bytes) <= WORK_MAX
}

/// Whether they cost little to compile, and to try out.
pub(super) fn is_light_to_prepare(weight: usize) -> bool {
    is_light(weight, SAMPLE_BYTES)
}

impl Pusher {
    /// Pushes once what nobody claimed: no lease runs out meanwhile.
    pub(super) async fn push_unclaimed(
        &self,
        ready: &Arc<PreparedIntegration>,
        request: PushRequest,
    ) -> AttemptResult {
        let result = self.push_once(ready, request, Past::default()).await;
        result.unwrap_or_else(|| AttemptResult::nothing(lease_ran_out()))
    }

    /// Pushes once. Templates that do not end in time cost this push, and nobody else anything. None if the lease ran out
    /// before anything was sent.
    pub(super) async fn push_once(
        &self,
        ready: &Arc<PreparedIntegration>,
        request: PushRequest,
        past: Past,
    ) -> Option<AttemptResult> {
        if is_light(ready.template_weight, request.body.len()) {
            return Box::pin(attempt(&self.context, ready, request, past, false)).await;
        }
        let (context, ready) = (Arc::clone(&self.context), Arc::clone(ready));
        let company = ready.integration.company;
        let push = async move { attempt(&context, &ready, request, past, true).await };
        match self.compute.drive(company, push.boxed()).await {
            Ok(result) => result,
            Err(undone) => Some(AttemptResult::nothing(unrendered(undone))),
        }
    }
}

/// What a push comes to whose templates have not been rendered.
pub(super) fn unrendered(Unfinished { error, has_begun }: Unfinished) -> Failure {
    let class = match error {
        ComputeError::Busy if has_begun => FailureClass::Unknown,
        ComputeError::Busy => FailureClass::Transient,
        ComputeError::Late | ComputeError::Panicked => FailureClass::Mapping,
    };
    let sent = if has_begun { "maybe delivered" } else { "nothing was sent" };
    Failure::new(class, format!("its templates could not be rendered: {error}; {sent}"))
}
