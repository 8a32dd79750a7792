//! The runtime: one loop drives every connector, through a push or a probe, over a transport.
//!
//! A connector is straight code. It sends a request and goes on with the answer, keeps what the target calls things, and
//! ends with `?` where something failed:
//!
//! ```text
//! async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
//!     let contact = match ctx.id("contact") {
//!         Some(id) => id,                                           // an earlier push made it
//!         None => made(&ctx.send(self.create(push)?).await?)?,      // one call, one answer
//!     };
//!     ctx.keep(&[("contact", &contact)]).await;                     // a restart goes on from here
//!     …
//! }
//! ```
//!
//! The runtime logs calls in and renews a token that was refused, so that a connector says only how to get one
//! ([`Login`]). It ends the push whose connector panics or calls without end. It does no I/O of its own: the transport is
//! the network in dispatch, a script in tests, a recorder in previews.

use std::{
    future::{Pending, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    Answer, Call, Found, Ids, Login, Moment, Prepared, Push, Report, Response, Result, SITE, Token, reading,
};
use leadline_domain::{
    integration::{EventKind, ProbeKind},
    outcome::{Failure, FailureClass, Outcome},
};

/// No connector needs so many calls, be all set that may be; one that loops is stopped.
const CALLS_MAX: usize = 64;

/// Under which the push is kept that was to put somebody beside their record, until one did.
const JOIN: &str = "_join";
const JOINED: &str = "done";

/// The way to the outside. An error of any of these ends the push at once, without asking the connector.
#[async_trait]
pub trait Transport: Send {
    /// Makes a call.
    async fn call(&mut self, call: &Call) -> Result<Answer>;

    /// Keeps ids for the lead, beside those that are kept already.
    async fn keep(&mut self, ids: &Ids) -> Result<()>;

    /// A token that is not the refused one. [`log_in`] gets one where none is at hand.
    async fn token(&mut self, login: &dyn Login, refused: Option<&Arc<Token>>) -> Result<Arc<Token>>;

    /// Begins a login with a refresh token: returns the newest that came from this one of the credentials. No other
    /// login with it begins before [`Transport::end_refresh`].
    async fn begin_refresh(&mut self, own: &SecretString) -> Result<SecretString> {
        Ok(own.clone())
    }

    /// Ends that login. A token that it gave is kept before anything else happens: the one that was used is worth
    /// nothing any more.
    async fn end_refresh(&mut self, own: &SecretString, given: Option<&SecretString>) -> Result<()> {
        let _ = (own, given);
        Ok(())
    }

    /// Waits until no other push to the account is about this person. True if one has just ended: a search that lags may
    /// not know yet whom it made.
    async fn lock_person(&mut self, person: &str) -> bool;

    /// What the last push for the person that is locked said it had made, for the next one; null if none did.
    fn last_made(&mut self) -> Option<&mut Value> {
        None
    }
}

/// What a push came to.
#[derive(Debug)]
pub struct Driven {
    pub outcome: Outcome,
    /// What was rendered now, to be repeated byte for byte; none if it was rendered earlier, or if it is the body of the
    /// one call.
    pub rendered: Option<Bytes>,
    /// What is to be known of it though it did not fail.
    pub note: Option<String>,
}

/// Pushes once.
pub async fn drive(prepared: &dyn Prepared, transport: &mut dyn Transport, push: Push<'_>) -> Driven {
    let render = || if push.rendered.is_some() { Ok(None) } else { prepared.render(&push) };
    let rendered = match catch_unwind(AssertUnwindSafe(render)).unwrap_or_else(|_| Err(panicked())) {
        Ok(rendered) => rendered,
        Err(failure) => return Driven { outcome: Outcome::Failed(failure), rendered: None, note: None },
    };
    let push = Push { rendered: push.rendered.or(rendered.as_ref()), ..push };
    let end = OnceLock::new();
    let mut ctx = Conversation::new(prepared, transport, push.ids.clone(), push.now, &end);
    let act = async {
        prepared.push(&push, &mut ctx).await?;
        ctx.joined().await;
        Ok::<_, Failure>(())
    };
    let outcome = match guarded(&end, act.boxed()).await {
        Ok(()) => Outcome::Delivered,
        // A version that kept it in another shape rendered it, and nothing was sent. Boxed, as it is rare.
        Err(_) if ctx.is_unread && rendered.is_none() && push.rendered.is_some() => {
            let anew = Push { rendered: None, ..push };
            return Box::pin(drive(ctx.prepared, ctx.transport, anew)).await;
        }
        Err(failure) => Outcome::Failed(failure),
    };
    let note = (!ctx.notes.is_empty()).then(|| ctx.notes.join("; "));
    Driven { outcome, rendered, note }
}

/// Takes a look at the target that pushes no lead. None if there is nothing to look at.
pub async fn probe(
    prepared: &dyn Prepared,
    transport: &mut dyn Transport,
    kind: ProbeKind,
    now: Moment,
) -> Option<Report> {
    if !prepared.abilities().can_probe(kind) {
        return None;
    }
    let end = OnceLock::new();
    let mut ctx = Conversation::new(prepared, transport, Ids::new(), now, &end);
    let outcome = match guarded(&end, prepared.probe(kind, &mut ctx)).await {
        Ok(()) => Outcome::Delivered,
        Err(failure) => {
            ctx.found.findings.clear();
            Outcome::Failed(failure)
        }
    };
    let Found { account, findings, targets } = *ctx.found;
    Some(Report { outcome, account, findings, targets })
}

/// Gets a token. Whatever becomes of the login, nothing of a lead has left.
pub async fn log_in(transport: &mut dyn Transport, login: &dyn Login, now: Moment) -> Result<Token> {
    let Some(own) = login.refresh_token() else { return got(transport, login, now, None).await };
    let refresh = transport.begin_refresh(own).await?;
    let token = got(transport, login, now, Some(&refresh)).await;
    let given = token.as_ref().ok().and_then(|token| token.refresh.as_ref());
    let is_other = |given: &&SecretString| given.expose_secret() != refresh.expose_secret();
    transport.end_refresh(own, given.filter(is_other)).await?;
    token
}

async fn got(
    transport: &mut dyn Transport,
    login: &dyn Login,
    now: Moment,
    refresh: Option<&SecretString>,
) -> Result<Token> {
    let answer = transport.call(&Call::from(login.request(now, refresh)?)).await?;
    login.token(&answer, now).map_err(|failure| match failure.class {
        FailureClass::Unknown => Failure { class: FailureClass::Transient, ..failure },
        _ => failure,
    })
}

/// What a connector says and hears in one push or probe.
pub struct Conversation<'a> {
    prepared: &'a dyn Prepared,
    transport: &'a mut dyn Transport,
    ids: Ids,
    token: Option<Arc<Token>>,
    /// Whether another push for the person that is locked has just ended: a search that lags may not know yet whom it made.
    pub(super) recently_pushed: bool,
    calls: usize,
    notes: Vec<String>,
    /// The fields, or objects of such, that the target refused or that were left to sales: they were not written.
    pub(super) refused: Vec<String>,
    /// Whether what was rendered earlier cannot be read.
    pub(super) is_unread: bool,
    /// Why it is over, where that is not for the connector to say.
    end: &'a OnceLock<Failure>,
    /// Seconds since 1970, by the database's clock.
    pub(super) now: Moment,
    /// What a probe has found so far. Boxed, as the future of each push would hold its room.
    pub(super) found: Box<Found>,
}

impl<'a> Conversation<'a> {
    fn new(
        prepared: &'a dyn Prepared,
        transport: &'a mut dyn Transport,
        ids: Ids,
        now: Moment,
        end: &'a OnceLock<Failure>,
    ) -> Self {
        Self {
            prepared,
            transport,
            ids,
            token: None,
            recently_pushed: false,
            calls: 0,
            notes: Vec::new(),
            refused: Vec::new(),
            is_unread: false,
            end,
            now,
            found: Box::default(),
        }
    }

    /// Makes a call and returns the response, whatever its status. A call that is not answered fails the push.
    pub(super) async fn send(&mut self, call: impl Into<Call>) -> Result<Response> {
        self.ask(call.into()).await.map_err(|error| reading::unanswered(&error))
    }

    /// Makes a call, for a connector that makes something of a call without an answer.
    pub(super) async fn ask(&mut self, mut call: Call) -> Answer {
        let mut is_renewed = false;
        loop {
            self.count().await;
            self.log_in(None).await;
            if let (Some(token), Some(login)) = (&self.token, self.prepared.login()) {
                call.log_in(token, login.scheme());
            }
            let answer = match self.transport.call(&call).await {
                Ok(answer) => answer,
                Err(failure) => self.end(failure).await,
            };
            let is_refused =
                |login: &dyn Login| answer.as_ref().is_ok_and(|response| login.refuses(response));
            if self.token.is_none() || !self.prepared.login().is_some_and(is_refused) {
                return answer;
            }
            // A fresh token that is refused at once is the login's fault.
            if is_renewed {
                let error = format!("refused with a fresh token too: {}", reading::summary(&answer));
                self.end(Failure::new(FailureClass::Credentials, error)).await
            }
            is_renewed = true;
            let refused = self.token.take();
            self.log_in(refused).await;
        }
    }

    /// What the target calls something of this lead.
    pub(super) fn id(&self, key: &str) -> Option<String> {
        self.ids.get(key).cloned()
    }

    /// Keeps ids before the push goes on, so that a restart finds them. It counts though they are known, so that a loop over
    /// such ends, too.
    pub(super) async fn keep(&mut self, ids: &[(&str, &str)]) {
        self.count().await;
        let is_new = |(key, id): &&(&str, &str)| self.ids.get(*key).map(String::as_str) != Some(*id);
        let new: Ids =
            ids.iter().filter(is_new).map(|(key, id)| ((*key).to_owned(), (*id).to_owned())).collect();
        if new.is_empty() {
            return;
        }
        if let Err(failure) = self.transport.keep(&new).await {
            self.end(failure).await
        }
        self.ids.extend(new);
    }

    /// Whether the person is put where the settings say beside their record, which is kept as this, and is this one where
    /// another address is another's. An update puts nobody back whom sales may have taken out: only who was not met before,
    /// as consent came with it or the address is another, and whom a push that died was to put there.
    pub(super) async fn may_join(&mut self, push: &Push<'_>, record: &str, is: Option<&str>) -> bool {
        let is_unmet = self.id(record).is_none_or(|known| is.is_some_and(|is| is != known));
        let is_due = self.id(JOIN).is_some_and(|join| join != JOINED);
        let may_join = push.event != EventKind::Updated || is_unmet || is_due;
        if may_join && !is_due {
            self.keep(&[(JOIN, push.id)]).await;
        }
        may_join
    }

    /// The person is where they were to be put, if they were: whoever takes them out from here on means it. The runtime says
    /// so at the end of a push.
    pub(super) async fn joined(&mut self) {
        if self.id(JOIN).is_some() {
            self.keep(&[(JOIN, JOINED)]).await;
        }
    }

    /// Keeps where the login directs calls to, so that records can be found there.
    pub(super) async fn keep_site(&mut self) {
        if let Some(base) = self.token.as_ref().and_then(|token| token.base.as_ref()) {
            let base = base.to_string();
            self.keep(&[(SITE, &base)]).await;
        }
    }

    /// Notes what is to be known of the attempt though it does not fail, in a sentence without credentials.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Pushes for this person wait for each other from here on: for targets that forbid no second one.
    pub(super) async fn lock_person(&mut self, person: &str) {
        self.recently_pushed = self.transport.lock_person(person).await;
    }

    /// What the last push for this person said it had made, as a search would tell it: this one may say so too.
    pub(super) fn last_made(&mut self) -> Option<&mut Value> {
        self.transport.last_made()
    }

    async fn log_in(&mut self, refused: Option<Arc<Token>>) {
        if self.token.is_some() {
            return;
        }
        let Some(login) = self.prepared.login() else { return };
        match self.transport.token(login, refused.as_ref()).await {
            Ok(token) => self.token = Some(token),
            Err(failure) => self.end(failure).await,
        }
    }

    async fn count(&mut self) {
        self.calls += 1;
        if self.calls > CALLS_MAX {
            let error = format!("the push did not end within {CALLS_MAX} calls");
            self.end(Failure::new(FailureClass::Mapping, error)).await
        }
    }

    /// Ends the push, whatever the connector would make of it.
    fn end<T>(&self, failure: Failure) -> Pending<T> {
        self.end.get_or_init(|| failure);
        pending()
    }
}

/// A panic in a connector is that push's failure and nobody else's.
async fn guarded<T>(end: &OnceLock<Failure>, act: BoxFuture<'_, Result<T>>) -> Result<T> {
    let mut act = AssertUnwindSafe(act).catch_unwind();
    poll_fn(|context| match act.poll_unpin(context) {
        Poll::Ready(Ok(done)) => Poll::Ready(done),
        Poll::Ready(Err(_)) => Poll::Ready(Err(panicked())),
        Poll::Pending => end.get().map_or(Poll::Pending, |failure| Poll::Ready(Err(failure.clone()))),
    })
    .await
}

fn panicked() -> Failure {
    let error = "the connector panicked on this lead: report it with the lead's uuid";
    Failure::new(FailureClass::Mapping, error)
}

#[cfg(test)]
mod tests;
