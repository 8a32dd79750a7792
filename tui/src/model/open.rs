//! One integration that is open: its attempts, what is selected and marked among them, and their details.

use std::collections::{BTreeMap, BTreeSet};

use super::data::{Attempt, AttemptState, Detail};
use super::filter::Filter;

/// How many attempts are kept, besides selected and marked ones.
const KEPT: usize = 50;
/// How many details are kept.
const DETAILS: usize = 64;

/// Where the keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    List,
    Detail,
}

/// The open integration.
#[derive(Clone, Debug)]
pub struct Open {
    pub id: String,
    /// Kept here too: the integration may be deleted while it is open.
    pub name: String,
    /// Newest first.
    pub attempts: Vec<Attempt>,
    /// False until the daemon has told the attempts.
    pub loaded: bool,
    pub selected: Option<String>,
    pub marks: BTreeSet<String>,
    pub filter: Filter,
    pub failed_only: bool,
    /// Whether the selection stays on the newest attempt.
    pub follow: bool,
    /// How many attempts came since following ended.
    pub fresh: usize,
    pub details: BTreeMap<String, Result<Detail, String>>,
    /// The attempt whose detail was asked for last.
    pub asked: Option<String>,
    /// Whether one attempt fills the screen.
    pub full: bool,
    pub pane: Pane,
    pub scroll: usize,
    pub wrap: bool,
}

impl Open {
    /// Opens an integration, following its newest attempt.
    pub fn new(id: String, name: String) -> Self {
        Self {
            id,
            name,
            attempts: Vec::new(),
            loaded: false,
            selected: None,
            marks: BTreeSet::new(),
            filter: Filter::default(),
            failed_only: false,
            follow: true,
            fresh: 0,
            details: BTreeMap::new(),
            asked: None,
            full: false,
            pane: Pane::List,
            scroll: 0,
            wrap: true,
        }
    }

    /// The attempts that the filter leaves.
    pub fn visible(&self) -> Vec<&Attempt> {
        self.attempts.iter().filter(|a| self.passes(a)).collect()
    }

    fn passes(&self, attempt: &Attempt) -> bool {
        self.filter.passes_attempt(attempt) && (!self.failed_only || attempt.state == AttemptState::Failed)
    }

    /// The selected attempt.
    pub fn current(&self) -> Option<&Attempt> {
        let id = self.selected.as_ref()?;
        self.attempts.iter().find(|a| a.id == *id)
    }

    /// What is known of the selected attempt.
    pub fn detail(&self) -> Option<&Result<Detail, String>> {
        self.details.get(self.selected.as_ref()?)
    }

    /// Takes in new and finished attempts; a first message replaces all.
    pub fn apply(&mut self, attempts: Vec<Attempt>, first: bool) {
        let known: BTreeSet<String> = self.attempts.iter().map(|a| a.id.clone()).collect();
        let added = attempts.iter().filter(|a| !known.contains(&a.id)).count();
        if self.loaded && !self.follow {
            self.fresh += added;
        }
        if first {
            let told: BTreeSet<&String> = attempts.iter().map(|a| &a.id).collect();
            self.attempts.retain(|a| !told.contains(&a.id) && a.state != AttemptState::Running);
        }
        for attempt in attempts {
            match self.attempts.iter_mut().find(|a| a.id == attempt.id) {
                Some(old) if *old == attempt => {}
                Some(old) => {
                    self.details.remove(&attempt.id);
                    self.asked = self.asked.take().filter(|id| *id != attempt.id);
                    *old = attempt;
                }
                None => self.attempts.push(attempt),
            }
        }
        self.attempts.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
        let (selected, marks) = (&self.selected, &self.marks);
        let mut place = 0;
        self.attempts.retain(|a| {
            place += 1;
            place <= KEPT || marks.contains(&a.id) || (selected.as_ref() == Some(&a.id))
        });
        self.loaded = true;
    }

    /// Keeps a detail; the cache stays small.
    pub fn remember(&mut self, attempt: String, detail: Result<Detail, String>) {
        if self.details.len() >= DETAILS {
            let selected = self.selected.clone();
            self.details.retain(|id, _| Some(id) == selected.as_ref());
        }
        self.details.insert(attempt, detail);
    }

    /// Puts the selection on an attempt that is seen; answers how many marks were dropped with their rows.
    pub fn settle(&mut self) -> usize {
        let visible: Vec<String> = self.visible().iter().map(|a| a.id.clone()).collect();
        let before = self.marks.len();
        self.marks.retain(|id| visible.contains(id));
        let kept = self.selected.as_ref().is_some_and(|id| visible.contains(id));
        if self.follow || !kept {
            self.select(visible.first().cloned());
        }
        before - self.marks.len()
    }

    /// Selects another attempt; its detail starts at the top.
    pub fn select(&mut self, id: Option<String>) {
        if self.selected != id {
            self.selected = id;
            self.scroll = 0;
        }
    }

    /// The attempts an act concerns: the marked ones, else the selected one. Tests have no delivery to retry.
    pub fn chosen(&self) -> Vec<&Attempt> {
        let wanted = |a: &&Attempt| {
            let picked = if self.marks.is_empty() {
                self.selected.as_ref() == Some(&a.id)
            } else {
                self.marks.contains(&a.id)
            };
            picked && !a.delivery.is_empty()
        };
        self.attempts.iter().filter(wanted).collect()
    }
}
