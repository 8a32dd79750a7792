//! Which daemon calls an account of a vendor: one at a time, where the calls of one have to do with those of another.
//!
//! The row says who has it, for as long as that daemon lives, and who waits for it. Whoever gives it away leaves what counts
//! of the time before: how long ago, so that nobody's clock matters.

use std::time::Duration;

use super::{Error, Store};

/// What an account is known by: a hash, as credentials may be part of it.
pub type AccountHash = [u8; 32];

/// How long, in seconds, an account that was given away waits for the daemon that asked for it.
const KEPT_FOR_SECONDS: f64 = 1.0;
/// Longer, in seconds, than any push takes. A daemon that lives and does not give an account away is not waited for longer.
const ASKED_MAX_SECONDS: f64 = 600.0;

/// What a daemon knows of an account when it gives it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountMemory {
    /// How long ago the calls ended that count in the vendor's quota.
    pub ended: Vec<Duration>,
    /// How long ago a push for somebody ended; none if none did of late.
    pub met: Option<Duration>,
}

/// What is known of the time before, by whoever takes an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// What this daemon knows itself: no other had the account.
    Own,
    /// What the daemon knew that gave it away.
    Given(AccountMemory),
    /// Nothing: another daemon had it until so long ago.
    Unknown(Duration),
}

fn to_ms(age: Duration) -> i32 {
    i32::try_from(age.as_millis()).unwrap_or(i32::MAX)
}

fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl Store {
    /// Takes an account for a daemon, if no other that lives has it. None if one does: it is asked to give it away, unless
    /// somebody has asked already.
    pub async fn take_account(&self, account: &AccountHash, daemon: i64) -> Result<Option<Before>, Error> {
        let made = sqlx::query!(
            "INSERT INTO account_hold (account, daemon_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &account[..],
            daemon,
        )
        .execute(&self.pool)
        .await?;
        if made.rows_affected() > 0 {
            return Ok(Some(Before::Own));
        }
        // Whoever waits looks often: it locks and writes nothing unless something changes, and then only what it saw.
        let row = sqlx::query!(
            r#"WITH seen AS MATERIALIZED (
                SELECT *, CASE
                    WHEN h.daemon_id IS NULL THEN h.asked_by IS NULL OR h.asked_by = $2
                        OR h.given_at < clock_timestamp() - $3 * interval '1 second'
                    ELSE h.daemon_id = $2 OR coalesce(h.asked_at < clock_timestamp() - $4 * interval '1 second', false)
                        OR NOT EXISTS (SELECT FROM daemon d WHERE d.id = h.daemon_id AND d.lease_until > clock_timestamp())
                    END AS is_free
                FROM account_hold h WHERE h.account = $1
            )
            UPDATE account_hold h SET
                daemon_id = CASE WHEN s.is_free THEN $2 ELSE s.daemon_id END,
                given_at = CASE WHEN s.is_free THEN NULL ELSE s.given_at END,
                asked_by = CASE WHEN s.is_free THEN NULL ELSE $2 END,
                asked_at = CASE WHEN s.is_free THEN NULL ELSE clock_timestamp() END
            FROM seen s WHERE h.account = s.account AND (s.is_free OR s.asked_by IS NULL)
                AND (h.daemon_id, h.asked_by, h.given_at) IS NOT DISTINCT FROM (s.daemon_id, s.asked_by, s.given_at)
            RETURNING s.is_free AS "is_free!", coalesce(s.daemon_id = $2, false) AS "is_own!", s.ended_ms, s.met_ms,
                floor(extract(epoch FROM clock_timestamp() - s.given_at) * 1000)::bigint AS given_ms"#,
            &account[..],
            daemon,
            KEPT_FOR_SECONDS,
            ASKED_MAX_SECONDS,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row.filter(|row| row.is_free) else { return Ok(None) };
        let since = |ms: i32, given: i64| from_ms(i64::from(ms) + given);
        Ok(Some(match (row.given_ms, row.ended_ms) {
            _ if row.is_own => Before::Own,
            (Some(given), Some(ended)) => Before::Given(AccountMemory {
                ended: ended.into_iter().map(|ms| since(ms, given)).collect(),
                met: row.met_ms.map(|ms| since(ms, given)),
            }),
            (given, _) => Before::Unknown(from_ms(given.unwrap_or(0))),
        }))
    }

    /// Gives an account away that this daemon has, with what it knows of it.
    pub async fn give_account(
        &self,
        account: &AccountHash,
        daemon: i64,
        memory: Option<&AccountMemory>,
    ) -> Result<(), Error> {
        let ended: Option<Vec<i32>> = memory.map(|memory| memory.ended.iter().copied().map(to_ms).collect());
        sqlx::query!(
            "UPDATE account_hold SET daemon_id = NULL, given_at = clock_timestamp(), ended_ms = $3, met_ms = $4
             WHERE account = $1 AND daemon_id = $2",
            &account[..],
            daemon,
            ended.as_deref(),
            memory.and_then(|memory| memory.met).map(to_ms),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets the accounts that nobody has called for an hour. What daemons had that are gone is given away as of now:
    /// until when they called is not known.
    pub async fn forget_accounts(&self) -> Result<(), Error> {
        sqlx::query!(
            "WITH gone AS (
                UPDATE account_hold h SET daemon_id = NULL, given_at = clock_timestamp(), ended_ms = NULL, met_ms = NULL
                WHERE daemon_id IS NOT NULL AND NOT EXISTS (SELECT FROM daemon d WHERE d.id = h.daemon_id)
            )
            DELETE FROM account_hold WHERE given_at < clock_timestamp() - interval '1 hour'"
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
