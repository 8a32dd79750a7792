//! Looks at a HubSpot account: whose it is, whether contacts may be read, and whether the mapped properties exist.

use super::{Compiled, VENDOR};
use crate::prelude::*;

/// The type of contacts, as lists tell it.
const CONTACTS: &str = "0-1";

/// Whose a contact is.
const OWNER: [&str; 1] = ["hubspot_owner_id"];

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    let path = ["account-info", &ready.version, "details"];
    let details = VENDOR.json(ctx, ready.request(Method::GET, &path)).await?;
    ctx.found.account = id_of(&details["portalId"]).map(|portal| {
        let domain = details["uiDomain"].as_str().unwrap_or("hubspot.com");
        format!("HubSpot account {portal} ({domain})")
    });
    if kind != ProbeKind::Mapping {
        // Any key may read the account; contacts take a scope.
        VENDOR.json(ctx, ready.objects(Method::GET, &["contacts"]).query(&[("limit", "1")])).await?;
    }
    let path = ["crm", "properties", &ready.version, "contacts"];
    let properties = VENDOR.json(ctx, ready.request(Method::GET, &path)).await?;
    ctx.found.targets = properties["results"].as_array().into_iter().flatten().filter_map(property).collect();
    if schema::names_owner(&ready.mapping, &OWNER) {
        let page = |after: Option<&str>| {
            let page = ready.request(Method::GET, &["crm", "owners", &ready.version]);
            let after = after.map(|after| ("after", after));
            page.query(&[("limit", "500")].into_iter().chain(after).collect::<Vec<_>>())
        };
        let next = |answer: &Value| word(&answer["paging"]["next"], "after").map(str::to_owned);
        let owners = VENDOR.list(ctx, "results", page, next).await;
        let owners = owners.map(|owners| schema::choices(&owners, "id", "email"));
        ctx.found.findings.extend(schema::owned_by(&mut ctx.found.targets, &OWNER, owners));
    }
    ctx.found.findings.extend(schema::findings(&ready.mapping, "property", &ctx.found.targets));
    if ready.place.is_set() {
        let sought = ready.sought(ctx).await;
        let unread = |failure: Failure| format!("deal_pipeline: cannot be read: {}", failure.error);
        ctx.found
            .findings
            .extend(sought.map_or_else(|failure| Some(unread(failure)), |found| Some(found.err()?.0)));
    }
    if ready.employs {
        let companies = ready.objects(Method::GET, &["companies"]).query(&[("limit", "1")]);
        let unread = VENDOR.json(ctx, companies).await.err();
        ctx.found
            .findings
            .extend(unread.map(|failure| format!("companies: cannot be read: {}", failure.error)));
    }
    for list in &ready.lists {
        let unfit = unfit(ready, *list, ctx).await?;
        ctx.found.findings.extend(unfit);
    }
    Ok(())
}

/// Why nobody can be put on a list.
async fn unfit(ready: &Compiled, list: u64, ctx: &mut Conversation<'_>) -> Result<Option<String>> {
    let answer = ctx.send(ready.list(Method::GET, list, &[])).await?;
    let body = answer.json().unwrap_or_default();
    let told = &body["list"];
    let name = word(told, "name").unwrap_or("?");
    let why = match answer.status {
        404 => "is not there".to_owned(),
        403 => "cannot be read: the key lacks the scopes crm.lists.read and crm.lists.write".to_owned(),
        _ if !answer.is_good() => return Err((VENDOR.failure)(&answer, ctx.now)),
        _ if told["processingType"] == "DYNAMIC" => {
            format!("({name}) fills itself: only a static list takes contacts")
        }
        _ if told["objectTypeId"].as_str().is_some_and(|kind| kind != CONTACTS) => {
            format!("({name}) is none of contacts")
        }
        _ => return Ok(None),
    };
    Ok(Some(format!("list_ids: list {list} {why}")))
}

fn property(property: &Value) -> Option<TargetField> {
    let kind = word(property, "type").unwrap_or_default();
    let takes = match kind {
        "number" => Takes::Number,
        "bool" => Takes::Truth,
        "date" => Takes::Date,
        "datetime" => Takes::Day,
        "enumeration" => Takes::Choice,
        _ => Takes::Any,
    };
    let is_fixed =
        property["modificationMetadata"]["readOnlyValue"] == true || property["calculated"] == true;
    let target = TargetField::new(word(property, "name")?, kind, takes)
        .labelled(word(property, "label"))
        .choosing(&property["options"], "value", "label")
        .fixed(is_fixed, "HubSpot sets it by itself");
    Some(TargetField { is_ours: property["hidden"] == true, ..target })
}
