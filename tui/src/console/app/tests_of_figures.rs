//! What integrations came to: where it is drawn whole, of whom it is asked, and what a failed question leads to.

use super::App;
use super::pictures::shown;
use super::tests::{last, selected};
use super::tests_of_lists::asked;
use crate::console::data::{Integration, Query};
use crate::console::fixtures::{self, feed, hubspot, live, press, visit};
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
        feed(&mut app, Msg::Answered { ticket, answer: Err("it took too long".to_owned()) });
        assert_eq!(last(&app), "the overview's figures: it took too long");
        assert_eq!(app.shared.messages.len(), 1, "{:?}", app.shared.messages);
        let effects = press(&mut app, "1");
        assert_eq!(figures(&effects).len(), 1, "at the next chance, however soon: {effects:?}");
        let (ticket, _) = figures(&effects)[0];
        feed(&mut app, Msg::Answered { ticket, answer: Err("it took too long".to_owned()) });
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
