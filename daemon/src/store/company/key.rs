//! Intake keys: only their hash is kept, and the secret of the body signature only sealed.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use crate::{
    domain::{
        ids::{CompanyId, KeyId},
        signing::SignatureKind,
    },
    store::{
        Error, Store,
        company::find_optional_company,
        operator::command::{Command, Refusal},
        sealed,
        shown::Shown,
    },
};

/// An intake key as it may be shown.
#[derive(Clone, Debug)]
pub struct IntakeKey {
    pub id: KeyId,
    pub company: CompanyId,
    pub prefix: String,
    pub require_signature: bool,
    /// Which signature is taken, where one is required.
    pub signature: Shown<SignatureKind>,
    /// Whether it reads what became of leads, too.
    pub may_read: bool,
    /// The browser pages that may use it.
    pub allow_origins: Vec<String>,
    /// None for no limit.
    pub rate_per_second: Option<f64>,
    pub created_at: jiff::Timestamp,
    pub revoked_at: Option<jiff::Timestamp>,
    /// To the minute; none if it never was.
    pub last_used_at: Option<jiff::Timestamp>,
}

struct KeyRow {
    company_id: i64,
    id: uuid::Uuid,
    prefix: String,
    require_signature: bool,
    signature: String,
    may_read: bool,
    allow_origins: Vec<String>,
    rate_per_second: Option<f64>,
    created_at: jiff_sqlx::Timestamp,
    revoked_at: Option<jiff_sqlx::Timestamp>,
    last_used_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<KeyRow> for IntakeKey {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            company: CompanyId(row.company_id),
            prefix: row.prefix,
            require_signature: row.require_signature,
            signature: Shown::read(&row.signature, SignatureKind::parse),
            may_read: row.may_read,
            allow_origins: row.allow_origins,
            rate_per_second: row.rate_per_second,
            created_at: row.created_at.to_jiff(),
            revoked_at: row.revoked_at.map(jiff_sqlx::Timestamp::to_jiff),
            last_used_at: row.last_used_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

/// What a new key may do.
#[derive(Debug)]
pub struct KeyRights {
    /// The secret of the signature, where one is required.
    pub secret: Option<SecretString>,
    pub signature: SignatureKind,
    pub may_read: bool,
    pub allow_origins: Vec<String>,
    /// None for no limit.
    pub rate_per_second: Option<f64>,
}

pub(in crate::store) async fn company_of(db: &mut PgConnection, key: KeyId) -> Result<CompanyId, Refusal> {
    let company = sqlx::query_scalar!(
        "SELECT c.id FROM company c CROSS JOIN LATERAL
         (SELECT 1 FROM intake_key k WHERE k.company_id = c.id AND k.id = $1) x",
        key.uuid(),
    )
    .fetch_optional(db)
    .await?;
    company.map(CompanyId).ok_or_else(|| Refusal::unknown("intake key", key))
}

impl Store {
    /// Intake keys of a company or of all, newest first, those behind `after` only.
    pub async fn intake_keys(
        &self,
        company: Option<&str>,
        after: Option<KeyId>,
        limit: i64,
    ) -> Result<Vec<IntakeKey>, Refusal> {
        let mut db = self.pool.acquire().await?;
        let company = find_optional_company(&mut db, company).await?.map(|id| id.0);
        let rows = sqlx::query_as!(
            KeyRow,
            "SELECT k.company_id, k.id, k.prefix, k.require_signature, k.signature, k.may_read,
                       k.allow_origins, k.rate_per_second, k.created_at, k.revoked_at,
                       (SELECT u.last_used_at FROM key_use u
                        WHERE u.company_id = k.company_id AND u.key_id = k.id) AS last_used_at
             FROM intake_key k
             WHERE ($1::bigint IS NULL OR k.company_id = $1) AND ($2::uuid IS NULL OR k.id < $2)
             ORDER BY k.id DESC LIMIT $3",
            company,
            after.map(KeyId::uuid),
            limit,
        )
        .fetch_all(&mut *db)
        .await?;
        Ok(rows.into_iter().map(IntakeKey::try_from).collect::<Result<_, _>>()?)
    }
}

impl Store {
    /// Notes that these keys are used now, to the minute.
    pub async fn note_keys_used(&self, keys: &[(CompanyId, KeyId)]) -> Result<(), Error> {
        // In the order of the keys, so that two daemons never wait for each other in a circle.
        let keys: std::collections::BTreeSet<_> =
            keys.iter().map(|(company, key)| (company.0, key.uuid())).collect();
        let (companies, keys): (Vec<i64>, Vec<uuid::Uuid>) = keys.into_iter().unzip();
        sqlx::query!(
            "INSERT INTO key_use AS u (company_id, key_id) SELECT * FROM unnest($1::bigint[], $2::uuid[])
             ON CONFLICT (company_id, key_id) DO UPDATE SET last_used_at = now()
                 WHERE u.last_used_at < now() - interval '1 minute'",
            &companies,
            &keys,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl Command {
    /// Creates a key of a locked company.
    pub async fn create_key(
        &mut self,
        company: CompanyId,
        prefix: &str,
        token_hash: &[u8; 32],
        rights: &KeyRights,
    ) -> Result<IntakeKey, Refusal> {
        let id = KeyId::generate();
        let sealed = match &rights.secret {
            Some(secret) => {
                let place = sealed::intake_secret(company, id);
                Some(self.seal(&place, secret.expose_secret().as_bytes()).await?)
            }
            None => None,
        };
        let row = sqlx::query_as!(
            KeyRow,
            "INSERT INTO intake_key (company_id, id, prefix, token_hash, require_signature, sealed_secret, rate_per_second,
                 signature, may_read, allow_origins)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             RETURNING company_id, id, prefix, require_signature, signature, may_read,
                       allow_origins, rate_per_second, created_at, revoked_at, NULL::timestamptz AS last_used_at",
            company.0,
            id.uuid(),
            prefix,
            &token_hash[..],
            sealed.is_some(),
            sealed,
            rights.rate_per_second,
            rights.signature.as_str(),
            rights.may_read,
            &rights.allow_origins,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(row.try_into()?)
    }

    /// Revokes a key. One that is revoked stays revoked since then; that is no error.
    pub async fn revoke_key(&mut self, key: KeyId) -> Result<IntakeKey, Refusal> {
        let company = company_of(&mut self.tx, key).await?;
        self.lock_company(company).await?;
        let row = sqlx::query_as!(
            KeyRow,
            "UPDATE intake_key k SET revoked_at = coalesce(revoked_at, now()) WHERE company_id = $1 AND id = $2
             RETURNING company_id, id, prefix, require_signature, signature, may_read,
                       allow_origins, rate_per_second, created_at, revoked_at,
                       (SELECT u.last_used_at FROM key_use u
                        WHERE u.company_id = k.company_id AND u.key_id = k.id) AS last_used_at",
            company.0,
            key.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(row.try_into()?)
    }
}
