//! Keys: to the secret that is shown once, to the dialog, to the line that is typed, or to the screen, in this order.

use crossterm::event::KeyCode;
use zeroize::Zeroizing;

use super::acts::{needs_estimate, obstacle, question};
use super::shared::Tone;
use super::{App, menus, outside};
use crate::console::data::Query;
use crate::console::dialogs::secret::Closed;
use crate::console::dialogs::{Dialog, Editor, Estimating, Jump, Menu, Pick, TextDialog, Then, already};
use crate::console::keymap::{Action, Press};
use crate::console::msg::{DaemonRequest, Effect, LocalError};
use crate::console::screen::{Cx, Event, Screen, Subject, Typed};
use crate::console::screens::attempt::AttemptScreen;
use crate::console::screens::company::CompanyScreen;
use crate::console::screens::failures::FailuresScreen;
use crate::console::screens::integration::IntegrationScreen;
use crate::console::screens::jobs::JobsScreen;
use crate::console::screens::lead::LeadScreen;
use crate::console::screens::leads::LeadsScreen;
use crate::console::screens::messages::MessagesScreen;
use crate::console::screens::profiles::ProfilesScreen;
use crate::console::screens::{FAILURES, JOBS, LEADS};

impl App {
    pub(super) fn key(&mut self, press: Press, effects: &mut Vec<Effect>) {
        if press.ctrl && !press.repeat {
            match press.code {
                KeyCode::Char('z') => return effects.push(Effect::Suspend),
                KeyCode::Char('l') => return effects.push(Effect::Redraw),
                // A secret that is not stored yet asks first.
                KeyCode::Char('c') if self.secrets.is_empty() => return effects.push(Effect::Quit),
                _ => {}
            }
        }
        if !self.secrets.is_empty() {
            return self.secret_key(press, effects);
        }
        if self.dialog.is_some() {
            return self.dialog_key(press, effects);
        }
        if self.stacks[self.at].last_mut().is_some_and(|screen| screen.typing().is_some()) {
            return self.typing_key(press, effects);
        }
        if let Some(action) = self.shared.setup.keymap.lookup(self.top().actions(), press) {
            self.perform(action, effects);
        }
    }

    fn secret_key(&mut self, press: Press, effects: &mut Vec<Effect>) {
        let (now, is_usable) = (self.shared.now, self.shared.is_usable());
        let Some(secret) = self.secrets.front_mut().filter(|_| is_usable) else { return };
        match secret.key(press, now) {
            Closed::No(effect) => return effects.extend(effect),
            Closed::Stored => {}
            Closed::ThrownAway => {
                self.shared.say(Tone::Plain, "the secret was thrown away; rotate again for another one");
            }
        }
        self.secrets.pop_front();
        // The old cells must not survive in the terminal.
        effects.push(Effect::Redraw);
    }

    fn dialog_key(&mut self, press: Press, effects: &mut Vec<Effect>) {
        let now = self.shared.now;
        let then = match &mut self.dialog {
            None => return,
            Some(Dialog::Confirm(confirm)) => confirm.key(press, now),
            Some(Dialog::Menu(menu)) => menu.key(press),
            Some(Dialog::Notice(notice)) => notice.key(press),
            Some(Dialog::Editor(editor)) => {
                editor.key(press, &mut Cx { shared: &mut self.shared, effects, next: &mut Vec::new() })
            }
        };
        match then {
            Then::Stay => {}
            Then::Close => self.close(),
            Then::Count => self.count(effects),
            Then::Refuse(reason) => self.refuse(&reason),
            Then::Change { mutation, what } => self.change(mutation, what, effects),
            Then::Edit(text) => effects.push(Effect::Edit(text)),
            Then::Copy { what, text } => effects.push(Effect::Copy { what, text: Zeroizing::new(text) }),
            Then::Pick(pick) => {
                let subject = match self.dialog.take() {
                    Some(Dialog::Menu(menu)) => menu.subject,
                    _ => None,
                };
                self.pick(pick, subject.map(|subject| *subject), effects);
            }
        }
    }

    /// Takes what the reader's own editor made of a text; the form may be gone by now.
    pub(super) fn edited(&mut self, outcome: Result<String, LocalError>, effects: &mut Vec<Effect>) {
        match (&mut self.dialog, outcome) {
            (_, Err(error)) => self.refuse(&error.to_string()),
            (Some(Dialog::Editor(editor)), Ok(text)) => {
                editor.edited(&text, &mut Cx { shared: &mut self.shared, effects, next: &mut Vec::new() });
            }
            (_, Ok(_)) => {}
        }
    }

    fn typing_key(&mut self, press: Press, effects: &mut Vec<Effect>) {
        let typed = match press.code {
            KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
                let action = match press.code {
                    KeyCode::Up => Action::Up,
                    KeyCode::Down => Action::Down,
                    KeyCode::PageUp => Action::PageUp,
                    _ => Action::PageDown,
                };
                return self.on_top(effects, |screen, cx| screen.perform(action, cx));
            }
            KeyCode::Enter if press.repeat => return,
            KeyCode::Enter => Typed::Entered,
            KeyCode::Esc => Typed::Escaped,
            _ => Typed::Changed,
        };
        self.on_top(effects, |screen, cx| {
            if typed == Typed::Changed
                && let Some(input) = screen.typing()
            {
                let before = input.text().to_owned();
                input.key(press);
                // A cursor that moves changes nothing.
                if input.text() == before {
                    return;
                }
            }
            screen.typed(typed, cx);
        });
    }

    /// Pasted text goes into a line of text or nowhere: it must never be read as keys.
    pub(super) fn paste(&mut self, text: &str, effects: &mut Vec<Effect>) {
        if let Some(secret) = self.secrets.front_mut() {
            if let Some(path) = &mut secret.path {
                path.paste(text);
            }
            return;
        }
        match &mut self.dialog {
            Some(Dialog::Menu(Menu { query: Some(query), selected, .. })) => {
                query.paste(text);
                *selected = 0;
            }
            Some(Dialog::Editor(editor)) => {
                editor.paste(text, &mut Cx { shared: &mut self.shared, effects, next: &mut Vec::new() });
            }
            // What is pasted was not thought about; a confirmation is asked for to be typed.
            Some(Dialog::Menu(_) | Dialog::Confirm(_) | Dialog::Notice(_)) => {}
            None => self.on_top(effects, |screen, cx| {
                if let Some(input) = screen.typing() {
                    input.paste(text);
                    screen.typed(Typed::Changed, cx);
                }
            }),
        }
    }

    /// Carries an action out on what is selected, or says why not.
    pub(super) fn perform(&mut self, action: Action, effects: &mut Vec<Effect>) {
        let subject = self.top().subject(&self.shared);
        self.perform_on(action, subject, effects);
    }

    /// The same on what was selected when a menu opened.
    fn perform_on(&mut self, action: Action, subject: Subject, effects: &mut Vec<Effect>) {
        if let Some(reason) = obstacle(&self.shared, &subject, action) {
            return self.refuse(&reason);
        }
        match action {
            Action::QuitNow => effects.push(Effect::Quit),
            Action::Suspend => effects.push(Effect::Suspend),
            Action::Redraw => effects.push(Effect::Redraw),
            Action::Quit if self.at == 0 && self.stacks[0].len() == 1 => effects.push(Effect::Quit),
            Action::Back | Action::Quit | Action::Backward => self.back(action, effects),
            Action::Forward => match self.closed.pop() {
                Some(screen) => {
                    self.stacks[self.at].push(screen);
                    self.load(effects);
                }
                None => self.refuse("there is no screen to go forward to"),
            },
            Action::Go(number) => self.go(number, effects),
            Action::Reload if !self.shared.is_live() => effects.push(Effect::Net(DaemonRequest::Reconnect)),
            Action::Reload => self.reload(effects),
            Action::Help
            | Action::Palette
            | Action::Actions
            | Action::Copy
            | Action::PickCompany
            | Action::Sort => {
                self.menu(action, &subject);
            }
            Action::CopyRecord => {
                let text = subject.record.map(|record| format!("{record:#}")).unwrap_or_default();
                effects.push(Effect::Copy { what: "everything".to_owned(), text: Zeroizing::new(text) });
            }
            Action::Command => self.copy_command(effects),
            Action::Mouse => self.turn_mouse(effects),
            Action::Own(at) => self.own(at, &subject, effects),
            Action::Export => self.dialog = Some(Dialog::Menu(outside::forms())),
            Action::Profiles => self.open(Box::new(ProfilesScreen::default()), effects),
            Action::Messages => self.open(Box::new(MessagesScreen::default()), effects),
            Action::CompanyPage => {
                let company = subject.company.or_else(|| self.shared.company.as_ref().map(|(id, _)| *id));
                if let Some(id) = company {
                    self.open(Box::new(CompanyScreen::new(id)), effects);
                }
            }
            Action::OpenIntegration => {
                if let Some(id) = subject.integration {
                    self.open_integration(&id, effects);
                }
            }
            Action::Trace => {
                if let Some((uuid, company, person)) = subject.lead {
                    self.open(Box::new(LeadScreen::new(uuid, company, person)), effects);
                }
            }
            Action::Evidence => {
                if let Some((uuid, company, person)) = subject.lead {
                    self.dialog = Some(Dialog::Menu(menus::evidence(&uuid, company, &person)));
                }
            }
            Action::Reveal => self.reveal(subject, effects),
            Action::EditFlow | Action::ToggleFlow if subject.flow.is_none() => {
                self.dialog = Some(Dialog::Menu(menus::flows(action, subject)));
            }
            _ if action.is_form() => self.edit(action, subject, effects),
            _ if action.is_mutating() => self.ask(action, &subject, effects),
            _ => self.on_top(effects, |screen, cx| screen.perform(action, cx)),
        }
    }

    /// Copies the command that does the same as the screen, and shows it.
    fn copy_command(&mut self, effects: &mut Vec<Effect>) {
        let text = self.top().command(&self.shared);
        let copied = Zeroizing::new(text.clone());
        effects.push(Effect::Copy { what: "the command".to_owned(), text: copied });
        let hint = "y copies it again, any other key closes this";
        self.dialog = Some(Dialog::Notice(TextDialog { title: "The command for this", text, hint }));
    }

    fn menu(&mut self, action: Action, subject: &Subject) {
        let sorts = self.stacks[self.at].last_mut().and_then(|screen| {
            let mut list = screen.list()?;
            Some((list.sorts(), list.sort().map(|(key, _)| key)))
        });
        let (shared, screen) = (&self.shared, self.top());
        let menu = match action {
            Action::Help => menus::help(screen, shared, subject),
            Action::Palette => menus::palette(screen, shared, subject, self.places()),
            Action::Actions => menus::actions(screen, shared, subject),
            Action::Copy => menus::copy(subject, shared),
            Action::PickCompany => menus::narrow(shared),
            _ => match sorts {
                Some((keys, now)) => menus::sort(&keys, now),
                None => return self.refuse("nothing can be sorted here"),
            },
        };
        if menu.items.is_empty() {
            return self.refuse("there is nothing to choose from");
        }
        // What it is about is fixed now: news may move the selection before a line is chosen.
        let subject = Some(Box::new(subject.clone()));
        self.dialog = Some(Dialog::Menu(Menu { subject, ..menu }));
    }

    /// Asks before an act; a dry run says how many deliveries it is about.
    fn ask(&mut self, action: Action, subject: &Subject, effects: &mut Vec<Effect>) {
        let Some(confirm) = question(&self.shared, subject, action) else { return };
        self.dialog = Some(Dialog::Confirm(Box::new(confirm)));
        self.count(effects);
    }

    /// Asks for the dry run of what the open question means.
    fn count(&mut self, effects: &mut Vec<Effect>) {
        let Some(Dialog::Confirm(confirm)) = &mut self.dialog else { return };
        let mutation = confirm.mutation();
        if needs_estimate(&mutation) {
            let ticket = self.shared.ticket();
            confirm.estimate = Estimating::Waiting(ticket);
            let query = Query::Estimate(Box::new(mutation));
            effects.push(Effect::Net(DaemonRequest::Ask { ticket, query }));
        }
    }

    fn edit(&mut self, action: Action, subject: Subject, effects: &mut Vec<Effect>) {
        let it = subject.integration.as_deref().and_then(|id| self.shared.integration(id));
        let (lead, person) = subject.lead.map(|(uuid, _, person)| (uuid, person)).unwrap_or_default();
        let editor = match (action, it, subject.flow) {
            (Action::NewIntegration, it, _) => {
                let company = subject.company.or(it.map(|it| it.company_id));
                let Some((id, name)) = self.shared.company_for(company) else { return };
                Editor::integration(id, name)
            }
            (Action::EditFlow, _, Some(flow)) => Editor::flow(flow),
            (Action::Credentials, Some(it), _) => Editor::credentials(it),
            (Action::Settings, Some(it), _) => Editor::settings(it),
            (Action::Mapping, Some(it), _) => Editor::mapping(it, lead, person),
            _ => return,
        };
        let mut editor = Box::new(editor);
        editor.load(&mut Cx { shared: &mut self.shared, effects, next: &mut Vec::new() });
        self.dialog = Some(Dialog::Editor(editor));
    }

    /// Undoes the last step inwards: a filter, marks, a pane, a screen. Esc never quits.
    fn back(&mut self, action: Action, effects: &mut Vec<Effect>) {
        let is_undone =
            action == Action::Back && self.stacks[self.at].last_mut().is_some_and(|screen| screen.back());
        if is_undone {
            return;
        }
        if self.stacks[self.at].len() > 1 {
            self.closed.extend(self.stacks[self.at].pop());
            self.load(effects);
        } else if self.at != 0 {
            self.at = 0;
            self.load(effects);
        }
    }

    /// To the screens of a number; pressed again, to the first of them.
    fn go(&mut self, number: u8, effects: &mut Vec<Effect>) {
        let at = usize::from(number).saturating_sub(1).min(self.stacks.len() - 1);
        if at == self.at {
            self.stacks[at].truncate(1);
        }
        self.at = at;
        self.closed.clear();
        self.load(effects);
    }

    pub(super) fn open_integration(&mut self, id: &str, effects: &mut Vec<Effect>) {
        if let Some(it) = self.shared.integration(id) {
            let screen = IntegrationScreen::new(it);
            self.open(Box::new(screen), effects);
        }
    }

    fn pick(&mut self, pick: Pick, subject: Option<Subject>, effects: &mut Vec<Effect>) {
        match pick {
            Pick::Act(action) => match subject {
                Some(subject) => self.perform_on(action, subject, effects),
                None => self.perform(action, effects),
            },
            Pick::On { action, integration, enables } => {
                // It may have been switched while the line was chosen.
                let it = self.shared.integration(&integration);
                if let Some(reason) = it.and_then(|it| already(enables, it.enabled)) {
                    return self.refuse(reason);
                }
                let subject = Subject { integration: Some(integration), ..Subject::default() };
                self.perform_on(action, subject, effects);
            }
            Pick::Copy { what, text } => effects.push(Effect::Copy { what, text: Zeroizing::new(text) }),
            Pick::Sort(key) => {
                if let Some(mut list) = self.stacks[self.at].last_mut().and_then(|screen| screen.list()) {
                    *list.sort() = key.map(|key| (key, false));
                }
            }
            // It is read by the form that it stands in.
            Pick::Connector(_) | Pick::Nothing => {}
            Pick::Export(form) => self.export(form, effects),
            Pick::Run(program) => self.run(*program, effects),
            Pick::Jump(jump) => self.jump(jump, effects),
            Pick::Evidence { uuid, company, json, mask } => {
                self.evidence(Query::Evidence { uuid, company, json, mask }, effects)
            }
            Pick::Flow { action, flow } => {
                let subject = Subject { flow: Some(*flow), ..subject.unwrap_or_default() };
                self.perform_on(action, subject, effects);
            }
        }
    }

    fn jump(&mut self, jump: Jump, effects: &mut Vec<Effect>) {
        match jump {
            Jump::Profile(profile) => self.connect(profile, None, effects),
            Jump::Integration(id) => self.open_integration(&id, effects),
            Jump::Company(id) => self.open(Box::new(CompanyScreen::new(id)), effects),
            Jump::Narrow(company) => {
                self.shared.company = company;
                self.report(Event::Narrowed, effects);
                self.load(effects);
            }
            Jump::Find(text) => self.begin(LEADS, Box::new(LeadsScreen::looking_for(&text)), effects),
            Jump::Lead { uuid, company, person } => {
                self.open(Box::new(LeadScreen::new(uuid, company, person)), effects);
            }
            Jump::Delivery(id) => self.open(Box::new(LeadScreen::of_delivery(id)), effects),
            Jump::Attempt(id) => self.open(Box::new(AttemptScreen::of(id)), effects),
            Jump::Flow(id) => self.open(Box::new(CompanyScreen::of_flow(id)), effects),
            Jump::Cause(id) => self.begin(FAILURES, Box::new(FailuresScreen::looking_for(id)), effects),
            Jump::Job(id) => self.begin(JOBS, Box::new(JobsScreen::looking_for(id)), effects),
        }
    }

    /// To a number, whose screens begin anew with this one.
    fn begin(&mut self, at: usize, screen: Box<dyn Screen>, effects: &mut Vec<Effect>) {
        self.at = at;
        self.stacks[at] = vec![screen];
        self.closed.clear();
        self.load(effects);
    }
}
