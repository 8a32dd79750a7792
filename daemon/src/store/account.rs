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
/// Longer, in seconds, than any push takes. A daemon that lives and does not give an account away is not waited for longer.
const ASKED_MAX_SECONDS: f64 = 600.0;

/// What a daemon knows of an account when it gives it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountMemory {
    /// How long ago the calls ended that count in the vendor's quota.
    pub ended: Vec<Duration>,
    /// How long ago a push for somebody ended; none if none did of late.
    pub last_push: Option<Duration>,
    /// How pushes fail, and for how long yet, as what the account may call in a day is all but used.
    pub spent: Option<Failure>,
}

/// What is known of the time before, by whoever takes an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
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
    pub before: Before,
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
        let Some(found) = self.find_account(account, daemon).await? else {
            let made = sqlx::query_scalar!(
                "INSERT INTO account_hold (account, daemon_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING term",
                &account[..],
                daemon,
            )
            .fetch_optional(&self.pool)
            .await?;
            return Ok(made.map(|term| TakenAccount { term, before: Before::Own }));
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
                "INSERT INTO account_wait (account, daemon_id, integrations) VALUES ($1, $2, $3)
                 ON CONFLICT (account, daemon_id) DO UPDATE SET integrations = EXCLUDED.integrations",
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
                WHERE w.account = $1 AND EXISTS (SELECT FROM daemon d WHERE d.id = w.daemon_id))
            SELECT h.term, coalesce(h.daemon_id = $2, false) AS "is_own!",
                CASE WHEN h.daemon_id IS NULL THEN
                    coalesce((SELECT daemon_id FROM line ORDER BY asked_at, daemon_id LIMIT 1), $2) = $2
                    OR h.given_at < clock_timestamp() - $3 * interval '1 second'
                ELSE
                    h.daemon_id = $2
                    OR NOT EXISTS (SELECT FROM daemon d WHERE d.id = h.daemon_id)
                    OR EXISTS (SELECT FROM line WHERE daemon_id = $2
                        AND asked_at < clock_timestamp() - $4 * interval '1 second')
                END AS "is_free!",
                (SELECT integrations FROM line WHERE daemon_id = $2) AS asked
            FROM account_hold h WHERE h.account = $1"#,
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
            r#"WITH before AS MATERIALIZED (
                SELECT given_at, ended_ms, last_push_ms, spent_ms, spent_error FROM account_hold WHERE account = $1
            ), taken AS (
                UPDATE account_hold SET daemon_id = $2, term = term + 1, given_at = NULL
                WHERE account = $1 AND term = $3 RETURNING term
            ), heard AS (
                DELETE FROM account_wait w WHERE w.account = $1 AND EXISTS (SELECT FROM taken)
                AND (w.daemon_id = $2 OR w.asked_at < coalesce(
                    (SELECT o.asked_at FROM account_wait o, before WHERE o.account = $1 AND o.daemon_id = $2
                        AND before.given_at IS NOT NULL),
                    (SELECT given_at FROM before)))
            )
            SELECT t.term, b.ended_ms, b.last_push_ms, b.spent_ms, b.spent_error,
                floor(extract(epoch FROM clock_timestamp() - b.given_at) * 1000)::bigint AS given_ms
            FROM taken t, before b"#,
            &account[..],
            daemon,
            found.term,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let since = |ms: i32, given: i64| from_ms(i64::from(ms) + given);
        let before = match (row.given_ms, row.ended_ms) {
            _ if is_known => Before::Own,
            (Some(given), Some(ended)) => Before::Given(AccountMemory {
                ended: ended.into_iter().map(|ms| since(ms, given)).collect(),
                last_push: row.last_push_ms.map(|ms| since(ms, given)),
                spent: row.spent_ms.zip(row.spent_error).map(|(ms, error)| Failure {
                    retry_after: Some(from_ms(i64::from(ms) - given)),
                    ..Failure::new(FailureClass::Throttled, error)
                }),
            }),
            (given, _) => Before::Unknown(from_ms(given.unwrap_or(0))),
        };
        Ok(Some(TakenAccount { term: row.term, before }))
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
        let spent = memory.and_then(|memory| memory.spent.as_ref());
        sqlx::query!(
            "UPDATE account_hold SET daemon_id = NULL, term = term + 1, given_at = clock_timestamp(), ended_ms = $4,
                 last_push_ms = $5, spent_ms = $6, spent_error = $7
             WHERE account = $1 AND daemon_id = $2 AND term = $3",
            &account[..],
            daemon,
            term,
            ended.as_deref(),
            memory.and_then(|memory| memory.last_push).map(to_ms),
            spent.map(|failure| to_ms(failure.retry_after.unwrap_or_default())),
            spent.map(|failure| failure.error.as_str()),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets the accounts that nobody has called for an hour, and who waits no more. What daemons had that are gone is given
    /// away as of now: until when they called is not known.
    pub async fn forget_accounts(&self) -> Result<(), Error> {
        let work = async {
            // What somebody has locked is in use, or is forgotten by another daemon that starts.
            sqlx::query!(
                "WITH gone AS (
                    UPDATE account_hold SET daemon_id = NULL, term = term + 1, given_at = clock_timestamp(), ended_ms = NULL
                    WHERE account IN (SELECT account FROM account_hold h WHERE h.daemon_id IS NOT NULL
                        AND NOT EXISTS (SELECT FROM daemon d WHERE d.id = h.daemon_id) FOR UPDATE SKIP LOCKED)
                ), heard AS (
                    DELETE FROM account_wait WHERE (account, daemon_id) IN (SELECT account, daemon_id FROM account_wait w
                        WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = w.daemon_id) FOR UPDATE SKIP LOCKED)
                )
                DELETE FROM account_hold WHERE account IN (SELECT account FROM account_hold
                    WHERE given_at < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)"
            )
            .execute(&self.pool)
            .await
        };
        self.unless_silent(async { Ok(work.await?) }).await.map(drop)
    }
}
