//! What is copied: handed to the reader's terminal, which has the clipboard, over ssh and from within tmux too. What is
//! too long for that goes to a file, so that it can leave all the same.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crossterm::Command as _;
use crossterm::clipboard::CopyToClipboard;

/// Terminals drop longer sequences, or hang on them.
const BYTES_MAX: usize = 64 * 1024;

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
