//! First attempts that seem to lie ahead: whether they do is for the database's clock to say.

use super::*;

#[test]
fn a_first_attempt_a_few_milliseconds_ahead_is_looked_at_at_once() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    lanes.hint(hint(id, LaneKind::First, at(5_020)), true, at(20));
    let asks = lanes.asks(at(20));
    assert_eq!(rooms(&asks), [(LaneKind::First, 4)]);
    // It was due by the database's clock: nothing is left to look for.
    answer(&mut lanes, &asks, &[1], at(5_021));
    lanes.peeks();
    assert_eq!(lanes.wake(at(5_021)), None);
}

#[test]
fn a_first_attempt_that_truly_lies_ahead_is_looked_at_again_at_its_time() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    lanes.peeks();
    for kind in LaneKind::ALL {
        lanes.peeked(id, kind, None, at(11));
    }
    // Two, of which the later one is told first.
    for due_at in [900_000, 500_000].map(at) {
        lanes.hint(hint(id, LaneKind::First, due_at), true, at(20));
    }
    let asks = lanes.asks(at(20));
    answer(&mut lanes, &asks, &[0], at(30));
    for due_at in [500_000, 900_000].map(at) {
        assert!(!lanes.is_ready(), "nothing is due, and everything that will be is known");
        let then = lanes.wake(at(30)).unwrap();
        assert!((due_at..due_at + 2 * FINE).contains(&then), "{then:?}");
        lanes.wake(then);
        let asks = lanes.asks(then);
        assert_eq!((rooms(&asks), asks[0].watermark <= due_at), (vec![(LaneKind::First, 4)], true));
        answer(&mut lanes, &asks, &[0], then);
    }
}

#[test]
fn a_first_attempt_that_the_database_says_lies_ahead_is_not_asked_for_again_and_again() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    lanes.peeks();
    lanes.peeked(id, LaneKind::First, Some(at(500_000)), at(11));
    assert!(!lanes.is_ready());
    assert!(lanes.wake(at(11)).is_some_and(|then| then >= at(500_000)));
}
