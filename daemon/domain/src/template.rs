//! Templates: text with `{{ expressions }}` over the canonical event, escaped for the place where they stand.
//!
//! Only expressions, and few filters: statements could ask for gigabytes, and an abort cannot be caught. Names are
//! those of the canonical event; a field that a sender adds is written `lead["budget"]`.

mod engine;
mod error;
mod names;
mod scan;

use std::{borrow::Cow, cell::OnceCell};

use minijinja::{Expression, Value};
use serde_json::Value as Config;

use super::{
    integration::EventKind,
    json::{Json, escape},
    lead,
};
use engine::{evaluate, json_of, value_of};
use error::{ExpressionError, PlaceholderError, TemplateError as Error};
pub use error::{RenderError, TemplateError};
use names::{NameSource, resolve};
use scan::Piece;

/// The longest template, in bytes.
pub const MAX_SOURCE: usize = 4 * 1024;
/// The longest text that a template may become, in bytes.
pub const MAX_OUTPUT: usize = 256 * 1024;

/// Where a template stands, which says how its values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Percent-encoded, so that no value adds a segment or a query.
    PathSegment,
    /// Percent-encoded, so that no value adds a pair.
    QueryValue,
    /// What is no printable ASCII is percent-encoded.
    Header,
    /// Escaped inside quotes, a JSON literal outside.
    JsonBody,
    /// Percent-encoded, so that no value adds a pair to a form.
    FormBody,
    /// Escaped, so that no value adds an element or an attribute.
    XmlBody,
    /// As it is.
    Text,
}

/// A template that is ready to be rendered.
#[derive(Debug)]
pub struct Template {
    parts: Vec<TemplatePart>,
    place: Place,
}

#[derive(Debug)]
enum TemplatePart {
    Literal(String),
    Placeholder {
        /// As written, for messages.
        source: String,
        formula: Formula,
        /// Whether it stands inside the quotes of a JSON string.
        quoted: bool,
    },
}

#[derive(Debug)]
enum Formula {
    /// A name alone: its value keeps its text.
    Name(NameSource),
    Expression(Expression<'static, 'static>),
}

/// What templates are rendered with: an event, and the push that brings it.
#[derive(Debug)]
pub struct Context<'a> {
    event: &'a Json,
    kind: EventKind,
    id: &'a str,
    value: OnceCell<Value>,
}

impl<'a> Context<'a> {
    /// The canonical event, what happened, and the id under which it is pushed.
    #[must_use]
    pub fn new(event: &'a Json, kind: EventKind, id: &'a str) -> Self {
        Self { event, kind, id, value: OnceCell::new() }
    }

    /// The canonical event.
    #[must_use]
    pub fn event(&self) -> &'a Json {
        self.event
    }

    /// The engine's view; made once, and only if an expression needs it.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| value_of(self.event, self.kind, self.id))
    }
}

impl Template {
    /// Reads a template; the error says what to do.
    pub fn compile(source: &str, place: Place) -> Result<Self, TemplateError> {
        let pieces = scan::split(source)?;
        if place == Place::JsonBody {
            scan::check_json(&pieces)?;
        }
        Self::assemble(pieces, place)
    }

    /// Reads a template for a body, which is what its content type says: a form or XML. Else it is JSON if it is JSON
    /// with its placeholders filled, and plain text if not.
    pub fn compile_body(source: &str, content_type: Option<&str>) -> Result<Self, TemplateError> {
        let pieces = scan::split(source)?;
        let declared = content_type.unwrap_or_default().to_ascii_lowercase();
        let declared = declared.split(';').next().unwrap_or_default().trim();
        match declared {
            "application/x-www-form-urlencoded" => return Self::assemble(pieces, Place::FormBody),
            xml if xml == "text/xml" || xml == "application/xml" || xml.ends_with("+xml") => {
                return Self::assemble(pieces, Place::XmlBody);
            }
            // One placeholder alone would be JSON too.
            "text/plain" if !source.trim_start().trim_start_matches("{{").starts_with(['{', '[']) => {
                return Self::assemble(pieces, Place::Text);
            }
            _ => {}
        }
        let place = match scan::check_json(&pieces) {
            Ok(()) => Place::JsonBody,
            Err(error @ Error::Key) => return Err(error),
            Err(_) => Place::Text,
        };
        Self::assemble(pieces, place)
    }

    fn assemble(pieces: Vec<Piece<'_>>, place: Place) -> Result<Self, Error> {
        let parts = pieces.into_iter().map(TemplatePart::read).collect::<Result<_, _>>()?;
        let template = Self { parts, place };
        let printable =
            |part: &TemplatePart| !matches!(part, TemplatePart::Literal(text) if !is_printable(text));
        if place == Place::Header && !template.parts.iter().all(printable) {
            return Err(Error::NotAHeader);
        }
        template.try_out()?;
        Ok(template)
    }

    /// Renders it for a lead with every field and for one with none that may be absent, to fail now, not at a push.
    fn try_out(&self) -> Result<(), Error> {
        for (event, is_bare) in [(lead::full_sample(), false), (lead::bare_sample(), true)] {
            let context = Context::new(&event, EventKind::Test, "01J8H6KQH4YG3XR8RWM6T6XFQE");
            self.render(&context).map_err(|error| {
                if is_bare { Error::WithoutOptionalFields(error) } else { Error::Unrenderable(error) }
            })?;
        }
        Ok(())
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether there is text of its own in it, and not only values of the event.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, TemplatePart::Literal(text) if !text.trim().is_empty()))
    }

    /// Whether it depends on the event.
    #[must_use]
    pub fn has_placeholders(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, TemplatePart::Placeholder { .. }))
    }

    /// The text for an event.
    pub fn render(&self, context: &Context<'_>) -> Result<String, RenderError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                TemplatePart::Literal(text) => out.push_str(text),
                TemplatePart::Placeholder { source, formula, quoted } => {
                    let fail = |reason| RenderError { placeholder: source.clone(), reason };
                    let value = formula.value(context).map_err(fail)?;
                    self.append(value.as_deref(), *quoted, &mut out);
                    if out.len() > MAX_OUTPUT {
                        return Err(fail(PlaceholderError::TooLong));
                    }
                }
            }
        }
        Ok(out)
    }

    /// The value for an event: one placeholder keeps its type, anything else is a string. None if it is absent.
    pub fn value(&self, context: &Context<'_>) -> Result<Option<Json>, RenderError> {
        match self.parts.as_slice() {
            [TemplatePart::Placeholder { source, formula, .. }] => match formula.value(context) {
                Ok(value) => Ok(value.map(Cow::into_owned)),
                Err(reason) => Err(RenderError { placeholder: source.clone(), reason }),
            },
            _ => self.render(context).map(|text| Some(Json::string(&text))),
        }
    }

    fn append(&self, value: Option<&Json>, quoted: bool, out: &mut String) {
        if self.place == Place::JsonBody && !quoted {
            value.unwrap_or(&Json::Null).write(out);
            return;
        }
        let Some(value) = value else { return };
        let text = value.as_str().unwrap_or_else(|| Cow::Owned(value.to_string()));
        match self.place {
            Place::Text => out.push_str(&text),
            Place::JsonBody => escape(&text, out),
            Place::PathSegment | Place::QueryValue | Place::FormBody => percent_encode(&text, out),
            Place::XmlBody => escape_xml(&text, out),
            Place::Header => encode_header(&text, out),
        }
    }
}

impl TemplatePart {
    fn read(piece: Piece<'_>) -> Result<Self, Error> {
        match piece {
            Piece::Literal(text) => Ok(Self::Literal(text.to_owned())),
            Piece::Placeholder { source, quoted } => {
                let (formula, source) = (Formula::read(source), one_line(source));
                match formula {
                    Ok(formula) => Ok(Self::Placeholder { source, formula, quoted }),
                    Err(reason) => Err(Error::Placeholder { source_text: source, reason }),
                }
            }
        }
    }
}

impl Formula {
    fn read(source: &str) -> Result<Self, ExpressionError> {
        if is_name(source) {
            return resolve(source).map(Self::Name);
        }
        scan::check_expression(source, engine::FILTERS)?;
        engine::compile(source).map(Self::Expression)
    }

    /// What it comes to; none if absent or null.
    fn value<'a>(&self, context: &Context<'a>) -> Result<Option<Cow<'a, Json>>, PlaceholderError> {
        match self {
            Self::Name(source) => Ok(source.read(context)),
            Self::Expression(expression) => {
                let value = evaluate(expression, context.value())?;
                json_of(&value, MAX_OUTPUT).map(|json| json.map(Cow::Owned))
            }
        }
    }
}

/// How much work the templates of a configuration can cause: the bytes of their expressions. Each byte may be a step over
/// the whole event, while a name alone is only copied.
#[must_use]
pub fn weight(config: &Config) -> usize {
    match config {
        Config::String(text) if text.contains("{{") => scan::split(text).map_or(0, |pieces| {
            let weight = |piece: &Piece<'_>| match piece {
                Piece::Placeholder { source, .. } if !is_name(source) => source.len(),
                _ => 0,
            };
            pieces.iter().map(weight).sum()
        }),
        Config::Array(items) => items.iter().map(weight).sum(),
        Config::Object(members) => members.values().map(weight).sum(),
        _ => 0,
    }
}

/// Whether an expression is a path of names and nothing else.
fn is_name(source: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with(|first: char| first.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    source.split('.').all(is_word) && !matches!(source, "true" | "false" | "none" | "True" | "False" | "None")
}

/// Templates may have lines, messages may not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// What no header can carry is percent-encoded (RFC 8187): no lead may fail for an accent in its name.
fn encode_header(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
}

/// Text that stays text within XML. What XML cannot have is left out.
fn escape_xml(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\r' | '\t' => out.push(character),
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
}

/// Everything but unreserved characters, so that a value stays in the place it was put.
pub fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests;
