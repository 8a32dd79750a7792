//! Activity: attempts and what operators did, as a list and as it happens.

use std::{
    collections::{BTreeSet, HashSet},
    pin::Pin,
    time::Duration,
};

use futures::{Stream, stream};
use leadline_proto::v1::{self, activity_service_server::ActivityService};
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time,
};
use tonic::{Request, Response, Status};

use super::{Control, Reply, attempt::stopping, check, convert};
use crate::{
    domain::ids::{AttemptId, AuditId, CompanyId, IntegrationId},
    store::{
        Change,
        activity::{Activity, ActivityFilter, What},
        operator::command::Refusal,
    },
};

/// How many the first message of a watch carries.
const FIRST: usize = 50;
/// How many of the newest of each kind are looked through for what is new.
const WINDOW: i64 = 100;
/// How long what happens is gathered into one message.
const GATHER: Duration = Duration::from_millis(250);
/// How often it is looked without being told: another daemon may do the pushes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

type ActivityStream = Pin<Box<dyn Stream<Item = Result<v1::WatchActivityResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ActivityService for Control {
    async fn list_activity(
        &self,
        request: Request<v1::ListActivityRequest>,
    ) -> Reply<v1::ListActivityResponse> {
        let request = request.into_inner();
        let (limit, token) = check::page(request.page_size, &request.page_token)?;
        let filter = ActivityFilter {
            behind: behind(token)?,
            company: self.store.find_optional_company(check::optional(&request.company)).await?,
            before: convert::read_time("before", request.before.as_ref())?,
            ..ActivityFilter::default()
        };
        let mut found = self.store.for_lists().await.activity(&filter, limit).await?;
        let more = found.len() >= usize::try_from(limit).unwrap_or_default();
        found.truncate(usize::try_from(limit).unwrap_or_default());
        let next_page_token = if more { page_token(&filter, &found) } else { String::new() };
        let activities = found.into_iter().map(v1::Activity::from).collect();
        Ok(Response::new(v1::ListActivityResponse { activities, next_page_token }))
    }

    type WatchActivityStream = ActivityStream;

    async fn watch_activity(
        &self,
        request: Request<v1::WatchActivityRequest>,
    ) -> Reply<Self::WatchActivityStream> {
        let changes = self.store.wake_ups().watch();
        let company = self.store.find_optional_company(check::optional(&request.get_ref().company)).await?;
        let watcher = ActivityWatcher { control: self.clone(), company, changes, known: None };
        Ok(Response::new(Box::pin(stream::try_unfold(watcher, |mut watcher| async move {
            let message = watcher.next().await?;
            Ok(Some((message, watcher)))
        }))))
    }
}

/// Behind which attempt and which act a page begins: `ATTEMPT.ACT`, either of which may be empty.
fn behind(token: &str) -> Result<(Option<AttemptId>, Option<AuditId>), Refusal> {
    let Some((attempt, act)) = token.split_once('.') else {
        return match token {
            "" => Ok((None, None)),
            token => Err(check::not_a_page(token)),
        };
    };
    Ok((check::behind(attempt)?, check::behind(act)?))
}

/// The token of the page behind this one, which may have come to the last of its attempts before that of its acts.
fn page_token(filter: &ActivityFilter, page: &[Activity]) -> String {
    let (mut attempt, mut act) = filter.behind;
    for activity in page {
        match &activity.what {
            What::Attempt(it) => attempt = Some(it.id),
            What::Act(it) => act = Some(it.id),
        }
    }
    let text = |id: Option<String>| id.unwrap_or_default();
    format!("{}.{}", text(attempt.map(|id| id.to_string())), text(act.map(|id| id.to_string())))
}

/// A reader of what happens.
struct ActivityWatcher {
    control: Control,
    company: Option<CompanyId>,
    changes: Receiver<Change>,
    /// What it was told of lately; none before the first message.
    known: Option<KnownActivity>,
}

/// What a reader was told of: what is older than all of it is not news.
struct KnownActivity {
    ids: HashSet<String>,
    oldest: jiff::Timestamp,
}

impl ActivityWatcher {
    async fn next(&mut self) -> Result<v1::WatchActivityResponse, Status> {
        loop {
            if self.known.is_none() {
                let newest = self.read(Vec::new()).await?;
                self.known = Some(KnownActivity::of(&newest));
                return Ok(message(newest.into_iter().take(FIRST).collect(), false));
            }
            let touched = self.wait().await?;
            let newest = self.read(touched.into_iter().collect()).await?;
            let Some(known) = &mut self.known else { continue };
            let (news, has_gap) = known.take(newest);
            if !news.is_empty() {
                return Ok(message(news, has_gap));
            }
        }
    }

    /// Waits until something may have happened. Answers at which integrations; none named means at any.
    async fn wait(&mut self) -> Result<BTreeSet<IntegrationId>, Status> {
        let stop = self.control.stop.clone();
        let mut touched = BTreeSet::new();
        let first = tokio::select! {
            first = self.changes.recv() => first,
            () = time::sleep(LOOK_AGAIN) => return Ok(touched),
            () = stop.cancelled() => return Err(stopping()),
        };
        match first {
            Ok(change) => touched.extend([change.lane.integration]),
            Err(RecvError::Lagged(_)) => return Ok(BTreeSet::new()),
            Err(RecvError::Closed) => return Err(stopping()),
        }
        tokio::select! {
            () = time::sleep(GATHER) => {}
            () = stop.cancelled() => return Err(stopping()),
        }
        loop {
            match self.changes.try_recv() {
                Ok(change) => touched.extend([change.lane.integration]),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(touched),
                Err(TryRecvError::Lagged(_)) => return Ok(BTreeSet::new()),
            }
        }
    }

    async fn read(&self, integrations: Vec<IntegrationId>) -> Result<Vec<Activity>, Status> {
        let filter = ActivityFilter { company: self.company, integrations, ..ActivityFilter::default() };
        Ok(self.control.store.for_lists().await.activity(&filter, WINDOW).await?)
    }
}

impl KnownActivity {
    fn of(newest: &[Activity]) -> Self {
        Self {
            ids: newest.iter().map(id).collect(),
            oldest: newest.last().map_or(jiff::Timestamp::MIN, Activity::at),
        }
    }

    /// What is news, and whether there may be more of it than was read.
    fn take(&mut self, newest: Vec<Activity>) -> (Vec<Activity>, bool) {
        let read = newest.len();
        let news: Vec<_> = newest
            .into_iter()
            .filter(|activity| activity.at() >= self.oldest && !self.ids.contains(&id(activity)))
            .collect();
        let has_gap = news.len() == read && read >= WINDOW as usize;
        self.ids.extend(news.iter().map(id));
        if self.ids.len() > 100 * WINDOW as usize {
            // Long watched: what was told first is forgotten, and what is older than this message is not news.
            self.oldest = news.last().map_or(self.oldest, Activity::at);
            self.ids = news.iter().map(id).collect();
        }
        (news, has_gap)
    }
}

fn id(activity: &Activity) -> String {
    match &activity.what {
        What::Attempt(attempt) => attempt.id.to_string(),
        What::Act(line) => line.id.to_string(),
    }
}

/// A message of what is newest first, oldest first.
fn message(newest: Vec<Activity>, has_gap: bool) -> v1::WatchActivityResponse {
    let activities = newest.into_iter().rev().map(v1::Activity::from).collect();
    v1::WatchActivityResponse { activities, has_gap }
}

impl From<Activity> for v1::Activity {
    fn from(activity: Activity) -> Self {
        Self {
            at: Some(convert::time(activity.at())),
            company_id: activity.company().0,
            what: Some(match activity.what {
                What::Attempt(attempt) => v1::activity::What::Attempt(Box::new(attempt.into())),
                What::Act(line) => v1::activity::What::Act(line.into()),
            }),
            company_name: activity.company_name,
        }
    }
}
