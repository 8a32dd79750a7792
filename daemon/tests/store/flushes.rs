//! A flush of ended attempts, arm by arm: counts and health, pauses, breakers, who is handed on, and what is superseded.

use std::time::Duration;

use leadlined::{
    domain::{
        delivery::Transition,
        ids::IntegrationId,
        outcome::{Failure, FailureClass, Outcome},
    },
    store::{
        SweepPolicy,
        queue::{
            claim::Claimed,
            finish::{ERROR_MAX, Finished, KeptResponse, Sent},
        },
    },
};
use sqlx::FromRow;

use super::{
    bench::{Bench, dead, ended, exhausted, retry},
    invariants::check_invariants,
};

/// The health of a lane, as it is stored.
#[derive(Debug, Default, PartialEq, FromRow)]
struct Health {
    failure_count: i64,
    dead: i64,
    last_error: Option<String>,
    last_class: Option<String>,
    failing: bool,
    streak: i32,
    trips: i32,
    is_pushed: bool,
    is_open: bool,
    is_swept: bool,
    breaker_error: Option<String>,
}

impl Bench {
    async fn health(&self, id: IntegrationId) -> Health {
        sqlx::query_as(
            "SELECT failure_count, dead, last_error, last_class, failing, streak, trips, breaker_error,
                 last_pushed_at IS NOT NULL AS is_pushed, breaker_until IS NOT NULL AS is_open,
                 sweep_at IS NOT NULL AS is_swept
             FROM integration_stat WHERE integration_id = $1",
        )
        .bind(id.uuid())
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    pub(crate) async fn claimed(&mut self, count: usize) -> Vec<Claimed> {
        for _ in 0..count {
            self.pending().await;
        }
        let items = self.claim(i32::try_from(count).unwrap()).await;
        assert_eq!(items.len(), count);
        items
    }
}

/// An attempt that failed of this, and came to that.
fn failed(item: &Claimed, class: FailureClass, error: &str, how: &Transition) -> Finished {
    let mut end = ended(item, how);
    end.result.outcome = Outcome::Failed(Failure::new(class, error));
    end.result.sent = Some(Sent {
        method: "POST".to_owned(),
        url: "https://crm.example".to_owned(),
        headers: "[]".to_owned(),
        secret_version: None,
    });
    end
}

fn waits(after: u64, waits: i16, throttle: bool) -> Transition {
    Transition::Retry { after: Duration::from_secs(after), retries: 1, waits, throttle }
}

/// How attempts end: the class and error of each that failed, and what follows.
type Ends = Vec<(Option<(FailureClass, &'static str)>, Transition)>;

/// The health of a lane whose one attempt failed of this.
fn after(class: FailureClass, error: &str) -> Health {
    Health {
        failure_count: 1,
        last_error: Some(error.to_owned()),
        last_class: Some(class.as_str().to_owned()),
        ..Health::default()
    }
}

/// The same, where the target was down.
fn down(error: &str) -> Health {
    Health { streak: 1, breaker_error: Some(error.to_owned()), ..after(FailureClass::Transient, error) }
}

fn health_cases() -> Vec<(&'static str, Ends, Health)> {
    use FailureClass::{Credentials, Rejected, Transient};
    let arrived = || (None, Transition::Delivered);
    let is_dead = |health: Health| Health { dead: 1, failing: true, ..health };
    let long = waits(60, leadlined::domain::delivery::WAITS_FAILING, false);
    vec![
        ("one arrives", vec![arrived()], Health { is_pushed: true, ..Health::default() }),
        ("one fails, and is tried again", vec![(Some((Transient, "a")), retry())], down("a")),
        ("one dies", vec![(Some((Rejected, "b")), dead())], is_dead(after(Rejected, "b"))),
        (
            "one dies for now",
            vec![(Some((Transient, "c")), exhausted())],
            Health { is_swept: true, ..is_dead(down("c")) },
        ),
        (
            "one arrives behind one that died",
            vec![(Some((Rejected, "b")), dead()), arrived()],
            Health { failing: false, last_class: None, is_pushed: true, ..is_dead(after(Rejected, "b")) },
        ),
        (
            "one dies behind one that arrived",
            vec![arrived(), (Some((Credentials, "d")), dead())],
            Health { is_pushed: true, ..is_dead(after(Credentials, "d")) },
        ),
        (
            "one waits once more as its target asks",
            vec![(Some((Transient, "e")), long)],
            Health { failing: true, ..down("e") },
        ),
    ]
}

/// A push has just arrived, however slow the test is.
const JUST_NOW: &str = "UPDATE integration_stat SET last_pushed_at = now() + interval '30 seconds'";

#[tokio::test]
async fn health_is_what_the_attempts_of_a_flush_came_to_in_their_order() {
    for (what, ends, expected) in health_cases() {
        // Behind one that has just arrived it is the same.
        for has_arrived in [false, true] {
            let mut bench = Bench::new().await;
            if has_arrived {
                let item = bench.claimed(1).await;
                bench.end(&item, &Transition::Delivered).await;
                bench.sql(JUST_NOW).await;
            }
            let items = bench.claimed(ends.len()).await;
            let finished = items.iter().zip(&ends).map(|(item, (failure, how))| match failure {
                Some((class, error)) => failed(item, *class, error, how),
                None => ended(item, how),
            });
            let finished: Vec<Finished> = finished.collect();
            let claims: Vec<i64> = items.iter().map(|item| item.claim).collect();
            bench.store.finish(bench.daemon, &finished, &claims).await.unwrap();
            let mut health = bench.health(bench.crm).await;
            health.is_pushed &= !has_arrived || expected.is_pushed;
            assert_eq!(health, expected, "{what}, behind one that arrived: {has_arrived}");
            check_invariants(&bench.pool).await;
        }
    }
}

#[tokio::test]
async fn where_all_goes_well_health_is_written_once_a_second() {
    let mut bench = Bench::new().await;
    let items = bench.claimed(3).await;
    let mut versions: Vec<String> = Vec::new();
    let earlier = "UPDATE integration_stat SET last_pushed_at = now() - interval '2 seconds'";
    for (item, meanwhile) in items.iter().zip(["", JUST_NOW, earlier]) {
        bench.sql(meanwhile).await;
        let of = "SELECT xmin::text FROM integration_stat";
        versions.push(sqlx::query_scalar(of).fetch_one(&bench.pool).await.unwrap());
        bench.store.finish(bench.daemon, &[ended(item, &Transition::Delivered)], &[]).await.unwrap();
        versions.push(sqlx::query_scalar(of).fetch_one(&bench.pool).await.unwrap());
    }
    let is_written: Vec<bool> = versions.chunks(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(is_written, [true, false, true]);
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn a_push_that_arrives_ends_all_that_went_wrong_however_recent_the_one_before() {
    for wrong in [
        "last_class = 'rejected'",
        "failing = true",
        "streak = 3",
        "trips = 1",
        "breaker_until = now()",
        "breaker_error = 'gone'",
        "last_pushed_at = now() + interval '1 day'",
    ] {
        let mut bench = Bench::new().await;
        let item = bench.claimed(1).await;
        bench.sql(&format!("{JUST_NOW}; UPDATE integration_stat SET {wrong}")).await;
        bench.end(&item, &Transition::Delivered).await;
        let expected = Health { is_pushed: true, ..Health::default() };
        assert_eq!(bench.health(bench.crm).await, expected, "{wrong}");
        assert!(bench.holds("(SELECT last_pushed_at <= now() FROM integration_stat)").await, "{wrong}");
    }
}

#[tokio::test]
async fn a_breaker_opens_with_the_twentieth_failure_tells_its_error_and_closes_with_an_answer() {
    let mut bench = Bench::new().await;
    for n in 1..=20 {
        let item = bench.claimed(1).await.remove(0);
        let end = failed(&item, FailureClass::Transient, &format!("error {n}"), &waits(3600, 0, false));
        let flushed = bench.store.finish(bench.daemon, &[end], &[item.claim]).await.unwrap();
        assert_eq!(flushed.breakers.len(), 1);
        assert_eq!(flushed.breakers[0].1.is_some(), n == 20, "{n}");
    }
    let open = bench.health(bench.crm).await;
    assert_eq!((open.streak, open.trips, open.is_open), (20, 1, true));
    assert_eq!(open.breaker_error.as_deref(), Some("error 20"));
    // What is refused was answered: the target is up.
    let item = bench.claimed(1).await.remove(0);
    let end = failed(&item, FailureClass::Rejected, "no such field", &dead());
    let flushed = bench.store.finish(bench.daemon, &[end], &[item.claim]).await.unwrap();
    assert_eq!(flushed.breakers[0].1, None);
    let closed = bench.health(bench.crm).await;
    assert_eq!((closed.streak, closed.trips, closed.is_open, closed.breaker_error), (0, 0, false, None));
}

#[tokio::test]
async fn a_pause_is_never_cut_short_and_is_of_its_lane_alone() {
    let mut bench = Bench::new().await;
    bench.integration(bench.company, "other").await;
    // All are claimed before: a lane that waits gives nothing.
    let items = bench.claimed(4).await;
    for (item, (seconds, throttle, most)) in
        items.iter().zip([(3600, true, 3600), (60, true, 3600), (7200, false, 3600), (7200, true, 7200)])
    {
        let end = [ended(item, &waits(seconds, 0, throttle))];
        let flushed = bench.store.finish(bench.daemon, &end, &[]).await.unwrap();
        assert_eq!(flushed.pauses.len(), usize::from(throttle));
        let span = format!(
            "integration WHERE throttled_until - now() BETWEEN interval '{} seconds' AND interval '{most} seconds'",
            most - 120
        );
        assert_eq!(bench.count(&span).await, 1, "{seconds} {throttle}");
        assert_eq!(bench.count("integration WHERE throttled_until IS NOT NULL").await, 1);
    }
    let told = bench.store.stops(bench.lane()).await.unwrap();
    assert!(told.throttled_until.is_some());
}

#[tokio::test]
async fn lanes_of_one_flush_are_counted_each_for_itself() {
    let mut bench = Bench::new().await;
    let (crm, mail) = (bench.crm, bench.integration(bench.company, "mail").await);
    let mut items = bench.claimed(2).await;
    bench.crm = mail;
    items.extend(bench.claim(2).await);
    let how = [dead(), retry(), Transition::Delivered, Transition::Delivered];
    let finished: Vec<Finished> = items.iter().zip(&how).map(|(item, how)| ended(item, how)).collect();
    let claims: Vec<i64> = items.iter().map(|item| item.claim).collect();
    let flushed = bench.store.finish(bench.daemon, &finished, &claims).await.unwrap();
    assert_eq!((flushed.recorded, flushed.breakers.len()), (4, 2));
    let (first, second) = (bench.health(crm).await, bench.health(mail).await);
    assert_eq!((first.failure_count, first.dead, first.is_pushed), (2, 1, false));
    assert_eq!((second.failure_count, second.dead, second.is_pushed), (0, 0, true));
    check_invariants(&bench.pool).await;
}

#[tokio::test]
async fn the_sweep_comes_an_interval_later_unless_that_is_too_late() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (interval, age, created_hours_ago, is_swept) in
        [(1, 72, 0, true), (1, 72, 70, true), (1, 72, 72, false), (3, 2, 0, false)]
    {
        let mut bench = Bench::new().await;
        bench.store =
            bench.store.clone().sweeping(SweepPolicy { interval: hours(interval), age: hours(age) });
        let item = bench.claimed(1).await.remove(0);
        bench
            .sql(&format!("UPDATE delivery SET created_at = now() - interval '{created_hours_ago} hours'"))
            .await;
        bench.end(&[item], &exhausted()).await;
        assert_eq!(bench.health(bench.crm).await.is_swept, is_swept, "{interval} {age} {created_hours_ago}");
        assert_eq!(bench.count("undelivered WHERE due_at IS NOT NULL").await, i64::from(is_swept));
    }
}

#[tokio::test]
async fn a_run_of_the_sweep_that_is_planned_is_not_put_off_by_the_next_death() {
    let mut bench = Bench::new().await;
    let items = bench.claimed(2).await;
    bench.store.finish(bench.daemon, &[ended(&items[0], &exhausted())], &[]).await.unwrap();
    bench.sql("UPDATE integration_stat SET sweep_at = now() + interval '1 minute'").await;
    let again = [ended(&items[1], &exhausted())];
    assert_eq!(bench.store.finish(bench.daemon, &again, &[]).await.unwrap().recorded, 1);
    assert!(bench.holds("(SELECT sweep_at < now() + interval '2 minutes' FROM integration_stat)").await);
}

#[tokio::test]
async fn one_that_dies_again_is_listed_with_what_it_died_of_last() {
    for (state, counted) in [("held", 0), ("dead", 1)] {
        let mut bench = Bench::new().await;
        let item = bench.claimed(1).await.remove(0);
        // It is listed, as if somebody had held it meanwhile and let it go: the row is there already.
        bench
            .sql(&format!(
                "INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, since, due_at)
                 SELECT company_id, integration_id, id, lead_id, '{state}', NULL, NULL, now() - interval '1 day', NULL FROM delivery;
                 UPDATE integration_stat SET dead = {counted}"
            ))
            .await;
        let end = failed(&item, FailureClass::Transient, "late", &exhausted());
        bench.store.finish(bench.daemon, &[end], &[item.claim]).await.unwrap();
        let listed = "undelivered WHERE state = 'dead' AND class = 'transient' AND error = 'late'
                      AND since > now() - interval '1 hour' AND due_at IS NOT NULL";
        assert_eq!(bench.count(listed).await, 1);
        assert_eq!(bench.health(bench.crm).await.dead, 1, "{state}: it is counted once");
    }
}

#[tokio::test]
async fn what_was_sent_and_answered_is_kept_as_it_was() {
    let mut bench = Bench::new().await;
    let item = bench.claimed(1).await.remove(0);
    let long = format!("a\0b{}", "ü".repeat(ERROR_MAX));
    let mut end = failed(&item, FailureClass::Unknown, &long, &waits(60, 0, false));
    end.result.answer = Some(KeptResponse {
        status: 502,
        headers: r#"[["b","1"],["a","2"]]"#.to_owned(),
        body: b"oops".as_slice().into(),
        body_bytes: 4,
    });
    end.result.note = Some("seen".to_owned());
    end.result.body = Some(b"{\"sent\": 1}".as_slice().into());
    bench.store.finish(bench.daemon, &[end], &[item.claim]).await.unwrap();
    let (view, detail) = bench.store.attempt(item.attempt).await.unwrap().unwrap();
    let finished = view.finished.unwrap();
    assert_eq!(
        (finished.class.and_then(|class| class.known()), finished.status_code),
        (Some(FailureClass::Unknown), Some(502))
    );
    let error = finished.error.unwrap();
    assert_eq!(error.chars().count(), ERROR_MAX, "as much as its column takes");
    assert!(error.starts_with("abü"), "{error}");
    assert_eq!(
        (detail.method.as_deref(), detail.url.as_deref()),
        (Some("POST"), Some("https://crm.example"))
    );
    assert_eq!(detail.response_headers, [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]);
    assert_eq!((&detail.response_body[..], detail.response_bytes), (&b"oops"[..], 4));
    assert_eq!((&detail.request_body[..], detail.note.as_deref()), (&b"{\"sent\": 1}"[..], Some("seen")));
    assert_eq!(detail.calls.len(), 1, "the one call that it made");
    // What may have arrived says so until it is over.
    assert_eq!(bench.stands(item.delivery).await, ("pending".into(), Some("maybe_delivered".into())));
    // The body that was rendered first is what every later attempt sends, until it has to be rendered anew.
    for (anew, kept) in [(None, "{\"sent\": 1}"), (Some("other"), "other")] {
        bench.sql("UPDATE due SET due_at = now()").await;
        let again = bench.claim_one().await;
        assert_eq!(again.pending.as_ref().unwrap().rendered.as_deref(), Some(&b"{\"sent\": 1}"[..]));
        let mut end = match anew {
            None => failed(&again, FailureClass::Unknown, "503", &waits(60, 0, false)),
            Some(_) => ended(&again, &Transition::Delivered),
        };
        end.result.body = anew.map(|body| body.as_bytes().into());
        bench.store.finish(bench.daemon, &[end], &[again.claim]).await.unwrap();
        assert!(bench.holds(&format!("(SELECT body = '{kept}' FROM delivery)")).await, "{kept}");
    }
    assert_eq!(bench.stands(item.delivery).await, ("delivered".into(), None));
}

#[tokio::test]
async fn a_delivery_that_is_gone_or_moved_on_is_recorded_and_nothing_more() {
    // One whose number is another by now was finished by somebody else; one that is gone has no row.
    for (change, state) in
        [("UPDATE delivery SET attempts = 5", Some("pending")), ("DELETE FROM delivery", None)]
    {
        let mut bench = Bench::new().await;
        let item = bench.claimed(1).await.remove(0);
        bench.sql(change).await;
        let flushed = bench.end(std::slice::from_ref(&item), &dead()).await;
        assert_eq!((flushed.recorded, flushed.left.len()), (1, 0), "{change}");
        assert_eq!(
            (bench.count("claim").await, bench.count("due").await, bench.count("undelivered").await),
            (0, 0, 0)
        );
        if let Some(state) = state {
            assert_eq!(bench.state(item.delivery).await, state);
        }
    }
}

#[tokio::test]
async fn an_empty_flush_changes_nothing() {
    let bench = Bench::new().await;
    let flushed = bench.store.finish::<Finished>(bench.daemon, &[], &[]).await.unwrap();
    assert_eq!((flushed.recorded, flushed.hints.len(), flushed.left.len()), (0, 0, 0));
    assert_eq!(bench.health(bench.crm).await, Health::default());
}

#[tokio::test]
async fn a_claim_of_which_some_is_left_stays_whole_until_all_is_done() {
    let mut bench = Bench::new().await;
    let items = bench.claimed(3).await;
    assert!(items.iter().all(|item| item.claim == items[0].claim && item.claim_items == 3));
    bench.store.finish(bench.daemon, &[ended(&items[0], &Transition::Delivered)], &[]).await.unwrap();
    assert_eq!((bench.count("claim").await, bench.count("in_flight").await), (1, 2));
    let rest: Vec<Finished> = items[1..].iter().map(|item| ended(item, &dead())).collect();
    bench.store.finish(bench.daemon, &rest, &[items[0].claim]).await.unwrap();
    assert_eq!((bench.count("claim").await, bench.count("attempt").await), (0, 3));
    check_invariants(&bench.pool).await;
}
