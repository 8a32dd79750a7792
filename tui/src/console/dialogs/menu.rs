//! A list to pick from: actions, things to copy, the palette that jumps anywhere, the help.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr as _;

use super::Then;
use super::jump::{Jump, JumpTarget, completed};
use crate::console::data::Flow;
use crate::console::keymap::{Action, Press};
use crate::console::msg::ShellLine;
use crate::console::screen::{Subject, View};
use crate::console::theme::Role;
use crate::console::widgets::draw::{column, cut, input, popup};
use crate::console::widgets::input::Input;
use crate::console::widgets::list::ExportFormat;
use crate::console::widgets::step::window_start;

/// What to do with a line of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    Act(Action),
    /// Act on this integration, whatever is selected.
    On {
        action: Action,
        integration: String,
        /// Whether what switches is to be enabled then.
        enables: Option<bool>,
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
    Export(ExportFormat),
    /// Carry a command of the reader's own out, on what was selected when it was asked for.
    Run(Box<ShellLine>),
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
pub struct MenuItem {
    pub key: String,
    pub label: String,
    pub pick: Pick,
    pub reason: Option<String>,
}

/// Acts that are typed with the integration that they are about: `stage 7/hook`.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub acts: Vec<MenuAct>,
    pub targets: Vec<MenuIntegration>,
}

/// An act that may name an integration.
#[derive(Clone, Debug)]
pub struct MenuAct {
    pub action: Action,
    /// In small letters.
    pub label: String,
    /// Whether what switches is enabled then.
    pub enables: Option<bool>,
}

/// An integration that an act may name.
#[derive(Clone, Debug)]
pub struct MenuIntegration {
    id: String,
    reference: String,
    is_enabled: bool,
    /// The reference in small letters.
    lower: String,
}

/// Why it need not be switched: it is so already.
pub fn already(enables: Option<bool>, is_enabled: bool) -> Option<&'static str> {
    let reason = if is_enabled { "is enabled already" } else { "is disabled already" };
    (enables == Some(is_enabled)).then_some(reason)
}

impl MenuIntegration {
    pub fn new(id: String, reference: String, is_enabled: bool) -> Self {
        let lower = reference.to_lowercase();
        Self { id, reference, is_enabled, lower }
    }

    /// Whether it is called otherwise altogether, and how well the name fits; none if it is not meant. The company in
    /// front of a `/` is that one and no other.
    fn fits(&self, name: &str) -> Option<(bool, u8)> {
        let (company, own) = self.lower.split_once('/').unwrap_or(("", &self.lower));
        let near = match name.split_once('/') {
            Some((of, _)) if of != company => return None,
            Some((_, rest)) => typed(own, rest)?,
            None => typed(&self.lower, name)?,
        };
        Some((self.lower != name && own != name, near))
    }
}

impl Named {
    /// What was typed may mean, the best first.
    fn items(&self, query: &str) -> Vec<MenuItem> {
        let mut found = Vec::new();
        let splits = query.match_indices(' ').filter(|(at, _)| !query[..*at].ends_with(' '));
        // The name begins behind as many words as an act has at most.
        let words = self.acts.iter().map(|it| it.label.split(' ').count()).max().unwrap_or(0);
        for (at, _) in splits.take(words) {
            let (act, name) = (query[..at].trim_end_matches([' ', ':']), query[at..].trim_start());
            let acts: Vec<(u8, &MenuAct)> =
                self.acts.iter().filter_map(|it| typed(&it.label, act).map(|rank| (rank, it))).collect();
            if acts.is_empty() {
                continue;
            }
            let targets = self.meant(name);
            for (rank, act) in acts {
                found.extend(targets.iter().filter_map(|(is_other, near, target)| {
                    let reason = already(act.enables, target.is_enabled).map(str::to_owned);
                    // Why it is not to be done is said of who is called so altogether.
                    if *is_other && reason.is_some() {
                        return None;
                    }
                    let (action, enables) = (act.action, act.enables);
                    let pick = Pick::On { action, integration: target.id.clone(), enables };
                    let label = format!("{}: {}", act.label, target.reference);
                    Some(((rank, *is_other, *near), MenuItem { key: String::new(), label, pick, reason }))
                }));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, item)| item).collect()
    }

    /// Whom a name means, as [`Target::fits`] says: who is called so altogether, or else all that it fits.
    fn meant(&self, name: &str) -> Vec<(bool, u8, &MenuIntegration)> {
        let mut found: Vec<(bool, u8, &MenuIntegration)> = self
            .targets
            .iter()
            .filter_map(|it| it.fits(name).map(|(is_other, near)| (is_other, near, it)))
            .collect();
        if found.iter().any(|(is_other, ..)| !is_other) {
            found.retain(|(is_other, ..)| !is_other);
        }
        found
    }
}

/// A list to pick from.
#[derive(Clone, Debug)]
pub struct Menu {
    pub title: String,
    pub items: Vec<MenuItem>,
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
    pub fn letters(title: impl Into<String>, items: Vec<MenuItem>) -> Self {
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
    pub fn typed(title: impl Into<String>, items: Vec<MenuItem>) -> Self {
        Self { query: Some(Input::default()), is_wide: true, ..Self::letters(title, items) }
    }

    /// The items that the query leaves, the best first. Letters alone count where no line has the words.
    pub fn visible(&self) -> Vec<MenuItem> {
        let query = self.query.as_ref().map(|q| q.text().trim().to_lowercase()).unwrap_or_default();
        let ranked = |item: &'_ MenuItem| {
            let label = item.label.to_lowercase();
            rank(&label, &query).map(|rank| (rank, is_name_alone(item, &label, &query)))
        };
        let mut found: Vec<((u8, bool), &MenuItem)> =
            self.items.iter().filter_map(|item| ranked(item).map(|place| (place, item))).collect();
        found.sort_by_key(|(place, _)| *place);
        if found.first().is_some_and(|((rank, _), _)| *rank < LETTERS) {
            found.retain(|((rank, _), _)| *rank < LETTERS);
        }
        let best = found.partition_point(|((rank, _), _)| *rank == 0);
        let mut items: Vec<MenuItem> = found.into_iter().map(|(_, item)| item.clone()).collect();
        items.splice(best..best, self.named.items(&query));
        if let Some(query) = self.query.as_ref().filter(|_| self.jumps) {
            items.splice(0..0, JumpTarget::typed(query.text()).into_iter().map(JumpTarget::item));
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
            Some(MenuItem { reason: Some(reason), .. }) => Then::Refuse(reason.clone()),
            Some(item) => Then::Pick(item.pick.clone()),
        }
    }

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

fn line(item: &MenuItem, is_selected: bool, key: usize, room: usize, view: View<'_>) -> Line<'static> {
    let theme = view.theme;
    let pointer = if is_selected { theme.pointer() } else { " " };
    let shown = column(&theme.spell(&item.key), key, theme);
    let left = room.saturating_sub(key + 2);
    let pointer = theme.span(Role::Accent, format!("{pointer} "));
    let mut spans = vec![pointer, theme.span(Role::Strong, shown)];
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

/// The rank of a label that has the letters of what was typed, and not its words.
const LETTERS: u8 = 2;

/// Whether what was typed is in the name that an act is labelled with, and nothing of it in the act: whoever types a name
/// wants to go there.
fn is_name_alone(item: &MenuItem, label: &str, query: &str) -> bool {
    let verb = label.split(' ').next().unwrap_or_default();
    let is_meant = || query.split_whitespace().any(|word| verb.contains(word));
    item.pick == Pick::Act(Action::Toggle) && !query.is_empty() && !is_meant()
}

/// How well a label fits what was typed: 0 is best; `None` if its letters are not there in this order.
fn rank(label: &str, query: &str) -> Option<u8> {
    typed(label, query).or_else(|| {
        let mut letters = label.chars();
        let is_there = |c: char| c.is_whitespace() || letters.any(|other| other == c);
        query.chars().all(is_there).then_some(LETTERS)
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
    fn a_name_leads_there_before_it_is_acted_on_and_letters_count_where_no_word_does() {
        let item =
            |label: &str, pick| MenuItem { key: String::new(), label: label.to_owned(), pick, reason: None };
        let jump = |id: &str| Pick::Jump(Jump::Integration(id.to_owned()));
        let items = vec![
            item("disable hubspot-eu", Pick::Act(Action::Toggle)),
            item("sort by the column before", Pick::Act(Action::SortLeft)),
            item("int 7/hubspot-eu", jump("1")),
            item("int 7/warehouse", jump("2")),
        ];
        let shown = |query: &str| -> Vec<String> {
            let menu = Menu { query: Some(Input::with(query)), ..Menu::typed("Command", items.clone()) };
            menu.visible().into_iter().map(|item| item.label).collect()
        };
        assert_eq!(shown("hub"), ["int 7/hubspot-eu", "disable hubspot-eu"]);
        assert_eq!(shown("dis"), ["disable hubspot-eu"]);
        assert_eq!(shown("wrhs"), ["int 7/warehouse"]);
        assert_eq!(shown("").len(), 4);
        assert_eq!(shown("")[0], "disable hubspot-eu");
    }

    #[test]
    fn a_company_in_front_is_that_one_and_who_is_called_so_is_meant_alone() {
        let act = |action, label: &str, enables| MenuAct { action, label: label.to_owned(), enables };
        let target = |reference: &str, is_enabled| {
            MenuIntegration::new(reference.to_owned(), reference.to_owned(), is_enabled)
        };
        let named = Named {
            acts: vec![
                act(Action::Toggle, "enable", Some(true)),
                act(Action::Toggle, "disable", Some(false)),
                act(Action::Stage, "stage a secret", None),
            ],
            targets: vec![
                target("17/hook", true),
                target("7/Hook-EU", true),
                target("7/hook", false),
                target("7/off", false),
            ],
        };
        let shown = |query: &str| -> String {
            let said = |it: MenuItem| match it.reason {
                Some(reason) => format!("{} {reason}", it.label),
                None => it.label,
            };
            named.items(query).into_iter().map(said).collect::<Vec<_>>().join(", ")
        };
        for (query, expected) in [
            ("disable 7/hook", "disable: 7/hook is disabled already"),
            ("enable 7/hook", "enable: 7/hook"),
            ("enable 17/hook", "enable: 17/hook is enabled already"),
            ("disable 17/hook", "disable: 17/hook"),
            ("disable 7/hook-", "disable: 7/Hook-EU"),
            ("disable 7/o", "disable: 7/Hook-EU"),
            ("disable 1/hook", ""),
            ("stage 7/ho", "stage a secret: 7/Hook-EU, stage a secret: 7/hook"),
            ("stage  hook", "stage a secret: 17/hook, stage a secret: 7/hook"),
            ("stage a s e c r 7/hook", ""),
        ] {
            assert_eq!(shown(query), expected, "{query}");
        }
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
