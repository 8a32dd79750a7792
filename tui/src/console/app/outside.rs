//! What leaves the console for files and other programs: lists that are written, the reader's own commands, another
//! daemon's profile; and what is remembered for the next run.

use super::App;
use super::shared::Shared;
use crate::config::OwnCommand;
use crate::console::data::SavedSession;
use crate::console::dialogs::{Dialog, Menu, MenuItem, Pick};
use crate::console::msg::{Effect, ShellLine};
use crate::console::screen::{Subject, View};
use crate::console::screens;
use crate::console::theme::{Depth, Theme};
use crate::console::widgets::list::ExportFormat;

/// What of the selection a command of the reader's own is given, and what it is called when there is none.
const SELECTED: [(&str, &str); 8] = [
    ("SELECTED_LEAD", "no lead is selected"),
    ("SELECTED_PERSON", "no lead is selected"),
    ("SELECTED_COMPANY", "no company is selected"),
    ("SELECTED_INTEGRATION", "no integration is selected"),
    ("SELECTED_DELIVERY", "no delivery is selected"),
    ("SELECTED_ATTEMPT", "no attempt is selected"),
    ("SELECTED_CAUSE", "no cause is selected"),
    ("SELECTED_JOB", "no job is selected"),
];

/// What is selected, under the names of `SELECTED`.
fn selection(subject: &Subject) -> [String; SELECTED.len()] {
    let (lead, person) = subject.lead.clone().map(|(uuid, _, person)| (uuid, person)).unwrap_or_default();
    let deliveries: Vec<&str> = subject.deliveries.iter().map(|it| it.delivery.as_str()).collect();
    [
        lead,
        person,
        subject.company.map(|id| id.to_string()).unwrap_or_default(),
        subject.integration.clone().unwrap_or_default(),
        deliveries.join(" "),
        subject.attempt.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
        subject.cause.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
        subject.job.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
    ]
}

/// Why a command of the reader's own cannot be carried out here.
pub(super) fn obstacle(shared: &Shared, subject: &Subject, at: usize) -> Option<&'static str> {
    let command = shared.setup.commands.get(at)?;
    if command.dangerous && shared.setup.read_only {
        return Some("the console is read-only");
    }
    let values = selection(subject);
    let missing = |((name, reason), value): (&(&str, &'static str), &String)| {
        (value.is_empty() && names(&command.run, name)).then_some(*reason)
    };
    SELECTED.iter().zip(&values).find_map(missing)
}

/// Whether a line for the shell names a variable, as `$NAME` or `${NAME…}`.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = &line[..at];
        let goes_on = line[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        (before.ends_with('$') || before.ends_with("${")) && !goes_on
    })
}

/// What of the selection the line names, to be seen before it is confirmed.
fn given(program: &ShellLine) -> String {
    let named = program.variables.iter().filter(|(name, value)| {
        !value.is_empty() && SELECTED.iter().any(|(known, _)| known == name) && names(&program.line, name)
    });
    let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
    if values.is_empty() { String::new() } else { format!("   on {}", values.join(", ")) }
}

/// The forms in which a list can be written.
pub(super) fn forms() -> Menu {
    let item = |key: &str, label: &str, form| MenuItem {
        key: key.to_owned(),
        label: label.to_owned(),
        pick: Pick::Export(form),
        reason: None,
    };
    let items = vec![
        item("c", "CSV, for spreadsheets: no cell becomes a formula", ExportFormat::Csv),
        item("j", "JSON", ExportFormat::Json),
        item("m", "Markdown, for a ticket", ExportFormat::Markdown),
    ];
    Menu::letters("Write what is shown, or what is marked, to a new file here", items)
}

impl App {
    /// Writes the list that has the keys to a new file in the directory where the console was started.
    pub(super) fn export(&mut self, form: ExportFormat, effects: &mut Vec<Effect>) {
        // Signs that files need not know are spelled.
        let theme = Theme { depth: Depth::Mono, ascii: true, plain: false };
        let look = View { shared: &self.shared, theme }.look();
        let name = self.top().crumb(&self.shared).to_lowercase();
        let sheet =
            self.stacks[self.at].last_mut().and_then(|screen| screen.list()).map(|list| list.sheet(&look));
        let Some(text) = sheet.and_then(|sheet| sheet.text(form)) else {
            return self.refuse("there is no list here");
        };
        let word: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        let at = self.shared.now.to_zoned(self.shared.setup.zone.clone());
        let path =
            format!("leadline-{}-{}.{}", word.trim_matches('-'), at.strftime("%Y%m%d-%H%M%S"), form.ending());
        effects.push(Effect::Write { path, text });
    }

    /// Carries a command of the reader's own out, or asks first. What is selected now is what it is given, whatever is
    /// selected by the time that it is confirmed.
    pub(super) fn own(&mut self, at: usize, subject: &Subject, effects: &mut Vec<Effect>) {
        let Some(command) = self.shared.setup.commands.get(at) else { return };
        let program = self.program(command, subject);
        if !command.dangerous {
            return effects.push(Effect::Run(program));
        }
        let item =
            |key: &str, label: String, pick| MenuItem { key: key.to_owned(), label, pick, reason: None };
        let items = vec![
            item("n", "leave it".to_owned(), Pick::Nothing),
            item("y", format!("run: {}{}", command.run, given(&program)), Pick::Run(Box::new(program))),
        ];
        self.dialog = Some(Dialog::Menu(Menu::letters(format!("{}?", command.name), items)));
    }

    /// What a command becomes. What is selected goes into the environment, never into the line: no text can become a
    /// command.
    fn program(&self, command: &OwnCommand, subject: &Subject) -> ShellLine {
        let server = self.shared.setup.server.clone().map(|server| ("LEADLINE_SERVER", server));
        let names = SELECTED.iter().map(|(name, _)| *name);
        // An environment holds no NUL.
        let values = selection(subject).map(|value| value.replace('\0', ""));
        ShellLine {
            name: command.name.clone(),
            line: command.run.clone(),
            variables: names.zip(values).chain(server).collect(),
            waits: command.wait,
        }
    }

    /// Carries out what was confirmed.
    pub(super) fn run(&mut self, program: ShellLine, effects: &mut Vec<Effect>) {
        if self.shared.setup.read_only {
            return self.refuse("the console is read-only");
        }
        effects.push(Effect::Run(program));
    }

    /// Starts anew with another daemon, once nothing is under way.
    pub(super) fn connect(
        &mut self,
        profile: String,
        integration: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        if self.shared.pending.is_empty() {
            effects.push(Effect::Connect { profile, integration });
        } else {
            self.refuse("a change is under way: wait for its answer");
        }
    }

    /// Where one is, for the next run.
    pub fn remember(&mut self) -> SavedSession {
        let mut session = SavedSession {
            screen: u8::try_from(self.at + 1).unwrap_or(1),
            company: self.shared.company.clone(),
            ..SavedSession::default()
        };
        for (stack, (name, _)) in self.stacks.iter_mut().zip(&screens::ROOTS) {
            if let Some(remembered) = stack.first_mut().and_then(|screen| screen.remember()) {
                session.lists.insert((*name).to_owned(), remembered);
            }
        }
        session
    }

    /// Goes where one was.
    pub fn recall(&mut self, mut session: SavedSession) {
        self.at = usize::from(session.screen).saturating_sub(1).min(self.stacks.len() - 1);
        self.shared.company = session.company;
        for (stack, (name, _)) in self.stacks.iter_mut().zip(&screens::ROOTS) {
            if let (Some(screen), Some(remembered)) = (stack.first_mut(), session.lists.remove(*name)) {
                screen.recall(remembered);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::console::app::pictures::{profiles, shown};
    use crate::console::app::tests::last;
    use crate::console::data::{Conn, Mutation};
    use crate::console::fixtures::{self, feed, live, opened, press, visit};
    use crate::console::msg::{DaemonRequest, Follow, LocalError, Msg};

    const SETTINGS: &str = "[keys]\nretry = \"f5\"\n[[command]]\nname = \"ticket\"\nkey = \"J\"\n\
                            run = \"ticket $SELECTED_LEAD\"\n[[command]]\nname = \"wipe\"\nkey = \"X\"\n\
                            run = \"wipe\"\ndangerous = true\n";

    fn with_settings(text: &str, app: &mut App) {
        let config = Config::parse(text, Path::new("/x/config.toml")).unwrap();
        app.shared.setup.keymap = config.keymap().clone();
        app.shared.setup.commands = config.commands();
    }

    fn program(effects: &[Effect]) -> Option<&ShellLine> {
        effects.iter().find_map(|effect| match effect {
            Effect::Run(program) => Some(program),
            _ => None,
        })
    }

    #[test]
    fn variables_are_found_in_a_line() {
        for (line, expected) in [
            ("x $SELECTED_LEAD", true),
            ("x \"${SELECTED_LEAD}\"", true),
            ("x ${SELECTED_LEAD:-none}", true),
            ("x $SELECTED_LEADER", false),
            ("x SELECTED_LEAD", false),
            ("é$SELECTED_LEADé", true),
        ] {
            assert_eq!(names(line, "SELECTED_LEAD"), expected, "{line}");
        }
    }

    #[test]
    fn keys_of_ones_own_work_and_are_shown() {
        let mut app = opened(80, 24);
        with_settings(SETTINGS, &mut app);
        assert!(press(&mut app, "r").is_empty() && app.dialog.is_none(), "it is no key any more");
        assert!(shown(&app).contains("F5 retry"), "{}", shown(&app));
        press(&mut app, "? t i c k e t");
        assert!(shown(&app).contains("J       ticket"), "{}", shown(&app));
    }

    #[test]
    fn what_lost_its_key_to_one_of_ones_own_is_still_in_the_help() {
        let mut app = live(100, 30);
        let own = "[keys]\ntest = \"?\"\n[[command]]\nname = \"ticket\"\nkey = \"Z\"\nrun = \"ticket\"\n";
        with_settings(own, &mut app);
        assert!(program(&press(&mut app, "Z")).is_some(), "{}", shown(&app));
        assert!(!shown(&app).contains("help"), "it has no key: {}", shown(&app));
        press(&mut app, ": h e l p enter u n d o");
        assert!(shown(&app).contains("undo the last save  (Z is your \"ticket\")"), "{}", shown(&app));
    }

    #[test]
    fn a_command_of_ones_own_gets_what_is_selected() {
        let mut app = live(80, 24);
        with_settings(SETTINGS, &mut app);
        assert!(program(&press(&mut app, "J")).is_none());
        assert_eq!(last(&app), "not possible: no lead is selected");
        let mut app = opened(80, 24);
        with_settings(SETTINGS, &mut app);
        let effects = press(&mut app, "J");
        let program = program(&effects).unwrap();
        let value = |name: &str| {
            let found = program.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap()
        };
        assert_eq!((&*program.line, program.waits), ("ticket $SELECTED_LEAD", true));
        assert_eq!(value("SELECTED_LEAD"), fixtures::failed("A").lead);
        assert_eq!(value("SELECTED_INTEGRATION"), "01I1");
        assert_eq!(value("LEADLINE_SERVER"), "unix:/run/leadline/control.sock");
    }

    #[test]
    fn what_is_dangerous_asks_and_is_not_there_while_read_only() {
        let mut app = live(80, 24);
        with_settings(SETTINGS, &mut app);
        assert!(program(&press(&mut app, "X")).is_none());
        assert!(shown(&app).contains("run: wipe"), "{}", shown(&app));
        assert!(program(&press(&mut app, "X")).is_none(), "its own key confirms nothing");
        assert!(program(&press(&mut app, "y")).is_some());
        app.shared.setup.read_only = true;
        assert!(program(&press(&mut app, "X")).is_none() && app.dialog.is_none());
        assert_eq!(last(&app), "not possible: the console is read-only");
    }

    #[test]
    fn a_list_is_written_as_it_is_seen() {
        let mut app = live(80, 24);
        press(&mut app, "/ h u b enter O");
        let effects = press(&mut app, "c");
        let [Effect::Write { path, text }] = &effects[..] else { panic!("{effects:?}") };
        assert!(path.starts_with("leadline-overview-20261120-1402") && path.ends_with(".csv"), "{path}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("name,company,"), "{text}");
        assert!(lines[1].starts_with("hubspot-eu,Rosewood Barn,failing,23,12,"), "{text}");
        feed(&mut app, Msg::Saved(Ok("written to x".to_owned())));
        assert_eq!(last(&app), "written to x");
        press(&mut app, "4 O m");
        visit(&mut app, "2 enter");
        press(&mut app, "space O");
        let effects = press(&mut app, "j");
        let [Effect::Write { text, .. }] = &effects[..] else { panic!("{effects:?}") };
        let rows: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(text).unwrap();
        assert_eq!(rows.len(), 1, "the marked one only: {text}");
    }

    #[test]
    fn the_next_run_starts_where_this_one_ended() {
        let mut app = live(120, 36);
        press(&mut app, "/ h u b enter v");
        visit(&mut app, "2 >");
        app.shared.company = Some((7, "Rosewood Barn".to_owned()));
        let session = app.remember();
        let mut next = App::new(fixtures::setup(false), fixtures::now(), 120, 36);
        next.recall(session.clone());
        assert_eq!(next.remember(), session);
        assert_eq!(session.screen, 2);
        assert!(session.lists["Failures"].sort.is_some());
        assert_eq!(
            (&*session.lists["Overview"].filter, session.lists["Overview"].cards),
            ("hub", Some(false))
        );
        // A memory of another version does no harm.
        next.recall(SavedSession { screen: 99, ..SavedSession::default() });
        assert_eq!(next.remember().screen, 6);
    }

    #[test]
    fn another_daemon_is_one_line_of_the_palette() {
        let mut app = live(80, 24);
        app.shared.setup.profile = Some("prod".to_owned());
        app.shared.setup.profiles = vec!["prod".to_owned(), "test".to_owned()];
        press(&mut app, ":");
        assert!(!shown(&app).contains("connect prod"));
        let effects = press(&mut app, "c o n n e c t space t e enter");
        assert!(
            matches!(&effects[..], [Effect::Connect { profile, integration: None }] if profile == "test"),
            "{effects:?}"
        );
        // Not while the daemon has not said what became of a change.
        let mut app = opened(80, 24);
        app.shared.setup.profiles = vec!["test".to_owned()];
        press(&mut app, "t");
        let effects = press(&mut app, "y");
        let sent = effects.iter().any(|it| {
            matches!(it, Effect::Net(DaemonRequest::Mutate { mutation: Mutation::Test { .. }, .. }))
        });
        assert!(sent, "{effects:?}");
        press(&mut app, ": c o n n e c t enter");
        assert_eq!(last(&app), "not possible: a change is under way: wait for its answer");
        let ticket = *app.shared.pending.keys().next().unwrap();
        feed(&mut app, Msg::Done { ticket, done: Err(fixtures::refused("x")) });
        let effects = press(&mut app, ": c o n n e c t enter");
        assert!(matches!(&effects[..], [Effect::Connect { .. }]), "{effects:?}");
    }

    #[test]
    fn all_profiles_are_one_overview_from_which_one_goes_to_where_it_fails() {
        let mut app = live(120, 36);
        press(&mut app, "0");
        assert!(last(&app).starts_with("not possible: the settings name no other daemon"), "{}", last(&app));
        let mut app = profiles(120, 36);
        let screen = shown(&app);
        let at = |text: &str| screen.find(text).unwrap_or_else(|| panic!("no {text} in {screen}"));
        assert!(at("Hill Chapel") < at("hubspot-eu"), "most dead first, wherever it is");
        assert!(at("1 of 2 failing") < at("LOST: no daemon answers at south:7443"));
        // Nothing can be done to a daemon that one only looks at.
        for key in ["r", "t", "e"] {
            assert!(press(&mut app, key).is_empty(), "{key}");
        }
        let effects = press(&mut app, "enter");
        let [Effect::Connect { profile, integration }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((&**profile, integration.as_deref()), ("north", Some("01N1")));
        // There it is opened as soon as it is known.
        let mut there = App::new(crate::console::fixtures::setup(false), app.shared.now, 120, 36);
        there.awaited.clone_from(integration);
        feed(&mut there, Msg::Conn(Conn::Live));
        let known = app.shared.elsewhere["north"].integrations.clone();
        feed(&mut there, Msg::Snapshot { version: "0.1.0".to_owned(), integrations: known });
        assert_eq!(there.top().follows(&there.shared), Some(Follow::Integration("01N1".to_owned())));
        // One that is here is opened here, and who looks at it does not look elsewhere.
        let effects = press(&mut app, "down enter");
        assert!(effects.iter().any(|it| matches!(it, Effect::LookElsewhere(false))), "{effects:?}");
        assert!(app.shared.elsewhere.is_empty());
        let late = Msg::Snapshot { version: String::new(), integrations: Vec::new() };
        feed(&mut app, Msg::Elsewhere { profile: "north".to_owned(), said: Box::new(late) });
        let effects = press(&mut app, "esc");
        assert!(effects.iter().any(|it| matches!(it, Effect::LookElsewhere(true))), "{effects:?}");
    }

    #[test]
    fn an_editor_of_ones_own_changes_the_mapping() {
        let mut app = live(80, 24);
        visit(&mut app, "m");
        let effects = press(&mut app, "^o");
        assert!(matches!(&effects[..], [Effect::Edit(text)] if text.contains("budget")), "{effects:?}");
        feed(&mut app, Msg::Edited(Ok("{\n  \"first_name\": \"fn\"\n}\n".to_owned())));
        assert!(shown(&app).contains("\"first_name\": \"fn\""), "{}", shown(&app));
        let error = LocalError::Editor { editor: "x".to_owned(), cause: "exit status: 1".to_owned() };
        feed(&mut app, Msg::Edited(Err(error)));
        assert_eq!(last(&app), "not possible: the editor `x` could not be run: exit status: 1");
    }
}
