//! Companies and their plans.

use leadline_proto::v1::{self, company_service_server::CompanyService};
use serde_json::json;
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, words};
use crate::{
    connectors,
    domain::{
        ids::CompanyId,
        plan::UNCOUNTED,
        telling::{self, BadTelling},
    },
    store::{
        company::Company,
        integration::read::IntegrationFilter,
        operator::{
            command::{Command, Refusal},
            refusal::{Known, RefusalReason},
        },
    },
};

/// How many keys and flows a company's page shows at most.
const PAGE: i64 = 1000;

fn audited(company: &Company) -> Option<serde_json::Value> {
    Some(json!({
        "name": company.name,
        "plan": company.plan.as_str(),
        "brand": company.brand,
        "paused": company.paused_at.is_some(),
        "quiet_hours": company.quiet_hours,
        "time_zone": company.time_zone,
        "locale": company.locale,
        "lead_url": company.lead_url,
    }))
}

#[tonic::async_trait]
impl CompanyService for Control {
    async fn create_company(
        &self,
        request: Request<v1::CreateCompanyRequest>,
    ) -> Reply<v1::CreateCompanyResponse> {
        self.mutate(request, |mut command, request| async move {
            let name = check::name(&request.name)?;
            let plan = check::plan(request.plan)?;
            let brand = check::brand(&request.brand)?;
            let company = command.create_company(request.id, name, plan, brand).await?;
            command.audit(company.id, &format!("company {}", company.id), None, audited(&company)).await?;
            Ok((command, v1::CreateCompanyResponse { company: Some(company.into()) }))
        })
        .await
    }

    async fn list_companies(
        &self,
        request: Request<v1::ListCompaniesRequest>,
    ) -> Reply<v1::ListCompaniesResponse> {
        let request = request.into_inner();
        let (limit, after) = check::page(request.page_size, &request.page_token)?;
        let after = match after {
            "" => None,
            id => Some(CompanyId(id.parse().map_err(|_| check::not_a_page(id))?)),
        };
        let silent = words::read_duration("silent_for", request.silent_for.as_ref())?;
        let only = self.store.find_optional_company(check::optional(&request.company)).await?;
        let companies = match silent {
            Some(span) => {
                self.store.for_lists().await.silent_companies(span.as_secs_f64(), only, after, limit).await?
            }
            None => self.store.for_lists().await.companies(only, after, limit).await?,
        };
        let next_page_token = words::next_page(&companies, limit, |company| company.id.to_string());
        let companies = self.with_last_leads(companies).await?;
        Ok(Response::new(v1::ListCompaniesResponse { companies, next_page_token }))
    }

    async fn get_company(&self, request: Request<v1::GetCompanyRequest>) -> Reply<v1::GetCompanyResponse> {
        let company = self.store.company(&request.get_ref().company).await?;
        let company = self.with_last_leads(vec![company]).await?.pop();
        Ok(Response::new(v1::GetCompanyResponse { company }))
    }

    async fn get_company_page(
        &self,
        request: Request<v1::GetCompanyPageRequest>,
    ) -> Reply<v1::GetCompanyPageResponse> {
        let company = self.store.company(&request.get_ref().company).await?;
        let (id, reference) = (company.id, company.id.to_string());
        let store = self.store.for_lists().await;
        let day = store.last_day(id).await?;
        let keys = store.intake_keys(Some(&reference), None, PAGE).await?;
        let of_company = IntegrationFilter { company: Some(id), ..IntegrationFilter::default() };
        let integrations = store.integration_views(&of_company).await?;
        let mut integrations: Vec<_> = integrations.into_iter().map(v1::Integration::from).collect();
        self.count_skipped(&mut integrations).await?;
        let flows = store.flow_views(Some(&reference), None, PAGE).await?;
        Ok(Response::new(v1::GetCompanyPageResponse {
            company: self.with_last_leads(vec![company]).await?.pop(),
            keys: keys.into_iter().map(v1::IntakeKey::from).collect(),
            leads_24h: convert::count(day.leads),
            refused_24h: convert::count(day.refused),
            integrations,
            flows: flows.into_iter().map(v1::Flow::from).collect(),
        }))
    }

    async fn update_company(
        &self,
        request: Request<v1::UpdateCompanyRequest>,
    ) -> Reply<v1::UpdateCompanyResponse> {
        self.mutate(request, |mut command, request| async move {
            let mut company = command.company(&request.company).await?;
            let before = audited(&company);
            if let Some(name) = &request.name {
                company.name = check::name(name)?.to_owned();
            }
            if let Some(brand) = &request.brand {
                let old = company.brand.clone();
                company.brand = check::brand(brand)?.map(ToOwned::to_owned);
                brand_fits(self, &mut command, &company, old.as_deref()).await?;
            }
            company.set_telling(&request)?;
            if let Some(paused) = request.paused {
                command.pause_company(&mut company, paused).await?;
            }
            if let Some(span) = request.quiet_after {
                command.set_quiet_hours(&mut company, check::quiet_hours(span)?).await?;
            }
            command.update_company(&company).await?;
            command.audit(company.id, &format!("company {}", company.id), before, audited(&company)).await?;
            let company = Some(shown(&mut command, company).await?);
            Ok((command, v1::UpdateCompanyResponse { company }))
        })
        .await
    }

    async fn set_plan(&self, request: Request<v1::SetPlanRequest>) -> Reply<v1::SetPlanResponse> {
        self.mutate(request, |mut command, request| async move {
            let mut company = command.company(&request.company).await?;
            let before = audited(&company);
            company.plan = check::plan(request.plan)?;
            for reference in &request.disable {
                let mut integration = command.integration_of(&company, reference).await?;
                let enabled = integration.audited();
                integration.enabled = false;
                command.write_integration(&integration).await?;
                let target = format!("integration {}", integration.id);
                command.audit(company.id, &target, Some(enabled), Some(integration.audited())).await?;
            }
            let enabled = command.counted_integrations(company.id).await?;
            if let Some(sentence) = company.plan.refuses(&enabled) {
                let message = format!("{sentence}: name those to disable");
                let refusal = Known::new(RefusalReason::PlanTooSmall, message);
                return Err(refusal.about("company", company.id).about("plan", company.plan).into());
            }
            command.set_plan(company.id, company.plan).await?;
            command.audit(company.id, &format!("company {}", company.id), before, audited(&company)).await?;
            let company = Some(shown(&mut command, company).await?);
            Ok((command, v1::SetPlanResponse { company }))
        })
        .await
    }
}

impl Company {
    /// Takes over how its people are to be told things.
    fn set_telling(&mut self, request: &v1::UpdateCompanyRequest) -> Result<(), Refusal> {
        let invalid = |field: &str, error: BadTelling| Refusal::Invalid(format!("{field}: {error}"));
        if let Some(zone) = &request.time_zone {
            self.time_zone = telling::zone(zone).map_err(|error| invalid("time_zone", error))?;
        }
        if let Some(tag) = &request.locale {
            self.locale = telling::tag(tag).map_err(|error| invalid("locale", error))?;
        }
        if let Some(url) = &request.lead_url {
            self.lead_url = telling::lead_url(url).map_err(|error| invalid("lead_url", error))?;
        }
        Ok(())
    }
}

impl Control {
    /// Companies as they are shown, with the time of their newest leads.
    async fn with_last_leads(&self, companies: Vec<Company>) -> Result<Vec<v1::Company>, Refusal> {
        let ids: Vec<_> = companies.iter().map(|company| company.id).collect();
        let last = self.store.for_lists().await.last_leads(&ids).await?;
        let shown = companies.into_iter().map(|company| {
            let last_lead_at = last.get(&company.id).copied().map(convert::time);
            v1::Company { last_lead_at, ..company.into() }
        });
        Ok(shown.collect())
    }
}

/// A company as it is shown everywhere.
async fn shown(command: &mut Command, company: Company) -> Result<v1::Company, Refusal> {
    let last_lead_at = command.last_lead(company.id).await?.map(convert::time);
    Ok(v1::Company { last_lead_at, ..company.into() })
}

/// Refuses a new brand of a locked company where what its integrations are configured with would break under it.
async fn brand_fits(
    control: &Control,
    command: &mut Command,
    company: &Company,
    old: Option<&str>,
) -> Result<(), Refusal> {
    let own = &*control.brand;
    let (old, new) = (old.unwrap_or(own), company.brand.as_deref().unwrap_or(own));
    let mut clashes = Vec::new();
    for integration in command.integrations_of(company).await? {
        let (connector, name) = (check::connector(&integration.connector)?, integration.name.clone());
        let (egress, brands) = (control.egress.clone(), [old.to_owned(), new.to_owned()]);
        let check = move || {
            brands.map(|brand| connector.check(&integration.config, &integration.mapping, &egress, &brand))
        };
        let [known, problems] = control.check_templates(company.id, check).await?;
        // What is wrong under both has nothing to do with the brand.
        let broken: Vec<_> = problems.into_iter().filter(|problem| !known.contains(problem)).collect();
        if !broken.is_empty() {
            clashes.push(format!("integration {name:?} ({})", connectors::joined(&broken)));
        }
    }
    if clashes.is_empty() {
        return Ok(());
    }
    let message = format!(
        "brand {new:?} does not go with {}: change that first, or choose another brand",
        clashes.join(" and ")
    );
    Err(Known::new(RefusalReason::BrandClash, message).into())
}

/// Refuses one more enabled integration where the plan of a locked company allows none.
pub(super) async fn plan_allows(
    command: &mut Command,
    company: &Company,
    connector: &str,
    way_out: &str,
) -> Result<(), Refusal> {
    if connector == UNCOUNTED {
        return Ok(());
    }
    let enabled = command.counted_integrations(company.id).await?;
    let Some(sentence) = company.plan.refuses_one_more(&enabled) else { return Ok(()) };
    let disable = if enabled.is_empty() { "" } else { "disable it, " };
    let or = if way_out.is_empty() && enabled.is_empty() { "" } else { "or " };
    let message = format!("{sentence}: {way_out}{disable}{or}change the plan");
    Err(Known::new(RefusalReason::PlanFull, message).about("company", company.id).into())
}
