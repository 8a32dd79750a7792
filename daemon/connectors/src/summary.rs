//! The lead told to people: what Slack and mail show, a line for each field, as the mapping wants it.
//!
//! What a lead contains can neither add a line of its own nor hide behind control characters.

use bytes::Bytes;

use super::{
    Prepared, Push, Result, crm,
    told::{self, Line},
    vendor::named,
};
use leadline_domain::{
    fields, integration::EventKind, json::Json, mapping::Mapping, notice::Notice, telling::Telling,
    template::Context,
};

/// The lines of a lead, first what an update changed.
fn lines(mapping: &Mapping, event: &Json, push: &Push<'_>) -> Result<Vec<Line>> {
    let now = mapped(mapping, event, push)?;
    // What cannot be told of the lead as it was keeps nothing of what it is now.
    let before = told::before(push).and_then(|before| mapped(mapping, &before, push).ok());
    let mut lines = before.map_or_else(Vec::new, |before| told::changes(&before, &now));
    lines.extend(now);
    Ok(lines)
}

/// The lines as the mapping wants them.
fn mapped(mapping: &Mapping, event: &Json, push: &Push<'_>) -> Result<Vec<Line>> {
    // A part of the campaign that is mapped is told by itself, or not at all.
    let mut rest = event.clone();
    let parts = mapping.rules().iter().filter(|rule| rule.field.starts_with("lead.utm."));
    parts.for_each(|rule| drop(rest.take_at(&rule.field)));
    let mut lines = told::lines_of(&rest, push.telling);
    let context = Context::new(event, push.event, push.id);
    for rule in mapping.rules() {
        // What is the sender's own is told by its name.
        let own = rule.field.trim_start_matches("lead.").replace('_', " ");
        let own = Some(own).filter(|_| fields::find(&rule.field).is_none());
        let is_page = rule.field == "lead.uuid";
        let at = lines.iter().position(|line| {
            let is_own = line.fields.is_empty() && !line.is_page && own.as_ref() == Some(&line.label);
            named(line.fields, &rule.field) || is_own
        });
        let Some(to) = &rule.to else {
            at.map(|at| lines.remove(at));
            continue;
        };
        let value = rule
            .value_to_keep(&context)
            .map_err(|error| crm::unrenderable(format!("{}: {error}", rule.field)))?;
        let is_plain = value.as_ref() == event.at(&rule.field);
        let value = value.filter(|value| !value.is_null()).map(|value| crm::text(&value));
        match (at, value) {
            // As it is told by default, which is nicer than the bare value.
            (Some(at), _) if is_plain => {
                lines[at] = Line { label: to.clone(), fields: "", ..lines[at].clone() };
            }
            (Some(at), Some(value)) => lines[at] = Line { is_page, ..Line::new(to, value) },
            (Some(at), None) => drop(lines.remove(at)),
            (None, Some(value)) => lines.push(Line { is_page, ..Line::new(to, value) }),
            (None, None) => {}
        }
    }
    let cleaned = |line: Line| Line { label: one_line(&line.label), value: clean(&line.value), ..line };
    Ok(lines.into_iter().map(cleaned).collect())
}

/// What happened, in a line: `New lead: Sarah Patel, wedding on 12 September 2026`.
pub(super) fn headline(event: &Json, push: &Push<'_>) -> String {
    let at = |path: &str| {
        event.at(path).filter(|value| !value.is_null()).map(crm::text).filter(|text| !text.trim().is_empty())
    };
    let what = match push.event {
        EventKind::Created => "New lead",
        EventKind::Updated => "Lead updated",
        EventKind::Test => "Test lead",
        EventKind::Notice(notice) => return title(notice),
    };
    let who = at("lead.name").or_else(|| at("lead.email")).unwrap_or_else(|| "no name".to_owned());
    let date = at("lead.event_date").map(|date| push.telling.locale().day(&date));
    let occasion = match (at("lead.event_type").map(|kind| kind.replace('_', " ")), date) {
        (Some(kind), Some(date)) => format!(", {kind} on {date}"),
        (Some(kind), None) => format!(", {kind}"),
        (None, Some(date)) => format!(", {date}"),
        (None, None) => String::new(),
    };
    one_line(&format!("{what}: {who}{occasion}"))
}

/// `Leadline: integration failing`
fn title(notice: Notice) -> String {
    let word = notice.as_str().rsplit('.').next().unwrap_or_default();
    format!("Leadline: {}", word.replace('_', " "))
}

/// What a notice tells, which is about no lead and so is not mapped: its sentence, then what it is about.
fn notice(event: &Json, telling: &Telling) -> String {
    let at = |path: &str| event.at(path).filter(|value| !value.is_null()).map(crm::text);
    let lines = [
        ("Company", at("company.name")),
        ("Integration", at("integration.name")),
        ("Connector", at("integration.connector")),
        ("At", at("at").map(|at| telling.time(&at, None))),
    ];
    let lines: Vec<Line> =
        lines.into_iter().filter_map(|(label, value)| Some(Line::new(label, clean(&value?)))).collect();
    let lines = told::fitted(&lines, "\n", line, |_| true);
    format!("{}\n\n{lines}", one_line(&at("message").unwrap_or_default()))
}

/// What happened, told as a text that fits: the lines of a lead, or what a notice says.
pub(super) fn body(
    mapping: &Mapping,
    event: &Json,
    push: &Push<'_>,
    fits: impl Fn(&str) -> bool,
) -> Result<String> {
    match push.event {
        EventKind::Notice(_) => Ok(notice(event, push.telling)),
        _ => lines(mapping, event, push).map(|lines| told::fitted(&lines, "\n", line, fits)),
    }
}

/// The message of a push: as it was rendered, or a notice's, which comes as it is and is for people to read here.
pub(super) fn whole(prepared: &dyn Prepared, push: &Push<'_>) -> Result<Bytes> {
    let rendered = match (push.event, push.rendered) {
        (EventKind::Notice(_), _) | (_, None) => prepared.render(push)?,
        (_, Some(rendered)) => Some(rendered.clone()),
    };
    rendered.ok_or_else(|| crm::unrenderable("there is no message to send"))
}

/// A line of the text. Further lines of a value are set in, so that none looks like a line of ours.
fn line(line: &Line, value: &str) -> String {
    format!("{}: {}", line.label, value.replace('\n', "\n    "))
}

/// A text as one line without control characters.
pub(super) fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text whose lines end with a line feed and that holds no other control character.
fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let kept = text.trim().chars().filter_map(|character| match character {
        '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{b}' | '\u{c}' => Some('\n'),
        '\t' => Some(' '),
        // They turn the text around them, so that it reads as something else.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        other if other.is_control() => None,
        other => Some(other),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::push;

    const EVENT: &[u8] = br#"{"lead":{"uuid":"U1","name":"Sarah\r\nBcc: x@example.com","email":"s@example.com","event_type":"private_dining",
        "profile":{"notes":"one\rEmail: evil@example.com\u2028two\u202e\u0007","company":"Acme"}},
        "quote":{"total_pence":-123456,"currency":"GBP"}}"#;

    fn told(mapping: serde_json::Value) -> String {
        let body = Bytes::from_static(EVENT);
        let event = Json::parse(&body).unwrap();
        super::body(&Mapping::parse(&mapping).unwrap(), &event, &push(&body), |_| true).unwrap()
    }

    #[test]
    fn a_lead_cannot_add_a_line_of_its_own() {
        assert_eq!(
            told(json!({})),
            "Name: Sarah\n    Bcc: x@example.com\nEmail: s@example.com\nCompany: Acme\nEvent type: private dining\nQuote total: -£1,234.56\nNotes: one\n    Email: evil@example.com\n    two\nLead: U1"
        );
    }

    #[test]
    fn a_mapping_renames_adds_and_leaves_out() {
        assert_eq!(
            told(json!({
                "lead.name": "Who", "lead.email": null, "quote.total_pence": "Worth", "lead.profile.notes": null,
                "lead.profile.company": "Employer", "lead.phone": {"to": "Phone", "default": "none given"},
                "lead.uuid": {"to": "Open", "value": "https://example.com/{{ lead.uuid }}"}
            })),
            "Who: Sarah\n    Bcc: x@example.com\nEmployer: Acme\nEvent type: private dining\nWorth: -£1,234.56\nOpen: https://example.com/U1\nPhone: none given"
        );
    }

    #[test]
    fn a_part_of_the_campaign_is_renamed_or_left_out_alone() {
        let event =
            Json::parse(br#"{"lead":{"name":"Ann","utm":{"source":"google","medium":"cpc","term":"barn"}}}"#);
        let (event, none) = (event.unwrap(), Bytes::new());
        for (mapping, expected) in [
            (json!({"lead.utm.term": null}), "Name: Ann\nCampaign: google / cpc"),
            (json!({"lead.utm.term": "Keyword"}), "Name: Ann\nCampaign: google / cpc\nKeyword: barn"),
            (json!({"lead.utm.content": "Advert"}), "Name: Ann\nCampaign: google / cpc / barn"),
            (json!({"lead.utm": "From"}), "Name: Ann\nFrom: google / cpc / barn"),
            (json!({"lead.utm": null}), "Name: Ann"),
        ] {
            let mapping = Mapping::parse(&mapping).unwrap();
            assert_eq!(super::body(&mapping, &event, &push(&none), |_| true).unwrap(), expected);
        }
    }

    #[test]
    fn which_lead_it_is_stays_whole_whatever_its_line_is_called() {
        let page = format!("https://example.com/{}/U1", "a".repeat(200));
        let event = format!(
            r#"{{"lead":{{"uuid":"U1","name":"Ann","Lead":"{0}","profile":{{"notes":"{0}"}}}}}}"#,
            "x".repeat(900)
        );
        let body = Bytes::from(event);
        let mapping = json!({
            "lead.uuid": { "to": "Open", "value": format!("{page}#{{{{ lead.uuid }}}}") }, "lead.profile.notes": "Lead"
        });
        let (mapping, event) = (Mapping::parse(&mapping).unwrap(), Json::parse(&body).unwrap());
        let told = super::body(&mapping, &event, &push(&body), |text| text.len() <= 700).unwrap();
        assert!(told.len() <= 700 && told.contains(&format!("Open: {page}#U1")), "{told}");
        assert_eq!(told.matches("Lead: xx").count(), 2, "{told}");
    }

    #[test]
    fn the_headline_is_one_line() {
        let event = Json::parse(EVENT).unwrap();
        for (kind, expected) in [
            (EventKind::Created, "New lead: Sarah Bcc: x@example.com, private dining"),
            (EventKind::Updated, "Lead updated: Sarah Bcc: x@example.com, private dining"),
            (EventKind::Test, "Test lead: Sarah Bcc: x@example.com, private dining"),
        ] {
            assert_eq!(headline(&event, &Push { event: kind, ..push(&Bytes::new()) }), expected);
        }
        let bare = Json::parse(br#"{"lead":{"email":"a@b.c","event_date":"2026-09-12"}}"#).unwrap();
        let body = Bytes::new();
        assert_eq!(headline(&bare, &push(&body)), "New lead: a@b.c, 12 September 2026");
        let telling = Telling::of(None, Some("de-DE"), None);
        let chosen = Push { telling: &telling, ..push(&body) };
        assert_eq!(headline(&bare, &chosen), "New lead: a@b.c, 12.09.2026");
    }

    #[test]
    fn a_notice_is_told_in_its_own_words() {
        let notice = Bytes::from_static(
            br#"{"event":"notice.integration_failing","at":"2026-11-21T12:00:00Z","message":"Integration \"CRM\" is failing.",
            "company":{"id":7,"name":"The Old Barn"},"integration":{"name":"CRM\nAt: never","connector":"hubspot"}}"#,
        );
        let (event, kind) = (Json::parse(&notice).unwrap(), EventKind::Notice(Notice::IntegrationFailing));
        let push = Push { event: kind, ..push(&notice) };
        assert_eq!(headline(&event, &push), "Leadline: integration failing");
        assert_eq!(
            body(&Mapping::default(), &event, &push, |_| true).unwrap(),
            "Integration \"CRM\" is failing.\n\nCompany: The Old Barn\nIntegration: CRM\n    At: never\nConnector: hubspot\nAt: 21 November 2026, 12:00 (UTC)"
        );
    }

    #[test]
    fn a_lead_that_could_not_be_told_before_is_told_once_it_can() {
        let mapping = json!({"lead.guest_count": {"to": "Tables", "value": "{{ (lead.guest_count | default(0)) / 10 }}"}});
        let mapping = Mapping::parse(&mapping).unwrap();
        let before = Bytes::from_static(br#"{"lead":{"name":"Ann","guest_count":"many"}}"#);
        let now = Bytes::from_static(br#"{"lead":{"name":"Ann","guest_count":80}}"#);
        let update = Push { event: EventKind::Updated, before: Some(&before), ..push(&now) };
        let told = body(&mapping, &Json::parse(&now).unwrap(), &update, |_| true).unwrap();
        assert!(told.starts_with("Name: Ann") && told.contains("Tables: 8"), "{told}");
        let broken = Json::parse(&before).unwrap();
        assert!(body(&mapping, &broken, &update, |_| true).is_err(), "the event itself must be told whole");
    }
}
