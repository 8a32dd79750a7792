//! The keys that move, as a real terminal sends them.

use std::fs;

use leadline_tests::{Pty, key, leadline};
use serde_json::json;

use super::{Behaviour, SMALL, Scene};

#[tokio::test]
async fn every_key_that_moves_is_known_as_a_terminal_sends_it() {
    let mut scene = Scene::set(Behaviour::Good, SMALL).await;
    for n in 1..=30 {
        let name = format!("hook-{n:02}");
        scene.set.operator.webhook(7, &name, &scene.set.receiver.url("/hook"), json!({})).await;
    }
    let console = &mut scene.console;
    console.wait_for_all(&["Integrations 31"]).await;
    for (pressed, on) in [
        ("Down", "hook-01"),
        ("Down", "hook-02"),
        ("Up", "hook-01"),
        ("End", "hook-30"),
        ("Home", "crm-of-barn"),
        ("PgDn", "hook-11"),
        ("PgDn", "hook-22"),
        ("PgUp", "hook-11"),
        ("Ctrl-d", "hook-22"),
        ("Ctrl-u", "hook-11"),
    ] {
        console.press(&key(pressed));
        let is_on = |line: &str| line.contains('▶') && line.contains(on);
        console.wait_for(&format!("{pressed}: {on}"), |shown| shown.text().lines().any(is_on)).await;
    }
    // In a line that is typed, they move in the line.
    console.press("/");
    console.press(&format!("ook-0{}h{}", key("Home"), key("End")));
    console.press(&format!("3x{}{}{}y", key("Left"), key("Delete"), key("Right")));
    console.press(&key("Backspace"));
    console.wait_for_all(&["/hook-03", "1 of 31", "hook-03"]).await;
    console.press(&key("Esc"));
    console.wait_for_all(&["Integrations 31"]).await;
    scene.end().await;
}

#[tokio::test]
async fn a_mouse_is_listened_to_where_that_is_wanted_and_given_back() {
    let set = leadline_tests::Scene::set().behaviour(Behaviour::Good).webhook("crm-of-barn", "/hook");
    let set = set.start().await;
    for n in 1..=4 {
        set.operator.webhook(7, &format!("hook-{n}"), &set.receiver.url("/hook"), json!({})).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let server = format!("unix:{}", set.daemon.socket().display());
    for (setting, is_on) in [("mouse = true\n", true), ("", false)] {
        fs::write(&path, setting).unwrap();
        let variables = [("LEADLINE_CONFIG", path.to_str().unwrap())];
        let mut console = Pty::start_with(&variables, leadline(), &["--server", &server], SMALL);
        console.wait_for_all(&["Integrations 5"]).await;
        let raw = |console: &Pty| String::from_utf8_lossy(console.shown().raw()).into_owned();
        assert_eq!(raw(&console).contains("\x1b[?1000h\x1b[?1006h"), is_on);
        if is_on {
            // A notch of the wheel downwards, then a click on the third row.
            console.press("\x1b[<65;10;6M");
            console.wait_for("the wheel moves", |shown| shown.has("▶  hook-3")).await;
            console.press("\x1b[<0;10;7M\x1b[<0;10;7m");
            console.wait_for("a click selects", |shown| shown.has("▶  hook-2")).await;
        }
        console.press("q");
        assert!(console.end().await.success());
        assert!(console.is_untouched());
        assert_eq!(raw(&console).contains("\x1b[?1006l\x1b[?1000l"), is_on);
    }
    set.end().await;
}
