//! The way back from a save: what it says, what it would lose, and that it goes both ways.

use super::App;
use super::pictures::shown;
use super::tests::{last, mutation};
use crate::console::data::undo::{PutBack, Replaced, Stood};
use crate::console::data::{Done, Integration, Mutation};
use crate::console::fixtures::{self, feed, live, press, visit};
use crate::console::msg::{Effect, Msg};

const OLD: &str = r#"{"lead.budget":"budget"}"#;
const NEW: &str = r#"{"lead.budget":"money"}"#;

/// Answers the change among the effects.
fn done(app: &mut App, effects: &[Effect], done: Done) {
    assert!(mutation(effects).is_some(), "{effects:?}: {}", shown(app));
    let ticket = *app.shared.pending.keys().next().unwrap();
    feed(app, Msg::Done { ticket, done: Ok(done) });
}

fn mapped(json: &str) -> Integration {
    Integration { mapping: json.to_owned(), ..fixtures::hubspot() }
}

fn back(effects: &[Effect]) -> PutBack {
    let Some(Mutation::PutBack(back)) = mutation(effects) else { panic!("{effects:?}") };
    (**back).clone()
}

/// The answer to a save that replaced the one by the other.
fn saved_as(done: Done, before: Stood, after: Stood) -> Done {
    Done::Saved { done: Box::new(done), replaced: Some(Box::new(Replaced { before, after })) }
}

fn stood(json: &str) -> Stood {
    Stood::mapping("01I1", json)
}

fn stood_when(when: &str) -> Stood {
    Stood::when("01F1", when)
}

/// A mapping has been saved.
fn saved() -> App {
    let mut app = live(120, 36);
    visit(&mut app, "m");
    let effects = feed(&mut app, Msg::Edited(Ok(NEW.to_owned())));
    fixtures::serve(&mut app, effects);
    let effects = press(&mut app, "^s");
    done(&mut app, &effects, saved_as(Done::Changed(Box::new(mapped(NEW))), stood(OLD), stood(NEW)));
    assert_eq!(last(&app), "mapping of Rosewood Barn / hubspot-eu: done; Z undoes it");
    app
}

#[test]
fn a_mapping_that_was_saved_is_put_back_and_brought_again() {
    let mut app = live(120, 36);
    press(&mut app, "Z");
    assert_eq!(last(&app), "not possible: nothing was saved here that could be put back");
    let mut app = saved();
    press(&mut app, "Z");
    let text = shown(&app);
    for part in [
        "Put the mapping of Rosewood Barn / hubspot-eu back as before?",
        &format!("again: {OLD}"),
        &format!("instead of: {NEW}"),
        "refused if somebody has changed it since",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let effects = press(&mut app, "y");
    let PutBack { change, brings, replaces } = back(&effects);
    assert_eq!(change, Mutation::Mapping { integration: "01I1".to_owned(), json: OLD.to_owned() });
    assert_eq!((brings, replaces), (stood(OLD), stood(NEW)));
    // And the other way round.
    done(&mut app, &effects, saved_as(Done::Changed(Box::new(mapped(OLD))), stood(NEW), stood(OLD)));
    assert_eq!(last(&app), "mapping of Rosewood Barn / hubspot-eu as before: done; Z undoes it");
    press(&mut app, "Z");
    let effects = press(&mut app, "y");
    assert_eq!(back(&effects).brings, stood(NEW));
}

#[test]
fn what_somebody_else_saved_since_is_not_undone() {
    let mut app = saved();
    feed(&mut app, Msg::Changes { changed: vec![mapped(r#"{"x":"y"}"#)], removed: vec![] });
    assert!(press(&mut app, "Z").is_empty() && app.dialog.is_none());
    assert_eq!(
        last(&app),
        "not possible: the mapping of Rosewood Barn / hubspot-eu is not what you saved: somebody has changed it since"
    );
    // However it is written, it is the same.
    let same = mapped("{ \"lead.budget\" : \"money\" }");
    feed(&mut app, Msg::Changes { changed: vec![same], removed: vec![] });
    press(&mut app, "Z");
    assert!(shown(&app).contains("Put the mapping of"), "{}", shown(&app));
    press(&mut app, "esc");
    feed(&mut app, Msg::Changes { changed: vec![], removed: vec!["01I1".to_owned()] });
    press(&mut app, "Z");
    assert_eq!(last(&app), "not possible: the integration is gone");
    app.shared.setup.read_only = true;
    press(&mut app, "Z");
    assert_eq!(last(&app), "not possible: the console is read-only");
}

#[test]
fn what_somebody_else_saved_before_the_answer_is_not_taken_for_ours() {
    let mut app = live(120, 36);
    visit(&mut app, "m");
    let effects = feed(&mut app, Msg::Edited(Ok(NEW.to_owned())));
    fixtures::serve(&mut app, effects);
    let effects = press(&mut app, "^s");
    let answer = Done::Changed(Box::new(mapped(r#"{"x":"y"}"#)));
    done(&mut app, &effects, saved_as(answer, stood(OLD), stood(NEW)));
    assert!(press(&mut app, "Z").is_empty() && app.dialog.is_none());
    assert!(last(&app).ends_with("is not what you saved: somebody has changed it since"), "{}", last(&app));
}

#[test]
fn a_save_that_failed_leaves_nothing_to_undo() {
    let mut app = live(120, 36);
    visit(&mut app, "m");
    feed(&mut app, Msg::Edited(Ok(NEW.to_owned())));
    press(&mut app, "^s");
    let ticket = *app.shared.pending.keys().next().unwrap();
    feed(&mut app, Msg::Done { ticket, done: Err(fixtures::refused("no such field")) });
    press(&mut app, "Z");
    assert_eq!(last(&app), "not possible: nothing was saved here that could be put back");
}

#[test]
fn an_older_save_is_not_undone_in_place_of_one_without_a_way_back() {
    let mut app = saved();
    // What is secret is shown shortened only: nobody here knows what it was.
    let before = Integration {
        connector: "webhook".to_owned(),
        config: r#"{"url":"https://a.example/…"}"#.to_owned(),
        ..mapped(NEW)
    };
    feed(&mut app, Msg::Changes { changed: vec![before.clone()], removed: vec![] });
    visit(&mut app, ", down ^u");
    feed(&mut app, Msg::Paste("https://b.example/".to_owned()));
    let effects = press(&mut app, "enter");
    let answer = Done::Saved { done: Box::new(Done::Changed(Box::new(before))), replaced: None };
    done(&mut app, &effects, answer);
    press(&mut app, "Z");
    assert_eq!(last(&app), "not possible: nothing was saved here that could be put back");
}

#[test]
fn settings_are_put_back_as_far_as_they_were_changed() {
    let mut app = live(120, 36);
    let of = |config: &str| Integration {
        connector: "webhook".to_owned(),
        config: config.to_owned(),
        ..fixtures::hubspot()
    };
    let before = of(r#"{"url":"https://a.example/","retries":3}"#);
    feed(&mut app, Msg::Changes { changed: vec![before], removed: vec![] });
    visit(&mut app, ", down ^u");
    feed(&mut app, Msg::Paste("https://b.example/".to_owned()));
    let effects = press(&mut app, "enter");
    let after = of(r#"{"url":"https://b.example/","retries":3}"#);
    let url = |url: &str| Stood::Settings {
        integration: "01I1".to_owned(),
        name: None,
        config: [("url".to_owned(), serde_json::Value::from(url))].into_iter().collect(),
    };
    let answer = Done::Changed(Box::new(after));
    done(&mut app, &effects, saved_as(answer, url("https://a.example/"), url("https://b.example/")));
    assert!(last(&app).ends_with(": done; Z undoes it"), "{}", last(&app));
    // What was not changed is as it is by now.
    let now = of(r#"{"url":"https://b.example/","retries":9}"#);
    feed(&mut app, Msg::Changes { changed: vec![now], removed: vec![] });
    press(&mut app, "Z");
    assert!(shown(&app).contains("again: url https://a.example/"), "{}", shown(&app));
    let Mutation::Settings { name: None, config: Some(config), .. } = back(&press(&mut app, "y")).change
    else {
        panic!("{}", shown(&app))
    };
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config, serde_json::json!({ "url": "https://a.example/", "retries": 9 }));
}

#[test]
fn the_condition_of_a_flow_is_put_back() {
    let mut app = live(120, 36);
    visit(&mut app, "3 s a r a h enter down E 0 enter");
    let effects = press(&mut app, "^s");
    // What stood there when the form opened is no matter: somebody has saved another one since.
    let (before, after) = (stood_when("lead.guest_count > 99"), stood_when("lead.guest_count > 1500"));
    done(&mut app, &effects, saved_as(Done::Noted(Vec::new()), before.clone(), after.clone()));
    assert_eq!(last(&app), "flow big weddings: done; Z undoes it");
    press(&mut app, "Z");
    let text = shown(&app);
    for part in ["Put the flow big weddings back as before?", "again: lead.guest_count > 99"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let effects = press(&mut app, "y");
    let PutBack { brings, replaces, .. } = back(&effects);
    assert_eq!((&brings, &replaces), (&before, &after));
    // What else is to be known does not hide the way back.
    let noted = Done::Noted(vec!["No lead was asked yet.".to_owned()]);
    done(&mut app, &effects, saved_as(noted, after.clone(), before));
    assert_eq!(last(&app), "Z undoes it. No lead was asked yet.");
    press(&mut app, "Z");
    assert_eq!(back(&press(&mut app, "y")).brings, after);
}
