//! Leads: as search finds them, and everything of one on a page.

use jiff::Timestamp;

use super::{Attempt, Delivery};

/// A lead as a row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    pub uuid: String,
    pub company_id: i64,
    pub company: String,
    pub name: String,
    pub email: String,
    pub phone: String,
    /// unsynced | pushed | complete
    pub state: String,
    pub received_at: Option<Timestamp>,
    pub undelivered: u32,
    /// Where it says what was looked for anywhere.
    pub said: Option<Said>,
}

/// A value of a lead in which a text was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// As a JSON pointer.
    pub pointer: String,
    /// Of a long one the part around the text.
    pub value: String,
}

/// How far leads were looked through for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    pub leads: u32,
    pub back_to: Option<Timestamp>,
    /// Looks further back; empty once there is none.
    pub next: String,
}

impl Lead {
    /// Who it is: the name, else the address, else the uuid.
    pub fn person(&self) -> &str {
        [&self.name, &self.email, &self.uuid]
            .into_iter()
            .find(|text| !text.is_empty())
            .map_or("", |text| text)
    }
}

/// Something that happened to a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Option<Timestamp>,
    /// received | event | delivery | attempt | final | erased
    pub what: String,
    pub integration: String,
    pub state: String,
    pub reason: String,
    /// What was tried, as far as the story has it: whose lead it is stands on its page.
    pub attempt: Option<Box<Attempt>>,
}

/// A delivery with the sentence that says what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub delivery: Delivery,
    /// Empty for a delivered one.
    pub why: String,
}

/// A thing that a target made of the lead, in the target's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: String,
    pub id: String,
    /// Where people see it; empty if that is not known.
    pub url: String,
    pub integration_id: String,
}

/// A lead with everything that became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadPage {
    pub lead: Lead,
    /// The canonical event, JSON.
    pub event: Vec<u8>,
    /// Worst first.
    pub deliveries: Vec<Explained>,
    /// Oldest first.
    pub steps: Vec<Step>,
    pub records: Vec<Record>,
}
