//! What a condition is compiled to: every name and call in it is known, and how deep it goes is bounded.

use regex::Regex;

/// A step of a condition, and where it stands in the text.
#[derive(Debug)]
pub(super) struct Node {
    /// A byte offset.
    pub(super) at: usize,
    pub(super) op: Op,
}

#[derive(Debug)]
pub(super) enum Op {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<Node>),
    /// `lead`, `quote`, …; null if the event has none.
    Root(&'static str),
    /// `event.type`.
    EventType,
    /// The variable of the n-th macro around it, counted from outside.
    Local(usize),
    Select(Box<Node>, String),
    Has(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    Binary(Binary, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Regex),
    /// `exists`, `all` and `exists_one` over a list.
    Quantify(Quantifier, Box<Node>, Box<Node>),
    /// `map` and `filter`: what is kept, and what becomes of it.
    Collect {
        range: Box<Node>,
        keep: Option<Box<Node>>,
        make: Box<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    In,
}

impl Binary {
    /// As it is written.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::In => "in",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    ToInt,
    ToDouble,
    ToText,
    Timestamp,
    FullYear,
    Month,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `size(x)`
    Global,
    /// `x.contains(y)`
    Member,
    Either,
}

/// A function: its name, how it is called, and how many arguments it has at least and at most, its receiver included.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) function: Function,
    pub(super) style: Style,
    pub(super) least: usize,
    pub(super) most: usize,
}

const fn signature(
    name: &'static str,
    function: Function,
    style: Style,
    least: usize,
    most: usize,
) -> Signature {
    Signature { name, function, style, least, most }
}

/// Every function but `matches` and the macros.
pub(super) const FUNCTIONS: &[Signature] = &[
    signature("size", Function::Size, Style::Either, 1, 1),
    signature("contains", Function::Contains, Style::Member, 2, 2),
    signature("startsWith", Function::StartsWith, Style::Member, 2, 2),
    signature("endsWith", Function::EndsWith, Style::Member, 2, 2),
    signature("lowerAscii", Function::LowerAscii, Style::Member, 1, 1),
    signature("upperAscii", Function::UpperAscii, Style::Member, 1, 1),
    signature("int", Function::ToInt, Style::Global, 1, 1),
    signature("double", Function::ToDouble, Style::Global, 1, 1),
    signature("string", Function::ToText, Style::Global, 1, 1),
    signature("timestamp", Function::Timestamp, Style::Global, 1, 1),
    signature("getFullYear", Function::FullYear, Style::Member, 1, 2),
    signature("getMonth", Function::Month, Style::Member, 1, 2),
    signature("getDayOfMonth", Function::DayOfMonth, Style::Member, 1, 2),
    signature("getDate", Function::Date, Style::Member, 1, 2),
    signature("getDayOfWeek", Function::DayOfWeek, Style::Member, 1, 2),
    signature("getHours", Function::Hours, Style::Member, 1, 2),
    signature("getMinutes", Function::Minutes, Style::Member, 1, 2),
];

/// What is written like a function but is none of the table: macros, and `matches`, whose pattern is compiled.
pub(super) const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter", "matches"];
