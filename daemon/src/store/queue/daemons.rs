//! Which daemons live, and what they tell each other.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    domain::{delivery::LaneKind, ids::CompanyId, lane::LaneId, moment::Moment},
    store::{
        DueHint, Error, Store,
        account::AccountHash,
        heard,
        key_rotation::{KeysInUse, read_keys},
    },
    telemetry,
};

/// Longer than any push takes.
const PUSH_MAX: Duration = Duration::from_secs(600);

/// A beat's answer: this daemon and the others that live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// False if somebody took this daemon for dead: all that it holds is void.
    pub is_alive: bool,
    /// Every daemon that lives, in order.
    pub living: Vec<i64>,
    /// The database's clock.
    pub now: Moment,
    pub waits: Waits,
    /// Which master keys this daemon is to open with.
    pub keys: KeysInUse,
}

/// What waits for any daemon: told with each beat, so that nobody asks for it all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// A lease has run out.
    pub expired: bool,
    /// A daemon that is gone left claims behind.
    pub orphans: bool,
    pub probes: bool,
    /// Somebody is to be told of what changes, or a notice is due.
    pub notices: bool,
    /// A sweep is due or under way, or a job runs.
    pub tasks: bool,
}

/// What one daemon tells the others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wake {
    /// Company, integration, kind, due time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<(i64, Uuid, i16, Moment)>,
    /// Integrations whose configuration changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<(i64, Uuid)>,
    /// Probes wait for the daemons whose lanes they are of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probes: bool,
}

/// What a daemon hears.
#[derive(Debug, Default)]
pub struct Messages {
    /// By daemon and seq, in order.
    pub wakes: Vec<(i64, i64, Wake)>,
    /// The accounts of this daemon's that others have calls to make to, and under which terms it took them.
    pub asked: Vec<(AccountHash, i64)>,
    /// Nobody has an account that this daemon waits for.
    pub may_take: bool,
}

impl Wake {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.changed.is_empty() && !self.probes
    }

    /// Tells that a lane has something due.
    pub fn add_due(&mut self, hint: DueHint) {
        let LaneId { company, integration } = hint.lane;
        self.due.push((company.0, integration.uuid(), hint.kind.number(), hint.due_at));
    }

    /// Tells that an integration changed.
    #[must_use]
    pub fn of_change(lane: LaneId) -> Self {
        Self { changed: vec![(lane.company.0, lane.integration.uuid())], ..Self::default() }
    }

    /// Tells that probes wait.
    #[must_use]
    pub fn of_probes() -> Self {
        Self { probes: true, ..Self::default() }
    }

    /// Tells both.
    pub fn merge(&mut self, other: Self) {
        self.due.extend(other.due);
        self.changed.extend(other.changed);
        self.probes |= other.probes;
    }

    /// The due lanes as hints.
    pub fn hints(&self) -> impl Iterator<Item = DueHint> + '_ {
        // What is told in words of a newer daemon is found by the scan.
        self.due.iter().filter_map(|&(company, integration, kind, due_at)| {
            let lane = LaneId::new(CompanyId(company), integration);
            LaneKind::of(kind).map(|kind| DueHint { lane, kind, due_at })
        })
    }

    /// The integrations that changed.
    pub fn changes(&self) -> impl Iterator<Item = LaneId> + '_ {
        self.changed.iter().map(|&(company, integration)| LaneId::new(CompanyId(company), integration))
    }
}

impl Store {
    /// Starts a life: a row of its own, whose id is the fence. A rotation of the master key turns to the next one before
    /// this or afterwards, when it finds the row.
    pub async fn enroll(&self, lease_seconds: f64) -> Result<i64, Error> {
        let keys = self.own_keys();
        let query = sqlx::query_scalar!(
            "INSERT INTO daemon (lease_until, version, key_fingerprints, key_file)
             SELECT clock_timestamp() + $1 * interval '1 second', $2, $3, $4
             FROM (SELECT FROM installation FOR KEY SHARE) held RETURNING id",
            lease_seconds,
            env!("CARGO_PKG_VERSION"),
            &keys,
            self.sealer.location(),
        );
        let mut db = self.pool.acquire().await?;
        let answer = timeout(self.silence_max, query.fetch_one(&mut *db)).await;
        heard(db, answer)
    }

    /// Ends a life in order: nothing is left to adopt.
    pub async fn leave(&self, daemon: i64) -> Result<(), Error> {
        sqlx::query!("DELETE FROM daemon WHERE id = $1", daemon).execute(&self.pool).await?;
        Ok(())
    }

    /// Moves the lease on, says which keys this daemon has, and tells who lives and what waits.
    pub async fn beat(&self, daemon: i64, lease_seconds: f64) -> Result<Beat, Error> {
        let keys = self.own_keys();
        let query = sqlx::query!(
            r#"WITH me AS (
                UPDATE daemon SET lease_until = clock_timestamp() + $2 * interval '1 second', key_fingerprints = $3
                WHERE id = $1 RETURNING id
            )
            SELECT id AS "id?", clock_timestamp() AS "now!",
                EXISTS (SELECT FROM daemon WHERE lease_until < clock_timestamp() AND id <> $1) AS "expired!",
                -- Between the ids of those that live: theirs are many, and while somebody holds a snapshot so are those
                -- that were removed. EXISTS would be planned as a join, which reads all of them.
                EXISTS (SELECT FROM (
                    SELECT id, lag(id, 1, -1::bigint) OVER (ORDER BY id) AS before FROM daemon
                    UNION ALL SELECT 9223372036854775807, coalesce(max(id), 0) FROM daemon
                ) gap WHERE (
                    SELECT true FROM claim c WHERE c.daemon_id > gap.before AND c.daemon_id < gap.id LIMIT 1)) AS "orphans!",
                EXISTS (SELECT FROM probe p WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = p.daemon_id))
                    AS "probes!",
                EXISTS (SELECT FROM integration WHERE notices AND deleted_at IS NULL)
                    OR EXISTS (SELECT FROM notice WHERE state = 'pending' AND due_at <= now()) AS "notices!",
                EXISTS (SELECT FROM integration_stat WHERE sweep_at <= now()) OR EXISTS (SELECT FROM sweep)
                    OR EXISTS (SELECT FROM job WHERE state = 'running') AS "tasks!",
                key_fingerprint, next_fingerprint, previous_fingerprint
            FROM installation LEFT JOIN (
                SELECT id FROM me UNION SELECT id FROM daemon WHERE lease_until > clock_timestamp() AND id <> $1
            ) living ON true ORDER BY 1"#,
            daemon,
            lease_seconds,
            &keys
        );
        let mut db = self.beats.take().await?;
        let answer = timeout(self.silence_max, query.fetch_all(&mut *db)).await;
        let rows = db.heard(answer)?;
        let first = rows.first().ok_or(Error::Corrupt("beat"))?;
        let now = Moment::from(first.now.to_jiff());
        let keys = read_keys(
            &first.key_fingerprint,
            first.next_fingerprint.as_deref(),
            first.previous_fingerprint.as_deref(),
        )?;
        let waits = Waits {
            expired: first.expired,
            orphans: first.orphans,
            probes: first.probes,
            notices: first.notices,
            tasks: first.tasks,
        };
        let living: Vec<i64> = rows.into_iter().filter_map(|row| row.id).collect();
        Ok(Beat { is_alive: living.contains(&daemon), living, now, waits, keys })
    }

    /// How many pushes of each lane other daemons have begun and not ended; none before each of them has beaten since a
    /// time. What nobody can write keeps its claim, and counts for no longer than a push can take.
    pub async fn in_flight_elsewhere(
        &self,
        daemon: i64,
        since: Moment,
        lease: Duration,
    ) -> Result<Option<HashMap<LaneId, u32>>, Error> {
        let query = sqlx::query!(
            r#"WITH other AS MATERIALIZED (
                SELECT id, lease_until <= 'epoch'::timestamptz + $2 * interval '1 microsecond' + $3 * interval '1 second'
                    AS has_not_heard
                FROM daemon WHERE id <> $1 AND lease_until > clock_timestamp()
            )
            SELECT NULL::bigint AS company_id, NULL::uuid AS integration_id, count(*) AS "count!" FROM other WHERE has_not_heard
            UNION ALL
            SELECT company_id, integration_id, count(*) FROM in_flight
            WHERE daemon_id IN (SELECT id FROM other) AND claimed_at > now() - $4 * interval '1 second'
            GROUP BY 1, 2"#,
            daemon,
            since.as_micros() as f64,
            lease.as_secs_f64(),
            PUSH_MAX.as_secs_f64(),
        );
        let mut db = self.pool.acquire().await?;
        let answer = timeout(self.silence_max, query.fetch_all(&mut *db)).await;
        let rows = heard(db, answer)?;
        let mut elsewhere = HashMap::new();
        for row in rows {
            match (row.company_id, row.integration_id) {
                (Some(company), Some(integration)) => {
                    let lane = LaneId::new(CompanyId(company), integration);
                    elsewhere.insert(lane, u32::try_from(row.count).unwrap_or(u32::MAX));
                }
                _ if row.count > 0 => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(elsewhere))
    }

    /// Deletes the rows of daemons whose lease ran out; with `all_others`, of all but this one.
    pub async fn remove_expired(&self, daemon: i64, all_others: bool) -> Result<u64, Error> {
        // The row lock makes this wait for a beat that is under way, and then see its new lease.
        let query = sqlx::query!(
            "DELETE FROM daemon WHERE id <> $1 AND (lease_until < clock_timestamp() OR $2)",
            daemon,
            all_others
        );
        let mut db = self.pool.acquire().await?;
        let answer = timeout(self.silence_max, query.execute(&mut *db)).await;
        Ok(heard(db, answer)?.rows_affected())
    }

    /// Leaves word for the other daemons. Each daemon does from one task, so that `seq` is the order of commits.
    pub async fn publish(&self, daemon: i64, seq: i64, wake: &Wake) -> Result<(), Error> {
        let body = serde_json::to_value(wake).map_err(|_| Error::Corrupt("wake"))?;
        let mut db = self.pool.acquire().await?;
        let answer = timeout(self.silence_max, write_wake(&mut db, daemon, seq, &body)).await;
        heard(db, answer)
    }

    /// What the others published behind what is known already, by daemon and seq, and what they want of this one.
    pub async fn hear(&self, daemon: i64, known: &[(i64, i64)]) -> Result<Messages, Error> {
        let (daemons, seqs): (Vec<i64>, Vec<i64>) = known.iter().copied().unzip();
        let query = sqlx::query!(
            r#"SELECT w.daemon_id AS "daemon?", w.seq AS "seq?", w.body AS "body?", NULL::bytea AS "account?",
                   false AS "may_take!"
               FROM unnest($1::bigint[], $2::bigint[]) u(daemon_id, seq)
               JOIN LATERAL (
                   SELECT * FROM wake WHERE daemon_id = u.daemon_id AND seq > u.seq ORDER BY seq LIMIT 200
               ) w ON true
               UNION ALL
               SELECT NULL, h.term, NULL, h.account_hash, false FROM account_hold h
               WHERE h.daemon_id = $3 AND EXISTS (
                   SELECT FROM account_wait a WHERE a.account_hash = h.account_hash AND a.daemon_id <> $3
                   AND EXISTS (SELECT FROM daemon d WHERE d.id = a.daemon_id))
               UNION ALL
               SELECT NULL, NULL, NULL, NULL, true WHERE EXISTS (
                   SELECT FROM account_wait a JOIN account_hold h USING (account_hash) WHERE a.daemon_id = $3
                   AND NOT EXISTS (SELECT FROM daemon d WHERE d.id = h.daemon_id))
               ORDER BY 1, 2"#,
            &daemons,
            &seqs,
            daemon
        );
        let mut db = self.pool.acquire().await?;
        let answer = timeout(self.silence_max, query.fetch_all(&mut *db)).await;
        let mut all = Messages::default();
        for row in heard(db, answer)? {
            all.may_take |= row.may_take;
            if let (Some(daemon), Some(seq), Some(body)) = (row.daemon, row.seq, row.body) {
                all.wakes.push((daemon, seq, read_wake(daemon, seq, body)));
            }
            let account = row.account.and_then(|account| AccountHash::try_from(account).ok());
            all.asked.extend(account.zip(row.seq));
        }
        Ok(all)
    }

    /// Removes what was published more than a minute ago.
    pub async fn forget_wakes(&self) -> Result<(), Error> {
        let query = sqlx::query!("DELETE FROM wake WHERE at < now() - interval '1 minute'");
        let mut db = self.pool.acquire().await?;
        let answer = timeout(self.silence_max, query.execute(&mut *db)).await;
        heard(db, answer).map(drop)
    }
}

/// What another daemon published. What cannot be read says nothing: the scan finds what it was about.
fn read_wake(daemon: i64, seq: i64, body: Value) -> Wake {
    serde_json::from_value(body).unwrap_or_else(|error| {
        tracing::warn!(
            event = "wake_unreadable",
            daemon,
            seq,
            error = telemetry::causes(&error),
            "what another daemon published cannot be read; what is due is found within half a minute"
        );
        Wake::default()
    })
}

async fn write_wake(db: &mut PgConnection, daemon: i64, seq: i64, body: &Value) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    // Losing a hint costs half a minute at most, so it need not wait for the disk.
    sqlx::query!("SET LOCAL synchronous_commit = off").execute(&mut *tx).await?;
    sqlx::query!("INSERT INTO wake (daemon_id, seq, body) VALUES ($1, $2, $3)", daemon, seq, body)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
