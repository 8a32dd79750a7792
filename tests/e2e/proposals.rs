//! What a look at a vendor's own fields proposes to add to a mapping: it can be saved as it is, and leads then arrive with it.

use leadline_fakes::{VENDORS, open_account, sample_lead};
use leadline_tests::{Bringing, Cli, Pushing};
use leadlined::{
    connectors,
    domain::{
        integration::{EventKind, ProbeKind},
        outcome::Outcome,
    },
};
use serde_json::{Value, json};

use super::vendors::{PATIENCE, Scene};

#[tokio::test]
async fn every_vendor_that_tells_its_fields_is_proposed_a_mapping_with_which_leads_arrive() {
    for (name, _) in VENDORS {
        let account = open_account(name).await.unwrap();
        let expected = account.with(|account| (account.lift_quotas(), account.proposed()).1);
        let connector = connectors::find(name).unwrap();
        if !connector.manifest().checks_mapping {
            continue;
        }
        let made = account.connection();
        let pushing =
            |mapping| Pushing::new(name, made.config.clone(), made.credentials.clone(), mapping, PATIENCE);
        let report = pushing(Value::Null).probe(ProbeKind::Mapping).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{name}");
        assert_eq!(report.targets.is_empty(), expected.is_null(), "{name}");
        if report.targets.is_empty() {
            continue;
        }
        let proposals = connector.propose(&Value::Null, &report.targets);
        assert!(proposals.iter().all(|one| !one.why.is_empty()));
        let mapping: Value = proposals.into_iter().map(|one| (one.field, one.rule)).collect();
        assert_eq!(mapping, expected, "{name}");
        let mut mapped = pushing(mapping.clone());
        let again = mapped.probe(ProbeKind::Mapping).await;
        assert_eq!(
            connector.propose(&mapping, &again.targets),
            [],
            "{name}: what is mapped is proposed once"
        );
        let told = again
            .findings
            .iter()
            .find(|told| mapping.as_object().unwrap().keys().any(|key| told.contains(key)));
        assert_eq!(told, None, "{name}");
        let mut lead = sample_lead(1);
        lead["lead"]["gdpr_consent"] = true.into();
        lead["lead"]["utm"] = json!({ "term": "barns" });
        let outcome = mapped.attempt(&mut Bringing::new(EventKind::Created, &lead)).await;
        assert_eq!(outcome, Outcome::Delivered, "{name}");
        let note = mapped.note.unwrap_or_default();
        for rule in mapping.as_object().unwrap().values() {
            let target = rule["to"].as_str().or_else(|| rule.as_str()).unwrap();
            assert!(!note.contains(&format!(" {target} ")), "{name}: {note}");
        }
    }
}

#[tokio::test]
async fn a_command_prints_what_set_mapping_takes_and_says_why() {
    let account = open_account("salesforce").await.unwrap();
    account.with(|account| account.proposed());
    let made = account.connection();
    let scene = Scene::with("salesforce", made.config, made.credentials).await;
    let cli = Cli::new(scene.daemon.socket());
    let id = scene.integration.as_str();
    let set = async |mapping: String| {
        cli.run(&["integration", "set-mapping", id, "--mapping", &mapping]).await.code
    };
    let own = json!({ "lead.guest_count": null, "lead.budget": "Region__c" });
    assert_eq!(set(own.to_string()).await, 0);
    let ran = cli.run(&["integration", "check", id, "--propose"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let proposed: Value = serde_json::from_str(&ran.stdout).unwrap();
    let values = json!({ "wedding": "Wedding Fair", "other": "Other", "*": "Other" });
    assert_eq!(
        proposed,
        json!({
            "lead.guest_count": null, "lead.budget": "Region__c", "lead.event_date": "Event_Date__c",
            "lead.uuid": "Lead_Ref__c",
            "lead.event_type": { "to": "Event_Type__c", "values": values },
        })
    );
    let why = "lead.event_date: Event_Date__c is called as the field is and is of type date";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
    assert_eq!(set(ran.stdout).await, 0);
    let again = cli.run(&["integration", "check", id, "--propose"]).await;
    let nothing = "nothing to propose: no free field of the target's is called as a field of a lead's is";
    assert!(again.code == 0 && again.stderr.contains(nothing), "{}", again.stderr);
    scene.post(1, |_| {}).await;
    scene.wait_for(1, "delivered").await;
    scene.end().await;
}
