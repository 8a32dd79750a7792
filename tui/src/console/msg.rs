//! What can happen to the console and what it may ask for: the only way in and out of `update`.

use zeroize::Zeroizing;

use super::clipboard::EMPTIED;
use super::data::{Answer, Attempt, CallFailure, Conn, Done, Integration, Mutation, Query, Secret, Who};
use super::keymap::Press;

/// Names a request of this console, so that its answer finds the one who asked.
pub type Ticket = u64;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Msg {
    Key(Press),
    Paste(String),
    Resize(u16, u16),
    /// Time has passed, nothing else.
    Tick,
    /// The program was stopped and runs again; the screen may hold anything.
    Resumed,
    Mouse(Mouse),
    Conn(Conn),
    Who(Who),
    Snapshot {
        version: String,
        integrations: Vec<Integration>,
    },
    Changes {
        changed: Vec<Integration>,
        removed: Vec<String>,
    },
    /// What the daemon of another profile said.
    Elsewhere {
        profile: String,
        said: Box<Self>,
    },
    /// Attempts of the integration that is followed; the first message has the last 50.
    Attempts {
        integration: String,
        attempts: Vec<Attempt>,
        first: bool,
    },
    /// Something happened while activity is followed.
    Happened,
    Answered {
        ticket: Ticket,
        answer: Result<Answer, CallFailure>,
    },
    /// The change was put back to be sent again: the connection broke before the answer.
    Delayed {
        ticket: Ticket,
    },
    Done {
        ticket: Ticket,
        done: Result<Done, CallFailure>,
    },
    /// Something that was asked for in passing was refused.
    Refused(String),
    /// What the reader's own editor made of a text.
    Edited(Result<String, LocalError>),
    Copied(Copied),
    Saved(Result<String, LocalError>),
}

/// What became of a text on its way to the clipboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What the text was called by whoever had it copied.
    pub what: String,
    pub outcome: Result<String, LocalError>,
}

/// Why the reader's own machine did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    #[error("the editor `{editor}` could not be run: {cause}")]
    Editor { editor: String, cause: String },
    #[error("the terminal could not be written to: {0}")]
    Terminal(String),
    #[error("{what} is too long for the clipboard ({bytes} bytes), and {folder}: {cause}")]
    TooLong { what: String, bytes: usize, folder: String, cause: String },
    #[error("{program} did not take an empty text ({cause}) and may hold what was there; {emptied}", emptied = EMPTIED)]
    NotEmptied { program: &'static str, cause: String },
    /// The task that copied ended without an answer.
    #[error("copying broke: {0}")]
    Copying(String),
    /// A file was not written, with all that is to be said of it.
    #[error("{0}")]
    NotSaved(String),
}

/// What a mouse did, where one is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mouse {
    WheelUp,
    WheelDown,
    Click { column: u16, row: u16 },
}

/// A line for the shell that gets the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellLine {
    pub name: String,
    pub line: String,
    pub variables: Vec<(&'static str, String)>,
    /// What it printed stays until Enter is pressed.
    pub waits: bool,
}

/// Something to be done outside.
#[derive(Clone, Debug)]
pub enum Effect {
    Net(DaemonRequest),
    /// Puts a text on the clipboard; an empty one is to take away what is there. The answer is `Msg::Copied`.
    Copy {
        what: String,
        text: Zeroizing<String>,
    },
    /// Writes the secret to a new file that only its owner can read.
    Save {
        path: String,
        secret: Secret,
    },
    /// Writes a list to a new file.
    Write {
        path: String,
        text: String,
    },
    /// Shows text in the reader's own pager.
    Page(String),
    /// Shows text in the reader's own editor, to be read.
    View(String),
    /// Lets the reader's own editor change a text; the answer is `Msg::Edited`.
    Edit(String),
    /// Carries a command of the reader's own out on the terminal.
    Run(ShellLine),
    /// Starts anew with the daemon of a profile, and opens an integration there if one is named.
    Connect {
        profile: String,
        integration: Option<String>,
    },
    /// Looks at the daemons of the other profiles too, or at none of them any more.
    LookElsewhere(bool),
    /// Listens to the mouse, or leaves it to the terminal.
    Mouse(bool),
    /// Paints everything anew.
    Redraw,
    Suspend,
    Quit,
}

/// What is told of as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The attempts of an integration.
    Integration(String),
    /// That something happened, at one company or at any.
    Activity(Option<i64>),
}

/// A request to the actor that owns the connection.
#[derive(Clone, Debug)]
pub enum DaemonRequest {
    /// Try to connect now.
    Reconnect,
    /// The machine slept: what waits for a time has waited too long.
    Woke,
    /// Follow this, and nothing else.
    Follow(Option<Follow>),
    Ask {
        ticket: Ticket,
        query: Query,
    },
    Mutate {
        ticket: Ticket,
        mutation: Mutation,
    },
}
