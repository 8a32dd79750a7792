//! One value as one cell: what people read of it, and what stands in a pipe.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Format, Out};
use crate::{
    cli::{columns::Column, told},
    columns, moment,
    text::display_text,
};

/// The keys of sentences that the daemon or we ourselves write, which may have times in them.
const SENTENCES: [&str; 2] = ["about", "why"];

impl Out {
    /// What of a row stands in this column.
    pub(super) fn column_cell(&self, column: &Column<'_>, row: &Value) -> String {
        let cell = match (&row[column.key], column.or) {
            (Value::Null, Some(other)) => self.cell(other, &row[other]),
            (value, _) => self.cell(column.key, value),
        };
        // Programs have the key that says so.
        let is_exact = row[format!("{}_exact", column.key)] != Value::Bool(false);
        if is_exact || self.format != Format::Table { cell } else { columns::inexact(column.key, &cell) }
    }

    /// A value in one line, as the form has it.
    pub(super) fn cell(&self, key: &str, value: &Value) -> String {
        match value {
            Value::Null if self.format == Format::Table => "–".to_owned(),
            Value::Array(items) if items.is_empty() => self.cell(key, &Value::Null),
            Value::Null => String::new(),
            Value::String(text) if is_time(key) => self.time(text),
            Value::String(text) => display_text(&self.said(key, text)).into_owned(),
            Value::Object(gate) if key == "waits" => self.waits(gate),
            _ if self.format == Format::Table
                && let Some(line) = told::line(key, value, &|key, value| self.cell(key, value)) =>
            {
                line
            }
            Value::Array(items) if !is_rows(value) => {
                items.iter().map(|item| self.cell("", item)).collect::<Vec<_>>().join(",")
            }
            other => display_text(&other.to_string()).into_owned(),
        }
    }

    /// What an integration waits for, until when and why: `throttled until 14:05:00: 429 Too Many Requests`.
    fn waits(&self, gate: &Map<String, Value>) -> String {
        let said = |key: &str| gate.get(key).and_then(Value::as_str);
        let until = said("until").map(|until| format!(" until {}", self.short_time(until)));
        let why = said("why").map(|why| format!(": {}", display_text(why)));
        [said("for").map(str::to_owned), until, why].into_iter().flatten().collect()
    }

    /// A time of the next day or so as people read it in a narrow column; a later one with its date.
    fn short_time(&self, text: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(at) if self.format == Format::Table => {
                let is_soon = at.duration_since(Timestamp::now()).as_hours().abs() < 12;
                let form = if is_soon { "%H:%M:%S" } else { "%m-%d %H:%M" };
                at.to_zoned(self.zone.clone()).strftime(form).to_string()
            }
            _ => self.time(text),
        }
    }

    /// A text with the times in it as people read them, where it is a sentence of ours.
    pub(super) fn said<'a>(&self, key: &str, text: &'a str) -> Cow<'a, str> {
        if self.format == Format::Table && SENTENCES.contains(&key) {
            Cow::Owned(moment::retold(text, |at| moment::shown(at, &self.zone)))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// A time as people read it, or as it came.
    pub(crate) fn time(&self, text: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(at) if self.format == Format::Table => moment::shown(at, &self.zone),
            _ => display_text(text).into_owned(),
        }
    }
}

/// Whether it is a list of things, which no cell has room for.
pub(super) fn is_rows(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
}

fn is_time(key: &str) -> bool {
    key == "at" || key == "until" || key.ends_with("_at") || key.ends_with("_until")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;

    #[test]
    fn people_see_which_counts_are_not_exact_and_programs_read_numbers() {
        let out = |format| Out { format, zone: TimeZone::UTC, room: None, is_wide: false };
        let row = json!({"deliveries": 500, "deliveries_exact": false, "leads": 12000, "leads_exact": false});
        let exact = json!({"deliveries": 500, "deliveries_exact": true, "leads": 12000});
        let cells = |format, row| {
            [columns::cause::DELIVERIES, columns::cause::LEADS].map(|it| out(format).column_cell(&it, row))
        };
        assert_eq!(cells(Format::Table, &row), ["500+", "~12000"]);
        assert_eq!(cells(Format::Table, &exact), ["500", "12000"]);
        assert_eq!(cells(Format::Plain, &row), ["500", "12000"]);
    }
}
