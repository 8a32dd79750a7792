//! What Klaviyo is sent, and how its answers are read.

use serde_json::{Value, json};

use super::{Klaviyo, NAME, error};
use crate::{
    Connector, Ids, Prepared,
    testkit::{Played, assert_errors, assert_golden, drive, integration, lead, maximal, minimal},
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    outcome::{FailureClass, Outcome},
};

const PROFILE: &str = "01GDDKASAP8TKDDA2GRZDSVP4H";

fn ready(mapping: Value) -> Box<dyn Prepared> {
    let credentials = json!({ "api_key": "pk_klaviyo-secret" });
    let config = json!({ "list_id": "Y6nRLr" });
    Klaviyo.prepare(&integration(NAME, config, credentials, mapping), "Leadline").unwrap()
}

fn agreed(mut lead: Value) -> Value {
    lead["lead"]["gdpr_consent"] = json!(true);
    lead
}

/// The answer to a profile that is written, whose person stands so.
fn there(status: u16, consent: &str, suppressed: &[&str]) -> (u16, Value) {
    let suppression: Vec<Value> = suppressed.iter().map(|reason| json!({ "reason": reason })).collect();
    let marketing = json!({ "consent": consent, "suppression": suppression, "list_suppressions": [] });
    let attributes = json!({ "subscriptions": { "email": { "marketing": marketing } } });
    (status, json!({ "data": { "type": "profile", "id": PROFILE, "attributes": attributes } }))
}

fn made() -> (u16, Value) {
    there(201, "NEVER_SUBSCRIBED", &[])
}

const TAKEN: (u16, Value) = (202, Value::Null);

fn refused(status: u16, code: &str, pointer: &str) -> (u16, Value) {
    (status, json!({ "errors": [{ "code": code, "detail": "no", "source": { "pointer": pointer } }] }))
}

fn paths(played: &Played) -> Vec<&str> {
    played.requests.iter().map(|request| request.url.path().trim_start_matches("/api/")).collect()
}

#[test]
fn a_new_lead_is_a_new_profile_that_is_subscribed_and_an_event() {
    let said =
        drive(ready(json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &[made(), TAKEN, TAKEN]);
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!((said.outcome, said.ids["profile"].as_str()), (Outcome::Delivered, PROFILE));
    let body = String::from_utf8(said.requests[2].body.to_vec()).unwrap();
    assert!(body.contains(r#""value":12696.00,"#), "to the penny: {body}");
}

#[test]
fn an_update_changes_the_profile_and_asks_nobody_again() {
    let mapping = json!({ "lead.guest_count": "Guests", "location.name": "location.city", "lead.event_date": "properties.Event.Date" });
    let ids = Ids::from([
        ("profile".to_owned(), PROFILE.to_owned()),
        ("_subscribed".to_owned(), format!("{PROFILE} sarah@example.com")),
    ]);
    let said = drive(
        ready(mapping).as_ref(),
        Updated,
        &agreed(lead()),
        ids,
        None,
        &[there(200, "NEVER_SUBSCRIBED", &[]), TAKEN],
    );
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
}

/// Somebody deleted the profile after it was asked to subscribe.
#[test]
fn a_profile_that_is_made_anew_is_subscribed_anew() {
    let ready = ready(json!({}));
    let lead = agreed(lead());
    let gone = [made(), TAKEN, (400, Value::Null), (404, Value::Null)];
    let first = drive(ready.as_ref(), Created, &lead, Ids::new(), None, &gone);
    let (_, mut anew) = made();
    anew["data"]["id"] = json!("01ANEW");
    let answers = [(201, anew), TAKEN, TAKEN];
    let second = drive(ready.as_ref(), Created, &lead, first.ids, first.rendered, &answers);
    assert_eq!(second.outcome, Outcome::Delivered);
    assert_eq!(paths(&second), ["profile-import", "profile-subscription-bulk-create-jobs", "events"]);
}

/// The list of profiles may not know yet whom this lead made: the profile itself does.
#[test]
fn what_is_for_new_profiles_is_not_written_again_to_the_one_that_the_lead_made() {
    let mapping = json!({ "lead.phone": { "to": "phone_number", "new": true } });
    let profile = |email: &str| (200, json!({ "data": { "id": PROFILE, "attributes": { "email": email } } }));
    let gone = (404, json!({ "errors": [{ "code": "not_found", "detail": "no" }] }));
    let ids = Ids::from([("profile".to_owned(), PROFILE.to_owned())]);
    for (by_id, is_new) in
        [(profile("Sarah@Example.com"), false), (profile("other@example.com"), true), (gone, true)]
    {
        let answers =
            [(200, json!({ "data": [] })), by_id, there(200, "NEVER_SUBSCRIBED", &[]), TAKEN, TAKEN];
        let lead = agreed(lead());
        let said = drive(ready(mapping.clone()).as_ref(), Updated, &lead, ids.clone(), None, &answers);
        assert_eq!(said.outcome, Outcome::Delivered);
        assert_eq!(said.requests[1].url.path(), format!("/api/profiles/{PROFILE}"));
        let written = String::from_utf8(said.requests[2].body.to_vec()).unwrap();
        assert_eq!(written.contains("phone_number"), is_new, "{written}");
    }
}

/// No look reads properties, so that nobody knows whether one says a whole name.
#[test]
fn half_a_name_goes_to_a_property_of_a_new_profile_alone() {
    let mapping =
        json!({ "lead.name": "name", "lead.profile.first_name": null, "lead.profile.last_name": null });
    let known = json!([{ "id": PROFILE, "attributes": { "first_name": null, "last_name": null } }]);
    for (profiles, is_written) in [(json!([]), true), (known, false)] {
        let answers = [(200, json!({ "data": profiles })), made(), TAKEN, TAKEN];
        let lead = agreed(minimal());
        let said = drive(ready(mapping.clone()).as_ref(), Created, &lead, Ids::new(), None, &answers);
        assert_eq!(said.outcome, Outcome::Delivered);
        assert_eq!(said.bodies[1].to_string().contains("Cher"), is_written);
    }
}

#[test]
fn a_repeat_makes_nothing_twice() {
    let ready = ready(json!({}));
    let lead = agreed(lead());
    let first = drive(ready.as_ref(), Created, &lead, Ids::new(), None, &[made(), TAKEN, (500, Value::Null)]);
    assert!(matches!(&first.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Transient));
    let answers = [there(200, "SUBSCRIBED", &[]), (204, Value::Null), TAKEN];
    let second = drive(ready.as_ref(), Created, &lead, first.ids.clone(), first.rendered.clone(), &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!(first.requests[2].body, second.requests[2].body, "known by the same id");
    // The event was taken and the daemon died before it was told: there is nothing left to do.
    let third = drive(ready.as_ref(), Created, &lead, second.ids, first.rendered, &[]);
    assert_eq!((third.calls.len(), third.outcome), (0, Outcome::Delivered));
}

#[test]
fn a_minimal_lead() {
    let said = drive(
        ready(json!({})).as_ref(),
        Created,
        &agreed(minimal()),
        Ids::new(),
        None,
        &[(200, json!({ "data": [] })), made(), TAKEN, TAKEN],
    );
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
}

#[test]
fn a_maximal_lead() {
    let said = drive(
        ready(json!({})).as_ref(),
        Created,
        &agreed(maximal()),
        Ids::new(),
        None,
        &[made(), TAKEN, TAKEN],
    );
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
}

#[test]
fn nobody_who_left_is_subscribed_again() {
    for (answer, note) in [
        (there(200, "UNSUBSCRIBED", &[]), "UNSUBSCRIBED"),
        (there(200, "NEVER_SUBSCRIBED", &["HARD_BOUNCE"]), "HARD_BOUNCE"),
        (there(200, "SUBSCRIBED", &["SPAM_COMPLAINT"]), "SPAM_COMPLAINT"),
        ((200, json!({ "data": { "id": PROFILE, "attributes": {} } })), "no consent status"),
    ] {
        let said =
            drive(ready(json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &[answer, TAKEN]);
        assert_eq!(paths(&said), ["profile-import", "events"], "{note}");
        assert_eq!(said.outcome, Outcome::Delivered);
        assert_eq!(said.note, Some(format!("not subscribed, as Klaviyo says {note}")));
    }
    // Who left this list alone stays away from it.
    let mut left = there(200, "SUBSCRIBED", &[]);
    for (list, calls) in [("Y6nRLr", 2), ("another", 3)] {
        left.1["data"]["attributes"]["subscriptions"]["email"]["marketing"]["list_suppressions"] =
            json!([{ "list_id": list, "reason": "USER_SUPPRESSED" }]);
        let answers = [left.clone(), TAKEN, TAKEN];
        let said = drive(ready(json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &answers);
        assert_eq!(said.calls.len(), calls);
    }
}

#[test]
fn nobody_is_pushed_without_consent() {
    for consent in [json!(false), json!(null), json!("true")] {
        let mut lead = lead();
        lead["lead"]["gdpr_consent"] = consent;
        let said = drive(ready(json!({})).as_ref(), Created, &lead, Ids::new(), None, &[]);
        assert_eq!(said.calls.len(), 0);
        assert_eq!(said.failure(), ("rejected", "klaviyo was not called: the lead gave no consent", None));
    }
    let mut lead = agreed(lead());
    lead["lead"]["email"] = json!(" ");
    let said = drive(ready(json!({})).as_ref(), Created, &lead, Ids::new(), None, &[]);
    assert_eq!(said.failure(), ("rejected", "klaviyo was not called: the lead has no email", None));
}

#[test]
fn an_attribute_that_is_refused_is_left_out_and_told() {
    for answer in [
        refused(400, "invalid", "/data/attributes/phone_number"),
        refused(409, "duplicate_profile", "/data/attributes"),
    ] {
        let answers = [answer, made(), TAKEN, TAKEN];
        let said = drive(ready(json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &answers);
        assert_eq!(said.outcome, Outcome::Delivered);
        assert_eq!(said.note.as_deref(), Some("phone_number was left out: no"));
        let attributes = |n: usize| said.bodies[n]["data"]["attributes"].as_object().unwrap().clone();
        assert!(attributes(0).contains_key("phone_number") && !attributes(1).contains_key("phone_number"));
    }
    // The address is who it is, and what is refused for ever ends.
    for (answers, calls) in [
        (vec![refused(400, "invalid", "/data/attributes/email")], 1),
        (vec![refused(400, "invalid", "/data/attributes/phone_number"); 9], 2),
    ] {
        let said = drive(ready(json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &answers);
        assert_eq!((said.calls.len(), said.failure().0), (calls, "rejected"));
    }
}

#[test]
fn phones_are_sent_as_klaviyo_takes_them_or_not_at_all() {
    for (phone, expected) in [
        ("+44 (0) 7700 900-123", json!("+447700900123")),
        ("07700 900123", Value::Null),
        ("+44 7700 900123 ext. 9", Value::Null),
        ("+1", Value::Null),
    ] {
        let mut lead = agreed(lead());
        lead["lead"]["phone"] = json!(phone);
        let said =
            drive(ready(json!({})).as_ref(), Created, &lead, Ids::new(), None, &[made(), TAKEN, TAKEN]);
        assert_eq!(said.bodies[0]["data"]["attributes"]["phone_number"], expected, "{phone}");
        assert_eq!(
            said.bodies[2]["data"]["attributes"]["properties"]["Phone"], phone,
            "the event has it as it came"
        );
    }
}

#[test]
fn what_cannot_be_read_is_asked_for_again() {
    let said =
        drive(ready(json!({})).as_ref(), Created, &agreed(lead()), Ids::new(), None, &[(200, Value::Null)]);
    let (class, error, _) = said.failure();
    assert_eq!(class, "transient");
    assert!(error.starts_with("klaviyo: the answer cannot be read: no profile id in 200 OK"), "{error}");
}

#[test]
fn every_error_has_its_class_and_says_what_klaviyo_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn settings_are_checked() {
    let check = |config: Value, mapping: Value| {
        let found = Klaviyo.check(&config, &mapping, &EgressPolicy::default(), "Leadline");
        found.into_iter().map(|problem| problem.text).collect::<Vec<_>>()
    };
    let list = json!({ "list_id": "Y6nRLr" });
    assert!(check(list.clone(), json!({ "lead.guest_count": "Guests" })).is_empty());
    assert_eq!(
        check(json!({ "list_id": "a", "revision": "latest" }), json!({})),
        ["revision must be a date, as 2026-07-15"]
    );
    for target in ["id", "subscriptions", "location", "location.street"] {
        assert_eq!(
            check(list.clone(), json!({ "lead.event_type": target })),
            [format!("lead.event_type: {target} cannot be written at Klaviyo; map it to another name")]
        );
    }
    assert_eq!(
        check(list, json!({ "lead.email": "Mail" })),
        ["lead.email: goes to email as it is, for leads are found by it; take lead.email out of the mapping"]
    );
}

#[test]
fn without_credentials_it_is_the_push_that_fails() {
    let bare = integration(NAME, json!({ "list_id": "a" }), Value::Null, json!({}));
    let said = drive(
        Klaviyo.prepare(&bare, "Leadline").unwrap().as_ref(),
        Created,
        &agreed(lead()),
        Ids::new(),
        None,
        &[],
    );
    assert_eq!((said.calls.len(), said.failure().0), (0, "credentials"));
}
