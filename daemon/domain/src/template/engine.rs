//! The expression engine: bare but for a few filters, all of which leave an absent value absent.

use std::{fmt, sync::Arc, sync::LazyLock};

use jiff::fmt::{strtime, temporal::Pieces};
use minijinja::{
    Environment, Error, ErrorKind, Expression, State, UndefinedBehavior, Value,
    value::{Object, ObjectRepr, ValueKind},
};

use super::{
    error::{ExpressionError, PlaceholderError},
    escape_xml,
    names::resolve,
    percent_encode,
};
use crate::{integration::EventKind, json::Json, json::JsonText, money};

/// The filters there are.
pub(super) const FILTERS: &[&str] = &[
    "money",
    "date",
    "upper",
    "lower",
    "capitalize",
    "title",
    "trim",
    "string",
    "default",
    "d",
    "split",
    "first",
    "last",
    "length",
    "urlencode",
    "xml",
    "json",
];

const FUEL: u64 = 20_000;
/// Parts that `split` makes at most.
const MAX_PARTS: usize = 1000;
/// The longest pattern of a date, in bytes.
const MAX_PATTERN: usize = 64;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.set_fuel(Some(FUEL));
    engine.add_filter("money", in_money);
    engine.add_filter("date", as_date);
    engine.add_filter("upper", |value: Value| on_text(&value, str::to_uppercase));
    engine.add_filter("lower", |value: Value| on_text(&value, str::to_lowercase));
    engine.add_filter("trim", |value: Value| on_text(&value, |text| text.trim().to_owned()));
    engine.add_filter("string", |value: Value| on_text(&value, str::to_owned));
    engine.add_filter("capitalize", |value: Value| on_text(&value, capitalized));
    engine.add_filter("title", |value: Value| {
        on_text(&value, |text| text.split_inclusive(char::is_whitespace).map(capitalized).collect())
    });
    engine.add_filter("default", or_else);
    engine.add_filter("d", or_else);
    engine.add_filter("split", split);
    engine.add_filter("first", |value: Value| end_of(&value, false));
    engine.add_filter("last", |value: Value| end_of(&value, true));
    engine.add_filter("length", |value: Value| match value.len() {
        _ if is_absent(&value) => Ok(Value::UNDEFINED),
        Some(length) => Ok(Value::from(length)),
        None => Err(refused("length wants text or a list")),
    });
    engine.add_filter("urlencode", |value: Value| on_text(&value, |text| written(text, percent_encode)));
    engine.add_filter("xml", |value: Value| on_text(&value, |text| written(text, escape_xml)));
    engine.add_filter("json", |value: Value| on_text(&value, |text| Json::string(text).to_string()));
    engine.add_test("defined", |value: Value| !is_absent(&value));
    engine.add_test("undefined", |value: Value| is_absent(&value));
    engine.add_test("none", |value: Value| is_absent(&value));
    engine
});

/// Reads an expression and checks the names in it.
pub(super) fn compile(source: &str) -> Result<Expression<'static, 'static>, ExpressionError> {
    let expression = ENGINE.compile_expression_owned(source.to_owned());
    let expression = expression.map_err(|error| ExpressionError::Syntax(detail(&error)))?;
    let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
    names.sort();
    for name in &names {
        resolve(name)?;
    }
    Ok(expression)
}

/// What an expression comes to.
pub(super) fn evaluate(
    expression: &Expression<'static, 'static>,
    context: &Value,
) -> Result<Value, PlaceholderError> {
    expression.eval(context.clone()).map_err(|error| PlaceholderError::Evaluation(detail(&error)))
}

fn detail(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// A number that the engine must not touch: money, and what its integers cannot hold.
#[derive(Debug)]
struct ExactNumber(Box<str>);

impl Object for ExactNumber {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event as the engine sees it, aliases included. What is null is absent.
pub(super) fn value_of(event: &Json, kind: EventKind, id: &str) -> Value {
    let part = |key: &str| event.get(key).map_or(Value::UNDEFINED, to_value);
    let lead = part("lead");
    let workspace = event.at("company.id").map(ToString::to_string);
    let contact = match event.get("lead") {
        Some(Json::Object(members)) => Value::from_pairs(
            members
                .iter()
                .map(|(key, value)| (key.decode().into_owned(), to_value(value)))
                .chain(event.at("lead.uuid").map(|uuid| ("_id".to_owned(), to_value(uuid))))
                .chain([("attributes".to_owned(), lead.clone())]),
        ),
        _ => Value::UNDEFINED,
    };
    Value::from_pairs([
        ("event", Value::from_pairs([("type", Value::from(kind.as_str())), ("id", Value::from(id))])),
        ("workspace", Value::from_pairs([("uuid", workspace.map_or(Value::UNDEFINED, Value::from))])),
        ("contact", contact),
        ("lead", lead),
        ("version", part("version")),
        ("quote", part("quote")),
        ("viewing", part("viewing")),
        ("location", part("location")),
        ("company", part("company")),
    ])
}

fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(value) => Value::from(*value),
        Json::Number(text) => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from_object(ExactNumber(text.clone())),
        },
        Json::String(text) => Value::from(text.decode().into_owned()),
        Json::Array(items) => Value::from(items.iter().map(to_value).collect::<Vec<_>>()),
        Json::Object(members) => {
            Value::from_pairs(members.iter().map(|(key, value)| (key.decode().into_owned(), to_value(value))))
        }
    }
}

/// The engine's value as JSON of at most so many bytes; none if it is absent.
pub(super) fn json_of(value: &Value, limit: usize) -> Result<Option<Json>, PlaceholderError> {
    let mut left = limit;
    to_json(value, &mut left)
}

fn to_json(value: &Value, left: &mut usize) -> Result<Option<Json>, PlaceholderError> {
    let size = 1 + value.as_str().map_or(0, str::len);
    *left = left.checked_sub(size).ok_or(PlaceholderError::TooLarge)?;
    let unwritable = |error: Error| PlaceholderError::Evaluation(detail(&error));
    let json = match value.kind() {
        ValueKind::Undefined | ValueKind::None => return Ok(None),
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => Json::Number(value.to_string().into()),
        ValueKind::Number => {
            let number = f64::try_from(value.clone()).map_err(unwritable)?;
            if !number.is_finite() {
                return Err(PlaceholderError::NotFinite);
            }
            Json::Number(number.to_string().into())
        }
        ValueKind::String => Json::string(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().map_err(unwritable)? {
                items.push(to_json(&item, left)?.unwrap_or(Json::Null));
            }
            Json::Array(items)
        }
        ValueKind::Map => {
            let mut members = Vec::new();
            for key in value.try_iter().map_err(unwritable)? {
                let member = to_json(&value.get_item(&key).map_err(unwritable)?, left)?;
                members.push((JsonText::new(&key.to_string()), member.unwrap_or(Json::Null)));
            }
            Json::Object(members)
        }
        _ => match value.downcast_object_ref::<ExactNumber>() {
            Some(number) => Json::Number(number.0.clone()),
            None => return Err(PlaceholderError::Unwritable(value.kind().to_string())),
        },
    };
    Ok(Some(json))
}

fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

fn refused(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// Minor units as a decimal, without floating point: with the places of the currency that is named, else of the quote's.
fn in_money(state: &State<'_, '_>, value: Value, currency: Option<String>) -> Result<Value, Error> {
    if is_absent(&value) {
        return Ok(Value::UNDEFINED);
    }
    let pence =
        Some(&value).filter(|value| value.is_integer()).and_then(|value| i128::try_from(value.clone()).ok());
    let pence = pence.ok_or_else(|| refused(format!("money wants whole pence, not a {}", value.kind())))?;
    let quoted = || state.lookup("quote")?.get_attr("currency").ok()?.as_str().map(str::to_owned);
    let currency = currency.or_else(quoted).unwrap_or_default();
    Ok(Value::from_object(ExactNumber(money::decimal(pence, &currency).into())))
}

/// Of a date, or of a time by the clock that it came with, the day: as vendors' fields want it, or as a pattern writes it.
fn as_date(value: Value, pattern: Option<String>) -> Result<Value, Error> {
    if is_absent(&value) || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(Value::UNDEFINED);
    }
    let wanted = || refused("date wants a date or a time, as 2026-09-12 or 2026-09-12T14:00:00+01:00");
    let pieces = value.as_str().and_then(|text| Pieces::parse(text.trim()).ok()).ok_or_else(wanted)?;
    let pattern = pattern.as_deref().unwrap_or("%Y-%m-%d");
    if pattern.len() > MAX_PATTERN {
        return Err(refused(format!("the pattern of a date may have {MAX_PATTERN} bytes")));
    }
    let written = match (pieces.time(), pieces.to_numeric_offset()) {
        (Some(time), Some(offset)) => {
            let time = offset.to_time_zone().to_zoned(pieces.date().to_datetime(time));
            strtime::format(pattern, &time.map_err(|_| wanted())?)
        }
        (Some(time), None) => strtime::format(pattern, pieces.date().to_datetime(time)),
        (None, _) => strtime::format(pattern, pieces.date()),
    };
    let written = written.map_err(|error| refused(format!("this cannot be written as {pattern:?}: {error}")));
    Ok(Value::from(written?))
}

fn on_text(value: &Value, change: impl Fn(&str) -> String) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(Value::UNDEFINED);
    }
    let is_scalar = matches!(value.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool)
        || value.downcast_object_ref::<ExactNumber>().is_some();
    if !is_scalar {
        return Err(refused(format!("the filter wants text, not a {}", value.kind())));
    }
    Ok(Value::from(change(&value.to_string())))
}

fn written(text: &str, write: fn(&str, &mut String)) -> String {
    let mut out = String::new();
    write(text, &mut out);
    out
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    first + &characters.as_str().to_lowercase()
}

fn or_else(value: Value, fallback: Option<Value>) -> Value {
    if is_absent(&value) { fallback.unwrap_or_else(|| Value::from("")) } else { value }
}

fn split(value: Value, separator: Option<String>) -> Result<Value, Error> {
    if is_absent(&value) {
        return Ok(Value::UNDEFINED);
    }
    let text = value.as_str().ok_or_else(|| refused("split wants text"))?;
    let parts: Vec<Value> = match separator.as_deref() {
        None => text.split_whitespace().take(MAX_PARTS + 1).map(Value::from).collect(),
        Some("") => return Err(refused("split wants a separator, or none for white space")),
        Some(separator) => text.split(separator).take(MAX_PARTS + 1).map(Value::from).collect(),
    };
    if parts.len() > MAX_PARTS {
        return Err(refused(format!("split makes more than {MAX_PARTS} parts")));
    }
    Ok(Value::from(parts))
}

fn end_of(value: &Value, last: bool) -> Result<Value, Error> {
    if is_absent(value) {
        return Ok(Value::UNDEFINED);
    }
    if let Some(text) = value.as_str() {
        let character = if last { text.chars().next_back() } else { text.chars().next() };
        return Ok(character.map_or(Value::UNDEFINED, |character| Value::from(character.to_string())));
    }
    let index = if last { value.len().unwrap_or(0).checked_sub(1) } else { Some(0) };
    index.map_or(Ok(Value::UNDEFINED), |index| value.get_item_by_index(index))
}
