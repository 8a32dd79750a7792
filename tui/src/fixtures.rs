//! Sample data for tests: one integration of each badge and attempts of every kind, at a fixed time.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::model::data::{Attempt, AttemptState, Badge, Conn, Detail, Integration};
use crate::model::{Model, Setup};
use crate::msg::{Effect, Msg};
use crate::update::update;

pub(crate) fn now() -> Timestamp {
    "2026-11-20T14:02:11Z".parse().unwrap()
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub(crate) fn integration(id: &str, name: &str, badge: Badge) -> Integration {
    Integration {
        id: id.to_owned(),
        name: name.to_owned(),
        company: "Rosewood Barn".to_owned(),
        connector: "webhook".to_owned(),
        enabled: badge != Badge::Disabled,
        badge,
        last_pushed_at: Some(ago(12)),
        failures: 0,
        last_error: String::new(),
        last_error_at: None,
        dead: 0,
        held: 0,
        pending: 0,
        next_retry_at: None,
        throttled_until: None,
        grace_until: None,
        secret_version: 1,
        staged_version: 0,
        awaits_cut_over: false,
        paused: false,
    }
}

pub(crate) fn hubspot() -> Integration {
    Integration {
        connector: "hubspot".to_owned(),
        failures: 23,
        last_error: "503 upstream: token expired".to_owned(),
        last_error_at: Some(ago(6)),
        last_pushed_at: Some(ago(8040)),
        dead: 12,
        pending: 8,
        next_retry_at: Some(ago(-42)),
        ..integration("01I1", "hubspot-eu", Badge::Failing)
    }
}

pub(crate) fn integrations() -> Vec<Integration> {
    let mut retrying = integration("01I3", "zapier-hook", Badge::Retrying);
    retrying.failures = 1;
    retrying.last_error = "502 bad gateway".to_owned();
    retrying.last_error_at = Some(ago(41));
    retrying.next_retry_at = Some(ago(-11));
    let mut disabled = integration("01I4", "warehouse", Badge::Disabled);
    disabled.held = 112;
    disabled.last_pushed_at = Some(ago(3 * 86_400));
    let mut credentials = integration("01I5", "salesforce", Badge::Credentials);
    credentials.failures = 14;
    credentials.last_error = "401 the session has expired, log in again".to_owned();
    credentials.last_error_at = Some(ago(360));
    let mut ok = integration("01I2", "acme-webhook", Badge::Ok);
    ok.failures = 4;
    ok.dead = 1;
    let mut fresh = integration("01I6", "sheet-export", Badge::Ok);
    fresh.last_pushed_at = None;
    let odd = integration("01I7", "of-tomorrow", Badge::Unknown);
    vec![ok, retrying, hubspot(), disabled, credentials, fresh, odd]
}

pub(crate) fn failed(id: &str) -> Attempt {
    Attempt {
        id: id.to_owned(),
        delivery: format!("01D{id}"),
        lead: "01JD2Q8Z5N3V7K9M4T6X8W1Y2P".to_owned(),
        number: 2,
        trigger: "retry".to_owned(),
        state: AttemptState::Failed,
        status: Some(503),
        class: "transient".to_owned(),
        error: "503 Service Unavailable: upstream is down for maintenance".to_owned(),
        started_at: Some(ago(30)),
        duration_ms: Some(88),
        event: "lead.created".to_owned(),
    }
}

pub(crate) fn attempts() -> Vec<Attempt> {
    let running = Attempt {
        state: AttemptState::Running,
        status: None,
        class: String::new(),
        error: String::new(),
        duration_ms: None,
        trigger: "first".to_owned(),
        number: 1,
        started_at: Some(ago(1)),
        ..failed("A5")
    };
    let delivered = Attempt {
        state: AttemptState::Delivered,
        status: Some(201),
        class: String::new(),
        error: String::new(),
        trigger: "first".to_owned(),
        number: 1,
        started_at: Some(ago(600)),
        duration_ms: Some(2130),
        ..failed("A2")
    };
    let unknown = Attempt {
        status: None,
        class: "unknown".to_owned(),
        error: "no answer within 30 s".to_owned(),
        started_at: Some(ago(300)),
        duration_ms: Some(30_000),
        ..failed("A3")
    };
    let test = Attempt {
        delivery: String::new(),
        lead: String::new(),
        trigger: "test".to_owned(),
        number: 1,
        started_at: Some(ago(900)),
        event: "webhook.test".to_owned(),
        ..failed("A1")
    };
    vec![running, failed("A4"), unknown, delivered, test]
}

pub(crate) fn detail() -> Detail {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Detail {
        method: "POST".to_owned(),
        url: "https://crm.example.com/hooks/leads?source=web".to_owned(),
        request_headers: vec![
            header("content-type", "application/json"),
            header("webhook-id", "01DA4"),
            header("x-leadline-signature", "sha256=5b1e…"),
        ],
        request_body: br#"{"event":"lead.created","lead":{"name":"Ada Byron","guest_count":120},"quote":{"total_pence":1250000}}"#.to_vec(),
        response_headers: vec![header("content-type", "application/json")],
        response_body: br#"{"status":"error","message":"upstream is down for maintenance"}"#.to_vec(),
        response_bytes: 63,
        secret_version: 1,
        mapping_version: 2,
        operator: String::new(),
        calls: Vec::new(),
        note: String::new(),
    }
}

pub(crate) fn setup(read_only: bool) -> Setup {
    Setup { target: "unix:/run/leadline/control.sock".to_owned(), read_only, zone: TimeZone::UTC }
}

/// A console that is live and has the sample data.
pub(crate) fn live(width: u16, height: u16) -> Model {
    let mut model = Model::new(setup(false), now(), width, height);
    feed(&mut model, Msg::Conn(Conn::Live));
    feed(&mut model, Msg::Snapshot { version: "0.1.0".to_owned(), integrations: integrations() });
    model
}

/// A live console with the first integration open and its attempts known.
pub(crate) fn opened(width: u16, height: u16) -> Model {
    let mut model = live(width, height);
    press(&mut model, "enter");
    feed(&mut model, Msg::Attempts { integration: "01I1".to_owned(), attempts: attempts(), first: true });
    press(&mut model, "down");
    feed(&mut model, Msg::Detail { attempt: "A4".to_owned(), detail: Ok(detail()) });
    model
}

/// Takes a message in, a quarter of a second after the one before.
pub(crate) fn feed(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let now = model.now;
    update(model, now, msg)
}

/// Presses the keys, written as words with blanks between; each comes late enough to count.
pub(crate) fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    use crate::keymap::Press;
    use crossterm::event::KeyCode;
    let mut effects = Vec::new();
    for word in keys.split(' ') {
        let press = match word {
            "enter" => Press::plain(KeyCode::Enter),
            "esc" => Press::plain(KeyCode::Esc),
            "tab" => Press::plain(KeyCode::Tab),
            "up" => Press::plain(KeyCode::Up),
            "down" => Press::plain(KeyCode::Down),
            "left" => Press::plain(KeyCode::Left),
            "right" => Press::plain(KeyCode::Right),
            "end" => Press::plain(KeyCode::End),
            "pgdn" => Press::plain(KeyCode::PageDown),
            "space" => Press::plain(KeyCode::Char(' ')),
            "^c" => Press::ctrl('c'),
            "^z" => Press::ctrl('z'),
            letters => {
                for c in letters.chars() {
                    effects = update(
                        model,
                        model.now + SignedDuration::from_millis(200),
                        Msg::Key(Press::plain(KeyCode::Char(c))),
                    );
                }
                continue;
            }
        };
        effects = update(model, model.now + SignedDuration::from_millis(200), Msg::Key(press));
    }
    effects
}
