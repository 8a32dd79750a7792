//! Every refusal as RFC 9457 problem+json, in one line that says what to do.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::intake_store::StoreFailure;
use crate::{
    compute::ComputeError,
    domain::lead::{self, Refusal},
};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<lead::Problem>,
    /// In seconds; none for the usual.
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// One text for unknown, revoked and malformed keys: it tells a guesser nothing.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "no live intake key: send the header Authorization: Bearer llk_… with a key of this company",
        )
    }

    /// Wrong keys from one address are not even looked up any more.
    pub(super) fn too_many_wrong_keys() -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong intake keys came from this address: check the key, and come back after Retry-After seconds",
        );
        Self { retry_after: Some(10), ..problem }
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

    /// More comes with a key than it may bring.
    pub(super) fn too_fast(rate: f64, wait: Duration) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "this intake key may send {rate} leads a second: send this one again after Retry-After seconds"
            ),
        );
        Self { retry_after: Some(wait.as_secs() + 1), ..problem }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn errors(&self) -> &[lead::Problem] {
        &self.errors
    }

    /// The problem document, with the number of the line that it is about.
    pub(super) fn document(&self, line: Option<u64>) -> impl Serialize + '_ {
        let errors = self.errors.iter();
        Document {
            line,
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: errors.map(|error| Field { pointer: &error.pointer, detail: &error.detail }).collect(),
        }
    }
}

impl From<StoreFailure> for Problem {
    fn from(failure: StoreFailure) -> Self {
        match failure {
            StoreFailure::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "more requests wait than can be answered: send this one again after Retry-After seconds",
            ),
            StoreFailure::Away => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database is away, nothing was accepted: send the request again after Retry-After seconds",
            ),
            StoreFailure::Failed => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed inside the daemon: its log says why; send it again when that is put right",
            ),
        }
    }
}

impl From<ComputeError> for Problem {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Busy => StoreFailure::Busy.into(),
            ComputeError::Late | ComputeError::Panicked => StoreFailure::Failed.into(),
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
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
            }
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
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
        let mut response = (self.status, axum::Json(self.document(None))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after.unwrap_or(1)));
            }
            _ => {}
        }
        response
    }
}
