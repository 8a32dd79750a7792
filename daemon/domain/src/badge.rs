//! The badge of an integration: its health in one word.

use super::outcome::FailureClass;

/// Health in one word, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badge {
    Disabled,
    /// The last attempt was refused for our login.
    Credentials,
    /// A delivery died, and nothing was delivered since.
    Failing,
    Retrying,
    Ok,
}

impl Badge {
    /// The badge of these signs: the worst that applies.
    #[must_use]
    pub fn of(enabled: bool, last_class: Option<FailureClass>, failing: bool, retry_waits: bool) -> Self {
        match last_class {
            _ if !enabled => Self::Disabled,
            Some(FailureClass::Credentials) => Self::Credentials,
            _ if failing => Self::Failing,
            Some(_) => Self::Retrying,
            None if retry_waits => Self::Retrying,
            None => Self::Ok,
        }
    }

    /// Every badge, worst first.
    pub const ALL: [Self; 5] = [Self::Disabled, Self::Credentials, Self::Failing, Self::Retrying, Self::Ok];

    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Credentials => "credentials",
            Self::Failing => "failing",
            Self::Retrying => "retrying",
            Self::Ok => "ok",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_sign_gives_the_badge() {
        for (enabled, last_class, failing, retry_waits, badge) in [
            (false, Some(FailureClass::Credentials), true, true, "disabled"),
            (true, Some(FailureClass::Credentials), true, true, "credentials"),
            (true, Some(FailureClass::Transient), true, true, "failing"),
            (true, None, true, false, "failing"),
            (true, Some(FailureClass::Transient), false, false, "retrying"),
            (true, None, false, true, "retrying"),
            (true, None, false, false, "ok"),
        ] {
            assert_eq!(Badge::of(enabled, last_class, failing, retry_waits).as_str(), badge);
        }
    }
}
