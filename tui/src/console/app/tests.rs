//! What the console does when keys and news come in: scripts of messages, what is seen, and the effects that follow.

use jiff::SignedDuration;

use super::App;
use super::pictures::shown;
use crate::console::data::Answer;
use crate::console::data::{
    AttemptState, Badge, BulkTarget, Conn, Done, Estimate, Held, Mutation, Query, Who,
};
use crate::console::fixtures::{self, attempts, feed, live, now, opened, press, serve, visit};
use crate::console::keymap::{Action, Press};
use crate::console::msg::{DaemonRequest, Effect, Follow, Msg};

pub(super) fn mutation(effects: &[Effect]) -> Option<&Mutation> {
    effects.iter().find_map(|effect| match effect {
        Effect::Net(DaemonRequest::Mutate { mutation, .. }) => Some(mutation),
        _ => None,
    })
}

fn estimate_ticket(effects: &[Effect]) -> u64 {
    let ticket = effects.iter().find_map(|effect| match effect {
        Effect::Net(DaemonRequest::Ask { ticket, query: Query::Estimate(_) }) => Some(*ticket),
        _ => None,
    });
    ticket.unwrap()
}

fn counted(app: &mut App, effects: &[Effect], count: u64) {
    let estimate = Estimate { count, seconds: 1.0, sample: Vec::new() };
    let answer = Ok(Answer::Estimate(estimate));
    feed(app, Msg::Answered { ticket: estimate_ticket(effects), answer });
}

pub(super) fn lost() -> Msg {
    Msg::Conn(Conn::Lost { error: "nobody listens".to_owned(), retry_at: now(), attempt: 1, heard_at: None })
}

pub(super) fn last(app: &App) -> &str {
    &app.shared.messages.back().unwrap().text
}

/// The row that the pointer stands on.
pub(super) fn selected(app: &App) -> String {
    let text = shown(app);
    text.lines().find(|line| line.contains('▶')).unwrap_or_default().to_owned()
}

fn retry(target: BulkTarget) -> Mutation {
    Mutation::retry(target, false)
}

#[test]
fn the_worst_comes_first_and_stays_selected_until_somebody_moves() {
    let mut app = live(80, 24);
    assert!(selected(&app).contains("hubspot-eu"), "{}", shown(&app));
    let mut worse = fixtures::integration("01I9", "aaa", Badge::Failing);
    worse.dead = 99;
    feed(&mut app, Msg::Changes { changed: vec![worse.clone()], removed: vec![] });
    assert!(selected(&app).contains("aaa"), "nobody has moved: {}", shown(&app));
    press(&mut app, "down down");
    let under_hand = selected(&app);
    worse.badge = Badge::Ok;
    feed(&mut app, Msg::Changes { changed: vec![worse], removed: vec!["01I1".to_owned()] });
    assert_eq!(selected(&app).split_whitespace().nth(1), under_hand.split_whitespace().nth(1));
}

#[test]
fn opening_follows_the_attempts_and_asks_for_one_detail() {
    let mut app = live(80, 24);
    let effects = press(&mut app, "enter");
    assert!(
        matches!(&effects[..], [Effect::Net(DaemonRequest::Follow(Some(Follow::Integration(id))))] if id == "01I1"),
        "{effects:?}"
    );
    let first = Msg::Attempts { integration: "01I1".to_owned(), attempts: attempts(), first: true };
    assert!(feed(&mut app, first).is_empty(), "a running attempt has no detail");
    let effects = press(&mut app, "down");
    let asked = |effects: &[Effect]| match effects {
        [Effect::Net(DaemonRequest::Ask { query: Query::Detail { attempt }, .. })] => attempt == "A4",
        _ => false,
    };
    assert!(asked(&effects), "{effects:?}");
    assert!(feed(&mut app, Msg::Tick).is_empty(), "it is asked for once");
    let effects = press(&mut app, "esc");
    assert!(matches!(&effects[..], [Effect::Net(DaemonRequest::Follow(None))]), "{effects:?}");
}

#[test]
fn new_attempts_leave_the_selection_alone_unless_followed() {
    let mut app = opened(120, 36);
    let before = selected(&app);
    let mut newer = fixtures::failed("A9");
    newer.started_at = Some(now());
    feed(&mut app, Msg::Attempts { integration: "01I1".to_owned(), attempts: vec![newer], first: false });
    assert_eq!(selected(&app)[..20], before[..20]);
    assert!(shown(&app).contains("▲ 1 new (f)"), "{}", shown(&app));
    press(&mut app, "f");
    assert!(selected(&app).contains("14:02:11"), "{}", selected(&app));
}

#[test]
fn a_retry_names_its_target_which_nothing_moves_any_more() {
    let mut app = opened(80, 24);
    let effects = press(&mut app, "r");
    let text = shown(&app);
    for part in ["Retry Sarah Patel to Rosewood Barn / hubspot-eu?", "14:01:41", "upstream is down for"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut newer = fixtures::failed("A9");
    newer.started_at = Some(now());
    feed(&mut app, Msg::Attempts { integration: "01I1".to_owned(), attempts: vec![newer], first: false });
    counted(&mut app, &effects, 1);
    let effects = press(&mut app, "y");
    assert_eq!(mutation(&effects), Some(&retry(BulkTarget::Ids(vec!["01DA4".to_owned()]))));
}

#[test]
fn a_retry_counts_first_and_needs_a_key_of_its_own() {
    let mut app = opened(80, 24);
    let effects = press(&mut app, "r");
    assert!(mutation(&effects).is_none());
    assert!(mutation(&press(&mut app, "y")).is_none(), "the dry run is under way");
    counted(&mut app, &effects, 1);
    for key in ["r", "enter"] {
        assert!(mutation(&press(&mut app, key)).is_none(), "{key}");
    }
    assert!(app.dialog.is_none(), "Cancel had the focus");
    let effects = press(&mut app, "r");
    counted(&mut app, &effects, 1);
    let effects = press(&mut app, "y");
    let ticket = app.shared.pending.keys().copied().next().unwrap();
    assert!(mutation(&effects).is_some());
    feed(&mut app, Msg::Delayed { ticket });
    assert!(app.shared.pending[&ticket].is_delayed);
    feed(&mut app, Msg::Done { ticket, done: Ok(Done::Moved { count: 1, job: String::new() }) });
    assert!(app.shared.pending.is_empty());
    assert_eq!(last(&app), "Retry Sarah Patel to Rosewood Barn / hubspot-eu: 1 delivery");
}

#[test]
fn many_want_their_number_typed() {
    let mut app = live(80, 24);
    let effects = press(&mut app, "r");
    counted(&mut app, &effects, 12);
    assert!(mutation(&press(&mut app, "1 enter tab tab enter")).is_none());
    press(&mut app, "esc");
    let effects = press(&mut app, "r");
    counted(&mut app, &effects, 12);
    let effects = press(&mut app, "12 enter");
    assert_eq!(mutation(&effects), Some(&retry(BulkTarget::Dead { integration: "01I1".to_owned() })));
}

#[test]
fn marks_are_what_is_seen_and_tests_are_left_out() {
    let mut app = opened(120, 36);
    visit(&mut app, "*");
    let effects = press(&mut app, "r");
    counted(&mut app, &effects, 4);
    let effects = press(&mut app, "y");
    let Some(Mutation::Retry { target: BulkTarget::Ids(mut ids), .. }) = mutation(&effects).cloned() else {
        panic!()
    };
    ids.sort();
    assert_eq!(ids, ["01DA2", "01DA3", "01DA4", "01DA5"]);
    visit(&mut app, "* F");
    assert_eq!(last(&app), "2 marks dropped: the rows are not shown any more");
}

#[test]
fn a_cause_is_retried_as_a_whole_and_rendered_anew_where_that_helps() {
    let mut app = live(120, 36);
    visit(&mut app, "2");
    let text = shown(&app);
    for part in ["PROPERTY_DOESNT_EXIST lead_source", "✗ 10", "GBP 125,000.00", "alex updated HubSpot"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let effects = press(&mut app, "r");
    counted(&mut app, &effects, 10);
    let effects = press(&mut app, "10 enter");
    let expected = Mutation::retry(BulkTarget::Cause { cause: "c1".to_owned(), company: None }, true);
    assert_eq!(mutation(&effects), Some(&expected));
    visit(&mut app, "enter");
    let effects = press(&mut app, "r");
    counted(&mut app, &effects, 1);
    let effects = press(&mut app, "y");
    assert_eq!(
        mutation(&effects),
        Some(&retry(BulkTarget::Ids(vec!["01D1".to_owned()]))),
        "one of its leads"
    );
}

#[test]
fn a_person_is_found_and_the_line_says_why() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h");
    assert!(shown(&app).contains("sarah@example.com"), "{}", shown(&app));
    visit(&mut app, "enter");
    assert!(shown(&app).contains("It is dead since 2026-11-20 13:02:11 UTC"), "{}", shown(&app));
    let row = |name: &str| shown(&app).lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(row("▶  hubspot-eu").contains("503 upstream is down for mainten"), "{}", shown(&app));
    assert!(row("zapier-hook ").contains("flow \"big weddings\" not met"), "{}", shown(&app));
    visit(&mut app, "down");
    assert!(shown(&app).contains("(flow \"big weddings\" not met)"), "{}", shown(&app));
    assert!(shown(&app).contains("big weddings: lead.guest_count > 150"), "{}", shown(&app));
    assert!(shown(&app).contains("lead.guest_count is 120"), "{}", shown(&app));
    visit(&mut app, "up");
    visit(&mut app, "down");
    let effects = press(&mut app, "P y");
    let expected = Mutation::Push {
        lead: "01JD2Q8Z5N3V7K9M4T6X8W1Y2P".to_owned(),
        company: 7,
        integration: Some("01I3".to_owned()),
    };
    assert_eq!(mutation(&effects), Some(&expected));
}

#[test]
fn evidence_goes_to_the_clipboard() {
    let mut app = live(80, 24);
    visit(&mut app, "3 s a r a h enter");
    let effects = visit(&mut app, "x x");
    let copied = effects.iter().find_map(|effect| match effect {
        Effect::Copy { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(copied, Some("# Sarah Patel"));
}

#[test]
fn new_credentials_are_typed_unseen_and_what_they_stopped_is_one_key() {
    let mut app = live(80, 24);
    visit(&mut app, "K");
    let effects = press(&mut app, "token-2 enter");
    let Some(Mutation::Credentials { integration, json }) = mutation(&effects).cloned() else {
        panic!("{effects:?}")
    };
    assert_eq!((integration.as_str(), json.reveal()), ("01I1", r#"{"token":"token-2"}"#));
    let ticket = app.shared.pending.keys().copied().next().unwrap();
    let done = Done::Credentials { integration, error: String::new() };
    let effects = feed(&mut app, Msg::Done { ticket, done: Ok(done) });
    serve(&mut app, effects);
    let text = shown(&app);
    assert!(text.contains("The new credentials work") && !text.contains("likely fails again"), "{text}");
    let effects = press(&mut app, "y");
    assert_eq!(mutation(&effects), Some(&retry(BulkTarget::Dead { integration: "01I1".to_owned() })));
}

#[test]
fn a_retry_warns_of_a_refused_login_until_the_target_takes_one() {
    let mut app = live(80, 24);
    visit(&mut app, "down r");
    assert!(last(&app).contains("no delivery is dead"));
    let mut it = fixtures::integration("01I5", "salesforce", Badge::Credentials);
    it.dead = 3;
    feed(&mut app, Msg::Changes { changed: vec![it], removed: vec![] });
    visit(&mut app, "r");
    assert!(shown(&app).contains("likely fails again"), "{}", shown(&app));
    let done = Done::Tested {
        integration: "01I5".to_owned(),
        state: AttemptState::Delivered,
        status: Some(200),
        duration_ms: Some(84),
        error: String::new(),
    };
    press(&mut app, "esc");
    feed(&mut app, Msg::Done { ticket: 99, done: Ok(done) });
    visit(&mut app, "r");
    assert!(!shown(&app).contains("likely fails again"), "{}", shown(&app));
}

#[test]
fn silence_is_said_without_being_asked_for() {
    let mut app = live(120, 36);
    assert!(shown(&app).contains("1 company silent (6)"), "{}", shown(&app));
    visit(&mut app, "6 enter");
    let text = shown(&app);
    for part in ["Oakfield Hall", "SILENT", "5h 00m ago", "one field is wrong", "lk_live_4f"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn one_company_narrows_every_screen() {
    let mut app = live(120, 36);
    visit(&mut app, "c o a k enter");
    let text = shown(&app);
    assert!(
        text.contains("[Oakfield Hall]") && text.contains("of-tomorrow") && !text.contains("hubspot"),
        "{text}"
    );
    let effects = press(&mut app, "2");
    let narrowed = effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::Net(DaemonRequest::Ask { query: Query::Causes { company: Some(8), .. }, .. })
        )
    });
    assert!(narrowed, "{effects:?}");
}

#[test]
fn keys_meant_for_what_lay_below_do_not_confirm() {
    let mut app = live(80, 24);
    press(&mut app, "t");
    let soon = app.shared.now + SignedDuration::from_millis(20);
    let press_y = Msg::Key(Press::plain(crossterm::event::KeyCode::Char('y')));
    assert!(mutation(&app.update(soon, press_y)).is_none());
    let effects = press(&mut app, "y");
    assert_eq!(mutation(&effects), Some(&Mutation::Test { integration: "01I1".to_owned() }));
    let done = Done::Tested {
        integration: "01I1".to_owned(),
        state: AttemptState::Failed,
        status: Some(500),
        duration_ms: Some(84),
        error: "no".to_owned(),
    };
    let ticket = app.shared.pending.keys().copied().next().unwrap();
    feed(&mut app, Msg::Done { ticket, done: Ok(done) });
    assert_eq!(last(&app), "Push a test to Rosewood Barn / hubspot-eu: failed 500 in 84ms: no");
}

#[test]
fn a_bad_message_stays_until_a_key_and_all_are_kept() {
    let mut app = live(80, 24);
    feed(&mut app, Msg::Refused("the decisive error".to_owned()));
    let later = app.shared.now + SignedDuration::from_secs(60);
    app.update(later, Msg::Tick);
    assert!(shown(&app).contains("the decisive error"));
    press(&mut app, "j");
    assert!(!shown(&app).contains("the decisive error"));
    press(&mut app, "@");
    assert!(shown(&app).contains("the decisive error"), "{}", shown(&app));
}

#[test]
fn enabling_offers_what_to_do_with_the_held() {
    let mut app = live(80, 24);
    press(&mut app, "/warehouse enter e tab tab right");
    let effects = press(&mut app, "y");
    let expected = Mutation::Enable { integration: "01I4".to_owned(), held: Held::Release };
    assert_eq!(mutation(&effects), Some(&expected));
}

#[test]
fn nothing_changes_while_away_or_read_only() {
    let mut app = live(80, 24);
    feed(&mut app, lost());
    for key in ["r", "e", "t", "K", "m"] {
        assert!(press(&mut app, key).is_empty(), "{key}");
        assert!(app.dialog.is_none());
        assert_eq!(last(&app), "not possible: not connected");
    }
    assert!(app.shared.stale_since.is_some());
    assert!(matches!(&press(&mut app, "R")[..], [Effect::Net(DaemonRequest::Reconnect)]));
    feed(&mut app, Msg::Conn(Conn::Live));
    assert_eq!(app.shared.stale_since, None);
    press(&mut app, "e");
    feed(&mut app, lost());
    assert!(mutation(&press(&mut app, "y")).is_none(), "it broke while the dialog was open");
    feed(&mut app, Msg::Conn(Conn::Live));
    app.shared.setup.read_only = true;
    assert!(mutation(&press(&mut app, "y")).is_none());
}

#[test]
fn an_answer_to_an_older_dry_run_counts_for_nothing() {
    let mut app = opened(80, 24);
    let old = press(&mut app, "r");
    press(&mut app, "esc r");
    counted(&mut app, &old, 99);
    assert!(shown(&app).contains("counting"), "{}", shown(&app));
}

#[test]
fn what_a_role_may_not_do_is_said_before_it_is_tried() {
    let mut app = live(80, 24);
    let may = ["RetryDeliveries", "Reveal"].map(ToOwned::to_owned).into();
    let who = Who {
        operator: "token mara".to_owned(),
        role: "operator".to_owned(),
        company: "The Old Barn".to_owned(),
        masked: true,
        may,
    };
    feed(&mut app, Msg::Who(who));
    assert_eq!(
        app.shared.denied(Action::Rotate).unwrap(),
        "token mara is operator of The Old Barn here and may not (RotateSecret): ask an admin"
    );
    assert!(shown(&app).contains("OPERATOR"));
    press(&mut app, "K");
    assert!(last(&app).contains("may not (SetCredentials): ask an admin"), "{}", last(&app));
    assert_eq!(app.shared.denied(Action::Retry), None);
    assert_eq!(app.shared.denied(Action::Up), None);
    visit(&mut app, "3 s a r a h enter");
    let effects = press(&mut app, "U");
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Net(DaemonRequest::Ask { ticket, query: Query::Reveal { .. } }) => Some(*ticket),
        _ => None,
    });
    let answer = Ok(Answer::Document("Sarah Patel · sarah@example.com".to_owned()));
    feed(&mut app, Msg::Answered { ticket: asked.unwrap(), answer });
    assert_eq!(last(&app), "Sarah Patel · sarah@example.com");
}
