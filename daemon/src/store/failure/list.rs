//! Causes as operators see them, from the counts; what is looked up beside them is bounded by the page.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{
        cause::CauseId,
        ids::{CompanyId, DeliveryId, IntegrationId},
        outcome::FailureClass,
    },
    store::{
        Error, Store,
        failure::leads::Together,
        operator::{
            audit::{AuditView, ChangeWindow},
            command::Refusal,
        },
        shown::Shown,
    },
};

/// How many changes are named beside a cause.
const CHANGES_MAX: i64 = 5;
/// How long before a cause began a change may be why.
const CHANGED_BEFORE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// Which causes; what is none or empty does not restrict.
#[derive(Clone, Debug, Default)]
pub struct FailureFilter {
    pub company: Option<CompanyId>,
    pub integration: Option<IntegrationId>,
    pub cause: Option<CauseId>,
    /// Only causes of which something failed since then.
    pub since: Option<Timestamp>,
    pub classes: Vec<FailureClass>,
    pub include_snoozed: bool,
}

/// A cause.
#[derive(Clone, Debug)]
pub struct FailureView {
    pub cause: CauseId,
    pub connector: String,
    pub class: Shown<FailureClass>,
    pub text: String,
    pub dead: i64,
    pub retrying: i64,
    /// False where more wait for a retry than were looked at: there are at least so many.
    pub deliveries_exact: bool,
    pub leads: i64,
    /// False where each delivery counts as a lead of its own, or not all were looked at; the money is as true.
    pub leads_exact: bool,
    /// By currency.
    pub money: BTreeMap<String, i64>,
    /// Most deliveries first.
    pub places: Vec<FailingIntegration>,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub sample: Option<(DeliveryId, String)>,
    /// How many died in each quarter of an hour of the last day.
    pub trend: Vec<(Timestamp, i64)>,
    pub changed_before: Vec<AuditView>,
    pub snoozed_until: Option<Timestamp>,
}

/// An integration at which a cause is met.
#[derive(Clone, Debug)]
pub struct FailingIntegration {
    pub company: CompanyId,
    pub company_name: String,
    pub integration: IntegrationId,
    pub name: String,
    pub deliveries: i64,
}

/// Causes, and what they come to together.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// Most deliveries first.
    pub page: Vec<FailureView>,
    pub deliveries: i64,
    pub deliveries_exact: bool,
    pub leads: i64,
    pub leads_exact: bool,
    pub snoozed: i64,
    pub has_more: bool,
}

/// A cause at one integration and in one currency, or what waits for a retry there.
pub(super) struct Count {
    pub(super) cause: i64,
    pub(super) company: i64,
    pub(super) integration: Uuid,
    pub(super) currency: String,
    pub(super) pence: i64,
    pub(super) dead: i64,
    pub(super) retrying: i64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    pub(super) connector: String,
    pub(super) class: Shown<FailureClass>,
    pub(super) text: String,
    pub(super) snoozed_until: Option<Timestamp>,
    pub(super) sample: Option<(DeliveryId, String)>,
}

impl Store {
    /// The causes of a filter behind so many, most deliveries first.
    pub async fn failures(
        &self,
        filter: &FailureFilter,
        skip: usize,
        limit: usize,
    ) -> Result<Failures, Error> {
        let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(&self.pool).await?.to_jiff();
        let mut counts = self.dead_counts(filter).await?;
        let retrying = self.retrying_counts(filter).await?;
        counts.extend(retrying.counts);
        let mut all = grouped(counts);
        for one in &mut all {
            one.deliveries_exact = retrying.is_whole;
        }
        all.retain(|one| filter.since.is_none_or(|since| one.last_at >= since));
        all.retain(|one| filter.classes.is_empty() || filter.classes.iter().any(|class| one.class == *class));
        let is_snoozed = |one: &FailureView| one.snoozed_until.is_some_and(|until| until > now);
        let snoozed = all.iter().filter(|one| is_snoozed(one)).count();
        if !filter.include_snoozed {
            all.retain(|one| !is_snoozed(one));
        }
        all.sort_by_key(|one| (std::cmp::Reverse(one.dead + one.retrying), one.cause));
        let deliveries = all.iter().map(|one| one.dead + one.retrying).sum();
        let together = Together::of(&all);
        let deliveries_exact = retrying.is_whole;
        let has_more = all.len() > skip + limit;
        let mut page: Vec<_> = all.into_iter().skip(skip).take(limit).collect();
        let (leads, is_each_once) = self.fill_in_leads(filter, &retrying.leads, &together, &mut page).await?;
        let leads_exact = is_each_once && deliveries_exact;
        self.fill_in(filter, &mut page).await?;
        let snoozed = i64::try_from(snoozed).unwrap_or(i64::MAX);
        Ok(Failures { page, deliveries, deliveries_exact, leads, leads_exact, snoozed, has_more })
    }

    /// One cause that has deliveries.
    pub async fn failure(&self, company: Option<CompanyId>, cause: CauseId) -> Result<FailureView, Refusal> {
        let filter =
            FailureFilter { company, cause: Some(cause), include_snoozed: true, ..FailureFilter::default() };
        let found = self.failures(&filter, 0, 1).await?.page.pop();
        found.ok_or_else(|| Refusal::nothing_fails(cause))
    }

    async fn dead_counts(&self, filter: &FailureFilter) -> Result<Vec<Count>, Error> {
        let rows = sqlx::query!(
            r#"SELECT n.cause_id, n.company_id, n.integration_id, n.currency, n.pence, n.deliveries, n.first_at, n.last_at,
                      c.connector, c.class, c.text, c.snoozed_until
               FROM cause_count n JOIN cause c ON c.id = n.cause_id
               WHERE n.deliveries > 0 AND ($1::bigint IS NULL OR n.company_id = $1)
                 AND ($2::uuid IS NULL OR n.integration_id = $2) AND ($3::bigint IS NULL OR n.cause_id = $3)"#,
            filter.company.map(|id| id.0),
            filter.integration.map(IntegrationId::uuid),
            filter.cause.map(|id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        let counts = rows.into_iter().map(|row| Count {
            cause: row.cause_id,
            company: row.company_id,
            integration: row.integration_id,
            currency: row.currency,
            pence: row.pence,
            dead: row.deliveries,
            retrying: 0,
            first_at: row.first_at.to_jiff(),
            last_at: row.last_at.to_jiff(),
            connector: row.connector,
            class: Shown::read(&row.class, FailureClass::parse),
            text: row.text,
            snoozed_until: row.snoozed_until.map(jiff_sqlx::Timestamp::to_jiff),
            sample: None,
        });
        Ok(counts.collect())
    }

    /// What is shown beside the causes of a page.
    async fn fill_in(&self, filter: &FailureFilter, page: &mut [FailureView]) -> Result<(), Error> {
        self.fill_in_places(page).await?;
        self.fill_in_samples(filter, page).await?;
        self.fill_in_trend(filter, page).await?;
        self.fill_in_changes(page).await
    }

    async fn fill_in_places(&self, page: &mut [FailureView]) -> Result<(), Error> {
        let ids: Vec<Uuid> =
            page.iter().flat_map(|one| &one.places).map(|place| place.integration.uuid()).collect();
        let rows = sqlx::query!(
            "SELECT i.id, i.name, c.name AS company_name FROM integration i JOIN company c ON c.id = i.company_id
             WHERE i.id = ANY($1)",
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let names: HashMap<Uuid, (String, String)> =
            rows.into_iter().map(|row| (row.id, (row.name, row.company_name))).collect();
        for place in page.iter_mut().flat_map(|one| &mut one.places) {
            if let Some((name, company)) = names.get(&place.integration.uuid()) {
                place.name.clone_from(name);
                place.company_name.clone_from(company);
            }
        }
        Ok(())
    }

    /// The newest dead delivery of each.
    async fn fill_in_samples(&self, filter: &FailureFilter, page: &mut [FailureView]) -> Result<(), Error> {
        let ids: Vec<i64> = page.iter().filter(|one| one.dead > 0).map(|one| one.cause.0).collect();
        let rows = sqlx::query!(
            r#"SELECT c.id AS "cause_id!", u.delivery_id, u.error FROM unnest($1::bigint[]) c(id)
               CROSS JOIN LATERAL (
                   SELECT u.delivery_id, u.error FROM undelivered u
                   WHERE u.cause_id = c.id AND ($2::bigint IS NULL OR u.company_id = $2)
                     AND ($3::uuid IS NULL OR u.integration_id = $3)
                   ORDER BY u.delivery_id DESC LIMIT 1) u"#,
            &ids,
            filter.company.map(|id| id.0),
            filter.integration.map(IntegrationId::uuid),
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            if let Some(one) = page.iter_mut().find(|one| one.cause.0 == row.cause_id) {
                one.sample = Some((row.delivery_id.into(), row.error.unwrap_or_default()));
            }
        }
        Ok(())
    }

    async fn fill_in_trend(&self, filter: &FailureFilter, page: &mut [FailureView]) -> Result<(), Error> {
        let ids: Vec<i64> = page.iter().map(|one| one.cause.0).collect();
        let rows = sqlx::query!(
            r#"SELECT cause_id, at, sum(deliveries)::bigint AS "deliveries!" FROM cause_trend
               WHERE cause_id = ANY($1) AND at > now() - interval '1 day' AND ($2::bigint IS NULL OR company_id = $2)
                 AND ($3::uuid IS NULL OR integration_id = $3)
               GROUP BY 1, 2 ORDER BY 1, 2"#,
            &ids,
            filter.company.map(|id| id.0),
            filter.integration.map(IntegrationId::uuid),
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            if let Some(one) = page.iter_mut().find(|one| one.cause.0 == row.cause_id) {
                one.trend.push((row.at.to_jiff(), row.deliveries));
            }
        }
        Ok(())
    }

    /// What operators changed at the integrations of a cause in the hour before it began, newest first.
    async fn fill_in_changes(&self, page: &mut [FailureView]) -> Result<(), Error> {
        let windows = page.iter().map(|one| {
            let mut targets: HashMap<CompanyId, Vec<String>> = HashMap::new();
            for place in &one.places {
                targets.entry(place.company).or_default().push(format!("integration {}", place.integration));
            }
            let from = one.first_at.checked_sub(CHANGED_BEFORE).unwrap_or(Timestamp::MIN);
            ChangeWindow { targets, from, until: one.first_at }
        });
        let windows: Vec<_> = windows.collect();
        let changes = self.changes_within(&windows, CHANGES_MAX).await?;
        for (one, changes) in page.iter_mut().zip(changes) {
            one.changed_before = changes;
        }
        Ok(())
    }
}

/// Counts of the same cause in one.
fn grouped(counts: Vec<Count>) -> Vec<FailureView> {
    let mut all: HashMap<i64, FailureView> = HashMap::new();
    for count in counts {
        let deliveries = count.dead + count.retrying;
        let one = all.entry(count.cause).or_insert_with(|| FailureView {
            cause: CauseId(count.cause),
            connector: count.connector,
            class: count.class,
            text: count.text,
            dead: 0,
            retrying: 0,
            deliveries_exact: true,
            leads: 0,
            leads_exact: false,
            money: BTreeMap::new(),
            places: Vec::new(),
            first_at: count.first_at,
            last_at: count.last_at,
            sample: None,
            trend: Vec::new(),
            changed_before: Vec::new(),
            snoozed_until: None,
        });
        one.dead += count.dead;
        one.retrying += count.retrying;
        one.leads += deliveries;
        one.first_at = one.first_at.min(count.first_at);
        one.last_at = one.last_at.max(count.last_at);
        one.snoozed_until = one.snoozed_until.or(count.snoozed_until);
        one.sample = one.sample.take().or(count.sample);
        if !count.currency.is_empty() {
            *one.money.entry(count.currency).or_default() += count.pence;
        }
        match one.places.iter_mut().find(|place| place.integration.uuid() == count.integration) {
            Some(place) => place.deliveries += deliveries,
            None => one.places.push(FailingIntegration {
                company: CompanyId(count.company),
                company_name: String::new(),
                integration: count.integration.into(),
                name: String::new(),
                deliveries,
            }),
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    for one in &mut all {
        one.places.sort_by_key(|place| (std::cmp::Reverse(place.deliveries), place.integration));
    }
    all
}
