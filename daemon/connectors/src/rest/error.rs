//! A custom CRM's answers read, as the configuration says.

use super::{Compiled, NAME};
use crate::prelude::*;

impl Compiled {
    /// The id that a look-up found, if it found one.
    pub(super) fn found(&self, answer: &Response, now: Moment) -> Result<Option<String>> {
        match &self.settings.find {
            _ if answer.status == 404 => Ok(None),
            Some(find) if answer.is_good() => match answer.json() {
                Some(body) => Ok(id_at(&body, &find.id)),
                None => Err(vendor::by_status(NAME, answer, now)),
            },
            _ => Err(self.failure(answer, now)),
        }
    }

    /// Whether the CRM has taken the lead, and the id that it gave it.
    pub(super) fn accepted(&self, answer: &Response, ctx: &mut Conversation<'_>) -> Result<Option<String>> {
        let is_known = self.settings.conflict_is_ok && answer.status == 409;
        let statuses = self.settings.success.as_ref().and_then(|rule| rule.statuses.as_ref());
        let is_good = statuses.map_or_else(|| answer.is_good(), |statuses| statuses.has(answer.status));
        if !is_known && !is_good {
            return Err(self.failure(answer, ctx.now));
        }
        if !is_known {
            self.obey(answer)?;
        }
        reading::note_unread(answer, ctx);
        let Some(pointer) = &self.settings.id else { return Ok(None) };
        let id = answer.json().as_ref().and_then(|body| id_at(body, pointer));
        if id.is_none() && ctx.id(super::push::ID).is_none() {
            ctx.note(format!("the answer has no id at {pointer}, so an update cannot be sent to it"));
        }
        Ok(id)
    }

    /// Whether a success says what it must say. What cannot be read says neither yes nor no.
    fn obey(&self, response: &Response) -> Result<()> {
        let rule = self.settings.success.as_ref();
        let Some((rule, pointer)) = rule.and_then(|rule| Some((rule, rule.pointer.as_deref()?))) else {
            return Ok(());
        };
        let Some(body) = response.json() else {
            let reason = if response.truncated { "was cut before it could be read" } else { "is no JSON" };
            let error = format!("{NAME} {}: the answer {reason}: {}", response.status, self.reason(response));
            return Err(Failure::new(FailureClass::Unknown, reading::one_line(&error, 400)));
        };
        let there = body.pointer(pointer).unwrap_or(&Value::Null);
        let (is_met, wanted) = match &rule.equals {
            Some(equals) => (is_same(there, equals), equals.to_string()),
            None => (!there.is_null(), "there".to_owned()),
        };
        if is_met {
            return Ok(());
        }
        let code = format!("{}: {pointer} is {there}, not {wanted}:", response.status);
        Err(vendor::told(NAME, FailureClass::Rejected, &code, &self.reason(response)))
    }

    /// Why the CRM refuses, in its own words.
    fn reason(&self, response: &Response) -> String {
        let pointed = self.settings.error.as_ref().and_then(|pointer| {
            let body = response.json()?;
            let reason = body.pointer(pointer)?;
            Some(reason.as_str().map_or_else(|| reason.to_string(), str::to_owned))
        });
        pointed.unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned())
    }

    pub(super) fn failure(&self, response: &Response, now: Moment) -> Failure {
        let by_status = vendor::by_status(NAME, response, now);
        if self.settings.error.is_none() || response.status < 400 {
            return by_status;
        }
        let code = response.status.to_string();
        let error = vendor::told(NAME, by_status.class, &code, &self.reason(response)).error;
        Failure { error, ..by_status }
    }
}

/// Whether two values are the same; numbers by what they are worth, as `1` and `1.0`.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.total_cmp(&right).is_eq(),
        _ => left == right,
    }
}

/// The id that stands there: a text or a number.
fn id_at(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(vendor::id_of)
}
