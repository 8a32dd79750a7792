//! Panes: what an act means where the one that has the keys lists nothing, and what is seen of each.

use std::path::Path;

use super::App;
use super::pictures::shown;
use super::tests::{last, lost, mutation, selected};
use super::tests_of_acts::serve_changed;
use super::tests_of_lists::{answered, asked};
use crate::config::Config;
use crate::console::data::{Answer, Conn, DeliveryState, Done, Job, Query};
use crate::console::fixtures::{
    answer, attempts, failed, feed, live, now, opened, press, refused, serve, setup, visit,
};
use crate::console::keymap::{Action, Keymap};
use crate::console::msg::{DaemonRequest, Effect, Msg};
use crate::console::screen::NO_ROW;

/// A console that these keys have led to, by a daemon that lists no delivery.
fn without_deliveries(keys: &str) -> App {
    let mut app = live(120, 36);
    for word in keys.split(' ') {
        let effects = press(&mut app, word);
        serve_changed(&mut app, effects, |reply| {
            if let Answer::Deliveries { rows, .. } = reply {
                rows.clear();
            }
        });
    }
    app
}

#[test]
fn an_act_in_a_pane_that_lists_nothing_means_nothing_and_says_so() {
    for (place, acts) in [
        ("2 enter", &["r", "K", "m", "t", "e", "s", "W", "i", "T", "x", "Y", "enter", "a h", "a o"][..]),
        ("4 enter", &["r", "T", "x", "enter", "a u"]),
        ("enter v", &["r", "T", "x", "enter", "d", "a h", "a l"]),
        ("enter", &["r", "T", "x", "enter", "d", "p", "a s"]),
    ] {
        for act in acts {
            let mut app = without_deliveries(place);
            let effects = press(&mut app, act);
            assert!(last(&app).ends_with(NO_ROW), "{place}, {act}: {}\n{}", last(&app), shown(&app));
            let asks = effects.iter().any(|it| matches!(it, Effect::Net(DaemonRequest::Ask { .. })));
            assert!(!asks && mutation(&effects).is_none(), "{place}, {act}: {effects:?}");
        }
    }
}

#[test]
fn what_the_screen_itself_is_about_is_acted_on_without_rows_too() {
    for (keys, question) in [
        ("enter t", "Push a test to Rosewood Barn / hubspot-eu?"),
        ("4 enter X", "Cancel this job:"),
        // Above the empty pane the cause is meant again.
        ("2 enter esc r", "Retry all dead deliveries of this cause?"),
    ] {
        let app = without_deliveries(keys);
        assert!(shown(&app).contains(question), "{keys}: {}", shown(&app));
    }
}

#[test]
fn a_filter_that_leaves_no_row_leaves_nothing_to_act_on() {
    let mut app = live(120, 36);
    visit(&mut app, "2 enter / z q z q z enter");
    assert!(shown(&app).contains("Nothing passes the filter"), "{}", shown(&app));
    press(&mut app, "r");
    assert_eq!(last(&app), format!("not possible: {NO_ROW}"));
    assert!(app.dialog.is_none(), "{}", shown(&app));
}

#[test]
fn one_pane_has_all_moves_where_there_is_no_other() {
    let mut app = opened(80, 24);
    visit(&mut app, "enter");
    let before = shown(&app);
    press(&mut app, "tab");
    assert_eq!(last(&app), "there is one pane only");
    press(&mut app, "down down");
    assert!(before.contains("2/5  18/39") && shown(&app).contains("2/5  20/39"), "{}", shown(&app));
    // Where there are two, it is the other one that moves.
    let mut app = opened(120, 36);
    visit(&mut app, "enter");
    assert!(shown(&app).contains("┏ Request"), "{}", shown(&app));
    press(&mut app, "tab");
    assert!(shown(&app).contains("┏ Response"), "{}", shown(&app));
    // Whoever is faster than the first picture and the answer moves there, too.
    let mut app = opened(120, 36);
    let effects = press(&mut app, "enter");
    press(&mut app, "tab");
    serve(&mut app, effects);
    assert!(shown(&app).contains("┏ Response"), "{}", shown(&app));
}

#[test]
fn beside_the_page_of_a_cause_causes_are_narrowed_and_its_leads_opened() {
    let mut app = live(80, 24);
    visit(&mut app, "2 tab tab / t o k e n enter");
    let text = shown(&app);
    assert!(text.contains("[/token]") && text.contains("Failures by cause 1 of 2"), "{text}");
    press(&mut app, "w");
    assert!(shown(&app).contains("cut (w wraps)"), "{}", shown(&app));
    visit(&mut app, "enter");
    assert!(shown(&app).contains("Leads of this cause"), "{}", shown(&app));
    // So it is beside other pages.
    let mut app = live(80, 24);
    visit(&mut app, "6 tab / o a k enter");
    assert!(shown(&app).contains("Companies 1 of 2"), "{}", shown(&app));
    // From the list of causes, too.
    let mut app = live(80, 24);
    visit(&mut app, "2 w");
    assert!(shown(&app).contains("cut (w wraps)"), "{}", shown(&app));
}

#[test]
fn asking_for_more_than_there_is_says_so() {
    for keys in ["2 o", "4 o", "4 enter o", "enter v o", "3 esc o"] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        assert_eq!(last(&app), "that is all there is", "{keys}");
    }
    let mut app = opened(120, 36);
    press(&mut app, "o");
    assert_eq!(last(&app), "that is all there is");
    // Of those who are called so, the newest are shown.
    let mut app = live(120, 36);
    let (ticket, _) = asked(&press(&mut app, "3")).pop().unwrap();
    answered(&mut app, ticket, Answer::Leads { rows: Vec::new(), more: true, searched: None });
    press(&mut app, "esc o");
    assert_eq!(last(&app), "no more of them are shown: type on");
}

#[test]
fn nothing_older_is_asked_for_while_the_daemon_is_away() {
    for keys in ["2", "4", "5", "enter v", "3 esc"] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        feed(&mut app, lost());
        assert!(press(&mut app, "o").is_empty(), "{keys}");
        assert_eq!(last(&app), "not possible: not connected", "{keys}");
    }
}

/// Answers a reload with a cause and a job above those that were first before.
fn reload_below_others(app: &mut App) {
    let effects = press(app, "R");
    serve_changed(app, effects, |reply| match reply {
        Answer::Causes { rows, .. } => rows.reverse(),
        Answer::Jobs { rows, .. } => {
            let newer = Job { id: "01J3".to_owned(), ..rows[0].clone() };
            rows.insert(0, newer);
        }
        _ => {}
    });
}

#[test]
fn whoever_goes_on_below_a_row_keeps_it_whatever_comes_above_it() {
    for (keys, command) in [
        ("2 enter space", "leadline delivery list --cause c1"),
        ("4 enter space", "leadline delivery list --job 01J2"),
    ] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        reload_below_others(&mut app);
        assert_eq!(app.top().command(&app.shared), command, "{}", shown(&app));
        assert!(shown(&app).contains("1 marked"), "{keys}: {}", shown(&app));
    }
    // The page of a cause, and that of an attempt, stay those that are read.
    let mut app = live(120, 36);
    visit(&mut app, "2 tab tab");
    reload_below_others(&mut app);
    assert_eq!(app.top().subject(&app.shared).cause.unwrap().id, "c1");
    let mut app = live(120, 36);
    press(&mut app, "enter");
    let news = |attempts, first| Msg::Attempts { integration: "01I1".to_owned(), attempts, first };
    feed(&mut app, news(attempts(), true));
    press(&mut app, "tab");
    let read = selected(&app);
    let mut newer = failed("A9");
    newer.started_at = Some(now());
    feed(&mut app, news(vec![newer], false));
    assert_eq!(selected(&app)[..20], read[..20]);
    assert!(shown(&app).contains("▲ 1 new (f)"), "{}", shown(&app));
}

#[test]
fn what_panes_say_of_keys_is_by_the_readers_own() {
    let mut app = live(120, 36);
    let own = "[keys]\nolder = \"ctrl-n\"\nlayout = \"none\"\n";
    app.shared.setup.keymap = Config::parse(own, Path::new("/x/config.toml")).unwrap().keymap().clone();
    let (ticket, query) = asked(&press(&mut app, "4")).remove(0);
    let Answer::Jobs { rows, .. } = answer(&query) else { panic!("{query:?}") };
    answered(&mut app, ticket, Answer::Jobs { rows, next: "01J1".to_owned() });
    assert!(shown(&app).contains("Jobs 2  more: ^n"), "{}", shown(&app));
    press(&mut app, "1 enter");
    feed(&mut app, Msg::Attempts { integration: "01I1".to_owned(), attempts: Vec::new(), first: true });
    let text = shown(&app);
    assert!(text.contains("No attempt yet") && !text.contains("shows what waits"), "{text}");
}

#[test]
fn how_an_integration_is_made_is_by_the_readers_own_key() {
    let mut app = live(120, 36);
    let keys = [(Action::NewIntegration, vec!["ctrl-n".parse().unwrap()])];
    app.shared.setup.keymap = Keymap::with(&keys.into(), []).unwrap();
    visit(&mut app, "C");
    let removed = app.shared.integrations.iter().map(|it| it.id.clone()).collect();
    feed(&mut app, Msg::Changes { changed: Vec::new(), removed });
    assert!(shown(&app).contains("It has no integration yet: ^n makes one"), "{}", shown(&app));
}

#[test]
fn what_to_do_is_not_cut_at_80_columns() {
    let mut app = live(80, 24);
    let error = "no daemon answers at unix:/run/leadline/control.sock (nobody listens); start `leadlined`";
    let lost = Conn::Lost { error: error.to_owned(), retry_at: now(), attempt: 4, heard_at: None };
    feed(&mut app, Msg::Conn(lost));
    assert!(shown(&app).contains("start `leadlined`"), "{}", shown(&app));
    let mut app = live(80, 24);
    visit(&mut app, "?");
    for part in ["state:held  died:<2h", "? unknown  ⏸ disabled  ✓ ok"] {
        assert!(shown(&app).contains(part), "{part}: {}", shown(&app));
    }
    let mut app = live(80, 24);
    visit(&mut app, "4");
    assert!(shown(&app).contains("retry dead of cause c1 at Rosewood Barn"), "{}", shown(&app));
    visit(&mut app, "2");
    assert!(selected(&app).contains("hubspot PROPERTY_DOESNT_EXIST lead"), "{}", shown(&app));
}

#[test]
fn an_attempt_knows_its_company_and_a_test_says_that_it_is_one() {
    for keys in ["5 C", "5 enter C"] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        assert_eq!(app.top().command(&app.shared), "leadline company show 7", "{keys}: {}", shown(&app));
    }
    let app = opened(120, 36);
    assert!(shown(&app).contains("(test)"), "{}", shown(&app));
}

#[test]
fn a_list_that_could_not_be_read_says_why_and_does_not_seem_to_be_on_its_way() {
    let error =
        "permission denied: vera is viewer here and may not (ListDeliveries): ask an admin for another role";
    for (keys, head) in [
        ("2", "Failures by cause"),
        ("2 enter", "Leads of this cause"),
        ("4", "What it touched"),
        ("enter v", "Not delivered"),
        ("5", "Activity"),
    ] {
        let mut app = live(80, 24);
        for word in keys.split(' ') {
            let mut open = press(&mut app, word);
            while let Some(effect) = open.pop() {
                let Effect::Net(DaemonRequest::Ask { ticket, query }) = effect else { continue };
                let is_asked = match query {
                    Query::Causes { .. } => keys == "2",
                    Query::Deliveries { .. } | Query::Activity { .. } => true,
                    _ => false,
                };
                let reply = if is_asked { Err(refused(error)) } else { Ok(answer(&query)) };
                open.extend(feed(&mut app, Msg::Answered { ticket, answer: reply }));
            }
        }
        let text = shown(&app);
        assert!(text.contains(head) && !text.contains("Loading"), "{keys}: {text}");
        // All of it, whatever room the head has.
        let words: Vec<&str> = text.split_whitespace().filter(|it| !["│", "┃"].contains(it)).collect();
        assert!(words.join(" ").contains(error), "{keys}: {text}");
    }
}

#[test]
fn an_attempt_that_could_not_be_read_has_one_pane() {
    let mut app = opened(120, 36);
    let asked = press(&mut app, "enter");
    for effect in asked {
        let Effect::Net(DaemonRequest::Ask { ticket, .. }) = effect else { continue };
        feed(&mut app, Msg::Answered { ticket, answer: Err(refused("it broke")) });
    }
    assert!(shown(&app).contains("it broke"), "{}", shown(&app));
    press(&mut app, "tab");
    assert_eq!(last(&app), "there is one pane only");
}

#[test]
fn what_cannot_be_marked_says_so() {
    for (keys, said) in [
        ("2 space", "leads are marked, causes are not: open one"),
        ("2 tab tab *", "leads are marked, causes are not: open one"),
        ("4 space", "what a job touched is marked, jobs are not: open one"),
        ("4 V", "what a job touched is marked, jobs are not: open one"),
    ] {
        let mut app = live(120, 36);
        visit(&mut app, keys);
        assert_eq!(last(&app), format!("not possible: {said}"), "{keys}");
        assert!(!shown(&app).contains("* all"), "no key is offered for it: {}", shown(&app));
    }
    // Its deliveries are, and a range of them.
    let mut app = live(120, 36);
    visit(&mut app, "4 enter space down V");
    assert!(shown(&app).contains("3 marked"), "{}", shown(&app));
}

#[test]
fn companies_that_could_not_be_listed_do_not_seem_to_be_on_their_way() {
    let mut app = App::new(setup(false), now(), 80, 24);
    feed(&mut app, Msg::Conn(Conn::Live));
    for (ticket, query) in asked(&press(&mut app, "6")) {
        let reply = match query {
            Query::Companies => Err(refused("permission denied: ask an admin")),
            other => Ok(answer(&other)),
        };
        feed(&mut app, Msg::Answered { ticket, answer: reply });
    }
    let text = shown(&app);
    assert!(text.contains("permission denied: ask an admin") && !text.contains("Loading"), "{text}");
}

#[test]
fn a_lead_that_is_not_told_anew_says_why_and_keeps_its_flows() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h enter");
    for (ticket, query) in asked(&press(&mut app, "R")) {
        if matches!(query, Query::Lead { .. }) {
            let answer = Err(refused("there is no such lead"));
            feed(&mut app, Msg::Answered { ticket, answer });
        }
    }
    let text = shown(&app);
    assert!(text.contains("there is no such lead") && text.contains("hubspot-eu"), "{text}");
    // They are under way again, and what is known of them counts meanwhile.
    press(&mut app, "down E");
    assert!(app.dialog.is_some(), "{}", shown(&app));
}

#[test]
fn a_list_that_was_not_looked_through_says_how_far_and_never_that_there_is_nothing() {
    let mut app = live(120, 36);
    press(&mut app, "enter");
    let page = |rows, second: Option<i64>| Answer::Deliveries {
        rows,
        next: second.map(|second| second.to_string()).unwrap_or_default(),
        reached: second.map(|second| jiff::Timestamp::from_second(second).unwrap()),
    };
    let listed = |effects: &[Effect]| {
        let asked = asked(effects).into_iter();
        let of = |(ticket, query)| match query {
            Query::Deliveries { after, .. } => Some((ticket, after)),
            _ => None,
        };
        asked.filter_map(of).next().unwrap()
    };
    let (ticket, _) = listed(&press(&mut app, "v"));
    answered(&mut app, ticket, page(Vec::new(), Some(1_795_000_000)));
    let text = shown(&app);
    assert!(text.contains("Not delivered 0  looked back to 11-18 "), "{text}");
    assert!(text.contains("None was found back to 11-18 "), "{text}");
    assert!(text.contains("o looks further back.") && !text.contains("has been delivered"), "{text}");
    // A page more is behind that, wherever the first one stops when it is read again.
    let (ticket, _) = listed(&press(&mut app, "o"));
    let effects = answered(&mut app, ticket, page(Vec::new(), Some(1_795_000_000)));
    let (ticket, after) = listed(&effects);
    assert_eq!(after, "1795000000");
    answered(&mut app, ticket, page(Vec::new(), None));
    let text = shown(&app);
    assert!(text.contains("Everything that came here has been delivered."), "{text}");
    assert!(!text.contains("looked back"), "{text}");
}

#[test]
fn what_was_retried_on_the_page_of_a_lead_is_seen_to_arrive() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h enter r");
    let effects = press(&mut app, "y");
    let sent = effects.iter().find_map(|effect| match effect {
        Effect::Net(DaemonRequest::Mutate { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    let done = Ok(Done::Moved { count: 1, job: String::new() });
    let effects = feed(&mut app, Msg::Done { ticket: sent.unwrap(), done });
    // Worst first: what has arrived is the last of all.
    serve_changed(&mut app, effects, |reply| {
        if let Answer::Lead(page) = reply {
            page.deliveries[0].delivery.state = DeliveryState::Delivered;
            page.deliveries.rotate_left(1);
        }
    });
    assert!(selected(&app).contains("hubspot-eu"), "{}", shown(&app));
}
