//! What templates come to, what is refused on save, and that no value leaves its place.

use proptest::prelude::*;
use url::Url;

use super::*;

const EVENT: &str = r#"{"event":"lead.created","version":"v1","lead":{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"sarah \"S\" PATEL","email":"sarah@example.com","phone":null,"event_type":"wedding","event_date":"2026-09-12","guest_count":80,"gdpr_consent":true,"budget":1.10,"tags":["a",null],"big":18446744073709551616},"quote":{"rules_pence":-5,"total_pence":1269600,"items":[{"name":"Hire","unit_pence":350000}]},"company":{"id":7,"name":"The Old Barn"}}"#;

/// What it comes to, and why not, as text.
fn outcome(source: &str, place: Place) -> (bool, String) {
    let event = Json::parse(EVENT.as_bytes()).unwrap();
    let context = Context::new(&event, EventKind::Created, "D1");
    match Template::compile(source, place).map(|template| template.render(&context)) {
        Ok(Ok(text)) => (true, text),
        Ok(Err(error)) => (false, error.to_string()),
        Err(error) => (false, error.to_string()),
    }
}

fn text(source: &str) -> String {
    let (is_rendered, text) = outcome(source, Place::Text);
    assert!(is_rendered, "{text}");
    text
}

#[test]
fn names_and_filters() {
    for (source, expected) in [
        ("plain }} text", "plain }} text"),
        ("{{lead.email}}/{{ event.type }}/{{ event.id }}", "sarah@example.com/lead.created/D1"),
        ("{{ contact._id }} {{ contact.email }}", "01j8h6kqh4yg3xr8rwm6t6xfqe sarah@example.com"),
        ("{{ contact.attributes.guest_count }} {{ workspace.uuid }}", "80 7"),
        ("[{{ lead.phone }}{{ viewing.starts_at }}{{ lead.phone | upper }}]", "[]"),
        ("{{ lead.phone | default('none') }} {{ lead.name | d('x') }}", "none sarah \"S\" PATEL"),
        ("{{ lead.name | split | first | title }}", "Sarah"),
        ("{{ lead.name | title }} {{ lead.name | upper | length }}", "Sarah \"s\" Patel 15"),
        ("{{ quote.total_pence | money }} {{ quote.rules_pence|money }}", "12696.00 -0.05"),
        ("{{ quote.vat_pence | money }}", ""),
        ("{{ lead.event_date | date }} [{{ viewing.starts_at | date }}{{ '  ' | date }}]", "2026-09-12 []"),
        (
            "{{ lead.event_date | date('%-d %B %Y') }} {{ lead.event_date | date('%d/%m/%y') }}",
            "12 September 2026 12/09/26",
        ),
        ("{{ '2026-06-04T23:30:00+01:00' | date }}", "2026-06-04"),
        ("{{ '2026-06-04T14:00:00Z' | date('%H:%M') }} {{ '2026-06-04 14:00' | date('%H') }}", "14:00 14"),
        ("{{ quote.items[0].name }} {{ quote.items | length }}", "Hire 1"),
        ("{{ 'big' if lead.guest_count > 50 else 'small' }}", "big"),
        ("{{ lead.name ~ '}}' ~ lead.phone }}", "sarah \"S\" PATEL}}"),
        (
            "{{ lead[\"budget\"] }} {{ lead['big'] }} {{ contact['budget'] }}",
            "1.10 18446744073709551616 1.10",
        ),
        ("{{ lead['tags'] }} {{ lead['missing'] }}", "[\"a\",null] "),
        ("{{ {'a': {'b': lead.guest_count}} }}", r#"{"a":{"b":80}}"#),
        ("{{ lead.phone is defined }} {{ lead.phone is none }}", "false true"),
    ] {
        assert_eq!(text(source), expected, "{source}");
    }
}

#[test]
fn what_is_refused_on_save_says_what_to_do() {
    for (source, expected) in [
        ("{{ lead.emial }}", "unknown variable lead.emial; did you mean lead.email?"),
        ("{{ contact.attributes.emial }}", "did you mean contact.attributes.email?"),
        ("{{ lead.emial | upper }}", "unknown variable lead.emial; did you mean lead.email?"),
        (
            "{{ lead.budget }}",
            "unknown variable lead.budget; a field that your sender adds is written lead[\"budget\"]",
        ),
        ("{{ event }}", "write event.type or event.id"),
        ("{{ range(9) }}", "unknown variable range"),
        ("{{ lead.name | mony }}", "unknown filter mony; did you mean money?"),
        ("{{ lead.name | indent(999999999) }}", "unknown filter indent"),
        ("{{ 'x' if lead.name else lead.name|replace('a', 'b') }}", "unknown filter replace"),
        ("{{ lead.name | money }}", "money wants whole pence, not a string"),
        ("{{ lead.name | date }}", "date wants a date or a time, as 2026-09-12 or 2026-09-12T14:00:00+01:00"),
        ("{{ lead.guest_count | date }}", "date wants a date or a time"),
        ("{{ lead.event_date | date('%H:%M') }}", "this cannot be written as \"%H:%M\": "),
        ("{{ lead.event_date | date('%!') }}", "this cannot be written as \"%!\": "),
        (
            &format!("{{{{ lead.event_date | date('{}') }}}}", "%Y".repeat(33)),
            "the pattern of a date may have 64 bytes",
        ),
        ("{{ quote.total_pence - 1 }}", " for a lead without optional fields; add | default(…)"),
        ("{{ 'a' * 100000000 }}", "* is not available in templates"),
        ("{% for x in y %}", "{% is not available; templates take {{ expressions }} only"),
        ("{# x #}", "{# is not available"),
        ("{{ lead.email", "\"{{ lead.email\" has no closing }}"),
        ("{{ lead.emial\n | upper }}", "{{ lead.emial | upper }}: unknown variable lead.emial"),
        ("{{ }}", "{{ }} is empty; name a variable, as {{ lead.email }}"),
        ("{{- lead.email }}", "{{- and -}} are not needed: white space is never added"),
        ("{{ lead.email email }}", "{{ lead.email email }}: "),
        (&format!("{{{{ {} }}}}", ["lead.name"; 34].join("~")), "more than 32 of ~ and + in one expression"),
        (
            &format!("{{{{ [{}] }}}}", ["lead"; 103].join(",")),
            "an expression may have 512 bytes; this one has 516",
        ),
        (&"x".repeat(4097), "a template may have 4 KiB; this one has 4097 bytes"),
    ] {
        let error = Template::compile(source, Place::Text).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{source:.60} gave {error}");
    }
}

#[test]
fn output_and_work_are_bounded() {
    let mut event = Json::parse(EVENT.as_bytes()).unwrap();
    event.set_at("lead.name", Json::string(&"x".repeat(60_000)));
    let context = Context::new(&event, EventKind::Created, "D1");
    for (source, told) in [
        ("{{ lead.name }}".repeat(5), "{{ lead.name }}: the text gets longer than 256 KiB"),
        (format!("{{{{ [{}] }}}}", ["lead.name"; 5].join(",")), "the value is too large"),
        ("{{ lead.guest_count | split }}".to_owned(), "split wants text"),
        ("{{ lead.email | split('') }}".to_owned(), "split wants a separator, or none for white space"),
        ("{{ lead.name | split('x') }}".to_owned(), "split makes more than 1000 parts"),
        ("{{ lead.guest_count | length }}".to_owned(), "length wants text or a list"),
        ("{{ [1] | upper }}".to_owned(), "the filter wants text, not a sequence"),
    ] {
        let error = match Template::compile(&source, Place::Text) {
            Ok(template) => template.render(&context).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(told), "{source:.60}: {error}");
    }
}

#[test]
fn values_are_escaped_for_their_place() {
    for (source, place, expected) in [
        ("/{{ lead.name }}", Place::PathSegment, Ok("/sarah%20%22S%22%20PATEL")),
        ("q={{ lead.email }}&p={{ lead.phone }}", Place::QueryValue, Ok("q=sarah%40example.com&p=")),
        ("Bearer {{ lead.name }}", Place::Header, Ok("Bearer sarah \"S\" PATEL")),
        ("{{ 'José' }}", Place::Header, Ok("Jos%C3%A9")),
        (
            "n={{ 'Love & Peace=50%&admin=1' }}",
            Place::FormBody,
            Ok("n=Love%20%26%20Peace%3D50%25%26admin%3D1"),
        ),
        ("<n>{{ '<a> & \"b\"' }}</n>", Place::XmlBody, Ok("<n>&lt;a&gt; &amp; &quot;b&quot;</n>")),
        (
            "{{ 'a b' | urlencode }}-{{ '<' | xml }}-{{ 'x\"y' | json }}",
            Place::Text,
            Ok("a%20b-&lt;-\"x\\\"y\""),
        ),
        (
            r#"{"a": {{ lead.phone }}, "b":"{{ lead.phone }}", "c":{{lead.name}},"d":"-{{ lead.name }}-"}"#,
            Place::JsonBody,
            Ok(r#"{"a": null, "b":"", "c":"sarah \"S\" PATEL","d":"-sarah \"S\" PATEL-"}"#),
        ),
        (
            r#"[{{ lead["budget"] }},{{ quote.total_pence | money }},"{{ quote.total_pence | money }}"]"#,
            Place::JsonBody,
            Ok(r#"[1.10,12696.00,"12696.00"]"#),
        ),
        (
            r#"{"q":{{ quote }},"n":{"x":{{ lead["tags"] }}}}"#,
            Place::JsonBody,
            Ok(
                r#"{"q":{"rules_pence":-5,"total_pence":1269600,"items":[{"name":"Hire","unit_pence":350000}]},"n":{"x":["a",null]}}"#,
            ),
        ),
        (
            r#"{"\"{{ lead.guest_count }}\\":{{ lead.guest_count }}}"#,
            Place::JsonBody,
            Err("a placeholder may not be in the key of a JSON object"),
        ),
        (
            r#"{"a":{{ lead.name }}{{ lead.name }}}"#,
            Place::JsonBody,
            Err("expected ',' or '}', found 'n' at line 1, column 10"),
        ),
    ] {
        let expected = match expected {
            Ok(text) => (true, text.to_owned()),
            Err(error) => (false, error.to_owned()),
        };
        assert_eq!(outcome(source, place), expected, "{source}");
    }
}

#[test]
fn a_body_is_json_if_it_is_json() {
    for (source, place) in [
        ("{\"a\": {{ lead.name }} }", Place::JsonBody),
        ("\"{{ lead.name }}\"", Place::JsonBody),
        ("{{ lead }}", Place::JsonBody),
        ("Hello {{ lead.name }}", Place::Text),
        ("{\"a\": {{ lead.name }}", Place::Text),
    ] {
        assert_eq!(Template::compile_body(source, None).unwrap().place(), place, "{source}");
    }
    assert_eq!(Template::compile_body("{\"{{ lead.name }}\": 1}", None).unwrap_err(), TemplateError::Key);
}

#[test]
fn one_placeholder_keeps_its_type() {
    let event = Json::parse(EVENT.as_bytes()).unwrap();
    let context = Context::new(&event, EventKind::Created, "D1");
    for (source, expected) in [
        ("{{ lead.guest_count }}", Some("80")),
        (" {{ lead.guest_count }}", Some("\" 80\"")),
        ("{{ quote.total_pence | money }}", Some("12696.00")),
        ("{{ lead['big'] }}", Some("18446744073709551616")),
        ("{{ lead.gdpr_consent }}", Some("true")),
        ("{{ lead.phone }}", None),
        ("constant", Some("\"constant\"")),
    ] {
        let value = Template::compile(source, Place::Text).unwrap().value(&context).unwrap();
        assert_eq!(value.map(|value| value.to_string()).as_deref(), expected, "{source}");
    }
}

/// Texts that have broken out of templates elsewhere, and anything else.
fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "\"},\"admin\":true,{\"",
        "\\",
        "\\\"",
        "\"",
        "{{ lead.email }}",
        "{% raw %}",
        "\r\nX-Evil: 1",
        "../../x",
        "..",
        ".",
        "%2e%2e",
        "?a=b#c",
        "//evil.example/",
        "@evil.example",
        "\u{2028}\u{0}\u{7f}",
        "é€😀",
        "&a=b",
        "",
    ]);
    (known.clone(), any::<String>(), known)
        .prop_map(|(before, middle, after)| format!("{before}{middle}{after}"))
}

fn named(name: &str) -> Json {
    let mut event = Json::parse(EVENT.as_bytes()).unwrap();
    event.set_at("lead.name", Json::string(name));
    event
}

proptest! {
    #[test]
    fn hostile_values_arrive_identical_in_json(name in hostile()) {
        let event = named(&name);
        let body = Template::compile_body(
            r#"{"in":"<{{ lead.name }}>","out":{{ lead.name }},"whole":{{ lead }},"joined":{{ lead.name ~ "!" }}}"#,
            None,
        ).unwrap();
        let body = body.render(&Context::new(&event, EventKind::Created, "D1")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(value.as_object().unwrap().len(), 4);
        prop_assert_eq!(value["in"].as_str().unwrap(), format!("<{name}>"));
        prop_assert_eq!(value["out"].as_str().unwrap(), &name);
        prop_assert_eq!(value["whole"]["name"].as_str().unwrap(), &name);
        prop_assert_eq!(value["joined"].as_str().unwrap(), format!("{name}!"));
    }

    #[test]
    fn hostile_values_stay_in_their_segment_and_pair(name in hostile()) {
        let event = named(&name);
        let context = Context::new(&event, EventKind::Created, "D1");
        let path = Template::compile("/a/x{{ lead.name }}/b", Place::PathSegment).unwrap();
        let query = Template::compile("q={{ lead.name }}&z=1", Place::QueryValue).unwrap();
        let url = format!("https://example.com{}?{}", path.render(&context).unwrap(), query.render(&context).unwrap());
        let url = Url::parse(&url).unwrap();
        prop_assert_eq!(url.host_str(), Some("example.com"));
        prop_assert_eq!(url.path_segments().unwrap().count(), 3);
        prop_assert_eq!(url.fragment(), None);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(pairs, [("q".to_owned(), name), ("z".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn hostile_values_are_no_header(name in hostile()) {
        let event = named(&name);
        let header = Template::compile("x {{ lead.name }}", Place::Header).unwrap();
        let value = header.render(&Context::new(&event, EventKind::Created, "D1")).unwrap();
        prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }

    #[test]
    fn no_template_source_panics(source in "[ {}%#|~+a-z.\"'\\[\\]()0-9\\\\é*-]{0,40}") {
        for place in [Place::Text, Place::JsonBody, Place::PathSegment] {
            if let Ok(template) = Template::compile(&source, place) {
                prop_assert_eq!(template.place(), place);
            }
        }
    }
}

#[test]
fn the_documents_name_every_filter() {
    let page = include_str!("../../../../docs/mapping.md");
    for filter in engine::FILTERS {
        let is_named = page.contains(&format!("`{filter}`")) || page.contains(&format!("`{filter}(x)`"));
        assert!(is_named, "docs/mapping.md does not name {filter}");
    }
}

#[test]
fn expressions_weigh_and_names_do_not() {
    let config = serde_json::json!({
        "url": "https://crm.example/{{ lead.uuid }}",
        "headers": {"X-Name": "{{ lead.name | upper }}"},
        "body": "{\"a\": {{ lead[\"budget\"] }}, \"b\": \"{{ lead.email }}\"}",
        "list": ["{{ 1 - 1 }}", 7, null],
        "broken": "{{ lead.name | upper",
    });
    let expressions = ["lead.name | upper", "lead[\"budget\"]", "1 - 1"];
    assert_eq!(weight(&config), expressions.iter().map(|expression| expression.len()).sum::<usize>());
    assert_eq!(weight(&serde_json::Value::Null), 0);
}
