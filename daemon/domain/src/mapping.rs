//! Field mappings: which field of the integration each canonical field goes to.

mod rule;

use std::{error::Error, fmt};

use serde_json::Value;

use super::{
    fields::{self, FIELDS, Shape, covers},
    json::Json,
    template::{Context, RenderError},
};
pub use rule::{As, Rule};

/// What is wrong with a mapping, in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingProblem {
    /// The member that it is about; empty where the sentence names what it is about.
    pub field: String,
    pub text: String,
}

impl MappingProblem {
    fn new(text: impl Into<String>) -> Self {
        Self { field: String::new(), text: text.into() }
    }

    fn of(field: &str, text: impl Into<String>) -> Self {
        Self { field: field.to_owned(), text: text.into() }
    }
}

impl fmt::Display for MappingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.text),
            field => write!(f, "{field}: {}", self.text),
        }
    }
}

impl Error for MappingProblem {}

/// A checked mapping.
#[derive(Debug, Default)]
pub struct Mapping {
    rules: Vec<Rule>,
}

impl Mapping {
    /// Reads a mapping whose targets are names of the integration's own; says everything that is wrong with it.
    pub fn parse(mapping: &Value) -> Result<Self, Vec<MappingProblem>> {
        let (mapping, problems) = Self::read(mapping);
        if problems.is_empty() { Ok(mapping) } else { Err(problems) }
    }

    /// What can be read of a mapping, and everything that is wrong with the rest.
    fn read(mapping: &Value) -> (Self, Vec<MappingProblem>) {
        let members = match mapping {
            Value::Null => return Default::default(),
            Value::Object(members) => members,
            _ => {
                let text = "the mapping must be an object: {\"lead.phone\": \"tel\"}";
                return (Self::default(), vec![MappingProblem::new(text)]);
            }
        };
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in members {
            match rule::read_all(name, value) {
                Ok(more) => rules.extend(more),
                Err(wrong) => problems.extend(wrong),
            }
        }
        for (index, rule) in rules.iter().enumerate() {
            if let Some(twin) = rules[..index].iter().find(|twin| twin.to.is_some() && twin.to == rule.to) {
                let target = rule.to.as_deref().unwrap_or_default();
                problems.push(MappingProblem::new(format!(
                    "{} and {} both go to {target}; give each its own",
                    twin.field, rule.field
                )));
            }
        }
        (Self { rules }, problems)
    }

    /// Reads a mapping whose targets are dotted paths in the event itself, as the webhook family has it.
    pub fn parse_within_event(mapping: &Value) -> Result<Self, Vec<MappingProblem>> {
        let (mut mapping, mut problems) = Self::read(mapping);
        problems.extend(mapping.rules.iter().filter_map(|rule| mapping.collision(rule)));
        if !problems.is_empty() {
            return Err(problems);
        }
        // An object is put before what goes into it.
        mapping.rules.sort_by_key(|rule| rule.to.as_ref().map(String::len));
        Ok(mapping)
    }

    /// Whether nothing is mapped, so that the event is pushed as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What is mapped.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What goes to a target, each with it.
    pub fn targets(&self) -> impl Iterator<Item = (&Rule, &str)> {
        self.rules.iter().filter_map(|rule| Some((rule, rule.to.as_deref()?)))
    }

    /// Whether only a record that is made for the lead gets what goes to a target.
    #[must_use]
    pub fn is_for_new(&self, target: &str) -> bool {
        self.targets().any(|(rule, to)| to == target && rule.is_for_new())
    }

    /// Whether anything is said of a field.
    #[must_use]
    pub fn mentions(&self, field: &str) -> bool {
        self.rules.iter().any(|rule| rule.field == field)
    }

    /// The event with its values moved to where the mapping wants them.
    pub fn apply(&self, context: &Context<'_>) -> Result<Json, RenderError> {
        let values =
            self.rules.iter().map(|rule| rule.value_to_move(context, self)).collect::<Result<Vec<_>, _>>()?;
        let mut event = context.event().clone();
        for rule in &self.rules {
            event.take_at(&rule.field);
        }
        for (rule, value) in self.rules.iter().zip(values) {
            if let (Some(target), Some(value)) = (&rule.to, value) {
                event.set_at(target, value);
            }
        }
        Ok(event)
    }

    /// Why a target cannot be: something that stays in the event is there already, or has to be on the way to it.
    fn collision(&self, rule: &Rule) -> Option<MappingProblem> {
        let target = rule.to.as_deref()?;
        let field = &rule.field;
        if target.split('.').any(str::is_empty) {
            return Some(MappingProblem::of(field, format!("the path {target:?} has an empty step")));
        }
        let moves = |name: &str| self.rules.iter().any(|other| covers(&other.field, name));
        let kept = FIELDS.iter().filter(|field| !moves(field.name)).find(|field| match field.shape {
            Shape::Object => field.name == target && self.keeps_part_of(field.name),
            Shape::Leaf(_) | Shape::List => covers(field.name, target),
        });
        if let Some(kept) = kept {
            let text = format!("{} stands at {target}; map that elsewhere or to null", kept.name);
            return Some(MappingProblem::of(field, text));
        }
        self.rules.iter().find_map(|outer| {
            let to = outer.to.as_deref().filter(|to| *to != target && covers(to, target))?;
            let is_object = fields::find(&outer.field).is_some_and(|field| field.shape == Shape::Object);
            if is_object && !outer.is_computed() {
                return None;
            }
            let text = format!("{target} lies within {to}, where {} goes", outer.field);
            Some(MappingProblem::of(field, text))
        })
    }

    /// Whether some field of an object is not mapped away.
    fn keeps_part_of(&self, object: &str) -> bool {
        FIELDS.iter().any(|field| {
            field.shape != Shape::Object
                && covers(object, field.name)
                && !self.rules.iter().any(|rule| covers(&rule.field, field.name))
        })
    }
}

impl Rule {
    /// As [`Rule::value`], without what other rules take out of an object that is moved whole.
    fn value_to_move(&self, context: &Context<'_>, mapping: &Mapping) -> Result<Option<Json>, RenderError> {
        let mut value = self.value(context)?;
        if let (false, Some(value)) = (self.is_computed(), &mut value) {
            for inner in mapping.rules.iter().filter_map(|rule| rule.field.strip_prefix(self.field.as_str()))
            {
                if let Some(path) = inner.strip_prefix('.') {
                    value.take_at(path);
                }
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
