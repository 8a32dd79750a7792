//! What targets call the things they made of a lead, and what else is known of its earlier pushes.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff_sqlx::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{CompanyId, DeliveryId, IntegrationId, LeadId},
        lane::LaneId,
        moment::Moment,
    },
    store::{Error, Store, moment},
};

/// What earlier pushes of a lead to an integration may have left at the target.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// What the target calls the things of the lead. A name that ends in `.` and a delivery's id is that delivery's.
    pub ids: BTreeMap<String, String>,
    /// Other deliveries of the lead that were tried and did not deliver.
    pub tried: Vec<TriedDelivery>,
    /// Since when the integration's target is the one that it is, if it was ever another.
    pub from: Option<Timestamp>,
    /// The last event that arrived there before the one of the delivery, where it was asked for.
    pub before: Option<Bytes>,
}

/// What an integration's target calls the things of a lead.
#[derive(Clone, Debug)]
pub struct VendorIds {
    pub integration: IntegrationId,
    pub name: String,
    /// Whose account it is, as a probe found it.
    pub account: Option<String>,
    pub ids: BTreeMap<String, String>,
}

/// A delivery that may have arrived in part.
#[derive(Clone, Copy, Debug)]
pub struct TriedDelivery {
    pub id: DeliveryId,
    pub created_at: Moment,
    /// Whether it brings the same event.
    pub is_same: bool,
}

impl Store {
    /// What is known of a lead at an integration, before a delivery is pushed there.
    pub async fn past(&self, lane: LaneId, lead: LeadId, delivery: DeliveryId) -> Result<Past, Error> {
        let rows = sqlx::query!(
            r#"SELECT v.ids, i.ids_from AS "ids_from?: Timestamp", d.id AS "tried?", d.created_at AS "created_at?: Timestamp",
                   d.event_id = own.event_id AS is_same
               FROM integration i
               LEFT JOIN vendor_id v ON v.company_id = i.company_id AND v.integration_id = i.id AND v.lead_id = $3
                   AND (i.ids_from IS NULL OR v.updated_at >= i.ids_from)
               LEFT JOIN delivery own ON own.company_id = i.company_id AND own.id = $4
               LEFT JOIN delivery d ON d.company_id = i.company_id AND d.lead_id = $3 AND d.integration_id = i.id
                   AND d.id <> $4 AND d.attempts > 0 AND d.state <> 'delivered'
               WHERE i.company_id = $1 AND i.id = $2"#,
            lane.company.0,
            lane.integration.uuid(),
            lead.uuid(),
            delivery.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let mut past = Past::default();
        for row in rows {
            past.from = row.ids_from;
            if let (Some(id), Some(created_at)) = (row.tried, row.created_at) {
                let (created_at, is_same) = (moment(created_at), row.is_same.unwrap_or_default());
                past.tried.push(TriedDelivery { id: id.into(), created_at, is_same });
            }
            if let Some(ids) = row.ids {
                past.ids = serde_json::from_value(ids).map_err(|_| Error::Corrupt("vendor id"))?;
            }
        }
        Ok(past)
    }

    /// The last event of a lead that an integration was brought before the one that a delivery brings. What was kept from
    /// it, for want of consent or by a flow, is never told there.
    pub async fn before(
        &self,
        lane: LaneId,
        lead: LeadId,
        delivery: DeliveryId,
    ) -> Result<Option<Bytes>, Error> {
        let body = sqlx::query_scalar!(
            "SELECT e.body FROM delivery d JOIN event e ON e.company_id = d.company_id AND e.id = d.event_id
             WHERE d.company_id = $1 AND d.lead_id = $2 AND d.integration_id = $3 AND d.state = 'delivered'
               AND d.event_id < (SELECT event_id FROM delivery WHERE company_id = $1 AND id = $4)
             ORDER BY d.event_id DESC LIMIT 1",
            lane.company.0,
            lead.uuid(),
            lane.integration.uuid(),
            delivery.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(body.map(Bytes::from))
    }

    /// What each integration's target calls the things of a lead, with the integration's name and whose account it is.
    pub async fn vendor_ids(&self, company: CompanyId, lead: LeadId) -> Result<Vec<VendorIds>, Error> {
        let rows = sqlx::query!(
            "SELECT i.id, i.name, i.account, v.ids FROM vendor_id v
             JOIN integration i ON i.company_id = v.company_id AND i.id = v.integration_id AND i.deleted_at IS NULL
                 AND (i.ids_from IS NULL OR v.updated_at >= i.ids_from)
             WHERE v.company_id = $1 AND v.lead_id = $2 ORDER BY i.name",
            company.0,
            lead.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let read = rows.into_iter().map(|row| {
            let ids = serde_json::from_value(row.ids).map_err(|_| Error::Corrupt("vendor id"))?;
            Ok(VendorIds { integration: row.id.into(), name: row.name, account: row.account, ids })
        });
        read.collect()
    }

    /// Keeps ids beside those that are kept already and are this target's. Nothing is kept for an integration that is
    /// gone, or whose target is another by now, and no id that holds a NUL: without it, it would be another one.
    pub async fn keep_vendor_ids(
        &self,
        lane: LaneId,
        lead: LeadId,
        from: Option<Timestamp>,
        ids: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let kept: BTreeMap<_, _> =
            ids.iter().filter(|(name, id)| !name.contains('\0') && !id.contains('\0')).collect();
        let ids = serde_json::to_value(kept).map_err(|_| Error::Corrupt("vendor id"))?;
        sqlx::query!(
            "WITH target AS (
                 SELECT id, ids_from FROM integration
                 WHERE company_id = $1 AND id = $2 AND deleted_at IS NULL AND ids_from IS NOT DISTINCT FROM $5)
             INSERT INTO vendor_id (company_id, integration_id, lead_id, ids)
             SELECT $1, id, $3, $4 FROM target
             ON CONFLICT (company_id, integration_id, lead_id)
             DO UPDATE SET updated_at = now(), ids = CASE
                 WHEN vendor_id.updated_at < (SELECT ids_from FROM target) THEN '{}' ELSE vendor_id.ids END || EXCLUDED.ids",
            lane.company.0,
            lane.integration.uuid(),
            lead.uuid(),
            ids,
            from as Option<Timestamp>,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Forgets which parts of delivered deliveries are done, so that one that is pushed again asks the target anew.
pub(in crate::store) async fn forget_done(
    db: &mut PgConnection,
    company: CompanyId,
    deliveries: &[Uuid],
) -> Result<(), Error> {
    let names: Vec<String> = deliveries.iter().map(|id| DeliveryId::from(*id).to_string()).collect();
    sqlx::query!(
        "WITH again AS (
             SELECT d.lead_id, d.integration_id, n.name FROM unnest($2::uuid[], $3::text[]) n(id, name)
             JOIN delivery d ON d.company_id = $1 AND d.id = n.id AND d.state = 'delivered')
         UPDATE vendor_id v SET ids = coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each(v.ids)
             WHERE split_part(key, '.', -1) NOT IN (SELECT name FROM again)), '{}')
         FROM (SELECT DISTINCT lead_id, integration_id FROM again) a
         WHERE v.company_id = $1 AND v.integration_id = a.integration_id AND v.lead_id = a.lead_id",
        company.0,
        deliveries,
        &names,
    )
    .execute(db)
    .await?;
    Ok(())
}
