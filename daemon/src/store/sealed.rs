//! What is sealed, the place that each is bound to, and how all of it is sealed: at first, and anew under another master
//! key.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Error, Store,
    operator::command::{Command, Refusal},
};
use crate::{
    domain::ids::{CompanyId, IntegrationId, KeyId},
    secrets::{AdditionalData, KEY_ID, MissingKey, SealError, Sealer, master_key::Fingerprint},
};

/// A column that holds sealed values.
struct Column {
    table: &'static str,
    name: &'static str,
    /// What says the company, or stands for one where a row is nobody's.
    company: &'static str,
    /// What tells rows of a company apart.
    id: &'static str,
    /// Whose place it is sealed for: a new credential is tried for its integration.
    owner: &'static str,
    version: &'static str,
    place: fn(CompanyId, Uuid, i32) -> AdditionalData,
}

/// Every column of the schema that holds sealed values.
const COLUMNS: [Column; 8] = [
    Column {
        table: "intake_key",
        name: "sealed_secret",
        company: "company_id",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| intake_secret(company, id.into()),
    },
    Column {
        table: "integration",
        name: "sealed_config",
        company: "company_id",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| config(company, id.into()),
    },
    Column {
        table: "integration",
        name: "sealed_credentials",
        company: "company_id",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| credentials(company, id.into()),
    },
    Column {
        table: "integration",
        name: "sealed_refresh",
        company: "company_id",
        id: "id",
        owner: "id",
        version: "0",
        place: |company, id, _| refresh(company, id.into()),
    },
    Column {
        table: "login",
        name: "sealed_refresh",
        company: "0::int8",
        id: "id",
        owner: "id",
        version: "0",
        place: |_, id, _| login_refresh(id),
    },
    Column {
        table: "login",
        name: "sealed_token",
        company: "0::int8",
        id: "id",
        owner: "id",
        version: "0",
        place: |_, id, _| login_token(id),
    },
    Column {
        table: "signing_secret",
        name: "sealed",
        company: "company_id",
        id: "integration_id",
        owner: "integration_id",
        version: "version",
        place: |company, id, version| signing_secret(company, id.into(), version),
    },
    Column {
        table: "probe",
        name: "sealed_candidate",
        company: "company_id",
        id: "id",
        owner: "integration_id",
        version: "0",
        place: |company, id, _| candidate(company, id.into()),
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

/// The place of the newest refresh token of a login, whoever makes it.
pub(super) fn login_refresh(login: Uuid) -> AdditionalData {
    AdditionalData { company: 0, table: "login", row: login.to_string(), column: "sealed_refresh" }
}

/// The place of the token that the last of these logins gave for calls.
pub(super) fn login_token(login: Uuid) -> AdditionalData {
    AdditionalData { company: 0, table: "login", row: login.to_string(), column: "sealed_token" }
}

/// The place of new credentials that are tried: what is there opens in no other, so that nothing but a probe's success puts
/// them in force.
pub(super) fn candidate(company: CompanyId, id: IntegrationId) -> AdditionalData {
    AdditionalData { company: company.0, table: "probe", row: id.to_string(), column: "sealed_candidate" }
}

/// The place of an integration's credentials that are in use.
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

/// Rows of a transaction: nobody waits longer for one of them than so many take.
const BATCH: i64 = 100;

impl Store {
    /// Seals a value for its place with the key that seals now. The database says which, and does so until the
    /// transaction ends: a rotation turns to the next key when nobody is about to write what the old one sealed.
    pub(super) async fn seal(
        &self,
        db: &mut PgConnection,
        place: &AdditionalData,
        plain: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let key = sqlx::query_scalar!("SELECT key_fingerprint FROM installation FOR KEY SHARE")
            .fetch_one(db)
            .await?;
        let key = Fingerprint::try_from(key).map_err(|_| Error::Corrupt("key fingerprint"))?;
        Ok(self.sealer.seal(&key, place, plain)?)
    }
}

impl Command {
    /// Seals a value for its place, for this command to write.
    pub(super) async fn seal(&mut self, place: &AdditionalData, plain: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(self.store.seal(&mut self.tx, place, plain).await?)
    }
}

/// Why not everything is sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    #[error(
        "{0} does not open with any key of the file: give that secret again, or delete what it belongs to, then run \
         this again"
    )]
    Unopened(String, #[source] SealError),
    #[error(transparent)]
    Key(#[from] MissingKey),
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<sqlx::Error> for ResealError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Seals anew what is not under this key, in transactions of a few rows each; `report` hears how many values each of them
/// was. What somebody holds meanwhile is left for the next time.
pub async fn reseal(
    pool: &PgPool,
    sealer: &Sealer,
    key: &Fingerprint,
    mut report: impl FnMut(u64),
) -> Result<(), ResealError> {
    for column in &COLUMNS {
        let mut behind = Some((i64::MIN, Uuid::nil(), 0));
        while let Some(from) = behind {
            let (count, last) = reseal_batch(pool, column, sealer, key, from).await?;
            behind = last;
            if count > 0 {
                report(count);
            }
        }
    }
    Ok(())
}

/// A sealed row's company, id and version.
type RowKey = (i64, Uuid, i32);

/// Seals anew the next rows of a column. The answer is how many, and the last of them; none behind the last one.
async fn reseal_batch(
    pool: &PgPool,
    column: &Column,
    sealer: &Sealer,
    key: &Fingerprint,
    behind: RowKey,
) -> Result<(u64, Option<RowKey>), ResealError> {
    let Column { table, name, company, id, owner, version, place } = column;
    let select = format!(
        "SELECT {company}, {id}, {version}::int4, {owner}, {name} FROM {table}
         WHERE {name} IS NOT NULL AND substr({name}, 2, {KEY_ID}) <> $1 AND ({company}, {id}, {version}::int4) > ($2, $3, $4)
         ORDER BY 1, 2, 3 LIMIT {BATCH} FOR NO KEY UPDATE SKIP LOCKED"
    );
    let mut tx = pool.begin().await?;
    let rows: Vec<(i64, Uuid, i32, Uuid, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(select))
        .bind(&key[..KEY_ID])
        .bind(behind.0)
        .bind(behind.1)
        .bind(behind.2)
        .fetch_all(&mut *tx)
        .await?;
    let last = rows.last().map(|(company, row, version, ..)| (*company, *row, *version));
    let (mut companies, mut ids, mut versions, mut values) = (vec![], vec![], vec![], vec![]);
    for (company, row, version, owner, sealed) in rows {
        let place = place(CompanyId(company), owner, version);
        values.push(match sealer.open(&place, &sealed) {
            Ok(plain) => Some(sealer.seal(key, &place, &Zeroizing::new(plain))?),
            Err(error) => {
                give_up(&mut tx, column, row, &place, error).await?;
                None
            }
        });
        companies.push(company);
        ids.push(row);
        versions.push(version);
    }
    let update = format!(
        "UPDATE {table} SET {name} = resealed.value
         FROM unnest($1::int8[], $2::uuid[], $3::int4[], $4::bytea[]) resealed(of_company, of_row, of_version, value)
         WHERE {company} = of_company AND {id} = of_row AND {version}::int4 = of_version"
    );
    let updated = sqlx::query(AssertSqlSafe(update))
        .bind(companies)
        .bind(ids)
        .bind(versions)
        .bind(values)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok((updated.rows_affected(), last))
}

/// Gives up a value that does not open, if nobody misses it: a token for calls is got anew, and a login that no integration
/// has is nobody's. All others are named; for a login, whose it is.
async fn give_up(
    db: &mut PgConnection,
    column: &Column,
    row: Uuid,
    place: &AdditionalData,
    error: SealError,
) -> Result<(), ResealError> {
    if column.table != "login" {
        return Err(ResealError::Unopened(place.to_string(), error));
    }
    let having = sqlx::query_scalar!(
        r#"SELECT format('%s/%s', company_id, name) AS "name!" FROM integration WHERE login = $1 ORDER BY 1"#,
        row
    )
    .fetch_all(db)
    .await?;
    if having.is_empty() || column.name == "sealed_token" {
        tracing::warn!(event = "login_given_up", %place, "what an earlier login gave does not open with any key, and is given up");
        return Ok(());
    }
    Err(ResealError::Unopened(format!("{place}, the login of {},", having.join(", ")), error))
}

/// How many values are not under this key, all of one moment: some move from a table to another.
pub(super) async fn count_others(db: &mut PgConnection, key: &[u8]) -> Result<i64, Error> {
    let counts = COLUMNS.map(|Column { table, name, .. }| {
        format!("(SELECT count(*) FROM {table} WHERE substr({name}, 2, {KEY_ID}) <> $1)")
    });
    let sql = format!("SELECT {}", counts.join(" + "));
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).bind(key.get(..KEY_ID)).fetch_one(db).await?)
}

/// The columns that are sealed anew, as `table.column`: a test holds them against the schema.
#[must_use]
pub fn columns() -> Vec<String> {
    COLUMNS.iter().map(|column| format!("{}.{}", column.table, column.name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_value_of_an_integration_has_a_place_of_its_own() {
        let id = IntegrationId::generate();
        let places = |company: i64| {
            let company = CompanyId(company);
            let key = KeyId::from(id.uuid());
            [
                intake_secret(company, key),
                config(company, id),
                refresh(company, id),
                login_refresh(id.uuid()),
                login_token(id.uuid()),
                credentials(company, id),
                candidate(company, id),
                signing_secret(company, id, 1),
                signing_secret(company, id, 2),
            ]
        };
        let all: BTreeSet<_> = places(7).iter().chain(&places(8)).map(ToString::to_string).collect();
        assert_eq!(all.len(), 14, "{all:#?}");
    }
}
