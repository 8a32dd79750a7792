//! Signing secrets: versioned, sealed, never more than two. Beside the current one stands either the next, staged, or
//! the one before, in its grace.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use crate::{
    domain::{
        ids::{CompanyId, IntegrationId},
        integration::SigningSecret,
    },
    store::{
        Error, Store,
        integration::LockedIntegration,
        moment,
        operator::command::{Command, Refusal},
        sealed,
    },
};

fn open(
    store: &Store,
    company: CompanyId,
    integration: IntegrationId,
    version: i32,
    value: &[u8],
) -> Result<SecretString, Error> {
    let plain = store.sealer.open(&sealed::signing_secret(company, integration, version), value)?;
    String::from_utf8(plain).map(SecretString::from).map_err(|_| Error::Corrupt("signing secret"))
}

/// The secrets that sign, newest first.
pub(in crate::store) async fn live(
    store: &Store,
    db: &mut PgConnection,
    company: CompanyId,
    integration: IntegrationId,
) -> Result<Vec<SigningSecret>, Error> {
    sqlx::query!(
        "SELECT version, sealed, expires_at, staged FROM signing_secret
         WHERE company_id = $1 AND integration_id = $2 AND (expires_at IS NULL OR expires_at > now())
         ORDER BY version DESC",
        company.0,
        integration.uuid(),
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(SigningSecret {
            version: row.version,
            secret: open(store, company, integration, row.version, &row.sealed)?,
            expires_at: row.expires_at.map(moment),
            staged: row.staged,
        })
    })
    .collect()
}

/// The secret that signs, and what stands beside it.
#[derive(Debug)]
pub struct SecretState {
    /// The version that signs; none where nothing is signed.
    pub current: Option<i32>,
    pub staged: Option<i32>,
    pub grace: Option<i32>,
}

/// How a new secret comes in.
#[derive(Clone, Copy, Debug)]
pub enum SecretEntry {
    /// It signs at once; the one before stays for so many seconds.
    Now { grace_seconds: u32 },
    /// It goes along until cut over. With hold, nothing is pushed until then.
    Staged { hold: bool },
}

impl Command {
    /// Where the secrets of a locked integration stand.
    pub async fn secrets(&mut self, integration: &LockedIntegration) -> Result<SecretState, Refusal> {
        let row = sqlx::query!(
            "SELECT max(version) FILTER (WHERE expires_at IS NULL AND NOT staged) AS current,
                    max(version) FILTER (WHERE staged) AS staged,
                    max(version) FILTER (WHERE expires_at > now()) AS grace
             FROM signing_secret WHERE company_id = $1 AND integration_id = $2",
            integration.company.id.0,
            integration.id.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(SecretState { current: row.current, staged: row.staged, grace: row.grace })
    }

    pub(in crate::store) async fn add_secret(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        version: i32,
        secret: &str,
    ) -> Result<(), Refusal> {
        let place = sealed::signing_secret(company, integration, version);
        let sealed = self.seal(&place, secret.as_bytes()).await?;
        sqlx::query!(
            "INSERT INTO signing_secret (company_id, integration_id, version, sealed) VALUES ($1, $2, $3, $4)",
            company.0,
            integration.uuid(),
            version,
            sealed,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Brings in a secret of a locked integration that has none staged. What is in its grace goes: there are never more
    /// than two. Answers the new version.
    pub async fn rotate_secret(
        &mut self,
        integration: &LockedIntegration,
        secret: &SecretString,
        entry: SecretEntry,
    ) -> Result<i32, Refusal> {
        let (company, id) = (integration.company.id, integration.id);
        let current = sqlx::query!(
            "SELECT s.version, s.sealed, i.spent_secret_version AS spent FROM signing_secret s
             JOIN integration i ON i.company_id = s.company_id AND i.id = s.integration_id
             WHERE s.company_id = $1 AND s.integration_id = $2 AND s.expires_at IS NULL AND NOT s.staged",
            company.0,
            id.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let known = open(&self.store, company, id, current.version, &current.sealed)?;
        if known.expose_secret() == secret.expose_secret() {
            return Err(Refusal::Invalid(
                "this is the secret that signs already: bring another one".to_owned(),
            ));
        }
        let version = current.version.max(current.spent) + 1;
        match entry {
            SecretEntry::Now { grace_seconds } => {
                self.drop_secrets(company, id, grace_seconds == 0).await?;
                self.begin_grace(company, id, grace_seconds).await?;
                self.add_secret(company, id, version, secret.expose_secret()).await?;
            }
            SecretEntry::Staged { hold } => {
                self.drop_secrets(company, id, false).await?;
                self.add_secret(company, id, version, secret.expose_secret()).await?;
                self.stage(company, id, version, hold).await?;
            }
        }
        self.write_integration(integration).await?;
        Ok(version)
    }

    /// Forgets the secrets in their grace, over or not, and the current one too if nothing is to follow it.
    async fn drop_secrets(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        current_too: bool,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "DELETE FROM signing_secret
             WHERE company_id = $1 AND integration_id = $2 AND (expires_at IS NOT NULL OR $3)",
            company.0,
            integration.uuid(),
            current_too,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn begin_grace(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        seconds: u32,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE signing_secret SET expires_at = now() + $3 * interval '1 second'
             WHERE company_id = $1 AND integration_id = $2",
            company.0,
            integration.uuid(),
            f64::from(seconds),
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn stage(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        version: i32,
        hold: bool,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE signing_secret SET staged = true
             WHERE company_id = $1 AND integration_id = $2 AND version = $3",
            company.0,
            integration.uuid(),
            version,
        )
        .execute(&mut *self.tx)
        .await?;
        self.await_cut_over(company, integration, hold).await
    }

    async fn await_cut_over(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        waits: bool,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE integration SET awaits_cut_over = $3 WHERE company_id = $1 AND id = $2",
            company.0,
            integration.uuid(),
            waits,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes the staged secret of a locked integration the one that signs, retires the one before, and lets pushes go.
    pub async fn cut_over(&mut self, integration: &LockedIntegration) -> Result<(), Refusal> {
        let (company, id) = (integration.company.id, integration.id);
        sqlx::query!(
            "DELETE FROM signing_secret WHERE company_id = $1 AND integration_id = $2 AND NOT staged",
            company.0,
            id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        sqlx::query!(
            "UPDATE signing_secret SET staged = false WHERE company_id = $1 AND integration_id = $2",
            company.0,
            id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.await_cut_over(company, id, false).await?;
        self.write_integration(integration).await
    }

    /// Forgets the staged secret of a locked integration, never to give its number again, and lets pushes go.
    pub async fn cancel_staged(&mut self, integration: &LockedIntegration) -> Result<(), Refusal> {
        let (company, id) = (integration.company.id, integration.id);
        sqlx::query!(
            "WITH gone AS (
                 DELETE FROM signing_secret WHERE company_id = $1 AND integration_id = $2 AND staged RETURNING version)
             UPDATE integration SET spent_secret_version = gone.version FROM gone
             WHERE company_id = $1 AND id = $2",
            company.0,
            id.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.await_cut_over(company, id, false).await?;
        self.write_integration(integration).await
    }

    /// Ends the grace of the secret before the current one.
    pub async fn end_grace(&mut self, integration: &LockedIntegration) -> Result<(), Refusal> {
        self.drop_secrets(integration.company.id, integration.id, false).await?;
        self.write_integration(integration).await
    }
}
