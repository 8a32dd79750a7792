//! Cards as they leave, texts that lead nowhere, and what the workflow service's codes mean.

use serde_json::{Value, json};

use super::{Teams, error};
use crate::{
    Connector, Prepared,
    testkit::{
        self, FULL, MAXIMAL, MINIMAL, Played, PushCase, UPDATED, assert_errors, assert_goldens, probe_with,
    },
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{EventKind, ProbeKind},
    notice::Notice,
    outcome::Outcome,
};

const HOOK: &str = "https://default0123.4b.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/0f1e2d3c/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=abcdefghijklmnop-secret";
const ACCEPTED: (u16, &str) = (202, "");

fn prepared(credentials: Value, mapping: Value) -> Box<dyn Prepared> {
    Teams.prepare(&testkit::integration("teams", json!({}), credentials, mapping), "Leadline").unwrap()
}

fn ready() -> Box<dyn Prepared> {
    prepared(json!({ "workflow_url": HOOK }), Value::Null)
}

fn card(played: &Played) -> &Value {
    &played.bodies[0]["attachments"][0]["content"]
}

/// The card's lines as people read them.
fn lines(played: &Played) -> Vec<String> {
    let text = |block: &Value| {
        let runs = block["inlines"].as_array().unwrap().iter().map(|run| run["text"].as_str().unwrap());
        runs.collect::<String>()
    };
    card(played)["body"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn the_cards_are_those_that_were_looked_at() {
    let run = |case: PushCase<'_>| case.run(ready().as_ref(), &[ACCEPTED]);
    let create = run(PushCase::created(FULL));
    let repeat =
        run(PushCase { rendered: create.rendered.clone(), is_repeat: true, ..PushCase::created(MINIMAL) });
    let (update, minimal, maximal) =
        (run(PushCase::updated(UPDATED)), run(PushCase::created(MINIMAL)), run(PushCase::created(MAXIMAL)));
    for played in [&create, &repeat, &update, &minimal, &maximal] {
        assert_eq!(played.outcome, Outcome::Delivered);
    }
    assert_eq!(create.bodies, repeat.bodies, "a repeat is the same card, whatever became of the lead");
    assert_goldens(&[
        ("create", include_str!("fixtures/create.json"), &create),
        ("repeat", include_str!("fixtures/repeat.json"), &repeat),
        ("update", include_str!("fixtures/update.json"), &update),
        ("minimal", include_str!("fixtures/minimal.json"), &minimal),
        ("maximal", include_str!("fixtures/maximal.json"), &maximal),
    ]);
}

#[test]
fn nothing_that_a_lead_contains_is_read_as_markup() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    lead["lead"]["name"] = json!("[click](https://evil.example) **now** <at>All</at>");
    lead["quote"]["proposal_url"] = json!("javascript:alert(1)");
    let played = PushCase::created(&lead.to_string()).run(ready().as_ref(), &[ACCEPTED]);
    let card = card(&played);
    for block in card["body"].as_array().unwrap() {
        assert_eq!(block["type"], "RichTextBlock", "a TextBlock would read Markdown");
        assert!(block["inlines"].as_array().unwrap().iter().all(|run| run["type"] == "TextRun"));
    }
    assert_eq!((card.get("actions"), card["msteams"].get("entities")), (None, None));
    assert_eq!(lines(&played)[1], "Name: [click](https://evil.example) **now** <at>All</at>");
}

#[test]
fn a_card_stays_within_what_teams_takes() {
    let mut lead: Value = serde_json::from_str(FULL).unwrap();
    for notes in ["x".repeat(60_000), "a line\n".repeat(5000), "👰\"\n".repeat(5000)] {
        lead["lead"]["profile"] = json!({ "notes": notes });
        let played = PushCase::created(&lead.to_string()).run(ready().as_ref(), &[ACCEPTED]);
        assert_eq!(played.outcome, Outcome::Delivered);
        assert!(played.requests[0].body.len() <= 20 * 1024, "{}", played.requests[0].body.len());
        assert!(lines(&played).iter().any(|line| line.ends_with('…')), "a cut is marked");
    }
}

#[test]
fn a_mapping_renames_and_leaves_out() {
    let mapping = json!({"lead.email": null, "lead.phone": "Tel"});
    let ready = prepared(json!({ "workflow_url": HOOK }), mapping);
    let lines = lines(&PushCase::created(FULL).run(ready.as_ref(), &[ACCEPTED]));
    assert!(lines.contains(&"Tel: +447700900123".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("sarah@example.com")), "{lines:?}");
}

#[test]
fn a_notice_goes_to_people_in_its_own_words() {
    let notice =
        r#"{"event":"notice.no_leads","message":"No lead came in.","company":{"name":"The Old Barn"}}"#;
    let case = PushCase { event: EventKind::Notice(Notice::NoLeads), ..PushCase::created(notice) };
    let played = case.run(ready().as_ref(), &[ACCEPTED]);
    assert_eq!(lines(&played), ["Leadline: no leads", "No lead came in.", "Company: The Old Barn"]);
}

#[test]
fn every_error_has_its_class_and_says_what_to_do() {
    assert_errors(include_str!("fixtures/errors.json"), |response, now| {
        error::failure(response, &HOOK.parse().unwrap(), now)
    });
}

#[test]
fn a_workflow_cannot_be_looked_at_without_starting_it() {
    assert!(probe_with(ready().as_ref(), ProbeKind::Test, []).is_none());
    let played = PushCase::created(FULL).run(ready().as_ref(), &[ACCEPTED]);
    assert!(!played.requests[0].shown_url.contains("secret"), "{}", played.requests[0].shown_url);
}

#[test]
fn only_a_workflows_url_is_taken() {
    let check = |url: &str| {
        testkit::refused_credentials(&Teams, &json!({ "workflow_url": url }), &EgressPolicy::default())
            .join("; ")
    };
    assert_eq!(check(HOOK), "");
    let older = "https://prod-12.westeurope.logic.azure.com:443/workflows/0f1e/triggers/manual/paths/invoke?api-version=2016-06-01&sig=abc";
    assert_eq!(check(older), "");
    for cloud in [
        "api.gov.powerplatform.microsoft.us",
        "api.high.powerplatform.microsoft.us",
        "api.appsplatform.us",
        "api.powerplatform.partner.microsoftonline.cn",
    ] {
        assert_eq!(check(&HOOK.replace("api.powerplatform.com", cloud)), "", "{cloud}");
    }
    for (url, problem) in [
        (
            "https://barn.webhook.office.com/webhookb2/0/IncomingWebhook/1/2",
            "workflow_url: is an Office 365 connector's, which Microsoft has switched off: make a workflow in Teams, \"Post to a channel when a webhook request is received\", and use its URL",
        ),
        (
            "https://example.com/workflows/1?sig=abc",
            "workflow_url: must be the URL that the workflow shows: https://….api.powerplatform.com/…",
        ),
        (
            "https://a.api.powerplatform.com/powerautomate/automations/direct/workflows/1?api-version=1",
            "workflow_url: has no sig=…: copy the whole URL, and let anyone trigger the workflow",
        ),
    ] {
        assert_eq!(check(url), problem);
    }
    let played = PushCase::created(FULL).run(prepared(Value::Null, Value::Null).as_ref(), &[]);
    assert_eq!((played.failure().0, played.requests.len()), ("credentials", 0));
}
