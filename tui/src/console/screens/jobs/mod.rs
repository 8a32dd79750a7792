//! Jobs: bulk acts that run on, how far they are, and what they touched.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Span;
use serde_json::json;

use crate::columns::job;
use crate::console::app::shared::{Shared, Tone};
use crate::console::data::command::of_company;
use crate::console::data::query::DeliveryQuery;
use crate::console::data::{Answer, Delivery, Job, Query, Remembered};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, NO_ROW, Screen, Subject, View};
use crate::console::screens::integration::{DELIVERIES, chosen_delivery};
use crate::console::screens::lead::LeadScreen;
use crate::console::screens::pages::{Pages, clear_stale, marked, none_found, note};
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::draw::{pane, safe, trouble};
use crate::console::widgets::filter::{Filter, RowTexts};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;

impl TableRow for Job {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        vec![
            ("state", Cow::Borrowed(&*self.state)),
            ("kind", Cow::Borrowed(&*self.kind)),
            ("operator", Cow::Borrowed(&*self.operator)),
            // Times are looked for as they are kept: the filter knows no reader's zone.
            ("about", Cow::Owned(self.about.sentence(|at| at.to_string()))),
        ]
    }

    fn at(&self) -> Option<Timestamp> {
        self.progress.created_at
    }

    fn is_bad(&self) -> bool {
        self.progress.dead > 0
    }
}

/// The columns of jobs.
pub const COLUMNS: [TableColumn<Job>; 9] = [
    shows(job::CREATED, |it: &Job, look| {
        plain(it.progress.created_at.map(|at| time::stamp(at, look.zone)).unwrap_or_default())
    })
    .value(|it: &Job| json!(it.progress.created_at))
    .by(|a, b| b.progress.created_at.cmp(&a.progress.created_at)),
    shows(job::STATE, |it: &Job, _| {
        styled(if it.state == "running" { Role::Accent } else { Role::Plain }, &*it.state)
    })
    .by(|a, b| a.state.cmp(&b.state)),
    shows(job::ABOUT, |it: &Job, look| plain(it.about.sentence(|at| time::stamp(at, look.zone))))
        .value(|it: &Job| json!(it.about.sentence(|at| at.to_string()))),
    shows(job::TOTAL, |it: &Job, look| {
        let (passed, total) = (it.progress.passed(), it.progress.total);
        let filled = usize::try_from((passed * 8).checked_div(total).unwrap_or(8)).unwrap_or(8).min(8);
        let (full, rest) = (look.theme.pick("█", "#"), look.theme.pick("░", "."));
        let bar = format!("{}{} ", full.repeat(filled), rest.repeat(8 - filled));
        let bar = if look.theme.plain { String::new() } else { bar };
        plain(format!("{bar}{passed}/{total}"))
    })
    .value(|it: &Job| json!(it.progress.passed())),
    shows(job::DELIVERED, |it: &Job, _| styled(Role::Good, it.progress.delivered.to_string()))
        .value(|it: &Job| json!(it.progress.delivered)),
    shows(job::DEAD, |it: &Job, _| {
        styled(if it.progress.dead > 0 { Role::Bad } else { Role::Plain }, it.progress.dead.to_string())
    })
    .value(|it: &Job| json!(it.progress.dead)),
    shows(job::PENDING, |it: &Job, _| plain(it.progress.pending.to_string()))
        .value(|it: &Job| json!(it.progress.pending)),
    shows(job::LEFT_ALONE, |it: &Job, _| plain(it.progress.left_alone.to_string()))
        .value(|it: &Job| json!(it.progress.left_alone)),
    shows(job::OPERATOR, |it: &Job, _| plain(&*it.operator)).by(|a, b| a.operator.cmp(&b.operator)),
];

#[derive(Debug, Default)]
pub struct JobsScreen {
    jobs: Table<Job>,
    pages: Pages<Job>,
    deliveries: Table<Delivery>,
    listed: Pages<Delivery>,
    of: Option<String>,
    /// The one that is to be selected once it is there.
    wanted: Option<String>,
    is_below: bool,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 27] = [
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
    Action::Unskip,
    Action::Older,
    Action::Mark,
    Action::Range,
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
    /// Selects this job as soon as it is told of, as far back as jobs are listed.
    pub fn looking_for(job: String) -> Self {
        Self { wanted: Some(job), ..Self::default() }
    }

    /// Selects what it was opened for.
    fn select(&mut self, cx: &mut Cx<'_>) {
        let Some(id) = self.wanted.take() else { return };
        if self.jobs.rows.iter().any(|it| it.id == id) {
            self.jobs.select(id);
        } else if self.pages.has_more() && !self.pages.is_full() {
            self.wanted = Some(id);
            let company = Self::company(cx.shared);
            self.pages.more(|after| Query::Jobs { company, after }, cx);
        } else {
            cx.say(Tone::Bad, format!("no job {id} is listed here"));
        }
    }

    fn company(shared: &Shared) -> Option<i64> {
        shared.company.as_ref().map(|(id, _)| *id)
    }

    /// Which deliveries are listed: what the selected job touched.
    fn which(&self) -> Option<DeliveryQuery> {
        self.of.clone().map(|job| DeliveryQuery { job, ..DeliveryQuery::default() })
    }

    fn ask_deliveries(&mut self, cx: &mut Cx<'_>) {
        if let Some(which) = self.which() {
            self.listed.load(|after| Query::Deliveries { which, after }, cx);
        }
    }

    fn more(&mut self, cx: &mut Cx<'_>) {
        let company = Self::company(cx.shared);
        match self.which().filter(|_| self.is_below) {
            Some(which) => self.listed.more(|after| Query::Deliveries { which, after }, cx),
            None => self.pages.more(|after| Query::Jobs { company, after }, cx),
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
            (Action::Older, _) => self.more(cx),
            (Action::Open, true) => match self.deliveries.current() {
                Some(it) => {
                    let screen = LeadScreen::new(it.lead.clone(), it.company_id, it.person().to_owned());
                    cx.open(Box::new(screen.at(&it.integration_id)));
                }
                None => cx.say(Tone::Plain, NO_ROW),
            },
            (_, true) => self.deliveries.perform(&DELIVERIES, now, action, 1, rows),
            (_, false) => self.jobs.perform(&COLUMNS, now, action, 1, rows),
        }
        match (action, self.is_below) {
            (Action::ClearMarks, _) => self.deliveries.marks.clear(),
            (Action::MarkAll, true) => marked(&self.listed, self.deliveries.marks.len(), cx),
            // A job that begins meanwhile, as a retry from here does, does not take the place of this one.
            (Action::Open | Action::Pane, true) => self.jobs.hold(),
            _ => {}
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if matches!(event, Event::Narrowed) {
            self.pages.forget();
            self.jobs.set(Vec::new());
            self.jobs.is_loaded = false;
            return;
        }
        let company = Self::company(cx.shared);
        if let Some(jobs) = self.pages.take(&event, Answer::jobs, |after| Query::Jobs { company, after }, cx)
        {
            self.jobs.set(jobs);
            self.select(cx);
        }
        let which = self.which().unwrap_or_default();
        if let Some(rows) =
            self.listed.take(&event, Answer::deliveries, |after| Query::Deliveries { which, after }, cx)
        {
            self.deliveries.set(rows);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        let company = Self::company(cx.shared);
        self.pages.load(|after| Query::Jobs { company, after }, cx);
        self.ask_deliveries(cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        let now = cx.shared.now;
        self.jobs.normalize(&COLUMNS, now);
        let mut dropped = 0;
        if self.of != self.jobs.selected {
            self.of.clone_from(&self.jobs.selected);
            dropped = self.deliveries.marks.len();
            self.deliveries.outdate(now);
            self.listed.forget();
            self.ask_deliveries(cx);
        }
        clear_stale(&mut self.deliveries, &self.listed, cx.shared);
        if self.of.is_none() && self.pages.is_loaded() {
            // Nothing is asked for where nothing is selected.
            self.deliveries.set(Vec::new());
        }
        cx.dropped(dropped + self.deliveries.normalize(&DELIVERIES, now));
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(job) = self.jobs.current() else { return Subject::default() };
        let mut subject = Subject {
            job: Some(job.clone()),
            record: Some(json!({
                "id": job.id, "state": job.state, "kind": job.kind, "operator": job.operator, "total": job.progress.total,
                "about": job.about.sentence(|at| at.to_string()),
                "released": job.progress.released, "delivered": job.progress.delivered, "dead": job.progress.dead,
                "pending": job.progress.pending,
            })),
            // What the job did as a whole is undone above; below, one means its deliveries.
            is_rowless: self.is_below && self.deliveries.current().is_none(),
            ..Subject::default()
        };
        if let Some(it) = self.deliveries.current().filter(|_| self.is_below) {
            subject.lead = Some((it.lead.clone(), it.company_id, it.person().to_owned()));
            subject.integration = Some(it.integration_id.clone());
            subject.deliveries = self.deliveries.chosen().into_iter().map(chosen_delivery).collect();
        }
        subject
    }

    fn command(&self, shared: &Shared) -> String {
        match (self.is_below, &self.jobs.selected) {
            (true, Some(job)) => format!("leadline delivery list --job {job}"),
            _ => format!("leadline job list{}", of_company(Self::company(shared))),
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (theme, now) = (view.theme, view.shared.now);
        let rows = u16::try_from(self.jobs.rows.len()).unwrap_or(u16::MAX).saturating_add(3).max(5);
        let rows = rows.min(area.height / 2);
        let [top, bottom] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
        let what = if view.shared.company.is_some() { "Jobs of this company alone" } else { "Jobs" };
        let title = vec![
            theme.span(Role::Strong, what),
            theme.span(Role::Quiet, self.jobs.note(&COLUMNS, now)),
            theme.span(Role::Quiet, note(&self.pages, &view.shared.setup)),
            trouble(self.pages.error(), area.width, theme),
        ];
        let block = pane(title, !self.is_below, theme);
        let inner = block.inner(top);
        frame.render_widget(block, top);
        let empty = "There has been no job: bulk retries and pushes become one.";
        self.jobs.draw(&COLUMNS, &view.look_at(self.pages.error()), empty, frame, inner);
        // Whole, where the list above has no room for it.
        let room = usize::from(area.width).saturating_sub(26);
        let about =
            self.jobs.current().map(|it| it.about.sentence(|at| time::stamp(at, &view.shared.setup.zone)));
        let title = vec![
            theme.span(Role::Strong, "What it touched"),
            theme.span(Role::Quiet, self.deliveries.note(&DELIVERIES, now)),
            theme.span(Role::Quiet, note(&self.listed, &view.shared.setup)),
            trouble(self.listed.error(), area.width, theme),
            Span::raw(about.map(|about| format!("  {}", safe(&about, room, theme))).unwrap_or_default()),
        ];
        let block = pane(title, self.is_below, theme);
        let inner = block.inner(bottom);
        frame.render_widget(block, bottom);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        let none =
            if self.jobs.rows.is_empty() { "No job is selected." } else { "It brought nothing back yet." };
        let empty = none_found(&self.listed, &view.shared.setup, none);
        self.deliveries.draw(&DELIVERIES, &view.look_at(self.listed.error()), &empty, frame, inner);
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

    fn chips(&self) -> Vec<String> {
        let above = (self.is_below && !self.jobs.filter.is_empty())
            .then(|| format!("jobs /{}", self.jobs.filter.input.text()));
        let below = self.deliveries.only("dead leads").filter(|_| self.is_below);
        [above, self.jobs.only("jobs with dead"), below].into_iter().flatten().collect()
    }

    fn places(&self, shared: &Shared) -> Vec<JumpTarget> {
        let jobs = self.jobs.rows.iter().map(|it| JumpTarget::job(it, &shared.setup.zone)).take(TOLD);
        jobs.chain(self.deliveries.rows.iter().map(JumpTarget::delivery).take(TOLD)).collect()
    }

    fn period(&self, _: &Shared) -> Option<i64> {
        Some(if self.jobs.rows.iter().any(|job| job.state == "running") { 1 } else { 10 })
    }

    fn due(&self, shared: &Shared) -> Option<Timestamp> {
        self.deliveries.faint_at(shared.now)
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        let word = match (action, self.is_below) {
            (Action::Open, true) => "open the lead",
            (Action::Open, false) => "what it touched",
            (Action::Older, true) => "more of them",
            (Action::Older, false) => "older jobs",
            (Action::FailingOnly, _) => "with dead only",
            _ => return None,
        };
        Some(word.to_owned())
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
