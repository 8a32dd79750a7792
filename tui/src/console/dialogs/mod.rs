//! What lies over a screen: questions before acts, menus, editors, and the secret that is shown once.

pub mod confirm;
pub mod editor;
pub mod jump;
pub mod menu;
pub mod notice;
pub mod secret;

use jiff::SignedDuration;

pub use confirm::{Choice, Confirm, Estimating, Focus, Weight};
pub use editor::Editor;
pub use jump::{Jump, JumpTarget};
pub use menu::{Menu, MenuAct, MenuIntegration, MenuItem, Named, Pick, already};
pub use notice::TextDialog;
pub use secret::OneTime;

use super::data::Mutation;

/// Keys within this time after a dialog opened were meant for what lay below.
pub const QUIET: SignedDuration = SignedDuration::from_millis(150);

/// What lies over the screen.
#[derive(Clone, Debug)]
pub enum Dialog {
    Confirm(Box<Confirm>),
    Menu(Menu),
    Editor(Box<Editor>),
    Notice(TextDialog),
}

impl Dialog {
    /// The form that is open, also while a question is asked about it.
    pub fn editor(&mut self) -> Option<&mut Editor> {
        match self {
            Self::Editor(editor) => Some(editor),
            Self::Confirm(confirm) => confirm.form.as_deref_mut(),
            Self::Menu(_) | Self::Notice(_) => None,
        }
    }
}

/// What a dialog makes of a key.
#[derive(Debug)]
pub enum Then {
    Stay,
    Close,
    /// The dry run is of other deliveries now.
    Count,
    Refuse(String),
    /// The change, in the words of the messages.
    Change {
        mutation: Mutation,
        what: String,
    },
    Pick(Pick),
    /// Let the reader's own editor change this text.
    Edit(String),
    /// Copy the text, which is called so.
    Copy {
        what: String,
        text: String,
    },
}
