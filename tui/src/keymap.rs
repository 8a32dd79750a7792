//! Which key does what where. Footer, help and palette are made from this table, so that they never lie.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::model::Screen;

/// A key as it was pressed; releases never become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    pub code: KeyCode,
    pub ctrl: bool,
    /// The key is held down. Only moving listens to that.
    pub repeat: bool,
}

impl Press {
    /// A key without Ctrl, pressed once.
    pub const fn plain(code: KeyCode) -> Self {
        Self { code, ctrl: false, repeat: false }
    }

    /// A letter with Ctrl.
    pub const fn ctrl(letter: char) -> Self {
        Self { code: KeyCode::Char(letter), ctrl: true, repeat: false }
    }

    /// What the terminal reported, unless it is a release or carries Alt or the like.
    pub fn from_event(event: KeyEvent) -> Option<Self> {
        let foreign = KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::HYPER | KeyModifiers::META;
        if event.kind == KeyEventKind::Release || event.modifiers.intersects(foreign) {
            return None;
        }
        Some(Self {
            code: event.code,
            ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
            repeat: event.kind == KeyEventKind::Repeat,
        })
    }

    fn matches(self, other: Self) -> bool {
        self.code == other.code && self.ctrl == other.ctrl
    }
}

/// What an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Up,
    Down,
    Left,
    Right,
    First,
    Last,
    PageUp,
    PageDown,
    Open,
    Back,
    Quit,
    QuitNow,
    Suspend,
    Redraw,
    Pane,
    Filter,
    FailingOnly,
    Follow,
    Wrap,
    Mark,
    MarkAll,
    ClearMarks,
    Retry,
    Toggle,
    Test,
    Reset,
    Rotate,
    CutOver,
    Revoke,
    Actions,
    Palette,
    Copy,
    Help,
    Reconnect,
}

impl Action {
    /// Whether it may be repeated by holding the key down.
    pub const fn is_move(self) -> bool {
        matches!(
            self,
            Self::Up
                | Self::Down
                | Self::Left
                | Self::Right
                | Self::First
                | Self::Last
                | Self::PageUp
                | Self::PageDown
        )
    }

    /// Whether it leads to a change of the daemon's data.
    pub const fn is_mutating(self) -> bool {
        matches!(
            self,
            Self::Retry
                | Self::Toggle
                | Self::Test
                | Self::Reset
                | Self::Rotate
                | Self::CutOver
                | Self::Revoke
        )
    }
}

/// Under which head the help shows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Move,
    Act,
    View,
}

/// On which screens a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Overview,
    Integration,
    /// The integration and the attempt.
    Opened,
    /// The overview and the integration.
    Lists,
}

impl Place {
    /// Whether the screen belongs to it.
    pub const fn covers(self, screen: Screen) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Overview => matches!(screen, Screen::Overview),
            Self::Integration => matches!(screen, Screen::Integration),
            Self::Opened => !matches!(screen, Screen::Overview),
            Self::Lists => !matches!(screen, Screen::Attempt),
        }
    }
}

/// A line of the key map.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub action: Action,
    pub keys: &'static [Press],
    /// The keys as written in help; empty for what only menus offer.
    pub shown: &'static str,
    pub label: &'static str,
    pub group: Group,
    pub place: Place,
    /// Where it stands in the footer; 0 for not at all.
    pub footer: u8,
}

const fn key(c: char) -> Press {
    Press::plain(KeyCode::Char(c))
}

const fn bind(
    action: Action,
    keys: &'static [Press],
    shown: &'static str,
    label: &'static str,
    group: Group,
    place: Place,
    footer: u8,
) -> Binding {
    Binding { action, keys, shown, label, group, place, footer }
}

const UP: [Press; 2] = [Press::plain(KeyCode::Up), key('k')];
const DOWN: [Press; 2] = [Press::plain(KeyCode::Down), key('j')];
const LEFT: [Press; 2] = [Press::plain(KeyCode::Left), key('h')];
const RIGHT: [Press; 2] = [Press::plain(KeyCode::Right), key('l')];
const FIRST: [Press; 2] = [Press::plain(KeyCode::Home), key('g')];
const LAST: [Press; 2] = [Press::plain(KeyCode::End), key('G')];
const PAGE_UP: [Press; 2] = [Press::plain(KeyCode::PageUp), Press::ctrl('u')];
const PAGE_DOWN: [Press; 2] = [Press::plain(KeyCode::PageDown), Press::ctrl('d')];
const PANE: [Press; 2] = [Press::plain(KeyCode::Tab), Press::plain(KeyCode::BackTab)];

/// Every binding, in the order in which help shows them.
pub const BINDINGS: &[Binding] = &[
    bind(Action::Up, &UP, "↑ k", "up", Group::Move, Place::Anywhere, 0),
    bind(Action::Down, &DOWN, "↓ j", "down", Group::Move, Place::Anywhere, 0),
    bind(Action::Left, &LEFT, "← h", "left", Group::Move, Place::Anywhere, 0),
    bind(Action::Right, &RIGHT, "→ l", "right", Group::Move, Place::Anywhere, 0),
    bind(Action::First, &FIRST, "Home g", "first", Group::Move, Place::Anywhere, 0),
    bind(Action::Last, &LAST, "End G", "last", Group::Move, Place::Anywhere, 0),
    bind(Action::PageUp, &PAGE_UP, "PgUp ^u", "page up", Group::Move, Place::Anywhere, 0),
    bind(Action::PageDown, &PAGE_DOWN, "PgDn ^d", "page down", Group::Move, Place::Anywhere, 0),
    bind(Action::Pane, &PANE, "Tab", "other pane", Group::Move, Place::Integration, 9),
    bind(Action::Open, &[Press::plain(KeyCode::Enter)], "⏎", "open", Group::Move, Place::Lists, 1),
    bind(Action::Back, &[Press::plain(KeyCode::Esc)], "Esc", "back", Group::Move, Place::Anywhere, 3),
    bind(Action::Quit, &[key('q')], "q", "back, quit", Group::Move, Place::Anywhere, 0),
    bind(Action::QuitNow, &[Press::ctrl('c')], "^c", "quit", Group::Move, Place::Anywhere, 0),
    bind(Action::Retry, &[key('r')], "r", "retry", Group::Act, Place::Anywhere, 2),
    bind(Action::Toggle, &[key('e')], "e", "enable or disable", Group::Act, Place::Anywhere, 4),
    bind(Action::Test, &[key('t')], "t", "test push", Group::Act, Place::Anywhere, 5),
    bind(Action::Mark, &[key(' ')], "space", "mark", Group::Act, Place::Integration, 3),
    bind(Action::MarkAll, &[key('*')], "*", "mark all shown", Group::Act, Place::Integration, 6),
    bind(Action::ClearMarks, &[key('u')], "u", "clear marks", Group::Act, Place::Integration, 0),
    bind(Action::Actions, &[key('a')], "a", "more actions", Group::Act, Place::Anywhere, 8),
    bind(Action::Rotate, &[], "", "rotate signing secret", Group::Act, Place::Anywhere, 0),
    bind(Action::CutOver, &[key('c')], "c", "cut over secret", Group::Act, Place::Anywhere, 0),
    bind(Action::Revoke, &[], "", "revoke secret", Group::Act, Place::Anywhere, 0),
    bind(Action::Reset, &[], "", "reset failure count", Group::Act, Place::Anywhere, 0),
    bind(Action::Filter, &[key('/')], "/", "filter", Group::View, Place::Lists, 7),
    bind(Action::FailingOnly, &[key('F')], "F", "failing only", Group::View, Place::Lists, 7),
    bind(Action::Follow, &[key('f')], "f", "follow newest", Group::View, Place::Integration, 0),
    bind(Action::Wrap, &[key('w')], "w", "wrap lines", Group::View, Place::Opened, 0),
    bind(Action::Copy, &[key('y')], "y", "copy", Group::View, Place::Anywhere, 8),
    bind(Action::Palette, &[key(':')], ":", "command", Group::View, Place::Anywhere, 0),
    bind(Action::Help, &[key('?')], "?", "help", Group::View, Place::Anywhere, 10),
    bind(Action::Reconnect, &[key('R')], "R", "reconnect now", Group::View, Place::Anywhere, 1),
    bind(Action::Redraw, &[Press::ctrl('l')], "^l", "redraw", Group::View, Place::Anywhere, 0),
    bind(Action::Suspend, &[Press::ctrl('z')], "^z", "suspend", Group::View, Place::Anywhere, 0),
];

/// What the key does on this screen.
pub fn lookup(screen: Screen, press: Press) -> Option<Action> {
    BINDINGS
        .iter()
        .filter(|b| b.place.covers(screen))
        .find(|b| b.keys.iter().any(|key| key.matches(press)))
        .map(|b| b.action)
        .filter(|action| !press.repeat || action.is_move())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_on_one_screen() {
        for screen in [Screen::Overview, Screen::Integration, Screen::Attempt] {
            let mut seen: Vec<Press> = Vec::new();
            for key in BINDINGS.iter().filter(|b| b.place.covers(screen)).flat_map(|b| b.keys) {
                assert!(!seen.contains(key), "{key:?} on {screen:?}");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn only_moves_repeat_and_releases_are_nothing() {
        let held = |code| Press { repeat: true, ..Press::plain(code) };
        assert_eq!(lookup(Screen::Overview, held(KeyCode::Down)), Some(Action::Down));
        assert_eq!(lookup(Screen::Overview, held(KeyCode::Char('r'))), None);
        let release = KeyEvent::new_with_kind(KeyCode::Char('r'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(Press::from_event(release), None);
        let alt = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::ALT);
        assert_eq!(Press::from_event(alt), None);
    }
}
