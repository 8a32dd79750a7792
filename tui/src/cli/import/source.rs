//! The file that is imported, as the messages that carry its lines to the daemon.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::ValueEnum;
use encoding_rs::Encoding;
use leadline_proto::v1;

use super::{
    CliError, NumberedLine,
    csv::Csv,
    lines::{LineError, Lines},
};

/// What a message carries at most, in lines and in bytes.
const LINES_MAX: usize = 200;
const BYTES_MAX: usize = 512 * 1024;
/// How many lines that cannot be sent are kept before they are told.
const BAD_MAX: usize = 1000;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FileFormat {
    /// A heading, then a lead a row
    Csv,
    /// A lead event a line
    Ndjson,
}

/// What the reading side tells the printing side.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// None where that is not known beforehand.
    length: Option<u64>,
    bytes: AtomicU64,
    reported: Mutex<Reported>,
}

#[derive(Debug, Default)]
struct Reported {
    bad: Vec<(u64, LineError)>,
    failure: Option<CliError>,
    read_as: String,
}

impl Seen {
    /// How much of the file is read, from 0 to 1.
    pub(super) fn share(&self) -> Option<f64> {
        let (length, bytes) = (self.length? as f64, self.bytes.load(Ordering::Relaxed) as f64);
        Some(if length > 0.0 { (bytes / length).min(1.0) } else { 1.0 })
    }

    /// The lines that cannot be sent, each told once.
    pub(super) fn take_bad(&self) -> Vec<(u64, LineError)> {
        std::mem::take(&mut self.reported().bad)
    }

    /// Why nothing more was read.
    pub(super) fn take_failure(&self) -> Option<CliError> {
        self.reported().failure.take()
    }

    /// How the file was read, in words.
    pub(super) fn read_as(&self) -> String {
        self.reported().read_as.clone()
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages that a file's lines make.
pub(super) struct Source {
    reading: Reading,
    seen: Arc<Seen>,
    is_over: bool,
}

enum Reading {
    Events(Lines),
    Rows(Box<Csv>),
}

impl Source {
    /// Opens a file, or stdin for `-`. The columns are those of its heading; none if its lines are events.
    pub(super) fn open(
        path: &Path,
        form: Option<FileFormat>,
        encoding: Option<&'static Encoding>,
    ) -> Result<(Self, Vec<String>), CliError> {
        let is_piped = path == Path::new("-");
        let shown = if is_piped { "stdin".to_owned() } else { path.display().to_string() };
        let form = match form {
            None if !is_piped => Some(form_of(path, &shown)?),
            form => form,
        };
        let failed = || CliError::io(format!("cannot read {shown}"));
        let (file, length): (Box<dyn Read + Send>, _) = if is_piped {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(failed())?;
            let about = file.metadata().map_err(failed())?;
            (Box::new(file), about.is_file().then_some(about.len()))
        };
        let seen = Arc::new(Seen { length, ..Seen::default() });
        let meter = Meter { file, seen: Arc::clone(&seen) };
        let mut lines = Lines::open(meter, encoding).map_err(failed())?;
        let is_events = match form {
            Some(form) => form == FileFormat::Ndjson,
            None => lines.first_byte().map_err(failed())? == Some(b'{'),
        };
        let (reading, columns) = if is_events {
            (Reading::Events(lines), Vec::new())
        } else {
            let rows = Csv::open(lines).map_err(failed())?;
            let columns = rows.columns();
            (Reading::Rows(Box::new(rows)), columns)
        };
        Ok((Self { reading, seen, is_over: false }, columns))
    }

    /// What this tells while it is read.
    pub(super) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    fn next_line(&mut self) -> io::Result<Option<NumberedLine>> {
        let lines = match &mut self.reading {
            Reading::Rows(rows) => return rows.next(),
            Reading::Events(lines) => lines,
        };
        loop {
            match lines.next()? {
                Some((_, Ok(text))) if text.trim().is_empty() => {}
                Some((number, text)) => return Ok(Some((number, text.map(String::into_bytes)))),
                None => return Ok(None),
            }
        }
    }

    fn read_as(&self) -> String {
        match &self.reading {
            Reading::Rows(rows) => format!("{}, values separated by {}", rows.encoding(), rows.separator()),
            Reading::Events(lines) => lines.encoding().to_owned(),
        }
    }
}

fn form_of(path: &Path, shown: &str) -> Result<FileFormat, CliError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match &*extension {
        "csv" | "tsv" => Ok(FileFormat::Csv),
        "ndjson" | "jsonl" => Ok(FileFormat::Ndjson),
        "xlsx" | "xls" | "ods" | "numbers" => Err(CliError::Usage(format!(
            "{shown} is a workbook: save the sheet as CSV (UTF-8) and import that"
        ))),
        _ => Err(CliError::Usage(format!(
            "{shown}: its name does not end in .csv or .ndjson; add --format csv or --format ndjson"
        ))),
    }
}

impl Iterator for Source {
    type Item = v1::ImportLeadsRequest;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut lines, mut bytes, mut bad) = (Vec::new(), 0, 0);
        while !self.is_over && lines.len() < LINES_MAX && bytes < BYTES_MAX && bad < BAD_MAX {
            match self.next_line() {
                Ok(Some((number, Ok(json)))) => {
                    bytes += json.len();
                    lines.push(v1::ImportLine { number, json });
                }
                Ok(Some((number, Err(detail)))) => {
                    bad += 1;
                    self.seen.reported().bad.push((number, detail));
                }
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    let failure = CliError::io("cannot read on; what was read is imported")(error);
                    self.seen.reported().failure = Some(failure);
                }
            }
        }
        self.seen.reported().read_as = self.read_as();
        // The answer to a message without lines is when the bad ones are told.
        (!lines.is_empty() || bad == BAD_MAX).then_some(v1::ImportLeadsRequest { start: None, lines })
    }
}

/// A file that notes how much of it is read.
struct Meter {
    file: Box<dyn Read + Send>,
    seen: Arc<Seen>,
}

impl Read for Meter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.seen.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::LINE_MAX, *};

    type Numbered = Vec<(u64, String)>;

    /// The columns, what is sent, what is not, and how it was read.
    fn sent(name: &str, content: &str) -> (Vec<String>, Numbered, Vec<(u64, LineError)>, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let (source, columns) = Source::open(&path, None, None).unwrap();
        let seen = source.seen();
        let lines = source.flat_map(|message| message.lines);
        let lines = lines.map(|line| (line.number, String::from_utf8(line.json).unwrap())).collect();
        assert!((seen.share().unwrap() - 1.0).abs() < f64::EPSILON);
        (columns, lines, seen.take_bad(), seen.read_as())
    }

    #[test]
    fn events_are_sent_as_they_are() {
        let long = "x".repeat(LINE_MAX + 3);
        let (columns, lines, bad, read_as) =
            sent("a.ndjson", &format!("\u{feff}{{\"a\":1.10}}\n\n{long}\n{{}}"));
        assert!(columns.is_empty());
        let lines: Vec<_> = lines.iter().map(|(number, line)| (*number, line.trim_end())).collect();
        assert_eq!(lines, [(1, "{\"a\":1.10}"), (4, "{}")]);
        assert_eq!((&bad[..], &*read_as), (&[(3, LineError::TooLarge)][..], "UTF-8"));
    }

    #[test]
    fn rows_are_sent_as_objects_of_texts() {
        let (columns, lines, bad, read_as) = sent("a.CSV", "email;name\na@b.c;Ann\n1;2;3\n");
        assert_eq!(columns, ["email", "name"]);
        assert_eq!(lines, [(2, r#"{"email":"a@b.c","name":"Ann"}"#.to_owned())]);
        assert_eq!(bad[0].0, 3);
        assert_eq!(read_as, "UTF-8, values separated by semicolons");
    }

    #[test]
    fn a_file_says_by_its_name_how_it_is_read() {
        let reported = |name| Source::open(Path::new(name), None, None).err().unwrap();
        let error = reported("leads.txt");
        assert_eq!(
            (error.exit_code(), &*error.to_string()),
            (2, "leads.txt: its name does not end in .csv or .ndjson; add --format csv or --format ndjson")
        );
        let error = reported("leads.xlsx").to_string();
        assert_eq!(error, "leads.xlsx is a workbook: save the sheet as CSV (UTF-8) and import that");
        assert!(reported("/no/such.csv").to_string().starts_with("cannot read /no/such.csv: "));
        let missing = Source::open(Path::new("/no/such"), Some(FileFormat::Csv), None).err().unwrap();
        assert!(missing.to_string().starts_with("cannot read /no/such: "), "{missing}");
    }
}
