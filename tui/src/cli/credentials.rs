//! `leadline integration set-credentials` and `check`: what we log in with, and whether the mapping fits the target.

use leadline_client::Client;
use leadline_proto::v1;
use serde_json::{Map, Value};

use super::{
    CliError, Context, input,
    output_types::{Attempt, Integration},
    wait,
};
/// Replaces the credentials, once the target has taken the new ones.
pub(crate) async fn set(context: &Context, client: &Client, integration: String) -> Result<(), CliError> {
    let credentials =
        if input::is_asked() { ask(client, &integration).await? } else { input::piped_credentials()? };
    let request = v1::SetCredentialsRequest {
        request_id: String::new(),
        integration: integration.clone(),
        credentials,
    };
    let attempt = client.set_credentials(request).await?.attempt_id;
    let tried = wait::outcome(client, v1::AwaitAttemptRequest { attempt, ..Default::default() }).await?;
    if tried.state() != v1::AttemptState::Delivered {
        let stay = CliError::Failed(format!("the old credentials stay: {}", tried.error));
        return Err::<(), _>(stay).and(context.out.object(&Attempt::from(tried)));
    }
    let found = client.get_integration(v1::GetIntegrationRequest { integration }).await?;
    let dead = found.health.as_ref().map_or(0, |health| health.dead);
    let id = found.id.clone();
    context.out.object(&Integration::from(found))?;
    if dead > 0 {
        context.out.note(&format!(
            "{dead} deliveries wait dead: `leadline delivery retry --integration {id} --class credentials` pushes \
             those that the old credentials stopped."
        ));
    }
    Ok(())
}

async fn ask(client: &Client, integration: &str) -> Result<String, CliError> {
    let request = v1::GetIntegrationRequest { integration: integration.to_owned() };
    let found = client.get_integration(request).await?;
    let connectors = client.all_connectors().await?;
    let fields = connectors
        .into_iter()
        .find(|connector| connector.name == found.connector)
        .map(|connector| connector.credentials)
        .unwrap_or_default();
    if fields.is_empty() {
        return Err(CliError::Failed(format!("connector {} needs no credentials", found.connector)));
    }
    let mut credentials = Map::new();
    for field in fields {
        let value = input::credential(&field.name, &field.help)?;
        if !value.is_empty() {
            credentials.insert(field.name, Value::String(value));
        }
    }
    Ok(Value::Object(credentials).to_string())
}

/// Looks at the target and shows what does not fit, or what could be added to the mapping.
pub(crate) async fn check(
    context: &Context,
    client: &Client,
    integration: String,
    propose: bool,
) -> Result<(), CliError> {
    let request = v1::CheckIntegrationRequest { request_id: String::new(), integration: integration.clone() };
    let attempt = client.check_integration(request).await?.attempt_id;
    let looked = wait::outcome(client, v1::AwaitAttemptRequest { attempt, ..Default::default() }).await?;
    let found = client.get_integration(v1::GetIntegrationRequest { integration }).await?;
    if propose && looked.state() == v1::AttemptState::Delivered {
        return show_proposals(context, &found);
    }
    let findings = found.findings.len();
    let printed = context.out.object(&Integration::from(found));
    fits(findings).and(printed)
}

/// Prints the mapping as it would be with all that is proposed, and on stderr why.
fn show_proposals(context: &Context, found: &v1::Integration) -> Result<(), CliError> {
    let mut mapping: Map<String, Value> = serde_json::from_str(&found.mapping).unwrap_or_default();
    for proposal in &found.proposals {
        context.out.remark(&format!("{}: {}", proposal.field, proposal.why));
        let rule = serde_json::from_str(&proposal.rule).unwrap_or_default();
        mapping.insert(proposal.field.clone(), rule);
    }
    for finding in &found.findings {
        context.out.remark(&format!("does not fit: {finding}"));
    }
    if found.proposals.is_empty() {
        context
            .out
            .remark("nothing to propose: no free field of the target's is called as a field of a lead's is");
    }
    context.out.json(&mapping)
}

fn fits(findings: usize) -> Result<(), CliError> {
    match findings {
        0 => Ok(()),
        1 => Err(CliError::Failed("1 thing does not fit: see findings".to_owned())),
        many => Err(CliError::Failed(format!("{many} things do not fit: see findings"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_fails_the_command() {
        let reported = [0, 1, 2].map(|findings| fits(findings).err().map(|error| error.to_string()));
        let [none, one, two] = reported.each_ref().map(Option::as_deref);
        assert_eq!(none, None);
        assert_eq!(one, Some("1 thing does not fit: see findings"));
        assert_eq!(two, Some("2 things do not fit: see findings"));
    }
}
