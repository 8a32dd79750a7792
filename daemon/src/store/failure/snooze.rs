//! Snoozing a cause: it is off the list until a time, and nothing about its deliveries changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

use crate::{
    domain::{cause::CauseId, ids::CompanyId, outcome::FailureClass},
    store::{
        Error, Store,
        failure::list::FailureFilter,
        operator::{
            command::{Command, Refusal},
            refusal::{Known, RefusalReason},
        },
        shown::Shown,
    },
};

/// A cause as it was before, and whom it concerns.
#[derive(Clone, Debug)]
pub struct Snoozed {
    pub before: Option<Timestamp>,
    /// Companies that have deliveries of it, dead or retrying.
    pub companies: Vec<CompanyId>,
}

/// A cause that waits for a retry at a company.
struct RetryingCause {
    company: CompanyId,
    connector: String,
    class: Shown<FailureClass>,
    text: String,
}

impl Command {
    /// Sets until when a cause is snoozed; none ends it.
    pub async fn snooze_cause(
        &mut self,
        cause: CauseId,
        until: Option<Timestamp>,
    ) -> Result<Snoozed, Refusal> {
        let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(&mut *self.tx).await?.to_jiff();
        if let Some(past) = until.filter(|until| *until <= now) {
            let message = format!("until {past} is over: name a time to come");
            return Err(Known::new(RefusalReason::TimeIsOver, message).into());
        }
        let retrying = self.store.retrying(cause).await?;
        // What only retries has been written down by nobody.
        for one in &retrying {
            sqlx::query!(
                "INSERT INTO cause (id, connector, class, text) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                cause.0,
                one.connector,
                one.class.as_str(),
                one.text,
            )
            .execute(&mut *self.tx)
            .await?;
        }
        let known = sqlx::query!("SELECT snoozed_until FROM cause WHERE id = $1 FOR UPDATE", cause.0)
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(known) = known else {
            return Err(Refusal::nothing_fails(cause));
        };
        let dead =
            sqlx::query_scalar!("SELECT DISTINCT company_id FROM cause_count WHERE cause_id = $1", cause.0)
                .fetch_all(&mut *self.tx)
                .await?;
        let companies: BTreeSet<i64> =
            dead.into_iter().chain(retrying.iter().map(|one| one.company.0)).collect();
        sqlx::query!(
            "UPDATE cause SET snoozed_until = $2 WHERE id = $1",
            cause.0,
            until.map(|at| at.to_sqlx())
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(Snoozed {
            before: known.snoozed_until.map(jiff_sqlx::Timestamp::to_jiff),
            companies: companies.into_iter().map(CompanyId).collect(),
        })
    }
}

impl Store {
    /// What waits for a retry after a failure of this cause: a line for each company.
    async fn retrying(&self, cause: CauseId) -> Result<Vec<RetryingCause>, Error> {
        let filter = FailureFilter { cause: Some(cause), ..FailureFilter::default() };
        let counts = self.retrying_counts(&filter).await?.counts;
        let causes = counts.into_iter().map(|count| {
            let company = CompanyId(count.company);
            (
                company,
                RetryingCause { company, connector: count.connector, class: count.class, text: count.text },
            )
        });
        Ok(causes.collect::<BTreeMap<_, _>>().into_values().collect())
    }

    /// Until when these causes are snoozed, as far as they are.
    pub(super) async fn snoozes(&self, causes: Vec<i64>) -> Result<HashMap<i64, Timestamp>, Error> {
        let rows = sqlx::query!(
            r#"SELECT id, snoozed_until AS "until!" FROM cause WHERE id = ANY($1) AND snoozed_until IS NOT NULL"#,
            &causes,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.until.to_jiff())).collect())
    }
}
