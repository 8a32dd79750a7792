//! The terminal is given back as it was, whatever happens to the console or to the terminal.

use leadline_fakes::Behaviour;
#[cfg(debug_assertions)]
use leadline_tests::leadline;
use leadline_tests::{Pty, Shown, wait_until};

use super::{ESCAPE, SMALL, Scene, console_of};

/// A console whose daemon is not there.
fn lonely() -> Pty {
    console_of("/nonexistent/control.sock", SMALL)
}

/// Checks that a program that has ended left its terminal in the modes in which it found it.
fn assert_modes_given_back(console: &Pty) {
    assert!(console.is_untouched(), "raw mode is on");
    let shown = console.shown();
    let screen = shown.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
}

/// The same, and nothing on the screen.
fn assert_given_back(console: &Pty) {
    assert_modes_given_back(console);
    assert_eq!(console.shown().text(), "", "nothing is left behind");
}

#[tokio::test]
async fn quitting_and_being_told_to_leave_the_terminal_as_it_was() {
    for (how, code) in [("q", 0), ("\x03", 0), ("TERM", 143), ("INT", 130)] {
        let mut console = lonely();
        console.wait_for_all(&["LOST", "retry"]).await;
        assert!(!console.is_untouched());
        assert!(console.shown().screen().alternate_screen() && console.shown().screen().hide_cursor());
        if code == 0 {
            console.press(how)
        } else {
            console.signal(how)
        }
        assert_eq!(console.end().await.exit_code(), code, "{how}");
        assert_given_back(&console);
    }
}

#[tokio::test]
async fn a_terminal_that_hangs_up_takes_the_console_with_it() {
    let mut console = lonely();
    console.wait_for_all(&["LOST"]).await;
    let code = console.hang_up().await.exit_code();
    assert!(code == 129 || code == 1, "{code}: 1 is a frame that could not be written");
}

/// Stops a console in this way, looks at the terminal meanwhile, and lets it go on.
async fn is_stopped_and_goes_on(stop: impl Fn(&mut Pty)) {
    let mut console = lonely();
    console.wait_for_all(&["LOST"]).await;
    stop(&mut console);
    let stat = format!("/proc/{}/stat", console.pid());
    let state = || std::fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().trim().chars().next();
    wait_until("it is stopped", async || state() == Some('T')).await;
    console.wait_for("the screen is given back", |shown| !shown.screen().alternate_screen()).await;
    assert!(console.is_untouched());
    console.signal("CONT");
    console
        .wait_for("it is drawn again", |shown| shown.screen().alternate_screen() && shown.has("LOST"))
        .await;
    console.press("q");
    assert_eq!(console.end().await.exit_code(), 0);
    assert_given_back(&console);
}

#[tokio::test]
async fn suspending_lends_the_terminal_out() {
    is_stopped_and_goes_on(|console| console.press("\x1a")).await;
}

#[tokio::test]
async fn whoever_stops_it_from_outside_gets_the_terminal_too() {
    is_stopped_and_goes_on(|console| console.signal("TSTP")).await;
}

#[tokio::test]
async fn a_storm_of_sizes_ends_in_the_last_one() {
    let mut console = lonely();
    console.wait_for_all(&["LOST"]).await;
    for n in 1..=200_u16 {
        console.resize((n % 97 + 1, n % 31 + 1));
    }
    console.resize((72, 18));
    let corner = |shown: &Shown| shown.screen().cell(2, 71).is_some_and(|cell| cell.contents() == "┓");
    let footer =
        |shown: &Shown| shown.screen().rows(0, 72).nth(17).is_some_and(|row| row.ends_with("? help"));
    console.wait_for("the frame has the last size", |shown| corner(shown) && footer(shown)).await;
    console.press("q");
    assert_eq!(console.end().await.exit_code(), 0);
}

#[tokio::test]
async fn the_smallest_terminals_break_nothing() {
    for size in [(1, 1), (20, 5), (1, 50), (200, 1)] {
        let mut console = console_of("/nonexistent/control.sock", size);
        console.wait_for("a frame", |shown| shown.frame_end(0).is_some()).await;
        console.press("q");
        assert_eq!(console.end().await.exit_code(), 0, "started in {size:?}");
        assert_modes_given_back(&console);

        let mut console = lonely();
        console.wait_for_all(&["LOST"]).await;
        let from = console.shown().raw().len();
        console.resize(size);
        console.wait_for("a frame of that size", |shown| shown.frame_end(from).is_some()).await;
        console.resize(SMALL);
        let footer =
            |shown: &Shown| shown.screen().rows(0, 80).nth(23).is_some_and(|row| row.ends_with("? help"));
        console.wait_for("the frame has its old size", |shown| shown.has("LOST") && footer(shown)).await;
        console.press("q");
        assert_eq!(console.end().await.exit_code(), 0, "went through {size:?}");
        assert_given_back(&console);
    }
}

#[tokio::test]
async fn what_is_pasted_is_never_read_as_keys() {
    let mut scene = Scene::set(Behaviour::RefuseAll(400, "no".to_owned()), SMALL).await;
    scene.set.post(1).await;
    let console = &mut scene.console;
    console.wait_for_all(&["FAILING", "dead 1"]).await;
    // The keys would retry, rotate, and confirm; help opens over no dialog, so that none has opened before it.
    for pasted in ["rXy\n", "r", "y\n", "q", "\x03"] {
        console.press(&format!("\x1b[200~{pasted}\x1b[201~?"));
        console.wait_for_all(&["Help"]).await;
        console.press(ESCAPE);
        console.wait_for_none(&["Help"]).await;
        console.wait_for_all(&["FAILING", "dead 1"]).await;
        assert!(!console.shown().has("Retry ") && !console.shown().has("not possible"), "{pasted:?}");
    }
    assert_eq!(scene.set.receiver.requests().len(), 1);
    scene.end().await;
}

/// The console, in which something breaks on purpose. Only builds for tests can do that.
#[cfg(debug_assertions)]
fn breaking(place: &str) -> Pty {
    let args = ["--server", "unix:/nonexistent/control.sock"];
    Pty::start_with(&[("LEADLINE_TEST_PANIC", place), ("RUST_BACKTRACE", "0")], leadline(), &args, SMALL)
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_of_its_own_leaves_the_terminal_as_it_was_and_says_so() {
    let mut console = breaking("key");
    console.wait_for_all(&["LOST"]).await;
    console.press("j");
    assert_eq!(console.end().await.exit_code(), 101);
    assert_modes_given_back(&console);
    let said = console.shown().text();
    assert!(said.contains("panicked at") && said.contains("broken for a test: key"), "{said}");
    assert!(
        !said.contains("LOST") && !said.contains("Overview"),
        "on the screen that was there before: {said}"
    );
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_behind_the_screen_leaves_the_screen() {
    let mut console = breaking("task");
    console.wait_for_all(&["the connection broke inside the console", "start it again"]).await;
    assert!(console.shown().screen().alternate_screen() && !console.is_untouched());
    assert!(!String::from_utf8_lossy(console.shown().raw()).contains("panicked"), "it goes to no cell");
    console.press("?");
    console.wait_for_all(&["Help"]).await;
    console.press(ESCAPE);
    console.wait_for_none(&["Help"]).await;
    console.press("q");
    assert_eq!(console.end().await.exit_code(), 0);
    assert_given_back(&console);
}
