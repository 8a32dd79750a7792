//! Sample data for tests: one integration of each badge and attempts of every kind, at a fixed time.

use crossterm::event::KeyCode;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::app::App;
use super::app::shared::Setup;
use super::data::{
    Answer, Attempt, AttemptState, Badge, Call, CallFailure, Conn, Detail, Integration, Query, Wait,
};
use super::keymap::{Keymap, Press};
use super::msg::{DaemonRequest, Effect, Msg};

pub(crate) mod answers;
mod causes;
mod hostile;
mod leads;

pub(crate) use answers::answer;
pub(crate) use hostile::hostile_answer;

pub(crate) fn now() -> Timestamp {
    "2026-11-20T14:02:11Z".parse().unwrap()
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// The daemon says no, in these words.
pub(crate) fn refused(reason: &str) -> CallFailure {
    CallFailure::Refused(reason.to_owned())
}

pub(crate) fn integration(id: &str, name: &str, badge: Badge) -> Integration {
    Integration {
        id: id.to_owned(),
        name: name.to_owned(),
        company_id: 7,
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
        throttle: String::new(),
        breaker: String::new(),
        breaker_until: None,
        grace_until: None,
        secret_version: 1,
        staged_version: 0,
        wait: if badge == Badge::Disabled { Wait::Disabled } else { Wait::Nothing },
        paused: false,
        has_credentials: true,
        lacks_credentials: false,
        account: String::new(),
        checked_at: None,
        findings: Vec::new(),
        proposals: Vec::new(),
        mapping: r#"{"lead.budget":"budget"}"#.to_owned(),
        config: r#"{"url":"https://leads.example.com/hook","retries":2,"portal_id":"62515"}"#.to_owned(),
        routing: "all".to_owned(),
        figures: None,
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
        account: "Rosewood Events Ltd (62515)".to_owned(),
        checked_at: Some(ago(7200)),
        ..integration("01I1", "hubspot-eu", Badge::Failing)
    }
}

pub(crate) fn integrations() -> Vec<Integration> {
    let mut retrying = integration("01I3", "zapier-hook", Badge::Retrying);
    retrying.failures = 1;
    retrying.last_error = "502 bad gateway".to_owned();
    retrying.last_error_at = Some(ago(41));
    retrying.breaker = "21 pushes in a row failed, the last one so: 502 bad gateway".to_owned();
    retrying.breaker_until = Some(ago(-75));
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
    fresh.last_error = "429 Too Many Requests: the quota of the day is used up".to_owned();
    fresh.last_error_at = Some(ago(20));
    (fresh.throttled_until, fresh.throttle) = (Some(ago(-3400)), fresh.last_error.clone());
    let mut odd = integration("01I7", "of-tomorrow", Badge::Unknown);
    (odd.company_id, odd.company) = (8, "Oakfield Hall".to_owned());
    vec![ok, retrying, hubspot(), disabled, credentials, fresh, odd]
}

pub(crate) fn failed(id: &str) -> Attempt {
    Attempt {
        id: id.to_owned(),
        delivery: format!("01D{id}"),
        lead: "01JD2Q8Z5N3V7K9M4T6X8W1Y2P".to_owned(),
        lead_name: "Sarah Patel".to_owned(),
        integration_id: "01I1".to_owned(),
        integration: "hubspot-eu".to_owned(),
        company_id: 7,
        company: "Rosewood Barn".to_owned(),
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
        lead_name: String::new(),
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
    let call = Call {
        method: "POST".to_owned(),
        url: "https://crm.example.com/hooks/leads?source=web".to_owned(),
        request_headers: vec![
            header("content-type", "application/json"),
            header("webhook-id", "01DA4"),
            header("x-leadline-signature", "sha256=5b1e"),
        ],
        request_body: br#"{"event":"lead.created","lead":{"name":"Sarah Patel","guest_count":120},"quote":{"total_pence":1250000}}"#.to_vec(),
        request_bytes: 104,
        status: Some(503),
        response_headers: vec![header("content-type", "application/json")],
        response_body: br#"{"status":"error","message":"upstream is down for maintenance"}"#.to_vec(),
        response_bytes: 63,
        duration_ms: Some(88),
        error: String::new(),
    };
    Detail { calls: vec![call], secret_version: 1, mapping_version: 2, operator: String::new() }
}

/// Answers every question among the effects, and those that follow; what else was asked for is left.
pub(crate) fn serve(app: &mut App, effects: Vec<Effect>) -> Vec<Effect> {
    serve_by(app, effects, &answer)
}

/// The same with a daemon that answers in this way.
pub(crate) fn serve_by(
    app: &mut App,
    effects: Vec<Effect>,
    answer: &dyn Fn(&Query) -> Answer,
) -> Vec<Effect> {
    let (mut left, mut open) = (Vec::new(), effects);
    while let Some(effect) = open.pop() {
        match effect {
            Effect::Net(DaemonRequest::Ask { ticket, query }) => {
                open.extend(feed(app, Msg::Answered { ticket, answer: Ok(answer(&query)) }));
            }
            other => left.push(other),
        }
    }
    left
}

pub(crate) fn setup(read_only: bool) -> Setup {
    Setup {
        target: "unix:/run/leadline/control.sock".to_owned(),
        server: Some("unix:/run/leadline/control.sock".to_owned()),
        profile: None,
        profiles: Vec::new(),
        others: Vec::new(),
        keymap: Keymap::default(),
        commands: Vec::new(),
        read_only,
        careful: false,
        mouse: false,
        plain: false,
        zone: TimeZone::UTC,
    }
}

/// A console that is live and has the sample data.
pub(crate) fn live(width: u16, height: u16) -> App {
    let mut app = App::new(setup(false), now(), width, height);
    let effects = feed(&mut app, Msg::Conn(Conn::Live));
    serve(&mut app, effects);
    feed(&mut app, Msg::Snapshot { version: "0.1.0".to_owned(), integrations: integrations() });
    app
}

/// A live console with the first integration open and its attempts known.
pub(crate) fn opened(width: u16, height: u16) -> App {
    let mut app = live(width, height);
    press(&mut app, "enter");
    let first = Msg::Attempts { integration: "01I1".to_owned(), attempts: attempts(), first: true };
    let effects = feed(&mut app, first);
    serve(&mut app, effects);
    visit(&mut app, "down");
    app
}

/// Takes a message in.
pub(crate) fn feed(app: &mut App, msg: Msg) -> Vec<Effect> {
    let now = app.shared.now;
    app.update(now, msg)
}

/// Presses the keys, written as words with blanks between; each comes late enough to count. What the last one asks
/// for is left to the test.
pub(crate) fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for word in keys.split(' ') {
        let named = match word.strip_prefix('^') {
            Some(letter) => letter.chars().next().map(Press::ctrl),
            // As the settings file names it; other words are typed.
            None if word.chars().count() > 1 => word.parse().ok(),
            None => None,
        };
        let letters = word.chars().map(|c| Press::plain(KeyCode::Char(c)));
        let presses: Vec<Press> = named.map_or_else(|| letters.collect(), |press| vec![press]);
        for press in presses {
            let later = app.shared.now + SignedDuration::from_millis(200);
            effects = app.update(later, Msg::Key(press));
        }
    }
    effects
}

/// Presses the keys, and has every question answered that they lead to.
pub(crate) fn visit(app: &mut App, keys: &str) -> Vec<Effect> {
    visit_by(app, keys, &answer)
}

/// The same with a daemon that answers in this way.
pub(crate) fn visit_by(app: &mut App, keys: &str, answer: &dyn Fn(&Query) -> Answer) -> Vec<Effect> {
    let mut left = Vec::new();
    for word in keys.split(' ') {
        let effects = press(app, word);
        left.extend(serve_by(app, effects, answer));
    }
    left
}
