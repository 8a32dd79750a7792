//! `leadline intake-key`.

use clap::Subcommand;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions, input, list_page,
    output_types::{IntakeKey, KeyCreated, Refused, shapes},
};

/// The signatures that a key may ask for.
const SIGNATURES: [v1::SignatureKind; 2] = [v1::SignatureKind::Standard, v1::SignatureKind::Simple];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline intake-key create --company 7
  curl -H \"Authorization: Bearer $KEY\" --json @lead.json http://127.0.0.1:8080/v1/leads

  leadline intake-key refusals 01J8H6KQH4YG3XR8RWM6T6XFQE -o json | jq '.[0].errors'

Several keys may be live at once: make the new one, change the senders, then revoke the old one.")]
pub(crate) enum IntakeKeyVerb {
    /// Make a key; it is shown this once
    Create {
        /// The company that leads come in for
        #[arg(long, value_name = "ID")]
        company: String,
        /// Accept only signed bodies; the secret to sign with is shown this once too
        #[arg(long)]
        require_signature: bool,
        /// Refuse with 429 what comes faster; a second's worth may come at once [default: no limit]
        #[arg(long, value_name = "LEADS")]
        rate_per_second: Option<f64>,
        /// Accept only bodies with this signature: `standard` (Standard Webhooks, a repeat makes nothing new) or
        /// `simple` (X-Leadline-Signature, which can be sent again by whoever sees it)
        #[arg(long, value_name = "KIND", value_parser = input::one_of(&SIGNATURES, v1::SignatureKind::word))]
        signature: Option<v1::SignatureKind>,
        /// Let it read what became of leads too (GET /v1/leads/{uuid}); a key writes only
        #[arg(long)]
        may_read: bool,
        /// Let pages of this origin use it, where everybody can read it; repeatable. A form needs no key
        #[arg(long, value_name = "ORIGIN")]
        allow_origin: Vec<String>,
    },
    /// List keys, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show what was refused: the last 100 posts that were wrong, nobody's data in them
    Refusals {
        /// The key's id, as `list` shows it
        id: String,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Close the door to a key, at once
    Revoke {
        /// The key's id, as `list` shows it
        id: String,
    },
}

impl IntakeKeyVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        let request_id = String::new();
        match self {
            Self::Create {
                company,
                require_signature,
                rate_per_second,
                signature,
                may_read,
                allow_origin: allow_origins,
            } => {
                let signature = signature.unwrap_or_default().into();
                let request = v1::CreateIntakeKeyRequest {
                    request_id,
                    company,
                    require_signature,
                    rate_per_second,
                    may_read,
                    signature,
                    allow_origins,
                };
                context.out.object(&KeyCreated::from(client.create_intake_key(request).await?))?;
                context.out.note("Keep this now: it is not shown again.");
                Ok(())
            }
            Self::List { company, page } => {
                let company = company.unwrap_or_default();
                let request =
                    v1::ListIntakeKeysRequest { company, page_size: page.limit, page_token: page.token() };
                let answer = client.list_intake_keys(request).await?;
                let keys: Vec<IntakeKey> = shapes(answer.keys);
                list_page(context, &keys, &answer.next_page_token)
            }
            Self::Refusals { id, page } => {
                let request =
                    v1::ListRefusalsRequest { key: id, page_size: page.limit, page_token: page.token() };
                let answer = client.list_refusals(request).await?;
                let refusals: Vec<Refused> = shapes(answer.refusals);
                list_page(context, &refusals, &answer.next_page_token)
            }
            Self::Revoke { id } => {
                let key = client.revoke_intake_key(v1::RevokeIntakeKeyRequest { request_id, id }).await?;
                context.out.object(&IntakeKey::from(key))
            }
        }
    }
}
