//! A line of a form: what it is part of, what stood there before, and what of it may reach an editor.

use super::Then;
use crate::console::data::query::Field;
use crate::console::widgets::input::Input;

/// What a line of the form is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Name,
    Config,
    Credentials,
}

/// A line of the form.
#[derive(Clone, Debug)]
pub(super) struct EditorLine {
    pub(super) part: Part,
    pub(super) field: Field,
    pub(super) input: Input,
    /// What stood there when the form opened: a line that nobody changed is not written.
    before: String,
    /// What the reader's own editor gave last.
    edited: Option<String>,
}

impl EditorLine {
    pub(super) fn new(part: Part, field: Field, before: String) -> Self {
        Self { part, field, input: Input::with(before.clone()), before, edited: None }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.input.text() != self.before
    }

    /// Its text for an editor, which keeps it in a file.
    pub(super) fn for_editor(&self) -> Then {
        let text = self.input.text();
        let is_typed = !text.is_empty() && self.is_changed() && self.edited.as_deref() != Some(text);
        if self.part == Part::Credentials || self.field.secret {
            Then::Refuse("what is secret reaches no file: paste it here".to_owned())
        } else if is_typed {
            // A header or an address may be a credential: the daemon shows it shortened, but what was typed is whole.
            Then::Refuse(
                "what is typed here may be secret and reaches no file: ^u empties the line".to_owned(),
            )
        } else {
            Then::Edit(text.to_owned())
        }
    }

    /// What the editor made of it.
    pub(super) fn edit(&mut self, text: &str) {
        // Editors end a text with a line break of their own.
        let ends = self.input.text().ends_with('\n');
        let text = if ends { text } else { text.trim_end_matches(['\r', '\n']) };
        self.input.clear();
        self.input.paste_lines(text);
        self.edited = Some(self.input.text().to_owned());
    }
}
