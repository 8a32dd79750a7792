//! The sentence for every state and reason.

use super::*;

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

/// The same, of a lane.
fn until(second: i64) -> Option<Moment> {
    Some(Moment::from_seconds(second))
}

fn facts(state: State, change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = Facts {
        id: "D".into(),
        state,
        reason: None,
        company: 7,
        integration: "crm".into(),
        integration_id: "I".into(),
        created_at: at(0).unwrap(),
        since: None,
        finished_at: None,
        running_since: None,
        due_at: None,
        is_retry: false,
        now: at(100).unwrap(),
        attempts: 0,
        failure: None,
        behind: None,
        lane: LaneHolds::default(),
        sweep_at: None,
    };
    change(&mut facts);
    facts
}

#[track_caller]
fn check(state: State, change: impl FnOnce(&mut Facts), text: &str, next: &[(NextAct, &str)]) {
    let next = next.iter().map(|(act, id)| act.on(id)).collect();
    assert_eq!(why(&facts(state, change)), Explanation { text: text.to_owned(), next });
}

fn failed(facts: &mut Facts, class: &str) {
    let class = FailureClass::parse(class);
    facts.failure = class.map(|class| (class, "503 Service Unavailable".into()));
    facts.attempts = 2;
    facts.reason = class.map(Reason::Failed);
}

#[test]
fn pending_ones_wait_for_something() {
    use State::Pending;
    check(
        Pending,
        |f| f.running_since = at(60),
        "It is being pushed to \"crm\" since 1970-01-01T00:01:00Z, attempt 1; what follows is decided when that ends",
        &[],
    );
    check(
        Pending,
        |f| f.behind = Some(("E".into(), State::Pending)),
        "It waits since 1970-01-01T00:00:00Z for the earlier event of its lead, delivery E, to be delivered, dead or \
         skipped",
        &[(NextAct::ExplainDelivery, "E")],
    );
    check(
        Pending,
        |f| f.behind = Some(("E".into(), State::Held)),
        "It waits since 1970-01-01T00:00:00Z for the earlier event of its lead, delivery E, to be delivered, dead or \
         skipped; that one is held, and both go on when it does",
        &[(NextAct::ReleaseDelivery, "E")],
    );
    check(
        Pending,
        |f| f.due_at = at(90),
        "It is due since 1970-01-01T00:01:30Z and is pushed as soon as the lane of \"crm\" has room",
        &[(NextAct::ShowIntegration, "I")],
    );
    check(
        Pending,
        |f| {
            f.due_at = at(120);
            failed(f, "transient");
        },
        "It waits for its automatic retry at 1970-01-01T00:02:00Z after 2 attempts failed (transient: 503 Service \
         Unavailable)",
        &[(NextAct::RetryDelivery, "D")],
    );
    check(
        Pending,
        |f| {
            f.due_at = at(120);
            failed(f, "unknown");
        },
        "It waits for its automatic retry at 1970-01-01T00:02:00Z after 2 attempts failed (unknown, maybe delivered: 503 \
         Service Unavailable)",
        &[(NextAct::RetryDelivery, "D")],
    );
    check(
        Pending,
        |f| f.due_at = at(120),
        "It waits until 1970-01-01T00:02:00Z, then it is pushed by itself",
        &[],
    );
    check(Pending, |_| {}, "It is on its way between queue and push; \"crm\" gets it at once", &[]);
}

#[test]
fn a_lane_that_is_closed_keeps_pending_ones() {
    use State::Pending;
    let due = |f: &mut Facts, lane: LaneHolds| {
        f.due_at = at(90);
        f.lane = lane;
    };
    let disabled = LaneHolds {
        is_disabled: true,
        awaits_cut_over: true,
        paused_since: until(1),
        ..LaneHolds::default()
    };
    check(
        Pending,
        |f| due(f, disabled),
        "It waits since 1970-01-01T00:00:00Z because integration \"crm\" is disabled",
        &[(NextAct::EnableIntegration, "I")],
    );
    check(
        Pending,
        |f| due(f, LaneHolds { is_disabled: false, ..disabled }),
        "It waits because company 7 is paused since 1970-01-01T00:00:01Z",
        &[(NextAct::ResumeCompany, "7")],
    );
    check(
        Pending,
        |f| due(f, LaneHolds { awaits_cut_over: true, ..LaneHolds::default() }),
        "It waits since 1970-01-01T00:00:00Z because a rotation of the signing secret of \"crm\" holds pushes",
        &[(NextAct::CutOverSecret, "I")],
    );
    check(
        Pending,
        |f| due(f, LaneHolds { throttled_until: until(160), ..LaneHolds::default() }),
        "It waits until 1970-01-01T00:02:40Z because \"crm\" asked us to wait; then it is pushed by itself",
        &[(NextAct::RetryDelivery, "D")],
    );
    let open = LaneHolds { breaker_until: until(160), ..LaneHolds::default() };
    check(
        Pending,
        |f| {
            due(f, open);
            f.is_retry = true;
        },
        "It waits because the breaker of \"crm\" is open after too many failures in a row: at 1970-01-01T00:02:40Z one \
         retry finds out, and what it finds decides for the others",
        &[(NextAct::RetryDelivery, "D")],
    );
    check(
        Pending,
        |f| {
            due(f, LaneHolds { breaker_until: until(99), ..open });
            f.is_retry = true;
        },
        "It waits because the breaker of \"crm\" is half-open: one retry at a time finds out whether the target answers \
         again, and the others follow",
        &[(NextAct::RetryDelivery, "D")],
    );
    check(
        Pending,
        |f| due(f, open),
        "It is due since 1970-01-01T00:01:30Z and is pushed as soon as the lane of \"crm\" has room",
        &[(NextAct::ShowIntegration, "I")],
    );
}

#[test]
fn held_ones_say_who_lets_them_go() {
    let held = |f: &mut Facts, reason: &Reason, is_disabled: bool| {
        f.since = at(60);
        f.reason = Some(reason.clone());
        f.lane.is_disabled = is_disabled;
    };
    let release = (NextAct::ReleaseDelivery, "D");
    for (reason, is_disabled, text, next) in [
        (
            Reason::IntegrationDisabled,
            true,
            "because integration \"crm\" is disabled",
            &[(NextAct::EnableIntegration, "I")][..],
        ),
        (Reason::IntegrationDisabled, false, "because integration \"crm\" was disabled then", &[release]),
        (
            Reason::Rotation,
            false,
            "because the signing secret of \"crm\" is being rotated",
            &[(NextAct::CutOverSecret, "I")],
        ),
        (
            Reason::HeldByOperator("mara".into()),
            false,
            "(operator: held by mara), and nothing lets it go by itself",
            &[release],
        ),
        (
            Reason::FlowFails { flow: "corporate".into(), problem: "no such field".into() },
            true,
            "(flow \"corporate\" cannot be evaluated: no such field) until the flow is mended and asked again",
            &[(NextAct::AskFlowsAgain, "7"), release],
        ),
    ] {
        let text = format!("It is held since 1970-01-01T00:01:00Z {text}");
        check(State::Held, |f| held(f, &reason, is_disabled), &text, next);
    }
    check(
        State::Held,
        |f| {
            held(f, &Reason::HeldByOperator("mara".into()), false);
            f.running_since = at(61);
        },
        "It is held since 1970-01-01T00:01:00Z (operator: held by mara) while the push that began at \
         1970-01-01T00:01:01Z ends; if that fails, no retry follows",
        &[release],
    );
}

#[test]
fn final_ones_say_what_is_left_to_do() {
    check(
        State::Delivered,
        |f| (f.attempts, f.finished_at) = (1, at(60)),
        "It was delivered at 1970-01-01T00:01:00Z after 1 attempt; nothing is left to do",
        &[],
    );
    check(
        State::Skipped,
        |f| (f.reason, f.finished_at) = (Some(Reason::Superseded(None)), at(60)),
        "It was skipped at 1970-01-01T00:01:00Z (superseded by a later push) and is not pushed any more",
        &[],
    );
    let retry = (NextAct::RetryDelivery, "D");
    for (class, sweep_at, next, steps) in [
        ("transient", at(200), "the sweep comes back to it at 1970-01-01T00:03:20Z", &[retry][..]),
        ("transient", None, "nothing returns to it by itself", &[retry]),
        ("rejected", None, "nothing returns to it by itself", &[retry]),
        (
            "credentials",
            None,
            "\"crm\" needs new credentials first",
            &[(NextAct::SetCredentials, "I"), retry],
        ),
        (
            "mapping",
            None,
            "the mapping or the templates of \"crm\" must be corrected first",
            &[(NextAct::CorrectMapping, "I"), retry],
        ),
    ] {
        let text = format!(
            "It is dead since 1970-01-01T00:01:00Z after 2 attempts ({class}: 503 Service Unavailable); {next}"
        );
        check(
            State::Dead,
            |f| {
                failed(f, class);
                (f.since, f.sweep_at) = (at(60), sweep_at);
            },
            &text,
            steps,
        );
    }
}

#[test]
fn what_waits_for_somebody_to_act_is_idle() {
    type Change = fn(&mut Facts);
    let changes: [(Change, Option<(NextAct, &str)>); 8] = [
        (|_| {}, None),
        (|it| it.lane.throttled_until = until(200), None),
        (|it| it.lane.breaker_until = until(200), None),
        (|it| it.behind = Some(("E".into(), State::Pending)), None),
        (|it| it.behind = Some(("E".into(), State::Held)), Some((NextAct::ReleaseDelivery, "E"))),
        (|it| it.lane.is_disabled = true, Some((NextAct::EnableIntegration, "I"))),
        (|it| it.lane.awaits_cut_over = true, Some((NextAct::CutOverSecret, "I"))),
        (
            |it| {
                it.lane.paused_since = until(1);
                it.behind = Some(("E".into(), State::Pending));
            },
            Some((NextAct::ResumeCompany, "7")),
        ),
    ];
    for (change, next) in changes {
        let found = idle_reason(&facts(State::Pending, change));
        let expected = next.map(|(act, id)| vec![act.on(id)]);
        assert_eq!(found.map(|found| found.next), expected);
        let running = |facts: &mut Facts| {
            change(facts);
            facts.running_since = at(50);
        };
        assert_eq!(idle_reason(&facts(State::Pending, running)), None, "its push is under way");
        assert_eq!(idle_reason(&facts(State::Delivered, change)), None);
    }
}

#[test]
fn a_lane_says_whose_command_keeps_it() {
    let open = LaneHolds::default();
    for (holds, expected) in [
        (open, None),
        (LaneHolds { throttled_until: until(200), breaker_until: until(200), ..open }, None),
        (
            LaneHolds { is_disabled: true, ..open },
            Some(("integration \"crm\" is disabled", NextAct::EnableIntegration, "I")),
        ),
        (
            LaneHolds { paused_since: until(1), awaits_cut_over: true, ..open },
            Some(("company 7 is paused since 1970-01-01T00:00:01Z", NextAct::ResumeCompany, "7")),
        ),
        (
            LaneHolds { awaits_cut_over: true, ..open },
            Some(("a rotation of the signing secret of \"crm\" holds pushes", NextAct::CutOverSecret, "I")),
        ),
    ] {
        let lane = CommandedLane { company: 7, integration: "crm".into(), integration_id: "I".into(), holds };
        let expected =
            expected.map(|(text, act, id)| Explanation { text: text.to_owned(), next: vec![act.on(id)] });
        assert_eq!(idle_lane(&lane), expected, "{holds:?}");
    }
}

#[test]
fn a_list_says_of_what_waits_what_the_sentence_says() {
    let id: DeliveryId = "01J8H6KQH4YG3XR8RWM6T6XFQE".parse().unwrap();
    let reported =
        |lane: LaneHolds, behind, is_retry| waiting(&lane, behind, at(90), is_retry, at(100).unwrap());
    let nothing = |due_at| Waiting { reason: None, code: None, due_at };
    let expected =
        |code, reason: &str, due_at| Waiting { reason: Some(reason.to_owned()), code: Some(code), due_at };
    let open = LaneHolds::default();
    let disabled = LaneHolds { is_disabled: true, paused_since: until(1), awaits_cut_over: true, ..open };
    let paused = LaneHolds { is_disabled: false, ..disabled };
    let throttled = LaneHolds { throttled_until: until(200), breaker_until: until(300), ..open };
    let broken = LaneHolds { throttled_until: None, ..throttled };
    let half_open = LaneHolds { breaker_until: until(95), ..open };
    for (lane, behind, is_retry, waits) in [
        (open, None, true, nothing(at(90))),
        (disabled, Some(id), true, expected("waits_for", "waits for 01J8H6KQH4YG3XR8RWM6T6XFQE", None)),
        (disabled, None, true, expected("integration_disabled", "integration disabled", None)),
        (paused, None, true, expected("company_paused", "company paused", None)),
        (
            LaneHolds { paused_since: None, ..paused },
            None,
            true,
            expected("rotation", "rotation: held until cut over", None),
        ),
        (throttled, None, true, expected("throttled", "throttled: the target asked us to wait", at(200))),
        (broken, None, true, expected("breaker", "breaker open: one retry finds out then", at(300))),
        (broken, None, false, nothing(at(90))),
        (half_open, None, true, expected("breaker", "breaker half-open: one retry finds out", at(90))),
    ] {
        assert_eq!(reported(lane, behind, is_retry), waits, "{lane:?}");
    }
}
