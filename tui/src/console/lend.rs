//! Programs of the reader's own that get the terminal for a while: pager, editor, commands.

use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, ExitStatus, Stdio};

use super::msg::ShellLine;

/// What an editor may leave behind: more is no mapping.
const EDITED_MAX: u64 = 1024 * 1024;

/// Shows a text in a pager; a reader who leaves early breaks the pipe, and that is no error.
pub(super) fn page(pager: &str, text: &str) -> io::Result<()> {
    let mut child = Command::new("sh").arg("-c").arg(pager).stdin(Stdio::piped()).spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let ended = child.wait()?;
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => success(ended),
    }
}

/// Lets an editor change a text, in a file that only its owner can read and that is gone afterwards.
pub(super) fn edit(editor: &str, text: &str) -> io::Result<String> {
    let mut file = tempfile::Builder::new().prefix("leadline-").suffix(".json").tempfile()?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    let line = format!("{editor} \"$1\"");
    success(Command::new("sh").arg("-c").arg(line).arg("sh").arg(file.path()).status()?)?;
    // Editors put a new file in the place of the old one.
    let mut edited = String::new();
    fs::File::open(file.path())?.take(EDITED_MAX).read_to_string(&mut edited)?;
    Ok(edited)
}

/// Shows a text in an editor, in a file that only its owner can read, and nobody change by mistake; it is gone afterwards.
pub(super) fn view(editor: &str, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix("leadline-").suffix(".txt").tempfile()?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o400))?;
    let line = format!("{editor} \"$1\"");
    success(Command::new("sh").arg("-c").arg(line).arg("sh").arg(file.path()).status()?)
}

/// Carries a command out; what it printed stays until Enter is pressed, if that is wanted.
pub(super) fn run(program: &ShellLine) -> io::Result<()> {
    let variables = program.variables.iter().map(|(name, value)| (*name, value));
    let ended = Command::new("sh").arg("-c").arg(&program.line).envs(variables).status()?;
    if program.waits {
        print!("\nEnter goes back to the console ");
        io::stdout().flush()?;
        io::stdin().lock().read_line(&mut String::new())?;
    }
    success(ended)
}

fn success(ended: ExitStatus) -> io::Result<()> {
    if ended.success() { Ok(()) } else { Err(io::Error::other(ended.to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_gives_back_what_it_made() {
        assert_eq!(edit("printf '%s' '{\"a\": 1}' >>", "{}\n").unwrap(), "{}\n{\"a\": 1}");
        let error = edit("false", "{}").unwrap_err().to_string();
        assert_eq!(error, "exit status: 1");
    }

    #[test]
    fn what_is_only_read_lies_in_a_file_that_nobody_else_reads() {
        let dir = tempfile::tempdir().unwrap();
        let seen = dir.path().join("seen").display().to_string();
        view(&format!("f() {{ stat -c '%a %n' \"$1\" > {seen}; cat \"$1\" >> {seen}; }}; f"), "a page\n")
            .unwrap();
        let seen = fs::read_to_string(seen).unwrap();
        let (mode, path) = seen.lines().next().unwrap().split_once(' ').unwrap();
        assert_eq!((mode, &*seen), ("400", &*format!("400 {path}\na page\n")));
        assert!(!fs::exists(path).unwrap(), "{path} is left");
        assert_eq!(view("false", "x").unwrap_err().to_string(), "exit status: 1");
    }

    #[test]
    fn a_command_gets_what_is_selected_and_no_text_becomes_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let program = |line: &str| ShellLine {
            name: "x".to_owned(),
            line: line.to_owned(),
            variables: vec![
                ("SELECTED_PERSON", "O'Neil\"; touch no $(touch no)".to_owned()),
                ("OUT", path.display().to_string()),
            ],
            waits: false,
        };
        run(&program("printf %s \"$SELECTED_PERSON\" > \"$OUT\"")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "O'Neil\"; touch no $(touch no)");
        assert_eq!(run(&program("exit 3")).unwrap_err().to_string(), "exit status: 3");
    }
}
