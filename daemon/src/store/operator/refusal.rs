//! Refusals for reasons that programs know: each says which, and what it is about, beside its sentence.

use std::fmt::Display;

use super::command::Refusal;
use crate::domain::{
    cause::CauseId,
    ids::{CompanyId, NotUlid},
    why::Explanation,
};

/// Why a command is refused. What to do about it is the client's to say: it knows its own commands and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// What a request names is not there.
    Unknown,
    /// What a request names by its name is there several times.
    Ambiguous,
    /// What stands where an id belongs is none.
    NotAnId,
    /// Nothing is dead or waits for a retry of a cause.
    NothingFails,
    /// No lead has an e-mail address.
    NobodyHas,
    /// A time that must be to come is over.
    TimeIsOver,
    /// Nothing says which deliveries are meant, and that would be all of every company.
    NoScope,
    /// Held deliveries are released, not retried.
    DeliveryHeld,
    /// Skipped deliveries are not pushed any more.
    DeliverySkipped,
    /// Pending deliveries are pushed by themselves.
    DeliveryPending,
    /// A pending delivery goes no further until somebody acts.
    DeliveryWaits,
    /// The delivery's state allows no such thing.
    DeliveryState,
    /// A skip that can be undone no more.
    SkipFinal,
    StagedSecret,
    NoStagedSecret,
    /// The plan allows no further integration.
    PlanFull,
    /// More integrations are enabled than the new plan allows.
    PlanTooSmall,
    /// What integrations are configured with breaks under the new brand.
    BrandClash,
    /// The connector has nothing to compare a mapping with.
    ChecksNothing,
    /// A job waits for somebody to act.
    JobStandsStill,
}

/// Whether a request is wrong in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Request,
    Missing,
    /// The request is right, but not in this state of things.
    State,
}

impl RefusalReason {
    /// As programs read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Ambiguous => "AMBIGUOUS_NAME",
            Self::NotAnId => "NOT_AN_ID",
            Self::NothingFails => "NOTHING_FAILS",
            Self::NobodyHas => "NOBODY_HAS",
            Self::TimeIsOver => "TIME_IS_OVER",
            Self::NoScope => "NO_SCOPE",
            Self::DeliveryHeld => "DELIVERY_HELD",
            Self::DeliverySkipped => "DELIVERY_SKIPPED",
            Self::DeliveryPending => "DELIVERY_PENDING",
            Self::DeliveryWaits => "DELIVERY_WAITS",
            Self::DeliveryState => "DELIVERY_STATE",
            Self::SkipFinal => "SKIP_FINAL",
            Self::StagedSecret => "STAGED_SECRET",
            Self::NoStagedSecret => "NO_STAGED_SECRET",
            Self::PlanFull => "PLAN_FULL",
            Self::PlanTooSmall => "PLAN_TOO_SMALL",
            Self::BrandClash => "BRAND_CLASH",
            Self::ChecksNothing => "CHECKS_NOTHING",
            Self::JobStandsStill => "JOB_STANDS_STILL",
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::Unknown | Self::NothingFails | Self::NobodyHas => Fault::Missing,
            Self::Ambiguous | Self::NotAnId | Self::NoScope | Self::ChecksNothing | Self::TimeIsOver => {
                Fault::Request
            }
            _ => Fault::State,
        }
    }
}

/// A refusal for a known reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Known {
    pub reason: RefusalReason,
    pub message: String,
    /// What it is about: `kind`, `delivery`, `integration` and the like, with their ids.
    pub about: Vec<(&'static str, String)>,
}

impl Known {
    /// A refusal with its sentence.
    pub fn new(reason: RefusalReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), about: Vec::new() }
    }

    /// Adds what it is about.
    #[must_use]
    pub fn about(mut self, what: &'static str, id: impl Display) -> Self {
        self.about.push((what, id.to_string()));
        self
    }

    /// Adds what somebody can do about what waits: the first step, if there is one.
    #[must_use]
    pub fn with_next(self, why: &Explanation) -> Self {
        match why.next.first() {
            Some(step) => self.about("next_act", step.act.as_str()).about("next_id", &step.id),
            None => self,
        }
    }
}

impl From<Known> for Refusal {
    fn from(known: Known) -> Self {
        Self::Known(Box::new(known))
    }
}

impl Refusal {
    /// What a request names is not there.
    #[must_use]
    pub fn unknown(kind: &str, reference: impl Display) -> Self {
        Known::new(RefusalReason::Unknown, format!("no {kind} {reference}")).about("kind", kind).into()
    }

    /// What a request gives as the id of something is none.
    #[must_use]
    pub fn not_an_id(kind: &str, text: &str, error: &NotUlid) -> Self {
        Known::new(RefusalReason::NotAnId, format!("{kind} {text:?} is {error}")).about("kind", kind).into()
    }

    /// Nothing fails of a cause.
    pub(in crate::store) fn nothing_fails(cause: CauseId) -> Self {
        Known::new(RefusalReason::NothingFails, format!("nothing fails of cause {cause} now")).into()
    }

    /// The only one that a reference found; refused where it found none, or where several have the name.
    pub(in crate::store) fn only_one<Id: Copy + Display>(
        (kind, kinds): (&str, &str),
        reference: &str,
        found: &[(CompanyId, Id)],
    ) -> Result<(CompanyId, Id), Self> {
        match found {
            [] => Err(Self::unknown(kind, format_args!("{reference:?}"))),
            [one] => Ok(*one),
            several => {
                let ids: Vec<_> =
                    several.iter().map(|(company, id)| format!("{id} (company {})", company.0)).collect();
                Err(Self::ambiguous(kinds, reference, &ids))
            }
        }
    }

    /// What a request names by its name is there several times.
    pub(in crate::store) fn ambiguous(kinds: &str, name: &str, ids: &[String]) -> Self {
        let message = format!("several {kinds} are named {name:?}: use one of the ids {}", ids.join(", "));
        Known::new(RefusalReason::Ambiguous, message).into()
    }
}
