//! Lanes that a target asked to wait: until when, and what lifts it.

use super::*;

#[test]
fn a_paused_lane_goes_on_by_itself() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    lanes.pause(id, at(5_000), at(10));
    assert!(lanes.asks(at(10)).is_empty());
    let then = lanes.wake(at(10)).unwrap();
    assert!((at(5_000)..at(5_000) + 2 * FINE).contains(&then));
    lanes.wake(then);
    assert_eq!(lanes.asks(then).len(), 2);
}

#[test]
fn a_claim_that_met_a_pause_unawares_does_not_make_the_lane_rest() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    assert!(!lanes.is_ready());
    lanes.pause(id, at(5_000), at(11));
    let then = lanes.wake(at(11)).unwrap();
    assert!(then >= at(5_000));
    lanes.wake(then);
    assert_eq!(lanes.asks(then).len(), 2);
}

#[test]
fn a_lifted_pause_lets_one_push_go_until_the_target_answers_one() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let loaded =
        Loaded { version: 1, policy: Policy { concurrency: 4, ..Policy::default() }, is_enabled: true };
    lanes.pause(id, at(9_000_000), at(10));
    assert!(lanes.asks(at(10)).is_empty());
    assert!(load(&mut lanes, id, loaded, Stops::default(), at(11)), "its stops must be read once more");
    assert!(!load(&mut lanes, id, loaded, Stops::default(), at(12)));
    let asks = lanes.asks(at(12));
    assert_eq!(rooms(&asks), [(LaneKind::First, 1)]);
    answer(&mut lanes, &asks, &[1], at(12));
    assert!(!lanes.is_ready());
    // It failed in a way that says nothing of the target.
    lanes.ended(id, LaneKind::First, false, None, at(13));
    let asks = lanes.asks(at(13));
    assert_eq!(rooms(&asks), [(LaneKind::First, 1)]);
    answer(&mut lanes, &asks, &[1], at(13));
    // It asks for a pause again.
    lanes.ended(id, LaneKind::First, false, Some(at(5_000_000)), at(14));
    assert!(lanes.asks(at(14)).is_empty());
    lanes.written(id, [2, 0], at(14));
    assert!(load(&mut lanes, id, loaded, Stops::default(), at(15)));
    let asks = lanes.asks(at(15));
    answer(&mut lanes, &asks, &[1], at(15));
    lanes.ended(id, LaneKind::First, true, None, at(16));
    assert_eq!(rooms(&lanes.asks(at(16))), [(LaneKind::First, 3), (LaneKind::Retry, 1)]);
}

#[test]
fn a_pause_is_not_lifted_by_stops_that_were_read_before_it_was_written() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let loaded = Loaded { version: 1, policy: Policy::default(), is_enabled: true };
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[1, 0], at(10));
    // One load begins before the push asks for a pause, another before that is written.
    let before = lanes.pauses_written(id);
    lanes.ended(id, LaneKind::First, false, Some(at(9_000_000)), at(11));
    let unwritten = lanes.pauses_written(id);
    for known in [before, unwritten] {
        assert!(!lanes.load(id, loaded, Stops::default(), known, at(12)), "there is nothing new to read yet");
    }
    assert!(lanes.written(id, [1, 0], at(13)), "now there is");
    for known in [before, unwritten] {
        assert!(lanes.load(id, loaded, Stops::default(), known, at(14)), "it was read too soon");
    }
    assert!(lanes.asks(at(14)).is_empty());
    assert!(load(&mut lanes, id, loaded, Stops::default(), at(15)), "an operator has lifted it");
    assert_eq!(rooms(&lanes.asks(at(15))), [(LaneKind::First, 1)]);
}

#[test]
fn a_pause_that_is_stored_stays() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let loaded = Loaded { version: 1, policy: Policy::default(), is_enabled: true };
    lanes.pause(id, at(9_000_000), at(10));
    let stops = Stops { throttled_until: Some(at(9_000_000)), ..Stops::default() };
    assert!(!load(&mut lanes, id, loaded, stops, at(11)));
    assert!(lanes.asks(at(11)).is_empty());
}
