//! The secret that is shown once: masked, and not to be left before it is stored.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::widgets::{input, popup, safe};
use crate::model::dialog::OneTime;
use crate::model::{Model, time};
use crate::theme::{Role, Theme};

/// Draws the dialog.
pub(super) fn draw(model: &Model, it: &OneTime, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width.min(74)).saturating_sub(8);
    let quiet = |text: String| Line::from(theme.span(Role::Quiet, text));
    let key = |key: &'static str, label: &'static str| {
        [theme.span(Role::Strong, key), Span::raw(format!(" {label}   "))]
    };
    let name = safe(&it.integration, width.saturating_sub(20), theme);
    let mut lines = vec![
        Line::default(),
        Line::from(theme.span(Role::Strong, format!("The new secret of {name}"))),
        Line::from("It is shown once and cannot be read again."),
        Line::default(),
    ];
    lines.extend(shown(it, width, theme));
    lines.push(Line::default());
    lines.push(match &it.path {
        None => Line::from(
            [
                key("v", if it.shown_until.is_some() { "hide" } else { "show" }),
                key("y", "copy"),
                key("w", "write to a file"),
            ]
            .concat(),
        ),
        Some(path) => {
            let mut line = vec![theme.span(Role::Quiet, "new file: ")];
            line.extend(input(path, width.saturating_sub(10), theme));
            Line::from(line)
        }
    });
    let until = match it.grace_until {
        _ if it.staged => "The old secret signs until you cut over: c".to_owned(),
        Some(at) => format!("The old secret stays valid until {}.", time::moment(at, &model.setup.zone)),
        None => "The old secret is not valid any more.".to_owned(),
    };
    lines.push(quiet(until));
    let note = it.note.as_deref().unwrap_or_default();
    lines.push(Line::from(theme.span(Role::Warn, safe(note, width, theme))));
    lines.push(Line::default());
    let tick = if it.stored { "[x]" } else { "[ ]" };
    lines.push(Line::from(vec![
        theme.span(Role::Strong, format!("{tick} I have stored it")),
        theme.span(Role::Quiet, "   space"),
    ]));
    lines.push(if it.stored {
        Line::from(vec![theme.span(Role::Selected, "[ Done ]"), theme.span(Role::Quiet, theme.spell("   ⏎"))])
    } else {
        quiet("  Done     tick the box first".to_owned())
    });
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
    let inner = popup(frame, area, "One-time secret", (74, height), theme);
    frame.render_widget(Paragraph::new(lines), inner);
}

/// The secret in clear, over several lines if it is long, or as many dots whatever its length.
fn shown(it: &OneTime, width: usize, theme: Theme) -> Vec<Line<'static>> {
    if it.shown_until.is_none() {
        let dots = theme.pick("•", "*").repeat(44.min(width));
        return vec![Line::from(dots)];
    }
    let clear = safe(it.secret.reveal(), usize::MAX / 8, theme);
    let chars: Vec<char> = clear.chars().collect();
    chars
        .chunks(width.max(1))
        .map(|part| Line::from(theme.span(Role::Accent, part.iter().collect::<String>())))
        .collect()
}
