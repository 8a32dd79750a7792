//! The frame of every operator's command: one transaction that carries the change, its audit line and the answer
//! kept for a repeat of the same request; the rest of the daemon hears of it only once it is committed.

use jiff_sqlx::Timestamp;
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::LaneKind,
        ids::{self, CompanyId},
        lane::LaneId,
    },
    store::{
        ASIDE_LOCK, Change, DueHint, Error, Store, lane_kind, moment, operator::refusal::Known,
        wait_for_locks,
    },
};

/// Why a command is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    /// The request is right, but not in this state of things.
    #[error("{0}")]
    State(String),
    #[error("{0}")]
    Exists(String),
    /// For a reason that programs know.
    #[error(transparent)]
    Known(Box<Known>),
    #[error(transparent)]
    Store(#[from] Error),
}

impl Refusal {
    /// The store's error, where there is nobody to refuse anything to.
    #[must_use]
    pub fn into_store(self) -> Error {
        match self {
            Self::Store(error) => error,
            _ => Error::Corrupt("command"),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<crate::secrets::SealError> for Refusal {
    fn from(error: crate::secrets::SealError) -> Self {
        Self::Store(error.into())
    }
}

/// A mutation as it was asked for.
#[derive(Clone, Debug)]
pub struct Mutation {
    pub operator: String,
    /// The method's name, for the audit.
    pub method: &'static str,
    /// Made by the client.
    pub request_id: String,
    /// Tells another request under the same id from a repeat.
    pub fingerprint: [u8; 32],
}

/// Whether a call is new.
#[derive(Debug)]
pub enum Begun {
    Fresh(Box<Command>),
    /// The stored answer of the first time.
    Repeat(Vec<u8>),
}

/// A command under way: its transaction, and whom to tell once it is committed.
#[derive(Debug)]
pub struct Command {
    pub(in crate::store) tx: Transaction<'static, Postgres>,
    pub(in crate::store) store: Store,
    pub(in crate::store) operator: String,
    method: &'static str,
    changed: Vec<Change>,
    due: Vec<DueHint>,
    probes: bool,
    jobs: bool,
}

/// A due row just written, as the hint needs it.
pub(in crate::store) struct NewDue {
    pub(in crate::store) integration_id: Uuid,
    pub(in crate::store) kind: LaneKind,
    pub(in crate::store) due_at: Timestamp,
}

impl NewDue {
    pub(in crate::store) fn new(integration: Uuid, kind: i16, due_at: Timestamp) -> Result<Self, Error> {
        Ok(Self { integration_id: integration, kind: lane_kind(kind)?, due_at })
    }
}

impl Store {
    /// Begins a command. A concurrent repeat of the same request waits here until the first one is through.
    pub async fn begin(&self, call: &Mutation) -> Result<Begun, Refusal> {
        let mut command = self.batch(call).await?;
        let new = sqlx::query!(
            "INSERT INTO request (operator, id, fingerprint, answer) VALUES ($1, $2, $3, '')
             ON CONFLICT (operator, id) DO UPDATE
             SET fingerprint = excluded.fingerprint, answer = excluded.answer, at = now()
             WHERE NOT is_repeatable(request)",
            call.operator,
            call.request_id,
            &call.fingerprint[..],
        )
        .execute(&mut *command.tx)
        .await?
        .rows_affected();
        if new > 0 {
            return Ok(Begun::Fresh(Box::new(command)));
        }
        match answered(&mut command.tx, call).await? {
            Some(answer) => Ok(Begun::Repeat(answer)),
            // The first one ended its 24 hours between the two statements.
            None => {
                Err(Refusal::State(format!("request id {} has just expired: use a new one", call.request_id)))
            }
        }
    }

    /// The answer of an earlier call of this request, if there was one: for commands of several transactions, of
    /// which only the last one is under [`Store::begin`].
    pub async fn answered(&self, call: &Mutation) -> Result<Option<Vec<u8>>, Refusal> {
        answered(&mut *self.pool.acquire().await?, call).await
    }

    /// Begins one of the transactions of a command that is too large for one. Repeating it must do no harm.
    pub async fn batch(&self, call: &Mutation) -> Result<Command, Refusal> {
        Ok(Command {
            tx: self.pool.begin().await?,
            store: self.clone(),
            operator: call.operator.clone(),
            method: call.method,
            changed: Vec::new(),
            due: Vec::new(),
            probes: false,
            jobs: false,
        })
    }

    /// Begins one that nobody waits for.
    pub(in crate::store) async fn batch_aside(&self, call: &Mutation) -> Result<Command, Error> {
        let mut command = self.batch(call).await.map_err(Refusal::into_store)?;
        wait_for_locks(&mut command.tx, ASIDE_LOCK).await?;
        Ok(command)
    }

    /// Forgets the requests of which no repeat is expected any more.
    pub async fn forget_requests(&self) -> Result<u64, Error> {
        let gone =
            sqlx::query!("DELETE FROM request r WHERE NOT is_repeatable(r)").execute(&self.pool).await?;
        Ok(gone.rows_affected())
    }
}

async fn answered(db: &mut PgConnection, call: &Mutation) -> Result<Option<Vec<u8>>, Refusal> {
    let first = sqlx::query!(
        "SELECT fingerprint, answer FROM request r
         WHERE operator = $1 AND id = $2 AND is_repeatable(r)",
        call.operator,
        call.request_id,
    )
    .fetch_optional(db)
    .await?;
    match first {
        Some(first) if first.fingerprint != call.fingerprint => Err(Refusal::Exists(format!(
            "request id {} was used for another request: make a new one for each",
            call.request_id
        ))),
        first => Ok(first.map(|first| first.answer)),
    }
}

impl Command {
    /// Writes the audit line of this command.
    pub async fn audit(
        &mut self,
        company: CompanyId,
        target: &str,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Result<(), Refusal> {
        sqlx::query!(
            "INSERT INTO audit (company_id, id, operator, action, target, before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            company.0,
            Uuid::from(ids::new_ulid()),
            self.operator,
            self.method,
            target,
            before,
            after,
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Commits with the answer that a repeat of the call will get, and tells whom it concerns.
    pub async fn answer(mut self, call: &Mutation, answer: &[u8]) -> Result<(), Refusal> {
        sqlx::query!(
            "UPDATE request SET answer = $3 WHERE operator = $1 AND id = $2",
            call.operator,
            call.request_id,
            answer,
        )
        .execute(&mut *self.tx)
        .await?;
        self.commit().await
    }

    /// Commits, and tells whom it concerns.
    pub async fn commit(self) -> Result<(), Refusal> {
        self.tx.commit().await?;
        let wake_ups = self.store.wake_ups();
        for change in self.changed {
            wake_ups.changed(change);
        }
        wake_ups.due(self.due);
        if self.probes {
            wake_ups.probes.notify_one();
        }
        if self.jobs {
            wake_ups.tasks.notify_one();
        }
        Ok(())
    }

    /// Notes that watchers must hear of an integration, and dispatch too if its configuration changed.
    pub(in crate::store) fn touch(&mut self, lane: LaneId, config: bool) {
        self.changed.push(Change { lane, config });
    }

    /// Notes that dispatch must look for probes.
    pub(in crate::store) fn wake_probes(&mut self) {
        self.probes = true;
    }

    /// Notes that dispatch must look for jobs.
    pub(in crate::store) fn wake_jobs(&mut self) {
        self.jobs = true;
    }

    /// Notes deliveries that became due: per lane and kind the earliest is enough.
    pub(in crate::store) fn became_due(&mut self, company: CompanyId, rows: &[NewDue]) {
        for row in rows {
            let lane = LaneId::new(company, row.integration_id);
            let (due_at, kind) = (moment(row.due_at), row.kind);
            match self.due.iter_mut().find(|hint| hint.lane == lane && hint.kind == kind) {
                Some(hint) => hint.due_at = hint.due_at.min(due_at),
                None => self.due.push(DueHint { lane, kind, due_at }),
            }
        }
    }
}
