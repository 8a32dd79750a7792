//! Creating and updating: nothing is saved that its connector would refuse to push with.

use leadline_proto::v1;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    super::{Control, check, company::plan_allows, secret, words},
    probes,
};
use crate::{
    connectors::{self, Connector},
    domain::{
        ids::IntegrationId,
        integration::{Integration, ProbeKind, SigningSecret},
        lane::LaneId,
        origins::origins,
        signing,
        telling::Telling,
    },
    store::{
        company::Company,
        integration::{LockedIntegration, NewIntegration},
        operator::command::{Command, Refusal},
    },
};

pub(super) async fn create(
    control: &Control,
    mut command: Box<Command>,
    request: v1::CreateIntegrationRequest,
) -> Result<(Box<Command>, v1::CreateIntegrationResponse), Refusal> {
    let connector = check::connector(&request.connector)?;
    let name = check::name(&request.name)?;
    let config = check::object("config", &request.config)?;
    let mapping = check::object("mapping", &request.mapping)?;
    let payload = check::payload(connector, request.payload)?;
    let routing = words::read_routing(request.routing)?.unwrap_or_default();
    let events = if request.notices && request.events.is_empty() {
        Vec::new()
    } else {
        check::events(&request.events)?
    };
    takes_notices(connector, request.notices)?;
    let secret = first_secret(connector, &request.signing_secret)?;
    let credentials = match check::optional(&request.credentials) {
        Some(text) => Some(probes::credentials(control, connector, text)?),
        None => None,
    };
    refuse_shortened(connector, &config)?;
    let company = command.company(&request.company).await?;
    command.name_is_free(company.id, name).await?;
    if !request.disabled {
        plan_allows(&mut command, &company, connector.manifest().name, "create it disabled, ").await?;
    }
    check_config(control, connector, &company, name, &config, &mapping, payload).await?;
    let id = command
        .create_integration(&NewIntegration {
            company: company.id,
            name,
            connector: connector.manifest().name,
            enabled: !request.disabled,
            config: &config,
            shown: &connector.shown(&config),
            mapping: &mapping,
            events: &events,
            payload,
            routing,
            needs_consent: connector.manifest().needs_consent,
            notices: request.notices,
            secret: secret.as_ref(),
            credentials: credentials.as_ref(),
        })
        .await?;
    if connector.manifest().checks_mapping && credentials.is_some() {
        command.request_probe(LaneId::new(company.id, id), ProbeKind::Mapping, None).await?;
    }
    let integration = command.integration_of(&company, &id.to_string()).await?;
    audit(&mut command, &integration, None).await?;
    let made = secret.filter(|_| request.signing_secret.is_empty());
    let answer = v1::CreateIntegrationResponse {
        integration: Some(command.integration_view(LaneId::new(company.id, id)).await?.into()),
        signing_secret: made.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default(),
        secret_already_shown: false,
    };
    Ok((command, answer))
}

pub(super) async fn update(
    control: &Control,
    mut command: Box<Command>,
    request: v1::UpdateIntegrationRequest,
) -> Result<(Box<Command>, v1::UpdateIntegrationResponse), Refusal> {
    let mut integration = command.integration(&request.integration).await?;
    let before = integration.audited();
    if let Some(name) = &request.name {
        let name = check::name(name)?;
        if name != integration.name {
            command.name_is_free(integration.company.id, name).await?;
            integration.name = name.to_owned();
        }
    }
    let connector = check::connector(&integration.connector)?;
    if let Some(config) = &request.config {
        let mut config = check::object("config", config)?;
        let mut kept = config.clone();
        check::keep_shown(&mut kept, &integration.shown, &integration.config);
        // Nothing that was given for this origin goes along to another one.
        if origins(&kept) == origins(&integration.config) {
            config = kept;
        }
        refuse_shortened(connector, &config)?;
        integration.shown = connector.shown(&config);
        integration.config = config;
    }
    if let Some(mapping) = &request.mapping {
        integration.mapping = check::object("mapping", mapping)?;
    }
    if !request.events.is_empty() {
        integration.events = check::events(&request.events)?;
    }
    // What is not named stays, however it is left out.
    if let Some(payload) = request.payload.filter(|payload| *payload != 0) {
        integration.payload = check::payload(connector, payload)?.to_owned();
    }
    if let Some(routing) = request.routing.map(words::read_routing).transpose()?.flatten() {
        integration.routing = routing;
    }
    if let Some(notices) = request.notices {
        takes_notices(connector, notices)?;
        if !notices && integration.events.is_empty() {
            return check::invalid(
                "notices: it is subscribed to no event, and without notices nothing would reach it; \
                 name events too, or delete it",
            );
        }
        integration.notices = notices;
    }
    if request.config.is_some() || request.mapping.is_some() || request.payload.is_some() {
        let LockedIntegration { company, name, config, mapping, payload, .. } = &integration;
        check_config(control, connector, company, name, config, mapping, payload).await?;
    }
    command.write_integration(&integration).await?;
    if connector.manifest().checks_mapping && (request.config.is_some() || request.mapping.is_some()) {
        command.request_probe(integration.lane(), ProbeKind::Mapping, None).await?;
    }
    audit(&mut command, &integration, Some(before)).await?;
    let view = command.integration_view(integration.lane()).await?;
    Ok((command, v1::UpdateIntegrationResponse { integration: Some(view.into()) }))
}

/// Refuses notices where they could not be told from leads: they are events of their own.
fn takes_notices(connector: &dyn Connector, notices: bool) -> Result<(), Refusal> {
    if !notices || connector.manifest().takes_notices {
        return Ok(());
    }
    check::invalid(format!(
        "notices: connector {} carries leads only; use a webhook, slack or email for them",
        connector.manifest().name
    ))
}

/// The audit line of a change of an integration.
pub(super) async fn audit(
    command: &mut Command,
    integration: &LockedIntegration,
    before: Option<Value>,
) -> Result<(), Refusal> {
    let target = format!("integration {}", integration.id);
    command.audit(integration.company.id, &target, before, Some(integration.audited())).await
}

/// The secret of a new integration: brought along, made, or none where nothing is signed.
fn first_secret(connector: &dyn Connector, brought: &str) -> Result<Option<SecretString>, Refusal> {
    match (connector.manifest().signs, brought) {
        (false, "") => Ok(None),
        (false, _) => check::invalid(format!(
            "signing_secret: connector {} signs nothing, leave it out",
            connector.manifest().name
        )),
        (true, "") => Ok(Some(secret::new_signing_secret())),
        (true, brought) => {
            signing::check_secret(brought).map_err(|error| Refusal::Invalid(error.to_string()))?;
            Ok(Some(brought.into()))
        }
    }
}

/// Refuses a configuration that was read from what is shown and carries credentials only shortened.
fn refuse_shortened(connector: &dyn Connector, config: &Value) -> Result<(), Refusal> {
    let paths = check::shortened(config, |config| connector.shown(config));
    if paths.is_empty() {
        return Ok(());
    }
    check::invalid(format!(
        "{}: this is the credential as it is shown, shortened; send the whole one",
        paths.join(", ")
    ))
}

/// Everything that is wrong with a configuration, in one message.
async fn check_config(
    control: &Control,
    connector: &'static dyn Connector,
    company: &Company,
    name: &str,
    config: &Value,
    mapping: &Value,
    payload: &str,
) -> Result<(), Refusal> {
    let brand = company.brand.clone().unwrap_or_else(|| control.brand.clone());
    let egress = control.egress.clone();
    // What depends on the payload shows only when it is put together as for a push; nothing is signed here.
    let candidate = Integration {
        company: company.id,
        company_name: company.name.clone(),
        id: IntegrationId::generate(),
        name: name.to_owned(),
        connector: connector.manifest().name.to_owned(),
        enabled: true,
        config: config.clone(),
        credentials: Value::Null,
        credentials_for: None,
        mapping: mapping.clone(),
        payload: payload.to_owned(),
        version: 1,
        brand: company.brand.clone(),
        telling: Telling::default(),
        secrets: vec![SigningSecret {
            version: 1,
            secret: secret::new_signing_secret(),
            expires_at: None,
            staged: false,
        }],
    };
    let check = move || {
        let problems = connector.check(&candidate.config, &candidate.mapping, &egress, &brand);
        if !problems.is_empty() {
            return check::invalid(connectors::joined(&problems));
        }
        connector.prepare(&candidate, &brand).map(drop).map_err(|failure| Refusal::Invalid(failure.error))
    };
    control.check_templates(company.id, check).await?
}
