//! Steps that operators, jobs and the sweep take.

use super::*;

impl Scene {
    pub(super) async fn retry(&mut self, n: usize, re_render: bool) {
        let options = RetryOptions { re_render, ..RetryOptions::default() };
        let filter = DeliveryFilter { company: Some(self.company), ..DeliveryFilter::default() };
        let targets = self.store.targets(&filter).await.unwrap();
        if targets.is_empty() {
            return;
        }
        let target = targets[n % targets.len()].clone();
        let mut command = self.command().await;
        match command.retry(self.company, &[target], options).await {
            // An update of its lead is on its way, or what is to be rendered anew is of a kind that nobody knows yet.
            Err(Refusal::State(_) | Refusal::Store(Error::UnknownWord { .. })) => return,
            retried => drop(retried.unwrap()),
        }
        command.commit().await.unwrap();
    }

    pub(super) async fn sweep(&mut self) {
        let old = self.dead_of_age().await;
        self.store.start_sweep(self.lane()).await.unwrap();
        dispatch::continue_sweep(&self.store, self.lane()).await.unwrap();
        assert_eq!(self.dead_of_age().await, old, "the sweep leaves alone what is too old");
    }

    pub(super) async fn job(&mut self, cancel: bool) {
        let filter = DeliveryFilter {
            company: Some(self.company),
            states: vec![State::Dead],
            ..DeliveryFilter::default()
        };
        let lanes = self.store.job_lanes(&filter).await.unwrap();
        if lanes.is_empty() {
            return;
        }
        let mut command = self.command().await;
        let work = JobWork::Retry { filter: &filter, re_render: cancel };
        let job = command.create_job(work, None, &lanes).await.unwrap();
        command.commit().await.unwrap();
        dispatch::continue_job(&self.store, self.lane(), job).await.unwrap();
        self.jobs.push((job, 0));
        if cancel {
            let mut command = self.command().await;
            command.cancel_job(job).await.unwrap();
            command.commit().await.unwrap();
        }
    }

    pub(super) async fn move_one(&mut self, n: usize, how: Move) {
        let filter = DeliveryFilter { company: Some(self.company), ..DeliveryFilter::default() };
        let targets = self.store.targets(&filter).await.unwrap();
        if targets.is_empty() {
            return;
        }
        let target = targets[n % targets.len()].id;
        let mut command = self.command().await;
        let moved = match how {
            Move::Hold => {
                command.hold(self.company, &[target], &Reason::HeldByOperator("test".to_owned())).await
            }
            Move::Release => command.release(self.company, &[target]).await,
            Move::Skip => command.skip(self.company, &[target], &Reason::skipped("test")).await,
            Move::Unskip => command.unskip(self.company, &[target]).await,
        };
        moved.unwrap();
        command.commit().await.unwrap();
    }
}
