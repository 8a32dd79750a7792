//! What every screen may look at: the connection, the integrations, the company that is looked at, the messages.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::undo::Saved;
use crate::config::OwnCommand;
use crate::console::data::integration::Figures;
use crate::console::data::{Badge, Company, Conn, Elsewhere, Integration, Who};
use crate::console::keymap::{Action, Keymap};
use crate::console::msg::Ticket;

/// How long a message stands in the status line; a bad one stays until a key is pressed.
const SHOWN: SignedDuration = SignedDuration::from_secs(6);
/// How many messages are kept.
const KEPT: usize = 500;
/// Below this the screen is too small to show anything but a line.
pub const SMALLEST: (u16, u16) = (60, 15);
/// From this width on there are cards and a side pane.
pub const WIDE: u16 = 100;

/// How a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Plain,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub at: Timestamp,
    pub tone: Tone,
    pub text: String,
    /// Cleared when it has been seen for long enough.
    pub is_shown: bool,
}

/// A change without an answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub what: String,
    /// True once it had to be put back because the connection broke.
    pub is_delayed: bool,
}

/// What is fixed for a run of the console.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The daemon's address, as shown.
    pub target: String,
    /// The same, if there is one place only where it can be.
    pub server: Option<String>,
    /// The profile that names it, and all there are.
    pub profile: Option<String>,
    pub profiles: Vec<String>,
    /// Those of them whose daemon is another one.
    pub others: Vec<String>,
    pub keymap: Keymap,
    pub commands: Vec<OwnCommand>,
    pub read_only: bool,
    /// Whether something is typed before each change.
    pub careful: bool,
    /// Whether the mouse is listened to.
    pub mouse: bool,
    /// Whether all is drawn one below the other, to be read out.
    pub plain: bool,
    pub zone: TimeZone,
}

/// How often screens ask by themselves, in seconds, and for how long after a change they go on to do so.
const BUSY: i64 = 5;
const QUIET: i64 = 30;
const LINGERS: i64 = 20;

/// What all screens share. Only `App` and the screens' own events change it.
#[derive(Clone, Debug)]
pub struct Shared {
    pub setup: Setup,
    pub now: Timestamp,
    pub width: u16,
    pub height: u16,
    pub conn: Conn,
    /// Since when the data are not fresh; `None` while they are.
    pub stale_since: Option<Timestamp>,
    /// False until the first snapshot.
    pub is_loaded: bool,
    pub daemon_version: String,
    /// None until the daemon says so, or where it knows no such question.
    pub who: Option<Who>,
    /// Worst first, then by name and company.
    pub integrations: Vec<Integration>,
    /// When integrations changed last.
    pub changed_at: Option<Timestamp>,
    /// Counts every change of the integrations, so that screens take them over once.
    pub revision: u64,
    /// What integrations came to when that was asked last.
    pub figures: BTreeMap<String, Arc<Figures>>,
    /// The connectors that push nothing without credentials; none until the daemon has told.
    pub credentialed: Option<BTreeSet<String>>,
    /// The daemons of other profiles, by profile, while they are looked at.
    pub elsewhere: BTreeMap<String, Elsewhere>,
    /// The only company that is looked at.
    pub company: Option<(i64, String)>,
    pub companies: Vec<Company>,
    /// Oldest first.
    pub messages: VecDeque<Message>,
    pub pending: BTreeMap<Ticket, Pending>,
    /// Integrations whose target has taken a test or new credentials since it last refused.
    pub proven: BTreeSet<String>,
    /// Integrations whose mapping was changed in this run: the bytes of before are of no use there.
    pub remapped: BTreeSet<String>,
    /// What was saved last, if there is a way back from it.
    pub saved: Option<Saved>,
    tickets: Ticket,
}

impl Shared {
    /// Nothing known yet.
    pub fn new(setup: Setup, now: Timestamp, width: u16, height: u16) -> Self {
        Self {
            setup,
            now,
            width,
            height,
            conn: Conn::Connecting,
            stale_since: None,
            is_loaded: false,
            daemon_version: String::new(),
            who: None,
            integrations: Vec::new(),
            changed_at: None,
            revision: 0,
            figures: BTreeMap::new(),
            credentialed: None,
            elsewhere: BTreeMap::new(),
            company: None,
            companies: Vec::new(),
            messages: VecDeque::new(),
            pending: BTreeMap::new(),
            proven: BTreeSet::new(),
            remapped: BTreeSet::new(),
            saved: None,
            tickets: 0,
        }
    }

    /// Whether the panes fit at all.
    pub const fn is_usable(&self) -> bool {
        self.width >= SMALLEST.0 && self.height >= SMALLEST.1
    }

    /// Whether there is room for a side pane.
    pub const fn is_wide(&self) -> bool {
        self.width >= WIDE && !self.setup.plain
    }

    /// What stands where something has not come yet.
    pub fn waits(&self) -> &'static str {
        if self.is_live() { "Loading…" } else { "The daemon is away: this is asked for when it is back." }
    }

    /// After how many seconds a screen that no stream keeps up to date asks again: soon while integrations change, and
    /// seldom while nothing is heard of them.
    pub fn pace(&self) -> i64 {
        let is_busy = |at: Timestamp| self.now.duration_since(at).as_secs() < LINGERS;
        if self.changed_at.is_some_and(is_busy) { BUSY } else { QUIET }
    }

    /// Whether the daemon can be asked now.
    pub fn is_live(&self) -> bool {
        self.conn == Conn::Live
    }

    /// A number that no request has had yet.
    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// Shows a line for a while, and keeps it among the messages.
    pub fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.messages.push_back(Message { at: self.now, tone, text: text.into(), is_shown: true });
        while self.messages.len() > KEPT {
            self.messages.pop_front();
        }
    }

    /// Takes from the status line what stood there long enough.
    pub fn expire(&mut self, has_key: bool) {
        let now = self.now;
        for message in self.messages.iter_mut().rev().take_while(|message| message.is_shown) {
            let is_over = now.duration_since(message.at) >= SHOWN;
            if is_over && (message.tone != Tone::Bad || has_key) {
                message.is_shown = false;
            }
        }
    }

    /// The message in the status line.
    pub fn shown(&self) -> Option<&Message> {
        self.messages.back().filter(|message| message.is_shown)
    }

    /// Why nothing may be changed now.
    pub fn locked(&self) -> Option<String> {
        if self.setup.read_only {
            return Some("the console is read-only".to_owned());
        }
        match &self.conn {
            Conn::Live => None,
            Conn::Connecting => Some("not connected yet".to_owned()),
            Conn::Lost { .. } => Some("not connected".to_owned()),
            Conn::Incompatible(_) => Some("the daemon is of another version".to_owned()),
            Conn::Denied(_) => Some("the daemon denies access".to_owned()),
        }
    }

    /// Why the daemon would not let us do this; none if it would, or has not said.
    pub fn denied(&self, action: Action) -> Option<String> {
        let who = self.who.as_ref()?;
        let method = action.method().filter(|method| !who.may.contains(*method))?;
        let whose = if who.company.is_empty() { String::new() } else { format!(" of {}", who.company) };
        Some(format!("{} is {}{whose} here and may not ({method}): ask an admin", who.operator, who.role))
    }

    /// Whether we are shown people without their names and addresses.
    pub fn is_masked(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.masked)
    }

    /// The integrations of the company that is looked at, worst first.
    pub fn in_view(&self) -> impl Iterator<Item = &Integration> {
        let company = self.company.as_ref().map(|(id, _)| *id);
        self.integrations.iter().filter(move |it| company.is_none_or(|id| id == it.company_id))
    }

    /// The integration with this id.
    pub fn integration(&self, id: &str) -> Option<&Integration> {
        self.integrations.iter().find(|it| it.id == id)
    }

    /// The company that an act is about: the one that is named, else the one that is looked at, else the only one.
    pub fn company_for(&self, named: Option<i64>) -> Option<(i64, String)> {
        let only = || match self.companies.as_slice() {
            [one] => Some((one.id, one.name.clone())),
            _ => None,
        };
        match named {
            None => self.company.clone().or_else(only),
            Some(id) => {
                let known = self.companies.iter().find(|it| it.id == id).map(|it| it.name.clone());
                let seen =
                    || self.integrations.iter().find(|it| it.company_id == id).map(|it| it.company.clone());
                Some((id, known.or_else(seen).unwrap_or_else(|| format!("company {id}"))))
            }
        }
    }

    /// Takes one in, new or changed.
    pub fn upsert(&mut self, new: Integration) {
        match self.integrations.iter_mut().find(|it| it.id == new.id) {
            Some(old) => *old = new,
            None => self.integrations.push(new),
        }
        self.sort();
    }

    /// Puts them in order, and tells that they have changed.
    pub fn sort(&mut self) {
        self.revision += 1;
        for it in &mut self.integrations {
            it.figures = self.figures.get(&it.id).cloned();
            let is_wanted = self.credentialed.as_ref().is_some_and(|all| all.contains(&it.connector));
            it.lacks_credentials = is_wanted && !it.has_credentials;
        }
        self.integrations.sort_by(worst_first);
    }

    /// How many integrations in view have such a badge.
    pub fn count(&self, wanted: impl Fn(Badge) -> bool) -> usize {
        self.in_view().filter(|it| wanted(it.badge)).count()
    }

    /// The company that is looked at, else all of them.
    pub fn companies_in_view(&self) -> impl Iterator<Item = &Company> {
        let only = self.company.as_ref().map(|(id, _)| *id);
        self.companies.iter().filter(move |it| only.is_none_or(|id| id == it.id))
    }

    /// How many companies should have had a lead by now.
    pub fn silent(&self) -> usize {
        self.companies_in_view().filter(|it| is_silent(it, self.now)).count()
    }
}

/// The order of integrations: worst first; within a badge what has most dead, then by name.
pub fn worst_first(a: &Integration, b: &Integration) -> Ordering {
    let key = |it: &Integration| (it.badge, std::cmp::Reverse(it.dead));
    key(a).cmp(&key(b)).then_with(|| (&a.name, a.company_id, &a.id).cmp(&(&b.name, b.company_id, &b.id)))
}

/// Whether a company has had no lead for longer than it said to be usual. One that never had any is waited for since it
/// was made; one that is paused takes leads in all the same. `company list --silent` counts so, too.
pub fn is_silent(it: &Company, now: Timestamp) -> bool {
    let hours = i64::from(it.quiet_hours);
    hours > 0 && it.silent_since().is_some_and(|at| now.duration_since(at).as_hours() >= hours)
}
