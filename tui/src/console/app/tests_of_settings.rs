//! What settings of the reader's own change of the console.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::App;
use super::pictures::{shown, text};
use super::tests::{last, mutation, selected};
use crate::console::fixtures::{feed, live, press, visit};
use crate::console::msg::{Effect, Mouse, Msg};
use crate::console::theme::{Depth, Theme};

#[test]
fn whoever_is_careful_types_each_number_and_each_name() {
    let mut app = live(120, 36);
    app.shared.setup.careful = true;
    visit(&mut app, "r");
    assert!(shown(&app).contains("Type 1 to confirm"), "{}", shown(&app));
    assert!(press(&mut app, "y enter").is_empty(), "it was typed, and is no number");
    assert_eq!(last(&app), "not possible: type the count");
    assert!(mutation(&press(&mut app, "^u 1 enter")).is_some(), "{}", shown(&app));
    for (keys, name) in [("e", "hubspot-eu"), ("t", "hubspot-eu"), ("a 0", "hubspot-eu")] {
        let mut app = live(120, 36);
        app.shared.setup.careful = true;
        visit(&mut app, keys);
        assert!(shown(&app).contains(&format!("Type {name} to confirm")), "{keys}: {}", shown(&app));
        press(&mut app, "enter");
        assert_eq!(last(&app), "not possible: type the full name");
        assert!(mutation(&press(&mut app, &format!("{name} enter"))).is_some(), "{keys}: {}", shown(&app));
    }
}

#[test]
fn whatever_a_name_is_made_of_something_can_be_typed() {
    let long = "Die Hochzeitsscheune am Rande des Waldes hinter dem alten Wasserturm links";
    let careful = |name: &str| {
        let mut app = live(120, 36);
        app.shared.setup.careful = true;
        app.shared.integrations.iter_mut().for_each(|it| it.name = name.to_owned());
        app
    };
    for name in ["hub\u{200d}spot", "hub\u{e000}spot"] {
        for (keys, verb) in [("t", "push"), ("a o", "rotate")] {
            let mut app = careful(name);
            visit(&mut app, keys);
            let asked = format!("Type {verb} to confirm");
            assert!(shown(&app).contains(&asked), "{keys}: {}", shown(&app));
            press(&mut app, "enter");
            assert_eq!(last(&app), "not possible: type what it does");
            assert!(
                mutation(&press(&mut app, &format!("{verb} enter"))).is_some(),
                "{keys}: {}",
                shown(&app)
            );
        }
    }
    let mut app = careful(long);
    visit(&mut app, "t");
    let text = shown(&app);
    let asked = text.split("Type this to confirm, all of it:").nth(1).unwrap_or_default();
    assert!(asked.contains("alten Wasserturm") && asked.contains("links "), "{text}");
    press(&mut app, "enter");
    assert_eq!(last(&app), "not possible: type the full name");
    let typed = long.replace(' ', " space ");
    assert!(mutation(&press(&mut app, &format!("{typed} enter"))).is_some(), "{}", shown(&app));
}

#[test]
fn a_mouse_moves_and_selects_and_never_acts() {
    let mut app = live(80, 24);
    let effects = press(&mut app, ": m o u s e enter");
    assert!(matches!(effects[..], [Effect::Mouse(true)]), "{effects:?}");
    assert!(last(&app).starts_with("the mouse is on"), "{}", last(&app));
    feed(&mut app, Msg::Mouse(Mouse::WheelDown));
    assert!(selected(&app).contains("of-tomorrow"), "{}", shown(&app));
    feed(&mut app, Msg::Mouse(Mouse::WheelUp));
    assert!(selected(&app).contains("hubspot-eu"), "{}", shown(&app));
    let row = |app: &App, name: &str| {
        let line = shown(app).lines().position(|line| line.contains(name)).unwrap();
        u16::try_from(line).unwrap()
    };
    let at = row(&app, "warehouse");
    assert!(feed(&mut app, Msg::Mouse(Mouse::Click { column: 20, row: at })).is_empty());
    assert!(selected(&app).contains("warehouse"), "{}", shown(&app));
    // The head, the frame and what is beside the list select nothing.
    for (column, row) in [(20, at - 6), (20, 0), (0, 2), (79, at + 1), (20, 23)] {
        feed(&mut app, Msg::Mouse(Mouse::Click { column, row }));
        assert!(selected(&app).contains("warehouse"), "{column} {row}: {}", shown(&app));
    }
    // A question is answered by keys.
    press(&mut app, "e");
    let question = shown(&app);
    for mouse in [Mouse::WheelDown, Mouse::Click { column: 40, row: 12 }] {
        assert!(feed(&mut app, Msg::Mouse(mouse)).is_empty());
    }
    assert_eq!(shown(&app), question);
    press(&mut app, "esc");
    let effects = press(&mut app, ": m o u s e enter");
    assert!(matches!(effects[..], [Effect::Mouse(false)]), "{effects:?}");
}

#[test]
fn among_cards_a_click_selects_nothing_that_was_drawn_before() {
    let mut app = live(120, 36);
    press(&mut app, "v");
    let text = shown(&app);
    let at = text.lines().position(|line| line.contains("warehouse")).unwrap();
    press(&mut app, "v");
    let before = shown(&app);
    feed(&mut app, Msg::Mouse(Mouse::Click { column: 20, row: u16::try_from(at).unwrap() }));
    assert_eq!(shown(&app), before);
}

/// A screen that is drawn to be read out, and its line from the cursor on.
fn read_out(app: &App) -> (String, String) {
    let mut terminal = Terminal::new(TestBackend::new(app.shared.width, app.shared.height)).unwrap();
    let theme = Theme { depth: Depth::Mono, ascii: false, plain: true };
    terminal.draw(|frame| app.draw(theme, frame)).unwrap();
    let place = terminal.get_cursor_position().unwrap();
    let text = text(terminal.backend().buffer());
    let line = text.lines().nth(usize::from(place.y)).unwrap_or_default();
    let line: String = line.chars().skip(usize::from(place.x)).collect();
    (text, line)
}

fn plain() -> App {
    let mut app = live(120, 36);
    app.shared.setup.plain = true;
    app
}

#[test]
fn what_is_read_out_has_no_frames_and_the_cursor_where_one_is() {
    for keys in
        ["1", "2", "3 s a r a h enter", "4", "5", "6", "6 enter", "enter", "enter enter", ":", "?", "a"]
    {
        let mut app = plain();
        visit(&mut app, keys);
        let (text, _) = read_out(&app);
        let looks =
            |c: char| ('\u{2500}'..='\u{259f}').contains(&c) || ('\u{e000}'..='\u{f8ff}').contains(&c);
        assert!(!text.contains(looks), "{keys}: {text}");
    }
    let mut app = plain();
    let (text, line) = read_out(&app);
    assert!(line.starts_with(">  hubspot-eu ") && text.contains("Integrations 7"), "{line}\n{text}");
    press(&mut app, "down");
    assert!(read_out(&app).1.starts_with(">  salesforce "), "{}", read_out(&app).0);
    // Where one types, the cursor is there.
    press(&mut app, "/ h u b");
    assert_eq!(read_out(&app).1, "", "behind what is typed: {}", read_out(&app).0);
    press(&mut app, "esc");
    // A question is read alone, and begins with what Enter does.
    visit(&mut app, "e");
    let (text, line) = read_out(&app);
    assert!(line.starts_with("[ Cancel ]") && !text.contains("LAST ERROR"), "{line}\n{text}");
    press(&mut app, "tab");
    assert!(read_out(&app).1.starts_with("[ Disable ]"), "{}", read_out(&app).0);
    press(&mut app, "esc :");
    let (text, line) = read_out(&app);
    assert!(line.starts_with("> ") && !text.contains("LAST ERROR"), "{line}\n{text}");
    // With two lists on the screen, it is in the one that has the keys.
    let mut app = plain();
    visit(&mut app, "2");
    assert!(read_out(&app).1.contains("PROPERTY_DOESNT_EXIST"), "{}", read_out(&app).0);
    visit(&mut app, "enter");
    assert!(read_out(&app).1.contains("Sarah Patel"), "{}", read_out(&app).0);
}
