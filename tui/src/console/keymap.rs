//! Which key does what. Footer, help and palette are made from this table, so that they never lie; the reader's own keys
//! and commands change it for a run, and win over ours.

mod action;
mod press;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crossterm::event::KeyCode;

pub use action::Action;
pub use press::{NoKey, Press};

/// Under which head the help shows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelpGroup {
    Move,
    Act,
    View,
    Everywhere,
}

/// A line of the key map as it is without settings.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub action: Action,
    pub keys: &'static [Press],
    /// The keys as written in help; empty for what only menus offer.
    pub shown: &'static str,
    pub label: &'static str,
    pub group: HelpGroup,
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
    group: HelpGroup,
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
    bind(Action::Open, &ENTER, "⏎", "open", HelpGroup::Move, 1),
    bind(Action::Up, &UP, "↑ k", "up", HelpGroup::Move, 0),
    bind(Action::Down, &DOWN, "↓ j", "down", HelpGroup::Move, 0),
    bind(Action::Left, &LEFT, "← h", "left", HelpGroup::Move, 0),
    bind(Action::Right, &RIGHT, "→ l", "right", HelpGroup::Move, 0),
    bind(Action::First, &FIRST, "g Home", "first", HelpGroup::Move, 0),
    bind(Action::Last, &LAST, "G End", "last", HelpGroup::Move, 0),
    bind(Action::PageUp, &PAGE_UP, "PgUp ^u", "page up", HelpGroup::Move, 0),
    bind(Action::PageDown, &PAGE_DOWN, "PgDn ^d", "page down", HelpGroup::Move, 0),
    bind(Action::NextSection, &[key('}')], "}", "next section", HelpGroup::Move, 0),
    bind(Action::PreviousSection, &[key('{')], "{", "previous section", HelpGroup::Move, 0),
    bind(Action::Pane, &PANE, "Tab", "other pane", HelpGroup::Move, 9),
    bind(Action::Retry, &[key('r')], "r", "retry", HelpGroup::Act, 2),
    bind(Action::RetryWaiting, &[key('W')], "W", "push what waits now", HelpGroup::Act, 0),
    bind(Action::Test, &[key('t')], "t", "test push", HelpGroup::Act, 5),
    bind(Action::Toggle, &[key('e')], "e", "enable or disable", HelpGroup::Act, 6),
    bind(Action::Credentials, &[key('K')], "K", "replace credentials", HelpGroup::Act, 4),
    bind(Action::Mapping, &[key('m')], "m", "edit the mapping", HelpGroup::Act, 4),
    bind(Action::Push, &[key('P')], "P", "push this lead", HelpGroup::Act, 4),
    bind(Action::EditFlow, &[key('E')], "E", "edit the flow", HelpGroup::Act, 4),
    bind(Action::ToggleFlow, &[], "", "switch the flow on or off", HelpGroup::Act, 0),
    bind(Action::Evidence, &[key('x')], "x", "evidence for a ticket", HelpGroup::Act, 3),
    bind(Action::Reveal, &[key('U')], "U", "show who this is (audited)", HelpGroup::Act, 0),
    bind(Action::Snooze, &[key('s')], "s", "snooze", HelpGroup::Act, 6),
    bind(Action::CancelJob, &[key('X')], "X", "cancel or resume the job", HelpGroup::Act, 2),
    bind(Action::Actions, &[key('a')], "a", "all actions", HelpGroup::Act, 7),
    bind(Action::Hold, &[], "", "hold", HelpGroup::Act, 0),
    bind(Action::Release, &[], "", "release what is held", HelpGroup::Act, 0),
    bind(Action::Skip, &[], "", "skip", HelpGroup::Act, 0),
    bind(Action::Unskip, &[], "", "put back what was skipped", HelpGroup::Act, 0),
    bind(Action::NewIntegration, &[key('n')], "n", "new integration", HelpGroup::Act, 0),
    bind(Action::Settings, &[key(',')], ",", "change the settings", HelpGroup::Act, 0),
    bind(Action::SetPlan, &[], "", "change the plan", HelpGroup::Act, 0),
    bind(Action::PauseCompany, &[], "", "pause or resume the company", HelpGroup::Act, 0),
    bind(Action::Rotate, &[], "", "rotate the signing secret now", HelpGroup::Act, 0),
    bind(Action::Stage, &[], "", "stage a secret, cut over later", HelpGroup::Act, 0),
    bind(Action::CutOver, &[], "", "cut over to the staged secret", HelpGroup::Act, 0),
    bind(Action::Revoke, &[], "", "revoke the other secret", HelpGroup::Act, 0),
    bind(Action::Reset, &[], "", "reset failure count", HelpGroup::Act, 0),
    bind(Action::Mark, &[key(' ')], "space", "mark", HelpGroup::View, 8),
    bind(Action::Range, &[key('V')], "V", "mark from the last mark to here", HelpGroup::View, 0),
    bind(Action::MarkAll, &[key('*')], "*", "mark all that is shown", HelpGroup::View, 8),
    bind(Action::ClearMarks, &[key('u')], "u", "clear marks", HelpGroup::View, 0),
    bind(Action::Trace, &[key('T')], "T", "open the lead", HelpGroup::View, 5),
    bind(Action::OpenIntegration, &[key('i')], "i", "open the integration", HelpGroup::View, 6),
    bind(Action::Filter, &[key('/')], "/", "filter", HelpGroup::View, 7),
    bind(Action::Anywhere, &[key('A')], "A", "look anywhere", HelpGroup::View, 3),
    bind(Action::FailingOnly, &[key('F')], "F", "failing only", HelpGroup::View, 9),
    bind(Action::Follow, &[key('f')], "f", "follow newest", HelpGroup::View, 0),
    bind(Action::Layout, &[key('v')], "v", "other view", HelpGroup::View, 8),
    bind(Action::Sort, &[key('S')], "S", "sort by", HelpGroup::View, 9),
    bind(Action::SortLeft, &[key('<')], "<", "sort by the column before", HelpGroup::View, 0),
    bind(Action::SortRight, &[key('>')], ">", "sort by the next column", HelpGroup::View, 0),
    bind(Action::Invert, &[key('I')], "I", "turn the order round", HelpGroup::View, 0),
    bind(Action::Wrap, &[key('w')], "w", "wrap lines", HelpGroup::View, 0),
    bind(Action::Full, &[key('z')], "z", "full screen", HelpGroup::View, 0),
    bind(Action::Diff, &[key('d')], "d", "compare with the attempt before", HelpGroup::View, 8),
    bind(Action::Pager, &[key('p')], "p", "show in $PAGER", HelpGroup::View, 0),
    bind(Action::InEditor, &[Press::ctrl('o')], "^o", "read in $EDITOR", HelpGroup::View, 0),
    bind(Action::Export, &[key('O')], "O", "write the list to a file", HelpGroup::View, 0),
    bind(Action::Older, &[key('o')], "o", "older ones", HelpGroup::View, 0),
    bind(Action::Back, &ESCAPE, "Esc", "back", HelpGroup::Everywhere, 10),
    bind(Action::PickCompany, &[key('c')], "c", "one company only", HelpGroup::Everywhere, 9),
    bind(Action::CompanyPage, &[key('C')], "C", "page of the company", HelpGroup::Everywhere, 0),
    bind(Action::Copy, &[key('y')], "y", "copy", HelpGroup::Everywhere, 10),
    bind(Action::CopyRecord, &[key('Y')], "Y", "copy everything as JSON", HelpGroup::Everywhere, 0),
    bind(Action::Undo, &[key('Z')], "Z", "undo the last save", HelpGroup::Everywhere, 0),
    bind(Action::Command, &[key('!')], "!", "copy and show the command for this", HelpGroup::Everywhere, 0),
    bind(Action::Palette, &[key(':')], ":", "command, or jump to anything", HelpGroup::Everywhere, 9),
    bind(Action::Go(1), &[key('1')], "1", "overview", HelpGroup::Everywhere, 0),
    bind(Action::Go(2), &[key('2')], "2", "failures by cause", HelpGroup::Everywhere, 0),
    bind(Action::Go(3), &[key('3')], "3", "leads", HelpGroup::Everywhere, 0),
    bind(Action::Go(4), &[key('4')], "4", "jobs", HelpGroup::Everywhere, 0),
    bind(Action::Go(5), &[key('5')], "5", "activity", HelpGroup::Everywhere, 0),
    bind(Action::Go(6), &[key('6')], "6", "system", HelpGroup::Everywhere, 0),
    bind(Action::Profiles, &[key('0')], "0", "all profiles", HelpGroup::Everywhere, 0),
    bind(Action::Backward, &[key('[')], "[", "back to the screen before", HelpGroup::Everywhere, 0),
    bind(Action::Forward, &[key(']')], "]", "forward again", HelpGroup::Everywhere, 0),
    bind(Action::Messages, &[key('@')], "@", "all messages", HelpGroup::Everywhere, 0),
    bind(Action::Mouse, &[], "", "mouse on or off", HelpGroup::Everywhere, 0),
    bind(Action::Help, &[key('?')], "?", "help", HelpGroup::Everywhere, 11),
    bind(Action::Reload, &[key('R')], "R", "reload, or connect now", HelpGroup::Everywhere, 0),
    bind(Action::Redraw, &[Press::ctrl('l')], "^l", "redraw", HelpGroup::Everywhere, 0),
    bind(Action::Suspend, &[Press::ctrl('z')], "^z", "suspend", HelpGroup::Everywhere, 0),
    bind(Action::Quit, &[key('q')], "q", "back, quit at the root", HelpGroup::Everywhere, 0),
    bind(Action::QuitNow, &[Press::ctrl('c')], "^c", "quit at once", HelpGroup::Everywhere, 0),
];

/// A line of the key map of this run.
#[derive(Clone, Debug)]
pub struct Bound {
    pub action: Action,
    pub keys: Vec<Press>,
    /// The keys as written in help; empty for what only menus offer.
    pub shown: Cow<'static, str>,
    pub label: Cow<'static, str>,
    pub group: HelpGroup,
    /// Where it stands in the footer; 0 for not at all.
    pub footer: u8,
    /// What the reader has on the last key that it had here; none where it has one.
    pub taken: Option<String>,
}

impl Bound {
    /// Whether the key works although no screen asks for it.
    pub fn is_global(&self) -> bool {
        self.group == HelpGroup::Everywhere
    }

    /// What the settings file calls it: a command of the reader's own by its label, in quotes.
    fn name(&self) -> String {
        self.action.name().unwrap_or_else(|| format!("\"{}\"", self.label))
    }

    fn has(&self, key: Press) -> bool {
        self.keys.iter().any(|it| it.matches(key))
    }

    fn set(&mut self, keys: Vec<Press>) {
        self.shown = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ").into();
        self.keys = keys;
    }
}

impl From<&Binding> for Bound {
    fn from(b: &Binding) -> Self {
        Self {
            action: b.action,
            keys: b.keys.to_vec(),
            shown: b.shown.into(),
            label: b.label.into(),
            group: b.group,
            footer: b.footer,
            taken: None,
        }
    }
}

/// The keys of this run.
#[derive(Clone, Debug)]
pub struct Keymap {
    lines: Vec<Bound>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self { lines: BINDINGS.iter().map(Bound::from).collect() }
    }
}

/// Why keys cannot be as somebody wants them, and the action whose line in the settings says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub action: Action,
    pub reason: String,
}

impl Keymap {
    /// The table with keys of the reader's own, and a line for each command of theirs: its label and key. What we had on
    /// such a key has it no more.
    pub fn with(
        keys: &BTreeMap<Action, Vec<Press>>,
        own: impl IntoIterator<Item = (String, Option<Press>)>,
    ) -> Result<Self, Clash> {
        let mut map = Self::default();
        for (action, keys) in keys {
            if action.is_fixed() {
                let reason = "its keys are the same for everybody: take it out".to_owned();
                return Err(Clash { action: *action, reason });
            }
            if let Some(line) = map.lines.iter_mut().find(|line| line.action == *action) {
                line.set(keys.clone());
            }
        }
        for (at, (label, key)) in own.into_iter().enumerate() {
            let action = Action::Own(at);
            let line =
                Binding { action, keys: &[], shown: "", label: "", group: HelpGroup::Everywhere, footer: 0 };
            let mut line = Bound { label: label.into(), ..Bound::from(&line) };
            line.set(key.into_iter().collect());
            map.lines.push(line);
        }
        map.give_way(keys)?;
        match map.shut_out(keys) {
            Some(clash) => Err(clash),
            None => Ok(map),
        }
    }

    /// Why nobody would find what has no key any more. The palette does all of that, the help among it; where it has no key
    /// itself, it must stand in the help as one that lost its key, and the help must have one. Quitting is always `ctrl-c`.
    fn shut_out(&self, changed: &BTreeMap<Action, Vec<Press>>) -> Option<Clash> {
        const WAYS: [Action; 2] = [Action::Palette, Action::Help];
        let [palette, help] = WAYS.map(|way| self.line(way));
        let has_key = |line: Option<&Bound>| line.is_some_and(|line| !line.keys.is_empty());
        let is_listed = palette.is_some_and(|line| line.taken.is_some());
        if has_key(palette) || has_key(help) && is_listed {
            return None;
        }
        let reason = if has_key(help) {
            "this leaves no way to the palette: give palette a key"
        } else {
            "this leaves no way to the palette and the help: give palette a key"
        };
        let took = |line: &&Bound| {
            let mut ours = BINDINGS.iter().filter(|it| WAYS.contains(&it.action)).flat_map(|it| it.keys);
            !WAYS.contains(&line.action) && ours.any(|key| line.has(*key))
        };
        let set = WAYS.into_iter().find(|way| changed.contains_key(way));
        let by = set.or_else(|| self.lines.iter().find(took).map(|line| line.action));
        Some(Clash { action: by.unwrap_or(Action::Palette), reason: reason.to_owned() })
    }

    /// Takes from our lines the keys that the reader has given to theirs. Two of theirs on one key are refused, as is one
    /// on a key that is the same for everybody.
    fn give_way(&mut self, changed: &BTreeMap<Action, Vec<Press>>) -> Result<(), Clash> {
        let is_theirs =
            |line: &Bound| changed.contains_key(&line.action) || matches!(line.action, Action::Own(_));
        let mut taken: Vec<(Press, String)> = Vec::new();
        for (at, line) in self.lines.iter().enumerate().filter(|(_, line)| is_theirs(line)) {
            for key in &line.keys {
                let is_other =
                    |other: &&Bound| other.has(*key) && other.action != line.action && is_theirs(other);
                let (name, key_name) = (line.name(), key.name());
                let reason = if let Some(fixed) =
                    self.lines.iter().find(|other| other.action.is_fixed() && other.has(*key))
                {
                    format!(
                        "`{key_name}` is {:?} for everybody: give {name} another key, or \"none\"",
                        fixed.label
                    )
                } else if let Some(other) = self.lines[..at].iter().find(is_other) {
                    let (first, second) = (other.name(), name);
                    format!(
                        "`{key_name}` would be both {first} and {second}: give one of them another key, or \"none\""
                    )
                } else {
                    taken.push((*key, format!("{key} is your {name}")));
                    continue;
                };
                return Err(Clash { action: line.action, reason });
            }
        }
        for line in self.lines.iter_mut().filter(|line| !is_theirs(line)) {
            let theirs = |key: &Press| taken.iter().find(|(it, _)| it.matches(*key));
            let Some((_, why)) = line.keys.iter().find_map(theirs) else { continue };
            let kept: Vec<Press> = line.keys.iter().copied().filter(|key| theirs(key).is_none()).collect();
            line.taken = kept.is_empty().then(|| why.clone());
            line.set(kept);
        }
        Ok(())
    }

    /// Every line.
    pub fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.lines.iter()
    }

    /// What the key does where these actions are offered.
    pub fn lookup(&self, offered: &[Action], press: Press) -> Option<Action> {
        self.lines
            .iter()
            .filter(|line| line.is_global() || offered.contains(&line.action))
            .find(|line| line.has(press))
            .map(|line| line.action)
            .filter(|action| !press.repeat || action.is_move())
    }

    /// The keys of an action as they are written; empty where it has none.
    pub fn shown(&self, action: Action) -> &str {
        self.line(action).map_or("", |line| &line.shown)
    }

    /// Words around the first key of an action; nothing where it has none.
    pub fn hint(&self, action: Action, before: &str, behind: &str) -> String {
        let key = self.line(action).and_then(|line| line.keys.first());
        key.map(|key| format!("{before}{key}{behind}")).unwrap_or_default()
    }

    /// The line of an action.
    pub fn line(&self, action: Action) -> Option<&Bound> {
        self.lines.iter().find(|line| line.action == action)
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyEvent, KeyEventKind, KeyModifiers};

    use super::*;

    fn press(text: &str) -> Press {
        text.parse().unwrap()
    }

    #[test]
    fn no_key_means_two_things() {
        let mut seen: Vec<Press> = Vec::new();
        for key in BINDINGS.iter().flat_map(|b| b.keys) {
            assert!(!seen.contains(key), "{key:?}");
            seen.push(*key);
        }
    }

    #[test]
    fn every_action_has_a_line_and_what_may_change_has_a_name() {
        for binding in BINDINGS {
            let name = binding.action.name();
            assert_eq!(name.is_none(), binding.action.is_fixed(), "{:?}", binding.action);
            if let Some(name) = name {
                let read: Action = serde_json::from_value(name.into()).unwrap();
                assert_eq!(read, binding.action);
            }
        }
    }

    #[test]
    fn only_moves_repeat_and_releases_are_nothing() {
        let map = Keymap::default();
        let offered = [Action::Down, Action::Retry];
        let held = |code| Press { repeat: true, ..Press::plain(code) };
        assert_eq!(map.lookup(&offered, held(KeyCode::Down)), Some(Action::Down));
        assert_eq!(map.lookup(&offered, held(KeyCode::Char('r'))), None);
        assert_eq!(map.lookup(&offered, key('r')), Some(Action::Retry));
        assert_eq!(map.lookup(&offered, key('t')), None, "it is not offered");
        let release = KeyEvent::new_with_kind(KeyCode::Char('r'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(Press::from_event(release), None);
        let alt = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::ALT);
        assert_eq!(Press::from_event(alt), None);
    }

    #[test]
    fn keys_of_ones_own_take_the_place_of_ours() {
        let keys = BTreeMap::from([(Action::Retry, vec![press("f5")]), (Action::Evidence, Vec::new())]);
        let own = [("open the ticket".to_owned(), Some(press("x"))), ("call".to_owned(), None)];
        let map = Keymap::with(&keys, own).unwrap();
        let offered = [Action::Retry, Action::Evidence];
        assert_eq!(map.lookup(&offered, press("f5")), Some(Action::Retry));
        assert_eq!(map.lookup(&offered, press("r")), None);
        assert_eq!(map.lookup(&offered, press("x")), Some(Action::Own(0)));
        let shown = |action| map.line(action).map(|line| (line.shown.to_string(), line.label.to_string()));
        assert_eq!(shown(Action::Retry), Some(("F5".to_owned(), "retry".to_owned())));
        assert_eq!(shown(Action::Evidence), Some((String::new(), "evidence for a ticket".to_owned())));
        assert_eq!(shown(Action::Own(1)), Some((String::new(), "call".to_owned())));
    }

    #[test]
    fn what_the_reader_has_on_a_key_of_ours_wins_and_the_help_says_so() {
        let keys = BTreeMap::from([
            (Action::Wrap, vec![press("r")]),
            (Action::Mark, vec![press("ctrl-u")]),
            (Action::Layout, vec![press("v"), press("v")]),
        ]);
        let own = [("ticket".to_owned(), Some(press("Z"))), ("outside".to_owned(), Some(press("ctrl-o")))];
        let map = Keymap::with(&keys, own).unwrap();
        let offered = [Action::Retry, Action::Wrap, Action::PageUp, Action::InEditor];
        assert_eq!(map.lookup(&offered, press("r")), Some(Action::Wrap));
        assert_eq!(map.lookup(&offered, press("Z")), Some(Action::Own(0)));
        assert_eq!(map.lookup(&offered, press("ctrl-o")), Some(Action::Own(1)));
        let line = |action| map.line(action).map(|line| (&*line.shown, line.taken.as_deref())).unwrap();
        assert_eq!(line(Action::Retry), ("", Some("r is your wrap")));
        assert_eq!(line(Action::Undo), ("", Some("Z is your \"ticket\"")));
        assert_eq!(line(Action::InEditor), ("", Some("^o is your \"outside\"")));
        assert_eq!(line(Action::PageUp), ("PgUp", None), "it has another one");
        assert_eq!(line(Action::Wrap), ("r", None));
        assert_eq!(line(Action::ClearMarks), ("u", None), "ctrl-u is no u");
    }

    #[test]
    fn keys_that_would_mean_two_things_of_the_readers_own_are_refused() {
        let refused = |keys: &[(Action, &str)], own: &[(&str, &str)]| {
            let keys = keys.iter().map(|(action, key)| (*action, vec![press(key)])).collect();
            let own = own.iter().map(|(label, key)| ((*label).to_owned(), Some(press(key))));
            let clash = Keymap::with(&keys, own).unwrap_err();
            (clash.action, clash.reason)
        };
        let both = "`x` would be both retry and wrap: give one of them another key, or \"none\"";
        assert_eq!(
            refused(&[(Action::Wrap, "x"), (Action::Retry, "x")], &[]),
            (Action::Wrap, both.to_owned())
        );
        let own = "`x` would be both retry and \"call\": give one of them another key, or \"none\"";
        assert_eq!(refused(&[(Action::Retry, "x")], &[("call", "x")]), (Action::Own(0), own.to_owned()));
        let two = "`x` would be both \"call\" and \"write\": give one of them another key, or \"none\"";
        assert_eq!(refused(&[], &[("call", "x"), ("write", "x")]), (Action::Own(1), two.to_owned()));
        let fixed = "`1` is \"overview\" for everybody: give \"call\" another key, or \"none\"";
        assert_eq!(refused(&[], &[("call", "1")]), (Action::Own(0), fixed.to_owned()));
        let out = "`ctrl-c` is \"quit at once\" for everybody: give retry another key, or \"none\"";
        assert_eq!(refused(&[(Action::Retry, "ctrl-c")], &[]), (Action::Retry, out.to_owned()));
        let fixed = "its keys are the same for everybody: take it out";
        assert_eq!(refused(&[(Action::Back, "b")], &[]), (Action::Back, fixed.to_owned()));
    }

    #[test]
    fn there_is_always_a_way_to_the_palette_the_help_and_out() {
        let with = |keys: &[(Action, &str)], own: &[&str]| {
            let keys = keys.iter().map(|(action, keys)| {
                (*action, keys.split_whitespace().filter(|key| *key != "none").map(press).collect())
            });
            let own = own.iter().map(|key| (format!("mine on {key}"), Some(press(key))));
            Keymap::with(&keys.collect(), own.collect::<Vec<_>>())
        };
        let palette = "this leaves no way to the palette: give palette a key";
        let both = "this leaves no way to the palette and the help: give palette a key";
        for (keys, own, by, reason) in [
            (&[(Action::Palette, "none")][..], &[][..], Action::Palette, palette),
            (&[(Action::Palette, "none"), (Action::Help, "none")], &[], Action::Palette, both),
            (&[(Action::Palette, "none")], &["?"], Action::Palette, both),
            (&[(Action::Help, "none")], &[":"], Action::Help, both),
            (&[(Action::Wrap, "? :")], &[], Action::Wrap, both),
            (&[], &["r", ":", "?"], Action::Own(1), both),
        ] {
            let clash = with(keys, own).unwrap_err();
            assert_eq!((clash.action, &*clash.reason), (by, reason), "{keys:?} {own:?}");
        }
        for (keys, own) in [
            // The palette does what has no key.
            (&[(Action::Help, "none"), (Action::Quit, "none")][..], &[][..]),
            (&[(Action::Quit, "none")], &["?", "q"]),
            (&[(Action::Palette, "ctrl-p")], &[":"]),
            // The help has what lost its key.
            (&[], &[":"]),
        ] {
            let map = with(keys, own).unwrap_or_else(|clash| panic!("{keys:?} {own:?}: {}", clash.reason));
            assert_eq!(map.lookup(&[], Press::ctrl('c')), Some(Action::QuitNow));
        }
    }
}
