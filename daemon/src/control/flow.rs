//! Flows: saved only if their condition can be read, and tried on stored leads.

use std::sync::Arc;

use leadline_proto::v1::{self, flow_service_server::FlowService};
use tonic::{Request, Response};

use super::{Control, Reply, check, convert::time, words};
use crate::{
    compute::{Compute, ComputeError},
    domain::{
        flow::{Condition, Undecided},
        ids::{CompanyId, FlowId},
        json::{Json, JsonError},
    },
    store::{
        flow::{FlowView, StoredEvent},
        operator::command::{Command, Refusal},
    },
};

/// The most integrations that a flow sends to.
const THEN_MAX: usize = 1000;
/// How many leads are read at once for a test: an event may have 256 KiB.
const TEST_PAGE: i64 = 32;
/// How many leads a test asks about unless told otherwise, and at most.
const TEST_USUAL: u32 = 500;
const TEST_MOST: u32 = 10_000;
/// How many leads the answer to a test names of each kind.
const SAMPLE: usize = 10;

#[tonic::async_trait]
impl FlowService for Control {
    async fn create_flow(&self, request: Request<v1::CreateFlowRequest>) -> Reply<v1::CreateFlowResponse> {
        let compute = self.compute.clone();
        self.mutate(request, |command, request| async move {
            let (command, flow) = create(compute, command, request).await?;
            Ok((command, v1::CreateFlowResponse { flow: Some(flow) }))
        })
        .await
    }

    async fn list_flows(&self, request: Request<v1::ListFlowsRequest>) -> Reply<v1::ListFlowsResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = check::behind(after)?;
        let flows = self.store.flow_views(check::optional(&request.company), after, limit).await?;
        let next_page_token = words::next_page(&flows, limit, |flow| flow.id.to_string());
        let flows = flows.into_iter().map(v1::Flow::from).collect();
        Ok(Response::new(v1::ListFlowsResponse { flows, next_page_token }))
    }

    async fn get_flow(&self, request: Request<v1::GetFlowRequest>) -> Reply<v1::GetFlowResponse> {
        let flow = self.store.flow_view(&request.get_ref().flow).await?;
        Ok(Response::new(v1::GetFlowResponse { flow: Some(flow.into()) }))
    }

    async fn update_flow(&self, request: Request<v1::UpdateFlowRequest>) -> Reply<v1::UpdateFlowResponse> {
        let compute = self.compute.clone();
        self.mutate(request, |command, request| async move {
            let (command, flow) = update(compute, command, request).await?;
            Ok((command, v1::UpdateFlowResponse { flow: Some(flow) }))
        })
        .await
    }

    async fn delete_flow(&self, request: Request<v1::DeleteFlowRequest>) -> Reply<v1::DeleteFlowResponse> {
        self.mutate(request, |mut command, request| async move {
            let (company, flow) = command.flow(&request.flow).await?;
            command.delete_flow(&flow).await?;
            command.audit(company.id, &target(flow.id), Some(flow.audited()), None).await?;
            let warnings = unreached(&mut command, company.id).await?;
            Ok((command, v1::DeleteFlowResponse { id: flow.id.to_string(), warnings }))
        })
        .await
    }

    async fn ask_flows_again(
        &self,
        request: Request<v1::AskFlowsAgainRequest>,
    ) -> Reply<v1::AskFlowsAgainResponse> {
        self.ask_again(request).await
    }

    async fn test_flow(&self, request: Request<v1::TestFlowRequest>) -> Reply<v1::TestFlowResponse> {
        let request = request.into_inner();
        let (company, when) = self.what_to_test(&request).await?;
        let condition = Arc::new(self.read(company, &when).await?);
        let last = match request.last {
            0 => TEST_USUAL,
            last @ 1..=TEST_MOST => last,
            last => check::invalid(format!("last {last}: at most {TEST_MOST} leads"))?,
        };
        let mut report = v1::TestFlowResponse { when, ..Default::default() };
        let mut after = None;
        while report.tested < last {
            let page = TEST_PAGE.min(i64::from(last - report.tested));
            let events = self.store.stored_events(company, after, page).await?;
            after = events.last().map(|event| event.place);
            let is_last = (events.len() as i64) < page;
            for event in events {
                let (uuid, condition) = (event.uuid.clone(), Arc::clone(&condition));
                let answer = self.compute.run(company, move || ask(&condition, &event)).await;
                count(&mut report, uuid, answer.unwrap_or_else(|error| Err(error.into())));
            }
            if is_last {
                break;
            }
        }
        Ok(Response::new(report))
    }
}

impl Control {
    /// Reads a condition that is only tried.
    async fn read(&self, company: CompanyId, when: &str) -> Result<Condition, Refusal> {
        let source = when.to_owned();
        let read = self.compute.run(company, move || Condition::compile(&source)).await.map_err(untried)?;
        read.or_else(|problem| check::invalid(format!("when: {problem}")))
    }

    /// The company and the condition that a test means.
    async fn what_to_test(&self, request: &v1::TestFlowRequest) -> Result<(CompanyId, String), Refusal> {
        match (request.flow.as_str(), request.company.as_str(), request.when.as_str()) {
            ("", "", _) => check::invalid("name a flow, or a company and a condition"),
            ("", _, "") => check::invalid("when: give the condition to test, or name a flow"),
            ("", company, when) => Ok((self.store.find_company(company).await?, when.to_owned())),
            (flow, "", when) => {
                let flow = self.store.flow_view(flow).await?;
                Ok((flow.company, check::optional(when).map_or(flow.when, ToOwned::to_owned)))
            }
            _ => check::invalid("name a flow or a company, not both: a flow has its company"),
        }
    }
}

/// Why a condition says nothing about a stored lead.
#[derive(Debug, thiserror::Error)]
enum Untested {
    #[error("the stored event cannot be read")]
    Event(#[from] JsonError),
    #[error("a newer version of leadlined took the event in, and this one does not know its kind")]
    Kind,
    #[error(transparent)]
    Condition(#[from] Undecided),
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

/// What a condition says about a stored lead.
fn ask(condition: &Condition, event: &StoredEvent) -> Result<bool, Untested> {
    let json = Json::parse(&event.body)?;
    let kind = event.kind.known().ok_or(Untested::Kind)?;
    Ok(condition.holds(&json, kind)?)
}

/// Counts one lead more.
fn count(report: &mut v1::TestFlowResponse, lead: String, answer: Result<bool, Untested>) {
    report.tested += 1;
    match answer {
        Ok(true) => {
            report.sent += 1;
            if report.sample.len() < SAMPLE {
                report.sample.push(lead);
            }
        }
        Ok(false) => report.kept_away += 1,
        Err(error) => {
            report.failed += 1;
            if report.errors.len() < SAMPLE {
                report.errors.push(v1::FlowTestError { lead, error: error.to_string() });
            }
        }
    }
}

async fn create(
    compute: Compute,
    mut command: Box<Command>,
    request: v1::CreateFlowRequest,
) -> Result<(Box<Command>, v1::Flow), Refusal> {
    let name = check::name(&request.name)?;
    let company = command.company(&request.company).await?;
    let warning = check_condition(&compute, company.id, &request.when).await?;
    command.flow_name_is_free(company.id, name).await?;
    let count = command.room_for_flow(company.id).await?;
    let flow = FlowView {
        company: company.id,
        id: FlowId::generate(),
        name: name.to_owned(),
        position: position(request.position, count + 1),
        when: request.when,
        then: targets(&mut command, company.id, &request.then).await?,
        enabled: !request.disabled,
        stop: request.stop,
        created_at: jiff::Timestamp::UNIX_EPOCH,
    };
    command.write_flow(&flow).await?;
    answer(command, &flow, None, warning).await
}

async fn update(
    compute: Compute,
    mut command: Box<Command>,
    request: v1::UpdateFlowRequest,
) -> Result<(Box<Command>, v1::Flow), Refusal> {
    let (company, mut flow) = command.flow(&request.flow).await?;
    let before = flow.audited();
    if let Some(name) = &request.name {
        let name = check::name(name)?;
        if name != flow.name {
            command.flow_name_is_free(company.id, name).await?;
            flow.name = name.to_owned();
        }
    }
    let mut warning = None;
    if let Some(when) = request.when {
        warning = check_condition(&compute, company.id, &when).await?;
        flow.when = when;
    }
    if !request.then.is_empty() {
        flow.then = targets(&mut command, company.id, &request.then).await?;
    }
    if let Some(asked) = request.position {
        flow.position = position(asked, i64::from(i32::MAX));
    }
    flow.enabled = request.enabled.unwrap_or(flow.enabled);
    flow.stop = request.stop.unwrap_or(flow.stop);
    command.write_flow(&flow).await?;
    answer(command, &flow, Some(before), warning).await
}

/// The flow as it was saved, audited, with what to know of it.
async fn answer(
    mut command: Box<Command>,
    flow: &FlowView,
    before: Option<serde_json::Value>,
    warning: Option<String>,
) -> Result<(Box<Command>, v1::Flow), Refusal> {
    let saved = command.flow_view(flow.company, flow.id).await?;
    command.audit(flow.company, &target(flow.id), before, Some(saved.audited())).await?;
    let mut warnings: Vec<String> = warning.into_iter().collect();
    for name in command.takers_of_all(flow.company, &flow.then).await? {
        warnings.push(format!(
            "integration {name:?} takes every lead, whatever flows say: set its routing to flows to leave it to them"
        ));
    }
    warnings.extend(unreached(&mut command, flow.company).await?);
    Ok((command, v1::Flow { warnings, ..saved.into() }))
}

async fn unreached(command: &mut Command, company: CompanyId) -> Result<Vec<String>, Refusal> {
    let names = command.unreached(company).await?;
    Ok(names
        .iter()
        .map(|name| format!("no flow sends leads to integration {name:?}, which takes only what flows send"))
        .collect())
}

/// Reads a condition that is to be saved. Answers for which leads it cannot be evaluated.
async fn check_condition(
    compute: &Compute,
    company: CompanyId,
    when: &str,
) -> Result<Option<String>, Refusal> {
    let source = when.to_owned();
    match compute.run(company, move || Condition::check(&source)).await.map_err(untried)? {
        Ok((_, warning)) => Ok(warning.map(|warning| format!("when: {warning}"))),
        Err(problem) => check::invalid(format!("when: {problem}")),
    }
}

fn untried(error: ComputeError) -> Refusal {
    Refusal::State(format!("the condition could not be tried: {error}"))
}

async fn targets(
    command: &mut Command,
    company: CompanyId,
    then: &[String],
) -> Result<Vec<(crate::domain::ids::IntegrationId, String)>, Refusal> {
    match then.len() {
        0 => check::invalid("then: name at least one integration that its leads go to"),
        1..=THEN_MAX => command.integrations_meant(company, then).await,
        many => check::invalid(format!("then: {many} integrations; at most {THEN_MAX}; name fewer")),
    }
}

/// A place in the order; 0 is the last.
fn position(asked: u32, last: i64) -> i32 {
    let place = if asked == 0 { last } else { i64::from(asked) };
    i32::try_from(place).unwrap_or(i32::MAX)
}

fn target(flow: FlowId) -> String {
    format!("flow {flow}")
}

impl From<FlowView> for v1::Flow {
    fn from(flow: FlowView) -> Self {
        let then = flow
            .then
            .into_iter()
            .map(|(id, name)| v1::FlowTarget { integration_id: id.to_string(), integration_name: name });
        Self {
            id: flow.id.to_string(),
            company_id: flow.company.0,
            name: flow.name,
            when: flow.when,
            then: then.collect(),
            enabled: flow.enabled,
            stop: flow.stop,
            position: flow.position.max(0).unsigned_abs(),
            created_at: Some(time(flow.created_at)),
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::integration::EventKind,
        store::{lead::place::LeadPlace, shown::Shown},
    };

    #[test]
    fn a_lead_of_an_unknown_kind_is_told_as_such() {
        let event = |kind: &str| {
            let place = LeadPlace::first();
            let kind = Shown::read(kind, EventKind::parse);
            StoredEvent { lead: place.lead, place, uuid: "ada".to_owned(), kind, body: "{}".into() }
        };
        let condition = Condition::compile("true").unwrap();
        assert!(ask(&condition, &event("lead.created")).unwrap());
        assert_eq!(
            ask(&condition, &event("lead.merged")).unwrap_err().to_string(),
            "a newer version of leadlined took the event in, and this one does not know its kind",
        );
    }
}
