//! The pieces that screens are made of. Text from outside is made safe here before it reaches a cell.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear};
use unicode_width::UnicodeWidthStr as _;

use super::document::{self, Doc};
use super::input::Input;
use crate::console::data::{Badge, Integration};
use crate::console::keymap::{Action, Keymap};
use crate::console::theme::{Role, Theme};
use crate::text::{display_text, fit};

/// Text from outside, made safe, in at most `width` columns.
pub fn safe(text: &str, width: usize, theme: Theme) -> String {
    // What can be seen is never longer, and a megabyte need not be walked through for a cell.
    let head: String = text.chars().take(width.saturating_mul(4).saturating_add(64)).collect();
    let shown = display_text(&head).into_owned();
    cut(&shown, width, theme)
}

/// Safe text in at most `width` columns, its end marked if something is missing.
pub fn cut(text: &str, width: usize, theme: Theme) -> String {
    match width {
        0 => String::new(),
        _ if text.width() <= width => text.to_owned(),
        _ if theme.ascii => fit(text, width).replace('…', "~"),
        _ => fit(text, width).into_owned(),
    }
}

/// A count that the daemon breaks off at ten thousand.
pub fn counted(count: u64) -> String {
    match count {
        ..10_000 => count.to_string(),
        _ => "10000+".to_owned(),
    }
}

/// Text from outside in exactly `width` columns.
pub fn column(text: &str, width: usize, theme: Theme) -> String {
    pad(safe(text, width, theme), width)
}

/// An error in at most `width` columns. Where room is short, the words of the status give way to what the target wrote.
pub fn error_text(error: &str, width: usize, theme: Theme) -> String {
    let shown = safe(error, width, theme);
    if shown == error { shown } else { safe(&short_error(error), width, theme) }
}

/// `400 Bad Request: what the target wrote` as the code and what follows the colon.
pub fn without_phrase(error: &str) -> Option<(&str, &str)> {
    let (status, reported) = error.split_once(": ")?;
    let (code, _) = status.split_once(' ')?;
    (code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit())).then_some((code, reported))
}

/// Where room is short, what the target wrote says more than the words of its status.
pub fn short_error(error: &str) -> Cow<'_, str> {
    match without_phrase(error) {
        Some((code, reported)) => Cow::Owned(format!("{code} {reported}")),
        None => Cow::Borrowed(error),
    }
}

/// Why a list could not be read, beside its head as far as there is room.
pub fn trouble(error: Option<&str>, width: u16, theme: Theme) -> Span<'static> {
    let text = error.map(|error| format!("  {}", safe(error, usize::from(width) / 2, theme)));
    theme.span(Role::Bad, text.unwrap_or_default())
}

/// How many rows have come above what is looked at, and the key that goes there.
pub fn fresh(rows: usize, keymap: &Keymap, theme: Theme) -> String {
    format!("  {} {rows} new{}", theme.pick("▲", "^"), keymap.hint(Action::Follow, " (", ")"))
}

/// Blanks behind the text up to `width` columns.
pub fn pad(mut text: String, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// The width of a line in columns.
pub fn line_width(line: &[Span<'_>]) -> usize {
    line.iter().map(Span::width).sum()
}

/// No terminal is wider.
const TITLE_MAX: usize = 500;

/// A frame with a title, whatever it says; a heavy one has the focus.
pub fn pane<'a>(title: Vec<Span<'a>>, heavy: bool, theme: Theme) -> Block<'a> {
    let style = if heavy { theme.style(Role::Accent) } else { theme.style(Role::Quiet) };
    let mut spans = vec![Span::raw(" ")];
    let shown = |span: Span<'a>| Span::styled(safe(&span.content, TITLE_MAX, theme), span.style);
    spans.extend(title.into_iter().map(shown));
    spans.push(Span::raw(" "));
    Block::new()
        .borders(Borders::ALL)
        .border_set(theme.border(heavy))
        .border_style(style)
        .title_top(Line::from(spans).style(Style::reset()))
}

/// Glyph, word and count: what is wrong, readable without colour. A count of what is past does not look like a badge.
pub fn badge(it: &Integration, theme: Theme) -> Vec<Span<'static>> {
    let (glyph, role) = theme.badge(it.badge);
    let mut spans = vec![theme.span(role, format!("{glyph} {}", it.badge.word()))];
    if it.failures > 0 {
        let failures = if it.failures == 1 { "failure" } else { "failures" };
        let (text, role) = match it.badge {
            badge if badge.is_bad() => (format!("[ {} {failures} ]", it.failures), Role::Alarm),
            Badge::Ok => (format!("{} {failures} before", it.failures), Role::Quiet),
            _ => (format!("[ {} {failures} ]", it.failures), Role::Quiet),
        };
        spans.push(Span::raw("   "));
        spans.push(theme.span(role, text));
    }
    spans
}

/// A line of text with a cursor, while it is typed.
pub fn input(input: &Input, width: usize, theme: Theme) -> Vec<Span<'static>> {
    let (before, behind) = input.split();
    let (before, behind) = (display_text(before).into_owned(), display_text(behind).into_owned());
    let room = width.saturating_sub(1);
    let mut skip = before.width().saturating_sub(room);
    let head: String = before
        .chars()
        .skip_while(|c| {
            let drop = skip > 0;
            skip = skip.saturating_sub(unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0));
            drop
        })
        .collect();
    let under = behind.chars().next().unwrap_or(' ').to_string();
    let rest: String = behind.chars().skip(1).collect();
    let left = room.saturating_sub(head.width());
    vec![
        Span::raw(head),
        Span::styled(under, theme.style(Role::Selected)),
        Span::raw(cut(&rest, left, theme)),
    ]
}

/// Text from outside over as many lines as it takes, up to four.
pub fn wrapped(text: &str, lead: &str, width: usize, role: Role, theme: Theme) -> Vec<Line<'static>> {
    let mut doc = Doc::default();
    let head: String = text.chars().take(width * 4).collect();
    doc.push(document::Kind::Text, &head.replace(['\r', '\n'], " "));
    let parts = document::fit(doc.0, width.saturating_sub(lead.chars().count()), true);
    let indent = " ".repeat(lead.chars().count());
    let line = |(at, part): (usize, document::DocumentLine)| {
        let lead = if at == 0 { lead.to_owned() } else { indent.clone() };
        Line::from(vec![theme.span(Role::Quiet, lead), theme.span(role, theme.spell(&part.text))])
    };
    parts.into_iter().take(4).enumerate().map(line).collect()
}

/// A box in the middle of the screen with nothing shining through.
pub fn popup(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (width, height): (u16, u16),
    theme: Theme,
) -> Rect {
    let width = width.min(area.width.saturating_sub(2));
    let height = height.min(area.height.saturating_sub(2));
    let outer =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = pane(vec![theme.span(Role::Strong, title.to_owned())], true, theme);
    let inner = block.inner(outer);
    frame.render_widget(Clear, outer);
    frame.render_widget(block, outer);
    Rect { x: inner.x + 2, width: inner.width.saturating_sub(4), ..inner }
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;
    use ratatui::widgets::Widget as _;

    use super::*;
    use crate::console::theme::Depth;

    #[test]
    fn what_steers_is_visible_in_a_title_too() {
        let theme = Theme { depth: Depth::Mono, ascii: false, plain: false };
        let area = Rect::new(0, 0, 40, 3);
        let mut buffer = Buffer::empty(area);
        pane(vec![Span::raw("Zoe\u{202e}\u{3164}  1/1")], true, theme).render(area, &mut buffer);
        let line: String = (0..area.width).map(|x| buffer[(x, 0)].symbol()).collect();
        assert!(line.contains(r" Zoe\u{202e}\u{3164}  1/1 "), "{line}");
    }

    #[test]
    fn the_words_of_a_status_give_way_to_what_the_target_wrote() {
        let theme = Theme { depth: Depth::Mono, ascii: false, plain: false };
        for (error, width, shown) in [
            ("400 Bad Request: no date", 40, "400 Bad Request: no date"),
            ("400 Bad Request: no date", 11, "400 no date"),
            ("400 Bad Request: no date", 8, "400 no …"),
            ("500 Internal Server Error", 9, "500 Inte…"),
            ("connect to host failed: refused", 12, "connect to …"),
            ("400 x: \u{1b}[2J", 40, r"400 \u{1b}[2J"),
        ] {
            assert_eq!(error_text(error, width, theme), shown);
        }
    }
}
