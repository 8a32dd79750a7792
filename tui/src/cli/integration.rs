//! `leadline integration`.

use clap::{Args, Subcommand};
use leadline_client::Client;
use leadline_proto::v1;

use super::{
    CliError, Context, PageOptions,
    columns::column,
    credentials,
    hold::note_undo,
    input, note_more,
    output_types::{ConfigField, Deleted, Enabled, Integration, IntegrationCreated, Reset, shapes},
    preview,
    rotation::Rotate,
    wait,
};
/// What an integration may be told of.
const EVENTS: [v1::Event; 2] = [v1::Event::LeadCreated, v1::Event::LeadUpdated];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  leadline integration create --help-connector webhook
  leadline integration create --company 7 --connector webhook --name hook --config @hook.json
  leadline integration test hook                     push a sample and wait for the answer
  leadline integration set-credentials crm < token.json
  leadline integration preview hook --lead 01J8H6KQH4YG3XR8RWM6T6XFQE
  leadline integration rotate-secret hook --grace 24h       the new one signs now
  leadline integration rotate-secret hook --staged --hold   pushes wait with it until
  leadline integration cut-over hook                        the receiver knows it
  leadline integration set-mapping hook --mapping '{\"lead.event_date\": \"wedding_date\"}'
  leadline integration enable hook --held release")]
pub(crate) enum IntegrationVerb {
    /// Make an integration; its signing secret is shown this once
    Create(Box<CreateIntegration>),
    /// List integrations with their health, newest first
    List {
        /// Only of this company
        #[arg(long, value_name = "ID")]
        company: Option<String>,
        /// Only with one of these badges
        #[arg(long = "badge", value_name = "BADGE", value_delimiter = ',', value_parser = input::one_of(v1::Badge::ALL, v1::Badge::word))]
        badges: Vec<v1::Badge>,
        #[command(flatten)]
        page: PageOptions,
    },
    /// Show one integration with its configuration and health
    Show(IntegrationReference),
    /// Change what is named; the rest stays
    Update(Box<UpdateIntegration>),
    /// Let pushes go again
    Enable {
        #[command(flatten)]
        reference: IntegrationReference,
        /// What becomes of the deliveries that are held
        #[arg(long, value_parser = input::one_of(v1::HeldChoice::ALL, v1::HeldChoice::word), default_value = "keep")]
        held: v1::HeldChoice,
    },
    /// Hold what is to be pushed; pushes in flight finish
    Disable(IntegrationReference),
    /// Remove it with its deliveries and attempts
    Delete {
        #[command(flatten)]
        reference: IntegrationReference,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Compare the field mapping with the target's own fields; exit 1 if something does not fit
    Check {
        #[command(flatten)]
        reference: IntegrationReference,
        /// Print the mapping with what could be added to it, for set-mapping, and say why on stderr
        #[arg(long)]
        propose: bool,
    },
    /// Replace what we log in with: asked for, or one JSON object on stdin; tried before it counts
    SetCredentials(IntegrationReference),
    /// Push `webhook.test` with a sample lead, or look at the target, and wait for the outcome
    Test {
        #[command(flatten)]
        reference: IntegrationReference,
        /// Print the attempt's id and do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// Show what would be pushed, canonical event and request, and push nothing
    Preview(Box<preview::PreviewOptions>),
    /// Replace the field mapping
    SetMapping {
        #[command(flatten)]
        reference: IntegrationReference,
        /// The new mapping, laid over the connector's: JSON, or @FILE
        #[arg(long, value_name = "JSON", required_unless_present = "clear", conflicts_with = "clear")]
        mapping: Option<String>,
        /// Return to the connector's own mapping
        #[arg(long)]
        clear: bool,
    },
    /// Make a new signing secret; it is shown this once
    RotateSecret(Rotate),
    /// Make the staged secret the one that signs, and let go what was held for it
    CutOver(IntegrationReference),
    /// Take away the secret beside the current one: end the grace of the old one, or cancel the staged one
    RevokeSecret(IntegrationReference),
    /// Set the failure count to zero and forget the last error
    Reset(IntegrationReference),
}

/// The integration meant.
#[derive(Debug, Args)]
pub(crate) struct IntegrationReference {
    /// Its id, its name if that is unique, or COMPANY/NAME
    #[arg(value_name = "ID")]
    pub(super) integration: String,
}

/// What an integration is made of, or whose configuration to explain.
#[derive(Debug, Args)]
pub(crate) struct CreateIntegration {
    /// Print the configuration that a connector takes
    #[arg(long, value_name = "NAME")]
    help_connector: Option<String>,
    #[command(flatten)]
    fields: Option<IntegrationFields>,
}

/// What an integration is made of.
#[derive(Debug, Args)]
#[group(id = "fields", conflicts_with = "help_connector")]
struct IntegrationFields {
    /// The company whose leads it gets
    #[arg(long, value_name = "ID")]
    company: String,
    /// What it speaks: webhook, hubspot, …; --help-connector tells what each takes
    #[arg(long)]
    connector: String,
    /// Its name, unique in the company
    #[arg(long)]
    name: String,
    /// JSON, or @FILE [default: {}]
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// Field mapping laid over the connector's: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    mapping: Option<String>,
    /// The events it gets [default: both]
    #[arg(long, value_delimiter = ',', value_parser = input::one_of(&EVENTS, v1::Event::word))]
    events: Vec<v1::Event>,
    /// The shape of what webhook, zapier, make and n8n push [default: v1]
    #[arg(long, value_parser = input::one_of(v1::Payload::ALL, v1::Payload::word))]
    payload: Option<v1::Payload>,
    /// Which leads it gets: all, or what flows send it [default: all]
    #[arg(long, value_parser = input::one_of(v1::Routing::ALL, v1::Routing::word))]
    routing: Option<v1::Routing>,
    /// Make it, but push nothing yet
    #[arg(long)]
    disabled: bool,
    /// Bring an existing signing secret: it is read from stdin
    #[arg(long)]
    secret_stdin: bool,
    /// Bring what to log in with: one JSON object is read from stdin
    #[arg(long, conflicts_with = "secret_stdin")]
    credentials_stdin: bool,
    /// Tell it what operators should hear of; without --events it then gets no leads
    #[arg(long)]
    notices: bool,
}

/// What to change.
#[derive(Debug, Args)]
#[group(required = true, multiple = true,
    args = ["name", "config", "mapping", "events", "payload", "routing", "notices"])]
struct IntegrationChanges {
    /// The new name
    #[arg(long)]
    name: Option<String>,
    /// Replaces the whole configuration: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// Replaces the field mapping: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    mapping: Option<String>,
    /// The events it gets from now on
    #[arg(long, value_delimiter = ',', value_parser = input::one_of(&EVENTS, v1::Event::word))]
    events: Vec<v1::Event>,
    /// The shape of what is pushed from now on
    #[arg(long, value_parser = input::one_of(v1::Payload::ALL, v1::Payload::word))]
    payload: Option<v1::Payload>,
    /// Whether it is told what operators should hear of
    #[arg(long, value_name = "BOOL")]
    notices: Option<bool>,
    /// Which leads it gets from now on: all, or what flows send it
    #[arg(long, value_parser = input::one_of(v1::Routing::ALL, v1::Routing::word))]
    routing: Option<v1::Routing>,
}

/// An integration and what to change in it.
#[derive(Debug, Args)]
pub(crate) struct UpdateIntegration {
    #[command(flatten)]
    reference: IntegrationReference,
    #[command(flatten)]
    changes: IntegrationChanges,
}

impl IntegrationVerb {
    /// Carries the command out.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let request_id = String::new();
        let client = context.client().await?;
        let integration = match self {
            Self::Create(create) => return create.run(context, &client).await,
            Self::List { company, badges, page } => {
                return list(context, &client, company, badges, page).await;
            }
            Self::Delete { reference, yes } => return delete(context, &client, reference, yes).await,
            Self::Test { reference, no_wait } => {
                return wait::test(context, &client, reference.integration, no_wait).await;
            }
            Self::Check { reference, propose } => {
                return credentials::check(context, &client, reference.integration, propose).await;
            }
            Self::SetCredentials(IntegrationReference { integration }) => {
                return credentials::set(context, &client, integration).await;
            }
            Self::RotateSecret(rotate) => return rotate.run(context, &client).await,
            Self::Enable { reference: IntegrationReference { integration }, held } => {
                let request = v1::EnableIntegrationRequest { request_id, integration, held: held.into() };
                return enabled(context, client.enable_integration(request).await?);
            }
            Self::Preview(options) => return options.run(context, &client).await,
            Self::SetMapping { reference, mapping, .. } => {
                // Without a mapping it is to be cleared: the parser has seen to that.
                let mapping = input::optional_json("--mapping", mapping.as_deref())?.unwrap_or_default();
                let request = v1::UpdateIntegrationRequest {
                    integration: reference.integration,
                    mapping: Some(mapping),
                    ..Default::default()
                };
                client.update_integration(request).await?
            }
            Self::Update(update) => client.update_integration(update.request()?).await?,
            Self::Show(IntegrationReference { integration }) => {
                client.get_integration(v1::GetIntegrationRequest { integration }).await?
            }
            Self::Disable(IntegrationReference { integration }) => {
                client.disable_integration(v1::DisableIntegrationRequest { request_id, integration }).await?
            }
            Self::CutOver(IntegrationReference { integration }) => {
                client.cut_over(v1::CutOverRequest { request_id, integration }).await?
            }
            Self::RevokeSecret(IntegrationReference { integration }) => {
                client.revoke_secret(v1::RevokeSecretRequest { request_id, integration }).await?
            }
            Self::Reset(IntegrationReference { integration }) => {
                let request = v1::ResetIntegrationRequest { request_id, integration };
                return reset(context, client.reset_integration(request).await?);
            }
        };
        context.out.object(&Integration::from(integration))
    }
}

/// Prints how it stands now, with what was forgotten and lifted.
fn reset(context: &Context, answer: v1::ResetIntegrationResponse) -> Result<(), CliError> {
    let shown = Reset::from(answer);
    context.out.object(&shown)?;
    context.out.note(&shown.sentence(|at| context.out.time(&at.to_string())));
    Ok(())
}

impl CreateIntegration {
    async fn run(self, context: &Context, client: &Client) -> Result<(), CliError> {
        let Some(fields) = self.fields else {
            return help_connector(context, client, &self.help_connector.unwrap_or_default()).await;
        };
        let answer = client.create_integration(fields.request()?).await?;
        let integration = answer.integration.unwrap_or_default();
        let is_made = !answer.signing_secret.is_empty();
        context.out.object(&IntegrationCreated::new(integration, answer.signing_secret))?;
        if is_made {
            context.out.note("Give the signing secret to the receiver now: it is not shown again.");
        }
        Ok(())
    }
}

impl IntegrationFields {
    fn request(self) -> Result<v1::CreateIntegrationRequest, CliError> {
        Ok(v1::CreateIntegrationRequest {
            request_id: String::new(),
            company: self.company,
            connector: self.connector,
            name: self.name,
            config: input::optional_json("--config", self.config.as_deref())?.unwrap_or_default(),
            mapping: input::optional_json("--mapping", self.mapping.as_deref())?.unwrap_or_default(),
            events: self.events.into_iter().map(i32::from).collect(),
            payload: self.payload.unwrap_or_default().into(),
            routing: self.routing.unwrap_or_default().into(),
            disabled: self.disabled,
            signing_secret: if self.secret_stdin { input::secret()? } else { String::new() },
            credentials: if self.credentials_stdin { input::piped_credentials()? } else { String::new() },
            notices: self.notices,
        })
    }
}

impl UpdateIntegration {
    fn request(self) -> Result<v1::UpdateIntegrationRequest, CliError> {
        Ok(v1::UpdateIntegrationRequest {
            request_id: String::new(),
            integration: self.reference.integration,
            name: self.changes.name,
            config: input::optional_json("--config", self.changes.config.as_deref())?,
            mapping: input::optional_json("--mapping", self.changes.mapping.as_deref())?,
            events: self.changes.events.into_iter().map(i32::from).collect(),
            payload: self.changes.payload.map(i32::from),
            notices: self.changes.notices,
            routing: self.changes.routing.map(i32::from),
        })
    }
}

async fn help_connector(context: &Context, client: &Client, name: &str) -> Result<(), CliError> {
    let connectors = client.all_connectors().await?;
    let known: Vec<_> = connectors.iter().map(|connector| connector.name.clone()).collect();
    let Some(connector) = connectors.into_iter().find(|connector| connector.name == name) else {
        return Err(CliError::Failed(format!(
            "no connector '{name}'; this daemon speaks {}",
            known.join(", ")
        )));
    };
    context.out.note(&format!("{}: {}", connector.name, connector.summary));
    let columns = ["name", "kind", "required", "default", "help"].map(column);
    if connector.credentials.is_empty() {
        return context.out.whole_list(&shapes::<_, ConfigField>(connector.config), &columns);
    }
    let of = |fields: Vec<v1::ConfigField>, part: &str| {
        let fields: Vec<ConfigField> = shapes(fields);
        fields.into_iter().map(|field| field.of(part)).collect::<Vec<_>>()
    };
    let fields = [of(connector.config, "config"), of(connector.credentials, "credentials")].concat();
    context.out.whole_list(&fields, &["part", "name", "kind", "required", "default", "help"].map(column))
}

async fn list(
    context: &Context,
    client: &Client,
    company: Option<String>,
    badges: Vec<v1::Badge>,
    page: PageOptions,
) -> Result<(), CliError> {
    let request = v1::ListIntegrationsRequest {
        company: company.unwrap_or_default(),
        page_size: page.limit,
        page_token: page.token(),
        badges: badges.into_iter().map(i32::from).collect(),
        with_trends: false,
    };
    let answer = client.list_integrations(request).await?;
    let more = answer.next_page_token;
    let integrations: Vec<Integration> = shapes(answer.integrations);
    context.out.list(&integrations)?;
    note_more(context, &more);
    Ok(())
}

async fn delete(
    context: &Context,
    client: &Client,
    IntegrationReference { integration }: IntegrationReference,
    yes: bool,
) -> Result<(), CliError> {
    let found = client.get_integration(v1::GetIntegrationRequest { integration }).await?;
    let request = |dry_run| v1::DeleteIntegrationRequest {
        request_id: String::new(),
        integration: found.id.clone(),
        dry_run,
    };
    if !yes {
        let counted = client.delete_integration(request(true)).await?;
        let question = format!(
            "This removes '{}' with {} deliveries and {} attempts, for good.",
            found.name, counted.deliveries, counted.attempts
        );
        input::confirm(&question, &found.name)?;
    }
    let removed = client.delete_integration(request(false)).await?;
    context.out.object(&Deleted::new(found.id, &removed))
}

fn enabled(context: &Context, answer: v1::EnableIntegrationResponse) -> Result<(), CliError> {
    let integration = answer.integration.clone().unwrap_or_default();
    let held = integration.health.unwrap_or_default().held;
    let enabled = Enabled::from(answer);
    context.out.object(&enabled)?;
    note_undo(context, enabled.job_id.as_deref());
    if held > 0 {
        context.out.note(&format!(
            "{held} deliveries are held: `leadline delivery release --integration {}` pushes them, \
             `leadline delivery skip --state held --integration {0}` does not.",
            integration.id
        ));
    }
    Ok(())
}
