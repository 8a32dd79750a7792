//! A delivery: where it stands and why, and what happens to it after an attempt. The rows are changed by `store/queue` alone.

mod decision;
mod reason;
mod state;

pub use decision::{
    CRASHES_MAX, CRASHES_SUSPECT, DeliveryFacts, RETRY_AFTER_MAX, SweepPolicy, Transition, WAITS_FAILING,
    decide, gap,
};
pub use reason::{Reason, Skip, Unmet};
pub use state::{LaneKind, LeadState, State, Trigger};
