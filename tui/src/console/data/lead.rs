//! Leads: as search finds them, and everything of one on a page.

use jiff::Timestamp;
use serde_json::Value;

use super::{Attempt, Delivery, DeliveryState};

/// So much of a value is told in a line.
const TOLD: usize = 80;

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

impl Explained {
    /// Whether it waits for nothing but somebody.
    pub const fn is_at_rest(&self) -> bool {
        matches!(self.delivery.state, DeliveryState::Dead | DeliveryState::Held | DeliveryState::Skipped)
    }
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

impl LeadPage {
    /// What the lead says where a flow's condition looks, each place once; nothing of what is no part of the event.
    pub fn says_where(&self, condition: &str) -> Vec<String> {
        let Ok(event) = serde_json::from_slice::<Value>(&self.event) else { return Vec::new() };
        let mut said: Vec<String> = paths(condition).iter().filter_map(|path| says(&event, path)).collect();
        let mut seen = std::collections::BTreeSet::new();
        said.retain(|line| seen.insert(line.clone()));
        said
    }
}

/// What stands at one place of an event; none where the event has no such part at all.
fn says(event: &Value, path: &str) -> Option<String> {
    let mut names = path.split('.');
    let part = event.get(names.next()?)?;
    let value = names.try_fold(part, |value, name| value.get(name)).filter(|value| !value.is_null());
    let Some(value) = value else { return Some(format!("{path} is not there")) };
    let whole = value.to_string();
    let more = if whole.chars().nth(TOLD).is_some() { "…" } else { "" };
    Some(format!("{path} is {}{more}", whole.chars().take(TOLD).collect::<String>()))
}

/// The names with dots in a condition: not what stands in quotes, nor what a function is called.
fn paths(condition: &str) -> Vec<String> {
    let (mut paths, mut path, mut quote) = (Vec::new(), String::new(), None);
    for c in condition.chars().chain([' ']) {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if c.is_alphanumeric() || c == '_' || (c == '.' && !path.is_empty()) => path.push(c),
            None => {
                if c == '(' {
                    path.truncate(path.rfind('.').unwrap_or(0));
                }
                if !path.is_empty() {
                    paths.push(std::mem::take(&mut path));
                }
                quote = Some(c).filter(|c| matches!(*c, '"' | '\''));
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_told_with_what_the_lead_says_there() {
        let event = serde_json::json!({
            "event": "lead.created",
            "lead": { "guest_count": 120, "tags": ["vip"], "name": null, "note": "x".repeat(100) },
        });
        let said = |condition: &str| -> Vec<String> {
            paths(condition).iter().filter_map(|path| says(&event, path)).collect()
        };
        assert_eq!(said("lead.guest_count > 150"), ["lead.guest_count is 120"]);
        assert_eq!(
            said(r#"has(lead.date) && lead.tags.exists(t, t == "lead.guest_count") || !(event == 'x')"#),
            ["lead.date is not there", r#"lead.tags is ["vip"]"#, r#"event is "lead.created""#]
        );
        assert_eq!(said("lead.name.contains('a') && company.plan == \"pro\""), ["lead.name is not there"]);
        assert_eq!(said("size(lead.note) > 3"), [format!("lead.note is \"{}…", "x".repeat(79))]);
        assert!(said("true && 1.5 > 1.0").is_empty());
    }
}
