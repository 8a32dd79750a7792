//! What a finish changes: deliveries, what waits behind them, lists, counts and health.

use std::time::{Duration, Instant};

use leadlined::{
    domain::{
        delivery::{LaneKind, Reason, Transition},
        fanout::Fate,
    },
    store::queue::{finish::Finished, stranded::Position},
};

use super::bench::{Bench, dead, ended, exhausted, retry};

#[tokio::test]
async fn each_transition_leaves_its_delivery_where_it_belongs() {
    let mut bench = Bench::new().await;
    for (how, state, reason, due, listed) in [
        (Transition::Delivered, "delivered", None, 0, 0),
        (retry(), "pending", None, 1, 0),
        (dead(), "dead", Some("failed"), 0, 1),
        (Transition::Skipped { reason: Reason::NoConsent }, "skipped", Some("no_consent"), 0, 0),
    ] {
        let id = bench.pending().await.deliveries[0];
        bench.push(&how).await;
        assert_eq!(bench.stands(id).await, (state.to_owned(), reason.map(str::to_owned)), "{how:?}");
        assert_eq!(bench.count("due").await, due, "{how:?}");
        assert_eq!(bench.count("undelivered").await, listed, "{how:?}");
        assert_eq!(bench.count("claim").await, 0);
        bench.sql("DELETE FROM due").await;
        bench.sql("DELETE FROM undelivered").await;
    }
    assert!(
        bench
            .holds(
                "(SELECT dead = 1 AND failure_count = 2 AND last_class = 'rejected' FROM integration_stat)"
            )
            .await
    );
}

#[tokio::test]
async fn a_retry_waits_for_its_time_under_the_time_of_its_delivery() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let how = Transition::Retry { after: Duration::from_secs(60), retries: 2, waits: 0, throttle: true };
    let item = bench.claim_one().await;
    let flushed = bench.end(&[item], &how).await;
    assert_eq!((flushed.hints[0].kind, flushed.pauses.len()), (LaneKind::Retry, 1));
    assert!(bench.holds("(SELECT d.due_at = q.due_at AND d.retries = 2 FROM delivery d, due q)").await);
    assert!(bench.holds("(SELECT throttled_until > now() + interval '50 seconds' FROM integration)").await);
}

#[tokio::test]
async fn who_waits_behind_a_final_one_is_due() {
    for (how, is_due) in [(Transition::Delivered, true), (dead(), true), (retry(), false)] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        let update = bench.update(lead.id).await;
        assert_eq!(bench.stands(update).await.1.as_deref(), Some("waits_for"));
        bench.push(&how).await;
        let sql = format!(
            "EXISTS (SELECT FROM due q JOIN delivery d ON d.id = q.delivery_id AND d.due_at = q.due_at WHERE q.delivery_id = '{}')",
            update.uuid()
        );
        assert_eq!(bench.holds(&sql).await, is_due, "{how:?}");
        assert_eq!(bench.stands(update).await.1.is_none(), is_due, "{how:?}");
    }
}

#[tokio::test]
async fn a_later_push_that_arrives_ends_what_is_dead() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&exhausted()).await;
    bench.update(lead.id).await;
    bench.push(&Transition::Delivered).await;
    assert_eq!(bench.stands(lead.deliveries[0]).await, ("skipped".into(), Some("superseded".into())));
    assert_eq!(bench.count("undelivered").await, 0);
    assert!(bench.holds("(SELECT dead = 0 AND NOT failing FROM integration_stat)").await);
}

#[tokio::test]
async fn a_flush_that_is_sent_again_counts_nothing_twice() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let item = bench.claim_one().await;
    for _ in 0..3 {
        bench.store.finish(bench.daemon, &[ended(&item, &dead())], &[]).await.unwrap();
    }
    bench.store.finish::<Finished>(bench.daemon, &[], &[item.claim]).await.unwrap();
    assert_eq!((bench.count("attempt").await, bench.count("claim").await), (1, 0));
    assert!(bench.holds("(SELECT dead = 1 AND failure_count = 1 FROM integration_stat)").await);
}

#[tokio::test]
async fn a_daemon_that_was_taken_for_dead_changes_nothing() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    let item = bench.claim_one().await;
    bench.store.leave(bench.daemon).await.unwrap();
    let heir = bench.store.enroll(600.0).await.unwrap();
    bench.store.adopt(heir, &[item.claim]).await.unwrap();
    let flushed = bench.end(std::slice::from_ref(&item), &Transition::Delivered).await;
    assert_eq!((flushed.recorded, flushed.left.len()), (0, 0));
    assert_eq!((bench.count("attempt").await, &*bench.state(id).await), (0, "pending"));
}

#[tokio::test]
async fn what_an_operator_held_stays_held_unless_it_arrives() {
    for (how, state, listed) in
        [(retry(), "held", 1), (dead(), "held", 1), (Transition::Delivered, "delivered", 0)]
    {
        let mut bench = Bench::new().await;
        let id = bench.pending().await.deliveries[0];
        let item = bench.claim_one().await;
        let mut command = bench.command().await;
        let held =
            command.hold(bench.company, &[id.uuid()], &Reason::HeldByOperator("ann".into())).await.unwrap();
        assert_eq!((held.changed, held.running), (1, 1));
        command.commit().await.unwrap();
        bench.end(&[item], &how).await;
        assert_eq!(bench.state(id).await, state, "{how:?}");
        assert_eq!((bench.count("undelivered").await, bench.count("due").await), (listed, 0), "{how:?}");
        assert!(bench.holds("(SELECT dead = 0 FROM integration_stat)").await);
    }
}

#[tokio::test]
async fn what_must_not_be_pushed_says_nothing_of_its_lane() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let before =
        bench.count("integration_stat WHERE last_class IS NULL AND failure_count = 0 AND NOT failing").await;
    bench.push(&Transition::Skipped { reason: Reason::NoConsent }).await;
    assert_eq!(before, 1);
    assert_eq!(
        bench.count("integration_stat WHERE last_class IS NULL AND failure_count = 0 AND NOT failing").await,
        1
    );
}

#[tokio::test]
async fn what_was_dead_is_superseded_by_later_events_and_pushes_alone() {
    // Who arrives: an event of which kind, made automatically or by an operator; and whether what died before is done.
    for (event, is_automatic, is_earlier, is_done) in [
        ("lead.updated", true, true, true),
        ("lead.created", false, true, true),
        // The first event of a lead has nothing before it.
        ("lead.created", true, true, false),
        // What died later is newer.
        ("lead.updated", true, false, false),
    ] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        let old = lead.deliveries[0];
        bench.push(&dead()).await;
        let other = bench.pending().await.deliveries[0];
        bench.push(&dead()).await;
        let update = bench.update(lead.id).await;
        let way = if is_earlier { "-" } else { "+" };
        bench
            .sql(&format!(
                "UPDATE delivery SET created_at = now() {way} interval '1 hour' WHERE id = '{}';
                 UPDATE delivery SET event = '{event}', automatic = {is_automatic} WHERE id = '{}'",
                old.uuid(),
                update.uuid()
            ))
            .await;
        bench.push(&Transition::Delivered).await;
        let stands = bench.stands(old).await;
        let expected = if is_done { ("skipped", "superseded") } else { ("dead", "failed") };
        assert_eq!(
            (&*stands.0, stands.1.as_deref().unwrap()),
            expected,
            "{event} {is_automatic} {is_earlier}"
        );
        assert_eq!(bench.state(other).await, "dead", "another lead is another matter");
        assert_eq!(bench.count("undelivered WHERE state = 'dead'").await, if is_done { 1 } else { 2 });
        assert_eq!(bench.count("undelivered").await, if is_done { 1 } else { 2 });
    }
}

#[tokio::test]
async fn who_waits_is_handed_on_as_it_stands() {
    // How the one that waits stands when the one before it is over, and how it is queued then.
    for (change, state, due) in [
        ("", "pending", Some((0, "first"))),
        // It was pushed before: what comes now is a repeat.
        ("attempts = 1", "pending", Some((1, "retry"))),
        ("state = 'held', reason_code = 'rotation'", "held", None),
        ("state = 'skipped', reason_code = 'no_flow', finished_at = now()", "skipped", None),
    ] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        let update = bench.update(lead.id).await;
        let item = bench.claim_one().await;
        if !change.is_empty() {
            bench.sql(&format!("UPDATE delivery SET {change} WHERE id = '{}'", update.uuid())).await;
        }
        bench.end(&[item], &Transition::Delivered).await;
        let stands = bench.stands(update).await;
        assert_eq!(stands.0, state, "{change}");
        assert_eq!(stands.1.is_none(), state == "pending", "{change}: a reason that is over goes");
        let queued: Option<(i16, String)> =
            sqlx::query_as("SELECT kind, trigger FROM due").fetch_optional(&bench.pool).await.unwrap();
        assert_eq!(queued, due.map(|(kind, trigger)| (kind, trigger.to_owned())), "{change}");
    }
}

#[tokio::test]
async fn a_retry_tells_when_its_lane_is_due_and_of_what_kind() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.update(lead.id).await;
    let item = bench.claim_one().await;
    bench.reported();
    bench.end(&[item], &Transition::Skipped { reason: Reason::NoConsent }).await;
    let reported = bench.reported();
    assert_eq!(
        reported.iter().map(|hint| (hint.lane, hint.kind)).collect::<Vec<_>>(),
        [(bench.lane(), LaneKind::First)]
    );
    let item = bench.claim_one().await;
    bench.end(&[item], &retry()).await;
    assert_eq!(bench.reported()[0].kind, LaneKind::Retry);
    // A lead whose fate was decided at the door makes nobody look.
    bench.lead(Fate::Skipped(Reason::NoFlow)).await;
    assert!(bench.reported().is_empty());
}

#[tokio::test]
async fn a_finish_finds_its_claims_by_their_ids() {
    let mut bench = Bench::new().await;
    let scans = |index: &str, such: &str| {
        format!("(SELECT idx_scan {such} FROM pg_stat_user_indexes WHERE indexrelname = '{index}')")
    };
    // A connection reports its statistics once a second.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bench.holds(&scans("claim_pkey", ">= 3")).await {
        assert!(Instant::now() < deadline, "the index of ids is not used");
        bench.pending().await;
        bench.push(&Transition::Delivered).await;
    }
    // While somebody holds a snapshot, the index of daemons leads to every claim that was ever made.
    assert!(bench.holds(&scans("claim_daemon", "= 0")).await);
}

#[tokio::test]
async fn a_nul_in_what_a_target_says_keeps_nothing_from_being_written() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let item = bench.claim_one().await;
    let mut finished = ended(&item, &dead());
    finished.result.note = Some("it says \"a\0b\"".into());
    let flushed = bench.store.finish(bench.daemon, &[finished], &[item.claim]).await.unwrap();
    assert_eq!(flushed.recorded, 1);
    assert!(bench.holds("(SELECT note = 'it says \"ab\"' FROM attempt)").await);
}

#[tokio::test]
async fn a_stripped_attempt_holds_nothing_that_others_wrote() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let mut finished = ended(&bench.claim_one().await, &dead());
    finished.result.note = Some("a word of the target's".into());
    finished.result.body = Some("{}".into());
    finished.result.strip();
    let result = finished.result;
    assert!(result.note.is_none() && result.body.is_none() && result.sent.is_none());
    assert!(result.answer.is_none() && result.calls.is_empty());
    assert!(result.outcome.failure().is_some(), "what it came to stays");
}

#[tokio::test]
async fn an_attempt_that_cannot_be_written_ends_its_delivery_all_the_same() {
    for (how, state, reason, listed) in [
        (Transition::Delivered, "delivered", None, 0),
        (retry(), "dead", Some("unwritten"), 1),
        (dead(), "dead", Some("unwritten"), 1),
    ] {
        let mut bench = Bench::new().await;
        let lead = bench.pending().await;
        let update = bench.update(lead.id).await;
        let finished = ended(&bench.claim_one().await, &how);
        bench.sql("ALTER TABLE attempt ADD CONSTRAINT refused CHECK (false) NOT VALID").await;
        let refused = bench.store.finish(bench.daemon, &[&finished], &[finished.claimed.claim]).await;
        assert!(!refused.unwrap_err().is_passing(), "{how:?}");
        bench.store.end_unwritten(bench.daemon + 1, &finished).await.unwrap();
        assert_eq!(bench.count("claim").await, 1, "it is another daemon's");
        // Whoever lost the answer asks again.
        for _ in 0..2 {
            bench.store.end_unwritten(bench.daemon, &finished).await.unwrap();
            let stands = bench.stands(lead.deliveries[0]).await;
            assert_eq!(stands, (state.to_owned(), reason.map(str::to_owned)), "{how:?}");
            assert_eq!((bench.count("undelivered").await, bench.count("claim").await), (listed, 0));
            assert!(bench.holds(&format!("(SELECT dead = {listed} FROM integration_stat)")).await);
            let next = format!("due WHERE delivery_id = '{}'", update.uuid());
            assert_eq!((bench.count(&next).await, bench.count("due").await), (1, 1), "what waited goes");
        }
        assert_eq!(bench.store.mend(Position::default()).await.unwrap().total(), 0, "{how:?}");
        // What is pushed now is a repeat.
        assert!(bench.holds("(SELECT max(attempts) = 1 FROM delivery)").await);
    }
}

#[tokio::test]
async fn what_an_operator_held_stays_held_where_its_attempt_cannot_be_written() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    let finished = ended(&bench.claim_one().await, &retry());
    let mut command = bench.command().await;
    command.hold(bench.company, &[id.uuid()], &Reason::HeldByOperator("ann".into())).await.unwrap();
    command.commit().await.unwrap();
    bench.store.end_unwritten(bench.daemon, &finished).await.unwrap();
    assert_eq!(bench.state(id).await, "held");
    assert_eq!((bench.count("undelivered").await, bench.count("claim").await), (1, 0));
    assert_eq!(bench.count("due").await, 0);
}
