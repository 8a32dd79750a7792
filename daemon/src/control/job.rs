//! Jobs: how far they are, and their end before the end.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use leadline_proto::v1::{self, job_service_server::JobService};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status};

use super::{Control, Reply, attempt::stopping, check, words};
use crate::{
    domain::{ids::JobId, why},
    store::{
        job::{JobPlace, JobScope, JobView},
        operator::{
            command::Refusal,
            refusal::{Known, RefusalReason},
        },
    },
};

/// How often a job that is watched is looked at, at most.
const LOOK: Duration = Duration::from_millis(500);
/// A watcher waits so many times as long as its last look took: the deliveries of a large job take a while to count.
const REST: u32 = 10;

type JobStream = Pin<Box<dyn Stream<Item = Result<v1::WatchJobResponse, Status>> + Send>>;

#[tonic::async_trait]
impl JobService for Control {
    type WatchJobStream = JobStream;

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Reply<v1::ListJobsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let only = self.store.find_optional_company(check::optional(&request.company)).await?;
        let jobs = self.store.jobs(only, check::behind(after)?, limit).await?;
        let next_page_token = words::next_page(&jobs, limit, |job| job.id.to_string());
        let jobs = jobs.into_iter().map(v1::Job::from).collect();
        Ok(Response::new(v1::ListJobsResponse { jobs, next_page_token }))
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Reply<v1::GetJobResponse> {
        let id = check::id("job", &request.get_ref().id)?;
        Ok(Response::new(v1::GetJobResponse { job: Some(self.store.job(id).await?.into()) }))
    }

    async fn watch_job(&self, request: Request<v1::WatchJobRequest>) -> Reply<Self::WatchJobStream> {
        let id: JobId = check::id("job", &request.get_ref().id)?;
        let first: v1::Job = self.store.job(id).await?.into();
        let watcher = JobWatcher { control: self.clone(), id, sent: None, next: Some(first), gap: LOOK };
        Ok(Response::new(Box::pin(stream::try_unfold(watcher, |mut watcher| async move {
            let progress = watcher.next().await?;
            Ok(progress.map(|job| (v1::WatchJobResponse { job: Some(job) }, watcher)))
        }))))
    }

    async fn cancel_job(&self, request: Request<v1::CancelJobRequest>) -> Reply<v1::CancelJobResponse> {
        let id: JobId = check::id("job", &request.get_ref().id)?;
        self.store.job(id).await?;
        let store = self.store.clone();
        self.mutate(request, |mut command, _| async move {
            for company in command.cancel_job(id).await? {
                let after = json!({ "state": "cancelled" });
                command.audit(company, &format!("job {id}"), None, Some(after)).await?;
            }
            Ok((command, v1::CancelJobResponse::default()))
        })
        .await?;
        Ok(Response::new(v1::CancelJobResponse { job: Some(store.job(id).await?.into()) }))
    }

    async fn resume_job(&self, request: Request<v1::ResumeJobRequest>) -> Reply<v1::ResumeJobResponse> {
        let id: JobId = check::id("job", &request.get_ref().id)?;
        self.store.job(id).await?;
        let store = self.store.clone();
        self.mutate(request, |mut command, _| async move {
            for company in command.resume_job(id).await? {
                let after = json!({ "state": "running" });
                command.audit(company, &format!("job {id}"), None, Some(after)).await?;
            }
            Ok((command, v1::ResumeJobResponse::default()))
        })
        .await?;
        Ok(Response::new(v1::ResumeJobResponse { job: Some(store.job(id).await?.into()) }))
    }
}

/// How many a second, if a request limits that.
pub(super) fn per_second(asked: Option<f64>) -> Result<Option<f64>, Refusal> {
    match asked {
        Some(rate) if !(0.001..=10_000.0).contains(&rate) => {
            check::invalid(format!("per_second {rate}: give 0.001 to 10000"))
        }
        asked => Ok(asked),
    }
}

/// Who watches a job.
struct JobWatcher {
    control: Control,
    id: JobId,
    sent: Option<v1::Job>,
    next: Option<v1::Job>,
    /// How long until the next look.
    gap: Duration,
}

impl JobWatcher {
    /// The next change; none behind the last one.
    async fn next(&mut self) -> Result<Option<v1::Job>, Status> {
        loop {
            if self.sent.as_ref().is_some_and(|sent| sent.state() != v1::JobState::Running) {
                return Ok(None);
            }
            let now = match self.next.take() {
                Some(first) => first,
                None => {
                    tokio::select! {
                        () = self.control.stop.cancelled() => return Err(stopping()),
                        () = sleep(self.gap) => {}
                    }
                    let began = Instant::now();
                    let now = self.control.store.job(self.id).await?.into();
                    self.gap = LOOK.max(began.elapsed() * REST);
                    now
                }
            };
            if self.sent.as_ref() != Some(&now) {
                self.sent = Some(now.clone());
                return Ok(Some(now));
            }
            self.refuse_to_wait().await?;
        }
    }

    /// Ends the watch of a job that goes no further until somebody acts.
    async fn refuse_to_wait(&self) -> Result<(), Refusal> {
        let (store, id) = (&self.control.store, self.id);
        let (subject, why) = match store.kept_of_job(id).await? {
            Some(kept) => {
                let why = why::idle_reason(&store.facts(kept).await?);
                (format!("its delivery {kept}: "), why)
            }
            None => {
                let lane = store.closed_lane_of_job(id).await?;
                (String::new(), lane.as_ref().and_then(why::idle_lane))
            }
        };
        let Some(why) = why else { return Ok(()) };
        let message = format!("job {id} goes no further for now, as {subject}{}", why.text);
        Err(Known::new(RefusalReason::JobStandsStill, message).about("job", id).with_next(&why).into())
    }
}

impl From<JobView> for v1::Job {
    fn from(job: JobView) -> Self {
        let count = |number: i64| number.max(0).unsigned_abs();
        Self {
            id: job.id.to_string(),
            state: v1::JobState::from_word(job.state.as_str()).unwrap_or_default().into(),
            operator: job.operator,
            total: count(job.total),
            released: count(job.released),
            left_alone: count(job.left_alone),
            pending: count(job.pending),
            delivered: count(job.delivered),
            dead: count(job.dead),
            created_at: Some(super::convert::time(job.created_at)),
            finished_at: job.finished_at.map(super::convert::time),
            re_render: job.re_render,
            kind: v1::JobKind::from_word(job.kind.as_str()).unwrap_or_default().into(),
            leads: job.leads.map(count),
            per_second: job.per_second,
            filter: job.scope.map(v1::JobFilter::from),
            integrations: job.lanes.into_iter().map(v1::JobIntegration::from).collect(),
        }
    }
}

impl From<JobPlace> for v1::JobIntegration {
    fn from(place: JobPlace) -> Self {
        Self {
            id: place.lane.integration.to_string(),
            name: place.name,
            company_id: place.lane.company.0,
            company_name: place.company_name,
            total: place.total.max(0).unsigned_abs(),
        }
    }
}

impl From<JobScope> for v1::JobFilter {
    fn from(JobScope { filter, has_error }: JobScope) -> Self {
        let window = |since: Option<jiff::Timestamp>, until: Option<jiff::Timestamp>| {
            let is_set = since.is_some() || until.is_some();
            is_set.then(|| v1::Window {
                since: since.map(super::convert::time),
                until: until.map(super::convert::time),
            })
        };
        Self {
            states: filter.states.iter().map(|state| words::delivery_state(*state).into()).collect(),
            failure_class: filter.class.map_or(v1::FailureClass::Unspecified, words::failure_class).into(),
            cause: filter.cause.map(|cause| cause.to_string()).unwrap_or_default(),
            lead: filter.lead.map(|lead| lead.to_string()).unwrap_or_default(),
            job_id: filter.job.map(|job| job.to_string()).unwrap_or_default(),
            waiting: filter.waiting,
            at: window(filter.since, filter.until),
            died: window(filter.died_since, filter.died_until),
            has_error,
        }
    }
}
