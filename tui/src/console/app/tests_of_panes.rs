//! Panes: what an act means where the one that has the keys lists nothing, and what is seen of each.

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation};
use super::tests_of_acts::serve_changed;
use crate::console::data::Answer;
use crate::console::fixtures::{live, press, visit};
use crate::console::msg::{Command, Effect};
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
            let asks = effects.iter().any(|it| matches!(it, Effect::Net(Command::Ask { .. })));
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
