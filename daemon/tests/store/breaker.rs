//! When a breaker opens and closes: the rule stands in the database, where every finish asks for it.

use super::bench::Bench;

/// Streak, trips, and in how many seconds from now it is half-open.
type Breaker = (i32, i32, Option<i32>);

async fn after(bench: &Bench, before: Breaker, is_up: bool, down: i32) -> Breaker {
    sqlx::query_as(
        "SELECT streak, trips, extract(epoch FROM until - now())::integer FROM breaker_after(
             $1, $2, now() + $3 * interval '1 second', $4, $5, now())",
    )
    .bind(before.0)
    .bind(before.1)
    .bind(before.2)
    .bind(is_up)
    .bind(down)
    .fetch_one(&bench.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn it_opens_after_twenty_failures_and_closes_with_the_first_answer() {
    let bench = Bench::new().await;
    for (before, is_up, down, expected) in [
        ((0, 0, None), false, 1, (1, 0, None)),
        ((18, 0, None), false, 1, (19, 0, None)),
        ((19, 0, None), false, 1, (20, 1, Some(15))),
        ((0, 0, None), false, 25, (25, 1, Some(15))),
        // Open, it counts but does not move.
        ((20, 1, Some(10)), false, 5, (25, 1, Some(10))),
        // What says nothing changes nothing.
        ((20, 1, Some(10)), false, 0, (20, 1, Some(10))),
        ((20, 1, Some(-5)), false, 0, (20, 1, Some(-5))),
        // Half-open, one failure opens it for twice as long, up to a bound.
        ((20, 1, Some(-5)), false, 1, (21, 2, Some(30))),
        ((21, 2, Some(0)), false, 1, (22, 3, Some(60))),
        ((22, 4, Some(-1)), false, 1, (23, 5, Some(240))),
        ((22, 5, Some(-1)), false, 1, (23, 6, Some(300))),
        ((22, 60, Some(-1)), false, 1, (23, 61, Some(300))),
        // An answer closes it; what failed behind that is counted anew.
        ((20, 3, Some(10)), true, 0, (0, 0, None)),
        ((20, 3, Some(-5)), true, 3, (3, 0, None)),
        ((20, 3, Some(10)), true, 20, (20, 1, Some(15))),
    ] {
        assert_eq!(after(&bench, before, is_up, down).await, expected, "{before:?} {is_up} {down}");
    }
}

#[tokio::test]
async fn a_lane_pushes_if_nothing_keeps_it() {
    let bench = Bench::new().await;
    let may = async |rule: &str| {
        let sql = format!("(SELECT {rule}(i, c) FROM integration i JOIN company c ON c.id = i.company_id)");
        bench.holds(&sql).await
    };
    assert!(may("lane_is_open").await && may("lane_may_push").await);
    for (close, open) in [
        ("integration SET enabled = false", "integration SET enabled = true"),
        ("integration SET awaits_cut_over = true", "integration SET awaits_cut_over = false"),
        ("integration SET deleted_at = now()", "integration SET deleted_at = NULL"),
        ("company SET paused_at = now()", "company SET paused_at = NULL"),
    ] {
        bench.sql(&format!("UPDATE {close}")).await;
        assert!(!may("lane_is_open").await && !may("lane_may_push").await, "{close}");
        bench.sql(&format!("UPDATE {open}")).await;
    }
    bench.sql("UPDATE integration SET throttled_until = now() + interval '1 hour'").await;
    assert!(may("lane_is_open").await && !may("lane_may_push").await);
    bench.sql("UPDATE integration SET throttled_until = now() - interval '1 hour'").await;
    assert!(may("lane_may_push").await);
}
