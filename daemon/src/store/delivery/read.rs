//! Deliveries as operators see them. What is undelivered is found through the small tables that hold it, never by
//! searching all that were delivered.

use std::collections::{HashMap, HashSet};

use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

pub use super::filter::{DeliveryFilter, Order};
use super::{filter::Span, looked_for::push_keys};
use crate::{
    domain::{
        cause::CauseId,
        delivery::{Reason, State},
        ids::{CompanyId, DeliveryId, IntegrationId, JobId},
        integration::EventKind,
        outcome::FailureClass,
    },
    store::{Error, Store, operator::command::Refusal, shown::Shown, state},
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
    pub event: Shown<EventKind>,
    pub state: Shown<State>,
    pub reason: Option<String>,
    /// The same for programs, and the flows that it names.
    pub reason_code: Option<String>,
    pub reason_flows: Vec<String>,
    pub attempts: i32,
    pub due_at: Option<jiff::Timestamp>,
    pub running: bool,
    pub created_at: jiff::Timestamp,
    pub finished_at: Option<jiff::Timestamp>,
    pub company_name: String,
    /// Whose lead it is; empty once the person is erased.
    pub lead_name: String,
    pub lead_email: String,
    /// What the last attempt failed of, or what a dead one died of.
    pub class: Option<Shown<FailureClass>>,
    pub error: Option<String>,
    /// What a dead one is grouped under.
    pub cause: Option<CauseId>,
    /// The job that last brought it back.
    pub job: Option<JobId>,
}

/// A delivery as far as a bulk command must know it.
#[derive(Clone, Debug)]
pub struct Target {
    pub company_id: i64,
    pub integration_id: Uuid,
    pub id: Uuid,
    pub state: State,
    pub reason: Option<Reason>,
    pub integration_name: String,
    pub enabled: bool,
}

#[derive(sqlx::FromRow)]
struct TargetRow {
    company_id: i64,
    integration_id: Uuid,
    id: Uuid,
    state: String,
    reason_code: Option<String>,
    reason_detail: Option<Value>,
    integration_name: String,
    enabled: bool,
}

impl TryFrom<TargetRow> for Target {
    type Error = Error;

    fn try_from(row: TargetRow) -> Result<Self, Error> {
        Ok(Self {
            company_id: row.company_id,
            integration_id: row.integration_id,
            id: row.id,
            state: state(&row.state)?,
            reason: Reason::read(row.reason_code, row.reason_detail),
            integration_name: row.integration_name,
            enabled: row.enabled,
        })
    }
}

/// What bulk commands read of the deliveries of a page.
const TARGETS: &str = "SELECT d.company_id, d.integration_id, d.id, d.state, d.reason_code, d.reason_detail, i.name AS integration_name, \
                       i.enabled FROM page JOIN delivery d ON d.company_id = page.company_id AND d.id = page.id \
                       JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id ORDER BY d.id";
/// What lists show of them.
const VIEWS: &str = "SELECT d.company_id, d.id, l.uuid AS lead, d.integration_id, i.name AS integration_name, d.event, \
                     d.state, d.reason_code, d.reason_detail, d.attempts, d.created_at, d.finished_at, d.job_id, c.name AS company_name, \
                     CASE WHEN d.state = 'pending' THEN d.due_at END AS due_at, \
                     p.name AS lead_name, p.email AS lead_email, u.cause_id, \
                     coalesce(u.class, f.class) AS class, coalesce(u.error, f.error) AS error \
                     FROM page JOIN delivery d ON d.company_id = page.company_id AND d.id = page.id \
                     JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id \
                     JOIN company c ON c.id = d.company_id \
                     JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id \
                     LEFT JOIN person p ON p.company_id = d.company_id AND p.lead_id = d.lead_id \
                     LEFT JOIN undelivered u ON u.company_id = d.company_id AND u.integration_id = d.integration_id \
                         AND u.delivery_id = d.id \
                     LEFT JOIN LATERAL (SELECT a.class, a.error FROM attempt a WHERE a.company_id = d.company_id \
                         AND a.delivery_id = d.id AND a.number = d.attempts AND NOT a.delivered \
                         AND d.state IN ('pending', 'held') AND d.attempts > 0 LIMIT 1) f ON true ORDER BY d.id";

/// A query over the page of a filter.
fn over_page(filter: &DeliveryFilter, span: Span, select: &'static str) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("");
    push_over_page(&mut sql, filter, span, select);
    sql
}

fn push_over_page(
    sql: &mut QueryBuilder<Postgres>,
    filter: &DeliveryFilter,
    span: Span,
    select: &'static str,
) {
    sql.push("WITH page AS MATERIALIZED (");
    filter.push_ids(sql, span);
    sql.push(") ").push(select).push(if span.order == Order::NewestFirst { " DESC" } else { "" });
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
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
    company_name: String,
    lead_name: Option<String>,
    lead_email: Option<String>,
    class: Option<String>,
    error: Option<String>,
    cause_id: Option<i64>,
    job_id: Option<Uuid>,
}

impl TryFrom<DeliveryRow> for DeliveryView {
    type Error = Error;

    fn try_from(row: DeliveryRow) -> Result<Self, Error> {
        let reason = Reason::read(row.reason_code, row.reason_detail);
        Ok(Self {
            company: CompanyId(row.company_id),
            id: row.id.into(),
            lead: row.lead,
            integration: row.integration_id.into(),
            integration_name: row.integration_name,
            event: Shown::read(&row.event, EventKind::parse),
            state: Shown::read(&row.state, State::parse),
            reason: reason.as_ref().map(Reason::text),
            reason_code: reason.as_ref().map(Reason::code),
            reason_flows: reason.as_ref().map(Reason::flows).unwrap_or_default(),
            attempts: row.attempts,
            due_at: row.due_at.map(Timestamp::to_jiff),
            running: false,
            created_at: row.created_at.to_jiff(),
            finished_at: row.finished_at.map(Timestamp::to_jiff),
            company_name: row.company_name,
            lead_name: row.lead_name.unwrap_or_default(),
            lead_email: row.lead_email.unwrap_or_default(),
            class: row.class.map(|class| Shown::read(&class, FailureClass::parse)),
            error: row.error,
            cause: row.cause_id.map(CauseId),
            job: row.job_id.map(JobId::from),
        })
    }
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
        // Not kept as a prepared statement: a generic plan cannot know which filter is a narrow one.
        let mut query = over_page(filter, Span { order, after, limit }, VIEWS);
        let rows: Vec<DeliveryRow> = query.build_query_as().persistent(false).fetch_all(&self.pool).await?;
        self.shown(rows).await
    }

    /// The deliveries of these companies and ids.
    pub(super) async fn delivery_views_of(
        &self,
        keys: &[(i64, Uuid)],
        order: Order,
    ) -> Result<Vec<DeliveryView>, Error> {
        let mut sql = QueryBuilder::new("WITH page AS MATERIALIZED (SELECT k.company_id, k.id FROM ");
        push_keys(&mut sql, keys);
        sql.push(") ").push(VIEWS).push(if order == Order::NewestFirst { " DESC" } else { "" });
        self.shown(sql.build_query_as().persistent(false).fetch_all(&self.pool).await?).await
    }

    async fn shown(&self, rows: Vec<DeliveryRow>) -> Result<Vec<DeliveryView>, Error> {
        let mut deliveries = rows.into_iter().map(DeliveryView::try_from).collect::<Result<Vec<_>, _>>()?;
        self.fill_in_schedule(&mut deliveries).await?;
        Ok(deliveries)
    }

    /// How the database goes about a list: its plan, a line each, for tests of what lists cost.
    pub async fn list_plan(&self, filter: &DeliveryFilter, limit: i64) -> Result<Vec<String>, Error> {
        let span = Span { order: Order::OldestFirst, after: None, limit: Some(limit) };
        let mut query = QueryBuilder::new("EXPLAIN ");
        push_over_page(&mut query, filter, span, VIEWS);
        let lines: Vec<(String,)> = query.build_query_as().persistent(false).fetch_all(&self.pool).await?;
        Ok(lines.into_iter().map(|(line,)| line).collect())
    }

    /// What a bulk command over a filter would touch, oldest first.
    pub async fn targets(&self, filter: &DeliveryFilter) -> Result<Vec<Target>, Error> {
        let span = Span { order: Order::OldestFirst, after: None, limit: None };
        self.read_targets(over_page(filter, span, TARGETS)).await
    }

    /// The same, a page of them.
    pub async fn targets_page(
        &self,
        filter: &DeliveryFilter,
        order: Order,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Target>, Error> {
        self.read_targets(over_page(filter, Span { order, after, limit: Some(limit) }, TARGETS)).await
    }

    async fn read_targets(&self, mut query: QueryBuilder<Postgres>) -> Result<Vec<Target>, Error> {
        let rows: Vec<TargetRow> = query.build_query_as().persistent(false).fetch_all(&self.pool).await?;
        rows.into_iter().map(Target::try_from).collect()
    }

    /// How many deliveries of a filter each integration has, and the last of them: company, integration, count, id.
    pub(in crate::store) async fn count_by_lane(
        &self,
        filter: &DeliveryFilter,
    ) -> Result<Vec<(i64, Uuid, i64, Uuid)>, Error> {
        const COUNTS: &str = "SELECT d.company_id, d.integration_id, count(*), (array_agg(d.id ORDER BY d.id DESC))[1] \
                              FROM page JOIN delivery d ON d.company_id = page.company_id AND d.id = page.id \
                              GROUP BY d.company_id, d.integration_id";
        let span = Span { order: Order::OldestFirst, after: None, limit: None };
        let mut sql = over_page(filter, span, COUNTS);
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
        let of = |state: State| -> Vec<Uuid> {
            deliveries.iter().filter(|one| one.state == state).map(|one| one.id.uuid()).collect()
        };
        let (pending, dead) = (of(State::Pending), of(State::Dead));
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
