//! Why a delivery stands where it does: one sentence that says what it waits for, since when, and who or what moves it.

use jiff::Timestamp;

use super::{
    delivery::State,
    fanout::{INTEGRATION_DISABLED, ROTATION},
};

/// All that decides what a delivery waits for.
#[derive(Clone, Debug)]
pub struct Facts {
    pub id: String,
    pub state: State,
    /// Why it is held, skipped or dead.
    pub reason: Option<String>,
    pub company: i64,
    /// The integration's name and id.
    pub integration: String,
    pub integration_id: String,
    pub created_at: Timestamp,
    /// Since when it is held or dead.
    pub since: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Since when it is being pushed.
    pub running_since: Option<Timestamp>,
    /// When it is due; the queue has it then.
    pub due_at: Option<Timestamp>,
    /// The queue has it as a retry, which waits for the breaker; first attempts do not.
    pub is_retry: bool,
    /// By the clock that the other times are of.
    pub now: Timestamp,
    /// Finished attempts.
    pub attempts: i32,
    /// Class and error of the last one, if it failed.
    pub failure: Option<(String, String)>,
    /// The earlier delivery that it waits for, and how that stands.
    pub behind: Option<(String, String)>,
    /// What keeps the whole lane.
    pub lane: Lane,
    /// When the sweep comes back to a dead one.
    pub sweep_at: Option<Timestamp>,
}

/// What keeps an integration's lane from pushing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lane {
    pub is_disabled: bool,
    pub awaits_cut_over: bool,
    pub paused_since: Option<Timestamp>,
    /// Its target asked for it.
    pub throttled_until: Option<Timestamp>,
    /// The breaker lets no retry start before, and then one that finds out.
    pub breaker_until: Option<Timestamp>,
}

/// The sentence.
#[must_use]
pub fn why(facts: &Facts) -> String {
    match facts.state {
        State::Pending => pending(facts),
        State::Held => held(facts),
        State::Dead => dead(facts),
        State::Delivered => {
            let attempts = attempts(facts.attempts);
            format!(
                "It was delivered at {} after {attempts}; nothing is left to do.",
                moment(facts.finished_at)
            )
        }
        State::Skipped => format!(
            "It was skipped at {} ({}) and is not pushed any more.",
            moment(facts.finished_at),
            reason(facts)
        ),
    }
}

fn pending(facts: &Facts) -> String {
    let Facts { integration: name, integration_id: id, .. } = facts;
    let since = moment(Some(facts.created_at));
    if let Some(at) = facts.running_since {
        let number = facts.attempts + 1;
        return format!(
            "It is being pushed to {name:?} since {}, attempt {number}; what follows is decided when that ends.",
            moment(Some(at))
        );
    }
    if let Some((earlier, state)) = &facts.behind {
        let go = match state.as_str() {
            "held" => {
                format!("; that one is held: `leadline delivery release {earlier}` or `skip` moves both")
            }
            _ => format!("; `leadline delivery why {earlier}` says what that one waits for"),
        };
        return format!(
            "It waits since {since} for the earlier event of its lead, delivery {earlier}, to be delivered, dead or \
             skipped{go}."
        );
    }
    if let Some(told) = closed(facts) {
        return told;
    }
    let Some(due_at) = facts.due_at else {
        return format!("It is on its way between queue and push; {name:?} gets it at once.");
    };
    match &facts.failure {
        _ if due_at <= facts.now => format!(
            "It is due since {} and is pushed as soon as the lane of {name:?} has room: \
             `leadline integration show {id}` shows its limits and what is pending.",
            moment(Some(due_at))
        ),
        Some((class, error)) => format!(
            "It waits for its automatic retry at {} after {} failed ({class}: {error}); \
             `leadline delivery retry {}` pushes it now.",
            moment(Some(due_at)),
            attempts(facts.attempts),
            facts.id
        ),
        None => format!("It waits until {}, then it is pushed by itself.", moment(Some(due_at))),
    }
}

/// What keeps the whole lane.
fn closed(facts: &Facts) -> Option<String> {
    let Facts { integration: name, integration_id: id, company, lane, .. } = facts;
    let since = moment(Some(facts.created_at));
    if lane.is_disabled {
        return Some(format!(
            "It waits since {since} because integration {name:?} is disabled: \
             `leadline integration enable {id}` lets it go."
        ));
    }
    if let Some(at) = lane.paused_since {
        return Some(format!(
            "It waits because company {company} is paused since {}: `leadline company resume {company}` lets it go.",
            moment(Some(at))
        ));
    }
    if lane.awaits_cut_over {
        return Some(format!(
            "It waits since {since} because a rotation of the signing secret of {name:?} holds pushes: \
             `leadline integration cut-over {id}` lets it go."
        ));
    }
    let Some(until) = lane.throttled_until.filter(|until| *until > facts.now) else {
        return broken(facts);
    };
    let until = facts.due_at.map_or(until, |due_at| due_at.max(until));
    Some(format!(
        "It waits until {} because {name:?} asked us to wait; then it is pushed by itself.",
        moment(Some(until))
    ))
}

/// What the breaker keeps.
fn broken(facts: &Facts) -> Option<String> {
    let until = facts.lane.breaker_until.filter(|_| facts.is_retry)?;
    let (name, id) = (&facts.integration, &facts.id);
    let now = format!("`leadline delivery retry {id}` pushes it now");
    if until > facts.now {
        let until = facts.due_at.map_or(until, |due_at| due_at.max(until));
        return Some(format!(
            "It waits because the breaker of {name:?} is open after too many failures in a row: at {} one retry finds \
             out, and what it finds decides for the others; {now}.",
            moment(Some(until))
        ));
    }
    // Before its time it waits for that.
    facts.due_at.filter(|due_at| *due_at <= facts.now)?;
    Some(format!(
        "It waits because the breaker of {name:?} is half-open: one retry at a time finds out whether the target \
         answers again, and the others follow; {now}."
    ))
}

fn held(facts: &Facts) -> String {
    let Facts { integration: name, integration_id: id, .. } = facts;
    let since = moment(facts.since.or(Some(facts.created_at)));
    let release = format!("`leadline delivery release {}`", facts.id);
    if let Some(at) = facts.running_since {
        return format!(
            "It is held since {since} ({}) while the push that began at {} ends; if that fails, no retry follows until \
             {release}.",
            reason(facts),
            moment(Some(at))
        );
    }
    match reason(facts) {
        INTEGRATION_DISABLED if facts.lane.is_disabled => format!(
            "It is held since {since} because integration {name:?} is disabled: \
             `leadline integration enable {id} --held release` lets it go."
        ),
        INTEGRATION_DISABLED => format!(
            "It is held since {since} because integration {name:?} was disabled then: {release} lets it go."
        ),
        ROTATION => format!(
            "It is held since {since} because the signing secret of {name:?} is being rotated: \
             `leadline integration cut-over {id}` lets it go."
        ),
        other => format!("It is held since {since} ({other}): {release} lets it go, nothing else does."),
    }
}

fn dead(facts: &Facts) -> String {
    let since = moment(facts.since.or(facts.finished_at));
    let error = facts.failure.as_ref().map(|(_, error)| format!(": {error}")).unwrap_or_default();
    let retry = format!("`leadline delivery retry {}`", facts.id);
    let class = facts.failure.as_ref().map_or("", |(class, _)| class.as_str());
    let next = match (facts.sweep_at, class) {
        (Some(at), _) => format!("the sweep comes back to it at {}, {retry} does so now", moment(Some(at))),
        (None, "credentials") => {
            format!("give {:?} new credentials, then {retry} pushes it", facts.integration)
        }
        (None, "mapping") => {
            format!("correct the mapping or the templates of {:?}, then {retry} pushes it", facts.integration)
        }
        (None, _) => format!("nothing returns to it by itself, {retry} does"),
    };
    format!("It is dead since {since} after {} ({}{error}): {next}.", attempts(facts.attempts), reason(facts))
}

fn reason(facts: &Facts) -> &str {
    facts.reason.as_deref().unwrap_or("no reason is noted")
}

fn attempts(count: i32) -> String {
    match count {
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    }
}

/// A time to the second, as the API writes it.
fn moment(at: Option<Timestamp>) -> String {
    let whole = at.and_then(|at| Timestamp::from_second(at.as_second()).ok());
    whole.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
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
            lane: Lane::default(),
            sweep_at: None,
        };
        change(&mut facts);
        facts
    }

    #[track_caller]
    fn check(state: State, change: impl FnOnce(&mut Facts), told: &str) {
        assert_eq!(why(&facts(state, change)), told);
    }

    fn failed(facts: &mut Facts, class: &str) {
        facts.failure = Some((class.into(), "503 Service Unavailable".into()));
        facts.attempts = 2;
        facts.reason = Some(class.into());
    }

    #[test]
    fn pending_ones_wait_for_something() {
        use State::Pending;
        check(
            Pending,
            |f| f.running_since = at(60),
            "It is being pushed to \"crm\" since 1970-01-01T00:01:00Z, attempt 1; what follows is decided when that ends.",
        );
        check(
            Pending,
            |f| f.behind = Some(("E".into(), "pending".into())),
            "It waits since 1970-01-01T00:00:00Z for the earlier event of its lead, delivery E, to be delivered, dead or \
             skipped; `leadline delivery why E` says what that one waits for.",
        );
        check(
            Pending,
            |f| f.behind = Some(("E".into(), "held".into())),
            "It waits since 1970-01-01T00:00:00Z for the earlier event of its lead, delivery E, to be delivered, dead or \
             skipped; that one is held: `leadline delivery release E` or `skip` moves both.",
        );
        check(
            Pending,
            |f| f.due_at = at(90),
            "It is due since 1970-01-01T00:01:30Z and is pushed as soon as the lane of \"crm\" has room: \
             `leadline integration show I` shows its limits and what is pending.",
        );
        check(
            Pending,
            |f| {
                f.due_at = at(120);
                failed(f, "transient");
            },
            "It waits for its automatic retry at 1970-01-01T00:02:00Z after 2 attempts failed (transient: 503 Service \
             Unavailable); `leadline delivery retry D` pushes it now.",
        );
        check(
            Pending,
            |f| f.due_at = at(120),
            "It waits until 1970-01-01T00:02:00Z, then it is pushed by itself.",
        );
        check(Pending, |_| {}, "It is on its way between queue and push; \"crm\" gets it at once.");
    }

    #[test]
    fn a_lane_that_is_closed_keeps_pending_ones() {
        use State::Pending;
        let due = |f: &mut Facts, lane: Lane| {
            f.due_at = at(90);
            f.lane = lane;
        };
        let disabled =
            Lane { is_disabled: true, awaits_cut_over: true, paused_since: at(1), ..Lane::default() };
        check(
            Pending,
            |f| due(f, disabled),
            "It waits since 1970-01-01T00:00:00Z because integration \"crm\" is disabled: \
             `leadline integration enable I` lets it go.",
        );
        check(
            Pending,
            |f| due(f, Lane { is_disabled: false, ..disabled }),
            "It waits because company 7 is paused since 1970-01-01T00:00:01Z: `leadline company resume 7` lets it go.",
        );
        check(
            Pending,
            |f| due(f, Lane { awaits_cut_over: true, ..Lane::default() }),
            "It waits since 1970-01-01T00:00:00Z because a rotation of the signing secret of \"crm\" holds pushes: \
             `leadline integration cut-over I` lets it go.",
        );
        check(
            Pending,
            |f| due(f, Lane { throttled_until: at(160), ..Lane::default() }),
            "It waits until 1970-01-01T00:02:40Z because \"crm\" asked us to wait; then it is pushed by itself.",
        );
        let open = Lane { breaker_until: at(160), ..Lane::default() };
        check(
            Pending,
            |f| {
                due(f, open);
                f.is_retry = true;
            },
            "It waits because the breaker of \"crm\" is open after too many failures in a row: at 1970-01-01T00:02:40Z one \
             retry finds out, and what it finds decides for the others; `leadline delivery retry D` pushes it now.",
        );
        check(
            Pending,
            |f| {
                due(f, Lane { breaker_until: at(99), ..open });
                f.is_retry = true;
            },
            "It waits because the breaker of \"crm\" is half-open: one retry at a time finds out whether the target answers \
             again, and the others follow; `leadline delivery retry D` pushes it now.",
        );
        check(
            Pending,
            |f| due(f, open),
            "It is due since 1970-01-01T00:01:30Z and is pushed as soon as the lane of \"crm\" has room: \
             `leadline integration show I` shows its limits and what is pending.",
        );
        check(
            Pending,
            |f| due(f, Lane { throttled_until: at(100), ..Lane::default() }),
            "It is due since 1970-01-01T00:01:30Z and is pushed as soon as the lane of \"crm\" has room: \
             `leadline integration show I` shows its limits and what is pending.",
        );
    }

    #[test]
    fn held_ones_say_who_lets_them_go() {
        let held = |f: &mut Facts, reason: &str, is_disabled: bool| {
            f.since = at(60);
            f.reason = Some(reason.into());
            f.lane.is_disabled = is_disabled;
        };
        for (reason, is_disabled, told) in [
            (
                "integration disabled",
                true,
                "because integration \"crm\" is disabled: `leadline integration enable I --held release` lets it go.",
            ),
            (
                "integration disabled",
                false,
                "because integration \"crm\" was disabled then: `leadline delivery release D` lets it go.",
            ),
            (
                "rotation: held until cut over",
                false,
                "because the signing secret of \"crm\" is being rotated: `leadline integration cut-over I` lets it go.",
            ),
            (
                "operator: held by mara",
                false,
                "(operator: held by mara): `leadline delivery release D` lets it go, nothing else does.",
            ),
            (
                "flow \"corporate\": no such field",
                true,
                "(flow \"corporate\": no such field): `leadline delivery release D` lets it go, nothing else does.",
            ),
        ] {
            let told = format!("It is held since 1970-01-01T00:01:00Z {told}");
            check(State::Held, |f| held(f, reason, is_disabled), &told);
        }
        check(
            State::Held,
            |f| {
                held(f, "operator: held by mara", false);
                f.running_since = at(61);
            },
            "It is held since 1970-01-01T00:01:00Z (operator: held by mara) while the push that began at \
             1970-01-01T00:01:01Z ends; if that fails, no retry follows until `leadline delivery release D`.",
        );
    }

    #[test]
    fn final_ones_say_what_is_left_to_do() {
        check(
            State::Delivered,
            |f| (f.attempts, f.finished_at) = (1, at(60)),
            "It was delivered at 1970-01-01T00:01:00Z after 1 attempt; nothing is left to do.",
        );
        check(
            State::Skipped,
            |f| (f.reason, f.finished_at) = (Some("superseded by E".into()), at(60)),
            "It was skipped at 1970-01-01T00:01:00Z (superseded by E) and is not pushed any more.",
        );
        for (class, sweep_at, next) in [
            (
                "transient",
                at(200),
                "the sweep comes back to it at 1970-01-01T00:03:20Z, `leadline delivery retry D` does so now",
            ),
            ("transient", None, "nothing returns to it by itself, `leadline delivery retry D` does"),
            ("rejected", None, "nothing returns to it by itself, `leadline delivery retry D` does"),
            ("credentials", None, "give \"crm\" new credentials, then `leadline delivery retry D` pushes it"),
            (
                "mapping",
                None,
                "correct the mapping or the templates of \"crm\", then `leadline delivery retry D` pushes it",
            ),
        ] {
            let told = format!(
                "It is dead since 1970-01-01T00:01:00Z after 2 attempts ({class}: 503 Service Unavailable): {next}."
            );
            check(
                State::Dead,
                |f| {
                    failed(f, class);
                    (f.since, f.sweep_at) = (at(60), sweep_at);
                },
                &told,
            );
        }
    }
}
