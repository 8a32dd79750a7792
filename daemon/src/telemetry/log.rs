//! Log lines on stderr, written by a thread of their own: whoever reads the log, work never waits for it and never fails
//! with it. What cannot be written is dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{faults::count_lost_line, repeats::Repeats};

const SLOW_READER: &str = "slow reader";
const NOT_WRITTEN: &str = "not written";
/// Why lines are lost.
pub(super) const LOST_CAUSES: &[&str] = &[SLOW_READER, NOT_WRITTEN];
/// How many lines may wait for a slow reader.
const LINES_MAX: usize = 4096;
/// How long the last lines may take when the process ends.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether lines that repeat are to be reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// So long after the last line there is nothing left to report: a place whose lines are left out writes one every ten
/// seconds. The thread sleeps then.
const QUIET: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_secs(3600);

enum WriterInput {
    Line(Vec<u8>),
    /// Answered when every line before it is written.
    Flush(SyncSender<()>),
}

/// The end at which lines are handed in.
#[derive(Clone)]
pub(super) struct LogLines {
    queue: SyncSender<WriterInput>,
    /// Lines that were lost and not yet reported.
    lost: Arc<AtomicU64>,
}

impl LogLines {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static, repeats: Repeats) -> io::Result<Self> {
        let (queue, lines) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let writer =
            Writer { out, is_torn: false, lost: Arc::clone(&lost), repeats, reported: Instant::now() };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&lines))?;
        Ok(Self { queue, lost })
    }
}

/// One line on its way.
impl Write for LogLines {
    /// Never fails and never waits: a queue that is full loses the line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(WriterInput::Line(line.to_vec())).is_err() {
            lose(&self.lost, SLOW_READER);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Waits for the last lines when it is dropped, though not for long.
pub struct LogGuard(pub(super) LogLines);

impl std::fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogGuard")
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        if self.0.queue.try_send(WriterInput::Flush(done)).is_ok()
            && written.recv_timeout(FLUSH_PATIENCE).is_err()
        {
            lose(&self.0.lost, SLOW_READER);
        }
    }
}

fn lose(lost: &AtomicU64, cause: &'static str) {
    lost.fetch_add(1, Ordering::Relaxed);
    count_lost_line(cause);
}

/// The thread's side.
struct Writer<W> {
    out: W,
    /// A line was cut off midway, so the next one must not go on where it ended.
    is_torn: bool,
    lost: Arc<AtomicU64>,
    repeats: Repeats,
    reported: Instant,
}

impl<W: Write> Writer<W> {
    fn run(mut self, lines: &Receiver<WriterInput>) {
        let mut last_line = Instant::now();
        loop {
            let wait = if last_line.elapsed() < QUIET { REPORT_EVERY } else { REST };
            match lines.recv_timeout(wait) {
                Ok(WriterInput::Line(line)) => {
                    self.write(&line);
                    last_line = Instant::now();
                }
                // Whoever waits may have given up.
                Ok(WriterInput::Flush(done)) => drop(done.try_send(())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.reported.elapsed() >= REPORT_EVERY {
                self.reported = Instant::now();
                self.repeats.report(Instant::now());
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        let start: &[u8] = if self.is_torn { b"\n" } else { b"" };
        let written = self.out.write_all(start).and_then(|()| self.out.write_all(line));
        self.is_torn = written.is_err();
        if self.is_torn {
            lose(&self.lost, NOT_WRITTEN);
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                event = "log_lines_lost",
                lost,
                "log lines were lost: their reader was too slow, or their file cannot be written"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc::channel};

    use super::*;

    /// A file system of a certain size.
    #[derive(Clone, Default)]
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        room: Arc<Mutex<usize>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            let fits = bytes.len().min(*room);
            if fits == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= fits;
            self.written.lock().unwrap().extend(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_whole_lines_follow() {
        let disk = Disk::default();
        *disk.room.lock().unwrap() = 9;
        let mut lines = LogLines::start(disk.clone(), Repeats::default()).unwrap();
        for line in ["first\n", "second\n", "third\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        drop(LogGuard(lines.clone()));
        assert_eq!(lines.lost.load(Ordering::Relaxed), 2);
        *disk.room.lock().unwrap() = 100;
        lines.write_all(b"fourth\n").unwrap();
        drop(LogGuard(lines.clone()));
        assert_eq!(String::from_utf8(disk.written.lock().unwrap().clone()).unwrap(), "first\nsec\nfourth\n");
        assert_eq!(lines.lost.load(Ordering::Relaxed), 0, "they are reported");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        struct Unread(std::sync::mpsc::Receiver<()>);
        impl Write for Unread {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.recv().map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (_never, unread) = channel();
        let mut lines = LogLines::start(Unread(unread), Repeats::default()).unwrap();
        for _ in 0..LINES_MAX + 100 {
            lines.write_all(b"line\n").unwrap();
        }
        assert!(lines.lost.load(Ordering::Relaxed) >= 99);
    }
}
