//! The fields of the canonical event `v1`: what templates and mappings may name.

/// A name and what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
}

/// What stands at a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Leaf(Leaf),
    /// A list.
    List,
    /// An object, whose fields have names of their own.
    Object,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    Text,
    Integer,
    Truth,
    /// Text: `2026-09-12`.
    Date,
    /// Text: a time with its offset.
    Time,
}

impl Shape {
    /// In words, as after "is".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leaf(Leaf::Text) => "text",
            Self::Leaf(Leaf::Integer) => "an integer",
            Self::Leaf(Leaf::Truth) => "true or false",
            Self::Leaf(Leaf::Date) => "a date",
            Self::Leaf(Leaf::Time) => "a time",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

const fn text(name: &'static str) -> Field {
    Field { name, shape: Shape::Leaf(Leaf::Text) }
}

const fn integer(name: &'static str) -> Field {
    Field { name, shape: Shape::Leaf(Leaf::Integer) }
}

const fn of(name: &'static str, leaf: Leaf) -> Field {
    Field { name, shape: Shape::Leaf(leaf) }
}

const fn object(name: &'static str) -> Field {
    Field { name, shape: Shape::Object }
}

/// Every canonical field.
pub const FIELDS: &[Field] = &[
    text("event"),
    text("version"),
    object("lead"),
    text("lead.uuid"),
    text("lead.name"),
    text("lead.email"),
    text("lead.phone"),
    text("lead.event_type"),
    of("lead.event_date", Leaf::Date),
    integer("lead.guest_count"),
    of("lead.gdpr_consent", Leaf::Truth),
    text("lead.source_url"),
    object("lead.utm"),
    text("lead.utm.source"),
    text("lead.utm.medium"),
    text("lead.utm.campaign"),
    text("lead.utm.term"),
    text("lead.utm.content"),
    object("lead.profile"),
    text("lead.profile.first_name"),
    text("lead.profile.last_name"),
    text("lead.profile.company"),
    text("lead.profile.website"),
    text("lead.profile.position"),
    text("lead.profile.twitter"),
    text("lead.profile.linkedin"),
    text("lead.profile.notes"),
    integer("lead.profile.score"),
    object("quote"),
    text("quote.uuid"),
    text("quote.proposal_url"),
    integer("quote.subtotal_pence"),
    integer("quote.rules_pence"),
    integer("quote.vat_pence"),
    integer("quote.total_pence"),
    text("quote.currency"),
    Field { name: "quote.items", shape: Shape::List },
    object("viewing"),
    of("viewing.starts_at", Leaf::Time),
    of("viewing.ends_at", Leaf::Time),
    object("location"),
    integer("location.id"),
    text("location.name"),
    object("company"),
    integer("company.id"),
    text("company.name"),
];

/// The canonical field of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// Whether one path is the other or leads to it.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead;

    /// The table of `docs/mapping.md`, a row for each field.
    fn table() -> String {
        let (of_v1, of_flat) = (lead::required_sample(), lead::bare_sample());
        let row = |field: &Field| {
            let presence = match (of_v1.at(field.name), of_flat.at(field.name)) {
                (_, Some(_)) => "always",
                (Some(_), None) => "required by `/v1/leads`",
                (None, None) => "optional",
            };
            format!("| `{}` | {} | {presence} |\n", field.name, field.shape.as_str())
        };
        format!("| Field | Is | There |\n|---|---|---|\n{}", FIELDS.iter().map(row).collect::<String>())
    }

    #[test]
    fn the_documents_list_every_field_with_its_kind() {
        let page = include_str!("../../../docs/mapping.md");
        assert!(page.ends_with(&table()), "docs/mapping.md must end with:\n{}", table());
    }

    #[test]
    fn kinds_are_those_of_the_sample() {
        let sample = lead::full_sample();
        for field in FIELDS {
            let value =
                sample.at(field.name).unwrap_or_else(|| panic!("{} is not in the sample", field.name));
            let fits = match field.shape {
                Shape::Leaf(Leaf::Text) => value.as_str().is_some(),
                Shape::Leaf(Leaf::Integer) => value.as_integer().is_some(),
                Shape::Leaf(Leaf::Truth) => matches!(value, crate::json::Json::Bool(_)),
                Shape::Leaf(Leaf::Date) => {
                    value.as_str().is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok())
                }
                Shape::Leaf(Leaf::Time) => {
                    value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
                }
                Shape::List => matches!(value, crate::json::Json::Array(_)),
                Shape::Object => matches!(value, crate::json::Json::Object(_)),
            };
            assert!(fits, "{} is {}, but {value}", field.name, field.shape.as_str());
        }
    }
}
