//! Connectors: the code that speaks one kind of integration, as pure step machines.
//!
//! A connector does no I/O. Given the event and the exchanges so far it returns the next request as a value, or the
//! outcome; `push` talks to the network. Adding one takes a file here and two lines below.

pub mod config;
pub mod reading;
mod webhook;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use crate::domain::{
    address::EgressPolicy,
    integration::{EventKind, Integration},
    outcome::{Failure, Outcome},
};

/// A key of a connector's configuration, for help, checks and forms.
#[derive(Clone, Copy, Debug)]
pub struct ConfigField {
    pub name: &'static str,
    /// text | integer | number | object
    pub kind: &'static str,
    pub required: bool,
    pub default: &'static str,
    pub help: &'static str,
}

/// A connector, before any integration uses it.
pub trait Connector: Send + Sync {
    fn name(&self) -> &'static str;
    /// What a push does, in a sentence.
    fn summary(&self) -> &'static str;
    /// Its own keys; the common ones (`timeout_seconds`, `concurrency`, …) are not repeated.
    fn fields(&self) -> &'static [ConfigField];
    /// Whether its pushes are signed, so that an integration of it has a signing secret.
    fn signs(&self) -> bool;
    /// Everything that is wrong with a configuration and mapping, each in a sentence that says what to do. The brand
    /// is that under which the integration will push.
    fn check(&self, config: &Value, mapping: &Value, egress: &EgressPolicy, brand: &str) -> Vec<String>;
    /// The configuration with credentials shortened, fit to be shown.
    fn shown(&self, config: &Value) -> Value;
    /// Compiles an integration, once per version of it. `brand` is the daemon's; the company's own goes before it.
    fn prepare(&self, integration: &Integration, brand: &str) -> Result<Box<dyn Prepared>, Failure>;
}

/// An integration ready to push.
pub trait Prepared: Send + Sync {
    /// The next call, or the outcome. `exchanges` are the calls of this attempt so far with their answers.
    fn step(&self, push: &Push<'_>, exchanges: &[Exchange]) -> Step;
}

/// One push: what to bring, and under which id.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The delivery's id, or a test's attempt id: the same on every repeat.
    pub id: &'a str,
    pub event: EventKind,
    /// The canonical event, as JSON text, its `event` set to what happened.
    pub body: &'a Bytes,
    /// The body that an earlier attempt rendered, to be repeated byte for byte.
    pub rendered: Option<&'a Bytes>,
    /// Seconds since 1970, by the database's clock.
    pub now: i64,
}

/// What a connector wants next.
#[derive(Clone, Debug)]
pub enum Step {
    Call(Request),
    Done(Outcome),
}

/// A request as a value.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: http::Method,
    pub url: Url,
    /// The URL fit to be shown: query credentials shortened.
    pub shown_url: String,
    pub headers: Vec<RequestHeader>,
    pub body: Bytes,
    /// The version of the secret that signed it, if it is signed.
    pub secret_version: Option<i32>,
}

/// A header of a request; a secret value is shortened wherever it is shown.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    pub name: http::HeaderName,
    pub value: http::HeaderValue,
    pub secret: bool,
}

/// A call with what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    pub answer: Result<Response, CallError>,
}

/// What the target answered. The body is cut at the cap.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    pub kind: CallErrorKind,
    /// One line for operators: `connect to 192.0.2.1:443 timed out after 30 s`.
    pub message: String,
}

/// How far a call came that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// Our guard refused the address.
    Blocked,
    /// It failed before the last byte of the request left.
    NotSent,
    /// The request left, and no full answer came.
    NoAnswer,
}

/// Every connector there is.
pub static ALL: &[&dyn Connector] = &[&webhook::Webhook];

/// The connector of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Connector> {
    ALL.iter().copied().find(|connector| connector.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connector_is_found_by_a_name_of_its_own() {
        for connector in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name() == connector.name()).count(), 1);
            let found = find(connector.name()).map(Connector::summary);
            assert_eq!(found, Some(connector.summary()));
            for field in connector.fields() {
                assert!(config::COMMON.iter().all(|common| common.name != field.name), "{}", field.name);
            }
        }
        assert!(find("fax").is_none());
    }
}
