//! How an integration's screen answers to keys and events.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::{ACTIONS, ATTEMPTS, DELIVERIES, IntegrationPane, IntegrationScreen, picture};
use crate::console::app::shared::{Shared, Tone};
use crate::console::data::Answer;
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::msg::Follow;
use crate::console::screen::{Cx, Event, NO_ROW, Screen, Subject, View};
use crate::console::screens::attempt::{ages, subject_of};
use crate::console::widgets::filter::Filter;
use crate::console::widgets::list::{List, Listing};

impl Screen for IntegrationScreen {
    fn crumb(&self, shared: &Shared) -> String {
        if shared.company.is_some() { self.name.clone() } else { format!("{} / {}", self.company, self.name) }
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Open | Action::Full => self.open(false, cx),
            Action::Diff => self.open(true, cx),
            Action::Layout => {
                self.shows_deliveries = !self.shows_deliveries;
                self.pane = IntegrationPane::List;
                self.load(cx);
            }
            Action::Pane if self.pane == IntegrationPane::Page => self.pane = IntegrationPane::List,
            Action::Pane => {
                self.pane = IntegrationPane::Page;
                // Whoever reads one follows no newer ones.
                self.attempts.hold();
                self.deliveries.hold();
            }
            Action::Follow => {
                self.attempts.is_moved = !self.attempts.is_moved;
                self.fresh = 0;
            }
            Action::Older => self.ask_older(cx),
            // An attempt behind the list of deliveries is not what one sees.
            Action::Pager | Action::InEditor if self.shows_deliveries => {
                cx.say(Tone::Plain, "a delivery has no page of its own: open its lead, or look at attempts");
            }
            Action::Pager | Action::InEditor => match self.attempts.current() {
                Some(it) => {
                    let detail = self.details.of(&it.id);
                    let doc = crate::console::screens::attempt::document::whole(it, detail, None, cx.shared);
                    cx.show_outside(action, &doc);
                }
                None => cx.say(Tone::Plain, NO_ROW),
            },
            Action::Wrap | Action::NextSection | Action::PreviousSection => {
                self.page.perform(action);
                self.answer.perform(action);
            }
            _ if self.pane == IntegrationPane::Page && action.is_move() => {
                self.page.perform(action);
                self.answer.perform(action);
            }
            _ => self.in_list(action, cx),
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        match event {
            Event::Attempts { integration, attempts, first } if integration == self.id => {
                self.take(attempts, first);
                if self.shows_deliveries {
                    self.ask_deliveries(cx);
                }
            }
            Event::Answered { .. } => {
                if let Some(attempt) = self.details.take(&event) {
                    let is_listed = self.attempts.rows.iter().any(|it| it.id == attempt.id);
                    if is_listed {
                        self.take(&[attempt], false);
                    }
                }
                self.take_deliveries(&event, cx);
                let mut found = Vec::new();
                let taken = self.older.take(&event, |answer| match answer {
                    Answer::Attempts(attempts) => {
                        found.clone_from(attempts);
                        Some(())
                    }
                    _ => None,
                });
                if taken {
                    self.kept += found.len();
                    self.take(&found, false);
                }
            }
            Event::Live => {
                self.details.take(&event);
            }
            _ => {}
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        if self.shows_deliveries {
            self.ask_deliveries(cx);
        }
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        let now = cx.shared.now;
        let before = self.attempts.selected.clone();
        let dropped = self.attempts.normalize(&ATTEMPTS, now) + self.deliveries.normalize(&DELIVERIES, now);
        if self.attempts.selected != before {
            self.page.rewind();
            self.answer.rewind();
        }
        cx.dropped(dropped);
        if let Some(attempt) = self.attempts.current().filter(|_| !self.shows_deliveries).cloned() {
            self.details.want(&attempt, cx);
        }
    }

    fn subject(&self, _: &Shared) -> Subject {
        let mut subject = match (self.shows_deliveries, self.attempts.current(), self.deliveries.current()) {
            (false, Some(it), _) => subject_of(it, self.details.of(&it.id)),
            (true, _, Some(it)) => Subject {
                lead: Some((it.lead.clone(), it.company_id, it.person().to_owned())),
                ..Subject::default()
            },
            _ => Subject::default(),
        };
        subject.integration = Some(self.id.clone());
        subject.company = Some(self.company_id);
        subject.deliveries = self.chosen();
        subject.is_rowless = self.is_rowless();
        subject
    }

    fn command(&self, _: &Shared) -> String {
        let of = &self.id;
        if self.shows_deliveries {
            format!("leadline delivery list --undelivered --integration {of}")
        } else {
            format!("leadline attempt list --integration {of}")
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        picture::draw(self, view, frame, area);
    }

    fn back(&mut self) -> bool {
        if self.pane == IntegrationPane::Page {
            self.pane = IntegrationPane::List;
            return true;
        }
        if self.shows_deliveries { self.deliveries.back() } else { self.attempts.back() }
    }

    fn filter(&self) -> Option<&Filter> {
        Some(if self.shows_deliveries { &self.deliveries.filter } else { &self.attempts.filter })
    }

    fn filter_mut(&mut self) -> Option<&mut Filter> {
        Some(if self.shows_deliveries { &mut self.deliveries.filter } else { &mut self.attempts.filter })
    }

    fn chips(&self) -> Vec<String> {
        let only =
            if self.shows_deliveries { self.deliveries.only("dead") } else { self.attempts.only("failed") };
        only.into_iter().collect()
    }

    fn follows(&self, _: &Shared) -> Option<Follow> {
        Some(Follow::Integration(self.id.clone()))
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        let attempts = self.attempts.rows.iter().map(JumpTarget::attempt).take(TOLD);
        attempts.chain(self.deliveries.rows.iter().map(JumpTarget::delivery).take(TOLD)).collect()
    }

    fn period(&self, shared: &Shared) -> Option<i64> {
        self.shows_deliveries.then(|| shared.pace())
    }

    fn ages(&self, shared: &Shared) -> Vec<Timestamp> {
        let it = self.it(shared).into_iter();
        let own = it.flat_map(|it| {
            let gates = [it.next_retry_at, it.throttled_until, it.breaker_until];
            [it.last_pushed_at, it.last_error_at, it.checked_at].into_iter().chain(gates)
        });
        own.flatten().chain(ages(&self.attempts.rows)).collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        let marks =
            if self.shows_deliveries { self.deliveries.marks.len() } else { self.attempts.marks.len() };
        match action {
            Action::Retry if marks > 0 => Some(format!("retry {marks} marked")),
            Action::FailingOnly if self.shows_deliveries => Some("dead only".to_owned()),
            Action::FailingOnly => Some("failed only".to_owned()),
            Action::Layout if self.shows_deliveries => Some("attempts".to_owned()),
            Action::Layout => Some("deliveries".to_owned()),
            Action::Open if self.shows_deliveries => Some("open the lead".to_owned()),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        if self.shows_deliveries {
            return Some(Box::new(Listing(&mut self.deliveries, &DELIVERIES)));
        }
        Some(Box::new(Listing(&mut self.attempts, &ATTEMPTS)))
    }
}
