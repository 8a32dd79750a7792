//! Rotating signing secrets: the new one signs at once, the old one may go along for a grace.

use leadline_proto::v1;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::super::{check, secret};
use crate::{
    domain::signing,
    store::command::{Command, Refusal},
};

/// A day: how long receivers have to learn the new secret unless told otherwise.
const GRACE: u32 = 24 * 60 * 60;
const MAX_GRACE: u32 = 7 * GRACE;

pub(super) async fn rotate(
    mut command: Box<Command>,
    request: v1::RotateSecretRequest,
) -> Result<(Box<Command>, v1::RotateSecretResponse), Refusal> {
    let grace = request.grace_seconds.unwrap_or(GRACE);
    if grace > MAX_GRACE {
        return Err(Refusal::Invalid(format!("grace of {grace} s: at most {MAX_GRACE} s, 7 days")));
    }
    let brought = !request.signing_secret.is_empty();
    let new = if brought {
        signing::check_secret(&request.signing_secret).map_err(Refusal::Invalid)?;
        SecretString::from(request.signing_secret)
    } else {
        secret::new_signing_secret()
    };
    let integration = command.integration(&request.integration).await?;
    if !check::connector(&integration.connector)?.signs() {
        return Err(Refusal::State(format!(
            "connector {} signs nothing: there is no secret to rotate",
            integration.connector
        )));
    }
    let version = command.rotate_secret(&integration, &new, grace).await?;
    let (company, id) = (integration.company.id, integration.id);
    let before = json!({ "secret_version": version - 1 });
    let after = json!({ "secret_version": version, "grace_seconds": grace });
    command.audit(company, &format!("integration {id}"), Some(before), Some(after)).await?;
    let answer = v1::RotateSecretResponse {
        integration: Some(command.integration_view(company, id).await?.into()),
        signing_secret: if brought { String::new() } else { new.expose_secret().to_owned() },
        secret_already_shown: false,
    };
    Ok((command, answer))
}

pub(super) async fn revoke(
    mut command: Box<Command>,
    request: v1::RevokeSecretRequest,
) -> Result<(Box<Command>, v1::Integration), Refusal> {
    let integration = command.integration(&request.integration).await?;
    let Some(version) = command.revoke_secret(&integration).await? else {
        return Err(Refusal::State(format!(
            "integration {:?} has no old secret in its grace: there is nothing to revoke",
            integration.name
        )));
    };
    let (company, id) = (integration.company.id, integration.id);
    let before = json!({ "secret_in_grace": version });
    command.audit(company, &format!("integration {id}"), Some(before), None).await?;
    let view = command.integration_view(company, id).await?;
    Ok((command, view.into()))
}
