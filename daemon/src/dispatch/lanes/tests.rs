//! Lanes: who may claim what, and when.

use super::*;
use crate::domain::ids::CompanyId;

mod ahead;
mod pauses;
mod unwritten;

fn lane(n: u64) -> LaneId {
    LaneId::new(CompanyId(1), uuid::Uuid::from_u64_pair(0, n))
}

/// So many microseconds after the beginning.
fn at(micros: i64) -> Moment {
    Moment::from_micros(micros)
}

fn hint(lane: LaneId, kind: LaneKind, due_at: Moment) -> DueHint {
    DueHint { lane, kind, due_at }
}

fn with_lane(id: LaneId, concurrency: u32, rate_per_second: Option<f64>) -> Lanes {
    let mut lanes = Lanes::default();
    assert!(lanes.hint(hint(id, LaneKind::First, at(1)), true, at(1)));
    let policy = Policy { concurrency, rate_per_second, ..Policy::default() };
    load(&mut lanes, id, Loaded { version: 1, policy, is_enabled: true }, Stops::default(), at(1));
    lanes
}

/// Loads a lane at once.
fn load(lanes: &mut Lanes, id: LaneId, loaded: Loaded, stops: Stops, now: Moment) -> bool {
    let known = lanes.pauses_written(id);
    lanes.load(id, loaded, stops, known, now)
}

/// So many pushes of each kind end, and the target answered.
fn free(lanes: &mut Lanes, id: LaneId, counts: [u32; 2], now: Moment) {
    for (kind, count) in LaneKind::ALL.into_iter().zip(counts) {
        for _ in 0..count {
            lanes.ended(id, kind, true, None, now);
            lanes.written(id, [u32::from(kind == LaneKind::First), u32::from(kind == LaneKind::Retry)], now);
        }
    }
}

fn rooms(asks: &[Ask]) -> Vec<(LaneKind, i32)> {
    asks.iter().map(|ask| (ask.kind, ask.room)).collect()
}

fn answer(lanes: &mut Lanes, asks: &[Ask], counts: &[u32], now: Moment) {
    let got = asks.iter().zip(counts).map(|(ask, n)| ((ask.lane, ask.kind), (*n, now)));
    lanes.claimed(asks, &got.collect(), now);
}

#[test]
fn a_full_lane_is_not_asked_for_until_a_push_ends() {
    let id = lane(1);
    let mut lanes = with_lane(id, 2, None);
    let asks = lanes.asks(at(10));
    assert_eq!(rooms(&asks), [(LaneKind::First, 1), (LaneKind::Retry, 1)]);
    answer(&mut lanes, &asks, &[1, 1], at(10));
    assert!(!lanes.is_ready());
    free(&mut lanes, id, [1, 0], at(11));
    assert_eq!(rooms(&lanes.asks(at(11))).len(), 1);
}

#[test]
fn an_empty_lane_rests_until_a_hint_even_one_that_comes_during_the_claim() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    assert!(!lanes.is_ready());
    lanes.hint(hint(id, LaneKind::First, at(12)), true, at(12));
    let asks = lanes.asks(at(12));
    assert_eq!(rooms(&asks), [(LaneKind::First, 4)]);
    lanes.hint(hint(id, LaneKind::First, at(13)), true, at(13));
    answer(&mut lanes, &asks, &[0], at(13));
    assert_eq!(rooms(&lanes.asks(at(14))), [(LaneKind::First, 4)]);
}

#[test]
fn a_future_row_waits_for_its_time_and_the_watermark_follows() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[2, 0], at(10));
    free(&mut lanes, id, [2, 0], at(11));
    lanes.hint(hint(id, LaneKind::Retry, at(1_000_000)), true, at(11));
    let then = lanes.wake(at(11)).unwrap();
    assert!((at(1_000_000)..at(1_000_000) + 2 * FINE).contains(&then));
    assert!(!lanes.is_ready());
    assert_eq!(lanes.wake(then), None);
    assert_eq!(rooms(&lanes.asks(then)), [(LaneKind::Retry, 4)]);
    lanes.hint(hint(id, LaneKind::First, at(5)), true, then);
    assert_eq!(lanes.asks(then)[0].watermark, at(5));
}

#[test]
fn a_rate_is_kept() {
    let id = lane(1);
    let mut lanes = with_lane(id, 100, Some(2.0));
    let mut started = 0;
    let mut now = at(10);
    while now < at(10_000_010) {
        lanes.hint(hint(id, LaneKind::First, now), true, now);
        let asks = lanes.asks(now);
        let counts: Vec<u32> =
            asks.iter().map(|ask| if ask.kind == LaneKind::First { ask.room as u32 } else { 0 }).collect();
        started += counts.iter().sum::<u32>();
        answer(&mut lanes, &asks, &counts, now);
        let next = now + Duration::from_millis(100);
        now = lanes.wake(now).unwrap_or(next).min(next);
        lanes.wake(now);
    }
    assert!((20..=22).contains(&started), "{started} in 10 s at 2/s");
}

#[test]
fn retries_keep_a_share_and_are_not_starved() {
    let id = lane(1);
    let mut lanes = with_lane(id, 8, None);
    assert_eq!(rooms(&lanes.asks(at(10))), [(LaneKind::First, 6), (LaneKind::Retry, 2)]);
    let mut lanes = with_lane(id, 1, None);
    let mut kinds = Vec::new();
    for now in (10..18).map(at) {
        let asks = lanes.asks(now);
        kinds.push(asks[0].kind);
        answer(&mut lanes, &asks, &[1], now);
        free(&mut lanes, id, if asks[0].kind == LaneKind::First { [1, 0] } else { [0, 1] }, now);
    }
    assert_eq!(
        kinds,
        [
            LaneKind::First,
            LaneKind::First,
            LaneKind::First,
            LaneKind::Retry,
            LaneKind::First,
            LaneKind::First,
            LaneKind::First,
            LaneKind::Retry
        ]
    );
}

#[test]
fn a_lane_of_another_daemon_or_a_disabled_one_is_left_alone() {
    let id = lane(1);
    let mut lanes = with_lane(id, 8, None);
    lanes.own(|_| false, at(10));
    assert!(lanes.asks(at(10)).is_empty());
    lanes.own(|_| true, at(11));
    assert_eq!(lanes.asks(at(11)).len(), 2);
    let disabled = Loaded { version: 3, policy: Policy::default(), is_enabled: false };
    load(&mut lanes, id, disabled, Stops::default(), at(12));
    assert!(lanes.asks(at(12)).is_empty());
    load(&mut lanes, id, Loaded { version: 2, is_enabled: true, ..disabled }, Stops::default(), at(13));
    assert!(lanes.asks(at(13)).is_empty(), "an older load came later");
    load(&mut lanes, id, Loaded { version: 4, is_enabled: true, ..disabled }, Stops::default(), at(14));
    assert_eq!(lanes.asks(at(14)).len(), 2);
}

#[test]
fn a_lane_that_others_may_push_in_waits_and_then_counts_what_they_have_begun() {
    let (id, new) = (lane(1), lane(2));
    let mut lanes = with_lane(id, 4, None);
    lanes.take_over(at(5));
    lanes.hint(hint(new, LaneKind::First, at(6)), true, at(6));
    let policy = Policy { concurrency: 4, ..Policy::default() };
    load(&mut lanes, new, Loaded { version: 1, policy, is_enabled: true }, Stops::default(), at(7));
    assert!(lanes.asks(at(10)).is_empty(), "the others have not heard");
    assert!(!lanes.handed_over(at(4), &HashMap::new(), at(11)));
    assert!(lanes.asks(at(11)).is_empty(), "that was of an earlier time");
    assert!(lanes.handed_over(at(5), &HashMap::from([(id, 3), (new, 4)]), at(12)), "some have not ended");
    let asks = lanes.asks(at(12));
    assert_eq!(rooms(&asks), [(LaneKind::First, 1)], "three of four are under way elsewhere");
    answer(&mut lanes, &asks, &[1], at(12));
    assert!(!lanes.handed_over(at(5), &HashMap::new(), at(13)));
    let room: i32 = lanes.asks(at(13)).iter().map(|ask| ask.room).sum();
    assert_eq!(room, 3 + 4);
    // What is no longer this daemon's is not counted against it when it comes back.
    assert!(lanes.handed_over(at(5), &HashMap::from([(id, 3)]), at(14)));
    lanes.own(|_| false, at(15));
    lanes.own(|_| true, at(16));
    assert_eq!(lanes.asks(at(16)).iter().filter(|ask| ask.lane == id).map(|ask| ask.room).sum::<i32>(), 3);
}

#[test]
fn a_lane_of_which_nothing_can_be_read_lets_one_push_say_so() {
    let id = lane(1);
    let mut lanes = Lanes::default();
    lanes.hint(hint(id, LaneKind::First, at(1)), true, at(1));
    lanes.load_blindly(id, Stops::default(), at(2));
    assert_eq!(lanes.asks(at(3)).iter().map(|ask| ask.room).sum::<i32>(), 1);
    let mut loaded = with_lane(id, 4, None);
    loaded.load_blindly(id, Stops::default(), at(2));
    assert_eq!(loaded.asks(at(3)).iter().map(|ask| ask.room).sum::<i32>(), 4, "it was loaded once");
}

#[test]
fn time_that_runs_back_gives_no_tokens() {
    let id = lane(1);
    let mut lanes = with_lane(id, 100, Some(10.0));
    let mut started = 0;
    for micros in (10..10_000_010).step_by(20_000) {
        let now = at(micros);
        lanes.hint(hint(id, LaneKind::First, now), true, now);
        lanes.wake(now);
        let asks = lanes.asks(now);
        let counts: Vec<u32> =
            asks.iter().map(|ask| if ask.kind == LaneKind::First { ask.room as u32 } else { 0 }).collect();
        started += counts.iter().sum::<u32>();
        answer(&mut lanes, &asks, &counts, at(micros - 10_000));
    }
    assert!((100..=112).contains(&started), "{started} in 10 s at 10/s");
}

#[test]
fn a_lane_that_waits_for_a_token_has_one_timer_however_many_hints_come() {
    let id = lane(1);
    let mut lanes = with_lane(id, 100, Some(1.0));
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[1, 0], at(10));
    for now in (11..1_000).map(at) {
        lanes.hint(hint(id, LaneKind::First, now), true, now);
    }
    assert_eq!(lanes.timers.len(), 1);
}

#[test]
fn a_row_that_a_dead_daemon_planned_is_asked_for_until_none_is_left() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    assert_eq!(lanes.peeks(), [(id, LaneKind::First), (id, LaneKind::Retry)]);
    lanes.peeked(id, LaneKind::First, None, at(11));
    lanes.peeked(id, LaneKind::Retry, Some(at(500_000)), at(11));
    assert!(!lanes.is_ready());
    assert!(lanes.wake(at(11)).is_some_and(|then| then >= at(500_000)));
    lanes.wake(at(600_000));
    let asks = lanes.asks(at(600_000));
    assert_eq!((rooms(&asks), asks[0].watermark), (vec![(LaneKind::Retry, 4)], at(0)));
    answer(&mut lanes, &asks, &[1], at(600_000));
    assert_eq!(lanes.peeks(), [(id, LaneKind::Retry)], "there may be another behind it");
    lanes.peeked(id, LaneKind::Retry, None, at(600_001));
    lanes.hint(hint(id, LaneKind::Retry, at(600_002)), true, at(600_002));
    let asks = lanes.asks(at(600_002));
    answer(&mut lanes, &asks, &[1], at(600_003));
    assert_eq!(lanes.peeks(), [], "from now on hints tell of every row");
}

#[test]
fn a_claim_past_a_row_that_will_be_due_does_not_hide_it() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    // Told during the claim, by a clock that lags behind the database's: its time is later than what the claim gives.
    lanes.hint(hint(id, LaneKind::Retry, at(12)), true, at(10));
    answer(&mut lanes, &asks, &[0, 1], at(20));
    lanes.wake(at(20_000));
    let asks = lanes.asks(at(20_000));
    assert_eq!((asks[0].kind, asks[0].watermark), (LaneKind::Retry, at(12)));
}

#[test]
fn an_open_breaker_holds_retries_back_and_never_a_first_attempt() {
    let id = lane(1);
    let mut lanes = with_lane(id, 8, None);
    lanes.set_breaker(id, Some(at(1_000_000)), at(10));
    let asks = lanes.asks(at(10));
    assert_eq!(rooms(&asks), [(LaneKind::First, 8)]);
    answer(&mut lanes, &asks, &[0], at(10));
    assert!(!lanes.is_ready(), "only retries wait, and they must not be asked for");
    lanes.hint(hint(id, LaneKind::First, at(20)), true, at(20));
    assert_eq!(rooms(&lanes.asks(at(20))), [(LaneKind::First, 8)]);
}

#[test]
fn a_half_open_breaker_lets_one_retry_find_out() {
    let id = lane(1);
    let mut lanes = with_lane(id, 8, None);
    lanes.set_breaker(id, Some(at(1_000_000)), at(10));
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0], at(10));
    let then = lanes.wake(at(10)).unwrap();
    assert!((at(1_000_000)..at(1_000_000) + 2 * FINE).contains(&then));
    lanes.wake(then);
    let asks = lanes.asks(then);
    assert_eq!(rooms(&asks), [(LaneKind::Retry, 1)]);
    answer(&mut lanes, &asks, &[1], then);
    assert!(!lanes.is_ready(), "the others wait for what becomes of it");
    lanes.set_breaker(id, Some(then + Duration::from_secs(1)), then + TICK);
    free(&mut lanes, id, [0, 1], then + 2 * TICK);
    assert!(!lanes.is_ready(), "it failed: open again");
    let later = lanes.wake(then + 2 * TICK).unwrap();
    lanes.wake(later);
    let asks = lanes.asks(later);
    assert_eq!(rooms(&asks), [(LaneKind::Retry, 1)]);
    answer(&mut lanes, &asks, &[1], later);
    lanes.set_breaker(id, None, later + TICK);
    free(&mut lanes, id, [0, 1], later + 2 * TICK);
    assert_eq!(rooms(&lanes.asks(later + 2 * TICK)), [(LaneKind::Retry, 8)], "it arrived: closed");
}

#[test]
fn what_is_stored_of_a_breaker_is_heeded_by_the_next_owner() {
    let id = lane(1);
    let mut lanes = Lanes::default();
    lanes.hint(hint(id, LaneKind::Retry, at(1)), true, at(1));
    let loaded = Loaded { version: 1, policy: Policy::default(), is_enabled: true };
    let stops = Stops { breaker_until: Some(at(1_000_000)), ..Stops::default() };
    load(&mut lanes, id, loaded, stops, at(10));
    assert_eq!(rooms(&lanes.asks(at(10))), [(LaneKind::First, 16)]);
    load(&mut lanes, id, loaded, Stops::default(), at(20));
    assert_eq!(rooms(&lanes.asks(at(20))), [(LaneKind::First, 12), (LaneKind::Retry, 4)]);
}

#[test]
fn no_second_holds_more_than_the_rate_and_one() {
    let id = lane(1);
    let mut lanes = with_lane(id, 100, Some(5.0));
    let mut starts = Vec::new();
    for now in (1..5_000_000).step_by(7_000).map(at) {
        lanes.hint(hint(id, LaneKind::First, now), true, now);
        lanes.wake(now);
        let asks = lanes.asks(now);
        let counts: Vec<u32> =
            asks.iter().map(|ask| if ask.kind == LaneKind::First { ask.room as u32 } else { 0 }).collect();
        starts.extend(std::iter::repeat_n(now, counts.iter().sum::<u32>() as usize));
        answer(&mut lanes, &asks, &counts, now);
    }
    assert!((24..=26).contains(&starts.len()), "{} in 5 s at 5/s", starts.len());
    for (n, from) in starts.iter().enumerate() {
        let within = starts[n..].iter().filter(|then| **then < *from + Duration::from_secs(1)).count();
        assert!(within <= 6, "{within} within a second");
    }
}

#[test]
fn a_first_attempt_that_was_just_committed_is_due_whatever_our_clock_says() {
    let id = lane(1);
    let mut lanes = with_lane(id, 4, None);
    let asks = lanes.asks(at(10));
    answer(&mut lanes, &asks, &[0, 0], at(10));
    lanes.hint(hint(id, LaneKind::First, at(9_000)), true, at(20));
    assert_eq!(rooms(&lanes.asks(at(20))), [(LaneKind::First, 4)]);
    lanes.hint(hint(id, LaneKind::Retry, at(9_000)), true, at(20));
    assert!(!lanes.is_ready(), "a retry waits for its time");
}
