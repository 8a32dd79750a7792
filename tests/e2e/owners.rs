//! Whose the records are: by a rule of the mapping, and for new records alone, so that whom sales gave one to keeps it.

use leadline_fakes::{Deed, Opened, VENDORS, open_account, sample_lead};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{
    integration::{EventKind, ProbeKind},
    outcome::Outcome,
};
use serde_json::{Value, json};

use super::vendors::PATIENCE;

/// The accounts whose records belong to somebody, with the field that says to whom, and a user's id.
async fn owned() -> Vec<(Box<dyn Opened>, &'static str, Value)> {
    let mut owned = Vec::new();
    for (name, _) in VENDORS {
        let account = open_account(name).await.unwrap();
        if let Some((field, user)) = account.with(|account| account.owner()) {
            owned.push((account, field, user));
        }
    }
    assert_eq!(owned.len(), 5);
    owned
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
    for (account, field, user) in owned().await {
        let (account, connector) = (&*account, account.connector());
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
    for (account, field, user) in owned().await {
        let connector = account.connector();
        let stranger = if user.is_number() { json!(99) } else { json!("005000000000099AAA") };
        let told = stranger.as_str().map_or_else(|| stranger.to_string(), str::to_owned);
        let values = json!({ "The Old Barn": user, "*": stranger });
        let mapping = json!({ "location.name": { "to": field, "values": values } });
        let report = pushing(&*account, mapping).probe(ProbeKind::Mapping).await;
        let expected = format!("location.name: {field} has no option {told}");
        assert!(report.findings.contains(&expected), "{connector}: {:?}", report.findings);
    }
}
