//! Why a delivery stands where it does: one sentence that says what it waits for and since when, and what somebody can do
//! about it. How that is done is each client's to say: a command, a key, a button.

use jiff::Timestamp;

use super::{
    delivery::{Reason, State},
    ids::DeliveryId,
    lane::{Keeper, LaneHolds},
    moment::Moment,
    outcome::FailureClass,
};

/// All that decides what a delivery waits for.
#[derive(Clone, Debug)]
pub struct Facts {
    pub id: String,
    pub state: State,
    /// Why it is held, skipped or dead.
    pub reason: Option<Reason>,
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
    pub failure: Option<(FailureClass, String)>,
    /// The earlier delivery that it waits for, and how that stands.
    pub behind: Option<(String, State)>,
    /// What keeps the whole lane.
    pub lane: LaneHolds,
    /// When the sweep comes back to a dead one.
    pub sweep_at: Option<Timestamp>,
}

/// Why a delivery stands where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// A sentence without its full stop.
    pub text: String,
    /// What moves it, the best first; none if it goes on by itself or nothing is left to do.
    pub next: Vec<NextStep>,
}

/// What somebody can do, and to which delivery, integration or company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    pub act: NextAct,
    pub id: String,
}

/// What can be done about a delivery that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAct {
    RetryDelivery,
    ReleaseDelivery,
    /// The one that it waits for.
    ExplainDelivery,
    EnableIntegration,
    ShowIntegration,
    SetCredentials,
    /// Or the templates.
    CorrectMapping,
    CutOverSecret,
    ResumeCompany,
    AskFlowsAgain,
}

impl NextAct {
    /// As programs read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetryDelivery => "retry_delivery",
            Self::ReleaseDelivery => "release_delivery",
            Self::ExplainDelivery => "explain_delivery",
            Self::EnableIntegration => "enable_integration",
            Self::ShowIntegration => "show_integration",
            Self::SetCredentials => "set_credentials",
            Self::CorrectMapping => "correct_mapping",
            Self::CutOverSecret => "cut_over_secret",
            Self::ResumeCompany => "resume_company",
            Self::AskFlowsAgain => "ask_flows_again",
        }
    }

    fn on(self, id: &str) -> NextStep {
        NextStep { act: self, id: id.to_owned() }
    }
}

impl Explanation {
    const fn alone(text: String) -> Self {
        Self { text, next: Vec::new() }
    }

    fn with(text: String, step: NextStep) -> Self {
        Self { text, next: vec![step] }
    }
}

/// Explains a delivery.
#[must_use]
pub fn why(facts: &Facts) -> Explanation {
    match facts.state {
        State::Pending => pending(facts),
        State::Held => held(facts),
        State::Dead => dead(facts),
        State::Delivered => {
            let (at, attempts) = (moment(facts.finished_at), attempts(facts.attempts));
            Explanation::alone(format!("It was delivered at {at} after {attempts}; nothing is left to do"))
        }
        State::Skipped => Explanation::alone(format!(
            "It was skipped at {} ({}) and is not pushed any more",
            moment(facts.finished_at),
            reason(facts)
        )),
    }
}

/// Explains a delivery that waits until somebody acts: whoever waits for its push would wait without end.
#[must_use]
pub fn idle_reason(facts: &Facts) -> Option<Explanation> {
    let Facts { state, running_since, behind, lane, .. } = facts;
    if *state != State::Pending || running_since.is_some() {
        return None;
    }
    if lane.command().is_some() {
        return closed(facts);
    }
    behind.as_ref().is_some_and(|(_, state)| *state == State::Held).then(|| pending(facts))
}

fn pending(facts: &Facts) -> Explanation {
    let Facts { integration: name, integration_id, .. } = facts;
    let since = moment(Some(facts.created_at));
    if let Some(at) = facts.running_since {
        let number = facts.attempts + 1;
        return Explanation::alone(format!(
            "It is being pushed to {name:?} since {}, attempt {number}; what follows is decided when that ends",
            moment(Some(at))
        ));
    }
    if let Some((earlier, state)) = &facts.behind {
        let text = format!(
            "It waits since {since} for the earlier event of its lead, delivery {earlier}, to be delivered, dead or skipped"
        );
        return match state {
            State::Held => Explanation::with(
                text + "; that one is held, and both go on when it does",
                NextAct::ReleaseDelivery.on(earlier),
            ),
            _ => Explanation::with(text, NextAct::ExplainDelivery.on(earlier)),
        };
    }
    if let Some(explanation) = closed(facts) {
        return explanation;
    }
    let Some(due_at) = facts.due_at else {
        return Explanation::alone(format!(
            "It is on its way between queue and push; {name:?} gets it at once"
        ));
    };
    match &facts.failure {
        _ if due_at <= facts.now => Explanation::with(
            format!(
                "It is due since {} and is pushed as soon as the lane of {name:?} has room",
                moment(Some(due_at))
            ),
            NextAct::ShowIntegration.on(integration_id),
        ),
        Some((class, error)) => Explanation::with(
            format!(
                "It waits for its automatic retry at {} after {} failed ({}: {error})",
                moment(Some(due_at)),
                attempts(facts.attempts),
                class.phrase(),
            ),
            NextAct::RetryDelivery.on(&facts.id),
        ),
        None => Explanation::alone(format!(
            "It waits until {}, then it is pushed by itself",
            moment(Some(due_at))
        )),
    }
}

/// A lane that somebody's command may keep, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandedLane {
    pub company: i64,
    /// The integration's name and id.
    pub integration: String,
    pub integration_id: String,
    pub holds: LaneHolds,
}

/// Why nothing of a lane is pushed until somebody acts, as a clause; none if nobody's command keeps it.
#[must_use]
pub fn idle_lane(lane: &CommandedLane) -> Option<Explanation> {
    let (text, next) = command(lane.holds.command()?, lane.company, &lane.integration, &lane.integration_id)?;
    Some(Explanation::with(text, next))
}

/// Whose command keeps a lane, as a clause, and what ends that.
fn command(keeper: Keeper, company: i64, name: &str, id: &str) -> Option<(String, NextStep)> {
    match keeper {
        Keeper::Disabled => {
            Some((format!("integration {name:?} is disabled"), NextAct::EnableIntegration.on(id)))
        }
        Keeper::Paused(at) => Some((
            format!("company {company} is paused since {}", moment(Some(at.into()))),
            NextAct::ResumeCompany.on(&company.to_string()),
        )),
        Keeper::Rotation => Some((
            format!("a rotation of the signing secret of {name:?} holds pushes"),
            NextAct::CutOverSecret.on(id),
        )),
        Keeper::Throttled(_) | Keeper::BreakerOpen(_) | Keeper::BreakerHalfOpen => None,
    }
}

/// What keeps the whole lane.
fn closed(facts: &Facts) -> Option<Explanation> {
    let Facts { integration: name, integration_id: id, company, .. } = facts;
    let keep = facts.lane.keep(facts.due_at.map(Moment::from), facts.is_retry, facts.now.into())?;
    if let Some((clause, next)) = command(keep, *company, name, id) {
        let since = match keep {
            Keeper::Paused(_) => String::new(),
            _ => format!(" since {}", moment(Some(facts.created_at))),
        };
        return Some(Explanation::with(format!("It waits{since} because {clause}"), next));
    }
    let text = match keep {
        Keeper::Throttled(until) => format!(
            "It waits until {} because {name:?} asked us to wait; then it is pushed by itself",
            moment(Some(until.into()))
        ),
        Keeper::BreakerOpen(until) => format!(
            "It waits because the breaker of {name:?} is open after too many failures in a row: at {} one retry \
             finds out, and what it finds decides for the others",
            moment(Some(until.into()))
        ),
        _ => format!(
            "It waits because the breaker of {name:?} is half-open: one retry at a time finds out whether the \
             target answers again, and the others follow"
        ),
    };
    // An operator's retry lifts either, and goes ahead.
    Some(Explanation::with(text, NextAct::RetryDelivery.on(&facts.id)))
}

/// What a pending delivery waits for, in few words, and when it is pushed at the earliest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// None if nothing but its time keeps it.
    pub reason: Option<String>,
    /// The same for programs: the code of a [`Reason`], or one of [`Waiting::CODES`]; none without a reason.
    pub code: Option<&'static str>,
    /// None if nobody can say.
    pub due_at: Option<Timestamp>,
}

impl Waiting {
    /// What keeps a delivery that is the reason of none.
    pub const CODES: [&'static str; 3] = ["company_paused", "throttled", "breaker"];
}

/// The same as [`why`] tells of a pending delivery, for a line of a list.
#[must_use]
pub fn waiting(
    lane: &LaneHolds,
    behind: Option<DeliveryId>,
    due_at: Option<Timestamp>,
    is_retry: bool,
    now: Timestamp,
) -> Waiting {
    if let Some(earlier) = behind {
        let reason = Some(Reason::WaitsFor(earlier).text());
        return Waiting { reason, code: Some("waits_for"), due_at: None };
    }
    let keep = lane.keep(due_at.map(Moment::from), is_retry, now.into());
    let Some(keep) = keep else {
        return Waiting { reason: None, code: None, due_at };
    };
    let [paused, throttled, breaker] = Waiting::CODES;
    let (code, reason, due_at) = match keep {
        Keeper::Disabled => ("integration_disabled", Reason::IntegrationDisabled.text(), None),
        Keeper::Paused(_) => (paused, "company paused".to_owned(), None),
        Keeper::Rotation => ("rotation", Reason::Rotation.text(), None),
        Keeper::Throttled(until) => {
            (throttled, "throttled: the target asked us to wait".to_owned(), Some(until.into()))
        }
        Keeper::BreakerOpen(until) => {
            (breaker, "breaker open: one retry finds out then".to_owned(), Some(until.into()))
        }
        Keeper::BreakerHalfOpen => (breaker, "breaker half-open: one retry finds out".to_owned(), due_at),
    };
    Waiting { reason: Some(reason), code: Some(code), due_at }
}

fn held(facts: &Facts) -> Explanation {
    let Facts { integration: name, integration_id: id, .. } = facts;
    let since = moment(facts.since.or(Some(facts.created_at)));
    let release = NextAct::ReleaseDelivery.on(&facts.id);
    if let Some(at) = facts.running_since {
        let text = format!(
            "It is held since {since} ({}) while the push that began at {} ends; if that fails, no retry follows",
            reason(facts),
            moment(Some(at))
        );
        return Explanation::with(text, release);
    }
    let begin = format!("It is held since {since}");
    match &facts.reason {
        Some(Reason::IntegrationDisabled) if facts.lane.is_disabled => Explanation::with(
            format!("{begin} because integration {name:?} is disabled"),
            NextAct::EnableIntegration.on(id),
        ),
        Some(Reason::IntegrationDisabled) => {
            Explanation::with(format!("{begin} because integration {name:?} was disabled then"), release)
        }
        Some(Reason::Rotation) => Explanation::with(
            format!("{begin} because the signing secret of {name:?} is being rotated"),
            NextAct::CutOverSecret.on(id),
        ),
        Some(Reason::FlowFails { .. }) => Explanation {
            text: format!("{begin} ({}) until the flow is mended and asked again", reason(facts)),
            next: vec![NextAct::AskFlowsAgain.on(&facts.company.to_string()), release],
        },
        _ => Explanation::with(
            format!("{begin} ({}), and nothing lets it go by itself", reason(facts)),
            release,
        ),
    }
}

fn dead(facts: &Facts) -> Explanation {
    let since = moment(facts.since.or(facts.finished_at));
    let error = facts.failure.as_ref().map(|(_, error)| format!(": {error}")).unwrap_or_default();
    let class = facts.failure.as_ref().map(|(class, _)| *class);
    let (name, id) = (&facts.integration, &facts.integration_id);
    let (rest, first) = match (facts.sweep_at, class) {
        (Some(at), _) => (format!("the sweep comes back to it at {}", moment(Some(at))), None),
        (None, Some(FailureClass::Credentials)) => {
            (format!("{name:?} needs new credentials first"), Some(NextAct::SetCredentials.on(id)))
        }
        (None, Some(FailureClass::Mapping)) => (
            format!("the mapping or the templates of {name:?} must be corrected first"),
            Some(NextAct::CorrectMapping.on(id)),
        ),
        (None, _) => ("nothing returns to it by itself".to_owned(), None),
    };
    let attempts = attempts(facts.attempts);
    Explanation {
        text: format!("It is dead since {since} after {attempts} ({}{error}); {rest}", reason(facts)),
        next: first.into_iter().chain([NextAct::RetryDelivery.on(&facts.id)]).collect(),
    }
}

fn reason(facts: &Facts) -> String {
    facts.reason.as_ref().map_or_else(|| "no reason is noted".to_owned(), Reason::text)
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
mod tests;
