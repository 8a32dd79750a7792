//! The message, and how it is posted.

use super::error;
use crate::chat::{self, Escape, Told, fitting};
use crate::{crm::units, prelude::*};

/// What Discord takes of the words beside an embed, of its description, and of a field's value; in characters.
const HEADLINE_MAX: usize = 300;
const TEXT_MAX: usize = 4096;
const FIELD_MAX: usize = 1024;
/// A mark takes a backslash.
const ESCAPE: Escape = Escape { escaped: escape, growth: 2 };
/// Under which the channel is kept, by which links lead to a message.
pub(super) const CHANNEL: &str = "_channel";

/// Whether a lead's text is taken whole.
pub(super) fn fits(text: &str) -> bool {
    units(&escape(text)) <= TEXT_MAX
}

/// The message: words that notifications show, and the lead below them.
pub(super) fn message(told: &Told) -> Value {
    let mut embed = json!({"description": fitting(&told.text, TEXT_MAX, ESCAPE)});
    let link = told.proposal.as_ref().map(|url| format!("[Open the proposal]({})", enclosed(url)));
    if let Some(link) = link.filter(|link| link.len() <= FIELD_MAX) {
        embed["fields"] = json!([{"name": "Proposal", "value": link}]);
    }
    json!({"content": fitting(&told.headline, HEADLINE_MAX, ESCAPE), "embeds": [embed],
        "allowed_mentions": {"parse": []}})
}

/// A URL that cannot end the link that it is put in.
fn enclosed(url: &Url) -> String {
    url.as_str().replace('(', "%28").replace(')', "%29")
}

/// Text that formats nothing. Web addresses that are plain stay as they are, so that they can be clicked.
pub(super) fn escape(text: &str) -> String {
    const MARKS: &str = "\\*_~`|<>[]()@#";
    let is_link = |word: &str| {
        let is_web = word.starts_with("https://") || word.starts_with("http://");
        is_web && !word.contains(|mark: char| mark != '_' && mark != '#' && MARKS.contains(mark))
    };
    let mut escaped = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        if is_link(word) {
            escaped.push_str(word);
            continue;
        }
        for character in word.chars() {
            if MARKS.contains(character) {
                escaped.push('\\');
            }
            escaped.push(character);
        }
    }
    escaped
}

/// Posts it once: an answer names the message, which is kept.
pub(super) async fn post(url: &Url, push: &Push<'_>, body: Bytes, ctx: &mut Conversation<'_>) -> Result<()> {
    let key = format!("message.{}", push.id);
    if ctx.id(&key).is_some() {
        return Ok(());
    }
    let mut url = url.clone();
    // Without it Discord answers before it knows whether the message can be kept.
    url.query_pairs_mut().append_pair("wait", "true");
    let answer = ctx.send(chat::request(Method::POST, url.clone()).json(body)).await?;
    if !answer.is_good() {
        return Err(error::failure(&answer, &url, ctx.now));
    }
    let message = answer.json().unwrap_or_default();
    if let (Some(id), Some(channel)) = (id_of(&message["id"]), id_of(&message["channel_id"])) {
        ctx.keep(&[("message", &id), (&key, &id), (CHANNEL, &channel)]).await;
    }
    Ok(())
}
