//! What a screen is: a component with state, keys and a picture. It is told what happens, asks through `Cx`, and draws
//! itself; a new one costs its folder and one line in `screens`.

use std::fmt;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::shared::{Shared, Tone};
use super::data::lead::Record;
use super::data::{Answer, Attempt, CallFailure, Cause, Detail, Done, Flow, Job, Query, Remembered};
use super::dialogs::{Dialog, JumpTarget};
use super::keymap::Action;
use super::msg::{DaemonRequest, Effect, Follow, Ticket};
use super::theme::Theme;
use super::widgets::columns::CellContext;
use super::widgets::document::Doc;
use super::widgets::filter::Filter;
use super::widgets::input::Input;
use super::widgets::list::List;

/// Something that screens are told.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The integrations in `Shared` are others now.
    Integrations,
    /// Attempts of the integration that is followed.
    Attempts {
        integration: &'a str,
        attempts: &'a [Attempt],
        first: bool,
    },
    /// Something happened while activity is followed: it is to be asked what.
    Happened,
    Answered {
        ticket: Ticket,
        answer: &'a Result<Answer, CallFailure>,
    },
    Done {
        done: &'a Done,
    },
    /// The connection came back.
    Live,
    /// Another company is looked at, or all of them: what was asked for before is of no interest any more.
    Narrowed,
}

/// A delivery that an act is about, as it was when it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub delivery: String,
    pub person: String,
    pub integration: String,
    pub at: Option<Timestamp>,
    pub error: String,
    pub is_delivered: bool,
    pub is_skipped: bool,
    pub class: String,
}

/// What an act on a screen would be about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub integration: Option<String>,
    pub company: Option<i64>,
    /// Uuid, company, and who it is.
    pub lead: Option<(String, i64, String)>,
    pub deliveries: Vec<Chosen>,
    pub attempt: Option<Attempt>,
    pub detail: Option<Detail>,
    pub cause: Option<Cause>,
    pub job: Option<Job>,
    pub flow: Option<Flow>,
    /// Which may be meant where there are several.
    pub flows: Vec<Flow>,
    /// What a target made of the lead.
    pub records: Vec<Record>,
    /// What is selected, as JSON.
    pub record: Option<serde_json::Value>,
    /// The pane that has the keys lists nothing: an act on its rows must not turn to something else.
    pub is_rowless: bool,
}

/// Why nothing can be done in a pane that lists nothing.
pub const NO_ROW: &str = "nothing is listed in this pane";

/// What a screen may do besides changing itself.
pub struct Cx<'a> {
    pub shared: &'a mut Shared,
    pub effects: &'a mut Vec<Effect>,
    pub next: &'a mut Vec<Next>,
}

/// What becomes of the stack of screens.
#[derive(Debug)]
pub enum Next {
    Open(Box<dyn Screen>),
    Dialog(Dialog),
    /// Carry an action out as if its key had been pressed.
    Perform(Action),
    /// Start anew with the daemon of a profile, at an integration of it.
    Connect {
        profile: String,
        integration: String,
    },
}

impl Cx<'_> {
    /// Asks the daemon; the answer comes as `Event::Answered` with this ticket.
    pub fn ask(&mut self, query: Query) -> Ticket {
        let ticket = self.shared.ticket();
        self.effects.push(Effect::Net(DaemonRequest::Ask { ticket, query }));
        ticket
    }

    /// Opens another screen on top.
    pub fn open(&mut self, screen: Box<dyn Screen>) {
        self.next.push(Next::Open(screen));
    }

    /// Shows a line for a while, and keeps it among the messages.
    pub fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.shared.say(tone, text);
    }

    /// Says how many marks went with their rows.
    pub fn dropped(&mut self, marks: usize) {
        if marks > 0 {
            let word = if marks == 1 { "mark" } else { "marks" };
            self.say(Tone::Plain, format!("{marks} {word} dropped: the rows are not shown any more"));
        }
    }

    /// Shows a page in the reader's own pager, or in the editor to be read there. It must be a page: these programs let
    /// through what steers a terminal.
    pub fn show_outside(&mut self, action: Action, doc: &Doc) {
        let text = doc.text();
        self.effects.push(if action == Action::InEditor { Effect::View(text) } else { Effect::Page(text) });
    }
}

/// What one looks at while drawing.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub shared: &'a Shared,
    pub theme: Theme,
}

impl<'a> View<'a> {
    /// What cells depend on.
    pub fn look(&self) -> CellContext<'a> {
        CellContext {
            now: self.shared.now,
            zone: &self.shared.setup.zone,
            theme: self.theme,
            is_one_company: self.shared.company.is_some(),
            is_one_integration: false,
            waits: self.shared.waits(),
            error: None,
        }
    }

    /// The same for a list that may have failed to be read. While the daemon is away, that is no news of the list's.
    pub fn look_at<'e>(&self, error: Option<&'e str>) -> CellContext<'e>
    where
        'a: 'e,
    {
        CellContext { error: error.filter(|_| self.shared.is_live()), ..self.look() }
    }
}

/// What the app asks of every screen.
pub trait Screen: fmt::Debug {
    /// Its name in the crumbs.
    fn crumb(&self, shared: &Shared) -> String;

    /// The actions that it takes, besides those that work everywhere.
    fn actions(&self) -> &'static [Action];

    /// Carries one of these out.
    fn perform(&mut self, action: Action, cx: &mut Cx<'_>);

    /// Takes in what happened.
    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>);

    /// Asks for what it needs to be shown; called when it comes to the top or comes back to life.
    fn load(&mut self, cx: &mut Cx<'_>);

    /// Asks anew on the operator's word, for what it would keep otherwise, too.
    fn reload(&mut self, cx: &mut Cx<'_>) {
        self.load(cx);
    }

    /// Brings selections in line with the rows and asks for what the selected one needs; called after every message.
    fn normalize(&mut self, cx: &mut Cx<'_>);

    /// What an act would be about.
    fn subject(&self, shared: &Shared) -> Subject;

    /// The command that shows the same.
    fn command(&self, shared: &Shared) -> String;

    /// Draws itself.
    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect);

    /// The line of text that is being typed; that of its filter, if it has one.
    fn typing(&mut self) -> Option<&mut Input> {
        self.filter_mut().filter(|filter| filter.editing).map(|filter| &mut filter.input)
    }

    /// Whether keys go into a line of text.
    fn is_typing(&self) -> bool {
        self.filter().is_some_and(|filter| filter.editing)
    }

    /// Enter or Esc ended the typing, or it changed: Enter keeps what was typed into a filter, Esc clears it.
    fn typed(&mut self, typed: Typed, _cx: &mut Cx<'_>) {
        let Some(filter) = self.filter_mut() else { return };
        match typed {
            Typed::Changed => return,
            Typed::Entered => {}
            Typed::Escaped => filter.input.clear(),
        }
        filter.editing = false;
    }

    /// Undoes the last step inwards; false if it must be the screen itself that closes.
    fn back(&mut self) -> bool {
        false
    }

    /// The filter that is in force, for the crumbs.
    fn filter(&self) -> Option<&Filter> {
        None
    }

    /// The same, to be typed into.
    fn filter_mut(&mut self) -> Option<&mut Filter> {
        None
    }

    /// What else narrows what is shown.
    fn chips(&self) -> Vec<String> {
        Vec::new()
    }

    /// What it shows as it comes.
    fn follows(&self, _shared: &Shared) -> Option<Follow> {
        None
    }

    /// Whether it shows the daemons of other profiles too.
    fn looks_elsewhere(&self) -> bool {
        false
    }

    /// After so many seconds it loads again by itself.
    fn period(&self, _shared: &Shared) -> Option<i64> {
        None
    }

    /// When it does something by itself that only passing time brings about.
    fn due(&self, _shared: &Shared) -> Option<Timestamp> {
        None
    }

    /// What it has loaded that the palette can jump to.
    fn places(&self, _shared: &Shared) -> Vec<JumpTarget> {
        Vec::new()
    }

    /// The moments whose age it shows.
    fn ages(&self, _shared: &Shared) -> Vec<Timestamp> {
        Vec::new()
    }

    /// What the keys are called here, where the key map's word says too little.
    fn label(&self, _action: Action, _shared: &Shared) -> Option<String> {
        None
    }

    /// The list that has the keys: to be sorted and written to a file.
    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        None
    }

    /// How it is looked at, for the next run.
    fn remember(&mut self) -> Option<Remembered> {
        None
    }

    /// Looks at it as in the last run.
    fn recall(&mut self, _remembered: Remembered) {}
}

/// What became of the text that is being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    Changed,
    Entered,
    Escaped,
}

/// Something that is asked for and shown once it is there; what was there before stays until then.
#[derive(Clone, Debug)]
pub struct Fetch<T> {
    ticket: Option<Ticket>,
    pub value: Option<T>,
    pub error: Option<String>,
}

impl<T> Default for Fetch<T> {
    fn default() -> Self {
        Self { ticket: None, value: None, error: None }
    }
}

impl<T> Fetch<T> {
    /// Asks, unless the answer is under way.
    pub fn ask(&mut self, query: Query, cx: &mut Cx<'_>) {
        if self.ticket.is_none() && cx.shared.is_live() {
            self.ticket = Some(cx.ask(query));
        }
    }

    /// Asks for something else: what is under way is of no interest any more.
    pub fn ask_anew(&mut self, query: Query, cx: &mut Cx<'_>) {
        self.ticket = None;
        self.ask(query, cx);
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether an answer is under way.
    pub const fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }

    /// Takes the answer if it is the one that was asked for; true if it was.
    pub fn take(&mut self, event: &Event<'_>, read: impl FnOnce(&Answer) -> Option<T>) -> bool {
        let Event::Answered { ticket, answer } = event else { return false };
        if self.ticket != Some(*ticket) {
            return false;
        }
        self.ticket = None;
        match answer {
            Ok(answer) => {
                self.value = read(answer);
                self.error = None;
            }
            Err(error) => self.error = Some(error.to_string()),
        }
        true
    }
}
