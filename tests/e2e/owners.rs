//! Whose the records are: by a rule of the mapping, and for new records alone, so that whom sales gave one to keeps it.

use leadline_fakes::{
    Deed, Fake, Fault, OpenAccount, Reply, VENDORS,
    dynamics::{self, Dynamics},
    open_account,
    salesforce::{self, Salesforce},
    sample_lead,
};
use leadline_tests::{Bringing, Pushing};
use leadlined::{
    connectors,
    domain::{
        address::EgressPolicy,
        integration::{EventKind, ProbeKind},
        outcome::Outcome,
    },
};
use serde_json::{Value, json};

use super::vendors::PATIENCE;

/// The accounts whose records belong to somebody, with the field that says to whom, and a user's id.
async fn owned() -> Vec<(Box<dyn OpenAccount>, &'static str, Value)> {
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

fn pushing(account: &dyn OpenAccount, mapping: Value) -> Pushing {
    let made = account.connection();
    Pushing::new(account.connector(), made.config, made.credentials, mapping, PATIENCE)
}

fn at(venue: &str) -> Value {
    let mut lead = sample_lead(1);
    lead["location"] = json!({ "id": 3, "name": venue });
    lead
}

/// Whose the records are that have an owner at all.
fn owners(account: &dyn OpenAccount) -> Vec<String> {
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

/// At connectors that cannot tell which records are new a mapping that says so is refused.
#[tokio::test]
async fn what_is_for_new_records_is_written_to_no_other() {
    let mut told = 0;
    for (name, open) in VENDORS {
        let connector = connectors::find(name).unwrap();
        let account = open().await.unwrap();
        account.with(|account| account.lift_quotas());
        let made = account.connection();
        let phone = account.with(|account| account.phone_of_new());
        let mapping = json!({ "lead.phone": { "to": phone.unwrap_or("phone"), "new": true } });
        let problems = connector.check(&made.config, &mapping, &EgressPolicy::default(), "Leadline");
        let is_refused = problems.iter().any(|one| one.pointer.starts_with("/mapping"));
        assert_eq!(is_refused, phone.is_none(), "{name}: {problems:?}");
        if is_refused {
            continue;
        }
        told += 1;
        let mut pushing = pushing(&*account, mapping);
        let mut lead = sample_lead(1);
        lead["lead"]["gdpr_consent"] = json!(true);
        lead["lead"]["phone"] = json!("+442079460000");
        let mut bring = async |kind, lead: &Value| {
            assert_eq!(pushing.attempt(&mut Bringing::new(kind, lead)).await, Outcome::Delivered, "{name}");
            phones(&*account)
        };
        assert_eq!(bring(EventKind::Created, &lead).await, ["442079460000"], "{name}");
        assert!(account.with(|account| account.suffer(Deed::Correct)), "{name}");
        let corrected = phones(&*account);
        lead["lead"]["phone"] = json!("+442079462222");
        lead["lead"]["guest_count"] = json!(7);
        assert_eq!(bring(EventKind::Updated, &lead).await, corrected, "{name}: an update");
        let mut second = lead.clone();
        second["lead"]["uuid"] = sample_lead(2)["lead"]["uuid"].clone();
        let after = bring(EventKind::Created, &second).await;
        assert!(after.starts_with(&corrected), "{name}: another enquiry made {after:?} of {corrected:?}");
    }
    assert_eq!(told, 11);
}

/// A record that takes the place of a deleted one, or is of another address, is a new one.
#[tokio::test]
async fn a_record_that_is_made_anew_gets_what_is_for_new_ones_whichever_call_fails() {
    let mut lead = sample_lead(1);
    lead["lead"]["gdpr_consent"] = json!(true);
    lead["lead"]["phone"] = json!("+442079460000");
    for (name, open) in VENDORS {
        for (failing, is_lost) in (0..8).flat_map(|failing| [(failing, false), (failing, true)]) {
            let account = open().await.unwrap();
            account.with(|account| account.lift_quotas());
            let Some(phone) = account.with(|account| account.phone_of_new()) else { break };
            let mut pushing = pushing(&*account, json!({ "lead.phone": { "to": phone, "new": true } }));
            let outcome = pushing.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
            assert_eq!(outcome, Outcome::Delivered, "{name}");
            let mut changed = lead.clone();
            changed["lead"]["guest_count"] = json!(7);
            // Mailchimp takes nobody back whom somebody deleted.
            let is_deleted = name != "mailchimp" && account.with(|account| account.suffer(Deed::Delete));
            if !is_deleted {
                changed["lead"]["email"] = json!("other@example.com");
            }
            let mut calls = 0;
            account.disturb(Some(Box::new(move |_| {
                calls += 1;
                let fault = if is_lost { Fault::ActThenClose } else { Fault::Answer(Reply::status(500)) };
                (calls == failing + 1).then_some(fault)
            })));
            let outcome = pushing.deliver(&mut Bringing::new(EventKind::Updated, &changed), 5).await;
            let what = format!("{name}: call {failing} fails, its answer lost: {is_lost}");
            assert_eq!(outcome, Outcome::Delivered, "{what}");
            assert_eq!(phones(&*account), vec!["442079460000"; if is_deleted { 1 } else { 2 }], "{what}");
        }
    }
}

/// The phones of all records, their digits alone.
fn phones(account: &dyn OpenAccount) -> Vec<String> {
    let phones = account.records().into_iter().filter_map(|record| record.fields.get("phone").cloned());
    phones.map(|phone| phone.chars().filter(char::is_ascii_digit).collect()).collect()
}

/// What tells a record of the lead's uuid must not write over it: sales changed the address, and the ids are forgotten.
#[tokio::test]
async fn a_record_that_is_known_by_the_leads_uuid_alone_keeps_what_sales_made_of_it() {
    for (name, key, address) in [
        ("salesforce", json!({ "external_id_field": "Lead_Ref__c" }), "Email"),
        ("dynamics", json!({ "alternate_key": "new_leadref" }), "emailaddress1"),
    ] {
        let account = open_account(name).await.unwrap();
        let (field, user) = account.with(|account| account.owner()).unwrap();
        let mapping = json!({ field: { "value": user, "new": true } });
        let mut made = account.connection();
        made.config.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
        let pushing =
            || Pushing::new(name, made.config.clone(), made.credentials.clone(), mapping.clone(), PATIENCE);
        let lead = at("The Old Barn");
        let outcome = pushing().attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{name}");
        assert!(account.with(|account| account.suffer(Deed::ChangeOwner)), "{name}");
        readdress(&*account, address);
        let told = account.records()[0].fields.clone();
        // Another integration of the same account, or this one made anew, knows no ids.
        let outcome = pushing().attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{name}");
        let records: Vec<_> =
            account.records().into_iter().filter(|record| record.fields.contains_key("owner")).collect();
        assert_eq!(records.len(), 1, "{name}");
        let mut now = records[0].fields.clone();
        now.insert(address.to_owned(), told[address].clone());
        assert_eq!(now, told, "{name}");
        // The customer that it became keeps the uuid, and the lead's update is a new one all the same.
        assert!(account.with(|account| account.suffer(Deed::Convert)), "{name}");
        let outcome = pushing().attempt(&mut Bringing::new(EventKind::Updated, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{name}");
        let owned = account.records().into_iter().filter(|record| record.fields.contains_key("owner"));
        assert_eq!(owned.count(), 2, "{name}");
    }
}

/// Sales writes another address to every record.
fn readdress(account: &dyn OpenAccount, field: &str) {
    let other = json!("sarah@work.example");
    if let Some(fake) = account.of::<Fake<Salesforce>>() {
        let set = |lead: &mut salesforce::Lead| drop(lead.fields.insert(field.to_owned(), other.clone()));
        fake.with(|vendor| vendor.leads.values_mut().for_each(set));
    } else if let Some(fake) = account.of::<Fake<Dynamics>>() {
        let set = |lead: &mut dynamics::Lead| drop(lead.fields.insert(field.to_owned(), other.clone()));
        fake.with(|vendor| vendor.leads.values_mut().for_each(set));
    }
}

#[tokio::test]
async fn a_look_knows_whoever_stands_on_a_later_page() {
    for (account, field, user) in owned().await {
        account.with(|account| account.crowd());
        let connector = account.connector();
        let mapping =
            json!({ "location.name": { "to": field, "values": { "The Old Barn": user, "*": user } } });
        let report = pushing(&*account, mapping).probe(ProbeKind::Mapping).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{connector}");
        let told: Vec<&String> = report.findings.iter().filter(|told| told.contains(field)).collect();
        assert!(told.is_empty(), "{connector}: {told:?}");
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
