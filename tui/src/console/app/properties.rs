//! What holds whatever comes in, in whatever order: nothing panics, nothing changes without a confirmed question, and
//! the question's target never changes.

use crossterm::event::KeyCode;
use jiff::SignedDuration;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::App;
use crate::console::data::{Conn, Done, Secret};
use crate::console::dialogs::Dialog;
use crate::console::fixtures::{self, answer, attempts, failed, integrations, now};
use crate::console::keymap::Press;
use crate::console::msg::{Command, Effect, Msg};
use crate::console::theme::{Depth, Theme};

fn key() -> impl Strategy<Value = Msg> {
    let named = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Backspace,
    ];
    let letters: Vec<KeyCode> =
        "yyyrretaqKmPExsWXTi:?/fFwzdvSIoVcC@!<>[]{} *uvn123456hjklGg".chars().map(KeyCode::Char).collect();
    let codes: Vec<KeyCode> = named.into_iter().chain(letters).collect();
    (prop::sample::select(codes), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
        .prop_map(|(code, ctrl, repeat)| Msg::Key(Press { code, ctrl, repeat }))
}

fn news() -> impl Strategy<Value = Msg> {
    let id = prop::sample::select(vec!["01I1", "01I2", "01I3", "01I4"]);
    prop_oneof![
        prop::sample::select(vec![
            Conn::Live,
            Conn::Live,
            Conn::Connecting,
            Conn::Denied("no".to_owned()),
            Conn::Lost { error: "x".to_owned(), retry_at: now(), attempt: 1 },
        ])
        .prop_map(Msg::Conn),
        (0_usize..7).prop_map(|keep| Msg::Snapshot {
            version: "1".to_owned(),
            integrations: integrations().into_iter().take(keep).collect(),
        }),
        id.clone().prop_map(|id| Msg::Changes { changed: vec![], removed: vec![id.to_owned()] }),
        (id.clone(), any::<bool>()).prop_map(|(id, first)| Msg::Attempts {
            integration: id.to_owned(),
            attempts: attempts(),
            first,
        }),
        (id, 0_u32..200).prop_map(|(id, n)| Msg::Attempts {
            integration: id.to_owned(),
            attempts: vec![failed(&format!("B{n}"))],
            first: false,
        }),
        (1_u64..12).prop_map(|ticket| Msg::Done {
            ticket,
            done: Ok(Done::Rotated {
                integration: Box::new(fixtures::hubspot()),
                secret: Some(Secret::new("s".to_owned())),
            }),
        }),
        Just(Msg::Paste("y\nq".to_owned())),
        (1_u16..200, 1_u16..60).prop_map(|(width, height)| Msg::Resize(width, height)),
        Just(Msg::Tick),
    ]
}

/// What the open question is about; nothing may change it but its own choice.
fn target(app: &App) -> Option<(String, Vec<String>)> {
    match &app.dialog {
        Some(Dialog::Confirm(confirm)) => Some((confirm.question.clone(), confirm.facts.clone())),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in(
        messages in prop::collection::vec(prop_oneof![3 => key(), 1 => news()], 0..160),
        read_only in prop::bool::weighted(0.2),
        serves in prop::bool::weighted(0.8),
    ) {
        let mut app = App::new(fixtures::setup(read_only), now(), 120, 36);
        let mut open: Vec<Msg> = Vec::new();
        for msg in [Msg::Conn(Conn::Live), Msg::Snapshot { version: "1".to_owned(), integrations: integrations() }]
            .into_iter()
            .chain(messages)
        {
            open.push(msg);
            while let Some(msg) = open.pop() {
                let before = target(&app);
                let had_question = app.dialog.is_some();
                let may_change = app.shared.locked().is_none() && app.shared.is_usable();
                let is_key = matches!(msg, Msg::Key(_));
                let pressed = matches!(msg, Msg::Key(Press { repeat: false, .. }));
                let later = app.shared.now + SignedDuration::from_millis(170);
                let effects = app.update(later, msg);
                for effect in &effects {
                    if let Effect::Net(Command::Mutate { .. }) = effect {
                        prop_assert!(had_question && may_change && pressed, "a change without a question");
                    }
                }
                if let (Some(before), Some(after), false) = (before, target(&app), is_key) {
                    prop_assert_eq!(before, after, "news changed what the question is about");
                }
                for effect in effects {
                    if let Effect::Net(Command::Ask { ticket, query }) = effect
                        && serves
                    {
                        open.push(Msg::Answered { ticket, answer: Ok(answer(&query)) });
                    }
                }
                prop_assert!(app.next_change().is_none_or(|at| at > app.shared.now));
            }
        }
        let mut terminal = Terminal::new(TestBackend::new(90, 30)).unwrap();
        let theme = Theme { depth: Depth::Ansi16, ascii: false };
        terminal.draw(|frame| app.draw(theme, frame)).unwrap();
    }
}
