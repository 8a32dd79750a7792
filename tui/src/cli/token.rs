//! `leadline token`.

use clap::{Args, Subcommand};
use leadline_proto::v1::{self, Role};

use super::{
    CliError, Context, PageOptions, input, list_page,
    output_types::{Caller, Token, TokenCreated, shapes},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline token create --role viewer --name dashboard --expires 90d
  leadline token create --role operator --company 7 --name 'support of The Old Barn'
  LEADLINE_TOKEN=llt_… leadline --server https://leads.example.com:7443 integration list

On the daemon's own machine its user and root are admins and need none. Roles: a viewer reads, people masked; an
operator moves deliveries, tests, edits mappings and flows; an admin may do everything.")]
pub(crate) enum TokenVerb {
    /// Make a token; it is shown this once
    Create(Box<CreateToken>),
    /// List tokens, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Let a token open nothing any more, at once
    Revoke {
        /// The token's id, as `list` shows it
        id: String,
    },
    /// Say who we are to the daemon, and what that allows
    Whoami,
}

/// What a token is to be.
#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// What it may do: viewer, operator or admin
    #[arg(long, value_name = "ROLE", value_parser = ["viewer", "operator", "admin"])]
    role: String,
    /// Reach only this company's things [default: those of all companies]
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// Who will hold it: audits carry it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// When it ends: 12h, 90d [default: never]
    #[arg(long, value_name = "SPAN", value_parser = input::seconds)]
    expires: Option<u32>,
    /// Mask people though the role would show them; `lead reveal` shows one, and is audited
    #[arg(long)]
    masked: bool,
}

impl TokenVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let client = context.client().await?;
        match self {
            Self::Create(create) => {
                let CreateToken { role, company, name, expires, masked } = *create;
                let role = Role::from_str_name(&format!("ROLE_{}", role.to_uppercase())).unwrap_or_default();
                let request = v1::CreateTokenRequest {
                    request_id: String::new(),
                    role: role.into(),
                    company: company.unwrap_or_default(),
                    name: name.unwrap_or_default(),
                    expires_in: expires.map(|span| prost_types::Duration { seconds: span.into(), nanos: 0 }),
                    masked,
                };
                context.out.object(&TokenCreated::from(client.create_token(request).await?))?;
                context.out.note("Keep this now: it is not shown again.");
                Ok(())
            }
            Self::List { company, page } => {
                let company = company.unwrap_or_default();
                let request =
                    v1::ListTokensRequest { company, page_size: page.limit, page_token: page.token() };
                let answer = client.list_tokens(request).await?;
                let tokens: Vec<Token> = shapes(answer.tokens);
                list_page(context, &tokens, &answer.next_page_token)
            }
            Self::Revoke { id } => {
                let request = v1::RevokeTokenRequest { request_id: String::new(), id };
                context.out.object(&Token::from(client.revoke_token(request).await?))
            }
            Self::Whoami => {
                let who = client.who_am_i(v1::WhoAmIRequest {}).await?;
                context.out.object(&Caller::from(who))
            }
        }
    }
}
