//! Leads from files: columns and paths become fields, texts become what the field holds.

mod targets;
mod values;

use std::{collections::HashSet, error::Error, fmt};

use serde_json::Value;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{
    fields::covers,
    ids::{CompanyId, LeadId},
    json::Json,
    lead::LeadProblem,
    nearest::unknown,
};
use targets::{FieldError, field_called, find, own_field, slug};
pub use values::DateOrder;
use values::{CellError, cell, typed};

/// How an operator wants a file to be imported.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// From a column or path to a field, or null.
    pub map: &'a Value,
    /// From a field to the value of lines that have none.
    pub set: &'a Value,
    /// The heading; empty if lines are events.
    pub columns: &'a [String],
    /// The column or path that tells leads apart; empty if the whole line does.
    pub key: &'a str,
    /// Columns that are called like no field are refused.
    pub strict: bool,
    pub order: Option<DateOrder>,
}

/// A column that is called like no field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnColumn {
    pub column: String,
    /// Where its values go.
    pub field: String,
    /// The canonical field whose name it nearly has.
    pub meant: Option<&'static str>,
}

/// What is wrong with how a file is to be imported, in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProblem {
    /// What of the wish it is about: `map`, `set` or `key`; empty for a column.
    pub part: &'static str,
    pub text: String,
}

impl ImportProblem {
    const fn of(part: &'static str, text: String) -> Self {
        Self { part, text }
    }
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            "" => f.write_str(&self.text),
            part => write!(f, "{part}: {}", self.text),
        }
    }
}

impl Error for ImportProblem {}

/// How the lines of a file become events.
#[derive(Debug)]
pub struct Import {
    /// Lines are rows: only what is mapped stands in the event.
    is_rows: bool,
    rules: Vec<ColumnRule>,
    /// What every line has that brings none of its own.
    set: Vec<(String, Json)>,
    key: Option<LeadKey>,
    order: Option<DateOrder>,
    own: Vec<OwnColumn>,
}

/// From the column or path, to the field; none leaves it out.
#[derive(Debug)]
struct ColumnRule {
    from: String,
    to: Option<String>,
}

/// What tells leads apart.
#[derive(Debug)]
struct LeadKey {
    from: String,
    /// An address is the same whatever its case.
    is_email: bool,
}

impl Import {
    /// Reads how to import; says everything that is wrong with it.
    pub fn read(wish: &Wish<'_>) -> Result<Self, Vec<ImportProblem>> {
        let mut problems = Vec::new();
        let mut import = Self {
            is_rows: !wish.columns.is_empty(),
            rules: Vec::new(),
            set: Vec::new(),
            key: None,
            order: wish.order,
            own: Vec::new(),
        };
        import.read_map(wish, &mut problems);
        import.read_columns(wish, &mut problems);
        for (index, ColumnRule { from, to }) in import.rules.iter().enumerate() {
            let Some(field) = to else { continue };
            let meets = |other: &String| covers(other, field) || covers(field, other);
            if let Some(twin) = import.rules[..index].iter().find(|rule| rule.to.as_ref().is_some_and(meets))
            {
                let text = format!("{} and {from} both go to {field}; give each its own", twin.from);
                problems.push(ImportProblem::of("map", text));
            }
        }
        for (field, value) in wish.set.as_object().into_iter().flatten() {
            match find(field) {
                Ok(name) => {
                    let value = Json::from(value);
                    let value = typed(&name, value.clone(), wish.order).unwrap_or(value);
                    import.set.push((name, value));
                }
                Err(problem) => problems.push(ImportProblem::of("set", problem.to_string())),
            }
        }
        import.read_key(wish, &mut problems);
        if problems.is_empty() { Ok(import) } else { Err(problems) }
    }

    fn read_map(&mut self, wish: &Wish<'_>, problems: &mut Vec<ImportProblem>) {
        let columns: HashSet<&str> = wish.columns.iter().map(String::as_str).collect();
        for (from, to) in wish.map.as_object().into_iter().flatten() {
            let is_known = !self.is_rows || columns.contains(from.as_str());
            if !is_known {
                let reported = unknown("column", from, wish.columns.iter().map(String::as_str));
                problems.push(ImportProblem::of("map", reported));
            }
            let to = match to {
                Value::Null => Ok(None),
                Value::String(name) => find(name).map(Some),
                _ => Err(FieldError::NoName),
            };
            match to {
                Ok(to) if is_known => self.rules.push(ColumnRule { from: from.clone(), to }),
                Ok(_) => {}
                Err(problem) => problems.push(ImportProblem::of("map", format!("{from}: {problem}"))),
            }
        }
    }

    /// Columns that the map does not name go by their own names.
    fn read_columns(&mut self, wish: &Wish<'_>, problems: &mut Vec<ImportProblem>) {
        for column in wish.columns.iter().filter(|column| wish.map.get(column.as_str()).is_none()) {
            let field = match field_called(column) {
                Some(field) => field.to_owned(),
                None if wish.strict => {
                    problems.push(ImportProblem::of("", format!(
                        "column {column:?} is called like no field: add it to the map, with null to leave it out"
                    )));
                    continue;
                }
                None => match own_field(column) {
                    Some(own) => {
                        let field = own.field.clone();
                        self.own.push(own);
                        field
                    }
                    None => {
                        problems.push(ImportProblem::of("", format!(
                            "column {column:?} cannot be a field of its own: add it to the map, with null to leave it \
                             out"
                        )));
                        continue;
                    }
                },
            };
            self.rules.push(ColumnRule { from: column.clone(), to: Some(field) });
        }
    }

    fn read_key(&mut self, wish: &Wish<'_>, problems: &mut Vec<ImportProblem>) {
        if wish.key.is_empty() {
            return;
        }
        if self.is_rows && !wish.columns.iter().any(|column| column == wish.key) {
            let reported = unknown("column", wish.key, wish.columns.iter().map(String::as_str));
            problems.push(ImportProblem::of("key", reported));
        }
        let goes_to =
            self.rules.iter().find(|rule| rule.from == wish.key).and_then(|rule| rule.to.as_deref());
        let field = goes_to.unwrap_or(wish.key);
        self.key = Some(LeadKey { from: wish.key.to_owned(), is_email: field == "lead.email" });
    }

    /// The columns that are called like no field.
    #[must_use]
    pub fn own_columns(&self) -> &[OwnColumn] {
        &self.own
    }

    /// Whether one column tells leads apart, so that each value may stand in one line only.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The event of a line, and the uuid it gets if it brings none: made of its key or its content, so that importing a
    /// file again makes no second lead.
    pub fn event(&self, company: CompanyId, line: &[u8]) -> Result<(Json, LeadId), Vec<LeadProblem>> {
        let mut line = Json::parse(line).map_err(|error| vec![problem("", error.to_string())])?;
        if !matches!(line, Json::Object(_)) {
            return Err(vec![problem("", "must be an object".to_owned())]);
        }
        let mut problems = Vec::new();
        let key = self.key.as_ref().map(|key| self.key_value(key, &line));
        let key = key.transpose().unwrap_or_else(|wrong| {
            problems.push(wrong);
            None
        });
        let mut moved = Vec::new();
        for ColumnRule { from, to } in &self.rules {
            let value = if self.is_rows { line.get(from).cloned() } else { line.take_at(from) };
            let (Some(value), Some(to)) = (value, to) else { continue };
            match self.value(to, value) {
                Ok(value) => moved.extend(value.map(|value| (to, value))),
                Err(error) => problems.push(problem(&pointer(from), error.to_string())),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut event = if self.is_rows { Json::Object(Vec::new()) } else { line };
        for (field, value) in moved {
            event.set_at(field, value);
        }
        for (field, value) in &self.set {
            if event.at(field).is_none() {
                event.set_at(field, value.clone());
            }
        }
        call_by_names(&mut event);
        let id = match key {
            Some(key) => id_of(company, key.as_bytes()),
            None => id_of(company, &event.digest_without(&["event"])),
        };
        Ok((event, id))
    }

    /// None for a blank cell.
    fn value(&self, field: &str, value: Json) -> Result<Option<Json>, CellError> {
        if !self.is_rows {
            return typed(field, value, self.order).map(Some);
        }
        let Some(text) = value.as_str() else { return typed(field, value, self.order).map(Some) };
        match cell(&text)? {
            None => Ok(None),
            Some(text) => typed(field, Json::string(text), self.order).map(Some),
        }
    }

    /// What tells this line's lead from others: the column with its value.
    fn key_value(&self, key: &LeadKey, line: &Json) -> Result<String, LeadProblem> {
        let value = if self.is_rows { line.get(&key.from) } else { line.at(&key.from) };
        let text = match value {
            Some(Json::Number(number)) => Some(number.to_string()),
            value => value.and_then(Json::as_str).map(|text| text.trim().to_owned()),
        };
        match text {
            Some(text) if !text.is_empty() => {
                let text = if key.is_email { text.to_lowercase() } else { text };
                Ok(format!("{}\0{text}", slug(&key.from)))
            }
            _ => {
                let place = if self.is_rows { key.from.clone() } else { key.from.replace('.', "/") };
                Err(problem(
                    &pointer(&place),
                    "is the key and must be text or a number, not blank".to_owned(),
                ))
            }
        }
    }
}

fn problem(pointer: &str, detail: String) -> LeadProblem {
    LeadProblem { pointer: pointer.to_owned(), detail }
}

fn pointer(column: &str) -> String {
    format!("/{}", column.replace('~', "~0").replace('/', "~1"))
}

/// A lead without a name is called by its first and last name.
fn call_by_names(event: &mut Json) {
    if event.at("lead.name").is_some() {
        return;
    }
    let part = |path| event.at(path).and_then(Json::as_str).map(|part| part.trim().to_owned());
    let parts = [part("lead.profile.first_name"), part("lead.profile.last_name")];
    let name: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if !name.is_empty() {
        event.set_at("lead.name", Json::string(&name.join(" ")));
    }
}

/// Its time is 1970: such a lead stands behind all that came in by themselves.
fn id_of(company: CompanyId, identity: &[u8]) -> LeadId {
    let mut hasher = Sha256::new();
    hasher.update(company.0.to_be_bytes());
    hasher.update(identity);
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&hash[..10]);
    Ulid::from_bytes(bytes).into()
}

#[cfg(test)]
mod tests;
