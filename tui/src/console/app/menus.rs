//! The menus: actions, help, what can be copied, the palette that jumps to anything, and the choice of one company.

use serde_json::{Map, Value, json};

use super::acts::obstacle;
use super::shared::{Shared, is_silent};
use crate::console::data::attempt::Call;
use crate::console::data::command::quote;
use crate::console::data::{Badge, Company, Detail, Flow, Integration};
use crate::console::dialogs::{Jump, JumpTarget, Menu, MenuAct, MenuIntegration, MenuItem, Named, Pick};
use crate::console::keymap::Action;
use crate::console::screen::{Screen, Subject};
use crate::console::widgets::time;

/// The acts that the screen offers or that its subject allows, each with a letter.
pub fn actions(screen: &dyn Screen, shared: &Shared, subject: &Subject) -> Menu {
    const LETTERS: [(Action, &str); 24] = [
        (Action::Retry, "r"),
        (Action::RetryWaiting, "w"),
        (Action::Push, "p"),
        (Action::Test, "t"),
        (Action::Credentials, "k"),
        (Action::Mapping, "m"),
        (Action::Toggle, "e"),
        (Action::Hold, "h"),
        (Action::Release, "l"),
        (Action::Skip, "s"),
        (Action::Unskip, "u"),
        (Action::Snooze, "z"),
        (Action::CancelJob, "x"),
        (Action::EditFlow, "f"),
        (Action::ToggleFlow, "g"),
        (Action::Reset, "0"),
        (Action::Rotate, "o"),
        (Action::Stage, "S"),
        (Action::CutOver, "c"),
        (Action::Revoke, "v"),
        (Action::NewIntegration, "n"),
        (Action::Settings, ","),
        (Action::SetPlan, "y"),
        (Action::PauseCompany, "d"),
    ];
    let is_offered = |action: Action| {
        screen.actions().contains(&action)
            || (subject.integration.is_some() && of_integration(action))
            || (!subject.deliveries.is_empty()
                && matches!(action, Action::Hold | Action::Release | Action::Skip | Action::Unskip))
    };
    let items = LETTERS
        .into_iter()
        .filter(|(action, _)| is_offered(*action))
        .filter_map(|(action, key)| item(screen, shared, subject, action, key.to_owned()))
        .collect();
    Menu::letters("Actions", items)
}

const fn of_integration(action: Action) -> bool {
    matches!(
        action,
        Action::RetryWaiting
            | Action::Test
            | Action::Credentials
            | Action::Mapping
            | Action::Settings
            | Action::Toggle
            | Action::Reset
            | Action::Rotate
            | Action::Stage
            | Action::CutOver
            | Action::Revoke
    )
}

fn item(
    screen: &dyn Screen,
    shared: &Shared,
    subject: &Subject,
    action: Action,
    key: String,
) -> Option<MenuItem> {
    let label = label(screen, shared, subject, action)?;
    Some(MenuItem { key, label, pick: Pick::Act(action), reason: obstacle(shared, subject, action) })
}

/// What an action is called here.
pub fn label(screen: &dyn Screen, shared: &Shared, subject: &Subject, action: Action) -> Option<String> {
    if let Some(label) = screen.label(action, shared) {
        return Some(label);
    }
    let it = subject.integration.as_deref().and_then(|id| shared.integration(id));
    Some(match (action, it) {
        (Action::Toggle, Some(it)) if it.enabled => format!("disable {}", it.name),
        (Action::Toggle, Some(it)) => format!("enable {}", it.name),
        _ => shared.setup.keymap.line(action)?.label.clone().into_owned(),
    })
}

/// Every key that works here; Enter runs it.
pub fn help(screen: &dyn Screen, shared: &Shared, subject: &Subject) -> Menu {
    let offered = screen.actions();
    let bindings = shared.setup.keymap.iter().filter(|b| {
        let is_told = !b.shown.is_empty() || b.taken.is_some();
        is_told && (b.is_global() || offered.contains(&b.action)) && b.action != Action::Help
    });
    let items = bindings.filter_map(|b| {
        let mut item = item(screen, shared, subject, b.action, b.shown.to_string())?;
        if let Some(taken) = &b.taken {
            item.label = format!("{}  ({taken})", item.label);
        }
        Some(item)
    });
    let items = items.collect();
    let mut menu =
        Menu::typed(format!("Help: {}   type to filter, Enter runs it", screen.crumb(shared)), items);
    menu.legend = vec![
        String::new(),
        "filter   word  !word  err:x  code:5xx  badge:failing".to_owned(),
        "         company:x  state:held  died:<2h".to_owned(),
        "badges   ✗ failing  ! credentials  … retrying".to_owned(),
        "         ? unknown  ⏸ disabled  ✓ ok".to_owned(),
    ];
    menu
}

/// Every action, every screen, every integration and company, and what the screens have loaded; `lead TEXT` finds a
/// person, a word with an id opens that, and an act with an integration behind it is done there, whatever is selected.
pub fn palette(screen: &dyn Screen, shared: &Shared, subject: &Subject, loaded: Vec<JumpTarget>) -> Menu {
    let offered = screen.actions();
    let acts = shared.setup.keymap.iter().filter(|b| {
        let is_here = b.is_global()
            || offered.contains(&b.action)
            || (subject.integration.is_some() && of_integration(b.action));
        is_here && !b.action.is_move() && b.action != Action::Palette
    });
    let mut items: Vec<MenuItem> =
        acts.filter_map(|b| item(screen, shared, subject, b.action, b.shown.to_string())).collect();
    let plain = |label: String, jump: Jump| MenuItem {
        key: String::new(),
        label,
        pick: Pick::Jump(jump),
        reason: None,
    };
    items.extend(shared.integrations.iter().map(|it| {
        plain(
            format!("int {}  {}, {}", it.reference(), it.company, it.badge.word().to_lowercase()),
            Jump::Integration(it.id.clone()),
        )
    }));
    items.extend(
        companies(shared)
            .into_iter()
            .map(|(id, name)| plain(format!("company {id} {name}"), Jump::Company(id))),
    );
    let others = shared.setup.profiles.iter().filter(|name| Some(*name) != shared.setup.profile.as_ref());
    items.extend(others.map(|name| plain(format!("connect {name}"), Jump::Profile(name.clone()))));
    items.extend(loaded.into_iter().map(JumpTarget::item));
    let mut menu = Menu { jumps: true, ..Menu::typed("Command", items) };
    menu.named = named(shared);
    menu.legend = vec![
        "lead NAME  int NAME  company 7  flow NAME  retry 7/NAME  Tab completes".to_owned(),
        "by id, or by what is loaded: lead  delivery  attempt  cause  job".to_owned(),
    ];
    menu
}

/// Which flow an action is about, where there are several: those that send where the screen is, else the company's.
pub fn flows(action: Action, subject: Subject) -> Menu {
    let item = |flow: &Flow| {
        let targets: Vec<&str> = flow.targets.iter().map(|(_, name)| name.as_str()).collect();
        let off = if flow.enabled { "" } else { " (off)" };
        MenuItem {
            key: String::new(),
            label: format!("{}{off}: {}  ->  {}", flow.name, flow.when, targets.join(", ")),
            pick: Pick::Flow { action, flow: Box::new(flow.clone()) },
            reason: None,
        }
    };
    let title = if action == Action::EditFlow { "Edit which flow?" } else { "Switch which flow?" };
    let items = subject.flows.iter().map(item).collect();
    Menu { subject: Some(Box::new(subject)), ..Menu::typed(title, items) }
}

/// The acts on a whole integration, and all there are.
fn named(shared: &Shared) -> Named {
    let is_whole = |action| of_integration(action) || action == Action::Retry;
    let lines = shared.setup.keymap.iter().filter(|line| is_whole(line.action));
    let act = |action, label: &str, enables| MenuAct { action, label: label.to_lowercase(), enables };
    let acts = lines.flat_map(|line| match line.action {
        action @ Action::Toggle => {
            vec![act(action, "enable", Some(true)), act(action, "disable", Some(false))]
        }
        action => vec![act(action, &line.label, None)],
    });
    let target = |it: &Integration| MenuIntegration::new(it.id.clone(), it.reference(), it.enabled);
    Named { acts: acts.collect(), targets: shared.integrations.iter().map(target).collect() }
}

/// The companies that are known, by id.
fn companies(shared: &Shared) -> Vec<(i64, String)> {
    let known = shared.companies.iter().map(|it| (it.id, it.name.clone()));
    let seen = shared.integrations.iter().map(|it| (it.company_id, it.company.clone()));
    let mut all: Vec<(i64, String)> = known.chain(seen).collect();
    all.sort();
    all.dedup_by_key(|(id, _)| *id);
    all
}

/// One company only, or all of them again.
pub fn narrow(shared: &Shared) -> Menu {
    let pick = |jump| Pick::Jump(Jump::Narrow(jump));
    let all =
        MenuItem { key: String::new(), label: "all companies".to_owned(), pick: pick(None), reason: None };
    let item = |(id, name): (i64, String)| {
        let bad = shared.integrations.iter().filter(|it| it.company_id == id && it.badge.is_bad()).count();
        let known = shared.companies.iter().find(|it| it.id == id);
        let silent = known.filter(|it| is_silent(it, shared.now)).and_then(Company::silent_since);
        let failing = if bad > 0 { format!("   {bad} failing") } else { String::new() };
        let silent = silent
            .map(|at| format!("   no lead for {}", time::age(shared.now, Some(at))))
            .unwrap_or_default();
        let label = format!("{id} {name}{failing}{silent}");
        MenuItem { key: String::new(), label, pick: pick(Some((id, name))), reason: None }
    };
    let items = [all].into_iter().chain(companies(shared).into_iter().map(item)).collect();
    let mut menu = Menu::typed("One company only", items);
    let page = shared.setup.keymap.hint(Action::CompanyPage, "; ", " then opens its page");
    menu.legend = vec![format!("Enter narrows every screen to it{page}")];
    menu
}

/// The columns that one can sort by, by key and head.
pub fn sort(columns: &[(&'static str, String)], now: Option<&'static str>) -> Menu {
    let item = |key: Option<&'static str>, head: &str| MenuItem {
        key: String::new(),
        label: format!("{head}{}", if key == now { "   now" } else { "" }),
        pick: Pick::Sort(key),
        reason: None,
    };
    let own = item(None, "the screen's own order");
    let columns = columns.iter().map(|(key, head)| item(Some(*key), head));
    Menu::letters("Sort by", [own].into_iter().chain(columns).collect())
}

/// Evidence of this lead, in the form that is wanted.
pub fn evidence(uuid: &str, company: i64, person: &str) -> Menu {
    let item = |key: &str, label: &str, json, mask| MenuItem {
        key: key.to_owned(),
        label: label.to_owned(),
        pick: Pick::Evidence { uuid: uuid.to_owned(), company, json, mask },
        reason: None,
    };
    let items = vec![
        item("x", "Markdown, credentials left out", false, false),
        item("m", "Markdown, personal data masked", false, true),
        item("j", "JSON", true, false),
        item("k", "JSON, personal data masked", true, true),
    ];
    Menu::letters(format!("Copy evidence of {person}"), items)
}

/// The keys of a record's id and of its link.
const RECORDS: [(&str, &str); 5] = [("1", "2"), ("3", "4"), ("5", "6"), ("7", "8"), ("9", "0")];

/// What can be copied of what is selected.
pub fn copy(subject: &Subject, shared: &Shared) -> Menu {
    let mut items = Vec::new();
    let mut add = |key: &str, label: &str, text: String| {
        let reason = text.is_empty().then(|| "there is none".to_owned());
        let pick = Pick::Copy { what: label.to_owned(), text };
        items.push(MenuItem { key: key.to_owned(), label: label.to_owned(), pick, reason });
    };
    if let Some(attempt) = &subject.attempt {
        add("i", "attempt id", attempt.id.clone());
        add("d", "delivery id", attempt.delivery.clone());
        add("e", "error", attempt.error.clone());
        let call = subject.detail.as_ref().and_then(|detail| detail.calls.last());
        let body = |bytes: Option<&Vec<u8>>| {
            bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
        };
        add("u", "URL", call.map(|call| call.url.clone()).unwrap_or_default());
        add("b", "request body", body(call.map(|call| &call.request_body)));
        add("r", "response body", body(call.map(|call| &call.response_body)));
        add("c", "request as curl, credentials left out", call.map(curl).unwrap_or_default());
    } else if let [one] = subject.deliveries.as_slice() {
        add("d", "delivery id", one.delivery.clone());
        add("e", "error", one.error.clone());
    }
    if let Some((uuid, _, person)) = &subject.lead {
        add("l", "lead", uuid.clone());
        add("p", "person", person.clone());
    }
    // What each record is called there, and the link to it, under a number each.
    for (record, (id, link)) in subject.records.iter().zip(RECORDS) {
        add(id, &format!("{} id there", record.kind), record.id.clone());
        add(link, &format!("link to the {}", record.kind), record.url.clone());
    }
    if let Some(cause) = &subject.cause {
        add("k", "cause", cause.id.clone());
        add("t", "text of the cause", cause.text.clone());
        add("e", "newest error", cause.sample.clone());
    }
    if let Some(it) = subject.integration.as_deref().and_then(|id| shared.integration(id)) {
        add("n", "integration name", it.name.clone());
        add("I", "integration id", it.id.clone());
        if subject.attempt.is_none() && subject.cause.is_none() && subject.deliveries.is_empty() {
            add("e", "last error", it.last_error.clone());
        }
    }
    if let Some(record) = &subject.record {
        add("Y", "everything as JSON", format!("{record:#}"));
    }
    Menu::letters("Copy", items)
}

/// What is known of an attempt, as JSON.
pub fn attempt_json(it: &crate::console::data::Attempt, detail: Option<&Detail>) -> Value {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let headers = |pairs: &[(String, String)]| {
        Value::Object(pairs.iter().map(|(n, v)| (n.clone(), Value::from(v.clone()))).collect::<Map<_, _>>())
    };
    let call = |call: &Call| {
        json!({
            "method": call.method, "url": call.url, "status": call.status, "duration_ms": call.duration_ms,
            "request_headers": headers(&call.request_headers),
            "request_body": String::from_utf8_lossy(&call.request_body), "request_bytes": call.request_bytes,
            "response_headers": headers(&call.response_headers),
            "response_body": String::from_utf8_lossy(&call.response_body), "response_bytes": call.response_bytes,
        })
    };
    let calls = detail.map(|detail| detail.calls.iter().map(call).collect::<Vec<_>>());
    json!({
        "id": it.id, "delivery_id": some(&it.delivery), "lead": some(&it.lead), "integration": it.integration,
        "number": it.number, "trigger": it.trigger, "state": it.state.word(), "status_code": it.status,
        "failure_class": some(&it.class), "error": some(&it.error), "started_at": it.started_at,
        "duration_ms": it.duration_ms, "calls": calls,
    })
}

/// What is known of an integration, as JSON.
pub fn integration_json(it: &Integration) -> Value {
    json!({
        "id": it.id, "name": it.name, "company_id": it.company_id, "company": it.company,
        "connector": it.connector, "enabled": it.enabled, "badge": it.badge.word().to_lowercase(),
        "last_pushed_at": it.last_pushed_at, "failure_count": it.failures, "dead": it.dead, "held": it.held,
        "pending": it.pending, "last_error": Some(&it.last_error).filter(|error| !error.is_empty()),
        "is_failing": matches!(it.badge, Badge::Failing | Badge::Credentials),
    })
}

/// The request as a command line, whose body is not part of it where it is not kept whole. What identifies us is left out:
/// it is shortened anyway, and must not spread.
fn curl(call: &Call) -> String {
    let private = |name: &str| {
        let name = name.to_lowercase();
        ["authorization", "cookie", "signature", "api-key", "token"].iter().any(|part| name.contains(part))
    };
    let mut parts = vec![format!("curl -X {} {}", call.method, quote(&call.url))];
    let named = call.request_headers.iter().filter(|(name, _)| {
        !private(name) && !["host", "content-length"].contains(&name.to_lowercase().as_str())
    });
    parts.extend(named.map(|(name, value)| format!("-H {}", quote(&format!("{name}: {value}")))));
    if call.is_cut() {
        let (kept, bytes) = (call.request_body.len(), call.request_bytes);
        // Sent as it is, half a body would be refused, or taken for a whole one.
        return format!(
            "# of the body's {bytes} bytes the first {kept} are kept: put the whole one into body.txt\n{} \\\n  --data-binary @body.txt",
            parts.join(" \\\n  ")
        );
    }
    if !call.request_body.is_empty() {
        parts.push(format!("--data-binary {}", quote(&String::from_utf8_lossy(&call.request_body))));
    }
    parts.join(" \\\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_can_be_pasted_and_carries_no_credentials() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let call = Call {
            method: "POST".to_owned(),
            url: "https://x.test/a?b=c".to_owned(),
            request_headers: vec![
                header("content-type", "application/json"),
                header("Authorization", "Bearer 12…"),
                header("webhook-signature", "v1,abc"),
            ],
            request_body: b"{\"n\":\"O'Neil $(x)\"}".to_vec(),
            ..Call::default()
        };
        let expected = "curl -X POST 'https://x.test/a?b=c' \\\n  -H 'content-type: application/json' \\\n  \
                        --data-binary '{\"n\":\"O'\\''Neil $(x)\"}'";
        assert_eq!(curl(&call), expected);
        let cut = Call { request_bytes: 20_000, ..call };
        let expected = "# of the body's 20000 bytes the first 19 are kept: put the whole one into body.txt\n\
                        curl -X POST 'https://x.test/a?b=c' \\\n  -H 'content-type: application/json' \\\n  \
                        --data-binary @body.txt";
        assert_eq!(curl(&cut), expected);
    }
}
