//! How the whole stands: daemons, the queue, how fast it goes, the database.

use std::time::Duration;

use jiff_sqlx::Timestamp;
use uuid::Uuid;

use super::{Error, Store, bounded::EXACT_MAX};
use crate::domain::ids::{CompanyId, least_id_at};

/// What rates are measured over.
pub const SPAN: Duration = Duration::from_secs(60);

/// So many pages of a long queue tell about how much is in it.
const SAMPLE: f32 = 200.0;
/// How many keys are named whose posts are refused.
const REFUSED: i64 = 20;

/// The whole, as it stands.
#[derive(Clone, Debug)]
pub struct System {
    pub at: jiff::Timestamp,
    pub daemons: Vec<Daemon>,
    pub queue: Queue,
    pub rates: SystemRates,
    pub database: Database,
    /// Most refusals first.
    pub refused: Vec<RefusedKey>,
}

/// An intake key, or a form, whose posts were refused in the last 24 hours; what of them is kept counts.
#[derive(Clone, Debug)]
pub struct RefusedKey {
    pub company: CompanyId,
    pub company_name: String,
    /// Of the key, or of the form that stands for one.
    pub key: Uuid,
    pub prefix: String,
    pub form: String,
    pub refused: i64,
    /// Of the newest one.
    pub last_at: jiff::Timestamp,
    pub status: i16,
    pub detail: String,
}

/// A daemon that lives.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub id: i64,
    pub lease_until: jiff::Timestamp,
    /// Pushes in flight, and the integrations they go to.
    pub running: i64,
    pub lanes: i64,
    pub version: String,
    pub started_at: jiff::Timestamp,
}

/// What waits.
#[derive(Clone, Debug)]
pub struct Queue {
    pub due: i64,
    pub later: i64,
    pub running: i64,
    pub held: i64,
    pub dead: i64,
    pub oldest_due_at: Option<jiff::Timestamp>,
    pub oldest_undelivered_at: Option<jiff::Timestamp>,
    pub lanes: i64,
    /// Whether there are more than are counted, so that what is due, later and held are about so many.
    pub is_estimate: bool,
}

/// What happened in the last [`SPAN`].
#[derive(Clone, Debug)]
pub struct SystemRates {
    pub leads: i64,
    pub attempts: i64,
    pub failed: i64,
    /// The durations below which half, 95 and 99 in a hundred pushes stayed.
    pub percentiles: Option<[Duration; 3]>,
}

/// What the database says of itself.
#[derive(Clone, Debug)]
pub struct Database {
    pub version: String,
    pub bytes: i64,
    pub connections: i64,
    pub connections_max: i64,
    pub has_trigrams: bool,
    pub schema_version: i64,
    pub oldest_transaction: Option<Duration>,
}

impl Store {
    /// How the whole stands.
    pub async fn system(&self) -> Result<System, Error> {
        let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(&self.pool).await?.to_jiff();
        let since = now.saturating_sub(SPAN).unwrap_or(now);
        Ok(System {
            at: now,
            daemons: self.living().await?,
            queue: self.queue_depth().await?,
            rates: self.rates(since).await?,
            database: self.database().await?,
            refused: self.refused_keys().await?,
        })
    }

    async fn living(&self) -> Result<Vec<Daemon>, Error> {
        let rows = sqlx::query!(
            r#"SELECT d.id, d.lease_until, d.version, d.started_at, count(f.delivery_id) AS "running!",
                      count(DISTINCT f.integration_id) AS "lanes!"
               FROM daemon d LEFT JOIN in_flight f ON f.daemon_id = d.id
               WHERE d.lease_until > clock_timestamp() GROUP BY d.id ORDER BY d.id"#,
        )
        .fetch_all(&self.pool)
        .await?;
        let daemons = rows.into_iter().map(|row| Daemon {
            id: row.id,
            lease_until: row.lease_until.to_jiff(),
            running: row.running,
            lanes: row.lanes,
            version: row.version,
            started_at: row.started_at.to_jiff(),
        });
        Ok(daemons.collect())
    }

    async fn refused_keys(&self) -> Result<Vec<RefusedKey>, Error> {
        let rows = sqlx::query!(
            r#"SELECT r.company_id, c.name AS company_name, r.key_id, k.prefix AS "prefix?", f.name AS "form?",
                   count(*) AS "refused!", max(r.at) AS "last_at!: Timestamp",
                   (array_agg(r.status ORDER BY r.id DESC))[1] AS "status!",
                   (array_agg(r.detail ORDER BY r.id DESC))[1] AS "detail!"
               FROM refusal r JOIN company c ON c.id = r.company_id
               LEFT JOIN intake_key k ON k.company_id = r.company_id AND k.id = r.key_id
               LEFT JOIN form f ON f.company_id = r.company_id AND f.id = r.key_id
               WHERE r.at > now() - interval '24 hours'
               GROUP BY r.company_id, c.name, r.key_id, k.prefix, f.name
               ORDER BY count(*) DESC, max(r.at) DESC LIMIT $1"#,
            REFUSED,
        )
        .fetch_all(&self.pool)
        .await?;
        let keys = rows.into_iter().map(|row| RefusedKey {
            company: CompanyId(row.company_id),
            company_name: row.company_name,
            key: row.key_id,
            prefix: row.prefix.unwrap_or_default(),
            form: row.form.unwrap_or_default(),
            refused: row.refused,
            last_at: row.last_at.to_jiff(),
            status: row.status,
            detail: row.detail,
        });
        Ok(keys.collect())
    }

    async fn queue_depth(&self) -> Result<Queue, Error> {
        let row = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM in_flight f JOIN daemon m ON m.id = f.daemon_id) AS "running!",
                   (SELECT count(*) FROM (SELECT FROM undelivered WHERE state = 'held' LIMIT $1::bigint + 1) h) AS "held!",
                   (SELECT reltuples::bigint FROM pg_class WHERE oid = 'undelivered_held'::regclass) AS "held_about!",
                   (SELECT coalesce(sum(dead), 0)::bigint FROM integration_stat) AS "dead!",
                   -- The first of each integration: their ids tell when they came to be.
                   (SELECT min(u.since) FROM integration i CROSS JOIN LATERAL (
                        SELECT since FROM undelivered u WHERE u.company_id = i.company_id AND u.integration_id = i.id
                        ORDER BY u.delivery_id LIMIT 1) u) AS "undelivered?: Timestamp""#,
            EXACT_MAX,
        )
        .fetch_one(&self.pool)
        .await?;
        let queue = match self.short_queue().await? {
            Some(queue) => queue,
            None => self.long_queue().await?,
        };
        let held_more = row.held > EXACT_MAX;
        Ok(Queue {
            running: row.running,
            held: if held_more { row.held.max(row.held_about) } else { row.held },
            dead: row.dead,
            oldest_undelivered_at: row.undelivered.map(Timestamp::to_jiff),
            is_estimate: queue.is_estimate || held_more,
            ..queue
        })
    }

    /// What is in the queue, counted; none where that is too much.
    async fn short_queue(&self) -> Result<Option<Queue>, Error> {
        let row = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE due_at <= now()) AS "due!", count(*) FILTER (WHERE due_at > now()) AS "later!",
                      min(due_at) FILTER (WHERE due_at <= now()) AS "oldest?: Timestamp",
                      count(DISTINCT integration_id) AS "lanes!"
               FROM (SELECT due_at, integration_id FROM due LIMIT $1::bigint + 1) q"#,
            EXACT_MAX,
        )
        .fetch_one(&self.pool)
        .await?;
        let queue = Queue {
            due: row.due,
            later: row.later,
            running: 0,
            held: 0,
            dead: 0,
            oldest_due_at: row.oldest.map(Timestamp::to_jiff),
            oldest_undelivered_at: None,
            lanes: row.lanes,
            is_estimate: false,
        };
        Ok((row.due + row.later <= EXACT_MAX).then_some(queue))
    }

    /// The same where it is long: about how much, from some of its pages; the oldest from the front of each lane.
    async fn long_queue(&self) -> Result<Queue, Error> {
        let pages = sqlx::query_scalar!(
            r#"SELECT (pg_relation_size('due') / current_setting('block_size')::bigint)::real AS "pages!""#
        )
        .fetch_one(&self.pool)
        .await?;
        let share = (SAMPLE / pages.max(1.0)).min(1.0);
        let row = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE due_at <= now()) AS "due!", count(*) FILTER (WHERE due_at > now()) AS "later!"
               FROM due TABLESAMPLE SYSTEM ($1)"#,
            share * 100.0,
        )
        .fetch_one(&self.pool)
        .await?;
        let fronts = sqlx::query!(
            r#"SELECT min(q.due_at) FILTER (WHERE q.due_at <= now()) AS "oldest?: Timestamp", count(DISTINCT i.id) AS "lanes!"
               FROM integration i CROSS JOIN (VALUES (0::smallint), (1::smallint)) k(kind)
               CROSS JOIN LATERAL (SELECT due_at FROM due q WHERE q.integration_id = i.id AND q.kind = k.kind
                   ORDER BY due_at LIMIT 1) q"#,
        )
        .fetch_one(&self.pool)
        .await?;
        let about = |count: i64| (count as f64 / f64::from(share)).round() as i64;
        Ok(Queue {
            due: about(row.due),
            later: about(row.later),
            running: 0,
            held: 0,
            dead: 0,
            oldest_due_at: fronts.oldest.map(Timestamp::to_jiff),
            oldest_undelivered_at: None,
            lanes: fronts.lanes,
            is_estimate: share < 1.0,
        })
    }

    /// What happened since then, found by the times in ids: a short range of each key.
    async fn rates(&self, since: jiff::Timestamp) -> Result<SystemRates, Error> {
        let floor = least_id_at(since);
        let leads = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM company c
               JOIN event e ON e.company_id = c.id AND e.id >= $1 AND e.kind = 'lead.created'
               JOIN lead l ON l.company_id = e.company_id AND l.id = e.lead_id AND l.event_id = e.id"#,
            floor,
        )
        .fetch_one(&self.pool)
        .await?;
        let row = sqlx::query!(
            r#"SELECT count(*) AS "attempts!", count(*) FILTER (WHERE NOT a.delivered) AS "failed!",
                      percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY a.duration_ms) AS percentiles
               FROM integration i JOIN attempt a ON a.company_id = i.company_id AND a.integration_id = i.id
                   AND a.id >= $1 AND a.started_at >= now() - interval '1 day'
               WHERE i.deleted_at IS NULL"#,
            floor,
        )
        .fetch_one(&self.pool)
        .await?;
        let millis = |at: i32| Duration::from_millis(at.max(0).unsigned_abs().into());
        let percentiles = row.percentiles.and_then(|all| match all[..] {
            [half, most, nearly_all] => Some([millis(half), millis(most), millis(nearly_all)]),
            _ => None,
        });
        Ok(SystemRates { leads, attempts: row.attempts, failed: row.failed, percentiles })
    }

    async fn database(&self) -> Result<Database, Error> {
        let row = sqlx::query!(
            r#"SELECT current_setting('server_version') AS "version!",
                   pg_database_size(current_database()) AS "bytes!",
                   (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS "connections!",
                   current_setting('max_connections')::bigint AS "connections_max!",
                   EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') AS "has_trigrams!",
                   (SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()) AS oldest"#,
        )
        .fetch_one(&self.pool)
        .await?;
        // The migrations' own table is made by what runs them, not by one of them.
        let schema_version: i64 =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&self.pool).await?;
        Ok(Database {
            version: row.version,
            bytes: row.bytes,
            connections: row.connections,
            connections_max: row.connections_max,
            has_trigrams: row.has_trigrams,
            schema_version,
            oldest_transaction: row.oldest.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }
}
