//! Logins. Those with a refresh token take turns with other daemons, and go on to their end whatever becomes of the push: what
//! a vendor has given is nowhere else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use secrecy::SecretString;

use super::{
    attempt::lease_ran_out,
    exchange::{CallOptions, Exchange, exchange},
    integration_cache::PreparedIntegration,
    membership::DaemonLease,
    pusher::{AWAY_WAIT, PushContext, cannot_be_loaded, settled},
    quota::CallPermit,
    session::{parse_token, serialize_token},
    tasks::caught,
};
use crate::{
    connectors::{Answer as CallAnswer, Call, Login, LoginTransport, RefreshTurn, Token, log_in},
    domain::{
        moment::Moment,
        outcome::{Failure, FailureClass},
        trace::TraceContext,
    },
    store::{
        Error,
        integration::refresh::{LoginGiven, LoginStart, TURN},
    },
    telemetry::{self, Traces},
};

/// How long the call of a login with a refresh token may take, whatever the integration's own calls may: others have the
/// same login, and one that is broken off may have spent the token.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A call ends so long after its time at the latest.
const OVERRUN: Duration = Duration::from_secs(5);
/// How long a push waits for another daemon's login, and how often it looks.
const REFRESH_WAIT: Duration = Duration::from_secs(70);
const REFRESH_AGAIN: Duration = Duration::from_millis(250);
/// How long a stop waits for the last logins: for their call, and until the database has what they gave.
pub const LOGIN_GRACE: Duration = Duration::from_secs(35);

/// A login of one attempt.
pub(super) struct LoginRun {
    pub(super) context: Arc<PushContext>,
    pub(super) ready: Arc<PreparedIntegration>,
    pub(super) now: Moment,
    pub(super) cap: usize,
    /// When the attempt began.
    pub(super) began: Instant,
    /// The token that the target refused.
    pub(super) refused: Option<SecretString>,
    pub(super) lease: Option<(Arc<DaemonLease>, i64)>,
    pub(super) trace: Option<(Traces, TraceContext)>,
    /// For the next call.
    pub(super) permit: Option<CallPermit>,
    pub(super) turn: Option<OpenTurn>,
    pub(super) made: Vec<Exchange>,
    /// The lease ran out before anything was sent.
    pub(super) is_void: bool,
}

/// A turn at a login with a refresh token.
pub(super) struct OpenTurn {
    number: i64,
    /// No later than when it began.
    asked: Instant,
}

impl OpenTurn {
    /// Whether the turn may be over before an answer is there: then another daemon uses the same refresh token.
    fn is_late(&self) -> bool {
        self.asked.elapsed() + TIMEOUT + OVERRUN > TURN
    }
}

impl LoginRun {
    /// Logs in. With it comes what the login used; none if that is lost with a panic.
    pub(super) async fn finish(mut self, login: &dyn Login) -> (Result<Token, Failure>, Option<Self>) {
        let now = self.now;
        if login.refresh_token().is_none() {
            let got = log_in(&mut self, login, now).await;
            return (got, Some(self));
        }
        // A turn at the login would run out while it waits for a call of the quota.
        if self.permit.is_none() {
            self.permit = self.ready.quota.permit().await;
        }
        let (logins, ready) = (self.context.logins.clone(), Arc::clone(&self.ready));
        let run = async move {
            let got = match ready.prepared.as_ref().map(|prepared| prepared.login()) {
                Ok(Some(login)) => log_in(&mut self, login, now).await,
                Ok(None) => Err(broken()),
                Err(failure) => Err(failure.clone()),
            };
            (got, self)
        };
        match logins.spawn(caught("login", run)).await {
            Ok(Some((got, run))) => (got, Some(run)),
            Ok(None) | Err(_) => (Err(broken()), None),
        }
    }

    fn not_kept(&self, error: &Error) {
        let integration = self.ready.integration.id;
        tracing::error!(event = "login_not_kept", error = telemetry::causes(error), %integration, "what a login gave is used, and cannot be kept: the next login may need new credentials");
    }

    /// What another login gave, if it is good for this one.
    fn read(&self, text: &SecretString) -> Option<Token> {
        parse_token(text, self.refused.as_ref(), self.now).ok().flatten()
    }
}

#[async_trait]
impl LoginTransport for LoginRun {
    async fn call(&mut self, call: &Call) -> Result<CallAnswer, Failure> {
        let permit = match self.permit.take() {
            None => self.ready.quota.permit().await,
            permit => permit,
        };
        if self.lease.as_ref().is_some_and(|(lease, daemon)| !lease.may_push(*daemon)) {
            self.is_void = true;
            return Err(lease_ran_out());
        }
        if self.turn.as_ref().is_some_and(OpenTurn::is_late) {
            let error = "nothing was sent: the turn to log in was over before that";
            return Err(Failure::new(FailureClass::Transient, error));
        }
        let timeout = if self.turn.is_some() { TIMEOUT } else { self.ready.policy.timeout };
        let options = CallOptions { trace: self.trace.as_ref(), began: self.began, timeout, cap: self.cap };
        let made = exchange(&self.context.client, &self.ready, call, options).await;
        drop(permit);
        let answer = made.answer.clone();
        self.made.push(made);
        Ok(answer)
    }

    async fn begin_refresh(&mut self, own: &SecretString) -> Result<RefreshTurn, Failure> {
        let Some(login) = self.ready.login else { return Ok(RefreshTurn::Begun(own.clone())) };
        let integration = &self.ready.integration;
        let version = (!self.ready.is_tried).then_some(integration.version);
        let until = Instant::now() + REFRESH_WAIT;
        loop {
            if self.context.abandon.is_cancelled() {
                return Err(Failure::new(FailureClass::Transient, "nothing was sent: the daemon stops"));
            }
            let asked = Instant::now();
            let read = |text: &SecretString| self.read(text);
            let store = &self.context.store;
            let start = match store.begin_refresh(integration.lane(), version, &login, own, &read).await {
                Err(Error::Locked) => Ok(LoginStart::Busy),
                start => start,
            };
            let failure = match settled(start).await {
                None => continue,
                Some(Ok(LoginStart::Begun(turn))) => {
                    self.turn = Some(OpenTurn { number: turn.number, asked });
                    return Ok(RefreshTurn::Begun(turn.refresh));
                }
                Some(Ok(LoginStart::Given(token))) => return Ok(RefreshTurn::Given(token)),
                Some(Ok(LoginStart::Busy)) if Instant::now() < until => {
                    tokio::time::sleep(REFRESH_AGAIN).await;
                    continue;
                }
                Some(Ok(LoginStart::Busy)) => "another daemon is logging in to this target and does not end",
                Some(Ok(LoginStart::Gone)) => "nothing was sent: the integration that was to log in is gone",
                Some(Err(error)) => return Err(cannot_begin(&error)),
            };
            return Err(Failure::new(FailureClass::Transient, failure));
        }
    }

    async fn end_refresh(&mut self, given: Option<&Token>) {
        let (Some(login), Some(turn)) = (self.ready.login, self.turn.take()) else { return };
        let to_given = |token: &Token| {
            serialize_token(token).map(|text| LoginGiven { refresh: token.refresh.clone(), token: text })
        };
        let given = given.map(to_given).transpose();
        let given = given.inspect_err(|error| self.not_kept(error)).ok().flatten();
        loop {
            match self.context.store.end_refresh(&login, turn.number, given.as_ref()).await {
                Ok(()) => return,
                Err(error) if is_awaited(&error) => {
                    tracing::warn!(
                        event = "login_waits",
                        error = telemetry::causes(&error),
                        "what a login gave waits to be kept"
                    );
                    tokio::time::sleep(AWAY_WAIT).await;
                }
                Err(error) => return self.not_kept(&error),
            }
        }
    }
}

/// Whether what cannot be kept now can be in a while: the database is away, or the key file is about to get the key that
/// seals. A daemon that does not get it ends.
fn is_awaited(error: &Error) -> bool {
    error.is_passing() || matches!(error, Error::MasterKey(_))
}

/// Why no login begins.
fn cannot_begin(error: &Error) -> Failure {
    let is_unreadable = matches!(error, Error::Seal(_) | Error::Corrupt(_));
    let what = "nothing was sent: the newest refresh token of this login cannot be read";
    let unreadable =
        || Failure::new(FailureClass::Transient, format!("{what}, give new credentials: {error}"));
    if is_unreadable { unreadable() } else { cannot_be_loaded(error) }
}

fn broken() -> Failure {
    let error = "this login ended by a fault of the daemon: please report it with the daemon's log";
    Failure::new(FailureClass::Transient, error)
}

#[cfg(test)]
mod tests;
