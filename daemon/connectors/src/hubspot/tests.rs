//! What HubSpot is sent, and how its answers are read.

use serde_json::{Value, json};

use super::{Compiled, Hubspot, error};
use crate::{
    Connector, Ids, Prepared, crm,
    testkit::{
        self, Played, assert_errors, assert_golden, drive, integration, lead, maximal, minimal, response,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    integration::ProbeKind,
    outcome::{FailureClass, Outcome},
};

mod companies;

fn ready(mapping: Value) -> Box<dyn Prepared> {
    let credentials = json!({ "token": "pat-eu1-secret" });
    Hubspot.prepare(&integration("hubspot", json!({}), credentials, mapping), "Leadline").unwrap()
}

fn contact(id: &str) -> (u16, Value) {
    (200, json!({ "id": id }))
}

fn none() -> (u16, Value) {
    (404, json!({ "status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found" }))
}

/// What a look at the name of a contact finds.
fn nameless() -> (u16, Value) {
    (200, json!({ "id": "501", "properties": { "firstname": null, "lastname": "" } }))
}

fn note() -> (u16, Value) {
    (201, json!({ "id": "9001" }))
}

fn ids(pairs: &[(&str, &str)]) -> Ids {
    pairs.iter().map(|(key, id)| ((*key).to_owned(), (*id).to_owned())).collect()
}

#[test]
fn a_new_lead_is_a_new_contact_with_a_note() {
    let answers = [none(), (201, json!({ "id": "501" })), note()];
    let said = drive(ready(json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
    let delivery = "01J8H6KQH4YG3XR8RWM6T6XFQ0";
    let expected = ids(&[
        ("contact", "501"),
        (&format!("contact.{delivery}"), "501"),
        (&format!("note.501.{delivery}"), "9001"),
    ]);
    let mut kept = said.ids;
    assert!(kept.remove("_written").is_some_and(|prints| prints.len() == 4 * 12), "one for each property");
    assert_eq!(kept, expected);
}

#[test]
fn a_blank_value_empties_nothing_unless_it_shall() {
    let mut lead = lead();
    lead["lead"]["phone"] = json!("");
    lead["lead"]["profile"] = json!({"company": " ", "position": "CEO"});
    let clearing = json!({"lead.phone": {"to": "phone", "clear": true}});
    for (mapping, phone) in [(json!({}), json!(null)), (clearing, json!(""))] {
        let known = ids(&[("contact", "501")]);
        let said = drive(ready(mapping).as_ref(), Updated, &lead, known, None, &[contact("501"), note()]);
        let of = |name: &str| said.bodies[0]["properties"][name].clone();
        assert_eq!((of("phone"), of("company"), of("jobtitle")), (phone, json!(null), json!("CEO")));
        assert!(!said.bodies[1].to_string().contains("<b>Phone:</b>"));
    }
}

#[test]
fn an_update_goes_to_the_contact_that_is_known() {
    let mapping = json!({ "lead.event_date": "wedding_date", "lead.phone": null,
        "quote.total_pence": { "to": "quote", "value": "{{ quote.total_pence | money }}" } });
    let answers = [contact("501"), note()];
    let known = ids(&[("contact", "501")]);
    let said = drive(ready(mapping).as_ref(), Updated, &lead(), known, None, &answers);
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
}

#[test]
fn a_repeat_sends_the_same_and_looks_for_the_note_first() {
    let ready = ready(json!({}));
    let first =
        drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[contact("501"), (500, json!(""))]);
    assert!(matches!(&first.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Transient));
    let listed = (
        200,
        json!({ "results": [{ "id": "12", "type": "contact_to_note" }, { "id": "9", "type": "contact_to_note" }] }),
    );
    let read =
        (200, json!({ "results": [{ "id": "12", "properties": { "hs_note_body": "Somebody called" } }] }));
    let answers = [listed.clone(), read, note()];
    let rendered = first.rendered.clone();
    let second = drive(ready.as_ref(), Created, &lead(), first.ids.clone(), rendered.clone(), &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!(second.bodies[2], first.bodies[1], "the same bytes");
    assert_eq!(second.outcome, Outcome::Delivered);

    let ours = json!({ "id": "12", "properties": { "hs_note_body": "<b>Delivery:</b> 01J8H6KQH4YG3XR8RWM6T6XFQ0" } });
    let answers = [listed, (200, json!({ "results": [ours] }))];
    let found = drive(ready.as_ref(), Created, &lead(), first.ids, rendered, &answers);
    assert_eq!(found.outcome, Outcome::Delivered, "a note that is there is not written again");
}

#[test]
fn a_minimal_lead() {
    let answers = [nameless(), contact("501"), note()];
    let said = drive(ready(json!({})).as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
}

#[test]
fn a_maximal_lead() {
    let answers = [contact("501"), note()];
    let said = drive(ready(json!({})).as_ref(), Created, &maximal(), Ids::new(), None, &answers);
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
}

#[test]
fn a_conflict_leads_to_the_contact_that_is_there() {
    let conflict = json!({ "status": "error", "category": "CONFLICT", "message": "Contact already exists. Existing ID: 77" });
    let answers = [none(), (409, conflict), contact("77"), note()];
    let said = drive(ready(json!({})).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_eq!(said.outcome, Outcome::Delivered);
    assert!(said.requests[2].url.path().ends_with("/contacts/77"));
    let email = |played: &Played, call: usize| played.bodies[call]["properties"].get("email").cloned();
    assert_eq!(email(&said, 2), None, "its first address stays");

    assert_eq!(said.ids["_second_email"], "sarah@example.com");
    let known = ids(&[("contact", "77"), ("_second_email", "sarah@example.com")]);
    let answers = [contact("77"), note()];
    let update = drive(ready(json!({})).as_ref(), Updated, &lead(), known.clone(), None, &answers);
    assert_eq!((update.calls.len(), email(&update, 0)), (2, None), "in updates too");
    let mut moved = lead();
    moved["lead"]["email"] = json!("sarah@new.example");
    let update = drive(ready(json!({})).as_ref(), Updated, &moved, known, None, &answers);
    assert_eq!(email(&update, 0), Some(json!("sarah@new.example")), "until the lead's own has changed");
}

/// Half of a name is written to the contact that was looked at, and to no other that turns out to have the address.
#[test]
fn half_a_name_goes_to_no_contact_that_has_a_whole_one() {
    let conflict = json!({ "status": "error", "category": "CONFLICT", "message": "Contact already exists. Existing ID: 2" });
    let whole = (200, json!({ "id": "2", "properties": { "firstname": "Sarah", "lastname": "Patel" } }));
    for refusal in [(409, conflict), none()] {
        let answers = [nameless(), refusal, whole.clone(), contact("2"), note()];
        let known = ids(&[("contact", "1")]);
        let said = drive(ready(json!({})).as_ref(), Updated, &minimal(), known, None, &answers);
        assert_eq!((said.outcome, said.ids["contact"].as_str()), (Outcome::Delivered, "2"));
        let is_named = |call: &usize| said.bodies[*call]["properties"].get("firstname").is_some();
        assert_eq!((0..said.calls.len()).filter(is_named).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn the_note_stays_within_its_limit() {
    let mut long = lead();
    long["lead"]["profile"] = json!({ "notes": "<👰>".repeat(10_000) });
    let said = drive(ready(json!({})).as_ref(), Created, &long, Ids::new(), None, &[contact("1"), note()]);
    assert_eq!(said.outcome, Outcome::Delivered);
    let note = said.bodies[1]["properties"]["hs_note_body"].as_str().unwrap();
    assert!(crm::units(note) <= 65_536 && note.contains("</b> 01J8H6KQH4YG3XR8RWM6T6XFQ0<br>"));
    assert!(note.contains("&lt;👰&gt;…") || note.contains("👰…"), "a cut is marked");
}

#[test]
fn a_new_lead_is_put_on_the_lists() {
    let config = json!({ "list_ids": "7, 12" });
    let credentials = json!({ "token": "pat-eu1-secret" });
    let ready = Hubspot.prepare(&integration("hubspot", config, credentials, json!({})), "Leadline").unwrap();
    let added =
        || (200, json!({ "recordsIdsAdded": ["501"], "recordIdsRemoved": [], "recordIdsMissing": [] }));
    let answers = [nameless(), contact("501"), note(), added(), added()];
    let said = drive(ready.as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("lists", include_str!("fixtures/lists.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
    let known = ids(&[("contact", "501")]);
    let update = drive(ready.as_ref(), Updated, &minimal(), known, None, &answers[..3]);
    assert_eq!((update.outcome, update.calls.len()), (Outcome::Delivered, 3));
    // The creation died: the update is what puts them there.
    let update = drive(ready.as_ref(), Updated, &minimal(), Ids::new(), None, &answers);
    assert_eq!((update.outcome, update.calls.len()), (Outcome::Delivered, 5));
}

/// As many lists as may be set, a deal and half of a name, and HubSpot refuses some values one by one.
#[test]
fn the_most_that_may_be_set_is_done_in_one_push() {
    let lists: Vec<String> = (1..=20).map(|list: u32| list.to_string()).collect();
    let config = json!({ "list_ids": lists.join(","), "deal_pipeline": "Weddings" });
    let credentials = json!({ "token": "pat-eu1-secret" });
    let mapping = json!({ "lead.event_type": "a", "lead.guest_count": "b", "lead.event_date": "c" });
    let ready = Hubspot.prepare(&integration("hubspot", config, credentials, mapping), "Leadline").unwrap();
    let refused = |name: &str| {
        let error =
            json!({ "code": "INVALID_OPTION", "message": "no", "context": { "propertyName": [name] } });
        (400, json!({ "status": "error", "category": "VALIDATION_ERROR", "errors": [error] }))
    };
    let stages = json!([{ "id": "71", "label": "New" }]);
    let pipelines = json!({ "results": [{ "id": "7", "label": "Weddings", "stages": stages }] });
    let mut answers = vec![none(), none()];
    answers.extend(["a", "b", "c"].map(refused));
    answers.extend([(201, json!({ "id": "501" })), note(), (200, pipelines), (201, json!({ "id": "77" }))]);
    answers.extend(lists.iter().map(|_| (200, json!({ "recordsIdsAdded": ["501"] }))));
    let mut lead = lead();
    lead["lead"]["name"] = json!("Cher");
    let said = drive(ready.as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_eq!((said.outcome, said.calls.len()), (Outcome::Delivered, answers.len()));
}

#[test]
fn a_new_lead_makes_a_deal_and_an_update_none() {
    let config = json!({ "deal_pipeline": "Weddings" });
    let credentials = json!({ "token": "pat-eu1-secret" });
    let ready = Hubspot.prepare(&integration("hubspot", config, credentials, json!({})), "Leadline").unwrap();
    let stages = json!([{ "id": "72", "label": "Visit", "displayOrder": 1 }, { "id": "71", "label": "New", "displayOrder": 0 }]);
    let pipelines = json!({ "results": [{ "id": "7", "label": "Weddings", "stages": stages }] });
    let answers =
        [none(), (201, json!({ "id": "501" })), note(), (200, pipelines), (201, json!({ "id": "77" }))];
    let said = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_golden("deal", include_str!("fixtures/deal.json"), &said);
    assert_eq!((said.outcome, said.ids["deal"].as_str()), (Outcome::Delivered, "77"));
    let mut ids = said.ids;
    ids.retain(|name, _| !name.contains('.'));
    let said = drive(ready.as_ref(), Updated, &lead(), ids, None, &[note()]);
    assert_eq!((said.outcome, said.calls.len()), (Outcome::Delivered, 1), "nothing new but the note");
}

#[test]
fn a_list_without_an_end_is_left() {
    let more = json!({ "results": [], "paging": { "next": { "after": "1" } } }).to_string();
    let mut answers = vec![(200, "{}"), (200, r#"{ "results": [{ "name": "hubspot_owner_id" }] }"#)];
    answers.extend((0..17).map(|_| (200, more.as_str())));
    let mapping = json!({ "hubspot_owner_id": { "value": "41" }, "lead.phone": null });
    let (report, urls) = testkit::probe(ready(mapping).as_ref(), ProbeKind::Mapping, &answers);
    let found = report.findings.iter().filter(|told| told.contains("owner")).collect::<Vec<_>>();
    let told = "hubspot_owner_id: who may own it cannot be read: hubspot has more results than 16 pages hold";
    assert_eq!((found, urls.len()), (vec![&told.to_owned()], 18));
    assert!(urls[3].ends_with("/crm/owners/2026-03?limit=500&after=1"), "{}", urls[3]);
}

#[test]
fn every_error_has_its_class_and_says_what_hubspot_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn settings_are_checked() {
    let egress = EgressPolicy::new(Vec::new());
    let check = |config, mapping| testkit::refused(&Hubspot, &config, &mapping);
    assert!(check(json!({}), json!(null)).is_empty());
    assert_eq!(check(json!({ "api_version": "../x" }), json!({})), ["api_version must be like 2026-03"]);
    assert_eq!(check(json!({ "calls_per_10_seconds": 0 }), json!({})).len(), 1);
    assert_eq!(
        check(json!({}), json!({ "lead.emial": "email" })),
        ["unknown field lead.emial; did you mean lead.email?"]
    );
    let expected =
        "lead.email: goes to email as it is, for leads are found by it; take lead.email out of the mapping";
    assert_eq!(check(json!({}), json!({ "lead.email": "work_email" })), [expected]);
    let credentials = |given| testkit::refused_credentials(&Hubspot, &given, &egress);
    assert!(credentials(json!({ "token": "x" })).is_empty());
    assert!(credentials(json!({ "client_id": "a", "client_secret": "b", "refresh_token": "c" })).is_empty());
    assert_eq!(credentials(json!({ "client_id": "a" })).len(), 1);
    assert_eq!(credentials(json!({ "tokn": "x" }))[0], "unknown credential tokn; did you mean token?");
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let made =
        Hubspot.prepare(&integration("hubspot", json!({}), Value::Null, json!({})), "Leadline").unwrap();
    let said = drive(made.as_ref(), Created, &lead(), Ids::new(), None, &[]);
    assert!(matches!(&said.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Credentials));
}

#[test]
fn credentials_are_never_shown() {
    let told = format!(
        "{:?}",
        Compiled {
            base: "https://api.hubapi.com".parse().unwrap(),
            version: "2026-03".to_owned(),
            calls: 1,
            lists: Vec::new(),
            employs: false,
            place: super::Place { pipeline: None, stage: None },
            mapping: leadline_domain::mapping::Mapping::default(),
            login: Some(super::TokenLogin::Token("pat-secret".into())),
        }
    );
    assert!(!told.contains("pat-secret"), "{told}");
}

#[test]
fn the_last_calls_of_the_day_are_left_to_others() {
    let spent = |left: &str| {
        let headers =
            [("X-HubSpot-RateLimit-Daily", "250000"), ("X-HubSpot-RateLimit-Daily-Remaining", left)];
        error::spent(&response(200, &headers, "")).map(|failure| (failure.class, failure.error))
    };
    assert_eq!((spent("249999"), spent("2500"), spent("")), (None, None, None));
    let error = "hubspot quota: 2499 of the day's 250000 calls are left, and are left to others";
    assert_eq!(spent("2499"), Some((FailureClass::Throttled, error.to_owned())));
}
