//! What the palette proposes to jump to: what the screens have told of.

use std::collections::BTreeSet;

use super::App;
use crate::console::dialogs::JumpTarget;

impl App {
    /// What the screens have loaded, those on top first; nothing twice.
    pub(super) fn places(&self) -> Vec<JumpTarget> {
        let here = self.stacks[self.at].iter().rev();
        let others = self.stacks.iter().enumerate().filter(|(at, _)| *at != self.at);
        let screens = here.chain(others.flat_map(|(_, stack)| stack.iter().rev()));
        let mut seen = BTreeSet::new();
        let mut places: Vec<JumpTarget> = screens.flat_map(|screen| screen.places(&self.shared)).collect();
        places.retain(|place| seen.insert(place.label.clone()));
        places
    }
}
