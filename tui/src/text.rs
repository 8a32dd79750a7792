//! Text from outside (errors, names, bodies of answers) made safe to look at: nothing in it may steer a terminal.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many marks may stand on one character. Every script does with fewer; more grow over the lines around them.
const MARKS_MAX: usize = 6;

/// The text with every invisible or steering character as a visible escape such as `\u{1b}`. It has one line, and
/// an ellipsis where more marks stand on a character than any script has.
#[must_use]
pub fn display_text(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) && !has_many_marks(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut marks = 0;
    for c in text.chars() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if marks == MARKS_MAX + 1 {
            shown.push('…');
        } else if marks > MARKS_MAX {
        } else if steers(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// JSON in which no character steers a terminal: such ones are escaped, and mean what they meant.
#[must_use]
pub fn json_text(json: &str) -> Cow<'_, str> {
    // Between tokens JSON has no such characters but white space.
    let is_escaped = |c: char| steers(c) && !matches!(c, '\n' | '\t' | '\r');
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_escaped(c) {
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

fn has_many_marks(text: &str) -> bool {
    let mut marks = 0;
    !text.is_ascii()
        && text.chars().any(|c| {
            marks = if is_mark(c) { marks + 1 } else { 0 };
            marks > MARKS_MAX
        })
}

/// Takes no column: it stands on the character before it.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && !steers(c) && c.width() == Some(0)
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

/// C0, DEL, C1, bidirectional marks, zero widths, fillers that look like nothing, separators of lines and the invisible
/// tags.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
            ("a\u{115f}\u{1160}\u{2800}\u{3164}b", r"a\u{115f}\u{1160}\u{2800}\u{3164}b"),
            ("e\u{301}\u{301}x", "e\u{301}\u{301}x"),
        ];
        let many = format!("e{}x", "\u{301}".repeat(10_000));
        assert_eq!(display_text(&many), format!("e{}…x", "\u{301}".repeat(6)));
        let json = "{\n  \"a\": \"\u{9b}\u{9d}\u{7f}\u{202e}\u{e0041}é\"}";
        assert_eq!(json_text(json), "{\n  \"a\": \"\\u009b\\u009d\\u007f\\u202e\\udb40\\udc41é\"}");
        assert!(matches!(json_text("{}\n"), Cow::Borrowed(_)));
        for (text, shown) in table {
            assert_eq!(display_text(text), shown);
        }
        assert!(matches!(display_text("nothing to do"), Cow::Borrowed(_)));
        assert_eq!(display_block("{\r\n  \"a\": \x1b}"), "{\n  \"a\": \\u{1b}}\n");
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
