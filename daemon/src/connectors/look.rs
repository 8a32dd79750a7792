//! A look at a vendor that pushes no lead, written as if each call were answered at once; see [`super::talk`].

use serde_json::Value;

use super::{
    Exchange, Probe, ProbeStep, Report, Request, Response,
    talk::{self, Asking},
};
use crate::domain::outcome::{Failure, Outcome};

/// Why a look has not come to its end yet.
pub(super) enum Next {
    Call(Box<Request>),
    Renew,
    Failed(Failure),
}

impl From<Asking> for Next {
    fn from(asking: Asking) -> Self {
        match asking {
            Asking::Call(request) => Self::Call(request),
            Asking::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// A look that goes on.
pub(super) struct Look<'a> {
    pub(super) probe: &'a Probe<'a>,
    exchanges: &'a [Exchange],
    vendor: &'static str,
    /// How the vendor's refusals are read.
    failure: fn(&Response, i64) -> Failure,
    /// Whose account it is, as soon as that is known.
    pub(super) account: Option<String>,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        vendor: &'static str,
        probe: &'a Probe<'a>,
        exchanges: &'a [Exchange],
        failure: fn(&Response, i64) -> Failure,
    ) -> Self {
        Self { probe, exchanges, vendor, failure, account: None }
    }

    /// The JSON that answers this call.
    pub(super) fn ask(&self, request: Request) -> Result<Value, Next> {
        let answer = talk::ask(self.exchanges, request, self.probe.now)?;
        if answer.status == 401 && self.probe.token.is_some() {
            return Err(Next::Renew);
        }
        if !talk::is_good(answer) {
            return Err(Next::Failed((self.failure)(answer, self.probe.now)));
        }
        answer.json().ok_or_else(|| Next::Failed(talk::unreadable(self.vendor, answer, "JSON")))
    }

    /// What comes next, given what was found.
    pub(super) fn step(self, found: Result<Vec<String>, Next>) -> ProbeStep {
        let (outcome, findings) = match found {
            Ok(findings) => (Outcome::Delivered, findings),
            Err(Next::Call(request)) => return ProbeStep::Call((*request).into()),
            Err(Next::Renew) => return ProbeStep::Renew,
            Err(Next::Failed(failure)) => (Outcome::Failed(failure), Vec::new()),
        };
        ProbeStep::Done(Report { outcome, account: self.account, findings })
    }
}

/// There is nothing to look with.
pub(super) fn failed(failure: Failure) -> ProbeStep {
    ProbeStep::Done(Report { outcome: Outcome::Failed(failure), account: None, findings: Vec::new() })
}
