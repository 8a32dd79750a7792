//! `leadline company`.

use std::time::Duration;

use clap::{ArgGroup, Subcommand};
use leadline_client::span;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, input, note_more,
    output_types::{Company, CompanyCreated, CompanyPage, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline company create --name 'The Old Barn' --plan pro --id 7
  leadline company set-plan 'The Old Barn' --plan starter --disable old-hook
  leadline company show 7                           keys, last lead, flows, refusals
  leadline company list --silent 5h                 those that got no lead for five hours
  leadline company pause 7                          push nothing for it, take leads in all the same
  leadline company update 7 --quiet-hours 48        a notice when no lead came for two days")]
pub(crate) enum CompanyVerb {
    /// Make a company
    Create {
        /// Its name; other commands take it for the id where it is unique
        #[arg(long)]
        name: String,
        /// How many integrations it may have enabled: free 0, starter 1, pro and multi any number
        #[arg(long, value_parser = input::one_of(v1::Plan::ALL, v1::Plan::word))]
        plan: v1::Plan,
        /// Its id [default: the next free one]
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
        id: Option<i64>,
        /// The prefix of the delivery headers, and the user agent where a version is given
        #[arg(long, value_name = "NAME[/VERSION]")]
        brand: Option<String>,
    },
    /// List companies, newest first
    List {
        /// Only those without a lead for so long, the longest silent first: 5h, 2d
        #[arg(long, value_name = "SPAN", value_parser = input::seconds)]
        silent: Option<u32>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show everything of a company on one page
    Show {
        /// Its id or name
        company: String,
    },
    /// Change its name, its brand or when it is too quiet
    #[command(group(ArgGroup::new("change").args(["name", "brand", "clear_brand", "quiet_hours", "time_zone", "locale", "lead_url"]).required(true).multiple(true)))]
    Update {
        /// Its id or name
        company: String,
        /// The new name
        #[arg(long)]
        name: Option<String>,
        /// The new brand
        #[arg(long, value_name = "NAME[/VERSION]")]
        brand: Option<String>,
        /// Return to the daemon's own brand
        #[arg(long, conflicts_with = "brand")]
        clear_brand: bool,
        /// Send a notice when no lead came for so many hours, counted from the last one; 0 for never
        #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=8760))]
        quiet_hours: Option<u32>,
        /// By whose clock its people are told times: Europe/London; none for the sender's
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// How days and amounts are written for its people: en-GB, en-US, de-DE, …; none for en-GB
        #[arg(long, value_name = "TAG")]
        locale: Option<String>,
        /// Where its people open a lead: `https://example.com/leads/{uuid}`; none for nowhere
        #[arg(long, value_name = "URL")]
        lead_url: Option<String>,
    },
    /// Push nothing for it until it is resumed; leads are accepted and their pushes wait
    Pause {
        /// Its id or name
        company: String,
    },
    /// Let its pushes go again, oldest first
    Resume {
        /// Its id or name
        company: String,
    },
    /// Change its plan
    SetPlan {
        /// Its id or name
        company: String,
        /// The new plan
        #[arg(long, value_parser = input::one_of(v1::Plan::ALL, v1::Plan::word))]
        plan: v1::Plan,
        /// Integrations to disable, where the new plan allows fewer
        #[arg(long, value_name = "ID", value_delimiter = ',')]
        disable: Vec<String>,
    },
}

impl CompanyVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let request_id = String::new();
        let company = match self {
            Self::Create { name, plan, id, brand } => {
                let brand = brand.unwrap_or_default();
                let request = v1::CreateCompanyRequest { request_id, name, plan: plan.into(), id, brand };
                return context.out.object(&CompanyCreated::from(client.create_company(request).await?));
            }
            Self::List { silent, page } => {
                let silent_for = silent.map(|span| prost_types::Duration { seconds: span.into(), nanos: 0 });
                let request = v1::ListCompaniesRequest {
                    page_size: page.limit,
                    page_token: page.token(),
                    silent_for,
                    ..Default::default()
                };
                let answer = client.list_companies(request).await?;
                let more = answer.next_page_token;
                let companies: Vec<Company> = shapes(answer.companies);
                context.out.list(&companies)?;
                note_more(context, &more);
                return Ok(());
            }
            Self::Show { company } => {
                let page = client.get_company_page(v1::GetCompanyPageRequest { company }).await?;
                return context.out.object(&CompanyPage::from(page));
            }
            Self::Update { company, name, brand, clear_brand, quiet_hours, time_zone, locale, lead_url } => {
                let brand = if clear_brand { Some(String::new()) } else { brand };
                let quiet_after = quiet_hours.map(|hours| span(Duration::from_secs(u64::from(hours) * 3600)));
                let [time_zone, locale, lead_url] = [time_zone, locale, lead_url].map(taken_back);
                let request = v1::UpdateCompanyRequest {
                    company,
                    name,
                    brand,
                    quiet_after,
                    time_zone,
                    locale,
                    lead_url,
                    ..Default::default()
                };
                client.update_company(request).await?
            }
            Self::Pause { company } => client.update_company(paused(company, true)).await?,
            Self::Resume { company } => client.update_company(paused(company, false)).await?,
            Self::SetPlan { company, plan, disable } => {
                client
                    .set_plan(v1::SetPlanRequest { request_id, company, plan: plan.into(), disable })
                    .await?
            }
        };
        context.out.object(&Company::from(company))
    }
}

/// What goes over the wire to take a setting back.
fn taken_back(value: Option<String>) -> Option<String> {
    value.map(|value| if value == "none" { String::new() } else { value })
}

fn paused(company: String, paused: bool) -> v1::UpdateCompanyRequest {
    v1::UpdateCompanyRequest { company, paused: Some(paused), ..Default::default() }
}
