//! When companies last got a lead, and how many they got: found by the order in which they came, never by reading all.

use std::collections::HashMap;

use jiff_sqlx::Timestamp;
use sqlx::PgConnection;

use super::{Company, CompanyRow};
use crate::{
    domain::ids::CompanyId,
    store::{Error, Store, operator::command::Command},
};

/// What came in during the last 24 hours.
#[derive(Clone, Copy, Debug)]
pub struct LastDay {
    /// New ones: an update of an older lead is none.
    pub leads: i64,
    /// Only the last hundred of each key are kept.
    pub refused: i64,
}

async fn last_leads(
    db: &mut PgConnection,
    ids: &[CompanyId],
) -> Result<HashMap<CompanyId, jiff::Timestamp>, Error> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT c.id AS "id!", l.at AS "at!: Timestamp" FROM unnest($1::bigint[]) c(id)
           CROSS JOIN LATERAL (
               -- What an operator's push made is newer than its lead's own event.
               -- OFFSET keeps the planner from reading all leads for it.
               SELECT l.at FROM event e CROSS JOIN LATERAL (
                   SELECT l.event_id, coalesce(l.updated_at, l.received_at) AS at FROM lead l
                   WHERE l.company_id = e.company_id AND l.id = e.lead_id OFFSET 0) l
               WHERE e.company_id = c.id AND l.event_id = e.id ORDER BY e.id DESC LIMIT 1) l"#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (CompanyId(row.id), row.at.to_jiff())).collect())
}

impl Command {
    /// When the newest lead of a company came in.
    pub async fn last_lead(&mut self, company: CompanyId) -> Result<Option<jiff::Timestamp>, Error> {
        Ok(last_leads(&mut self.tx, &[company]).await?.remove(&company))
    }
}

impl Store {
    /// When the newest lead of each of these companies came in; those that never had one are left out.
    pub async fn last_leads(&self, ids: &[CompanyId]) -> Result<HashMap<CompanyId, jiff::Timestamp>, Error> {
        last_leads(&mut *self.pool.acquire().await?, ids).await
    }

    /// Companies that had no lead for so many seconds, the longest silent first, those behind `after` only.
    pub async fn silent_companies(
        &self,
        seconds: f64,
        only: Option<CompanyId>,
        after: Option<CompanyId>,
        limit: i64,
    ) -> Result<Vec<Company>, Error> {
        let rows = sqlx::query_as!(
            CompanyRow,
            r#"WITH silent AS (
                   SELECT c.*, coalesce(l.at, c.created_at) AS since FROM company c LEFT JOIN LATERAL (
                       SELECT l.at FROM event e CROSS JOIN LATERAL (
                           SELECT l.event_id, coalesce(l.updated_at, l.received_at) AS at FROM lead l
                           WHERE l.company_id = e.company_id AND l.id = e.lead_id OFFSET 0) l
                       WHERE e.company_id = c.id AND l.event_id = e.id ORDER BY e.id DESC LIMIT 1) l ON true
               )
               SELECT id, name, plan, brand, created_at, paused_at, quiet_hours, time_zone, locale, lead_url FROM silent
               WHERE since <= now() - $1 * interval '1 second'
                 AND ($2::bigint IS NULL OR (since, id) > (SELECT s.since, s.id FROM silent s WHERE s.id = $2))
                 AND ($4::bigint IS NULL OR id = $4)
               ORDER BY since, id LIMIT $3"#,
            seconds,
            after.map(|id| id.0),
            limit,
            only.map(|id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Company::try_from).collect()
    }

    /// What came in for a company during the last 24 hours.
    pub async fn last_day(&self, company: CompanyId) -> Result<LastDay, Error> {
        let row = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM lead l
                       WHERE l.company_id = $1 AND l.received_at > now() - interval '24 hours') AS "leads!",
                      (SELECT count(*) FROM refusal r WHERE r.company_id = $1 AND r.at > now() - interval '24 hours')
                          AS "refused!""#,
            company.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(LastDay { leads: row.leads, refused: row.refused })
    }
}
