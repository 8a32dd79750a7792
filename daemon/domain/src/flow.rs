//! Flows: conditions over the canonical event that say which leads go to which integrations.
//!
//! A condition is CEL. The grammar is that of a kept crate, so that it is read as everybody else reads it; it is carried
//! out here, because an event is not ours: the work it can cause is bounded, and it is read where it stands.

mod compile;
mod error;
mod eval;
mod fuel;
mod functions;
mod program;
mod reader;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashSet;

use super::{
    delivery::{Reason, Unmet},
    ids::{FlowId, IntegrationId},
    integration::EventKind,
    json::Json,
    lead,
};
pub use error::{ConditionError, Undecided};
use eval::{EvalFault, Evaluation};
use program::Node;

/// How many steps a condition may take for one lead.
const STEPS: usize = 50_000;
/// How many steps all flows of a company may take for one lead.
const STEPS_IN_ALL: usize = 500_000;

/// A condition, ready to be asked.
#[derive(Debug)]
pub struct Condition {
    source: String,
    node: Node,
}

impl Condition {
    /// Reads a condition; the error says all that is wrong with it, and where.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        let node = compile::compile(source)?;
        Ok(Self { source: source.to_owned(), node })
    }

    /// Reads a condition that an operator saves: what fails for every lead is refused. Answers what else to know: for
    /// which leads it cannot be evaluated.
    pub fn check(source: &str) -> Result<(Self, Option<String>), ConditionError> {
        let condition = Self::compile(source)?;
        let mut warning = None;
        for (sample, which) in [
            (lead::full_sample(), "a lead with every canonical field"),
            (lead::required_sample(), "a lead without optional fields"),
        ] {
            match condition.run(&sample, EventKind::Created, &mut STEPS.clone()) {
                Ok(_) => {}
                Err(fault) if fault.absent.is_none() => {
                    return Err(ConditionError::Never(condition.undecided(&fault)));
                }
                Err(fault) if warning.is_none() => {
                    let cause = condition.undecided(&fault);
                    warning =
                        Some(format!("for {which} this cannot be evaluated, and holds the lead: {cause}"));
                }
                Err(_) => {}
            }
        }
        Ok((condition, warning))
    }

    /// Whether it holds for an event; the error is one line.
    pub fn holds(&self, event: &Json, kind: EventKind) -> Result<bool, Undecided> {
        self.holds_within(event, kind, &mut STEPS.clone())
    }

    fn holds_within(&self, event: &Json, kind: EventKind, left: &mut usize) -> Result<bool, Undecided> {
        self.run(event, kind, left).map_err(|fault| self.undecided(&fault))
    }

    fn run(&self, event: &Json, kind: EventKind, left: &mut usize) -> Result<bool, EvalFault> {
        let granted = STEPS.min(*left);
        let mut evaluation = Evaluation::new(event, kind, granted);
        let answer = evaluation.decide(&self.node);
        *left -= granted - evaluation.left();
        answer
    }

    fn undecided(&self, fault: &EvalFault) -> Undecided {
        let place = compile::place(&self.source, fault.at);
        Undecided(match &fault.absent {
            Some(field) if !field.contains(['[', ' ']) => {
                format!("{} ({place}); ask has({field}) first", fault.reason)
            }
            _ => format!("{} ({place})", fault.reason),
        })
    }
}

/// A flow as it decides.
#[derive(Debug)]
pub struct Flow {
    pub id: FlowId,
    pub name: String,
    /// The condition, or why the stored one cannot be read any more.
    pub when: Result<Condition, ConditionError>,
    /// Where its leads go: looked up for each integration and lead.
    pub then: HashSet<IntegrationId>,
    /// Whether a lead that it takes is kept from the flows behind it.
    pub stop: bool,
}

/// The enabled flows of a company, in order.
#[derive(Debug, Default)]
pub struct Flows(pub Vec<Flow>);

/// What a flow says to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FlowAnswer {
    Takes,
    Leaves,
    /// It cannot be evaluated.
    Fails(String),
    /// A flow before it took the lead and stops: its index.
    NotAsked(usize),
    /// A flow before it that stops cannot be evaluated, so nobody knows whether this one is to be asked: its index.
    Unsure(usize),
}

/// What all flows say to one event.
#[derive(Debug)]
pub struct FlowAnswers<'a> {
    flows: &'a [Flow],
    answers: Vec<FlowAnswer>,
}

/// What flows decide about an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A flow sends the lead there.
    Sends,
    /// No flow does: why not.
    Keeps(Reason),
    /// Nobody can say: why not.
    CannotSay(Reason),
}

impl Flows {
    /// Asks every flow.
    #[must_use]
    pub fn ask(&self, event: &Json, kind: EventKind) -> FlowAnswers<'_> {
        let mut left = STEPS_IN_ALL;
        let (mut stopped, mut unsure) = (None, None);
        let mut answers = Vec::with_capacity(self.0.len());
        for (index, flow) in self.0.iter().enumerate() {
            let answer = match (stopped, &flow.when) {
                (Some(first), _) => FlowAnswer::NotAsked(first),
                (None, Err(error)) => FlowAnswer::Fails(error.to_string()),
                (None, Ok(condition)) => match condition.holds_within(event, kind, &mut left) {
                    Ok(true) => unsure.map_or(FlowAnswer::Takes, FlowAnswer::Unsure),
                    Ok(false) => FlowAnswer::Leaves,
                    Err(undecided) => FlowAnswer::Fails(undecided.to_string()),
                },
            };
            match answer {
                FlowAnswer::Takes if flow.stop => stopped = Some(index),
                FlowAnswer::Fails(_) if flow.stop => unsure = unsure.or(Some(index)),
                _ => {}
            }
            answers.push(answer);
        }
        FlowAnswers { flows: &self.0, answers }
    }

    /// What there is to say if they could not be asked.
    #[must_use]
    pub fn unanswered(&self, cause: &str) -> FlowAnswers<'_> {
        let answers = self.0.iter().map(|_| FlowAnswer::Fails(cause.to_owned())).collect();
        FlowAnswers { flows: &self.0, answers }
    }
}

impl FlowAnswers<'_> {
    /// What the flows decide about an integration: one that sends the lead there is enough.
    #[must_use]
    pub fn about(&self, integration: IntegrationId) -> Decision {
        let concerned: Vec<(&Flow, &FlowAnswer)> = self
            .flows
            .iter()
            .zip(&self.answers)
            .filter(|(flow, _)| flow.then.contains(&integration))
            .collect();
        if concerned.is_empty() {
            return Decision::Keeps(Reason::NoFlow);
        }
        if concerned.iter().any(|(_, answer)| **answer == FlowAnswer::Takes) {
            return Decision::Sends;
        }
        let trouble = concerned.iter().find_map(|(flow, answer)| match answer {
            FlowAnswer::Fails(cause) => Some((*flow, cause)),
            FlowAnswer::Unsure(first) => match &self.answers[*first] {
                FlowAnswer::Fails(cause) => Some((&self.flows[*first], cause)),
                _ => None,
            },
            _ => None,
        });
        if let Some((flow, cause)) = trouble {
            let (flow, problem) = (flow.name.clone(), cause.clone());
            return Decision::CannotSay(Reason::FlowFails { flow, problem });
        }
        Decision::Keeps(self.kept_away(&concerned))
    }

    fn kept_away(&self, concerned: &[(&Flow, &FlowAnswer)]) -> Reason {
        let left: Vec<&str> = concerned
            .iter()
            .filter(|(_, answer)| **answer == FlowAnswer::Leaves)
            .map(|(flow, _)| flow.name.as_str())
            .collect();
        let stopped = concerned.iter().find_map(|(_, answer)| match answer {
            FlowAnswer::NotAsked(first) => Some(self.flows[*first].name.as_str()),
            _ => None,
        });
        Reason::FlowNotMet(Unmet::new(&left, stopped))
    }
}
