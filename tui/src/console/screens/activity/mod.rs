//! What happens now: attempts and what operators did, newest first.

mod tail;

use std::borrow::Cow;
use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use serde_json::json;

use crate::columns::column;
use crate::console::app::shared::{Shared, Tone};
use crate::console::data::command::of_company;
use crate::console::data::system::What;
use crate::console::data::{Activity, Answer, Attempt, AttemptState, Query, Remembered};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::msg::Follow;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, View};
use crate::console::screens::attempt::{AttemptScreen, document, subject_of, whose};
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::document::{Doc, Kind};
use crate::console::widgets::draw::{fresh, pane, short_error, trouble};
use crate::console::widgets::filter::{Filter, RowTexts};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;

use tail::{ActivityPage as Reported, Tail};

impl TableRow for Activity {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        let mut fields = vec![("company", Cow::Borrowed(&*self.company))];
        match &self.what {
            What::Attempt(it) => fields.extend(
                it.fields()
                    .into_iter()
                    .chain([("name", Cow::Borrowed(&*it.integration)), ("what", Cow::Borrowed("attempt"))]),
            ),
            What::Gap => {}
            What::Act(it) => fields.extend([
                ("operator", Cow::Borrowed(&*it.operator)),
                ("what", Cow::Borrowed(&*it.action)),
                ("target", Cow::Borrowed(&*it.target)),
            ]),
        }
        fields
    }

    fn at(&self) -> Option<Timestamp> {
        self.at
    }

    fn is_bad(&self) -> bool {
        Self::is_bad(self)
    }
}

/// The columns of what happened.
pub const COLUMNS: [TableColumn<Activity>; 6] = [
    shows(column("at").short("time").fixed(11, 0), |it: &Activity, look| {
        plain(it.at.map(|at| time::recent(look.now, at, look.zone)).unwrap_or_default())
    })
    .value(|it: &Activity| json!(it.at))
    .by(|a, b| b.at.cmp(&a.at)),
    shows(column("company").share(12, 24, 2), |it: &Activity, _| plain(&*it.company))
        .company()
        .by(|a, b| a.company.cmp(&b.company)),
    shows(column("what").share(12, 20, 0), |it: &Activity, _| match &it.what {
        What::Attempt(it) => plain(&*it.integration),
        What::Act(it) => styled(Role::Accent, it.operator.clone()),
        What::Gap => styled(Role::Warn, "more happened"),
    }),
    shows(column("state").share(11, 20, 0), |it: &Activity, look| match &it.what {
        What::Attempt(it) => {
            let (glyph, role) = look.theme.attempt(it.state);
            styled(role, format!("{glyph} {}", it.state.word()))
        }
        What::Act(it) => styled(Role::Accent, it.verb.clone()),
        What::Gap => plain(""),
    })
    .value(|it: &Activity| match &it.what {
        What::Attempt(it) => json!(it.state.word()),
        What::Act(it) => json!(it.action),
        What::Gap => json!("more"),
    }),
    shows(column("lead").share(10, 20, 0), |it: &Activity, _| match &it.what {
        What::Attempt(it) => whose(it),
        What::Act(_) | What::Gap => plain(""),
    })
    .value(|it: &Activity| match &it.what {
        What::Attempt(it) => json!(it.person()),
        What::Act(_) | What::Gap => json!(""),
    }),
    shows(column("outcome").share(10, 200, 0).wants(14), |it: &Activity, _| match &it.what {
        What::Attempt(it) if it.state == AttemptState::Failed => plain(short_error(&it.error)),
        What::Attempt(it) => plain(answer(it)),
        What::Act(it) => styled(Role::Accent, it.object.clone()),
        What::Gap => styled(Role::Warn, "not shown: open it"),
    })
    .value(|it: &Activity| match &it.what {
        What::Attempt(it) if it.state == AttemptState::Failed => json!(it.error),
        What::Attempt(it) => json!(answer(it)),
        What::Act(it) => json!(it.object),
        What::Gap => json!("more happened here than is listed"),
    }),
];

/// What a target answered that took a lead, and how long that took.
fn answer(it: &Attempt) -> String {
    let status = it.status.map(|status| status.to_string()).unwrap_or_default();
    format!("{status} {}", it.duration_ms.map(time::millis).unwrap_or_default()).trim().to_owned()
}

/// However much happens, it is asked no more often than this.
const BREATH: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug, Default)]
pub struct ActivityScreen {
    table: Table<Activity>,
    tail: Tail,
    /// What is read anew, until there is as much of it as is shown.
    anew: Option<Tail>,
    fetch: Fetch<Reported>,
    /// By which token it was asked; empty for the newest.
    asked: String,
    /// How many lines have come above since the newest is not followed.
    fresh: usize,
    /// Whether something happened since the newest were asked for, and when that was.
    has_news: bool,
    asked_at: Option<Timestamp>,
    page: PageScroll,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 24] = [
    Action::Open,
    Action::Up,
    Action::Down,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::Filter,
    Action::FailingOnly,
    Action::Follow,
    Action::Older,
    Action::Retry,
    Action::Trace,
    Action::Evidence,
    Action::Reveal,
    Action::OpenIntegration,
    Action::Actions,
    Action::Wrap,
    Action::ClearMarks,
    Action::Export,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
];

impl ActivityScreen {
    /// Asks for what is behind this, instead of whatever is under way.
    fn ask_behind(&mut self, token: String, cx: &mut Cx<'_>) {
        self.anew = None;
        self.ask(token, cx);
    }

    fn ask(&mut self, token: String, cx: &mut Cx<'_>) {
        let company = cx.shared.company.as_ref().map(|(id, _)| *id);
        self.asked.clone_from(&token);
        self.fetch.ask_anew(Query::Activity { company, after: token }, cx);
    }

    /// Takes a page in. Whoever asked for what a line stood for goes on at the first of what came in its place.
    fn take_page(&mut self, page: Reported, cx: &mut Cx<'_>) {
        let was_open =
            self.table.current().is_some_and(|it| self.tail.behind(&it.id) == Some(self.asked.as_str()));
        let first = page.rows.first().map(|it| it.id.clone()).filter(|_| was_open);
        let newest = self.table.rows.first().map(|it| it.id.clone());
        if let Some(mut tail) = self.anew.take() {
            tail.take(&self.asked, page);
            let older = tail.older().map(str::to_owned).ok().filter(|_| tail.len() < self.tail.len());
            if let Some(token) = older {
                self.anew = Some(tail);
                return self.ask(token, cx);
            }
            self.tail = tail;
            self.table.set(self.tail.rows());
        } else if self.tail.take(&self.asked, page) || !self.table.is_loaded {
            self.table.set(self.tail.rows());
        }
        let above = newest.and_then(|id| self.table.rows.iter().position(|it| it.id == id));
        self.fresh += above.filter(|_| self.table.is_moved).unwrap_or(0);
        if let Some(id) = first {
            self.table.select(id);
        }
    }
}

impl Screen for ActivityScreen {
    fn crumb(&self, _: &Shared) -> String {
        "Activity".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Open => match self.table.current().map(|it| (&it.what, &it.id)) {
                Some((What::Attempt(it), _)) => {
                    cx.open(Box::new(AttemptScreen::new(vec![(**it).clone()], 0)));
                }
                Some((What::Gap, id)) => {
                    if let Some(token) = self.tail.behind(id).map(str::to_owned) {
                        self.ask_behind(token, cx);
                    }
                }
                _ => {}
            },
            Action::Follow => {
                self.table.is_moved = !self.table.is_moved;
                self.fresh = 0;
            }
            Action::Older => match self.tail.older().map(str::to_owned) {
                Ok(token) => self.ask_behind(token, cx),
                Err(reason) => cx.say(Tone::Plain, reason.to_string()),
            },
            Action::Wrap => self.page.perform(action),
            _ => {
                self.table.perform(&COLUMNS, cx.shared.now, action, 1, self.rows.get().max(1));
                if action == Action::First {
                    self.fresh = 0;
                }
            }
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        if matches!(event, Event::Narrowed) {
            self.fetch.forget();
            (self.tail, self.anew, self.fresh) = (Tail::default(), None, 0);
            self.table.set(Vec::new());
            self.table.is_loaded = false;
            return;
        }
        self.has_news |= matches!(event, Event::Happened);
        let taken = self.fetch.take(&event, |answer| match answer {
            Answer::Activity { rows, next } => Some(Reported { rows: rows.clone(), next: next.clone() }),
            _ => None,
        });
        if let Some(page) = self.fetch.value.take().filter(|_| taken) {
            self.take_page(page, cx);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        if !self.fetch.is_waiting() {
            (self.has_news, self.asked_at) = (false, Some(cx.shared.now));
            self.ask_behind(String::new(), cx);
        }
    }

    /// All that is shown, not the newest page alone: what is reported no more goes.
    fn reload(&mut self, cx: &mut Cx<'_>) {
        self.anew = Some(Tail::default());
        self.ask(String::new(), cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        if self.due(cx.shared).is_some_and(|at| at <= cx.shared.now) {
            self.load(cx);
        }
        self.table.normalize(&COLUMNS, cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        match self.table.current().map(|it| &it.what) {
            Some(What::Attempt(it)) => subject_of(it, None),
            Some(What::Act(it)) => Subject {
                record: Some(json!({
                    "id": it.id, "at": it.at, "operator": it.operator, "action": it.action, "target": it.target,
                    "before": it.before, "after": it.after,
                })),
                ..Subject::default()
            },
            Some(What::Gap) | None => Subject::default(),
        }
    }

    fn command(&self, shared: &Shared) -> String {
        format!("leadline activity --follow{}", of_company(shared.company.as_ref().map(|(id, _)| *id)))
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let strip = if area.height > 14 { 8 } else { 0 };
        let [top, bottom] = Layout::vertical([Constraint::Min(0), Constraint::Length(strip)]).areas(area);
        let follow = if self.table.is_moved { "" } else { "  following" };
        let mut title = vec![
            theme.span(Role::Strong, "Activity"),
            theme.span(Role::Quiet, format!("{}{follow}", self.table.note(&COLUMNS, view.shared.now))),
        ];
        if self.table.is_moved && self.fresh > 0 {
            title.push(theme.span(Role::Accent, fresh(self.fresh, &view.shared.setup.keymap, theme)));
        }
        if self.tail.has_gap() {
            title.push(theme.span(Role::Warn, "  more happened than is shown"));
        }
        if self.tail.is_full() {
            title.push(theme.span(Role::Quiet, "  no older ones are kept here"));
        }
        title.push(trouble(self.fetch.error.as_deref(), area.width, theme));
        let block = pane(title, true, theme);
        let inner = block.inner(top);
        frame.render_widget(block, top);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        let look = view.look_at(self.fetch.error.as_deref());
        self.table.draw(&COLUMNS, &look, "Nothing has happened yet.", frame, inner);
        if strip > 0 {
            let doc = self.table.current().map(|it| about(it, view)).unwrap_or_default();
            self.page.draw(doc, vec![theme.span(Role::Strong, "Selected")], false, view, frame, bottom);
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
        self.table.only("failed").into_iter().collect()
    }

    fn follows(&self, shared: &Shared) -> Option<Follow> {
        Some(Follow::Activity(shared.company.as_ref().map(|(id, _)| *id)))
    }

    fn period(&self, _: &Shared) -> Option<i64> {
        // What happens is told; this is for what was not.
        Some(30)
    }

    fn due(&self, shared: &Shared) -> Option<Timestamp> {
        let waits = self.has_news && !self.fetch.is_waiting() && shared.is_live();
        self.asked_at.filter(|_| waits).map(|at| at + BREATH)
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        let attempt = |it: &Activity| match &it.what {
            What::Attempt(it) => Some(JumpTarget::attempt(it)),
            What::Act(_) | What::Gap => None,
        };
        self.table.rows.iter().filter_map(attempt).take(TOLD).collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        (action == Action::FailingOnly).then(|| "failed only".to_owned())
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.table, &COLUMNS)))
    }

    fn remember(&mut self) -> Option<Remembered> {
        Some(Listing(&mut self.table, &COLUMNS).remember())
    }

    fn recall(&mut self, remembered: Remembered) {
        Listing(&mut self.table, &COLUMNS).recall(remembered);
    }
}

/// What happened, in words.
fn about(it: &Activity, view: View<'_>) -> Doc {
    let zone = &view.shared.setup.zone;
    match &it.what {
        What::Attempt(attempt) => document::summary(attempt, &view.shared.setup.keymap),
        What::Gap => {
            let mut doc = Doc::default();
            doc.push(Kind::Strong, "More happened here than was told at once.");
            let open = view.shared.setup.keymap.shown(Action::Open).to_owned();
            doc.push(Kind::Text, &format!("{open} asks for what stands here, a page at a time."));
            doc
        }
        What::Act(act) => {
            let mut doc = Doc::default();
            doc.push(Kind::Strong, &format!("{} {} {}", act.operator, act.verb, act.object));
            doc.field("at", &act.at.map(|at| time::moment(at, zone)).unwrap_or_default());
            doc.field("called", &format!("{} on {}", act.action, act.target));
            doc.field("before", &act.before);
            doc.field("after", &act.after);
            doc
        }
    }
}
