//! Refresh tokens that rotate: what a target's login gave last stands in for the one of the credentials.
//!
//! Each is kept under the token of the credentials that it came from, so that credentials which are only tried, or put
//! back, find theirs. One daemon at a time logs in: a token that is used twice may cost all of them.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{
    domain::lane::LaneId,
    store::{Error, Store, sealed},
};

/// So many tokens of earlier credentials are kept.
const KEPT_MAX: usize = 4;
/// So long, in seconds, a login may take before another daemon takes its turn.
const TURN_SECONDS: f64 = 60.0;

/// The hash of a token of the credentials, with the newest that its logins gave.
type KeptTokens = Vec<(String, String)>;

fn name_of(own: &SecretString) -> String {
    hex::encode(Sha256::digest(own.expose_secret()))
}

impl Store {
    /// Begins a login with the newest token that came from this one; with itself if there is none. None if another daemon
    /// is logging in.
    pub async fn begin_refresh(
        &self,
        lane: LaneId,
        own: &SecretString,
    ) -> Result<Option<SecretString>, Error> {
        let row = sqlx::query!(
            "UPDATE integration SET refreshing_until = now() + $3 * interval '1 second'
             WHERE company_id = $1 AND id = $2 AND (refreshing_until IS NULL OR refreshing_until < now())
             RETURNING sealed_refresh",
            lane.company.0,
            lane.integration.uuid(),
            TURN_SECONDS,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let kept = self.open_refresh(lane, row.sealed_refresh.as_deref())?;
        let newest = kept.into_iter().find(|(name, _)| *name == name_of(own)).map(|(_, token)| token.into());
        Ok(Some(newest.unwrap_or_else(|| own.clone())))
    }

    /// Ends a login, with the token that it gave if it gave another.
    pub async fn end_refresh(
        &self,
        lane: LaneId,
        own: &SecretString,
        given: Option<&SecretString>,
    ) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        let mut value = None;
        if let Some(given) = given {
            let stored = sqlx::query_scalar!(
                "SELECT sealed_refresh FROM integration WHERE company_id = $1 AND id = $2",
                lane.company.0,
                lane.integration.uuid(),
            )
            .fetch_optional(&mut *tx)
            .await?;
            let mut kept = self.open_refresh(lane, stored.flatten().as_deref())?;
            kept.retain(|(name, _)| *name != name_of(own));
            kept.push((name_of(own), given.expose_secret().to_owned()));
            kept.drain(..kept.len().saturating_sub(KEPT_MAX));
            let plain = serde_json::to_vec(&kept).map_err(|_| Error::Corrupt("refresh token"))?;
            let place = sealed::refresh(lane.company, lane.integration);
            value = Some(self.seal(&mut tx, &place, &plain).await?);
        }
        sqlx::query!(
            "UPDATE integration SET refreshing_until = NULL, sealed_refresh = coalesce($3, sealed_refresh)
             WHERE company_id = $1 AND id = $2",
            lane.company.0,
            lane.integration.uuid(),
            value,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    fn open_refresh(&self, lane: LaneId, value: Option<&[u8]>) -> Result<KeptTokens, Error> {
        let Some(value) = value else { return Ok(KeptTokens::new()) };
        let plain = self.sealer.open(&sealed::refresh(lane.company, lane.integration), value)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("refresh token"))
    }
}
