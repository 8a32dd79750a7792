//! Which integrations an event of a lead goes to, and which of its deliveries wait or are skipped.

use super::{
    delivery::{Reason, State},
    flow::{Decision, FlowAnswers, Flows},
    ids::{DeliveryId, IntegrationId},
    integration::EventKind,
    json::Json,
};

/// An integration as far as intake must know it.
#[derive(Clone, Debug)]
pub struct IntakeIntegration {
    pub id: IntegrationId,
    pub name: String,
    pub enabled: bool,
    /// A rotation is staged with hold.
    pub awaits_cut_over: bool,
    pub events: Vec<EventKind>,
    /// None if only a newer daemon knows it: what comes to it is held.
    pub routing: Option<Routing>,
    /// Only leads that consented may be pushed.
    pub needs_consent: bool,
}

/// Which leads an integration takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    #[default]
    All,
    /// Only what flows send it.
    Flows,
}

impl Routing {
    /// The word that the API and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Flows => "flows",
        }
    }

    /// The routing of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::All, Self::Flows].into_iter().find(|routing| routing.as_str() == word)
    }
}

impl IntakeIntegration {
    /// Why a delivery to it is held from the start; none if it is not.
    #[must_use]
    pub const fn holds(&self) -> Option<Reason> {
        match (self.enabled, self.awaits_cut_over) {
            (false, _) => Some(Reason::IntegrationDisabled),
            (true, true) => Some(Reason::Rotation),
            (true, false) => None,
        }
    }
}

/// A delivery that intake decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub integration: IntegrationId,
    pub fate: Fate,
    /// For an update: what it becomes where the lead was kept away until now.
    pub arrival: Arrival,
}

/// What becomes of a new delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Pending,
    Held(Reason),
    Skipped(Reason),
}

impl Fate {
    /// The delivery's state.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self::Pending => State::Pending,
            Self::Held(_) => State::Held,
            Self::Skipped(_) => State::Skipped,
        }
    }

    /// Why it is held or skipped.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Pending => None,
            Self::Held(reason) | Self::Skipped(reason) => Some(reason),
        }
    }
}

/// How an update comes to an integration that has had no delivery of the lead but those that flows, or the want of
/// consent, kept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// As any other event.
    AsIs,
    /// As a new lead: the integration never heard of it.
    Created,
    /// As a new lead; where the lead has arrived before, not at all, for the integration takes no updates.
    OnlyCreated,
}

/// One delivery for every integration that is subscribed to the event, in the order of the integrations.
pub fn fan_out(
    integrations: &[IntakeIntegration],
    flows: &Flows,
    kind: EventKind,
    event: &Json,
    new_id: impl FnMut() -> DeliveryId,
) -> Vec<NewDelivery> {
    fan_out_by(integrations, || flows.ask(event, kind), kind, event, new_id)
}

/// As [`fan_out`], where flows could not be asked: what they would decide about is held.
pub fn fan_out_unasked(
    integrations: &[IntakeIntegration],
    flows: &Flows,
    cause: &str,
    kind: EventKind,
    event: &Json,
    new_id: impl FnMut() -> DeliveryId,
) -> Vec<NewDelivery> {
    fan_out_by(integrations, || flows.unanswered(cause), kind, event, new_id)
}

fn fan_out_by<'a>(
    integrations: &[IntakeIntegration],
    ask: impl Fn() -> FlowAnswers<'a>,
    kind: EventKind,
    event: &Json,
    mut new_id: impl FnMut() -> DeliveryId,
) -> Vec<NewDelivery> {
    let mut answers = None;
    let mut decided = Vec::with_capacity(integrations.len());
    for integration in integrations {
        let Some(arrival) = arrival(integration, kind) else { continue };
        let decision = match integration.routing {
            Some(Routing::All) => Decision::Sends,
            // Asked once, and only if anybody wants to know.
            Some(Routing::Flows) => answers.get_or_insert_with(&ask).about(integration.id),
            None => Decision::CannotSay(Reason::UnknownRouting),
        };
        let fate = match decision {
            Decision::Keeps(reason) => Fate::Skipped(reason),
            // Whatever is held may be released later, so this goes before.
            Decision::Sends | Decision::CannotSay(_) if integration.needs_consent && !has_consent(event) => {
                Fate::Skipped(Reason::NoConsent)
            }
            Decision::CannotSay(reason) => Fate::Held(reason),
            Decision::Sends => integration.holds().map_or(Fate::Pending, Fate::Held),
        };
        decided.push(NewDelivery { id: new_id(), integration: integration.id, fate, arrival });
    }
    decided
}

/// Whether the lead agreed to be written to: `true` alone says so.
#[must_use]
pub fn has_consent(event: &Json) -> bool {
    event.at("lead.gdpr_consent") == Some(&Json::Bool(true))
}

/// How an event comes to an integration; none if it takes no such event.
fn arrival(integration: &IntakeIntegration, kind: EventKind) -> Option<Arrival> {
    let takes = |kind| integration.events.contains(&kind);
    let is_choosy = integration.routing != Some(Routing::All) || integration.needs_consent;
    let may_be_new = is_choosy && kind == EventKind::Updated && takes(EventKind::Created);
    match (takes(kind), may_be_new) {
        (true, true) => Some(Arrival::Created),
        (true, false) => Some(Arrival::AsIs),
        (false, true) => Some(Arrival::OnlyCreated),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::Unmet,
        flow::{Condition, Flow},
        ids::FlowId,
    };
    use EventKind::{Created, Updated};

    fn integration(enabled: bool, events: &[EventKind], routing: Routing) -> IntakeIntegration {
        let events = events.to_vec();
        IntakeIntegration {
            id: IntegrationId::generate(),
            name: "crm".into(),
            enabled,
            awaits_cut_over: false,
            events,
            routing: Some(routing),
            needs_consent: false,
        }
    }

    #[test]
    fn subscribed_integrations_get_a_delivery_and_disabled_ones_hold_it() {
        let integrations = [
            integration(true, &[Created, Updated], Routing::All),
            integration(false, &[Created], Routing::All),
            integration(true, &[Updated], Routing::All),
        ];
        let rotating = |enabled| IntakeIntegration {
            awaits_cut_over: true,
            ..integration(enabled, &[Created], Routing::All)
        };
        let integrations: Vec<_> =
            integrations.into_iter().chain([rotating(true), rotating(false)]).collect();
        let held = || Fate::Held(Reason::IntegrationDisabled);
        let rotation = Fate::Held(Reason::Rotation);
        for (event, wanted) in [
            (Created, vec![(0, Fate::Pending), (1, held()), (3, rotation), (4, held())]),
            (Updated, vec![(0, Fate::Pending), (2, Fate::Pending)]),
            (EventKind::Test, vec![]),
        ] {
            let decided = fan_out(&integrations, &Flows::default(), event, &Json::Null, DeliveryId::generate);
            let seen: Vec<_> = decided.into_iter().map(|one| (one.integration, one.fate)).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|(at, fate)| (integrations[at].id, fate)).collect();
            assert_eq!(seen, wanted, "{event:?}");
        }
    }

    #[test]
    fn what_comes_to_an_integration_of_a_newer_daemon_is_held_and_keeps_no_other_waiting() {
        let newer = IntakeIntegration { routing: None, ..integration(true, &[Created], Routing::All) };
        let integrations = [newer, integration(true, &[Created], Routing::All)];
        let decided = fan_out(&integrations, &Flows::default(), Created, &Json::Null, DeliveryId::generate);
        let fates: Vec<_> = decided.into_iter().map(|one| one.fate).collect();
        assert_eq!(fates, [Fate::Held(Reason::UnknownRouting), Fate::Pending]);
    }

    #[test]
    fn what_needs_consent_skips_every_lead_that_does_not_say_true() {
        let needy = |enabled, routing| IntakeIntegration {
            needs_consent: true,
            ..integration(enabled, &[Created, Updated], routing)
        };
        let integrations =
            [needy(true, Routing::All), needy(false, Routing::All), needy(true, Routing::Flows)];
        let other = integration(true, &[Created, Updated], Routing::All);
        let integrations: Vec<_> = integrations.into_iter().chain([other]).collect();
        let fates = |consent: &str, kind| -> Vec<Fate> {
            let event =
                Json::parse(format!(r#"{{"lead":{{"gdpr_consent":{consent}}}}}"#).as_bytes()).unwrap();
            let decided = fan_out(&integrations, &Flows::default(), kind, &event, DeliveryId::generate);
            decided.into_iter().map(|one| one.fate).collect()
        };
        let agreed = fates("true", Created);
        assert!(agreed.iter().all(|fate| *fate != Fate::Skipped(Reason::NoConsent)), "{agreed:?}");
        for consent in ["false", "null", "1", "\"true\""] {
            for kind in [Created, Updated] {
                let seen = fates(consent, kind);
                assert_eq!(seen[..2], [Fate::Skipped(Reason::NoConsent), Fate::Skipped(Reason::NoConsent)]);
                assert!(matches!(seen[2], Fate::Skipped(_)), "{seen:?}");
                assert_eq!(seen[3], Fate::Pending);
            }
        }
    }

    #[test]
    fn an_update_with_consent_may_be_the_first_that_arrives() {
        let needy =
            |events| IntakeIntegration { needs_consent: true, ..integration(true, events, Routing::All) };
        let integrations = [needy(&[Created, Updated]), needy(&[Created]), needy(&[Updated])];
        let event = Json::parse(br#"{"lead":{"gdpr_consent":true}}"#).unwrap();
        let arrivals = |kind| -> Vec<_> {
            let decided = fan_out(&integrations, &Flows::default(), kind, &event, DeliveryId::generate);
            decided.into_iter().map(|one| one.arrival).collect()
        };
        assert_eq!(arrivals(Created), [Arrival::AsIs; 2]);
        assert_eq!(arrivals(Updated), [Arrival::Created, Arrival::OnlyCreated, Arrival::AsIs]);
    }

    #[test]
    fn flows_send_keep_away_or_hold_and_updates_may_arrive_as_new() {
        let integrations = [
            integration(true, &[Created, Updated], Routing::Flows),
            integration(false, &[Created], Routing::Flows),
            integration(true, &[Updated], Routing::Flows),
            integration(true, &[Created], Routing::All),
        ];
        let flow = |when: &str, at: usize| Flow {
            id: FlowId::generate(),
            name: when.into(),
            when: Condition::compile(when),
            then: [integrations[at].id].into(),
            stop: false,
        };
        let flows = Flows(vec![flow("true", 0), flow("true", 1), flow("lead.guest_count > 5", 2)]);
        let event = Json::parse(br#"{"lead":{"guest_count":5}}"#).unwrap();
        let decide = |flows: &Flows, kind, event: &Json| -> Vec<_> {
            fan_out(&integrations, flows, kind, event, DeliveryId::generate)
                .into_iter()
                .map(|one| (one.fate, one.arrival))
                .collect()
        };
        let disabled = || Fate::Held(Reason::IntegrationDisabled);
        let unmet = || Fate::Skipped(Reason::FlowNotMet(Unmet::new(&["lead.guest_count > 5"], None)));
        assert_eq!(
            decide(&flows, Created, &event),
            [(Fate::Pending, Arrival::AsIs), (disabled(), Arrival::AsIs), (Fate::Pending, Arrival::AsIs)]
        );
        assert_eq!(
            decide(&flows, Updated, &event),
            [(Fate::Pending, Arrival::Created), (disabled(), Arrival::OnlyCreated), (unmet(), Arrival::AsIs)]
        );
        let [.., (Fate::Held(reason), _)] = &decide(&flows, Updated, &Json::Null)[..] else { panic!() };
        assert!(
            matches!(reason, Reason::FlowFails { flow, .. } if flow == "lead.guest_count > 5"),
            "{reason:?}"
        );
        let unasked = fan_out_unasked(&integrations, &flows, "why", Created, &event, DeliveryId::generate);
        let reason = unasked[0].fate.reason().map(Reason::text);
        assert_eq!(reason.as_deref(), Some("flow \"true\" cannot be evaluated: why"));
        assert_eq!(unasked.last().unwrap().fate, Fate::Pending, "who takes every lead is asked no flow");
        let none = decide(&Flows::default(), Created, &event);
        assert_eq!(none[0].0, Fate::Skipped(Reason::NoFlow));
        assert_eq!(none[2].0, Fate::Pending, "who takes every lead is asked no flow");
    }
}
