//! Text from outside (errors, names, bodies of answers) made safe to look at: nothing in it may steer a terminal.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// So many marks over one letter are writing; more are an attempt to flood the screen.
const MARKS_MAX: usize = 4;

/// The text with every invisible or steering character as a visible escape such as `\u{1b}`, and floods of combining
/// marks counted instead of drawn. It has one line.
#[must_use]
pub fn display_text(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| steers(c) || is_mark(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(1 << 16) + 16);
    let mut marks = 0_usize;
    for c in text.chars() {
        if is_mark(c) && !steers(c) {
            marks += 1;
            if marks <= MARKS_MAX {
                shown.push(c);
            }
            continue;
        }
        end_marks(&mut shown, marks);
        marks = 0;
        if steers(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    end_marks(&mut shown, marks);
    Cow::Owned(shown)
}

/// Says how many marks were left out.
fn end_marks(shown: &mut String, marks: usize) {
    if let Some(more @ 1..) = marks.checked_sub(MARKS_MAX) {
        let written = write!(shown, "(+{more} marks)");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

/// What takes no column of its own and is drawn over the letter before it.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.width() == Some(0)
}

/// A text of several lines, each of them safe; line ends of any system stay line ends.
#[must_use]
pub fn display_block(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.lines() {
        let written = writeln!(shown, "{}", display_text(line));
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    shown
}

/// JSON text in which what steers a terminal is escaped: it means the same to a program, and is seen by a reader.
#[must_use]
pub fn json_text(json: &str) -> Cow<'_, str> {
    // Line ends stand between values; within texts they are escaped already.
    let is_hidden = |c: char| steers(c) && !c.is_ascii_whitespace();
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let written = write!(shown, "\\u{unit:04x}");
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The text cut to this many columns, with an ellipsis if something is missing.
#[must_use]
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if text[..next].width() + 1 > columns {
            break;
        }
        end = next;
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// C0, DEL, C1, bidirectional marks, zero widths, separators of lines, invisible tags, fillers that look like blanks or
/// like nothing, and private characters, which look as a font pleases and mark the cursor of a plain screen.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_becomes_visible() {
        let table = [
            ("plain — é 日本 🎉", "plain — é 日本 🎉"),
            ("\x1b]52;c;AAAA\x07", r"\u{1b}]52;c;AAAA\u{7}"),
            ("a\tb\r\nc", r"a\u{9}b\u{d}\u{a}c"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
            ("abc\u{202e}fed", r"abc\u{202e}fed"),
            ("z\u{200b}w\u{200d}j\u{feff}", r"z\u{200b}w\u{200d}j\u{feff}"),
            ("\u{2028}\u{e0041}\u{61c}", r"\u{2028}\u{e0041}\u{61c}"),
            ("a\u{115f}\u{1160}\u{2800}\u{3164}\u{ffa0}b", r"a\u{115f}\u{1160}\u{2800}\u{3164}\u{ffa0}b"),
            ("e\u{301}\u{302}x", "e\u{301}\u{302}x"),
            ("\u{e000}\u{e001}\u{f8ff}\u{10fffd}", r"\u{e000}\u{e001}\u{f8ff}\u{10fffd}"),
        ];
        for (text, shown) in table {
            assert_eq!(display_text(text), shown);
        }
        assert!(matches!(display_text("nothing to do"), Cow::Borrowed(_)));
        assert_eq!(display_block("{\r\n  \"a\": \x1b}"), "{\n  \"a\": \\u{1b}}\n");
    }

    #[test]
    fn a_flood_of_marks_is_counted_and_not_drawn() {
        let flood = format!("e{}f", "\u{301}".repeat(10_000));
        assert_eq!(display_text(&flood), format!("e{}(+9996 marks)f", "\u{301}".repeat(4)));
        assert_eq!(display_text(&"\u{301}".repeat(5)), format!("{}(+1 marks)", "\u{301}".repeat(4)));
    }

    #[test]
    fn json_keeps_its_meaning_without_what_steers() {
        let value = serde_json::json!({ "a": "\u{9b}31m\u{9d}\u{7f}\u{202e}x\u{e0041}\n", "b": "é" });
        let (line, pages) = (value.to_string(), format!("{value:#}"));
        for text in [json_text(&line), json_text(&pages)] {
            assert!(!text.contains(|c: char| steers(c) && c != '\n'), "{text}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
        assert!(
            json_text(&line).contains(r"\u009b31m\u009d\u007f\u202ex\udb40\udc41"),
            "{}",
            json_text(&line)
        );
        assert!(matches!(json_text("{\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_cut_says_so_and_keeps_to_the_columns() {
        for (text, columns, shown) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("日本", 1, "…"), ("", 0, "")]
        {
            assert_eq!(fit(text, columns), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_steers_is_left(text in any::<String>(), columns in 1_usize..80) {
            let shown = display_text(&text);
            prop_assert!(!shown.contains(steers));
            prop_assert!(fit(&shown, columns).width() <= columns);
        }
    }
}
