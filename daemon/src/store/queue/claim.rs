//! The queue: which lanes have something due, and who works on what.
//!
//! `ARCHITECTURE.md` tells why it looks as it does. In short: a row of `due` lives only while nobody works on it; a claim
//! deletes due rows of the lanes it names and writes one `claim` row; the fence is the row of the daemon.

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::claimed::ClaimedRow;
pub use super::claimed::{Claimed, PendingDelivery};
use crate::{
    domain::{
        delivery::LaneKind,
        ids::{AttemptId, CompanyId},
        lane::LaneId,
        moment::Moment,
    },
    postgres::setup,
    store::{DueHint, Error, Store, lane_kind, moment},
};

/// The settings under which every claim runs. A plan made while the queue was empty would read all of a full one; one made
/// anew for each claim, as the server would have it, costs as much as the claim.
const PINNED_PLANS: &str = "SET plan_cache_mode = force_generic_plan; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET jit = off; SET synchronous_commit = off";

/// What a claim asks of one kind of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub lane: LaneId,
    pub kind: LaneKind,
    /// How many rows at most.
    pub room: i32,
    /// No row of it is due earlier: the scan starts here, behind the dead rows of earlier claims.
    pub watermark: Moment,
}

/// A row of the queue, as far as a hint tells of it.
struct DueRow {
    company_id: i64,
    integration_id: Uuid,
    kind: i16,
    due_at: jiff_sqlx::Timestamp,
}

impl TryFrom<DueRow> for DueHint {
    type Error = Error;

    fn try_from(row: DueRow) -> Result<Self, Error> {
        Ok(Self {
            lane: LaneId::new(CompanyId(row.company_id), row.integration_id),
            kind: lane_kind(row.kind)?,
            due_at: moment(row.due_at),
        })
    }
}

/// Until when a lane waits by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Its target asked for a pause.
    pub throttled_until: Option<Moment>,
    /// Its breaker is not closed: half-open from then on.
    pub breaker_until: Option<Moment>,
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

    /// Claims what is due of these lanes. The answer says the time of the claim, too.
    pub async fn claim(&mut self, daemon: i64, asks: &[Ask]) -> Result<(Moment, Vec<Claimed>), Error> {
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
        match claimed {
            Ok((now, rows)) => {
                let read = self.store.read_claimed(daemon, rows, false).await;
                if read.is_err() {
                    self.unsure = Some((daemon, attempts));
                }
                Ok((now, read?))
            }
            Err(error) => {
                // Whatever state the connection is in, the next claim starts on a fresh one.
                self.connection = None;
                self.unsure = Some((daemon, attempts));
                Err(error)
            }
        }
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = setup::connect_named(&self.store.pool, "claim").await?;
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
) -> Result<(Moment, Vec<ClaimedRow>), Error> {
    let company: Vec<i64> = asks.iter().map(|ask| ask.lane.company.0).collect();
    let integration: Vec<Uuid> = asks.iter().map(|ask| ask.lane.integration.uuid()).collect();
    let kind: Vec<i16> = asks.iter().map(|ask| ask.kind.number()).collect();
    let room: Vec<i32> = asks.iter().map(|ask| ask.room).collect();
    let watermark: Vec<i64> = asks.iter().map(|ask| ask.watermark.as_micros()).collect();
    let rows = sqlx::query_file_as!(
        ClaimedRow,
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
    let now = rows.first().map(|row| moment(row.claimed_at)).ok_or(Error::Corrupt("claim"))?;
    Ok((now, rows))
}

impl Store {
    /// The earliest due row of every lane, future ones too, by a loose index scan: finds what no hint told of.
    pub async fn discover(&self) -> Result<Vec<DueHint>, Error> {
        // What is due in a word of a newer daemon is left to that.
        let known = LaneKind::ALL.map(LaneKind::number);
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
                due_at AS "due_at!: jiff_sqlx::Timestamp" FROM lane WHERE kind = ANY($1)"#,
            &known,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(DueHint::try_from).collect()
    }

    /// When the next row of each of these kinds of lanes is due, after a time.
    pub async fn next_due(&self, lanes: &[(LaneId, LaneKind)], after: Moment) -> Result<Vec<DueHint>, Error> {
        let integration: Vec<Uuid> = lanes.iter().map(|(lane, _)| lane.integration.uuid()).collect();
        let kind: Vec<i16> = lanes.iter().map(|(_, kind)| kind.number()).collect();
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
            after.as_micros() as f64
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(DueHint::try_from).collect()
    }

    /// What a lane must heed beside its integration's configuration.
    pub async fn stops(&self, lane: LaneId) -> Result<Stops, Error> {
        let row = sqlx::query!(
            r#"SELECT throttle_ahead(i) AS "throttled_until: jiff_sqlx::Timestamp",
                   s.breaker_until AS "breaker_until: jiff_sqlx::Timestamp"
               FROM integration i JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
               WHERE i.company_id = $1 AND i.id = $2"#,
            lane.company.0,
            lane.integration.uuid()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map_or_else(Stops::default, |row| Stops {
            throttled_until: row.throttled_until.map(moment),
            breaker_until: row.breaker_until.map(moment),
        }))
    }
}
