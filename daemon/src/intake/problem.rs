//! Every refusal as RFC 9457 problem+json, in one line that says what to do.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::intake_store::StoreFailure;
use crate::{
    compute::ComputeError,
    domain::{
        lead::{self, LeadRefusal},
        signing::SignatureKind,
    },
};

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct ProblemDetails {
    status: StatusCode,
    detail: String,
    errors: Vec<lead::LeadProblem>,
    /// In seconds; none for the usual.
    retry_after: Option<u64>,
}

impl ProblemDetails {
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

    /// No key, with a word on what was sent instead.
    pub(super) fn unauthorized_for(headers: &HeaderMap) -> Self {
        let hint = if headers.contains_key(header::AUTHORIZATION) {
            ""
        } else if is_of_a_page(headers) {
            "; a page of a browser posts its form to /v1/forms/{form}, where no key stands in the page"
        } else if headers.contains_key("x-api-key") {
            "; X-Api-Key is not read"
        } else {
            ""
        };
        let problem = Self::unauthorized();
        Self { detail: format!("{}{hint}", problem.detail), ..problem }
    }

    pub(super) fn unsigned(kind: SignatureKind) -> Self {
        let headers = match kind {
            SignatureKind::Any => "X-Leadline-Signature or webhook-signature",
            SignatureKind::Standard => "webhook-id, webhook-timestamp and webhook-signature",
            SignatureKind::Simple => "X-Leadline-Signature",
        };
        Self::new(
            StatusCode::UNAUTHORIZED,
            format!("this intake key requires a signed body: send {headers}, made with its signing secret"),
        )
    }

    /// A key of which only a newer daemon knows what it asks for. Its sender comes back: the lead is not lost.
    pub(super) fn key_of_a_newer_daemon() -> Self {
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this daemon is too old to check what this intake key asks for: send the lead again after Retry-After seconds",
        );
        Self { retry_after: Some(10), ..problem }
    }

    /// A key that was made for writing alone.
    pub(super) fn may_not_read() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "this intake key may not read leads: ask whoever runs Leadline for one that may, and use it on a server of yours",
        )
    }

    /// A key that stands in a page, where everybody can read it.
    pub(super) fn key_in_a_page() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "this intake key may not be used by a browser's page of this origin: post from your server, use a form \
             (/v1/forms/{form}), or ask whoever runs Leadline for a key that pages of this origin may use",
        )
    }

    pub(super) fn form_in_another_page() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "this form may not be posted by pages of this origin: ask whoever runs Leadline to add the origin to the form",
        )
    }

    pub(super) fn no_form() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "there is no such form, or it takes nothing in now: check the address that the page posts to",
        )
    }

    /// Forms that are not there are not even looked up any more for one address.
    pub(super) fn too_many_unknown_forms() -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many posts to forms that are not there came from this address: check the address that the page posts to, \
             and come back after Retry-After seconds",
        );
        Self { retry_after: Some(10), ..problem }
    }

    /// More comes through a form from one client than people post.
    pub(super) fn too_many_posts(wait: Duration) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "this form was posted too often from your address: wait a little, then send it once more",
        );
        Self { retry_after: Some(wait.as_secs() + 1), ..problem }
    }

    /// More is read with a key than it may read.
    pub(super) fn too_many_reads(wait: Duration) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "this intake key reads too many leads a second: ask again after Retry-After seconds",
        );
        Self { retry_after: Some(wait.as_secs() + 1), ..problem }
    }

    /// The same about fields that the sender knows under other names.
    pub(super) fn with_pointers(self, rename: impl Fn(&lead::LeadProblem) -> lead::LeadProblem) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let errors: Vec<lead::LeadProblem> = self.errors.iter().map(rename).collect();
        Self { detail: detail_of(&errors), errors, ..self }
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

    pub(super) fn errors(&self) -> &[lead::LeadProblem] {
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
            errors: errors
                .map(|error| WrongField { pointer: &error.pointer, detail: &error.detail })
                .collect(),
        }
    }
}

impl From<StoreFailure> for ProblemDetails {
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

impl From<ComputeError> for ProblemDetails {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Busy => StoreFailure::Busy.into(),
            ComputeError::Late | ComputeError::Panicked => StoreFailure::Failed.into(),
        }
    }
}

impl From<LeadRefusal> for ProblemDetails {
    fn from(refusal: LeadRefusal) -> Self {
        match refusal {
            LeadRefusal::Malformed(detail) => Self::new(StatusCode::BAD_REQUEST, detail.to_string()),
            LeadRefusal::Invalid(errors) => {
                let detail = detail_of(&errors);
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
            }
        }
    }
}

fn detail_of(errors: &[lead::LeadProblem]) -> String {
    match errors {
        [one] => format!("{}: {}", one.pointer, one.detail),
        many => format!("{} fields are not valid: correct those that `errors` names", many.len()),
    }
}

/// Whether a page of a browser has posted a form.
pub(super) fn is_of_a_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"].contains(&kind.as_str())
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
    errors: Vec<WrongField<'a>>,
}

#[derive(Serialize)]
struct WrongField<'a> {
    pointer: &'a str,
    detail: &'a str,
}

impl ProblemDetails {
    /// The headers that its status comes with.
    pub(super) fn put_headers(&self, headers: &mut HeaderMap) {
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after.unwrap_or(1)));
            }
            _ => {}
        }
    }

    pub(super) fn to_response(&self) -> Response {
        let mut response = (self.status, axum::Json(self.document(None))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.put_headers(headers);
        response
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        self.to_response()
    }
}
