//! Finishing: what a flush of ended attempts changes, in one statement.

use bytes::Bytes;
use uuid::Uuid;

use super::{Change, DueHint, Error, Store, micros};
use crate::domain::{
    delivery::{State, Transition, Trigger},
    ids::{AttemptId, CompanyId, DeliveryId, IntegrationId, LeadId},
    integration::EventKind,
    outcome::Failure,
};

/// How much of an error is kept.
pub const ERROR_MAX: usize = 500;

/// An attempt as it is stored.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    pub id: AttemptId,
    pub company: CompanyId,
    pub integration: IntegrationId,
    /// None for a test.
    pub lead: Option<LeadId>,
    pub event: EventKind,
    pub number: i32,
    pub trigger: Trigger,
    pub operator: Option<String>,
    /// In microseconds by the database's clock.
    pub started_at: i64,
    pub duration_ms: i32,
    /// None if it delivered.
    pub failure: Option<Failure>,
    /// None if nothing was sent.
    pub sent: Option<Sent>,
    /// None if nothing came back.
    pub answer: Option<Answer>,
    pub config_version: i32,
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
pub struct Answer {
    pub status: i16,
    /// JSON: an array of pairs.
    pub headers: String,
    /// Cut to what is kept.
    pub body: Bytes,
    /// How much was read.
    pub body_bytes: i64,
}

/// An attempt of a delivery that ended, and what follows for the delivery.
#[derive(Clone, Debug)]
pub struct Finished {
    pub claim: i64,
    pub delivery: DeliveryId,
    pub attempt: AttemptRecord,
    pub transition: Transition,
    /// Daemons that died during the delivery's attempts, so far.
    pub deaths: i16,
    /// The body to repeat on a retry, if it is not the event's and not kept yet.
    pub rendered: Option<Bytes>,
}

/// What a flush came to.
#[derive(Clone, Debug, Default)]
pub struct Flushed {
    /// How many attempts were recorded; fewer than given means that this daemon was taken for dead.
    pub recorded: usize,
    /// What became due.
    pub hints: Vec<DueHint>,
    /// Lanes whose target asked for a pause, and until when, in microseconds: no claim gives any of them before.
    pub pauses: Vec<(CompanyId, IntegrationId, i64)>,
}

impl Store {
    /// Records attempts and moves their deliveries, as one transaction. `complete` are claims of which nothing is left.
    ///
    /// Claims that are no longer this daemon's change nothing. A delivery that an operator took out of `pending` keeps
    /// that state, unless the push delivered.
    #[expect(clippy::too_many_lines, reason = "one statement, best read in one piece")]
    pub async fn finish(
        &self,
        daemon: i64,
        finished: &[Finished],
        complete: &[i64],
    ) -> Result<Flushed, Error> {
        let c = Columns::of(finished);
        let h = Health::of(finished);
        let rows = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                SELECT id FROM claim WHERE id = ANY($1::bigint[] || $2::bigint[]) AND daemon_id = $3 FOR KEY SHARE
            ), done AS MATERIALIZED (
                SELECT u.*, 'epoch'::timestamptz + u.started_us * interval '1 microsecond' AS started_at
                FROM unnest(
                    $1::bigint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::int[],
                    $11::text[], $12::text[], $13::bigint[], $14::int[], $15::text[], $16::text[], $17::smallint[],
                    $18::text[], $19::text[], $20::text[], $21::text[], $22::bytea[], $23::bigint[], $24::int[],
                    $25::int[], $26::text[], $27::text[], $28::int[], $29::smallint[], $30::bigint[], $31::bytea[]
                ) u(claim_id, company_id, integration_id, delivery_id, attempt_id, lead_id, event, number,
                    trigger, operator, started_us, duration_ms, class, error, status_code,
                    method, url, request_headers, response_headers, response_body, response_bytes, secret_version,
                    config_version, state, reason, retries, deaths, after_us, rendered)
                JOIN fence ON fence.id = u.claim_id
            ), recorded AS (
                INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger,
                    delivered, class, error, status_code, started_at, duration_ms, method, url, request_headers,
                    response_headers, response_body, response_bytes, secret_version, config_version, operator)
                SELECT company_id, integration_id, attempt_id, delivery_id, lead_id, event, number, trigger,
                    class IS NULL, class, error, status_code, started_at, duration_ms, method, url, request_headers::jsonb,
                    response_headers::jsonb, response_body, response_bytes, secret_version, config_version, operator
                FROM done
                -- Whoever lost the answer of a flush sends it again, and must count nothing twice.
                ON CONFLICT DO NOTHING RETURNING integration_id
            ), moved AS (
                UPDATE delivery d SET
                    attempts = done.number,
                    retries = done.retries,
                    deaths = done.deaths,
                    body = coalesce(d.body, done.rendered),
                    state = CASE WHEN d.state = 'pending' OR done.state = 'delivered' THEN done.state ELSE d.state END,
                    reason = CASE WHEN d.state = 'pending' OR done.state = 'delivered' THEN done.reason ELSE d.reason END,
                    due_at = CASE WHEN d.state = 'pending' AND done.state = 'pending'
                        THEN now() + done.after_us * interval '1 microsecond' END,
                    finished_at = CASE
                        WHEN d.state NOT IN ('pending', 'held') AND done.state <> 'delivered' THEN d.finished_at
                        WHEN done.state = 'delivered' OR (d.state = 'pending' AND done.state = 'dead') THEN now() END
                FROM done
                WHERE d.company_id = done.company_id AND d.id = done.delivery_id AND d.attempts = done.number - 1
                RETURNING d.company_id, d.id, d.integration_id, d.lead_id, d.state, d.due_at, d.successor_id,
                    done.class, done.error
            ), again AS (
                INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
                SELECT company_id, integration_id, 1, due_at, id, 'retry' FROM moved WHERE due_at IS NOT NULL
                UNION ALL
                SELECT company_id, integration_id, 0, now(), successor_id, 'first' FROM moved
                WHERE successor_id IS NOT NULL AND state IN ('delivered', 'dead', 'skipped')
                RETURNING company_id, integration_id, kind, due_at
            ), buried AS (
                INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error)
                SELECT company_id, integration_id, id, lead_id, 'dead', class, error FROM moved WHERE state = 'dead'
                ON CONFLICT DO NOTHING RETURNING integration_id
            ), raised AS (
                DELETE FROM undelivered u USING moved WHERE moved.state = 'delivered' AND u.company_id = moved.company_id
                    AND u.integration_id = moved.integration_id AND u.delivery_id = moved.id
                RETURNING u.integration_id, u.state
            ), health AS MATERIALIZED (
                SELECT h.* FROM unnest($32::bigint[], $33::uuid[], $34::bool[], $35::bigint[], $36::text[], $37::text[],
                    $38::bool[], $39::bigint[])
                    h(company_id, integration_id, pushed, failures, error, class, failing, throttle_us)
                WHERE integration_id IN (SELECT integration_id FROM recorded)
            ), counted AS (
                UPDATE integration_stat s SET
                    last_pushed_at = CASE WHEN h.pushed THEN now() ELSE s.last_pushed_at END,
                    failure_count = s.failure_count + h.failures,
                    dead = s.dead + (SELECT count(*) FROM buried b WHERE b.integration_id = h.integration_id)
                        - (SELECT count(*) FROM raised r WHERE r.integration_id = h.integration_id AND r.state = 'dead'),
                    last_error = coalesce(h.error, s.last_error),
                    last_error_at = CASE WHEN h.error IS NOT NULL THEN now() ELSE s.last_error_at END,
                    last_class = h.class,
                    failing = coalesce(h.failing, s.failing),
                    updated_at = now()
                FROM health h WHERE s.company_id = h.company_id AND s.integration_id = h.integration_id
            ), throttled AS (
                UPDATE integration i SET throttled_until = greatest(
                    i.throttled_until, now() + h.throttle_us * interval '1 microsecond')
                FROM health h
                WHERE h.throttle_us IS NOT NULL AND i.company_id = h.company_id AND i.id = h.integration_id
                RETURNING i.company_id, i.id, i.throttled_until
            ), cleared AS (
                DELETE FROM claim WHERE id = ANY($2) AND daemon_id = $3
            )
            SELECT (SELECT count(*) FROM done) AS "recorded!", told.company_id AS "company_id?",
                told.integration_id AS "integration_id?", told.kind AS "kind?",
                told.at AS "at?: jiff_sqlx::Timestamp"
            FROM (SELECT 1) one LEFT JOIN (
                -- First, so that integrations are locked before their deliveries, as operators' commands do it.
                SELECT company_id, id AS integration_id, NULL::smallint AS kind, throttled_until AS at FROM throttled
                UNION ALL
                SELECT company_id, integration_id, kind, due_at FROM again
            ) told ON true"#,
            &c.claim,
            complete,
            daemon,
            &c.company,
            &c.integration,
            &c.delivery,
            &c.attempt,
            &c.lead as &[Option<Uuid>],
            &c.event as &[&str],
            &c.number,
            &c.trigger as &[&str],
            &c.operator as &[Option<&str>],
            &c.started,
            &c.duration,
            &c.class as &[Option<&str>],
            &c.error as &[Option<String>],
            &c.status as &[Option<i16>],
            &c.method as &[Option<&str>],
            &c.url as &[Option<&str>],
            &c.request_headers as &[Option<&str>],
            &c.response_headers as &[Option<&str>],
            &c.response_body as &[Option<&[u8]>],
            &c.response_bytes as &[Option<i64>],
            &c.secret as &[Option<i32>],
            &c.version,
            &c.state as &[&str],
            &c.reason as &[Option<&str>],
            &c.retries,
            &c.deaths,
            &c.after as &[Option<i64>],
            &c.rendered as &[Option<&[u8]>],
            &h.company,
            &h.integration,
            &h.pushed,
            &h.failures,
            &h.error as &[Option<String>],
            &h.class as &[Option<&str>],
            &h.failing as &[Option<bool>],
            &h.throttle as &[Option<i64>],
        )
        .fetch_all(&self.finishes)
        .await?;
        let mut flushed = Flushed::default();
        for row in rows {
            flushed.recorded = usize::try_from(row.recorded).unwrap_or_default();
            let (Some(company), Some(integration), Some(at)) = (row.company_id, row.integration_id, row.at)
            else {
                continue;
            };
            let (company, integration, at) = (CompanyId(company), integration.into(), micros(at.to_jiff()));
            match row.kind {
                Some(kind) => {
                    let kind = u8::from(kind != 0);
                    flushed.hints.push(DueHint { company, integration, kind, due_at: at });
                }
                None => flushed.pauses.push((company, integration, at)),
            }
        }
        self.hub.due(flushed.hints.clone());
        for (company, integration) in h.company.iter().zip(&h.integration) {
            let (company, integration) = (CompanyId(*company), (*integration).into());
            self.hub.changed(Change { company, integration, config: false });
        }
        Ok(flushed)
    }
}

/// A flush's attempts, a column each, as `unnest` wants them.
#[derive(Default)]
struct Columns<'a> {
    claim: Vec<i64>,
    company: Vec<i64>,
    integration: Vec<Uuid>,
    delivery: Vec<Uuid>,
    attempt: Vec<Uuid>,
    lead: Vec<Option<Uuid>>,
    event: Vec<&'a str>,
    number: Vec<i32>,
    trigger: Vec<&'a str>,
    operator: Vec<Option<&'a str>>,
    started: Vec<i64>,
    duration: Vec<i32>,
    class: Vec<Option<&'a str>>,
    error: Vec<Option<String>>,
    status: Vec<Option<i16>>,
    method: Vec<Option<&'a str>>,
    url: Vec<Option<&'a str>>,
    request_headers: Vec<Option<&'a str>>,
    response_headers: Vec<Option<&'a str>>,
    response_body: Vec<Option<&'a [u8]>>,
    response_bytes: Vec<Option<i64>>,
    secret: Vec<Option<i32>>,
    version: Vec<i32>,
    state: Vec<&'a str>,
    reason: Vec<Option<&'a str>>,
    retries: Vec<i32>,
    deaths: Vec<i16>,
    after: Vec<Option<i64>>,
    rendered: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn of(finished: &'a [Finished]) -> Self {
        let mut columns = Self::default();
        for item in finished {
            columns.push_attempt(&item.attempt);
            columns.claim.push(item.claim);
            columns.delivery.push(item.delivery.uuid());
            columns.deaths.push(item.deaths);
            columns.rendered.push(item.rendered.as_deref());
            let (state, reason, retries, after) = match &item.transition {
                Transition::Delivered => (State::Delivered, None, 0, None),
                Transition::Retry { after, retries, .. } => {
                    (State::Pending, None, *retries, Some(span(*after)))
                }
                Transition::Dead { reason, .. } => (State::Dead, Some(reason.as_str()), 0, None),
            };
            columns.state.push(state.as_str());
            columns.reason.push(reason);
            columns.retries.push(i32::try_from(retries).unwrap_or(i32::MAX));
            columns.after.push(after);
        }
        columns
    }

    fn push_attempt(&mut self, attempt: &'a AttemptRecord) {
        self.company.push(attempt.company.0);
        self.integration.push(attempt.integration.uuid());
        self.attempt.push(attempt.id.uuid());
        self.lead.push(attempt.lead.map(LeadId::uuid));
        self.event.push(attempt.event.as_str());
        self.number.push(attempt.number);
        self.trigger.push(attempt.trigger.as_str());
        self.operator.push(attempt.operator.as_deref());
        self.started.push(attempt.started_at);
        self.duration.push(attempt.duration_ms);
        self.class.push(attempt.failure.as_ref().map(|failure| failure.class.as_str()));
        self.error.push(attempt.failure.as_ref().map(|failure| storable(&failure.error)));
        self.version.push(attempt.config_version);
        let sent = attempt.sent.as_ref();
        self.method.push(sent.map(|sent| sent.method.as_str()));
        self.url.push(sent.map(|sent| sent.url.as_str()));
        self.request_headers.push(sent.map(|sent| sent.headers.as_str()));
        self.secret.push(sent.and_then(|sent| sent.secret_version));
        let answer = attempt.answer.as_ref();
        self.status.push(answer.map(|answer| answer.status));
        self.response_headers.push(answer.map(|answer| answer.headers.as_str()));
        self.response_body.push(answer.map(|answer| &answer.body[..]));
        self.response_bytes.push(answer.map(|answer| answer.body_bytes));
    }
}

/// What a flush means for the health of each integration in it, in the order of their ids.
#[derive(Default)]
struct Health<'a> {
    company: Vec<i64>,
    integration: Vec<Uuid>,
    pushed: Vec<bool>,
    failures: Vec<i64>,
    error: Vec<Option<String>>,
    class: Vec<Option<&'a str>>,
    failing: Vec<Option<bool>>,
    throttle: Vec<Option<i64>>,
}

impl<'a> Health<'a> {
    fn of(finished: &'a [Finished]) -> Self {
        let mut order: Vec<&Finished> = finished.iter().collect();
        // Two daemons that lock rows in the same order cannot lock each other out. The sort is stable: within an
        // integration, attempts stay in the order in which they ended.
        order.sort_by_key(|item| item.attempt.integration);
        let mut health = Self::default();
        for item in order {
            health.add(item);
        }
        health
    }

    fn add(&mut self, item: &'a Finished) {
        let id = item.attempt.integration.uuid();
        if self.integration.last() != Some(&id) {
            self.company.push(item.attempt.company.0);
            self.integration.push(id);
            self.pushed.push(false);
            self.failures.push(0);
            self.error.push(None);
            self.class.push(None);
            self.failing.push(None);
            self.throttle.push(None);
        }
        let last = self.integration.len() - 1;
        self.class[last] = item.attempt.failure.as_ref().map(|failure| failure.class.as_str());
        if let Some(failure) = &item.attempt.failure {
            self.failures[last] += 1;
            self.error[last] = Some(storable(&failure.error));
        }
        let wait = match &item.transition {
            Transition::Delivered => {
                self.pushed[last] = true;
                self.failing[last] = Some(false);
                None
            }
            Transition::Dead { throttle, .. } => {
                self.failing[last] = Some(true);
                *throttle
            }
            Transition::Retry { after, throttle, .. } => throttle.then_some(*after),
        };
        self.throttle[last] = self.throttle[last].max(wait.map(span));
    }
}

fn span(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// An error as it fits its column: one that holds NUL or is too long would fail the whole flush.
pub(super) fn storable(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(ERROR_MAX).collect()
}
