//! Why a condition is refused, and why one gives no answer for an event.

use super::compile::{MAX_NESTING, MAX_SIGNS, MAX_SOURCE};

/// Why a condition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    #[error("the condition is empty; write true to take every lead")]
    Empty,
    #[error("the condition is longer than {} bytes; make two flows of it", MAX_SOURCE)]
    TooLong,
    #[error("take out the NUL character")]
    Nul,
    #[error("the condition has more than {} operators; make two flows of it", MAX_SIGNS)]
    TooManyOperators,
    #[error("brackets nest deeper than {}; make two flows of it", MAX_NESTING)]
    TooDeep,
    /// The parser panicked, or refused it without a word.
    #[error("the condition cannot be read; write it in another way")]
    Unreadable,
    /// In the parser's words, with the place.
    #[error("{0}")]
    Syntax(String),
    /// All that is wrong with it, each with its place.
    #[error("{0}")]
    Wrong(String),
    /// It fails for every lead.
    #[error(transparent)]
    Never(Undecided),
}

/// Why a condition gives no answer for an event, in one line with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undecided(pub(super) String);

/// Why a value cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EvalError {
    #[error("the condition takes too many steps for this lead")]
    TooManySteps,
    #[error("{0} is no number")]
    NoNumber(String),
    #[error("a number is too large for a decimal")]
    TooLargeForDecimal,
    #[error("a number is too large for an integer of 64 bits")]
    TooLargeForInteger,
    #[error("the decimal is too large for an integer")]
    DecimalTooLarge,
    #[error("the text is no integer")]
    NoInteger,
    #[error("the text is no number")]
    TextIsNoNumber,
    #[error("the text is no time with an offset, such as 2026-06-04T14:00:00+01:00")]
    NoTime,
    #[error("no time zone {0:?}; write an offset such as +01:00, or UTC")]
    NoZone(String),
    #[error("{0} has no size")]
    NoSize(&'static str),
    #[error("too large")]
    TooLarge,
    #[error("{0} wants text, not {1}")]
    WantsText(&'static str, &'static str),
    #[error("{0} is asked of text, not of {1}")]
    OfText(&'static str, &'static str),
    #[error("this is asked of a time, not of {0}; write timestamp(…)")]
    OfTime(&'static str),
    #[error("a time zone is text, not {0}")]
    ZoneIsText(&'static str),
    #[error("{0} cannot be made {1}")]
    Conversion(&'static str, &'static str),
    #[error("`in` wants a list, not {0}")]
    WantsList(&'static str),
}
