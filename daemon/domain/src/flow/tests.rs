//! Conditions: what they read, what they refuse, what they cannot be asked, and that they end.

use proptest::prelude::*;

use super::*;

fn seed() -> Json {
    Json::parse(
        r#"{"event":"lead.created","version":"v1","lead":{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Zoë Patel",
        "email":"Sarah@example.com","phone":null,"event_type":"wedding","event_date":"2026-09-12","guest_count":80,
        "gdpr_consent":true,"budget":12500.50,"tags":["vip","local"],"huge":18446744073709551616,"vast":1e999},
        "quote":{"total_pence":1269600,"items":[{"name":"Hire","unit_pence":350000},{"name":"Feast","unit_pence":4500}]},
        "viewing":{"starts_at":"2026-06-04T23:30:00+01:00"},"company":{"id":7,"name":"The Old Barn"}}"#
            .as_bytes(),
    )
    .unwrap()
}

fn ask(source: &str) -> Result<bool, Undecided> {
    Condition::compile(source)
        .unwrap_or_else(|error| panic!("{source}: {error}"))
        .holds(&seed(), EventKind::Created)
}

fn refused(source: &str) -> String {
    Condition::compile(source).unwrap_err().to_string()
}

fn undecided(source: &str, event: &Json) -> String {
    Condition::compile(source).unwrap().holds(event, EventKind::Created).unwrap_err().to_string()
}

#[test]
fn conditions_say_what_cel_says() {
    for (source, expected) in [
        ("true", true),
        ("lead.guest_count >= 80", true),
        ("lead.guest_count > 80", false),
        ("lead.guest_count == 80.0 && lead.guest_count < 80.5", true),
        ("lead.event_type == 'wedding' && lead.gdpr_consent", true),
        ("lead.event_type in ['corporate', \"birthday\"]", false),
        ("!(lead.event_type != 'wedding')", true),
        ("lead.event_date >= '2026-06-01' && lead.event_date < '2027-01-01'", true),
        ("lead.email.endsWith('@example.com') && lead.email.lowerAscii().startsWith('sarah')", true),
        ("lead.email.matches('^[A-Z][a-z]+@example[.]com$')", true),
        ("lead.name.contains('ë') && size(lead.name) == 9 && lead.name.size() == 9", true),
        ("quote.total_pence / 100 == 12696 && quote.total_pence % 100 == 0 && -quote.total_pence < 0", true),
        ("lead['budget'] * 2.0 == 25001.0 && lead['budget'] > 12500", true),
        ("double(quote.total_pence) * 1.5 == 1904400.0 && int(lead['budget']) == 12500", true),
        ("string(lead.guest_count) + ' guests' == '80 guests'", true),
        ("'vip' in lead['tags'] && 'uuid' in lead && lead['tags'][1] == 'local'", true),
        ("quote.items.exists(i, i.unit_pence > 300000 && i.name == 'Hire')", true),
        ("quote.items.all(i, i.unit_pence > 5000)", false),
        ("quote.items.exists_one(i, i.name == 'Feast')", true),
        ("quote.items.filter(i, i.unit_pence < 5000).map(i, i.name) == ['Feast']", true),
        ("quote.items.map(i, i.unit_pence < 5000, i.name)[0] == 'Feast'", true),
        ("[1, 2, 3].all(x, [x, x].exists(y, y == x))", true),
        ("has(quote.total_pence) ? quote.total_pence > 1000000 : false", true),
        ("has(location.id) || has(lead.utm.source) || has(lead.phone)", false),
        ("lead.phone == null && location == null && quote != null", true),
        ("event.type == 'lead.created'", true),
        ("timestamp(viewing.starts_at) < timestamp('2026-06-04T23:00:00Z')", true),
        (
            "timestamp(viewing.starts_at).getHours() == 22 && timestamp(viewing.starts_at).getHours('+01:00') == 23",
            true,
        ),
        ("timestamp(lead.event_date + 'T00:00:00Z').getDayOfWeek() == 6", true),
        (
            "timestamp('2026-01-31T00:00:00Z').getMonth() == 0 && timestamp('2026-01-31T00:00:00Z').getDate() == 31",
            true,
        ),
        // One side alone may decide.
        ("location.id == 3 || true", true),
        ("lead.name > 3 && false", false),
        ("[0, 1].exists(x, 1 / x == 1)", true),
        ("lead == lead && quote.items == quote.items && quote.items[0] != quote.items[1]", true),
        ("1 == '1'", false),
        (r"lead.name == 'Zo\u00eb Patel'", true),
    ] {
        assert_eq!(ask(source), Ok(expected), "{source}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_told_with_its_place() {
    for (source, reported) in [
        ("location.id == 3", "location.id is absent (line 1, column 1); ask has(location.id) first"),
        (
            "true &&\n  location.name == ''",
            "location.name is absent (line 2, column 3); ask has(location.name) first",
        ),
        ("lead.utm.source == 'x'", "lead.utm is absent (line 1, column 1); ask has(lead.utm) first"),
        ("lead['x'] == 1", "lead[\"x\"] is absent (line 1, column 1)"),
        ("lead.name == 'ë' || lead.name > 3", "> does not go with text and an integer (line 1, column 21)"),
        (
            "lead.guest_count * 1.5 > 2.0",
            "* does not go with an integer and a decimal; write double(…) around the integer (line 1, column 1)",
        ),
        ("lead.guest_count / 0 == 1", "a division by zero (line 1, column 1)"),
        ("9223372036854775807 + 1 > 0", "the number leaves the range of 64 bits (line 1, column 1)"),
        (
            "lead['huge'] > 1",
            "lead[\"huge\"]: a number is too large for an integer of 64 bits (line 1, column 1)",
        ),
        ("lead.name", "the condition comes to text, not to true or false (line 1, column 1)"),
        ("!lead.name", "true or false is wanted here, not text (line 1, column 2)"),
        ("lead.name.all(c, true)", "lead.name is text, not a list (line 1, column 1)"),
        ("lead.guest_count.contains('8')", "contains is asked of text, not of an integer (line 1, column 1)"),
        ("quote.items[7].name == ''", "quote.items has no element 7 (line 1, column 1)"),
        (
            "timestamp(lead.name) > timestamp(lead.name)",
            "the text is no time with an offset, such as 2026-06-04T14:00:00+01:00 (line 1, column 1)",
        ),
        ("quote.items.map(i, i.colour)[0] == ''", "an element.colour is absent (line 1, column 20)"),
    ] {
        assert_eq!(ask(source).unwrap_err().to_string(), reported, "{source}");
    }
    for (source, reported) in [
        ("timestamp(lead.guest_count) > timestamp(lead.name)", "timestamp wants text, not an integer"),
        ("size(lead.guest_count) > 1", "an integer has no size"),
        ("lead.name.contains(lead.guest_count)", "contains wants text, not an integer"),
        ("int(lead['budget'] * 1e300) == 1", "the decimal is too large for an integer"),
        ("int(lead.name) == 1", "the text is no integer"),
        ("int(lead.gdpr_consent) == 1", "a truth value cannot be made an integer"),
        ("double(lead.name) > 1.0", "the text is no number"),
        ("double(lead.gdpr_consent) > 1.0", "a truth value cannot be made a decimal"),
        ("string(lead['tags']) == ''", "a list cannot be made text"),
        ("lead.name.getHours() == 1", "this is asked of a time, not of text; write timestamp(…)"),
        (
            "timestamp(viewing.starts_at).getHours(lead.guest_count) == 1",
            "a time zone is text, not an integer",
        ),
        (
            "timestamp(viewing.starts_at).getHours('Mars') == 1",
            "no time zone \"Mars\"; write an offset such as +01:00, or UTC",
        ),
        ("lead.name in lead.guest_count", "`in` wants a list, not an integer"),
        ("lead['tags'][lead.name] == 1", "text cannot be looked up in a list"),
        ("-lead.name == 1", "text has no negative"),
        ("lead.guest_count.matches('8')", "matches wants text, not an integer"),
        ("lead['vast'] > 1.0", "lead[\"vast\"]: a number is too large for a decimal"),
    ] {
        let error = ask(source).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{reported} (line 1, column ")), "{source}: {error}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place_and_the_nearest_name() {
    for (source, reported) in [
        ("", "the condition is empty; write true to take every lead"),
        ("lead.emial == 'x'", "line 1, column 1: unknown field lead.emial; did you mean lead.email?"),
        (
            "lead.name == 'é' &&\n  has(quote.totalpence)",
            "line 2, column 7: unknown field quote.totalpence; did you mean quote.total_pence?",
        ),
        (
            "lead.guests > 1 && leed.name == ''",
            "line 1, column 1: unknown field lead.guests; a field that your sender adds is written lead[\"guests\"]; line 1, column 20: unknown variable leed; did you mean lead?",
        ),
        ("email == 'x'", "line 1, column 1: unknown variable email; did you mean lead.email?"),
        ("event == 'lead.created'", "line 1, column 1: write event.type"),
        ("event.typ == ''", "line 1, column 1: unknown field event.typ; did you mean event.type?"),
        ("lead.name.first == ''", "line 1, column 1: lead.name is text and has no fields"),
        (
            "lead.name.startswith('x')",
            "line 1, column 1: unknown function startswith; did you mean startsWith?",
        ),
        ("lead.name.contains()", "line 1, column 1: write x.contains(\"…\")"),
        ("int(1, 2) == 1", "line 1, column 1: write int(x)"),
        (
            "lead.name.matches(lead.email)",
            "line 1, column 1: matches wants its pattern written out, in quotes",
        ),
        ("{'a': 1} == {'a': 1}", "objects cannot be written in a condition"),
        ("1u == 1", "line 1, column 1: write the integer without u"),
        ("now > 3", "a condition knows no clock: what it decides depends on the lead alone"),
        ("b'x' == b'x'", "line 1, column 1: write the text without b"),
        ("lead.name.matches('(a{1000}){1000}')", "the pattern is too large"),
        ("lead.name.matches('(')", "the pattern cannot be read: unclosed group"),
        ("lead.name.size(1) == 1", "write size(x) or x.size()"),
        ("lead.name.getHours(1, 2) == 1", "write x.getHours() or x.getHours(\"+01:00\")"),
        ("quote.items.map()", "write list.map(x, x.name)"),
        ("quote.items.all()", "write list.all(x, x.name == \"…\")"),
        ("has(lead)", "; write has(…) around a field, as has(quote.total_pence)"),
        ("lead.event_type == 'wedding' and true", "; write && for and, || for or"),
        ("lead.name = 'x'", "; write == to compare"),
        ("quote.items.exists(i, j.name == '')", "unknown variable j"),
    ] {
        let error = refused(source);
        assert!(error.contains(reported), "{source}\n  {error}\n  {reported}");
        assert!(!error.contains('\n'), "{error}");
    }
    for source in [
        "lead.guest_count >",
        "lead.name = 'x'",
        "lead.event_type == 'wedding' and true",
        "has(lead)",
        "'open",
        "lead.name.matches('(')",
        "lead.name.matches('(a{1000}){1000}')",
        "quote.items.map()",
        "a ? b",
        "@",
        "a\0b",
        "`x`",
    ] {
        let error = refused(source);
        println!("{source}: {error}");
        assert!(!error.contains('\n') && error.len() < 200, "{source}: {error}");
    }
}

#[test]
fn saving_refuses_what_fails_for_every_lead_and_warns_of_what_fails_for_some() {
    assert_eq!(Condition::check("lead.guest_count > 50").unwrap().1, None);
    assert_eq!(Condition::check("has(quote.total_pence) && quote.total_pence > 1").unwrap().1, None);
    let warning = Condition::check("quote.total_pence > 500000").unwrap().1.unwrap();
    assert!(
        warning
            .starts_with("for a lead without optional fields this cannot be evaluated, and holds the lead: "),
        "{warning}"
    );
    assert!(
        warning.ends_with("quote.total_pence is absent (line 1, column 1); ask has(quote.total_pence) first"),
        "{warning}"
    );
    for (source, reported) in [
        ("lead.guest_count > '50'", "> does not go with an integer and text"),
        ("lead.name", "the condition comes to text"),
    ] {
        let error = Condition::check(source).unwrap_err().to_string();
        assert!(error.contains(reported), "{error}");
    }
}

#[test]
fn no_lead_and_no_condition_keeps_others_waiting() {
    let many = format!(r#"{{"lead":{{"tags":[{}]}}}}"#, vec!["1"; 9_000].join(","));
    let many = Json::parse(many.as_bytes()).unwrap();
    for source in [
        "lead['tags'].all(a, lead['tags'].all(b, lead['tags'].all(c, a == b)))",
        "lead['tags'].map(a, [a, a, a, a, a, a]).size() == 3",
        "lead['tags'].exists(a, lead['tags'].exists(b, a + b == 9))",
    ] {
        let error = undecided(source, &many);
        assert!(error.starts_with("the condition takes too many steps for this lead"), "{error}");
    }
    // Lists share their elements: a short condition spells a list of 8¹² elements, which is never looked at whole.
    let long_list = format!("[1]{}", ".map(a, [a,a,a,a,a,a,a,a])".repeat(12));
    for source in
        [format!("{long_list} == {long_list}"), format!("{long_list} in [{long_list}, [{long_list}]]")]
    {
        let error = undecided(&source, &seed());
        assert!(error.starts_with("the condition takes too many steps for this lead"), "{error}");
    }
    let hundred = vec!["1"; 100].join(",");
    let escaped = format!(r#"{{"lead":{{"name":"{}"}}}}"#, r"\u006b".repeat(10_000));
    let members: Vec<String> = (0..900).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide =
        format!(r#"{{"lead":{{"tags":[{}],"x":{{{}}}}}}}"#, vec!["1"; 9_000].join(","), members.join(","));
    for (event, source) in [
        (&escaped, format!("[{hundred}].all(a, [{hundred}].all(b, lead.name != ''))")),
        (&escaped, format!("[lead.name].all(a, [{hundred}].all(b, [{hundred}].all(c, a != '')))")),
        (&wide, "lead['tags'].all(a, lead['x']['k899'] == 899)".to_owned()),
        (&wide, "lead['tags'].all(a, 'k899' in lead['x'])".to_owned()),
        (&wide, "lead['tags'].all(a, lead['x'] == lead['x'])".to_owned()),
    ] {
        let event = Json::parse(event.as_bytes()).unwrap();
        let error = undecided(&source, &event);
        assert!(error.starts_with("the condition takes too many steps for this lead"), "{source}: {error}");
    }
    let doubled = format!("size({}) > 0", vec!["lead.name"; 50].join(" + "));
    let long = format!(r#"{{"lead":{{"name":"{}"}}}}"#, "x".repeat(60_000));
    let long = Json::parse(long.as_bytes()).unwrap();
    let error = undecided(&doubled, &long);
    assert!(error.starts_with("the text gets longer than 64 KiB"), "{error}");
    let signs = refused(&vec!["1"; 500].join("+"));
    assert_eq!(signs, "the condition has more than 250 operators; make two flows of it");
    let many = refused(&["a == 1"; 9].join("||"));
    assert!(many.ends_with("; and 1 more"), "{many}");
}

/// Tests run on small stacks, as the daemon's threads have them.
#[test]
fn deep_conditions_are_refused_or_read_on_a_small_stack() {
    for source in [
        "(".repeat(1000),
        format!("{}true{}", "(".repeat(20), ")".repeat(20)),
        format!("{}true{}", "(".repeat(200), ")".repeat(200)),
        format!("{}1{} == 1", "[".repeat(100), "]".repeat(100)),
        format!("{}true", "!".repeat(240)),
        format!("{}true", "!".repeat(1900)),
        format!("{}1 < 0", "-".repeat(245)),
        format!("lead{} == 1", ".a".repeat(240)),
        format!("lead{} == 1", "['a']".repeat(240)),
        format!("{} == 250", vec!["1"; 249].join("+")),
        vec!["true"; 120].join(" && "),
        vec!["true"; 120].join(" == "),
        format!("{}true", "true ? false : ".repeat(120)),
        format!("{}true", "true ? ".repeat(120)),
        format!("{}1{}", "lead['tags'].map(x, ".repeat(30), ")".repeat(30)),
        format!("r\"\\\" == {}", "(".repeat(249)),
    ] {
        if let Ok(condition) = Condition::compile(&source) {
            drop(condition.holds(&seed(), EventKind::Created));
        }
    }
    assert!(Condition::compile(&format!("{}true{}", "(".repeat(20), ")".repeat(20))).is_ok());
    let error = refused(&format!("{}true{}", "(".repeat(30), ")".repeat(30)));
    assert_eq!(error, "brackets nest deeper than 24; make two flows of it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_written_panics(source in "[a-z.(){}\\[\\]\"'`!&|<>=+*/%?:,0-9 \\\\é😀\n-]{0,60}") {
        if let Ok(condition) = Condition::compile(&source) {
            drop(condition.holds(&seed(), EventKind::Created));
        }
    }

    #[test]
    fn no_combination_of_words_panics(words in prop::collection::vec(prop::sample::select(vec![
        "lead", ".", "name", "(", ")", "[", "]", "'x'", "\"ë\"", "==", "&&", "||", "!", "-", "1", "2.5", "null", "in",
        "quote.items", ".exists(x, ", ".map(x, ", "has(", "size(", "?", ":", "x", "lead.guest_count", "1u", "b'x'", "{", "}",
        ".matches('a')", "true", "timestamp(", "r'\\'", "'''", "\n", "//", "e", "0x1f", "9223372036854775808",
    ]), 0..20)) {
        if let Ok(condition) = Condition::compile(&words.join(" ")) {
            drop(condition.holds(&seed(), EventKind::Updated));
        }
    }
}

fn flow(name: &str, when: &str, then: &[IntegrationId], stop: bool) -> Flow {
    Flow {
        id: FlowId::generate(),
        name: name.into(),
        when: Condition::compile(when),
        then: then.iter().copied().collect(),
        stop,
    }
}

#[test]
fn one_flow_that_sends_is_enough_and_the_others_are_named() {
    let (crm, mail, none) = (IntegrationId::generate(), IntegrationId::generate(), IntegrationId::generate());
    let keeps = |flows: &[&str]| Decision::Keeps(Reason::FlowNotMet(Unmet::new(flows, None)));
    let event = seed();
    let ask = |flows: Vec<Flow>, integration| Flows(flows).ask(&event, EventKind::Created).about(integration);
    assert_eq!(ask(vec![flow("a", "true", &[crm], false)], crm), Decision::Sends);
    assert_eq!(ask(vec![flow("a", "true", &[crm], false)], none), Decision::Keeps(Reason::NoFlow));
    assert_eq!(
        ask(vec![flow("a", "false", &[crm], false), flow("b", "true", &[mail], false)], crm),
        keeps(&["a"])
    );
    let many = || (1..=7).map(|n| flow(&n.to_string(), "false", &[crm], false)).collect();
    assert_eq!(ask(many(), crm), keeps(&["1", "2", "3", "4", "5", "6", "7"]));
    let fails = || flow("bad", "location.id == 1", &[crm], false);
    assert_eq!(ask(vec![fails(), flow("good", "true", &[crm], false)], crm), Decision::Sends);
    assert_eq!(
        ask(vec![fails(), flow("good", "false", &[crm], false)], crm),
        Decision::CannotSay(Reason::FlowFails {
            flow: "bad".into(),
            problem: "location.id is absent (line 1, column 1); ask has(location.id) first".into()
        })
    );
}

#[test]
fn a_flow_that_stops_keeps_its_leads_from_those_behind_it() {
    let (crm, mail) = (IntegrationId::generate(), IntegrationId::generate());
    let event = seed();
    let rest = || flow("rest", "true", &[mail], false);
    let about =
        |flows: Vec<Flow>, integration| Flows(flows).ask(&event, EventKind::Created).about(integration);
    let vip = |when: &str| flow("vip", when, &[crm], true);
    assert_eq!(about(vec![vip("true"), rest()], crm), Decision::Sends);
    assert_eq!(
        about(vec![vip("true"), rest()], mail),
        Decision::Keeps(Reason::FlowNotMet(Unmet::new(&[], Some("vip"))))
    );
    assert_eq!(about(vec![vip("false"), rest()], mail), Decision::Sends);
    assert_eq!(about(vec![rest(), vip("true")], mail), Decision::Sends, "only those behind it");
    let Decision::CannotSay(cause) = about(vec![vip("location.id == 1"), rest()], mail) else { panic!() };
    assert!(matches!(&cause, Reason::FlowFails { flow, .. } if flow == "vip"), "{cause:?}");
}

/// What stands between the fences of a language in a page.
fn fenced<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opens = format!("```{language}\n");
    page.split(&opens).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn the_conditions_of_the_documents_can_be_saved() {
    let page = include_str!("../../../../docs/flows.md");
    let conditions: Vec<&str> = fenced(page, "cel").into_iter().flat_map(str::lines).collect();
    assert!(conditions.len() > 8);
    for condition in conditions {
        let (_, warning) = Condition::check(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert_eq!(warning.is_some(), condition.contains("budget"), "{condition}: {warning:?}");
    }
    let functions = program::FUNCTIONS.iter().map(|signature| signature.name);
    for name in functions.chain(program::MACROS.iter().copied()) {
        assert!(page.contains(&format!("`{name}`")), "docs/flows.md does not name {name}");
    }
    for (number, what) in [
        (compile::MAX_SOURCE.to_string(), "bytes"),
        (compile::MAX_SIGNS.to_string(), "operators"),
        (compile::MAX_NESTING.to_string(), "nested brackets"),
        ("50 000".to_owned(), "steps"),
    ] {
        assert!(page.contains(&format!("{number} {what}")), "{number} {what}");
    }
    assert_eq!((STEPS, STEPS_IN_ALL), (50_000, 500_000));
}
