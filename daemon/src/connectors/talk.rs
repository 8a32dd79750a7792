//! A push of several calls, written as if each call were answered at once.
//!
//! A step machine is asked anew after each answer. So the connector goes through its push from the start each time:
//! what was asked already is answered from the exchanges, and the first question without an answer is the next step.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::{Exchange, Ids, Push, Request, Response, Step, Token, reading};
use crate::domain::{
    outcome::{Failure, FailureClass, Outcome},
    template::percent_encode,
};

/// What was heard, or the step that comes before it can be.
pub(super) type Heard<T> = Result<T, Box<Step>>;

/// What a push has heard so far. The error of its questions is the next step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk<'a> {
    pub(super) push: &'a Push<'a>,
    exchanges: &'a [Exchange],
}

impl<'a> Talk<'a> {
    pub(super) fn new(push: &'a Push<'a>, exchanges: &'a [Exchange]) -> Self {
        Self { push, exchanges }
    }

    /// The answer to this call; without one, the call is what comes next, or the push has failed.
    pub(super) fn ask(&self, request: Request) -> Heard<&'a Response> {
        ask(self.exchanges, request, self.push.now).map_err(|asking| match asking {
            Asking::Call(request) => Box::new(Step::Call((*request).into())),
            Asking::Failed(failure) => stop(failure),
        })
    }

    /// What the target calls something of this lead.
    pub(super) fn id(&self, key: &str) -> Option<&'a str> {
        self.push.ids.get(key).map(String::as_str)
    }

    /// Keeps ids before the push goes on, so that a restart finds them.
    pub(super) fn keep(&self, ids: &[(&str, &str)]) -> Heard<()> {
        let new: Ids = ids
            .iter()
            .filter(|(key, id)| self.id(key) != Some(*id))
            .map(|(key, id)| ((*key).to_owned(), (*id).to_owned()))
            .collect();
        if new.is_empty() { Ok(()) } else { Err(Box::new(Step::Keep(new))) }
    }

    /// The token of a login.
    pub(super) fn token(&self) -> Option<&'a Token> {
        self.push.token
    }
}

/// Why there is no answer yet.
#[derive(Debug)]
pub(super) enum Asking {
    Call(Box<Request>),
    Failed(Failure),
}

/// The answer to a call among the exchanges. Headers do not count: a call repeated with a fresh token is the same.
pub(super) fn ask(exchanges: &[Exchange], request: Request, now: i64) -> Result<&Response, Asking> {
    let asked = exchanges.iter().find(|exchange| match &exchange.call {
        super::Call::Http(made) => {
            made.method == request.method && made.url == request.url && made.body == request.body
        }
        super::Call::Mail(_) => false,
    });
    match asked {
        None => Err(Asking::Call(Box::new(request))),
        Some(exchange) => match &exchange.answer {
            Ok(response) => Ok(response),
            Err(_) => Err(Asking::Failed(no_answer(exchange, now))),
        },
    }
}

/// Why a call got no answer.
pub(super) fn no_answer(exchange: &Exchange, now: i64) -> Failure {
    match reading::read(exchange, now) {
        Outcome::Failed(failure) => failure,
        Outcome::Delivered => Failure::new(FailureClass::Unknown, reading::summary(exchange)),
    }
}

/// The end: it failed so.
pub(super) fn failed(failure: Failure) -> Step {
    Step::Done(Outcome::Failed(failure))
}

/// The end, in the midst of a push.
pub(super) fn stop(failure: Failure) -> Box<Step> {
    Box::new(failed(failure))
}

/// Whether a call did what it should.
pub(super) fn is_good(response: &Response) -> bool {
    (200..300).contains(&response.status)
}

/// A good answer that does not say what it must: the target may have acted.
pub(super) fn unreadable(vendor: &str, response: &Response, lacking: &str) -> Failure {
    let reason = if response.truncated { "was cut off" } else { "cannot be read" };
    let error = format!("{vendor}: the answer {reason}: no {lacking} in {}", reading::describe(response));
    Failure::new(FailureClass::Unknown, reading::one_line(&error, 400))
}

/// A failure in the vendor's own words: `vendor CODE message`, on one line, without what we log in with.
pub(super) fn told(vendor: &str, class: FailureClass, code: &str, message: &str) -> Failure {
    Failure::new(class, reading::one_line(&format!("{vendor} {code} {message}"), 400))
}

/// The reading of a status where the vendor's body says nothing that we know, with the vendor's name before it.
pub(super) fn by_status(vendor: &str, response: &Response, now: i64) -> Failure {
    let mut failure = reading::failure(response, now);
    failure.error = reading::one_line(&format!("{vendor} {}", failure.error), 400);
    failure
}

/// The last hundredth of a day's calls is left to the account's other programs: ours can wait.
pub(super) fn all_but_spent(vendor: &str, left: u64, of: u64, wait: Duration) -> Option<Failure> {
    let is_spent = left.saturating_mul(100) < of;
    is_spent.then(|| {
        let message = format!("{left} of the day's {of} calls are left, and are left to others");
        let failure = told(vendor, FailureClass::Throttled, "quota:", &message);
        Failure { retry_after: Some(wait), ..failure }
    })
}

/// The number that a header has.
pub(super) fn number(response: &Response, header: &str) -> Option<u64> {
    response.header(header)?.trim().parse().ok()
}

/// A URL of the target's: the base with these segments, each encoded, so that no value adds another.
pub(super) fn url(base: &Url, segments: &[&str]) -> Url {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        percent_encode(segment, &mut path);
    }
    let mut url = base.clone();
    url.set_path(&path);
    url
}

/// The same request with a query.
pub(super) fn with_query(mut request: Request, pairs: &[(&str, &str)]) -> Request {
    request.url.query_pairs_mut().extend_pairs(pairs);
    request.shown_url = request.url.to_string();
    request
}

/// The id in an answer, be it text or a number.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
