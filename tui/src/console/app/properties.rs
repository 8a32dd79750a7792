//! What holds whatever comes in, in whatever order: nothing panics, nothing changes but what a question or a form said
//! that it would, and what an open question, form or menu is about never changes.

use std::path::Path;

use crossterm::event::KeyCode;
use jiff::SignedDuration;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::App;
use crate::config::Config;
use crate::console::data::{Conn, Done, Mutation, Query, Secret};
use crate::console::dialogs::editor::about::About;
use crate::console::dialogs::{Confirm, Dialog, Pick};
use crate::console::fixtures::{self, answer, attempts, failed, integrations, now};
use crate::console::keymap::Press;
use crate::console::msg::{DaemonRequest, Effect, Mouse, Msg};
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
    let letters: Vec<KeyCode> = "yyyrretaqKmPExxsJJWXZZTi:?/fFwzdvSIoVcC@!<>[]{} *uvn123456hjklGg"
        .chars()
        .map(KeyCode::Char)
        .collect();
    let codes: Vec<KeyCode> = named.into_iter().chain(letters).collect();
    let keys = (prop::sample::select(codes), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
        .prop_map(|(code, ctrl, repeat)| Msg::Key(Press { code, ctrl, repeat }));
    let click = (0_u16..130, 0_u16..40).prop_map(|(column, row)| Mouse::Click { column, row });
    let mouse = prop_oneof![Just(Mouse::WheelUp), Just(Mouse::WheelDown), click].prop_map(Msg::Mouse);
    prop_oneof![12 => keys, 1 => mouse]
}

fn news() -> impl Strategy<Value = Msg> {
    let id = prop::sample::select(vec!["01I1", "01I2", "01I3", "01I4"]);
    prop_oneof![
        prop::sample::select(vec![
            Conn::Live,
            Conn::Live,
            Conn::Connecting,
            Conn::Denied("no".to_owned()),
            Conn::Lost { error: "x".to_owned(), retry_at: now(), attempt: 1, heard_at: None },
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

/// What the open question, form or menu is about; nothing may change it but its own keys.
fn target(app: &App) -> Option<String> {
    match &app.dialog {
        Some(Dialog::Confirm(confirm)) => Some(format!("{:?}", named(confirm))),
        Some(Dialog::Menu(menu)) => Some(format!("{:?} {:?}", menu.items, menu.subject)),
        Some(Dialog::Editor(editor)) => Some(format!("{:?}", editor.about())),
        Some(Dialog::Notice(_)) | None => None,
    }
}

/// What a question says, and what it would change.
fn named(it: &Confirm) -> (String, Vec<String>, Mutation) {
    (it.question.clone(), it.facts.clone(), it.mutation())
}

/// Whether this change is the one that the dialog was about.
fn is_announced(dialog: Option<&Dialog>, mutation: &Mutation) -> bool {
    match dialog {
        Some(Dialog::Confirm(confirm)) => confirm.obstacle().is_none() && confirm.mutation() == *mutation,
        Some(Dialog::Editor(editor)) => About::of(mutation) == Some(editor.about()),
        _ => false,
    }
}

/// Whether something had to be typed, and was.
fn is_typed(dialog: Option<&Dialog>) -> bool {
    let Some(Dialog::Confirm(confirm)) = dialog else { return false };
    confirm.expected().is_some_and(|expected| expected.trim() == confirm.input.text().trim())
}

/// Whether what leaves for a file, another program or a lead's history is what the menu offered.
fn is_offered(dialog: Option<&Dialog>, pick: &Pick) -> bool {
    matches!(dialog, Some(Dialog::Menu(menu)) if menu.items.iter().any(|item| item.pick == *pick))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in(
        messages in prop::collection::vec(prop_oneof![3 => key(), 1 => news()], 0..160),
        read_only in prop::bool::weighted(0.2),
        careful in prop::bool::weighted(0.3),
        serves in prop::bool::weighted(0.8),
    ) {
        let mut app = App::new(fixtures::setup(read_only), now(), 120, 36);
        app.shared.setup.careful = careful;
        let own = "[[command]]\nname = \"wipe\"\nkey = \"J\"\nrun = \"wipe $SELECTED_LEAD\"\ndangerous = true\n";
        let config = Config::parse(own, Path::new("/x/config.toml")).unwrap();
        app.shared.setup.keymap = config.keymap().clone();
        app.shared.setup.commands = config.commands();
        let mut open: Vec<Msg> = Vec::new();
        for msg in [Msg::Conn(Conn::Live), Msg::Snapshot { version: "1".to_owned(), integrations: integrations() }]
            .into_iter()
            .chain(messages)
        {
            open.push(msg);
            while let Some(msg) = open.pop() {
                let before = target(&app);
                let dialog = app.dialog.clone();
                let may_change = app.shared.locked().is_none() && app.shared.is_usable();
                let is_key = matches!(msg, Msg::Key(_));
                let pressed = matches!(msg, Msg::Key(Press { repeat: false, .. }));
                let later = app.shared.now + SignedDuration::from_millis(170);
                let effects = app.update(later, msg);
                for effect in &effects {
                    match effect {
                        Effect::Net(DaemonRequest::Mutate { mutation, .. }) => {
                            let is_announced = is_announced(dialog.as_ref(), mutation);
                            prop_assert!(is_announced && may_change && pressed, "{mutation:?} of {dialog:?}");
                            prop_assert!(!careful || is_typed(dialog.as_ref()), "{mutation:?} of {dialog:?}");
                        }
                        Effect::Net(DaemonRequest::Ask { query: Query::Evidence { uuid, company, json, mask }, .. }) => {
                            let (uuid, company) = (uuid.clone(), *company);
                            let pick = Pick::Evidence { uuid, company, json: *json, mask: *mask };
                            prop_assert!(is_offered(dialog.as_ref(), &pick), "{pick:?} of {dialog:?}");
                        }
                        Effect::Run(program) => {
                            let pick = Pick::Run(Box::new(program.clone()));
                            prop_assert!(is_offered(dialog.as_ref(), &pick), "{pick:?} of {dialog:?}");
                        }
                        _ => {}
                    }
                }
                if let (Some(before), Some(after), false) = (before, target(&app), is_key) {
                    prop_assert_eq!(before, after, "news changed what the dialog is about");
                }
                for effect in effects {
                    if let Effect::Net(DaemonRequest::Ask { ticket, query }) = effect
                        && serves
                    {
                        open.push(Msg::Answered { ticket, answer: Ok(answer(&query)) });
                    }
                }
                prop_assert!(app.next_change().is_none_or(|at| at > app.shared.now));
            }
        }
        let mut terminal = Terminal::new(TestBackend::new(90, 30)).unwrap();
        let theme = Theme { depth: Depth::Ansi16, ascii: false, plain: false };
        terminal.draw(|frame| app.draw(theme, frame)).unwrap();
    }
}
