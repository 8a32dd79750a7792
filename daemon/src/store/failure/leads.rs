//! Whose deliveries fail: each lead once, however many integrations it fails at.

use crate::{
    domain::ids::IntegrationId,
    store::{
        Error, Store,
        bounded::EXACT_MAX,
        failure::{
            list::{FailureFilter, FailureView},
            retrying::WaitingLeads,
        },
    },
};

impl Store {
    /// How many leads of all that was looked at these causes have, each once, and whether that is so: where there are too
    /// many deliveries, each of them counts.
    pub(super) async fn total_leads(
        &self,
        filter: &FailureFilter,
        waiting: &WaitingLeads,
        causes: &[FailureView],
    ) -> Result<(i64, bool), Error> {
        let dead: i64 = causes.iter().map(|one| one.dead).sum();
        if dead > EXACT_MAX {
            return Ok((causes.iter().map(|one| one.leads).sum(), false));
        }
        let ids: Vec<i64> = causes.iter().map(|one| one.cause.0).collect();
        let leads = sqlx::query_scalar!(
            r#"SELECT count(*) AS "leads!"
               FROM (SELECT company_id, lead_id FROM undelivered
                     WHERE cause_id = ANY($1) AND ($2::bigint IS NULL OR company_id = $2)
                       AND ($3::uuid IS NULL OR integration_id = $3)
                     UNION
                     SELECT w.company_id, w.lead_id
                     FROM unnest($4::bigint[], $5::bigint[], $6::uuid[]) w(cause_id, company_id, lead_id)
                     WHERE w.cause_id = ANY($1)) once"#,
            &ids,
            filter.company.map(|id| id.0),
            filter.integration.map(IntegrationId::uuid),
            &waiting.causes,
            &waiting.companies,
            &waiting.leads,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((leads, true))
    }
}
