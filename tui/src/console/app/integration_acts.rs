//! Acts on a whole integration: test, enable, reset, its signing secrets.

use jiff::Timestamp;

use crate::console::data::change::BulkTarget;
use crate::console::data::{Held, Integration, Mutation, SecretEntry};
use crate::console::dialogs::confirm::{Way, count};
use crate::console::dialogs::{Choice, Confirm, Focus, Weight};
use crate::console::keymap::Action;
use crate::console::widgets::time;

use super::shared::Shared;

/// What a reset forgets, and what it lifts.
fn reset(it: &Integration, shared: &Shared) -> Vec<String> {
    let (now, zone) = (shared.now, &shared.setup.zone);
    let moment = |at: Option<Timestamp>| at.filter(|at| *at > now).map(|at| time::moment(at, zone));
    let forgotten = count(
        it.failures,
        "failure and its error are forgotten",
        "failures and the last error are forgotten",
    );
    let throttle = moment(it.throttled_until)
        .map(|at| format!("the wait that the target asked for is lifted: it would last until {at}"));
    let breaker = (!it.breaker.is_empty()).then(|| match moment(it.breaker_until) {
        Some(at) => format!("the breaker, open until {at}, closes: {}", it.breaker),
        None => format!("the breaker, about to try one push, closes: {}", it.breaker),
    });
    let neither = (throttle.is_none() && breaker.is_none())
        .then(|| "nothing is lifted: it waits for no throttle, and its breaker is closed".to_owned());
    let stays = "attempts and dead deliveries stay as they are".to_owned();
    [Some(forgotten), throttle, breaker, neither, Some(stays)].into_iter().flatten().collect()
}

/// The question before an act on a whole integration.
pub(super) fn question(it: &Integration, shared: &Shared, action: Action) -> Option<Confirm> {
    let (id, name) = (it.id.clone(), it.full_name());
    let new = Confirm::new;
    let (mut confirm, facts) = match action {
        Action::RetryWaiting => waiting(it),
        Action::Test => {
            let confirm = new(
                "Test push",
                "Push",
                format!("Push a test to {name}?"),
                Mutation::Test { integration: id },
            );
            let facts =
                ["a sample lead goes to the real target as webhook.test", "it never counts as a failure"];
            (confirm, facts.map(str::to_owned).to_vec())
        }
        Action::Reset => {
            let confirm = new(
                "Reset",
                "Reset",
                format!("Begin anew with {name}?"),
                Mutation::Reset { integration: id },
            );
            (confirm, reset(it, shared))
        }
        Action::Toggle if it.enabled => {
            let confirm =
                new("Disable", "Disable", format!("Disable {name}?"), Mutation::Disable { integration: id });
            let waiting = count(it.pending, "pending delivery waits", "pending deliveries wait");
            (confirm, vec!["pushes in flight finish; new leads are kept, held".to_owned(), waiting])
        }
        Action::Toggle => enable(it),
        Action::Rotate => rotate(it),
        Action::Stage => stage(it),
        Action::CutOver => cut_over(it),
        Action::Revoke => revoke(it),
        _ => return None,
    };
    confirm.facts.extend(facts);
    Some(confirm)
}

/// What waits goes now; where some died as well, both in one job, so that one pace holds for all of them.
fn waiting(it: &Integration) -> (Confirm, Vec<String>) {
    let id = || it.id.clone();
    let mutation = Mutation::retry(BulkTarget::Waiting { integration: id() }, false);
    let question = format!("Push now what waits for {}?", it.full_name());
    let mut confirm = Confirm::new("Push now", "Push", question, mutation.clone());
    if it.dead > 0 {
        let both = Mutation::retry(BulkTarget::Undelivered { integration: id() }, false);
        let way = |label, mutation| Way { label, mutation, facts: Vec::new() };
        let ways = vec![way("what waits", mutation), way("what waits and what died", both)];
        confirm.choice = Some(Choice { label: "what goes", ways, at: 1 });
    }
    confirm.weight = Weight::Count;
    let facts = vec![
        "what waits for its automatic retry is due at once; the lane's own limits go on to hold".to_owned(),
        "a job brings it back (4): it can be cancelled there, and resumed".to_owned(),
    ];
    (confirm, facts)
}

fn enable(it: &Integration) -> (Confirm, Vec<String>) {
    let way = |label, held| Way {
        label,
        mutation: Mutation::Enable { integration: it.id.clone(), held },
        facts: Vec::new(),
    };
    let mutation = Mutation::Enable { integration: it.id.clone(), held: Held::Keep };
    let mut confirm = Confirm::new("Enable", "Enable", format!("Enable {}?", it.full_name()), mutation);
    if it.held > 0 {
        let ways = vec![way("keep held", Held::Keep), way("release", Held::Release), way("skip", Held::Skip)];
        confirm.choice = Some(Choice { label: "held deliveries", ways, at: 0 });
    }
    let held = count(it.held, "delivery is held", "deliveries are held");
    (confirm, vec!["new leads are pushed again".to_owned(), held])
}

/// A leak: the new secret signs at once.
fn rotate(it: &Integration) -> (Confirm, Vec<String>) {
    let spans: [(&'static str, u32); 4] =
        [("not at all", 0), ("1 hour", 3600), ("24 hours", 86_400), ("7 days", 604_800)];
    let ways = spans.map(|(label, grace_seconds)| (label, SecretEntry::Now { grace_seconds }, Vec::new()));
    let confirm = secret(it, "old secret stays valid", &ways, 2);
    let facts = vec![
        "a new secret is made now and shown once".to_owned(),
        "it signs the simple header at once: tell those receivers now".to_owned(),
        count(
            it.pending,
            "pending delivery will be signed with it",
            "pending deliveries will be signed with it",
        ),
    ];
    (confirm, facts)
}

/// A change as planned: the new secret is handed over first, and takes over by cut over.
fn stage(it: &Integration) -> (Confirm, Vec<String>) {
    let ways = [
        (
            "pushes wait",
            SecretEntry::Staged { hold: true },
            vec![
                "for a receiver that knows one secret at a time: nothing is pushed until you cut over"
                    .to_owned(),
            ],
        ),
        (
            "pushes go on",
            SecretEntry::Staged { hold: false },
            vec!["for a receiver that reads webhook-signature, which both sign meanwhile".to_owned()],
        ),
    ];
    let mut confirm = secret(it, "until you cut over", &ways, 0);
    confirm.title = "Stage a secret";
    confirm.verb = "Stage";
    confirm.question = format!("Stage a new signing secret for {}?", it.full_name());
    confirm.what = format!("stage a secret for {}", it.full_name());
    let facts = vec![
        "a new secret is made now and shown once; the old one signs until you cut over".to_owned(),
        "a test push is signed by the new one alone: it shows who knows it".to_owned(),
    ];
    (confirm, facts)
}

/// The question before a new signing secret; its integration's name is typed.
fn secret(
    it: &Integration,
    label: &'static str,
    ways: &[(&'static str, SecretEntry, Vec<String>)],
    at: usize,
) -> Confirm {
    let mutation = |entry| Mutation::Rotate { integration: it.id.clone(), entry };
    let way = |(label, entry, facts): &(&'static str, SecretEntry, Vec<String>)| Way {
        label,
        mutation: mutation(*entry),
        facts: facts.clone(),
    };
    let question = format!("Rotate the signing secret of {}?", it.full_name());
    let first = ways.get(at).map_or(SecretEntry::Now { grace_seconds: 0 }, |(_, entry, _)| *entry);
    let mut confirm = Confirm::new("Rotate secret", "Rotate", question, mutation(first));
    confirm.choice = Some(Choice { label, ways: ways.iter().map(way).collect(), at });
    confirm.weight = Weight::Name(it.name.clone());
    confirm.focus = Focus::Input;
    confirm.what = format!("rotate the secret of {}", it.full_name());
    confirm
}

fn cut_over(it: &Integration) -> (Confirm, Vec<String>) {
    let question = format!("Cut over {} to the staged secret?", it.full_name());
    let confirm =
        Confirm::new("Cut over", "Cut over", question, Mutation::CutOver { integration: it.id.clone() });
    let held =
        format!("{} held; what the rotation held is pushed", count(it.held, "delivery is", "deliveries are"));
    let facts = vec![
        "the staged secret signs from now on, the old one nothing".to_owned(),
        "! a receiver that does not know it yet refuses: test first".to_owned(),
        held,
    ];
    (confirm, facts)
}

fn revoke(it: &Integration) -> (Confirm, Vec<String>) {
    let (title, verb, question, facts): (_, _, _, [&str; 2]) = if it.staged_version > 0 {
        (
            "Cancel secret",
            "Cancel it",
            format!("Cancel the staged secret of {}?", it.full_name()),
            [
                "the old secret goes on alone; what the rotation held is pushed",
                "! a receiver that knows the new one only refuses from now on",
            ],
        )
    } else {
        (
            "Revoke secret",
            "Revoke",
            format!("Revoke the old secret of {}?", it.full_name()),
            [
                "the old secret signs nothing any more",
                "! a receiver that does not know the new one yet refuses",
            ],
        )
    };
    let confirm = Confirm::new(title, verb, question, Mutation::Revoke { integration: it.id.clone() });
    (confirm, facts.map(str::to_owned).to_vec())
}
