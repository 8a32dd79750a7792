//! Every message of this run, whole: a line that passed by is read here.

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::console::app::frame::sign;
use crate::console::app::shared::{Shared, Tone};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Screen, Subject, View};
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind};
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::time;

#[derive(Debug, Default)]
pub struct MessagesScreen {
    page: PageScroll,
}

const ACTIONS: [Action; 9] = [
    Action::Up,
    Action::Down,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::Wrap,
    Action::Pager,
    Action::InEditor,
];

impl MessagesScreen {
    /// Newest first.
    fn doc(shared: &Shared, view: Option<View<'_>>) -> Doc {
        let mut doc = Doc::default();
        if shared.messages.is_empty() {
            doc.push(Kind::Quiet, "There has been no message yet.");
        }
        for message in shared.messages.iter().rev() {
            let kind = if message.tone == Tone::Bad { Kind::Error } else { Kind::Text };
            let glyph = view.map_or("", |view| sign(message.tone, view.theme).0);
            doc.push(
                kind,
                &format!("{} {glyph} {}", time::clock(message.at, &shared.setup.zone), message.text),
            );
        }
        doc
    }
}

impl Screen for MessagesScreen {
    fn crumb(&self, _: &Shared) -> String {
        "Messages".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        if matches!(action, Action::Pager | Action::InEditor) {
            let doc = Self::doc(cx.shared, None);
            return cx.show_outside(action, &doc);
        }
        self.page.perform(action);
    }

    fn event(&mut self, _: Event<'_>, _: &mut Cx<'_>) {}

    fn load(&mut self, _: &mut Cx<'_>) {}

    fn normalize(&mut self, _: &mut Cx<'_>) {}

    fn subject(&self, _: &Shared) -> Subject {
        Subject::default()
    }

    fn command(&self, _: &Shared) -> String {
        "leadline audit list".to_owned()
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let title = vec![view.theme.span(Role::Strong, "Messages of this run, newest first")];
        self.page.draw(Self::doc(view.shared, Some(view)), title, true, view, frame, area);
    }
}
