//! The console on a terminal of its own, in front of a real daemon: what an operator sees, presses and leaves behind.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{ChildDaemon, Database, Operator, Pty, leadline, post_lead};
use serde_json::json;
use tokio::process::Command;

use crate::leads::verify;

mod activity;
mod copying;
mod hostile;
mod hygiene;
mod jumps;
mod moves;
mod undo;

const SMALL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (120, 36);
const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
const RED: vt100::Color = vt100::Color::Idx(1);

/// A daemon with one integration, the receiver behind it, and the console in front.
struct Scene {
    set: leadline_tests::Scene,
    console: Pty,
}

impl Scene {
    async fn set(behaviour: Behaviour, size: (u16, u16)) -> Self {
        let set = leadline_tests::Scene::set().behaviour(behaviour).webhook("crm-of-barn", "/hook");
        let set = set.start().await;
        let console = console_of(&set.daemon.socket().display().to_string(), size);
        Self { set, console }
    }

    async fn end(self) {
        drop(self.console);
        self.set.end().await;
    }
}

fn console_of(socket: &str, size: (u16, u16)) -> Pty {
    Pty::start(leadline(), &["--server", &format!("unix:{socket}")], size)
}

async fn a_red_badge_leads_to_its_attempt_and_clears(size: (u16, u16)) {
    let refusal = json!({ "error": "the date is in the past" }).to_string();
    let mut scene = Scene::set(Behaviour::RefuseAll(400, refusal), size).await;
    let console = &mut scene.console;
    console.wait_for_all(&["LIVE", "crm-of-barn", "ok"]).await;
    let posted =
        post_lead(&scene.set.daemon.url("/v1/leads"), &scene.set.key, sample_lead(1).to_string()).await;
    assert_eq!(posted.0, 202);
    console.wait_for_all(&["FAILING", "[ 1 failure ]", "dead 1"]).await;
    {
        let shown = console.shown();
        let (word, count) = (shown.cell("FAILING"), shown.cell("[ 1 failure ]"));
        assert_eq!((word.fgcolor(), word.bold()), (RED, true));
        assert_eq!((count.fgcolor(), count.inverse()), (RED, true));
    }

    // Where there is little room, the error has it.
    let (first, manual) =
        if size == WIDE { ("1 first", "2 manual") } else { ("400    1 {\"error\"", "200    2") };
    console.press(ENTER);
    console
        .wait_for_all(&["Attempts 1", "✗ failed", "400", first, "the date is in the past", "rejected"])
        .await;
    console.press(ENTER);
    // What the target answered is seen without a key, and the request after one jump.
    console.wait_for_all(&["esponse", "\"error\": \"the date is in the past\""]).await;
    console.press("}}");
    console.wait_for_all(&["equest", &format!("POST {}", scene.set.receiver.url("/hook"))]).await;

    scene.set.receiver.set(Behaviour::Good);
    console.press("r");
    console
        .wait_for_all(&["Retry ", "The Old Barn / crm-of-barn?", "date is in the past", "1 delivery,"])
        .await;
    {
        let shown = console.shown();
        assert!(shown.cell("[ Cancel ]").inverse() && !shown.cell("[ Retry ]").inverse());
    }
    console.answer("y").await;
    console.wait_for_all(&["crm-of-barn: 1 delivery"]).await;
    console.press("q");
    console.wait_for_all(&["Attempts 2", "✓ delivered", "200", manual]).await;
    console.press("q");
    console.wait_for_none(&["FAILING", "[ 1 failure ]", "dead 1", "Attempts"]).await;
    console.wait_for_all(&["1 failure before"]).await;
    assert_eq!(console.shown().cell("✓ ok").fgcolor(), vt100::Color::Idx(2));
    let requests = scene.set.receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    scene.end().await;
}

#[tokio::test]
async fn a_red_badge_leads_to_its_attempt_and_clears_at_80x24() {
    a_red_badge_leads_to_its_attempt_and_clears(SMALL).await;
}

#[tokio::test]
async fn a_red_badge_leads_to_its_attempt_and_clears_at_120x36() {
    a_red_badge_leads_to_its_attempt_and_clears(WIDE).await;
}

#[tokio::test]
async fn a_server_error_shows_the_retries_that_follow() {
    let mut scene = Scene::set(Behaviour::RefuseAll(500, "out of order".into()), WIDE).await;
    scene.set.post(1).await;
    scene.console.wait_for_all(&["… retrying", "[ 1 failure ]", "1 pending"]).await;
    scene.console.press(ENTER);
    scene
        .console
        .wait_for_all(&["500", "out of order", "transient", "2 retry", "Wait for the automatic retry"])
        .await;
    scene.end().await;
}

#[tokio::test]
async fn an_integration_is_disabled_and_enabled() {
    let mut scene = Scene::set(Behaviour::Good, SMALL).await;
    scene.console.wait_for_all(&["LIVE", "✓ ok"]).await;
    scene.console.press("e");
    scene.console.wait_for_all(&["Disable The Old Barn / crm-of-barn?", "[ Disable ]"]).await;
    scene.console.answer(ENTER).await;
    scene.console.wait_for_none(&["Disable The Old Barn / crm-of-barn?"]).await;
    assert!(scene.set.operator.integration(&scene.set.integration).await.enabled, "Cancel had the focus");
    scene.console.press("e");
    scene.console.wait_for_all(&["[ Disable ]"]).await;
    scene.console.answer("y").await;
    scene.console.wait_for_all(&["⏸ disabled", "e enable"]).await;

    scene.set.post(1).await;
    scene.console.wait_for_all(&["1 held"]).await;
    scene.console.press("e");
    scene
        .console
        .wait_for_all(&["Enable The Old Barn / crm-of-barn?", "1 delivery is held", "(x) keep held"])
        .await;
    scene.console.answer("\t\t\x1b[C").await;
    scene.console.wait_for_all(&["(x) release"]).await;
    scene.console.press("y");
    scene.set.receiver.wait_for(1).await;
    scene.console.wait_for_all(&["✓ ok"]).await;
    scene.console.wait_for_none(&["never"]).await;
    scene.end().await;
}

#[tokio::test]
async fn a_rotated_secret_is_shown_once_and_signs_from_then_on() {
    let mut scene = Scene::set(Behaviour::Good, WIDE).await;
    let console = &mut scene.console;
    console.wait_for_all(&["LIVE", "✓ ok"]).await;
    console.press(":");
    console.wait_for_all(&["Command"]).await;
    console.press("rotate");
    console.wait_for_none(&["test push"]).await;
    console.press(ENTER);
    console
        .wait_for_all(&["Rotate the signing secret of The Old Barn /", "Type crm-of-barn to confirm"])
        .await;
    console.answer("crm-of-barn").await;
    console.wait_for_all(&["[ Rotate ]"]).await;
    console.press(ENTER);

    console.wait_for_all(&["One-time secret", "••••••••", "[ ] I have stored it"]).await;
    console.answer(ENTER).await;
    console.wait_for_all(&["tick the box first: space"]).await;
    assert!(!String::from_utf8_lossy(console.shown().raw()).contains("whsec_"), "it was never shown");
    console.press("v");
    console.wait_for_all(&["whsec_"]).await;
    let secret = secret_on(&console.shown().text());
    console.press(" ");
    console.wait_for_all(&["[x] I have stored it", "[ Done ]"]).await;
    console.press(ENTER);
    console.wait_for_none(&["One-time secret", "whsec_"]).await;

    scene.set.post(1).await;
    verify(&scene.set.receiver.wait_for(1).await[0], &secret);
    scene.end().await;
}

fn secret_on(screen: &str) -> String {
    let start = screen.find("whsec_").unwrap();
    screen[start..].split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_daemon_that_dies_leaves_its_data_and_comes_back() {
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    operator.webhook(7, "crm-of-barn", "https://example.com/", json!({})).await;
    let mut console = console_of(&daemon.socket().display().to_string(), SMALL);
    console.wait_for_all(&["LIVE", "crm-of-barn"]).await;
    daemon.kill().await;
    console.wait_for_all(&["LOST", "STALE", "crm-of-barn"]).await;
    console.press("e");
    console.wait_for_all(&["not possible: not connected"]).await;
    assert!(!console.shown().has("Disable"), "no dialog opens");
    daemon.restart().await;
    console.wait_for("it is live again by itself", |shown| shown.has("LIVE") && !shown.has("STALE")).await;
    console.press("e");
    console.wait_for_all(&["Disable The Old Barn / crm-of-barn?"]).await;
    console.press(ESCAPE);
    console.wait_for_none(&["Disable The Old Barn / crm-of-barn?"]).await;
    console.press("q");
    assert!(console.end().await.success());
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn a_daemon_that_hangs_is_lost_soon() {
    let database = Database::create().await;
    let mut daemon = ChildDaemon::start(Some(&database), &[]).await;
    let operator = Operator::new(daemon.control().await);
    operator.company(7).await;
    operator.webhook(7, "crm-of-barn", "https://example.com/", json!({})).await;
    let mut console = console_of(&daemon.socket().display().to_string(), SMALL);
    console.wait_for_all(&["LIVE", "crm-of-barn"]).await;
    daemon.signal("STOP").await;
    let stopped = Instant::now();
    console.wait_for_all(&["LOST", "STALE", "crm-of-barn"]).await;
    // Four seconds, and as many again for a machine that is busy with other tests.
    assert!(stopped.elapsed() < Duration::from_secs(8), "{:?}", stopped.elapsed());
    daemon.signal("CONT").await;
    console.wait_for("it is live again by itself", |shown| shown.has("LIVE") && !shown.has("STALE")).await;
    console.press("q");
    assert!(console.end().await.success());
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn without_a_terminal_there_is_a_hint_and_no_escape() {
    let output = Command::new(leadline()).stdin(Stdio::null()).env("TERM", "xterm").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let reported = String::from_utf8(output.stderr).unwrap();
    assert!(
        reported.contains("needs a terminal") && reported.contains("leadline integration list"),
        "{reported}"
    );
    assert!(reported.lines().count() == 1 && !reported.contains('\x1b'), "{reported:?}");

    let mut dumb = Pty::start_on("dumb", leadline(), &[], SMALL);
    assert_eq!(dumb.end().await.exit_code(), 2);
    assert!(!dumb.shown().raw().contains(&0x1b));
}

#[tokio::test]
async fn the_demo_plays_and_leaves_nothing_behind() {
    let mut demo = Pty::start(leadline(), &["demo"], SMALL);
    demo.wait_for_all(&["starting ", "leadlined in "]).await;
    let reported = demo.shown().text();
    let dir =
        PathBuf::from(reported.split("leadlined in ").nth(1).unwrap().split_whitespace().next().unwrap());
    demo.wait_for_all(&["LIVE", "refuses", "FAILING", "good", "✓ ok"]).await;
    assert!(dir.is_dir());
    demo.press("q");
    assert!(demo.end().await.success());
    assert!(demo.is_untouched() && !demo.shown().screen().alternate_screen());
    assert!(!dir.exists(), "{} is left", dir.display());
}
