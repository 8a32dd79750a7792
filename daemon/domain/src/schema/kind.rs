//! Of which kind the canonical fields are, to be compared with a vendor's own fields.

use std::fmt;

use jiff::{civil::Date, fmt::temporal::Pieces};

use crate::{
    fields::{self, Leaf, Shape},
    json::Json,
    mapping::{As, Rule},
};

/// What `lead.event_type` may be.
pub const EVENT_TYPES: [&str; 5] = ["wedding", "corporate", "private_dining", "birthday", "other"];

/// What a canonical field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Truth,
    Date,
    Time,
    /// An object or a list.
    Whole,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Date => "a date",
            Self::Time => "a date with a time",
            Self::Whole => "an object or a list",
        })
    }
}

/// The kind of what a rule brings, where that is known: a template may make anything, and a sender's own field be anything.
#[must_use]
pub fn kind_brought(rule: &Rule) -> Option<Kind> {
    match rule.kind() {
        Some(As::Text) => Some(Kind::Text),
        Some(As::Integer | As::Number) => Some(Kind::Number),
        Some(As::Boolean) => Some(Kind::Truth),
        Some(As::Date) => Some(Kind::Date),
        None if rule.is_computed() || fields::find(&rule.field).is_none() => None,
        None => Some(kind_of(&rule.field)),
    }
}

/// The kind of a value that is the same for every lead; none where it is of no kind that leads have.
pub(super) fn kind_of_value(value: &Json) -> Option<Kind> {
    let text = value.as_str();
    match (value, text.as_deref()) {
        (Json::Number(_), _) => Some(Kind::Number),
        (Json::Bool(_), _) => Some(Kind::Truth),
        (_, Some(text)) if text.len() == 10 && text.parse::<Date>().is_ok() => Some(Kind::Date),
        (_, Some(text)) if Pieces::parse(text).is_ok_and(|pieces| pieces.time().is_some()) => {
            Some(Kind::Time)
        }
        (_, Some(_)) => Some(Kind::Text),
        _ => None,
    }
}

/// The kind of a canonical field.
pub(super) fn kind_of(field: &str) -> Kind {
    match fields::find(field).map(|field| field.shape) {
        Some(Shape::Object | Shape::List) => Kind::Whole,
        Some(Shape::Leaf(Leaf::Integer)) => Kind::Number,
        Some(Shape::Leaf(Leaf::Truth)) => Kind::Truth,
        Some(Shape::Leaf(Leaf::Date)) => Kind::Date,
        Some(Shape::Leaf(Leaf::Time)) => Kind::Time,
        Some(Shape::Leaf(Leaf::Text)) | None => Kind::Text,
    }
}
