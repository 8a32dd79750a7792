//! What the console does when keys and news come in: scripts of messages, and the effects that follow.

use jiff::SignedDuration;

use crate::fixtures::{self, attempts, feed, live, now, opened, press};
use crate::keymap::Press;
use crate::model::data::{AttemptState, Conn, Done, Entry, Estimate, Held, Mutation, Retry, Secret};
use crate::model::dialog::{Dialog, DryRun, Focus};
use crate::model::{Model, Screen};
use crate::msg::{Command, Effect, Msg};
use crate::update::update;

fn mutation(effects: &[Effect]) -> Option<&Mutation> {
    effects.iter().find_map(|effect| match effect {
        Effect::Net(Command::Mutate { mutation, .. }) => Some(mutation),
        _ => None,
    })
}

fn estimate_ticket(effects: &[Effect]) -> u64 {
    let ticket = effects.iter().find_map(|effect| match effect {
        Effect::Net(Command::Estimate { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    ticket.unwrap()
}

fn told(model: &mut Model, effects: &[Effect], count: u64) {
    let ticket = estimate_ticket(effects);
    feed(model, Msg::Estimated { ticket, estimate: Ok(Estimate { count, seconds: 1.0 }) });
}

fn lost() -> Msg {
    Msg::Conn(Conn::Lost { error: "nobody listens".to_owned(), retry_at: now(), attempt: 1 })
}

fn last_toast(model: &Model) -> &str {
    &model.toasts.back().unwrap().text
}

#[test]
fn the_worst_comes_first_and_is_selected() {
    let model = live(80, 24);
    let names: Vec<&str> = model.visible().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "hubspot-eu",
            "salesforce",
            "zapier-hook",
            "of-tomorrow",
            "warehouse",
            "acme-webhook",
            "sheet-export"
        ]
    );
    assert_eq!(model.overview.selected.as_deref(), Some("01I1"));
}

#[test]
fn the_selection_stays_on_its_integration_whatever_moves() {
    let mut model = live(80, 24);
    press(&mut model, "down down");
    let mut healed = fixtures::hubspot();
    healed.badge = crate::model::data::Badge::Ok;
    feed(&mut model, Msg::Changes { changed: vec![healed], removed: vec!["01I5".to_owned()] });
    assert_eq!(model.overview.selected.as_deref(), Some("01I3"));
    feed(&mut model, Msg::Changes { changed: vec![], removed: vec!["01I3".to_owned()] });
    assert_eq!(model.overview.selected.as_deref(), Some("01I7"));
}

#[test]
fn opening_follows_the_attempts_and_asks_for_one_detail() {
    let mut model = live(80, 24);
    let effects = press(&mut model, "enter");
    assert!(matches!(&effects[..], [Effect::Net(Command::Follow(Some(id)))] if id == "01I1"));
    let told = Msg::Attempts { integration: "01I1".to_owned(), attempts: attempts(), first: true };
    assert!(feed(&mut model, told).is_empty(), "a running attempt has no detail");
    let effects = press(&mut model, "down");
    assert!(matches!(&effects[..], [Effect::Net(Command::Detail { attempt })] if attempt == "A4"));
    assert!(feed(&mut model, Msg::Tick).is_empty(), "it is asked for once");
    let effects = press(&mut model, "esc");
    assert!(matches!(&effects[..], [Effect::Net(Command::Follow(None))]));
}

#[test]
fn new_attempts_leave_the_selection_alone_unless_followed() {
    let mut model = opened(80, 24);
    let mut newer = fixtures::failed("A9");
    newer.started_at = Some(now());
    let msg = Msg::Attempts { integration: "01I1".to_owned(), attempts: vec![newer], first: false };
    feed(&mut model, msg);
    let open = model.open.as_ref().unwrap();
    assert_eq!((open.selected.as_deref(), open.fresh), (Some("A4"), 1));
    press(&mut model, "f");
    let open = model.open.as_ref().unwrap();
    assert_eq!((open.selected.as_deref(), open.fresh), (Some("A9"), 0));
}

#[test]
fn a_retry_counts_first_and_needs_a_key_of_its_own() {
    let mut model = opened(80, 24);
    let effects = press(&mut model, "r");
    assert!(mutation(&effects).is_none());
    assert!(mutation(&press(&mut model, "y")).is_none(), "the dry run is under way");
    told(&mut model, &effects, 1);
    for key in ["r", "enter"] {
        assert!(mutation(&press(&mut model, key)).is_none(), "{key}");
    }
    assert!(model.dialog.is_none(), "Cancel had the focus");
    let effects = press(&mut model, "r");
    told(&mut model, &effects, 1);
    let effects = press(&mut model, "y");
    let expected = Mutation::Retry(Retry::Deliveries(vec!["01DA4".to_owned()]));
    assert_eq!(mutation(&effects), Some(&expected));
    feed(&mut model, Msg::Delayed { ticket: 3 });
    assert!(model.pending[&3].delayed);
    feed(&mut model, Msg::Answered { ticket: 3, done: Ok(Done::Retried { count: 1 }) });
    assert!(model.pending.is_empty());
    assert_eq!(last_toast(&model), "retry one delivery of hubspot-eu: 1 delivery is due now");
}

#[test]
fn many_want_their_number_typed() {
    let mut model = live(80, 24);
    let effects = press(&mut model, "r");
    told(&mut model, &effects, 12);
    assert!(mutation(&press(&mut model, "y enter tab tab enter")).is_none());
    let Some(Dialog::Confirm(confirm)) = &mut model.dialog else { panic!("it stays open") };
    confirm.focus = Focus::Input;
    confirm.input.clear();
    press(&mut model, "12 enter");
    let effects = press(&mut model, "enter");
    assert_eq!(mutation(&effects), Some(&Mutation::Retry(Retry::DeadOf { integration: "01I1".to_owned() })));
}

#[test]
fn marks_are_what_is_seen_and_tests_are_left_out() {
    let mut model = opened(80, 24);
    press(&mut model, "* r");
    let Some(Dialog::Confirm(confirm)) = &model.dialog else { panic!("a question") };
    let Mutation::Retry(Retry::Deliveries(ids)) = confirm.mutation() else { panic!("a retry") };
    assert_eq!(ids, ["01DA2", "01DA3", "01DA4", "01DA5"]);
    press(&mut model, "esc F");
    assert_eq!(model.open.as_ref().unwrap().marks.len(), 3);
    assert_eq!(last_toast(&model), "2 marks dropped: the rows are filtered out");
}

#[test]
fn keys_meant_for_what_lay_below_do_not_confirm() {
    let mut model = live(80, 24);
    press(&mut model, "t");
    let soon = model.now + SignedDuration::from_millis(20);
    let press_y = Msg::Key(Press::plain(crossterm::event::KeyCode::Char('y')));
    assert!(mutation(&update(&mut model, soon, press_y)).is_none());
    let effects = press(&mut model, "y");
    assert_eq!(mutation(&effects), Some(&Mutation::Test { integration: "01I1".to_owned() }));
    let done = Done::Tested {
        state: AttemptState::Failed,
        status: Some(500),
        duration_ms: Some(84),
        error: "no".to_owned(),
    };
    feed(&mut model, Msg::Answered { ticket: 1, done: Ok(done) });
    assert_eq!(last_toast(&model), "test hubspot-eu: failed 500 in 84ms: no");
}

#[test]
fn enabling_offers_what_to_do_with_the_held() {
    let mut model = live(80, 24);
    press(&mut model, "/warehouse enter e up up");
    let Some(Dialog::Confirm(confirm)) = &model.dialog else { panic!("a question") };
    assert_eq!(confirm.focus, Focus::Confirm, "the focus goes round");
    press(&mut model, "up up right");
    let effects = press(&mut model, "y");
    let expected = Mutation::Enable { integration: "01I4".to_owned(), held: Held::Release };
    assert_eq!(mutation(&effects), Some(&expected));
}

#[test]
fn nothing_changes_while_away_or_read_only() {
    let mut model = live(80, 24);
    feed(&mut model, lost());
    for key in ["r", "e", "t"] {
        assert!(press(&mut model, key).is_empty());
        assert!(model.dialog.is_none());
        assert_eq!(last_toast(&model), "not possible: not connected");
    }
    assert_eq!(model.stale_since, Some(model.now - SignedDuration::from_millis(600)));
    assert!(matches!(&press(&mut model, "R")[..], [Effect::Net(Command::Reconnect)]));
    feed(&mut model, Msg::Conn(Conn::Live));
    assert_eq!(model.stale_since, None);
    press(&mut model, "e");
    feed(&mut model, lost());
    assert!(mutation(&press(&mut model, "y")).is_none(), "it broke while the dialog was open");
    feed(&mut model, Msg::Conn(Conn::Live));
    model.setup.read_only = true;
    assert!(mutation(&press(&mut model, "y")).is_none());
}

#[test]
fn an_answer_to_an_older_dry_run_counts_for_nothing() {
    let mut model = opened(80, 24);
    let old = press(&mut model, "r");
    press(&mut model, "esc r");
    told(&mut model, &old, 99);
    let Some(Dialog::Confirm(confirm)) = &model.dialog else { panic!("a question") };
    assert!(matches!(confirm.dry_run, DryRun::Waiting(_)));
}

fn rotated(model: &mut Model) {
    press(model, "a up down down down down enter");
    let effects = press(model, "hubspot-eu enter enter");
    let expected =
        Mutation::Rotate { integration: "01I1".to_owned(), entry: Entry::Now { grace_seconds: 86_400 } };
    assert_eq!(mutation(&effects), Some(&expected));
    let secret = Some(Secret::new("whsec_abc".to_owned()));
    let done = Ok(Done::Rotated { integration: fixtures::hubspot(), secret });
    feed(model, Msg::Answered { ticket: 1, done });
}

#[test]
fn rotating_wants_the_whole_name() {
    let mut model = live(80, 24);
    press(&mut model, "a up down down down down enter");
    assert!(mutation(&press(&mut model, "hubspot-e enter tab tab enter y")).is_none());
    let mut model = live(80, 24);
    rotated(&mut model);
    assert_eq!(model.secrets.len(), 1);
}

#[test]
fn a_rotation_is_staged_and_cut_over() {
    let mut model = live(80, 24);
    press(&mut model, "a up down down down down enter");
    // From the name back to the choice, and on to the last option.
    let effects = press(&mut model, "hubspot-eu tab tab tab l l l enter enter enter");
    let expected = Mutation::Rotate { integration: "01I1".to_owned(), entry: Entry::Staged { hold: true } };
    assert_eq!(mutation(&effects), Some(&expected));
    assert!(mutation(&press(&mut model, "c")).is_none());
    assert!(last_toast(&model).contains("no secret is staged"));

    let mut staged = fixtures::hubspot();
    (staged.staged_version, staged.awaits_cut_over) = (2, true);
    let secret = Some(Secret::new("whsec_abc".to_owned()));
    feed(&mut model, Msg::Answered { ticket: 1, done: Ok(Done::Rotated { integration: staged, secret }) });
    assert!(model.secrets[0].staged);
    press(&mut model, "space enter");
    assert!(mutation(&press(&mut model, "a up down down down down enter")).is_none());
    assert!(last_toast(&model).contains("cut over or cancel it first"), "one at a time");
    press(&mut model, "esc");
    let effects = press(&mut model, "c y");
    assert_eq!(mutation(&effects), Some(&Mutation::CutOver { integration: "01I1".to_owned() }));
}

#[test]
fn a_secret_is_left_only_when_it_is_stored() {
    let mut model = live(80, 24);
    rotated(&mut model);
    press(&mut model, "enter q");
    assert_eq!(model.secrets.len(), 1);
    assert!(
        matches!(&press(&mut model, "y")[..], [Effect::Copy { text, .. }] if text.as_str() == "whsec_abc")
    );
    press(&mut model, "w");
    let effects = press(&mut model, "enter");
    assert!(matches!(&effects[..], [Effect::Save { path, .. }] if path == "leadline-hubspot-eu.secret"));
    press(&mut model, "v");
    assert!(model.secrets[0].shown_until.is_some());
    let later = model.now + SignedDuration::from_secs(31);
    update(&mut model, later, Msg::Tick);
    assert!(model.secrets[0].shown_until.is_none(), "it is masked again by itself");
    assert!(matches!(&press(&mut model, "space enter")[..], [Effect::Redraw]));
    assert!(model.secrets.is_empty());
    assert!(!format!("{:?}", Secret::new("whsec_abc".to_owned())).contains("whsec"));
}

#[test]
fn a_lost_secret_is_told() {
    let mut model = live(80, 24);
    let done = Ok(Done::Rotated { integration: fixtures::hubspot(), secret: None });
    feed(&mut model, Msg::Answered { ticket: 1, done });
    assert!(last_toast(&model).contains("rotate again"));
}

#[test]
fn pasted_text_is_never_read_as_keys() {
    let mut model = opened(80, 24);
    assert!(feed(&mut model, Msg::Paste("rty\nq".to_owned())).is_empty());
    assert!(model.dialog.is_none());
    press(&mut model, "/");
    feed(&mut model, Msg::Paste("code:5xx\nq".to_owned()));
    assert_eq!(model.open.as_ref().unwrap().filter.input.text(), "code:5xx");
}

#[test]
fn escape_goes_back_step_by_step_and_never_quits() {
    let mut model = opened(80, 24);
    press(&mut model, "/A enter space enter");
    assert_eq!(model.screen(), Screen::Attempt);
    for _ in 0..8 {
        assert!(!press(&mut model, "esc").iter().any(|effect| matches!(effect, Effect::Quit)));
    }
    assert_eq!(model.screen(), Screen::Overview);
    let mut model = opened(80, 24);
    assert!(!matches!(&press(&mut model, "q")[..], [Effect::Quit]));
    assert!(matches!(&press(&mut model, "q")[..], [Effect::Quit]));
    for keys in ["?", "/", ":", "enter r"] {
        let mut model = live(80, 24);
        press(&mut model, keys);
        assert!(matches!(&press(&mut model, "^c")[..], [Effect::Quit]), "{keys}");
    }
}

#[test]
fn scrolling_stops_at_the_end_of_the_page() {
    let mut model = opened(80, 24);
    press(&mut model, "enter end");
    let end = model.open.as_ref().unwrap().scroll;
    assert!(end > 0 && end < 60);
    press(&mut model, "pgdn down");
    assert_eq!(model.open.as_ref().unwrap().scroll, end);
    press(&mut model, "g");
    assert_eq!(model.open.as_ref().unwrap().scroll, 0);
}

#[test]
fn an_idle_screen_wakes_nobody() {
    let model = Model::new(fixtures::setup(false), now(), 80, 24);
    assert_eq!(model.next_change(), None);
    let mut model = live(80, 24);
    let next = model.next_change().unwrap();
    assert!(next > model.now && next <= model.now + SignedDuration::from_secs(1));
    press(&mut model, "enter enter");
    feed(&mut model, Msg::Attempts { integration: "01I1".to_owned(), attempts: attempts(), first: true });
    press(&mut model, "enter");
    let later = model.now + SignedDuration::from_secs(60);
    update(&mut model, later, Msg::Tick);
    assert_eq!((model.screen(), model.next_change()), (Screen::Attempt, None));
}
