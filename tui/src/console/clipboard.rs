//! What is copied: handed to the reader's terminal, which has the clipboard, over ssh and from within tmux too; and to the
//! program that has it on the machine that the reader sits at, as not every terminal takes it. What is too long for that
//! goes to a file, so that it can leave all the same.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::Command as _;
use crossterm::clipboard::CopyToClipboard;

/// Terminals drop longer sequences, or hang on them.
const BYTES_MAX: usize = 64 * 1024;
/// How long a program may take to take a text; the screen stands still meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);

/// A program by its name, and what it is told.
pub(super) type Program = (&'static str, &'static [&'static str]);

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
) -> Option<Program> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("SSH_CONNECTION") || is_set("SSH_TTY") {
        return None;
    }
    let programs: [(bool, Program); 4] = [
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

/// Gives a text to a program, which must have taken it when it ends: such programs go on in the background.
pub(super) fn give((name, arguments): Program, text: &str) -> io::Result<()> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It fits into a pipe: nobody waits for a program that does not read.
        stdin.write_all(text.as_bytes())?;
    }
    let begun = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("{name}: {status}"))),
            None if begun.elapsed() >= PATIENCE => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            None => thread::sleep(Duration::from_millis(2)),
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

    #[test]
    fn a_program_has_taken_a_text_or_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copied");
        let script: &'static str = Box::leak(format!("cat > '{}'", path.display()).into_boxed_str());
        let arguments: &'static [&'static str] = Box::leak(Box::new(["-c", script]));
        give(("sh", arguments), "né\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "né\n");
        assert!(give(("false", &[]), "").is_err());
        let late = give(("sleep", &["60"]), "x").unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(give(("no-such-program-here", &[]), "x").is_err());
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
