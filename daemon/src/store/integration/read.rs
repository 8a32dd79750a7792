//! Integrations as they are shown: configuration shortened, with their health, in one query for any number of them.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        badge::Badge,
        fanout::Routing,
        ids::{CompanyId, DeliveryId, IntegrationId},
        integration::{EventKind, Policy},
        lane::{LaneHolds, LaneId, LaneStatus},
        moment::Moment,
        origins,
        outcome::FailureClass,
    },
    store::{
        Error, Store,
        integration::find_integration,
        moment,
        operator::command::{Command, Refusal},
        shown::Shown,
    },
};

/// How many deliveries of an integration are looked at to say how many are skipped.
const NEWEST: i64 = 2000;

/// An integration with its health.
#[derive(Clone, Debug)]
pub struct IntegrationView {
    pub company: CompanyId,
    pub company_name: String,
    pub id: IntegrationId,
    pub name: String,
    pub connector: String,
    pub enabled: bool,
    /// The configuration as it is shown.
    pub config: Value,
    pub mapping: Value,
    pub events: Vec<Shown<EventKind>>,
    pub payload: String,
    pub routing: Shown<Routing>,
    pub created_at: jiff::Timestamp,
    /// The version of the secret that signs now.
    pub secret_version: Option<i32>,
    /// When the grace of the secret before it ends.
    pub grace_until: Option<jiff::Timestamp>,
    pub has_credentials: bool,
    /// Whose account it is, in the target's words.
    pub account: Option<String>,
    /// What the last look at the target found, and when that was.
    pub findings: Vec<String>,
    pub checked_at: Option<jiff::Timestamp>,
    /// The version of the secret that is staged.
    pub staged_version: Option<i32>,
    /// Nothing is pushed until that one is cut over to.
    pub awaits_cut_over: bool,
    pub company_paused_at: Option<jiff::Timestamp>,
    /// Whether it is told what operators should hear of.
    pub notices: bool,
    pub health: Health,
}

/// The health of an integration.
#[derive(Clone, Debug)]
pub struct Health {
    pub badge: Badge,
    pub last_pushed_at: Option<jiff::Timestamp>,
    pub failure_count: i64,
    pub last_error: Option<(String, jiff::Timestamp)>,
    pub dead: i64,
    /// Only the first ten thousand are counted.
    pub held: i64,
    /// Those in flight and those that wait for an earlier one included; of a long queue and of many that wait only the
    /// first ten thousand are counted.
    pub pending: i64,
    pub oldest_undelivered_at: Option<jiff::Timestamp>,
    pub throttled_until: Option<jiff::Timestamp>,
    /// What the target answered when it asked for that, where this is its last answer.
    pub throttle_error: Option<String>,
    /// None while something is shut that it would wait for then.
    pub next_retry_at: Option<jiff::Timestamp>,
    pub sweep_at: Option<jiff::Timestamp>,
    /// Failures in a row, and the error that opened the breaker.
    pub streak: i32,
    pub breaker_error: Option<String>,
    pub lane: LaneStatus,
    /// How many of the newest deliveries are skipped, where one integration was asked for.
    pub skipped: Option<i64>,
}

/// Which integrations to show; what is none does not restrict.
#[derive(Clone, Debug, Default)]
pub struct IntegrationFilter {
    pub company: Option<CompanyId>,
    pub ids: Option<Vec<IntegrationId>>,
    /// Only those behind this one, newest first.
    pub after: Option<IntegrationId>,
    pub limit: Option<i64>,
}

/// What tells whether an integration has changed: the company's configuration version, and the health's time.
pub type Mark = (i64, Moment);

struct IntegrationRow {
    company_id: i64,
    company_name: String,
    id: Uuid,
    name: String,
    connector: String,
    enabled: bool,
    config: Value,
    mapping: Value,
    events: Vec<String>,
    payload: String,
    routing: String,
    created_at: jiff_sqlx::Timestamp,
    throttled_until: Option<jiff_sqlx::Timestamp>,
    last_pushed_at: Option<jiff_sqlx::Timestamp>,
    failure_count: i64,
    dead: i64,
    last_error: Option<String>,
    last_error_at: Option<jiff_sqlx::Timestamp>,
    last_class: Option<String>,
    failing: bool,
    held: i64,
    undelivered: Option<Uuid>,
    queued: i64,
    queued_oldest: Option<Uuid>,
    next_retry_at: Option<jiff_sqlx::Timestamp>,
    running: i64,
    running_oldest: Option<Uuid>,
    waiting: i64,
    secret_version: Option<i32>,
    grace_until: Option<jiff_sqlx::Timestamp>,
    has_credentials: bool,
    credentials_for: Option<String>,
    account: Option<String>,
    findings: Value,
    checked_at: Option<jiff_sqlx::Timestamp>,
    staged_version: Option<i32>,
    awaits_cut_over: bool,
    company_paused_at: Option<jiff_sqlx::Timestamp>,
    notices: bool,
    now: jiff_sqlx::Timestamp,
    due_first: i64,
    due_again: i64,
    streak: i32,
    breaker_until: Option<jiff_sqlx::Timestamp>,
    breaker_error: Option<String>,
    sweep_at: Option<jiff_sqlx::Timestamp>,
}

impl IntegrationView {
    fn of(row: IntegrationRow, policy: fn(&str, &Value) -> Policy) -> Self {
        let jiff = |at: Option<jiff_sqlx::Timestamp>| at.map(jiff_sqlx::Timestamp::to_jiff);
        // A delivery's id tells when it came to be.
        let oldest = [row.undelivered, row.queued_oldest, row.running_oldest].into_iter().flatten().min();
        let since = oldest.map(|id| DeliveryId::from(id).made_at().into());
        let policy = policy(&row.connector, &row.config);
        let lane = lane_status(&row, &policy);
        let last_class = row.last_class.as_deref().and_then(FailureClass::parse);
        let badge = Badge::of(row.enabled, last_class, row.failing, row.next_retry_at.is_some());
        let is_asked_to_wait = row.throttled_until.is_some() && last_class == Some(FailureClass::Throttled);
        let throttle_error = row.last_error.clone().filter(|_| is_asked_to_wait);
        // What was found with credentials that may not be used says no more than that.
        let suspension =
            row.credentials_for.and_then(|given_for| origins::suspension(&given_for, &row.config));
        let findings = match suspension {
            Some(sentence) => vec![sentence],
            None => serde_json::from_value(row.findings).unwrap_or_default(),
        };
        Self {
            company: CompanyId(row.company_id),
            company_name: row.company_name,
            id: row.id.into(),
            name: row.name,
            connector: row.connector,
            enabled: row.enabled,
            config: row.config,
            mapping: row.mapping,
            events: row.events.iter().map(|event| Shown::read(event, EventKind::parse)).collect(),
            payload: row.payload,
            routing: Shown::read(&row.routing, Routing::parse),
            created_at: row.created_at.to_jiff(),
            secret_version: row.secret_version,
            grace_until: jiff(row.grace_until),
            has_credentials: row.has_credentials,
            account: row.account,
            findings,
            checked_at: jiff(row.checked_at),
            staged_version: row.staged_version,
            awaits_cut_over: row.awaits_cut_over,
            company_paused_at: jiff(row.company_paused_at),
            notices: row.notices,
            health: Health {
                badge,
                last_pushed_at: jiff(row.last_pushed_at),
                failure_count: row.failure_count,
                last_error: row.last_error.zip(jiff(row.last_error_at)),
                dead: row.dead,
                held: row.held,
                pending: row.queued + row.running + row.waiting,
                oldest_undelivered_at: since,
                throttled_until: jiff(row.throttled_until),
                throttle_error,
                next_retry_at: jiff(row.next_retry_at)
                    .filter(|at| lane.holds.lets_retry((*at).into(), lane.now)),
                sweep_at: jiff(row.sweep_at),
                streak: row.streak,
                breaker_error: row.breaker_error,
                skipped: None,
                lane,
            },
        }
    }
}

/// What the lane of an integration stands at.
fn lane_status(row: &IntegrationRow, policy: &Policy) -> LaneStatus {
    LaneStatus {
        now: moment(row.now),
        holds: LaneHolds {
            is_disabled: !row.enabled,
            awaits_cut_over: row.awaits_cut_over,
            paused_since: row.company_paused_at.map(moment),
            throttled_until: row.throttled_until.map(moment),
            breaker_until: row.breaker_until.map(moment),
        },
        due: [row.due_first, row.due_again],
        running: row.running,
        concurrency: policy.concurrency,
        rate_per_second: policy.rate_per_second,
    }
}

async fn views(
    db: &mut PgConnection,
    store: &Store,
    filter: &IntegrationFilter,
) -> Result<Vec<IntegrationView>, Error> {
    let ids: Option<Vec<Uuid>> = filter.ids.as_ref().map(|ids| ids.iter().map(|id| id.uuid()).collect());
    let rows = sqlx::query_file_as!(
        IntegrationRow,
        "src/store/integration/views.sql",
        filter.company.map(|id| id.0),
        ids.as_deref(),
        filter.after.map(IntegrationId::uuid),
        filter.limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| IntegrationView::of(row, store.policy)).collect())
}

async fn one(db: &mut PgConnection, store: &Store, lane: LaneId) -> Result<IntegrationView, Refusal> {
    let LaneId { company, integration: id } = lane;
    let filter =
        IntegrationFilter { company: Some(company), ids: Some(vec![id]), ..IntegrationFilter::default() };
    let found = views(db, store, &filter).await?.pop();
    let mut view = found.ok_or_else(|| Refusal::unknown("integration", id))?;
    view.health.skipped = skipped(db, &[id]).await?.get(&id).copied();
    Ok(view)
}

/// How many of the newest deliveries of integrations are skipped.
async fn skipped(
    db: &mut PgConnection,
    integrations: &[IntegrationId],
) -> Result<HashMap<IntegrationId, i64>, Error> {
    let ids: Vec<Uuid> = integrations.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT i.id, x.skipped AS "skipped!" FROM integration i CROSS JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE n.state = 'skipped') AS skipped FROM (
                       SELECT d.state FROM delivery d
                       WHERE d.integration_id = i.id AND d.company_id = i.company_id
                       ORDER BY d.id DESC LIMIT $2) n) x
               WHERE i.id = ANY($1)"#,
        &ids,
        NEWEST,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.into(), row.skipped)).collect())
}

impl Store {
    /// Integrations with their health, newest first.
    pub async fn integration_views(&self, filter: &IntegrationFilter) -> Result<Vec<IntegrationView>, Error> {
        views(&mut *self.pool.acquire().await?, self, filter).await
    }

    /// How many of the newest deliveries of integrations are skipped.
    pub async fn count_skipped(
        &self,
        integrations: &[IntegrationId],
    ) -> Result<HashMap<IntegrationId, i64>, Error> {
        skipped(&mut *self.pool.acquire().await?, integrations).await
    }

    /// How many deliveries of integrations died in each quarter of an hour of the last day, oldest first.
    pub async fn integration_trends(
        &self,
        integrations: &[IntegrationId],
    ) -> Result<HashMap<IntegrationId, Vec<(jiff::Timestamp, i64)>>, Error> {
        let ids: Vec<Uuid> = integrations.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            r#"SELECT integration_id, at, sum(deliveries)::bigint AS "deliveries!" FROM cause_trend
               WHERE integration_id = ANY($1) AND at > now() - interval '1 day' GROUP BY 1, 2 ORDER BY 1, 2"#,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut trends: HashMap<IntegrationId, Vec<_>> = HashMap::new();
        for row in rows {
            trends.entry(row.integration_id.into()).or_default().push((row.at.to_jiff(), row.deliveries));
        }
        Ok(trends)
    }

    /// The integration that a reference means.
    pub async fn integration_view(&self, reference: &str) -> Result<IntegrationView, Refusal> {
        let mut db = self.pool.acquire().await?;
        let lane = find_integration(&mut db, None, reference).await?;
        one(&mut db, self, lane).await
    }

    /// The mark of every integration there is, to find those that another daemon changed.
    pub async fn integration_marks(&self) -> Result<Vec<(LaneId, Mark)>, Error> {
        let rows = sqlx::query!(
            "SELECT i.company_id, i.id, c.config_version, s.updated_at
             FROM integration i
             JOIN company c ON c.id = i.company_id
             JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
             WHERE i.deleted_at IS NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let mark = (row.config_version, row.updated_at.to_jiff().into());
                (LaneId::new(CompanyId(row.company_id), row.id), mark)
            })
            .collect())
    }
}

impl Command {
    /// An integration as this command leaves it.
    pub async fn integration_view(&mut self, lane: LaneId) -> Result<IntegrationView, Refusal> {
        one(&mut self.tx, &self.store, lane).await
    }
}
