//! Which integrations an event of a lead goes to, and which of its deliveries wait.

use super::{
    ids::{DeliveryId, IntegrationId},
    integration::EventKind,
};

/// Why the deliveries of a disabled integration are held.
pub const INTEGRATION_DISABLED: &str = "integration disabled";

/// An integration as far as intake must know it.
#[derive(Clone, Debug)]
pub struct IntakeIntegration {
    pub id: IntegrationId,
    pub name: String,
    pub enabled: bool,
    pub events: Vec<EventKind>,
}

/// A delivery that intake decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub integration: IntegrationId,
    /// None: pending. Some: held, with the reason.
    pub held: Option<String>,
}

/// One delivery for every integration that is subscribed to the event, in the order of the integrations.
pub fn fan_out(
    integrations: &[IntakeIntegration],
    event: EventKind,
    mut new_id: impl FnMut() -> DeliveryId,
) -> Vec<NewDelivery> {
    integrations
        .iter()
        .filter(|integration| integration.events.contains(&event))
        .map(|integration| NewDelivery {
            id: new_id(),
            integration: integration.id,
            held: (!integration.enabled).then(|| INTEGRATION_DISABLED.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribed_integrations_get_a_delivery_and_disabled_ones_hold_it() {
        use EventKind::{Created, Updated};
        let integration = |enabled, events: &[EventKind]| IntakeIntegration {
            id: IntegrationId::generate(),
            name: "crm".into(),
            enabled,
            events: events.to_vec(),
        };
        let integrations = [
            integration(true, &[Created, Updated]),
            integration(false, &[Created]),
            integration(true, &[Updated]),
        ];
        for (event, wanted) in [
            (Created, vec![(0, None), (1, Some("integration disabled"))]),
            (Updated, vec![(0, None), (2, None)]),
            (EventKind::Test, vec![]),
        ] {
            let decided = fan_out(&integrations, event, DeliveryId::generate);
            let seen: Vec<_> = decided.iter().map(|one| (one.integration, one.held.as_deref())).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|(at, held)| (integrations[at].id, held)).collect();
            assert_eq!(seen, wanted, "{event:?}");
        }
    }
}
