//! Forms: what the intake takes posts by, and what operators see and change.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        form::Form,
        ids::{CompanyId, FormId, RefusalId},
    },
    store::{
        Error, Store,
        company::{Company, find_optional_company, refusal::RefusalView},
        operator::command::{Command, Refusal},
    },
};

/// The most forms of a company: all of them are read with its view.
const FORMS_MAX: i64 = 200;

/// A form as operators see it.
#[derive(Clone, Debug)]
pub struct FormView {
    pub company: CompanyId,
    pub id: FormId,
    pub name: String,
    pub enabled: bool,
    /// Field of the page -> canonical field, or null.
    pub map: Value,
    /// Canonical field -> value.
    pub constants: Value,
    pub honeypot: Option<String>,
    pub redirect: Option<String>,
    /// Empty for all.
    pub allow_origins: Vec<String>,
    pub created_at: jiff::Timestamp,
}

impl FormView {
    /// What the audit keeps of it.
    #[must_use]
    pub fn audited(&self) -> Value {
        json!({
            "name": self.name,
            "enabled": self.enabled,
            "map": self.map,
            "constants": self.constants,
            "honeypot": self.honeypot,
            "redirect": self.redirect,
            "allow_origins": self.allow_origins,
        })
    }
}

/// An enabled form as the intake takes posts by it.
#[derive(Debug)]
pub struct IntakeForm {
    pub id: FormId,
    pub form: Form,
    /// Where the browser goes afterwards.
    pub redirect: Option<String>,
    /// Empty for all.
    pub allow_origins: Vec<String>,
}

struct FormRow {
    company_id: i64,
    id: Uuid,
    name: String,
    enabled: bool,
    map: Value,
    constants: Value,
    honeypot: Option<String>,
    redirect: Option<String>,
    allow_origins: Vec<String>,
    created_at: jiff_sqlx::Timestamp,
}

impl From<FormRow> for FormView {
    fn from(row: FormRow) -> Self {
        Self {
            company: CompanyId(row.company_id),
            id: row.id.into(),
            name: row.name,
            enabled: row.enabled,
            map: row.map,
            constants: row.constants,
            honeypot: row.honeypot,
            redirect: row.redirect,
            allow_origins: row.allow_origins,
            created_at: row.created_at.to_jiff(),
        }
    }
}

/// The enabled forms of a company.
pub(in crate::store) async fn deciding(
    db: &mut PgConnection,
    company: CompanyId,
) -> Result<Vec<IntakeForm>, Error> {
    let rows = sqlx::query!(
        "SELECT id, map, constants, honeypot, redirect, allow_origins FROM form
         WHERE company_id = $1 AND enabled ORDER BY id",
        company.0,
    )
    .fetch_all(db)
    .await?;
    let forms = rows.into_iter().map(|row| {
        let form = Form::new(&row.map, &row.constants, row.honeypot.as_deref());
        let form = form.map_err(|_| Error::Corrupt("form"))?;
        Ok(IntakeForm { id: row.id.into(), form, redirect: row.redirect, allow_origins: row.allow_origins })
    });
    forms.collect()
}

/// The form that a reference means: an id, or a name that only one has.
async fn find_form(db: &mut PgConnection, reference: &str) -> Result<(CompanyId, FormId), Refusal> {
    if reference.is_empty() {
        return Err(Refusal::Invalid("name a form, by its id or its name".to_owned()));
    }
    if reference.contains('\0') {
        return Err(Refusal::unknown("form", format_args!("{reference:?}")));
    }
    let id = reference.parse::<FormId>().ok().map(FormId::uuid);
    let found = sqlx::query!(
        "SELECT company_id, id FROM form WHERE id = $1 OR ($1::uuid IS NULL AND name = $2) ORDER BY id LIMIT 10",
        id,
        reference,
    )
    .fetch_all(db)
    .await?;
    let found: Vec<_> =
        found.into_iter().map(|row| (CompanyId(row.company_id), FormId::from(row.id))).collect();
    Refusal::only_one(("form", "forms"), reference, &found)
}

async fn one(db: &mut PgConnection, company: CompanyId, id: FormId) -> Result<FormView, Refusal> {
    let row = sqlx::query_as!(
        FormRow,
        "SELECT company_id, id, name, enabled, map, constants, honeypot, redirect, allow_origins, created_at
         FROM form WHERE company_id = $1 AND id = $2",
        company.0,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?;
    row.map(FormView::from).ok_or_else(|| Refusal::unknown("form", id))
}

impl Store {
    /// Whose form this is; none if there is no such form.
    pub async fn company_of_form(&self, form: FormId) -> Result<Option<CompanyId>, Error> {
        let company = sqlx::query_scalar!("SELECT company_id FROM form WHERE id = $1", form.uuid())
            .fetch_optional(&self.pool)
            .await?;
        Ok(company.map(CompanyId))
    }

    /// The forms of a company or of all, newest first, those behind `after` only.
    pub async fn form_views(
        &self,
        company: Option<&str>,
        after: Option<FormId>,
        limit: i64,
    ) -> Result<Vec<FormView>, Refusal> {
        let mut db = self.pool.acquire().await?;
        let company = find_optional_company(&mut db, company).await?.map(|id| id.0);
        let rows = sqlx::query_as!(
            FormRow,
            "SELECT company_id, id, name, enabled, map, constants, honeypot, redirect, allow_origins, created_at
             FROM form WHERE ($1::bigint IS NULL OR company_id = $1) AND ($2::uuid IS NULL OR id < $2)
             ORDER BY id DESC LIMIT $3",
            company,
            after.map(FormId::uuid),
            limit,
        )
        .fetch_all(&mut *db)
        .await?;
        Ok(rows.into_iter().map(FormView::from).collect())
    }

    /// The form that a reference means.
    pub async fn form_view(&self, reference: &str) -> Result<FormView, Refusal> {
        let mut db = self.pool.acquire().await?;
        let (company, id) = find_form(&mut db, reference).await?;
        one(&mut db, company, id).await
    }

    /// The last refused posts of a form, newest first, those behind `after` only.
    pub async fn form_refusals(
        &self,
        reference: &str,
        after: Option<RefusalId>,
        limit: i64,
    ) -> Result<Vec<RefusalView>, Refusal> {
        let form = self.form_view(reference).await?;
        Ok(self.refusals_of(form.company, form.id.uuid(), after, limit).await?)
    }
}

impl Command {
    /// Locks the company of a form, and raises the version that intake decides on.
    pub async fn form(&mut self, reference: &str) -> Result<(Company, FormView), Refusal> {
        let (company, id) = find_form(&mut self.tx, reference).await?;
        let company = self.lock_company(company).await?;
        let form = one(&mut self.tx, company.id, id).await?;
        Ok((company, form))
    }

    /// Refuses a name that another form of the locked company has, and one form too many.
    pub async fn room_for_form(&mut self, company: CompanyId, name: &str) -> Result<(), Refusal> {
        let found = sqlx::query!(
            r#"SELECT count(*) AS "count!", (array_agg(id) FILTER (WHERE name = $2))[1] AS taken
               FROM form WHERE company_id = $1"#,
            company.0,
            name,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        if let Some(id) = found.taken {
            return Err(Refusal::Exists(format!(
                "company {company} has a form {name:?} already ({}): choose another name",
                FormId::from(id)
            )));
        }
        if found.count >= FORMS_MAX {
            return Err(Refusal::State(format!(
                "company {company} has {FORMS_MAX} forms, which are the most: delete one"
            )));
        }
        Ok(())
    }

    /// Writes a new form of a locked company, or one that is there. Answers it as it stands now.
    pub async fn write_form(&mut self, form: &FormView) -> Result<FormView, Refusal> {
        let row = sqlx::query_as!(
            FormRow,
            "INSERT INTO form
                 (company_id, id, name, enabled, map, constants, honeypot, redirect, allow_origins)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (company_id, id) DO UPDATE
             SET name = excluded.name, enabled = excluded.enabled, map = excluded.map,
                 constants = excluded.constants, honeypot = excluded.honeypot, redirect = excluded.redirect,
                 allow_origins = excluded.allow_origins
             RETURNING company_id, id, name, enabled, map, constants, honeypot, redirect, allow_origins, created_at",
            form.company.0,
            form.id.uuid(),
            form.name,
            form.enabled,
            form.map,
            form.constants,
            form.honeypot,
            form.redirect,
            &form.allow_origins,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(row.into())
    }

    /// Removes a form of a locked company, with what it refused.
    pub async fn delete_form(&mut self, form: &FormView) -> Result<(), Refusal> {
        let (company, id) = (form.company.0, form.id.uuid());
        sqlx::query!("DELETE FROM form WHERE company_id = $1 AND id = $2", company, id)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query!("DELETE FROM refusal WHERE company_id = $1 AND key_id = $2", company, id)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}
