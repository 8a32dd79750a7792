//! What the daemon reported, in the console's own types: unknown words are kept apart from known ones here, once.

pub mod attempt;
pub mod cause;
pub mod change;
pub mod command;
pub mod company;
pub mod delivery;
pub mod elsewhere;
pub mod failure;
pub mod integration;
pub mod lead;
pub mod query;
pub mod session;
pub mod system;
pub mod undo;

pub use attempt::{Attempt, AttemptState, Call, Detail};
pub use cause::Cause;
pub use change::{BulkTarget, Done, Estimate, Held, Mutation, Secret, SecretEntry};
pub use company::{Company, CompanyPage, Flow};
pub use delivery::{Delivery, DeliveryState};
pub use elsewhere::Elsewhere;
pub use failure::CallFailure;
pub use integration::{Badge, Integration, Wait};
pub use lead::{Lead, LeadPage, Step};
pub use query::{Answer, Query};
pub use session::{Remembered, SavedSession};
pub use system::{Activity, AuditEntry, Job, System};

use std::collections::BTreeSet;

use jiff::Timestamp;

/// Who we are to the daemon, and what that allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// As audits name us.
    pub operator: String,
    /// viewer | operator | admin
    pub role: String,
    /// The only company whose things we reach; empty for all.
    pub company: String,
    /// People are masked for us.
    pub masked: bool,
    /// The methods that we may call.
    pub may: BTreeSet<String>,
}

/// The state of the connection to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conn {
    Connecting,
    Live,
    Lost {
        error: String,
        retry_at: Timestamp,
        attempt: u32,
        /// When the daemon was last heard of by this clock, which goes on while the machine sleeps.
        heard_at: Option<Timestamp>,
    },
    /// The daemon answers, but not to what this console asks.
    Incompatible(String),
    /// The daemon does not let us in.
    Denied(String),
}
