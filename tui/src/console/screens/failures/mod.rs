//! Everything that is dead or retrying, grouped by what it failed of, with what to do about it.

mod columns;
mod picture;

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use ratatui::Frame;
use ratatui::layout::Rect;
use serde_json::json;

use crate::console::app::shared::{Shared, Tone};
use crate::console::data::command::of_company;
use crate::console::data::query::DeliveryQuery;
use crate::console::data::{Answer, Cause, Delivery, Query, Remembered};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, NO_ROW, Screen, Subject, View};
use crate::console::screens::integration::{DELIVERIES, chosen_delivery};
use crate::console::screens::lead::LeadScreen;
use crate::console::screens::pages::{Pages, clear_stale, marked};
use crate::console::widgets::filter::Filter;
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::table::Table;

use columns::COLUMNS;

/// Where the keys go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FailuresPane {
    #[default]
    Causes,
    Leads,
    Guide,
}

/// Whoever moves on within this time passes a cause over: its leads are not asked for, nor drawn.
const PASSING: SignedDuration = SignedDuration::from_millis(150);

#[derive(Debug, Default)]
pub struct FailuresScreen {
    causes: Table<Cause>,
    fetch: Fetch<ListedCauses>,
    deliveries: Table<Delivery>,
    listed: Pages<Delivery>,
    /// The cause whose deliveries are listed.
    of: Option<String>,
    /// When it was selected.
    selected_at: Option<Timestamp>,
    /// Whether its deliveries are to be asked for once it stays selected.
    is_passed: bool,
    /// The one that is to be selected once it is there.
    wanted: Option<String>,
    /// Shows those too that are off the list for a while.
    with_snoozed: bool,
    pane: FailuresPane,
    guide: PageScroll,
    rows: Cell<usize>,
}

/// The causes, as they were told.
#[derive(Clone, Debug)]
struct ListedCauses {
    rows: Vec<Cause>,
    /// How many are left out for a while, and whether more are behind them.
    snoozed: u64,
    more: bool,
}

const ACTIONS: [Action; 43] = [
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
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
    Action::Mark,
    Action::Range,
    Action::MarkAll,
    Action::ClearMarks,
    Action::Retry,
    Action::Credentials,
    Action::Mapping,
    Action::Settings,
    Action::Test,
    Action::Toggle,
    Action::Snooze,
    Action::Layout,
    Action::Older,
    Action::Hold,
    Action::Skip,
    Action::Release,
    Action::Trace,
    Action::Evidence,
    Action::Reveal,
    Action::OpenIntegration,
    Action::Actions,
    Action::RetryWaiting,
    Action::Wrap,
    Action::Rotate,
    Action::Stage,
    Action::CutOver,
    Action::Revoke,
    Action::Reset,
    Action::Export,
];

impl FailuresScreen {
    /// Selects this cause as soon as it is told of, snoozed or not.
    pub fn looking_for(cause: String) -> Self {
        Self { wanted: Some(cause), ..Self::default() }
    }

    /// Selects what it was opened for; one that is off the list for a while is asked for.
    fn select(&mut self, cx: &mut Cx<'_>) {
        let Some(id) = self.wanted.take() else { return };
        let has_snoozed = self.fetch.value.as_ref().is_some_and(|listed| listed.snoozed > 0);
        if self.causes.rows.iter().any(|it| it.id == id) {
            self.causes.select(id);
        } else if has_snoozed && !self.with_snoozed {
            (self.wanted, self.with_snoozed) = (Some(id), true);
            self.fetch.forget();
            self.ask_causes(cx);
        } else {
            cx.say(Tone::Bad, format!("nothing that is listed here is dead or retrying of cause {id}"));
        }
    }

    /// Which deliveries are listed: of the cause that is selected, at the company that is looked at.
    fn which(&self, shared: &Shared) -> Option<DeliveryQuery> {
        let company = shared.company.as_ref().map(|(id, _)| *id);
        self.of.clone().map(|cause| DeliveryQuery { cause, company, ..DeliveryQuery::default() })
    }

    fn ask_deliveries(&mut self, cx: &mut Cx<'_>) {
        self.is_passed = false;
        if let Some(which) = self.which(cx.shared) {
            self.listed.load(|after| Query::Deliveries { which, after }, cx);
        }
    }

    /// Lists what is of the cause that is selected now; a cause that is passed over is not asked for.
    fn turn(&mut self, cx: &mut Cx<'_>) {
        let now = cx.shared.now;
        self.is_passed = self.selected_at.is_some_and(|at| now < at + PASSING);
        self.selected_at = Some(now);
        self.of.clone_from(&self.causes.selected);
        self.deliveries.outdate(now);
        self.guide.rewind();
        self.listed.forget();
        if !self.is_passed {
            self.ask_deliveries(cx);
        }
    }

    fn ask_causes(&mut self, cx: &mut Cx<'_>) {
        let company = cx.shared.company.as_ref().map(|(id, _)| *id);
        self.fetch.ask(Query::Causes { company, snoozed: self.with_snoozed }, cx);
    }

    /// Nothing that was told before is of interest any more; how it is looked at stays.
    fn forget(&mut self) {
        self.fetch.forget();
        self.causes.set(Vec::new());
        self.causes.is_loaded = false;
        self.of = None;
        self.listed.forget();
        self.deliveries = Table::default();
    }
}

impl Screen for FailuresScreen {
    fn crumb(&self, _: &Shared) -> String {
        "Failures".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        let (now, rows) = (cx.shared.now, self.rows.get().max(1));
        match (action, self.pane) {
            (Action::Pane, pane) => {
                self.pane = match pane {
                    FailuresPane::Causes => FailuresPane::Leads,
                    FailuresPane::Leads => FailuresPane::Guide,
                    FailuresPane::Guide => FailuresPane::Causes,
                };
            }
            (Action::Open, FailuresPane::Causes | FailuresPane::Guide) => self.pane = FailuresPane::Leads,
            // It is seen from every pane.
            (Action::Wrap, _) => self.guide.perform(action),
            (Action::Layout, _) => {
                self.with_snoozed = !self.with_snoozed;
                self.fetch.forget();
                self.ask_causes(cx);
            }
            (Action::Older, _) => match self.which(cx.shared) {
                Some(which) => self.listed.more(|after| Query::Deliveries { which, after }, cx),
                None => cx.say(Tone::Plain, NO_ROW),
            },
            (Action::Open, FailuresPane::Leads) => match self.deliveries.current() {
                Some(it) => {
                    let screen = LeadScreen::new(it.lead.clone(), it.company_id, it.person().to_owned());
                    cx.open(Box::new(screen.at(&it.integration_id)));
                }
                None => cx.say(Tone::Plain, NO_ROW),
            },
            (_, FailuresPane::Leads) => self.deliveries.perform(&DELIVERIES, now, action, 1, rows),
            (_, FailuresPane::Guide) if action.is_move() => self.guide.perform(action),
            // What narrows and orders them does so beside their page, too.
            (_, FailuresPane::Causes | FailuresPane::Guide) => {
                self.causes.perform(&COLUMNS, now, action, 1, rows)
            }
        }
        match (action, self.pane) {
            (Action::ClearMarks, _) => self.deliveries.marks.clear(),
            (Action::MarkAll, FailuresPane::Leads) => marked(&self.listed, self.deliveries.marks.len(), cx),
            // Whichever cause is the worst by then: what is listed below stays that of this one.
            (Action::Open | Action::Pane, FailuresPane::Leads | FailuresPane::Guide) => self.causes.hold(),
            _ => {}
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if matches!(event, Event::Narrowed) {
            return self.forget();
        }
        let taken = self.fetch.take(&event, |answer| match answer {
            Answer::Causes { rows, snoozed, more } => {
                Some(ListedCauses { rows: rows.clone(), snoozed: *snoozed, more: *more })
            }
            _ => None,
        });
        if let Some(listed) = self.fetch.value.as_ref().filter(|_| taken) {
            self.causes.set(listed.rows.clone());
            self.select(cx);
        }
        let which = self.which(cx.shared).unwrap_or_default();
        if let Some(rows) =
            self.listed.take(&event, Answer::deliveries, |after| Query::Deliveries { which, after }, cx)
        {
            self.deliveries.set(rows);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        self.ask_causes(cx);
        self.ask_deliveries(cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        let now = cx.shared.now;
        self.causes.normalize(&COLUMNS, now);
        let mut dropped = 0;
        if self.of != self.causes.selected {
            dropped = self.deliveries.marks.len();
            self.turn(cx);
        } else if self.is_passed && self.due(cx.shared).is_some_and(|at| at <= now) {
            self.ask_deliveries(cx);
        }
        clear_stale(&mut self.deliveries, &self.listed, cx.shared);
        if self.of.is_none() && self.fetch.value.is_some() {
            // Nothing is asked for where nothing is selected.
            self.deliveries.set(Vec::new());
        }
        cx.dropped(dropped + self.deliveries.normalize(&DELIVERIES, now));
    }

    fn subject(&self, _: &Shared) -> Subject {
        // Whoever looks at leads means a lead: where none is listed, the whole cause is not meant instead.
        if self.pane == FailuresPane::Leads && self.deliveries.current().is_none() {
            return Subject { is_rowless: true, ..Subject::default() };
        }
        let Some(cause) = self.causes.current() else { return Subject::default() };
        let mut subject = Subject {
            integration: cause.places.first().map(|place| place.integration.clone()),
            cause: Some(cause.clone()),
            record: Some(json!({
                "cause": cause.id, "failure_class": cause.class, "text": cause.text, "sample": cause.sample,
                "deliveries": cause.deliveries, "dead": cause.dead, "deliveries_exact": cause.deliveries_exact,
                "leads": cause.leads, "leads_exact": cause.leads_exact,
                "first_at": cause.first_at, "last_at": cause.last_at,
            })),
            ..Subject::default()
        };
        if let Some(it) = self.deliveries.current() {
            subject.lead = Some((it.lead.clone(), it.company_id, it.person().to_owned()));
            subject.company = Some(it.company_id);
            if self.pane == FailuresPane::Leads {
                subject.cause = None;
                subject.integration = Some(it.integration_id.clone());
                subject.deliveries = self.deliveries.chosen().into_iter().map(chosen_delivery).collect();
            }
        }
        subject
    }

    fn command(&self, shared: &Shared) -> String {
        let company = of_company(shared.company.as_ref().map(|(id, _)| *id));
        let snoozed = if self.with_snoozed { " --snoozed" } else { "" };
        match (self.pane, &self.causes.selected) {
            (FailuresPane::Leads, Some(cause)) => format!("leadline delivery list --cause {cause}{company}"),
            _ => format!("leadline failure list{company}{snoozed}"),
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        picture::draw(self, view, frame, area);
    }

    fn back(&mut self) -> bool {
        match self.pane {
            FailuresPane::Leads if self.deliveries.back() => true,
            FailuresPane::Leads | FailuresPane::Guide => {
                self.pane = FailuresPane::Causes;
                true
            }
            FailuresPane::Causes => self.causes.back(),
        }
    }

    fn filter(&self) -> Option<&Filter> {
        Some(if self.pane == FailuresPane::Leads { &self.deliveries.filter } else { &self.causes.filter })
    }

    fn filter_mut(&mut self) -> Option<&mut Filter> {
        Some(if self.pane == FailuresPane::Leads {
            &mut self.deliveries.filter
        } else {
            &mut self.causes.filter
        })
    }

    fn chips(&self) -> Vec<String> {
        let snoozed = self.with_snoozed.then(|| "snoozed too".to_owned());
        let above = (self.pane == FailuresPane::Leads && !self.causes.filter.is_empty())
            .then(|| format!("causes /{}", self.causes.filter.input.text()));
        let leads = self.deliveries.only("dead leads").filter(|_| self.pane == FailuresPane::Leads);
        [snoozed, above, self.causes.only("dead causes"), leads].into_iter().flatten().collect()
    }

    fn period(&self, shared: &Shared) -> Option<i64> {
        Some(shared.pace())
    }

    fn due(&self, shared: &Shared) -> Option<Timestamp> {
        let asks = self.selected_at.filter(|_| self.is_passed && shared.is_live()).map(|at| at + PASSING);
        asks.into_iter().chain(self.deliveries.faint_at(shared.now)).min()
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        let causes = self.causes.rows.iter().map(JumpTarget::cause);
        causes.chain(self.deliveries.rows.iter().map(JumpTarget::delivery).take(TOLD)).collect()
    }

    fn ages(&self, _: &Shared) -> Vec<Timestamp> {
        self.causes.rows.iter().filter_map(|it| it.last_at).collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        let marks = self.deliveries.marks.len();
        match (action, self.pane) {
            (Action::Retry, FailuresPane::Leads) if marks > 0 => Some(format!("retry {marks} marked")),
            (Action::Retry, FailuresPane::Leads) => Some("retry this lead".to_owned()),
            (Action::Retry, _) => {
                Some(format!("retry all {}", self.causes.current().map_or(0, |it| it.dead)))
            }
            (Action::FailingOnly, _) => Some("dead only".to_owned()),
            (Action::Older, _) => Some("more leads".to_owned()),
            (Action::Layout, _) if self.with_snoozed => Some("without the snoozed".to_owned()),
            (Action::Layout, _) => Some("snoozed too".to_owned()),
            (Action::Snooze, _) if self.causes.current().is_some_and(|it| it.snoozed_until.is_some()) => {
                Some("wake".to_owned())
            }
            (Action::Open, FailuresPane::Causes | FailuresPane::Guide) => Some("leads".to_owned()),
            (Action::Open, FailuresPane::Leads) => Some("open the lead".to_owned()),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        if self.pane == FailuresPane::Leads {
            return Some(Box::new(Listing(&mut self.deliveries, &DELIVERIES)));
        }
        Some(Box::new(Listing(&mut self.causes, &COLUMNS)))
    }

    fn remember(&mut self) -> Option<Remembered> {
        Some(Listing(&mut self.causes, &COLUMNS).remember())
    }

    fn recall(&mut self, remembered: Remembered) {
        Listing(&mut self.causes, &COLUMNS).recall(remembered);
    }
}
