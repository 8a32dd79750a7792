//! Acts: what a question is about and says that it would do, what a menu goes on with, and what can be undone.

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation, selected};
use super::tests_of_lists::{answered, asked, page};
use crate::console::data::change::{Skipped, Snooze};
use crate::console::data::lead::Explained;
use crate::console::data::{Answer, Badge, DeliveryState, Flow, Mutation, Query};
use crate::console::fixtures::{self, answer, feed, live, press, visit};
use crate::console::msg::{DaemonRequest, Effect, Msg};

/// Answers what is asked for, each answer changed first.
pub(super) fn serve_changed(app: &mut App, effects: Vec<Effect>, change: impl Fn(&mut Answer)) {
    let mut open = effects;
    while let Some(effect) = open.pop() {
        if let Effect::Net(DaemonRequest::Ask { ticket, query }) = effect {
            let mut reply = answer(&query);
            change(&mut reply);
            open.extend(answered(app, ticket, reply));
        }
    }
}

/// The command of the open question, as `!` copies it.
fn command(app: &mut App) -> String {
    let effects = press(app, "!");
    let [Effect::Copy { text, .. }] = &effects[..] else { panic!("{effects:?}: {}", shown(app)) };
    text.as_str().to_owned()
}

#[test]
fn the_command_of_a_question_is_of_the_way_that_is_chosen() {
    for (keys, expected) in [
        ("2 s", "failure snooze c1 --for 24h"),
        ("2 s tab tab left", "failure snooze c1 --for 1h"),
        ("2 s tab tab right", "failure snooze c1 --for 168h"),
        ("r", "delivery retry --integration 01I1"),
        ("r tab tab right", "delivery retry --integration 01I1 --re-render"),
        ("r tab tab tab 60 tab", "delivery retry --integration 01I1 --per-second 1"),
        ("2 r", "delivery retry --cause c1 --re-render"),
        ("2 r tab tab left", "delivery retry --cause c1"),
        ("W", "delivery retry --integration 01I1 --state pending,dead"),
        ("W tab tab left", "delivery retry --waiting --integration 01I1"),
        ("v / w a r e h o u s e enter e", "integration enable 01I4"),
        ("v / w a r e h o u s e enter e tab tab right", "integration enable 01I4 --held release"),
        ("v / w a r e h o u s e enter e tab tab left", "integration enable 01I4 --held skip"),
        ("v / w a r e h o u s e enter a l", "delivery release --integration 01I4 --state held"),
        ("a o tab", "integration rotate-secret 01I1 --grace 86400s"),
        ("a o tab tab tab left left", "integration rotate-secret 01I1 --grace 0s"),
        ("a S tab", "integration rotate-secret 01I1 --staged --hold"),
        ("a S tab tab tab right", "integration rotate-secret 01I1 --staged"),
        ("a y", "company set-plan 7 --plan pro"),
        ("a y right", "company set-plan 7 --plan multi"),
        ("a d", "company pause 7"),
        ("4 X", "job cancel 01J2"),
        ("3 s a r a h enter down P", "lead push 01JD2Q8Z5N3V7K9M4T6X8W1Y2P --company 7 --integration 01I3"),
        ("enter v a h", "delivery hold 01D1"),
        ("enter v a s", "delivery skip 01D1"),
    ] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        assert_eq!(command(&mut app), format!("leadline {expected}"), "{keys}");
    }
}

#[test]
fn a_pace_that_is_none_makes_no_command() {
    let mut app = live(120, 36);
    visit(&mut app, "r tab tab tab x tab");
    assert!(press(&mut app, "!").is_empty());
    assert_eq!(last(&app), "not possible: type how many a minute, or nothing");
}

#[test]
fn a_flow_is_known_by_its_whole_name() {
    let flow = |id: &str, name: &str| Flow {
        id: id.to_owned(),
        company_id: 7,
        name: name.to_owned(),
        when: "true".to_owned(),
        targets: vec![("01I3".to_owned(), "zapier-hook".to_owned())],
        enabled: true,
    };
    for (names, expected) in [
        (&["big"][..], "01F1"),
        (&["big weddings"], "01F2"),
        (&["of another integration", "big weddings", "big"], "01F2"),
        (&[], "01F1"),
    ] {
        let mut app = live(120, 36);
        visit(&mut app, "3 s a r a h");
        let effects = press(&mut app, "enter");
        serve_changed(&mut app, effects, |reply| match reply {
            Answer::Flows(flows) => *flows = vec![flow("01F1", "big"), flow("01F2", "big weddings")],
            Answer::Lead(page) => {
                let skipped = |it: &&mut Explained| it.delivery.state == DeliveryState::Skipped;
                if let Some(it) = page.deliveries.iter_mut().find(skipped) {
                    // What it says names another one: the sentence is for people.
                    (it.delivery.reason, it.why) = ("flow \"big\" not met".to_owned(), String::new());
                    it.delivery.reason_flows = names.iter().map(|name| (*name).to_owned()).collect();
                }
            }
            _ => {}
        });
        visit(&mut app, "down");
        assert_eq!(
            app.top().subject(&app.shared).flow.map(|flow| flow.id).as_deref(),
            Some(expected),
            "{names:?}"
        );
    }
}

#[test]
fn what_a_target_calls_a_lead_is_seen_and_copied() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter");
    let text = shown(&app);
    assert!(text.contains("contact 151   https://app.example.com/contacts/62515/contact/151"), "{text}");
    visit(&mut app, "y");
    let effects = press(&mut app, "1");
    assert!(matches!(&effects[..], [Effect::Copy { text, .. }] if text.as_str() == "151"), "{effects:?}");
    visit(&mut app, "y");
    let effects = press(&mut app, "2");
    assert!(
        matches!(&effects[..], [Effect::Copy { text, .. }] if text.ends_with("/contact/151")),
        "{effects:?}"
    );
    // At another integration there is none.
    visit(&mut app, "down");
    assert!(!shown(&app).contains("contact 151"), "{}", shown(&app));
}

#[test]
fn a_menu_goes_on_with_what_was_selected_when_it_opened() {
    let mut app = live(120, 36);
    visit(&mut app, "a");
    let mut worse = fixtures::integration("01I9", "aaa", Badge::Failing);
    worse.dead = 99;
    feed(&mut app, Msg::Changes { changed: vec![worse], removed: vec![] });
    press(&mut app, "t");
    assert!(shown(&app).contains("Push a test to Rosewood Barn / hubspot-eu?"), "{}", shown(&app));
    // A lead's evidence is that lead's.
    let mut app = live(120, 36);
    visit(&mut app, "2 enter x");
    feed(&mut app, Msg::Refused("something else".to_owned()));
    let effects = press(&mut app, "m");
    let queries = asked(&effects);
    let [(_, Query::Evidence { uuid, company: 7, json: false, mask: true })] = &queries[..] else {
        panic!("{queries:?}")
    };
    assert_eq!(*uuid, fixtures::failed("A").lead);
}

#[test]
fn a_cause_is_snoozed_until_a_time_seen_again_and_woken() {
    let mut app = live(120, 36);
    visit(&mut app, "2 s");
    let text = shown(&app);
    assert!(text.contains("(x) a day") && text.contains("or until as chosen"), "{text}");
    // Behind the ways stands the time.
    press(&mut app, "tab tab tab");
    press(&mut app, "tomorrow");
    press(&mut app, "space 8:00");
    assert!(shown(&app).contains("2026-11-21 08:00:00 UTC"), "{}", shown(&app));
    press(&mut app, "tab");
    assert_eq!(command(&mut app), "leadline failure snooze c1 --until 2026-11-21T08:00:00Z");
    let until = Snooze::Until("2026-11-21T08:00:00Z".parse().unwrap());
    let expected = Mutation::Snooze { cause: "c1".to_owned(), until };
    assert_eq!(mutation(&press(&mut app, "y")), Some(&expected));
    let mut app = live(120, 36);
    visit(&mut app, "2 s tab tab tab s o o n");
    press(&mut app, "tab");
    assert!(mutation(&press(&mut app, "y")).is_none());
    assert_eq!(last(&app), "not possible: type a time to come, or nothing");

    let mut app = live(120, 36);
    visit(&mut app, "2");
    assert!(!shown(&app).contains("502 Bad Gateway"), "{}", shown(&app));
    visit(&mut app, "v end");
    assert!(selected(&app).contains("(snoozed) 502"), "{}", shown(&app));
    visit(&mut app, "s");
    assert!(shown(&app).contains("Put this cause back on the list?"), "{}", shown(&app));
    let expected = Mutation::Snooze { cause: "c3".to_owned(), until: Snooze::End };
    assert_eq!(mutation(&press(&mut app, "y")), Some(&expected));
}

#[test]
fn the_skip_of_a_job_is_undone_as_a_whole_and_by_its_number() {
    let mut app = live(120, 36);
    let effects = press(&mut app, "4");
    serve_changed(&mut app, effects, |reply| {
        if let Answer::Jobs { rows, .. } = reply {
            rows.iter_mut().for_each(|job| (job.kind, job.state) = ("skip".to_owned(), "done".to_owned()));
        }
    });
    visit(&mut app, "a u");
    assert!(shown(&app).contains("Put back all 312 that this job skipped?"), "{}", shown(&app));
    assert!(mutation(&press(&mut app, "y")).is_none(), "its number is typed");
    press(&mut app, "esc a u");
    let effects = press(&mut app, "312 enter");
    assert_eq!(mutation(&effects), Some(&Mutation::Unskip(Skipped::Job("01J2".to_owned()))));
    // A retry skipped nothing.
    let mut app = live(120, 36);
    visit(&mut app, "4 a u");
    assert_eq!(last(&app), "not possible: this job skipped nothing");
}

#[test]
fn many_skips_are_undone_by_their_number() {
    let mut app = live(120, 36);
    press(&mut app, "enter");
    let effects = press(&mut app, "v");
    serve_changed(&mut app, effects, |reply| {
        if let Answer::Deliveries { rows, .. } = reply {
            *rows = page(0, 12);
            rows.iter_mut().for_each(|it| it.state = DeliveryState::Skipped);
        }
    });
    press(&mut app, "* a u");
    assert!(shown(&app).contains("Put 12 skipped deliveries back?"), "{}", shown(&app));
    assert!(mutation(&press(&mut app, "y")).is_none());
    press(&mut app, "esc a u");
    let effects = press(&mut app, "12 enter");
    assert!(matches!(mutation(&effects), Some(Mutation::Unskip(Skipped::Ids(ids))) if ids.len() == 12));
}

#[test]
fn a_job_is_cancelled_in_numbers_that_leave_out_what_it_left_alone() {
    let mut app = live(120, 36);
    visit(&mut app, "4 X");
    let text = shown(&app);
    // Of 312 it has brought back 120, and left 3 alone.
    for part in [
        "Cancel this job: 189 of 312 not yet in the queue?",
        "what is in the queue already is pushed; the rest stays as it is, and",
        "the job can be resumed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(mutation(&press(&mut app, "y")), Some(&Mutation::CancelJob { job: "01J2".to_owned() }));
}

#[test]
fn the_same_key_twice_copies_evidence() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter");
    press(&mut app, "x");
    let queries = asked(&press(&mut app, "x"));
    assert!(
        matches!(&queries[..], [(_, Query::Evidence { json: false, mask: false, company: 7, .. })]),
        "{queries:?}"
    );
}

/// Two flows send to the integration that is third on the page of its company.
fn two_flows(app: &mut App) {
    let flow = |id: &str, name: &str| Flow {
        id: id.to_owned(),
        company_id: 7,
        name: name.to_owned(),
        when: "lead.guest_count > 150".to_owned(),
        targets: vec![("01I3".to_owned(), "zapier-hook".to_owned())],
        enabled: true,
    };
    let effects = press(app, "C");
    serve_changed(app, effects, |reply| {
        if let Answer::Company(page) = reply {
            page.flows = vec![flow("01F1", "big weddings"), flow("01F2", "far away")];
        }
    });
    press(app, "down down");
    assert!(selected(app).contains("zapier-hook"), "{}", shown(app));
}

#[test]
fn a_flow_that_sends_nowhere_any_more_is_still_the_one_that_was_opened() {
    let mut app = live(120, 36);
    two_flows(&mut app);
    press(&mut app, ": f l o w space f a r");
    let effects = press(&mut app, "enter");
    serve_changed(&mut app, effects, |reply| {
        if let Answer::Company(page) = reply {
            let mut far = page.flows[0].clone();
            (far.id, far.name, far.targets) = ("01F2".to_owned(), "far away".to_owned(), Vec::new());
            let everywhere = (1..9).map(|n| (format!("01I{n}"), format!("integration {n}")));
            page.flows[0].targets = everywhere.collect();
            page.flows.push(far);
        }
    });
    press(&mut app, "E");
    assert!(shown(&app).contains("Flow far away"), "{}", shown(&app));
}

#[test]
fn the_second_flow_of_an_integration_is_edited_tried_and_switched() {
    let mut app = live(120, 36);
    two_flows(&mut app);
    press(&mut app, "E");
    let text = shown(&app);
    assert!(text.contains("Edit which flow?") && text.contains("far away: lead.guest_count > 150"), "{text}");
    let effects = press(&mut app, "down enter");
    let tried = asked(&effects);
    let [(_, Query::TestFlow { flow, .. })] = &tried[..] else { panic!("{tried:?}") };
    assert_eq!(flow, "01F2");
    fixtures::serve(&mut app, effects);
    let text = shown(&app);
    assert!(text.contains("Flow far away") && text.contains("61 would go"), "{text}");
    visit(&mut app, "0 enter");
    let when = "lead.guest_count > 1500".to_owned();
    let expected = Mutation::FlowWhen { flow: "01F2".to_owned(), when };
    assert_eq!(mutation(&press(&mut app, "^s")), Some(&expected));
    let mut app = live(120, 36);
    two_flows(&mut app);
    press(&mut app, "a g");
    assert!(shown(&app).contains("Switch which flow?"), "{}", shown(&app));
    press(&mut app, "f a r enter");
    assert!(shown(&app).contains("Disable the flow far away?"), "{}", shown(&app));
    let expected = Mutation::FlowEnabled { flow: "01F2".to_owned(), enabled: false };
    assert_eq!(mutation(&press(&mut app, "y")), Some(&expected));
    // The only one that sends there is meant at once; where none does, any of the company's may be.
    let mut app = live(120, 36);
    visit(&mut app, "C down down E");
    assert!(shown(&app).contains("Flow big weddings"), "{}", shown(&app));
    visit(&mut app, "esc up E");
    assert!(shown(&app).contains("Edit which flow?"), "{}", shown(&app));
}

#[test]
fn an_act_is_done_to_the_integration_that_is_named_with_it() {
    let hook = |id: &str, name: &str, badge| fixtures::integration(id, name, badge);
    let mut other = hook("01IA", "hook", Badge::Failing);
    (other.company_id, other.company) = (17, "Mill House".to_owned());
    let changed = vec![other, hook("01I9", "hook-2", Badge::Failing), hook("01I8", "hook", Badge::Ok)];
    for (keys, question) in [
        // What is said of it is no reason to jump there.
        ("credentials space 7/salesforce", "New credentials of Rosewood Barn / salesforce"),
        ("test space acme", "Push a test to Rosewood Barn / acme-webhook?"),
        ("disable space 7/sheet", "Disable Rosewood Barn / sheet-export?"),
        ("enable space 7/warehouse", "Enable Rosewood Barn / warehouse?"),
        // Who is called so altogether comes before what is worse and begins so.
        ("stage space 7/hook", "Stage a new signing secret for Rosewood Barn / hook?"),
        ("stage space 7/hook-2", "Stage a new signing secret for Rosewood Barn / hook-2?"),
        ("rotate space 7/hook tab", "Rotate the signing secret of Rosewood Barn / hook?"),
        ("rotate space 17/ho", "Rotate the signing secret of Mill House / hook?"),
        ("push space what space waits space 7/hub", "Push now what waits for Rosewood Barn / hubspot-eu?"),
        ("retry space 7/acme-webhook", "Retry every dead delivery of Rosewood Barn / acme-webhook?"),
    ] {
        let mut app = live(120, 36);
        feed(&mut app, Msg::Changes { changed: changed.clone(), removed: vec![] });
        visit(&mut app, &format!(": {keys} enter"));
        assert!(shown(&app).contains(question), "{keys}: {}", shown(&app));
    }
    let mut app = live(120, 36);
    visit(&mut app, ": cut space over space 7/acme enter");
    assert_eq!(last(&app), "not possible: no secret is staged");
    visit(&mut app, ": disable space 7/warehouse enter");
    assert_eq!(last(&app), "not possible: is disabled already");
    visit(&mut app, "esc : disable space 7/ware");
    assert!(!shown(&app).contains("disable: 7/warehouse"), "it is disabled already: {}", shown(&app));
}

#[test]
fn what_was_switched_while_it_was_chosen_is_not_switched_back() {
    let mut app = live(120, 36);
    visit(&mut app, ": disable space 7/acme-webhook");
    let acme = app.shared.integrations.iter().find(|it| it.name == "acme-webhook");
    let mut off = acme.unwrap().clone();
    off.enabled = false;
    feed(&mut app, Msg::Changes { changed: vec![off], removed: vec![] });
    press(&mut app, "enter");
    assert_eq!(last(&app), "not possible: is disabled already");
    assert!(app.dialog.is_none());
}

#[test]
fn the_pace_may_be_typed_behind_the_count() {
    let mut app = live(120, 36);
    let effects = press(&mut app, "W");
    serve_changed(&mut app, effects, |reply| {
        if let Answer::Estimate(estimate) = reply {
            estimate.count = 12;
        }
    });
    // A pace alone confirms nothing.
    assert!(mutation(&press(&mut app, "up 60 enter")).is_none());
    let effects = press(&mut app, "12 up enter");
    let at_60 = matches!(mutation(&effects), Some(Mutation::Retry { per_minute: Some(60), .. }));
    assert!(at_60, "{effects:?}: {}", shown(&app));
}
