//! An attempt as a page to read: what came of it, what that means, and what went over the wire. Safe to draw.

use jiff::tz::TimeZone;
use serde::de::IgnoredAny;
use unicode_width::UnicodeWidthChar as _;

use super::data::{Attempt, AttemptState, Call, Detail};
use super::time;
use crate::text::display_text;

/// The columns of a label and the gap behind it.
pub const FIELD: usize = 10;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The outcome of the attempt.
    State(AttemptState),
    /// Opens a section; drawn as a rule across the pane.
    Section,
    /// A label in the first ten columns, its value behind.
    Field,
    /// `name: value`.
    Header,
    Text,
    Body,
    Error,
    Quiet,
}

/// One line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    pub text: String,
}

/// The whole page, not wrapped.
pub fn page(attempt: &Attempt, detail: Option<&Result<Detail, String>>, zone: &TimeZone) -> Vec<Line> {
    let mut page = Page::default();
    page.outcome(attempt, zone);
    page.guide(attempt);
    match detail {
        None if attempt.state == AttemptState::Running => {
            page.push(Kind::Quiet, "");
            page.push(Kind::Quiet, "Request and response are kept when the push has finished.");
        }
        None => {
            page.push(Kind::Quiet, "");
            page.push(Kind::Quiet, "Loading…");
        }
        Some(Err(error)) => page.push(Kind::Error, error),
        Some(Ok(detail)) => page.wire(detail),
    }
    page.0
}

#[derive(Default)]
struct Page(Vec<Line>);

impl Page {
    fn push(&mut self, kind: Kind, text: &str) {
        self.0.push(Line { kind, text: display_text(&text.replace('\t', "  ")).into_owned() });
    }

    fn field(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.push(Kind::Field, &format!("{label:<9} {value}"));
        }
    }

    fn outcome(&mut self, it: &Attempt, zone: &TimeZone) {
        let parts = [
            Some(it.state.word().to_owned()),
            it.status.map(|status| status.to_string()),
            Some(it.class.clone()).filter(|class| !class.is_empty()),
            it.duration_ms.map(time::millis),
        ];
        let headline: Vec<String> = parts.into_iter().flatten().collect();
        self.push(Kind::State(it.state), &headline.join("  "));
        if !it.error.is_empty() {
            self.push(Kind::Error, &it.error);
        }
        self.push(Kind::Text, "");
        self.field("try", &format!("{} ({})", it.number, it.trigger));
        self.field("started", &it.started_at.map(|at| time::moment(at, zone)).unwrap_or_default());
        self.field("event", &it.event);
        self.field("lead", &it.lead);
        self.field("delivery", &it.delivery);
        self.field("attempt", &it.id);
    }

    fn guide(&mut self, it: &Attempt) {
        if let Some((meaning, next)) = guide(&it.class) {
            self.push(Kind::Text, "");
            self.field("means", meaning);
            self.field("do next", next);
        }
    }

    /// Each call of a push that took several.
    fn calls(&mut self, calls: &[Call]) {
        for (number, call) in calls.iter().enumerate() {
            self.push(Kind::Text, "");
            let came = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let title =
                format!("call {} of {}  {came}  {}", number + 1, calls.len(), time::millis(call.duration_ms));
            self.push(Kind::Section, &title);
            self.push(Kind::Text, &format!("{} {}", call.method, call.url));
            self.message(&call.request_headers, call.request_body.as_bytes());
            self.push(Kind::Text, "");
            if call.error.is_empty() {
                self.push(Kind::Quiet, "answer");
                self.message(&call.response_headers, call.response_body.as_bytes());
            } else {
                self.push(Kind::Error, &call.error);
            }
        }
    }

    fn wire(&mut self, detail: &Detail) {
        if detail.calls.len() > 1 {
            self.calls(&detail.calls);
        } else {
            self.only_call(detail);
        }
        self.footnotes(detail);
    }

    fn only_call(&mut self, detail: &Detail) {
        self.push(Kind::Text, "");
        self.push(Kind::Section, &format!("request  {}", size(detail.request_body.len() as u64)));
        self.push(Kind::Text, &format!("{} {}", detail.method, detail.url));
        self.message(&detail.request_headers, &detail.request_body);
        self.push(Kind::Text, "");
        if detail.response_headers.is_empty() && detail.response_body.is_empty() {
            self.push(Kind::Section, "response");
            self.push(Kind::Quiet, "No answer was read.");
        } else {
            self.push(Kind::Section, &format!("response  {}", size(detail.response_bytes)));
            self.message(&detail.response_headers, &detail.response_body);
            let kept = detail.response_body.len() as u64;
            if kept < detail.response_bytes {
                self.push(Kind::Quiet, &format!("(the first {} are kept)", size(kept)));
            }
        }
    }

    fn footnotes(&mut self, detail: &Detail) {
        if !detail.note.is_empty() {
            self.push(Kind::Text, "");
            self.field("note", &detail.note);
        }
        let versions =
            [("secret version", detail.secret_version), ("mapping version", detail.mapping_version)];
        let versions: Vec<String> =
            versions.iter().filter(|(_, v)| *v > 0).map(|(name, v)| format!("{name} {v}")).collect();
        let by =
            Some(&detail.operator).filter(|name| !name.is_empty()).map(|name| format!("asked by {name}"));
        let notes: Vec<String> = versions.into_iter().chain(by).collect();
        if !notes.is_empty() {
            self.push(Kind::Text, "");
            self.push(Kind::Quiet, &notes.join("  "));
        }
    }

    fn message(&mut self, headers: &[(String, String)], body: &[u8]) {
        for (name, value) in headers {
            self.push(Kind::Header, &format!("{name}: {value}"));
        }
        if !body.is_empty() {
            self.push(Kind::Text, "");
            for line in readable(body).lines() {
                self.push(Kind::Body, line);
            }
        }
    }
}

/// What a failure class means, and what to do next.
pub fn guide(class: &str) -> Option<(&'static str, &'static str)> {
    Some(match class {
        "mapping" => (
            "Our field mapping or a template could not be filled; nothing was sent.",
            "Correct the mapping with `leadline integration set-mapping`, then retry.",
        ),
        "blocked" => (
            "Our guard refused the address, or the target answered with a redirect.",
            "Correct the URL, or allow the address in the daemon's configuration; then retry.",
        ),
        "throttled" => (
            "The target asked us to slow down; the whole lane waits with this delivery.",
            "Nothing: it is pushed again by itself. Lower the rate limit if this happens often.",
        ),
        "transient" => (
            "The target or the way to it failed for the moment.",
            "Wait for the automatic retry; when retries are used up and the target is well, retry.",
        ),
        "credentials" => (
            "The target refused our login. A retry fails again until the credentials are replaced.",
            "Replace the credentials, make a test push, then retry the dead deliveries.",
        ),
        "rejected" => (
            "The target understood and refused this lead; the same bytes will be refused again.",
            "Read the response, correct the lead or the mapping, then retry.",
        ),
        "unknown" => (
            "The request left, but no full answer came: maybe delivered.",
            "Look at the target first. A retry carries the same id, so that it can tell a repeat.",
        ),
        _ => return None,
    })
}

/// The lines as they fit into `width` columns; what is too long goes on below, or is cut if `wrap` is off.
pub fn fit(lines: Vec<Line>, width: usize, wrap: bool) -> Vec<Line> {
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
                (0, kind) => Line { kind, text },
                // What goes on below has no label.
                (_, Kind::Field | Kind::Header) => Line { kind: Kind::Text, text },
                (_, kind) => Line { kind, text },
            })
        })
        .collect()
}

/// How far the lines below the first are moved in.
fn hang(line: &Line) -> usize {
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

fn size(bytes: u64) -> String {
    match bytes {
        ..10_000 => format!("{bytes} B"),
        _ => format!("{} KiB", bytes / 1024),
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
    fn json_is_indented_and_otherwise_untouched() {
        let body = br#"{"a":[1.50,{"b":"x,\"{:"}],"e":{ },"n":1e400}"#;
        let expected = "{\n  \"a\": [\n    1.50,\n    {\n      \"b\": \"x,\\\"{:\"\n    }\n  ],\n  \"e\": {},\n  \"n\": 1e400\n}";
        assert_eq!(readable(body), expected);
        assert_eq!(readable(b"<html>"), "<html>");
        assert_eq!(readable(&[0xff, b'a']), "\u{fffd}a");
    }

    #[test]
    fn long_lines_break_at_spaces_where_they_can() {
        let line = |text: &str| vec![Line { kind: Kind::Text, text: text.to_owned() }];
        let texts = |lines: Vec<Line>| lines.into_iter().map(|l| l.text).collect::<Vec<_>>();
        assert_eq!(texts(fit(line("the target failed"), 12, true)), ["the target", "failed"]);
        assert_eq!(texts(fit(line("abcdefgh"), 3, true)), ["abc", "def", "gh"]);
        assert_eq!(texts(fit(line("abcdefgh"), 3, false)), ["abc"]);
        assert_eq!(texts(fit(line("日本語"), 4, true)), ["日本", "語"]);
        assert_eq!(texts(fit(line(""), 4, true)), [""]);
        let field = vec![Line { kind: Kind::Field, text: "means     the target failed".to_owned() }];
        assert_eq!(texts(fit(field, 20, true)), ["means     the target", "          failed"]);
    }

    #[test]
    fn every_class_has_a_guide() {
        for class in ["mapping", "blocked", "throttled", "transient", "credentials", "rejected", "unknown"] {
            assert!(guide(class).is_some(), "{class}");
        }
        assert_eq!(guide(""), None);
    }
}
