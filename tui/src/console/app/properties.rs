//! What holds whatever comes in, in whatever order.

use crossterm::event::KeyCode;
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::fixtures::{self, attempts, failed, integrations, now};
use crate::keymap::Press;
use crate::model::Model;
use crate::model::data::{Conn, Done, Estimate, Secret};
use crate::model::dialog::Dialog;
use crate::msg::{Command, Effect, Msg};
use crate::update::update;

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
    let letters: Vec<KeyCode> = "yyyrretaq:?/fFw *uvn12hjklGg".chars().map(KeyCode::Char).collect();
    let codes: Vec<KeyCode> = named.into_iter().chain(letters).collect();
    (prop::sample::select(codes), prop::bool::weighted(0.1), prop::bool::weighted(0.1))
        .prop_map(|(code, ctrl, repeat)| Msg::Key(Press { code, ctrl, repeat }))
}

fn news() -> impl Strategy<Value = Msg> {
    let id = prop::sample::select(vec!["01I1", "01I2", "01I3", "01I4"]);
    let ticket = 1_u64..12;
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
        (ticket.clone(), 0_u64..20).prop_map(|(ticket, count)| Msg::Estimated {
            ticket,
            estimate: Ok(Estimate { count, seconds: 1.0 }),
        }),
        ticket.prop_map(|ticket| Msg::Answered {
            ticket,
            done: Ok(Done::Rotated {
                integration: fixtures::hubspot(),
                secret: Some(Secret::new("s".to_owned())),
            }),
        }),
        Just(Msg::Detail { attempt: "A4".to_owned(), detail: Ok(fixtures::detail()) }),
        Just(Msg::Paste("y\nq".to_owned())),
        (1_u16..200, 1_u16..60).prop_map(|(width, height)| Msg::Resize(width, height)),
        Just(Msg::Tick),
    ]
}

fn script() -> impl Strategy<Value = Vec<Msg>> {
    prop::collection::vec(prop_oneof![5 => key(), 1 => news()], 1..120)
}

/// A change may only come from a question that was open, had settled, and had nothing in its way.
fn may_change(model: &Model) -> bool {
    let answered = match &model.dialog {
        Some(Dialog::Confirm(confirm)) => confirm.obstacle().is_none(),
        _ => false,
    };
    answered && model.locked().is_none() && model.secrets.is_empty() && model.size.is_usable()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn selections_exist_and_changes_are_confirmed(script in script(), read_only in prop::bool::weighted(0.2)) {
        let mut model = fixtures::live(100, 30);
        model.setup.read_only = read_only;
        for (at, msg) in script.into_iter().enumerate() {
            let allowed = may_change(&model);
            let time = now() + SignedDuration::from_millis(at as i64 * 160 + 1000);
            let effects = update(&mut model, time, msg.clone());
            for effect in &effects {
                if let Effect::Net(Command::Mutate { .. }) = effect {
                    prop_assert!(allowed, "{msg:?}");
                    prop_assert!(!read_only);
                    let pressed = matches!(msg, Msg::Key(Press { repeat: false, .. }));
                    prop_assert!(pressed);
                }
            }
            let visible = model.visible();
            match &model.overview.selected {
                Some(id) => prop_assert!(visible.iter().any(|it| it.id == *id)),
                None => prop_assert!(visible.is_empty()),
            }
            if let Some(open) = &model.open {
                let visible = open.visible();
                match &open.selected {
                    Some(id) => prop_assert!(visible.iter().any(|a| a.id == *id)),
                    None => prop_assert!(visible.is_empty()),
                }
                prop_assert!(open.marks.iter().all(|id| visible.iter().any(|a| a.id == *id)));
                prop_assert!(open.attempts.len() <= 50 + open.marks.len() + 1);
            }
            prop_assert!(model.next_change().is_none_or(|at| at > model.now));
        }
    }
}
