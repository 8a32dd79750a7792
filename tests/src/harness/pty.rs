//! A program on a terminal of its own: keys go in, and what a reader would see comes out.

use std::{
    io::{Read, Write},
    num::NonZeroU16,
    path::Path,
    process::Command,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::wait::{PATIENCE, wait_until};

/// Longer than the console ignores keys for after a dialog opened.
const SETTLE: Duration = Duration::from_millis(200);
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// What a terminal sends for keys that have a name.
const KEYS: [(&str, &str); 16] = [
    ("Enter", "\r"),
    ("Esc", "\x1b"),
    ("Tab", "\t"),
    ("Shift-Tab", "\x1b[Z"),
    ("Space", " "),
    ("Backspace", "\x7f"),
    ("Delete", "\x1b[3~"),
    ("Insert", "\x1b[2~"),
    ("Up", "\x1b[A"),
    ("Down", "\x1b[B"),
    ("Right", "\x1b[C"),
    ("Left", "\x1b[D"),
    ("Home", "\x1b[H"),
    ("End", "\x1b[F"),
    ("PgUp", "\x1b[5~"),
    ("PgDn", "\x1b[6~"),
];

/// What a terminal sends for this key: one that has a name, a letter with `Ctrl-` before it, else what it shows.
#[must_use]
pub fn key(name: &str) -> String {
    if let Some((_, bytes)) = KEYS.iter().find(|(known, _)| *known == name) {
        return (*bytes).to_owned();
    }
    match name.strip_prefix("Ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => char::from(letter & 0x1f).to_string(),
        _ => name.to_owned(),
    }
}

/// What has come out of a terminal so far.
pub struct Shown {
    parser: vt100::Parser,
    raw: Vec<u8>,
    /// How much of `raw` the screen has taken in.
    seen: usize,
    /// When each piece came, and how long `raw` was with it.
    pieces: Vec<(Instant, usize)>,
}

impl Shown {
    fn new((columns, rows): (u16, u16)) -> Self {
        let cells = |count| NonZeroU16::new(count).unwrap();
        let parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        Self { parser, raw: Vec::new(), seen: 0, pieces: Vec::new() }
    }

    /// Takes bytes in as a terminal does that draws no half of a synchronized frame.
    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        self.pieces.push((Instant::now(), self.raw.len()));
        // A mark may come in two pieces.
        let from = self.seen.saturating_sub(BEGIN.len());
        let new = &self.raw[from..];
        let open = rfind(new, BEGIN).filter(|begin| rfind(new, END) < Some(*begin));
        let whole = open.map_or(self.raw.len(), |begin| from + begin).max(self.seen);
        self.parser.process(&self.raw[self.seen..whole]);
        self.seen = whole;
    }

    /// The screen: its cells, its cursor, its modes.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// The screen's text.
    #[must_use]
    pub fn text(&self) -> String {
        self.screen().contents()
    }

    /// Whether the text is somewhere on the screen.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// The first cell of this text, which must be on the screen.
    #[must_use]
    pub fn cell(&self, text: &str) -> &vt100::Cell {
        let (rows, columns) = self.screen().size();
        let places = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let width = columns.get();
        let mut found = places.filter_map(|(row, column)| {
            let rest = self.screen().contents_between(row, column, row, width);
            rest.starts_with(text).then(|| self.screen().cell(row, column)).flatten()
        });
        found.next().unwrap_or_else(|| panic!("no {text:?} on\n{}", self.text()))
    }

    /// Every byte that came.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// When the byte of this number came, if it has.
    #[must_use]
    pub fn arrival(&self, byte: usize) -> Option<Instant> {
        self.pieces.iter().find(|(_, length)| *length > byte).map(|(at, _)| *at)
    }

    /// Where the first frame that starts at this byte or behind it has ended, if it has.
    #[must_use]
    pub fn frame_end(&self, from: usize) -> Option<usize> {
        let found = self.raw[from..].windows(END.len()).position(|window| window == END);
        found.map(|at| from + at + END.len())
    }
}

fn rfind(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).rposition(|window| window == part)
}

/// A program that runs on a pty. It is killed when this is dropped.
pub struct Pty {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    shown: watch::Receiver<Shown>,
    reader: Option<JoinHandle<()>>,
    untouched: String,
    /// Where the program's settings and memory are; gone with it.
    _home: TempDir,
}

impl Pty {
    /// Starts a program on a terminal of this many columns and rows.
    #[must_use]
    pub fn start(program: &Path, args: &[&str], size: (u16, u16)) -> Self {
        Self::start_on("xterm-256color", program, args, size)
    }

    /// Starts a program on a terminal that calls itself so.
    #[must_use]
    pub fn start_on(term: &str, program: &Path, args: &[&str], size: (u16, u16)) -> Self {
        Self::start_with(&[("TERM", term)], program, args, size)
    }

    /// Starts a program with these variables. Settings and memory are empty unless they say where some are.
    #[must_use]
    pub fn start_with(variables: &[(&str, &str)], program: &Path, args: &[&str], size: (u16, u16)) -> Self {
        let home = TempDir::new().unwrap();
        let pair = native_pty_system().openpty(pty_size(size)).unwrap();
        let untouched = modes(&*pair.master);
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        for name in [
            "LEADLINE_SERVER",
            "LEADLINE_DATA_DIR",
            "LEADLINE_DATABASE_URL",
            "LEADLINE_CONFIG",
            "LEADLINE_PROFILE",
            "NO_COLOR",
            "TMUX",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "SSH_CONNECTION",
            "SSH_TTY",
            "PAGER",
            "VISUAL",
            "EDITOR",
            "LC_ALL",
            "LC_CTYPE",
        ] {
            command.env_remove(name);
        }
        command.env("LANG", "C.UTF-8");
        command.env("XDG_CONFIG_HOME", home.path());
        command.env("XDG_STATE_HOME", home.path());
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        // Once the program has the only other end, its end is the end of what can be read.
        drop(pair.slave);
        let reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let (sender, shown) = watch::channel(Shown::new(size));
        let reader = std::thread::spawn(move || read(reader, &sender));
        Self {
            child,
            master: Some(pair.master),
            writer: Some(writer),
            shown,
            reader: Some(reader),
            untouched,
            _home: home,
        }
    }

    /// Types these bytes at once.
    pub fn press(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Types an answer to a dialog that is seen already. What is typed too soon is ignored on purpose, so time itself
    /// is the condition here.
    pub async fn answer(&mut self, keys: &str) {
        sleep(SETTLE).await;
        self.press(keys);
    }

    /// What is shown now.
    #[must_use]
    pub fn shown(&self) -> watch::Ref<'_, Shown> {
        self.shown.borrow()
    }

    /// Waits until the screen is so; panics with the screen if it never is.
    pub async fn wait_for(&mut self, what: &str, mut holds: impl FnMut(&Shown) -> bool) {
        let waited = timeout(PATIENCE, self.shown.wait_for(|shown| holds(shown)));
        let why = match waited.await.map(|held| held.is_ok()) {
            Ok(true) => return,
            Ok(false) => "the program ended before",
            Err(_) => "waited in vain",
        };
        panic!("{why}: {what}\n{}", self.shown.borrow().text());
    }

    /// Waits until all of these are on the screen.
    pub async fn wait_for_all(&mut self, texts: &[&str]) {
        self.wait_for(&format!("{texts:?}"), |shown| texts.iter().all(|text| shown.has(text))).await;
    }

    /// Waits until none of these is on the screen.
    pub async fn wait_for_none(&mut self, texts: &[&str]) {
        self.wait_for(&format!("no {texts:?}"), |shown| !texts.iter().any(|text| shown.has(text))).await;
    }

    /// Waits until the program has ended and all that it wrote has been read.
    pub async fn end(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, async { while self.shown.changed().await.is_ok() {} }).await;
        assert!(ended.is_ok(), "the program goes on\n{}", self.shown.borrow().text());
        self.child.wait().unwrap()
    }

    /// Whether raw mode and the like are as they were before the program started.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.master.as_ref().is_some_and(|master| modes(&**master) == self.untouched)
    }

    /// Makes the terminal larger or smaller.
    pub fn resize(&self, size: (u16, u16)) {
        self.master.as_ref().unwrap().resize(pty_size(size)).unwrap();
    }

    /// Sends the program a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Closes the terminal under the program and waits until the program has ended.
    pub async fn hang_up(mut self) -> ExitStatus {
        // The reader has an end of its own open. It lets go at the next bytes, which the new size brings.
        let (_, unwatched) = watch::channel(Shown::new((1, 1)));
        self.shown = unwatched;
        self.resize((100, 30));
        self.reader.take().unwrap().join().unwrap();
        drop(self.writer.take());
        drop(self.master.take());
        let mut status = None;
        wait_until("the program ends with its terminal", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn pty_size((cols, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols, ..PtySize::default() }
}

/// What `stty` would tell.
fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().unwrap())
}

/// Reads until the program has closed the terminal, or nobody watches any more.
fn read(mut terminal: Box<dyn Read + Send>, shown: &watch::Sender<Shown>) {
    let mut bytes = [0; 64 * 1024];
    // Linux reports an error where others report the end.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        shown.send_modify(|shown| shown.take(&bytes[..count]));
        if shown.is_closed() {
            return;
        }
    }
}
