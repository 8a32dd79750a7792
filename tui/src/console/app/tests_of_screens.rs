//! Navigation, and what is seen of an attempt: scripts of keys, and what the screen shows.

use jiff::SignedDuration;

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation, selected};
use super::tests_of_lists::asked;
use crate::console::data::change::Lifted;
use crate::console::data::{Answer, Conn, Done, Query};
use crate::console::fixtures::{self, feed, live, now, opened, press, visit};
use crate::console::msg::{DaemonRequest, Effect, Msg};

#[test]
fn leaving_an_editor_asks_if_something_was_typed() {
    for (open, typed) in [
        ("K", "h u n t e r"),
        ("3 s a r a h enter m", "{"),
        ("3 s a r a h enter down E", "x"),
        ("n w e b h enter", "h o o k"),
    ] {
        let mut app = live(80, 24);
        visit(&mut app, open);
        visit(&mut app, "esc");
        assert!(app.dialog.is_none(), "{open}: nothing was typed");
        let mut app = live(80, 24);
        visit(&mut app, open);
        visit(&mut app, typed);
        visit(&mut app, "esc");
        assert!(shown(&app).contains("Discard what you typed?"), "{open}: {}", shown(&app));
        visit(&mut app, "n");
        assert!(!shown(&app).contains("Discard"), "{open}: {}", shown(&app));
        visit(&mut app, "esc enter ^s");
        assert!(app.dialog.is_some(), "{open}: no other key decides");
        visit(&mut app, "y");
        assert!(app.dialog.is_none(), "{open}");
    }
}

#[test]
fn what_has_not_come_says_so_while_the_daemon_is_away() {
    for keys in ["2", "3 x y z", "4", "5", "6", "i"] {
        let mut app = live(80, 24);
        let error = "nobody listens".to_owned();
        feed(&mut app, Msg::Conn(Conn::Lost { error, retry_at: now(), attempt: 1, heard_at: None }));
        press(&mut app, keys);
        let text = shown(&app);
        assert!(!text.contains("Loading"), "{keys}: {text}");
    }
    let mut app = live(80, 24);
    feed(
        &mut app,
        Msg::Conn(Conn::Lost { error: String::new(), retry_at: now(), attempt: 1, heard_at: None }),
    );
    press(&mut app, "2");
    assert!(shown(&app).contains("The daemon is away: this is asked for"), "{}", shown(&app));
}

#[test]
fn data_are_as_old_as_the_last_sign_of_life() {
    let mut app = live(120, 36);
    // The machine slept, and what is noticed now was so for eight hours.
    let heard_at = Some(fixtures::ago(8 * 3600));
    let lost = |heard_at| Conn::Lost { error: "x".to_owned(), retry_at: now(), attempt: 1, heard_at };
    feed(&mut app, Msg::Conn(lost(heard_at)));
    assert!(shown(&app).contains("data STALE for 8h 00m"), "{}", shown(&app));
    feed(&mut app, Msg::Conn(lost(None)));
    assert!(shown(&app).contains("data STALE for 8h 00m"), "{}", shown(&app));
}

#[test]
fn nothing_is_waited_for_where_nothing_is_selected() {
    for (keys, answer, expected) in [
        ("2", Answer::Causes { rows: Vec::new(), snoozed: 0, more: false }, "No cause is selected."),
        ("4", Answer::Jobs { rows: Vec::new(), next: String::new() }, "No job is selected."),
    ] {
        let mut app = live(120, 36);
        let asked = press(&mut app, keys);
        let ticket = asked.iter().find_map(|effect| match effect {
            Effect::Net(DaemonRequest::Ask { ticket, query: Query::Causes { .. } | Query::Jobs { .. } }) => {
                Some(*ticket)
            }
            _ => None,
        });
        feed(&mut app, Msg::Answered { ticket: ticket.unwrap(), answer: Ok(answer) });
        let text = shown(&app);
        assert!(text.contains(expected) && !text.contains("Loading"), "{keys}: {text}");
    }
}

#[test]
fn a_file_has_the_number_of_a_try_apart_from_its_kind() {
    let mut app = opened(120, 36);
    press(&mut app, "O");
    let effects = press(&mut app, "j");
    let text = effects.iter().find_map(|effect| match effect {
        Effect::Write { text, .. } => Some(text.clone()),
        _ => None,
    });
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!((&rows[1]["number"], &rows[1]["trigger"]), (&2.into(), &"retry".into()));
}

#[test]
fn a_reset_says_what_it_lifts() {
    let mut app = live(120, 36);
    let mut it = fixtures::hubspot();
    it.throttled_until = Some(now() + SignedDuration::from_hours(1));
    (it.breaker, it.breaker_until) =
        ("5 pushes in a row failed".to_owned(), Some(now() + SignedDuration::from_mins(5)));
    feed(&mut app, Msg::Changes { changed: vec![it], removed: Vec::new() });
    visit(&mut app, "a 0");
    let text = shown(&app);
    for part in [
        "23 failures and the last error are forgotten",
        "asked for is lifted: it would last until",
        "open until",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let effects = press(&mut app, "y");
    assert!(mutation(&effects).is_some());
    let ticket = app.shared.pending.keys().copied().next().unwrap();
    let lifted = Lifted { failures: 23, throttled_until: Some(now()), breaker_until: None };
    let done = Ok(Done::Reset { integration: Box::new(fixtures::hubspot()), lifted });
    feed(&mut app, Msg::Done { ticket, done });
    assert!(
        last(&app).contains("23 failures forgotten; the wait that the target asked for is lifted (until ")
    );
}

#[test]
fn a_lost_secret_is_reported() {
    let mut app = live(80, 24);
    let done = Ok(Done::Rotated { integration: Box::new(fixtures::hubspot()), secret: None });
    feed(&mut app, Msg::Done { ticket: 1, done });
    assert!(last(&app).contains("rotate again"));
}

#[test]
fn pasted_text_is_never_read_as_keys() {
    let mut app = opened(80, 24);
    assert!(feed(&mut app, Msg::Paste("rty\nq".to_owned())).is_empty());
    assert!(app.dialog.is_none());
    press(&mut app, "/");
    feed(&mut app, Msg::Paste("code:5xx\nq".to_owned()));
    assert!(shown(&app).contains("/code:5xx"), "{}", shown(&app));
}

#[test]
fn escape_goes_back_step_by_step_and_never_quits() {
    let mut app = opened(80, 24);
    press(&mut app, "/A enter space enter");
    for _ in 0..8 {
        assert!(!press(&mut app, "esc").iter().any(|effect| matches!(effect, Effect::Quit)));
    }
    assert!(shown(&app).contains("[1 Overview]"));
    let mut app = opened(80, 24);
    assert!(!press(&mut app, "q").iter().any(|effect| matches!(effect, Effect::Quit)));
    assert!(press(&mut app, "q").iter().any(|effect| matches!(effect, Effect::Quit)));
    for keys in ["?", "/", ":", "enter r", "3"] {
        let mut app = live(80, 24);
        press(&mut app, keys);
        assert!(press(&mut app, "^c").iter().any(|effect| matches!(effect, Effect::Quit)), "{keys}");
    }
}

#[test]
fn back_and_forward_pass_the_same_screens() {
    let mut app = opened(120, 36);
    visit(&mut app, "enter");
    assert!(shown(&app).contains("› attempt 14:01:41"), "{}", shown(&app));
    visit(&mut app, "[ [");
    assert!(shown(&app).contains("[1 Overview]"));
    visit(&mut app, "] ]");
    assert!(shown(&app).contains("› attempt 14:01:41"), "{}", shown(&app));
}

#[test]
fn the_palette_jumps_to_any_object() {
    let mut app = live(80, 24);
    visit(&mut app, ": i n t space 7 / h u b enter");
    assert!(shown(&app).contains("Overview › Rosewood Barn / hubspot-eu"), "{}", shown(&app));
    let mut app = live(80, 24);
    visit(&mut app, ": l e a d space s a r a h enter");
    assert!(shown(&app).contains("sarah@example.com"), "{}", shown(&app));
    // By its id, whether anybody told of it or not.
    for (typed, command) in [
        ("lead space 01JD2Q8Z5N3V7K9M4T6X8W1Y2P", "leadline lead trace 01JD2Q8Z5N3V7K9M4T6X8W1Y2P"),
        ("attempt space 01jd2q8z5n3v7k9m4t6x8w1a1a", "leadline attempt show 01JD2Q8Z5N3V7K9M4T6X8W1A1A"),
        ("delivery space 01JD2Q8Z5N3V7K9M4T6X8W1D1D", "leadline lead trace 01JD2Q8Z5N3V7K9M4T6X8W1Y2P"),
        ("flow space 01JD2Q8Z5N3V7K9M4T6X8W1F1F", "leadline company show 7"),
        ("company space 8", "leadline company show 8"),
    ] {
        let mut app = live(80, 24);
        visit(&mut app, &format!(": {typed} enter"));
        assert_eq!(app.top().command(&app.shared), command, "{typed}: {}", shown(&app));
        visit(&mut app, "[");
        assert!(shown(&app).contains("[1 Overview]"), "{typed}: {}", shown(&app));
    }
    // What is loaded is proposed.
    for (loads, typed, row) in [
        ("3 s a r a h enter 1", "delivery space 01D4", "zapier-hook"),
        ("2 1", "cause space token", "EXPIRED_AUTHENTICATION"),
        ("2 v 1", "cause space c3", "(snoozed) 502"),
        ("4 1", "job space 01J1", "done"),
        ("3 s a r a h enter 1", "flow space big", "zapier-hook"),
        ("3 s a r a h esc 1", "01JD2Q8Z", "hubspot-eu"),
        ("5 1", "attempt space A3", ""),
    ] {
        let mut app = live(120, 36);
        visit(&mut app, loads);
        visit(&mut app, &format!(": {typed} enter"));
        assert!(selected(&app).contains(row), "{typed}: {}", shown(&app));
    }
}

#[test]
fn what_is_not_there_to_jump_to_is_said() {
    for (typed, said) in [
        ("cause space 0123456789ab", "nothing that is listed here is dead or retrying of cause 0123456789ab"),
        ("job space 01JD2Q8Z5N3V7K9M4T6X8W1J1J", "no job 01JD2Q8Z5N3V7K9M4T6X8W1J1J is listed here"),
    ] {
        let mut app = live(80, 24);
        visit(&mut app, &format!(": {typed} enter"));
        assert_eq!(last(&app), said);
    }
    // And what the daemon does not know, where it would stand.
    for (typed, crumb) in
        [("attempt", "attempt"), ("delivery", "01JD2Q8Z5N3V7K9M4T6X8W1J1J"), ("flow", "flow 01JD")]
    {
        let mut app = live(80, 24);
        let effects = press(&mut app, &format!(": {typed} space 01JD2Q8Z5N3V7K9M4T6X8W1J1J enter"));
        let (ticket, _) = asked(&effects).pop().unwrap();
        feed(&mut app, Msg::Answered { ticket, answer: Err(fixtures::refused(&format!("no such {typed}"))) });
        let text = shown(&app);
        assert!(text.contains(&format!("no such {typed}")) && text.contains(crumb), "{text}");
    }
}

#[test]
fn the_command_for_what_is_seen_can_be_copied() {
    let mut app = live(80, 24);
    for (keys, command) in [
        ("! esc", "leadline integration list"),
        ("F !", "leadline integration list --badge failing,credentials"),
        ("!", "leadline delivery list --state dead"),
        ("esc enter !", "leadline attempt list --integration 01I1"),
        ("esc esc 2 !", "leadline failure list"),
    ] {
        visit(&mut app, keys.trim_end_matches(" esc"));
        assert!(shown(&app).contains(command), "{command}: {}", shown(&app));
        visit(&mut app, "esc");
    }
}

#[test]
fn help_is_filtered_and_run() {
    let mut app = live(80, 24);
    visit(&mut app, "? t e s t space p u s h enter");
    assert!(shown(&app).contains("Push a test to Rosewood Barn / hubspot-eu?"), "{}", shown(&app));
}

#[test]
fn of_a_failed_attempt_the_answer_comes_first() {
    let mut app = opened(80, 24);
    visit(&mut app, "enter");
    let text = shown(&app);
    let (answer, request) = (text.find("── response").unwrap(), text.find("── request"));
    assert!(request.is_none_or(|at| answer < at), "{text}");
    assert!(text.contains("upstream is down for maintenance"), "without scrolling: {text}");
    let mut app = opened(200, 60);
    visit(&mut app, "enter");
    let text = shown(&app);
    let line = text.lines().find(|line| line.contains(" Request ")).unwrap();
    assert!(line.contains(" Response "), "side by side: {text}");
}

#[test]
fn an_attempt_is_compared_with_the_one_before() {
    let mut app = opened(120, 36);
    visit(&mut app, "d");
    let text = shown(&app);
    assert!(text.contains("Compared with the attempt before") && text.contains("the same"), "{text}");
}

#[test]
fn an_idle_screen_wakes_seldom() {
    let app = App::new(fixtures::setup(false), now(), 80, 24);
    assert_eq!(app.next_change(), None);
    for screen in ["1", "2", "5", "6"] {
        let mut app = live(80, 24);
        visit(&mut app, screen);
        let mut ticks = 0;
        let end = app.shared.now + SignedDuration::from_secs(600);
        let settled = app.shared.now + SignedDuration::from_secs(540);
        while let Some(next) = app.next_change().filter(|next| *next < end) {
            let effects = app.update(next, Msg::Tick);
            fixtures::serve(&mut app, effects);
            ticks += u32::from(next >= settled);
        }
        assert!(ticks <= 10, "{screen}: {ticks} in a minute: old ages change seldom, and little is asked");
    }
}

#[test]
fn activity_is_asked_for_when_something_happened_and_not_each_second() {
    let asks = |effects: &[Effect]| {
        asked(effects).iter().filter(|(_, query)| matches!(query, Query::Activity { .. })).count()
    };
    let mut app = live(120, 36);
    visit(&mut app, "5");
    let later = |app: &mut App, millis, msg| {
        let at = app.shared.now + SignedDuration::from_millis(millis);
        let effects = app.update(at, msg);
        let count = asks(&effects);
        fixtures::serve(app, effects);
        count
    };
    assert_eq!((1..20).map(|_| later(&mut app, 1000, Msg::Tick)).sum::<usize>(), 0, "nothing happens");
    assert_eq!(later(&mut app, 0, Msg::Happened), 1, "it is seen at once");
    // However much happens, once a second is enough, and the last of it is seen.
    assert_eq!((0..9).map(|_| later(&mut app, 100, Msg::Happened)).sum::<usize>(), 0);
    let due = app.next_change().unwrap();
    assert!(due <= app.shared.now + SignedDuration::from_millis(100), "somebody wakes it: {due}");
    assert_eq!(later(&mut app, 100, Msg::Tick), 1);
    assert_eq!((0..5).map(|_| later(&mut app, 1000, Msg::Tick)).sum::<usize>(), 0);
}

/// Who is found must be who was asked for: an old answer under a new name would lead an act to somebody else.
#[test]
fn nobody_is_opened_under_another_name() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h");
    assert!(shown(&app).contains("Sarah Patel"));
    // Esc twice: what is shown then is asked for.
    let effects = press(&mut app, "esc esc");
    assert!(effects.iter().any(|it| matches!(it, Effect::Net(DaemonRequest::Ask { .. }))), "{effects:?}");
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h esc");
    let conn = Conn::Lost { error: "x".to_owned(), retry_at: app.shared.now, attempt: 1, heard_at: None };
    feed(&mut app, Msg::Conn(conn));
    assert!(shown(&app).contains("Sarah Patel"), "what was found stays while the daemon is away");
    press(&mut app, "/ x enter");
    assert!(!shown(&app).contains("Sarah Patel") && shown(&app).contains("not connected"), "{}", shown(&app));
}

#[test]
fn a_filter_is_seen_at_80_columns() {
    let mut app = live(80, 24);
    visit(&mut app, "v / r e t");
    assert!(shown(&app).contains("/ret"), "{}", shown(&app));
    visit(&mut app, "enter");
    assert!(shown(&app).contains("[/ret]"), "{}", shown(&app));
}

#[test]
fn one_lead_is_traced_across_all_integrations() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter");
    let other = "acme-webhook  attempt 1  delivered  first: 201";
    assert!(!shown(&app).contains(other), "{}", shown(&app));
    visit(&mut app, "v");
    let text = shown(&app);
    let story = [
        "received",
        "hubspot-eu    attempt 1  failed  first: transient:",
        other,
        "hubspot-eu    attempt 2  failed  retry: ",
        "hubspot-eu    attempt 3  failed  retry: ",
    ];
    let places: Vec<_> = story.iter().map(|line| text.find(line)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {text}");
    // All of them can be stepped through; what the story knows of each is there before the daemon tells more.
    press(&mut app, "enter");
    for seen in [["hubspot-eu", "503", "retry"], ["acme-webhook", "201", "first"]] {
        let text = shown(&app);
        assert!(seen.iter().all(|part| text.contains(part)), "{seen:?} {text}");
        press(&mut app, "right right");
    }
}
