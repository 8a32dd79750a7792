//! Tokens of the control API: only their hash is kept. And whose things are whose, for those that reach one company only.

use jiff_sqlx::{Timestamp, ToSqlx as _};
use uuid::Uuid;

use crate::{
    domain::{
        ids::{CompanyId, TokenId},
        role::Role,
    },
    store::{
        Error, Store,
        operator::command::{Command, Refusal},
        shown::Shown,
    },
};

/// A token as it may be shown.
#[derive(Clone, Debug)]
pub struct TokenView {
    pub id: TokenId,
    /// The only company whose things it reaches, with its name.
    pub company: Option<(CompanyId, String)>,
    pub name: String,
    pub role: Shown<Role>,
    pub masked: bool,
    pub prefix: String,
    pub created_at: jiff::Timestamp,
    pub created_by: String,
    pub expires_at: Option<jiff::Timestamp>,
    pub revoked_at: Option<jiff::Timestamp>,
    pub last_used_at: Option<jiff::Timestamp>,
}

struct TokenRow {
    id: Uuid,
    company_id: Option<i64>,
    company_name: Option<String>,
    name: String,
    role: String,
    masked: bool,
    prefix: String,
    created_at: Timestamp,
    created_by: String,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl TryFrom<TokenRow> for TokenView {
    type Error = Error;

    fn try_from(row: TokenRow) -> Result<Self, Error> {
        let jiff = |at: Option<Timestamp>| at.map(Timestamp::to_jiff);
        Ok(Self {
            id: row.id.into(),
            company: row.company_id.map(|id| (CompanyId(id), row.company_name.unwrap_or_default())),
            name: row.name,
            role: Shown::read(&row.role, Role::parse),
            masked: row.masked,
            prefix: row.prefix,
            created_at: row.created_at.to_jiff(),
            created_by: row.created_by,
            expires_at: jiff(row.expires_at),
            revoked_at: jiff(row.revoked_at),
            last_used_at: jiff(row.last_used_at),
        })
    }
}

/// A token to be made.
#[derive(Debug)]
pub struct NewToken<'a> {
    pub id: TokenId,
    pub company: Option<CompanyId>,
    pub name: &'a str,
    pub role: Role,
    pub masked: bool,
    pub prefix: &'a str,
    pub hash: &'a [u8; 32],
    pub expires_at: Option<jiff::Timestamp>,
}

/// A kind of thing that belongs to a company and is named by its id, some by their name, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    Delivery,
    Attempt,
    Job,
    Flow,
    Form,
    IntakeKey,
    Token,
}

impl Owned {
    /// As refusals call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Attempt => "attempt",
            Self::Job => "job",
            Self::Flow => "flow",
            Self::Form => "form",
            Self::IntakeKey => "intake key",
            Self::Token => "token",
        }
    }
}

impl Store {
    /// The token of a hash, if it opens anything now. That it was used is noted to the minute.
    pub async fn live_token(&self, hash: &[u8; 32]) -> Result<Option<TokenView>, Error> {
        let row = sqlx::query_as!(
            TokenRow,
            r#"SELECT t.id, t.company_id, c.name AS "company_name?", t.name, t.role, t.masked, t.prefix, t.created_at,
                      t.created_by, t.expires_at, t.revoked_at, t.last_used_at
               FROM token t LEFT JOIN company c ON c.id = t.company_id
               WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())"#,
            &hash[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        sqlx::query!(
            "UPDATE token SET last_used_at = now()
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
            row.id,
        )
        .execute(&self.pool)
        .await?;
        Ok(Some(row.try_into()?))
    }

    /// Which token has this hash, whether it opens anything or not any more.
    pub async fn token_of_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenId>, Error> {
        let id = sqlx::query_scalar!("SELECT id FROM token WHERE token_hash = $1", &hash[..]);
        Ok(id.fetch_optional(&self.pool).await?.map(TokenId::from))
    }

    /// Whether a token still opens anything.
    pub async fn is_live(&self, token: TokenId) -> Result<bool, Error> {
        let live = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM token WHERE id = $1 AND revoked_at IS NULL
                              AND (expires_at IS NULL OR expires_at > now())) AS "live!""#,
            token.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(live)
    }

    /// Tokens, newest first, those behind `after` only; of a company only its own.
    pub async fn tokens(
        &self,
        company: Option<CompanyId>,
        after: Option<TokenId>,
        limit: i64,
    ) -> Result<Vec<TokenView>, Error> {
        let rows = sqlx::query_as!(
            TokenRow,
            r#"SELECT t.id, t.company_id, c.name AS "company_name?", t.name, t.role, t.masked, t.prefix, t.created_at,
                      t.created_by, t.expires_at, t.revoked_at, t.last_used_at
               FROM token t LEFT JOIN company c ON c.id = t.company_id
               WHERE ($1::bigint IS NULL OR t.company_id = $1) AND ($2::uuid IS NULL OR t.id < $2)
               ORDER BY t.id DESC LIMIT $3"#,
            company.map(|id| id.0),
            after.map(TokenId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(TokenView::try_from).collect()
    }

    /// The id of a company's thing: what is another's is as if it were not there.
    pub async fn owned(
        &self,
        company: CompanyId,
        kind: Owned,
        id: Option<Uuid>,
        name: &str,
    ) -> Result<Option<Uuid>, Error> {
        let (pool, company) = (&self.pool, company.0);
        let found = match kind {
            Owned::Flow => {
                let flow = sqlx::query_scalar!(
                    "SELECT id FROM flow WHERE company_id = $1 AND (id = $2 OR ($2::uuid IS NULL AND name = $3))",
                    company,
                    id,
                    name,
                );
                flow.fetch_optional(pool).await?
            }
            Owned::Form => {
                let form = sqlx::query_scalar!(
                    "SELECT id FROM form WHERE company_id = $1 AND (id = $2 OR ($2::uuid IS NULL AND name = $3))",
                    company,
                    id,
                    name,
                );
                form.fetch_optional(pool).await?
            }
            Owned::IntakeKey => {
                let key = sqlx::query_scalar!(
                    "SELECT id FROM intake_key WHERE company_id = $1 AND id = $2",
                    company,
                    id
                );
                key.fetch_optional(pool).await?
            }
            Owned::Token => {
                let token = sqlx::query_scalar!(
                    "SELECT id FROM token WHERE company_id = $1 AND id = $2",
                    company,
                    id
                );
                token.fetch_optional(pool).await?
            }
            Owned::Job => {
                let job = sqlx::query_scalar!(
                    r#"SELECT id AS "id!" FROM job WHERE id = $2 GROUP BY id HAVING bool_and(company_id = $1)"#,
                    company,
                    id,
                );
                job.fetch_optional(pool).await?
            }
            Owned::Delivery => {
                let delivery = sqlx::query_scalar!(
                    "SELECT id FROM delivery WHERE company_id = $1 AND id = $2",
                    company,
                    id
                );
                delivery.fetch_optional(pool).await?
            }
            Owned::Attempt => self.attempt_of(company, id).await?,
        };
        Ok(found)
    }

    /// An attempt that ended, runs, or is a probe that was asked for.
    async fn attempt_of(&self, company: i64, id: Option<Uuid>) -> Result<Option<Uuid>, Error> {
        let Some(id) = id else { return Ok(None) };
        // The probe first: it goes in the transaction that writes its attempt.
        let probe =
            sqlx::query_scalar!("SELECT id FROM probe WHERE company_id = $1 AND id = $2", company, id);
        if let Some(probe) = probe.fetch_optional(&self.pool).await? {
            return Ok(Some(probe));
        }
        let attempt = self.attempt(id.into()).await?;
        Ok(attempt.filter(|(attempt, _)| attempt.company.0 == company).map(|_| id))
    }

    /// The first of these deliveries that is not a company's.
    pub async fn strange_delivery(&self, company: CompanyId, ids: &[Uuid]) -> Result<Option<Uuid>, Error> {
        let strange = sqlx::query_scalar!(
            r#"SELECT i.id AS "id!" FROM unnest($2::uuid[]) i(id)
               WHERE NOT EXISTS (SELECT FROM delivery d WHERE d.company_id = $1 AND d.id = i.id) LIMIT 1"#,
            company.0,
            ids,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(strange)
    }
}

impl Command {
    /// Makes a token.
    pub async fn create_token(&mut self, new: &NewToken<'_>) -> Result<(), Refusal> {
        sqlx::query!(
            "INSERT INTO token (id, company_id, name, role, masked, prefix, token_hash, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            new.id.uuid(),
            new.company.map(|id| id.0),
            new.name,
            new.role.as_str(),
            new.masked,
            new.prefix,
            &new.hash[..],
            self.operator,
            new.expires_at.map(|at| at.to_sqlx()) as Option<Timestamp>,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Revokes a token. One that is revoked stays revoked since then; that is no error.
    pub async fn revoke_token(&mut self, token: TokenId) -> Result<TokenView, Refusal> {
        let row = sqlx::query_as!(
            TokenRow,
            r#"UPDATE token t SET revoked_at = coalesce(t.revoked_at, now())
               FROM token o LEFT JOIN company c ON c.id = o.company_id
               WHERE t.id = $1 AND o.id = t.id
               RETURNING t.id, t.company_id, c.name AS "company_name?", t.name, t.role, t.masked, t.prefix,
                         t.created_at, t.created_by, t.expires_at, t.revoked_at, t.last_used_at"#,
            token.uuid(),
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let row = row.ok_or_else(|| Refusal::unknown("token", token))?;
        Ok(row.try_into()?)
    }
}
