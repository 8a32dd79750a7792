//! A look at the account that pushes no lead: whose it is, which lists are there, and which attributes.

use http::Method;
use serde_json::Value;

use super::{NAME, Ready, VENDOR};
use crate::{
    Conversation, Found, crm,
    field_kind::{Kind, kind_brought},
    vendor::word,
};
use leadline_domain::{
    integration::ProbeKind,
    outcome::{Failure, FailureClass},
};

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    if kind != ProbeKind::Mapping {
        let mut names = Vec::new();
        for list in &ready.lists {
            let list = list.to_string();
            let answer = ctx.send(ready.request(Method::GET, &["contacts", "lists", &list])).await?;
            if answer.status == 404 {
                let error = format!("{NAME}: there is no list {list}; correct list_ids");
                return Err(Failure::new(FailureClass::Rejected, error));
            }
            if !answer.is_good() {
                return Err((VENDOR.failure)(&answer, ctx.now));
            }
            names.push(answer.json().as_ref().and_then(|list| word(list, "name")).unwrap_or("?").to_owned());
        }
        let account = VENDOR.json(ctx, ready.request(Method::GET, &["account"])).await?;
        let company = word(&account, "companyName").or_else(|| word(&account, "email")).unwrap_or("?");
        found.account = Some(format!("{company}, {}", names.join(", ")));
    }
    let schema = VENDOR.json(ctx, ready.request(Method::GET, &["contacts", "attributes"])).await?;
    found.findings = findings(ready, &schema);
    Ok(())
}

/// What is wrong with the mapping. Brevo takes no notice of a value whose type is another: nobody would see it missing.
fn findings(ready: &Ready, schema: &Value) -> Vec<String> {
    let attributes = schema["attributes"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<String> =
        attributes.iter().filter_map(|own| word(own, "name")).map(str::to_owned).collect();
    let mut findings = crm::unknown_targets(&ready.mapping, "attribute", &names);
    for rule in ready.mapping.rules() {
        let target = rule.to.as_deref();
        let Some(own) = attributes.iter().find(|own| target.is_some() && word(own, "name") == target) else {
            continue;
        };
        let (target, category) = (target.unwrap_or_default(), word(own, "category").unwrap_or_default());
        let kind = word(own, "type").unwrap_or(category);
        if matches!(category, "calculated" | "global") {
            findings.push(format!(
                "{}: Brevo fills attribute {target} itself ({category}); use another",
                rule.field
            ));
        } else if let Some(field) = kind_brought(rule).filter(|field| !fits(kind, *field)) {
            findings
                .push(format!("{}: attribute {target} is of type {kind}, and this is {field}", rule.field));
        }
    }
    findings
}

/// Whether an attribute of this type takes values of this kind.
fn fits(kind: &str, own: Kind) -> bool {
    match kind {
        "float" | "id" => own == Kind::Number,
        "boolean" => own == Kind::Truth,
        "date" => own == Kind::Date,
        // Its values are numbers of its own, or words that it knows.
        "category" | "multiple-choice" | "user" => false,
        _ => true,
    }
}
