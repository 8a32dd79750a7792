//! Payload versions: the shapes in which a canonical event is pushed. An integration names one and stays on it.
//!
//! A version, once released, never changes: golden files in `tests/fixtures/payload` hold each. Another one is another
//! entry of [`ALL`]; nothing else has to know of it.

use super::{integration::EventKind, json::Json};

/// A shape in which events are pushed.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// As integrations name it.
    pub name: &'static str,
    /// Under which event leads are pushed; none for what happened to them.
    event: Option<&'static str>,
    /// Makes the shape of the canonical event; none if it is that event, byte for byte.
    shape: Option<fn(&Json) -> Json>,
}

/// Every version there is; the first is what integrations get that name none.
pub const ALL: &[Payload] = &[
    Payload { name: "v1", event: None, shape: None },
    Payload { name: "save_lead", event: Some("save_lead"), shape: Some(save_lead) },
    #[cfg(test)]
    Payload { name: "v2", event: None, shape: Some(tests::v2) },
];

/// The version of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Payload> {
    ALL.iter().find(|payload| payload.name == name)
}

/// What integrations may name.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|payload| payload.name).collect()
}

impl Payload {
    /// The word in the event header. A test or a notice is told as one in every version.
    #[must_use]
    pub fn event(&self, kind: EventKind) -> &'static str {
        match kind {
            EventKind::Test | EventKind::Notice(_) => kind.as_str(),
            EventKind::Created | EventKind::Updated => self.event.unwrap_or(kind.as_str()),
        }
    }

    /// Whether a push has another shape than the canonical event.
    #[must_use]
    pub fn is_reshaped(&self) -> bool {
        self.shape.is_some()
    }

    /// The event in this shape; none if it is pushed as it is.
    #[must_use]
    pub fn reshape(&self, event: &Json) -> Option<Json> {
        self.shape.map(|shape| shape(event))
    }
}

/// The flat shape: what is absent is the empty text, and 0.
fn save_lead(event: &Json) -> Json {
    let text = |path: &str| match event.at(path) {
        Some(text @ Json::String(_)) => text.clone(),
        _ => Json::string(""),
    };
    let (first_name, last_name) = names_of(event);
    let score = match event.at("lead.profile.score") {
        Some(score @ Json::Number(_)) => score.clone(),
        _ => Json::integer(0),
    };
    let data = Json::object([
        ("email", text("lead.email")),
        ("company", text("lead.profile.company")),
        ("first_name", first_name),
        ("last_name", last_name),
        ("phone", text("lead.phone")),
        ("website", text("lead.profile.website")),
        ("position", text("lead.profile.position")),
        ("twitter", text("lead.profile.twitter")),
        ("linkedin", text("lead.profile.linkedin")),
        ("notes", text("lead.profile.notes")),
        ("score", score),
    ]);
    Json::object([("data", data)])
}

/// The names as they were saved, or the first word and the rest of the whole name; a lead that is called by its
/// address has none.
fn names_of(event: &Json) -> (Json, Json) {
    let saved = |key: &str| event.at(key).filter(|name| matches!(name, Json::String(_))).cloned();
    let (first, last) = (saved("lead.profile.first_name"), saved("lead.profile.last_name"));
    if first.is_some() || last.is_some() {
        let or_empty = |name: Option<Json>| name.unwrap_or_else(|| Json::string(""));
        return (or_empty(first), or_empty(last));
    }
    let text = |path: &str| event.at(path).and_then(Json::as_str).unwrap_or_default().trim().to_owned();
    let name = text("lead.name");
    if name == text("lead.email") {
        return (Json::string(""), Json::string(""));
    }
    let (first, rest) = name.split_once(char::is_whitespace).unwrap_or((&name, ""));
    (Json::string(first), Json::string(rest.trim_start()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        ids::{CompanyId, LeadId},
        lead::{self, AcceptContext},
    };

    const LEAD: &str = include_str!("../../../tests/fixtures/lead.json");
    const V1: &str = include_str!("../../../tests/fixtures/payload/v1.json");
    const FLAT: &str = include_str!("../../../tests/fixtures/save_lead.json");
    const SAVE_LEAD: &str = include_str!("../../../tests/fixtures/payload/save_lead.json");

    /// A version that only these tests know: the one entry in [`ALL`] is all it takes.
    pub(crate) fn v2(event: &Json) -> Json {
        Json::object([
            ("version", Json::string("v2")),
            ("contact", event.at("lead.email").cloned().unwrap_or(Json::Null)),
        ])
    }

    fn canonical(body: &str) -> Json {
        let context =
            AcceptContext { company: CompanyId(7), company_name: "The Old Barn", new_id: LeadId::generate() };
        lead::accept(body.as_bytes(), &context).unwrap().event
    }

    #[test]
    fn released_versions_never_change() {
        let event = canonical(LEAD);
        for (name, golden) in [("v1", V1), ("save_lead", SAVE_LEAD)] {
            let pushed = find(name).unwrap().reshape(&event).unwrap_or_else(|| event.clone());
            assert_eq!(pushed.to_string(), golden.trim_end(), "{name}");
        }
        assert!(names().starts_with(&["v1", "save_lead"]));
    }

    #[test]
    fn all_eleven_fields_go_out_as_they_came_in() {
        let context =
            AcceptContext { company: CompanyId(7), company_name: "The Old Barn", new_id: LeadId::generate() };
        let saved = lead::SaveLead::parse(FLAT.as_bytes()).unwrap().merge(None, &context).unwrap();
        let pushed = find("save_lead").unwrap().reshape(&saved.event).unwrap();
        assert_eq!(pushed.to_string(), Json::parse(FLAT.as_bytes()).unwrap().to_string());
        let Some(Json::Object(data)) = pushed.get("data") else { panic!("{pushed}") };
        let is_blank = |value: &Json| value.as_str().is_some_and(|text| text.is_empty());
        assert!(data.len() == 11 && !data.iter().any(|(_, value)| is_blank(value)), "{pushed}");
    }

    #[test]
    fn another_version_is_another_entry() {
        let v2 = find("v2").unwrap();
        assert_eq!(
            v2.reshape(&canonical(LEAD)).unwrap().to_string(),
            r#"{"version":"v2","contact":"sarah@example.com"}"#
        );
        assert_eq!(v2.event(EventKind::Updated), "lead.updated");
        assert!(find("v3").is_none());
    }

    #[test]
    fn events_are_named_as_the_version_has_them() {
        for (name, expected) in [
            ("v1", ["lead.created", "lead.updated", "webhook.test"]),
            ("save_lead", ["save_lead", "save_lead", "webhook.test"]),
        ] {
            let payload = find(name).unwrap();
            let kinds = [EventKind::Created, EventKind::Updated, EventKind::Test];
            assert_eq!(kinds.map(|kind| payload.event(kind)), expected);
        }
    }

    #[test]
    fn a_name_is_its_first_word_and_the_rest() {
        for (lead, expected) in [
            (r#"{"name":"Ann van der Lee","email":"a@b.c"}"#, ("Ann", "van der Lee")),
            (r#"{"name":" Ann  Lee ","email":"a@b.c"}"#, ("Ann", "Lee")),
            (r#"{"name":"Ann","email":"a@b.c"}"#, ("Ann", "")),
            (r#"{"name":"a@b.c","email":"a@b.c"}"#, ("", "")),
            (
                r#"{"name":"X Y","email":"a@b.c","profile":{"first_name":"Ann Mary","score":-3}}"#,
                ("Ann Mary", ""),
            ),
            (r#"{"profile":5}"#, ("", "")),
        ] {
            let event = Json::parse(format!(r#"{{"lead":{lead}}}"#).as_bytes()).unwrap();
            let flat = save_lead(&event);
            let text = |path: &str| flat.at(path).unwrap().as_str().unwrap().into_owned();
            assert_eq!((&*text("data.first_name"), &*text("data.last_name")), expected, "{lead}");
            let score = if lead.contains("score") { -3 } else { 0 };
            assert_eq!(flat.at("data.score").unwrap().as_integer(), Some(score));
        }
    }
}
