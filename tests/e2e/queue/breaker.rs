//! The breaker is moved by the statement that finishes attempts: it must do what the domain says.

use leadlined::{
    domain::breaker::{Breaker, Sign, Tally},
    store::queue::finish::Sent,
};

use super::*;

/// A flush of attempts with these classes, each with what was sent.
async fn flush(scene: &mut Scene, classes: &[Option<FailureClass>]) -> Tally {
    for _ in classes {
        scene.take(Step::Lead).await;
    }
    scene.claim(i32::try_from(classes.len()).unwrap()).await;
    let items: Vec<Claimed> = scene.working.drain(..).filter(|item| item.pending.is_some()).collect();
    scene.open.clear();
    let mut tally = Tally::default();
    let finished: Vec<Finished> = std::iter::zip(&items, classes)
        .map(|(item, class)| {
            let end = if class.is_some() { End::Dead } else { End::Delivered };
            let mut one = finished(item, end, 0).unwrap();
            one.attempt.failure = class.map(|class| Failure::new(class, "x"));
            one.attempt.sent = Some(Sent {
                method: "POST".to_owned(),
                url: "https://example.com/".to_owned(),
                headers: "[]".to_owned(),
                secret_version: None,
            });
            tally.add(Sign::of(*class, true));
            one
        })
        .collect();
    let complete: Vec<i64> = items.iter().map(|item| item.claim).collect();
    scene.store.finish(scene.daemon, &finished, &complete).await.unwrap();
    tally
}

async fn breaker(scene: &Scene) -> (Breaker, i64) {
    let micros = "(extract(epoch FROM breaker_until) * 1000000)::bigint";
    let now = "(extract(epoch FROM updated_at) * 1000000)::bigint";
    let sql =
        format!("SELECT streak, trips, {micros}, {now} FROM integration_stat WHERE integration_id = $1");
    let (streak, trips, until, now): (i32, i32, Option<i64>, i64) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(scene.integration.uuid())
        .fetch_one(&scene.pool)
        .await
        .unwrap();
    (Breaker { streak, trips, until }, now)
}

#[test]
fn a_finish_moves_the_breaker_as_the_domain_says() {
    let (runtime, store, pool) = set_up();
    let class = prop_oneof![
        1 => Just(None),
        20 => Just(Some(FailureClass::Transient)),
        10 => Just(Some(FailureClass::Unknown)),
        2 => Just(Some(FailureClass::Throttled)),
        1 => Just(Some(FailureClass::Rejected)),
    ];
    let flushes = prop::collection::vec((prop::collection::vec(class, 1..15), any::<bool>()), 1..8);
    let config = Config { cases: 24, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    TestRunner::new(config)
        .run(&flushes, |flushes| {
            runtime.block_on(async {
                let mut scene = Scene::new(&store, &pool).await;
                for (classes, is_half_open) in flushes {
                    if is_half_open {
                        // The wait is over.
                        let sql = "UPDATE integration_stat SET breaker_until = now() - interval '1 second'
                                   WHERE integration_id = $1 AND breaker_until IS NOT NULL";
                        sqlx::query(sql).bind(scene.integration.uuid()).execute(&pool).await.unwrap();
                    }
                    let (before, _) = breaker(&scene).await;
                    let tally = flush(&mut scene, &classes).await;
                    let (after, now) = breaker(&scene).await;
                    prop_assert_eq!(after, before.after(tally, now), "{:?} {:?}", before, classes);
                }
                scene.stop().await;
                scene.store.leave(scene.daemon).await.unwrap();
                Ok(())
            })
        })
        .unwrap();
}
