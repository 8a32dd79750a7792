//! What was claimed, as dispatch gets it. What is stored in words that this daemon does not know goes back to the queue:
//! a newer daemon may know them.

use std::collections::HashMap;

use bytes::Bytes;
use jiff_sqlx::Timestamp;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{LaneKind, Trigger},
        ids::{AttemptId, CompanyId, DeliveryId, LeadId},
        integration::EventKind,
        lane::LaneId,
        moment::Moment,
        trace::TraceContext,
    },
    store::{Error, Store, known, lane_kind, moment},
    telemetry,
};

/// In how many seconds what cannot be read is due again.
const UNREAD_WAIT: f64 = 60.0;

/// A delivery that this daemon works on now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The life under which it was claimed: no other may finish it.
    pub daemon: i64,
    pub claim: i64,
    /// How many items that claim had.
    pub claim_items: usize,
    /// It was a dead daemon's: that attempt died.
    pub is_adopted: bool,
    /// Its claim says that it is pushed apart from others.
    pub is_isolated: bool,
    /// The start of the attempt.
    pub claimed_at: Moment,
    pub lane: LaneId,
    pub kind: LaneKind,
    pub due_at: Moment,
    pub attempt: AttemptId,
    pub delivery: DeliveryId,
    pub trigger: Trigger,
    pub operator: Option<String>,
    /// None if the delivery is no longer pending: nothing is left to do.
    pub pending: Option<PendingDelivery>,
}

/// A claimed delivery that is to be pushed.
#[derive(Clone, Debug)]
pub struct PendingDelivery {
    pub lead: LeadId,
    pub event: EventKind,
    /// The canonical event.
    pub body: Bytes,
    /// Where its pushes stand in a trace, if it is traced.
    pub trace: Option<TraceContext>,
    /// The body that an earlier attempt rendered.
    pub rendered: Option<Bytes>,
    /// Finished attempts so far.
    pub attempts: i32,
    pub retries: i32,
    /// Waits on its schedule that the target asked for.
    pub waits: i16,
    pub crashes: i16,
    /// When the delivery came to be.
    pub created_at: Moment,
    /// The integration's version at the time of the claim.
    pub version: i32,
}

#[cfg(test)]
impl Claimed {
    /// The first attempt of a delivery, for tests: a claim of its own.
    pub(crate) fn first(lane: LaneId, pending: Option<PendingDelivery>) -> Self {
        Self {
            daemon: 1,
            claim: 1,
            claim_items: 1,
            is_adopted: false,
            is_isolated: false,
            claimed_at: Moment::EPOCH,
            lane,
            kind: LaneKind::First,
            due_at: Moment::EPOCH,
            attempt: AttemptId::generate(),
            delivery: DeliveryId::generate(),
            trigger: Trigger::First,
            operator: None,
            pending,
        }
    }
}

#[cfg(test)]
impl PendingDelivery {
    /// One that was never pushed, for tests.
    pub(crate) fn new(body: Bytes) -> Self {
        Self {
            lead: LeadId::generate(),
            event: EventKind::Created,
            body,
            trace: None,
            rendered: None,
            attempts: 0,
            retries: 0,
            waits: 0,
            crashes: 0,
            created_at: Moment::EPOCH,
            version: 1,
        }
    }
}

/// An item of a claim with its delivery, as it is stored; all none if nothing was claimed.
pub(super) struct ClaimedRow {
    pub(super) claimed_at: Timestamp,
    pub(super) claim: Option<i64>,
    pub(super) company_id: Option<i64>,
    pub(super) integration_id: Option<Uuid>,
    pub(super) kind: Option<i16>,
    pub(super) due_at: Option<Timestamp>,
    pub(super) attempt_id: Option<Uuid>,
    pub(super) delivery_id: Option<Uuid>,
    pub(super) trigger: Option<String>,
    pub(super) operator: Option<String>,
    /// None from here on if the delivery is no longer pending.
    pub(super) lead_id: Option<Uuid>,
    pub(super) event: Option<String>,
    /// Not read for what is adopted.
    pub(super) body: Option<Vec<u8>>,
    pub(super) trace: Option<Vec<u8>>,
    pub(super) rendered: Option<Vec<u8>>,
    pub(super) attempts: Option<i32>,
    pub(super) retries: Option<i32>,
    pub(super) waits: Option<i16>,
    pub(super) crashes: Option<i16>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) version: Option<i32>,
    pub(super) is_isolated: Option<bool>,
}

impl ClaimedRow {
    /// The delivery; none if it is no longer pending.
    fn pending(&mut self, is_adopted: bool) -> Result<Option<PendingDelivery>, Error> {
        // A delivery goes before its integration: without that, nothing is left to push.
        let (Some(lead), Some(version)) = (self.lead_id, self.version) else { return Ok(None) };
        let corrupt = || Error::Corrupt("delivery");
        let event = self.event.as_deref().ok_or_else(corrupt)?;
        let body = match self.body.take() {
            Some(body) => body.into(),
            None if is_adopted => Bytes::new(),
            None => return Err(Error::Corrupt("event")),
        };
        Ok(Some(PendingDelivery {
            lead: lead.into(),
            event: known("event", event, EventKind::parse)?,
            body,
            trace: self.trace.as_deref().and_then(TraceContext::from_bytes),
            rendered: self.rendered.take().map(Bytes::from),
            attempts: self.attempts.ok_or_else(corrupt)?,
            retries: self.retries.ok_or_else(corrupt)?,
            waits: self.waits.ok_or_else(corrupt)?,
            crashes: self.crashes.ok_or_else(corrupt)?,
            created_at: moment(self.created_at.ok_or_else(corrupt)?),
            version,
        }))
    }

    fn read(mut self, daemon: i64, is_adopted: bool) -> Result<Claimed, Error> {
        let corrupt = || Error::Corrupt("claim");
        let pending = self.pending(is_adopted)?;
        Ok(Claimed {
            daemon,
            claim: self.claim.ok_or_else(corrupt)?,
            claim_items: 0,
            is_adopted,
            is_isolated: self.is_isolated.unwrap_or_default(),
            claimed_at: moment(self.claimed_at),
            lane: LaneId::new(
                CompanyId(self.company_id.ok_or_else(corrupt)?),
                self.integration_id.ok_or_else(corrupt)?,
            ),
            kind: lane_kind(self.kind.ok_or_else(corrupt)?)?,
            due_at: moment(self.due_at.ok_or_else(corrupt)?),
            attempt: self.attempt_id.ok_or_else(corrupt)?.into(),
            delivery: self.delivery_id.ok_or_else(corrupt)?.into(),
            trigger: known("trigger", &self.trigger.take().unwrap_or_default(), Trigger::parse)?,
            operator: self.operator,
            pending,
        })
    }
}

impl Store {
    /// Reads claimed rows. Those in words that this daemon does not know go back to the queue for a while.
    pub(super) async fn read_claimed(
        &self,
        daemon: i64,
        rows: Vec<ClaimedRow>,
        is_adopted: bool,
    ) -> Result<Vec<Claimed>, Error> {
        let mut read = Vec::with_capacity(rows.len());
        let (mut claims, mut attempts) = (Vec::new(), Vec::new());
        for row in rows {
            let (Some(claim), Some(attempt)) = (row.claim, row.attempt_id) else { continue };
            let delivery = row.delivery_id.map(DeliveryId::from);
            match row.read(daemon, is_adopted) {
                Ok(item) => read.push(item),
                Err(error) => {
                    tracing::error!(
                        event = "delivery_unreadable",
                        error = telemetry::causes(&error),
                        delivery = delivery.map(tracing::field::display),
                        "a delivery waits for a daemon that can read it"
                    );
                    claims.push(claim);
                    attempts.push(attempt);
                }
            }
        }
        if !attempts.is_empty() {
            metrics::counter!("leadline_unreadable_total").increment(attempts.len() as u64);
            self.put_off(daemon, &claims, &attempts, UNREAD_WAIT).await?;
        }
        let mut items: HashMap<i64, usize> = HashMap::new();
        for item in &read {
            *items.entry(item.claim).or_default() += 1;
        }
        for item in &mut read {
            item.claim_items = items[&item.claim];
        }
        Ok(read)
    }
}
