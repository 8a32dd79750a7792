//! Deliveries.

use jiff::Timestamp;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    Dead,
    Held,
    Pending,
    Skipped,
    Unknown,
    Delivered,
}

impl DeliveryState {
    /// Reads the daemon's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "dead" => Self::Dead,
            "held" => Self::Held,
            "pending" => Self::Pending,
            "skipped" => Self::Skipped,
            "delivered" => Self::Delivered,
            _ => Self::Unknown,
        }
    }

    /// The word shown beside the glyph.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Delivered => "delivered",
        }
    }
}

/// The duty to bring one event to one integration, as a row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: String,
    pub company_id: i64,
    pub company: String,
    pub lead: String,
    /// The person's name, or the address if there is none; empty once the person is erased.
    pub lead_name: String,
    pub integration_id: String,
    pub integration: String,
    pub event: String,
    pub state: DeliveryState,
    pub reason: String,
    /// The flows that the reason names.
    pub reason_flows: Vec<String>,
    pub error: String,
    pub class: String,
    pub attempts: u32,
    pub due_at: Option<Timestamp>,
    pub running: bool,
    pub created_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Delivery {
    /// Who it is about: the name if it is known, else the uuid.
    pub fn person(&self) -> &str {
        if self.lead_name.is_empty() { &self.lead } else { &self.lead_name }
    }

    /// When it reached the state it is in, as well as that is known.
    pub fn at(&self) -> Option<Timestamp> {
        self.finished_at.or(self.created_at)
    }

    /// Why it is where it is: what the target wrote, else the reason of a hold or a skip.
    pub fn because(&self) -> &str {
        if self.error.is_empty() || self.state == DeliveryState::Held { &self.reason } else { &self.error }
    }
}
