//! Two at once: what one has read, another has changed before it writes.

use leadlined::{
    dispatch,
    store::{Error, delivery::read::Target},
};

use super::*;
use crate::{bench::wait_for_lock, invariants::check_invariants};

async fn scene() -> Scene {
    let (store, pool) = open().await;
    Scene::new(&store, &pool).await
}

fn held() -> Reason {
    Reason::HeldByOperator("test".to_owned())
}

impl Scene {
    async fn holds(&self, condition: &'static str) -> bool {
        sqlx::query_scalar(condition).fetch_one(&self.pool).await.unwrap()
    }

    async fn targets(&self, state: State) -> Vec<Target> {
        let filter =
            DeliveryFilter { company: Some(self.company), states: vec![state], ..DeliveryFilter::default() };
        self.store.targets(&filter).await.unwrap()
    }

    /// A lead whose delivery ended so.
    async fn ended(&mut self, end: PushEnd) {
        self.take(Step::Lead).await;
        self.push_one(end).await;
    }

    /// Claims the one delivery that is due and ends it.
    async fn push_one(&mut self, end: PushEnd) {
        self.claim(1).await;
        let item = self.working.pop().unwrap();
        self.end(&item, end, 0).await;
    }
}

#[tokio::test]
async fn a_step_of_a_job_that_another_daemon_has_taken_is_left_alone() {
    let mut scene = scene().await;
    scene.ended(PushEnd::Dead).await;
    let filter = DeliveryFilter {
        company: Some(scene.company),
        states: vec![State::Dead],
        ..DeliveryFilter::default()
    };
    let lanes = scene.store.job_lanes(&filter).await.unwrap();
    let mut command = scene.command().await;
    let work = JobWork::Retry { filter: &filter, re_render: false };
    let job = command.create_job(work, None, &lanes).await.unwrap();
    command.commit().await.unwrap();
    // Another daemon brings the delivery back, and it is dead again when this one gets the lock.
    let mut other = scene.pool.begin().await.unwrap();
    sqlx::query("UPDATE job SET position = last_id, released = 1").execute(&mut *other).await.unwrap();
    let step = dispatch::continue_job(&scene.store, scene.lane(), job);
    let rest = async {
        wait_for_lock(&scene.pool).await;
        other.commit().await.unwrap();
    };
    tokio::join!(async { step.await.unwrap() }, rest);
    assert!(scene.holds("SELECT NOT EXISTS (SELECT FROM due)").await, "it is pushed a second time");
    assert_eq!(scene.store.job(job).await.unwrap().released, 1);
    check_invariants(&scene.pool).await;
}

#[tokio::test]
async fn a_retry_leaves_alone_what_was_retried_after_it_looked() {
    for re_render in [false, true] {
        for end in [None, Some(PushEnd::Delivered)] {
            let mut scene = scene().await;
            scene.ended(PushEnd::Dead).await;
            let seen = scene.targets(State::Dead).await;
            scene.retry(0, false).await;
            if let Some(end) = end {
                scene.push_one(end).await;
            }
            let options = RetryOptions { re_render, ..RetryOptions::default() };
            let mut command = scene.command().await;
            let retried = command.retry(scene.company, &seen, options).await.unwrap();
            command.commit().await.unwrap();
            assert!(retried.is_empty(), "{re_render} {end:?}");
            check_invariants(&scene.pool).await;
            scene.drain().await;
            assert!(scene.holds("SELECT count(*) = 2 FROM attempt").await, "{re_render} {end:?}");
        }
    }
}

#[tokio::test]
async fn an_update_waits_for_a_push_in_flight_that_was_held() {
    for end in [PushEnd::Delivered, PushEnd::Retry] {
        let mut scene = scene().await;
        scene.ended(PushEnd::Delivered).await;
        scene.take(Step::Update(0)).await;
        scene.claim(1).await;
        let earlier = scene.targets(State::Pending).await.remove(0).id;
        let mut command = scene.command().await;
        assert_eq!(command.hold(scene.company, &[earlier], &held()).await.unwrap().running, 1);
        command.commit().await.unwrap();
        scene.take(Step::Update(0)).await;
        check_invariants(&scene.pool).await;
        assert!(scene.holds("SELECT NOT EXISTS (SELECT FROM due)").await, "it overtakes the push in flight");
        let item = scene.working.pop().unwrap();
        scene.end(&item, end, 0).await;
        check_invariants(&scene.pool).await;
        // Whether the push arrived decides whether the one before is final.
        let is_due = scene.holds("SELECT EXISTS (SELECT FROM due)").await;
        assert_eq!(is_due, matches!(end, PushEnd::Delivered), "{end:?}");
        scene.drain().await;
    }
}

#[tokio::test]
async fn what_is_given_back_stays_held_if_it_was_held_meanwhile() {
    for is_stop in [false, true] {
        let mut scene = scene().await;
        scene.take(Step::Lead).await;
        scene.claim(1).await;
        let item = scene.working[0].clone();
        let mut other = scene.pool.begin().await.unwrap();
        sqlx::query("SELECT FROM claim FOR UPDATE").execute(&mut *other).await.unwrap();
        let (store, daemon) = (scene.store.clone(), scene.daemon);
        let back = async {
            if is_stop {
                assert_eq!(store.release(daemon).await.unwrap(), 0);
            } else {
                store.give_back(daemon, &[item.claim], &[item.attempt.uuid()], Duration::ZERO).await.unwrap();
            }
        };
        let hold = async {
            wait_for_lock(&scene.pool).await;
            let mut command = scene.command().await;
            command.hold(scene.company, &[item.delivery.uuid()], &held()).await.unwrap();
            command.commit().await.unwrap();
            other.commit().await.unwrap();
        };
        tokio::join!(back, hold);
        check_invariants(&scene.pool).await;
        scene.release_all().await;
        assert!(scene.holds("SELECT count(*) = 1 FROM due").await, "it is pushed twice");
        check_invariants(&scene.pool).await;
    }
}

#[tokio::test]
async fn two_that_remove_an_integration_leave_nothing_behind() {
    let mut scene = scene().await;
    scene.ended(PushEnd::Delivered).await;
    let hide = "UPDATE integration SET enabled = false, deleted_at = now()";
    sqlx::query(hide).execute(&scene.pool).await.unwrap();
    // Another has removed the first batch and not the second when this one looks.
    let mut other = scene.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "WITH gone AS (DELETE FROM delivery RETURNING *)
         INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state, finished_at)
         SELECT company_id, gen_random_uuid(), integration_id, lead_id, event_id, event, false, state, finished_at
         FROM gone",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    let remove = async { scene.store.finish_deletions().await.unwrap() };
    let rest = async {
        wait_for_lock(&scene.pool).await;
        other.commit().await.unwrap();
    };
    let (left, ()) = tokio::join!(remove, rest);
    assert_eq!(left, 1, "a delivery was left behind for good");
    assert_eq!(scene.store.finish_deletions().await.unwrap(), 0);
    assert!(scene.holds("SELECT NOT EXISTS (SELECT FROM delivery)").await);
}

#[tokio::test]
async fn what_a_silent_server_was_told_is_told_again() {
    let mut scene = scene().await;
    let patient = scene.store.clone();
    let hasty = patient.clone().silent_at_most(Duration::from_millis(50));
    scene.take(Step::Lead).await;
    let lead = LeadId::generate();
    let event = scene.event(lead, EventKind::Created).await;
    scene.claim(1).await;
    let item = scene.working.pop().unwrap();
    // Answers of nothing that touches these come any more; more of them than the pools have connections.
    let mut silence = scene.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE lead, daemon, attempt IN EXCLUSIVE MODE").execute(&mut *silence).await.unwrap();
    let done = [finished(&item, PushEnd::Delivered, 0).unwrap()];
    for _ in 0..20 {
        let finish = hasty.finish(scene.daemon, &done, &[]).await;
        assert!(matches!(finish, Err(Error::Away(_))), "{finish:?}");
        let beat = hasty.beat(scene.daemon, LEASE_SECONDS).await;
        assert!(matches!(beat, Err(Error::Away(_))), "{beat:?}");
        let accept = hasty.accept(std::slice::from_ref(&event)).await;
        assert!(matches!(accept, Err(Error::Away(_))), "{accept:?}");
    }
    silence.commit().await.unwrap();
    assert!(patient.beat(scene.daemon, LEASE_SECONDS).await.unwrap().is_alive);
    patient.finish(scene.daemon, &done, &[item.claim]).await.unwrap();
    // Whether the server did in the end what it was told is unknown: it may say that it knows the lead.
    let again = patient.accept(&[event]).await.unwrap();
    assert!(matches!(again[..], [Flushed::Created | Flushed::Known]), "{again:?}");
    assert!(scene.holds("SELECT count(*) = 2 FROM lead").await);
    assert!(scene.holds("SELECT count(*) = 1 FROM attempt").await);
    check_invariants(&scene.pool).await;
}
