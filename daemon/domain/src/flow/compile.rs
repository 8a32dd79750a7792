//! Reads a condition: the grammar is that of the crate `cel`, and what would lead it astray is refused here.

use std::panic::catch_unwind;

use cel::{IdedExpr, ParseError, ParseErrors, common::ast::SourceInfo, parser::Parser};

use super::{error::ConditionError, program::Node, reader::Reader};

/// The longest condition, in bytes.
pub(super) const MAX_SOURCE: usize = 2000;
/// The most operators and brackets of a condition: the parser and all that follows go as deep as these say.
pub(super) const MAX_SIGNS: usize = 250;
/// How deep brackets may nest.
pub(super) const MAX_NESTING: u16 = 24;
/// The parser's own stack: in a debug build it takes 100 KiB and more for each bracket it is in.
const PARSER_STACK: usize = 32 * 1024 * 1024;
/// The most problems that are named at once.
const PROBLEMS_MAX: usize = 8;

/// Reads a condition. The error says all that is wrong, and where.
pub(super) fn compile(source: &str) -> Result<Node, ConditionError> {
    if source.trim().is_empty() {
        return Err(ConditionError::Empty);
    }
    if source.len() > MAX_SOURCE {
        return Err(ConditionError::TooLong);
    }
    if source.contains('\0') {
        return Err(ConditionError::Nul);
    }
    check_depth(source)?;
    // The parser is not ours: what it does not foresee must not end more than this call.
    let parsed = catch_unwind(|| stacker::grow(PARSER_STACK, || parse(source)))
        .map_err(|_| ConditionError::Unreadable)?;
    let (expression, info) = parsed.map_err(|errors| syntax_error(source, &errors))?;
    let mut reader = Reader::new(source, info);
    let node = reader.read(&expression);
    let problems = reader.problems;
    match problems.len().saturating_sub(PROBLEMS_MAX) {
        _ if problems.is_empty() => Ok(node),
        0 => Err(ConditionError::Wrong(problems.join("; "))),
        more => {
            Err(ConditionError::Wrong(format!("{}; and {more} more", problems[..PROBLEMS_MAX].join("; "))))
        }
    }
}

/// `line 1, column 8`, counted from 1 in characters.
pub(super) fn place(source: &str, at: usize) -> String {
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), ParseErrors> {
    Parser::new().max_recursion_depth(MAX_NESTING).parse_with_source_info(source)
}

/// Refuses what would go too deep, before the parser follows it there. Texts count too: where one ends is for the
/// parser to say.
fn check_depth(source: &str) -> Result<(), ConditionError> {
    let signs = source.chars().filter(|c| ".!-+*/%?<>=&|([{".contains(*c)).count();
    if signs > MAX_SIGNS {
        return Err(ConditionError::TooManyOperators);
    }
    Ok(())
}

/// The parser's errors, without its picture of the line and the list of all that it would have taken.
fn syntax_error(source: &str, errors: &ParseErrors) -> ConditionError {
    let Some(first) = errors.errors.first() else { return ConditionError::Unreadable };
    if errors.errors.iter().any(|error| error.msg.contains("Recursion limit")) || is_too_deep(first) {
        return ConditionError::TooDeep;
    }
    let message = first.msg.split(" expecting {").next().unwrap_or_default();
    let message = message.trim_start_matches("Syntax error: ").replace("'<EOF>'", "end");
    let message = message.replace("token recognition error at: ", "cannot read ");
    let message =
        message.replace("mismatched input ", "unexpected ").replace("extraneous input ", "unexpected ");
    let message =
        if message.starts_with("Incomplete ") { "something is missing".to_owned() } else { message };
    let message: Vec<&str> = message.split_whitespace().collect();
    let hint = match source {
        _ if message.contains(&"has()") => "; write has(…) around a field, as has(quote.total_pence)",
        _ if source.contains(" and ") || source.contains(" or ") => "; write && for and, || for or",
        _ if source.contains(" = ") => "; write == to compare",
        _ => "",
    };
    let (line, column) = (first.pos.0.max(1), first.pos.1.max(1));
    ConditionError::Syntax(format!("line {line}, column {column}: {}{hint}", message.join(" ")))
}

fn is_too_deep(error: &ParseError) -> bool {
    error.source.as_ref().is_some_and(|source| source.to_string().contains("Recursion limit"))
}
