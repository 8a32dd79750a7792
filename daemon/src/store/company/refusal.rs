//! What the intake refused lately, for operators: a form that sends nonsense loses money invisibly.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, KeyId, RefusalId},
    store::{Error, Store, company::key::company_of, operator::command::Refusal as Command, storable},
};

/// How many refusals of a key are kept.
pub const KEPT: i64 = 100;
/// How long one is kept, unless leads are kept for less.
const AGE_MAX: Duration = Duration::from_secs(90 * 86_400);

/// A refusal, fit to be kept: nothing in it is anybody's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefusal {
    pub id: RefusalId,
    pub company: CompanyId,
    pub key: KeyId,
    /// Where it was posted to.
    pub path: &'static str,
    pub status: i16,
    pub detail: String,
    /// Pairs of pointer and detail.
    pub errors: Vec<(String, String)>,
    /// Masked; none if it was not read.
    pub body: Option<String>,
}

/// A refusal as it was kept.
#[derive(Clone, Debug)]
pub struct RefusalView {
    pub id: RefusalId,
    pub at: jiff::Timestamp,
    pub path: String,
    pub status: i16,
    pub detail: String,
    pub errors: Vec<(String, String)>,
    pub body: Option<String>,
}

impl Store {
    /// Keeps refusals; older ones of the same keys go.
    pub async fn keep_refusals(&self, refusals: &[NewRefusal]) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        insert(&mut tx, refusals).await?;
        let mut keys: Vec<(i64, Uuid)> =
            refusals.iter().map(|refusal| (refusal.company.0, refusal.key.uuid())).collect();
        // In one order, so that two daemons that drop the same rows cannot lock each other out.
        keys.sort_unstable();
        keys.dedup();
        for (company, key) in keys {
            sqlx::query!(
                "DELETE FROM refusal WHERE company_id = $1 AND key_id = $2 AND id <= (
                     SELECT id FROM refusal WHERE company_id = $1 AND key_id = $2
                     ORDER BY id DESC OFFSET $3 LIMIT 1)",
                company,
                key,
                KEPT,
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets refusals that are too old, also of keys that nobody uses any more. The answer is how many there were.
    pub async fn forget_refusals(&self) -> Result<u64, Error> {
        let age = self.leads_kept.map_or(AGE_MAX, |kept| kept.min(AGE_MAX));
        let gone = sqlx::query!(
            "DELETE FROM refusal WHERE at < now() - $1 * interval '1 second'",
            age.as_secs_f64()
        )
        .execute(&self.pool)
        .await?;
        Ok(gone.rows_affected())
    }

    /// The last refusals of a key, newest first, those behind `after` only.
    pub async fn refusals(
        &self,
        key: KeyId,
        after: Option<RefusalId>,
        limit: i64,
    ) -> Result<(CompanyId, Vec<RefusalView>), Command> {
        let company = company_of(&mut *self.pool.acquire().await?, key).await?;
        Ok((company, self.refusals_of(company, key.uuid(), after, limit).await?))
    }

    /// The last refusals of a key or a form, newest first, those behind `after` only.
    pub(in crate::store) async fn refusals_of(
        &self,
        company: CompanyId,
        key: Uuid,
        after: Option<RefusalId>,
        limit: i64,
    ) -> Result<Vec<RefusalView>, Error> {
        let rows = sqlx::query!(
            "SELECT id, at, path, status, detail, errors, body FROM refusal
             WHERE company_id = $1 AND key_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
            company.0,
            key,
            after.map(RefusalId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let views = rows.into_iter().map(|row| {
            let errors = serde_json::from_value(row.errors).map_err(|_| Error::Corrupt("refusal"))?;
            Ok(RefusalView {
                id: row.id.into(),
                at: row.at.to_jiff(),
                path: row.path,
                status: row.status,
                detail: row.detail,
                errors,
                body: row.body,
            })
        });
        views.collect()
    }
}

async fn insert(db: &mut PgConnection, refusals: &[NewRefusal]) -> Result<(), Error> {
    let column = |of: fn(&NewRefusal) -> Uuid| refusals.iter().map(of).collect::<Vec<_>>();
    let company: Vec<i64> = refusals.iter().map(|refusal| refusal.company.0).collect();
    let path: Vec<&str> = refusals.iter().map(|refusal| refusal.path).collect();
    let status: Vec<i16> = refusals.iter().map(|refusal| refusal.status).collect();
    let detail: Vec<String> = refusals.iter().map(|refusal| storable(&refusal.detail)).collect();
    let errors: Vec<_> = refusals
        .iter()
        .map(|refusal| {
            let pairs = refusal.errors.iter().map(|(at, detail)| (storable(at), storable(detail)));
            serde_json::json!(pairs.collect::<Vec<_>>())
        })
        .collect();
    let body: Vec<Option<String>> =
        refusals.iter().map(|refusal| refusal.body.as_deref().map(storable)).collect();
    sqlx::query!(
        "INSERT INTO refusal (company_id, key_id, id, path, status, detail, errors, body)
         SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::smallint[], $6::text[],
             $7::jsonb[], $8::text[])",
        &company,
        &column(|refusal| refusal.key.uuid()),
        &column(|refusal| refusal.id.uuid()),
        &path as &[&str],
        &status,
        &detail,
        &errors,
        &body as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}
