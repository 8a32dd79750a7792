//! That no size and no text can break a screen, nor say where one is on it.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::App;
use super::pictures::shown;
use crate::console::data::Query;
use crate::console::fixtures::{self, feed, hostile_answer, live, press, serve_by, visit_by};
use crate::console::msg::Msg;
use crate::console::screens::LEADS;
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

/// Screens, and what is typed on them.
const SCREENS: [&str; 24] = [
    "v",
    "enter",
    "enter enter",
    "/ x",
    "enter d",
    "enter v",
    "2",
    "2 enter",
    "2 tab tab",
    "3 enter",
    "3 x y",
    "3 x y enter",
    "3 x y enter v",
    "3 x y enter tab",
    "3 x y enter enter",
    "3 q u a r t e t enter",
    "4",
    "5",
    "5 down down down down down",
    "6",
    "6 enter",
    "0",
    "C",
    "@",
];

/// What lies over them: questions, menus, forms.
const DIALOGS: [&str; 45] = [
    "?",
    ": h",
    "y",
    "a",
    "a o",
    "c",
    "r",
    "enter r",
    "enter * r",
    "e",
    "t",
    ",",
    "n",
    "n w e b enter",
    "K x",
    "m",
    "2 r",
    "2 s",
    "2 a",
    "2 x",
    "2 y",
    "2 m",
    "2 K",
    "2 ,",
    "2 e",
    "2 !",
    "2 enter r",
    "2 enter * r",
    "2 enter x",
    "2 enter a h",
    "2 enter a s",
    "3 x y enter r",
    "3 x y enter P",
    "3 x y enter a",
    "3 x y enter a s",
    "3 x y enter x",
    "3 x y enter y",
    "3 x y enter m",
    "3 x y enter K",
    "3 x y enter e",
    "3 x y enter :",
    "3 x y enter down E",
    "4 X",
    "4 enter r",
    "6 enter a",
];

fn keys() -> impl Strategy<Value = &'static str> {
    prop::sample::select([&SCREENS[..], &DIALOGS[..]].concat())
}

#[test]
fn what_a_question_asks_is_seen_in_a_low_window_however_long_errors_are() {
    for (width, height) in [(80, 24), (60, 15)] {
        let mut app = live(width, height);
        press(&mut app, "enter");
        let mut attempts = fixtures::attempts();
        for it in &mut attempts {
            it.error = "the target wrote very much ".repeat(20);
        }
        feed(&mut app, Msg::Attempts { integration: "01I1".to_owned(), attempts, first: true });
        press(&mut app, "down space space space r");
        let text = shown(&app);
        for part in [
            "Retry 3 deliveries?",
            "Sarah Patel, 2026-11-20 14:01:41",
            "1 delivered already",
            "the same bytes go out",
            "[ Cancel ]",
        ] {
            assert!(text.contains(part), "{width}x{height}: {part}: {text}");
        }
    }
}

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
    let by = |query: &Query| hostile_answer(query, error);
    let (first, rest) = keys.split_once(' ').unwrap_or((keys, ""));
    visit_by(&mut app, first, &by);
    let mut attempts = fixtures::attempts();
    for it in &mut attempts {
        error.clone_into(&mut it.error);
        name.clone_into(&mut it.lead_name);
    }
    let effects = feed(&mut app, Msg::Attempts { integration: "01I1".to_owned(), attempts, first: true });
    serve_by(&mut app, effects, &by);
    visit_by(&mut app, rest, &by);
    feed(&mut app, Msg::Refused(error.to_owned()));
    app
}

/// The first cell that would steer the terminal, or has more marks than a letter can have.
fn steering(app: &App, (width, height): (u16, u16), theme: Theme) -> Option<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| app.draw(theme, frame)).unwrap();
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(c, '\u{2066}'..='\u{2069}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}')
            || matches!(c, '\u{e000}'..='\u{f8ff}')
    };
    let mut symbols = terminal.backend().buffer().content().iter().map(|cell| cell.symbol());
    symbols.find(|symbol| symbol.contains(steers) || symbol.len() > 64).map(str::to_owned)
}

/// Chance need not come to each of them: all are led to, and are what they are called.
#[test]
fn no_screen_and_no_dialog_lets_a_text_steer() {
    let worst =
        format!("\u{1b}]52;c;aGk=\u{7}\u{202e}e{}\u{3164}\u{9b}31m\r\n{SELECTED}", "\u{301}".repeat(200));
    let theme = Theme { depth: Depth::Ansi16, ascii: false, plain: false };
    for keys in SCREENS.into_iter().chain(DIALOGS) {
        let app = called((80, 24), false, keys, &worst, &worst);
        assert_eq!(app.dialog.is_some(), DIALOGS.contains(&keys), "{keys}");
        assert!(
            !keys.starts_with("3 x y enter") || app.stacks[LEADS].len() > 1,
            "{keys}: no lead was opened"
        );
        let found = steering(&app, (80, 24), theme);
        assert!(found.is_none(), "{keys}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_size_and_no_text_breaks_a_screen(
        (width, height) in (1_u16..=200, 1_u16..=60),
        (told_width, told_height) in (1_u16..=200, 1_u16..=60),
        same in any::<bool>(),
        (name, error) in (hostile(), hostile()),
        keys in keys(),
        ascii in any::<bool>(),
        plain in any::<bool>(),
    ) {
        let mut app = called((width, height), plain, keys, &name, &error);
        // A resize reaches the terminal before it reaches the state.
        if !same {
            feed(&mut app, Msg::Resize(told_width, told_height));
        }
        let found = steering(&app, (width, height), Theme { depth: Depth::Ansi16, ascii, plain });
        prop_assert!(found.is_none(), "{keys}: {found:?}");
    }

    /// Where one is, is no text's to say: it stands where it stands with one that is spelled as long and marks nothing.
    #[test]
    fn no_text_takes_the_cursor_of_a_plain_screen(
        size in (60_u16..=200, 15_u16..=60),
        letters in prop::collection::vec(prop::sample::select(vec![SELECTED, FOCUSED, "x", " "]), 1..6),
        keys in keys(),
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
