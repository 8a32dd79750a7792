//! What brings final deliveries back, a step at a time: the sweep and jobs. What is decided is the domain's, what is
//! read and written the store's.

use crate::{
    domain::{ids::JobId, lane::LaneId, sweep::SweepStep},
    store::{Error, Store},
};

/// Continues a run of the sweep: waits for the canary, brings back the next ones, or ends.
pub async fn continue_sweep(store: &Store, lane: LaneId) -> Result<(), Error> {
    // The integration may be gone, and what was swept with it.
    let Some(pace) = store.pace(lane).await? else { return store.end_sweep(lane).await };
    let Some(run) = store.sweep_run(lane, pace.batch()).await? else { return Ok(()) };
    match run.next() {
        SweepStep::Wait => Ok(()),
        SweepStep::Release if store.release_swept(lane, pace.batch()).await? > 0 => Ok(()),
        SweepStep::Release | SweepStep::End => store.end_sweep(lane).await,
    }
}

/// Brings back the next deliveries of one lane of a job, if it has room for them.
pub async fn continue_job(store: &Store, lane: LaneId, job: JobId) -> Result<(), Error> {
    let Some(pace) = store.pace(lane).await? else { return Ok(()) };
    match store.job_part(lane, job, pace.batch()).await? {
        Some(part) if part.run.may_go_on() => store.carry_job_on(&part).await,
        _ => Ok(()),
    }
}
