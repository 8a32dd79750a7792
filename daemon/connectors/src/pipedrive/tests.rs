//! What Pipedrive is sent, and how its answers are read.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Pipedrive, error};
use crate::{
    Connector, Ids, Prepared, crm,
    testkit::{
        self, NOW, assert_errors, assert_golden, drive, integration, lead, maximal, minimal, response,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::EventKind::{Created, Updated},
    outcome::{FailureClass, Outcome},
};

const LEAD_FIELD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn ready(config: Value, mapping: Value) -> Box<dyn Prepared> {
    let credentials = json!({ "api_token": "pipedrive-secret" });
    Pipedrive.prepare(&integration("pipedrive", config, credentials, mapping), "Leadline").unwrap()
}

fn found(ids: &[u64]) -> (u16, Value) {
    let emails = ["sarah@example.com", "cher@example.com"];
    let items: Vec<Value> = ids.iter().map(|id| json!({ "item": { "id": id, "emails": emails } })).collect();
    (200, json!({ "success": true, "data": { "items": items } }))
}

fn data(status: u16, data: Value) -> (u16, Value) {
    (status, json!({ "success": true, "data": data }))
}

fn ids(pairs: &[(&str, &str)]) -> Ids {
    pairs.iter().map(|(key, id)| ((*key).to_owned(), (*id).to_owned())).collect()
}

#[test]
fn a_new_lead_is_a_new_person_with_a_deal_and_a_note() {
    let answers = [
        found(&[]),
        data(201, json!({ "id": 11 })),
        data(201, json!({ "id": 22 })),
        data(201, json!({ "id": 33 })),
    ];
    let config = json!({ "pipeline_id": 1, "lead_field": LEAD_FIELD });
    let mapping = json!({ "lead.guest_count": format!("deal.{}", "c".repeat(40)) });
    let said = drive(ready(config, mapping).as_ref(), Created, &lead(), Ids::new(), None, &answers);
    assert_golden("create", include_str!("fixtures/create.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
    assert_eq!((said.ids["person"].as_str(), said.ids["deal"].as_str()), ("11", "22"));
}

#[test]
fn an_employer_is_looked_for_before_the_person_and_a_stage_by_its_name() {
    let config = json!({ "organizations": "yes", "pipeline": "Weddings", "stage": "New" });
    let mut lead = lead();
    lead["lead"]["profile"] = json!({ "company": "Innkept Ltd" });
    let answers = [
        (200, json!({ "success": true, "data": { "items": [] } })),
        data(201, json!({ "id": 44 })),
        found(&[]),
        data(201, json!({ "id": 11 })),
        data(200, json!([{ "id": 1, "name": "Weddings" }])),
        data(200, json!([{ "id": 5, "name": "New", "pipeline_id": 1 }])),
        data(201, json!({ "id": 22 })),
        data(201, json!({ "id": 33 })),
    ];
    let ready = ready(config, json!({}));
    let said = drive(ready.as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_golden("organization", include_str!("fixtures/organization.json"), &said);
    assert_eq!((said.outcome, said.ids["organization"].as_str()), (Outcome::Delivered, "44"));
    let twice = json!({ "pipeline": "Weddings", "pipeline_id": 1, "stage": "New", "stage_id": 5 });
    assert_eq!(
        testkit::refused(&Pipedrive, &twice, &json!(null)),
        ["pipeline: set pipeline or pipeline_id, not both", "stage: set stage or stage_id, not both"]
    );
}

#[test]
fn an_update_adds_to_the_person_and_leaves_the_deals_title() {
    let there = json!({ "id": 11, "name": "S. Patel",
        "emails": [{ "value": "Sarah@Example.com", "primary": true, "label": "home" }],
        "phones": [{ "value": "020 7946 0000", "primary": true, "label": "work" }] });
    let answers = [
        data(200, there),
        data(200, json!({ "id": 11 })),
        data(200, json!({ "id": 22 })),
        data(201, json!({ "id": 34 })),
    ];
    let known = ids(&[("person", "11"), ("deal", "22")]);
    let said = drive(ready(json!({}), json!({})).as_ref(), Updated, &lead(), known, None, &answers);
    assert_golden("update", include_str!("fixtures/update.json"), &said);
    assert_eq!(said.outcome, Outcome::Delivered);
}

#[test]
fn a_repeat_looks_for_what_may_be_there_already() {
    let ready = ready(json!({}), json!({}));
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &[found(&[]), (500, json!(null))]);
    assert!(matches!(&first.outcome, Outcome::Failed(failure) if failure.class == FailureClass::Transient));
    let person = json!({ "id": 11, "emails": [{ "value": "sarah@example.com" }] });
    let answers = [
        found(&[]),
        data(200, json!([{ "id": 12, "emails": [] }, person])),
        data(
            200,
            json!({ "id": 11, "name": "Sarah Patel", "emails": [{ "value": "sarah@example.com" }], "phones": [] }),
        ),
        data(200, json!({ "id": 11 })),
        data(200, json!([])),
        data(201, json!({ "id": 22 })),
        data(200, Value::Null),
        data(201, json!({ "id": 33 })),
    ];
    let second = drive(ready.as_ref(), Created, &lead(), first.ids, first.rendered.clone(), &answers);
    assert_golden("repeat", include_str!("fixtures/repeat.json"), &second);
    assert_eq!(second.outcome, Outcome::Delivered);
    assert_eq!(second.rendered, first.rendered);
}

#[test]
fn a_repeat_looks_past_a_deleted_person_that_the_search_still_knows() {
    let ready = ready(json!({ "notes": "no" }), json!({}));
    let gone = data(200, json!({ "id": 4, "is_deleted": true }));
    let lost = [found(&[4]), gone.clone(), (500, json!(null))];
    let first = drive(ready.as_ref(), Created, &lead(), Ids::new(), None, &lost);
    let there = json!({ "id": 11, "emails": [{ "value": "sarah@example.com" }] });
    let answers = [
        found(&[4]),
        gone,
        data(200, json!([there])),
        data(200, there),
        data(200, json!({ "id": 11 })),
        data(200, json!([])),
        data(201, json!({ "id": 22 })),
    ];
    let second = drive(ready.as_ref(), Created, &lead(), first.ids, first.rendered, &answers);
    assert_eq!((second.outcome, second.ids["person"].as_str()), (Outcome::Delivered, "11"));
}

#[test]
fn a_minimal_lead_is_a_deal_without_a_value() {
    let answers = [
        found(&[9, 4]),
        data(200, json!({ "id": 4, "emails": [{ "value": "cher@example.com" }] })),
        data(200, json!({ "id": 4 })),
        data(201, json!({ "id": 22 })),
        data(201, json!({ "id": 33 })),
    ];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_golden("minimal", include_str!("fixtures/minimal.json"), &said);
    assert_eq!(said.ids["person"], "4", "the oldest of several");

    let config = json!({ "deals": "with_quote", "notes": "no" });
    let answers = [found(&[]), data(201, json!({ "id": 11 }))];
    let said = drive(ready(config, json!({})).as_ref(), Created, &minimal(), Ids::new(), None, &answers);
    assert_eq!((said.calls.len(), said.outcome), (2, Outcome::Delivered));
}

#[test]
fn a_maximal_lead() {
    let answers = [
        found(&[]),
        data(201, json!({ "id": 11 })),
        data(201, json!({ "id": 22 })),
        data(201, json!({ "id": 33 })),
    ];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &maximal(), Ids::new(), None, &answers);
    assert_golden("maximal", include_str!("fixtures/maximal.json"), &said);
    let rendered = String::from_utf8(said.rendered.unwrap().to_vec()).unwrap();
    assert!(rendered.contains(r#""value":9999999999.99"#), "to the penny");
}

#[test]
fn long_names_are_cut_and_the_date_stays() {
    let mut long = lead();
    long["lead"]["name"] = json!("👰".repeat(400));
    let answers = [
        found(&[]),
        data(201, json!({ "id": 11 })),
        data(201, json!({ "id": 22 })),
        data(201, json!({ "id": 33 })),
    ];
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &long, Ids::new(), None, &answers);
    let name = said.bodies[1]["name"].as_str().unwrap();
    let title = said.bodies[2]["title"].as_str().unwrap();
    assert_eq!((crm::units(name), name.ends_with('…')), (255, true));
    assert!(crm::units(title) <= 255 && title.ends_with("… – 2026-09-12"), "{title}");
    long["lead"]["profile"] = json!({ "notes": "👰".repeat(15_000) });
    let said = drive(ready(json!({}), json!({})).as_ref(), Created, &long, Ids::new(), None, &answers);
    assert_eq!(said.outcome, Outcome::Delivered, "what was rendered can be read again");
}

#[test]
fn a_deal_is_another_leads_if_it_is_older_or_says_so() {
    let plan = |lead_field: Option<&str>| {
        let config = lead_field.map_or(json!({}), |field| json!({ "lead_field": field }));
        let mapping = crm::read_mapping(&super::config::own_mapping(), &json!({})).unwrap();
        let body = bytes::Bytes::from(lead().to_string());
        super::Plan::make(&mapping, &crate::config::read_all(&config).0, &testkit::push(&body)).unwrap()
    };
    let title = "Wedding – Sarah Patel – 2026-09-12";
    let time = |at: leadline_domain::moment::Moment| jiff::Timestamp::from(at).to_string();
    let uuid = "01j8h6kqh4yg3xr8rwm6t6xfqe";
    for (field, deal, is_ours) in [
        (None, json!({ "title": title, "add_time": time(NOW.before(Duration::from_secs(60))) }), true),
        (None, json!({ "title": title, "add_time": time(NOW.before(Duration::from_secs(86_400))) }), false),
        (None, json!({ "title": title }), true),
        (None, json!({ "title": "Lunch", "add_time": time(NOW) }), false),
        (Some(LEAD_FIELD), json!({ "title": "x", "custom_fields": { LEAD_FIELD: uuid } }), true),
        (
            Some(LEAD_FIELD),
            json!({ "title": "x", "custom_fields": { LEAD_FIELD: { "type": "text", "value": uuid } } }),
            true,
        ),
        (Some(LEAD_FIELD), json!({ "title": title, "custom_fields": { LEAD_FIELD: "other" } }), false),
        (Some(LEAD_FIELD), json!({ "title": title, "add_time": time(NOW) }), false),
    ] {
        let plan = plan(field);
        let mut deal = deal;
        deal["id"] = json!(5);
        let found = error::same_deal(&[deal.clone()], &plan, plan.deal.as_ref().unwrap(), field);
        assert_eq!(found.is_some(), is_ours, "{deal}");
    }
}

#[test]
fn every_error_has_its_class_and_says_what_pipedrive_said() {
    assert_errors(include_str!("fixtures/errors.json"), error::failure);
}

#[test]
fn settings_are_checked() {
    let egress = EgressPolicy::new(Vec::new());
    let check = |config, mapping| testkit::refused(&Pipedrive, &config, &mapping);
    assert!(check(json!({}), json!(null)).is_empty());
    assert_eq!(
        check(json!({ "deals": "never" }), json!({})),
        ["deals never is not one of always, with_quote"]
    );
    assert_eq!(check(json!({ "lead_field": "Lead ID" }), json!({})).len(), 1);
    assert_eq!(
        check(json!({}), json!({ "lead.phone": "phone" })),
        ["lead.phone: write phone as person.phone or deal.phone"]
    );
    let expected = "lead.email: goes to person.email as it is, for leads are found by it; take lead.email out of the mapping";
    assert_eq!(check(json!({}), json!({ "lead.email": null })), [expected]);
    let credentials = |given| testkit::refused_credentials(&Pipedrive, &given, &egress);
    assert!(credentials(json!({ "api_token": "x" })).is_empty());
    assert_eq!(credentials(json!({ "client_id": "x" })).len(), 1);
}

#[test]
fn the_last_calls_of_the_day_are_left_to_others() {
    let pipedrive = ready(json!({}), json!({}));
    let exhausted = |left: &str| {
        let headers =
            [("x-daily-ratelimit-token-limit", "30000"), ("x-daily-ratelimit-token-remaining", left)];
        pipedrive.exhausted(&response(200, &headers, "")).map(|failure| (failure.class, failure.error))
    };
    assert_eq!((exhausted("29000"), exhausted("300")), (None, None));
    let error = "pipedrive quota: 299 of the day's 30000 calls are left, and are left to others";
    assert_eq!(exhausted("299"), Some((FailureClass::Throttled, error.to_owned())));
    let only_left = [("x-daily-ratelimit-token-remaining", "1")];
    assert_eq!(pipedrive.exhausted(&response(200, &only_left, "")), None, "of how many is not told");
}
