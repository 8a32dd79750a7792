//! Why pending deliveries wait, and until when: of a whole page at once, by the rules of the sentence that explains one.

use std::collections::HashMap;

use uuid::Uuid;

use super::read::DeliveryView;
use crate::{
    domain::{
        delivery::State,
        ids::DeliveryId,
        lane::LaneHolds,
        why::{Waiting, waiting},
    },
    store::{Error, Store, moment},
};

impl Store {
    /// Says of pending deliveries what keeps them: the one before them as it is now, or their lane. What was noted when they
    /// were last moved may be long past.
    pub(super) async fn fill_in_waiting(&self, deliveries: &mut [DeliveryView]) -> Result<(), Error> {
        let pending = || deliveries.iter().filter(|one| one.state == State::Pending);
        let companies: Vec<i64> = pending().map(|one| one.company.0).collect();
        let ids: Vec<Uuid> = pending().map(|one| one.id.uuid()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // `OFFSET 0` keeps the probes by key what they are.
        let rows = sqlx::query!(
            r#"SELECT d.id, now() AS "now!", i.enabled, i.awaits_cut_over, c.paused_at, throttle_ahead(i) AS throttled_until,
                   s.breaker_until, p.id AS "behind_id?", EXISTS (SELECT FROM due q WHERE q.integration_id = d.integration_id
                       AND q.kind = 1 AND q.due_at = d.due_at AND q.delivery_id = d.id) AS "is_retry!"
               FROM unnest($1::bigint[], $2::uuid[]) x(company_id, id)
               CROSS JOIN LATERAL (SELECT * FROM delivery WHERE company_id = x.company_id AND id = x.id OFFSET 0) d
               JOIN company c ON c.id = d.company_id
               JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id
               JOIN integration_stat s ON s.company_id = d.company_id AND s.integration_id = d.integration_id
               LEFT JOIN LATERAL (
                   SELECT id FROM delivery
                   WHERE lead_id = d.lead_id AND company_id = d.company_id AND integration_id = d.integration_id
                     AND successor_id = d.id AND state IN ('pending', 'held') LIMIT 1) p ON true"#,
            &companies,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let lanes: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        for delivery in deliveries.iter_mut().filter(|one| one.state == State::Pending && !one.running) {
            let Some(row) = lanes.get(&delivery.id.uuid()) else { continue };
            let lane = LaneHolds {
                is_disabled: !row.enabled,
                awaits_cut_over: row.awaits_cut_over,
                paused_since: row.paused_at.map(moment),
                throttled_until: row.throttled_until.map(moment),
                breaker_until: row.breaker_until.map(moment),
            };
            let behind = row.behind_id.map(DeliveryId::from);
            let Waiting { reason, code, due_at } =
                waiting(&lane, behind, delivery.due_at, row.is_retry, row.now.to_jiff());
            delivery.due_at = due_at;
            // Beside what keeps it, what its last push may have come to is still worth to be known.
            if reason.is_some() {
                (delivery.reason, delivery.reason_flows) = (reason, Vec::new());
                delivery.reason_code = code.map(str::to_owned);
            }
        }
        Ok(())
    }
}
