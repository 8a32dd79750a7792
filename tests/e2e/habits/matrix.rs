//! What a salesperson finds after what people do, at every vendor: the test makes the page that tells it, and nothing that
//! was known of somebody is ever lost.

use std::{env, fs, path::Path};

use leadline_fakes::{Deed, OpenAccount, OpenFn, Record, Rule, Trap, VENDORS, sample_lead};
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

use super::TIMEOUT;

/// What of a record neither an update nor another enquiry takes away or changes, unless the lead says it anew.
const PROTECTED: [&str; 9] =
    ["first name", "last name", "name", "phone", "owner", "status", "stage", "pipeline", "value"];
const PAGE: &str = "docs/habits.md";
/// What stands above is written by hand.
const MADE: &str =
    "<!-- From here on LEADLINE_WRITE_PAGES=1 cargo test --workspace --test e2e habits::matrix writes. -->\n";

/// What the second lead is like: how it differs from the first.
type Change = fn(&mut Value);

/// What it is called, as what it comes, and the change.
pub(super) type Saying = (&'static str, EventKind, Change);

pub(super) const SAYS: [Saying; 14] = [
    ("Another enquiry, with other guests", EventKind::Created, |lead| lead["guest_count"] = json!(99)),
    ("An update, with other guests", EventKind::Updated, |lead| lead["guest_count"] = json!(99)),
    ("Another enquiry whose phone is blank", EventKind::Created, |lead| lead["phone"] = json!("")),
    ("Another enquiry whose phone is `null`", EventKind::Created, |lead| lead["phone"] = json!(null)),
    ("Another enquiry without a phone", EventKind::Created, |lead| {
        lead.as_object_mut().unwrap().remove("phone");
    }),
    ("An update whose phone is blank", EventKind::Updated, |lead| lead["phone"] = json!("")),
    ("An update whose phone is `null`", EventKind::Updated, |lead| lead["phone"] = json!(null)),
    ("An update without a phone", EventKind::Updated, |lead| {
        lead.as_object_mut().unwrap().remove("phone");
    }),
    ("Another enquiry with half of the name", EventKind::Created, |lead| lead["name"] = json!("Sarah")),
    ("Another enquiry with the other half of the name", EventKind::Created, |lead| {
        lead["name"] = json!("Patel");
    }),
    ("An update with the other half of the name", EventKind::Updated, |lead| lead["name"] = json!("Patel")),
    ("Another enquiry whose name is its address", EventKind::Created, |lead| {
        lead["name"] = json!("sarah@example.com");
    }),
    ("Another enquiry that spells the address otherwise", EventKind::Created, |lead| {
        lead["email"] = json!(" SARAH@Example.com ");
    }),
    ("An update whose name is its address", EventKind::Updated, |lead| {
        lead["name"] = json!("sarah@example.com")
    }),
];

pub(super) const DEEDS: [(Deed, &str); 10] = [
    (Deed::Correct, "sales corrected the phone"),
    (Deed::Rename, "sales corrected the name"),
    (Deed::ChangeOwner, "the owner changed"),
    (Deed::Close, "sales closed it"),
    (Deed::Move, "sales moved the deal on"),
    (Deed::Convert, "a customer was made of it"),
    (Deed::Archive, "it was archived"),
    (Deed::Merge, "it was merged into another"),
    (Deed::Delete, "it was deleted"),
    (Deed::Leave, "they unsubscribed"),
];

const RULES: [(Rule, &str); 5] = [
    (Rule::Required, "A field of the account's own is required"),
    (Rule::Choice, "A field takes other words"),
    (Rule::Short, "A text is longer than its field takes"),
    (Rule::ReadOnly, "A field that the mapping names is read-only"),
    (Rule::Duplicate, "Another record has the address or the phone"),
];

/// An enquiry of Sarah's.
fn enquiry(n: usize) -> Value {
    let mut lead = sample_lead(n);
    let own = json!({"name": "Sarah Patel", "email": "sarah@example.com", "phone": "+442079460000", "guest_count": 80,
        "event_type": "corporate", "event_date": "2027-06-12", "gdpr_consent": true});
    lead["lead"].as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    lead
}

struct Scene {
    account: Box<dyn OpenAccount>,
    pushing: Pushing,
}

impl Scene {
    fn with(account: Box<dyn OpenAccount>, trap: Trap) -> Self {
        let mut made = account.connection();
        made.config.as_object_mut().unwrap().extend(trap.config.as_object().cloned().unwrap_or_default());
        let connector = account.connector();
        // What the account refuses is not known before it is asked.
        let pushing = Pushing::unchecked(connector, made.config, made.credentials, trap.mapping, TIMEOUT);
        Self { account, pushing }
    }

    /// What is wrong with the mapping, as a daemon says it on save; empty if nothing is.
    fn refusal(account: &dyn OpenAccount, trap: &Trap) -> Option<String> {
        let connector = connectors::find(account.connector()).unwrap();
        let problems = connector.check(
            &account.connection().config,
            &trap.mapping,
            &EgressPolicy::default(),
            "Leadline",
        );
        let problem = problems.into_iter().find(|one| one.pointer.starts_with("/mapping"))?;
        Some(format!("refused on save: {}", problem.text))
    }

    /// What a look at the mapping says, where there is such.
    async fn findings(&mut self) -> Vec<String> {
        if !connectors::find(self.account.connector()).unwrap().manifest().checks_mapping {
            return Vec::new();
        }
        self.pushing.probe(ProbeKind::Mapping).await.findings
    }

    /// Brings an event, and tells what it came to; the records before and after it.
    async fn bring(&mut self, kind: EventKind, lead: &Value) -> (String, Vec<Record>, Vec<Record>) {
        let before = self.account.records();
        let outcome = self.pushing.deliver(&mut Bringing::new(kind, lead), 3).await;
        let after = self.account.records();
        let mut told = match outcome {
            Outcome::Failed(failure) => vec![format!("refused: {}", failure.error)],
            Outcome::Delivered => told(&before, &after),
        };
        told.extend(self.pushing.note.take().map(|note| format!("the attempt says: {note}")));
        (told.join("; "), before, after)
    }
}

/// What is new, what changed and what is gone.
fn told(before: &[Record], after: &[Record]) -> Vec<String> {
    let same = |record: &Record, of: &[Record]| {
        of.iter().find(|other| (other.kind, &other.id) == (record.kind, &record.id)).cloned()
    };
    let mut told = Vec::new();
    for record in after {
        match same(record, before) {
            None => told.push(format!("a new {}", record.kind)),
            Some(old) => {
                let names = old
                    .fields
                    .keys()
                    .chain(record.fields.keys().filter(|name| !old.fields.contains_key(*name)));
                let changed: Vec<String> = names
                    .filter(|name| old.fields.get(*name) != record.fields.get(*name))
                    .map(|name| {
                        let text =
                            |record: &Record| record.fields.get(name).map_or("–", String::as_str).to_owned();
                        format!("{name} {} → {}", text(&old), text(record))
                    })
                    .collect();
                if !changed.is_empty() {
                    told.push(format!("{}: {}", record.kind, changed.join(", ")));
                }
            }
        }
    }
    let gone = before.iter().filter(|record| same(record, after).is_none());
    told.extend(gone.map(|record| format!("the {} is gone", record.kind)));
    let is_cut =
        |record: &Record| record.fields.iter().any(|(name, text)| name != "text" && text.ends_with('…'));
    if after.iter().any(is_cut) {
        told.push("the text is cut".to_owned());
    }
    if told.is_empty() {
        told.push("nothing changes".to_owned());
    }
    told
}

/// What stood in a record that no lead may take away.
fn check_kept(what: &str, before: &[Record], after: &[Record], may_change: &[&str]) {
    for old in before {
        let new = after.iter().find(|new| (new.kind, &new.id) == (old.kind, &old.id));
        let Some(new) = new else { panic!("{what}: the {} is gone", old.kind) };
        for name in PROTECTED.iter().filter(|name| !may_change.contains(name)) {
            assert_eq!(new.fields.get(*name), old.fields.get(*name), "{what}: {name} of the {}", old.kind);
        }
    }
}

/// What is new hangs on a record that is not merged away, where the vendor keeps such.
fn check_parents(what: &str, before: &[Record], after: &[Record]) {
    let is_old = |record: &Record| before.iter().any(|old| (old.kind, &old.id) == (record.kind, &record.id));
    let parents = after.iter().filter(|record| !is_old(record)).filter_map(|record| record.fields.get("on"));
    for parent in parents {
        let status =
            after.iter().find(|record| record.id == *parent).and_then(|record| record.fields.get("status"));
        assert_eq!(status.map(String::as_str), Some("open"), "{what}: {parent}");
    }
}

/// The vendors by what is found at them, in the order in which that was first told.
#[derive(Default)]
struct Cells(Vec<(String, Vec<&'static str>)>);

impl Cells {
    fn add(&mut self, told: String, connector: &'static str) {
        match self.0.iter_mut().find(|(own, _)| *own == told) {
            Some((_, at)) => at.push(connector),
            None => self.0.push((told, vec![connector])),
        }
    }

    fn page(&self, title: &str) -> String {
        let (nowhere, found): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|(told, _)| told.starts_with("cannot be "));
        let rows = found
            .into_iter()
            .chain(nowhere)
            .map(|(told, at)| format!("| {} | {} |\n", told.replace('|', "\\|"), at.join(", ")));
        format!("\n### {title}\n\n| What a salesperson finds | At |\n|---|---|\n{}", rows.collect::<String>())
    }
}

async fn names() -> String {
    let mut page = "\n## A new lead says little of its name\n".to_owned();
    for (title, name) in
        [("It is one word", "Cher"), ("It is the address, as none was given", "sarah@example.com")]
    {
        let mut cells = Cells::default();
        for (connector, open) in VENDORS {
            let mut scene = Scene::with(fresh(open).await, Trap::default());
            for n in 1..=2 {
                let mut lead = enquiry(n);
                lead["lead"]["name"] = json!(name);
                scene.bring(EventKind::Created, &lead).await;
            }
            let records = scene.account.records();
            let record = records.first().unwrap();
            let called = ["first name", "last name", "name"].map(|part| record.fields.get(part).cloned());
            let called: Vec<String> = called.into_iter().flatten().collect();
            let called =
                if called.is_empty() { String::new() } else { format!(" called {}", called.join(" ")) };
            cells.add(format!("a {}{called}", record.kind), connector);
        }
        page += &cells.page(title);
    }
    page
}

async fn says() -> String {
    let mut page = "\n## The lead says less, or the same otherwise\n".to_owned();
    for (title, kind, change) in SAYS {
        let mut cells = Cells::default();
        for (connector, open) in VENDORS {
            cells.add(say(open, Trap::default(), (title, kind, change)).await, connector);
        }
        page += &cells.page(title);
    }
    page
}

/// What a second lead came to that says less than the first.
pub(super) async fn say(open: OpenFn, trap: Trap, (title, kind, change): Saying) -> String {
    let mut scene = Scene::with(fresh(open).await, trap);
    let first = enquiry(1);
    scene.bring(EventKind::Created, &first).await;
    let mut second = if kind == EventKind::Updated { first } else { enquiry(2) };
    change(&mut second["lead"]);
    let (told, before, after) = scene.bring(kind, &second).await;
    check_kept(&format!("{}, {title}", scene.account.connector()), &before, &after, &[]);
    told
}

/// What a second event came to after people did something; none where the test cannot do that.
pub(super) async fn come(open: OpenFn, trap: Trap, deed: Deed, kind: EventKind) -> Option<String> {
    let mut scene = Scene::with(fresh(open).await, trap);
    let first = enquiry(1);
    scene.bring(EventKind::Created, &first).await;
    if !scene.account.with(|account| account.suffer(deed)) {
        return None;
    }
    let mut second = if kind == EventKind::Updated { first } else { enquiry(2) };
    second["lead"]["guest_count"] = json!(99);
    if deed == Deed::Close {
        // What was closed keeps its amount, whatever is offered since.
        second["quote"]["total_pence"] = json!(1_500_000);
    }
    let (told, before, after) = scene.bring(kind, &second).await;
    // Whoever asks again says phone and name anew, and what people correct in a CRM of their own is not known.
    let connector = scene.account.connector();
    let is_said = kind == EventKind::Created || connector == "rest";
    let may_change: &[&str] = match deed {
        Deed::Correct if is_said => &["phone"],
        Deed::Rename if is_said => &["first name", "last name", "name"],
        _ => &[],
    };
    let what = format!("{connector}, {deed:?}, then {kind:?}");
    check_kept(&what, &before, &after, may_change);
    if deed == Deed::Merge {
        check_parents(&what, &before, &after);
    }
    Some(told)
}

pub(super) async fn fresh(open: OpenFn) -> Box<dyn OpenAccount> {
    let account = open().await.unwrap();
    account.with(|account| account.lift_quotas());
    account
}

async fn deeds() -> String {
    let mut page = "\n## People did something meanwhile\n".to_owned();
    for (deed, title) in DEEDS {
        for (kind, then) in [(EventKind::Updated, "an update"), (EventKind::Created, "another enquiry")] {
            let mut cells = Cells::default();
            for (connector, open) in VENDORS {
                let told = come(open, Trap::default(), deed, kind).await;
                cells.add(told.unwrap_or_else(|| "cannot be done there".to_owned()), connector);
            }
            let title = format!("{}, then {then} comes", capital(title));
            page += &cells.page(&title);
        }
    }
    page
}

async fn rules() -> String {
    let mut page = "\n## The account has a rule\n".to_owned();
    for (rule, title) in RULES {
        let mut cells = Cells::default();
        for (connector, open) in VENDORS {
            let account = fresh(open).await;
            let Some(trap) = account.with(|account| account.set(rule)) else {
                cells.add("cannot be set there".to_owned(), connector);
                continue;
            };
            if let Some(refusal) = Scene::refusal(&*account, &trap) {
                cells.add(refusal, connector);
                continue;
            }
            let mut scene = Scene::with(account, trap);
            let mut lead = enquiry(1);
            // Half of what is mapped where a text is too long: 117 kB, more than any field takes.
            let times = if rule == Rule::Short { 4_500 } else { 120 };
            lead["lead"]["wishes"] = json!("fairy lights ".repeat(times));
            let (mut told, before, after) = scene.bring(EventKind::Created, &lead).await;
            check_kept(
                &format!("{connector}, {title}"),
                &before,
                &after,
                &["first name", "last name", "phone", "status"],
            );
            assert!(rule != Rule::Short || !told.starts_with("refused"), "{connector}, {title}: {told}");
            // Where a vendor takes no notice of what it cannot keep, nobody hears of it but by a look.
            if !told.starts_with("refused") {
                let findings = scene.findings().await;
                assert!(
                    rule != Rule::ReadOnly || !findings.is_empty(),
                    "{connector} says nothing of {title}"
                );
                told.extend(
                    findings.into_iter().map(|finding| format!("; `integration check` says: {finding}")),
                );
            }
            cells.add(told, connector);
        }
        page += &cells.page(title);
    }
    page
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_what_is_found_and_nobodys_record_is_damaged() {
    let made = [names().await, says().await, deeds().await, rules().await].concat();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let written = fs::read_to_string(&page).unwrap();
    let (above, below) = written.split_once(MADE).unwrap();
    if below == made {
        return;
    }
    assert!(env::var_os("LEADLINE_WRITE_PAGES").is_some(), "{PAGE} does not tell what was found:\n{made}");
    fs::write(page, format!("{above}{MADE}{made}")).unwrap();
}

/// A form sends a blank, null, or leaves a field out: none of these says anything, so all of them are pushed alike.
#[tokio::test]
async fn what_says_nothing_is_pushed_as_if_it_were_not_there() {
    for (connector, open) in VENDORS {
        let account = open().await.unwrap();
        // What is signed is the event itself, as it came.
        if connectors::find(connector).unwrap().manifest().signs {
            continue;
        }
        // What a body template writes is its operator's, so fields are mapped where there is one.
        let is_templated = account.connection().config.get("body").is_some();
        let mapped = json!({"lead.phone": "phone", "lead.source_url": "source", "lead.name": "name"});
        let mapped = Trap { mapping: mapped, config: json!({"body": null}) };
        let scene = Scene::with(account, if is_templated { mapped } else { Trap::default() });
        for kind in [EventKind::Created, EventKind::Updated] {
            for field in ["phone", "source_url"] {
                let mut absent = enquiry(1);
                absent["lead"].as_object_mut().unwrap().remove(field);
                let wanted = scene.pushing.rendered(kind, &absent);
                for said in [json!(null), json!(""), json!(" \t")] {
                    let mut lead = absent.clone();
                    lead["lead"][field] = said.clone();
                    assert_eq!(scene.pushing.rendered(kind, &lead), wanted, "{connector}: {field} {said}");
                }
            }
        }
    }
}
