//! Signing secrets: versioned, sealed, never more than two. The highest version signs; the one before it may stay
//! for a grace.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use super::{
    Error, Store,
    command::{Command, Refusal},
    integration::LockedIntegration,
};
use crate::domain::{
    ids::{CompanyId, IntegrationId},
    integration::SigningSecret,
};

fn place(integration: IntegrationId, version: i32) -> String {
    format!("signing_secret/{integration}/{version}")
}

fn open(
    store: &Store,
    integration: IntegrationId,
    version: i32,
    sealed: &[u8],
) -> Result<SecretString, Error> {
    let plain = store.sealer.open(&place(integration, version), sealed)?;
    String::from_utf8(plain).map(SecretString::from).map_err(|_| Error::Corrupt("signing secret"))
}

/// The secrets that sign, newest first.
pub(super) async fn live(
    store: &Store,
    db: &mut PgConnection,
    company: CompanyId,
    integration: IntegrationId,
) -> Result<Vec<SigningSecret>, Error> {
    sqlx::query!(
        "SELECT version, sealed, expires_at FROM signing_secret
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
            secret: open(store, integration, row.version, &row.sealed)?,
            expires_at: row.expires_at.map(|at| at.to_jiff().as_second()),
        })
    })
    .collect()
}

impl Command {
    pub(super) async fn add_secret(
        &mut self,
        company: CompanyId,
        integration: IntegrationId,
        version: i32,
        secret: &str,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "INSERT INTO signing_secret (company_id, integration_id, version, sealed) VALUES ($1, $2, $3, $4)",
            company.0,
            integration.uuid(),
            version,
            self.store.sealer.seal(&place(integration, version), secret.as_bytes()),
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes a secret the one that signs. The one before it stays for the grace, older ones go. Answers the version.
    pub async fn rotate_secret(
        &mut self,
        integration: &LockedIntegration,
        secret: &SecretString,
        grace_seconds: u32,
    ) -> Result<i32, Refusal> {
        let (company, id) = (integration.company.id, integration.id);
        let current = sqlx::query!(
            "SELECT version, sealed FROM signing_secret
             WHERE company_id = $1 AND integration_id = $2 AND expires_at IS NULL",
            company.0,
            id.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let known = open(&self.store, id, current.version, &current.sealed)?;
        if known.expose_secret() == secret.expose_secret() {
            return Err(Refusal::Invalid(
                "this is the secret that signs already: bring another one".to_owned(),
            ));
        }
        sqlx::query!(
            "DELETE FROM signing_secret
             WHERE company_id = $1 AND integration_id = $2 AND (expires_at IS NOT NULL OR $3)",
            company.0,
            id.uuid(),
            grace_seconds == 0,
        )
        .execute(&mut *self.tx)
        .await?;
        sqlx::query!(
            "UPDATE signing_secret SET expires_at = now() + $3 * interval '1 second'
             WHERE company_id = $1 AND integration_id = $2",
            company.0,
            id.uuid(),
            f64::from(grace_seconds),
        )
        .execute(&mut *self.tx)
        .await?;
        self.add_secret(company, id, current.version + 1, secret.expose_secret()).await?;
        self.write_integration(integration).await?;
        Ok(current.version + 1)
    }

    /// Ends the grace. Answers the version that signs nothing any more, or none if no grace runs.
    pub async fn revoke_secret(&mut self, integration: &LockedIntegration) -> Result<Option<i32>, Refusal> {
        let revoked = sqlx::query_scalar!(
            "DELETE FROM signing_secret WHERE company_id = $1 AND integration_id = $2 AND expires_at > now()
             RETURNING version",
            integration.company.id.0,
            integration.id.uuid(),
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        self.write_integration(integration).await?;
        Ok(revoked)
    }
}
