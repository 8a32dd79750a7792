//! Answers of the three products read.

use super::Product;
use crate::prelude::*;

impl Product {
    /// None of them has a scheme of errors, so the status says what to do, and the words only what to look for.
    pub(super) fn failure(&self, response: &Response, url: &Url, now: Moment) -> Failure {
        let mut failure = reading::failure(response, now);
        failure.error = format!("{} {}", self.name, hook_url::scrubbed(&failure.error, url));
        match response.status {
            400 if is_full(response) => {
                let error = format!("{} 400 queue is full: the scenario does not keep up", self.name);
                let retry_after = reading::retry_after(response, now).or(Some(self.wait));
                failure = Failure { class: FailureClass::Throttled, error, retry_after };
            }
            429 => failure.retry_after = failure.retry_after.or(Some(self.wait)),
            // A workflow is not registered for some seconds while it is saved.
            404 if self.saves_slowly => {
                let error = format!("{} 404 {}", self.name, self.gone);
                failure = Failure { class: FailureClass::Transient, error, retry_after: failure.retry_after };
            }
            404 | 410 => failure.error = format!("{} {} {}", self.name, response.status, self.gone),
            _ => {}
        }
        failure
    }
}

/// Make says so in plain text; the exact words are hearsay.
fn is_full(response: &Response) -> bool {
    let text = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
    text.contains("queue") && text.contains("full")
}
