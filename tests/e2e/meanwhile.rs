//! What people do at a vendor between two calls of one push: the enquiry arrives all the same, on something that is there.

use leadline_fakes::{Deed, OpenAccount, OpenFn, VENDORS, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{integration::EventKind, outcome::Outcome};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::vendors::PATIENCE;

const DEEDS: [Deed; 5] = [Deed::Delete, Deed::Convert, Deed::Merge, Deed::Close, Deed::Archive];

fn enquiry(n: usize) -> Value {
    let mut lead = sample_lead(n);
    lead["lead"]["email"] = json!("sarah@example.com");
    lead["lead"]["gdpr_consent"] = json!(true);
    lead
}

async fn opened(open: OpenFn, connector: &str) -> (Box<dyn OpenAccount>, Pushing) {
    let account = open().await.unwrap();
    account.with(|account| account.lift_quotas());
    let made = account.connection();
    let pushing = Pushing::new(connector, made.config, made.credentials, Value::Null, PATIENCE);
    (account, pushing)
}

/// What Mailchimp erased for good never comes back, whoever asks.
fn is_final(connector: &str, deed: Deed) -> bool {
    (connector, deed) == ("mailchimp", Deed::Delete)
}

/// What gets lost at a vendor where people do this before each call of the second push, and at last after all of them.
async fn lost(connector: &'static str, open: OpenFn, deed: Deed) -> Vec<String> {
    let mut lost = Vec::new();
    for kind in [EventKind::Updated, EventKind::Created] {
        for calls in 0.. {
            let (account, mut pushing) = opened(open, connector).await;
            let first = enquiry(1);
            let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &first)).await;
            assert_eq!(outcome, Outcome::Delivered, "{connector}");
            let mut second = if kind == EventKind::Updated { first } else { enquiry(2) };
            second["lead"]["guest_count"] = json!(99);
            let before = account.calls().len();
            account.meanwhile(calls, Box::new(move |account| _ = account.suffer(deed)));
            let outcome = pushing.deliver(&mut Bringing::new(kind, &second), 3).await;
            let made = account.calls().split_off(before);
            if outcome != Outcome::Delivered || account.records().is_empty() {
                lost.push(format!(
                    "{connector}, {deed:?} before call {calls} of {kind:?}: {outcome:?} {made:?}"
                ));
            }
            if made.len() <= calls {
                break;
            }
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_people_do_between_two_calls_the_enquiry_arrives() {
    let mut vendors = JoinSet::new();
    for (connector, open) in VENDORS {
        for deed in DEEDS.into_iter().filter(|deed| !is_final(connector, *deed)) {
            vendors.spawn(lost(connector, open, deed));
        }
    }
    let lost = vendors.join_all().await.concat();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// A Lead that goes between its own call and that of its Task is looked for once more, and the enquiry is kept.
#[tokio::test]
async fn a_lead_at_salesforce_that_goes_before_its_task_is_made_anew() {
    for deed in [Deed::Delete, Deed::Convert, Deed::Merge] {
        let (_, open) = VENDORS.into_iter().find(|(name, _)| *name == "salesforce").unwrap();
        let (account, mut pushing) = opened(open, "salesforce").await;
        let mut lead = enquiry(1);
        assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await, Outcome::Delivered);
        lead["lead"]["phone"] = json!("+442079460001");
        // The query, the write, then the Task.
        account.meanwhile(2, Box::new(move |account| assert!(account.suffer(deed))));
        assert_eq!(pushing.attempt(&mut Bringing::new(EventKind::Updated, &lead)).await, Outcome::Delivered);
        let records = account.records();
        let phones: Vec<_> = records.iter().filter_map(|record| record.fields.get("phone")).collect();
        assert!(phones.contains(&&"+442079460001".to_owned()), "{deed:?}: {records:?}");
        let is_kept = records.iter().any(|record| {
            let is_new_lead =
                record.kind == "Lead" && record.fields.get("status").is_none_or(|own| own != "converted");
            let told = record.fields.get("Description").is_some_and(|told| told.contains("+442079460001"));
            record.kind == "Task" || is_new_lead && told
        });
        assert!(is_kept, "{deed:?}: {records:?}");
    }
}
