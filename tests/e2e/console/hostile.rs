//! Text that others wrote, on the terminal: all of it is visible and bounded, whatever it says.

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{Pty, leadline, post_lead, wait_until};
use serde_json::{Value, json};

use super::{ENTER, ESCAPE, SMALL, Scene, WIDE};
use crate::terminal::on_a_terminal;

const LARGE: (u16, u16) = (200, 60);
/// Of each kind that hides or steers, what a name may hold: control characters are refused there.
const HIDDEN: &str = "\u{202e}\u{2066}\u{200b}\u{200f}\u{34f}\u{2060}\u{61c}\u{ad}\u{feff}\u{3164}\u{e0041}\u{115f}\u{2028}\u{e000}";
/// How many marks over one letter are drawn.
const MARKS_MAX: usize = 4;

/// What may stand on a terminal, written down: anything that is not in here is found.
fn is_printable(c: char) -> bool {
    matches!(c,
        ' '..='~'
        // Letters of Europe, and the marks over them; not the soft hyphen, nor the joiner among the marks.
        | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{34e}' | '\u{350}'..='\u{377}' | '\u{37a}'..='\u{37f}' | '\u{384}'..='\u{52f}'
        // Dashes, quotes and dots; money, letterlike signs, arrows and keys; frames, bars and ticks.
        | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{20a0}'..='\u{20bf}' | '\u{2100}'..='\u{23ff}'
        | '\u{2500}'..='\u{27bf}'
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}')
}

/// What the console itself may write behind `CSI`: modes of its own, colours, places, and the clearing of the screen.
fn is_ours(sequence: &str) -> bool {
    let numbers = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ';');
    match sequence.strip_suffix(['m', 'H']) {
        Some(parameters) => numbers(parameters),
        None => ["?1049h", "?1049l", "?2004h", "?2004l", "?25l", "?25h", "?2026h", "?2026l", "2J"]
            .contains(&sequence),
    }
}

/// Everything in the bytes of a terminal that is neither printable nor the console's own, nor one of these.
fn foreign(raw: &[u8], lines: &[char]) -> Vec<String> {
    let text = String::from_utf8(raw.to_vec()).unwrap();
    let (mut found, mut marks, mut skip) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        if at < skip {
            continue;
        }
        marks = if matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}') { marks + 1 } else { 0 };
        let sequence = text[at..].strip_prefix("\x1b[");
        let end = sequence.and_then(|csi| csi.find(|c: char| c.is_ascii_alphabetic()));
        match sequence.zip(end) {
            Some((csi, end)) if is_ours(&csi[..=end]) => skip = at + 2 + end + 1,
            _ if marks <= MARKS_MAX && (is_printable(c) || lines.contains(&c)) => {}
            _ => found.push(text[at..].chars().take(12).collect::<String>().escape_debug().to_string()),
        }
    }
    found
}

#[test]
fn the_list_of_what_may_be_shown_lets_nothing_hidden_through() {
    for hidden in HIDDEN
        .chars()
        .chain("\u{1b}\u{9b}\u{7f}\u{202a}\u{202d}\u{2067}\u{2069}\u{200c}\u{2064}\u{2800}\u{ffa0}\n".chars())
    {
        assert_eq!(foreign(hidden.to_string().as_bytes(), &[]).len(), 1, "{hidden:?}");
    }
    for sequence in ["\x1b[?1000h", "\x1b[3J", "\x1bc", "\x1b]52;c;aGk=\x07", "\x1b[6n"] {
        assert!(!foreign(sequence.as_bytes(), &[]).is_empty(), "{sequence:?}");
    }
    assert_eq!(
        foreign("\x1b[1;31m\x1b[?2026hé — ✗ 日本 │▁█⏎ e\u{301}\x1b[2J".as_bytes(), &[]),
        Vec::<String>::new()
    );
    assert_eq!(foreign(format!("e{}", "\u{301}".repeat(5)).as_bytes(), &[]).len(), 1);
}

#[tokio::test]
async fn nothing_that_a_receiver_writes_steers_the_terminal() {
    let hostile = format!(
        "evil\x1b]52;c;aGFjaw==\x07\x1b[2J\x1b[3J\x1b[?1000h\x1bc\u{9b}31m\u{202e}txt\u{2066}\u{200b}\r\n\x08\x7f\
         \u{3164}\u{2800}\u{115f}\u{1160}\u{ffa0}\u{feff}\u{ad}e{}{}",
        "\u{301}".repeat(1000),
        "A".repeat(1024 * 1024)
    );
    for size in [SMALL, WIDE] {
        let mut scene = Scene::set(Behaviour::RefuseAll(400, hostile.clone()), size).await;
        // The first part of an answer is kept; what the sender wrote is kept whole.
        let mut lead = sample_lead(1);
        lead["lead"]["odd"] = json!(format!("e{}", "\u{301}".repeat(10_000)));
        let url = scene.set.daemon.url("/v1/leads");
        assert_eq!(post_lead(&url, &scene.set.key, lead.to_string()).await.0, 202);
        let console = &mut scene.console;
        console.wait_for_all(&["FAILING", "400 evil"]).await;
        console.press(ENTER);
        console.wait_for_all(&["Attempts 1", "400"]).await;
        console.press(ENTER);
        console.wait_for_all(&["esponse", "AAAAAAAA"]).await;
        if size == WIDE {
            // The answer stands in the right one of two panes.
            console.press("\t");
        }
        console.press("w");
        console.wait_for_all(&["cut (w wraps)", r"evil\u{1b}]52;c;aGFjaw==\u{7}\u{1b}[2J"]).await;
        console.press("w");
        if size == WIDE {
            console.press("\t");
        }
        for _ in 0..40 {
            if String::from_utf8_lossy(console.shown().raw()).contains("+9996") {
                break;
            }
            // The request stands below the answer, or to its left.
            console.answer("\x1b[6~").await;
        }
        assert!(
            String::from_utf8_lossy(console.shown().raw()).contains("+9996"),
            "{}",
            console.shown().text()
        );
        console.press("q");
        console.wait_for_all(&["Attempts 1"]).await;
        assert_eq!(foreign(console.shown().raw(), &[]), Vec::<String>::new());
        scene.end().await;
    }
}

/// A lead of Sarah's, whose name hides things, and who says more in what else she wrote.
fn hostile_lead() -> Value {
    let mut lead = sample_lead(1);
    lead["lead"]["name"] = json!(format!("Zoe{HIDDEN}e{} Patel", "\u{301}".repeat(100)));
    lead["lead"]["email"] = json!("sarah@example.com");
    lead["lead"]["odd"] =
        json!(format!("\u{9b}31m\u{9d}52;c;aGk=\u{9c}{HIDDEN}e{}", "\u{301}".repeat(10_000)));
    lead
}

/// A company, an integration and a lead whose names hide things, and a target that refuses it with more of that; with
/// the lead's uuid.
async fn hostile_scene() -> (leadline_tests::Scene, String) {
    let refusal = format!("evil\x1b]52;c;aGk=\x07\x1b[2J\u{9b}31m{HIDDEN}e{}", "\u{301}".repeat(1000));
    let scene = leadline_tests::Scene::set().behaviour(Behaviour::RefuseAll(422, refusal));
    let scene = scene.webhook(&format!("Hook{HIDDEN}"), "/hook").start().await;
    let renamed = scene.cli.run(&["company", "update", "7", "--name", &format!("Barn{HIDDEN}")]).await;
    assert_eq!(renamed.code, 0, "{renamed:?}");
    let lead = hostile_lead();
    let (status, answer) = post_lead(&scene.daemon.url("/v1/leads"), &scene.key, lead.to_string()).await;
    assert_eq!(status, 202, "{answer}");
    scene.wait_for_states(&["dead"]).await;
    wait_until("it is a cause", async || scene.cli.json(&["failure", "list"]).await != json!([])).await;
    (scene, lead["lead"]["uuid"].as_str().unwrap().to_owned())
}

/// A way through screens and dialogs: keys, and what is seen then.
type Walk<'w> = &'w [(&'w str, &'w [&'w str])];

const SCREENS: Walk<'_> = &[
    ("2", &["[2 Failures", "evil", r"Barn\u{2"]),
    (ENTER, &[r"Zoe\u{2", "✗ dead"]),
    ("3", &["Find a lead"]),
    ("sarah@", &[r"Zoe\u{202e}"]),
    (ENTER, &[r"Zoe\u{202e}", r"Hook\u{2", "✗ dead", "evil"]),
    ("v", &["What happened"]),
    ("v", &["✗ dead"]),
    ("m", &["Mapping of", "What is sent for Zoe", "POST "]),
    (ESCAPE, &["✗ dead"]),
    ("4", &["[4 Jobs", r"Barn\u{2"]),
    (ENTER, &["[4 Jobs", r"Zoe\u{2"]),
    ("5", &["[5 Activity", r"Zoe\u{2", r"Hook\u{2"]),
    ("6", &["[6 System", r"Barn\u{202e}"]),
    ("1", &["[1 Overview"]),
    ("C", &[r"Barn\u{202e}", "intake keys", r"Hook\u{202e}"]),
    (ENTER, &["Attempts ", "evil", r"Zoe\u{2"]),
    (ENTER, &["esponse", "evil"]),
    ("1", &["[1 Overview"]),
];

/// Each dialog of the overview is opened, and left again.
const DIALOGS: Walk<'_> = &[
    ("?", &["Help"]),
    (ESCAPE, &["[1 Overview"]),
    (":zoe", &[r"Zoe\u{2"]),
    (ESCAPE, &["[1 Overview"]),
    ("c", &["One company only", r"Barn\u{2"]),
    (ESCAPE, &["[1 Overview"]),
    ("r", &["Retry every dead delivery", r"Hook\u{2", "evil"]),
    (ESCAPE, &["[1 Overview"]),
    ("t", &["Test", r"Hook\u{2"]),
    ("y", &["evil"]),
    ("@", &["Messages of this run", r"Hook\u{2", "evil"]),
    ("q", &["[1 Overview"]),
    ("e", &["Disable", r"Hook\u{2"]),
    (ESCAPE, &["[1 Overview"]),
    ("n", &[r"New integration of Barn\u{2"]),
    (ESCAPE, &["[1 Overview"]),
    (",", &["Settings of", r"Hook\u{2"]),
    (ESCAPE, &["[1 Overview"]),
    ("y", &["Copy", r"Hook\u{2"]),
    (ESCAPE, &["[1 Overview"]),
];

/// Those of failures, of a cause and of one of its leads, and those of a lead: both screens stand as `SCREENS` left them.
const TRIAGE_DIALOGS: Walk<'_> = &[
    ("2", &["[2 Failures", r"Zoe\u{2", "✗ dead"]),
    ("r", &["[ Cancel ]", r"Zoe\u{2"]),
    (ESCAPE, &["[2 Failures"]),
    ("x", &[r"Copy evidence of Zoe\u{2"]),
    (ESCAPE, &["[2 Failures"]),
    ("a", &["Actions"]),
    (ESCAPE, &["[2 Failures"]),
    // From its leads back to the cause.
    (ESCAPE, &["What it is, and what to do", "evil"]),
    ("r", &["Retry all dead deliveries of this cause?", "[ Cancel ]"]),
    (ESCAPE, &["[2 Failures"]),
    ("s", &["Take this cause off the list", "[ Cancel ]", "evil"]),
    (ESCAPE, &["[2 Failures"]),
    ("3", &[r"Zoe\u{202e}", r"Hook\u{2", "✗ dead"]),
    ("r", &["[ Cancel ]", r"Zoe\u{2"]),
    (ESCAPE, &["✗ dead"]),
    ("P", &["[ Cancel ]", "Push", r"Zoe\u{2"]),
    (ESCAPE, &["✗ dead"]),
    ("x", &[r"Copy evidence of Zoe\u{2"]),
    (ESCAPE, &["✗ dead"]),
    ("E", &[r"Flow\u{2"]),
    (ESCAPE, &["✗ dead"]),
    ("1", &["[1 Overview"]),
];

#[tokio::test]
async fn hostile_names_and_errors_are_seen_on_screens_and_in_dialogs_and_steer_nothing() {
    let (scene, _) = hostile_scene().await;
    let flow = ["--company", "7", "--name", &format!("Flow{HIDDEN}"), "--when", "lead.guest_count > 1"];
    let made =
        scene.cli.run(&[&["flow", "create"], &flow[..], &["--then", &scene.integration]].concat()).await;
    assert_eq!(made.code, 0, "{made:?}");
    // A job of all that died there, which dies again.
    scene.cli.run(&["delivery", "retry", "--integration", &scene.integration]).await;
    scene.wait_for_states(&["dead"]).await;
    for size in [SMALL, LARGE] {
        let mut console = super::console_of(&scene.daemon.socket().display().to_string(), size);
        console.wait_for_all(&["LIVE", r"Hook\u{2", r"Barn\u{2", "FAILING"]).await;
        for (keys, seen) in SCREENS.iter().chain(DIALOGS).chain(TRIAGE_DIALOGS) {
            // A question that has just opened takes no key.
            console.answer(keys).await;
            console.wait_for_all(seen).await;
        }
        assert_eq!(foreign(console.shown().raw(), &[]), Vec::<String>::new(), "{size:?}");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_goes_to_the_pager_is_the_page_that_is_seen() {
    let (scene, _) = hostile_scene().await;
    let server = format!("unix:{}", scene.daemon.socket().display());
    let mut console = Pty::start_with(&[("PAGER", "cat")], leadline(), &["--server", &server], SMALL);
    console.wait_for_all(&["LIVE", "FAILING"]).await;
    console.press("3");
    console.wait_for_all(&["Find a lead"]).await;
    console.press("sarah@");
    console.wait_for_all(&[r"Zoe\u{202e}"]).await;
    console.press(ENTER);
    console.wait_for_all(&["✗ dead", "evil"]).await;
    let lent = async |console: &mut Pty, keys: &str, text: &str| {
        let from = console.shown().raw().len();
        console.press(keys);
        let all_of_it = |shown: &leadline_tests::Shown| {
            let said = String::from_utf8_lossy(&shown.raw()[from..]).into_owned();
            said.contains("\x1b[?1049l") && said.contains(text) && shown.screen().alternate_screen()
        };
        console.wait_for("the pager has had the terminal", all_of_it).await;
        String::from_utf8(console.shown().raw()[from..].to_vec()).unwrap()
    };
    let page = lent(&mut console, "p", "\"odd\": ").await;
    assert_eq!(foreign(page.as_bytes(), &['\r', '\n']), Vec::<String>::new());
    assert!(page.contains(r"\u{9b}31m") && page.contains("(+9996 marks)"), "it is all there");
    console.press(ENTER);
    console.wait_for_all(&["✗ failed", "evil"]).await;
    console.wait_for_none(&["Loading"]).await;
    assert_eq!(foreign(console.shown().raw(), &['\r', '\n']), Vec::<String>::new());
    let page = lent(&mut console, "p", "esponse").await;
    assert_eq!(foreign(page.as_bytes(), &['\r', '\n']), Vec::<String>::new());
    assert!(page.contains(r"evil\u{1b}]52;c;aGk=\u{7}"), "{page}");
    scene.end().await;
}

#[tokio::test]
async fn tables_and_markdown_of_commands_steer_no_terminal() {
    let (scene, uuid) = hostile_scene().await;
    let (uuid, integration) = (&*uuid, &*scene.integration);
    for (args, seen) in [
        (&["company", "list"][..], r"Barn\u{"),
        (&["company", "show", "7"], r"Hook\u{"),
        (&["integration", "list"], r"Hook\u{"),
        (&["integration", "show", integration], r"Hook\u{"),
        (&["lead", "list"], r"Zoe\u{"),
        (&["lead", "find", "sarah@"], r"Zoe\u{"),
        (&["lead", "show", uuid], r"Zoe\u{"),
        (&["lead", "trace", uuid], r"Hook\u{"),
        (&["lead", "evidence", uuid], r"\u{202e}"),
        (&["delivery", "list"], r"Zoe\u{"),
        (&["failure", "list"], "422"),
        (&["attempt", "list", "--integration", integration], "422"),
        (&["activity"], r"\u{"),
        (&["audit", "list"], ""),
    ] {
        let said = on_a_terminal(scene.daemon.socket(), args).await;
        assert_eq!(foreign(said.as_bytes(), &['\r', '\n']), Vec::<String>::new(), "{args:?}");
        assert!(said.contains(seen), "{args:?}: {said}");
    }
    scene.end().await;
}
