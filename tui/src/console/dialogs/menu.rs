//! A list to pick from: actions, things to copy, the palette that jumps anywhere, the help.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::Then;
use super::jump::{Jump, Place, completed};
use crate::console::data::Flow;
use crate::console::keymap::{Action, Press};
use crate::console::msg::Program;
use crate::console::screen::{Subject, View};
use crate::console::theme::Role;
use crate::console::widgets::draw::{column, cut, input, popup};
use crate::console::widgets::input::Input;
use crate::console::widgets::list::Form;
use crate::console::widgets::table::window_start;

/// What to do with a line of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    Act(Action),
    /// Act on this integration, whatever is selected.
    On {
        action: Action,
        integration: String,
    },
    /// The target of a new integration.
    Connector(String),
    Copy {
        what: String,
        text: String,
    },
    /// Of this lead, whatever is selected by now.
    Evidence {
        uuid: String,
        company: i64,
        json: bool,
        mask: bool,
    },
    /// A form for the file of a list.
    Export(Form),
    /// Carry a command of the reader's own out, on what was selected when it was asked for.
    Run(Box<Program>),
    Nothing,
    Jump(Jump),
    /// What is done to this flow.
    Flow {
        action: Action,
        flow: Box<Flow>,
    },
    /// Sort by this column, or in the screen's own order.
    Sort(Option<&'static str>),
}

/// One line of a menu; `reason` says why it is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub key: String,
    pub label: String,
    pub pick: Pick,
    pub reason: Option<String>,
}

/// Acts that are typed with the integration that they are about: `stage 7/hook`.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub acts: Vec<(Action, String)>,
    pub targets: Vec<Target>,
}

/// An integration that an act may name.
#[derive(Clone, Debug)]
pub struct Target {
    pub id: String,
    pub reference: String,
    pub is_enabled: bool,
}

impl Named {
    /// What was typed may mean, the best first: who is called so altogether is meant before others.
    fn items(&self, query: &str) -> Vec<Item> {
        let mut found = Vec::new();
        for (at, _) in query.match_indices(' ') {
            let (act, name) = (query[..at].trim_end_matches([' ', ':']), query[at..].trim_start());
            for (action, label) in &self.acts {
                found.extend(self.targets.iter().filter_map(|target| {
                    let label = match (action, target.is_enabled) {
                        (Action::Toggle, true) => "disable",
                        (Action::Toggle, false) => "enable",
                        _ => label,
                    };
                    let reference = target.reference.to_lowercase();
                    let is_whole =
                        reference == name || reference.split_once('/').is_some_and(|(_, own)| own == name);
                    let place = (typed(label, act)?, !is_whole, typed(&reference, name)?);
                    let pick = Pick::On { action: *action, integration: target.id.clone() };
                    let label = format!("{label}: {}", target.reference);
                    Some((place, Item { key: String::new(), label, pick, reason: None }))
                }));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, item)| item).collect()
    }
}

/// A list to pick from.
#[derive(Clone, Debug)]
pub struct Menu {
    pub title: String,
    pub items: Vec<Item>,
    pub named: Named,
    pub selected: usize,
    /// Present if typing narrows the list.
    pub query: Option<Input>,
    /// Whether an id that is typed is a place to jump to.
    pub jumps: bool,
    /// Lines below the list.
    pub legend: Vec<String>,
    pub is_wide: bool,
    /// What was selected when it opened: what is done by it is done to that.
    pub subject: Option<Box<Subject>>,
}

impl Menu {
    /// A menu whose lines are picked by their letters.
    pub fn letters(title: impl Into<String>, items: Vec<Item>) -> Self {
        Self {
            title: title.into(),
            items,
            named: Named::default(),
            selected: 0,
            query: None,
            jumps: false,
            legend: Vec::new(),
            is_wide: false,
            subject: None,
        }
    }

    /// A menu that typing narrows.
    pub fn typed(title: impl Into<String>, items: Vec<Item>) -> Self {
        Self { query: Some(Input::default()), is_wide: true, ..Self::letters(title, items) }
    }

    /// The items that the query leaves, the best first.
    pub fn visible(&self) -> Vec<Item> {
        let query = self.query.as_ref().map(|q| q.text().trim().to_lowercase()).unwrap_or_default();
        let mut found: Vec<(u8, &Item)> = self
            .items
            .iter()
            .filter_map(|item| rank(&item.label.to_lowercase(), &query).map(|rank| (rank, item)))
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        let best = found.partition_point(|(rank, _)| *rank == 0);
        let mut items: Vec<Item> = found.into_iter().map(|(_, item)| item.clone()).collect();
        items.splice(best..best, self.named.items(&query));
        if let Some(query) = self.query.as_ref().filter(|_| self.jumps) {
            items.splice(0..0, Place::typed(query.text()).into_iter().map(Place::item));
        }
        items
    }

    /// Takes a key in.
    pub fn key(&mut self, press: Press) -> Then {
        let len = self.visible().len();
        match press.code {
            KeyCode::Esc => return Then::Close,
            KeyCode::Up => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down => self.selected = (self.selected + 1).min(len.saturating_sub(1)),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(10),
            KeyCode::PageDown => self.selected = (self.selected + 10).min(len.saturating_sub(1)),
            KeyCode::Enter if !press.repeat => return self.pick(self.selected),
            KeyCode::Tab => self.complete(),
            _ => match &mut self.query {
                Some(query) => {
                    query.key(press);
                    self.selected = 0;
                }
                None => return self.letter(press),
            },
        }
        Then::Stay
    }

    /// Types what the selected line is called; of a search, what is looked for.
    fn complete(&mut self) {
        let label = self.visible().get(self.selected).map(completed);
        if let (Some(query), Some(label)) = (&mut self.query, label) {
            *query = Input::with(label);
            self.selected = 0;
        }
    }

    /// In a menu without a query a letter moves, closes, or picks the line that shows it.
    fn letter(&mut self, press: Press) -> Then {
        let KeyCode::Char(c) = press.code else { return Then::Stay };
        if let Some(at) = self.items.iter().position(|item| item.key == c.to_string()) {
            return if press.repeat { Then::Stay } else { self.pick(at) };
        }
        match c {
            'q' => return Then::Close,
            'k' => self.selected = self.selected.saturating_sub(1),
            'j' => self.selected = (self.selected + 1).min(self.items.len().saturating_sub(1)),
            _ => {}
        }
        Then::Stay
    }

    fn pick(&self, at: usize) -> Then {
        match self.visible().get(at) {
            None => Then::Stay,
            Some(Item { reason: Some(reason), .. }) => Then::Refuse(reason.clone()),
            Some(item) => Then::Pick(item.pick.clone()),
        }
    }

    /// Draws it.
    pub fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let items = self.visible();
        let most = usize::from(area.height).saturating_sub(6);
        let extra = self.legend.len() + if self.query.is_some() { 2 } else { 0 };
        let rows =
            if self.query.is_some() { most.saturating_sub(extra) } else { items.len().min(most) }.max(1);
        let width = if self.is_wide { area.width.saturating_sub(4).min(96) } else { 62 };
        let size = (width, u16::try_from(rows + extra + 2).unwrap_or(u16::MAX));
        let inner = popup(frame, area, &self.title, size, theme);
        let room = usize::from(inner.width);
        let mut lines = Vec::new();
        if let Some(query) = &self.query {
            let mut line = vec![theme.span(Role::Accent, theme.pick("› ", "> "))];
            line.extend(input(query, room.saturating_sub(2), theme));
            lines.extend([Line::from(line), Line::default()]);
        }
        let key = self.items.iter().map(|item| theme.spell(&item.key).width()).max().unwrap_or(0).min(14) + 1;
        let start = window_start(self.selected, rows, items.len());
        for (at, item) in items.iter().enumerate().skip(start).take(rows) {
            lines.push(line(item, at == self.selected, key, room, view));
        }
        if items.is_empty() {
            lines.push(Line::from(theme.span(Role::Quiet, "nothing matches")));
        }
        for text in &self.legend {
            lines.push(Line::from(theme.span(Role::Quiet, cut(&theme.spell(text), room, theme))));
        }
        frame.render_widget(Paragraph::new(lines), inner);
    }
}

fn line(item: &Item, is_selected: bool, key: usize, room: usize, view: View<'_>) -> Line<'static> {
    let theme = view.theme;
    let pointer = if is_selected { theme.pick("▶ ", "> ") } else { "  " };
    let shown = column(&theme.spell(&item.key), key, theme);
    let left = room.saturating_sub(key + 2);
    let mut spans = vec![theme.span(Role::Accent, pointer), theme.span(Role::Strong, shown)];
    let role = match (&item.reason, is_selected) {
        (_, true) => Role::Selected,
        (Some(_), _) => Role::Quiet,
        (None, _) => Role::Plain,
    };
    match &item.reason {
        None => spans.push(theme.span(role, column(&item.label, left, theme))),
        Some(reason) => {
            let label = cut(&item.label, left, theme);
            let rest = left.saturating_sub(label.width());
            spans.push(theme.span(role, label));
            spans.push(theme.span(Role::Quiet, cut(&format!("  - {reason}"), rest, theme)));
        }
    }
    Line::from(spans)
}

/// How well a label fits what was typed: 0 is best; `None` if its letters are not there in this order.
fn rank(label: &str, query: &str) -> Option<u8> {
    typed(label, query).or_else(|| {
        let mut letters = label.chars();
        let is_there = |c: char| c.is_whitespace() || letters.any(|other| other == c);
        query.chars().all(is_there).then_some(2)
    })
}

/// The same, where each of its words is there.
fn typed(label: &str, query: &str) -> Option<u8> {
    if label.starts_with(query) {
        return Some(0);
    }
    query.split_whitespace().all(|word| label.contains(word)).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_match_comes_first() {
        assert_eq!(rank("int 7/hubspot rosewood", "int 7"), Some(0));
        assert_eq!(rank("int 7/hubspot rosewood", "hub rose"), Some(1));
        assert_eq!(rank("int 7/hubspot rosewood", "hsrw"), Some(2));
        assert_eq!(rank("int 7/hubspot rosewood", "xyz"), None);
        assert_eq!(rank("anything", ""), Some(0));
    }

    #[test]
    fn any_text_behind_lead_can_be_looked_for() {
        let mut menu = Menu { jumps: true, ..Menu::typed("Command", Vec::new()) };
        "lead Sarah P"
            .chars()
            .for_each(|c| assert!(matches!(menu.key(Press::plain(KeyCode::Char(c))), Then::Stay)));
        for code in [KeyCode::Enter, KeyCode::Tab, KeyCode::Enter] {
            match menu.key(Press::plain(code)) {
                Then::Stay => assert_eq!(code, KeyCode::Tab),
                Then::Pick(Pick::Jump(Jump::Find(text))) => assert_eq!(text, "sarah p", "{code:?}"),
                then => panic!("{then:?}"),
            }
        }
    }
}
