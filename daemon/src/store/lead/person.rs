//! Who leads are: found by any part of name, e-mail address, phone number or uuid. The flush that takes a lead in
//! writes one narrow row; what indexes it costs is paid later, by batches that move rows from `lead_recent` on.

use jiff_sqlx::ToSqlx as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::LeadState,
        ids::{CompanyId, LeadId},
        person::{self, Person},
    },
    store::{
        Error, Store,
        lead::{place::LeadPlace, read::LeadView},
        operator::command::Refusal,
    },
    telemetry,
};

/// A text that finds more leads than this is looked for among the newest instead: there it is found often.
const RARE_MAX: i64 = 2000;
/// So many of the newest leads are gone through at most before the index is asked for all that have the text in them; and
/// so many of a company's before it is asked for any.
const NEWEST: i64 = 40_000;
const NEWEST_OF_COMPANY: i64 = 2000;
/// Fewer hits in a sample may be chance.
const HITS_MIN: i64 = 3;
/// A pattern without a run of so many letters or digits reads the whole index.
const TRIGRAM: usize = 3;

/// What a search found.
#[derive(Clone, Debug)]
pub struct PeopleFound {
    /// Newest first.
    pub leads: Vec<LeadView>,
    /// Every lead was looked through: the database has no trigram index.
    pub is_scan: bool,
}

/// What is searched.
struct Search {
    patterns: Vec<String>,
    company: Option<CompanyId>,
    after: LeadPlace,
    limit: i64,
}

impl Search {
    fn has_trigrams(&self) -> bool {
        let has_run = |pattern: &String| {
            pattern.split(|c: char| !c.is_alphanumeric()).any(|run| run.chars().count() >= TRIGRAM)
        };
        self.patterns.iter().any(has_run)
    }

    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        for pattern in &self.patterns {
            sql.push(" AND p.folded LIKE ").push_bind(pattern.clone());
        }
    }

    /// Leads that are found in a table, so many at most, in any order.
    fn any(&self, sql: &mut QueryBuilder<Postgres>, table: &'static str, most: i64) {
        sql.push("(SELECT p.company_id, p.lead_id FROM ").push(table).push(" p WHERE true");
        self.push_conditions(sql);
        if let Some(company) = self.company {
            sql.push(" AND p.company_id = ").push_bind(company.0);
        }
        sql.push(" LIMIT ").push_bind(most).push(")");
    }

    /// Leads, from the place on.
    fn push_place(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(" WHERE (l.received_at, l.company_id, l.id) < (")
            .push_bind(self.after.received_at.to_sqlx());
        sql.push(", ").push_bind(self.after.company.0);
        sql.push(", ").push_bind(self.after.lead.uuid()).push(")");
        // The same, for the index of a company's leads.
        sql.push(" AND l.received_at <= ").push_bind(self.after.received_at.to_sqlx());
        if let Some(company) = self.company {
            sql.push(" AND l.company_id = ").push_bind(company.0);
        }
    }

    fn push_order(sql: &mut QueryBuilder<Postgres>, limit: i64) {
        sql.push(" ORDER BY l.received_at DESC, l.company_id DESC, l.id DESC LIMIT ").push_bind(limit);
    }

    /// The newest: so many leads are gone through at most from the place on, until enough have the text in them.
    fn newest(&self, most: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(
            "SELECT l.company_id, l.id FROM (SELECT l.company_id, l.id, l.received_at FROM lead l",
        );
        self.push_place(&mut sql);
        Self::push_order(&mut sql, most);
        sql.push(") l CROSS JOIN LATERAL (SELECT FROM (");
        for (table, union) in [("lead_person", " UNION ALL "), ("lead_recent", ") p OFFSET 0) p")] {
            sql.push("(SELECT FROM ").push(table);
            sql.push(" p WHERE p.company_id = l.company_id AND p.lead_id = l.id");
            self.push_conditions(&mut sql);
            sql.push(" LIMIT 1)").push(union);
        }
        Self::push_order(&mut sql, self.limit);
        sql
    }

    /// Of these leads the newest.
    fn newest_of(&self, found: &[(i64, Uuid)]) -> QueryBuilder<Postgres> {
        let (companies, leads): (Vec<i64>, Vec<Uuid>) = found.iter().copied().unzip();
        let mut sql = QueryBuilder::new("SELECT l.company_id, l.id FROM (SELECT DISTINCT * FROM unnest(");
        sql.push_bind(companies).push(", ").push_bind(leads);
        sql.push(
            ") f(company_id, lead_id)) f JOIN lead l ON l.company_id = f.company_id AND l.id = f.lead_id",
        );
        self.push_place(&mut sql);
        Self::push_order(&mut sql, self.limit);
        sql
    }

    /// Whether enough are likely found among the newest, going by a few pages of the table. Of a company nothing tells
    /// that but its newest leads, which are few.
    async fn is_near(&self, db: &mut PgConnection) -> Result<bool, Error> {
        if self.company.is_some() {
            return Ok(true);
        }
        let mut sql = QueryBuilder::new("SELECT count(*) FILTER (WHERE true");
        self.push_conditions(&mut sql);
        sql.push("), count(*) FROM lead_person p TABLESAMPLE SYSTEM (0.2)");
        let (hits, rows): (i64, i64) = sql.build_query_as().persistent(false).fetch_one(db).await?;
        Ok(hits >= HITS_MIN && self.limit.saturating_mul(rows) / hits <= NEWEST)
    }

    async fn ids(&self, db: &mut PgConnection) -> Result<Vec<(i64, Uuid)>, Error> {
        let is_so =
            |found: &[(i64, Uuid)], least| i64::try_from(found.len()).is_ok_and(|count| count >= least);
        let first = self.company.map_or(NEWEST, |_| NEWEST_OF_COMPANY);
        let is_near = self.is_near(db).await?;
        if is_near {
            let found = self.among_newest(db, first).await?;
            if is_so(&found, self.limit) {
                return Ok(found);
            }
        }
        let mut found = self.by_index(db, RARE_MAX + 1).await?;
        if is_so(&found, RARE_MAX + 1) {
            if !is_near || first < NEWEST {
                let found = self.among_newest(db, NEWEST).await?;
                if is_so(&found, self.limit) {
                    return Ok(found);
                }
            }
            // Only old leads have the text in them.
            found = self.by_index(db, i64::MAX).await?;
        }
        Ok(self.newest_of(&found).build_query_as().persistent(false).fetch_all(db).await?)
    }

    /// What the index finds, so many at most, in any order.
    async fn by_index(&self, db: &mut PgConnection, most: i64) -> Result<Vec<(i64, Uuid)>, Error> {
        let mut sql = QueryBuilder::new("");
        self.any(&mut sql, "lead_person", most);
        sql.push(" UNION ALL ");
        self.any(&mut sql, "lead_recent", most);
        // Not kept as a prepared statement: what a pattern costs is known from its text alone.
        Ok(sql.build_query_as().persistent(false).fetch_all(db).await?)
    }

    /// What is found among so many of the newest leads.
    async fn among_newest(&self, db: &mut PgConnection, most: i64) -> Result<Vec<(i64, Uuid)>, Error> {
        let mut tx = db.begin().await?;
        // Going by their keys: what a pattern finds the planner cannot know.
        for setting in ["enable_bitmapscan", "enable_seqscan"] {
            sqlx::query("SELECT set_config($1, 'off', true)").bind(setting).execute(&mut *tx).await?;
        }
        let found = self.newest(most).build_query_as().persistent(false).fetch_all(&mut *tx).await?;
        tx.rollback().await?;
        Ok(found)
    }
}

impl Store {
    /// Leads by patterns of who they are, newest first, those behind `after` only.
    pub async fn find_leads(
        &self,
        company: Option<CompanyId>,
        patterns: Vec<String>,
        after: Option<LeadPlace>,
        limit: i64,
    ) -> Result<PeopleFound, Refusal> {
        let after = after.unwrap_or_else(LeadPlace::first);
        let search = Search { patterns, company, after, limit };
        let mut tx = self.pool.begin().await?;
        let has_index = has_trigram_index(&mut tx).await?;
        if has_index && search.has_trigrams() || company.is_some() {
            // Without statistics nothing tells the planner that few rows have a text in them.
            sqlx::query("SET LOCAL enable_seqscan = off").execute(&mut *tx).await?;
        }
        let found = search.ids(&mut tx).await?;
        tx.rollback().await?;
        Ok(PeopleFound { leads: self.leads_by_ids(&found).await?, is_scan: !has_index })
    }

    /// These leads as they are shown, in this order.
    pub(in crate::store) async fn leads_by_ids(&self, ids: &[(i64, Uuid)]) -> Result<Vec<LeadView>, Error> {
        let (companies, leads): (Vec<i64>, Vec<Uuid>) = ids.iter().copied().unzip();
        let rows = sqlx::query!(
            r#"SELECT l.company_id, c.name AS company_name, l.id, l.uuid, l.received_at, l.updated_at,
                      coalesce(p.name, '') AS "name!", coalesce(p.email, '') AS "email!", coalesce(p.phone, '') AS "phone!",
                      d.delivered AS "delivered!", d.open AS "open!"
               FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY u(company_id, lead_id, ordinal)
               JOIN lead l ON l.company_id = u.company_id AND l.id = u.lead_id
               JOIN company c ON c.id = l.company_id
               LEFT JOIN person p ON p.company_id = l.company_id AND p.lead_id = l.id
               CROSS JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE state = 'delivered') AS delivered,
                          count(*) FILTER (WHERE state NOT IN ('delivered', 'skipped')) AS open
                   FROM delivery WHERE company_id = l.company_id AND lead_id = l.id) d
               ORDER BY u.ordinal"#,
            &companies,
            &leads,
        )
        .fetch_all(&self.pool)
        .await?;
        let leads = rows.into_iter().map(|row| LeadView {
            id: row.id.into(),
            uuid: row.uuid,
            company: CompanyId(row.company_id),
            company_name: row.company_name,
            person: Person { name: row.name, email: row.email, phone: row.phone },
            state: LeadState::of(row.delivered, row.open),
            undelivered: row.open,
            received_at: row.received_at.to_jiff(),
            updated_at: row.updated_at.map(jiff_sqlx::Timestamp::to_jiff),
        });
        Ok(leads.collect())
    }

    /// The same, by ids of ours.
    pub async fn leads_by_ids_of(&self, ids: &[(CompanyId, LeadId)]) -> Result<Vec<LeadView>, Error> {
        let ids: Vec<_> = ids.iter().map(|(company, lead)| (company.0, lead.uuid())).collect();
        self.leads_by_ids(&ids).await
    }

    /// The leads of the person with this e-mail address, in any case: those that are not erased.
    pub async fn leads_of_person(
        &self,
        company: Option<CompanyId>,
        email: &str,
    ) -> Result<Vec<(CompanyId, LeadId)>, Refusal> {
        let email = email.trim();
        if !email.contains('@') || email.contains('\0') {
            return Err(Refusal::Invalid(format!("email {email:?}: give the whole address of a person")));
        }
        let pattern = person::address_pattern(email);
        let mut tx = self.pool.begin().await?;
        if has_trigram_index(&mut tx).await? {
            sqlx::query("SET LOCAL enable_seqscan = off").execute(&mut *tx).await?;
        }
        // The pattern is for the index; that it is the whole address is asked of what it finds.
        let rows = sqlx::query(
            "SELECT company_id, lead_id FROM person
             WHERE folded LIKE $1 AND lower(email) = lower($2) AND ($3::bigint IS NULL OR company_id = $3)
             ORDER BY lead_id DESC",
        )
        .persistent(false)
        .bind(pattern)
        .bind(email)
        .bind(company.map(|id| id.0))
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        let lead = |row: sqlx::postgres::PgRow| {
            Ok::<_, sqlx::Error>((CompanyId(row.try_get(0)?), LeadId::from(row.try_get::<Uuid, _>(1)?)))
        };
        Ok(rows.into_iter().map(lead).collect::<Result<_, _>>()?)
    }
}

/// Writes who a lead is by now.
pub(in crate::store) async fn rewrite(
    db: &mut PgConnection,
    company: CompanyId,
    lead: LeadId,
    person: &Person,
    folded: &str,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM lead_recent WHERE company_id = $1 AND lead_id = $2", company.0, lead.uuid(),)
        .execute(&mut *db)
        .await?;
    // In a statement of its own: it sees what was moved while the one before waited.
    sqlx::query!(
        "INSERT INTO lead_person (company_id, lead_id, name, email, phone, folded) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (company_id, lead_id) DO UPDATE
             SET name = excluded.name, email = excluded.email, phone = excluded.phone, folded = excluded.folded",
        company.0,
        lead.uuid(),
        person.name,
        person.email,
        person.phone,
        folded,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets who a lead was.
pub(in crate::store) async fn forget_person(
    db: &mut PgConnection,
    company: CompanyId,
    lead: LeadId,
) -> Result<(), Error> {
    sqlx::query!("DELETE FROM lead_recent WHERE company_id = $1 AND lead_id = $2", company.0, lead.uuid(),)
        .execute(&mut *db)
        .await?;
    // In a statement of its own: it sees what was moved while the one before waited.
    sqlx::query!("DELETE FROM lead_person WHERE company_id = $1 AND lead_id = $2", company.0, lead.uuid(),)
        .execute(db)
        .await?;
    Ok(())
}

async fn has_trigram_index(db: &mut PgConnection) -> Result<bool, Error> {
    let is_there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE c.relname = 'lead_person_folded' AND i.indisvalid
                 AND i.indrelid = 'lead_person'::regclass) AS "is_there!""#,
    )
    .fetch_one(db)
    .await?;
    Ok(is_there)
}

/// Makes the trigram index where the server has what it takes. Answers whether it is there. Without it searches read
/// every row.
pub async fn ensure_trigrams(pool: &PgPool) -> Result<bool, Error> {
    let mut db = pool.acquire().await?;
    if has_trigram_index(&mut db).await? {
        return Ok(true);
    }
    let is_available = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') AS "is_available!""#,
    )
    .fetch_one(&mut *db)
    .await?;
    if !is_available {
        return Ok(false);
    }
    // One daemon at a time builds; nobody waits for it.
    let mut tx = pool.begin().await?;
    let is_ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "is_ours!""#, LOCK)
        .fetch_one(&mut *tx)
        .await?;
    if !is_ours {
        return Ok(false);
    }
    // Whoever may not make extensions has none: that is no failure, searches go on without.
    if let Err(error) = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_trgm").execute(&mut *tx).await {
        tracing::info!(
            event = "trigram_index_missing",
            error = telemetry::causes(&error),
            "leads are searched without a trigram index"
        );
        return Ok(false);
    }
    let mut second = tx.begin().await?;
    // With it the index tells companies apart, which searches in one go by.
    let company = match sqlx::query("CREATE EXTENSION IF NOT EXISTS btree_gin").execute(&mut *second).await {
        Ok(_) => {
            second.commit().await?;
            "company_id, "
        }
        Err(error) => {
            tracing::info!(
                event = "company_index_missing",
                error = telemetry::causes(&error),
                "the index of people has all companies' among each other: the database has no btree_gin"
            );
            second.rollback().await?;
            ""
        }
    };
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
    // Room for what is moved together, so that it is merged once.
    let sql = format!(
        "CREATE INDEX IF NOT EXISTS lead_person_folded ON lead_person USING gin ({company}folded gin_trgm_ops)
         WITH (gin_pending_list_limit = 65536)"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// One daemon at a time builds the index.
const LOCK: i64 = 0x6c65_6164_0007;
