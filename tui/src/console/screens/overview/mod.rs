//! The first screen: every integration with its health, worst first; as cards where they are few and there is room,
//! else as a list with the selected one below.

mod cards;
mod columns;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::console::app::menus::integration_json;
use crate::console::app::shared::{Shared, Tone, WIDE};
use crate::console::data::command::of_company;
use crate::console::data::integration::Figures;
use crate::console::data::query::Connector;
use crate::console::data::{Answer, Conn, Integration, Query, Remembered};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, View};
use crate::console::screens::integration::IntegrationScreen;
use crate::console::theme::Role;
use crate::console::widgets::draw::{badge, error_text, line_width, pane, safe};
use crate::console::widgets::filter::{Filter, RowTexts};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;

pub use columns::{COLUMNS, gates, looked_at, pushed, retry, waiting};

/// Up to so many integrations are shown as cards, unless the operator says otherwise.
const CARDS_MAX: usize = 12;
/// What integrations came to costs the daemon a count for each: it is asked for this seldom, in seconds, and not again
/// for a while when one comes back to the screen.
const PERIOD: i64 = 60;
const FRESH: i64 = 15;
/// The rows of the strip below a list.
const STRIP: u16 = 6;
/// A note that is cut to fewer columns says nothing.
const LEAST: usize = 6;
/// So much of an account's name is shown.
const LOOKED_AT: usize = 48;

impl TableRow for Integration {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        vec![
            ("name", Cow::Borrowed(&self.name)),
            ("company", Cow::Borrowed(&self.company)),
            ("connector", Cow::Borrowed(&self.connector)),
            ("badge", Cow::Borrowed(self.badge.word())),
            ("err", Cow::Borrowed(&self.last_error)),
        ]
    }

    fn at(&self) -> Option<Timestamp> {
        self.last_error_at
    }

    fn is_bad(&self) -> bool {
        self.badge.is_bad() || self.dead > 0
    }
}

#[derive(Debug, Default)]
pub struct OverviewScreen {
    table: Table<Integration>,
    /// What the operator chose: cards or not.
    has_cards: Option<bool>,
    /// What integrations came to, and when that was asked.
    fetch: Fetch<BTreeMap<String, Arc<Figures>>>,
    asked_at: Option<Timestamp>,
    connectors: Fetch<Vec<Connector>>,
    /// The state of the integrations that the table holds, and of which company they are.
    seen: Option<(u64, Option<i64>, bool)>,
    /// The rows or cards that the last drawing had room for: in a line, and altogether.
    room: Cell<(usize, usize)>,
}

const ACTIONS: [Action; 35] = [
    Action::Open,
    Action::NewIntegration,
    Action::SetPlan,
    Action::PauseCompany,
    Action::Up,
    Action::Down,
    Action::Left,
    Action::Right,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::Filter,
    Action::FailingOnly,
    Action::Layout,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
    Action::Retry,
    Action::RetryWaiting,
    Action::Test,
    Action::Toggle,
    Action::Credentials,
    Action::Mapping,
    Action::Settings,
    Action::Actions,
    Action::Rotate,
    Action::Stage,
    Action::CutOver,
    Action::Revoke,
    Action::Reset,
    Action::Release,
    Action::OpenIntegration,
    Action::Export,
];

impl OverviewScreen {
    fn refresh(&mut self, shared: &Shared) {
        let seen = (shared.revision, shared.company.as_ref().map(|(id, _)| *id), shared.is_loaded);
        if self.seen == Some(seen) {
            return;
        }
        self.seen = Some(seen);
        let rows: Vec<Integration> = shared.in_view().cloned().collect();
        self.table.rows = rows;
        self.table.is_loaded = shared.is_loaded;
    }

    fn is_cards(&self, shared: &Shared) -> bool {
        shared.is_wide() && self.has_cards.unwrap_or(self.table.rows.len() <= CARDS_MAX)
    }

    fn empty(&self, shared: &Shared) -> &'static str {
        match (&shared.conn, shared.is_loaded) {
            (_, true) => {
                "There is no integration yet.\n\nMake one:  leadline integration create --company ID\n    \
                 --connector webhook --name NAME --config '{…}'"
            }
            (Conn::Connecting | Conn::Live, false) => "Connecting…",
            _ => "Nothing is known yet: the daemon has not answered.",
        }
    }

    fn list(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (theme, shared) = (view.theme, view.shared);
        let strip_rows = if area.height > 12 { STRIP } else { 0 };
        let [top, strip] = Layout::vertical([Constraint::Min(0), Constraint::Length(strip_rows)]).areas(area);
        let block = pane(self.title(view), true, theme);
        let inner = block.inner(top);
        frame.render_widget(block, top);
        self.room.set((1, usize::from(inner.height).saturating_sub(1)));
        if self.table.is_loaded {
            self.table.draw(&COLUMNS, &view.look(), self.empty(shared), frame, inner);
        } else {
            let text: Vec<Line<'_>> =
                self.empty(shared).lines().map(|l| Line::raw(theme.spell(&format!(" {l}")))).collect();
            frame.render_widget(Paragraph::new(text), inner);
        }
        if let Some(it) = self.table.current().filter(|_| strip_rows > 0) {
            detail(it, view, frame, strip);
        }
    }

    fn title(&self, view: View<'_>) -> Vec<Span<'static>> {
        let theme = view.theme;
        let order = if self.table.sort.is_none() { ", worst first" } else { "" };
        let mut title = vec![
            theme.span(Role::Strong, "Integrations"),
            theme.span(Role::Quiet, format!("{}{order}", self.table.note(&COLUMNS, view.shared.now))),
        ];
        if view.shared.stale_since.is_some() {
            title.push(theme.span(Role::Warn, "  STALE"));
        }
        title
    }
}

impl Screen for OverviewScreen {
    fn crumb(&self, _: &Shared) -> String {
        "Overview".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Open => {
                if let Some(it) = self.table.current() {
                    cx.open(Box::new(IntegrationScreen::new(it)));
                }
            }
            Action::Layout if !cx.shared.is_wide() => {
                let reason = format!("not possible: cards want {WIDE} columns, and the window has fewer");
                cx.say(Tone::Bad, reason);
            }
            Action::Layout => self.has_cards = Some(!self.is_cards(cx.shared)),
            _ => {
                let (line, page) = self.room.get();
                self.table.perform(&COLUMNS, cx.shared.now, action, line.max(1), page.max(1));
            }
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if matches!(event, Event::Narrowed) {
            self.fetch.forget();
            self.asked_at = None;
        }
        self.connectors.take(&event, |answer| match answer {
            Answer::Connectors(all) => Some(all.clone()),
            _ => None,
        });
        if let Some(all) = self.connectors.value.take() {
            let wants = |it: &Connector| it.credentials.iter().any(|field| field.required);
            let wanting = all.into_iter().filter(wants).map(|it| it.name);
            cx.shared.credentialed = Some(wanting.collect());
            cx.shared.sort();
        }
        let failed = self.fetch.error.clone();
        let is_taken = self.fetch.take(&event, |answer| match answer {
            Answer::Figures(figures) => Some(figures.clone()),
            _ => None,
        });
        if let Some(error) = self.fetch.error.as_ref().filter(|_| is_taken) {
            // It is asked for again at the next chance, and said once while that goes on.
            self.asked_at = None;
            if failed.as_ref() != Some(error) {
                cx.say(Tone::Bad, format!("the overview's figures: {error}"));
            }
        }
        match (self.fetch.value.take(), &cx.shared.company) {
            (Some(figures), None) => cx.shared.figures = figures,
            // What is known of other companies is shown again once all are looked at.
            (Some(figures), Some(_)) => cx.shared.figures.extend(figures),
            (None, _) => return self.refresh(cx.shared),
        }
        cx.shared.sort();
        self.refresh(cx.shared);
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        self.refresh(cx.shared);
        if cx.shared.credentialed.is_none() {
            self.connectors.ask(Query::Connectors, cx);
        }
        let is_due = |at: Timestamp| cx.shared.now.duration_since(at).as_secs() >= FRESH;
        if cx.shared.is_live() && self.asked_at.is_none_or(is_due) {
            self.asked_at = Some(cx.shared.now);
            let company = cx.shared.company.as_ref().map(|(id, _)| *id);
            self.fetch.ask_anew(Query::Figures { company }, cx);
        }
    }

    fn period(&self, _: &Shared) -> Option<i64> {
        Some(PERIOD)
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        self.refresh(cx.shared);
        self.table.normalize(&COLUMNS, cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(it) = self.table.current() else { return Subject::default() };
        Subject {
            integration: Some(it.id.clone()),
            company: Some(it.company_id),
            record: Some(integration_json(it)),
            ..Subject::default()
        }
    }

    fn command(&self, shared: &Shared) -> String {
        let company = of_company(shared.company.as_ref().map(|(id, _)| *id));
        if !self.table.bad_only {
            return format!("leadline integration list{company}");
        }
        // A green badge hides no dead lead here: commands have a list of their own for these.
        format!(
            "leadline integration list{company} --badge failing,credentials\n\
             leadline delivery list{company} --state dead"
        )
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let visible = self.table.visible(&COLUMNS, view.shared.now);
        if self.is_cards(view.shared) && !visible.is_empty() {
            let at = visible.iter().position(|it| Some(&it.id) == self.table.selected.as_ref()).unwrap_or(0);
            self.table.undrawn();
            self.room.set(cards::draw(&visible, at, view, frame, area));
        } else {
            self.list(view, frame, area);
        }
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
        self.table.only("failing").into_iter().collect()
    }

    fn ages(&self, shared: &Shared) -> Vec<Timestamp> {
        let times = |it: &Integration| {
            let gates = [it.next_retry_at, it.throttled_until, it.breaker_until];
            [it.last_pushed_at, it.last_error_at, it.checked_at].into_iter().chain(gates)
        };
        shared.in_view().flat_map(times).flatten().collect()
    }

    fn label(&self, action: Action, shared: &Shared) -> Option<String> {
        match action {
            Action::Retry => Some("retry dead".to_owned()),
            Action::Layout if self.is_cards(shared) => Some("list".to_owned()),
            Action::Layout => Some("cards".to_owned()),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.table, &COLUMNS)))
    }

    fn remember(&mut self) -> Option<Remembered> {
        Some(Remembered { cards: self.has_cards, ..Listing(&mut self.table, &COLUMNS).remember() })
    }

    fn recall(&mut self, remembered: Remembered) {
        self.has_cards = remembered.cards;
        Listing(&mut self.table, &COLUMNS).recall(remembered);
    }
}

/// The selected integration in a few lines.
fn detail(it: &Integration, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let (theme, shared) = (view.theme, view.shared);
    let width = usize::from(area.width).saturating_sub(4);
    let name = safe(&it.full_name(), width.saturating_sub(20), theme);
    let of = format!("  {}", safe(&it.connector, 14, theme));
    let block = pane(vec![theme.span(Role::Strong, name), theme.span(Role::Quiet, of)], false, theme);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let mut state = badge(it, theme);
    let gates = gates(shared.now, it);
    let gates = gates.iter().map(|gate| gate.text(shared.now, &shared.setup.zone));
    for note in it.pause_label().map(str::to_owned).into_iter().chain(columns::notes(it)).chain(gates) {
        let room = width.saturating_sub(line_width(&state) + 3);
        if room >= LEAST {
            state.extend([Span::raw("   "), theme.span(Role::Warn, safe(&note, room, theme))]);
        }
    }
    let push = format!("{:<8}{}   next retry {}", "pushed", pushed(shared.now, it), retry(shared.now, it));
    let age = it.last_error_at.map(|at| format!("{}  ", time::ago(shared.now, at))).unwrap_or_default();
    let error = match it.last_error.as_str() {
        "" => "none".to_owned(),
        error => format!("{age}{}", error_text(error, width.saturating_sub(8 + age.len()), theme)),
    };
    let mut waiting = waiting(it, width, theme);
    let mut push = vec![Span::raw(safe(&push, width, theme))];
    // What has no room beside what waits stands in a line above; half a trend would be another one.
    if let Some(text) = columns::skips(it).filter(|_| !columns::tells_skips(&waiting)) {
        let text = theme.span(Role::Quiet, format!("   {text}"));
        put(vec![text], [&mut push, &mut state], width);
    }
    let trend = columns::trend(it, 12, shared.now, theme);
    if !trend.is_empty() {
        let died = vec![theme.span(Role::Quiet, "   died in 24 h "), Span::raw(trend)];
        put(died, [&mut waiting, &mut push, &mut state], width);
    }
    for text in columns::looked_at(it, shared.now) {
        let text = theme.span(Role::Quiet, format!("   {}", safe(&text, LOOKED_AT, theme)));
        put(vec![text], [&mut push, &mut state, &mut waiting], width);
    }
    let lines = vec![
        Line::from(state),
        Line::from(push),
        Line::from(waiting),
        Line::from(vec![theme.span(Role::Quiet, format!("{:<8}", "error")), Span::raw(error)]),
    ];
    frame.render_widget(Paragraph::new(lines), inner);
}

/// Puts the part behind the first of the lines that has room for all of it; nowhere if none has.
fn put<const N: usize>(part: Vec<Span<'static>>, lines: [&mut Vec<Span<'static>>; N], width: usize) {
    let needed = line_width(&part);
    if let Some(line) = lines.into_iter().find(|line| line_width(line) + needed <= width) {
        line.extend(part);
    }
}
