//! The names that templates know: the canonical fields, and the aliases of the systems we replace.

use std::borrow::Cow;

use super::{Context, error::ExpressionError};
use crate::{
    fields::{self, FIELDS, Shape},
    json::Json,
    nearest::unknown,
};

/// Where a name's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameSource {
    /// A path in the event.
    Field(&'static str),
    /// What happened.
    EventType,
    /// The id under which it is pushed.
    EventId,
    /// The company's id as text.
    Workspace,
}

impl NameSource {
    /// Its value; none if absent or null.
    pub(super) fn read<'a>(&self, context: &Context<'a>) -> Option<Cow<'a, Json>> {
        match self {
            Self::Field(path) => context.event.at(path).filter(|value| !value.is_null()).map(Cow::Borrowed),
            Self::EventType => Some(Cow::Owned(Json::string(context.kind.as_str()))),
            Self::EventId => Some(Cow::Owned(Json::string(context.id))),
            Self::Workspace => {
                context.event.at("company.id").map(|id| Cow::Owned(Json::string(&id.to_string())))
            }
        }
    }
}

/// The source of a name, or what its user should write instead.
pub(super) fn resolve(name: &str) -> Result<NameSource, ExpressionError> {
    let field = |path: &str| fields::find(path).map(|field| NameSource::Field(field.name));
    let of_lead = |rest: &str| field(&format!("lead.{rest}"));
    let found = match name {
        "event" => return Err(ExpressionError::Event),
        "workspace" => return Err(ExpressionError::Workspace),
        "event.type" => Some(NameSource::EventType),
        "event.id" => Some(NameSource::EventId),
        "workspace.uuid" => Some(NameSource::Workspace),
        "contact" | "contact.attributes" => Some(NameSource::Field("lead")),
        "contact._id" => Some(NameSource::Field("lead.uuid")),
        _ => match name.strip_prefix("contact.") {
            Some(rest) => of_lead(rest.strip_prefix("attributes.").unwrap_or(rest)),
            None => field(name),
        },
    };
    found.ok_or_else(|| ExpressionError::UnknownName(refuse(name)))
}

fn refuse(name: &str) -> String {
    let aliases = FIELDS
        .iter()
        .filter_map(|field| field.name.strip_prefix("lead."))
        .flat_map(|rest| [format!("contact.{rest}"), format!("contact.attributes.{rest}")]);
    let words = ["event.type", "event.id", "workspace.uuid", "contact._id"].map(String::from);
    let canonical = FIELDS.iter().map(|field| field.name).filter(|field| *field != "event").map(String::from);
    let known: Vec<String> = canonical.chain(words).chain(aliases).collect();
    let reported = unknown("variable", name, known.iter().map(String::as_str));
    match name.rsplit_once('.') {
        Some((object, key)) if !reported.contains("did you mean") && is_object(object) => {
            format!("{reported}; a field that your sender adds is written {object}[\"{key}\"]")
        }
        _ => reported,
    }
}

fn is_object(name: &str) -> bool {
    matches!(name, "contact" | "contact.attributes")
        || fields::find(name).is_some_and(|field| field.shape == Shape::Object)
}
