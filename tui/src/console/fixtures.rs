//! Sample data for tests: one integration of each badge and attempts of every kind, at a fixed time.

use crossterm::event::KeyCode;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::app::App;
use super::app::shared::Setup;
use super::data::cause::{Place, Remedy};
use super::data::company::{Key, Refused};
use super::data::lead::Explained;
use super::data::query::{CredentialField, FlowTest, Preview};
use super::data::system::{Daemon, What};
use super::data::{
    Act, Activity, Answer, Attempt, AttemptState, Badge, Call, Cause, Company, CompanyPage, Conn, Delivery,
    DeliveryState, Detail, Estimate, Flow, Integration, Job, Lead, LeadPage, Query, Step, System,
};
use super::keymap::Press;
use super::msg::{Command, Effect, Msg};

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
        breaker: String::new(),
        breaker_until: None,
        grace_until: None,
        secret_version: 1,
        staged_version: 0,
        awaits_cut_over: false,
        paused: false,
        has_credentials: true,
        findings: Vec::new(),
        mapping: r#"{"lead.budget":"budget"}"#.to_owned(),
        config: "{}".to_owned(),
        routing: "all".to_owned(),
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
        status: Some(503),
        response_headers: vec![header("content-type", "application/json")],
        response_body: br#"{"status":"error","message":"upstream is down for maintenance"}"#.to_vec(),
        response_bytes: 63,
        duration_ms: Some(88),
        error: String::new(),
    };
    Detail { calls: vec![call], secret_version: 1, mapping_version: 2, operator: String::new() }
}

pub(crate) fn delivery(id: &str, state: DeliveryState) -> Delivery {
    Delivery {
        id: id.to_owned(),
        company_id: 7,
        company: "Rosewood Barn".to_owned(),
        lead: "01JD2Q8Z5N3V7K9M4T6X8W1Y2P".to_owned(),
        lead_name: "Sarah Patel".to_owned(),
        integration_id: "01I1".to_owned(),
        integration: "hubspot-eu".to_owned(),
        event: "lead.created".to_owned(),
        state,
        reason: String::new(),
        error: "503 Service Unavailable: upstream is down for maintenance".to_owned(),
        class: "transient".to_owned(),
        attempts: 4,
        due_at: None,
        running: false,
        created_at: Some(ago(4000)),
        finished_at: Some(ago(3600)),
    }
}

fn deliveries() -> Vec<Delivery> {
    let held = Delivery {
        reason: "operator:alex".to_owned(),
        error: String::new(),
        class: String::new(),
        attempts: 0,
        lead_name: "Ada Byron".to_owned(),
        finished_at: None,
        ..delivery("01D2", DeliveryState::Held)
    };
    let pending = Delivery {
        due_at: Some(ago(-42)),
        lead_name: "Tom Reed".to_owned(),
        finished_at: None,
        ..delivery("01D3", DeliveryState::Pending)
    };
    vec![delivery("01D1", DeliveryState::Dead), held, pending]
}

pub(crate) fn cause(id: &str, class: &str, text: &str, dead: u64) -> Cause {
    let place = |company: &str, deliveries| Place {
        integration: "01I1".to_owned(),
        name: "hubspot-eu".to_owned(),
        company: company.to_owned(),
        deliveries,
    };
    Cause {
        id: id.to_owned(),
        connector: "hubspot".to_owned(),
        class: class.to_owned(),
        text: text.to_owned(),
        sample: format!("400 Bad Request: {text}"),
        deliveries: dead + 2,
        dead,
        retrying: 2,
        leads: dead,
        money: vec![("GBP".to_owned(), 1_250_000)],
        places: vec![place("Rosewood Barn", dead), place("Oakfield Hall", 2)],
        first_at: Some(ago(8040)),
        last_at: Some(ago(60)),
        trend: vec![(ago(8000), dead), (ago(100), 3)],
        changed_before: vec![act()],
        advice: "The mapping names a property that the target does not have.".to_owned(),
        remedies: vec![Remedy::EditMapping, Remedy::RetryReRendered],
        snoozed_until: None,
    }
}

fn act() -> Act {
    Act {
        id: "01AUD".to_owned(),
        at: Some(ago(8100)),
        operator: "alex".to_owned(),
        action: "UpdateIntegration".to_owned(),
        target: "integration 01I1".to_owned(),
        before: r#"{"mapping":{}}"#.to_owned(),
        after: r#"{"mapping":{"lead.budget":"budget"}}"#.to_owned(),
    }
}

fn causes() -> Vec<Cause> {
    vec![
        cause("c1", "rejected", "rejected: PROPERTY_DOESNT_EXIST lead_source", 312),
        cause("c2", "credentials", "credentials: token expired", 40),
    ]
}

fn lead() -> Lead {
    Lead {
        uuid: "01JD2Q8Z5N3V7K9M4T6X8W1Y2P".to_owned(),
        company_id: 7,
        company: "Rosewood Barn".to_owned(),
        name: "Sarah Patel".to_owned(),
        email: "sarah@example.com".to_owned(),
        phone: "+44 7700 900123".to_owned(),
        state: "pushed".to_owned(),
        received_at: Some(ago(4000)),
        undelivered: 1,
    }
}

fn lead_page() -> LeadPage {
    let skipped = Delivery {
        integration_id: "01I3".to_owned(),
        integration: "zapier-hook".to_owned(),
        reason: "flow: big weddings".to_owned(),
        error: String::new(),
        class: String::new(),
        attempts: 0,
        ..delivery("01D4", DeliveryState::Skipped)
    };
    let delivered = Delivery {
        integration_id: "01I2".to_owned(),
        integration: "acme-webhook".to_owned(),
        error: String::new(),
        class: String::new(),
        attempts: 1,
        ..delivery("01D5", DeliveryState::Delivered)
    };
    let explained = |delivery, why: &str| Explained { delivery, why: why.to_owned() };
    let step = |at, what: &str, state: &str, reason: &str, number| Step {
        at: Some(ago(at)),
        what: what.to_owned(),
        integration: if number > 0 { "hubspot-eu".to_owned() } else { String::new() },
        attempt: if number > 0 { format!("A{number}") } else { String::new() },
        number,
        state: state.to_owned(),
        reason: reason.to_owned(),
    };
    LeadPage {
        lead: lead(),
        event: br#"{"event":"lead.created","lead":{"name":"Sarah Patel","guest_count":120}}"#.to_vec(),
        deliveries: vec![
            explained(
                delivery("01D1", DeliveryState::Dead),
                "It is dead since an hour: four attempts failed, the last with 503.",
            ),
            explained(
                skipped,
                "It was skipped: no flow sends it there. big weddings wants lead.guest_count > 150, the lead has 120.",
            ),
            explained(delivered, ""),
        ],
        steps: vec![
            step(4000, "received", "", "", 0),
            step(3990, "attempt", "failed", "503 Service Unavailable", 1),
            step(3600, "attempt", "failed", "503 Service Unavailable: upstream is down", 2),
        ],
    }
}

fn flow() -> Flow {
    Flow {
        id: "01F1".to_owned(),
        company_id: 7,
        name: "big weddings".to_owned(),
        when: "lead.guest_count > 150".to_owned(),
        targets: vec![("01I3".to_owned(), "zapier-hook".to_owned())],
        enabled: true,
    }
}

fn jobs() -> Vec<Job> {
    let running = Job {
        id: "01J2".to_owned(),
        state: "running".to_owned(),
        kind: "retry".to_owned(),
        operator: "alex".to_owned(),
        total: 312,
        released: 120,
        left_alone: 3,
        pending: 20,
        delivered: 99,
        dead: 1,
        created_at: Some(ago(90)),
        finished_at: None,
    };
    let done = Job {
        id: "01J1".to_owned(),
        state: "done".to_owned(),
        released: 312,
        left_alone: 0,
        ..running.clone()
    };
    vec![running, done]
}

fn activity() -> Vec<Activity> {
    let of = |attempt: Attempt| Activity {
        id: attempt.id.clone(),
        at: attempt.started_at,
        company: "Rosewood Barn".to_owned(),
        what: What::Attempt(Box::new(attempt)),
    };
    let mut all: Vec<Activity> = attempts().into_iter().map(of).collect();
    all.push(Activity {
        id: "01AUD".to_owned(),
        at: Some(ago(8100)),
        company: String::new(),
        what: What::Act(act()),
    });
    all
}

pub(crate) fn companies() -> Vec<Company> {
    let company = |id, name: &str, last| Company {
        id,
        name: name.to_owned(),
        plan: "pro".to_owned(),
        paused_at: None,
        quiet_hours: 4,
        last_lead_at: Some(ago(last)),
    };
    vec![company(7, "Rosewood Barn", 30), company(8, "Oakfield Hall", 5 * 3600)]
}

fn company_page() -> CompanyPage {
    let key = Key {
        id: "01K1".to_owned(),
        prefix: "lk_live_4f".to_owned(),
        revoked_at: None,
        last_refused_at: Some(ago(18_000)),
        require_signature: false,
    };
    let refused = Refused {
        at: Some(ago(600)),
        key_prefix: "lk_live_4f".to_owned(),
        status: 422,
        detail: "one field is wrong".to_owned(),
        errors: vec![("/lead/email".to_owned(), "is not an e-mail address".to_owned())],
    };
    CompanyPage {
        company: companies().remove(1),
        keys: vec![key],
        leads_24h: 12,
        refused_24h: 41,
        flows: vec![flow()],
        refused: vec![refused],
    }
}

fn system() -> System {
    let daemon =
        Daemon { id: 3, lease_until: Some(ago(-8)), running: 4, lanes: 2, version: "0.1.0".to_owned() };
    System {
        version: "0.1.0".to_owned(),
        daemons: vec![daemon],
        due: 41,
        later: 8,
        running: 4,
        held: 112,
        dead: 352,
        oldest_due_at: Some(ago(3)),
        oldest_undelivered_at: Some(ago(8040)),
        leads: 190,
        attempts: 640,
        failed: 12,
        span_seconds: 300,
        latency_ms: Some([84, 210, 2130]),
        database: "15.8".to_owned(),
        database_bytes: 173_000_000,
        connections: 12,
        connections_max: 100,
        schema_version: 1,
        has_trigrams: true,
    }
}

/// What a daemon with the sample data would answer.
pub(crate) fn answer(query: &Query) -> Answer {
    match query {
        Query::Detail { attempt } => Answer::Detail(Box::new((failed(attempt), detail()))),
        Query::Estimate(_) => {
            Answer::Estimate(Estimate { count: 1, seconds: 0.4, sample: vec!["Sarah Patel".to_owned()] })
        }
        Query::Deliveries { .. } => Answer::Deliveries { rows: deliveries(), next: String::new() },
        Query::OlderAttempts { .. } => Answer::Attempts(Vec::new()),
        Query::Find { .. } => Answer::Leads { rows: vec![lead()], more: false },
        Query::Lead { .. } => Answer::Lead(Box::new(lead_page())),
        Query::Evidence { .. } => Answer::Document("# Sarah Patel".to_owned()),
        Query::Causes { .. } => Answer::Causes { rows: causes(), snoozed: 1 },
        Query::Jobs => Answer::Jobs(jobs()),
        Query::Activity { .. } => Answer::Activity(activity()),
        Query::System => Answer::System(Box::new(system())),
        Query::Companies => Answer::Companies(companies()),
        Query::Company { .. } => Answer::Company(Box::new(company_page())),
        Query::Preview { .. } => Answer::Preview(Box::new(Preview {
            canonical: br#"{"lead":{"name":"Sarah Patel"}}"#.to_vec(),
            request: "POST https://api.hubapi.com/crm/v3/objects/contacts".to_owned(),
            body: br#"{"properties":{"firstname":"Sarah"}}"#.to_vec(),
            error: String::new(),
        })),
        Query::CredentialFields { .. } => Answer::CredentialFields(vec![CredentialField {
            name: "token".to_owned(),
            help: "A private app's access token.".to_owned(),
            required: true,
        }]),
        Query::Flows { .. } => Answer::Flows(vec![flow()]),
        Query::TestFlow { .. } => Answer::FlowTest(FlowTest {
            tested: 500,
            sent: 61,
            kept_away: 439,
            failed: 0,
            error: String::new(),
        }),
    }
}

/// Answers every question among the effects, and those that follow; what else was asked for is left.
pub(crate) fn serve(app: &mut App, effects: Vec<Effect>) -> Vec<Effect> {
    let (mut left, mut open) = (Vec::new(), effects);
    while let Some(effect) = open.pop() {
        match effect {
            Effect::Net(Command::Ask { ticket, query }) => {
                open.extend(feed(app, Msg::Answered { ticket, answer: Ok(answer(&query)) }));
            }
            other => left.push(other),
        }
    }
    left
}

pub(crate) fn setup(read_only: bool) -> Setup {
    Setup { target: "unix:/run/leadline/control.sock".to_owned(), read_only, zone: TimeZone::UTC }
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
        let named = match word {
            "enter" => Some(Press::plain(KeyCode::Enter)),
            "esc" => Some(Press::plain(KeyCode::Esc)),
            "tab" => Some(Press::plain(KeyCode::Tab)),
            "up" => Some(Press::plain(KeyCode::Up)),
            "down" => Some(Press::plain(KeyCode::Down)),
            "left" => Some(Press::plain(KeyCode::Left)),
            "right" => Some(Press::plain(KeyCode::Right)),
            "end" => Some(Press::plain(KeyCode::End)),
            "pgdn" => Some(Press::plain(KeyCode::PageDown)),
            "space" => Some(Press::plain(KeyCode::Char(' '))),
            "^c" => Some(Press::ctrl('c')),
            "^s" => Some(Press::ctrl('s')),
            "^z" => Some(Press::ctrl('z')),
            _ => None,
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
    let mut left = Vec::new();
    for word in keys.split(' ') {
        let effects = press(app, word);
        left.extend(serve(app, effects));
    }
    left
}
