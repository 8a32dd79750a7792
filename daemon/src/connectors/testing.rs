//! What the tests of connectors share: integrations, pushes and answers to feed their step machines with.

use bytes::Bytes;
use serde_json::Value;

use super::{Call, Exchange, Ids, Push, Request, Response, Step};
use crate::domain::{
    ids::{CompanyId, IntegrationId},
    integration::{EventKind, Integration},
};

/// A lead that no push came before.
pub(super) static NO_IDS: Ids = Ids::new();
/// When the tests' pushes happen, in seconds since 1970.
pub(super) const NOW: i64 = 1_795_000_000;

/// An integration that is ready to be prepared.
pub(super) fn integration(connector: &str, config: Value, credentials: Value, mapping: Value) -> Integration {
    Integration {
        company: CompanyId(7),
        company_name: "The Old Barn".to_owned(),
        id: IntegrationId::generate(),
        name: connector.to_owned(),
        connector: connector.to_owned(),
        enabled: true,
        config,
        credentials,
        mapping,
        payload: "v1".to_owned(),
        version: 1,
        brand: None,
        secrets: Vec::new(),
    }
}

/// A first push of this event.
pub(super) fn push(body: &Bytes) -> Push<'_> {
    Push {
        id: "01J8H6KQH4YG3XR8RWM6T6XFQ0",
        event: EventKind::Created,
        body,
        rendered: None,
        is_repeat: false,
        same: &[],
        since: NOW,
        recently_pushed: false,
        ids: &NO_IDS,
        token: None,
        now: NOW,
    }
}

/// The request of a step that makes one.
pub(super) fn request(step: Step) -> Request {
    match step {
        Step::Call(Call::Http(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// What came of a request.
pub(super) fn answered(request: Request, status: u16, body: &str) -> Exchange {
    let body = Bytes::from(body.to_owned());
    let response = Response { status, headers: Vec::new(), body, truncated: false };
    Exchange { call: request.into(), answer: Ok(response) }
}
