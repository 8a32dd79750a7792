//! What a push made is shown beside it, by its kind and the vendor's id, at every vendor.

use leadline_fakes::{Record, VENDORS, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{integration::EventKind, outcome::Outcome};
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
