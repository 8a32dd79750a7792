//! A line on stderr that says how far something is, for people who wait at a terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// The line; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows nothing where stderr is no terminal.
    pub(crate) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal() }
    }

    /// Shows this instead of what was shown before. A terminal that has gone is no reason to stop.
    pub(crate) fn show(&self, text: &str) {
        if self.is_shown {
            drop(write!(io::stderr(), "\r\x1b[K{text}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}
