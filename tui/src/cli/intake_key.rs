//! `leadline intake-key`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, Page,
    shape::{IntakeKey, KeyCreated, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline intake-key create --company 7
  curl -H \"Authorization: Bearer $KEY\" --json @lead.json http://127.0.0.1:8080/v1/leads

Several keys may be live at once: make the new one, change the senders, then revoke the old one.")]
pub(crate) enum Verb {
    /// Make a key; it is shown this once
    Create {
        /// The company that leads come in for
        #[arg(long, value_name = "ID")]
        company: String,
        /// Accept only signed bodies; the secret to sign with is shown this once too
        #[arg(long)]
        require_signature: bool,
    },
    /// List keys, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Close the door to a key, at once
    Revoke {
        /// The key's id, as `list` shows it
        id: String,
    },
}

impl Verb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let request_id = String::new();
        match self {
            Self::Create { company, require_signature } => {
                let request = v1::CreateIntakeKeyRequest { request_id, company, require_signature };
                context.out.object(&KeyCreated::from(client.create_intake_key(request).await?))?;
                context.out.note("Keep this now: it is not shown again.");
                Ok(())
            }
            Self::List { company, page } => {
                let company = company.unwrap_or_default();
                let request = v1::ListIntakeKeysRequest { company, page: Some(page.into()) };
                let keys: Vec<IntakeKey> = shapes(client.list_intake_keys(request).await?.keys);
                let columns = ["id", "company_id", "prefix", "require_signature", "created_at", "revoked_at"];
                context.out.list(&keys, &columns)
            }
            Self::Revoke { id } => {
                let key = client.revoke_intake_key(v1::RevokeIntakeKeyRequest { request_id, id }).await?;
                context.out.object(&IntakeKey::from(key))
            }
        }
    }
}
