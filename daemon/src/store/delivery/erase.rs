//! What is kept of the pushes of a person who is erased: that there were attempts stays, all that they quote goes.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, LeadId},
    store::Error,
};

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

/// Takes out of tests what quotes one of these texts; an error becomes the other.
pub(in crate::store) async fn scrub_quoting_tests(
    db: &mut PgConnection,
    company: CompanyId,
    quotes: &[String],
    error: &str,
) -> Result<(), Error> {
    // Answers are bytes, which need not be text: both sides are compared as PostgreSQL escapes bytes.
    sqlx::query!(
        "UPDATE attempt SET url = NULL, request_body = NULL, response_body = NULL, calls = NULL, note = NULL,
             error = CASE WHEN error IS NOT NULL THEN $3 END,
             request_headers = CASE WHEN request_headers IS NOT NULL THEN '[]'::json END,
             response_headers = CASE WHEN response_headers IS NOT NULL THEN '[]'::json END
         WHERE company_id = $1 AND delivery_id IS NULL AND EXISTS (
             SELECT FROM unnest($2::text[]) quote WHERE strpos(
                 lower(concat_ws(' ', encode(response_body, 'escape'), encode(convert_to(concat_ws(' ', error, note, url,
                     calls::text, response_headers::text), 'UTF8'), 'escape'))),
                 lower(encode(convert_to(quote, 'UTF8'), 'escape'))) > 0)",
        company.0,
        quotes,
        error,
    )
    .execute(db)
    .await?;
    Ok(())
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
