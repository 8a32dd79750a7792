//! `leadline integration preview`: the canonical event on one side, what would be sent on the other.

use clap::Args;
use leadline_client::{Client, outcome};
use leadline_proto::v1;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use super::{CliError, Context, input, output_types::Preview, print};
use crate::text::display_block;

/// Above what all requests are made from, where the first one does not say all of it.
const PLAN: &str = "ALL REQUESTS ARE MADE FROM";
/// What stands between the two sides.
const GAP: &str = " │ ";
/// Narrower sides stand one below the other.
const SIDE_MIN: usize = 40;

/// What to render, and with what.
#[derive(Debug, Args)]
pub(crate) struct PreviewOptions {
    /// The integration's id, its name if that is unique, or COMPANY/NAME
    #[arg(value_name = "ID")]
    integration: String,
    /// The lead to render [default: the sample of test pushes]
    #[arg(long, value_name = "UUID")]
    lead: Option<String>,
    /// The event to render it as [default: lead.created, or webhook.test for the sample]
    #[arg(long, value_parser = input::one_of(v1::Event::ALL, v1::Event::word))]
    event: Option<v1::Event>,
    /// Instead of the saved field mapping: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    mapping: Option<String>,
    /// Instead of the saved configuration, the whole of it: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// Instead of the saved payload version
    #[arg(long, value_name = "VERSION", value_parser = input::one_of(v1::Payload::ALL, v1::Payload::word))]
    payload: Option<v1::Payload>,
}

impl PreviewOptions {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context, client: &Client) -> Result<(), CliError> {
        let request = v1::PreviewIntegrationRequest {
            integration: self.integration,
            lead: self.lead.unwrap_or_default(),
            event: self.event.unwrap_or_default().into(),
            config: input::optional_json("--config", self.config.as_deref())?,
            mapping: input::optional_json("--mapping", self.mapping.as_deref())?,
            payload: self.payload.map(i32::from),
        };
        let preview = client.preview_integration(request).await?;
        if context.out.is_json() {
            return context.out.object(&Preview::from(preview));
        }
        print(&picture(&pretty(&preview.canonical), &reported(&preview), context.out.room()))
    }
}

/// The request as it goes over the wire, or why there is none.
fn reported(preview: &v1::PreviewIntegrationResponse) -> String {
    let Some(request) = &preview.request else {
        return format!("Nothing would be sent.\n{}: {}", outcome(preview), preview.error);
    };
    let mut text = format!("{} {}\n", request.method, request.url);
    for header in &request.headers {
        text.push_str(&format!("{}: {}\n", header.name, header.value));
    }
    if !request.body.is_empty() {
        text.push('\n');
        text.push_str(&pretty(&request.body));
    }
    if !preview.plan.is_empty() {
        text.push_str(&format!("\n\n{PLAN}\n{}", pretty(&preview.plan)));
    }
    text
}

/// JSON on many lines, unless reading it would change a number in it; anything else as it is.
fn pretty(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if value.to_string() == text => format!("{value:#}"),
        _ => text.into_owned(),
    }
}

/// Both texts, side by side where there is room.
fn picture(canonical: &str, request: &str, room: Option<usize>) -> String {
    let (canonical, request) = (display_block(canonical), display_block(request));
    let side = room.map(|room| room.saturating_sub(GAP.width()) / 2).filter(|side| *side >= SIDE_MIN);
    let Some(side) = side else {
        return format!("CANONICAL EVENT\n{}\n\nREQUEST\n{}\n", canonical.trim_end(), request.trim_end());
    };
    let left = wrapped(&format!("CANONICAL EVENT\n{canonical}"), side);
    let right = wrapped(&format!("REQUEST\n{request}"), side);
    let mut out = String::new();
    for row in 0..left.len().max(right.len()) {
        let cell = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
        let (left, right) = (cell(&left), cell(&right));
        let fill = " ".repeat(side.saturating_sub(left.width()));
        out.push_str(format!("{left}{fill}{GAP}{right}").trim_end());
        out.push('\n');
    }
    out
}

/// Lines of at most so many columns.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.trim_end().lines() {
        let mut rest = String::new();
        for c in line.chars() {
            let mut with = rest.clone();
            with.push(c);
            if with.width() > columns {
                lines.push(std::mem::take(&mut rest));
                rest.push(c);
            } else {
                rest = with;
            }
        }
        lines.push(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_stand_beside_each_other_where_there_is_room() {
        let picture_of = |room| picture("{\n  \"a\": 1\n}", "POST https://example.com/\nx: y", room);
        assert_eq!(
            picture_of(None),
            "CANONICAL EVENT\n{\n  \"a\": 1\n}\n\nREQUEST\nPOST https://example.com/\nx: y\n"
        );
        assert_eq!(picture_of(Some(60)), picture_of(None));
        let beside = picture_of(Some(90));
        let lines: Vec<_> = beside.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("CANONICAL EVENT ") && lines[0].ends_with(" │ REQUEST"), "{beside}");
        assert!(
            lines[1].starts_with("{  ") && lines[1].ends_with(" │ POST https://example.com/"),
            "{beside}"
        );
        assert!(lines[3].ends_with(" │"), "{beside}");
    }

    #[test]
    fn what_the_first_request_does_not_say_stands_below_it() {
        let request = v1::PreviewRequest {
            method: "GET".into(),
            url: "https://example.com/".into(),
            ..Default::default()
        };
        let plan = br#"{"deal":{}}"#.to_vec();
        let preview = v1::PreviewIntegrationResponse { request: Some(request), plan, ..Default::default() };
        let text = reported(&preview);
        assert_eq!(text, "GET https://example.com/\n\n\nALL REQUESTS ARE MADE FROM\n{\n  \"deal\": {}\n}");
    }

    #[test]
    fn long_lines_are_wrapped_by_their_width_and_nothing_is_lost() {
        let text = "日本".repeat(30);
        let lines = wrapped(&text, 41);
        assert!(lines.iter().all(|line| line.width() <= 41), "{lines:?}");
        assert_eq!(lines.concat(), text);
    }

    #[test]
    fn numbers_stay_as_they_are() {
        assert_eq!(pretty(br#"{"n":1.10}"#), r#"{"n":1.10}"#);
        assert_eq!(pretty(br#"{"n":1}"#), "{\n  \"n\": 1\n}");
        assert_eq!(pretty(b"text"), "text");
    }
}
