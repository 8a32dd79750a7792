//! `leadline lead push`.

use clap::Args;
use leadline_proto::v1;

use super::{
    CliError, Context,
    output_types::{Job, PushPlan},
    wait,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Each push is a delivery of its own with the lead's current content, as lead.created. Where one is
on its way nothing is made; what is dead there is replaced. An integration that takes only what
flows send gets what they sent it; name it to push there all the same. Where consent is needed, a
lead without it is skipped. Many leads are pushed by a job, each integration at its own pace;
Ctrl-C pushes no more.

Examples:
  leadline lead push 01J8H6KQH4YG3XR8RWM6T6XFQE                      to every enabled integration
  leadline lead push 01J8H6KQH4YG3XR8RWM6T6XFQE --integration crm    once more, to this one
  leadline lead push --company 7 --unsynced --dry-run                how many, and how long
  leadline lead push --company 7 --unsynced --integration new-crm    all that it never got")]
pub(crate) struct Push {
    /// The lead's uuid
    #[arg(value_name = "UUID", required_unless_present = "unsynced", conflicts_with = "unsynced")]
    uuid: Option<String>,
    /// All leads of which nothing was delivered; with --integration, all that have no delivery there
    #[arg(long, requires = "company")]
    unsynced: bool,
    /// The company; with a UUID only if several know it
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// Only to this integration, even if it takes only what flows send
    #[arg(long, value_name = "ID")]
    integration: Option<String>,
    /// So many a second at most, for each integration; 0.5 is one every two seconds
    #[arg(long, value_name = "N", requires = "unsynced")]
    per_second: Option<f64>,
    /// Change nothing; say how many and how long
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
}

impl Push {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let request = v1::PushLeadsRequest {
            request_id: String::new(),
            lead: self.uuid.unwrap_or_default(),
            company: self.company.unwrap_or_default(),
            unsynced: self.unsynced,
            integration: self.integration.unwrap_or_default(),
            dry_run: self.dry_run,
            per_second: self.per_second,
        };
        let answer = client.push_leads(request).await?;
        if self.dry_run || self.no_wait {
            return context.out.object(&PushPlan::from(answer));
        }
        if !answer.job_id.is_empty() {
            return wait::follow_job(context, &client, &answer.job_id, true).await;
        }
        if self.unsynced {
            context.out.note("Nothing to push: every lead has arrived or is on its way.");
            let nothing = v1::Job {
                kind: v1::JobKind::Push.into(),
                state: v1::JobState::Done.into(),
                leads: Some(0),
                ..Default::default()
            };
            return context.out.object(&Job::from(nothing));
        }
        if answer.pushed.is_empty() {
            context.out.note(
                "Nothing to push: wherever the lead goes, a delivery is on its way or it must not be pushed.",
            );
        }
        wait::outcomes(context, &client, answer.pushed).await
    }
}
