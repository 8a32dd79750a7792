//! Every refusal as RFC 9457 problem+json, in one line that says what to do.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::ledger::Trouble;
use crate::domain::lead::{self, Refusal};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<lead::Problem>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }

    /// One text for unknown, revoked and malformed keys: it tells a guesser nothing.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "no live intake key: send the header Authorization: Bearer llk_… with a key of this company",
        )
    }

    pub(super) fn unsigned() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "this intake key requires a signed body: send X-Leadline-Signature or webhook-signature, made with its signing secret",
        )
    }

    pub(super) fn no_lead() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "this company has no lead of this uuid: check the uuid and the intake key",
        )
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "more requests wait than can be answered: send this one again after Retry-After seconds",
            ),
            Trouble::Away => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database is away, nothing was accepted: send the request again after Retry-After seconds",
            ),
            Trouble::Failed => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed inside the daemon: its log says why; send it again when that is put right",
            ),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(detail) => Self::new(StatusCode::BAD_REQUEST, detail.to_string()),
            Refusal::Invalid(errors) => {
                let detail = match errors.as_slice() {
                    [one] => format!("{}: {}", one.pointer, one.detail),
                    many => format!("{} fields are not valid: correct those that `errors` names", many.len()),
                };
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail, errors }
            }
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    pointer: &'a str,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: self
                .errors
                .iter()
                .map(|error| Field { pointer: &error.pointer, detail: &error.detail })
                .collect(),
        };
        let mut response = (self.status, axum::Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
