//! Pushing leads that are known already: one at once, many as a job.

use leadline_proto::v1;
use serde_json::json;
use tonic::{Request, Response};

use super::{Control, Reply, check, job, mutate, words};
use crate::{
    domain::{
        ids::{CompanyId, IntegrationId, LeadId},
        lane::LaneId,
    },
    store::{
        job::{JobLane, JobWork},
        operator::command::{Command, Mutation, Refusal},
        queue::push::{Choice, NewPush, Pushed},
    },
};

/// How many leads an answer shows.
const SAMPLE: i64 = 10;

/// What is to be pushed.
enum PushSelection {
    One { company: CompanyId, lead: LeadId, integrations: Vec<IntegrationId>, by_flows: bool },
    Many { company: CompanyId, choice: Choice, lanes: Vec<JobLane>, leads: i64, sample: Vec<LeadId> },
}

impl Control {
    pub(super) async fn push(&self, request: Request<v1::PushLeadsRequest>) -> Reply<v1::PushLeadsResponse> {
        if request.get_ref().dry_run {
            let (call, request) = mutate::call(request).await?;
            let asked = self.asked_to_push(&request).await?;
            job::per_second(request.per_second)?;
            return Ok(Response::new(self.foresee(&call, &asked).await?));
        }
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        let asked = self.asked_to_push(&request).await?;
        let pace = job::per_second(request.per_second)?;
        if pace.is_some() && matches!(asked, PushSelection::One { .. }) {
            return check::invalid(
                "per_second: it is a job that keeps a pace, ask for all that are unsynced",
            )
            .map_err(Into::into);
        }
        let forecast = self.foresee(&call, &asked).await?;
        self.carry_out(&call, |mut command| async {
            let answer = match &asked {
                PushSelection::One { company, lead, integrations, by_flows } => {
                    let new = |integration| NewPush {
                        company: *company,
                        integration,
                        by_flows: *by_flows,
                        job: None,
                    };
                    let pushed = push_one(&mut command, *lead, integrations.iter().copied().map(new)).await?;
                    let pushed: Vec<String> = pushed.iter().map(|it| it.delivery().to_string()).collect();
                    let after = json!({ "deliveries": pushed });
                    command.audit(*company, &format!("lead {lead}"), None, Some(after)).await?;
                    v1::PushLeadsResponse { pushed, ..forecast }
                }
                PushSelection::Many { lanes, .. } if lanes.is_empty() => forecast,
                PushSelection::Many { company, choice, lanes, leads, .. } => {
                    let work = JobWork::Push { choice: *choice, leads: *leads };
                    let job = command.create_job(work, pace, lanes).await?;
                    let after = json!({ "leads": leads, "integrations": lanes.len() });
                    command.audit(*company, &format!("job {job}"), None, Some(after)).await?;
                    v1::PushLeadsResponse { job_id: job.to_string(), ..forecast }
                }
            };
            Ok((command, answer))
        })
        .await
    }

    async fn asked_to_push(&self, request: &v1::PushLeadsRequest) -> Result<PushSelection, Refusal> {
        let (company, lead) = match (check::optional(&request.lead), request.unsynced) {
            (Some(_), true) => {
                return check::invalid("send either a lead or unsynced, not both");
            }
            (None, false) => {
                return check::invalid("name a lead to push, or ask for all that are unsynced of a company");
            }
            (Some(lead), false) => {
                let (company, lead) = self.store.find_lead(check::optional(&request.company), lead).await?;
                (company, Some(lead))
            }
            (None, true) => (self.store.find_company(&request.company).await?, None),
        };
        let (integrations, choice) = match check::optional(&request.integration) {
            Some(reference) => (vec![self.enabled_integration(company, reference).await?], Choice::Missing),
            None => (self.store.integrations_to_push(company).await?, Choice::Unsynced),
        };
        if let Some(lead) = lead {
            return Ok(PushSelection::One {
                company,
                lead,
                integrations,
                by_flows: choice == Choice::Unsynced,
            });
        }
        let (lanes, leads, sample) = self.store.push_lanes(company, &integrations, choice, SAMPLE).await?;
        Ok(PushSelection::Many { company, choice, lanes, leads, sample })
    }

    async fn enabled_integration(
        &self,
        company: CompanyId,
        reference: &str,
    ) -> Result<IntegrationId, Refusal> {
        let LaneId { integration: id, .. } =
            self.store.find_integration(Some(&company.to_string()), reference).await?;
        let view = self.store.integration_view(&id.to_string()).await?;
        if view.enabled {
            return Ok(id);
        }
        Err(Refusal::State(format!("integration {:?} is disabled: enable it first", view.name)))
    }

    /// How many leads, how long, and which come first.
    async fn foresee(
        &self,
        call: &Mutation,
        asked: &PushSelection,
    ) -> Result<v1::PushLeadsResponse, Refusal> {
        let (company, lanes, leads, sample) = match asked {
            PushSelection::One { company, lead, integrations, by_flows } => {
                // Tried out, and dropped.
                let mut command = self.store.batch(call).await?;
                let mut lanes = Vec::new();
                for integration in integrations {
                    let new = NewPush {
                        company: *company,
                        integration: *integration,
                        by_flows: *by_flows,
                        job: None,
                    };
                    let made = push_one(&mut command, *lead, [new]).await?;
                    lanes.extend(made.iter().filter(|it| it.is_queued()).map(|_| (*integration, 1)));
                }
                let leads = u64::from(!lanes.is_empty());
                let sample = if lanes.is_empty() { Vec::new() } else { vec![*lead] };
                (*company, lanes, leads, sample)
            }
            PushSelection::Many { company, lanes, leads, sample, .. } => {
                let lanes =
                    lanes.iter().map(|lane| (lane.id.integration, usize::try_from(lane.total).unwrap_or(0)));
                (*company, lanes.collect(), leads.unsigned_abs(), sample.clone())
            }
        };
        let mut seconds: f64 = 0.0;
        for (integration, count) in lanes {
            let pace = self.store.pace(LaneId::new(company, integration)).await?;
            seconds = seconds.max(pace.map_or(0.0, |pace| pace.seconds(count)));
        }
        let sample = self.store.lead_uuids(company, &sample).await?;
        let estimated_duration = Some(words::seconds(seconds));
        Ok(v1::PushLeadsResponse { count: leads, estimated_duration, sample, ..Default::default() })
    }
}

async fn push_one(
    command: &mut Command,
    lead: LeadId,
    pushes: impl IntoIterator<Item = NewPush>,
) -> Result<Vec<Pushed>, Refusal> {
    let mut pushed = Vec::new();
    for new in pushes {
        pushed.extend(command.push_leads(&new, &[lead.uuid()]).await?);
    }
    Ok(pushed)
}
