//! Mappings as they are read, refused and applied.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    integration::EventKind,
    template::{Place, Template},
};

const EVENT: &str = r#"{"event":"lead.created","lead":{"uuid":"U","name":"A","phone":null,"event_date":"2026-09-12","extra":1.10},"quote":{"total_pence":1269600},"company":{"id":7}}"#;

fn apply(mapping: Value) -> String {
    let event = Json::parse(EVENT.as_bytes()).unwrap();
    let mapping = Mapping::parse_within_event(&mapping).unwrap();
    mapping.apply(&Context::new(&event, EventKind::Created, "D1")).unwrap().to_string()
}

/// What is wrong, as it is told.
fn texts(read: Result<Mapping, Vec<MappingProblem>>) -> Vec<String> {
    read.unwrap_err().iter().map(ToString::to_string).collect()
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
    let problems = |mapping: Value| texts(Mapping::parse_within_event(&mapping));
    assert_eq!(
        problems(
            json!({"lead.emial": "x", "lead.name": 1, "lead.phone": {"too": "x", "value": "{{ lead.fone }}", "to": 3},
            "lead.uuid": " ", "quote.uuid": "q", "quote.currency": "q", "location.name": "lead.email"})
        ),
        [
            "unknown field lead.emial; did you mean lead.email?",
            "lead.name: must be the target's name, an object with \"to\", or null to leave it out",
            "lead.phone: unknown key too; did you mean to?",
            "lead.phone: {{ lead.fone }}: unknown variable lead.fone; did you mean lead.phone?",
            "lead.phone: \"to\" must be text",
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
        (
            json!({"lead.name": {"to": "a", "value": []}}),
            "lead.name: \"value\" must be text, which is a template, a number, true or false",
        ),
        (json!({"lead.name": "a..b"}), "lead.name: the path \"a..b\" has an empty step"),
        (
            json!({"lead.name": "a", "lead.email": "a.b"}),
            "lead.email: a.b lies within a, where lead.name goes",
        ),
    ] {
        assert_eq!(problems(mapping.clone()), [expected], "{mapping}");
    }
    assert!(
        Mapping::parse_within_event(&json!({"lead.name": "lead.email", "lead.email": "lead.name"})).is_ok()
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
        ("quote.total_pence", json!({"to": "n", "value": "{{ quote.total_pence }}"}), Some(("n", "1269600"))),
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
        ("lead.name", json!({"to": "budget", "value": "{{ lead[\"extra\"] }}"}), Some(("budget", "1.10"))),
    ] {
        check_rule(field, &rule, expected);
    }
}

#[test]
fn every_canonical_field_can_be_mapped_and_its_misspelling_is_recognised() {
    for field in FIELDS {
        assert!(Mapping::parse(&json!({field.name: "x"})).is_ok(), "{}", field.name);
        let misspelt = format!("{}x", field.name);
        let problems = texts(Mapping::parse(&json!({&misspelt: "x"})));
        assert_eq!(problems, [format!("unknown field {misspelt}; did you mean {}?", field.name)]);
    }
}

#[test]
fn the_mapping_of_the_documents_can_be_saved() {
    let page = include_str!("../../../../docs/mapping.md");
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    assert_eq!(example.as_object().unwrap().len(), 5);
    Mapping::parse_within_event(&example).unwrap();
    for inline in page.split('`').filter(|text| text.starts_with("{{") && !text.contains('…')) {
        Template::compile(inline, Place::Text).unwrap_or_else(|error| panic!("{inline}: {error}"));
    }
}

/// What each target gets of an event, in order.
fn told(event: &str, mapping: Value) -> Vec<(String, String)> {
    let event = Json::parse(event.as_bytes()).unwrap();
    let mapping = Mapping::parse(&mapping).unwrap();
    let context = Context::new(&event, EventKind::Created, "D1");
    let targets = mapping
        .targets()
        .filter_map(|(rule, to)| Some((to.to_owned(), rule.value_to_keep(&context).unwrap()?)));
    targets.map(|(to, value)| (to, value.to_string())).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(to, value)| (to.to_owned(), value.to_owned())).to_vec()
}

#[test]
fn blank_text_is_absent_unless_it_shall_clear() {
    let event = r#"{"lead":{"name":" \t","phone":"","email":"a@b.c","utm":{"source":null}}}"#;
    let mapping = json!({"lead.name": "n", "lead.phone": "tel", "lead.email": "e", "lead.utm.source": "s"});
    assert_eq!(told(event, mapping), pairs([("e", r#""a@b.c""#)]));
    let mapping = json!({"lead.phone": {"to": "tel", "clear": true}, "lead.name": {"to": "n", "default": "none"},
        "lead.source_url": {"to": "u", "clear": true}});
    assert_eq!(told(event, mapping), pairs([("tel", "null"), ("n", r#""none""#)]));
}

#[test]
fn constants_own_fields_and_several_targets_are_mapped() {
    let event = r#"{"lead":{"email":"a@b.c","budget":"5000","tags":["x"]}}"#;
    let mapping = json!({
        "hubspot_owner_id": {"value": "12345"},
        "is_new": {"value": true},
        "stage": {"value": 7},
        "greeting": {"value": "Hello {{ lead.email }}"},
        "lead.budget": [{"to": "budget__c", "as": "number"}, "budget_text"],
    });
    assert_eq!(
        told(event, mapping),
        pairs([
            ("hubspot_owner_id", r#""12345""#),
            ("is_new", "true"),
            ("stage", "7"),
            ("greeting", r#""Hello a@b.c""#),
            ("budget__c", "5000"),
            ("budget_text", r#""5000""#),
        ])
    );
}

#[test]
fn words_parts_and_kinds_are_translated() {
    let event = r#"{"lead":{"name":"Ana Maria de Souza","event_type":"birthday","guest_count":80,"event_date":"2026-09-12",
        "opted":"Yes","seats":"12","price":"9.50","odd":"many"}}"#;
    let mapping = json!({
        "lead.event_type": [{"to": "kind", "values": {"wedding": "Wedding Fair", "*": "Other"}},
            {"to": "same", "values": {"wedding": "Wedding Fair"}}],
        "lead.name": [{"to": "first", "part": "first"}, {"to": "rest", "part": "rest"}, {"to": "last", "part": "last"}],
        "lead.guest_count": {"to": "guests", "as": "text"},
        "lead.opted": {"to": "opted", "as": "boolean"},
        "lead.seats": {"to": "seats", "as": "integer"},
        "lead.price": {"to": "price", "as": "number"},
        "lead.odd": {"to": "odd", "as": "integer"},
    });
    assert_eq!(
        told(event, mapping),
        pairs([
            ("kind", r#""Other""#),
            ("same", r#""birthday""#),
            ("first", r#""Ana""#),
            ("rest", r#""Maria de Souza""#),
            ("last", r#""Souza""#),
            ("guests", r#""80""#),
            ("opted", "true"),
            ("seats", "12"),
            ("price", "9.50"),
            ("odd", r#""many""#),
        ])
    );
}

#[test]
fn rules_that_say_nonsense_are_refused() {
    for (mapping, expected) in [
        (json!({"lead.name": {"part": "middle"}}), "lead.name: \"part\" must be one of first, rest, last"),
        (
            json!({"lead.guest_count": {"part": "first"}}),
            "lead.guest_count: \"part\" takes a part of a text, and this is none",
        ),
        (
            json!({"lead.name": {"as": "money"}}),
            "lead.name: \"as\" must be one of text, integer, number, boolean, date",
        ),
        (
            json!({"lead.name": {"values": {}}}),
            "lead.name: \"values\" must say what words become: {\"wedding\": \"Wedding\", \"*\": \"Other\"}",
        ),
        (json!({"lead.name": {"clear": "yes"}}), "lead.name: \"clear\" must be true or false"),
        (json!({"lead.name": {"new": "yes"}}), "lead.name: \"new\" must be true or false"),
        (json!({"lead.name": []}), "lead.name: the list is empty; use null to leave the field out"),
        (json!({"lead.name": ["a", "a"]}), "lead.name and lead.name both go to a; give each its own"),
        (json!({"lead.emial": "x"}), "unknown field lead.emial; did you mean lead.email?"),
        (json!({"lead..x": "x"}), "unknown field lead..x"),
        (json!({"budget": "x"}), "unknown field budget"),
        (
            json!({"owner": {"value": "{{ lead.fone }}"}}),
            "owner: {{ lead.fone }}: unknown variable lead.fone; did you mean lead.phone?",
        ),
    ] {
        assert_eq!(texts(Mapping::parse(&mapping)), [expected], "{mapping}");
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
