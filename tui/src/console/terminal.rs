//! The terminal: taken over and given back whole, whatever happens. Every frame leaves in one write.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::style::{Print, force_color_output};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell as BufferCell;
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Frame, Terminal};

/// Clicks and the wheel, no movement: each of these would be written, and read, for nothing.
const MOUSE_ON: &str = "\u{1b}[?1000h\u{1b}[?1006h";
const MOUSE_OFF: &str = "\u{1b}[?1006l\u{1b}[?1000l";
/// Whether the terminal tells of the mouse: whoever gives it back, be it a panic, must end that.
static HAS_MOUSE: AtomicBool = AtomicBool::new(false);

type Hook = Box<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync>;

/// The terminal while the console has it.
pub struct ConsoleTerminal {
    terminal: Terminal<Quiet>,
    active: Rc<Cell<bool>>,
    hook: Arc<Hook>,
    wants_mouse: bool,
}

impl ConsoleTerminal {
    /// Takes the terminal over. A panic on this thread gives it back before its message is printed; a panic on
    /// another thread says nothing, because the console goes on and reports it itself.
    pub fn enter() -> io::Result<Self> {
        let hook: Arc<Hook> = Arc::new(panic::take_hook());
        let (previous, owner) = (Arc::clone(&hook), thread::current().id());
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == owner {
                // The message matters more than a terminal that cannot be reached.
                drop(restore());
                previous(info);
            }
        }));
        // Which colours there are is the theme's to say, also where `NO_COLOR` is set and some are asked for.
        force_color_output(true);
        let active = Rc::new(Cell::new(false));
        let frames = Frames { bytes: Vec::new(), active: Rc::clone(&active) };
        let terminal = Terminal::new(Quiet(CrosstermBackend::new(frames)))?;
        let mut screen = Self { terminal, active, hook, wants_mouse: false };
        screen.resume()?;
        Ok(screen)
    }

    /// Takes the terminal over again, after `suspend` or after somebody else used it.
    pub fn resume(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        self.active.set(true);
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        self.listen_to_mouse(self.wants_mouse)
    }

    /// Has the terminal tell of clicks and the wheel, or keep them: its own selection wants them.
    pub fn listen_to_mouse(&mut self, is_on: bool) -> io::Result<()> {
        self.wants_mouse = is_on;
        match is_on {
            true => {
                HAS_MOUSE.store(true, Ordering::Relaxed);
                execute!(io::stdout(), Print(MOUSE_ON))
            }
            false => leave_mouse(),
        }
    }

    /// Gives the terminal back.
    pub fn suspend(&mut self) -> io::Result<()> {
        if self.active.replace(false) { restore() } else { Ok(()) }
    }

    /// The size of the terminal.
    pub fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// Forgets what is on the screen, so that the next frame paints all of it.
    pub fn clear(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask where the cursor is, and the answer would have to come through the input.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Draws a frame.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(view)?;
        Ok(())
    }

    /// Writes what the terminal is to carry out, as it is.
    pub fn send(&mut self, sequence: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(sequence.as_bytes())?;
        out.flush()
    }
}

impl Drop for ConsoleTerminal {
    fn drop(&mut self) {
        // Nobody is left to tell of a terminal that is gone.
        drop(self.suspend());
        if !thread::panicking() {
            let previous = Arc::clone(&self.hook);
            panic::set_hook(Box::new(move |info| previous(info)));
        }
    }
}

fn leave_mouse() -> io::Result<()> {
    if HAS_MOUSE.swap(false, Ordering::Relaxed) { execute!(io::stdout(), Print(MOUSE_OFF)) } else { Ok(()) }
}

fn restore() -> io::Result<()> {
    let left = leave_mouse();
    let shown = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    disable_raw_mode().and(left).and(shown)
}

/// The backend, except that a frame without a change writes nothing: the cursor was hidden when the terminal was taken
/// over and stays hidden, and colours are not set where nothing is drawn.
struct Quiet(CrosstermBackend<Frames>);

impl Backend for Quiet {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a BufferCell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_some() { self.0.draw(content) } else { Ok(()) }
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.0.show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.0.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.0.clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        self.0.size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.0)
    }
}

/// Collects what a frame writes and lets it out at once, marked so that the terminal shows no half of it.
struct Frames {
    bytes: Vec<u8>,
    /// While the terminal is not ours nothing goes out: ratatui would write to it once more when it is dropped, and
    /// panic if it has hung up.
    active: Rc<Cell<bool>>,
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.active.get() {
            self.bytes.clear();
        }
        if self.bytes.is_empty() {
            return Ok(());
        }
        let mut whole = Vec::with_capacity(self.bytes.len() + 16);
        queue!(whole, BeginSynchronizedUpdate)?;
        whole.append(&mut self.bytes);
        queue!(whole, EndSynchronizedUpdate)?;
        let mut out = io::stdout().lock();
        out.write_all(&whole)?;
        out.flush()
    }
}

/// Why a text was not written to a file.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("{0} exists already: name a new file")]
    Exists(String),
    #[error("{0} could not be written: {1}")]
    NotWritten(String, io::Error),
}

/// Writes a text to a new file that only its owner can read; an existing file is never touched.
pub fn save(path: &str, text: &str) -> Result<(), SaveError> {
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let write = |mut file: std::fs::File| {
        file.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        file.sync_all()
    };
    open.and_then(write).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SaveError::Exists(path.to_owned()),
        _ => SaveError::NotWritten(path.to_owned(), error),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_goes_to_a_new_private_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.secret");
        let path = path.to_str().unwrap();
        save(path, "whsec_1").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "whsec_1\n");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(save(path, "other").unwrap_err().to_string().contains("exists already"));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "whsec_1\n");
        assert!(save("/nonexistent/x", "y").unwrap_err().to_string().contains("could not be written"));
    }
}
