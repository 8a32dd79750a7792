//! A new integration: its connector, then a line for each thing that this connector is configured with. And the same
//! lines for one that there is, filled with what they are.
//!
//! What was typed stays until the daemon has taken it: what it refuses is corrected here, not typed again.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

#[cfg(test)]
use super::about::About;
use super::entry::{EditorLine, Part};
use super::{Then, dots, paste_credentials};
use crate::console::app::shared::Shared;
use crate::console::data::change::NewIntegration;
use crate::console::data::query::{Connector, Field};
use crate::console::data::{Answer, Integration, Mutation, Query, Secret};
use crate::console::dialogs::{Menu, MenuItem, Pick};
use crate::console::keymap::Press;
use crate::console::msg::Ticket;
use crate::console::screen::{Cx, Event, Fetch, View};
use crate::console::theme::{Role, Theme};
use crate::console::widgets::document::{self, Doc, Kind};
use crate::console::widgets::draw::{column, cut, input, popup, safe};
use crate::console::widgets::step::window_start;

/// A new integration, or one whose settings are changed, line by line.
#[derive(Clone, Debug)]
pub struct IntegrationForm {
    company: i64,
    company_name: String,
    /// The one that is changed; none for a new one.
    changed: Option<Changed>,
    connectors: Fetch<Vec<Connector>>,
    /// The choice of a connector, until one is chosen.
    choice: Menu,
    connector: Option<Connector>,
    lines: Vec<EditorLine>,
    at: usize,
    is_disabled: bool,
    waits_for: Option<Ticket>,
    refusal: Option<String>,
}

/// What was typed is not what its field takes.
#[derive(Debug, thiserror::Error)]
enum WrongKind {
    #[error("{0}: type a number")]
    NoNumber(String),
    #[error("{name}: type JSON ({kind})")]
    NoJson { name: String, kind: String },
}

/// An integration whose settings are changed, as it was when the form opened.
#[derive(Clone, Debug)]
struct Changed {
    id: String,
    name: String,
    connector: String,
    config: Map<String, Value>,
}

/// The settings of a configuration.
fn settings(config: &str) -> Map<String, Value> {
    serde_json::from_str(config).unwrap_or_default()
}

impl Drop for IntegrationForm {
    fn drop(&mut self) {
        let secret = self.lines.iter_mut().filter(|line| line.field.secret || line.part == Part::Credentials);
        secret.for_each(|line| line.input.zeroize());
    }
}

impl Changed {
    /// A setting as it is. One that is shown as dots starts empty, and stays what it is unless another is typed.
    fn line(&self, field: &Field) -> EditorLine {
        let text = match self.config.get(&field.name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        if field.secret && !text.is_empty() {
            let field = Field { default: format!("as it is: {text}"), required: false, ..field.clone() };
            return EditorLine::new(Part::Config, field, String::new());
        }
        EditorLine::new(Part::Config, field.clone(), text)
    }
}

impl IntegrationForm {
    /// A form for a company, still without a connector.
    pub fn new(company: i64, company_name: String) -> Self {
        Self {
            choice: Menu::typed(format!("New integration of {company_name}: which target?"), Vec::new()),
            company,
            company_name,
            changed: None,
            connectors: Fetch::default(),
            connector: None,
            lines: Vec::new(),
            at: 0,
            is_disabled: false,
            waits_for: None,
            refusal: None,
        }
    }

    /// Whom it would change.
    #[cfg(test)]
    pub(super) fn about(&self) -> About {
        match &self.changed {
            Some(it) => About::Settings { integration: it.id.clone() },
            None => About::NewIntegration { company: self.company },
        }
    }

    /// A form for the settings of an integration.
    pub fn of(it: &Integration) -> Self {
        let changed = Changed {
            id: it.id.clone(),
            name: it.name.clone(),
            connector: it.connector.clone(),
            config: settings(&it.config),
        };
        let mut form = Self::new(it.company_id, it.company.clone());
        form.choice = Menu::typed(format!("Settings of {}", it.full_name()), Vec::new());
        form.changed = Some(changed);
        form
    }

    pub(super) fn load(&mut self, cx: &mut Cx<'_>) {
        self.connectors.ask(Query::Connectors, cx);
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        let taken = self.connectors.take(event, |answer| match answer {
            Answer::Connectors(connectors) => Some(connectors.clone()),
            _ => None,
        });
        if let Some(changed) = self.changed.as_ref().filter(|_| taken && self.connector.is_none()) {
            let connector = changed.connector.clone();
            return self.choose(&connector);
        }
        if taken {
            let item = |it: &Connector| MenuItem {
                key: String::new(),
                label: format!("{:<14} {}", it.name, it.summary),
                pick: Pick::Connector(it.name.clone()),
                reason: None,
            };
            self.choice.items = self.connectors.value.iter().flatten().map(item).collect();
        }
    }

    /// The change has left: the form stays until it is answered.
    pub fn sent(&mut self, ticket: Ticket) {
        (self.waits_for, self.refusal) = (Some(ticket), None);
    }

    /// Whether this answer is the one that it waits for.
    pub fn is_for(&self, ticket: Ticket) -> bool {
        self.waits_for == Some(ticket)
    }

    /// What was typed is to be corrected.
    pub fn refused(&mut self, error: &str) {
        (self.waits_for, self.refusal) = (None, Some(error.to_owned()));
    }

    pub(super) fn key(&mut self, press: Press, shared: &Shared) -> Then {
        if self.connector.is_none() {
            return match self.choice.key(press) {
                Then::Pick(Pick::Connector(name)) => {
                    self.choose(&name);
                    Then::Stay
                }
                then => then,
            };
        }
        let last = self.lines.len().saturating_sub(1);
        match press.code {
            _ if self.waits_for.is_some() => return Then::Refuse("the daemon is at it".to_owned()),
            KeyCode::Up | KeyCode::BackTab => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => self.at = (self.at + 1).min(last),
            KeyCode::Enter if press.repeat => {}
            KeyCode::Enter => match self.missing() {
                Some(at) => self.at = at,
                None => return self.submit(shared),
            },
            KeyCode::Char('s') if press.ctrl => return self.submit(shared),
            KeyCode::Char('o') if press.ctrl => {
                return self.lines.get(self.at).map_or(Then::Stay, EditorLine::for_editor);
            }
            KeyCode::Char('d') if press.ctrl && self.changed.is_none() => {
                self.is_disabled = !self.is_disabled
            }
            _ => {
                if let Some(line) = self.lines.get_mut(self.at) {
                    line.input.key(press);
                }
            }
        }
        Then::Stay
    }

    /// Takes in what the reader's own editor made of the line's text.
    pub(super) fn edited(&mut self, text: &str) {
        if let Some(line) = self.lines.get_mut(self.at) {
            line.edit(text);
        }
    }

    pub(super) fn paste(&mut self, text: &str) {
        if self.connector.is_none() {
            if let Some(query) = &mut self.choice.query {
                query.paste(text);
            }
            return;
        }
        let is_secret = |line: &EditorLine| line.part == Part::Credentials;
        match self.lines.get_mut(self.at) {
            Some(line) if !is_secret(line) => return line.input.paste_lines(text.trim()),
            Some(_) => {}
            None => return,
        }
        let at = self.lines[..self.at].iter().filter(|line| is_secret(line)).count();
        let lines = self.lines.iter_mut().filter(|line| is_secret(line));
        paste_credentials(text, lines.map(|line| (line.field.name.as_str(), &mut line.input)).collect(), at);
    }

    fn choose(&mut self, name: &str) {
        let found = self.connectors.value.iter().flatten().find(|it| it.name == name).cloned();
        let Some(connector) = found else { return };
        let called = Field {
            name: "name".to_owned(),
            kind: "text".to_owned(),
            help: "What operators call it; unique within the company.".to_owned(),
            default: String::new(),
            required: true,
            secret: false,
            words: Vec::new(),
        };
        let entry = |part, field: &Field| EditorLine::new(part, field.clone(), String::new());
        let set = |field: &Field| match &self.changed {
            Some(changed) => changed.line(field),
            None => entry(Part::Config, field),
        };
        // Credentials of one that there is are tried before they replace the old ones: that is a form of its own.
        let credentials = connector.credentials.iter().filter(|_| self.changed.is_none());
        let (needed, optional): (Vec<_>, Vec<_>) = connector.config.iter().partition(|field| field.required);
        let name = self.changed.as_ref().map_or(&connector.name, |changed| &changed.name);
        let first = EditorLine::new(Part::Name, called, name.clone());
        self.lines = [first]
            .into_iter()
            .chain(needed.into_iter().map(set))
            .chain(credentials.map(|field| entry(Part::Credentials, field)))
            .chain(optional.into_iter().map(set))
            .collect();
        self.at = self.missing().unwrap_or(0);
        self.connector = Some(connector);
    }

    /// The first line that must be filled and is not. Of credentials there may be several sets, which the daemon judges.
    fn missing(&self) -> Option<usize> {
        self.lines.iter().position(|line| line.field.required && line.input.text().trim().is_empty())
    }

    /// Whether something was typed.
    pub(super) fn is_typed(&self) -> bool {
        self.lines.iter().any(EditorLine::is_changed)
    }

    fn object(&self, part: Part) -> Result<Map<String, Value>, WrongKind> {
        let filled = |line: &&EditorLine| line.part == part && !line.input.text().trim().is_empty();
        let value = |line: &EditorLine| {
            let (text, name) = (line.input.text().trim(), &line.field.name);
            if line.field.kind == "text" {
                return Ok((name.clone(), Value::from(text)));
            }
            let value = serde_json::from_str(text);
            value.map(|value| (name.clone(), value)).map_err(|_| match line.field.kind.as_str() {
                "integer" | "number" => WrongKind::NoNumber(name.clone()),
                kind => WrongKind::NoJson { name: name.clone(), kind: kind.to_owned() },
            })
        };
        self.lines.iter().filter(filled).map(value).collect()
    }

    /// What is changed of an integration, from what it is by now: nobody else's changes are undone.
    fn change(
        &self,
        changed: &Changed,
        mut typed: Map<String, Value>,
        now: Option<&Integration>,
    ) -> Mutation {
        let mut config = now.map_or_else(|| changed.config.clone(), |it| settings(&it.config));
        let lines = || self.lines.iter().filter(|line| line.is_changed());
        for line in lines().filter(|line| line.part == Part::Config) {
            match typed.remove(&line.field.name) {
                Some(value) => config.insert(line.field.name.clone(), value),
                None => config.remove(&line.field.name),
            };
        }
        let is_any = |part| lines().any(|line| line.part == part);
        Mutation::Settings {
            integration: changed.id.clone(),
            name: is_any(Part::Name).then(|| self.name().to_owned()),
            config: is_any(Part::Config).then(|| Value::Object(config).to_string()),
        }
    }

    fn name(&self) -> &str {
        self.lines.first().map_or("", |line| line.input.text().trim())
    }

    fn submit(&self, shared: &Shared) -> Then {
        let Some(connector) = &self.connector else { return Then::Stay };
        if let Some(line) = self.missing().and_then(|at| self.lines.get(at)) {
            return Then::Refuse(format!("{} is empty", line.field.name));
        }
        let name = self.name().to_owned();
        let (config, credentials) = match (self.object(Part::Config), self.object(Part::Credentials)) {
            (Ok(config), Ok(credentials)) => (config, credentials),
            (Err(problem), _) | (_, Err(problem)) => return Then::Refuse(problem.to_string()),
        };
        if let Some(changed) = &self.changed {
            if !self.is_typed() {
                return Then::Refuse("nothing has been changed yet".to_owned());
            }
            let what = format!("settings of {} / {name}", self.company_name);
            let now = shared.integration(&changed.id);
            return Then::Change { mutation: self.change(changed, config, now), what };
        }
        let what = format!("new integration {} / {name}", self.company_name);
        let new = NewIntegration {
            company: self.company,
            connector: connector.name.clone(),
            name,
            config: Value::Object(config).to_string(),
            credentials: (!credentials.is_empty())
                .then(|| Secret::new(Value::Object(credentials).to_string())),
            is_disabled: self.is_disabled,
        };
        Then::Change { mutation: Mutation::Create(Box::new(new)), what }
    }

    pub(super) fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let Some(connector) = &self.connector else {
            let mut choice = self.choice.clone();
            match &self.connectors.error {
                Some(error) => choice.legend = vec![error.clone()],
                None if self.connectors.is_waiting() => choice.legend = vec![view.shared.waits().to_owned()],
                None => {}
            }
            return choice.draw(view, frame, area);
        };
        let width = usize::from(area.width.min(96)).saturating_sub(6);
        let tick = if self.is_disabled { "[x]" } else { "[ ]" };
        let mut foot = self.help(width, theme);
        let is_new = self.changed.is_none();
        if is_new {
            let keeps = cut("  ^d: leads are kept for it, held; no plan counts it", width, theme);
            foot.push(Line::from(vec![
                theme.span(Role::Strong, format!("{tick} disabled")),
                theme.span(Role::Quiet, keeps),
            ]));
        }
        if self.waits_for.is_some() {
            foot.push(Line::from(theme.spell(if is_new { "Making it…" } else { "Saving it…" })));
        }
        foot.extend(self.refusal.iter().flat_map(|error| fitted(error, Role::Bad, width, 3, theme)));
        let keys = if is_new {
            "Enter makes it   Tab next   ^s makes it now   ^o $EDITOR   Esc gives up"
        } else {
            "Enter saves them   Tab next   ^u empties it   ^o $EDITOR   Esc leaves"
        };
        foot.extend([Line::default(), Line::from(theme.span(Role::Quiet, cut(keys, width, theme)))]);
        let mut lines = vec![
            Line::from(theme.span(Role::Quiet, safe(&connector.summary, width, theme))),
            Line::default(),
        ];
        let room = usize::from(area.height).saturating_sub(lines.len() + foot.len() + 5).max(1);
        let start = window_start(self.at, room, self.lines.len());
        let shown = self.lines.iter().enumerate().skip(start).take(room);
        lines.extend(shown.map(|(at, line)| self.line(line, at == self.at, width, theme)));
        lines.push(Line::default());
        lines.extend(foot);
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
        let company = safe(&self.company_name, 40, theme);
        let title = match &self.changed {
            Some(changed) => format!("Settings of {company} / {}", safe(&changed.name, 40, theme)),
            None => format!("New {} of {company}", connector.name),
        };
        let inner = popup(frame, area, &title, (100, height), theme);
        frame.render_widget(Paragraph::new(lines), inner);
    }

    fn line(&self, line: &EditorLine, is_at: bool, width: usize, theme: Theme) -> Line<'static> {
        const LABEL: usize = 24;
        let star = if line.field.required { " *" } else { "" };
        let label = column(&format!("{}{star}", line.field.name), LABEL, theme);
        let mut spans = vec![theme.span(if is_at { Role::Strong } else { Role::Quiet }, label)];
        let room = width.saturating_sub(LABEL);
        let text = line.input.text();
        let has_default = text.is_empty() && !line.field.default.is_empty();
        if line.field.secret && (is_at || !has_default) {
            spans.push(Span::raw(dots(text, room, theme)));
            if is_at {
                spans.push(theme.span(Role::Selected, " "));
            }
        } else if is_at {
            spans.extend(input(&line.input, room, theme));
        } else if has_default {
            let default = safe(&line.field.default, room.saturating_sub(10), theme);
            spans.push(theme.span(Role::Quiet, format!("({default})")));
        } else {
            spans.push(Span::raw(safe(text, room, theme)));
        }
        Line::from(spans)
    }

    /// What the line under the cursor is.
    fn help(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        let Some(line) = self.lines.get(self.at) else { return Vec::new() };
        let kind = match (line.field.words.as_slice(), &*line.field.kind) {
            ([], "text") => String::new(),
            ([], kind) => format!(" ({kind})"),
            (words, _) => format!(" ({})", words.join(" | ")),
        };
        let mut lines = fitted(&format!("{}{kind}", line.field.help), Role::Quiet, width, 3, theme);
        lines.push(Line::default());
        lines
    }
}

fn fitted(text: &str, role: Role, width: usize, most: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut doc = Doc::default();
    doc.push(Kind::Text, text);
    let parts = document::fit(doc.0, width, true).into_iter().take(most);
    parts.map(|line| Line::from(theme.span(role, theme.spell(&line.text)))).collect()
}
