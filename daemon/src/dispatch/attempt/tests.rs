//! What an attempt holds while it runs, and how large it is.

use super::*;
use crate::{dispatch::pusher::Pusher, store::queue::claim::Claimed};

/// How large the future is that a function returns.
fn future_size<A, F: Future>(_: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_future_of_a_push_is_small() {
    type Inputs = (&'static Arc<PushContext>, &'static Arc<PreparedIntegration>, PushRequest);
    let own = future_size(|(context, ready, request): Inputs| {
        attempt(context, ready, request, Past::default(), false)
    });
    let whole = future_size(|(pusher, item): (&'static Pusher, Claimed)| pusher.push(item));
    // Each push copies it several times before it runs: what is rare or large is boxed.
    assert!(own <= 1536 && whole <= 6144, "an attempt takes {own} bytes, a push {whole}");
}
