//! What is found anywhere in what leads say: nothing of it goes while one looks further back, opens a lead or comes back.

use jiff::SignedDuration;

use super::App;
use super::pictures::shown;
use super::tests::{last, lost, selected};
use super::tests_of_lists::{answered, asked};
use crate::console::data::lead::Searched;
use crate::console::data::{Answer, Lead, Query, Who};
use crate::console::fixtures::answers::answer;
use crate::console::fixtures::{feed, live, press, refused, visit};
use crate::console::msg::{Effect, Msg};

/// So many leads that say it, from this number on; there are older ones.
fn said(from: usize, count: usize) -> Answer {
    let anywhere = Query::FindAnywhere { text: "quartet".to_owned(), company: None, after: String::new() };
    let Answer::Leads { rows, searched, .. } = answer(&anywhere) else { panic!("leads are answered") };
    let of =
        |n: usize| Lead { uuid: format!("01L{n:04}"), name: format!("Person {n:03}"), ..rows[0].clone() };
    Answer::Leads { rows: (from..from + count).map(of).collect(), more: false, searched }
}

/// The searches anywhere among what is asked for: where each begins.
fn searches(effects: &[Effect]) -> Vec<String> {
    let after = |(_, query): (u64, Query)| match query {
        Query::FindAnywhere { after, .. } => Some(after),
        _ => None,
    };
    asked(effects).into_iter().filter_map(after).collect()
}

/// Five are found anywhere.
fn found() -> App {
    let mut app = live(80, 24);
    visit(&mut app, "3 q u a r t e t");
    let (ticket, _) = asked(&press(&mut app, "enter")).pop().unwrap();
    answered(&mut app, ticket, said(1, 5));
    press(&mut app, "esc");
    assert!(shown(&app).contains("Say so 5") && selected(&app).contains("Person 001"), "{}", shown(&app));
    app
}

/// What `o` asks for.
fn older(app: &mut App) -> u64 {
    let (ticket, query) = asked(&press(app, "o")).pop().unwrap();
    assert!(matches!(query, Query::FindAnywhere { after, .. } if after == "behind"));
    ticket
}

#[test]
fn enter_opens_the_row_under_the_cursor_while_older_ones_are_looked_for() {
    let mut app = found();
    let ticket = older(&mut app);
    let effects = press(&mut app, "down down down enter");
    let opened = asked(&effects);
    assert!(
        opened.iter().any(|(_, query)| matches!(query, Query::Lead { uuid, .. } if uuid == "01L0004")),
        "{opened:?}"
    );
    answered(&mut app, ticket, said(6, 5));
    let effects = press(&mut app, "esc");
    assert!(searches(&effects).is_empty(), "{effects:?}");
    let text = shown(&app);
    assert!(
        text.contains("Say so 10, in the newest 10000") && selected(&app).contains("Person 004"),
        "{text}"
    );
}

#[test]
fn looking_further_moves_no_cursor_and_says_why_it_failed() {
    let mut app = found();
    press(&mut app, "down down");
    let ticket = older(&mut app);
    answered(&mut app, ticket, said(6, 5));
    assert!(shown(&app).contains("Say so 10") && selected(&app).contains("Person 003"), "{}", shown(&app));
    let ticket = older(&mut app);
    feed(&mut app, Msg::Answered { ticket, answer: Err(refused("two searches run already")) });
    let text = shown(&app);
    assert!(text.contains("looking further: two searches run already"), "{text}");
    assert!(text.contains("Say so 10, in the newest 10000, back to"), "{text}");
    assert!(selected(&app).contains("Person 003"), "{text}");
    // Nothing was further back: what was looked through before still goes as far.
    let ticket = older(&mut app);
    let none = Searched { leads: 0, back_to: None, next: String::new() };
    answered(&mut app, ticket, Answer::Leads { rows: Vec::new(), more: false, searched: Some(none) });
    let text = shown(&app);
    assert!(text.contains("Say so 10, in the newest 10000, back to 11-10"), "{text}");
    assert!(!text.contains("looks further"), "{text}");
}

#[test]
fn the_cursor_stays_where_it_was_moved_until_other_words_are_typed() {
    let called = |count: usize| match said(1, count) {
        Answer::Leads { rows, more, .. } => Answer::Leads { rows, more, searched: None },
        other => other,
    };
    let answers = |app: &mut App, keys: &str| {
        let effects = press(app, keys);
        for (ticket, query) in asked(&effects) {
            if matches!(query, Query::Find { .. }) {
                answered(app, ticket, called(5));
            }
        }
    };
    let mut app = live(80, 24);
    answers(&mut app, "3");
    answers(&mut app, "sarah");
    press(&mut app, "down down");
    // Moved before the answer to what was asked again, and after it.
    press(&mut app, "esc");
    answers(&mut app, "1");
    answers(&mut app, "3");
    assert!(selected(&app).contains("Person 003"), "{}", shown(&app));
    press(&mut app, "enter");
    answers(&mut app, "esc");
    assert!(selected(&app).contains("Person 003"), "{}", shown(&app));
    answers(&mut app, "/ x");
    assert!(selected(&app).contains("Person 001"), "{}", shown(&app));
}

#[test]
fn what_was_found_anywhere_is_kept_until_it_is_reloaded() {
    let mut app = found();
    let ticket = older(&mut app);
    answered(&mut app, ticket, said(6, 5));
    press(&mut app, "down enter");
    for keys in ["esc", "1 3", "A"] {
        let mut effects = Vec::new();
        for key in keys.split(' ') {
            effects.extend(press(&mut app, key));
        }
        assert!(searches(&effects).is_empty(), "{keys}: {effects:?}");
        let text = shown(&app);
        assert!(text.contains("Say so 10") && selected(&app).contains("Person 002"), "{keys}: {text}");
    }
    assert_eq!(searches(&press(&mut app, "R")), [""]);
    // Nor is a search begun twice.
    let mut app = live(80, 24);
    visit(&mut app, "3 q u a r t e t");
    assert_eq!(searches(&press(&mut app, "enter")), [""]);
    press(&mut app, "esc 1");
    assert!(searches(&press(&mut app, "3")).is_empty());
}

#[test]
fn for_whom_people_are_masked_nothing_is_looked_for_anywhere() {
    let mut app = live(80, 24);
    let who = Who {
        operator: "token mara".to_owned(),
        role: "viewer".to_owned(),
        company: String::new(),
        masked: true,
        may: std::collections::BTreeSet::new(),
    };
    feed(&mut app, Msg::Who(who));
    visit(&mut app, "3 q u a r t e t");
    let text = shown(&app);
    assert!(text.contains("Nobody is called so.") && !text.contains("looks through everything"), "{text}");
    assert!(asked(&after(&mut app, 5000)).iter().all(|(_, it)| !matches!(it, Query::FindAnywhere { .. })));
    for keys in ["enter", "esc A"] {
        let effects = press(&mut app, keys);
        assert!(asked(&effects).is_empty(), "{keys}: {effects:?}");
        assert_eq!(
            last(&app),
            "not possible: people are masked for you, and what leads say names them",
            "{keys}"
        );
        app.shared.messages.clear();
    }
}

#[test]
fn while_away_nothing_of_the_other_search_is_shown() {
    let mut app = found();
    feed(&mut app, lost());
    press(&mut app, "esc");
    let text = shown(&app);
    assert!(text.contains("not connected: it is looked for once the daemon is back"), "{text}");
    assert!(!text.contains("Person 001") && text.contains("name, e-mail, phone, uuid"), "{text}");
    press(&mut app, "A");
    assert_eq!(last(&app), "not possible: not connected");
    assert!(shown(&app).contains("name, e-mail, phone, uuid"), "{}", shown(&app));
    // The other way round: people are no leads that say so.
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h esc");
    feed(&mut app, lost());
    press(&mut app, "A");
    let text = shown(&app);
    assert!(text.contains("Found 1") && text.contains("name, e-mail, phone, uuid"), "{text}");
}

/// What is asked for after so much more time.
fn after(app: &mut App, millis: i64) -> Vec<Effect> {
    let later = app.shared.now + SignedDuration::from_millis(millis);
    app.update(later, Msg::Tick)
}

#[test]
fn where_nobody_is_called_so_it_looks_anywhere_by_itself_after_a_pause() {
    let mut app = live(80, 24);
    visit(&mut app, "3 q u a r t e t");
    assert!(shown(&app).contains("Nobody is called so."), "{}", shown(&app));
    let due = app.next_change().unwrap();
    assert!(due <= app.shared.now + SignedDuration::from_secs(1), "somebody wakes it: {due}");
    assert!(searches(&after(&mut app, 900)).is_empty());
    // A letter more begins the pause anew.
    visit(&mut app, "t");
    assert!(searches(&after(&mut app, 900)).is_empty());
    let effects = after(&mut app, 100);
    assert_eq!(searches(&effects), [""]);
    // It is asked for once, and an Enter that was meant for it opens nothing.
    assert!(searches(&after(&mut app, 2000)).is_empty());
    assert!(searches(&press(&mut app, "enter")).is_empty());
    let (ticket, _) = asked(&effects).pop().unwrap();
    answered(&mut app, ticket, said(1, 5));
    let text = shown(&app);
    assert!(text.contains("Say so 5, in the newest 5000, back to") && text.contains("[3 Leads"), "{text}");
    // Names again, and not the same by itself a second time.
    visit(&mut app, "esc esc");
    assert!(shown(&app).contains("Nobody is called so."), "{}", shown(&app));
    assert!(searches(&after(&mut app, 5000)).is_empty());
    assert_eq!(searches(&press(&mut app, "A")), [""]);
}

#[test]
fn the_next_letter_gives_a_search_anywhere_up() {
    let mut app = live(80, 24);
    visit(&mut app, "3 q u a r t e t");
    let effects = after(&mut app, 1000);
    let (ticket, _) = asked(&effects).pop().unwrap();
    let effects = press(&mut app, "x");
    assert!(matches!(asked(&effects)[..], [(_, Query::Find { .. })]), "{effects:?}");
    answered(&mut app, ticket, said(1, 5));
    assert!(!shown(&app).contains("Person 001"), "{}", shown(&app));
}

#[test]
fn nothing_is_looked_for_by_itself_where_somebody_is_found_or_it_is_too_short() {
    for keys in ["3 s a r a h", "3 q u", "3"] {
        let mut app = live(80, 24);
        visit(&mut app, keys);
        assert!(searches(&after(&mut app, 5000)).is_empty(), "{keys}");
    }
}

#[test]
fn a_cursor_that_moves_in_the_words_asks_for_nothing() {
    let mut app = live(80, 24);
    visit(&mut app, "3 q u a r t e t");
    let (ticket, _) = asked(&press(&mut app, "enter")).pop().unwrap();
    answered(&mut app, ticket, said(1, 5));
    for key in ["left", "left", "right"] {
        let effects = press(&mut app, key);
        assert!(asked(&effects).is_empty(), "{key}: {effects:?}");
        assert!(shown(&app).contains("Say so 5"), "{key}: {}", shown(&app));
    }
}
