//! The lines of a file as text, whatever its encoding and its line ends are.

use std::{
    borrow::Cow,
    collections::VecDeque,
    io::{self, BufRead, BufReader, Cursor, Read},
};

use encoding_rs::{Encoding, MACINTOSH, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::LINE_MAX;

/// How much of a file is looked at to tell what it is.
const LOOK: usize = 4096;
/// How workbooks begin: as an archive, and in the old binary form.
const WORKBOOKS: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];
const MARK: char = '\u{feff}';

/// Why a line or a row is refused before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("is larger than 256 KiB")]
    TooLarge,
    #[error("is no UTF-8 from byte {0} on, while lines above are: save the file as UTF-8")]
    NotUtf8(usize),
    #[error("a value begins with a quotation mark that is not closed: write it twice (\"\") or take it out")]
    OpenQuote,
    #[error(
        "has a value in column {0}, which the heading does not name; a value that holds the separator stands in quotation marks"
    )]
    UnnamedColumn(usize),
}

/// A line with its number, or why it cannot be read. The text keeps its line end.
pub(super) type TextLine = (u64, Result<String, LineError>);

/// Reads lines, which are UTF-8 until one of them is not.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    encoding: &'static Encoding,
    /// No line changes the encoding any more.
    is_settled: bool,
    /// A carriage return ends a line even if no line feed follows, as in files of old Macs.
    ends_at_return: bool,
    number: u64,
    put_back: VecDeque<TextLine>,
}

impl Lines {
    /// Looks at the beginning of a file. An encoding that is named is believed.
    pub(super) fn open(
        mut file: impl Read + Send + 'static,
        named: Option<&'static Encoding>,
    ) -> io::Result<Self> {
        let mut start = Vec::new();
        file.by_ref().take(LOOK as u64).read_to_end(&mut start)?;
        if WORKBOOKS.iter().any(|head| start.starts_with(head)) {
            return Err(io::Error::other(
                "this is a workbook: save the sheet as CSV (UTF-8) and import that",
            ));
        }
        let known =
            named.or_else(|| Encoding::for_bom(&start).map(|(found, _)| found)).or_else(|| wide(&start));
        let encoding = known.unwrap_or(UTF_8);
        let file = Cursor::new(start).chain(file);
        let reader: Box<dyn BufRead + Send> = if encoding == UTF_8 {
            Box::new(BufReader::new(file))
        } else {
            Box::new(BufReader::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(file)))
        };
        let is_settled = known.is_some();
        Ok(Self { reader, encoding, is_settled, ends_at_return: false, number: 0, put_back: VecDeque::new() })
    }

    /// Lets lines end at a carriage return too.
    pub(super) fn end_at_return(&mut self) {
        self.ends_at_return = true;
    }

    /// What the lines so far were read as.
    pub(super) fn encoding(&self) -> &'static str {
        self.encoding.name()
    }

    /// The first byte that is no white space: what the file may be.
    pub(super) fn first_byte(&mut self) -> io::Result<Option<u8>> {
        let start = self.reader.fill_buf()?;
        let start = start.strip_prefix(MARK.to_string().as_bytes()).unwrap_or(start);
        Ok(start.iter().copied().find(|byte| !byte.is_ascii_whitespace()))
    }

    /// Gives lines back, to be read again before all others.
    pub(super) fn put_back(&mut self, lines: impl DoubleEndedIterator<Item = TextLine>) {
        for line in lines.rev() {
            self.put_back.push_front(line);
        }
    }

    /// The next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<TextLine>> {
        if let Some(line) = self.put_back.pop_front() {
            return Ok(Some(line));
        }
        self.number += 1;
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        let text = match bytes {
            Some(bytes) => self.text(bytes),
            None => Err(LineError::TooLarge),
        };
        Ok(Some((self.number, text)))
    }

    /// A line as it is; none inside if it is too long.
    fn bytes(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        let mut line = Vec::new();
        let (mut is_long, mut is_over) = (false, false);
        while !is_over {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let is_end = |byte: &u8| *byte == b'\n' || (self.ends_at_return && *byte == b'\r');
            let end = chunk.iter().position(is_end);
            let length = end.map_or(chunk.len(), |at| at + 1);
            is_over = end.is_some();
            is_long |= line.len() + length > LINE_MAX + 2;
            if !is_long {
                line.extend_from_slice(&chunk[..length]);
            }
            let is_return = end.is_some_and(|at| chunk[at] == b'\r');
            self.reader.consume(length);
            if is_return && self.reader.fill_buf()?.first() == Some(&b'\n') {
                line.push(b'\n');
                self.reader.consume(1);
            }
        }
        if is_long {
            return Ok(Some(None));
        }
        Ok((!line.is_empty()).then_some(Some(line)))
    }

    fn text(&mut self, bytes: Vec<u8>) -> Result<String, LineError> {
        let mut text = match String::from_utf8(bytes) {
            Ok(text) => {
                self.is_settled |= !text.is_ascii();
                text
            }
            Err(error) if self.is_settled && self.encoding == UTF_8 => {
                return Err(LineError::NotUtf8(error.utf8_error().valid_up_to() + 1));
            }
            Err(error) => self.old_text(error.as_bytes()).into_owned(),
        };
        if self.number == 1 && text.starts_with(MARK) {
            text.remove(0);
        }
        Ok(text)
    }

    /// What is no UTF-8 is what office programs write where they write none.
    fn old_text<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, str> {
        if !self.is_settled {
            let is_mac = bytes.ends_with(b"\r");
            self.encoding = if is_mac { MACINTOSH } else { WINDOWS_1252 };
            self.is_settled = true;
        }
        self.encoding.decode_without_bom_handling(bytes).0
    }
}

/// UTF-16 without a mark: every other byte of what is mostly ASCII is zero.
fn wide(start: &[u8]) -> Option<&'static Encoding> {
    let zeros = |from: usize| start.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = start.len() / 4;
    match (even, odd) {
        (even, 0) if even > many => Some(UTF_16BE),
        (0, odd) if odd > many => Some(UTF_16LE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<String>, &'static str) {
        let mut lines = Lines::open(Cursor::new(bytes.to_vec()), None).unwrap();
        lines.end_at_return();
        let mut texts = Vec::new();
        while let Some((_, text)) = lines.next().unwrap() {
            texts.push(text.unwrap_or_else(|error| error.to_string()));
        }
        (texts, lines.encoding())
    }

    fn wide_bytes(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn what_office_programs_write_is_read() {
        let text = "name\r\nZoë £5\n";
        let expected = vec!["name\r\n".to_owned(), "Zoë £5\n".to_owned()];
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), "UTF-8"),
            (format!("\u{feff}{text}").into_bytes(), "UTF-8"),
            (wide_bytes(&format!("\u{feff}{text}"), u16::to_le_bytes), "UTF-16LE"),
            (wide_bytes(&format!("\u{feff}{text}"), u16::to_be_bytes), "UTF-16BE"),
            (wide_bytes(text, u16::to_le_bytes), "UTF-16LE"),
            (wide_bytes(text, u16::to_be_bytes), "UTF-16BE"),
            (b"name\r\nZo\xeb \xa35\n".to_vec(), "windows-1252"),
        ] {
            assert_eq!(read(&bytes), (expected.clone(), encoding));
        }
        let mac = read(b"name\rZo\x91\rBob\r\n\r");
        assert_eq!(mac, (["name\r", "Zoë\r", "Bob\r\n", "\r"].map(str::to_owned).to_vec(), "macintosh"));
    }

    #[test]
    fn a_line_that_is_damaged_is_said() {
        let (lines, encoding) = read(b"Zo\xc3\xab\nZo\xeb\nend");
        assert_eq!(lines[1], "is no UTF-8 from byte 3 on, while lines above are: save the file as UTF-8");
        assert_eq!((&*lines[2], encoding), ("end", "UTF-8"));
        let long = [&b"a\n"[..], &vec![b'x'; 2 * LINE_MAX], b"\nb"].concat();
        assert_eq!(read(&long).0, ["a\n", "is larger than 256 KiB", "b"]);
    }

    #[test]
    fn a_workbook_is_no_table() {
        for head in WORKBOOKS {
            let error = Lines::open(Cursor::new(head.to_vec()), None).err().unwrap();
            assert_eq!(
                error.to_string(),
                "this is a workbook: save the sheet as CSV (UTF-8) and import that"
            );
        }
    }

    #[test]
    fn an_encoding_that_is_named_is_believed() {
        let named = Encoding::for_label(b"windows-1250");
        let mut lines = Lines::open(Cursor::new(b"\x8aediv\xfd".to_vec()), named).unwrap();
        assert_eq!(lines.next().unwrap(), Some((1, Ok("Šedivý".to_owned()))));
        assert_eq!(lines.encoding(), "windows-1250");
    }
}
