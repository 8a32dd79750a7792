//! Whose the records are: by a rule of the mapping, and for new records alone, so that whom sales gave one to keeps it.

use leadline_fakes::{Deed, Opened, open_account, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::Outcome,
};
use serde_json::{Value, json};

use super::vendors::PATIENCE;

/// Every CRM, the field that says whose a record is, and a user's id.
fn owned() -> [(&'static str, &'static str, Value); 5] {
    [
        ("dynamics", "ownerid", json!("41")),
        ("hubspot", "hubspot_owner_id", json!("41")),
        ("pipedrive", "deal.owner_id", json!(41)),
        ("salesforce", "OwnerId", json!("005000000000041AAA")),
        ("zoho", "Owner", json!("41")),
    ]
}

fn pushing(account: &dyn Opened, mapping: Value) -> Pushing {
    let made = account.connection();
    Pushing::new(account.connector(), made.config, made.credentials, mapping, PATIENCE)
}

fn at(venue: &str) -> Value {
    let mut lead = sample_lead(1);
    lead["location"] = json!({ "id": 3, "name": venue });
    lead
}

/// Whose the records are that have an owner at all.
fn owners(account: &dyn Opened) -> Vec<String> {
    let owners = account.records().into_iter().filter_map(|record| record.fields.get("owner").cloned());
    owners.collect()
}

#[tokio::test]
async fn a_rule_says_whose_new_records_are_and_leaves_those_that_sales_gave_to_others() {
    for (connector, field, user) in owned() {
        let account = open_account(connector).await.unwrap();
        let account = &*account;
        let mapping =
            json!({ "location.name": { "to": field, "new": true, "values": { "The Old Barn": user } } });
        let mut pushing = pushing(account, mapping);
        let lead = at("The Old Barn");
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{connector}");
        let user = user.as_str().map_or_else(|| user.to_string(), str::to_owned);
        assert_eq!(owners(account), [user], "{connector}");
        assert!(account.with(|account| account.suffer(Deed::ChangeOwner)), "{connector}");
        let given = owners(account);
        let mut changed = lead.clone();
        changed["lead"]["guest_count"] = json!(7);
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Updated, &changed)).await;
        assert_eq!(outcome, Outcome::Delivered, "{connector}");
        let mut second = sample_lead(2);
        second["lead"]["email"] = lead["lead"]["email"].clone();
        second["location"] = lead["location"].clone();
        let outcome = pushing.attempt(&mut Bringing::new(EventKind::Updated, &second)).await;
        assert_eq!(outcome, Outcome::Delivered, "{connector}");
        let kept = owners(account).into_iter().filter(|owner| owner == Deed::OWNER).count();
        assert_eq!(kept, given.len(), "{connector}");
    }
}

#[tokio::test]
async fn a_look_names_whom_the_vendor_does_not_know() {
    for (connector, field, user) in owned() {
        let account = open_account(connector).await.unwrap();
        let stranger = if user.is_number() { json!(99) } else { json!("005000000000099AAA") };
        let told = stranger.as_str().map_or_else(|| stranger.to_string(), str::to_owned);
        let values = json!({ "The Old Barn": user, "*": stranger });
        let mapping = json!({ "location.name": { "to": field, "values": values } });
        let report = pushing(&*account, mapping).probe(ProbeKind::Mapping).await;
        let expected = format!("location.name: {field} has no option {told}");
        assert!(report.findings.contains(&expected), "{connector}: {:?}", report.findings);
    }
}
