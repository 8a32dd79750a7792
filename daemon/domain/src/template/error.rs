//! Why a template is refused, and why one renders nothing for an event.

use super::{MAX_OUTPUT, MAX_SOURCE, one_line, scan};
use crate::json::JsonError;

/// Why a template is refused; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a template may have {max} KiB; this one has {0} bytes", max = MAX_SOURCE / 1024)]
    TooLong(usize),
    /// With the beginning of what is open.
    #[error("\"{{{{ {}\" has no closing }}}}", one_line(.0))]
    Unclosed(String),
    #[error("{{{{- and -}}}} are not needed: white space is never added")]
    Trimming,
    #[error("{{{{ }}}} is empty; name a variable, as {{{{ lead.email }}}}")]
    Empty,
    /// `{%` or `{#`.
    #[error("{0} is not available; templates take {{{{ expressions }}}} only")]
    Statement(&'static str),
    /// A template may not decide which members an object has.
    #[error("a placeholder may not be in the key of a JSON object")]
    Key,
    #[error("{}", one_line(&.0.to_string()))]
    NotJson(JsonError),
    #[error("a header takes printable ASCII only")]
    NotAHeader,
    #[error("{{{{ {source_text} }}}}: {reason}")]
    Placeholder { source_text: String, reason: ExpressionError },
    #[error(transparent)]
    Unrenderable(RenderError),
    #[error("{0} for a lead without optional fields; add | default(…)")]
    WithoutOptionalFields(RenderError),
}

impl From<TemplateError> for String {
    fn from(error: TemplateError) -> Self {
        error.to_string()
    }
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("an expression may have {max} bytes; this one has {0}", max = scan::MAX_EXPRESSION)]
    TooLong(usize),
    #[error("* is not available in templates")]
    Multiplication,
    #[error("more than {} of ~ and + in one expression", scan::MAX_JOINS)]
    Joins,
    #[error("{0}")]
    UnknownFilter(String),
    #[error("write event.type or event.id")]
    Event,
    #[error("write workspace.uuid")]
    Workspace,
    #[error("{0}")]
    UnknownName(String),
    /// In the engine's words.
    #[error("{}", one_line(.0))]
    Syntax(String),
}

/// Why a template could not be rendered for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{{{{ {placeholder} }}}}: {reason}")]
pub struct RenderError {
    pub(super) placeholder: String,
    pub(super) reason: PlaceholderError,
}

/// Why a placeholder comes to nothing that can stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlaceholderError {
    #[error("the text gets longer than {} KiB", MAX_OUTPUT / 1024)]
    TooLong,
    #[error("the value is too large")]
    TooLarge,
    #[error("the number is not finite")]
    NotFinite,
    /// A kind of value that no JSON has.
    #[error("a {0} cannot be written")]
    Unwritable(String),
    /// In the words of the engine, or of one of its filters.
    #[error("{}", one_line(.0))]
    Evaluation(String),
}
