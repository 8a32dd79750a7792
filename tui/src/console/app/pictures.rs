//! What the screens look like: one sheet for each, with every size, in sixteen colours and in ASCII without any.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

use super::App;
use super::frame::{draw_parts, is_covered};
use crate::console::data::{Badge, Conn, Done, Estimate, Secret};
use crate::console::dialogs::{Dialog, Estimating};
use crate::console::fixtures::{self, ago, feed, live, opened, press, visit};
use crate::console::msg::{DaemonRequest, Effect, Msg};
use crate::console::screen::View;
use crate::console::theme::{Depth, Theme};

const COLOUR: Theme = Theme { depth: Depth::Ansi16, ascii: false, plain: false };
const PLAIN: Theme = Theme { depth: Depth::Mono, ascii: true, plain: false };

fn drawn(app: &App, theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(app.shared.width, app.shared.height)).unwrap();
    terminal.draw(|frame| app.draw(theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

pub(super) fn text(buffer: &Buffer) -> String {
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
    (0..buffer.area.height).map(row).collect::<Vec<_>>().join("\n")
}

/// What the console shows in colour.
pub(crate) fn shown(app: &App) -> String {
    text(&drawn(app, COLOUR))
}

/// Whether a text that is shown is faint.
pub(super) fn is_faint(app: &App, wanted: &str) -> bool {
    let buffer = drawn(app, COLOUR);
    let shown = text(&buffer);
    let (y, line) = shown.lines().enumerate().find(|(_, line)| line.contains(wanted)).unwrap();
    let x = line[..line.find(wanted).unwrap()].width();
    buffer[(x as u16, y as u16)].modifier.contains(Modifier::DIM)
}

/// Notes which cells an act paints anew: column and row.
pub(super) fn changed_cells<T>(
    app: &mut App,
    painted: &mut Vec<(u16, u16)>,
    act: impl FnOnce(&mut App) -> T,
) -> T {
    let before = drawn(app, COLOUR);
    let acted = act(app);
    painted.extend(before.diff(&drawn(app, COLOUR)).into_iter().map(|(x, y, _)| (x, y)));
    acted
}

/// Which cells of a row are coloured or reversed: `3-9 red+bold`.
fn styles(buffer: &Buffer) -> String {
    let mut lines = String::new();
    for y in 0..buffer.area.height {
        let mut runs: Vec<(u16, u16, String)> = Vec::new();
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let mut name = match cell.fg {
                Color::Reset => String::new(),
                color => format!("{color:?}").to_lowercase(),
            };
            for (flag, word) in [(Modifier::REVERSED, "reversed"), (Modifier::BOLD, "bold")] {
                if cell.modifier.contains(flag) {
                    name.push_str(if name.is_empty() { "" } else { "+" });
                    name.push_str(word);
                }
            }
            match runs.last_mut() {
                Some((_, end, last)) if *last == name && *end + 1 == x => *end = x,
                _ if name.is_empty() => {}
                _ => runs.push((x, x, name)),
            }
        }
        let runs: Vec<String> = runs.iter().map(|(from, to, name)| format!("{from}-{to} {name}")).collect();
        if !runs.is_empty() {
            lines.push_str(&format!("{y}: {}\n", runs.join("  ")));
        }
    }
    lines
}

/// What a sheet shows: of something that lies over a screen that alone, so that another column of the screen is no
/// change of it.
fn pictured(app: &App, theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(app.shared.width, app.shared.height)).unwrap();
    let view = View { shared: &app.shared, theme };
    terminal.draw(|frame| draw_parts(app, view, !is_covered(app), frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// One sheet: a scene in every size, in both looks, with its colours.
fn sheet(name: &str, scene: impl Fn(u16, u16) -> App) {
    let mut sheet = String::new();
    for (width, height) in [(80, 24), (120, 36), (200, 60)] {
        let app = scene(width, height);
        let (colour, plain) = (pictured(&app, COLOUR), pictured(&app, PLAIN));
        let ascii = text(&plain);
        assert!(ascii.is_ascii(), "{name} {width}x{height}: {ascii}");
        sheet.push_str(&format!("=== {width}x{height}\n{}\n", text(&colour)));
        sheet.push_str(&format!("=== {width}x{height} colours\n{}", styles(&colour)));
        sheet.push_str(&format!("=== {width}x{height} ASCII\n{ascii}\n"));
    }
    insta::assert_snapshot!(name, sheet);
}

fn at(keys: &'static str) -> impl Fn(u16, u16) -> App {
    move |width, height| {
        let mut app = live(width, height);
        visit(&mut app, keys);
        app
    }
}

#[test]
fn overview() {
    sheet("overview", live);
    sheet("overview_list", at("v / r e t esc"));
    sheet("overview_lost", |width, height| {
        let mut app = live(width, height);
        let error =
            "no daemon answers at unix:/run/leadline/control.sock (nobody listens); start `leadlined`";
        let conn =
            Conn::Lost { error: error.to_owned(), retry_at: app.shared.now, attempt: 4, heard_at: None };
        feed(&mut app, Msg::Conn(conn));
        app.shared.stale_since = Some(ago(14));
        app
    });
    sheet("overview_before_anything", |width, height| {
        App::new(fixtures::setup(true), fixtures::now(), width, height)
    });
}

#[test]
fn integration() {
    sheet("integration", |width, height| {
        let mut app = opened(width, height);
        visit(&mut app, "space");
        app
    });
    sheet("integration_deliveries", |width, height| {
        let mut app = opened(width, height);
        visit(&mut app, "v");
        app
    });
}

#[test]
fn attempt() {
    sheet("attempt", |width, height| {
        let mut app = opened(width, height);
        visit(&mut app, "enter");
        app
    });
    sheet("attempt_compared", |width, height| {
        let mut app = opened(width, height);
        visit(&mut app, "d");
        app
    });
}

#[test]
fn the_other_numbers() {
    sheet("failures", at("2"));
    sheet("leads", at("3 s a r a h"));
    sheet("leads_anywhere", at("3 q u a r t e t enter"));
    sheet("lead", at("3 s a r a h enter"));
    sheet("lead_everywhere", at("3 s a r a h enter v"));
    sheet("jobs", at("4"));
    sheet("activity", at("5"));
    sheet("system", at("6"));
    sheet("company", at("6 enter"));
    sheet("profiles", profiles);
}

/// The console of one profile beside two others: one with a failing integration, one that is away.
pub(crate) fn profiles(width: u16, height: u16) -> App {
    let mut app = live(width, height);
    app.shared.setup.profile = Some("west".to_owned());
    app.shared.setup.others = vec!["north".to_owned(), "south".to_owned()];
    press(&mut app, "0");
    let mut failing = fixtures::integration("01N1", "pipedrive", Badge::Failing);
    (failing.company, failing.dead, failing.last_error) =
        ("Hill Chapel".to_owned(), 40, "402 Payment Required: the trial has ended".to_owned());
    let integrations = vec![failing, fixtures::integration("01N2", "crm-hook", Badge::Ok)];
    let lost = Conn::Lost {
        error: "no daemon answers at south:7443".to_owned(),
        retry_at: ago(-8),
        attempt: 2,
        heard_at: None,
    };
    for (profile, said) in [
        ("north", Msg::Conn(Conn::Live)),
        ("north", Msg::Snapshot { version: "0.1.0".to_owned(), integrations }),
        ("south", Msg::Conn(lost)),
    ] {
        feed(&mut app, Msg::Elsewhere { profile: profile.to_owned(), said: Box::new(said) });
    }
    app
}

#[test]
fn questions() {
    sheet("retry_one", |width, height| {
        let mut app = opened(width, height);
        visit(&mut app, "r");
        app
    });
    sheet("retry_many", |width, height| {
        let mut app = live(width, height);
        press(&mut app, "r");
        if let Some(Dialog::Confirm(confirm)) = &mut app.dialog {
            let sample = ["Sarah Patel", "Tom Reed", "Ada Byron"].map(str::to_owned).to_vec();
            let Estimating::Waiting(ticket) = confirm.estimate else { panic!("it counts") };
            confirm.estimated(ticket, Ok(Estimate { count: 12, seconds: 75.0, sample }));
        }
        press(&mut app, "1");
        app
    });
    sheet("rotate", at("a o h u b"));
    sheet("snooze", at("2 s tab tab tab t o m o r r o w"));
    sheet("secret", secret);
}

#[test]
fn editors_and_menus() {
    sheet("credentials", at("K s e c r e t"));
    sheet("mapping", at("3 s a r a h enter m"));
    sheet("new_integration", at("n w e b enter"));
    sheet("settings", at(","));
    sheet("flow", at("3 s a r a h enter down E"));
    sheet("help", at("?"));
    sheet("palette", at(": h u b"));
    sheet("actions", at("a"));
    sheet("messages", at("2 t y @"));
}

#[test]
fn a_question_lies_over_the_screen_that_it_was_asked_on() {
    for (keys, asked, seen) in [
        ("r", "Retry every dead delivery", "warehouse"),
        ("?", "Help", "of-tomorr"),
        ("2 s", "Snooze", "Failures by cause"),
    ] {
        let app = at(keys)(120, 36);
        let text = shown(&app);
        assert!(text.contains(asked) && text.contains(seen), "{keys}: {text}");
        let sheet = super::pictures::text(&pictured(&app, COLOUR));
        assert!(sheet.contains(asked) && !sheet.contains(seen), "{keys}: {sheet}");
    }
}

fn ticket(effects: &[Effect]) -> u64 {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Net(DaemonRequest::Mutate { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    found.unwrap()
}

fn secret(width: u16, height: u16) -> App {
    // The dialog cannot be confirmed in a window too small to show it.
    let mut app = live(80, 24);
    press(&mut app, "a o");
    let effects = press(&mut app, "hubspot-eu enter");
    let mut integration = fixtures::hubspot();
    integration.grace_until = Some(ago(-86_400));
    let secret = Some(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
    let done = Ok(Done::Rotated { integration: Box::new(integration), secret });
    feed(&mut app, Msg::Done { ticket: ticket(&effects), done });
    feed(&mut app, Msg::Resize(width, height));
    app
}

#[test]
fn states_differ_without_colour_and_alarm_is_reversed_with_it() {
    let app = live(120, 36);
    let plain = text(&drawn(&app, PLAIN));
    let marks = ["x FAILING", "! CREDENTIALS", "~ retrying", "? unknown", "- disabled", "+ ok"];
    for (badge, mark) in Badge::ALL.into_iter().zip(marks) {
        assert!(plain.contains(mark), "{badge:?}: {plain}");
    }
    let buffer = drawn(&app, COLOUR);
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
fn every_row_says_whose_it_is() {
    for (width, keys) in [(80, ""), (120, ""), (200, "v"), (120, "2"), (120, "3"), (120, "5")] {
        let mut app = live(width, 36);
        if !keys.is_empty() {
            visit(&mut app, keys);
        }
        assert!(shown(&app).contains("Rosewood"), "{width} {keys}: {}", shown(&app));
    }
    // Deliveries to integrations that are called alike, too.
    for (width, keys) in [(80, "2 enter"), (80, "4 enter"), (120, "2 enter")] {
        let mut app = live(width, 24);
        visit(&mut app, keys);
        let text = shown(&app);
        let row = text.lines().find(|line| line.contains("Sarah Patel")).unwrap();
        assert!(row.contains("Rosewood"), "{width} {keys}: {text}");
    }
    let mut app = live(120, 36);
    visit(&mut app, "r");
    assert!(shown(&app).contains("Retry every dead delivery of Rosewood Barn / hubspot-eu?"));
}

#[test]
fn a_masked_secret_is_in_no_cell() {
    assert!(!text(&drawn(&secret(80, 24), COLOUR)).contains("whsec"));
    let mut app = live(80, 24);
    visit(&mut app, "K");
    visit(&mut app, "h u n t e r 2");
    assert!(!shown(&app).contains("hunter"), "{}", shown(&app));
}

#[test]
fn lost_and_read_only_are_never_cut() {
    for width in 60..=130 {
        let mut app = live(width, 24);
        app.shared.setup.read_only = true;
        let conn = Conn::Lost { error: "x".to_owned(), retry_at: ago(-8), attempt: 12, heard_at: None };
        feed(&mut app, Msg::Conn(conn));
        let header = shown(&app).lines().next().unwrap().to_owned();
        assert!(
            header.contains("LOST") && header.contains("STALE") && header.ends_with("READ-ONLY"),
            "{header}"
        );
    }
}
