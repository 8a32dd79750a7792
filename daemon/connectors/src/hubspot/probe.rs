//! Looks at a HubSpot account: whose it is, whether contacts may be read, and whether the mapped properties exist.

use http::Method;
use serde_json::Value;

use super::{Ready, VENDOR};
use crate::{
    Conversation, Found, crm,
    field_kind::{EVENT_TYPES, Kind, kind_brought},
    vendor::id_of,
};
use leadline_domain::{integration::ProbeKind, mapping::Mapping, outcome::Failure};

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
    found.findings = findings(&ready.mapping, &properties);
    Ok(())
}

/// What is wrong with the mapping, going by the account's own properties.
fn findings(mapping: &Mapping, properties: &Value) -> Vec<String> {
    let properties: Vec<&Value> = properties["results"].as_array().into_iter().flatten().collect();
    let names: Vec<String> =
        properties.iter().filter_map(|property| property["name"].as_str().map(str::to_owned)).collect();
    let mut findings = crm::unknown_targets(mapping, "property", &names);
    for rule in mapping.rules() {
        let Some(target) = rule.to.as_deref() else { continue };
        let Some(property) = properties.iter().find(|property| property["name"] == target) else { continue };
        if property["modificationMetadata"]["readOnlyValue"] == true || property["calculated"] == true {
            findings.push(format!("{}: {target} cannot be written; HubSpot sets it by itself", rule.field));
        } else if let Some(kind) = kind_brought(rule) {
            findings.extend(mismatch(&rule.field, kind, target, property));
        }
    }
    findings
}

fn mismatch(field: &str, kind: Kind, target: &str, property: &Value) -> Option<String> {
    let wanted = property["type"].as_str()?;
    let fits = match wanted {
        "number" => kind == Kind::Number,
        "bool" => kind == Kind::Truth,
        "date" => kind == Kind::Date,
        "datetime" => matches!(kind, Kind::Date | Kind::Time),
        _ => true,
    };
    if !fits {
        return Some(format!("{field}: {target} holds a {wanted}, and this is {kind}"));
    }
    if wanted != "enumeration" || field != "lead.event_type" {
        return None;
    }
    let options: Vec<&str> =
        property["options"].as_array()?.iter().filter_map(|option| option["value"].as_str()).collect();
    let missing: Vec<&str> = EVENT_TYPES.into_iter().filter(|kind| !options.contains(kind)).collect();
    let is_short = !options.is_empty() && !missing.is_empty();
    is_short.then(|| format!("{field}: {target} has no option {}", missing.join(", ")))
}
