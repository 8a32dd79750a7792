//! The tree against `serde_json` as the oracle, and the limits.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
};

use proptest::prelude::*;
use serde_json::Value;

use super::{parse::Keys, *};

#[test]
fn texts_survive_unchanged() {
    for text in [
        r#"{"a":18446744073709551616,"b":1.10,"c":-0,"d":1e400,"e":22222332288522222882385}"#,
        r#"{"z":"\u00e9 é \/ \ud83d\ude00","a":[{},[],""," "],"null":null,"t":true,"f":false}"#,
        r#""top""#,
    ] {
        assert_eq!(Json::parse(text.as_bytes()).unwrap().to_string(), text);
    }
    assert_eq!(Json::parse(b" { \"a\" : [ 1 , 2 ] }\r\n\t").unwrap().to_string(), r#"{"a":[1,2]}"#);
}

#[test]
fn what_is_refused_says_where() {
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    let keys =
        format!(r#"{{"a":{{{}}}}}"#, (0..1000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_STRING + 1));
    let values = format!("[{}0]", "0,".repeat(MAX_VALUES - 1));
    for (text, pointer, line, column, detail) in [
        ("", "", 1, 1, "expected a value, found the end of the text"),
        ("{\n  \"a\": 1,\n  \"\\u0061\": 2}", "/a", 3, 3, "duplicate key \"a\""),
        (r#"{"a":["é\u0000"]}"#, "/a/0", 1, 9, "NUL (\\u0000) in a string"),
        ("{\"a/b\":{\"c~\":\"\u{0}\"}}", "/a~1b/c~0", 1, 15, "NUL in a string"),
        ("\"a\nb\"", "", 1, 3, "a control character in a string; escape it"),
        (r#"["\ud800"]"#, "/0", 1, 3, "half of a surrogate pair in a string"),
        (r#"["\udc00\ud800"]"#, "/0", 1, 3, "half of a surrogate pair in a string"),
        (r#"["\ud800\u0041"]"#, "/0", 1, 3, "half of a surrogate pair in a string"),
        (r#"["\u+123"]"#, "/0", 1, 3, "\\u wants four hexadecimal digits"),
        (r#"["\x"]"#, "/0", 1, 3, "unknown escape sequence in a string"),
        (r#"["\é"]"#, "/0", 1, 3, "unknown escape sequence in a string"),
        (r#"["abc]"#, "/0", 1, 2, "a string without its closing quote"),
        (r#""\"#, "", 1, 1, "a string without its closing quote"),
        ("[1,]", "/1", 1, 4, "expected a value, found ']'"),
        ("{\"a\" 1}", "", 1, 6, "expected ':', found '1'"),
        ("{a:1}", "", 1, 2, "expected a key in quotes, found 'a'"),
        ("[1 2]", "", 1, 4, "expected ',' or ']', found '2'"),
        ("01", "", 1, 2, "expected the end of the text, found '1'"),
        ("[1.]", "/0", 1, 4, "expected a digit, found ']'"),
        ("nul", "", 1, 1, "expected a value, found 'n'"),
        ("NaN", "", 1, 1, "expected a value, found 'N'"),
        ("{} x", "", 1, 4, "expected the end of the text, found 'x'"),
        ("\u{feff}{}", "", 1, 1, "a byte order mark; send plain UTF-8"),
        (&keys, "/a", 1, 7889, "more than 1000 keys"),
        (&long, "/a", 1, 6, "a string longer than 64 KiB"),
        (&values, "/9999", 1, 20_000, "more than 10000 values"),
    ] {
        let error = Json::parse_received(text.as_bytes()).unwrap_err();
        let reported = (error.pointer.as_str(), error.line, error.column, error.detail.as_str());
        assert_eq!(reported, (pointer, line, column, detail), "{text:.60}");
    }
    assert!(Json::parse(long.as_bytes()).is_ok(), "our own");
    assert_eq!(Json::parse(deep.as_bytes()).unwrap_err().detail, "nested deeper than 32");
    assert!(Json::parse(&deep.as_bytes()[1..65]).is_ok());
    assert_eq!(Json::parse(b"[\"a\xff\"]").unwrap_err().column, 4);
    assert!(Json::parse(&b"[".repeat(100_000)).is_err());
}

#[test]
fn members_are_found_set_and_taken_by_path() {
    let mut json = Json::parse(br#"{"lead":{"na\u006de":"A","phone":null},"n":80}"#).unwrap();
    assert_eq!(json.at("lead.name").unwrap().as_str().unwrap(), "A");
    assert_eq!(json.at("n").unwrap().as_integer(), Some(80));
    assert_eq!(json.at("n.x"), None);
    json.insert(0, "event", Json::string("x"));
    json.insert(0, "n", Json::integer(81));
    json.set_at("lead.name", Json::string("B"));
    json.set_at("a.b.c", Json::Bool(true));
    json.set_at("n.deep", Json::Null);
    assert_eq!(json.take_at("lead.phone"), Some(Json::Null));
    assert_eq!(json.take_at("lead.phone"), None);
    assert_eq!(json.take_at("lead.name.x"), None);
    assert_eq!(
        json.to_string(),
        r#"{"event":"x","lead":{"na\u006de":"B"},"n":{"deep":null},"a":{"b":{"c":true}}}"#
    );
}

#[test]
fn the_digest_ignores_form_and_nothing_else() {
    let digest = |text: &str| Json::parse(text.as_bytes()).unwrap().digest();
    assert_eq!(digest(r#"{"a":1,"b":["x"]}"#), digest(" {\"b\": [\"\\u0078\"], \"\\u0061\":1 }"));
    for (left, right) in [
        ("1.0", "1"),
        ("\"1\"", "1"),
        ("null", "false"),
        ("[1,2]", "[2,1]"),
        ("[[1],2]", "[[1,2]]"),
        (r#"{"a":{}}"#, r#"{"a":[]}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
    ] {
        assert_ne!(digest(left), digest(right), "{left} {right}");
    }
    let json = Json::parse(br#"{"event":"lead.updated","a":1}"#).unwrap();
    assert_eq!(json.digest_without(&["event"]), digest(r#"{"a":1}"#));
    let nested = Json::parse(br#"{"a":{"b":1,"bc":2},"b":3,"c":[{"b":4}]}"#).unwrap();
    assert_eq!(nested.digest_without(&["a.b", "c.b"]), digest(r#"{"a":{"bc":2},"b":3,"c":[{"b":4}]}"#));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC*|[^\0]*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[^\0]{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn printing_what_was_parsed_changes_nothing(value in any_json()) {
        let text = value.to_string();
        let json = Json::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(json.to_string(), text);
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let again = Json::parse(pretty.as_bytes()).unwrap();
        prop_assert_eq!(again.digest(), json.digest());
        prop_assert_eq!(Json::from(&value).digest(), json.digest());
    }

    #[test]
    fn it_takes_nothing_that_serde_json_refuses(text in "[\\[\\]{}\",:0-9.eE+\\-\\\\untrueflas é]{0,24}") {
        match (Json::parse(text.as_bytes()), serde_json::from_str::<Value>(&text)) {
            (Ok(json), Ok(value)) => {
                let again: Value = serde_json::from_str(&json.to_string()).unwrap();
                prop_assert_eq!(again, value);
            }
            (Ok(_), Err(error)) => {
                // A number too large for a float is valid JSON all the same.
                prop_assert!(error.to_string().contains("number out of range"), "{}: {}", text, error);
            }
            (Err(error), Ok(_)) => {
                prop_assert!(error.detail.starts_with("duplicate") || error.detail.starts_with("NUL"), "{}", error);
            }
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn strings_are_escaped_and_back(text in "[^\0]*") {
        let json = Json::string(&text);
        prop_assert_eq!(json.as_str().unwrap(), text.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&json.to_string()).unwrap(), text);
    }
}

#[test]
fn what_was_taken_can_be_read_again_with_what_we_added() {
    let keys = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let values = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
    assert!(Json::parse_received(keys(MAX_KEYS).as_bytes()).is_ok());
    assert!(Json::parse_received(keys(MAX_KEYS + 1).as_bytes()).is_err());
    assert!(Json::parse(keys(MAX_KEYS + SLACK).as_bytes()).is_ok());
    assert!(Json::parse(keys(MAX_KEYS + SLACK + 1).as_bytes()).is_err());
    assert!(Json::parse_received(values(MAX_VALUES).as_bytes()).is_ok());
    assert!(Json::parse(values(MAX_VALUES + SLACK).as_bytes()).is_ok());
    assert!(Json::parse(values(MAX_VALUES + SLACK + 1).as_bytes()).is_err());
}

#[test]
fn duplicate_keys_are_found_among_many() {
    for count in [1, FEW_AND_MANY.0, FEW_AND_MANY.1, 900] {
        let long = "\\u006b".repeat(40);
        let members: Vec<String> = (0..count).map(|n| format!("\"{long}{n}\":0")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert!(Json::parse(text.as_bytes()).is_ok(), "{count}");
        let twice = text.replace('}', &format!(",\"{}0\":1}}", "k".repeat(40)));
        let error = Json::parse(twice.as_bytes()).unwrap_err();
        assert_eq!(error.detail, format!("duplicate key \"{}0\"", "k".repeat(40)), "{count}");
    }
}

/// Around the size from which on keys are hashed.
const FEW_AND_MANY: (usize, usize) = (16, 17);

/// A key that counts how often it is compared with another.
struct CountedKey<'a>(usize, &'a Cell<usize>);

impl PartialEq for CountedKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.1.set(self.1.get() + 1);
        self.0 == other.0
    }
}

impl Eq for CountedKey<'_> {}

impl Hash for CountedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// How often keys are compared until so many are known to differ.
fn comparisons(count: usize) -> usize {
    let compared = Cell::new(0);
    let mut keys = Keys::new();
    for n in 0..count {
        let key = CountedKey(n, &compared);
        assert!(!keys.contains(&key));
        keys.insert(key);
    }
    compared.get()
}

#[test]
fn twice_as_many_keys_are_told_apart_by_no_more_than_twice_as_much_work() {
    let [half, whole] = [450, 900].map(comparisons);
    assert!(whole <= half * 5 / 2, "{half} comparisons for 450 keys, {whole} for 900");
}

#[test]
fn a_text_is_compared_without_decoding_all_of_it() {
    for (raw, text, same) in [
        (r"\u006bey", "key", true),
        ("key", "key", true),
        ("key", "ke", false),
        ("ke", "key", false),
        ("", "", true),
        (r"\n\ud83d\ude00é", "\n😀é", true),
        (r"a\\b", r"a\b", true),
        (r"a\\b", r"a\\b", false),
    ] {
        let Json::String(read) = Json::parse(format!("\"{raw}\"").as_bytes()).unwrap() else { panic!() };
        assert_eq!(read.is(text), same, "{raw} {text}");
    }
}

#[test]
fn a_weight_counts_values_and_text() {
    let weight = |text: &str| Json::parse(text.as_bytes()).unwrap().weight();
    assert_eq!(weight("[1,2,3]"), 4);
    assert_eq!(weight(r#"{"a":[null,true],"b":{}}"#), 7);
    assert_eq!(weight(&format!("\"{}\"", "x".repeat(3200))), 101);
}

#[test]
fn what_says_nothing_is_left_out_with_what_holds_nothing_else() {
    for (text, said) in [
        (r#"{"a":1,"b":null,"c":" ","d":"Patel","e":"Sarah Patel"}"#, Some(r#"{"a":1,"e":"Sarah Patel"}"#)),
        (r#"{"a":{"b":null,"c":""},"d":{},"e":[],"f":false}"#, Some(r#"{"d":{},"e":[],"f":false}"#)),
        // An item keeps its place among others.
        (r#"{"a":[{"b":null}],"c":[null,1,{"d":""}]}"#, Some(r#"{"c":[null,1,{"d":""}]}"#)),
        (r#"{"a":{"b":[" Patel "]}}"#, None),
        ("7", Some("7")),
    ] {
        let left = Json::parse(text.as_bytes()).unwrap().said(Some("Patel"));
        assert_eq!(left.map(|left| left.to_string()).as_deref(), said, "{text}");
    }
    assert!(Json::string("Patel").said(None).is_some());
}
