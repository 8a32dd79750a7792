//! What operators do to deliveries beside retrying them: hold, release, skip.

use leadline_proto::v1;
use tonic::{Request, Response};
use uuid::Uuid;

use super::{
    Control, Reply, check, mutate,
    targets::{AuditTally, Forecast, Selection, audited, batches, has_scope, refuse_unknown},
    words,
};
use crate::{
    domain::{
        delivery::{Reason, State},
        ids::{CompanyId, DeliveryId, JobId},
    },
    store::{
        delivery::read::Target,
        operator::{
            command::{Command, Mutation, Refusal},
            refusal::{Known, RefusalReason},
        },
        queue::hold::MoveOutcome,
    },
};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Hold,
    Release,
    Skip,
}

/// A request of any verb.
pub(super) struct MoveRequest {
    ids: Vec<String>,
    filter: Option<v1::DeliveryFilter>,
    dry_run: bool,
}

/// A request to move deliveries.
pub(super) trait Moving: mutate::Mutating {
    /// Its ids, its filter, and whether it only counts.
    fn asked(&self) -> (&[String], Option<&v1::DeliveryFilter>, bool);
}

/// What moving deliveries is answered with.
pub(super) struct MoveEstimate {
    count: u64,
    running: u64,
    sample: Vec<v1::Delivery>,
    /// How long pushing them will take, where they are released.
    seconds: f64,
    job: Option<JobId>,
}

impl From<MoveEstimate> for v1::HoldDeliveriesResponse {
    fn from(it: MoveEstimate) -> Self {
        Self { count: it.count, running: it.running, sample: it.sample }
    }
}

impl From<MoveEstimate> for v1::ReleaseDeliveriesResponse {
    fn from(it: MoveEstimate) -> Self {
        let estimated_duration = Some(words::seconds(it.seconds));
        Self { count: it.count, running: it.running, sample: it.sample, estimated_duration }
    }
}

impl From<MoveEstimate> for v1::SkipDeliveriesResponse {
    fn from(it: MoveEstimate) -> Self {
        let job_id = it.job.map(|job| job.to_string()).unwrap_or_default();
        Self { count: it.count, running: it.running, sample: it.sample, job_id }
    }
}

macro_rules! moving {
    ($($request:ident)*) => {$(
        impl Moving for v1::$request {
            fn asked(&self) -> (&[String], Option<&v1::DeliveryFilter>, bool) {
                (&self.ids, self.filter.as_ref(), self.dry_run)
            }
        }
    )*};
}

moving! { HoldDeliveriesRequest ReleaseDeliveriesRequest SkipDeliveriesRequest }

impl MoveRequest {
    pub(super) fn of(request: &impl Moving) -> Self {
        let (ids, filter, dry_run) = request.asked();
        Self { ids: ids.to_vec(), filter: filter.cloned(), dry_run }
    }
}

impl Control {
    pub(super) async fn move_deliveries<Q: mutate::Mutating, A: mutate::Repeatable + From<MoveEstimate>>(
        &self,
        verb: Verb,
        request: Request<Q>,
        asked: MoveRequest,
    ) -> Reply<A> {
        if asked.dry_run {
            let meant = self.to_move(verb, asked).await?;
            return Ok(Response::new(verb.estimate(self.forecast(&meant, None).await?).into()));
        }
        let (call, _) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        let filter = asked.filter.as_ref().map(audited);
        let mut meant = self.to_move(verb, asked).await?;
        let job = (verb == Verb::Skip && matches!(meant, Selection::Found { .. })).then(JobId::generate);
        let estimate = verb.estimate(self.forecast(&meant, None).await?);
        let (mut moved, mut tally) = (MoveOutcome::default(), AuditTally::of(&meant));
        let (mut last, mut after) = (None, None);
        loop {
            let page = self.next_page(&mut meant, after).await?;
            let Some(end) = page.last() else { break };
            after = Some(DeliveryId::from(end.id));
            tally.show(&page);
            // Each batch is safe to repeat: what it has moved is no longer in a state that it moves.
            for batch in batches(&page) {
                if let Some((company, batch)) = last.replace(batch) {
                    let mut command = self.store.batch(&call).await?;
                    let batch = ids(&batch);
                    add(&mut moved, verb.carry_out(&mut command, company, &batch, &call, job).await?);
                    note_skip(&mut command, job, &meant, (company, &batch)).await?;
                    tally.audit(&mut command, &call, filter.as_ref(), job).await?;
                    command.commit().await?;
                }
            }
        }
        self.carry_out(&call, |mut command| async {
            if let Some((company, batch)) = last {
                let batch = ids(&batch);
                add(&mut moved, verb.carry_out(&mut command, company, &batch, &call, job).await?);
                note_skip(&mut command, job, &meant, (company, &batch)).await?;
                tally.audit(&mut command, &call, filter.as_ref(), job).await?;
            }
            let (count, running) = (moved.changed, moved.running);
            let job = job.filter(|_| count > 0);
            Ok((command, MoveEstimate { count, running, job, ..estimate }.into()))
        })
        .await
    }

    /// The deliveries that a request means; refused if one of those named stands in another state.
    async fn to_move(&self, verb: Verb, asked: MoveRequest) -> Result<Selection, Refusal> {
        match (asked.ids, asked.filter) {
            (ids, Some(filter)) if ids.is_empty() => {
                has_scope(&filter)?;
                let mut found = self.delivery_filter(&filter).await?;
                found.states = verb.states_of(&filter, &found.states)?;
                self.found(found).await
            }
            (ids, None) if !ids.is_empty() => {
                let targets = self.named(&ids).await?;
                targets.iter().try_for_each(|target| verb.refuse(target))?;
                Ok(Selection::Named(targets))
            }
            (_, None) => check::invalid(format!("name deliveries to {}, or send a filter", verb.word())),
            _ => check::invalid("send either ids or a filter, not both"),
        }
    }
}

impl Verb {
    /// Only what is released is pushed, and takes time.
    fn estimate(self, forecast: Forecast) -> MoveEstimate {
        let Forecast { count, seconds, sample } = forecast;
        let seconds = if self == Self::Release { seconds } else { 0.0 };
        MoveEstimate { count, running: 0, sample, seconds, job: None }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Skip => "skip",
        }
    }

    /// In which states a delivery can be moved so.
    const fn states(self) -> &'static [State] {
        match self {
            Self::Hold => &[State::Pending],
            Self::Release => &[State::Held],
            Self::Skip => &State::UNDELIVERED,
        }
    }

    /// The states that a filter means: those that can be moved so, unless it names fewer.
    fn states_of(self, asked: &v1::DeliveryFilter, named: &[State]) -> Result<Vec<State>, Refusal> {
        if asked.undelivered || named.is_empty() {
            return Ok(self.states().to_vec());
        }
        match named.iter().find(|state| !self.states().contains(state)) {
            Some(state) => {
                Err(self.refusal(&format!("{state} deliveries cannot be {}", self.done()), *state).into())
            }
            None => Ok(named.to_vec()),
        }
    }

    /// Refuses a delivery that was named and stands in another state.
    fn refuse(self, target: &Target) -> Result<(), Refusal> {
        let id = DeliveryId::from(target.id);
        let Some(state) = target.state.known() else { return Err(refuse_unknown(target)) };
        if self.states().contains(&state) {
            return Ok(());
        }
        let refusal = self.refusal(&format!("delivery {id} is {state} and cannot be {}", self.done()), state);
        Err(refusal.about("delivery", id).into())
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "released",
            Self::Skip => "skipped",
        }
    }

    fn refusal(self, what: &str, state: State) -> Known {
        let way_out = match (self, state) {
            (Self::Hold, State::Held) => "nothing is left to do",
            (Self::Hold, State::Dead) => "skip it so that nothing returns to it",
            (Self::Release, State::Dead | State::Delivered) => "retry it to push it again",
            (Self::Release, State::Pending) => "it is pushed by itself",
            _ => "nothing is pushed any more",
        };
        let reason = if state == State::Pending {
            RefusalReason::DeliveryPending
        } else {
            RefusalReason::DeliveryState
        };
        let states: Vec<&str> = self.states().iter().map(|state| state.as_str()).collect();
        Known::new(reason, format!("{what}, only what is {} can; {way_out}", states.join(" or ")))
    }

    async fn carry_out(
        self,
        command: &mut Command,
        company: CompanyId,
        batch: &[Uuid],
        call: &Mutation,
        job: Option<JobId>,
    ) -> Result<MoveOutcome, Refusal> {
        match self {
            Self::Hold => command.hold(company, batch, &Reason::HeldByOperator(call.operator.clone())).await,
            Self::Release => command.release(company, batch).await,
            Self::Skip => command.skip_for(company, batch, &Reason::skipped(&call.operator), job).await,
        }
    }
}

/// Writes a batch of a bulk skip down as part of the job by which it can be undone.
async fn note_skip(
    command: &mut Command,
    job: Option<JobId>,
    meant: &Selection,
    batch: (CompanyId, &[Uuid]),
) -> Result<(), Refusal> {
    match (job, meant) {
        (Some(job), Selection::Found { filter, .. }) => command.note_skip(job, filter, batch).await,
        _ => Ok(()),
    }
}

fn add(sum: &mut MoveOutcome, more: MoveOutcome) {
    sum.changed += more.changed;
    sum.running += more.running;
}

/// Which deliveries these are.
fn ids(targets: &[Target]) -> Vec<Uuid> {
    targets.iter().map(|target| target.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IntegrationId;

    #[test]
    fn what_cannot_be_moved_is_refused_with_the_way_out() {
        let target = |state: State| Target {
            company_id: 7,
            integration_id: IntegrationId::generate().uuid(),
            id: Uuid::nil(),
            state: state.into(),
            reason: None,
            integration_name: "crm".to_owned(),
            enabled: true,
        };
        let nil = DeliveryId::from(Uuid::nil());
        for (verb, state, told) in [
            (Verb::Hold, State::Pending, None),
            (
                Verb::Hold,
                State::Held,
                Some("and cannot be held, only what is pending can; nothing is left to do"),
            ),
            (
                Verb::Hold,
                State::Dead,
                Some("and cannot be held, only what is pending can; skip it so that nothing returns to it"),
            ),
            (Verb::Release, State::Held, None),
            (
                Verb::Release,
                State::Dead,
                Some("and cannot be released, only what is held can; retry it to push it again"),
            ),
            (
                Verb::Release,
                State::Skipped,
                Some("and cannot be released, only what is held can; nothing is pushed any more"),
            ),
            (Verb::Skip, State::Pending, None),
            (Verb::Skip, State::Held, None),
            (Verb::Skip, State::Dead, None),
            (
                Verb::Skip,
                State::Delivered,
                Some(
                    "and cannot be skipped, only what is pending or held or dead can; nothing is pushed any more",
                ),
            ),
        ] {
            let refusal = verb.refuse(&target(state)).err().map(|refusal| refusal.to_string());
            let told = told.map(|told| format!("delivery {nil} is {state} {told}"));
            assert_eq!(refusal, told, "{verb:?} {state:?}");
        }
    }

    #[test]
    fn a_filter_means_what_can_be_moved_unless_it_names_states() {
        let asked = v1::DeliveryFilter::default();
        assert_eq!(Verb::Skip.states_of(&asked, &[]).unwrap(), State::UNDELIVERED);
        assert_eq!(Verb::Skip.states_of(&asked, &[State::Held]).unwrap(), [State::Held]);
        let undelivered = v1::DeliveryFilter { undelivered: true, ..asked.clone() };
        assert_eq!(Verb::Hold.states_of(&undelivered, &State::UNDELIVERED).unwrap(), [State::Pending]);
        let refusal = Verb::Skip.states_of(&asked, &[State::Delivered]).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "delivered deliveries cannot be skipped, only what is pending or held or dead can; nothing is pushed any more"
        );
    }
}
