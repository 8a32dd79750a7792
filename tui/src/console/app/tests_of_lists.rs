//! What lists hold: those of one company, those with pages, what restricts them, and what is done with what is marked.

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation, selected};
use crate::console::data::{Answer, BulkTarget, Delivery, DeliveryState, Mutation, Query, SavedSession};
use crate::console::fixtures::answers::{answer, delivery};
use crate::console::fixtures::{self, feed, live, press, serve, visit};
use crate::console::msg::{DaemonRequest, Effect, Msg};

/// What was asked for among these effects.
pub(super) fn asked(effects: &[Effect]) -> Vec<(u64, Query)> {
    let query = |effect: &Effect| match effect {
        Effect::Net(DaemonRequest::Ask { ticket, query }) => Some((*ticket, query.clone())),
        _ => None,
    };
    effects.iter().filter_map(query).collect()
}

pub(super) fn answered(app: &mut App, ticket: u64, answer: Answer) -> Vec<Effect> {
    feed(app, Msg::Answered { ticket, answer: Ok(answer) })
}

/// Deliveries from this number on.
pub(super) fn page(from: usize, count: usize) -> Vec<Delivery> {
    let of = |n: usize| Delivery {
        lead_name: format!("Person {n:03}"),
        ..delivery(&format!("01X{n:04}"), DeliveryState::Dead)
    };
    (from..from + count).map(of).collect()
}

/// Answers pages of 200 out of so many deliveries; the token is the number of the first.
fn paged(app: &mut App, effects: Vec<Effect>, all: usize) {
    let mut open = effects;
    while let Some(effect) = open.pop() {
        let Effect::Net(DaemonRequest::Ask { ticket, query }) = effect else { continue };
        let reply = match &query {
            Query::Deliveries { after, .. } => {
                let from: usize = after.parse().unwrap_or_default();
                let rows = page(from, 200.min(all - from));
                let next = from + rows.len();
                let next = if next < all { next.to_string() } else { String::new() };
                Answer::Deliveries { rows, next, reached: None }
            }
            other => answer(other),
        };
        open.extend(answered(app, ticket, reply));
    }
}

#[test]
fn a_cause_of_one_company_is_that_company_in_list_leads_retry_and_command() {
    let mut app = live(120, 36);
    visit(&mut app, "c r o s e enter");
    let effects = press(&mut app, "2");
    assert!(asked(&effects).iter().any(|(_, it)| matches!(it, Query::Causes { company: Some(7), .. })));
    let effects = serve_but_deliveries(&mut app, effects);
    let leads = asked(&effects);
    let [(_, Query::Deliveries { which, .. })] = &leads[..] else { panic!("{leads:?}") };
    assert_eq!((&*which.cause, which.company), ("c1", Some(7)));
    let effects = press(&mut app, "r");
    let target = BulkTarget::Cause { cause: "c1".to_owned(), company: Some(7) };
    let expected = Mutation::retry(target, true);
    let estimates = asked(&effects);
    let [(_, Query::Estimate(counted))] = &estimates[..] else { panic!("{estimates:?}") };
    assert_eq!(**counted, expected);
    assert!(
        shown(&app).contains("Retry all dead deliveries of this cause of Rosewood Barn?"),
        "{}",
        shown(&app)
    );
    serve(&mut app, effects);
    let effects = press(&mut app, "!");
    let [Effect::Copy { text, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(text.as_str(), "leadline delivery retry --cause c1 --company 7 --re-render");
    assert_eq!(mutation(&press(&mut app, "y")), Some(&expected));
    visit(&mut app, "enter");
    let effects = press(&mut app, "!");
    let [Effect::Copy { what, text }] = &effects[..] else { panic!("{effects:?}") };
    let expected = "leadline delivery list --cause c1 --company 7";
    assert_eq!((&**what, text.as_str()), ("the command", expected), "it is copied as well as shown");
    assert!(shown(&app).contains("y copies it again, any other key"), "{}", shown(&app));
    assert!(shown(&app).contains("leadline delivery list --cause c1 --company 7"), "{}", shown(&app));
}

/// Answers what is asked for but for deliveries; these are left.
fn serve_but_deliveries(app: &mut App, effects: Vec<Effect>) -> Vec<Effect> {
    let (mut left, mut open) = (Vec::new(), effects);
    while let Some(effect) = open.pop() {
        match effect {
            Effect::Net(DaemonRequest::Ask { ticket, query })
                if !matches!(query, Query::Deliveries { .. }) =>
            {
                open.extend(answered(app, ticket, answer(&query)));
            }
            other => left.push(other),
        }
    }
    left
}

#[test]
fn an_answer_about_all_companies_is_not_shown_under_the_chip_of_one() {
    for number in ["2", "3", "4", "5"] {
        let mut app = live(120, 36);
        let before = asked(&press(&mut app, number));
        assert!(!before.is_empty());
        if number == "3" {
            press(&mut app, "esc");
        }
        let effects = press(&mut app, "c o a k enter");
        let after = asked(&effects);
        let narrowed = after.iter().any(|(_, query)| {
            matches!(
                query,
                Query::Causes { company: Some(8), .. }
                    | Query::Find { company: Some(8), .. }
                    | Query::Jobs { company: Some(8), .. }
                    | Query::Activity { company: Some(8), .. }
            )
        });
        assert!(narrowed, "{number}: {after:?}");
        // What was under way for all of them comes late.
        for (ticket, query) in before {
            answered(&mut app, ticket, answer(&query));
        }
        let text = shown(&app);
        for part in ["PROPERTY_DOESNT_EXIST", "Sarah Patel", "✗ 10", "312", "upstream is down"] {
            assert!(!text.contains(part), "{number}: {part}: {text}");
        }
        assert!(text.contains("[Oakfield Hall]") && text.contains("Loading"), "{number}: {text}");
    }
}

#[test]
fn what_was_shown_of_all_companies_goes_when_one_is_picked() {
    let mut app = live(120, 36);
    visit(&mut app, "5");
    assert!(shown(&app).contains("Rosewood"), "{}", shown(&app));
    // Older ones were asked for, too.
    visit(&mut app, "o");
    press(&mut app, "c o a k enter");
    assert!(!shown(&app).contains("Rosewood"), "{}", shown(&app));
    // And from another screen.
    let mut app = live(120, 36);
    visit(&mut app, "2 1");
    press(&mut app, "c o a k enter 2");
    assert!(!shown(&app).contains("PROPERTY_DOESNT_EXIST"), "{}", shown(&app));
    let mut app = live(120, 36);
    visit(&mut app, "c o a k enter 6");
    let text = shown(&app);
    assert!(
        text.contains("Companies 1") && !text.contains("Rosewood") && text.contains("all companies"),
        "{text}"
    );
    assert!(text.contains("1 company silent"), "{text}");
    visit(&mut app, "c r o s e enter");
    assert!(!shown(&app).contains("silent (6)"), "the other company is silent: {}", shown(&app));
}

#[test]
fn more_than_a_page_stays_where_one_is_when_it_is_read_again() {
    let mut app = live(120, 36);
    press(&mut app, "enter");
    let effects = press(&mut app, "v");
    paged(&mut app, effects, 250);
    assert!(shown(&app).contains("Not delivered 200  more: o"), "{}", shown(&app));
    let effects = press(&mut app, "o");
    paged(&mut app, effects, 250);
    assert!(shown(&app).contains("Not delivered 250"), "{}", shown(&app));
    press(&mut app, "end space");
    press(&mut app, "up");
    let before = selected(&app);
    assert!(before.contains("Person 2"), "{before}");
    let later = app.shared.now + jiff::SignedDuration::from_secs(6);
    let effects = app.update(later, Msg::Tick);
    let queries = asked(&effects);
    assert!(
        matches!(&queries[..], [(_, Query::Deliveries { after, .. })] if after.is_empty()),
        "{queries:?}"
    );
    assert!(shown(&app).contains("250  1 marked"), "nothing goes while it is read: {}", shown(&app));
    paged(&mut app, effects, 250);
    assert_eq!(selected(&app), before);
    assert!(shown(&app).contains("250  1 marked"), "{}", shown(&app));
}

#[test]
fn leads_of_a_cause_jobs_and_what_they_touched_say_that_more_follows() {
    let mut app = live(120, 36);
    let effects = press(&mut app, "2");
    paged(&mut app, effects, 450);
    assert!(shown(&app).contains("Leads of this cause 200  more: o"), "{}", shown(&app));
    press(&mut app, "enter *");
    assert_eq!(last(&app), "200 are marked; what follows behind them is not: o shows more");
    let effects = press(&mut app, "o");
    paged(&mut app, effects, 450);
    assert!(shown(&app).contains("Leads of this cause 400  200 marked  more: o"), "{}", shown(&app));
    let mut app = live(120, 36);
    let effects = press(&mut app, "4");
    paged(&mut app, effects, 450);
    assert!(shown(&app).contains("What it touched 200  more: o"), "{}", shown(&app));
    let (ticket, query) = asked(&press(&mut app, "R")).remove(0);
    let Answer::Jobs { rows, .. } = answer(&query) else { panic!("{query:?}") };
    answered(&mut app, ticket, Answer::Jobs { rows, next: "01J1".to_owned() });
    assert!(shown(&app).contains("Jobs 2  more: o"), "{}", shown(&app));
    let effects = press(&mut app, "o");
    let (ticket, _) = asked(&effects).remove(0);
    let effects = answered(&mut app, ticket, Answer::Jobs { rows: Vec::new(), next: "01J1".to_owned() });
    let behind = asked(&effects);
    assert!(
        behind.iter().any(|(_, it)| matches!(it, Query::Jobs { after, .. } if after == "01J1")),
        "{behind:?}"
    );
}

#[test]
fn marks_that_go_with_their_rows_are_counted_everywhere() {
    let mut app = live(120, 36);
    let effects = press(&mut app, "2");
    paged(&mut app, effects, 3);
    press(&mut app, "enter * / p e r s o n enter");
    press(&mut app, "/ space 0 0 1 enter");
    assert_eq!(last(&app), "2 marks dropped: the rows are not shown any more", "{}", shown(&app));
    let mut app = live(120, 36);
    let effects = press(&mut app, "2");
    paged(&mut app, effects, 3);
    press(&mut app, "enter * tab tab");
    press(&mut app, "down");
    assert_eq!(last(&app), "3 marks dropped: the rows are not shown any more", "another cause");
    for keys in ["4 enter", "3 s a r a h enter"] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        visit(&mut app, "*");
        visit(&mut app, "F");
        assert!(last(&app).contains("dropped: the rows are not shown any more"), "{keys}: {}", last(&app));
    }
}

#[test]
fn whatever_restricts_a_list_is_seen_and_esc_takes_it_away() {
    for (keys, chip) in [
        ("v F", "[failing only]"),
        ("2 F", "[dead causes only]"),
        ("2 enter F", "[dead leads only]"),
        ("3 esc F", "[undelivered only]"),
        ("3 s a r a h enter F", "[dead only]"),
        ("4 F", "[jobs with dead only]"),
        ("5 F", "[failed only]"),
        ("6 F", "[silent or failing only]"),
        ("enter v F", "[dead only]"),
        ("2 v", "[snoozed too]"),
    ] {
        let mut app = live(80, 24);
        visit(&mut app, keys);
        assert!(shown(&app).contains(chip), "{keys}: {}", shown(&app));
        if !keys.ends_with('v') {
            visit(&mut app, "esc");
            assert!(!shown(&app).contains(chip), "{keys}: {}", shown(&app));
        }
    }
    // What is narrowed above is not forgotten below.
    let mut app = live(120, 36);
    visit(&mut app, "2 / t o k e n enter enter");
    assert!(shown(&app).contains("[causes /token]"), "{}", shown(&app));
    // And what the last run left.
    let mut app = live(120, 36);
    visit(&mut app, "2 F / t o k e n enter");
    let session: SavedSession = app.remember();
    let mut next = live(120, 36);
    next.recall(session);
    let text = shown(&next);
    assert!(text.contains("[/token]") && text.contains("[dead causes only]"), "{text}");
}

#[test]
fn nothing_opens_for_an_enter_that_was_taken_back() {
    let mut app = live(80, 24);
    visit(&mut app, "3");
    let effects = press(&mut app, "s a r a h enter");
    assert!(asked(&effects).is_empty(), "the answer is under way");
    let mut app = live(80, 24);
    visit(&mut app, "3");
    let (ticket, query) = asked(&press(&mut app, "s a")).pop().unwrap();
    press(&mut app, "enter esc");
    answered(&mut app, ticket, answer(&query));
    assert!(shown(&app).contains("[3 Leads"), "{}", shown(&app));
    // Enter, and away to another number before the answer.
    let mut app = live(80, 24);
    visit(&mut app, "3");
    let (ticket, query) = asked(&press(&mut app, "s a")).pop().unwrap();
    press(&mut app, "esc enter 1");
    answered(&mut app, ticket, answer(&query));
    assert!(shown(&app).contains("[1 Overview]"), "{}", shown(&app));
}

#[test]
fn a_text_that_is_nobodys_name_is_looked_for_anywhere_with_one_key() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s t r i n g space q u a r t e t");
    let text = shown(&app);
    assert!(text.contains("Nobody is called so.") && text.contains("⏎ looks through everything"), "{text}");
    visit(&mut app, "enter");
    let text = shown(&app);
    for part in [
        "anywhere in what leads say",
        "Say so 1, in the newest 5000, back to",
        "string quartet",
        "/lead/message",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Further back, behind what is shown.
    let effects = press(&mut app, "esc o");
    let (ticket, query) = asked(&effects).pop().unwrap();
    let after = "behind".to_owned();
    let sought = "string quartet".to_owned();
    assert_eq!(query, Query::FindAnywhere { text: sought, company: None, after });
    let nobody = Query::FindAnywhere { text: "0".to_owned(), company: None, after: String::new() };
    answered(&mut app, ticket, answer(&nobody));
    assert!(shown(&app).contains("Say so 1, in the newest 10000"), "{}", shown(&app));
    visit(&mut app, "!");
    assert!(shown(&app).contains("leadline lead find 'string quartet' --anywhere"), "{}", shown(&app));
    // What is typed on is a person again.
    visit(&mut app, "esc / s");
    assert!(shown(&app).contains("name, e-mail, phone, uuid"), "{}", shown(&app));
}

#[test]
fn anywhere_is_looked_for_although_somebody_is_called_so() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h esc A");
    assert!(shown(&app).contains("Say so 1"), "{}", shown(&app));
    visit(&mut app, "esc");
    assert!(shown(&app).contains("Found 1"), "{}", shown(&app));
    visit(&mut app, "/ ^u a b esc A");
    let text = shown(&app);
    assert!(text.contains("three characters at least are looked for anywhere"), "{text}");
    // Nobody says a number here.
    let mut app = live(80, 24);
    visit(&mut app, "3 1 2 3 esc A");
    assert!(
        shown(&app).contains("None of the newest 5000 leads says so: o looks further back."),
        "{}",
        shown(&app)
    );
}

#[test]
fn the_overview_shows_what_is_skipped_and_when_deliveries_died() {
    let mut app = live(80, 24);
    let text = shown(&app);
    assert!(text.contains("12 dead, 8 pending; 31 skipped") && text.contains("died in 24 h ▁▁"), "{text}");
    // Coming back at once asks nothing, as each is counted anew for it.
    let effects = press(&mut app, "2");
    serve(&mut app, effects);
    let effects = press(&mut app, "1");
    assert!(!asked(&effects).iter().any(|(_, query)| matches!(query, Query::Figures { .. })), "{effects:?}");
    let mut app = live(120, 36);
    let text = shown(&app);
    assert!(text.contains("in 42s   31 skipped") && text.contains("▁▁▁▁▁█"), "cards: {text}");
    assert!(text.contains("waiting nothing; 2 skipped"), "cards: {text}");
    visit(&mut app, "v");
    let text = shown(&app);
    assert!(text.contains("WAIT  SKIP TREND ") && text.contains("    8    31 ▁▁▁▁▁█ "), "{text}");
    for head in ["  by skip", "  by trend"] {
        let mut app = live(120, 36);
        visit(&mut app, "v");
        while !shown(&app).contains(head) {
            visit(&mut app, ">");
        }
        let before = |app: &App| {
            let text = shown(app);
            text.find("hubspot-eu  ").unwrap() < text.find("acme-webhook  ").unwrap()
        };
        assert!(before(&app), "{head}: {}", shown(&app));
        visit(&mut app, "I");
        assert!(!before(&app), "{head} turned: {}", shown(&app));
    }
}

#[test]
fn jobs_say_what_they_were_asked_to_do() {
    let mut app = live(200, 60);
    visit(&mut app, "4");
    let text = shown(&app);
    assert!(text.contains("retry dead of cause c1 at Rosewood Barn / hubspot-eu, rendered anew"), "{text}");
    visit(&mut app, "/ h u b s p o t enter");
    assert!(shown(&app).contains("Jobs 2"), "{}", shown(&app));
}

#[test]
fn a_company_that_never_had_a_lead_is_waited_for_since_it_was_made() {
    let mut app = live(120, 36);
    for it in &mut app.shared.companies {
        it.last_lead_at = None;
        it.created_at = Some(fixtures::ago(3 * 3600));
    }
    assert_eq!(app.shared.silent(), 0);
    app.shared.companies[0].created_at = Some(fixtures::ago(4 * 3600));
    // Leads are taken in while it is paused, too.
    app.shared.companies[0].paused_at = Some(fixtures::ago(60));
    assert_eq!(app.shared.silent(), 1);
    assert!(shown(&app).contains("1 company silent (6)"), "{}", shown(&app));
}

#[test]
fn integrations_are_sorted_by_any_column() {
    let mut app = live(200, 60);
    visit(&mut app, "v S");
    for head in ["next retry", "last error", "connector", "state"] {
        assert!(shown(&app).contains(head), "{head}: {}", shown(&app));
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..14 {
        visit(&mut app, "esc >");
        let text = shown(&app);
        let by = text.lines().find_map(|line| line.split("  by ").nth(1)).unwrap_or_default();
        seen.insert(by.split("  ").next().unwrap_or_default().trim_matches(['━', '┓', ' ']).to_owned());
    }
    assert!(seen.contains("next retry") && seen.contains("last error"), "{seen:?}");
}
