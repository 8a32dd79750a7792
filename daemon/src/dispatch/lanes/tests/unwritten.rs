//! What has ended and is not written yet: what it keeps from starting, and whom it hurries.

use super::*;

#[test]
fn half_open_the_next_retry_waits_until_what_the_last_came_to_is_written() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 1], at(10));
    lanes.set_breaker(id, Some(at(11)), at(11));
    lanes.hint(hint(id, LaneKind::Retry, at(12)), true, at(12));
    lanes.ended(id, LaneKind::Retry, false, None, at(12));
    lanes.wake(at(4_000_012));
    assert!(lanes.asks(at(4_000_012)).is_empty(), "it may have opened the breaker again");
    lanes.written(id, [0, 1], at(4_000_013));
    assert_eq!(rooms(&lanes.asks(at(4_000_013))), [(LaneKind::Retry, 1)]);
}

#[test]
fn what_waits_to_be_written_has_a_bound() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let mut started = 0;
    for now in (10..20).map(at) {
        let asks = lanes.asks(now);
        let counts: Vec<u32> =
            asks.iter().map(|ask| if ask.kind == LaneKind::First { ask.room as u32 } else { 0 }).collect();
        answer(&mut lanes, &asks, &counts, now);
        let pushed: u32 = counts.iter().sum();
        started += pushed;
        for _ in 0..pushed {
            lanes.ended(id, LaneKind::First, true, None, now);
        }
        lanes.hint(hint(id, LaneKind::First, now), true, now);
    }
    assert_eq!(started, 8, "as many again as may be in flight");
    assert!(lanes.take_hurry(), "nothing goes on before they are written");
    lanes.written(id, [8, 0], at(20));
    assert_eq!(rooms(&lanes.asks(at(20))), [(LaneKind::First, 4)]);
}

#[test]
fn a_lane_that_goes_on_or_has_nothing_to_do_hurries_nobody() {
    let id = lane(1);
    let mut lanes = with_lane(id, 2, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[2, 0], at(10));
    lanes.ended(id, LaneKind::First, true, None, at(11));
    assert!(!lanes.take_hurry(), "it has room");
    let asks = lanes.asks(at(11));
    answer(&mut lanes, &asks, &[0], at(11));
    lanes.ended(id, LaneKind::First, true, None, at(12));
    assert!(!lanes.take_hurry(), "it has nothing to do");
}
