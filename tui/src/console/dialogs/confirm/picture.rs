//! The picture of a question: what is asked, what is to be known of it, what may be chosen and typed, and the buttons.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::{Choice, Confirm, Estimating, Focus, count};
use crate::console::data::change::Snooze;
use crate::console::data::{Estimate, Mutation};
use crate::console::screen::View;
use crate::console::theme::{Role, Theme};
use crate::console::widgets::draw::{input, popup, safe, wrapped};
use crate::console::widgets::time;

const WIDTH: u16 = 76;
/// So many lines each fact has at most.
const FACT_LINES: usize = 4;
/// What may be typed where nothing is.
const OR_A_PACE: &str = ", or so many a minute for each integration";

impl Confirm {
    /// Draws the question.
    pub fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let width = usize::from(WIDTH.min(area.width.saturating_sub(2))).saturating_sub(6);
        // The popup leaves a line free above and below, and has a frame.
        let room = usize::from(area.height.saturating_sub(4));
        let mut lines = self.lines(width, FACT_LINES, 0, view);
        if lines.len() > room {
            lines = self.shortened(width, room, view);
        }
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
        let inner = popup(frame, area, self.title, (WIDTH, height), view.theme);
        // Whatever else does not fit, the buttons must still be seen.
        let hidden = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inner.height);
        frame.render_widget(Paragraph::new(lines).scroll((hidden, 0)), inner);
    }

    /// The same in a low window: blank lines go first, then the ends of facts, then the first facts, and warnings last.
    /// What is asked stays.
    fn shortened(&self, width: usize, room: usize, view: View<'_>) -> Vec<Line<'static>> {
        let dense = |most, left_out| {
            let mut lines = self.lines(width, most, left_out, view);
            lines.retain(|line| line.width() > 0);
            lines
        };
        let longest = (1..=FACT_LINES).rev().map(|most| dense(most, 0)).find(|lines| lines.len() <= room);
        longest.unwrap_or_else(|| dense(1, dense(1, 0).len().saturating_sub(room)))
    }

    /// What is to be known of it, as it is chosen now, without so many facts.
    fn told(&self, left_out: usize) -> Vec<&String> {
        let way = self.choice.as_ref().and_then(|choice| choice.ways.get(choice.at));
        let mut told: Vec<_> = self.facts.iter().chain(way.into_iter().flat_map(|way| &way.facts)).collect();
        for _ in 0..left_out.min(told.len()) {
            told.remove(told.iter().position(|fact| !fact.starts_with('!')).unwrap_or(0));
        }
        told
    }

    /// All that it says, of each fact as many lines at most, without so many facts.
    fn lines(&self, width: usize, most: usize, left_out: usize, view: View<'_>) -> Vec<Line<'static>> {
        let theme = view.theme;
        let mut lines = vec![Line::default()];
        lines.extend(wrapped(&self.question, "", width, Role::Strong, theme));
        lines.push(Line::default());
        let bullet = theme.pick("• ", "* ");
        for fact in self.told(left_out) {
            let shown = match fact.strip_prefix('!') {
                Some(warning) => wrapped(warning.trim_start(), "! ", width, Role::Warn, theme),
                None => wrapped(fact, bullet, width, Role::Plain, theme),
            };
            lines.extend(shown.into_iter().take(most));
        }
        lines.extend(self.dry_run(width, theme));
        if let Some(choice) = &self.choice {
            lines.push(Line::default());
            lines.push(Line::from(theme.span(Role::Quiet, format!("{}:", choice.label))));
            lines.extend(self.ways(choice, width, theme));
        }
        lines.extend(self.entered(width, theme));
        lines.extend(self.typed(width, theme));
        lines.push(Line::default());
        let obstacle = view.shared.locked().or_else(|| self.obstacle().map(str::to_owned));
        lines.push(self.buttons(obstacle, theme));
        lines
    }

    fn dry_run(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        match &self.estimate {
            Estimating::NotNeeded => Vec::new(),
            Estimating::Waiting(_) => {
                vec![Line::from(theme.span(Role::Quiet, theme.spell("dry run: counting…")))]
            }
            Estimating::Failed(error) => wrapped(&error.to_string(), "dry run: ", width, Role::Bad, theme),
            Estimating::Done(estimate) => {
                let mut lines = wrapped(&estimated(estimate), "dry run: ", width, Role::Plain, theme);
                let names: Vec<&str> = estimate.sample.iter().take(4).map(String::as_str).collect();
                if estimate.count > 1 && !names.is_empty() {
                    let more = if estimate.count > names.len() as u64 { "…" } else { "" };
                    let text = theme.spell(&format!("{}{more}", names.join(", ")));
                    lines.extend(wrapped(&text, "", width, Role::Quiet, theme));
                }
                lines
            }
        }
    }

    /// The ways, side by side as far as there is room.
    fn ways(&self, choice: &Choice, width: usize, theme: Theme) -> Vec<Line<'static>> {
        let (mut lines, mut spans, mut used) = (Vec::new(), Vec::new(), 0);
        for (at, way) in choice.ways.iter().enumerate() {
            let is_chosen = at == choice.at;
            let role = match (is_chosen, self.focus) {
                (true, Focus::Choice) => Role::Selected,
                (true, _) => Role::Strong,
                _ => Role::Quiet,
            };
            let text = format!("{} {}", if is_chosen { "(x)" } else { "( )" }, way.label);
            if used + text.len() > width && used > 0 {
                lines.push(Line::from(std::mem::take(&mut spans)));
                used = 0;
            }
            used += text.len() + 3;
            spans.extend([theme.span(role, text), Span::raw("   ")]);
        }
        lines.push(Line::from(spans));
        lines
    }

    /// What may be typed besides: how fast, where a job carries it out; until when, where it is a snooze.
    fn entered(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        if !self.has_entry() {
            return Vec::new();
        }
        let (before, room, nothing, behind) = match self.mutation.is_job() {
            true => ("at most ", 9, "as many as it takes", " a minute, for each integration".to_owned()),
            false => ("or until ", 18, "as chosen", self.end()),
        };
        let mut line = vec![theme.span(Role::Quiet, before)];
        match (self.focus, self.entry.text()) {
            (Focus::Entry, _) => line.extend(input(&self.entry, room.min(width), theme)),
            (_, "") => line.push(theme.span(Role::Strong, nothing)),
            (_, text) => line.push(theme.span(Role::Strong, safe(text, room, theme))),
        }
        let is_open = self.focus != Focus::Entry && self.entry.text().is_empty();
        let behind = if is_open && self.mutation.is_job() { OR_A_PACE.to_owned() } else { behind };
        line.push(theme.span(Role::Quiet, behind));
        vec![Line::default(), Line::from(line)]
    }

    /// When the snooze ends that is typed, else how a time is typed.
    fn end(&self) -> String {
        match self.change() {
            Ok(Mutation::Snooze { until: Snooze::Until(at), .. }) => {
                format!("   {}", time::moment(at, &self.zone))
            }
            _ => "   14:00, tomorrow 8:00, 4h".to_owned(),
        }
    }

    fn typed(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        let Some(expected) = self.expected() else { return Vec::new() };
        let mut lines = vec![Line::default()];
        if expected.width() + 18 <= width {
            lines.push(Line::from(vec![
                theme.span(Role::Quiet, "Type "),
                theme.span(Role::Strong, safe(&expected, width, theme)),
                theme.span(Role::Quiet, " to confirm:"),
            ]));
        } else {
            lines.push(Line::from(theme.span(Role::Quiet, "Type this to confirm, all of it:")));
            lines.extend(wrapped(&expected, "  ", width, Role::Strong, theme));
        }
        let mut line = vec![theme.span(Role::Accent, theme.pick("┃ ", "> "))];
        if self.focus == Focus::Input {
            line.extend(input(&self.input, width.saturating_sub(2), theme));
        } else {
            line.push(Span::raw(safe(self.input.text(), width.saturating_sub(2), theme)));
        }
        lines.push(Line::from(line));
        lines
    }

    fn buttons(&self, obstacle: Option<String>, theme: Theme) -> Line<'static> {
        let focused = |focus: Focus| if self.focus == focus { Role::Selected } else { Role::Plain };
        let key = match (self.expected().is_some(), self.focus) {
            (true, Focus::Input) => "Enter  ",
            (true, _) => "",
            (false, _) => "y  ",
        };
        let mut spans = vec![theme.span(focused(Focus::Cancel), "[ Cancel ]"), Span::raw("    ")];
        match obstacle {
            None => {
                spans.push(theme.span(Role::Strong, key));
                spans.push(theme.span(focused(Focus::Confirm), format!("[ {} ]", self.verb)));
            }
            Some(reason) => {
                spans.push(theme.span(Role::Quiet, format!("  {}  ", self.verb)));
                spans.push(theme.span(Role::Warn, format!(" {reason}")));
            }
        }
        Line::from(spans)
    }
}

fn estimated(estimate: &Estimate) -> String {
    let deliveries = count(estimate.count, "delivery", "deliveries");
    let taken = match estimate.seconds {
        seconds if seconds < 1.0 => "under a second".to_owned(),
        seconds => format!("about {}", time::span(seconds.ceil() as i64)),
    };
    format!("{deliveries}, {taken}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_left_out_last() {
        let mutation = Mutation::FlowWhen { flow: "01F1".to_owned(), when: "true".to_owned() };
        let mut confirm = Confirm::new("Flow", "Save", "Save it?".to_owned(), mutation);
        confirm.facts = ["a", "! b", "c", "! d"].map(str::to_owned).to_vec();
        for (left_out, told) in
            [(0, &["a", "! b", "c", "! d"][..]), (1, &["! b", "c", "! d"]), (3, &["! d"]), (9, &[])]
        {
            assert_eq!(confirm.told(left_out), told);
        }
    }
}
