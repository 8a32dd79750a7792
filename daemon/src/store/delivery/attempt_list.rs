//! Attempts of many integrations: one short scan for each, merged, so that neither the number of attempts nor that of
//! integrations with nothing new costs anything. What came of them no index knows: those that came to something are looked
//! for, as far as a page may look.

use async_trait::async_trait;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::attempts::{AttemptRow, AttemptView, COLUMNS, JOINS, merged};
use crate::{
    domain::{
        ids::{AttemptId, CompanyId, DeliveryId, IntegrationId, LeadId, least_id_at},
        outcome::FailureClass,
    },
    store::{
        Error, Store,
        bounded::{self, IdRange, KeySource, ListPage},
        delivery::read::Order,
    },
};

/// Which attempts; what is none or empty does not restrict.
#[derive(Clone, Debug, Default)]
pub struct AttemptFilter {
    pub company: Option<CompanyId>,
    pub integrations: Vec<IntegrationId>,
    pub delivery: Option<DeliveryId>,
    pub lead: Option<LeadId>,
    pub classes: Vec<FailureClass>,
    /// Delivered, failed, running; empty for any.
    pub states: Vec<AttemptState>,
    pub status: Option<i16>,
    /// When they started.
    pub since: Option<jiff::Timestamp>,
    pub until: Option<jiff::Timestamp>,
    /// Only those behind this one, newest first.
    pub after: Option<AttemptId>,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    Running,
    Delivered,
    Failed,
}

/// How far back is looked first, in hours, and then, until there is enough.
const WINDOWS: [i64; 4] = [1, 24, 7 * 24, 24 * 400];

/// How far an id may be from when its attempt started: it is made by the daemon's clock, the start is the database's.
const ID_SLACK: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

impl AttemptFilter {
    /// Whether it may find attempts that run.
    fn takes_running(&self) -> bool {
        self.classes.is_empty()
            && self.status.is_none()
            && (self.states.is_empty() || self.states.contains(&AttemptState::Running))
    }

    fn takes_finished(&self) -> bool {
        self.states.is_empty() || self.states.iter().any(|state| *state != AttemptState::Running)
    }

    /// Restricts integrations that are called `i`.
    fn push_lane(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(company) = self.company {
            sql.push(" AND i.company_id = ").push_bind(company.0);
        }
        if !self.integrations.is_empty() {
            let ids: Vec<Uuid> = self.integrations.iter().map(|id| id.uuid()).collect();
            sql.push(" AND i.id = ANY(").push_bind(ids).push(")");
        }
    }

    fn finds(&self, attempt: &AttemptView) -> bool {
        self.company.is_none_or(|company| attempt.company == company)
            && (self.integrations.is_empty() || self.integrations.contains(&attempt.integration))
            && self.lead.is_none_or(|lead| attempt.lead_id == Some(lead))
            && self.after.is_none_or(|after| attempt.id < after)
            && self.since.is_none_or(|since| attempt.started_at >= since)
            && self.until.is_none_or(|until| attempt.started_at < until)
    }

    /// Whether an attempt must have come to something that its keys do not tell. Those of a delivery or a lead are few.
    fn is_looked_for(&self) -> bool {
        let (delivered, failed) = (AttemptState::Delivered, AttemptState::Failed);
        let is_one_outcome = self.takes(delivered) != self.takes(failed);
        let is_any = self.classes.is_empty() && self.status.is_none() && !is_one_outcome;
        !is_any && self.delivery.is_none() && self.lead.is_none()
    }

    fn takes(&self, state: AttemptState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// When the newest that it may find started.
    fn newest(&self, now: jiff::Timestamp) -> jiff::Timestamp {
        let after = self.after.map(|id| jiff::Timestamp::from(id.made_at()));
        [after, self.until].into_iter().flatten().min().unwrap_or(now).min(now)
    }

    /// Restricts attempts that are called `a`.
    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>, from: jiff::Timestamp) {
        let from = self.since.map_or(from, |since| since.max(from));
        sql.push(" AND a.started_at >= ").push_bind(from.to_sqlx());
        // Ids are in the order of time, and the index of a lane is in that of ids: the rest of it is not read.
        sql.push(" AND a.id >= ").push_bind(least_id_at(from.saturating_sub(ID_SLACK).unwrap_or(from)));
        if let Some(until) = self.until {
            sql.push(" AND a.started_at < ").push_bind(until.to_sqlx());
        }
        if let Some(after) = self.after {
            sql.push(" AND a.id < ").push_bind(after.uuid());
        }
        self.push_outcome(sql);
    }

    /// Restricts attempts that are called `a` by what came of them.
    fn push_outcome(&self, sql: &mut QueryBuilder<Postgres>) {
        if !self.classes.is_empty() {
            let classes: Vec<_> = self.classes.iter().map(|class| class.as_str()).collect();
            sql.push(" AND a.class = ANY(").push_bind(classes).push(")");
        }
        if let Some(status) = self.status {
            sql.push(" AND a.status_code = ").push_bind(status);
        }
        match (self.takes(AttemptState::Delivered), self.takes(AttemptState::Failed)) {
            (true, false) => sql.push(" AND a.delivered"),
            (false, true) => sql.push(" AND NOT a.delivered"),
            _ => sql,
        };
    }

    fn query(&self, from: jiff::Timestamp, limit: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(COLUMNS);
        sql.push(" FROM (SELECT a.* FROM ");
        if let Some(delivery) = self.delivery {
            sql.push(
                "attempt a JOIN integration i ON i.company_id = a.company_id AND i.id = a.integration_id",
            );
            sql.push(" WHERE i.deleted_at IS NULL AND a.delivery_id = ").push_bind(delivery.uuid());
            if let Some(lead) = self.lead {
                sql.push(" AND a.lead_id = ").push_bind(lead.uuid());
            }
            self.push_lane(&mut sql);
            self.push_conditions(&mut sql, from);
        } else if let Some(lead) = self.lead {
            sql.push("delivery d JOIN attempt a ON a.delivery_id = d.id AND a.company_id = d.company_id");
            sql.push(" JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id");
            sql.push(" WHERE i.deleted_at IS NULL AND d.lead_id = ").push_bind(lead.uuid());
            self.push_lane(&mut sql);
            self.push_conditions(&mut sql, from);
        } else {
            // Each integration's newest by their keys alone: only those of the page are read whole.
            sql.push("(SELECT k.* FROM integration i CROSS JOIN LATERAL (");
            sql.push("SELECT a.company_id, a.integration_id, a.id, a.started_at FROM attempt a");
            sql.push(" WHERE a.company_id = i.company_id AND a.integration_id = i.id");
            self.push_conditions(&mut sql, from);
            sql.push(" ORDER BY a.id DESC LIMIT ").push_bind(limit);
            sql.push(") k WHERE i.deleted_at IS NULL");
            self.push_lane(&mut sql);
            sql.push(" ORDER BY k.id DESC LIMIT ").push_bind(limit);
            sql.push(") k JOIN attempt a USING (company_id, integration_id, id, started_at)");
        }
        // What is shown beside an attempt is looked up for those of the page alone.
        sql.push(" ORDER BY a.id DESC LIMIT ").push_bind(limit).push(") a ");
        sql.push(JOINS).push(" ORDER BY a.id DESC");
        sql
    }
}

/// What the index of a lane has of an attempt.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
struct AttemptKey {
    company_id: i64,
    integration_id: Uuid,
    id: Uuid,
    started_at: jiff_sqlx::Timestamp,
}

/// Keys as a statement takes them.
fn push_keys(sql: &mut QueryBuilder<Postgres>, keys: &[AttemptKey]) {
    sql.push("unnest(").push_bind(keys.iter().map(|key| key.company_id).collect::<Vec<_>>());
    sql.push("::bigint[], ").push_bind(keys.iter().map(|key| key.integration_id).collect::<Vec<_>>());
    sql.push("::uuid[], ").push_bind(keys.iter().map(|key| key.id).collect::<Vec<_>>());
    sql.push("::uuid[], ").push_bind(keys.iter().map(|key| key.started_at).collect::<Vec<_>>());
    sql.push("::timestamptz[]) k(company_id, integration_id, id, started_at)");
}

/// The attempt of each of these keys, as `a`: looked up one by one, in the partition of its day alone.
const OF_KEY: &str = " CROSS JOIN LATERAL (SELECT a.* FROM attempt a WHERE a.company_id = k.company_id \
                      AND a.integration_id = k.integration_id AND a.id = k.id AND a.started_at = k.started_at OFFSET 0) a";

/// The finished attempts that a filter looks through.
struct AttemptKeys<'a> {
    filter: &'a AttemptFilter,
    db: &'a mut PgConnection,
}

#[async_trait]
impl KeySource for AttemptKeys<'_> {
    type Key = AttemptKey;

    fn id(key: &AttemptKey) -> Uuid {
        key.id
    }

    async fn first(&mut self, _: IdRange, _: Order) -> Result<Option<Uuid>, Error> {
        // Every day has an index of its own: to look into all of them costs more than to begin now.
        Ok(None)
    }

    async fn keys(&mut self, range: IdRange, _: Order, most: i64) -> Result<Vec<AttemptKey>, Error> {
        let (from, until) = range.times();
        let mut sql = QueryBuilder::new("SELECT k.* FROM integration i CROSS JOIN LATERAL (");
        sql.push("SELECT a.company_id, a.integration_id, a.id, a.started_at FROM attempt a");
        sql.push(" WHERE a.company_id = i.company_id AND a.integration_id = i.id");
        sql.push(" AND a.id >= ").push_bind(range.low()).push(" AND a.id < ").push_bind(range.high());
        let from = from.saturating_sub(ID_SLACK).unwrap_or(from);
        let until = until.saturating_add(ID_SLACK).unwrap_or(until);
        let from = self.filter.since.map_or(from, |since| since.max(from));
        let until = self.filter.until.map_or(until, |before| before.min(until));
        sql.push(" AND a.started_at >= ").push_bind(from.to_sqlx());
        sql.push(" AND a.started_at < ").push_bind(until.to_sqlx());
        sql.push(" ORDER BY a.id DESC LIMIT ").push_bind(most);
        sql.push(") k WHERE i.deleted_at IS NULL");
        self.filter.push_lane(&mut sql);
        sql.push(" LIMIT ").push_bind(most);
        Ok(sql.build_query_as().persistent(false).fetch_all(&mut *self.db).await?)
    }

    async fn asked_for(&mut self, keys: Vec<AttemptKey>) -> Result<Vec<AttemptKey>, Error> {
        if keys.is_empty() {
            return Ok(keys);
        }
        let mut sql = QueryBuilder::new("SELECT k.* FROM ");
        push_keys(&mut sql, &keys);
        sql.push(OF_KEY).push(" WHERE true");
        self.filter.push_outcome(&mut sql);
        Ok(sql.build_query_as().persistent(false).fetch_all(&mut *self.db).await?)
    }
}

impl Store {
    /// Attempts of a filter, newest first, those in flight included.
    pub async fn attempt_list(
        &self,
        filter: &AttemptFilter,
        limit: i64,
    ) -> Result<ListPage<AttemptView, AttemptId>, Error> {
        // The running ones first: one that finishes in between is then in both lists, never in none.
        let mut running = if filter.takes_running() {
            self.running_attempts(None, filter.delivery, None).await?
        } else {
            Vec::new()
        };
        running.retain(|attempt| filter.finds(attempt));
        if !filter.takes_finished() {
            return Ok(ListPage::whole(merged(running, Vec::new(), limit)));
        }
        if !filter.is_looked_for() {
            return Ok(ListPage::whole(merged(running, self.newest_attempts(filter, limit).await?, limit)));
        }
        let found = self.attempts_looked_for(filter, limit).await?;
        let stopped = found.stopped;
        running.retain(|attempt| stopped.is_none_or(|place| attempt.id >= place));
        let rows = merged(running, found.rows, limit);
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        Ok(ListPage { rows, stopped: stopped.filter(|_| !is_full) })
    }

    /// The newest finished attempts, whatever came of them.
    async fn newest_attempts(&self, filter: &AttemptFilter, limit: i64) -> Result<Vec<AttemptView>, Error> {
        let newest = filter.newest(jiff::Timestamp::now());
        let narrow = filter.delivery.is_some() || filter.lead.is_some() || !filter.integrations.is_empty();
        let windows = if narrow { &WINDOWS[WINDOWS.len() - 1..] } else { &WINDOWS[..] };
        let mut found = Vec::new();
        for hours in windows {
            let from = newest.saturating_sub(jiff::SignedDuration::from_hours(*hours));
            let from = from.unwrap_or(jiff::Timestamp::MIN);
            let mut sql = filter.query(from, limit);
            let rows: Vec<AttemptRow> = sql.build_query_as().persistent(false).fetch_all(&self.pool).await?;
            found = rows.into_iter().map(AttemptView::try_from).collect::<Result<_, _>>()?;
            let is_enough = i64::try_from(found.len()).is_ok_and(|count| count >= limit);
            if is_enough || filter.since.is_some_and(|since| since >= from) {
                break;
            }
        }
        Ok(found)
    }

    /// Finished attempts that came to what a filter asks for, as far as a page may look.
    async fn attempts_looked_for(
        &self,
        filter: &AttemptFilter,
        limit: i64,
    ) -> Result<ListPage<AttemptView, AttemptId>, Error> {
        let newest = filter.newest(jiff::Timestamp::now());
        let days = jiff::SignedDuration::from_hours(WINDOWS[WINDOWS.len() - 1]);
        let oldest = newest.saturating_sub(days).unwrap_or(jiff::Timestamp::MIN);
        let oldest = filter.since.map_or(oldest, |since| since.max(oldest));
        let slack = |at: jiff::Timestamp, by| at.saturating_add(by).unwrap_or(at);
        let range = IdRange::made(slack(oldest, -ID_SLACK), slack(newest, ID_SLACK));
        let range = range.behind(Order::NewestFirst, filter.after.map(AttemptId::uuid));
        let mut tx = bounded::begin(&self.pool).await?;
        let mut keys = AttemptKeys { filter, db: &mut tx };
        let wanted = usize::try_from(limit).unwrap_or_default();
        let page = bounded::look_through_ids(&mut keys, range, Order::NewestFirst, wanted).await?;
        tx.rollback().await?;
        let stopped = page.stopped.map(AttemptId::from);
        if page.rows.is_empty() {
            return Ok(ListPage { rows: Vec::new(), stopped });
        }
        let mut sql = QueryBuilder::new(COLUMNS);
        sql.push(" FROM ");
        push_keys(&mut sql, &page.rows);
        sql.push(OF_KEY).push(" ").push(JOINS).push(" ORDER BY a.id DESC");
        let rows: Vec<AttemptRow> = sql.build_query_as().persistent(false).fetch_all(&self.pool).await?;
        let rows = rows.into_iter().map(AttemptView::try_from).collect::<Result<_, _>>()?;
        Ok(ListPage { rows, stopped })
    }
}
