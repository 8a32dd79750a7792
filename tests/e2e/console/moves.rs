//! The keys that move, as a real terminal sends them.

use leadline_tests::key;
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
