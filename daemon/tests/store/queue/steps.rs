//! What can happen to the queue, how often each of it is tried, and what an attempt comes to.

use super::*;

/// What can happen. A number chooses among what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Lead,
    Update(usize),
    Claim(i32),
    /// With or without the answer of a first try lost.
    Finish(usize, PushEnd, bool),
    GiveBack(usize),
    /// Rendered anew or not.
    Retry(usize, bool),
    /// An operator pushes a lead anew.
    Push(usize),
    /// The sweep comes, or goes on.
    Sweep,
    /// All the dead are retried as a job, which goes a step or is cancelled.
    Job(bool),
    Disable,
    Enable(Held),
    /// An operator does so to one delivery, in whatever state it is.
    Move(usize, Move),
    /// The daemon dies, the next one takes over; what it was pushing ends too late.
    Die,
    /// The daemon's lease runs out while it works.
    Lapse(Lapse),
    /// Everything that there is comes to an age that the sweep does not return to.
    Age,
    /// The integration is deleted, whatever is on its way to it; another one takes its place.
    Delete,
    /// The daemon stops in order.
    Stop,
    /// It is looked whether every delivery stands where its state says.
    Mend,
    /// One stands nowhere, and is found.
    Strand(usize),
    /// One is queued in a word that nobody knows yet: a trigger, a line or an event.
    Strange(usize),
    /// An operator opens the lane and pushes what waits.
    Lift,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum PushEnd {
    Delivered,
    Retry,
    Dead,
    /// Dead, and the sweep comes back.
    Exhausted,
    /// The whole lane is to wait for an hour.
    Throttled,
}

/// What follows when a lease has run out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lapse {
    /// Nobody noticed, and the daemon goes on.
    Unseen,
    /// Another daemon takes over; so many of the pushes end before it has the claims, the others after.
    Taken(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Hold,
    Release,
    Skip,
    Unskip,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Keep,
    Release,
    Skip,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        4 => Just(PushEnd::Delivered),
        4 => Just(PushEnd::Retry),
        4 => Just(PushEnd::Dead),
        4 => Just(PushEnd::Exhausted),
        1 => Just(PushEnd::Throttled),
    ];
    let held = prop_oneof![Just(Held::Keep), Just(Held::Release), Just(Held::Skip)];
    let moved = prop_oneof![Just(Move::Hold), Just(Move::Release), Just(Move::Skip), Just(Move::Unskip)];
    let lapse = prop_oneof![1 => Just(Lapse::Unseen), 3 => (0..3_usize).prop_map(Lapse::Taken)];
    prop_oneof![
        1 => Just(Step::Lead),
        4 => any::<usize>().prop_map(Step::Update),
        4 => (1..3_i32).prop_map(Step::Claim),
        6 => (any::<usize>(), end, any::<bool>()).prop_map(|(n, end, again)| Step::Finish(n, end, again)),
        1 => any::<usize>().prop_map(Step::GiveBack),
        3 => any::<(usize, bool)>().prop_map(|(n, anew)| Step::Retry(n, anew)),
        1 => any::<usize>().prop_map(Step::Push),
        3 => Just(Step::Sweep),
        2 => any::<bool>().prop_map(Step::Job),
        2 => Just(Step::Disable),
        3 => held.prop_map(Step::Enable),
        4 => (any::<usize>(), moved).prop_map(|(n, how)| Step::Move(n, how)),
        1 => Just(Step::Die),
        2 => lapse.prop_map(Step::Lapse),
        1 => Just(Step::Age),
        1 => Just(Step::Delete),
        1 => Just(Step::Stop),
        1 => Just(Step::Mend),
        1 => any::<usize>().prop_map(Step::Strand),
        1 => any::<usize>().prop_map(Step::Strange),
        1 => Just(Step::Lift),
    ]
}

/// What the finisher is given when an item ends so; nothing if its delivery is gone or final.
pub(super) fn finished(item: &Claimed, end: PushEnd, died: i16) -> Option<Finished> {
    let mut claimed = item.clone();
    let mut pending = claimed.pending.take()?;
    let transition = match end {
        PushEnd::Delivered => Transition::Delivered,
        PushEnd::Retry => Transition::Retry { after: Duration::ZERO, retries: 1, waits: 0, throttle: false },
        PushEnd::Throttled => {
            Transition::Retry { after: Duration::from_secs(3600), retries: 0, waits: 0, throttle: true }
        }
        PushEnd::Dead => Transition::Dead { reason: Reason::Failed(FailureClass::Rejected), throttle: None },
        PushEnd::Exhausted => {
            Transition::Dead { reason: Reason::Failed(FailureClass::Transient), throttle: None }
        }
    };
    let failure = match end {
        PushEnd::Delivered => None,
        PushEnd::Throttled => Some(Failure::new(FailureClass::Throttled, "slow down")),
        PushEnd::Retry | PushEnd::Exhausted => Some(Failure::new(FailureClass::Transient, "out of order")),
        PushEnd::Dead => Some(Failure::new(FailureClass::Rejected, "no such field")),
    };
    let outcome = failure.map_or(Outcome::Delivered, Outcome::Failed);
    pending.crashes += died;
    Some(Finished {
        config_version: pending.version,
        claimed,
        pending,
        result: AttemptResult { took: Duration::from_millis(1), ..AttemptResult::without_call(outcome) },
        transition,
        verbatim: false,
    })
}
