//! Leads of every kind for the tests of connectors, and whole pushes compared with what is kept in fixtures.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::{
    Exchange, Ids, Prepared, Probe, ProbeStep, Push, Report, Request, Response, Step, Token,
    testing::{self, answered},
};
use crate::domain::{
    integration::{EventKind, ProbeKind},
    json::Json,
    outcome::Outcome,
};

/// Every field of the canonical event.
pub(super) const FULL: &str = include_str!("walk/full.json");
/// The same lead, changed: other guests, another date, no phone any more.
pub(super) const UPDATED: &str = include_str!("walk/updated.json");
/// What a lead must have, and nothing else.
pub(super) const MINIMAL: &str = include_str!("walk/minimal.json");
/// What breaks requests that are put together carelessly.
pub(super) const MAXIMAL: &str = include_str!("walk/maximal.json");

/// A push that is walked through as the daemon does it, against answers that are known beforehand.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    pub(super) lead: &'a str,
    pub(super) event: EventKind,
    pub(super) is_repeat: bool,
    pub(super) rendered: Option<Bytes>,
    pub(super) ids: Ids,
    pub(super) token: Option<Token>,
}

/// What a push did.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) requests: Vec<Request>,
    pub(super) outcome: Outcome,
    pub(super) ids: Ids,
    pub(super) rendered: Option<Bytes>,
    /// How often a fresh token was asked for.
    pub(super) renewals: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn created(lead: &'a str) -> Self {
        Self {
            lead,
            event: EventKind::Created,
            is_repeat: false,
            rendered: None,
            ids: Ids::new(),
            token: None,
        }
    }

    pub(super) fn updated(lead: &'a str) -> Self {
        Self { event: EventKind::Updated, ..Self::created(lead) }
    }

    /// Steps until there is an outcome, or no answer is left: then the daemon died.
    pub(super) fn run(self, prepared: &dyn Prepared, answers: &[(u16, &str)]) -> Walked {
        let answers = answers.iter().map(|(status, body)| response(*status, &[], body)).collect();
        self.run_with(prepared, answers)
    }

    /// As [`Walk::run`], with whole answers.
    pub(super) fn run_with(mut self, prepared: &dyn Prepared, answers: Vec<Response>) -> Walked {
        let body = Bytes::from(self.lead.to_owned());
        let (mut exchanges, mut requests, mut renewals): (Vec<Exchange>, Vec<Request>, usize) =
            (Vec::new(), Vec::new(), 0);
        let mut answers = answers.into_iter();
        let outcome = loop {
            let push = Push {
                event: self.event,
                is_repeat: self.is_repeat,
                recently_pushed: false,
                rendered: self.rendered.as_ref(),
                ids: &self.ids,
                token: self.token.as_ref(),
                ..testing::push(&body)
            };
            if push.rendered.is_none() {
                match prepared.render(&push) {
                    Ok(Some(rendered)) => {
                        self.rendered = Some(rendered);
                        continue;
                    }
                    Ok(None) => {}
                    Err(failure) => break Outcome::Failed(failure),
                }
            }
            match prepared.step(&push, &exchanges) {
                Step::Done(outcome) => break outcome,
                Step::Keep(ids) => self.ids.extend(ids),
                Step::Renew => {
                    renewals += 1;
                    exchanges.pop();
                    assert!(renewals < 2, "the daemon asks for a fresh token once");
                }
                step => {
                    let request = testing::request(step);
                    requests.push(request.clone());
                    let Some(answer) = answers.next() else { break died() };
                    exchanges.push(Exchange { call: request.into(), answer: Ok(answer) });
                }
            }
        };
        Walked { requests, outcome, ids: self.ids, rendered: self.rendered, renewals }
    }
}

impl Walked {
    /// Compares the requests with a fixture: numbers count by their text, white space and order do not.
    pub(super) fn assert_is(&self, fixture: &str) {
        let made = Json::Array(self.requests.iter().map(told).collect());
        let wanted = Json::parse(fixture.as_bytes()).unwrap_or(Json::Null);
        assert!(made.digest() == wanted.digest(), "the requests were\n{made}");
    }

    /// Class and error of a push that failed.
    pub(super) fn failure(&self) -> (&'static str, &str, Option<u64>) {
        match &self.outcome {
            Outcome::Failed(failure) => {
                (failure.class.as_str(), &failure.error, failure.retry_after.map(|wait| wait.as_secs()))
            }
            Outcome::Delivered => ("delivered", "", None),
        }
    }
}

/// What a connector makes of an answer: class, error and how long it waits.
pub(super) fn verdict_on(
    prepared: &dyn Prepared,
    answer: Response,
) -> (&'static str, String, Option<Duration>) {
    let walked = Walk::created(FULL).run_with(prepared, vec![answer]);
    let (class, error, wait) = walked.failure();
    (class, error.to_owned(), wait.map(Duration::from_secs))
}

/// What a probe comes to, and the URLs that it called.
pub(super) fn probe(
    prepared: &dyn Prepared,
    kind: ProbeKind,
    answers: &[(u16, &str)],
) -> (Report, Vec<String>) {
    let (mut exchanges, mut urls) = (Vec::new(), Vec::new());
    loop {
        match prepared.probe(&Probe { kind, token: None, now: testing::NOW }, &exchanges) {
            ProbeStep::Done(report) => return (report, urls),
            ProbeStep::Call(call) => {
                let (status, body) = answers[exchanges.len()];
                urls.push(testing::request(Step::Call(call.clone())).url.to_string());
                exchanges.push(Exchange { call, answer: Ok(response(status, &[], body)) });
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An answer.
pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let request = Request::new(http::Method::GET, "https://example.com".parse().unwrap());
    let mut response = answered(request, status, body).answer.unwrap();
    response.headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    response
}

fn died() -> Outcome {
    Outcome::Failed(crate::domain::outcome::Failure::new(
        crate::domain::outcome::FailureClass::Unknown,
        "the daemon died",
    ))
}

/// A request as fixtures have it; the user agent changes with every version and is left out.
fn told(request: &Request) -> Json {
    let headers =
        request.headers.iter().filter(|header| header.name != http::header::USER_AGENT).map(|header| {
            let value = if header.secret { "secret" } else { header.value.to_str().unwrap() };
            Value::from(format!("{}: {value}", header.name))
        });
    let headers = Value::from_iter(headers).to_string();
    let body = match request.body.as_ref() {
        b"" => Json::Null,
        body => Json::parse(body).unwrap_or_else(|_| Json::string(&String::from_utf8_lossy(body))),
    };
    Json::object([
        ("method", Json::string(request.method.as_str())),
        ("url", Json::string(request.url.as_str())),
        ("headers", Json::parse(headers.as_bytes()).unwrap()),
        ("body", body),
    ])
}
