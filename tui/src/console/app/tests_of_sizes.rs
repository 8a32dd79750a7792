//! That no size and no text can break a screen, nor say where one is on it.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::App;
use crate::console::data::Query;
use crate::console::fixtures::{self, feed, hostile_answer, live, visit_by};
use crate::console::msg::Msg;
use crate::console::theme::{Depth, FOCUSED, SELECTED, Theme};

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\u{1b}]52;c;aGk=\u{7}\u{1b}[2J".to_owned()),
        Just("\u{202e}evil\u{2066}".to_owned()),
        Just("👩\u{200d}👩\u{200d}👧 日本語 e\u{301}\u{301}".to_owned()),
        Just(format!("e{}", "\u{301}".repeat(10_000))),
        Just("\u{115f}\u{1160}\u{2800}\u{3164}\u{ffa0}\u{feff}\u{ad}\u{200b}".to_owned()),
        Just(format!("{SELECTED}x {FOCUSED}")),
        Just("a\tb\r\nc\u{0}\u{9b}31m".to_owned()),
        Just("x".repeat(1024 * 1024)),
        any::<String>(),
    ]
}

const KEYS: [&str; 36] = [
    "v",
    "enter",
    "enter enter",
    "?",
    ": h",
    "y",
    "a",
    "r",
    "/ x",
    "enter * r",
    "e",
    "enter d",
    "enter v",
    "2",
    "2 enter",
    "3 enter",
    "3 enter m",
    "3 x",
    "3 x enter v",
    "3 x enter tab",
    "3 x enter m",
    "3 x enter enter",
    "3 x enter down E",
    "3 q u a r t e t enter",
    "4",
    "5",
    "5 down down down down down",
    "6",
    "6 enter",
    ",",
    "n",
    "n w e b enter",
    "0",
    "C",
    "K x",
    "@",
];

/// A console that these keys have led to, where everything is called so and fails so.
fn called((width, height): (u16, u16), plain: bool, keys: &str, name: &str, error: &str) -> App {
    let mut app = live(width, height);
    app.shared.setup.plain = plain;
    let mut integrations = fixtures::integrations();
    for it in &mut integrations {
        name.clone_into(&mut it.name);
        error.clone_into(&mut it.company);
        error.clone_into(&mut it.last_error);
    }
    feed(&mut app, Msg::Snapshot { version: error.to_owned(), integrations });
    error.clone_into(&mut app.shared.setup.target);
    visit_by(&mut app, keys, &|query: &Query| hostile_answer(query, error));
    let mut attempts = fixtures::attempts();
    for it in &mut attempts {
        error.clone_into(&mut it.error);
        name.clone_into(&mut it.lead_name);
    }
    feed(&mut app, Msg::Attempts { integration: "01I1".to_owned(), attempts, first: true });
    feed(&mut app, Msg::Refused(error.to_owned()));
    app
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_size_and_no_text_breaks_a_screen(
        (width, height) in (1_u16..=200, 1_u16..=60),
        (told_width, told_height) in (1_u16..=200, 1_u16..=60),
        same in any::<bool>(),
        (name, error) in (hostile(), hostile()),
        keys in prop::sample::select(KEYS.to_vec()),
        ascii in any::<bool>(),
        plain in any::<bool>(),
    ) {
        let mut app = called((width, height), plain, keys, &name, &error);
        // A resize reaches the terminal before it reaches the state.
        if !same {
            feed(&mut app, Msg::Resize(told_width, told_height));
        }
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme { depth: Depth::Ansi16, ascii, plain };
        terminal.draw(|frame| app.draw(theme, frame)).unwrap();
        let steers = |c: char| {
            c.is_control()
                || matches!(c, '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
                || matches!(c, '\u{2066}'..='\u{2069}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}')
                || matches!(c, '\u{e000}'..='\u{f8ff}')
        };
        for cell in terminal.backend().buffer().content() {
            prop_assert!(!cell.symbol().contains(steers), "{:?}", cell.symbol());
            prop_assert!(cell.symbol().len() <= 64, "one letter with {} bytes of marks", cell.symbol().len());
        }
    }
    /// Where one is, is no text's to say: it stands where it stands with one that is spelled as long and marks nothing.
    #[test]
    fn no_text_takes_the_cursor_of_a_plain_screen(
        size in (60_u16..=200, 15_u16..=60),
        letters in prop::collection::vec(prop::sample::select(vec![SELECTED, FOCUSED, "x", " "]), 1..6),
        keys in prop::sample::select(KEYS.to_vec()),
    ) {
        let text = letters.concat();
        let harmless = text.replace(SELECTED, "\u{200b}").replace(FOCUSED, "\u{200c}");
        let places = [text, harmless].map(|text| {
            let app = called(size, true, keys, &text, &text);
            let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
            let theme = Theme { depth: Depth::Mono, ascii: false, plain: true };
            terminal.draw(|frame| app.draw(theme, frame)).unwrap();
            terminal.get_cursor_position().unwrap()
        });
        prop_assert_eq!(places[0], places[1], "{}", keys);
    }
}
