//! Turns the parser's tree into a condition of ours; every name and call in it is checked.

use cel::{
    IdedExpr,
    common::ast::{
        CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, SelectExpr, SourceInfo, operators,
    },
};
use regex::RegexBuilder;

use super::{
    compile::place,
    program::{Binary, FUNCTIONS, MACROS, Node, Op, Quantifier, Signature, Style},
};
use crate::{
    fields::{self, FIELDS, Shape},
    nearest::{nearest, unknown},
};

/// How many steps may lie within each other: a condition is carried out on the stack of whoever asks.
const MAX_DEPTH: usize = 60;
/// How many bytes a compiled pattern may take: looking it up in a text takes time in proportion.
const MAX_PATTERN: usize = 32 * 1024;

/// The variables, as in templates.
const ROOTS: [&str; 5] = ["lead", "quote", "viewing", "location", "company"];

/// Reads a tree, and gathers what is wrong with it.
pub(super) struct Reader<'a> {
    source: &'a str,
    info: SourceInfo,
    /// The variables of the macros around, outermost first.
    locals: Vec<String>,
    depth: usize,
    pub(super) problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of the tree that the parser made of a source, with where its parts stand there.
    pub(super) fn new(source: &'a str, info: SourceInfo) -> Self {
        Self { source, info, locals: Vec::new(), depth: 0, problems: Vec::new() }
    }

    /// Where an expression begins: the parser gives the sign that it is known by.
    fn start(&self, expression: &IdedExpr) -> usize {
        let first = match &expression.expr {
            Expr::Select(select) => Some(&*select.operand),
            Expr::Comprehension(comprehension) => Some(&comprehension.iter_range),
            Expr::Call(CallExpr { target: Some(target), .. }) => Some(&**target),
            Expr::Call(CallExpr { func_name, args, .. }) if func_name.starts_with(['_', '@']) => args.first(),
            _ => None,
        };
        let sign = self.info.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        match (first, &expression.expr) {
            (Some(first), _) => self.start(first),
            // A call is known by its bracket.
            (None, Expr::Call(call)) => self
                .source
                .get(..sign)
                .and_then(|before| before.trim_end().strip_suffix(call.func_name.as_str()))
                .map_or(sign, str::len),
            (None, _) => sign,
        }
    }

    fn refuse(&mut self, at: usize, problem: impl AsRef<str>) -> Op {
        self.problems.push(format!("{}: {}", place(self.source, at), problem.as_ref()));
        Op::Null
    }

    fn boxed(&mut self, expression: &IdedExpr) -> Box<Node> {
        Box::new(self.read(expression))
    }

    pub(super) fn read(&mut self, expression: &IdedExpr) -> Node {
        let at = self.start(expression);
        if self.depth == MAX_DEPTH {
            let op = self.refuse(at, format!("from here on it goes deeper than {MAX_DEPTH} steps"));
            return Node { at, op };
        }
        self.depth += 1;
        let op = match &expression.expr {
            Expr::Literal(literal) => self.literal(at, literal),
            Expr::Ident(name) => self.variable(at, name),
            Expr::Select(select) => self.select(at, expression, select),
            Expr::List(ListExpr { elements, .. }) => {
                Op::List(elements.iter().map(|element| self.read(element)).collect())
            }
            Expr::Call(call) => self.call(at, call),
            Expr::Comprehension(comprehension) => self.comprehension(at, comprehension),
            Expr::Map(_) | Expr::Struct(_) => self.refuse(at, "objects cannot be written in a condition"),
            Expr::Unspecified => self.refuse(at, "something is missing here"),
        };
        self.depth -= 1;
        Node { at, op }
    }

    fn literal(&mut self, at: usize, literal: &LiteralValue) -> Op {
        match literal {
            LiteralValue::Null => Op::Null,
            LiteralValue::Boolean(value) => Op::Bool(*value.inner()),
            LiteralValue::Int(value) => Op::Int(*value.inner()),
            LiteralValue::Double(value) => Op::Double(*value.inner()),
            LiteralValue::String(value) => Op::Text(value.inner().to_owned()),
            LiteralValue::UInt(_) => self.refuse(at, "write the integer without u"),
            LiteralValue::Bytes(_) => self.refuse(at, "write the text without b"),
        }
    }

    fn variable(&mut self, at: usize, name: &str) -> Op {
        if let Some(index) = self.locals.iter().rposition(|local| local == name) {
            return Op::Local(index);
        }
        if let Some(root) = ROOTS.iter().find(|root| **root == name) {
            return Op::Root(root);
        }
        let problem = match name {
            "event" => "write event.type".to_owned(),
            "and" => "write &&".to_owned(),
            "or" => "write ||".to_owned(),
            "not" => "write !".to_owned(),
            "now" => "a condition knows no clock: what it decides depends on the lead alone".to_owned(),
            _ => {
                let known = ROOTS.into_iter().chain(["event"]).chain(self.locals.iter().map(String::as_str));
                let ending = format!(".{name}");
                match FIELDS.iter().find(|field| field.name.ends_with(&ending)) {
                    Some(field) => format!("unknown variable {name}; did you mean {}?", field.name),
                    None => unknown("variable", name, known),
                }
            }
        };
        self.refuse(at, problem)
    }

    fn select(&mut self, at: usize, whole: &IdedExpr, select: &SelectExpr) -> Op {
        if let Some(path) = self.path(whole) {
            if path == "event.type" && !select.test {
                return Op::EventType;
            }
            if let Some(problem) = unknown_field(&path) {
                return self.refuse(at, problem);
            }
        }
        let operand = self.boxed(&select.operand);
        if select.test {
            Op::Has(operand, select.field.clone())
        } else {
            Op::Select(operand, select.field.clone())
        }
    }

    /// The name that a chain of fields spells, if it begins with a variable of the event.
    fn path(&self, expression: &IdedExpr) -> Option<String> {
        match &expression.expr {
            Expr::Ident(name) if self.locals.contains(name) => None,
            Expr::Ident(name) if ROOTS.contains(&name.as_str()) || name == "event" => Some(name.clone()),
            Expr::Select(select) => Some(format!("{}.{}", self.path(&select.operand)?, select.field)),
            _ => None,
        }
    }

    fn call(&mut self, at: usize, call: &CallExpr) -> Op {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Op::And(self.boxed(left), self.boxed(right)),
            (operators::LOGICAL_OR, [left, right]) => Op::Or(self.boxed(left), self.boxed(right)),
            (operators::LOGICAL_NOT, [operand]) => Op::Not(self.boxed(operand)),
            (operators::NEGATE, [operand]) => Op::Negate(self.boxed(operand)),
            (operators::INDEX, [operand, index]) => Op::Index(self.boxed(operand), self.boxed(index)),
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                Op::If(Box::new([self.read(condition), self.read(then), self.read(otherwise)]))
            }
            (_, [left, right]) if call.target.is_none() && binary(name).is_some() => {
                let operator = binary(name).unwrap_or(Binary::Equal);
                Op::Binary(operator, self.boxed(left), self.boxed(right))
            }
            _ => self.function(at, call),
        }
    }

    fn function(&mut self, at: usize, call: &CallExpr) -> Op {
        let name = call.func_name.as_str();
        if name == "matches" {
            return self.matches(at, call);
        }
        let Some(signature) = FUNCTIONS.iter().find(|signature| signature.name == name) else {
            let known = FUNCTIONS.iter().map(|signature| signature.name).chain(MACROS.iter().copied());
            let reported = unknown("function", name, known);
            let reported = if MACROS.contains(&name) { usage(name) } else { reported };
            return self.refuse(at, reported);
        };
        let arguments: Vec<Node> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .map(|argument| self.read(argument))
            .collect();
        let style_fits = match signature.style {
            Style::Global => call.target.is_none(),
            Style::Member => call.target.is_some(),
            Style::Either => true,
        };
        if !style_fits || !(signature.least..=signature.most).contains(&arguments.len()) {
            return self.refuse(at, how_to_call(signature));
        }
        Op::Call(signature.function, arguments)
    }

    /// A pattern is compiled once, so it must be there when the condition is saved.
    fn matches(&mut self, at: usize, call: &CallExpr) -> Op {
        let mut arguments = call.target.as_deref().into_iter().chain(&call.args);
        let (Some(text), Some(pattern), None) = (arguments.next(), arguments.next(), arguments.next()) else {
            return self.refuse(at, usage("matches"));
        };
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            return self.refuse(at, "matches wants its pattern written out, in quotes");
        };
        let text = self.boxed(text);
        match RegexBuilder::new(pattern.inner()).size_limit(MAX_PATTERN).build() {
            Ok(pattern) => Op::Matches(text, pattern),
            Err(regex::Error::CompiledTooBig(_)) => self.refuse(at, "the pattern is too large"),
            Err(error) => {
                let reported = error.to_string();
                let reported = reported.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.refuse(at, format!("the pattern cannot be read: {reported}"))
            }
        }
    }

    /// The macros over lists, which the parser has expanded in a form that is always the same.
    fn comprehension(&mut self, at: usize, it: &ComprehensionExpr) -> Op {
        let range = self.boxed(&it.iter_range);
        let Expr::Call(step) = &it.loop_step.expr else {
            return self.refuse(at, "this macro is not known here");
        };
        self.locals.push(it.iter_var.clone());
        let op = match (&it.accu_init.expr, step.args.as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(starts)), [_, body]) => {
                let quantifier = if *starts.inner() { Quantifier::All } else { Quantifier::Exists };
                Op::Quantify(quantifier, range, self.boxed(body))
            }
            (Expr::Literal(LiteralValue::Int(_)), [body, _, _]) => {
                Op::Quantify(Quantifier::One, range, self.boxed(body))
            }
            (Expr::List(_), [keep, added, _]) => match added_element(added) {
                Some(make) => {
                    let keep = Some(self.boxed(keep));
                    Op::Collect { range, keep, make: self.boxed(make) }
                }
                None => self.refuse(at, "this macro is not known here"),
            },
            (Expr::List(_), [_, _]) => match added_element(&it.loop_step) {
                Some(make) => Op::Collect { range, keep: None, make: self.boxed(make) },
                None => self.refuse(at, "this macro is not known here"),
            },
            _ => self.refuse(at, "this macro is not known here"),
        };
        self.locals.pop();
        op
    }
}

/// The `x` of the step `result + [x]`.
fn added_element(step: &IdedExpr) -> Option<&IdedExpr> {
    match &step.expr {
        Expr::Call(CallExpr { args, .. }) => match args.as_slice() {
            [_, IdedExpr { expr: Expr::List(ListExpr { elements, .. }), .. }] => elements.first(),
            _ => None,
        },
        _ => None,
    }
}

/// What is wrong with a path into the event; none if it is a canonical field.
fn unknown_field(path: &str) -> Option<String> {
    if fields::find(path).is_some() || path == "event.type" {
        return None;
    }
    let (object, key) = path.rsplit_once('.')?;
    match fields::find(object) {
        Some(field) if field.shape == Shape::Object => {}
        Some(_) if object == "event" => {}
        Some(field) => return Some(format!("{object} is {} and has no fields", field.shape.as_str())),
        // What is wrong further up is told there.
        None => return None,
    }
    let known = FIELDS.iter().map(|field| field.name).filter(|name| *name != "event").chain(["event.type"]);
    let reported = unknown("field", path, known.clone());
    if nearest(path, known).is_none() && object != "event" {
        return Some(format!("{reported}; a field that your sender adds is written {object}[\"{key}\"]"));
    }
    Some(reported)
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        operators::EQUALS => Binary::Equal,
        operators::NOT_EQUALS => Binary::NotEqual,
        operators::LESS => Binary::Less,
        operators::LESS_EQUALS => Binary::LessOrEqual,
        operators::GREATER => Binary::Greater,
        operators::GREATER_EQUALS => Binary::GreaterOrEqual,
        operators::ADD => Binary::Add,
        operators::SUBSTRACT => Binary::Subtract,
        operators::MULTIPLY => Binary::Multiply,
        operators::DIVIDE => Binary::Divide,
        operators::MODULO => Binary::Modulo,
        operators::IN => Binary::In,
        _ => return None,
    })
}

fn how_to_call(signature: &Signature) -> String {
    let name = signature.name;
    let rest = match signature.most {
        2 if signature.least == 1 => "\"+01:00\"",
        2 => "\"…\"",
        _ => "",
    };
    match signature.style {
        Style::Global => format!("write {name}(x)"),
        Style::Either => format!("write {name}(x) or x.{name}()"),
        Style::Member if signature.least < signature.most => format!("write x.{name}() or x.{name}({rest})"),
        Style::Member => format!("write x.{name}({rest})"),
    }
}

/// How a macro is written.
fn usage(name: &str) -> String {
    match name {
        "has" => "write has(quote.total_pence)".to_owned(),
        "matches" => "write x.matches(\"pattern\")".to_owned(),
        "map" => "write list.map(x, x.name)".to_owned(),
        _ => format!("write list.{name}(x, x.name == \"…\")"),
    }
}
