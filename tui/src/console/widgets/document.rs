//! A page to read, made of lines that know what they are. Everything in it is safe to draw.

use serde::de::IgnoredAny;
use unicode_width::UnicodeWidthChar as _;

use crate::console::data::{AttemptState, DeliveryState};
use crate::console::keymap::{Action, Keymap};
use crate::text::display_text;

/// The columns of a label and the gap behind it.
pub const FIELD: usize = 10;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The outcome of an attempt.
    State(AttemptState),
    /// Where a delivery stands.
    Delivery(DeliveryState),
    /// Opens a section; drawn as a rule across the pane.
    Section,
    /// A label in the first ten columns, its value behind.
    Field,
    /// `name: value`.
    Header,
    Text,
    Strong,
    Body,
    Error,
    Quiet,
    /// Lines of a comparison.
    Gone,
    New,
}

/// One line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentLine {
    pub kind: Kind,
    pub text: String,
}

/// A page, not wrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doc(pub Vec<DocumentLine>);

impl Doc {
    /// Adds a line.
    pub fn push(&mut self, kind: Kind, text: &str) {
        self.0.push(DocumentLine { kind, text: display_text(&text.replace('\t', "  ")).into_owned() });
    }

    /// Adds an empty line, unless the page begins or has one already.
    pub fn gap(&mut self) {
        if self.0.last().is_some_and(|line| !line.text.is_empty()) {
            self.push(Kind::Text, "");
        }
    }

    /// Opens a section that one can jump to.
    pub fn section(&mut self, name: &str) {
        self.gap();
        self.push(Kind::Section, name);
    }

    /// A label with its value; nothing if there is none.
    pub fn field(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.push(Kind::Field, &format!("{label:<9} {value}"));
        }
    }

    /// A body, line by line, JSON indented.
    pub fn body(&mut self, bytes: &[u8]) {
        for line in readable(bytes).lines() {
            self.push(Kind::Body, line);
        }
    }

    /// The page as plain text.
    pub fn text(&self) -> String {
        self.0.iter().map(|line| format!("{}\n", line.text)).collect()
    }
}

/// What a failure class means, and what to do next, by the keys of this run. Nothing goes again by itself that is dead.
pub fn guide(class: &str, is_dead: bool, keymap: &Keymap) -> Option<(&'static str, String)> {
    let by = |action| keymap.hint(action, " (", ")");
    let (meaning, next) = match class {
        "mapping" => (
            "Our field mapping or a template could not be filled; nothing was sent.",
            format!("Correct the mapping{}, then retry.", by(Action::Mapping)),
        ),
        "blocked" => (
            "Our guard refused the address, or the target answered with a redirect.",
            "Correct the URL, or allow the address in the daemon's configuration; then retry.".to_owned(),
        ),
        "throttled" => (
            "The target asked us to slow down; the whole lane waits with this delivery.",
            if is_dead {
                format!(
                    "Its retries are used up: retry{} once the target takes pushes again.",
                    by(Action::Retry)
                )
            } else {
                "Nothing: it is pushed again by itself. Lower the rate limit if this happens often."
                    .to_owned()
            },
        ),
        "transient" => (
            "The target or the way to it failed for the moment.",
            if is_dead {
                format!("Its retries are used up: retry{} once the target is well.", by(Action::Retry))
            } else {
                "Wait for the automatic retry; when retries are used up and the target is well, retry."
                    .to_owned()
            },
        ),
        "credentials" => (
            "The target refused our login. A retry fails again until the credentials are replaced.",
            format!(
                "Replace the credentials{}; what they stopped is then retried by one key.",
                by(Action::Credentials)
            ),
        ),
        "rejected" => (
            "The target understood and refused this lead; the same bytes will be refused again.",
            format!("Read the response, correct the mapping{} or the lead, then retry.", by(Action::Mapping)),
        ),
        "unknown" => (
            "The request left, but no full answer came: maybe delivered.",
            "Look at the target first. A retry carries the same id, so that it can tell a repeat.".to_owned(),
        ),
        _ => return None,
    };
    Some((meaning, next))
}

/// The lines as they fit into `width` columns; what is too long goes on below, or is cut if `wrap` is off.
pub fn fit(lines: Vec<DocumentLine>, width: usize, wrap: bool) -> Vec<DocumentLine> {
    let width = width.max(1);
    lines
        .into_iter()
        .flat_map(|line| {
            let hang = hang(&line).min(width / 2);
            let mut parts = split(&line.text, width, hang);
            if !wrap {
                parts.truncate(1);
            }
            parts.into_iter().enumerate().map(move |(at, text)| match (at, line.kind) {
                (0, kind) => DocumentLine { kind, text },
                // What goes on below has no label.
                (_, Kind::Field | Kind::Header) => DocumentLine { kind: Kind::Text, text },
                (_, kind) => DocumentLine { kind, text },
            })
        })
        .collect()
}

/// How far the lines below the first are moved in.
fn hang(line: &DocumentLine) -> usize {
    match line.kind {
        Kind::Field => FIELD,
        Kind::Header => 2,
        Kind::Body => line.text.chars().take_while(|c| *c == ' ').count() + 2,
        _ => 0,
    }
}

fn split(text: &str, width: usize, hang: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut used, mut space) = (0, None);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width && c == ' ' {
            // The line is full to its last column: the blank becomes the break.
            parts.push(" ".repeat(hang));
            (used, space) = (hang, None);
            continue;
        }
        if used + wide > width {
            let last = parts.last_mut().map(std::mem::take).unwrap_or_default();
            // Breaking at a space reads better, if one is near the edge.
            let cut = space.filter(|at| last.len() - at < 20 && *at > last.len() / 2).unwrap_or(last.len());
            let (head, tail) = last.split_at(cut);
            let tail = tail.trim_start().to_owned();
            if let Some(slot) = parts.last_mut() {
                *slot = head.to_owned();
            }
            let tail = format!("{:hang$}{tail}", "");
            used = tail.chars().filter_map(|c| c.width()).sum();
            space = None;
            parts.push(tail);
        }
        if let Some(last) = parts.last_mut() {
            if c == ' ' {
                space = Some(last.len());
            }
            last.push(c);
        }
        used += wide;
    }
    if parts.len() > 1 && parts.last().is_some_and(|last| last.trim().is_empty()) {
        parts.pop();
    }
    parts
}

/// So many bytes, in few characters.
pub fn size(bytes: u64) -> String {
    const FEW: u64 = 10_000;
    let (kib, mib, gib) = (bytes >> 10, bytes >> 20, bytes >> 30);
    match (bytes < FEW, kib < FEW, mib < FEW) {
        (true, ..) => format!("{bytes} B"),
        (_, true, _) => format!("{kib} KiB"),
        (.., true) => format!("{mib} MiB"),
        _ => format!("{gib} GiB"),
    }
}

/// A body as text; JSON is indented by moving its tokens only, so that every number stays as it was sent.
pub fn readable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => indent(&text),
        Err(_) => text.into_owned(),
    }
}

fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().filter(|c| *c != '\r').peekable();
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => {
                in_text = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn newline(out: &mut String, depth: usize) {
    out.push('\n');
    // A body nested without end must not become a page of blanks.
    out.extend(std::iter::repeat_n("  ", depth.min(20)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, text) in [
            (63, "63 B"),
            (9_999, "9999 B"),
            (10_240, "10 KiB"),
            (10_239_999, "9999 KiB"),
            (173_000_000, "164 MiB"),
            (53_687_091_200, "50 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn json_is_indented_and_otherwise_untouched() {
        let body = br#"{"a":[1.50,{"b":"x,\"{:"}],"e":{ },"n":1e400}"#;
        let expected = "{\n  \"a\": [\n    1.50,\n    {\n      \"b\": \"x,\\\"{:\"\n    }\n  ],\n  \"e\": {},\n  \"n\": 1e400\n}";
        assert_eq!(readable(body), expected);
        assert_eq!(readable(b"<html>"), "<html>");
        assert_eq!(readable(&[0xff, b'a']), "\u{fffd}a");
    }

    #[test]
    fn long_lines_break_at_spaces_where_they_can() {
        let line = |text: &str| vec![DocumentLine { kind: Kind::Text, text: text.to_owned() }];
        let texts = |lines: Vec<DocumentLine>| lines.into_iter().map(|l| l.text).collect::<Vec<_>>();
        assert_eq!(texts(fit(line("the target failed"), 12, true)), ["the target", "failed"]);
        assert_eq!(texts(fit(line("abcdefgh"), 3, true)), ["abc", "def", "gh"]);
        assert_eq!(texts(fit(line("abcdefgh"), 3, false)), ["abc"]);
        assert_eq!(texts(fit(line("日本語"), 4, true)), ["日本", "語"]);
        assert_eq!(texts(fit(line(""), 4, true)), [""]);
        let field = vec![DocumentLine { kind: Kind::Field, text: "means     the target failed".to_owned() }];
        assert_eq!(texts(fit(field, 20, true)), ["means     the target", "          failed"]);
    }

    #[test]
    fn every_class_has_a_guide() {
        for class in ["mapping", "blocked", "throttled", "transient", "credentials", "rejected", "unknown"] {
            for is_dead in [false, true] {
                let (_, next) = guide(class, is_dead, &Keymap::default()).unwrap();
                assert!(!is_dead || !next.contains("by itself") && !next.contains("Wait"), "{class}: {next}");
            }
        }
        assert_eq!(guide("", false, &Keymap::default()), None);
        let own = Keymap::with(&[(Action::Mapping, vec!["ctrl-g".parse().unwrap()])].into(), []).unwrap();
        assert!(
            guide("mapping", false, &own).unwrap().1.contains("the mapping (^g)"),
            "by the reader's own keys"
        );
    }
}
