//! What the connectors to vendors' APIs share: calls that must succeed, and failures in the vendor's own words.

use std::time::Duration;

use serde_json::Value;

use super::{Call, Conversation, Push, Request, Response, Result, reading};
use leadline_domain::outcome::{Failure, FailureClass};

/// The longest error, in characters.
const ERROR_MAX: usize = 400;
/// So many pages of a list are read; a conversation has a few calls beside them.
const PAGES_MAX: usize = 16;

/// A vendor: what it is called, and how its refusals are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendor {
    pub(super) name: &'static str,
    pub(super) failure: fn(&Response, i64) -> Failure,
}

impl Vendor {
    /// The answer to a call that must succeed.
    pub(super) async fn good(&self, ctx: &mut Conversation<'_>, call: impl Into<Call>) -> Result<Response> {
        let answer = ctx.send(call).await?;
        if answer.is_good() { Ok(answer) } else { Err((self.failure)(&answer, ctx.now)) }
    }

    /// The JSON that answers a call which changes nothing, so that asking again does no harm.
    pub(super) async fn json(&self, ctx: &mut Conversation<'_>, call: impl Into<Call>) -> Result<Value> {
        let answer = ctx.send(call).await?;
        self.read(&answer, ctx.now)
    }

    /// The JSON of such an answer.
    pub(super) fn read(&self, answer: &Response, now: i64) -> Result<Value> {
        if !answer.is_good() {
            return Err((self.failure)(answer, now));
        }
        answer.json().ok_or_else(|| unread(self.name, answer, "JSON"))
    }

    /// Of what was listed under `list`, the `id` of the one whose `text` tells of this push.
    pub(super) fn told_of(
        &self,
        push: &Push<'_>,
        listed: &Response,
        [list, text, id]: [&str; 3],
    ) -> Result<Option<String>> {
        if listed.truncated && listed.is_good() {
            // Longer than what is read of an answer: what tells ours stands in it or not.
            let is_told = push.is_told_by(&String::from_utf8_lossy(&listed.body));
            return Ok(is_told.then(|| "told".to_owned()));
        }
        let body = self.read(listed, push.now)?;
        let is_ours = |one: &&Value| word(one, text).is_some_and(|told| push.is_told_by(told));
        let listed = body[list].as_array().ok_or_else(|| unread(self.name, listed, list))?;
        Ok(listed.iter().find(is_ours).and_then(|ours| id_of(&ours[id])))
    }

    /// The whole of a list that comes in pages: `page` asks for the first one, or for the one of this key, and `next` is
    /// the key of the page after an answer's.
    pub(super) async fn list(
        &self,
        ctx: &mut Conversation<'_>,
        entries: &str,
        page: impl Fn(Option<&str>) -> Request + Sync,
        next: impl Fn(&Value) -> Option<String> + Sync,
    ) -> Result<Value> {
        let mut all = Vec::new();
        let mut key = None;
        for _ in 0..PAGES_MAX {
            let mut answer = self.json(ctx, page(key.as_deref())).await?;
            if let Some(Value::Array(more)) = answer.get_mut(entries).map(Value::take) {
                all.extend(more);
            }
            key = next(&answer);
            if key.is_none() {
                return Ok(Value::Array(all));
            }
        }
        let error = format!("{} has more {entries} than {PAGES_MAX} pages hold", self.name);
        Err(Failure::new(FailureClass::Rejected, error))
    }
}

/// A failure in the vendor's words: `airtable UNKNOWN_FIELD_NAME Unknown field name: "Gusts"`, on one line.
pub(super) fn told(vendor: &str, class: FailureClass, code: &str, message: &str) -> Failure {
    Failure::new(class, reading::one_line(&format!("{vendor} {code} {message}"), ERROR_MAX))
}

/// What the status says, where the body says nothing that we know. A success that cannot be read is no success yet.
pub(super) fn by_status(vendor: &str, response: &Response, now: i64) -> Failure {
    let mut failure = reading::failure(response, now);
    failure.error = reading::one_line(&format!("{vendor} {}", failure.error), ERROR_MAX);
    failure
}

/// A good answer that does not say what it must: the target may have acted.
pub(super) fn unreadable(vendor: &str, response: &Response, lacking: &str) -> Failure {
    let reason = if response.truncated { "was cut off" } else { "cannot be read" };
    let error = format!("{vendor}: the answer {reason}: no {lacking} in {}", reading::describe(response));
    Failure::new(FailureClass::Unknown, reading::one_line(&error, ERROR_MAX))
}

/// The same of a call that changes nothing, so that asking again does no harm.
pub(super) fn unread(vendor: &str, response: &Response, lacking: &str) -> Failure {
    Failure { class: FailureClass::Transient, ..unreadable(vendor, response, lacking) }
}

/// The same failure, which makes the lane wait: as long as the answer says, else for this time.
pub(super) fn waiting(failure: Failure, response: &Response, now: i64, or: Duration) -> Failure {
    let asked = reading::retry_after(response, now).unwrap_or_default();
    Failure { class: FailureClass::Throttled, retry_after: Some(asked.max(or)), ..failure }
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

/// The id in an answer, be it text or a number.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A text member of a JSON object that is not empty.
pub(super) fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}
