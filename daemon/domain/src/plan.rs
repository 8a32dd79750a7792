//! What a company's plan allows: a number of enabled integrations, email not counted.

use std::fmt;

/// What a company pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Free,
    Starter,
    Pro,
    Multi,
}

/// The connector that plans do not count.
pub const UNCOUNTED: &str = "email";

impl Plan {
    /// Every plan, smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Starter, Self::Pro, Self::Multi];

    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starter => "starter",
            Self::Pro => "pro",
            Self::Multi => "multi",
        }
    }

    /// The plan of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.as_str() == word)
    }

    /// How many integrations may be enabled; none means as many as one likes.
    #[must_use]
    pub const fn limit(self) -> Option<usize> {
        match self {
            Self::Free => Some(0),
            Self::Starter => Some(1),
            Self::Pro | Self::Multi => None,
        }
    }

    /// The sentence that refuses one more integration beside those that are enabled, or none if it is allowed.
    #[must_use]
    pub fn refuses_one_more(self, enabled: &[String]) -> Option<String> {
        let limit = self.limit().filter(|limit| enabled.len() >= *limit)?;
        Some(match enabled {
            [] => format!("plan {self} allows {}", count(limit)),
            _ => format!("plan {self} allows {} and {}", count(limit), are_enabled(enabled)),
        })
    }

    /// The sentence that refuses a plan that allows fewer than are enabled, or none if they fit.
    #[must_use]
    pub fn refuses(self, enabled: &[String]) -> Option<String> {
        let limit = self.limit().filter(|limit| enabled.len() > *limit)?;
        Some(format!("plan {self} allows {} and {}", count(limit), are_enabled(enabled)))
    }
}

fn count(limit: usize) -> String {
    match limit {
        0 => "no enabled integration".to_owned(),
        1 => "1 enabled integration".to_owned(),
        more => format!("{more} enabled integrations"),
    }
}

fn are_enabled(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb} enabled", quoted.join(", "))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_refuses_what_goes_beyond_its_limit() {
        let crm = ["crm".to_owned()];
        let two = ["crm".to_owned(), "hook".to_owned()];
        let one_more = |plan: Plan, enabled: &[String]| plan.refuses_one_more(enabled);
        assert_eq!(one_more(Plan::Free, &[]).unwrap(), "plan free allows no enabled integration");
        assert_eq!(one_more(Plan::Starter, &[]), None);
        assert_eq!(
            one_more(Plan::Starter, &crm).unwrap(),
            "plan starter allows 1 enabled integration and \"crm\" is enabled"
        );
        assert_eq!(one_more(Plan::Pro, &two), None);
        assert_eq!(Plan::Starter.refuses(&crm), None);
        assert_eq!(
            Plan::Starter.refuses(&two).unwrap(),
            "plan starter allows 1 enabled integration and \"crm\", \"hook\" are enabled"
        );
        assert!(Plan::Free.refuses(&crm).is_some());
        for plan in Plan::ALL {
            assert_eq!(Plan::parse(plan.as_str()), Some(plan));
        }
    }
}
