//! What rows are seen, and how much of each: near misses of a filter, what was not told, and how wide an error is.

use super::App;
use super::pictures::shown;
use super::tests::{last, selected};
use super::tests_of_lists::{answered, asked};
use crate::console::data::system::What;
use crate::console::data::{Activity, Answer, Badge, Query};
use crate::console::fixtures::{self, feed, live, opened, press, visit};
use crate::console::msg::Msg;

#[test]
fn letters_find_what_no_word_does_and_the_chip_says_so() {
    let mut app = live(80, 24);
    visit(&mut app, "v / s l s f r");
    let text = shown(&app);
    assert!(selected(&app).contains("salesforce") && text.contains("fuzzy"), "{text}");
    visit(&mut app, "enter");
    assert!(shown(&app).contains("[/slsfr fuzzy]"), "{}", shown(&app));
    // A word that is there wins, and nothing beside it is shown.
    visit(&mut app, "esc / s a l e s enter");
    let text = shown(&app);
    assert!(text.contains("[/sales]") && text.contains("1 of 7"), "{text}");
    // What has neither is not guessed, nor is a term with a key.
    for keys in ["esc / z q z q z enter", "esc / n a m e : s l s f r enter"] {
        visit(&mut app, keys);
        assert!(shown(&app).contains("Nothing passes the filter: Esc clears it."), "{keys}: {}", shown(&app));
    }
}

/// A page of a hundred attempts that began from this second on.
fn page(from: i64) -> Answer {
    let of = |n: i64| {
        let mut it = fixtures::failed(&format!("X{n:05}"));
        it.started_at = Some(fixtures::ago(100_000 - n));
        Activity {
            id: it.id.clone(),
            at: it.started_at,
            company: it.company.clone(),
            what: What::Attempt(Box::new(it)),
        }
    };
    Answer::Activity { rows: (from..from + 100).rev().map(of).collect(), next: from.to_string() }
}

#[test]
fn more_than_a_page_between_two_looks_is_said_and_asked_for() {
    let mut app = live(120, 36);
    let (ticket, _) = asked(&press(&mut app, "5")).pop().unwrap();
    answered(&mut app, ticket, page(0));
    assert!(!shown(&app).contains("more happened"), "{}", shown(&app));
    let later = app.shared.now + jiff::SignedDuration::from_secs(1);
    let (ticket, _) = asked(&app.update(later, Msg::Happened)).pop().unwrap();
    answered(&mut app, ticket, page(250));
    let text = shown(&app);
    assert!(text.contains("Activity 201  following  more happened than is shown"), "{text}");
    press(&mut app, "g");
    for _ in 0..100 {
        press(&mut app, "down");
    }
    let row = selected(&app);
    assert!(row.contains("more happened") && row.contains("not shown: open it"), "{}", shown(&app));
    assert!(shown(&app).contains("More happened here than was told at once."), "{}", shown(&app));
    let (ticket, query) = asked(&press(&mut app, "enter")).pop().unwrap();
    assert_eq!(query, Query::Activity { company: None, after: "250".to_owned() });
    answered(&mut app, ticket, page(150));
    assert!(shown(&app).contains("more happened than is shown"), "not all of it: {}", shown(&app));
    assert!(selected(&app).contains("11-19 10:19"), "the first of what came: {}", selected(&app));
    let later = app.shared.now + jiff::SignedDuration::from_secs(1);
    let (ticket, _) = asked(&app.update(later, Msg::Happened)).pop().unwrap();
    answered(&mut app, ticket, page(250));
    assert!(shown(&app).contains("Activity 301"), "{}", shown(&app));
}

#[test]
fn what_comes_above_while_one_reads_is_counted_and_moves_nothing() {
    let mut app = live(120, 36);
    let (ticket, _) = asked(&press(&mut app, "5")).pop().unwrap();
    answered(&mut app, ticket, page(0));
    press(&mut app, "down");
    let row = selected(&app);
    let later = app.shared.now + jiff::SignedDuration::from_secs(1);
    let (ticket, _) = asked(&app.update(later, Msg::Happened)).pop().unwrap();
    answered(&mut app, ticket, page(50));
    assert!(shown(&app).contains("Activity 150  ▲ 50 new (f)"), "{}", shown(&app));
    assert_eq!(selected(&app), row);
    press(&mut app, "f");
    assert!(shown(&app).contains("Activity 150  following"), "{}", shown(&app));
}

#[test]
fn reading_anew_reads_all_that_is_shown_and_what_is_told_no_more_goes() {
    let mut app = live(120, 36);
    let (ticket, _) = asked(&press(&mut app, "5")).pop().unwrap();
    answered(&mut app, ticket, page(200));
    let (ticket, query) = asked(&press(&mut app, "o")).pop().unwrap();
    assert_eq!(query, Query::Activity { company: None, after: "200".to_owned() });
    answered(&mut app, ticket, page(100));
    assert!(shown(&app).contains("Activity 200"), "{}", shown(&app));
    press(&mut app, "end");
    let row = selected(&app);
    // Somebody's lead was erased meanwhile.
    let without_one = |mut answer: Answer| {
        if let Answer::Activity { rows, .. } = &mut answer {
            rows.remove(3);
        }
        answer
    };
    let (ticket, query) = asked(&press(&mut app, "R")).pop().unwrap();
    assert_eq!(query, Query::Activity { company: None, after: String::new() });
    let (ticket, query) = asked(&answered(&mut app, ticket, without_one(page(200)))).pop().unwrap();
    assert_eq!(query, Query::Activity { company: None, after: "200".to_owned() }, "as far as it is shown");
    assert!(shown(&app).contains("Activity 200"), "until all of it is there: {}", shown(&app));
    let (ticket, _) = asked(&answered(&mut app, ticket, without_one(page(100)))).pop().unwrap();
    // As one page more is needed for as many as were shown.
    answered(&mut app, ticket, page(0));
    assert!(shown(&app).contains("Activity 298"), "{}", shown(&app));
    assert_eq!(selected(&app), row, "what is told still stays under the hand");
}

#[test]
fn at_the_bound_of_what_is_kept_older_ones_are_refused_in_words() {
    let mut app = live(120, 36);
    let (ticket, _) = asked(&press(&mut app, "5")).pop().unwrap();
    answered(&mut app, ticket, page(9_900));
    for from in (90..99).rev().map(|hundreds| hundreds * 100) {
        let (ticket, _) = asked(&press(&mut app, "o")).pop().unwrap();
        answered(&mut app, ticket, page(from));
    }
    assert!(shown(&app).contains("Activity 1000  following  no older ones are kept here"), "{}", shown(&app));
    assert!(asked(&press(&mut app, "o")).is_empty());
    let said = "no more than 1000 lines are kept here; older: `leadline activity --limit 1000`";
    assert_eq!(last(&app), said);
}

#[test]
fn at_80_columns_the_error_of_an_attempt_has_room() {
    let app = opened(80, 24);
    let text = shown(&app);
    let row = text.lines().find(|line| line.contains("▶")).unwrap();
    assert!(row.contains("upstream is down for maintena"), "{text}");
    assert!(!text.contains(" BY ") && text.contains(" TRY "), "what matters less gives way: {text}");
    let text = shown(&opened(99, 24));
    assert!(text.contains(" BY ") && text.contains("upstream is down for maintenance"), "{text}");
}

#[test]
fn integrations_stand_in_the_order_that_was_asked_for() {
    const NAMES: [&str; 7] = [
        "acme-webhook",
        "hubspot-eu",
        "of-tomorrow",
        "salesforce",
        "sheet-export",
        "warehouse",
        "zapier-hook",
    ];
    let order = |app: &App| -> Vec<&'static str> {
        let text = shown(app);
        let mut rows: Vec<(Option<usize>, &str)> = NAMES.map(|name| (text.find(name), name)).to_vec();
        rows.sort();
        rows.into_iter().map(|(_, name)| name).collect()
    };
    let sorted_by = |app: &App| -> String {
        let text = shown(app);
        let by = text.lines().find_map(|line| line.split("  by ").nth(1)).unwrap_or_default();
        by.split("  ").next().unwrap_or_default().trim_matches(['━', '┓', ' ']).to_owned()
    };
    let mut app = live(200, 60);
    visit(&mut app, "v");
    let worst_first = order(&app);
    // Where two are alike they stand as they did.
    for (by, first) in [
        ("name", &NAMES[..]),
        ("fail", &["hubspot-eu", "salesforce", "acme-webhook", "zapier-hook"]),
        ("dead", &["hubspot-eu", "acme-webhook"]),
        ("held", &["warehouse"]),
        ("wait", &["hubspot-eu"]),
        ("last error", &["salesforce", "sheet-export", "zapier-hook", "hubspot-eu"]),
    ] {
        for _ in 0..14 {
            if sorted_by(&app) == by {
                break;
            }
            visit(&mut app, ">");
        }
        assert_eq!(sorted_by(&app), by);
        let sorted = order(&app);
        let rest = worst_first.iter().filter(|name| !first.contains(name));
        let expected: Vec<&str> = first.iter().chain(rest).copied().collect();
        assert_eq!(sorted, expected, "{by}: {}", shown(&app));
        visit(&mut app, "I");
        let turned: Vec<&str> = sorted.into_iter().rev().collect();
        assert_eq!(order(&app), turned, "{by}, turned");
        visit(&mut app, "I");
    }
}

#[test]
fn an_integration_says_whose_account_it_is_and_what_it_lacks() {
    const ACCOUNT: &str = "account Rosewood Events Ltd (62515)";
    for (width, height) in [(120, 36), (200, 60)] {
        let mut app = live(width, height);
        visit(&mut app, "v");
        let text = shown(&app);
        assert!(text.contains(ACCOUNT) && text.contains("checked 2h 00m ago"), "{width}: {text}");
        visit(&mut app, "enter");
        let text = shown(&app);
        assert!(text.contains(ACCOUNT) && text.contains("checked 2h 00m ago"), "{width}: {text}");
    }
    // Nothing has been refused yet, and yet nothing can be pushed.
    let mut app = live(120, 36);
    visit(&mut app, "1");
    let mut bare = fixtures::integration("01I8", "crm-of-tomorrow", Badge::Ok);
    "hubspot".clone_into(&mut bare.connector);
    bare.has_credentials = false;
    let mut hook = fixtures::integration("01I9", "a-hook", Badge::Ok);
    hook.has_credentials = false;
    feed(&mut app, Msg::Snapshot { version: "0.1.0".to_owned(), integrations: vec![hook.clone()] });
    assert!(!shown(&app).contains("no credentials"), "it takes none: {}", shown(&app));
    feed(&mut app, Msg::Snapshot { version: "0.1.0".to_owned(), integrations: vec![bare, hook] });
    visit(&mut app, "v / c r m enter");
    assert!(shown(&app).contains("no credentials"), "{}", shown(&app));
}
