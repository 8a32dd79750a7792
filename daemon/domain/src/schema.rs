//! The fields that a target has of its own, as its schema tells, and what is wrong with a mapping to them.

use serde_json::Value;

mod kind;
mod propose;

use super::{
    fields,
    json::Json,
    mapping::{As, Mapping, Rule},
    nearest::unknown,
    outcome::Failure,
};
use kind::kind_of_value;
pub use kind::{EVENT_TYPES, Kind, kind_brought};
pub use propose::{Proposal, propose};

/// A field of the target's own.
#[derive(Clone, Debug)]
pub struct TargetField {
    /// What mappings call it.
    pub name: String,
    /// What else they may call it.
    pub aliases: Vec<String>,
    /// What people read above it.
    pub label: String,
    /// Its type in the vendor's words.
    pub kind: String,
    pub takes: Takes,
    pub choices: Vec<FieldChoice>,
    /// Why no mapping may write it, where that is so.
    pub fixed: Option<&'static str>,
    /// Whether we write it ourselves, or it is none that a lead should go to.
    pub is_ours: bool,
    pub is_required: bool,
}

/// One of the values that a field may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChoice {
    pub value: Value,
    pub label: String,
}

/// Which values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Whatever comes: it is written as text.
    Any,
    /// Whatever is one value.
    Scalar,
    /// Text alone: a number as JSON is refused.
    Text,
    Number,
    Truth,
    Date,
    Time,
    /// A date, with a time or without.
    Day,
    /// One of its choices and nothing else.
    Choice,
    /// Nothing that a lead has.
    Nothing,
}

impl Takes {
    #[must_use]
    pub fn fits(self, own: Kind) -> bool {
        match self {
            Self::Any => true,
            Self::Scalar => own != Kind::Whole,
            Self::Text => !matches!(own, Kind::Number | Kind::Truth | Kind::Whole),
            Self::Number => own == Kind::Number,
            Self::Truth => own == Kind::Truth,
            Self::Date => own == Kind::Date,
            Self::Time => own == Kind::Time,
            Self::Day => matches!(own, Kind::Date | Kind::Time),
            Self::Choice => own == Kind::Text,
            Self::Nothing => false,
        }
    }

    /// As what a mapping can make a value that does not fit.
    fn wanted(self) -> Option<As> {
        match self {
            Self::Text => Some(As::Text),
            Self::Number => Some(As::Number),
            Self::Truth => Some(As::Boolean),
            Self::Date | Self::Day => Some(As::Date),
            Self::Any | Self::Scalar | Self::Time | Self::Choice | Self::Nothing => None,
        }
    }
}

impl TargetField {
    #[must_use]
    pub fn new(name: impl Into<String>, kind: impl Into<String>, takes: Takes) -> Self {
        let name = name.into();
        Self {
            label: name.clone(),
            name,
            aliases: Vec::new(),
            kind: kind.into(),
            takes,
            choices: Vec::new(),
            fixed: None,
            is_ours: false,
            is_required: false,
        }
    }

    #[must_use]
    pub fn labelled(mut self, label: Option<&str>) -> Self {
        self.label = label.map_or(self.label, str::to_owned);
        self
    }

    /// The values that it may have, from a list of objects in which these members are the value and what people read.
    #[must_use]
    pub fn choosing(mut self, list: &Value, value: &str, label: &str) -> Self {
        self.choices = choices(list, value, label);
        self
    }

    /// Why no mapping may write it, if that is so.
    #[must_use]
    pub fn fixed(mut self, is_fixed: bool, why: &'static str) -> Self {
        self.fixed = is_fixed.then_some(why);
        self
    }

    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// Why a rule does not fit.
    fn misfit(&self, rule: &Rule) -> Option<String> {
        let target = rule.to.as_deref().unwrap_or_default();
        if let Some(why) = self.fixed {
            return Some(format!("{}: {target} cannot be written: {why}", rule.field));
        }
        // What is fixed is compared with the choices themselves.
        let is_compared = self.takes == Takes::Choice && rule.fixed_values().next().is_some();
        let is_wrong =
            |own: &Kind| !(self.takes.fits(*own) || self.is_answered_by(*own)) || self.is_of_numbers();
        if let Some(own) = kind_brought(rule).filter(|own| !is_compared && is_wrong(own)) {
            return Some(format!("{}: {target} is of type {}, and this is {own}", rule.field, self.kind));
        }
        if let Some(why) = self.unfit_value(rule) {
            return Some(format!("{}: {target} is of type {}, and {why}", rule.field, self.kind));
        }
        let missing = self.missing_choices(rule);
        (!missing.is_empty())
            .then(|| format!("{}: {target} has no option {}", rule.field, missing.join(", ")))
    }

    /// Why a value does not fit whose kind the mapping leaves open: one that is the same for every lead, or a sender's own.
    fn unfit_value(&self, rule: &Rule) -> Option<String> {
        // What the target chooses from is compared with that, and what it refers to is no value of a lead.
        let is_compared = matches!(self.takes, Takes::Choice | Takes::Nothing) || rule.kind().is_some();
        let fits = |value: &Json| kind_of_value(value).is_none_or(|own| self.takes.fits(own));
        let mut fixed = rule.fixed_values().map(Json::from).filter(|_| !is_compared);
        if let Some(value) = fixed.find(|value| !fits(value)) {
            let way = self.takes.wanted().filter(|way| fits(&way.of(value.clone())));
            let advice = way.map(|way| format!(": add \"as\": \"{}\"", way.as_str())).unwrap_or_default();
            let own = kind_of_value(&value).map(|own| own.to_string()).unwrap_or_default();
            return Some(format!("{value} is {own}{advice}"));
        }
        let is_own = !rule.is_computed() && fields::find(&rule.field).is_none();
        let way = self.takes.wanted().filter(|way| is_own && *way != As::Text)?;
        Some(format!("what a sender adds may be anything: add \"as\": \"{}\"", way.as_str()))
    }

    /// Whether its choices are the words true and false, which is how a checkbox is told that takes nothing but text.
    fn is_answered_by(&self, own: Kind) -> bool {
        let has = |word: &str| self.choices.iter().any(|choice| choice.value == word);
        self.takes == Takes::Choice && own == Kind::Truth && has("true") && has("false")
    }

    /// Whether its choices are told by numbers of the vendor's, which no lead has.
    fn is_of_numbers(&self) -> bool {
        self.takes == Takes::Choice
            && !self.choices.is_empty()
            && !self.choices.iter().any(|choice| choice.value.is_string())
    }

    /// The words that a rule may bring, and that are none of the choices.
    fn missing_choices(&self, rule: &Rule) -> Vec<String> {
        if self.takes != Takes::Choice || self.choices.is_empty() {
            return Vec::new();
        }
        let told = |word: &Value| word.as_str().map_or_else(|| word.to_string(), str::to_owned);
        let is_there = |word: &Value| self.choices.iter().any(|choice| told(&choice.value) == told(word));
        let fixed = rule.fixed_values().filter(|word| !is_there(word)).map(told);
        let own = EVENT_TYPES.into_iter().filter(|_| rule.field == "lead.event_type" && !rule.is_computed());
        fixed.chain(own.filter(|word| !is_there(&Value::from(*word))).map(str::to_owned)).collect()
    }
}

/// The values of a list of objects in which these members are the value and what people read.
#[must_use]
pub fn choices(list: &Value, value: &str, label: &str) -> Vec<FieldChoice> {
    let choice = |choice: &Value| {
        let value = choice.get(value).filter(|value| !value.is_null())?.clone();
        let label = choice[label].as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(FieldChoice { value, label })
    };
    list.as_array().into_iter().flatten().filter_map(choice).collect()
}

/// What is wrong with settings that name choices of fields, each by its key, the field and the words: what the field does
/// not have, where the target tells its choices. `is_default` says which of them nobody chose.
#[must_use]
pub fn unknown_choices(
    targets: &[TargetField],
    settings: &[(&str, &str, &[String])],
    is_default: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (key, field, words) in settings {
        let Some(target) = targets.iter().find(|target| target.is_called(field)) else { continue };
        let is_it = |choice: &FieldChoice, word: &String| {
            let own = choice.value.as_str().map_or_else(|| choice.value.to_string(), str::to_owned);
            own.eq_ignore_ascii_case(word) || choice.label.eq_ignore_ascii_case(word)
        };
        let is_there = |word: &String| target.choices.iter().any(|choice| is_it(choice, word));
        // What is told by numbers is set by them.
        let told = |choice: &FieldChoice| match &choice.value {
            Value::Number(number) => format!("{number} ({})", choice.label),
            _ => choice.label.clone(),
        };
        let labels: Vec<String> = target.choices.iter().map(told).collect();
        let missing = words.iter().filter(|word| !labels.is_empty() && !is_there(word));
        let chosen = missing.filter(|word| !is_default(key, word));
        findings.extend(chosen.map(|word| {
            format!("{key}: {} has no option {word}; it has {}", target.label, labels.join(", "))
        }));
    }
    findings
}

/// Lets whose records are to be be compared with who there is. Where that cannot be read, a sentence says so.
pub fn owned_by(
    targets: &mut [TargetField],
    fields: &[&str],
    users: Result<Vec<FieldChoice>, Failure>,
) -> Option<String> {
    let users = match users {
        Ok(users) => users,
        Err(failure) => {
            return Some(format!("{}: who may own it cannot be read: {}", fields.join(", "), failure.error));
        }
    };
    for target in targets.iter_mut().filter(|target| fields.contains(&target.name.as_str())) {
        (target.takes, target.choices) = (Takes::Choice, users.clone());
    }
    None
}

/// Whether a mapping says whose records are to be.
#[must_use]
pub fn names_owner(mapping: &Mapping, fields: &[&str]) -> bool {
    mapping.targets().any(|(_, target)| fields.contains(&target))
}

/// What is wrong with the targets of a mapping, given the names that exist at the vendor.
#[must_use]
pub fn unknown_targets(mapping: &Mapping, what: &str, existing: &[String]) -> Vec<String> {
    mapping
        .targets()
        .filter(|(_, target)| !existing.iter().any(|name| name == target))
        .map(|(rule, target)| {
            format!("{}: {}", rule.field, unknown(what, target, existing.iter().map(String::as_str)))
        })
        .collect()
}

/// What is wrong with a mapping, a sentence each; `what` is what the vendor calls its fields.
#[must_use]
pub fn findings(mapping: &Mapping, what: &str, targets: &[TargetField]) -> Vec<String> {
    let names = targets.iter().flat_map(|target| [&target.name].into_iter().chain(&target.aliases));
    let names: Vec<String> = names.cloned().collect();
    let mut findings = unknown_targets(mapping, what, &names);
    for (rule, name) in mapping.targets() {
        let target = targets.iter().find(|target| target.is_called(name));
        findings.extend(target.and_then(|target| target.misfit(rule)));
    }
    let is_given = |target: &TargetField| mapping.targets().any(|(_, name)| target.is_called(name));
    let lacking = targets.iter().filter(|target| target.is_required && !target.is_ours && !is_given(target));
    findings
        .extend(lacking.map(|target| format!("{} is required, and nothing is mapped to it", target.name)));
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_target_is_named_with_the_nearest() {
        let mapping = Mapping::parse(&json!({"lead.phone": "phne", "lead.email": "email"})).unwrap();
        let existing = ["email".to_owned(), "phone".to_owned()];
        assert_eq!(
            unknown_targets(&mapping, "property", &existing),
            ["lead.phone: unknown property phne; did you mean phone?"]
        );
    }

    #[test]
    fn true_and_false_answer_a_checkbox_and_no_other_choice() {
        let findings_of = |words: [&str; 2]| {
            let choices = json!(words.map(|word| json!({ "value": word, "label": "?" })));
            let target = TargetField::new("agrees", "enumeration", Takes::Choice);
            let mapping =
                json!({ "lead.gdpr_consent": "agrees", "lead.vip": { "to": "vip", "as": "boolean" } });
            let targets = ["agrees", "vip"]
                .map(|name| TargetField { name: name.to_owned(), ..target.clone() })
                .map(|target| target.choosing(&choices, "value", "label"));
            findings(&Mapping::parse(&mapping).unwrap(), "property", &targets)
        };
        assert_eq!(findings_of(["true", "false"]), [""; 0]);
        assert_eq!(
            findings_of(["Yes", "No"]),
            [
                "lead.gdpr_consent: agrees is of type enumeration, and this is true or false",
                "lead.vip: vip is of type enumeration, and this is true or false"
            ]
        );
    }

    #[test]
    fn what_settings_name_is_compared_with_the_choices() {
        let list = json!([{ "v": "New", "l": "New" }, { "v": "lost", "l": "Lost Lead" }]);
        let targets = [
            TargetField::new("Status", "picklist", Takes::Text).choosing(&list, "v", "l"),
            TargetField::new("Source", "text", Takes::Text),
        ];
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (status, source) = (words(&["new", "Lost lead", "Junk", "Gone"]), words(&["Web"]));
        let settings: [(&str, &str, &[String]); 3] =
            [("closed", "Status", &status), ("source", "Source", &source), ("other", "Nowhere", &source)];
        assert_eq!(
            unknown_choices(&targets, &settings, |key, word| (key, word) == ("closed", "Junk")),
            ["closed: Status has no option Gone; it has New, Lost Lead"]
        );
        let list = json!([{ "v": 8, "l": "Web" }, { "v": 9, "l": "Fair" }]);
        let numbers = [TargetField::new("Source", "picklist", Takes::Choice).choosing(&list, "v", "l")];
        let source = words(&["8", "fair", "7"]);
        assert_eq!(
            unknown_choices(&numbers, &[("source", "Source", &source)], |_, _| false),
            ["source: Source has no option 7; it has 8 (Web), 9 (Fair)"]
        );
    }

    #[test]
    fn owners_that_cannot_be_read_are_told_of() {
        let mut targets = [TargetField::new("OwnerId", "reference", Takes::Nothing)];
        let failure = Failure::new(crate::outcome::FailureClass::Rejected, "403 no scope");
        assert_eq!(
            owned_by(&mut targets, &["OwnerId"], Err(failure)).as_deref(),
            Some("OwnerId: who may own it cannot be read: 403 no scope")
        );
        assert_eq!(owned_by(&mut targets, &["OwnerId"], Ok(Vec::new())), None);
        assert_eq!(targets[0].takes, Takes::Choice);
    }

    #[test]
    fn constants_and_what_senders_add_are_compared_too() {
        let of = |takes: Takes, rule: Value| {
            let mapping = Mapping::parse(&rule).unwrap();
            findings(&mapping, "field", &[TargetField::new("x", "thing", takes)])
        };
        let own = |more: &str| format!("lead.budget: x is of type thing, and {more}");
        for (takes, rule, expected) in [
            (
                Takes::Number,
                json!({"value": "123"}),
                r#"x: x is of type thing, and "123" is a text: add "as": "number""#,
            ),
            (Takes::Number, json!({"value": "many"}), r#"x: x is of type thing, and "many" is a text"#),
            (Takes::Number, json!({"value": 123}), ""),
            (Takes::Number, json!({"value": "123", "as": "number"}), ""),
            (
                Takes::Truth,
                json!({"value": "yes"}),
                r#"x: x is of type thing, and "yes" is a text: add "as": "boolean""#,
            ),
            (Takes::Truth, json!({"value": true}), ""),
            (
                Takes::Text,
                json!({"value": 7}),
                r#"x: x is of type thing, and 7 is a number: add "as": "text""#,
            ),
            (Takes::Text, json!({"value": "2026-09-12"}), ""),
            (Takes::Date, json!({"value": "2026-09-12"}), ""),
            (
                Takes::Date,
                json!({"value": "2026-09-12T14:00:00Z"}),
                r#"x: x is of type thing, and "2026-09-12T14:00:00Z" is a date with a time: add "as": "date""#,
            ),
            (Takes::Day, json!({"value": "2026-09-12T14:00:00Z"}), ""),
            // Whom it refers to is told by an id of the vendor's.
            (Takes::Nothing, json!({"value": "005A"}), ""),
            (Takes::Any, json!({"value": "123"}), ""),
        ] {
            let found = of(takes, json!({ "x": rule }));
            assert_eq!(found.join("; "), expected, "{takes:?}, {rule}");
        }
        for (takes, rule, expected) in [
            (Takes::Number, json!("x"), own(r#"what a sender adds may be anything: add "as": "number""#)),
            (Takes::Truth, json!("x"), own(r#"what a sender adds may be anything: add "as": "boolean""#)),
            (Takes::Date, json!("x"), own(r#"what a sender adds may be anything: add "as": "date""#)),
            (Takes::Number, json!({"to": "x", "as": "integer"}), String::new()),
            (
                Takes::Number,
                json!({"to": "x", "values": {"a": "1"}}),
                own(r#""1" is a text: add "as": "number""#),
            ),
            (Takes::Text, json!("x"), String::new()),
            (Takes::Any, json!("x"), String::new()),
        ] {
            let found = of(takes, json!({ "lead.budget": rule }));
            assert_eq!(found.join("; "), expected, "{takes:?}, {rule}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said_in_a_sentence() {
        let mapping = Mapping::parse(&json!({"viewing.starts_at": "day", "lead.phone": "count"})).unwrap();
        let targets = [
            TargetField::new("day", "number", Takes::Number),
            TargetField::new("count", "counter", Takes::Any).fixed(true, "it is counted"),
            TargetField { is_required: true, ..TargetField::new("region", "text", Takes::Text) },
        ];
        assert_eq!(
            findings(&mapping, "field", &targets),
            [
                "viewing.starts_at: day is of type number, and this is a date with a time",
                "lead.phone: count cannot be written: it is counted",
                "region is required, and nothing is mapped to it",
            ]
        );
    }
}
