//! Forms: what a page of a browser posts, made a lead event.
//!
//! A field goes where the form's map says, else to the canonical field of its name, else into the lead as the sender's
//! own. Texts become what the canonical field is; what cannot is left for the checks of the event to name.

use std::borrow::Cow;

use super::{
    fields::{self, Leaf, Shape},
    json::{Json, JsonText},
    lead::LeadProblem,
    nearest::unknown,
};

/// The most fields that a form may post.
pub const FIELDS_MAX: usize = 200;
/// The most that a map or the constants of a form may name.
const NAMED_MAX: usize = 200;
/// What a public form may not say: it would change other leads, or speak for others.
const CLOSED: [&str; 7] =
    ["event", "version", "lead.uuid", "company", "company.id", "company.name", "quote.items"];
/// How browsers and people say yes and no.
const YES: [&str; 5] = ["on", "true", "yes", "1", "y"];
const NO: [&str; 5] = ["off", "false", "no", "0", "n"];

/// Why a form cannot be saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("{0}: must be a JSON object")]
    NoObject(&'static str),
    #[error("{part}: at most {NAMED_MAX} fields")]
    TooMany { part: &'static str },
    #[error("map: {field:?} must go to a canonical field, such as \"lead.email\", or to null")]
    NoTarget { field: String },
    #[error("{part}: {problem}")]
    UnknownField { part: &'static str, problem: String },
    #[error("{part}: {field} is not for a public form to say")]
    Closed { part: &'static str, field: String },
    #[error("constants: {field} must be a text, a number or a truth value")]
    NoConstant { field: String },
    #[error("map: {first:?} and {second:?} both go to {target}; give each its own")]
    Twice { first: String, second: String, target: String },
}

/// A form as it reads what is posted.
#[derive(Clone, Debug, Default)]
pub struct Form {
    map: Vec<(String, Option<String>)>,
    constants: Vec<(String, Json)>,
    honeypot: Option<String>,
}

/// What a post comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    Lead(Json),
    /// Whoever filled in the field that people do not see.
    Bot,
}

impl Form {
    /// A form of a map and constants, as JSON objects.
    pub fn new(
        map: &serde_json::Value,
        constants: &serde_json::Value,
        honeypot: Option<&str>,
    ) -> Result<Self, FormError> {
        let honeypot = honeypot.map(str::to_owned);
        Ok(Self { map: read_map(map)?, constants: read_constants(constants)?, honeypot })
    }

    /// The event of what was posted, in the order of the fields.
    #[must_use]
    pub fn event(&self, fields: &[(Cow<'_, str>, Cow<'_, str>)], page: Option<&str>) -> Posted {
        let mut event = Json::object([("lead", Json::Object(Vec::new()))]);
        for (name, text) in fields {
            let is_blank = text.trim().is_empty();
            if self.honeypot.as_deref() == Some(name) {
                if is_blank {
                    continue;
                }
                return Posted::Bot;
            }
            match self.target(name) {
                FieldTarget::Field(path) if !is_blank => event.set_at(path, typed(path, text)),
                FieldTarget::Own if !is_blank => add_own(&mut event, name, text),
                FieldTarget::Field(_) | FieldTarget::Own | FieldTarget::Nowhere => {}
            }
        }
        for (path, value) in &self.constants {
            if event.at(path).is_none() {
                event.set_at(path, value.clone());
            }
        }
        // A box that is not ticked is not posted.
        if event.at("lead.gdpr_consent").is_none() {
            event.set_at("lead.gdpr_consent", Json::Bool(false));
        }
        if event.at("lead.name").is_none()
            && let Some(name) = whole_name(&event)
        {
            event.set_at("lead.name", Json::string(&name));
        }
        if event.at("lead.source_url").is_none()
            && let Some(page) = page
        {
            event.set_at("lead.source_url", Json::string(page));
        }
        Posted::Lead(event)
    }

    /// What is wrong with a lead, by the names of the page's own fields where it has them.
    #[must_use]
    pub fn by_field(&self, problem: &LeadProblem, fields: &[(Cow<'_, str>, Cow<'_, str>)]) -> LeadProblem {
        let path = problem.pointer.trim_start_matches('/').replace('/', ".");
        let is_there = |name: &str| matches!(self.target(name), FieldTarget::Field(field) if field == path);
        let posted = fields.iter().map(|(name, _)| &**name).find(|name| is_there(name));
        let mapped = || self.map.iter().map(|(name, _)| name.as_str()).find(|name| is_there(name));
        let name = posted.or_else(mapped).unwrap_or_else(|| path.strip_prefix("lead.").unwrap_or(&path));
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        LeadProblem { pointer, detail: problem.detail.clone() }
    }

    fn target<'a>(&'a self, name: &str) -> FieldTarget<'a> {
        if let Some((_, target)) = self.map.iter().find(|(from, _)| from == name) {
            return target.as_deref().map_or(FieldTarget::Nowhere, FieldTarget::Field);
        }
        match canonical(name) {
            Some(field) if CLOSED.contains(&field) => FieldTarget::Nowhere,
            Some(field) => FieldTarget::Field(field),
            None => FieldTarget::Own,
        }
    }
}

/// Where a field of a page goes.
enum FieldTarget<'a> {
    Field(&'a str),
    /// Into the lead, under its own name.
    Own,
    Nowhere,
}

/// The canonical field that is called so: `email`, `E-Mail`, `utm_source`, `first-name`, `lead.email`.
fn canonical(name: &str) -> Option<&'static str> {
    let word = name.trim().to_lowercase().replace([' ', '-'], "_").replace("e_mail", "email");
    let candidates = [
        word.clone(),
        format!("lead.{word}"),
        format!("lead.profile.{word}"),
        format!("lead.utm.{}", word.strip_prefix("utm_").unwrap_or("?")),
        format!("viewing.{word}"),
        format!("quote.{word}"),
    ];
    candidates.iter().find_map(|name| {
        fields::find(name).filter(|field| matches!(field.shape, Shape::Leaf(_))).map(|field| field.name)
    })
}

fn typed(path: &str, text: &str) -> Json {
    let leaf = match fields::find(path).map(|field| field.shape) {
        Some(Shape::Leaf(leaf)) => leaf,
        _ => Leaf::Text,
    };
    let word = text.trim();
    match leaf {
        Leaf::Integer => match word.parse::<i64>() {
            Ok(number) => Json::integer(number.into()),
            Err(_) => Json::string(text),
        },
        Leaf::Truth => match word.to_lowercase().as_str() {
            yes if YES.contains(&yes) => Json::Bool(true),
            no if NO.contains(&no) => Json::Bool(false),
            _ => Json::string(text),
        },
        Leaf::Date | Leaf::Time => Json::string(word),
        Leaf::Text => Json::string(text),
    }
}

/// Adds a field of the sender's own. One that is posted several times, as boxes are, becomes a list.
fn add_own(event: &mut Json, name: &str, text: &str) {
    let Some(lead) = event.get_mut("lead") else { return };
    let value = Json::string(text);
    match lead.get_mut(name) {
        Some(Json::Array(items)) => items.push(value),
        Some(present) => *present = Json::Array(vec![present.clone(), value]),
        None => {
            if let Json::Object(members) = lead {
                members.push((JsonText::new(name), value));
            }
        }
    }
}

fn whole_name(event: &Json) -> Option<String> {
    let part = |path| event.at(path).and_then(Json::as_str).map(|part| part.trim().to_owned());
    let parts = [part("lead.profile.first_name"), part("lead.profile.last_name")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn read_map(map: &serde_json::Value) -> Result<Vec<(String, Option<String>)>, FormError> {
    let members = map.as_object().ok_or(FormError::NoObject("map"))?;
    if members.len() > NAMED_MAX {
        return Err(FormError::TooMany { part: "map" });
    }
    let mut read: Vec<(String, Option<String>)> = Vec::new();
    for (field, target) in members {
        let target = match target {
            serde_json::Value::Null => None,
            serde_json::Value::String(target) => Some(open("map", target)?),
            _ => return Err(FormError::NoTarget { field: field.clone() }),
        };
        if let Some(target) = &target
            && let Some((first, _)) = read.iter().find(|(_, other)| other.as_ref() == Some(target))
        {
            let (first, second) = (first.clone(), field.clone());
            return Err(FormError::Twice { first, second, target: target.clone() });
        }
        read.push((field.clone(), target));
    }
    Ok(read)
}

fn read_constants(constants: &serde_json::Value) -> Result<Vec<(String, Json)>, FormError> {
    let members = constants.as_object().ok_or(FormError::NoObject("constants"))?;
    if members.len() > NAMED_MAX {
        return Err(FormError::TooMany { part: "constants" });
    }
    let read = members.iter().map(|(field, value)| {
        let path = open("constants", field)?;
        let value = match value {
            serde_json::Value::String(text) => typed(&path, text),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Json::from(value),
            _ => return Err(FormError::NoConstant { field: path }),
        };
        Ok((path, value))
    });
    read.collect()
}

/// A path that a form may fill: a canonical value, or a field of the sender's own in the lead.
fn open(part: &'static str, path: &str) -> Result<String, FormError> {
    if CLOSED.contains(&path) {
        return Err(FormError::Closed { part, field: path.to_owned() });
    }
    let is_leaf = fields::find(path).is_some_and(|field| matches!(field.shape, Shape::Leaf(_)));
    let own = path.strip_prefix("lead.").filter(|own| !own.is_empty() && !own.contains('.'));
    if is_leaf || (own.is_some() && fields::find(path).is_none() && is_far(path)) {
        return Ok(path.to_owned());
    }
    let known = fields::FIELDS.iter().filter(|field| matches!(field.shape, Shape::Leaf(_)));
    let known = known.map(|field| field.name).filter(|name| !CLOSED.contains(name));
    Err(FormError::UnknownField { part, problem: unknown("field", path, known) })
}

/// Whether a name is none that was only misspelt.
fn is_far(path: &str) -> bool {
    super::nearest::nearest(path, fields::FIELDS.iter().map(|field| field.name)).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(map: serde_json::Value, constants: serde_json::Value) -> Form {
        Form::new(&map, &constants, Some("website_2")).unwrap()
    }

    fn posted(form: &Form, fields: &[(&str, &str)]) -> String {
        let fields: Vec<_> = fields.iter().map(|(name, text)| (Cow::from(*name), Cow::from(*text))).collect();
        match form.event(&fields, Some("https://theoldbarn.example/book")) {
            Posted::Lead(event) => event.to_string(),
            Posted::Bot => "bot".to_owned(),
        }
    }

    #[test]
    fn fields_go_where_the_map_or_their_name_says() {
        let form = form(
            json!({"your-email": "lead.email", "internal": null, "how": "lead.heard_from"}),
            json!({"lead.event_type": "wedding", "lead.guest_count": "50"}),
        );
        let fields = [
            ("First Name", "Sarah"),
            ("last-name", " Patel "),
            ("your-email", "sarah@example.com"),
            ("event_date", " 2026-09-12 "),
            ("guest_count", "80"),
            ("gdpr_consent", "on"),
            ("phone", "  "),
            ("internal", "x"),
            ("how", "a friend"),
            ("message", "Hello"),
            ("extras", "band"),
            ("extras", "cake"),
            ("utm_source", "google"),
            ("uuid", "01j8h6kqh4yg3xr8rwm6t6xfqe"),
            ("website_2", ""),
        ];
        assert_eq!(
            posted(&form, &fields),
            r#"{"lead":{"profile":{"first_name":"Sarah","last_name":" Patel "},"email":"sarah@example.com","event_date":"2026-09-12","guest_count":80,"gdpr_consent":true,"heard_from":"a friend","message":"Hello","extras":["band","cake"],"utm":{"source":"google"},"event_type":"wedding","name":"Sarah Patel","source_url":"https://theoldbarn.example/book"}}"#
        );
    }

    #[test]
    fn what_is_not_posted_is_a_no_and_what_is_no_number_stays_as_it_is() {
        let form = Form::new(&json!({}), &json!({}), None).unwrap();
        let event = posted(&form, &[("name", "A"), ("guest_count", "many"), ("gdpr_consent", "maybe")]);
        assert!(event.contains(r#""guest_count":"many","gdpr_consent":"maybe""#), "{event}");
        assert!(posted(&form, &[("name", "A")]).contains(r#""gdpr_consent":false"#));
        assert!(
            posted(&form, &[("gdpr_consent", "off"), ("gdpr_consent", "yes")])
                .contains(r#""gdpr_consent":true"#)
        );
    }

    #[test]
    fn who_fills_in_what_nobody_sees_is_no_person() {
        let form = form(json!({}), json!({}));
        assert_eq!(posted(&form, &[("email", "a@b.c"), ("website_2", "buy!")]), "bot");
    }

    #[test]
    fn problems_are_told_by_the_fields_of_the_page() {
        let form = form(json!({"your-email": "lead.email", "gaeste": "lead.guest_count"}), json!({}));
        let problem = |pointer: &str| LeadProblem { pointer: pointer.to_owned(), detail: "x".to_owned() };
        let fields = [(Cow::from("Event Date"), Cow::from(""))];
        for (pointer, reported) in [
            ("/lead/email", "/your-email"),
            ("/lead/guest_count", "/gaeste"),
            ("/lead/event_date", "/Event Date"),
            ("/lead/name", "/name"),
            ("/quote/total_pence", "/quote.total_pence"),
        ] {
            assert_eq!(form.by_field(&problem(pointer), &fields).pointer, reported);
        }
    }

    #[test]
    fn what_cannot_be_saved_says_why() {
        for (map, constants, reported) in [
            (json!([]), json!({}), "map: must be a JSON object"),
            (json!({}), json!("x"), "constants: must be a JSON object"),
            (
                json!({"a": 1}),
                json!({}),
                "map: \"a\" must go to a canonical field, such as \"lead.email\", or to null",
            ),
            (
                json!({"a": "lead.emial"}),
                json!({}),
                "map: unknown field lead.emial; did you mean lead.email?",
            ),
            (json!({"a": "lead.uuid"}), json!({}), "map: lead.uuid is not for a public form to say"),
            (json!({}), json!({"company.id": 7}), "constants: company.id is not for a public form to say"),
            (
                json!({}),
                json!({"lead.event_type": []}),
                "constants: lead.event_type must be a text, a number or a truth value",
            ),
            (
                json!({"a": "lead.email", "b": "lead.email"}),
                json!({}),
                "map: \"a\" and \"b\" both go to lead.email; give each its own",
            ),
        ] {
            assert_eq!(Form::new(&map, &constants, None).unwrap_err().to_string(), reported);
        }
        let many: serde_json::Map<_, _> = (0..201).map(|n| (n.to_string(), json!(null))).collect();
        let error = Form::new(&many.into(), &json!({}), None).unwrap_err();
        assert_eq!(error.to_string(), "map: at most 200 fields");
    }
}
