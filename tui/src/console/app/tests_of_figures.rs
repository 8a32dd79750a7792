//! What integrations came to: where it is drawn whole, of whom it is asked, and what a failed question leads to. What is
//! passed over is not asked for.

use crossterm::event::KeyCode;

use super::App;
use super::pictures::{changed_cells, is_faint, shown};
use super::tests::{last, selected};
use super::tests_of_lists::{asked, page};
use crate::console::data::query::DeliveryQuery;
use crate::console::data::{Answer, Conn, Delivery, DeliveryState, Integration, Query, Wait};
use crate::console::fixtures::{self, feed, hubspot, live, press, visit};
use crate::console::keymap::Press;
use crate::console::msg::{Effect, Msg};

/// Of whom figures are asked among these effects, each with its ticket.
fn figures(effects: &[Effect]) -> Vec<(u64, Option<i64>)> {
    let of = |(ticket, query): (u64, Query)| match query {
        Query::Figures { company } => Some((ticket, company)),
        _ => None,
    };
    asked(effects).into_iter().filter_map(of).collect()
}

/// A console of this size whose worst integration has much that waits.
fn laden(width: u16, height: u16, pending: u64) -> App {
    let mut app = live(width, height);
    let changed = vec![Integration { dead: 1234, held: 20_000, pending, ..hubspot() }];
    feed(&mut app, Msg::Changes { changed, removed: vec![] });
    app
}

#[test]
fn a_trend_is_drawn_whole_or_not_at_all() {
    const BARS: &str = "died in 24 h ▁▁▁▁▁▁▁▁▁▁█▄ ";
    let text = shown(&laden(80, 24, 20_000));
    assert!(text.contains("waiting 1234 dead, 10000+ held, 10000+ pending; 31 skipped  "), "{text}");
    assert!(text.contains(BARS), "{text}");
    // The least width: skipped and trend stand wherever there is room for them.
    let text = shown(&laden(60, 24, 8));
    assert!(text.contains("31 skipped") && text.contains(BARS), "{text}");
    for width in 60..100 {
        for pending in [0, 8, 20_000] {
            let text = shown(&laden(width, 24, pending));
            assert!(!text.contains("died in") || text.contains(BARS), "{width}: {text}");
        }
    }
    // Of this one it was told how many are skipped, and of nothing that died.
    let mut app = live(80, 24);
    press(&mut app, "down down");
    assert!(selected(&app).contains("zapier-hook"), "{}", shown(&app));
    let text = shown(&app);
    assert!(text.contains("2 skipped") && !text.contains("died in"), "{text}");
}

#[test]
fn a_failed_question_for_figures_is_said_once_and_asked_again() {
    let mut app = live(80, 24);
    let again = |app: &mut App| {
        app.shared.now += jiff::SignedDuration::from_secs(20);
        let mut effects = press(app, "2");
        effects.extend(press(app, "1"));
        figures(&effects).pop()
    };
    for _ in 0..2 {
        let (ticket, _) = again(&mut app).unwrap();
        feed(&mut app, Msg::Answered { ticket, answer: Err(fixtures::refused("it took too long")) });
        assert_eq!(last(&app), "the overview's figures: it took too long");
        assert_eq!(app.shared.messages.len(), 1, "{:?}", app.shared.messages);
        let effects = press(&mut app, "1");
        assert_eq!(figures(&effects).len(), 1, "at the next chance, however soon: {effects:?}");
        let (ticket, _) = figures(&effects)[0];
        feed(&mut app, Msg::Answered { ticket, answer: Err(fixtures::refused("it took too long")) });
    }
}

#[test]
fn figures_are_asked_of_the_company_that_is_looked_at() {
    let mut app = live(120, 36);
    visit(&mut app, "c r o s e");
    let effects = press(&mut app, "enter");
    let [(ticket, Some(7))] = figures(&effects)[..] else { panic!("{effects:?}") };
    let answer = Ok(fixtures::answer(&Query::Figures { company: Some(7) }));
    feed(&mut app, Msg::Answered { ticket, answer });
    assert!(shown(&app).contains("31 skipped"), "{}", shown(&app));
}

#[test]
fn a_shut_gate_says_until_when_and_why_on_card_list_and_header() {
    const THROTTLED: &str = "throttled until 14:58:51: 429 Too Many";
    const BREAKER: &str = "breaker until 14:03:26: 21 pushes in a row";
    // Cards are narrow where there are several; the error above says why there.
    for (width, height, whys) in [(120, 36, false), (200, 60, false), (100, 36, true)] {
        let text = shown(&live(width, height));
        let (throttled, breaker) = ("throttled until 14:58:51", "breaker until 14:03:26");
        assert!(text.contains(throttled) && text.contains(breaker), "{width}: {text}");
        let has_whys = text.contains(": 429 Too") && text.contains(": 21 pushes");
        assert_eq!(has_whys, whys, "{width}: {text}");
    }
    // A list at its narrowest has how long and what; the lines below it have it all.
    let text = shown(&live(80, 24));
    assert!(text.contains("in 56m, throttled") && text.contains("in 1m, breaker op"), "{text}");
    let mut wide = live(200, 60);
    press(&mut wide, "v");
    let text = shown(&wide);
    assert!(text.contains("in 56m, throttled: 429 the quota of the day is used up"), "{text}");
    assert!(text.contains("in 1m, breaker open: 502 bad gateway"), "{text}");
    for (name, gate) in [("s h e e t", THROTTLED), ("z a p", BREAKER)] {
        for (width, height) in [(80, 24), (120, 36), (200, 60)] {
            let mut app = live(width, height);
            if width > 80 {
                press(&mut app, "v");
            }
            visit(&mut app, &format!("/ {name} enter"));
            assert!(shown(&app).contains(gate), "{width}: {}", shown(&app));
            visit(&mut app, "enter");
            let head = gate.split_inclusive(": ").next().unwrap();
            assert!(shown(&app).contains(head), "{width}: {}", shown(&app));
        }
    }
}

#[test]
fn of_two_gates_the_one_that_counts_is_told_first_and_none_once_it_is_open() {
    let mut it = hubspot();
    (it.throttled_until, it.breaker_until) = (Some(fixtures::ago(-3600)), Some(fixtures::ago(-60)));
    it.breaker = "20 pushes in a row failed, the last one so: 503".to_owned();
    let mut app = live(200, 60);
    feed(&mut app, Msg::Changes { changed: vec![it.clone()], removed: vec![] });
    visit(&mut app, "enter");
    let both = "throttled until 15:02:11: the target asked us to wait   breaker until 14:03:11: 20 pushes";
    assert!(shown(&app).contains(both), "{}", shown(&app));
    app.update(fixtures::ago(-61), Msg::Tick);
    assert!(shown(&app).contains("breaker tries one: 20 pushes"), "{}", shown(&app));
    app.update(fixtures::ago(-3601), Msg::Tick);
    assert!(!shown(&app).contains("throttled"), "{}", shown(&app));
    it.wait = Wait::Disabled;
    feed(&mut app, Msg::Changes { changed: vec![it], removed: vec![] });
    assert!(!shown(&app).contains("breaker"), "an operator keeps it: {}", shown(&app));
}

#[test]
fn the_leads_of_a_cause_that_is_passed_over_are_not_asked_for() {
    let listed = |effects: &[Effect]| -> Vec<String> {
        let cause = |query| match query {
            Query::Deliveries { which, .. } => Some(which.cause),
            _ => None,
        };
        asked(effects).into_iter().filter_map(|(_, query)| cause(query)).collect()
    };
    let mut app = live(120, 36);
    visit(&mut app, "2");
    let after = |app: &mut App, millis| {
        let later = app.shared.now + jiff::SignedDuration::from_millis(millis);
        app.update(later, Msg::Tick)
    };
    after(&mut app, 1000);
    // Keys that are held come faster than `press` sends them.
    let held = |app: &mut App, code| {
        let later = app.shared.now + jiff::SignedDuration::from_millis(30);
        app.update(later, Msg::Key(Press::plain(code)))
    };
    // A lone key does not wait.
    assert_eq!(listed(&press(&mut app, "down")), ["c2"]);
    // Who goes on at once has passed it over.
    for code in [KeyCode::Up, KeyCode::Down, KeyCode::Up] {
        assert!(listed(&held(&mut app, code)).is_empty());
    }
    assert!(listed(&after(&mut app, 100)).is_empty());
    let due = app.next_change().unwrap();
    assert!(due <= app.shared.now + jiff::SignedDuration::from_millis(50), "somebody wakes it: {due}");
    assert_eq!(listed(&after(&mut app, 50)), ["c1"]);
    assert!(listed(&after(&mut app, 50)).is_empty(), "once");
}

/// The ticket of the question for deliveries among these effects.
fn listing(effects: &[Effect]) -> u64 {
    let is_listing = |(ticket, query)| matches!(query, Query::Deliveries { .. }).then_some(ticket);
    asked(effects).into_iter().find_map(is_listing).unwrap()
}

#[test]
fn the_rows_of_a_list_stay_until_the_next_ones_come_and_nothing_is_done_to_them() {
    for (screen, inside) in [("2", "tab"), ("4", "enter")] {
        let mut app = live(120, 36);
        visit(&mut app, screen);
        assert!(shown(&app).contains("Sarah Patel"), "{}", shown(&app));
        let ticket = listing(&press(&mut app, "down"));
        assert!(shown(&app).contains("Sarah Patel"), "{}", shown(&app));
        assert!(!is_faint(&app, "Sarah Patel"), "an answer is quicker");
        press(&mut app, inside);
        for act in ["r", "x", "T", "enter", "space", "*"] {
            press(&mut app, act);
            assert!(app.dialog.is_none() && app.top().subject(&app.shared).lead.is_none(), "{screen} {act}");
            assert!(app.top().subject(&app.shared).deliveries.is_empty(), "{screen} {act}");
        }
        assert!(is_faint(&app, "Sarah Patel"), "{}", shown(&app));
        let eve = fixtures::answers::delivery("01DX", DeliveryState::Dead);
        let rows = vec![Delivery { lead_name: "Eve Hill".to_owned(), ..eve }];
        let answer = Ok(Answer::Deliveries { rows, next: String::new(), reached: None });
        feed(&mut app, Msg::Answered { ticket, answer });
        let text = shown(&app);
        assert!(text.contains("Eve Hill") && !text.contains("Sarah Patel"), "{text}");
        assert!(!is_faint(&app, "Eve Hill"));
        assert_eq!(app.top().subject(&app.shared).deliveries[0].delivery, "01DX");
    }
}

#[test]
fn a_filter_is_typed_for_rows_that_are_on_their_way() {
    let mut app = live(120, 36);
    visit(&mut app, "4");
    let ticket = listing(&press(&mut app, "down"));
    press(&mut app, "enter / e v e enter");
    assert!(shown(&app).contains("[/eve]"), "{}", shown(&app));
    let mut rows = page(0, 2);
    "Eve Hill".clone_into(&mut rows[1].lead_name);
    let answer = Ok(Answer::Deliveries { rows, next: String::new(), reached: None });
    feed(&mut app, Msg::Answered { ticket, answer });
    assert!(shown(&app).contains("What it touched 1 of 2"), "{}", shown(&app));
    assert_eq!(app.top().subject(&app.shared).deliveries[0].delivery, "01X0001");
}

#[test]
fn rows_that_none_will_follow_go() {
    let mut app = live(120, 36);
    visit(&mut app, "2");
    let ticket = listing(&press(&mut app, "down"));
    feed(&mut app, Msg::Answered { ticket, answer: Err(fixtures::refused("it took too long")) });
    assert!(
        !shown(&app).contains("Sarah Patel") && shown(&app).contains("it took too long"),
        "{}",
        shown(&app)
    );
    let mut app = live(120, 36);
    visit(&mut app, "2");
    press(&mut app, "down");
    feed(&mut app, Msg::Conn(Conn::Connecting));
    assert!(!shown(&app).contains("Sarah Patel"), "{}", shown(&app));
}

#[test]
fn a_lone_key_paints_what_differs_and_no_list_twice() {
    for (width, height) in [(120, 36), (200, 60)] {
        let mut app = live(width, height);
        visit(&mut app, "2");
        let mut painted = Vec::new();
        let ticket = changed_cells(&mut app, &mut painted, |app| listing(&press(app, "down")));
        // Another cause, of the same leads.
        let which = DeliveryQuery { cause: "c1".to_owned(), ..DeliveryQuery::default() };
        let answer = fixtures::answer(&Query::Deliveries { which, after: String::new() });
        changed_cells(&mut app, &mut painted, |app| feed(app, Msg::Answered { ticket, answer: Ok(answer) }));
        // The advice on the cause is another text; of the list, which is the same, only what is selected and how many
        // there are is painted, and that twice.
        let text = shown(&app);
        let top = text.lines().position(|line| line.contains("Leads of this cause 10")).unwrap();
        let of_list = |(x, y): &&(u16, u16)| *x < width / 2 && (top..=top + 12).contains(&usize::from(*y));
        let in_list = painted.iter().filter(of_list).count();
        assert!(in_list < 60, "{width}x{height}: {in_list} cells of the list");
        let most = usize::from(width) * usize::from(height) / 6;
        assert!(painted.len() < most, "{width}x{height}: {} cells", painted.len());
    }
}

#[test]
fn a_long_list_moves_by_most_of_a_window_and_never_under_the_hand() {
    let mut app = live(80, 24);
    press(&mut app, "enter");
    let ticket = listing(&press(&mut app, "v"));
    let told = |rows| Ok(Answer::Deliveries { rows, next: String::new(), reached: None });
    feed(&mut app, Msg::Answered { ticket, answer: told(page(0, 200)) });
    let first = |app: &App| {
        let text = shown(app);
        let at = text.find("Person ").unwrap();
        text[at..at + 10].to_owned()
    };
    let mut tops = vec![first(&app)];
    for _ in 0..60 {
        press(&mut app, "down");
        tops.push(first(&app));
    }
    tops.dedup();
    assert!(selected(&app).contains("Person 060"), "{}", shown(&app));
    assert!(tops.len() <= 12, "painted anew that often: {tops:?}");
    // Others come above: the row stays where it is on the screen.
    let place = |app: &App| shown(app).lines().position(|line| line.contains('▶'));
    let before = place(&app);
    let ticket = listing(&press(&mut app, "R"));
    let rows = [page(300, 3), page(0, 200)].concat();
    feed(&mut app, Msg::Answered { ticket, answer: told(rows) });
    assert!(selected(&app).contains("Person 060"), "{}", shown(&app));
    assert_eq!(place(&app), before, "{}", shown(&app));
}
