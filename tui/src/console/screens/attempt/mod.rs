//! One attempt, filling the screen: request and response side by side where there is room, compared with the attempt
//! before on demand.

pub mod document;

use std::collections::BTreeMap;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use crate::console::app::menus::attempt_json;
use crate::console::app::shared::{Shared, Tone};
use crate::console::data::{Answer, Attempt, AttemptState, Detail, Query};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::msg::Follow;
use crate::console::screen::{Chosen, Cx, Event, Fetch, Screen, Subject, View};
use crate::console::theme::Role;
use crate::console::widgets::columns::{self, plain, styled};
use crate::console::widgets::document::{Doc, Kind};
use crate::console::widgets::page::{PageScroll, draw_plain};
use crate::console::widgets::time;

/// How many details are kept.
const KEPT: usize = 64;
/// From this width on, request and response stand side by side.
const TWO_COLUMNS: u16 = 110;

/// What went over the wire, asked for once for each attempt.
#[derive(Clone, Debug, Default)]
pub struct Details {
    known: BTreeMap<String, Detail>,
    fetch: Fetch<(Attempt, Detail)>,
    asked: Option<String>,
}

impl Details {
    /// Asks for what belongs to this attempt, if it has finished and is not known.
    pub fn want(&mut self, attempt: &Attempt, cx: &mut Cx<'_>) {
        let is_asked = self.asked.as_ref() == Some(&attempt.id);
        if attempt.state == AttemptState::Running || self.known.contains_key(&attempt.id) || is_asked {
            return;
        }
        if cx.shared.is_live() {
            self.asked = Some(attempt.id.clone());
            self.fetch.error = None;
            self.fetch.ask_anew(Query::Detail { attempt: attempt.id.clone() }, cx);
        }
    }

    /// Takes an answer; gives back the attempt as the daemon knows it now.
    pub fn take(&mut self, event: &Event<'_>) -> Option<Attempt> {
        if matches!(event, Event::Live) {
            self.asked = None;
        }
        let taken = self.fetch.take(event, |answer| match answer {
            Answer::Detail(detail) => Some((**detail).clone()),
            _ => None,
        });
        let (attempt, detail) = self.fetch.value.clone().filter(|_| taken && self.fetch.error.is_none())?;
        self.keep(&attempt.id, detail);
        Some(attempt)
    }

    /// Keeps what went over the wire in an attempt.
    fn keep(&mut self, attempt: &str, detail: Detail) {
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(attempt.to_owned(), detail);
    }

    /// Forgets an attempt that has changed.
    pub fn forget(&mut self, attempt: &str) {
        self.known.remove(attempt);
        self.asked = self.asked.take().filter(|id| id != attempt);
    }

    /// What is known of an attempt.
    pub fn of(&self, attempt: &str) -> Option<&Detail> {
        self.known.get(attempt)
    }

    /// Why nothing is known of it.
    pub fn error(&self, attempt: &str) -> Option<&str> {
        self.fetch.error.as_deref().filter(|_| self.asked.as_deref() == Some(attempt))
    }
}

#[derive(Debug)]
pub struct AttemptScreen {
    /// Those that one can step through, newest first.
    attempts: Vec<Attempt>,
    at: usize,
    /// The one that it was opened by, until the daemon has told of it.
    wanted: Option<String>,
    fetch: Fetch<(Attempt, Detail)>,
    details: Details,
    left: PageScroll,
    right: PageScroll,
    is_compared: bool,
    is_right: bool,
}

const ACTIONS: [Action; 25] = [
    Action::Up,
    Action::Down,
    Action::Left,
    Action::Right,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::NextSection,
    Action::PreviousSection,
    Action::Pane,
    Action::Wrap,
    Action::Diff,
    Action::Pager,
    Action::InEditor,
    Action::Retry,
    Action::Mapping,
    Action::Settings,
    Action::Credentials,
    Action::Trace,
    Action::OpenIntegration,
    Action::Evidence,
    Action::Reveal,
    Action::Actions,
    Action::Test,
];

impl AttemptScreen {
    /// Opens one of these attempts.
    pub fn new(attempts: Vec<Attempt>, at: usize) -> Self {
        Self {
            attempts,
            at,
            wanted: None,
            fetch: Fetch::default(),
            details: Details::default(),
            left: PageScroll::default(),
            right: PageScroll::default(),
            is_compared: false,
            is_right: false,
        }
    }

    /// Opens an attempt that nothing but its id is known of.
    pub fn of(id: String) -> Self {
        Self { wanted: Some(id), ..Self::new(Vec::new(), 0) }
    }

    /// The same, compared with the attempt before it.
    pub const fn compared(mut self, is_compared: bool) -> Self {
        self.is_compared = is_compared;
        self
    }

    fn current(&self) -> Option<&Attempt> {
        self.attempts.get(self.at)
    }

    /// The attempt before this one: of the same delivery if there is one, else of the same integration.
    fn before(&self) -> Option<&Attempt> {
        let it = self.current()?;
        let older = self.attempts.get(self.at + 1..).unwrap_or_default();
        older
            .iter()
            .find(|a| a.delivery == it.delivery)
            .or_else(|| older.iter().find(|a| a.integration_id == it.integration_id))
    }

    /// Whether request and response stand side by side, or will once they are there.
    fn has_two(&self, shared: &Shared) -> bool {
        let is_unreadable =
            |it: &Attempt| self.details.of(&it.id).is_none() && self.details.error(&it.id).is_some();
        shared.width >= TWO_COLUMNS
            && !(self.is_compared && self.before().is_some())
            && !self.current().is_some_and(is_unreadable)
    }

    fn step(&mut self, at: usize) {
        if at < self.attempts.len() {
            self.at = at;
            self.left.rewind();
            self.right.rewind();
        }
    }

    fn whole(&self, it: &Attempt, shared: &Shared) -> Doc {
        let away = Some(shared.waits()).filter(|_| !shared.is_live());
        let error = self.details.error(&it.id).or(away);
        document::whole(it, self.details.of(&it.id), error, shared)
    }

    fn comparison(&self, it: &Attempt, shared: &Shared) -> Option<Doc> {
        let before = self.before().filter(|_| self.is_compared)?;
        let (old, new) = (self.details.of(&before.id)?, self.details.of(&it.id)?);
        Some(document::compared(before, old, it, new, &shared.setup.zone))
    }
}

impl Screen for AttemptScreen {
    fn crumb(&self, shared: &Shared) -> String {
        let at = self.current().and_then(|it| it.started_at);
        at.map_or_else(
            || "attempt".to_owned(),
            |at| format!("attempt {}", time::clock(at, &shared.setup.zone)),
        )
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Left => self.step(self.at.saturating_sub(1)),
            Action::Right => self.step(self.at + 1),
            Action::Pane if !self.has_two(cx.shared) => cx.say(Tone::Plain, "there is one pane only"),
            Action::Pane => self.is_right = !self.is_right,
            Action::Diff if self.before().is_none() => {
                cx.say(Tone::Plain, "there is no attempt before this one here");
            }
            Action::Diff => self.is_compared = !self.is_compared,
            Action::Pager | Action::InEditor => {
                if let Some(it) = self.current() {
                    let doc = self.whole(it, cx.shared);
                    cx.show_outside(action, &doc);
                }
            }
            _ if self.is_right && self.has_two(cx.shared) => self.right.perform(action),
            _ => self.left.perform(action),
        }
    }

    fn event(&mut self, event: Event<'_>, _: &mut Cx<'_>) {
        self.fetch.take(&event, |answer| match answer {
            Answer::Detail(detail) => Some((**detail).clone()),
            _ => None,
        });
        if let Some((attempt, detail)) = self.fetch.value.take() {
            self.details.keep(&attempt.id, detail);
            (self.attempts, self.wanted) = (vec![attempt], None);
        }
        if let Some(attempt) = self.details.take(&event)
            && let Some(old) = self.attempts.iter_mut().find(|it| it.id == attempt.id)
        {
            *old = attempt;
        }
        if let Event::Attempts { attempts, .. } = event {
            for new in attempts {
                if let Some(old) = self.attempts.iter_mut().find(|it| it.id == new.id)
                    && old != new
                {
                    *old = new.clone();
                    self.details.forget(&new.id);
                }
            }
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        if let Some(attempt) = self.wanted.clone() {
            self.fetch.ask(Query::Detail { attempt }, cx);
        }
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        let before = self.before().filter(|_| self.is_compared).cloned();
        let wanted = match (self.current().cloned(), before) {
            // One at a time: first what is looked at, then what it is compared with.
            (Some(it), Some(before)) if self.details.of(&it.id).is_some() => Some(before),
            (it, _) => it,
        };
        if let Some(attempt) = wanted {
            self.details.want(&attempt, cx);
        }
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(it) = self.current() else { return Subject::default() };
        subject_of(it, self.details.of(&it.id))
    }

    fn command(&self, _: &Shared) -> String {
        let id = self.current().map(|it| &it.id).or(self.wanted.as_ref());
        id.map(|id| format!("leadline attempt show {id}")).unwrap_or_default()
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let Some(it) = self.current() else {
            let mut doc = Doc::default();
            match &self.fetch.error {
                Some(error) => doc.push(Kind::Error, error),
                None => doc.push(Kind::Quiet, view.shared.waits()),
            }
            let title = vec![theme.span(Role::Strong, "Attempt")];
            return self.left.draw(doc, title, true, view, frame, area);
        };
        let title = |text: &str| vec![theme.span(Role::Strong, text.to_owned())];
        if let Some(doc) = self.comparison(it, view.shared) {
            return self.left.draw(doc, title("Compared with the attempt before"), true, view, frame, area);
        }
        let detail = self.details.of(&it.id).filter(|_| area.width >= TWO_COLUMNS);
        let Some(detail) = detail else {
            let name = if it.integration.is_empty() { "Attempt" } else { &it.integration };
            let name = format!("{name}  {}/{}", self.at + 1, self.attempts.len());
            return self.left.draw(self.whole(it, view.shared), title(&name), true, view, frame, area);
        };
        let zone = &view.shared.setup.zone;
        let head = document::summary(it, &view.shared.setup.keymap);
        let rows = u16::try_from(head.0.len()).unwrap_or(4).min(6) + 1;
        let [top, body] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
        let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
        let [left, right] = Layout::horizontal(halves).areas(body);
        draw_plain(head, theme, frame, Rect { x: top.x + 2, width: top.width.saturating_sub(4), ..top });
        self.left.draw(
            document::requests(it, detail, zone),
            title("Request"),
            !self.is_right,
            view,
            frame,
            left,
        );
        self.right.draw(
            document::responses(it, detail),
            title("Response"),
            self.is_right,
            view,
            frame,
            right,
        );
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        self.attempts.iter().take(TOLD).map(JumpTarget::attempt).collect()
    }

    fn follows(&self, _: &Shared) -> Option<Follow> {
        let integration = self.current().map(|it| it.integration_id.clone());
        integration.filter(|id| !id.is_empty()).map(Follow::Integration)
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        match action {
            Action::Diff if self.is_compared => Some("whole attempt".to_owned()),
            Action::Left => Some("newer attempt".to_owned()),
            Action::Right => Some("older attempt".to_owned()),
            _ => None,
        }
    }
}

/// Whose an attempt is, as lists show it; a test is nobody's.
pub fn whose(it: &Attempt) -> columns::Cell {
    match it.person() {
        "" => styled(Role::Quiet, format!("({})", it.trigger)),
        person => plain(person),
    }
}

/// What an act on an attempt would be about.
pub fn subject_of(it: &Attempt, detail: Option<&Detail>) -> Subject {
    Subject {
        integration: Some(it.integration_id.clone()).filter(|id| !id.is_empty()),
        company: Some(it.company_id).filter(|id| *id != 0),
        lead: (!it.lead.is_empty()).then(|| (it.lead.clone(), it.company_id, it.person().to_owned())),
        deliveries: chosen(it).into_iter().collect(),
        attempt: Some(it.clone()),
        detail: detail.cloned(),
        record: Some(attempt_json(it, detail)),
        ..Subject::default()
    }
}

/// The delivery of an attempt, as an act would name it; tests have none.
pub fn chosen(it: &Attempt) -> Option<Chosen> {
    (!it.delivery.is_empty()).then(|| Chosen {
        delivery: it.delivery.clone(),
        person: it.person().to_owned(),
        integration: [it.company.as_str(), it.integration.as_str()]
            .join(" / ")
            .trim_matches([' ', '/'])
            .to_owned(),
        at: it.started_at,
        error: it.error.clone(),
        is_delivered: it.state == AttemptState::Delivered,
        is_skipped: false,
        class: it.class.clone(),
    })
}

/// The moments whose ages a list of attempts shows.
pub fn ages(attempts: &[Attempt]) -> Vec<Timestamp> {
    attempts.iter().filter(|it| it.state == AttemptState::Running).filter_map(|it| it.started_at).collect()
}
