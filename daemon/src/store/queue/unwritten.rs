//! The end of a push whose attempt the database refuses to keep: nothing of it is pushed again by itself, and it stands
//! where people look.

use uuid::Uuid;

use crate::{
    domain::{
        delivery::{Reason, State, Transition},
        ids::DeliveryId,
    },
    store::{
        Error, Store,
        operator::command::{Command, Mutation, Refusal},
        queue::{
            finish::Finished,
            give_back::{self, Manner},
            undelivered,
        },
    },
};

impl Store {
    /// Ends the delivery of an attempt that cannot be written: delivered if it arrived, else dead until somebody looks. Its
    /// claim lets it go in the same transaction. A claim that is not this daemon's any more changes nothing.
    pub async fn end_unwritten(&self, daemon: i64, finished: &Finished) -> Result<(), Error> {
        let call = Mutation {
            operator: "leadline".to_owned(),
            method: "EndUnwritten",
            request_id: String::new(),
            fingerprint: [0; 32],
        };
        let mut command = self.batch_aside(&call).await?;
        command.end_unwritten(daemon, finished).await.map_err(Refusal::into_store)?;
        command.commit().await.map_err(Refusal::into_store)
    }
}

impl Command {
    async fn end_unwritten(&mut self, daemon: i64, finished: &Finished) -> Result<(), Refusal> {
        let claimed = &finished.claimed;
        let (company, lane) = (claimed.lane.company, [claimed.lane.integration.uuid()]);
        let (id, attempt) = (claimed.delivery.uuid(), claimed.attempt.uuid());
        self.lock_line(company, &[id]).await?;
        undelivered::lock_counts(&mut self.tx, company, &lane).await?;
        let own = sqlx::query_scalar!(
            "SELECT id FROM claim WHERE id = $1 AND daemon_id = $2 AND $3 = ANY(attempts) FOR UPDATE",
            claimed.claim,
            daemon,
            attempt,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        if own.is_none() {
            return Ok(());
        }
        let (state, reason) = match finished.transition {
            Transition::Delivered => (State::Delivered, None),
            _ => (State::Dead, Some(Reason::Unwritten)),
        };
        // It counts as an attempt: whatever comes after it is a repeat.
        let moved = sqlx::query!(
            r#"UPDATE delivery d SET state = $3, reason_code = $4, reason_detail = NULL, finished_at = now(),
                   attempts = $5, due_at = NULL, successor_id = NULL
               FROM (SELECT company_id, id, successor_id FROM delivery WHERE company_id = $1 AND id = $2) was
               WHERE d.company_id = was.company_id AND d.id = was.id AND d.attempts = $5 - 1
                 AND (d.state = 'pending' OR $3 = 'delivered')
               RETURNING was.successor_id AS "successor_id?""#,
            company.0,
            id,
            state.as_str(),
            reason.map(|reason| reason.code()),
            finished.pending.attempts + 1,
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        if let Some(moved) = moved {
            self.list_unwritten(finished, state).await?;
            let successors: Vec<Uuid> = moved.successor_id.into_iter().collect();
            self.hand_on(company, &successors).await?;
            tracing::error!(event = "delivery_ended_unwritten", company = company.0, delivery = %DeliveryId::from(id), state = state.as_str(), "a delivery ended without its attempt, which the database refuses to keep");
        }
        give_back::back(&mut *self.tx, daemon, &[claimed.claim], &[attempt], Manner::default()).await?;
        self.touch(claimed.lane, false);
        Ok(())
    }

    /// Lists what ended so, or takes it from the lists if it arrived.
    async fn list_unwritten(&mut self, finished: &Finished, state: State) -> Result<(), Refusal> {
        let claimed = &finished.claimed;
        let (company, id) = (claimed.lane.company, [claimed.delivery.uuid()]);
        if state == State::Delivered {
            let lane = [claimed.lane.integration.uuid()];
            undelivered::forget(&mut self.tx, company, &lane, &id).await?;
        } else {
            undelivered::add_dead(&mut self.tx, self.store.sweep, company, &id).await?;
        }
        Ok(())
    }
}
