//! What the newest leads say, page by page, for searches through what no index has.

use std::collections::HashSet;

use jiff_sqlx::ToSqlx as _;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, LeadId},
    store::{Error, Store, lead::place::LeadPlace},
};

/// How long the database may take for a page, in milliseconds: a search is not worth more of it.
const TIME_MAX: &str = "1000";
/// The SQLSTATE of a statement that took too long.
const CANCELLED: &str = "57014";

/// What a lead says.
#[derive(Clone, Debug)]
pub struct LeadBody {
    pub place: LeadPlace,
    /// Its current event; none once it is erased.
    pub body: Option<Vec<u8>>,
}

impl Store {
    /// Leads of a company or of all with what they say, newest first, those behind `after` only: so many at most, and as
    /// many as say no more bytes than this together, but one. None where the database took too long.
    pub async fn lead_bodies(
        &self,
        company: Option<CompanyId>,
        after: Option<LeadPlace>,
        limit: i64,
        bytes: i64,
    ) -> Result<Option<Vec<LeadBody>>, Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT set_config('statement_timeout', $1, true)")
            .bind(TIME_MAX)
            .execute(&mut *tx)
            .await?;
        let mut sql = query(company, after.unwrap_or_else(LeadPlace::first), limit, bytes);
        let found = sql.build_query_as().fetch_all(&mut *tx).await;
        tx.rollback().await?;
        let rows: Vec<(i64, Uuid, jiff_sqlx::Timestamp, Option<Vec<u8>>)> = match found {
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == CANCELLED) => {
                return Ok(None);
            }
            found => found?,
        };
        let bodies = rows.into_iter().map(|(company, lead, received_at, body)| LeadBody {
            place: LeadPlace {
                received_at: received_at.to_jiff(),
                company: CompanyId(company),
                lead: lead.into(),
            },
            body,
        });
        Ok(Some(bodies.collect()))
    }
}

impl Store {
    /// Those of these leads that are not erased now.
    pub async fn not_erased(
        &self,
        ids: &[(CompanyId, LeadId)],
    ) -> Result<HashSet<(CompanyId, LeadId)>, Error> {
        let (companies, leads): (Vec<i64>, Vec<Uuid>) =
            ids.iter().map(|(company, lead)| (company.0, lead.uuid())).unzip();
        let rows: Vec<(i64, Uuid)> = sqlx::query_as(
            "SELECT l.company_id, l.id FROM unnest($1::bigint[], $2::uuid[]) u(company_id, lead_id)
             JOIN lead l ON l.company_id = u.company_id AND l.id = u.lead_id
             WHERE l.erased_at IS NULL",
        )
        .bind(companies)
        .bind(leads)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(company, lead)| (CompanyId(company), lead.into())).collect())
    }
}

fn query(company: Option<CompanyId>, after: LeadPlace, limit: i64, bytes: i64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT n.company_id, n.id, n.received_at, n.body FROM (
             SELECT l.company_id, l.id, l.received_at, e.body,
                    sum(coalesce(octet_length(e.body), 0)) OVER (
                        ORDER BY l.received_at DESC, l.company_id DESC, l.id DESC ROWS UNBOUNDED PRECEDING)
                    - coalesce(octet_length(e.body), 0) AS bytes_before
             FROM (SELECT company_id, id, received_at, erased_at, event_id FROM lead
                   WHERE (received_at, company_id, id) < (",
    );
    sql.push_bind(after.received_at.to_sqlx()).push(", ").push_bind(after.company.0);
    sql.push(", ").push_bind(after.lead.uuid()).push(") AND received_at <= ");
    // The same, for the index of a company's leads.
    sql.push_bind(after.received_at.to_sqlx());
    if let Some(company) = company {
        sql.push(" AND company_id = ").push_bind(company.0);
    }
    sql.push(" ORDER BY received_at DESC, company_id DESC, id DESC LIMIT ").push_bind(limit);
    // OFFSET keeps the planner from reading all events for it.
    sql.push(
        ") l LEFT JOIN LATERAL (
             SELECT body FROM event
             WHERE company_id = l.company_id AND id = l.event_id AND l.erased_at IS NULL OFFSET 0) e ON true
         ) n WHERE n.bytes_before < ",
    );
    sql.push_bind(bytes).push(" ORDER BY n.received_at DESC, n.company_id DESC, n.id DESC");
    sql
}
