//! Whose deliveries fail: each lead once, however many integrations it fails at, whether they are dead or wait.

use std::collections::{BTreeMap, HashMap};

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

/// Causes whose leads are counted together, as a lead may fail of several.
pub(super) struct Together {
    /// None where there are too many deliveries to look at: each of them counts as a lead then.
    causes: Vec<i64>,
    deliveries: i64,
    /// Whether there are few enough deliveries to look at.
    is_small: bool,
}

impl Together {
    pub(super) fn of(all: &[FailureView]) -> Self {
        let is_small = all.iter().map(|one| one.dead).sum::<i64>() <= EXACT_MAX;
        Self {
            causes: all.iter().filter(|_| is_small).map(|one| one.cause.0).collect(),
            deliveries: all.iter().map(|one| one.leads).sum(),
            is_small,
        }
    }
}

/// The causes of a page that are small enough to count one by one, and that come to twice as many together.
fn countable(page: &[FailureView]) -> Vec<i64> {
    let mut left = 2 * EXACT_MAX;
    let mut ids = Vec::new();
    for one in page.iter().filter(|one| one.dead <= EXACT_MAX) {
        if one.dead <= left {
            left -= one.dead;
            ids.push(one.cause.0);
        }
    }
    ids
}

impl Store {
    /// How many leads each cause of a page has, and what they come to, each once; of causes that have too many, each
    /// delivery counts as a lead, and its quote each time. Answers how many leads there are together, and whether that
    /// is so.
    pub(super) async fn fill_in_leads(
        &self,
        filter: &FailureFilter,
        waiting: &WaitingLeads,
        together: &Together,
        page: &mut [FailureView],
    ) -> Result<(i64, bool), Error> {
        let each = countable(page);
        let rows = sqlx::query!(
            r#"WITH failed AS MATERIALIZED (
                   SELECT cause_id, company_id, lead_id, currency, pence FROM undelivered
                   WHERE cause_id = ANY($1::bigint[] || $2::bigint[]) AND ($3::bigint IS NULL OR company_id = $3)
                     AND ($4::uuid IS NULL OR integration_id = $4)
                   UNION ALL
                   SELECT w.cause_id, w.company_id, w.lead_id, nullif(w.currency, ''), w.pence
                   FROM unnest($5::bigint[], $6::bigint[], $7::uuid[], $8::text[], $9::bigint[])
                       w(cause_id, company_id, lead_id, currency, pence)
                   WHERE w.cause_id = ANY($1 || $2))
               SELECT cause_id AS "cause_id?", coalesce(currency, '') AS "currency!", count(*) AS "leads!",
                      coalesce(sum(pence), 0)::bigint AS "pence!"
               FROM (SELECT DISTINCT ON (cause_id, company_id, lead_id) cause_id, currency, pence FROM failed
                     WHERE cause_id = ANY($1) ORDER BY cause_id, company_id, lead_id) once
               GROUP BY 1, 2
               UNION ALL
               SELECT NULL, '', count(*), 0
               FROM (SELECT DISTINCT company_id, lead_id FROM failed WHERE cause_id = ANY($2)) once"#,
            &each,
            &together.causes,
            filter.company.map(|id| id.0),
            filter.integration.map(IntegrationId::uuid),
            &waiting.causes,
            &waiting.companies,
            &waiting.leads,
            &waiting.currencies,
            &waiting.pence,
        )
        .fetch_all(&self.pool)
        .await?;
        let (mut leads, mut counted) = (0, HashMap::<i64, (i64, BTreeMap<String, i64>)>::new());
        for row in rows {
            let Some(cause) = row.cause_id else {
                leads = row.leads;
                continue;
            };
            let (leads, money) = counted.entry(cause).or_default();
            *leads += row.leads;
            if !row.currency.is_empty() {
                money.insert(row.currency, row.pence);
            }
        }
        for one in page.iter_mut() {
            if let Some((leads, money)) = counted.remove(&one.cause.0) {
                (one.leads, one.leads_exact) = (leads, one.deliveries_exact);
                one.money = money;
            }
        }
        let is_counted = !together.causes.is_empty();
        Ok((if is_counted { leads } else { together.deliveries }, together.is_small))
    }
}
