//! The connection to the daemon as an actor: it owns dialing, streams and repeats, and never waits for the screen.

mod actor;
mod ask;
mod backoff;
mod change;
mod convert;
mod elsewhere;
pub mod grpc;
mod save;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use actor::Actor;
pub use elsewhere::{Lookout, Other};

use super::data::{Answer, Attempt, CallFailure, Done, Mutation, Query};
use super::msg::{Follow, Msg};

/// What a watch yields: how far we are, and what is new; or, with neither, that the daemon runs.
pub type Watched = Result<Option<(String, Msg)>, CallFailure>;

/// A call that is under way.
pub type PendingCall<T> = BoxFuture<'static, Result<T, CallFailure>>;

/// What is followed, as it comes.
pub type Followed = BoxStream<'static, Result<Fresh, CallFailure>>;

/// What came.
#[derive(Clone, Debug)]
pub enum Fresh {
    Attempts(Vec<Attempt>),
    /// Something happened; what it was is asked for.
    Activity,
}

/// Makes connections.
pub trait Dial: Send + Sync + 'static {
    /// Connects once.
    fn dial(&self) -> PendingCall<Arc<dyn DaemonSession>>;
}

/// A connection. Its calls have deadlines of their own.
pub trait DaemonSession: Send + Sync + 'static {
    /// Integrations from the cursor on: a snapshot if the daemon does not know it.
    fn watch(&self, cursor: String) -> PendingCall<BoxStream<'static, Watched>>;

    /// The attempts of an integration, the last 50 first, then what is new; or that something happened.
    fn follow(&self, what: Follow) -> PendingCall<Followed>;

    /// A question, which changes nothing.
    fn ask(&self, query: Query) -> PendingCall<Answer>;

    /// A change. The same id may come again: the daemon does it once.
    fn mutate(&self, request_id: String, mutation: Mutation) -> PendingCall<Done>;
}
