//! Rows of a CSV file as spreadsheets write them: a heading, then rows, of which a broken one costs only itself.
//!
//! The core of the `csv` crate parts a record into its values. What it cannot do is go on behind a quotation mark that nobody
//! closes, so where a record ends is found here.

use std::{collections::HashSet, io};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{
    LINE_MAX, NumberedLine,
    lines::{LineError, Lines, TextLine},
};

/// The separators that a heading may use.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A file whose heading is read.
pub(super) struct Csv {
    lines: Lines,
    separator: u8,
    splitter: Splitter,
    /// As in the heading; empty where it names none.
    heading: Vec<String>,
}

/// A record of one line or more, or why it is none.
type CsvRecord = TextLine;

impl Csv {
    /// Reads the heading.
    pub(super) fn open(mut lines: Lines) -> io::Result<Self> {
        lines.end_at_return();
        let mut separator = None;
        loop {
            let Some((number, heading)) = record(&mut lines, separator)? else {
                return Err(io::Error::other("the file is empty: its first row must name the columns"));
            };
            let heading = heading.map_err(|detail| {
                io::Error::other(format!(
                    "line {number}, the heading, {detail}: its row must name the columns"
                ))
            })?;
            if let Some(named) = named_separator(&heading) {
                separator = Some(named);
                continue;
            }
            let separator = separator.unwrap_or_else(|| separator_of(&heading));
            let mut splitter = Splitter::new(separator);
            let mut names = splitter.values(&heading);
            names.truncate(names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1));
            // Empty rows may stand above the heading.
            if names.is_empty() {
                continue;
            }
            let mut seen = HashSet::new();
            if let Some(twin) = names.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
                return Err(io::Error::other(format!(
                    "column {twin:?} is there twice: give each column a name of its own"
                )));
            }
            return Ok(Self { lines, separator, splitter, heading: names });
        }
    }

    /// The names in the heading.
    pub(super) fn columns(&self) -> Vec<String> {
        self.heading.iter().filter(|name| !name.is_empty()).cloned().collect()
    }

    /// The separator, in words.
    pub(super) fn separator(&self) -> &'static str {
        match self.separator {
            b';' => "semicolons",
            b'\t' => "tabs",
            b'|' => "bars",
            b',' => "commas",
            _ => "the separator it names",
        }
    }

    /// What the lines so far were read as.
    pub(super) fn encoding(&self) -> &'static str {
        self.lines.encoding()
    }

    /// The next row that is not blank, as a JSON object of texts, with the line it begins on.
    pub(super) fn next(&mut self) -> io::Result<Option<NumberedLine>> {
        while let Some((number, record)) = record(&mut self.lines, Some(self.separator))? {
            match record {
                Ok(record) => {
                    let values = self.splitter.values(&record);
                    if let Some(row) = self.row(values) {
                        return Ok(Some((number, row)));
                    }
                }
                Err(detail) => return Ok(Some((number, Err(detail)))),
            }
        }
        Ok(None)
    }

    /// None for a blank row. Values that are not there are blank.
    fn row(&self, values: Vec<String>) -> Option<Result<Vec<u8>, LineError>> {
        let mut row = Map::new();
        for (at, value) in values.into_iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            match self.heading.get(at) {
                Some(name) if !name.is_empty() => row.insert(name.clone(), Value::from(value)),
                _ => return Some(Err(LineError::UnnamedColumn(at + 1))),
            };
        }
        if row.is_empty() {
            return None;
        }
        let row = Value::Object(row).to_string();
        Some(if row.len() > LINE_MAX { Err(LineError::TooLarge) } else { Ok(row.into_bytes()) })
    }
}

/// `sep=;`, which Excel reads and writes above the heading.
fn named_separator(line: &str) -> Option<u8> {
    let line = line.trim_end_matches(['\r', '\n']).trim_matches('"');
    match line.get(..4)?.to_ascii_lowercase().as_str() {
        "sep=" => line.as_bytes().get(4).copied().filter(u8::is_ascii),
        _ => None,
    }
}

/// The separator that stands most often outside of quotation marks.
fn separator_of(heading: &str) -> u8 {
    let mut quotes = Quotes::new(&SEPARATORS);
    quotes.read(heading, &mut String::new());
    // The last of equals wins, so the comma is looked at last.
    let most = SEPARATORS.iter().zip(quotes.separators).rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(separator, _)| *separator)
}

/// Parts records.
struct Splitter {
    core: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    fn new(separator: u8) -> Self {
        let core = ReaderBuilder::new().delimiter(separator).build();
        Self { core, text: Vec::new(), ends: vec![0; 64] }
    }

    /// The values of a record, without spaces around them.
    fn values(&mut self, record: &str) -> Vec<String> {
        self.core.reset();
        // No value is longer than what it is read from.
        self.text.resize(self.text.len().max(record.len()), 0);
        let (mut rest, mut length, mut count) = (record.as_bytes(), 0, 0);
        loop {
            let (end, read, written, ended) =
                self.core.read_record(rest, &mut self.text[length..], &mut self.ends[count..]);
            (rest, length, count) = (&rest[read..], length + written, count + ended);
            match end {
                // What follows is nothing, which ends the record.
                ReadRecordResult::InputEmpty => rest = &[],
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2 + 1, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        let mut start = 0;
        let value = |end: &usize| {
            let bytes = &self.text[start..*end];
            start = *end;
            String::from_utf8_lossy(bytes).trim().to_owned()
        };
        self.ends[..count].iter().map(value).collect()
    }
}

/// The next record. If a quotation mark is not closed the record is its first line, and the next one is read from the
/// line behind it. That reads no line more than twice: a line on which no open quotation ends opens none either.
fn record(lines: &mut Lines, separator: Option<u8>) -> io::Result<Option<CsvRecord>> {
    let (number, first) = match lines.next()? {
        Some((number, Ok(first))) => (number, first),
        Some((number, Err(detail))) => return Ok(Some((number, Err(detail)))),
        None => return Ok(None),
    };
    let mut quotes = match &separator {
        Some(separator) => Quotes::new(std::slice::from_ref(separator)),
        None => Quotes::new(&SEPARATORS),
    };
    let mut text = String::with_capacity(first.len());
    quotes.read(&first, &mut text);
    let mut more: Vec<TextLine> = Vec::new();
    while quotes.is_open() {
        match lines.next()? {
            Some((number, Ok(line))) if text.len() + line.len() <= LINE_MAX => {
                quotes.read(&line, &mut text);
                more.push((number, Ok(line)));
            }
            unread => {
                more.extend(unread);
                quotes.is_broken = true;
                break;
            }
        }
    }
    // On one line nothing else is lost by it.
    if quotes.is_broken && (quotes.is_open() || !more.is_empty()) {
        lines.put_back(more.into_iter());
        return Ok(Some((number, Err(LineError::OpenQuote))));
    }
    Ok(Some((number, Ok(text))))
}

/// Follows quotation marks through a record.
struct Quotes<'a> {
    candidates: &'a [u8],
    place: CsvState,
    /// How often each candidate separates values.
    separators: [usize; SEPARATORS.len()],
    /// Something stands between a closing mark and the separator.
    is_broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CsvState {
    /// At a value's start, or in the spaces before it.
    Start,
    Plain,
    Quoted,
    /// Behind a mark within quotes: the closing one, or the first of two.
    Closed,
}

impl<'a> Quotes<'a> {
    fn new(candidates: &'a [u8]) -> Self {
        Self { candidates, place: CsvState::Start, separators: [0; SEPARATORS.len()], is_broken: false }
    }

    fn is_open(&self) -> bool {
        self.place == CsvState::Quoted
    }

    /// Reads a line and appends it to the record, without the spaces before a quotation mark that opens a value.
    fn read(&mut self, line: &str, record: &mut String) {
        let mut copied = 0;
        let mut start = 0;
        for (at, byte) in line.bytes().enumerate() {
            let separator = self.candidates.iter().position(|candidate| *candidate == byte);
            self.place = match (self.place, byte) {
                (CsvState::Start, b'"') => {
                    record.push_str(&line[copied..start]);
                    copied = at;
                    CsvState::Quoted
                }
                (CsvState::Quoted, b'"') => CsvState::Closed,
                (CsvState::Closed, b'"') | (CsvState::Quoted, _) => CsvState::Quoted,
                _ if separator.is_some() => {
                    separator.into_iter().for_each(|candidate| self.separators[candidate] += 1);
                    start = at + 1;
                    CsvState::Start
                }
                (CsvState::Start, b' ') => CsvState::Start,
                (CsvState::Closed, b' ' | b'\r' | b'\n') => CsvState::Closed,
                (CsvState::Closed, _) => {
                    self.is_broken = true;
                    CsvState::Plain
                }
                (CsvState::Start | CsvState::Plain, _) => CsvState::Plain,
            };
        }
        record.push_str(&line[copied..]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn open(text: &str) -> io::Result<Csv> {
        Csv::open(Lines::open(Cursor::new(text.to_owned()), None)?)
    }

    fn rows(text: &str) -> Vec<(u64, String)> {
        let mut csv = open(text).unwrap();
        let mut rows = Vec::new();
        while let Some((number, row)) = csv.next().unwrap() {
            rows.push((
                number,
                row.map_or_else(|error| error.to_string(), |row| String::from_utf8(row).unwrap()),
            ));
        }
        rows
    }

    const OPEN: &str =
        "a value begins with a quotation mark that is not closed: write it twice (\"\") or take it out";

    #[track_caller]
    fn check(text: &str, expected: &[(u64, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(number, row)| (*number, (*row).to_owned())).collect();
        assert_eq!(rows(text), expected);
    }

    #[test]
    fn values_may_be_quoted() {
        let text = "\u{feff}a,\"b \"\"c\"\"\"\r\n1,\"x, \"\"y\"\"\nz\"\r\n\r\n ,5 tall\n 1 , \"x, y\" \n";
        check(
            text,
            &[
                (2, r#"{"a":"1","b \"c\"":"x, \"y\"\nz"}"#),
                (5, r#"{"b \"c\"":"5 tall"}"#),
                (6, r#"{"a":"1","b \"c\"":"x, y"}"#),
            ],
        );
    }

    #[test]
    fn a_mark_within_a_value_is_a_mark() {
        check(
            "a,b\n1,cake is 5\" tall\n2,x\n",
            &[(2, r#"{"a":"1","b":"cake is 5\" tall"}"#), (3, r#"{"a":"2","b":"x"}"#)],
        );
    }

    #[test]
    fn a_mark_that_is_not_closed_costs_its_own_row() {
        for text in ["a,b\n1,\"x\n2,y\n3,z\n", "a,b\n1,\"x\n2,\"y\"\n3,z\n"] {
            let found = rows(text);
            assert_eq!((found[0].0, &*found[0].1), (2, OPEN));
            assert_eq!(found[1..].iter().map(|row| row.0).collect::<Vec<_>>(), [3, 4]);
        }
        check("a,b\n1,\"x\"y\n2,z\n", &[(2, r#"{"a":"1","b":"xy"}"#), (3, r#"{"a":"2","b":"z"}"#)]);
        let many = format!("a\n\"{}", "x\n".repeat(300_000));
        let found = rows(&many);
        assert_eq!((found.len(), &*found[0].1, &*found[1].1), (300_000, OPEN, r#"{"a":"x"}"#));
    }

    #[test]
    fn the_heading_tells_the_separator() {
        for text in ["a;b\n1;2,5\n", "a\tb\n1\t2,5\n", "a|b\n1|2,5\n", "sep=;\r\na;b\r\n1;2,5\r\n"] {
            assert_eq!(rows(text).pop().unwrap().1, r#"{"a":"1","b":"2,5"}"#);
        }
        check("a\n1\n", &[(2, r#"{"a":"1"}"#)]);
        check("\"a, or b, or c\";d\n1;2\n", &[(2, r#"{"a, or b, or c":"1","d":"2"}"#)]);
        check("sep=!\na,b!c\n1!2\n", &[(3, r#"{"a,b":"1","c":"2"}"#)]);
        assert_eq!(open("sep=!\na!b\n").unwrap().separator(), "the separator it names");
        check("SEP=,\na;b,c\n1,2\n", &[(3, r#"{"a;b":"1","c":"2"}"#)]);
    }

    #[test]
    fn rows_need_not_be_as_long_as_the_heading() {
        check(
            ",,,\na,b,,\n1\n,,,,\n1,2,,,,\n1,,3\n\"\",\"\"\n",
            &[
                (3, r#"{"a":"1"}"#),
                (5, r#"{"a":"1","b":"2"}"#),
                (
                    6,
                    "has a value in column 3, which the heading does not name; a value that holds the separator stands in \
                 quotation marks",
                ),
            ],
        );
        check("a,,b\n1,,2\n", &[(2, r#"{"a":"1","b":"2"}"#)]);
    }

    #[test]
    fn rows_may_end_in_returns() {
        check("a,b\r1,2\r3,\"4\r5\"\r", &[(2, r#"{"a":"1","b":"2"}"#), (3, r#"{"a":"3","b":"4\r5"}"#)]);
    }

    #[test]
    fn a_heading_that_is_none_is_refused() {
        let long = "a,".repeat(LINE_MAX);
        for (text, expected) in [
            ("", "the file is empty: its first row must name the columns"),
            (",,\n\n", "the file is empty: its first row must name the columns"),
            ("a,b,a\n", "column \"a\" is there twice: give each column a name of its own"),
            (&long, "line 1, the heading, is larger than 256 KiB: its row must name the columns"),
        ] {
            assert_eq!(open(text).err().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_too_large_costs_its_own_row() {
        let text = format!("a\n{}\n1\n", "x".repeat(LINE_MAX + 3));
        check(&text, &[(2, "is larger than 256 KiB"), (3, r#"{"a":"1"}"#)]);
        let text = format!("a\n{}\n1\n", "\u{1}".repeat(LINE_MAX / 2));
        check(&text, &[(2, "is larger than 256 KiB"), (3, r#"{"a":"1"}"#)]);
    }
}
