//! Saves that have a way back: a mapping, settings, the condition of a flow. What one replaces is what the daemon says that
//! stands there just before, whatever stood there when its form was opened.

use leadline_client::Client;
use leadline_proto::v1;

use super::{CallFailure, change, convert};
use crate::console::data::undo::{PutBack, Replaced, Stood, replaced, replaced_when};
use crate::console::data::{Done, Integration, Mutation};

/// Saves, and tells what that replaced. A repeat may find it saved already: what stood before is not known then, and no
/// way back is better than a wrong one.
pub(super) async fn save(
    client: &Client,
    request_id: String,
    mutation: Mutation,
) -> Result<Done, CallFailure> {
    let before = match &mutation {
        Mutation::FlowWhen { flow, when } => replaced_when(flow, when, &condition(client, flow).await?),
        Mutation::Mapping { integration, .. } | Mutation::Settings { integration, .. } => {
            replaced(&mutation, &known(client, integration).await?)
        }
        _ => None,
    };
    let brings = match &mutation {
        // A mapping is read again after a check, and somebody else may have saved another one by then.
        Mutation::Mapping { integration, json } => Some(Stood::mapping(integration, json)),
        Mutation::FlowWhen { flow, when } => Some(Stood::when(flow, when)),
        _ => None,
    };
    let done = change::send(client, request_id, mutation).await?;
    let replaced = before.map(|before| came_to(before, brings, &done));
    Ok(Done::Saved { done: Box::new(done), replaced })
}

/// Puts back what a save replaced. What stands there is read first: what somebody saved since would be lost.
pub(super) async fn put_back(
    client: &Client,
    request_id: String,
    back: PutBack,
) -> Result<Done, CallFailure> {
    let PutBack { change, brings, replaces } = back;
    let (now, change, as_it_is) = match &replaces {
        Stood::When { flow, .. } => {
            let when = condition(client, flow).await?;
            (Stood::when(flow, &when), change, Done::Noted(Vec::new()))
        }
        of @ (Stood::Mapping { integration, .. } | Stood::Settings { integration, .. }) => {
            let it = known(client, integration).await?;
            (of.now(&it), brings.change(Some(&it)), Done::Changed(Box::new(it)))
        }
    };
    let done = if now.is_same(&brings) {
        // A repeat finds that it was put back already.
        as_it_is
    } else if now.is_same(&replaces) {
        change::send(client, request_id, change).await?
    } else {
        return Err(CallFailure::Refused(
            "it is not what you saved: somebody has changed it since, and that would be lost".to_owned(),
        ));
    };
    let replaced = Some(came_to(replaces, Some(brings), &done));
    Ok(Done::Saved { done: Box::new(done), replaced })
}

/// What stands there since is what was sent; of settings it is what the daemon answers, as it shows secrets shortened.
fn came_to(before: Stood, brings: Option<Stood>, done: &Done) -> Box<Replaced> {
    let after = match (&before, done) {
        (Stood::Settings { .. }, Done::Changed(it)) => before.now(it),
        _ => brings.unwrap_or_else(|| before.clone()),
    };
    Box::new(Replaced { before, after })
}

async fn condition(client: &Client, flow: &str) -> Result<String, CallFailure> {
    Ok(client.get_flow(v1::GetFlowRequest { flow: flow.to_owned() }).await?.when)
}

async fn known(client: &Client, integration: &str) -> Result<Integration, CallFailure> {
    let request = v1::GetIntegrationRequest { integration: integration.to_owned() };
    Ok(convert::integration(client.get_integration(request).await?))
}
