//! Why the daemon did not do what it was asked for.

/// Why the daemon did not do what it was asked for, with the line to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// It is away; the same request may do later.
    #[error("{0}")]
    Away(String),
    /// It does not let us in.
    #[error("{0}")]
    Denied(String),
    /// It does not know what we ask, or we do not know what it answers.
    #[error("{0}")]
    Incompatible(String),
    /// It understood and said no.
    #[error("{0}")]
    Refused(String),
}
