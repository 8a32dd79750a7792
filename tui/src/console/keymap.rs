//! Which key does what. Footer, help and palette are made from this table, so that they never lie.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Up,
    Down,
    Left,
    Right,
    First,
    Last,
    PageUp,
    PageDown,
    NextSection,
    PreviousSection,
    Open,
    Back,
    Quit,
    QuitNow,
    Suspend,
    Redraw,
    Backward,
    Forward,
    /// The first screen of a number.
    Go(u8),
    Pane,
    Filter,
    FailingOnly,
    Follow,
    Wrap,
    Full,
    Sort,
    SortLeft,
    SortRight,
    Invert,
    Layout,
    Mark,
    Range,
    MarkAll,
    ClearMarks,
    Older,
    Diff,
    Pager,
    Retry,
    RetryWaiting,
    Test,
    Toggle,
    Reset,
    Hold,
    Release,
    Skip,
    Unskip,
    NewIntegration,
    SetPlan,
    Push,
    Credentials,
    Mapping,
    EditFlow,
    ToggleFlow,
    Rotate,
    Stage,
    CutOver,
    Revoke,
    Snooze,
    CancelJob,
    Trace,
    OpenIntegration,
    Evidence,
    Reveal,
    Actions,
    PickCompany,
    CompanyPage,
    Palette,
    Copy,
    CopyRecord,
    Command,
    Messages,
    Help,
    Reload,
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
                | Self::NextSection
                | Self::PreviousSection
        )
    }

    /// The method of the control API that it comes to, where a role may lack it.
    pub const fn method(self) -> Option<&'static str> {
        Some(match self {
            Self::Retry | Self::RetryWaiting => "RetryDeliveries",
            Self::Test => "TestIntegration",
            Self::Toggle => "EnableIntegration",
            Self::Reset => "ResetIntegration",
            Self::Hold => "HoldDeliveries",
            Self::Release => "ReleaseDeliveries",
            Self::Skip => "SkipDeliveries",
            Self::Push => "PushLeads",
            Self::Credentials => "SetCredentials",
            Self::Mapping => "UpdateIntegration",
            Self::EditFlow | Self::ToggleFlow => "UpdateFlow",
            Self::Unskip => "UnskipDeliveries",
            Self::NewIntegration => "CreateIntegration",
            Self::SetPlan => "SetPlan",
            Self::Rotate | Self::Stage => "RotateSecret",
            Self::CutOver => "CutOver",
            Self::Revoke => "RevokeSecret",
            Self::Snooze => "SnoozeFailure",
            Self::CancelJob => "CancelJob",
            Self::Reveal => "Reveal",
            _ => return None,
        })
    }

    /// Whether it leads to a change of the daemon's data.
    pub const fn is_mutating(self) -> bool {
        matches!(
            self,
            Self::Retry
                | Self::RetryWaiting
                | Self::Test
                | Self::Toggle
                | Self::Reset
                | Self::Hold
                | Self::Release
                | Self::Skip
                | Self::Unskip
                | Self::NewIntegration
                | Self::SetPlan
                | Self::Push
                | Self::Credentials
                | Self::Mapping
                | Self::EditFlow
                | Self::ToggleFlow
                | Self::Rotate
                | Self::Stage
                | Self::CutOver
                | Self::Revoke
                | Self::Snooze
                | Self::CancelJob
        )
    }
}

/// Under which head the help shows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Move,
    Act,
    View,
    Everywhere,
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
    /// Where it stands in the footer; 0 for not at all.
    pub footer: u8,
}

impl Binding {
    /// Whether the key works although no screen asks for it.
    pub fn is_global(&self) -> bool {
        self.group == Group::Everywhere
    }
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
    footer: u8,
) -> Binding {
    Binding { action, keys, shown, label, group, footer }
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
const ENTER: [Press; 1] = [Press::plain(KeyCode::Enter)];
const ESCAPE: [Press; 1] = [Press::plain(KeyCode::Esc)];

/// Every key of the console.
pub const BINDINGS: &[Binding] = &[
    bind(Action::Open, &ENTER, "⏎", "open", Group::Move, 1),
    bind(Action::Up, &UP, "↑ k", "up", Group::Move, 0),
    bind(Action::Down, &DOWN, "↓ j", "down", Group::Move, 0),
    bind(Action::Left, &LEFT, "← h", "left", Group::Move, 0),
    bind(Action::Right, &RIGHT, "→ l", "right", Group::Move, 0),
    bind(Action::First, &FIRST, "g Home", "first", Group::Move, 0),
    bind(Action::Last, &LAST, "G End", "last", Group::Move, 0),
    bind(Action::PageUp, &PAGE_UP, "PgUp ^u", "page up", Group::Move, 0),
    bind(Action::PageDown, &PAGE_DOWN, "PgDn ^d", "page down", Group::Move, 0),
    bind(Action::NextSection, &[key('}')], "}", "next section", Group::Move, 0),
    bind(Action::PreviousSection, &[key('{')], "{", "previous section", Group::Move, 0),
    bind(Action::Pane, &PANE, "Tab", "other pane", Group::Move, 9),
    bind(Action::Retry, &[key('r')], "r", "retry", Group::Act, 2),
    bind(Action::RetryWaiting, &[key('W')], "W", "push what waits now", Group::Act, 0),
    bind(Action::Test, &[key('t')], "t", "test push", Group::Act, 5),
    bind(Action::Toggle, &[key('e')], "e", "enable or disable", Group::Act, 6),
    bind(Action::Credentials, &[key('K')], "K", "replace credentials", Group::Act, 4),
    bind(Action::Mapping, &[key('m')], "m", "edit the mapping", Group::Act, 4),
    bind(Action::Push, &[key('P')], "P", "push this lead", Group::Act, 4),
    bind(Action::EditFlow, &[key('E')], "E", "edit the flow", Group::Act, 4),
    bind(Action::ToggleFlow, &[], "", "switch the flow on or off", Group::Act, 0),
    bind(Action::Evidence, &[key('x')], "x", "evidence for a ticket", Group::Act, 3),
    bind(Action::Reveal, &[key('U')], "U", "show who this is (audited)", Group::Act, 0),
    bind(Action::Snooze, &[key('s')], "s", "snooze for a day", Group::Act, 6),
    bind(Action::CancelJob, &[key('X')], "X", "cancel or resume the job", Group::Act, 2),
    bind(Action::Actions, &[key('a')], "a", "all actions", Group::Act, 7),
    bind(Action::Hold, &[], "", "hold", Group::Act, 0),
    bind(Action::Release, &[], "", "release what is held", Group::Act, 0),
    bind(Action::Skip, &[], "", "skip", Group::Act, 0),
    bind(Action::Unskip, &[], "", "put back what was skipped", Group::Act, 0),
    bind(Action::NewIntegration, &[key('n')], "n", "new integration", Group::Act, 0),
    bind(Action::SetPlan, &[], "", "change the plan", Group::Act, 0),
    bind(Action::Rotate, &[], "", "rotate the signing secret now", Group::Act, 0),
    bind(Action::Stage, &[], "", "stage a secret, cut over later", Group::Act, 0),
    bind(Action::CutOver, &[], "", "cut over to the staged secret", Group::Act, 0),
    bind(Action::Revoke, &[], "", "revoke the other secret", Group::Act, 0),
    bind(Action::Reset, &[], "", "reset failure count", Group::Act, 0),
    bind(Action::Mark, &[key(' ')], "space", "mark", Group::View, 8),
    bind(Action::Range, &[key('V')], "V", "mark from the last mark to here", Group::View, 0),
    bind(Action::MarkAll, &[key('*')], "*", "mark all that is shown", Group::View, 8),
    bind(Action::ClearMarks, &[key('u')], "u", "clear marks", Group::View, 0),
    bind(Action::Trace, &[key('T')], "T", "open the lead", Group::View, 5),
    bind(Action::OpenIntegration, &[key('i')], "i", "open the integration", Group::View, 6),
    bind(Action::Filter, &[key('/')], "/", "filter", Group::View, 7),
    bind(Action::FailingOnly, &[key('F')], "F", "failing only", Group::View, 9),
    bind(Action::Follow, &[key('f')], "f", "follow newest", Group::View, 0),
    bind(Action::Layout, &[key('v')], "v", "other view", Group::View, 8),
    bind(Action::Sort, &[key('S')], "S", "sort by", Group::View, 9),
    bind(Action::SortLeft, &[key('<')], "<", "sort by the column before", Group::View, 0),
    bind(Action::SortRight, &[key('>')], ">", "sort by the next column", Group::View, 0),
    bind(Action::Invert, &[key('I')], "I", "turn the order round", Group::View, 0),
    bind(Action::Wrap, &[key('w')], "w", "wrap lines", Group::View, 0),
    bind(Action::Full, &[key('z')], "z", "full screen", Group::View, 0),
    bind(Action::Diff, &[key('d')], "d", "compare with the attempt before", Group::View, 8),
    bind(Action::Pager, &[key('p')], "p", "show in $PAGER", Group::View, 0),
    bind(Action::Older, &[key('o')], "o", "older ones", Group::View, 0),
    bind(Action::Back, &ESCAPE, "Esc", "back", Group::Everywhere, 10),
    bind(Action::PickCompany, &[key('c')], "c", "one company only", Group::Everywhere, 9),
    bind(Action::CompanyPage, &[key('C')], "C", "page of the company", Group::Everywhere, 0),
    bind(Action::Copy, &[key('y')], "y", "copy", Group::Everywhere, 10),
    bind(Action::CopyRecord, &[key('Y')], "Y", "copy everything as JSON", Group::Everywhere, 0),
    bind(Action::Command, &[key('!')], "!", "the command for this", Group::Everywhere, 0),
    bind(Action::Palette, &[key(':')], ":", "command, or jump to anything", Group::Everywhere, 9),
    bind(Action::Go(1), &[key('1')], "1", "overview", Group::Everywhere, 0),
    bind(Action::Go(2), &[key('2')], "2", "failures by cause", Group::Everywhere, 0),
    bind(Action::Go(3), &[key('3')], "3", "leads", Group::Everywhere, 0),
    bind(Action::Go(4), &[key('4')], "4", "jobs", Group::Everywhere, 0),
    bind(Action::Go(5), &[key('5')], "5", "activity", Group::Everywhere, 0),
    bind(Action::Go(6), &[key('6')], "6", "system", Group::Everywhere, 0),
    bind(Action::Backward, &[key('[')], "[", "back to the screen before", Group::Everywhere, 0),
    bind(Action::Forward, &[key(']')], "]", "forward again", Group::Everywhere, 0),
    bind(Action::Messages, &[key('@')], "@", "all messages", Group::Everywhere, 0),
    bind(Action::Help, &[key('?')], "?", "help", Group::Everywhere, 11),
    bind(Action::Reload, &[key('R')], "R", "reload, or connect now", Group::Everywhere, 0),
    bind(Action::Redraw, &[Press::ctrl('l')], "^l", "redraw", Group::Everywhere, 0),
    bind(Action::Suspend, &[Press::ctrl('z')], "^z", "suspend", Group::Everywhere, 0),
    bind(Action::Quit, &[key('q')], "q", "back, quit at the root", Group::Everywhere, 0),
    bind(Action::QuitNow, &[Press::ctrl('c')], "^c", "quit at once", Group::Everywhere, 0),
];

/// What the key does where these actions are offered.
pub fn lookup(offered: &[Action], press: Press) -> Option<Action> {
    BINDINGS
        .iter()
        .filter(|b| b.is_global() || offered.contains(&b.action))
        .find(|b| b.keys.iter().any(|key| key.matches(press)))
        .map(|b| b.action)
        .filter(|action| !press.repeat || action.is_move())
}

/// The line of the key map for an action.
pub fn binding(action: Action) -> Option<&'static Binding> {
    BINDINGS.iter().find(|b| b.action == action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let mut seen: Vec<Press> = Vec::new();
        for key in BINDINGS.iter().flat_map(|b| b.keys) {
            assert!(!seen.contains(key), "{key:?}");
            seen.push(*key);
        }
    }

    #[test]
    fn only_moves_repeat_and_releases_are_nothing() {
        let offered = [Action::Down, Action::Retry];
        let held = |code| Press { repeat: true, ..Press::plain(code) };
        assert_eq!(lookup(&offered, held(KeyCode::Down)), Some(Action::Down));
        assert_eq!(lookup(&offered, held(KeyCode::Char('r'))), None);
        assert_eq!(lookup(&offered, key('r')), Some(Action::Retry));
        assert_eq!(lookup(&offered, key('t')), None, "it is not offered");
        let release = KeyEvent::new_with_kind(KeyCode::Char('r'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(Press::from_event(release), None);
        let alt = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::ALT);
        assert_eq!(Press::from_event(alt), None);
    }
}
