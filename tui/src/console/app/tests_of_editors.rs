//! What is typed in forms over a screen, and the change that follows.

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation};
use crate::console::data::Mutation;
use crate::console::fixtures::{feed, live, press, visit};
use crate::console::msg::{Effect, Msg};

#[test]
fn a_mapping_is_saved_only_when_it_is_json() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter m");
    assert!(shown(&app).contains("Mapping of Rosewood Barn / hubspot-eu"), "{}", shown(&app));
    for told in [r#""firstname": "Sarah""#, "all requests are made from", r#""note": "New lead""#] {
        assert!(shown(&app).contains(told), "the preview: {}", shown(&app));
    }
    visit(&mut app, "x");
    assert!(mutation(&press(&mut app, "^s")).is_none());
    assert!(last(&app).contains("not JSON yet"), "{}", last(&app));
}

#[test]
fn what_a_check_proposes_is_added_to_the_mapping_by_one_key() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter m");
    let text = shown(&app);
    assert!(text.contains("proposed by the last check") && text.contains("^p add"), "{text}");
    visit(&mut app, "^p");
    assert!(!shown(&app).contains("^p add"), "it is there now: {}", shown(&app));
    press(&mut app, "^p");
    assert!(last(&app).contains("nothing is proposed"), "{}", last(&app));
    let effects = press(&mut app, "^s");
    let Some(Mutation::Mapping { json, .. }) = mutation(&effects) else { panic!("{effects:?}") };
    assert!(
        json.contains(r#""lead.budget": "budget""#) && json.contains(r#""lead.message": "message""#),
        "{json}"
    );
}

#[test]
fn a_company_is_paused_and_resumed() {
    for (is_paused, question) in [(false, "Pause Rosewood Barn?"), (true, "Resume Rosewood Barn?")] {
        let mut app = live(120, 36);
        app.shared.integrations.iter_mut().for_each(|it| it.paused = is_paused);
        visit(&mut app, "a d");
        assert!(shown(&app).contains(question), "{}", shown(&app));
        let expected = Mutation::PauseCompany { company: 7, paused: !is_paused };
        assert_eq!(mutation(&press(&mut app, "y")), Some(&expected));
    }
}

#[test]
fn settings_are_changed_in_a_form_that_says_what_they_are() {
    let mut app = live(120, 36);
    let change = |app: &mut App, config: &str| {
        for it in &mut app.shared.integrations {
            (it.connector, it.config) = ("webhook".to_owned(), config.to_owned());
        }
    };
    change(&mut app, r#"{"url":"https://a.example/","retries":3,"body":" {}\n","headers":null}"#);
    visit(&mut app, ",");
    let text = shown(&app);
    assert!(text.contains("Settings of Rosewood Barn / ") && text.contains("https://a.example/"), "{text}");
    assert!(mutation(&press(&mut app, "enter")).is_none());
    assert!(last(&app).contains("nothing has been changed"), "{}", last(&app));
    // The name, the URL, then what is optional in the connector's order.
    visit(&mut app, "down down ^u 2 down ^u 9");
    // Somebody else changes what nobody touched here.
    change(&mut app, r#"{"url":"https://b.example/","retries":3,"body":" {}\n","headers":null}"#);
    let effects = press(&mut app, "enter");
    let Some(Mutation::Settings { name, config, .. }) = mutation(&effects) else { panic!("{effects:?}") };
    let config: serde_json::Value = serde_json::from_str(config.as_ref().unwrap()).unwrap();
    let expected = serde_json::json!({
        "url": "https://b.example/", "rate_per_second": 2, "retries": 9, "body": " {}\n", "headers": null
    });
    assert_eq!((name, config), (&None, expected), "what nobody touched is as it is by now");
}

#[test]
fn what_is_pasted_is_whole_and_a_key_file_fills_the_lines_that_it_names() {
    let pasted = [
        ("BEGIN\r\nab\r\nEND\n", r#"{"token":"BEGIN\nab\nEND"}"#),
        ("{\n  \"token\": \"pat-1\"\n}\n", r#"{"token":"pat-1"}"#),
        (r#"{"token": null}"#, r#"{"token":"pat-0"}"#),
        (r#"{"key": "pat-1"}"#, r#"{"token":"{\"key\": \"pat-1\"}"}"#),
    ];
    for (text, expected) in pasted {
        let mut app = live(120, 36);
        app.shared.integrations.iter_mut().for_each(|it| it.connector = "hubspot".to_owned());
        visit(&mut app, "K");
        if text.contains("null") {
            feed(&mut app, Msg::Paste("pat-0".to_owned()));
        }
        feed(&mut app, Msg::Paste(text.to_owned()));
        let effects = press(&mut app, "^s");
        let Some(Mutation::Credentials { json, .. }) = mutation(&effects) else { panic!("{effects:?}") };
        assert_eq!(json.reveal(), expected);
    }
}

#[test]
fn a_setting_is_changed_in_an_editor_of_ones_own_and_a_secret_is_not() {
    let mut app = live(120, 36);
    for it in &mut app.shared.integrations {
        (it.connector, it.config) = ("webhook".to_owned(), r#"{"url":"https://a.example/"}"#.to_owned());
    }
    visit(&mut app, ", down");
    let effects = press(&mut app, "^o");
    assert!(matches!(&effects[..], [Effect::Edit(text)] if text == "https://a.example/"), "{effects:?}");
    feed(&mut app, Msg::Edited(Ok("https://b.example/\n".to_owned())));
    assert!(matches!(&press(&mut app, "^o")[..], [Effect::Edit(_)]), "what it gave it gets again");
    // What is typed here may be secret, as a header may.
    visit(&mut app, "/");
    assert!(press(&mut app, "^o").is_empty());
    assert!(last(&app).contains("may be secret"), "{}", last(&app));
    let effects = press(&mut app, "^s");
    let Some(Mutation::Settings { config, .. }) = mutation(&effects) else { panic!("{effects:?}") };
    assert_eq!(config.as_deref(), Some(r#"{"url":"https://b.example//"}"#));

    // A new integration, whose token is asked for first.
    let mut app = live(120, 36);
    visit(&mut app, "n h u b s p o t enter");
    assert!(shown(&app).contains("New hubspot"), "{}", shown(&app));
    assert!(press(&mut app, "^o").is_empty());
    assert!(last(&app).contains("reaches no file"), "{}", last(&app));
}

#[test]
fn a_flow_is_tried_on_the_last_leads_before_it_is_saved() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter down E");
    assert!(shown(&app).contains("Of the last 500 leads 61 would go, 439 would not"), "{}", shown(&app));
    let effects = press(&mut app, "^s");
    let expected = Mutation::FlowWhen { flow: "01F1".to_owned(), when: "lead.guest_count > 150".to_owned() };
    assert_eq!(mutation(&effects), Some(&expected));
}

#[test]
fn only_the_condition_that_was_tried_is_saved() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter down E");
    // Typed on, and not asked.
    press(&mut app, "0");
    assert!(shown(&app).contains("Changed since it was asked: Enter asks it again."), "{}", shown(&app));
    assert!(mutation(&press(&mut app, "^s")).is_none());
    assert_eq!(last(&app), "not possible: try it first: Enter asks it of the last 500 leads");
    // Asked, and not answered: the numbers of the condition before are not shown as this one's.
    let asks = press(&mut app, "enter");
    assert!(shown(&app).contains("Asking the last 500 leads"), "{}", shown(&app));
    assert!(!shown(&app).contains("Of the last 500 leads"), "{}", shown(&app));
    assert!(mutation(&press(&mut app, "^s")).is_none());
    assert!(last(&app).ends_with("are being asked: save it once the answer is here"), "{}", last(&app));
    crate::console::fixtures::serve(&mut app, asks);
    let when = "lead.guest_count > 1500".to_owned();
    assert_eq!(mutation(&press(&mut app, "^s")), Some(&Mutation::FlowWhen { flow: "01F1".to_owned(), when }));
    // Pasted.
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter down E");
    feed(&mut app, Msg::Paste(" && true".to_owned()));
    assert!(mutation(&press(&mut app, "^s")).is_none());
    // From an editor of one's own: several lines are one condition, and blanks in a text stay.
    let effects =
        feed(&mut app, Msg::Edited(Ok("lead.city == 'St  Ives'\n|| lead.guest_count > 9\n".to_owned())));
    crate::console::fixtures::serve(&mut app, effects);
    let when = "lead.city == 'St  Ives' || lead.guest_count > 9".to_owned();
    assert_eq!(mutation(&press(&mut app, "^s")), Some(&Mutation::FlowWhen { flow: "01F1".to_owned(), when }));
}

#[test]
fn all_of_what_a_mapping_sends_can_be_read_in_a_low_window() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h enter m");
    let (first, last) = ("proposed by the last check", "\"name\": \"Sarah Patel\"");
    assert!(shown(&app).contains(first) && !shown(&app).contains(last), "{}", shown(&app));
    visit(&mut app, "^d");
    assert!(!shown(&app).contains(first) && shown(&app).contains(last), "{}", shown(&app));
    visit(&mut app, "^u");
    assert!(shown(&app).contains(first), "{}", shown(&app));
}
