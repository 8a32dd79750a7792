//! Attempts, and what went over the wire in them.

use jiff::Timestamp;

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    Running,
    Delivered,
    Failed,
    Unknown,
}

impl AttemptState {
    /// Reads the daemon's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "running" => Self::Running,
            "delivered" => Self::Delivered,
            "failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// The word shown beside the glyph.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One numbered try of a delivery, as a row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: String,
    /// Empty for a test, which belongs to no delivery.
    pub delivery: String,
    pub lead: String,
    /// The person's name, or the address if there is none; empty once the person is erased.
    pub lead_name: String,
    pub integration_id: String,
    pub integration: String,
    /// 0 where it was not told.
    pub company_id: i64,
    pub company: String,
    pub number: u32,
    pub trigger: String,
    pub state: AttemptState,
    pub status: Option<u32>,
    pub class: String,
    pub error: String,
    pub started_at: Option<Timestamp>,
    pub duration_ms: Option<u32>,
    pub event: String,
}

impl Attempt {
    /// Who it is about: the name if it is known, else the uuid.
    pub fn person(&self) -> &str {
        if self.lead_name.is_empty() { &self.lead } else { &self.lead_name }
    }
}

/// One request of a push and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    pub url: String,
    pub request_headers: Vec<(String, String)>,
    pub request_body: Vec<u8>,
    /// How many bytes were sent; the body may hold fewer.
    pub request_bytes: u64,
    pub status: Option<u32>,
    pub response_headers: Vec<(String, String)>,
    pub response_body: Vec<u8>,
    /// How many bytes of the response were read; the body may hold fewer.
    pub response_bytes: u64,
    pub duration_ms: Option<u32>,
    pub error: String,
}

impl Call {
    /// Whether the beginning alone is kept of what was sent.
    pub fn is_cut(&self) -> bool {
        (self.request_body.len() as u64) < self.request_bytes
    }
}

/// What was sent in an attempt and what came back, call by call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub calls: Vec<Call>,
    pub secret_version: u32,
    pub mapping_version: u32,
    pub operator: String,
}
