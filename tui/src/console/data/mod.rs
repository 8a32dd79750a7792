//! What the daemon reported, in the console's own types: unknown words are kept apart from known ones here, once.

pub mod attempt;
pub mod cause;
pub mod change;
pub mod company;
pub mod delivery;
pub mod integration;
pub mod lead;
pub mod query;
pub mod system;

pub use attempt::{Attempt, AttemptState, Call, Detail};
pub use cause::Cause;
pub use change::{Done, Entry, Estimate, Held, Mutation, Secret, Target};
pub use company::{Company, CompanyPage, Flow};
pub use delivery::{Delivery, DeliveryState};
pub use integration::{Badge, Integration};
pub use lead::{Lead, LeadPage, Step};
pub use query::{Answer, Query};
pub use system::{Act, Activity, Job, System};

use jiff::Timestamp;

/// The state of the connection to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conn {
    Connecting,
    Live,
    Lost {
        error: String,
        retry_at: Timestamp,
        attempt: u32,
    },
    /// The daemon answers, but not to what this console asks.
    Incompatible(String),
    /// The daemon does not let us in.
    Denied(String),
}
