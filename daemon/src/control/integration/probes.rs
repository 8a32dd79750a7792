//! Probes asked for: tests, mapping checks, new credentials. Dispatch carries them out.

use leadline_proto::v1;
use serde_json::{Value, json};

use super::super::{Control, check};
use crate::{
    connectors::{self, Connector},
    domain::integration::ProbeKind,
    store::operator::{
        command::{Command, Refusal},
        refusal::{Known, RefusalReason},
    },
};

type ProbeAnswer<T> = Result<(Box<Command>, T), Refusal>;

pub(super) async fn test(
    command: Box<Command>,
    request: v1::TestIntegrationRequest,
) -> ProbeAnswer<v1::TestIntegrationResponse> {
    let (command, attempt_id) = ask(command, &request.integration, ProbeKind::Test, |_| Ok(None)).await?;
    Ok((command, v1::TestIntegrationResponse { attempt_id }))
}

pub(super) async fn check(
    command: Box<Command>,
    request: v1::CheckIntegrationRequest,
) -> ProbeAnswer<v1::CheckIntegrationResponse> {
    let (command, attempt_id) = ask(command, &request.integration, ProbeKind::Mapping, |connector| {
        if connector.manifest().checks_mapping {
            return Ok(None);
        }
        let name = connector.manifest().name;
        let message = format!("connector {name} has no fields of the target's to compare with");
        Err(Known::new(RefusalReason::ChecksNothing, message).into())
    })
    .await?;
    Ok((command, v1::CheckIntegrationResponse { attempt_id }))
}

pub(super) async fn set_credentials(
    control: &Control,
    command: Box<Command>,
    request: v1::SetCredentialsRequest,
) -> ProbeAnswer<v1::SetCredentialsResponse> {
    let (command, attempt_id) = ask(command, &request.integration, ProbeKind::Credentials, |connector| {
        credentials(control, connector, &request.credentials).map(Some)
    })
    .await?;
    Ok((command, v1::SetCredentialsResponse { attempt_id }))
}

/// Reads credentials and refuses those that cannot be right, naming keys and never values.
pub(super) fn credentials(
    control: &Control,
    connector: &dyn Connector,
    text: &str,
) -> Result<Value, Refusal> {
    if connector.manifest().credentials.is_empty() {
        return check::invalid(format!(
            "credentials: connector {} needs none, leave them out",
            connector.manifest().name
        ));
    }
    let credentials = check::object("credentials", text)?;
    let problems = connector.check_credentials(&credentials, &control.egress);
    if problems.is_empty() { Ok(credentials) } else { check::invalid(connectors::joined(&problems)) }
}

async fn ask(
    mut command: Box<Command>,
    reference: &str,
    kind: ProbeKind,
    candidate: impl FnOnce(&dyn Connector) -> Result<Option<Value>, Refusal> + Send,
) -> ProbeAnswer<String> {
    let (lane, connector) = command.probed(reference).await?;
    let candidate = candidate(check::connector(&connector)?)?;
    let attempt = command.request_probe(lane, kind, candidate.as_ref()).await?;
    let after = json!({ "probe": kind.as_str(), "attempt": attempt.to_string() });
    command.audit(lane.company, &format!("integration {}", lane.integration), None, Some(after)).await?;
    Ok((command, attempt.to_string()))
}
