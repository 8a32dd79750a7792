//! What is known of one kind of due rows of a lane: from where to look, and when.

use std::{collections::HashMap, time::Duration};

use crate::domain::moment::Moment;

/// Times in the near future are told apart by 4 ms, later ones by a second, so that a lane's timers have a bound.
pub(super) const FINE: Duration = Duration::from_millis(4);
const COARSE: Duration = Duration::from_secs(1);
const NEAR: Duration = Duration::from_secs(60);

/// Whether the timers stand for every row that will be due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Knowledge {
    /// Rows may wait that another daemon planned: the next one must be asked for.
    #[default]
    Uncertain,
    /// It is being asked for.
    Asked,
    /// Every row that will be due was told by a hint.
    Complete,
}

/// One kind of due rows of a lane.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// No row is due earlier.
    pub(super) watermark: Moment,
    /// There may be rows that are due now.
    pub(super) more: bool,
    /// A hint came while a claim was under way: its answer does not say that nothing is left.
    pub(super) fresh: bool,
    /// When rows become due: the time of the timer that stands for them, and the earliest of their own.
    future: HashMap<Moment, Moment>,
    /// The same of rows that are looked at already, as they may be due by the database's clock, and the latest of each.
    ahead: HashMap<Moment, (Moment, Moment)>,
    knowledge: Knowledge,
}

impl Track {
    /// Something is due since then.
    pub(super) fn look(&mut self, due_at: Moment) {
        self.watermark = self.watermark.min(due_at);
        self.look_again();
    }

    /// Something is due then, and maybe by now.
    pub(super) fn look_ahead(&mut self, due_at: Moment, now: Moment) {
        let (earliest, latest) = self.ahead.entry(coarsen(due_at, now)).or_insert((due_at, due_at));
        (*earliest, *latest) = (due_at.min(*earliest), due_at.max(*latest));
        self.look(due_at);
    }

    /// Rows that were looked at and were not due by the time of that claim wait for theirs. Gives the times for which
    /// timers must be set.
    pub(super) fn not_due_yet(&mut self, claimed_at: Moment) -> Vec<Moment> {
        let mut timers = Vec::new();
        for (at, (earliest, latest)) in std::mem::take(&mut self.ahead) {
            if latest > claimed_at {
                timers.extend(self.stand_for(at, earliest));
            }
        }
        timers
    }

    /// Something may be due.
    pub(super) fn look_again(&mut self) {
        self.more = true;
        self.fresh = true;
    }

    /// Nothing of what was known counts, but for the timers.
    pub(super) fn rescan(&mut self) {
        self.look(Moment::EPOCH);
        self.knowledge = Knowledge::Uncertain;
    }

    /// A row will be due. Gives the time for which a timer must be set, if none stands for it.
    pub(super) fn expect(&mut self, due_at: Moment, now: Moment) -> Option<Moment> {
        self.stand_for(coarsen(due_at, now), due_at)
    }

    /// A timer is to stand for a row. Gives its time, if none stands there.
    fn stand_for(&mut self, at: Moment, due_at: Moment) -> Option<Moment> {
        let is_new = !self.future.contains_key(&at);
        let earliest = self.future.entry(at).or_insert(due_at);
        *earliest = due_at.min(*earliest);
        is_new.then_some(at)
    }

    /// A timer has come: a claim since may have moved the watermark past the rows that it stands for.
    pub(super) fn ring(&mut self, at: Moment) {
        let due_at = self.future.remove(&at).unwrap_or(at);
        self.look(due_at);
    }

    /// Whether the next row must be asked for, now that nothing more is due. True once until it was answered.
    pub(super) fn needs_peek(&mut self) -> bool {
        let needs_peek = self.knowledge == Knowledge::Uncertain;
        if needs_peek {
            self.knowledge = Knowledge::Asked;
        }
        needs_peek
    }

    /// The next row was asked for. Behind it there may be others.
    pub(super) fn answered(&mut self, is_some: bool) {
        if is_some {
            self.knowledge = Knowledge::Uncertain;
        } else if self.knowledge == Knowledge::Asked {
            self.knowledge = Knowledge::Complete;
        }
    }

    /// Rows may wait that no hint told of.
    pub(super) fn mark_uncertain(&mut self) {
        self.knowledge = Knowledge::Uncertain;
    }
}

/// Rounds a future time up, so that many rows share a timer.
pub(super) fn coarsen(due_at: Moment, now: Moment) -> Moment {
    due_at.next_multiple_of(if due_at.since(now) < NEAR { FINE } else { COARSE })
}
