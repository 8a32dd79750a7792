//! Which of an integration's signing secrets sign what: one, two during a rotation, never more.

use super::{
    integration::{EventKind, SigningSecret},
    moment::Moment,
};

/// Where an integration's signing secrets stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    None,
    /// The next secret goes along until cut over.
    Staged,
    /// The one before goes along until its grace ends.
    Grace,
}

impl Rotation {
    /// The word that the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Staged => "staged",
            Self::Grace => "grace",
        }
    }

    /// Where the secrets stand that are staged or in their grace; there are never both.
    #[must_use]
    pub const fn of(is_staged: bool, is_in_grace: bool) -> Self {
        match (is_staged, is_in_grace) {
            (true, _) => Self::Staged,
            (false, true) => Self::Grace,
            (false, false) => Self::None,
        }
    }
}

/// The secrets that sign a push.
#[derive(Clone, Debug)]
pub struct Signers<'a> {
    /// Signs the simple header; its version is the one that the attempt records.
    pub first: &'a SigningSecret,
    /// Sign `webhook-signature`, newest first; the first is among them.
    pub all: Vec<&'a SigningSecret>,
}

/// Who of these secrets, newest first, signs a push at a time; none if there is no secret.
///
/// A test while a secret is staged is signed by that one alone: it shows whether the receiver knows it already.
#[must_use]
pub fn signers(secrets: &[SigningSecret], event: EventKind, now: Moment) -> Option<Signers<'_>> {
    let all: Vec<_> = secrets.iter().filter(|secret| secret.expires_at.is_none_or(|at| at > now)).collect();
    if event == EventKind::Test
        && let Some(staged) = all.iter().copied().find(|secret| secret.staged)
    {
        return Some(Signers { first: staged, all: vec![staged] });
    }
    let first = all.iter().copied().find(|secret| !secret.staged)?;
    Some(Signers { first, all })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(version: i32, staged: bool, expires_at: Option<i64>) -> SigningSecret {
        let expires_at = expires_at.map(Moment::from_seconds);
        SigningSecret { version, secret: "x".into(), expires_at, staged }
    }

    #[test]
    fn who_signs() {
        let alone = [secret(1, false, None)];
        let staged = [secret(2, true, None), secret(1, false, None)];
        let grace = [secret(2, false, None), secret(1, false, Some(100))];
        for (secrets, event, now, first, all) in [
            (&alone[..], EventKind::Created, 50, 1, vec![1]),
            (&alone, EventKind::Test, 50, 1, vec![1]),
            (&staged, EventKind::Created, 50, 1, vec![2, 1]),
            (&staged, EventKind::Updated, 50, 1, vec![2, 1]),
            (&staged, EventKind::Test, 50, 2, vec![2]),
            (&grace, EventKind::Created, 99, 2, vec![2, 1]),
            (&grace, EventKind::Test, 99, 2, vec![2, 1]),
            (&grace, EventKind::Created, 100, 2, vec![2]),
        ] {
            let signers = signers(secrets, event, Moment::from_seconds(now)).unwrap();
            let versions: Vec<_> = signers.all.iter().map(|secret| secret.version).collect();
            assert_eq!((signers.first.version, versions), (first, all), "{event:?} at {now}");
        }
        assert!(signers(&[], EventKind::Created, Moment::EPOCH).is_none());
        assert!(signers(&[secret(1, false, Some(5))], EventKind::Created, Moment::from_seconds(5)).is_none());
    }

    #[test]
    fn a_rotation_has_one_name() {
        for (is_staged, is_in_grace, word) in
            [(false, false, "none"), (true, false, "staged"), (false, true, "grace")]
        {
            assert_eq!(Rotation::of(is_staged, is_in_grace).as_str(), word);
        }
    }
}
