//! Finishing: what a flush of ended attempts changes, in one statement.

use std::{borrow::Borrow, collections::HashMap, time::Duration};

use bytes::Bytes;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::Transition,
        ids::{AttemptId, CompanyId},
        lane::LaneId,
        moment::Moment,
        outcome::{Failure, Outcome},
    },
    store::{
        Change, DueHint, Error, LOCK_GAP, Store,
        delivery::calls::CallRecord,
        lane_kind, moment,
        queue::{
            claim::{Claimed, PendingDelivery},
            undelivered,
        },
        wait_for_locks,
    },
    telemetry,
};

mod columns;

use columns::{Columns, HealthColumns};

/// How long what arrived is tried to be taken from what is undelivered; the look for ghosts finds what is left. A lock is
/// waited for only so long by one try: a flush has no time, as others wait behind it.
const FORGET_PATIENCE: Duration = Duration::from_secs(5);
const FORGET_TRY: &str = "100ms";
const FORGET_IN_FLUSH: &str = "1ms";

/// How much of an error is kept.
pub const ERROR_MAX: usize = 500;

/// What an attempt came to, fit to be stored.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    pub outcome: Outcome,
    pub took: Duration,
    /// None if nothing was sent.
    pub sent: Option<Sent>,
    /// None if nothing came back.
    pub answer: Option<KeptResponse>,
    /// Each call, where those two and the body do not tell of the only one.
    pub calls: Vec<CallRecord>,
    /// What is to be known of it though it did not fail.
    pub note: Option<String>,
    /// What every repeat is made from: what was rendered, or the body of the one request. None if it is kept already.
    pub body: Option<Bytes>,
}

impl AttemptResult {
    /// A failure before anything was sent.
    #[must_use]
    pub fn nothing(failure: Failure) -> Self {
        Self::without_call(Outcome::Failed(failure))
    }

    /// What needed no call.
    #[must_use]
    pub fn without_call(outcome: Outcome) -> Self {
        let (took, calls) = (Duration::ZERO, Vec::new());
        Self { outcome, took, sent: None, answer: None, calls, note: None, body: None }
    }

    /// Leaves out all that others had a hand in, but for what it came to.
    pub fn strip(&mut self) {
        (self.sent, self.answer, self.calls) = (None, None, Vec::new());
        (self.note, self.body) = (None, None);
    }

    /// How long it took, in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> i32 {
        i32::try_from(self.took.as_millis()).unwrap_or(i32::MAX)
    }
}

/// What was sent last, credentials shortened.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub url: String,
    /// JSON: an array of pairs.
    pub headers: String,
    pub secret_version: Option<i32>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct KeptResponse {
    pub status: i16,
    /// JSON: an array of pairs.
    pub headers: String,
    /// Cut to what is kept.
    pub body: Bytes,
    /// How much was read.
    pub body_bytes: i64,
}

/// A claimed delivery whose attempt has ended, and what follows for it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was claimed; its delivery stands beside it.
    pub claimed: Claimed,
    /// Its bodies are not needed any more, and its crashes count this attempt's.
    pub pending: PendingDelivery,
    /// The body is left out where it is the event's, or kept already.
    pub result: AttemptResult,
    pub transition: Transition,
    /// The version of the integration that it was pushed with.
    pub config_version: i32,
    /// Whether what was sent is the event's own bytes.
    pub verbatim: bool,
}

/// What a flush came to.
#[derive(Clone, Debug, Default)]
pub struct FinishedFlush {
    /// How many attempts were recorded; fewer than given means that this daemon was taken for dead.
    pub recorded: usize,
    /// What became due.
    pub hints: Vec<DueHint>,
    /// Lanes whose target asked for a pause, and until when: no claim gives any of them before.
    pub pauses: Vec<(LaneId, Moment)>,
    /// The breakers of the lanes, with the time until which each is open; none if it is closed.
    pub breakers: Vec<(LaneId, Option<Moment>)>,
    /// Attempts that are not written, because somebody has locked their delivery or another of the lane: they, and the
    /// claims that hold them, are as they were.
    pub left: Vec<AttemptId>,
    /// What arrived and may be listed as undelivered still, because somebody has locked that.
    pub listed: Vec<ListedArrivals>,
}

/// Deliveries of a company that arrived, with their integrations, while they may be listed as undelivered.
#[derive(Clone, Debug)]
pub struct ListedArrivals {
    pub company: CompanyId,
    integrations: Vec<Uuid>,
    deliveries: Vec<Uuid>,
}

/// A row of the statement's answer: what it tells, and of what.
struct FinishRow {
    /// recorded | pause | due | breaker | arrived | unseen | left
    what: String,
    company_id: Option<i64>,
    integration_id: Option<Uuid>,
    /// A delivery that arrived, an attempt that is left.
    id: Option<Uuid>,
    /// The kind of a due row; how many are recorded.
    kind: Option<i16>,
    at: Option<jiff_sqlx::Timestamp>,
}

impl Store {
    /// Records attempts and moves their deliveries, as one transaction. `complete` are claims of which nothing is left.
    ///
    /// Claims that are no longer this daemon's change nothing. A delivery that an operator took out of `pending` keeps
    /// that state, unless the push delivered.
    pub async fn finish<F: Borrow<Finished> + Sync>(
        &self,
        daemon: i64,
        finished: &[F],
        complete: &[i64],
    ) -> Result<FinishedFlush, Error> {
        let finished: Vec<&Finished> = finished.iter().map(Borrow::borrow).collect();
        let (c, h) = (Columns::of(&finished), HealthColumns::of(&finished));
        let rows = self.write_finished(daemon, complete, &c, &h).await?;
        let mut flushed = FinishedFlush::default();
        let mut arrived: HashMap<CompanyId, (Vec<Uuid>, Vec<Uuid>)> = HashMap::new();
        for row in rows {
            if row.what == "recorded" {
                flushed.recorded = row.kind.map_or(0, |count| usize::from(count.unsigned_abs()));
            }
            let (Some(company), Some(integration)) = (row.company_id, row.integration_id) else { continue };
            let lane = LaneId::new(CompanyId(company), integration);
            let at = row.at.map(moment);
            match (&*row.what, row.id, row.kind, at) {
                ("pause", .., Some(until)) => flushed.pauses.push((lane, until)),
                ("breaker", .., until) => flushed.breakers.push((lane, until)),
                ("due", _, Some(kind), Some(due_at)) => {
                    flushed.hints.push(DueHint { lane, kind: lane_kind(kind)?, due_at });
                }
                ("left", Some(attempt), ..) => flushed.left.push(attempt.into()),
                ("unseen", Some(delivery), _, Some(due_at)) => self.note_due(lane, delivery, due_at).await,
                ("arrived", Some(delivery), ..) => {
                    let (integrations, deliveries) = arrived.entry(lane.company).or_default();
                    integrations.push(integration);
                    deliveries.push(delivery);
                }
                _ => return Err(Error::Corrupt("finish")),
            }
        }
        for (company, (integrations, deliveries)) in arrived {
            let arrivals = ListedArrivals { company, integrations, deliveries };
            let forgetting = async {
                let mut db = self.finishes.take().await?;
                let answer = timeout(self.silence_max, try_forget(&mut db, &arrivals, FORGET_IN_FLUSH)).await;
                db.heard(answer)
            };
            if let Err(error) = forgetting.await {
                // The flush is committed: what it says must be heard all the same.
                tracing::debug!(error = telemetry::causes(&error), %company, "what arrived is listed for a while");
                flushed.listed.push(arrivals);
            }
        }
        self.wake_ups.due(flushed.hints.clone());
        for (company, integration) in h.company.iter().zip(&h.integration) {
            let lane = LaneId::new(CompanyId(*company), *integration);
            self.wake_ups.changed(Change { lane, config: false });
        }
        Ok(flushed)
    }

    /// Notes when a delivery is due that a flush queued without seeing it. Lists alone go by it, and the push notes it too.
    async fn note_due(&self, lane: LaneId, delivery: Uuid, due_at: Moment) {
        let noted = sqlx::query!(
            "UPDATE delivery SET due_at = 'epoch'::timestamptz + $3 * interval '1 microsecond',
                 reason_code = NULL, reason_detail = NULL
             WHERE company_id = $1 AND state = 'pending' AND due_at IS NULL AND id = (
                 SELECT id FROM delivery WHERE company_id = $1 AND id = $2 FOR NO KEY UPDATE SKIP LOCKED)",
            lane.company.0,
            delivery,
            due_at.as_micros() as f64,
        );
        let noting = async {
            let mut db = self.finishes.take().await?;
            let answer = timeout(self.silence_max, noted.execute(&mut *db)).await;
            db.heard(answer)
        };
        if let Err(error) = noting.await {
            tracing::debug!(error = telemetry::causes(&error), "a delivery is listed as if it waited");
        }
    }

    /// Takes away what has arrived from what is undelivered, as soon as nobody holds that any more. What is held for longer
    /// is left to the look for such rows.
    pub async fn forget_arrived(&self, arrivals: &ListedArrivals) -> Result<(), Error> {
        let deadline = Instant::now() + FORGET_PATIENCE;
        loop {
            let forgetting =
                async { try_forget(&mut *self.pool.acquire().await?, arrivals, FORGET_TRY).await };
            match forgetting.await {
                Err(error) if error.is_passing() && Instant::now() < deadline => sleep(LOCK_GAP).await,
                done => return done,
            }
        }
    }

    async fn write_finished(
        &self,
        daemon: i64,
        complete: &[i64],
        c: &Columns<'_>,
        h: &HealthColumns<'_>,
    ) -> Result<Vec<FinishRow>, Error> {
        let query = sqlx::query_file_as!(
            FinishRow,
            "src/store/queue/finish.sql",
            &c.claim,
            complete,
            daemon,
            &c.company,
            &c.integration,
            &c.delivery,
            &c.attempt,
            &c.number,
            &c.class as &[Option<&str>],
            &c.error as &[Option<String>],
            &c.state as &[&str],
            &c.reason_code as &[Option<String>],
            &c.retries,
            &c.crashes,
            &c.after as &[Option<i64>],
            &c.rendered as &[Option<&[u8]>],
            &c.verbatim,
            &c.swept,
            &c.lead as &[Option<Uuid>],
            &c.event as &[&str],
            &c.trigger as &[&str],
            &c.operator as &[Option<&str>],
            &c.started,
            &c.duration,
            &c.status as &[Option<i16>],
            &c.method as &[Option<&str>],
            &c.url as &[Option<&str>],
            &c.request_headers as &[Option<&str>],
            &c.response_headers as &[Option<&str>],
            &c.response_body as &[Option<&[u8]>],
            &c.response_bytes as &[Option<i64>],
            &c.secret as &[Option<i32>],
            &c.version,
            &h.company,
            &h.integration,
            &h.has_news,
            &h.pushed,
            &h.failures,
            &h.error as &[Option<String>],
            &h.class as &[Option<&str>],
            &h.failing as &[Option<bool>],
            &h.throttle as &[Option<i64>],
            &h.up,
            &h.down,
            self.sweep.interval.as_secs_f64(),
            self.sweep.age.as_secs_f64(),
            &c.reason_detail as &[Option<String>],
            &c.waits,
            &c.calls as &[Option<String>],
            &c.note as &[Option<String>],
        );
        let mut db = self.finishes.take().await?;
        let answer = timeout(self.silence_max, query.fetch_all(&mut *db)).await;
        db.heard(answer)
    }
}

async fn try_forget(
    db: &mut PgConnection,
    arrivals: &ListedArrivals,
    lock_timeout: &str,
) -> Result<(), Error> {
    let ListedArrivals { company, integrations, deliveries } = arrivals;
    let mut tx = db.begin().await?;
    let done = async {
        wait_for_locks(&mut tx, lock_timeout).await?;
        undelivered::forget(&mut tx, *company, integrations, deliveries).await
    };
    match done.await {
        Ok(()) => Ok(tx.commit().await?),
        // The connection goes on to the next flush.
        Err(error) => {
            tx.rollback().await?;
            Err(error)
        }
    }
}

/// An error as it fits its column: one that holds NUL or is too long would fail the whole flush.
pub(in crate::store) fn storable_error(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(ERROR_MAX).collect()
}
