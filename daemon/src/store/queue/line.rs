//! The line of a lead at an integration, locked: what whoever moves deliveries must not see change under it.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{delivery::State, ids::CompanyId},
    store::Error,
};

/// A locked delivery.
pub(super) struct Locked {
    pub(super) id: Uuid,
    integration_id: Uuid,
    pub(super) state: State,
    pub(super) successor_id: Option<Uuid>,
}

/// The locked deliveries of a batch, and what stands in line with them. One in a state that only a newer daemon knows is
/// locked, and not among them: it is left alone.
pub(in crate::store) struct LockedLine {
    pub(super) rows: Vec<Locked>,
    meant: HashSet<Uuid>,
}

impl LockedLine {
    /// Those meant that are in one of these states.
    pub(super) fn meant(&self, states: &[State]) -> Vec<&Locked> {
        let is_meant = |row: &&Locked| self.meant.contains(&row.id) && states.contains(&row.state);
        self.rows.iter().filter(is_meant).collect()
    }

    /// The state of one of them.
    pub(super) fn state(&self, id: Uuid) -> Option<State> {
        self.rows.iter().find(|row| row.id == id).map(|row| row.state)
    }

    pub(super) fn lanes(&self) -> Vec<Uuid> {
        let mut lanes: Vec<_> = self.rows.iter().map(|row| row.integration_id).collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }
}

/// Locks deliveries, and with them all that their leads have open at the same integrations, in the order of their ids: what
/// was read before may have changed meanwhile.
pub(super) async fn lock_line(
    db: &mut PgConnection,
    company: CompanyId,
    meant: &[Uuid],
) -> Result<LockedLine, Error> {
    let places = sqlx::query!(
        "SELECT lead_id, integration_id FROM delivery WHERE company_id = $1 AND id = ANY($2)",
        company.0,
        meant,
    )
    .fetch_all(&mut *db)
    .await?;
    let (leads, lanes): (Vec<Uuid>, Vec<Uuid>) =
        places.into_iter().map(|row| (row.lead_id, row.integration_id)).unzip();
    let rows = sqlx::query!(
        "SELECT id, integration_id, state, successor_id FROM delivery
         WHERE company_id = $1 AND id IN (
             SELECT unnest($2::uuid[])
             UNION SELECT d.id FROM unnest($3::uuid[], $4::uuid[]) p(lead_id, integration_id)
             JOIN delivery d ON d.lead_id = p.lead_id AND d.company_id = $1
                 AND d.integration_id = p.integration_id AND d.state IN ('pending', 'held'))
         ORDER BY id FOR UPDATE",
        company.0,
        meant,
        &leads,
        &lanes,
    )
    .fetch_all(db)
    .await?;
    let known = rows.into_iter().filter_map(|row| {
        let (id, integration_id, successor_id) = (row.id, row.integration_id, row.successor_id);
        Some(Locked { id, integration_id, state: State::parse(&row.state)?, successor_id })
    });
    Ok(LockedLine { rows: known.collect(), meant: meant.iter().copied().collect() })
}
