//! Logins with a refresh token: what a target's login gave last stands in for the token of the credentials.
//!
//! A login is known by a hash of all that it sends, and has a row: integrations that log in with the same credentials find
//! there what the last of them was given, whoever they are of, the token for calls too, as a login may end the one before.
//! One daemon at a time logs in: a token that is used twice may cost all of them. Turns are counted, so that a login which
//! ends late takes no newer token back and ends nobody else's turn.
//!
//! A daemon of a version before this knows nothing of that row. It goes by the integration's own, where the newest token
//! stands under that of the credentials that it came from: there it is kept too. Such a daemon ends a login with no time in
//! `refreshing_until`, which nobody else does: then what stands there is the newest.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{ids::CompanyId, lane::LaneId},
    secrets::AdditionalData,
    store::{Error, Store, sealed},
    telemetry,
};

/// So many tokens of earlier credentials are kept with an integration.
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
    /// Which of the login's turns it is.
    pub number: i64,
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

/// The row of a login.
struct LoginRow {
    sealed_refresh: Option<Vec<u8>>,
    sealed_token: Option<Vec<u8>>,
    /// How many turns have begun.
    turn: i64,
    /// The one that gave what stands here.
    given_turn: i64,
    is_busy: bool,
}

/// What an integration's own row says.
struct OwnRow {
    sealed_refresh: Option<Vec<u8>>,
    /// Its credentials are these, and a daemon logs in with them.
    is_busy: bool,
    /// They are, and a daemon of an earlier version was the last that did.
    is_newest: bool,
}

/// Half of the hash tells logins apart as well.
fn login_id(login: &LoginHash) -> Uuid {
    Uuid::from_u128(u128::from_be_bytes(*login.first_chunk().unwrap_or(&[0; 16])))
}

fn name_of(own: &SecretString) -> String {
    hex::encode(Sha256::digest(own.expose_secret()))
}

impl Store {
    /// From here on the integration logs in so. What it was given before it did is all others' too.
    pub async fn join_login(&self, lane: LaneId, login: &LoginHash, own: &SecretString) -> Result<(), Error> {
        let (company, integration, id) = (lane.company.0, lane.integration.uuid(), login_id(login));
        let is_joined = sqlx::query_scalar!(
            r#"SELECT coalesce(login = $3 AND refreshing_until IS NOT NULL, false) AS "is_joined!"
               FROM integration WHERE company_id = $1 AND id = $2"#,
            company,
            integration,
            id,
        )
        .fetch_optional(&self.pool)
        .await?;
        if is_joined != Some(false) {
            return Ok(());
        }
        let mut tx = self.begin_aside().await?;
        let mut row = lock_login(&mut tx, id).await?;
        let own_row = match lock_own_row(&mut tx, lane, id).await {
            Ok(Some(own_row)) => own_row,
            // A row that somebody holds keeps no push waiting: it is as well the next time that it is read.
            Ok(None) | Err(Error::Locked) => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.import_refresh(&mut tx, id, &mut row, lane, &own_row, own).await {
            // Whoever logs in is told so.
            Err(error) if error.blames_values() => {
                unreadable(&sealed::refresh(lane.company, lane.integration), &error);
                return Ok(());
            }
            imported => imported?,
        }
        sqlx::query!(
            "UPDATE integration SET login = $3, refreshing_until = coalesce(refreshing_until, clock_timestamp())
             WHERE company_id = $1 AND id = $2",
            company,
            integration,
            id,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The integrations that log in with a refresh token, as far as that is known of them, and of which no daemon has said
    /// yet how: those that only a daemon of an earlier version has loaded.
    pub async fn unjoined_logins(&self) -> Result<Vec<LaneId>, Error> {
        let rows = sqlx::query!(
            "SELECT company_id, id FROM integration
             WHERE sealed_refresh IS NOT NULL AND login IS NULL AND deleted_at IS NULL ORDER BY 1, 2"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| LaneId::new(CompanyId(row.company_id), row.id)).collect())
    }

    /// Begins a login with the newest token that came from this one of the credentials; with itself if there is none. None
    /// if somebody else is logging in so. The credentials may only be tried: then the integration's row is another's.
    pub async fn begin_refresh(
        &self,
        lane: LaneId,
        login: &LoginHash,
        own: &SecretString,
    ) -> Result<Option<LoginTurn>, Error> {
        let (company, integration, id) = (lane.company.0, lane.integration.uuid(), login_id(login));
        let mut tx = self.begin_aside().await?;
        let mut row = lock_login(&mut tx, id).await?;
        if row.is_busy {
            return Ok(None);
        }
        let own_row = lock_own_row(&mut tx, lane, id).await?;
        let Some(own_row) = own_row.filter(|own_row| !own_row.is_busy) else { return Ok(None) };
        self.import_refresh(&mut tx, id, &mut row, lane, &own_row, own).await?;
        let number = sqlx::query_scalar!(
            "WITH own AS (
                 UPDATE integration SET refreshing_until = clock_timestamp() + $4 * interval '1 second'
                 WHERE company_id = $1 AND id = $2 AND login = $3
             )
             UPDATE login SET turn = turn + 1, refreshing_until = clock_timestamp() + $4 * interval '1 second'
             WHERE id = $3 RETURNING turn",
            company,
            integration,
            id,
            TURN_SECONDS,
        )
        .fetch_one(&mut *tx)
        .await?;
        let refresh = row.sealed_refresh.map(|value| self.open_text(&sealed::login_refresh(id), &value));
        let turn = LoginTurn {
            number,
            refresh: refresh.transpose()?.unwrap_or_else(|| own.clone()),
            // One that cannot be read is got anew.
            token: row.sealed_token.and_then(|value| {
                let place = sealed::login_token(id);
                self.open_text(&place, &value).inspect_err(|error| unreadable(&place, error)).ok()
            }),
        };
        tx.commit().await?;
        Ok(Some(turn))
    }

    /// Takes over what stands with the integration, if it is newer, or all that there is.
    async fn import_refresh(
        &self,
        db: &mut PgConnection,
        login: Uuid,
        row: &mut LoginRow,
        lane: LaneId,
        own_row: &OwnRow,
        own: &SecretString,
    ) -> Result<(), Error> {
        if !own_row.is_newest && row.sealed_refresh.is_some() {
            return Ok(());
        }
        let kept = self.open_refresh(lane, own_row.sealed_refresh.as_deref())?;
        let Some((_, newest)) = kept.into_iter().find(|(name, _)| *name == name_of(own)) else {
            return Ok(());
        };
        row.sealed_refresh = Some(self.seal(db, &sealed::login_refresh(login), newest.as_bytes()).await?);
        row.sealed_token = None;
        sqlx::query!(
            "UPDATE login SET sealed_refresh = $2, sealed_token = NULL,
                 given_turn = CASE WHEN refreshing_until > clock_timestamp() THEN given_turn ELSE turn END
             WHERE id = $1",
            login,
            row.sealed_refresh.as_deref(),
        )
        .execute(db)
        .await?;
        Ok(())
    }

    /// Ends a login, with what it gave if it was good. One that ends once its turn is over leaves what it gave if no later one
    /// gave anything, and another's turn as it is. So does one that is ended again. The integration's row, if somebody holds
    /// it, is left as it is: a token that is kept too late is lost.
    pub async fn end_refresh(
        &self,
        lane: LaneId,
        login: &LoginHash,
        own: &SecretString,
        number: i64,
        given: Option<&LoginGiven>,
    ) -> Result<(), Error> {
        let (company, integration, id) = (lane.company.0, lane.integration.uuid(), login_id(login));
        let mut tx = self.begin_aside().await?;
        let row = lock_login(&mut tx, id).await?;
        let is_last = row.turn <= number;
        let given = given.filter(|_| row.given_turn < number);
        let newest = given.and_then(|given| given.refresh.as_ref());
        let refresh = self.seal_given(&mut tx, &sealed::login_refresh(id), newest).await?;
        let token =
            self.seal_given(&mut tx, &sealed::login_token(id), given.map(|given| &given.token)).await?;
        sqlx::query!(
            "UPDATE login SET sealed_refresh = coalesce($2, sealed_refresh), sealed_token = coalesce($3, sealed_token),
                 turn = greatest(turn, $4), given_turn = CASE WHEN $3::bytea IS NULL THEN given_turn ELSE $4 END,
                 refreshing_until = CASE WHEN $5 THEN clock_timestamp() ELSE refreshing_until END
             WHERE id = $1",
            id,
            refresh,
            token,
            number,
            is_last,
        )
        .execute(&mut *tx)
        .await?;
        let own_row = sqlx::query_scalar!(
            "SELECT sealed_refresh FROM integration WHERE company_id = $1 AND id = $2 FOR NO KEY UPDATE SKIP LOCKED",
            company,
            integration,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(kept) = own_row {
            let kept = match newest {
                Some(newest) => Some(self.keep_copy(&mut tx, lane, kept.as_deref(), own, newest).await?),
                None => None,
            };
            sqlx::query!(
                "UPDATE integration SET sealed_refresh = coalesce($4, sealed_refresh),
                     refreshing_until = CASE WHEN login = $3 AND $5 THEN clock_timestamp() ELSE refreshing_until END
                 WHERE company_id = $1 AND id = $2",
                company,
                integration,
                id,
                kept,
                is_last,
            )
            .execute(&mut *tx)
            .await?;
        }
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

    /// The newest tokens of an integration with this one, sealed.
    async fn keep_copy(
        &self,
        db: &mut PgConnection,
        lane: LaneId,
        kept: Option<&[u8]>,
        own: &SecretString,
        newest: &SecretString,
    ) -> Result<Vec<u8>, Error> {
        let place = sealed::refresh(lane.company, lane.integration);
        // What cannot be read is worth less than the only token that there is now.
        let opened = self.open_refresh(lane, kept);
        let mut kept = opened.inspect_err(|error| unreadable(&place, error)).unwrap_or_default();
        kept.retain(|(name, _)| *name != name_of(own));
        kept.push((name_of(own), newest.expose_secret().to_owned()));
        kept.drain(..kept.len().saturating_sub(KEPT_MAX));
        let plain = serde_json::to_vec(&kept).map_err(|_| Error::Corrupt("refresh token"))?;
        self.seal(db, &place, &plain).await
    }

    fn open_refresh(&self, lane: LaneId, value: Option<&[u8]>) -> Result<KeptTokens, Error> {
        let Some(value) = value else { return Ok(KeptTokens::new()) };
        let plain = self.sealer.open(&sealed::refresh(lane.company, lane.integration), value)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Corrupt("refresh token"))
    }

    /// Forgets the logins that no integration has. Those of credentials that were only tried are kept for a day.
    pub(super) async fn forget_logins(&self) -> Result<(), Error> {
        sqlx::query!(
            "DELETE FROM login WHERE id IN (
                 SELECT id FROM login l WHERE refreshing_until < clock_timestamp() - interval '1 day'
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
           RETURNING sealed_refresh, sealed_token, turn, given_turn, refreshing_until > clock_timestamp() AS "is_busy!""#,
        login,
    );
    Ok(row.fetch_one(db).await?)
}

async fn lock_own_row(db: &mut PgConnection, lane: LaneId, login: Uuid) -> Result<Option<OwnRow>, Error> {
    let row = sqlx::query_as!(
        OwnRow,
        r#"SELECT sealed_refresh, coalesce(login = $3 AND refreshing_until > clock_timestamp(), false) AS "is_busy!",
               coalesce(login = $3, false) AND refreshing_until IS NULL AS "is_newest!"
           FROM integration WHERE company_id = $1 AND id = $2 FOR NO KEY UPDATE"#,
        lane.company.0,
        lane.integration.uuid(),
        login,
    );
    Ok(row.fetch_optional(db).await?)
}
