//! Whole events: what is taken, what is filled in, what is refused.

use super::*;

const SEED: &str = r#"{"event":"lead.created","version":"v1","lead":{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Sarah Patel","email":"sarah@example.com","phone":"+447700900123","event_type":"wedding","event_date":"2026-09-12","guest_count":80,"gdpr_consent":true,"source_url":"https://theoldbarn.co.uk/book","utm":{"source":"google","medium":"cpc","campaign":"summer_weddings_2026"}},"quote":{"uuid":"01j8h6kqh5gqp8m8t9wnf8c2y0","proposal_url":"https://quote.innkept.com/p/9f3aXjh2z6kQpTu1mVeR…","subtotal_pence":920000,"rules_pence":138000,"vat_pence":211600,"total_pence":1269600,"currency":"GBP","items":[{"name":"Exclusive venue hire","quantity":1,"unit_pence":350000,"total_pence":350000}]},"viewing":{"starts_at":"2026-06-04T14:00:00+01:00","ends_at":"2026-06-04T15:00:00+01:00"},"location":{"id":12,"name":"The Old Barn"},"company":{"id":7,"name":"The Old Barn"}}"#;

const LEAD: &str = r#"{"name":"A","email":"a@b.c","event_type":"other","event_date":"1999-01-01","guest_count":1,"gdpr_consent":false}"#;

fn context() -> AcceptContext<'static> {
    AcceptContext {
        company: CompanyId(7),
        company_name: "The \"Old\" Barn",
        new_id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
    }
}

fn refused(body: &str) -> Vec<(String, String)> {
    match accept(body.as_bytes(), &context()) {
        Err(LeadRefusal::Invalid(problems)) => problems.into_iter().map(|p| (p.pointer, p.detail)).collect(),
        other => panic!("{body} gave {other:?}"),
    }
}

#[test]
fn a_complete_event_is_pushed_as_received() {
    let accepted = accept(SEED.as_bytes(), &context()).unwrap();
    assert_eq!(accepted.uuid, "01j8h6kqh4yg3xr8rwm6t6xfqe");
    assert_eq!(accepted.lead.to_string(), "01J8H6KQH4YG3XR8RWM6T6XFQE");
    assert_eq!(accepted.body(EventKind::Created), SEED);
    assert_eq!(accepted.body(EventKind::Updated), SEED.replacen("lead.created", "lead.updated", 1));
}

#[test]
fn what_is_absent_is_filled_in() {
    let body =
        format!(r#"{{"x":1.10,"lead":{LEAD},"viewing":{{"starts_at":"2026-01-01T23:30:00Z","who":"B"}}}}"#);
    let accepted = accept(body.as_bytes(), &context()).unwrap();
    assert_eq!(accepted.uuid, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let lead = LEAD.replacen('{', r#"{"uuid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","#, 1);
    let expected = format!(
        r#"{{"event":"lead.created","version":"v1","x":1.10,"lead":{lead},"viewing":{{"starts_at":"2026-01-01T23:30:00Z","ends_at":"2026-01-02T00:30:00Z","who":"B"}},"company":{{"id":7,"name":"The \"Old\" Barn"}}}}"#
    );
    assert_eq!(accepted.body(EventKind::Created), expected);
    let again = accept(expected.as_bytes(), &context()).unwrap();
    assert_eq!(again.digest, accepted.digest, "equality is judged after filling in, without `event`");
}

#[test]
fn a_company_with_another_name_makes_no_change() {
    let lead = LEAD.replacen('{', r#"{"uuid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","#, 1);
    let body = format!(r#"{{"lead":{lead}}}"#);
    let before = accept(body.as_bytes(), &context()).unwrap();
    let renamed = AcceptContext { company_name: "The New Barn", ..context() };
    let after = accept(body.as_bytes(), &renamed).unwrap();
    assert_eq!(after.event.at("company.name").unwrap().as_str().unwrap(), "The New Barn");
    assert_eq!(after.digest, before.digest);
    let flat = SaveLead::parse(br#"{"data":{"email":"a@b.c"}}"#).unwrap();
    let saved = flat.merge(None, &context()).unwrap();
    let again = flat.merge(Some(&saved.body(EventKind::Created)), &renamed).unwrap();
    assert_eq!(again.digest, saved.digest);
}

#[test]
fn form_does_not_make_a_change_and_a_number_text_does() {
    let digest = |body: &str| accept(body.as_bytes(), &context()).unwrap().digest;
    let lead = LEAD.replacen('{', r#"{"uuid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","#, 1);
    let plain = format!(r#"{{"lead":{lead},"n":1}}"#);
    assert_eq!(
        digest(&plain),
        digest(&format!(" {{\"event\":\"lead.updated\", \"n\":1,\n\"lead\":{lead}}}"))
    );
    assert_ne!(digest(&plain), digest(&plain.replace("\"n\":1", "\"n\":1.0")));
}

#[test]
fn every_bad_field_is_named_at_once() {
    let body = r#"{"event":1,"version":"v2","lead":{"uuid":"x","name":" ","email":"a b@c","phone":1,"event_type":"party","event_date":"2026-02-30","guest_count":80.0,"gdpr_consent":"yes","source_url":1,"utm":[],"more":[1]},
        "quote":{"uuid":1,"subtotal_pence":1,"rules_pence":2,"vat_pence":3,"total_pence":7,"items":[{"name":1,"quantity":"1","unit_pence":1.5},3]},
        "viewing":{"starts_at":"2026-06-04T14:00:00","ends_at":null},"location":{"id":"12"},"company":{"id":8,"name":3}}"#;
    let pointers: Vec<String> = refused(body).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(
        pointers,
        [
            "/event",
            "/version",
            "/lead/uuid",
            "/lead/name",
            "/lead/email",
            "/lead/phone",
            "/lead/event_type",
            "/lead/event_date",
            "/lead/guest_count",
            "/lead/gdpr_consent",
            "/lead/source_url",
            "/lead/utm",
            "/quote/uuid",
            "/quote/total_pence",
            "/quote/items/0/name",
            "/quote/items/0/quantity",
            "/quote/items/0/unit_pence",
            "/quote/items/1",
            "/viewing/starts_at",
            "/viewing/ends_at",
            "/location/id",
            "/company/id",
            "/company/name",
        ]
    );
}

#[test]
fn refusals_say_what_to_do() {
    for (body, pointer, detail) in [
        ("[]", "", "must be an object with a lead in it"),
        ("{}", "/lead", "is required"),
        (r#"{"lead":null}"#, "/lead", "must be an object"),
        (&with(r#""quote":null"#), "/quote", "must be an object; leave it out if there is none"),
        (
            &with(r#""quote":{"total_pence":99999999999999999999}"#),
            "/quote/total_pence",
            "must be an integer from -1000000000000000 to 1000000000000000",
        ),
        (&with(r#""company":{"name":"x"}"#), "/company/id", "is required; or leave company out"),
        (&with(r#""company":{"id":8}"#), "/company/id", "must be 7, the company of the intake key"),
        (
            &with(r#""viewing":{"starts_at":"2026-06-04T14:00:00Z","ends_at":"2026-06-04T13:00:00Z"}"#),
            "/viewing/ends_at",
            "must not be before starts_at",
        ),
        (
            &with(r#""viewing":{"starts_at":"9999-12-31T23:00:00Z"}"#),
            "/viewing/starts_at",
            "must be a time with its offset, as 2026-06-04T14:00:00+01:00",
        ),
    ] {
        assert_eq!(refused(body), [(pointer.to_owned(), detail.to_owned())], "{body}");
    }
    for (key, value, detail) in [
        (
            "uuid",
            r#""x""#,
            "is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; leave it out to have one \
             made",
        ),
        ("name", r#"" ""#, "must not be empty"),
        ("email", r#""x""#, "must be an e-mail address"),
        ("event_type", r#""weding""#, "must be one of wedding, corporate, private_dining, birthday, other"),
        ("event_date", r#""1/2/2026""#, "must be a date as YYYY-MM-DD"),
        ("gdpr_consent", r#""yes""#, "must be true or false"),
        ("utm", "[]", "must be an object or null"),
    ] {
        let mut event = Json::parse(format!("{{\"lead\":{LEAD}}}").as_bytes()).unwrap();
        event.set_at(&format!("lead.{key}"), Json::parse(value.as_bytes()).unwrap());
        let reported = refused(&event.to_string());
        assert_eq!(reported, [(format!("/lead/{key}"), detail.to_owned())], "{key}");
    }
    for (member, pointer, detail) in [
        (r#""version":"v2""#, "/version", "must be \"v1\", or be left out"),
        (r#""quote":{"items":{}}"#, "/quote/items", "must be an array"),
        (r#""quote":{"items":[5]}"#, "/quote/items/0", "must be an object"),
        (r#""quote":{"items":[{"quantity":"1"}]}"#, "/quote/items/0/quantity", "must be a number"),
        (
            r#""quote":{"subtotal_pence":1,"rules_pence":2,"vat_pence":3,"total_pence":7}"#,
            "/quote/total_pence",
            "must be subtotal + rules + vat, which is 6",
        ),
    ] {
        assert_eq!(refused(&with(member)), [(pointer.to_owned(), detail.to_owned())], "{member}");
    }
    assert_eq!(LeadRefusal::Invalid(Vec::new()).to_string(), "0 of the event's fields are wrong");
    let missing: Vec<_> = refused(r#"{"lead":{}}"#).into_iter().map(|(pointer, _)| pointer).collect();
    let required = ["name", "email", "event_type", "event_date", "guest_count", "gdpr_consent"];
    assert_eq!(missing, required.map(|key| format!("/lead/{key}")));
    for count in ["0", "5001", "\"80\"", "-1", "8e1"] {
        let body = format!(
            "{{\"lead\":{}}}",
            LEAD.replace("\"guest_count\":1", &format!("\"guest_count\":{count}"))
        );
        assert_eq!(refused(&body)[0].0, "/lead/guest_count", "{count}");
    }
}

fn with(member: &str) -> String {
    format!(r#"{{"lead":{LEAD},{member}}}"#)
}

#[test]
fn malformed_json_is_told_apart() {
    let refusal = accept(br#"{"lead":{"a":1,"a":2}}"#, &context()).unwrap_err();
    assert!(matches!(&refusal, LeadRefusal::Malformed(error) if error.pointer == "/lead/a"), "{refusal:?}");
    assert_eq!(refusal.to_string(), "duplicate key \"a\" at line 1, column 16");
}

#[test]
fn the_sample_is_a_lead_that_we_would_take() {
    let text = event_text(&sample(CompanyId(7), "Barn"), EventKind::Test);
    let accepted = accept(&text, &context()).unwrap();
    assert_eq!(accepted.event.at("company.name").unwrap().as_str().unwrap(), "Barn");
    assert_eq!(accepted.body(EventKind::Test), text);
}

#[test]
fn an_event_is_pushed_under_the_kind_of_its_delivery() {
    let created = Bytes::from_static(SEED.as_bytes());
    assert_eq!(pushed_as(&created, EventKind::Created), created);
    assert_eq!(pushed_as(&created, EventKind::Updated), SEED.replacen("lead.created", "lead.updated", 1));
    let elsewhere = Bytes::from_static(br#"{"version":"v1","event":"lead.updated","n":1.10}"#);
    assert_eq!(pushed_as(&elsewhere, EventKind::Updated), elsewhere);
    assert_eq!(
        pushed_as(&elsewhere, EventKind::Created),
        r#"{"version":"v1","event":"lead.created","n":1.10}"#
    );
    for other in ["{}", "", r#"{"event":"lead.createdx"#] {
        assert_eq!(pushed_as(&Bytes::from(other), EventKind::Created), other);
    }
}

#[test]
fn the_case_of_a_uuid_is_no_change() {
    let digest = |uuid: &str| {
        let lead = LEAD.replacen('{', &format!(r#"{{"uuid":"{uuid}","#), 1);
        accept(format!(r#"{{"lead":{lead}}}"#).as_bytes(), &context()).unwrap().digest
    };
    assert_eq!(digest("01ARZ3NDEKTSV4RRFFQ69G5FAV"), digest("01arz3ndektsv4rrffq69g5fav"));
}

#[test]
fn a_lead_of_as_many_keys_as_may_be_can_be_read_again() {
    let body = |keys: usize| {
        let more: Vec<String> = (0..keys).map(|n| format!("\"k{n}\":0")).collect();
        let lead = LEAD.replacen('{', &format!("{{{},", more.join(",")), 1);
        format!(r#"{{"lead":{lead},"viewing":{{"starts_at":"2026-06-04T14:00:00Z"}}}}"#)
    };
    // Nine keys are those of the event itself.
    let accepted = accept(body(crate::json::MAX_KEYS - 9).as_bytes(), &context()).unwrap();
    for kind in [EventKind::Created, EventKind::Updated] {
        assert!(Json::parse(&accepted.body(kind)).is_ok());
    }
    let refusal = accept(body(crate::json::MAX_KEYS - 8).as_bytes(), &context()).unwrap_err();
    assert!(refusal.to_string().starts_with("more than 1000 keys at "), "{refusal}");
    let values = format!(r#"{{"lead":{LEAD},"x":[{}0]}}"#, "0,".repeat(9_995));
    let refusal = accept(values.as_bytes(), &context()).unwrap_err();
    assert!(refusal.to_string().starts_with("more than 10000 values at "), "{refusal}");
}
