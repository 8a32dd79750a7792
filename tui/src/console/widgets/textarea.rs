//! Several lines of text that are being typed.

use crossterm::event::KeyCode;

use crate::console::keymap::Press;

/// What fits into a mapping, and more than anybody types.
const BYTES_MAX: usize = 64 * 1024;

/// The lines and where the cursor stands: row, and column in characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextArea {
    lines: Vec<String>,
    row: usize,
    column: usize,
}

impl TextArea {
    /// Starts with `text`, the cursor at its beginning.
    pub fn with(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Self { lines: if lines.is_empty() { vec![String::new()] } else { lines }, row: 0, column: 0 }
    }

    /// Everything, as it is saved.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// The lines as they are drawn.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Where the cursor stands.
    pub const fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// Takes a key in; false if it means nothing here.
    pub fn key(&mut self, press: Press) -> bool {
        match press.code {
            KeyCode::Char('a') if press.ctrl => self.column = 0,
            KeyCode::Char('e') if press.ctrl => self.column = self.len(),
            KeyCode::Char('k') if press.ctrl => self.cut_line(),
            KeyCode::Char(c) if !press.ctrl => self.insert(c),
            KeyCode::Enter => self.split(),
            KeyCode::Backspace => self.backspace(),
            KeyCode::Delete => self.delete(),
            KeyCode::Left if self.column > 0 => self.column -= 1,
            KeyCode::Left if self.row > 0 => {
                self.row -= 1;
                self.column = self.len();
            }
            KeyCode::Right if self.column < self.len() => self.column += 1,
            KeyCode::Right if self.row + 1 < self.lines.len() => {
                self.row += 1;
                self.column = 0;
            }
            KeyCode::Up => self.move_to(self.row.saturating_sub(1)),
            KeyCode::Down => self.move_to(self.row + 1),
            KeyCode::PageUp => self.move_to(self.row.saturating_sub(10)),
            KeyCode::PageDown => self.move_to(self.row + 10),
            KeyCode::Home => self.column = 0,
            KeyCode::End => self.column = self.len(),
            _ => return false,
        }
        true
    }

    /// Types pasted text, its line breaks too.
    pub fn paste(&mut self, text: &str) {
        for c in text.replace("\r\n", "\n").chars() {
            match c {
                '\n' | '\r' => self.split(),
                '\t' => (0..2).for_each(|_| self.insert(' ')),
                c => self.insert(c),
            }
        }
    }

    fn len(&self) -> usize {
        self.lines.get(self.row).map_or(0, |line| line.chars().count())
    }

    fn byte(&self) -> usize {
        let line = self.lines.get(self.row).map_or("", String::as_str);
        line.char_indices().nth(self.column).map_or(line.len(), |(at, _)| at)
    }

    fn is_full(&self) -> bool {
        self.lines.iter().map(|line| line.len() + 1).sum::<usize>() >= BYTES_MAX
    }

    fn insert(&mut self, c: char) {
        let at = self.byte();
        if c.is_control() || self.is_full() {
            return;
        }
        if let Some(line) = self.lines.get_mut(self.row) {
            line.insert(at, c);
            self.column += 1;
        }
    }

    fn split(&mut self) {
        let at = self.byte();
        if self.is_full() {
            return;
        }
        if let Some(line) = self.lines.get_mut(self.row) {
            let rest = line.split_off(at);
            self.row += 1;
            self.column = 0;
            self.lines.insert(self.row, rest);
        }
    }

    fn backspace(&mut self) {
        if self.column > 0 {
            self.column -= 1;
            let at = self.byte();
            if let Some(line) = self.lines.get_mut(self.row) {
                line.remove(at);
            }
        } else if self.row > 0 {
            let rest = self.lines.remove(self.row);
            self.row -= 1;
            self.column = self.len();
            if let Some(line) = self.lines.get_mut(self.row) {
                line.push_str(&rest);
            }
        }
    }

    fn delete(&mut self) {
        if self.column < self.len() {
            self.column += 1;
            self.backspace();
        } else if self.row + 1 < self.lines.len() {
            self.row += 1;
            self.column = 0;
            self.backspace();
        }
    }

    fn cut_line(&mut self) {
        let at = self.byte();
        if let Some(line) = self.lines.get_mut(self.row) {
            line.truncate(at);
        }
    }

    fn move_to(&mut self, row: usize) {
        self.row = row.min(self.lines.len().saturating_sub(1));
        self.column = self.column.min(self.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editing_keeps_to_lines_and_characters() {
        let mut area = TextArea::with("{\n  \"é\": 1\n}");
        let mut press = |code| assert!(area.key(Press::plain(code)));
        press(KeyCode::Down);
        press(KeyCode::End);
        press(KeyCode::Char(','));
        press(KeyCode::Enter);
        "  \"b\": 2".chars().for_each(|c| press(KeyCode::Char(c)));
        assert_eq!(area.text(), "{\n  \"é\": 1,\n  \"b\": 2\n}");
        assert_eq!(area.cursor(), (2, 8));
        (0..9).for_each(|_| assert!(area.key(Press::plain(KeyCode::Backspace))));
        assert_eq!(area.text(), "{\n  \"é\": 1,\n}");
        area.paste("x\r\ny");
        assert_eq!(area.text(), "{\n  \"é\": 1,x\ny\n}");
        assert!(area.key(Press::plain(KeyCode::Home)) && area.key(Press::plain(KeyCode::Delete)));
        assert!(area.key(Press::plain(KeyCode::Delete)));
        assert_eq!(area.text(), "{\n  \"é\": 1,x\n}");
        assert!(!area.key(Press::plain(KeyCode::Esc)));
    }
}
