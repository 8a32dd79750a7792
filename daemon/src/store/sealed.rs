//! What is sealed, the place that each is bound to, and how all of it is sealed anew under another master key.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use super::Error;
use crate::{
    domain::ids::{CompanyId, IntegrationId, KeyId},
    secrets::{AdditionalData, Sealer},
};

/// A column that holds sealed values, each row of which is (company, row id, owner id, version, value).
struct Column {
    table: &'static str,
    name: &'static str,
    /// What tells rows of a company apart.
    id: &'static str,
    /// Whose place it is sealed for: a new credential takes the place of the integration's.
    owner: &'static str,
    version: &'static str,
    place: fn(CompanyId, Uuid, i32) -> AdditionalData,
}

/// Every column of the schema that holds sealed values.
const COLUMNS: [Column; 6] = [
    Column {
        table: "intake_key",
        name: "sealed_secret",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| intake_secret(company, id.into()),
    },
    Column {
        table: "integration",
        name: "sealed_config",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| config(company, id.into()),
    },
    Column {
        table: "integration",
        name: "sealed_credentials",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| credentials(company, id.into()),
    },
    Column {
        table: "integration",
        name: "sealed_refresh",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| refresh(company, id.into()),
    },
    Column {
        table: "signing_secret",
        name: "sealed",
        id: "integration_id",
        owner: "integration_id",
        version: "version",
        place: |company, id, version| signing_secret(company, id.into(), version),
    },
    Column {
        table: "probe",
        name: "sealed_candidate",
        id: "id",
        owner: "integration_id",
        version: "0",
        place: |company, id, _| credentials(company, id.into()),
    },
];

/// The place of an intake key's signing secret.
pub(super) fn intake_secret(company: CompanyId, key: KeyId) -> AdditionalData {
    AdditionalData { company: company.0, table: "intake_key", row: key.to_string(), column: "sealed_secret" }
}

/// The place of an integration's configuration.
pub(super) fn config(company: CompanyId, id: IntegrationId) -> AdditionalData {
    AdditionalData { company: company.0, table: "integration", row: id.to_string(), column: "sealed_config" }
}

/// The place of the refresh tokens that an integration's logins gave.
pub(super) fn refresh(company: CompanyId, id: IntegrationId) -> AdditionalData {
    AdditionalData { company: company.0, table: "integration", row: id.to_string(), column: "sealed_refresh" }
}

/// The place of an integration's credentials, whether they are in use or still tried.
pub(super) fn credentials(company: CompanyId, id: IntegrationId) -> AdditionalData {
    AdditionalData {
        company: company.0,
        table: "integration",
        row: id.to_string(),
        column: "sealed_credentials",
    }
}

/// The place of a version of an integration's signing secret.
pub(super) fn signing_secret(company: CompanyId, id: IntegrationId, version: i32) -> AdditionalData {
    AdditionalData {
        company: company.0,
        table: "signing_secret",
        row: format!("{id}/{version}"),
        column: "sealed",
    }
}

/// How many daemons work on a database now.
pub async fn living_daemons(pool: &PgPool) -> Result<i64, Error> {
    let living = sqlx::query_scalar("SELECT count(*) FROM daemon WHERE lease_until > now()").fetch_one(pool);
    Ok(living.await?)
}

/// Seals everything anew with the key that `to` seals with, in one transaction: either all of it is, or nothing. The
/// answer is how many values that were.
pub async fn reseal(pool: &PgPool, from: &Sealer, to: &Sealer) -> Result<u64, Error> {
    let mut tx = pool.begin().await?;
    let mut count = 0;
    for column in &COLUMNS {
        count += reseal_column(&mut tx, column, from, to).await?;
    }
    sqlx::query("UPDATE installation SET key_fingerprint = $1")
        .bind(to.fingerprint().as_slice())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(count)
}

async fn reseal_column(
    db: &mut PgConnection,
    column: &Column,
    from: &Sealer,
    to: &Sealer,
) -> Result<u64, Error> {
    let Column { table, name, id, owner, version, place } = column;
    let select = format!(
        "SELECT company_id, {id}, {owner}, {version}::int4, {name} FROM {table} WHERE {name} IS NOT NULL FOR UPDATE"
    );
    let update = format!(
        "UPDATE {table} SET {name} = $4 WHERE company_id = $1 AND {id} = $2 AND {version}::int4 = $3"
    );
    let rows: Vec<(i64, Uuid, Uuid, i32, Vec<u8>)> =
        sqlx::query_as(AssertSqlSafe(select)).fetch_all(&mut *db).await?;
    for (company, row, owner, version, sealed) in &rows {
        let place = place(CompanyId(*company), *owner, *version);
        let resealed = to.seal(&place, &from.open(&place, sealed)?);
        sqlx::query(AssertSqlSafe(update.clone()))
            .bind(company)
            .bind(row)
            .bind(version)
            .bind(resealed)
            .execute(&mut *db)
            .await?;
    }
    Ok(rows.len() as u64)
}

/// The columns that are sealed anew, as `table.column`: a test holds them against the schema.
#[must_use]
pub fn columns() -> Vec<String> {
    COLUMNS.iter().map(|column| format!("{}.{}", column.table, column.name)).collect()
}
