//! Leads: what became of them, finding them, and everything that is kept of a person.

use std::pin::Pin;

use futures::{Stream, stream};
use leadline_proto::v1::{self, lead_service_server::LeadService};
use serde_json::{json, value::RawValue};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Control, Reply, check, convert, import::ImportReplies, mutate, status, words};
use crate::{
    domain::{
        evidence::Evidence,
        ids::{CompanyId, LeadId},
        person,
    },
    store::{
        Store,
        lead::place::LeadPlace,
        operator::{
            command::Refusal,
            reading::Reading,
            refusal::{Known, RefusalReason},
        },
    },
    telemetry,
};

type Pieces = Pin<Box<dyn Stream<Item = Result<v1::ExportPersonResponse, Status>> + Send>>;

#[tonic::async_trait]
impl LeadService for Control {
    async fn list_leads(&self, request: Request<v1::ListLeadsRequest>) -> Reply<v1::ListLeadsResponse> {
        let request = request.into_inner();
        let (limit, token) = check::page(request.page_size, &request.page_token)?;
        let state = words::read_lead_state(request.state)?;
        let company = check::optional(&request.company);
        let store = self.store.for_lists().await;
        let after = behind(&store, company, token).await?;
        let page = store.lead_views(company, state, after, limit).await?;
        Ok(Response::new(v1::ListLeadsResponse {
            next_page_token: words::next_of(&page, limit, |lead| lead.place()),
            searched_back_to: page.stopped.map(|place| convert::time(place.received_at)),
            leads: page.rows.into_iter().map(v1::Lead::from).collect(),
        }))
    }

    async fn get_lead(&self, request: Request<v1::GetLeadRequest>) -> Reply<v1::GetLeadResponse> {
        let request = request.into_inner();
        let company = check::optional(&request.company);
        let found = self.store.lead_view(company, &request.uuid).await?;
        Ok(Response::new(v1::GetLeadResponse {
            lead: Some(found.lead.into()),
            event: found.event.into(),
            deliveries: found.deliveries.into_iter().map(v1::Delivery::from).collect(),
        }))
    }

    async fn find_leads(&self, request: Request<v1::FindLeadsRequest>) -> Reply<v1::FindLeadsResponse> {
        let masked = mutate::caller(&request)?.masked;
        let request = request.into_inner();
        let (limit, token) = check::page(request.page_size, &request.page_token)?;
        let asked = check::optional(&request.company);
        let company = self.store.find_optional_company(asked).await?;
        let patterns = patterns(&request.text, masked)?;
        let store = self.store.for_lists().await;
        let after = behind(&store, asked, token).await?;
        let found = store.find_leads(company, patterns, after, limit).await?;
        Ok(Response::new(v1::FindLeadsResponse {
            next_page_token: words::next_page(&found.leads, limit, |lead| lead.place().to_string()),
            leads: found.leads.into_iter().map(v1::Lead::from).collect(),
            is_scan: found.is_scan,
        }))
    }

    async fn find_leads_anywhere(
        &self,
        request: Request<v1::FindLeadsAnywhereRequest>,
    ) -> Reply<v1::FindLeadsAnywhereResponse> {
        self.find_anywhere(request).await
    }

    async fn reveal(&self, request: Request<v1::RevealRequest>) -> Reply<v1::RevealResponse> {
        let operator = mutate::caller(&request)?.operator.clone();
        let request = request.into_inner();
        let found = self.store.lead_view(check::optional(&request.company), &request.uuid).await?;
        let lead = found.lead;
        // Before it is told: no reading goes without its line.
        let reading = Reading { company: lead.company, lead: lead.id, operator };
        self.store.note_readings(&[reading], "Reveal").await?;
        Ok(Response::new(v1::RevealResponse {
            uuid: lead.uuid,
            company_id: lead.company.0,
            name: lead.person.name,
            email: lead.person.email,
            phone: lead.person.phone,
            event: found.event.into(),
        }))
    }

    async fn get_evidence(&self, request: Request<v1::GetEvidenceRequest>) -> Reply<v1::GetEvidenceResponse> {
        let request = request.into_inner();
        let company = check::optional(&request.company);
        let (lead, evidence, values) = self.store.for_lists().await.evidence(company, &request.uuid).await?;
        let evidence = self.with_records(lead, evidence).await?;
        let evidence = if request.mask { evidence.mask(&values) } else { evidence };
        let (document, content_type) = match v1::EvidenceFormat::try_from(request.format) {
            Ok(v1::EvidenceFormat::Unspecified | v1::EvidenceFormat::Markdown) => {
                (evidence.markdown().into_bytes(), "text/markdown")
            }
            Ok(v1::EvidenceFormat::Json) => (printed(&evidence)?, "application/json"),
            Err(_) => check::invalid(format!("format {}: use a value of EvidenceFormat", request.format))?,
        };
        Ok(Response::new(v1::GetEvidenceResponse { document, content_type: content_type.to_owned() }))
    }

    async fn trace_lead(&self, request: Request<v1::TraceLeadRequest>) -> Reply<v1::TraceLeadResponse> {
        let request = request.into_inner();
        let (lead, steps) = self.store.trace(check::optional(&request.company), &request.uuid).await?;
        let records = self.records(lead.company, lead.id, None).await?;
        let steps = steps.into_iter().map(v1::TraceStep::from).collect();
        Ok(Response::new(v1::TraceLeadResponse { lead: Some(lead.into()), steps, records }))
    }

    async fn push_leads(&self, request: Request<v1::PushLeadsRequest>) -> Reply<v1::PushLeadsResponse> {
        self.push(request).await
    }

    type ImportLeadsStream = ImportReplies;

    async fn import_leads(
        &self,
        request: Request<Streaming<v1::ImportLeadsRequest>>,
    ) -> Reply<Self::ImportLeadsStream> {
        self.import(request).await
    }

    async fn erase_lead(&self, request: Request<v1::EraseLeadRequest>) -> Reply<v1::EraseLeadResponse> {
        let answer = self
            .mutate(request, |mut command, request| async move {
                let erased = command.erase_lead(check::optional(&request.company), &request.uuid).await?;
                let after = json!({
                    "erased": true,
                    "skipped": erased.skipped,
                    "deliveries": erased.deliveries,
                    "attempts": erased.attempts,
                });
                command.audit(erased.company, &format!("lead {}", erased.lead), None, Some(after)).await?;
                Ok((command, erased.into()))
            })
            .await?;
        self.clean_up_erasures();
        Ok(answer)
    }

    type ExportPersonStream = Pieces;

    async fn export_person(
        &self,
        request: Request<v1::ExportPersonRequest>,
    ) -> Reply<Self::ExportPersonStream> {
        let operator = mutate::caller(&request)?.operator.clone();
        let request = request.into_inner();
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let leads = self.store.leads_of_person(company, &request.email).await?;
        if leads.is_empty() {
            Err(nobody(&request.email))?;
        }
        // Before the first word of them is told.
        let readings: Vec<_> = leads
            .iter()
            .map(|(company, lead)| Reading { company: *company, lead: *lead, operator: operator.clone() })
            .collect();
        self.store.note_readings(&readings, "ExportPerson").await?;
        let export = Export { control: self.clone(), email: request.email, leads, next: 0 };
        Ok(Response::new(Box::pin(stream::try_unfold(export, |mut export| async move {
            let piece = export.piece().await?;
            Ok(piece.map(|json| (v1::ExportPersonResponse { json }, export)))
        }))))
    }

    async fn erase_person(&self, request: Request<v1::ErasePersonRequest>) -> Reply<v1::ErasePersonResponse> {
        let asked = request.get_ref();
        let company = self.store.find_optional_company(check::optional(&asked.company)).await?;
        let leads = self.store.leads_of_person(company, &asked.email).await?;
        if asked.dry_run {
            let found = self.store.leads_by_ids_of(&leads).await?;
            let uuids = found.into_iter().map(|lead| lead.uuid).collect();
            return Ok(Response::new(v1::ErasePersonResponse { uuids, ..Default::default() }));
        }
        let answer = self
            .mutate(request, |mut command, request| async move {
                if leads.is_empty() {
                    return Err(nobody(&request.email));
                }
                let mut answer = v1::ErasePersonResponse::default();
                for (company, lead) in leads {
                    let erased = command.erase_lead(Some(&company.to_string()), &lead.to_string()).await?;
                    let after = json!({ "erased": true, "skipped": erased.skipped,
                        "deliveries": erased.deliveries, "attempts": erased.attempts });
                    command.audit(company, &format!("lead {lead}"), None, Some(after)).await?;
                    answer.skipped += erased.skipped;
                    answer.deliveries += erased.deliveries;
                    answer.attempts += erased.attempts;
                    answer.running += erased.running;
                    answer.uuids.push(erased.uuid);
                }
                Ok((command, answer))
            })
            .await?;
        self.clean_up_erasures();
        Ok(answer)
    }
}

/// The place behind which a page begins: the next_page_token of the page before, or the uuid of the last lead on it.
pub(super) async fn behind(
    store: &Store,
    company: Option<&str>,
    token: &str,
) -> Result<Option<LeadPlace>, Refusal> {
    match (token.parse(), token.parse::<LeadId>()) {
        (Ok(place), _) => Ok(Some(place)),
        (_, Ok(_)) => store.lead_place(company, token).await.map(Some),
        _ => check::behind(token),
    }
}

/// What a search looks for: parts of people, or whole ones where people are masked.
fn patterns(text: &str, masked: bool) -> Result<Vec<String>, Refusal> {
    if masked {
        let whole = person::whole_patterns(text);
        return whole.ok_or_else(|| {
            Refusal::Invalid(
                "text: people are masked for you, so give a whole e-mail address, phone number or uuid"
                    .to_owned(),
            )
        });
    }
    person::patterns(text).map_err(|error| Refusal::Invalid(error.to_string()))
}

/// No lead has an address.
fn nobody(email: &str) -> Refusal {
    Known::new(RefusalReason::NobodyHas, format!("no lead has the e-mail address {email:?}")).into()
}

fn printed(evidence: &Evidence) -> Result<Vec<u8>, Status> {
    serde_json::to_vec_pretty(evidence).map_err(|error| {
        tracing::error!(
            event = "evidence_not_printed",
            error = telemetry::causes(&error),
            "evidence cannot be printed"
        );
        status::refused(Code::Internal, "NOT_PRINTED", "the evidence cannot be printed: read it as Markdown")
    })
}

/// An export under way.
struct Export {
    control: Control,
    email: String,
    leads: Vec<(CompanyId, LeadId)>,
    /// 0 is the head of the document, then a lead each, then its end.
    next: usize,
}

impl Export {
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, Status> {
        let at = self.next;
        self.next += 1;
        if at == 0 {
            let email = serde_json::Value::from(self.email.clone());
            return Ok(Some(format!("{{\"email\": {email}, \"leads\": [").into_bytes()));
        }
        let Some((company, lead)) = self.leads.get(at - 1) else {
            return Ok((at == self.leads.len() + 1).then(|| b"]}\n".to_vec()));
        };
        let comma = if at > 1 { ", " } else { "" };
        // Erased since: nothing is kept of it.
        let Some(kept) = self.control.store.kept_of_lead(*company, *lead).await? else {
            return Ok(Some(format!("{comma}null").into_bytes()));
        };
        let evidence = self.control.with_records(*lead, kept.evidence).await?;
        let raw =
            |body: Vec<u8>| String::from_utf8(body).ok().and_then(|text| RawValue::from_string(text).ok());
        let rendered = kept.rendered.into_iter().map(|(delivery, body)| Rendered {
            delivery: delivery.to_string(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let exported = ExportedLead {
            evidence: &evidence,
            bodies: kept.events.into_iter().filter_map(raw).collect(),
            rendered: rendered.collect(),
        };
        let text = serde_json::to_string(&exported).map_err(|error| {
            tracing::error!(
                event = "lead_not_exported",
                error = telemetry::causes(&error),
                "a lead cannot be exported"
            );
            status::refused(Code::Internal, "NOT_PRINTED", "a lead cannot be printed: see the daemon's log")
        })?;
        Ok(Some(format!("{comma}{text}").into_bytes()))
    }
}

/// A lead in an export: what happened, each event as it is kept, and what deliveries would push again.
#[derive(serde::Serialize)]
struct ExportedLead<'a> {
    #[serde(flatten)]
    evidence: &'a Evidence,
    bodies: Vec<Box<RawValue>>,
    rendered: Vec<Rendered>,
}

/// The body that a delivery keeps for a repeat, which differs from the event.
#[derive(serde::Serialize)]
struct Rendered {
    delivery: String,
    body: String,
}

impl super::mutate::Mutating for v1::ErasePersonRequest {
    const METHOD: &'static str = "ErasePerson";

    fn request_id(&self) -> &str {
        &self.request_id
    }
}
