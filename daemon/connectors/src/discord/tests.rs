//! Messages as they leave, texts that lead nowhere, and what Discord's codes mean.

use serde_json::{Value, json};

use super::{Discord, error, push::escape};
use crate::{
    Connector, Ids, Prepared,
    testkit::{
        self, FULL, MAXIMAL, MINIMAL, Played, PushCase, UPDATED, assert_errors, assert_goldens, probe,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{EventKind, ProbeKind},
    notice::Notice,
    outcome::Outcome,
};

const HOOK: &str = "https://discord.com/api/webhooks/123456789012345678/abcdefghijklmnop-secret";
const POSTED: (u16, &str) = (200, r#"{"id":"1300","channel_id":"1200"}"#);

fn prepared(credentials: Value, mapping: Value) -> Box<dyn Prepared> {
    Discord.prepare(&testkit::integration("discord", json!({}), credentials, mapping), "Leadline").unwrap()
}

fn ready() -> Box<dyn Prepared> {
    prepared(json!({ "webhook_url": HOOK }), Value::Null)
}

fn text(played: &Played) -> String {
    played.bodies[0]["embeds"][0]["description"].as_str().unwrap().to_owned()
}

#[test]
fn the_messages_are_those_that_were_looked_at() {
    let run = |case: PushCase<'_>| case.run(ready().as_ref(), &[POSTED]);
    let create = run(PushCase::created(FULL));
    let repeat =
        run(PushCase { rendered: create.rendered.clone(), is_repeat: true, ..PushCase::created(MINIMAL) });
    let (update, minimal, maximal) =
        (run(PushCase::updated(UPDATED)), run(PushCase::created(MINIMAL)), run(PushCase::created(MAXIMAL)));
    for played in [&create, &repeat, &update, &minimal, &maximal] {
        assert_eq!((&played.outcome, &*played.ids["message"]), (&Outcome::Delivered, "1300"));
    }
    assert_eq!(create.bodies, repeat.bodies, "a repeat is the same message, whatever became of the lead");
    assert_eq!(create.requests[0].url.as_str(), format!("{HOOK}?wait=true"));
    assert_goldens(&[
        ("create", include_str!("fixtures/create.json"), &create),
        ("repeat", include_str!("fixtures/repeat.json"), &repeat),
        ("update", include_str!("fixtures/update.json"), &update),
        ("minimal", include_str!("fixtures/minimal.json"), &minimal),
        ("maximal", include_str!("fixtures/maximal.json"), &maximal),
    ]);
}

#[test]
fn a_message_that_is_there_is_not_posted_again() {
    let first = PushCase::created(FULL).run(ready().as_ref(), &[POSTED]);
    let again = PushCase { ids: first.ids, is_repeat: true, ..PushCase::created(FULL) };
    let again = again.run(ready().as_ref(), &[]);
    assert_eq!((again.requests.len(), again.outcome), (0, Outcome::Delivered));
    // The lead's next event is another push, of another id.
    let other = Ids::from([("message.01J8H6KQH4YG3XR8RWM6T6XFQ1".to_owned(), "1".to_owned())]);
    let update = PushCase { ids: other, ..PushCase::updated(FULL) }.run(ready().as_ref(), &[POSTED]);
    assert_eq!(update.requests.len(), 1);
}

#[test]
fn nothing_that_a_lead_contains_is_read_as_markup() {
    for (text, expected) in [
        ("@everyone <@123> **loud**", "\\@everyone \\<\\@123\\> \\*\\*loud\\*\\*"),
        ("[click](https://evil.example)", "\\[click\\]\\(https://evil.example\\)"),
        ("see https://a.example/b_c#d now", "see https://a.example/b_c#d now"),
        (
            "https://a.example)[x](https://evil.example)",
            "https://a.example\\)\\[x\\]\\(https://evil.example\\)",
        ),
        ("a_b@c.example\n> quote", "a\\_b\\@c.example\n\\> quote"),
    ] {
        assert_eq!(escape(text), expected);
    }
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["name"] = json!("@here");
    lead["quote"]["proposal_url"] = json!("https://quote.example/p)(q");
    let played = PushCase::created(&lead.to_string()).run(ready().as_ref(), &[POSTED]);
    let body = &played.bodies[0];
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    assert!(body["content"].as_str().unwrap().starts_with("New lead: \\@here"), "{body}");
    assert_eq!(
        body["embeds"][0]["fields"][0]["value"],
        "[Open the proposal](https://quote.example/p%29%28q)"
    );
}

#[test]
fn texts_are_cut_to_what_discord_takes() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    for notes in ["*".repeat(9000), "👰".repeat(9000), "a*".repeat(9000)] {
        lead["lead"]["profile"] = json!({ "notes": notes });
        lead["quote"]["proposal_url"] = json!(format!("https://quote.example/{}", "p".repeat(1024)));
        let played = PushCase::created(&lead.to_string()).run(ready().as_ref(), &[POSTED]);
        let length = text(&played).encode_utf16().count();
        assert!((4000..=4096).contains(&length), "{length}");
        assert_eq!(played.bodies[0]["embeds"][0].get("fields"), None, "a link that is too long is left out");
    }
}

#[test]
fn a_mapping_renames_and_leaves_out() {
    let mapping = json!({"lead.email": null, "lead.phone": "Tel"});
    let played =
        PushCase::created(FULL).run(prepared(json!({ "webhook_url": HOOK }), mapping).as_ref(), &[POSTED]);
    let text = text(&played);
    assert!(text.contains("\nTel: +447700900123\n") && !text.contains("sarah"), "{text}");
}

#[test]
fn a_notice_goes_to_people_in_its_own_words() {
    let notice =
        r#"{"event":"notice.no_leads","message":"No lead came in <@1>.","company":{"name":"The Old Barn"}}"#;
    let case = PushCase { event: EventKind::Notice(Notice::NoLeads), ..PushCase::created(notice) };
    let played = case.run(ready().as_ref(), &[POSTED]);
    assert_eq!(played.bodies[0]["content"], "Leadline: no leads");
    assert_eq!(text(&played), "No lead came in \\<\\@1\\>.\n\nCompany: The Old Barn");
}

#[test]
fn every_error_has_its_class_and_says_what_discord_said() {
    assert_errors(include_str!("fixtures/errors.json"), |response, now| {
        error::failure(response, &HOOK.parse().unwrap(), now)
    });
}

#[test]
fn a_test_names_the_webhook_and_posts_nothing() {
    let threaded = prepared(json!({ "webhook_url": format!("{HOOK}?thread_id=9") }), Value::Null);
    let webhook = r#"{"name":"Leads","guild_id":"77","channel_id":"1200","type":1}"#;
    let (report, urls) = probe(threaded.as_ref(), ProbeKind::Test, &[(200, webhook)]);
    assert_eq!((report.outcome, report.account.as_deref()), (Outcome::Delivered, Some("Leads (server 77)")));
    assert_eq!(urls, [HOOK]);
    let played = PushCase::created(FULL).run(threaded.as_ref(), &[POSTED]);
    assert!(played.requests[0].url.as_str().ends_with("?thread_id=9&wait=true"));
    assert!(!played.requests[0].shown_url.contains("secret"), "{}", played.requests[0].shown_url);
    let records = ready().records(&played.ids, Some("Leads (server 77)"));
    assert_eq!(records[0].url.as_deref(), Some("https://discord.com/channels/77/1200/1300"));
    assert_eq!(ready().records(&played.ids, None)[0].url, None);
}

#[test]
fn only_a_webhooks_url_is_taken() {
    let check = |url: &str| {
        testkit::refused_credentials(&Discord, &json!({ "webhook_url": url }), &EgressPolicy::default())
            .join("; ")
    };
    for good in [
        HOOK,
        "https://canary.discord.com/api/v10/webhooks/1/abc?thread_id=2",
        "https://discordapp.com/api/webhooks/1/vabc",
    ] {
        assert_eq!(check(good), "", "{good}");
    }
    let wrong = "webhook_url: must be the URL of a webhook: https://discord.com/api/webhooks/…";
    for bad in [
        "https://example.com/api/webhooks/1/abc",
        "https://discord.com/channels/1/2",
        "https://discord.com/api/webhooks/1/abc/slack",
        "https://discord.com/api/webhooks/1/",
    ] {
        assert_eq!(check(bad), wrong, "{bad}");
    }
    let played = PushCase::created(FULL).run(prepared(Value::Null, Value::Null).as_ref(), &[]);
    assert_eq!((played.failure().0, played.requests.len()), ("credentials", 0));
}
