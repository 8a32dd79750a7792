//! The functions of conditions. None depends on anything but its arguments; there is no clock.

use std::borrow::Cow;

use jiff::{
    Zoned,
    tz::{Offset, TimeZone},
};

use super::{error::EvalError, program::Function, value::Value};

/// Calls a function; how many arguments it has was checked when the condition was saved.
pub(super) fn call<'a>(function: Function, arguments: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let first = arguments.first().unwrap_or(&Value::Null);
    let second = arguments.get(1);
    match function {
        Function::Size => size(first),
        Function::Contains => on_texts(first, second, "contains", |text, part| text.contains(part)),
        Function::StartsWith => on_texts(first, second, "startsWith", |text, part| text.starts_with(part)),
        Function::EndsWith => on_texts(first, second, "endsWith", |text, part| text.ends_with(part)),
        Function::LowerAscii => on_text(first, "lowerAscii", str::to_ascii_lowercase),
        Function::UpperAscii => on_text(first, "upperAscii", str::to_ascii_uppercase),
        Function::ToInt => to_int(first),
        Function::ToDouble => to_double(first),
        Function::ToText => to_text(first),
        Function::Timestamp => match first {
            Value::Time(at) => Ok(Value::Time(*at)),
            Value::Text(text) => text.parse().map(Value::Time).map_err(|_| EvalError::NoTime),
            other => Err(EvalError::WantsText("timestamp", other.kind())),
        },
        Function::FullYear => on_time(first, second, |at| at.year().into()),
        // By the standard months, and days of the month by this name, begin at 0.
        Function::Month => on_time(first, second, |at| i64::from(at.month()) - 1),
        Function::DayOfMonth => on_time(first, second, |at| i64::from(at.day()) - 1),
        Function::Date => on_time(first, second, |at| at.day().into()),
        Function::DayOfWeek => on_time(first, second, |at| at.weekday().to_sunday_zero_offset().into()),
        Function::Hours => on_time(first, second, |at| at.hour().into()),
        Function::Minutes => on_time(first, second, |at| at.minute().into()),
    }
}

fn size<'a>(value: &Value<'a>) -> Result<Value<'a>, EvalError> {
    let size = match value {
        Value::Text(text) => Some(text.chars().count()),
        Value::Object(crate::json::Json::Object(members)) => Some(members.len()),
        other => other.list_len(),
    };
    let size = size.ok_or(EvalError::NoSize(value.kind()))?;
    i64::try_from(size).map(Value::Int).map_err(|_| EvalError::TooLarge)
}

fn on_texts<'a>(
    text: &Value<'a>,
    part: Option<&Value<'a>>,
    function: &'static str,
    look: fn(&str, &str) -> bool,
) -> Result<Value<'a>, EvalError> {
    match (text, part) {
        (Value::Text(text), Some(Value::Text(part))) => Ok(Value::Bool(look(text, part))),
        (Value::Text(_), Some(other)) => Err(EvalError::WantsText(function, other.kind())),
        (other, _) => Err(EvalError::OfText(function, other.kind())),
    }
}

fn on_text<'a>(
    text: &Value<'a>,
    function: &'static str,
    change: fn(&str) -> String,
) -> Result<Value<'a>, EvalError> {
    match text {
        Value::Text(text) => Ok(Value::Text(Cow::Owned(change(text)))),
        other => Err(EvalError::OfText(function, other.kind())),
    }
}

fn to_int<'a>(value: &Value<'a>) -> Result<Value<'a>, EvalError> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Int(value) => Ok(Value::Int(*value)),
        Value::Double(value) if (-BEYOND..BEYOND).contains(value) => Ok(Value::Int(*value as i64)),
        Value::Double(_) => Err(EvalError::DecimalTooLarge),
        Value::Text(text) => text.parse().map(Value::Int).map_err(|_| EvalError::NoInteger),
        Value::Time(at) => Ok(Value::Int(at.as_second())),
        other => Err(EvalError::Conversion(other.kind(), "an integer")),
    }
}

fn to_double<'a>(value: &Value<'a>) -> Result<Value<'a>, EvalError> {
    match value {
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::Double(value) => Ok(Value::Double(*value)),
        Value::Text(text) => text.parse().map(Value::Double).map_err(|_| EvalError::TextIsNoNumber),
        other => Err(EvalError::Conversion(other.kind(), "a decimal")),
    }
}

fn to_text<'a>(value: &Value<'a>) -> Result<Value<'a>, EvalError> {
    let text = match value {
        Value::Text(text) => return Ok(Value::Text(text.clone())),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Time(at) => at.to_string(),
        other => return Err(EvalError::Conversion(other.kind(), "text")),
    };
    Ok(Value::Text(text.into()))
}

/// A part of a time, in UTC or in the zone named.
fn on_time<'a>(
    time: &Value<'a>,
    zone: Option<&Value<'a>>,
    part: fn(&Zoned) -> i64,
) -> Result<Value<'a>, EvalError> {
    let Value::Time(at) = time else {
        return Err(EvalError::OfTime(time.kind()));
    };
    let zone = match zone {
        None => TimeZone::UTC,
        Some(Value::Text(name)) => read_zone(name)?,
        Some(other) => return Err(EvalError::ZoneIsText(other.kind())),
    };
    Ok(Value::Int(part(&at.to_zoned(zone))))
}

/// `UTC` or an offset. Names of zones would need the tables of the machine, and mean another thing on the next.
fn read_zone(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::NoZone(name.to_owned());
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if !name.starts_with(['+', '-']) {
        return Err(unknown());
    }
    let (sign, digits) = name.split_at(1);
    let (hours, minutes) = digits.split_once(':').ok_or_else(unknown)?;
    let two = |text: &str| -> Option<i32> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let seconds = two(hours).zip(two(minutes)).filter(|(_, minutes)| *minutes < 60);
    let seconds = seconds.map(|(hours, minutes)| hours * 3600 + minutes * 60).ok_or_else(unknown)?;
    let seconds = if sign == "-" { -seconds } else { seconds };
    Offset::from_seconds(seconds).map(TimeZone::fixed).map_err(|_| unknown())
}
