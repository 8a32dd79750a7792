//! Rows and events of files: what they become, and what is said of those that cannot.

use serde_json::json;

use super::*;

fn read(map: &Value, set: &Value, columns: &[String]) -> Result<Import, Vec<ImportProblem>> {
    Import::read(&Wish { map, set, columns, key: "", strict: true, order: None })
}

/// What is wrong, as it is told.
fn texts(read: Result<Import, Vec<ImportProblem>>) -> Vec<String> {
    read.unwrap_err().iter().map(ToString::to_string).collect()
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn rows_become_events() {
    let map = json!({"Wedding day": "lead.event_date", "Notes": null, "Guests": "lead.guest_count"});
    let set = json!({"lead.event_type": "wedding", "lead.gdpr_consent": "yes"});
    let names =
        columns(&["E-Mail", "First name", "last_name", "Wedding day", "Notes", "Guests", "GDPR consent"]);
    let import = read(&map, &set, &names).unwrap();
    let row = r#"{"E-Mail":"a@b.c","First name":"Ann","last_name":"Lee","Wedding day":"2026-09-12","Notes":"x","Guests":" 80 ","GDPR consent":""}"#;
    let (event, id) = import.event(CompanyId(7), row.as_bytes()).unwrap();
    assert_eq!(
        event.to_string(),
        r#"{"lead":{"event_date":"2026-09-12","guest_count":80,"email":"a@b.c","profile":{"first_name":"Ann","last_name":"Lee"},"event_type":"wedding","gdpr_consent":true,"name":"Ann Lee"}}"#
    );
    assert_eq!(import.event(CompanyId(7), row.as_bytes()).unwrap().1, id, "the same line is the same lead");
    assert_ne!(import.event(CompanyId(8), row.as_bytes()).unwrap().1, id);
    let wrong = row.replace("80", "many").replace("consent\":\"", "consent\":\"perhaps");
    let problems = import.event(CompanyId(7), wrong.as_bytes()).unwrap_err();
    let reported: Vec<_> = problems.iter().map(|it| format!("{} {}", it.pointer, it.detail)).collect();
    assert_eq!(
        reported,
        [
            "/Guests must be a whole number for lead.guest_count",
            "/GDPR consent must be yes or no for lead.gdpr_consent"
        ]
    );
}

#[test]
fn events_keep_what_is_not_mapped() {
    let import = read(&json!({"person.mail": "lead.email", "x": null}), &json!({}), &[]).unwrap();
    let line = r#"{"lead":{"name":"Ann","n":1.10},"person":{"mail":"a@b.c"},"x":1}"#;
    let (event, _) = import.event(CompanyId(7), line.as_bytes()).unwrap();
    assert_eq!(event.to_string(), r#"{"lead":{"name":"Ann","n":1.10,"email":"a@b.c"},"person":{}}"#);
    let plain = read(&Value::Null, &Value::Null, &[]).unwrap();
    assert_eq!(plain.event(CompanyId(7), line.as_bytes()).unwrap().0.to_string(), line);
    assert_eq!(plain.event(CompanyId(7), b"5").unwrap_err()[0].detail, "must be an object");
    assert!(plain.event(CompanyId(7), b"{").is_err());
}

#[test]
fn everything_wrong_is_said_at_once() {
    let map = json!({"Mail": "lead.emial", "Nme": "lead.name", "Day": 5, "Tel": "lead.phone"});
    let set =
        json!({"lead.utm": {}, "lead.event_typ": "wedding", "lead.email.x": 1, "budget": 1, "lead..x": 1});
    let names = columns(&["Mail", "Name", "Day", "Tel", "Phone", "Budget"]);
    assert_eq!(
        texts(read(&map, &set, &names)),
        [
            "map: Mail: unknown field lead.emial; did you mean lead.email?",
            "map: unknown column Nme; did you mean Name?",
            "map: Day: must be the name of a field, or null to leave it out",
            "column \"Budget\" is called like no field: add it to the map, with null to leave it out",
            "map: Tel and Phone both go to lead.phone; give each its own",
            "set: lead.utm cannot be imported; name a field in it, as lead.email",
            "set: unknown field lead.event_typ; did you mean lead.event_type?",
            "set: lead.email.x cannot be: lead.email is text",
            "set: unknown field budget; name a canonical one, or one of your own as lead.budget",
            "set: unknown field lead..x; name a canonical one, or one of your own as lead.budget",
        ]
    );
}

#[test]
fn columns_of_their_own_become_fields_of_the_lead() {
    let names = columns(&["Email", "Wedding budget (£)", "Emial", "lead.table plan", "Größe"]);
    let (map, set) = (json!({}), json!({}));
    let wish = Wish { map: &map, set: &set, columns: &names, key: "", strict: false, order: None };
    let import = Import::read(&wish).unwrap();
    let own: Vec<_> = import.own_columns().iter().map(|own| (&*own.field, own.meant)).collect();
    assert_eq!(
        own,
        [
            ("lead.wedding_budget", None),
            ("lead.emial", Some("lead.email")),
            ("lead.table_plan", None),
            ("lead.größe", None)
        ]
    );
    let row = r##"{"Email":"a@b.c","Wedding budget (£)":"'=1","Größe":"#N/A"}"##;
    let problems = import.event(CompanyId(7), row.as_bytes()).unwrap_err();
    assert_eq!(
        (&*problems[0].pointer, &*problems[0].detail),
        ("/Größe", "is #N/A, an error of the spreadsheet: mend it there, or leave the cell blank")
    );
    let (event, _) = import.event(CompanyId(7), row.replace("#N/A", " ").as_bytes()).unwrap();
    assert_eq!(event.to_string(), r#"{"lead":{"email":"a@b.c","wedding_budget":"=1"}}"#);
    let names = columns(&["UTM", "???", "A b", "a-b"]);
    assert_eq!(
        texts(Import::read(&Wish { columns: &names, ..wish })),
        [
            "column \"UTM\" cannot be a field of its own: add it to the map, with null to leave it out",
            "column \"???\" cannot be a field of its own: add it to the map, with null to leave it out",
            "map: A b and a-b both go to lead.a_b; give each its own",
        ]
    );
}

#[test]
fn a_key_tells_leads_apart_whatever_else_the_line_says() {
    let names = columns(&["E-Mail", "Order no", "New"]);
    let (map, set) = (json!({}), json!({}));
    let wish = Wish { map: &map, set: &set, columns: &names, key: "Order no", strict: false, order: None };
    let id = |wish: &Wish<'_>, line: &str| {
        Import::read(wish).unwrap().event(CompanyId(7), line.as_bytes()).map(|(_, id)| id)
    };
    let first = id(&wish, r#"{"E-Mail":"a@b.c","Order no":"17"}"#).unwrap();
    assert_eq!(first, id(&wish, r#"{"E-Mail":"x@b.c","Order no":" 17 ","New":"1"}"#).unwrap());
    assert_ne!(first, id(&wish, r#"{"E-Mail":"a@b.c","Order no":"18"}"#).unwrap());
    let blank = id(&wish, r#"{"E-Mail":"a@b.c"}"#).unwrap_err();
    assert_eq!(
        (&*blank[0].pointer, &*blank[0].detail),
        ("/Order no", "is the key and must be text or a number, not blank")
    );
    let by_mail = Wish { key: "E-Mail", ..wish };
    let lower = id(&by_mail, r#"{"E-Mail":"a@b.c"}"#).unwrap();
    assert_eq!(lower, id(&by_mail, r#"{"E-Mail":"A@B.c"}"#).unwrap());
    assert_ne!(lower, first);
    let events = Wish { columns: &[], key: "order.no", ..wish };
    let of_number = id(&events, r#"{"order":{"no":17}}"#).unwrap();
    assert_eq!(of_number, id(&events, r#"{"order":{"no":17},"lead":{}}"#).unwrap());
    assert_eq!(id(&events, r#"{"order":{}}"#).unwrap_err()[0].pointer, "/order~1no");
    let unknown = texts(Import::read(&Wish { key: "Order", ..wish }));
    assert_eq!(unknown, ["key: unknown column Order"]);
}
