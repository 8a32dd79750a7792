//! What the screens look like, in sixteen colours and without any; and that no size and no text can break them.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

use super::draw;
use crate::fixtures::{self, ago, feed, live, opened, press};
use crate::model::Model;
use crate::model::data::{Badge, Conn, Done, Estimate, Secret};
use crate::msg::{Command, Effect, Msg};
use crate::theme::{Depth, Theme};

const COLOUR: Theme = Theme { depth: Depth::Ansi16, ascii: false };
const PLAIN: Theme = Theme { depth: Depth::Mono, ascii: true };

fn drawn(model: &Model, theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(model.size.width, model.size.height)).unwrap();
    terminal.draw(|frame| draw(model, &theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.area.height;
    let row = |y: u16| {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                skip = symbol.width().max(1);
            }
            skip -= 1;
        }
        line.trim_end().to_owned()
    };
    (0..rows).map(row).collect::<Vec<_>>().join("\n")
}

/// A scene in every size and both looks.
fn check(name: &str, scene: impl Fn(u16, u16) -> Model) {
    for (width, height) in [(80, 24), (120, 36), (40, 12)] {
        let model = scene(width, height);
        for (look, theme) in [("colour", COLOUR), ("plain", PLAIN)] {
            let buffer = drawn(&model, theme);
            let text = text(&buffer);
            if look == "plain" {
                assert!(text.is_ascii(), "{name} {width}x{height}: {text}");
            }
            insta::assert_snapshot!(format!("{name}_{width}x{height}_{look}"), text);
        }
    }
}

fn ticket(effects: &[Effect]) -> u64 {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Net(Command::Estimate { ticket, .. } | Command::Mutate { ticket, .. }) => Some(*ticket),
            _ => None,
        })
        .unwrap()
}

fn secret(width: u16, height: u16) -> Model {
    // The dialog cannot be confirmed in a window too small to show it.
    let mut model = opened(80, 24);
    press(&mut model, "esc a");
    press(&mut model, "end down down down down enter hubspot-eu");
    let effects = press(&mut model, "enter enter");
    let mut integration = fixtures::hubspot();
    integration.grace_until = Some(ago(-86_400));
    let secret = Some(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
    let done = Ok(Done::Rotated { integration, secret });
    feed(&mut model, Msg::Answered { ticket: ticket(&effects), done });
    feed(&mut model, Msg::Resize(width, height));
    model
}

#[test]
fn overview() {
    check("overview", live);
}

#[test]
fn overview_filtered() {
    check("overview_filtered", |width, height| {
        let mut model = live(width, height);
        press(&mut model, "/hook");
        model
    });
}

#[test]
fn overview_lost() {
    check("overview_lost", |width, height| {
        let mut model = live(width, height);
        let error =
            "no daemon answers at unix:/run/leadline/control.sock (nobody listens); start `leadlined`";
        let conn = Conn::Lost { error: error.to_owned(), retry_at: model.now, attempt: 4 };
        feed(&mut model, Msg::Conn(conn));
        model.stale_since = Some(ago(14));
        model
    });
}

#[test]
fn overview_before_anything() {
    check("overview_connecting", |width, height| {
        Model::new(fixtures::setup(true), fixtures::now(), width, height)
    });
}

#[test]
fn integration() {
    check("integration", |width, height| {
        let mut model = opened(width, height);
        press(&mut model, "space");
        let mut newer = fixtures::failed("A9");
        newer.started_at = Some(fixtures::now());
        feed(
            &mut model,
            Msg::Attempts { integration: "01I1".to_owned(), attempts: vec![newer], first: false },
        );
        model
    });
}

#[test]
fn attempt() {
    check("attempt", |width, height| {
        let mut model = opened(width, height);
        press(&mut model, "enter");
        model
    });
}

#[test]
fn retry_dialog() {
    check("retry", |width, height| {
        let mut model = opened(width, height);
        let effects = press(&mut model, "* r");
        let estimate = Ok(Estimate { count: 4, seconds: 2.2 });
        feed(&mut model, Msg::Estimated { ticket: ticket(&effects), estimate });
        model
    });
}

#[test]
fn bulk_retry_dialog() {
    check("retry_bulk", |width, height| {
        let mut model = live(width, height);
        let effects = press(&mut model, "r");
        let estimate = Ok(Estimate { count: 12, seconds: 75.0 });
        feed(&mut model, Msg::Estimated { ticket: ticket(&effects), estimate });
        press(&mut model, "1");
        model
    });
}

#[test]
fn enable_dialog() {
    check("enable", |width, height| {
        let mut model = live(width, height);
        press(&mut model, "/warehouse enter e");
        model
    });
}

#[test]
fn rotate_dialog() {
    check("rotate", |width, height| {
        let mut model = opened(width, height);
        press(&mut model, "a up down down down down enter hubspot-e");
        model
    });
}

#[test]
fn rotation_staged_and_company_paused() {
    check("staged", |width, height| {
        let mut model = live(width, height);
        let mut staged = fixtures::hubspot();
        (staged.staged_version, staged.awaits_cut_over) = (2, true);
        let mut paused = fixtures::integrations().remove(0);
        paused.paused = true;
        feed(&mut model, Msg::Changes { changed: vec![staged, paused], removed: vec![] });
        press(&mut model, "c");
        model
    });
}

#[test]
fn one_time_secret() {
    check("secret", secret);
    check("secret_shown", |width, height| {
        let mut model = secret(80, 24);
        press(&mut model, "v y space");
        feed(
            &mut model,
            Msg::Copied(Ok("copied the secret, 38 bytes, through the terminal (OSC 52)".to_owned())),
        );
        feed(&mut model, Msg::Resize(width, height));
        model
    });
}

#[test]
fn help() {
    check("help", |width, height| {
        let mut model = opened(width, height);
        press(&mut model, "?");
        model
    });
}

#[test]
fn palette_and_copy_menu() {
    check("palette", |width, height| {
        let mut model = opened(width, height);
        press(&mut model, ":re");
        model
    });
    check("copy", |width, height| {
        let mut model = opened(width, height);
        press(&mut model, "y");
        model
    });
    check("actions", |width, height| {
        let mut model = live(width, height);
        press(&mut model, "a");
        model
    });
}

#[test]
fn states_differ_without_colour_and_alarm_is_reversed_with_it() {
    let model = live(120, 36);
    let plain = text(&drawn(&model, PLAIN));
    let marks = ["x FAILING", "! CREDENTIALS", "~ retrying", "? unknown", "- disabled", "+ ok"];
    for (badge, mark) in Badge::ALL.into_iter().zip(marks) {
        assert!(plain.contains(mark), "{badge:?}: {plain}");
    }
    let buffer = drawn(&model, COLOUR);
    let shown = text(&buffer);
    let (y, line) = shown.lines().enumerate().find(|(_, line)| line.contains("[ 23 failures ]")).unwrap();
    let x = line[..line.find("[ 23").unwrap()].width();
    let cell = &buffer[(x as u16, y as u16)];
    assert_eq!(cell.fg, Color::Red);
    assert!(cell.modifier.contains(Modifier::REVERSED));
    for theme in [COLOUR, PLAIN] {
        let buffer = drawn(&live(80, 24), theme);
        assert!(buffer.content().iter().all(|cell| cell.bg == Color::Reset));
        let selected = &buffer[(5, 4)];
        assert!(selected.modifier.contains(Modifier::REVERSED));
        if theme.depth == Depth::Mono {
            assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset));
        }
    }
}

#[test]
fn a_masked_secret_is_in_no_cell() {
    assert!(!text(&drawn(&secret(80, 24), COLOUR)).contains("whsec"));
}

#[test]
fn lost_and_read_only_are_never_cut() {
    for width in 60..=130 {
        let mut model = live(width, 24);
        model.setup.read_only = true;
        let conn = Conn::Lost { error: "x".to_owned(), retry_at: ago(-8), attempt: 12 };
        feed(&mut model, Msg::Conn(conn));
        let header = text(&drawn(&model, COLOUR)).lines().next().unwrap().to_owned();
        assert!(
            header.contains("LOST") && header.contains("STALE") && header.ends_with("READ-ONLY"),
            "{header}"
        );
    }
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\u{1b}]52;c;aGk=\u{7}\u{1b}[2J".to_owned()),
        Just("\u{202e}evil\u{2066}".to_owned()),
        Just("👩\u{200d}👩\u{200d}👧 日本語 e\u{301}\u{301}".to_owned()),
        Just("a\tb\r\nc\u{0}\u{9b}31m".to_owned()),
        Just("x".repeat(100_000)),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_size_and_no_text_breaks_a_screen(
        (width, height) in (1_u16..=200, 1_u16..=60),
        (told_width, told_height) in (1_u16..=200, 1_u16..=60),
        same in any::<bool>(),
        (name, error) in (hostile(), hostile()),
        keys in prop::sample::select(vec!["", "enter", "enter enter", "?", ":", "y", "a", "r", "/x", "enter * r", "e", "enter enter end"]),
        ascii in any::<bool>(),
    ) {
        let mut model = opened(width, height);
        press(&mut model, "esc esc esc");
        for it in &mut model.integrations {
            it.name.clone_from(&name);
            it.last_error.clone_from(&error);
        }
        model.setup.target.clone_from(&error);
        if !keys.is_empty() {
            press(&mut model, keys);
        }
        let mut attempts = fixtures::attempts();
        for it in &mut attempts {
            it.error.clone_from(&error);
            it.lead.clone_from(&name);
        }
        feed(&mut model, Msg::Attempts { integration: "01I1".to_owned(), attempts, first: true });
        let mut detail = fixtures::detail();
        detail.response_body = error.clone().into_bytes();
        detail.url.clone_from(&name);
        feed(&mut model, Msg::Detail { attempt: "A4".to_owned(), detail: Ok(detail) });
        feed(&mut model, Msg::Refused(error));
        // A resize reaches the terminal before it reaches the model.
        if !same {
            feed(&mut model, Msg::Resize(told_width, told_height));
        }
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme { depth: Depth::Ansi16, ascii };
        terminal.draw(|frame| draw(&model, &theme, frame)).unwrap();
        let steers = |c: char| c.is_control() || matches!(c, '\u{200d}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        for cell in terminal.backend().buffer().content() {
            prop_assert!(!cell.symbol().contains(steers), "{:?}", cell.symbol());
        }
    }
}
