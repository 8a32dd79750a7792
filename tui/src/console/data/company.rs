//! Companies, and everything of one on a page.

use jiff::Timestamp;

/// A company as a row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    pub id: i64,
    pub name: String,
    pub plan: String,
    pub paused_at: Option<Timestamp>,
    /// After so many hours without a lead it counts as silent; 0 for never.
    pub quiet_hours: u32,
    pub last_lead_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
}

impl Company {
    /// Since when no lead has come: since it was made, where none ever did.
    pub fn silent_since(&self) -> Option<Timestamp> {
        self.last_lead_at.or(self.created_at)
    }
}

/// A key that opens the intake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeKey {
    pub id: String,
    pub prefix: String,
    pub revoked_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    /// When a post with it was last refused.
    pub last_refused_at: Option<Timestamp>,
    pub require_signature: bool,
}

/// A request that the intake refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub at: Option<Timestamp>,
    pub key_prefix: String,
    pub status: u32,
    pub detail: String,
    /// Pointer and what is wrong there.
    pub errors: Vec<(String, String)>,
}

/// A rule that says which leads go to which integrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub id: String,
    pub company_id: i64,
    pub name: String,
    pub when: String,
    pub targets: Vec<(String, String)>,
    pub enabled: bool,
}

/// Everything of a company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyPage {
    pub company: Company,
    pub keys: Vec<IntakeKey>,
    pub leads_24h: u64,
    pub refused_24h: u64,
    pub flows: Vec<Flow>,
    /// Newest first.
    pub refused: Vec<Refused>,
}
