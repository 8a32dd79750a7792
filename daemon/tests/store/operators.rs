//! What operators do: hold, release, skip and its undoing, retry, push, and what the sweep brings back.

use leadlined::{
    domain::{
        delivery::{LaneKind, Reason, State, Transition, Trigger},
        ids::JobId,
        job::JobState,
        sweep::SweepStep,
    },
    store::{
        operator::command::Refusal,
        queue::{push::NewPush, release::BATCH, retry::RetryOptions, stranded::Position, sweep::LaneWork},
    },
};
use uuid::Uuid;

use super::bench::{Bench, COMMANDS, dead, exhausted, retry};

impl Bench {
    async fn retry_all(&self, state: State, options: RetryOptions) -> usize {
        let targets = self.targets(state).await;
        let mut command = self.command().await;
        let retried = command.retry(self.company, &targets, options).await.unwrap();
        command.commit().await.unwrap();
        retried.len()
    }

    async fn skip(&self, id: Uuid) {
        let mut command = self.command().await;
        assert_eq!(command.skip(self.company, &[id], &Reason::skipped("ann")).await.unwrap().changed, 1);
        command.commit().await.unwrap();
    }

    async fn unskip(&self, id: Uuid) -> u64 {
        let mut command = self.command().await;
        let back = command.unskip(self.company, &[id]).await.unwrap().changed;
        command.commit().await.unwrap();
        back
    }
}

#[tokio::test]
async fn what_is_held_for_a_reason_is_released_or_skipped_for_it() {
    let mut bench = Bench::new().await;
    bench.held().await;
    bench.held().await;
    let other = bench.pending().await.deliveries[0];
    let mut command = bench.command().await;
    command.hold(bench.company, &[other.uuid()], &Reason::HeldByOperator("ann".into())).await.unwrap();
    command.commit().await.unwrap();
    let (company, crm, reason) = (bench.company, bench.crm, Reason::IntegrationDisabled);
    assert_eq!(bench.store.count_held(company, crm, &reason).await.unwrap(), 2);
    assert_eq!(bench.store.count_held(company, crm, &Reason::Rotation).await.unwrap(), 0);
    let mut command = bench.command().await;
    assert!(command.release_held_for(company, crm, &reason).await.unwrap() < BATCH);
    command.commit().await.unwrap();
    assert_eq!((bench.count("due").await, &*bench.state(other).await), (2, "held"));
    let anybody = Reason::HeldByOperator(String::new());
    let mut command = bench.command().await;
    assert_eq!(command.skip_held_for(company, crm, &anybody, None).await.unwrap(), 1);
    command.commit().await.unwrap();
    assert_eq!(bench.stands(other).await, ("skipped".into(), Some("skipped_by_operator".into())));
    assert_eq!(bench.count("undelivered").await, 0);
}

#[tokio::test]
async fn a_skip_hands_on_who_waits_and_can_be_undone() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let first = lead.deliveries[0];
    let update = bench.update(lead.id).await;
    bench.skip(first.uuid()).await;
    assert_eq!(bench.claim_one().await.delivery, update, "who waited is due");
    assert_eq!(bench.unskip(first.uuid()).await, 0, "an update of the lead is on its way");
    // Without one it comes back as it stood.
    let other = bench.pending().await.deliveries[0];
    bench.skip(other.uuid()).await;
    assert_eq!(bench.unskip(other.uuid()).await, 1);
    assert_eq!(bench.stands(other).await, ("pending".into(), None));
    assert_eq!(bench.claim_one().await.delivery, other);
}

#[tokio::test]
async fn what_was_held_or_dead_is_so_again_for_its_reason() {
    let mut bench = Bench::new().await;
    let held = bench.held().await.deliveries[0];
    bench.skip(held.uuid()).await;
    assert_eq!(bench.count("undelivered").await, 0);
    assert_eq!(bench.unskip(held.uuid()).await, 1);
    assert_eq!(bench.stands(held).await, ("held".into(), Some("integration_disabled".into())));
    let gone = bench.pending().await.deliveries[0];
    bench.push(&exhausted()).await;
    bench.sql("UPDATE delivery SET finished_at = now() - interval '2 days' WHERE state = 'dead'").await;
    bench.skip(gone.uuid()).await;
    assert!(bench.holds("(SELECT dead = 0 FROM integration_stat)").await);
    assert_eq!(bench.unskip(gone.uuid()).await, 1);
    assert_eq!(bench.stands(gone).await, ("dead".into(), Some("retries_failed".into())));
    assert!(bench.holds("(SELECT dead = 1 FROM integration_stat)").await);
    let died = "undelivered u JOIN delivery d ON d.id = u.delivery_id
                WHERE u.state = 'dead' AND u.since = d.finished_at AND u.since < now() - interval '1 day'";
    assert_eq!(bench.count(died).await, 1, "it died when it did");
    assert_eq!(
        bench
            .count("undelivered WHERE state = 'dead' AND class = 'transient' AND error = 'out of order'")
            .await,
        1
    );
    assert_eq!(
        bench.store.facts(gone).await.unwrap().reason.unwrap().text(),
        "transient: 3 automatic retries failed"
    );
}

/// Whatever takes a dead delivery off the list and puts it there again, the sweep comes back to it.
#[tokio::test]
async fn what_the_sweep_would_come_back_to_stays_so_when_a_skip_is_undone_or_the_list_mended() {
    for way in ["unskip", "mend"] {
        for (how, is_swept) in [(exhausted(), true), (dead(), false)] {
            let mut bench = Bench::new().await;
            let gone = bench.pending().await.deliveries[0];
            bench.push(&how).await;
            if way == "unskip" {
                bench.skip(gone.uuid()).await;
                // A run in between finds nothing, and plans none.
                bench.sql("UPDATE integration_stat SET sweep_at = NULL").await;
                assert_eq!(bench.unskip(gone.uuid()).await, 1);
            } else {
                bench
                    .sql("DELETE FROM undelivered; UPDATE integration_stat SET sweep_at = NULL, dead = 0")
                    .await;
                assert_eq!(bench.store.mend(Position::default()).await.unwrap().missing, 1);
            }
            let swept = "undelivered u JOIN integration_stat s USING (integration_id)
                         WHERE u.due_at > now() AND u.due_at = s.sweep_at";
            assert_eq!(bench.count(swept).await, i64::from(is_swept), "{way} {how:?}");
            assert!(bench.holds("(SELECT dead = 1 FROM integration_stat)").await, "{way} {how:?}");
            bench.sql("UPDATE integration_stat SET sweep_at = now() WHERE sweep_at IS NOT NULL").await;
            bench.store.start_sweep(bench.lane()).await.unwrap();
            assert_eq!(bench.count("sweep").await, i64::from(is_swept), "{way} {how:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_back_is_no_longer_the_skips() {
    let mut bench = Bench::new().await;
    let (skipped, retried) = (bench.pending().await.deliveries[0], bench.pending().await.deliveries[0]);
    let (skip, retry) = (JobId::generate(), JobId::generate());
    for (job, kind) in [(skip, "skip"), (retry, "retry")] {
        let (company, crm) = (bench.company, bench.crm.uuid());
        bench
            .sql(&format!(
                "INSERT INTO job (company_id, id, integration_id, kind, operator, filter, re_render, state, total, last_id,
                     finished_at)
                 VALUES ({company}, '{}', '{crm}', '{kind}', 'ann', '{{\"states\": []}}', false, 'done', 1, '{crm}', now())",
                job.uuid()
            ))
            .await;
    }
    bench
        .sql(&format!("UPDATE delivery SET job_id = '{}' WHERE id = '{}'", retry.uuid(), retried.uuid()))
        .await;
    let mut command = bench.command().await;
    let reason = Reason::skipped("ann");
    command.skip_for(bench.company, &[skipped.uuid()], &reason, Some(skip)).await.unwrap();
    command.skip(bench.company, &[retried.uuid()], &reason).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!((bench.unskip(skipped.uuid()).await, bench.unskip(retried.uuid()).await), (1, 1));
    let job = bench.store.job(skip).await.unwrap();
    assert_eq!((job.pending, job.state.known()), (0, Some(JobState::Done)), "it is over");
    assert_eq!(
        bench.store.job(retry).await.unwrap().pending,
        1,
        "what a retry brought back goes on under it"
    );
}

#[tokio::test]
async fn a_bulk_skip_undoes_no_skip_of_somebody_else() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    bench.skip(id.uuid()).await;
    let (job, reason) = (JobId::generate(), Reason::skipped("bob"));
    let mut command = bench.command().await;
    let moved = command.skip_for(bench.company, &[id.uuid()], &reason, Some(job)).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(moved.changed, 0);
    assert!(bench.store.skipped_by(job, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_skip_stays_after_a_day_for_others_reasons_and_for_the_erased() {
    let mut bench = Bench::new().await;
    let old = bench.pending().await.deliveries[0];
    bench.skip(old.uuid()).await;
    bench.sql("UPDATE delivery SET finished_at = now() - interval '25 hours'").await;
    assert_eq!(bench.unskip(old.uuid()).await, 0);
    let kept = bench.lead(leadlined::domain::fanout::Fate::Skipped(Reason::NoConsent)).await.deliveries[0];
    assert_eq!(bench.unskip(kept.uuid()).await, 0);
    let lead = bench.pending().await;
    bench.skip(lead.deliveries[0].uuid()).await;
    let mut command = bench.command().await;
    command.erase_lead(None, &lead.id.to_string()).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.unskip(lead.deliveries[0].uuid()).await, 0);
}

#[tokio::test]
async fn a_retry_brings_back_the_dead_and_hurries_who_waits() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    bench.push(&dead()).await;
    assert_eq!(bench.retry_all(State::Dead, RetryOptions::default()).await, 1);
    assert_eq!(bench.count("undelivered").await, 0);
    let item = bench.claim_one().await;
    assert_eq!((item.delivery, item.kind, item.trigger), (id, LaneKind::First, Trigger::Manual));
    assert_eq!(item.operator.as_deref(), Some("ann"));
    let later = Transition::Retry {
        after: std::time::Duration::from_secs(3600),
        retries: 2,
        waits: 0,
        throttle: false,
    };
    bench.end(&[item], &later).await;
    assert!(bench.claim(1).await.is_empty());
    let bulk = RetryOptions { is_bulk: true, ..RetryOptions::default() };
    assert_eq!(bench.retry_all(State::Pending, bulk).await, 1);
    assert!(bench.holds("(SELECT d.due_at = q.due_at FROM delivery d, due q)").await);
    let item = bench.claim_one().await;
    assert_eq!((item.kind, item.pending.unwrap().retries), (LaneKind::Retry, 0), "many take their turn");
}

#[tokio::test]
async fn what_is_rendered_anew_takes_the_place_of_what_was_sent() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    bench.push(&dead()).await;
    let anew = RetryOptions { re_render: true, ..RetryOptions::default() };
    assert_eq!(bench.retry_all(State::Dead, anew).await, 1);
    assert_eq!(bench.stands(id).await, ("skipped".into(), Some("replaced".into())));
    let item = bench.push(&Transition::Delivered).await;
    assert!(item.delivery > id);
    assert!(
        bench
            .holds(&format!(
                "(SELECT reason_detail = to_jsonb('{}'::text) FROM delivery WHERE state = 'skipped')",
                item.delivery
            ))
            .await
    );
}

#[tokio::test]
async fn what_is_older_than_an_update_on_its_way_is_refused() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    bench.update(lead.id).await;
    let targets = bench.targets(State::Dead).await;
    let mut command = bench.command().await;
    let refused = command.retry(bench.company, &targets, RetryOptions::default()).await;
    assert!(matches!(refused, Err(Refusal::State(_))), "{refused:?}");
}

#[tokio::test]
async fn a_known_lead_is_pushed_where_nothing_is_on_its_way() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let new = NewPush { company: bench.company, integration: bench.crm, by_flows: false, job: None };
    let push = async |bench: &Bench| {
        let mut command = bench.command().await;
        let pushed = command.push_leads(&new, &[lead.id.uuid()]).await.unwrap();
        command.commit().await.unwrap();
        pushed.len()
    };
    assert_eq!(push(&bench).await, 0, "one is on its way");
    bench.push(&dead()).await;
    assert_eq!(push(&bench).await, 1);
    assert_eq!(bench.stands(lead.deliveries[0]).await, ("skipped".into(), Some("replaced".into())));
    bench.push(&Transition::Delivered).await;
    bench.sql("UPDATE integration SET needs_consent = true").await;
    assert_eq!(push(&bench).await, 0, "it did not consent, and has been said so before");
}

#[tokio::test]
async fn the_sweep_sends_one_and_then_the_rest() {
    let mut bench = Bench::new().await;
    for _ in 0..3 {
        bench.pending().await;
        bench.push(&exhausted()).await;
    }
    assert!(bench.store.tasks().await.unwrap().is_empty(), "it is not time yet");
    bench.sql("UPDATE integration_stat SET sweep_at = now()").await;
    assert_eq!(bench.store.tasks().await.unwrap()[0].work, LaneWork::StartSweep);
    bench.store.start_sweep(bench.lane()).await.unwrap();
    let canary = bench.claim(9).await;
    assert_eq!((canary.len(), canary[0].trigger, canary[0].kind), (1, Trigger::Sweep, LaneKind::Retry));
    let run = bench.store.sweep_run(bench.lane(), 4).await.unwrap().unwrap();
    assert_eq!((run.canary, run.is_passed, run.next()), (Some(State::Pending), false, SweepStep::Wait));
    bench.end(&canary, &Transition::Delivered).await;
    assert_eq!(bench.store.tasks().await.unwrap()[0].work, LaneWork::ContinueSweep);
    let run = bench.store.sweep_run(bench.lane(), 4).await.unwrap().unwrap();
    assert_eq!(run.next(), SweepStep::Release);
    // A lane that somebody closed gets nothing more: the next run begins with a canary of its own.
    for (close, open) in COMMANDS {
        bench.sql(&format!("UPDATE {close}")).await;
        let run = bench.store.sweep_run(bench.lane(), 4).await.unwrap().unwrap();
        assert_eq!(run.next(), SweepStep::End, "{close}");
        bench.sql(&format!("UPDATE {open}")).await;
    }
    assert_eq!(bench.store.release_swept(bench.lane(), 4).await.unwrap(), 2);
    let run = bench.store.sweep_run(bench.lane(), 4).await.unwrap().unwrap();
    assert_eq!((run.is_passed, run.is_busy, run.next()), (true, true, SweepStep::Wait));
    assert_eq!(bench.claim(9).await.len(), 2);
    assert_eq!(bench.store.release_swept(bench.lane(), 4).await.unwrap(), 0, "nothing is left");
    bench.store.end_sweep(bench.lane()).await.unwrap();
    assert_eq!(bench.count("sweep").await, 0);
    assert!(bench.store.sweep_run(bench.lane(), 4).await.unwrap().is_none());
    assert!(bench.holds("(SELECT sweep_at IS NULL FROM integration_stat)").await, "no run is due");
}

#[tokio::test]
async fn a_retry_keeps_its_place_behind_what_is_open() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&Transition::Delivered).await;
    let update = bench.update(lead.id).await;
    bench.push(&retry()).await;
    assert_eq!(
        bench.retry_all(State::Delivered, RetryOptions { is_bulk: true, ..RetryOptions::default() }).await,
        0
    );
    assert_eq!(bench.claim_one().await.delivery, update);
}
