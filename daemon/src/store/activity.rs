//! Attempts and what operators did, in one order of time.

use std::collections::HashMap;

use super::{
    Error, Store,
    delivery::{
        attempt_list::{AttemptFilter, AttemptState},
        attempts::AttemptView,
    },
    operator::audit::{AuditFilter, AuditView},
};
use crate::domain::ids::{AttemptId, AuditId, CompanyId, IntegrationId};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Activity {
    pub company_name: String,
    pub what: What,
}

/// A finished attempt, or an operator's act.
#[derive(Clone, Debug)]
pub enum What {
    Attempt(AttemptView),
    Act(AuditView),
}

/// Which of it; what is none or empty does not restrict.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    pub company: Option<CompanyId>,
    /// Attempts of these only.
    pub integrations: Vec<IntegrationId>,
    pub before: Option<jiff::Timestamp>,
    /// Attempts behind the one, and acts behind the other.
    pub behind: (Option<AttemptId>, Option<AuditId>),
}

impl Activity {
    /// When an attempt started, or an act was committed.
    #[must_use]
    pub fn at(&self) -> jiff::Timestamp {
        match &self.what {
            What::Attempt(attempt) => attempt.started_at,
            What::Act(line) => line.at,
        }
    }

    #[must_use]
    pub fn company(&self) -> CompanyId {
        match &self.what {
            What::Attempt(attempt) => attempt.company,
            What::Act(line) => line.company,
        }
    }
}

/// Two lists as one, the newer first. Each keeps its order, so that where a page ends says where each list goes on.
fn merged(attempts: impl Iterator<Item = Activity>, acts: impl Iterator<Item = Activity>) -> Vec<Activity> {
    let (mut attempts, mut acts) = (attempts.peekable(), acts.peekable());
    std::iter::from_fn(|| match (attempts.peek(), acts.peek()) {
        (Some(attempt), Some(act)) if attempt.at() < act.at() => acts.next(),
        (Some(_), _) => attempts.next(),
        (None, _) => acts.next(),
    })
    .collect()
}

impl Store {
    /// What happened last, newest first: so many attempts and so many acts at most, in one list.
    pub async fn activity(&self, filter: &ActivityFilter, limit: i64) -> Result<Vec<Activity>, Error> {
        let attempts = AttemptFilter {
            company: filter.company,
            integrations: filter.integrations.clone(),
            states: vec![AttemptState::Delivered, AttemptState::Failed],
            until: filter.before,
            after: filter.behind.0,
            ..AttemptFilter::default()
        };
        let attempts = self.attempt_list(&attempts, limit).await?.rows;
        let acts = AuditFilter {
            company: filter.company,
            until: filter.before,
            after: filter.behind.1,
            limit,
            ..AuditFilter::default()
        };
        let acts = self.audit_lines(&acts).await?;
        let names = self.company_names(acts.iter().map(|line| line.company.0)).await?;
        let attempts = attempts.into_iter().map(|attempt| Activity {
            company_name: attempt.company_name.clone(),
            what: What::Attempt(attempt),
        });
        let acts = acts.into_iter().map(|line| Activity {
            company_name: names.get(&line.company.0).cloned().unwrap_or_default(),
            what: What::Act(line),
        });
        Ok(merged(attempts, acts))
    }

    /// The names of companies by their ids.
    pub(super) async fn company_names(
        &self,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, String>, Error> {
        let mut ids: Vec<i64> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = sqlx::query!("SELECT id, name FROM company WHERE id = ANY($1)", &ids)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
    }
}
