//! The queue: which lanes have something due, and who works on what.
//!
//! `ARCHITECTURE.md` tells why it looks as it does. In short: a row of `due` lives only while nobody works on it; a claim
//! deletes due rows of the lanes it names and writes one `claim` row; the fence is the row of the daemon.

use bytes::Bytes;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::Trigger,
        ids::{AttemptId, CompanyId, DeliveryId, IntegrationId, LeadId},
        integration::EventKind,
    },
    store::{DueHint, Error, Store, micros},
};

/// The settings under which every claim runs. A plan made while the queue was empty would read all of a full one.
const PINNED_PLANS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET jit = off; SET synchronous_commit = off";

/// What a claim asks of one kind of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub company: CompanyId,
    pub integration: IntegrationId,
    pub kind: u8,
    /// How many rows at most.
    pub room: i32,
    /// No row of it is due earlier: the scan starts here, behind the dead rows of earlier claims.
    pub watermark: i64,
}

/// A row of the queue, as far as a hint tells of it.
struct DueRow {
    company_id: i64,
    integration_id: Uuid,
    kind: i16,
    due_at: jiff_sqlx::Timestamp,
}

impl From<DueRow> for DueHint {
    fn from(row: DueRow) -> Self {
        Self {
            company: CompanyId(row.company_id),
            integration: row.integration_id.into(),
            kind: u8::from(row.kind != 0),
            due_at: micros(row.due_at.to_jiff()),
        }
    }
}

/// Until when a lane waits by itself, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Its target asked for a pause.
    pub throttled_until: Option<i64>,
    /// Its breaker is not closed: half-open from then on.
    pub breaker_until: Option<i64>,
}

/// A delivery that this daemon works on now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The life under which it was claimed: no other may finish it.
    pub daemon: i64,
    pub claim: i64,
    /// It was a dead daemon's: that attempt died.
    pub is_adopted: bool,
    /// When, by the database's clock, in microseconds: the start of the attempt.
    pub claimed_at: i64,
    pub company: CompanyId,
    pub integration: IntegrationId,
    pub kind: u8,
    pub due_at: i64,
    pub attempt: AttemptId,
    pub delivery: DeliveryId,
    pub trigger: Trigger,
    pub operator: Option<String>,
    /// None if the delivery is no longer pending: nothing is left to do.
    pub pending: Option<Pending>,
}

/// A claimed delivery that is to be pushed.
#[derive(Clone, Debug)]
pub struct Pending {
    pub lead: LeadId,
    pub event: EventKind,
    /// The canonical event.
    pub body: Bytes,
    /// The body that an earlier attempt rendered.
    pub rendered: Option<Bytes>,
    /// Finished attempts so far.
    pub attempts: i32,
    pub retries: i32,
    pub deaths: i16,
    /// When the delivery came to be, in microseconds.
    pub created_at: i64,
    /// The integration's version at the time of the claim.
    pub version: i32,
}

/// The connection that claims. It is one of its own, because its plans are pinned.
#[derive(Debug)]
pub struct Claimer {
    connection: Option<PgConnection>,
    store: Store,
    /// The attempts of a claim whose answer did not come: it may have been committed all the same.
    unsure: Option<(i64, Vec<Uuid>)>,
}

impl Claimer {
    /// A claimer that connects when it first claims.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { connection: None, store, unsure: None }
    }

    /// Claims what is due of these lanes. The answer says the time of the claim in microseconds, too.
    pub async fn claim(&mut self, daemon: i64, asks: &[Ask]) -> Result<(i64, Vec<Claimed>), Error> {
        if let Some((daemon, attempts)) = &self.unsure {
            self.store.take_back(*daemon, attempts).await?;
            self.unsure = None;
        }
        let most: i32 = asks.iter().map(|ask| ask.room).sum();
        let attempts: Vec<Uuid> = (0..most).map(|_| AttemptId::generate().uuid()).collect();
        let silence_max = self.store.silence_max;
        let claiming = async { claim(self.connection().await?, daemon, asks, &attempts).await };
        // A network that swallows packets answers nothing, not even an error.
        let claimed = match timeout(silence_max, claiming).await {
            Ok(claimed) => claimed,
            Err(_) => Err(Error::Away(sqlx::Error::PoolTimedOut)),
        };
        if claimed.is_err() {
            // Whatever state the connection is in, the next claim starts on a fresh one.
            self.connection = None;
            self.unsure = Some((daemon, attempts));
        }
        claimed
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = PgConnection::connect_with(&self.store.pool.connect_options()).await?;
                sqlx::raw_sql(AssertSqlSafe(PINNED_PLANS.to_owned())).execute(&mut connection).await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}

#[expect(clippy::too_many_lines, reason = "one statement, best read in one piece")]
async fn claim(
    connection: &mut PgConnection,
    daemon: i64,
    asks: &[Ask],
    attempts: &[Uuid],
) -> Result<(i64, Vec<Claimed>), Error> {
    let company: Vec<i64> = asks.iter().map(|ask| ask.company.0).collect();
    let integration: Vec<Uuid> = asks.iter().map(|ask| ask.integration.uuid()).collect();
    let kind: Vec<i16> = asks.iter().map(|ask| i16::from(ask.kind)).collect();
    let room: Vec<i32> = asks.iter().map(|ask| ask.room).collect();
    let watermark: Vec<i64> = asks.iter().map(|ask| ask.watermark).collect();
    // `OFFSET 0` keeps each probe a probe: a join of tables that are small today is planned as a read of all of them.
    // A lane that is throttled, disabled, paused or waits for a cut over gives nothing, whatever this daemon believes of it.
    let rows = sqlx::query!(
        r#"WITH picked AS (
            DELETE FROM due WHERE ctid = ANY(ARRAY(
                SELECT d.ctid
                FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::int[], $5::bigint[])
                    lane(company_id, integration_id, kind, room, watermark)
                CROSS JOIN LATERAL (
                    SELECT FROM integration i JOIN company c ON c.id = i.company_id AND c.paused_at IS NULL
                    WHERE i.company_id = lane.company_id AND i.id = lane.integration_id
                        AND i.enabled AND NOT i.awaits_cut_over AND i.deleted_at IS NULL
                        AND (i.throttled_until IS NULL OR i.throttled_until <= now())
                    OFFSET 0
                ) open
                CROSS JOIN LATERAL (
                    SELECT ctid FROM due
                    WHERE integration_id = lane.integration_id AND kind = lane.kind
                        AND due_at >= 'epoch'::timestamptz + lane.watermark * interval '1 microsecond'
                        AND due_at <= now()
                    ORDER BY due_at LIMIT lane.room FOR UPDATE SKIP LOCKED
                ) d
            )) RETURNING *
        ), numbered AS MATERIALIZED (
            SELECT picked.*, ($6::uuid[])[row_number() OVER ()] AS attempt_id FROM picked
        ), claimed AS (
            INSERT INTO claim (daemon_id, items, attempts)
            SELECT $7, array_agg(ROW(company_id, integration_id, kind, due_at, delivery_id, trigger, operator)::due),
                array_agg(attempt_id)
            FROM numbered HAVING count(*) > 0
            RETURNING id, claimed_at
        )
        SELECT now() AS "now!", c.id AS "claim?", n.company_id AS "company_id?", n.integration_id AS "integration_id?",
            n.kind AS "kind?", n.due_at AS "due_at?: jiff_sqlx::Timestamp", n.attempt_id AS "attempt_id?", n.delivery_id AS "delivery_id?",
            n.trigger AS "trigger?", n.operator AS "operator?", d.lead_id AS "lead_id?", d.event AS "event?", e.body AS "body?",
            coalesce(d.body, CASE WHEN d.verbatim THEN e.body END) AS "rendered?", d.attempts AS "attempts?", d.retries AS "retries?", d.deaths AS "deaths?",
            d.created_at AS "created_at?: jiff_sqlx::Timestamp", i.version AS "version?"
        FROM (SELECT 1) one
        LEFT JOIN (numbered n CROSS JOIN claimed c) ON true
        LEFT JOIN LATERAL (
            SELECT * FROM delivery
            WHERE company_id = n.company_id AND id = n.delivery_id AND state = 'pending' OFFSET 0
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT body FROM event WHERE company_id = d.company_id AND id = d.event_id OFFSET 0
        ) e ON true
        LEFT JOIN LATERAL (
            SELECT version FROM integration WHERE company_id = n.company_id AND id = n.integration_id OFFSET 0
        ) i ON true"#,
        &company,
        &integration,
        &kind,
        &room,
        &watermark,
        attempts,
        daemon
    )
    .fetch_all(connection)
    .await?;
    let now = rows.first().map(|row| micros(row.now.to_jiff())).ok_or(Error::Corrupt("claim"))?;
    let claimed = rows.into_iter().filter_map(|row| {
        let pending = match (row.lead_id, row.event, row.body, row.version) {
            (Some(lead), Some(event), Some(body), Some(version)) => Some(Pending {
                lead: lead.into(),
                event: EventKind::parse(&event)?,
                body: body.into(),
                rendered: row.rendered.map(Bytes::from),
                attempts: row.attempts?,
                retries: row.retries?,
                deaths: row.deaths?,
                created_at: micros(row.created_at?.to_jiff()),
                version,
            }),
            _ => None,
        };
        Some(Claimed {
            daemon,
            claim: row.claim?,
            is_adopted: false,
            claimed_at: now,
            company: CompanyId(row.company_id?),
            integration: row.integration_id?.into(),
            kind: u8::try_from(row.kind?).ok()?,
            due_at: micros(row.due_at?.to_jiff()),
            attempt: row.attempt_id?.into(),
            delivery: row.delivery_id?.into(),
            trigger: Trigger::parse(&row.trigger?)?,
            operator: row.operator,
            pending,
        })
    });
    Ok((now, claimed.collect()))
}

impl Store {
    /// The earliest due row of every lane, future ones too, by a loose index scan: finds what no hint told of.
    pub async fn discover(&self) -> Result<Vec<DueHint>, Error> {
        let rows = sqlx::query_as!(
            DueRow,
            r#"WITH RECURSIVE lane AS (
                (SELECT company_id, integration_id, kind, due_at FROM due ORDER BY integration_id, kind, due_at LIMIT 1)
                UNION ALL
                SELECT n.* FROM lane CROSS JOIN LATERAL (
                    SELECT company_id, integration_id, kind, due_at FROM due
                    WHERE (integration_id, kind) > (lane.integration_id, lane.kind)
                    ORDER BY integration_id, kind, due_at LIMIT 1
                ) n
            )
            SELECT company_id AS "company_id!", integration_id AS "integration_id!", kind AS "kind!",
                due_at AS "due_at!: jiff_sqlx::Timestamp" FROM lane"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(DueHint::from).collect())
    }

    /// When the next row of each of these kinds of lanes is due, after a time in microseconds.
    pub async fn next_due(
        &self,
        lanes: &[(CompanyId, IntegrationId, u8)],
        after: i64,
    ) -> Result<Vec<DueHint>, Error> {
        let integration: Vec<Uuid> = lanes.iter().map(|lane| lane.1.uuid()).collect();
        let kind: Vec<i16> = lanes.iter().map(|lane| i16::from(lane.2)).collect();
        let rows = sqlx::query_as!(
            DueRow,
            r#"SELECT d.company_id, d.integration_id, d.kind, d.due_at AS "due_at: jiff_sqlx::Timestamp"
               FROM unnest($1::uuid[], $2::smallint[]) lane(integration_id, kind)
               CROSS JOIN LATERAL (
                   SELECT * FROM due WHERE integration_id = lane.integration_id AND kind = lane.kind
                       AND due_at > 'epoch'::timestamptz + $3 * interval '1 microsecond'
                   ORDER BY due_at LIMIT 1
               ) d"#,
            &integration,
            &kind,
            after as f64
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(DueHint::from).collect())
    }

    /// What a lane must heed beside its integration's configuration.
    pub async fn stops(&self, lane: (CompanyId, IntegrationId)) -> Result<Stops, Error> {
        let row = sqlx::query!(
            r#"SELECT CASE WHEN i.throttled_until > now() THEN i.throttled_until END AS "throttled_until: jiff_sqlx::Timestamp",
                   s.breaker_until AS "breaker_until: jiff_sqlx::Timestamp"
               FROM integration i JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
               WHERE i.company_id = $1 AND i.id = $2"#,
            lane.0.0,
            lane.1.uuid()
        )
        .fetch_optional(&self.pool)
        .await?;
        let at = |until: Option<jiff_sqlx::Timestamp>| until.map(|until| micros(until.to_jiff()));
        Ok(row.map_or_else(Stops::default, |row| Stops {
            throttled_until: at(row.throttled_until),
            breaker_until: at(row.breaker_until),
        }))
    }

    /// Gives back everything this daemon still holds, without counting an attempt: the end of a graceful stop.
    pub async fn release(&self, daemon: i64) -> Result<u64, Error> {
        let released = sqlx::query!(
            r#"WITH gone AS (
                DELETE FROM claim WHERE daemon_id = $1 RETURNING claimed_at, items, attempts
            ), item AS (
                SELECT gone.claimed_at, u.* FROM gone, unnest(gone.items, gone.attempts)
                    u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
            ), back AS MATERIALIZED (
                -- The locks tell of what an operator held or skipped since this statement began.
                SELECT item.* FROM item
                JOIN delivery d ON d.company_id = item.company_id AND d.id = item.delivery_id AND d.state = 'pending'
                WHERE NOT EXISTS (
                    SELECT FROM attempt a
                    WHERE a.company_id = item.company_id AND a.integration_id = item.integration_id
                        AND a.id = item.attempt_id AND a.started_at = item.claimed_at
                ) ORDER BY d.id FOR UPDATE OF d
            )
            INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger, operator)
            -- What was broken off may have arrived: what comes now is a repeat.
            SELECT company_id, integration_id, kind, due_at, delivery_id, 'retry', operator FROM back"#,
            daemon
        )
        .execute(&self.pool)
        .await?;
        Ok(released.rows_affected())
    }

    /// Gives back items of claims that nobody has begun to push. What else the claims hold stays claimed.
    pub async fn give_back(&self, daemon: i64, claims: &[i64], attempts: &[Uuid]) -> Result<(), Error> {
        let rows = sqlx::query_as!(
            DueRow,
            r#"WITH fence AS MATERIALIZED (
                SELECT id, items, attempts FROM claim WHERE id = ANY($2) AND daemon_id = $1 ORDER BY id FOR UPDATE
            ), item AS MATERIALIZED (
                SELECT fence.id AS claim_id, u.* FROM fence, unnest(fence.items, fence.attempts)
                    u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
            ), rest AS MATERIALIZED (
                SELECT claim_id, array_agg(attempt_id) AS attempts, array_agg(
                    ROW(company_id, integration_id, kind, due_at, delivery_id, trigger, operator)::due) AS items
                FROM item WHERE attempt_id <> ALL($3) GROUP BY claim_id
            ), shrunk AS (
                UPDATE claim SET items = rest.items, attempts = rest.attempts FROM rest WHERE claim.id = rest.claim_id
            ), emptied AS (
                DELETE FROM claim USING fence
                WHERE claim.id = fence.id AND fence.id NOT IN (SELECT claim_id FROM rest)
            ), back AS MATERIALIZED (
                -- The locks tell of what an operator held or skipped since this statement began.
                SELECT i.* FROM item i
                JOIN delivery d ON d.company_id = i.company_id AND d.id = i.delivery_id AND d.state = 'pending'
                WHERE i.attempt_id = ANY($3) ORDER BY d.id FOR UPDATE OF d
            )
            INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger, operator)
            SELECT company_id, integration_id, kind, due_at, delivery_id, trigger, operator FROM back
            RETURNING company_id, integration_id, kind, due_at AS "due_at: jiff_sqlx::Timestamp""#,
            daemon,
            claims,
            attempts
        )
        .fetch_all(&self.pool)
        .await?;
        self.hub.due(rows.into_iter().map(DueHint::from).collect());
        Ok(())
    }

    /// Gives back a claim whose answer did not come, if it was committed: it names attempts that nobody else made.
    async fn take_back(&self, daemon: i64, attempts: &[Uuid]) -> Result<(), Error> {
        let claims = sqlx::query_scalar!(
            "SELECT id FROM claim WHERE daemon_id = $1 AND attempts && $2::uuid[]",
            daemon,
            attempts
        )
        .fetch_all(&self.pool)
        .await?;
        if !claims.is_empty() {
            self.give_back(daemon, &claims, attempts).await?;
        }
        Ok(())
    }
}
