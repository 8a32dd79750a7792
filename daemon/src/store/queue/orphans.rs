//! What a daemon that died leaves behind: its claims, which another takes over.

use crate::{
    domain::{
        delivery::Trigger,
        ids::{AttemptId, CompanyId},
        integration::EventKind,
    },
    store::{
        Error, Store, micros,
        queue::claim::{Claimed, Pending},
    },
};

/// How many orphaned claims are adopted at a time.
const ADOPT_MAX: i64 = 50;

impl Store {
    /// Claims of daemons that are gone.
    pub async fn orphans(&self) -> Result<Vec<i64>, Error> {
        let orphans = sqlx::query_scalar!(
            "SELECT id FROM claim c WHERE NOT EXISTS (SELECT FROM daemon d WHERE d.id = c.daemon_id)
             ORDER BY id LIMIT $1",
            ADOPT_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(orphans)
    }

    /// Takes over those of these claims that are orphans still. What was being pushed comes back as claimed by this
    /// daemon, to be finished as attempts that died; what had been finished is left out, and its claims are complete.
    /// Called again with the same claims after its answer was lost, it gives the same answer.
    pub async fn adopt(&self, daemon: i64, orphans: &[i64]) -> Result<Vec<Claimed>, Error> {
        sqlx::query!(
            "UPDATE claim SET daemon_id = $1 WHERE id IN (
                 SELECT id FROM claim c
                 WHERE id = ANY($2) AND NOT EXISTS (SELECT FROM daemon d WHERE d.id = c.daemon_id)
                 ORDER BY id FOR UPDATE SKIP LOCKED)",
            daemon,
            orphans
        )
        .execute(&self.pool)
        .await?;
        // In a statement of its own, which sees what a finish wrote that the locks had to wait for.
        let rows =
            sqlx::query_file!("src/store/queue/adopt.sql", daemon, orphans).fetch_all(&self.pool).await?;
        let adopted = rows.into_iter().filter_map(|row| {
            let pending = match (row.lead_id, row.event, row.version) {
                (Some(lead), Some(event), Some(version)) => Some(Pending {
                    lead: lead.into(),
                    event: EventKind::parse(&event)?,
                    body: bytes::Bytes::new(),
                    rendered: None,
                    attempts: row.attempts?,
                    retries: row.retries?,
                    deaths: row.deaths?,
                    created_at: micros(row.created_at?.to_jiff()),
                    version,
                }),
                _ => None,
            };
            Some(Claimed {
                daemon,
                claim: row.claim,
                is_adopted: true,
                claimed_at: micros(row.claimed_at.to_jiff()),
                company: CompanyId(row.company_id),
                integration: row.integration_id.into(),
                kind: u8::from(row.kind != 0),
                due_at: micros(row.due_at.to_jiff()),
                attempt: AttemptId::from(row.attempt_id),
                delivery: row.delivery_id.into(),
                trigger: Trigger::parse(&row.trigger)?,
                operator: row.operator,
                pending,
            })
        });
        Ok(adopted.collect())
    }
}
