//! What operators changed, as it is shown.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use ulid::Ulid;
use uuid::Uuid;

use crate::{
    domain::ids::{AuditId, CompanyId, LeadId, least_id_at},
    store::{Error, Store},
};

/// A line of the audit.
#[derive(Clone, Debug)]
pub struct AuditView {
    pub company: CompanyId,
    pub id: AuditId,
    pub at: Timestamp,
    pub operator: String,
    pub action: String,
    pub target: String,
    /// What the target is called today, or was when this was done; none for what has no name.
    pub target_name: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Which lines; what is none does not restrict.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub company: Option<CompanyId>,
    pub operator: Option<String>,
    pub lead: Option<LeadId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub after: Option<AuditId>,
    pub limit: i64,
}

/// A span of time, and the things whose changes within it are asked for.
pub(in crate::store) struct ChangeWindow {
    /// As the audit names them, by company.
    pub(in crate::store) targets: HashMap<CompanyId, Vec<String>>,
    pub(in crate::store) from: Timestamp,
    pub(in crate::store) until: Timestamp,
}

/// A line as it stands.
struct AuditRow {
    company_id: i64,
    id: Uuid,
    at: jiff_sqlx::Timestamp,
    operator: String,
    action: String,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl AuditRow {
    /// The id at the target's end.
    fn target_id(&self) -> Option<Uuid> {
        let (_, id) = self.target.split_once(' ')?;
        Ulid::from_string(id).ok().map(Uuid::from)
    }

    fn view(self, names: &HashMap<Uuid, String>) -> AuditView {
        let name_in = |value: &Option<Value>| value.as_ref()?.get("name")?.as_str().map(str::to_owned);
        let target_name = self
            .target_id()
            .and_then(|id| names.get(&id).cloned())
            .or_else(|| name_in(&self.after))
            .or_else(|| name_in(&self.before));
        AuditView {
            company: CompanyId(self.company_id),
            id: self.id.into(),
            at: self.at.to_jiff(),
            operator: self.operator,
            action: self.action,
            target: self.target,
            target_name,
            before: self.before,
            after: self.after,
        }
    }
}

/// A lead as the audit names it.
pub(in crate::store) fn lead_target(lead: LeadId) -> String {
    format!("lead {lead}")
}

impl Store {
    /// Lines of the audit, newest first: one scan of the key for each company, merged. What a daemon of the version before
    /// wrote of readings by key stands among [`Store::readings`].
    pub async fn audit_lines(&self, filter: &AuditFilter) -> Result<Vec<AuditView>, Error> {
        let rows = sqlx::query_as!(
            AuditRow,
            r#"SELECT x.company_id, x.id, x.at AS "at: _", x.operator, x.action, x.target, x.before, x.after
             FROM (SELECT id FROM company UNION ALL SELECT 0) c CROSS JOIN LATERAL (
                 SELECT * FROM audit a
                 WHERE a.company_id = c.id AND a.action <> 'ReadLead'
                   AND ($2::uuid IS NULL OR a.id < $2)
                   AND ($3::text IS NULL OR a.operator = $3)
                   AND ($4::timestamptz IS NULL OR a.at >= $4)
                   AND ($5::timestamptz IS NULL OR a.at < $5)
                   AND ($7::text IS NULL OR a.target = $7)
                 ORDER BY a.id DESC LIMIT $6) x
             WHERE $1::bigint IS NULL OR c.id = $1
             ORDER BY x.id DESC LIMIT $6"#,
            filter.company.map(|id| id.0),
            filter.after.map(AuditId::uuid),
            filter.operator,
            filter.since.map(|at| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
            filter.until.map(|at| at.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
            filter.limit,
            filter.lead.map(lead_target),
        )
        .fetch_all(&self.pool)
        .await?;
        self.with_names(rows).await
    }

    /// What was changed within each of these windows, newest first.
    pub(in crate::store) async fn changes_within(
        &self,
        windows: &[ChangeWindow],
        limit: i64,
    ) -> Result<Vec<Vec<AuditView>>, Error> {
        // Ids are of the daemon's clock, times of the database's: a second lies between them at most.
        let ceiling =
            |at: Timestamp| at.checked_add(jiff::SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        let mut asked = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (n, window) in (0_i32..).zip(windows) {
            for (company, targets) in &window.targets {
                asked.0.push(n);
                asked.1.push(company.0);
                asked.2.push(targets.join(","));
                asked.3.push(least_id_at(window.from));
                asked.4.push(least_id_at(ceiling(window.until)));
                asked.5.push(window.until.to_sqlx());
            }
        }
        let rows = sqlx::query!(
            r#"SELECT w.n AS "n!", a.company_id, a.id, a.at AS "at: jiff_sqlx::Timestamp", a.operator, a.action, a.target,
                      a.before, a.after
               FROM unnest($1::int[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::timestamptz[])
                   w(n, company_id, targets, first, last, until)
               CROSS JOIN LATERAL (
                   SELECT * FROM audit a
                   WHERE a.company_id = w.company_id AND a.id >= w.first AND a.id < w.last AND a.at <= w.until
                     AND a.target = ANY(string_to_array(w.targets, ','))
                   ORDER BY a.at DESC LIMIT $7) a
               ORDER BY a.at DESC"#,
            &asked.0,
            &asked.1,
            &asked.2,
            &asked.3,
            &asked.4,
            &asked.5 as &[jiff_sqlx::Timestamp],
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut of = Vec::with_capacity(rows.len());
        let rows = rows.into_iter().map(|row| {
            of.push(row.n);
            let (company_id, id, at) = (row.company_id, row.id, row.at);
            let (operator, action, target) = (row.operator, row.action, row.target);
            AuditRow { company_id, id, at, operator, action, target, before: row.before, after: row.after }
        });
        let rows = rows.collect();
        let mut found = vec![Vec::new(); windows.len()];
        for (n, line) in of.into_iter().zip(self.with_names(rows).await?) {
            let lines = usize::try_from(n).ok().and_then(|n| found.get_mut(n));
            let room = usize::try_from(limit).unwrap_or_default();
            if let Some(lines) = lines.filter(|lines| lines.len() < room) {
                lines.push(line);
            }
        }
        Ok(found)
    }

    /// The lines, each with what its target is called.
    async fn with_names(&self, rows: Vec<AuditRow>) -> Result<Vec<AuditView>, Error> {
        let companies: Vec<i64> = rows.iter().map(|row| row.company_id).collect();
        let ids: Vec<Uuid> = rows.iter().filter_map(AuditRow::target_id).collect();
        let names = sqlx::query!(
            r#"SELECT id AS "id!", name AS "name!" FROM integration WHERE company_id = ANY($1) AND id = ANY($2)
               UNION ALL SELECT id, name FROM flow WHERE company_id = ANY($1) AND id = ANY($2)
               UNION ALL SELECT id, name FROM form WHERE company_id = ANY($1) AND id = ANY($2)"#,
            &companies,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let names: HashMap<Uuid, String> = names.into_iter().map(|row| (row.id, row.name)).collect();
        Ok(rows.into_iter().map(|row| row.view(&names)).collect())
    }
}
