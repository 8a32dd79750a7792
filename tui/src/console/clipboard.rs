//! What is copied: handed to the reader's terminal, which has the clipboard, over ssh and from within tmux too; and to the
//! program that has it on the machine that the reader sits at, as not every terminal takes it. What is too long for that
//! goes to a file, so that it can leave all the same.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crossterm::Command as _;
use crossterm::clipboard::CopyToClipboard;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::msg::{Copied, LocalError};

/// Terminals drop longer sequences, or hang on them.
const BYTES_MAX: usize = 64 * 1024;
/// How long a program may take to take a text; whoever quits meanwhile waits no longer for all of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is said where a program is left alone with a text at the end.
const LEFT: &str = "the clipboard's program did not take what was copied or cleared last in time: it may hold what was \
                    there before";

/// What is known of a terminal's clipboard that is to be empty.
pub(super) const EMPTIED: &str =
    "the terminal was asked to empty its clipboard, and gives no answer (OSC 52)";

/// A program by its name, and what it is told.
pub(super) type ClipboardProgram = (&'static str, &'static [&'static str]);

/// Whether a terminal would not take it.
pub(super) const fn is_too_long(text: &str) -> bool {
    text.len() > BYTES_MAX
}

/// What puts a text on the clipboard of the terminal that reads this. tmux takes such a sequence for itself, or drops it,
/// unless it is handed through: it gets both, as its settings decide which one counts.
pub(super) fn sequence(text: &str, is_in_tmux: bool) -> Result<String, std::fmt::Error> {
    let mut plain = String::new();
    CopyToClipboard::to_clipboard_from(text.as_bytes()).write_ansi(&mut plain)?;
    let mut sequence = String::new();
    if is_in_tmux {
        write!(sequence, "\u{1b}Ptmux;{}\u{1b}\\", plain.replace('\u{1b}', "\u{1b}\u{1b}"))?;
    }
    Ok(sequence + &plain)
}

/// The program that has the clipboard of the machine that the reader sits at; none over ssh, where that is another one.
pub(super) fn program(
    variable: impl Fn(&str) -> Option<String>,
    is_there: impl Fn(&str) -> bool,
) -> Option<ClipboardProgram> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("SSH_CONNECTION") || is_set("SSH_TTY") {
        return None;
    }
    let programs: [(bool, ClipboardProgram); 4] = [
        (cfg!(target_os = "macos"), ("pbcopy", &[])),
        (is_set("WAYLAND_DISPLAY"), ("wl-copy", &[])),
        (is_set("DISPLAY"), ("xclip", &["-selection", "clipboard"])),
        (is_set("DISPLAY"), ("xsel", &["--clipboard", "--input"])),
    ];
    let usable = programs.into_iter().filter(|(is_usable, _)| *is_usable);
    usable.map(|(_, program)| program).find(|(name, _)| is_there(name))
}

/// Whether a program of this name is in the path.
pub(super) fn is_in_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A text on its way to the clipboard.
pub(super) struct Clip {
    pub what: String,
    /// Empty to take away what is there.
    pub text: Zeroizing<String>,
    pub is_in_tmux: bool,
}

/// What is known of the program that has the machine's clipboard.
pub(super) enum Taken {
    /// There is none here: the terminal alone was asked.
    Nobody,
    By(&'static str),
    Not(&'static str, io::Error),
    /// It was still busy when the next text came, which it got instead.
    Overtaken(&'static str),
}

impl Clip {
    /// What became of it, as far as that is known: a terminal never answers.
    pub(super) fn said(&self, taken: &Taken) -> Result<String, LocalError> {
        if self.text.is_empty() {
            return Self::cleared(taken);
        }
        let handed = if self.is_in_tmux { ", handed through tmux" } else { "" };
        let by = match taken {
            Taken::Nobody => String::new(),
            Taken::By(name) => format!(" and {name}"),
            Taken::Not(name, error) => format!(", not to {name}: {error}"),
            Taken::Overtaken(name) => format!(", not to {name}: something else was copied next"),
        };
        let bytes = self.text.len();
        Ok(format!("copied {}, {bytes} bytes, through the terminal (OSC 52{handed}){by}", self.what))
    }

    /// The same, with what it is about.
    pub(super) fn copied(&self, taken: &Taken) -> Copied {
        Copied { what: self.what.clone(), outcome: self.said(taken) }
    }

    fn cleared(taken: &Taken) -> Result<String, LocalError> {
        match taken {
            Taken::Nobody => Ok(format!("{EMPTIED}: paste somewhere to see whether it did")),
            Taken::By(name) => Ok(format!(
                "{name} took an empty text; {EMPTIED}. A clipboard manager may have kept what was there"
            )),
            Taken::Not(program, error) => Err(LocalError::NotEmptied { program, cause: error.to_string() }),
            Taken::Overtaken(name) => Ok(format!("{name} got what was copied next instead of an empty text")),
        }
    }
}

/// The machine's clipboard: its program gets one text after the other, and the last one last. One text may wait; the next
/// takes its place.
pub(super) struct Clipboard {
    given: JoinSet<Copied>,
    waiting: Option<(Clip, ClipboardProgram)>,
    patience: Duration,
}

impl Default for Clipboard {
    fn default() -> Self {
        Self { given: JoinSet::new(), waiting: None, patience: PATIENCE }
    }
}

impl Clipboard {
    /// Gives a text to the program, once that is free; what is said of another one that waited for it.
    pub(super) fn give(&mut self, clip: Clip, program: ClipboardProgram) -> Option<Copied> {
        if self.given.is_empty() {
            self.start(clip, program);
            return None;
        }
        let (overtaken, (name, _)) = self.waiting.replace((clip, program))?;
        Some(overtaken.copied(&Taken::Overtaken(name)))
    }

    fn start(&mut self, clip: Clip, program: ClipboardProgram) {
        let patience = self.patience;
        self.given.spawn(async move {
            let taken = match give(program, &clip.text, patience).await {
                Ok(()) => Taken::By(program.0),
                Err(error) => Taken::Not(program.0, error),
            };
            clip.copied(&taken)
        });
    }

    /// Whether something is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.given.is_empty()
    }

    /// What became of the next text; for ever under way where none is.
    pub(super) async fn next(&mut self) -> Copied {
        let Some(ended) = self.given.join_next().await else { return future::pending().await };
        if let Some((clip, program)) = self.waiting.take() {
            self.start(clip, program);
        }
        ended.unwrap_or_else(|error| {
            let outcome = Err(LocalError::Copying(error.to_string()));
            Copied { what: String::new(), outcome }
        })
    }

    /// Waits for what is under way and what waits behind it, and says what failed.
    pub(super) async fn finish(&mut self) -> Vec<String> {
        let mut errors = Vec::new();
        let ended = timeout(self.patience, async {
            while self.is_busy() {
                errors.extend(self.next().await.outcome.err().map(|error| error.to_string()));
            }
        });
        if ended.await.is_err() {
            self.given.shutdown().await;
            self.waiting = None;
            errors.push(LEFT.to_owned());
        }
        errors
    }
}

/// Gives a text to a program, which must have taken it when it ends: such programs go on in the background. It is in a group
/// of its own, so that Ctrl-C on the terminal is not for it, and is waited for whatever becomes of it.
async fn give((name, arguments): ClipboardProgram, text: &str, patience: Duration) -> io::Result<()> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let mut group = ProcessGroup(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let stdin = child.stdin.take();
    let taken = async {
        let written = match stdin {
            Some(mut stdin) => stdin.write_all(text.as_bytes()).await,
            None => Ok(()),
        };
        let status = child.wait().await?;
        if status.success() { written } else { Err(io::Error::other(status.to_string())) }
    };
    if let Ok(taken) = timeout(patience, taken).await {
        group.0 = None;
        return taken;
    }
    drop(group);
    child.kill().await?;
    Err(io::Error::new(io::ErrorKind::TimedOut, "it did not take it in time"))
}

/// A program and whatever it has started, all killed when this is dropped; none of them once it has ended by itself.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Whoever is gone already needs no killing.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// Writes a text to a new file in this folder that only its owner can read.
pub(super) fn keep(folder: &Path, what: &str, text: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let word: String =
        what.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let word = word.trim_start_matches("the-");
    let mut file = tempfile::Builder::new().prefix(&format!("{word}-")).suffix(".txt").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    let (_, path) = file.keep().map_err(|error| error.error)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn tmux_is_asked_to_hand_it_through() {
        let plain = "\u{1b}]52;c;aGk=\u{1b}\\";
        assert_eq!(sequence("hi", false).unwrap(), plain);
        let handed = "\u{1b}Ptmux;\u{1b}\u{1b}]52;c;aGk=\u{1b}\u{1b}\\\u{1b}\\";
        assert_eq!(sequence("hi", true).unwrap(), format!("{handed}{plain}"));
    }

    #[test]
    fn the_clipboard_is_that_of_the_machine_one_sits_at() {
        let found = |set: &[&str], installed: &[&str]| {
            let variable = |name: &str| set.contains(&name).then(|| "x".to_owned());
            program(variable, |name| installed.contains(&name)).map(|(name, _)| name)
        };
        if !cfg!(target_os = "macos") {
            assert_eq!(found(&[], &["wl-copy", "xclip"]), None, "there is no screen");
            assert_eq!(found(&["WAYLAND_DISPLAY", "DISPLAY"], &["xclip", "wl-copy"]), Some("wl-copy"));
            assert_eq!(found(&["WAYLAND_DISPLAY", "DISPLAY"], &["xsel"]), Some("xsel"));
            assert_eq!(found(&["DISPLAY"], &["wl-copy"]), None);
        }
        assert_eq!(found(&["DISPLAY", "SSH_CONNECTION"], &["xclip"]), None);
        assert_eq!(found(&["WAYLAND_DISPLAY", "SSH_TTY"], &["wl-copy"]), None);
    }

    /// A line for the shell as a program, for as long as the tests run.
    fn shell(line: String) -> ClipboardProgram {
        ("sh", Box::leak(Box::new(["-c", &*line.leak()])))
    }

    /// So long nothing takes that is to end by itself, whatever else the machine has to do.
    const PATIENT: Duration = Duration::from_secs(60);

    fn patient() -> Clipboard {
        Clipboard { patience: PATIENT, ..Clipboard::default() }
    }

    fn clip(text: &str) -> Clip {
        Clip { what: "it".to_owned(), text: Zeroizing::new(text.to_owned()), is_in_tmux: false }
    }

    #[tokio::test]
    async fn a_program_has_taken_a_text_or_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copied");
        give(shell(format!("cat > '{}'", path.display())), "né\n", PATIENT).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "né\n");
        assert!(give(("false", &[]), "", PATIENT).await.is_err());
        assert!(give(("no-such-program-here", &[]), "x", PATIENT).await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_reads_nothing_is_waited_for_within_bounds_and_leaves_no_trace() {
        // No pipe has room for it.
        let long = "x".repeat(1024 * 1024);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        for (rest, kind) in
            [("exec sleep 60", io::ErrorKind::TimedOut), ("exec 0<&-; exit 3", io::ErrorKind::Other)]
        {
            let error = give(shell(format!("echo $$ > '{}'; {rest}", path.display())), &long, PATIENCE).await;
            assert_eq!(error.unwrap_err().kind(), kind, "{rest}");
            let process = format!("/proc/{}", fs::read_to_string(&path).unwrap().trim());
            assert!(!Path::new(&process).exists(), "{rest}: it is left");
        }
    }

    #[tokio::test]
    async fn ctrl_c_on_the_terminal_is_not_for_the_program() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("group");
        let line = format!("cut -d ' ' -f 1,5 /proc/$$/stat > '{}'; cat", path.display());
        give(shell(line), "x", PATIENT).await.unwrap();
        let ids = fs::read_to_string(&path).unwrap();
        let (process, group) = ids.trim().split_once(' ').unwrap();
        assert_eq!(process, group, "it leads a group of its own");
    }

    #[tokio::test]
    async fn what_was_copied_last_is_what_the_program_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copied");
        let program = shell(format!("cat >> '{}'", path.display()));
        let mut clipboard = patient();
        assert!(clipboard.give(clip("1"), program).is_none() && clipboard.give(clip("2"), program).is_none());
        let overtaken = clipboard.give(clip("3"), program).unwrap().outcome.unwrap();
        assert!(overtaken.ends_with("(OSC 52), not to sh: something else was copied next"), "{overtaken}");
        for _ in 0..2 {
            assert!(
                clipboard.next().await.outcome.unwrap().ends_with("through the terminal (OSC 52) and sh")
            );
        }
        assert!(!clipboard.is_busy());
        assert_eq!(fs::read_to_string(&path).unwrap(), "13");
        clipboard.give(clip("4"), program);
        assert!(clipboard.finish().await.is_empty());
        assert_eq!(fs::read_to_string(&path).unwrap(), "134");
    }

    #[tokio::test]
    async fn what_fails_at_the_end_is_said() {
        let mut clipboard = patient();
        clipboard.give(clip("x"), ("true", &[]));
        clipboard.give(clip(""), ("false", &[]));
        let errors = clipboard.finish().await;
        assert!(matches!(&errors[..], [error] if error.starts_with("false did not take")), "{errors:?}");
    }

    #[tokio::test]
    async fn the_end_waits_no_longer_for_two_than_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let mut clipboard = Clipboard::default();
        clipboard.give(clip("x"), shell("sleep 600".to_owned()));
        clipboard.give(clip(""), shell(format!("echo $$ > '{}'; sleep 600; true", path.display())));
        // Whoever gave each of them its own time would hear of both.
        assert_eq!(clipboard.finish().await.last().map(String::as_str), Some(LEFT));
        assert!(!clipboard.is_busy());
        if let Ok(second) = fs::read_to_string(&path) {
            has_ended(second.trim()).await;
        }
    }

    #[tokio::test]
    async fn what_a_program_has_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let line = format!("sleep 600 & echo $! > '{}.new'; mv '{0}.new' '{0}'; wait; true", path.display());
        tokio::select! {
            ended = give(shell(line), "x", PATIENT) => panic!("{ended:?}"),
            () = until(|| path.exists()) => {}
        }
        has_ended(fs::read_to_string(&path).unwrap().trim()).await;
    }

    /// Waits until something is so.
    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until this process runs no more. It may be left as a zombie where nobody reaps orphans.
    async fn has_ended(process: &str) {
        let path = format!("/proc/{process}/stat");
        let is_gone = || fs::read_to_string(&path).map_or(true, |stat| stat.contains(") Z "));
        timeout(PATIENT, until(is_gone)).await.unwrap();
    }

    #[test]
    fn nobody_says_that_a_clipboard_is_empty_who_does_not_know_it() {
        let failed = || Taken::Not("wl-copy", io::Error::other("exit status: 1"));
        for taken in [Taken::Nobody, Taken::By("wl-copy"), failed(), Taken::Overtaken("wl-copy")] {
            let said = clip("").said(&taken).unwrap_or_else(|error| error.to_string());
            assert!(!said.contains("is empty") && !said.contains("cleared"), "{said}");
        }
        let asked = clip("").said(&Taken::Nobody).unwrap();
        assert!(asked.contains("gives no answer (OSC 52): paste somewhere to see"), "{asked}");
        let kept = clip("").said(&failed()).unwrap_err().to_string();
        assert!(
            kept.starts_with("wl-copy did not take an empty text (exit status: 1) and may hold"),
            "{kept}"
        );
        let copied = clip("x").said(&failed()).unwrap();
        assert_eq!(
            copied,
            "copied it, 1 bytes, through the terminal (OSC 52), not to wl-copy: exit status: 1"
        );
    }

    #[test]
    fn what_is_too_long_lies_in_a_file_of_ones_own() {
        assert!(!is_too_long(&"x".repeat(64 * 1024)) && is_too_long(&"x".repeat(64 * 1024 + 1)));
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let [one, two] = [1, 2].map(|n| keep(&folder, "the evidence/../x", &format!("page {n}")).unwrap());
        assert_ne!(one, two);
        assert_eq!((one.parent(), fs::read_to_string(&one).unwrap()), (Some(&*folder), "page 1".to_owned()));
        assert!(one.file_name().unwrap().to_str().unwrap().starts_with("evidence-"), "{one:?}");
        assert_eq!(fs::metadata(&two).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(keep(Path::new("/dev/null/x"), "it", "x").is_err());
    }
}
