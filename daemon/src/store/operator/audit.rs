//! What operators changed, as it is shown.

use jiff_sqlx::ToSqlx as _;
use serde_json::Value;

use crate::{
    domain::ids::{AuditId, CompanyId},
    store::{Error, Store},
};

/// A line of the audit.
#[derive(Clone, Debug)]
pub struct AuditView {
    pub company: CompanyId,
    pub id: AuditId,
    pub at: jiff::Timestamp,
    pub operator: String,
    pub action: String,
    pub target: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Which lines; what is none does not restrict.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub company: Option<CompanyId>,
    pub operator: Option<String>,
    pub since: Option<jiff::Timestamp>,
    pub until: Option<jiff::Timestamp>,
    pub after: Option<AuditId>,
    pub limit: i64,
}

impl Store {
    /// Lines of the audit, newest first: one scan of the key for each company, merged.
    pub async fn audit_lines(&self, filter: &AuditFilter) -> Result<Vec<AuditView>, Error> {
        let rows = sqlx::query!(
            "SELECT x.company_id, x.id, x.at, x.operator, x.action, x.target, x.before, x.after
             FROM (SELECT id FROM company UNION ALL SELECT 0) c CROSS JOIN LATERAL (
                 SELECT * FROM audit a
                 WHERE a.company_id = c.id
                   AND ($2::uuid IS NULL OR a.id < $2)
                   AND ($3::text IS NULL OR a.operator = $3)
                   AND ($4::timestamptz IS NULL OR a.at >= $4)
                   AND ($5::timestamptz IS NULL OR a.at < $5)
                 ORDER BY a.id DESC LIMIT $6) x
             WHERE $1::bigint IS NULL OR c.id = $1
             ORDER BY x.id DESC LIMIT $6",
            filter.company.map(|id| id.0),
            filter.after.map(AuditId::uuid),
            filter.operator,
            filter.since.map(|at| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
            filter.until.map(|at| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
            filter.limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let lines = rows.into_iter().map(|row| AuditView {
            company: CompanyId(row.company_id),
            id: row.id.into(),
            at: row.at.to_jiff(),
            operator: row.operator,
            action: row.action,
            target: row.target,
            before: row.before,
            after: row.after,
        });
        Ok(lines.collect())
    }
}
