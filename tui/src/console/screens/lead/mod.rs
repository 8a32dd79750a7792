//! One lead: a line for each integration with why it is where it is, what happened in the order of time, and the lead
//! itself.

mod picture;

use std::borrow::Cow;
use std::cell::Cell;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use serde_json::json;

use crate::columns::delivery;
use crate::console::app::shared::{Shared, Tone};
use crate::console::data::lead::{Explained, Record, Step};
use crate::console::data::{Answer, Attempt, Flow, LeadPage, Query};
use crate::console::dialogs::JumpTarget;
use crate::console::dialogs::jump::TOLD;
use crate::console::keymap::Action;
use crate::console::screen::{Cx, Event, Fetch, Screen, Subject, View};
use crate::console::screens::attempt::AttemptScreen;
use crate::console::screens::integration::chosen_delivery;
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::document::Doc;
use crate::console::widgets::draw::short_error;
use crate::console::widgets::filter::{Filter, RowTexts};
use crate::console::widgets::list::{List, Listing};
use crate::console::widgets::page::PageScroll;
use crate::console::widgets::table::{Table, TableRow};
use crate::console::widgets::time;
use crate::moment::retold;

impl TableRow for Explained {
    fn id(&self) -> &str {
        &self.delivery.id
    }

    fn fields(&self) -> RowTexts<'_> {
        let mut fields = self.delivery.fields();
        fields.push(("why", Cow::Borrowed(&self.why)));
        fields
    }

    fn at(&self) -> Option<Timestamp> {
        self.delivery.at()
    }

    fn is_bad(&self) -> bool {
        self.delivery.is_bad()
    }
}

/// One line for each delivery.
pub const COLUMNS: [TableColumn<Explained>; 6] = [
    shows(delivery::INTEGRATION.share(12, 18, 0), |it: &Explained, _| plain(&*it.delivery.integration)),
    shows(delivery::STATE, |it: &Explained, look| {
        let (glyph, role) = look.theme.delivery(it.delivery.state);
        styled(
            role,
            format!("{glyph} {}", if it.delivery.running { "running" } else { it.delivery.state.word() }),
        )
    })
    .value(|it: &Explained| json!(it.delivery.state.word())),
    shows(delivery::ATTEMPTS, |it: &Explained, _| plain(it.delivery.attempts.to_string()))
        .value(|it: &Explained| json!(it.delivery.attempts)),
    shows(delivery::EVENT, |it: &Explained, _| plain(it.delivery.event.trim_start_matches("lead.")))
        .value(|it: &Explained| json!(it.delivery.event)),
    shows(delivery::SINCE, |it: &Explained, look| plain(time::age(look.now, it.delivery.at())))
        .value(|it: &Explained| json!(it.delivery.at())),
    shows(delivery::WHY.share(36, 250, 0), |it: &Explained, look| match it.why.as_str() {
        "" => styled(Role::Quiet, it.delivery.because()),
        // How it stands and since when is in the columns before: here begins what the sentence has besides.
        _ if it.is_at_rest() && !it.delivery.because().is_empty() => {
            plain(short_error(it.delivery.because()))
        }
        why => plain(retold(why, |at| time::stamp(at, look.zone))),
    })
    .value(|it: &Explained| json!(if it.why.is_empty() { it.delivery.because() } else { it.why.as_str() })),
];

#[derive(Debug)]
pub struct LeadScreen {
    uuid: String,
    company: i64,
    person: String,
    /// The integration whose delivery is to be selected first.
    wanted: Option<String>,
    /// The delivery that is to be selected first, whose lead it is where no uuid is known yet.
    delivery: Option<String>,
    fetch: Fetch<LeadPage>,
    flows: Fetch<Vec<Flow>>,
    table: Table<Explained>,
    page: PageScroll,
    event: PageScroll,
    has_page: bool,
    /// What happened at all integrations is shown, not at the selected one alone.
    shows_all: bool,
    rows: Cell<usize>,
}

const ACTIONS: [Action; 46] = [
    Action::Open,
    Action::Layout,
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
    Action::Wrap,
    Action::Mark,
    Action::Range,
    Action::MarkAll,
    Action::ClearMarks,
    Action::Retry,
    Action::Push,
    Action::EditFlow,
    Action::ToggleFlow,
    Action::Hold,
    Action::Release,
    Action::Skip,
    Action::Mapping,
    Action::Settings,
    Action::Credentials,
    Action::Test,
    Action::Toggle,
    Action::Evidence,
    Action::Reveal,
    Action::Actions,
    Action::OpenIntegration,
    Action::Pager,
    Action::InEditor,
    Action::Rotate,
    Action::Stage,
    Action::CutOver,
    Action::Revoke,
    Action::Reset,
    Action::Export,
    Action::Sort,
    Action::SortLeft,
    Action::SortRight,
    Action::Invert,
];

impl LeadScreen {
    /// Opens a lead; a company of 0 is found by the uuid.
    pub fn new(uuid: String, company: i64, person: String) -> Self {
        Self {
            uuid,
            company,
            person,
            wanted: None,
            delivery: None,
            fetch: Fetch::default(),
            flows: Fetch::default(),
            table: Table::default(),
            page: PageScroll::default(),
            event: PageScroll::default(),
            has_page: false,
            shows_all: false,
            rows: Cell::new(1),
        }
    }

    /// The same, with the delivery to this integration selected.
    pub fn at(mut self, integration: &str) -> Self {
        self.wanted = Some(integration.to_owned());
        self
    }

    /// Opens the lead of a delivery, with that one selected.
    pub fn of_delivery(id: String) -> Self {
        Self { delivery: Some(id), ..Self::new(String::new(), 0, String::new()) }
    }

    /// Who it is, as well as that is known.
    fn name(&self) -> &str {
        let known = [&self.person, &self.uuid].into_iter().find(|text| !text.is_empty());
        known.or(self.delivery.as_ref()).map_or("", |text| text)
    }

    /// Selects what it was opened for.
    fn select(&mut self) {
        let (wanted, delivery) = (self.wanted.take(), self.delivery.take());
        let is_wanted = |it: &&Explained| match &delivery {
            Some(id) => it.delivery.id == *id,
            None => Some(&it.delivery.integration_id) == wanted.as_ref(),
        };
        if let Some(id) = self.table.rows.iter().find(is_wanted).map(|it| it.delivery.id.clone()) {
            self.table.select(id);
        }
    }

    /// The steps of the integration that is selected, or of all, oldest first.
    fn steps<'s>(&self, page: &'s LeadPage) -> Vec<&'s Step> {
        let name = self.table.current().map(|it| it.delivery.integration.as_str());
        page.steps
            .iter()
            .filter(|step| {
                self.shows_all || step.integration.is_empty() || Some(step.integration.as_str()) == name
            })
            .collect()
    }

    /// The attempts among these steps, newest first.
    fn attempts(&self) -> Vec<Attempt> {
        let Some(page) = &self.fetch.value else { return Vec::new() };
        let whole = |attempt: &Attempt| Attempt {
            lead: self.uuid.clone(),
            lead_name: self.person.clone(),
            company_id: page.lead.company_id,
            company: page.lead.company.clone(),
            ..attempt.clone()
        };
        self.steps(page).into_iter().rev().filter_map(|step| step.attempt.as_deref().map(whole)).collect()
    }

    /// The flow that decides about the selected delivery: the one that it names, else one that sends there.
    fn flow(&self) -> Option<&Flow> {
        let it = self.table.current()?;
        let flows = self.flows.value.as_ref()?;
        let here = |flow: &&Flow| flow.targets.iter().any(|(id, _)| *id == it.delivery.integration_id);
        let called = |name: &String| flows.iter().filter(here).find(|flow| flow.name == *name);
        it.delivery.reason_flows.iter().find_map(called).or_else(|| flows.iter().find(here))
    }

    /// What the selected delivery's target made of the lead.
    fn records<'s>(&self, page: &'s LeadPage) -> impl Iterator<Item = &'s Record> {
        let at = self.table.current().map(|it| it.delivery.integration_id.clone());
        page.records.iter().filter(move |it| at.as_ref().is_none_or(|at| it.integration_id == *at))
    }
}

impl Screen for LeadScreen {
    fn crumb(&self, _: &Shared) -> String {
        self.name().to_owned()
    }

    fn actions(&self) -> &'static [Action] {
        &ACTIONS
    }

    fn perform(&mut self, action: Action, cx: &mut Cx<'_>) {
        match action {
            Action::Open => {
                let attempts = self.attempts();
                if attempts.is_empty() {
                    let place = if self.shows_all { "anywhere" } else { "there" };
                    return cx
                        .say(Tone::Plain, format!("nothing has been pushed {place} yet: the lines say why"));
                }
                cx.open(Box::new(AttemptScreen::new(attempts, 0)));
            }
            Action::Pane => {
                self.has_page = !self.has_page;
                self.table.hold();
            }
            Action::Layout => {
                self.shows_all = !self.shows_all;
                self.page.rewind();
            }
            Action::Wrap | Action::NextSection | Action::PreviousSection => {
                self.page.perform(action);
                self.event.perform(action);
            }
            Action::Pager | Action::InEditor => {
                if let Some(page) = &self.fetch.value {
                    let mut doc = Doc::default();
                    doc.body(&page.event);
                    cx.show_outside(action, &doc);
                }
            }
            _ if self.has_page && action.is_move() => {
                self.page.perform(action);
                self.event.perform(action);
            }
            _ => {
                let before = self.table.selected.clone();
                self.table.perform(&COLUMNS, cx.shared.now, action, 1, self.rows.get().max(1));
                if self.table.selected != before {
                    self.page.rewind();
                }
            }
        }
    }

    fn event(&mut self, event: Event<'_>, _: &mut Cx<'_>) {
        if matches!(event, Event::Done { .. }) {
            // What was retried is seen to arrive, although something else is the worst then.
            self.table.hold();
        }
        let taken = self.fetch.take(&event, |answer| match answer {
            Answer::Lead(page) => Some((**page).clone()),
            _ => None,
        });
        if let Some(page) = self.fetch.value.as_ref().filter(|_| taken) {
            (self.uuid, self.company) = (page.lead.uuid.clone(), page.lead.company_id);
            if self.person.is_empty() || !page.lead.name.is_empty() {
                page.lead.person().clone_into(&mut self.person);
            }
            self.table.set(page.deliveries.clone());
            self.select();
        }
        self.flows.take(&event, |answer| match answer {
            Answer::Flows(flows) => Some(flows.clone()),
            _ => None,
        });
    }

    fn load(&mut self, cx: &mut Cx<'_>) {
        let query = match &self.delivery {
            Some(delivery) if self.uuid.is_empty() => Query::LeadOf { delivery: delivery.clone() },
            _ => Query::Lead { uuid: self.uuid.clone(), company: self.company },
        };
        self.fetch.ask_anew(query, cx);
        // Those that are known count until the answer is there: an act between the two finds its flow.
        if self.company != 0 {
            self.flows.ask_anew(Query::Flows { company: self.company }, cx);
        }
    }

    fn normalize(&mut self, cx: &mut Cx<'_>) {
        cx.dropped(self.table.normalize(&COLUMNS, cx.shared.now));
        if self.company != 0 && self.flows.value.is_none() && self.flows.error.is_none() {
            self.flows.ask(Query::Flows { company: self.company }, cx);
        }
    }

    fn subject(&self, _: &Shared) -> Subject {
        let current = self.table.current();
        let page = self.fetch.value.as_ref();
        Subject {
            integration: current.map(|it| it.delivery.integration_id.clone()),
            company: Some(self.company).filter(|id| *id != 0),
            lead: (!self.uuid.is_empty()).then(|| (self.uuid.clone(), self.company, self.person.clone())),
            deliveries: self.table.chosen().into_iter().map(|it| chosen_delivery(&it.delivery)).collect(),
            flow: self.flow().cloned(),
            records: page.map(|page| self.records(page).cloned().collect()).unwrap_or_default(),
            record: page.map(|page| {
                json!({
                    "uuid": page.lead.uuid, "company_id": page.lead.company_id, "name": page.lead.name,
                    "email": page.lead.email, "state": page.lead.state, "received_at": page.lead.received_at,
                    "deliveries": page.deliveries.iter().map(|it| json!({
                        "id": it.delivery.id, "integration": it.delivery.integration,
                        "state": it.delivery.state.word(), "why": it.why, "error": it.delivery.error,
                    })).collect::<Vec<_>>(),
                    "records": page.records.iter().map(|it| json!({
                        "kind": it.kind, "id": it.id, "url": Some(&it.url).filter(|url| !url.is_empty()),
                        "integration_id": it.integration_id,
                    })).collect::<Vec<_>>(),
                })
            }),
            ..Subject::default()
        }
    }

    fn command(&self, _: &Shared) -> String {
        match &self.delivery {
            Some(id) => format!("leadline delivery show {id}"),
            None => format!("leadline lead trace {}", self.uuid),
        }
    }

    fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        picture::draw(self, view, frame, area);
    }

    fn places(&self, _: &Shared) -> Vec<JumpTarget> {
        let lead = self.fetch.value.iter().map(|page| JumpTarget::lead(&page.lead));
        let deliveries = self.table.rows.iter().map(|it| JumpTarget::delivery(&it.delivery));
        let flows = self.flows.value.iter().flatten().map(JumpTarget::flow);
        lead.chain(deliveries.take(TOLD)).chain(flows.take(TOLD)).collect()
    }

    fn back(&mut self) -> bool {
        std::mem::take(&mut self.has_page) || self.table.back()
    }

    fn filter(&self) -> Option<&Filter> {
        Some(&self.table.filter)
    }

    fn filter_mut(&mut self) -> Option<&mut Filter> {
        Some(&mut self.table.filter)
    }

    fn chips(&self) -> Vec<String> {
        self.table.only("dead").into_iter().collect()
    }

    fn period(&self, _: &Shared) -> Option<i64> {
        // What is under way is seen to end; a lead that is at rest is not asked for again and again.
        let moves =
            self.table.rows.iter().any(|it| it.delivery.running || it.delivery.state.word() == "pending");
        Some(if moves { 2 } else { 15 })
    }

    fn ages(&self, _: &Shared) -> Vec<Timestamp> {
        self.table.rows.iter().filter_map(|it| it.delivery.at()).collect()
    }

    fn label(&self, action: Action, _: &Shared) -> Option<String> {
        let marks = self.table.marks.len();
        match action {
            Action::Retry if marks > 0 => Some(format!("retry {marks} marked")),
            Action::Open if self.shows_all => Some("all attempts".to_owned()),
            Action::Open => Some("attempts".to_owned()),
            Action::Layout if self.shows_all => Some("of one integration".to_owned()),
            Action::Layout => Some("all integrations".to_owned()),
            Action::FailingOnly => Some("dead only".to_owned()),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Box<dyn List + '_>> {
        Some(Box::new(Listing(&mut self.table, &COLUMNS)))
    }
}
