//! A custom CRM's answers read, as the configuration says.

use serde_json::Value;

use super::{NAME, Ready};
use crate::{Response, vendor};
use leadline_domain::outcome::{Failure, FailureClass};

impl Ready {
    /// The id that a look-up found, if it found one.
    pub(super) fn found(&self, answer: &Response, now: i64) -> Result<Option<String>, Failure> {
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
    pub(super) fn accepted(&self, answer: &Response, now: i64) -> Result<Option<String>, Failure> {
        let is_known = self.settings.conflict_is_ok && answer.status == 409;
        if !is_known && !answer.is_good() {
            return Err(self.failure(answer, now));
        }
        if !is_known {
            self.obey(answer)?;
        }
        let body = answer.json().unwrap_or(Value::Null);
        Ok(self.settings.id.as_ref().and_then(|pointer| id_at(&body, pointer)))
    }

    /// Whether a 2xx says what it must say.
    fn obey(&self, response: &Response) -> Result<(), Failure> {
        let Some(rule) = &self.settings.success else { return Ok(()) };
        let body = response.json();
        if body.is_none() && response.truncated {
            let error = format!("{NAME} {}: the answer was cut before it could be read", response.status);
            return Err(Failure::new(FailureClass::Unknown, error));
        }
        let body = body.unwrap_or(Value::Null);
        let there = body.pointer(&rule.pointer).unwrap_or(&Value::Null);
        let (is_met, wanted) = match &rule.equals {
            Some(equals) => (there == equals, equals.to_string()),
            None => (!there.is_null(), "there".to_owned()),
        };
        if is_met {
            return Ok(());
        }
        let code = format!("{}: {} is {there}, not {wanted}:", response.status, rule.pointer);
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

    pub(super) fn failure(&self, response: &Response, now: i64) -> Failure {
        let by_status = vendor::by_status(NAME, response, now);
        if self.settings.error.is_none() || response.status < 400 {
            return by_status;
        }
        let code = response.status.to_string();
        let error = vendor::told(NAME, by_status.class, &code, &self.reason(response)).error;
        Failure { error, ..by_status }
    }
}

/// The id that stands there: a text or a number.
fn id_at(body: &Value, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(vendor::id_of)
}
