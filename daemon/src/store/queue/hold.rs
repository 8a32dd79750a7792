//! Deliveries that operators hold, release and skip, in batches.
//!
//! A delivery and all that stands in line with it are locked first, in the order of their ids, then due rows are taken
//! away; so a claim came either before, and its push is seen as running, or it finds nothing. A finish waits for the
//! locks and then keeps the state that it finds.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Reason, State},
        ids::{CompanyId, DeliveryId, EventId},
        lane::LaneId,
    },
    store::{
        Error,
        operator::command::{Command, Refusal},
        queue::{
            line::{self, Locked, LockedLine},
            undelivered,
        },
    },
};

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveOutcome {
    pub changed: u64,
    /// How many of those meant were being pushed.
    pub running: u64,
}

fn ids(rows: &[&Locked]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}

/// Which of these deliveries are being pushed.
pub(in crate::store) async fn in_flight(
    db: &mut PgConnection,
    deliveries: &[Uuid],
) -> Result<HashSet<Uuid>, Error> {
    if deliveries.is_empty() {
        return Ok(HashSet::new());
    }
    let running = sqlx::query_scalar!(
        r#"SELECT delivery_id AS "id!" FROM in_flight WHERE delivery_id = ANY($1)"#,
        deliveries,
    )
    .fetch_all(db)
    .await?;
    Ok(running.into_iter().collect())
}

impl Command {
    /// Holds pending deliveries of one company. One that is being pushed is held too: its push ends, and if that fails
    /// no retry follows. What waits behind a held one goes on waiting.
    pub async fn hold(
        &mut self,
        company: CompanyId,
        meant: &[Uuid],
        reason: &Reason,
    ) -> Result<MoveOutcome, Refusal> {
        let line = self.lock_line(company, meant).await?;
        let held = ids(&line.meant(&[State::Pending]));
        self.remove_due(&line.lanes(), &held).await?;
        let running = in_flight(&mut self.tx, &held).await?;
        sqlx::query!(
            "UPDATE delivery SET state = 'held', reason_code = $3, reason_detail = $4, due_at = NULL
             WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &held,
            reason.code(),
            reason.detail(),
        )
        .execute(&mut *self.tx)
        .await?;
        undelivered::add_held(&mut self.tx, company, &held).await?;
        self.leave_line(company, &line, &held).await?;
        self.touch_all(company, &line.lanes());
        Ok(MoveOutcome { changed: held.len() as u64, running: running.len() as u64 })
    }

    /// Makes held deliveries of one company pending. One whose push still runs is left alone: where it goes back to
    /// the queue, whoever brings it there must not miss that it is pending.
    pub async fn release(&mut self, company: CompanyId, meant: &[Uuid]) -> Result<MoveOutcome, Refusal> {
        let line = self.lock_line(company, meant).await?;
        let mut released = ids(&line.meant(&[State::Held]));
        let running = in_flight(&mut self.tx, &released).await?;
        released.retain(|id| !running.contains(id));
        sqlx::query!(
            "UPDATE delivery SET state = 'pending', reason_code = NULL, reason_detail = NULL
             WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &released,
        )
        .execute(&mut *self.tx)
        .await?;
        undelivered::forget(&mut self.tx, company, &line.lanes(), &released).await?;
        self.line_up(company, &released).await?;
        self.touch_all(company, &line.lanes());
        Ok(MoveOutcome { changed: released.len() as u64, running: running.len() as u64 })
    }

    /// Skips pending, held and dead deliveries of one company. One that is being pushed is left alone: what it sent
    /// cannot be taken back, and what waits behind it must not overtake it. What waited behind a skipped one is due.
    pub async fn skip(
        &mut self,
        company: CompanyId,
        meant: &[Uuid],
        reason: &Reason,
    ) -> Result<MoveOutcome, Refusal> {
        let line = self.lock_line(company, meant).await?;
        let open = ids(&line.meant(&[State::Pending, State::Held]));
        self.remove_due(&line.lanes(), &open).await?;
        let running = in_flight(&mut self.tx, &open).await?;
        let skipped: Vec<&Locked> =
            line.meant(&State::UNDELIVERED).into_iter().filter(|row| !running.contains(&row.id)).collect();
        // A dead one has handed on its successor already.
        let successors: Vec<Uuid> = skipped
            .iter()
            .filter(|row| row.state != State::Dead)
            .filter_map(|row| row.successor_id)
            .collect();
        let skipped = ids(&skipped);
        sqlx::query!(
            // How one stood that an operator skips is kept, so that this can be undone.
            "UPDATE delivery SET state = 'skipped', reason_code = $3,
                 reason_detail = CASE WHEN $3 <> 'skipped_by_operator' THEN $4 ELSE
                     $4 || jsonb_build_object('was', state)
                         || CASE WHEN state = 'dead' THEN jsonb_build_object('died_at', finished_at) ELSE '{}' END
                         || CASE WHEN reason_code IS NULL THEN '{}' ELSE
                             jsonb_build_object('reason', jsonb_strip_nulls(
                                 jsonb_build_object('code', reason_code, 'detail', reason_detail))) END END,
                 finished_at = now(), due_at = NULL, successor_id = NULL
             WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &skipped,
            reason.code(),
            reason.detail(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.leave_line(company, &line, &skipped).await?;
        undelivered::forget(&mut self.tx, company, &line.lanes(), &skipped).await?;
        self.hand_on(company, &successors).await?;
        self.touch_all(company, &line.lanes());
        Ok(MoveOutcome { changed: skipped.len() as u64, running: running.len() as u64 })
    }

    /// Lets those of these locked ones go on that wait: what was before them is final.
    pub(super) async fn hand_on(&mut self, company: CompanyId, successors: &[Uuid]) -> Result<(), Refusal> {
        let waiting = sqlx::query_scalar!(
            "SELECT id FROM delivery WHERE company_id = $1 AND id = ANY($2) AND state = 'pending' ORDER BY id",
            company.0,
            successors,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.line_up(company, &waiting).await
    }

    /// Locks deliveries and all that their leads have open at the same integrations.
    pub(super) async fn lock_line(
        &mut self,
        company: CompanyId,
        meant: &[Uuid],
    ) -> Result<LockedLine, Refusal> {
        Ok(line::lock_line(&mut self.tx, company, meant).await?)
    }

    /// Gives locked held deliveries another reason.
    pub(in crate::store) async fn hold_for(
        &mut self,
        company: CompanyId,
        held: &[Uuid],
        reason: &Reason,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE delivery SET reason_code = $3, reason_detail = $4 WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            held,
            reason.code(),
            reason.detail(),
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Lets locked deliveries that were never pushed bring the events that these pairs say.
    pub(in crate::store) async fn bring(
        &mut self,
        company: CompanyId,
        deliveries: &[Uuid],
        events: &[(DeliveryId, EventId)],
    ) -> Result<(), Refusal> {
        let (ids, events): (Vec<Uuid>, Vec<Uuid>) = events
            .iter()
            .filter(|(id, _)| deliveries.contains(&id.uuid()))
            .map(|(id, event)| (id.uuid(), event.uuid()))
            .unzip();
        sqlx::query!(
            "UPDATE delivery d SET event_id = e.event_id FROM unnest($2::uuid[], $3::uuid[]) e(id, event_id)
             WHERE d.company_id = $1 AND d.id = e.id AND d.attempts = 0 AND d.event_id <> e.event_id
               AND NOT EXISTS (SELECT FROM delivery o WHERE o.lead_id = d.lead_id AND o.integration_id = d.integration_id
                   AND o.event_id = e.event_id AND o.company_id = d.company_id AND o.automatic)",
            company.0,
            &ids,
            &events,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Takes away due rows. A claim under way is waited for: what it took is running then.
    pub(super) async fn remove_due(&mut self, lanes: &[Uuid], deliveries: &[Uuid]) -> Result<(), Refusal> {
        sqlx::query!(
            "DELETE FROM due WHERE integration_id = ANY($1) AND delivery_id = ANY($2)",
            lanes,
            deliveries,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Takes deliveries out of the line: nothing makes them due when what is before them becomes final.
    async fn leave_line(
        &mut self,
        company: CompanyId,
        line: &LockedLine,
        gone: &[Uuid],
    ) -> Result<(), Refusal> {
        let before: Vec<Uuid> = line
            .rows
            .iter()
            .filter(|row| row.successor_id.is_some_and(|id| gone.contains(&id)))
            .map(|row| row.id)
            .collect();
        sqlx::query!(
            "UPDATE delivery SET successor_id = NULL WHERE company_id = $1 AND id = ANY($2)",
            company.0,
            &before,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    pub(super) fn touch_all(&mut self, company: CompanyId, lanes: &[Uuid]) {
        for lane in lanes {
            self.touch(LaneId::new(company, *lane), false);
        }
    }
}
