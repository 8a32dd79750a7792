//! Deliveries that are looked for: what a list asks of them stands in no index. Their keys are gone through in order, as far
//! as a page may look, and each is asked whether it is meant.

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    filter::{DeliveryFilter, IdSource, Order, Span},
    read::DeliveryView,
};
use crate::{
    domain::{
        delivery::State,
        ids::{DeliveryId, IntegrationId},
    },
    store::{
        Error, Store,
        bounded::{self, IdRange, KeySource, ListPage},
    },
};

/// So many that wait are looked up one by one; of more, those that are meant are looked for among all deliveries.
const QUEUE_MAX: i64 = 5000;

/// A company's delivery.
type DeliveryKey = (i64, Uuid);

/// The keys of one source.
struct DeliveryKeys<'a> {
    filter: &'a DeliveryFilter,
    source: IdSource,
    db: &'a mut PgConnection,
}

impl DeliveryKeys<'_> {
    /// The keys of a range: of each lane or company in order, so many at most, as no other plan stops there.
    fn query(&self, range: IdRange, order: Order, most: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT x.company_id, x.id FROM ");
        let id = match self.source {
            IdSource::Undelivered => {
                sql.push("integration i CROSS JOIN LATERAL (SELECT f.company_id, f.delivery_id AS id");
                sql.push(" FROM undelivered f WHERE f.company_id = i.company_id AND f.integration_id = i.id");
                "f.delivery_id"
            }
            IdSource::Cause => {
                sql.push("(SELECT f.company_id, f.delivery_id AS id FROM undelivered f WHERE f.cause_id = ");
                sql.push_bind(self.filter.cause.map(|cause| cause.0));
                "f.delivery_id"
            }
            IdSource::Pending | IdSource::Any => {
                sql.push("company c CROSS JOIN LATERAL (SELECT d.company_id, d.id FROM delivery d");
                sql.push(" WHERE d.company_id = c.id");
                if let Some(integration) = self.filter.integration {
                    sql.push(" AND d.integration_id = ").push_bind(integration.uuid());
                }
                "d.id"
            }
        };
        sql.push(" AND ").push(id).push(" >= ").push_bind(range.low());
        sql.push(" AND ").push(id).push(" < ").push_bind(range.high());
        let direction = if order == Order::NewestFirst { " DESC" } else { " ASC" };
        sql.push(" ORDER BY ").push(id).push(direction).push(" LIMIT ").push_bind(most).push(") x");
        match (self.source, self.filter.company) {
            (IdSource::Undelivered, _) => {
                sql.push(" WHERE i.deleted_at IS NULL");
                self.filter.push_lane(&mut sql);
            }
            (IdSource::Any | IdSource::Pending, Some(company)) => {
                sql.push(" WHERE c.id = ").push_bind(company.0);
            }
            _ => {}
        }
        sql
    }
}

#[async_trait]
impl KeySource for DeliveryKeys<'_> {
    type Key = DeliveryKey;

    fn id(key: &DeliveryKey) -> Uuid {
        key.1
    }

    async fn first(&mut self, range: IdRange, order: Order) -> Result<Option<Uuid>, Error> {
        let mut sql = self.query(range, order, 1);
        sql.push(" ORDER BY x.id")
            .push(if order == Order::NewestFirst { " DESC" } else { "" })
            .push(" LIMIT 1");
        let first: Option<DeliveryKey> =
            sql.build_query_as().persistent(false).fetch_optional(&mut *self.db).await?;
        Ok(first.map(|key| key.1))
    }

    async fn keys(&mut self, range: IdRange, order: Order, most: i64) -> Result<Vec<DeliveryKey>, Error> {
        let mut sql = self.query(range, order, most);
        sql.push(" LIMIT ").push_bind(most);
        Ok(sql.build_query_as().persistent(false).fetch_all(&mut *self.db).await?)
    }

    async fn asked_for(&mut self, keys: Vec<DeliveryKey>) -> Result<Vec<DeliveryKey>, Error> {
        if keys.is_empty() {
            return Ok(keys);
        }
        // Each is read once, before anything is joined to it.
        let mut sql = QueryBuilder::new("WITH d AS MATERIALIZED (SELECT d.* FROM ");
        push_keys(&mut sql, &keys);
        sql.push(" CROSS JOIN LATERAL (SELECT d.company_id, d.id, d.integration_id, d.lead_id, d.state, d.attempts,");
        sql.push(" d.created_at, d.finished_at, d.job_id FROM delivery d");
        sql.push(" WHERE d.company_id = k.company_id AND d.id = k.id OFFSET 0) d) SELECT d.company_id, d.id FROM d");
        self.filter.push_asked_for(&mut sql);
        Ok(sql.build_query_as().persistent(false).fetch_all(&mut *self.db).await?)
    }
}

/// Keys as a statement takes them.
pub(super) fn push_keys(sql: &mut QueryBuilder<Postgres>, keys: &[DeliveryKey]) {
    let (companies, ids): (Vec<i64>, Vec<Uuid>) = keys.iter().copied().unzip();
    sql.push("unnest(").push_bind(companies).push("::bigint[], ").push_bind(ids);
    sql.push("::uuid[]) k(company_id, id)");
}

impl Store {
    /// A page of a list: deliveries of a filter, those behind `after` only, as far as a page may look for them.
    pub async fn delivery_page(
        &self,
        filter: &DeliveryFilter,
        order: Order,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<ListPage<DeliveryView, DeliveryId>, Error> {
        if !filter.is_looked_for() {
            return Ok(ListPage::whole(self.delivery_views(filter, order, after, Some(limit)).await?));
        }
        let mut tx = bounded::begin(&self.pool).await?;
        let page = deliveries_looked_for(&mut tx, filter, order, after, limit).await?;
        tx.rollback().await?;
        let rows = self.delivery_views_of(&page.rows, order).await?;
        Ok(ListPage { rows, stopped: page.stopped.map(DeliveryId::from) })
    }
}

async fn deliveries_looked_for(
    db: &mut PgConnection,
    filter: &DeliveryFilter,
    order: Order,
    after: Option<DeliveryId>,
    limit: i64,
) -> Result<ListPage<DeliveryKey, Uuid>, Error> {
    let mut sources = filter.sources();
    if sources.contains(&IdSource::Pending) && queue_is_long(db, filter).await? {
        sources = vec![IdSource::Any];
    }
    let wanted = usize::try_from(limit).unwrap_or_default();
    let mut page = ListPage::whole(Vec::new());
    if let Some(source) = sources.iter().copied().find(|source| *source != IdSource::Pending) {
        let range = IdRange::ALL.behind(order, after.map(DeliveryId::uuid));
        let mut keys = DeliveryKeys { filter, source, db: &mut *db };
        page = bounded::look_through_ids(&mut keys, range, order, wanted).await?;
    }
    if sources.contains(&IdSource::Pending) {
        let mut sql = QueryBuilder::new("");
        filter.push_pending(&mut sql, Span { order, after, limit: Some(limit) });
        let pending: Vec<DeliveryKey> = sql.build_query_as().persistent(false).fetch_all(db).await?;
        let is_reached = |id: Uuid| match (page.stopped, order) {
            (None, _) => true,
            (Some(place), Order::NewestFirst) => id >= place,
            (Some(place), Order::OldestFirst) => id <= place,
        };
        page.rows.extend(pending.into_iter().filter(|key| is_reached(key.1)));
        page.rows.sort_unstable_by_key(|key| key.1);
        page.rows.dedup();
        if order == Order::NewestFirst {
            page.rows.reverse();
        }
        page.rows.truncate(wanted);
        page.stopped = page.stopped.filter(|_| page.rows.len() < wanted);
    }
    Ok(page)
}

/// Whether more wait in the queue than are looked up one by one.
async fn queue_is_long(db: &mut PgConnection, filter: &DeliveryFilter) -> Result<bool, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT FROM integration i JOIN due q ON q.integration_id = i.id AND q.company_id = i.company_id
               WHERE ($1::bigint IS NULL OR i.company_id = $1) AND ($2::uuid IS NULL OR i.id = $2) LIMIT $3::bigint + 1) q"#,
        filter.company.map(|id| id.0),
        filter.integration.map(IntegrationId::uuid),
        QUEUE_MAX,
    )
    .fetch_one(db)
    .await?;
    Ok(count > QUEUE_MAX)
}

impl DeliveryFilter {
    /// Whether a list must ask each delivery if it is meant. What is named is few, and what the small tables tell by
    /// themselves is found there.
    fn is_looked_for(&self) -> bool {
        if self.ids.is_some() || self.lead.is_some() || self.job.is_some() {
            return false;
        }
        let is_told = self.class.is_none()
            && self.error.is_none()
            && self.died_since.is_none()
            && self.died_until.is_none()
            && !self.enabled_only
            && !self.needs_delivery();
        // All of a table, or the held ones, which have an index.
        let is_whole = match self.sources()[..] {
            [IdSource::Any] => self.states.is_empty() && self.cause.is_none(),
            [IdSource::Cause] => self.states.is_empty() || self.states.contains(&State::Dead),
            [IdSource::Pending] => true,
            _ => self.states.contains(&State::Held),
        };
        !(is_told && is_whole)
    }
}
