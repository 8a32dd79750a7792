//! Erasing a person: every byte of a lead goes, rows and counts stay.
//!
//! A push that is under way knows the lead already, and writes what came of it when it ends. So each erased lead stands
//! in `erasure` until no claim holds a delivery of it, and is cleaned once more then.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{CompanyId, LeadId},
        json::Json,
        lane::LaneId,
        person::{Person, Quotes},
    },
    store::{
        Error, Store,
        company::find_optional_company,
        delivery::erase::{forget_vendor_ids, scrub_attempts, scrub_quoting_tests},
        lead::{person::forget_person, read::find_lead},
        notice::scrub_notices,
        operator::command::{Command, Refusal},
        queue::{erase::scrub_deliveries, health::scrub_errors, hold::in_flight, undelivered::lock_counts},
    },
};

/// The reason of deliveries whose lead is gone; such a one is not pushed again.
pub const ERASED: &str = "erased";

/// What was erased.
#[derive(Clone, Debug)]
pub struct Erased {
    pub company: CompanyId,
    pub lead: LeadId,
    pub uuid: String,
    /// Deliveries that are skipped because of it.
    pub skipped: u64,
    pub deliveries: u64,
    pub attempts: u64,
    /// Pushes under way.
    pub running: u64,
}

impl Command {
    /// Erases a lead. Repeating it does no harm.
    pub async fn erase_lead(&mut self, company: Option<&str>, uuid: &str) -> Result<Erased, Refusal> {
        let company = find_optional_company(&mut self.tx, company).await?;
        let (company, lead) = find_lead(&mut self.tx, company, uuid).await?;
        let uuid = sqlx::query_scalar!(
            "SELECT uuid FROM lead WHERE company_id = $1 AND id = $2 FOR UPDATE",
            company.0,
            lead.uuid(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        // Before anything is locked that pushes wait for: it reads every test of the company.
        scrub_tests(&mut self.tx, company, lead).await?;
        let deliveries = lock_deliveries(&mut self.tx, company, lead).await?;
        let skipped = self.skip_erased(company, &deliveries.integrations, &deliveries.ids).await?;
        let attempts = scrub(&mut self.tx, company, lead, &deliveries, self.store.kept).await?;
        forget(&mut self.tx, company, lead, &uuid).await?;
        for integration in &deliveries.integrations {
            self.touch(LaneId::new(company, *integration), false);
        }
        let running = in_flight(&mut self.tx, &deliveries.ids).await?.len() as u64;
        Ok(Erased {
            company,
            lead,
            uuid,
            skipped,
            deliveries: deliveries.ids.len() as u64,
            attempts,
            running,
        })
    }
}

impl Store {
    /// Cleans up behind pushes that were under way when their lead was erased. Answers how many are still.
    pub async fn finish_erasures(&self) -> Result<usize, Error> {
        let waiting = sqlx::query!("SELECT company_id, lead_id FROM erasure").fetch_all(&self.pool).await?;
        let mut left = 0;
        for row in waiting {
            let (company, lead) = (CompanyId(row.company_id), LeadId::from(row.lead_id));
            let mut tx = self.pool.begin().await?;
            let deliveries = lock_deliveries(&mut tx, company, lead).await?;
            // Before the cleaning: what is not running now has written all that it will.
            let is_running = !in_flight(&mut tx, &deliveries.ids).await?.is_empty();
            scrub(&mut tx, company, lead, &deliveries, self.kept).await?;
            if is_running {
                left += 1;
            } else {
                sqlx::query!(
                    "DELETE FROM erasure WHERE company_id = $1 AND lead_id = $2",
                    company.0,
                    lead.uuid()
                )
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
        }
        Ok(left)
    }
}

/// The deliveries of a lead, and where they go.
struct Deliveries {
    ids: Vec<Uuid>,
    integrations: Vec<Uuid>,
}

/// Locks the deliveries of a lead, then the health of their integrations, as a finish does.
async fn lock_deliveries(
    db: &mut PgConnection,
    company: CompanyId,
    lead: LeadId,
) -> Result<Deliveries, Error> {
    let rows = sqlx::query!(
        "SELECT id, integration_id FROM delivery WHERE company_id = $1 AND lead_id = $2 ORDER BY id FOR UPDATE",
        company.0,
        lead.uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    let ids = rows.iter().map(|row| row.id).collect();
    let mut integrations: Vec<Uuid> = rows.iter().map(|row| row.integration_id).collect();
    integrations.sort_unstable();
    integrations.dedup();
    lock_counts(db, company, &integrations).await?;
    Ok(Deliveries { ids, integrations })
}

/// Removes what deliveries and attempts hold of a lead. Answers how many attempts there are.
async fn scrub(
    db: &mut PgConnection,
    company: CompanyId,
    lead: LeadId,
    of: &Deliveries,
    kept: Duration,
) -> Result<u64, Error> {
    scrub_deliveries(db, company, &of.ids).await?;
    scrub_health_and_notices(db, company, of, kept).await?;
    let attempts = scrub_attempts(db, company, &of.ids, ERASED).await?;
    forget_vendor_ids(db, company, &of.integrations, lead).await?;
    sqlx::query!("DELETE FROM saved_lead WHERE company_id = $1 AND lead_id = $2", company.0, lead.uuid(),)
        .execute(db)
        .await?;
    Ok(attempts)
}

/// Empties the tests of the company's integrations that quote the person: a test is no delivery of any lead, but its target
/// may answer it with whom it knows, by what they were called when it heard of them.
async fn scrub_tests(db: &mut PgConnection, company: CompanyId, lead: LeadId) -> Result<(), Error> {
    let bodies = sqlx::query_scalar!(
        "SELECT body FROM event WHERE company_id = $1 AND lead_id = $2",
        company.0,
        lead.uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    let people = bodies.iter().filter_map(|body| Json::parse(body).ok()).map(|event| Person::of(&event));
    scrub_quoting_tests(db, company, &Quotes::of(people), ERASED).await
}

/// Takes the errors that quote the lead out of the health of its integrations and of what operators were told. Before
/// attempts lose their errors, or these would not be known again. Of an error whose attempt is no longer kept nobody
/// can tell whose it was: it goes with any lead of the integration.
async fn scrub_health_and_notices(
    db: &mut PgConnection,
    company: CompanyId,
    of: &Deliveries,
    kept: Duration,
) -> Result<(), Error> {
    let errors = sqlx::query_scalar!(
        r#"SELECT error AS "error!" FROM (
               SELECT error FROM attempt WHERE company_id = $1 AND delivery_id = ANY($2)
               UNION SELECT last_error FROM integration_stat WHERE company_id = $1 AND integration_id = ANY($3)
                   AND last_error_at < now() - $4 * interval '1 second'
               UNION SELECT breaker_error FROM integration_stat WHERE company_id = $1 AND integration_id = ANY($3)
                   AND last_error_at < now() - $4 * interval '1 second'
           ) quoted WHERE error NOT IN ('', $5)"#,
        company.0,
        &of.ids,
        &of.integrations,
        kept.as_secs_f64(),
        ERASED,
    )
    .fetch_all(&mut *db)
    .await?;
    scrub_errors(&mut *db, company, &of.integrations, &errors, ERASED).await?;
    for error in &errors {
        scrub_notices(db, company, error, ERASED).await?;
    }
    Ok(())
}

/// Replaces the lead's events by what names it only, and notes that it is erased.
async fn forget(db: &mut PgConnection, company: CompanyId, lead: LeadId, uuid: &str) -> Result<(), Error> {
    forget_person(db, company, lead).await?;
    let nobody = Json::object([
        ("version", Json::string("v1")),
        ("lead", Json::object([("uuid", Json::string(uuid))])),
    ]);
    let body = nobody.to_bytes();
    sqlx::query!(
        "UPDATE event SET body = $3 WHERE company_id = $1 AND lead_id = $2",
        company.0,
        lead.uuid(),
        &body[..],
    )
    .execute(&mut *db)
    .await?;
    // The digest of what was would tell whoever guesses it that the guess is right.
    sqlx::query!(
        "WITH noted AS (
             INSERT INTO erasure (company_id, lead_id) VALUES ($1, $2) ON CONFLICT DO NOTHING)
         UPDATE lead SET digest = $3, erased_at = coalesce(erased_at, now()) WHERE company_id = $1 AND id = $2",
        company.0,
        lead.uuid(),
        &Sha256::digest(&body)[..],
    )
    .execute(db)
    .await?;
    Ok(())
}
