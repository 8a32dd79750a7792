//! Everything the console knows. Only `update` changes it, only `view` draws it.

pub mod data;
pub mod dialog;
pub mod document;
pub mod filter;
pub mod input;
pub mod layout;
pub mod open;
pub mod time;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use data::{Badge, Conn, Integration};
use dialog::{Dialog, OneTime};
use filter::Filter;
use layout::Size;
use open::Open;

use crate::msg::Ticket;

/// How long a toast stays.
const TOAST: SignedDuration = SignedDuration::from_secs(6);

/// How a toast is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Plain,
}

/// A line that goes away by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    pub tone: Tone,
    pub text: String,
    pub until: Timestamp,
}

/// Which screen is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    Overview,
    Integration,
    Attempt,
}

/// A mutation without an answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub what: String,
    /// True once it had to be put back because the connection broke.
    pub delayed: bool,
}

/// The list of integrations: what is selected and shown.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    pub selected: Option<String>,
    pub filter: Filter,
    pub failing_only: bool,
}

/// What is fixed for a run of the console.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The daemon's address, as shown.
    pub target: String,
    pub read_only: bool,
    pub zone: TimeZone,
}

/// The whole state.
#[derive(Clone, Debug)]
pub struct Model {
    pub setup: Setup,
    pub now: Timestamp,
    pub size: Size,
    pub conn: Conn,
    /// Since when the data are not fresh; `None` while they are.
    pub stale_since: Option<Timestamp>,
    /// False until the first snapshot.
    pub loaded: bool,
    pub daemon_version: String,
    /// Failing first, then by name.
    pub integrations: Vec<Integration>,
    pub overview: Overview,
    pub open: Option<Open>,
    pub dialog: Option<Dialog>,
    /// The first one lies over everything until it is stored.
    pub secrets: VecDeque<OneTime>,
    pub toasts: VecDeque<Toast>,
    pub pending: BTreeMap<Ticket, Pending>,
    tickets: Ticket,
}

impl Model {
    /// Nothing known yet.
    pub fn new(setup: Setup, now: Timestamp, width: u16, height: u16) -> Self {
        Self {
            setup,
            now,
            size: Size { width, height },
            conn: Conn::Connecting,
            stale_since: None,
            loaded: false,
            daemon_version: String::new(),
            integrations: Vec::new(),
            overview: Overview::default(),
            open: None,
            dialog: None,
            secrets: VecDeque::new(),
            toasts: VecDeque::new(),
            pending: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// The screen on top.
    pub fn screen(&self) -> Screen {
        match &self.open {
            None => Screen::Overview,
            Some(open) if open.full => Screen::Attempt,
            Some(_) => Screen::Integration,
        }
    }

    /// The integrations that the filter leaves.
    pub fn visible(&self) -> Vec<&Integration> {
        let wanted = |it: &&Integration| {
            self.overview.filter.passes(it) && (!self.overview.failing_only || it.badge.is_bad())
        };
        self.integrations.iter().filter(wanted).collect()
    }

    /// The integration that an act would concern: the open one, else the selected one.
    pub fn current(&self) -> Option<&Integration> {
        let id = match &self.open {
            Some(open) => &open.id,
            None => self.overview.selected.as_ref()?,
        };
        self.integrations.iter().find(|it| it.id == *id)
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

    /// Shows a line for a while.
    pub fn toast(&mut self, tone: Tone, text: impl Into<String>) {
        self.toasts.push_back(Toast { tone, text: text.into(), until: self.now + TOAST });
        while self.toasts.len() > 4 {
            self.toasts.pop_front();
        }
    }

    /// A number that no request has had yet.
    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// Puts the integrations in order and the selection on what is seen; answers how many marks that dropped.
    pub fn settle(&mut self) -> usize {
        self.integrations.sort_by(|a, b| (a.badge, &a.name, &a.id).cmp(&(b.badge, &b.name, &b.id)));
        let visible = self.visible();
        let kept = self.overview.selected.as_ref().is_some_and(|id| visible.iter().any(|it| it.id == *id));
        if !kept {
            self.overview.selected = visible.first().map(|it| it.id.clone());
        }
        self.open.as_mut().map_or(0, Open::settle)
    }

    /// How many integrations have this badge.
    pub fn count(&self, wanted: impl Fn(Badge) -> bool) -> usize {
        self.integrations.iter().filter(|it| wanted(it.badge)).count()
    }

    /// When something on the screen changes although nothing happens; `None` if nothing does.
    pub fn next_change(&self) -> Option<Timestamp> {
        let seen: Vec<&Integration> = match self.screen() {
            Screen::Overview => self.integrations.iter().collect(),
            Screen::Integration => self.current().into_iter().collect(),
            Screen::Attempt => Vec::new(),
        };
        let ages = seen.into_iter().flat_map(|it| {
            [it.last_pushed_at, it.last_error_at, it.next_retry_at, it.throttled_until].into_iter().flatten()
        });
        let retry = match &self.conn {
            Conn::Lost { retry_at, .. } => Some(*retry_at),
            _ => None,
        };
        let texts = ages.chain(retry).chain(self.stale_since);
        let ends = self.toasts.iter().map(|toast| toast.until);
        let masks = self.secrets.iter().filter_map(|secret| secret.shown_until);
        texts.map(|at| time::next_change(self.now, at)).chain(ends).chain(masks).min()
    }
}
