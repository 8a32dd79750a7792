//! Jobs: what they do, how they stand, and whether a lane of one goes on.

use super::sweep::{is_busy, paced};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    Retry,
    Push,
    /// It is done when it is written down.
    Skip,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It brings deliveries back, or one that it brought back is pending.
    Running,
    Done,
    Cancelled,
}

impl JobKind {
    /// The word that the database and the API use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Push => "push",
            Self::Skip => "skip",
        }
    }

    /// The kind of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Retry, Self::Push, Self::Skip].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl JobState {
    /// The word that the database and the API use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a word, if it is one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Cancelled].into_iter().find(|state| state.as_str() == word)
    }

    /// The state of a whole job, of those of its lanes and of how many deliveries that it brought back are pending.
    #[must_use]
    pub fn of_lanes(lanes: &[Self], pending: u64) -> Self {
        match (lanes.contains(&Self::Running), lanes.contains(&Self::Cancelled)) {
            (false, true) => Self::Cancelled,
            (false, false) if pending == 0 => Self::Done,
            _ => Self::Running,
        }
    }
}

/// What is known of one lane of a job that is running.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobRun {
    /// Nobody's command keeps the lane.
    pub is_open: bool,
    /// The pace that was asked for lets nothing go yet.
    pub is_paced: bool,
    /// Retries of the lane whose time has come.
    pub waiting: usize,
    /// How many deliveries the lane would take at a time.
    pub batch: usize,
    /// So many deliveries a second at most.
    pub per_second: Option<f64>,
}

impl JobRun {
    /// Whether it brings the next ones back: a lane that somebody's command keeps, that has enough to do or is ahead of its
    /// pace keeps the rest waiting.
    #[must_use]
    pub fn may_go_on(self) -> bool {
        self.is_open && !self.is_paced && !is_busy(self.waiting, self.batch)
    }

    /// How many deliveries it brings back now.
    #[must_use]
    pub fn step(self) -> usize {
        paced(self.batch, self.per_second)
    }

    /// Whether nothing is left behind what was found: less than asked for, or something that came after the job did.
    #[must_use]
    pub fn is_last(self, found: usize, is_past_end: bool) -> bool {
        found < self.step() || is_past_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_goes_on_while_it_is_open_and_has_little_to_do() {
        let run = JobRun { is_open: true, is_paced: false, waiting: 4, batch: 10, per_second: None };
        assert!(run.may_go_on());
        assert!(!JobRun { waiting: 5, ..run }.may_go_on());
        assert!(!JobRun { is_open: false, ..run }.may_go_on());
        assert!(!JobRun { is_paced: true, ..run }.may_go_on());
        let slow = JobRun { per_second: Some(2.5), ..run };
        assert_eq!((run.step(), slow.step()), (10, 3));
        assert!(slow.is_last(2, false) && !slow.is_last(3, false));
        assert!(run.is_last(9, false) && run.is_last(10, true) && !run.is_last(10, false));
    }

    #[test]
    fn a_job_runs_until_all_that_it_brought_back_has_ended() {
        use JobState::{Cancelled, Done, Running};
        for (lanes, pending, state) in [
            (&[Running, Done][..], 0, Running),
            (&[Running, Cancelled], 0, Running),
            (&[Done, Done], 3, Running),
            (&[Done, Done], 0, Done),
            (&[Done, Cancelled], 3, Cancelled),
        ] {
            assert_eq!(JobState::of_lanes(lanes, pending), state, "{lanes:?} {pending}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for kind in [JobKind::Retry, JobKind::Push, JobKind::Skip] {
            assert_eq!(JobKind::parse(kind.as_str()), Some(kind));
        }
        for state in [JobState::Running, JobState::Done, JobState::Cancelled] {
            assert_eq!(JobState::parse(state.as_str()), Some(state));
        }
        assert_eq!((JobKind::parse("sweep"), JobState::parse("")), (None, None));
    }
}
