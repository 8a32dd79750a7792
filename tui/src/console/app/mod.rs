//! The console's state and its pure changes: whatever happens comes in as a message, what is to be done goes out as
//! effects. No input or output, no clock. A stack of screens for each number key, and at most one dialog over them.

pub mod acts;
mod care;
mod company_acts;
mod done;
pub mod frame;
mod integration_acts;
mod jumps;
mod keys;
pub mod menus;
mod mouse;
mod outside;
#[cfg(test)]
pub(crate) mod pictures;
mod plain;
#[cfg(test)]
mod properties;
pub mod shared;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_acts;
#[cfg(test)]
mod tests_of_editors;
#[cfg(test)]
mod tests_of_figures;
#[cfg(test)]
mod tests_of_files;
#[cfg(test)]
mod tests_of_finding;
#[cfg(test)]
mod tests_of_lists;
#[cfg(test)]
mod tests_of_panes;
#[cfg(test)]
mod tests_of_rows;
#[cfg(test)]
mod tests_of_screens;
#[cfg(test)]
mod tests_of_secrets;
#[cfg(test)]
mod tests_of_settings;
#[cfg(test)]
mod tests_of_sizes;
#[cfg(test)]
mod tests_of_undo;
pub mod undo;

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use ratatui::Frame;
use zeroize::{Zeroize as _, Zeroizing};

use super::data::{Answer, CallFailure, Company, Conn, Elsewhere, Integration, Query};
use super::dialogs::{Dialog, OneTime};
use super::msg::{Copied, DaemonRequest, Effect, Follow, LocalError, Msg, Ticket};
use super::screen::{Cx, Event, Fetch, Next, Screen, View};
use super::screens;
use super::theme::Theme;
use super::widgets::time;
use shared::{Setup, Shared, Tone};

/// How often the list of companies is asked for: who has gone silent shows without being looked for.
const COMPANIES: SignedDuration = SignedDuration::from_secs(60);

/// The whole state.
#[derive(Debug)]
pub struct App {
    pub shared: Shared,
    /// A stack for each number key; its first screen is never closed.
    stacks: Vec<Vec<Box<dyn Screen>>>,
    at: usize,
    /// Screens that were gone back from, the last one first to come again.
    closed: Vec<Box<dyn Screen>>,
    pub dialog: Option<Dialog>,
    /// The first one lies over everything until it is stored.
    pub secrets: VecDeque<OneTime>,
    followed: Option<Follow>,
    looks_elsewhere: bool,
    /// The integration that is opened once the daemon has told of it.
    pub awaited: Option<String>,
    loaded_at: Timestamp,
    companies: Fetch<Vec<Company>>,
    companies_at: Option<Timestamp>,
    /// The evidence that was asked for to be copied.
    evidence: Option<Ticket>,
    /// Whom we asked to see.
    revealed: Option<Ticket>,
}

impl App {
    /// Nothing known yet.
    pub fn new(setup: Setup, now: Timestamp, width: u16, height: u16) -> Self {
        Self {
            shared: Shared::new(setup, now, width, height),
            stacks: screens::ROOTS.iter().map(|(_, root)| vec![root()]).collect(),
            at: 0,
            closed: Vec::new(),
            dialog: None,
            secrets: VecDeque::new(),
            followed: None,
            looks_elsewhere: false,
            awaited: None,
            loaded_at: now,
            companies: Fetch::default(),
            companies_at: None,
            evidence: None,
            revealed: None,
        }
    }

    /// The screen on top.
    pub fn top(&self) -> &dyn Screen {
        self.stacks[self.at]
            .last()
            .map_or_else(|| unreachable!("a stack keeps its root"), |screen| screen.as_ref())
    }

    /// Takes in what happened at `now` and says what is to be done about it.
    pub fn update(&mut self, now: Timestamp, msg: Msg) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.shared.now = self.shared.now.max(now);
        self.shared.expire(matches!(msg, Msg::Key(_)));
        let now = self.shared.now;
        for secret in &mut self.secrets {
            secret.shown_until = secret.shown_until.filter(|until| *until > now);
        }
        match msg {
            Msg::Key(press) => self.key(press, &mut effects),
            Msg::Paste(mut text) => {
                self.paste(&text, &mut effects);
                // It may be a key.
                text.zeroize();
            }
            Msg::Mouse(mouse) => self.mouse(mouse, &mut effects),
            Msg::Resize(width, height) => (self.shared.width, self.shared.height) = (width, height),
            Msg::Tick => self.tick(&mut effects),
            Msg::Resumed => effects.push(Effect::Redraw),
            other => self.network(other, &mut effects),
        }
        self.on_top(&mut effects, |screen, cx| screen.normalize(cx));
        self.follow(&mut effects);
        effects
    }

    /// Lets the screen on top act, and carries out what it asks for.
    fn on_top(&mut self, effects: &mut Vec<Effect>, act: impl FnOnce(&mut dyn Screen, &mut Cx<'_>)) {
        let mut next = Vec::new();
        if let Some(screen) = self.stacks[self.at].last_mut() {
            act(screen.as_mut(), &mut Cx { shared: &mut self.shared, effects, next: &mut next });
        }
        self.go_on(next, effects);
    }

    /// Tells every screen, also those that are covered; what these want opened is of interest to nobody any more.
    fn report(&mut self, event: Event<'_>, effects: &mut Vec<Effect>) {
        let (mut next, mut unseen) = (Vec::new(), Vec::new());
        for (at, stack) in self.stacks.iter_mut().enumerate() {
            let top = stack.len() - 1;
            for (place, screen) in stack.iter_mut().enumerate() {
                let is_seen = at == self.at && place == top;
                let next = if is_seen { &mut next } else { &mut unseen };
                screen.event(event, &mut Cx { shared: &mut self.shared, effects, next });
            }
        }
        if let Some(editor) = self.dialog.as_mut().and_then(Dialog::editor) {
            editor.event(&event, &mut Cx { shared: &mut self.shared, effects, next: &mut next });
        }
        self.go_on(next, effects);
    }

    /// Does what screens asked for.
    fn go_on(&mut self, next: Vec<Next>, effects: &mut Vec<Effect>) {
        for next in next {
            match next {
                Next::Open(screen) => self.open(screen, effects),
                Next::Dialog(dialog) => self.dialog = Some(dialog),
                Next::Perform(action) => self.perform(action, effects),
                Next::Connect { profile, integration } => self.connect(profile, Some(integration), effects),
            }
        }
    }

    /// Puts a screen on top.
    fn open(&mut self, screen: Box<dyn Screen>, effects: &mut Vec<Effect>) {
        self.stacks[self.at].push(screen);
        self.closed.clear();
        self.load(effects);
    }

    /// Lets the screen on top ask for what it shows.
    fn load(&mut self, effects: &mut Vec<Effect>) {
        self.loaded_at = self.shared.now;
        self.on_top(effects, |screen, cx| screen.load(cx));
    }

    /// The same on the operator's word.
    fn reload(&mut self, effects: &mut Vec<Effect>) {
        self.loaded_at = self.shared.now;
        self.on_top(effects, |screen, cx| screen.reload(cx));
    }

    /// Follows what the screen that is seen shows, and nothing else; and other daemons while they are seen.
    fn follow(&mut self, effects: &mut Vec<Effect>) {
        let wanted = self.top().follows(&self.shared);
        if wanted != self.followed {
            self.followed.clone_from(&wanted);
            effects.push(Effect::Net(DaemonRequest::Follow(wanted)));
        }
        let looks = self.top().looks_elsewhere();
        if looks != self.looks_elsewhere {
            self.looks_elsewhere = looks;
            let others = self.shared.setup.others.iter().filter(|_| looks);
            self.shared.elsewhere = others.map(|name| (name.clone(), Elsewhere::default())).collect();
            self.shared.revision += 1;
            effects.push(Effect::LookElsewhere(looks));
        }
    }

    fn tick(&mut self, effects: &mut Vec<Effect>) {
        let now = self.shared.now;
        if self.shared.is_live() && self.companies_at.is_none_or(|at| now.duration_since(at) >= COMPANIES) {
            self.ask_companies(effects);
        }
        let period = self.top().period(&self.shared).map(SignedDuration::from_secs);
        if self.shared.is_live() && period.is_some_and(|period| now.duration_since(self.loaded_at) >= period)
        {
            self.load(effects);
        }
    }

    fn ask_companies(&mut self, effects: &mut Vec<Effect>) {
        self.companies_at = Some(self.shared.now);
        let mut cx = Cx { shared: &mut self.shared, effects, next: &mut Vec::new() };
        self.companies.ask(Query::Companies, &mut cx);
    }

    fn network(&mut self, msg: Msg, effects: &mut Vec<Effect>) {
        match msg {
            Msg::Conn(conn) => self.connection(conn, effects),
            Msg::Who(who) => self.shared.who = Some(who),
            Msg::Snapshot { version, integrations } => {
                self.shared.daemon_version = version;
                self.shared.integrations = integrations;
                self.shared.sort();
                self.shared.is_loaded = true;
                self.shared.changed_at = Some(self.shared.now);
                self.report(Event::Integrations, effects);
                if let Some(id) = self.awaited.take() {
                    self.open_integration(&id, effects);
                }
            }
            Msg::Changes { changed, removed } => {
                self.shared.changed_at = Some(self.shared.now);
                self.shared.integrations.retain(|it| !removed.contains(&it.id));
                for it in changed {
                    self.shared.upsert(it);
                }
                self.shared.sort();
                self.report(Event::Integrations, effects);
            }
            Msg::Elsewhere { profile, said } => self.elsewhere(&profile, *said, effects),
            Msg::Attempts { integration, attempts, first } => {
                let event = Event::Attempts { integration: &integration, attempts: &attempts, first };
                self.report(event, effects);
            }
            Msg::Happened => self.report(Event::Happened, effects),
            Msg::Answered { ticket, answer } => self.answered(ticket, &answer, effects),
            Msg::Delayed { ticket } => {
                if let Some(pending) = self.shared.pending.get_mut(&ticket) {
                    pending.is_delayed = true;
                }
            }
            Msg::Done { ticket, done } => self.done(ticket, done, effects),
            Msg::Refused(reason) => self.shared.say(Tone::Bad, reason),
            Msg::Edited(outcome) => self.edited(outcome, effects),
            Msg::Copied(copied) => self.copied(copied),
            Msg::Saved(outcome) => self.note(outcome),
            Msg::Key(_) | Msg::Paste(_) | Msg::Mouse(_) | Msg::Resize(..) | Msg::Tick | Msg::Resumed => {}
        }
    }

    /// What the daemon of another profile said, unless nobody looks there any more.
    fn elsewhere(&mut self, profile: &str, said: Msg, effects: &mut Vec<Effect>) {
        let Some(there) = self.shared.elsewhere.get_mut(profile) else { return };
        match said {
            Msg::Conn(conn) => there.conn = conn,
            Msg::Snapshot { integrations, .. } => {
                (there.integrations, there.is_loaded) = (integrations, true);
            }
            Msg::Changes { changed, removed } => {
                let is_old = |it: &Integration| changed.iter().any(|new| new.id == it.id);
                there.integrations.retain(|it| !removed.contains(&it.id) && !is_old(it));
                there.integrations.extend(changed);
            }
            _ => return,
        }
        self.shared.revision += 1;
        self.report(Event::Integrations, effects);
    }

    fn connection(&mut self, conn: Conn, effects: &mut Vec<Effect>) {
        let is_back = conn == Conn::Live && !self.shared.is_live();
        if conn == Conn::Live {
            self.shared.stale_since = None;
        } else if self.shared.is_loaded && self.shared.stale_since.is_none() {
            let heard_at = match &conn {
                Conn::Lost { heard_at, .. } => *heard_at,
                _ => None,
            };
            // As old as the last sign of life: what is noticed after a night's sleep is of the evening.
            self.shared.stale_since = Some(heard_at.map_or(self.shared.now, |at| at.min(self.shared.now)));
        }
        self.shared.conn = conn;
        if is_back {
            self.ask_companies(effects);
            self.report(Event::Live, effects);
            self.load(effects);
        }
    }

    fn answered(&mut self, ticket: u64, answer: &Result<Answer, CallFailure>, effects: &mut Vec<Effect>) {
        let event = Event::Answered { ticket, answer };
        let is_companies = self.companies.take(&event, |answer| match answer {
            Answer::Companies(companies) => Some(companies.clone()),
            _ => None,
        });
        if is_companies {
            if let Some(companies) = &self.companies.value {
                self.shared.companies.clone_from(companies);
            }
            return;
        }
        if self.revealed == Some(ticket) {
            self.revealed = None;
            match answer {
                Ok(Answer::Document(person)) => self.shared.say(Tone::Good, person.clone()),
                Ok(_) => self.shared.say(Tone::Bad, "reveal: the daemon answered something else"),
                Err(error) => self.shared.say(Tone::Bad, format!("reveal: {error}")),
            }
            return;
        }
        if self.evidence == Some(ticket) {
            self.evidence = None;
            match answer {
                Ok(Answer::Document(text)) => {
                    let text = Zeroizing::new(text.clone());
                    effects.push(Effect::Copy { what: "the evidence".to_owned(), text });
                }
                Ok(_) => self.shared.say(Tone::Bad, "evidence: the daemon answered something else"),
                Err(error) => self.shared.say(Tone::Bad, format!("evidence: {error}")),
            }
            return;
        }
        if let Some(Dialog::Confirm(confirm)) = &mut self.dialog {
            let estimate = answer.clone().and_then(|answer| match answer {
                Answer::Estimate(estimate) => Ok(estimate),
                _ => Err(CallFailure::Incompatible("the daemon answered something else".to_owned())),
            });
            confirm.estimated(ticket, estimate);
        }
        self.report(event, effects);
    }

    /// Says what became of a copy: beside the secret only if that is the one that was copied, as the answer comes late.
    fn copied(&mut self, Copied { what, outcome }: Copied) {
        match self.secrets.front() {
            Some(secret) if secret.copied_as() == what => self.note(outcome),
            _ => self.say(outcome),
        }
    }

    fn note(&mut self, outcome: Result<String, LocalError>) {
        match (self.secrets.front_mut(), outcome) {
            (Some(secret), outcome) => secret.say(outcome.unwrap_or_else(|error| error.to_string())),
            (None, outcome) => self.say(outcome),
        }
    }

    fn say(&mut self, outcome: Result<String, LocalError>) {
        match outcome {
            Ok(text) => self.shared.say(Tone::Good, text),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    /// Says why an act is not possible.
    fn refuse(&mut self, reason: &str) {
        self.shared.say(Tone::Bad, format!("not possible: {reason}"));
    }

    /// Draws everything.
    pub fn draw(&self, theme: Theme, frame: &mut Frame<'_>) {
        frame::draw(self, View { shared: &self.shared, theme }, frame);
    }

    /// When something on the screen changes although nothing happens; `None` if nothing does.
    pub fn next_change(&self) -> Option<Timestamp> {
        let now = self.shared.now;
        let retry = match &self.shared.conn {
            Conn::Lost { retry_at, .. } => Some(*retry_at),
            _ => None,
        };
        let texts = self.top().ages(&self.shared).into_iter().chain(retry).chain(self.shared.stale_since);
        let ticks = texts.map(|at| time::next_change(now, at)).min();
        let shown = self.shared.shown().filter(|message| message.tone != Tone::Bad);
        let message = shown.map(|message| message.at + SignedDuration::from_secs(6));
        let masks = self.secrets.iter().filter_map(|secret| secret.shown_until);
        let period = self.top().period(&self.shared);
        let period = period.map(|seconds| self.loaded_at + SignedDuration::from_secs(seconds));
        let companies = self.companies_at.map(|at| at + COMPANIES);
        let due = self.top().due(&self.shared);
        let asks = period.into_iter().chain(companies).chain(due).filter(|_| self.shared.is_live());
        let soonest = ticks.into_iter().chain(message).chain(masks).chain(asks).min()?;
        // What was due already is dealt with at the next second, never in a loop.
        Some(soonest.max(now + SignedDuration::from_millis(10)))
    }
}
