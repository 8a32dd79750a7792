//! A line on stderr that says how far something is, for people who wait at a terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

/// The line; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    is_shown: AtomicBool,
}

impl Progress {
    /// Shows nothing where stderr is no terminal.
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_shown: AtomicBool::new(false) }
    }

    /// Shows this instead of what was shown before. A terminal that has gone is no reason to stop.
    pub(crate) fn show(&self, text: &str) {
        if self.is_terminal {
            self.is_shown.store(true, Ordering::Relaxed);
            drop(write!(io::stderr(), "\r\x1b[K{text}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // What was never shown is no reason to write to a terminal.
        if self.is_shown.load(Ordering::Relaxed) {
            self.show("");
        }
    }
}
