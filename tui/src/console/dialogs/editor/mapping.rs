//! A field mapping: edited beside what it makes of a lead.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use serde_json::{Map, Value};

use super::{Mapping, Then};
use crate::console::data::integration::Proposal;
use crate::console::data::{Mutation, Query};
use crate::console::keymap::{Action, Press};
use crate::console::screen::{Cx, View};
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind};
use crate::console::widgets::draw::{input, pane, safe};
use crate::console::widgets::input::Input;
use crate::console::widgets::step::window_start;
use crate::console::widgets::textarea::TextArea;

impl Mapping {
    /// Why it cannot be saved.
    fn problem(&self) -> Option<String> {
        match serde_json::from_str::<Value>(&self.area.text()) {
            Ok(Value::Object(_)) => None,
            Ok(_) => Some("a mapping is a JSON object".to_owned()),
            Err(error) => Some(format!("not JSON yet: {error}")),
        }
    }

    /// What could be added to the text as it is now.
    fn proposed(&self) -> Vec<&Proposal> {
        let typed = serde_json::from_str::<Map<String, Value>>(&self.area.text()).unwrap_or_default();
        self.proposals.value.iter().flatten().filter(|it| !typed.contains_key(&it.field)).collect()
    }

    /// Adds all that is proposed, behind what stands there.
    fn add_proposed(&mut self, cx: &mut Cx<'_>) -> Then {
        let Ok(mut mapping) = serde_json::from_str::<Map<String, Value>>(&self.area.text()) else {
            return Then::Refuse(self.problem().unwrap_or_default());
        };
        let proposed: Vec<(String, Value)> = self
            .proposed()
            .into_iter()
            .filter_map(|it| Some((it.field.clone(), serde_json::from_str(&it.rule).ok()?)))
            .collect();
        if proposed.is_empty() {
            let nothing = "nothing is proposed that is not there: a check with the target, which follows a save, looks anew";
            return Then::Refuse(nothing.to_owned());
        }
        mapping.extend(proposed);
        self.area = TextArea::with(&format!("{:#}", Value::Object(mapping)));
        self.look(cx);
        Then::Stay
    }

    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        if self.problem().is_none() {
            let (integration, lead) = (self.integration.clone(), self.lead.clone());
            let query = Query::Preview { integration, lead, mapping: Some(self.area.text()) };
            self.preview.ask_anew(query, cx);
        }
    }

    pub(super) fn key(&mut self, press: Press, cx: &mut Cx<'_>) -> Then {
        if press.ctrl && press.code == KeyCode::Char('s') {
            if let Some(problem) = self.problem() {
                return Then::Refuse(problem);
            }
            let mutation =
                Mutation::Mapping { integration: self.integration.clone(), json: self.area.text() };
            return Then::Change { mutation, what: format!("mapping of {}", self.name) };
        }
        if press.ctrl && press.code == KeyCode::Char('o') {
            return Then::Edit(self.area.text());
        }
        if press.ctrl && press.code == KeyCode::Char('p') {
            return self.add_proposed(cx);
        }
        if press.ctrl && matches!(press.code, KeyCode::Char('d' | 'u')) {
            let is_down = press.code == KeyCode::Char('d');
            self.page.perform(if is_down { Action::PageDown } else { Action::PageUp });
            return Then::Stay;
        }
        let before = self.area.text();
        self.area.key(press);
        if self.area.text() != before {
            self.look(cx);
        }
        Then::Stay
    }

    pub(super) fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        frame.render_widget(Clear, area);
        let [body, foot] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(area);
        let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
        let [left, right] = Layout::horizontal(halves).areas(body);
        let name = safe(&self.name, usize::from(left.width).saturating_sub(16), theme);
        let block = pane(vec![theme.span(Role::Strong, format!("Mapping of {name}"))], true, theme);
        let inner = block.inner(left);
        frame.render_widget(block, left);
        frame.render_widget(Paragraph::new(self.lines(view, inner)), inner);

        let person = if self.person.is_empty() { "the sample lead" } else { &self.person };
        let title =
            format!("What is sent for {}", safe(person, usize::from(right.width).saturating_sub(24), theme));
        let title = vec![theme.span(Role::Strong, title)];
        self.page.draw(self.outcome(view.shared.waits()), title, false, view, frame, right);
        let add = if self.proposed().is_empty() { "" } else { "^p add proposals  " };
        let keys = format!(" ^s save, check  {add}^k cut  ^d ^u preview  ^o $EDITOR  Esc leave");
        frame.render_widget(Line::from(theme.span(Role::Quiet, keys)), foot);
    }

    fn lines(&self, view: View<'_>, inner: Rect) -> Vec<Line<'static>> {
        let (row, column) = self.area.cursor();
        let rows = usize::from(inner.height);
        let start = window_start(row, rows, self.area.lines().len());
        let width = usize::from(inner.width).saturating_sub(1);
        let shown = self.area.lines().iter().enumerate().skip(start).take(rows);
        shown
            .map(|(at, text)| {
                if at == row {
                    let mut line = Input::with(text.clone());
                    line.home();
                    (0..column).for_each(|_| line.right());
                    let mut spans = vec![Span::raw(" ")];
                    spans.extend(input(&line, width, view.theme));
                    Line::from(spans)
                } else {
                    Line::from(format!(" {}", safe(text, width, view.theme)))
                }
            })
            .collect()
    }

    fn outcome(&self, waits: &str) -> Doc {
        let mut doc = Doc::default();
        if let Some(problem) = self.problem() {
            doc.push(Kind::Error, &problem);
        }
        if let Some(error) = &self.preview.error {
            doc.push(Kind::Error, error);
        }
        let proposed = self.proposed();
        if !proposed.is_empty() {
            doc.section("proposed by the last check");
            for it in proposed {
                doc.field(&it.field, &format!("{}: {}", it.rule, it.why));
            }
            doc.gap();
        }
        match &self.preview.value {
            None if self.preview.is_waiting() => doc.push(Kind::Quiet, waits),
            None => {}
            Some(preview) => {
                if !preview.error.is_empty() {
                    doc.push(Kind::Error, &preview.error);
                    doc.gap();
                }
                doc.push(Kind::Strong, &preview.request);
                doc.gap();
                doc.body(&preview.body);
                if !preview.plan.is_empty() {
                    doc.section("all requests are made from");
                    doc.body(&preview.plan);
                }
                doc.section("the lead");
                doc.body(&preview.canonical);
            }
        }
        doc
    }
}
