//! The fields of the canonical event `v1`: what templates and mappings may name.

/// A name and what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
}

/// What stands at a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text, number or truth value.
    Leaf,
    /// A list.
    List,
    /// An object, whose fields have names of their own.
    Object,
}

const fn leaf(name: &'static str) -> Field {
    Field { name, shape: Shape::Leaf }
}

const fn object(name: &'static str) -> Field {
    Field { name, shape: Shape::Object }
}

/// Every canonical field.
pub const FIELDS: &[Field] = &[
    leaf("event"),
    leaf("version"),
    object("lead"),
    leaf("lead.uuid"),
    leaf("lead.name"),
    leaf("lead.email"),
    leaf("lead.phone"),
    leaf("lead.event_type"),
    leaf("lead.event_date"),
    leaf("lead.guest_count"),
    leaf("lead.gdpr_consent"),
    leaf("lead.source_url"),
    object("lead.utm"),
    leaf("lead.utm.source"),
    leaf("lead.utm.medium"),
    leaf("lead.utm.campaign"),
    leaf("lead.utm.term"),
    leaf("lead.utm.content"),
    object("lead.profile"),
    leaf("lead.profile.first_name"),
    leaf("lead.profile.last_name"),
    leaf("lead.profile.company"),
    leaf("lead.profile.website"),
    leaf("lead.profile.position"),
    leaf("lead.profile.twitter"),
    leaf("lead.profile.linkedin"),
    leaf("lead.profile.notes"),
    leaf("lead.profile.score"),
    object("quote"),
    leaf("quote.uuid"),
    leaf("quote.proposal_url"),
    leaf("quote.subtotal_pence"),
    leaf("quote.rules_pence"),
    leaf("quote.vat_pence"),
    leaf("quote.total_pence"),
    leaf("quote.currency"),
    Field { name: "quote.items", shape: Shape::List },
    object("viewing"),
    leaf("viewing.starts_at"),
    leaf("viewing.ends_at"),
    object("location"),
    leaf("location.id"),
    leaf("location.name"),
    object("company"),
    leaf("company.id"),
    leaf("company.name"),
];

/// The canonical field of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// Whether one path is the other or leads to it.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
