//! A key as it was pressed, and as people write it: `r`, `ctrl-p`, `space`, `pgup`.

use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// The keys that have a name: how it is written in the settings, and how it is shown.
const NAMED: [(KeyCode, &str, &str); 16] = [
    (KeyCode::Char(' '), "space", "space"),
    (KeyCode::Enter, "enter", "⏎"),
    (KeyCode::Esc, "esc", "Esc"),
    (KeyCode::Tab, "tab", "Tab"),
    (KeyCode::BackTab, "shift-tab", "S-Tab"),
    (KeyCode::Backspace, "backspace", "Backspace"),
    (KeyCode::Delete, "delete", "Del"),
    (KeyCode::Insert, "insert", "Ins"),
    (KeyCode::Up, "up", "↑"),
    (KeyCode::Down, "down", "↓"),
    (KeyCode::Left, "left", "←"),
    (KeyCode::Right, "right", "→"),
    (KeyCode::Home, "home", "Home"),
    (KeyCode::End, "end", "End"),
    (KeyCode::PageUp, "pgup", "PgUp"),
    (KeyCode::PageDown, "pgdn", "PgDn"),
];

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

    /// Whether both are the same key, held down or not.
    pub fn matches(self, other: Self) -> bool {
        self.code == other.code && self.ctrl == other.ctrl
    }
}

/// A text that names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key: write one as `r`, `R`, `ctrl-p`, `f5`, `space`, `enter`, `tab`, `up` or `pgdn`")]
pub struct NoKey(String);

impl FromStr for Press {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let refused = || NoKey(text.to_owned());
        let one = |text: &str| {
            let mut chars = text.chars();
            chars.next().filter(|c| chars.next().is_none() && !c.is_control() && !c.is_whitespace())
        };
        if let Some(letter) = text.strip_prefix("ctrl-") {
            return one(letter).filter(char::is_ascii_lowercase).map(Self::ctrl).ok_or_else(refused);
        }
        if let Some((code, ..)) = NAMED.iter().find(|(_, name, _)| *name == text) {
            return Ok(Self::plain(*code));
        }
        if let Some(c) = one(text) {
            return Ok(Self::plain(KeyCode::Char(c)));
        }
        let number = text.strip_prefix('f').and_then(|number| number.parse().ok());
        number.filter(|n| (1..=12).contains(n)).map(|n| Self::plain(KeyCode::F(n))).ok_or_else(refused)
    }
}

/// As help and footer show it.
impl fmt::Display for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMED.iter().find(|(code, ..)| *code == self.code), self.code) {
            (Some((_, _, shown)), _) => f.write_str(shown),
            (None, KeyCode::Char(c)) if self.ctrl => write!(f, "^{c}"),
            (None, KeyCode::Char(c)) => write!(f, "{c}"),
            (None, KeyCode::F(n)) => write!(f, "F{n}"),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

impl Press {
    /// As the settings file has it.
    pub fn name(self) -> String {
        match (NAMED.iter().find(|(code, ..)| *code == self.code), self.code) {
            (Some((_, name, _)), _) => (*name).to_owned(),
            (None, KeyCode::Char(c)) if self.ctrl => format!("ctrl-{c}"),
            (None, KeyCode::F(n)) => format!("f{n}"),
            (None, _) => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for (text, shown) in [
            ("r", "r"),
            ("R", "R"),
            ("ctrl-p", "^p"),
            ("space", "space"),
            ("enter", "⏎"),
            ("pgdn", "PgDn"),
            ("f12", "F12"),
            ("f", "f"),
            ("-", "-"),
            ("é", "é"),
        ] {
            let press: Press = text.parse().unwrap();
            assert_eq!((press.name().as_str(), press.to_string().as_str()), (text, shown));
        }
        for text in ["", "ctrl-", "ctrl-P", "ctrl-up", "alt-x", "f13", "f0", "Enter", "rr", "\u{7}"] {
            let expected = format!(
                "`{text}` is no key: write one as `r`, `R`, `ctrl-p`, `f5`, `space`, `enter`, `tab`, `up` or `pgdn`"
            );
            assert_eq!(text.parse::<Press>().unwrap_err().to_string(), expected);
        }
    }
}
