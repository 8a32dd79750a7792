//! A workflow of Microsoft Teams: it takes whatever comes, and posts later what is a card.

mod account;

use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Route, Vendor},
};

/// What a card and what comes with it may weigh.
const CARD_MAX: usize = 28 * 1024;

/// What a workflow is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    On,
    Off,
    Deleted,
    /// Only who is logged in may trigger it.
    ForMembers,
}

/// A workflow and the channel that it posts to.
#[derive(Debug)]
pub struct Teams {
    pub path: String,
    pub sig: String,
    pub state: State,
    /// The cards that were posted, in the order they came.
    pub cards: Vec<Value>,
    /// Why runs failed that had been accepted, which no answer tells.
    pub failed: Vec<&'static str>,
}

impl Teams {
    /// A workflow that is on.
    #[must_use]
    pub fn new(path: &str, sig: &str) -> Self {
        Self { path: path.into(), sig: sig.into(), state: State::On, cards: Vec::new(), failed: Vec::new() }
    }
}

impl Vendor for Teams {
    fn handle(&mut self, request: &Request) -> Reply {
        let route = Route::of(request);
        let path = request.path.split('?').next().unwrap_or_default();
        if path != self.path {
            return refusal(404, "WorkflowNotFound", "The workflow could not be found.");
        }
        if self.state == State::ForMembers {
            let message = "The request must be authenticated only by Shared Access scheme.";
            return refusal(401, "DirectApiAuthorizationRequired", message);
        }
        if route.asked("sig") != self.sig {
            return refusal(401, "AuthorizationFailed", "The authentication credentials are not valid.");
        }
        if self.state != State::On {
            let message = format!(
                "Could not execute workflow trigger 'manual' with state '{:?}': trigger is not enabled.",
                self.state
            );
            return refusal(400, "WorkflowTriggerIsNotEnabled", &message);
        }
        match card(&route.body) {
            Ok(card) => self.cards.push(card),
            Err(why) => self.failed.push(why),
        }
        Reply::status(202)
    }
}

/// The card of a message, if the workflow's steps can make something of it.
fn card(message: &Value) -> Result<Value, &'static str> {
    let Some([attachment]) = message["attachments"].as_array().map(Vec::as_slice) else {
        return Err("the 'foreach' expression is of type 'Null'");
    };
    let card = &attachment["content"];
    if attachment["contentType"] != "application/vnd.microsoft.card.adaptive"
        || card["type"] != "AdaptiveCard"
    {
        return Err("Property 'type' must be 'AdaptiveCard'");
    }
    if !["1.0", "1.1", "1.2", "1.3", "1.4"].contains(&card["version"].as_str().unwrap_or_default()) {
        return Err("this card could not be displayed");
    }
    if message.to_string().len() > CARD_MAX {
        return Err("MessageSizeExceeded");
    }
    let is_run =
        |run: &Value| run["type"] == "TextRun" && run["text"].as_str().is_some_and(|text| !text.is_empty());
    let is_block = |block: &Value| match block["type"].as_str() {
        Some("RichTextBlock") => {
            block["inlines"].as_array().is_some_and(|runs| !runs.is_empty() && runs.iter().all(is_run))
        }
        Some("TextBlock") => block["text"].is_string(),
        _ => false,
    };
    let is_action = |action: &Value| action["type"] == "Action.OpenUrl" && action["url"].is_string();
    let blocks =
        card["body"].as_array().is_some_and(|blocks| !blocks.is_empty() && blocks.iter().all(is_block));
    let actions = card["actions"].as_array().is_none_or(|actions| actions.iter().all(is_action));
    if blocks && actions { Ok(card.clone()) } else { Err("the card has an element that is none") }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"error": {"code": code, "message": message}});
    Reply::status(status).header("Content-Type", "application/json").body(body.to_string())
}
