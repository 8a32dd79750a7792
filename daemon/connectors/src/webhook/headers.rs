//! The headers that an operator adds, and those that are ours.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use leadline_domain::{
    brand::Brand,
    nearest::unknown,
    template::{Context, Place, Template},
};

const MAX_HEADERS: usize = 32;
const MAX_VALUE: usize = 4 * 1024;

/// The framing of the request, and what concerns one hop only.
const RESERVED: [&str; 9] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];
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
    pub(crate) fn render(&self, context: &Context<'_>) -> Result<HeaderValue, String> {
        let text = self.value.render(context).map_err(|error| format!("header {}: {error}", self.name))?;
        if text.len() > MAX_VALUE {
            return Err(format!("header {}: the value gets longer than {} KiB", self.name, MAX_VALUE / 1024));
        }
        HeaderValue::try_from(text).map_err(|error| format!("header {}: {error}", self.name))
    }
}

/// Reads the configured headers; says everything that is wrong with them.
pub(crate) fn read(headers: Option<&Value>, brand: &Brand) -> Result<Vec<HeaderTemplate>, Vec<String>> {
    let Some(Value::Object(members)) = headers else { return Ok(Vec::new()) };
    let mut read: Vec<HeaderTemplate> = Vec::new();
    let mut problems = Vec::new();
    if members.len() > MAX_HEADERS {
        problems.push(format!("headers: {} are too many; at most {MAX_HEADERS}", members.len()));
    }
    for (name, value) in members {
        match read_one(name, value, brand) {
            Ok(header) if read.iter().any(|other| other.name == header.name) => {
                problems.push(format!("header {name}: is there twice; case does not count"));
            }
            Ok(header) => read.push(header),
            Err(problem) => problems.push(format!("header {name}: {problem}")),
        }
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

fn read_one(name: &str, value: &Value, brand: &Brand) -> Result<HeaderTemplate, String> {
    let header = HeaderName::try_from(name).map_err(|_| "is not a header's name".to_owned())?;
    let reserved = RESERVED.contains(&header.as_str())
        || RESERVED_PREFIXES.iter().any(|prefix| header.as_str().starts_with(prefix))
        || header.as_str().starts_with(&brand.prefix);
    if reserved {
        return Err("is reserved for the delivery itself; remove it".to_owned());
    }
    const SHAPE: &str = "must be text, or {\"value\": text, \"public\": true or false}";
    let (source, public) = match value {
        Value::String(text) => (text.as_str(), false),
        Value::Object(members) => {
            if let Some(key) = members.keys().find(|key| !["value", "public"].contains(&key.as_str())) {
                return Err(unknown("key", key, ["value", "public"]));
            }
            match (members.get("value"), members.get("public")) {
                (Some(Value::String(text)), None) => (text.as_str(), false),
                (Some(Value::String(text)), Some(Value::Bool(public))) => (text.as_str(), *public),
                _ => return Err(SHAPE.to_owned()),
            }
        }
        _ => return Err(SHAPE.to_owned()),
    };
    let value = Template::compile(source, Place::Header)?;
    let secret = !public && value.has_text();
    Ok(HeaderTemplate { name: header, value, secret })
}
