//! Logins with a refresh token: what a target's login gave last stands in for the token of the credentials.
//!
//! Refresh tokens may rotate: each is kept under the token of the credentials that it came from, so that credentials which
//! are only tried, or put back, find theirs. One daemon at a time logs in: a token that is used twice may cost all of them.
//! Integrations that log in with the same credentials do so together, whoever they are of: all of them get what one of
//! them is given, the token for calls too, as a login may end the one before.

use std::cmp::Reverse;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    store::{Error, Store, sealed},
    telemetry,
};

/// So many tokens of earlier credentials are kept.
const KEPT_MAX: usize = 4;
/// So long, in seconds, a login may take before another daemon takes its turn.
const TURN_SECONDS: f64 = 60.0;

/// What a login is known by, whoever makes it.
pub type LoginHash = [u8; 32];

/// The hash of a token of the credentials, with the newest that its logins gave.
type KeptTokens = Vec<(String, String)>;

/// What a login begins with.
#[derive(Debug)]
pub struct LoginTurn {
    /// The newest refresh token.
    pub refresh: SecretString,
    /// What the last login gave for calls, as it was kept.
    pub token: Option<SecretString>,
}

/// What a login gave.
#[derive(Clone, Debug)]
pub struct LoginGiven {
    /// The refresh token that takes the place of the one that was used, if there is another.
    pub refresh: Option<SecretString>,
    /// What calls are made with, to be kept.
    pub token: SecretString,
}

/// An integration that logs in so.
struct Sibling {
    lane: LaneId,
    sealed_refresh: Option<Vec<u8>>,
    sealed_token: Option<Vec<u8>>,
    /// It was the last to log in so, not with other credentials.
    is_current: bool,
    /// When what a login gave was kept there.
    login_at: Option<jiff::Timestamp>,
    is_busy: bool,
}

fn name_of(own: &SecretString) -> String {
    hex::encode(Sha256::digest(own.expose_secret()))
}

impl Store {
    /// Begins a login with the newest token that came from this one of the credentials; with itself if there is none. None
    /// if somebody else is logging in so.
    pub async fn begin_refresh(
        &self,
        lane: LaneId,
        login: &LoginHash,
        own: &SecretString,
    ) -> Result<Option<LoginTurn>, Error> {
        let mut tx = self.begin_aside().await?;
        lock_login(&mut tx, login).await?;
        let siblings = siblings(&mut tx, lane, login).await?;
        if siblings.iter().any(|sibling| sibling.is_busy) {
            return Ok(None);
        }
        // A daemon of an earlier version goes by this row alone.
        let begun = sqlx::query!(
            "UPDATE integration SET refreshing_until = clock_timestamp() + $3 * interval '1 second', login = $4,
                 sealed_token = CASE WHEN login = $4 THEN sealed_token END
             WHERE company_id = $1 AND id = $2 AND (refreshing_until IS NULL OR refreshing_until < clock_timestamp())",
            lane.company.0,
            lane.integration.uuid(),
            TURN_SECONDS,
            &login[..],
        )
        .execute(&mut *tx)
        .await?;
        if begun.rows_affected() == 0 {
            return Ok(None);
        }
        let turn = self.turn(siblings, lane, own)?;
        tx.commit().await?;
        Ok(Some(turn))
    }

    /// What is newest: where somebody held a row while a login ended, what it gave was not kept there. Of rows of one login an
    /// integration's own goes first, as a daemon of an earlier version writes no other.
    fn turn(&self, mut siblings: Vec<Sibling>, lane: LaneId, own: &SecretString) -> Result<LoginTurn, Error> {
        siblings.sort_by_key(|sibling| Reverse((sibling.is_current, sibling.login_at, sibling.lane == lane)));
        let (mut refresh, mut token) = (None, None);
        for Sibling { lane: other, sealed_refresh, sealed_token, is_current, .. } in siblings {
            let kept = match self.open_refresh(other, sealed_refresh.as_deref()) {
                // What cannot be read at another integration is nothing to this one.
                Err(error) if other != lane => {
                    unreadable(other, &error);
                    continue;
                }
                kept => kept?,
            };
            let newest = kept.into_iter().find(|(name, _)| *name == name_of(own));
            refresh = refresh.or(newest.map(|(_, token)| SecretString::from(token)));
            if let Some(value) = sealed_token.filter(|_| is_current && token.is_none()) {
                // A token for calls that cannot be read is got anew.
                let opened = self.open_text(&sealed::token(other.company, other.integration), &value);
                token = opened.inspect_err(|error| unreadable(other, error)).ok();
            }
        }
        Ok(LoginTurn { refresh: refresh.unwrap_or_else(|| own.clone()), token })
    }

    /// Ends a login, with what it gave if it was good. Siblings whose rows somebody holds are left out: a token that is kept
    /// too late is lost.
    pub async fn end_refresh(
        &self,
        lane: LaneId,
        login: &LoginHash,
        own: &SecretString,
        given: Option<&LoginGiven>,
    ) -> Result<(), Error> {
        let LaneId { company, integration } = lane;
        let mut tx = self.begin_aside().await?;
        if let Some(given) = given {
            lock_login(&mut tx, login).await?;
            let row = sqlx::query!(
                "SELECT sealed_refresh FROM integration WHERE company_id = $1 AND id = $2 FOR NO KEY UPDATE",
                company.0,
                integration.uuid(),
            )
            .fetch_optional(&mut *tx)
            .await?;
            let others = sqlx::query!(
                "SELECT company_id, id, sealed_refresh FROM integration
                 WHERE login = $3 AND deleted_at IS NULL AND NOT (company_id = $1 AND id = $2)
                 ORDER BY 1, 2 FOR NO KEY UPDATE SKIP LOCKED",
                company.0,
                integration.uuid(),
                &login[..],
            )
            .fetch_all(&mut *tx)
            .await?;
            let others = others
                .into_iter()
                .map(|row| (LaneId::new(CompanyId(row.company_id), row.id), row.sealed_refresh));
            for (lane, sealed) in row.map(|row| (lane, row.sealed_refresh)).into_iter().chain(others) {
                self.keep_login(&mut tx, lane, sealed.as_deref(), own, given).await?;
            }
        }
        sqlx::query!(
            "UPDATE integration SET refreshing_until = NULL WHERE company_id = $1 AND id = $2",
            company.0,
            integration.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps what a login gave with an integration that logs in so.
    async fn keep_login(
        &self,
        db: &mut PgConnection,
        lane: LaneId,
        sealed_refresh: Option<&[u8]>,
        own: &SecretString,
        given: &LoginGiven,
    ) -> Result<(), Error> {
        let LaneId { company, integration } = lane;
        let mut refresh = None;
        if let Some(given) = &given.refresh {
            // What cannot be read is worth less than the only token that there is now.
            let opened = self.open_refresh(lane, sealed_refresh);
            let mut kept = opened.inspect_err(|error| unreadable(lane, error)).unwrap_or_default();
            kept.retain(|(name, _)| *name != name_of(own));
            kept.push((name_of(own), given.expose_secret().to_owned()));
            kept.drain(..kept.len().saturating_sub(KEPT_MAX));
            let plain = serde_json::to_vec(&kept).map_err(|_| Error::Corrupt("refresh token"))?;
            refresh = Some(self.seal(db, &sealed::refresh(company, integration), &plain).await?);
        }
        let plain = given.token.expose_secret().as_bytes();
        let token = self.seal(db, &sealed::token(company, integration), plain).await?;
        sqlx::query!(
            "UPDATE integration SET sealed_refresh = coalesce($3, sealed_refresh), sealed_token = $4,
                 login_at = now()
             WHERE company_id = $1 AND id = $2",
            company.0,
            integration.uuid(),
            refresh,
            token,
        )
        .execute(db)
        .await?;
        Ok(())
    }

    fn open_refresh(&self, lane: LaneId, value: Option<&[u8]>) -> Result<KeptTokens, Error> {
        let Some(value) = value else { return Ok(KeptTokens::new()) };
        let plain = self.sealer.open(&sealed::refresh(lane.company, lane.integration), value)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("refresh token"))
    }
}

fn unreadable(lane: LaneId, error: &Error) {
    tracing::warn!(
        event = "login_unreadable",
        integration = %lane.integration,
        error = telemetry::causes(error),
        "what an earlier login gave cannot be read"
    );
}

/// Until the transaction ends nobody else begins or ends such a login.
async fn lock_login(db: &mut PgConnection, login: &LoginHash) -> Result<(), Error> {
    let [a, b, c, d, e, f, g, h, ..] = *login;
    let lock = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", lock).execute(db).await?;
    Ok(())
}

/// An integration and all that log in as it does.
async fn siblings(db: &mut PgConnection, lane: LaneId, login: &LoginHash) -> Result<Vec<Sibling>, Error> {
    let rows = sqlx::query!(
        r#"SELECT company_id, id, sealed_refresh, sealed_token, login IS NOT DISTINCT FROM $3 AS "is_current!",
               login_at, coalesce(refreshing_until > clock_timestamp(), false) AS "is_busy!"
           FROM integration WHERE company_id = $1 AND id = $2 OR login = $3 AND deleted_at IS NULL"#,
        lane.company.0,
        lane.integration.uuid(),
        &login[..],
    )
    .fetch_all(db)
    .await?;
    let siblings = rows.into_iter().map(|row| Sibling {
        lane: LaneId::new(CompanyId(row.company_id), row.id),
        sealed_refresh: row.sealed_refresh,
        sealed_token: row.sealed_token,
        is_current: row.is_current,
        login_at: row.login_at.map(jiff_sqlx::Timestamp::to_jiff),
        is_busy: row.is_busy,
    });
    Ok(siblings.collect())
}
