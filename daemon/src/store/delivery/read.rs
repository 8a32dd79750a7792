//! Deliveries as operators see them. What is undelivered is found through the small tables that hold it, never by
//! searching all that were delivered.

use std::collections::{HashMap, HashSet};

use jiff_sqlx::{Timestamp, ToSqlx};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::Reason,
        ids::{CompanyId, DeliveryId, IntegrationId, JobId, LeadId},
    },
    store::{Error, Store, operator::command::Refusal},
};

/// A delivery, and when it is pushed next.
#[derive(Clone, Debug)]
pub struct DeliveryView {
    pub company: CompanyId,
    pub id: DeliveryId,
    /// The lead's uuid as received.
    pub lead: String,
    pub integration: IntegrationId,
    pub integration_name: String,
    pub event: String,
    pub state: String,
    pub reason: Option<String>,
    pub attempts: i32,
    pub due_at: Option<jiff::Timestamp>,
    pub running: bool,
    pub created_at: jiff::Timestamp,
    pub finished_at: Option<jiff::Timestamp>,
}

/// Which deliveries; what is none or empty does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub ids: Option<Vec<DeliveryId>>,
    pub company: Option<CompanyId>,
    pub integration: Option<IntegrationId>,
    pub lead: Option<LeadId>,
    pub states: Vec<&'static str>,
    /// The failure class of the last attempt.
    pub class: Option<String>,
    /// Part of the last attempt's error, case ignored.
    pub error: Option<String>,
    /// Since when: delivered ones were delivered, others came to be.
    pub since: Option<jiff::Timestamp>,
    /// Before when, of the same times.
    pub until: Option<jiff::Timestamp>,
    /// Leaves out those of disabled integrations.
    pub enabled_only: bool,
    /// Only of leads that are still known.
    pub known_only: bool,
    /// Leaves out what this job brought back or made.
    pub untouched_by: Option<JobId>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// A delivery as far as a bulk command must know it.
#[derive(Clone, Debug)]
pub struct Target {
    pub company_id: i64,
    pub integration_id: Uuid,
    pub id: Uuid,
    pub state: String,
    pub reason: Option<Reason>,
    pub integration_name: String,
    pub enabled: bool,
}

impl FromRow<'_, PgRow> for Target {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            company_id: row.try_get("company_id")?,
            integration_id: row.try_get("integration_id")?,
            id: row.try_get("id")?,
            state: row.try_get("state")?,
            reason: Reason::read(row.try_get("reason_code")?, row.try_get("reason_detail")?),
            integration_name: row.try_get("integration_name")?,
            enabled: row.try_get("enabled")?,
        })
    }
}

/// The columns of a [`Target`].
const TARGET: &str = "d.company_id, d.integration_id, d.id, d.state, d.reason_code, d.reason_detail, i.name AS integration_name, i.enabled";

#[derive(sqlx::FromRow)]
struct Row {
    company_id: i64,
    id: Uuid,
    lead: String,
    integration_id: Uuid,
    integration_name: String,
    event: String,
    state: String,
    reason_code: Option<String>,
    reason_detail: Option<Value>,
    attempts: i32,
    due_at: Option<Timestamp>,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
}

impl From<Row> for DeliveryView {
    fn from(row: Row) -> Self {
        Self {
            company: CompanyId(row.company_id),
            id: row.id.into(),
            lead: row.lead,
            integration: row.integration_id.into(),
            integration_name: row.integration_name,
            event: row.event,
            state: row.state,
            reason: Reason::read(row.reason_code, row.reason_detail).map(|reason| reason.text()),
            attempts: row.attempts,
            due_at: row.due_at.map(Timestamp::to_jiff),
            running: false,
            created_at: row.created_at.to_jiff(),
            finished_at: row.finished_at.map(Timestamp::to_jiff),
        }
    }
}

impl DeliveryFilter {
    fn asks_only_for(&self, states: &[&str]) -> bool {
        !self.states.is_empty() && self.states.iter().all(|state| states.contains(state))
    }

    fn query(
        &self,
        columns: &'static str,
        order: Order,
        after: Option<DeliveryId>,
        limit: Option<i64>,
    ) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("");
        self.push(&mut sql, columns, order, after, limit);
        sql
    }

    /// The query for these columns. What is dead or not final is found from the small tables; anything else by one
    /// index scan per company, the results merged.
    fn push(
        &self,
        sql: &mut QueryBuilder<Postgres>,
        columns: &'static str,
        order: Order,
        after: Option<DeliveryId>,
        limit: Option<i64>,
    ) {
        let (direction, behind) = match order {
            Order::NewestFirst => ("DESC", "<"),
            Order::OldestFirst => ("ASC", ">"),
        };
        let listed = self.ids.is_none() && self.lead.is_none();
        let only_dead = self.asks_only_for(&["dead"]);
        let only_open = listed && !only_dead && self.asks_only_for(&["pending", "held", "dead"]);
        let merged = !only_dead && !only_open;
        if only_open {
            self.push_open(sql);
        }
        sql.push(if merged { "SELECT x.* FROM company c CROSS JOIN LATERAL (SELECT " } else { "SELECT " });
        sql.push(columns).push(" FROM ");
        sql.push(match (only_dead, only_open) {
            (true, _) => {
                "undelivered f JOIN delivery d ON d.company_id = f.company_id AND d.id = f.delivery_id"
            }
            (_, true) => "open o JOIN delivery d ON d.company_id = o.company_id AND d.id = o.id",
            _ => "delivery d",
        });
        sql.push(" JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id");
        sql.push(" JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id");
        if !only_dead && (self.class.is_some() || self.error.is_some()) {
            // What is dead keeps its class and error for longer than its attempts are kept.
            sql.push(
                " JOIN LATERAL (SELECT class, error FROM undelivered u WHERE u.company_id = d.company_id",
            );
            sql.push(
                " AND u.integration_id = d.integration_id AND u.delivery_id = d.id AND u.state = 'dead'",
            );
            sql.push(" UNION ALL SELECT class, error FROM attempt a WHERE a.company_id = d.company_id");
            sql.push(" AND a.delivery_id = d.id AND a.number = d.attempts LIMIT 1) f ON true");
        }
        sql.push(" WHERE i.deleted_at IS NULL");
        if merged {
            sql.push(" AND d.company_id = c.id");
        }
        if only_dead {
            self.push_lane(sql, "f");
        }
        self.push_conditions(sql);
        if let Some(after) = after {
            sql.push(" AND d.id ").push(behind).push(" ").push_bind(after.uuid());
        }
        sql.push(" ORDER BY d.id ").push(direction).push(" LIMIT ").push_bind(limit);
        if merged {
            sql.push(") x");
            if let Some(company) = self.company {
                sql.push(" WHERE c.id = ").push_bind(company.0);
            }
            sql.push(" ORDER BY x.id ").push(direction).push(" LIMIT ").push_bind(limit);
        }
    }

    /// Restricts one of the small tables to what is asked for.
    fn push_lane(&self, sql: &mut QueryBuilder<Postgres>, table: &'static str) {
        if let Some(company) = self.company {
            sql.push(" AND ").push(table).push(".company_id = ").push_bind(company.0);
        }
        if let Some(integration) = self.integration {
            sql.push(" AND ").push(table).push(".integration_id = ").push_bind(integration.uuid());
        }
    }

    /// The ids of what is not final: the held and dead, the queue, the claimed, and those that wait for an earlier
    /// one, which stand in none of these.
    fn push_open(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("WITH RECURSIVE open AS (SELECT company_id, id FROM (");
        sql.push("SELECT u.company_id, u.delivery_id AS id FROM undelivered u WHERE true");
        self.push_lane(sql, "u");
        sql.push(" UNION ALL SELECT q.company_id, q.delivery_id FROM due q WHERE true");
        self.push_lane(sql, "q");
        sql.push(" UNION ALL SELECT k.company_id, k.delivery_id FROM claim");
        sql.push(" CROSS JOIN LATERAL unnest(items) k WHERE true");
        self.push_lane(sql, "k");
        sql.push(") base UNION SELECT p.company_id, p.successor_id FROM open JOIN delivery p");
        sql.push(" ON p.company_id = open.company_id AND p.id = open.id WHERE p.successor_id IS NOT NULL) ");
    }

    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(ids) = &self.ids {
            sql.push(" AND d.id = ANY(").push_bind(uuids(ids)).push(")");
        }
        if let Some(integration) = self.integration {
            sql.push(" AND d.integration_id = ").push_bind(integration.uuid());
        }
        if let Some(lead) = self.lead {
            sql.push(" AND d.lead_id = ").push_bind(lead.uuid());
        }
        if !self.states.is_empty() {
            sql.push(" AND d.state = ANY(").push_bind(self.states.clone()).push(")");
        }
        if let Some(class) = &self.class {
            sql.push(" AND f.class = ").push_bind(class.clone());
        }
        if let Some(error) = &self.error {
            sql.push(" AND position(lower(").push_bind(error.clone()).push(") IN lower(f.error)) > 0");
        }
        // What a target lost on Tuesday is what was delivered on Tuesday, whenever it came in.
        const AT: &str = "CASE d.state WHEN 'delivered' THEN d.finished_at ELSE d.created_at END";
        if let Some(since) = self.since {
            sql.push(" AND ").push(AT).push(" >= ").push_bind(since.to_sqlx());
        }
        if let Some(until) = self.until {
            sql.push(" AND ").push(AT).push(" < ").push_bind(until.to_sqlx());
        }
        if self.enabled_only {
            sql.push(" AND i.enabled");
        }
        if let Some(job) = self.untouched_by {
            sql.push(" AND d.job_id IS DISTINCT FROM ").push_bind(job.uuid());
        }
        if self.known_only {
            sql.push(" AND l.erased_at IS NULL");
        }
    }
}

fn uuids(ids: &[DeliveryId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}

impl Store {
    /// Deliveries of a filter, those behind `after` only.
    pub async fn delivery_views(
        &self,
        filter: &DeliveryFilter,
        order: Order,
        after: Option<DeliveryId>,
        limit: Option<i64>,
    ) -> Result<Vec<DeliveryView>, Error> {
        const COLUMNS: &str = "d.company_id, d.id, l.uuid AS lead, d.integration_id, i.name AS integration_name, \
                               d.event, d.state, d.reason_code, d.reason_detail, d.attempts, d.created_at, d.finished_at, \
                               CASE WHEN d.state = 'pending' THEN d.due_at END AS due_at";
        // Not kept as a prepared statement: a generic plan cannot know which filter is a narrow one.
        let mut query = filter.query(COLUMNS, order, after, limit);
        let rows: Vec<Row> = query.build_query_as().persistent(false).fetch_all(&self.pool).await?;
        let mut deliveries: Vec<_> = rows.into_iter().map(DeliveryView::from).collect();
        self.fill_in_schedule(&mut deliveries).await?;
        Ok(deliveries)
    }

    /// What a bulk command over a filter would touch, oldest first.
    pub async fn targets(&self, filter: &DeliveryFilter) -> Result<Vec<Target>, Error> {
        let mut query = filter.query(TARGET, Order::OldestFirst, None, None);
        Ok(query.build_query_as().persistent(false).fetch_all(&self.pool).await?)
    }

    /// The same, a page of them.
    pub async fn targets_page(
        &self,
        filter: &DeliveryFilter,
        order: Order,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Target>, Error> {
        let mut query = filter.query(TARGET, order, after, Some(limit));
        Ok(query.build_query_as().persistent(false).fetch_all(&self.pool).await?)
    }

    /// How many deliveries of a filter each integration has, and the last of them: company, integration, count, id.
    pub(in crate::store) async fn count_by_lane(
        &self,
        filter: &DeliveryFilter,
    ) -> Result<Vec<(i64, Uuid, i64, Uuid)>, Error> {
        let mut sql = QueryBuilder::new("SELECT company_id, integration_id, count(*), ");
        sql.push("(array_agg(id ORDER BY id DESC))[1] FROM (");
        filter.push(&mut sql, "d.company_id, d.integration_id, d.id", Order::OldestFirst, None, None);
        sql.push(") found GROUP BY company_id, integration_id");
        Ok(sql.build_query_as().persistent(false).fetch_all(&self.pool).await?)
    }

    /// The one delivery of an id.
    pub async fn delivery_view(&self, id: DeliveryId) -> Result<DeliveryView, Refusal> {
        let filter = DeliveryFilter { ids: Some(vec![id]), ..DeliveryFilter::default() };
        let mut found = self.delivery_views(&filter, Order::NewestFirst, None, Some(1)).await?;
        found.pop().ok_or_else(|| Refusal::unknown("delivery", id))
    }

    /// Says of pending ones whether they are being pushed, and of dead ones when the sweep comes.
    async fn fill_in_schedule(&self, deliveries: &mut [DeliveryView]) -> Result<(), Error> {
        let of = |state: &str| -> Vec<Uuid> {
            deliveries.iter().filter(|one| one.state == state).map(|one| one.id.uuid()).collect()
        };
        let (pending, dead) = (of("pending"), of("dead"));
        let mut running = HashSet::new();
        if !pending.is_empty() {
            // A claim goes with the last of its items: one whose attempt is recorded may be due again.
            let claimed = sqlx::query_scalar!(
                r#"SELECT k.delivery_id AS "id!" FROM claim JOIN daemon m ON m.id = claim.daemon_id
                   CROSS JOIN LATERAL unnest(claim.items, claim.attempts)
                       k(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
                   WHERE k.delivery_id = ANY($1) AND NOT EXISTS (SELECT FROM attempt a
                       WHERE a.company_id = k.company_id AND a.integration_id = k.integration_id
                         AND a.id = k.attempt_id AND a.started_at = claim.claimed_at)"#,
                &pending,
            )
            .fetch_all(&self.pool)
            .await?;
            running.extend(claimed);
        }
        let visits: HashMap<Uuid, Timestamp> = if dead.is_empty() {
            HashMap::new()
        } else {
            let visits = sqlx::query!(
                r#"SELECT d.id, s.sweep_at AS "sweep_at!: Timestamp" FROM delivery d
                   JOIN undelivered u ON u.company_id = d.company_id AND u.integration_id = d.integration_id
                       AND u.delivery_id = d.id AND u.due_at IS NOT NULL
                   JOIN integration_stat s ON s.company_id = d.company_id AND s.integration_id = d.integration_id
                   JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id AND i.enabled
                   WHERE d.company_id = ANY($1) AND d.id = ANY($2) AND d.state = 'dead'
                       AND s.sweep_at <= d.created_at + $3 * interval '1 second'"#,
                &deliveries.iter().map(|one| one.company.0).collect::<Vec<_>>(),
                &dead,
                self.sweep.age.as_secs_f64(),
            )
            .fetch_all(&self.pool)
            .await?;
            visits.into_iter().map(|row| (row.id, row.sweep_at)).collect()
        };
        for delivery in deliveries.iter_mut() {
            let id = delivery.id.uuid();
            delivery.running = running.contains(&id);
            if delivery.running {
                delivery.due_at = None;
            }
            if let Some(at) = visits.get(&id) {
                delivery.due_at = Some(at.to_jiff());
            }
        }
        self.fill_in_waiting(deliveries).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_undelivered_ones_are_looked_up_in_the_small_tables() {
        let sql = |states: &[&'static str]| {
            let filter = DeliveryFilter { states: states.to_vec(), ..DeliveryFilter::default() };
            filter.query("d.id", Order::NewestFirst, None, Some(50)).sql().as_str().to_owned()
        };
        assert!(sql(&["dead"]).contains("FROM undelivered f JOIN delivery d"));
        assert!(sql(&["pending", "held", "dead"]).contains("WITH RECURSIVE open"));
        assert!(!sql(&["pending", "delivered"]).contains("open"));
        assert!(!sql(&[]).contains("undelivered"));
    }
}
