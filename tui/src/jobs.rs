//! What a job was asked to do, in words: `retry dead of cause 6xq0m2k4v9tz at The Barn / HubSpot, rendered anew`; and how
//! far it is.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;

use crate::moment::reported;

/// How many integrations a sentence names.
const PLACES_MAX: usize = 2;

/// A sentence whose times are told as its reader wants them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSummary(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Time(Timestamp),
}

impl JobSummary {
    /// What this job was asked to do.
    pub(crate) fn of(job: &v1::Job) -> Self {
        let mut about = Self::default();
        if job.kind() != v1::JobKind::Unspecified {
            about.text(format!("{} ", job.kind().word()));
        }
        match (&job.filter, job.leads) {
            (Some(filter), _) => about.filter(filter),
            (None, Some(1)) => about.text("1 lead"),
            (None, Some(leads)) => about.text(format!("{leads} leads")),
            (None, None) => about.text("leads"),
        }
        about.places(&job.integrations);
        if job.re_render {
            about.text(", rendered anew");
        }
        if let Some(rate) = job.per_second {
            let rate = format!("{:.1}", rate * 60.0);
            about.text(format!(", at most {} a minute", rate.trim_end_matches(".0")));
        }
        about
    }

    /// All of it in one sentence, with times as the caller writes them.
    pub fn sentence(&self, time: impl Fn(Timestamp) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Time(at) => time(*at),
        };
        self.0.iter().map(piece).collect()
    }

    fn text(&mut self, text: impl Into<String>) {
        self.0.push(Piece::Text(text.into()));
    }

    fn filter(&mut self, it: &v1::JobFilter) {
        let states: Vec<&str> = it.states().map(v1::DeliveryState::word).collect();
        self.text(match (it.waiting, states.as_slice()) {
            (true, _) => "what waited".to_owned(),
            (false, []) => "everything".to_owned(),
            (false, [one]) => (*one).to_owned(),
            (false, [first @ .., last]) => format!("{} and {last}", first.join(", ")),
        });
        if it.failure_class() != v1::FailureClass::Unspecified {
            self.text(format!(" ({})", it.failure_class().word()));
        }
        for (before, id) in [(" of cause ", &it.cause), (" of lead ", &it.lead), (" of job ", &it.job_id)] {
            if !id.is_empty() {
                self.text(format!("{before}{id}"));
            }
        }
        if it.has_error {
            self.text(" with a text in the error");
        }
        self.window("", it.at.as_ref());
        self.window(" died", it.died.as_ref());
    }

    fn window(&mut self, what: &str, it: Option<&v1::Window>) {
        let Some(it) = it else { return };
        self.text(what);
        for (word, at) in [(" since ", it.since), (" before ", it.until)] {
            if let Some(at) = reported(at) {
                self.text(word);
                self.0.push(Piece::Time(at));
            }
        }
    }

    fn places(&mut self, places: &[v1::JobIntegration]) {
        let name = |it: &v1::JobIntegration| {
            let name = if it.name.is_empty() { "a deleted integration" } else { &it.name };
            format!("{} / {name}", it.company_name)
        };
        let named: Vec<String> = places.iter().take(PLACES_MAX).map(name).collect();
        if named.is_empty() {
            return;
        }
        let more = match places.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        self.text(format!(" at {}{more}", named.join(", ")));
    }
}

/// How far a job is, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobProgress {
    pub total: u64,
    pub released: u64,
    /// What had moved on by itself when the job came to it.
    pub left_alone: u64,
    pub pending: u64,
    pub delivered: u64,
    pub dead: u64,
    pub created_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl JobProgress {
    /// How far this job is.
    pub(crate) fn of(job: &v1::Job) -> Self {
        Self {
            total: job.total,
            released: job.released,
            left_alone: job.left_alone,
            pending: job.pending,
            delivered: job.delivered,
            dead: job.dead,
            created_at: reported(job.created_at),
            finished_at: reported(job.finished_at),
        }
    }

    /// How many it has come to.
    pub fn passed(&self) -> u64 {
        self.released.saturating_add(self.left_alone)
    }

    /// How many it has not come to yet.
    pub fn rest(&self) -> u64 {
        self.total.saturating_sub(self.passed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> v1::JobIntegration {
        v1::JobIntegration { name: name.into(), company_name: "The Barn".into(), ..Default::default() }
    }

    fn said(job: &v1::Job) -> String {
        JobSummary::of(job).sentence(|at| at.to_string())
    }

    #[test]
    fn a_retry_says_which_deliveries_and_how() {
        let filter = v1::JobFilter {
            states: vec![v1::DeliveryState::Dead.into()],
            failure_class: v1::FailureClass::Credentials.into(),
            cause: "6xq0m2k4v9tz".into(),
            has_error: true,
            died: Some(v1::Window {
                since: Some(prost_types::Timestamp { seconds: 60, nanos: 0 }),
                until: None,
            }),
            ..Default::default()
        };
        let job = v1::Job {
            kind: v1::JobKind::Retry.into(),
            filter: Some(filter),
            integrations: vec![place("HubSpot"), place(""), place("c")],
            re_render: true,
            per_second: Some(1.0 / 60.0),
            ..Default::default()
        };
        assert_eq!(
            said(&job),
            "retry dead (credentials) of cause 6xq0m2k4v9tz with a text in the error died since 1970-01-01T00:01:00Z at \
             The Barn / HubSpot, The Barn / a deleted integration and 1 more, rendered anew, at most 1 a minute"
        );
        let waiting = v1::JobFilter { waiting: true, ..Default::default() };
        let waiting = v1::Job { filter: Some(waiting), per_second: Some(2.5), ..Default::default() };
        assert_eq!(said(&waiting), "what waited, at most 150 a minute");
        let states = [v1::DeliveryState::Pending, v1::DeliveryState::Held, v1::DeliveryState::Dead];
        let open = v1::JobFilter { states: states.map(i32::from).to_vec(), ..Default::default() };
        let skip = v1::Job { kind: v1::JobKind::Skip.into(), filter: Some(open), ..Default::default() };
        assert_eq!(said(&skip), "skip pending, held and dead");
        let all = v1::Job { filter: Some(v1::JobFilter::default()), ..Default::default() };
        assert_eq!(said(&all), "everything");
    }

    #[test]
    fn what_a_job_left_alone_is_not_to_come() {
        for ((total, released, left_alone), (passed, rest)) in
            [((9, 5, 1), (6, 3)), ((9, 0, 0), (0, 9)), ((9, 5, 4), (9, 0)), ((9, 9, 1), (10, 0))]
        {
            let job = v1::Job { total, released, left_alone, ..Default::default() };
            let progress = JobProgress::of(&job);
            assert_eq!((progress.passed(), progress.rest()), (passed, rest), "{job:?}");
        }
    }

    #[test]
    fn a_push_says_how_many_leads() {
        let push = v1::Job {
            kind: v1::JobKind::Push.into(),
            leads: Some(12),
            integrations: vec![place("crm")],
            ..Default::default()
        };
        assert_eq!(said(&push), "push 12 leads at The Barn / crm");
        assert_eq!(said(&v1::Job { leads: Some(1), ..Default::default() }), "1 lead");
    }
}
