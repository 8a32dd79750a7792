//! A list as it is drawn: its head, as many rows as there is room for, and which of them lies where, for clicks.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Table, TableRow};
use crate::console::theme::{Role, Theme};
use crate::console::widgets::columns::{CellContext, TableColumn, fitting};
use crate::console::widgets::draw::{cut, pad, safe, wrapped};
use crate::console::widgets::step::window_from;

impl<R: TableRow> Table<R> {
    /// Draws head and rows into the area; without rows, the line that says why.
    pub fn draw(
        &self,
        columns: &[TableColumn<R>],
        look: &CellContext<'_>,
        empty: &str,
        frame: &mut Frame<'_>,
        area: Rect,
    ) {
        let (width, theme) = (usize::from(area.width), look.theme);
        let visible = self.visible(columns, look.now);
        self.undrawn();
        if let Some(error) = look.error.filter(|_| !self.is_loaded) {
            let lines = wrapped(error, " ", width, Role::Bad, theme);
            return frame.render_widget(Paragraph::new([vec![Line::default()], lines].concat()), area);
        }
        if visible.is_empty() {
            let text = match (self.is_loaded, self.rows.is_empty()) {
                (false, _) => look.waits,
                (true, true) => empty,
                (true, false) => "Nothing passes the filter: Esc clears it.",
            };
            let lines: Vec<Line<'_>> =
                text.lines().map(|line| Line::raw(theme.spell(&format!(" {line}")))).collect();
            frame.render_widget(Paragraph::new([vec![Line::default()], lines].concat()), area);
            return;
        }
        let at = visible.iter().position(|row| Some(row.id()) == self.selected.as_deref()).unwrap_or(0);
        let shown = fitting(columns, width.saturating_sub(3), look.is_one_company, look.is_one_integration);
        let is_faint = self.is_faint(look.now);
        let mut lines = vec![head(&shown, self.sort, look, width)];
        let rows = usize::from(area.height).saturating_sub(1);
        let start = window_from(self.first.get(), at, rows, visible.len());
        self.first.set(start);
        let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        if !self.is_stale() {
            self.drawn.set((below, start));
        }
        for (index, row) in visible.iter().enumerate().skip(start).take(rows) {
            let is_marked = self.marks.contains(row.id());
            let is_selected = index == at && !self.is_stale();
            let line = line(*row, &shown, look, is_selected, is_marked);
            lines.push(if is_faint { faint(line, look.theme) } else { line });
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// Selects the row that is drawn there, if one is.
    pub fn click(&mut self, columns: &[TableColumn<R>], now: Timestamp, place: Position) {
        let (area, start) = self.drawn.get();
        let row = start + usize::from(place.y.saturating_sub(area.y));
        let id = self.visible(columns, now).get(row).map(|row| row.id().to_owned());
        if let Some(id) = id.filter(|_| area.contains(place)) {
            self.select(id);
        }
    }

    /// It is shown in another way: no row is where one was drawn.
    pub fn undrawn(&self) {
        self.drawn.set(Default::default());
    }
}

fn head<R>(
    shown: &[(&TableColumn<R>, usize)],
    sort: Option<(&'static str, bool)>,
    look: &CellContext<'_>,
    width: usize,
) -> Line<'static> {
    let mut text = "   ".to_owned();
    for (column, width) in shown {
        let name = match sort {
            Some((key, turned)) if key == column.spec.key => {
                let sign = if turned { look.theme.pick("▼", "v") } else { look.theme.pick("▲", "^") };
                cut(&format!("{}{sign}", column.spec.shown(true)), *width, look.theme)
            }
            _ => cut(&column.spec.shown(true), *width, look.theme),
        };
        text.push_str(&aligned(name, *width, column.spec.is_right));
        text.push(' ');
    }
    Line::from(look.theme.span(Role::Quiet, cut(text.trim_end(), width, look.theme)))
}

/// One row. What is selected is reversed in its first column alone: few bytes travel for a move.
fn line<R: TableRow>(
    row: &R,
    shown: &[(&TableColumn<R>, usize)],
    look: &CellContext<'_>,
    is_selected: bool,
    is_marked: bool,
) -> Line<'static> {
    let theme = look.theme;
    let pointer = if is_selected { theme.pointer() } else { " " };
    let mark = if is_marked { "*" } else { " " };
    let mut spans = vec![theme.span(Role::Accent, pointer), theme.span(Role::Accent, format!("{mark} "))];
    for (at, (column, width)) in shown.iter().enumerate() {
        let cell = (column.cell)(row, look);
        let text = aligned(safe(&cell.text, *width, theme), *width, column.spec.is_right);
        let style = theme.style(cell.role);
        let style = if is_selected && at == 0 { style.patch(theme.style(Role::Selected)) } else { style };
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// The same row without a meaning of its own.
fn faint(line: Line<'_>, theme: Theme) -> Line<'_> {
    let spans = line.spans.into_iter().map(|span| span.style(theme.style(Role::Quiet)));
    spans.collect::<Vec<_>>().into()
}

fn aligned(text: String, width: usize, is_right: bool) -> String {
    if !is_right {
        return pad(text, width);
    }
    let missing = width.saturating_sub(unicode_width::UnicodeWidthStr::width(text.as_str()));
    format!("{}{text}", " ".repeat(missing))
}
