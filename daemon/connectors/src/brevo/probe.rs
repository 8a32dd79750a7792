//! A look at the account that pushes no lead: whose it is, which lists are there, and which attributes.

use super::{Compiled, NAME, VENDOR};
use crate::prelude::*;

/// So many lists are looked at: each takes a call.
const LISTS: usize = 50;

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    let mut names = Vec::new();
    for list in ready.lists.iter().take(LISTS) {
        let list = list.to_string();
        let answer = ctx.send(ready.request(Method::GET, &["contacts", "lists", &list])).await?;
        match (answer.status, kind) {
            (404, ProbeKind::Mapping) => {
                ctx.found.findings.push(format!("list_ids: there is no list {list}"))
            }
            (404, _) => {
                let error = format!("{NAME}: there is no list {list}; correct list_ids");
                return Err(Failure::new(FailureClass::Rejected, error));
            }
            _ => names.push(word(&VENDOR.read(&answer, ctx.now)?, "name").unwrap_or("?").to_owned()),
        }
    }
    if let Some(confirmation) = &ready.confirmation {
        let (key, template) = ("confirm_template_id", confirmation.template.to_string());
        let look = ready.request(Method::GET, &["smtp", "templates", &template]);
        let found = VENDOR.named(ctx, ProbeKind::Mapping, key, look).await?;
        if found["doiTemplate"] == false {
            ctx.found.findings.push(format!("{key}: template {template} is none for double opt-in"));
        }
    }
    if kind != ProbeKind::Mapping {
        let account = VENDOR.json(ctx, ready.request(Method::GET, &["account"])).await?;
        let company = word(&account, "companyName").or_else(|| word(&account, "email")).unwrap_or("?");
        ctx.found.account = Some(format!("{company}, {}", names.join(", ")));
    }
    let schema = VENDOR.json(ctx, ready.request(Method::GET, &["contacts", "attributes"])).await?;
    ctx.found.targets = schema["attributes"].as_array().into_iter().flatten().filter_map(attribute).collect();
    ctx.found.findings.extend(schema::findings(&ready.mapping, "attribute", &ctx.found.targets));
    Ok(())
}

/// Brevo takes no notice of a value whose type is another: nobody would see it missing.
fn attribute(own: &Value) -> Option<TargetField> {
    let category = word(own, "category").unwrap_or_default();
    let kind = word(own, "type").unwrap_or(category);
    let takes = match kind {
        "float" | "id" => Takes::Number,
        "boolean" => Takes::Truth,
        "date" => Takes::Date,
        // Its values are numbers of its own, told beside their words.
        "category" if own["enumeration"].as_array().is_some_and(|words| !words.is_empty()) => Takes::Choice,
        "category" | "multiple-choice" | "user" => Takes::Nothing,
        _ => Takes::Any,
    };
    let target =
        TargetField::new(word(own, "name")?, kind, takes).choosing(&own["enumeration"], "value", "label");
    Some(target.fixed(matches!(category, "calculated" | "global"), "Brevo fills it itself"))
}
