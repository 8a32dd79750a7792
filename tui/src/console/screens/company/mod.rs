//! Everything of one company: its plan and keys, when its last lead came, what the intake refused, its flows and
//! integrations.

use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use serde_json::json;

use crate::console::app::shared::{Shared, is_silent};
use crate::console::data::{Answer, CompanyPage, Flow, Integration, Query};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, View};
use crate::console::screens::integration::IntegrationScreen;
use crate::console::screens::overview::COLUMNS;
use crate::console::theme::Role;
use crate::console::widgets::document::{Doc, Kind};
use crate::console::widgets::draw::{pane, safe};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::table::Table;
use crate::console::widgets::time;

#[derive(Debug)]
pub struct CompanyScreen {
    /// 0 until it is known whose the flow is.
    id: i64,
    /// The flow that it was opened for.
    flow: Option<String>,
    /// Whether one of its integrations is to be selected first.
    is_new: bool,
    fetch: Fetch<CompanyPage>,
    table: Table<Integration>,
    is_page: bool,
    page: PageScroll,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 35] = [
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
    Action::Wrap,
    Action::Retry,
    Action::RetryWaiting,
    Action::Test,
    Action::Toggle,
    Action::Credentials,
    Action::Mapping,
    Action::Settings,
    Action::EditFlow,
    Action::ToggleFlow,
    Action::Actions,
    Action::OpenIntegration,
    Action::Rotate,
    Action::Stage,
    Action::CutOver,
    Action::Revoke,
    Action::Reset,
    Action::NewIntegration,
    Action::SetPlan,
    Action::PauseCompany,
    Action::Export,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
];

impl CompanyScreen {
    /// Opens the page of a company.
    pub fn new(id: i64) -> Self {
        let (fetch, table, page) = (Fetch::default(), Table::default(), PageScroll::default());
        Self { id, flow: None, is_new: true, fetch, table, is_page: false, page, rows: Cell::new(1) }
    }

    /// Opens the page of a flow's company, at the first integration that it sends to.
    pub fn of_flow(flow: String) -> Self {
        Self { flow: Some(flow), ..Self::new(0) }
    }

    fn flows(&self) -> &[Flow] {
        self.fetch.value.as_ref().map(|page| page.flows.as_slice()).unwrap_or_default()
    }

    /// The flow that an act at this integration is about; where several may be meant, these.
    fn meant(&self, integration: Option<&Integration>) -> (Option<Flow>, Vec<Flow>) {
        let sends =
            |flow: &&Flow| flow.targets.iter().any(|(id, _)| Some(id) == integration.map(|it| &it.id));
        let here: Vec<Flow> = self.flows().iter().filter(sends).cloned().collect();
        // The one it was opened for is meant where it sends, or anywhere if it sends nowhere any more.
        let is_opened =
            |flow: &&Flow| Some(&flow.id) == self.flow.as_ref() && (flow.targets.is_empty() || sends(flow));
        let opened = self.flows().iter().find(is_opened);
        match (opened, here.as_slice()) {
            (Some(flow), _) | (None, [flow]) => (Some(flow.clone()), Vec::new()),
            // Where none sends here, any of the company's may be.
            (None, []) => (None, self.flows().to_vec()),
            (None, _) => (None, here),
        }
    }

    /// Selects what it was opened for.
    fn select(&mut self) {
        let wanted = self.flow.as_ref().filter(|_| std::mem::take(&mut self.is_new));
        let flow = wanted.and_then(|id| self.flows().iter().find(|flow| flow.id == *id));
        if let Some((integration, _)) = flow.and_then(|flow| flow.targets.first()).cloned() {
            self.table.select(integration);
        }
    }

    fn name(&self, shared: &Shared) -> String {
        let reply = self.fetch.value.as_ref().map(|page| page.company.name.clone());
        let seen =
            || shared.integrations.iter().find(|it| it.company_id == self.id).map(|it| it.company.clone());
        let flow = || self.flow.as_ref().filter(|_| self.id == 0).map(|flow| format!("flow {flow}"));
        reply.or_else(seen).or_else(flow).unwrap_or_else(|| format!("company {}", self.id))
    }
}

impl Screen for CompanyScreen {
    fn crumb(&self, shared: &Shared) -> String {
        self.name(shared)
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
            Action::Pane => self.is_page = !self.is_page,
            Action::Wrap | Action::NextSection | Action::PreviousSection => self.page.perform(action),
            _ if self.is_page && action.is_move() => self.page.perform(action),
            _ => self.table.perform(&COLUMNS, cx.shared.now, action, 1, self.rows.get().max(1)),
        }
    }

    fn event(&mut self, event: Event<'_>, _: &mut Cx<'_>) {
        let taken = self.fetch.take(&event, |answer| match answer {
            Answer::Company(page) => Some((**page).clone()),
            _ => None,
        });
        if let Some(page) = self.fetch.value.as_ref().filter(|_| taken) {
            if self.id == 0 {
                self.id = page.company.id;
            }
            self.select();
        }
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        let query = match &self.flow {
            Some(flow) if self.id == 0 => Query::CompanyOf { flow: flow.clone() },
            _ => Query::Company { id: self.id },
        };
        self.fetch.ask(query, cx);
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        self.table.rows =
            cx.shared.integrations.iter().filter(|it| it.company_id == self.id).cloned().collect();
        self.table.is_loaded = cx.shared.is_loaded && self.id != 0;
        self.table.normalize(&COLUMNS, cx.shared.now);
    }

    fn subject(&self, _: &Shared) -> Subject {
        let it = self.table.current();
        let (flow, flows) = self.meant(it);
        Subject {
            integration: it.map(|it| it.id.clone()),
            company: Some(self.id).filter(|id| *id != 0),
            flow,
            flows,
            record: self.fetch.value.as_ref().map(|page| {
                json!({
                    "id": page.company.id, "name": page.company.name, "plan": page.company.plan,
                    "last_lead_at": page.company.last_lead_at, "leads_24h": page.leads_24h,
                    "refused_24h": page.refused_24h, "quiet_hours": page.company.quiet_hours,
                })
            }),
            ..Subject::default()
        }
    }

    fn command(&self, _: &Shared) -> String {
        match &self.flow {
            Some(flow) if self.id == 0 => format!("leadline flow show {flow}"),
            _ => format!("leadline company show {}", self.id),
        }
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        self.flows().iter().take(TOLD).map(JumpTarget::flow).collect()
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let rows = u16::try_from(self.table.rows.len()).unwrap_or(u16::MAX).saturating_add(3).max(4);
        let rows = rows.min(area.height * 2 / 5);
        let [top, bottom] = Layout::vertical([Constraint::Min(0), Constraint::Length(rows)]).areas(area);
        let doc = self.describe(view);
        let title = vec![theme.span(Role::Strong, safe(&self.name(view.shared), 60, theme))];
        self.page.draw(doc, title, self.is_page, view, frame, top);
        let title = vec![
            theme.span(Role::Strong, "Integrations"),
            theme.span(Role::Quiet, self.table.note(&COLUMNS, view.shared.now)),
        ];
        let block = pane(title, !self.is_page, theme);
        let inner = block.inner(bottom);
        frame.render_widget(block, bottom);
        self.rows.set(usize::from(inner.height).saturating_sub(1));
        let mut look = view.look();
        look.is_one_company = true;
        let how = view.shared.setup.keymap.hint(Action::NewIntegration, ": ", " makes one");
        self.table.draw(&COLUMNS, &look, &format!("It has no integration yet{how}"), frame, inner);
    }

    fn back(&mut self) -> bool {
        std::mem::take(&mut self.is_page)
    }

    fn period(&self, shared: &Shared) -> Option<i64> {
        Some(shared.pace())
    }

    fn ages(&self, _: &Shared) -> Vec<Timestamp> {
        self.fetch.value.as_ref().and_then(|page| page.company.last_lead_at).into_iter().collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        (action == Action::Retry).then(|| "retry dead".to_owned())
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.table, &COLUMNS)))
    }
}

impl CompanyScreen {
    fn describe(&self, view: View<'_>) -> Doc {
        let (now, zone) = (view.shared.now, &view.shared.setup.zone);
        let mut doc = Doc::default();
        if let Some(error) = &self.fetch.error {
            doc.push(Kind::Error, error);
        }
        let Some(page) = &self.fetch.value else {
            if self.fetch.error.is_none() {
                doc.push(Kind::Quiet, view.shared.waits());
            }
            return doc;
        };
        let company = &page.company;
        let moment = |at: Option<Timestamp>| {
            at.map(|at| format!("{}, {}", time::ago(now, at), time::moment(at, zone)))
        };
        let last = moment(company.last_lead_at).unwrap_or_else(|| "none ever came".to_owned());
        if is_silent(company, now) {
            doc.push(
                Kind::Error,
                &format!("SILENT: no lead for longer than the usual {} hours", company.quiet_hours),
            );
        }
        doc.field("last lead", &last);
        doc.field("24 hours", &format!("{} new leads, {} refused", page.leads_24h, page.refused_24h));
        doc.field(
            "plan",
            &format!("{}{}", company.plan, if company.paused_at.is_some() { ", PAUSED" } else { "" }),
        );
        let quiet = match company.quiet_hours {
            0 => "never said to be silent".to_owned(),
            hours => format!("said to be silent after {hours} hours without a lead"),
        };
        doc.field("quiet", &quiet);
        doc.section("intake keys");
        for key in &page.keys {
            let used = key
                .last_used_at
                .map_or_else(|| "never used".to_owned(), |at| format!("last used {}", time::ago(now, at)));
            let refused = key
                .last_refused_at
                .map_or_else(String::new, |at| format!(", last refused {}", time::ago(now, at)));
            let revoked = key.revoked_at.map(|at| format!("REVOKED {}, ", time::ago(now, at)));
            let state = format!("{}{used}{refused}", revoked.unwrap_or_default());
            let signed = if key.require_signature { ", wants signatures" } else { "" };
            doc.push(Kind::Text, &format!("{}…  {state}{signed}", key.prefix));
        }
        doc.section("refused posts, newest first");
        if page.refused.is_empty() {
            doc.push(Kind::Quiet, "None.");
        }
        for post in &page.refused {
            let at = post.at.map(|at| time::stamp(at, zone)).unwrap_or_default();
            doc.push(
                Kind::Error,
                &format!("{at}  {}  key {}…  {}", post.status, post.key_prefix, post.detail),
            );
            for (pointer, problem) in &post.errors {
                doc.push(Kind::Text, &format!("    {pointer} {problem}"));
            }
        }
        doc.section("flows");
        if page.flows.is_empty() {
            doc.push(Kind::Quiet, "None: every lead goes to every enabled integration.");
        }
        for flow in &page.flows {
            let targets: Vec<&str> = flow.targets.iter().map(|(_, name)| name.as_str()).collect();
            let off = if flow.enabled { "" } else { " (off)" };
            doc.push(Kind::Text, &format!("{}{off}: {}  ->  {}", flow.name, flow.when, targets.join(", ")));
        }
        doc
    }
}
