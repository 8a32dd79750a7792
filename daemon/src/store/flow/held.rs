//! Deliveries that are held because a flow could not be evaluated: found, and settled once it can be.

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::Reason,
        ids::{CompanyId, DeliveryId, EventId, IntegrationId},
        integration::EventKind,
    },
    store::{
        Error, Store, known,
        operator::command::{Command, Refusal},
    },
};

/// A held delivery with the event that it brings.
#[derive(Clone, Debug)]
pub struct HeldByFlow {
    pub delivery: DeliveryId,
    /// The event that it is judged by, and that it brings if it is let go.
    pub event: EventId,
    pub integration: IntegrationId,
    pub kind: EventKind,
    pub body: Bytes,
}

/// What flows say now to deliveries that they held.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Let go, with the event that was judged.
    pub released: Vec<(DeliveryId, EventId)>,
    /// Kept away, with the reason.
    pub skipped: Vec<(DeliveryId, Reason)>,
    /// Held on, with the reason of now.
    pub held: Vec<(DeliveryId, Reason)>,
}

impl Store {
    /// Deliveries of a company that flows hold, oldest first, those behind `after` only. What only a newer daemon takes in
    /// is left to it.
    pub async fn held_by_flows(
        &self,
        company: CompanyId,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<HeldByFlow>, Error> {
        let rows = sqlx::query!(
            "SELECT d.id, d.integration_id, d.event AS kind, e.id AS event_id, e.body
             FROM integration i
             CROSS JOIN LATERAL (
                 -- From where the last page ended, and no further than this one: each lane is read once.
                 SELECT d.* FROM undelivered u
                 JOIN delivery d ON d.company_id = u.company_id AND d.id = u.delivery_id
                     AND d.state = 'held' AND d.reason_code = 'flow_fails' AND d.event = ANY($4)
                 WHERE u.company_id = i.company_id AND u.integration_id = i.id AND u.state = 'held'
                   AND u.delivery_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
                 ORDER BY u.delivery_id LIMIT $3) d
             -- What the lead is now decides, unless another delivery brings that.
             JOIN lead l ON l.company_id = d.company_id AND l.id = d.lead_id
             JOIN event e ON e.company_id = l.company_id AND e.id = CASE
                 WHEN EXISTS (SELECT FROM delivery o WHERE o.lead_id = d.lead_id AND o.integration_id = d.integration_id
                     AND o.event_id = l.event_id AND o.company_id = d.company_id AND o.automatic AND o.id <> d.id)
                 THEN d.event_id
                 ELSE l.event_id END
             WHERE i.company_id = $1 ORDER BY d.id LIMIT $3",
            company.0,
            after.map(DeliveryId::uuid),
            limit,
            &EventKind::OF_LEADS.map(EventKind::as_str) as &[&str],
        )
        .fetch_all(&self.pool)
        .await?;
        let held = rows.into_iter().map(|row| {
            Ok(HeldByFlow {
                delivery: row.id.into(),
                event: row.event_id.into(),
                integration: row.integration_id.into(),
                kind: known("event", &row.kind, EventKind::parse)?,
                body: row.body.into(),
            })
        });
        held.collect()
    }
}

impl Command {
    /// Settles deliveries that flows held. Answers false, and settles none, where the company is no longer as it was when
    /// that was decided. What somebody has released or skipped meanwhile stays so.
    pub async fn settle_held_by_flows(
        &mut self,
        company: CompanyId,
        version: i64,
        settled: &Settled,
    ) -> Result<bool, Refusal> {
        let is_current = sqlx::query_scalar!(
            "SELECT 1 FROM company WHERE id = $1 AND config_version = $2 FOR SHARE",
            company.0,
            version,
        )
        .fetch_optional(&mut *self.tx)
        .await?
        .is_some();
        if !is_current {
            return Ok(false);
        }
        let released = self.still_held(company, settled.released.iter().map(|(id, _)| id)).await?;
        self.bring(company, &released, &settled.released).await?;
        self.release(company, &released).await?;
        for (reason, ids) in by_reason(&settled.skipped) {
            let ids = self.still_held(company, ids.iter()).await?;
            self.skip(company, &ids, reason).await?;
        }
        for (reason, ids) in by_reason(&settled.held) {
            let ids = self.still_held(company, ids.iter()).await?;
            self.hold_for(company, &ids, reason).await?;
        }
        Ok(true)
    }

    /// Locks those deliveries that flows still hold.
    async fn still_held(
        &mut self,
        company: CompanyId,
        ids: impl Iterator<Item = &DeliveryId>,
    ) -> Result<Vec<Uuid>, Refusal> {
        let ids: Vec<Uuid> = ids.map(|id| id.uuid()).collect();
        let held = sqlx::query_scalar!(
            "SELECT id FROM delivery
             WHERE company_id = $1 AND id = ANY($2) AND state = 'held' AND reason_code = 'flow_fails'
             ORDER BY id FOR UPDATE",
            company.0,
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(held)
    }
}

/// The deliveries of each reason.
fn by_reason(settled: &[(DeliveryId, Reason)]) -> Vec<(&Reason, Vec<DeliveryId>)> {
    let mut groups: Vec<(&Reason, Vec<DeliveryId>)> = Vec::new();
    for (id, reason) in settled {
        match groups.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, ids)) => ids.push(*id),
            None => groups.push((reason, vec![*id])),
        }
    }
    groups
}
