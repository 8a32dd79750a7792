//! Looks at a HubSpot account: whose it is, whether contacts may be read, and whether the mapped properties exist.

use http::Method;
use serde_json::Value;

use super::{Ready, VENDOR, answer};
use crate::{
    connectors::{
        Exchange, Probe, ProbeStep, config, crm,
        kinds::{EVENT_TYPES, Kind, kind_of},
        look::{self, Look, Next},
        talk,
    },
    domain::{integration::ProbeKind, mapping::Mapping},
};

pub(super) fn step(ready: &Ready, probe: &Probe<'_>, exchanges: &[Exchange]) -> ProbeStep {
    if ready.login.is_none() {
        return look::failed(config::no_credentials("token"));
    }
    let mut look = Look::new(VENDOR, probe, exchanges, answer::failure);
    let found = find(ready, &mut look);
    look.step(found)
}

fn find(ready: &Ready, look: &mut Look<'_>) -> Result<Vec<String>, Next> {
    let token = look.probe.token;
    let path = ["account-info", &ready.version, "details"];
    let details = look.ask(ready.request(Method::GET, &path, token))?;
    look.account = talk::id_of(&details["portalId"]).map(|portal| {
        let domain = details["uiDomain"].as_str().unwrap_or("hubspot.com");
        format!("HubSpot account {portal} ({domain})")
    });
    if look.probe.kind != ProbeKind::Mapping {
        // Any key may read the account; contacts take a scope.
        let contacts = ready.objects(Method::GET, &["contacts"], token);
        look.ask(talk::with_query(contacts, &[("limit", "1")]))?;
    }
    let path = ["crm", "properties", &ready.version, "contacts"];
    let properties = look.ask(ready.request(Method::GET, &path, token))?;
    Ok(findings(&ready.mapping, &properties))
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
        } else if !rule.is_computed() {
            findings.extend(mismatch(rule.field, target, property));
        }
    }
    findings
}

fn mismatch(field: &str, target: &str, property: &Value) -> Option<String> {
    let wanted = property["type"].as_str()?;
    let kind = kind_of(field);
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
