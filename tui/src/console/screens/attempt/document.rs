//! An attempt as pages to read: what came of it, what that means and what to do, and what went over the wire.

use jiff::tz::TimeZone;

use crate::console::app::shared::Shared;
use crate::console::data::attempt::Call;
use crate::console::data::{Attempt, AttemptState, Detail};
use crate::console::keymap::Keymap;
use crate::console::widgets::diff::{self, Compared};
use crate::console::widgets::document::{Doc, Kind, guide, size};
use crate::console::widgets::time;

/// What came of it, what it means, and whose it is.
pub fn summary(it: &Attempt, keymap: &Keymap) -> Doc {
    let mut doc = Doc::default();
    let parts = [
        Some(it.state.word().to_owned()),
        it.status.map(|status| status.to_string()),
        Some(it.class.clone()).filter(|class| !class.is_empty()),
        it.duration_ms.map(time::millis),
    ];
    let headline: Vec<String> = parts.into_iter().flatten().collect();
    doc.push(Kind::State(it.state), &headline.join("  "));
    if !it.error.is_empty() {
        doc.push(Kind::Error, &it.error);
    }
    if let Some((meaning, next)) = guide(&it.class, false, keymap) {
        doc.field("means", meaning);
        doc.field("do next", &next);
    }
    doc
}

/// The ids and times of it.
fn facts(doc: &mut Doc, it: &Attempt, detail: Option<&Detail>, zone: &TimeZone) {
    doc.field("lead", [it.lead_name.as_str(), it.lead.as_str()].join(" ").trim());
    doc.field("try", &format!("{} ({})", it.number, it.trigger));
    doc.field("started", &it.started_at.map(|at| time::moment(at, zone)).unwrap_or_default());
    doc.field("event", &it.event);
    doc.field("delivery", &it.delivery);
    doc.field("attempt", &it.id);
    if let Some(detail) = detail {
        let versions =
            [("secret version", detail.secret_version), ("mapping version", detail.mapping_version)];
        let versions = versions.iter().filter(|(_, v)| *v > 0).map(|(name, v)| format!("{name} {v}"));
        let by = Some(&detail.operator).filter(|n| !n.is_empty()).map(|name| format!("asked by {name}"));
        let notes: Vec<String> = versions.chain(by).collect();
        doc.field("made with", &notes.join(", "));
    }
}

/// Everything in one column. Of a failed attempt the answer comes first: it decides.
pub fn whole(it: &Attempt, detail: Option<&Detail>, error: Option<&str>, shared: &Shared) -> Doc {
    let (mut doc, zone) = (summary(it, &shared.setup.keymap), &shared.setup.zone);
    let failed = it.state == AttemptState::Failed;
    match detail {
        Some(detail) if failed => {
            for (at, call) in detail.calls.iter().enumerate().rev() {
                response(&mut doc, at, detail.calls.len(), call);
                request(&mut doc, at, detail.calls.len(), call);
            }
        }
        Some(detail) => {
            for (at, call) in detail.calls.iter().enumerate() {
                request(&mut doc, at, detail.calls.len(), call);
                response(&mut doc, at, detail.calls.len(), call);
            }
        }
        None => missing(&mut doc, it, error),
    }
    doc.section("facts");
    facts(&mut doc, it, detail, zone);
    doc
}

/// Why there is nothing of the wire to be seen.
fn missing(doc: &mut Doc, it: &Attempt, error: Option<&str>) {
    doc.gap();
    match error {
        Some(error) => doc.push(Kind::Error, error),
        None if it.state == AttemptState::Running => {
            doc.push(Kind::Quiet, "Request and response are kept when the push has finished.");
        }
        None => doc.push(Kind::Quiet, "Loading…"),
    }
}

/// The requests of a push, then the facts: the left of two columns.
pub fn requests(it: &Attempt, detail: &Detail, zone: &TimeZone) -> Doc {
    let mut doc = Doc::default();
    for (at, call) in detail.calls.iter().enumerate() {
        request(&mut doc, at, detail.calls.len(), call);
    }
    doc.section("facts");
    facts(&mut doc, it, Some(detail), zone);
    doc
}

/// The answers of a push, the last one first: the right of two columns.
pub fn responses(it: &Attempt, detail: &Detail) -> Doc {
    let mut doc = Doc::default();
    let mut calls: Vec<(usize, &Call)> = detail.calls.iter().enumerate().collect();
    if it.state == AttemptState::Failed {
        calls.reverse();
    }
    for (at, call) in calls {
        response(&mut doc, at, detail.calls.len(), call);
    }
    doc
}

fn of(at: usize, all: usize) -> String {
    if all > 1 { format!(" {} of {all}", at + 1) } else { String::new() }
}

fn request(doc: &mut Doc, at: usize, all: usize, call: &Call) {
    doc.section(&format!("request{}  {}", of(at, all), size(call.request_bytes)));
    doc.push(Kind::Strong, format!("{} {}", call.method, call.url).trim());
    headers(doc, &call.request_headers);
    doc.gap();
    doc.body(&call.request_body);
    cut(doc, &call.request_body, call.request_bytes);
}

/// That less is kept of a body than there was.
fn cut(doc: &mut Doc, body: &[u8], bytes: u64) {
    let kept = body.len() as u64;
    if kept < bytes {
        doc.push(Kind::Quiet, &format!("(the first {} are kept)", size(kept)));
    }
}

fn response(doc: &mut Doc, at: usize, all: usize, call: &Call) {
    let status = call.status.map(|status| format!("  {status}")).unwrap_or_default();
    if call.response_headers.is_empty() && call.response_body.is_empty() {
        doc.section(&format!("response{}{status}", of(at, all)));
        let text = if call.error.is_empty() { "No answer was read." } else { &call.error };
        return doc.push(Kind::Quiet, text);
    }
    doc.section(&format!("response{}{status}  {}", of(at, all), size(call.response_bytes)));
    // The body says why; the headers seldom do.
    doc.body(&call.response_body);
    cut(doc, &call.response_body, call.response_bytes);
    doc.gap();
    headers(doc, &call.response_headers);
}

fn headers(doc: &mut Doc, headers: &[(String, String)]) {
    for (name, value) in headers {
        doc.push(Kind::Header, &format!("{name}: {value}"));
    }
}

/// This attempt compared with an earlier one: what went out, and what came back.
pub fn compared(
    old: &Attempt,
    old_detail: &Detail,
    new: &Attempt,
    new_detail: &Detail,
    zone: &TimeZone,
) -> Doc {
    let mut doc = Doc::default();
    let named = |it: &Attempt| {
        let at = it.started_at.map(|at| time::moment(at, zone)).unwrap_or_default();
        format!("try {}, {}, {at}", it.number, it.state.word())
    };
    doc.push(Kind::Gone, &named(old));
    doc.push(Kind::New, &named(new));
    for (name, old, new) in [
        ("request", text(old_detail, request), text(new_detail, request)),
        ("response", text(old_detail, response), text(new_detail, response)),
    ] {
        doc.section(name);
        match diff::lines(&old, &new) {
            None => doc.push(Kind::Quiet, "too long to be compared"),
            Some(lines) if lines.iter().all(|line| matches!(line, Compared::Same(_))) => {
                doc.push(Kind::Quiet, "the same");
            }
            Some(lines) => lines.iter().for_each(|line| match line {
                Compared::Same(text) => doc.push(Kind::Body, &format!("  {text}")),
                Compared::Gone(text) => doc.push(Kind::Gone, text),
                Compared::New(text) => doc.push(Kind::New, text),
            }),
        }
    }
    doc
}

fn text(detail: &Detail, part: fn(&mut Doc, usize, usize, &Call)) -> String {
    let mut doc = Doc::default();
    for (at, call) in detail.calls.iter().enumerate() {
        part(&mut doc, at, detail.calls.len(), call);
    }
    doc.0.retain(|line| line.kind != Kind::Section);
    doc.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_whole_is_said_of_both_bodies() {
        let call = Call {
            request_body: vec![b'x'; 16 * 1024],
            request_bytes: 40 * 1024,
            response_body: vec![b'y'; 4096],
            response_bytes: 5000,
            ..Call::default()
        };
        let mut doc = Doc::default();
        request(&mut doc, 0, 1, &call);
        response(&mut doc, 0, 1, &call);
        let said: Vec<String> =
            doc.text().lines().filter(|line| line.starts_with("(the first")).map(str::to_owned).collect();
        assert_eq!(said, ["(the first 16 KiB are kept)", "(the first 4096 B are kept)"]);
    }
}
