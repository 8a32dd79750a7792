//! Jobs: bulk acts that run on, how far they are, and what they touched.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use serde_json::json;

use crate::columns::job;
use crate::console::app::shared::Shared;
use crate::console::data::query::Which;
use crate::console::data::{Answer, Delivery, Job, Query, Remembered};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, View};
use crate::console::screens::integration::{DELIVERIES, chosen_delivery};
use crate::console::screens::lead::LeadScreen;
use crate::console::theme::Role;
use crate::console::widgets::columns::{Column, plain, shows, styled};
use crate::console::widgets::draw::{pane, safe};
use crate::console::widgets::filter::{Fields, Filter};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::table::{Row, Table};
use crate::console::widgets::time;

impl Row for Job {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> Fields<'_> {
        vec![
            ("state", Cow::Borrowed(&*self.state)),
            ("kind", Cow::Borrowed(&*self.kind)),
            ("operator", Cow::Borrowed(&*self.operator)),
        ]
    }

    fn at(&self) -> Option<Timestamp> {
        self.created_at
    }

    fn is_bad(&self) -> bool {
        self.dead > 0
    }
}

/// The columns of jobs.
pub const COLUMNS: [Column<Job>; 9] = [
    shows(job::CREATED, |it: &Job, look| {
        plain(it.created_at.map(|at| time::stamp(at, look.zone)).unwrap_or_default())
    })
    .value(|it: &Job| json!(it.created_at))
    .by(|a, b| b.created_at.cmp(&a.created_at)),
    shows(job::STATE, |it: &Job, _| {
        styled(if it.state == "running" { Role::Accent } else { Role::Plain }, &*it.state)
    })
    .by(|a, b| a.state.cmp(&b.state)),
    shows(job::KIND, |it: &Job, _| plain(&*it.kind)),
    shows(job::TOTAL, |it: &Job, look| {
        let done = it.released + it.left_alone;
        let filled = usize::try_from((done * 8).checked_div(it.total).unwrap_or(8)).unwrap_or(8).min(8);
        let (full, rest) = (look.theme.pick("█", "#"), look.theme.pick("░", "."));
        plain(format!("{}{} {done}/{}", full.repeat(filled), rest.repeat(8 - filled), it.total))
    })
    .value(|it: &Job| json!(it.released + it.left_alone)),
    shows(job::DELIVERED, |it: &Job, _| styled(Role::Good, it.delivered.to_string()))
        .value(|it: &Job| json!(it.delivered)),
    shows(job::DEAD, |it: &Job, _| {
        styled(if it.dead > 0 { Role::Bad } else { Role::Plain }, it.dead.to_string())
    })
    .value(|it: &Job| json!(it.dead)),
    shows(job::PENDING, |it: &Job, _| plain(it.pending.to_string())).value(|it: &Job| json!(it.pending)),
    shows(job::LEFT_ALONE, |it: &Job, _| plain(it.left_alone.to_string()))
        .value(|it: &Job| json!(it.left_alone)),
    shows(job::OPERATOR, |it: &Job, _| plain(&*it.operator)).by(|a, b| a.operator.cmp(&b.operator)),
];

/// The screen.
#[derive(Debug, Default)]
pub struct JobsScreen {
    jobs: Table<Job>,
    fetch: Fetch<Vec<Job>>,
    deliveries: Table<Delivery>,
    listed: Fetch<Vec<Delivery>>,
    of: Option<String>,
    is_below: bool,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 24] = [
    Action::Open,
    Action::Up,
    Action::Down,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::Pane,
    Action::Filter,
    Action::FailingOnly,
    Action::CancelJob,
    Action::Mark,
    Action::MarkAll,
    Action::ClearMarks,
    Action::Retry,
    Action::Trace,
    Action::Evidence,
    Action::Reveal,
    Action::Actions,
    Action::Export,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
];

impl JobsScreen {
    fn ask_deliveries(&mut self, cx: &mut Cx<'_>) {
        if let Some(job) = self.jobs.selected.clone() {
            let which = Which { job, ..Which::default() };
            self.listed.ask_anew(Query::Deliveries { which, after: String::new() }, cx);
        }
    }
}

impl Screen for JobsScreen {
    fn crumb(&self, _: &Shared) -> String {
        "Jobs".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        let (now, rows) = (cx.shared.now, self.rows.get().max(1));
        match (action, self.is_below) {
            (Action::Pane, _) => self.is_below = !self.is_below,
            (Action::Open, false) => self.is_below = true,
            (Action::Open, true) => {
                if let Some(it) = self.deliveries.current() {
                    let screen = LeadScreen::new(it.lead.clone(), it.company_id, it.person().to_owned());
                    cx.open(Box::new(screen.at(&it.integration_id)));
                }
            }
            (_, true) => self.deliveries.perform(&DELIVERIES, now, action, 1, rows),
            (Action::Mark | Action::MarkAll, false) => {}
            (_, false) => self.jobs.perform(&COLUMNS, now, action, 1, rows),
        }
        if action == Action::ClearMarks {
            self.deliveries.marks.clear();
        }
    }

    fn event(&mut self, event: Event<'_>, _: &mut Cx<'_>) {
        let taken = self.fetch.take(&event, |answer| match answer {
            Answer::Jobs(jobs) => Some(jobs.clone()),
            _ => None,
        });
        if let Some(jobs) = self.fetch.value.as_ref().filter(|_| taken) {
            self.jobs.set(jobs.clone());
        }
        let taken = self.listed.take(&event, |answer| match answer {
            Answer::Deliveries { rows, .. } => Some(rows.clone()),
            _ => None,
        });
        if let Some(rows) = self.listed.value.as_ref().filter(|_| taken) {
            self.deliveries.set(rows.clone());
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        self.fetch.ask(Query::Jobs, cx);
        self.ask_deliveries(cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        let now = cx.shared.now;
        self.jobs.normalize(&COLUMNS, now);
        if self.of != self.jobs.selected {
            self.of.clone_from(&self.jobs.selected);
            self.deliveries = Table::default();
            self.ask_deliveries(cx);
        }
        if self.of.is_none() && self.fetch.value.is_some() {
            // Nothing is asked for where nothing is selected.
            self.deliveries.set(Vec::new());
        }
        self.deliveries.normalize(&DELIVERIES, now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(job) = self.jobs.current() else { return Subject::default() };
        let mut subject = Subject {
            job: Some(job.clone()),
            record: Some(json!({
                "id": job.id, "state": job.state, "kind": job.kind, "operator": job.operator, "total": job.total,
                "released": job.released, "delivered": job.delivered, "dead": job.dead, "pending": job.pending,
            })),
            ..Subject::default()
        };
        if let Some(it) = self.deliveries.current().filter(|_| self.is_below) {
            subject.lead = Some((it.lead.clone(), it.company_id, it.person().to_owned()));
            subject.integration = Some(it.integration_id.clone());
            subject.deliveries = self.deliveries.chosen().into_iter().map(chosen_delivery).collect();
        }
        subject
    }

    fn command(&self, _: &Shared) -> String {
        match (self.is_below, &self.jobs.selected) {
            (true, Some(job)) => format!("leadline delivery list --job {job}"),
            _ => "leadline job list".to_owned(),
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (theme, now) = (view.theme, view.shared.now);
        let rows = u16::try_from(self.jobs.rows.len()).unwrap_or(u16::MAX).saturating_add(3).max(5);
        let rows = rows.min(area.height / 2);
        let [top, bottom] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
        let mut title =
            vec![theme.span(Role::Strong, "Jobs"), theme.span(Role::Quiet, self.jobs.note(&COLUMNS, now))];
        if let Some(error) = &self.fetch.error {
            title.push(
                theme.span(Role::Bad, format!("  {}", safe(error, usize::from(area.width) / 2, theme))),
            );
        }
        let block = pane(title, !self.is_below, theme);
        let inner = block.inner(top);
        frame.render_widget(block, top);
        let empty = "There has been no job: bulk retries and pushes become one.";
        self.jobs.draw(&COLUMNS, &view.look(), empty, frame, inner);
        let title = vec![
            theme.span(Role::Strong, "What it touched"),
            theme.span(Role::Quiet, self.deliveries.note(&DELIVERIES, now)),
        ];
        let block = pane(title, self.is_below, theme);
        let inner = block.inner(bottom);
        frame.render_widget(block, bottom);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        let empty =
            if self.jobs.rows.is_empty() { "No job is selected." } else { "It brought nothing back yet." };
        self.deliveries.draw(&DELIVERIES, &view.look(), empty, frame, inner);
    }

    fn back(&mut self) -> bool {
        (self.is_below && (self.deliveries.back() || std::mem::take(&mut self.is_below))) || self.jobs.back()
    }

    fn filter(&self) -> Option<&Filter> {
        Some(if self.is_below { &self.deliveries.filter } else { &self.jobs.filter })
    }

    fn filter_mut(&mut self) -> Option<&mut Filter> {
        Some(if self.is_below { &mut self.deliveries.filter } else { &mut self.jobs.filter })
    }

    fn period(&self) -> Option<i64> {
        Some(if self.jobs.rows.iter().any(|job| job.state == "running") { 1 } else { 10 })
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        (action == Action::Open)
            .then(|| if self.is_below { "open the lead" } else { "what it touched" }.to_owned())
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        if self.is_below {
            return Some(Box::new(Listing(&mut self.deliveries, &DELIVERIES)));
        }
        Some(Box::new(Listing(&mut self.jobs, &COLUMNS)))
    }

    fn remember(&mut self) -> Option<Remembered> {
        Some(Listing(&mut self.jobs, &COLUMNS).remember())
    }

    fn recall(&mut self, remembered: Remembered) {
        Listing(&mut self.jobs, &COLUMNS).recall(remembered);
    }
}
