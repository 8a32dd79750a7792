//! What lists show: deliveries, attempts, causes, activity, what vendors call things, and the whole.

use std::collections::BTreeMap;

use leadlined::{
    domain::{
        delivery::{Reason, State, Transition},
        ids::{AttemptId, DeliveryId, JobId, LeadId},
        outcome::FailureClass,
    },
    store::{
        activity::{ActivityFilter, What},
        delivery::{
            attempt_list::{AttemptFilter, AttemptState},
            attempts::AttemptsOf,
            read::{DeliveryFilter, Order},
            retention::Pruned,
        },
        failure::list::FailureFilter,
    },
};

use super::bench::{Bench, dead, retry};

#[tokio::test]
async fn deliveries_are_read_page_by_page_in_either_order() {
    let mut bench = Bench::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(bench.pending().await.deliveries[0]);
    }
    ids.sort();
    let filter = DeliveryFilter { company: Some(bench.company), ..DeliveryFilter::default() };
    for order in [Order::OldestFirst, Order::NewestFirst] {
        if matches!(order, Order::NewestFirst) {
            ids.reverse();
        }
        let page = bench.store.targets_page(&filter, order, None, 2).await.unwrap();
        assert_eq!(page.iter().map(|it| it.id.into()).collect::<Vec<DeliveryId>>(), ids[..2]);
        let rest = bench.store.targets_page(&filter, order, Some(ids[1]), 2).await.unwrap();
        assert_eq!(rest.iter().map(|it| it.id.into()).collect::<Vec<DeliveryId>>(), ids[2..]);
        let views = bench.store.delivery_views(&filter, order, Some(ids[0]), Some(5)).await.unwrap();
        assert_eq!(views.iter().map(|it| it.id).collect::<Vec<_>>(), ids[1..]);
    }
    assert!(!bench.store.list_plan(&filter, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_delivery_is_shown_with_what_it_failed_of() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    bench.push(&retry()).await;
    let view = bench.store.delivery_view(id).await.unwrap();
    assert_eq!(
        (view.state.known(), view.attempts, view.class.unwrap().known()),
        (Some(State::Pending), 1, Some(FailureClass::Transient))
    );
    assert_eq!((view.error.as_deref(), &*view.integration_name), (Some("out of order"), "crm"));
    let unknown = DeliveryId::generate();
    assert_eq!(
        bench.store.delivery_view(unknown).await.unwrap_err().to_string(),
        format!("no delivery {unknown}")
    );
}

#[tokio::test]
async fn attempts_are_listed_running_ones_included() {
    let mut bench = Bench::new().await;
    let delivery = bench.pending().await.deliveries[0];
    bench.push(&retry()).await;
    let first = bench.store.attempts(AttemptsOf::Lane(bench.lane()), None, 10).await.unwrap().remove(0);
    assert_eq!(bench.store.attempt_behind(bench.company, delivery, 0).await.unwrap(), Some(first.id));
    assert_eq!(bench.store.attempt_behind(bench.company, delivery, 1).await.unwrap(), None);
    bench.sql("UPDATE due SET due_at = now()").await;
    let running = bench.claim_one().await;
    let list = async |filter: AttemptFilter| {
        let attempts = bench.store.attempt_list(&filter, 10).await.unwrap().rows;
        attempts.into_iter().map(|attempt| attempt.id).collect::<Vec<_>>()
    };
    let mut both = vec![first.id, running.attempt];
    both.sort_by_key(|id| std::cmp::Reverse(*id));
    assert_eq!(list(AttemptFilter::default()).await, both);
    let only = |state| AttemptFilter { states: vec![state], ..AttemptFilter::default() };
    assert_eq!(list(only(AttemptState::Running)).await, [running.attempt]);
    assert_eq!(list(only(AttemptState::Failed)).await, [first.id]);
    assert!(list(only(AttemptState::Delivered)).await.is_empty());
    let class = AttemptFilter { classes: vec![FailureClass::Transient], ..AttemptFilter::default() };
    assert_eq!(list(class).await, [first.id]);
    let ids = [first.id, running.attempt, AttemptId::generate()];
    let finished = bench.store.finished_attempts(bench.company, bench.crm, &ids).await.unwrap();
    assert_eq!(finished.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), [first.id]);
    let (view, _) = bench.store.attempt(running.attempt).await.unwrap().unwrap();
    assert_eq!((view.number, view.finished), (2, None));
    assert!(bench.store.attempt(AttemptId::generate()).await.unwrap().is_none());
    assert_eq!(bench.store.isolate(bench.daemon + 1, running.claim, running.attempt).await.unwrap(), None);
    let own = bench.store.isolate(bench.daemon, running.claim, running.attempt).await.unwrap();
    assert_eq!(own, Some(running.claim), "nothing else stands in it");
}

#[tokio::test]
async fn what_died_alike_is_one_cause_that_can_be_snoozed() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.pending().await;
        bench.push(&dead()).await;
    }
    bench.store.name_causes().await.unwrap();
    let list = async |include_snoozed| {
        let filter = FailureFilter { include_snoozed, ..FailureFilter::default() };
        bench.store.failures(&filter, 0, 10).await.unwrap()
    };
    let failures = list(false).await;
    assert_eq!((failures.page.len(), failures.deliveries, failures.leads), (1, 3, 3));
    let cause = &failures.page[0];
    assert_eq!(
        (cause.dead, cause.class.known().unwrap(), cause.places[0].integration),
        (3, FailureClass::Rejected, bench.crm)
    );
    assert_eq!(bench.store.check_causes().await.unwrap(), 0);
    bench.sql("UPDATE cause_count SET deliveries = 7").await;
    assert_eq!(bench.store.check_causes().await.unwrap(), 1);
    assert_eq!(bench.store.failure(None, cause.cause).await.unwrap().dead, 3, "the count is mended");
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let mut command = bench.command().await;
    let snoozed = command.snooze_cause(cause.cause, Some(until)).await.unwrap();
    assert_eq!((snoozed.before, snoozed.companies), (None, vec![bench.company]));
    command.commit().await.unwrap();
    assert_eq!(
        (list(false).await.page.len(), list(false).await.snoozed, list(true).await.page.len()),
        (0, 1, 1)
    );
    let mut command = bench.command().await;
    assert!(command.snooze_cause(cause.cause, None).await.unwrap().before.is_some());
    let unknown = leadlined::domain::cause::CauseId(1);
    let refusal = command.snooze_cause(unknown, None).await.unwrap_err().to_string();
    assert_eq!(refusal, format!("nothing fails of cause {unknown} now"));
}

#[tokio::test]
async fn activity_is_attempts_and_acts_in_one_order() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&dead()).await;
    let mut command = bench.command().await;
    command.audit(bench.company, "something", None, None).await.unwrap();
    command.commit().await.unwrap();
    let all = bench.store.activity(&ActivityFilter::default(), 10).await.unwrap();
    assert!(all.is_sorted_by(|newer, older| newer.at() >= older.at()));
    assert!(all.iter().any(|one| matches!(&one.what, What::Attempt(_))));
    assert!(all.iter().any(|one| matches!(&one.what, What::Act(line) if line.target == "something")));
    assert!(all.iter().all(|one| one.company_name == "The Old Barn" && one.company() == bench.company));
    let early = ActivityFilter { before: Some(jiff::Timestamp::UNIX_EPOCH), ..ActivityFilter::default() };
    assert!(bench.store.activity(&early, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_target_calls_a_lead_is_kept_for_that_target_alone() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let (lane, delivery) = (bench.lane(), lead.deliveries[0]);
    let ids = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect()
    };
    let keep = async |from, pairs: &[(&str, &str)]| {
        bench.store.keep_vendor_ids(lane, lead.id, from, &ids(pairs)).await.unwrap();
    };
    let kept = async || bench.store.past(lane, lead.id, delivery).await.unwrap();
    keep(None, &[("contact", "1")]).await;
    // Without its NUL it would be another one.
    keep(None, &[("deal", "2"), ("note", "3\u{0}4")]).await;
    assert_eq!(kept().await.ids, ids(&[("contact", "1"), ("deal", "2")]));
    let shown = bench.store.vendor_ids(bench.company, lead.id).await.unwrap();
    assert_eq!((&*shown[0].name, &shown[0].ids["deal"]), ("crm", &"2".to_owned()));
    bench.sql("UPDATE integration SET ids_from = now()").await;
    assert!(kept().await.ids.is_empty(), "another target calls nothing so");
    keep(None, &[("contact", "late")]).await;
    assert!(kept().await.ids.is_empty(), "what the old target said late is not kept");
    keep(kept().await.from, &[("contact", "9")]).await;
    assert_eq!(kept().await.ids, ids(&[("contact", "9")]));
    assert!(bench.store.vendor_ids(bench.company, LeadId::generate()).await.unwrap().is_empty());
}

#[tokio::test]
async fn earlier_deliveries_that_may_have_arrived_are_told_to_the_next() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    let update = bench.update(lead.id).await;
    let past = bench.store.past(bench.lane(), lead.id, update).await.unwrap();
    assert_eq!(
        past.tried.iter().map(|one| (one.id, one.is_same)).collect::<Vec<_>>(),
        [(lead.deliveries[0], false)]
    );
}

/// What was kept from a target, or never got there, is no base of what changed there.
#[tokio::test]
async fn an_update_is_compared_with_what_last_arrived_there() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let lane = bench.lane();
    bench.push(&dead()).await;
    let update = bench.update(lead.id).await;
    let store = bench.store.clone();
    let before = async |delivery| store.before(lane, lead.id, delivery).await.unwrap();
    assert_eq!(before(update).await, None, "nothing has arrived yet");
    bench.sql("UPDATE delivery SET state = 'skipped', reason_code = 'flow' WHERE state = 'dead'").await;
    assert_eq!(before(update).await, None, "what was skipped has not");
    bench.push(&Transition::Delivered).await;
    let next = bench.update(lead.id).await;
    let arrived = before(next).await.unwrap();
    let of_update = "SELECT body FROM event WHERE kind = 'lead.updated' ORDER BY id LIMIT 1";
    let body: Vec<u8> = sqlx::query_scalar(of_update).fetch_one(&bench.pool).await.unwrap();
    assert_eq!(arrived, body);
}

#[tokio::test]
async fn a_bulk_skip_is_a_job_that_is_done_and_a_cancelled_job_goes_on() {
    let mut bench = Bench::new().await;
    let mut ids = [bench.pending().await.deliveries[0], bench.pending().await.deliveries[0]];
    ids.sort_unstable();
    let job = JobId::generate();
    let reason = Reason::skipped("ann");
    let filter = DeliveryFilter { company: Some(bench.company), ..Default::default() };
    // Batch by batch, each as part of the same job.
    for (id, total) in ids.into_iter().zip(1..) {
        let mut command = bench.command().await;
        let batch = [id.uuid()];
        let moved = command.skip_for(bench.company, &batch, &reason, Some(job)).await.unwrap();
        assert_eq!(moved.changed, 1);
        command.note_skip(job, &filter, (bench.company, &batch)).await.unwrap();
        command.commit().await.unwrap();
        let view = bench.store.job(job).await.unwrap();
        assert!((view.total, view.released, view.finished_at.is_some()) == (total, total, true));
    }
    let skipped = async |after| bench.store.skipped_by(job, after, 10).await.unwrap();
    assert_eq!(skipped(None).await, ids.map(|id| (bench.company, id)));
    assert!(skipped(Some(ids[1])).await.is_empty());
    assert_eq!(bench.store.kept_of_job(job).await.unwrap(), None);
    let mut command = bench.command().await;
    let refusal = command.resume_job(job).await.unwrap_err().to_string();
    assert_eq!(refusal, format!("job {job} was not cancelled: there is nothing to resume"));
    let jobs = bench.store.jobs(Some(bench.company), None, 10).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [job]);
}

#[tokio::test]
async fn the_whole_counts_what_waits_runs_and_happened() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&dead()).await;
    bench.held().await;
    bench.pending().await;
    bench.pending().await;
    let running = bench.claim_one().await;
    let system = bench.store.system().await.unwrap();
    let (queue, rates) = (&system.queue, &system.rates);
    assert_eq!((queue.due, queue.running, queue.held, queue.dead, queue.lanes), (1, 1, 1, 1, 1));
    assert_eq!((rates.leads, rates.attempts, rates.failed), (4, 1, 1));
    assert_eq!(system.daemons.iter().map(|it| (it.id, it.running)).collect::<Vec<_>>(), [(bench.daemon, 1)]);
    assert!(queue.oldest_undelivered_at.is_some() && system.database.schema_version > 0);
    assert!(system.refused.is_empty());
    bench.end(&[running], &Transition::Delivered).await;
    assert_eq!(bench.store.system().await.unwrap().queue.running, 0);
    assert!(bench.store.is_ready().await);
}

#[tokio::test]
async fn what_is_too_old_is_removed_once_and_by_one_daemon_at_a_time() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&dead()).await;
    let pruned = bench.store.prune().await.unwrap();
    assert_eq!((pruned.attempts, pruned.jobs, pruned.notices), (0, 0, 0), "it is young");
    bench
        .sql(
            "INSERT INTO notice (company_id, id, integration_id, kind, body, created_at)
             SELECT company_id, gen_random_uuid(), id, 'no_leads', '', now() - interval '40 days' FROM integration",
        )
        .await;
    let mut other = bench.pool.acquire().await.unwrap();
    let lock = i64::from_be_bytes(*b"\0\0lead\0\x02");
    sqlx::query("SELECT pg_advisory_lock($1)").bind(lock).execute(&mut *other).await.unwrap();
    assert_eq!(bench.store.prune().await.unwrap(), Pruned::default(), "another daemon is at it");
    other.close().await.unwrap();
    assert_eq!(bench.store.prune().await.unwrap().notices, 1);
}
