//! What the tests of connectors share: integrations, leads of every kind, and pushes played against a script of answers.

mod golden;
mod leads;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use serde_json::Value;

pub(super) use golden::{assert_errors, assert_golden, assert_goldens, differing, seen};
pub(super) use leads::{
    FULL, MAXIMAL, MINIMAL, UPDATED, full, lead, maximal, maximal_bytes, minimal, minimal_bytes,
};

use super::{
    Answer, Call, CallError, CallErrorKind, Connector, Ids, Login, Prepared, Push, Report, Request, Response,
    Result, Token, Transport, runtime,
};
use leadline_domain::{
    address::EgressPolicy,
    ids::{CompanyId, IntegrationId},
    integration::{EventKind, Integration, ProbeKind},
    moment::Moment,
    outcome::{Failure, FailureClass, Outcome},
    telling::Telling,
};

/// A lead that no push came before.
pub(super) static NO_IDS: Ids = Ids::new();
/// When the tests' pushes happen.
pub(super) const NOW: Moment = Moment::from_seconds(1_795_000_000);

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
        credentials_for: None,
        brand: None,
        telling: Telling::default(),
        secrets: Vec::new(),
    }
}

/// What a configuration is refused with.
pub(super) fn refused(connector: &dyn Connector, config: &Value, mapping: &Value) -> Vec<String> {
    let problems = connector.check(config, mapping, &EgressPolicy::default(), "Innkept/1.0");
    problems.into_iter().map(|problem| problem.text).collect()
}

/// What credentials are refused with.
pub(super) fn refused_credentials(
    connector: &dyn Connector,
    credentials: &Value,
    egress: &EgressPolicy,
) -> Vec<String> {
    connector.check_credentials(credentials, egress).into_iter().map(|problem| problem.text).collect()
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
        ids: &NO_IDS,
        before: None,
        telling: &TELLING,
        now: NOW,
    }
}

/// As people are told things whose company says nothing of it.
pub(super) static TELLING: Telling = Telling { zone: None, locale: None, lead_url: None };

/// The outside of a connector, written down beforehand. Where no answer is left the daemon dies.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) answers: VecDeque<Answer>,
    pub(super) calls: Vec<Call>,
    pub(super) ids: Ids,
    pub(super) token: Arc<Token>,
    /// How often a fresh token was asked for.
    pub(super) renewals: usize,
    /// Whether another push for the person has just ended.
    pub(super) recently_pushed: bool,
    /// What the last push for the person said it had made.
    pub(super) last_made: Value,
}

impl Script {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let token = Token {
            secret: "token-of-a-login".to_owned().into(),
            expires_at: None,
            base: None,
            refresh: None,
        };
        Self {
            answers: answers.into_iter().collect(),
            calls: Vec::new(),
            ids: Ids::new(),
            token: Arc::new(token),
            renewals: 0,
            recently_pushed: false,
            last_made: Value::Null,
        }
    }
}

#[async_trait]
impl Transport for Script {
    async fn call(&mut self, call: &Call) -> Result<Answer> {
        self.calls.push(call.clone());
        self.answers.pop_front().ok_or_else(|| Failure::new(FailureClass::Unknown, "the daemon died"))
    }

    async fn keep(&mut self, ids: &Ids) -> Result<()> {
        self.ids.extend(ids.clone());
        Ok(())
    }

    async fn token(&mut self, _: &dyn Login, refused: Option<&Arc<Token>>) -> Result<Arc<Token>> {
        self.renewals += usize::from(refused.is_some());
        Ok(Arc::clone(&self.token))
    }

    async fn lock_person(&mut self, _person: &str) -> bool {
        self.recently_pushed
    }

    fn last_made(&mut self) -> Option<&mut Value> {
        Some(&mut self.last_made)
    }
}

/// A push that is played as the daemon does it.
#[derive(Clone, Debug)]
pub(super) struct PushCase<'a> {
    pub(super) lead: &'a str,
    pub(super) event: EventKind,
    pub(super) is_repeat: bool,
    pub(super) rendered: Option<Bytes>,
    pub(super) ids: Ids,
    pub(super) token: Option<Token>,
    pub(super) recently_pushed: bool,
    pub(super) last_made: Value,
}

/// What a push did.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) calls: Vec<Call>,
    /// The calls that are requests.
    pub(super) requests: Vec<Request>,
    /// Their bodies, where they are JSON.
    pub(super) bodies: Vec<Value>,
    pub(super) outcome: Outcome,
    pub(super) ids: Ids,
    pub(super) rendered: Option<Bytes>,
    pub(super) renewals: usize,
    pub(super) note: Option<String>,
    /// What the next push for the person is told.
    pub(super) last_made: Value,
}

impl<'a> PushCase<'a> {
    pub(super) fn created(lead: &'a str) -> Self {
        Self {
            lead,
            event: EventKind::Created,
            is_repeat: false,
            rendered: None,
            ids: Ids::new(),
            token: None,
            recently_pushed: false,
            last_made: Value::Null,
        }
    }

    pub(super) fn updated(lead: &'a str) -> Self {
        Self { event: EventKind::Updated, ..Self::created(lead) }
    }

    /// Plays it until there is an outcome, or no answer is left.
    pub(super) fn run(self, prepared: &dyn Prepared, answers: &[(u16, &str)]) -> Played {
        let answers = answers.iter().map(|(status, body)| response(*status, &[], body)).collect();
        self.run_with(prepared, answers)
    }

    /// As [`PushCase::run`], with whole answers.
    pub(super) fn run_with(self, prepared: &dyn Prepared, answers: Vec<Response>) -> Played {
        let body = Bytes::from(self.lead.to_owned());
        let push = Push {
            event: self.event,
            is_repeat: self.is_repeat,
            rendered: self.rendered.as_ref(),
            ids: &self.ids,
            ..push(&body)
        };
        let mut script = Script::new(answers.into_iter().map(Ok));
        if let Some(token) = self.token {
            script.token = Arc::new(token);
        }
        (script.recently_pushed, script.last_made) = (self.recently_pushed, self.last_made);
        play(prepared, push, script)
    }
}

/// Plays a push against a script.
pub(super) fn play(prepared: &dyn Prepared, push: Push<'_>, mut script: Script) -> Played {
    script.ids = push.ids.clone();
    let driven = runtime::drive(prepared, &mut script, push).now_or_never().expect("a script never waits");
    let Script { calls, ids, renewals, last_made, .. } = script;
    let rendered = push.rendered.cloned().or(driven.rendered.clone());
    let requests: Vec<Request> = calls
        .iter()
        .filter_map(|call| match call {
            Call::Http(request) => Some(request.clone()),
            Call::Mail(_) => None,
        })
        .collect();
    let bodies =
        requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap_or_default()).collect();
    let runtime::Driven { outcome, note, .. } = driven;
    Played { calls, requests, bodies, outcome, ids, rendered, renewals, note, last_made }
}

/// Plays a push of a lead with these answers.
pub(super) fn drive(
    prepared: &dyn Prepared,
    event: EventKind,
    lead: &Value,
    ids: Ids,
    rendered: Option<Bytes>,
    answers: &[(u16, Value)],
) -> Played {
    let answers = answers.iter().map(|(status, answer)| {
        response(*status, &[], &if answer.is_null() { String::new() } else { answer.to_string() })
    });
    let is_repeat = rendered.is_some();
    let lead = lead.to_string();
    let case = PushCase { event, is_repeat, rendered, ids, ..PushCase::created(&lead) };
    case.run_with(prepared, answers.collect())
}

/// The first call of a push, or why there is none.
pub(super) fn first_call(prepared: &dyn Prepared, push: Push<'_>) -> Result<Call> {
    let played = play(prepared, push, Script::new([]));
    match (played.calls.into_iter().next(), played.outcome) {
        (Some(call), _) => Ok(call),
        (None, Outcome::Failed(failure)) => Err(failure),
        (None, Outcome::Delivered) => panic!("delivered without a call"),
    }
}

/// What is rendered for an event, and the first call with it.
pub(super) fn first(prepared: &dyn Prepared, event: EventKind, lead: &Bytes) -> (Option<Bytes>, Call) {
    let mut played = play(prepared, Push { event, ..push(lead) }, Script::new([]));
    assert!(!played.calls.is_empty(), "{:?}", played.outcome);
    (played.rendered, played.calls.remove(0))
}

/// The same push again.
pub(super) fn again(prepared: &dyn Prepared, event: EventKind, lead: &Bytes, rendered: &Bytes) -> Call {
    let push = Push { event, rendered: Some(rendered), is_repeat: true, ..push(lead) };
    first_call(prepared, push).unwrap()
}

/// The request that a call is.
pub(super) fn request(call: Call) -> Request {
    match call {
        Call::Http(request) => request,
        other => panic!("{other:?}"),
    }
}

impl Played {
    /// Class, error and wait of a push that failed.
    pub(super) fn failure(&self) -> (&'static str, &str, Option<u64>) {
        match &self.outcome {
            Outcome::Failed(failure) => {
                (failure.class.as_str(), &failure.error, failure.retry_after.map(|wait| wait.as_secs()))
            }
            Outcome::Delivered => ("delivered", "", None),
        }
    }
}

/// What an answer to a first push comes to: class, error and the wait that is wished for.
pub(super) fn outcome(prepared: &dyn Prepared, answer: Answer) -> (&'static str, String, Option<u64>) {
    let lead = full();
    told(&play(prepared, push(&lead), Script::new([answer])).outcome)
}

/// What a connector makes of an answer.
pub(super) fn read_as(prepared: &dyn Prepared, answer: Response) -> (&'static str, String, Option<Duration>) {
    let (class, error, wait) = outcome(prepared, Ok(answer));
    (class, error, wait.map(Duration::from_secs))
}

/// An outcome as tables have it.
pub(super) fn told(outcome: &Outcome) -> (&'static str, String, Option<u64>) {
    match outcome {
        Outcome::Delivered => ("delivered", String::new(), None),
        Outcome::Failed(failure) => {
            (failure.class.as_str(), failure.error.clone(), failure.retry_after.map(|wait| wait.as_secs()))
        }
    }
}

/// What a probe comes to, and the calls that it made; none if there is nothing to look at.
pub(super) fn probe_with(
    prepared: &dyn Prepared,
    kind: ProbeKind,
    answers: impl IntoIterator<Item = Answer>,
) -> Option<(Report, Vec<Call>)> {
    let mut script = Script::new(answers);
    let report =
        runtime::probe(prepared, &mut script, kind, NOW).now_or_never().expect("a script never waits");
    Some((report?, script.calls))
}

/// What a probe comes to, and the URLs that it called.
pub(super) fn probe(
    prepared: &dyn Prepared,
    kind: ProbeKind,
    answers: &[(u16, &str)],
) -> (Report, Vec<String>) {
    let answers = answers.iter().map(|(status, body)| Ok(response(*status, &[], body)));
    let (report, calls) = probe_with(prepared, kind, answers).unwrap();
    (report, calls.into_iter().map(|call| request(call).url.to_string()).collect())
}

/// An answer.
pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Response { status, headers, body: Bytes::from(body.to_owned()), truncated: false }
}

/// A call without an answer.
pub(super) fn no_answer(kind: CallErrorKind) -> Answer {
    Err(CallError { kind, message: "no answer".to_owned() })
}
