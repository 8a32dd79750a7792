//! Why a delivery is where it is: a code with a typed detail for the machine, a sentence for people.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use crate::{ids::DeliveryId, outcome::FailureClass};

/// The most flows that a reason names.
const NAMED: usize = 5;

/// Why a delivery is held, skipped or dead, or what a pending one waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", content = "detail", rename_all = "snake_case")]
pub enum Reason {
    /// Pending: an earlier event of the lead comes first.
    WaitsFor(DeliveryId),
    /// Pending: the last push may have arrived.
    MaybeDelivered,
    /// Held from the start: the integration is disabled.
    IntegrationDisabled,
    /// Held from the start: a rotation is staged with hold.
    Rotation,
    /// Held: this flow cannot be evaluated, and why.
    FlowFails { flow: String, problem: String },
    /// Held from the start: a newer daemon's word says which leads the integration takes.
    UnknownRouting,
    /// Held by this operator.
    HeldByOperator(String),
    /// Skipped: no flow names the integration.
    NoFlow,
    /// Skipped: no flow that names the integration took the lead.
    FlowNotMet(Unmet),
    /// Skipped: the lead did not agree to be written to.
    NoConsent,
    /// Skipped by an operator.
    SkippedByOperator(Skip),
    /// Skipped: a later push of the lead arrived, or this one takes its place.
    Superseded(Option<DeliveryId>),
    /// Skipped: an operator pushes this one instead.
    Replaced(DeliveryId),
    /// The lead's person was erased.
    Erased,
    /// Dead: the push failed, and repeating it does not help.
    Failed(FailureClass),
    /// Dead: so many automatic retries failed too.
    RetriesFailed { class: FailureClass, retries: u32 },
    /// Dead: the sweep came back to it, and that failed too.
    SweepFailed(FailureClass),
    /// Dead: so many daemons died during its pushes.
    Crashed(i16),
    /// Dead: the database refused to keep what a push came to, which may have arrived.
    Unwritten,
    /// A code that this daemon does not know. It is read, never written.
    #[serde(skip)]
    Unknown(String),
}

/// The flows that kept a lead away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    /// Flows whose condition is not met, the first few by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<String>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
    /// A flow that took the lead and asks no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Unmet {
    /// The first few of these, and how many more there are.
    #[must_use]
    pub fn new(flows: &[&str], stopped_by: Option<&str>) -> Self {
        Self {
            flows: flows.iter().take(NAMED).map(ToString::to_string).collect(),
            more: flows.len().saturating_sub(NAMED),
            stopped_by: stopped_by.map(ToOwned::to_owned),
        }
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.flows.is_empty() {
            let word = if self.flows.len() == 1 { "flow" } else { "flows" };
            let named: Vec<String> = self.flows.iter().map(|name| format!("{name:?}")).collect();
            let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
            parts.push(format!("{word} {}{more} not met", named.join(", ")));
        }
        if let Some(flow) = &self.stopped_by {
            parts.push(format!("flow {flow:?} took the lead and stops"));
        }
        parts.join("; ")
    }
}

/// How a delivery stood when an operator skipped it, so that this can be undone. The database keeps beside this when a
/// dead one died (`died_at`), for the statement that undoes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    pub operator: String,
    /// Pending, held or dead.
    pub was: State,
    /// Why it stood so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Value>,
}

impl Reason {
    /// The codes of deliveries that flows, or the want of consent, kept away.
    pub const KEPT_AWAY: [&'static str; 3] = ["no_flow", "flow_not_met", "no_consent"];

    /// Every code there is: whatever a statement names is one of them.
    pub const CODES: [&'static str; 19] = [
        "waits_for",
        "maybe_delivered",
        "integration_disabled",
        "rotation",
        "flow_fails",
        "unknown_routing",
        "held_by_operator",
        "no_flow",
        "flow_not_met",
        "no_consent",
        "skipped_by_operator",
        "superseded",
        "replaced",
        "erased",
        "failed",
        "retries_failed",
        "sweep_failed",
        "crashed",
        "unwritten",
    ];

    /// The flows that it names.
    #[must_use]
    pub fn flows(&self) -> Vec<String> {
        match self {
            Self::FlowFails { flow, .. } => vec![flow.clone()],
            Self::FlowNotMet(unmet) => unmet.flows.iter().chain(&unmet.stopped_by).cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The word that the database keeps.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Unknown(code) => code.clone(),
            known => match serde_json::to_value(known) {
                Ok(Value::Object(mut tagged)) => match tagged.remove("code") {
                    Some(Value::String(code)) => code,
                    _ => String::new(),
                },
                _ => String::new(),
            },
        }
    }

    /// What the database keeps beside the code; none for a code that says all.
    #[must_use]
    pub fn detail(&self) -> Option<Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut tagged)) => tagged.remove("detail").filter(|detail| !detail.is_null()),
            _ => None,
        }
    }

    /// The detail as text.
    #[must_use]
    pub fn detail_text(&self) -> Option<String> {
        self.detail().map(|detail| detail.to_string())
    }

    /// The reason that the database keeps so.
    #[must_use]
    pub fn read(code: Option<String>, detail: Option<Value>) -> Option<Self> {
        let code = code?;
        let tagged = match detail {
            Some(detail) => json!({ "code": code, "detail": detail }),
            None => json!({ "code": code }),
        };
        Some(serde_json::from_value(tagged).unwrap_or(Self::Unknown(code)))
    }

    /// The reason as people and scripts read it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::WaitsFor(earlier) => format!("waits for {earlier}"),
            Self::MaybeDelivered => FailureClass::Unknown.phrase().to_owned(),
            Self::IntegrationDisabled => "integration disabled".to_owned(),
            Self::Rotation => "rotation: held until cut over".to_owned(),
            Self::FlowFails { flow, problem } => format!("flow {flow:?} cannot be evaluated: {problem}"),
            Self::UnknownRouting => {
                "routing: only a newer leadlined knows which leads the integration takes".to_owned()
            }
            Self::HeldByOperator(operator) => format!("operator: held by {operator}"),
            Self::NoFlow => "flow: none sends leads here".to_owned(),
            Self::FlowNotMet(unmet) => unmet.text(),
            Self::NoConsent => "consent".to_owned(),
            Self::SkippedByOperator(skip) => format!("operator: skipped by {}", skip.operator),
            Self::Superseded(None) => "superseded by a later push".to_owned(),
            Self::Superseded(Some(by)) => format!("superseded by {by}"),
            Self::Replaced(by) => format!("replaced by {by}"),
            Self::Erased => "erased".to_owned(),
            Self::Failed(class) => class.phrase().to_owned(),
            Self::RetriesFailed { class, retries } => {
                format!("{}: {retries} automatic retries failed", class.phrase())
            }
            Self::SweepFailed(class) => format!("{}: the sweep failed too", class.phrase()),
            Self::Crashed(crashes) => {
                format!("poison, maybe delivered: the daemon died during {crashes} of its pushes")
            }
            Self::Unwritten => {
                "maybe delivered: the database refused to keep what its last push came to".to_owned()
            }
            Self::Unknown(code) => format!("{code}: this daemon is too old to know why"),
        }
    }

    /// Whether the sweep comes back to what is dead for this: repeating it may help later.
    #[must_use]
    pub const fn is_swept(&self) -> bool {
        match self {
            Self::RetriesFailed { .. } | Self::SweepFailed(_) => true,
            Self::Failed(class) => class.is_retried(),
            _ => false,
        }
    }

    /// That an operator skipped a delivery; how it stood is added where the row is changed.
    #[must_use]
    pub fn skipped(operator: &str) -> Self {
        Self::SkippedByOperator(Skip { operator: operator.to_owned(), was: State::Pending, reason: None })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every reason, its code and its sentence.
    fn all() -> Vec<(Reason, &'static str, &'static str)> {
        let id: DeliveryId = "01J8H6KQH4YG3XR8RWM6T6XFQE".parse().unwrap();
        let unmet = |flows: &[&str], by| Reason::FlowNotMet(Unmet::new(flows, by));
        let fails = Reason::FlowFails { flow: "vip".into(), problem: "no such field (1:1)".into() };
        vec![
            (Reason::WaitsFor(id), "waits_for", "waits for 01J8H6KQH4YG3XR8RWM6T6XFQE"),
            (Reason::MaybeDelivered, "maybe_delivered", "unknown, maybe delivered"),
            (Reason::IntegrationDisabled, "integration_disabled", "integration disabled"),
            (Reason::Rotation, "rotation", "rotation: held until cut over"),
            (fails, "flow_fails", "flow \"vip\" cannot be evaluated: no such field (1:1)"),
            (
                Reason::UnknownRouting,
                "unknown_routing",
                "routing: only a newer leadlined knows which leads the integration takes",
            ),
            (Reason::HeldByOperator("ann".into()), "held_by_operator", "operator: held by ann"),
            (Reason::NoFlow, "no_flow", "flow: none sends leads here"),
            (unmet(&["vip"], None), "flow_not_met", "flow \"vip\" not met"),
            (
                unmet(&["a", "b", "c", "d", "e", "f", "g"], Some("first")),
                "flow_not_met",
                "flows \"a\", \"b\", \"c\", \"d\", \"e\" and 2 more not met; flow \"first\" took the lead and stops",
            ),
            (Reason::NoConsent, "no_consent", "consent"),
            (Reason::skipped("ann"), "skipped_by_operator", "operator: skipped by ann"),
            (Reason::Superseded(None), "superseded", "superseded by a later push"),
            (Reason::Superseded(Some(id)), "superseded", "superseded by 01J8H6KQH4YG3XR8RWM6T6XFQE"),
            (Reason::Replaced(id), "replaced", "replaced by 01J8H6KQH4YG3XR8RWM6T6XFQE"),
            (Reason::Erased, "erased", "erased"),
            (Reason::Failed(FailureClass::Rejected), "failed", "rejected"),
            (Reason::Failed(FailureClass::Unknown), "failed", "unknown, maybe delivered"),
            (
                Reason::RetriesFailed { class: FailureClass::Transient, retries: 3 },
                "retries_failed",
                "transient: 3 automatic retries failed",
            ),
            (Reason::SweepFailed(FailureClass::Throttled), "sweep_failed", "throttled: the sweep failed too"),
            (
                Reason::Crashed(3),
                "crashed",
                "poison, maybe delivered: the daemon died during 3 of its pushes",
            ),
            (
                Reason::Unwritten,
                "unwritten",
                "maybe delivered: the database refused to keep what its last push came to",
            ),
        ]
    }

    #[test]
    fn every_reason_is_kept_and_read_back_and_has_its_sentence() {
        for (reason, code, text) in all() {
            assert_eq!((&*reason.code(), &*reason.text()), (code, text));
            assert_eq!(Reason::read(Some(reason.code()), reason.detail()), Some(reason));
        }
        assert_eq!(Reason::read(None, None), None);
        let codes: BTreeSet<&str> = all().into_iter().map(|(_, code, _)| code).collect();
        assert_eq!(codes, BTreeSet::from(Reason::CODES));
    }

    #[test]
    fn a_reason_names_the_flows_that_it_is_about() {
        let unmet = |flows: &[&str], by| Reason::FlowNotMet(Unmet::new(flows, by)).flows();
        assert_eq!(unmet(&["a", "b"], None), ["a", "b"]);
        assert_eq!(unmet(&["a"], Some("first")), ["a", "first"]);
        let fails = Reason::FlowFails { flow: "vip".into(), problem: "no such field (1:1)".into() };
        assert_eq!((fails.flows(), Reason::NoFlow.flows()), (vec!["vip".to_owned()], vec![]));
    }

    #[test]
    fn a_code_of_a_newer_daemon_is_named() {
        for (code, detail) in [("embargo", None), ("waits_for", Some(json!("nobody"))), ("failed", None)] {
            let reason = Reason::read(Some(code.to_owned()), detail).unwrap();
            assert_eq!(reason, Reason::Unknown(code.to_owned()));
            assert_eq!(reason.code(), code);
            assert_eq!(reason.text(), format!("{code}: this daemon is too old to know why"));
        }
    }

    #[test]
    fn what_kept_a_lead_away_is_known_by_its_codes() {
        let kept = [Reason::NoFlow, Reason::FlowNotMet(Unmet::default()), Reason::NoConsent];
        assert_eq!(kept.map(|reason| reason.code()), Reason::KEPT_AWAY);
    }
}
