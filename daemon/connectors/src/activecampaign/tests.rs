//! What ActiveCampaign is sent, and how its answers are read.

use serde_json::{Value, json};

use super::{ActiveCampaign, NAME, error};
use crate::{
    Connector, Ids, Prepared,
    testkit::{Played, assert_errors, assert_golden, drive, integration, lead, maximal, minimal},
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    outcome::Outcome,
};

fn ready(more: Value, mapping: Value) -> Box<dyn Prepared> {
    let mut config = json!({ "api_url": "https://innkept.api-us1.com", "list_id": "3" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let credentials = json!({ "api_token": "activecampaign-secret" });
    ActiveCampaign.prepare(&integration(NAME, config, credentials, mapping), "Leadline").unwrap()
}

fn agreed(mut lead: Value) -> Value {
    lead["lead"]["gdpr_consent"] = json!(true);
    lead
}

fn synced() -> (u16, Value) {
    (201, json!({ "contact": { "id": "10", "email": "sarah@example.com" }, "fieldValues": [] }))
}

/// Where somebody stands: the list and the status.
fn places(places: &[(&str, &str)]) -> (u16, Value) {
    let places: Vec<Value> =
        places.iter().map(|(list, status)| json!({ "list": list, "status": status })).collect();
    (200, json!({ "contactLists": places }))
}

fn listed() -> (u16, Value) {
    (200, json!({ "contactList": { "id": "2" } }))
}

fn noted() -> (u16, Value) {
    (201, json!({ "note": { "id": "7" } }))
}

fn tags(tags: &[(&str, &str)]) -> (u16, Value) {
    let tags: Vec<Value> =
        tags.iter().map(|(id, tag)| json!({ "id": id, "tag": tag, "tagType": "contact" })).collect();
    (200, json!({ "tags": tags }))
}

fn fields() -> (u16, Value) {
    let fields = json!([{ "id": "5", "perstag": "GUESTS", "title": "Guests", "type": "text" },
        { "id": "6", "perstag": "EVENT_DATE", "title": "Event date", "type": "date" }]);
    (200, json!({ "fields": fields }))
}

fn calls(played: &Played) -> Vec<String> {
    let told = played
        .requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url.path().trim_start_matches("/api/3/")));
    told.collect()
}

#[test]
fn a_new_lead_is_a_new_contact_in_the_list_with_a_note() {
    let answers = [synced(), places(&[("1", "1")]), listed(), noted()];
    let said =
        drive(ready(json!({}), json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &answers);
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!((said.outcome, said.ids["contact"].as_str()), (Outcome::Delivered, "10"));
}

#[test]
fn an_update_changes_the_contact_and_adds_a_note_and_tags() {
    let mapping = json!({ "lead.guest_count": "%GUESTS%", "lead.event_date": "event_date", "lead.event_type": "9",
        "lead.source_url": "MISSING" });
    let config = json!({ "tags": "Wedding, Website" });
    let answers = [
        fields(),
        synced(),
        places(&[("3", "1")]),
        tags(&[("20", "wedding"), ("21", "Wedding Fair")]),
        (201, json!({ "contactTag": { "id": "1" } })),
        tags(&[]),
        (201, json!({ "tag": { "id": "22", "tag": "Website" } })),
        (201, json!({ "contactTag": { "id": "2" } })),
        noted(),
    ];
    let said = drive(ready(config, mapping).as_ref(), Updated, &agreed(lead()), Ids::new(), None, &answers);
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
    assert_eq!(said.note.as_deref(), Some("custom field MISSING was left out: the account has none"));
}

#[test]
fn a_repeat_looks_for_the_note_that_may_be_there() {
    let ready = ready(json!({}), json!({}));
    let lead = agreed(lead());
    let answers = [synced(), places(&[]), listed(), (500, Value::Null)];
    let first = drive(ready.as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_eq!(first.failure().0, "transient");
    let told = first.bodies[3]["note"]["note"].clone();
    let notes = json!({ "notes": [{ "id": "6", "note": "called on Friday" }, { "id": "7", "note": told }] });
    let answers = [places(&[("3", "1")]), (200, notes)];
    let second = drive(ready.as_ref(), Created, &lead, first.ids, first.rendered, &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!(
        (&second.outcome, second.ids["note.01J8H6KQH4YG3XR8RWM6T6XFQ0"].as_str()),
        (&Outcome::Delivered, "7")
    );
}

#[test]
fn notes_that_cannot_be_read_are_asked_for_again() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &agreed(lead()), Ids::new(), None, &[synced()]);
    for listed in [Value::Null, json!({ "meta": {} })] {
        let answers = [places(&[("3", "1")]), (200, listed)];
        let (ids, rendered) = (first.ids.clone(), first.rendered.clone());
        let again = drive(ready.as_ref(), Created, &agreed(lead()), ids, rendered, &answers);
        assert_eq!((again.calls.len(), again.failure().0), (2, "transient"));
    }
}

#[test]
fn a_minimal_lead() {
    let nobody = (200, json!({ "contacts": [] }));
    let answers = [nobody, synced(), places(&[]), listed(), noted()];
    let said =
        drive(ready(json!({}), json!({})).as_ref(), Created, &agreed(minimal()), Ids::new(), None, &answers);
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
}

/// No look reads custom fields, so that nobody knows whether one says a whole name.
#[test]
fn half_a_name_goes_to_a_custom_field_of_a_new_contact_alone() {
    let mapping =
        json!({ "lead.name": "9", "lead.profile.first_name": null, "lead.profile.last_name": null });
    let known = json!([{ "id": "10", "firstName": "", "lastName": "" }]);
    for (contacts, is_written) in [(json!([]), true), (known, false)] {
        let answers = [(200, json!({ "contacts": contacts })), synced(), places(&[("3", "1")]), noted()];
        let lead = agreed(minimal());
        let said =
            drive(ready(json!({}), mapping.clone()).as_ref(), Created, &lead, Ids::new(), None, &answers);
        assert_eq!(said.outcome, Outcome::Delivered);
        assert_eq!(said.bodies[1].to_string().contains("Cher"), is_written);
    }
}

#[test]
fn a_maximal_lead() {
    let answers = [synced(), places(&[]), listed(), noted()];
    let said =
        drive(ready(json!({}), json!({})).as_ref(), Created, &agreed(maximal()), Ids::new(), None, &answers);
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
}

#[test]
fn nobody_who_left_is_put_into_the_list_again() {
    for (status, note) in [
        ("1", None),
        ("2", Some("not put into the list again, as they unsubscribed")),
        ("3", Some("not put into the list again, as mail to them bounced")),
        ("0", Some("in the list already, and yet to confirm")),
        ("9", Some("not put into the list again, as their status is 9")),
    ] {
        let answers = [synced(), places(&[("1", "1"), ("3", status)]), noted()];
        let said =
            drive(ready(json!({}), json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &answers);
        assert_eq!(calls(&said), ["POST contact/sync", "GET contacts/10/contactLists", "POST notes"]);
        assert_eq!((said.outcome, said.note.as_deref()), (Outcome::Delivered, note));
    }
}

#[test]
fn nobody_is_pushed_without_consent() {
    let mut without = lead();
    without["lead"]["gdpr_consent"] = json!(false);
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &without, Ids::new(), None, &[]);
    assert_eq!(said.calls.len(), 0);
    assert_eq!(said.failure(), ("rejected", "activecampaign was not called: the lead gave no consent", None));
}

#[test]
fn a_contact_that_is_gone_when_a_push_goes_on_is_made_again() {
    let ready = ready(json!({}), json!({}));
    let lead = agreed(lead());
    let first = drive(ready.as_ref(), Created, &lead, Ids::new(), None, &[synced()]);
    let gone = (404, json!({ "message": "No Result found for Subscriber with id 10" }));
    let answers = [gone, synced(), places(&[]), listed(), (200, json!({ "notes": [] })), noted()];
    let again = drive(ready.as_ref(), Created, &lead, first.ids, first.rendered, &answers);
    assert_eq!((again.calls.len(), again.outcome), (6, Outcome::Delivered));
}

#[test]
fn a_tag_that_another_push_has_just_made_is_found() {
    let duplicate = (422, json!({ "errors": [{ "title": "The tag exists", "code": "duplicate" }] }));
    let answers = [
        synced(),
        places(&[("3", "1")]),
        tags(&[]),
        duplicate.clone(),
        tags(&[("20", "Wedding")]),
        (201, json!({ "contactTag": { "id": "1" } })),
        noted(),
    ];
    let config = json!({ "tags": "Wedding" });
    let said = drive(
        ready(config.clone(), json!({})).as_ref(),
        Created,
        &agreed(lead()),
        Ids::new(),
        None,
        &answers,
    );
    assert_eq!(said.outcome, Outcome::Delivered);
    let refused = (403, json!({ "message": "You may not create tags" }));
    let answers = [synced(), places(&[("3", "1")]), tags(&[]), refused, tags(&[])];
    let said = drive(ready(config, json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &answers);
    assert_eq!(said.failure(), ("credentials", "activecampaign 403 You may not create tags", None));
}

#[test]
fn a_tag_is_looked_up_once_until_it_is_gone() {
    let ready = ready(json!({ "tags": "Wedding" }), json!({}));
    let run = |answers: &[(u16, Value)]| {
        let said = drive(ready.as_ref(), Created, &agreed(lead()), Ids::new(), None, answers);
        let looks = calls(&said).iter().filter(|call| call.starts_with("GET tags")).count();
        (said.failure().0, looks)
    };
    let (found, given) = (|| tags(&[("20", "Wedding")]), || (201, json!({ "contactTag": { "id": "1" } })));
    let first = [synced(), places(&[("3", "1")]), found(), given(), noted()];
    let later = [synced(), places(&[("3", "1")]), given(), noted()];
    assert_eq!([run(&first), run(&later)], [("delivered", 1), ("delivered", 0)]);
    let gone = (404, json!({ "message": "No Result found" }));
    assert_eq!(run(&[synced(), places(&[("3", "1")]), gone]), ("transient", 0));
    assert_eq!(run(&first), ("delivered", 1));
}

#[test]
fn every_error_has_its_class_and_says_what_activecampaign_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn settings_are_checked() {
    let check = |config: Value, mapping: Value| {
        let found = ActiveCampaign.check(&config, &mapping, &EgressPolicy::new(Vec::new()), "Leadline");
        found.into_iter().map(|problem| problem.text).collect::<Vec<_>>()
    };
    let at = |url: &str, list: &str| json!({ "api_url": url, "list_id": list });
    assert!(
        check(at("https://innkept.api-us1.com", "3"), json!({ "lead.guest_count": "GUESTS" })).is_empty()
    );
    assert_eq!(
        check(at("https://innkept.api-us1.com/api/3", "3"), json!({})),
        ["api_url must be scheme, host and port only, as https://sandbox.example.com"]
    );
    assert_eq!(
        check(at("https://innkept.api-us1.com", "News"), json!({})),
        ["list_id must be the list's number, as 3"]
    );
    assert!(check(at("https://127.0.0.1", "3"), json!({}))[0].starts_with("api_url: "));
    let mut many = at("https://innkept.api-us1.com", "3");
    many["tags"] = json!("a,b,c,d,e,f");
    assert_eq!(check(many, json!({})), ["tags: at most 5 of them"]);
    assert_eq!(
        check(at("https://innkept.api-us1.com", "3"), json!({ "lead.email": "MAIL" })),
        ["lead.email: goes to email as it is, for leads are found by it; take lead.email out of the mapping"]
    );
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let config = json!({ "api_url": "https://innkept.api-us1.com", "list_id": "3" });
    let bare =
        ActiveCampaign.prepare(&integration(NAME, config, Value::Null, json!({})), "Leadline").unwrap();
    let said = drive(bare.as_ref(), Created, &agreed(lead()), Ids::new(), None, &[]);
    assert_eq!((said.calls.len(), said.failure().0), (0, "credentials"));
}
