//! Files that lists are written to: whatever a cell has no room for, they have it whole.

use super::App;
use super::pictures::{profiles, shown};
use crate::console::fixtures::{live, opened, press, visit};
use crate::console::msg::Effect;

/// What is written in this form.
fn written(app: &mut App, form: &str) -> String {
    press(app, "O");
    let effects = press(app, form);
    let [Effect::Write { text, .. }] = &effects[..] else { panic!("{effects:?}: {}", shown(app)) };
    text.clone()
}

fn at(keys: &str) -> App {
    let mut app = live(120, 36);
    visit(&mut app, keys);
    app
}

#[test]
fn a_file_has_the_whole_text_where_a_cell_has_a_part_of_it() {
    const ERROR: &str = "503 Service Unavailable: upstream is down for maintenance";
    for (name, mut app, whole) in [
        ("activity", at("5"), ERROR),
        ("attempts", opened(120, 36), ERROR),
        ("deliveries", at("enter v"), ERROR),
        ("leads of a cause", at("2 down enter"), "the token expired"),
        ("what a job touched", at("4 enter"), ERROR),
        ("causes", at("2"), "Rosewood Barn / hubspot-eu"),
        ("overview", at("v"), "429 Too Many Requests: the quota of the day is used up"),
        ("profiles", profiles(120, 36), "402 Payment Required: the trial has ended"),
        ("a lead", at("3 s a r a h enter"), "lead.created"),
    ] {
        for form in ["c", "j", "m"] {
            let text = written(&mut app, form);
            assert!(text.contains(whole), "{name}, {form}: {text}");
        }
    }
}
