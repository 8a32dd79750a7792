//! The filter language: words that must occur, `key:word` for one column, `!` in front to turn it round.

use super::data::{Attempt, Integration};
use super::input::Input;

/// A filter that is typed or in force.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub input: Input,
    /// True while keys go into the input.
    pub editing: bool,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.input.text().trim().is_empty()
    }

    /// Whether the integration passes.
    pub fn passes(&self, it: &Integration) -> bool {
        self.all(|key, word| match key {
            None => [&it.name, &it.connector, &it.company, &it.last_error].iter().any(|t| contains(t, word)),
            Some("badge") => contains(it.badge.word(), word),
            Some("name") => contains(&it.name, word),
            Some("company") => contains(&it.company, word),
            Some("connector") => contains(&it.connector, word),
            Some("err") => contains(&it.last_error, word),
            Some(_) => false,
        })
    }

    /// Whether the attempt passes.
    pub fn passes_attempt(&self, it: &Attempt) -> bool {
        self.all(|key, word| match key {
            None => {
                [&it.lead, &it.class, &it.error, &it.trigger, &it.delivery].iter().any(|t| contains(t, word))
                    || contains(it.state.word(), word)
                    || code(it.status, word)
            }
            Some("code") => code(it.status, word),
            Some("state") => contains(it.state.word(), word),
            Some("class") => contains(&it.class, word),
            Some("lead") => contains(&it.lead, word),
            Some("err") => contains(&it.error, word),
            Some("trigger") => contains(&it.trigger, word),
            Some(_) => false,
        })
    }

    fn all(&self, matches: impl Fn(Option<&str>, &str) -> bool) -> bool {
        self.input.text().split_whitespace().all(|term| {
            let (negated, term) = match term.strip_prefix('!') {
                Some("") => return true,
                Some(rest) => (true, rest),
                None => (false, term),
            };
            let hit = match term.split_once(':') {
                Some((key, word)) if KEYS.contains(&key) => word.is_empty() || matches(Some(key), word),
                _ => matches(None, term),
            };
            hit != negated
        })
    }
}

const KEYS: [&str; 10] =
    ["badge", "name", "company", "connector", "err", "code", "state", "class", "lead", "trigger"];

fn contains(text: &str, word: &str) -> bool {
    text.to_lowercase().contains(&word.to_lowercase())
}

fn code(status: Option<u32>, word: &str) -> bool {
    let Some(status) = status.map(|s| s.to_string()) else { return false };
    let word = word.trim_end_matches(['x', 'X']);
    !word.is_empty() && status.starts_with(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn terms_are_joined_by_and() {
        let cases = [
            ("", true),
            ("hub", true),
            ("HUB", true),
            ("!hub", false),
            ("badge:failing", true),
            ("badge:ok", false),
            ("!badge:ok hub", true),
            ("badge:", true),
            ("!", true),
            ("http://x", false),
            ("code:5xx", false),
            ("err:expired", true),
            ("connector:hubspot", true),
            ("connector:webhook", false),
            ("connector:hubspot badge:failing", true),
        ];
        for (text, passes) in cases {
            let filter = Filter { input: Input::with(text), editing: false };
            assert_eq!(filter.passes(&fixtures::hubspot()), passes, "{text}");
        }
    }

    #[test]
    fn a_code_may_name_its_hundred() {
        let attempt = fixtures::failed("A1");
        for (text, passes) in [("code:5xx", true), ("code:50", true), ("code:4xx", false), ("503", true)] {
            let filter = Filter { input: Input::with(text), editing: false };
            assert_eq!(filter.passes_attempt(&attempt), passes, "{text}");
        }
    }
}
