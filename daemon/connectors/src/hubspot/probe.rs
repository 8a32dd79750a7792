//! Looks at a HubSpot account: whose it is, whether contacts may be read, and whether the mapped properties exist.

use http::Method;
use serde_json::Value;

use super::{Ready, VENDOR};
use crate::{
    Conversation, Found,
    vendor::{id_of, word},
};
use leadline_domain::{
    integration::ProbeKind,
    outcome::Failure,
    schema::{self, Takes, TargetField},
};

/// Whose a contact is.
const OWNER: [&str; 1] = ["hubspot_owner_id"];

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    let path = ["account-info", &ready.version, "details"];
    let details = VENDOR.json(ctx, ready.request(Method::GET, &path)).await?;
    found.account = id_of(&details["portalId"]).map(|portal| {
        let domain = details["uiDomain"].as_str().unwrap_or("hubspot.com");
        format!("HubSpot account {portal} ({domain})")
    });
    if kind != ProbeKind::Mapping {
        // Any key may read the account; contacts take a scope.
        VENDOR.json(ctx, ready.objects(Method::GET, &["contacts"]).query(&[("limit", "1")])).await?;
    }
    let path = ["crm", "properties", &ready.version, "contacts"];
    let properties = VENDOR.json(ctx, ready.request(Method::GET, &path)).await?;
    found.targets = properties["results"].as_array().into_iter().flatten().filter_map(property).collect();
    if schema::names_owner(&ready.mapping, &OWNER) {
        let owners =
            ready.request(Method::GET, &["crm", "owners", &ready.version]).query(&[("limit", "500")]);
        let owners = VENDOR.json(ctx, owners).await;
        let owners = owners.map(|owners| schema::choices(&owners["results"], "id", "email"));
        found.findings.extend(schema::owned_by(&mut found.targets, &OWNER, owners));
    }
    found.findings.extend(schema::findings(&ready.mapping, "property", &found.targets));
    Ok(())
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
