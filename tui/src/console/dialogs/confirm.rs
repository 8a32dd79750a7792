//! A question before an act. What it is about is fixed when it opens: whatever comes in meanwhile changes nothing of it.

mod picture;

use crossterm::event::KeyCode;
use jiff::{Timestamp, tz::TimeZone};

use super::{Editor, QUIET, Then};
use crate::console::data::{CallFailure, Estimate, Mutation};
use crate::console::keymap::Press;
use crate::console::msg::Ticket;
use crate::console::widgets::input::Input;
use crate::moment::ahead_of;
use crate::text::display_text;

/// From this many deliveries on, a bulk act wants its number typed.
const BULK: u64 = 10;

/// What a dry run told.
#[derive(Clone, Debug, PartialEq)]
pub enum Estimating {
    NotNeeded,
    Waiting(Ticket),
    Done(Estimate),
    Failed(CallFailure),
}

/// What must be typed before it may be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weight {
    Light,
    /// The number of deliveries that the dry run finds, if they are many.
    Count,
    /// This number of deliveries, if they are many.
    Known(u64),
    /// This name, or what it does where no keyboard has all of its characters.
    Name(String),
    /// What it does, in the words of its button.
    Verb,
}

/// What has the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    Choice,
    Entry,
    Input,
    Cancel,
    Confirm,
}

/// One way to do it: its name, what it changes, and what else is to be known of it.
#[derive(Clone, Debug)]
pub struct Way {
    pub label: &'static str,
    pub mutation: Mutation,
    pub facts: Vec<String>,
}

/// Several ways to do it.
#[derive(Clone, Debug)]
pub struct Choice {
    pub label: &'static str,
    pub ways: Vec<Way>,
    pub at: usize,
}

/// A question before an act.
#[derive(Clone, Debug)]
pub struct Confirm {
    pub title: &'static str,
    pub verb: &'static str,
    pub question: String,
    /// A sentence each; those that begin with `!` are warnings.
    pub facts: Vec<String>,
    pub mutation: Mutation,
    /// What is being done, for the messages.
    pub what: String,
    pub choice: Option<Choice>,
    pub estimate: Estimating,
    pub weight: Weight,
    /// From this many deliveries on, the number is typed.
    bulk: u64,
    pub input: Input,
    /// What else may be typed: how many a minute a job pushes, or when a snooze ends. Empty for what is chosen.
    pub entry: Input,
    /// By whose clock a time is typed.
    pub zone: TimeZone,
    pub focus: Focus,
    pub opened_at: Timestamp,
    /// The form whose change it is; it comes back whatever the answer.
    pub form: Option<Box<Editor>>,
}

impl Confirm {
    /// A fresh question; Cancel has the focus unless something must be typed first.
    pub fn new(title: &'static str, verb: &'static str, question: String, mutation: Mutation) -> Self {
        Self {
            title,
            verb,
            question,
            facts: Vec::new(),
            mutation,
            what: String::new(),
            choice: None,
            estimate: Estimating::NotNeeded,
            weight: Weight::Light,
            bulk: BULK,
            input: Input::default(),
            entry: Input::default(),
            zone: TimeZone::UTC,
            focus: Focus::Cancel,
            opened_at: Timestamp::UNIX_EPOCH,
            form: None,
        }
    }

    /// Weighs it as heavily as can be: any number is typed, and where there is none, this name, or what it does.
    pub fn weigh(&mut self, name: Option<String>) {
        self.bulk = 1;
        if matches!(self.weight, Weight::Light | Weight::Known(0)) {
            self.weight = name.map_or(Weight::Verb, Weight::Name);
        }
        // Where something is to be chosen, that comes first.
        if self.expected().is_some() && self.focus == Focus::Cancel {
            self.focus = Focus::Input;
        }
    }

    /// What must be typed to confirm.
    pub fn expected(&self) -> Option<String> {
        match (&self.weight, &self.estimate) {
            (Weight::Name(_) | Weight::Verb, _) => {
                Some(self.name().map_or_else(|| self.verb.to_lowercase(), str::to_owned))
            }
            (Weight::Known(count), _) if *count >= self.bulk => Some(count.to_string()),
            (Weight::Count, Estimating::Done(e)) if e.count >= self.bulk => Some(e.count.to_string()),
            _ => None,
        }
    }

    /// The name that must be typed; none where it is shown spelled out, as nobody could type it.
    fn name(&self) -> Option<&str> {
        match &self.weight {
            Weight::Name(name) => Some(name.as_str()).filter(|name| display_text(name) == *name),
            _ => None,
        }
    }

    /// Why it cannot be confirmed yet.
    pub fn obstacle(&self) -> Option<&'static str> {
        match &self.estimate {
            Estimating::Waiting(_) => return Some("the dry run is under way"),
            Estimating::Failed(_) => return Some("the dry run failed"),
            Estimating::Done(e) if e.count == 0 => return Some("there is nothing to do"),
            Estimating::Done(_) | Estimating::NotNeeded => {}
        }
        if let Err(reason) = self.change() {
            return Some(reason);
        }
        match (self.expected(), &self.weight) {
            (Some(expected), _) if expected.trim() == self.input.text().trim() => None,
            (Some(_), _) if self.name().is_some() => Some("type the full name"),
            (Some(_), Weight::Name(_) | Weight::Verb) => Some("type what it does"),
            (Some(_), _) => Some("type the count"),
            (None, _) => None,
        }
    }

    /// The change that confirming asks for.
    pub fn mutation(&self) -> Mutation {
        self.change().unwrap_or_else(|_| self.chosen().clone())
    }

    /// The way that is chosen.
    fn chosen(&self) -> &Mutation {
        let way = self.choice.as_ref().and_then(|choice| choice.ways.get(choice.at));
        way.map_or(&self.mutation, |way| &way.mutation)
    }

    /// The chosen way with what was typed besides, or why that cannot be.
    fn change(&self) -> Result<Mutation, &'static str> {
        let (chosen, text) = (self.chosen().clone(), self.entry.text().trim());
        if text.is_empty() || !self.has_entry() {
            return Ok(chosen);
        }
        if chosen.is_job() {
            let rate = text.parse::<u32>().ok().filter(|rate| (1..=600_000).contains(rate));
            return rate.map(|rate| chosen.paced(Some(rate))).ok_or("type how many a minute, or nothing");
        }
        let at = ahead_of(text, &self.opened_at.to_zoned(self.zone.clone())).ok();
        at.map(|at| chosen.until(Some(at))).ok_or("type a time to come, or nothing")
    }

    /// Whether something may be typed besides.
    const fn has_entry(&self) -> bool {
        self.mutation.is_job() || matches!(&self.mutation, Mutation::Snooze { until, .. } if !until.is_end())
    }

    /// Takes the answer of the dry run; what must be typed then gets the focus.
    pub fn estimated(&mut self, ticket: Ticket, estimate: Result<Estimate, CallFailure>) {
        if self.estimate != Estimating::Waiting(ticket) {
            return;
        }
        self.estimate = estimate.map_or_else(Estimating::Failed, Estimating::Done);
        if self.expected().is_some() {
            self.focus = Focus::Input;
        }
    }

    /// Takes a key in.
    pub fn key(&mut self, press: Press, now: Timestamp) -> Then {
        if press.code == KeyCode::Esc {
            return Then::Close;
        }
        if now.duration_since(self.opened_at) < QUIET {
            return Then::Stay;
        }
        match (press.code, self.focus) {
            (KeyCode::Tab | KeyCode::Down, _) => self.turn(true),
            (KeyCode::BackTab | KeyCode::Up, _) => self.turn(false),
            (KeyCode::Enter, _) if press.repeat => {}
            (KeyCode::Enter, Focus::Cancel) => return Then::Close,
            (KeyCode::Enter, Focus::Confirm) => return self.confirm(),
            // What was typed is the confirmation: one Enter is enough.
            (KeyCode::Enter, Focus::Input) => return self.confirm(),
            (KeyCode::Enter, Focus::Entry) if self.is_typed() => return self.confirm(),
            (KeyCode::Enter, Focus::Choice | Focus::Entry) => self.turn(true),
            (_, Focus::Input) => {
                self.input.key(press);
            }
            (_, Focus::Entry) => {
                self.entry.key(press);
            }
            (KeyCode::Char('y'), _) if !press.ctrl && !press.repeat => return self.confirm(),
            (KeyCode::Char('n' | 'q'), _) => return Then::Close,
            (KeyCode::Char('!'), _) => {
                return match self.change() {
                    Ok(change) => Then::Copy { what: "the command".to_owned(), text: change.command() },
                    Err(reason) => Then::Refuse(reason.to_owned()),
                };
            }
            (KeyCode::Left | KeyCode::Char('h'), Focus::Choice) => return self.choose(false),
            (KeyCode::Right | KeyCode::Char('l' | ' '), Focus::Choice) => return self.choose(true),
            (KeyCode::Left | KeyCode::Right, _) => {
                self.focus = if self.focus == Focus::Cancel { Focus::Confirm } else { Focus::Cancel };
            }
            _ => {}
        }
        Then::Stay
    }

    /// Whether all is typed that it wants.
    fn is_typed(&self) -> bool {
        self.expected().is_some() && self.obstacle().is_none()
    }

    fn confirm(&self) -> Then {
        match self.obstacle() {
            Some(reason) => Then::Refuse(reason.to_owned()),
            None => Then::Change { mutation: self.mutation(), what: self.what.clone() },
        }
    }

    /// Takes the next way; one that is about other deliveries is counted anew.
    fn choose(&mut self, forward: bool) -> Then {
        let about = |mutation: Mutation| match mutation {
            Mutation::Retry { target, .. } => Some(target),
            _ => None,
        };
        let before = about(self.mutation());
        if let Some(choice) = &mut self.choice {
            let len = choice.ways.len();
            choice.at = (choice.at + if forward { 1 } else { len - 1 }) % len;
        }
        if about(self.mutation()) == before { Then::Stay } else { Then::Count }
    }

    /// Moves the focus to the next or previous thing, round and round.
    fn turn(&mut self, forward: bool) {
        let order: Vec<Focus> = [
            self.choice.as_ref().map(|_| Focus::Choice),
            self.has_entry().then_some(Focus::Entry),
            self.expected().map(|_| Focus::Input),
            Some(Focus::Cancel),
            Some(Focus::Confirm),
        ]
        .into_iter()
        .flatten()
        .collect();
        let at = order.iter().position(|focus| *focus == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { order.len() - 1 };
        self.focus = order.get((at + step) % order.len()).copied().unwrap_or(Focus::Cancel);
    }
}

/// So many of a thing, in words.
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
