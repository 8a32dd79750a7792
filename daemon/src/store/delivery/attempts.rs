//! Attempts as operators see them: the finished ones from their table, those in flight from the claims and probes.

use std::collections::HashSet;

use bytes::Bytes;
use jiff_sqlx::{Timestamp, ToSqlx};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::Trigger,
        ids::{AttemptId, CompanyId, DeliveryId, IntegrationId, LeadId},
        integration::EventKind,
        lane::LaneId,
        outcome::FailureClass,
    },
    store::{
        Error, Store,
        delivery::calls::{self, CallRecord},
        shown::Shown,
    },
};

/// An attempt as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptView {
    pub id: AttemptId,
    pub company: CompanyId,
    pub company_name: String,
    pub integration: IntegrationId,
    pub integration_name: String,
    /// None for a test.
    pub delivery: Option<DeliveryId>,
    /// The lead's uuid as received; none for a test.
    pub lead: Option<String>,
    pub lead_id: Option<LeadId>,
    /// Name and e-mail address; empty for a test and once erased.
    pub lead_name: String,
    pub lead_email: String,
    pub event: Shown<EventKind>,
    pub number: i32,
    pub trigger: Shown<Trigger>,
    pub operator: Option<String>,
    pub started_at: jiff::Timestamp,
    /// None while it runs.
    pub finished: Option<AttemptEnd>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    pub delivered: bool,
    pub class: Option<Shown<FailureClass>>,
    pub error: Option<String>,
    pub status_code: Option<i16>,
    pub duration_ms: i32,
}

/// What was sent and what came back.
#[derive(Clone, Debug, Default)]
pub struct AttemptDetail {
    pub method: Option<String>,
    pub url: Option<String>,
    pub request_headers: Vec<(String, String)>,
    pub request_body: Bytes,
    pub response_headers: Vec<(String, String)>,
    pub response_body: Bytes,
    pub response_bytes: i64,
    pub secret_version: Option<i32>,
    pub config_version: i32,
    /// Each call in order, as it was made.
    pub calls: Vec<CallRecord>,
    /// What is to be known of it though it did not fail.
    pub note: Option<String>,
}

/// Whose attempts to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptsOf {
    Lane(LaneId),
    Delivery(CompanyId, DeliveryId),
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct AttemptRow {
    company_id: i64,
    company_name: String,
    integration_id: Uuid,
    integration_name: String,
    id: Uuid,
    delivery_id: Option<Uuid>,
    lead: Option<String>,
    lead_id: Option<Uuid>,
    lead_name: Option<String>,
    lead_email: Option<String>,
    event: String,
    number: i32,
    trigger: String,
    operator: Option<String>,
    started_at: Timestamp,
    delivered: Option<bool>,
    class: Option<String>,
    error: Option<String>,
    status_code: Option<i16>,
    duration_ms: Option<i32>,
}

impl TryFrom<AttemptRow> for AttemptView {
    type Error = Error;

    fn try_from(row: AttemptRow) -> Result<Self, Error> {
        let class = row.class.map(|class| Shown::read(&class, FailureClass::parse));
        let finished = row.delivered.map(|delivered| AttemptEnd {
            delivered,
            class,
            error: row.error,
            status_code: row.status_code,
            duration_ms: row.duration_ms.unwrap_or_default(),
        });
        Ok(Self {
            id: row.id.into(),
            company: CompanyId(row.company_id),
            company_name: row.company_name,
            integration: row.integration_id.into(),
            integration_name: row.integration_name,
            delivery: row.delivery_id.map(DeliveryId::from),
            lead: row.lead,
            lead_id: row.lead_id.map(LeadId::from),
            lead_name: row.lead_name.unwrap_or_default(),
            lead_email: row.lead_email.unwrap_or_default(),
            event: Shown::read(&row.event, EventKind::parse),
            number: row.number,
            trigger: Shown::read(&row.trigger, Trigger::parse),
            operator: row.operator,
            started_at: row.started_at.to_jiff(),
            finished,
        })
    }
}

/// What a list shows of an attempt that is called `a`, with [`JOINS`].
pub(super) const COLUMNS: &str = "SELECT a.company_id, c.name AS company_name, a.integration_id, i.name AS integration_name, \
                                  a.id, a.delivery_id, l.uuid AS lead, a.lead_id, \
                                  p.name AS lead_name, p.email AS lead_email, a.event, a.number, a.trigger, \
                                  a.operator, a.started_at, a.delivered, a.class, a.error, a.status_code, a.duration_ms";
pub(super) const JOINS: &str = "JOIN company c ON c.id = a.company_id \
                                JOIN integration i ON i.company_id = a.company_id AND i.id = a.integration_id \
                                LEFT JOIN lead l ON l.company_id = a.company_id AND l.id = a.lead_id \
                                LEFT JOIN person p ON p.company_id = a.company_id AND p.lead_id = a.lead_id";

/// A query of finished attempts, open behind its WHERE.
fn finished() -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(COLUMNS);
    sql.push(" FROM attempt a ").push(JOINS).push(" WHERE ");
    sql
}

/// The span in which an attempt of this id must have started: an id is made with the claim, by the daemon's clock.
fn span(id: AttemptId) -> (Timestamp, Timestamp) {
    let day = jiff::SignedDuration::from_hours(24);
    let made = jiff::Timestamp::from(id.made_at());
    let from = made.checked_sub(day).unwrap_or(jiff::Timestamp::MIN);
    let to = made.checked_add(day).unwrap_or(jiff::Timestamp::MAX);
    (from.to_sqlx(), to.to_sqlx())
}

impl Store {
    /// Attempts, newest first, those in flight included, those behind `after` only.
    pub async fn attempts(
        &self,
        of: AttemptsOf,
        after: Option<AttemptId>,
        limit: i64,
    ) -> Result<Vec<AttemptView>, Error> {
        // The running ones first: one that finishes in between is then in both lists, never in none.
        let running = match of {
            AttemptsOf::Lane(lane) => self.running_attempts(Some(lane.integration), None, None).await?,
            AttemptsOf::Delivery(_, id) => self.running_attempts(None, Some(id), None).await?,
        };
        let mut sql = finished();
        match of {
            AttemptsOf::Lane(LaneId { company, integration: id }) => {
                sql.push("a.company_id = ").push_bind(company.0);
                sql.push(" AND a.integration_id = ").push_bind(id.uuid());
            }
            AttemptsOf::Delivery(company, id) => {
                sql.push("a.company_id = ").push_bind(company.0);
                sql.push(" AND a.delivery_id = ").push_bind(id.uuid());
            }
        }
        if let Some(after) = after {
            sql.push(" AND a.id < ").push_bind(after.uuid());
        }
        sql.push(" ORDER BY a.id DESC LIMIT ").push_bind(limit);
        let rows: Vec<AttemptRow> = sql.build_query_as().fetch_all(&self.pool).await?;
        let running = running.into_iter().filter(|attempt| after.is_none_or(|after| attempt.id < after));
        let finished = rows.into_iter().map(AttemptView::try_from).collect::<Result<_, _>>()?;
        Ok(merged(running.collect(), finished, limit))
    }

    /// The finished ones among these attempts of an integration.
    pub async fn finished_attempts(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        ids: &[AttemptId],
    ) -> Result<Vec<AttemptView>, Error> {
        let mut sql = finished();
        let uuids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        sql.push("a.company_id = ").push_bind(company.0);
        sql.push(" AND a.integration_id = ").push_bind(integration.uuid());
        sql.push(" AND a.id = ANY(").push_bind(uuids).push(")");
        if let Some(oldest) = ids.iter().min() {
            sql.push(" AND a.started_at >= ").push_bind(span(*oldest).0);
        }
        let rows: Vec<AttemptRow> = sql.build_query_as().fetch_all(&self.pool).await?;
        rows.into_iter().map(AttemptView::try_from).collect()
    }

    /// An attempt with what was sent and what came back, as far as it has come, or none.
    pub async fn attempt(&self, id: AttemptId) -> Result<Option<(AttemptView, AttemptDetail)>, Error> {
        let running = self.running_attempts(None, None, Some(id)).await?.pop();
        let (from, to) = span(id);
        let found = sqlx::query!(
            "SELECT i.company_id, i.id FROM integration i CROSS JOIN LATERAL
             (SELECT 1 FROM attempt a WHERE a.company_id = i.company_id AND a.integration_id = i.id AND a.id = $1
              AND a.started_at BETWEEN $2 AND $3) x
             WHERE i.deleted_at IS NULL",
            id.uuid(),
            from,
            to,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(found) = found else {
            return Ok(running.map(|attempt| (attempt, AttemptDetail::default())));
        };
        let (company, integration) = (CompanyId(found.company_id), IntegrationId::from(found.id));
        let attempt = self.finished_attempts(company, integration, &[id]).await?.pop();
        match attempt {
            Some(attempt) => Ok(Some((attempt, self.attempt_detail(company, integration, id).await?))),
            None => Ok(None),
        }
    }

    /// The first finished attempt of a delivery behind a number.
    pub async fn attempt_behind(
        &self,
        company: CompanyId,
        delivery: DeliveryId,
        number: i32,
    ) -> Result<Option<AttemptId>, Error> {
        let id = sqlx::query_scalar!(
            "SELECT id FROM attempt WHERE company_id = $1 AND delivery_id = $2 AND number > $3
             ORDER BY number LIMIT 1",
            company.0,
            delivery.uuid(),
            number,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(id.map(AttemptId::from))
    }

    /// The integration of a probe that is still to become an attempt, or none if there is no such probe.
    pub async fn probed_integration(&self, id: AttemptId) -> Result<Option<IntegrationId>, Error> {
        let integration = sqlx::query_scalar!(
            "SELECT p.integration_id FROM company c JOIN probe p ON p.company_id = c.id AND p.id = $1",
            id.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(integration.map(IntegrationId::from))
    }

    pub(in crate::store) async fn attempt_detail(
        &self,
        company: CompanyId,
        integration: IntegrationId,
        id: AttemptId,
    ) -> Result<AttemptDetail, Error> {
        let (from, to) = span(id);
        let row = sqlx::query!(
            "SELECT a.method, a.url, a.request_headers, a.response_headers, a.response_body, a.response_bytes,
                    a.secret_version, a.config_version, a.calls, a.note, a.duration_ms, a.error, a.status_code,
                    CASE WHEN a.method IS NOT NULL THEN coalesce(a.request_body, d.body, e.body) END AS request_body
             FROM attempt a
             LEFT JOIN delivery d ON d.company_id = a.company_id AND d.id = a.delivery_id
             LEFT JOIN event e ON e.company_id = d.company_id AND e.id = d.event_id
             WHERE a.company_id = $1 AND a.integration_id = $2 AND a.id = $3 AND a.started_at BETWEEN $4 AND $5",
            company.0,
            integration.uuid(),
            id.uuid(),
            from,
            to,
        )
        .fetch_one(&self.pool)
        .await?;
        let mut detail = AttemptDetail {
            method: row.method,
            url: row.url,
            request_headers: headers(row.request_headers)?,
            request_body: row.request_body.unwrap_or_default().into(),
            response_headers: headers(row.response_headers)?,
            response_body: row.response_body.unwrap_or_default().into(),
            response_bytes: row.response_bytes.unwrap_or_default(),
            secret_version: row.secret_version,
            config_version: row.config_version,
            calls: calls::read(row.calls)?,
            note: row.note,
        };
        match detail.calls.last() {
            // What all calls are made from is no call's body.
            Some(last) => detail.request_body = last.request_body.clone().unwrap_or_default().into(),
            None => detail.calls.extend(only_call(&detail, row.status_code, row.duration_ms, row.error)),
        }
        Ok(detail)
    }

    /// What living daemons are pushing: of an integration, of a delivery, or under one id. A test counts from when it
    /// was asked for: whoever asked knows its id already.
    pub(in crate::store) async fn running_attempts(
        &self,
        integration: Option<IntegrationId>,
        delivery: Option<DeliveryId>,
        id: Option<AttemptId>,
    ) -> Result<Vec<AttemptView>, Error> {
        let rows = sqlx::query_as!(
            AttemptRow,
            r#"SELECT i.company_id AS "company_id!", c.name AS "company_name!", i.integration_id AS "integration_id!",
                      g.name AS "integration_name!", i.attempt_id AS "id!", i.delivery_id, l.uuid AS "lead?",
                      d.lead_id AS "lead_id?", p.name AS "lead_name?", p.email AS "lead_email?", d.event AS "event!", d.attempts + 1 AS "number!", i.trigger AS "trigger!", i.operator,
                      i.claimed_at AS "started_at!", NULL::boolean AS delivered, NULL AS class, NULL AS error,
                      NULL::smallint AS status_code, NULL::integer AS duration_ms
               FROM in_flight i JOIN daemon m ON m.id = i.daemon_id
               JOIN delivery d ON d.company_id = i.company_id AND d.id = i.delivery_id
               JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id
               LEFT JOIN person p ON p.company_id = d.company_id AND p.lead_id = d.lead_id
               JOIN company c ON c.id = i.company_id
               JOIN integration g ON g.company_id = i.company_id AND g.id = i.integration_id AND g.deleted_at IS NULL
               WHERE ($1::uuid IS NULL OR i.integration_id = $1)
                 AND ($2::uuid IS NULL OR i.delivery_id = $2)
                 AND ($3::uuid IS NULL OR i.attempt_id = $3)
               UNION ALL
               SELECT p.company_id, c.name, p.integration_id, g.name, p.id, NULL, NULL, NULL, NULL, NULL, 'webhook.test', 1, 'test',
                      p.operator, p.requested_at, NULL, NULL, NULL, NULL, NULL
               FROM probe p JOIN company c ON c.id = p.company_id
               JOIN integration g ON g.company_id = p.company_id AND g.id = p.integration_id AND g.deleted_at IS NULL
               WHERE ($1::uuid IS NULL OR p.integration_id = $1) AND $2::uuid IS NULL
                 AND ($3::uuid IS NULL OR p.id = $3)"#,
            integration.map(IntegrationId::uuid),
            delivery.map(DeliveryId::uuid),
            id.map(AttemptId::uuid),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(AttemptView::try_from).collect()
    }
}

/// Both lists in one, newest first; of an attempt that is in both, the finished one.
pub(super) fn merged(running: Vec<AttemptView>, finished: Vec<AttemptView>, limit: i64) -> Vec<AttemptView> {
    let known: HashSet<_> = finished.iter().map(|attempt| attempt.id).collect();
    let mut all = finished;
    all.extend(running.into_iter().filter(|attempt| !known.contains(&attempt.id)));
    all.sort_unstable_by_key(|attempt| std::cmp::Reverse(attempt.id));
    all.truncate(usize::try_from(limit).unwrap_or_default());
    all
}

/// The one call that an attempt's own columns tell of, if there was one.
fn only_call(
    detail: &AttemptDetail,
    status: Option<i16>,
    duration_ms: i32,
    error: Option<String>,
) -> Option<CallRecord> {
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    Some(CallRecord {
        method: detail.method.clone()?,
        url: detail.url.clone().unwrap_or_default(),
        request_headers: detail.request_headers.clone(),
        request_body: Some(text(&detail.request_body)),
        request_bytes: u64::try_from(detail.request_body.len()).unwrap_or_default(),
        response_bytes: u64::try_from(detail.response_bytes).unwrap_or_default(),
        status: status.and_then(|status| u16::try_from(status).ok()),
        response_headers: detail.response_headers.clone(),
        response_body: status.map(|_| text(&detail.response_body)),
        after_ms: 0,
        duration_ms: u32::try_from(duration_ms).unwrap_or_default(),
        error: error.filter(|_| status.is_none()),
    })
}

/// Reads headers, stored as pairs.
fn headers(stored: Option<Value>) -> Result<Vec<(String, String)>, Error> {
    let pairs = stored.map(serde_json::from_value).transpose().map_err(|_| Error::Corrupt("header"))?;
    Ok(pairs.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: &str, finished: bool) -> AttemptView {
        AttemptView {
            id: id.parse().unwrap(),
            company: CompanyId(7),
            company_name: "The Old Barn".into(),
            integration: IntegrationId::generate(),
            integration_name: "hook".into(),
            delivery: None,
            lead: None,
            lead_id: None,
            lead_name: String::new(),
            lead_email: String::new(),
            event: Shown::read(EventKind::Test.as_str(), EventKind::parse),
            number: 1,
            trigger: Shown::read(Trigger::Test.as_str(), Trigger::parse),
            operator: None,
            started_at: jiff::Timestamp::UNIX_EPOCH,
            finished: finished.then_some(AttemptEnd {
                delivered: true,
                class: None,
                error: None,
                status_code: Some(200),
                duration_ms: 1,
            }),
        }
    }

    #[test]
    fn an_attempt_that_finished_meanwhile_is_listed_once() {
        let (old, mid, new) =
            ("01J8H6KQH4YG3XR8RWM6T6XFQA", "01J8H6KQH4YG3XR8RWM6T6XFQB", "01J8H6KQH4YG3XR8RWM6T6XFQC");
        let running = || vec![attempt(mid, false), attempt(new, false)];
        let finished = || vec![attempt(mid, true), attempt(old, true)];
        let ids = |limit| {
            let all = merged(running(), finished(), limit);
            all.iter().map(|a| (a.id.to_string(), a.finished.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(ids(50), [(new.into(), false), (mid.into(), true), (old.into(), true)]);
        assert_eq!(ids(1), [(new.into(), false)]);
    }

    #[test]
    fn headers_keep_their_order() {
        let stored = serde_json::json!([["b", "1"], ["a", "2"]]);
        assert_eq!(headers(Some(stored)).unwrap(), [("b".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(headers(None).unwrap(), []);
        assert!(headers(Some(serde_json::json!({ "a": 1 }))).is_err());
    }
}
