//! A line of text that is being typed.

use crossterm::event::KeyCode;
use zeroize::Zeroize;

use crate::console::keymap::Press;

/// So many bytes at most are typed and pasted: more than a setting may have.
const MOST: usize = 64 << 10;

/// The text and where the cursor stands in it, counted in characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    text: String,
    cursor: usize,
}

impl Input {
    /// Starts with `text`, the cursor behind it.
    pub fn with(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.chars().count(), text }
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text before and behind the cursor.
    pub fn split(&self) -> (&str, &str) {
        self.text.split_at(self.byte(self.cursor))
    }

    /// Types one character; control characters are dropped.
    pub fn insert(&mut self, c: char) {
        if !c.is_control() && self.text.len() < MOST {
            self.text.insert(self.byte(self.cursor), c);
            self.cursor += 1;
        }
    }

    /// Types pasted text, up to its first line break.
    pub fn paste(&mut self, text: &str) {
        self.paste_lines(text.lines().next().unwrap_or_default());
    }

    /// Types pasted text with its line breaks: keys and templates have several lines. Nothing is left of the text where it
    /// stood before, as it may be secret.
    pub fn paste_lines(&mut self, text: &str) {
        let at = self.byte(self.cursor);
        let mut whole = String::with_capacity(self.text.len() + text.len());
        whole.push_str(&self.text[..at]);
        let rest = self.text.len() - at;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let c = match c {
                '\r' if characters.peek() == Some(&'\n') => continue,
                '\r' => '\n',
                c => c,
            };
            if whole.len() + c.len_utf8() + rest > MOST {
                break;
            }
            if matches!(c, '\n' | '\t') || !c.is_control() {
                whole.push(c);
                self.cursor += 1;
            }
        }
        whole.push_str(&self.text[at..]);
        self.text.zeroize();
        self.text = whole;
    }

    /// Removes the character before the cursor.
    pub fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.text.remove(self.byte(self.cursor));
        }
    }

    /// Removes the character behind the cursor.
    pub fn delete(&mut self) {
        if self.cursor < self.text.chars().count() {
            self.text.remove(self.byte(self.cursor));
        }
    }

    /// Removes the word before the cursor, and the blanks behind it.
    fn word(&mut self) {
        let ends_in =
            |input: &Self, is: fn(char) -> bool| input.split().0.chars().next_back().is_some_and(is);
        while ends_in(self, char::is_whitespace) {
            self.backspace();
        }
        while ends_in(self, |c| !c.is_whitespace()) {
            self.backspace();
        }
    }

    /// Takes a key in; false if it means nothing here.
    pub fn key(&mut self, press: Press) -> bool {
        match press.code {
            KeyCode::Char('u') if press.ctrl => self.clear(),
            KeyCode::Char('a') if press.ctrl => self.home(),
            KeyCode::Char('e') if press.ctrl => self.end(),
            KeyCode::Char(c) if !press.ctrl => self.insert(c),
            KeyCode::Char('w') if press.ctrl => self.word(),
            KeyCode::Backspace => self.backspace(),
            KeyCode::Delete => self.delete(),
            KeyCode::Left => self.left(),
            KeyCode::Right => self.right(),
            KeyCode::Home => self.home(),
            KeyCode::End => self.end(),
            _ => return false,
        }
        true
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.zeroize();
    }

    /// Moves the cursor one character left.
    pub fn left(&mut self) {
        self.cursor = self.cursor.saturating_sub(1);
    }

    /// Moves the cursor one character right.
    pub fn right(&mut self) {
        self.cursor = (self.cursor + 1).min(self.text.chars().count());
    }

    /// Moves the cursor to the beginning.
    pub fn home(&mut self) {
        self.cursor = 0;
    }

    /// Moves the cursor to the end.
    pub fn end(&mut self) {
        self.cursor = self.text.chars().count();
    }

    fn byte(&self, cursor: usize) -> usize {
        self.text.char_indices().nth(cursor).map_or(self.text.len(), |(at, _)| at)
    }
}

impl Zeroize for Input {
    fn zeroize(&mut self) {
        self.text.zeroize();
        self.cursor = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editing_keeps_to_characters() {
        let mut input = Input::with("né");
        input.left();
        input.insert('x');
        assert_eq!(input.split(), ("nx", "é"));
        input.backspace();
        input.end();
        input.paste("w\x1b!\nrest");
        assert_eq!(input.text(), "néw!");
        input.home();
        input.backspace();
        assert_eq!(input.split(), ("", "néw!"));
    }

    #[test]
    fn a_character_ahead_and_a_word_behind_are_removed() {
        let mut input = Input::with("lead.née > 15 ");
        let press = |text: &str| text.parse::<Press>().unwrap();
        input.key(press("ctrl-w"));
        assert_eq!(input.text(), "lead.née > ");
        input.key(press("ctrl-w"));
        input.key(press("left"));
        input.key(press("left"));
        input.key(press("delete"));
        assert_eq!(input.split(), ("lead.né", " "));
        input.key(press("end"));
        input.key(press("delete"));
        assert_eq!(input.text(), "lead.né ");
        input.key(press("ctrl-w"));
        input.key(press("ctrl-w"));
        assert_eq!(input.text(), "");
    }

    #[test]
    fn lines_of_a_pasted_key_are_kept() {
        let mut input = Input::default();
        input.paste_lines("BEGIN\r\nab\x1b[2Jc\rEND");
        assert_eq!(input.text(), "BEGIN\nab[2Jc\nEND");
        input.paste_lines(&"é".repeat(MOST));
        assert_eq!((input.text().len(), input.split().1), (MOST, ""), "no part of a character");
    }
}
