//! `leadline lead import`: reads a file here and hands its lines to the daemon, which takes them in.

mod csv;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Read, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use futures::{StreamExt as _, stream};
use leadline_proto::v1;

use super::{CliError, Context, input, shape::Imported};
use csv::Csv;

/// The largest line that the daemon takes.
const LINE_MAX: usize = 256 * 1024;
/// What a message carries at most, in lines and in bytes.
const LINES_MAX: usize = 200;
const BYTES_MAX: usize = 512 * 1024;
/// How many problems are printed; all are counted.
const PROBLEMS_MAX: usize = 100;
const BAR: usize = 30;

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = "\
NDJSON: a lead event a line, as for /v1/leads. CSV: a heading, then a lead a row; a column goes to the field of its
name (email, first_name, lead.event_date, …), whatever its case and spaces; any other one must be in the map.
Texts become whole numbers and yes or no where the field is one.

A line that brings no uuid gets one made of its content: importing a file again changes nothing, so a file with
mistakes is corrected and imported again.

Examples:
  leadline lead import leads.ndjson --company 7 --dry-run
  leadline lead import leads.csv --company 7 --map '{\"Wedding day\": \"lead.event_date\", \"Remarks\": null}' \\
      --set '{\"lead.event_type\": \"wedding\", \"lead.gdpr_consent\": true}'")]
pub(crate) struct Import {
    /// A .csv or .ndjson file
    file: PathBuf,
    /// The company whose leads they are
    #[arg(long, value_name = "ID")]
    company: String,
    /// JSON, or @FILE: column or dotted path -> canonical field, null leaves it out
    #[arg(long, value_name = "JSON")]
    map: Option<String>,
    /// JSON, or @FILE: canonical field -> value, for lines that have none
    #[arg(long, value_name = "JSON")]
    set: Option<String>,
    /// Check every line and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    /// Imports, and tells what came of it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let json = |option, given: &Option<String>| {
            given.as_deref().map_or(Ok(String::new()), |given| input::json(option, given))
        };
        let (map, set) = (json("--map", &self.map)?, json("--set", &self.set)?);
        let (source, columns) = Source::open(&self.file)?;
        let start = v1::ImportStart {
            request_id: String::new(),
            company: self.company,
            map,
            columns,
            set,
            dry_run: self.dry_run,
        };
        let seen = Arc::clone(&source.seen);
        let client = context.client().await?;
        let mut answers = client.import_leads(start, stream::iter(source)).await?;
        let mut told = Imported::new(self.dry_run);
        let bar = Bar::new();
        while let Some(answer) = answers.next().await {
            let answer = answer.inspect_err(|_| bar.end())?;
            for line in answer.lines {
                told.count(line, PROBLEMS_MAX);
            }
            for (line, detail) in seen.take_bad() {
                told.refuse(line, detail, PROBLEMS_MAX);
            }
            bar.show(seen.share(), &told);
            if answer.summary.is_some() {
                break;
            }
        }
        bar.end();
        if let Some(failure) = seen.take_failure() {
            context.out.object(&told)?;
            return Err(failure);
        }
        context.out.object(&told)?;
        match told.refused() {
            0 => Ok(()),
            refused => Err(CliError::Failed(format!(
                "{refused} of {} lines are refused: correct them and import the file again, what is in stays as it is",
                told.lines()
            ))),
        }
    }
}

/// What the reading side tells the printing side.
#[derive(Debug, Default)]
struct Seen {
    length: u64,
    bytes: AtomicU64,
    bad: Mutex<Vec<(u64, String)>>,
    failure: Mutex<Option<CliError>>,
}

impl Seen {
    /// How much of the file is read, from 0 to 1.
    fn share(&self) -> f64 {
        let bytes = self.bytes.load(Ordering::Relaxed) as f64;
        if self.length == 0 { 1.0 } else { (bytes / self.length as f64).min(1.0) }
    }

    fn take_bad(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut *self.bad.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_failure(&self) -> Option<CliError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The messages that a file's lines make.
struct Source {
    lines: Lines,
    seen: Arc<Seen>,
    is_over: bool,
}

enum Lines {
    Events(Counted, u64),
    Rows(Csv<Counted>),
}

/// A line to be sent, or why it is not.
type Line = (u64, Result<Vec<u8>, String>);

impl Source {
    /// Opens a file. The columns are those of its heading; none if its lines are events.
    fn open(path: &Path) -> Result<(Self, Vec<String>), CliError> {
        let shown = path.display();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_rows = match &*extension {
            "csv" | "tsv" => true,
            "ndjson" | "jsonl" => false,
            _ => {
                return Err(CliError::Usage(format!(
                    "{shown}: its name must end in .csv or .ndjson, which says how to read it"
                )));
            }
        };
        let doing = || format!("cannot read {shown}");
        let file = File::open(path).map_err(CliError::io(doing()))?;
        let length = file.metadata().map_err(CliError::io(doing()))?.len();
        let seen = Arc::new(Seen { length, ..Seen::default() });
        let reader = BufReader::new(Meter { file, seen: Arc::clone(&seen) });
        let (lines, columns) = if is_rows {
            let rows = Csv::open(reader).map_err(CliError::io(doing()))?;
            let columns = rows.columns().to_vec();
            (Lines::Rows(rows), columns)
        } else {
            (Lines::Events(reader, 0), Vec::new())
        };
        Ok((Self { lines, seen, is_over: false }, columns))
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        match &mut self.lines {
            Lines::Rows(rows) => rows.next(),
            Lines::Events(reader, number) => loop {
                let mut line = Vec::new();
                *number += 1;
                if reader.by_ref().take(LINE_MAX as u64 + 2).read_until(b'\n', &mut line)? == 0 {
                    return Ok(None);
                }
                if line.len() > LINE_MAX + 1 {
                    if line.last() != Some(&b'\n') {
                        skip_line(reader)?;
                    }
                    return Ok(Some((*number, Err("is larger than 256 KiB".to_owned()))));
                }
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return Ok(Some((*number, Ok(line))));
                }
            },
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = reader.fill_buf()?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(chunk.len(), |at| at + 1);
        reader.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}

impl Iterator for Source {
    type Item = v1::ImportLeadsRequest;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while !self.is_over && lines.len() < LINES_MAX && bytes < BYTES_MAX {
            match self.next_line() {
                Ok(Some((number, Ok(json)))) => {
                    bytes += json.len();
                    lines.push(v1::ImportLine { number, json });
                }
                Ok(Some((number, Err(detail)))) => {
                    self.seen.bad.lock().unwrap_or_else(PoisonError::into_inner).push((number, detail));
                }
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    let failure = CliError::io("cannot read on; what was read is imported")(error);
                    *self.seen.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                }
            }
        }
        (!lines.is_empty()).then_some(v1::ImportLeadsRequest { start: None, lines })
    }
}

type Counted = BufReader<Meter>;

/// A file that notes how much of it is read.
#[derive(Debug)]
struct Meter {
    file: File,
    seen: Arc<Seen>,
}

impl Read for Meter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.seen.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// How far it is, on stderr where a person sees it.
struct Bar {
    is_shown: bool,
}

impl Bar {
    fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal() }
    }

    fn show(&self, share: f64, told: &Imported) {
        if self.is_shown {
            // If nobody can be told, the import goes on.
            drop(write!(io::stderr(), "\r{}", drawn(share, told.lines(), told.refused())));
        }
    }

    fn end(&self) {
        if self.is_shown {
            drop(writeln!(io::stderr()));
        }
    }
}

fn drawn(share: f64, lines: u64, refused: u64) -> String {
    let full = (share * BAR as f64) as usize;
    let bar = "#".repeat(full) + &"-".repeat(BAR.saturating_sub(full));
    format!("[{bar}] {:3.0} %  {lines} lines, {refused} refused", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbered = Vec<(u64, String)>;

    /// The columns, what is sent, and what is not.
    fn sent(name: &str, content: &str) -> (Vec<String>, Numbered, Numbered) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let (source, columns) = Source::open(&path).unwrap();
        let seen = Arc::clone(&source.seen);
        let lines = source.flat_map(|message| message.lines);
        let lines = lines.map(|line| (line.number, String::from_utf8(line.json).unwrap())).collect();
        assert!((seen.share() - 1.0).abs() < f64::EPSILON);
        (columns, lines, seen.take_bad())
    }

    #[test]
    fn events_are_sent_as_they_are() {
        let long = "x".repeat(LINE_MAX + 1);
        let (columns, lines, bad) = sent("a.ndjson", &format!("{{\"a\":1.10}}\n\n{long}\n{{}}"));
        assert!(columns.is_empty());
        let lines: Vec<_> = lines.iter().map(|(number, line)| (*number, line.trim_end())).collect();
        assert_eq!(lines, [(1, "{\"a\":1.10}"), (4, "{}")]);
        assert_eq!(bad, [(3, "is larger than 256 KiB".to_owned())]);
    }

    #[test]
    fn rows_are_sent_as_objects_of_texts() {
        let (columns, lines, bad) = sent("a.CSV", "email,name\na@b.c,Ann\n1,2,3\n");
        assert_eq!(columns, ["email", "name"]);
        assert_eq!(lines, [(2, r#"{"email":"a@b.c","name":"Ann"}"#.to_owned())]);
        assert_eq!(bad, [(3, "has 3 columns, the heading has 2".to_owned())]);
    }

    #[test]
    fn a_file_says_by_its_name_how_it_is_read() {
        let error = Source::open(Path::new("leads.txt")).err().unwrap();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().ends_with("must end in .csv or .ndjson, which says how to read it"));
        let missing = Source::open(Path::new("/no/such.csv")).err().unwrap();
        assert!(missing.to_string().starts_with("cannot read /no/such.csv: "), "{missing}");
    }

    #[test]
    fn the_bar_fills() {
        assert_eq!(drawn(0.5, 10, 1), "[###############---------------]  50 %  10 lines, 1 refused");
        assert_eq!(drawn(1.0, 20, 0), "[##############################] 100 %  20 lines, 0 refused");
    }
}
