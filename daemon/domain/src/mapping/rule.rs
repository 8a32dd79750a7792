//! One rule of a mapping: where a field goes, and what becomes of its value on the way.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::MappingProblem;
use crate::{
    fields::{self, FIELDS, Leaf, Shape},
    json::Json,
    nearest::{nearest_within, unknown},
    template::{Context, Place, RenderError, Template},
};

/// What becomes of one field.
#[derive(Debug)]
pub struct Rule {
    /// The canonical field, a sender's own by its path, or, for a constant, the target.
    pub field: String,
    /// The integration's field; none leaves the field out.
    pub to: Option<String>,
    value: Source,
    /// The value, where it is the same for every lead.
    constant: Option<Value>,
    default: Option<Json>,
    part: Option<Part>,
    /// What words become; under `*` what any other becomes.
    values: Option<Map<String, Value>>,
    kind: Option<As>,
    clears: bool,
    /// Only a record that is made for the lead gets it: what is there keeps what people chose.
    new: bool,
}

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Field,
    Template(Template),
    Constant(Json),
}

/// A part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    First,
    Rest,
    Last,
}

/// What a value is made to be where the target wants it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
}

const AS: [(&str, As); 5] = [
    ("text", As::Text),
    ("integer", As::Integer),
    ("number", As::Number),
    ("boolean", As::Boolean),
    ("date", As::Date),
];
const PARTS: [(&str, Part); 3] = [("first", Part::First), ("rest", Part::Rest), ("last", Part::Last)];
const KEYS: [&str; 8] = ["to", "value", "default", "part", "values", "as", "clear", "new"];
/// A name that is so near to a canonical one is a slip.
const SLIP: usize = 2;
/// The objects under which senders have fields of their own.
const ROOTS: [&str; 5] = ["lead.", "quote.", "viewing.", "location.", "company."];

impl Rule {
    /// Whether the value may be of another kind than the field: it comes from a template, or is translated.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        !matches!(self.value, Source::Field) || self.values.is_some() || self.kind.is_some()
    }

    /// What the value is made to be, if the mapping says.
    #[must_use]
    pub fn kind(&self) -> Option<As> {
        self.kind
    }

    /// The values that it brings whatever the lead says: a constant, and what words become.
    pub fn fixed_values(&self) -> impl Iterator<Item = &Value> {
        self.constant.iter().chain(self.values.iter().flat_map(Map::values)).filter(|value| !value.is_null())
    }

    /// Whether only a record that is made for the lead gets it.
    #[must_use]
    pub fn is_for_new(&self) -> bool {
        self.new
    }

    /// Whether the field goes to its target as it stands.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_computed() && self.part.is_none() && self.default.is_none() && !self.clears
    }

    /// What to put there for an event; none if there is nothing to put.
    pub fn value(&self, context: &Context<'_>) -> Result<Option<Json>, RenderError> {
        let value = match &self.value {
            Source::Template(template) => template.value(context)?,
            Source::Field => context.event().at(&self.field).cloned(),
            Source::Constant(value) => Some(value.clone()),
        };
        let value = value.map(|value| self.shaped(value));
        Ok(match (value, &self.default) {
            (None | Some(Json::Null), Some(default)) => Some(default.clone()),
            (value, _) => value,
        })
    }

    /// As [`Rule::value`], for whoever keeps what is known: blank text is absent, unless the rule wants an empty value
    /// to empty the target; then it is null.
    pub fn value_to_keep(&self, context: &Context<'_>) -> Result<Option<Json>, RenderError> {
        let value = self.value(context)?;
        let is_blank = value.as_ref().is_some_and(is_blank);
        Ok(match (value, &self.default) {
            (value, _) if !is_blank => value,
            (_, Some(default)) if !self::is_blank(default) => Some(default.clone()),
            _ if self.clears => Some(Json::Null),
            _ => None,
        })
    }

    /// The value as the rule wants it: a part of a name, another word, another kind.
    fn shaped(&self, value: Json) -> Json {
        let value = match (self.part, value.as_str()) {
            (Some(part), Some(name)) => Json::string(part.of(&name)),
            _ => value,
        };
        let value = match &self.values {
            Some(values) if !is_blank(&value) => {
                let word = value.as_str().unwrap_or_else(|| Cow::Owned(value.to_string()));
                values.get(&*word).or_else(|| values.get("*")).map_or_else(|| value.clone(), Json::from)
            }
            _ => value,
        };
        match self.kind {
            Some(kind) => kind.of(value),
            None => value,
        }
    }
}

/// Whether a value says nothing.
fn is_blank(value: &Json) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

impl Part {
    fn of(self, name: &str) -> &str {
        let name = name.trim();
        let (first, rest) = name.split_once(char::is_whitespace).unwrap_or((name, ""));
        match self {
            Self::First => first,
            Self::Rest => rest.trim_start(),
            Self::Last => rest.rsplit(char::is_whitespace).next().unwrap_or_default(),
        }
    }
}

impl As {
    /// As a mapping has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        AS.iter().find(|(_, own)| *own == self).map_or("", |(name, _)| name)
    }

    /// The value, made so where it can be: what cannot stays as it is, for the target to refuse by name.
    pub(crate) fn of(self, value: Json) -> Json {
        let text = value.as_str().map(|text| text.trim().to_owned());
        let made = match (self, text) {
            (Self::Text, None) if !value.is_null() => Some(Json::string(&value.to_string())),
            (Self::Integer, Some(text)) => text.parse::<i128>().ok().map(Json::integer),
            (Self::Number, Some(text)) => {
                let number = Json::parse(text.as_bytes()).ok();
                number.filter(|number| matches!(number, Json::Number(_)))
            }
            (Self::Boolean, Some(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" | "on" => Some(Json::Bool(true)),
                "false" | "no" | "0" | "off" => Some(Json::Bool(false)),
                _ => None,
            },
            (Self::Date, Some(text)) => text.get(..10).map(Json::string),
            _ => None,
        };
        made.unwrap_or(value)
    }
}

/// The rules of one member of a mapping: several where its value is a list.
pub(super) fn read_all(name: &str, value: &Value) -> Result<Vec<Rule>, Vec<MappingProblem>> {
    if let Some(constant) = constant(name, value) {
        return constant.map(|rule| vec![rule]);
    }
    if let Some(problem) = stranger(name) {
        return Err(vec![problem]);
    }
    let Value::Array(several) = value else { return read(name, value).map(|rule| vec![rule]) };
    if several.is_empty() {
        return Err(vec![MappingProblem::of(name, "the list is empty; use null to leave the field out")]);
    }
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for one in several {
        match read(name, one) {
            Ok(rule) => rules.push(rule),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

/// Why a name is no field: it is no canonical one, and is so near to one that it was meant, or stands nowhere where
/// senders have their own.
fn stranger(name: &str) -> Option<MappingProblem> {
    if fields::find(name).is_some() {
        return None;
    }
    let is_path =
        ROOTS.iter().any(|root| name.starts_with(root)) && name.split('.').all(|step| !step.is_empty());
    match nearest_within(name, SLIP, FIELDS.iter().map(|field| field.name)) {
        None if is_path => None,
        Some(meant) => Some(MappingProblem::new(format!("unknown field {name}; did you mean {meant}?"))),
        None => Some(MappingProblem::new(unknown("field", name, FIELDS.iter().map(|field| field.name)))),
    }
}

/// A constant or a template with the target for its name: `{"hubspot_owner_id": {"value": "12345"}}`.
fn constant(name: &str, value: &Value) -> Option<Result<Rule, Vec<MappingProblem>>> {
    let members = value.as_object()?;
    let is_field = fields::find(name).is_some() || ROOTS.iter().any(|root| name.starts_with(root));
    if is_field || members.contains_key("to") || !members.contains_key("value") {
        return None;
    }
    Some(read(name, value))
}

fn read(field: &str, value: &Value) -> Result<Rule, Vec<MappingProblem>> {
    let plain = |to| Rule {
        field: field.to_owned(),
        to,
        value: Source::Field,
        constant: None,
        default: None,
        part: None,
        values: None,
        kind: None,
        clears: false,
        new: false,
    };
    match value {
        Value::Null => Ok(plain(None)),
        Value::String(text) => {
            let target = read_target(text).map(|to| plain(Some(to)));
            target.map_err(|error| vec![MappingProblem::of(field, error.to_string())])
        }
        Value::Object(members) => read_members(plain(Some(field.to_owned())), members),
        _ => {
            let text = "must be the target's name, an object with \"to\", or null to leave it out";
            Err(vec![MappingProblem::of(field, text)])
        }
    }
}

fn read_members(mut rule: Rule, members: &Map<String, Value>) -> Result<Rule, Vec<MappingProblem>> {
    let mut problems = Vec::new();
    for (key, value) in members {
        let problem = match (key.as_str(), value) {
            ("to", Value::String(text)) => {
                read_target(text).map(|to| rule.to = Some(to)).err().map(|e| e.to_string())
            }
            ("to", _) => Some(TargetError::NotText.to_string()),
            ("value", Value::String(source)) => match Template::compile(source, Place::Text) {
                Ok(template) => {
                    rule.value = Source::Template(template);
                    rule.constant = Some(value.clone()).filter(|_| !source.contains('{'));
                    None
                }
                Err(problem) => Some(String::from(problem)),
            },
            ("value", Value::Number(_) | Value::Bool(_)) => {
                rule.value = Source::Constant(Json::from(value));
                rule.constant = Some(value.clone());
                None
            }
            ("value", _) => {
                Some("\"value\" must be text, which is a template, a number, true or false".to_owned())
            }
            ("default", value) => {
                rule.default = Some(Json::from(value));
                None
            }
            ("part", value) => {
                rule.part = named(value, &PARTS);
                rule.part.is_none().then(|| "\"part\" must be one of first, rest, last".to_owned())
            }
            ("as", value) => {
                rule.kind = named(value, &AS);
                rule.kind
                    .is_none()
                    .then(|| "\"as\" must be one of text, integer, number, boolean, date".to_owned())
            }
            ("values", Value::Object(values)) if !values.is_empty() => {
                rule.values = Some(values.clone());
                None
            }
            ("values", _) => Some(
                "\"values\" must say what words become: {\"wedding\": \"Wedding\", \"*\": \"Other\"}"
                    .to_owned(),
            ),
            ("clear", Value::Bool(clears)) => {
                rule.clears = *clears;
                None
            }
            ("clear", _) => Some("\"clear\" must be true or false".to_owned()),
            ("new", Value::Bool(new)) => {
                rule.new = *new;
                None
            }
            ("new", _) => Some("\"new\" must be true or false".to_owned()),
            (key, _) => Some(unknown("key", key, KEYS)),
        };
        problems.extend(problem.map(|text| MappingProblem::of(&rule.field, text)));
    }
    let is_text = fields::find(&rule.field).is_none_or(|field| field.shape == Shape::Leaf(Leaf::Text));
    if rule.part.is_some() && !is_text && matches!(rule.value, Source::Field) {
        problems.push(MappingProblem::of(&rule.field, "\"part\" takes a part of a text, and this is none"));
    }
    if problems.is_empty() { Ok(rule) } else { Err(problems) }
}

fn named<T: Copy>(value: &Value, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, found)| *found)
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TargetError {
    #[error("the target is empty; use null to leave the field out")]
    Empty,
    #[error("\"to\" must be text")]
    NotText,
}

fn read_target(text: &str) -> Result<String, TargetError> {
    match text.trim() {
        "" => Err(TargetError::Empty),
        text => Ok(text.to_owned()),
    }
}
