//! What is kept of the pushes of a person who is erased: that there were attempts stays, all that they quote goes.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{CompanyId, LeadId},
        person::Quotes,
    },
    store::Error,
};

/// How many tests are looked through at once: each may hold some kilobytes.
const BATCH: usize = 100;

/// Takes out of attempts what may quote a lead; an error becomes this text. Answers how many attempts there are.
pub(in crate::store) async fn scrub_attempts(
    db: &mut PgConnection,
    company: CompanyId,
    deliveries: &[Uuid],
    error: &str,
) -> Result<u64, Error> {
    let scrubbed = sqlx::query!(
        "UPDATE attempt SET url = NULL, request_body = NULL, response_body = NULL, calls = NULL, note = NULL,
             error = CASE WHEN error IS NOT NULL THEN $3 END,
             request_headers = CASE WHEN request_headers IS NOT NULL THEN '[]'::json END,
             response_headers = CASE WHEN response_headers IS NOT NULL THEN '[]'::json END
         WHERE company_id = $1 AND delivery_id = ANY($2)",
        company.0,
        deliveries,
        error,
    )
    .execute(db)
    .await?;
    Ok(scrubbed.rows_affected())
}

/// Takes out of tests what quotes somebody; an error becomes this text.
pub(in crate::store) async fn scrub_quoting_tests(
    db: &mut PgConnection,
    company: CompanyId,
    quotes: &Quotes,
    error: &str,
) -> Result<(), Error> {
    if quotes.is_empty() {
        return Ok(());
    }
    let tests = sqlx::query_as!(
        TestKey,
        "SELECT integration_id, id FROM attempt WHERE company_id = $1 AND delivery_id IS NULL",
        company.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut quoting = Vec::new();
    for batch in tests.chunks(BATCH) {
        let (integrations, ids) = columns(batch);
        let told = sqlx::query!(
            r#"SELECT integration_id, id, response_body,
                 concat_ws(' ', error, note, url, calls::text, response_headers::text) AS "text!"
             FROM attempt WHERE company_id = $1 AND delivery_id IS NULL
               AND (integration_id, id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[]))"#,
            company.0,
            &integrations,
            &ids,
        )
        .fetch_all(&mut *db)
        .await?;
        quoting.extend(told.into_iter().filter_map(|test| {
            // An answer need not be text.
            let body = test.response_body.unwrap_or_default();
            let is_about_them =
                quotes.stand_in(&test.text) || quotes.stand_in(&String::from_utf8_lossy(&body));
            is_about_them.then_some(TestKey { integration_id: test.integration_id, id: test.id })
        }));
    }
    let (integrations, ids) = columns(&quoting);
    sqlx::query!(
        "UPDATE attempt SET url = NULL, request_body = NULL, response_body = NULL, calls = NULL, note = NULL,
             error = CASE WHEN error IS NOT NULL THEN $4 END,
             request_headers = CASE WHEN request_headers IS NOT NULL THEN '[]'::json END,
             response_headers = CASE WHEN response_headers IS NOT NULL THEN '[]'::json END
         WHERE company_id = $1 AND delivery_id IS NULL
           AND (integration_id, id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[]))",
        company.0,
        &integrations,
        &ids,
        error,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which of a company's tests.
struct TestKey {
    integration_id: Uuid,
    id: Uuid,
}

fn columns(tests: &[TestKey]) -> (Vec<Uuid>, Vec<Uuid>) {
    tests.iter().map(|test| (test.integration_id, test.id)).unzip()
}

/// Forgets what the targets of these integrations call the things of a lead.
pub(in crate::store) async fn forget_vendor_ids(
    db: &mut PgConnection,
    company: CompanyId,
    integrations: &[Uuid],
    lead: LeadId,
) -> Result<(), Error> {
    // By the whole key: the company's other ids are not read while whoever erases holds all its locks.
    sqlx::query!(
        "DELETE FROM vendor_id WHERE company_id = $1 AND integration_id = ANY($2) AND lead_id = $3",
        company.0,
        integrations,
        lead.uuid()
    )
    .execute(db)
    .await?;
    Ok(())
}
