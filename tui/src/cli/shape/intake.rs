//! What came in, and what did not.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{shapes, text, time};

/// A request that the intake refused, nobody's data in it.
#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    id: String,
    at: Option<Timestamp>,
    path: String,
    status: u32,
    detail: String,
    errors: Vec<FieldProblem>,
    body: Option<Body>,
}

/// A field that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct FieldProblem {
    pointer: String,
    detail: String,
}

/// JSON stays JSON; what is none, or was cut, is text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Json(Box<RawValue>),
    Text(String),
}

impl From<v1::FieldProblem> for FieldProblem {
    fn from(it: v1::FieldProblem) -> Self {
        Self { pointer: it.pointer, detail: it.detail }
    }
}

impl From<v1::Refused> for Refused {
    fn from(it: v1::Refused) -> Self {
        let body = text(it.body).map(|body| match serde_json::from_str(&body) {
            Ok(json) => Body::Json(json),
            Err(_) => Body::Text(body),
        });
        Self {
            id: it.id,
            at: time(it.at),
            path: it.path,
            status: it.status,
            detail: it.detail,
            errors: shapes(it.errors),
            body,
        }
    }
}
