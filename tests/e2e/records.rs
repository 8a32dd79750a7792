//! What a push made is shown beside it, by its kind and the vendor's id, at every vendor; and what stands in it.

use leadline_fakes::{Record, VENDORS, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::{
    connectors,
    domain::{integration::EventKind, outcome::Outcome},
};
use serde_json::{Value, json};

use super::vendors::PATIENCE;

/// What has no id of the vendor's: an event is recorded after its answer, and a row is told by the lead's own id.
const NAMELESS: [&str; 2] = ["event", "row"];

#[tokio::test]
async fn every_record_that_a_push_made_is_shown_with_its_kind_and_id() {
    let mut shown_at = 0;
    for (connector, open) in VENDORS {
        let account = open().await.unwrap();
        let is_told = account.with(|account| (account.lift_quotas(), account.is_told()).1);
        let made = account.connection();
        let mut pushing = Pushing::new(connector, made.config, made.credentials, Value::Null, PATIENCE);
        if is_told || !pushing.keeps_ids() {
            continue;
        }
        shown_at += 1;
        let mut lead = sample_lead(1);
        lead["lead"]["gdpr_consent"] = json!(true);
        for (kind, guests) in [(EventKind::Created, 80), (EventKind::Updated, 99)] {
            lead["lead"]["guest_count"] = json!(guests);
            let before = account.records();
            let mut bringing = Bringing::new(kind, &lead);
            assert_eq!(pushing.attempt(&mut bringing).await, Outcome::Delivered, "{connector}");
            let shown = pushing.shown(&bringing);
            let is_new =
                |record: &Record| !before.iter().any(|old| (old.kind, &old.id) == (record.kind, &record.id));
            for record in account.records().into_iter().filter(|record| is_new(record)) {
                let is_it = |one: &leadlined::connectors::Record| {
                    // What REST keeps is called as its settings say.
                    one.id == record.id && (one.kind.eq_ignore_ascii_case(record.kind) || connector == "rest")
                };
                let is_shown = shown.iter().any(is_it) || NAMELESS.contains(&record.kind);
                assert!(is_shown, "{connector}, {kind:?}: {} {} in {shown:?}", record.kind, record.id);
            }
            assert!(!shown.is_empty(), "{connector}, {kind:?}");
        }
    }
    assert!(shown_at >= 10, "{shown_at}");
}

#[tokio::test]
async fn what_a_lead_says_of_work_stands_where_a_vendor_has_a_field_for_it() {
    let said = ["Acme Ltd", "Buyer", "https://acme.example"];
    let mut known = 0;
    for (connector, open) in VENDORS {
        let account = open().await.unwrap();
        let work = account.with(|account| (account.lift_quotas(), account.work()).1);
        let own = (connectors::find(connector).unwrap().manifest().own_mapping)();
        let mapped = ["company", "position", "website"].map(|part| format!("lead.profile.{part}"));
        let mapped = mapped.map(|field| own[field].as_str().unwrap_or_default().to_owned());
        assert_eq!(mapped, work, "{connector}");
        let made = account.connection();
        let mut pushing = Pushing::new(connector, made.config, made.credentials, Value::Null, PATIENCE);
        let mut lead = sample_lead(1);
        lead["lead"]["gdpr_consent"] = json!(true);
        lead["lead"]["profile"] = json!({"company": said[0], "position": said[1], "website": said[2]});
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{connector}");
        let records = account.records();
        for (field, value) in work.into_iter().zip(said).filter(|(field, _)| !field.is_empty()) {
            let stands = |record: &Record| record.fields.get(field).is_some_and(|own| own == value);
            assert!(records.iter().any(stands), "{connector}: no {value} at {field} in {records:?}");
            known += 1;
        }
    }
    assert_eq!(known, 20, "of seven vendors six have all of it, and one has no website");
}
