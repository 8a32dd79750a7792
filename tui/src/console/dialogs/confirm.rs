//! A question before an act. What it is about is fixed when it opens: whatever comes in meanwhile changes nothing of it.

use crossterm::event::KeyCode;
use jiff::{Timestamp, tz::TimeZone};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::{Editor, QUIET, Then};
use crate::console::data::change::Snooze;
use crate::console::data::{Estimate, Failure, Mutation};
use crate::console::keymap::Press;
use crate::console::msg::Ticket;
use crate::console::screen::View;
use crate::console::theme::{Role, Theme};
use crate::console::widgets::draw::{input, popup, safe, wrapped};
use crate::console::widgets::input::Input;
use crate::console::widgets::time;
use crate::moment::ahead_of;
use crate::text::display_text;

/// From this many deliveries on, a bulk act wants its number typed.
const BULK: u64 = 10;
const WIDTH: u16 = 76;
/// What may be typed where nothing is.
const OR_A_PACE: &str = ", or so many a minute for each integration";

/// What a dry run told.
#[derive(Clone, Debug, PartialEq)]
pub enum Estimating {
    NotNeeded,
    Waiting(Ticket),
    Done(Estimate),
    Failed(Failure),
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
    pub fn estimated(&mut self, ticket: Ticket, estimate: Result<Estimate, Failure>) {
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

    /// Draws the question.
    pub fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let width = usize::from(WIDTH.min(area.width.saturating_sub(2))).saturating_sub(6);
        let mut lines = vec![Line::default()];
        lines.extend(wrapped(&self.question, "", width, Role::Strong, theme));
        lines.push(Line::default());
        let way = self.choice.as_ref().and_then(|choice| choice.ways.get(choice.at));
        let bullet = theme.pick("• ", "* ");
        for fact in self.facts.iter().chain(way.iter().flat_map(|way| &way.facts)) {
            match fact.strip_prefix('!') {
                Some(warning) => lines.extend(wrapped(warning.trim_start(), "! ", width, Role::Warn, theme)),
                None => lines.extend(wrapped(fact, bullet, width, Role::Plain, theme)),
            }
        }
        lines.extend(self.dry_run(width, theme));
        if let Some(choice) = &self.choice {
            lines.push(Line::default());
            lines.push(Line::from(theme.span(Role::Quiet, format!("{}:", choice.label))));
            lines.extend(self.ways(choice, width, theme));
        }
        lines.extend(self.entered(width, theme));
        lines.extend(self.typed(width, theme));
        lines.push(Line::default());
        let obstacle = view.shared.locked().or_else(|| self.obstacle().map(str::to_owned));
        lines.push(self.buttons(obstacle, theme));
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
        let inner = popup(frame, area, self.title, (WIDTH, height), theme);
        // Where it does not fit, the buttons must still be seen.
        let hidden = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inner.height);
        frame.render_widget(Paragraph::new(lines).scroll((hidden, 0)), inner);
    }

    fn dry_run(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        match &self.estimate {
            Estimating::NotNeeded => Vec::new(),
            Estimating::Waiting(_) => {
                vec![Line::from(theme.span(Role::Quiet, theme.spell("dry run: counting…")))]
            }
            Estimating::Failed(error) => wrapped(&error.to_string(), "dry run: ", width, Role::Bad, theme),
            Estimating::Done(estimate) => {
                let mut lines = wrapped(&estimated(estimate), "dry run: ", width, Role::Plain, theme);
                let names: Vec<&str> = estimate.sample.iter().take(4).map(String::as_str).collect();
                if estimate.count > 1 && !names.is_empty() {
                    let more = if estimate.count > names.len() as u64 { "…" } else { "" };
                    let text = theme.spell(&format!("{}{more}", names.join(", ")));
                    lines.extend(wrapped(&text, "", width, Role::Quiet, theme));
                }
                lines
            }
        }
    }

    /// The ways, side by side as far as there is room.
    fn ways(&self, choice: &Choice, width: usize, theme: Theme) -> Vec<Line<'static>> {
        let (mut lines, mut spans, mut used) = (Vec::new(), Vec::new(), 0);
        for (at, way) in choice.ways.iter().enumerate() {
            let is_chosen = at == choice.at;
            let role = match (is_chosen, self.focus) {
                (true, Focus::Choice) => Role::Selected,
                (true, _) => Role::Strong,
                _ => Role::Quiet,
            };
            let text = format!("{} {}", if is_chosen { "(x)" } else { "( )" }, way.label);
            if used + text.len() > width && used > 0 {
                lines.push(Line::from(std::mem::take(&mut spans)));
                used = 0;
            }
            used += text.len() + 3;
            spans.extend([theme.span(role, text), Span::raw("   ")]);
        }
        lines.push(Line::from(spans));
        lines
    }

    /// What may be typed besides: how fast, where a job carries it out; until when, where it is a snooze.
    fn entered(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        if !self.has_entry() {
            return Vec::new();
        }
        let (before, room, nothing, behind) = match self.mutation.is_job() {
            true => ("at most ", 9, "as many as it takes", " a minute, for each integration".to_owned()),
            false => ("or until ", 18, "as chosen", self.end()),
        };
        let mut line = vec![theme.span(Role::Quiet, before)];
        match (self.focus, self.entry.text()) {
            (Focus::Entry, _) => line.extend(input(&self.entry, room.min(width), theme)),
            (_, "") => line.push(theme.span(Role::Strong, nothing)),
            (_, text) => line.push(theme.span(Role::Strong, safe(text, room, theme))),
        }
        let is_open = self.focus != Focus::Entry && self.entry.text().is_empty();
        let behind = if is_open && self.mutation.is_job() { OR_A_PACE.to_owned() } else { behind };
        line.push(theme.span(Role::Quiet, behind));
        vec![Line::default(), Line::from(line)]
    }

    /// When the snooze ends that is typed, else how a time is typed.
    fn end(&self) -> String {
        match self.change() {
            Ok(Mutation::Snooze { until: Snooze::Until(at), .. }) => {
                format!("   {}", time::moment(at, &self.zone))
            }
            _ => "   14:00, tomorrow 8:00, 4h".to_owned(),
        }
    }

    fn typed(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        let Some(expected) = self.expected() else { return Vec::new() };
        let mut lines = vec![Line::default()];
        if expected.width() + 18 <= width {
            lines.push(Line::from(vec![
                theme.span(Role::Quiet, "Type "),
                theme.span(Role::Strong, safe(&expected, width, theme)),
                theme.span(Role::Quiet, " to confirm:"),
            ]));
        } else {
            lines.push(Line::from(theme.span(Role::Quiet, "Type this to confirm, all of it:")));
            lines.extend(wrapped(&expected, "  ", width, Role::Strong, theme));
        }
        let mut line = vec![theme.span(Role::Accent, theme.pick("┃ ", "> "))];
        if self.focus == Focus::Input {
            line.extend(input(&self.input, width.saturating_sub(2), theme));
        } else {
            line.push(Span::raw(safe(self.input.text(), width.saturating_sub(2), theme)));
        }
        lines.push(Line::from(line));
        lines
    }

    fn buttons(&self, obstacle: Option<String>, theme: Theme) -> Line<'static> {
        let focused = |focus: Focus| if self.focus == focus { Role::Selected } else { Role::Plain };
        let key = match (self.expected().is_some(), self.focus) {
            (true, Focus::Input) => "Enter  ",
            (true, _) => "",
            (false, _) => "y  ",
        };
        let mut spans = vec![theme.span(focused(Focus::Cancel), "[ Cancel ]"), Span::raw("    ")];
        match obstacle {
            None => {
                spans.push(theme.span(Role::Strong, key));
                spans.push(theme.span(focused(Focus::Confirm), format!("[ {} ]", self.verb)));
            }
            Some(reason) => {
                spans.push(theme.span(Role::Quiet, format!("  {}  ", self.verb)));
                spans.push(theme.span(Role::Warn, format!(" {reason}")));
            }
        }
        Line::from(spans)
    }
}

/// So many of a thing, in words.
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn estimated(estimate: &Estimate) -> String {
    let deliveries = count(estimate.count, "delivery", "deliveries");
    let taken = match estimate.seconds {
        seconds if seconds < 1.0 => "under a second".to_owned(),
        seconds => format!("about {}", time::span(seconds.ceil() as i64)),
    };
    format!("{deliveries}, {taken}")
}
