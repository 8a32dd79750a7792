//! Whatever goes wrong with any call of a push, and wherever in one a daemon dies: every vendor holds afterwards what it
//! holds when nothing goes wrong. A text may come twice, as nobody can look for it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leadline_fakes::{
    Fault, OpenAccount, Reply, VENDORS, open_account, sample_lead,
    vendor::{Chance, Chaos},
};
use leadline_tests::{Bringing, Pushing};
use leadlined::domain::{integration::EventKind, outcome::Outcome};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may where one hangs.
const SHORT: Duration = Duration::from_secs(1);
/// So many leads come through calls that fail at random.
const LEADS: usize = 24;

/// A vendor, and settings with which pushes go another way.
#[derive(Clone)]
struct Way {
    connector: &'static str,
    config: Value,
}

/// An account that takes as much as comes, and pushes to it.
struct Scene {
    account: Box<dyn OpenAccount>,
    pushing: Pushing,
}

impl Way {
    async fn open(&self) -> Scene {
        let account = open_account(self.connector).await.unwrap();
        account.with(|account| {
            account.slow_down();
            account.lift_quotas();
        });
        let mut made = account.connection();
        made.config.as_object_mut().unwrap().extend(self.config.as_object().unwrap().clone());
        let pushing = Pushing::new(self.connector, made.config, made.credentials, json!({}), TIMEOUT);
        Scene { account, pushing }
    }

    /// What the vendor holds when nothing goes wrong, and the calls that it takes.
    async fn undisturbed(&self) -> (Vec<String>, Vec<String>) {
        let mut scene = self.open().await;
        for (kind, lead) in events() {
            scene.deliver(kind, &lead).await;
        }
        (scene.held(), scene.account.calls())
    }
}

impl Scene {
    async fn deliver(&mut self, kind: EventKind, lead: &Value) {
        let mut bringing = Bringing::new(kind, lead);
        let mut outcome = self.pushing.attempt(&mut bringing).await;
        if outcome != Outcome::Delivered {
            // What hung has gone wrong; a machine that is only busy gets its time.
            self.pushing.timeout = TIMEOUT;
            outcome = self.pushing.deliver(&mut bringing, 50).await;
        }
        assert_eq!(outcome, Outcome::Delivered, "{}: {:?}", self.account.connector(), self.account.calls());
    }

    /// Every record by its kind and whose it is.
    fn held(&self) -> Vec<String> {
        let records = self.account.records().into_iter();
        let mut held: Vec<String> = records
            .map(|record| format!("{} of {}", record.kind, record.of.as_deref().unwrap_or("somebody")))
            .collect();
        held.sort_unstable();
        held
    }

    fn check(&self, expected: &[String], what: &str) {
        let held = self.held();
        let is_told = self.account.with(|account| account.is_told());
        let is_as_expected = if is_told {
            (expected.len()..=expected.len() + 2).contains(&held.len())
        } else {
            held == expected
        };
        let (connector, calls) = (self.account.connector(), self.account.calls());
        assert!(is_as_expected, "{connector}, {what}: {held:?} instead of {expected:?} after {calls:?}");
    }
}

/// A new lead and its update.
fn events() -> [(EventKind, Value); 2] {
    let mut lead = sample_lead(1);
    lead["lead"]["uuid"] = json!("01J8H6KQH4YG3XR8RWM6T6XFQ1");
    lead["lead"]["gdpr_consent"] = json!(true);
    lead["lead"]["profile"] = json!({ "company": "Innkept Ltd" });
    let mut changed = lead.clone();
    changed["lead"]["guest_count"] = json!(4321);
    [(EventKind::Created, lead), (EventKind::Updated, changed)]
}

/// All ways to all vendors that are called over HTTP, each at once with the others.
async fn at_every_vendor<F>(check: impl Fn(Way) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (connector, open) in VENDORS {
        let account = open().await.unwrap();
        if account.url().is_empty() {
            continue;
        }
        for config in std::iter::once(json!({})).chain(account.with(|account| account.ways())) {
            running.spawn(check(Way { connector, config }));
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// The nth call goes wrong, or the first of its kind after it: on a busy machine a login may be asked for twice.
fn nth(n: usize, call: &str, fault: Fault) -> Chaos {
    let (mut count, mut fault, is_login) = (0, Some(fault), is_login(call));
    Box::new(move |request| {
        count += 1;
        if count > n && self::is_login(&request.path) == is_login { fault.take() } else { None }
    })
}

fn is_login(call: &str) -> bool {
    call.contains("token")
}

/// What may go wrong with the nth of these calls; logins have refusals of their own. An answer that says to come later is
/// taken for what it is by one rule for all calls: each status comes at the last one, and in turn at the others.
fn faults(calls: &[String], n: usize, later: &[Reply]) -> Vec<Fault> {
    const STATUSES: [u16; 5] = [408, 500, 502, 503, 504];
    let is_last = n + 1 == calls.len();
    let said = STATUSES.into_iter().enumerate().filter(|(turn, _)| is_last || n % STATUSES.len() == *turn);
    let mut faults = vec![Fault::Close, Fault::ActThenClose, Fault::ActThenHang, Fault::ActThenGarble];
    faults.extend(said.map(|(_, status)| Fault::Answer(Reply::status(status))));
    if !is_login(&calls[n]) {
        faults.extend(later.iter().cloned().map(Fault::Answer));
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn any_fault_at_any_call_leaves_what_is_there_without_it() {
    at_every_vendor(async |way: Way| {
        let (expected, calls) = way.undisturbed().await;
        let later = way.open().await.account.with(|account| account.later());
        for (n, call) in calls.iter().enumerate() {
            for fault in faults(&calls, n, &later) {
                let mut scene = way.open().await;
                scene.account.disturb(Some(nth(n, call, fault.clone())));
                if matches!(fault, Fault::ActThenHang) {
                    scene.pushing.timeout = SHORT;
                }
                for (kind, lead) in events() {
                    scene.deliver(kind, &lead).await;
                }
                scene.check(&expected, &format!("{fault:?} at {call}"));
            }
        }
    })
    .await;
}

/// Whether a call changes nothing.
fn is_look(call: &str) -> bool {
    call.starts_with("GET ") || call.ends_with("/batch/read") || call.ends_with("/search")
}

/// The answer to the nth call is lost, and from then on the first answer of each look says nothing.
fn lost_and_looked_for(n: usize, said: &'static str) -> Chaos {
    let (mut count, mut mute) = (0, BTreeSet::new());
    Box::new(move |request| {
        count += 1;
        let path = request.path.split('?').next().unwrap_or_default();
        let call = format!("{} {path}", request.method);
        match count.cmp(&(n + 1)) {
            Ordering::Less => None,
            Ordering::Equal => Some(Fault::ActThenClose),
            Ordering::Greater => {
                let is_first = is_look(&call) && !is_login(&call) && mute.insert(call);
                is_first.then(|| Fault::Answer(Reply::status(200).body(said)))
            }
        }
    })
}

/// A list that is no JSON, or that is not there, is no empty one: it is read again before anything is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_says_nothing_makes_nothing_twice() {
    at_every_vendor(async |way: Way| {
        let (expected, calls) = way.undisturbed().await;
        for (n, call) in calls.iter().enumerate().filter(|(_, call)| !is_look(call) && !is_login(call)) {
            for said in ["<html>", "{}"] {
                // Google leaves out the values of an empty range, and with them all that was asked for.
                if said == "{}" && way.connector == "google_sheets" {
                    continue;
                }
                let mut scene = way.open().await;
                scene.account.disturb(Some(lost_and_looked_for(n, said)));
                for (kind, lead) in events() {
                    scene.deliver(kind, &lead).await;
                }
                scene.check(&expected, &format!("{said} after a lost answer to {call}"));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_between_two_calls_leaves_what_is_there_without_it() {
    at_every_vendor(async |way: Way| {
        let (expected, _) = way.undisturbed().await;
        for dies_in in 0..events().len() {
            for calls in 1.. {
                let mut scene = way.open().await;
                let mut has_died = false;
                for (n, (kind, lead)) in events().into_iter().enumerate() {
                    let mut bringing = Bringing::new(kind, &lead);
                    let until = if n == dies_in { calls } else { usize::MAX };
                    if scene.pushing.attempt_until(&mut bringing, until).await.is_none() {
                        has_died = true;
                        assert_eq!(scene.pushing.attempt(&mut bringing).await, Outcome::Delivered);
                    }
                }
                scene.check(&expected, &format!("died after {calls} calls"));
                if !has_died {
                    break;
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_leads_through_random_faults_are_there_once() {
    at_every_vendor(async |way: Way| {
        let mut scene = way.open().await;
        let later = scene.account.with(|account| account.later());
        let mut chance = Chance::new(7);
        scene.account.disturb(Some(Box::new(move |request| match chance.below(12) {
            0 => Some(Fault::Close),
            1 => Some(Fault::ActThenClose),
            2 => Some(Fault::ActThenGarble),
            3 => Some(Fault::Answer(Reply::status(503))),
            4 if !is_login(&request.path) => later.first().cloned().map(Fault::Answer),
            _ => None,
        })));
        for n in 0..LEADS {
            let mut lead = sample_lead(n);
            lead["lead"]["gdpr_consent"] = json!(true);
            scene.deliver(EventKind::Created, &lead).await;
        }
        let mut counts = BTreeMap::new();
        for record in scene.account.records() {
            let of = record.of.unwrap_or_else(|| record.fields["text"].clone());
            *counts.entry((record.kind, of)).or_insert(0) += 1;
        }
        let is_told = scene.account.with(|account| account.is_told());
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1 && !is_told).collect();
        let kinds: BTreeSet<&str> = counts.keys().map(|(kind, _)| *kind).collect();
        assert!(twice.is_empty(), "{}: {twice:?}", way.connector);
        for kind in kinds {
            let count = counts.keys().filter(|(own, _)| *own == kind).count();
            let is_whole = if is_told { count >= LEADS } else { count == LEADS };
            assert!(is_whole, "{count} {kind}s of {LEADS} leads at {}", way.connector);
        }
    })
    .await;
}
