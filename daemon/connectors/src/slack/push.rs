//! The message that a lead becomes: blocks of plain text, and a link to the proposal.

use crate::chat::{self, Escape, Told};
use crate::{crm::units, prelude::*};

/// What Slack takes of a header, of a text in a section, and of the text that notifications show; in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const TEXT_MAX: usize = 3000;
/// The longest line, and the most sections: Slack takes fifty blocks.
const LINE_MAX: usize = 1000;
const SECTIONS_MAX: usize = 40;
/// A link that is longer is left out.
const LINK_MAX: usize = 2000;
/// An ampersand takes five characters.
const ESCAPE: Escape = Escape { escaped: escape, growth: 5 };

/// Whether a lead's text is taken whole, but for lines that are too long in themselves.
pub(super) fn fits(text: &str) -> bool {
    sections(text).len() <= SECTIONS_MAX
}

/// The message: blocks for those who read it, and a text for notifications.
pub(super) fn message(told: &Told) -> Value {
    let headline = &told.headline;
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let mut blocks = vec![json!({"type": "header", "text": plain(&fitting(headline, HEADER_MAX))})];
    let sections = sections(&told.text);
    let sections = sections.iter().take(SECTIONS_MAX).filter(|section| !section.is_empty());
    blocks.extend(sections.map(|text| json!({"type": "section", "text": plain(text)})));
    if let Some(link) = told.proposal.as_ref().and_then(|url| link(url, "Open the proposal")) {
        let element = json!({"type": "mrkdwn", "text": link, "verbatim": true});
        blocks.push(json!({"type": "context", "elements": [element]}));
    }
    json!({"text": fitting(headline, TEXT_MAX), "mrkdwn": false, "blocks": blocks})
}

/// The lines in as many sections as they need. What is too long is cut in itself, so that it pushes out no line behind it.
fn sections(text: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let line = fitting(line, LINE_MAX);
        match sections.last_mut() {
            Some(last) if units(last) + 1 + units(&line) <= SECTION_MAX => {
                last.push('\n');
                last.push_str(&line);
            }
            _ => sections.push(line),
        }
    }
    sections
}

/// A text with Slack's three characters escaped, cut so that it fits afterwards too.
pub(super) fn fitting(text: &str, max: usize) -> String {
    chat::fitting(text, max, ESCAPE)
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A link in Slack's markup, if the URL is one that cannot end it early.
fn link(url: &Url, label: &str) -> Option<String> {
    let url = url.as_str().replace('|', "%7C").replace('<', "%3C").replace('>', "%3E").replace('&', "&amp;");
    (url.len() <= LINK_MAX).then(|| format!("<{url}|{label}>"))
}
