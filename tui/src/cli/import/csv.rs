//! Rows of a CSV file: quoted fields, any of the usual separators, a heading.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::{LINE_MAX, Line};

/// The separators that a heading may use.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// A file whose heading is read.
#[derive(Debug)]
pub(super) struct Csv<R> {
    reader: R,
    separator: char,
    columns: Vec<String>,
    /// Lines read so far.
    line: u64,
}

impl<R: BufRead> Csv<R> {
    /// Reads the heading.
    pub(super) fn open(reader: R) -> io::Result<Self> {
        let mut csv = Self { reader, separator: ',', columns: Vec::new(), line: 0 };
        let heading = csv.record()?.unwrap_or_default();
        let heading = heading.strip_prefix('\u{feff}').unwrap_or(&heading);
        let count = |separator: &char| heading.matches(*separator).count();
        // The last of equals wins, so the comma is looked at last.
        csv.separator = SEPARATORS.into_iter().rev().max_by_key(count).unwrap_or(',');
        csv.columns = split(heading, csv.separator).into_iter().map(|name| name.trim().to_owned()).collect();
        match csv
            .columns
            .iter()
            .enumerate()
            .find(|(at, name)| name.is_empty() || csv.columns[..*at].contains(name))
        {
            None => Ok(csv),
            Some((at, name)) if name.is_empty() => {
                Err(io::Error::other(format!("column {} has no name in the heading", at + 1)))
            }
            Some((_, name)) => Err(io::Error::other(format!("column {name:?} is there twice"))),
        }
    }

    /// The names in the heading.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next row that is not blank, as a JSON object of texts, with the line it begins on.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let number = self.line + 1;
            let Some(record) = self.record()? else { return Ok(None) };
            if record.trim().is_empty() {
                continue;
            }
            return Ok(Some((number, self.row(&record))));
        }
    }

    fn row(&self, record: &str) -> Result<Vec<u8>, String> {
        let fields = split(record, self.separator);
        if fields.len() != self.columns.len() {
            return Err(format!("has {} columns, the heading has {}", fields.len(), self.columns.len()));
        }
        let fields = self.columns.iter().cloned().zip(fields.into_iter().map(Value::String));
        let row = Value::Object(fields.collect::<Map<_, _>>()).to_string();
        if row.len() > LINE_MAX { Err("is larger than 256 KiB".to_owned()) } else { Ok(row.into_bytes()) }
    }

    /// The next record, whose quoted fields may go over several lines; none at the end.
    fn record(&mut self) -> io::Result<Option<String>> {
        let (mut bytes, begun) = (Vec::new(), self.line + 1);
        loop {
            if self.reader.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            self.line += 1;
            let quotes = bytes.iter().filter(|byte| **byte == b'"').count();
            if quotes % 2 == 0 {
                break;
            }
            if bytes.len() > LINE_MAX {
                return Err(io::Error::other(format!(
                    "the quotation that begins on line {begun} does not end"
                )));
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| io::Error::other(format!("line {begun} is no UTF-8: save the file as UTF-8")))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// The fields of a record.
fn split(record: &str, separator: char) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = record.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            character if character == separator && !is_quoted => fields.push(std::mem::take(&mut field)),
            character => field.push(character),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(u64, String)> {
        let mut csv = Csv::open(text.as_bytes()).unwrap();
        let mut rows = Vec::new();
        while let Some((number, row)) = csv.next().unwrap() {
            rows.push((number, row.map_or_else(|error| error, |row| String::from_utf8(row).unwrap())));
        }
        rows
    }

    #[test]
    fn fields_may_be_quoted() {
        let text = "\u{feff}a,\"b \"\"c\"\"\"\r\n1,\"x, \"\"y\"\"\nz\"\r\n\r\n ,5 tall\n";
        let expected = [(2, r#"{"a":"1","b \"c\"":"x, \"y\"\nz"}"#), (5, r#"{"a":" ","b \"c\"":"5 tall"}"#)];
        assert_eq!(rows(text), expected.map(|(number, row)| (number, row.to_owned())));
    }

    #[test]
    fn the_heading_tells_the_separator() {
        for text in ["a;b\n1;2,5\n", "a\tb\n1\t2,5\n"] {
            assert_eq!(rows(text), [(2, r#"{"a":"1","b":"2,5"}"#.to_owned())]);
        }
        assert_eq!(rows("a\n1\n"), [(2, r#"{"a":"1"}"#.to_owned())]);
        assert_eq!(rows("a,b\n1\n"), [(2, "has 1 columns, the heading has 2".to_owned())]);
    }

    #[test]
    fn a_heading_that_is_none_is_refused() {
        for (text, expected) in [
            ("a,,b\n", "column 2 has no name in the heading"),
            ("", "column 1 has no name in the heading"),
            ("a,b,a\n", "column \"a\" is there twice"),
        ] {
            assert_eq!(Csv::open(text.as_bytes()).unwrap_err().to_string(), expected);
        }
        let open = format!("a\n\"{}\n{}", "x\n".repeat(10), "y".repeat(LINE_MAX));
        let error = Csv::open(open.as_bytes()).unwrap().next().unwrap_err().to_string();
        assert_eq!(error, "the quotation that begins on line 2 does not end");
        let error = Csv::open(&b"a\n\xff\n"[..]).unwrap().next().unwrap_err().to_string();
        assert_eq!(error, "line 2 is no UTF-8: save the file as UTF-8");
    }
}
