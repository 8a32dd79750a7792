//! Questions to the daemon, each as the calls that answer it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use leadline_client::{Client, PAGE_MAX, outcome};
use leadline_proto::v1;

use super::{CallFailure, change, convert};
use crate::console::data::integration::Figures;
use crate::console::data::lead::{Explained, Searched};
use crate::console::data::query::{DeliveryQuery, FlowTest, Page, Preview};
use crate::console::data::{Answer, CompanyPage, Delivery, LeadPage, Query};
use crate::moment::reported;
/// How many rows of a list are asked for at once.
const PAGE: u32 = 200;
/// How many leads are found at once.
const HITS: u32 = 50;
/// How often a delivery is read that moves on meanwhile.
const READINGS: usize = 3;

/// Asks, and answers in the console's own types.
pub(super) async fn ask(client: &Client, query: Query) -> Result<Answer, CallFailure> {
    Ok(match query {
        Query::Detail { attempt } => {
            let reply = client.get_attempt(v1::GetAttemptRequest { id: attempt }).await?;
            let attempt = convert::attempt(reply.attempt.unwrap_or_default());
            let detail = convert::detail(&attempt, reply.detail.unwrap_or_default());
            Answer::Detail(Box::new((attempt, detail)))
        }
        Query::Estimate(mutation) => Answer::Estimate(change::estimate(client, *mutation).await?),
        Query::Deliveries { which, after } => deliveries(client, which, after).await?,
        Query::OlderAttempts { integration, after } => older_attempts(client, integration, after).await?,
        Query::Find { text, company } => find(client, text, company).await?,
        Query::FindAnywhere { text, company, after } => find_anywhere(client, text, company, after).await?,
        Query::Lead { uuid, company } => Answer::Lead(Box::new(lead(client, uuid, company).await?)),
        Query::LeadOf { delivery } => Answer::Lead(Box::new(lead_of(client, delivery).await?)),
        Query::Reveal { uuid, company } => reveal(client, uuid, company).await?,
        Query::Evidence { uuid, company, json, mask } => evidence(client, uuid, company, json, mask).await?,
        Query::Causes { company, snoozed } => causes(client, company, snoozed).await?,
        Query::Jobs { company, after } => {
            let company = company.map(reference).unwrap_or_default();
            let request = v1::ListJobsRequest { company, page_size: PAGE, page_token: after };
            let reply = client.list_jobs(request).await?;
            let rows = reply.jobs.into_iter().map(convert::job).collect();
            Answer::Jobs { rows, next: reply.next_page_token }
        }
        Query::Activity { company, after } => activity(client, company, after).await?,
        Query::System => {
            let reply = client.get_system(v1::GetSystemRequest {}).await?;
            Answer::System(Box::new(convert::system(reply)))
        }
        Query::Figures { company } => Answer::Figures(figures(client, company).await?),
        Query::Companies => {
            let request = v1::ListCompaniesRequest { page_size: PAGE_MAX, ..Default::default() };
            let reply = client.list_companies(request).await?;
            Answer::Companies(reply.companies.into_iter().map(convert::company).collect())
        }
        Query::Company { id } => Answer::Company(Box::new(company(client, id).await?)),
        Query::CompanyOf { flow } => {
            let flow = client.get_flow(v1::GetFlowRequest { flow }).await?;
            Answer::Company(Box::new(company(client, flow.company_id).await?))
        }
        Query::Preview { integration, lead, mapping } => preview(client, integration, lead, mapping).await?,
        Query::Proposals { integration } => {
            let found = client.get_integration(v1::GetIntegrationRequest { integration }).await?;
            Answer::Proposals(found.proposals.into_iter().map(convert::proposal).collect())
        }
        Query::Connectors => {
            Answer::Connectors(client.all_connectors().await?.into_iter().map(convert::connector).collect())
        }
        Query::Flows { company } => {
            let request =
                v1::ListFlowsRequest { company: company.to_string(), page_size: PAGE, ..Default::default() };
            let reply = client.list_flows(request).await?;
            Answer::Flows(reply.flows.into_iter().map(convert::flow).collect())
        }
        Query::TestFlow { flow, when } => {
            let request = v1::TestFlowRequest { flow, when, ..Default::default() };
            let reply = client.test_flow(request).await?;
            let error = reply.errors.first().map(|error| error.error.clone()).unwrap_or_default();
            let v1::TestFlowResponse { tested, sent, kept_away, failed, .. } = reply;
            Answer::FlowTest(FlowTest { tested, sent, kept_away, failed, error })
        }
    })
}

/// What happened last, or behind a page.
async fn activity(client: &Client, company: Option<i64>, after: String) -> Result<Answer, CallFailure> {
    let company = company.map(reference).unwrap_or_default();
    let request =
        v1::ListActivityRequest { company, page_size: 100, page_token: after, ..Default::default() };
    let reply = client.list_activity(request).await?;
    let rows = reply.activities.into_iter().filter_map(convert::activity).collect();
    Ok(Answer::Activity { rows, next: reply.next_page_token })
}

/// The causes of one company, or of all.
async fn causes(client: &Client, company: Option<i64>, snoozed: bool) -> Result<Answer, CallFailure> {
    let request = v1::ListFailuresRequest {
        company: company.map(reference).unwrap_or_default(),
        include_snoozed: snoozed,
        page_size: PAGE,
        ..Default::default()
    };
    let reply = client.list_failures(request).await?;
    let rows = reply.failures.into_iter().map(convert::cause).collect();
    Ok(Answer::Causes { rows, snoozed: reply.snoozed, more: !reply.next_page_token.is_empty() })
}

/// Attempts behind those that are known.
async fn older_attempts(client: &Client, integration: String, after: String) -> Result<Answer, CallFailure> {
    let request =
        v1::ListAttemptsRequest { integration, page_size: 50, page_token: after, ..Default::default() };
    let reply = client.list_attempts(request).await?;
    Ok(Answer::Attempts(reply.attempts.into_iter().map(convert::attempt).collect()))
}

/// Who a lead is, in a line.
async fn reveal(client: &Client, uuid: String, company: i64) -> Result<Answer, CallFailure> {
    let it = client.reveal(v1::RevealRequest { uuid, company: reference(company) }).await?;
    let parts = [it.name, it.email, it.phone].into_iter().filter(|part| !part.is_empty());
    Ok(Answer::Document(parts.collect::<Vec<_>>().join(" · ")))
}

/// A lead's history as a document.
async fn evidence(
    client: &Client,
    uuid: String,
    company: i64,
    json: bool,
    mask: bool,
) -> Result<Answer, CallFailure> {
    let format = if json { v1::EvidenceFormat::Json } else { v1::EvidenceFormat::Markdown };
    let request = v1::GetEvidenceRequest { uuid, company: reference(company), format: format.into(), mask };
    let reply = client.get_evidence(request).await?;
    Ok(Answer::Document(String::from_utf8_lossy(&reply.document).into_owned()))
}

/// A company by its id; 0 is none.
fn reference(company: i64) -> String {
    if company == 0 { String::new() } else { company.to_string() }
}

/// Deliveries in these states. What waits, is held or dead stands in small tables, what was skipped among all deliveries: so
/// that nothing waits until that is found, it stands behind the others.
async fn deliveries(client: &Client, which: DeliveryQuery, after: String) -> Result<Answer, CallFailure> {
    const SKIPPED: &str = "skipped";
    let open: Vec<_> = which.states.iter().copied().filter(|state| *state != SKIPPED).collect();
    if open.is_empty() || open.len() == which.states.len() {
        let Page { rows, next, reached } = deliveries_page(client, which, after).await?;
        return Ok(Answer::Deliveries { rows, next, reached });
    }
    let (mut rows, token) = match after.strip_prefix(SKIPPED) {
        Some(token) => (Vec::new(), token.to_owned()),
        None => {
            let page =
                deliveries_page(client, DeliveryQuery { states: open, ..which.clone() }, after).await?;
            if !page.next.is_empty() {
                return Ok(Answer::Deliveries { rows: page.rows, next: page.next, reached: page.reached });
            }
            (page.rows, String::new())
        }
    };
    let page = deliveries_page(client, DeliveryQuery { states: vec![SKIPPED], ..which }, token).await?;
    rows.extend(page.rows);
    let next = if page.next.is_empty() { page.next } else { format!("{SKIPPED}{}", page.next) };
    Ok(Answer::Deliveries { rows, next, reached: page.reached })
}

async fn deliveries_page(
    client: &Client,
    which: DeliveryQuery,
    after: String,
) -> Result<Page<Delivery>, CallFailure> {
    let states =
        which.states.iter().filter_map(|word| v1::DeliveryState::from_word(word)).map(i32::from).collect();
    let filter = v1::DeliveryFilter {
        company: which.company.map(reference).unwrap_or_default(),
        integration: which.integration,
        cause: which.cause,
        job_id: which.job,
        states,
        ..Default::default()
    };
    let request = v1::ListDeliveriesRequest { filter: Some(filter), page_size: PAGE, page_token: after };
    let reply = client.list_deliveries(request).await?;
    let rows = reply.deliveries.into_iter().map(convert::delivery).collect();
    Ok(Page { rows, next: reply.next_page_token, reached: reported(reply.searched_back_to) })
}

/// What the text finds; without one, the newest leads.
async fn find(client: &Client, text: String, company: Option<i64>) -> Result<Answer, CallFailure> {
    let company = company.map(reference).unwrap_or_default();
    let (leads, next) = if text.is_empty() {
        let reply = client
            .list_leads(v1::ListLeadsRequest { company, page_size: HITS, ..Default::default() })
            .await?;
        (reply.leads, reply.next_page_token)
    } else {
        let reply = client
            .find_leads(v1::FindLeadsRequest { text, company, page_size: HITS, ..Default::default() })
            .await?;
        (reply.leads, reply.next_page_token)
    };
    let rows = leads.into_iter().map(convert::lead).collect();
    Ok(Answer::Leads { rows, more: !next.is_empty(), searched: None })
}

/// The newest leads that say the text anywhere.
async fn find_anywhere(
    client: &Client,
    text: String,
    company: Option<i64>,
    after: String,
) -> Result<Answer, CallFailure> {
    let company = company.map(reference).unwrap_or_default();
    let request = v1::FindLeadsAnywhereRequest { text, company, page_size: HITS, page_token: after };
    let reply = client.find_leads_anywhere(request).await?;
    let searched = Searched {
        leads: reply.searched,
        back_to: reported(reply.searched_back_to),
        next: reply.next_page_token,
    };
    let rows = reply.matches.into_iter().map(convert::lead_that_says).collect();
    Ok(Answer::Leads { rows, more: false, searched: Some(searched) })
}

/// A lead, its deliveries each with why it is where it is, and everything that happened.
async fn lead(client: &Client, uuid: String, company: i64) -> Result<LeadPage, CallFailure> {
    let company = reference(company);
    let got = client.get_lead(v1::GetLeadRequest { uuid: uuid.clone(), company: company.clone() });
    let traced = client.trace_lead(v1::TraceLeadRequest { uuid, company });
    let (got, traced) = futures::future::try_join(got, traced).await?;
    let explained = got.deliveries.into_iter().map(|delivery| explained(client, delivery));
    let mut deliveries = join_all(explained).await;
    deliveries.sort_by(|a, b| {
        let key = |it: &Explained| (it.delivery.state, it.delivery.integration.clone());
        key(a).cmp(&key(b))
    });
    Ok(LeadPage {
        lead: convert::lead(got.lead.unwrap_or_default()),
        event: got.event,
        deliveries,
        steps: traced.steps.into_iter().map(convert::step).collect(),
        records: traced.records.into_iter().map(convert::record).collect(),
    })
}

/// The lead of a delivery, with everything.
async fn lead_of(client: &Client, id: String) -> Result<LeadPage, CallFailure> {
    let reply = client.get_delivery(v1::GetDeliveryRequest { id }).await?;
    let delivery = reply.delivery.unwrap_or_default();
    lead(client, delivery.lead, delivery.company_id).await
}

/// A delivery with why it is where it is. The two are read one after the other, so a delivery that moves on between is
/// read again: a sentence about another state than the one beside it would be believed.
pub(super) async fn explained(client: &Client, mut delivery: v1::Delivery) -> Explained {
    for _ in 0..READINGS {
        if delivery.state() == v1::DeliveryState::Delivered {
            break;
        }
        let id = delivery.id.clone();
        // One that is gone meanwhile is shown without.
        let Ok(reply) = client.explain_delivery(v1::ExplainDeliveryRequest { id: id.clone() }).await else {
            break;
        };
        if reply.state == delivery.state {
            return convert::explained(delivery, reply);
        }
        match client.get_delivery(v1::GetDeliveryRequest { id }).await.map(|reply| reply.delivery) {
            Ok(Some(now)) => delivery = now,
            _ => break,
        }
    }
    Explained { delivery: convert::delivery(delivery), why: String::new() }
}

/// What integrations came to, page by page.
async fn figures(
    client: &Client,
    company: Option<i64>,
) -> Result<BTreeMap<String, Arc<Figures>>, CallFailure> {
    let company = company.map(reference).unwrap_or_default();
    let (mut figures, mut page_token) = (BTreeMap::new(), String::new());
    loop {
        let company = company.clone();
        let request = v1::ListIntegrationsRequest {
            company,
            page_size: PAGE,
            page_token,
            with_trends: true,
            badges: Vec::new(),
        };
        let reply = client.list_integrations(request).await?;
        for it in reply.integrations {
            figures.insert(it.id, Arc::new(convert::figures(it.health.unwrap_or_default())));
        }
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok(figures);
        }
    }
}

/// A company's page, with the posts that the intake refused of each of its keys.
async fn company(client: &Client, id: i64) -> Result<CompanyPage, CallFailure> {
    let reply = client.get_company_page(v1::GetCompanyPageRequest { company: id.to_string() }).await?;
    let refused = reply.keys.iter().map(|key| {
        let request = v1::ListRefusalsRequest { key: key.id.clone(), page_size: 20, ..Default::default() };
        let prefix = key.prefix.clone();
        async move { client.list_refusals(request).await.map(|reply| (prefix, reply.refusals)) }
    });
    let mut posts = Vec::new();
    for listed in join_all(refused).await {
        let (prefix, refusals) = listed?;
        posts.extend(refusals.into_iter().map(|post| convert::refused(&prefix, post)));
    }
    posts.sort_by_key(|post| std::cmp::Reverse(post.at));
    let last: BTreeMap<String, _> =
        posts.iter().rev().map(|post| (post.key_prefix.clone(), post.at)).collect();
    posts.truncate(20);
    let keys = reply.keys.into_iter().map(|key| {
        let refused_at = last.get(&key.prefix).copied().flatten();
        convert::key(key, refused_at)
    });
    Ok(CompanyPage {
        keys: keys.collect(),
        company: convert::company(reply.company.unwrap_or_default()),
        leads_24h: reply.leads_24h,
        refused_24h: reply.refused_24h,
        flows: reply.flows.into_iter().map(convert::flow).collect(),
        refused: posts,
    })
}

async fn preview(
    client: &Client,
    integration: String,
    lead: String,
    mapping: Option<String>,
) -> Result<Answer, CallFailure> {
    let request = v1::PreviewIntegrationRequest { integration, lead, mapping, ..Default::default() };
    let reply = client.preview_integration(request).await?;
    let outcome = outcome(&reply).to_owned();
    let (line, body) = match reply.request {
        Some(request) => (format!("{} {}", request.method, request.url), request.body),
        None => (outcome, Vec::new()),
    };
    Ok(Answer::Preview(Box::new(Preview {
        canonical: reply.canonical,
        request: line,
        body,
        plan: reply.plan,
        error: reply.error,
    })))
}
