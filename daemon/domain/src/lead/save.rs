//! The flat shape of `/v1/save_lead`: made canonical, and merged into the lead that last came through that door.
//!
//! What is absent keeps its value; `null` and the empty text take it away.

use sha2::{Digest, Sha256};

use super::{
    AcceptContext, Accepted, LeadProblem, LeadRefusal, UNCOMPARED,
    email::{compared, is_email},
    fill_in, invalid,
};
use crate::{
    ids::parse_ulid,
    integration::EventKind,
    json::{Json, JsonText},
};

/// The largest event that merging may make.
const EVENT_MAX: usize = 256 * 1024;
/// Texts that stand under `lead.profile`.
const PROFILE: [&str; 8] =
    ["company", "first_name", "last_name", "website", "position", "twitter", "linkedin", "notes"];
/// What a canonical event has beside its lead; it does not come through this door.
const CANONICAL: [&str; 6] = ["version", "lead", "quote", "viewing", "location", "company"];

/// A flat lead whose fields are right.
#[derive(Clone, Debug)]
pub struct SaveLead {
    email: String,
    data: Vec<(JsonText, Json)>,
    /// Members beside `data` that are nobody's: kept as they came.
    more: Vec<(JsonText, Json)>,
}

impl SaveLead {
    /// Reads `{"data": {…}}`; names everything that is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, LeadRefusal> {
        let Json::Object(members) = Json::parse_received(body)? else {
            return Err(invalid("", "must be an object: {\"data\": {\"email\": …}}".to_owned()));
        };
        let mut problems = Vec::new();
        let mut add = |pointer: String, detail: &str| {
            problems.push(LeadProblem { pointer, detail: detail.to_owned() });
        };
        let (mut data, mut more) = (None, Vec::new());
        for (key, value) in members {
            let name = key.decode().into_owned();
            match &*name {
                "data" => data = Some(value),
                // It is always set to what happened.
                "event" => {}
                name if CANONICAL.contains(&name) => {
                    add(format!("/{name}"), "has no place here: post the canonical event to /v1/leads");
                }
                _ => more.push((key, value)),
            }
        }
        let data = match data {
            Some(Json::Object(data)) => data,
            Some(_) => {
                add("/data".to_owned(), "must be an object");
                Vec::new()
            }
            None => {
                add("/data".to_owned(), "is required: {\"data\": {\"email\": …}}");
                Vec::new()
            }
        };
        let email = check(&data, &mut problems);
        match email {
            Some(email) if problems.is_empty() => Ok(Self { email, data, more }),
            _ => Err(LeadRefusal::Invalid(problems)),
        }
    }

    /// What the lead is found again by: the address as addresses are compared, hashed.
    #[must_use]
    pub fn email_hash(&self) -> [u8; 32] {
        Sha256::digest(compared(&self.email)).into()
    }

    /// The canonical event: a new one, or the current one of the lead with these fields laid over it.
    pub fn merge(
        &self,
        current: Option<&[u8]>,
        context: &AcceptContext<'_>,
    ) -> Result<Accepted, LeadRefusal> {
        let mut event = match current {
            Some(body) => Json::parse(body)?,
            None => Json::object([
                ("event", Json::string(EventKind::Created.as_str())),
                ("version", Json::string("v1")),
                (
                    "lead",
                    Json::object([
                        ("uuid", Json::string(&context.new_id.to_string())),
                        ("name", Json::string("")),
                        ("email", Json::string("")),
                    ]),
                ),
            ]),
        };
        if let Some(lead) = event.get_mut("lead") {
            self.merge_lead(lead);
        }
        for (key, value) in &self.more {
            event.insert(usize::MAX, &key.decode(), value.clone());
        }
        fill_in(&mut event, context);
        let text = event.to_bytes();
        if text.len() > EVENT_MAX || Json::parse(&text).is_err() {
            let detail =
                "makes the lead larger than 256 KiB, 1000 keys, 10000 values or 32 levels: send less";
            return Err(invalid("/data", detail.to_owned()));
        }
        let uuid = event.at("lead.uuid").and_then(Json::as_str).unwrap_or_default().into_owned();
        let lead = parse_ulid(&uuid).map_err(|error| invalid("/lead/uuid", error.to_string()))?.into();
        Ok(Accepted { lead, uuid, digest: event.digest_without(&UNCOMPARED), event })
    }

    fn merge_lead(&self, lead: &mut Json) {
        let text = |lead: &Json, path: &str| lead.at(path).and_then(Json::as_str).map(|it| it.into_owned());
        let (old_name, old_email) = (text(lead, "name"), text(lead, "email"));
        for (key, value) in &self.data {
            match &*key.decode() {
                "email" => lead.insert(usize::MAX, "email", Json::string(&self.email)),
                "phone" => lay(lead, "phone", value),
                name => {
                    if !matches!(lead.get("profile"), Some(Json::Object(_))) {
                        lead.insert(usize::MAX, "profile", Json::Object(Vec::new()));
                    }
                    if let Some(profile) = lead.get_mut("profile") {
                        if is_known(name) {
                            lay(profile, name, value);
                        } else {
                            profile.insert(usize::MAX, name, value.clone());
                        }
                    }
                }
            }
        }
        let is_named_here = self.data.iter().any(|(key, _)| key.is("first_name") || key.is("last_name"));
        let is_unnamed =
            old_name.as_ref().is_none_or(|name| name.is_empty() || Some(name) == old_email.as_ref());
        if is_named_here || is_unnamed {
            let part = |path| text(lead, path).map(|part| part.trim().to_owned());
            let parts = [part("profile.first_name"), part("profile.last_name")];
            let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            let name = if parts.is_empty() { self.email.clone() } else { parts.join(" ") };
            lead.insert(usize::MAX, "name", Json::string(&name));
        }
    }
}

fn is_known(name: &str) -> bool {
    name == "score" || PROFILE.contains(&name)
}

/// Puts a value over what is there; null and the empty text leave nothing.
fn lay(object: &mut Json, key: &str, value: &Json) {
    let is_blank = value.is_null() || value.as_str().is_some_and(|text| text.is_empty());
    if is_blank {
        object.take_at(key);
    } else {
        object.insert(usize::MAX, key, value.clone());
    }
}

/// The address, if it is one; everything else that is wrong is noted.
fn check(data: &[(JsonText, Json)], problems: &mut Vec<LeadProblem>) -> Option<String> {
    let mut add = |key: &str, detail: &str| {
        problems.push(LeadProblem { pointer: format!("/data/{key}"), detail: detail.to_owned() });
    };
    let value = |name: &str| data.iter().find(|(key, _)| key.is(name)).map(|(_, value)| value);
    let email = match value("email") {
        None | Some(Json::Null) => {
            add("email", "is required");
            None
        }
        Some(Json::String(text)) => {
            let email = Some(text.decode().into_owned()).filter(|email| is_email(email));
            if email.is_none() {
                add("email", "must be an e-mail address");
            }
            email
        }
        Some(_) => {
            add("email", "must be text");
            None
        }
    };
    for name in PROFILE.into_iter().chain(["phone"]) {
        if !matches!(value(name), None | Some(Json::Null | Json::String(_))) {
            add(name, "must be text or null");
        }
    }
    let score = value("score");
    let is_score = |score: &Json| {
        score.is_null() || score.as_integer().is_some_and(|score| i64::try_from(score).is_ok())
    };
    if score.is_some_and(|score| !is_score(score)) {
        add("score", "must be an integer or null");
    }
    email
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CompanyId, LeadId};

    const NEW: &str = "01J8H6KQH4YG3XR8RWM6T6XFQE";

    fn merged(current: Option<&str>, body: &str) -> Accepted {
        let context = AcceptContext {
            company: CompanyId(7),
            company_name: "The Old Barn",
            new_id: NEW.parse::<LeadId>().unwrap(),
        };
        SaveLead::parse(body.as_bytes()).unwrap().merge(current.map(str::as_bytes), &context).unwrap()
    }

    fn lead(current: Option<&str>, body: &str) -> String {
        merged(current, body).event.get("lead").unwrap().to_string()
    }

    #[test]
    fn a_flat_lead_is_made_canonical() {
        let full = r#"{"data":{"email":"Ann@Example.com","company":"Acme","first_name":" Ann ","last_name":"Lee",
            "phone":"+44 1","website":"https://acme.example","position":"","twitter":null,"notes":"hi","score":1e0}}"#;
        let refusal = SaveLead::parse(full.as_bytes()).unwrap_err();
        assert_eq!(refusal, invalid("/data/score", "must be an integer or null".to_owned()));
        let accepted = merged(None, &full.replace("1e0", "7"));
        assert_eq!(
            accepted.event.to_string(),
            r#"{"event":"lead.created","version":"v1","lead":{"uuid":"01J8H6KQH4YG3XR8RWM6T6XFQE","name":"Ann Lee","email":"Ann@Example.com","profile":{"company":"Acme","first_name":" Ann ","last_name":"Lee","website":"https://acme.example","notes":"hi","score":7},"phone":"+44 1"},"company":{"id":7,"name":"The Old Barn"}}"#
        );
        assert_eq!((accepted.uuid.as_str(), accepted.lead.to_string()), (NEW, NEW.to_owned()));
        assert_eq!(
            lead(None, r#"{"data":{"email":"a@b.c"}}"#),
            r#"{"uuid":"01J8H6KQH4YG3XR8RWM6T6XFQE","name":"a@b.c","email":"a@b.c"}"#
        );
    }

    #[test]
    fn what_is_absent_keeps_its_value() {
        let current = r#"{"event":"lead.created","version":"v1","lead":{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Ann Lee","email":"a@b.c","phone":"1","guest_count":80,"profile":{"first_name":"Ann","last_name":"Lee","score":1}},"company":{"id":7}}"#;
        for (body, expected) in [
            (
                r#"{"data":{"email":"A@b.c","score":18446744073709551}}"#,
                r#"{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Ann Lee","email":"A@b.c","phone":"1","guest_count":80,"profile":{"first_name":"Ann","last_name":"Lee","score":18446744073709551}}"#,
            ),
            (
                r#"{"data":{"email":"a@b.c","last_name":"","phone":null,"a.b":[1.10]}}"#,
                r#"{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"Ann","email":"a@b.c","guest_count":80,"profile":{"first_name":"Ann","score":1,"a.b":[1.10]}}"#,
            ),
            (
                r#"{"data":{"email":"a@b.c","first_name":null,"last_name":null}}"#,
                r#"{"uuid":"01j8h6kqh4yg3xr8rwm6t6xfqe","name":"a@b.c","email":"a@b.c","phone":"1","guest_count":80,"profile":{"score":1}}"#,
            ),
        ] {
            assert_eq!(lead(Some(current), body), expected, "{body}");
        }
        // A name that another door gave stays until this one brings one; a lead without one is called by its address.
        let other = current
            .replace("Ann Lee", "Mrs Lee")
            .replace("\"first_name\":\"Ann\",\"last_name\":\"Lee\",", "");
        assert!(lead(Some(&other), r#"{"data":{"email":"a@b.c","score":2}}"#).contains("Mrs Lee"));
        let unnamed = other.replace("Mrs Lee", "a@b.c");
        assert!(lead(Some(&unnamed), r#"{"data":{"email":"A@B.C"}}"#).contains(r#""name":"A@B.C""#));
        let same = merged(Some(current), r#"{"data":{"score":1,"email":"a@b.c"}, "event": "save_lead"}"#);
        assert_eq!(same.digest, Json::parse(current.as_bytes()).unwrap().digest_without(&UNCOMPARED));
        assert!(
            merged(Some(current), r#"{"data":{"email":"a@b.c"},"tag":[2.0]}"#)
                .event
                .to_string()
                .ends_with(r#","tag":[2.0]}"#)
        );
    }

    #[test]
    fn the_key_is_the_address_in_lower_case() {
        let hash = |email: &str| {
            SaveLead::parse(format!(r#"{{"data":{{"email":"{email}"}}}}"#).as_bytes()).unwrap().email_hash()
        };
        assert_eq!(hash("Ann@Example.COM"), hash("ann@example.com"));
        assert_eq!(hash(" ann@example.com"), hash("ann@example.com"));
        assert_ne!(hash("ann@example.com"), hash("anne@example.com"));
    }

    #[test]
    fn everything_wrong_is_named() {
        let problems = |body: &str| match SaveLead::parse(body.as_bytes()) {
            Err(LeadRefusal::Invalid(problems)) => {
                problems.into_iter().map(|it| format!("{} {}", it.pointer, it.detail)).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(problems("[]"), [" must be an object: {\"data\": {\"email\": …}}"]);
        assert_eq!(
            problems("{}"),
            ["/data is required: {\"data\": {\"email\": …}}", "/data/email is required"]
        );
        assert_eq!(
            problems(r#"{"quote":{},"data":{"email":"ann","phone":1,"notes":[],"score":"7"}}"#),
            [
                "/quote has no place here: post the canonical event to /v1/leads",
                "/data/email must be an e-mail address",
                "/data/notes must be text or null",
                "/data/phone must be text or null",
                "/data/score must be an integer or null",
            ]
        );
        assert!(matches!(SaveLead::parse(b"{"), Err(LeadRefusal::Malformed(_))));
    }

    #[test]
    fn a_lead_does_not_outgrow_an_event() {
        let context =
            AcceptContext { company: CompanyId(7), company_name: "The Old Barn", new_id: LeadId::generate() };
        let deep = format!(r#"{{"data":{{"email":"a@b.c","x":{}{}}}}}"#, "[".repeat(30), "]".repeat(30));
        let refusal = SaveLead::parse(deep.as_bytes()).unwrap().merge(None, &context).unwrap_err();
        let LeadRefusal::Invalid(problems) = refusal else { panic!("{refusal:?}") };
        let reported = "makes the lead larger than 256 KiB, 1000 keys, 10000 values or 32 levels: send less";
        assert_eq!(problems, [LeadProblem { pointer: "/data".to_owned(), detail: reported.to_owned() }]);
    }
}
