//! Help, made from the key map: what every key does here, and why some do nothing now.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::widgets::{cut, pad, popup};
use crate::keymap::{BINDINGS, Binding, Group};
use crate::model::data::Badge;
use crate::model::{Model, Screen};
use crate::theme::{Role, Theme};
use crate::update::obstacle;

/// Draws the page.
pub(super) fn draw(model: &Model, scroll: u16, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = if model.size.is_wide() { 98 } else { 74 };
    let lines = lines(model, usize::from(width) - 6, theme);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let title = match model.screen() {
        Screen::Overview => "Help: overview",
        Screen::Integration => "Help: integration",
        Screen::Attempt => "Help: attempt",
    };
    let cut_off = height.saturating_add(2) > area.height;
    let title = if cut_off { format!("{title}  (j k scroll)") } else { title.to_owned() };
    let inner = popup(frame, area, &title, (width, height), theme);
    let most = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inner.height);
    frame.render_widget(Paragraph::new(lines).scroll((scroll.min(most), 0)), inner);
}

fn lines(model: &Model, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let here: Vec<&Binding> =
        BINDINGS.iter().filter(|b| b.place.covers(model.screen()) && !b.shown.is_empty()).collect();
    let group = |group: Group| here.iter().copied().filter(move |b| b.group == group).collect::<Vec<_>>();
    let columns: [Column<'_>; 3] = [("MOVE", Group::Move), ("ACT", Group::Act), ("VIEW", Group::View)]
        .map(|(name, of)| Column::new(name, group(of), theme));
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    // What is left over stands between the columns.
    let used: usize = columns.iter().map(Column::width).sum();
    let gap = (width.saturating_sub(used) / 2).min(6);
    let head = columns
        .iter()
        .map(|column| theme.span(Role::Quiet, pad(column.name.to_owned(), column.width() + gap)));
    let mut lines = vec![Line::from(head.collect::<Vec<_>>())];
    for row in 0..rows {
        let cells = columns.iter().flat_map(|column| column.cell(row, gap, theme));
        lines.push(Line::from(cells.collect::<Vec<_>>()));
    }
    let refused: Vec<(&Binding, String)> = BINDINGS
        .iter()
        .filter(|b| b.place.covers(model.screen()))
        .filter_map(|b| obstacle(model, b.action).map(|reason| (b, reason)))
        .collect();
    if !refused.is_empty() {
        lines.extend([Line::default(), Line::from(theme.span(Role::Quiet, "NOT POSSIBLE NOW"))]);
    }
    for (binding, reason) in refused {
        let key = pad(theme.spell(binding.shown), 9);
        let text = cut(&format!("{}: {reason}", binding.label), width.saturating_sub(9), theme);
        lines.push(Line::from(vec![theme.span(Role::Strong, key), Span::raw(text)]));
    }
    lines.extend([Line::default(), legend(theme)]);
    let filter = match model.screen() {
        Screen::Overview => "badge:failing  name:x  connector:x  err:x  word  !word",
        _ => "state:failed  code:5xx  class:transient  lead:x  trigger:retry  err:x  word  !word",
    };
    let spans = [theme.span(Role::Quiet, "filter   "), Span::raw(cut(filter, width - 9, theme))];
    lines.push(Line::from(spans.to_vec()));
    lines
}

/// A group of keys, as wide as it must be.
struct Column<'a> {
    name: &'static str,
    cells: Vec<(String, &'a str)>,
    key: usize,
    label: usize,
}

impl<'a> Column<'a> {
    fn new(name: &'static str, bindings: Vec<&'a Binding>, theme: Theme) -> Self {
        let cells: Vec<_> = bindings.into_iter().map(|b| (theme.spell(b.shown), b.label)).collect();
        let key = cells.iter().map(|(key, _)| key.width()).max().unwrap_or(0) + 2;
        let label = cells.iter().map(|(_, label)| label.width()).max().unwrap_or(0);
        Self { name, cells, key, label }
    }

    const fn width(&self) -> usize {
        self.key + self.label
    }

    fn cell(&self, row: usize, gap: usize, theme: Theme) -> Vec<Span<'static>> {
        let Some((key, label)) = self.cells.get(row) else {
            return vec![Span::raw(" ".repeat(self.width() + gap))];
        };
        let label = pad((*label).to_owned(), self.label + gap);
        vec![theme.span(Role::Strong, pad(key.clone(), self.key)), Span::raw(label)]
    }
}

fn legend(theme: Theme) -> Line<'static> {
    let mut spans = vec![theme.span(Role::Quiet, "badges   ")];
    for badge in Badge::ALL {
        let (glyph, role) = theme.badge(badge);
        spans.push(theme.span(role, format!("{glyph} {}  ", badge.word().to_lowercase())));
    }
    Line::from(spans)
}
