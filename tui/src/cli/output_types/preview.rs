//! What an integration would push.

use leadline_client::outcome;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{body, raw, text, word};

/// `integration preview`: the canonical event, and what would be sent of it.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    canonical: Option<Box<RawValue>>,
    request: Option<PreviewRequest>,
    /// Why nothing would be sent: delivered, or a failure class.
    outcome: Option<&'static str>,
    error: Option<String>,
    /// What all requests are made from, where the first one does not say all of it.
    plan: Option<String>,
}

/// The request of a preview.
#[derive(Debug, Serialize)]
pub(crate) struct PreviewRequest {
    method: String,
    url: String,
    /// Pairs, in the order sent.
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl From<v1::PreviewIntegrationResponse> for Preview {
    fn from(it: v1::PreviewIntegrationResponse) -> Self {
        Self {
            outcome: word(outcome(&it)),
            canonical: raw(&it.canonical),
            request: it.request.map(|request| PreviewRequest {
                method: request.method,
                url: request.url,
                headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
                body: body(&request.body),
            }),
            error: text(it.error),
            plan: body(&it.plan),
        }
    }
}
