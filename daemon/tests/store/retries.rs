//! Retries of deliveries in whatever state they stand: what comes back, what is hurried, and what is rendered anew.

use leadlined::{
    domain::{
        delivery::{Reason, State, Transition},
        ids::DeliveryId,
    },
    store::{
        delivery::read::{DeliveryFilter, Target},
        queue::{push::NewPush, retry::RetryOptions},
    },
};

use super::{bench::Bench, invariants::check_invariants, moves::DeliveryCase};

impl Bench {
    async fn target(&self, id: DeliveryId) -> Target {
        let filter = DeliveryFilter { ids: Some(vec![id]), ..DeliveryFilter::default() };
        self.store.targets(&filter).await.unwrap().remove(0)
    }
}

/// How a retry finds a delivery, and how it stands in the queue then: by its kind and its trigger.
#[tokio::test]
async fn a_retry_brings_back_what_is_over_and_hurries_what_waits() {
    use DeliveryCase::{
        Dead, Delivered, Due, Erased, Held, HeldInFlight, KeptAway, Later, Running, Skipped, Waiting,
    };
    let mut bench = Bench::new().await;
    for is_bulk in [false, true] {
        let kind = i16::from(is_bulk);
        for (case, is_retried, due) in [
            (Dead, true, Some((kind, "manual"))),
            (Delivered, true, Some((kind, "manual"))),
            // One that goes first already stays so.
            (Due, true, Some((0, "manual"))),
            (Later, true, Some((kind, "manual"))),
            (Running, false, None),
            (Waiting, false, None),
            (Held, false, None),
            (HeldInFlight, false, None),
            (KeptAway, false, None),
            (Skipped, false, None),
            (Erased, false, None),
        ] {
            let id = bench.delivery_in(case).await;
            let target = bench.target(id).await;
            let mut command = bench.command().await;
            let options = RetryOptions { is_bulk, ..RetryOptions::default() };
            let retried = command.retry(bench.company, &[target], options).await.unwrap();
            command.commit().await.unwrap();
            let expected = if is_retried { vec![id] } else { Vec::new() };
            assert_eq!(retried, expected, "{case:?} bulk {is_bulk}");
            let due = due.map(|(kind, trigger)| (kind, trigger.to_owned()));
            assert_eq!(bench.due_as(id).await, due, "{case:?} bulk {is_bulk}");
            if is_retried {
                let fresh = format!(
                    "delivery WHERE id = '{}' AND retries = 0 AND waits = 0 AND finished_at IS NULL AND state = 'pending' AND due_at <= now()",
                    id.uuid()
                );
                assert_eq!(bench.count(&fresh).await, 1, "{case:?} bulk {is_bulk}");
            }
            check_invariants(&bench.pool).await;
        }
    }
}

/// What a push that is rendered anew replaces, and what it only hurries.
#[tokio::test]
async fn what_is_rendered_anew_gets_an_id_of_its_own_where_something_may_have_left() {
    use DeliveryCase::{Dead, Delivered, Due, Erased, Held, Later, Running, Waiting};
    let mut bench = Bench::new().await;
    for (case, stands) in [
        (Dead, Some(("skipped", Some("replaced")))),
        // What arrived stays what it was.
        (Delivered, Some(("delivered", None))),
        (Due, Some(("skipped", Some("replaced")))),
        (Later, Some(("skipped", Some("replaced")))),
        (Running, None),
        (Waiting, None),
        (Held, None),
        (Erased, None),
    ] {
        let id = bench.delivery_in(case).await;
        let before = bench.stands(id).await;
        let target = bench.target(id).await;
        let mut command = bench.command().await;
        let options = RetryOptions { re_render: true, ..RetryOptions::default() };
        let retried = command.retry(bench.company, &[target], options).await.unwrap();
        command.commit().await.unwrap();
        assert_eq!(retried.len(), usize::from(stands.is_some()), "{case:?}");
        assert!(retried.iter().all(|new| *new > id), "{case:?}");
        let after = bench.stands(id).await;
        let expected = stands.map_or(before, |(state, reason)| (state.to_owned(), reason.map(str::to_owned)));
        assert_eq!(after, expected, "{case:?}");
        check_invariants(&bench.pool).await;
    }
    // Nothing left: the same delivery is good for another try.
    let id = bench.delivery_in(Dead).await;
    bench.sql("UPDATE attempt SET class = 'mapping' WHERE NOT delivered").await;
    let target = bench.target(id).await;
    let mut command = bench.command().await;
    let options = RetryOptions { re_render: true, ..RetryOptions::default() };
    assert_eq!(command.retry(bench.company, &[target], options).await.unwrap(), [id]);
}

#[tokio::test]
async fn a_retry_that_is_named_opens_its_lane_and_a_jobs_does_not() {
    let mut bench = Bench::new().await;
    let other = bench.integration(bench.company, "other").await;
    bench.delivery_in(DeliveryCase::Dead).await;
    let target = bench.targets(State::Dead).await.remove(0);
    let close = "UPDATE integration SET throttled_until = now() + interval '1 hour';
                 UPDATE integration_stat SET breaker_until = now() + interval '1 hour', streak = 20, trips = 1";
    for (job, is_open) in [(Some(leadlined::domain::ids::JobId::generate()), false), (None, true)] {
        bench.sql(close).await;
        let mut command = bench.command().await;
        let options = RetryOptions { is_bulk: true, job, re_render: false };
        command.retry(bench.company, std::slice::from_ref(&target), options).await.unwrap();
        command.commit().await.unwrap();
        let stops = bench.store.stops(bench.lane()).await.unwrap();
        assert_eq!(stops.throttled_until.is_none(), is_open, "{job:?}");
        // It is half-open: one push tells.
        let half_open = "integration_stat WHERE breaker_until <= now() AND streak = 20";
        assert_eq!(bench.count(half_open).await, i64::from(is_open), "{job:?}");
        let untouched = format!("integration WHERE id = '{}' AND throttled_until > now()", other.uuid());
        assert_eq!(bench.count(&untouched).await, 1, "another lane is another's business");
    }
}

#[tokio::test]
async fn one_that_comes_back_into_the_middle_of_a_line_leaves_nobody_behind_it_alone() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let creation = bench.push(&Transition::Delivered).await.delivery;
    let update = bench.update(lead.id).await;
    bench.push(&Transition::Delivered).await;
    let mut command = bench.command().await;
    let new = NewPush { company: bench.company, integration: bench.crm, by_flows: false, job: None };
    let pushed = command.push_leads(&new, &[lead.id.uuid()]).await.unwrap()[0].delivery();
    command.commit().await.unwrap();
    bench.push(&Transition::Delivered).await;
    for id in [creation, update, pushed] {
        let target = bench.target(id).await;
        let mut command = bench.command().await;
        command.retry(bench.company, &[target], RetryOptions::default()).await.unwrap();
        command.commit().await.unwrap();
    }
    // One in the middle, and then two of which one waits behind the other.
    for skipped in [vec![update.uuid()], vec![update.uuid(), pushed.uuid()]] {
        let mut command = bench.command().await;
        command.skip(bench.company, &skipped, &Reason::skipped("ann")).await.unwrap();
        command.commit().await.unwrap();
        check_invariants(&bench.pool).await;
        let mut command = bench.command().await;
        let changed = command.unskip(bench.company, &skipped).await.unwrap().changed;
        assert_eq!(changed, skipped.len() as u64);
        command.commit().await.unwrap();
        check_invariants(&bench.pool).await;
    }
    for id in [creation, update, pushed] {
        assert_eq!(bench.push(&Transition::Delivered).await.delivery, id);
    }
}

#[tokio::test]
async fn poison_that_is_retried_is_given_one_more_chance() {
    let mut bench = Bench::new().await;
    for (crashes, after) in [(0, 0), (1, 1), (9, i64::from(leadlined::domain::delivery::CRASHES_SUSPECT))] {
        let id = bench.delivery_in(DeliveryCase::Dead).await;
        bench.sql(&format!("UPDATE delivery SET crashes = {crashes} WHERE id = '{}'", id.uuid())).await;
        let target = bench.target(id).await;
        let mut command = bench.command().await;
        command.retry(bench.company, &[target], RetryOptions::default()).await.unwrap();
        command.commit().await.unwrap();
        let kept = format!("delivery WHERE id = '{}' AND crashes = {after}", id.uuid());
        assert_eq!(bench.count(&kept).await, 1, "{crashes}");
    }
}

#[tokio::test]
async fn several_that_are_named_go_before_all_others_in_their_own_order() {
    let mut bench = Bench::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(bench.delivery_in(DeliveryCase::Dead).await);
    }
    let waiting = bench.pending().await.deliveries[0];
    let mut targets = bench.targets(State::Dead).await;
    targets.reverse();
    let mut command = bench.command().await;
    command.retry(bench.company, &targets, RetryOptions::default()).await.unwrap();
    command.commit().await.unwrap();
    let claimed: Vec<_> = bench.claim(9).await.into_iter().map(|item| item.delivery).collect();
    ids.push(waiting);
    assert_eq!(claimed, ids);
}
