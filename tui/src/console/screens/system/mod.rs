//! The system: companies gone silent, the queue, how fast it goes, the daemons, the database.

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use serde_json::json;

use crate::columns::company;
use crate::console::app::shared::{Shared, is_silent};
use crate::console::data::{Answer, Company, Query, Remembered, System};
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, View};
use crate::console::screens::company::CompanyScreen;
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::document::{Doc, Kind, size};
use crate::console::widgets::draw::{pane, trouble};
use crate::console::widgets::filter::{Filter, RowTexts};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;

/// A company with what is wrong with it.
#[derive(Clone, Debug)]
pub struct ListedCompany {
    id: String,
    company: Company,
    silent: bool,
    bad: usize,
}

impl TableRow for ListedCompany {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        vec![("company", Cow::Borrowed(&*self.company.name)), ("plan", Cow::Borrowed(&*self.company.plan))]
    }

    fn at(&self) -> Option<Timestamp> {
        self.company.last_lead_at
    }

    fn is_bad(&self) -> bool {
        self.silent || self.bad > 0
    }
}

/// The columns of companies.
pub const COLUMNS: [TableColumn<ListedCompany>; 6] = [
    shows(company::NAME, |it: &ListedCompany, _| plain(&*it.company.name))
        .by(|a, b| a.company.name.cmp(&b.company.name)),
    shows(company::ID, |it: &ListedCompany, _| plain(it.id.as_str()))
        .value(|it: &ListedCompany| json!(it.company.id))
        .by(|a, b| a.company.id.cmp(&b.company.id)),
    shows(company::LAST_LEAD, |it: &ListedCompany, look| {
        let role = if it.silent { Role::Alarm } else { Role::Plain };
        styled(
            role,
            it.company.last_lead_at.map_or_else(|| "never".to_owned(), |at| time::age(look.now, Some(at))),
        )
    })
    .value(|it: &ListedCompany| json!(it.company.last_lead_at))
    .by(|a, b| a.company.last_lead_at.cmp(&b.company.last_lead_at)),
    shows(company::QUIET, |it: &ListedCompany, _| match it.company.quiet_hours {
        0 => plain("-"),
        hours => plain(format!("{hours}h")),
    })
    .value(|it: &ListedCompany| json!(it.company.quiet_hours)),
    shows(company::FAILING, |it: &ListedCompany, _| {
        styled(if it.bad > 0 { Role::Bad } else { Role::Plain }, it.bad.to_string())
    })
    .value(|it: &ListedCompany| json!(it.bad))
    .by(|a, b| b.bad.cmp(&a.bad)),
    shows(company::PLAN, |it: &ListedCompany, _| match it.company.paused_at {
        Some(_) => styled(Role::Warn, "paused"),
        None => plain(&*it.company.plan),
    })
    .value(|it: &ListedCompany| json!(it.company.plan))
    .by(|a, b| a.company.plan.cmp(&b.company.plan)),
];

#[derive(Debug, Default)]
pub struct SystemScreen {
    companies: Table<ListedCompany>,
    listed: Fetch<Vec<Company>>,
    fetch: Fetch<System>,
    is_page: bool,
    page: PageScroll,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 17] = [
    Action::Open,
    Action::Up,
    Action::Down,
    Action::First,
    Action::Last,
    Action::PageUp,
    Action::PageDown,
    Action::NextSection,
    Action::PreviousSection,
    Action::Pane,
    Action::Filter,
    Action::FailingOnly,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
    Action::Export,
];

impl SystemScreen {
    /// Silent ones first, then those that fail, then by name.
    fn arrange(&mut self, shared: &Shared) {
        let listed = |company: &Company| {
            let of =
                |it: &&crate::console::data::Integration| it.company_id == company.id && it.badge.is_bad();
            ListedCompany {
                id: company.id.to_string(),
                silent: is_silent(company, shared.now),
                bad: shared.integrations.iter().filter(of).count(),
                company: company.clone(),
            }
        };
        let mut rows: Vec<ListedCompany> = shared.companies_in_view().map(listed).collect();
        rows.sort_by(|a, b| {
            (!a.silent, a.bad == 0, &a.company.name).cmp(&(!b.silent, b.bad == 0, &b.company.name))
        });
        self.companies.rows = rows;
        self.companies.is_loaded |= !shared.companies.is_empty() || self.listed.value.is_some();
    }
}

impl Screen for SystemScreen {
    fn crumb(&self, _: &Shared) -> String {
        "System".to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Open => {
                if let Some(it) = self.companies.current() {
                    cx.open(Box::new(CompanyScreen::new(it.company.id)));
                }
            }
            Action::Pane => self.is_page = !self.is_page,
            _ if self.is_page && action.is_move() => self.page.perform(action),
            _ => self.companies.perform(&COLUMNS, cx.shared.now, action, 1, self.rows.get().max(1)),
        }
    }

    fn event(&mut self, event: Event<'_>, cx: &mut Cx<'_>) {
        self.fetch.take(&event, |answer| match answer {
            Answer::System(system) => Some((**system).clone()),
            _ => None,
        });
        let taken = self.listed.take(&event, |answer| match answer {
            Answer::Companies(companies) => Some(companies.clone()),
            _ => None,
        });
        if let Some(companies) = self.listed.value.as_ref().filter(|_| taken) {
            cx.shared.companies.clone_from(companies);
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        self.fetch.ask(Query::System, cx);
        self.listed.ask(Query::Companies, cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        self.arrange(cx.shared);
        self.companies.normalize(&COLUMNS, cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        let Some(it) = self.companies.current() else { return Subject::default() };
        Subject {
            company: Some(it.company.id),
            record: Some(json!({
                "id": it.company.id, "name": it.company.name, "plan": it.company.plan,
                "last_lead_at": it.company.last_lead_at, "quiet_hours": it.company.quiet_hours,
            })),
            ..Subject::default()
        }
    }

    fn command(&self, _: &Shared) -> String {
        "leadline system show".to_owned()
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let [first, second] = if view.shared.is_wide() {
            Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area)
        } else {
            Layout::vertical([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(area)
        };
        let title = vec![
            theme.span(Role::Strong, "Companies"),
            theme.span(Role::Quiet, self.companies.note(&COLUMNS, view.shared.now)),
            trouble(self.listed.error.as_deref(), first.width, theme),
        ];
        let block = pane(title, !self.is_page, theme);
        let inner = block.inner(first);
        frame.render_widget(block, first);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        self.companies.draw(
            &COLUMNS,
            &view.look_at(self.listed.error.as_deref()),
            "There is no company yet: leadline company create",
            frame,
            inner,
        );
        let doc = describe(self.fetch.value.as_ref(), self.fetch.error.as_deref(), view);
        let all = if view.shared.company.is_some() { "  all companies" } else { "" };
        let title = vec![theme.span(Role::Strong, "System"), theme.span(Role::Quiet, all)];
        self.page.draw(doc, title, self.is_page, view, frame, second);
    }

    fn back(&mut self) -> bool {
        std::mem::take(&mut self.is_page) || self.companies.back()
    }

    fn filter(&self) -> Option<&Filter> {
        Some(&self.companies.filter)
    }

    fn filter_mut(&mut self) -> Option<&mut Filter> {
        Some(&mut self.companies.filter)
    }

    fn chips(&self) -> Vec<String> {
        self.companies.only("silent or failing").into_iter().collect()
    }

    fn period(&self, shared: &Shared) -> Option<i64> {
        Some(shared.pace())
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        (action == Action::Open).then(|| "open the company".to_owned())
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.companies, &COLUMNS)))
    }

    fn remember(&mut self) -> Option<Remembered> {
        Some(Listing(&mut self.companies, &COLUMNS).remember())
    }

    fn recall(&mut self, remembered: Remembered) {
        Listing(&mut self.companies, &COLUMNS).recall(remembered);
    }
}

/// What waits: up to ten thousand are counted.
fn counted(it: &System, count: u64) -> String {
    let about = if it.is_estimate && count > 10_000 { "about " } else { "" };
    format!("{about}{count}")
}

fn describe(system: Option<&System>, error: Option<&str>, view: View<'_>) -> Doc {
    let now = view.shared.now;
    let mut doc = Doc::default();
    if let Some(error) = error {
        doc.push(Kind::Error, error);
    }
    let Some(it) = system else {
        if error.is_none() {
            doc.push(Kind::Quiet, view.shared.waits());
        }
        return doc;
    };
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "nothing".to_owned(), |at| time::ago(now, at));
    doc.section("queue");
    doc.field("due", &format!("{}   the oldest: {}", counted(it, it.due), ago(it.oldest_due_at)));
    doc.field("running", &it.running.to_string());
    doc.field("later", &counted(it, it.later));
    doc.field("held", &counted(it, it.held));
    doc.field("dead", &format!("{}   the oldest held or dead: {}", it.dead, ago(it.oldest_undelivered_at)));
    doc.section("how fast");
    let minutes = (it.span_seconds / 60).max(1);
    let span = if minutes == 1 { "minute".to_owned() } else { format!("{minutes} minutes") };
    doc.field("leads", &format!("{} in the last {span}", it.leads));
    doc.field("attempts", &format!("{}, {} of them failed", it.attempts, it.failed));
    if let Some([p50, p95, p99]) = it.latency_ms {
        let millis = [p50, p95, p99].map(time::millis);
        doc.field("a push", &format!("p50 {}   p95 {}   p99 {}", millis[0], millis[1], millis[2]));
    }
    doc.section("refused posts, last 24 hours");
    if it.refused.is_empty() {
        doc.push(Kind::Quiet, "None.");
    }
    for key in &it.refused {
        let text = format!(
            "{}  {} / {}   the last {}: {} {}",
            key.refused,
            key.company,
            key.name,
            ago(key.last_at),
            key.status,
            key.detail
        );
        doc.push(Kind::Error, &text);
    }
    doc.section("daemons");
    doc.field("version", &it.version);
    let faults = format!("since it started: panics {}, log lines lost {}", it.panics, it.log_lines_lost);
    doc.field("faults", &faults);
    for daemon in &it.daemons {
        let lease = daemon.lease_until.map(|at| time::until(now, at)).unwrap_or_default();
        let text = format!(
            "{} running in {} {}, lease ends {lease}, version {}",
            daemon.running,
            daemon.lanes,
            if daemon.lanes == 1 { "lane" } else { "lanes" },
            daemon.version
        );
        doc.field(&format!("no. {}", daemon.id), &text);
    }
    doc.section("database");
    doc.field("version", &it.database);
    doc.field("size", &size(it.database_bytes));
    doc.field("connected", &format!("{} of {}", it.connections, it.connections_max));
    doc.field("schema", &it.schema_version.to_string());
    let index = if it.has_trigrams {
        "by an index"
    } else {
        "by looking through all of them: the database has no pg_trgm"
    };
    doc.field("finding", index);
    doc
}
