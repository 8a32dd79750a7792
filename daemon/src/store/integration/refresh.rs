//! Logins with a refresh token: what a target's login gave last stands in for the token of the credentials.
//!
//! Daemons know a login by a hash of its credentials. It has a row: integrations that log in with the same credentials find
//! there what the last of them was given, whoever they are of, the token for calls too, as a login may end the one before.
//! One daemon at a time logs in: a token that is used twice may cost all of them. Turns are counted, so that a login which
//! ends late takes no newer token back and ends nobody else's turn.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::lane::LaneId,
    secrets::AdditionalData,
    store::{Error, Store, sealed},
    telemetry,
};

/// So long a login may take before another daemon takes its turn.
pub const TURN: Duration = Duration::from_secs(60);

/// What daemons know a login by.
pub type LoginHash = [u8; 32];

/// What comes of asking for a turn at a login.
#[derive(Debug)]
pub enum LoginStart<T> {
    /// A login begins.
    Begun(LoginTurn),
    /// None is needed: this is what the last one gave for calls.
    Given(T),
    /// Another daemon is logging in.
    Busy,
    /// The integration is gone.
    Gone,
}

/// What a login begins with.
#[derive(Debug)]
pub struct LoginTurn {
    /// Which of the login's turns it is.
    pub number: i64,
    /// The newest refresh token.
    pub refresh: SecretString,
}

/// What a login gave.
#[derive(Clone, Debug)]
pub struct LoginGiven {
    /// The refresh token that takes the place of the one that was used, if there is another.
    pub refresh: Option<SecretString>,
    /// What calls are made with, to be kept.
    pub token: SecretString,
}

/// The row of a login.
struct LoginRow {
    sealed_refresh: Option<Vec<u8>>,
    sealed_token: Option<Vec<u8>>,
    is_busy: bool,
}

/// By what a login's row is found: half of the hash tells logins apart as well.
pub(super) fn login_id(login: &LoginHash) -> Uuid {
    Uuid::from_u128(u128::from_be_bytes(*login.first_chunk().unwrap_or(&[0; 16])))
}

impl Store {
    /// From here on the integration logs in so, if this is its version still. If somebody holds its row, it joins when it
    /// next logs in.
    pub async fn join_login(
        &self,
        lane: LaneId,
        version: i32,
        login: &LoginHash,
        own: &SecretString,
    ) -> Result<(), Error> {
        let id = login_id(login);
        let is_joined = sqlx::query_scalar!(
            r#"SELECT version <> $3 OR (login IS NOT DISTINCT FROM $4 AND sealed_refresh IS NULL) AS "is_joined!"
               FROM integration WHERE company_id = $1 AND id = $2"#,
            lane.company.0,
            lane.integration.uuid(),
            version,
            id,
        )
        .fetch_optional(&self.pool)
        .await?;
        if is_joined != Some(false) {
            return Ok(());
        }
        let joined = async {
            let mut tx = self.begin_aside().await?;
            let mut row = lock_login(&mut tx, id).await?;
            self.join(&mut tx, id, &mut row, lane, Some(version), own).await?;
            Ok::<_, Error>(tx.commit().await?)
        };
        match joined.await {
            Err(Error::Locked) => Ok(()),
            // Whoever logs in is told so.
            Err(error) if error.blames_values() => {
                unreadable(&sealed::refresh(lane.company, lane.integration), &error);
                Ok(())
            }
            joined => joined,
        }
    }

    /// Asks for a turn at a login, which takes the newest token that came from this one of the credentials, or itself if
    /// there is none. What the last login gave for calls is read first: where that is good, nobody logs in. The integration
    /// joins the login if these are the credentials of this version of it, and not only tried.
    pub async fn begin_refresh<T: Send>(
        &self,
        lane: LaneId,
        version: Option<i32>,
        login: &LoginHash,
        own: &SecretString,
        read: &(impl Fn(&SecretString) -> Option<T> + Sync),
    ) -> Result<LoginStart<T>, Error> {
        let id = login_id(login);
        // That of credentials which are only tried is locked in any case: nobody forgets it before they are taken.
        if version.is_some()
            && let Some(row) = self.login_row(id).await?
        {
            if let Some(token) = self.read_token(id, row.sealed_token, read) {
                return Ok(LoginStart::Given(token));
            }
            if row.is_busy {
                return Ok(LoginStart::Busy);
            }
        }
        let mut tx = self.begin_aside().await?;
        let mut row = lock_login(&mut tx, id).await?;
        if row.is_busy {
            return Ok(LoginStart::Busy);
        }
        if !self.join(&mut tx, id, &mut row, lane, version, own).await? {
            return Ok(LoginStart::Gone);
        }
        // Another login may have ended in between.
        if let Some(token) = self.read_token(id, row.sealed_token, read) {
            tx.commit().await?;
            return Ok(LoginStart::Given(token));
        }
        let refresh = row.sealed_refresh.map(|value| self.open_text(&sealed::login_refresh(id), &value));
        let refresh = refresh.transpose()?.unwrap_or_else(|| own.clone());
        let number = sqlx::query_scalar!(
            "UPDATE login SET turn = turn + 1, refreshing_until = clock_timestamp() + $2 * interval '1 second'
             WHERE id = $1 RETURNING turn",
            id,
            TURN.as_secs_f64(),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(LoginStart::Begun(LoginTurn { number, refresh }))
    }

    /// A login as it stands, whoever is about to change it.
    async fn login_row(&self, login: Uuid) -> Result<Option<LoginRow>, Error> {
        let row = sqlx::query_as!(
            LoginRow,
            r#"SELECT sealed_refresh, sealed_token, refreshing_until > clock_timestamp() AS "is_busy!"
               FROM login WHERE id = $1"#,
            login,
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// What was kept for calls, if it is good. What cannot be read is got anew.
    fn read_token<T>(
        &self,
        login: Uuid,
        kept: Option<Vec<u8>>,
        read: &impl Fn(&SecretString) -> Option<T>,
    ) -> Option<T> {
        let place = sealed::login_token(login);
        let token = self.open_text(&place, &kept?).inspect_err(|error| unreadable(&place, error)).ok();
        read(&token?)
    }

    /// Has an integration of this version log in so, and the login take over what the integration itself was given before
    /// there was a row for that. False if the integration is gone.
    async fn join(
        &self,
        db: &mut PgConnection,
        login: Uuid,
        row: &mut LoginRow,
        lane: LaneId,
        version: Option<i32>,
        own: &SecretString,
    ) -> Result<bool, Error> {
        let (company, integration) = (lane.company.0, lane.integration.uuid());
        let kept = sqlx::query_scalar!(
            "SELECT sealed_refresh FROM integration WHERE company_id = $1 AND id = $2",
            company,
            integration,
        )
        .fetch_optional(&mut *db)
        .await?;
        let Some(kept) = kept else { return Ok(false) };
        let newest = match kept.filter(|_| row.sealed_refresh.is_none()) {
            Some(kept) => self.kept_by_itself(lane, &kept, own),
            None => Ok(None),
        };
        let newest = match newest {
            // What is not known to be the newest is not used, unless it was given just now.
            Err(error) if version.is_none() => {
                unreadable(&sealed::refresh(lane.company, lane.integration), &error);
                None
            }
            newest => newest?,
        };
        if let Some(newest) = newest {
            let value = self.seal(db, &sealed::login_refresh(login), newest.as_bytes()).await?;
            sqlx::query!("UPDATE login SET sealed_refresh = $2 WHERE id = $1", login, value)
                .execute(&mut *db)
                .await?;
            row.sealed_refresh = Some(value);
        }
        let Some(version) = version else { return Ok(true) };
        // A row that somebody holds keeps no login waiting.
        sqlx::query!(
            "UPDATE integration SET login = $3, sealed_refresh = NULL
             WHERE (company_id, id) IN (
                 SELECT company_id, id FROM integration WHERE company_id = $1 AND id = $2 AND version = $4
                     AND (login IS DISTINCT FROM $3 OR sealed_refresh IS NOT NULL) FOR NO KEY UPDATE SKIP LOCKED)",
            company,
            integration,
            login,
            version,
        )
        .execute(db)
        .await?;
        Ok(true)
    }

    /// What an integration kept for itself: pairs of a token's hash, and the newest that came from that one.
    fn kept_by_itself(&self, lane: LaneId, kept: &[u8], own: &SecretString) -> Result<Option<String>, Error> {
        let plain = self.sealer.open(&sealed::refresh(lane.company, lane.integration), kept)?;
        let kept: Vec<(String, String)> =
            serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("refresh token"))?;
        let own = hex::encode(Sha256::digest(own.expose_secret()));
        Ok(kept.into_iter().find(|(hash, _)| *hash == own).map(|(_, newest)| newest))
    }

    /// Ends a login, with what it gave if it was good. One that ends once its turn is over leaves what it gave if no later one
    /// gave anything, and another's turn as it is. So does one that is ended again.
    pub async fn end_refresh(
        &self,
        login: &LoginHash,
        number: i64,
        given: Option<&LoginGiven>,
    ) -> Result<(), Error> {
        let id = login_id(login);
        let mut tx = self.begin_aside().await?;
        let newest = given.and_then(|given| given.refresh.as_ref());
        let refresh = self.seal_given(&mut tx, &sealed::login_refresh(id), newest).await?;
        let token = given.map(|given| &given.token);
        let token = self.seal_given(&mut tx, &sealed::login_token(id), token).await?;
        sqlx::query!(
            "INSERT INTO login AS l (id, sealed_refresh, sealed_token, turn, given_turn, refreshing_until)
             VALUES ($1, $2, $3, $4::bigint, CASE WHEN $3::bytea IS NULL THEN 0 ELSE $4::bigint END, clock_timestamp())
             ON CONFLICT (id) DO UPDATE SET
                 sealed_refresh = CASE WHEN l.given_turn < excluded.given_turn
                     THEN coalesce(excluded.sealed_refresh, l.sealed_refresh) ELSE l.sealed_refresh END,
                 sealed_token = CASE WHEN l.given_turn < excluded.given_turn
                     THEN excluded.sealed_token ELSE l.sealed_token END,
                 given_turn = greatest(l.given_turn, excluded.given_turn),
                 refreshing_until = CASE WHEN l.turn <= excluded.turn
                     THEN clock_timestamp() ELSE l.refreshing_until END",
            id,
            refresh,
            token,
            number,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn seal_given(
        &self,
        db: &mut PgConnection,
        place: &AdditionalData,
        secret: Option<&SecretString>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(secret) = secret else { return Ok(None) };
        self.seal(db, place, secret.expose_secret().as_bytes()).await.map(Some)
    }

    /// Forgets the logins that no integration has had for 30 days: credentials that were only tried, or that others took the
    /// place of, find their newest token when they are given again.
    pub(super) async fn forget_logins(&self) -> Result<(), Error> {
        // From a day to the next it is had still, however long ago somebody logged in.
        sqlx::query!(
            "UPDATE login SET refreshing_until = clock_timestamp() WHERE id IN (
                 SELECT id FROM login l WHERE refreshing_until < clock_timestamp() - interval '1 day'
                     AND EXISTS (SELECT FROM integration i WHERE i.login = l.id) FOR UPDATE SKIP LOCKED)"
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!(
            "DELETE FROM login WHERE id IN (
                 SELECT id FROM login l WHERE refreshing_until < clock_timestamp() - interval '30 days'
                     AND NOT EXISTS (SELECT FROM integration i WHERE i.login = l.id) FOR UPDATE SKIP LOCKED)"
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn unreadable(place: &AdditionalData, error: &Error) {
    tracing::warn!(
        event = "login_unreadable",
        %place,
        error = telemetry::causes(error),
        "what an earlier login gave cannot be read"
    );
}

/// Until the transaction ends nobody else begins or ends such a login, and nobody forgets it.
async fn lock_login(db: &mut PgConnection, login: Uuid) -> Result<LoginRow, Error> {
    let row = sqlx::query_as!(
        LoginRow,
        r#"INSERT INTO login AS l (id, refreshing_until) VALUES ($1, clock_timestamp())
           ON CONFLICT (id) DO UPDATE SET refreshing_until = greatest(l.refreshing_until, clock_timestamp())
           RETURNING sealed_refresh, sealed_token, refreshing_until > clock_timestamp() AS "is_busy!""#,
        login,
    );
    Ok(row.fetch_one(db).await?)
}
