//! Companies: looked up by id or unique name, created, changed. Every change of one raises its configuration version.

use sqlx::PgConnection;

use crate::{
    domain::{
        ids::CompanyId,
        lane::LaneId,
        plan::{Plan, UNCOUNTED},
    },
    store::{
        Error, Store,
        integration::raise_versions,
        notice::forget_quiet,
        operator::command::{Command, Refusal},
    },
};

pub mod form;
pub mod key;
pub mod page;
pub mod refusal;
pub mod signed;

/// The largest id that every JSON reader keeps exact.
const MAX_ID: i64 = (1 << 53) - 1;

/// Who collects leads.
#[derive(Clone, Debug)]
pub struct Company {
    pub id: CompanyId,
    pub name: String,
    pub plan: Plan,
    pub brand: Option<String>,
    pub created_at: jiff::Timestamp,
    /// Since when nothing is pushed for it; none while it is not paused.
    pub paused_at: Option<jiff::Timestamp>,
    /// After so many hours without a lead a notice says so.
    pub quiet_hours: Option<i32>,
    /// How its people are told things, each as a name or template; see [`crate::domain::telling`].
    pub time_zone: Option<String>,
    pub locale: Option<String>,
    pub lead_url: Option<String>,
}

pub(super) struct CompanyRow {
    id: i64,
    name: String,
    plan: String,
    brand: Option<String>,
    created_at: jiff_sqlx::Timestamp,
    paused_at: Option<jiff_sqlx::Timestamp>,
    quiet_hours: Option<i32>,
    time_zone: Option<String>,
    locale: Option<String>,
    lead_url: Option<String>,
}

impl TryFrom<CompanyRow> for Company {
    type Error = Error;

    fn try_from(row: CompanyRow) -> Result<Self, Error> {
        Ok(Self {
            id: CompanyId(row.id),
            name: row.name,
            plan: Plan::parse(&row.plan).ok_or(Error::Corrupt("plan"))?,
            brand: row.brand,
            created_at: row.created_at.to_jiff(),
            paused_at: row.paused_at.map(jiff_sqlx::Timestamp::to_jiff),
            quiet_hours: row.quiet_hours,
            time_zone: row.time_zone,
            locale: row.locale,
            lead_url: row.lead_url,
        })
    }
}

/// The id of the company that a reference means: an id, or a name that only one company has.
pub(super) async fn find_company(db: &mut PgConnection, reference: &str) -> Result<CompanyId, Refusal> {
    let unknown = || Refusal::unknown("company", format_args!("{reference:?}"));
    if reference.is_empty() {
        return Err(Refusal::Invalid("name a company, by its id or its name".to_owned()));
    }
    if reference.contains('\0') {
        return Err(unknown());
    }
    // A number is an id before it is a name.
    if let Ok(id) = reference.parse::<i64>() {
        let known =
            sqlx::query_scalar!("SELECT id FROM company WHERE id = $1", id).fetch_optional(&mut *db).await?;
        if let Some(id) = known {
            return Ok(CompanyId(id));
        }
    }
    let ids = sqlx::query_scalar!("SELECT id FROM company WHERE name = $1 ORDER BY id LIMIT 10", reference)
        .fetch_all(db)
        .await?;
    match ids[..] {
        [] => Err(unknown()),
        [id] => Ok(CompanyId(id)),
        _ => {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            Err(Refusal::ambiguous("companies", reference, &ids))
        }
    }
}

/// The same, where one need not be named.
pub(super) async fn find_optional_company(
    db: &mut PgConnection,
    reference: Option<&str>,
) -> Result<Option<CompanyId>, Refusal> {
    match reference {
        Some(reference) => find_company(db, reference).await.map(Some),
        None => Ok(None),
    }
}

impl Store {
    /// The company that a reference means.
    pub async fn company(&self, reference: &str) -> Result<Company, Refusal> {
        let mut db = self.pool.acquire().await?;
        let id = find_company(&mut db, reference).await?;
        let row = sqlx::query_as!(
            CompanyRow,
            "SELECT id, name, plan, brand, created_at, paused_at, quiet_hours, time_zone, locale, lead_url FROM company WHERE id = $1",
            id.0
        )
        .fetch_one(&mut *db)
        .await?;
        Ok(row.try_into()?)
    }

    /// The id of the company that a reference means.
    pub async fn find_company(&self, reference: &str) -> Result<CompanyId, Refusal> {
        find_company(&mut *self.pool.acquire().await?, reference).await
    }

    /// The same, where one need not be named.
    pub async fn find_optional_company(&self, reference: Option<&str>) -> Result<Option<CompanyId>, Refusal> {
        match reference {
            Some(reference) => self.find_company(reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// Companies, newest first, those behind `after` only; or a single one.
    pub async fn companies(
        &self,
        only: Option<CompanyId>,
        after: Option<CompanyId>,
        limit: i64,
    ) -> Result<Vec<Company>, Error> {
        sqlx::query_as!(
            CompanyRow,
            "SELECT id, name, plan, brand, created_at, paused_at, quiet_hours, time_zone, locale, lead_url FROM company
             WHERE ($1::bigint IS NULL OR (created_at, id) < (SELECT created_at, id FROM company WHERE id = $1))
               AND ($3::bigint IS NULL OR id = $3)
             ORDER BY created_at DESC, id DESC LIMIT $2",
            after.map(|id| id.0),
            limit,
            only.map(|id| id.0),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Company::try_from)
        .collect()
    }
}

impl Command {
    /// Locks a company for a change and raises its configuration version, so that intake decides anew.
    pub async fn company(&mut self, reference: &str) -> Result<Company, Refusal> {
        let id = find_company(&mut self.tx, reference).await?;
        self.lock_company(id).await
    }

    pub(super) async fn lock_company(&mut self, id: CompanyId) -> Result<Company, Refusal> {
        let row = sqlx::query_as!(
            CompanyRow,
            "UPDATE company SET config_version = config_version + 1 WHERE id = $1
             RETURNING id, name, plan, brand, created_at, paused_at, quiet_hours, time_zone, locale, lead_url",
            id.0,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(row.try_into()?)
    }

    /// Locks a company without raising its version, for a change that intake need not hear of.
    pub(super) async fn hold_company(&mut self, id: CompanyId) -> Result<Company, Refusal> {
        let row = sqlx::query_as!(
            CompanyRow,
            "SELECT id, name, plan, brand, created_at, paused_at, quiet_hours, time_zone, locale, lead_url FROM company WHERE id = $1 FOR UPDATE",
            id.0,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(row.try_into()?)
    }

    /// Creates a company under the given id, or the next free one.
    pub async fn create_company(
        &mut self,
        id: Option<i64>,
        name: &str,
        plan: Plan,
        brand: Option<&str>,
    ) -> Result<Company, Refusal> {
        if id.is_some_and(|id| !(1..=MAX_ID).contains(&id)) {
            return Err(Refusal::Invalid(format!("a company's id is a number from 1 to {MAX_ID}")));
        }
        // Two creations at once must not take the same next number.
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('leadline company id', 0))")
            .execute(&mut *self.tx)
            .await?;
        let row = sqlx::query_as!(
            CompanyRow,
            "INSERT INTO company (id, name, plan, brand)
             SELECT coalesce($1, (SELECT coalesce(max(id), 0) + 1 FROM company)), $2, $3, $4
             ON CONFLICT (id) DO NOTHING
             RETURNING id, name, plan, brand, created_at, paused_at, quiet_hours, time_zone, locale, lead_url",
            id,
            name,
            plan.as_str(),
            brand,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        let row = row.ok_or_else(|| {
            let id = id.unwrap_or_default();
            Refusal::Exists(format!(
                "company {id} exists already: choose another id, or none to get the next free"
            ))
        })?;
        Ok(row.try_into()?)
    }

    /// Writes name, brand and how its people are told things, of a locked company: all are part of what its integrations
    /// push.
    pub async fn update_company(&mut self, company: &Company) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE company SET name = $2, brand = $3, time_zone = $4, locale = $5, lead_url = $6 WHERE id = $1",
            company.id.0,
            company.name,
            company.brand,
            company.time_zone,
            company.locale,
            company.lead_url,
        )
        .execute(&mut *self.tx)
        .await?;
        for integration in raise_versions(&mut self.tx, company.id).await? {
            self.touch(LaneId::new(company.id, integration), true);
        }
        Ok(())
    }

    /// Pauses a locked company or lets it go on. Its integrations are touched by [`Self::update_company`].
    pub async fn pause_company(&mut self, company: &mut Company, paused: bool) -> Result<(), Refusal> {
        let since = sqlx::query_scalar!(
            "UPDATE company SET paused_at = CASE WHEN $2 THEN coalesce(paused_at, now()) END
             WHERE id = $1 RETURNING paused_at",
            company.id.0,
            paused,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        company.paused_at = since.map(jiff_sqlx::Timestamp::to_jiff);
        Ok(())
    }

    /// Writes after how many hours without a lead a notice says so; none for never.
    pub async fn set_quiet_hours(
        &mut self,
        company: &mut Company,
        hours: Option<i32>,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE company SET quiet_hours = $2, quiet_since = CASE WHEN $2::int IS NOT NULL THEN now() END
             WHERE id = $1",
            company.id.0,
            hours,
        )
        .execute(&mut *self.tx)
        .await?;
        forget_quiet(&mut self.tx, company.id).await?;
        company.quiet_hours = hours;
        Ok(())
    }

    /// Writes the plan of a locked company.
    pub async fn set_plan(&mut self, company: CompanyId, plan: Plan) -> Result<(), Refusal> {
        sqlx::query!("UPDATE company SET plan = $2 WHERE id = $1", company.0, plan.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The names of the enabled integrations that the plan of a locked company counts.
    pub async fn counted_integrations(&mut self, company: CompanyId) -> Result<Vec<String>, Refusal> {
        let names = sqlx::query_scalar!(
            "SELECT name FROM integration
             WHERE company_id = $1 AND enabled AND deleted_at IS NULL AND connector <> $2 ORDER BY name",
            company.0,
            UNCOUNTED,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(names)
    }
}
