//! What causes are taken for: errors that differ in their lead alone are one.

use super::*;
use crate::json::Json;

/// A lead as errors quote it.
fn sarah() -> Values {
    let event = br#"{"version": "v1", "lead": {"uuid": "01J8H6KQH4YG3XR8RWM6T6XFQE", "name": "Sarah O'Brien-Kim",
        "email": "sarah@example.com", "phone": "+44 7700 900123", "event_type": "wedding", "event_date": "2027-06-04",
        "guest_count": 120, "message": "Do you take dogs?"}, "company": {"id": 7, "name": "The Old Barn"}}"#;
    Values::of_cause(&Json::parse(event).unwrap(), "The Old Barn")
}

/// The text of a cause, for a connector that is the error's first word.
fn text(error: &str, lead: &Values) -> String {
    super::text(error.split_whitespace().next().unwrap_or_default().trim_end_matches(':'), error, lead)
}

/// Every error of the golden file becomes the cause beside it.
#[test]
fn errors_of_vendors_have_the_causes_of_the_golden_file() {
    let golden = include_str!("golden.tsv");
    let lead = sarah();
    let (mut lines, mut wrong) = (0, Vec::new());
    for line in golden.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [class, error, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(FailureClass::parse(class).is_some(), "{line}");
        let found = text(error, &lead);
        if found != expected {
            wrong.push(format!("{class}\t{error}\t{found}"));
        }
        lines += 1;
    }
    assert!(wrong.is_empty(), "{} of {lines} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(lines >= 200, "{lines}");
}

/// Lines of the golden file that have the same cause, and those beside them that have another.
#[test]
fn what_differs_from_lead_to_lead_tells_no_causes_apart() {
    let lead = sarah();
    let same = |a: &str, b: &str| text(a, &lead) == text(b, &lead);
    for (a, b) in [
        ("rejected: contact 8812 is locked", "rejected: contact 17 is locked"),
        ("mail to ann@example.com refused", "mail to bob.b@example.org refused"),
        ("no such record recA1b2C3d4E5f6G7", "no such record recZ9y8X7w6V5u4T3"),
        ("busy until 2026-11-28T13:30:00Z", "busy until 2026-12-01T09:00:12+01:00"),
        ("busy until Sat, 28 Nov 2026 13:30:00 GMT", "busy until Sun, 29 Nov 2026 01:02:03 GMT"),
        ("\"Sarah\" is no   venue", "\"O'Brien-Kim\" is no venue"),
        ("GET https://a.example/x/123456?t=1 failed", "GET https://a.example/x/9?t=2 failed"),
    ] {
        assert!(same(a, b), "{:?} and {:?}", text(a, &lead), text(b, &lead));
    }
    for (a, b) in [
        ("PROPERTY_DOESNT_EXIST lead_source", "PROPERTY_DOESNT_EXIST wedding_kind"),
        ("hubspot 403 Forbidden", "hubspot 404 Not Found"),
        ("550 5.1.1 no such user", "550 5.7.1 no such user"),
        ("no column address_1", "no column address_2"),
    ] {
        assert!(!same(a, b), "{:?}", text(a, &lead));
    }
}

/// One fault of several customers: the error quotes what each of them is called, holds or counts.
#[test]
fn a_fault_of_several_customers_is_one_cause() {
    let said = |company: &str, lead: &str| {
        let event = format!(r#"{{"lead": {lead}, "company": {{"id": 7, "name": "{company}"}}}}"#);
        Values::of_cause(&Json::parse(event.as_bytes()).unwrap(), company)
    };
    let barn =
        said("Barn A", r#"{"name": "Sally Field", "kind": "email", "table": "120", "room": "Long Gallery"}"#);
    let mill = said(
        "The Old Mill",
        r#"{"name": "Will May", "kind": "contact", "table": "3", "room": "The Great Hall"}"#,
    );
    let same = |a: &str, b: &str| assert_eq!(super::text("rest", a, &barn), super::text("rest", b, &mill));
    same("404 Not Found: Event at Barn A not found", "404 Not Found: Event at The Old Mill not found");
    same("404 Not Found: Event at Barn A not found", "404 Not Found: Event at Old Mill not found");
    same("422: contact Sally Field exists", "422: contact Will May exists");
    same("422: no room \"Long Gallery\"", "422: no room \"Great Hall\"");
    same("422: value 120 is too long", "422: value 3 is too long");
    same("value 120 is too long", "value 3 is too long");
    same("429: wait for 5s", "429: wait for 17s");
    same("422: \"Barn A, Long Gallery\" is taken", "422: \"Old Mill\" is taken");
    // Words of the vendor's are in these leads too, and make no cause of their own.
    same(
        "422: Field \"Date\" of email and contact is wrong",
        "422: Field \"Date\" of email and contact is wrong",
    );
    let other = |a: &str, b: &str| assert_ne!(super::text("rest", a, &barn), super::text("rest", b, &mill));
    other("422: Event at Barn A not found", "422: Room at The Old Mill not found");
    other("404: Event at Barn A not found", "410: Event at The Old Mill not found");
    other("422: field email is required", "422: field contact is required");
    other("422: E1 no such event", "422: E2 no such event");
}

#[test]
fn letters_that_json_escapes_are_read() {
    let zoe = Values::of_cause(&Json::parse(br#"{"lead": {"name": "Zo\u00eb Jung"}}"#).unwrap(), "Barn");
    assert_eq!(
        super::text("rest", r#"422: {"error":"Zo\u00eb Jung exists"}"#, &zoe),
        r#"422: {"error":"<lead> exists"}"#
    );
}

#[test]
fn nothing_of_a_person_is_in_the_text() {
    let error =
        "rejected: Sarah O'Brien-Kim <sarah@example.com>, +44 7700 900123, says SARAH: do you take dogs?";
    let text = text(error, &sarah()).to_lowercase();
    for value in ["sarah", "brien", "example.com", "7700", "dogs"] {
        assert!(!text.contains(value), "{text}");
    }
}

#[test]
fn an_error_that_was_cut_is_the_same_wherever_that_was() {
    let error = |name: &str, cut: usize| {
        let body =
            format!("422: {name} is refused, as the rule {} says so", "that stands in the book ".repeat(20));
        let cut: String = body.chars().take(cut).collect();
        format!("{cut}…")
    };
    let lead = sarah();
    assert_eq!(text(&error("Sarah", 190), &lead), text(&error("Sarah O'Brien-Kim", 200), &lead));
}

#[test]
fn ids_are_read_as_they_are_written() {
    let id = CauseId::of("hubspot", FailureClass::Rejected, "PROPERTY_DOESNT_EXIST lead_source");
    let text = id.to_string();
    assert_eq!(text.len(), 12);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse(), Ok(id));
    assert_eq!(id, CauseId::of("hubspot", FailureClass::Rejected, "property_doesnt_exist LEAD_SOURCE"));
    assert_ne!(id, CauseId::of("pipedrive", FailureClass::Rejected, "PROPERTY_DOESNT_EXIST lead_source"));
    assert_ne!(id, CauseId::of("hubspot", FailureClass::Unknown, "PROPERTY_DOESNT_EXIST lead_source"));
    for bad in ["", "0", "uuuuuuuuuuuu", "0123456789abc", "é23456789ab"] {
        assert_eq!(
            bad.parse::<CauseId>().unwrap_err().to_string(),
            "not the id of a cause: twelve letters and digits, as `failure list` shows them"
        );
    }
}

#[test]
fn every_class_has_advice_and_something_to_do() {
    for class in FailureClass::ALL {
        assert!(advice(class).ends_with('.') && advice(class).len() > 60);
        assert!(!actions(class).is_empty());
    }
}

proptest::proptest! {
    /// Any text has a cause, and it is short.
    #[test]
    fn any_text_has_a_short_cause(error in "\\PC{0,600}") {
        let text = text(&error, &sarah());
        proptest::prop_assert!(text.chars().count() <= TEXT_MAX);
    }

    /// Numbers of a sentence do not matter.
    #[test]
    fn numbers_do_not_matter(a in 0u32..10_000_000, b in 0u32..10_000_000) {
        let say = |n: u32| text(&format!("rejected: deal {n} is closed"), &Values::default());
        proptest::prop_assert_eq!(say(a), say(b));
    }
}
