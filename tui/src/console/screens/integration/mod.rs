//! One integration: its attempts as they come, or its deliveries that are not delivered, and the selected one beside
//! or below them.

mod columns;
mod picture;
mod screen;

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;

use crate::console::app::shared::{Shared, Tone};
use crate::console::data::query::DeliveryQuery;
use crate::console::data::{Answer, Attempt, AttemptState, Delivery, DeliveryState, Integration, Query};
use crate::console::keymap::Action;
use crate::console::screen::{Chosen, Cx, Event, Fetch, NO_ROW};
use crate::console::screens::attempt::{AttemptScreen, Details, chosen};
use crate::console::screens::lead::LeadScreen;
use crate::console::screens::pages::{Pages, marked};
use crate::console::widgets::filter::RowTexts;
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::table::{Table, TableRow};

pub use columns::{ATTEMPTS, DELIVERIES};

/// How many attempts are kept, besides selected and marked ones and older ones that were asked for.
const KEPT: usize = 50;

impl TableRow for Attempt {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        vec![
            ("lead", Cow::Borrowed(self.person())),
            ("lead", Cow::Borrowed(&self.lead)),
            ("state", Cow::Borrowed(self.state.word())),
            ("class", Cow::Borrowed(&self.class)),
            ("err", Cow::Borrowed(&self.error)),
            ("trigger", Cow::Borrowed(&self.trigger)),
            ("delivery", Cow::Borrowed(&self.delivery)),
            ("code", Cow::Owned(self.status.map(|status| status.to_string()).unwrap_or_default())),
        ]
    }

    fn at(&self) -> Option<Timestamp> {
        self.started_at
    }

    fn is_bad(&self) -> bool {
        self.state == AttemptState::Failed
    }
}

impl TableRow for Delivery {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        vec![
            ("lead", Cow::Borrowed(self.person())),
            ("lead", Cow::Borrowed(&self.lead)),
            ("state", Cow::Borrowed(self.state.word())),
            ("class", Cow::Borrowed(&self.class)),
            ("err", Cow::Borrowed(self.because())),
            ("company", Cow::Borrowed(&self.company)),
            ("integration", Cow::Borrowed(&self.integration)),
        ]
    }

    fn at(&self) -> Option<Timestamp> {
        Self::at(self)
    }

    fn is_bad(&self) -> bool {
        self.state == DeliveryState::Dead
    }
}

/// Where the keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IntegrationPane {
    List,
    Page,
}

#[derive(Debug)]
pub struct IntegrationScreen {
    id: String,
    /// Kept here too: the integration may be deleted while it is open.
    name: String,
    company_id: i64,
    company: String,
    attempts: Table<Attempt>,
    /// How many attempts came since somebody moved.
    fresh: usize,
    /// How many are kept: more once older ones were asked for.
    kept: usize,
    older: Fetch<()>,
    details: Details,
    deliveries: Table<Delivery>,
    listed: Pages<Delivery>,
    shows_deliveries: bool,
    pane: IntegrationPane,
    page: PageScroll,
    answer: PageScroll,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 48] = [
    Action::Open,
    Action::Up,
    Action::Down,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::NextSection,
    Action::PreviousSection,
    Action::Pane,
    Action::Filter,
    Action::FailingOnly,
    Action::Follow,
    Action::Wrap,
    Action::Full,
    Action::Diff,
    Action::Pager,
    Action::InEditor,
    Action::Older,
    Action::Layout,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
    Action::Mark,
    Action::Range,
    Action::MarkAll,
    Action::ClearMarks,
    Action::Retry,
    Action::RetryWaiting,
    Action::Test,
    Action::Toggle,
    Action::Credentials,
    Action::Mapping,
    Action::Settings,
    Action::Actions,
    Action::Hold,
    Action::Release,
    Action::Skip,
    Action::Rotate,
    Action::Stage,
    Action::CutOver,
    Action::Revoke,
    Action::Reset,
    Action::Trace,
    Action::Evidence,
    Action::Reveal,
    Action::Export,
];

impl IntegrationScreen {
    /// Opens an integration, following its newest attempt.
    pub fn new(it: &Integration) -> Self {
        Self {
            id: it.id.clone(),
            name: it.name.clone(),
            company_id: it.company_id,
            company: it.company.clone(),
            attempts: Table::default(),
            fresh: 0,
            kept: KEPT,
            older: Fetch::default(),
            details: Details::default(),
            deliveries: Table::default(),
            listed: Pages::default(),
            shows_deliveries: false,
            pane: IntegrationPane::List,
            page: PageScroll::default(),
            answer: PageScroll::default(),
            rows: Cell::new(1),
        }
    }

    fn it<'s>(&self, shared: &'s Shared) -> Option<&'s Integration> {
        shared.integration(&self.id)
    }

    /// Takes in new and finished attempts; a first message replaces what was running.
    fn take(&mut self, attempts: &[Attempt], first: bool) {
        let is_known = |id: &str| self.attempts.rows.iter().any(|it| it.id == id);
        let added = attempts.iter().filter(|it| !is_known(&it.id)).count();
        if self.attempts.is_loaded && self.attempts.is_moved {
            self.fresh += added;
        }
        if first {
            self.attempts.rows.retain(|it| it.state != AttemptState::Running);
        }
        for attempt in attempts {
            let mut attempt = attempt.clone();
            if attempt.integration_id.is_empty() || attempt.integration.is_empty() {
                attempt.integration_id.clone_from(&self.id);
                attempt.integration.clone_from(&self.name);
                attempt.company.clone_from(&self.company);
                attempt.company_id = self.company_id;
            }
            match self.attempts.rows.iter_mut().find(|old| old.id == attempt.id) {
                Some(old) if *old == attempt => {}
                Some(old) => {
                    self.details.forget(&attempt.id);
                    *old = attempt;
                }
                None => self.attempts.rows.push(attempt),
            }
        }
        self.attempts.rows.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
        let (selected, marks, mut place) = (self.attempts.selected.clone(), self.attempts.marks.clone(), 0);
        let kept = self.kept;
        self.attempts.rows.retain(|it| {
            place += 1;
            place <= kept || marks.contains(&it.id) || selected.as_ref() == Some(&it.id)
        });
        self.attempts.is_loaded = true;
    }

    fn open(&self, is_compared: bool, cx: &mut Cx<'_>) {
        if self.is_rowless() {
            return cx.say(Tone::Plain, NO_ROW);
        }
        if self.shows_deliveries {
            if let Some(it) = self.deliveries.current() {
                let screen = LeadScreen::new(it.lead.clone(), it.company_id, it.person().to_owned());
                cx.open(Box::new(screen.at(&self.id)));
            }
            return;
        }
        let visible: Vec<Attempt> =
            self.attempts.visible(&ATTEMPTS, cx.shared.now).into_iter().cloned().collect();
        if let Some(at) = visible.iter().position(|it| Some(&it.id) == self.attempts.selected.as_ref()) {
            cx.open(Box::new(AttemptScreen::new(visible, at).compared(is_compared)));
        }
    }

    fn in_list(&mut self, action: Action, cx: &mut Cx<'_>) {
        let (now, rows) = (cx.shared.now, self.rows.get().max(1));
        if self.shows_deliveries {
            self.deliveries.perform(&DELIVERIES, now, action, 1, rows);
            if action == Action::MarkAll {
                marked(&self.listed, self.deliveries.marks.len(), cx);
            }
            return;
        }
        let before = self.attempts.selected.clone();
        self.attempts.perform(&ATTEMPTS, now, action, 1, rows);
        if self.attempts.selected != before {
            self.page.rewind();
            self.answer.rewind();
        }
        if action == Action::First {
            self.fresh = 0;
        }
        // Going down at the end is asking for older ones.
        if self.attempts.selected == before
            && matches!(action, Action::Down | Action::PageDown | Action::Last)
        {
            self.ask_older_attempts(cx);
        }
    }

    fn ask_older(&mut self, cx: &mut Cx<'_>) {
        if self.shows_deliveries {
            let which = self.which();
            self.listed.more(|after| Query::Deliveries { which, after }, cx);
        } else if !self.ask_older_attempts(cx) {
            cx.say(Tone::Plain, "that is all there is");
        }
    }

    /// Whether there may be older attempts than are known, which are asked for then.
    fn ask_older_attempts(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(last) = self.attempts.rows.last().filter(|_| self.attempts.rows.len() >= KEPT) else {
            return false;
        };
        let after = last.id.clone();
        self.older.ask(Query::OlderAttempts { integration: self.id.clone(), after }, cx);
        true
    }

    /// Which deliveries are listed: what has not arrived.
    fn which(&self) -> DeliveryQuery {
        DeliveryQuery {
            integration: self.id.clone(),
            states: vec!["dead", "held", "pending", "skipped"],
            ..DeliveryQuery::default()
        }
    }

    fn ask_deliveries(&mut self, cx: &mut Cx<'_>) {
        let which = self.which();
        self.listed.load(|after| Query::Deliveries { which, after }, cx);
    }

    fn take_deliveries(&mut self, event: &Event<'_>, cx: &mut Cx<'_>) {
        let which = self.which();
        let query = |after| Query::Deliveries { which, after };
        if let Some(mut rows) = self.listed.take(event, Answer::deliveries, query, cx) {
            rows.sort_by(|a, b| (a.state, b.at()).cmp(&(b.state, a.at())));
            self.deliveries.set(rows);
        }
    }

    /// Whether the list that is shown has no row, or its filter leaves none.
    fn is_rowless(&self) -> bool {
        if self.shows_deliveries {
            self.deliveries.current().is_none()
        } else {
            self.attempts.current().is_none()
        }
    }

    fn chosen(&self) -> Vec<Chosen> {
        let mut chosen: Vec<Chosen> = if self.shows_deliveries {
            self.deliveries.chosen().into_iter().map(chosen_delivery).collect()
        } else {
            self.attempts.chosen().into_iter().filter_map(chosen).collect()
        };
        // Several attempts of one delivery are one thing to retry.
        let mut seen = std::collections::BTreeSet::new();
        chosen.retain(|it| seen.insert(it.delivery.clone()));
        chosen
    }
}

/// A delivery, as an act would name it.
pub fn chosen_delivery(it: &Delivery) -> Chosen {
    Chosen {
        delivery: it.id.clone(),
        person: it.person().to_owned(),
        integration: [it.company.as_str(), it.integration.as_str()]
            .join(" / ")
            .trim_matches([' ', '/'])
            .to_owned(),
        at: it.at(),
        error: it.because().to_owned(),
        is_delivered: it.state == DeliveryState::Delivered,
        is_skipped: it.state == DeliveryState::Skipped,
        class: it.class.clone(),
    }
}
