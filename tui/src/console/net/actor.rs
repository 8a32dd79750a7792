//! Keeps one connection: dials, follows the streams, answers commands, and repeats what a break left unanswered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use ulid::Ulid;

use super::backoff::Backoff;
use super::{CallFailure, DaemonSession, Dial, Followed, Fresh};
use crate::console::data::query::Stream;
use crate::console::data::{Answer, Conn, Done, Mutation, Query};
use crate::console::msg::{DaemonRequest, Follow, Msg, Ticket};

/// A connection that held this long was a good one.
const HELD: Duration = Duration::from_secs(10);

/// Two heartbeats are missing: whoever looks at the screen is to know within four seconds.
pub(super) const SILENCE: Duration = Duration::from_millis(3700);
const HANGS: &str = "the daemon has stopped answering";

/// Completes when the daemon has been silent for too long.
async fn silence(heartbeat: Option<Instant>) {
    match heartbeat {
        Some(at) => sleep_until(at + SILENCE).await,
        None => std::future::pending().await,
    }
}

/// The other side is gone: the console is ending.
struct ConsoleGone;

/// A change under the id that it keeps however often it is sent.
#[derive(Clone)]
struct PendingChange {
    request_id: String,
    mutation: Mutation,
}

/// What a call that runs beside the streams comes to.
enum Outcome {
    Answered { ticket: Ticket, stream: Option<Stream>, answer: Result<Answer, CallFailure> },
    Followed { what: Follow, stream: Result<Followed, CallFailure> },
    Changed { ticket: Ticket, done: Result<Done, CallFailure> },
}

/// Owns the connection.
pub struct Actor<D> {
    dial: D,
    out: mpsc::Sender<Msg>,
    commands: mpsc::UnboundedReceiver<DaemonRequest>,
    cursor: String,
    follow: Option<Follow>,
    changes: BTreeMap<Ticket, PendingChange>,
    backoff: Backoff,
    heard_at: Option<Timestamp>,
}

/// What lives as long as one connection.
struct Live {
    session: Arc<dyn DaemonSession>,
    calls: JoinSet<Outcome>,
    followed: Option<Followed>,
    first: bool,
    /// What is asked while typing or moving: one of a kind is on its way, and the last wish waits behind it.
    streams: BTreeMap<Stream, Option<(Ticket, Query)>>,
    /// The search through what leads say that is on its way.
    search: Option<(Ticket, AbortHandle)>,
    /// Who waits for an answer.
    asked: BTreeSet<Ticket>,
}

impl<D: Dial> Actor<D> {
    /// Not connected yet.
    pub fn new(dial: D, out: mpsc::Sender<Msg>, commands: mpsc::UnboundedReceiver<DaemonRequest>) -> Self {
        Self {
            dial,
            out,
            commands,
            cursor: String::new(),
            follow: None,
            changes: BTreeMap::new(),
            backoff: Backoff::default(),
            heard_at: None,
        }
    }

    /// Runs until the console ends.
    pub async fn run(mut self) {
        while let Ok(failure) = self.connection().await {
            if self.pause(failure).await.is_err() {
                return;
            }
        }
    }

    /// One connection from dial to break.
    async fn connection(&mut self) -> Result<CallFailure, ConsoleGone> {
        let session = match self.dial.dial().await {
            Ok(session) => session,
            Err(failure) => return Ok(failure),
        };
        let mut watch = match session.watch(self.cursor.clone()).await {
            Ok(watch) => watch,
            Err(failure) => return Ok(failure),
        };
        self.report(Msg::Conn(Conn::Live)).await?;
        self.heard_at = Some(Timestamp::now());
        let since = Instant::now();
        let mut live = Live::new(session);
        for (ticket, change) in &self.changes {
            live.change(*ticket, change.clone());
        }
        live.follow(self.follow.clone());
        let mut heartbeat = None;
        let failure = loop {
            let step = tokio::select! {
                item = watch.next() => match item {
                    Some(Ok(news)) => {
                        self.heard_at = Some(Timestamp::now());
                        // Silence counts only where heartbeats are sent.
                        if news.is_none() || heartbeat.is_some() {
                            heartbeat = Some(Instant::now());
                        }
                        if let Some((cursor, msg)) = news {
                            self.cursor = cursor;
                            self.report(msg).await?;
                        }
                        Ok(())
                    }
                    Some(Err(failure)) => Err(failure),
                    None => Err(CallFailure::Away("the daemon closed the connection".to_owned())),
                },
                () = silence(heartbeat) => Err(CallFailure::Away(HANGS.to_owned())),
                item = next_followed(&mut live.followed) => self.fresh(&mut live, item).await?,
                Some(outcome) = live.calls.join_next() => match outcome {
                    Ok(outcome) => self.outcome(&mut live, outcome).await?,
                    // It was given up.
                    Err(ended) if ended.is_cancelled() => Ok(()),
                    Err(_) => Err(CallFailure::Away("a call broke inside the console".to_owned())),
                },
                command = self.commands.recv() => {
                    self.command(&mut live, command.ok_or(ConsoleGone)?);
                    Ok(())
                }
            };
            if let Err(failure) = step {
                break failure;
            }
        };
        if since.elapsed() >= HELD {
            self.backoff.reset();
        }
        if heartbeat.is_none() {
            // It had no reason to say anything as long as the connection held.
            self.heard_at = Some(Timestamp::now());
        }
        self.broken(live).await?;
        Ok(failure)
    }

    /// A console that is ending needs no news.
    async fn report(&self, msg: Msg) -> Result<(), ConsoleGone> {
        self.out.send(msg).await.map_err(|_| ConsoleGone)
    }

    fn command(&mut self, live: &mut Live, command: DaemonRequest) {
        match command {
            DaemonRequest::Reconnect | DaemonRequest::Woke => {}
            DaemonRequest::Follow(what) => {
                self.follow.clone_from(&what);
                live.follow(what);
            }
            DaemonRequest::Ask { ticket, query } => live.ask(ticket, query),
            DaemonRequest::Mutate { ticket, mutation } => {
                let change = PendingChange { request_id: Ulid::generate().to_string(), mutation };
                self.changes.insert(ticket, change.clone());
                live.change(ticket, change);
            }
        }
    }

    async fn fresh(
        &mut self,
        live: &mut Live,
        item: Option<Result<Fresh, CallFailure>>,
    ) -> Result<Result<(), CallFailure>, ConsoleGone> {
        match (item, self.follow.clone()) {
            (Some(Ok(Fresh::Attempts(attempts))), Some(Follow::Integration(integration))) => {
                let first = std::mem::take(&mut live.first);
                self.report(Msg::Attempts { integration, attempts, first }).await?;
            }
            (Some(Ok(Fresh::Activity)), Some(Follow::Activity(_))) => self.report(Msg::Happened).await?,
            (Some(Err(CallFailure::Refused(_))), _) => live.followed = None,
            (Some(Err(failure)), _) => return Ok(Err(failure)),
            (None, _) => return Ok(Err(CallFailure::Away("the daemon closed the connection".to_owned()))),
            (Some(Ok(_)), _) => {}
        }
        Ok(Ok(()))
    }

    async fn outcome(
        &mut self,
        live: &mut Live,
        outcome: Outcome,
    ) -> Result<Result<(), CallFailure>, ConsoleGone> {
        match outcome {
            Outcome::Answered { ticket, stream, answer } => {
                live.asked.remove(&ticket);
                if let Some(waiting) = stream.and_then(|stream| live.streams.remove(&stream)).flatten() {
                    live.ask(waiting.0, waiting.1);
                }
                // Nobody learns from one slow answer that the daemon is away: its keep-alive tells.
                self.report(Msg::Answered { ticket, answer }).await?;
            }
            Outcome::Followed { what, stream } if self.follow.as_ref() == Some(&what) => match stream {
                Ok(stream) => (live.followed, live.first) = (Some(stream), true),
                Err(failure @ CallFailure::Away(_)) => return Ok(Err(failure)),
                Err(failure) => self.report(Msg::Refused(failure.to_string())).await?,
            },
            // Something else was opened meanwhile.
            Outcome::Followed { .. } => {}
            // The change stays, and goes out again under the same id.
            Outcome::Changed { done: Err(failure @ CallFailure::Away(_)), .. } => return Ok(Err(failure)),
            Outcome::Changed { ticket, done } => {
                self.changes.remove(&ticket);
                self.report(Msg::Done { ticket, done }).await?;
            }
        }
        Ok(Ok(()))
    }

    /// Tells those who wait that the connection broke.
    async fn broken(&self, live: Live) -> Result<(), ConsoleGone> {
        let waiting = live.streams.into_values().flatten().map(|(ticket, _)| ticket);
        for ticket in live.asked.into_iter().chain(waiting) {
            let answer = Err(CallFailure::Away("the connection was lost; try again".to_owned()));
            self.report(Msg::Answered { ticket, answer }).await?;
        }
        for ticket in self.changes.keys() {
            self.report(Msg::Delayed { ticket: *ticket }).await?;
        }
        Ok(())
    }

    /// Waits for the next dial. What does not change by itself waits for the operator.
    async fn pause(&mut self, failure: CallFailure) -> Result<(), ConsoleGone> {
        let deadline = match failure {
            CallFailure::Away(error) | CallFailure::Refused(error) => {
                let (wait, attempt) = self.backoff.next(rand::random_range(-1.0..=1.0));
                let heard_at = self.heard_at;
                let retry_at = Timestamp::now() + SignedDuration::try_from(wait).unwrap_or_default();
                self.report(Msg::Conn(Conn::Lost { error, retry_at, attempt, heard_at })).await?;
                Some(Instant::now() + wait)
            }
            CallFailure::Denied(reason) => {
                self.report(Msg::Conn(Conn::Denied(reason))).await?;
                None
            }
            CallFailure::Incompatible(reason) => {
                self.report(Msg::Conn(Conn::Incompatible(reason))).await?;
                None
            }
        };
        loop {
            let over = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return Ok(()),
                command = self.commands.recv() => match command.ok_or(ConsoleGone)? {
                    DaemonRequest::Reconnect => {
                        self.backoff.reset();
                        return self.report(Msg::Conn(Conn::Connecting)).await;
                    }
                    // The wait stood still meanwhile, and the network may be another one.
                    DaemonRequest::Woke if deadline.is_some() => return Ok(()),
                    DaemonRequest::Woke => {}
                    DaemonRequest::Follow(what) => self.follow = what,
                    DaemonRequest::Ask { ticket, .. } => {
                        let answer = Err(CallFailure::Away("not connected".to_owned()));
                        self.report(Msg::Answered { ticket, answer }).await?;
                    }
                    DaemonRequest::Mutate { ticket, mutation } => {
                        let request_id = Ulid::generate().to_string();
                        self.changes.insert(ticket, PendingChange { request_id, mutation });
                        self.report(Msg::Delayed { ticket }).await?;
                    }
                },
            }
        }
    }
}

impl Live {
    fn new(session: Arc<dyn DaemonSession>) -> Self {
        Self {
            session,
            calls: JoinSet::new(),
            followed: None,
            first: true,
            streams: BTreeMap::new(),
            search: None,
            asked: BTreeSet::new(),
        }
    }

    fn follow(&mut self, what: Option<Follow>) {
        self.followed = None;
        let Some(what) = what else { return };
        let call = self.session.follow(what.clone());
        self.calls.spawn(async move { Outcome::Followed { what, stream: call.await } });
    }

    fn ask(&mut self, ticket: Ticket, query: Query) {
        let stream = query.stream();
        if stream == Some(Stream::Find) {
            self.give_search_up();
        }
        if let Some(stream) = stream {
            if let Some(waiting) = self.streams.get_mut(&stream) {
                // What was wished for before is not wanted any more, so nobody waits for its answer.
                *waiting = Some((ticket, query));
                return;
            }
            self.streams.insert(stream, None);
        }
        self.asked.insert(ticket);
        let call = self.session.ask(query);
        let task = self.calls.spawn(async move { Outcome::Answered { ticket, stream, answer: call.await } });
        if stream == Some(Stream::FindAnywhere) {
            self.search = Some((ticket, task));
        }
    }

    /// Somebody types on: nobody waits for the search through what leads say, which costs the daemon seconds.
    fn give_search_up(&mut self) {
        self.streams.remove(&Stream::FindAnywhere);
        if let Some((ticket, task)) = self.search.take() {
            self.asked.remove(&ticket);
            task.abort();
        }
    }

    fn change(&mut self, ticket: Ticket, change: PendingChange) {
        let call = self.session.mutate(change.request_id, change.mutation);
        self.calls.spawn(async move { Outcome::Changed { ticket, done: call.await } });
    }
}

/// What is told next of what is followed; never, while nothing is.
async fn next_followed(followed: &mut Option<Followed>) -> Option<Result<Fresh, CallFailure>> {
    match followed {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
