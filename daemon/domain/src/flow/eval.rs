//! Carries a condition out, within a number of steps: what an event contains must not hold up others.

use std::{borrow::Cow, cmp::Ordering, rc::Rc};

use super::{
    error::EvalError,
    fuel::Fuel,
    program::{Binary, Node, Op, Quantifier},
    value::{Value, equal, order},
};
use crate::{integration::EventKind, json::Json};

/// The longest text that a condition may make, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EvalFault {
    /// A byte offset in the condition.
    pub(super) at: usize,
    pub(super) reason: String,
    /// The field that was looked for and is not there.
    pub(super) absent: Option<String>,
}

type Evaluated<'a> = Result<Value<'a>, EvalFault>;

/// One evaluation over one event.
pub(super) struct Evaluation<'a> {
    event: &'a Json,
    kind: EventKind,
    fuel: Fuel,
    locals: Vec<Value<'a>>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(event: &'a Json, kind: EventKind, fuel: usize) -> Self {
        Self { event, kind, fuel: Fuel::new(fuel), locals: Vec::new() }
    }

    /// How many steps are left.
    pub(super) fn left(&self) -> usize {
        self.fuel.left()
    }

    /// Whether the condition holds.
    pub(super) fn decide(&mut self, node: &'a Node) -> Result<bool, EvalFault> {
        match self.value(node)? {
            Value::Bool(answer) => Ok(answer),
            other => {
                Err(fault(node, format!("the condition comes to {}, not to true or false", other.kind())))
            }
        }
    }

    fn value(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.burn(node, 1)?;
        Ok(match &node.op {
            Op::Null => Value::Null,
            Op::Bool(value) => Value::Bool(*value),
            Op::Int(value) => Value::Int(*value),
            Op::Double(value) => Value::Double(*value),
            Op::Text(value) => Value::Text(Cow::Borrowed(value)),
            Op::List(nodes) => {
                let items = nodes.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                Value::List(Rc::new(items))
            }
            Op::Root(name) => match self.member(node, self.event, name)? {
                Some(json) => Value::of(json).map_err(|error| fault(node, error.to_string()))?,
                None => Value::Null,
            },
            Op::EventType => Value::Text(Cow::Borrowed(self.kind.as_str())),
            Op::Local(index) => self.local(node, *index)?,
            Op::Select(operand, field) => {
                let object = self.value(operand)?;
                self.select(node, operand, &object, field)?
            }
            Op::Has(operand, field) => match self.value(operand) {
                Ok(Value::Object(object)) => {
                    Value::Bool(self.member(node, object, field)?.is_some_and(|value| !value.is_null()))
                }
                Ok(Value::Null) => Value::Bool(false),
                Ok(other) => return Err(fault(node, format!("{} has no fields", other.kind()))),
                Err(fault) if fault.absent.is_some() => Value::Bool(false),
                Err(fault) => return Err(fault),
            },
            Op::Index(operand, index) => self.index(node, operand, index)?,
            Op::Not(operand) => Value::Bool(!self.truth(operand)?),
            Op::Negate(operand) => negate(node, &self.value(operand)?)?,
            Op::And(left, right) => Value::Bool(self.either(left, right, false)?),
            Op::Or(left, right) => Value::Bool(self.either(left, right, true)?),
            Op::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                if self.truth(condition)? { self.value(then)? } else { self.value(otherwise)? }
            }
            Op::Binary(binary, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(node, *binary, left, right)?
            }
            Op::Call(function, arguments) => {
                let arguments =
                    arguments.iter().map(|node| self.value(node)).collect::<Result<Vec<_>, _>>()?;
                self.burn(node, arguments.iter().map(Value::weight).sum())?;
                super::functions::call(*function, &arguments)
                    .map_err(|error| fault(node, error.to_string()))?
            }
            Op::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    self.burn(node, text.len())?;
                    Value::Bool(pattern.is_match(&text))
                }
                other => return Err(fault(node, format!("matches wants text, not {}", other.kind()))),
            },
            Op::Quantify(quantifier, range, body) => Value::Bool(self.quantify(*quantifier, range, body)?),
            Op::Collect { range, keep, make } => self.collect(range, keep.as_deref(), make)?,
        })
    }

    fn burn(&mut self, node: &Node, steps: usize) -> Result<(), EvalFault> {
        self.fuel.burn(steps).map_err(|error| fault(node, error.to_string()))
    }

    /// The member of an object; an object of the event may have a thousand of them.
    fn member(&mut self, node: &Node, object: &'a Json, key: &str) -> Result<Option<&'a Json>, EvalFault> {
        if let Json::Object(members) = object {
            self.burn(node, members.len() / 16)?;
        }
        Ok(object.get(key))
    }

    fn local(&mut self, node: &Node, index: usize) -> Evaluated<'a> {
        let copied = self.locals.get(index).map_or(0, Value::copied);
        self.burn(node, copied)?;
        Ok(self.locals.get(index).cloned().unwrap_or(Value::Null))
    }

    fn select(&mut self, node: &Node, operand: &Node, object: &Value<'a>, field: &str) -> Evaluated<'a> {
        let found = match object {
            Value::Object(object) => self.member(node, object, field)?,
            Value::Null => None,
            other => {
                return Err(fault(node, format!("{} is {} and has no fields", name(operand), other.kind())));
            }
        };
        let Some(json) = found else {
            let whole = match node.op {
                Op::Select(..) => name(node),
                _ => format!("{}[\"{field}\"]", name(operand)),
            };
            return Err(EvalFault {
                absent: Some(whole.clone()),
                ..fault(node, format!("{whole} is absent"))
            });
        };
        let value = Value::of(json).map_err(|reason| fault(node, format!("{}: {reason}", name(node))))?;
        self.burn(node, value.copied())?;
        Ok(value)
    }

    /// Equality pays for what it looks at, element by element; everything else for its operands.
    fn binary(&mut self, node: &Node, binary: Binary, left: Value<'a>, right: Value<'a>) -> Evaluated<'a> {
        match binary {
            Binary::Equal | Binary::NotEqual => {
                let same =
                    equal(&left, &right, &mut self.fuel).map_err(|error| fault(node, error.to_string()))?;
                Ok(Value::Bool(same == (binary == Binary::Equal)))
            }
            Binary::In => {
                contains(&left, &right, &mut self.fuel).map_err(|error| fault(node, error.to_string()))
            }
            _ => {
                self.burn(node, left.weight() + right.weight())?;
                calculate(node, binary, left, right)
            }
        }
    }

    fn truth(&mut self, node: &'a Node) -> Result<bool, EvalFault> {
        match self.value(node)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(fault(node, format!("true or false is wanted here, not {}", other.kind()))),
        }
    }

    /// `||` and `&&`: one side alone may decide, and then what is wrong with the other does not matter.
    fn either(&mut self, left: &'a Node, right: &'a Node, decisive: bool) -> Result<bool, EvalFault> {
        let left = self.truth(left);
        if left == Ok(decisive) {
            return Ok(decisive);
        }
        let right = self.truth(right);
        if right == Ok(decisive) {
            return Ok(decisive);
        }
        left.and(right)
    }

    fn index(&mut self, node: &Node, operand: &'a Node, index: &'a Node) -> Evaluated<'a> {
        let (container, key) = (self.value(operand)?, self.value(index)?);
        match (&container, &key) {
            (Value::Object(_) | Value::Null, Value::Text(key)) => self.select(node, operand, &container, key),
            (container, Value::Int(number)) if container.list_len().is_some() => {
                let item = usize::try_from(*number).ok().and_then(|index| container.item(index));
                match item {
                    Some(item) => {
                        let item = item.map_err(|error| fault(node, error.to_string()))?;
                        self.burn(node, item.copied())?;
                        Ok(item)
                    }
                    None => Err(EvalFault {
                        absent: Some(format!("{}[{number}]", name(operand))),
                        ..fault(node, format!("{} has no element {number}", name(operand)))
                    }),
                }
            }
            (container, key) => {
                Err(fault(node, format!("{} cannot be looked up in {}", key.kind(), container.kind())))
            }
        }
    }

    /// The elements of a list, the number of them first.
    fn range(&mut self, node: &'a Node) -> Result<(Value<'a>, usize), EvalFault> {
        let list = self.value(node)?;
        match list.list_len() {
            Some(length) => Ok((list, length)),
            None => Err(fault(node, format!("{} is {}, not a list", name(node), list.kind()))),
        }
    }

    /// A node's value for one element.
    fn with<T>(
        &mut self,
        list: &Value<'a>,
        index: usize,
        node: &'a Node,
        read: impl FnOnce(&mut Self, &'a Node) -> Result<T, EvalFault>,
    ) -> Result<T, EvalFault> {
        let item = match list.item(index) {
            Some(item) => item.map_err(|error| fault(node, error.to_string()))?,
            None => Value::Null,
        };
        self.burn(node, item.copied())?;
        self.locals.push(item);
        let answer = read(self, node);
        self.locals.pop();
        answer
    }

    fn quantify(
        &mut self,
        quantifier: Quantifier,
        range: &'a Node,
        body: &'a Node,
    ) -> Result<bool, EvalFault> {
        let (list, length) = self.range(range)?;
        let (mut found, mut trouble) = (0, None);
        for index in 0..length {
            match (quantifier, self.with(&list, index, body, Self::truth)) {
                (Quantifier::Exists, Ok(true)) => return Ok(true),
                (Quantifier::All, Ok(false)) => return Ok(false),
                (Quantifier::One, Ok(true)) => found += 1,
                (_, Ok(_)) => {}
                (Quantifier::One, Err(fault)) => return Err(fault),
                (_, Err(fault)) => {
                    trouble.get_or_insert(fault);
                }
            }
            if self.fuel.left() == 0 {
                break;
            }
        }
        match (trouble, quantifier) {
            (Some(fault), _) => Err(fault),
            (None, Quantifier::Exists) => Ok(false),
            (None, Quantifier::All) => Ok(true),
            (None, Quantifier::One) => Ok(found == 1),
        }
    }

    fn collect(&mut self, range: &'a Node, keep: Option<&'a Node>, make: &'a Node) -> Evaluated<'a> {
        let (list, length) = self.range(range)?;
        let mut made = Vec::new();
        for index in 0..length {
            let keeps = match keep {
                Some(keep) => self.with(&list, index, keep, Self::truth)?,
                None => true,
            };
            if keeps {
                made.push(self.with(&list, index, make, Self::value)?);
            }
        }
        Ok(Value::List(Rc::new(made)))
    }
}

pub(super) fn fault(node: &Node, reason: String) -> EvalFault {
    EvalFault { at: node.at, reason, absent: None }
}

/// A node as it is written, if it is a name.
fn name(node: &Node) -> String {
    match &node.op {
        Op::Root(root) => (*root).to_owned(),
        Op::EventType => "event.type".to_owned(),
        Op::Select(operand, field) => format!("{}.{field}", name(operand)),
        Op::Index(operand, index) => match &index.op {
            Op::Text(key) => format!("{}[\"{key}\"]", name(operand)),
            Op::Int(index) => format!("{}[{index}]", name(operand)),
            _ => format!("{}[…]", name(operand)),
        },
        Op::Local(_) => "an element".to_owned(),
        _ => "this".to_owned(),
    }
}

fn negate(node: &Node, value: &Value<'_>) -> Evaluated<'static> {
    match value {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or_else(|| overflow(node)),
        Value::Double(value) => Ok(Value::Double(-value)),
        other => Err(fault(node, format!("{} has no negative", other.kind()))),
    }
}

fn overflow(node: &Node) -> EvalFault {
    fault(node, "the number leaves the range of 64 bits".to_owned())
}

fn calculate<'a>(node: &Node, binary: Binary, left: Value<'a>, right: Value<'a>) -> Evaluated<'a> {
    let unfit = |hint: &str| {
        let (left, right) = (left.kind(), right.kind());
        fault(node, format!("{} does not go with {left} and {right}{hint}", binary.sign()))
    };
    let ordered = |wanted: fn(Ordering) -> bool| match order(&left, &right) {
        Some(order) => Ok(Value::Bool(wanted(order))),
        None => Err(unfit("")),
    };
    match binary {
        Binary::Less => ordered(Ordering::is_lt),
        Binary::LessOrEqual => ordered(Ordering::is_le),
        Binary::Greater => ordered(Ordering::is_gt),
        Binary::GreaterOrEqual => ordered(Ordering::is_ge),
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Modulo => {
            match (&left, &right) {
                (Value::Int(left), Value::Int(right)) => whole(node, binary, *left, *right),
                (Value::Double(left), Value::Double(right)) if binary != Binary::Modulo => {
                    Ok(Value::Double(decimal(binary, *left, *right)))
                }
                (Value::Int(_), Value::Double(_)) | (Value::Double(_), Value::Int(_)) => {
                    Err(unfit("; write double(…) around the integer"))
                }
                (Value::Text(left), Value::Text(right)) if binary == Binary::Add => {
                    if left.len() + right.len() > MAX_TEXT {
                        return Err(fault(
                            node,
                            format!("the text gets longer than {} KiB", MAX_TEXT / 1024),
                        ));
                    }
                    Ok(Value::Text(format!("{left}{right}").into()))
                }
                _ => Err(unfit("")),
            }
        }
        Binary::Equal | Binary::NotEqual | Binary::In => Err(unfit("")),
    }
}

fn whole(node: &Node, binary: Binary, left: i64, right: i64) -> Evaluated<'static> {
    if right == 0 && matches!(binary, Binary::Divide | Binary::Modulo) {
        return Err(fault(node, "a division by zero".to_owned()));
    }
    let number = match binary {
        Binary::Add => left.checked_add(right),
        Binary::Subtract => left.checked_sub(right),
        Binary::Multiply => left.checked_mul(right),
        Binary::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    number.map(Value::Int).ok_or_else(|| overflow(node))
}

fn decimal(binary: Binary, left: f64, right: f64) -> f64 {
    match binary {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        _ => left / right,
    }
}

/// `x in list`, and `"key" in object`.
fn contains<'a>(item: &Value<'a>, container: &Value<'a>, fuel: &mut Fuel) -> Result<Value<'a>, EvalError> {
    if let (Value::Text(key), Value::Object(object)) = (item, container) {
        if let Json::Object(members) = object {
            fuel.burn(members.len() / 16)?;
        }
        return Ok(Value::Bool(object.get(key).is_some()));
    }
    let Some(length) = container.list_len() else {
        return Err(EvalError::WantsList(container.kind()));
    };
    for index in 0..length {
        if let Some(other) = container.item(index) {
            let other = other?;
            fuel.burn(1 + other.copied())?;
            if equal(item, &other, fuel)? {
                return Ok(Value::Bool(true));
            }
        }
    }
    Ok(Value::Bool(false))
}
