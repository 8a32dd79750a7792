//! What failed and waits for its next automatic retry: of that the first few hundred are looked at, each time.

use uuid::Uuid;

use crate::{
    domain::{
        cause::{self, CauseId, Values},
        ids::{DeliveryId, IntegrationId},
        json::Json,
        outcome::FailureClass,
    },
    store::{
        Error, Store,
        failure::list::{Count, FailureFilter},
        shown::Shown,
    },
};

/// How many deliveries that wait for their retry are looked at.
const RETRYING_MAX: usize = 500;

/// What waits for its retry: a count for each, and whether these are all of them.
pub(super) struct Retrying {
    pub(super) counts: Vec<Count>,
    pub(super) leads: WaitingLeads,
    pub(super) is_whole: bool,
}

/// Leads of deliveries that wait for their retry, column by column, as a statement takes them.
#[derive(Debug, Default)]
pub(super) struct WaitingLeads {
    pub(super) causes: Vec<i64>,
    pub(super) companies: Vec<i64>,
    pub(super) leads: Vec<Uuid>,
    /// Empty where nothing was quoted.
    pub(super) currencies: Vec<String>,
    pub(super) pence: Vec<i64>,
}

impl WaitingLeads {
    pub(super) fn push(&mut self, cause: i64, company: i64, lead: Uuid, currency: &str, pence: i64) {
        self.causes.push(cause);
        self.companies.push(company);
        self.leads.push(lead);
        self.currencies.push(currency.to_owned());
        self.pence.push(pence);
    }
}

impl Store {
    /// What failed and waits for its next retry, each one a count of its own.
    pub(super) async fn retrying_counts(&self, filter: &FailureFilter) -> Result<Retrying, Error> {
        let (companies, deliveries, is_whole) = self.first_retries(filter).await?;
        let rows = sqlx::query!(
            r#"SELECT d.company_id, d.integration_id, d.id, d.lead_id, a.class AS "class!", a.error, a.started_at,
                      i.connector, c.name AS company, e.body
               FROM unnest($1::bigint[], $2::uuid[]) q(company_id, delivery_id)
               JOIN delivery d ON d.company_id = q.company_id AND d.id = q.delivery_id AND d.state = 'pending'
               JOIN company c ON c.id = d.company_id
               JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id
               JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id
               JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
               JOIN LATERAL (
                   SELECT a.class, a.error, a.started_at FROM attempt a
                   WHERE a.delivery_id = d.id AND a.company_id = d.company_id AND a.number = d.attempts AND NOT a.delivered
                     AND a.started_at > now() - interval '3 days' LIMIT 1) a ON true"#,
            &companies,
            &deliveries,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut leads = WaitingLeads::default();
        let counts = rows.into_iter().filter_map(|row| {
            let event = Json::parse(&row.body).unwrap_or(Json::Null);
            // Under which cause a newer daemon's class comes, that one says once it is dead.
            let class = FailureClass::parse(&row.class)?;
            let error = row.error.unwrap_or_default();
            let text = cause::text(&row.connector, &error, &Values::of_cause(&event, &row.company));
            let (currency, pence) = super::money(&event).unwrap_or_default();
            let at = row.started_at.to_jiff();
            let cause = CauseId::of(&row.connector, class, &text).0;
            leads.push(cause, row.company_id, row.lead_id, &currency, pence);
            Some(Count {
                cause,
                company: row.company_id,
                integration: row.integration_id,
                currency,
                pence,
                dead: 0,
                retrying: 1,
                first_at: at,
                last_at: at,
                connector: row.connector,
                class: Shown::read(class.as_str(), FailureClass::parse),
                text,
                snoozed_until: None,
                sample: Some((DeliveryId::from(row.id), error)),
            })
        });
        let mut counts = counts.collect::<Vec<Count>>();
        counts.retain(|count| filter.cause.is_none_or(|cause| cause.0 == count.cause));
        let snoozes = self.snoozes(counts.iter().map(|count| count.cause).collect()).await?;
        for count in &mut counts {
            count.snoozed_until = snoozes.get(&count.cause).copied();
        }
        Ok(Retrying { counts, leads, is_whole })
    }

    /// The deliveries that are looked at, with their companies, and whether no other one waits. Asked by itself: of those
    /// that are looked at, there may be none of which anything can be told.
    async fn first_retries(&self, filter: &FailureFilter) -> Result<(Vec<i64>, Vec<Uuid>, bool), Error> {
        let mut rows = sqlx::query!(
            "SELECT company_id, delivery_id FROM due
             WHERE kind = 1 AND trigger = 'retry' AND ($1::bigint IS NULL OR company_id = $1)
               AND ($2::uuid IS NULL OR integration_id = $2) LIMIT $3",
            filter.company.map(|id| id.0),
            filter.integration.map(IntegrationId::uuid),
            RETRYING_MAX as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let is_whole = rows.len() <= RETRYING_MAX;
        rows.truncate(RETRYING_MAX);
        let (companies, deliveries) = rows.into_iter().map(|row| (row.company_id, row.delivery_id)).unzip();
        Ok((companies, deliveries, is_whole))
    }
}
