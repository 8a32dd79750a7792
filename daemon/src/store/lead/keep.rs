//! How long leads are kept: who set a span has people erased when it is over, as an operator would erase them.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;
use ulid::Ulid;
use uuid::Uuid;

use crate::{
    domain::ids::{CompanyId, least_id_at},
    store::{
        Error, Store,
        operator::command::{Mutation, Refusal},
    },
};

/// How many leads are looked at in one go.
const BATCH: i64 = 500;

/// What is not looked at again in this life: of each company, up to which event.
#[derive(Debug, Default)]
pub struct Positions(BTreeMap<i64, Uuid>);

/// A lead whose time is over.
struct Old {
    company_id: i64,
    event_id: Uuid,
    uuid: String,
    is_open: bool,
}

impl Store {
    /// Erases the leads whose span is over since their last change, and of which every delivery is delivered or skipped.
    /// One that waits or is dead stays: somebody still has to act.
    pub async fn forget_leads(&self, positions: &mut Positions) -> Result<u64, Error> {
        let Some(span) = self.leads_kept else { return Ok(0) };
        let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(&self.pool).await?.to_jiff();
        let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let before = now.checked_sub(span).unwrap_or(jiff::Timestamp::MIN);
        let floor = least_id_at(before);
        let mut erased: BTreeMap<i64, u64> = BTreeMap::new();
        loop {
            let old = self.old_leads(floor, positions).await?;
            let Some(last) = old.last() else { break };
            tracing::debug!(leads = old.len(), upto = %Ulid::from(last.event_id), "leads whose time is over");
            for lead in old {
                positions.0.insert(lead.company_id, lead.event_id);
                if !lead.is_open {
                    self.forget_lead(&lead).await?;
                    *erased.entry(lead.company_id).or_default() += 1;
                }
            }
        }
        for (company, leads) in &erased {
            let mut command = self.batch(&by_ourselves()).await.map_err(Refusal::into_store)?;
            let after = json!({ "erased": leads, "kept_seconds": span.as_secs() });
            let company = CompanyId(*company);
            command
                .audit(company, &format!("company {company}"), None, Some(after))
                .await
                .map_err(Refusal::into_store)?;
            command.commit().await.map_err(Refusal::into_store)?;
        }
        Ok(erased.values().sum())
    }

    /// The next leads that last changed before an id of that time, a company after the other.
    async fn old_leads(&self, floor: Uuid, positions: &Positions) -> Result<Vec<Old>, Error> {
        let (companies, from): (Vec<i64>, Vec<Uuid>) =
            positions.0.iter().map(|(company, event)| (*company, *event)).unzip();
        let old = sqlx::query_as!(
            Old,
            r#"SELECT c.id AS company_id, x.event_id AS "event_id!", x.uuid AS "uuid!", x.is_open AS "is_open!"
               FROM company c LEFT JOIN unnest($2::bigint[], $3::uuid[]) p(company_id, event_id) ON p.company_id = c.id
               CROSS JOIN LATERAL (
                   SELECT e.id AS event_id, l.uuid, EXISTS (
                       SELECT FROM delivery d WHERE d.company_id = l.company_id AND d.lead_id = l.id
                         AND d.state NOT IN ('delivered', 'skipped')) AS is_open
                   FROM event e JOIN lead l ON l.company_id = e.company_id AND l.id = e.lead_id AND l.event_id = e.id
                   WHERE e.company_id = c.id AND e.id < $1 AND (p.event_id IS NULL OR e.id > p.event_id)
                     AND l.erased_at IS NULL
                   ORDER BY e.id LIMIT $4) x
               ORDER BY c.id, x.event_id LIMIT $4"#,
            floor,
            &companies,
            &from,
            BATCH,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(old)
    }

    async fn forget_lead(&self, lead: &Old) -> Result<(), Error> {
        let company = lead.company_id.to_string();
        let mut command = self.batch(&by_ourselves()).await.map_err(Refusal::into_store)?;
        command.erase_lead(Some(&company), &lead.uuid).await.map_err(Refusal::into_store)?;
        command.commit().await.map_err(Refusal::into_store)
    }
}

/// Nobody asked for it but the configuration.
fn by_ourselves() -> Mutation {
    Mutation {
        operator: "leadlined".to_owned(),
        method: "ForgetLeads",
        request_id: String::new(),
        fingerprint: [0; 32],
    }
}
