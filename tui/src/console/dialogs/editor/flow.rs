//! The condition of a flow: edited, tried on the last leads, saved.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::{FlowEditor, Then};
use crate::console::data::{Mutation, Query};
use crate::console::keymap::Press;
use crate::console::screen::{Cx, View};
use crate::console::theme::Role;
use crate::console::widgets::draw::{input, popup, safe};

impl FlowEditor {
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        if !cx.shared.is_live() {
            // Nobody would answer, and what was answered before is about another condition.
            return;
        }
        self.asked = self.when.text().to_owned();
        let query = Query::TestFlow { flow: self.flow.id.clone(), when: self.asked.clone() };
        // What was shown is about another condition: whoever reads it must not take it for this one's.
        self.test.forget();
        self.test.ask(query, cx);
    }

    pub(super) fn key(&mut self, press: Press, cx: &mut Cx<'_>) -> Then {
        match press.code {
            KeyCode::Enter => self.look(cx),
            KeyCode::Char('o') if press.ctrl => return Then::Edit(self.when.text().to_owned()),
            KeyCode::Char('s') if press.ctrl => {
                if self.is_tried() && self.test.is_waiting() {
                    return Then::Refuse(
                        "its last 500 leads are being asked: save it once the answer is here".to_owned(),
                    );
                }
                if !self.is_tried() || self.test.error.is_some() {
                    return Then::Refuse("try it first: Enter asks it of the last 500 leads".to_owned());
                }
                let mutation = Mutation::FlowWhen { flow: self.flow.id.clone(), when: self.asked.clone() };
                return Then::Change { mutation, what: format!("flow {}", self.flow.name) };
            }
            _ => {
                self.when.key(press);
            }
        }
        Then::Stay
    }

    /// Whether what is shown of the last leads is about the condition as it stands.
    fn is_tried(&self) -> bool {
        self.asked == self.when.text()
    }

    pub(super) fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let width = usize::from(area.width.min(96)).saturating_sub(8);
        let targets: Vec<&str> = self.flow.targets.iter().map(|(_, name)| name.as_str()).collect();
        let mut lines = vec![
            Line::default(),
            Line::from(theme.span(Role::Strong, safe(&format!("Flow {}", self.flow.name), width, theme))),
            Line::from(
                theme.span(Role::Quiet, safe(&format!("sends to {}", targets.join(", ")), width, theme)),
            ),
            Line::default(),
            Line::from(theme.span(Role::Quiet, "A lead goes there when")),
            Line::from(input(&self.when, width, theme)),
            Line::default(),
        ];
        lines.extend(match (&self.test.error, &self.test.value) {
            _ if !self.is_tried() => {
                vec![Line::from(theme.span(Role::Warn, "Changed since it was asked: Enter asks it again."))]
            }
            (Some(error), _) => vec![Line::from(theme.span(Role::Bad, safe(error, width, theme)))],
            (None, None) => vec![Line::from(theme.spell("Asking the last 500 leads…"))],
            (None, Some(test)) => {
                let reply = format!(
                    "Of the last {} leads {} would go, {} would not, {} cannot be decided.",
                    test.tested, test.sent, test.kept_away, test.failed
                );
                vec![
                    Line::from(theme.span(Role::Strong, safe(&reply, width, theme))),
                    Line::from(theme.span(Role::Bad, safe(&test.error, width, theme))),
                ]
            }
        });
        let keys = "Enter asks the last 500 leads   ^s saves   ^o $EDITOR   Esc leaves";
        lines.extend([Line::default(), Line::from(theme.span(Role::Quiet, keys))]);
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
        let inner = popup(frame, area, "Edit the flow", (100, height), theme);
        frame.render_widget(Paragraph::new(lines), inner);
    }
}
