//! The loop: whatever happens becomes a message, `update` answers with effects, and a frame follows if one is due.
//! It sleeps until something happens or something on the screen grows older.

use std::env;
use std::io::{self, Write as _};
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use crossterm::event::{Event, EventStream, MouseButton, MouseEvent, MouseEventKind};
use futures::{StreamExt as _, future::OptionFuture, poll};
use jiff::Timestamp;
use signal_hook::{consts::SIGTSTP, low_level};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::app::App;
use super::clipboard::{self, Clip, Clipboard, Taken};
use super::data::Conn;
use super::keymap::Press;
use super::lend;
use super::msg::{Copied, DaemonRequest, Effect, LocalError, Mouse, Msg, ShellLine};
use super::net::{Actor, Dial, Lookout, Other};
use super::session::Store;
use super::sleep::Awake;
use super::terminal::{ConsoleTerminal, save};
use super::theme::Theme;
use crate::config;

/// No more than one frame in this time.
const FRAME: Duration = Duration::from_millis(16);
/// What is taken in at once before a frame is drawn.
const BURST: usize = 256;
/// The exit code of a program that its terminal has left.
const HANG_UP: u8 = 128 + 1;

/// The console while it runs.
pub struct Runtime {
    app: App,
    theme: Theme,
    screen: ConsoleTerminal,
    input: EventStream,
    net: mpsc::UnboundedSender<DaemonRequest>,
    commands: Option<mpsc::UnboundedReceiver<DaemonRequest>>,
    dirty: bool,
    drawn_at: Instant,
    awake: Awake,
    store: Option<Store>,
    lookout: Option<Lookout>,
    clipboard: Clipboard,
    /// Nothing comes from the connection any more, which has been said.
    is_cut_off: bool,
    exit: Option<Exit>,
}

/// Why the loop ends.
enum Exit {
    Code(u8),
    Profile(Destination),
}

/// The profile that the console is to start anew with, and the integration that is to be opened there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub profile: String,
    pub integration: Option<String>,
}

/// How a run of the console ended.
#[derive(Debug)]
pub enum ConsoleEnd {
    Code(ExitCode),
    /// It is to start anew with the daemon of this profile.
    Profile(Destination),
}

/// What wakes the loop.
enum Wake {
    Event(Option<std::io::Result<Event>>),
    Net(Option<Msg>),
    Copied(Copied),
    Stop(u8),
    Suspend,
    Continue,
    Time,
}

impl Runtime {
    /// Ready to run; nothing has been drawn.
    pub fn new(app: App, theme: Theme, screen: ConsoleTerminal, store: Option<Store>) -> Self {
        let (net, commands) = mpsc::unbounded_channel();
        let commands = Some(commands);
        let input = EventStream::new();
        let drawn_at = Instant::now();
        Self {
            app,
            theme,
            screen,
            input,
            net,
            commands,
            dirty: true,
            drawn_at,
            awake: Awake::since(drawn_at, Timestamp::now()),
            store,
            lookout: None,
            clipboard: Clipboard::default(),
            is_cut_off: false,
            exit: None,
        }
    }

    /// Runs until it is quit or told to stop. The first frame comes before the first dial.
    pub async fn run(mut self, dial: impl Dial, others: Vec<Other>) -> anyhow::Result<ConsoleEnd> {
        self.draw()?;
        let (out, mut messages) = mpsc::channel(BURST);
        if !others.is_empty() {
            self.lookout = Some(Lookout::new(others, out.clone()));
        }
        // Dropped at the end, which ends the actor, whatever it waits for.
        let mut tasks = JoinSet::new();
        if let Some(commands) = self.commands.take() {
            tasks.spawn(async move {
                break_if_asked("task");
                Actor::new(dial, out, commands).run().await;
            });
        }
        let mut signals = Signals::new()?;
        while self.exit.is_none() {
            let wake = self.wait(&mut signals, &mut messages).await;
            self.take(wake)?;
            for _ in 0..BURST {
                // Polled with the task's own waker: the stream keeps the first it is given until the next event.
                let wake = match poll!(self.input.next()) {
                    Poll::Ready(event) => Wake::Event(event),
                    Poll::Pending => match messages.try_recv() {
                        Ok(msg) => Wake::Net(Some(msg)),
                        Err(_) => break,
                    },
                };
                self.take(wake)?;
            }
            if self.dirty && self.drawn_at.elapsed() >= FRAME && self.exit.is_none() {
                self.draw()?;
            }
        }
        let given_back = self.screen.suspend();
        if let Some(Err(error)) = self.store.as_ref().map(|store| store.write(self.app.remember())) {
            complain(&format!("what was looked at could not be remembered: {error}"));
        }
        // What was copied or cleared just before is to be done afterwards, whatever ends the console.
        for error in self.clipboard.finish().await {
            complain(&error);
        }
        match self.exit {
            // A terminal that hung up cannot be given back.
            Some(Exit::Code(code)) if code > 0 => return Ok(ConsoleEnd::Code(ExitCode::from(code))),
            _ => given_back.context("the terminal could not be restored")?,
        }
        Ok(match self.exit {
            Some(Exit::Profile(destination)) => ConsoleEnd::Profile(destination),
            _ => ConsoleEnd::Code(ExitCode::SUCCESS),
        })
    }

    async fn wait(&mut self, signals: &mut Signals, messages: &mut mpsc::Receiver<Msg>) -> Wake {
        let time = pin!(OptionFuture::from(self.wake_at().map(sleep_until)));
        tokio::select! {
            biased;
            wake = signals.next() => wake,
            event = self.input.next() => Wake::Event(event),
            copied = self.clipboard.next(), if self.clipboard.is_busy() => Wake::Copied(copied),
            msg = messages.recv(), if !self.is_cut_off => Wake::Net(msg),
            Some(()) = time => Wake::Time,
        }
    }

    /// When the next frame is due, or something on the screen reads differently.
    fn wake_at(&self) -> Option<Instant> {
        let frame = self.dirty.then(|| self.drawn_at + FRAME);
        let tick = self.app.next_change().map(|at| {
            let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            Instant::now() + left
        });
        frame.into_iter().chain(tick).min()
    }

    fn take(&mut self, wake: Wake) -> anyhow::Result<()> {
        match wake {
            Wake::Event(Some(Ok(event))) => {
                if let Some(msg) = message(event) {
                    self.handle(msg)?;
                }
            }
            // The terminal has hung up, and its signal is still on the way.
            Wake::Event(Some(Err(_)) | None) => self.exit = Some(Exit::Code(HANG_UP)),
            Wake::Net(Some(msg)) => self.handle(msg)?,
            Wake::Copied(copied) => self.handle(Msg::Copied(copied))?,
            Wake::Net(None) => {
                self.is_cut_off = true;
                let reason = "the connection broke inside the console: start it again".to_owned();
                self.handle(Msg::Conn(Conn::Incompatible(reason)))?;
            }
            Wake::Stop(code) => self.exit = Some(Exit::Code(code)),
            Wake::Suspend => self.suspend()?,
            Wake::Continue => self.resume()?,
            // A frame that is due needs no tick besides.
            Wake::Time if self.dirty => {}
            Wake::Time => self.handle(Msg::Tick)?,
        }
        Ok(())
    }

    fn handle(&mut self, msg: Msg) -> anyhow::Result<()> {
        if matches!(msg, Msg::Key(_)) {
            break_if_asked("key");
        }
        self.dirty = true;
        let now = Timestamp::now();
        if self.awake.slept(Instant::now(), now) {
            // What has ended needs no waking.
            drop(self.net.send(DaemonRequest::Woke));
            self.lookout.iter().for_each(Lookout::wake);
        }
        for effect in self.app.update(now, msg) {
            self.perform(effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> anyhow::Result<()> {
        match effect {
            Effect::Net(command) => {
                if self.net.send(command).is_err() {
                    let reason = "the connection broke inside the console: start it again".to_owned();
                    self.app.shared.conn = Conn::Incompatible(reason);
                }
            }
            Effect::Copy { what, text } => {
                if let Some(copied) = self.copy(what, text) {
                    self.handle(Msg::Copied(copied))?;
                }
            }
            Effect::Save { path, secret } => {
                self.handle(Msg::Saved(written(&path, secret.reveal())))?;
            }
            Effect::Write { path, text } => {
                self.handle(Msg::Saved(written(&path, &text)))?;
            }
            Effect::Page(text) => {
                let pager = program("PAGER", "less");
                if let Err(error) = self.lend(|| lend::page(&pager, &text))? {
                    self.handle(Msg::Refused(format!("the pager `{pager}` could not be run: {error}")))?;
                }
            }
            Effect::View(text) => {
                let editor = editor();
                if let Err(error) = self.lend(|| lend::view(&editor, &text))? {
                    let error = LocalError::Editor { editor, cause: error.to_string() };
                    self.handle(Msg::Refused(error.to_string()))?;
                }
            }
            Effect::Edit(text) => {
                let editor = editor();
                let edited = self.lend(|| lend::edit(&editor, &text))?;
                let edited = edited.map_err(|error| LocalError::Editor { editor, cause: error.to_string() });
                self.handle(Msg::Edited(edited))?;
            }
            Effect::Run(program) => self.run_own(&program)?,
            Effect::Redraw => self.screen.clear()?,
            Effect::Mouse(is_on) => self.screen.listen_to_mouse(is_on)?,
            Effect::Suspend => self.suspend()?,
            Effect::Quit => self.exit = Some(Exit::Code(0)),
            Effect::Connect { profile, integration } => {
                self.exit = Some(Exit::Profile(Destination { profile, integration }));
            }
            Effect::LookElsewhere(looks) => {
                if let Some(lookout) = &mut self.lookout {
                    lookout.look(looks);
                }
            }
        }
        Ok(())
    }

    /// Puts a text on the reader's clipboard, or into a file if it is too long for that; says what became of it, unless the
    /// machine's own program has yet to take it.
    fn copy(&mut self, what: String, text: Zeroizing<String>) -> Option<Copied> {
        if clipboard::is_too_long(&text) {
            return Some(Copied { outcome: kept(&what, &text), what });
        }
        let is_in_tmux = env::var_os("TMUX").is_some_and(|value| !value.is_empty());
        let sequence = clipboard::sequence(&text, is_in_tmux).map(Zeroizing::new);
        let sent = sequence.map_err(io::Error::other).and_then(|sequence| self.screen.send(&sequence));
        if let Err(error) = sent {
            let outcome = Err(LocalError::Terminal(error.to_string()));
            return Some(Copied { what, outcome });
        }
        let clip = Clip { what, text, is_in_tmux };
        match clipboard::program(|name| env::var(name).ok(), clipboard::is_in_path) {
            Some(program) => self.clipboard.give(clip, program),
            None => Some(clip.copied(&Taken::Nobody)),
        }
    }

    /// Lends the terminal to another program. Nothing is read from the terminal meanwhile: this loop stands still.
    fn lend<T>(&mut self, act: impl FnOnce() -> T) -> anyhow::Result<T> {
        self.screen.suspend()?;
        // The old one may hold keys that were meant for the program, and would have taken them from it.
        self.input = EventStream::new();
        let outcome = act();
        self.resume()?;
        Ok(outcome)
    }

    fn run_own(&mut self, program: &ShellLine) -> anyhow::Result<()> {
        if let Err(error) = self.lend(|| lend::run(program))? {
            self.handle(Msg::Refused(format!("{} failed: {error}", program.name)))?;
        }
        Ok(())
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let (app, theme) = (&self.app, self.theme);
        self.screen.draw(|frame| app.draw(theme, frame)).context("the terminal could not be written")?;
        self.dirty = false;
        self.drawn_at = Instant::now();
        Ok(())
    }

    /// Stops as any program does on Ctrl-z; the shell wakes it again.
    fn suspend(&mut self) -> anyhow::Result<()> {
        self.screen.suspend()?;
        low_level::emulate_default_handler(SIGTSTP)?;
        self.resume()
    }

    fn resume(&mut self) -> anyhow::Result<()> {
        self.screen.resume()?;
        self.screen.clear()?;
        let size = self.screen.size()?;
        self.handle(Msg::Resize(size.width, size.height))?;
        self.handle(Msg::Resumed)
    }
}

/// Says what went wrong once the terminal is given back. One that has hung up cannot be written to, which is no reason to
/// panic.
fn complain(error: &str) {
    drop(writeln!(io::stderr(), "leadline: {error}"));
}

/// Panics at a place that a test names, so that it can be seen what becomes of the terminal. No release has this.
fn break_if_asked(place: &str) {
    let is_asked =
        cfg!(debug_assertions) && env::var("LEADLINE_TEST_PANIC").is_ok_and(|asked| asked == place);
    assert!(!is_asked, "broken for a test: {place}");
}

/// Writes what is too long for a clipboard to a file of the reader's own, and says which.
fn kept(what: &str, text: &str) -> Result<String, LocalError> {
    let (bytes, folder) = (text.len(), config::state_folder().unwrap_or_else(env::temp_dir));
    let path = clipboard::keep(&folder, what, text).map_err(|error| LocalError::TooLong {
        what: what.to_owned(),
        bytes,
        folder: folder.display().to_string(),
        cause: error.to_string(),
    })?;
    let path = path.display();
    Ok(format!("too long for the clipboard: written to {path} ({what}, {bytes} bytes, yours only)"))
}

/// Writes a text to a new file, and says what became of it.
fn written(path: &str, text: &str) -> Result<String, LocalError> {
    let said = |()| format!("written to {path}, readable by you only");
    save(path, text).map(said).map_err(|error| LocalError::NotSaved(error.to_string()))
}

/// The reader's program for this, by the variable that names it.
fn program(variable: &str, usual: &str) -> String {
    env::var(variable).ok().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| usual.to_owned())
}

fn editor() -> String {
    let editor = env::var("VISUAL").ok().filter(|editor| !editor.trim().is_empty());
    editor.unwrap_or_else(|| program("EDITOR", "vi"))
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => Press::from_event(key).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(width, height) => Some(Msg::Resize(width, height)),
        Event::Mouse(event) => mouse(event).map(Msg::Mouse),
        Event::FocusGained | Event::FocusLost => None,
    }
}

/// The wheel and clicks; where the mouse is dragged, nobody is interested.
const fn mouse(event: MouseEvent) -> Option<Mouse> {
    match event.kind {
        MouseEventKind::ScrollUp => Some(Mouse::WheelUp),
        MouseEventKind::ScrollDown => Some(Mouse::WheelDown),
        MouseEventKind::Down(MouseButton::Left) => {
            Some(Mouse::Click { column: event.column, row: event.row })
        }
        _ => None,
    }
}

/// The signals that a program with a terminal must answer.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    stop: Signal,
    go_on: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: open(SignalKind::terminate())?,
            hang_up: open(SignalKind::hangup())?,
            interrupt: open(SignalKind::interrupt())?,
            stop: open(SignalKind::from_raw(SIGTSTP))?,
            go_on: open(SignalKind::from_raw(signal_hook::consts::SIGCONT))?,
        })
    }

    async fn next(&mut self) -> Wake {
        tokio::select! {
            _ = self.hang_up.recv() => Wake::Stop(HANG_UP),
            _ = self.interrupt.recv() => Wake::Stop(128 + 2),
            _ = self.terminate.recv() => Wake::Stop(128 + 15),
            _ = self.stop.recv() => Wake::Suspend,
            _ = self.go_on.recv() => Wake::Continue,
        }
    }
}
