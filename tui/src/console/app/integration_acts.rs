//! Acts on a whole integration: test, enable, reset, its signing secrets.

use crate::console::data::change::Target;
use crate::console::data::{Entry, Held, Integration, Mutation};
use crate::console::dialogs::confirm::{Way, count};
use crate::console::dialogs::{Choice, Confirm, Focus, Weight};
use crate::console::keymap::Action;

/// The question before an act on a whole integration.
pub(super) fn question(it: &Integration, action: Action) -> Option<Confirm> {
    let (id, name, of) = (it.id.clone(), it.full_name(), it.id.clone());
    let new = Confirm::new;
    let (mut confirm, facts, command) = match action {
        Action::RetryWaiting => {
            let target = Target::Waiting { integration: id };
            let mutation = Mutation::Retry { target, re_render: false };
            let confirm = new("Push now", "Push", format!("Push now what waits for {name}?"), mutation);
            let facts = vec![
                "pending deliveries that wait for their automatic retry are due at once".to_owned(),
                "the lane's own limits go on to hold".to_owned(),
            ];
            (confirm, facts, format!("leadline delivery retry --waiting --integration {of}"))
        }
        Action::Test => {
            let confirm = new(
                "Test push",
                "Push",
                format!("Push a test to {name}?"),
                Mutation::Test { integration: id },
            );
            let facts =
                ["a sample lead goes to the real target as webhook.test", "it never counts as a failure"];
            (confirm, facts.map(str::to_owned).to_vec(), format!("leadline integration test {of}"))
        }
        Action::Reset => {
            let confirm = new(
                "Reset",
                "Reset",
                format!("Reset the failure count of {name}?"),
                Mutation::Reset { integration: id },
            );
            let forgotten = count(
                it.failures,
                "failure and its error are forgotten",
                "failures and the last error are forgotten",
            );
            (
                confirm,
                vec![forgotten, "attempts and dead deliveries stay as they are".to_owned()],
                format!("leadline integration reset {of}"),
            )
        }
        Action::Toggle if it.enabled => {
            let confirm =
                new("Disable", "Disable", format!("Disable {name}?"), Mutation::Disable { integration: id });
            let waiting = count(it.pending, "pending delivery waits", "pending deliveries wait");
            (
                confirm,
                vec!["pushes in flight finish; new leads are kept, held".to_owned(), waiting],
                format!("leadline integration disable {of}"),
            )
        }
        Action::Toggle => enable(it),
        Action::Rotate => rotate(it),
        Action::CutOver => cut_over(it),
        Action::Revoke => revoke(it),
        _ => return None,
    };
    confirm.facts.extend(facts);
    confirm.command = command;
    Some(confirm)
}

fn enable(it: &Integration) -> (Confirm, Vec<String>, String) {
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
    let command = format!("leadline integration enable {}", it.id);
    (confirm, vec!["new leads are pushed again".to_owned(), held], command)
}

fn rotate(it: &Integration) -> (Confirm, Vec<String>, String) {
    let now = |seconds| Entry::Now { grace_seconds: seconds };
    let entries: [(&'static str, Entry); 6] = [
        ("not at all", now(0)),
        ("1 hour", now(3600)),
        ("24 hours", now(86_400)),
        ("7 days", now(604_800)),
        ("until cut over", Entry::Staged { hold: false }),
        ("until cut over, pushes wait", Entry::Staged { hold: true }),
    ];
    let pending = count(
        it.pending,
        "pending delivery will be signed with it",
        "pending deliveries will be signed with it",
    );
    let facts = |entry: Entry| -> Vec<String> {
        let texts: [&str; 2] = match entry {
            Entry::Now { .. } => ["it signs the simple header at once: tell those receivers now", &pending],
            Entry::Staged { hold: false } => [
                "until you cut over it only joins webhook-signature",
                "a test push is signed by it alone: it shows who knows it",
            ],
            Entry::Staged { hold: true } => [
                "nothing is pushed until you cut over; new leads are held",
                "a test push is signed by it alone: it shows who knows it",
            ],
        };
        texts.map(str::to_owned).to_vec()
    };
    let mutation = |entry| Mutation::Rotate { integration: it.id.clone(), entry };
    let ways = entries.map(|(label, entry)| Way { label, mutation: mutation(entry), facts: facts(entry) });
    let question = format!("Rotate the signing secret of {}?", it.full_name());
    let mut confirm = Confirm::new("Rotate secret", "Rotate", question, mutation(now(86_400)));
    confirm.choice = Some(Choice { label: "old secret stays valid", ways: ways.to_vec(), at: 2 });
    confirm.weight = Weight::Name(it.name.clone());
    confirm.focus = Focus::Input;
    confirm.what = format!("rotate the secret of {}", it.full_name());
    let command = format!("leadline integration rotate-secret {}", it.id);
    (confirm, vec!["a new secret is made now and shown once".to_owned()], command)
}

fn cut_over(it: &Integration) -> (Confirm, Vec<String>, String) {
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
    (confirm, facts, format!("leadline integration cut-over {}", it.id))
}

fn revoke(it: &Integration) -> (Confirm, Vec<String>, String) {
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
    (confirm, facts.map(str::to_owned).to_vec(), format!("leadline integration revoke-secret {}", it.id))
}
