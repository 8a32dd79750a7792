//! `leadline job`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, list_page,
    output_types::{Job, shapes},
    wait,
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
`leadline delivery retry` with a filter and `leadline lead push --unsynced` start jobs. A job goes
on without whoever started it: oldest first, each integration at its own pace.

Examples:
  leadline job list                                what each was asked to do, and how far it is
  leadline job show 01J8H6KQH4YG3XR8RWM6T6XFQE --wait follow it to its end
  leadline job cancel 01J8H6KQH4YG3XR8RWM6T6XFQE   what is not queued yet stays as it is
  leadline job resume 01J8H6KQH4YG3XR8RWM6T6XFQE   and goes on where it was")]
pub(crate) enum JobVerb {
    /// List jobs, newest first
    List {
        /// Only jobs that are about this company alone
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show how far a job is
    Show {
        /// The job's id
        id: String,
        /// Wait for its end; exit 1 if a push failed
        #[arg(long)]
        wait: bool,
    },
    /// Bring back no more deliveries
    Cancel {
        /// The job's id
        id: String,
    },
    /// Let a cancelled job go on where it was
    Resume {
        /// The job's id
        id: String,
    },
}

impl JobVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let job = match self {
            Self::List { company, page } => {
                let request = v1::ListJobsRequest {
                    page_size: page.limit,
                    page_token: page.token(),
                    company: company.unwrap_or_default(),
                };
                let answer = client.list_jobs(request).await?;
                let jobs: Vec<Job> = shapes(answer.jobs);
                return list_page(context, &jobs, &answer.next_page_token);
            }
            Self::Show { id, wait: true } => return wait::follow_job(context, &client, &id, false).await,
            Self::Show { id, wait: false } => client.get_job(v1::GetJobRequest { id }).await?,
            Self::Cancel { id } => {
                let request = v1::CancelJobRequest { request_id: String::new(), id };
                client.cancel_job(request).await?
            }
            Self::Resume { id } => {
                let request = v1::ResumeJobRequest { request_id: String::new(), id };
                client.resume_job(request).await?
            }
        };
        context.out.object(&Job::from(job))
    }
}
