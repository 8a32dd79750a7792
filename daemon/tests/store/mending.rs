//! The look at whether every delivery stands where its state says: each way in which one does not, and how it is mended.

use leadlined::{
    domain::delivery::Transition,
    store::queue::stranded::{Mended, Position},
};

use super::bench::{Bench, dead, exhausted};

impl Bench {
    /// Looks at everything.
    async fn mend(&self) -> Mended {
        let (mut sum, mut position) = (Mended::default(), Position::default());
        loop {
            let step = self.store.mend(position).await.unwrap();
            sum.stranded += step.stranded;
            sum.missing += step.missing;
            sum.ghosts += step.ghosts;
            sum.miscounted += step.miscounted;
            match step.next {
                Some(next) => position = next,
                None => return sum,
            }
        }
    }
}

#[tokio::test]
async fn what_stands_right_is_left_alone() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    bench.push(&exhausted()).await;
    bench.held().await;
    let lead = bench.pending().await;
    bench.update(lead.id).await;
    bench.claim(1).await;
    bench.update(lead.id).await;
    bench.pending().await;
    assert_eq!(bench.mend().await, Mended::default());
}

#[tokio::test]
async fn a_pending_delivery_in_no_list_is_due_again() {
    for strand in [
        "DELETE FROM due",
        "DELETE FROM due; INSERT INTO claim (daemon_id, items, attempts)
             SELECT 0, ARRAY[ROW(company_id, integration_id, 0, now(), id, 'first', NULL)::claimed_item], ARRAY[gen_random_uuid()]
             FROM delivery WHERE event = 'lead.created'; DELETE FROM claim",
        "UPDATE delivery SET successor_id = NULL",
        "UPDATE delivery SET state = 'delivered', finished_at = now() WHERE successor_id IS NOT NULL; DELETE FROM due",
    ] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        let update = bench.update(lead.id).await;
        bench.sql(strand).await;
        let mended = bench.mend().await;
        assert_eq!((mended.stranded, mended.total()), (1, 1), "{strand}");
        assert_eq!(bench.mend().await.total(), 0, "{strand}");
        loop {
            let items = bench.claim(1).await;
            if items.is_empty() {
                break;
            }
            bench.end(&items, &Transition::Delivered).await;
        }
        assert_eq!(bench.state(lead.deliveries[0]).await, "delivered", "{strand}");
        assert_eq!(bench.state(update).await, "delivered", "{strand}");
    }
}

#[tokio::test]
async fn one_whose_attempt_was_written_and_that_was_not_moved_on_is_due_again() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    bench.push(&dead()).await;
    bench.sql("UPDATE delivery SET state = 'pending', finished_at = NULL, reason_code = NULL; DELETE FROM undelivered").await;
    let mended = bench.mend().await;
    assert_eq!((mended.stranded, mended.miscounted), (1, 1));
    bench.push(&Transition::Delivered).await;
    assert_eq!(bench.state(id).await, "delivered");
}

#[tokio::test]
async fn ghosts_go_and_what_is_missing_comes() {
    let mut bench = Bench::new().await;
    let held = bench.held().await.deliveries[0];
    bench.pending().await;
    bench.push(&dead()).await;
    bench.pending().await;
    bench.push(&dead()).await;
    // One arrived and is listed as held, one is dead and listed nowhere, one is dead and listed as held.
    bench
        .sql(&format!(
            "UPDATE delivery SET state = 'delivered', finished_at = now() WHERE id = '{}'",
            held.uuid()
        ))
        .await;
    bench.sql("DELETE FROM undelivered WHERE delivery_id = (SELECT min(delivery_id::text)::uuid FROM undelivered WHERE state = 'dead')").await;
    let mended = bench.mend().await;
    assert_eq!((mended.ghosts, mended.missing), (1, 1));
    assert_eq!(bench.count("undelivered WHERE state = 'dead'").await, 2);
    bench.mend().await;
    assert!(bench.holds("(SELECT dead = 2 FROM integration_stat)").await);
    assert_eq!(bench.mend().await.total(), 0);
}
