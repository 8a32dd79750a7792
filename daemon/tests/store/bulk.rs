//! Jobs, arm by arm: what they keep of their filter, how fast they go, how they are cancelled and resumed, and whose they
//! are.

use std::time::Duration;

use leadlined::{
    domain::{
        delivery::{State, Transition},
        ids::{CompanyId, JobId},
        job::{JobKind, JobState},
        lane::LaneId,
        outcome::FailureClass,
        why,
    },
    store::{
        delivery::read::DeliveryFilter,
        job::{JobView, JobWork},
        operator::command::Refusal,
    },
};

use super::{
    bench::{Bench, COMMANDS, dead},
    invariants::check_invariants,
};

impl Bench {
    fn dead_ones(&self) -> DeliveryFilter {
        DeliveryFilter { company: Some(self.company), states: vec![State::Dead], ..DeliveryFilter::default() }
    }

    async fn dead_leads(&mut self, count: usize) {
        for _ in 0..count {
            self.pending().await;
            self.push(&dead()).await;
        }
    }

    async fn start(&self, filter: &DeliveryFilter, re_render: bool, per_second: Option<f64>) -> JobId {
        let lanes = self.store.job_lanes(filter).await.unwrap();
        let mut command = self.command().await;
        let work = JobWork::Retry { filter, re_render };
        let job = command.create_job(work, per_second, &lanes).await.unwrap();
        command.commit().await.unwrap();
        job
    }

    /// Takes a step of a job in the lane of this bench. False if it does not run there any more.
    async fn step(&self, job: JobId, batch: usize) -> bool {
        let Some(part) = self.store.job_part(self.lane(), job, batch).await.unwrap() else { return false };
        self.store.carry_job_on(&part).await.unwrap();
        true
    }

    async fn cancel(&self, job: JobId) -> Vec<CompanyId> {
        let mut command = self.command().await;
        let companies = command.cancel_job(job).await.unwrap();
        command.commit().await.unwrap();
        companies
    }

    async fn resume(&self, job: JobId) -> Result<Vec<CompanyId>, Refusal> {
        let mut command = self.command().await;
        let companies = command.resume_job(job).await?;
        command.commit().await?;
        Ok(companies)
    }

    async fn view(&self, job: JobId) -> JobView {
        self.store.job(job).await.unwrap()
    }
}

#[tokio::test]
async fn a_job_goes_a_batch_at_a_time_up_to_what_there_was_when_it_began() {
    let mut bench = Bench::new().await;
    bench.dead_leads(5).await;
    let job = bench.start(&bench.dead_ones(), false, None).await;
    // What dies after it began is not its business.
    bench.dead_leads(1).await;
    for (released, is_over) in [(2, false), (4, false), (5, true)] {
        assert!(bench.step(job, 2).await);
        let view = bench.view(job).await;
        assert_eq!((view.released, view.pending), (released, released));
        assert_eq!(bench.count("job WHERE state = 'done'").await, i64::from(is_over));
    }
    assert!(!bench.step(job, 2).await, "it is over");
    assert_eq!(bench.count("undelivered").await, 1);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn a_lane_that_is_full_closed_or_ahead_of_its_pace_keeps_a_job_waiting() {
    let mut bench = Bench::new().await;
    bench.dead_leads(4).await;
    let job = bench.start(&bench.dead_ones(), false, Some(1.5)).await;
    let run = async || bench.store.job_part(bench.lane(), job, 4).await.unwrap().unwrap().run;
    assert!(run().await.may_go_on());
    for (close, open) in COMMANDS {
        bench.sql(&format!("UPDATE {close}")).await;
        assert!(!run().await.may_go_on(), "{close}");
        let kept = bench.store.closed_lane_of_job(job).await.unwrap().unwrap();
        assert!(kept.integration == "crm" && why::idle_lane(&kept).is_some(), "{kept:?}");
        bench.sql(&format!("UPDATE {open}")).await;
        assert_eq!(bench.store.closed_lane_of_job(job).await.unwrap(), None);
    }
    assert!(run().await.may_go_on());
    bench.step(job, 4).await;
    let paced = run().await;
    // Two of them at a second and a half each: what a late look missed is caught up with.
    assert_eq!((paced.waiting, paced.per_second, bench.view(job).await.released), (2, Some(1.5), 2));
    // What came back at the same moment tells when that was.
    let until = "(SELECT paced_until BETWEEN q.at - interval '1 second' AND q.at FROM job, (SELECT min(due_at) AS at FROM due) q)";
    assert!(bench.holds(until).await);
    bench.sql("UPDATE job SET paced_until = now() + interval '1 minute'").await;
    assert!(run().await.is_paced);
    bench.sql("UPDATE job SET paced_until = now() - interval '1 second'").await;
    assert!(!run().await.is_paced);
    // Only what is due now fills a lane.
    bench.sql("UPDATE due SET due_at = now() + interval '1 hour'").await;
    assert_eq!(run().await.waiting, 0);
}

#[tokio::test]
async fn a_job_finds_by_all_that_its_filter_says() {
    let mut bench = Bench::new().await;
    bench.dead_leads(3).await;
    let ids: Vec<_> = bench.targets(State::Dead).await.into_iter().map(|target| target.id).collect();
    let lead: uuid::Uuid = sqlx::query_scalar("SELECT lead_id FROM delivery WHERE id = $1")
        .bind(ids[1])
        .fetch_one(&bench.pool)
        .await
        .unwrap();
    bench
        .sql(&format!(
            "UPDATE undelivered SET class = 'transient', error = 'Late' WHERE delivery_id = '{}';
             UPDATE undelivered SET since = now() - interval '5 hours' WHERE delivery_id = '{}';
             UPDATE delivery SET created_at = now() - interval '5 hours' WHERE id = '{}'",
            ids[1], ids[0], ids[2]
        ))
        .await;
    bench.name_all_causes().await;
    let cause: i64 = sqlx::query_scalar("SELECT cause_id FROM undelivered WHERE class = 'transient'")
        .fetch_one(&bench.pool)
        .await
        .unwrap();
    let before = Some(jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1));
    let all = bench.dead_ones();
    for (what, filter, found) in [
        ("all", all.clone(), vec![0, 1, 2]),
        ("lead", DeliveryFilter { lead: Some(lead.into()), ..all.clone() }, vec![1]),
        ("class", DeliveryFilter { class: Some(FailureClass::Transient), ..all.clone() }, vec![1]),
        ("error", DeliveryFilter { error: Some("late".into()), ..all.clone() }, vec![1]),
        (
            "cause",
            DeliveryFilter { cause: Some(leadlined::domain::cause::CauseId(cause)), ..all.clone() },
            vec![1],
        ),
        ("since", DeliveryFilter { since: before, ..all.clone() }, vec![0, 1]),
        ("until", DeliveryFilter { until: before, ..all.clone() }, vec![2]),
        ("died since", DeliveryFilter { died_since: before, ..all.clone() }, vec![1, 2]),
        ("died until", DeliveryFilter { died_until: before, ..all.clone() }, vec![0]),
    ] {
        let job = bench.start(&filter, false, None).await;
        let part = bench.store.job_part(bench.lane(), job, 9).await.unwrap().unwrap();
        // A step that is never committed: the next filter finds the same ones.
        let shown = format!("{part:?}");
        let view = bench.view(job).await;
        assert_eq!(view.total, found.len() as i64, "{what}");
        bench.store.carry_job_on(&part).await.unwrap();
        let back: Vec<uuid::Uuid> =
            sqlx::query_scalar("SELECT id FROM delivery WHERE job_id = $1 ORDER BY id")
                .bind(job.uuid())
                .fetch_all(&bench.pool)
                .await
                .unwrap();
        assert_eq!(back, found.iter().map(|n: &usize| ids[*n]).collect::<Vec<_>>(), "{what}: {shown}");
        bench.undo(&ids).await;
    }
}

impl Bench {
    /// Puts deliveries back among the dead, as they were.
    async fn undo(&self, ids: &[uuid::Uuid]) {
        self.sql(
            "DELETE FROM due;
             INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error)
             SELECT company_id, integration_id, id, lead_id, 'dead', 'rejected', 'out of order' FROM delivery
             WHERE state = 'pending';
             UPDATE delivery SET state = 'dead', reason_code = 'failed', finished_at = now(), due_at = NULL, job_id = NULL
             WHERE state = 'pending'",
        )
        .await;
        self.sql(&format!(
            "UPDATE undelivered SET class = 'transient', error = 'Late' WHERE delivery_id = '{}';
             UPDATE undelivered SET since = now() - interval '5 hours' WHERE delivery_id = '{}'",
            ids[1], ids[0]
        ))
        .await;
        self.name_all_causes().await;
    }
}

#[tokio::test]
async fn a_job_counts_what_it_left_alone() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    bench.dead_leads(1).await;
    let job = bench.start(&bench.dead_ones(), false, None).await;
    // An update of its lead is on its way: what is older must not follow it.
    bench.update(lead.id).await;
    bench.step(job, 9).await;
    let view = bench.view(job).await;
    assert_eq!((view.total, view.released, view.left_alone), (2, 1, 1));
    assert_eq!(bench.state(lead.deliveries[0]).await, "dead");
}

#[tokio::test]
async fn a_job_does_not_push_twice_what_dies_again_under_it() {
    let mut bench = Bench::new().await;
    bench.dead_leads(2).await;
    let job = bench.start(&bench.dead_ones(), false, None).await;
    bench.step(job, 1).await;
    bench.push(&dead()).await;
    bench.sql("UPDATE job SET position = NULL").await;
    bench.step(job, 9).await;
    let view = bench.view(job).await;
    assert_eq!((view.released, view.dead, view.pending), (2, 1, 1));
}

#[tokio::test]
async fn what_is_rendered_anew_by_a_job_is_the_jobs() {
    let mut bench = Bench::new().await;
    bench.dead_leads(2).await;
    let job = bench.start(&bench.dead_ones(), true, None).await;
    assert!(bench.view(job).await.re_render);
    bench.step(job, 9).await;
    let view = bench.view(job).await;
    assert_eq!((view.released, view.pending), (2, 2));
    assert_eq!(bench.count("delivery WHERE reason_code = 'replaced'").await, 2);
    bench.push(&Transition::Delivered).await;
    bench.push(&dead()).await;
    let view = bench.view(job).await;
    assert_eq!((view.delivered, view.dead, view.state.known()), (1, 1, Some(JobState::Done)));
    assert!(view.finished_at.is_some());
}

#[tokio::test]
async fn a_job_over_what_waits_hurries_it_before_others() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let later = Transition::Retry { after: Duration::from_secs(3600), retries: 3, waits: 0, throttle: false };
    bench.push(&later).await;
    let filter = DeliveryFilter {
        company: Some(bench.company),
        states: vec![State::Pending],
        waiting: true,
        ..DeliveryFilter::default()
    };
    let job = bench.start(&filter, false, None).await;
    bench.step(job, 9).await;
    assert_eq!(bench.count("due WHERE kind = 0 AND trigger = 'manual' AND due_at <= now()").await, 1);
    assert_eq!(bench.count("delivery WHERE retries = 0").await, 1);
}

/// Its counts would not add up: those of an erased lead were not among what was found.
#[tokio::test]
async fn a_job_passes_over_what_is_of_an_erased_lead() {
    let mut bench = Bench::new().await;
    for _ in 0..2 {
        bench.pending().await;
        bench.push(&Transition::Delivered).await;
    }
    let erased = bench.pending().await.id;
    bench.push(&Transition::Delivered).await;
    let mut command = bench.command().await;
    command.erase_lead(None, &erased.to_string()).await.unwrap();
    command.commit().await.unwrap();
    let filter = DeliveryFilter { states: vec![State::Delivered], known_only: true, ..bench.dead_ones() };
    let job = bench.start(&filter, false, None).await;
    bench.step(job, 9).await;
    let view = bench.view(job).await;
    assert_eq!((view.total, view.released, view.left_alone), (2, 2, 0));
}

#[tokio::test]
async fn a_cancelled_job_can_be_resumed_unless_its_text_was_forgotten() {
    let mut bench = Bench::new().await;
    bench.dead_leads(3).await;
    let job = bench.start(&bench.dead_ones(), false, None).await;
    bench.step(job, 1).await;
    assert_eq!(bench.cancel(job).await, [bench.company]);
    assert!(!bench.step(job, 9).await);
    let view = bench.view(job).await;
    assert_eq!((view.state.known(), view.released), (Some(JobState::Cancelled), 1));
    assert_eq!(bench.resume(job).await.unwrap(), [bench.company]);
    bench.step(job, 9).await;
    assert_eq!(bench.view(job).await.released, 3, "it goes on where it was");
    let refusal = bench.resume(job).await.unwrap_err().to_string();
    assert_eq!(refusal, format!("job {job} was not cancelled: there is nothing to resume"));
    let unknown = JobId::generate();
    assert!(matches!(bench.resume(unknown).await, Err(Refusal::State(_))));
    assert_eq!(bench.cancel(unknown).await, []);
    // What was typed to find deliveries may name a person.
    bench.sql("DELETE FROM due").await;
    bench.dead_leads(1).await;
    let filter = DeliveryFilter { error: Some("out of".into()), ..bench.dead_ones() };
    let job = bench.start(&filter, false, None).await;
    assert_eq!(bench.count("job WHERE filter::text LIKE '%out of%'").await, 1);
    bench.cancel(job).await;
    assert_eq!(bench.count("job WHERE filter::text LIKE '%out of%'").await, 0);
    let refusal = bench.resume(job).await.unwrap_err().to_string();
    let expected = format!(
        "job {job} cannot be resumed: the error text that it looked for was forgotten with it; start another"
    );
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn what_was_typed_to_find_deliveries_is_forgotten_with_the_last_step() {
    let mut bench = Bench::new().await;
    bench.dead_leads(1).await;
    let filter = DeliveryFilter { error: Some("out of".into()), ..bench.dead_ones() };
    let job = bench.start(&filter, false, None).await;
    bench.step(job, 9).await;
    assert_eq!(bench.count("job WHERE filter::text LIKE '%out of%'").await, 0);
    assert_eq!(bench.view(job).await.released, 1);
}

#[tokio::test]
async fn a_job_of_two_companies_is_shown_to_neither_alone() {
    let mut bench = Bench::new().await;
    bench.dead_leads(1).await;
    let (own, crm) = (bench.company, bench.crm);
    let other = bench.add_company("The Mill").await;
    let mill = bench.integration(other, "mill").await;
    (bench.company, bench.crm) = (other, mill);
    bench.dead_leads(1).await;
    let all = DeliveryFilter { states: vec![State::Dead], ..DeliveryFilter::default() };
    let both = bench.start(&all, false, None).await;
    let theirs = bench.start(&bench.dead_ones(), false, None).await;
    let list = async |only, after| {
        let jobs = bench.store.jobs(only, after, 10).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None).await, [theirs, both]);
    assert_eq!(list(None, Some(theirs)).await, [both]);
    assert_eq!(list(Some(other), None).await, [theirs]);
    assert_eq!(list(Some(own), None).await, []);
    let view = bench.view(both).await;
    assert_eq!((view.lanes.len(), view.total, view.kind.known()), (2, 2, Some(JobKind::Retry)));
    let lanes: Vec<_> = view.lanes.iter().map(|place| place.lane).collect();
    assert_eq!(lanes, [LaneId::new(other, mill), LaneId::new(own, crm)], "by company and name");
    // It is over when it is over in all its lanes.
    bench.step(both, 9).await;
    bench.push(&Transition::Delivered).await;
    assert_eq!(bench.view(both).await.state, JobState::Running);
    assert_eq!(bench.cancel(both).await, [own], "only one lane was left");
    assert_eq!(bench.view(both).await.state, JobState::Cancelled);
    let unknown = JobId::generate();
    assert_eq!(bench.store.job(unknown).await.unwrap_err().to_string(), format!("no job {unknown}"));
}

#[tokio::test]
async fn a_job_that_a_command_keeps_from_ending_says_so() {
    let mut bench = Bench::new().await;
    bench.dead_leads(2).await;
    let job = bench.start(&bench.dead_ones(), false, None).await;
    bench.step(job, 9).await;
    let oldest = bench.targets(State::Pending).await[0].id;
    let kept = async || bench.store.kept_of_job(job).await.unwrap().map(|id| id.uuid());
    assert_eq!(kept().await, None);
    for (close, open) in COMMANDS {
        bench.sql(&format!("UPDATE {close}")).await;
        assert_eq!(kept().await, Some(oldest), "{close}");
        bench.sql(&format!("UPDATE {open}")).await;
    }
    // A pause that the target asked for ends by itself.
    bench.sql("UPDATE integration SET throttled_until = now() + interval '1 hour'").await;
    assert_eq!(kept().await, None);
}

#[tokio::test]
async fn a_step_that_another_daemon_took_is_not_taken_again() {
    let mut bench = Bench::new().await;
    bench.dead_leads(2).await;
    let job = bench.start(&bench.dead_ones(), false, None).await;
    let part = bench.store.job_part(bench.lane(), job, 1).await.unwrap().unwrap();
    let same = bench.store.job_part(bench.lane(), job, 1).await.unwrap().unwrap();
    bench.store.carry_job_on(&part).await.unwrap();
    bench.store.carry_job_on(&same).await.unwrap();
    assert_eq!(bench.view(job).await.released, 1);
}
