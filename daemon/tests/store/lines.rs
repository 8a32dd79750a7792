//! The events of a lead, one behind the other at each integration.

use leadlined::{
    domain::{
        delivery::{Reason, Transition, Unmet},
        fanout::{Arrival, Fate},
        ids::LeadId,
        integration::EventKind,
    },
    store::lead::Reaccepted,
};

use super::bench::{Bench, dead};

#[tokio::test]
async fn an_update_waits_and_a_newer_one_takes_its_place() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let first = bench.update(lead.id).await;
    let second = bench.update(lead.id).await;
    assert_eq!(bench.stands(first).await, ("skipped".into(), Some("superseded".into())));
    assert_eq!(bench.stands(second).await, ("pending".into(), Some("waits_for".into())));
    assert_eq!(bench.count("due").await, 1);
    bench.push(&Transition::Delivered).await;
    assert_eq!(bench.claim_one().await.delivery, second);
}

#[tokio::test]
async fn an_update_that_is_released_says_again_what_it_waits_for() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let update = bench.update(lead.id).await;
    let mut command = bench.command().await;
    command.hold(bench.company, &[update.uuid()], &Reason::HeldByOperator("ann".into())).await.unwrap();
    command.release(bench.company, &[update.uuid()]).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.stands(update).await, ("pending".into(), Some("waits_for".into())));
}

#[tokio::test]
async fn an_update_of_a_pushed_lead_is_due_at_once() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&Transition::Delivered).await;
    bench.reported();
    let update = bench.update(lead.id).await;
    assert_eq!((bench.reported().len(), &*bench.state(update).await), (1, "pending"));
    assert_eq!(bench.claim_one().await.delivery, update);
}

#[tokio::test]
async fn a_held_update_is_replaced_and_its_list_forgets_it() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&Transition::Delivered).await;
    let held = bench.update(lead.id).await;
    let mut command = bench.command().await;
    command.hold(bench.company, &[held.uuid()], &Reason::HeldByOperator("ann".into())).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.count("undelivered").await, 1);
    let update = bench.update(lead.id).await;
    assert_eq!((&*bench.state(held).await, &*bench.state(update).await), ("skipped", "pending"));
    assert_eq!(bench.count("undelivered").await, 0);
}

#[tokio::test]
async fn a_lead_that_was_kept_away_arrives_as_a_new_one() {
    let unmet = Reason::FlowNotMet(Unmet::new(&["vip"], None));
    for (kept, arrives_as) in [
        (Fate::Skipped(unmet), "lead.created"),
        (Fate::Skipped(Reason::NoFlow), "lead.created"),
        (Fate::Skipped(Reason::NoConsent), "lead.created"),
        (Fate::Skipped(Reason::skipped("ann")), "lead.updated"),
    ] {
        let mut bench = Bench::new().await;
        let lead = bench.lead(kept.clone()).await;
        let mut event = bench.event(bench.company, lead.id, EventKind::Updated, &Fate::Pending).await;
        event.deliveries[0].arrival = Arrival::Created;
        assert!(matches!(bench.store.accept_again(&event).await.unwrap(), Reaccepted::Updated(_)));
        assert_eq!(
            bench.count(&format!("delivery WHERE event = '{arrives_as}' AND state = 'pending'")).await,
            1,
            "{kept:?}"
        );
    }
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_an_erased_lead_stays_away() {
    let mut bench = Bench::new().await;
    let id = LeadId::generate();
    let event = bench.event(bench.company, id, EventKind::Created, &Fate::Pending).await;
    bench.store.accept(std::slice::from_ref(&event)).await.unwrap();
    let again = bench.store.accept_again(&event).await.unwrap();
    let Reaccepted::Duplicate(deliveries) = again else { panic!("{again:?}") };
    assert_eq!((deliveries[0].id, deliveries[0].reason.clone()), (event.deliveries[0].id, None));
    let stale = leadlined::store::lead::intake::NewEvent { version: event.version + 1, ..event.clone() };
    assert_eq!(bench.store.accept_again(&stale).await.unwrap(), Reaccepted::Stale);
    let mut command = bench.command().await;
    let erased = command.erase_lead(None, &id.to_string()).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!((erased.skipped, erased.deliveries), (1, 1));
    assert_eq!(bench.stands(event.deliveries[0].id).await, ("skipped".into(), Some("erased".into())));
    assert_eq!(bench.count("due").await, 0);
    assert_eq!(bench.store.accept_again(&event).await.unwrap(), Reaccepted::Erased);
}

#[tokio::test]
async fn erasing_clears_what_is_dead_and_what_was_rendered() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    bench.sql("UPDATE delivery SET body = 'Ann', progress = '{}'").await;
    let mut command = bench.command().await;
    command.erase_lead(None, &lead.id.to_string()).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.count("undelivered").await, 0);
    assert!(bench.holds("(SELECT dead = 0 FROM integration_stat)").await);
    assert!(bench.holds("(SELECT body IS NULL AND progress IS NULL FROM delivery)").await);
    assert_eq!(bench.store.finish_erasures().await.unwrap(), 0);
}

#[tokio::test]
async fn of_a_deleted_integration_nothing_stays_once_its_pushes_have_ended() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.pending().await;
    bench.held().await;
    let item = bench.claim_one().await;
    let mut command = bench.command().await;
    let integration = command.integration(&bench.crm.to_string()).await.unwrap();
    command.delete_integration(&integration).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.store.finish_deletions().await.unwrap(), 1, "one is being pushed");
    assert_eq!((bench.count("due").await, bench.count("delivery").await), (0, 3));
    bench.end(&[item], &dead()).await;
    assert_eq!(bench.store.finish_deletions().await.unwrap(), 0);
    for table in ["due", "undelivered", "delivery", "attempt", "integration_stat"] {
        assert_eq!(bench.count(table).await, 0, "{table}");
    }
}
