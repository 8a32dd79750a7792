//! Finishing: what a flush of ended attempts changes, in one statement.

use bytes::Bytes;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    domain::{
        breaker,
        delivery::{Transition, Trigger},
        ids::{AttemptId, CompanyId, DeliveryId, IntegrationId, LeadId},
        integration::EventKind,
        outcome::Failure,
    },
    store::{Change, DueHint, Error, Store, heard, micros},
};

mod columns;

use columns::{Columns, Health};

/// How much of an error is kept.
pub const ERROR_MAX: usize = 500;
/// What tells breakers from kinds of due rows in a finish's answer.
const BREAKER: i16 = 9;

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
    /// Whether what was sent is the event's own bytes.
    pub verbatim: bool,
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
    /// The breakers of the lanes, with the time until which each is open; none if it is closed.
    pub breakers: Vec<(CompanyId, IntegrationId, Option<i64>)>,
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
        let query = sqlx::query!(
            r#"WITH fence AS MATERIALIZED (
                SELECT id FROM claim WHERE id = ANY($1::bigint[] || $2::bigint[]) AND daemon_id = $3 FOR KEY SHARE
            ), done AS MATERIALIZED (
                SELECT u.*, 'epoch'::timestamptz + u.started_us * interval '1 microsecond' AS started_at
                FROM unnest(
                    $1::bigint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::int[],
                    $11::text[], $12::text[], $13::bigint[], $14::int[], $15::text[], $16::text[], $17::smallint[],
                    $18::text[], $19::text[], $20::text[], $21::text[], $22::bytea[], $23::bigint[], $24::int[],
                    $25::int[], $26::text[], $27::text[], $28::int[], $29::smallint[], $30::bigint[], $31::bytea[],
                    $32::bool[], $33::bool[]
                ) u(claim_id, company_id, integration_id, delivery_id, attempt_id, lead_id, event, number,
                    trigger, operator, started_us, duration_ms, class, error, status_code,
                    method, url, request_headers, response_headers, response_body, response_bytes, secret_version,
                    config_version, state, reason, retries, deaths, after_us, rendered, verbatim, is_swept)
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
            ), standing AS MATERIALIZED (
                -- As they are before: who waits behind one that becomes final is handed on once, by whoever makes it so.
                SELECT d.company_id, d.id, d.successor_id FROM done
                JOIN delivery d ON d.company_id = done.company_id AND d.id = done.delivery_id
                ORDER BY d.id FOR UPDATE OF d
            ), moved AS (
                UPDATE delivery d SET
                    attempts = done.number,
                    retries = done.retries,
                    deaths = done.deaths,
                    body = coalesce(d.body, done.rendered),
                    verbatim = d.verbatim OR done.verbatim,
                    state = CASE WHEN d.state = 'pending' OR done.state = 'delivered' THEN done.state ELSE d.state END,
                    reason = CASE WHEN d.state = 'pending' OR done.state = 'delivered' THEN done.reason ELSE d.reason END,
                    due_at = CASE WHEN d.state = 'pending' AND done.state = 'pending'
                        THEN now() + done.after_us * interval '1 microsecond' END,
                    successor_id = CASE WHEN d.state = 'held' AND done.state <> 'delivered'
                        OR d.state = 'pending' AND done.state = 'pending' THEN d.successor_id END,
                    finished_at = CASE
                        WHEN d.state NOT IN ('pending', 'held') AND done.state <> 'delivered' THEN d.finished_at
                        WHEN done.state IN ('delivered', 'dead', 'skipped') AND (d.state = 'pending' OR done.state = 'delivered')
                            THEN now() END
                FROM done JOIN standing s ON s.company_id = done.company_id AND s.id = done.delivery_id
                WHERE d.company_id = done.company_id AND d.id = done.delivery_id AND d.attempts = done.number - 1
                RETURNING d.company_id, d.id, d.integration_id, d.lead_id, d.event, d.automatic, d.state, d.due_at,
                    d.created_at, s.successor_id, done.class, done.error, done.is_swept
            ), woken AS (
                -- Whatever it was when this statement began: what was held then may have been released meanwhile.
                UPDATE delivery d SET due_at = CASE WHEN d.state = 'pending' THEN now() ELSE d.due_at END,
                    reason = CASE WHEN d.state = 'pending' THEN NULL ELSE d.reason END
                FROM moved WHERE moved.state IN ('delivered', 'dead', 'skipped')
                    AND d.company_id = moved.company_id AND d.id = moved.successor_id
                RETURNING d.company_id, d.integration_id, d.id, d.state, d.due_at, d.attempts
            ), again AS (
                INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
                SELECT company_id, integration_id, 1, due_at, id, 'retry' FROM moved WHERE due_at IS NOT NULL
                UNION ALL
                SELECT company_id, integration_id, least(attempts, 1), due_at, id,
                    CASE WHEN attempts > 0 THEN 'retry' ELSE 'first' END FROM woken WHERE state = 'pending'
                UNION ALL
                -- An update that was committed while this statement waited for the lock is linked but not seen here:
                -- it is new, and nobody else would ever hand it on.
                SELECT company_id, integration_id, 0, now(), successor_id, 'first' FROM moved
                WHERE state IN ('delivered', 'dead', 'skipped') AND successor_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM delivery d
                        WHERE d.company_id = moved.company_id AND d.id = moved.successor_id)
                RETURNING company_id, integration_id, kind, due_at
            ), superseded AS (
                -- The first event of a lead has nothing before it, unless an operator pushed it again.
                UPDATE delivery d SET state = 'skipped', finished_at = now(), due_at = NULL,
                    reason = 'superseded by a later push'
                FROM moved WHERE moved.state = 'delivered' AND (moved.event <> 'lead.created' OR NOT moved.automatic)
                    AND d.company_id = moved.company_id AND d.lead_id = moved.lead_id
                    AND d.integration_id = moved.integration_id AND d.state = 'dead'
                    AND (d.created_at, d.id) < (moved.created_at, moved.id)
                RETURNING d.company_id, d.integration_id, d.id
            ), buried AS (
                INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, due_at)
                SELECT company_id, integration_id, id, lead_id, 'dead', class, error,
                    CASE WHEN is_swept AND now() + $34 * interval '1 second' < created_at + $35 * interval '1 second'
                        THEN now() + $34 * interval '1 second' END
                FROM moved WHERE state = 'dead'
                ON CONFLICT DO NOTHING RETURNING integration_id, due_at
            ), raised AS (
                DELETE FROM undelivered u USING (
                    SELECT company_id, integration_id, id FROM moved WHERE state = 'delivered'
                    UNION ALL SELECT company_id, integration_id, id FROM superseded
                ) gone WHERE u.company_id = gone.company_id AND u.integration_id = gone.integration_id
                    AND u.delivery_id = gone.id
                RETURNING u.integration_id, u.state
            ), health AS MATERIALIZED (
                SELECT h.* FROM unnest($36::bigint[], $37::uuid[], $38::bool[], $39::bigint[],
                    $40::text[], $41::text[], $42::bool[], $43::bigint[], $44::bool[], $45::int[])
                    h(company_id, integration_id, pushed, failures, error, class, failing, throttle_us, is_up, down)
                WHERE integration_id IN (SELECT integration_id FROM recorded)
            ), counted AS (
                UPDATE integration_stat s SET
                    last_pushed_at = CASE WHEN h.pushed THEN now() ELSE s.last_pushed_at END,
                    failure_count = s.failure_count + h.failures,
                    dead = s.dead + h.dead - h.raised,
                    last_error = coalesce(h.error, s.last_error),
                    last_error_at = CASE WHEN h.error IS NOT NULL THEN now() ELSE s.last_error_at END,
                    last_class = h.class,
                    failing = coalesce(h.failing, s.failing),
                    sweep_at = coalesce(s.sweep_at, h.swept),
                    -- domain/breaker.rs says the same in words that are tested: Breaker::after.
                    streak = h.down + CASE WHEN h.is_up THEN 0 ELSE s.streak END,
                    trips = CASE WHEN h.is_up THEN 0 ELSE s.trips END + CASE
                        WHEN h.down > 0 AND h.down + CASE WHEN h.is_up THEN 0 ELSE s.streak END >= $46
                            AND (h.is_up OR s.breaker_until IS NULL OR s.breaker_until <= now()) THEN 1 ELSE 0 END,
                    breaker_until = CASE
                        WHEN h.down > 0 AND h.down + CASE WHEN h.is_up THEN 0 ELSE s.streak END >= $46
                            AND (h.is_up OR s.breaker_until IS NULL OR s.breaker_until <= now())
                        THEN now() + least($47 * 2 ^ CASE WHEN h.is_up THEN 0 ELSE least(s.trips, 10) END, $48)
                            * interval '1 second'
                        WHEN NOT h.is_up THEN s.breaker_until END,
                    breaker_error = CASE WHEN h.down > 0 THEN coalesce(h.error, s.breaker_error)
                        WHEN NOT h.is_up THEN s.breaker_error END,
                    updated_at = now()
                FROM (SELECT h.*, b.dead, b.swept, r.raised FROM health h
                    CROSS JOIN LATERAL (SELECT count(*) AS dead, min(due_at) AS swept FROM buried b
                        WHERE b.integration_id = h.integration_id) b
                    CROSS JOIN LATERAL (SELECT count(*) AS raised FROM raised r
                        WHERE r.integration_id = h.integration_id AND r.state = 'dead') r
                ) h WHERE s.company_id = h.company_id AND s.integration_id = h.integration_id
                RETURNING s.company_id, s.integration_id, s.breaker_until
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
                UNION ALL
                SELECT company_id, integration_id, $49::smallint, breaker_until FROM counted
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
            &c.verbatim,
            &c.swept,
            self.sweep.interval.as_secs_f64(),
            self.sweep.age.as_secs_f64(),
            &h.company,
            &h.integration,
            &h.pushed,
            &h.failures,
            &h.error as &[Option<String>],
            &h.class as &[Option<&str>],
            &h.failing as &[Option<bool>],
            &h.throttle as &[Option<i64>],
            &h.up,
            &h.down,
            breaker::THRESHOLD,
            breaker::FIRST_WAIT.as_secs_f64(),
            breaker::WAIT_MAX.as_secs_f64(),
            BREAKER,
        );
        let mut db = self.finishes.acquire().await?;
        let answer = timeout(self.silence_max, query.fetch_all(&mut *db)).await;
        let rows = heard(db, answer)?;
        let mut flushed = Flushed::default();
        for row in rows {
            flushed.recorded = usize::try_from(row.recorded).unwrap_or_default();
            let (Some(company), Some(integration)) = (row.company_id, row.integration_id) else { continue };
            let (company, integration) = (CompanyId(company), integration.into());
            match (row.kind, row.at.map(|at| micros(at.to_jiff()))) {
                (Some(BREAKER), until) => flushed.breakers.push((company, integration, until)),
                (Some(kind), Some(due_at)) => {
                    flushed.hints.push(DueHint { company, integration, kind: u8::from(kind != 0), due_at });
                }
                (None, Some(until)) => flushed.pauses.push((company, integration, until)),
                (_, None) => {}
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

/// An error as it fits its column: one that holds NUL or is too long would fail the whole flush.
pub(in crate::store) fn storable(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(ERROR_MAX).collect()
}
