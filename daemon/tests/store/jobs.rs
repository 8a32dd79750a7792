//! Jobs: their counts are their own, and final.

use leadlined::{
    domain::{
        delivery::{State, Transition},
        ids::JobId,
        job::JobState,
    },
    store::{
        delivery::read::DeliveryFilter,
        job::{JobView, JobWork},
        queue::retry::RetryOptions,
    },
};

use super::bench::{Bench, dead};

impl Bench {
    /// A job that retries all the dead, and has brought them back.
    async fn job(&self) -> JobId {
        let filter = DeliveryFilter {
            company: Some(self.company),
            states: vec![State::Dead],
            ..DeliveryFilter::default()
        };
        let lanes = self.store.job_lanes(&filter).await.unwrap();
        let mut command = self.command().await;
        let work = JobWork::Retry { filter: &filter, re_render: false };
        let job = command.create_job(work, None, &lanes).await.unwrap();
        command.commit().await.unwrap();
        let part = self.store.job_part(self.lane(), job, 5).await.unwrap().unwrap();
        assert!(part.run.may_go_on());
        self.store.carry_job_on(&part).await.unwrap();
        job
    }

    async fn progress(&self, job: JobId) -> JobView {
        self.store.job(job).await.unwrap()
    }

    async fn counts(&self, job: JobId) -> [i64; 4] {
        let view = self.progress(job).await;
        [view.pending, view.delivered, view.dead, view.other]
    }
}

#[tokio::test]
async fn a_second_job_changes_nothing_of_what_the_first_came_to() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.pending().await;
        bench.push(&dead()).await;
    }
    let first = bench.job().await;
    assert_eq!(bench.counts(first).await, [3, 0, 0, 0]);
    let view = bench.progress(first).await;
    let places: Vec<_> = view.lanes.iter().map(|it| (it.lane, &*it.company_name, it.total)).collect();
    assert_eq!(places, [(bench.lane(), "The Old Barn", 3)]);
    let scope = view.scope.unwrap();
    assert!(scope.filter.states == [State::Dead] && scope.filter.company.is_none() && !scope.has_error);
    assert_eq!(bench.progress(first).await.finished_at, None, "three are on their way");
    bench.push(&Transition::Delivered).await;
    bench.push(&dead()).await;
    assert_eq!(
        (bench.counts(first).await, bench.progress(first).await.state.known()),
        ([1, 1, 1, 0], Some(JobState::Running))
    );
    bench.push(&dead()).await;
    let ended = bench.progress(first).await;
    assert_eq!((bench.counts(first).await, ended.state.known()), ([0, 1, 2, 0], Some(JobState::Done)));
    assert!(ended.finished_at.is_some());
    let second = bench.job().await;
    assert_eq!(bench.counts(second).await, [2, 0, 0, 0]);
    bench.push(&Transition::Delivered).await;
    bench.push(&dead()).await;
    assert_eq!((bench.counts(first).await, bench.counts(second).await), ([0, 1, 2, 0], [0, 1, 1, 0]));
    assert_eq!(bench.progress(first).await.finished_at, ended.finished_at);
    // An operator's retry, too, is nobody's but the operator's.
    let targets = bench.targets(State::Dead).await;
    let mut command = bench.command().await;
    command.retry(bench.company, &targets, RetryOptions::default()).await.unwrap();
    command.commit().await.unwrap();
    bench.push(&Transition::Delivered).await;
    assert_eq!((bench.counts(first).await, bench.counts(second).await), ([0, 1, 2, 0], [0, 1, 1, 0]));
}

#[tokio::test]
async fn what_a_later_push_ends_stays_dead_in_the_job_that_saw_it_die() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    let job = bench.job().await;
    bench.push(&dead()).await;
    bench.update(lead.id).await;
    bench.push(&Transition::Delivered).await;
    assert_eq!(bench.state(lead.deliveries[0]).await, "skipped");
    assert_eq!(bench.counts(job).await, [0, 0, 1, 0]);
}
