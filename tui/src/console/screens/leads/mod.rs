//! Finding a lead: by name, e-mail address, phone or uuid, as one types; or by what the newest leads say anywhere.

mod anywhere;
mod columns;
mod hits;

use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use serde_json::json;

use crate::console::app::shared::{Shared, Tone};
use crate::console::data::command::{of_company, quote};
use crate::console::data::{Lead, Query};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, Typed, View};
use crate::console::screens::lead::LeadScreen;
use crate::console::theme::Role;
use crate::console::widgets::columns::TableColumn;
use crate::console::widgets::draw::{input, pane, safe, trouble};
use crate::console::widgets::input::Input;
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::table::Table;

use columns::{COLUMNS, SAID};
use hits::{Hits, joined};

/// The daemon looks for two characters or more.
const LEAST: usize = 2;

#[derive(Debug)]
pub struct LeadsScreen {
    sought: Input,
    is_typing: bool,
    /// When that was; none for a text that it was opened with.
    typed_at: Option<Timestamp>,
    /// It is looked for in all that the newest leads say.
    is_anywhere: bool,
    /// That begins by itself where nobody is called so: it did not yet.
    is_offered: bool,
    /// What is under way began by itself.
    is_by_itself: bool,
    /// What is asked for stands behind what is shown.
    is_older: bool,
    fetch: Fetch<Hits>,
    table: Table<Lead>,
    /// Enter was pressed before the answer came: what is found first is opened then.
    is_opening: bool,
    /// What was asked for last, and whether anywhere.
    asked: (String, bool),
    /// The text was taken away: what is shown then is asked for at the next chance.
    is_cleared: bool,
    rows: Cell<usize>,
}

impl Default for LeadsScreen {
    fn default() -> Self {
        let (sought, fetch, table) = (Input::default(), Fetch::default(), Table::default());
        Self {
            sought,
            is_typing: true,
            typed_at: None,
            is_anywhere: false,
            is_offered: true,
            is_by_itself: false,
            is_older: false,
            fetch,
            table,
            is_opening: false,
            asked: (String::new(), false),
            is_cleared: false,
            rows: Cell::new(1),
        }
    }
}

const ACTIONS: [Action; 23] = [
    Action::Open,
    Action::Anywhere,
    Action::Older,
    Action::Up,
    Action::Down,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::Filter,
    Action::FailingOnly,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
    Action::Trace,
    Action::Evidence,
    Action::Reveal,
    Action::Push,
    Action::Actions,
    Action::Pane,
    Action::ClearMarks,
    Action::Export,
];

impl LeadsScreen {
    /// Looks for this at once.
    pub fn looking_for(text: &str) -> Self {
        Self { sought: Input::with(text), is_typing: false, ..Self::default() }
    }

    fn text(&self) -> &str {
        self.sought.text().trim()
    }

    fn look(&mut self, cx: &mut Cx<'_>) {
        let company = cx.shared.company.as_ref().map(|(id, _)| *id);
        let length = self.text().chars().count();
        let (is_live, is_short) = (cx.shared.is_live(), length == 1);
        let is_other_mode = self.asked.1 != self.is_anywhere;
        if is_other_mode || (self.asked.0 != self.text() && (!is_live || is_short)) {
            // What was found before is not what is asked for now, and must not be opened for it.
            self.fetch.forget();
            self.table.set(Vec::new());
            self.table.is_loaded = !is_live || is_short;
            self.asked = (String::new(), false);
            self.fetch.error =
                (!is_live).then(|| "not connected: it is looked for once the daemon is back".to_owned());
        }
        self.is_older = false;
        if self.asked != (self.text().to_owned(), self.is_anywhere) {
            // The cursor stays where somebody moved it while the words are the same.
            self.table.is_moved = false;
        }
        // Without a word the newest leads are shown.
        if length == 0 || length >= LEAST {
            let text = self.text().to_owned();
            if is_live {
                self.asked = (text.clone(), self.is_anywhere);
            }
            let query = if self.is_anywhere {
                Query::FindAnywhere { text, company, after: String::new() }
            } else {
                Query::Find { text, company }
            };
            self.fetch.ask_anew(query, cx);
        }
    }

    fn columns(&self) -> &'static [TableColumn<Lead>] {
        if self.is_anywhere { &SAID } else { &COLUMNS }
    }

    /// What stands where nothing was found.
    fn empty(&self, shared: &Shared) -> String {
        if let Some(error) = &self.fetch.error {
            return error.clone();
        }
        let searched = self.fetch.value.as_ref().and_then(|hits| hits.searched.as_ref());
        match (self.text().chars().count(), searched) {
            (1, _) => "Two characters at least.".to_owned(),
            (_, Some(it)) if it.next.is_empty() => "No lead says so.".to_owned(),
            (_, Some(it)) => format!(
                "None of the newest {} leads says so{}.",
                it.leads,
                shared.setup.keymap.hint(Action::Older, ": ", " looks further back")
            ),
            (_, None) if self.is_nobody() && !shared.is_masked() => {
                let action = if self.is_typing { Action::Open } else { Action::Anywhere };
                let does = " looks through everything that the newest leads say.";
                format!("Nobody is called so.{}", shared.setup.keymap.hint(action, "\n", does))
            }
            (_, None) => "Nobody is called so.".to_owned(),
        }
    }

    fn open(&mut self, cx: &mut Cx<'_>) {
        // What is asked for further back takes nothing from the rows that are there.
        if self.fetch.is_waiting() && !self.is_older {
            // An Enter for what has begun by itself meanwhile opens nothing; the next one does.
            self.is_opening = !std::mem::take(&mut self.is_by_itself);
            return;
        }
        if self.is_nobody() {
            return self.look_anywhere(cx);
        }
        if let Some(it) = self.table.current() {
            self.is_typing = false;
            let screen = LeadScreen::new(it.uuid.clone(), it.company_id, it.person().to_owned());
            cx.open(Box::new(screen));
        }
    }
}

impl Screen for LeadsScreen {
    fn crumb(&self, _: &Shared) -> String {
        if self.text().is_empty() { "Leads".to_owned() } else { format!("Leads \"{}\"", self.text()) }
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Open => self.open(cx),
            Action::Filter | Action::Pane => self.is_typing = true,
            Action::Anywhere => self.look_anywhere(cx),
            Action::Older => self.look_further(cx),
            _ => self.table.perform(self.columns(), cx.shared.now, action, 1, self.rows.get().max(1)),
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if matches!(event, Event::Narrowed) {
            self.fetch.forget();
            self.asked = (String::new(), false);
            (self.is_opening, self.is_older) = (false, false);
            self.table.set(Vec::new());
            self.table.is_loaded = false;
            return;
        }
        let before = self.fetch.value.take();
        if !self.fetch.take(&event, Hits::of) {
            self.fetch.value = before;
            return;
        }
        self.is_by_itself = false;
        let is_older = std::mem::take(&mut self.is_older);
        if is_older {
            self.fetch.value = joined(before, self.fetch.value.take());
            // What was found stays, and nothing is wrong with it.
            if let Some(error) = self.fetch.error.take() {
                return cx.say(Tone::Bad, format!("looking further: {error}"));
            }
        } else if self.fetch.error.is_some() {
            // What was found before is not what was asked for.
            self.table.set(Vec::new());
            self.is_opening = false;
            return;
        }
        if let Some(hits) = &self.fetch.value {
            self.table.set(hits.rows.clone());
            self.table.normalize(self.columns(), cx.shared.now);
        }
        if std::mem::take(&mut self.is_opening) {
            self.open(cx);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        if !self.is_kept() {
            self.look(cx);
        }
    }

    fn reload(&mut self, cx: &mut Cx<'_>) {
        self.look(cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        if std::mem::take(&mut self.is_cleared) {
            self.look(cx);
        }
        self.look_by_itself(cx);
        self.table.normalize(self.columns(), cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(it) = self.table.current() else { return Subject::default() };
        let mut record = json!({
            "uuid": it.uuid, "company_id": it.company_id, "company": it.company, "name": it.name,
            "email": it.email, "phone": it.phone, "state": it.state, "received_at": it.received_at,
            "undelivered": it.undelivered,
        });
        if let Some(said) = &it.said {
            record["pointer"] = json!(said.pointer);
            record["value"] = json!(said.value);
        }
        Subject {
            company: Some(it.company_id),
            lead: Some((it.uuid.clone(), it.company_id, it.person().to_owned())),
            record: Some(record),
            ..Subject::default()
        }
    }

    fn command(&self, shared: &Shared) -> String {
        let company = of_company(shared.company.as_ref().map(|(id, _)| *id));
        match self.text() {
            "" => format!("leadline lead list{company}"),
            text if self.is_anywhere => format!("leadline lead find {} --anywhere{company}", quote(text)),
            text => format!("leadline lead find {}{company}", quote(text)),
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let [top, body] = Layout::vertical([Constraint::Length(3), Constraint::Min(0)]).areas(area);
        let title = vec![
            theme.span(Role::Strong, "Find a lead"),
            theme.span(
                Role::Quiet,
                if self.is_anywhere { "  anywhere in what leads say" } else { "  name, e-mail, phone, uuid" },
            ),
        ];
        let block = pane(title, self.is_typing, theme);
        let inner = block.inner(top);
        frame.render_widget(block, top);
        let width = usize::from(inner.width).saturating_sub(3);
        let mut line = vec![theme.span(Role::Accent, theme.pick(" › ", " > "))];
        if self.is_typing {
            line.extend(input(&self.sought, width, theme));
        } else {
            line.push(Span::raw(safe(self.sought.text(), width, theme)));
            line.push(theme.span(Role::Quiet, "   / types on"));
        }
        frame.render_widget(Line::from(line), inner);

        let what = match (self.text().is_empty(), self.is_anywhere) {
            (true, _) => "Newest leads",
            (false, true) => "Say so",
            (false, false) => "Found",
        };
        let mut title = vec![
            theme.span(Role::Strong, what),
            theme.span(Role::Quiet, self.table.note(self.columns(), view.shared.now)),
        ];
        if let Some(hits) = &self.fetch.value {
            title.push(theme.span(Role::Quiet, hits.reach(view.shared)));
        }
        title.push(trouble(self.fetch.error.as_deref(), body.width, theme));
        let block = pane(title, !self.is_typing, theme);
        let inner = block.inner(body);
        frame.render_widget(block, body);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        self.table.draw(self.columns(), &view.look(), &self.empty(view.shared), frame, inner);
    }

    fn typing(&mut self) -> Option<&mut Input> {
        self.is_typing.then_some(&mut self.sought)
    }

    fn is_typing(&self) -> bool {
        self.is_typing
    }

    fn typed(&mut self, typed: Typed, cx: &mut Cx<'_>) {
        if typed != Typed::Entered {
            // What is found now is not what Enter was pressed for, or nobody waits for it any more.
            self.is_opening = false;
        }
        match typed {
            Typed::Changed => {
                (self.is_anywhere, self.is_offered, self.is_by_itself) = (false, true, false);
                self.typed_at = Some(cx.shared.now);
                self.look(cx);
            }
            Typed::Entered => self.open(cx),
            Typed::Escaped => self.is_typing = false,
        }
    }

    fn back(&mut self) -> bool {
        self.is_opening = false;
        if std::mem::take(&mut self.table.bad_only) {
            return true;
        }
        if std::mem::take(&mut self.is_anywhere) {
            self.is_cleared = true;
            return true;
        }
        if self.text().is_empty() {
            return false;
        }
        self.sought.clear();
        self.is_typing = true;
        self.is_cleared = true;
        true
    }

    fn due(&self, shared: &Shared) -> Option<Timestamp> {
        self.pause_ends(shared)
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        self.table.rows.iter().take(TOLD).map(JumpTarget::lead).collect()
    }

    fn chips(&self) -> Vec<String> {
        self.table.only("undelivered").into_iter().collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        (action == Action::FailingOnly).then(|| "undelivered only".to_owned())
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        let columns = self.columns();
        Some(Box::new(Listing(&mut self.table, columns)))
    }
}
