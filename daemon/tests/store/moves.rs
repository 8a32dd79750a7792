//! What operators do with one delivery, in whatever state it stands: one row for each act and each case.

use std::time::Duration;

use leadlined::{
    domain::{
        delivery::{Reason, Transition},
        fanout::Fate,
        ids::{CompanyId, DeliveryId},
    },
    store::queue::hold::MoveOutcome,
};
use uuid::Uuid;

use super::{
    bench::{Bench, dead},
    invariants::check_invariants,
};

/// How a delivery may stand when an operator comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DeliveryCase {
    Due,
    /// It failed, and its retry has its time.
    Later,
    Running,
    /// Behind an earlier event of its lead.
    Waiting,
    Held,
    /// Held while it was pushed, and the push goes on.
    HeldInFlight,
    Dead,
    Delivered,
    KeptAway,
    Skipped,
    Erased,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Hold,
    Release,
    Skip,
    Unskip,
}

fn later() -> Transition {
    Transition::Retry { after: Duration::from_secs(3600), retries: 1, waits: 0, throttle: false }
}

impl Bench {
    async fn act(&self, company: CompanyId, act: Act, ids: &[Uuid]) -> MoveOutcome {
        let mut command = self.command().await;
        let moved = match act {
            Act::Hold => command.hold(company, ids, &Reason::HeldByOperator("ann".into())).await,
            Act::Release => command.release(company, ids).await,
            Act::Skip => command.skip(company, ids, &Reason::skipped("ann")).await,
            Act::Unskip => command.unskip(company, ids).await,
        };
        command.commit().await.unwrap();
        moved.unwrap()
    }

    /// A new delivery that stands so. Whatever is due already is put off, so that it is the only one to be claimed.
    pub(crate) async fn delivery_in(&mut self, case: DeliveryCase) -> DeliveryId {
        for table in ["due", "delivery"] {
            self.sql(&format!("UPDATE {table} SET due_at = due_at + interval '1 day'")).await;
        }
        match case {
            DeliveryCase::Held => return self.held().await.deliveries[0],
            DeliveryCase::KeptAway => return self.lead(Fate::Skipped(Reason::NoFlow)).await.deliveries[0],
            _ => {}
        }
        let lead = self.pending().await;
        let id = lead.deliveries[0];
        match case {
            DeliveryCase::Later => drop(self.push(&later()).await),
            DeliveryCase::Dead => drop(self.push(&dead()).await),
            DeliveryCase::Delivered => drop(self.push(&Transition::Delivered).await),
            DeliveryCase::Running => drop(self.claim_one().await),
            DeliveryCase::HeldInFlight => {
                self.claim_one().await;
                self.act(self.company, Act::Hold, &[id.uuid()]).await;
            }
            DeliveryCase::Skipped => drop(self.act(self.company, Act::Skip, &[id.uuid()]).await),
            DeliveryCase::Waiting => return self.update(lead.id).await,
            DeliveryCase::Erased => {
                let mut command = self.command().await;
                command.erase_lead(None, &lead.id.to_string()).await.unwrap();
                command.commit().await.unwrap();
            }
            DeliveryCase::Due | DeliveryCase::Held | DeliveryCase::KeptAway => {}
        }
        id
    }

    pub(crate) async fn due_as(&self, id: DeliveryId) -> Option<(i16, String)> {
        sqlx::query_as("SELECT kind, trigger FROM due WHERE delivery_id = $1")
            .bind(id.uuid())
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }
}

/// For each act: how it stood, whether it changed, whether its push runs, and how it stands then.
#[tokio::test]
async fn each_act_moves_what_it_is_for_and_leaves_the_rest() {
    use DeliveryCase::{
        Dead, Delivered, Due, Erased, Held, HeldInFlight, KeptAway, Later, Running, Skipped, Waiting,
    };
    const BY: Option<&str> = Some("held_by_operator");
    const SKIPPED: Option<&str> = Some("skipped_by_operator");
    let table = [
        (Act::Hold, Due, 1, 0, "held", BY),
        (Act::Hold, Later, 1, 0, "held", BY),
        (Act::Hold, Running, 1, 1, "held", BY),
        (Act::Hold, Waiting, 1, 0, "held", BY),
        (Act::Hold, Held, 0, 0, "held", Some("integration_disabled")),
        (Act::Hold, HeldInFlight, 0, 0, "held", BY),
        (Act::Hold, Dead, 0, 0, "dead", Some("failed")),
        (Act::Hold, Delivered, 0, 0, "delivered", None),
        (Act::Hold, KeptAway, 0, 0, "skipped", Some("no_flow")),
        (Act::Hold, Skipped, 0, 0, "skipped", SKIPPED),
        (Act::Hold, Erased, 0, 0, "skipped", Some("erased")),
        (Act::Release, Due, 0, 0, "pending", None),
        (Act::Release, Later, 0, 0, "pending", None),
        (Act::Release, Running, 0, 0, "pending", None),
        (Act::Release, Waiting, 0, 0, "pending", Some("waits_for")),
        (Act::Release, Held, 1, 0, "pending", None),
        // Whoever brings it back to the queue must find it held.
        (Act::Release, HeldInFlight, 0, 1, "held", BY),
        (Act::Release, Dead, 0, 0, "dead", Some("failed")),
        (Act::Release, Delivered, 0, 0, "delivered", None),
        (Act::Release, KeptAway, 0, 0, "skipped", Some("no_flow")),
        (Act::Release, Skipped, 0, 0, "skipped", SKIPPED),
        (Act::Release, Erased, 0, 0, "skipped", Some("erased")),
        (Act::Skip, Due, 1, 0, "skipped", SKIPPED),
        (Act::Skip, Later, 1, 0, "skipped", SKIPPED),
        // What was sent cannot be taken back.
        (Act::Skip, Running, 0, 1, "pending", None),
        (Act::Skip, Waiting, 1, 0, "skipped", SKIPPED),
        (Act::Skip, Held, 1, 0, "skipped", SKIPPED),
        (Act::Skip, HeldInFlight, 0, 1, "held", BY),
        (Act::Skip, Dead, 1, 0, "skipped", SKIPPED),
        (Act::Skip, Delivered, 0, 0, "delivered", None),
        (Act::Skip, KeptAway, 0, 0, "skipped", Some("no_flow")),
        (Act::Skip, Skipped, 0, 0, "skipped", SKIPPED),
        (Act::Skip, Erased, 0, 0, "skipped", Some("erased")),
        (Act::Unskip, Due, 0, 0, "pending", None),
        (Act::Unskip, Later, 0, 0, "pending", None),
        (Act::Unskip, Running, 0, 0, "pending", None),
        (Act::Unskip, Waiting, 0, 0, "pending", Some("waits_for")),
        (Act::Unskip, Held, 0, 0, "held", Some("integration_disabled")),
        (Act::Unskip, HeldInFlight, 0, 0, "held", BY),
        (Act::Unskip, Dead, 0, 0, "dead", Some("failed")),
        (Act::Unskip, Delivered, 0, 0, "delivered", None),
        (Act::Unskip, KeptAway, 0, 0, "skipped", Some("no_flow")),
        (Act::Unskip, Skipped, 1, 0, "pending", None),
        (Act::Unskip, Erased, 0, 0, "skipped", Some("erased")),
    ];
    let mut bench = Bench::new().await;
    let stranger = bench.add_company("The Mill").await;
    for (act, case, changed, running, state, reason) in table {
        let id = bench.delivery_in(case).await;
        let before = bench.stands(id).await;
        let theirs = bench.act(stranger, act, &[id.uuid()]).await;
        assert_eq!(
            (theirs, bench.stands(id).await),
            (MoveOutcome::default(), before),
            "{act:?} by a stranger"
        );
        let moved = bench.act(bench.company, act, &[id.uuid(), Uuid::nil()]).await;
        assert_eq!(moved, MoveOutcome { changed, running }, "{act:?} {case:?}");
        let stands = bench.stands(id).await;
        assert_eq!((&*stands.0, stands.1.as_deref()), (state, reason), "{act:?} {case:?}");
        check_invariants(&bench.pool).await;
    }
}

#[tokio::test]
async fn nothing_is_meant_and_nothing_is_moved() {
    let bench = Bench::new().await;
    for act in [Act::Hold, Act::Release, Act::Skip, Act::Unskip] {
        assert_eq!(bench.act(bench.company, act, &[]).await, MoveOutcome::default());
    }
}

#[tokio::test]
async fn what_was_skipped_comes_back_as_it_stood() {
    for (case, state, reason) in [
        (DeliveryCase::Due, "pending", None),
        (DeliveryCase::Later, "pending", None),
        (DeliveryCase::Waiting, "pending", Some("waits_for")),
        (DeliveryCase::Held, "held", Some("integration_disabled")),
        (DeliveryCase::Dead, "dead", Some("failed")),
    ] {
        let mut bench = Bench::new().await;
        let id = bench.delivery_in(case).await;
        let detail = async || -> Option<serde_json::Value> {
            let sql = "SELECT reason_detail FROM delivery WHERE id = $1";
            sqlx::query_scalar(sql).bind(id.uuid()).fetch_one(&bench.pool).await.unwrap()
        };
        let before = (bench.count("undelivered").await, detail().await);
        bench.act(bench.company, Act::Skip, &[id.uuid()]).await;
        assert_eq!(bench.act(bench.company, Act::Unskip, &[id.uuid()]).await.changed, 1, "{case:?}");
        let stands = bench.stands(id).await;
        assert_eq!((&*stands.0, stands.1.as_deref()), (state, reason), "{case:?}");
        let after = (bench.count("undelivered").await, detail().await);
        // What it waits for is found anew.
        assert_eq!(after.0, before.0, "{case:?}");
        assert!(after.1 == before.1 || matches!(case, DeliveryCase::Waiting), "{case:?}: {after:?}");
        check_invariants(&bench.pool).await;
    }
}

#[tokio::test]
async fn a_line_whose_middle_is_held_or_skipped_goes_on_in_order() {
    for act in [Act::Hold, Act::Skip] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        let first = lead.deliveries[0];
        let update = bench.update(lead.id).await;
        bench.act(bench.company, act, &[first.uuid()]).await;
        check_invariants(&bench.pool).await;
        // Behind one that is held nobody goes; who waited behind one that is skipped is due.
        let is_held = matches!(act, Act::Hold);
        assert_eq!(bench.count("due").await, i64::from(!is_held), "{act:?}");
        if is_held {
            bench.act(bench.company, Act::Release, &[first.uuid()]).await;
            assert_eq!(bench.claim_one().await.delivery, first);
        } else {
            assert_eq!(bench.claim_one().await.delivery, update);
        }
    }
}

#[tokio::test]
async fn a_lead_whose_events_are_all_held_comes_back_in_their_order() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let (first, update) = (lead.deliveries[0], bench.update(lead.id).await);
    let both = [update.uuid(), first.uuid()];
    assert_eq!(bench.act(bench.company, Act::Hold, &both).await.changed, 2);
    assert_eq!((bench.count("due").await, bench.count("undelivered").await), (0, 2));
    assert_eq!(bench.act(bench.company, Act::Release, &both).await.changed, 2);
    check_invariants(&bench.pool).await;
    assert_eq!(bench.push(&Transition::Delivered).await.delivery, first);
    assert_eq!(bench.push(&Transition::Delivered).await.delivery, update);
    // Skipped both at once, neither makes the other due.
    let lead = bench.pending().await;
    let both = [lead.deliveries[0].uuid(), bench.update(lead.id).await.uuid()];
    assert_eq!(bench.act(bench.company, Act::Skip, &both).await.changed, 2);
    assert_eq!(bench.count("due").await, 0);
    assert_eq!(bench.act(bench.company, Act::Unskip, &both).await.changed, 2);
    check_invariants(&bench.pool).await;
    assert_eq!(bench.push(&Transition::Delivered).await.delivery.uuid(), both[0]);
}

#[tokio::test]
async fn what_is_released_alone_waits_behind_what_is_held_still() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let (first, update) = (lead.deliveries[0], bench.update(lead.id).await);
    bench.act(bench.company, Act::Hold, &[first.uuid(), update.uuid()]).await;
    bench.act(bench.company, Act::Release, &[update.uuid()]).await;
    assert_eq!((bench.count("due").await, &*bench.state(update).await), (0, "pending"));
    check_invariants(&bench.pool).await;
    bench.act(bench.company, Act::Skip, &[first.uuid()]).await;
    assert_eq!(bench.claim_one().await.delivery, update);
}

#[tokio::test]
async fn one_that_comes_back_after_an_attempt_takes_its_turn_as_a_retry() {
    let mut bench = Bench::new().await;
    for (case, due) in [(DeliveryCase::Due, (0, "first")), (DeliveryCase::Later, (1, "retry"))] {
        let id = bench.delivery_in(case).await;
        bench.act(bench.company, Act::Hold, &[id.uuid()]).await;
        assert_eq!(bench.due_as(id).await, None);
        bench.act(bench.company, Act::Release, &[id.uuid()]).await;
        assert_eq!(bench.due_as(id).await, Some((due.0, due.1.to_owned())), "{case:?}");
    }
}

#[tokio::test]
async fn a_skip_that_a_newer_push_has_overtaken_is_final() {
    for (how, back) in [(Some(Transition::Delivered), 0), (Some(dead()), 1), (None, 0)] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        bench.act(bench.company, Act::Skip, &[lead.deliveries[0].uuid()]).await;
        bench.update(lead.id).await;
        if let Some(how) = &how {
            bench.push(how).await;
        }
        let moved = bench.act(bench.company, Act::Unskip, &[lead.deliveries[0].uuid()]).await;
        assert_eq!(moved.changed, back, "{how:?}");
        check_invariants(&bench.pool).await;
    }
}
