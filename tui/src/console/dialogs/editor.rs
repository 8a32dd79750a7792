//! Something to be typed, with what would come of it beside: credentials, a field mapping, the condition of a flow, a
//! new integration.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

use super::Then;
use crate::console::data::integration::Proposal;
use crate::console::data::query::{Connector, DeliveryQuery, Field, FlowTest, Preview};
use crate::console::data::{Answer, Flow, Integration, Mutation, Query, Secret};
use crate::console::keymap::Press;
use crate::console::msg::Ticket;
use crate::console::screen::{Cx, Event, Fetch, View};
use crate::console::theme::{Role, Theme};
use crate::console::widgets::document::{self, Doc, Kind};
use crate::console::widgets::draw::{popup, safe};
use crate::console::widgets::input::Input;
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::textarea::TextArea;

#[cfg(test)]
pub(crate) mod about;
mod entry;
mod flow;
mod integration;
mod mapping;

pub use integration::IntegrationForm;

/// A form over the screen. What was typed into it is not lost by a key: leaving it asks.
#[derive(Clone, Debug)]
pub struct Editor {
    form: EditorForm,
    /// Whether it asks if what was typed may go.
    asks: bool,
}

/// What is edited.
#[derive(Clone, Debug)]
enum EditorForm {
    Credentials(Credentials),
    Mapping(Mapping),
    Flow(FlowEditor),
    Integration(IntegrationForm),
}

/// New credentials, a line for each part; nothing of them is shown.
#[derive(Clone, Debug)]
struct Credentials {
    integration: String,
    name: String,
    connector: String,
    fields: Vec<(Field, Input)>,
    at: usize,
    fetch: Fetch<Vec<Connector>>,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.fields.iter_mut().for_each(|(_, input)| input.zeroize());
    }
}

/// A mapping, and what it makes of a lead.
#[derive(Clone, Debug)]
struct Mapping {
    integration: String,
    name: String,
    /// The lead of the preview; empty for the sample of test pushes.
    lead: String,
    person: String,
    /// As it was opened.
    before: String,
    /// What the last check with the target found that could be added.
    proposals: Fetch<Vec<Proposal>>,
    area: TextArea,
    preview: Fetch<Preview>,
    /// How far the preview is scrolled.
    page: PageScroll,
    /// Where no lead was selected: one that died here shows more than a sample.
    dead: Fetch<Option<(String, String)>>,
}

/// The condition of a flow, and what it makes of the last leads.
#[derive(Clone, Debug)]
struct FlowEditor {
    flow: Flow,
    when: Input,
    /// The condition that was asked last: only that one is saved.
    asked: String,
    test: Fetch<FlowTest>,
}

impl Editor {
    fn of(form: EditorForm) -> Self {
        Self { form, asks: false }
    }

    /// Asks for new credentials of an integration.
    pub fn credentials(it: &Integration) -> Self {
        Self::of(EditorForm::Credentials(Credentials {
            integration: it.id.clone(),
            name: it.full_name(),
            connector: it.connector.clone(),
            fields: Vec::new(),
            at: 0,
            fetch: Fetch::default(),
        }))
    }

    /// Edits the mapping of an integration, with a preview of this lead.
    pub fn mapping(it: &Integration, lead: String, person: String) -> Self {
        let pretty = serde_json::from_str::<Value>(&it.mapping).map(|value| format!("{value:#}"));
        let text = pretty.unwrap_or_else(|_| it.mapping.clone());
        let area = TextArea::with(if text.trim().is_empty() { "{}" } else { &text });
        Self::of(EditorForm::Mapping(Mapping {
            integration: it.id.clone(),
            name: it.full_name(),
            lead,
            person,
            before: area.text(),
            proposals: Fetch::default(),
            area,
            preview: Fetch::default(),
            page: PageScroll::default(),
            dead: Fetch::default(),
        }))
    }

    /// The flow whose condition is edited.
    pub const fn edited_flow(&self) -> Option<&Flow> {
        match &self.form {
            EditorForm::Flow(it) => Some(&it.flow),
            _ => None,
        }
    }

    /// Edits the condition of a flow.
    pub fn flow(flow: Flow) -> Self {
        let when = Input::with(flow.when.clone());
        Self::of(EditorForm::Flow(FlowEditor { flow, when, asked: String::new(), test: Fetch::default() }))
    }

    /// A new integration of a company.
    pub fn integration(company: i64, company_name: String) -> Self {
        Self::of(EditorForm::Integration(IntegrationForm::new(company, company_name)))
    }

    /// The settings of an integration that there is.
    pub fn settings(it: &Integration) -> Self {
        Self::of(EditorForm::Integration(IntegrationForm::of(it)))
    }

    /// Asks for what it shows besides.
    pub fn load(&mut self, cx: &mut Cx<'_>) {
        match &mut self.form {
            EditorForm::Credentials(it) => it.fetch.ask(Query::Connectors, cx),
            EditorForm::Integration(it) => it.load(cx),
            EditorForm::Mapping(it) => {
                it.look(cx);
                it.proposals.ask(Query::Proposals { integration: it.integration.clone() }, cx);
                if it.lead.is_empty() {
                    let which = DeliveryQuery {
                        integration: it.integration.clone(),
                        states: vec!["dead"],
                        ..DeliveryQuery::default()
                    };
                    it.dead.ask(Query::Deliveries { which, after: String::new() }, cx);
                }
            }
            EditorForm::Flow(it) => it.look(cx),
        }
    }

    /// Takes an answer in.
    pub fn event(&mut self, event: &Event<'_>, cx: &mut Cx<'_>) {
        match &mut self.form {
            EditorForm::Credentials(it) => {
                let taken = it.fetch.take(event, |answer| match answer {
                    Answer::Connectors(connectors) => Some(connectors.clone()),
                    _ => None,
                });
                if taken && it.fields.is_empty() {
                    let mine = it.fetch.value.iter().flatten().find(|known| known.name == it.connector);
                    let fields = mine.map(|known| known.credentials.clone()).unwrap_or_default();
                    it.fields = fields.into_iter().map(|field| (field, Input::default())).collect();
                }
            }
            EditorForm::Mapping(it) => {
                let found = it.dead.take(event, |answer| match answer {
                    Answer::Deliveries { rows, .. } => {
                        Some(rows.first().map(|row| (row.lead.clone(), row.person().to_owned())))
                    }
                    _ => None,
                });
                if let Some(Some((lead, person))) = it.dead.value.clone().filter(|_| found) {
                    (it.lead, it.person) = (lead, person);
                    it.look(cx);
                }
                it.proposals.take(event, |answer| match answer {
                    Answer::Proposals(proposals) => Some(proposals.clone()),
                    _ => None,
                });
                it.preview.take(event, |answer| match answer {
                    Answer::Preview(preview) => Some((**preview).clone()),
                    _ => None,
                });
            }
            EditorForm::Integration(it) => it.event(event),
            EditorForm::Flow(it) => {
                it.test.take(event, |answer| match answer {
                    Answer::FlowTest(test) => Some(test.clone()),
                    _ => None,
                });
            }
        }
    }

    /// Takes a key in.
    pub fn key(&mut self, press: Press, cx: &mut Cx<'_>) -> Then {
        match (self.asks, press.code) {
            (true, KeyCode::Char('y')) if !press.ctrl && !press.repeat => return Then::Close,
            (true, KeyCode::Char('n') | KeyCode::Esc) if !press.repeat => self.asks = false,
            (false, KeyCode::Esc) if self.form.is_typed() => self.asks = true,
            (false, KeyCode::Esc) => return Then::Close,
            (false, _) => return self.form_key(press, cx),
            (true, _) => {}
        }
        Then::Stay
    }

    fn form_key(&mut self, press: Press, cx: &mut Cx<'_>) -> Then {
        match &mut self.form {
            EditorForm::Credentials(it) => it.key(press),
            EditorForm::Mapping(it) => it.key(press, cx),
            EditorForm::Flow(it) => it.key(press, cx),
            EditorForm::Integration(it) => it.key(press, cx.shared),
        }
    }

    /// The change has left; true if the editor stays open until it is answered.
    pub fn sent(&mut self, ticket: Ticket) -> bool {
        match &mut self.form {
            EditorForm::Integration(it) => {
                it.sent(ticket);
                true
            }
            EditorForm::Credentials(_) | EditorForm::Mapping(_) | EditorForm::Flow(_) => false,
        }
    }

    /// Takes in what the reader's own editor made of the text.
    pub fn edited(&mut self, text: &str, cx: &mut Cx<'_>) {
        match &mut self.form {
            EditorForm::Mapping(it) => {
                it.area = TextArea::with(text);
                it.look(cx);
            }
            EditorForm::Flow(it) => {
                // Over several lines it is one condition; blanks within quotes are its own.
                let line: Vec<&str> = text.lines().map(str::trim_end).collect();
                it.when = Input::with(line.join(" ").trim());
                it.look(cx);
            }
            EditorForm::Integration(it) => it.edited(text),
            // Credentials never reach a file.
            EditorForm::Credentials(_) => {}
        }
    }

    /// Takes pasted text in.
    pub fn paste(&mut self, text: &str, cx: &mut Cx<'_>) {
        match &mut self.form {
            EditorForm::Credentials(it) => {
                let lines = it.fields.iter_mut().map(|(field, input)| (field.name.as_str(), input));
                paste_credentials(text, lines.collect(), it.at);
            }
            EditorForm::Mapping(it) => {
                it.area.paste(text);
                it.look(cx);
            }
            EditorForm::Flow(it) => it.when.paste(text),
            EditorForm::Integration(it) => it.paste(text),
        }
    }

    pub fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        match &self.form {
            EditorForm::Credentials(it) => it.draw(view, frame, area),
            EditorForm::Mapping(it) => it.draw(view, frame, area),
            EditorForm::Flow(it) => it.draw(view, frame, area),
            EditorForm::Integration(it) => it.draw(view, frame, area),
        }
        if self.asks {
            let theme = view.theme;
            let inner = popup(frame, area, "Discard what you typed?", (46, 5), theme);
            let keys = [("y", " discards it   "), ("n", " or "), ("Esc", " goes on typing")];
            let keys = keys.map(|(key, does)| [theme.span(Role::Strong, key), Span::raw(does)]).concat();
            frame.render_widget(Paragraph::new(vec![Line::default(), Line::from(keys)]), inner);
        }
    }

    /// The form of a new integration, if that is what it is.
    pub fn new_integration(&mut self) -> Option<&mut IntegrationForm> {
        match &mut self.form {
            EditorForm::Integration(form) => Some(form),
            _ => None,
        }
    }
}

/// Puts what is pasted into a line. A JSON object, as key files are, goes into the lines that it names.
fn paste_credentials(text: &str, mut lines: Vec<(&str, &mut Input)>, at: usize) {
    let text = text.trim();
    let mut object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let named = |key: &String| lines.iter().any(|(name, _)| name == key);
    let is_key_file = !object.is_empty() && object.keys().all(named);
    for (key, value) in &mut object {
        let text = Zeroizing::new(match value {
            Value::Null => continue,
            Value::String(text) => std::mem::take(text),
            other => other.to_string(),
        });
        if let Some((_, input)) = lines.iter_mut().find(|(name, _)| is_key_file && name == key) {
            input.zeroize();
            input.paste_lines(&text);
        }
    }
    if let Some((_, input)) = lines.get_mut(at).filter(|_| !is_key_file) {
        input.paste_lines(text);
    }
}

/// What of a secret is seen: how long it is, and of how many lines.
fn dots(text: &str, width: usize, theme: Theme) -> String {
    let lines = text.lines().count();
    let tail = if lines > 1 { format!(" {lines} lines") } else { String::new() };
    let room = width.saturating_sub(tail.len());
    theme.pick("•", "*").repeat(text.chars().count().min(room)) + &tail
}

impl EditorForm {
    /// Whether something would be lost.
    fn is_typed(&self) -> bool {
        match self {
            Self::Credentials(it) => it.fields.iter().any(|(_, input)| !input.text().is_empty()),
            Self::Mapping(it) => it.area.text() != it.before,
            Self::Flow(it) => it.when.text() != it.flow.when,
            Self::Integration(it) => it.is_typed(),
        }
    }
}

impl Credentials {
    fn key(&mut self, press: Press) -> Then {
        let last = self.fields.len().saturating_sub(1);
        match press.code {
            KeyCode::Up | KeyCode::BackTab => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => self.at = (self.at + 1).min(last),
            KeyCode::Enter if press.repeat => {}
            KeyCode::Enter => match self.missing() {
                Some(at) if at != self.at => self.at = at,
                _ => return self.submit(),
            },
            KeyCode::Char('s') if press.ctrl => return self.submit(),
            _ => {
                if let Some((_, input)) = self.fields.get_mut(self.at) {
                    input.key(press);
                }
            }
        }
        Then::Stay
    }

    /// A line that must be filled and is not.
    fn missing(&self) -> Option<usize> {
        self.fields.iter().position(|(field, input)| field.required && input.text().trim().is_empty())
    }

    fn submit(&self) -> Then {
        let given = |(field, input): &(Field, Input)| {
            let text = input.text().trim();
            (!text.is_empty()).then(|| (field.name.clone(), Value::from(text)))
        };
        let map: Map<String, Value> = self.fields.iter().filter_map(given).collect();
        if map.is_empty() {
            return Then::Refuse("nothing has been typed yet".to_owned());
        }
        let json = Secret::new(Value::Object(map).to_string());
        let mutation = Mutation::Credentials { integration: self.integration.clone(), json };
        Then::Change { mutation, what: format!("new credentials of {}", self.name) }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let width = usize::from(area.width.min(76)).saturating_sub(8);
        let title = format!("New credentials of {}", safe(&self.name, width.saturating_sub(20), theme));
        let mut lines = vec![
            Line::default(),
            Line::from(theme.span(Role::Strong, title)),
            Line::from("Tried first; they replace the old ones only if the target takes them."),
            Line::default(),
        ];
        match (&self.fetch.error, self.fetch.is_waiting(), self.fields.is_empty()) {
            (Some(error), ..) => lines.push(Line::from(theme.span(Role::Bad, safe(error, width, theme)))),
            (None, true, true) => lines.push(Line::from(theme.spell(view.shared.waits()))),
            (None, false, true) => {
                let none = [
                    "This connector has no credentials: nobody logs in.".to_owned(),
                    "What is secret of it, as a header's value, stands in its config:".to_owned(),
                    format!("leadline integration update {} --config JSON", self.integration),
                ];
                lines.extend(none.map(|text| Line::from(safe(&text, width, theme))));
            }
            (None, _, false) => {}
        }
        for (at, (field, text)) in self.fields.iter().enumerate() {
            let star = if field.required { " *" } else { "" };
            let label = format!("{:<18}", format!("{}{star}", safe(&field.name, 16, theme)));
            let room = width.saturating_sub(22);
            let dots =
                if field.secret { dots(text.text(), room, theme) } else { safe(text.text(), room, theme) };
            let mut line = vec![theme.span(if at == self.at { Role::Strong } else { Role::Quiet }, label)];
            line.push(Span::raw(dots));
            if at == self.at {
                line.push(theme.span(Role::Selected, " "));
            }
            lines.push(Line::from(line));
        }
        if let Some((field, _)) = self.fields.get(self.at) {
            let mut help = Doc::default();
            help.push(Kind::Quiet, &field.help);
            lines.push(Line::default());
            let help = document::fit(help.0, width, true).into_iter().take(3);
            lines.extend(help.map(|line| Line::from(theme.span(Role::Quiet, line.text))));
        }
        let keys = match self.fields.is_empty() {
            true => "Esc leaves",
            false => "Enter tries them   Tab next line   Esc gives up",
        };
        lines.extend([Line::default(), Line::from(theme.span(Role::Quiet, safe(keys, width, theme)))]);
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
        let inner = popup(frame, area, "Replace credentials", (80, height), theme);
        frame.render_widget(Paragraph::new(lines), inner);
    }
}
