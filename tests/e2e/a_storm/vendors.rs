//! Every vendor there is a connector for: how each is connected to, what goes wrong there, and what it must hold
//! afterwards.

use std::collections::{BTreeMap, BTreeSet};

use leadline_fakes::{Connection, OpenAccount, Record, VENDORS, mail::MailServer};
use serde_json::json;

use super::{Lead, chaos::Chaos};

/// Short, so that late answers are soon too late.
pub(super) const TIMEOUT_SECONDS: u64 = 2;

pub(super) struct Vendors(Vec<Box<dyn OpenAccount>>);

impl Vendors {
    pub(super) async fn start() -> Self {
        let mut vendors = Vec::new();
        for (_, open) in VENDORS {
            let vendor = open().await.unwrap();
            vendor.with(|account| account.slow_down());
            vendors.push(vendor);
        }
        Self(vendors)
    }

    /// What an integration with each is made with, by its connector.
    pub(super) fn integrations(&self) -> Vec<(&'static str, Connection)> {
        let patient = |vendor: &dyn OpenAccount| {
            let mut made = vendor.connection();
            made.config["timeout_seconds"] = json!(TIMEOUT_SECONDS);
            made.config["retries"] = json!(2);
            (vendor.connector(), made)
        };
        self.0.iter().map(|vendor| patient(vendor.as_ref())).collect()
    }

    /// Lets everything go wrong now and then.
    pub(super) fn rage(&self, chaos: &mut Chaos) {
        self.0.iter().for_each(|vendor| chaos.over(vendor.as_ref()));
    }

    /// What a moment of the storm brings beside calls that go wrong: a mail that does, and logins that run out.
    pub(super) fn trouble(&self, chaos: &mut Chaos) {
        let mut servers = self.0.iter().filter_map(|vendor| vendor.of::<MailServer>());
        if chaos.strikes(4)
            && let Some(server) = servers.find(|server| server.faults_left() == 0)
        {
            chaos.over_mail(server);
        }
        if chaos.strikes(200) {
            for vendor in &self.0 {
                if vendor.with(|account| account.end_logins()) {
                    chaos.ran_out(vendor.connector());
                }
            }
        }
    }

    /// Nothing goes wrong from now on.
    pub(super) fn calm(&self) {
        self.0.iter().for_each(|vendor| vendor.disturb(None));
    }

    /// How many messages are in Slack.
    pub(super) fn messages(&self) -> usize {
        let slack = self.0.iter().find(|vendor| vendor.connector() == "slack");
        slack.map_or(0, |slack| slack.records().len())
    }

    /// Every vendor holds every lead, once where that can be had, and no quota was exceeded.
    pub(super) fn check(&self, leads: &[Lead]) {
        for vendor in &self.0 {
            check_quota(vendor.as_ref());
            let mut kinds: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
            vendor
                .records()
                .into_iter()
                .for_each(|record| kinds.entry(record.kind).or_default().push(record));
            assert!(!kinds.is_empty(), "{} holds nothing", vendor.connector());
            for (kind, records) in kinds {
                check_records(&format!("{kind}s at {}", vendor.connector()), &records, leads);
            }
        }
    }
}

/// Every quota is one that Leadline can keep by itself, so no vendor ever had to refuse a call for it. What counts is
/// what arrived, answered or not.
fn check_quota(vendor: &dyn OpenAccount) {
    let name = vendor.connector();
    assert_eq!(vendor.with(|account| account.refused()), 0, "{name} refused calls over its quota");
    if let Some((allowed, stretch)) = vendor.with(|account| account.pace()) {
        let busiest = vendor.busiest(stretch);
        println!("{name}: {busiest} calls in the busiest {stretch:?}, allowed are {allowed}");
        assert!(
            busiest <= allowed,
            "{name} was called {busiest} times in {stretch:?}, allowed are {allowed}"
        );
    }
}

fn check_records(what: &str, records: &[Record], leads: &[Lead]) {
    if records.iter().any(|record| record.of.is_none()) {
        // A text may come twice, as nobody can look it up.
        let is_told = |lead: &&Lead| !records.iter().any(|text| text.fields["text"].contains(&lead.email));
        let missing: Vec<&str> = leads.iter().filter(is_told).map(|lead| lead.email.as_str()).collect();
        assert!(missing.is_empty(), "{what} lack {missing:?}: {:?}", records.first());
        return;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    records.iter().for_each(|record| *counts.entry(record.of.as_deref().unwrap()).or_default() += 1);
    let is_once = |lead: &Lead| {
        let of = [lead.email.to_lowercase(), lead.uuid.to_lowercase()];
        of.iter().filter_map(|of| counts.get(of.as_str())).sum::<usize>() == 1
    };
    assert!(leads.iter().all(is_once) && records.len() == leads.len(), "{what}: {counts:?}");
    // Lists and tags are the same for all.
    let said = |record: &Record| ["status", "tags"].map(|name| record.fields.get(name).cloned());
    let said: BTreeSet<_> = records.iter().map(said).collect();
    assert!(said.len() == 1 && !format!("{said:?}").contains("on no list"), "{what}: {said:?}");
}
