//! Snoozing a cause: it is off the list until a time, and nothing about its deliveries changes.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

use crate::{
    domain::{cause::CauseId, ids::CompanyId},
    store::{
        Error, Store,
        operator::command::{Command, Refusal},
    },
};

/// A cause as it was before, and whom it concerns.
#[derive(Clone, Debug)]
pub struct Snoozed {
    pub before: Option<Timestamp>,
    /// Companies that have deliveries of it.
    pub companies: Vec<CompanyId>,
}

impl Command {
    /// Sets until when a cause is snoozed; none ends it.
    pub async fn snooze_cause(
        &mut self,
        cause: CauseId,
        until: Option<Timestamp>,
    ) -> Result<Snoozed, Refusal> {
        let known = sqlx::query!("SELECT snoozed_until FROM cause WHERE id = $1 FOR UPDATE", cause.0)
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(known) = known else {
            return Err(Refusal::NotFound(format!(
                "nothing died of cause {cause}: `leadline failure list` shows what did"
            )));
        };
        let companies = sqlx::query_scalar!(
            "SELECT DISTINCT company_id FROM cause_count WHERE cause_id = $1 ORDER BY company_id",
            cause.0,
        )
        .fetch_all(&mut *self.tx)
        .await?;
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
