//! The integrations of every profile's daemon, worst first: one overview over several clusters. Enter goes to where one is.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::json;

use crate::columns::integration;
use crate::console::app::menus::integration_json;
use crate::console::app::shared::{Shared, worst_first};
use crate::console::data::{Conn, Integration};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Next, Screen, Subject, View};
use crate::console::screens::integration::IntegrationScreen;
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::draw::{pane, safe, short_error};
use crate::console::widgets::filter::{Filter, RowTexts};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;

/// More daemons than this are only counted.
const LINES_MAX: usize = 6;

/// An integration and the profile of its daemon.
#[derive(Clone, Debug)]
struct Placed {
    profile: String,
    /// Whether that is the daemon which the console works with.
    is_here: bool,
    it: Integration,
}

impl TableRow for Placed {
    fn id(&self) -> &str {
        &self.it.id
    }

    fn fields(&self) -> RowTexts<'_> {
        let mut fields = self.it.fields();
        fields.push(("profile", Cow::Borrowed(&self.profile)));
        fields
    }

    fn at(&self) -> Option<Timestamp> {
        self.it.at()
    }

    fn is_bad(&self) -> bool {
        self.it.is_bad()
    }
}

const COLUMNS: [TableColumn<Placed>; 7] = [
    shows(integration::PROFILE, |row: &Placed, _| plain(&*row.profile)).by(|a, b| a.profile.cmp(&b.profile)),
    shows(integration::NAME, |row: &Placed, _| plain(&*row.it.name)).by(|a, b| a.it.name.cmp(&b.it.name)),
    shows(integration::COMPANY, |row: &Placed, _| plain(&*row.it.company))
        .by(|a, b| (&a.it.company, &a.it.name).cmp(&(&b.it.company, &b.it.name))),
    shows(integration::BADGE, |row: &Placed, look| {
        let (glyph, role) = look.theme.badge(row.it.badge);
        styled(role, format!("{glyph} {}", row.it.badge.word()))
    })
    .value(|row: &Placed| json!(row.it.badge.word().to_lowercase()))
    .by(|a, b| a.it.badge.cmp(&b.it.badge)),
    shows(integration::DEAD, |row: &Placed, _| {
        styled(if row.it.dead > 0 { Role::Bad } else { Role::Plain }, row.it.dead.to_string())
    })
    .value(|row: &Placed| json!(row.it.dead))
    .by(|a, b| b.it.dead.cmp(&a.it.dead)),
    shows(integration::PUSHED, |row: &Placed, look| plain(time::age(look.now, row.it.last_pushed_at)))
        .value(|row: &Placed| json!(row.it.last_pushed_at))
        .by(|a, b| b.it.last_pushed_at.cmp(&a.it.last_pushed_at)),
    shows(integration::LAST_ERROR, |row: &Placed, _| plain(short_error(&row.it.last_error)))
        .value(|row: &Placed| json!(row.it.last_error)),
];

const ACTIONS: [Action; 14] = [
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
    Action::Export,
];

#[derive(Debug, Default)]
pub struct ProfilesScreen {
    table: Table<Placed>,
    /// The state of the integrations that the table holds.
    seen: Option<u64>,
    page: Cell<usize>,
}

/// What the daemon that the console works with is called here.
fn here(shared: &Shared) -> String {
    shared.setup.profile.clone().unwrap_or_else(|| "this one".to_owned())
}

impl ProfilesScreen {
    fn refresh(&mut self, shared: &Shared) {
        if self.seen == Some(shared.revision) {
            return;
        }
        self.seen = Some(shared.revision);
        let placed = |profile: &str, is_here: bool, all: &[Integration]| {
            let place = |it: &Integration| Placed { profile: profile.to_owned(), is_here, it: it.clone() };
            all.iter().map(place).collect::<Vec<_>>()
        };
        let mut rows = placed(&here(shared), true, &shared.integrations);
        for (profile, there) in &shared.elsewhere {
            rows.extend(placed(profile, false, &there.integrations));
        }
        rows.sort_by(|a, b| worst_first(&a.it, &b.it).then_with(|| a.profile.cmp(&b.profile)));
        self.table.rows = rows;
        self.table.is_loaded = true;
    }
}

impl Screen for ProfilesScreen {
    fn crumb(&self, _: &Shared) -> String {
        "All profiles".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        if action != Action::Open {
            return self.table.perform(&COLUMNS, cx.shared.now, action, 1, self.page.get().max(1));
        }
        match self.table.current() {
            Some(row) if row.is_here => cx.open(Box::new(IntegrationScreen::new(&row.it))),
            Some(row) => {
                cx.next.push(Next::Connect { profile: row.profile.clone(), integration: row.it.id.clone() })
            }
            None => {}
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if let Event::Integrations = event {
            self.refresh(cx.shared);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        self.refresh(cx.shared);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        self.refresh(cx.shared);
        self.table.normalize(&COLUMNS, cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        // Acts are for where one is: nothing may be done to a daemon that one only looks at.
        let record = self.table.current().map(|row| {
            let mut record = integration_json(&row.it);
            record["profile"] = json!(row.profile);
            record
        });
        Subject { record, ..Subject::default() }
    }

    fn command(&self, _: &Shared) -> String {
        let profile = self.table.current().filter(|row| !row.is_here).map(|row| row.profile.as_str());
        let profile = profile.map(|name| format!(" --profile {name}")).unwrap_or_default();
        format!("leadline{profile} integration list")
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (theme, shared) = (view.theme, view.shared);
        let daemons = daemons(view, usize::from(area.width).saturating_sub(4));
        let rows = if area.height > 12 { daemons.len() as u16 + 2 } else { 0 };
        let [top, strip] = Layout::vertical([Constraint::Min(0), Constraint::Length(rows)]).areas(area);
        let order = if self.table.sort.is_none() { ", worst first" } else { "" };
        let title = vec![
            theme.span(Role::Strong, "Integrations of all profiles"),
            theme.span(Role::Quiet, format!("{}{order}", self.table.note(&COLUMNS, shared.now))),
        ];
        let block = pane(title, true, theme);
        let inner = block.inner(top);
        frame.render_widget(block, top);
        self.page.set(usize::from(inner.height).saturating_sub(1));
        self.table.draw(&COLUMNS, &view.look(), "No daemon has told of an integration yet.", frame, inner);
        if rows > 0 {
            let block = pane(vec![theme.span(Role::Strong, "Daemons")], false, theme);
            let inner = block.inner(strip);
            frame.render_widget(block, strip);
            frame.render_widget(
                Paragraph::new(daemons),
                Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner },
            );
        }
    }

    fn looks_elsewhere(&self) -> bool {
        true
    }

    fn back(&mut self) -> bool {
        self.table.back()
    }

    fn filter(&self) -> Option<&Filter> {
        Some(&self.table.filter)
    }

    fn filter_mut(&mut self) -> Option<&mut Filter> {
        Some(&mut self.table.filter)
    }

    fn chips(&self) -> Vec<String> {
        self.table.bad_only.then(|| "failing only".to_owned()).into_iter().collect()
    }

    fn ages(&self, _: &Shared) -> Vec<Timestamp> {
        self.table.rows.iter().filter_map(|row| row.it.last_pushed_at).collect()
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.table, &COLUMNS)))
    }
}

/// A line for each daemon: whether it answers, and how many of its integrations fail.
fn daemons(view: View<'_>, width: usize) -> Vec<Line<'static>> {
    let (theme, shared) = (view.theme, view.shared);
    let own = (here(shared), &shared.conn, shared.is_loaded, shared.integrations.as_slice());
    let others = shared.elsewhere.iter();
    let others = others
        .map(|(name, there)| (name.clone(), &there.conn, there.is_loaded, there.integrations.as_slice()));
    let line = |(name, conn, is_loaded, all): (String, &Conn, bool, &[Integration])| {
        let bad = all.iter().filter(|it| it.badge.is_bad()).count();
        let (role, text) = match conn {
            Conn::Live if is_loaded && bad > 0 => (Role::Bad, format!("{bad} of {} failing", all.len())),
            Conn::Live if is_loaded => (Role::Good, format!("{} integrations, none failing", all.len())),
            Conn::Live | Conn::Connecting => (Role::Quiet, "connecting".to_owned()),
            Conn::Lost { error, .. } => (Role::Warn, format!("LOST: {error}")),
            Conn::Incompatible(reason) | Conn::Denied(reason) => (Role::Warn, reason.clone()),
        };
        let name = safe(&name, 16, theme);
        let text = safe(&text, width.saturating_sub(18), theme);
        Line::from(vec![Span::raw(format!("{name:<17} ")), theme.span(role, text)])
    };
    let mut lines: Vec<Line<'static>> =
        std::iter::once(own).chain(others).take(LINES_MAX).map(line).collect();
    match (shared.elsewhere.len() + 1).saturating_sub(LINES_MAX) {
        0 => {}
        more => lines.push(Line::from(theme.span(Role::Quiet, format!("and {more} more")))),
    }
    lines
}
