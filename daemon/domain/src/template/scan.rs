//! Takes a template apart, and refuses what the engine would accept but we do not.

use super::{
    MAX_SOURCE,
    error::{ExpressionError, TemplateError},
};
use crate::{json::Json, nearest::unknown};

/// A part of a template as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Placeholder {
        source: &'a str,
        /// Whether a JSON string is open where it stands.
        quoted: bool,
    },
}

/// The longest expression, in bytes: it says how often a value can be named, and so what a list of them may weigh.
pub(super) const MAX_EXPRESSION: usize = 512;
/// Concatenations in one expression; each copies what came before.
pub(super) const MAX_JOINS: usize = 32;
/// How many characters are shown of what is not closed.
const SHOWN_MAX: usize = 40;
/// Stands for a placeholder inside a JSON string while the JSON is tried out.
const FILL: &str = "\u{e000}";

/// Literals and placeholders, in order.
pub(super) fn split(source: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    if source.len() > MAX_SOURCE {
        return Err(TemplateError::TooLong(source.len()));
    }
    let mut pieces = Vec::new();
    let mut rest = source;
    let mut quoted = false;
    while let Some(start) = rest.find("{{") {
        let (literal, tail) = rest.split_at(start);
        push_literal(literal, &mut quoted, &mut pieces)?;
        let inner = &tail[2..];
        let end =
            end_of(inner).ok_or_else(|| TemplateError::Unclosed(inner.chars().take(SHOWN_MAX).collect()))?;
        let (expression, after) = inner.split_at(end);
        if expression.starts_with('-') || expression.ends_with('-') {
            return Err(TemplateError::Trimming);
        }
        let expression = expression.trim();
        if expression.is_empty() {
            return Err(TemplateError::Empty);
        }
        pieces.push(Piece::Placeholder { source: expression, quoted });
        rest = &after[2..];
    }
    push_literal(rest, &mut quoted, &mut pieces)?;
    Ok(pieces)
}

fn push_literal<'a>(
    literal: &'a str,
    quoted: &mut bool,
    pieces: &mut Vec<Piece<'a>>,
) -> Result<(), TemplateError> {
    for mark in ["{%", "{#"] {
        if literal.contains(mark) {
            return Err(TemplateError::Statement(mark));
        }
    }
    let mut escaped = false;
    for byte in literal.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = *quoted,
            b'"' => *quoted = !*quoted,
            _ => {}
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(())
}

/// Where the `}}` of an expression is: not in its strings, not in its brackets.
fn end_of(expression: &str) -> Option<usize> {
    let mut depth = 0_usize;
    outside_strings(expression).find_map(|(at, byte)| {
        match byte {
            b'}' if depth == 0 => return expression[at..].starts_with("}}").then_some(at),
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        None
    })
}

/// The bytes of an expression that are in none of its strings.
fn outside_strings(expression: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut quote = None;
    let mut escaped = false;
    expression.bytes().enumerate().filter(move |(_, byte)| {
        match quote {
            _ if escaped => escaped = false,
            Some(open) => {
                escaped = *byte == b'\\';
                if *byte == open {
                    quote = None;
                }
            }
            None if matches!(byte, b'"' | b'\'') => quote = Some(*byte),
            None => return true,
        }
        false
    })
}

/// Refuses operators that multiply memory, and filters that are not in the list.
pub(super) fn check_expression(expression: &str, filters: &[&str]) -> Result<(), ExpressionError> {
    if expression.len() > MAX_EXPRESSION {
        return Err(ExpressionError::TooLong(expression.len()));
    }
    let mut joins = 0;
    for (at, byte) in outside_strings(expression) {
        match byte {
            b'*' => return Err(ExpressionError::Multiplication),
            b'~' | b'+' => joins += 1,
            b'|' => {
                let word = expression[at + 1..].trim_start();
                let end = word.find(|next: char| !next.is_ascii_alphanumeric() && next != '_');
                let word = &word[..end.unwrap_or(word.len())];
                if !filters.contains(&word) {
                    let reported = unknown("filter", word, filters.iter().copied());
                    return Err(ExpressionError::UnknownFilter(reported));
                }
            }
            _ => {}
        }
    }
    if joins > MAX_JOINS {
        return Err(ExpressionError::Joins);
    }
    Ok(())
}

/// Whether the pieces are JSON once the placeholders are filled.
pub(super) fn check_json(pieces: &[Piece<'_>]) -> Result<(), TemplateError> {
    let filled: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text,
            Piece::Placeholder { quoted: true, .. } => FILL,
            Piece::Placeholder { quoted: false, .. } => "null",
        })
        .collect();
    let json = Json::parse(filled.as_bytes()).map_err(TemplateError::NotJson)?;
    if has_filled_key(&json) { Err(TemplateError::Key) } else { Ok(()) }
}

fn has_filled_key(json: &Json) -> bool {
    match json {
        Json::Array(items) => items.iter().any(has_filled_key),
        Json::Object(members) => {
            members.iter().any(|(key, value)| key.decode().contains(FILL) || has_filled_key(value))
        }
        _ => false,
    }
}
