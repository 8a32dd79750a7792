//! Finding a lead: by name, e-mail address, phone or uuid, as one types.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use serde_json::json;

use crate::columns::lead;
use crate::console::app::shared::Shared;
use crate::console::data::command::{of_company, quote};
use crate::console::data::{Answer, Lead, Query};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, Typed, View};
use crate::console::screens::lead::LeadScreen;
use crate::console::theme::Role;
use crate::console::widgets::columns::{Column, plain, shows, styled};
use crate::console::widgets::draw::{input, pane, safe};
use crate::console::widgets::filter::Fields;
use crate::console::widgets::input::Input;
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::table::{Row, Table};
use crate::console::widgets::time;

/// The daemon looks for two characters or more.
const LEAST: usize = 2;

impl Row for Lead {
    fn id(&self) -> &str {
        &self.uuid
    }

    fn fields(&self) -> Fields<'_> {
        vec![("lead", Cow::Borrowed(self.person())), ("company", Cow::Borrowed(&self.company))]
    }

    fn at(&self) -> Option<Timestamp> {
        self.received_at
    }

    fn is_bad(&self) -> bool {
        self.undelivered > 0
    }
}

/// The columns of what was found.
pub const COLUMNS: [Column<Lead>; 7] = [
    shows(lead::NAME, |it: &Lead, _| plain(it.person())).by(|a, b| a.person().cmp(b.person())),
    shows(lead::EMAIL, |it: &Lead, _| plain(&*it.email)).by(|a, b| a.email.cmp(&b.email)),
    shows(lead::COMPANY, |it: &Lead, _| plain(&*it.company)).company().by(|a, b| a.company.cmp(&b.company)),
    shows(lead::STATE, |it: &Lead, _| {
        styled(if it.state == "complete" { Role::Good } else { Role::Warn }, &*it.state)
    })
    .by(|a, b| a.state.cmp(&b.state)),
    shows(lead::UNDELIVERED, |it: &Lead, _| {
        styled(if it.undelivered > 0 { Role::Bad } else { Role::Plain }, it.undelivered.to_string())
    })
    .value(|it: &Lead| json!(it.undelivered))
    .by(|a, b| b.undelivered.cmp(&a.undelivered)),
    shows(lead::RECEIVED, |it: &Lead, look| {
        plain(it.received_at.map(|at| time::stamp(at, look.zone)).unwrap_or_default())
    })
    .value(|it: &Lead| json!(it.received_at))
    .by(|a, b| b.received_at.cmp(&a.received_at)),
    shows(lead::PHONE, |it: &Lead, _| plain(&*it.phone)),
];

/// The screen.
#[derive(Debug)]
pub struct LeadsScreen {
    sought: Input,
    is_typing: bool,
    fetch: Fetch<(Vec<Lead>, bool)>,
    table: Table<Lead>,
    /// Enter was pressed before the answer came: what is found first is opened then.
    is_opening: bool,
    /// What was asked for last.
    asked: String,
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
            fetch,
            table,
            is_opening: false,
            asked: String::new(),
            is_cleared: false,
            rows: Cell::new(1),
        }
    }
}

const ACTIONS: [Action; 21] = [
    Action::Open,
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
        if self.text() != self.asked && (!cx.shared.is_live() || length == 1) {
            // What was found before is not what is asked for now, and must not be opened for it.
            self.fetch.forget();
            self.table.set(Vec::new());
            self.asked.clear();
            self.fetch.error = (!cx.shared.is_live())
                .then(|| "not connected: it is looked for once the daemon is back".to_owned());
        }
        // Without a word the newest leads are shown.
        if length == 0 || length >= LEAST {
            let text = self.text().to_owned();
            if cx.shared.is_live() {
                self.asked.clone_from(&text);
            }
            self.fetch.ask_anew(Query::Find { text, company }, cx);
        }
    }

    fn open(&mut self, cx: &mut Cx<'_>) {
        if self.fetch.is_waiting() {
            self.is_opening = true;
            return;
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
            _ => self.table.perform(&COLUMNS, cx.shared.now, action, 1, self.rows.get().max(1)),
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if matches!(event, Event::Narrowed) {
            self.fetch.forget();
            self.asked.clear();
            self.is_opening = false;
            self.table.set(Vec::new());
            self.table.is_loaded = false;
            return;
        }
        let taken = self.fetch.take(&event, |answer| match answer {
            Answer::Leads { rows, more } => Some((rows.clone(), *more)),
            _ => None,
        });
        if !taken {
            return;
        }
        if self.fetch.error.is_some() {
            // What was found before is not what was asked for.
            self.table.set(Vec::new());
            self.is_opening = false;
            return;
        }
        if let Some((rows, _)) = &self.fetch.value {
            self.table.set(rows.clone());
            self.table.is_moved = false;
            self.table.normalize(&COLUMNS, cx.shared.now);
        }
        if std::mem::take(&mut self.is_opening) {
            self.open(cx);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        self.look(cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        if std::mem::take(&mut self.is_cleared) {
            self.look(cx);
        }
        self.table.normalize(&COLUMNS, cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(it) = self.table.current() else { return Subject::default() };
        Subject {
            company: Some(it.company_id),
            lead: Some((it.uuid.clone(), it.company_id, it.person().to_owned())),
            record: Some(json!({
                "uuid": it.uuid, "company_id": it.company_id, "company": it.company, "name": it.name,
                "email": it.email, "phone": it.phone, "state": it.state, "received_at": it.received_at,
                "undelivered": it.undelivered,
            })),
            ..Subject::default()
        }
    }

    fn command(&self, shared: &Shared) -> String {
        let company = of_company(shared.company.as_ref().map(|(id, _)| *id));
        match self.text() {
            "" => format!("leadline lead list{company}"),
            text => format!("leadline lead find {}{company}", quote(text)),
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let [top, body] = Layout::vertical([Constraint::Length(3), Constraint::Min(0)]).areas(area);
        let title = vec![
            theme.span(Role::Strong, "Find a lead"),
            theme.span(Role::Quiet, "  name, e-mail, phone, uuid"),
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

        let more = self.fetch.value.as_ref().is_some_and(|(_, more)| *more);
        let what = if self.text().is_empty() { "Newest leads" } else { "Found" };
        let mut title = vec![
            theme.span(Role::Strong, what),
            theme.span(Role::Quiet, self.table.note(&COLUMNS, view.shared.now)),
        ];
        if more {
            title.push(theme.span(Role::Quiet, ", more behind them: type on"));
        }
        if let Some(error) = &self.fetch.error {
            title.push(
                theme.span(Role::Bad, format!("  {}", safe(error, usize::from(body.width) / 2, theme))),
            );
        }
        let block = pane(title, !self.is_typing, theme);
        let inner = block.inner(body);
        frame.render_widget(block, body);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        let empty = match (self.text().chars().count(), &self.fetch.error) {
            (_, Some(error)) => error.as_str(),
            (1, None) => "Two characters at least.",
            (_, None) => "Nobody is called so.",
        };
        self.table.draw(&COLUMNS, &view.look(), empty, frame, inner);
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
            Typed::Changed => self.look(cx),
            Typed::Entered => self.open(cx),
            Typed::Escaped => self.is_typing = false,
        }
    }

    fn back(&mut self) -> bool {
        self.is_opening = false;
        if std::mem::take(&mut self.table.bad_only) {
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

    fn chips(&self) -> Vec<String> {
        self.table.only("undelivered").into_iter().collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        (action == Action::FailingOnly).then(|| "undelivered only".to_owned())
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.table, &COLUMNS)))
    }
}
