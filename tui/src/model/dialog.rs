//! The dialogs: what they ask, what is focused in them, and when they may be confirmed.

use jiff::{SignedDuration, Timestamp};

use super::data::{Entry, Estimate, Held, Mutation, Retry, Secret};
use super::input::Input;
use crate::keymap::Action;
use crate::msg::Ticket;

/// Keys within this time after a dialog opened were meant for what lay below.
const SETTLE: SignedDuration = SignedDuration::from_millis(150);

/// From this many deliveries on, a retry wants its number typed.
pub const BULK: u64 = 10;

/// What lies over the screen.
#[derive(Clone, Debug)]
pub enum Dialog {
    Confirm(Confirm),
    Menu(Menu),
    Help { scroll: u16 },
}

/// What is to be done, in the words that the dialog needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Retry {
        retry: Retry,
        of: String,
        delivered: usize,
    },
    Enable {
        id: String,
        name: String,
        held: u64,
    },
    Disable {
        id: String,
        name: String,
        pending: u64,
    },
    Test {
        id: String,
        name: String,
    },
    Reset {
        id: String,
        name: String,
        failures: u64,
    },
    Rotate {
        id: String,
        name: String,
        pending: u64,
    },
    CutOver {
        id: String,
        name: String,
        held: u64,
    },
    /// Away goes the staged secret, or the old one in its grace.
    Revoke {
        id: String,
        name: String,
        staged: bool,
    },
}

/// Whether a dry run has told what a retry would do.
#[derive(Clone, Debug, PartialEq)]
pub enum DryRun {
    NotNeeded,
    Waiting(Ticket),
    Told(Estimate),
    Failed(String),
}

/// What has the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Choice,
    Input,
    Cancel,
    Confirm,
}

/// A question before an act.
#[derive(Clone, Debug)]
pub struct Confirm {
    pub ask: Ask,
    pub focus: Focus,
    pub opened_at: Timestamp,
    pub dry_run: DryRun,
    pub choice: usize,
    pub input: Input,
}

/// A choice that a dialog offers: its name and the options.
pub struct Choice {
    pub label: &'static str,
    pub options: &'static [&'static str],
}

const HELD: [(&str, Held); 3] = [("keep held", Held::Keep), ("release", Held::Release), ("skip", Held::Skip)];
const ENTRIES: [Entry; 6] = [
    Entry::Now { grace_seconds: 0 },
    Entry::Now { grace_seconds: 3600 },
    Entry::Now { grace_seconds: 86_400 },
    Entry::Now { grace_seconds: 604_800 },
    Entry::Staged { hold: false },
    Entry::Staged { hold: true },
];

impl Confirm {
    /// A fresh question; Cancel has the focus unless something must be typed first.
    pub fn new(ask: Ask, now: Timestamp, dry_run: DryRun) -> Self {
        let (focus, choice) = match ask {
            Ask::Rotate { .. } => (Focus::Input, 2),
            _ => (Focus::Cancel, 0),
        };
        Self { ask, focus, opened_at: now, dry_run, choice, input: Input::default() }
    }

    /// Whether keys count yet.
    pub fn settled(&self, now: Timestamp) -> bool {
        now.duration_since(self.opened_at) >= SETTLE
    }

    /// The choice it offers, if any.
    pub fn choice(&self) -> Option<Choice> {
        match self.ask {
            Ask::Enable { held: 1.., .. } => {
                Some(Choice { label: "held deliveries", options: &["keep held", "release", "skip"] })
            }
            Ask::Rotate { .. } => Some(Choice {
                label: "old secret stays valid",
                options: &[
                    "not at all",
                    "1 hour",
                    "24 hours",
                    "7 days",
                    "until cut over",
                    "until cut over, pushes wait",
                ],
            }),
            _ => None,
        }
    }

    /// How a new secret comes in, where that is asked.
    pub fn entry(&self) -> Entry {
        ENTRIES.get(self.choice).copied().unwrap_or(Entry::Now { grace_seconds: 86_400 })
    }

    /// What must be typed to confirm.
    pub fn expected(&self) -> Option<String> {
        match (&self.ask, &self.dry_run) {
            (Ask::Rotate { name, .. }, _) => Some(name.clone()),
            (Ask::Retry { .. }, DryRun::Told(e)) if e.count >= BULK => Some(e.count.to_string()),
            _ => None,
        }
    }

    /// Why it cannot be confirmed yet.
    pub fn obstacle(&self) -> Option<&'static str> {
        match &self.dry_run {
            DryRun::Waiting(_) => return Some("the dry run is under way"),
            DryRun::Failed(_) => return Some("the dry run failed"),
            DryRun::Told(e) if e.count == 0 => return Some("there is nothing to retry"),
            DryRun::Told(_) | DryRun::NotNeeded => {}
        }
        let typed = self.input.text().trim();
        match self.expected() {
            Some(expected) if expected != typed => match self.ask {
                Ask::Rotate { .. } => Some("type the full name"),
                _ => Some("type the count"),
            },
            _ => None,
        }
    }

    /// The change that confirming asks for.
    pub fn mutation(&self) -> Mutation {
        match self.ask.clone() {
            Ask::Retry { retry, .. } => Mutation::Retry(retry),
            Ask::Enable { id, .. } => {
                let held = HELD.get(self.choice).map_or(Held::Keep, |(_, held)| *held);
                Mutation::Enable { integration: id, held }
            }
            Ask::Disable { id, .. } => Mutation::Disable { integration: id },
            Ask::Test { id, .. } => Mutation::Test { integration: id },
            Ask::Reset { id, .. } => Mutation::Reset { integration: id },
            Ask::Rotate { id, .. } => Mutation::Rotate { integration: id, entry: self.entry() },
            Ask::CutOver { id, .. } => Mutation::CutOver { integration: id },
            Ask::Revoke { id, .. } => Mutation::Revoke { integration: id },
        }
    }

    /// Moves the focus to the next or previous thing, round and round.
    pub fn turn(&mut self, forward: bool) {
        let order: Vec<Focus> = [
            self.choice().map(|_| Focus::Choice),
            self.expected().map(|_| Focus::Input),
            Some(Focus::Cancel),
            Some(Focus::Confirm),
        ]
        .into_iter()
        .flatten()
        .collect();
        let at = order.iter().position(|f| *f == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { order.len() - 1 };
        self.focus = order.get((at + step) % order.len()).copied().unwrap_or(Focus::Cancel);
    }
}

/// What to do with a line of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    Act(Action),
    Copy(Clip),
}

/// What can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clip {
    Name,
    IntegrationId,
    LastError,
    AttemptId,
    Lead,
    DeliveryId,
    Error,
    Url,
    RequestBody,
    ResponseBody,
    Curl,
    Json,
}

/// One line of a menu; `reason` says why it is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub key: String,
    pub label: String,
    pub pick: Pick,
    pub reason: Option<String>,
}

/// A list to pick from.
#[derive(Clone, Debug)]
pub struct Menu {
    pub title: &'static str,
    pub items: Vec<Item>,
    pub selected: usize,
    /// Present if typing narrows the list.
    pub query: Option<Input>,
    pub opened_at: Timestamp,
}

impl Menu {
    /// The items that the query leaves.
    pub fn visible(&self) -> Vec<&Item> {
        let query = self.query.as_ref().map(|q| q.text().to_lowercase()).unwrap_or_default();
        self.items.iter().filter(|item| item.label.to_lowercase().contains(&query)).collect()
    }
}

/// A secret that is shown this one time.
#[derive(Clone, Debug)]
pub struct OneTime {
    pub integration: String,
    pub secret: Secret,
    pub grace_until: Option<Timestamp>,
    /// The old one signs until cut over.
    pub staged: bool,
    pub opened_at: Timestamp,
    /// Until when it is shown in clear.
    pub shown_until: Option<Timestamp>,
    pub stored: bool,
    /// The file name that is being typed.
    pub path: Option<Input>,
    pub note: Option<String>,
    /// True after an attempt to close it without the tick.
    pub warned: bool,
}

impl OneTime {
    /// Masked, not stored.
    pub fn new(integration: String, secret: Secret, grace_until: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            integration,
            secret,
            grace_until,
            staged: false,
            opened_at: now,
            shown_until: None,
            stored: false,
            path: None,
            note: None,
            warned: false,
        }
    }

    /// Whether keys count yet.
    pub fn settled(&self, now: Timestamp) -> bool {
        now.duration_since(self.opened_at) >= SETTLE
    }

    /// A file name to start from, made of harmless characters only.
    pub fn suggested_path(&self) -> String {
        let slug: String =
            self.integration.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        format!("leadline-{slug}.secret")
    }
}
