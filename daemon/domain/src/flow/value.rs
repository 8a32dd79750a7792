//! The values of a condition: what stands in the event, borrowed, and what is computed from it.

use std::{borrow::Cow, cmp::Ordering, rc::Rc};

use super::{error::EvalError, fuel::Fuel};
use crate::json::Json;

/// A value. Objects and lists of the event are never copied.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Time(jiff::Timestamp),
    /// A list that the condition made.
    List(Rc<Vec<Value<'a>>>),
    /// A list of the event.
    Items(&'a [Json]),
    Object(&'a Json),
}

impl<'a> Value<'a> {
    /// What JSON means. A number without fraction and exponent is an integer, any other a decimal.
    pub(super) fn of(json: &'a Json) -> Result<Self, EvalError> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(text) => number(text)?,
            Json::String(text) => Self::Text(text.decode()),
            Json::Array(items) => Self::Items(items),
            Json::Object(_) => Self::Object(json),
        })
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Double(_) => "a decimal",
            Self::Text(_) => "text",
            Self::Time(_) => "a time",
            Self::List(_) | Self::Items(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// How many elements a list has; none if it is no list.
    pub(super) fn list_len(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Items(items) => Some(items.len()),
            _ => None,
        }
    }

    /// An element of a list.
    pub(super) fn item(&self, index: usize) -> Option<Result<Self, EvalError>> {
        match self {
            Self::List(items) => items.get(index).cloned().map(Ok),
            Self::Items(items) => items.get(index).map(Self::of),
            _ => None,
        }
    }

    /// How much work it was to make it, or is to make it once more: what is borrowed from the event costs nothing.
    pub(super) fn copied(&self) -> usize {
        match self {
            Self::Text(Cow::Owned(text)) => text.len() / 32,
            _ => 0,
        }
    }

    /// How much work it is to look at the whole of it, without what its elements hold.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len() / 32,
            Self::List(items) => items.len(),
            Self::Items(items) => items.len(),
            _ => 0,
        }
    }
}

fn number(text: &str) -> Result<Value<'static>, EvalError> {
    if text.contains(['.', 'e', 'E']) {
        let number: f64 = text.parse().map_err(|_| EvalError::NoNumber(text.to_owned()))?;
        return if number.is_finite() {
            Ok(Value::Double(number))
        } else {
            Err(EvalError::TooLargeForDecimal)
        };
    }
    text.parse().map(Value::Int).map_err(|_| EvalError::TooLargeForInteger)
}

/// Whether two values are equal: numbers by what they mean, whatever their kind; other kinds only among themselves.
/// Lists share their elements, so that a short condition can spell a list of any length: each element is paid for.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>, fuel: &mut Fuel) -> Result<bool, EvalError> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Object(left), Value::Object(right)) => {
            fuel.burn(left.weight() + right.weight())?;
            left.digest() == right.digest()
        }
        (left, right) if left.list_len().is_some() && right.list_len().is_some() => {
            if left.list_len() != right.list_len() {
                return Ok(false);
            }
            for index in 0.. {
                let (Some(left), Some(right)) = (left.item(index), right.item(index)) else { break };
                let (left, right) = (left?, right?);
                fuel.burn(1 + left.copied() + right.copied())?;
                if !equal(&left, &right, fuel)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Text(left), Value::Text(right)) => {
            fuel.burn(left.len().min(right.len()) / 32)?;
            left == right
        }
        (left, right) => order(left, right) == Some(Ordering::Equal),
    })
}

/// Which of two values comes first; none if they cannot be compared.
pub(super) fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Double(right)) => mixed(*left, *right),
        (Value::Double(left), Value::Int(right)) => mixed(*right, *left).map(Ordering::reverse),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// An integer against a decimal, exactly: an `f64` does not hold every `i64`.
fn mixed(integer: i64, decimal: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if decimal.is_nan() {
        return None;
    }
    if decimal >= BEYOND {
        return Some(Ordering::Less);
    }
    if decimal < -BEYOND {
        return Some(Ordering::Greater);
    }
    // Within these bounds the whole part is exact.
    let whole = decimal.trunc();
    let by_whole = integer.cmp(&(whole as i64));
    Some(by_whole.then_with(|| 0.0_f64.partial_cmp(&(decimal - whole)).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_decimals_are_compared_by_what_they_mean() {
        for (integer, decimal, expected) in [
            (80, 80.0, Ordering::Equal),
            (80, 80.5, Ordering::Less),
            (-80, -80.5, Ordering::Greater),
            (i64::MAX, 9_223_372_036_854_775_808.0, Ordering::Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Ordering::Greater),
            (0, f64::INFINITY, Ordering::Less),
        ] {
            assert_eq!(mixed(integer, decimal), Some(expected), "{integer} and {decimal}");
        }
        assert_eq!(mixed(0, f64::NAN), None);
    }

    #[test]
    fn numbers_of_the_event_keep_their_kind() {
        for (text, kind) in
            [("80", "an integer"), ("80.0", "a decimal"), ("8e1", "a decimal"), ("-0", "an integer")]
        {
            assert_eq!(number(text).unwrap().kind(), kind, "{text}");
        }
        assert!(number("18446744073709551616").is_err() && number("1e999").is_err());
    }
}
