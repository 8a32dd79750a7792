//! The card.

use crate::{chat::Told, crm::cut, prelude::*};

/// Teams takes 28 KiB for a card, and counts more than is sent; in bytes of the card's lines.
const CARD_MAX: usize = 16 * 1024;
const HEADLINE_MAX: usize = 300;
const LINE_MAX: usize = 4000;
/// A link that is longer is left out.
const LINK_MAX: usize = 2000;
/// The newest version that workflows take.
const VERSION: &str = "1.4";

/// Whether a lead's text is taken whole.
pub(super) fn fits(text: &str) -> bool {
    lines(text).try_fold(CARD_MAX, |room, line| room.checked_sub(line.to_string().len())).is_some()
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter(|text| !text.trim().is_empty()).map(line)
}

/// The message with its one card: a headline, and a line for each line of the lead.
pub(super) fn message(told: &Told) -> Value {
    let headline = json!({"type": "TextRun", "text": cut(&told.headline, HEADLINE_MAX), "size": "large", "weight": "bolder"});
    let mut body = vec![json!({"type": "RichTextBlock", "inlines": [headline]})];
    let mut room = CARD_MAX;
    for line in lines(&told.text) {
        match room.checked_sub(line.to_string().len()) {
            Some(left) => room = left,
            None => {
                body.push(line_of(&[json!({"type": "TextRun", "text": "…"})]));
                break;
            }
        }
        body.push(line);
    }
    let mut card = json!({"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
        "version": VERSION, "msteams": {"width": "Full"}, "body": body});
    if let Some(url) = told.proposal.as_ref().filter(|url| url.as_str().len() <= LINK_MAX) {
        card["actions"] =
            json!([{"type": "Action.OpenUrl", "title": "Open the proposal", "url": url.as_str()}]);
    }
    json!({"type": "message", "attachments": [
        {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card}]})
}

/// A line: what it is called in bold, and what stands there. Further lines of a value are set in and have no name.
fn line(text: &str) -> Value {
    let text = cut(text, LINE_MAX);
    let run = |text: &str| json!({"type": "TextRun", "text": text});
    match text.split_once(": ").filter(|_| !text.starts_with(' ')) {
        Some((label, value)) => {
            let mut label = run(&format!("{label}: "));
            label["weight"] = json!("bolder");
            line_of(&[label, run(value)])
        }
        None => line_of(&[run(&text)]),
    }
}

fn line_of(runs: &[Value]) -> Value {
    json!({"type": "RichTextBlock", "spacing": "small", "inlines": runs})
}
