//! What senders do to every connector, whatever it is: a form sends a blank, null, or leaves a field out. None of these
//! says anything, so all of them are pushed alike, and what a target knows stays as it is.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    ALL, Prepared, Push,
    testkit::{integration, lead, push},
};
use leadline_domain::integration::EventKind;

/// A configuration that each connector can be compiled with; a new one stands here too, unless it needs none.
fn config(connector: &str) -> Value {
    match connector {
        "airtable" => json!({"base_id": "appA1", "table": "Leads"}),
        "brevo" => json!({"list_ids": "5"}),
        "dynamics" => {
            json!({"environment_url": "https://a.crm.dynamics.com", "tenant_id": "11111111-2222-3333-4444-555555555555"})
        }
        "email" => json!({"host": "smtp.example.com", "from": "a@example.com", "to": "b@example.com"}),
        "google_sheets" => {
            json!({"spreadsheet_id": "1AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcdefg", "sheet": "Leads"})
        }
        "klaviyo" => json!({"list_id": "AbC123"}),
        "activecampaign" => json!({"api_url": "https://a.api-us1.com", "list_id": "5"}),
        "mailchimp" => json!({"list_id": "a1b2c3"}),
        "rest" => json!({"path": "https://crm.example.com/leads"}),
        "webhook" => json!({"url": "https://example.com/"}),
        _ => json!({}),
    }
}

/// One that maps a phone: where nothing is mapped by itself, the event goes as it came.
fn mapping(connector: &str) -> Value {
    if connector == "rest" { json!({"lead.email": "email", "lead.phone": "tel"}) } else { json!({}) }
}

fn rendered(prepared: &dyn Prepared, lead: &Value, event: EventKind) -> Bytes {
    let body = Bytes::from(lead.to_string());
    prepared.render(&Push { event, ..push(&body) }).unwrap().unwrap_or_default()
}

#[test]
fn what_says_nothing_is_pushed_as_if_it_were_not_there() {
    let mut checked = 0;
    // What is signed is the event itself, as it came.
    for connector in ALL.iter().filter(|connector| !connector.manifest().signs) {
        let name = connector.manifest().name;
        let integration = integration(name, config(name), Value::Null, mapping(name));
        let prepared = connector.prepare(&integration, "Leadline");
        let prepared =
            prepared.unwrap_or_else(|failure| panic!("{name}: {failure:?}; give it a configuration above"));
        for event in [EventKind::Created, EventKind::Updated] {
            for field in ["phone", "source_url"] {
                let mut absent = lead();
                absent["lead"].as_object_mut().unwrap().remove(field);
                let wanted = rendered(prepared.as_ref(), &absent, event);
                for said in [json!(null), json!(""), json!(" \t")] {
                    let mut lead = absent.clone();
                    lead["lead"][field] = said.clone();
                    let made = rendered(prepared.as_ref(), &lead, event);
                    assert_eq!(made, wanted, "{name}: {field} {said}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked >= 8 * 12, "{checked}");
}
