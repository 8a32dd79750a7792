//! Messages as they leave, configurations as they are refused, and what a mail server's replies mean.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::{
    Call, CallErrorKind, Connector,
    testkit::{
        self, again, differing, first, first_call, full, maximal_bytes, minimal_bytes, no_answer, outcome,
        probe_with, response, told,
    },
};
use leadline_domain::{integration::EventKind, notice::Notice};

fn config() -> Value {
    json!({"host": "smtp.example.com", "from": "The Old Barn <leads@barn.example>", "to": "sales@barn.example, Zoë <zoe@barn.example>"})
}

fn with(key: &str, value: Value) -> Value {
    let mut config = config();
    config[key] = value;
    config
}

fn prepared(config: Value, credentials: Value, mapping: Value) -> Box<dyn Prepared> {
    let mut integration = testkit::integration("email", config, credentials, mapping);
    integration.id = "01J8H6KQH4YG3XR8RWM6T6XFQZ".parse().unwrap();
    Email.prepare(&integration, "Leadline").unwrap()
}

fn ready() -> Box<dyn Prepared> {
    prepared(config(), json!({"username": "leads", "password": " pass word "}), Value::Null)
}

fn mail(call: Call) -> Mail {
    match call {
        Call::Mail(mail) => mail,
        other => panic!("{other:?}"),
    }
}

fn check(config: &Value) -> Vec<String> {
    testkit::refused(&Email, config, &Value::Null)
}

#[test]
fn the_messages_are_those_that_were_looked_at() {
    use EventKind::{Created, Test, Updated};
    let mut found = Vec::new();
    for (event, lead, name, fixture) in [
        (Created, full(), "create", include_str!("fixtures/create.eml")),
        (Updated, full(), "update", include_str!("fixtures/update.eml")),
        (Test, minimal_bytes(), "minimal", include_str!("fixtures/minimal.eml")),
        (Created, maximal_bytes(), "maximal", include_str!("fixtures/maximal.eml")),
    ] {
        let ready = ready();
        let (rendered, call) = first(ready.as_ref(), event, &lead);
        let message = mail(call).message;
        let text = String::from_utf8(message.to_vec()).unwrap();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{name}");
        found.extend(differing(name, fixture, &text.replace("\r\n", "\n")));
        let repeat = mail(again(ready.as_ref(), event, &minimal_bytes(), &rendered.unwrap()));
        assert_eq!(repeat.message, message, "a repeat is the same bytes, whatever became of the lead");
        if name == "create" {
            let text = String::from_utf8(repeat.message.to_vec()).unwrap().replace("\r\n", "\n");
            found.extend(differing("repeat", include_str!("fixtures/repeat.eml"), &text));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_lead_can_add_a_header() {
    let (rendered, _) = first(ready().as_ref(), EventKind::Created, &maximal_bytes());
    let text = String::from_utf8(rendered.unwrap().to_vec()).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    let names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let expected = [
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    assert_eq!(names, expected, "an address with a line end is nothing to reply to");
}

#[test]
fn the_envelope_is_that_of_the_configuration() {
    let (_, call) = first(ready().as_ref(), EventKind::Created, &full());
    let mail = mail(call);
    assert_eq!(
        (mail.host.as_str(), mail.port, mail.security),
        ("smtp.example.com", 587, MailSecurity::StartTls)
    );
    assert_eq!(
        (mail.from.as_str(), mail.to),
        ("leads@barn.example", vec!["sales@barn.example".to_owned(), "zoe@barn.example".to_owned()])
    );
    let login = mail.login.unwrap();
    assert_eq!((login.username.as_str(), login.secret.expose_secret()), ("leads", " pass word "));
    for (config, expected) in [
        (with("tls", json!("tls")), ("smtp.example.com", 465)),
        (with("tls", json!("none")), ("smtp.example.com", 25)),
        (with("port", json!(2525)), ("smtp.example.com", 2525)),
        (with("base_url", json!("http://127.0.0.1:9025")), ("127.0.0.1", 9025)),
        (with("host", json!("[::1]")), ("::1", 587)),
        (with("host", json!("Bücher.example")), ("xn--bcher-kva.example", 587)),
    ] {
        let (_, call) =
            first(prepared(config, Value::Null, Value::Null).as_ref(), EventKind::Created, &full());
        let mail = self::mail(call);
        assert_eq!((mail.host.as_str(), mail.port), expected);
        assert!(mail.login.is_none());
    }
}

#[test]
fn subject_and_lines_are_the_operators() {
    let mapping = json!({"lead.phone": null, "lead.profile.company": {"to": "Employer", "default": "none"}});
    let config = with("subject", json!("{{ lead.name }}\r\nBcc: x@example.com {{ lead.guest_count }}"));
    let (rendered, _) = first(prepared(config, Value::Null, mapping).as_ref(), EventKind::Created, &full());
    let text = String::from_utf8(rendered.unwrap().to_vec()).unwrap();
    assert!(text.contains("\r\nSubject: Sarah Patel Bcc: x@example.com 80\r\n"), "{text}");
    assert!(text.contains("\r\nEmployer: none\r\n") && !text.contains("+447700900123"), "{text}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    assert_eq!(check(&config()), [""; 0]);
    let wrong = json!({"host": "smtp.example.com:25", "port": 0, "tls": "ssl", "from": "nobody", "to": "a@b.example, x", "subject": "{{ lead.nam }}", "too": 1});
    let problems = check(&wrong);
    for expected in [
        "unknown key too",
        "tls ssl is not one of starttls, tls, none",
        "port must be from 1 to 65535",
        "from: nobody is not an address",
        "to: x is not an address",
        "subject: {{ lead.nam }}: unknown variable",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}: {problems:?}");
    }
    for (config, expected) in [
        (json!({}), "host is required"),
        (with("host", json!("smtp.example.com/x")), "host must be a name"),
        (with("host", json!("127.0.0.1")), "host: 127.0.0.1 is not a public address"),
        (with("host", json!("localhost")), "host: localhost is this machine itself"),
        (with("to", json!(" , ")), "to must name somebody, as sales@example.com"),
        (with("to", json!("a@b.example,".repeat(21))), "to: 21 recipients are too many; at most 20"),
    ] {
        let problems = check(&config);
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}: {problems:?}");
    }
    let mut plain = with("tls", json!("none"));
    plain["host"] = json!("93.184.216.34");
    assert!(check(&plain)[0].starts_with("host: mail without TLS to 93.184.216.34 is not allowed"));
    let credentials = |value| testkit::refused_credentials(&Email, &value, &EgressPolicy::default());
    assert_eq!(credentials(json!({})), [""; 0]);
    assert_eq!(credentials(json!({"username": "a"})).len(), 1);
    assert_eq!(credentials(json!({"username": "a", "password": "b"})), [""; 0]);
}

#[test]
fn a_login_is_one_of_password_token_and_app() {
    let credentials = |value| testkit::refused_credentials(&Email, &value, &EgressPolicy::default());
    let app = json!({"username": "a", "client_id": "b", "client_secret": "c", "token_url": "https://id.example.com/t"});
    let with = |key: &str, value: &str| {
        let mut changed = app.clone();
        changed[key] = value.into();
        changed
    };
    for good in [
        app.clone(),
        with("refresh_token", "d"),
        with("scope", "mail"),
        json!({"username": "a", "access_token": "e"}),
    ] {
        assert_eq!(credentials(good), [""; 0]);
    }
    let each = "give password, access_token or client_id, each a login of its own";
    for (bad, problem) in [
        (with("username", ""), "username is required: the mailbox that the token opens"),
        (with("client_secret", ""), "client_id, client_secret and token_url belong together"),
        (with("token_url", "ftp://id.example.com"), "token_url must be an https URL without a login in it"),
        (with("password", "p"), each),
        (with("access_token", "p"), each),
        (json!({"username": "a", "password": "b", "access_token": "c"}), each),
    ] {
        assert_eq!(credentials(bad), [problem]);
    }
    let [inside] = &credentials(with("token_url", "https://10.1.2.3/t"))[..] else { panic!("it is private") };
    assert!(inside.starts_with("token_url: 10.1.2.3 is not a public address"), "{inside}");
}

#[test]
fn recipients_who_were_refused_are_named() {
    let lead = full();
    let mut answer = response(250, &[("stage", "the message")], "2.0.0 Ok");
    answer.headers.push((crate::REFUSED.to_owned(), "zoe@barn.example: 550 5.1.1 no such user".to_owned()));
    let played = testkit::play(ready().as_ref(), testkit::push(&lead), testkit::Script::new([Ok(answer)]));
    assert_eq!(played.note.as_deref(), Some("not told: zoe@barn.example: 550 5.1.1 no such user"));
    assert_eq!(told(&played.outcome).0, "delivered");
}

/// Code, stage and text of a reply, then class, error and wait.
type Reply = (u16, &'static str, &'static str, &'static str, &'static str, Option<u64>);
const REPLIES: &[Reply] = &[
    (250, "the message", "2.0.0 Ok: queued as 1", "delivered", "", None),
    (
        450,
        "RCPT TO a@b.example",
        "4.2.0 Greylisted, come again",
        "transient",
        "email 450 4.2.0 Greylisted, come again (RCPT TO a@b.example)",
        Some(300),
    ),
    (
        451,
        "RCPT TO a@b.example",
        "4.7.1 Greylisting in action, try again in 5 minutes",
        "transient",
        "email 451 4.7.1 Greylisting in action, try again in 5 minutes (RCPT TO a@b.example)",
        Some(300),
    ),
    (421, "greeting", "4.3.2 shutting down", "transient", "email 421 4.3.2 shutting down (greeting)", None),
    (451, "the message", "4.3.0 local error", "transient", "email 451 4.3.0 local error (the message)", None),
    (
        452,
        "RCPT TO a@b.example",
        "4.2.2 mailbox quota exceeded",
        "transient",
        "email 452 4.2.2 mailbox quota exceeded (RCPT TO a@b.example)",
        None,
    ),
    (
        454,
        "AUTH",
        "4.7.0 Temporary authentication failure",
        "transient",
        "email 454 4.7.0 Temporary authentication failure (AUTH)",
        None,
    ),
    (
        421,
        "MAIL FROM a@b.example",
        "4.7.0 Too many messages, slow down",
        "throttled",
        "email 421 4.7.0 Too many messages, slow down (MAIL FROM a@b.example)",
        Some(60),
    ),
    (
        452,
        "MAIL FROM a@b.example",
        "4.5.3 hourly quota exceeded",
        "throttled",
        "email 452 4.5.3 hourly quota exceeded (MAIL FROM a@b.example)",
        Some(1800),
    ),
    (
        550,
        "the message",
        "5.4.5 Daily user sending limit exceeded",
        "throttled",
        "email 550 5.4.5 Daily user sending limit exceeded (the message)",
        Some(1800),
    ),
    (535, "AUTH", "5.7.8 not accepted", "credentials", "email 535 5.7.8 not accepted (AUTH)", None),
    (
        530,
        "MAIL FROM a@b.example",
        "5.7.0 Authentication required",
        "credentials",
        "email 530 5.7.0 Authentication required (MAIL FROM a@b.example)",
        None,
    ),
    (
        534,
        "AUTH",
        "5.7.9 application-specific password required",
        "credentials",
        "email 534 5.7.9 application-specific password required (AUTH)",
        None,
    ),
    (503, "AUTH", "5.5.1 not offered", "credentials", "email 503 5.5.1 not offered (AUTH)", None),
    (
        550,
        "RCPT TO a@b.example",
        "5.1.1 no such user",
        "rejected",
        "email 550 5.1.1 no such user (RCPT TO a@b.example)",
        None,
    ),
    (551, "RCPT TO a@b.example", "", "rejected", "email 551 (RCPT TO a@b.example)", None),
    (552, "the message", "5.3.4 too big", "rejected", "email 552 5.3.4 too big (the message)", None),
    (
        553,
        "MAIL FROM a@b.example",
        "5.7.1 not yours",
        "rejected",
        "email 553 5.7.1 not yours (MAIL FROM a@b.example)",
        None,
    ),
    (
        554,
        "the message",
        "5.7.1 spam\r\nreally",
        "rejected",
        "email 554 5.7.1 spam really (the message)",
        None,
    ),
    (354, "the message", "what?", "unknown", "email 354 what? (the message)", None),
];

#[test]
fn a_notice_goes_to_people_in_its_own_words() {
    let notice = Bytes::from_static(
        br#"{"event":"notice.no_leads","message":"No lead came in.","company":{"name":"The Old Barn"}}"#,
    );
    let prepared = prepared(with("subject", json!("{{ lead.name }}")), Value::Null, Value::Null);
    let push =
        Push { event: EventKind::Notice(Notice::NoLeads), rendered: Some(&notice), ..testkit::push(&notice) };
    let text =
        String::from_utf8(mail(first_call(prepared.as_ref(), push).unwrap()).message.to_vec()).unwrap();
    assert!(text.contains("\r\nSubject: Leadline: no leads\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nLeadline: no leads\r\nFor The Old Barn\r\n\r\nNo lead came in.\r\n\r\nCompany: The Old Barn\r\n\r\nSent by Leadline."), "{text}");
    assert!(!text.contains("Reply-To"));
}

#[test]
fn replies_have_their_classes() {
    for (status, stage, body, class, error, wait) in REPLIES {
        let found = outcome(ready().as_ref(), Ok(response(*status, &[("stage", *stage)], body)));
        assert_eq!(found, (*class, (*error).to_owned(), *wait), "{status} {stage} {body}");
    }
    for (kind, class) in [
        (CallErrorKind::NotSent, "transient"),
        (CallErrorKind::NoAnswer, "unknown"),
        (CallErrorKind::Blocked, "blocked"),
    ] {
        assert_eq!(outcome(ready().as_ref(), no_answer(kind)).0, class);
    }
}

#[test]
fn a_test_logs_in_and_sends_nothing() {
    let ready = ready();
    let found = |status, stage, body| {
        let answer = Ok(response(status, &[("stage", stage)], body));
        let (report, calls) = probe_with(ready.as_ref(), ProbeKind::Test, [answer]).unwrap();
        assert!(calls.len() == 1 && mail(calls[0].clone()).message.is_empty());
        (told(&report.outcome).0, report.account)
    };
    assert_eq!(found(250, "NOOP", "OK"), ("delivered", Some("leads at smtp.example.com".to_owned())));
    assert_eq!(found(250, "AUTH", "OK"), ("transient", None));
    assert_eq!(found(535, "AUTH", "no"), ("credentials", None));
    assert!(probe_with(ready.as_ref(), ProbeKind::Mapping, []).is_none());
}
