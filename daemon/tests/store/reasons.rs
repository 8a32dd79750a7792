//! Words in the database: reasons as codes, and what a daemon does not know.

use leadlined::{
    domain::{
        delivery::{Reason, Unmet},
        fanout::Fate,
        ids::DeliveryId,
    },
    store::{
        Error,
        delivery::read::{DeliveryFilter, Order},
    },
};

use super::bench::{Bench, COMMANDS, dead, exhausted, retry};

impl Bench {
    async fn told_reason(&self) -> Option<String> {
        let filter = DeliveryFilter { company: Some(self.company), ..DeliveryFilter::default() };
        let views = self.store.delivery_views(&filter, Order::NewestFirst, None, None).await.unwrap();
        views[0].reason.clone()
    }

    /// When the sweep comes to a delivery by its facts, by a list and by its integration.
    async fn sweep_times(&self, id: DeliveryId) -> [Option<jiff::Timestamp>; 3] {
        let filter = DeliveryFilter { company: Some(self.company), ..DeliveryFilter::default() };
        let views = self.store.delivery_views(&filter, Order::OldestFirst, None, None).await.unwrap();
        let listed = views.into_iter().find(|view| view.id == id).unwrap().due_at;
        let integration = self.store.integration_view("crm").await.unwrap().health.sweep_at;
        [self.store.facts(id).await.unwrap().sweep_at, listed, integration]
    }

    /// What a list says of a delivery: why it waits, and whether it says until when.
    async fn waits(&self, id: DeliveryId) -> (Option<String>, bool) {
        let filter = DeliveryFilter { company: Some(self.company), ..DeliveryFilter::default() };
        let views = self.store.delivery_views(&filter, Order::OldestFirst, None, None).await.unwrap();
        let view = views.into_iter().find(|view| view.id == id).unwrap();
        (view.reason, view.due_at.is_some())
    }
}

#[tokio::test]
async fn what_is_kept_as_a_code_is_read_as_a_sentence() {
    let mut bench = Bench::new().await;
    let fails = Reason::FlowFails { flow: "vip \"gold\"".into(), problem: "no such field".into() };
    for reason in [
        Reason::NoFlow,
        Reason::NoConsent,
        Reason::FlowNotMet(Unmet::new(&["a", "b"], Some("c"))),
        Reason::skipped("ann"),
    ] {
        bench.lead(Fate::Skipped(reason.clone())).await;
        assert_eq!(bench.told_reason().await, Some(reason.text()));
    }
    for reason in [Reason::IntegrationDisabled, Reason::Rotation, fails, Reason::HeldByOperator("bob".into())]
    {
        bench.lead(Fate::Held(reason.clone())).await;
        assert_eq!(bench.told_reason().await, Some(reason.text()));
    }
    bench.pending().await;
    bench.push(&dead()).await;
    assert_eq!(bench.told_reason().await.as_deref(), Some("rejected"));
    bench.pending().await;
    bench.push(&exhausted()).await;
    assert_eq!(bench.told_reason().await.as_deref(), Some("transient: 3 automatic retries failed"));
}

#[tokio::test]
async fn a_reason_of_a_newer_daemon_is_told_as_one() {
    let mut bench = Bench::new().await;
    let id = bench.held().await.deliveries[0];
    bench.sql("UPDATE delivery SET reason_code = 'embargo', reason_detail = '{\"until\": 7}'").await;
    assert_eq!(bench.told_reason().await.as_deref(), Some("embargo: this daemon is too old to know why"));
    let facts = bench.store.facts(id).await.unwrap();
    assert_eq!(facts.reason, Some(Reason::Unknown("embargo".into())));
    // It can be released all the same.
    let mut command = bench.command().await;
    assert_eq!(command.release(bench.company, &[id.uuid()]).await.unwrap().changed, 1);
    command.commit().await.unwrap();
    assert_eq!(bench.told_reason().await, None);
}

#[tokio::test]
async fn what_a_daemon_cannot_read_waits_in_the_queue_and_nothing_else_does() {
    for strange in [
        "UPDATE due SET trigger = 'comet' WHERE delivery_id = '{id}'",
        "UPDATE delivery SET event = 'lead.merged' WHERE id = '{id}'",
        "DELETE FROM event WHERE id = (SELECT event_id FROM delivery WHERE id = '{id}')",
    ] {
        let mut bench = Bench::new().await;
        let id = bench.pending().await.deliveries[0];
        bench.pending().await;
        bench.sql(&strange.replace("{id}", &id.uuid().to_string())).await;
        let items = bench.claim(9).await;
        assert_eq!(items.len(), 1, "{strange}: the other is pushed");
        assert_ne!(items[0].delivery, id);
        let waits =
            format!("due WHERE delivery_id = '{}' AND due_at > now() + interval '30 seconds'", id.uuid());
        assert_eq!((bench.count(&waits).await, &*bench.state(id).await), (1, "pending"), "{strange}");
        assert!(bench.holds("(SELECT array_length(items, 1) = 1 FROM claim)").await, "{strange}");
    }
}

#[tokio::test]
async fn what_a_heir_cannot_read_goes_back_to_the_queue() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let item = bench.claim_one().await;
    bench.sql("UPDATE delivery SET event = 'lead.merged'").await;
    bench.store.leave(bench.daemon).await.unwrap();
    let heir = bench.store.enroll(600.0).await.unwrap();
    assert!(bench.store.adopt(heir, &[item.claim]).await.unwrap().is_empty());
    assert_eq!((bench.count("due").await, bench.count("claim").await), (1, 0));
}

#[tokio::test]
async fn a_list_says_what_keeps_a_delivery_now_and_not_when_it_was_moved() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    let first = lead.deliveries[0];
    bench.push(&retry()).await;
    let throttled = "throttled: the target asked us to wait";
    let breaker = "breaker open: one retry finds out then";
    for (change, back, says) in [
        (
            "UPDATE integration SET enabled = false",
            "UPDATE integration SET enabled = true",
            ("integration disabled", false),
        ),
        (
            "UPDATE company SET paused_at = now()",
            "UPDATE company SET paused_at = NULL",
            ("company paused", false),
        ),
        (
            "UPDATE integration SET awaits_cut_over = true",
            "UPDATE integration SET awaits_cut_over = false",
            ("rotation: held until cut over", false),
        ),
        (
            "UPDATE integration SET throttled_until = now() + interval '1 hour'",
            "UPDATE integration SET throttled_until = now() - interval '1 s'",
            (throttled, true),
        ),
        (
            "UPDATE integration_stat SET breaker_until = now() + interval '1 hour'",
            "UPDATE integration_stat SET breaker_until = NULL",
            (breaker, true),
        ),
    ] {
        bench.sql(change).await;
        assert_eq!(bench.waits(first).await, (Some(says.0.to_owned()), says.1), "{change}");
        bench.sql(back).await;
        let (reason, is_due) = bench.waits(first).await;
        assert!(is_due && reason.as_deref() != Some(says.0), "{back}: {reason:?}");
    }
    // The update waits for the first, and for nobody once that is final.
    let update = bench.update(lead.id).await;
    assert_eq!(bench.waits(update).await, (Some(format!("waits for {first}")), false));
    let mut command = bench.command().await;
    command.skip(bench.company, &[first.uuid()], &Reason::skipped("ann")).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.waits(update).await, (None, true));
}

#[tokio::test]
async fn whoever_asks_is_told_the_time_at_which_the_sweep_comes() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    bench.push(&exhausted()).await;
    bench.sql("UPDATE integration_stat SET sweep_at = now() + interval '10 minutes'").await;
    let planned = bench.sweep_times(id).await[0].unwrap();
    let later = planned + jiff::SignedDuration::from_mins(20);
    let cases = COMMANDS.map(|(close, open)| (close, open, None)).into_iter().chain([
        (
            "integration SET throttled_until = (SELECT sweep_at FROM integration_stat) + interval '20 minutes'",
            "integration SET throttled_until = NULL",
            Some(later),
        ),
        (
            "integration SET throttled_until = now() + interval '1 minute'",
            "integration SET throttled_until = NULL",
            Some(planned),
        ),
    ]);
    for (close, open, told) in cases {
        bench.sql(&format!("UPDATE {close}")).await;
        assert_eq!(bench.sweep_times(id).await, [told; 3], "{close}");
        bench.sql(&format!("UPDATE {open}")).await;
        assert_eq!(bench.sweep_times(id).await, [Some(planned); 3], "{open}");
    }
    // By then it is too old; the lane has a time all the same.
    bench.sql("UPDATE delivery SET created_at = created_at - interval '71 hours 55 minutes'").await;
    assert_eq!(bench.sweep_times(id).await, [None, None, Some(planned)]);
}

#[test]
fn what_cannot_be_read_or_written_now_says_what_to_do() {
    for (error, reported) in [
        (
            Error::UnknownWord { what: "trigger", word: "comet".into() },
            "a stored trigger is \"comet\", which this daemon does not know: run the newest leadlined of this database",
        ),
        (Error::Locked, "somebody holds what is to be written: try again in a moment"),
    ] {
        assert_eq!(error.to_string(), reported);
    }
}
