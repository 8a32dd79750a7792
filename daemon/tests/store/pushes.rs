//! Known leads pushed to an integration: which, in which order, and how far a job is with them.

use leadlined::{
    domain::{delivery::Transition, ids::LeadId, job::JobState, lane::LaneId},
    store::{job::JobWork, queue::push::Choice},
};

use super::bench::{Bench, dead};

/// Three leads at the first integration, of which one arrived, one died and one is on its way; and a second integration
/// that came later.
async fn three_leads() -> (Bench, [LeadId; 3], LaneId) {
    let mut bench = Bench::new().await;
    let mut leads = [LeadId::generate(); 3];
    for (lead, how) in leads.iter_mut().zip([Some(Transition::Delivered), Some(dead()), None]) {
        *lead = bench.pending().await.id;
        if let Some(how) = how {
            bench.push(&how).await;
        }
    }
    let late = bench.integration(bench.company, "late").await;
    let lane = LaneId::new(bench.company, late);
    (bench, leads, lane)
}

#[tokio::test]
async fn leads_are_chosen_by_what_stands_where_they_go() {
    let (bench, leads, late) = three_leads().await;
    let mut both = vec![bench.crm, late.integration];
    both.sort_unstable();
    assert_eq!(bench.store.integrations_to_push(bench.company).await.unwrap(), both);
    let chosen = async |choice| {
        let (mut lanes, count, first) =
            bench.store.push_lanes(bench.company, &both, choice, 2).await.unwrap();
        lanes.sort_unstable_by_key(|lane| lane.id.integration != bench.crm);
        let lanes = lanes.iter().map(|lane| (lane.id, lane.total, LeadId::from(lane.last)));
        (lanes.collect::<Vec<_>>(), count, first)
    };
    let missing = chosen(Choice::Missing).await;
    assert_eq!(missing, (vec![(late, 3, leads[2])], 3, leads[..2].to_vec()));
    let unsynced = chosen(Choice::Unsynced).await;
    let lanes = vec![(bench.lane(), 1, leads[1]), (late, 2, leads[2])];
    assert_eq!(unsynced, (lanes, 2, leads[1..].to_vec()));
    bench.sql("UPDATE integration SET events = '{lead.updated}' WHERE name = 'late'").await;
    assert_eq!(bench.store.integrations_to_push(bench.company).await.unwrap(), [bench.crm]);
}

#[tokio::test]
async fn a_job_pushes_the_leads_it_counted_a_batch_at_a_time() {
    let (bench, _, late) = three_leads().await;
    let (lanes, leads, _) =
        bench.store.push_lanes(bench.company, &[late.integration], Choice::Missing, 0).await.unwrap();
    let mut command = bench.command().await;
    let job =
        command.create_job(JobWork::Push { choice: Choice::Missing, leads }, None, &lanes).await.unwrap();
    command.commit().await.unwrap();
    for released in [2, 3] {
        let part = bench.store.job_part(late, job, 2).await.unwrap().unwrap();
        assert!(part.run.is_open);
        bench.store.carry_job_on(&part).await.unwrap();
        assert_eq!(bench.store.job(job).await.unwrap().released, released);
    }
    assert!(bench.store.job_part(late, job, 2).await.unwrap().is_none(), "it is done there");
    assert_eq!(bench.store.job(job).await.unwrap().state, JobState::Running, "three are on their way");
    let kept = format!("(SELECT count(*) = 3 FROM due WHERE integration_id = '{}')", late.integration.uuid());
    assert!(bench.holds(&kept).await);
    let jobs = bench.store.jobs(None, None, 5).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [job]);
    assert!(bench.store.jobs(None, Some(job), 5).await.unwrap().is_empty(), "none is older");
}

#[tokio::test]
async fn a_job_that_is_cancelled_goes_no_further() {
    let (bench, _, late) = three_leads().await;
    let (lanes, leads, _) =
        bench.store.push_lanes(bench.company, &[late.integration], Choice::Missing, 0).await.unwrap();
    let mut command = bench.command().await;
    let job =
        command.create_job(JobWork::Push { choice: Choice::Missing, leads }, None, &lanes).await.unwrap();
    command.commit().await.unwrap();
    let part = bench.store.job_part(late, job, 2).await.unwrap().unwrap();
    let mut command = bench.command().await;
    assert_eq!(command.cancel_job(job).await.unwrap(), [bench.company]);
    assert!(command.cancel_job(job).await.unwrap().is_empty(), "it is cancelled already");
    command.commit().await.unwrap();
    // A step that was read before it was cancelled changes nothing.
    bench.store.carry_job_on(&part).await.unwrap();
    let view = bench.store.job(job).await.unwrap();
    assert_eq!((view.state.known(), view.released), (Some(JobState::Cancelled), 0));
    assert!(view.finished_at.is_some());
}
