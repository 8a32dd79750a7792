//! Which field a value goes to: by its name, or by what its column is called.

use super::OwnColumn;
use crate::{
    fields::{self, FIELDS, Shape, covers},
    nearest::nearest_within,
};

/// Where a column that is called `email` or `first_name` may stand.
const PLACES: [&str; 3] = ["", "lead.", "lead.profile."];
/// Where a sender's own fields may stand.
const OWN_PLACES: [&str; 4] = ["lead.", "quote.", "viewing.", "location."];
/// A name that is so near to a canonical one is a slip.
const SLIP: usize = 2;

/// Why no value can be put there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FieldError {
    #[error("{0} cannot be imported; name a field in it, as lead.email")]
    Whole(String),
    #[error("{name} cannot be: {field} is {is}")]
    Within { name: String, field: &'static str, is: &'static str },
    #[error("unknown field {name}; did you mean {meant}?")]
    Slip { name: String, meant: &'static str },
    #[error("unknown field {0}; name a canonical one, or one of your own as lead.budget")]
    Unknown(String),
    #[error("must be the name of a field, or null to leave it out")]
    NoName,
}

/// A field that a value can be put into: a canonical one, or one of the sender's own.
pub(super) fn find(name: &str) -> Result<String, FieldError> {
    match fields::find(name) {
        Some(field)
            if matches!(field.shape, Shape::Leaf(_)) && !matches!(field.name, "event" | "version") =>
        {
            return Ok(name.to_owned());
        }
        Some(_) => return Err(FieldError::Whole(name.to_owned())),
        None => {}
    }
    let is_path =
        OWN_PLACES.iter().any(|place| name.starts_with(place)) && name.split('.').all(|key| !key.is_empty());
    let within =
        FIELDS.iter().find(|field| !matches!(field.shape, Shape::Object) && covers(field.name, name));
    // What stands within a text is no slip of the pen.
    if let Some(field) = within {
        return Err(FieldError::Within {
            name: name.to_owned(),
            field: field.name,
            is: field.shape.as_str(),
        });
    }
    match canonical_near(name) {
        Some(meant) => Err(FieldError::Slip { name: name.to_owned(), meant }),
        None if is_path => Ok(name.to_owned()),
        None => Err(FieldError::Unknown(name.to_owned())),
    }
}

pub(super) fn canonical_near(name: &str) -> Option<&'static str> {
    nearest_within(name, SLIP, FIELDS.iter().map(|field| field.name))
}

/// The field that a column is called like, whatever its case and its spaces.
pub(super) fn field_called(column: &str) -> Option<&'static str> {
    let name = column.trim().to_lowercase().replace([' ', '-'], "_").replace("e_mail", "email");
    let names = PLACES.iter().map(|place| format!("{place}{name}"));
    let leaf = |name: String| fields::find(&name).filter(|field| matches!(field.shape, Shape::Leaf(_)));
    let found =
        names.filter_map(leaf).map(|field| field.name).find(|name| !matches!(*name, "event" | "version"));
    // `company` alone is the venue's to know, not the file's: a lead's employer is `lead.profile.company`.
    found.filter(|field| !field.starts_with("company."))
}

/// The field of the sender's own that a column becomes: `Wedding budget` is `lead.wedding_budget`.
pub(super) fn own_field(column: &str) -> Option<OwnColumn> {
    let name = column.trim();
    let field = format!("lead.{}", slug(name.strip_prefix("lead.").unwrap_or(name)));
    let is_free = field != "lead." && fields::find(&field).is_none();
    is_free.then(|| OwnColumn { column: column.to_owned(), meant: canonical_near(&field), field })
}

/// A name as templates can write it.
pub(super) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}
