//! What is copied leaves by the terminal, through tmux too, or by a file.

use std::{fs, os::unix::fs::PermissionsExt as _};

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{Pty, leadline};
use serde_json::json;

use super::{ENTER, SMALL};

/// How much a target says: all of it is kept.
const ANSWER: usize = 4000;

/// A console with these variables in front of a lead of Sarah's that so many targets have refused at length.
async fn before_a_lead(targets: usize, variables: &[(&str, &str)]) -> (leadline_tests::Scene, Pty) {
    let scene = leadline_tests::Scene::with(Behaviour::RefuseAll(422, "A".repeat(ANSWER))).await;
    for n in 1..targets {
        let url = scene.receiver.url(&format!("/{n}"));
        scene.operator.webhook(7, &format!("target-{n}"), &url, json!({})).await;
    }
    let mut lead = sample_lead(1);
    lead["lead"]["email"] = json!("sarah@example.com");
    scene.post_lead(&lead).await;
    scene.receiver.wait_for(targets).await;
    scene.wait_until("SELECT bool_and(state = 'dead') FROM delivery").await;
    let server = format!("unix:{}", scene.daemon.socket().display());
    let mut console = Pty::start_with(variables, leadline(), &["--server", &server], SMALL);
    console.wait_for_all(&["LIVE", "crm"]).await;
    console.press("3");
    console.wait_for_all(&["Find a lead"]).await;
    console.press("sarah@");
    console.wait_for_all(&["Found 1"]).await;
    console.press(ENTER);
    console.wait_for_all(&["✗ dead"]).await;
    (scene, console)
}

#[tokio::test]
async fn evidence_that_is_too_long_for_the_clipboard_leaves_by_a_file_of_ones_own() {
    const TARGETS: usize = 20;
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().display().to_string();
    let (scene, mut console) = before_a_lead(TARGETS, &[("XDG_STATE_HOME", &folder)]).await;
    console.press("x");
    console.wait_for_all(&["Markdown"]).await;
    console.press(ENTER);
    console.wait_for_all(&["too long for the clipboard: written to "]).await;
    let files = fs::read_dir(state.path().join("leadline")).unwrap().map(|file| file.unwrap().path());
    let kept: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect();
    let [path] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.len() > 64 * 1024 && text.contains("sarah@example.com"), "{} bytes", text.len());
    assert!((1..TARGETS).all(|n| text.contains(&format!("target-{n}"))), "all of it");
    let raw = String::from_utf8_lossy(console.shown().raw()).into_owned();
    assert!(!raw.contains("]52;"), "and nothing of it by the terminal");
    // The note names the file, whole where there is room.
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    console.press("@");
    console
        .wait_for("it is named", |shown| {
            let text = shown.text();
            let parts = text.split_whitespace().map(|part| part.trim_matches(['│', '┃']));
            parts.collect::<String>().contains(&name)
        })
        .await;
    scene.end().await;
}

#[tokio::test]
async fn within_tmux_it_is_handed_to_the_terminal_outside() {
    for (tmux, is_handed) in [("/tmp/tmux-1000/default,1,0", true), ("", false)] {
        let (scene, mut console) = before_a_lead(1, &[("TMUX", tmux)]).await;
        console.press("!");
        console.wait_for_all(&["The command for this", "copied the command"]).await;
        let raw = String::from_utf8_lossy(console.shown().raw()).into_owned();
        assert_eq!(raw.contains("\x1bPtmux;\x1b\x1b]52;c;"), is_handed, "{tmux:?}");
        assert!(raw.contains("\x1b]52;c;"));
        scene.end().await;
    }
}

#[tokio::test]
async fn the_clipboard_of_the_machine_gets_it_too_unless_the_reader_sits_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (program, copied) = (dir.path().join("wl-copy"), dir.path().join("copied"));
    fs::write(&program, format!("#!/bin/sh\ncat > '{}'\n", copied.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    for (ssh, is_given) in [("10.0.0.1 5000 10.0.0.2 22", false), ("", true)] {
        let variables = [("PATH", path.as_str()), ("WAYLAND_DISPLAY", "wayland-0"), ("SSH_CONNECTION", ssh)];
        let (scene, mut console) = before_a_lead(1, &variables).await;
        console.press("!");
        console.wait_for_all(&["The command for this", "copied the command"]).await;
        assert!(String::from_utf8_lossy(console.shown().raw()).contains("\x1b]52;c;"));
        let text = fs::read_to_string(&copied).ok();
        assert_eq!(text.is_some_and(|text| text.contains("leadline lead ")), is_given, "{ssh:?}");
        scene.end().await;
    }
}
