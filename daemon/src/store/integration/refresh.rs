//! Refresh tokens that rotate: what a target's login gave last stands in for the one of the credentials.
//!
//! Each is kept under the token of the credentials that it came from, so that credentials which are only tried, or put
//! back, find theirs. One login at a time: a token that is used twice may cost all of them. Several integrations of a
//! company may have one app's token, and which do shows only unsealed, so all of one connector take turns.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::{
    domain::lane::LaneId,
    store::{Error, Store, sealed},
};

/// So many tokens of earlier credentials are kept.
const KEPT_MAX: usize = 4;
/// So long a login may take before another takes its turn.
pub const TURN: Duration = Duration::from_secs(60);

/// The hash of a token of the credentials, with the newest that its logins gave.
type KeptTokens = Vec<(String, String)>;

fn name_of(own: &SecretString) -> String {
    hex::encode(Sha256::digest(own.expose_secret()))
}

/// What an integration keeps of its logins.
struct KeptLogins {
    lane: LaneId,
    is_busy: bool,
    tokens: KeptTokens,
}

impl Store {
    /// Begins a login with the newest token that came from this one; with itself if there is none. None if another is
    /// under way.
    pub async fn begin_refresh(
        &self,
        lane: LaneId,
        own: &SecretString,
    ) -> Result<Option<SecretString>, Error> {
        let mut tx = self.pool.begin().await?;
        let alike = self.lock_logins(&mut tx, lane).await?;
        if alike.is_empty() || alike.iter().any(|one| one.is_busy) {
            return Ok(None);
        }
        sqlx::query!(
            "UPDATE integration SET refreshing_until = now() + $3 * interval '1 second'
             WHERE company_id = $1 AND id = $2",
            lane.company.0,
            lane.integration.uuid(),
            TURN.as_secs_f64(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut tokens = alike.into_iter().flat_map(|one| one.tokens);
        let newest = tokens.find(|(name, _)| *name == name_of(own)).map(|(_, token)| token.into());
        Ok(Some(newest.unwrap_or_else(|| own.clone())))
    }

    /// Ends a login, with the token that it gave if it gave another: it takes the place of the one before wherever that is
    /// kept.
    pub async fn end_refresh(
        &self,
        lane: LaneId,
        own: &SecretString,
        given: Option<&SecretString>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        if let Some(given) = given {
            let is_own = |(name, _): &(String, String)| *name == name_of(own);
            for mut one in self.lock_logins(&mut tx, lane).await? {
                if one.lane != lane && !one.tokens.iter().any(is_own) {
                    continue;
                }
                one.tokens.retain(|token| !is_own(token));
                one.tokens.push((name_of(own), given.expose_secret().to_owned()));
                one.tokens.drain(..one.tokens.len().saturating_sub(KEPT_MAX));
                self.keep_tokens(&mut tx, one.lane, &one.tokens).await?;
            }
        }
        sqlx::query!(
            "UPDATE integration SET refreshing_until = NULL WHERE company_id = $1 AND id = $2",
            lane.company.0,
            lane.integration.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// What the company's integrations of this one's connector keep, which nobody else changes until the commit. A lock of
    /// its own says so, and not those of the rows, as flushes take them in another order.
    async fn lock_logins(&self, tx: &mut PgConnection, lane: LaneId) -> Result<Vec<KeptLogins>, Error> {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('leadline login', $1))", lane.company.0)
            .execute(&mut *tx)
            .await?;
        let rows = sqlx::query!(
            r#"SELECT o.id, o.sealed_refresh, (o.refreshing_until >= now()) IS TRUE AS "is_busy!"
               FROM integration i JOIN integration o ON o.company_id = i.company_id AND o.connector = i.connector
               WHERE i.company_id = $1 AND i.id = $2 ORDER BY o.id"#,
            lane.company.0,
            lane.integration.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let one = LaneId::new(lane.company, row.id);
            let tokens = match self.open_refresh(one, row.sealed_refresh.as_deref()) {
                // What no key opens any more keeps away nobody but its own integration.
                Err(_) if one != lane => KeptTokens::new(),
                opened => opened?,
            };
            all.push(KeptLogins { lane: one, is_busy: row.is_busy, tokens });
        }
        Ok(all)
    }

    async fn keep_tokens(
        &self,
        tx: &mut PgConnection,
        lane: LaneId,
        tokens: &[(String, String)],
    ) -> Result<(), Error> {
        let plain = serde_json::to_vec(tokens).map_err(|_| Error::Corrupt("refresh token"))?;
        let sealed = self.seal(tx, &sealed::refresh(lane.company, lane.integration), &plain).await?;
        sqlx::query!(
            "UPDATE integration SET sealed_refresh = $3 WHERE company_id = $1 AND id = $2",
            lane.company.0,
            lane.integration.uuid(),
            sealed,
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    fn open_refresh(&self, lane: LaneId, value: Option<&[u8]>) -> Result<KeptTokens, Error> {
        let Some(value) = value else { return Ok(KeptTokens::new()) };
        let plain = self.sealer.open(&sealed::refresh(lane.company, lane.integration), value)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("refresh token"))
    }
}
