//! Secrets that are shown once: how they come, what is said of their copies, and how they are left.

use jiff::SignedDuration;

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation};
use crate::console::data::{Done, Mutation, Secret, SecretEntry};
use crate::console::fixtures::{self, feed, live, press};
use crate::console::msg::{Copied, Effect, LocalError, Msg};

fn rotated(app: &mut App) {
    press(app, "a o");
    let effects = press(app, "hubspot-eu enter");
    let expected = Mutation::Rotate {
        integration: "01I1".to_owned(),
        entry: SecretEntry::Now { grace_seconds: 86_400 },
    };
    assert_eq!(mutation(&effects), Some(&expected));
    let ticket = app.shared.pending.keys().copied().next().unwrap();
    let secret = Some(Secret::new("whsec_abc".to_owned()));
    let done = Ok(Done::Rotated { integration: Box::new(fixtures::hubspot()), secret });
    feed(app, Msg::Done { ticket, done });
}

/// The secret of this integration, as its copy is called.
const HUBSPOT: &str = "the secret of Rosewood Barn / hubspot-eu";

/// The answer to a copy.
fn answer(what: &str, outcome: Result<&str, LocalError>) -> Msg {
    Msg::Copied(Copied { what: what.to_owned(), outcome: outcome.map(str::to_owned) })
}

#[test]
fn rotating_wants_the_whole_name_and_may_be_staged() {
    let mut app = live(80, 24);
    press(&mut app, "a o");
    assert!(mutation(&press(&mut app, "hubspot-e enter tab tab enter y")).is_none());
    let mut app = live(80, 24);
    press(&mut app, "a S");
    let staged =
        |hold| Mutation::Rotate { integration: "01I1".to_owned(), entry: SecretEntry::Staged { hold } };
    assert_eq!(mutation(&press(&mut app, "hubspot-eu enter")), Some(&staged(true)), "nothing can be refused");
    // From the name back to the choice, and on to the other way.
    press(&mut app, "a S");
    assert_eq!(mutation(&press(&mut app, "hubspot-eu tab tab tab l tab enter")), Some(&staged(false)));
    assert!(mutation(&press(&mut app, "a c")).is_none());
    assert!(last(&app).contains("no secret is staged"), "{}", last(&app));
}

#[test]
fn a_secret_is_left_only_when_it_is_stored() {
    let mut app = live(80, 24);
    rotated(&mut app);
    press(&mut app, "enter q");
    assert_eq!(app.secrets.len(), 1);
    assert!(matches!(&press(&mut app, "y")[..], [Effect::Copy { text, .. }] if text.as_str() == "whsec_abc"));
    press(&mut app, "w");
    let effects = press(&mut app, "enter");
    assert!(
        matches!(&effects[..], [Effect::Save { path, .. }] if path == "leadline-RosewoodBarnhubspot-eu.secret")
    );
    press(&mut app, "v");
    assert!(app.secrets[0].shown_until.is_some());
    let later = app.shared.now + SignedDuration::from_secs(31);
    app.update(later, Msg::Tick);
    assert!(app.secrets[0].shown_until.is_none(), "it is masked again by itself");
    let effects = press(&mut app, "space enter");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Redraw)));
    assert!(app.secrets.is_empty());
    assert!(!format!("{:?}", Secret::new("whsec_abc".to_owned())).contains("whsec"));
}

#[test]
fn whether_a_secret_went_from_the_clipboard_is_said_as_far_as_it_is_known() {
    let mut app = live(120, 36);
    rotated(&mut app);
    let copied = |effects: &[Effect]| match effects {
        [Effect::Copy { text, .. }] => Some(text.len()),
        _ => None,
    };
    assert!(!shown(&app).contains("k clear") && press(&mut app, "k").is_empty());
    assert!(copied(&press(&mut app, "y")).is_some_and(|length| length > 0));
    assert!(shown(&app).contains("k clear the clipboard"), "{}", shown(&app));
    assert_eq!(copied(&press(&mut app, "k")), Some(0));
    let error = LocalError::NotEmptied { program: "wl-copy", cause: "exit status: 1".to_owned() };
    assert_eq!(
        error.to_string(),
        "wl-copy did not take an empty text (exit status: 1) and may hold what was there; the terminal was asked to \
         empty its clipboard, and gives no answer (OSC 52)"
    );
    feed(&mut app, answer(HUBSPOT, Err(error)));
    let text = shown(&app);
    // All of it is seen, and the key stays: it may have to be pressed again.
    for part in
        ["and may hold", "what was there; the terminal", "gives no answer (OSC 52)", "k clear the clipboard"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(copied(&press(&mut app, "k")), Some(0));
}

#[test]
fn a_late_answer_of_the_clipboard_takes_no_warning_away_unseen() {
    let mut app = live(120, 36);
    rotated(&mut app);
    press(&mut app, "y esc");
    assert!(shown(&app).contains("The same key once more"), "{}", shown(&app));
    feed(&mut app, answer(HUBSPOT, Ok("copied it")));
    press(&mut app, "esc");
    assert_eq!(app.secrets.len(), 1, "it was not seen that it would be thrown away");
    assert!(shown(&app).contains("The same key once more"), "{}", shown(&app));
    // An answer about something else leaves the warning as it is.
    feed(&mut app, answer("the evidence", Ok("copied the evidence")));
    assert!(shown(&app).contains("The same key once more"), "{}", shown(&app));
    press(&mut app, "esc");
    assert!(app.secrets.is_empty());
}

#[test]
fn a_file_name_that_is_typed_takes_the_warning_back() {
    let mut app = live(120, 36);
    rotated(&mut app);
    press(&mut app, "w ^c x ^c");
    assert_eq!(app.secrets.len(), 1, "something was typed between");
}

#[test]
fn what_became_of_a_copy_is_not_said_of_another_secret() {
    let mut app = live(120, 36);
    rotated(&mut app);
    let effects = press(&mut app, "y");
    assert!(matches!(&effects[..], [Effect::Copy { what, .. }] if what == HUBSPOT), "{effects:?}");
    app.secrets[0].integration = "Oak Hall / webhook".to_owned();
    feed(&mut app, answer(HUBSPOT, Ok("copied the secret of hubspot-eu")));
    assert_eq!(app.secrets[0].note, None);
    assert_eq!(last(&app), "copied the secret of hubspot-eu");
    feed(&mut app, answer("the secret of Oak Hall / webhook", Ok("copied this one")));
    assert_eq!(app.secrets[0].note.as_deref(), Some("copied this one"));
}

#[test]
fn the_box_to_tick_is_seen_in_the_lowest_window() {
    for height in 15..=18 {
        let mut app = live(80, height);
        rotated(&mut app);
        press(&mut app, "v");
        app.secrets[0].note = Some("a note that is long ".repeat(12));
        let text = shown(&app);
        for part in ["hubspot-eu", "whsec_abc", "v hide", "a note that", "[ ] I have stored it", "Done"] {
            assert!(text.contains(part), "{height}: {part}: {text}");
        }
    }
}

#[test]
fn ctrl_c_on_a_secret_asks_first() {
    let mut app = live(80, 24);
    rotated(&mut app);
    assert!(press(&mut app, "^c").is_empty(), "it does not quit");
    assert!(shown(&app).contains("it cannot be read again. The same key once more"), "{}", shown(&app));
    assert_eq!(app.secrets.len(), 1);
    press(&mut app, "^c");
    assert!(app.secrets.is_empty());
    assert!(press(&mut app, "^c").iter().any(|effect| matches!(effect, Effect::Quit)));
}

#[test]
fn a_secret_is_thrown_away_by_the_same_key_twice_in_a_row_only() {
    let mut app = live(80, 24);
    rotated(&mut app);
    for keys in ["esc q v", "q v", "esc y", "esc ^c x", "esc x", "esc"] {
        press(&mut app, keys);
        assert_eq!(app.secrets.len(), 1, "{keys}");
    }
    press(&mut app, "esc");
    assert!(app.secrets.is_empty());
}
