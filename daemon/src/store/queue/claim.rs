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
    let rows = sqlx::query_file!(
        "src/store/queue/claim.sql",
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
}
