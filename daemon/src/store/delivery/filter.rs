//! Which deliveries: a filter, and the query that finds their ids in order. What is not final is found in the small
//! tables that hold it, never among all that were delivered; each source gives no more than a page, and what a list shows
//! beside the ids is looked up for the page alone.

use jiff_sqlx::ToSqlx as _;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::domain::{
    cause::CauseId,
    delivery::State,
    ids::{CompanyId, DeliveryId, IntegrationId, JobId, LeadId},
    outcome::FailureClass,
};

/// Which deliveries; what is none or empty does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub ids: Option<Vec<DeliveryId>>,
    pub company: Option<CompanyId>,
    pub integration: Option<IntegrationId>,
    pub lead: Option<LeadId>,
    pub states: Vec<State>,
    /// The failure class of the last attempt.
    pub class: Option<FailureClass>,
    /// Part of the last attempt's error, case ignored.
    pub error: Option<String>,
    /// The dead ones of this cause.
    pub cause: Option<CauseId>,
    /// What this job last brought back or made.
    pub job: Option<JobId>,
    /// Since when: delivered ones were delivered, others came to be.
    pub since: Option<jiff::Timestamp>,
    /// Before when, of the same times.
    pub until: Option<jiff::Timestamp>,
    /// When they died, from and before.
    pub died_since: Option<jiff::Timestamp>,
    pub died_until: Option<jiff::Timestamp>,
    /// Leaves out those of disabled integrations.
    pub enabled_only: bool,
    /// Only of leads that are still known.
    pub known_only: bool,
    /// A retry pushes pending ones now, before anything that waits for its time.
    pub waiting: bool,
    /// Leaves out what this job brought back or made.
    pub untouched_by: Option<JobId>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// A page of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) order: Order,
    pub(super) after: Option<DeliveryId>,
    /// None for all.
    pub(super) limit: Option<i64>,
}

impl Span {
    const fn direction(self) -> &'static str {
        match self.order {
            Order::NewestFirst => " DESC",
            Order::OldestFirst => " ASC",
        }
    }

    /// Ends a source: behind what was shown, in order, no more than a page.
    fn push_end(self, sql: &mut QueryBuilder<Postgres>, id: &'static str) {
        if let Some(after) = self.after {
            let behind = if self.order == Order::NewestFirst { " < " } else { " > " };
            sql.push(" AND ").push(id).push(behind).push_bind(after.uuid());
        }
        sql.push(" ORDER BY ").push(id).push(self.direction()).push(" LIMIT ").push_bind(self.limit);
    }
}

/// Where the ids of a filter are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdSource {
    /// Held and dead ones, an ordered scan of the key for each integration.
    Undelivered,
    /// Dead ones of a cause, an ordered scan of its index.
    Cause,
    /// Pending ones: the queue, what is claimed, and what waits for an earlier one.
    Pending,
    /// Any, an ordered scan of the key for each company.
    Any,
}

/// The delivery of a row that is called `f` or `p`: looked up one by one, whatever the planner
/// believes about the number of rows.
const OF_F: &str = " CROSS JOIN LATERAL (SELECT d.* FROM delivery d \
                    WHERE d.company_id = f.company_id AND d.id = f.delivery_id OFFSET 0) d";
const OF_P: &str = " CROSS JOIN LATERAL (SELECT d.* FROM delivery d \
                    WHERE d.company_id = p.company_id AND d.id = p.id OFFSET 0) d";

impl DeliveryFilter {
    fn state_words(&self) -> Vec<&'static str> {
        self.states.iter().map(|state| state.as_str()).collect()
    }

    fn asks_only_for(&self, states: &[State]) -> bool {
        !self.states.is_empty() && self.states.iter().all(|state| states.contains(state))
    }

    fn asks_for(&self, states: &[State]) -> bool {
        self.states.iter().any(|state| states.contains(state))
    }

    /// What is named or of one lead is found by that; what may be final, among all.
    pub(super) fn sources(&self) -> Vec<IdSource> {
        let is_named = self.ids.is_some() || self.lead.is_some() || self.job.is_some();
        if self.cause.is_some() && !is_named {
            return vec![IdSource::Cause];
        }
        if is_named || !self.asks_only_for(&State::UNDELIVERED) {
            return vec![IdSource::Any];
        }
        let mut sources = Vec::new();
        if self.asks_for(&[State::Held, State::Dead]) {
            sources.push(IdSource::Undelivered);
        }
        if self.asks_for(&[State::Pending]) {
            sources.push(IdSource::Pending);
        }
        sources
    }

    /// The ids of a page as a query of (company_id, id), in order.
    pub(super) fn push_ids(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        let sources = self.sources();
        sql.push("SELECT DISTINCT company_id, id FROM (");
        for (at, source) in sources.into_iter().enumerate() {
            if at > 0 {
                sql.push(" UNION ALL ");
            }
            sql.push("(");
            match source {
                IdSource::Undelivered => self.push_undelivered(sql, span),
                IdSource::Cause => self.push_cause(sql, span),
                IdSource::Pending => self.push_pending(sql, span),
                IdSource::Any => self.push_any(sql, span),
            }
            sql.push(")");
        }
        sql.push(") found ORDER BY id").push(span.direction()).push(" LIMIT ").push_bind(span.limit);
    }

    fn push_undelivered(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        sql.push("SELECT x.company_id, x.id FROM integration i CROSS JOIN LATERAL (");
        sql.push("SELECT f.company_id, f.delivery_id AS id FROM undelivered f");
        if self.needs_delivery() {
            sql.push(OF_F);
        }
        sql.push(" WHERE f.company_id = i.company_id AND f.integration_id = i.id");
        self.push_undelivered_conditions(sql);
        span.push_end(sql, "f.delivery_id");
        sql.push(") x WHERE i.deleted_at IS NULL");
        self.push_lane(sql);
        sql.push(" ORDER BY x.id").push(span.direction()).push(" LIMIT ").push_bind(span.limit);
    }

    fn push_cause(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        sql.push("SELECT f.company_id, f.delivery_id AS id FROM undelivered f");
        sql.push(" JOIN integration i ON i.company_id = f.company_id AND i.id = f.integration_id");
        if self.needs_delivery() {
            sql.push(OF_F);
        }
        sql.push(" WHERE i.deleted_at IS NULL AND f.cause_id = ").push_bind(self.cause.map(|cause| cause.0));
        self.push_lane(sql);
        self.push_undelivered_conditions(sql);
        span.push_end(sql, "f.delivery_id");
    }

    /// Conditions that a row of `undelivered`, called `f`, tells by itself, and those that its delivery tells.
    fn push_undelivered_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        match (self.asks_for(&[State::Held]), self.asks_for(&[State::Dead]) || self.cause.is_some()) {
            (true, false) => sql.push(" AND f.state = 'held'"),
            (false, true) => sql.push(" AND f.state = 'dead'"),
            _ => sql,
        };
        if self.cause.is_some() && !self.states.is_empty() {
            sql.push(" AND f.state = ANY(").push_bind(self.state_words()).push(")");
        }
        self.push_failure_conditions_of_undelivered(sql);
        if let Some(since) = self.died_since {
            sql.push(" AND f.state = 'dead' AND f.since >= ").push_bind(since.to_sqlx());
        }
        if let Some(until) = self.died_until {
            sql.push(" AND f.state = 'dead' AND f.since < ").push_bind(until.to_sqlx());
        }
        self.push_delivery_conditions(sql);
    }

    /// What stands in the queue, in claims, or in neither because it waits for an earlier one.
    pub(super) fn push_pending(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        sql.push("SELECT p.company_id, p.id FROM (");
        // Those of a deleted integration would fill a page that shows none of them.
        sql.push("(SELECT q.company_id, q.integration_id, q.delivery_id AS id FROM due q");
        sql.push(" JOIN integration g ON g.company_id = q.company_id AND g.id = q.integration_id");
        sql.push(" WHERE g.deleted_at IS NULL");
        if let Some(integration) = self.integration {
            sql.push(" AND q.integration_id = ").push_bind(integration.uuid());
        }
        if let Some(company) = self.company {
            sql.push(" AND q.company_id = ").push_bind(company.0);
        }
        if self.needs_look() {
            sql.push(")");
        } else {
            span.push_end(sql, "q.delivery_id");
            sql.push(")");
        }
        sql.push(" UNION SELECT k.company_id, k.integration_id, k.delivery_id FROM claim");
        sql.push(" CROSS JOIN LATERAL unnest(items) k");
        // Few wait at each integration; the index has only those.
        sql.push(
            " UNION SELECT w.company_id, w.integration_id, w.id FROM integration g CROSS JOIN LATERAL (",
        );
        sql.push("SELECT p.company_id, p.integration_id, p.successor_id AS id FROM delivery p");
        sql.push(" WHERE p.integration_id = g.id AND p.successor_id IS NOT NULL OFFSET 0) w");
        sql.push(") p JOIN integration i ON i.company_id = p.company_id AND i.id = p.integration_id");
        sql.push(OF_P);
        self.push_last_failure(sql);
        sql.push(" WHERE i.deleted_at IS NULL AND d.state = 'pending'");
        self.push_lane(sql);
        if self.died_since.is_some() || self.died_until.is_some() {
            sql.push(" AND false");
        }
        self.push_failure_conditions(sql);
        self.push_delivery_conditions(sql);
        span.push_end(sql, "p.id");
    }

    fn push_any(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        sql.push("SELECT x.company_id, x.id FROM company c CROSS JOIN LATERAL (SELECT d.company_id, d.id FROM delivery d");
        self.push_asked_for(sql);
        sql.push(" AND d.company_id = c.id");
        span.push_end(sql, "d.id");
        sql.push(") x");
        if let Some(company) = self.company {
            sql.push(" WHERE c.id = ").push_bind(company.0);
        }
        sql.push(" ORDER BY x.id").push(span.direction()).push(" LIMIT ").push_bind(span.limit);
    }

    /// Joins and conditions, the first behind `WHERE`, by which a delivery that is called `d` is asked for.
    pub(super) fn push_asked_for(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(" JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id");
        self.push_last_failure(sql);
        sql.push(" WHERE i.deleted_at IS NULL");
        self.push_lane(sql);
        if !self.states.is_empty() {
            sql.push(" AND d.state = ANY(").push_bind(self.state_words()).push(")");
        }
        if self.cause.is_some() || self.died_since.is_some() || self.died_until.is_some() {
            sql.push(" AND EXISTS (SELECT FROM undelivered f WHERE f.company_id = d.company_id");
            sql.push(
                " AND f.integration_id = d.integration_id AND f.delivery_id = d.id AND f.state = 'dead'",
            );
            if let Some(cause) = self.cause {
                sql.push(" AND f.cause_id = ").push_bind(cause.0);
            }
            if let Some(since) = self.died_since {
                sql.push(" AND f.since >= ").push_bind(since.to_sqlx());
            }
            if let Some(until) = self.died_until {
                sql.push(" AND f.since < ").push_bind(until.to_sqlx());
            }
            sql.push(")");
        }
        self.push_failure_conditions(sql);
        self.push_delivery_conditions(sql);
    }

    /// Class and error of the last attempt as `f`, if they are asked for. What is dead keeps them for longer than its
    /// attempts are kept.
    fn push_last_failure(&self, sql: &mut QueryBuilder<Postgres>) {
        if self.class.is_none() && self.error.is_none() {
            return;
        }
        sql.push(" JOIN LATERAL (SELECT class, error FROM undelivered u WHERE u.company_id = d.company_id");
        sql.push(" AND u.integration_id = d.integration_id AND u.delivery_id = d.id AND u.state = 'dead'");
        // What was delivered or never tried has not failed, and no attempt is older than its delivery: no other day's
        // attempts are searched for it.
        sql.push(" UNION ALL SELECT class, error FROM attempt a WHERE a.company_id = d.company_id");
        sql.push(" AND a.delivery_id = d.id AND a.number = d.attempts AND d.attempts > 0");
        sql.push(" AND d.state <> 'delivered' AND a.started_at >= d.created_at - interval '1 hour' LIMIT 1) f ON true");
    }

    /// What is dead tells what it died of; of what is held the last attempt tells.
    fn push_failure_conditions_of_undelivered(&self, sql: &mut QueryBuilder<Postgres>) {
        const OF_HELD: &str = " OR f.state = 'held' AND EXISTS (SELECT FROM delivery h JOIN attempt a \
                               ON a.company_id = h.company_id AND a.delivery_id = h.id AND a.number = h.attempts \
                               WHERE h.company_id = f.company_id AND h.id = f.delivery_id AND ";
        let with_held = self.asks_for(&[State::Held]);
        if let Some(class) = self.class {
            sql.push(" AND (f.class = ").push_bind(class.as_str());
            if with_held {
                sql.push(OF_HELD).push("a.class = ").push_bind(class.as_str()).push(")");
            }
            sql.push(")");
        }
        if let Some(error) = &self.error {
            sql.push(" AND (position(lower(").push_bind(error.clone()).push(") IN lower(f.error)) > 0");
            if with_held {
                sql.push(OF_HELD).push("position(lower(").push_bind(error.clone());
                sql.push(") IN lower(a.error)) > 0)");
            }
            sql.push(")");
        }
    }

    fn push_failure_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(class) = self.class {
            sql.push(" AND f.class = ").push_bind(class.as_str());
        }
        if let Some(error) = &self.error {
            sql.push(" AND position(lower(").push_bind(error.clone()).push(") IN lower(f.error)) > 0");
        }
    }

    /// Restricts integrations, called `i`.
    pub(super) fn push_lane(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(company) = self.company {
            sql.push(" AND i.company_id = ").push_bind(company.0);
        }
        if let Some(integration) = self.integration {
            sql.push(" AND i.id = ").push_bind(integration.uuid());
        }
        if self.enabled_only {
            sql.push(" AND i.enabled");
        }
    }

    /// Whether a row of the queue alone does not tell if it is asked for.
    fn needs_look(&self) -> bool {
        self.needs_delivery() || self.class.is_some() || self.error.is_some() || self.enabled_only
    }

    /// Whether something is asked for that only the delivery or its lead tells.
    pub(super) fn needs_delivery(&self) -> bool {
        self.ids.is_some()
            || self.lead.is_some()
            || self.job.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.untouched_by.is_some()
            || self.known_only
    }

    /// Restricts deliveries, called `d`.
    fn push_delivery_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(ids) = &self.ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            sql.push(" AND d.id = ANY(").push_bind(ids).push(")");
        }
        if let Some(lead) = self.lead {
            sql.push(" AND d.lead_id = ").push_bind(lead.uuid());
        }
        if let Some(job) = self.job {
            sql.push(" AND d.job_id = ").push_bind(job.uuid());
        }
        // What a target lost on Tuesday is what was delivered on Tuesday, whenever it came in.
        const AT: &str = "CASE d.state WHEN 'delivered' THEN d.finished_at ELSE d.created_at END";
        if let Some(since) = self.since {
            sql.push(" AND ").push(AT).push(" >= ").push_bind(since.to_sqlx());
        }
        if let Some(until) = self.until {
            sql.push(" AND ").push(AT).push(" < ").push_bind(until.to_sqlx());
        }
        if let Some(job) = self.untouched_by {
            sql.push(" AND d.job_id IS DISTINCT FROM ").push_bind(job.uuid());
        }
        if self.known_only {
            sql.push(" AND NOT EXISTS (SELECT FROM lead l WHERE l.company_id = d.company_id");
            sql.push(" AND l.id = d.lead_id AND l.erased_at IS NOT NULL)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(filter: &DeliveryFilter) -> String {
        let mut sql = QueryBuilder::new("");
        filter.push_ids(&mut sql, Span { order: Order::NewestFirst, after: None, limit: Some(50) });
        sql.sql().as_str().to_owned()
    }

    #[test]
    fn only_undelivered_ones_are_looked_up_in_the_small_tables() {
        let of =
            |states: &[State]| sql(&DeliveryFilter { states: states.to_vec(), ..DeliveryFilter::default() });
        assert!(of(&[State::Dead]).contains("FROM undelivered f WHERE"));
        assert!(!of(&[State::Dead]).contains("FROM due"));
        let open = of(&State::UNDELIVERED);
        assert!(open.contains("FROM undelivered f WHERE") && open.contains("FROM due q"));
        assert!(!of(&[State::Pending]).contains("undelivered"));
        for any in [of(&[State::Pending, State::Delivered]), of(&[])] {
            assert!(any.contains("FROM company c") && !any.contains("undelivered"));
        }
    }

    #[test]
    fn every_source_gives_a_page_at_most() {
        let states = State::UNDELIVERED.to_vec();
        let open = sql(&DeliveryFilter { states, ..DeliveryFilter::default() });
        assert_eq!(open.matches(" LIMIT ").count(), 5, "{open}");
        let cause = sql(&DeliveryFilter { cause: Some(CauseId(1)), ..DeliveryFilter::default() });
        assert!(cause.contains("f.cause_id = $1") && !cause.contains("FROM delivery"), "{cause}");
    }
}
