//! Which daemon calls an account of a vendor: one at a time, where the calls of one have to do with those of another.
//!
//! The row says who has it. That ends when it is given away, or with the daemon's own row, as all else that a daemon holds:
//! a lease that has run out may yet be renewed. Each change has a term, so that what comes late changes nothing. Whoever
//! waits stands in a line, and whoever gives the account away leaves what counts of the time before: how long ago, so that
//! nobody's clock matters.

use std::time::Duration;

use uuid::Uuid;

use super::{Error, Store};
use crate::domain::{
    lane::LaneId,
    outcome::{Failure, FailureClass},
};

/// What an account is known by: a hash, as credentials may be part of it.
pub type AccountHash = [u8; 32];

/// How long, in seconds, an account that was given away waits for the daemon that is first in the line: longer than daemons
/// go without looking.
const KEPT_FOR_SECONDS: f64 = 3.0;
/// A daemon that lives and does not give an account away is not waited for longer than this, in seconds, from when it has the
/// account and is asked for it. Its pushes may take as long, where many stand behind each other.
const ASKED_MAX_SECONDS: f64 = 600.0;

/// What a daemon knows of an account when it gives it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountMemory {
    /// How long ago the calls ended that count in the vendor's quota.
    pub ended: Vec<Duration>,
    /// How long ago a push for somebody ended; none if none did of late.
    pub last_push: Option<Duration>,
    /// How pushes fail, and for how long yet, as what the account may call in a day is all but used.
    pub exhausted: Option<Failure>,
}

/// What is known of the calls that were made before, by whoever takes an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriorCalls {
    /// What this daemon knows itself: no other had the account.
    Own,
    /// What the daemon knew that gave it away.
    Given(AccountMemory),
    /// Nothing: somebody had it until so long ago.
    Unknown(Duration),
}

/// An account that a daemon took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenAccount {
    pub term: i64,
    pub prior: PriorCalls,
}

/// What a daemon finds that looks for an account.
struct FoundAccount {
    term: i64,
    is_own: bool,
    is_free: bool,
    /// Whose pushes it has asked for already; none if it has not asked.
    asked: Option<Vec<Uuid>>,
}

fn to_ms(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl Store {
    /// Takes an account for a daemon, if no other has it. None if one does: this one stands in the line then, for the pushes
    /// of these lanes. `known` is the term under which it had the account last and knows what counts.
    pub async fn take_account(
        &self,
        account: &AccountHash,
        daemon: i64,
        known: Option<i64>,
        lanes: &[LaneId],
    ) -> Result<Option<TakenAccount>, Error> {
        self.unless_silent(self.take_or_wait(account, daemon, known, lanes)).await
    }

    async fn take_or_wait(
        &self,
        account: &AccountHash,
        daemon: i64,
        known: Option<i64>,
        lanes: &[LaneId],
    ) -> Result<Option<TakenAccount>, Error> {
        let Some(found) = self.find_account(account, daemon).await? else {
            let made = sqlx::query_scalar!(
                "INSERT INTO account_hold (account_hash, daemon_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING term",
                &account[..],
                daemon,
            )
            .fetch_optional(&self.pool)
            .await?;
            return Ok(made.map(|term| TakenAccount { term, prior: PriorCalls::Own }));
        };
        if found.is_free {
            let is_known = found.is_own && known == Some(found.term);
            return self.take_free_account(account, daemon, &found, is_known).await;
        }
        let mut waiting: Vec<Uuid> = lanes.iter().map(|lane| lane.integration.uuid()).collect();
        waiting.sort_unstable();
        // Whoever waits looks often, and writes only what is not there yet.
        if found.asked.as_ref() != Some(&waiting) {
            sqlx::query!(
                "INSERT INTO account_wait (account_hash, daemon_id, integrations) VALUES ($1, $2, $3)
                 ON CONFLICT (account_hash, daemon_id) DO UPDATE SET integrations = EXCLUDED.integrations",
                &account[..],
                daemon,
                &waiting,
            )
            .execute(&self.pool)
            .await?;
        }
        Ok(None)
    }

    async fn find_account(&self, account: &AccountHash, daemon: i64) -> Result<Option<FoundAccount>, Error> {
        let found = sqlx::query_as!(
            FoundAccount,
            r#"WITH line AS (
                SELECT w.daemon_id, w.asked_at, w.integrations FROM account_wait w
                WHERE w.account_hash = $1 AND EXISTS (SELECT FROM daemon d WHERE d.id = w.daemon_id))
            SELECT h.term, coalesce(h.daemon_id = $2, false) AS "is_own!",
                CASE WHEN h.daemon_id IS NULL THEN
                    coalesce((SELECT daemon_id FROM line ORDER BY asked_at, daemon_id LIMIT 1), $2) = $2
                    OR h.given_at < clock_timestamp() - $3 * interval '1 second'
                ELSE
                    h.daemon_id = $2
                    OR NOT EXISTS (SELECT FROM daemon d WHERE d.id = h.daemon_id)
                    OR EXISTS (SELECT FROM line WHERE daemon_id = $2
                        AND greatest(asked_at, h.taken_at) < clock_timestamp() - $4 * interval '1 second')
                END AS "is_free!",
                (SELECT integrations FROM line WHERE daemon_id = $2) AS asked
            FROM account_hold h WHERE h.account_hash = $1"#,
            &account[..],
            daemon,
            KEPT_FOR_SECONDS,
            ASKED_MAX_SECONDS,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found)
    }

    /// Takes an account that was found free, unless somebody was faster. Whoever stood before this daemon in the line and did
    /// not come stands there no more.
    async fn take_free_account(
        &self,
        account: &AccountHash,
        daemon: i64,
        found: &FoundAccount,
        is_known: bool,
    ) -> Result<Option<TakenAccount>, Error> {
        let row = sqlx::query!(
            r#"WITH prior AS MATERIALIZED (
                SELECT given_at, ended_ms, last_push_ms, exhausted_ms, exhausted_error FROM account_hold
                WHERE account_hash = $1
            ), taken AS (
                UPDATE account_hold SET daemon_id = $2, term = term + 1, given_at = NULL, taken_at = clock_timestamp()
                WHERE account_hash = $1 AND term = $3 RETURNING term
            ), heard AS (
                DELETE FROM account_wait w WHERE w.account_hash = $1 AND EXISTS (SELECT FROM taken)
                AND (w.daemon_id = $2 OR w.asked_at < coalesce(
                    (SELECT o.asked_at FROM account_wait o, prior WHERE o.account_hash = $1 AND o.daemon_id = $2
                        AND prior.given_at IS NOT NULL),
                    (SELECT given_at FROM prior)))
            )
            SELECT t.term, p.ended_ms, p.last_push_ms, p.exhausted_ms, p.exhausted_error,
                floor(extract(epoch FROM clock_timestamp() - p.given_at) * 1000)::bigint AS given_ms
            FROM taken t, prior p"#,
            &account[..],
            daemon,
            found.term,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let since = |ms: i32, given: i64| from_ms(i64::from(ms) + given);
        let prior = match (row.given_ms, row.ended_ms) {
            _ if is_known => PriorCalls::Own,
            (Some(given), Some(ended)) => PriorCalls::Given(AccountMemory {
                ended: ended.into_iter().map(|ms| since(ms, given)).collect(),
                last_push: row.last_push_ms.map(|ms| since(ms, given)),
                exhausted: row.exhausted_ms.zip(row.exhausted_error).map(|(ms, error)| Failure {
                    retry_after: Some(from_ms(i64::from(ms) - given)),
                    ..Failure::new(FailureClass::Throttled, error)
                }),
            }),
            (given, _) => PriorCalls::Unknown(from_ms(given.unwrap_or(0))),
        };
        Ok(Some(TakenAccount { term: row.term, prior }))
    }

    /// Gives an account away that this daemon took under this term, with what it knows of it.
    pub async fn give_account(
        &self,
        account: &AccountHash,
        daemon: i64,
        term: i64,
        memory: Option<&AccountMemory>,
    ) -> Result<(), Error> {
        let ended: Option<Vec<i32>> = memory.map(|memory| memory.ended.iter().copied().map(to_ms).collect());
        let exhausted = memory.and_then(|memory| memory.exhausted.as_ref());
        let given = sqlx::query!(
            "UPDATE account_hold SET daemon_id = NULL, term = term + 1, given_at = clock_timestamp(), ended_ms = $4,
                 last_push_ms = $5, exhausted_ms = $6, exhausted_error = $7
             WHERE account_hash = $1 AND daemon_id = $2 AND term = $3",
            &account[..],
            daemon,
            term,
            ended.as_deref(),
            memory.and_then(|memory| memory.last_push).map(to_ms),
            exhausted.map(|failure| to_ms(failure.retry_after.unwrap_or_default())),
            exhausted.map(|failure| failure.error.as_str()),
        );
        self.unless_silent(async { Ok(given.execute(&self.pool).await?) }).await.map(drop)
    }

    /// Nobody of a daemon waits for an account any more.
    pub async fn leave_account_line(&self, account: &AccountHash, daemon: i64) -> Result<(), Error> {
        let left = sqlx::query!(
            "DELETE FROM account_wait WHERE account_hash = $1 AND daemon_id = $2",
            &account[..],
            daemon,
        );
        self.unless_silent(async { Ok(left.execute(&self.pool).await?) }).await.map(drop)
    }

    /// Which of the accounts that a daemon takes for its own, each under a term, are so no more: another took them, as it had
    /// waited for too long.
    pub async fn lost_accounts(
        &self,
        daemon: i64,
        held: &[(AccountHash, i64)],
    ) -> Result<Vec<(AccountHash, i64)>, Error> {
        let (accounts, terms): (Vec<_>, Vec<_>) =
            held.iter().map(|(account, term)| (account.to_vec(), *term)).unzip();
        let lost = sqlx::query!(
            r#"SELECT u.account_hash AS "account_hash!", u.term AS "term!"
               FROM unnest($2::bytea[], $3::bigint[]) u(account_hash, term)
               WHERE NOT EXISTS (SELECT FROM account_hold h
                   WHERE h.account_hash = u.account_hash AND h.daemon_id = $1 AND h.term = u.term)"#,
            daemon,
            &accounts,
            &terms,
        );
        let rows = self.unless_silent(async { Ok(lost.fetch_all(&self.pool).await?) }).await?;
        let lost = rows.into_iter().filter_map(|row| Some((row.account_hash.try_into().ok()?, row.term)));
        Ok(lost.collect())
    }

    /// Forgets the accounts that nobody has called for an hour, and who waits no more, or for nobody. What daemons had that
    /// are gone is given away as of now: until when they called is not known.
    pub async fn forget_accounts(&self) -> Result<(), Error> {
        let work = async {
            // What somebody has locked is in use, or is forgotten by another daemon that starts. Whether a holder lives is asked
            // of an array, as of what is taken meanwhile a join keeps the holder before.
            sqlx::query!(
                "WITH gone AS (
                    UPDATE account_hold SET daemon_id = NULL, term = term + 1, given_at = clock_timestamp(), ended_ms = NULL
                    WHERE account_hash IN (SELECT account_hash FROM account_hold
                        WHERE daemon_id <> ALL (ARRAY(SELECT id FROM daemon)) FOR UPDATE SKIP LOCKED)
                ), heard AS (
                    DELETE FROM account_wait WHERE (account_hash, daemon_id) IN (
                        SELECT account_hash, daemon_id FROM account_wait w
                        WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = w.daemon_id)
                            OR NOT EXISTS (SELECT FROM account_hold h WHERE h.account_hash = w.account_hash)
                        FOR UPDATE SKIP LOCKED)
                )
                DELETE FROM account_hold WHERE account_hash IN (SELECT account_hash FROM account_hold
                    WHERE given_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)"
            )
            .execute(&self.pool)
            .await
        };
        self.unless_silent(async { Ok(work.await?) }).await.map(drop)
    }
}
