//! Field mappings: which field of the integration each canonical field goes to.

use serde_json::Value;

use super::{
    fields::{self, FIELDS, Shape, covers},
    json::Json,
    nearest::unknown,
    template::{Context, Place, RenderError, Template},
};

/// A checked mapping.
#[derive(Debug, Default)]
pub struct Mapping {
    rules: Vec<Rule>,
}

/// What becomes of one canonical field.
#[derive(Debug)]
pub struct Rule {
    /// The canonical field.
    pub field: &'static str,
    /// The integration's field; none leaves the canonical one out.
    pub to: Option<String>,
    value: Option<Template>,
    default: Option<Json>,
}

impl Rule {
    /// Whether a template makes the value, so that it may be of another kind than the field.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        self.value.is_some()
    }

    /// What to put there for an event; none if there is nothing to put.
    pub fn value(&self, context: &Context<'_>) -> Result<Option<Json>, RenderError> {
        let value = match &self.value {
            Some(template) => template.value(context)?,
            None => context.event().at(self.field).cloned(),
        };
        Ok(match (value, &self.default) {
            (None | Some(Json::Null), Some(default)) => Some(default.clone()),
            (value, _) => value,
        })
    }
}

impl Mapping {
    /// Reads a mapping whose targets are names of the integration's own; says everything that is wrong with it.
    pub fn parse(mapping: &Value) -> Result<Self, Vec<String>> {
        let (mapping, problems) = Self::read(mapping);
        if problems.is_empty() { Ok(mapping) } else { Err(problems) }
    }

    /// What can be read of a mapping, and everything that is wrong with the rest.
    fn read(mapping: &Value) -> (Self, Vec<String>) {
        let members = match mapping {
            Value::Null => return Default::default(),
            Value::Object(members) => members,
            _ => {
                let problem = "the mapping must be an object: {\"lead.phone\": \"tel\"}".to_owned();
                return (Self::default(), vec![problem]);
            }
        };
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in members {
            match fields::find(name) {
                None => problems.push(unknown("field", name, FIELDS.iter().map(|field| field.name))),
                Some(field) => match read_rule(field.name, value) {
                    Ok(rule) => rules.push(rule),
                    Err(wrong) => problems.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}"))),
                },
            }
        }
        for (index, rule) in rules.iter().enumerate() {
            if let Some(twin) = rules[..index].iter().find(|twin| twin.to.is_some() && twin.to == rule.to) {
                let target = rule.to.as_deref().unwrap_or_default();
                problems.push(format!(
                    "{} and {} both go to {target}; give each its own",
                    twin.field, rule.field
                ));
            }
        }
        (Self { rules }, problems)
    }

    /// Reads a mapping whose targets are dotted paths in the event itself, as the webhook family has it.
    pub fn parse_within_event(mapping: &Value) -> Result<Self, Vec<String>> {
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

    /// The event with its values moved to where the mapping wants them.
    pub fn apply(&self, context: &Context<'_>) -> Result<Json, RenderError> {
        let values =
            self.rules.iter().map(|rule| rule.value_to_move(context, self)).collect::<Result<Vec<_>, _>>()?;
        let mut event = context.event().clone();
        for rule in &self.rules {
            event.take_at(rule.field);
        }
        for (rule, value) in self.rules.iter().zip(values) {
            if let (Some(target), Some(value)) = (&rule.to, value) {
                event.set_at(target, value);
            }
        }
        Ok(event)
    }

    /// Why a target cannot be: something that stays in the event is there already, or has to be on the way to it.
    fn collision(&self, rule: &Rule) -> Option<String> {
        let target = rule.to.as_deref()?;
        let field = rule.field;
        if target.split('.').any(str::is_empty) {
            return Some(format!("{field}: the path {target:?} has an empty step"));
        }
        let moves = |name: &str| self.rules.iter().any(|other| covers(other.field, name));
        let kept = FIELDS.iter().filter(|field| !moves(field.name)).find(|field| match field.shape {
            Shape::Object => field.name == target && self.keeps_part_of(field.name),
            Shape::Leaf(_) | Shape::List => covers(field.name, target),
        });
        if let Some(kept) = kept {
            return Some(format!("{field}: {} stands at {target}; map that elsewhere or to null", kept.name));
        }
        self.rules.iter().find_map(|outer| {
            let to = outer.to.as_deref().filter(|to| *to != target && covers(to, target))?;
            let is_object = fields::find(outer.field).is_some_and(|field| field.shape == Shape::Object);
            if is_object && outer.value.is_none() {
                return None;
            }
            Some(format!("{field}: {target} lies within {to}, where {} goes", outer.field))
        })
    }

    /// Whether some field of an object is not mapped away.
    fn keeps_part_of(&self, object: &str) -> bool {
        FIELDS.iter().any(|field| {
            field.shape != Shape::Object
                && covers(object, field.name)
                && !self.rules.iter().any(|rule| covers(rule.field, field.name))
        })
    }
}

impl Rule {
    /// As [`Rule::value`], without what other rules take out of an object that is moved whole.
    fn value_to_move(&self, context: &Context<'_>, mapping: &Mapping) -> Result<Option<Json>, RenderError> {
        let mut value = self.value(context)?;
        if let (None, Some(value)) = (&self.value, &mut value) {
            for inner in mapping.rules.iter().filter_map(|rule| rule.field.strip_prefix(self.field)) {
                if let Some(path) = inner.strip_prefix('.') {
                    value.take_at(path);
                }
            }
        }
        Ok(value)
    }
}

const KEYS: [&str; 3] = ["to", "value", "default"];

fn read_rule(field: &'static str, value: &Value) -> Result<Rule, Vec<String>> {
    let plain = |to| Rule { field, to, value: None, default: None };
    match value {
        Value::Null => Ok(plain(None)),
        Value::String(text) => {
            read_target(text).map(|to| plain(Some(to))).map_err(|error| vec![error.to_string()])
        }
        Value::Object(members) => {
            let strangers = members.keys().filter(|key| !KEYS.contains(&key.as_str()));
            let strangers: Vec<String> = strangers.map(|key| unknown("key", key, KEYS)).collect();
            let to = match members.get("to") {
                None => Ok(field.to_owned()),
                Some(Value::String(text)) => read_target(text),
                Some(_) => Err(TargetError::NotText),
            };
            let value = match members.get("value") {
                None => Ok(None),
                Some(Value::String(source)) => {
                    Template::compile(source, Place::Text).map(Some).map_err(String::from)
                }
                Some(_) => Err("\"value\" must be text: a template".to_owned()),
            };
            match (to, value) {
                (Ok(to), Ok(value)) if strangers.is_empty() => {
                    Ok(Rule { field, to: Some(to), value, default: members.get("default").map(Json::from) })
                }
                (to, value) => {
                    let to = to.err().map(|error| error.to_string());
                    Err(strangers.into_iter().chain(to).chain(value.err()).collect())
                }
            }
        }
        _ => {
            Err(vec!["must be the target's name, an object with \"to\", or null to leave it out".to_owned()])
        }
    }
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TargetError {
    #[error("the target is empty; use null to leave the field out")]
    Empty,
    #[error("\"to\" must be text")]
    NotText,
}

fn read_target(text: &str) -> Result<String, TargetError> {
    match text.trim() {
        "" => Err(TargetError::Empty),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::integration::EventKind;

    const EVENT: &str = r#"{"event":"lead.created","lead":{"uuid":"U","name":"A","phone":null,"event_date":"2026-09-12","extra":1.10},"quote":{"total_pence":1269600},"company":{"id":7}}"#;

    fn apply(mapping: Value) -> String {
        let event = Json::parse(EVENT.as_bytes()).unwrap();
        let mapping = Mapping::parse_within_event(&mapping).unwrap();
        mapping.apply(&Context::new(&event, EventKind::Created, "D1")).unwrap().to_string()
    }

    #[test]
    fn values_move_within_the_event() {
        for (mapping, expected) in [
            (json!({}), EVENT.to_owned()),
            (json!(null), EVENT.to_owned()),
            (
                json!({"lead.event_date": "wedding_date", "lead.phone": null, "company": null}),
                r#"{"event":"lead.created","lead":{"uuid":"U","name":"A","extra":1.10},"quote":{"total_pence":1269600},"wedding_date":"2026-09-12"}"#.to_owned(),
            ),
            (
                json!({"quote": null, "quote.total_pence": {"to": "deal.amount", "value": "{{ quote.total_pence | money }}"},
                    "quote.vat_pence": {"to": "deal.vat", "value": "{{ quote.vat_pence | money }}"},
                    "lead.phone": {"default": "none"}, "lead.name": {"to": "title", "value": "{{ lead.name }}/{{ lead.uuid }}"}}),
                r#"{"event":"lead.created","lead":{"uuid":"U","event_date":"2026-09-12","extra":1.10,"phone":"none"},"company":{"id":7},"title":"A/U","deal":{"amount":12696.00}}"#.to_owned(),
            ),
            (
                json!({"lead.uuid": "contact.id", "lead": "contact", "lead.name": "lead"}),
                r#"{"event":"lead.created","quote":{"total_pence":1269600},"company":{"id":7},"lead":"A","contact":{"phone":null,"event_date":"2026-09-12","extra":1.10,"id":"U"}}"#.to_owned(),
            ),
        ] {
            assert_eq!(apply(mapping.clone()), expected, "{mapping}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let problems = |mapping: Value| Mapping::parse_within_event(&mapping).unwrap_err();
        assert_eq!(
            problems(
                json!({"lead.emial": "x", "lead.name": 1, "lead.phone": {"too": "x", "value": "{{ lead.fone }}", "to": 3},
                "lead.uuid": " ", "quote.uuid": "q", "quote.currency": "q", "location.name": "lead.email"})
            ),
            [
                "unknown field lead.emial; did you mean lead.email?",
                "lead.name: must be the target's name, an object with \"to\", or null to leave it out",
                "lead.phone: unknown key too; did you mean to?",
                "lead.phone: \"to\" must be text",
                "lead.phone: {{ lead.fone }}: unknown variable lead.fone; did you mean lead.phone?",
                "lead.uuid: the target is empty; use null to leave the field out",
                "quote.uuid and quote.currency both go to q; give each its own",
                "location.name: lead.email stands at lead.email; map that elsewhere or to null",
            ]
        );
        for (mapping, expected) in [
            (json!([]), "the mapping must be an object: {\"lead.phone\": \"tel\"}"),
            (
                json!({"lead.name": "lead.email"}),
                "lead.name: lead.email stands at lead.email; map that elsewhere or to null",
            ),
            (
                json!({"lead.name": "lead.email.x"}),
                "lead.name: lead.email stands at lead.email.x; map that elsewhere or to null",
            ),
            (json!({"lead.name": "lead"}), "lead.name: lead stands at lead; map that elsewhere or to null"),
            (json!({"lead.name": {"to": "a", "value": 3}}), "lead.name: \"value\" must be text: a template"),
            (json!({"lead.name": "a..b"}), "lead.name: the path \"a..b\" has an empty step"),
            (
                json!({"lead.name": "a", "lead.email": "a.b"}),
                "lead.email: a.b lies within a, where lead.name goes",
            ),
        ] {
            assert_eq!(problems(mapping.clone()), [expected], "{mapping}");
        }
        assert!(
            Mapping::parse_within_event(&json!({"lead.name": "lead.email", "lead.email": "lead.name"}))
                .is_ok()
        );
    }

    /// What becomes of one field whose target is a name of the integration's own: the target, and its value as text.
    #[track_caller]
    fn check_rule(field: &str, rule: &Value, expected: Option<(&str, &str)>) {
        let event = Json::parse(EVENT.as_bytes()).unwrap();
        let mapping = Mapping::parse(&json!({field: rule.clone()})).unwrap();
        let [one] = mapping.rules() else { panic!("{rule}") };
        assert_eq!(one.field, field);
        let value = one.value(&Context::new(&event, EventKind::Created, "D1")).unwrap();
        let value = value.map_or("absent".to_owned(), |value| value.to_string());
        let expected = expected.map(|(to, value)| (to.to_owned(), value.to_owned()));
        assert_eq!(one.to.clone().map(|to| (to, value)), expected, "{field}: {rule}");
    }

    #[test]
    fn each_way_to_map_a_field() {
        for (field, rule, expected) in [
            ("lead.name", json!("first_name"), Some(("first_name", r#""A""#))),
            ("lead.name", json!(" first_name "), Some(("first_name", r#""A""#))),
            ("lead.name", json!(null), None),
            ("lead.name", json!({}), Some(("lead.name", r#""A""#))),
            (
                "lead.name",
                json!({"to": "x", "value": "{{ lead.name }}-{{ lead.uuid }}"}),
                Some(("x", r#""A-U""#)),
            ),
            // One placeholder keeps its type, whatever stands around it in the way of white space does not.
            (
                "quote.total_pence",
                json!({"to": "n", "value": "{{ quote.total_pence }}"}),
                Some(("n", "1269600")),
            ),
            (
                "quote.total_pence",
                json!({"to": "n", "value": "{{ quote.total_pence | money }}"}),
                Some(("n", "12696.00")),
            ),
            (
                "quote.total_pence",
                json!({"to": "n", "value": "{{ quote.total_pence | string }}"}),
                Some(("n", r#""1269600""#)),
            ),
            (
                "quote.total_pence",
                json!({"to": "n", "value": "£{{ quote.total_pence | money }}"}),
                Some(("n", r#""£12696.00""#)),
            ),
            (
                "lead.gdpr_consent",
                json!({"to": "ok", "value": "{{ \"yes\" if lead.gdpr_consent else \"no\" }}"}),
                Some(("ok", r#""no""#)),
            ),
            ("quote.items", json!("rows"), Some(("rows", "absent"))),
            ("company", json!("account"), Some(("account", r#"{"id":7}"#))),
        ] {
            check_rule(field, &rule, expected);
        }
    }

    #[test]
    fn what_is_absent_has_a_default_or_is_nothing() {
        for (field, rule, expected) in [
            // What is absent or null is nothing, unless there is a default, which may be any JSON.
            ("lead.phone", json!("tel"), Some(("tel", "null"))),
            ("lead.phone", json!({"to": "tel", "default": "none"}), Some(("tel", r#""none""#))),
            ("lead.utm.source", json!("source"), Some(("source", "absent"))),
            ("lead.utm.source", json!({"to": "source", "default": 0}), Some(("source", "0"))),
            (
                "lead.utm.source",
                json!({"to": "source", "default": ["a", {"b": null}]}),
                Some(("source", r#"["a",{"b":null}]"#)),
            ),
            ("lead.utm.source", json!({"to": "source", "default": null}), Some(("source", "null"))),
            (
                "lead.utm.source",
                json!({"to": "s", "value": "{{ lead.utm.source }}", "default": "direct"}),
                Some(("s", r#""direct""#)),
            ),
            (
                "lead.utm.source",
                json!({"to": "s", "value": "via {{ lead.utm.source }}", "default": "direct"}),
                Some(("s", r#""via ""#)),
            ),
            (
                "lead.name",
                json!({"to": "budget", "value": "{{ lead[\"extra\"] }}"}),
                Some(("budget", "1.10")),
            ),
        ] {
            check_rule(field, &rule, expected);
        }
    }

    #[test]
    fn every_canonical_field_can_be_mapped_and_its_misspelling_is_recognised() {
        for field in FIELDS {
            assert!(Mapping::parse(&json!({field.name: "x"})).is_ok(), "{}", field.name);
            let misspelt = format!("{}x", field.name);
            let problems = Mapping::parse(&json!({&misspelt: "x"})).unwrap_err();
            assert_eq!(problems, [format!("unknown field {misspelt}; did you mean {}?", field.name)]);
        }
    }

    #[test]
    fn the_mapping_of_the_documents_can_be_saved() {
        let page = include_str!("../../../docs/mapping.md");
        let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
        let example: Value = serde_json::from_str(example).unwrap();
        assert_eq!(example.as_object().unwrap().len(), 5);
        Mapping::parse_within_event(&example).unwrap();
        for inline in page.split('`').filter(|text| text.starts_with("{{") && !text.contains('…')) {
            Template::compile(inline, Place::Text).unwrap_or_else(|error| panic!("{inline}: {error}"));
        }
    }

    proptest! {
        /// Whatever leaves are moved to names of their own, each value is there, and nothing else is touched.
        #[test]
        fn moved_values_arrive_and_others_stay(
            moved in prop::sample::subsequence(vec!["lead.uuid", "lead.name", "lead.event_date", "quote.total_pence", "company.id"], 0..5),
            value in any::<String>().prop_filter("no NUL", |text| !text.contains('\0')),
        ) {
            let mut event = Json::parse(EVENT.as_bytes()).unwrap();
            event.set_at("lead.name", Json::string(&value));
            let mapping: serde_json::Map<String, Value> =
                moved.iter().map(|field| ((*field).to_owned(), json!(format!("to.{}", field.replace('.', "_"))))).collect();
            let mapping = Mapping::parse_within_event(&Value::Object(mapping)).unwrap();
            let mut mapped = mapping.apply(&Context::new(&event, EventKind::Created, "D1")).unwrap();
            for field in &moved {
                prop_assert!(mapped.at(field).is_none());
                let value = mapped.take_at(&format!("to.{}", field.replace('.', "_"))).unwrap();
                mapped.set_at(field, value);
            }
            mapped.take_at("to");
            prop_assert_eq!(mapped.digest(), event.digest());
        }
    }
}
