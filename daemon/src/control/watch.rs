//! Streams of what changes. A reader asks for the next message when it is ready for it, and only then are rows read:
//! a slow one gets the latest state of each, never a queue.

use std::{collections::HashMap, pin::Pin, time::Duration};

use futures::{Stream, stream};
use leadline_proto::v1::{self, watch_integrations_response::Message};
use tokio::{
    sync::{broadcast, watch},
    time,
};
use tonic::{Request, Response, Status};

use super::{
    Control, Reply,
    attempt::{changed, stopping},
    change_log::Gap,
    check,
};
use crate::{
    domain::{
        ids::{AttemptId, CompanyId, IntegrationId},
        lane::LaneId,
    },
    store::{
        Change,
        delivery::attempts::{AttemptView, AttemptsOf},
        integration::read::IntegrationFilter,
    },
};

/// How long changes are gathered into one message.
const GATHER: Duration = Duration::from_millis(100);
/// How often a reader that asks for it hears that the daemon runs; the contract says so.
const HEARTBEAT: Duration = Duration::from_millis(1800);
/// How often attempts are read without being told: another daemon may do the pushes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many attempts the first message carries.
const FIRST: i64 = 50;
/// How many of the newest attempts are looked through for what changed.
const WINDOW: i64 = 500;

type MessageStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a reader of integrations gets.
pub(super) type IntegrationStream = MessageStream<v1::WatchIntegrationsResponse>;
/// What a reader of one integration's attempts gets.
pub(super) type AttemptStream = MessageStream<v1::WatchAttemptsResponse>;

impl Control {
    pub(super) async fn integrations_as_they_change(
        &self,
        request: Request<v1::WatchIntegrationsRequest>,
    ) -> Reply<IntegrationStream> {
        let request = request.into_inner();
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let news = self.change_log.watch();
        let entry = self.change_log.entry(&request.cursor);
        let (control, with_skipped) = (self.clone(), request.with_skipped);
        let watcher = IntegrationWatcher { control, company, news, entry, greeted: false, with_skipped };
        let changes = stream::try_unfold(watcher, |mut watcher| async move {
            let message = watcher.next().await?;
            Ok(Some((message, watcher)))
        });
        if request.heartbeat {
            return Ok(Response::new(Box::pin(stream::select(changes, heartbeats()))));
        }
        Ok(Response::new(Box::pin(changes)))
    }

    pub(super) async fn attempts_as_they_happen(
        &self,
        request: Request<v1::WatchAttemptsRequest>,
    ) -> Reply<AttemptStream> {
        let changes = self.store.wake_ups().watch();
        let lane = self.store.find_integration(None, &request.get_ref().integration).await?;
        let watcher = AttemptWatcher { control: self.clone(), lane, changes, sent: None };
        Ok(Response::new(Box::pin(stream::try_unfold(watcher, |mut watcher| async move {
            let attempts = watcher.next().await?.into_iter().map(v1::Attempt::from).collect();
            Ok(Some((v1::WatchAttemptsResponse { attempts }, watcher)))
        }))))
    }
}

/// Responses that say no more than that the daemon runs. They wait for no database, so that one that hangs is told from
/// a daemon that does.
fn heartbeats() -> impl Stream<Item = Result<v1::WatchIntegrationsResponse, Status>> + Send {
    stream::unfold(Duration::ZERO, |pause| async move {
        time::sleep(pause).await;
        Some((Ok(v1::WatchIntegrationsResponse::default()), HEARTBEAT))
    })
}

/// A reader of integrations.
struct IntegrationWatcher {
    control: Control,
    company: Option<CompanyId>,
    news: watch::Receiver<u64>,
    /// How far the reader has come; none before the snapshot.
    entry: Option<u64>,
    /// Whether it got a first message.
    greeted: bool,
    with_skipped: bool,
}

impl IntegrationWatcher {
    async fn next(&mut self) -> Result<v1::WatchIntegrationsResponse, Status> {
        loop {
            let Some(entry) = self.entry else { return self.snapshot().await };
            self.news.mark_unchanged();
            match self.control.change_log.since(self.company, entry) {
                Gap::Forgotten => self.entry = None,
                // A reader that comes back hears at once that it missed nothing.
                Gap::Changed(changed, latest) if !changed.is_empty() || !self.greeted => {
                    return self
                        .changes(changed.into_iter().map(|lane| lane.integration).collect(), latest)
                        .await;
                }
                Gap::Changed(_, latest) => {
                    self.entry = Some(latest);
                    self.wait().await?;
                }
            }
        }
    }

    async fn wait(&mut self) -> Result<(), Status> {
        tokio::select! {
            news = self.news.changed() => news.map_err(|_| stopping())?,
            () = self.control.stop.cancelled() => return Err(stopping()),
        }
        tokio::select! {
            () = time::sleep(GATHER) => Ok(()),
            () = self.control.stop.cancelled() => Err(stopping()),
        }
    }

    async fn snapshot(&mut self) -> Result<v1::WatchIntegrationsResponse, Status> {
        let latest = self.control.change_log.latest();
        let integrations = self.read(None).await?;
        let snapshot = v1::Snapshot { integrations, daemon_version: env!("CARGO_PKG_VERSION").to_owned() };
        Ok(self.message(latest, Message::Snapshot(snapshot)))
    }

    async fn changes(
        &mut self,
        ids: Vec<IntegrationId>,
        latest: u64,
    ) -> Result<v1::WatchIntegrationsResponse, Status> {
        let changed = if ids.is_empty() { Vec::new() } else { self.read(Some(ids.clone())).await? };
        let there = |id: &str| changed.iter().any(|integration| integration.id == id);
        let removed = ids.iter().map(ToString::to_string).filter(|id| !there(id)).collect();
        Ok(self.message(latest, Message::Changes(v1::Changes { changed, removed })))
    }

    async fn read(&self, ids: Option<Vec<IntegrationId>>) -> Result<Vec<v1::Integration>, Status> {
        let filter = IntegrationFilter { company: self.company, ids, ..IntegrationFilter::default() };
        let views = self.control.store.for_lists().await.integration_views(&filter).await?;
        let mut integrations: Vec<_> = views.into_iter().map(v1::Integration::from).collect();
        if self.with_skipped {
            self.control.count_skipped(&mut integrations).await?;
        }
        Ok(integrations)
    }

    fn message(&mut self, latest: u64, message: Message) -> v1::WatchIntegrationsResponse {
        self.entry = Some(latest);
        self.greeted = true;
        v1::WatchIntegrationsResponse {
            cursor: self.control.change_log.cursor(latest),
            message: Some(message),
        }
    }
}

/// A reader of one integration's attempts.
struct AttemptWatcher {
    control: Control,
    lane: LaneId,
    changes: broadcast::Receiver<Change>,
    /// What the reader knows: each attempt, and whether it is finished. None before the first message.
    sent: Option<HashMap<AttemptId, bool>>,
}

impl AttemptWatcher {
    /// The last attempts the first time, then what is new or finished since.
    async fn next(&mut self) -> Result<Vec<AttemptView>, Status> {
        let Some(sent) = self.sent.take() else {
            let attempts = self.read(WINDOW).await?;
            self.sent = Some(known(&attempts));
            return Ok(attempts.into_iter().take(FIRST as usize).collect());
        };
        let mut sent = sent;
        loop {
            self.wait().await?;
            // What is told from here on concerns rows that are read afterwards.
            self.changes = self.changes.resubscribe();
            let mut attempts = self.read(WINDOW).await?;
            attempts.extend(self.finished_behind(&sent, &attempts).await?);
            let news: Vec<_> = attempts.iter().filter(|attempt| is_news(&sent, attempt)).cloned().collect();
            sent = known(&attempts);
            if !news.is_empty() {
                self.sent = Some(sent);
                return Ok(news);
            }
        }
    }

    async fn wait(&mut self) -> Result<(), Status> {
        let stop = self.control.stop.clone();
        tokio::select! {
            () = changed(&mut self.changes, self.lane.integration) => {}
            () = time::sleep(LOOK_AGAIN) => return Ok(()),
            () = stop.cancelled() => return Err(stopping()),
        }
        tokio::select! {
            () = time::sleep(GATHER) => Ok(()),
            () = stop.cancelled() => Err(stopping()),
        }
    }

    async fn read(&self, limit: i64) -> Result<Vec<AttemptView>, Status> {
        let of = AttemptsOf::Lane(self.lane);
        Ok(self.control.store.attempts(of, None, limit).await?)
    }

    /// Those that ran when last seen and finished behind so many newer ones that they are no longer among these.
    async fn finished_behind(
        &self,
        sent: &HashMap<AttemptId, bool>,
        attempts: &[AttemptView],
    ) -> Result<Vec<AttemptView>, Status> {
        let now = known(attempts);
        let gone: Vec<_> = sent
            .iter()
            .filter(|(id, finished)| !**finished && !now.contains_key(id))
            .map(|(id, _)| *id)
            .collect();
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.control.store.finished_attempts(self.lane.company, self.lane.integration, &gone).await?)
    }
}

fn known(attempts: &[AttemptView]) -> HashMap<AttemptId, bool> {
    attempts.iter().map(|attempt| (attempt.id, attempt.finished.is_some())).collect()
}

/// Whether an attempt is new to the reader, or has finished since. What is older than all it knows fell out of the
/// window before and comes back only because something in it is gone.
fn is_news(sent: &HashMap<AttemptId, bool>, attempt: &AttemptView) -> bool {
    match sent.get(&attempt.id) {
        Some(finished) => *finished != attempt.finished.is_some(),
        None => sent.keys().min().is_none_or(|oldest| attempt.id > *oldest),
    }
}
