//! The headers that an operator adds, and those that are ours.

use serde::Deserialize;

use super::Members;
use crate::prelude::*;
use leadline_domain::{
    brand::Brand,
    nearest::unknown,
    template::{Context, Place, Template},
};

const MAX_HEADERS: usize = 32;
const MAX_VALUE: usize = 4 * 1024;

/// The framing of the request, and what concerns one hop only.
const RESERVED: Terms =
    "host content-length connection keep-alive te trailer transfer-encoding upgrade expect";
const RESERVED_PREFIXES: [&str; 2] = ["proxy-", "webhook-"];

/// A header of the operator's.
#[derive(Debug)]
pub(crate) struct HeaderTemplate {
    pub(crate) name: HeaderName,
    pub(crate) value: Template,
    /// Whether its value is shortened wherever it is shown.
    pub(crate) secret: bool,
}

impl HeaderTemplate {
    /// The value for an event.
    pub(crate) fn render(&self, context: &Context<'_>) -> Result<HeaderValue, Problem> {
        let own = |text: String| Problem::within("headers", format_args!("header {}", self.name), text);
        let text = self.value.render(context).map_err(|error| own(error.to_string()))?;
        if text.len() > MAX_VALUE {
            return Err(own(format!("the value gets longer than {} KiB", MAX_VALUE / 1024)));
        }
        HeaderValue::try_from(text).map_err(|error| own(error.to_string()))
    }
}

/// Reads the configured headers; says everything that is wrong with them.
pub(crate) fn read(headers: &Members, brand: &Brand) -> Result<Vec<HeaderTemplate>, Vec<Problem>> {
    let members = &headers.0;
    let mut read: Vec<HeaderTemplate> = Vec::new();
    let mut problems = Vec::new();
    let own =
        |name: &str, problem: Problem| Problem::within("headers", format_args!("header {name}"), problem);
    if members.len() > MAX_HEADERS {
        let problem = format!("{} are too many; at most {MAX_HEADERS}", members.len());
        problems.push(Problem::of("headers", problem));
    }
    for (name, value) in members {
        match read_one(name, value, brand) {
            Ok(header) if read.iter().any(|other| other.name == header.name) => {
                problems.push(own(name, Problem::new("is there twice; case does not count")));
            }
            Ok(header) => read.push(header),
            Err(problem) => problems.push(own(name, problem)),
        }
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

/// The content type that the operator declares, as far as it is no template's.
pub(crate) fn content_type(headers: &Members) -> Option<String> {
    let declared = headers.0.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    let shaped: Result<Shaped, _> = serde_json::from_value(declared.1.clone());
    declared.1.as_str().map(str::to_owned).or_else(|| Some(shaped.ok()?.value))
}

fn read_one(name: &str, value: &Value, brand: &Brand) -> Result<HeaderTemplate, Problem> {
    let header = HeaderName::try_from(name).map_err(|_| Problem::new("is not a header's name"))?;
    let reserved = named(RESERVED, header.as_str())
        || RESERVED_PREFIXES.iter().any(|prefix| header.as_str().starts_with(prefix))
        || header.as_str().starts_with(&brand.prefix);
    if reserved {
        return Err(Problem::new("is reserved for the delivery itself; remove it"));
    }
    const SHAPE: &str = "must be text, or {\"value\": text, \"public\": true or false}";
    let shaped = match value {
        Value::String(text) => Shaped { value: text.clone(), public: false },
        Value::Object(members) => {
            if let Some(key) = members.keys().find(|key| !SHAPED.contains(&key.as_str())) {
                return Err(Problem::new(unknown("key", key, SHAPED)));
            }
            serde_json::from_value(value.clone()).map_err(|_| Problem::new(SHAPE))?
        }
        _ => return Err(Problem::new(SHAPE)),
    };
    let value = Template::compile(&shaped.value, Place::Header)
        .map_err(|problem| Problem::new(problem.to_string()))?;
    // What consists of placeholders alone is no credential.
    let secret = !shaped.public && value.has_text();
    Ok(HeaderTemplate { name: header, value, secret })
}

/// A header with whether it may be shown.
#[derive(Deserialize)]
struct Shaped {
    value: String,
    #[serde(default)]
    public: bool,
}

const SHAPED: [&str; 2] = ["value", "public"];
