//! Rotating signing secrets. Now: the new one signs at once, the old one may go along for a grace. Staged: the new one
//! goes along until an operator cuts over, with hold while nothing is pushed.

use leadline_proto::v1;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tonic::Request;

use super::super::{Control, Reply, check, mutate, secret};
use crate::{
    domain::{delivery::Reason, signing},
    store::{
        integration::{LockedIntegration, secret::SecretEntry},
        operator::{
            command::{Command, Mutation, Refusal},
            refusal::{Known, RefusalReason},
        },
        queue::release::BATCH,
    },
};

/// A day: how long receivers have to learn the new secret unless told otherwise.
const GRACE: u32 = 24 * 60 * 60;
const MAX_GRACE: u32 = 7 * GRACE;

pub(super) async fn rotate(
    mut command: Box<Command>,
    request: v1::RotateSecretRequest,
) -> Result<(Box<Command>, v1::RotateSecretResponse), Refusal> {
    let entry = entry(&request)?;
    let brought = !request.signing_secret.is_empty();
    let new = if brought {
        signing::check_secret(&request.signing_secret)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        SecretString::from(request.signing_secret)
    } else {
        secret::new_signing_secret()
    };
    let integration = command.integration(&request.integration).await?;
    if !check::connector(&integration.connector)?.manifest().signs {
        return Err(Refusal::State(format!(
            "connector {} signs nothing: there is no secret to rotate",
            integration.connector
        )));
    }
    let before = command.secrets(&integration).await?;
    if before.staged.is_some() {
        let (name, id) = (&integration.name, integration.id);
        let message = format!("integration {name:?} has a staged secret: cut over, or cancel it");
        return Err(Known::new(RefusalReason::StagedSecret, message).about("integration", id).into());
    }
    let version = command.rotate_secret(&integration, &new, entry).await?;
    let (company, id) = (integration.company.id, integration.id);
    let before = json!({ "secret_version": before.current });
    let after = match entry {
        SecretEntry::Now { grace_seconds } => {
            json!({ "secret_version": version, "grace_seconds": grace_seconds })
        }
        SecretEntry::Staged { hold } => json!({ "staged_secret_version": version, "hold": hold }),
    };
    command.audit(company, &format!("integration {id}"), Some(before), Some(after)).await?;
    let answer = v1::RotateSecretResponse {
        integration: Some(command.integration_view(integration.lane()).await?.into()),
        signing_secret: if brought { String::new() } else { new.expose_secret().to_owned() },
        secret_already_shown: false,
    };
    Ok((command, answer))
}

/// How the new secret comes in.
fn entry(request: &v1::RotateSecretRequest) -> Result<SecretEntry, Refusal> {
    match (request.staged, request.hold, request.grace) {
        (true, _, Some(_)) => check::invalid(
            "a staged secret has no grace: cutting over retires the old one; leave the grace out",
        ),
        (true, hold, None) => Ok(SecretEntry::Staged { hold }),
        (false, true, _) => {
            check::invalid("only a staged rotation can hold pushes: send staged too, or leave hold out")
        }
        (false, false, None) => Ok(SecretEntry::Now { grace_seconds: GRACE }),
        (false, false, Some(grace)) => match (u32::try_from(grace.seconds), grace.nanos) {
            (Ok(grace_seconds @ 0..=MAX_GRACE), 0) => Ok(SecretEntry::Now { grace_seconds }),
            _ => check::invalid(format!(
                "grace of {} s: give whole seconds, at most {MAX_GRACE}, 7 days",
                grace.seconds
            )),
        },
    }
}

impl Control {
    /// Makes the staged secret the one that signs, and releases what was held for it.
    pub(super) async fn cut_over_secret(
        &self,
        request: Request<v1::CutOverRequest>,
    ) -> Reply<v1::CutOverResponse> {
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        self.release_for_rotation(&call, &request.integration).await?;
        self.carry_out(&call, |mut command| async move {
            let integration = command.integration(&request.integration).await?;
            let secrets = command.secrets(&integration).await?;
            let Some(staged) = secrets.staged else {
                let message = format!("integration {:?} has no staged secret", integration.name);
                return Err(Known::new(RefusalReason::NoStagedSecret, message)
                    .about("integration", integration.id)
                    .into());
            };
            release_rest(&mut command, &integration).await?;
            command.cut_over(&integration).await?;
            let before = json!({ "secret_version": secrets.current });
            let after = json!({ "secret_version": staged });
            let (command, integration) = finish(command, &integration, before, after).await?;
            Ok((command, v1::CutOverResponse { integration: Some(integration) }))
        })
        .await
    }

    /// Takes away the secret beside the current one: that in its grace, or the staged one.
    pub(super) async fn revoke_secrets(
        &self,
        request: Request<v1::RevokeSecretRequest>,
    ) -> Reply<v1::RevokeSecretResponse> {
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        self.release_for_rotation(&call, &request.integration).await?;
        self.carry_out(&call, |mut command| async move {
            let integration = command.integration(&request.integration).await?;
            let secrets = command.secrets(&integration).await?;
            let before = if let Some(staged) = secrets.staged {
                release_rest(&mut command, &integration).await?;
                command.cancel_staged(&integration).await?;
                json!({ "staged_secret_version": staged })
            } else if let Some(grace) = secrets.grace {
                command.end_grace(&integration).await?;
                json!({ "secret_in_grace": grace })
            } else {
                return Err(Refusal::State(format!(
                    "integration {:?} has no old secret in its grace and none is staged: there is nothing to revoke",
                    integration.name
                )));
            };
            let after = json!({ "secret_version": secrets.current });
            let (command, integration) = finish(command, &integration, before, after).await?;
            Ok((command, v1::RevokeSecretResponse { integration: Some(integration) }))
        })
        .await
    }

    /// Releases what a rotation holds but for the last batch. Nothing is pushed before the rotation ends, so whatever
    /// breaks off in between can be asked for again.
    async fn release_for_rotation(&self, call: &Mutation, reference: &str) -> Result<(), Refusal> {
        let lane = self.store.find_integration(None, reference).await?;
        loop {
            let mut command = self.store.batch(call).await?;
            if command.release_held_for(lane.company, lane.integration, &Reason::Rotation).await? < BATCH {
                // Dropping this one leaves them to the last transaction.
                return Ok(());
            }
            command.commit().await?;
        }
    }
}

async fn release_rest(command: &mut Command, integration: &LockedIntegration) -> Result<(), Refusal> {
    let (company, id) = (integration.company.id, integration.id);
    while command.release_held_for(company, id, &Reason::Rotation).await? == BATCH {}
    Ok(())
}

async fn finish(
    mut command: Box<Command>,
    integration: &LockedIntegration,
    before: serde_json::Value,
    after: serde_json::Value,
) -> Result<(Box<Command>, v1::Integration), Refusal> {
    let (company, id) = (integration.company.id, integration.id);
    command.audit(company, &format!("integration {id}"), Some(before), Some(after)).await?;
    let view = command.integration_view(integration.lane()).await?;
    Ok((command, view.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_in_one_way() {
        let request = |staged, hold, grace: Option<u32>| v1::RotateSecretRequest {
            staged,
            hold,
            grace: grace.map(|seconds| prost_types::Duration { seconds: seconds.into(), nanos: 0 }),
            ..v1::RotateSecretRequest::default()
        };
        for (staged, hold, grace, reported) in [
            (false, false, None, "Now { grace_seconds: 86400 }"),
            (false, false, Some(0), "Now { grace_seconds: 0 }"),
            (false, false, Some(MAX_GRACE), "Now { grace_seconds: 604800 }"),
            (
                false,
                false,
                Some(MAX_GRACE + 1),
                "grace of 604801 s: give whole seconds, at most 604800, 7 days",
            ),
            (true, false, None, "Staged { hold: false }"),
            (true, true, None, "Staged { hold: true }"),
            (
                true,
                true,
                Some(1),
                "a staged secret has no grace: cutting over retires the old one; leave the grace out",
            ),
            (false, true, None, "only a staged rotation can hold pushes: send staged too, or leave hold out"),
        ] {
            let got = match entry(&request(staged, hold, grace)) {
                Ok(entry) => format!("{entry:?}"),
                Err(refusal) => refusal.to_string(),
            };
            assert_eq!(got, reported);
        }
    }
}
