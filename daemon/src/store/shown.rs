//! Words of rows as lists show them: one that only a newer daemon knows is shown as it is, and keeps nothing else from being
//! shown.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::domain::delivery::State;

/// A word that is shown. What decides about a row reads its word by `known`, which refuses what it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<T> {
    word: String,
    known: Option<T>,
}

impl<T: Copy> Shown<T> {
    /// Reads a word.
    #[must_use]
    pub fn read(word: &str, parse: impl FnOnce(&str) -> Option<T>) -> Self {
        Self { known: parse(word), word: word.to_owned() }
    }

    /// What it means; none if this daemon does not know that.
    #[must_use]
    pub const fn known(&self) -> Option<T> {
        self.known
    }
}

impl From<State> for Shown<State> {
    fn from(state: State) -> Self {
        Self { word: state.as_str().to_owned(), known: Some(state) }
    }
}

impl<T> Shown<T> {
    /// The word, whether it is known or not.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.word
    }
}

impl<T: PartialEq> PartialEq<T> for Shown<T> {
    fn eq(&self, other: &T) -> bool {
        self.known.as_ref() == Some(other)
    }
}

impl<T> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word)
    }
}

impl<T> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_shown_whether_it_is_known_or_not() {
        let dead = Shown::read("dead", State::parse);
        let odd = Shown::read("embargoed", State::parse);
        assert!(dead == State::Dead && odd != State::Dead);
        assert_eq!((dead.known(), odd.known()), (Some(State::Dead), None));
        assert_eq!(serde_json::to_string(&[&dead, &odd]).unwrap(), r#"["dead","embargoed"]"#);
        assert_eq!(odd.to_string(), "embargoed");
        assert_eq!(Shown::from(State::Dead), dead);
    }
}
