//! The company that a contact is put into.

use serde_json::{Value, json};

use super::{Created, Hubspot, Ids, Outcome, Updated, assert_golden, contact, drive, ids, integration, note};
use crate::{
    Connector, Prepared,
    testkit::{Played, PushCase, minimal},
};

fn ready() -> Box<dyn Prepared> {
    let (config, credentials) = (json!({ "companies": "yes" }), json!({ "token": "pat-eu1-secret" }));
    Hubspot.prepare(&integration("hubspot", config, credentials, json!({})), "Leadline").unwrap()
}

/// Somebody who works there.
fn employed(company: &str, website: &str) -> Value {
    let mut lead = minimal();
    lead["lead"]["name"] = json!("Ann Lee");
    lead["lead"]["profile"] = json!({ "company": company, "website": website });
    lead
}

fn listed(results: &[Value]) -> (u16, Value) {
    (200, json!({ "results": results }))
}

fn company(id: &str, domain: &str, name: &str) -> Value {
    json!({ "id": id, "properties": { "domain": domain, "name": name } })
}

/// What was asked of companies, but for the host.
fn asked(played: &Played) -> Vec<String> {
    let of_companies = played.requests.iter().filter(|request| request.url.path().contains("/companies"));
    let told = of_companies.map(|request| {
        format!("{} {}", request.method, request.url.path().replace("/crm/objects/2026-03/", ""))
    });
    told.collect()
}

#[test]
fn a_new_contact_is_put_into_its_employers_company() {
    let lead = employed(" Innkept Ltd ", "https://www.Innkept.example");
    let made = (201, json!({ "id": "88" }));
    let answers = [contact("501"), note(), listed(&[]), listed(&[]), made];
    let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_golden("companies", include_str!("../fixtures/companies.json"), &said);
    assert_eq!((said.outcome, said.ids["company"].as_str()), (Outcome::Delivered, "88"));
}

#[test]
fn the_company_that_is_there_is_found_by_its_domain_or_by_its_name() {
    let put = |id: &str| format!("PUT contacts/501/associations/default/companies/{id}");
    let by_domain = [company("7", "", "Innkept Ltd"), company("8", "INNKEPT.example", "Another name")];
    let by_name = [company("9", "other.example", "Innkept Ltd"), company("8", "", " innkept LTD")];
    let strangers = [company("9", "other.example", "Innkept Ltd")];
    for (found, wanted) in
        [(&by_domain[..], put("8")), (&by_name[..], put("8")), (&strangers[..], "POST companies".to_owned())]
    {
        let lead = employed("Innkept Ltd", "innkept.example");
        let answers =
            [contact("501"), note(), listed(&[]), listed(found), (200, json!({ "id": "88", "results": [] }))];
        let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &answers);
        let expected = ["GET contacts/501/associations/companies", "POST companies/search", wanted.as_str()];
        assert_eq!((asked(&said), said.outcome), (expected.map(str::to_owned).to_vec(), Outcome::Delivered));
    }
}

#[test]
fn a_website_names_a_domain_where_it_is_nobodys_page_on_anothers() {
    for (company, website, found_by) in [
        ("", "http://innkept.example/", json!([["domain", "innkept.example"]])),
        ("Innkept", "https://social.example/innkept", json!([["name", "Innkept"]])),
        ("Innkept", "innkept", json!([["name", "Innkept"]])),
        ("Innkept", "https://192.0.2.7", json!([["name", "Innkept"]])),
        ("Innkept", "sarah@innkept.example", json!([["name", "Innkept"]])),
        ("Innkept", "https://www.Facebook.com/", json!([["name", "Innkept"]])),
        ("Innkept", "innkept.example?id=1", json!([["name", "Innkept"]])),
        ("N/A", "innkept.example", json!([["domain", "innkept.example"]])),
        ("-", "innkept.example", json!([["domain", "innkept.example"]])),
        ("Innkept", "www.innkept.example", json!([["domain", "innkept.example"], ["name", "Innkept"]])),
    ] {
        let answers = [contact("501"), note(), listed(&[])];
        let lead = employed(company, website);
        let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &answers);
        let groups = said.bodies.last().unwrap()["filterGroups"].as_array().unwrap();
        let filters = groups.iter().map(|group| &group["filters"][0]);
        let filters: Value = filters.map(|filter| json!([filter["propertyName"], filter["value"]])).collect();
        assert_eq!(filters, found_by, "{website}");
    }
    let said =
        drive(ready().as_ref(), Created, &employed(" ", ""), Ids::new(), None, &[contact("501"), note()]);
    assert_eq!((asked(&said).len(), said.outcome), (0, Outcome::Delivered));
}

#[test]
fn who_is_in_a_company_stays_there_and_an_update_puts_nobody_back() {
    let lead = employed("Innkept Ltd", "");
    let theirs = listed(&[json!({ "toObjectId": 7 })]);
    let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &[contact("501"), note(), theirs]);
    assert_eq!((asked(&said).len(), said.outcome), (1, Outcome::Delivered));
    let known = ids(&[("contact", "501")]);
    let said = drive(ready().as_ref(), Updated, &lead, known, None, &[contact("501"), note()]);
    assert_eq!((asked(&said).len(), said.outcome), (0, Outcome::Delivered));
    // The creation died: the update is what puts them there.
    let answers =
        [contact("501"), note(), listed(&[]), listed(&[company("7", "", "Innkept Ltd")]), (200, json!({}))];
    let said = drive(ready().as_ref(), Updated, &lead, Ids::new(), None, &answers);
    assert_eq!((asked(&said).len(), said.outcome), (3, Outcome::Delivered));
}

#[test]
fn what_another_push_has_just_made_is_waited_for_once() {
    let lead = employed("Innkept Ltd", "").to_string();
    let none = r#"{"results": []}"#;
    let first = PushCase { recently_pushed: true, ..PushCase::created(&lead) };
    let answers = [(200, r#"{"id": "501"}"#), (201, r#"{"id": "9001"}"#), (200, none), (200, none)];
    let first = first.run(ready().as_ref(), &answers);
    let error = "hubspot: another push for this company has just ended, and the search may not know it yet";
    assert_eq!(first.failure(), ("transient", error, Some(15)));
    let second = PushCase {
        recently_pushed: true,
        is_repeat: true,
        ids: first.ids,
        rendered: first.rendered,
        ..PushCase::created(&lead)
    };
    let second = second.run(ready().as_ref(), &[(200, none), (200, none), (201, r#"{"id": "88"}"#)]);
    assert_eq!((&second.outcome, second.ids["company"].as_str()), (&Outcome::Delivered, "88"));
}

#[test]
fn what_the_last_push_made_needs_no_search_that_knows_it() {
    let lead = employed("Innkept Ltd", "innkept.example").to_string();
    let (none, put) = (r#"{"results": []}"#, "PUT contacts/501/associations/default/companies/88");
    let play = |domain: &str, status: u16| {
        let last_made = json!({ "id": "88", "properties": { "domain": domain, "name": "innkept ltd" } });
        let case = PushCase { recently_pushed: true, last_made, ..PushCase::created(&lead) };
        let answers = [
            (200, r#"{"id": "501"}"#),
            (201, r#"{"id": "9001"}"#),
            (200, none),
            (200, none),
            (status, r#"{"results": []}"#),
        ];
        case.run(ready().as_ref(), &answers)
    };
    let joined = play("innkept.example", 200);
    assert_eq!(asked(&joined).last().map(String::as_str), Some(put));
    assert_eq!((joined.outcome, joined.ids["company"].as_str()), (Outcome::Delivered, "88"));
    // Whoever is another employer of that name, and whom somebody has deleted, is nobody to join.
    let other = play("other.example", 200);
    assert_eq!(asked(&other).last().map(String::as_str), Some("POST companies/search"));
    let gone = play("innkept.example", 404);
    assert_eq!(gone.failure(), ("transient", "hubspot: somebody deleted the company meanwhile", None));
    // Who does not join it tells the next one all the same.
    let told = [&other, &play("innkept.example", 500), &gone].map(|played| played.last_made["id"].clone());
    assert_eq!(told, [json!("88"), json!("88"), Value::Null]);
}

#[test]
fn whoever_names_no_domain_tells_the_next_push_the_companys_own() {
    let lead = employed("Innkept Ltd", "").to_string();
    let (none, last_made) = (r#"{"results": []}"#, company("88", "innkept.example", "Innkept Ltd"));
    let case = PushCase { recently_pushed: true, last_made: last_made.clone(), ..PushCase::created(&lead) };
    // They are in no company, the search finds none, and they are put into the one that was made.
    let (contact, note, none) = ((200, r#"{"id": "501"}"#), (201, r#"{"id": "9001"}"#), (200, none));
    let joined = case.run(ready().as_ref(), &[contact, note, none, none, none]);
    assert_eq!((joined.outcome, joined.last_made), (Outcome::Delivered, last_made));
}

#[test]
fn a_contact_or_a_company_that_goes_meanwhile_is_looked_for_once_more() {
    let lead = employed("Innkept Ltd", "");
    let gone = || (404, json!({ "category": "OBJECT_NOT_FOUND", "message": "resource not found" }));
    let there = || listed(&[json!({ "toObjectId": 7 })]);
    let answers = [contact("501"), note(), gone(), contact("502"), note(), there()];
    let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_eq!((said.outcome, said.ids["contact"].as_str()), (Outcome::Delivered, "502"));
    let found = listed(&[company("7", "", "Innkept Ltd")]);
    let answers = [contact("501"), note(), listed(&[]), found, gone()];
    let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_eq!(said.failure(), ("transient", "hubspot: somebody deleted the company meanwhile", None));
}

#[test]
fn a_company_that_is_refused_keeps_no_lead_out() {
    let refused = (400, json!({ "category": "VALIDATION_ERROR", "message": "domain is invalid" }));
    let answers = [contact("501"), note(), listed(&[]), listed(&[]), refused];
    let lead = employed("Innkept Ltd", "innkept.example");
    let said = drive(ready().as_ref(), Created, &lead, Ids::new(), None, &answers);
    assert_eq!(said.outcome, Outcome::Delivered);
    assert!(said.note.is_some_and(|note| note.contains("no company was made: ")));
}
