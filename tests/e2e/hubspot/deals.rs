//! Deals at HubSpot: one for each lead, with its contact and note, whatever goes wrong on the way.

use leadline_fakes::{Fake, Fault, Reply, hubspot::Hubspot, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::{FailureClass, Outcome},
};
use serde_json::json;

use super::{
    super::vendors::{PATIENCE, class_and_error, statuses},
    NOTE, counts, scene,
};

const DEAL: &str = "POST /crm/objects/2026-03/deals";

#[tokio::test]
async fn a_new_lead_is_a_deal_in_the_named_stage_once_and_sales_moves_it() {
    let (fake, _) = scene(json!({})).await;
    let config = json!({ "base_url": fake.url(), "deal_pipeline": "weddings", "deal_stage": " new enquiry" });
    let login = json!({ "token": "pat-eu1-good" });
    let mut pushing = Pushing::new("hubspot", config, login, json!({}), PATIENCE);
    let mut lead = sample_lead(1);
    lead["quote"] = json!({ "currency": "GBP", "total_pence": 1_269_600 });
    fake.fault(DEAL, Fault::ActThenClose);
    let mut bringing = Bringing::new(EventKind::Created, &lead);
    assert_eq!(pushing.deliver(&mut bringing, 3).await, Outcome::Delivered);
    let deal = fake.with(|hubspot| {
        assert_eq!(
            (hubspot.deals.len(), hubspot.notes.len()),
            (1, 1),
            "an answer that is lost makes none twice"
        );
        let (id, deal) = hubspot.deals.iter_mut().next().unwrap();
        let of = |name: &str| deal.properties[name].clone();
        assert_eq!([of("pipeline"), of("dealstage")], ["7", "71"]);
        assert_eq!([of("amount"), of("deal_currency_code")], ["12696.00", "GBP"]);
        assert!(of("dealname").contains(lead["lead"]["name"].as_str().unwrap()), "{}", of("dealname"));
        deal.properties.insert("dealstage".to_owned(), "72".to_owned());
        *id
    });
    // An update makes no deal and leaves it where sales put it; another enquiry is another deal of the same contact.
    lead["lead"]["guest_count"] = json!(99);
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
    fake.with(|hubspot| {
        assert_eq!((hubspot.deals.len(), hubspot.deals[&deal].properties["dealstage"].as_str()), (1, "72"));
    });
    // Nor does the lead itself, when an operator pushes it again.
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
    assert_eq!(fake.with(|hubspot| hubspot.deals.len()), 1, "one deal for a lead");
    let mut second = sample_lead(2);
    second["lead"]["email"] = lead["lead"]["email"].clone();
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &second)).await, Outcome::Delivered);
    fake.with(|hubspot| {
        assert_eq!((hubspot.contacts.len(), hubspot.deals.len()), (1, 2));
        assert_eq!(hubspot.deals[&deal].properties["dealstage"], "72");
    });
    // An amount in a currency that the account does without is left out, and costs the lead nothing else.
    let mut third = sample_lead(3);
    third["quote"] = json!({ "currency": "JPY", "total_pence": 1_269_600 });
    assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &third)).await, Outcome::Delivered);
    let newest = fake.with(|hubspot| hubspot.deals.values().next_back().unwrap().properties.clone());
    assert!(!newest.contains_key("amount") && !newest.contains_key("deal_currency_code"), "{newest:?}");
    // A creation that dies before its deal leaves that to the update in its place, and that makes one only.
    let mut fourth = sample_lead(4);
    fake.fault(DEAL, Fault::Answer(Reply::status(400)));
    let died = pushing.attempt(&mut Bringing::new(EventKind::Created, &fourth)).await;
    assert_ne!(died, Outcome::Delivered);
    for guests in [70, 71] {
        fourth["lead"]["guest_count"] = json!(guests);
        assert_eq!(
            pushing.attempt(&mut Bringing::new(EventKind::Updated, &fourth)).await,
            Outcome::Delivered
        );
        assert_eq!(fake.with(|hubspot| hubspot.deals.len()), 4);
    }
    fake.stop().await;
}

/// A contact, its note, and a deal in the pipeline for weddings.
async fn deals() -> (Fake<Hubspot>, Pushing) {
    let fake = Fake::start(Hubspot::default()).await.unwrap();
    let config = json!({ "base_url": fake.url(), "deal_pipeline": "weddings" });
    let pushing = Pushing::new("hubspot", config, json!({ "token": "pat-eu1-good" }), json!({}), PATIENCE);
    (fake, pushing)
}

#[tokio::test]
async fn a_deal_is_found_by_its_lead_when_another_delivery_made_it_and_died() {
    let (fake, mut pushing) = deals().await;
    let mut lead = sample_lead(1);
    fake.fault(DEAL, Fault::ActThenClose);
    let died = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
    assert_eq!(class_and_error(died).0, FailureClass::Unknown);
    lead["lead"]["guest_count"] = json!(99);
    let mut update = Bringing::new(EventKind::Updated, &lead);
    update.is_repeat = true;
    assert_eq!(pushing.attempt(&mut update).await, Outcome::Delivered);
    assert_eq!(fake.with(|hubspot| hubspot.deals.len()), 1);
    // Another lead of the same person has a deal of its own.
    let mut second = sample_lead(2);
    second["lead"]["email"] = lead["lead"]["email"].clone();
    let mut second = Bringing::new(EventKind::Created, &second);
    second.is_repeat = true;
    assert_eq!(pushing.attempt(&mut second).await, Outcome::Delivered);
    assert_eq!(fake.with(|hubspot| (hubspot.contacts.len(), hubspot.deals.len())), (1, 2));
    fake.stop().await;
}

#[tokio::test]
async fn a_contact_deleted_between_note_and_deal_is_made_anew_with_both() {
    let (fake, mut pushing) = deals().await;
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(1));
    fake.fault(DEAL, statuses(&[500]).remove(0));
    assert!(matches!(pushing.attempt(&mut bringing).await, Outcome::Failed(_)));
    let deleted = fake.with(|hubspot| hubspot.contacts.pop_first().unwrap().0);
    let there = || {
        fake.with(|hubspot| {
            let contact = *hubspot.contacts.keys().next().unwrap();
            assert!(hubspot.deals.values().all(|deal| deal.contact == contact));
            (hubspot.notes_of(deleted).len(), hubspot.notes_of(contact).len(), hubspot.deals.len())
        })
    };
    // The daemon dies, too, before it knows what came of the new contact's note.
    fake.fault(NOTE, Fault::ActThenClose);
    assert!(matches!(pushing.attempt(&mut bringing).await, Outcome::Failed(_)));
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert_eq!(there(), (1, 1, 1));
    // A contact that is there all the same gets nothing twice.
    fake.fault(DEAL, statuses(&[404]).remove(0));
    let mut second = Bringing::new(EventKind::Created, &sample_lead(2));
    assert_eq!(pushing.attempt(&mut second).await, Outcome::Delivered);
    assert_eq!((counts(&fake), fake.with(|hubspot| hubspot.deals.len())), ((2, 3), 2));
    fake.stop().await;
}

#[tokio::test]
async fn a_place_for_deals_is_found_among_more_stages_than_other_answers_may_hold() {
    let (fake, mut pushing) = deals().await;
    fake.with(|hubspot| hubspot.more_stages = 1_000);
    let mut bringing = Bringing::new(EventKind::Created, &sample_lead(1));
    assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered);
    assert_eq!(fake.with(|hubspot| hubspot.deals.len()), 1);
    fake.stop().await;
}

#[tokio::test]
async fn a_place_for_deals_that_is_not_there_is_named_and_the_contact_is_written_all_the_same() {
    let (fake, _) = scene(json!({})).await;
    for (place, told) in [
        (
            json!({ "deal_pipeline": "Weding" }),
            "deal_pipeline: unknown pipeline Weding; did you mean Weddings?",
        ),
        (
            json!({ "deal_pipeline": "7", "deal_stage": "New enquiri" }),
            "deal_stage: unknown stage New enquiri; did you mean New enquiry?",
        ),
        (
            json!({ "deal_stage": "won" }),
            "deal_stage: won is in Sales Pipeline and Weddings: set deal_pipeline too",
        ),
    ] {
        let mut config = place.clone();
        config["base_url"] = json!(fake.url());
        let mut pushing =
            Pushing::new("hubspot", config, json!({ "token": "pat-eu1-good" }), json!({}), PATIENCE);
        assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [told], "{place}");
        let before = counts(&fake).1;
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &sample_lead(1))).await;
        let expected = (FailureClass::Rejected, format!("hubspot {told}; correct the setting"));
        assert_eq!(class_and_error(outcome), expected);
        assert_eq!((counts(&fake).1, fake.with(|hubspot| hubspot.deals.len())), (before + 1, 0));
    }
    fake.with(|hubspot| hubspot.keys.get_mut("pat-eu1-good").unwrap().remove("crm.objects.deals.read"));
    let config = json!({ "base_url": fake.url(), "deal_pipeline": "Weddings" });
    let mut pushing =
        Pushing::new("hubspot", config, json!({ "token": "pat-eu1-good" }), json!({}), PATIENCE);
    let expected = "deal_pipeline: cannot be read: hubspot MISSING_SCOPES crm.objects.deals.read";
    assert_eq!(pushing.probe(ProbeKind::Mapping).await.findings, [expected]);
    fake.stop().await;
}
